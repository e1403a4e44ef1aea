"""Maps without tiles: places as points at their coordinates, in a projection of their own."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_ui.charts.chart_style import (
    DOLLARS,
    LOWERS,
    RAISES,
    SCALE,
    SCALE_ON_DARK,
    Chart,
    grid_colour,
    text_colour,
    tooltip,
)
from realtor_ui.charts.place_measures import MEASURES
from realtor_ui.texts import Texts

Projection = Literal["albersUsa", "mercator"]

MOST_POINTS, SIXTHS = 4_000, 6
# Alaska and Hawaii have a place in it; the territories have none.
COUNTRY: Projection = "albersUsa"
AREA: Projection = "mercator"
_USA_LATITUDES, _USA_LONGITUDES, _COUNTRY_DEGREES = (13.0, 72.0), (-180.0, -64.0), 10.0
# Longer names of sixths do not fit beside two others.
_SHORT_NAME = 15
_OUTSIDE = ("Puerto Rico", "Virgin Islands", "Guam")


def _points(frame: pd.DataFrame, projection: Projection, height: int) -> alt.Chart:
    chart = alt.Chart(frame, height=height).encode(longitude="longitude:Q", latitude="latitude:Q")
    projected: alt.Chart = chart.project(type=projection)
    return projected


def neighbourhood_map(
    texts: Texts,
    zips: pd.DataFrame,
    home: pd.DataFrame,
    sales: pd.DataFrame,
    *,
    dark: bool = False,
) -> Chart:
    """A home and the sales compared with it among the zips of its state.

    zips: zip_code, city, latitude, longitude, median_price. home: one row with latitude, longitude
    and name. sales: the same, with number and price.
    """
    shown = zips.head(MOST_POINTS)
    ground = _points(shown, AREA, 330).mark_circle(size=14, color=grid_colour(dark), opacity=1)
    ground = ground.encode(
        tooltip=[
            tooltip("zip_code:N", texts.named("input", "zip_code")),
            tooltip("city:N", texts.named("input", "city")),
            tooltip("median_price:Q", texts("market.median_price"), DOLLARS),
        ]
    )
    layers: list[alt.Chart] = [ground]
    if len(sales):
        sold = _points(sales, AREA, 330).encode(
            tooltip=[tooltip("name:N", " "), tooltip("price:Q", texts("comps.sold_for"), DOLLARS)]
        )
        layers.append(sold.mark_circle(size=170, color=RAISES, opacity=0.9))
        layers.append(
            sold.mark_text(
                color=text_colour(dark), fontSize=13, fontWeight="bold", align="left", dx=12, dy=-10
            ).encode(text="number:N")
        )
    layers.append(
        _points(home, AREA, 330)
        .mark_point(
            shape="diamond",
            size=220,
            filled=True,
            color=LOWERS,
            stroke=text_colour(dark),
            strokeWidth=1.5,
            opacity=1,
        )
        .encode(tooltip=[tooltip("name:N", " ")])
    )
    return alt.layer(*layers)


def measure_map(
    texts: Texts, places: pd.DataFrame, measure: str, *, dark: bool = False, whole: bool = True
) -> Chart:
    """Places coloured by a measure, one of `MEASURES`; the whole country, or closer.

    places: name, state, latitude, longitude, listings, and the measure. Only the USA have a
    projection for the whole country.
    """
    whole = whole and _spans_the_usa(places)
    shown = places[~places["state"].isin(_OUTSIDE)] if whole else places
    shown = shown.dropna(subset=[measure]).head(MOST_POINTS)
    described = MEASURES[measure]
    sixth, names = _sixths(shown[measure].to_numpy(float), partial(described.write, texts))
    shown = shown.assign(sixth=sixth)
    chart = _points(shown, COUNTRY if whole else AREA, 420)
    drawn: alt.Chart = chart.mark_circle(opacity=0.85).encode(
        size=alt.Size(
            "listings:Q",
            scale=alt.Scale(type="sqrt", range=[8, 60] if whole else [20, 260]),
            legend=None,
        ),
        color=alt.Color(
            "sixth:N",
            scale=alt.Scale(domain=names, range=(SCALE_ON_DARK if dark else SCALE)[: len(names)]),
            legend=alt.Legend(
                title=None,
                orient="bottom",
                labelColor=text_colour(dark),
                columns=3 if max(map(len, names), default=0) <= _SHORT_NAME else 2,
                symbolType="circle",
            ),
        ),
        tooltip=[
            tooltip("name:N", " "),
            tooltip(f"{measure}:Q", texts(f"market.{measure}"), described.form),
            tooltip("listings:Q", texts("market.listings"), ","),
        ],
    )
    return drawn


def _spans_the_usa(places: pd.DataFrame) -> bool:
    """Whether places lie in the USA, far apart."""
    latitude, longitude = places["latitude"].astype(float), places["longitude"].astype(float)
    return bool(
        latitude.between(*_USA_LATITUDES).all()
        and longitude.between(*_USA_LONGITUDES).all()
        and longitude.max() - longitude.min() > _COUNTRY_DEGREES
    )


def _sixths(
    values: NDArray[np.float64], write: Callable[[float], str]
) -> tuple[list[str], list[str]]:
    """The name of the sixth that each of n values lies in, and all names, the lowest first."""
    if not len(values):
        return [], []
    edges = np.unique(np.quantile(values, np.arange(SIXTHS + 1) / SIXTHS))
    ends = [write(edge) for edge in edges]
    pairs = list(pairwise(ends)) or [(ends[0], ends[0])]
    names = [f"{low} \N{EN DASH} {high}" for low, high in pairs]
    at = np.searchsorted(edges[1:-1], values, side="right")
    return [names[each] for each in at.tolist()], list(dict.fromkeys(names))
