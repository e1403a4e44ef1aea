"""The form for a home: inputs within their ranges, with suggestions for places."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import streamlit as st

from realtor_ui import formatting, service_cache
from realtor_ui.responses import ModelInfo
from realtor_ui.texts import Texts

INPUTS = (
    "state", "city", "zip_code", "house_size", "acre_lot", "bed", "bath", "status",
    "prev_sold_date", "brokered_by", "street",
)  # fmt: skip
TEXTS = ("state", "city", "zip_code", "status", "prev_sold_date")
FIRST_SALE = date(1900, 1, 1)


def from_url(parameters: Mapping[str, str]) -> dict[str, Any]:
    """The home in the parameters of a shared address, without values that cannot be read."""
    home: dict[str, Any] = {}
    for name in INPUTS:
        entered = parameters.get(name, "").strip()
        if not entered:
            continue
        if name in TEXTS:
            home[name] = entered[:100]
            continue
        try:
            number = float(entered)
        except ValueError:
            continue
        home[name] = number if name == "acre_lot" else round(number)
    return home


def to_url(home: Mapping[str, Any]) -> dict[str, str]:
    """The query parameters that describe a home."""
    return {name: str(home[name]) for name in INPUTS if home.get(name) is not None}


def home_form(t: Texts, info: ModelInfo, prefix: str, start: Mapping[str, Any]) -> dict[str, Any]:
    """Show the widgets of one home, filled with `start`; returns what is entered now."""
    for name, value in _possible(start, info).items():
        st.session_state.setdefault(f"{prefix}{name}", value)

    def key(name: str) -> str:
        return f"{prefix}{name}"

    home: dict[str, Any] = {}
    home["state"] = st.selectbox(
        t("input.state"), _with(formatting.STATES, st.session_state.get(key("state"))), index=None,
        placeholder=t("form.choose_state"), key=key("state"),
    )  # fmt: skip
    city, zip_code = st.columns([3, 2])
    with city:
        home["city"] = _suggested(t, "city", key("city"), _cities(info, home["state"]))
    with zip_code:
        home["zip_code"] = _suggested(
            t, "zip_code", key("zip_code"), _zips(info, home["state"], home["city"])
        )
    size, lot = st.columns(2)
    with size:
        home["house_size"] = _whole(t, "house_size", info, key("house_size"), step=50)
    with lot:
        allowed = info.inputs["acre_lot"]
        home["acre_lot"] = st.number_input(
            t("form.acre_lot"), min_value=allowed.low, max_value=allowed.high, value=None,
            step=0.05, format="%0.2f", key=key("acre_lot"), placeholder=t("form.optional"),
        )  # fmt: skip
    bed, bath = st.columns(2)
    with bed:
        home["bed"] = _whole(t, "bed", info, key("bed"))
    with bath:
        home["bath"] = _whole(t, "bath", info, key("bath"))
    with st.expander(t("form.more")):
        home["status"] = st.selectbox(
            t("input.status"), info.inputs["status"].choices or [],
            format_func=lambda status: t.named("status", status), help=t("form.status_help"),
            key=key("status"),
        )  # fmt: skip
        last_sale = st.date_input(
            t("input.prev_sold_date"), value=None, min_value=FIRST_SALE, max_value=date.today(),
            help=t("form.last_sale_help"), key=key("prev_sold_date"),
        )  # fmt: skip
        home["prev_sold_date"] = last_sale.isoformat() if isinstance(last_sale, date) else None
        home["brokered_by"] = _whole(t, "brokered_by", info, key("brokered_by"))
        home["street"] = _whole(t, "street", info, key("street"))
    return {name: value for name, value in home.items() if value is not None}


def _possible(start: Mapping[str, Any], info: ModelInfo) -> dict[str, Any]:
    """`start` without values that a widget refuses; the service checks the others."""
    possible: dict[str, Any] = {}
    for name, value in start.items():
        allowed = info.inputs[name]
        if allowed.low is not None and allowed.high is not None:
            if allowed.low <= value <= allowed.high:
                possible[name] = float(value) if name == "acre_lot" else int(value)
        elif allowed.choices is None or value in allowed.choices:
            possible[name] = value
    if "prev_sold_date" in possible:
        try:
            day = date.fromisoformat(possible["prev_sold_date"])
        except ValueError:
            day = None
        possible["prev_sold_date"] = day if day and FIRST_SALE <= day <= date.today() else None
    return possible


def _cities(info: ModelInfo, state: str | None) -> list[str]:
    if not state:
        return []
    cities = service_cache.places(info.version, state, None).cities
    return sorted(each.city for each in cities if each.city)


def _zips(info: ModelInfo, state: str | None, city: str | None) -> list[str]:
    if not state:
        return []
    zips = service_cache.places(info.version, state, city).zip_codes
    return sorted(each.zip_code for each in zips if each.zip_code)


def _suggested(t: Texts, name: str, key: str, known: list[str]) -> str | None:
    """A text input that suggests the `known` values and takes any other."""
    return st.selectbox(
        t(f"input.{name}"), _with(known, st.session_state.get(key)), index=None, key=key,
        accept_new_options=True, placeholder=t("form.optional"),
    )  # fmt: skip


def _with(known: list[str] | tuple[str, ...], entered: str | None) -> list[str]:
    return [*known] if entered is None or entered in known else [entered, *known]


def _whole(t: Texts, name: str, info: ModelInfo, key: str, step: int = 1) -> int | None:
    """An optional whole number within the range that the service accepts."""
    allowed = info.inputs[name]
    return st.number_input(
        t(f"form.{name}"),
        min_value=None if allowed.low is None else int(allowed.low),
        max_value=None if allowed.high is None else int(allowed.high),
        value=None,
        step=step,
        key=key,
        placeholder=t("form.optional"),
    )
