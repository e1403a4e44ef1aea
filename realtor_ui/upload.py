"""Files of homes: read within limits, matched to the model's inputs, valued in chunks."""

import difflib
import io
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from realtor_ui.sections.home_form import INPUTS

CHUNK_ROWS = 5_000
MAX_BYTES = 200 * 1024**2
MAX_UNPACKED = 1024**3
SUFFIXES = ("csv", "parquet", "xlsx")
PLACE, SIZE = ("state", "zip_code"), ("house_size", "acre_lot", "bed")
ESTIMATES = (
    "estimated_price", "estimated_low", "estimated_high", "confidence", "warnings", "warning_codes",
    "error", "error_codes",
)  # fmt: skip
# Column names that people use for each input, in both languages.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "state": ("state", "province", "estado", "st"),
    "city": ("city", "town", "municipality", "ciudad", "municipio"),
    "zip_code": ("zip_code", "zip", "zipcode", "postal_code", "postcode", "codigo_postal", "cp"),
    "house_size": ("house_size", "sqft", "living_area", "area", "square_feet", "size", "gla",
                   "superficie", "superficie_habitable", "area_construida", "pies_cuadrados",
                   "metros"),
    "acre_lot": ("acre_lot", "lot", "lot_size", "acres", "lot_acres", "land", "terreno", "lote",
                 "area_del_terreno"),
    "bed": ("bed", "beds", "bedrooms", "br", "dormitorios", "habitaciones", "recamaras"),
    "bath": ("bath", "baths", "bathrooms", "ba", "banos"),
    "status": ("status", "listing_status", "estado_del_anuncio"),
    "prev_sold_date": ("prev_sold_date", "last_sale", "sold_date", "last_sold", "sale_date",
                       "ultima_venta", "fecha_de_venta"),
    "brokered_by": ("brokered_by", "broker", "agency", "agent", "agencia", "inmobiliaria"),
    "street": ("street", "address", "street_id", "calle", "direccion"),
}  # fmt: skip
# Below this ratio of difflib a column name does not resemble an alias.
MIN_SIMILARITY = 0.84


class UnreadableFile(Exception):
    """A file that is not a table of homes. key: the text that says why, with `values`."""

    def __init__(self, key: str, **values: object) -> None:
        self.key = key
        self.values = values
        super().__init__(key)


def read_table(name: str, content: bytes) -> pd.DataFrame:
    """The table in a file. Columns of a CSV are text, so that zip codes keep their zeros.

    Args:
        name: its suffix says the format, one of `SUFFIXES`.

    Raises:
        UnreadableFile: the file is too large, or not of the format that its name says.
    """
    suffix = name.rpartition(".")[2].lower()
    if len(content) > MAX_BYTES:
        raise UnreadableFile("many.why_large", megabytes=MAX_BYTES // 1024**2)
    try:
        frame = _READERS[suffix](content)
    except UnreadableFile:
        raise
    # Each reader, and each library below it, raises errors of its own for a broken file.
    except Exception as problem:
        raise UnreadableFile("many.why_format", kind=suffix) from problem
    frame.columns = pd.Index([str(column) for column in frame.columns])
    return frame.loc[:, ~frame.columns.duplicated()]


def _csv(content: bytes) -> pd.DataFrame:
    text = content.decode("utf-8-sig")
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    return pd.read_csv(io.StringIO(text), sep=separator, dtype=str)


def _parquet(content: bytes) -> pd.DataFrame:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(io.BytesIO(content))
    size = sum(
        file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)
    )
    _bounded(size)
    frame: pd.DataFrame = file.read().to_pandas()
    return frame


def _excel(content: bytes) -> pd.DataFrame:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        _bounded(sum(each.file_size for each in archive.infolist()))
    return pd.read_excel(io.BytesIO(content), engine="calamine", dtype=object)


