"""A trained valuation model as one thing: encoder, estimator, interval, profile and its papers.

On disk a bundle is a folder whose manifest names every file with its sha256. Nothing in it is a
pickle: reading a bundle runs no code of the bundle's.
"""

import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_model import estimators
from realtor_model.comparables import Comparison, Neighbourhoods, SoldHomes, adjust
from realtor_model.estimators import Estimator
from realtor_model.explanation import Explanation, explain
from realtor_model.features import FEATURE_VERSION, Columns, EncoderTables, FeatureEncoder, take
from realtor_model.features.places import Located
from realtor_model.intervals import DEVIATION, RANGE, Ranges
from realtor_model.listing import RANGES, WHOLE_NUMBERS
from realtor_model.market import MarketStatistics

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

FORMAT = 2
MANIFEST = "manifest.json"
_TABLES = tuple(f"{name}.parquet" for name in EncoderTables._fields)
_PROFILE = "profile.json"
# Bundles that were made before these were go without.
_SOLD_HOMES, _MARKET = "sold_homes.parquet", "market.parquet"
_NO_SALE = "no sale is among the listings learned from: the price is nearer to an asking price"
_LAND = "neither house_size nor bed nor bath is told: it is valued as land"
_LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "skops", "xgboost")

# Upper limits of the forecast standard deviation: the half width, relative to the price, of the
# range that holds 68 % of prices. HouseCanary's scale: high up to 15 %, medium up to 30 %.
CONFIDENCE_LIMITS = {"medium": 0.30, "high": 0.15}
_GRADES = np.array(["low", *CONFIDENCE_LIMITS], object)
_NARROWEST_FIRST = np.sort([*CONFIDENCE_LIMITS.values()])


class BrokenBundle(Exception):
    """A bundle is incomplete, changed, or of a kind that this version does not read."""


class NoSoldHomes(Exception):
    """A bundle that was made without sold homes was asked for comparables."""


@dataclass(frozen=True)
class Valuations:
    """Values of n homes.

    price, low, high: (n,) dollars. deviation: (n,) half width of the calibrated 68 % range,
    relative to the price (AVMs publish it as forecast standard deviation). confidence: (n,)
    "high", "medium" or "low", by it, which knows nothing of what training never met: one grade
    lower where the state, the city or the zip is new, no zip is told, or a number is outside the
    range learned from; one more where the home is placed no nearer than by its state. warnings: by
    row, in plain words, what makes its valuation a guess; most have none. unknown: for state, city
    and zip_code, which rows (n,) name one that training never saw.
    """

    price: Floats
    low: Floats
    high: Floats
    deviation: Floats
    confidence: NDArray[np.object_]
    warnings: dict[int, list[str]]
    unknown: dict[str, Mask]


