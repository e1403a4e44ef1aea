"""A trained valuation model as one thing: encoder, estimator, interval, profile and its papers.

On disk a bundle is a folder whose manifest names every file with its sha256. Nothing in it is a
pickle: reading a bundle runs no code of the bundle's.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from realtor_model import estimators
from realtor_model.features import FEATURE_VERSION, EncoderTables, FeatureEncoder
from realtor_model.valuation.comparables import SoldHomes
from realtor_model.valuation.intervals import Ranges
from realtor_model.valuation.market_statistics import MarketStatistics
from realtor_model.valuation.valuation_model import ValuationModel

FORMAT = 2


MANIFEST = "manifest.json"


_TABLES = tuple(f"{name}.parquet" for name in EncoderTables._fields)


_PROFILE = "profile.json"


# Bundles that were made before these were go without.
_SOLD_HOMES, _MARKET = "sold_homes.parquet", "market.parquet"


_LIBRARIES = ("numpy", "pandas", "pyarrow", "scikit-learn", "skops", "xgboost")


class BrokenBundle(Exception):
    """A bundle is incomplete, changed, or of a kind that this version does not read."""


def save_bundle(model: ValuationModel, path: Path) -> None:
    """Write the bundle as the folder `path`, which appears whole or not at all.

    A bundle that was there is replaced.
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
    """Read the bundle in the folder `path`, wholly into memory.

    Args:
        path: the folder that `save_bundle` wrote.
        verify: compare every file with its sha256 first.

    Raises:
        BrokenBundle: a file is missing, changed or unreadable (the text names it), or the
            bundle's format or features are not this version's.
    """
    with _reading(path / MANIFEST):
        manifest = json.loads((path / MANIFEST).read_text())
        found_format, features = manifest["format"], manifest["feature_version"]
        files, candidate, metadata = (manifest[key] for key in ("files", "candidate", "metadata"))
    if found_format != FORMAT:
        raise BrokenBundle(f"{path} has format {found_format}; this version reads {FORMAT}")
    if features != FEATURE_VERSION:
        raise BrokenBundle(
            f"{path} was made with features {features} and this version has "
            f"{FEATURE_VERSION}: train again, or serve it with the code that it came with"
        )
    if verify:
        for name, told in files.items():
            _verify(path / name, told)
    with _reading(*(path / name for name in _TABLES)):
        tables = [pd.read_parquet(path / name) for name in _TABLES]
        encoder = FeatureEncoder.from_tables(*tables)
    with _reading(path / "estimator.json", path / "model.*"):
        estimator = estimators.load(path)
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
            **{name: version(name) for name in _LIBRARIES},
        },
        "files": {
            file.name: {"sha256": _sha256(file), "bytes": file.stat().st_size}
            for file in sorted(folder.iterdir())
        },
    }
    _write_json(folder / MANIFEST, manifest)


@contextmanager
def _reading(*files: Path) -> Iterator[None]:
    try:
        yield
    except Exception as problem:
        # A missing file is the bundle's fault; being out of handles or memory is not.
        machine = isinstance(problem, OSError | MemoryError)
        if machine and not isinstance(problem, FileNotFoundError | NotADirectoryError):
            raise
        names = " or ".join(map(str, files))
        raise BrokenBundle(f"{names} cannot be read: {problem!r}") from problem


def _verify(file: Path, told: dict[str, Any]) -> None:
    if not file.is_file():
        raise BrokenBundle(f"{file} is missing")
    if file.stat().st_size != told["bytes"] or _sha256(file) != told["sha256"]:
        raise BrokenBundle(f"{file} is not the file that was saved: its sha256 differs")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path: Path, values: Any) -> None:
    # Strict JSON, so that any reader takes it: a NaN in somebody's metadata stops here.
    path.write_text(json.dumps(values, indent=1, allow_nan=False))
