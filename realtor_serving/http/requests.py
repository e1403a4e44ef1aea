"""What comes in: bodies read and checked, with errors that name field, value and range."""

from collections.abc import Iterable, Sequence
from typing import Self, TypeVar

import bentoml
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from realtor_model.listing import Property, without_frames
from realtor_serving.contract.problems import in_words, problems
from realtor_serving.contract.schemas import ComparablesRequest, Problem, Refusal

UNAVAILABLE_RETRY_SECONDS = 5


def refuse(status: int, error: str, detail: Iterable[Problem] = ()) -> Response:
    """The answer to a request that cannot be served."""
    refusal = Refusal(error=error, detail=list(detail))
    return JSONResponse(refusal.model_dump(mode="json"), status_code=status)


def unavailable(error: str) -> Response:
    """The answer while there is nothing to answer with; it says when to ask again."""
    response = refuse(503, error)
    response.headers["Retry-After"] = str(UNAVAILABLE_RETRY_SECONDS)
    return response


class InvalidBody:
    """A request that cannot be read; an endpoint answers it with `rejection`."""

    def __init__(self, error: str, detail: Sequence[Problem] = ()) -> None:
        self._error = error
        self._detail = detail

    @classmethod
    def of(cls, error: ValidationError, hint: str = "") -> "InvalidBody":
        """A body, or a query, that breaks its schema; `hint` is for one that is no JSON."""
        found = problems(without_frames(error))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        kind = error.errors(include_url=False, include_context=False)[0]["type"]
        unread = hint if kind == "json_invalid" else ""
        return cls(f"{in_words(found[0])}{more}{unread}", found)

    @property
    def response(self) -> Response:
        """400 with the reasons."""
        return refuse(400, self._error, self._detail)


def rejection(body: object) -> Response | None:
    """The answer to a body that breaks its schema; None for one that keeps it."""
    return body.response if isinstance(body, InvalidBody) else None


class Body(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML has no types
    """A JSON body. BentoML's own reading would answer errors without the value, and log each."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "Self | InvalidBody":
        """Read the body, whatever content type it claims."""
        try:
            # The gate hands it over whole.
            message = await request.receive()
            return cls.model_validate_json(message["body"])  # type: ignore[no-any-return]
        except ValidationError as error:
            return InvalidBody.of(error)


class PropertyBody(Body, Property):
    """One property: what a person knows about a home."""


class ComparablesBody(Body, ComparablesRequest):
    """A property, and what is wanted of its comparables."""


Query = TypeVar("Query", bound=BaseModel)


def read_query(request: Request, kind: type[Query]) -> "Query | InvalidBody":
    """The query parameters of a GET request; a blank one is nothing, as in a property."""
    told = {
        name: value
        for name, value in request.query_params.items()
        if value.strip() or name not in kind.model_fields
    }
    try:
        return kind.model_validate(told)
    except ValidationError as error:
        return InvalidBody.of(error)


def json_response(answer: BaseModel, status: int = 200) -> Response:
    """`answer` as JSON, written once by pydantic."""
    return Response(answer.model_dump_json(), status, media_type="application/json")
