"""The form for a home: the inputs of the served model, within their ranges."""

import math
from collections.abc import Mapping
from datetime import date
from typing import Any

import streamlit as st

from realtor_ui import service_cache
from realtor_ui.client import NotThere
from realtor_ui.market_texts import MarketTexts
from realtor_ui.responses import Input, ModelInfo, Place, Value

FIRST_DATE, LAST_DATE = date(1900, 1, 1), date(2100, 12, 31)
LONGEST_TEXT = 100
# Added inputs that are always visible; further ones are under "More details".
MOST_VISIBLE = 12
# A browser's numbers are exact up to here.
_LARGEST_WHOLE = 2**53 - 1
_PLACES = ("state", "city", "zip_code")
_MORE = ("status", "sale_date", "broker", "id")
# Inputs that share a row, with their widths. Each other visible input takes half a row.
_ROWS = ((("state",), (1,)), (("city", "zip_code"), (3, 2)), (("latitude", "longitude"), (1, 1)))
# Sentences of our own about inputs that do not change the estimate.
_HELP = {"status": "form.status_help", "sale_date": "form.last_sale_help"}


def from_url(parameters: Mapping[str, str], info: ModelInfo) -> dict[str, Value]:
    """The home in the parameters of a shared address, without values that cannot be read."""
    home: dict[str, Value] = {}
    for name, column in info.inputs.items():
        entered = parameters.get(name, "").strip()
        value = _read(column, entered) if entered else None
        if value is not None:
            home[name] = value
    return home


def _read(column: Input, entered: str) -> Value:
    if column.type == "boolean":
        return {"true": True, "false": False}.get(entered.lower())
    if not column.is_number:
        return entered[:LONGEST_TEXT]
    try:
        number = float(entered)
    except ValueError:
        return None
    if not math.isfinite(number):
        return None
    return round(number) if column.type == "integer" else number


def to_url(home: Mapping[str, Value], info: ModelInfo) -> dict[str, str]:
    """The query parameters that describe a home."""
    given = {name: home[name] for name in info.inputs if home.get(name) is not None}
    return {name: _written(value) for name, value in given.items()}


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # The form has floats for bathrooms: 2.0 is 2.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def home_form(t: MarketTexts, prefix: str, start: Mapping[str, Value]) -> dict[str, Value]:
    """Show the widgets of one home, filled with `start`; returns what is entered now."""
    info = t.info
    for name, value in _possible(start, info).items():
        st.session_state.setdefault(f"{prefix}{name}", value)
    home: dict[str, Value] = {}

    def show(name: str) -> None:
        home[name] = input_widget(t, name, f"{prefix}{name}", home)

    rows, more = _layout(info)
    for names, widths in rows:
        if len(widths) == 1:
            show(names[0])
            continue
        # A label of two lines beside one of one line: the fields stay level.
        columns = st.columns(widths, vertical_alignment="bottom")
        for name, place in zip(names, columns, strict=False):
            with place:
                show(name)
    if more:
        with st.expander(t("form.more")):
            for name in more:
                show(name)
    return {name: home[name] for name in info.inputs if home[name] is not None}


def _layout(info: ModelInfo) -> tuple[list[tuple[list[str], list[int]]], list[str]]:
    """The rows of visible inputs with the widths of their places, and the inputs below them."""
    rows: list[tuple[list[str], list[int]]] = []
    placed: set[str] = set()
    for roles, widths in _ROWS:
        found = [(info.name_of(role), width) for role, width in zip(roles, widths, strict=True)]
        there = [(name, width) for name, width in found if name is not None]
        if there:
            rows.append(([name for name, _ in there], [width for _, width in there]))
            placed |= {name for name, _ in there}
    visible: list[str] = []
    more: list[str] = []
    added = 0
    for name, column in info.inputs.items():
        if name in placed:
            continue
        added += column.role == "input"
        hidden = column.role in _MORE or (column.role == "input" and added > MOST_VISIBLE)
        (more if hidden else visible).append(name)
    rows += [(visible[at : at + 2], [1, 1]) for at in range(0, len(visible), 2)]
    return rows, more


