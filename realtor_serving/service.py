"""The valuation service. Start it with `bentoml serve realtor_serving.service:ValuationService`."""

import functools
import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import anyio.to_thread
import bentoml
from anyio import CapacityLimiter
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from realtor_model.bundle import NoSoldHomes
from realtor_model.features import columns_from_properties, properties_from_columns
from realtor_model.listing import REGISTERED_MODEL, Property
from realtor_serving import metrics, openapi, valuation
from realtor_serving.batches import BatchBody
from realtor_serving.cache import ChampionCache
from realtor_serving.champion import Champion, ChampionWatcher, NotEverywhere, RefusedModel
from realtor_serving.edge import EdgeService
from realtor_serving.gate import Limits, RouteRule
from realtor_serving.geography import Coordinates, coordinates
from realtor_serving.history import HistoryNotPublished, HistoryUnavailable, PublishedHistory
from realtor_serving.inference_log import (
    Answer,
    InferenceLog,
    NoInferenceLog,
    PostgresInferenceLog,
)
from realtor_serving.packaging import PACKAGED_BUNDLE, packaged_release
from realtor_serving.registry import MlflowRegistry, RegistryUnavailable, Release
from realtor_serving.requests import (
    ComparablesBody,
    InvalidBody,
    PropertyBody,
    json_response,
    read_query,
    refuse,
    rejection,
    unavailable,
)
from realtor_serving.schemas import (
    BatchValuation,
    ComparableSales,
    Endpoint,
    ExplainedValuation,
    Health,
    HealthModel,
    Index,
    Market,
    MarketQuery,
    ModelInfo,
    NoQuery,
    Places,
    PlacesQuery,
    ReloadResult,
    Valuation,
)
from realtor_serving.settings import ROOT, Settings, settings
from realtor_serving.tables import ARROW_LIMIT, TABLES
from realtor_serving.together import Together
from realtor_serving.valuation import Valued

VERSION = "0.1.0"
NO_MODEL = (
    f"no model is loaded yet. The service takes the version of {REGISTERED_MODEL} with the alias "
    "`production` from MLflow by itself: train one (`realtor train`), or see the service's log for "
    "why it could not be loaded"
)
RELOAD_SECONDS = 110.0
# An answer is a thousand short-lived objects: collecting seldom keeps the slowest answers quick.
GC_THRESHOLD = (50_000, 50, 100)

FROM_BEFORE = (
    "was trained before models carried the sales and the market they learned from: train again"
)

_Result = TypeVar("_Result")
_Query = TypeVar("_Query", bound=BaseModel)

config = settings()


def packaged_champion(chosen: Path | None) -> tuple[Path, Release] | None:
    """The bundle to start with and its release: the one chosen, or the one in this bento."""
    bundle = chosen or ROOT / PACKAGED_BUNDLE
    if chosen is None and not bundle.is_dir():
        return None
    return bundle, packaged_release(bundle)


class Runtime:
    """What one worker holds: the champion, the log of its answers, and their limits."""

    def __init__(self, config: Settings) -> None:
        gc.set_threshold(*GC_THRESHOLD)
        uri = config.mlflow_tracking_uri
        self._watcher = ChampionWatcher(
            ChampionCache(config.cache),
            MlflowRegistry(uri) if uri else None,
            packaged=packaged_champion(config.champion_bundle),
            poll_seconds=config.champion_poll_seconds,
            observe=metrics.ModelMetrics().observe,
        )
        self._log: InferenceLog = (
            PostgresInferenceLog(
                config.inference_log_url,
                count=lambda result, rows: metrics.LOGGED.labels(result).inc(rows),
                waiting=metrics.LOG_QUEUE.set,
            )
            if config.inference_log_url
            else NoInferenceLog()
        )
        self.history_url = f"{uri.rstrip('/')}/#/models/{REGISTERED_MODEL}" if uri else None
        self.history = PublishedHistory(config.history_url) if config.history_url else None
        self.explanations = CapacityLimiter(config.explain_concurrency)
        self.batches = CapacityLimiter(1)
        self.reads = CapacityLimiter(1)
        self.reloads = CapacityLimiter(1)
        self._watcher.start()

    @property
    def champion(self) -> Champion | None:
        """The champion now; read once per request."""
        return self._watcher.champion

    def reload(self) -> ReloadResult | None:
        """Take the registry's production model now; None when there is none."""
        result = self._watcher.reload()
        if result.after is None:
            return None
        return ReloadResult(
            before=result.before, after=result.after, changed=result.before != result.after
        )

    def remember(self, endpoint: str, valued: Valued) -> None:
        """Count n answers and log them."""
        if not len(valued):
            return
        metrics.count_valuations(endpoint, valued)
        version = valued.champion.release.version
        self._log.record(
            Answer(endpoint, version, listing.model_dump_json(exclude_none=True), *dollars)
            for listing, *dollars in zip(
                properties_from_columns(valued.columns),
                valued.price,
                valued.low,
                valued.high,
                strict=True,
            )
        )

    def close(self) -> None:
        """Stop the threads; what is still to be logged is written."""
        self._watcher.stop()
        self._log.close()


