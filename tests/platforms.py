"""Whether every locked package has a wheel for every platform that the README promises.

`python -m tests.platforms` prints, for each platform, how many packages it installs and those
without a wheel. Reads `uv.lock` alone: no network, and any machine can check for all platforms.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

from realtor_local.doctor import OLDEST_GLIBC, OLDEST_MACOS

LOCK = Path(__file__).parents[1] / "uv.lock"
PYTHONS = ((3, 12), (3, 13), (3, 14))
# (package, system, Python) → why it may be built from its source there.
BUILT_FROM_SOURCE: Mapping[tuple[str, str, tuple[int, int]], str] = {
    ("watchdog", "darwin", (3, 14)): "Dagster needs it; 6.0.0, the newest, has wheels up to 3.13. "
    "It compiles one C file, for which macOS has to have Xcode's command line tools.",
}


@dataclass(frozen=True)
class Platform:
    """A machine that the README promises, with one version of Python."""

    system: str
    machine: str
    python: tuple[int, int]
    version: tuple[int, int]
    """The oldest glibc, or the oldest macOS."""

    def __str__(self) -> str:
        libc = "glibc" if self.system == "linux" else "macOS"
        return (
            f"{self.system} {self.machine}, {libc} {'.'.join(map(str, self.version))},"
            f" Python {'.'.join(map(str, self.python))}"
        )

    @property
    def markers(self) -> dict[str, str]:
        """The environment in which PEP 508 markers are read."""
        version = ".".join(map(str, self.python))
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{version}.0",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux" if self.system == "linux" else "Darwin",
            "platform_version": "",
            "python_full_version": f"{version}.0",
            "python_version": version,
            "sys_platform": self.system,
        }

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """The tags of wheels that this machine installs."""
        platforms = list(self._platforms())
        interpreter = f"cp{self.python[0]}{self.python[1]}"
        return frozenset(
            {
                *cpython_tags(self.python, platforms=platforms),
                *compatible_tags(self.python, interpreter, platforms),
            }
        )

    def _platforms(self) -> Iterator[str]:
        if self.system == "darwin":
            yield from mac_platforms(self.version, self.machine)
            return
        legacy = {(2, 17): "manylinux2014", (2, 12): "manylinux2010", (2, 5): "manylinux1"}
        major, newest = self.version
        for minor in range(newest, 4, -1):
            yield f"manylinux_{major}_{minor}_{self.machine}"
            if alias := legacy.get((major, minor)):
                yield f"{alias}_{self.machine}"
        yield f"linux_{self.machine}"


PLATFORMS = tuple(
    Platform(system, machine, python, version)
    for system, machine, version in (
        ("linux", "x86_64", OLDEST_GLIBC),
        ("linux", "aarch64", OLDEST_GLIBC),
        ("darwin", "arm64", OLDEST_MACOS),
    )
    for python in PYTHONS
)


def read_lock(path: Path = LOCK) -> list[dict[str, Any]]:
    """The locked packages, as `uv.lock` describes them."""
    packages: list[dict[str, Any]] = tomllib.loads(path.read_text())["package"]
    return packages


def installed(
    packages: list[dict[str, Any]], platform: Platform, *, without: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """The packages that this platform installs for `realtor` with all its extras and groups.

    without: names of extras and groups to leave out.
    """
    by_name: dict[str, list[dict[str, Any]]] = {}
    for package in packages:
        by_name.setdefault(package["name"], []).append(package)
    locked: dict[tuple[str, str], dict[str, Any]] = {}
    (root,) = by_name["realtor"]
    seen: set[tuple[str, str, str]] = set()
    extras = {**root["optional-dependencies"], **root["dev-dependencies"]}
    queue = [(root, ""), *((root, extra) for extra in extras if extra not in without)]
    while queue:
        package, extra = queue.pop()
        key = (package["name"], package.get("version", ""), extra)
        if key in seen:
            continue
        seen.add(key)
        if package is not root:
            locked[key[:2]] = package
        if extra == "":
            needed = package.get("dependencies", [])
        elif package is root:
            needed = extras[extra]
        else:
            needed = package.get("optional-dependencies", {}).get(extra, [])
        for each in needed:
            if "marker" in each and not Marker(each["marker"]).evaluate(platform.markers):
                continue
            chosen = [
                candidate
                for candidate in by_name[each["name"]]
                if each.get("version", candidate.get("version")) == candidate.get("version")
            ]
            assert len(chosen) == 1, f"{package['name']} needs {each}: {len(chosen)} candidates"
            queue += [(chosen[0], part) for part in ("", *each.get("extra", []))]
    return [locked[key] for key in sorted(locked)]


def has_wheel(package: Mapping[str, Any], platform: Platform) -> bool:
    """Whether one of the package's locked wheels can be installed on `platform`."""
    return any(
        not parse_wheel_filename(unquote(wheel["url"].rpartition("/")[2]))[3].isdisjoint(
            platform.tags
        )
        for wheel in package.get("wheels", [])
    )


def without_wheel(packages: list[dict[str, Any]], platform: Platform) -> list[str]:
    """Names of packages that `platform` needs and that have no wheel for it."""
    return [
        package["name"]
        for package in installed(packages, platform)
        if not has_wheel(package, platform)
    ]


def explained(platform: Platform) -> list[str]:
    """Names of packages that have a reason in BUILT_FROM_SOURCE on `platform`, sorted."""
    return sorted(
        name
        for name, system, python in BUILT_FROM_SOURCE
        if (system, python) == (platform.system, platform.python)
    )


def main() -> int:
    """Print the table. Returns 1 if a package lacks a wheel without a reason, or has one again."""
    packages = read_lock()
    unexplained = False
    for platform in PLATFORMS:
        missing = without_wheel(packages, platform)
        unexplained |= missing != explained(platform)
        count = len(installed(packages, platform))
        print(f"{platform}: {count} packages, without a wheel: {', '.join(missing) or 'none'}")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
