"""The valuation service over HTTP: typed responses, and errors that a person can act on."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx
from pydantic import BaseModel, ValidationError

from realtor_ui.responses import (
    BatchValuation,
    By,
    CodedMessage,
    ComparableSales,
    Coordinates,
    ExplainedValuation,
    History,
    Market,
    ModelInfo,
    Places,
    Refusal,
    Valuation,
)

CONNECT_RETRIES = 2
# Seconds to wait before each new attempt when the service is busy.
BUSY_PAUSES = (0.5, 1.5)
ARROW = "application/vnd.apache.arrow.stream"


class ServiceError(Exception):
    """The service gave no response that can be shown.

    key: the text for it in the catalogue. refusal: the service's own message, if it sent one.
    """

    key = "error.failed"

    def __init__(self, refusal: CodedMessage | None = None) -> None:
        self.refusal = refusal
        super().__init__(refusal.message if refusal else self.key)


class ServiceDown(ServiceError):
    """Nothing answers at the service's address."""

    key = "error.down"


class ServiceSlow(ServiceError):
    """The response takes longer than the timeout."""

    key = "error.slow"


class ServiceBusy(ServiceError):
    """The service has too many requests."""

    key = "error.busy"


class NotTheService(ServiceError):
    """Another program answers at the service's address."""

    key = "error.stranger"


class NotAllowed(ServiceError):
    """The service wants an API key, or another one."""

    key = "error.not_allowed"


class NoModel(ServiceError):
    """The service runs and has no model yet."""

    key = "error.no_model"


class NotThere(ServiceError):
    """The service lacks what was asked for, such as a history or market figures."""

    key = "error.not_there"


class InvalidInput(ServiceError):
    """The service refused what was entered; `problems` has one message for each field."""

    def __init__(self, problems: Sequence[CodedMessage]) -> None:
        super().__init__()
        self.problems = tuple(problems)


# Refusals that need an error of their own, by code; the others go by their HTTP status.
_BY_CODE: Mapping[str, type[ServiceError]] = {
    "no_model": NoModel,
    "not_found": NotThere,
    "history_not_configured": NotThere,
    "history_not_published": NotThere,
    "model_lacks_market_data": NotThere,
    "api_key_required": NotAllowed,
    "no_api_keys_configured": NotAllowed,
    "busy": ServiceBusy,
}
_BY_STATUS: Mapping[int, type[ServiceError]] = {
    401: NotAllowed, 403: NotAllowed, 404: NotThere, 429: ServiceBusy,
}  # fmt: skip
_INVALID_INPUT = (400, 413, 422)


class ServiceClient:
    """HTTP client of the service. Every method raises a `ServiceError`.

    `api_key` is sent with every request as `Authorization: Bearer`; redirects are not followed, so
    no other server gets it.
    A refused connection is tried again, `CONNECT_RETRIES` times within a second or so; a busy
    service is tried again after `BUSY_PAUSES`.
    """

    def __init__(
        self, url: str, *, api_key: str | None = None, timeout_seconds: float = 20.0
    ) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url,
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout_seconds, connect=3.0),
            transport=httpx.HTTPTransport(retries=CONNECT_RETRIES),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def model_info(self) -> ModelInfo:
        """The model in production and the inputs it accepts."""
        return self._request("GET", "/model-info", ModelInfo)

    def predict(self, home: Mapping[str, Any]) -> Valuation:
        """The value of a home."""
        return self._request("POST", "/predict", Valuation, json=home)

    def predict_batch(self, homes: Sequence[Mapping[str, Any]]) -> BatchValuation:
        """The values of up to 10,000 homes, in their order."""
        body = {"properties": list(homes)}
        return self._request("POST", "/predict-batch", BatchValuation, json=body)

    def predict_table(self, table: bytes) -> bytes:
        """An Arrow stream of up to 10,000 homes with their estimates as added columns."""
        headers = {"content-type": ARROW, "accept": ARROW}
        return self._send("POST", "/predict-batch", content=table, headers=headers).content

    def explain(self, home: Mapping[str, Any]) -> ExplainedValuation:
        """The value of a home and the reasons for it."""
        return self._request("POST", "/explain", ExplainedValuation, json=home)

    def comparables(
        self, home: Mapping[str, Any], *, count: int, exclude: Sequence[str] = ()
    ) -> ComparableSales:
        """The `count` sales most similar to a home, without those in `exclude`."""
        body = {"property": dict(home), "count": count, "exclude": list(exclude)}
        return self._request("POST", "/comparables", ComparableSales, json=body)

    def market(
        self, by: By, *, state: str | None = None, city: str | None = None, limit: int = 1_000
    ) -> Market:
        """Prices by state, city or zip, the place with most listings first."""
        query = {"by": by, "state": state, "city": city, "limit": limit}
        return self._request("GET", "/market", Market, params=_without_none(query))

    def places(
        self, *, state: str | None = None, city: str | None = None, begins: str = ""
    ) -> Places:
        """The places that the model knows in a state or a city, whose names start with `begins`."""
        query = {"state": state, "city": city, "q": begins or None, "limit": 1_000}
        return self._request("GET", "/places", Places, params=_without_none(query))

    def coordinates(self) -> Coordinates:
        """The centers of all zips in the training data."""
        return self._request("GET", "/coordinates", Coordinates)

    def history(self) -> History:
        """Versions of the model, batches, and the decisions about them."""
        return self._request("GET", "/history", History)

    def metrics(self) -> str:
        """The service's Prometheus metrics, as text."""
        return self._send("GET", "/metrics").text

    def _request[Response: BaseModel](
        self, method: str, path: str, kind: type[Response], **request: Any
    ) -> Response:
        response = self._send(method, path, **request)
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as problem:
            raise NotTheService from problem

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A successful response; a busy service is asked again after each pause."""
        pauses = list(BUSY_PAUSES)
        while True:
            try:
                response = self._client.request(method, path, **request)
            except httpx.TimeoutException as problem:
                raise ServiceSlow from problem
            except httpx.TransportError as problem:
                raise ServiceDown from problem
            if response.status_code == 429 and pauses:
                time.sleep(pauses.pop(0))
                continue
            if response.is_success:
                return response
            raise _error(response)


def _without_none(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _error(response: httpx.Response) -> ServiceError:
    """The error for a response that is no success."""
    status = response.status_code
    try:
        refusal = Refusal.model_validate_json(response.content)
    except ValidationError:
        # A proxy, or another program, answered.
        refusal = Refusal(error=f"HTTP status {status}")
    if refusal.code in _BY_CODE:
        return _BY_CODE[refusal.code](refusal.coded_message)
    if status in _INVALID_INPUT:
        problems = [problem.coded_message for problem in refusal.detail]
        return InvalidInput(problems or [refusal.coded_message])
    return _BY_STATUS.get(status, ServiceError)(refusal.coded_message)
