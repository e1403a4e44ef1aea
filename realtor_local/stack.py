"""Starts, watches, inspects and stops the platform on one machine."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from realtor_local import ports, program_health, programs
from realtor_local.backup import Platform, read_manifest, restore
from realtor_local.errors import RealtorError
from realtor_local.platform_home import PlatformHome
from realtor_local.platform_settings import PlatformSettings
from realtor_local.postgres import DATABASES, EXTERNAL, EmbeddedPostgres, find_binaries
from realtor_local.processes import marked, program_of, stop
from realtor_local.programs import PORT_VARIABLES, Plan, Program, project_file
from realtor_local.signals import uninterrupted
from realtor_local.supervisor import State, Supervisor, SupervisorError
from realtor_model.installation import checkout, default_home

POLL_SECONDS = 0.25
# supervisord itself kills a program that has not ended after 30 seconds.
STOP_SECONDS = 45.0
# A program that ends this often while it is being started will not become healthy.
STARTS_BEFORE_GIVING_UP = 3
LIVE = {"STARTING", "RUNNING", "BACKOFF"}


class StackError(RealtorError):
    """The platform, or a part of it, cannot be started."""


@dataclass(frozen=True)
class ProgramStatus:
    """One row of `realtor status`. `problem` is None when the program is healthy."""

    name: str
    state: str
    pid: int | None
    uptime_seconds: float
    port: int | None
    url: str | None
    problem: str | None


class Stack:
    """The platform in one REALTOR_HOME; prints its progress on `console`."""

    def __init__(self, settings: PlatformSettings, console: Console) -> None:
        self.settings = settings
        self.console = console
        self.home = PlatformHome(settings.home)
        self.supervisor = Supervisor(self.home)
        self.postgres = EmbeddedPostgres(
            self.home.postgres, binaries=settings.pg_bin, port=settings.postgres_port
        )

    # ------------------------------------------------------------------------------------- starting

    def start(self) -> bool:
        """Starts the programs that do not run and waits until all are healthy.

        Returns False when the platform ran already. When this call began it and fails or is
        interrupted, everything is stopped again. Raises RealtorError.
        """
        if self.settings.market is not None:
            # A broken market file ends here, before anything is changed or started.
            self.settings.contract()
        self.home.create()
        with self.home.lock():
            fresh = not self.supervisor.alive()
            try:
                self._start(fresh)
            except BaseException:
                if fresh:
                    with uninterrupted():
                        self._stop()
                raise
        return fresh

    def _start(self, fresh: bool) -> None:
        if fresh:
            self._sweep("left over from a supervisor that was killed")
            plan = self._plan()
            self._check_ports(plan.programs.values())
            self.home.write_environment(plan.environment)
            programs.save(plan.programs, self.home)
            self._link()
            self.supervisor.start(plan.programs.values(), plan.environment)
            wanted = plan.programs
        else:
            self._print_changed_settings()
            wanted = programs.load(self.home)
        states = self.supervisor.states()
        missing = [each for each in wanted.values() if states[each.name].name not in LIVE]
        if not fresh:
            self._check_ports(missing)
        databases = [each for each in missing if each.name == "postgres"]
        if databases:
            self._bring_up(databases)
            self.postgres.create_databases()
        if fresh:
            self._migrate()
        if others := [each for each in missing if each.name != "postgres"]:
            self._bring_up(others)

    def _migrate(self) -> None:
        """Brings the tables of RAW and CLEAN to this code's revision."""
        environment = self.home.environment()
        owner = (
            self.postgres.url("realtor_raw_owner")
            if "postgres" in self.settings.programs
            else self.settings.raw_owner_database_url
        )
        raw = owner or environment.get("REALTOR_RAW_DATABASE_URL")
        if raw is None:
            return
        from realtor_assets.schema import migrate
        from realtor_assets.schema.market_columns import MarketContradictsTables
        from realtor_model.listing import US_LISTINGS, InvalidMarketFile, read_market

        market = environment.get("REALTOR_MARKET")
        try:
            migrate(raw, "raw", read_market(Path(market)) if market else US_LISTINGS)
        except (InvalidMarketFile, MarketContradictsTables) as problem:
            raise StackError(str(problem)) from problem
        migrate(environment["REALTOR_CLEAN_DATABASE_URL"], "clean")

    def _plan(self, *, running: bool = False) -> Plan:
        if "postgres" in self.settings.programs:
            data = self.postgres.prepare().data
            if not data.is_relative_to(self.home.root):
                self.console.print(
                    f"PostgreSQL's data is in {data}: the user that runs it cannot reach"
                    f" {self.home.root}.",
                    style="yellow",
                )
        return programs.make_plan(self.settings, self.home, self.postgres, running=running)

    def _print_changed_settings(self) -> None:
        wanted, running = self._plan(running=True).environment, self.home.environment()
        if changed := sorted(name for name in wanted if wanted[name] != running.get(name)):
            self.console.print(
                f"The platform runs with other settings: {', '.join(changed)}. They take effect"
                " after `realtor down`.",
                style="yellow",
            )

    def _check_ports(self, starting: Iterable[Program]) -> None:
        taken = [
            f"{each.name} needs port {each.port}, which {ports.describe_holder(each.port)} holds:"
            f" stop that, or set {PORT_VARIABLES[each.name]}"
            for each in starting
            if each.port is not None and not ports.is_free(each.port)
        ]
        if taken:
            raise StackError(".\n".join(taken) + ".")

    def _link(self) -> None:
        """dagster.yaml for DAGSTER_HOME, and a `.env` with which plain `dagster dev` works."""
        instance = self.home.dagster / "dagster.yaml"
        # A file is the user's own. A link may lead to an environment that is gone or outdated.
        if instance.is_symlink() or not instance.exists():
            instance.unlink(missing_ok=True)
            instance.symlink_to(project_file("dagster.yaml"))
        folder = checkout()
        if folder is None or self.home.root != default_home():
            return
        dotenv = folder / ".env"
        if not dotenv.exists() and not dotenv.is_symlink():
            dotenv.symlink_to(self.home.platform_env.relative_to(folder))

    def _bring_up(self, starting: Collection[Program]) -> None:
        """Starts programs together and waits until each one is healthy."""
        began = time.monotonic()
        for program in starting:
            self.supervisor.start_program(program.name)
        waiting = {program.name: program for program in starting}
        pids: dict[str, set[int]] = {name: set() for name in waiting}
        environment = self.home.environment()
        with self.console.status("") as spinner:
            while waiting:
                spinner.update(f"Waiting for {', '.join(waiting)}")
                states = self.supervisor.states()
                for name, program in list(waiting.items()):
                    state, seconds = states[name], time.monotonic() - began
                    pids[name].add(state.pid)
                    if state.name == "RUNNING" and self._ready(program, environment):
                        where = f"  {program.url}" if program.url else ""
                        self.console.print(f"✓ {name:<18}{seconds:6.1f} s{where}", style="green")
                        del waiting[name]
                    elif state.name == "FATAL" or len(pids[name] - {0}) > STARTS_BEFORE_GIVING_UP:
                        raise StackError(f"{name} does not start.{self._log_tail(name)}")
                    elif seconds > self.settings.start_timeout_seconds:
                        raise StackError(
                            f"{name} is not healthy after {seconds:.0f} s"
                            f" (REALTOR_START_TIMEOUT_SECONDS).{self._log_tail(name)}"
                        )
                time.sleep(POLL_SECONDS)

    def _ready(self, program: Program, environment: Mapping[str, str]) -> bool:
        if program.name == "postgres":
            return self.postgres.answers()
        if program.name == "dagster-daemon":
            return True  # its first heartbeat comes much later; `realtor status` looks at those
        return program_health.problem(program, environment) is None

    def _log_tail(self, name: str) -> str:
        tail = self.home.log_tail(name)
        return f" Its log, {self.home.log(name)}, ends:\n{tail}" if tail else ""

    # ------------------------------------------------------------------------------------- stopping

    def stop(self) -> bool:
        """Stops all processes of the platform. Returns False when none ran."""
        if not self.home.run.exists():
            return False
        with self.home.lock(), uninterrupted():
            return self._stop()

    def purge(self) -> None:
        """Removes REALTOR_HOME and PostgreSQL's data. The platform must be stopped."""
        self.postgres.remove()
        if self.home.root.exists():
            shutil.rmtree(self.home.root)

    def _stop(self) -> bool:
        ran = self.supervisor.alive()
        if ran:
            self._stop_programs()
            self.supervisor.shut_down()
        return self._sweep("without a supervisor") or ran

    def _stop_programs(self) -> None:
        """Stops in waves, in reverse order: a run that ends can still reach MLflow and its data."""
        known = programs.load(self.home)
        for wave in sorted({program.wave for program in known.values()}, reverse=True):
            names = {name for name, program in known.items() if program.wave == wave}
            try:
                for name in names:
                    self.supervisor.stop_program(name)
                deadline = time.monotonic() + STOP_SECONDS
                with self.console.status(f"Stopping {', '.join(sorted(names))}"):
                    while time.monotonic() < deadline and any(
                        state.name in (*LIVE, "STOPPING")
                        for name, state in self.supervisor.states().items()
                        if name in names
                    ):
                        time.sleep(0.1)
            except SupervisorError as error:
                self.console.print(f"{error}; ending its programs without it.", style="yellow")
                return

    def _sweep(self, why: str) -> bool:
        """Ends the processes of this platform that have no supervisor."""
        orphans = marked(self.home.stack_id)
        server = self.postgres.process() if self.home.postgres.exists() else None
        if not orphans and server is None:
            return False
        names = sorted(
            {program_of(process) for process in orphans} | ({"postgres"} if server else set())
        )
        self.console.print(f"Ending processes {why}: {', '.join(names)}.", style="yellow")
        stop([each for each in orphans if program_of(each) != "postgres"], grace=10)
        self.postgres.stop()
        stop(marked(self.home.stack_id), grace=5)
        return True

    # -------------------------------------------------------------------------------------- keeping

    def contents(self) -> Platform:
        """The databases and the stores, for `realtor_local.backup`."""
        if "postgres" in self.settings.programs:
            databases = {name: self.postgres.url(owner) for name, owner in DATABASES.items()}
            programs = self.postgres.cluster.binaries.folder
        else:
            external = dict(self.settings.database_urls)
            external["REALTOR_RAW_DATABASE_URL"] = (
                self.settings.raw_owner_database_url or self.settings.raw_database_url
            )
            databases = {
                name: url
                for name, variable in zip(DATABASES, EXTERNAL, strict=True)
                if (url := external[variable])
            }
            programs = find_binaries(self.settings.pg_bin).folder
        stores = {
            "store": self.settings.storage_url or self.home.store.as_uri(),
            "artifacts": self.settings.artifacts_url or self.home.artifacts.as_uri(),
        }
        return Platform(databases, stores, programs)

    def restore(self, folder: Path) -> None:
        """Bring back a backup. Raises BackupError, and StackError when the platform runs."""
        read_manifest(folder)
        self.home.create()
        with self.home.lock():
            if self.supervisor.alive():
                raise StackError("The platform runs: `realtor down` first.")
            own = "postgres" in self.settings.programs
            if own:
                self.postgres.start()
            try:
                again = self.home.root / "restoring"
                restore(folder, self.contents(), self.console, again=again)
            finally:
                if own:
                    self.postgres.stop()

    # -------------------------------------------------------------------------------------- looking

    def status(self) -> list[ProgramStatus]:
        """One row per program of the last start; empty when the platform is down."""
        known = programs.load(self.home)
        environment = self.home.environment()
        try:
            states = self.supervisor.states()
        except SupervisorError:
            return self._orphans(known)
        return [
            _status(program, states[name], environment)
            for name, program in known.items()
            if name in states
        ]

    def _orphans(self, known: Mapping[str, Program]) -> list[ProgramStatus]:
        """The processes that still run after supervisord was killed."""
        pids = {
            program_of(process): process.pid for process in reversed(marked(self.home.stack_id))
        }
        return [
            ProgramStatus(
                name,
                "ORPHAN",
                pids[name],
                0.0,
                program.port,
                program.url,
                "its supervisor was killed: `realtor up` starts the platform again",
            )
            for name, program in known.items()
            if name in pids
        ]

    def watch(self) -> None:
        """Prints which programs ended and were restarted, until the platform is stopped.

        For the process that started it. When supervisord itself is killed, everything is started
        again. Raises RealtorError when that fails.
        """
        before = self.supervisor.states()
        while True:
            time.sleep(1.0)
            try:
                now = self.supervisor.states()
            except SupervisorError:
                if self.supervisor.ended_on_purpose():
                    return
                self.console.print(
                    "supervisord was killed; starting everything again.", style="red"
                )
                self.start()
                now = self.supervisor.states()
            else:
                self._print_events(before, now)
            before = now

    def _print_events(self, before: Mapping[str, State], now: Mapping[str, State]) -> None:
        for name, state in now.items():
            was = before.get(name, state)
            if state.name == "FATAL" and was.name != "FATAL":
                self.console.print(f"{name} is down for good.{self._log_tail(name)}", style="red")
            elif state.name in ("BACKOFF", "EXITED") and was.name == "RUNNING":
                self.console.print(f"{name} ended ({state.detail}); restarting it.", style="yellow")
            elif state.pid and was.pid and state.pid != was.pid:
                self.console.print(
                    f"{name} ended and was restarted (pid {was.pid} → {state.pid}).", style="yellow"
                )


def _status(program: Program, state: State, environment: Mapping[str, str]) -> ProgramStatus:
    if state.name == "RUNNING":
        problem = program_health.problem(program, environment)
    else:
        problem = state.detail or state.name
    return ProgramStatus(
        program.name,
        state.name,
        state.pid or None,
        state.uptime,
        program.port,
        program.url,
        problem,
    )
