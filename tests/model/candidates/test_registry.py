"""The registry: what follows from a candidate's declaration, and what one may not declare."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import realtor_model
from realtor_assets.distributed.cluster_trainer import cluster_trainer
from realtor_model.candidates import (
    CANDIDATES,
    SHARED_REQUIREMENTS,
    THIN_ROWS,
    Candidate,
    FloatRange,
    IntRange,
    candidate_named,
)
from realtor_model.libraries import library_version
from realtor_model.valuation.bundle import UnreadableBundle, load_bundle, save_bundle
from realtor_model.valuation.valuation_model import ValuationModel

ROOT = Path(realtor_model.__file__).parents[1]
ModelOf = Callable[[str], ValuationModel]


@pytest.fixture(params=CANDIDATES.values(), ids=lambda candidate: candidate.name)
def candidate(request: pytest.FixtureRequest) -> Candidate:
    result: Candidate = request.param
    return result


def test_registry_lists_the_candidates_in_the_order_of_the_graph() -> None:
    assert list(CANDIDATES) == [
        "linear_regression", "random_forest", "gradient_boosting", "xgboost",
    ]  # fmt: skip
    assert all(name == candidate.name for name, candidate in CANDIDATES.items())


def test_unknown_candidate_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="candidate is 'oracle'; it must be one of linear_regre"):
        candidate_named("oracle")


@pytest.mark.parametrize("rows", [THIN_ROWS - 1, THIN_ROWS])
def test_search_starts_inside_its_bounds(candidate: Candidate, rows: int) -> None:
    defaults = candidate.default_hyperparameters(rows)
    for name, bounds in candidate.search_space.items():
        assert bounds.low <= defaults[name] <= bounds.high
        assert isinstance(bounds, IntRange) == isinstance(defaults[name], int)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thin": {"depth": 3}}, "xgboost has no hyperparameter depth; it has: n_estimators"),
        ({"search_space": {"depth": IntRange(1, 3)}}, "xgboost has no hyperparameter depth"),
        ({"search_space": {"max_depth": IntRange(7, 10)}}, "max_depth 6 is outside IntRange"),
        ({"search_space": {"reg_lambda": FloatRange(3.0, 9.0)}}, "reg_lambda 2.0 is outside"),
    ],
)
def test_declaration_is_refused_when_it_contradicts_itself(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CANDIDATES["xgboost"], **changes)


def test_thin_defaults_apply_below_the_limit_and_overrides_come_first() -> None:
    candidate = CANDIDATES["xgboost"]

    assert candidate.resolve_hyperparameters(THIN_ROWS, {})["max_depth"] == 8
    assert candidate.resolve_hyperparameters(THIN_ROWS - 1, {})["max_depth"] == 6
    assert candidate.resolve_hyperparameters(THIN_ROWS - 1, {"max_depth": 3})["max_depth"] == 3


def test_every_candidate_has_a_description_and_installed_requirements(
    candidate: Candidate,
) -> None:
    assert candidate.description.endswith(".")
    assert candidate.kinds
    assert set(SHARED_REQUIREMENTS) <= set(candidate.library_versions())
    for name in candidate.libraries(explained=True):
        assert library_version(name)


def test_cluster_trainer_resolves_where_one_is_declared(candidate: Candidate) -> None:
    pytest.importorskip("distributed")
    if candidate.cluster_trainer is None:
        with pytest.raises(ValueError, match=f"{candidate.name} has no trainer for a cluster"):
            cluster_trainer(candidate)
    else:
        assert callable(cluster_trainer(candidate))


LOAD_WITHOUT = """
import importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from pathlib import Path
from realtor_model.features import as_sold, columns_from_properties
from realtor_model.listing import Property
from realtor_model.valuation.bundle import load_bundle
home = as_sold(columns_from_properties([Property(state="Texas", house_size=1500)]))
print(load_bundle(Path({bundle!r})).value(home).price[0])
"""
IMPORT_NAMES = {"scikit-learn": "sklearn", "skops": "skops", "shap": "shap"}


def test_bundle_is_read_without_the_libraries_of_other_candidates(
    candidate: Candidate, model_of: ModelOf, tmp_path: Path
) -> None:
    """The declared requirements are all that a model needs, and the manifest says so."""
    save_bundle(model_of(candidate.name), tmp_path / "bundle")
    absent = {module for name, module in IMPORT_NAMES.items() if name not in candidate.libraries()}
    script = LOAD_WITHOUT.format(absent=absent, bundle=str(tmp_path / "bundle"))

    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert ran.returncode == 0, ran.stderr
    assert float(ran.stdout) > 0
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert set(manifest["versions"]) == {"python", *candidate.libraries()}


# Places that may name a candidate, and why. Everything else follows from the registry.
NAMED = {
    "realtor_model/candidates": "the declarations",
    "realtor_model/estimators": "modules named after the libraries they use",
    "realtor_assets/pipeline_settings.py": "the description of a setting, for people",
    "realtor_assets/distributed/boosting.py": "the trainer that the declaration of xgboost names",
    "realtor_assets/train/hyperparameter_search.py": "the launchpad's default",
    "realtor_model/libraries.py": "XGBoost's two distributions",
    "realtor_model/valuation/bundle.py": "an example of a library's name",
    "realtor_serving/contract/schemas.py": "an example in the API's description",
    "realtor_ui/texts": "names in the user's language; tests/ui/test_texts.py asks for each",
}


def test_candidates_are_named_in_no_other_source_than_their_declaration() -> None:
    quoted = re.compile("|".join(rf"[\"'.]{name}\b(?!\.)" for name in (*CANDIDATES, "scikitlearn")))
    naming = [
        str(path.relative_to(ROOT))
        for package in ROOT.glob("realtor_*")
        for path in sorted(package.rglob("*.py"))
        if any(
            quoted.search(line) and not line.lstrip().startswith(("import ", "from "))
            for line in path.read_text().splitlines()
        )
    ]

    assert [path for path in naming if not path.startswith(tuple(NAMED))] == []


def test_bundle_is_unreadable_when_its_candidate_is_not_registered(
    model_of: ModelOf, tmp_path: Path
) -> None:
    save_bundle(model_of("linear_regression"), tmp_path / "bundle")
    file = tmp_path / "bundle" / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"candidate": "oracle"}))

    with pytest.raises(UnreadableBundle, match="is a model of oracle, and this version has lin"):
        load_bundle(tmp_path / "bundle")
