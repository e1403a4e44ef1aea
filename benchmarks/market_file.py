"""Our champion on a market of one's own beside three boosters, and the cost of more inputs.

    uv run --with lightgbm==4.7.0 --with catboost==1.2.10 \\
        python -m benchmarks.market_file king_county.csv --market examples/king_county.toml
    python -m benchmarks.market_file --cost

With a CSV of a market's sales: each time with a new seed, it holds out 30 % of the properties, and
trains our candidate xgboost and the baselines on the other rows. The baselines are LightGBM,
CatBoost and scikit-learn as a data scientist writes them in half an hour: the same columns, log
price, native categories. LightGBM and CatBoost are no dependencies of the project: without them it
prints the command above and exits with status 2.

The cost is that of one valuation, from the JSON of a request to price and range, in the built-in
market and in one with 19 more columns of numbers. The models have the same number of trees. Times
are processor time of the thread, which other work on the machine changes least.

Exits with status 1 when a figure misses its target.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import math
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from benchmarks._market import AS_OF, Split, splits_of
from realtor_model.candidates import CANDIDATES
from realtor_model.evaluation.metrics import regression_metrics
from realtor_model.features import FeatureEncoder, as_sold, columns_from_frame, property_fold, take
from realtor_model.listing import (
    KEYS,
    TARGET,
    US_LISTINGS,
    Columns,
    Kind,
    ListingContract,
    Role,
    columns_from_properties,
    home_model,
    properties_from_columns,
    read_market,
)
from realtor_model.reading.received_batch import check
from realtor_model.training import Rows, calibrate_and_package, refit, train_model
from realtor_model.valuation.valuation_model import ValuationModel

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Predict = Callable[[pd.DataFrame], Floats]

LIBRARIES = {"lightgbm": "4.7.0", "catboost": "1.2.10"}
# Of a thousand parts of the properties: 30 % test; 18 % of the other 70 % validation, as in
# production, where train, validation and test are 70, 15 and 15 %.
_PARTS, _TEST, _VALIDATION = 1_000, 300, 126
# More categories than scikit-learn's histograms have bins are numbers for it.
_MOST_BINS = 255

MAX_RATIO, COVERAGE = 1.02, (0.78, 0.82)
MAX_COST = 1.5
ADDED_COLUMNS, TREES = 19, 400
HOMES, ROUNDS = 50, 20


@dataclass(frozen=True)
class Figure:
    """One figure of one model, or of one market, with its target, if it has one."""

    model: str
    name: str
    value: float
    spread: float = 0.0
    low: float | None = None
    high: float | None = None

    @property
    def met(self) -> bool:
        return (self.low is None or self.value >= self.low) and (
            self.high is None or self.value <= self.high
        )

    @property
    def text(self) -> str:
        return f"{self.value:,.4g}" + (f" ± {self.spread:,.2g}" if self.spread else "")

    @property
    def target(self) -> str:
        ends = [
            f"{sign} {end:g}"
            for sign, end in (("≥", self.low), ("≤", self.high))
            if end is not None
        ]
        return " ".join(ends) + ("" if self.met else "   MISSED")


# ---- accuracy -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sales:
    """n sales of a market: typed frame, and price of shape (n,)."""

    contract: ListingContract
    frame: pd.DataFrame

    @property
    def columns(self) -> Columns:
        return columns_from_frame(self.frame, self.contract)

    @property
    def price(self) -> Floats:
        return self.frame[TARGET].to_numpy(np.float64)

    def as_of(self, rows: Mask) -> np.datetime64[Any]:
        """The reference date of `rows` (n,), as in production: 99 % of their dates are not later.

        Today where no date is known.
        """
        dates = self.frame.loc[rows, KEYS[Role.SALE_DATE]].dropna().sort_values()
        if dates.empty:
            return np.datetime64("today", "D")
        return np.datetime64(dates.iloc[math.ceil(0.99 * len(dates)) - 1], "D")


def read(path: Path, contract: ListingContract) -> Sales:
    """The valid sales in `path` with prices that models are trained and judged on."""
    frame, _ = check(pd.read_csv(path, dtype=str), contract)
    kept = frame[TARGET].between(*contract.price_range)
    return Sales(contract, frame[kept].reset_index(drop=True))


def raw_features(frame: pd.DataFrame, contract: ListingContract) -> pd.DataFrame:
    """The columns of n listings as a booster takes them: what `contract` declares, but the ids.

    Numbers and booleans are float64, dates the number of their month, and everything else is a
    pandas category. Missing values are NaN.

    Args:
        frame: typed listings, from `check`.
    """
    features = {}
    for column in contract.inputs:
        values = frame[column.key]
        if column.role is Role.ID:
            continue
        if column.kind is Kind.DATE:
            dates = pd.to_datetime(values)
            features[column.name] = dates.dt.year * 12.0 + dates.dt.month
        elif column.kind is Kind.CATEGORY or column.role is Role.BROKER:
            texts = values.astype(object).where(values.notna(), None)
            features[column.name] = texts.map(str, na_action="ignore").astype("category")
        else:
            features[column.name] = values.astype("Float64").astype(np.float64)
    return pd.DataFrame(features)


def lightgbm(x: pd.DataFrame, y: Floats, seed: int) -> Predict:
    """LightGBM, which takes categories as pandas has them."""
    model = importlib.import_module("lightgbm").LGBMRegressor(
        n_estimators=1000, learning_rate=0.03, num_leaves=31, subsample=0.8, subsample_freq=1,
        colsample_bytree=0.8, random_state=seed, verbose=-1,
        # As many threads as OMP_NUM_THREADS says, like XGBoost and scikit-learn.
        n_jobs=0,
    )  # fmt: skip
    predict: Predict = model.fit(x, y).predict
    return predict


def catboost(x: pd.DataFrame, y: Floats, seed: int) -> Predict:
    """CatBoost, which takes categories as texts."""
    categories = _categories(x)
    model = importlib.import_module("catboost").CatBoostRegressor(
        iterations=1000, depth=6, random_seed=seed, cat_features=categories, verbose=0,
        allow_writing_files=False,
    )  # fmt: skip

    def texts(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(
            **{name: frame[name].astype(object).fillna("missing") for name in categories}
        )

    model.fit(texts(x), y)
    return lambda frame: model.predict(texts(frame))


def scikit(x: pd.DataFrame, y: Floats, seed: int) -> Predict:
    """scikit-learn's histogram boosting; columns of too many categories are codes for it."""
    wide = [name for name in _categories(x) if len(x[name].cat.categories) > _MOST_BINS]

    def coded(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(**{name: frame[name].cat.codes.astype(np.float64) for name in wide})

    model = HistGradientBoostingRegressor(
        max_iter=600, learning_rate=0.05, categorical_features="from_dtype", early_stopping=True,
        n_iter_no_change=20, random_state=seed,
    ).fit(coded(x), y)  # fmt: skip
    return lambda frame: model.predict(coded(frame))


def _categories(x: pd.DataFrame) -> list[str]:
    return [str(name) for name in x if isinstance(x[name].dtype, pd.CategoricalDtype)]


OURS = "realtor"
# Name -> its fit of raw features (n, columns), log price (n,) and a seed; it returns the function
# that predicts log price.
BASELINES: Mapping[str, Callable[[pd.DataFrame, Floats, int], Predict]] = {
    "LightGBM": lightgbm,
    "CatBoost": catboost,
    "scikit-learn": scikit,
}


def champion(sales: Sales, train: Mask, validation: Mask, seed: int) -> ValuationModel:
    """The model as production trains it, except for the profile, which only drift needs."""
    columns, price = sales.columns, sales.price
    encoder, x = FeatureEncoder.fit(
        take(columns, train), price[train], as_of=sales.as_of(train), contract=sales.contract
    )
    fitted = Rows(x, price[train])
    judged = Rows(encoder.transform(take(columns, validation)), price[validation])
    model = train_model("xgboost", encoder, fitted, judged, seed=seed, profile={}, metadata={})
    return refit(model, fitted, judged)


def holdout(sales: Sales, seed: int) -> dict[str, dict[str, float]]:
    """Model -> its figures on 30 % of the properties, trained on the others."""
    columns, price = sales.columns, sales.price
    part = property_fold(columns, _PARTS, seed)
    test, train = part < _TEST, part >= _TEST + _VALIDATION
    values = champion(sales, train, ~test & ~train, seed).value(take(columns, test))
    inside = (values.low <= price[test]) & (price[test] <= values.high)
    figures = {
        OURS: regression_metrics(price[test], values.price)
        | {
            "coverage": float(inside.mean()),
            "median_width": float(np.median((values.high - values.low) / values.price)),
        }
    }
    x = raw_features(sales.frame, sales.contract)
    for name, fit in BASELINES.items():
        print(f"seed {seed}: {name}", file=sys.stderr)
        predict = fit(x[~test], np.log(price[~test]), seed)
        figures[name] = regression_metrics(price[test], np.exp(predict(x[test])))
    return figures


SHOWN = ("mdape", "r2", "r2_log", "coverage", "median_width")


def summarise(holdouts: Sequence[Mapping[str, Mapping[str, float]]]) -> list[Figure]:
    """Mean and standard deviation of each figure, and our error relative to the best baseline's.

    Args:
        holdouts: model -> figure -> value, of each holdout.
    """
    figures = []
    for model in holdouts[0]:
        table = pd.DataFrame([each[model] for each in holdouts])
        for name in (name for name in SHOWN if name in table):
            low, high = COVERAGE if name == "coverage" else (None, None)
            spread = float(table[name].std()) if len(table) > 1 else 0.0
            figures.append(Figure(model, name, float(table[name].mean()), spread, low, high))
    errors = {figure.model: figure.value for figure in figures if figure.name == "mdape"}
    ours = errors.pop(OURS)
    ratio = ours / min(errors.values())
    return [*figures, Figure(OURS, "mdape / best baseline", ratio, high=MAX_RATIO)]


def accuracy(path: Path, contract: ListingContract, seeds: Sequence[int]) -> list[Figure]:
    sales = read(path, contract)
    holdouts = []
    for seed in seeds:
        started = time.perf_counter()
        holdouts.append(holdout(sales, seed))
        errors = ", ".join(f"{name} {100 * each['mdape']:.2f} %"
                           for name, each in holdouts[-1].items())  # fmt: skip
        print(f"seed {seed}: {errors}; {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return summarise(holdouts)


# ---- cost -----------------------------------------------------------------------------------


def wider_market() -> ListingContract:
    """The built-in market with 19 more columns of numbers."""
    with tempfile.TemporaryDirectory(prefix="realtor-market-") as folder:
        path = Path(folder) / "wider.toml"
        path.write_text(
            "\n".join(
                f'[columns.added_{number}]\ntype = "number"\nrange = [0, 100]\nexample = 50'
                for number in range(ADDED_COLUMNS)
            )
        )
        return read_market(path)


def small_model(
    contract: ListingContract, train: Split, validation: Split, seed: int
) -> ValuationModel:
    """A model of `TREES` trees: early stopping would choose another number for each market."""
    rng = np.random.default_rng(seed)
    columns, held_out = (
        train.columns | added_values(contract, len(train.price), rng),
        validation.columns | added_values(contract, len(validation.price), rng),
    )
    encoder, x = FeatureEncoder.fit(columns, train.price, as_of=AS_OF, contract=contract)
    candidate = CANDIDATES["xgboost"]
    estimator = candidate.fit(
        x, train.price, hyperparameters={**candidate.hyperparameters, "n_estimators": TREES},
        seed=seed, feature_names=encoder.feature_names, monotone=encoder.monotone, importance=False,
    )  # fmt: skip
    judged = Rows(encoder.transform(held_out), validation.price)
    return calibrate_and_package(
        estimator, encoder, Rows(x, train.price), judged, seed=seed, profile={}, metadata={}
    )


def added_values(contract: ListingContract, n: int, rng: np.random.Generator) -> dict[str, Floats]:
    """The columns (n,) that a market adds to the built-in one, uniform in their range."""
    return {
        column.key: rng.uniform(column.range.low, column.range.high, n)
        for column in contract.extras
        if column.range is not None
    }


def bodies_of(contract: ListingContract, test: Split, seed: int) -> list[bytes]:
    """Homes of the test rows as the JSON of a request; every input has a value."""
    rows = np.flatnonzero(test.complete & ~np.isnan(test.columns["brokered_by"]))[:HOMES]
    homes = take(test.columns, rows)
    homes |= added_values(contract, len(rows), np.random.default_rng(seed))
    return [home.model_dump_json().encode() for home in properties_from_columns(homes, contract)]


STEPS = ("JSON to home", "home to columns", "columns to value")
WHOLE = "whole valuation"


def steps_of(model: ValuationModel, body: bytes) -> list[float]:
    """Seconds of processor time of each of `STEPS`, for one home as /predict values it."""
    started = time.thread_time()
    home = home_model(model.contract).model_validate_json(body)
    read = time.thread_time()
    columns = as_sold(columns_from_properties([home]))
    converted = time.thread_time()
    model.value(columns)
    return [read - started, converted - read, time.thread_time() - converted]


def cost(rows: int, seed: int) -> list[Figure]:
    """Microseconds of a valuation with 11 and with 30 inputs, by turns, and their ratio."""
    splits = splits_of(rows, seed)
    models, bodies, times = {}, {}, {}
    for contract in (US_LISTINGS, wider_market()):
        name = f"{len(contract.inputs)} inputs"
        models[name] = small_model(contract, splits["train"], splits["validation"], seed)
        bodies[name] = bodies_of(contract, splits["test"], seed)
        times[name] = []
    for turn in range(ROUNDS + 1):
        # Who comes first in a turn changes.
        for each in sorted(models, reverse=turn % 2 == 0):
            steps = np.array([steps_of(models[each], body) for body in bodies[each]])
            # The first turn fills the caches.
            if turn:
                whole = np.column_stack([steps, steps.sum(axis=1)])
                times[each].append(1e6 * np.median(whole, axis=0))
    few, many = map(np.array, times.values())
    figures = []
    for name, values in zip(times, (few, many), strict=True):
        medians = zip((*STEPS, WHOLE), np.median(values, axis=0).tolist(), strict=True)
        figures += [Figure(name, step, value) for step, value in medians]
    ratios = zip((*STEPS, WHOLE), np.median(many / few, axis=0).tolist(), strict=True)
    return [
        *figures,
        *(
            Figure("ratio", step, ratio, high=MAX_COST if step == WHOLE else None)
            for step, ratio in ratios
        ),
    ]


# ---- output ---------------------------------------------------------------------------------


def show(title: str, figures: Sequence[Figure]) -> None:
    """A table: a line for each figure, a column for each model or market, and the target."""
    models = list(dict.fromkeys(figure.model for figure in figures))
    print(f"\n{title}")
    print(f"{'':24}" + "".join(f"{model:>18}" for model in models) + "   target")
    for name in dict.fromkeys(figure.name for figure in figures):
        of = {figure.model: figure for figure in figures if figure.name == name}
        cells = (of[model].text if model in of else "" for model in models)
        targets = (figure.target for figure in of.values())
        print(f"{name:24}" + "".join(f"{cell:>18}" for cell in cells) + f"   {''.join(targets)}")


def missing_libraries() -> list[str]:
    """The libraries of the baselines that are not installed."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name) is None]


def command(arguments: Sequence[str]) -> str:
    """This program with `arguments`, and with the libraries of the baselines for the run."""
    libraries = " ".join(f"--with {name}=={version}" for name, version in LIBRARIES.items())
    return f"uv run {libraries} python -m benchmarks.market_file {shlex.join(arguments)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("csv", type=Path, nargs="?", help="the market's sales")
    parser.add_argument(
        "--market",
        type=Path,
        default=Path("examples/king_county.toml"),
        help="market file of the CSV, default %(default)s",
    )
    parser.add_argument("--holdouts", type=int, default=5, help="default %(default)s")
    parser.add_argument(
        "--cost", action="store_true", help="measure the cost of inputs; without a CSV, always"
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=10_000,
        help="generated listings for the cost, default %(default)s",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the first holdout, default 0")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    if options.csv and (missing := missing_libraries()):
        print(f"{' and '.join(missing)} not installed:\n  {command(sys.argv[1:])}", file=sys.stderr)
        return 2
    tables: dict[str, list[Figure]] = {}
    if options.csv:
        seeds = range(options.seed, options.seed + options.holdouts)
        title = f"{options.csv.name}: mean ± standard deviation of {len(seeds)} holdouts"
        tables[title] = accuracy(options.csv, read_market(options.market), seeds)
    if options.cost or not options.csv:
        title = f"one valuation, microseconds of processor time; {TREES} trees"
        tables[title] = cost(options.rows, options.seed)
    figures = [figure for table in tables.values() for figure in table]
    if options.json:
        print(json.dumps([asdict(figure) | {"met": figure.met} for figure in figures]))
    else:
        for title, table in tables.items():
            show(title, table)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
