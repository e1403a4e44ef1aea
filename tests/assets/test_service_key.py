"""The pipeline's key of a service on another machine."""

from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from realtor_assets.release.serving import ServiceDown, tell_to_reload
from realtor_assets.settings import Settings
from realtor_serving.gate import Gate, RouteRule
from realtor_serving.keys import ApiKeys, _sha256
from tests.servers import listening

KEY = "a key of the pipeline's"


@pytest.fixture
def service() -> Iterator[str]:
    """The service's own gate, asking every caller for KEY, before its /reload-model."""

    async def answer(request: Request) -> Response:
        return JSONResponse({"version": "7"})

    gate = Gate(
        Starlette(routes=[Route("/reload-model", answer, methods=["POST"])]),
        routes={"/reload-model": RouteRule(frozenset({"POST"}), writes=True)},
        allowed_hosts=frozenset({"*"}),
        allowed_origins=frozenset(),
        keys=ApiKeys(frozenset({_sha256(KEY)})),
        keys_for="writes",
        trust_loopback=False,
        max_concurrency=2,
    )
    with listening(gate) as url:  # type: ignore[arg-type]
        yield url


def test_the_service_reloads_for_its_key_only(service: str) -> None:
    assert tell_to_reload(service, KEY) == {"version": "7"}
    for wrong in (None, "another"):
        with pytest.raises(ServiceDown, match="401"):
            tell_to_reload(service, wrong)


def test_an_empty_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REALTOR_RAW_DATABASE_URL", "REALTOR_CLEAN_DATABASE_URL", "REALTOR_STORAGE_URL"):
        monkeypatch.setenv(name, "unused://")
    monkeypatch.setenv("REALTOR_SERVICE_API_KEY", "")
    assert Settings().service_api_key is None
