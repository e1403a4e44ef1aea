"""The platform as a person meets it: `realtor` in another process, real programs, real signals."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from realtor_local import programs
from realtor_local.platform_home import PlatformHome
from realtor_local.processes import PROGRAM_MARK, STACK_MARK
from realtor_local.programs import Program
from tests.local.conftest import Platform, eventually

pytestmark = [pytest.mark.integration]


def test_it_comes_up_healthy(running: Platform) -> None:
    rows = running.status()
    assert set(rows) == {"postgres", "upstream"}
    assert running.healthy()
    assert running.run("status").returncode == 0
    assert rows["upstream"]["url"] in running.run("status").stdout


def test_its_files_are_private(running: Platform) -> None:
    home = running.home
    for file in (home.platform_env, home.run / "programs.json", home.run / "supervisord.conf"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.socket.stat().st_mode) == 0o600


def test_no_password_stands_in_an_argument_list(running: Platform) -> None:
    password = running.home.environment()["REALTOR_RAW_DATABASE_URL"].split(":")[2].split("@")[0]
    lists = [" ".join(process.cmdline()) for process in running.processes()]
    assert lists
    assert not any(password in line for line in lists)


def test_a_second_up_changes_nothing(running: Platform) -> None:
    before = {name: row["pid"] for name, row in running.status().items()}
    again = running.run("up")
    assert again.returncode == 0
    assert "already runs" in again.stdout
    assert {name: row["pid"] for name, row in running.status().items()} == before


def test_up_with_other_settings_says_what_waits_for_a_restart(running: Platform) -> None:
    again = running.run("up", REALTOR_STORAGE_URL="s3://elsewhere/realtor")
    assert "other settings: REALTOR_HISTORY_URL, REALTOR_STORAGE_URL" in again.stdout


def test_a_shell_that_sourced_platform_env_controls_the_same_platform(running: Platform) -> None:
    again = running.run("up", **running.home.environment())
    assert again.returncode == 0
    assert "already runs" in again.stdout
    assert "other settings" not in again.stdout


def test_a_killed_program_is_restarted(running: Platform) -> None:
    pid = running.status()["upstream"]["pid"]
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: running.healthy() and running.status()["upstream"]["pid"] != pid)


def test_committed_rows_survive_a_killed_postgres(running: Platform) -> None:
    url = running.home.environment()["REALTOR_CLEAN_DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS x")
    pid = running.status()["postgres"]["pid"]
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: running.healthy() and running.status()["postgres"]["pid"] != pid)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)


def test_after_a_killed_supervisor_status_tells_and_up_repairs(running: Platform) -> None:
    running.supervisor().kill()
    told = running.run("status")
    assert told.returncode == 1
    assert "ORPHAN" in told.stdout
    again = running.run("up")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "Ending processes left over" in again.stdout
    assert running.healthy()


def test_down_leaves_no_process_and_keeps_the_data(platform: Platform) -> None:
    assert platform.run("up").returncode == 0
    url = platform.home.environment()["REALTOR_CLEAN_DATABASE_URL"]
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (x int)")
    processes = platform.processes()
    assert len(processes) >= 3
    assert platform.run("down").returncode == 0
    assert not platform.processes()
    assert not any(process.is_running() for process in processes)
    assert platform.run("status").returncode == 3
    assert "was not running" in platform.run("down").stdout
    assert platform.run("up").returncode == 0
    assert platform.home.environment()["REALTOR_CLEAN_DATABASE_URL"] == url
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_down_ends_orphans_of_a_killed_supervisor(platform: Platform) -> None:
    assert platform.run("up").returncode == 0
    processes = platform.processes()
    platform.supervisor().kill()
    done = platform.run("down")
    assert done.returncode == 0
    assert "Ending processes without a supervisor: postgres, upstream" in done.stdout
    assert not any(process.is_running() for process in processes)


def test_in_the_foreground_it_tells_repairs_and_stops_on_ctrl_c(platform: Platform) -> None:
    process = platform.start("up", "--foreground")
    assert process.stdout is not None
    for line in process.stdout:
        if "Press Ctrl-C" in line:
            break
    pid = platform.status()["upstream"]["pid"]
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: platform.healthy() and platform.status()["upstream"]["pid"] != pid)
    first = platform.supervisor()
    first.kill()
    assert eventually(lambda: platform.healthy() and platform.supervisor() != first)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "upstream ended" in output
    assert "supervisord was killed; starting everything again" in output
    assert not platform.processes()


def test_in_the_foreground_it_ends_when_another_shell_stops_it(platform: Platform) -> None:
    process = platform.start("up", "--foreground")
    assert process.stdout is not None
    for line in process.stdout:
        if "Press Ctrl-C" in line:
            break
    assert platform.run("down").returncode == 0
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Everything is stopped" in output
    assert not platform.processes()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_start_leaves_nothing(platform: Platform, sent: signal.Signals) -> None:
    process = platform.start("up")
    assert eventually(lambda: bool(platform.processes()))
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not platform.processes()


def test_a_taken_port_is_named_with_its_holder_and_its_variable(platform: Platform) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = platform.run("up", REALTOR_UPSTREAM_PORT=str(port))
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert "REALTOR_UPSTREAM_PORT" in done.stderr
    assert not platform.processes()


def test_a_start_that_takes_too_long_fails_and_stops_everything(platform: Platform) -> None:
    done = platform.run("up", REALTOR_START_TIMEOUT_SECONDS="0.01")
    assert done.returncode == 1
    assert "is not healthy after" in done.stderr
    assert str(platform.home.logs) in done.stderr or "postgres" in done.stderr
    assert not platform.processes()


def test_a_csv_that_is_not_there_is_named(platform: Platform) -> None:
    done = platform.run("up", REALTOR_CSV="/nowhere.csv")
    assert done.returncode == 1
    assert "REALTOR_CSV=/nowhere.csv: there is no such file" in done.stderr


def test_two_ups_at_once_start_one_platform(platform: Platform) -> None:
    both = [platform.start("up"), platform.start("up")]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    supervisors = [
        process
        for process in platform.processes()
        if any("supervisord" in part for part in process.cmdline())
    ]
    assert len(supervisors) == 1


def test_shells_read_platform_env(running: Platform) -> None:
    shell = shutil.which("sh")
    assert shell is not None
    script = '. "$0"; printf %s "$REALTOR_HOME"'
    told = subprocess.run(
        [shell, "-c", script, running.home.platform_env], capture_output=True, text=True, check=True
    )
    assert told.stdout == str(running.home.root)


def test_launch_ends_what_a_killed_predecessor_left(tmp_path: Path) -> None:
    """Workers of a killed server keep its port: they go before the server comes back."""
    home = PlatformHome(tmp_path)
    home.create()
    programs.save({"service": Program("service", ("/bin/true",), str(tmp_path), sole=True)}, home)
    own = {STACK_MARK: home.stack_id, PROGRAM_MARK: "service"}
    worker = subprocess.Popen(["/bin/sleep", "60"], env=own)
    neighbour = subprocess.Popen(["/bin/sleep", "60"], env=own | {PROGRAM_MARK: "mlflow"})
    try:
        subprocess.run(
            [sys.executable, "-m", "realtor_local.launch", "service"],
            env=os.environ | {"REALTOR_HOME": str(tmp_path), STACK_MARK: home.stack_id},
            check=True,
        )
        assert worker.poll() in (-signal.SIGTERM, -signal.SIGKILL)
        assert neighbour.poll() is None
    finally:
        for process in (worker, neighbour):
            process.kill()
            process.wait()
