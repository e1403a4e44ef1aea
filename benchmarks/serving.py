"""The service beside other ways to serve the same home: latency, throughput, and the floors.

    python -m benchmarks.serving --seconds 10

(a) the original's way: FastAPI, one uvicorn worker, a DataFrame for each request, a forest of 200
trees of depth 20; (b) `mlflow models serve` of our model; (c) a bare BentoML echo with default
settings; (d) a bare Starlette echo; (e) the service, with two workers. Each is alone on the machine
with the load generator (`_load.py`) while it is measured; (c) and (e), which are close, once more
by turns. With --against FOLDER the service is measured by turns with that checkout's instead, each
with a bundle that its own code trained. Exit status 1 when a figure misses its target.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import mlflow.pyfunc
import numpy as np
import pandas as pd
import shap
from pydantic import ValidationError
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import _baselines, _load
from benchmarks._checkouts import Checkout, end_cleanly
from benchmarks._market import AS_OF, Split, splits_of
from benchmarks._servers import ROOT, cpu_seconds, free_port, running, service
from benchmarks._turns import Speed, print_speeds
from benchmarks._turns import by_turns as speeds_by_turns
from realtor_model.features import FeatureEncoder, as_sold, columns_from_properties
from realtor_model.listing import Property
from realtor_model.retraining.drift import profile
from realtor_model.training import Rows, train_model
from realtor_model.valuation.bundle import load_bundle, save_bundle

CONNECTIONS = (1, 16, 64)
BATCH_ROWS = 1_000
TURNS = 11
RATES = frozenset({"/predict at 16 connections, answers/s"})
FOREST_ROWS = 20_000
ORIGINAL, MLFLOW, BENTO, STARLETTE, OURS = (
    "(a) original's way",
    "(b) mlflow models serve",
    "(c) BentoML echo",
    "(d) Starlette echo",
    "(e) the service",
)


@dataclass(frozen=True)
class Run:
    """One server under one load.

    p50, p95, p99: milliseconds. rate: answers a second. cpu: milliseconds of processor time that
    the server spent on an answer, which other work on the machine changes least. generator_cpu: the
    load generator's share of a core.
    """

    server: str
    connections: int
    p50: float
    p95: float
    p99: float
    rate: float
    cpu: float
    failures: int
    generator_cpu: float


@dataclass(frozen=True)
class Figure:
    """One ratio beside its target."""

    name: str
    value: float
    target: float
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.at_least else self.value <= self.target


def homes(split: Split, count: int) -> list[dict[str, Any]]:
    """Up to `count` homes of the market as a person describes them, without its faults."""
    described = []
    for row in range(min(count, len(split.price))):
        home: dict[str, Any] = {}
        for name in (*_baselines.NUMBERS, *_baselines.TEXTS):
            value = split.columns[name][row]
            if value is not None and value == value:
                home[name] = value if isinstance(value, str) else float(value)
        with suppress(ValidationError):
            Property.model_validate(home)
            described.append(home)
    return described


def train(split: Mapping[str, Split], folder: Path) -> None:
    """The bundle of an xgboost candidate with the hyperparameters of the platform."""
    fitted, held_out = split["train"], split["validation"]
    encoder, matrix = FeatureEncoder.fit(fitted.columns, fitted.price, as_of=AS_OF)
    model = train_model(
        "xgboost",
        encoder,
        Rows(matrix, fitted.price),
        Rows(encoder.transform(held_out.columns), held_out.price),
        profile=profile(fitted.columns, fitted.price),
        metadata={
            "data_version": "benchmark",
            "batches": [0],
            "trained_at": "2022-05-06T00:00:00+00:00",
            "as_of": str(AS_OF),
        },
    )
    save_bundle(model, folder)


def train_forest(split: Split, folder: Path) -> None:
    """The original's pipeline, on as many rows as bring its 200 trees to depth 20."""
    rows = min(FOREST_ROWS, len(split.price))
    names = (*_baselines.NUMBERS, *_baselines.TEXTS)
    frame = pd.DataFrame({name: split.columns[name][:rows] for name in names})
    codes = {
        name: {value: code for code, value in enumerate(sorted(frame[name].dropna().unique()))}
        for name in _baselines.TEXTS
    }
    pipeline = make_pipeline(
        StandardScaler(), RandomForestRegressor(200, max_depth=20, random_state=0, n_jobs=2)
    )
    pipeline.fit(_baselines.features(frame, codes), split.price[:rows])
    # One row has nothing to share out: threads would double its time.
    pipeline[-1].n_jobs = 1
    folder.mkdir()
    joblib.dump(pipeline, folder / "forest.joblib")
    (folder / "codes.json").write_text(json.dumps(codes))


