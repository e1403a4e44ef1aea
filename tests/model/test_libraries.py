"""XGBoost is one library, whichever of its two distributions is installed."""

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from realtor_model import libraries
from realtor_model.libraries import distribution_of, library_version, pinned_requirements

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["xgboost-cpu", "xgboost"])
def build(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The only build of XGBoost that is installed, at version 3.4.9."""

    def version(name: str) -> str:
        if name == request.param:
            return "3.4.9"
        if name.startswith("xgboost"):
            raise PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(libraries, "version", version)
    return str(request.param)


def test_version_is_that_of_the_installed_build(build: str) -> None:
    assert library_version("xgboost") == "3.4.9"
    assert distribution_of("xgboost") == build


@pytest.mark.parametrize("asked", [["xgboost"], ["xgboost-cpu"], ["xgboost", "xgboost-cpu"]])
def test_requirements_of_either_build_install_one_xgboost_on_each_platform(
    build: str, asked: list[str]
) -> None:
    requirements = [Requirement(line) for line in pinned_requirements([*asked, "numpy"])]

    for platform, wanted in [("linux", "xgboost-cpu"), ("darwin", "xgboost")]:
        there = {
            requirement.name: str(requirement.specifier)
            for requirement in requirements
            if requirement.marker is None or requirement.marker.evaluate({"sys_platform": platform})
        }
        assert there == {wanted: "==3.4.9", "numpy": f"=={installed('numpy')}"}


def test_build_of_this_platform_is_named_when_none_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def version(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(libraries, "version", version)

    assert distribution_of("xgboost") == ("xgboost-cpu" if sys.platform == "linux" else "xgboost")
    assert distribution_of("a-library-of-tomorrow") == "a-library-of-tomorrow"
    with pytest.raises(PackageNotFoundError, match="a-library-of-tomorrow"):
        pinned_requirements(["a-library-of-tomorrow"])


def test_builds_are_required_where_pyproject_requires_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = map(Requirement, project["optional-dependencies"]["model"])

    markers = {each.name: str(each.marker) for each in required if "xgboost" in each.name}

    pinned = map(Requirement, pinned_requirements(["xgboost"]))
    assert markers == {each.name: str(each.marker) for each in pinned}


def test_lock_has_one_version_of_xgboost_and_no_gpu_library() -> None:
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    versions = {each["name"]: each.get("version") for each in locked}

    assert versions["xgboost-cpu"] == versions["xgboost"]
    assert not [name for name in versions if re.match(r"nvidia-(nccl|cu)", name)]
    (cpu,) = [each for each in locked if each["name"] == "xgboost-cpu"]
    for machine in ("x86_64", "aarch64"):
        assert any(f"{machine}.whl" in wheel["url"] for wheel in cpu["wheels"]), machine
