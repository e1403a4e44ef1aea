"""Prediction intervals by conformalized quantile regression, calibrated by price band.

A boosted model predicts quantiles of log price. The distances of its quantiles from its median are
placed around the valuation. A margin then widens or narrows them, so that the intervals cover the
promised share of held-out prices: conformalized quantile regression (Romano, Patterson and Candès,
NeurIPS 2019). Each of five bands of the predicted price has its own margins (Mondrian conformal
prediction: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005), so that the
coverage holds for cheap and for expensive homes.
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
from realtor_model.valuation.quantile_order import sort_quantiles

Matrix = NDArray[np.float32]
Floats = NDArray[np.float64]

RANGE = 0.8
# Coverage of one standard deviation of a normal distribution. AVMs publish its half width as the
# forecast standard deviation (FSD).
DEVIATION = 0.68
# The widest first.
COVERAGES = (RANGE, DEVIATION)

BANDS = 5
# With fewer calibration rows in a band, all predictions share one band: its margin would be noise.
MIN_BAND_ROWS = 50

# Quantile distances need fewer train rows than valuations do.
_MOST_ROWS = 30_000
# XGBoost 3.4 finds leaf values by the gradients of a smoothed loss, and no longer among the rows of
# the leaf: after half of these rounds the quantiles are still too far from the median.
_ROUNDS = 100
_SETTINGS: Mapping[str, Any] = {
    "objective": "reg:quantileerror",
    "tree_method": "hist",
    "max_depth": 4,
    "learning_rate": 0.16,
    "min_child_weight": 60.0,
    "subsample": 0.7,
    "colsample_bynode": 0.3,
    # One tree for all quantiles: narrower intervals in a quarter of the time.
    "multi_strategy": "multi_output_tree",
}
# Ascending, as XGBoost demands: interval i of `COVERAGES` ends at quantiles i and -1 - i.
_QUANTILES = np.array(
    [
        *((1.0 - coverage) / 2.0 for coverage in COVERAGES),
        0.5,
        *((1.0 + coverage) / 2.0 for coverage in reversed(COVERAGES)),
    ]
)
_MEDIAN = len(COVERAGES)


class Spans:
    """Boosted model of five quantiles of log price; their distances from the median are the spans.

    Args:
        booster: a fitted booster with the outputs `_QUANTILES`.
    """

    def __init__(self, booster: xgboost.Booster) -> None:
        self._booster = booster

    @classmethod
    def fit(cls, x: Matrix, log_price: Floats, seed: int = 0) -> Self:
        """Fit the quantile model on a sample of at most 30,000 train rows.

        Args:
            x: float32 (n, n_features).
            log_price: (n,) log dollars.
            seed: seed of the sample and of the boosting.
        """
        rows = draw_rows(len(x), _MOST_ROWS, seed)
        parameters = {**_SETTINGS, "quantile_alpha": _QUANTILES, "seed": seed}
        data = xgboost.QuantileDMatrix(x[rows], log_price[rows])
        booster = xgboost.train(parameters, data, _ROUNDS)
        return cls(cls._ready(booster))

    def predict(self, x: Matrix) -> dict[float, tuple[Floats, Floats]]:
        """Spans for each coverage: distances from the median to the lower and upper quantile.

        Crossing quantiles of a row are sorted first: XGBoost does so itself.

        Args:
            x: float32 (n, n_features).

        Returns:
            coverage -> (below, above), each float64 (n,), log dollars; below <= 0 <= above.
        """
        rows = np.ascontiguousarray(x, np.float32)
        values = (
            np.sort(self._few_rows.predict(rows), axis=1)
            if len(rows) <= small_batch.MAX_ROWS
            else map_row_chunks(self._booster.inplace_predict, rows)
        ).astype(np.float64)
        spans = values - values[:, _MEDIAN, None]
        return {coverage: (spans[:, i], spans[:, -1 - i]) for i, coverage in enumerate(COVERAGES)}

    @cached_property
    def _few_rows(self) -> SmallBatchPredictor:
        return SmallBatchPredictor.of(self._booster)

    def to_bytes(self) -> bytes:
        """The booster in XGBoost's UBJSON format."""
        return bytes(self._booster.save_raw("ubj"))

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """Read the spans from the result of `to_bytes`, also of an older version.

        Raises:
            xgboost.core.XGBoostError: `content` is not a booster.
        """
        booster = xgboost.Booster()
        booster.load_model(bytearray(sort_quantiles(content)))
        return cls(cls._ready(booster))

    @staticmethod
    def _ready(booster: xgboost.Booster) -> xgboost.Booster:
        # One thread: the service already predicts for many callers in parallel.
        booster.set_param({"nthread": 1})
        return booster


