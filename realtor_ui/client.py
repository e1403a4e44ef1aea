"""The valuation service as the app sees it: typed answers, and errors that a person can act on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

CONNECT_RETRIES = 2


class ModelRef(BaseModel):
    """The model that answered."""

    name: str
    version: str
    stage: str
    candidate: str


class Valuation(BaseModel):
    """What a home would sell for, dollars."""

    price: float
    low: float
    high: float
    coverage: float
    confidence: Literal["high", "medium", "low"]
    as_of: str
    warnings: list[str]
    model: ModelRef


class Contribution(BaseModel):
    """What one input adds to the price, dollars."""

    input: str
    value: str | float | int | None
    dollars: float


class ExplainedValuation(BaseModel):
    """A valuation with its reasons: base_price plus all contributions is the price."""

    valuation: Valuation
    base_price: float
    contributions: list[Contribution]


class AllowedInput(BaseModel):
    """What an input may be: a range with a unit, or one of some choices, or free."""

    low: float | None = None
    high: float | None = None
    unit: str | None = None
    choices: list[str] | None = None


class ModelInfo(BaseModel):
    """The model in production."""

    version: str
    stage: str
    candidate: str
    trained_at: datetime
    as_of: str
    train_rows: int
    coverage: float
    metrics: dict[str, dict[str, float]]
    inputs: dict[str, AllowedInput]
    loaded_at: datetime


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field; field is "" when it is the whole that lacks something."""

    field: str
    message: str


class ServiceError(Exception):
    """The service gave no answer to show. The text is for the person who asked."""


class ServiceUnavailable(ServiceError):
    """The service does not answer, or cannot now."""


class NoModel(ServiceError):
    """The service runs and has no model yet."""


class InvalidProperty(ServiceError):
    """The service refused what was entered."""

    def __init__(self, problems: Sequence[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problem.message for problem in problems))


Answer = TypeVar("Answer", bound=BaseModel)


class ServiceClient:
    """HTTP client of the service. Every method raises a `ServiceError`.

    A connection that is refused is tried again, `CONNECT_RETRIES` times within a second or so.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 20.0) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=self.url,
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
        return self._ask("POST", "/predict", Valuation, home)

    def explain(self, home: Mapping[str, Any]) -> ExplainedValuation:
        """The value of a home and the reasons for it."""
        return self._ask("POST", "/explain", ExplainedValuation, home)

    def _ask(
        self, method: str, path: str, kind: type[Answer], body: Mapping[str, Any] | None = None
    ) -> Answer:
        try:
            answer = self._client.request(method, path, json=body)
        except httpx.TimeoutException as problem:
            raise ServiceUnavailable(
                "The valuation service takes too long to answer. It may be busy: try again."
            ) from problem
        except httpx.TransportError as problem:
            raise ServiceUnavailable(
                f"The valuation service at {self.url} does not answer."
            ) from problem
        if answer.is_success:
            try:
                return kind.model_validate_json(answer.content)
            except ValidationError as problem:
                raise ServiceUnavailable(
                    f"{self.url} answers something else than a valuation service does."
                ) from problem
        raise _refusal(answer)


def _refusal(answer: httpx.Response) -> ServiceError:
    try:
        told = answer.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        told = {}
    error = str(told.get("error") or f"status {answer.status_code}")
    match answer.status_code:
        case 400 | 422:
            return InvalidProperty(_problems(told.get("detail")) or [FieldProblem("", error)])
        case 429:
            return ServiceUnavailable("The valuation service is busy. Try again in a moment.")
        case 503 if "no model" in error:
            return NoModel("The valuation service has no model yet.")
        case _:
            return ServiceUnavailable(f"The valuation service could not answer: {error}")


def _problems(detail: Any) -> list[FieldProblem]:
    if not isinstance(detail, list):
        return []
    return [
        FieldProblem(str(each["loc"][0]) if each.get("loc") else "", str(each.get("msg", "")))
        for each in detail
    ]
