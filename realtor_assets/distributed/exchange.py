"""Encoder and model for all workers, through the object store, where new workers find them too.

Nothing is pickled: an encoder is its tables and its market's declaration, a model its bundle. A
killed run leaves files
under `exchange/`, where a lifecycle rule of the bucket may remove them after a day.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from realtor_assets.resources import ObjectStore
from realtor_model.features import EncoderTables, FeatureEncoder
from realtor_model.listing import contract_of
from realtor_model.valuation.bundle import load_bundle, save_bundle
from realtor_model.valuation.valuation_model import ValuationModel


@contextmanager
def exchange(store: ObjectStore) -> Iterator[str]:
    """A new folder of keys, which is deleted when the block ends."""
    # Never the same name twice: workers cache by it.
    folder = f"exchange/{uuid4().hex}"
    try:
        yield folder
    finally:
        for key in store.list_keys(folder):
            store.delete(key)


def put_encoder(store: ObjectStore, folder: str, encoder: FeatureEncoder) -> None:
    """Write `encoder` under the key `folder`."""
    for name, frame in encoder.to_tables().named().items():
        with store.create(f"{folder}/{name}.parquet") as file:
            pa.parquet.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)
    with store.create(_market(folder)) as file:
        file.write(json.dumps(encoder.contract.declaration).encode())


@lru_cache(maxsize=1)
def encoder_at(store_url: str, folder: str) -> FeatureEncoder:
    """The encoder that `put_encoder` wrote; read once by a process."""
    store = ObjectStore(url=store_url)
    tables: dict[str, pd.DataFrame] = {}
    for name in EncoderTables._fields:
        if store.exists(key := f"{folder}/{name}.parquet"):
            with store.open(key) as file:
                tables[name] = pa.parquet.read_table(file).to_pandas()
    with store.open(_market(folder)) as file:
        contract = contract_of(json.load(file), _market(folder))
    return FeatureEncoder.from_tables(**tables, contract=contract)


def _market(folder: str) -> str:
    return f"{folder}/listing_contract.json"


def put_model(store: ObjectStore, folder: str, model: ValuationModel) -> None:
    """Write the bundle of `model` under the key `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        bundle = Path(scratch) / "bundle"
        save_bundle(model, bundle)
        for path in bundle.iterdir():
            with store.create(f"{folder}/{path.name}") as file:
                file.write(path.read_bytes())


@lru_cache(maxsize=1)
def model_at(store_url: str, folder: str) -> ValuationModel:
    """The model that `put_model` wrote, every file compared with its sha256; read once."""
    store = ObjectStore(url=store_url)
    fs, path = fsspec.url_to_fs(store.url_of(folder))
    with tempfile.TemporaryDirectory() as scratch:
        fs.get(f"{path}/", f"{scratch}/bundle/", recursive=True)
        return load_bundle(Path(scratch) / "bundle")
