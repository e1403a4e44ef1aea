"""The `realtor` command's surface: help, exit codes, and errors that are one line."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.main import get_group
from typer.testing import CliRunner

import realtor_model
from realtor_local.cli import app
from realtor_local.pipeline_jobs import RegistryError, UpstreamError, has_champion, rewind_upstream
from realtor_local.platform_home import HomeError, PlatformHome
from realtor_local.platform_settings import PROGRAMS, SettingsError, load_settings
from realtor_local.service_client import example_home
from tests.local.conftest import REALTOR, Platform
from tests.markets import PORTO

COMMANDS = {
    "up",
    "down",
    "status",
    "doctor",
    "ingest",
    "train",
    "promote",
    "rollback",
    "approve",
    "admit",
    "refused",
    "history",
    "prune",
    "market",
    "predict",
    "score",
    "restart-upstream",
    "backup",
    "restore",
}
VALUATION = {
    "price": 412_000.0,
    "low": 350_000.0,
    "high": 480_000.0,
    "coverage": 0.8,
    "confidence": "medium",
    "currency": "USD",
    "warnings": ["zip_code 99999 is unknown"],
    "model": {"name": "realtor-price", "version": "3", "candidate": "xgboost"},
}


@contextmanager
def server(status: int, body: object) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """An HTTP server with one answer; gives its URL and the requests it has got."""
    requests: list[tuple[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the base class's name
            length = int(self.headers.get("Content-Length", 0))
            requests.append((self.path, json.loads(self.rfile.read(length) or "null")))
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_POST = do_GET  # noqa: N815  # the base class's name

        def log_message(self, *_: object) -> None:
            """Stays silent."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}", requests
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """One that no test here starts."""
    return Platform(tmp_path / "home")


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_of_each_command_names_its_exit_codes(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"{command} [OPTIONS]" in result.stdout
    assert "xit code" in result.stdout


@pytest.mark.parametrize(
    "command",
    ["ingest", "train", "history", "prune", "promote 1", "rollback", "approve 1 --reason x",
     "admit batch --reason x", "refused", "refused --dismiss batch --reason x"],
)  # fmt: skip
def test_commands_that_need_the_platform_fail_when_it_is_down(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PlatformHome(tmp_path).write_environment(
        {"REALTOR_RAW_DATABASE_URL": "postgresql://nobody@[::1]:1/x"}
    )
    monkeypatch.setenv("REALTOR_HOME", str(tmp_path))

    result = CliRunner().invoke(app, shlex.split(command))

    assert str(result.exception) == "The platform is down: `realtor up` starts it."


@pytest.mark.parametrize(
    ("command", "default"),
    [("up", "foreground on a terminal"), ("rollback", "the previous Production version"),
     ("promote", "the user logged in")],
)  # fmt: skip
def test_help_names_computed_defaults(command: str, default: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})

    assert f"(default: {default}" in result.stdout


def test_there_is_no_other_command() -> None:
    assert set(get_group(app).commands) == COMMANDS


def test_version_is_that_of_the_distribution() -> None:
    result = CliRunner().invoke(app, ["--version"])

    assert result.exit_code == 0
    assert result.stdout.startswith(f"realtor {realtor_model.__version__}, Python 3.")


def test_the_shell_completes_commands() -> None:
    asked = {"_REALTOR_COMPLETE": "complete_bash", "COMP_WORDS": "realtor re", "COMP_CWORD": "1"}
    result = subprocess.run([REALTOR], env=os.environ | asked, capture_output=True, text=True)

    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) == {"refused", "restore", "restart-upstream"}


def test_help_imports_nothing_heavy() -> None:
    script = "import sys, realtor_local.cli; print(*sys.modules)"
    python = REALTOR.parent / "python"
    result = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in result.stdout.split()}
    assert not loaded & {"pandas", "numpy", "mlflow", "dagster", "sklearn", "pydantic", "httpx"}


def test_a_platform_that_was_never_started(platform: Platform) -> None:
    assert platform.run("status").returncode == 3
    assert platform.run("status", "--json").stdout.strip() == "[]"
    assert platform.run("down").returncode == 0
    for command in (["ingest"], ["train"], ["predict", "--bed", "3"], ["promote", "2"]):
        result = platform.run(*command)
        assert result.returncode == 1
        assert "realtor up" in result.stderr
        assert "Traceback" not in result.stderr


