"""Names of the states and territories of the United States, in the spellings that people write."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

# Name in the listings -> the USPS code, traditional abbreviations, and the Spanish name where it
# differs by more than accents. Spellings are compared by their letters alone.
_SPELLINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Alabama": ("AL", "Ala."),
        "Alaska": ("AK", "Alas."),
        "American Samoa": ("AS", "Samoa Americana"),
        "Arizona": ("AZ", "Ariz."),
        "Arkansas": ("AR", "Ark."),
        "Armed Forces Americas": ("AA",),
        "Armed Forces Europe": ("AE",),
        "Armed Forces Pacific": ("AP",),
        "California": ("CA", "Calif.", "Cal.", "Cali."),
        "Colorado": ("CO", "Colo.", "Col."),
        "Connecticut": ("CT", "Conn."),
        "Delaware": ("DE", "Del."),
        "District of Columbia": (
            "DC", "Washington DC", "Dist. of Columbia", "Washington, District of Columbia",
            "Distrito de Columbia",
        ),
        "Florida": ("FL", "Fla.", "Flor."),
        "Georgia": ("GA",),
        "Guam": ("GU",),
        "Hawaii": ("HI", "Haw.", "Hawái"),
        "Idaho": ("ID", "Ida."),
        "Illinois": ("IL", "Ill.", "Ills."),
        "Indiana": ("IN", "Ind."),
        "Iowa": ("IA",),
        "Kansas": ("KS", "Kan.", "Kans."),
        "Kentucky": ("KY", "Ken.", "Kent."),
        "Louisiana": ("LA", "Luisiana"),
        "Maine": ("ME",),
        "Marshall Islands": ("MH", "Islas Marshall"),
        "Maryland": ("MD", "Mary."),
        "Massachusetts": ("MA", "Mass."),
        "Michigan": ("MI", "Mich."),
        "Minnesota": ("MN", "Minn.", "Minesota"),
        "Mississippi": ("MS", "Miss.", "Misisipi"),
        "Missouri": ("MO", "Misuri"),
        "Montana": ("MT", "Mont."),
        "Nebraska": ("NE", "Neb.", "Nebr."),
        "Nevada": ("NV", "Nev."),
        "New Hampshire": ("NH", "N. Hampshire", "Nuevo Hampshire", "Nueva Hampshire"),
        "New Jersey": ("NJ", "N. Jersey", "Nueva Jersey"),
        "New Mexico": ("NM", "N. Mexico", "N. Mex.", "New Mex.", "Nuevo México"),
        "New York": ("NY", "N. York", "New York State", "Nueva York"),
        "North Carolina": ("NC", "N. Carolina", "No. Carolina", "N. Car.", "Carolina del Norte"),
        "North Dakota": ("ND", "N. Dakota", "No. Dakota", "N. Dak.", "Dakota del Norte"),
        "Northern Mariana Islands": (
            "MP", "CNMI", "N. Mariana Islands", "Islas Marianas del Norte",
        ),
        "Ohio": ("OH",),
        "Oklahoma": ("OK", "Okla."),
        "Oregon": ("OR", "Ore.", "Oreg."),
        "Pennsylvania": ("PA", "Penn.", "Penna.", "Pensilvania"),
        "Puerto Rico": ("PR", "Porto Rico"),
        "Rhode Island": ("RI", "R. Island"),
        "South Carolina": ("SC", "S. Carolina", "So. Carolina", "S. Car.", "Carolina del Sur"),
        "South Dakota": ("SD", "S. Dakota", "So. Dakota", "S. Dak.", "Dakota del Sur"),
        "Tennessee": ("TN", "Tenn.", "Tenesí"),
        "Texas": ("TX", "Tex.", "Tejas"),
        "Utah": ("UT",),
        "Vermont": ("VT", "Verm."),
        "Virgin Islands": (
            "VI", "USVI", "US Virgin Islands", "United States Virgin Islands",
            "Virgin Islands of the United States", "Islas Vírgenes", "Islas Vírgenes Americanas",
            "Islas Vírgenes de los Estados Unidos", "Islas Vírgenes de EE. UU.",
        ),
        "Virginia": ("VA", "Virg."),
        "Washington": ("WA", "Wash.", "Washington State"),
        "West Virginia": (
            "WV", "W. Va.", "West Va.", "W. Virginia", "Virginia Occidental", "Virginia del Oeste",
        ),
        "Wisconsin": ("WI", "Wis.", "Wisc."),
        "Wyoming": ("WY", "Wyo."),
    }
)  # fmt: skip
STATES = frozenset(_SPELLINGS)

# ISO 3166-2 writes US-TX; an address writes TX 77008, or Texas, USA.
_COUNTRY_BEFORE = re.compile(r"\s*usa?[\s.:/_-]+(?=\w)", re.IGNORECASE)
_AFTER = re.compile(r"[\s,]+(?:\d{5}(?:-\d{4})?|u\.?s\.?(?:a\.?)?)\s*$", re.IGNORECASE)


@lru_cache(maxsize=10_000)
def state_name(text: str) -> str | None:
    """The name of the state or territory that `text` spells; None if it spells none.

    >>> state_name("Tex."), state_name("US-TX"), state_name("n. carolina"), state_name("TX 77008")
    ('Texas', 'Texas', 'North Carolina', 'Texas')
    >>> state_name("Nueva York"), state_name("D.C."), state_name("Madrid")
    ('New York', 'District of Columbia', None)
    """
    name = _NAMES.get(_letters(text))
    if name is None:
        stripped = _AFTER.sub("", _COUNTRY_BEFORE.sub("", unicodedata.normalize("NFKC", text)))
        name = _NAMES.get(_letters(stripped))
    return name


def _letters(text: str) -> str:
    """The small letters and digits of `text`, without accents."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(filter(str.isalnum, plain))


_NAMES: Mapping[str, str] = MappingProxyType(
    {_letters(each): name for name, others in _SPELLINGS.items() for each in (name, *others)}
)
