"""REALTOR_HOME: the one folder that holds everything the platform writes on this machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dotenv import dotenv_values

from realtor_local.errors import RealtorError
from realtor_local.private_files import make_private_folder, write_private

# A Unix socket's path may have 107 bytes on Linux and 103 on macOS.
LONGEST_SOCKET_PATH = 100


class HomeError(RealtorError):
    """REALTOR_HOME cannot be made or used."""


class PlatformHome:
    """The paths in REALTOR_HOME, and platform.env, the environment of the platform's processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.stack_id = hashlib.sha256(str(root).encode()).hexdigest()[:16]
        self.postgres = root / "postgres"
        self.artifacts = root / "mlflow-artifacts"
        self.store = root / "store"
        self.dagster = root / "dagster"
        self.champion = root / "champion"
        self.bentoml = root / "bentoml"
        self.logs = root / "logs"
        self.run = root / "run"
        self.platform_env = root / "platform.env"

    def create(self) -> None:
        """Makes the folders that are missing. Raises HomeError."""
        try:
            make_private_folder(self.root)
            for folder in (
                self.postgres,
                self.artifacts,
                self.store,
                self.dagster,
                self.bentoml,
                self.logs,
                self.run,
            ):
                make_private_folder(folder)
        except OSError as error:
            raise HomeError(
                f"REALTOR_HOME {self.root} cannot be written: {error}. Set REALTOR_HOME to a"
                " folder that you own."
            ) from error
        if not os.access(self.root, os.W_OK):
            raise HomeError(
                f"REALTOR_HOME {self.root} cannot be written by this user. Set REALTOR_HOME to a"
                " folder that you own."
            )

    @property
    def socket(self) -> Path:
        """The supervisor's socket: in `run`, or in the temporary folder where that is too long."""
        path = self.run / "supervisor.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        return Path(tempfile.gettempdir()) / f"realtor-{os.getuid()}-{self.stack_id}" / path.name

    def log(self, program: str) -> Path:
        return self.logs / f"{program}.log"

    def log_tail(self, program: str, lines: int = 15) -> str:
        """The last lines of a program's log; empty when it has none."""
        path = self.log(program)
        if not path.exists():
            return ""
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            text = file.read().decode(errors="replace")
        return "\n".join(text.rstrip().split("\n")[-lines:])

    def write_environment(self, environment: Mapping[str, str]) -> None:
        """Writes platform.env (0600), readable by shells and by python-dotenv."""
        lines = (f"{name}={_quote(name, value)}\n" for name, value in sorted(environment.items()))
        write_private(self.platform_env, "".join(lines))

    def environment(self) -> dict[str, str]:
        """What platform.env holds; empty before the first start."""
        values = dotenv_values(self.platform_env, interpolate=False)
        return {name: value for name, value in values.items() if value is not None}

    @contextmanager
    def lock(self, name: str = "lock") -> Iterator[None]:
        """A lock, by default for starting and stopping; other processes wait for it."""
        with (self.run / name).open("w") as handle:
            (self.run / name).chmod(0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _quote(name: str, value: str) -> str:
    """`value` as both a shell and python-dotenv read it. Raises HomeError where they differ."""
    if not set(value) & {"'", "\\", "\n"}:
        return f"'{value}'"
    if set(value) & {"\n", "$", "`"}:
        raise HomeError(
            f"{name} cannot be written to platform.env: a line break, or a quote or backslash"
            " together with $ or `, is read differently by different programs"
        )
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