@dataclass(frozen=True)
class ValuationModel:
    """What training makes, the registry keeps and the service serves.

    profile: `drift.profile` of the train rows. metadata: JSON; data_version, batches, as_of,
    train_rows, trained_at, metrics by split, and whatever else belongs to the model's papers.
    sold_homes: the train rows' newest sales, for comparison. market: statistics of the train rows.
    """

    candidate: str
    encoder: FeatureEncoder
    estimator: Estimator
    ranges: Ranges
    profile: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    sold_homes: SoldHomes | None = None
    market: MarketStatistics | None = None

    @property
    def price_range(self) -> tuple[float, float]:
        """Lowest and highest price that the model learned from, dollars."""
        low, high = self.estimator.log_range
        return math.exp(low), math.exp(high)

    def predict(self, columns: Columns) -> Floats:
        """Prices (n,), dollars, of the listings as they are: of a for-sale row, what is asked."""
        return np.exp(self._predict_log(columns))

    def value(self, columns: Columns) -> Valuations:
        """Price, range and confidence of n rows; give it `as_sold` columns to value homes."""
        at = self.encoder.locate(columns)
        unknown = self.encoder.unknown(columns, at)
        matrix = self.encoder.transform(columns, at)
        log_price = self.estimator.predict_log(matrix)
        (low, high), (less, more) = self.ranges.interval(matrix, log_price, (RANGE, DEVIATION))
        deviation = (np.exp(more - log_price) - np.exp(less - log_price)) / 2.0
        grade = len(_NARROWEST_FIRST) - _NARROWEST_FIRST.searchsorted(deviation)
        outside = self.encoder.outside(columns)
        no_zip = at.codes["zip_code"] < 0
        doubtful = no_zip | unknown["state"] | unknown["city"]
        if outside:
            doubtful[[row for _, row in outside]] = True
        grade -= doubtful
        # Most homes have none of it, and one home alone must not wait for the rest.
        if no_zip.any():
            grade -= self.encoder.wide(at)
        confidence = _GRADES[np.maximum(grade, 0)]
        warnings = self._warnings(columns, at, unknown, outside)
        return Valuations(
            np.exp(log_price), np.exp(low), np.exp(high), deviation, confidence, warnings, unknown
        )

    def explain(self, columns: Columns) -> Explanation:
        """The exact SHAP values of n rows; see `Explanation`."""
        matrix = self.encoder.transform(columns)
        base, contributions = self.estimator.contributions(matrix)
        return explain(
            base, contributions, self.estimator.predict_log(matrix), self.estimator.feature_names
        )

    def compare(
        self, columns: Columns, *, count: int = 5, exclude: Collection[str] = ()
    ) -> Comparison:
        """The `count` sold homes most like the one home `columns`, and what they tell of its price.

        Args:
            columns: one home, `as_sold`.
            count: sales wanted; fewer where the widest neighbourhood has no more.
            exclude: ids of sales that are left out.

        Raises:
            NoSoldHomes: the bundle carries none.
        """
        if self.sold_homes is None:
            raise NoSoldHomes("this model carries no sold homes to compare with")
        found = self._neighbourhoods.like(columns, count, exclude)
        # As they were sold, on the day they were: what time has done since is an adjustment.
        sales = self.explain(take(self.sold_homes.columns, found.rows))
        return adjust(self.explain(columns), sales, self.sold_homes.price[found.rows], found)

    @cached_property
    def _neighbourhoods(self) -> Neighbourhoods:
        assert self.sold_homes is not None
        return Neighbourhoods(self.sold_homes, self.encoder, self.estimator)

    @cached_property
    def _saw_no_sale(self) -> bool:
        status = self.profile.get("features", {}).get("status")
        return status is not None and "sold" not in status["categories"]

    def _warnings(
        self,
        columns: Columns,
        at: Located,
        unknown: dict[str, Mask],
        outside: list[tuple[str, int]],
    ) -> dict[int, list[str]]:
        texts: dict[int, list[str]] = {}

        def say(rows: Mask, text: str) -> None:
            for row in rows.nonzero()[0].tolist():
                texts.setdefault(row, []).append(text)

        if self._saw_no_sale:
            say(columns["status"] == "sold", _NO_SALE)
        for name, mask in unknown.items():
            for row in mask.nonzero()[0].tolist():
                place = f"{name.replace('_', ' ')} {columns[name][row]}"
                texts.setdefault(row, []).append(
                    f"{place} is not among the listings learned from: the home is valued by what "
                    "surrounds it"
                )
        if (at.codes["zip_code"] < 0).any():
            untold = pd.isna(columns["zip_code"]) & ~np.logical_or.reduce(list(unknown.values()))
            wide = self.encoder.wide(at)
            for named, rows in (("city", untold & ~wide), ("state", untold & wide)):
                say(
                    rows, f"no zip code is told: the home is valued by what is usual in its {named}"
                )
        if np.isnan(columns["house_size"] + columns["bed"]).any():
            no_size, no_bed = np.isnan(columns["house_size"]), np.isnan(columns["bed"])
            land = no_size & no_bed & np.isnan(columns["bath"])
            say(land, _LAND)
            for name, missing in (("house_size", no_size), ("bed", no_bed)):
                say(
                    missing & ~land,
                    f"{name} is not told: the home is valued like the listings that leave it out",
                )
        for name, row in outside:
            low, high = self.encoder.ranges[name]
            if name in WHOLE_NUMBERS:
                low, high = math.ceil(low), math.floor(high)
            texts.setdefault(row, []).append(
                f"{name} {columns[name][row]:,.10g} is outside the range learned from, "
                f"{low:,.6g} to {high:,.6g} {RANGES[name].unit}"
            )
        return texts

    def save(self, path: Path) -> None:
        """Write the bundle as the folder `path`, which appears whole or not at all.

        A bundle that was there is replaced.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
            folder = Path(scratch) / "new"
            folder.mkdir()
            self._write(folder)
            if path.exists():
                path.rename(Path(scratch) / "old")
            folder.rename(path)

    @classmethod
    def load(cls, path: Path, *, verify: bool = True) -> Self:
        """Read the bundle in the folder `path`, wholly into memory.

        Args:
            path: the folder that `save` wrote.
            verify: compare every file with its sha256 first.

        Raises:
            BrokenBundle: a file is missing, changed or unreadable (the text names it), or the
                bundle's format or features are not this version's.
        """
        with _reading(path / MANIFEST):
            manifest = json.loads((path / MANIFEST).read_text())
            found_format, features = manifest["format"], manifest["feature_version"]
            files, candidate, metadata = (
                manifest[key] for key in ("files", "candidate", "metadata")
            )
        if found_format != FORMAT:
            raise BrokenBundle(f"{path} has format {found_format}; this version reads {FORMAT}")
        if features != FEATURE_VERSION:
            raise BrokenBundle(
                f"{path} was made with features {features} and this version has "
                f"{FEATURE_VERSION}: train again, or serve it with the code that it came with"
            )
        if verify:
            for name, told in files.items():
                _verify(path / name, told)
        with _reading(*(path / name for name in _TABLES)):
            tables = [pd.read_parquet(path / name) for name in _TABLES]
            encoder = FeatureEncoder.from_tables(*tables)
        with _reading(path / "estimator.json", path / "model.*"):
            estimator = estimators.load(path)
        with _reading(path / "spans.ubj", path / "calibration.json"):
            ranges = Ranges.load(path)
        with _reading(path / _PROFILE):
            profile = json.loads((path / _PROFILE).read_text())
        sold_homes = market = None
        if _SOLD_HOMES in files:
            with _reading(path / _SOLD_HOMES):
                sold_homes = SoldHomes.from_frame(pd.read_parquet(path / _SOLD_HOMES))
        if _MARKET in files:
            with _reading(path / _MARKET):
                market = MarketStatistics.from_frame(pd.read_parquet(path / _MARKET))
        return cls(candidate, encoder, estimator, ranges, profile, metadata, sold_homes, market)

    def _predict_log(self, columns: Columns) -> Floats:
        return self.estimator.predict_log(self.encoder.transform(columns))

    def _write(self, folder: Path) -> None:
        for name, table in zip(_TABLES, self.encoder.to_tables(), strict=True):
            table.to_parquet(folder / name, index=False, compression="zstd")
        self.estimator.save(folder)
        self.ranges.save(folder)
        _write_json(folder / _PROFILE, self.profile)
        if self.sold_homes is not None:
            frame = self.sold_homes.to_frame()
            frame.to_parquet(folder / _SOLD_HOMES, index=False, compression="zstd")
        if self.market is not None:
            self.market.table.to_parquet(folder / _MARKET, index=False, compression="zstd")
        manifest = {
            "format": FORMAT,
            "candidate": self.candidate,
            "feature_version": FEATURE_VERSION,
            "feature_names": self.encoder.feature_names,
            "metadata": self.metadata,
            "versions": {
                "python": sys.version.split()[0],
                **{name: version(name) for name in _LIBRARIES},
            },
            "files": {
                file.name: {"sha256": _sha256(file), "bytes": file.stat().st_size}
                for file in sorted(folder.iterdir())
            },
        }
        _write_json(folder / MANIFEST, manifest)


@contextmanager
def _reading(*files: Path) -> Iterator[None]:
    try:
        yield
    except Exception as problem:
        # A missing file is the bundle's fault; being out of handles or memory is not.
        machine = isinstance(problem, OSError | MemoryError)
        if machine and not isinstance(problem, FileNotFoundError | NotADirectoryError):
            raise
        names = " or ".join(map(str, files))
        raise BrokenBundle(f"{names} cannot be read: {problem!r}") from problem


def _verify(file: Path, told: dict[str, Any]) -> None:
    if not file.is_file():
        raise BrokenBundle(f"{file} is missing")
    if file.stat().st_size != told["bytes"] or _sha256(file) != told["sha256"]:
        raise BrokenBundle(f"{file} is not the file that was saved: its sha256 differs")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, values: Any) -> None:
    # Strict JSON, so that any reader takes it: a NaN in somebody's metadata stops here.
    path.write_text(json.dumps(values, indent=1, allow_nan=False))
