"""Request bodies and queries, and the responses that refuse them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import bentoml
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from realtor_model.listing import without_frames
from realtor_model.messages import CodedMessage, message
from realtor_model.registry_names import PRODUCTION_ALIAS, REGISTERED_MODEL
from realtor_serving.champion.served_champion import Champion
from realtor_serving.contract.problems import in_words, problems
from realtor_serving.contract.schemas import Problem, Refusal

UNAVAILABLE_RETRY_SECONDS = 5


def refuse(status: int, reason: CodedMessage, detail: Iterable[Problem] = ()) -> Response:
    """The response to a refused request: a `Refusal` as JSON.

    Args:
        status: HTTP status, 400 to 599.
        reason: code, parameters and text of the refusal.
        detail: the errors in the body or the query.
    """
    refusal = Refusal(
        error=reason.text, code=reason.code, params=dict(reason.params), detail=list(detail)
    )
    return JSONResponse(refusal.model_dump(mode="json"), status_code=status)


def unavailable(reason: CodedMessage) -> Response:
    """A refusal with status 503 and the header Retry-After."""
    response = refuse(503, reason)
    response.headers["Retry-After"] = str(UNAVAILABLE_RETRY_SECONDS)
    return response


def no_model() -> Response:
    """The 503 response while no model is loaded."""
    return unavailable(message("no_model", model=REGISTERED_MODEL, alias=PRODUCTION_ALIAS))


def lacks_market_data(champion: Champion) -> Response:
    """The 404 response if the champion's bundle has no market data: sales or statistics."""
    return refuse(404, message("model_lacks_market_data", version=champion.registered.version))


class InvalidBody:
    """A body or a query that cannot be read, and the response that says why."""

    def __init__(self, reason: CodedMessage, detail: Sequence[Problem] = ()) -> None:
        self._reason = reason
        self._detail = detail

    @classmethod
    def of(cls, error: ValidationError, hint: str = "") -> "InvalidBody":
        """A body or a query that breaks its schema; `hint` is added if a body is not JSON."""
        return cls.with_problems(problems(without_frames(error)), error.error_count(), hint)

    @classmethod
    def with_problems(
        cls, details: Sequence[Problem], count: int | None = None, hint: str = ""
    ) -> "InvalidBody":
        """A body with these problems, the first ones of `count`; see `of`."""
        others = (count or len(details)) - 1
        more = f" (and {others} more)" if others else ""
        unread = hint if details[0].code == "invalid_json" else ""
        return cls(
            message("invalid_request", reason=f"{in_words(details[0])}{more}{unread}"), details
        )

    @property
    def response(self) -> Response:
        """The 400 response with all errors."""
        return refuse(400, self._reason, self._detail)


class RawBody(NamedTuple):
    """A body as it arrived. The market of the model in production says what it may hold.

    Attributes:
        content: the bytes.
        headers: of the request, as ASGI has them.
    """

    content: bytes
    headers: Iterable[tuple[bytes, bytes]]


class UnreadBody(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML has no types
    """What BentoML knows of a body: nothing, because an endpoint gets a `RawBody`.

    BentoML's own error answers lack the value that was sent, and BentoML logs each of them.
    """


def read_query[Query: BaseModel](request: Request, kind: type[Query]) -> "Query | InvalidBody":
    """The checked query parameters of a GET request. A blank value counts as missing."""
    parameters = {
        name: value
        for name, value in request.query_params.items()
        if value.strip() or name not in kind.model_fields
    }
    try:
        return kind.model_validate(parameters)
    except ValidationError as error:
        return InvalidBody.of(error)


def json_response(answer: BaseModel, status: int = 200) -> Response:
    """A JSON response, serialized by pydantic."""
    return Response(answer.model_dump_json(), status, media_type="application/json")
