"""Load test of the service with a mix of requests; every answer is checked.

`make load`, or `locust -f realtor_serving/load_test/locustfile.py --host http://127.0.0.1:8080
--headless -u 16 -t 60s`. The exit status is 1 if more requests fail than --max-failures,
or /predict is slower than --max-p95. `REALTOR_LOAD_API_KEY` is sent as the API key, if it is set.
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


def home(source: random.Random) -> dict[str, Any]:
    """A random home with a state and a size; each other input is missing in 10 % of homes."""
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
    """A client that sends the next request after each answer; 80 % are single homes."""

    wait_time = constant(0)
    default_headers = {"Authorization": f"Bearer {KEY}"} if KEY else None

    def on_start(self) -> None:
        """Give each client its own random homes."""
        self.source = random.Random()  # noqa: S311  # no secret

    @task(80)
    def predict(self) -> None:
        """Value one home."""
        self._ask("POST", "/predict", home(self.source), valuation_problem)

    @task(10)
    def predict_batch(self) -> None:
        """Value a batch of 50 homes."""
        rows = [home(self.source) for _ in range(BATCH_ROWS)]
        self._ask("POST", "/predict-batch", {"properties": rows}, batch_problem)

    @task(5)
    def explain(self) -> None:
        """Explain the valuation of one home."""
        self._ask("POST", "/explain", home(self.source), explanation_problem)

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

    def _ask(self, method: str, path: str, body: Any, problem: Any) -> None:
        with self.client.request(method, path, json=body, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}: {(answer.text or '')[:200]}")
            elif wrong := problem(answer.json()):
                answer.failure(wrong)


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
