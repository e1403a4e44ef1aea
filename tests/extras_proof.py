"""`make extras-test`: each extra of the wheel, in an environment of its own outside the checkout.

For every extra it makes a new environment with the locked versions, imports the modules that the
extra is for, and runs its commands. Exits with status 1 if one of them fails. Needs uv, and the
package index for what uv's cache lacks; `python -m tests.extras_proof EXTRA …` checks some extras.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Imports every module below the given packages, except those below names that begin with "-".
IMPORT = """
import importlib, pkgutil, sys
left_out = tuple(name[1:] for name in sys.argv[1:] if name.startswith("-"))
count = 0
for package in (name for name in sys.argv[1:] if not name.startswith("-")):
    module = importlib.import_module(package)
    found = pkgutil.walk_packages(getattr(module, "__path__", ()), package + ".")
    for name in [package, *(each.name for each in found)]:
        if not name.startswith(left_out or ("-",)) and not name.endswith("__main__"):
            importlib.import_module(name)
            count += 1
print(count)
"""


@dataclass(frozen=True)
class Promise:
    """What an extra is for.

    modules: packages whose modules can all be imported; "-name" leaves out those that begin so.
    commands: scripts of the environment with arguments, and the exit status of each.
    """

    modules: tuple[str, ...] = ()
    commands: tuple[tuple[str, int], ...] = ()


# What the extra `scale` is for, and the migrations, which Alembic alone can import.
NOT_IN_ASSETS = (
    "-realtor_assets.distributed",
    "-realtor_assets.monitor.cluster_valuation",
    "-realtor_assets.train.cluster_training",
    "-realtor_assets.schema.",
)
PROMISES: Mapping[str, Promise] = {
    "": Promise(("realtor_local.errors",), (("realtor up", 1), ("realtor --help", 1))),
    "model": Promise(("realtor_model",)),
    "assets": Promise(
        (
            "realtor_assets",
            "realtor_model",
            *NOT_IN_ASSETS,
        ),
        (("dagster --version", 0),),
    ),
    "k8s": Promise(("dagster_k8s", "dagster_aws.s3"), (("dagster --version", 0),)),
    "scale": Promise(
        (
            "realtor_assets.distributed",
            "realtor_assets.monitor.cluster_valuation",
            "realtor_assets.train.cluster_training",
        ),
        (("dask --version", 0),),
    ),
    "serving": Promise(
        ("realtor_serving", "realtor_model", "-realtor_serving.load_test"),
        (("bentoml --version", 0),),
    ),
    "s3": Promise(("s3fs",)),
    # boto3.crt is for an optional library of AWS.
    "mlflow": Promise(
        ("mlflow.server.handlers", "boto3", "psycopg2", "-boto3.crt"),
        (("mlflow --version", 0),),
    ),
    "load": Promise(("realtor_serving.load_test",), (("locust --version", 0),)),
    "ui": Promise(("realtor_ui",), (("streamlit --version", 0),)),
    "command": Promise(
        ("realtor_local.cli", "realtor_local.backup", "realtor_local.doctor"),
        (("realtor --version", 0), ("realtor --help", 0), ("realtor status", 3), ("realtor up", 1)),
    ),
    "local": Promise(
        (
            "realtor_local",
            "realtor_assets",
            "realtor_serving",
            "realtor_ui",
            *NOT_IN_ASSETS,
            "-realtor_serving.load_test",
        ),
        (("realtor --help", 0), ("realtor status", 3)),
    ),
}


def uv(*arguments: str) -> str:
    """Runs uv, from PATH or the checkout's own, in the checkout, and returns what it printed."""
    program = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    run = subprocess.run([program, *arguments], cwd=ROOT, capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"uv {' '.join(arguments)} fails:\n{run.stderr}")
    return run.stdout


def install(extra: str, wheel: Path, constraints: Path, folder: Path) -> Path:
    """A new environment in `folder` with the wheel and the extra; returns its scripts' folder."""
    uv("venv", "--quiet", "--python", sys.executable, str(folder))
    what = f"realtor[{extra}] @ {wheel.as_uri()}" if extra else f"realtor @ {wheel.as_uri()}"
    to = ("--python", str(folder), "--constraints", str(constraints))
    uv("pip", "install", "--quiet", *to, what)
    return folder / "bin"


def problems(promise: Promise, scripts: Path, user: Path) -> list[str]:
    """What does not work, as the user whose home is `user`."""
    environment = {"HOME": str(user), "PATH": f"{scripts}:/usr/bin:/bin", "PYTHONSAFEPATH": "1"}
    # The Dagster code location requires these settings; importing it connects to nothing.
    required = {
        "REALTOR_RAW_DATABASE_URL": "postgresql://127.0.0.1:1/raw",
        "REALTOR_CLEAN_DATABASE_URL": "postgresql://127.0.0.1:1/clean",
        "REALTOR_STORAGE_URL": (user / "store").as_uri(),
    }

    def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=user, env=environment | variables, capture_output=True, text=True
        )

    failures = []
    imports = run(str(scripts / "python"), "-c", IMPORT, *promise.modules, **required)
    if imports.returncode != 0:
        failures.append(imports.stderr.strip()[-1000:])
    for line, status in promise.commands:
        name, *arguments = line.split()
        done = run(str(scripts / name), *arguments)
        if done.returncode != status or "Traceback" in done.stderr:
            failures.append(f"{line}: exit status {done.returncode}\n{done.stderr.strip()}")
        elif status == 1 and (done.stderr.count("\n") != 1 or "realtor[local]" not in done.stderr):
            failures.append(f"{line}: not one line that names the extra:\n{done.stderr.strip()}")
    return failures


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each extra. Returns 1 if something does not work."""
    parser = argparse.ArgumentParser(prog="python -m tests.extras_proof")
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="default: all")
    chosen = parser.parse_args(arguments).extras or list(PROMISES)
    failed = False
    with tempfile.TemporaryDirectory(prefix="realtor-extras-") as name:
        folder = Path(name)
        uv("build", "--quiet", "--wheel", "--out-dir", str(folder / "dist"))
        (wheel,) = (folder / "dist").glob("*.whl")
        constraints = folder / "constraints.txt"
        export = ("--locked", "--all-extras", "--no-emit-project", "--no-hashes")
        uv("export", "--quiet", *export, "--output-file", str(constraints))
        user = folder / "user"
        user.mkdir()
        for extra in chosen:
            began = time.monotonic()
            scripts = install(extra, wheel, constraints, folder / f"environment-{extra}")
            count = len(list(scripts.parent.glob("lib/python*/site-packages/*.dist-info")))
            failures = problems(PROMISES[extra], scripts, user)
            failed = failed or bool(failures)
            seconds = time.monotonic() - began
            print(f"{extra or 'no extra':<10}{count:4} packages {seconds:6.1f} s", flush=True)
            for problem in failures:
                print(f"  {problem}", flush=True)
            shutil.rmtree(scripts.parent)
    return int(failed)


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
