"""`python -m realtor_local.upstream`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
import uvicorn

from realtor_local.errors import RealtorError
from realtor_local.synthetic_market import add_columns, generate
from realtor_local.upstream.api import build_app
from realtor_local.upstream.faults import FAULTS, Fault
from realtor_local.upstream.say import say
from realtor_local.upstream.served_listings import (
    ServedFile,
    check_file,
    cut,
    cut_market,
    read_file,
)
from realtor_model.listing import (
    US_LISTINGS,
    InvalidMarketFile,
    ListingContract,
    read_market,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the server. Exit codes: 0 stopped, 1 the data or the state file is unusable, 2 usage."""
    options = _parser().parse_args(arguments)
    try:
        market = _market(options)
        name, source = _source(options, market)
        app = build_app(
            source,
            batches_of=cut if options.csv is None or options.batches == "six" else cut_market,
            name=name,
            groups=options.groups,
            require_day=options.require_day,
            state=options.state,
            faults=options.fault,
        )
    except RealtorError as error:
        sys.exit(f"upstream: {error}")
    say(f"getting {name}")
    uvicorn.run(app, host=options.host, port=options.port, timeout_graceful_shutdown=5)


def _market(options: argparse.Namespace) -> ListingContract | None:
    """The market of the listings; None for those in the format of the real API."""
    if options.market is None:
        return None
    try:
        return read_market(options.market)
    except InvalidMarketFile as error:
        raise RealtorError(str(error)) from error


def _source(
    options: argparse.Namespace, market: ListingContract | None
) -> tuple[str, Callable[[], pd.DataFrame | ServedFile]]:
    """What the data is called in the state file, and what makes it. Raises UpstreamDataError."""
    if options.csv is None:
        name = f"a synthetic market of {options.rows:,} listings, seed {options.seed}"
        if market is None:
            return name, lambda: generate(options.rows, options.seed).listings
        return f"{name}, of {market.name} {market.version}", lambda: add_columns(
            generate(options.rows, options.seed).listings, market, options.seed
        )
    csv: Path = options.csv.resolve()
    contract = market or US_LISTINGS
    check_file(csv, contract)
    stat = csv.stat()
    name = f"{csv} ({stat.st_size:,} bytes, changed {stat.st_mtime_ns}), batches: {options.batches}"
    if market is not None:
        name += f", of {market.name} {market.version}"
    return name, partial(read_file, csv, contract)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m realtor_local.upstream",
        description="A stand-in for the upstream listings API.",
        epilog="faults: " + "; ".join(f"{kind}: {text}" for kind, text in FAULTS.items()),
    )
    parser.add_argument("--host", default="127.0.0.1", help="interface (default %(default)s)")
    parser.add_argument("--port", type=int, required=True, help="port")
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--csv",
        type=Path,
        metavar="FILE",
        help="a file of listings of US homes, or of the market of --market",
    )
    data.add_argument(
        "--rows",
        type=_positive,
        default=400_000,
        help="size of the synthetic market (default %(default)s)",
    )
    parser.add_argument(
        "--market",
        type=Path,
        metavar="FILE",
        help="market file that declares the columns of the file, or of the synthetic market",
    )
    parser.add_argument(
        "--batches",
        choices=["whole", "six"],
        default="whole",
        help="whole: all rows of the file, in batches of at most 250,000; six: complete rows only, "
        "cut by price, status and state as the real API does (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the market (default 0)")
    parser.add_argument(
        "--groups", type=_positive, default=10, help="groups 1..N exist (default %(default)s)"
    )
    parser.add_argument(
        "--require-day", action="store_true", help="refuse calls without day, as in 2025"
    )
    parser.add_argument(
        "--state", type=Path, metavar="FILE", help="keeps the cursors over a restart"
    )
    parser.add_argument(
        "--fault",
        type=Fault.parse,
        action="append",
        default=[],
        metavar="KIND@BATCH[:SECONDS]",
        help="goes wrong once, when that batch is asked for; may be given again",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


if __name__ == "__main__":
    main()
