"""The repository's own promises: dependencies and settings are documented."""

import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pydantic_settings import BaseSettings

import realtor_local.platform_settings
import realtor_ui.app_settings
from realtor_assets.pipeline_settings import PipelineSettings
from realtor_serving.service_settings import ServiceSettings

ROOT = Path(__file__).parents[1]


def test_every_direct_dependency_has_its_reason() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = described["project"]
    groups = [
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *described["dependency-groups"].values(),
    ]
    declared = {
        re.split(r"[\[><=~! ]", requirement)[0] for group in groups for requirement in group
    } - {"realtor"}
    documented = set(
        re.findall(r"^\| ([a-z0-9-]+) \|", (ROOT / "docs/DEPENDENCIES.md").read_text(), re.M)
    ) - {"package"}
    assert declared == documented


def test_every_upper_bound_has_its_cause() -> None:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = described["project"]
    requirements = map(Requirement, chain(
        project["dependencies"],
        *project["optional-dependencies"].values(),
        *described["dependency-groups"].values(),
    ))  # fmt: skip
    bounds = {
        (requirement.name, str(bound))
        for requirement in requirements
        for bound in requirement.specifier
        if bound.operator not in (">=", ">", "!=")
    }
    text = (ROOT / "docs/DEPENDENCIES.md").read_text()
    section = text.partition("\n## Upper bounds\n")[2].partition("\n## ")[0]

    assert bounds == set(re.findall(r"^\| ([a-z0-9-]+) \| `([^`]+)` \| .{40,} \|$", section, re.M))
    assert bounds


@pytest.mark.parametrize(
    "settings",
    [
        PipelineSettings,
        realtor_local.platform_settings.PlatformSettings,
        ServiceSettings,
        realtor_ui.app_settings.AppSettings,
    ],
    ids=lambda settings: settings.__module__,
)
def test_every_setting_is_documented(settings: type[BaseSettings]) -> None:
    by_name = settings.model_config.get("populate_by_name")
    assert not by_name, "a field named `home` would be read from $HOME"
    text = (ROOT / "docs/CONFIGURATION.md").read_text()
    for name, field in settings.model_fields.items():
        variable = field.validation_alias or field.alias
        assert isinstance(variable, str), f"{name} has no environment variable of its own"
        assert f"`{variable}`" in text, f"docs/CONFIGURATION.md does not name {variable}"
        assert field.description, f"{variable} has no description"
