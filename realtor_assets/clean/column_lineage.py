"""Column lineage of the clean tables: the source columns of each column."""

from collections.abc import Iterable, Sequence

import dagster as dg

from realtor_model.features import LEVELS, MEASURES, features_of
from realtor_model.listing import COORDINATES, TARGET, Kind, ListingContract

_PLACES = ("state", "city", "zip_code", "brokered_by")
_DATE = ("prev_sold_date", "status")
_SIZE = "house_size"
_PRICES = {"log_price": (TARGET,), "log_price_per_sqft": (TARGET, _SIZE)}

Dependency = tuple[str, str]


def column_lineage(
    table: str, columns: Sequence[str], contract: ListingContract
) -> dg.TableColumnLineage:
    """The source columns of each of `columns` of a clean table, where it has any.

    Args:
        contract: of the market that the table was built for.
    """
    sources = {column: _sources(table, column, contract) for column in columns}
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(dg.AssetKey(asset), name) for asset, name in origins]
            for column, origins in sources.items()
            if origins
        }
    )


def _sources(table: str, column: str, contract: ListingContract) -> list[Dependency]:
    categories = [added.key for added in contract.extras if added.kind is Kind.CATEGORY]
    if table == "encoding_mappings":
        return _of("raw_train", (*_PLACES, *categories, *_PRICES.get(column, ())))
    if table == "preprocessing_statistics":
        numbers = [added.key for added in contract.extras if added.key not in categories]
        measures = (*MEASURES, *_DATE, *numbers, TARGET)
        return _of("raw_train", measures) if column == "value" else []
    if table == "zip_context":
        near = column in features_of(contract).groups["neighbours"]
        return _of("raw_train", ("zip_code", *_PRICES["log_price_per_sqft"])) if near else []
    if table == "point_prices":
        level = _PRICES["log_price_per_sqft"] if column == "level" else ()
        return _of("raw_train", (*COORDINATES, *level))
    raw = table.replace("clean_", "raw_")
    inputs_of = features_of(contract).inputs_of
    if column in inputs_of:
        return [*_of(raw, inputs_of[column]), *_fitted(column, contract)]
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


def _fitted(feature: str, contract: ListingContract) -> list[Dependency]:
    """The columns of the encoder's tables that a feature uses."""
    features = features_of(contract)
    group = next(group for group, names in features.groups.items() if feature in names)
    key = features.inputs_of[feature][0]
    categories = [added.key for added in contract.extras if added.kind is Kind.CATEGORY]
    if group in ("place_prices", "broker") or key in categories:
        statistic = feature.removeprefix(key)
        kinds = ("listings", "log_price_per_sqft", "log_price", "code")
        return [("encoding_mappings", next(kind for kind in kinds if kind in statistic))]
    if group == "points":
        return [("point_prices", "level")]
    if group in ("home", "dates", "added"):
        return [_STATISTICS]
    if group in ("neighbours", "coordinates", "census", "home_value"):
        return [("zip_context", feature)]
    return []


def _of(table: str, columns: Iterable[str]) -> list[Dependency]:
    return [(table, column) for column in columns]
