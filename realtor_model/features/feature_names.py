"""Names of the features: their groups, the inputs they come from, and their monotone signs."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from types import MappingProxyType

from realtor_model.features.place_context import CENSUS, COORDINATES, HOME_VALUE
from realtor_model.listing import COORDINATES as POINT
from realtor_model.listing import (
    US_LISTINGS,
    Column,
    Kind,
    ListingContract,
    Role,
)

# Part of every data version. Change it whenever a feature changes, so that the tables are rebuilt.
FEATURE_VERSION = "3"
# Bundles with these features are served, too: their places are looked up by the keys of this
# version. "2" kept spellings of a place apart, and took no state and city from a zip code.
READABLE_FEATURE_VERSIONS = frozenset({"2", FEATURE_VERSION})

NEIGHBOURS = ("near_log_price_per_sqft", "around_log_price_per_sqft")
# Price levels near and around the home itself, where it has coordinates.
POINT_PRICES = ("near_point_log_price_level", "around_point_log_price_level")
ADDED, POINTS = "added", "points"

# Groups that can be left out; docs/MODEL.md measures what each of them contributes.
_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "home": (
            "bed", "bath", "log_acre_lot", "log_house_size", "bed_bath_ratio",
            "log_sqft_per_acre", "sqft_per_bed",
        ),
        "missingness": (
            "bed_missing", "bath_missing", "acre_lot_missing", "house_size_missing", "land_only",
        ),
        "status": ("is_sold", "is_ready_to_build"),
        "dates": (
            "prev_sale_known", "days_since_prev_sale", "prev_sale_month", "sale_month",
        ),
        "place_prices": (
            "state_log_price_per_sqft", "city_log_price", "city_log_price_per_sqft",
            "zip_log_price", "zip_log_price_per_sqft", "city_log_listings", "zip_log_listings",
        ),
        "broker": ("broker_log_price_effect", "broker_log_price_per_sqft_effect"),
        "neighbours": NEIGHBOURS,
        "coordinates": COORDINATES,
        "census": CENSUS,
        "home_value": HOME_VALUE,
    }
)  # fmt: skip

# Feature -> keys of the inputs it is computed from. Explanations sum features by their first one.
_ZIP = ("zip_code", "city", "state")
_INPUTS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "bed": ("bed",),
        "bath": ("bath",),
        "log_acre_lot": ("acre_lot",),
        "log_house_size": ("house_size",),
        "bed_bath_ratio": ("bath", "bed"),
        "log_sqft_per_acre": ("acre_lot", "house_size"),
        "sqft_per_bed": ("house_size", "bed"),
        "bed_missing": ("bed",),
        "bath_missing": ("bath",),
        "acre_lot_missing": ("acre_lot",),
        "house_size_missing": ("house_size",),
        "land_only": ("house_size", "bed", "bath"),
        "is_sold": ("status",),
        "is_ready_to_build": ("status",),
        **dict.fromkeys(_GROUPS["dates"], ("prev_sold_date", "status")),
        "state_log_price_per_sqft": ("state", "zip_code"),
        "city_log_price": ("city", "state", "zip_code"),
        "city_log_price_per_sqft": ("city", "state", "zip_code"),
        "city_log_listings": ("city", "state", "zip_code"),
        "zip_log_price": _ZIP,
        "zip_log_price_per_sqft": _ZIP,
        "zip_log_listings": ("zip_code",),
        **dict.fromkeys(_GROUPS["broker"], ("brokered_by",)),
        **dict.fromkeys((*NEIGHBOURS, *COORDINATES, *CENSUS, *HOME_VALUE), _ZIP),
    }
)
# Input -> its features that rise (1) or fall (-1) with it alone.
_RISING: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        "bed": {"bed": 1},
        "bath": {"bath": 1, "bed_bath_ratio": -1},
        "acre_lot": {"log_acre_lot": 1},
        "house_size": {"log_house_size": 1, "log_sqft_per_acre": 1, "sqft_per_bed": 1},
    }
)

# Imputed feature -> the feature that flags it, where it is not called like the feature.
MISSING = "_missing"
_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "log_acre_lot": "acre_lot_missing",
        "log_house_size": "house_size_missing",
        "log_sqft_per_acre": "acre_lot_missing",
    }
)


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """The features of a market: those of every market, and those of the columns that it adds.

    Attributes:
        groups: group -> its features. A group can be left out.
        inputs_of: feature -> keys of the inputs it is computed from.
        monotone: feature -> 1 if the price never falls as it rises, -1 if it never rises.
    """

    groups: Mapping[str, tuple[str, ...]]
    inputs_of: Mapping[str, tuple[str, ...]]
    monotone: Mapping[str, int]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All features, in the order of the matrix."""
        return tuple(name for names in self.groups.values() for name in names)

    def without(self, groups: Collection[str]) -> tuple[str, ...]:
        """The names of all features except those of `groups`, in the order of the matrix.

        Raises:
            ValueError: a group does not exist.

        >>> features = features_of(US_LISTINGS)
        >>> sorted(set(features.names) - set(features.without(["status"])))
        ['is_ready_to_build', 'is_sold']
        """
        if unknown := sorted(set(groups) - set(self.groups)):
            raise ValueError(
                f"there is no feature group {', '.join(unknown)}; there are: "
                f"{', '.join(self.groups)}"
            )
        left_out = {name for group in groups for name in self.groups[group]}
        return tuple(name for name in self.names if name not in left_out)


