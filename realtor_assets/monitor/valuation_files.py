"""Parquet files of valuations in the object store, for one machine and for cluster workers."""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.parquet

from realtor_assets.raw.raw_listings import Listings
from realtor_assets.resources import ObjectStore
from realtor_model.listing import COLUMNS, NUMBERS, TARGET
from realtor_model.valuation.home_tables import CHUNK_ROWS, ESTIMATES, estimate
from realtor_model.valuation.valuation_model import ValuationModel

_PRICE = "estimated_price"
# Fixed types: pandas would write whole numbers as integers only where none is missing.
_TYPES = dict.fromkeys((*NUMBERS, TARGET), pa.float64()) | {"prev_sold_date": pa.date32()}
_LISTED = pa.schema([(name, _TYPES.get(name, pa.string())) for name in ("row_hash", *COLUMNS)])


def write_valuations(
    model: ValuationModel, listings: Listings, store: ObjectStore, key: str
) -> pa.ChunkedArray:
    """Estimate sale prices for `listings` (n rows) and write them into the file `key`.

    The file has the columns row_hash, the 12 of a listing, and `ESTIMATES`.

    Returns:
        The estimated prices (n,), dollars, float64; null where there is no estimate.
    """
    listed = pa.Table.from_pandas(listings.frame, _LISTED, preserve_index=False)
    schema = pa.schema([*_LISTED, *ESTIMATES])
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


def read_prices(store: ObjectStore, keys: Iterable[str]) -> pa.ChunkedArray:
    """The estimated prices in the files `keys`, dollars, float64, null where there is none."""
    parts = []
    for key in keys:
        with store.open(key) as file:
            parts.append(pa.parquet.read_table(file, columns=[_PRICE])[_PRICE])
    return pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.float64())
