"""Working trees of this repository, this one and others, whose code runs in processes of its own.

Modules may lie elsewhere in another checkout: it is asked for what it names itself (the service's
class, its own benchmarks), not for modules of this one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks._servers import ROOT

SECONDS = 3_600.0
OURS = ("REALTOR_", "MLFLOW_", "BENTOML_", "DAGSTER_", "PROMETHEUS_")

_MAKE_BUNDLE = """
import sys
from pathlib import Path
from benchmarks.serving import splits_of, train
train(splits_of(int(sys.argv[2]), int(sys.argv[3])), Path(sys.argv[1]))
"""


def end_cleanly() -> None:
    """Make SIGTERM end this process by SystemExit, so that the servers it started end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


@dataclass(frozen=True)
class Checkout:
    """A working tree, and how to run its code.

    environment: variables on top of those of this process, which lose what is the project's own.
    interpreter: the Python that runs it; another one has other libraries.
    """

    root: Path = ROOT
    environment: Mapping[str, str] = field(default_factory=dict)
    interpreter: Path = Path(sys.executable)

    @property
    def commit(self) -> str:
        """The commit; with "+" where tracked files differ from it."""
        head = self._git("rev-parse", "--short", "HEAD")
        return head + "+" * bool(self._git("status", "--porcelain", "-uno"))

    @property
    def service(self) -> str:
        """The service as BentoML names it: module:class. Raises LookupError where there is none."""
        for path in sorted((self.root / "realtor_serving").rglob("*.py")):
            if "class ValuationService" in path.read_text():
                module = ".".join(path.relative_to(self.root).with_suffix("").parts)
                return f"{module}:ValuationService"
        raise LookupError(f"{self.root} has no class ValuationService in realtor_serving")

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which Python finds this checkout's code first."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        own = {
            "PYTHONPATH": str(self.root),
            # Without a tracking server nobody asks MLflow for anything.
            "MLFLOW_TRACKING_URI": "",
            # Threads that spin while they wait cost a busy machine more than half of a training.
            "OMP_WAIT_POLICY": "PASSIVE",
            "NO_PROXY": "*",
        }
        return clean | own | self.environment

    def python(self, *arguments: str, folder: Path, standard_input: str = "") -> str:
        """The output of `python arguments` in `folder`. Raises RuntimeError when it fails."""
        done = subprocess.run(
            # -P: a script's own folder is no place for modules.
            [str(self.interpreter), "-P", *arguments],
            cwd=folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            input=standard_input,
        )
        if done.returncode:
            said = (done.stdout + done.stderr)[-4000:]
            command = " ".join(arguments[:3])[:200]
            raise RuntimeError(f"{self.root}: {command} ended as {done.returncode}:\n{said}")
        return done.stdout

    def make_bundle(self, folder: Path, rows: int, seed: int) -> None:
        """The bundle that this checkout's own `benchmarks.serving` trains."""
        self.python("-c", _MAKE_BUNDLE, str(folder), str(rows), str(seed), folder=folder.parent)

    def _git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.root), *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()