def input_widget(t: MarketTexts, name: str, key: str, home: Mapping[str, Value]) -> Value:
    """The widget of one input: its label, its valid values, its step. None if it is empty.

    Args:
        key: of its value in the session state.
        home: what is entered already; it narrows the places that are suggested.
    """
    column = t.inputs[name]
    if column.role in _PLACES and not column.choices:
        return _suggested(t, name, key, _known_places(t.info, column.role, home))
    if column.type == "boolean":
        return st.selectbox(
            t.label(name), [True, False], index=None, key=key, help=_help(t, name),
            format_func=lambda each: t("unit.yes" if each else "unit.no"),
            placeholder=t("form.unknown"),
        )  # fmt: skip
    if column.type == "date":
        last = date.today() if column.role == "sale_date" else LAST_DATE
        day = st.date_input(
            t.label(name), value=None, min_value=FIRST_DATE, max_value=last, key=key,
            help=_help(t, name),
        )  # fmt: skip
        return day.isoformat() if isinstance(day, date) else None
    if column.choices:
        return st.selectbox(
            t.label(name), column.choices, key=key, help=_help(t, name),
            index=None if column.default is None else column.choices.index(column.default),
            format_func=lambda each: t.choice(name, each), placeholder=t("form.optional"),
        )  # fmt: skip
    if column.is_number:
        return _number(t, name, key)
    text = st.text_input(
        t.label(name), value=None, max_chars=LONGEST_TEXT, key=key, help=_help(t, name),
        placeholder=t("form.optional"),
    )  # fmt: skip
    return (text or "").strip() or None


def _help(t: MarketTexts, name: str) -> str | None:
    """The sentence about an input: ours, or that of an input that the market adds."""
    role = t.inputs[name].role
    return t(_HELP[role]) if role in _HELP else t.help(name) if role == "input" else None


def _number(t: MarketTexts, name: str, key: str) -> int | float | None:
    """An optional number within the range that the service accepts."""
    column = t.inputs[name]
    assert column.low is not None
    assert column.high is not None
    options: dict[str, Any] = {
        "label": t.heading(name), "value": None, "key": key, "help": _help(t, name),
        "placeholder": t("form.optional"),
    }  # fmt: skip
    if column.type == "integer":
        whole: int | None = st.number_input(
            min_value=max(int(column.low), -_LARGEST_WHOLE),
            max_value=min(int(column.high), _LARGEST_WHOLE),
            step=max(1, round(column.step or 1)),
            **options,
        )
        return whole
    number: float | None = st.number_input(
        # As many digits as the number has: 2, 2.5 and 1.75 bathrooms.
        min_value=float(column.low), max_value=float(column.high), step=step_of(column),
        format="%.9g", **options,
    )  # fmt: skip
    return number


def step_of(column: Input) -> float:
    """By how much the form changes a number: as declared, or about a hundredth of its range."""
    if column.step is not None:
        return float(column.step)
    assert column.low is not None
    assert column.high is not None
    low, high = column.usual or (column.low, column.high)
    return float(10.0 ** math.floor(math.log10(high - low) - 2))


def decimals(column: Input) -> int:
    """The decimal places of the step of a number.

    >>> quarter = Input(type="number", role="input", key="floors", label={}, help={}, headers={},
    ...                 moves_estimate=True, low=1, high=5, step=0.25)
    >>> decimals(quarter)
    2
    """
    text = f"{step_of(column):.9f}".rstrip("0")
    return len(text.partition(".")[2])


def _possible(start: Mapping[str, Value], info: ModelInfo) -> dict[str, Any]:
    """`start` without values that a widget refuses; the service checks the others."""
    checked = (
        (name, _fitting(info.inputs[name], value))
        for name, value in start.items()
        if name in info.inputs
    )
    return {name: value for name, value in checked if value is not None}


def _fitting(column: Input, value: Value) -> Any:
    """`value` as the widget of `column` takes it, or None."""
    if column.type == "boolean":
        return value if isinstance(value, bool) else None
    if column.is_number:
        assert column.low is not None
        assert column.high is not None
        if not isinstance(value, int | float) or not column.low <= value <= column.high:
            return None
        return int(value) if column.type == "integer" else float(value)
    if column.type == "date":
        try:
            day = date.fromisoformat(str(value))
        except ValueError:
            return None
        last = date.today() if column.role == "sale_date" else LAST_DATE
        return day if FIRST_DATE <= day <= last else None
    return value if not column.choices or value in column.choices else None


def _known_places(info: ModelInfo, role: str, home: Mapping[str, Value]) -> list[str]:
    """The states, cities or zips that the model knows, within those that are entered."""
    state, city = (info.value_of(home, each) for each in ("state", "city"))
    if role != "state" and info.name_of("state") is not None and not state:
        return []
    if role == "city":
        city = None
    try:
        places = service_cache.places(info.version, state, city)
    except NotThere:
        # A model without market figures knows no names of places.
        return []
    known: Mapping[str, list[Place]] = {
        "state": places.states, "city": places.cities, "zip_code": places.zip_codes,
    }  # fmt: skip
    return sorted({each for place in known[role] if (each := getattr(place, role))})


def _suggested(t: MarketTexts, name: str, key: str, known: list[str]) -> str | None:
    """A text input that suggests the `known` values and takes any other."""
    entered = st.session_state.get(key)
    is_state = t.inputs[name].role == "state"
    options = known if entered is None or entered in known else [entered, *known]
    return st.selectbox(
        t.label(name), options, index=None, key=key, accept_new_options=True,
        placeholder=t("form.choose" if is_state else "form.optional"),
    )  # fmt: skip
