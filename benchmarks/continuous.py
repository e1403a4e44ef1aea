"""Continuous training end to end: a platform processes six batches without any intervention.

    python -m benchmarks.continuous --rows 100000
    python -m benchmarks.continuous --csv realtor-data.csv

It starts a platform in a temporary folder, switches on the sensor `ask_upstream`, and waits until
there are no more batches. Then it evaluates every trained model, promoted or not, on the final test
set. Exits with status 1 when a batch or a training has no decision, or when the champion is not the
most accurate model.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

from realtor_assets.raw.raw_listings import read_listings
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_local.platform_home import PlatformHome
from realtor_local.ports import free_port
from realtor_model.evaluation.metrics import regression_metrics

REALTOR = Path(sys.executable).with_name("realtor")
BATCHES = 6
POLL_SECONDS = 15.0
OURS = ("REALTOR_", "DAGSTER_", "MLFLOW_", "BENTOML_")
START = """
mutation ($sensor: SensorSelector!) { startSensor(sensorSelector: $sensor) {
    __typename ... on PythonError { message } } }
"""
REPOSITORY = """
{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }
"""
ACTIVE = """
{ runsOrError(filter: {statuses: [QUEUED, NOT_STARTED, STARTING, STARTED]}) {
    ... on Runs { results { jobName } } } }