def _bounded(size: int) -> None:
    if size > MAX_UNPACKED:
        raise UnreadableFile("many.why_large", megabytes=MAX_UNPACKED // 1024**2)


_READERS: Mapping[str, Callable[[bytes], pd.DataFrame]] = {
    "csv": _csv, "parquet": _parquet, "xlsx": _excel,
}  # fmt: skip


def match_columns(columns: list[str]) -> dict[str, str | None]:
    """The column for each input, by name, or None; no column is used twice."""
    plain = {column: _plain(column) for column in columns}
    matched: dict[str, str | None] = dict.fromkeys(INPUTS)
    taken: set[str] = set()
    for least in (1.0, MIN_SIMILARITY):
        for name in INPUTS:
            if matched[name] is not None:
                continue
            scores = {
                column: max(
                    difflib.SequenceMatcher(None, text, alias).ratio() for alias in ALIASES[name]
                )
                for column, text in plain.items()
                if column not in taken
            }
            best = max(scores, key=scores.__getitem__, default=None)
            if best is not None and scores[best] >= least:
                matched[name] = best
                taken.add(best)
    return matched


def _plain(column: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_only.lower()).strip("_")


def missing_columns(matched: Mapping[str, str | None]) -> list[str]:
    """The keys of the texts about missing columns without which no home can be valued."""
    missing = []
    if not any(matched.get(name) for name in PLACE):
        missing.append("many.missing_place")
    if not any(matched.get(name) for name in SIZE):
        missing.append("many.missing_size")
    return missing


class Progress(NamedTuple):
    """Progress of the valuation of a file: rows done, and the estimates of the newest chunk."""

    done: int
    valued: pd.DataFrame


def value_rows(
    frame: pd.DataFrame,
    matched: Mapping[str, str | None],
    ask: Callable[[bytes], bytes],
    start: int = 0,
) -> Iterator[Progress]:
    """Value the rows of `frame` from row `start` on, `CHUNK_ROWS` at a time.

    Args:
        matched: input → column, from `match_columns`.
        ask: sends an Arrow stream to the service and returns its response.

    Yields the estimates of each chunk with `ESTIMATES` as columns and the index of `frame`.
    """
    chosen = {column: name for name, column in matched.items() if column}
    for begin in range(start, len(frame), CHUNK_ROWS):
        rows = frame.iloc[begin : begin + CHUNK_ROWS]
        sent = rows[list(chosen)].rename(columns=chosen)
        with pa.ipc.open_stream(ask(_stream(sent))) as answer:
            table = answer.read_all().to_pandas()
        estimates = table.reindex(columns=list(ESTIMATES)).set_axis(rows.index)
        yield Progress(begin + len(rows), estimates)


def _stream(rows: pd.DataFrame) -> bytes:
    """`rows` as an Arrow stream; columns of mixed types, as Excel has them, become text."""
    typed = rows.apply(
        lambda column: (
            column.where(column.isna(), column.astype(str)) if column.dtype == object else column
        )
    )
    table = pa.Table.from_pandas(typed, preserve_index=False)
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as stream:
        stream.write_table(table)
    return buffer.getvalue()


def to_file(frame: pd.DataFrame, kind: str) -> bytes:
    """The results as a file: "csv" or "parquet". No cell of a CSV starts a spreadsheet formula."""
    if kind == "parquet":
        mixed = [name for name in frame if frame[name].dtype == object]
        buffer = io.BytesIO()
        frame.astype(dict.fromkeys(mixed, "string")).to_parquet(buffer, index=False)
        return buffer.getvalue()
    safe = frame.copy()
    for name in safe:
        if not (is_numeric_dtype(safe[name]) or is_datetime64_any_dtype(safe[name])):
            texts = safe[name].astype(str)
            risky = texts.str.match(r"^[=+@\t\r]|^-(?![\d.])").fillna(False).astype(bool)
            safe[name] = safe[name].astype(object).where(~risky, "'" + texts)
    return safe.to_csv(index=False).encode()
