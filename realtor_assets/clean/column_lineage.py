"""Column lineage of the clean tables: the source columns of each column."""

from collections.abc import Iterable, Sequence

import dagster as dg

from realtor_model.features import FEATURE_GROUPS, LEVELS, MEASURES, features_of
from realtor_model.listing import TARGET, US_LISTINGS

_GROUP_OF = {name: group for group, names in FEATURE_GROUPS.items() for name in names}
_PLACES = ("state", "city", "zip_code", "brokered_by")
_DATE = ("prev_sold_date", "status")
_SIZE = "house_size"
_PRICES = {"log_price": (TARGET,), "log_price_per_sqft": (TARGET, _SIZE)}

Dependency = tuple[str, str]


def column_lineage(table: str, columns: Sequence[str]) -> dg.TableColumnLineage:
    """The source columns of each of `columns` of a clean table, where it has any."""
    sources = {column: _sources(table, column) for column in columns}
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(asset), name) for asset, name in origins]
            for column, origins in sources.items()
            if origins
        }
    )


def _sources(table: str, column: str) -> list[Dependency]:
    if table == "encoding_mappings":
        return _of("raw_train", (*_PLACES, *_PRICES.get(column, ())))
    if table == "preprocessing_statistics":
        return _of("raw_train", (*MEASURES, *_DATE, TARGET)) if column == "value" else []
    if table == "zip_context":
        near = _GROUP_OF.get(column) == "neighbours"
        return _of("raw_train", ("zip_code", *_PRICES["log_price_per_sqft"])) if near else []
    raw = table.replace("clean_", "raw_")
    if column in features_of(US_LISTINGS).inputs_of:
        return [*_of(raw, features_of(US_LISTINGS).inputs_of[column]), *_fitted(column)]
    if column == "price_per_sqft":
        return _of(raw, _PRICES["log_price_per_sqft"])
    if column == "sqft_per_acre":
        return [*_of(raw, ("acre_lot", _SIZE)), _STATISTICS]
    if column in ("prev_sale_year", "prev_sale_quarter"):
        return _of(raw, _DATE)
    for name in (*LEVELS, *MEASURES):
        if column == f"{name}_code":
            return [(raw, name), ("encoding_mappings", "code")]
        if column == f"{name}_z":
            return [(raw, name), _STATISTICS]
    return [(raw, column)]


_STATISTICS: Dependency = ("preprocessing_statistics", "value")


def _fitted(feature: str) -> list[Dependency]:
    """The columns of the encoder's tables that a feature uses."""
    group = _GROUP_OF[feature]
    if group in ("home", "dates"):
        return [_STATISTICS]
    if group in ("place_prices", "broker"):
        kinds = ("listings", "log_price_per_sqft", "log_price")
        kind = next(kind for kind in kinds if kind in feature)
        return [("encoding_mappings", kind)]
    if group in ("neighbours", "coordinates", "census", "home_value"):
        return [("zip_context", feature)]
    return []


def _of(table: str, columns: Iterable[str]) -> list[Dependency]:
    return [(table, column) for column in columns]