def _no_model() -> Response:
    return unavailable(NO_MODEL)


async def _index(request: Request) -> Response:
    """What the service offers: this list."""
    return json_response(
        Index(
            service="realtor valuation service",
            version=VERSION,
            description="Values US homes as sold, with the model in production.",
            endpoints=[
                Endpoint(method=method, path=path, summary=summary)
                for method, path, summary in _endpoints()
            ],
            docs="/docs.json",
        )
    )


async def _health(request: Request) -> Response:
    """Whether a model is loaded, and which."""
    champion = _runtime(request).champion
    if champion is None:
        return _no_model()
    model = valuation.model_ref(champion).model_dump()
    trained_at = champion.model.metadata["trained_at"]
    return json_response(Health(status="ok", model=HealthModel(**model, trained_at=trained_at)))


async def _model_info(request: Request) -> Response:
    """The model: version, metrics, training data, features, allowed inputs."""
    champion = _runtime(request).champion
    if champion is None:
        return _no_model()
    return json_response(valuation.model_info(champion, _runtime(request).history_url))


async def _market(request: Request) -> Response:
    """Listings and prices by state, city or zip: ?by=city&state=Texas&limit=20."""
    return _of_the_market(request, MarketQuery, valuation.market)


async def _places(request: Request) -> Response:
    """States, cities and zips that the model knows and that begin with ?q=; also state=, city=."""
    return _of_the_market(request, PlacesQuery, valuation.places)


async def _coordinates(request: Request) -> Response:
    """Where the zips are that the model learned from, with their medians: for a map."""
    return await _in_thread(
        _runtime(request).reads,
        _of_the_market,
        request,
        NoQuery,
        lambda champion, query: coordinates(champion),
    )


async def _history(request: Request) -> Response:
    """Why models were trained, promoted or rejected, and how good each was; as published."""
    published = _runtime(request).history
    if published is None:
        return refuse(404, "REALTOR_HISTORY_URL is not set: this service has no history to show")
    try:
        document = await _in_thread(_runtime(request).reads, published.document)
    except HistoryNotPublished as problem:
        return refuse(404, f"{problem}. The jobs clean, train and serve publish it")
    except HistoryUnavailable as problem:
        return refuse(503, str(problem))
    return Response(document, media_type="application/json")


def _of_the_market(
    request: Request,
    kind: type[_Query],
    answer: Callable[[Champion, _Query], BaseModel | None],
) -> Response:
    query = read_query(request, kind)
    if isinstance(query, InvalidBody):
        return query.response
    champion = _runtime(request).champion
    if champion is None:
        return _no_model()
    told = answer(champion, query)
    if told is None:
        return refuse(404, f"version {champion.release.version} {FROM_BEFORE}")
    return json_response(told)


async def _livez(request: Request) -> Response:
    """Whether the process answers: restart it when not."""
    return PlainTextResponse("alive")


async def _readyz(request: Request) -> Response:
    """Whether there is a model to answer with: send no requests before."""
    return _no_model() if _runtime(request).champion is None else PlainTextResponse("ready")


def _metrics(request: Request) -> Response:
    """Prometheus metrics of all workers."""
    return Response(metrics.latest(), media_type=CONTENT_TYPE_LATEST)


async def _docs(request: Request) -> Response:
    """This description of the service, as OpenAPI."""
    return JSONResponse(_document())


_TEXT = "text/plain"
# By path: the endpoint, and the model of its answer or its media type.
_PAGES: dict[str, tuple[Callable[[Request], Any], type[BaseModel] | str]] = {
    "/": (_index, Index),
    "/health": (_health, Health),
    "/model-info": (_model_info, ModelInfo),
    "/market": (_market, Market),
    "/places": (_places, Places),
    "/coordinates": (_coordinates, Coordinates),
    "/history": (_history, "application/json"),
    "/livez": (_livez, _TEXT),
    "/readyz": (_readyz, _TEXT),
    "/metrics": (_metrics, _TEXT),
    "/docs.json": (_docs, "application/json"),
}
pages = Starlette(routes=[Route(path, endpoint) for path, (endpoint, _) in _PAGES.items()])


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


def _endpoints() -> list[tuple[str, str, str]]:
    """Method, path and summary of all endpoints."""
    reads = [("GET", path, _summary(endpoint)) for path, (endpoint, _) in _PAGES.items()]
    writes = [("POST", each.route, _summary(each.func)) for each in _service.apis.values()]
    return [*reads, *writes]


@lru_cache(maxsize=1)
def _document() -> dict[str, Any]:
    return openapi.document(
        title="realtor valuation service",
        version=VERSION,
        description="Values US homes as sold, with the model in production.",
        apis=_service.apis.values(),
        pages={path: (_summary(endpoint), answer) for path, (endpoint, answer) in _PAGES.items()},
        rules=_service.rules,
        queries={"/market": MarketQuery, "/places": PlacesQuery},
        tables={"/predict-batch": TABLES},
    )


