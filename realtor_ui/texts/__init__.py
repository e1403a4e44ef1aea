"""All text of the app: one catalogue for each language, and the glossary."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

LANGUAGES = {"en": "English", "es": "Español"}
FALLBACK = "en"
_FOLDER = Path(__file__).parent


class Texts:
    """The catalogue of one language: `texts("value.title")` fills `{names}` in.

    entries: key → text. definitions: term of the glossary → its definition.
    always: values of every text, such as {money}, what stands before an amount.
    """

    always: Mapping[str, str] = {"money": "$", "currency": "$"}

    def __init__(
        self, language: str, entries: Mapping[str, str], definitions: Mapping[str, str]
    ) -> None:
        self.language = language
        self.entries = dict(entries)
        self.definitions = dict(definitions)

    def __call__(self, key: str, **values: object) -> str:
        """The text `key` with `values`.

        Raises:
            KeyError: the catalogue has no such key, or the text needs another value.
        """
        return self.entries[key].format(**{**self.always, **values})

    def named(self, kind: str, name: str | None) -> str:
        """The text of `name`, one of a `kind` ("status", "feature" …), or the name itself.

        >>> catalogue("es").named("status", "sold"), catalogue("es").named("status", "on_hold")
        ('Vendida', 'on hold')
        """
        key = f"{kind}.{name}"
        return self(key) if key in self.entries else str(name).replace("_", " ")

    def define(self, *terms: str) -> str:
        """The glossary's definitions of `terms`, a paragraph each.

        Raises:
            KeyError: the glossary has no such term.
        """
        return "\n\n".join(self.definitions[term] for term in terms)


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> Texts:
    """The texts in `language`, or in English if there are none."""
    known = language if language in LANGUAGES else FALLBACK
    glossary = {name: term[known]["definition"] for name, term in _read("glossary").items()}
    return Texts(known, dict(_flat(_read(known))), glossary)


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _flat(value, f"{key}.")
        else:
            yield key, str(value)
