"""What a training can be told, and what it is known by."""

from typing import Any

import pytest
from pydantic import ValidationError

from realtor_assets.clean.clean_build import CleanBuild, fit_encoder
from realtor_assets.pipeline_settings import settings
from realtor_assets.train.candidate_assets import config_of
from realtor_assets.train.hyperparameter_search import SPACES
from realtor_assets.train.training_run import Settings, training_key
from realtor_model.estimators import CANDIDATES, THIN_ROWS, default_hyperparameters
from realtor_model.features import FEATURE_GROUPS
from realtor_model.listing import check
from tests.model.conftest import AS_OF, Listed, received

REQUIRED = {
    "REALTOR_RAW_DATABASE_URL": "postgresql://raw",
    "REALTOR_CLEAN_DATABASE_URL": "postgresql://clean",
    "REALTOR_STORAGE_URL": "file:///store",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    yield monkeypatch
    settings.cache_clear()


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_a_config_has_the_hyperparameters_of_its_candidate(candidate: str) -> None:
    kind = config_of(candidate)

    assert kind().hyperparameters == {}
    assert set(kind.model_fields) == {"seed", "searched", *CANDIDATES[candidate].hyperparameters}


def test_what_is_set_is_passed_on() -> None:
    config = config_of("xgboost").model_validate({"max_depth": 3, "seed": 7})

    assert config.hyperparameters == {"max_depth": 3}


@pytest.mark.parametrize("candidate", SPACES)
@pytest.mark.parametrize("rows", [THIN_ROWS - 1, THIN_ROWS])
def test_a_search_begins_inside_its_bounds(candidate: str, rows: int) -> None:
    defaults = default_hyperparameters(candidate, rows)
    for name, bounds in SPACES[candidate].items():
        assert bounds.low <= defaults[name] <= bounds.high  # type: ignore[attr-defined]


def test_a_training_is_known_by_all_that_changes_it() -> None:
    keys = {
        training_key(settings, version)
        for settings in (
            Settings("xgboost"),
            Settings("random_forest"),
            Settings("xgboost", {"max_depth": 3}),
            Settings("xgboost", seed=1),
        )
        for version in ("one", "other")
    }
    assert len(keys) == 8
    assert training_key(Settings("xgboost", {}), "one") in keys


def test_groups_of_features_can_be_left_out(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REALTOR_FEATURES_LEFT_OUT", "home_value, census")
    rows = Listed(check(received(400))[0])
    build = CleanBuild("v", "f", [0], [0], AS_OF.item(), 0, 0, 0, 0)

    encoder, matrix = fit_encoder(rows.columns, rows.price, build)

    assert not set(encoder.feature_names) & {
        *FEATURE_GROUPS["home_value"], *FEATURE_GROUPS["census"]
    }  # fmt: skip
    assert set(FEATURE_GROUPS["coordinates"]) <= set(encoder.feature_names)
    assert matrix.shape == (len(rows.price), len(encoder.feature_names))


def test_a_group_that_does_not_exist_is_named(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REALTOR_FEATURES_LEFT_OUT", "home_valu")
    with pytest.raises(ValidationError, match="there is no feature group home_valu; there are"):
        settings()
