"""BentoML's application inside our own ASGI layers.

Telemetry (ids, metrics, log) → CORS, if it is on → AdmissionControl (refusals) → the endpoints.
BentoML would run our middleware inside its own. Its refusals have another format and no request
id, and its time limit leaves a timer of one minute behind every request.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import bentoml
from bentoml import get_current_service
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from realtor_serving.http import connections, json_logs, service_metrics
from realtor_serving.http.admission import AdmissionControl, RouteRule
from realtor_serving.http.api_keys import ApiKeys
from realtor_serving.http.requests import RawBody, UnreadBody
from realtor_serving.http.telemetry import Telemetry
from realtor_serving.service_settings import ServiceSettings


class EdgeService(bentoml.Service):  # type: ignore[misc]  # BentoML has no types
    """A BentoML service inside our layers. `realtor_serving.service` sets the attributes.

    Attributes:
        settings: the service's settings.
        pages: the GET routes.
        rules: the rule of each path; all other paths are refused with 404.
    """

    settings: ServiceSettings
    pages: Starlette
    rules: Mapping[str, RouteRule]

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """The ASGI application of one worker, with all layers."""
        json_logs.configure()
        connections.install()
        endpoints = Endpoints(super().to_asgi(is_main), self.apis.values(), self.pages)
        return wrap(endpoints, self.settings, self.rules)


def wrap(app: ASGIApp, settings: ServiceSettings, rules: Mapping[str, RouteRule]) -> ASGIApp:
    """`app` inside admission control, CORS (if an origin is set) and telemetry."""
    origins = listed(settings.cors_origins)
    app = AdmissionControl(
        app,
        routes=rules,
        allowed_hosts=frozenset(host.lower() for host in listed(settings.allowed_hosts)),
        allowed_origins=frozenset(origins),
        keys=ApiKeys.read(settings.api_keys),
        keys_for=settings.keys_for,
        trust_loopback=settings.trust_loopback,
        max_concurrency=math.ceil(settings.max_concurrency / settings.workers),
    )
    if origins:
        app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    service_metrics.expect({path: rule.methods for path, rule in rules.items()})
    return Telemetry(app, routes=rules, log=settings.log_requests)


def listed(setting: str) -> list[str]:
    """The comma-separated parts of a setting, without empty ones."""
    return [part.strip() for part in setting.split(",") if part.strip()]


class Endpoints:
    """Dispatches requests to the pages and to the endpoints of `@bentoml.api`.

    BentoML's own dispatch takes longer than the rest of the HTTP handling
    (`benchmarks/serving.py`). Each endpoint reads its body and makes its response itself. All other
    requests, startup and shutdown go to BentoML's application.
    """

    def __init__(self, app: ASGIApp, apis: Iterable[Any], pages: Starlette) -> None:
        self._app = app
        self._apis = {api.route: (api.func, issubclass(api.input_spec, UnreadBody)) for api in apis}
        self._pages = pages
        self._paths = {route.path for route in pages.routes if isinstance(route, Route)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path")
        if api := self._apis.get(path):
            endpoint, reads_body = api
            if reads_body:
                # Admission control passes the body on in one message.
                body = RawBody((await receive())["body"], scope["headers"])
                response = await endpoint(get_current_service(), body)
            else:
                response = await endpoint(get_current_service())
            await response(scope, receive, send)
        elif path in self._paths:
            await self._pages(scope, receive, send)
        else:
            await self._app(scope, receive, send)
