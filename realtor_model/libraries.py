"""Libraries that PyPI has under several names: which one is installed, and which one to require.

XGBoost's build without GPU code is the distribution xgboost-cpu. On Linux it is the one to have: it
installs 18 MB instead of 228, and no NCCL (469 MB). Elsewhere the distribution xgboost has no GPU
code either. Both install the package xgboost and read each other's models, so what we store names
the library, xgboost, and not the distribution: a bundle of Linux is read on macOS.
"""

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from packaging.markers import Marker

# Library -> its distributions, each with the environment marker under which it is required.
_BUILDS = {
    "xgboost": {"xgboost-cpu": 'sys_platform == "linux"', "xgboost": 'sys_platform != "linux"'}
}
_LIBRARIES = {build: library for library, builds in _BUILDS.items() for build in builds}


def library_version(library: str) -> str:
    """The installed version of `library`, whichever of its distributions provides it.

    Raises:
        importlib.metadata.PackageNotFoundError: none of them is installed.
    """
    return version(distribution_of(library))


def distribution_of(library: str) -> str:
    """The installed distribution of `library`; the one that this platform requires if none is.

    >>> distribution_of("numpy")
    'numpy'
    """
    builds = _BUILDS.get(library, {library: ""})
    for build in builds:
        try:
            version(build)
        except PackageNotFoundError:
            continue
        return build
    return next(build for build, when in builds.items() if not when or Marker(when).evaluate())


def pinned_requirements(names: Iterable[str]) -> list[str]:
    """Requirements of the installed versions, sorted, one for each platform where names differ.

    Args:
        names: libraries or their distributions; both names of one library are one requirement.

    Raises:
        importlib.metadata.PackageNotFoundError: one of them is not installed.
    """
    requirements = []
    for library in {_LIBRARIES.get(name, name) for name in names}:
        pinned = library_version(library)
        if library in _BUILDS:
            requirements += [
                f"{build}=={pinned}; {when}" for build, when in _BUILDS[library].items()
            ]
        else:
            requirements.append(f"{library}=={pinned}")
    return sorted(requirements)
