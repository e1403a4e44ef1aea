"""Reads landed payloads: the header, and the rows in pieces.

A payload is the upstream's JSON document or a CSV file with a header, zstd-compressed; its key ends
in `.json.zst` or `.csv.zst`. Its columns have the names of the market's columns, or one of their
other headers. Reading streams: memory holds one piece at a time.
"""

import csv
import io
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from operator import attrgetter
from typing import IO, Any

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import zstandard

from realtor_assets.resources import ObjectStore
from realtor_model.listing import (
    Column,
    Kind,
    ListingContract,
    Role,
    SchemaChanged,
    required_columns,
    unused_headers,
)

_log = logging.getLogger(__name__)

PIECE_BYTES = 4 * 2**20
# A larger number is not a batch number: missing batches below it are looked for one by one.
MAX_BATCHES = 100_000
# The rows of a document begin within this many bytes.
_HEAD_BYTES = 2**20
# How many candidates for the end of a row are tried: text inside a row may look like one.
_ENDS_TRIED = 50
# A document without the end of a row in this many pieces is refused.
_PIECES_WITHOUT_END = 3
_ROWS = re.compile(rb'"data"\s*:\s*\[')
_END_OF_ROW = re.compile(rb"\}\s*,")
_OPEN, _COMMA, _CLOSE = b"[,]"


class PayloadUnreadable(Exception):
    """A landed payload cannot be read; the text says why."""


