"""Coordinates of the places that a model knows, for a map without tiles."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from realtor_serving.champion.served_champion import Champion
from realtor_serving.contract.schemas import ModelRef
from realtor_serving.valuation.answers import model_ref

MOST_ZIPS = 50_000


class Coordinates(BaseModel):
    """The zip codes of the model's train rows, as columns. The most listings come first."""

    zip_code: list[str]
    state: list[str | None]
    city: list[str | None]
    latitude: list[float] = Field(description="Latitude of the zip code's centre, degrees.")
    longitude: list[float]
    listings: list[int]
    median_price: list[float] = Field(description="In the market's currency.")
    median_price_per_sqft: list[float | None]
    median_house_size: list[float | None] = Field(description="Square feet.")
    median_acre_lot: list[float | None] = Field(description="Acres.")
    model: ModelRef


def coordinates(champion: Champion) -> Coordinates | None:
    """Centres and medians of all zips the model learned from; None if the bundle has none.

    A market without zips has empty columns.
    """
    market = champion.model.market
    if market is None:
        return None
    rows = market.rows("zip", most=MOST_ZIPS)

    places: dict[str, NDArray[Any]] = {
        name: np.array([row[name] for row in rows], object)
        for name in ("state", "city", "zip_code")
    }
    contract = champion.model.contract
    nothing_else = {key: contract.missing(key, len(rows)) for key in contract.keys}
    points = champion.model.encoder.coordinates(nothing_else | places)

    def medians(name: str, digits: int) -> list[float | None]:
        return [None if row[name] is None else round(row[name], digits) for row in rows]

    return Coordinates(
        **{name: values.tolist() for name, values in places.items()},
        latitude=np.round(points[:, 0], 4).tolist(),
        longitude=np.round(points[:, 1], 4).tolist(),
        listings=[row["listings"] for row in rows],
        median_price=[round(row["median_price"]) for row in rows],
        median_price_per_sqft=medians("median_price_per_sqft", 1),
        median_house_size=medians("median_house_size", 0),
        median_acre_lot=medians("median_acre_lot", 2),
        model=model_ref(champion),
    )
