"""The platforms that README.md promises: every locked package has a wheel there."""

from __future__ import annotations

import copy
import platform as this_machine
import re
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name

from realtor_local.doctor import OLDEST_GLIBC, OLDEST_MACOS
from tests.platforms import (
    BUILT_FROM_SOURCE,
    PLATFORMS,
    PYTHONS,
    Platform,
    explained,
    installed,
    read_lock,
    without_wheel,
)

ROOT = Path(__file__).parents[1]
PACKAGES = read_lock()


@pytest.mark.parametrize("platform", PLATFORMS, ids=str)
def test_every_locked_package_has_a_wheel_or_a_reason(platform: Platform) -> None:
    assert without_wheel(PACKAGES, platform) == explained(platform)


def test_the_reasons_are_for_platforms_that_we_promise() -> None:
    promised = {(platform.system, platform.python) for platform in PLATFORMS}
    assert {key[1:] for key in BUILT_FROM_SOURCE} <= promised


def test_a_package_whose_wheels_are_gone_is_found() -> None:
    packages = copy.deepcopy(PACKAGES)
    (numpy,) = [package for package in packages if package["name"] == "numpy"]
    numpy["wheels"] = [wheel for wheel in numpy["wheels"] if "aarch64" not in wheel["url"]]

    lacking = {
        (platform.system, platform.machine)
        for platform in PLATFORMS
        if "numpy" in without_wheel(packages, platform)
    }

    assert lacking == {("linux", "aarch64")}


@pytest.mark.skipif(
    sys.platform != "linux" or this_machine.libc_ver()[0] != "glibc", reason="tags of Linux"
)
def test_tags_are_those_of_this_machine() -> None:
    libc = this_machine.libc_ver()[1].split(".")
    here = Platform(
        "linux", this_machine.machine(), sys.version_info[:2], (int(libc[0]), int(libc[1]))
    )
    assert here.tags == frozenset(sys_tags())


def test_packages_are_those_of_this_environment() -> None:
    """`make test` installs all extras, and the docs site's group only if it was there before."""
    here = Platform(sys.platform, this_machine.machine(), sys.version_info[:2], (2, 28))
    listed = {package["name"] for package in installed(PACKAGES, here, without=frozenset({"docs"}))}
    present = {canonicalize_name(each.metadata["Name"]) for each in distributions()}
    assert {"numpy", "pytest"} <= listed
    assert sorted(listed - present) == []


def test_readme_promises_these_platforms() -> None:
    readme = re.sub(r"\s+", " ", (ROOT / "README.md").read_text())
    *others, newest = [f"3.{minor}" for _, minor in PYTHONS]
    assert f"Python {', '.join(others)} or {newest}" in readme
    assert f"Linux with glibc {'.'.join(map(str, OLDEST_GLIBC))} or newer" in readme
    assert f"macOS {OLDEST_MACOS[0]} or newer" in readme
