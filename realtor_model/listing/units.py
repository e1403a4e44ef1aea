"""Units of area: how many square feet one of each has, and the words for them in files."""

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

# Unit -> square feet.
AREA: Mapping[str, float] = MappingProxyType(
    {
        "square feet": 1.0,
        "square meters": 10.763910416709722,
        "acres": 43_560.0,
        "hectares": 107_639.10416709722,
    }
)
# Unit -> the words for it, as `compact` writes them.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "square feet": (
        "sqft", "sqfeet", "sqfoot", "squarefeet", "squarefoot", "squarefootage", "sf", "ft2",
        "feet2", "piescuadrados", "pies2", "pie2",
    ),
    "square meters": (
        "sqm", "sqmeters", "sqmetres", "squaremeters", "squaremetres", "m2", "mt2", "mts2",
        "metroscuadrados", "metros2", "sqmt", "sqmts",
    ),
    "acres": ("acres", "acre", "ac"),
    "hectares": ("hectares", "hectare", "hectareas", "hectarea", "ha"),
}  # fmt: skip
_UNITS = {word: unit for unit, words in _WORDS.items() for word in words}
# The longest word first: "squarefeet" ends in no other unit, but "hectare" in "are".
_LONGEST_FIRST = tuple(sorted(_UNITS, key=len, reverse=True))


def compact(text: str) -> str:
    """A text for comparison: its small letters and digits only, without accents.

    >>> compact(" Sq. Ft. (Living)"), compact("Baños"), compact("LotSizeSquareFeet"), compact("m²")
    ('sqftliving', 'banos', 'lotsizesquarefeet', 'm2')
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in plain if letter.isascii() and letter.isalnum())


def unit_of(word: str) -> str | None:
    """The unit that a word means, or None.

    >>> unit_of("sq. ft."), unit_of("m²"), unit_of("rooms")
    ('square feet', 'square meters', None)
    """
    return _UNITS.get(compact(word))


def without_unit(key: str) -> list[tuple[str, str]]:
    """What may be left of a compact header without its unit, and the unit.

    >>> without_unit("lotsizesquarefeet"), without_unit("sqftlot"), without_unit("roof")
    ([('lotsize', 'square feet')], [('lot', 'square feet')], [])
    """
    if not (key.endswith(_LONGEST_FIRST) or key.startswith(_LONGEST_FIRST)):
        return []
    readings = []
    for word in _LONGEST_FIRST:
        if key.endswith(word):
            readings.append((key.removesuffix(word), _UNITS[word]))
        elif key.startswith(word):
            readings.append((key.removeprefix(word), _UNITS[word]))
    return [(rest, unit) for rest, unit in readings if rest]


def factor(unit: str | None, wanted: str) -> float:
    """What numbers in `unit` are multiplied by to be in the unit `wanted`; None is `wanted`.

    >>> round(factor("acres", "square feet")), factor(None, "square feet")
    (43560, 1.0)
    """
    return 1.0 if unit is None or unit == wanted else AREA[unit] / AREA[wanted]
