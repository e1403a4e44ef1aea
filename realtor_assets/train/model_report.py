"""The report of a scored model: card, tables and pictures."""

from dataclasses import dataclass

import dagster as dg
import pandas as pd
from matplotlib.figure import Figure

from realtor_assets.metadata import plots
from realtor_model.evaluation.model_card import model_card
from realtor_model.evaluation.scored_listings import ScoredListings, fairness, segments
from realtor_model.valuation.intervals import RANGE
from realtor_model.valuation.valuation_model import ValuationModel

SEGMENTS_SHOWN = 30


@dataclass(frozen=True)
class Report:
    """Card, tables and pictures of a model that was scored on a split."""

    card: str
    segments: pd.DataFrame
    fairness: pd.DataFrame
    figures: dict[str, Figure]

    @classmethod
    def of(
        cls,
        model: ValuationModel,
        scored: ScoredListings,
        split: str,
        curve: list[tuple[int, float]] | None = None,
    ) -> "Report":
        """Make the report; `model.metadata` has the `summary` of `split` already.

        Args:
            model: the scored model.
            scored: the listings of the split, with the model's valuations.
            split: its name.
            curve: (train rows, error) of the `learning_curve`, drawn if given.
        """
        table = segments(scored, model.metadata["as_of"])
        audit = fairness(scored)
        figures = {
            "predicted_against_actual": plots.predicted_against_actual(
                scored.price, scored.predicted
            ),
            "residuals": plots.residuals(scored.price, scored.predicted),
            "calibration": plots.calibration(scored, RANGE),
            "importance": plots.feature_importance(model.estimator.importance()),
            "error_by_segment": plots.error_by_segment(table),
        }
        if curve is not None:
            figures["learning_curve"] = plots.learning_curve(curve)
        card = model_card(model, model.metadata["metrics"][split], table, audit, split=split)
        return cls(card, table, audit, figures)

    def pictures(self) -> dict[str, dg.MarkdownMetadataValue]:
        """Tables and pictures as Dagster metadata."""
        return {
            "segments": dg.MetadataValue.md(
                self.segments.head(SEGMENTS_SHOWN).to_markdown(index=False, floatfmt=",.3f")
            ),
            "fairness": dg.MetadataValue.md(
                self.fairness.to_markdown(index=False, floatfmt=",.3f")
            ),
        } | {name: plots.in_markdown(figure, name) for name, figure in self.figures.items()}
