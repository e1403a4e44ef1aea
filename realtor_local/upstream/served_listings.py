"""The listings that are served: read from a CSV, cut into batches, written as JSON.

A CSV in the Kaggle format is served as the real API serves its data. The file of another market is
served whole: all rows, with those of its columns that the market declares, under its own headers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from realtor_local.errors import RealtorError
from realtor_local.synthetic_market import COLUMNS
from realtor_model.listing import Column, ListingContract, matched_columns

CHUNK_ROWS = 5_000
# Rows of a market's file in one batch: all but the largest files are one batch.
MARKET_BATCH_ROWS = 250_000
NULLS = ("", "NaN", "nan", "NA", "null")
TEXT_COLUMNS = ("status", "city", "state", "prev_sold_date")


class UpstreamDataError(RealtorError):
    """The listings cannot be served; the text names the file and what is wrong with it."""


def read_csv(path: Path) -> pd.DataFrame:
    """The 12 columns of a CSV in the Kaggle format, in file order; extra columns are left out.

    Numbers are float64, texts categorical. Raises UpstreamDataError for a file that cannot be
    read, a missing column, or a text where a number belongs.
    """
    check_csv(path)
    numbers = {name: pa.float64() for name in COLUMNS if name not in TEXT_COLUMNS}
    texts = {name: pa.dictionary(pa.int32(), pa.string()) for name in TEXT_COLUMNS}
    options = pyarrow.csv.ConvertOptions(
        include_columns=list(COLUMNS),
        column_types=numbers | texts,
        null_values=list(NULLS),
        strings_can_be_null=True,
    )
    try:
        table = pyarrow.csv.read_csv(path, convert_options=options)
    except pa.ArrowInvalid as error:
        raise UpstreamDataError(f"{path}: {error}") from error
    frame: pd.DataFrame = table.unify_dictionaries().to_pandas(self_destruct=True)
    return frame


def check_csv(path: Path) -> None:
    """Reads the header only. Raises UpstreamDataError when it is not the Kaggle file's."""
    header = _header(path)
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise UpstreamDataError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"its header has {', '.join(header) or 'nothing'}. It must hold the 12 columns "
            f"{','.join(COLUMNS)}"
        )


def read_market_csv(path: Path, contract: ListingContract) -> pd.DataFrame:
    """All rows of a market's CSV, in file order, with the columns that the market declares.

    They keep the file's own headers. A numeric column is float64 if all its values are numbers;
    all others are categorical texts, and whoever loads them judges their values.

    Raises UpstreamDataError for a file that cannot be read, or lacks a column of every batch.
    """
    columns = check_market_csv(path, contract)
    options = pyarrow.csv.ConvertOptions(
        include_columns=list(columns),
        column_types=dict.fromkeys(columns, pa.string()),
        null_values=list(NULLS),
        strings_can_be_null=True,
    )
    try:
        table = pyarrow.csv.read_csv(
            path,
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=options,
        )
    except pa.ArrowInvalid as error:
        raise UpstreamDataError(f"{path}: {error}") from error
    typed = pa.table({header: _typed(table[header], column) for header, column in columns.items()})
    frame: pd.DataFrame = typed.unify_dictionaries().to_pandas()
    return frame


def check_market_csv(path: Path, contract: ListingContract) -> dict[str, Column]:
    """Header -> column of the market, from the header of a CSV.

    Raises UpstreamDataError when columns of every batch, or the price, are missing.
    """
    header = _header(path)
    matched: dict[str, Column] = matched_columns(header, contract)
    columns = {name: matched[name] for name in header if name in matched}
    known = {column.name for column in columns.values()}
    missing = [
        column.name
        for column in contract.columns
        if (column.in_every_batch or column.required) and column.name not in known
    ]
    if missing:
        raise UpstreamDataError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)} of the market "
            f"{contract.name}; its header has {', '.join(header) or 'nothing'}. Leave them out of "
            "the market file, or name the file's header there"
        )
    return columns


def _header(path: Path) -> list[str]:
    try:
        return [str(name) for name in pd.read_csv(path, nrows=0).columns]
    except (OSError, ValueError) as error:
        raise UpstreamDataError(f"{path} cannot be read as a CSV: {error}") from error


def _typed(texts: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    if column.range is not None:
        try:
            return pc.cast(texts, pa.float64())
        except pa.ArrowInvalid:
            pass
    return texts.dictionary_encode()


def cut_market(listings: pd.DataFrame, rows: int = MARKET_BATCH_ROWS) -> tuple[pd.DataFrame, ...]:
    """A market's listings in batches of about equal size, of at most `rows` rows.

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
    """
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


def json_rows(batch: pd.DataFrame) -> Iterator[str]:
    """The batch as comma-separated JSON objects, a piece of `CHUNK_ROWS` rows at a time.

    Numbers are written as floats (6016.0), as the real API does.
    """
    for start in range(0, len(batch), CHUNK_ROWS):
        piece = batch.iloc[start : start + CHUNK_ROWS]
        text = piece.to_json(orient="records", double_precision=15, force_ascii=False)
        # pandas escapes slashes, which JSON allows and the real API does not do.
        yield ("," if start else "") + text[1:-1].replace("\\/", "/")
