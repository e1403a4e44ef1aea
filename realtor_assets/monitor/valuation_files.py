"""Parquet files of valuations in the object store, for one machine and for cluster workers."""

from collections.abc import Iterable

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from realtor_assets.raw.raw_listings import Listings
from realtor_assets.resources import ObjectStore
from realtor_model.listing import Kind, ListingContract, Role, own_statuses
from realtor_model.valuation.table_estimates import CHUNK_ROWS, ESTIMATES, estimate
from realtor_model.valuation.valuation_model import ValuationModel

_PRICE = "estimated_price"


def write_valuations(
    model: ValuationModel, listings: Listings, store: ObjectStore, key: str
) -> pa.ChunkedArray:
    """Estimate sale prices for `listings` (n rows) and write them into the file `key`.

    The file has the columns row_hash, those of a listing in the model's market, by their names, and
    `ESTIMATES`.

    Returns:
        The estimated prices (n,), dollars, float64; null where there is no estimate.
    """
    listed = _listed(listings.frame, model.contract)
    schema = pa.schema([*listed.schema, *ESTIMATES])
    estimated: list[pa.Array] = []
    with (
        store.create(key) as file,
        pa.parquet.ParquetWriter(file, schema, compression="zstd") as parquet,
    ):
        for batch in listed.to_batches(max_chunksize=CHUNK_ROWS):
            estimates = estimate(model, batch)
            parquet.write_batch(
                pa.RecordBatch.from_arrays([*batch.columns, *estimates.columns], schema=schema)
            )
            estimated.append(estimates.column(_PRICE))
    return pa.chunked_array(estimated, pa.float64())


def _listed(frame: pd.DataFrame, contract: ListingContract) -> pa.Table:
    """RAW listings under the names and with the statuses that the market gives them."""
    # Fixed types: pandas would write whole numbers as integers only where none is missing.
    types: dict[str, pa.DataType] = {"row_hash": pa.string()}
    names: dict[str, str] = {}
    for column in contract.columns:
        if column.key not in frame:
            continue
        names[column.key] = column.name
        if column.kind is Kind.BOOLEAN:
            types[column.name] = pa.bool_()
        elif contract.is_number(column.key):
            types[column.name] = pa.float64()
        else:
            types[column.name] = pa.date32() if contract.is_date(column.key) else pa.string()
    renamed = frame[["row_hash", *names]].rename(columns=names)
    if statuses := own_statuses(contract):
        meant = {status: choice for choice, status in reversed([*statuses.items()])}
        name = contract.by_role[Role.STATUS].name
        renamed[name] = renamed[name].map(meant)
    return pa.Table.from_pandas(renamed, pa.schema(types), preserve_index=False)


def read_prices(store: ObjectStore, keys: Iterable[str]) -> pa.ChunkedArray:
    """The estimated prices in the files `keys`, dollars, float64, null where there is none."""
    parts = []
    for key in keys:
        with store.open(key) as file:
            parts.append(pa.parquet.read_table(file, columns=[_PRICE])[_PRICE])
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.float64())