@dataclass(frozen=True)
class Calibration:
    """Conformal margins by coverage and by band of predicted log price.

    Attributes:
        edges: the k - 1 limits between the k bands, ascending, log dollars. A prediction equal to
            an edge belongs to the upper band.
        margins: coverage -> the k margins, log dollars. A negative margin narrows the interval.
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
        """Compute the margins from n rows that the model was not trained on.

        Args:
            log_predicted: (n,) predicted log prices.
            log_price: (n,) true log prices.
            spans: coverage -> (below, above), each (n,), log dollars, as from `Spans.predict`.

        Raises:
            ValueError: no rows, lengths that differ, or a coverage outside (0, 1).
        """
        if not 0 < len(log_predicted) == len(log_price):
            raise ValueError("a range needs calibration rows, each with a price")
        bands = BANDS if len(log_predicted) >= BANDS * MIN_BAND_ROWS else 1
        # Repeated predictions, as of a forest, make equal edges, and so empty bands.
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
        """Ends of the intervals around n predictions; a prediction never lies outside its own.

        Args:
            log_predicted: (n,) predicted log prices.
            below, above: (n,) spans of `coverage`, log dollars.
            coverage: one of the calibrated coverages.

        Returns:
            Lower and upper ends, each (n,), log dollars.

        Raises:
            KeyError: the coverage was not calibrated.

        >>> calibration = Calibration(edges=(12.0,), margins={0.8: (0.1, 0.2)})
        >>> span = np.array([0.3, 0.3])
        >>> low, high = calibration.interval(np.array([11.0, 12.5]), -span, span, 0.8)
        >>> low.round(2), high.round(2)
        (array([10.6, 12. ]), array([11.4, 13. ]))
        """
        edges, margins = self._arrays
        margin = margins[coverage][edges.searchsorted(log_predicted, side="right")]
        low = log_predicted + np.minimum(below - margin, 0.0)
        high = log_predicted + np.maximum(above + margin, 0.0)
        return low, high

    @cached_property
    def _arrays(self) -> tuple[Floats, dict[float, Floats]]:
        margins = {coverage: np.array(values) for coverage, values in self.margins.items()}
        return np.array(self.edges), margins


@dataclass(frozen=True)
class Ranges:
    """Prediction intervals of a valuation model: the spans and their calibration."""

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
        """Fit the spans on n train rows, and calibrate them on m held-out rows.

        Args:
            x: float32 (n, n_features), train rows.
            log_price: (n,) log prices of the train rows.
            x_held_out: float32 (m, n_features), held-out rows.
            log_predicted: (m,) valuations of the held-out rows, log dollars.
            log_price_held_out: (m,) log prices of the held-out rows.
            seed: seed of `Spans.fit`.

        Raises:
            ValueError: there are no held-out rows, or lengths differ.
        """
        spans = Spans.fit(x, log_price, seed)
        calibration = Calibration.fit(log_predicted, log_price_held_out, spans.predict(x_held_out))
        return cls(spans, calibration)

    def interval(
        self, x: Matrix, log_predicted: Floats, coverages: Sequence[float] = (RANGE,)
    ) -> list[tuple[Floats, Floats]]:
        """Ends of the intervals around n valuations.

        Args:
            x: float32 (n, n_features).
            log_predicted: (n,) valuations, log dollars.
            coverages: calibrated coverages.

        Returns:
            For each coverage the lower and upper ends, each (n,), log dollars.

        Raises:
            KeyError: a coverage was not calibrated.
        """
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
        """Read the files that `save` wrote into `folder`.

        Raises:
            OSError: a file is missing or unreadable.
            ValueError: calibration.json is not JSON, or has margins that are not numbers.
            KeyError: calibration.json lacks a key.
        """
        stored = json.loads((folder / "calibration.json").read_text())
        margins = {float(key): tuple(value) for key, value in stored["margins"].items()}
        spans = Spans.from_bytes((folder / "spans.ubj").read_bytes())
        return cls(spans, Calibration(tuple(stored["edges"]), margins))


def _conformal_quantile(scores: Floats, coverage: float) -> float:
    """The ceil((n + 1) * coverage)-th smallest of n scores, or the largest if n is too small.

    >>> _conformal_quantile(np.arange(1.0, 10.0), 0.8)
    8.0
    """
    rank = int(np.ceil((len(scores) + 1) * coverage))
    return float(np.sort(scores)[min(rank, len(scores)) - 1])
