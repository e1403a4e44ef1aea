"""Markets as the service describes them, and a model of one with a column of every kind."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from realtor_model.features import FeatureEncoder, columns_from_frame
from realtor_model.listing import US_LISTINGS, ListingContract, read_market
from realtor_model.reading.received_batch import normalise
from realtor_model.retraining.drift import profile
from realtor_model.training import Rows, train_model
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.market_statistics import MarketStatistics
from realtor_model.valuation.valuation_model import ValuationModel
from realtor_serving.valuation.market_description import described_inputs, market_info
from realtor_ui.market_texts import MarketTexts
from realtor_ui.responses import ModelInfo
from realtor_ui.texts import catalogue
from tests.serving.running import listings

EVERY_KIND = read_market(Path(__file__).with_name("every_kind.toml"))
KING_COUNTY = read_market(Path(__file__).parents[2] / "examples/king_county.toml")
# A home of `EVERY_KIND` that has a value for each input.
HOME = {
    "state": "Texas", "city": "Houston", "zip_code": "77002", "lat": 29.75, "lon": -95.36,
    "living_m2": 150, "acre_lot": 0.25, "bed": 3, "bath": 2, "year_built": 1985, "floors": 1.5,
    "waterfront": True, "material": "brick", "builder": "Ruiz", "renovated": "2015-06-01",
    "roof_age": 12, "status": "for_sale", "prev_sold_date": "2019-05-04", "listing_id": "MLS-7",
}  # fmt: skip


def model_info(contract: ListingContract = US_LISTINGS) -> ModelInfo:
    """What the service says about a model of a market."""
    return ModelInfo.model_validate(
        {
            "version": "1", "stage": "Production", "candidate": "xgboost",
            "trained_at": "2026-02-01T12:00:00+00:00", "as_of": "2026-01-31", "batches": [0],
            "train_rows": 1_500, "coverage": 0.8, "metrics": {}, "importance": {},
            "loaded_at": "2026-02-01T12:00:00+00:00",
            "market": market_info(contract).model_dump(), "inputs": described_inputs(contract),
        }
    )  # fmt: skip


def market_texts(language: str = "en", contract: ListingContract = US_LISTINGS) -> MarketTexts:
    """The texts of a language with the words of a market."""
    return MarketTexts(catalogue(language), model_info(contract))


def every_kind_listings(rows: int, seed: int) -> pd.DataFrame:
    """Made-up sales of `EVERY_KIND`: those of the built-in market, with further columns."""
    rng = np.random.default_rng(seed)
    frame = listings(rows, seed)
    near = {"06114": (41.74, -72.68), "06830": (41.04, -73.63), "77002": (29.76, -95.36),
            "78701": (30.27, -97.74)}  # fmt: skip
    at = np.array([near[zip_code] for zip_code in frame["zip_code"]])
    years = rng.integers(1900, 2024, rows)
    added = {
        "status": "sold",
        "living_m2": (frame["house_size"].astype(float) / 10.76).round(),
        "lat": at[:, 0] + rng.normal(0, 0.02, rows),
        "lon": at[:, 1] + rng.normal(0, 0.02, rows),
        "listing_id": [f"MLS-{i}" for i in range(rows)],
        "year_built": years,
        "floors": rng.choice([1.0, 1.5, 2.0], rows),
        "waterfront": rng.random(rows) < 0.1,
        "material": rng.choice(["brick", "wood", "stone"], rows),
        "builder": rng.choice(["Ruiz", "Smith", "Lee"], rows),
        "renovated": [f"{year}-06-01" for year in np.minimum(years + 20, 2024)],
        "roof_age": rng.integers(0, 40, rows),
    }
    worth = 1 + 0.3 * added["waterfront"] + 0.1 * (added["material"] == "stone")
    priced = frame.assign(price=(frame["price"].astype(float) * worth).round(), **added)
    return normalise(priced.drop(columns=["house_size", "street"]), EVERY_KIND)


def every_kind_model() -> ValuationModel:
    """A model of 1,500 made-up sales of `EVERY_KIND`, trained in a second or two."""
    fitted, held_out = every_kind_listings(1_500, 0), every_kind_listings(400, 1)
    columns = columns_from_frame(fitted, EVERY_KIND)
    other = columns_from_frame(held_out, EVERY_KIND)
    price, actual = (each["price"].to_numpy(np.float64) for each in (fitted, held_out))
    as_of = np.datetime64("2026-01-31")
    encoder, matrix = FeatureEncoder.fit(columns, price, as_of=as_of, contract=EVERY_KIND)
    model = train_model(
        "xgboost",
        encoder,
        Rows(matrix, price),
        Rows(encoder.transform(other), actual),
        hyperparameters={"n_estimators": 60},
        profile=profile(columns, price, contract=EVERY_KIND),
        metadata={
            "data_version": "made", "batches": [0], "trained_at": "2026-02-01T12:00:00+00:00",
            "as_of": "2026-01-31",
        },
    )  # fmt: skip
    return replace(
        model, sold_homes=SoldHomes.of(columns, price), market=MarketStatistics.of(columns, price)
    )
