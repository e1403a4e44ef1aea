"""How a model behaves where no price can show it: larger homes, unknown places, missing inputs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtor_model.features import Columns, as_sold, columns_from_properties, take
from realtor_model.listing import (
    COORDINATES,
    US_LISTINGS,
    Home,
    ListingContract,
    Property,
)
from realtor_model.valuation.valuation_model import ValuationModel

Floats = NDArray[np.float64]

# Enough to see one home in a hundred, and few enough for a second.
_PROBED = 5_000
_VARIED = 500

_NOT_A_ZIP, _NOT_A_CITY = "99999", "No Such City"


@dataclass(frozen=True)
class GoldenHome:
    """An ordinary home of its place, and what a square foot of it may cost, dollars.

    Bands are wide, a factor of 8 to 10: they catch a model with a gross error (a wrong unit, a
    column taken for another), and don't rank good models.
    """

    name: str
    home: Home
    per_sqft: tuple[float, float]


def _home(zip_code: str, city: str, state: str, bed: int, size: int, acres: float) -> Home:
    return Property.model_validate(
        {
            "status": "sold",
            "bed": bed,
            "bath": max(1, bed - 1),
            "acre_lot": acres,
            "city": city,
            "state": state,
            "zip_code": zip_code,
            "house_size": size,
        }
    )


GOLDEN_HOMES = (
    GoldenHome(
        "rural Mississippi", _home("38614", "Clarksdale", "Mississippi", 3, 1_400, 0.3), (20, 200)
    ),
    GoldenHome(
        "rural West Virginia", _home("26241", "Elkins", "West Virginia", 3, 1_500, 0.5), (25, 250)
    ),
    GoldenHome("suburban Ohio", _home("44129", "Cleveland", "Ohio", 3, 1_400, 0.15), (40, 350)),
    GoldenHome("suburban Texas", _home("77084", "Houston", "Texas", 4, 2_100, 0.17), (45, 400)),
    GoldenHome("town in Florida", _home("34471", "Ocala", "Florida", 3, 1_700, 0.25), (50, 450)),
    GoldenHome("suburban Arizona", _home("85032", "Phoenix", "Arizona", 3, 1_600, 0.18), (60, 600)),
    GoldenHome(
        "town in New York", _home("13210", "Syracuse", "New York", 4, 1_800, 0.12), (35, 350)
    ),
    GoldenHome(
        "urban Washington", _home("98115", "Seattle", "Washington", 3, 1_700, 0.1), (120, 1_200)
    ),
    GoldenHome(
        "expensive California",
        _home("95125", "San Jose", "California", 3, 1_600, 0.14),
        (150, 1_500),
    ),
)


def share_lower_when_larger(model: ValuationModel, columns: Columns, *, drop: float) -> float:
    """Share of homes (n,) valued lower by more than `drop` when a fifth larger; 0 of none.

    Of 5,000 homes with a known size at most.
    """
    sized = np.flatnonzero(np.isfinite(columns["house_size"]))[:_PROBED]
    if not len(sized):
        return 0.0
    homes = as_sold(take(columns, sized))
    larger = homes | {"house_size": np.round(homes["house_size"] * 1.2)}
    change = model.predict(larger) / model.predict(homes) - 1.0
    return float(np.mean(change < -drop))


def unfit_valuations(model: ValuationModel, columns: Columns) -> dict[str, int]:
    """What is unknown or missing -> how many of 500 homes (n,) have no valuation that serves.

    One that serves is finite and positive, and lies in its range. A place of the country must
    remain, and a size, lot or number of bedrooms: the least that a request must have.
    """
    contract = model.contract
    homes = as_sold(take(contract.completed(columns), slice(_VARIED)))
    n = len(homes["status"])
    nowhere = {
        key: np.full(n, name, object)
        for key, name in (("zip_code", _NOT_A_ZIP), ("city", _NOT_A_CITY))
        if key in contract.by_key
    }
    variants: dict[str, Columns] = {
        **{f"unknown {key}": homes | {key: names} for key, names in nowhere.items()},
        f"unknown {' and '.join(nowhere)}": homes | nowhere,
        **{f"missing {column.name}": homes | {column.key: contract.missing(column.key, n)}
           for column in contract.inputs if column.key != "status"},
    }  # fmt: skip
    unfit = {}
    for what, varied in variants.items():
        values = model.value(take(varied, _enough(varied, contract)))
        serves = np.isfinite(values.price) & (values.price > 0) & np.isfinite(values.high)
        serves &= (values.low <= values.price) & (values.price <= values.high)
        if not serves.all():
            unfit[what] = int((~serves).sum())
    return unfit


def strange_golden_homes(
    model: ValuationModel, *, drop: float, homes: tuple[GoldenHome, ...] = GOLDEN_HOMES
) -> list[str]:
    """In words, which of `homes` are valued outside their band, or lower when a half larger.

    A market whose columns are not those of US listings has no such homes.

    Lower is lower by more than `drop`. A model that never learned prices as high as a band is held
    to half the highest one that it learned: it can't know better, and is not broken.
    """
    if not _lists_us_homes(model.contract):
        return []
    columns = model.contract.completed(
        as_sold(columns_from_properties([golden.home for golden in homes]))
    )
    sizes = columns["house_size"]
    values = model.predict(columns)
    of_larger = model.predict({**columns, "house_size": np.rint(1.5 * sizes)})
    highest = model.price_range[1]
    strange = []
    for golden, size, value, when_larger in zip(homes, sizes, values, of_larger, strict=True):
        low, high = (size * dollars for dollars in golden.per_sqft)
        if not min(low, highest / 2.0) <= value <= high:
            strange.append(
                f"the home in {golden.name} is valued at ${value / size:,.0f} a square foot "
                f"(${golden.per_sqft[0]:,.0f} to ${golden.per_sqft[1]:,.0f} is plausible)"
            )
        if when_larger < value * (1.0 - drop):
            strange.append(
                f"the home in {golden.name} is valued at ${value:,.0f}, a half larger at "
                f"${when_larger:,.0f}"
            )
    return strange


def _lists_us_homes(contract: ListingContract) -> bool:
    """Whether homes are described and priced as in the built-in market, whatever else is known."""
    return contract.currency == US_LISTINGS.currency and all(
        (own := contract.by_key.get(column.key)) is not None
        and (own.range is None or column.range is None or own.range.unit == column.range.unit)
        for column in (*US_LISTINGS.places, *US_LISTINGS.sizes)
    )


def _enough(columns: Columns, contract: ListingContract) -> NDArray[np.bool_]:
    """Which rows (n,) have a place and a size, as `Home` requires."""
    placed = np.array(
        [
            state is not None or zip_code is not None
            for state, zip_code in zip(columns["state"], columns["zip_code"], strict=True)
        ],
        bool,
    )
    if contract.has_coordinates:
        placed |= np.all([np.isfinite(columns[key]) for key in COORDINATES], 0)
    sized = np.any([np.isfinite(columns[column.key]) for column in contract.sizes], 0)
    enough: NDArray[np.bool_] = placed & sized
    return enough
