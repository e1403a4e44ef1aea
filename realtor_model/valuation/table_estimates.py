"""Values tables of homes: each row gets an estimate or an error."""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from realtor_model.features import as_sold, take
from realtor_model.listing import TableReading
from realtor_model.messages import CodedMessage
from realtor_model.reading.home_tables import read_homes
from realtor_model.valuation.valuation_model import ValuationModel

ESTIMATES = pa.schema(
    [
        ("estimated_price", pa.float64()),
        ("estimated_low", pa.float64()),
        ("estimated_high", pa.float64()),
        ("confidence", pa.string()),
        ("warnings", pa.string()),
        ("warning_codes", pa.string()),
        ("error", pa.string()),
        ("error_codes", pa.string()),
    ]
)
# Rows valued at a time: large chunks look up fewer place names repeatedly.
CHUNK_ROWS = 32_768
SEPARATOR = "; "


def estimate(
    model: ValuationModel, table: pa.Table | pa.RecordBatch, reading: TableReading | None = None
) -> pa.RecordBatch:
    """Value the n homes of a table as sold.

    Args:
        model: the model that values them.
        table: homes, as in `read_homes`.
        reading: how the table is read, if it is a part of a larger one.

    Returns:
        n rows with the columns `ESTIMATES`; prices in the market's currency, null in rows with an
        error. Warnings and errors of a row are joined by `SEPARATOR`, their codes in the same
        order. What was left out of a row, or read as unknown, is a warning, too.
    """
    homes = read_homes(table, model.contract, reading)
    n, rows = len(homes), homes.valid
    values = model.value(as_sold(take(homes.columns, rows)))
    missing = np.ones(n, bool)
    missing[rows] = False

    def spread(answers: NDArray[np.generic], kind: pa.DataType) -> pa.Array:
        whole = np.empty(n, answers.dtype)
        whole[rows] = answers
        return pa.array(whole, kind, mask=missing)

    warnings, warning_codes = np.full((2, n), None, object)
    for row, notes in homes.notes.items():
        warnings[row], warning_codes[row] = _joined(notes)
    for position, coded in values.warnings.items():
        row = rows[position]
        warnings[row], warning_codes[row] = _joined([*homes.notes.get(int(row), ()), *coded])
    errors, error_codes = np.full((2, n), None, object)
    for row, problems in homes.problems.items():
        errors[row] = SEPARATOR.join(problem.line for problem in problems)
        error_codes[row] = SEPARATOR.join(problem.code for problem in problems)
    dollars = [np.round(prices, 2) for prices in (values.price, values.low, values.high)]
    return pa.RecordBatch.from_arrays(
        [
            *(spread(prices, pa.float64()) for prices in dollars),
            spread(values.confidence, pa.string()),
            *(pa.array(texts, pa.string(), mask=missing) for texts in (warnings, warning_codes)),
            *(pa.array(texts, pa.string()) for texts in (errors, error_codes)),
        ],
        schema=ESTIMATES,
    )


def _joined(messages: Iterable[CodedMessage]) -> tuple[str, str]:
    """The texts and the codes of messages, each joined by `SEPARATOR`."""
    listed = list(messages)
    texts = SEPARATOR.join(each.text for each in listed)
    return texts, SEPARATOR.join(each.code for each in listed)
