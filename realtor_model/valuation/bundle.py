"""A trained valuation model on disk: encoder, estimator, intervals, profile and metadata.

A bundle is a folder. Its manifest lists the size and the sha256 of every other file. It contains no
pickle: reading a bundle never runs code from it.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pandas as pd
from packaging.version import InvalidVersion, Version

from realtor_model.candidates import CANDIDATES, candidate_named, load_estimator
from realtor_model.features import FEATURE_VERSION, EncoderTables, FeatureEncoder
from realtor_model.libraries import distribution_of, library_version
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.intervals import Ranges
from realtor_model.valuation.market_statistics import MarketStatistics
from realtor_model.valuation.valuation_model import ValuationModel

FORMAT = 2
MANIFEST = "manifest.json"

_TABLES = tuple(f"{name}.parquet" for name in EncoderTables._fields)
_PROFILE = "profile.json"
# Older bundles lack these files.
_SOLD_HOMES, _MARKET = "sold_homes.parquet", "market.parquet"
# Parquet and .npy files carry a format version: an older reader raises an error, so the versions of
# these libraries need no comparison.
_ANY_VERSION_READS = frozenset({"python", "numpy", "pandas", "pyarrow"})


class BrokenBundle(Exception):
    """A file of the bundle is missing, changed or unreadable."""


class UnreadableBundle(BrokenBundle):
    """The bundle is intact, but another version of this code or a newer library wrote it."""


def save_bundle(model: ValuationModel, path: Path) -> None:
    """Write the bundle into a scratch folder and rename that folder to `path`.

    A reader never sees a half-written bundle.

    Args:
        model: the model to write.
        path: folder of the bundle. Missing parents are created; an existing bundle is replaced.

    Raises:
        ValueError: the metadata or the profile is not strict JSON, for example contains NaN.
        OSError: the folder cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        folder = Path(scratch) / "new"
        folder.mkdir()
        _write(model, folder)
        if path.exists():
            path.rename(Path(scratch) / "old")
        folder.rename(path)


def load_bundle(path: Path, *, verify: bool = True) -> ValuationModel:
    """Read the bundle in the folder `path` into memory; its files are not needed afterwards.

    Args:
        path: the folder that `save_bundle` wrote.
        verify: compare the size and the sha256 of every file with the manifest first.

    Raises:
        UnreadableBundle: this version does not read the bundle's format, features or candidate, or
            a library is missing or older than the one that wrote the bundle. The text names the
            fix.
        BrokenBundle: a file is missing, changed or unreadable. The text names the file.
        OSError: the machine fails, for example runs out of file handles.
    """
    with _reading(path / MANIFEST):
        manifest = json.loads((path / MANIFEST).read_text())
        for key in ("format", "feature_version", "versions"):
            manifest[key]
        files, candidate, metadata = (manifest[key] for key in ("files", "candidate", "metadata"))
    require_readable(manifest, str(path))
    if verify:
        for name, entry in files.items():
            _verify(path / name, entry)
    with _reading(*(path / name for name in _TABLES)):
        tables = [pd.read_parquet(path / name) for name in _TABLES]
        encoder = FeatureEncoder.from_tables(*tables)
    with _reading(path / "estimator.json", path / "model.*"):
        estimator = load_estimator(path)
    with _reading(path / "spans.ubj", path / "calibration.json"):
        ranges = Ranges.load(path)
    with _reading(path / _PROFILE):
        profile = json.loads((path / _PROFILE).read_text())
    sold_homes = market = None
    if _SOLD_HOMES in files:
        with _reading(path / _SOLD_HOMES):
            sold_homes = SoldHomes.from_frame(pd.read_parquet(path / _SOLD_HOMES))
    if _MARKET in files:
        with _reading(path / _MARKET):
            market = MarketStatistics.from_frame(pd.read_parquet(path / _MARKET))
    return ValuationModel(
        candidate, encoder, estimator, ranges, profile, metadata, sold_homes, market
    )


