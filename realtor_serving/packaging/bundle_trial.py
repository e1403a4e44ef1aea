"""`python -m realtor_serving.packaging.bundle_trial BUNDLE PROPERTIES`: try out a bundle.

Loads the bundle as the service does, values each home of a JSON list one by one as `/predict`
does, and prints a JSON object with load_seconds, prices (dollars) and median_milliseconds. The
exit status is 1 if the service would refuse the bundle; standard error says why.
"""

import argparse
import json
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from realtor_model.listing import home_model
from realtor_serving.champion.model_registry import RegisteredVersion
from realtor_serving.champion.served_champion import RefusedModel, load_champion
from realtor_serving.valuation.answers import value_homes


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m realtor_serving.packaging.bundle_trial")
    parser.add_argument("bundle", type=Path, help="folder of the bundle")
    parser.add_argument("properties", type=Path, help="JSON list of homes")
    options = parser.parse_args()
    started = time.perf_counter()
    try:
        champion = load_champion(
            options.bundle, RegisteredVersion("0", ""), "Trial", datetime.now(UTC)
        )
    except RefusedModel as problem:
        sys.exit(str(problem))
    load_seconds = time.perf_counter() - started
    kind = home_model(champion.model.contract)
    homes = [kind.model_validate(row) for row in json.loads(options.properties.read_text())]
    prices, seconds = [], []
    for home in homes:
        started = time.perf_counter()
        answer = value_homes(champion, [home]).only
        seconds.append(time.perf_counter() - started)
        prices.append(answer.price)
    print(
        json.dumps(
            {
                "load_seconds": load_seconds,
                "prices": prices,
                "median_milliseconds": 1_000 * statistics.median(seconds),
            }
        )
    )


if __name__ == "__main__":
    main()
