"""The glossary, from the file that the app's help texts are made from."""

import tomllib
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "realtor_ui/texts/glossary.toml"


def page() -> str:
    """The page: every term in English, in alphabetical order, with its Spanish title."""
    terms = tomllib.loads(SOURCE.read_text(encoding="utf-8")).values()
    entries = [
        f"## {term['en']['title']}\n\n{term['en']['definition']}\n\n"
        f"*Spanish: {term['es']['title']}*"
        for term in sorted(terms, key=lambda term: str(term["en"]["title"]).casefold())
    ]
    return "\n\n".join(["# Glossary", "The app's help texts use the same definitions.", *entries])
