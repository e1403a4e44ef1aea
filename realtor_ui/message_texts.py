"""Coded messages of the service and the pipeline in the language of the reader."""

import string
from collections.abc import Mapping
from typing import Any

from realtor_ui.market_texts import MarketTexts
from realtor_ui.responses import CodedMessage
from realtor_ui.texts import Texts

# Parameters that hold names, and the section of the catalogue that translates them.
_NAMES = {"input": "input", "column": "input", "feature": "input", "others": "input",
          "unit": "measure", "measure": "measure", "order": "day_order"}  # fmt: skip
# Parameters that hold words of a file, which stay as they are.
_VERBATIM = frozenset({"columns", "fields", "sheets", "other_sheets"})
# Text entered by a person is cut to this many characters.
_MAX_VALUE = 100


class _Sentence(string.Formatter):
    """`str.format`, with numbers that have no format of their own written as 1,234.5."""

    def format_field(self, value: Any, format_spec: str) -> str:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return str(super().format_field(value, format_spec or (",.10g" if is_number else "")))


def message_text(texts: Texts, message: CodedMessage) -> str:
    """The text of the message's code with its parameters.

    A message whose code has no text in the catalogue, or that lacks a parameter of it, is returned
    in its own words, which are English.
    """
    template = texts.entries.get(f"message.{message.code}")
    if template is not None:
        try:
            return _Sentence().format(
                template, **{**_translated(texts, message.params), **texts.always}
            )
        except (KeyError, ValueError):
            pass
    return message.message[:1].upper() + message.message[1:]


def _choice(texts: Texts, name: str, choice: str) -> str:
    return texts.choice(name, choice) if isinstance(texts, MarketTexts) else str(choice)


def _translated(texts: Texts, params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` with names of inputs, units and choices as people call them."""
    translated: dict[str, Any] = {}
    for name, value in params.items():
        if name == "placed_by":
            # It stands within the sentence.
            translated[name] = texts.named("input", value).lower()
        elif name == "choices":
            choices = [_choice(texts, str(params.get("input")), choice) for choice in value]
            translated[name] = ", ".join(choices)
        elif name in _VERBATIM and isinstance(value, list):
            translated[name] = ", ".join(str(item) for item in value)
        elif isinstance(value, list):
            names = [texts.named(_NAMES.get(name, name), str(item)) for item in value]
            translated[name] = ", ".join(names)
        elif name in _NAMES:
            translated[name] = texts.named(_NAMES[name], value)
        elif value is None:
            translated[name] = texts("unit.not_given")
        else:
            is_number = isinstance(value, int | float)
            translated[name] = value if is_number else str(value)[:_MAX_VALUE]
    return translated
