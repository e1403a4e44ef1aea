"""The listings that are served: read from a CSV, cut into batches, written as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from realtor_local.errors import RealtorError
from realtor_local.synthetic_market import COLUMNS

CHUNK_ROWS = 5_000
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
        null_values=["", "NaN", "nan", "NA", "null"],
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
    try:
        header = pd.read_csv(path, nrows=0).columns
    except (OSError, ValueError) as error:
        raise UpstreamDataError(f"{path} cannot be read as a CSV: {error}") from error
    missing = [name for name in COLUMNS if name not in header]
    if missing:
        raise UpstreamDataError(
            f"{path} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; "
            f"its header has {', '.join(header) or 'nothing'}. It must hold the 12 columns "
            f"{','.join(COLUMNS)}"
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
