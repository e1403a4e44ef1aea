"""The wheel, outside any checkout: what it holds, and a platform started from it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import psycopg
import pytest
from dotenv import dotenv_values

ROOT = Path(__file__).parents[1]
PACKAGES = ("realtor_model", "realtor_assets", "realtor_serving", "realtor_ui", "realtor_local")
OWN_PREFIXES = ("REALTOR_", "MLFLOW_", "DAGSTER_", "BENTOML_", "XDG_")

pytestmark = [pytest.mark.integration]


class Installed:
    """The wheel's files in a folder, and a user whose home is empty."""

    def __init__(self, wheel: Path, folder: Path) -> None:
        self.wheel = wheel
        self.code = folder / "site-packages"
        self.user = folder / "user"
        # The folders that root's PostgreSQL passes through as another user.
        for each in (self.code, self.user):
            each.mkdir(mode=0o755)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(self.code)

    def python(
        self,
        *arguments: str,
        interpreter: tuple[str, ...] = (),
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs Python with the wheel's code, in the user's home."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIXES)
        }
        return subprocess.run(
            [sys.executable, *interpreter, *arguments],
            cwd=self.user,
            env=environment
            | {"HOME": str(self.user), "PYTHONPATH": str(self.code), "COLUMNS": "200"}
            | dict(variables or {}),
            capture_output=True,
            text=True,
            timeout=500,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    for each in (folder, folder.parent):
        each.chmod(0o711)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    return Installed(wheel, folder)


def test_it_holds_every_file_of_the_packages(installed: Installed) -> None:
    ours = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(installed.wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        for name in ("dagster.yaml", "workspace.yaml"):
            assert archive.read(f"realtor_local/{name}") == (ROOT / name).read_bytes()
    assert ours == held


def test_without_the_extra_the_command_says_in_a_line_which_one_it_needs(
    installed: Installed,
) -> None:
    # -S: without site-packages, as where nothing but the wheel is installed.
    for command in ("up", "--version", "status"):
        done = installed.python("-m", "realtor_local", command, interpreter=("-S",))
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert 'pip install "realtor[local]"' in done.stderr
        assert version("realtor") in done.stderr


def test_a_missing_package_of_a_program_is_named_before_anything_starts(
    installed: Installed, tmp_path: Path
) -> None:
    # This environment without Streamlit and Altair.
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name not in ("streamlit", "altair"):
            (tmp_path / entry.name).symlink_to(entry)
    done = installed.python(
        "-m",
        "realtor_local",
        "up",
        interpreter=("-S",),
        variables={"PYTHONPATH": f"{installed.code}{os.pathsep}{tmp_path}"},
    )
    assert done.returncode == 1
    assert done.stderr.startswith("realtor: The platform's programs need altair, streamlit, which")
    assert 'pip install "realtor[local]"' in done.stderr
    assert not list(installed.user.rglob("supervisord*"))


def test_its_state_is_in_the_users_data_folder(installed: Installed) -> None:
    done = installed.python(
        "-c",
        "from realtor_local.platform_settings import load_settings;"
        "from realtor_serving.service_settings import settings;"
        "print(load_settings().home, settings().home, sep='\\n')",
        variables={"XDG_DATA_HOME": str(installed.user / "data")},
    )
    assert done.returncode == 0, done.stderr
    folders = {Path(line) for line in done.stdout.split("\n") if line}
    expected = (
        installed.user / "Library/Application Support/realtor"
        if sys.platform == "darwin"
        else installed.user / "data/realtor"
    )
    assert folders == {expected}


def test_a_platform_with_dagster_comes_up_twice_and_keeps_its_state(installed: Installed) -> None:
    variables = {
        "REALTOR_PROGRAMS": "postgres,dagster-webserver,dagster-daemon",
        "REALTOR_DAGSTER_PORT": "0",
        "REALTOR_START_TIMEOUT_SECONDS": "400",
    }
    before = _files(installed.code)
    run = ("-m", "realtor_local")
    try:
        for start in range(2):
            up = installed.python(*run, "up", "--detach", "--no-lineage", variables=variables)
            assert up.returncode == 0, up.stdout + up.stderr
            assert "✓ dagster-webserver" in up.stdout
            url = dotenv_values(next(installed.user.rglob("platform.env")))["DAGSTER_POSTGRES_URL"]
            assert url is not None
            with psycopg.connect(url) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS starts (number integer)")
                connection.execute("INSERT INTO starts VALUES (%s)", [start])
                numbers = connection.execute("SELECT number FROM starts ORDER BY 1").fetchall()
            assert numbers == [(number,) for number in range(start + 1)]
            history = installed.python(*run, "history", "--json", variables=variables)
            assert history.returncode == 0, history.stderr
            assert installed.python(*run, "down", variables=variables).returncode == 0
    finally:
        installed.python(*run, "down", "--purge", variables=variables)
    assert _files(installed.code) == before, "something is written beside the code"


def _files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.suffix != ".pyc" and path.is_file()}