@cache
def features_of(contract: ListingContract) -> FeatureSet:
    """The features of a market's homes.

    Each column that a market adds becomes: a number or a boolean its value, a date its age in
    years, both with a flag of missing values; a category the effects of its values on the price,
    and, where all its choices are declared, the position among them.

    Raises:
        ValueError: a column has the name of a feature.
    """
    added = {name: column for column in contract.extras for name in added_features(column)}
    if taken := sorted(added.keys() & _INPUTS_OF.keys()):
        raise ValueError(f"a column cannot be called {taken[0]}: a feature has this name")
    groups = dict(_GROUPS)
    inputs_of = dict(_INPUTS_OF)
    context = {name: groups.pop(name) for name in ("coordinates", "census", "home_value")}
    if contract.has_coordinates:
        groups[POINTS] = POINT_PRICES
        point = (*POINT, *_ZIP)
        inputs_of |= dict.fromkeys((*POINT_PRICES, *COORDINATES[:2]), point)
    if added:
        groups[ADDED] = tuple(added)
    inputs_of |= {name: (column.key,) for name, column in added.items()}
    signs: dict[str, int] = {}
    for column in contract.columns:
        rising = _RISING.get(column.key, {})
        if column.role is Role.INPUT:
            # An age falls as its date rises.
            rising = {value_feature(column): -1 if column.kind is Kind.DATE else 1}
        if column.monotone:
            signs |= {name: sign * column.monotone for name, sign in rising.items()}
    return FeatureSet(
        MappingProxyType(groups | context),
        MappingProxyType(inputs_of),
        MappingProxyType(signs),
    )


def value_feature(column: Column) -> str:
    """The feature that holds the value of an added column."""
    suffix = {Kind.DATE: "_age", Kind.CATEGORY: "_code"}.get(column.kind, "")
    return f"{column.key}{suffix}"


def added_features(column: Column) -> Iterator[str]:
    """The features of a column that a market adds."""
    if column.kind is not Kind.CATEGORY:
        yield value_feature(column)
        yield f"{value_feature(column)}{MISSING}"
        return
    yield from effect_features(column)
    if column.choices:
        yield value_feature(column)


def effect_features(column: Column) -> tuple[str, str]:
    """The features that hold the effects of a category: on log price, and per square foot."""
    return f"{column.key}_log_price_effect", f"{column.key}_log_price_per_sqft_effect"


def imputed_features(feature_names: Collection[str]) -> list[tuple[str, str]]:
    """Pairs of an imputed feature and the feature that flags its imputed values.

    Models that handle missing values see a gap there instead of the imputed value.

    >>> imputed_features(["bed", "bed_missing", "log_house_size", "house_size_missing"])
    [('bed', 'bed_missing'), ('log_house_size', 'house_size_missing')]
    """
    names = set(feature_names)
    flags = ((name, _FLAGS.get(name, f"{name}{MISSING}")) for name in feature_names)
    return [(name, flag) for name, flag in flags if flag in names]


# The features of the built-in market.
FEATURE_GROUPS = features_of(US_LISTINGS).groups
FEATURE_NAMES = features_of(US_LISTINGS).names
