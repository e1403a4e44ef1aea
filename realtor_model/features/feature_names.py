"""Names of the features: their groups, the inputs they come from, and their monotone signs."""

from collections.abc import Collection, Mapping
from types import MappingProxyType

from realtor_model.features.place_context import CENSUS, COORDINATES, HOME_VALUE

# Part of every data version. Change it whenever a feature changes, so that the tables are rebuilt.
FEATURE_VERSION = "2"

NEIGHBOURS = ("near_log_price_per_sqft", "around_log_price_per_sqft")

# Groups that can be left out; docs/MODEL.md measures what each of them contributes.
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

# Feature -> inputs it is computed from. Explanations sum features by their first input.
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
# A larger house or one more bathroom never lowers a value; more bedrooms in the same space may.
# 1: the feature rises with the input, -1: it falls.
MONOTONE: Mapping[str, int] = MappingProxyType(
    {
        "bath": 1,
        "bed_bath_ratio": -1,
        "log_house_size": 1,
        "log_sqft_per_acre": 1,
        "sqft_per_bed": 1,
    }
)

# Imputed feature -> the feature that marks the imputation. Models that handle missing values see a
# gap there instead of the imputed value.
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
    """The names of all features except those of `groups`, in the order of the matrix.

    Raises:
        ValueError: a group does not exist.

    >>> set(FEATURE_NAMES) - set(features_without(["status"])) == {"is_sold", "is_ready_to_build"}
    True
    """
    if unknown := sorted(set(groups) - set(FEATURE_GROUPS)):
        raise ValueError(
            f"there is no feature group {', '.join(unknown)}; there are: "
            f"{', '.join(FEATURE_GROUPS)}"
        )
    left_out = {name for group in groups for name in FEATURE_GROUPS[group]}
    return tuple(name for name in FEATURE_NAMES if name not in left_out)
