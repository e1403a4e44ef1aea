"""The features by name: in which group they come, from which input, and which way they move."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from realtor_model.features.place_context import CENSUS, COORDINATES, HOME_VALUE

# Part of every data version: changing what a feature means, and this text, rebuilds the tables.
FEATURE_VERSION = "2"

NEIGHBOURS = ("near_log_price_per_sqft", "around_log_price_per_sqft")

# What is bought together is left out together: `docs/MODEL.md` says what each group buys.
FEATURE_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
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
FEATURE_NAMES = tuple(name for names in FEATURE_GROUPS.values() for name in names)

# Feature -> the inputs that it is computed from; explanations add features up by the first of them.
_ZIP = ("zip_code", "city", "state")
INPUTS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
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
        **dict.fromkeys(FEATURE_GROUPS["dates"], ("prev_sold_date", "status")),
        "state_log_price_per_sqft": ("state", "zip_code"),
        "city_log_price": ("city", "state", "zip_code"),
        "city_log_price_per_sqft": ("city", "state", "zip_code"),
        "city_log_listings": ("city", "state", "zip_code"),
        "zip_log_price": _ZIP,
        "zip_log_price_per_sqft": _ZIP,
        "zip_log_listings": ("zip_code",),
        **dict.fromkeys(FEATURE_GROUPS["broker"], ("brokered_by",)),
        **dict.fromkeys((*NEIGHBOURS, *COORDINATES, *CENSUS, *HOME_VALUE), _ZIP),
    }
)
# A larger house and one more bathroom never lower a value; more bedrooms in the same space may.
# The sign is the one of the feature when the input grows.
MONOTONE: Mapping[str, int] = MappingProxyType(
    {
        "bath": 1,
        "bed_bath_ratio": -1,
        "log_house_size": 1,
        "log_sqft_per_acre": 1,
        "sqft_per_bed": 1,
    }
)

# Features that are imputed where an input is missing, and the one that says so: a model that can
# tell missing from typical may see the gap itself.
IMPUTED: Mapping[str, str] = MappingProxyType(
    {
        "bed": "bed_missing",
        "bath": "bath_missing",
        "log_acre_lot": "acre_lot_missing",
        "log_house_size": "house_size_missing",
        "log_sqft_per_acre": "acre_lot_missing",
    }
)


def features_without(groups: Collection[str]) -> tuple[str, ...]:
    """The names of all features but those of `groups`.

    Raises:
        ValueError: a group that does not exist.
    """
    if unknown := sorted(set(groups) - set(FEATURE_GROUPS)):
        raise ValueError(
            f"there is no feature group {', '.join(unknown)}; there are: "
            f"{', '.join(FEATURE_GROUPS)}"
        )
    left_out = {name for group in groups for name in FEATURE_GROUPS[group]}
    return tuple(name for name in FEATURE_NAMES if name not in left_out)
