"""Tests do not meet a platform that runs on this machine."""

import socket
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT_HOME, DEFAULT_PORTS


def test_default_ports_are_those_of_the_platform() -> None:
    assert sorted(DEFAULT_PORTS) == [3000, 5000, 8000, 8080, 8501]


@pytest.mark.parametrize("port", sorted(DEFAULT_PORTS))
def test_connecting_to_a_default_port_fails(port: int) -> None:
    with pytest.raises(AssertionError, match=f"{port}.*default port of the platform"):
        socket.create_connection(("127.0.0.1", port), timeout=1)


def test_opening_a_file_of_the_checkouts_home_fails() -> None:
    file = Path(CHECKOUT_HOME, "platform.env")
    with pytest.raises(AssertionError, match="belongs to the checkout's platform"):
        file.read_text()
    with pytest.raises(AssertionError, match="belongs to the checkout's platform"):
        file.write_text("")