@contextmanager
def servers(
    name: str, bundle: Path, forest: Path, folder: Path
) -> Iterator[tuple[str, Callable[[], float]]]:
    """The server called `name`: where it values (or echoes) a home, and its processor time."""
    port = free_port()
    at = ("--host", "127.0.0.1", "--port", str(port))
    uvicorn = ("-m", "uvicorn", *at, "--log-level", "warning")
    environment: dict[str, str] = {}
    path, health = "/predict", "/livez"
    match name:
        case _ if name == ORIGINAL:
            command = [*uvicorn, "benchmarks._baselines:original"]
            environment = {_baselines.FOREST: str(forest)}
        case _ if name == MLFLOW:
            model = folder / "pyfunc"
            mlflow.pyfunc.save_model(
                str(model),
                python_model=str(ROOT / "realtor_assets" / "train" / "pyfunc_model.py"),
                artifacts={"bundle": str(bundle)},
                pip_requirements=[],
            )
            command = [
                "-m",
                "mlflow",
                "models",
                "serve",
                "-m",
                str(model),
                "--env-manager",
                "local",
            ]
            command += at
            path, health = "/invocations", "/ping"
        case _ if name == BENTO:
            command = ["-m", "bentoml", "serve", "benchmarks._baselines:BentoEcho", *at]
            command += ["--working-dir", str(ROOT)]
        case _ if name == STARLETTE:
            command = [*uvicorn, "benchmarks._baselines:starlette_echo"]
        case _:
            command = service(port)
            environment = {
                "REALTOR_HOME": str(folder / "home"),
                "REALTOR_CHAMPION_BUNDLE": str(bundle),
                "REALTOR_SERVICE_WORKERS": "2",
            }
    with running(command, port, health, folder, environment) as process:
        yield f"http://127.0.0.1:{port}{path}", partial(cpu_seconds, process)


def measure(
    name: str,
    url: str,
    bodies: list[bytes],
    connections: int,
    seconds: float,
    server_cpu: Callable[[], float],
) -> Run:
    requests = [_load.post(url, body) for body in bodies]
    outcome = _load.run(url, requests, connections, seconds, server_cpu)
    p50, p95, p99 = (1e3 * outcome.quantile(q) for q in (0.5, 0.95, 0.99))
    answers = max(len(outcome.latencies), 1)
    return Run(
        server=name,
        connections=connections,
        p50=p50,
        p95=p95,
        p99=p99,
        rate=outcome.rate,
        cpu=1e3 * outcome.server_cpu / answers,
        failures=outcome.failures,
        generator_cpu=outcome.generator_cpu,
    )


def by_turns(bundle: Path, folder: Path, bodies: list[bytes], seconds: float) -> float:
    """p50 of the service at 1 connection, over the BentoML echo's: the median of many turns.

    Between one server's minutes and the next one's a machine's speed drifts by more than they
    differ.
    """
    with (
        servers(BENTO, bundle, bundle, folder / "echo") as (echo, echo_cpu),
        servers(OURS, bundle, bundle, folder / "ours") as (ours, ours_cpu),
    ):
        ratios = [
            measure(OURS, ours, bodies, 1, seconds, ours_cpu).p50
            / measure(BENTO, echo, bodies, 1, seconds, echo_cpu).p50
            for _ in range(TURNS)
        ]
    return float(np.median(ratios))


