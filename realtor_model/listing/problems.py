"""Problems of a home or a request, read from pydantic's errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from realtor_model.messages import Parameter, message

MAX_PROBLEMS = 20
# Pydantic's own error type -> our code and the names of its parameters.
_OUR_CODES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "extra_forbidden": ("unknown_field", ()),
    "model_type": ("not_an_object", ()),
    "json_invalid": ("invalid_json", ("error",)),
}


@dataclass(frozen=True)
class FieldProblem:
    """A problem of a received value.

    Attributes:
        loc: path to the value: field names and list positions.
        code: a code of `MESSAGES`, or pydantic's own error type.
        params: parameters of the code, and `input`, the name of the field, if there is one.
        text: the message in English.
        value: the received value.
    """

    loc: tuple[str | int, ...]
    code: str
    params: Mapping[str, Parameter]
    text: str
    value: Any

    @property
    def line(self) -> str:
        """The text, preceded by `loc` unless the text begins with it."""
        place = ".".join(map(str, self.loc))
        return self.text if self.text.startswith(place) else f"{place}: {self.text}"


def field_problems(error: ValidationError, limit: int = MAX_PROBLEMS) -> list[FieldProblem]:
    """The first `limit` problems of a validation error.

    >>> from realtor_model.listing.property import Property
    >>> try:
    ...     Property(state="Texas", bed=101)
    ... except ValidationError as error:
    ...     problem = field_problems(error)[0]
    >>> problem.code, problem.loc, problem.value
    ('out_of_range', ('bed',), 101)
    """
    return [_problem(details) for details in error.errors(include_url=False)[:limit]]


def _problem(details: Mapping[str, Any]) -> FieldProblem:
    context = details.get("ctx", {})
    code, text = details["type"], details["msg"]
    names = [name for name in context if name != "text"]
    if code in _OUR_CODES:
        code, names = _OUR_CODES[code][0], [*_OUR_CODES[code][1]]
        text = message(code, **{name: context[name] for name in names}).text
    params: dict[str, Parameter] = {
        name: context[name]
        for name in names
        if isinstance(context[name], str | int | float | bool | list | None)
    }
    if fields := [name for name in details["loc"] if isinstance(name, str)]:
        params["input"] = fields[-1]
    return FieldProblem(details["loc"], code, params, text, details["input"])
