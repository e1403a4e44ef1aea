"""Accuracy of valuations, compared with three baselines (CSV) or with the noise (market).

    python -m benchmarks.accuracy --csv listings.csv
    python -m benchmarks.accuracy --csv listings.csv --ablate
    python -m benchmarks.accuracy --rows 1000000

With a CSV in the Kaggle format: five times, with new seeds, it holds out 30 % of the properties,
and trains the full pipeline and the baselines on the other rows. Without a CSV, it trains the
pipeline on `--rows` rows of the synthetic market; no model can have a smaller error than the
market's noise. Exits with status 1 when a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.preprocessing import StandardScaler

from benchmarks._market import AS_OF, splits_of
from realtor_model.evaluation.metrics import ratio_study, regression_metrics
from realtor_model.features import (
    FEATURE_GROUPS,
    FeatureEncoder,
    columns_from_frame,
    property_fold,
    take,
)
from realtor_model.listing import TARGET, US_LISTINGS
from realtor_model.reading.received_batch import check
from realtor_model.training import Rows, refit, train_model
from realtor_model.valuation.valuation_model import ValuationModel

Floats = NDArray[np.float64]

BANDS = 5
# Highest RMSE relative to the noise, from a million rows on and below.
MARKET_TARGET, THIN_MARKET_TARGET = 1.05, 1.15
MARKET_ROWS = 1_000_000


@dataclass(frozen=True)
class Data:
    """Listings in the valuation domain: typed frame, model columns, price of shape (n,)."""

    frame: pd.DataFrame

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        return columns_from_frame(self.frame)

    @property
    def price(self) -> Floats:
        return self.frame[TARGET].to_numpy(np.float64)

    def rows(self, mask: NDArray[np.bool_]) -> Data:
        return Data(self.frame[mask].reset_index(drop=True))


@dataclass(frozen=True)
class Figure:
    """Mean and spread of one figure over the seeds, with its target, if it has one."""

    model: str
    rows: str
    name: str
    mean: float
    spread: float
    low: float | None = None
    high: float | None = None

    @property
    def met(self) -> bool:
        return (self.low is None or self.mean >= self.low) and (
            self.high is None or self.mean <= self.high
        )


def read(path: Path, rows: int | None) -> Data:
    received = pd.read_csv(path, nrows=rows)
    frame, _ = check(received.astype(object).where(received.notna(), None))
    return Data(frame[frame[TARGET].between(*US_LISTINGS.price_range)].reset_index(drop=True))


def inside_filter(data: Data) -> NDArray[np.bool_]:
    """The filter of the published figures: complete homes of usual size, up to $5 million."""
    frame = data.frame
    inside = (
        frame[TARGET].between(1e4, 5e6)
        & (frame["bed"] <= 20)
        & (frame["bath"] <= 20)
        & frame["house_size"].between(200, 20_000)
    )
    return inside.fillna(False).to_numpy(bool)


# ---- the models -----------------------------------------------------------------------------


Prediction = tuple[Floats, Floats | None, Floats | None]


def pipeline(
    train: Data, test: Data, seed: int, *, candidate: str = "xgboost", without: Collection[str] = ()
) -> Prediction:
    """The platform's pipeline: features, early stopping, ranges, and a refit on all of `train`."""
    columns = train.columns
    held_out = property_fold(columns, 5, seed + 1) == 0
    encoder, x = FeatureEncoder.fit(
        take(columns, ~held_out), train.price[~held_out], as_of=AS_OF, without=without
    )
    fitted = Rows(x, train.price[~held_out])
    judged = Rows(encoder.transform(take(columns, held_out)), train.price[held_out])
    values = trained(encoder, fitted, judged, seed, candidate).value(test.columns)
    return values.price, values.low, values.high


def trained(
    encoder: FeatureEncoder, fitted: Rows, judged: Rows, seed: int, candidate: str = "xgboost"
) -> ValuationModel:
    """The model as `best_model` registers it, except for the profile, which only drift needs."""
    model = train_model(
        candidate, encoder, fitted, judged, seed=seed % 2**31, profile={}, metadata={}
    )
    return refit(model, fitted, judged)


def original(train: Data, test: Data, seed: int) -> Prediction:
    """The original's recipe without its leak: label encoding, z-scores, forest on the price."""
    frames = _label_encoded(train, test)
    medians = frames[0].median().fillna(0.0)
    scaler = StandardScaler().fit(frames[0].fillna(medians))
    x, x_test = (scaler.transform(frame.fillna(medians)) for frame in frames)
    forest = RandomForestRegressor(200, max_depth=20, n_jobs=-1, random_state=seed % 2**31)
    return forest.fit(x, train.price).predict(x_test), None, None


