"""The homes of a file sent to the service in chunks, in the market's own names and units."""

import io
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from realtor_model.listing import Column, Kind, ListingContract, Role, own_statuses
from realtor_ui.uploads.understanding import Understanding

CHUNK_ROWS = 5_000
ESTIMATES = (
    "estimated_price", "estimated_low", "estimated_high", "confidence", "warnings", "warning_codes",
    "error", "error_codes",
)  # fmt: skip


class Progress(NamedTuple):
    """Progress of the valuation of a file.

    Attributes:
        done: valid rows that are valued.
        estimates: of the newest chunk, with `ESTIMATES` as columns.
    """

    done: int
    estimates: pa.Table


def value_homes(
    understanding: Understanding, ask: Callable[[bytes], bytes], start: int = 0
) -> Iterator[Progress]:
    """Value the valid rows of a file from the one at `start` on, `CHUNK_ROWS` at a time.

    Args:
        understanding: the file.
        ask: sends an Arrow stream to the service and returns its response.
        start: number of valid rows that are valued already.
    """
    valid = understanding.valid
    for begin in range(start, len(valid), CHUNK_ROWS):
        rows = valid[begin : begin + CHUNK_ROWS]
        with pa.ipc.open_stream(ask(_stream(plain_homes(understanding, rows)))) as answer:
            estimates = answer.read_all().select(list(ESTIMATES))
        yield Progress(begin + len(rows), estimates)


def plain_homes(understanding: Understanding, rows: NDArray[np.intp]) -> pa.Table:
    """Some homes of a file as a table: a column for each input that the file has, by its name."""
    homes, contract = understanding.homes, understanding.reading.contract
    assert homes is not None
    columns = {
        name: _plain(contract.by_name[name], homes.columns[contract.by_name[name].key][rows],
                     contract)
        for name in understanding.inputs
    }  # fmt: skip
    return pa.table(columns)


def _plain(column: Column, values: NDArray[Any], contract: ListingContract) -> pa.Array:
    """Values (n,) of one column as the service takes them."""
    if column.role is Role.STATUS and (own := own_statuses(contract)):
        # The first of the market's statuses that means the same: all are valued as sold.
        named = {meant: choice for choice, meant in reversed(list(own.items()))}
        values = np.array([named[each] for each in values], object)
    if column.kind is Kind.DATE:
        return pa.array(values.astype("datetime64[D]"))
    if not contract.is_number(column.key):
        return pa.array(values, pa.string())
    numbers = pa.array(values, pa.float64(), from_pandas=True)
    if column.kind is Kind.NUMBER:
        return numbers
    return numbers.cast(pa.bool_() if column.kind is Kind.BOOLEAN else pa.int64())


def _stream(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema) as stream:
        stream.write_table(table)
    return buffer.getvalue()
