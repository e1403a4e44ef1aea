"""What is wrong with a home or a request, from pydantic's errors: where, code, text and value."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from realtor_model.messages import Parameter, message

MAX_PROBLEMS = 20
# Pydantic's error type -> our code and its parameters, for what pydantic finds by itself.
_OUR_CODES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "extra_forbidden": ("unknown_field", ()),
    "model_type": ("not_an_object", ()),
    "json_invalid": ("invalid_json", ("error",)),
}


@dataclass(frozen=True)
class FieldProblem:
    """One thing that is wrong with what was sent.

    Attributes:
        loc: field names and positions that lead to the value.
        code: one of `MESSAGES`, or else pydantic's own error type.
        params: the code's parameters, and `input`, the name of the field, where there is one.
        text: the English sentence.
        value: what was sent there.
    """

    loc: tuple[str | int, ...]
    code: str
    params: Mapping[str, Parameter]
    text: str
    value: Any

    @property
    def line(self) -> str:
        """The text, with its place in front unless it names the field itself."""
        place = ".".join(map(str, self.loc))
        return self.text if self.text.startswith(place) else f"{place}: {self.text}"


def field_problems(error: ValidationError, limit: int = MAX_PROBLEMS) -> list[FieldProblem]:
    """The first `limit` problems of `error`."""
    return [_problem(each) for each in error.errors(include_url=False)[:limit]]


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
