"""All that the app says, in each of its languages: one catalogue of texts per language."""

import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

LANGUAGES = {"en": "English", "es": "Español"}
FALLBACK = "en"


class Texts:
    """The catalogue of one language: `texts("value.title")`, with `{names}` filled in."""

    def __init__(self, language: str, entries: Mapping[str, str]) -> None:
        self.language = language
        self.entries = dict(entries)

    def __call__(self, key: str, **values: object) -> str:
        """The text `key`. Raises KeyError for one that is in no catalogue."""
        return self.entries[key].format(**values)

    def named(self, kind: str, name: str | None) -> str:
        """What people call `name`, one of a `kind` ("input", "feature" …); else itself."""
        return self.entries.get(f"{kind}.{name}", str(name).replace("_", " "))


@lru_cache(maxsize=len(LANGUAGES))
def catalogue(language: str) -> Texts:
    """The texts in `language`, in English when there are none."""
    known = language if language in LANGUAGES else FALLBACK
    file = Path(__file__).with_name(f"{known}.toml")
    return Texts(known, dict(_flat(tomllib.loads(file.read_text(encoding="utf-8")))))


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in table.items():
        key = f"{prefix}{name}"
        found += _flat(value, f"{key}.") if isinstance(value, dict) else [(key, str(value))]
    return found
