"""A market with a column of every kind, from the market file to the answers of a model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from realtor_model.features import (
    FeatureEncoder,
    columns_from_frame,
    columns_from_properties,
    features_of,
    take,
)
from realtor_model.listing import US_LISTINGS, Columns, ListingContract, home_model, read_market
from realtor_model.reading.received_batch import check
from realtor_model.retraining import drift
from realtor_model.training import Rows, train_model
from realtor_model.valuation.bundle import load_bundle, save_bundle
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.market_statistics import MarketStatistics
from realtor_model.valuation.valuation_model import ValuationModel

AS_OF = np.datetime64("2024-07-01")
MARKET = """
[market]
leave_out = ["status", "state", "city", "brokered_by"]

[columns.street]
type = "category"
name = "parcel"
in_every_batch = false

[columns.prev_sold_date]
name = "sold_on"

[columns.latitude]
type = "number"
role = "latitude"
range = [-90, 90]

[columns.longitude]
type = "number"
role = "longitude"
range = [-180, 180]

[columns.bath]
type = "number"

[columns.house_size]
name = "sqft"
headers = [{ header = "living m2", unit = "square meters" }]

[columns.year_built]
type = "integer"
range = [1800, 2100]
monotone = "up"
example = 1970

[columns.pool]
type = "boolean"

# Never missing in the sales that the model learns from.
[columns.stories]
type = "integer"
range = [1, 4]

[columns.style]
type = "category"

[columns.condition]
type = "category"
choices = ["poor", "fair", "good"]

