"""Converts validation errors of a request to the API's `Problem`s."""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

from pydantic import ValidationError

from realtor_model.listing import FieldProblem, field_problems
from realtor_model.listing.problems import MAX_PROBLEMS
from realtor_serving.contract.schemas import Problem

MAX_SHOWN_VALUE = 200


def problems(error: ValidationError) -> list[Problem]:
    """The first 20 problems of `error`, as the API shows them."""
    return listed_problems(field_problems(error))


def listed_problems(of_home: Iterable[FieldProblem]) -> list[Problem]:
    """The first 20 problems of a home, as the API shows them."""
    return [as_problem(problem) for problem in islice(of_home, MAX_PROBLEMS)]


def as_problem(problem: FieldProblem) -> Problem:
    """`problem` as the API shows it: value and parameters are JSON, cut to 200 characters."""
    return Problem(
        loc=list(problem.loc),
        msg=problem.text,
        code=problem.code,
        params=_plain(problem.params),
        value=_shown(problem.value),
    )


def in_words(problem: Problem) -> str:
    """The location and the text of `problem` in one line."""
    return FieldProblem(tuple(problem.loc), problem.code, {}, problem.msg, None).line


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _shown(value) for name, value in params.items()}


def _shown(value: object) -> Any:
    """`value` as JSON. A long value, or one that JSON cannot hold, becomes text and is cut."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        text = None
    if text is not None and len(text) <= MAX_SHOWN_VALUE:
        # The JSON types: a tuple, for example, becomes a list.
        return json.loads(text)
    return (str(value) if text is None else text)[:MAX_SHOWN_VALUE]
