"""Reads landed payloads: the header, and the rows in pieces.

A payload is the upstream's JSON document or a user's file, zstd-compressed; its key ends in
`.json.zst` or `.csv.zst`. Its columns have the names of the market's columns, or one of their other
headers. Reading streams: memory holds one piece at a time.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import IO, Any

import numpy as np
import pandas as pd
import zstandard

from realtor_assets.resources import ObjectStore
from realtor_assets.source.file_rows import file_rows
from realtor_assets.source.json_document import JsonDocument
from realtor_assets.source.payload_errors import PayloadUnreadable, blamed_on_payload
from realtor_model.json_values import json_value
from realtor_model.listing import ListingContract, Role, TableReading, matched_columns
from realtor_model.messages import message
from realtor_model.reading import ROW_CELLS
from realtor_model.reading.received_batch import SchemaChanged, check, unused_headers

# A larger number is not a batch number: missing batches below it are looked for one by one.
MAX_BATCHES = 100_000


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a payload, as received.

    Attributes:
        first: position of the first row in the payload, from 0.
        rows: n rows with the payload's own columns and values.
        share: how much of the payload has been read, 0 to 1; None where that is not known.
        unused: header that no column of the market takes -> in how many of these rows it has a
            value.
        misfits: position in `rows` of each row that has more or fewer cells than the header -> its
            number of cells.
        width: number of columns of the header of a file.
        reading: how the columns of a file are read, decided by all of its rows; None for JSON,
            whose pieces decide by themselves.
    """

    first: int
    rows: pd.DataFrame
    share: float | None
    unused: Mapping[str, int] = field(default_factory=dict)
    misfits: Mapping[int, int] = field(default_factory=dict)
    width: int = 0
    reading: TableReading | None = None


def read_batch_number(store: ObjectStore, key: str) -> int:
    """The `batch_number` of a JSON payload.

    Raises:
        PayloadUnreadable: it is not JSON, or has no batch number from 0 to `MAX_BATCHES` - 1.
    """
    with _opened(store, key) as (document, _):
        reader = JsonDocument(key, document)
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
        PayloadUnreadable: it cannot be read; for whatever reason that lies in its bytes.
        SchemaChanged: a file lacks columns, or the upstream has renamed one.
        OSError: the object store, or the disk for temporary files, fails.
    """
    with _opened(store, key) as (document, file):
        if key.endswith(".csv.zst"):
            yield from _file_pieces(document, contract)
        else:
            size = max(store.size(key), 1)
            for piece in _json_pieces(key, document, contract):
                yield replace(piece, share=min(file.tell() / size, 1.0))


def check_piece(piece: Piece, contract: ListingContract) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The valid and the invalid rows of a piece, as `realtor_model.listing.check` returns them.

    A row that does not fit the header is invalid, whatever its values: nobody knows under which
    header they belong.
    """
    if not piece.misfits:
        return check(piece.rows, contract, piece.reading)
    misfit = np.zeros(len(piece.rows), dtype=bool)
    misfit[list(piece.misfits)] = True
    valid, broken = check(piece.rows[~misfit], contract, piece.reading)
    broken = broken.assign(row=np.flatnonzero(~misfit)[broken["row"].to_numpy(np.int64)])
    rules = [
        message("row_does_not_fit", cells=cells, columns=piece.width)
        for cells in piece.misfits.values()
    ]
    records = piece.rows[misfit].to_dict("records")
    apart = pd.DataFrame(
        {
            "row": list(piece.misfits),
            "column_name": ROW_CELLS,
            "rule": [rule.text for rule in rules],
            "value": [str(cells) for cells in piece.misfits.values()],
            "record": [json.dumps(json_value(record)) for record in records],
            "code": [rule.code for rule in rules],
        }
    )
    return valid, pd.concat([broken, apart], ignore_index=True)


@contextmanager
def _opened(store: ObjectStore, key: str) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    with store.open(key) as file, blamed_on_payload(key):
        try:
            yield zstandard.ZstdDecompressor().stream_reader(file, closefd=False), file
        except zstandard.ZstdError as problem:
            raise PayloadUnreadable(f"{key} is damaged: {problem}") from problem


def _file_pieces(document: IO[bytes], contract: ListingContract) -> Iterator[Piece]:
    first = 0
    for part in file_rows(document, contract):
        yield Piece(first, part.rows, None, part.unused, part.misfits, part.width, part.reading)
        first += len(part.rows)


def _json_pieces(key: str, document: IO[bytes], contract: ListingContract) -> Iterator[Piece]:
    first = 0
    headers: pd.Index[Any] = pd.Index([])
    for rows in JsonDocument(key, document, contract).pieces():
        headers = headers if rows.columns.empty else rows.columns
        unused = unused_headers(headers, contract)
        _refuse_renamed(headers, unused, contract)
        # Empty objects have the columns of the rows before them.
        counts = {header: int(rows[header].notna().sum()) for header in unused if header in rows}
        yield Piece(first, rows.reindex(columns=headers), None, counts)
        first += len(rows)


def _refuse_renamed(headers: "pd.Index[Any]", unused: list[str], contract: ListingContract) -> None:
    """Raise `SchemaChanged` if an upstream's batch may have a built-in column under another name.

    An upstream sends the same columns each time. A batch that lacks one and has an unknown one is
    not learned from as if all homes had no value there.
    """
    present = {column.key for column in matched_columns(headers, contract).values()}
    lacking = [
        column.name
        for column in contract.columns
        if column.role is not Role.INPUT and column.key not in present
    ]
    if lacking and unused:
        raise SchemaChanged(lacking, unused)
