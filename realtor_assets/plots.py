"""Pictures of a model: for MLflow as figures, for Dagster as small PNGs in Markdown."""

import base64
import io

import dagster as dg
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

matplotlib.use("Agg")

Floats = NDArray[np.float64]
INK, ACCENT = "#1f2a44", "#c8553d"
# Pictures in Dagster's event log stay under about 100 KB each.
EVENT_LOG_DPI = 70
POINTS_SHOWN = 5_000


def predicted_against_actual(price: Floats, predicted: Floats) -> Figure:
    """Predicted against actual price, dollars, both axes logarithmic; at most 5,000 points."""
    figure, axes = _figure()
    shown = _sample(len(price))
    axes.scatter(price[shown], predicted[shown], s=5, alpha=0.3, color=INK, linewidths=0)
    low, high = float(min(price.min(), predicted.min())), float(max(price.max(), predicted.max()))
    axes.plot([low, high], [low, high], color=ACCENT, linewidth=1.2, label="exact")
    axes.set(xscale="log", yscale="log", xlabel="actual price ($)", ylabel="predicted price ($)")
    axes.legend(frameon=False)
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
    return np.random.default_rng(0).permutation(n)[:POINTS_SHOWN]