def test_wrong_settings_are_one_line_that_names_the_variable(platform: Platform) -> None:
    result = platform.run("status", REALTOR_APP_PORT="70000")
    assert result.returncode == 1
    assert "REALTOR_APP_PORT" in result.stderr
    assert "Traceback" not in result.stderr


def test_predict_sends_the_options_and_prints_the_valuation(platform: Platform) -> None:
    options = [
        "--bed",
        "3",
        "--zip-code",
        "06114",
        "--house-size",
        "167 m²",
        "--state",
        "Connecticut",
    ]
    with server(200, VALUATION) as (url, requests):
        result = platform.run("predict", *options, REALTOR_SERVICE_URL=url)
    assert result.returncode == 0, result.stderr
    assert requests == [
        (
            "/predict",
            {"bed": "3", "zip_code": "06114", "house_size": "167 m²", "state": "Connecticut"},
        )
    ]
    assert "$412,000 ($350,000 to $480,000 with 80% probability" in result.stdout
    assert "zip_code 99999 is unknown" in result.stdout


def test_predict_takes_json(platform: Platform) -> None:
    with server(200, VALUATION) as (url, requests):
        result = platform.run("predict", "--json", '{"bed": 4}', REALTOR_SERVICE_URL=url)
        assert result.returncode == 0
        for wrong in ('["bed"]', "{bed"):
            assert platform.run("predict", "--json", wrong).returncode == 2
        assert platform.run("predict", "--json", "{}", "--bed", "3").returncode == 2
    assert [body for _, body in requests] == [{"bed": 4}]


def test_predict_sends_inputs_of_any_market(platform: Platform) -> None:
    options = ["--bed", "3", "--set", "year_built=1975", "--set", "note=a=b", "--set", "lift="]
    with server(200, VALUATION | {"currency": "EUR"}) as (url, requests):
        result = platform.run("predict", *options, REALTOR_SERVICE_URL=url)
        assert platform.run("predict", "--set", "year_built").returncode == 2
        assert platform.run("predict", "--json", "{}", "--set", "a=b").returncode == 2
    assert result.returncode == 0, result.stderr
    assert [body for _, body in requests] == [
        {"bed": "3", "year_built": "1975", "note": "a=b", "lift": ""}
    ]
    assert "412,000 EUR (350,000 EUR to 480,000 EUR" in result.stdout


def test_help_of_predict_lists_the_inputs_of_the_model_that_is_served(platform: Platform) -> None:
    inputs = {
        "year_built": {
            "type": "integer", "low": 1500, "high": 2100, "unit": "(year)",
            "description": "Year of the license",
        },
        "energy": {"type": "category", "choices": ["A", "B"], "description": "Energy class"},
    }  # fmt: skip
    with server(200, {"inputs": inputs}) as (url, _):
        result = platform.run("predict", "--help", REALTOR_SERVICE_URL=url)
    assert result.returncode == 0
    for words in ("--set", "year_built", "1,500 to 2,100 (year)", "A, B", "Year of the license"):
        assert words in result.stdout
    without = platform.run("predict", "--help", REALTOR_SERVICE_URL="http://127.0.0.1:1")
    assert without.returncode == 0
    assert "Inputs of the model" not in without.stdout


def test_a_market_file_is_checked_and_shown(platform: Platform, tmp_path: Path) -> None:
    file = tmp_path / "porto.toml"
    file.write_text(PORTO)
    shown = platform.run("market", str(file))
    assert shown.returncode == 0, shown.stderr
    for words in ("Porto: 16 columns", "EUR", "year_built", "house_size", "1,500 to 2,100",
                  "square meters", "floor_area_sqft", "A, B, C, D"):  # fmt: skip
        assert words in shown.stdout

    file.write_text('[columns.floors]\ntype = "numbre"\n')
    for command in (["market", str(file)], ["up"]):
        broken = platform.run(*command, REALTOR_MARKET=str(file))
        assert broken.returncode == 1
        assert f"{file}: [columns.floors] type" in broken.stderr
        assert len(broken.stderr.strip().splitlines()) == 1
    assert not platform.home.root.exists()


def test_example_home_is_that_of_the_market() -> None:
    info = {"inputs": {"bed": {"example": 3}, "city": {}, "lift": {"example": False}}}
    assert example_home(info) == {"bed": 3, "lift": False}


