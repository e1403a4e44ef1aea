"""What pydantic found wrong with a request, for a person: where, what, and the value sent."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from realtor_serving.contract.schemas import Problem

MAX_SHOWN_VALUE = 200


MAX_SHOWN_PROBLEMS = 20


def problems(error: ValidationError) -> list[Problem]:
    """What pydantic found, for a person: where, what, and the value that was sent."""
    return [
        Problem(
            loc=list(each["loc"]),
            msg=_in_our_words(each),
            value=_shown(each["input"]),
        )
        for each in error.errors(include_url=False, include_context=False)[:MAX_SHOWN_PROBLEMS]
    ]


def _in_our_words(found: Mapping[str, object]) -> str:
    if found["type"] == "extra_forbidden":
        return "there is no such field; GET /docs.json describes those there are"
    if found["type"] == "model_type":
        return "Input should be an object"
    return str(found["msg"]).removeprefix("Value error, ")


def in_words(problem: Problem) -> str:
    """One line that says where and what."""
    where = ".".join(map(str, problem.loc))
    # The listing contract's own messages begin with the field.
    return problem.msg if problem.msg.startswith(where) else f"{where}: {problem.msg}"


def _shown(value: object) -> Any:
    """`value` as JSON, cut when it is long: an answer never echoes megabytes."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        text = None
    if text is not None and len(text) <= MAX_SHOWN_VALUE:
        # What JSON makes of it: a tuple of a table's map, say, is a list.
        return json.loads(text)
    return (str(value) if text is None else text)[:MAX_SHOWN_VALUE]