def compare(
    against: Path, folder: Path, described: list[dict[str, Any]], options: argparse.Namespace
) -> list[Speed]:
    """The speed of this checkout's service beside that of `against`, with one worker each."""
    measures = []
    with ExitStack() as stack:
        for name, checkout in (("other", Checkout(against.resolve())), ("this", Checkout())):
            bundle, port = folder / name / "bundle", free_port()
            bundle.parent.mkdir()
            checkout.make_bundle(bundle, options.rows, options.seed)
            environment = {
                "PYTHONPATH": str(checkout.root),
                "REALTOR_HOME": str(folder / name / "home"),
                "REALTOR_CHAMPION_BUNDLE": str(bundle),
                "REALTOR_SERVICE_WORKERS": "1",
            }
            command = service(port, checkout.root, checkout.service)
            server = running(command, port, "/livez", folder / name, environment)
            process = stack.enter_context(server)
            url = f"http://127.0.0.1:{port}"
            measures.append(
                partial(_round, url, described, options.seconds, partial(cpu_seconds, process))
            )
        return speeds_by_turns(*measures, options.turns, RATES)


def _round(
    url: str, described: list[dict[str, Any]], seconds: float, cpu: Callable[[], float]
) -> dict[str, float]:
    one = [json.dumps(home).encode() for home in described[:500]]
    rows = [described[i % len(described)] for i in range(BATCH_ROWS)]
    batch = [json.dumps({"properties": rows}).encode()]
    single = measure("one", f"{url}/predict", one, 1, seconds, cpu)
    many = measure("many", f"{url}/predict", one, 16, seconds, cpu)
    table = measure("batch", f"{url}/predict-batch", batch, 1, seconds, cpu)
    reasons = measure("explain", f"{url}/explain", one, 1, seconds, cpu)
    for run in (single, many, table, reasons):
        if run.failures:
            raise RuntimeError(f"{url}: {run.failures} requests failed")
    return {
        "/predict at 1 connection, ms": single.p50,
        "/predict at 1 connection, ms of processor": single.cpu,
        "/predict at 16 connections, answers/s": many.rate,
        "/predict at 16 connections, ms of proc.": many.cpu,
        f"/predict-batch of {BATCH_ROWS:,}, ms": table.p50,
        "/explain, ms": reasons.p50,
    }


def shap_milliseconds(bundle: Path, described: list[dict[str, Any]]) -> float:
    """What `shap.TreeExplainer` takes for one home, its features made and the explainer ready."""
    model = load_bundle(bundle)
    explainer = shap.TreeExplainer(model.estimator.model)
    rows = [
        model.encoder.transform(as_sold(columns_from_properties([Property.model_validate(home)])))
        for home in described[:20]
    ]
    explainer.shap_values(rows[0])
    taken = []
    for row in rows:
        started = time.perf_counter()
        explainer.shap_values(row)
        taken.append(time.perf_counter() - started)
    return 1e3 * float(np.median(taken))


def judge(
    runs: list[Run], turns: float, batch_row: float, explain: float, tree_explainer: float
) -> list[Figure]:
    best = {
        name: max(run.rate for run in runs if run.server == name)
        for name in (ORIGINAL, MLFLOW, BENTO, STARLETTE, OURS)
    }
    at = {(run.server, run.connections): run for run in runs}
    single = at[OURS, 1].p50
    return [
        Figure("p50 at 1 connection, over (c)'s, by turns", turns, 1.0, at_least=False),
        Figure("answers a second, times (a)'s", best[OURS] / best[ORIGINAL], 20.0),
        Figure("answers a second, times (b)'s", best[OURS] / best[MLFLOW], 5.0),
        Figure("answers a second, times (d)'s", best[OURS] / best[STARLETTE], 0.3),
        Figure(
            "p99 at 16 connections, over its p50", at[OURS, 16].p99 / at[OURS, 16].p50, 5.0,
            at_least=False,
        ),
        Figure(f"a single call, over a row of {BATCH_ROWS:,}", single / batch_row, 30.0),
        Figure("shap.TreeExplainer, over a whole /explain", tree_explainer / explain, 1.0),
        Figure("requests that failed", sum(run.failures for run in runs), 0.0, at_least=False),
        Figure(
            "the generator's share of a core, at most",
            max(run.generator_cpu for run in runs), 0.9, at_least=False,
        ),
    ]  # fmt: skip


