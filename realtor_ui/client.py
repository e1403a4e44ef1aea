"""The valuation service over HTTP: typed answers, and errors that a person can act on."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from realtor_ui.responses import (
    BatchValuation,
    By,
    ComparableSales,
    Coordinates,
    ExplainedValuation,
    History,
    Market,
    ModelInfo,
    Places,
    Valuation,
)

CONNECT_RETRIES = 2
# A service that is busy says so at once: it's asked again, after so many seconds.
BUSY_PAUSES = (0.5, 1.5)
ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field; field is "" when it is the whole that lacks something."""

    field: str
    message: str


class ServiceError(Exception):
    """The service gave no answer to show. `key` names the words for it in the catalogue."""

    key = "error.failed"

    def __init__(self, detail: str = "") -> None:
        self.detail = detail
        super().__init__(detail or self.key)


class ServiceDown(ServiceError):
    """Nobody answers at the service's address; `detail` is the address."""

    key = "error.down"


class ServiceSlow(ServiceError):
    """The answer takes too long."""

    key = "error.slow"


class ServiceBusy(ServiceError):
    """The service has too much to do."""

    key = "error.busy"


class NotTheService(ServiceError):
    """Something else answers at the address `detail`."""

    key = "error.stranger"


class NotAllowed(ServiceError):
    """The service wants an API key, or another one than it got; `detail` is its own words."""

    key = "error.not_allowed"


class NoModel(ServiceError):
    """The service runs and has no model yet."""

    key = "error.no_model"


class NotThere(ServiceError):
    """The service has no such thing: no history, no market; `detail` is its own words."""

    key = "error.not_there"


class InvalidProperty(ServiceError):
    """The service refused what was entered."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.message for problem in problems))


Answer = TypeVar("Answer", bound=BaseModel)


class ServiceClient:
    """HTTP client of the service. Every method raises a `ServiceError`.

    `api_key` goes with every request as `Authorization: Bearer`; a redirect is not followed, so it
    reaches nobody else.
    A connection that is refused is tried again, `CONNECT_RETRIES` times within a second or so, and
    so is a service that says it is busy.
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
        """The model in production and what it accepts."""
        return self._ask("GET", "/model-info", ModelInfo)

    def predict(self, home: Mapping[str, Any]) -> Valuation:
        """The value of a home."""
        return self._ask("POST", "/predict", Valuation, json=home)

    def predict_batch(self, homes: Sequence[Mapping[str, Any]]) -> BatchValuation:
        """The values of up to 10,000 homes, in their order."""
        return self._ask("POST", "/predict-batch", BatchValuation, json={"properties": list(homes)})

    def predict_table(self, table: bytes) -> bytes:
        """An Arrow stream of up to 10,000 homes, with their estimates as columns beside them."""
        headers = {"content-type": ARROW, "accept": ARROW}
        return self._send("POST", "/predict-batch", content=table, headers=headers).content

    def explain(self, home: Mapping[str, Any]) -> ExplainedValuation:
        """The value of a home and the reasons for it."""
        return self._ask("POST", "/explain", ExplainedValuation, json=home)

    def comparables(
        self, home: Mapping[str, Any], *, count: int, exclude: Sequence[str] = ()
    ) -> ComparableSales:
        """The sales most like a home, but for those in `exclude`."""
        body = {"property": dict(home), "count": count, "exclude": list(exclude)}
        return self._ask("POST", "/comparables", ComparableSales, json=body)

    def market(
        self, by: By, *, state: str | None = None, city: str | None = None, limit: int = 1_000
    ) -> Market:
        """Prices by state, city or zip, the largest places first."""
        query = {"by": by, "state": state, "city": city, "limit": limit}
        return self._ask("GET", "/market", Market, params=_given(query))

    def places(
        self, *, state: str | None = None, city: str | None = None, begins: str = ""
    ) -> Places:
        """The places the model knows, within a state or a city."""
        query = {"state": state, "city": city, "q": begins or None, "limit": 1_000}
        return self._ask("GET", "/places", Places, params=_given(query))

    def coordinates(self) -> Coordinates:
        """Where all the zips are that the model learned from."""
        return self._ask("GET", "/coordinates", Coordinates)

    def history(self) -> History:
        """Why models came and went."""
        return self._ask("GET", "/history", History)

    def metrics(self) -> str:
        """The service's Prometheus metrics, as text."""
        return self._send("GET", "/metrics").text

    def _ask(self, method: str, path: str, kind: type[Answer], **request: Any) -> Answer:
        answer = self._send(method, path, **request)
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError as problem:
            raise NotTheService(self.url) from problem

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """A good answer; asked for again, after a pause, while the service says it is busy."""
        pauses = list(BUSY_PAUSES)
        while True:
            try:
                answer = self._client.request(method, path, **request)
            except httpx.TimeoutException as problem:
                raise ServiceSlow from problem
            except httpx.TransportError as problem:
                raise ServiceDown(self.url) from problem
            if answer.status_code == 429 and pauses:
                time.sleep(pauses.pop(0))
                continue
            if answer.is_success:
                return answer
            raise _refusal(answer)


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _refusal(answer: httpx.Response) -> ServiceError:
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        told = {}
    error = str(told.get("error") or f"status {answer.status_code}")
    match answer.status_code:
        case 400 | 413 | 422:
            return InvalidProperty(_problems(told.get("detail")) or [FieldProblem("", error)])
        case 401 | 403:
            return NotAllowed(error)
        case 404:
            return NotThere(error)
        case 429:
            return ServiceBusy(error)
        case 503 if "no model" in error:
            return NoModel(error)
        case _:
            return ServiceError(error)


def _problems(detail: Any) -> list[FieldProblem]:
    if not isinstance(detail, list):
        return []
    return [
        FieldProblem(str(each["loc"][-1]) if each.get("loc") else "", str(each.get("msg", "")))
        for each in detail
    ]
