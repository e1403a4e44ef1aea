"""Plots of a model: figures for MLflow, small PNGs in Markdown for Dagster."""

import base64
import io
from collections.abc import Sequence

import dagster as dg
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from realtor_model import sampling
from realtor_model.evaluation.metrics import SELECTION_METRIC
from realtor_model.evaluation.scored_listings import ScoredListings

matplotlib.use("Agg")

Floats = NDArray[np.float64]
INK, ACCENT, MUTED = "#1f2a44", "#c8553d", "#b9c0cf"
# At this resolution a plot adds at most about 100 KB to Dagster's event log.
EVENT_LOG_DPI = 70
POINTS_SHOWN = 5_000


def predicted_against_actual(price: Floats, predicted: Floats) -> Figure:
    """Density of predicted against actual price, dollars, both axes logarithmic."""
    figure, axes = _figure()
    shades = axes.hexbin(
        price, predicted, xscale="log", yscale="log", bins="log", gridsize=60, cmap="Blues",
        mincnt=1, linewidths=0.1,
    )  # fmt: skip
    figure.colorbar(shades, ax=axes, label="listings")
    low, high = float(min(price.min(), predicted.min())), float(max(price.max(), predicted.max()))
    axes.plot([low, high], [low, high], color=ACCENT, linewidth=1.2, label="exact")
    axes.set(xlabel="actual price ($)", ylabel="predicted price ($)")
    axes.legend(frameon=False)
    return figure


def calibration(judged: ScoredListings, coverage: float) -> Figure:
    """Share of prices inside their range, by fifth of the estimate, beside what is promised."""
    figure, axes = _figure(height=3.2)
    fifth = sampling.quintiles(judged.predicted)
    names = sorted(set(fifth))
    axes.bar(names, [float(judged.covered[fifth == name].mean()) for name in names], color=INK)
    axes.axhline(coverage, color=ACCENT, linewidth=1.2, label=f"promised: {coverage:.0%}")
    axes.set(xlabel="fifth of the estimate (1: cheapest)", ylabel="inside the range", ylim=(0, 1))
    axes.legend(frameon=False)
    return figure


def error_by_segment(segments: pd.DataFrame, *, top: int = 25) -> Figure:
    """Median error of the largest segments, grouped as in the table."""
    shown = segments.head(top)[::-1]
    figure, axes = _figure(height=0.24 * len(shown) + 0.9)
    labels = shown["by"] + ": " + shown["segment"]
    axes.barh(labels, shown["mdape"], color=INK)
    axes.set(xlabel="median |error| / price")
    return figure


def learning_curve(curve: Sequence[tuple[int, float]]) -> Figure:
    """Validation error (`SELECTION_METRIC`) by number of train rows."""
    figure, axes = _figure(height=3.2)
    rows, error = zip(*curve, strict=True)
    axes.plot(rows, error, marker="o", color=INK)
    axes.set(xscale="log", xlabel="train rows", ylabel=SELECTION_METRIC.label)
    return figure


def residuals(price: Floats, predicted: Floats) -> Figure:
    """Residual of log price (predicted - actual) against the predicted price."""
    figure, axes = _figure()
    shown = _sample(len(price))
    residual = np.log(predicted) - np.log(price)
    axes.scatter(predicted[shown], residual[shown], s=5, alpha=0.3, color=INK, linewidths=0)
    axes.axhline(0.0, color=ACCENT, linewidth=1.2)
    axes.set(xscale="log", xlabel="predicted price ($)", ylabel="log(predicted) - log(actual)")
    return figure


def feature_importance(importance: dict[str, float], *, top: int = 20) -> Figure:
    """The `top` most important features, largest first."""
    ranked = sorted(importance.items(), key=lambda item: item[1], reverse=True)[:top][::-1]
    figure, axes = _figure(height=0.28 * len(ranked) + 0.9)
    axes.barh([name for name, _ in ranked], [value for _, value in ranked], color=INK)
    axes.set(xlabel="importance")
    return figure


def importance_before_and_after(importance: pd.DataFrame, before: str, after: str) -> Figure:
    """Mean |SHAP| of log price by input (columns input, before, after), of two versions."""
    ranked = importance.sort_values("after")
    figure, axes = _figure(height=0.36 * len(ranked) + 0.9)
    at = np.arange(len(ranked))
    axes.barh(at + 0.2, ranked["before"], height=0.38, color=MUTED, label=f"version {before}")
    axes.barh(at - 0.2, ranked["after"], height=0.38, color=INK, label=f"version {after}")
    axes.set_yticks(at, ranked["input"])
    axes.set(xlabel="mean |SHAP| of log price")
    axes.legend(frameon=False)
    return figure


def ratio_histogram(price: Floats, predicted: Floats) -> Figure:
    """Distribution of the ratio estimate / price, with the assessors' ideal of 1."""
    figure, axes = _figure()
    axes.hist(np.clip(predicted / price, 0.0, 3.0), bins=60, color=INK)
    axes.axvline(1.0, color=ACCENT, linewidth=1.2)
    axes.set(xlabel="estimate / price (clipped at 3)", ylabel="listings")
    return figure


def in_markdown(figure: Figure, title: str) -> dg.MarkdownMetadataValue:
    """`figure` as Dagster metadata: a PNG inside Markdown, which the UI shows on a click."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=EVENT_LOG_DPI)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")


def _figure(height: float = 4.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _sample(n: int) -> NDArray[np.intp]:
    return sampling.draw_rows(n, POINTS_SHOWN)
