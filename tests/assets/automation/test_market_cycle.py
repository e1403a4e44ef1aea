"""A market's own column appears, goes missing and returns, while the sensors carry batches on.

`realtor_assets.raw` has the same of loading alone, with a market file that comes later.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from realtor_assets.clean.clean_build import required_build
from realtor_assets.raw.raw_listings import Listings, read_listings
from realtor_assets.raw.row_identity import SPLITS
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_local import synthetic_market
from realtor_local.upstream.api import build_app
from realtor_model.evaluation.metrics import regression_metrics
from realtor_model.features import as_sold, take
from realtor_model.valuation.valuation_model import ValuationModel
from tests.assets.lineage import SENSORS, Lineage, asked, lineage_on
from tests.servers import listening

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]

COLUMN = "year_built"
MARKET = f"""
[columns.{COLUMN}]
type = "integer"
range = [1700, 2100]
"""
# These batches have the column. One has it with nulls only, the others lack the field.
APPEARS, VANISHES, RETURNS = 2, 4, 5
KNOWN_IN = (APPEARS, 3, RETURNS)
BATCHES, ROWS, SEED = 6, 1_000, 5
# The duel needs one candidate, and this one is trained in seconds.
TRAIN = ("xgboost", "best_model", "promotion_decision", "production_model", "champion_change")
FEW_TREES = {"n_estimators": 80, "num_parallel_tree": 1, "learning_rate": 0.1, "max_depth": 5}


def batches() -> tuple[pd.DataFrame, ...]:
    """Complete listings, sold and for sale; a year of construction is worth 1.5 % of the price."""
    market = synthetic_market.generate(3 * BATCHES * ROWS, SEED)
    valid = market.listings[synthetic_market.valid_rows(market)]
    listings = valid.sample(BATCHES * ROWS, random_state=SEED)
    year = np.random.default_rng(SEED).integers(1900, 2021, len(listings)).astype(np.float64)
    price = np.round(listings["price"] * np.exp(0.015 * (year - 1960)))
    listings = listings.assign(price=price.clip(*synthetic_market.VALID_PRICE), **{COLUMN: year})
    return tuple(
        sent(number, listings.iloc[ROWS * number : ROWS * (number + 1)])
        for number in range(BATCHES)
    )


def sent(number: int, batch: pd.DataFrame) -> pd.DataFrame:
    if number in KNOWN_IN:
        return batch
    if number == VANISHES:
        return batch.assign(**{COLUMN: np.nan})
    return batch.drop(columns=COLUMN)


@pytest.fixture(scope="module")
def lineage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lineage]:
    """All six batches are through the cycle."""
    folder = tmp_path_factory.mktemp("market")
    market = folder / "with_year.toml"
    market.write_text(MARKET)
    variables = {"REALTOR_MARKET": str(market), "REALTOR_INGEST_EVERY_HOURS": "0"}
    app = build_app(pd.DataFrame, batches_of=lambda _: batches())
    with listening(app) as url, lineage_on(folder, url, **variables) as lineage:
        lineage.carry_on(*SENSORS, train=TRAIN, xgboost=FEW_TREES)
        yield lineage


@pytest.fixture(scope="module")
def raw_database(lineage: Lineage) -> Database:
    database: Database = lineage.resources["raw_database"]
    return database


@pytest.fixture(scope="module")
def clean_database(lineage: Lineage) -> Database:
    database: Database = lineage.resources["clean_database"]
    return database


@pytest.fixture(scope="module")
def champions(lineage: Lineage, clean_database: Database) -> list[ValuationModel]:
    """The champions, first to last."""
    tracking: Tracking = lineage.resources["tracking"]
    promoted = asked(
        clean_database,
        "SELECT model_version FROM promotion_decisions WHERE decision = 'promoted'"
        " ORDER BY decision_id",
    )
    assert tracking.production_version() == promoted[-1][0]
    return [tracking.load_bundle(tracking.version(version)) for (version,) in promoted]


@pytest.fixture(scope="module")
def test_split(raw_database: Database, clean_database: Database) -> Listings:
    """The test rows of all batches."""
    return read_listings(raw_database, "test", loads=required_build(clean_database).loads)


def stored(database: Database) -> pd.DataFrame:
    columns = f"batch_number, street, price, row_hash::text, {COLUMN}"
    union = " UNION ALL ".join(f"SELECT {columns} FROM raw_{split}" for split in SPLITS)
    names = ["batch_number", "street", "price", "row_hash", COLUMN]
    return pd.DataFrame(asked(database, f"{union} ORDER BY row_hash"), columns=names)


def weight(model: ValuationModel, listings: Listings) -> float:
    """Mean |SHAP value| of the column where it is known, in log price."""
    known = ~np.isnan(listings.columns[COLUMN])
    homes = as_sold(take(listings.columns, known))
    reasons = model.explain(homes)
    at = reasons.inputs.index(COLUMN)
    return float(np.abs(reasons.by_input_log[:, at]).mean())


def test_every_batch_is_loaded_and_nothing_is_lost(raw_database: Database) -> None:
    loads = asked(
        raw_database,
        "SELECT batch_number, state, received,"
        " inserted_train + inserted_validation + inserted_test + duplicate + quarantined,"
        " quarantined FROM ingestion_summary ORDER BY load_id",
    )

    assert [load[:4] for load in loads] == [(n, "loaded", ROWS, ROWS) for n in range(BATCHES)]
    assert sum(quarantined for *_, quarantined in loads) == 0
    rows = stored(raw_database)
    assert rows["row_hash"].is_unique
    keys = ["batch_number", "street", "price"]
    received = pd.concat(
        batch.assign(batch_number=number).reindex(columns=[*keys, COLUMN])
        for number, batch in enumerate(batches())
    )
    received, kept = (
        frame[[*keys, COLUMN]].astype(np.float64).sort_values([*keys, COLUMN], ignore_index=True)
        for frame in (received.drop_duplicates(), rows)
    )
    pd.testing.assert_frame_equal(kept, received)


def test_decisions_name_the_column_whenever_it_comes_or_goes(clean_database: Database) -> None:
    decided = asked(
        clean_database,
        "SELECT batches[1], decision, reason, details FROM retrain_decisions ORDER BY decision_id",
    )

    assert [(batch, decision) for batch, decision, *_ in decided] == [
        (batch, "train") for batch in range(BATCHES)
    ]
    changes = {
        batch: [
            detail["params"]["points"]
            for detail in details
            if detail["code"] == "missing_values" and detail["params"]["input"] == COLUMN
        ]
        for batch, _, _, details in decided
    }
    assert changes[0] == changes[1] == []
    assert changes[APPEARS] == [-100.0]
    (vanished,), (returned,) = changes[VANISHES], changes[RETURNS]
    assert vanished > 30.0
    assert returned < -30.0
    for batch in (APPEARS, VANISHES, RETURNS):
        assert f"rows without {COLUMN} changed by" in decided[batch][2]


def test_the_last_champion_uses_the_column(
    champions: list[ValuationModel], test_split: Listings
) -> None:
    first, last = champions[0], champions[-1]

    assert weight(first, test_split) == 0.0
    assert weight(last, test_split) > 0.15
    errors = [
        regression_metrics(test_split.price, model.predict(test_split.columns))["mae_log"]
        for model in (first, last)
    ]
    assert errors[1] < 0.9 * errors[0]


def test_champion_change_shows_the_weight_of_the_column(lineage: Lineage) -> None:
    assert COLUMN in str(lineage.metadata("champion_change")["importance_table"])


def test_payloads_that_are_loaded_again_add_nothing(
    lineage: Lineage, raw_database: Database, clean_database: Database
) -> None:
    before, build = stored(raw_database), required_build(clean_database)
    partitions = asked(raw_database, "SELECT partition_key FROM landed_payloads ORDER BY 1")

    for (partition,) in partitions:
        assert lineage.run("load", partition=partition).success
    lineage.carry_on(*SENSORS[1:], train=TRAIN, xgboost=FEW_TREES)

    pd.testing.assert_frame_equal(stored(raw_database), before)
    assert asked(clean_database, "SELECT count(*) FROM retrain_decisions") == [(BATCHES,)]
    assert required_build(clean_database).data_version == build.data_version
