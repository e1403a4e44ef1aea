"""The load test asks every endpoint, and fails when answers are wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.running import ROOT, Server

pytestmark = [pytest.mark.integration]


def run(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable, "-m", "locust", "-f", str(ROOT / "realtor_serving" / "locustfile.py"),
            "--host", url, "--headless", "-u", "4", "-r", "4", "-t", "5s", "--only-summary",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )  # fmt: skip


def test_the_service_bears_it(service: Server, tmp_path: Path) -> None:
    load = run(service.url, tmp_path)

    assert load.returncode == 0, load.stdout + load.stderr
    assert "/predict-batch" in load.stdout + load.stderr


def test_a_service_that_answers_wrongly_fails_it(service: Server, tmp_path: Path) -> None:
    load = run(f"{service.url}/nowhere", tmp_path)

    assert load.returncode == 1
    assert "404" in load.stdout + load.stderr