def main() -> int:
    end_cleanly()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "--rows", type=int, default=160_000, help="of the market; default %(default)s"
    )
    parser.add_argument("--bundle", type=Path, help="serve this one, rather than train one")
    parser.add_argument("--seconds", type=float, default=5.0, help="each load; default %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="JSON instead of a table")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument(
        "--turns", type=int, default=TURNS, help="with --against; default %(default)s"
    )
    options = parser.parse_args()
    split = splits_of(options.rows, options.seed)
    described = homes(split["test"], 2_000)
    if options.against:
        with tempfile.TemporaryDirectory(prefix="realtor-serving-") as name:
            speeds = compare(options.against, Path(name), described, options)
        print_speeds(speeds)
        return 0 if all(speed.met for speed in speeds) else 1
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="realtor-serving-") as name:
        folder = Path(name)
        bundle, forest = options.bundle or folder / "bundle", folder / "forest"
        if options.bundle is None:
            train(split, bundle)
        train_forest(split["train"], forest)
        one = [json.dumps(home).encode() for home in described[:500]]
        records = [json.dumps({"dataframe_records": [home]}).encode() for home in described[:500]]
        for number, server in enumerate((ORIGINAL, MLFLOW, BENTO, STARLETTE, OURS)):
            with servers(server, bundle, forest, folder / str(number)) as (url, cpu):
                bodies = records if server == MLFLOW else one
                runs += [
                    measure(server, url, bodies, connections, options.seconds, cpu)
                    for connections in CONNECTIONS
                ]
                if server == OURS:
                    rows = [described[i % len(described)] for i in range(BATCH_ROWS)]
                    batch = [json.dumps({"properties": rows}).encode()]
                    at = url.removesuffix("/predict")
                    many = measure("batch", f"{at}/predict-batch", batch, 1, options.seconds, cpu)
                    reasons = measure("explain", f"{at}/explain", one, 1, options.seconds, cpu)
        turns = by_turns(bundle, folder / "turns", one, options.seconds / 2)
        explainer = shap_milliseconds(bundle, described)
    figures = judge(runs, turns, many.p50 / BATCH_ROWS, reasons.p50, explainer)
    if options.json:
        print(json.dumps({
            "runs": [asdict(run) for run in (*runs, many, reasons)],
            "tree_explainer_ms": explainer,
            "figures": [asdict(figure) | {"met": figure.met} for figure in figures],
        }))  # fmt: skip
    else:
        _print(runs, many, reasons, explainer, figures)
    return 0 if all(figure.met for figure in figures) else 1


def _print(
    runs: list[Run], many: Run, reasons: Run, explainer: float, figures: list[Figure]
) -> None:
    print(
        f"{'ms':26}{'conn.':>6}{'p50':>9}{'p95':>9}{'p99':>9}{'answers/s':>11}"
        f"{'CPU':>8}{'failed':>8}{'generator':>11}"
    )
    for run in runs:
        print(
            f"{run.server:26}{run.connections:>6}{run.p50:>9.2f}{run.p95:>9.2f}{run.p99:>9.2f}"
            f"{run.rate:>11,.0f}{run.cpu:>8.2f}{run.failures:>8}{run.generator_cpu:>11.0%}"
        )
    print(f"/predict-batch of {BATCH_ROWS:,} homes: {many.p50:.1f} ms")
    print(f"/explain: {reasons.p50:.2f} ms; shap.TreeExplainer alone: {explainer:.1f} ms\n")
    print(f"{'':44}{'':>10}{'target':>12}")
    for figure in figures:
        sign = "≥" if figure.at_least else "≤"
        verdict = "" if figure.met else "   MISSED"
        print(f"{figure.name:44}{figure.value:>10,.2f}{f'{sign} {figure.target:g}':>12}{verdict}")


if __name__ == "__main__":
    sys.exit(main())
