"""`realtor doctor`: what is wrong with this machine or this platform, and the fix for each."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import httpx
import psutil
from rich.console import Console

from realtor_local import ports, programs
from realtor_local.errors import INSTALL, RealtorError
from realtor_local.platform_settings import PlatformSettings
from realtor_local.postgres import find_binaries
from realtor_local.processes import marked
from realtor_local.program_health import database_problem, http_client
from realtor_local.programs import PORT_VARIABLES
from realtor_local.stack import Stack
from realtor_model import __version__
from realtor_model.installation import ROOT, checkout

GIGABYTE = 10**9
MEMORY_NEEDED = 4 * GIGABYTE
OLDEST_GLIBC = (2, 28)
OLDEST_MACOS = (13, 0)


class Level(StrEnum):
    OK = "OK"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Finding:
    """One line of the report. `fix` is empty when there is nothing to put right."""

    level: Level
    subject: str
    text: str
    fix: str = ""


def diagnose(settings: PlatformSettings, console: Console) -> Iterator[Finding]:
    """All findings, as they are made. Changes nothing."""
    stack = Stack(settings, console)
    running = stack.supervisor.alive()
    yield _machine()
    yield _python()
    yield _environment(settings)
    yield _xgboost()
    yield _disk(settings)
    yield _memory()
    yield _home(settings.home)
    yield _market(settings)
    yield from _postgres(settings)
    yield from _ports(stack, running=running)
    yield from _programs(stack)
    if running and (refused := _refused(stack.home.environment())) is not None:
        yield refused
    if settings.api_url and "upstream" not in settings.programs:
        yield _upstream(settings.api_url)


def _machine() -> Finding:
    """Whether every package has a wheel for this machine. tests/platforms.py checks the lock."""
    machine, (libc, version) = platform.machine(), platform.libc_ver()
    if sys.platform == "darwin":
        libc, version = "macOS", platform.mac_ver()[0]
    text = f"{platform.system()} on {machine}, {libc or 'no glibc'} {version}".rstrip()
    number = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    supported = {
        ("linux", "x86_64", "glibc"): OLDEST_GLIBC,
        ("linux", "aarch64", "glibc"): OLDEST_GLIBC,
        ("darwin", "arm64", "macOS"): OLDEST_MACOS,
    }
    oldest = supported.get((sys.platform, machine, libc))
    if oldest is not None and number >= oldest:
        return Finding(Level.OK, "Machine", text)
    fix = (
        f"use Linux with glibc {'.'.join(map(str, OLDEST_GLIBC))} or newer on x86_64 or aarch64,"
        f" or macOS {OLDEST_MACOS[0]} or newer on arm64"
    )
    return Finding(Level.WARN, "Machine", f"{text}: some packages have no wheels for it", fix)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.prefix == sys.base_prefix:
        fix = "run `make up`" if checkout() else "install it into a virtual environment"
        return Finding(Level.WARN, "Python", f"{version}, not in a virtual environment", fix)
    return Finding(Level.OK, "Python", f"{version} in {sys.prefix}")


def _environment(settings: PlatformSettings) -> Finding:
    """A checkout's environment is compared with uv.lock, another one with what programs import."""
    subject, folder = "Environment", checkout()
    if folder is None:
        if missing := programs.missing_packages(settings.programs):
            text = f"{', '.join(missing)} missing"
            return Finding(Level.FAIL, subject, text, f"{INSTALL} brings it")
        return Finding(Level.OK, subject, f"realtor {__version__} in {ROOT}")
    bundled = folder / ".tools" / "bin" / "uv"
    uv = shutil.which("uv") or (str(bundled) if bundled.exists() else None)
    if uv is None or not (folder / "uv.lock").exists():
        return Finding(
            Level.WARN, subject, "uv or uv.lock is missing: not compared", "run `make up`"
        )
    checked = subprocess.run(  # noqa: S603  # a fixed command
        [uv, "sync", "--locked", "--extra", "local", "--inexact", "--check", "--offline"],
        cwd=folder,
        env=os.environ | {"UV_PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    if checked.returncode == 0:
        return Finding(Level.OK, subject, "as uv.lock says")
    reason = checked.stderr.strip().rsplit("\n", 1)[-1]
    return Finding(Level.WARN, subject, f"differs from uv.lock: {reason}", "run `make up`")


def _xgboost() -> Finding:
    """XGBoost's library is loaded in another process: on macOS it needs Homebrew's libomp."""
    loaded = subprocess.run(
        [sys.executable, "-c", "import xgboost; print(xgboost.__version__)"],
        capture_output=True,
        text=True,
    )
    if loaded.returncode == 0:
        return Finding(Level.OK, "XGBoost", loaded.stdout.strip())
    # Only the last line is the loader's error: XGBoost's text above it always names libomp.
    reason = loaded.stderr.strip().rsplit("\n", 1)[-1]
    if "libomp" in reason:
        fix = "run `brew install libomp`"
    else:
        fix = f"{INSTALL} brings it" if checkout() is None else "run `make up`"
    return Finding(Level.FAIL, "XGBoost", f"does not load: {reason}", fix)


def _disk(settings: PlatformSettings) -> Finding:
    folder = _existing(settings.home)
    free = shutil.disk_usage(folder).free / GIGABYTE
    text = f"{free:.1f} GB free at {folder}, {settings.min_free_disk_gb:g} GB needed"
    if free >= settings.min_free_disk_gb:
        return Finding(Level.OK, "Disk", text)
    fix = "free some space, or set REALTOR_HOME to a folder on another disk"
    return Finding(Level.FAIL, "Disk", text, fix)


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    text = f"{available / GIGABYTE:.1f} GB available, {MEMORY_NEEDED / GIGABYTE:.0f} GB wanted"
    if available >= MEMORY_NEEDED:
        return Finding(Level.OK, "Memory", text)
    return Finding(Level.WARN, "Memory", text, "end other programs, or train on fewer rows")


def _home(home: Path) -> Finding:
    folder = _existing(home)
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return Finding(Level.OK, "Home", str(home))
    fix = "set REALTOR_HOME to a folder that you own"
    return Finding(Level.FAIL, "Home", f"{folder} cannot be written by this user", fix)


def _market(settings: PlatformSettings) -> Finding:
    if settings.market is None:
        return Finding(Level.OK, "Market", "the built-in market of US homes")
    try:
        contract = settings.contract()
    except RealtorError as error:
        fix = "correct the file; `realtor market FILE` checks it again"
        return Finding(Level.FAIL, "Market", str(error), fix)
    text = f"{contract.name}, {len(contract.columns)} columns, from {settings.market}"
    return Finding(Level.OK, "Market", text)


def _postgres(settings: PlatformSettings) -> Iterator[Finding]:
    subject = "PostgreSQL"
    if "postgres" not in settings.programs:
        for variable, url in settings.database_urls.items():
            problem = database_problem(url) if url else "not set"
            if problem is None:
                yield Finding(Level.OK, subject, f"{variable} answers")
            else:
                yield Finding(
                    Level.FAIL,
                    subject,
                    f"{variable}: {problem}",
                    f"start it, or correct {variable}",
                )
        return
    try:
        binaries = find_binaries(settings.pg_bin)
    except RealtorError as error:
        fix = "set REALTOR_PG_BIN to the folder of `postgres` and `initdb`, or unset it"
        yield Finding(Level.FAIL, subject, str(error), fix)
    else:
        yield Finding(
            Level.OK, subject, f"{binaries.major} from {binaries.folder} ({binaries.origin})"
        )


def _ports(stack: Stack, *, running: bool) -> Iterator[Finding]:
    ours = {process.pid for process in marked(stack.home.stack_id)}
    known = programs.load(stack.home) if running else {}
    for name, variable in PORT_VARIABLES.items():
        if name not in stack.settings.programs:
            continue
        port = known[name].port if name in known else stack.settings.port(name)
        if not port:
            continue
        subject, text = f"Port {port}", f"{name}"
        if ports.is_free(port):
            yield Finding(Level.OK, subject, f"free for {name}")
        elif (process := ports.holder(port)) is not None and process.pid in ours:
            yield Finding(Level.OK, subject, f"held by our {text}")
        else:
            yield Finding(
                Level.FAIL,
                subject,
                f"{name} needs it, and {ports.describe_holder(port)} holds it",
                f"stop that process, or set {variable}",
            )


def _programs(stack: Stack) -> Iterator[Finding]:
    rows = stack.status()
    if not rows:
        yield Finding(Level.OK, "Platform", "is not running; `realtor up` starts it")
    for row in rows:
        if row.problem is None:
            yield Finding(Level.OK, row.name, "healthy")
        else:
            log = stack.home.log(row.name)
            fix = f"look into {log}; `realtor down` and `realtor up` start it afresh"
            yield Finding(Level.FAIL, row.name, f"{row.state}: {row.problem}", fix)


def _refused(environment: Mapping[str, str]) -> Finding | None:
    """Payloads that wait for a person; None while RAW does not answer, which others report."""
    import psycopg

    from realtor_assets.raw.refused_payloads import refused_payloads

    try:
        with psycopg.connect(environment["REALTOR_RAW_DATABASE_URL"], connect_timeout=5) as raw:
            refused = refused_payloads(raw)
    except (KeyError, psycopg.Error):
        return None
    if not refused:
        return Finding(Level.OK, "Payloads", "none is refused")
    names = ", ".join(payload.partition_key for payload in refused)
    return Finding(Level.WARN, "Payloads", f"refused: {names}", "`realtor refused` says why")


def _upstream(url: str) -> Finding:
    try:
        with http_client() as client:
            client.get(url)
    except httpx.HTTPError as error:
        return Finding(
            Level.FAIL, "Upstream", f"{url}: {error}", "correct or unset REALTOR_API_URL"
        )
    return Finding(Level.OK, "Upstream", f"{url} answers")


def _existing(path: Path) -> Path:
    """The nearest of `path` and its parents that exists."""
    return next(each for each in (path, *path.parents) if each.exists())


def report(findings: Iterable[Finding], console: Console) -> bool:
    """Prints the findings as they come; True when none is a FAIL."""
    styles = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "red"}
    well = True
    for finding in findings:
        console.print(
            f"{finding.level:<5} {finding.subject}: {finding.text}", style=styles[finding.level]
        )
        if finding.fix:
            console.print(f"      → {finding.fix}")
        well = well and finding.level is not Level.FAIL
    return well
