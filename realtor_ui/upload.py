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

from realtor_ui.responses import Input, ModelInfo

CHUNK_ROWS = 5_000
MAX_BYTES = 200 * 1024**2
MAX_UNPACKED = 1024**3
SUFFIXES = ("csv", "parquet", "xlsx")
ESTIMATES = (
    "estimated_price", "estimated_low", "estimated_high", "confidence", "warnings", "warning_codes",
    "error", "error_codes",
)  # fmt: skip
# Below this ratio of difflib a column name does not resemble a header.
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


def match_columns(columns: list[str], inputs: Mapping[str, Input]) -> dict[str, str | None]:
    """The column for each input, or None; no column is used twice.

    A column that is called like an input, or like one of its headers, comes before one that only
    resembles them.
    """
    plain = {column: _plain(column) for column in columns}
    matched: dict[str, str | None] = dict.fromkeys(inputs)
    taken: set[str] = set()
    for least in (1.0, MIN_SIMILARITY):
        for name, described in inputs.items():
            if matched[name] is not None:
                continue
            scores = {
                column: _nearest_header(text, name, described)[1]
                for column, text in plain.items()
                if column not in taken
            }
            best = max(scores, key=scores.__getitem__, default=None)
            if best is not None and scores[best] >= least:
                matched[name] = best
                taken.add(best)
    return matched


def _nearest_header(text: str, name: str, described: Input) -> tuple[str, float]:
    """The name or header of an input that resembles `text` most, and how much: 0 to 1."""
    headers = dict.fromkeys([name, *described.headers])
    ratios = {
        header: difflib.SequenceMatcher(None, text, _plain(header)).ratio() for header in headers
    }
    best = max(ratios, key=ratios.__getitem__)
    return best, ratios[best]


def factor(column: str, name: str, described: Input) -> float:
    """What the values of a file's column are multiplied by, to have the unit of an input.

    >>> lot = Input(type="number", role="lot_size", key="acre_lot", label={}, help={}, low=0,
    ...             high=1e7, headers={"lot_acres": 43_560.0}, moves_estimate=True)
    >>> factor("Lot Acres", "sqft_lot", lot), factor("sqft_lot", "sqft_lot", lot)
    (43560.0, 1.0)
    """
    header, ratio = _nearest_header(_plain(column), name, described)
    return described.headers.get(header, 1.0) if ratio >= MIN_SIMILARITY else 1.0


def _plain(column: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", column).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", ascii_only.lower()).strip("_")


def missing_columns(matched: Mapping[str, str | None], info: ModelInfo) -> list[str]:
    """The keys of the texts about missing columns without which no home can be valued."""
    missing = []
    if not any(all(matched.get(name) for name in names) for names in info.market.places):
        missing.append("many.missing_place")
    if info.market.sizes and not any(matched.get(name) for name in info.market.sizes):
        missing.append("many.missing_size")
    return missing


def example_file(info: ModelInfo) -> str:
    """A CSV of one ordinary home, for a person to fill in."""
    home = {
        name: str(each.example).lower() if isinstance(each.example, bool) else each.example
        for name, each in info.inputs.items()
        if each.example is not None
    }
    return pd.DataFrame([home]).to_csv(index=False)


class Progress(NamedTuple):
    """Progress of the valuation of a file: rows done, and the estimates of the newest chunk."""

    done: int
    valued: pd.DataFrame


def value_rows(
    frame: pd.DataFrame,
    matched: Mapping[str, str | None],
    inputs: Mapping[str, Input],
    ask: Callable[[bytes], bytes],
    start: int = 0,
) -> Iterator[Progress]:
    """Value the rows of `frame` from row `start` on, `CHUNK_ROWS` at a time.

    Args:
        matched: input → column, from `match_columns`.
        inputs: of the model.
        ask: sends an Arrow stream to the service and returns its response.

    Yields the estimates of each chunk with `ESTIMATES` as columns and the index of `frame`.
    """
    chosen = {column: name for name, column in matched.items() if column}
    for begin in range(start, len(frame), CHUNK_ROWS):
        rows = frame.iloc[begin : begin + CHUNK_ROWS]
        sent = _in_units(rows[list(chosen)], chosen, inputs).rename(columns=chosen)
        with pa.ipc.open_stream(ask(_stream(sent))) as answer:
            table = answer.read_all().to_pandas()
        estimates = table.reindex(columns=list(ESTIMATES)).set_axis(rows.index)
        yield Progress(begin + len(rows), estimates)


def _in_units(
    rows: pd.DataFrame, chosen: Mapping[str, str], inputs: Mapping[str, Input]
) -> pd.DataFrame:
    """`rows` with numbers in the units of the inputs; what is no number stays as it is."""
    factors = {column: factor(column, name, inputs[name]) for column, name in chosen.items()}
    rows = rows.copy()
    for column, times in factors.items():
        if times == 1.0:
            continue
        numbers = pd.to_numeric(rows[column], errors="coerce") * times
        if inputs[chosen[column]].type == "integer":
            numbers = numbers.round()
        rows[column] = rows[column].astype(object).where(numbers.isna(), numbers)
    return rows


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
