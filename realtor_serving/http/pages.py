"""The GET routes: the model, its market data and history, health and metrics."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from realtor_model.messages import message
from realtor_serving.champion.history_document import HistoryNotPublished, HistoryUnavailable
from realtor_serving.champion.served_champion import Champion
from realtor_serving.contract.schemas import (
    Health,
    HealthModel,
    Market,
    MarketQuery,
    ModelInfo,
    NoQuery,
    Places,
    PlacesQuery,
)
from realtor_serving.http import service_metrics
from realtor_serving.http.requests import (
    InvalidBody,
    json_response,
    lacks_market_data,
    no_model,
    read_query,
    refuse,
)
from realtor_serving.http.worker_runtime import Runtime, in_thread
from realtor_serving.valuation import answers
from realtor_serving.valuation.coordinates import Coordinates, coordinates


async def _health(request: Request) -> Response:
    """Whether a model is loaded, and which."""
    champion = _runtime(request).champion
    if champion is None:
        return no_model()
    model = answers.model_ref(champion).model_dump()
    trained_at = champion.model.metadata["trained_at"]
    return json_response(Health(status="ok", model=HealthModel(**model, trained_at=trained_at)))


async def _model_info(request: Request) -> Response:
    """The model: version, metrics, training data, features, allowed inputs."""
    champion = _runtime(request).champion
    if champion is None:
        return no_model()
    return json_response(answers.model_info(champion, _runtime(request).history_url))


async def _market(request: Request) -> Response:
    """Listings and prices by state, city or zip: ?by=city&state=Texas&limit=20."""
    return _market_response(request, MarketQuery, answers.market)


async def _places(request: Request) -> Response:
    """Known states, cities and zips that begin with ?q=; filter them by state= and city=."""
    return _market_response(request, PlacesQuery, answers.places)


async def _coordinates(request: Request) -> Response:
    """Zip codes that the model learned from, with coordinates and medians, for a map."""
    return await in_thread(
        _runtime(request).reads,
        _market_response,
        request,
        NoQuery,
        lambda champion, query: coordinates(champion),
    )


async def _history(request: Request) -> Response:
    """Published history: why models were trained, promoted or rejected, and their metrics."""
    published = _runtime(request).history
    if published is None:
        return refuse(404, message("history_not_configured"))
    try:
        document = await in_thread(_runtime(request).reads, published.document)
    except HistoryNotPublished:
        return refuse(404, message("history_not_published"))
    except HistoryUnavailable as problem:
        return refuse(503, message("history_unavailable", reason=str(problem)))
    return Response(document, media_type="application/json")


def _market_response[Query: BaseModel](
    request: Request,
    kind: type[Query],
    answer: Callable[[Champion, Query], BaseModel | None],
) -> Response:
    query = read_query(request, kind)
    if isinstance(query, InvalidBody):
        return query.response
    champion = _runtime(request).champion
    if champion is None:
        return no_model()
    content = answer(champion, query)
    if content is None:
        return lacks_market_data(champion)
    return json_response(content)


async def _livez(request: Request) -> Response:
    """Whether the process answers; restart it if it does not."""
    return PlainTextResponse("alive")


async def _readyz(request: Request) -> Response:
    """Whether a model is loaded; send requests only after that."""
    return no_model() if _runtime(request).champion is None else PlainTextResponse("ready")


def _metrics(request: Request) -> Response:
    """Prometheus metrics of all workers."""
    return Response(service_metrics.latest(), media_type=CONTENT_TYPE_LATEST)


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


_TEXT = "text/plain"
# By path: the endpoint, and the model of its answer or its media type.
PAGES: dict[str, tuple[Callable[[Request], Any], type[BaseModel] | str]] = {
    "/health": (_health, Health),
    "/model-info": (_model_info, ModelInfo),
    "/market": (_market, Market),
    "/places": (_places, Places),
    "/coordinates": (_coordinates, Coordinates),
    "/history": (_history, "application/json"),
    "/livez": (_livez, _TEXT),
    "/readyz": (_readyz, _TEXT),
    "/metrics": (_metrics, _TEXT),
}
