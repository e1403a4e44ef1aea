"""The reasons for a price, as rows for charts and tables."""

import pandas as pd

from realtor_ui import formatting
from realtor_ui.charts.valuation_charts import Reason
from realtor_ui.market_texts import MarketTexts
from realtor_ui.responses import ExplainedValuation

MOST_REASONS = 15
NEGLIGIBLE_DOLLARS = 1.0


def by_input(t: MarketTexts, answer: ExplainedValuation, most: int = MOST_REASONS) -> list[Reason]:
    """The effect of each input on the price, largest first."""
    return [
        Reason(
            f"{t.named('input', each.input)}: {formatting.input_value(t, each.input, each.value)}",
            each.dollars,
        )
        for each in answer.contributions
        if abs(each.dollars) >= NEGLIGIBLE_DOLLARS
    ][:most]


def by_feature(
    t: MarketTexts, answer: ExplainedValuation, most: int = MOST_REASONS
) -> list[Reason]:
    """The effect of each feature on the price, largest first.

    Features add up in log price; each gets its share of price - base_price in proportion.
    """
    rate = _dollars_per_log(answer)
    return [
        Reason(
            f"{t.named('feature', each.feature)}: "
            f"{formatting.feature_value(t, each.feature, each.value)}",
            each.log * rate,
        )
        for each in answer.features
        if abs(each.log * rate) >= NEGLIGIBLE_DOLLARS
    ][:most]  # fmt: skip


def features_table(t: MarketTexts, answer: ExplainedValuation) -> pd.DataFrame:
    """All features: name, value, effect in dollars."""
    rate = _dollars_per_log(answer)
    return pd.DataFrame(
        {
            t("why.feature"): [t.named("feature", each.feature) for each in answer.features],
            t("why.value"): [
                formatting.feature_value(t, each.feature, each.value) for each in answer.features
            ],
            t("why.adds_dollars"): [round(each.log * rate) for each in answer.features],
        }
    )


def inputs_table(t: MarketTexts, answer: ExplainedValuation) -> pd.DataFrame:
    """All inputs: name, value, effect in dollars, stars."""
    stars = formatting.stars({each.input: each.dollars for each in answer.contributions})
    return pd.DataFrame(
        {
            t("why.input"): [t.named("input", each.input) for each in answer.contributions],
            t("why.entered"): [
                formatting.input_value(t, each.input, each.value) for each in answer.contributions
            ],
            t("why.adds_dollars"): [round(each.dollars) for each in answer.contributions],
            t("why.weight"): ["★" * stars[each.input] for each in answer.contributions],
        }
    )


def _dollars_per_log(answer: ExplainedValuation) -> float:
    total = sum(each.log for each in answer.features)
    return (answer.valuation.price - answer.base_price) / total if abs(total) > 1e-9 else 0.0
