"""The script of `helm test` succeeds with a price and fails without one, with the reason."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from realtor_local.ports import free_port
from realtor_model.valuation.bundle import save_bundle
from realtor_serving.http.api_keys import _sha256
from tests.servers import listening
from tests.serving.running import Server, make_model, run_service

SCRIPT = Path(__file__).parents[2] / "deploy/helm/realtor/files/value_home.py"
KEY = "a key of the app's"


def run_script(url: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
    # As in the pod: without our packages, from a text, with the variables of the Job.
    return subprocess.run(
        [sys.executable, "-I", "-c", SCRIPT.read_text()],
        env={
            "REALTOR_SERVICE_URL": url,
            "REALTOR_APP_API_KEY": key,
            "REALTOR_TEST_WAIT_SECONDS": "0",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real service, which requires a key for every request."""
    folder = tmp_path_factory.mktemp("service")
    save_bundle(make_model(), folder / "bundle")
    with run_service(
        folder,
        REALTOR_CHAMPION_BUNDLE=str(folder / "bundle"),
        REALTOR_SERVICE_WORKERS="1",
        REALTOR_SERVICE_API_KEYS=_sha256(KEY),
        REALTOR_SERVICE_KEYS_FOR="all",
        REALTOR_SERVICE_TRUST_LOOPBACK="false",
    ) as server:
        yield server


@pytest.mark.integration
def test_the_service_values_a_home(service: Server) -> None:
    done = run_script(service.url)

    assert done.returncode == 0, done.stderr
    assert "values its example home at" in done.stdout


@pytest.mark.integration
def test_a_wrong_key_fails(service: Server) -> None:
    done = run_script(service.url, "another key")

    assert done.returncode == 1
    assert f"{service.url} answers 401" in done.stderr


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (JSONResponse({"price": None}), "without a price"),
        (JSONResponse({"price": 0}), "without a price"),
        (JSONResponse({"price": "412000"}), "without a price"),
        (JSONResponse({}), "without a price"),
        (JSONResponse([1]), "without a price"),
        (PlainTextResponse("<html>"), "does not answer with JSON"),
        (JSONResponse({"error": "no model yet"}, status_code=503), "answers 503.*no model yet"),
    ],
    ids=["null", "zero", "text", "nothing", "a list", "no JSON", "no model"],
)
def test_an_answer_without_a_price_fails(response: Response, reason: str) -> None:
    async def answer(_: Request) -> Response:
        return response

    async def describe(_: Request) -> Response:
        return JSONResponse({"inputs": {"bed": {"example": 3}}})

    routes = [Route("/predict", answer, methods=["POST"]), Route("/model-info", describe)]
    with listening(Starlette(routes=routes)) as url:
        done = run_script(url)

    assert done.returncode == 1
    assert not done.stdout
    assert re.search(reason, done.stderr), done.stderr


def test_a_service_that_does_not_answer_fails() -> None:
    done = run_script(f"http://127.0.0.1:{free_port()}")

    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "train one in Dagster" in done.stderr
