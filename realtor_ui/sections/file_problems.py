"""The rows of a file that cannot be valued or not as they stand, counted by reason."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import streamlit as st

from realtor_model.listing import FieldProblem
from realtor_model.messages import CodedMessage as ReaderMessage
from realtor_ui.formatting import escape_dollars
from realtor_ui.market_texts import MarketTexts
from realtor_ui.message_texts import message_text
from realtor_ui.responses import CodedMessage
from realtor_ui.uploads.opening import OpenedFile
from realtor_ui.uploads.result_file import to_file
from realtor_ui.uploads.understanding import Understanding
from realtor_ui.uploads.upload import Upload, row_labels

_ROWS_SHOWN = 12


class _Reason(NamedTuple):
    code: str
    input: str | None
    is_failure: bool


def show_problems(
    t: MarketTexts, upload: Upload, opened: OpenedFile, understanding: Understanding
) -> None:
    """Show the rows that cannot be valued, and those that lose some of their values."""
    homes = understanding.homes
    assert homes is not None
    noted = {row: notes for row, notes in homes.notes.items() if row not in understanding.problems}
    failing = len(understanding.problems)
    if not failing and not noted:
        st.success(t("many.all_readable"), icon=":material/check_circle:")
        return
    if failing:
        counted = t("many.failing", n=f"{failing:,}", rows=f"{len(opened):,}")
        st.warning(escape_dollars(counted), icon=":material/rule:")
    if noted:
        st.info(t("many.noted", n=f"{len(noted):,}"), icon=":material/info:")
    reasons = [*_failures(t, understanding.problems), *_notes(t, noted)]
    st.dataframe(_counted(t, upload, reasons), hide_index=True)
    if failing:
        st.download_button(
            t("many.download_failing"), lambda: _file(t, upload, opened, understanding),
            "rows_not_valued.csv", "text/csv", icon=":material/download:", on_click="ignore",
        )  # fmt: skip


def _failures(
    t: MarketTexts, problems: Mapping[int, tuple[FieldProblem, ...]]
) -> Iterator[tuple[int, _Reason, CodedMessage]]:
    for row, of_row in problems.items():
        for problem in of_row:
            yield row, _Reason(problem.code, _input(problem), True), problem_message(problem)


def _notes(
    t: MarketTexts, notes: Mapping[int, Sequence[ReaderMessage]]
) -> Iterator[tuple[int, _Reason, CodedMessage]]:
    for row, of_row in notes.items():
        for note in of_row:
            shown = CodedMessage(code=note.code, params=dict(note.params), message=note.text)
            yield row, _Reason(note.code, str(note.params.get("input") or "") or None, False), shown


def _input(problem: FieldProblem) -> str | None:
    return str(problem.loc[-1]) if problem.loc else None


def problem_message(problem: FieldProblem) -> CodedMessage:
    """A problem of the reader as a message with the field and its value."""
    params = {"value": problem.value, **problem.params}
    if problem.loc:
        params.setdefault("input", str(problem.loc[-1]))
    return CodedMessage(code=problem.code, params=params, message=problem.text)


def _counted(
    t: MarketTexts, upload: Upload, reasons: Sequence[tuple[int, _Reason, CodedMessage]]
) -> pd.DataFrame:
    """A row for each reason, the most frequent failure first."""
    rows: dict[_Reason, list[int]] = {}
    examples: dict[_Reason, CodedMessage] = {}
    for row, reason, message in reasons:
        rows.setdefault(reason, []).append(row)
        examples.setdefault(reason, message)
    ordered = sorted(rows, key=lambda reason: (not reason.is_failure, -len(rows[reason])))
    return pd.DataFrame(
        {
            t("many.effect"): [
                t("many.not_valued" if each.is_failure else "many.with_warning") for each in ordered
            ],
            t("many.problem"): [_kind(t, each) for each in ordered],
            t("many.rows"): [len(rows[each]) for each in ordered],
            _row_title(t, upload): [_listed(upload, sorted(rows[each])) for each in ordered],
            t("many.details"): [message_text(t, examples[each]) for each in ordered],
        }
    )


def _kind(t: MarketTexts, reason: _Reason) -> str:
    words = t.named("row_problem", reason.code)
    return f"{t.label(reason.input)}: {words}" if reason.input else words


def _row_title(t: MarketTexts, upload: Upload) -> str:
    return t("many.row") if upload.lines is None else t("many.line")


def _listed(upload: Upload, rows: Sequence[int]) -> str:
    labels = row_labels(upload.lines, rows[:_ROWS_SHOWN])
    return ", ".join(map(str, labels)) + (" …" if len(rows) > _ROWS_SHOWN else "")


def _file(
    t: MarketTexts, upload: Upload, opened: OpenedFile, understanding: Understanding
) -> bytes:
    """The rows that cannot be valued as a CSV: their lines, the reasons, their own columns."""
    rows = sorted(understanding.problems)
    reasons = [
        " ".join(message_text(t, problem_message(each)) for each in understanding.problems[row])
        for row in rows
    ]
    own = opened.table.take(pa.array(rows, pa.int64()))
    added = {_row_title(t, upload): row_labels(upload.lines, rows), t("many.problem"): reasons}
    names = [name if name not in own.column_names else f"{name} (2)" for name in added]
    table = pa.table(
        [*map(pa.array, added.values()), *own.columns], names=[*names, *own.column_names]
    )
    return to_file(table, "csv")
