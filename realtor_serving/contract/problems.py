"""Validation errors of a request as the API's `Problem`s: where, code, text, and the value sent."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from realtor_model.listing import FieldProblem, field_problems
from realtor_serving.contract.schemas import Problem

MAX_SHOWN_VALUE = 200


def problems(error: ValidationError) -> list[Problem]:
    """The first 20 problems of `error`, for an answer."""
    return [as_problem(each) for each in field_problems(error)]


def as_problem(problem: FieldProblem) -> Problem:
    """`problem` as the API shows it: its value and parameters as JSON, cut to a short length."""
    return Problem(
        loc=list(problem.loc),
        msg=problem.text,
        code=problem.code,
        params=_plain(problem.params),
        value=_shown(problem.value),
    )


def in_words(problem: Problem) -> str:
    """One line that says where and what."""
    return FieldProblem(tuple(problem.loc), problem.code, {}, problem.msg, None).line


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _shown(value) for name, value in params.items()}


def _shown(value: object) -> Any:
    """`value` as JSON; one that is long or not JSON as text, cut: answers echo no megabytes."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        text = None
    if text is not None and len(text) <= MAX_SHOWN_VALUE:
        # As JSON has it: a tuple of a table's map, say, becomes a list.
        return json.loads(text)
    return (str(value) if text is None else text)[:MAX_SHOWN_VALUE]
