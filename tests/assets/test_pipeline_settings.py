"""REALTOR_MARKET: a market file is read when the program starts, or refused in one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from realtor_assets.pipeline_settings import (
    MarketSettings,
    PipelineSettings,
    listing_contract,
    market_version,
)
from realtor_model.listing import US_LISTINGS
from tests.assets.markets import harbor


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("REALTOR_RAW_DATABASE_URL", "REALTOR_CLEAN_DATABASE_URL"):
        monkeypatch.setenv(name, "postgresql://nowhere")
    monkeypatch.setenv("REALTOR_STORAGE_URL", tmp_path.as_uri())
    listing_contract.cache_clear()
    yield
    listing_contract.cache_clear()


@pytest.mark.parametrize("value", [None, ""])
def test_the_built_in_market_is_the_default(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is not None:
        monkeypatch.setenv("REALTOR_MARKET", value)

    assert PipelineSettings().market is None
    assert listing_contract() is US_LISTINGS
    assert market_version() == ""


def test_the_market_of_the_file_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALTOR_MARKET", str(harbor(tmp_path)))

    assert listing_contract().name == "harbor"
    assert market_version() == listing_contract().version


def test_other_words_are_the_same_market(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "us_listings.toml"
    path.write_text('[market]\ntitle = { en = "My listings" }\n')
    monkeypatch.setenv("REALTOR_MARKET", str(path))

    assert listing_contract().title["en"] == "My listings"
    assert market_version() == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            '[columns.bed]\ntype = "numbr"\n',
            "[columns.bed] type: 'numbr' is not valid: write one of",
        ),
        ("[columns.bed]\nrange = [9, 1]\n", "[columns.bed] range: 9 is not below 1"),
    ],
)
def test_an_invalid_file_is_refused_in_one_line(
    text: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(text)
    monkeypatch.setenv("REALTOR_MARKET", str(path))

    for settings in (MarketSettings, PipelineSettings):
        with pytest.raises(ValidationError) as refused:
            settings()
        (error,) = refused.value.errors()
        assert error["loc"] == ("REALTOR_MARKET",)
        assert f"{path}: {problem}" in error["msg"]
        assert "\n" not in error["msg"]


def test_feature_groups_are_those_of_the_market(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALTOR_FEATURES_LEFT_OUT", "points")
    with pytest.raises(ValidationError, match="there is no feature group points"):
        PipelineSettings()

    monkeypatch.setenv("REALTOR_MARKET", str(harbor(tmp_path)))

    assert PipelineSettings().features_left_out == ("points",)
