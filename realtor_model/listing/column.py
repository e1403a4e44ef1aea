"""A column of a listing: its type, its role, its valid values, and the words for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from realtor_model.listing.units import AREA

Words = Mapping[str, str]
NO_WORDS: Words = MappingProxyType({})


class Kind(StrEnum):
    """The type of a column's values."""

    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    DATE = "date"


class Role(StrEnum):
    """What the platform uses a column for. A market has at most one column of each role but INPUT.

    Columns with the role INPUT are what a market adds: the model learns from them as their type
    says, and nothing else depends on them.
    """

    TARGET = "target"
    ID = "id"
    BROKER = "broker"
    STATUS = "status"
    STATE = "state"
    CITY = "city"
    ZIP_CODE = "zip_code"
    LATITUDE = "latitude"
    LONGITUDE = "longitude"
    LIVING_AREA = "living_area"
    LOT_SIZE = "lot_size"
    BEDROOMS = "bedrooms"
    BATHROOMS = "bathrooms"
    SALE_DATE = "sale_date"
    INPUT = "input"


# The key of a role's column in the tables, the matrix and the bundle, whatever a market calls it.
KEYS: Mapping[Role, str] = MappingProxyType(
    {
        Role.BROKER: "brokered_by",
        Role.STATUS: "status",
        Role.TARGET: "price",
        Role.BEDROOMS: "bed",
        Role.BATHROOMS: "bath",
        Role.LOT_SIZE: "acre_lot",
        Role.ID: "street",
        Role.CITY: "city",
        Role.STATE: "state",
        Role.ZIP_CODE: "zip_code",
        Role.LIVING_AREA: "house_size",
        Role.SALE_DATE: "prev_sold_date",
        Role.LATITUDE: "latitude",
        Role.LONGITUDE: "longitude",
    }
)
COORDINATES = (KEYS[Role.LATITUDE], KEYS[Role.LONGITUDE])
# The id only keeps a home from being its own comparable.
_WITHOUT_EFFECT = frozenset({Role.STATUS, Role.SALE_DATE, Role.ID})
# The columns of every listing, in the order in which rows are hashed. A market without one of them
# has it with missing values only.
CORE_KEYS = tuple(key for key in KEYS.values() if key not in COORDINATES)
_KINDS_OF: Mapping[Role, frozenset[Kind]] = MappingProxyType(
    {
        **dict.fromkeys(Role, frozenset({Kind.NUMBER, Kind.INTEGER})),
        **dict.fromkeys((Role.ID, Role.BROKER), frozenset({Kind.INTEGER, Kind.CATEGORY})),
        **dict.fromkeys(
            (Role.STATUS, Role.STATE, Role.CITY, Role.ZIP_CODE), frozenset({Kind.CATEGORY})
        ),
        Role.SALE_DATE: frozenset({Kind.DATE}),
        Role.INPUT: frozenset(Kind),
    }
)


class Range(NamedTuple):
    """The valid values of a numeric column, both ends included.

    >>> str(Range(1, 100, "bedrooms"))
    'from 1 to 100 bedrooms'
    """

    low: float
    high: float
    unit: str

    def __str__(self) -> str:
        return f"from {self.low:,g} to {self.high:,.12g} {self.unit}"


@dataclass(frozen=True, eq=False)
class Column:
    """The declaration of a column.

    Attributes:
        name: its name in requests, answers and files.
        kind: the type of its values.
        role: what it is used for.
        range: valid values of numbers, with their unit; None for other kinds.
        step: by how much the form changes a number at a time.
        usual: the interval that curves over a number show; None: its whole range.
        choices: all valid values of a category, in the order of the form; empty: any text.
        sold: the choices of the status that mean a sale.
        default: the value of a home that gives none.
        required: whether a listing without a value is invalid.
        in_every_batch: whether a batch without the column is refused.
        monotone: 1: the price never falls as the value rises, -1: it never rises, 0: any.
        headers: other headers of the column in files, the best one first -> the unit that their
            values have; None: the header states none.
        parts: headers of columns whose weighted sum is the value -> their weights, such as
            full_baths -> 1 and half_baths -> 0.5. Headers of the same weight mean the same.
        synonyms: choice -> other words for it in files.
        labels: language -> what people call it.
        help: language -> a sentence about it.
        example: a usual value.
        in_us: whether the market is in the United States: all spellings of a state are its name.
    """

    name: str
    kind: Kind
    role: Role = Role.INPUT
    range: Range | None = None
    step: float | None = None
    usual: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()
    sold: tuple[str, ...] = ()
    default: str | None = None
    required: bool = False
    in_every_batch: bool = False
    monotone: int = 0
    headers: Mapping[str, str | None] = field(default_factory=dict)
    parts: Mapping[str, float] = field(default_factory=dict)
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Words = NO_WORDS
    help: Words = NO_WORDS
    example: str | float | bool | None = None
    in_us: bool = True

    @property
    def key(self) -> str:
        """Its name in tables and features: that of its role, or its own."""
        return KEYS.get(self.role, self.name)

    @property
    def label(self) -> str:
        """What people call it, in English."""
        return self.labels.get("en", self.name)

    @property
    def is_whole(self) -> bool:
        """Whether its values are whole numbers."""
        return self.kind is Kind.INTEGER

    @property
    def moves_estimate(self) -> bool:
        """Whether an estimate depends on the value: homes are valued as if sold today.

        A home with an unreadable value of another column is still valued, without that value.
        """
        return self.role not in _WITHOUT_EFFECT

    @property
    def is_area(self) -> bool:
        """Whether its values are areas, which files have in several units."""
        return self.range is not None and self.range.unit in AREA


def kinds_of(role: Role) -> frozenset[Kind]:
    """The types that a column of `role` may have."""
    return _KINDS_OF[role]
