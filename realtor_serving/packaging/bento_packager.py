"""Packages the service and a model as a bento, which needs no registry and no database."""

import argparse
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import httpx

from realtor_model.features import as_sold, columns_from_properties
from realtor_model.installation import ROOT
from realtor_model.libraries import pinned_requirements
from realtor_model.valuation.bundle import BrokenBundle, load_bundle
from realtor_serving.champion.packaged_bundle import PACKAGED_BUNDLE
from realtor_serving.champion.served_champion import example_home

PACKAGED_CODE = ("realtor_model", "realtor_serving")
# Folders that the service does not use.
UNPACKAGED = ("__pycache__", "packaging", "load_test")
SERVICE = "realtor_serving.service:ValuationService"
VERIFY_SECONDS = 120.0


class BrokenBento(Exception):
    """The bento does not start, or its price of a home differs from its bundle's."""


@dataclass(frozen=True)
class Bento:
    """A built bento: its tag, and its folder in BentoML's store."""

    tag: str
    path: str


def build_bento(
    bundle: Path,
    *,
    version: str,
    run_id: str = "",
    labels: Mapping[str, str] | None = None,
) -> Bento:
    """Package `bundle` and the service's code as a bento in BentoML's store.

    Args:
        bundle: folder of the model's bundle.
        version: its version in the registry.
        run_id: the MLflow run that trained it; "" if unknown.
        labels: further labels of the bento.

    Raises:
        BrokenBundle: the bundle cannot be loaded.
    """
    model = load_bundle(bundle)
    import bentoml

    with tempfile.TemporaryDirectory(prefix="bento-") as folder:
        context = Path(folder)
        for package in PACKAGED_CODE:
            shutil.copytree(
                ROOT / package, context / package, ignore=shutil.ignore_patterns(*UNPACKAGED)
            )
        shutil.copytree(bundle, context / PACKAGED_BUNDLE)
        (context / f"{PACKAGED_BUNDLE}.json").write_text(
            json.dumps({"version": version, "run_id": run_id})
        )
        with _uv_on_path():
            built = bentoml.bentos.build(
                SERVICE,
                build_ctx=str(context),
                labels={"model_version": version, "candidate": model.candidate, **(labels or {})},
                include=["**/*"],
                # No locking, which needs a package index. The repository's lock pins the versions.
                python={"packages": _requirements(), "lock_packages": False},
            )
    return Bento(str(built.tag), str(built.path))


@contextmanager
def _uv_on_path() -> Iterator[None]:
    """Put a stand-in program named `uv` on PATH if `uv` is not installed. It is never run.

    BentoML requires `uv`, and else installs it with pip, even if nothing is to be locked.
    """
    if shutil.which("uv"):
        yield
        return
    before = os.environ.get("PATH", os.defpath)
    with tempfile.TemporaryDirectory(prefix="uv-") as folder:
        stand_in = Path(folder) / "uv"
        stand_in.write_text("#!/bin/sh\necho 'uv is not installed' >&2\nexit 127\n")
        stand_in.chmod(0o755)
        os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
        try:
            yield
        finally:
            os.environ["PATH"] = before


def verify_bento(bento: Path) -> float:
    """Serve the bento once, with no registry and no cache, and value the market's example home.

    Args:
        bento: folder of the bento.

    Returns:
        The price of the home, dollars.

    Raises:
        BrokenBento: the service does not start, or its price differs from the bundle's.
    """
    model = load_bundle(bento / "src" / PACKAGED_BUNDLE)
    home = example_home(model.contract)
    expected = float(model.value(as_sold(columns_from_properties([home]))).price[0])
    with (
        tempfile.TemporaryDirectory(prefix="verify-bento-") as folder,
        _served(bento, folder) as url,
    ):
        answer = httpx.post(f"{url}/predict", content=home.model_dump_json(exclude_none=True))
    valuation: dict[str, Any] = answer.json()
    if not answer.is_success or not math.isclose(valuation["price"], expected, abs_tol=0.01):
        raise BrokenBento(f"{bento} answers {answer.text[:500]}; its bundle says {expected:.2f}")
    return float(valuation["price"])


@contextmanager
def _served(bento: Path, folder: str) -> Iterator[str]:
    """Serve the bento in a new process, with its files in `folder`, and yield its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = Path(folder) / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # a fixed command
            [
                sys.executable, "-m", "bentoml", "serve", str(bento),
                "--host", "127.0.0.1", "--port", str(port),
            ],
            cwd=folder,
            env=os.environ
            | {
                "REALTOR_HOME": folder,
                # A starting server deletes the metrics of a server with the same BENTOML_HOME.
                "BENTOML_HOME": folder,
                "REALTOR_CHAMPION_CACHE": "",
                "REALTOR_CHAMPION_BUNDLE": "",
                "REALTOR_INFERENCE_LOG_URL": "",
                "REALTOR_SERVICE_WORKERS": "1",
                "MLFLOW_TRACKING_URI": "",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + VERIFY_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise BrokenBento(f"{bento} does not serve:\n{log.read_text()[-4000:]}")
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/livez", timeout=5).is_success
    except httpx.TransportError:
        return False


def _requirements() -> list[str]:
    """The packages of the `serving` extra, at the versions installed here."""
    from packaging.requirements import Requirement

    requirements = map(Requirement, requires("realtor") or [])
    return pinned_requirements(
        requirement.name
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": "serving"})
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: print the bento's tag and path as JSON.

    Returns:
        The exit status: 0, or 1 if the bundle or the bento is broken.
    """
    parser = argparse.ArgumentParser(
        prog="python -m realtor_serving.packaging.bento_packager",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("bundle", type=Path, help="the model's bundle")
    parser.add_argument("--version", required=True, help="its version in the registry")
    parser.add_argument("--run-id", default="", help="the MLflow run that made it")
    parser.add_argument(
        "--verify", action="store_true", help="serve the bento once and compare its price"
    )
    chosen = parser.parse_args(arguments)
    try:
        bento = build_bento(chosen.bundle, version=chosen.version, run_id=chosen.run_id)
        if chosen.verify:
            verify_bento(Path(bento.path))
    except (BrokenBundle, BrokenBento) as problem:
        print(problem, file=sys.stderr)
        return 1
    print(json.dumps(asdict(bento)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
