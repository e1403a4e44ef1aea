"""Load test of the service: the traffic of a day, every answer checked.

`make load`, or `locust -f realtor_serving/load_test/locustfile.py --host http://127.0.0.1:8080
--headless -u 16 -t 60s`. The exit status is 1 when more requests failed, or /predict was slower,
than the options say. `REALTOR_LOAD_API_KEY` is sent to a service that asks everybody for a key.
"""

import argparse
import logging
import os
import random
from typing import Any

from locust import FastHttpUser, constant, events, task
from locust.env import Environment

PLACES = (
    ("Connecticut", "Hartford", "06114"),
    ("Texas", "Houston", "77002"),
    ("California", "Los Angeles", "90011"),
    ("Florida", "Miami", "33125"),
    ("New York", "Brooklyn", "11201"),
    ("Ohio", "Columbus", "43215"),
    ("Illinois", "Chicago", "60614"),
    ("Washington", "Seattle", "98101"),
)
BATCH_ROWS = 50
ADDITIVITY_TOLERANCE = 1e-4
# Prices are answered in whole cents.
CENT = 0.011
# By the environment: arguments can be seen in `ps`.
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


def home(source: random.Random) -> dict[str, Any]:
    """A home as people describe them: a place, a size, and some of the rest."""
    state, city, zip_code = source.choice(PLACES)
    described: dict[str, Any] = {
        "state": state,
        "house_size": source.randint(500, 5_000),
        "city": city,
        "zip_code": zip_code,
        "bed": source.randint(1, 6),
        "bath": source.randint(1, 4),
        "acre_lot": round(source.uniform(0.05, 2.0), 2),
    }
    for optional in ("city", "zip_code", "bed", "bath", "acre_lot"):
        if source.random() < 0.1:
            del described[optional]
    return described


class Visitor(FastHttpUser):
    """One client that asks as fast as it is answered: 80 % single homes."""

    wait_time = constant(0)
    default_headers = {"Authorization": f"Bearer {KEY}"} if KEY else None

    def on_start(self) -> None:
        """Give each client homes of its own."""
        self.source = random.Random()  # noqa: S311  # no secret

    @task(80)
    def predict(self) -> None:
        """One home."""
        self._ask("POST", "/predict", home(self.source), valuation_problem)

    @task(10)
    def predict_batch(self) -> None:
        """Fifty homes at once."""
        rows = [home(self.source) for _ in range(BATCH_ROWS)]
        self._ask("POST", "/predict-batch", {"properties": rows}, batch_problem)

    @task(5)
    def explain(self) -> None:
        """One home with its reasons."""
        self._ask("POST", "/explain", home(self.source), explanation_problem)

    @task(3)
    def health(self) -> None:
        """What a load balancer asks."""
        self._ask("GET", "/health", None, lambda told: "" if told["status"] == "ok" else str(told))

    @task(2)
    def model_info(self) -> None:
        """What the app asks."""
        self._ask("GET", "/model-info", None, lambda told: "" if told["version"] else str(told))

    def _ask(self, method: str, path: str, body: Any, problem: Any) -> None:
        with self.client.request(method, path, json=body, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}: {(answer.text or '')[:200]}")
            elif wrong := problem(answer.json()):
                answer.failure(wrong)


def valuation_problem(told: dict[str, Any]) -> str:
    """What is wrong with a valuation; "" for nothing."""
    return "" if 0 < told["low"] <= told["price"] <= told["high"] else f"no range: {told}"


def batch_problem(told: dict[str, Any]) -> str:
    """What is wrong with the answer to a batch; "" for nothing."""
    if (told["valued"], told["failed"]) != (BATCH_ROWS, 0):
        return f"{told['failed']} of {BATCH_ROWS} homes were not valued"
    if [row["index"] for row in told["results"]] != list(range(BATCH_ROWS)):
        return "rows are missing or out of order"
    return next(filter(None, (valuation_problem(row["valuation"]) for row in told["results"])), "")


def explanation_problem(told: dict[str, Any]) -> str:
    """What is wrong with an explanation; "" for nothing."""
    if told["additivity_error"] > ADDITIVITY_TOLERANCE:
        return f"additivity error {told['additivity_error']}"
    total = told["base_price"] + sum(each["dollars"] for each in told["contributions"])
    price = told["valuation"]["price"]
    if abs(total - price) > CENT + ADDITIVITY_TOLERANCE * price:
        return f"the contributions add up to {total}, the price is {price}"
    return valuation_problem(told["valuation"])
