"""The rows of a file with their estimates, and the files that a user downloads."""

import io
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from realtor_model.messages import CodedMessage
from realtor_model.reading import FileKind, decoded, write_table
from realtor_ui.uploads.opening import OpenedFile
from realtor_ui.uploads.understanding import Understanding
from realtor_ui.uploads.valuing import ESTIMATES

PRICE, GAP, OUTSIDE = "price_in_file", "price_gap_percent", "price_outside_range"
SEPARATOR = "; "
_TYPES = {name: pa.float64() if name.startswith("estimated") else pa.string() for name in ESTIMATES}
# A text that a spreadsheet would take for a formula; -3 is a number.
_FORMULA = r"^(?:[=+@\t\r]|-(?:[^0-9.]|$))"


def estimates_table(understanding: Understanding, parts: Sequence[pa.Table]) -> pa.Table:
    """`ESTIMATES` of the n rows of a file, in its order; null in rows that are not valued yet.

    A row that cannot be valued has its problems as `error` and `error_codes`. What was left out of
    a row, or read as unknown, comes before the service's warnings. If the file has prices, three
    columns compare them with the estimates: `PRICE`, `GAP` in percent of the estimate, `OUTSIDE`
    the range.

    Args:
        understanding: the file.
        parts: the answers of the service for its valid rows, as far as they are valued.
    """
    homes = understanding.homes
    assert homes is not None
    answered = pa.concat_tables(parts).combine_chunks()
    rows = understanding.valid[: answered.num_rows]
    place = np.zeros(len(homes), np.int64)
    place[rows] = np.arange(len(rows))
    missing = np.ones(len(homes), bool)
    missing[rows] = False
    taken = answered.take(pa.array(place, mask=missing))
    columns = {name: taken.column(name).cast(_TYPES[name]) for name in ESTIMATES}
    columns |= _with_notes(understanding, columns, ~missing)
    columns |= _with_problems(understanding, columns)
    return pa.table({**columns, **_comparison(understanding, columns)})


def _with_notes(
    understanding: Understanding, columns: dict[str, pa.ChunkedArray], is_valued: NDArray[np.bool_]
) -> dict[str, pa.Array]:
    """The columns of warnings, preceded by the notes of the reader."""
    assert understanding.homes is not None
    noted = [row for row in understanding.homes.notes if is_valued[row]]
    if not noted:
        return {}
    changed = {}
    texts = {"warnings": _text, "warning_codes": _code}
    for name, words in texts.items():
        values = columns[name].to_pylist()
        for row in noted:
            notes = SEPARATOR.join(map(words, understanding.homes.notes[row]))
            values[row] = f"{notes}{SEPARATOR}{values[row]}" if values[row] else notes
        changed[name] = pa.array(values, pa.string())
    return changed


def _text(note: CodedMessage) -> str:
    return note.text


def _code(note: CodedMessage) -> str:
    return note.code


def _with_problems(
    understanding: Understanding, columns: dict[str, pa.ChunkedArray]
) -> dict[str, pa.Array]:
    """The columns of errors, with those of the rows that were not sent."""
    if not understanding.problems:
        return {}
    errors, codes = (columns[name].to_pylist() for name in ("error", "error_codes"))
    for row, problems in understanding.problems.items():
        errors[row] = SEPARATOR.join(problem.line.removeprefix(": ") for problem in problems)
        codes[row] = SEPARATOR.join(problem.code for problem in problems)
    return {"error": pa.array(errors, pa.string()), "error_codes": pa.array(codes, pa.string())}


def _comparison(
    understanding: Understanding, columns: dict[str, pa.ChunkedArray]
) -> dict[str, pa.Array]:
    if understanding.prices is None:
        return {}
    prices = pa.array(understanding.prices, from_pandas=True)
    gap = pc.multiply(pc.subtract(pc.divide(prices, columns["estimated_price"]), 1.0), 100.0)
    below = pc.less(prices, columns["estimated_low"])
    above = pc.greater(prices, columns["estimated_high"])
    return {PRICE: prices, GAP: pc.round(gap, 1), OUTSIDE: pc.or_(below, above)}


def result_table(opened: OpenedFile, estimates: pa.Table) -> pa.Table:
    """The columns of the file as they came, then the estimates: as many rows as the file has.

    An estimate's column whose name the file has already gets `_of_model` after its name.
    """
    names = [
        f"{name}_of_model" if name in opened.table.column_names else name
        for name in estimates.column_names
    ]
    columns = [*opened.table.columns, *estimates.columns]
    return pa.table(columns, names=[*opened.table.column_names, *names])


def to_file(table: pa.Table, kind: FileKind) -> bytes:
    """A table as a file. No cell of a CSV starts a spreadsheet formula."""
    buffer = io.BytesIO()
    if kind == "csv":
        table = without_formulas(table)
    write_table(table.to_batches(), table.schema, buffer, kind)
    return buffer.getvalue()


def without_formulas(table: pa.Table) -> pa.Table:
    """The same table with an apostrophe before texts and headers that start a formula.

    >>> without_formulas(pa.table({"note": ["=cmd()", "-3", None]})).to_pydict()
    {'note': ["'=cmd()", '-3', None]}
    """
    columns = list(_guarded(table.columns))
    names = _guarded([pa.chunked_array([pa.array(table.column_names, pa.string())])])
    return pa.table(columns, names=next(iter(names)).to_pylist())


def _guarded(columns: Iterable[pa.ChunkedArray]) -> Iterator[pa.ChunkedArray | pa.Array]:
    for column in columns:
        plain = decoded(column)
        if not (pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type)):
            yield column
            continue
        is_formula = pc.match_substring_regex(plain, _FORMULA)
        if pc.any(is_formula).as_py():
            apostrophe = pa.scalar("'", plain.type)
            guarded = pc.binary_join_element_wise(apostrophe, plain, pa.scalar("", plain.type))
            yield pc.if_else(is_formula, guarded, plain)
        else:
            yield plain
