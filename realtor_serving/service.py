"""The valuation service. Start it with `bentoml serve realtor_serving.service:ValuationService`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, cast

import bentoml
import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from realtor_model import __version__
from realtor_model.listing import US_LISTINGS, ListingContract, home_model
from realtor_model.messages import message
from realtor_model.valuation.valuation_model import NoSoldHomes
from realtor_serving.champion.model_registry import RegistryUnavailable
from realtor_serving.champion.served_champion import Champion, NotEverywhere, RefusedModel
from realtor_serving.contract.schemas import (
    BatchValuation,
    ComparableSales,
    Endpoint,
    ExplainedValuation,
    Index,
    MarketQuery,
    PlacesQuery,
    ReloadResult,
    Valuation,
    batch_request,
    comparables_request,
)
from realtor_serving.http import openapi
from realtor_serving.http import service_metrics as metrics
from realtor_serving.http.admission import Limits, RouteRule
from realtor_serving.http.batch_requests import BatchBody
from realtor_serving.http.edge import EdgeService
from realtor_serving.http.home_bodies import read_comparables_body, read_home_body
from realtor_serving.http.pages import PAGES
from realtor_serving.http.requests import (
    InvalidBody,
    RawBody,
    UnreadBody,
    json_response,
    lacks_market_data,
    no_model,
    refuse,
    unavailable,
)
from realtor_serving.http.table_bodies import ARROW_LIMIT, TABLES
from realtor_serving.http.worker_runtime import Runtime, in_thread
from realtor_serving.service_settings import settings
from realtor_serving.valuation import answers
from realtor_serving.valuation.market_description import title_of
from realtor_serving.valuation.micro_batcher import MicroBatcher

VERSION = __version__
RELOAD_SECONDS = 110.0

config = settings()


async def _index(request: Request) -> Response:
    """The endpoints of the service, as this list."""
    return json_response(
        Index(
            service="realtor valuation service",
            version=VERSION,
            description=_description(_contract(request)),
            endpoints=[
                Endpoint(method=method, path=path, summary=summary)
                for method, path, summary in _endpoints()
            ],
            docs="/docs.json",
        )
    )


async def _docs(request: Request) -> Response:
    """The OpenAPI document of the service."""
    return JSONResponse(_document(_contract(request)))


def _contract(request: Request) -> ListingContract:
    """The contract of the market that is served; of the built-in one while there is no model."""
    champion = request.app.state.runtime.champion
    return US_LISTINGS if champion is None else champion.model.contract


def _description(contract: ListingContract) -> str:
    return f"{title_of(contract)}: values homes as sold, with the model in production."


# By path: the endpoint, and the model of its answer or its media type.
_PAGES = {"/": (_index, Index), **PAGES, "/docs.json": (_docs, "application/json")}
pages = Starlette(routes=[Route(path, endpoint) for path, (endpoint, _) in _PAGES.items()])


def _endpoints() -> list[tuple[str, str, str]]:
    """Method, path and summary of all endpoints."""
    reads = [("GET", path, _summary(endpoint)) for path, (endpoint, _) in _PAGES.items()]
    writes = [("POST", api.route, _summary(api.func)) for api in _service.apis.values()]
    return [*reads, *writes]


@lru_cache(maxsize=2)
def _document(contract: ListingContract) -> dict[str, Any]:
    """The OpenAPI document, with the inputs of a market."""
    home = home_model(contract)
    return openapi.document(
        title="realtor valuation service",
        version=VERSION,
        description=_description(contract),
        apis=_service.apis.values(),
        pages={path: (_summary(endpoint), answer) for path, (endpoint, answer) in _PAGES.items()},
        rules=_service.rules,
        bodies={
            "/predict": home,
            "/explain": home,
            "/comparables": comparables_request(contract),
            "/predict-batch": batch_request(contract),
        },
        queries={"/market": MarketQuery, "/places": PlacesQuery},
        tables={"/predict-batch": TABLES},
    )


def _rules() -> dict[str, RouteRule]:
    """The rule of each route. By default the body is one home, with the usual time limit."""
    post, get = frozenset({"POST"}), frozenset({"GET", "HEAD"})
    usual = Limits(answer_seconds=config.timeout_seconds)
    rules = {path: RouteRule(get, limits=usual) for path in (*_PAGES, "/schema.json")}
    rules |= {api.route: RouteRule(post, limits=usual) for api in _service.apis.values()}
    batch = replace(usual, body_bytes=config.max_body_bytes, receive_seconds=60.0)
    rules["/predict-batch"] = RouteRule(post, limits=batch)
    # Longer, because a bundle is downloaded and every worker loads it.
    reload = Limits(answer_seconds=RELOAD_SECONDS)
    rules["/reload-model"] = RouteRule(post, writes=True, limits=reload)
    return rules


def _summary(endpoint: object) -> str:
    return (endpoint.__doc__ or "").partition("\n")[0]


@bentoml.service(
    name="realtor",
    workers=config.workers,
    # BentoML's default is every interface. Use --host to open the service to other machines.
    http={"host": "127.0.0.1"},
    envs=[
        {"name": name, "value": value}
        for name, value in {"OMP_NUM_THREADS": "1", **ARROW_LIMIT}.items()
    ],
    # Request limits, metrics and logs are in our own layers: see edge.py.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    service_class=EdgeService,
)
class ValuationService:
    """Values homes as sold, with the model in production."""

    def __init__(self) -> None:
        self._runtime = Runtime(config)
        self._batcher = MicroBatcher(self._value)
        pages.state.runtime = self._runtime

    @bentoml.api(route="/predict", input_spec=UnreadBody, output_spec=Valuation)  # type: ignore[untyped-decorator]
    async def predict(self, body: RawBody, /) -> Response:
        """Value one home."""
        return await self._batcher.ask(body.content)

    def _value(self, bodies: Sequence[bytes]) -> list[Response]:
        """The responses to n homes, each as JSON."""
        champion = self._runtime.watcher.champion
        if champion is None:
            return [no_model() for _ in bodies]
        read = [read_home_body(body, champion.model.contract) for body in bodies]
        homes = [each for each in read if not isinstance(each, InvalidBody)]
        if not homes:
            return [invalid.response for invalid in read if isinstance(invalid, InvalidBody)]
        notes = {row: each.notes for row, each in enumerate(homes) if each.notes}
        valued = answers.value_homes(champion, [each.home for each in homes], notes)
        # Two event-loop turns later, after the answers are sent.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._remember, "/predict", valued)
        contents = iter(valued.json())
        return [
            each.response
            if isinstance(each, InvalidBody)
            else Response(next(contents), media_type="application/json")
            for each in read
        ]

    def _remember(self, endpoint: str, valued: answers.ValuedHomes) -> None:
        """Count the valuations and add them to the inference log, if one is configured."""
        prices, lows, highs = valued.price, valued.low, valued.high
        if not prices:
            return
        metrics.PREDICTIONS.labels(endpoint, valued.champion.registered.version).inc(len(prices))
        if len(prices) == 1:
            metrics.PRICE.observe(prices[0])
            metrics.INTERVAL.observe((highs[0] - lows[0]) / prices[0])
        else:
            metrics.observe_all(metrics.PRICE, np.array(prices))
            widths = (np.array(highs) - np.array(lows)) / np.array(prices)
            metrics.observe_all(metrics.INTERVAL, widths)
        for name, count in valued.unknown.items():
            if count:
                metrics.UNKNOWN.labels(name).inc(count)
        if self._runtime.log is not None:
            self._runtime.log.record(valued.logged(endpoint))

    @bentoml.api(route="/predict-batch", input_spec=UnreadBody, output_spec=BatchValuation)  # type: ignore[untyped-decorator]
    async def predict_batch(self, body: RawBody, /) -> Response:
        """Value up to 10,000 homes, as JSON or a table; an invalid row gets an error of its own."""
        champion = self._runtime.champion
        if champion is None:
            return no_model()
        batch = BatchBody.of(body)
        return await in_thread(self._runtime.batches, self._value_batch, champion, batch)

    def _value_batch(self, champion: Champion, batch: BatchBody) -> Response:
        response, valued = batch.answer(champion)
        if valued is not None:
            self._remember("/predict-batch", valued)
        return response

    @bentoml.api(route="/explain", input_spec=UnreadBody, output_spec=ExplainedValuation)  # type: ignore[untyped-decorator]
    async def explain(self, body: RawBody, /) -> Response:
        """Value one home and explain it: each input's contribution, in dollars and log price."""
        champion = self._runtime.champion
        if champion is None:
            return no_model()
        read = read_home_body(body.content, champion.model.contract)
        if isinstance(read, InvalidBody):
            return read.response
        answer, valued = await in_thread(
            self._runtime.explanations, answers.explain, champion, read.home, read.notes
        )
        self._remember("/explain", valued)
        return json_response(answer)

    @bentoml.api(route="/comparables", input_spec=UnreadBody, output_spec=ComparableSales)  # type: ignore[untyped-decorator]
    async def comparables(self, body: RawBody, /) -> Response:
        """The most similar sold homes near one home, each with its adjustments, line by line."""
        champion = self._runtime.champion
        if champion is None:
            return no_model()
        wanted = read_comparables_body(body.content, champion.model.contract)
        if isinstance(wanted, InvalidBody):
            return wanted.response
        try:
            answer, valued = await in_thread(
                self._runtime.explanations, answers.compare, champion, *wanted
            )
        except NoSoldHomes:
            return lacks_market_data(champion)
        self._remember("/comparables", valued)
        return json_response(answer)

    @bentoml.api(route="/reload-model", output_spec=ReloadResult)  # type: ignore[untyped-decorator]
    async def reload_model(self) -> Response:
        """Load MLflow's production model; the answer comes when every worker serves it."""
        try:
            result = await in_thread(self._runtime.reloads, self._runtime.reload)
        except RegistryUnavailable as problem:
            return unavailable(message("registry_unavailable", reason=str(problem)))
        except NotEverywhere as problem:
            return unavailable(message("workers_behind", reason=str(problem)))
        except RefusedModel as problem:
            return refuse(409, message("model_refused", reason=str(problem)))
        return no_model() if result is None else json_response(result)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    def close(self) -> None:
        """Write the rest of the inference log and stop the threads."""
        self._runtime.close()


# The decorator returns a service object, but BentoML has no types that say so.
_service = cast("EdgeService", ValuationService)
_service.settings = config
_service.pages = pages
_service.rules = _rules()
