"""Launching and following runs, on a real Dagster webserver with three small jobs."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterRun, DagsterRunStatus
from dagster._core.utils import make_new_run_id
from rich.console import Console

from realtor_local.dagster_client import DagsterClient, DagsterError, Progress, RunFailedError
from realtor_local.pipeline_jobs import ProgressDisplay, run_jobs
from realtor_local.ports import free_port
from realtor_local.program_health import http_problem
from tests.local.conftest import eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

JOBS = """
    import dagster as dg

    @dg.asset
    def first() -> int:
        return 1

    @dg.asset
    def second(first: int) -> int:
        return first + 1

    @dg.asset
    def broken() -> None:
        try:
            {}["street"]
        except KeyError as error:
            raise ValueError("the batch has no column street") from error

    defs = dg.Definitions(
        assets=[first, second, broken],
        jobs=[
            dg.define_asset_job("good", selection=["first", "second"]),
            dg.define_asset_job("bad", selection=["broken"]),
        ],
    )
"""

# No daemon runs here to take runs from a queue.
INSTANCE = """
telemetry: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text(INSTANCE)
    return home


@pytest.fixture(scope="module")
def url(home: Path) -> Iterator[str]:
    (home / "jobs.py").write_text(textwrap.dedent(JOBS))
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "dagster_webserver", "-p", str(port), "-f", home / "jobs.py"],
        cwd=home,
        env=os.environ | {"DAGSTER_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        assert eventually(lambda: http_problem(f"{address}/server_info") is None, 120)
        yield address
    finally:
        server.terminate()
        server.wait()


def test_a_run_is_followed_to_its_end(url: str) -> None:
    seen: list[Progress] = []
    with DagsterClient(url) as dagster:
        dagster.follow(dagster.launch("good"), seen.append)
    assert seen[-1] == Progress("SUCCESS", done=2, total=2, running=())
    assert [each.done for each in seen] == sorted(each.done for each in seen)


def test_jobs_run_in_order_with_a_line_per_change(url: str) -> None:
    output = io.StringIO()
    run_jobs(url, ["good", "good"], Console(file=output, markup=False, width=200))
    assert output.getvalue().count("good: 2/2 steps") == 2
    assert output.getvalue().count("✓ good") == 2


def test_progress_of_a_finished_step_is_not_shown_for_the_next() -> None:
    output = io.StringIO()
    with ProgressDisplay("load", Console(file=output, markup=False, width=200)) as teller:
        for done, running in ((1, ("load_batch",)), (2, ("raw_train",)), (3, ())):
            teller.update(Progress("STARTED", done, 3, running, detail="62%, 23,865 rows read"))

    assert output.getvalue().splitlines() == [
        "load: 1/3 steps  load_batch  62%, 23,865 rows read",
        "load: 2/3 steps  raw_train",
        "load: 3/3 steps",
    ]


def test_a_queued_run_names_the_runs_it_waits_for(url: str, home: Path) -> None:
    output = io.StringIO()
    queued = make_new_run_id()
    with dg.DagsterInstance.from_config(str(home)) as instance, DagsterClient(url) as dagster:
        run = instance.get_run_by_id(dagster.launch("good"))
        assert run is not None
        origin = run.remote_job_origin
        dagster.follow(run.run_id, lambda progress: None)
        instance.add_run(DagsterRun("bad", status=DagsterRunStatus.STARTED))
        instance.add_run(
            DagsterRun("good", queued, status=DagsterRunStatus.QUEUED, remote_job_origin=origin)
        )
        with ProgressDisplay("good", Console(file=output, markup=False, width=200)) as teller:
            teller.update(dagster.progress(queued))

        assert dagster.cancel_live_runs() == ["bad"]
        assert dagster.progress(queued).behind == ()
    assert output.getvalue() == "good: queued  behind bad\n"


def test_a_failed_run_names_step_cause_and_url(url: str) -> None:
    with DagsterClient(url) as dagster:
        run_id = dagster.launch("bad")
        with pytest.raises(RunFailedError) as failed:
            dagster.follow(run_id, lambda progress: None)
    text = str(failed.value)
    assert "broken: " in text
    assert "ValueError: the batch has no column street" in text
    assert "KeyError: 'street'" in text
    assert f"{url}/runs/{run_id}" in text


def test_an_unknown_job_is_named(url: str) -> None:
    with DagsterClient(url) as dagster, pytest.raises(DagsterError, match="no job 'unknown'"):
        dagster.launch("unknown")


def test_daemons_that_do_not_run_are_named(url: str) -> None:
    with DagsterClient(url) as dagster:
        assert "SCHEDULER" in dagster.late_daemons()


def test_a_dagster_that_is_down_is_named() -> None:
    with (
        DagsterClient("http://127.0.0.1:1") as dagster,
        pytest.raises(DagsterError, match="not answer"),
    ):
        dagster.launch("good")
