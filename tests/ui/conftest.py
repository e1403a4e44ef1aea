"""The running service with a small model and a history, for the app to talk to."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from realtor_model.valuation.bundle import save_bundle
from realtor_ui import service_cache
from realtor_ui.app_settings import app_settings
from tests.serving.running import Server, make_model, run_service

WHEN = "2026-03-01T12:00:00+00:00"


def history() -> dict[str, Any]:
    """A first champion, a second that replaced it, a third that was rejected; two batches."""

    def version(number: int, mdape: float, stage: str) -> dict[str, Any]:
        test = {"mdape": mdape, "within_20": 0.5, "rmse": 90_000.0, "mae": 50_000.0, "cod": 18.0}
        test |= {"prd": 1.01, "prb": 0.2, "median_ratio": 1.0, "cod_low": 17.0, "cod_high": 19.0}
        if number > 1:
            test |= {
                "sold_n": 300.0,
                "sold_cod": 14.0,
                "sold_prd": 1.01,
                "sold_prb": 0.2,
                "sold_median_ratio": 1.0,
                "sold_cod_low": 13.0,
                "sold_cod_high": 15.5,
            }
        segments = [
            {"by": "status", "segment": "sold", "n": 300, "mdape": mdape, "coverage": 0.8},
            *(
                {"by": "fifth of the estimate", "segment": str(fifth), "n": 60, "mdape": mdape,
                 "coverage": 0.7 + 0.04 * fifth}
                for fifth in range(1, 6)
            ),
        ]  # fmt: skip
        return {
            "version": str(number), "stage": stage, "candidate": "xgboost", "batches": [0],
            "trained_at": WHEN, "train_rows": 1_500, "test": test, "segments": segments,
        }  # fmt: skip

    def decided(number: int, decision: str, reason: str, passed: bool) -> dict[str, Any]:
        criteria = [
            {"name": "accuracy", "passed": passed, "words": "median error 20% → 15%"},
            {"name": "stability", "passed": True, "words": "few homes move"},
        ]
        return {
            "model_version": str(number), "champion_version": "1" if number > 1 else None,
            "decision": decision, "rule": "accuracy", "reason": reason, "criteria": criteria,
            "decided_at": WHEN,
        }  # fmt: skip

    drift = [{"feature": "house_size", "psi": 0.41}, {"feature": "state", "psi": 0.02}]
    decision = {
        "decision": "train", "rule": "volume", "reason": "Batch 1: 900 new rows.",
        "details": [{"code": "volume", "message": "900 new rows.",
                     "params": {"new_rows": 900, "champion_rows": 1_500, "limit": 0.2}}],
        "champion_version": "1", "admitted": False, "decided_at": WHEN,
    }  # fmt: skip
    batch = {"partition": "p", "state": "loaded", "received": 1_000, "loaded_at": WHEN}
    change = {
        "before": "1", "after": "2",
        "importance": [{"input": "house_size", "before": 0.3, "after": 0.2}],
        "segments": [{"by": "state", "segment": "Texas", "n": 90, "change": -4.0,
                      "mdape_before": 0.2, "mdape_after": 0.15}],
        "homes": [{"city": "Austin", "state": "Texas", "house_size": 1_500.0, "bed": 3.0,
                   "price": 3e5, "before": 2.8e5, "after": 3.1e5, "change": 10.7}],
    }  # fmt: skip
    return {
        "format": 1,
        "published_at": datetime(2026, 3, 1, tzinfo=UTC).isoformat(),
        "champion": "2",
        "batches": [
            batch | {"name": "0", "inserted": 990, "decisions": [], "drift": []},
            batch | {"name": "1", "inserted": 940, "decisions": [decision], "drift": drift},
        ],
        "promotions": [
            decided(1, "promoted", "The first model.", True),
            decided(2, "promoted", "Clearly more accurate.", True),
            decided(3, "rejected", "Not more accurate.", False),
        ],
        "releases": [
            {"model_version": "1", "replaced": None, "action": "promoted", "reason": "first",
             "begun_at": WHEN},
            {"model_version": "2", "replaced": "1", "action": "promoted", "reason": "better",
             "begun_at": WHEN},
        ],
        "versions": [version(1, 0.2, "Archived"), version(2, 0.15, "Production"),
                     version(3, 0.16, "None")],
        "changes": [change],
    }  # fmt: skip


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service with one worker, a small model and a published history."""
    folder = tmp_path_factory.mktemp("ui")
    save_bundle(make_model(), folder / "bundle")
    published = folder / "history.json"
    published.write_text(json.dumps(history()))
    with run_service(
        folder,
        REALTOR_CHAMPION_BUNDLE=str(folder / "bundle"),
        REALTOR_SERVICE_WORKERS="1",
        REALTOR_HISTORY_URL=published.as_uri(),
    ) as server:
        yield server


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A small model in a folder of the test's own."""
    save_bundle(make_model(), tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture(autouse=True)
def _fresh_caches() -> Iterator[None]:
    app_settings.cache_clear()
    st.cache_data.clear()
    service_cache.service_client.clear()
    yield
    app_settings.cache_clear()
