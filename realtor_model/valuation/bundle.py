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
from functools import lru_cache
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pandas as pd
from packaging.version import InvalidVersion, Version

import realtor_model
from realtor_model.candidates import CANDIDATES, candidate_named, load_estimator
from realtor_model.features import (
    FEATURE_VERSION,
    READABLE_FEATURE_VERSIONS,
    EncoderTables,
    FeatureEncoder,
)
from realtor_model.libraries import distribution_of, library_version
from realtor_model.listing import US_LISTINGS, ListingContract, contract_of
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.intervals import Ranges
from realtor_model.valuation.market_statistics import MarketStatistics
from realtor_model.valuation.valuation_model import ValuationModel

FORMAT = 2
MANIFEST = "manifest.json"

_TABLES = tuple(f"{name}.parquet" for name in EncoderTables._fields)
# Markets without coordinates have no such table.
_OPTIONAL_TABLES = tuple(f"{name}.parquet" for name in EncoderTables._field_defaults)
_PROFILE = "profile.json"
# Older bundles lack these files. One without a contract is of the built-in market.
_SOLD_HOMES, _MARKET = "sold_homes.parquet", "market.parquet"
_CONTRACT = "listing_contract.json"
# Parquet and .npy files carry a format version: an older reader raises an error, so the versions of
# these libraries need no comparison. shap explains, and writes nothing.
_ANY_VERSION_READS = frozenset({"python", "numpy", "pandas", "pyarrow", "shap"})


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
    contract = US_LISTINGS
    if _CONTRACT in files:
        with _reading(path / _CONTRACT):
            contract = _contract_in((path / _CONTRACT).read_text())
    with _reading(*(path / name for name in _TABLES)):
        tables = {
            Path(name).stem: pd.read_parquet(path / name)
            for name in _TABLES
            if name in files or name not in _OPTIONAL_TABLES
        }
        encoder = FeatureEncoder.from_tables(**tables, contract=contract)
    with _reading(path / "estimator.json", path / "model.*"):
        estimator = load_estimator(path)
    with _reading(path / "spans.ubj", path / "calibration.json"):
        ranges = Ranges.load(path)
    with _reading(path / _PROFILE):
        profile = json.loads((path / _PROFILE).read_text())
    sold_homes = market = None
    if _SOLD_HOMES in files:
        with _reading(path / _SOLD_HOMES):
            sold_homes = SoldHomes.from_frame(pd.read_parquet(path / _SOLD_HOMES), contract)
    if _MARKET in files:
        with _reading(path / _MARKET):
            market = MarketStatistics.from_frame(pd.read_parquet(path / _MARKET))
    return ValuationModel(
        candidate, encoder, estimator, ranges, profile, metadata, sold_homes, market
    )


def require_readable(manifest: Mapping[str, Any], name: str) -> None:
    """Check from its manifest that this code and its libraries can read a bundle.

    Args:
        manifest: the bundle's manifest; this reads its `format`, `feature_version`, `candidate`,
            `versions` and `read_by`.
        name: name of the bundle in the error's text.

    Raises:
        UnreadableBundle: for the same reasons as in `load_bundle`.
    """
    if manifest["format"] != FORMAT:
        raise UnreadableBundle(
            f"{name} has format {manifest['format']}; this version reads {FORMAT}"
        )
    if manifest["feature_version"] not in READABLE_FEATURE_VERSIONS:
        raise UnreadableBundle(
            f"{name} was made with features {manifest['feature_version']} and this version has "
            f"{FEATURE_VERSION}: train again, or serve it with the code that it came with"
        )
    if manifest["candidate"] not in CANDIDATES:
        raise UnreadableBundle(
            f"{name} is a model of {manifest['candidate']}, and this version has "
            f"{', '.join(CANDIDATES)}: train again, or serve it with the code that it came with"
        )
    # Older bundles have no `read_by`.
    needed = manifest.get("read_by") or _readers(manifest["versions"])
    if outdated := outdated_libraries(needed):
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


def outdated_libraries(needed: Mapping[str, str]) -> dict[str, tuple[str | None, str]]:
    """Installed libraries that are too old to read a bundle: name -> (installed, needed version).

    The installed version must be at least the one that wrote the bundle, patch number included. No
    library promises that an older release reads the files of a newer one, and some fail silently:
    XGBoost 3.0 reads the trees of 3.1 and later without an error, but loses their base score and
    leaf vectors. Training and service install one lock file, so the versions are usually equal.

    Args:
        needed: the manifest's `read_by`: library -> the lowest version that reads it.

    Returns:
        The outdated libraries; the installed version is None where the library is missing.

    >>> outdated_libraries({"xgboost": "1.0.0"})
    {}
    >>> outdated_libraries({"a-library-of-tomorrow": "1.2.3"})
    {'a-library-of-tomorrow': (None, '1.2.3')}
    """
    installed = {name: _installed_version(name) for name in needed}
    return {
        name: (installed[name], lowest)
        for name, lowest in needed.items()
        if (have := installed[name]) is None or _is_older(have, lowest)
    }


def _readers(versions: Mapping[str, str]) -> dict[str, str]:
    """The libraries that read a bundle of the writer's `versions`, with the lowest version each."""
    return {name: lowest for name, lowest in versions.items() if name not in _ANY_VERSION_READS}


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
    for name, table in model.encoder.to_tables().named().items():
        table.to_parquet(folder / f"{name}.parquet", index=False, compression="zstd")
    _write_json(folder / _CONTRACT, model.contract.declaration)
    model.estimator.save(folder)
    model.ranges.save(folder)
    _write_json(folder / _PROFILE, model.profile)
    if model.sold_homes is not None:
        frame = model.sold_homes.to_frame()
        frame.to_parquet(folder / _SOLD_HOMES, index=False, compression="zstd")
    if model.market is not None:
        model.market.table.to_parquet(folder / _MARKET, index=False, compression="zstd")
    versions = candidate_named(model.candidate).library_versions()
    manifest = {
        "format": FORMAT,
        "candidate": model.candidate,
        "feature_version": FEATURE_VERSION,
        "feature_names": model.encoder.feature_names,
        "metadata": model.metadata,
        # What wrote the bundle, and the lowest versions that read it.
        "realtor": realtor_model.__version__,
        "versions": {"python": sys.version.split()[0], **versions},
        "read_by": _readers(versions),
        "files": {
            file.name: {"sha256": _sha256(file), "bytes": file.stat().st_size}
            for file in sorted(folder.iterdir())
        },
    }
    _write_json(folder / MANIFEST, manifest)


@lru_cache(maxsize=8)
def _contract_in(declaration: str) -> ListingContract:
    """The contract of a declaration in JSON; one object for each, since much is cached by it."""
    if json.loads(declaration) == US_LISTINGS.declaration:
        return US_LISTINGS
    return contract_of(json.loads(declaration), _CONTRACT)


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
