"""Responses of the service, cached for each version of the model."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from realtor_model.listing import ListingContract, contract_of
from realtor_ui.app_settings import app_settings
from realtor_ui.client import NotThere, ServiceClient
from realtor_ui.formatting import point
from realtor_ui.responses import (
    BatchValuation,
    By,
    ComparableSales,
    Coordinates,
    ExplainedValuation,
    History,
    MarketRow,
    ModelInfo,
    Places,
)

REFRESH_SECONDS = 10
CACHED_ANSWERS = 256
COMPARABLE_COUNT = 5

Home = Mapping[str, Any]


@st.cache_resource
def service_client() -> ServiceClient:
    """The HTTP client that all sessions share."""
    config = app_settings()
    key = config.api_key.get_secret_value() if config.api_key else None
    return ServiceClient(config.service_url, api_key=key, timeout_seconds=config.timeout_seconds)


@st.cache_data(ttl=REFRESH_SECONDS, show_spinner=False)
def model_info() -> ModelInfo:
    """The model in production, requested again after `REFRESH_SECONDS`. Raises `ServiceError`."""
    return service_client().model_info()


def market_contract(info: ModelInfo) -> ListingContract:
    """The listing contract of the served model's market, which reads files of homes."""
    return _contract(info.market.version, info.market.declaration)


@st.cache_resource(max_entries=4, show_spinner=False)
def _contract(version: str, _declaration: Mapping[str, Any]) -> ListingContract:
    return contract_of(_declaration, "the service")


@st.cache_data(max_entries=CACHED_ANSWERS, show_spinner=False)
def explanation(version: str, home: dict[str, Any]) -> ExplainedValuation:
    """The value of a home and the reasons for it."""
    return service_client().explain(home)


@st.cache_data(max_entries=CACHED_ANSWERS, show_spinner=False)
def comparable_sales(
    version: str, home: dict[str, Any], excluded: tuple[str, ...]
) -> ComparableSales:
    """The most similar sales to a home, without those in `excluded`."""
    return service_client().comparables(home, count=COMPARABLE_COUNT, exclude=excluded)


@st.cache_data(max_entries=CACHED_ANSWERS, show_spinner=False)
def valuations(version: str, homes: list[dict[str, Any]]) -> BatchValuation:
    """The values of some homes."""
    return service_client().predict_batch(homes)


@st.cache_data(max_entries=CACHED_ANSWERS, show_spinner=False)
def places(version: str, state: str | None, city: str | None, begins: str = "") -> Places:
    """The cities of a state, and the zips of a state or a city."""
    return service_client().places(state=state, city=city, begins=begins)


@st.cache_data(max_entries=CACHED_ANSWERS, show_spinner=False)
def market_table(version: str, by: By, state: str | None, city: str | None) -> pd.DataFrame:
    """Market figures, one row for each place; `name` is its state, city or zip."""
    rows = [row.model_dump() for row in service_client().market(by, state=state, city=city).places]
    frame = pd.DataFrame(rows, columns=list(MarketRow.model_fields))
    return frame.assign(name=frame["zip_code" if by == "zip" else by])


@st.cache_data(max_entries=4, show_spinner=False)
def zip_table(version: str) -> pd.DataFrame:
    """All zips in the training data: name, place, center and medians."""
    try:
        zips = service_client().coordinates().model_dump()
    except NotThere:
        # A market without zips, or a model without market figures.
        zips = {name: [] for name in Coordinates.model_fields}
    frame = pd.DataFrame(zips)
    return frame.assign(name=frame["zip_code"] + " " + frame["city"].fillna(""))


@st.cache_data(ttl=3 * REFRESH_SECONDS, show_spinner=False)
def history() -> History:
    """Versions, batches and decisions. Raises `NotThere` if no history is published."""
    return service_client().history()


def zip_statistics(version: str, zip_code: str) -> MarketRow | None:
    """The market figures of a zip, or None if it is not in the training data."""
    begun = places(version, None, None, zip_code).zip_codes
    matches = [each for each in begun if each.zip_code == zip_code]
    if not matches:
        return None
    frame = market_table(version, "zip", matches[0].state, matches[0].city)
    rows = frame[frame["zip_code"] == zip_code].drop(columns="name")
    if rows.empty:
        return None
    row = {name: None if pd.isna(value) else value for name, value in rows.iloc[0].items()}
    return MarketRow.model_validate(row)


def locate(info: ModelInfo, home: Home) -> tuple[float, float] | None:
    """Latitude and longitude of a home: its own, else the center of its zip, city or state."""
    own = point(info, home)
    if own is not None:
        return own
    frame = zip_table(info.version)
    zip_code, city, state = (info.value_of(home, role) for role in ("zip_code", "city", "state"))
    for mask in (
        frame["zip_code"] == zip_code,
        (frame["city"] == city) & (frame["state"] == state),
        frame["state"] == state,
    ):
        if mask.any():
            at = frame.loc[mask, ["latitude", "longitude"]].mean()
            return float(at["latitude"]), float(at["longitude"])
    return None
