"""What places are compared by: quantiles of prices and of sizes, and how each is written."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from realtor_ui import formatting
from realtor_ui.charts.chart_style import DOLLARS
from realtor_ui.market_texts import MarketTexts
from realtor_ui.texts import Texts


class Measure(NamedTuple):
    """One figure of a place.

    quantiles: the column of each of p10, p25, median, p75 and p90 that is known. form: of a figure
    in a tooltip; axis: on an axis (d3-format); write: in a legend.
    """

    quantiles: Mapping[str, str]
    form: str
    axis: str
    write: Callable[[Texts, float], str]


# By the column of the median, which also is the column of a map.
MEASURES: Mapping[str, Measure] = {
    "median_price": Measure(
        {"p10": "price_p10", "p25": "price_p25", "median": "median_price", "p75": "price_p75",
         "p90": "price_p90"},
        DOLLARS, "$,.3~s", formatting.short_money,
    ),
    "median_price_per_sqft": Measure(
        {"p25": "price_per_sqft_p25", "median": "median_price_per_sqft",
         "p75": "price_per_sqft_p75"},
        DOLLARS, "$,.3~s", formatting.short_money,
    ),
    "median_house_size": Measure(
        {"p25": "house_size_p25", "median": "median_house_size", "p75": "house_size_p75"},
        ",.0f", ",.0f", lambda _, size: f"{size:,.0f}",
    ),
    "median_acre_lot": Measure(
        {"p25": "acre_lot_p25", "median": "median_acre_lot", "p75": "acre_lot_p75"},
        ",.2f", ",~f", lambda _, size: f"{size:,.2f}",
    ),
}  # fmt: skip


def measures_of(t: MarketTexts) -> list[str]:
    """The measures of a market: sizes where homes have them, rates where their unit has a name."""
    needs = {
        "median_price_per_sqft": t.rates_are_per_area,
        "median_house_size": t.info.name_of("living_area") is not None,
        "median_acre_lot": t.info.name_of("lot_size") is not None,
    }
    return [measure for measure in MEASURES if needs.get(measure, True)]
