"""A bento serves its model with no registry, and exactly as the bundle in it values."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from realtor_model.libraries import pinned_requirements
from realtor_serving.champion.model_registry import RegisteredVersion
from realtor_serving.champion.packaged_bundle import packaged_version
from realtor_serving.packaging.bento_packager import BrokenBento, verify_bento
from tests.serving.running import HOUSE, run_service


@pytest.mark.integration
def test_a_built_bento_serves_without_a_registry(tmp_path: Path, bundle: Path) -> None:
    environment = os.environ | {
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    built = subprocess.run(
        [
            sys.executable, "-m", "realtor_serving.packaging.bento_packager", str(bundle),
            "--version", "7", "--run-id", "abc", "--verify",
        ],
        env=environment,
        capture_output=True,
        text=True,
    )  # fmt: skip

    assert built.returncode == 0, built.stderr
    told = json.loads(built.stdout.splitlines()[-1])
    path = Path(told["path"])
    assert told["tag"].startswith("realtor:")
    assert packaged_version(path / "src" / "champion_bundle") == RegisteredVersion("7", "abc")
    packaged = {file.relative_to(path / "src").parts[:2] for file in (path / "src").rglob("*")}
    assert ("realtor_serving", "http") in packaged
    assert not packaged & {("realtor_serving", name) for name in ("packaging", "load_test")}
    assert "realtor_assets" not in {parts[0] for parts in packaged}
    required = (path / "env" / "python" / "requirements.txt").read_text().splitlines()
    assert f"bentoml=={version('bentoml')}" in required
    # BentoML quotes markers anew.
    builds = {str(Requirement(line)) for line in required if line.startswith("xgboost")}
    assert builds == {str(Requirement(line)) for line in pinned_requirements(["xgboost"])}
    with run_service(tmp_path / "service", source=str(path)) as service:
        answer = service.post("/predict", HOUSE).json()
        assert (answer["model"]["version"], answer["model"]["stage"]) == ("7", "Packaged")

    (path / "src" / "realtor_serving" / "service.py").write_text("raise SystemExit('broken')")
    with pytest.raises(BrokenBento, match="does not serve"):
        verify_bento(path)


def test_a_broken_bundle_is_not_packaged(tmp_path: Path) -> None:
    refused = subprocess.run(
        [
            sys.executable,
            "-m",
            "realtor_serving.packaging.bento_packager",
            str(tmp_path),
            "--version",
            "1",
        ],
        capture_output=True,
        text=True,
    )

    assert refused.returncode == 1
    assert "manifest.json" in refused.stderr
