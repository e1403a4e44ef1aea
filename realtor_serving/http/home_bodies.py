"""Bodies with one home: the home, and notes on how it was read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pydantic_core
from pydantic import ValidationError

from realtor_model.listing import (
    InvalidHome,
    ListingContract,
    ReadHome,
    home_model,
    read_home,
    without_frames,
)
from realtor_model.listing.parsing import ZERO_IS_UNKNOWN
from realtor_model.messages import CodedMessage
from realtor_serving.contract.problems import listed_problems
from realtor_serving.contract.schemas import ComparablesRequest, comparables_request
from realtor_serving.http.requests import InvalidBody


class ReadRequest(NamedTuple):
    """A request for comparables, and notes on how its home was read."""

    request: ComparablesRequest
    notes: Sequence[CodedMessage]


def read_home_body(content: bytes, contract: ListingContract) -> ReadHome | InvalidBody:
    """The home in a body.

    Plain homes are read by their model. It takes the market's own names only, so other homes are
    read by `read_home`.
    """
    try:
        home = home_model(contract).model_validate_json(content)
    except ValidationError as error:
        entries = _decoded(content)
        if not isinstance(entries, dict):
            return InvalidBody.of(error)
    else:
        if not _may_hold_zeros(content, home, contract):
            return ReadHome(home, ())
        entries = _decoded(content)
    try:
        return read_home(entries, contract)
    except InvalidHome as invalid:
        return InvalidBody.with_problems(listed_problems(invalid.problems))


def read_comparables_body(content: bytes, contract: ListingContract) -> ReadRequest | InvalidBody:
    """The request for comparables in a body; its home is read like a home alone."""
    kind = comparables_request(contract)
    try:
        request = kind.model_validate_json(content)
        if not _may_hold_zeros(content, request.property, contract):
            return ReadRequest(request, ())
        body = _decoded(content)
    except ValidationError as error:
        body = _decoded(content)
        if not isinstance(body, dict) or not isinstance(body.get("property"), dict):
            return InvalidBody.of(error)
    try:
        home, notes = read_home(body["property"], contract)
        return ReadRequest(kind.model_validate({**body, "property": home}), notes)
    except InvalidHome as invalid:
        inside = [replace(each, loc=("property", *each.loc)) for each in invalid.problems]
        return InvalidBody.with_problems(listed_problems(inside))
    except ValidationError as error:
        return InvalidBody.of(without_frames(error))


def _decoded(content: bytes) -> Any:
    """The JSON value in `content`; None if it is not JSON."""
    try:
        return pydantic_core.from_json(content)
    except ValueError:
        return None


def _may_hold_zeros(content: bytes, home: Any, contract: ListingContract) -> bool:
    """Whether a zero may have been read as unknown, which the answer has to say."""
    names = [contract.by_role[role].name for role in ZERO_IS_UNKNOWN if role in contract.by_role]
    return any(getattr(home, name) is None and name.encode() in content for name in names)
