"""Load test of the service with a mix of requests; every answer is checked.

`make load`, or `locust -f realtor_serving/load_test/locustfile.py --host http://127.0.0.1:8080
--headless -u 16 -t 60s`. The exit status is 1 if more requests fail than --max-failures,
or /predict is slower than --max-p95. `REALTOR_LOAD_API_KEY` is sent as the API key, if it is set.
"""

import argparse
import logging
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from locust import FastHttpUser, constant, events, task
from locust.env import Environment

BATCH_ROWS = 50
MISSING_SHARE = 0.1
# Roles of the inputs that people rarely know and that hardly move an estimate.
UNUSED = ("status", "sale_date", "broker", "id")
ADDITIVITY_TOLERANCE = 1e-4
# Tolerance for answers, whose prices are rounded to cents.
CENT = 0.011
# From the environment, because `ps` shows arguments.
KEY = os.environ.get("REALTOR_LOAD_API_KEY", "").strip()

logger = logging.getLogger(__name__)


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("What passes")
    group.add_argument(
        "--max-failures", type=float, default=0.0, help="share of requests; default %(default)s"
    )
    group.add_argument(
        "--max-p95", type=float, default=500.0, help="of /predict, ms; default %(default)s"
    )


@events.quitting.add_listener  # type: ignore[untyped-decorator]
def _judge(environment: Environment, **_: object) -> None:
    options, stats = environment.parsed_options, environment.stats
    assert options is not None
    single = stats.get("/predict", "POST")
    p95 = single.get_response_time_percentile(0.95) or 0
    problems = []
    if not single.num_requests:
        problems.append("no /predict was answered")
    if stats.total.fail_ratio > options.max_failures:
        problems.append(f"{stats.total.fail_ratio:.2%} failed, over {options.max_failures:.2%}")
    if p95 > options.max_p95:
        problems.append(f"95 % of /predict took up to {p95:.0f} ms, over {options.max_p95:.0f}")
    for problem in problems:
        logger.error("MISSED: %s", problem)
    if not problems:
        logger.info("PASSED: %d requests, none missed its limit", stats.total.num_requests)
    environment.process_exit_code = 1 if problems else 0


@dataclass(frozen=True)
class Homes:
    """Random homes of the market that the service values.

    Attributes:
        inputs: of the market, as /model-info describes them.
        needed: names of the inputs that no home lacks: a place and a size.
        places: known places, as /places lists them; each has the values of several inputs.
    """

    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needed: frozenset[str] = frozenset()
    places: Sequence[Mapping[str, Any]] = ()

    @classmethod
    def of(cls, info: Mapping[str, Any], places: Mapping[str, Any]) -> Self:
        """The homes of a market, from the answers to /model-info and /places."""
        market = info["market"]
        known = places.get("zip_codes") or places.get("cities") or places.get("states") or ()
        return cls(info["inputs"], frozenset([*market["places"][0], market["sizes"][0]]), known)

    def draw(self, source: random.Random) -> dict[str, Any]:
        """A random home; each input that is not needed is missing in 10 % of homes."""
        place = source.choice(self.places) if self.places else {}
        drawn: dict[str, Any] = {}
        for name, described in self.inputs.items():
            if described["role"] in UNUSED or (
                name not in self.needed and source.random() < MISSING_SHARE
            ):
                continue
            value = place.get(described["key"])
            value = random_value(source, described) if value is None else value
            if value is not None:
                drawn[name] = value
        return drawn


def random_value(source: random.Random, described: Mapping[str, Any]) -> Any:
    """A usual value of an input; None where nothing is known about its values."""
    example = described.get("example")
    if described["type"] in ("number", "integer"):
        low, high = described["low"], described["high"]
        if "usual" in described:
            low, high = described["usual"]
        elif example is not None:
            low, high = sorted(max(low, min(high, share * example)) for share in (0.8, 1.2))
        number = source.uniform(low, high)
        return round(number) if described["type"] == "integer" else round(number, 2)
    if described["type"] == "boolean":
        return source.random() < 0.5
    return source.choice(described["choices"]) if "choices" in described else example


class Visitor(FastHttpUser):
    """A client that sends the next request after each answer; 80 % are single homes."""

    wait_time = constant(0)
    default_headers = {"Authorization": f"Bearer {KEY}"} if KEY else None

    def on_start(self) -> None:
        """Give each client its own random homes of the market that is served."""
        self.source = random.Random()  # noqa: S311  # no secret
        self.homes = Homes()
        info = self._ask("GET", "/model-info", None, lambda answer: "")
        places = self._ask("GET", "/places", None, lambda answer: "")
        if info is not None:
            self.homes = Homes.of(info, places or {})

    @task(80)
    def predict(self) -> None:
        """Value one home."""
        self._ask("POST", "/predict", self.homes.draw(self.source), valuation_problem)

    @task(10)
    def predict_batch(self) -> None:
        """Value a batch of 50 homes."""
        rows = [self.homes.draw(self.source) for _ in range(BATCH_ROWS)]
        self._ask("POST", "/predict-batch", {"properties": rows}, batch_problem)

    @task(5)
    def explain(self) -> None:
        """Explain the valuation of one home."""
        self._ask("POST", "/explain", self.homes.draw(self.source), explanation_problem)

    @task(3)
    def health(self) -> None:
        """Read /health, as a load balancer does."""
        self._ask(
            "GET", "/health", None, lambda answer: "" if answer["status"] == "ok" else str(answer)
        )

    @task(2)
    def model_info(self) -> None:
        """Read /model-info, as the app does."""
        self._ask(
            "GET", "/model-info", None, lambda answer: "" if answer["version"] else str(answer)
        )

    def _ask(self, method: str, path: str, body: Any, problem: Any) -> dict[str, Any] | None:
        """The answer; None, and a failure of the load test, if it is wrong."""
        with self.client.request(method, path, json=body, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}: {(answer.text or '')[:200]}")
            elif wrong := problem(content := dict(answer.json())):
                answer.failure(wrong)
            else:
                return content
        return None


def valuation_problem(answer: dict[str, Any]) -> str:
    """The error in a valuation; "" if it is right."""
    return "" if 0 < answer["low"] <= answer["price"] <= answer["high"] else f"no range: {answer}"


def batch_problem(answer: dict[str, Any]) -> str:
    """The error in the answer to a batch; "" if it is right."""
    if (answer["valued"], answer["failed"]) != (BATCH_ROWS, 0):
        return f"{answer['failed']} of {BATCH_ROWS} homes were not valued"
    if [row["index"] for row in answer["results"]] != list(range(BATCH_ROWS)):
        return "rows are missing or out of order"
    return next(
        filter(None, (valuation_problem(row["valuation"]) for row in answer["results"])), ""
    )


def explanation_problem(answer: dict[str, Any]) -> str:
    """The error in an explanation; "" if it is right."""
    if answer["additivity_error"] > ADDITIVITY_TOLERANCE:
        return f"additivity error {answer['additivity_error']}"
    total = answer["base_price"] + sum(part["dollars"] for part in answer["contributions"])
    price = answer["valuation"]["price"]
    if abs(total - price) > CENT + ADDITIVITY_TOLERANCE * price:
        return f"the contributions add up to {total}, the price is {price}"
    return valuation_problem(answer["valuation"])
