"""Messages that a program can recognise: a stable code, its parameters, and an English sentence.

A code never changes its meaning. The sentence is made from the code's template and may be reworded;
whoever needs another language makes a sentence of its own from code and parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

Parameter = str | int | float | bool | None | list[str]

MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        # Warnings about a valuation.
        "no_sales_learned": "The model learned from no sales: the estimate is closer to an asking "
        "price.",
        "unknown_place": "{input} {value} is not among the listings the model learned from: the "
        "home is valued by its surroundings.",
        "no_zip_code": "Without a zip code the home is valued by what is usual in its {placed_by}.",
        "valued_as_land": "Without size, bedrooms or bathrooms this is valued as land.",
        "input_missing": "Without {input} the home is valued like listings that leave it out.",
        "outside_learned_range": "{input} {value} is outside the range the model learned from: "
        "{low} to {high} {unit}.",
    }
)


@dataclass(frozen=True)
class CodedMessage:
    """A message: its code in `MESSAGES`, and the parameters of the code's template."""

    code: str
    params: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The English sentence."""
        return MESSAGES[self.code].format(**self.params)

    def to_dict(self) -> dict[str, Any]:
        """code, params and message, as the API, the tables and the history carry them."""
        return {"code": self.code, "params": dict(self.params), "message": self.text}


def message(code: str, **params: Parameter) -> CodedMessage:
    """The message `code` with its parameters.

    Raises:
        KeyError: `MESSAGES` has no such code, or its template needs a parameter that is missing.

    >>> message("no_zip_code", placed_by="city").text
    'Without a zip code the home is valued by what is usual in its city.'
    """
    coded = CodedMessage(code, params)
    coded.text  # noqa: B018  # a template that lacks a parameter fails where the message is made
    return coded