def _rules() -> dict[str, RouteRule]:
    """What each route takes; one home, and as long as anything may take, unless said otherwise."""
    post, get = frozenset({"POST"}), frozenset({"GET", "HEAD"})
    usual = Limits(answer_seconds=config.timeout_seconds)
    rules = {path: RouteRule(get, limits=usual) for path in (*_PAGES, "/schema.json")}
    rules |= {api.route: RouteRule(post, limits=usual) for api in _service.apis.values()}
    batch = replace(usual, body_bytes=config.max_body_bytes, receive_seconds=60.0)
    rules["/predict-batch"] = RouteRule(post, limits=batch)
    # A bundle is downloaded, and every worker loads it.
    reload = Limits(answer_seconds=RELOAD_SECONDS)
    rules["/reload-model"] = RouteRule(post, writes=True, limits=reload)
    return rules


def _summary(endpoint: object) -> str:
    return (endpoint.__doc__ or "").partition("\n")[0]


@bentoml.service(
    name="realtor",
    workers=config.workers,
    envs=[
        {"name": name, "value": value}
        for name, value in {"OMP_NUM_THREADS": "1", **ARROW_LIMIT}.items()
    ],
    # The limits of what comes in, metrics and logs are ours: see edge.py.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    service_class=EdgeService,
)
class ValuationService:
    """Values US homes as sold, with the model in production."""

    def __init__(self) -> None:
        self._runtime = Runtime(config)
        self._together = Together(self._value)
        pages.state.runtime = self._runtime

    @bentoml.api(route="/predict", output_spec=Valuation)  # type: ignore[untyped-decorator]
    async def predict(self, listing: PropertyBody, /) -> Response:
        """Value one home."""
        if refusal := rejection(listing):
            return refusal
        return await self._together.ask(listing)

    def _value(self, listings: Sequence[Property]) -> list[Response]:
        champion = self._runtime.champion
        if champion is None:
            return [_no_model() for _ in listings]
        valued = valuation.value(champion, columns_from_properties(listings))
        self._runtime.remember("/predict", valued)
        return [Response(each, media_type="application/json") for each in valued.json()]

    @bentoml.api(route="/predict-batch", output_spec=BatchValuation)  # type: ignore[untyped-decorator]
    async def predict_batch(self, batch: BatchBody, /) -> Response:
        """Value up to 10,000 homes, JSON or a table; a bad row gets its error, spoils no other."""
        champion = self._runtime.champion
        if champion is None:
            return _no_model()
        return await _in_thread(self._runtime.batches, self._value_batch, champion, batch)

    def _value_batch(self, champion: Champion, batch: BatchBody) -> Response:
        response, valued = batch.answer(champion)
        if valued is not None:
            self._runtime.remember("/predict-batch", valued)
        return response

    @bentoml.api(route="/explain", output_spec=ExplainedValuation)  # type: ignore[untyped-decorator]
    async def explain(self, listing: PropertyBody, /) -> Response:
        """Value one home and say why: what each input adds, in dollars and in log price."""
        if refusal := rejection(listing):
            return refusal
        champion = self._runtime.champion
        if champion is None:
            return _no_model()
        answer, valued = await _in_thread(
            self._runtime.explanations, valuation.explain, champion, listing
        )
        self._runtime.remember("/explain", valued)
        return json_response(answer)

    @bentoml.api(route="/comparables", output_spec=ComparableSales)  # type: ignore[untyped-decorator]
    async def comparables(self, body: ComparablesBody, /) -> Response:
        """The sold homes most like one home, near it, each adjusted line by line to it."""
        if refusal := rejection(body):
            return refusal
        champion = self._runtime.champion
        if champion is None:
            return _no_model()
        try:
            answer, valued = await _in_thread(
                self._runtime.explanations, valuation.compare, champion, body
            )
        except NoSoldHomes:
            return refuse(404, f"version {champion.release.version} {FROM_BEFORE}")
        self._runtime.remember("/comparables", valued)
        return json_response(answer)

    @bentoml.api(route="/reload-model", output_spec=ReloadResult)  # type: ignore[untyped-decorator]
    async def reload_model(self) -> Response:
        """Take the model that MLflow has in production now; answered when every worker has it."""
        try:
            result = await _in_thread(self._runtime.reloads, self._runtime.reload)
        except RegistryUnavailable as problem:
            return unavailable(f"{problem}. The service goes on with the model it has")
        except NotEverywhere as problem:
            return unavailable(str(problem))
        except RefusedModel as problem:
            return refuse(409, f"{problem}. The service goes on with the model it has")
        return _no_model() if result is None else json_response(result)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Write what is still to be logged."""
        self._runtime.close()


async def _in_thread(
    limiter: CapacityLimiter, work: Callable[..., _Result], *args: object
) -> _Result:
    return await anyio.to_thread.run_sync(functools.partial(work, *args), limiter=limiter)


# What the decorator made of the class: BentoML has no types that say so.
_service = cast("EdgeService", ValuationService)
_service.settings = config
_service.pages = pages
_service.rules = _rules()