def boosted(train: Data, test: Data, seed: int) -> Prediction:
    """Histogram gradient boosting of log price on the raw columns, with the zip as a number.

    It leaves out city and broker: half of their values are new in the test rows, so they only make
    it less accurate.
    """
    x, x_test = (
        frame.assign(zip_code=data.frame["zip_code"].astype(float)).drop(
            columns=["city", "brokered_by"]
        )
        for frame, data in zip(_label_encoded(train, test), (train, test), strict=True)
    )
    model = HistGradientBoostingRegressor(random_state=seed % 2**31).fit(x, np.log(train.price))
    return np.exp(model.predict(x_test)), None, None


def zip_median(train: Data, test: Data, seed: int) -> Prediction:
    """Size times median price per square foot of the zip, else of its three digits, else of all."""
    known = train.frame[train.frame["house_size"].notna()]
    per_sqft = (known[TARGET] / known["house_size"]).astype(float)
    zips, asked = known["zip_code"], test.frame["zip_code"]
    guess = asked.map(per_sqft.groupby(zips).median())
    guess = guess.fillna(asked.str[:3].map(per_sqft.groupby(zips.str[:3]).median()))
    value = guess.fillna(per_sqft.median()) * test.frame["house_size"].astype(float)
    return value.fillna(float(np.median(train.price))).to_numpy(np.float64), None, None


def _label_encoded(train: Data, test: Data) -> tuple[pd.DataFrame, pd.DataFrame]:
    frames = []
    labels: dict[str, dict[Any, int]] = {}
    for data in (train, test):
        frame = data.frame.drop(columns=[TARGET, "street"])
        date = pd.to_datetime(frame.pop("prev_sold_date"))
        frame = frame.assign(year=date.dt.year, month=date.dt.month, quarter=date.dt.quarter)
        for name in ("status", "city", "state", "zip_code", "brokered_by"):
            if data is train:
                labels[name] = {v: i for i, v in enumerate(sorted(frame[name].dropna().unique()))}
            frame[name] = frame[name].map(labels[name])
        frames.append(frame.astype("Float64").astype(np.float64))
    return frames[0], frames[1]


MODELS: dict[str, Callable[[Data, Data, int], Prediction]] = {
    "realtor": pipeline,
    "(a) original's recipe": original,
    "(b) boosting, naive": boosted,
    "(c) zip median $/sqft": zip_median,
}
# Targets of the pipeline inside the filter: figure → lowest and highest acceptable value.
TARGETS: dict[str, tuple[float | None, float | None]] = {
    "mdape": (None, 0.168),
    "r2": (0.77, None),
    "coverage": (0.78, 0.82),
    "worst_band_coverage": (0.75, None),
}
SHOWN = (
    "mdape", "within_10", "within_20", "r2", "r2_log", "mae", "rmse", "median_ratio", "cod", "prd",
    "prb", "coverage", *(f"coverage_band_{i + 1}" for i in range(BANDS)), "worst_band_coverage",
    "median_width",
)  # fmt: skip


WORDS = {
    "inside": "rows inside the filter: mean ± standard deviation over seeds",
    "outside": "rows outside the filter: mean ± standard deviation over seeds",
    "complete": "test rows of the market without missing values",
    "all": "all test rows of the market; rows with missing values cannot reach the noise",
}


def figures_of(price: Floats, prediction: Prediction) -> dict[str, float]:
    predicted, low, high = prediction
    figures = regression_metrics(price, predicted) | ratio_study(price, predicted)
    if low is not None and high is not None:
        inside = (low <= price) & (price <= high)
        band = np.searchsorted(np.quantile(predicted, np.arange(1, BANDS) / BANDS), predicted)
        figures |= {
            "coverage": float(inside.mean()),
            "median_width": float(np.median((high - low) / predicted)),
        } | {f"coverage_band_{i + 1}": float(inside[band == i].mean()) for i in range(BANDS)}
    return figures


def compare(
    data: Data, seeds: list[int], models: dict[str, Callable[[Data, Data, int], Prediction]]
) -> list[Figure]:
    """Every figure of every model inside and outside the filter: mean and standard deviation."""
    collected: dict[tuple[str, str], list[dict[str, float]]] = {}
    for seed in seeds:
        held_out = property_fold(data.columns, 10, seed) < 3
        train, test = data.rows(~held_out), data.rows(held_out)
        inside = inside_filter(test)
        for name, model in models.items():
            predicted, low, high = model(train, test, seed)
            for rows, mask in (("inside", inside), ("outside", ~inside)):
                ends = (None, None) if low is None or high is None else (low[mask], high[mask])
                figures_of_seed = figures_of(test.price[mask], (predicted[mask], *ends))
                collected.setdefault((name, rows), []).append(figures_of_seed)
        print(f"seed {seed}: {len(train.frame):,} train, {len(test.frame):,} test", file=sys.stderr)
    figures = []
    for (name, rows), figures_by_seed in collected.items():
        table = pd.DataFrame(figures_by_seed)
        bands = [column for column in table if str(column).startswith("coverage_band_")]
        if bands:
            # In one draw a band's coverage is mostly chance, so take the worst mean over draws.
            worst = table[bands].mean().idxmin()
            table["worst_band_coverage"] = table[worst]
        for figure in (column for column in SHOWN if column in table):
            target = TARGETS.get(figure, (None, None))
            judged = name == "realtor" and rows == "inside"
            figures.append(
                Figure(
                    name,
                    rows,
                    figure,
                    float(table[figure].mean()),
                    float(table[figure].std(ddof=1)) if len(table) > 1 else 0.0,
                    *(target if judged else (None, None)),
                )
            )
    return figures


