"""The launchpad's config of each candidate, and the feature groups that a training leaves out."""

import re
from typing import Any

import dagster as dg
import pytest
from packaging.requirements import Requirement
from pydantic import ValidationError

from realtor_assets.clean.clean_build import CleanBuild, fit_encoder
from realtor_assets.pipeline_settings import settings
from realtor_assets.train.candidate_assets import candidates, config_of
from realtor_assets.train.mlflow_model import CODE_REQUIREMENTS, requirements
from realtor_model.candidates import CANDIDATES
from realtor_model.features import FEATURE_GROUPS
from realtor_model.libraries import distribution_of
from realtor_model.reading.received_batch import check
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


@pytest.mark.parametrize("name", CANDIDATES)
def test_config_has_the_hyperparameters_of_its_candidate(name: str) -> None:
    config = config_of(CANDIDATES[name])

    assert config().hyperparameters == {}
    assert set(config.model_fields) == {"seed", "searched", *CANDIDATES[name].hyperparameters}


def test_values_set_in_the_config_are_passed_on() -> None:
    config = config_of(CANDIDATES["xgboost"]).model_validate({"max_depth": 3, "seed": 7})

    assert config.hyperparameters == {"max_depth": 3}


def test_every_registered_candidate_has_an_asset_as_declared() -> None:
    specs = {spec.key.to_user_string(): spec for asset in candidates for spec in asset.specs}

    assert list(specs) == list(CANDIDATES)
    for name, candidate in CANDIDATES.items():
        assert specs[name].description == candidate.description
        assert specs[name].kinds == {"mlflow", *candidate.kinds}
        assert str(specs[name].code_version).endswith(f".{candidate.code_version}")
        assert specs[name].group_name == "train"
        assert dg.AssetKey("clean_train") in {dep.asset_key for dep in specs[name].deps}


@pytest.mark.parametrize("name", CANDIDATES)
def test_mlflow_requirements_are_pinned_and_those_of_the_candidate(name: str) -> None:
    pinned = [Requirement(line) for line in requirements(name)]

    here = {each.name for each in pinned if each.marker is None or each.marker.evaluate()}
    libraries = {*CANDIDATES[name].libraries(), *CODE_REQUIREMENTS}
    assert here == {distribution_of(library) for library in libraries}
    assert all(re.fullmatch(r"==[\d.]+", str(each.specifier)) for each in pinned)


def test_encoder_lacks_feature_groups_that_are_left_out(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("REALTOR_FEATURES_LEFT_OUT", "home_value, census")
    rows = Listed(check(received(400))[0])
    build = CleanBuild("v", "f", [0], [0], AS_OF.item(), 0, 0, 0, 0)

    encoder, matrix = fit_encoder(rows.columns, rows.price, build)

    assert not set(encoder.feature_names) & {
        *FEATURE_GROUPS["home_value"], *FEATURE_GROUPS["census"]
    }  # fmt: skip
    assert set(FEATURE_GROUPS["coordinates"]) <= set(encoder.feature_names)
    assert matrix.shape == (len(rows.price), len(encoder.feature_names))


def test_settings_are_refused_when_a_group_is_unknown(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("REALTOR_FEATURES_LEFT_OUT", "home_valu")
    with pytest.raises(ValidationError, match="there is no feature group home_valu; there are"):
        settings()
