"""The upstream's JSON document: its header, and its rows in pieces."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from operator import attrgetter
from typing import IO, Any

import msgspec
import pandas as pd
import pyarrow as pa

from realtor_assets.source.payload_errors import PayloadUnreadable
from realtor_model.listing import Column, Kind, ListingContract, Role

PIECE_BYTES = 4 * 2**20
# The rows of a document begin within this many bytes.
_HEAD_BYTES = 2**20
# How many candidates for the end of a row are tried: text inside a row may look like one.
_ENDS_TRIED = 50
# A document without the end of a row in this many pieces is refused.
_PIECES_WITHOUT_END = 3
_ROWS = re.compile(rb'"data"\s*:\s*\[')
_END_OF_ROW = re.compile(rb"\}\s*,")
_OPEN, _COMMA, _CLOSE = b"[,]"


class JsonDocument:
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

    None for anything else, which the general parser reads or refuses. This parser checks
    structure, names and types while it decodes, in two thirds of the general parser's time.
    Malformed input can end the process in the JSON reader of pyarrow 25, so that one gets nothing
    to read.
    """
    decoder, types = _documented(contract)
    columns: dict[str, pa.Array] = {}
    try:
        rows = decoder.decode(array)
        for position, (name, kind) in enumerate(types.items()):
            values = list(map(attrgetter(f"column_{position}"), rows))
            if all(value is msgspec.UNSET for value in values):
                continue
            columns[name] = pa.array(values, kind)
    except (msgspec.DecodeError, pa.ArrowInvalid, pa.ArrowTypeError):
        # Also if only some of the rows have a column.
        return None
    table = pa.table(columns)
    if table.num_rows != len(rows):
        return None
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
            _PYTHON_TYPES[types[column.name]] | None | msgspec.UnsetType,
            msgspec.field(name=column.name, default=msgspec.UNSET),
        )
        for position, column in enumerate(contract.columns)
    ]
    row = msgspec.defstruct("Row", fields, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(list[row]), types  # type: ignore[valid-type]


_PYTHON_TYPES: Mapping[pa.DataType, Any] = {pa.float64(): float, pa.string(): str, pa.bool_(): bool}


def _json_type(column: Column) -> pa.DataType:
    """The type that upstreams send. A zip code is a number there, without its leading zeros."""
    if column.range is not None or column.role is Role.ZIP_CODE:
        return pa.float64()
    return pa.bool_() if column.kind is Kind.BOOLEAN else pa.string()