def test_predict_shows_why_the_service_refuses(platform: Platform) -> None:
    detail = [{"loc": ["bed"], "msg": "999 is above 100", "value": 999}]
    refusal = {"error": "bed is 999; it must be from 1 to 100", "detail": detail}
    with server(400, refusal) as (url, _):
        result = platform.run("predict", "--bed", "999", REALTOR_SERVICE_URL=url)
    assert result.returncode == 1
    assert "bed is 999; it must be from 1 to 100" in result.stderr


def test_predict_without_a_service(platform: Platform) -> None:
    result = platform.run("predict", "--bed", "3", REALTOR_SERVICE_URL="http://127.0.0.1:1")
    assert result.returncode == 1
    assert "does not answer" in result.stderr


def test_rewinding_asks_for_our_group_and_day() -> None:
    with server(200, {"ok": True}) as (url, requests):
        rewind_upstream(url, group="7", day="Tuesday")
        rewind_upstream(url, group="7", day=None)
    assert [path for path, _ in requests] == [
        "/restart_data_generation?group_number=7&day=Tuesday",
        "/restart_data_generation?group_number=7",
    ]
    with server(500, {}) as (url, _), pytest.raises(UpstreamError, match="500"):
        rewind_upstream(url, group="7", day=None)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (200, None, True),
        (404, "RESOURCE_DOES_NOT_EXIST", False),
        (400, "INVALID_PARAMETER_VALUE", False),
    ],
)
def test_whether_there_is_a_champion(status: int, code: str | None, expected: bool) -> None:
    with server(status, {"error_code": code}) as (url, _):
        assert has_champion(url) is expected


def test_a_broken_registry_is_not_an_empty_one() -> None:
    with server(500, {"error_code": "INTERNAL_ERROR"}) as (url, _), pytest.raises(RegistryError):
        has_champion(url)


# ----------------------------------------------------------------------------------------- settings


def test_urls_replace_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    # MLflow's client puts it into the environment of the process that runs other tests too.
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    urls = dict.fromkeys(
        ("raw_database_url", "clean_database_url", "dagster_database_url", "mlflow_database_url"),
        "postgresql://host/db",
    )
    assert load_settings().programs == PROGRAMS
    assert set(PROGRAMS) - set(load_settings(**urls).programs) == {"postgres"}
    assert set(PROGRAMS) - set(load_settings(api_url="http://host").programs) == {"upstream"}
    assert set(PROGRAMS) - set(load_settings(mlflow_tracking_uri="http://host").programs) == {
        "mlflow"
    }
    assert load_settings(chosen_programs="app,postgres", **urls).programs == ("postgres", "app")


def test_some_databases_without_the_others_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"REALTOR_CLEAN_DATABASE_URL.*all four"):
        load_settings(raw_database_url="postgresql://host/db")


def test_unknown_programs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTOR_PROGRAMS", "app,nginx")
    with pytest.raises(SettingsError, match=r"REALTOR_PROGRAMS=.*nginx"):
        load_settings()


# ----------------------------------------------------------------------------------------- the home

LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1)


@settings(deadline=None)  # a busy machine is no failure
@given(value=LINES)
def test_platform_env_says_the_same_to_shells_and_to_dotenv(
    tmp_path_factory: pytest.TempPathFactory, value: str
) -> None:
    home = PlatformHome(tmp_path_factory.mktemp("home"))
    if set(value) & set("'\\") and set(value) & set("$`"):
        with pytest.raises(HomeError, match="NAME cannot be written"):
            home.write_environment({"NAME": value})
        return
    home.write_environment({"NAME": value})
    assert home.environment() == {"NAME": value}
    line = home.platform_env.read_text()
    if not set(value) & set("'$`\\"):
        assert shlex.split(line) == [f"NAME={value}"]
    assert dotenv_values(home.platform_env, interpolate=False)["NAME"] == value


def test_a_value_of_several_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="a line break"):
        PlatformHome(tmp_path).write_environment({"NAME": "a\nb"})


def test_a_long_home_gets_a_short_socket(tmp_path: Path) -> None:
    assert len(str(PlatformHome(tmp_path / ("x" * 200)).socket)) < 100
    assert PlatformHome(Path("/srv/realtor")).socket == Path("/srv/realtor/run/supervisor.sock")
