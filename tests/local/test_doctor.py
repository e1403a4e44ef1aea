"""`realtor doctor` names what is wrong: each test breaks one thing, for real."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from realtor_local.console_output import make_console
from realtor_local.doctor import Finding, Level, diagnose
from realtor_local.platform_settings import PlatformSettings, load_settings
from tests.local.conftest import Platform
from tests.markets import porto


@pytest.fixture
def settings(tmp_path: Path) -> PlatformSettings:
    """PlatformSettings of a platform that was never started; the ports are free ones."""
    return load_settings(
        home=tmp_path / "home",
        mlflow_port=0,
        upstream_port=0,
        dagster_port=0,
        service_port=0,
        app_port=0,
        min_free_disk_gb=0.001,
    )


def findings(settings: PlatformSettings, subject: str) -> list[Finding]:
    found = diagnose(settings, make_console())
    return [each for each in found if each.subject == subject]


def finding(settings: PlatformSettings, subject: str) -> Finding:
    (only,) = findings(settings, subject)
    return only


def changed(settings: PlatformSettings, **values: object) -> PlatformSettings:
    return settings.model_copy(update=values)


def test_a_sound_machine_has_no_failures(settings: PlatformSettings) -> None:
    found = list(diagnose(settings, make_console()))
    assert [each for each in found if each.level is Level.FAIL] == []
    assert {"Python", "Disk", "Memory", "Home", "PostgreSQL", "Platform"} <= {
        each.subject for each in found
    }


def test_it_changes_nothing(settings: PlatformSettings) -> None:
    list(diagnose(settings, make_console()))
    assert not settings.home.exists()


def test_missing_postgresql_is_named(settings: PlatformSettings, tmp_path: Path) -> None:
    found = finding(changed(settings, pg_bin=tmp_path / "nowhere"), "PostgreSQL")
    assert found.level is Level.FAIL
    assert str(tmp_path / "nowhere") in found.text
    assert "REALTOR_PG_BIN" in found.fix


def test_an_external_postgresql_that_does_not_answer_is_named(settings: PlatformSettings) -> None:
    url = "postgresql://user:hidden@127.0.0.1:1/database"
    external = changed(
        settings,
        raw_database_url=url,
        clean_database_url=url,
        dagster_database_url=url,
        mlflow_database_url=url,
    )
    found = findings(external, "PostgreSQL")
    assert [each.level for each in found] == [Level.FAIL] * 4
    assert "REALTOR_CLEAN_DATABASE_URL" in found[1].text
    assert not any("hidden" in each.text for each in found)


def test_a_taken_port_is_named_with_its_holder(settings: PlatformSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        found = finding(changed(settings, dagster_port=port), f"Port {port}")
    assert found.level is Level.FAIL
    assert "dagster-webserver" in found.text
    assert f"pid {os.getpid()}" in found.text
    assert "REALTOR_DAGSTER_PORT" in found.fix


def test_too_little_disk_names_what_is_free_and_needed(settings: PlatformSettings) -> None:
    found = finding(changed(settings, min_free_disk_gb=1e9), "Disk")
    assert found.level is Level.FAIL
    assert "GB free" in found.text
    assert "1e+09 GB needed" in found.text


def test_a_broken_market_file_is_named_with_its_place(
    settings: PlatformSettings, tmp_path: Path
) -> None:
    assert finding(settings, "Market").level is Level.OK
    porto(tmp_path)
    found = finding(changed(settings, market=tmp_path / "porto.toml"), "Market")
    assert (found.level, found.text.startswith("porto, 16 columns")) == (Level.OK, True)

    (tmp_path / "broken.toml").write_text("[columns.bed]\nrange = [9, 1]\n")
    found = finding(changed(settings, market=tmp_path / "broken.toml"), "Market")
    assert found.level is Level.FAIL
    assert "[columns.bed] range: 9 is not below 1" in found.text
    assert "realtor market" in found.fix


def test_a_home_that_is_a_file_is_named(settings: PlatformSettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = finding(changed(settings, home=tmp_path / "file" / "home"), "Home")
    assert found.level is Level.FAIL
    assert str(tmp_path / "file") in found.text


def test_an_unreachable_upstream_is_named(settings: PlatformSettings) -> None:
    found = finding(changed(settings, api_url="http://127.0.0.1:1"), "Upstream")
    assert found.level is Level.FAIL
    assert "http://127.0.0.1:1" in found.text
    assert "REALTOR_API_URL" in found.fix


@pytest.mark.integration
def test_a_running_platform_is_well_and_holds_its_own_ports(running: Platform) -> None:
    done = running.run("doctor", REALTOR_MIN_FREE_DISK_GB="0.001")
    assert done.returncode == 0, done.stdout
    assert "held by our upstream" in done.stdout
    assert "postgres: healthy" in done.stdout


@pytest.mark.integration
def test_a_program_that_does_not_answer_is_named(running: Platform) -> None:
    import psutil

    process = psutil.Process(running.status()["upstream"]["pid"])
    process.suspend()
    try:
        done = running.run("doctor")
    finally:
        process.resume()
    assert done.returncode == 1
    assert "FAIL  upstream: RUNNING" in done.stdout
    assert str(running.home.log("upstream")) in done.stdout


@pytest.mark.parametrize(
    ("loader", "fix"),
    [
        ("Library not loaded: @rpath/libomp.dylib", "brew install libomp"),
        ("libxgboost.so: cannot open shared object file", "make up"),
    ],
)
def test_a_missing_openmp_is_told_from_other_reasons_for_which_xgboost_does_not_load(
    settings: PlatformSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    loader: str,
    fix: str,
) -> None:
    # XGBoost's own message, with another error of the loader.
    advice = "Mac OSX users: Run `brew install libomp` to install OpenMP runtime."
    message = f"\n{advice}\nError message(s): ['{loader}']\n"
    (tmp_path / "xgboost.py").write_text(f"raise OSError({message!r})\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    found = finding(settings, "XGBoost")

    assert found.level is Level.FAIL
    assert loader in found.text
    assert fix in found.fix


@pytest.mark.parametrize(
    ("system", "machine", "libc", "level"),
    [
        ("linux", "x86_64", ("glibc", "2.28"), Level.OK),
        ("linux", "aarch64", ("glibc", "2.41"), Level.OK),
        ("linux", "x86_64", ("glibc", "2.17"), Level.WARN),
        ("linux", "x86_64", ("", ""), Level.WARN),
        ("linux", "armv7l", ("glibc", "2.36"), Level.WARN),
        ("darwin", "arm64", ("macOS", "13.0"), Level.OK),
        ("darwin", "arm64", ("macOS", "12.7.6"), Level.WARN),
        ("darwin", "x86_64", ("macOS", "15.1"), Level.WARN),
    ],
)
def test_a_machine_without_wheels_is_named(
    settings: PlatformSettings,
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    machine: str,
    libc: tuple[str, str],
    level: Level,
) -> None:
    monkeypatch.setattr("realtor_local.doctor.sys.platform", system)
    monkeypatch.setattr("realtor_local.doctor.platform.machine", lambda: machine)
    monkeypatch.setattr("realtor_local.doctor.platform.libc_ver", lambda: libc)
    monkeypatch.setattr("realtor_local.doctor.platform.mac_ver", lambda: (libc[1], ("",) * 3, ""))

    found = next(diagnose(settings, make_console()))

    assert (found.subject, found.level) == ("Machine", level)
    assert machine in found.text
