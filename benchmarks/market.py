"""The synthetic market: speed of generating and serving it, and similarity to the real file.

    python -m benchmarks.market --rows 2226382

Exits with status 1 when a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from realtor_local.synthetic_geography import calibration
from realtor_local.synthetic_market import Market, best_reachable, generate
from realtor_local.upstream.served_listings import cut, json_rows

REAL_BATCHES = (73_784, 94_551, 230_366, 4_055, 320_696, 361_457)


@dataclass(frozen=True)
class Figure:
    """One value with its allowed interval, and the value of the real file, if there is one."""

    name: str
    value: float
    low: float
    high: float
    real: float | None = None

    @property
    def met(self) -> bool:
        return bool(self.low <= self.value <= self.high)


def near(name: str, value: float, real: float, *, share: float = 0.0, by: float = 0.0) -> Figure:
    margin = by + share * abs(real)
    return Figure(name, float(value), real - margin, real + margin, real)


def speed(market: Market, seconds: float) -> list[Figure]:
    batches = cut(market.listings)
    largest = max(batches, key=len)
    started = time.perf_counter()
    for _ in json_rows(largest):
        pass
    serialised = len(largest) / (time.perf_counter() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )
    rows = len(market.listings)
    return [
        Figure("generated, rows/s", rows / seconds, rows / (5 + rows * 60 / 2_226_382), np.inf),
        Figure("serialised, rows/s", serialised, 100_000, np.inf),
        Figure("peak memory, GB", peak / 1e9, 0, 0.5 + 1.5 * rows / 2_226_382),
    ]


def match(market: Market) -> list[Figure]:
    facts, listings = calibration(), market.listings
    figures = [
        near(
            f"price quantile {level}",
            float(listings["price"].quantile(float(level))),
            real,
            share=0.2,
        )
        for level, real in facts["price_quantiles"].items()
    ]
    figures += [
        near(f"missing {name}", listings[name].isna().mean(), real, share=0.03, by=2e-4)
        for name, real in facts["missing"].items()
    ]
    by_state = listings.groupby("state")["price"]
    medians = by_state.median()[by_state.size() > 500]
    real = pd.Series({name: state["median_price"] for name, state in facts["states"].items()})
    largest_error = float(np.abs(np.log(medians / real[medians.index])).max())
    figures.append(Figure("largest error of a state's median", largest_error, 0, 0.15))
    homes = listings[
        listings["price"].between(1e4, 1e7) & listings["house_size"].between(200, 20_000)
    ]
    log_price, log_size = np.log(homes["price"]), np.log(homes["house_size"])
    explained = facts["variance_log_price_explained"]
    zips = log_price.groupby(homes["zip_code"])
    # Corrects for degrees of freedom: a zip with few homes explains their prices by chance.
    freedom = (len(homes) - 1) / (len(homes) - zips.ngroups)
    unexplained = ((log_price - zips.transform("mean")) ** 2).mean() / log_price.var()
    elasticity = float(np.polyfit(log_size, log_price, 1)[0])
    figures += [
        near("size elasticity", elasticity, facts["size_elasticity"], by=0.1),
        near("explained by size", log_size.corr(log_price) ** 2, explained["house_size"], by=0.05),
        near("explained by zip", 1 - freedom * unexplained, explained["zip"], by=0.1),
    ]
    batches = cut(listings)
    rows = sum(map(len, batches))
    figures.append(near("complete rows", rows / len(listings), 0.487, by=0.04))
    figures += [
        near(f"batch {number}, share", len(batch) / rows, real / sum(REAL_BATCHES), share=0.3)
        for number, (batch, real) in enumerate(zip(batches, REAL_BATCHES, strict=True))
    ]
    best = best_reachable(market)
    return [
        *figures,
        Figure("best reachable MdAPE", best["mdape"], 0.12, 0.22),
        Figure("best reachable R2 of log price", best["r2_log"], 0.70, 0.85),
        Figure("best reachable RMSE, dollars", best["rmse"], 0, 500_000),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=400_000, help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    started = time.perf_counter()
    market = generate(options.rows, options.seed)
    figures = speed(market, time.perf_counter() - started) + match(market)
    if options.json:
        rows = [asdict(figure) | {"met": figure.met} for figure in figures]
        print(json.dumps([{k: None if v == np.inf else v for k, v in row.items()} for row in rows]))
    else:
        print(f"{'':34}{'measured':>14}{'real file':>14}   target")
        for figure in figures:
            real = "" if figure.real is None else f"{figure.real:,.4g}"
            target = f"{figure.low:,.4g} to {figure.high:,.4g}"
            verdict = "" if figure.met else "   MISSED"
            print(f"{figure.name:34}{figure.value:>14,.4g}{real:>14}   {target}{verdict}")
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
