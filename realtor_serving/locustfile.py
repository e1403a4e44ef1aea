"""Load test of the service: the traffic of a day, every answer checked.

`locust -f realtor_serving/locustfile.py --host http://127.0.0.1:8080 --headless -u 16 -t 60s`
"""

import random
from typing import Any

from locust import FastHttpUser, constant, task

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
