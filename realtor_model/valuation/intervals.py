"""Ranges around a valuation: conformalized quantiles, calibrated for each band of the price.

A boosted quantile model says how far below and above its median the prices of homes like this one
lie; those spans, laid around the valuation, are widened or narrowed until held-out prices fall
inside as often as promised: conformalized quantile regression (Romano, Patterson and Candès,
NeurIPS 2019), in five bands of the predicted price (Mondrian: Vovk, Gammerman and Shafer,
Algorithmic Learning in a Random World, 2005), so that cheap and dear homes are each covered.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import NDArray

from realtor_model.estimators import small_batch
from realtor_model.estimators.row_chunks import map_row_chunks
from realtor_model.estimators.small_batch import SmallBatchPredictor
from realtor_model.sampling import draw_rows

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]

RANGE = 0.8
# One standard deviation, had errors been normal: what AVMs publish as FSD.
DEVIATION = 0.68
COVERAGES = (RANGE, DEVIATION)

BANDS = 5
# With fewer calibration rows in each band its margin is noise: then there is one band.
MIN_BAND_ROWS = 50

# Spans need fewer rows than values do.
_MOST_ROWS = 30_000
_ROUNDS = 50
_SETTINGS: Mapping[str, Any] = {
    "objective": "reg:quantileerror",
    "tree_method": "hist",
    "max_depth": 4,
    "learning_rate": 0.16,
    "min_child_weight": 20.0,
    "subsample": 0.7,
    "colsample_bynode": 0.3,
    # A tree for all quantiles instead of one for each: narrower ranges, a quarter of the time.
    "multi_strategy": "multi_output_tree",
}
_QUANTILES = np.array(
    [0.5, *(level for c in COVERAGES for level in ((1.0 - c) / 2.0, (1.0 + c) / 2.0))]
)
# Where each lies when they are in order.
_RANKS = np.argsort(np.argsort(_QUANTILES)).tolist()


class Spans:
    """How far below and above its median the log price of such homes lies, by quantile.

    A boosted model of five quantiles of log price; only their distances from the median are used.
    """

    def __init__(self, booster: xgboost.Booster) -> None:
        self._booster = booster

    @classmethod
    def fit(cls, x: Matrix, log_price: Floats, seed: int = 0) -> Self:
        """Fit on train rows: x (n, n_features), log_price (n,); at most 30,000 of them."""
        rows = draw_rows(len(x), _MOST_ROWS, seed)
        parameters = {**_SETTINGS, "quantile_alpha": _QUANTILES, "seed": seed}
        data = xgboost.QuantileDMatrix(x[rows], log_price[rows])
        booster = xgboost.train(parameters, data, _ROUNDS)
        return cls(cls._ready(booster))

    def predict(self, x: Matrix) -> dict[float, tuple[Floats, Floats]]:
        """For each coverage the spans (n,) below (<= 0) and above (>= 0), log dollars.

        Quantiles of one row that cross are put in order first.
        """
        rows = np.ascontiguousarray(x, np.float32)
        values = (
            self._few_rows.predict(rows)
            if len(rows) <= small_batch.MAX_ROWS
            else map_row_chunks(self._booster.inplace_predict, rows)
        ).astype(np.float64)
        ordered = np.sort(values, axis=1)
        spans = ordered - ordered[:, _RANKS[:1]]
        return {
            coverage: (spans[:, _RANKS[1 + 2 * i]], spans[:, _RANKS[2 + 2 * i]])
            for i, coverage in enumerate(COVERAGES)
        }

    @cached_property
    def _few_rows(self) -> SmallBatchPredictor:
        return SmallBatchPredictor.of(self._booster)

    def to_bytes(self) -> bytes:
        """As UBJSON."""
        return bytes(self._booster.save_raw("ubj"))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The spans that `to_bytes` wrote."""
        booster = xgboost.Booster()
        booster.load_model(bytearray(content))
        return cls(cls._ready(booster))

    @staticmethod
    def _ready(booster: xgboost.Booster) -> xgboost.Booster:
        # A service answers many callers at once: threads inside each would get in their way.
        booster.set_param({"nthread": 1})
        return booster