"""
FAILED = """
{ runsOrError(filter: {statuses: [FAILURE]}) { ... on Runs { results { jobName runId } } } }
"""


class Platform:
    """A platform in its own folder."""

    def __init__(self, home: Path, variables: dict[str, str]) -> None:
        self._home = home
        self._environment = (
            {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
            | {"REALTOR_HOME": str(home), "REALTOR_INGEST_EVERY_HOURS": "0"}
            | {
                f"REALTOR_{program}_PORT": "0"
                for program in ("MLFLOW", "UPSTREAM", "DAGSTER", "SERVICE", "APP")
            }
            | variables
        )

    def realtor(self, *arguments: str) -> str:
        """Runs `realtor …` and returns its output. Raises SystemExit when it fails."""
        result = subprocess.run(
            [REALTOR, *arguments], env=self._environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if result.returncode != 0:
            raise SystemExit(f"realtor {' '.join(arguments)}:\n{result.stdout}{result.stderr}")
        return result.stdout

    @property
    def settings(self) -> dict[str, str]:
        return PlatformHome(self._home).environment()

    def ask_dagster(self, query: str, **variables: Any) -> Any:
        answer = httpx.post(
            f"{self.settings['REALTOR_DAGSTER_URL']}/graphql",
            json={"query": query, "variables": variables},
            timeout=60,
        ).raise_for_status()
        return answer.json()["data"]

    def switch_on(self, sensor: str) -> None:
        (repository,) = self.ask_dagster(REPOSITORY)["repositoriesOrError"]["nodes"]
        selector = {
            "repositoryName": repository["name"],
            "repositoryLocationName": repository["location"]["name"],
            "sensorName": sensor,
        }
        answer = self.ask_dagster(START, sensor=selector)["startSensor"]
        if answer["__typename"] != "Sensor":
            raise SystemExit(f"the sensor {sensor} could not be switched on: {answer}")

    def history(self) -> dict[str, Any]:
        return dict(json.loads(self.realtor("history", "--json")))

    def is_finished(self) -> bool:
        """Whether the upstream has no more data and no run is active or queued."""
        with psycopg.connect(self.settings["REALTOR_RAW_DATABASE_URL"]) as connection:
            end = connection.execute(
                "SELECT 1 FROM api_request_log WHERE outcome = 'end of data'"
            ).fetchone()
        return end is not None and not self.ask_dagster(ACTIVE)["runsOrError"]["results"]

    def failed_runs(self) -> list[str]:
        runs = self.ask_dagster(FAILED)["runsOrError"]["results"]
        return [f"{run['jobName']} {run['runId']}" for run in runs]


def evaluate_versions(platform: Platform) -> list[dict[str, Any]]:
    """Evaluates every trained version on the final test set; the most accurate is first."""
    settings = platform.settings
    tracking = Tracking(tracking_uri=settings["MLFLOW_TRACKING_URI"])
    test = read_listings(Database(url=settings["REALTOR_RAW_DATABASE_URL"]), "test")
    champion = tracking.production_version()
    decisions = {row["version"]: row for row in platform.history()["promotion_decisions"]}
    rows = []
    for number in tracking.versions():
        version = tracking.version(number)
        model = tracking.load_bundle(version)
        metrics = regression_metrics(test.price, model.predict(test.columns))
        rows.append(
            {
                "version": number,
                "candidate": model.candidate,
                "batches": model.metadata["batches"],
                "decision": decisions[number]["decision"] if number in decisions else "none",
                "champion": number == champion,
                **{name: metrics[name] for name in ("mae_log", "mdape", "rmse", "r2")},
            }
        )
    return sorted(rows, key=lambda row: float(row["mae_log"]))


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'version':<9}{'candidate':<20}{'batches':<20}{'decision':<11}{'MAE log':>9}"
        f"{'median':>9}{'RMSE':>12}{'R2':>7}"
    ]
    lines += [
        f"{row['version']:<9}{row['candidate']:<20}{row['batches']!s:<20}{row['decision']:<11}"
        f"{row['mae_log']:>9.4f}{row['mdape']:>9.1%}{row['rmse']:>12,.0f}{row['r2']:>7.3f}"
        f"{'  in production' if row['champion'] else ''}"
        for row in rows
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=30_000, help="size of the synthetic market")
    parser.add_argument("--csv", type=Path, help="use the complete ones of these listings instead")
    parser.add_argument("--minutes", type=float, default=60.0, help="time limit")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    variables = {"REALTOR_MARKET_ROWS": str(options.rows)}
    with (
        tempfile.TemporaryDirectory(prefix="realtor-continuous-") as folder,
        six_batches_of(options.csv) as url,
    ):
        if url is not None:
            variables["REALTOR_API_URL"] = url
        Path(folder).chmod(0o711)  # lets PostgreSQL's user in, when root runs this
        platform = Platform(Path(folder) / "home", variables)
        try:
            return run(platform, options)
        finally:
            platform.realtor("down", "--purge")


@contextmanager
def six_batches_of(csv: Path | None) -> Iterator[str | None]:
    """A stand-in upstream that cuts the file as the real API does; None without a file."""
    if csv is None:
        yield None
        return
    port = free_port()
    options = ("--port", str(port), "--csv", str(csv.resolve()), "--batches", "six")
    server = subprocess.Popen([sys.executable, "-m", "realtor_local.upstream", *options])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def run(platform: Platform, options: argparse.Namespace) -> int:
    started = time.monotonic()
    platform.realtor("up", "--detach", "--no-lineage")
    print(f"up after {time.monotonic() - started:.0f} s; from here on the platform runs by itself")
    platform.switch_on("ask_upstream")
    reported = 0
    while not platform.is_finished():
        if time.monotonic() - started > 60 * options.minutes:
            raise SystemExit(f"not finished after {options.minutes:g} minutes")
        history = platform.history()
        decisions = len(history["retrain_decisions"]) + len(history["promotion_decisions"])
        if decisions != reported:
            reported = decisions
            print(
                f"{time.monotonic() - started:6.0f} s: {len(history['retrain_decisions'])} retrain "
                f"decisions, {len(history['promotion_decisions'])} promotion decisions",
                flush=True,
            )
        time.sleep(POLL_SECONDS)
    history = platform.history()
    print(platform.realtor("history"))
    rows = evaluate_versions(platform)
    print(f"Every trained model on the final test set:\n{table(rows)}")
    problems = [f"failed run: {run}" for run in platform.failed_runs()]
    if len(history["retrain_decisions"]) != BATCHES or history["waiting"]:
        problems.append(f"{len(history['retrain_decisions'])} retrain decisions, not {BATCHES}")
    trainings = sum(row["decision"] == "train" for row in history["retrain_decisions"])
    if len(history["promotion_decisions"]) != trainings:
        problems.append(
            f"{len(history['promotion_decisions'])} promotion decisions for {trainings} trainings"
        )
    if not rows[0]["champion"]:
        problems.append(
            f"version {rows[0]['version']} is more accurate than the production version"
        )
    if options.json:
        options.json.write_text(json.dumps({"history": history, "models": rows}, indent=1))
    print("\n".join(problems) or "the champion is the most accurate of all trained models")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
