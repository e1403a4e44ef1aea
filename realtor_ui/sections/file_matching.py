"""How a file is read: what was detected, and which header is which input, to be corrected."""

import itertools
from collections.abc import Iterator

import pyarrow as pa
import streamlit as st

from realtor_model.listing import Column, Convention, Source
from realtor_ui import formatting
from realtor_ui.formatting import escape_dollars
from realtor_ui.market_texts import MarketTexts
from realtor_ui.message_texts import message_text
from realtor_ui.responses import CodedMessage
from realtor_ui.uploads.opening import OpenedFile
from realtor_ui.uploads.understanding import Sureness, Understanding
from realtor_ui.uploads.upload import Upload

_COLOURS: dict[Sureness, str] = {
    "name": "green", "header": "green", "resembles": "orange", "chosen": "blue",
}  # fmt: skip
# Notes that the matching itself shows.
_SHOWN_ELSEWHERE = ("resembling_header", "unused_columns")
# Stands for several headers that make up one input: full and half baths.
_AUTOMATIC = ""
_MOST_UNUSED = 30
_ROWS_SEARCHED = 1_000


def show_detected(t: MarketTexts, opened: OpenedFile, understanding: Understanding) -> None:
    """Show what was detected in the file and in its columns."""
    notes = [
        message_text(t, CodedMessage(code=note.code, params=dict(note.params), message=note.text))
        for note in (*opened.notes, *understanding.reading.notes)
        if note.code not in _SHOWN_ELSEWHERE
    ]
    if notes:
        st.markdown(escape_dollars("\n".join(f"- {note}" for note in notes)))


def show_matching(
    t: MarketTexts, upload: Upload, opened: OpenedFile, understanding: Understanding
) -> None:
    """Show each input with its header, and widgets to change it."""
    sources = understanding.reading.matching.sources
    names = [*t.info.inputs, understanding.price]
    st.caption(t("many.matched"))
    for name in names:
        if name in sources:
            _matched(t, upload, opened, understanding, name)
    unmatched = [name for name in names if name not in sources]
    if unmatched:
        with st.expander(t("many.unmatched", n=len(unmatched))):
            places = st.columns(3)
            for i, name in enumerate(unmatched):
                with places[i % 3]:
                    _header_box(t, upload, opened, name, None)
    unused = [f"`{header}`" for header in map(str, understanding.reading.matching.unused)]
    if unused:
        shown = ", ".join(unused[:_MOST_UNUSED]) + (" …" if len(unused) > _MOST_UNUSED else "")
        st.caption(f"**{t('many.unused', n=len(unused))}** {shown}")
    if upload.chosen:
        st.button(t("many.match_again"), on_click=upload.chosen.clear, icon=":material/undo:")


def _matched(
    t: MarketTexts, upload: Upload, opened: OpenedFile, understanding: Understanding, name: str
) -> None:
    sureness = understanding.sureness(name)
    with st.container(border=True):
        about, header, values = st.columns([3, 4, 5], vertical_alignment="center", gap="small")
        badge = f":{_COLOURS[sureness]}-badge[{t(f'many.sure_{sureness}')}]"
        about.markdown(f"**{t.label(name)}** {badge}")
        sources = understanding.reading.matching.sources[name]
        with header:
            _header_box(t, upload, opened, name, sources)
        values.markdown(escape_dollars(_as_read(t, opened, understanding, name)))


def _as_read(t: MarketTexts, opened: OpenedFile, understanding: Understanding, name: str) -> str:
    """The first values of an input as they were read, and how: units, decimal comma, dates."""
    column = next(each for each in understanding.reading.contract.columns if each.name == name)
    parts = [
        part
        for source, convention in understanding.reading.sources(name)
        for part in _how(t, column, source, convention)
    ]
    how = f"  \n:small[:gray[{', '.join(dict.fromkeys(parts))}]]" if parts else ""
    return " · ".join(_values(t, opened, understanding, name)) + how


def _values(
    t: MarketTexts, opened: OpenedFile, understanding: Understanding, name: str
) -> list[str]:
    if name == understanding.price:
        return [formatting.money(t, value) for value in understanding.first_values(name)]
    column = t.inputs[name]
    if column.is_id:
        # Words are read as numbers that mean nothing to a person.
        header = understanding.reading.matching.sources[name][0].headers[0]
        return _first_texts(opened.table.column(header))
    values = understanding.first_values(name)
    if column.type == "number":
        # A converted unit has more digits than anybody measured.
        values = [float(f"{value:.4g}") for value in values]
    return [formatting.input_value(t, name, value) for value in values]


def _first_texts(values: pa.ChunkedArray) -> list[str]:
    given = (str(value) for value in values.slice(0, _ROWS_SEARCHED).to_pylist() if value)
    return list(itertools.islice(given, 3))


def _how(t: MarketTexts, column: Column, source: Source, convention: Convention) -> Iterator[str]:
    if source.unit_header is not None:
        yield t("many.read_in_units_of", header=source.unit_header)
    elif column.is_area and column.range is not None:
        unit = convention.unit or column.range.unit
        yield t("many.read_in", unit=t.named("measure", unit))
    if convention.decimal == "," and column.range is not None and not column.is_whole:
        yield t("many.decimal_comma")
    for separator, order in convention.day_order:
        yield f"{separator} {t.named('day_order', order)}"


def _header_box(
    t: MarketTexts,
    upload: Upload,
    opened: OpenedFile,
    name: str,
    sources: tuple[Source, ...] | None,
) -> None:
    """The box with the headers of the file; its cross means that none is the input."""
    headers = opened.table.column_names
    several = _several(t, sources or ())
    current = None if not sources else _AUTOMATIC if several else str(sources[0].headers[0])
    key = f"match_{name}"
    # Widgets of a page that is not shown lose their values; the upload keeps them.
    st.session_state[key] = current

    def changed() -> None:
        header = st.session_state[key]
        if header == _AUTOMATIC:
            upload.chosen.pop(name, None)
        else:
            upload.choose_header(name, header)

    st.selectbox(
        t.label(name), [_AUTOMATIC, *headers] if several else headers, index=None, key=key,
        format_func=lambda header: several if header == _AUTOMATIC else header,
        placeholder=t("many.not_in_file"), on_change=changed,
        label_visibility="visible" if sources is None else "collapsed",
    )  # fmt: skip


def _several(t: MarketTexts, sources: tuple[Source, ...]) -> str:
    """The headers of an input that has several, or ""."""
    if len(sources) == 1 and len(sources[0].headers) == 1:
        return ""
    each = [" + ".join(map(str, source.headers)) for source in sources]
    return t("many.or_else").join(each)