@dataclass(frozen=True)
class Calibration:
    """Margins in log dollars, by coverage and band of predicted log price.

    edges: what parts the bands, ascending, one fewer than the margins of a coverage. A prediction
    on an edge belongs to the band above. A negative margin narrows.
    """

    edges: tuple[float, ...]
    margins: Mapping[float, tuple[float, ...]]

    @classmethod
    def fit(
        cls,
        log_predicted: Floats,
        log_price: Floats,
        spans: Mapping[float, tuple[Floats, Floats]],
    ) -> Self:
        """Calibrate on rows (n,) that the model did not learn from.

        Raises:
            ValueError: no rows, lengths that differ, or a coverage outside (0, 1).
        """
        if not 0 < len(log_predicted) == len(log_price):
            raise ValueError("a range needs calibration rows, each with a price")
        bands = BANDS if len(log_predicted) >= BANDS * MIN_BAND_ROWS else 1
        # Forests and held predictions repeat values: equal edges would make empty bands.
        edges = np.unique(np.quantile(log_predicted, np.arange(1, bands) / bands))
        member = np.searchsorted(edges, log_predicted, side="right")
        if np.bincount(member, minlength=len(edges) + 1).min() < MIN_BAND_ROWS:
            edges, member = edges[:0], np.zeros_like(member)
        margins = {}
        for coverage, (below, above) in spans.items():
            if not 0.0 < coverage < 1.0:
                raise ValueError(f"coverage is {coverage}; it must lie between 0 and 1")
            error = log_price - log_predicted
            outside = np.maximum(below - error, error - above)
            margins[coverage] = tuple(
                _conformal_quantile(outside[member == band], coverage)
                for band in range(len(edges) + 1)
            )
        return cls(tuple(map(float, edges)), margins)

    def interval(
        self, log_predicted: Floats, below: Floats, above: Floats, coverage: float
    ) -> tuple[Floats, Floats]:
        """Lower and upper end (n,), log dollars, around predictions (n,) with such spans.

        The prediction always lies between them.
        """
        edges, margins = self._arrays
        margin = margins[coverage][edges.searchsorted(log_predicted, side="right")]
        low = log_predicted + np.minimum(below - margin, 0.0)
        high = log_predicted + np.maximum(above + margin, 0.0)
        return low, high

    @cached_property
    def _arrays(self) -> tuple[Floats, dict[float, Floats]]:
        margins = {coverage: np.array(each) for coverage, each in self.margins.items()}
        return np.array(self.edges), margins


@dataclass(frozen=True)
class Ranges:
    """The ranges of one valuation model: spans, and their calibration."""

    spans: Spans
    calibration: Calibration

    @classmethod
    def fit(
        cls,
        x: Matrix,
        log_price: Floats,
        x_held_out: Matrix,
        log_predicted: Floats,
        log_price_held_out: Floats,
        seed: int = 0,
    ) -> Self:
        """Spans of the train rows; margins from held-out rows and their predictions."""
        spans = Spans.fit(x, log_price, seed)
        calibration = Calibration.fit(log_predicted, log_price_held_out, spans.predict(x_held_out))
        return cls(spans, calibration)

    def interval(
        self, x: Matrix, log_predicted: Floats, coverages: Sequence[float] = (RANGE,)
    ) -> list[tuple[Floats, Floats]]:
        """Lower and upper ends (n,) in log dollars, for each of `coverages`."""
        spans = self.spans.predict(x)
        ends = []
        for coverage in coverages:
            below, above = spans[coverage]
            ends.append(self.calibration.interval(log_predicted, below, above, coverage))
        return ends

    def save(self, folder: Path) -> None:
        """Write spans.ubj and calibration.json into `folder`."""
        (folder / "spans.ubj").write_bytes(self.spans.to_bytes())
        described = {
            "edges": self.calibration.edges,
            "margins": {str(key): value for key, value in self.calibration.margins.items()},
        }
        (folder / "calibration.json").write_text(json.dumps(described, indent=1, allow_nan=False))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote. Raises OSError, ValueError or KeyError where it is something else."""
        told = json.loads((folder / "calibration.json").read_text())
        margins = {float(key): tuple(value) for key, value in told["margins"].items()}
        spans = Spans.from_bytes((folder / "spans.ubj").read_bytes())
        return cls(spans, Calibration(tuple(told["edges"]), margins))


def _conformal_quantile(scores: Floats, coverage: float) -> float:
    """The ceil((n + 1) * coverage)-th smallest score, or the largest when there are too few."""
    rank = int(np.ceil((len(scores) + 1) * coverage))
    return float(np.sort(scores)[min(rank, len(scores)) - 1])
