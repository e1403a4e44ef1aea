"""The load test asks every endpoint, and fails when answers are wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.running import ASKING_ALL, KEY, ROOT, Server, run_service

pytestmark = [pytest.mark.integration]


def run(
    url: str, folder: Path, *options: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable, "-m", "locust", "-f",
            str(ROOT / "realtor_serving" / "load_test" / "locustfile.py"),
            "--host", url, "--headless", "-u", "4", "-r", "4", "-t", "5s", "--only-summary",
            *options,
        ],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )  # fmt: skip


def test_the_service_bears_it(service: Server, tmp_path: Path) -> None:
    load = run(service.url, tmp_path, "--max-p95", "30000", "--html", "report.html")

    assert load.returncode == 0, load.stdout + load.stderr
    assert "PASSED" in load.stdout + load.stderr
    assert "/predict-batch" in (tmp_path / "report.html").read_text()


def test_load_test_fails_when_the_service_is_too_slow(service: Server, tmp_path: Path) -> None:
    load = run(service.url, tmp_path, "--max-p95", "0.001")

    assert load.returncode == 1
    assert "MISSED: 95 % of /predict" in load.stdout + load.stderr


def test_load_test_fails_when_the_service_answers_wrongly(service: Server, tmp_path: Path) -> None:
    load = run(f"{service.url}/nowhere", tmp_path)

    assert load.returncode == 1
    assert "404" in load.stdout + load.stderr


def test_it_has_a_key_for_a_service_that_asks_everybody_for_one(
    bundle: Path, tmp_path: Path
) -> None:
    variables = {"REALTOR_CHAMPION_BUNDLE": str(bundle), "REALTOR_SERVICE_WORKERS": "1"}
    with run_service(tmp_path / "service", **variables, **ASKING_ALL) as locked:
        without = run(locked.url, tmp_path)
        report = ("--max-p95", "30000", "--html", "report.html")
        load = run(locked.url, tmp_path, *report, REALTOR_LOAD_API_KEY=f"{KEY}\n")

    assert without.returncode == 1
    assert "status 401" in without.stdout + without.stderr
    assert load.returncode == 0, load.stdout + load.stderr
    assert KEY not in load.stdout + load.stderr + (tmp_path / "report.html").read_text()