def require_readable(manifest: Mapping[str, Any], name: str) -> None:
    """Check from its manifest that this code and its libraries can read a bundle.

    Args:
        manifest: the bundle's manifest; this reads its `format`, `feature_version`, `candidate` and
            `versions`.
        name: name of the bundle in the error's text.

    Raises:
        UnreadableBundle: for the same reasons as in `load_bundle`.
    """
    if manifest["format"] != FORMAT:
        raise UnreadableBundle(
            f"{name} has format {manifest['format']}; this version reads {FORMAT}"
        )
    if manifest["feature_version"] != FEATURE_VERSION:
        raise UnreadableBundle(
            f"{name} was made with features {manifest['feature_version']} and this version has "
            f"{FEATURE_VERSION}: train again, or serve it with the code that it came with"
        )
    if manifest["candidate"] not in CANDIDATES:
        raise UnreadableBundle(
            f"{name} is a model of {manifest['candidate']}, and this version has "
            f"{', '.join(CANDIDATES)}: train again, or serve it with the code that it came with"
        )
    if outdated := outdated_libraries(dict(manifest["versions"])):
        installed = ", ".join(
            f"{library} {have or 'is not'} installed, {need} needed"
            for library, (have, need) in outdated.items()
        )
        fix = " ".join(
            f"'{distribution_of(library)}>={need}'" for library, (_, need) in outdated.items()
        )
        raise UnreadableBundle(
            f"{name} was written by newer libraries, and older ones can read wrong values from it "
            f"without an error ({installed}): pip install {fix}"
        )


def outdated_libraries(written_by: Mapping[str, str]) -> dict[str, tuple[str | None, str]]:
    """Installed libraries that are too old to read a bundle: name -> (installed, needed version).

    The installed version must be at least the one that wrote the bundle, patch number included. No
    library promises that an older release reads the files of a newer one, and some fail silently:
    XGBoost 3.0 reads the trees of 3.1 and later without an error, but loses their base score and
    leaf vectors. Training and service install one lock file, so the versions are usually equal.

    Args:
        written_by: the manifest's `versions`: library -> version. The versions of python, numpy,
            pandas and pyarrow are not compared, because their file formats carry a version.

    Returns:
        The outdated libraries; the installed version is None where the library is missing.

    >>> outdated_libraries({"python": "99.0", "xgboost": "1.0.0"})
    {}
    >>> outdated_libraries({"a-library-of-tomorrow": "1.2.3"})
    {'a-library-of-tomorrow': (None, '1.2.3')}
    """
    outdated: dict[str, tuple[str | None, str]] = {}
    for name, needed in written_by.items():
        if name not in _ANY_VERSION_READS:
            installed = _installed_version(name)
            if installed is None or _is_older(installed, needed):
                outdated[name] = installed, needed
    return outdated


def _installed_version(name: str) -> str | None:
    try:
        return library_version(name)
    except PackageNotFoundError:
        return None


def _is_older(installed: str, needed: str) -> bool:
    """Whether `installed` is older than `needed`, ignoring local labels.

    >>> _is_older("3.0.5", "3.1.0"), _is_older("3.1.0+cpu", "3.1.0")
    (True, False)
    """
    try:
        return Version(Version(installed).public) < Version(Version(needed).public)
    except InvalidVersion:
        return installed != needed


def _write(model: ValuationModel, folder: Path) -> None:
    for name, table in zip(_TABLES, model.encoder.to_tables(), strict=True):
        table.to_parquet(folder / name, index=False, compression="zstd")
    model.estimator.save(folder)
    model.ranges.save(folder)
    _write_json(folder / _PROFILE, model.profile)
    if model.sold_homes is not None:
        frame = model.sold_homes.to_frame()
        frame.to_parquet(folder / _SOLD_HOMES, index=False, compression="zstd")
    if model.market is not None:
        model.market.table.to_parquet(folder / _MARKET, index=False, compression="zstd")
    manifest = {
        "format": FORMAT,
        "candidate": model.candidate,
        "feature_version": FEATURE_VERSION,
        "feature_names": model.encoder.feature_names,
        "metadata": model.metadata,
        "versions": {
            "python": sys.version.split()[0],
            **candidate_named(model.candidate).library_versions(),
        },
        "files": {
            file.name: {"sha256": _sha256(file), "bytes": file.stat().st_size}
            for file in sorted(folder.iterdir())
        },
    }
    _write_json(folder / MANIFEST, manifest)


@contextmanager
def _reading(*files: Path) -> Iterator[None]:
    """Raise an error of the block as `BrokenBundle` that names `files`."""
    try:
        yield
    except Exception as problem:
        # A missing file means a broken bundle; a lack of file handles or memory does not.
        machine = isinstance(problem, OSError | MemoryError)
        if machine and not isinstance(problem, FileNotFoundError | NotADirectoryError):
            raise
        names = " or ".join(map(str, files))
        raise BrokenBundle(f"{names} cannot be read: {problem!r}") from problem


def _verify(file: Path, entry: Mapping[str, Any]) -> None:
    if not file.is_file():
        raise BrokenBundle(f"{file} is missing")
    if file.stat().st_size != entry["bytes"] or _sha256(file) != entry["sha256"]:
        raise BrokenBundle(f"{file} is not the file that was saved: its sha256 differs")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, values: Any) -> None:
    # Strict JSON, which every reader accepts: a NaN in the metadata fails here.
    path.write_text(json.dumps(values, indent=1, allow_nan=False))
