"""What a person sees of a model that was judged: card, tables and pictures."""

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
    """What a person wants to see of a model that was judged on a split."""

    card: str
    segments: pd.DataFrame
    fairness: pd.DataFrame
    figures: dict[str, Figure]

    @classmethod
    def of(
        cls,
        model: ValuationModel,
        judged: ScoredListings,
        split: str,
        curve: list[tuple[int, float]] | None = None,
    ) -> "Report":
        """Tables, card and pictures; `model.metadata` holds the `summary` of `split` already."""
        table = segments(judged, model.metadata["as_of"])
        audit = fairness(judged)
        figures = {
            "predicted_against_actual": plots.predicted_against_actual(
                judged.price, judged.predicted
            ),
            "residuals": plots.residuals(judged.price, judged.predicted),
            "calibration": plots.calibration(judged, RANGE),
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
