"""The pipeline's key of a service on another machine."""

from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from realtor_assets.pipeline_settings import settings
from realtor_assets.publish.running_service import ServiceDown, observe, reload_service
from realtor_serving.http.admission import AdmissionControl, RouteRule
from realtor_serving.http.api_keys import ApiKeys, _sha256
from tests.servers import listening

KEY = "a key of the pipeline's"


@pytest.fixture
def service() -> Iterator[str]:
    """The service's own gate, asking every caller for KEY, before two of its routes."""

    async def answer(request: Request) -> Response:
        return JSONResponse({"version": "7"})

    routes = [
        Route("/reload-model", answer, methods=["POST"]),
        Route("/model-info", answer),
    ]
    gate = AdmissionControl(
        Starlette(routes=routes),
        routes={
            "/reload-model": RouteRule(frozenset({"POST"}), writes=True),
            "/model-info": RouteRule(frozenset({"GET"})),
        },
        allowed_hosts=frozenset({"*"}),
        allowed_origins=frozenset(),
        keys=ApiKeys(frozenset({_sha256(KEY)})),
        keys_for="all",
        trust_loopback=False,
        max_concurrency=2,
    )
    with listening(gate) as url:  # type: ignore[arg-type]
        yield url


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("REALTOR_RAW_DATABASE_URL", "REALTOR_CLEAN_DATABASE_URL", "REALTOR_STORAGE_URL"):
        monkeypatch.setenv(name, "unused://")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.mark.parametrize("ask", [reload_service, observe])
def test_the_service_accepts_the_pipelines_key(
    service: str, ask: Callable[[str], dict[str, object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALTOR_SERVICE_API_KEY", KEY)
    assert ask(service) == {"version": "7"}
    assert KEY not in repr(settings())


@pytest.mark.parametrize("key", ["", "another"])
@pytest.mark.parametrize("ask", [reload_service, observe])
def test_the_service_refuses_the_pipeline_without_a_key(
    service: str,
    ask: Callable[[str], dict[str, object]],
    key: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REALTOR_SERVICE_API_KEY", key)
    with pytest.raises(ServiceDown, match="401"):
        ask(service)
