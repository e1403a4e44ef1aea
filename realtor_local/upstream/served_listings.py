"""The listings that are served: read from a file, cut into batches, written as JSON.

A user's file is served whole: all rows, with those of its columns that the market declares, under
its own headers. The six batches of the real API are for the synthetic market.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from realtor_assets.source.file_rows import columns_to_learn_from, plain
from realtor_local.errors import RealtorError
from realtor_local.synthetic_market import COLUMNS
from realtor_model.listing import Column, ListingContract, Role
from realtor_model.reading import ROW_CELLS, TableFile, UnreadableFile, open_file

CHUNK_ROWS = 5_000
# Rows of a file in one batch: all but the largest files are one batch.
MARKET_BATCH_ROWS = 250_000
NULLS = ("", "NaN", "nan", "NA", "null")
TEXT_COLUMNS = ("status", "city", "state", "prev_sold_date")


class UpstreamDataError(RealtorError):
    """The listings cannot be served; the text names the file and what is wrong with it."""


@dataclass(frozen=True)
class ServedFile:
    """A user's file as it is served.

    Attributes:
        listings: all rows that fit the header, in file order, with the columns of the market under
            the file's own headers. A numeric column is float64 if all its values are numbers; all
            others are categorical texts, and whoever loads them judges their values.
        left_out: reason -> number of rows that are not served.
        unused: headers that no column of the market takes.
        notes: what was detected in the file, in words.
    """

    listings: pd.DataFrame
    left_out: Mapping[str, int] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_file(path: Path, contract: ListingContract) -> ServedFile:
    """All listings of a file.

    Raises:
        UpstreamDataError: it cannot be read, or lacks the price, a place or a size.
    """
    table, columns = check_file(path, contract)
    try:
        rows = pa.Table.from_batches(table.batches(), table.schema)
    except UnreadableFile as error:
        raise UpstreamDataError(f"{path}: {error}") from error
    left_out = {}
    if ROW_CELLS in rows.column_names:
        fits = pc.is_null(rows[ROW_CELLS])
        if misfits := len(rows) - (pc.sum(fits).as_py() or 0):
            left_out["rows with more or fewer cells than the header"] = misfits
        rows = rows.filter(fits)
    typed = pa.table({name: _typed(rows[name], column) for name, column in columns.items()})
    return ServedFile(
        typed.to_pandas(),
        left_out,
        tuple(name for name in table.names if name not in columns),
        tuple(note.text for note in table.detected),
    )


def check_file(path: Path, contract: ListingContract) -> tuple[TableFile, dict[str, Column]]:
    """The file, and header -> column of the market. Reads no rows.

    Raises:
        UpstreamDataError: it cannot be read, or lacks the price, a place or a size.
    """
    try:
        table = open_file(path, contract)
        return table, columns_to_learn_from(table, contract)
    except (OSError, UnreadableFile) as error:
        raise UpstreamDataError(f"{path}: {error}") from error


def _typed(column: pa.ChunkedArray, declared: Column) -> pa.Array:
    values = plain(column)
    if not pa.types.is_string(values.type):
        return values
    texts = pc.if_else(pc.is_in(values, pa.array(NULLS)), pa.scalar(None, pa.string()), values)
    if declared.range is not None or declared.role is Role.ZIP_CODE:
        try:
            return pc.cast(texts, pa.float64())
        except pa.ArrowInvalid:
            pass
    return texts.dictionary_encode()


def cut_market(listings: pd.DataFrame, rows: int = MARKET_BATCH_ROWS) -> tuple[pd.DataFrame, ...]:
    """A file's listings in batches of about equal size, of at most `rows` rows.

    Files are often sorted by place or day, and the first model learns from the first batch alone:
    so that it sees the whole market, each row is in a random batch, the same in each run. Within a
    batch, rows keep their order.
    """
    number = math.ceil(len(listings) / rows)
    if number <= 1:
        return (listings,)
    shuffled = np.random.default_rng(0).permutation(len(listings))
    return tuple(
        listings.iloc[np.sort(positions)] for positions in np.array_split(shuffled, number)
    )


def cut(listings: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """The six batches of the real API: complete rows only, file order kept.

    0, 1: for sale to 300,000, above and to 1,500 square feet; 2: sold to 300,000; 3:
    Massachusetts to 300,000 (and in none of the others below that); 4: to 500,000; 5: the rest.
    Complete rows of another status to 300,000 are in none of them.

    Raises:
        UpstreamDataError: the listings lack some of the 12 columns, or prices are not numbers.
    """
    lacking = [name for name in COLUMNS if name not in listings]
    texts = [name for name in ("price", "house_size") if not _is_number(listings, name)]
    if lacking or texts:
        raise UpstreamDataError(
            f"the six batches need the 12 columns {','.join(COLUMNS)}, with prices and sizes in "
            "digits"
        )
    complete = listings.dropna()
    complete = complete.assign(**{name: complete[name].astype("category") for name in TEXT_COLUMNS})
    price, status = complete["price"], complete["status"]
    low, massachusetts = price <= 300_000, complete["state"] == "Massachusetts"
    cheap = low & ~massachusetts
    large = complete["house_size"] > 1_500
    return (
        complete[cheap & (status == "for_sale") & large],
        complete[cheap & (status == "for_sale") & ~large],
        complete[cheap & (status == "sold")],
        complete[low & massachusetts],
        complete[~low & (price <= 500_000)],
        complete[price > 500_000],
    )


def _is_number(listings: pd.DataFrame, name: str) -> bool:
    return name in listings and pd.api.types.is_numeric_dtype(listings[name])


def json_rows(batch: pd.DataFrame) -> Iterator[str]:
    """The batch as comma-separated JSON objects, a piece of `CHUNK_ROWS` rows at a time.

    Numbers are written as floats (6016.0), as the real API does.
    """
    for start in range(0, len(batch), CHUNK_ROWS):
        piece = batch.iloc[start : start + CHUNK_ROWS]
        text = piece.to_json(orient="records", double_precision=15, force_ascii=False)
        # pandas escapes slashes, which JSON allows and the real API does not do.
        yield ("," if start else "") + text[1:-1].replace("\\/", "/")
