"""A file of homes through the app's upload path to a service, by turns with another checkout's.

    python -m benchmarks.upload --against ../earlier --rows 100000

Each checkout reads the same CSV by its own app's code, values it by its own service, and writes the
download; the browser is not part of it (see benchmarks.app). The other checkout is one from before
files had one reader. Figures are seconds of the three parts, and the peak of memory. Exits with
status 1 when the whole takes more than 1.1 times as long, or more memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks._checkouts import Checkout, end_cleanly
from benchmarks._servers import free_port, running, service
from benchmarks._turns import Speed, by_turns
from realtor_local.synthetic_market import generate

MARKET_ROWS = 60_000
# Of the other checkout's seconds and memory.
LIMIT = 1.1
LIMITED = ("all parts, s", "peak of memory, MB")

# Prints the figures of one file: the arguments are the service's address and the file.
_THIS = """
import json, resource, sys, time
from pathlib import Path
from realtor_ui.client import ServiceClient
from realtor_ui.service_cache import market_contract
from realtor_ui.uploads.result_file import result_table, to_file
from realtor_ui.uploads.upload import Upload
from realtor_ui.uploads.valuing import value_homes

with ServiceClient(sys.argv[1], timeout_seconds=120) as client:
    info = client.model_info()
    contract = market_contract(info)
    content = Path(sys.argv[2]).read_bytes()
    started = time.perf_counter()
    upload = Upload("homes.csv", content)
    opened = upload.opened(contract, 10_000_000)
    understanding = upload.understood(info, contract)
    read = time.perf_counter()
    valuation = upload.valuation(info, understanding)
    for step in value_homes(understanding, client.predict_table):
        valuation.parts.append(step.estimates)
        valuation.done = step.done
    valued = time.perf_counter()
    to_file(result_table(opened, valuation.estimates), "csv")
    written = time.perf_counter()
"""
_EARLIER = """
import json, resource, sys, time
from pathlib import Path
import pandas as pd
from realtor_ui import upload
from realtor_ui.client import ServiceClient

with ServiceClient(sys.argv[1], timeout_seconds=120) as client:
    info = client.model_info()
    content = Path(sys.argv[2]).read_bytes()
    started = time.perf_counter()
    frame = upload.read_table("homes.csv", content)
    matched = upload.match_columns(list(frame.columns), info.inputs)
    read = time.perf_counter()
    steps = upload.value_rows(frame, matched, info.inputs, client.predict_table)
    estimates = pd.concat([step.valued for step in steps])
    valued = time.perf_counter()
    upload.to_file(frame.loc[estimates.index].join(estimates, rsuffix="_of_model"), "csv")
    written = time.perf_counter()
"""
_PRINT = """
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({
    "read and matched, s": read - started, "valued, s": valued - read,
    "written, s": written - valued, "all parts, s": written - started,
    "peak of memory, MB": peak / (1024**2 if sys.platform == "darwin" else 1024),
}))
"""


@contextmanager
def service_of(checkout: Checkout, folder: Path) -> Iterator[str]:
    """The URL of the checkout's service with a model that its own code trains."""
    folder.mkdir()
    checkout.make_bundle(folder / "bundle", MARKET_ROWS, 0)
    port = free_port()
    command = service(port, checkout.root, checkout.service)
    variables = {
        "PYTHONPATH": str(checkout.root),
        "REALTOR_HOME": str(folder / "home"),
        "REALTOR_CHAMPION_BUNDLE": str(folder / "bundle"),
        "REALTOR_SERVICE_WORKERS": "1",
    }
    with running(command, port, "/readyz", folder / "service", variables):
        yield f"http://127.0.0.1:{port}"


def figures(checkout: Checkout, code: str, url: str, file: Path) -> Mapping[str, float]:
    """The figures of one run in a process of its own."""
    printed = checkout.python("-c", code + _PRINT, url, str(file), folder=file.parent)
    measured: dict[str, float] = json.loads(printed.splitlines()[-1])
    return measured


def is_met(speed: Speed) -> bool:
    """Whether a figure with a limit is within it."""
    return speed.name not in LIMITED or 1.0 / speed.ratio <= LIMIT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--against", type=Path, required=True, help="the other checkout")
    parser.add_argument("--rows", type=int, default=100_000, help="default %(default)s")
    parser.add_argument("--turns", type=int, default=5, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    options = parser.parse_args()
    end_cleanly()
    other, this = Checkout(options.against.resolve()), Checkout()
    with tempfile.TemporaryDirectory(prefix="realtor-upload-") as name, ExitStack() as services:
        folder = Path(name)
        file = folder / "homes.csv"
        generate(options.rows, 1).listings.to_csv(file, index=False)
        other_url = services.enter_context(service_of(other, folder / "other"))
        this_url = services.enter_context(service_of(this, folder / "this"))
        speeds = by_turns(
            partial(figures, other, _EARLIER, other_url, file),
            partial(figures, this, _THIS, this_url, file),
            options.turns,
        )
    if options.json:
        print(json.dumps([asdict(speed) | {"met": is_met(speed)} for speed in speeds]))
    else:
        print(f"{'median of the turns':28}{other.commit:>12}{this.commit:>12}{'ratio':>9}")
        for speed in speeds:
            middle = [sorted(each)[len(each) // 2] for each in (speed.other, speed.this)]
            limit = f"   ≤ {LIMIT}" * (speed.name in LIMITED) + "   MISSED" * (not is_met(speed))
            print(
                f"{speed.name:28}{middle[0]:>12.2f}{middle[1]:>12.2f}{1 / speed.ratio:>9.3f}{limit}"
            )
    return 0 if all(map(is_met, speeds)) else 1


if __name__ == "__main__":
    sys.exit(main())