def ablations() -> dict[str, Callable[[Data, Data, int], Prediction]]:
    """The pipeline without each single feature group, and without several of them."""

    def left_out(*groups: str) -> Callable[[Data, Data, int], Prediction]:
        return lambda train, test, seed: pipeline(train, test, seed, without=groups)

    places = ("place_prices", "broker", "neighbours", "coordinates", "census")
    return {
        "everything": pipeline,
        "no location at all": left_out(*places, "home_value"),
        **{f"without {group}": left_out(group) for group in FEATURE_GROUPS if group != "home"},
        "location only (no census, no home value)": left_out("census", "home_value"),
        "no place prices, no neighbours": left_out("place_prices", "neighbours", "broker"),
    }


def of_market(rows: int, seed: int) -> list[Figure]:
    """RMSE of log price on test rows of the synthetic market, relative to that of its noise."""
    splits = splits_of(rows, seed)
    train, validation, test = splits["train"], splits["validation"], splits["test"]
    encoder, x = FeatureEncoder.fit(train.columns, train.price, as_of=AS_OF)
    judged = Rows(encoder.transform(validation.columns), validation.price)
    model = trained(encoder, Rows(x, train.price), judged, seed)
    error = np.log(model.predict(test.columns)) - np.log(test.price)
    target = MARKET_TARGET if rows >= MARKET_ROWS else THIN_MARKET_TARGET
    figures = []
    for name, mask, high in (
        ("complete", test.complete, target),
        ("all", np.ones(len(test.price), bool), None),
    ):
        rmse, noise = float(np.sqrt(np.mean(error[mask] ** 2))), test.noise(mask)
        figures += [
            Figure("realtor", name, "rmse_log", rmse, 0.0),
            Figure("realtor", name, "noise", noise, 0.0),
            Figure("realtor", name, "rmse_log / noise", rmse / noise, 0.0, high=high),
        ]
    return figures


def show(figures: list[Figure]) -> None:
    for rows in dict.fromkeys(figure.rows for figure in figures):
        chosen = [figure for figure in figures if figure.rows == rows]
        models = list(dict.fromkeys(figure.model for figure in chosen))
        print(f"\n{WORDS[rows]}")
        print(f"{'':22}" + "".join(f"{name:>26}" for name in models) + "   target")
        for name in dict.fromkeys(figure.name for figure in chosen):
            of = {figure.model: figure for figure in chosen if figure.name == name}
            cells = (f"{of[m].mean:,.4g} ± {of[m].spread:,.2g}" if m in of else "" for m in models)
            ours = of.get("realtor")
            target = ""
            if ours is not None and (ours.low is not None or ours.high is not None):
                ends = [f"≥ {ours.low}" if ours.low is not None else ""]
                ends.append(f"≤ {ours.high}" if ours.high is not None else "")
                target = " ".join(filter(None, ends)) + ("" if ours.met else "   MISSED")
            print(f"{name:22}" + "".join(f"{cell:>26}" for cell in cells) + f"   {target}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--csv", type=Path, help="listings in the Kaggle format")
    parser.add_argument(
        "--rows",
        type=int,
        help="first rows of the CSV (default: all), or size of the market (default: 150,000)",
    )
    parser.add_argument(
        "--seeds", type=int, default=5, help="number of holdouts (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, help="seed printed by the run to repeat")
    parser.add_argument(
        "--ablate", action="store_true", help="measure what each feature group contributes"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    if options.ablate and options.csv is None:
        parser.error("--ablate needs a CSV")
    sequence = np.random.SeedSequence(options.seed)
    print(f"seed {sequence.entropy}", file=sys.stderr)
    seeds = [int(seed) for seed in sequence.generate_state(options.seeds)]
    if options.csv is None:
        figures = of_market(options.rows or 150_000, seeds[0])
    else:
        data = read(options.csv, options.rows)
        figures = compare(data, seeds, ablations() if options.ablate else MODELS)
    if options.json:
        print(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures]))
    else:
        show(figures)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
