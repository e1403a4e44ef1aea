"""How the pipeline tells the service to reload."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from realtor_assets.release.serving import ServiceDown, tell_to_reload

KEY = "a-key-of-the-test"


class _Guarded(BaseHTTPRequestHandler):
    """Answers as the service does to a request from another machine."""

    def do_POST(self) -> None:
        allowed = self.headers["Authorization"] == f"Bearer {KEY}"
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(b'{"changed": true}' if allowed else b"{}")

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Guarded) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_key_goes_with_it(url: str) -> None:
    assert tell_to_reload(url, KEY) == {"changed": True}


def test_without_the_key_the_service_is_as_good_as_down(url: str) -> None:
    with pytest.raises(ServiceDown, match="401"):
        tell_to_reload(url)