[columns.roofed]
type = "date"
"""


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> ListingContract:
    path = tmp_path_factory.mktemp("market") / "town.toml"
    path.write_text(MARKET)
    return read_market(path)


def sales(rows: int, seed: int = 0) -> pd.DataFrame:
    """Sales as a file has them. Every added column moves the price, and so does the point."""
    rng = np.random.default_rng(seed)
    latitude, longitude = 35.1 + 0.1 * rng.random(rows), -106.6 + 0.1 * rng.random(rows)
    size = np.round(np.exp(rng.normal(7.4, 0.3, rows)))
    year = rng.integers(1900, 2024, rows)
    pool = rng.random(rows) < 0.2
    style = rng.choice(["ranch", "loft", "adobe"], rows)
    condition = rng.choice(["poor", "fair", "good"], rows)
    roofed = AS_OF - rng.integers(0, 12_000, rows)
    log_price = (
        5.5 + 0.8 * np.log(size) + 4.0 * (latitude - 35.1) + 0.004 * (year - 1960)
        + 0.15 * pool + pd.Series(style).map({"ranch": 0.0, "loft": 0.2, "adobe": 0.4}).to_numpy()
        + pd.Series(condition).map({"poor": -0.2, "fair": 0.0, "good": 0.2}).to_numpy()
        + 1e-5 * (roofed - AS_OF).astype(float) + rng.normal(0.0, 0.08, rows)
    )  # fmt: skip
    frame = pd.DataFrame(
        {
            "parcel": [f"1-{i:06d}" for i in range(rows)],
            "price": np.round(np.exp(log_price)),
            "bed": rng.integers(1, 6, rows),
            "bath": rng.choice([1.0, 1.5, 2.0], rows),
            "acre_lot": np.round(rng.random(rows), 2),
            "zip_code": "87104",
            "sqft": size,
            "sold_on": (AS_OF - rng.integers(0, 300, rows)).astype(str),
            "latitude": latitude,
            "longitude": longitude,
            "year_built": year,
            "pool": np.where(pool, "yes", "no"),
            "stories": rng.integers(1, 4, rows),
            "style": style,
            "condition": condition,
            "roofed": roofed.astype(str),
        }
    ).astype(object)
    for name in ("year_built", "pool", "style", "condition", "roofed", "latitude", "zip_code"):
        frame.loc[rng.random(rows) < 0.05, name] = None
    return frame


@dataclass(frozen=True)
class Town:
    """A trained model, and the homes that it has not seen."""

    contract: ListingContract
    model: ValuationModel
    homes: Columns
    price: NDArray[np.float64]


@pytest.fixture(scope="module")
def town(contract: ListingContract) -> Town:
    valid, broken = check(sales(3_000), contract)
    assert set(broken["code"]) == {"place_required"}
    columns, price = columns_from_frame(valid, contract), valid["price"].to_numpy(np.float64)
    split = np.arange(len(price)) % 5
    train, validation, test = split < 3, split == 3, split == 4
    encoder, x = FeatureEncoder.fit(
        take(columns, train), price[train], as_of=AS_OF, contract=contract
    )
    model = train_model(
        "xgboost",
        encoder,
        Rows(x, price[train]),
        Rows(encoder.transform(take(columns, validation)), price[validation]),
        hyperparameters={"n_estimators": 60, "num_parallel_tree": 1, "learning_rate": 0.1},
        profile=drift.profile(take(columns, train), price[train], contract=contract),
        metadata={"as_of": str(AS_OF)},
    )
    learned = take(columns, train)
    model = ValuationModel(
        model.candidate, model.encoder, model.estimator, model.ranges, model.profile,
        model.metadata, SoldHomes.of(learned, price[train]),
        MarketStatistics.of(learned, price[train]),
    )  # fmt: skip
    return Town(contract, model, take(columns, test), price[test])


def test_added_columns_explain_prices(town: Town) -> None:
    predicted = town.model.predict(town.homes)
    assert np.median(np.abs(predicted / town.price - 1)) < 0.10

    explanation = town.model.explain(town.homes)
    moved = dict(zip(explanation.inputs, np.abs(explanation.by_input_log).mean(0), strict=True))
    for key in ("year_built", "pool", "style", "condition", "latitude"):
        assert moved[key] > 0.01, key
    assert not {"status", "state", "city", "brokered_by"} & moved.keys()


def test_every_row_is_valued_alike_alone_and_among_others(town: Town) -> None:
    together = town.model.encoder.transform(town.homes)
    for row in range(20):
        alone = town.model.encoder.transform(take(town.homes, slice(row, row + 1)))
        assert np.array_equal(alone[0].view(np.uint32), together[row].view(np.uint32))


def test_a_bundle_carries_the_contract(town: Town, tmp_path: Path) -> None:
    save_bundle(town.model, tmp_path / "bundle")
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.contract.version == town.contract.version
    assert [column.name for column in loaded.contract.inputs] == [
        column.name for column in town.contract.inputs
    ]
    ours, theirs = town.model.value(town.homes), loaded.value(town.homes)
    for name in ("price", "low", "high", "deviation"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name


def test_comparables_lie_near_the_home_itself(town: Town) -> None:
    comparison = town.model.compare(take(town.homes, slice(0, 1)), count=5)
    assert len(comparison.price) == 5
    assert "year_built" in comparison.inputs
    # The zip is one for all, so that distances come from the homes' own coordinates.
    assert len(set(comparison.found.miles.tolist())) == 5


def test_the_known_coordinates_replace_those_of_the_zip(town: Town) -> None:
    known = town.model.encoder.has_own_point(town.homes)
    assert 0 < known.sum() < len(known)
    points = town.model.encoder.coordinates(town.homes)
    assert np.array_equal(points[known, 0], town.homes["latitude"][known])
    names = town.model.encoder.feature_names
    matrix = town.model.encoder.transform(town.homes)
    assert np.allclose(matrix[known, names.index("latitude")], town.homes["latitude"][known])
    assert np.isfinite(matrix).all()


def test_a_home_without_a_zip_is_placed_by_its_point(town: Town) -> None:
    home = home_model(town.contract)(latitude=35.15, longitude=-106.55, sqft=1_800, bed=3)
    values = town.model.value(columns_from_properties([home]))
    assert "no_zip_code" not in [warning.code for warning in values.warnings.get(0, [])]


def test_a_header_in_another_unit_is_converted(contract: ListingContract) -> None:
    file = sales(50)
    metric = file.drop(columns="sqft").assign(**{"Living m2": file["sqft"] / 10.763910416709722})
    ours, theirs = check(file, contract)[0], check(metric, contract)[0]
    assert ours["house_size"].tolist() == theirs["house_size"].tolist()


def test_values_beyond_those_learned_cause_a_warning(town: Town) -> None:
    home = home_model(town.contract)(
        zip_code="87104", sqft=1_800, bed=3, year_built=1_805, latitude=35.15, longitude=-106.55
    )
    (warning,) = [
        warning
        for warning in town.model.value(columns_from_properties([home])).warnings[0]
        if warning.params.get("input") == "year_built"
    ]
    assert warning.code == "outside_learned_range"


def test_a_shifted_column_is_the_largest_drift(town: Town) -> None:
    moved = {**town.homes, "year_built": town.homes["year_built"] - 60}
    report = drift.compare(town.model.profile, moved, town.price).set_index("feature")
    assert report["psi"].idxmax() == "year_built"
    assert {"pool", "style", "condition"} <= set(report.index)


def test_a_model_values_homes_that_lack_its_columns(town: Town) -> None:
    """Champion and challenger with other columns are compared on the same homes."""
    of_core = {key: values for key, values in town.homes.items() if key in US_LISTINGS.keys}
    assert np.isfinite(town.model.value(of_core).price).all()


def test_a_gap_that_was_never_learned_is_valued_like_the_usual_value(town: Town) -> None:
    home = {"zip_code": "87104", "sqft": 1_800, "bed": 3}
    model = home_model(town.contract)
    usual = town.model.encoder.to_tables().preprocessing_statistics.set_index(
        ["feature", "statistic"]
    )["value"]["stories", "imputed"]
    known, unknown = (
        town.model.encoder.transform(columns_from_properties([model.model_validate(each)]))
        for each in (home | {"stories": usual}, home)
    )
    assert np.array_equal(known, unknown)


@pytest.mark.parametrize("column", ["year_built", "pool", "style", "condition", "roofed"])
def test_each_added_column_has_features(contract: ListingContract, column: str) -> None:
    features = features_of(contract)
    assert [name for name in features.names if features.inputs_of[name] == (column,)]


def test_a_column_with_the_name_of_a_feature_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "market.toml"
    path.write_text('[columns.zip_gini]\ntype = "number"\nrange = [0, 1]\n')
    with pytest.raises(ValueError, match="zip_gini"):
        features_of(read_market(path))


def test_the_built_in_market_adds_nothing() -> None:
    assert US_LISTINGS.extras == ()
    assert not US_LISTINGS.has_coordinates
    values: dict[str, Any] = dict(US_LISTINGS.example_home)
    assert home_model(US_LISTINGS).model_validate(values).model_dump(exclude_none=True) == {
        **values,
        "status": "for_sale",
    }
