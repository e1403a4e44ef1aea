"""Reads and checks what comes in, and makes the answers that refuse it."""

from collections.abc import Iterable, Sequence
from typing import Self, TypeVar

import bentoml
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from realtor_model.listing import Property, without_frames
from realtor_model.messages import CodedMessage, message
from realtor_model.registry_names import PRODUCTION_ALIAS, REGISTERED_MODEL
from realtor_serving.champion.served_champion import Champion
from realtor_serving.contract.problems import in_words, problems
from realtor_serving.contract.schemas import ComparablesRequest, Problem, Refusal

UNAVAILABLE_RETRY_SECONDS = 5


def refuse(status: int, reason: CodedMessage, detail: Iterable[Problem] = ()) -> Response:
    """The answer to a request that is not served: a `Refusal`."""
    refusal = Refusal(
        error=reason.text, code=reason.code, params=dict(reason.params), detail=list(detail)
    )
    return JSONResponse(refusal.model_dump(mode="json"), status_code=status)


def unavailable(reason: CodedMessage) -> Response:
    """503, with the seconds after which to ask again."""
    response = refuse(503, reason)
    response.headers["Retry-After"] = str(UNAVAILABLE_RETRY_SECONDS)
    return response


def no_model() -> Response:
    """503 while there is no champion."""
    return unavailable(message("no_model", model=REGISTERED_MODEL, alias=PRODUCTION_ALIAS))


def lacks_market_data(champion: Champion) -> Response:
    """404 where the champion's bundle carries neither sales nor statistics of the market."""
    return refuse(404, message("model_lacks_market_data", version=champion.registered.version))


class InvalidBody:
    """A body or a query that cannot be read, and the answer that says why."""

    def __init__(self, reason: CodedMessage, detail: Sequence[Problem] = ()) -> None:
        self._reason = reason
        self._detail = detail

    @classmethod
    def of(cls, error: ValidationError, hint: str = "") -> "InvalidBody":
        """A body or a query that breaks its schema; `hint` is added where it is not JSON."""
        found = problems(without_frames(error))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        unread = hint if found[0].code == "invalid_json" else ""
        return cls(message("invalid_request", reason=f"{in_words(found[0])}{more}{unread}"), found)

    @property
    def response(self) -> Response:
        """400 with the reasons."""
        return refuse(400, self._reason, self._detail)


class Body(bentoml.IODescriptor):  # type: ignore[misc]  # BentoML has no types
    """A JSON body, which `Endpoints` reads.

    BentoML's own reading would answer errors without the value, and log each.
    """


class RawBody(Body):
    """A body that the endpoint itself reads, of one of several content types."""

    @classmethod
    def of(cls, headers: Headers, content: bytes) -> Self:
        """The body with what its request's headers say about it."""
        raise NotImplementedError


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