@contextmanager
def blamed_on_payload(key: str) -> Iterator[None]:
    """Turns every failure of the block into `PayloadUnreadable`, but for those of the machine.

    For reading and checking alone. They depend on nothing but the payload's bytes, so what fails
    once fails for ever: the payload must be refused, or it would hold up all later ones. An OSError
    comes from the object store, and a MemoryError from the machine: the next try may succeed, and
    the payload must not be refused. What writes to a database is never inside such a block.
    """
    try:
        yield
    except (PayloadUnreadable, SchemaChanged, OSError, MemoryError):
        raise
    except Exception as problem:
        _log.warning("%s is refused", key, exc_info=True)
        raise PayloadUnreadable(
            f"{key} cannot be read: {type(problem).__name__}: {problem}"
        ) from problem


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a payload, as received.

    Attributes:
        first: position of the first row in the payload, from 0.
        rows: n rows with the payload's own columns and values.
        share: how much of the payload has been read, 0 to 1.
        unused: header that no column of the market takes -> in how many of these rows it has a
            value.
    """

    first: int
    rows: pd.DataFrame
    share: float
    unused: Mapping[str, int] = field(default_factory=dict)


def read_batch_number(store: ObjectStore, key: str) -> int:
    """The `batch_number` of a JSON payload.

    Raises:
        PayloadUnreadable: it is not JSON, or has no batch number from 0 to `MAX_BATCHES` - 1.
    """
    with _opened(store, key) as (document, _):
        reader = _Document(key, document)
        # The API writes the rows last. In a document with fields behind them, read those too.
        number = reader.header(b"[]}").get("batch_number")
        if number is None:
            for _ in reader.pieces():
                pass
            number = reader.header(reader.tail).get("batch_number")
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < MAX_BATCHES:
        raise PayloadUnreadable(f"{key} has no batch_number from 0 to {MAX_BATCHES - 1:,}")
    return number


def read_pieces(store: ObjectStore, key: str, contract: ListingContract) -> Iterator[Piece]:
    """The rows of a payload, in order.

    Args:
        contract: of the market that the rows belong to.

    Raises:
        PayloadUnreadable: it is cut off, is not JSON, or has no array `data`.
        SchemaChanged: a CSV lacks columns.
    """
    first = 0
    with _opened(store, key) as (document, file):
        size = max(store.size(key), 1)
        frames = _csv_frames if key.endswith(".csv.zst") else _json_frames
        for rows, unused in frames(key, document, contract):
            yield Piece(first, rows, min(file.tell() / size, 1.0), unused)
            first += len(rows)


@contextmanager
def _opened(store: ObjectStore, key: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    with store.open(key) as file, blamed_on_payload(key):
        try:
            yield zstandard.ZstdDecompressor().stream_reader(file, closefd=False), file
        except zstandard.ZstdError as problem:
            raise PayloadUnreadable(f"{key} is damaged: {problem}") from problem


# ---- JSON -----------------------------------------------------------------------------------


_Frames = Iterator[tuple[pd.DataFrame, Mapping[str, int]]]


def _json_frames(key: str, document: IO[bytes], contract: ListingContract) -> _Frames:
    for rows in _Document(key, document, contract).pieces():
        unused = unused_headers(rows.columns, contract)
        yield rows, {header: int(rows[header].notna().sum()) for header in unused}


class _Document:
    """A JSON object with an array `data`, read in pieces that end where a row ends.

    A piece is valid JSON by itself only when it ends between two rows, so no tokenizer of our own
    is needed to find that place: a cut inside a text or an object does not parse.

    contract: of the market that the rows belong to; None where they are read for their end only.
    """

    def __init__(
        self, key: str, document: IO[bytes], contract: ListingContract | None = None
    ) -> None:
        self._key = key
        self._document = document
        self._contract = contract
        head = document.read(_HEAD_BYTES)
        start = _ROWS.search(head)
        if start is None:
            self._parse(head, 0)
            raise PayloadUnreadable(f"{key} has no array `data`")
        # Ends before the "[" of the rows, so that "[]" and a tail complete a document without rows.
        self._head = head[: start.end() - 1]
        self._buffer = bytearray(head[start.end() - 1 :])
        self.tail = b""

    def header(self, tail: bytes) -> dict[str, Any]:
        """The document without its rows. Raises `PayloadUnreadable`."""
        header = self._parse(self._head + tail, 0)
        if not isinstance(header, dict):
            raise PayloadUnreadable(f"{self._key} is not a JSON object")
        return header

    def pieces(self) -> Iterator[pd.DataFrame]:
        """The rows. Afterwards `tail` is "[]" and the rest of the document behind the rows."""
        done = 0
        while block := self._document.read(PIECE_BYTES):
            self._buffer += block
            rows = self._whole_rows(done)
            if rows is not None:
                done += len(rows)
                yield rows
        rows = self._last_rows(done)
        if rows is not None:
            yield rows

    def _whole_rows(self, done: int) -> pd.DataFrame | None:
        """The rows up to the last comma between two: it closes this piece and opens the next."""
        comma = None
        for comma in self._commas():
            self._buffer[comma] = _CLOSE
            try:
                rows = self._rows(comma + 1)
            except msgspec.DecodeError:
                self._buffer[comma] = _COMMA
                continue
            self._buffer[comma] = _OPEN
            del self._buffer[:comma]
            return rows
        if comma is not None and len(self._buffer) > _PIECES_WITHOUT_END * PIECE_BYTES:
            self._parse(bytes(self._buffer[:comma]) + b"]", done)
        return None

    def _rows(self, end: int) -> pd.DataFrame:
        """The array that ends before `end`.

        Raises:
            msgspec.DecodeError: no array ends there.
            PayloadUnreadable: an element of the array is not an object.
        """
        array = memoryview(self._buffer)[:end]
        if self._contract is not None:
            rows = documented_rows(array, self._contract)
            if rows is not None:
                return rows
        records: list[Any] = msgspec.json.decode(array)
        if not all(type(record) is dict for record in records):
            raise PayloadUnreadable(f"{self._key}: a row of `data` is not an object")
        # The index counts rows that have no column, too.
        return pd.DataFrame.from_records(records, index=pd.RangeIndex(len(records)))

    def _commas(self) -> Iterator[int]:
        """Positions of commas behind a brace, the last first: a row may end there."""
        at = len(self._buffer)
        for _ in range(_ENDS_TRIED):
            at = self._buffer.rfind(b"}", 0, at)
            if at < 0:
                return
            if end := _END_OF_ROW.match(self._buffer, at):
                yield end.end() - 1

    def _last_rows(self, done: int) -> pd.DataFrame | None:
        end = len(self._buffer)
        for _ in range(_ENDS_TRIED):
            end = self._buffer.rfind(b"]", 0, end)
            if end < 0:
                break
            try:
                rows = self._rows(end + 1)
                msgspec.json.decode(self._head + b"[]" + self._buffer[end + 1 :])
            except msgspec.DecodeError:
                continue
            if done and not len(rows):
                break
            self.tail = b"[]" + bytes(self._buffer[end + 1 :])
            return rows if len(rows) else None
        raise PayloadUnreadable(
            f"{self._key} is not whole JSON: it breaks off, or breaks the format, after row "
            f"{done:,} ({len(self._buffer):,} bytes before its end)"
        )

    def _parse(self, text: bytes, done: int) -> Any:
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError as problem:
            raise PayloadUnreadable(
                f"{self._key} is not whole JSON: after row {done:,}: {problem}"
            ) from problem


def documented_rows(array: memoryview, contract: ListingContract) -> pd.DataFrame | None:
    """The rows as upstreams write them: the market's columns, each of its one type.

    None for anything else, which the general parser reads or refuses. This parser checks structure,
    names and types while it decodes, in two thirds of the general parser's time. Malformed input can
    end the process in the JSON reader of pyarrow 25, so that one gets nothing to read.
    """
    decoder, types = _documented(contract)
    try:
        rows = decoder.decode(array)
    except msgspec.DecodeError:
        return None
    columns = [
        pa.array(map(attrgetter(f"column_{position}"), rows), kind, size=len(rows))
        for position, kind in enumerate(types.values())
    ]
    table = pa.table(columns, names=list(types))
    frame: pd.DataFrame = table.to_pandas(types_mapper={pa.string(): pd.StringDtype("pyarrow")}.get)
    return frame


@cache
def _documented(
    contract: ListingContract,
) -> tuple[msgspec.json.Decoder[list[Any]], Mapping[str, pa.DataType]]:
    """A decoder of documented rows, and column -> its type."""
    types = {column.name: _json_type(column) for column in contract.columns}
    fields = [
        (
            f"column_{position}",
            _PYTHON_TYPES[types[column.name]] | None,
            msgspec.field(name=column.name)
            if column.in_every_batch
            else msgspec.field(name=column.name, default=None),
        )
        for position, column in enumerate(contract.columns)
    ]
    row = msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False, kw_only=True)
    return msgspec.json.Decoder(list[row]), types  # type: ignore[valid-type]


_PYTHON_TYPES: Mapping[pa.DataType, Any] = {pa.float64(): float, pa.string(): str, pa.bool_(): bool}


def _json_type(column: Column) -> pa.DataType:
    """The type that upstreams send. A zip code is a number there, without its leading zeros."""
    if column.range is not None or column.role is Role.ZIP_CODE:
        return pa.float64()
    return pa.bool_() if column.kind is Kind.BOOLEAN else pa.string()


# ---- CSV ------------------------------------------------------------------------------------


def _csv_frames(key: str, document: IO[bytes], contract: ListingContract) -> _Frames:
    buffered = io.BufferedReader(document, PIECE_BYTES)  # type: ignore[type-var]
    try:
        # As text: the contract reads the values, and a guess from the first rows may fail later.
        types = dict.fromkeys(_csv_headers(buffered.peek(1)), pa.string())
        reader = pyarrow.csv.open_csv(
            buffered,
            read_options=pyarrow.csv.ReadOptions(block_size=PIECE_BYTES, use_threads=False),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=types, strings_can_be_null=True
            ),
        )
        headers = reader.schema.names
        used = [headers.index(header) for header in required_columns(headers, contract)]
        unused = [index for index in range(len(headers)) if index not in used]
        for batch in reader:
            if batch.num_rows:
                yield (
                    batch.select(used).to_pandas(),
                    {headers[at]: batch.num_rows - batch.column(at).null_count for at in unused},
                )
    except (pa.ArrowInvalid, csv.Error) as problem:
        raise PayloadUnreadable(f"{key} is not a CSV with a header: {problem}") from problem


def _csv_headers(head: bytes) -> list[str]:
    """The headers of a CSV that begins with `head`."""
    lines = io.StringIO(head.decode("utf-8-sig", "replace"), newline="")
    return next(filter(None, csv.reader(lines)), [])
