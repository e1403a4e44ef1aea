"""The pages that the docs site makes from the code, and the facts that are declared once."""

import ast
import json
import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import realtor_model
from docs.generator import dictionary, gates, glossary, notebooks, reference
from realtor_model.duel.gates import GATES
from realtor_model.features import FEATURE_NAMES
from realtor_model.listing import US_LISTINGS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def data_dictionary() -> str:
    return dictionary.page()


@pytest.mark.integration
def test_every_gate_and_its_limits_are_listed_in_order() -> None:
    text = gates.page()

    positions = [text.index(f"| `{gate.name}` |") for gate in GATES]
    assert positions == sorted(positions)
    assert "`coverage` = 0.77 to 0.83" in text
    assert "`max_error_ratio` | 1.25" in text


def test_data_dictionary_names_every_column_and_feature(data_dictionary: str) -> None:
    listing, _, rest = data_dictionary.partition("## Features")
    features, _, tables = rest.partition("## RAW database")
    for column in US_LISTINGS.table_keys:
        assert f"| `{column}` |" in listing
    for feature in FEATURE_NAMES:
        assert f"| `{feature}` |" in features
    for table in ("raw_train", "raw_quarantine", "clean_test", "zip_context", "releases"):
        assert f"`{table}`" in tables
    assert "None" not in data_dictionary
    assert "| `bytes` | `bigint` |  | as received, uncompressed |" in tables


def test_glossary_has_every_term_of_the_app() -> None:
    terms = tomllib.loads((ROOT / "realtor_ui/texts/glossary.toml").read_text())
    page = glossary.page()
    headings = re.findall(r"^## (.*)$", page, re.M)
    assert sorted(headings) == sorted(term["en"]["title"] for term in terms.values())
    for term in terms.values():
        assert term["en"]["definition"] in page


def test_reference_has_a_page_for_every_public_module_with_docstrings() -> None:
    pages = reference.pages()
    modules = set(re.findall(r"^::: (.*)$", "\n".join(pages.values()), re.M))
    assert {"realtor_model.valuation.bundle", "realtor_model.listing.contract"} <= modules
    assert not [name for name in modules if "._" in name or ".0001" in name]
    assert all(path.startswith("reference/realtor_") for path in pages)


def test_reference_navigation_leads_to_every_page_once() -> None:
    paths = re.findall(r'"(reference/[^"]*)"', json.dumps(reference.navigation()))
    assert sorted(paths) == sorted(reference.pages())


def test_a_notebook_becomes_a_page_with_its_outputs(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {
            "cell_type": "code",
            "source": ["1 + 1"],
            "outputs": [
                {"output_type": "execute_result", "data": {"text/plain": ["2"]}},
                {"output_type": "display_data", "data": {"image/png": "aGk="}},
            ],
        },
    ]
    notebook = tmp_path / "sums.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    pages = notebooks.page(notebook)
    assert pages["notebooks/sums-0.png"] == b"hi"
    markdown = pages["notebooks/sums.md"]
    assert isinstance(markdown, str)
    assert markdown.startswith("# Title\n\n```python\n1 + 1\n```\n\n```text\n2\n```\n\n![")


@pytest.mark.parametrize(
    "notebook", sorted(ROOT.glob("docs/notebooks/*.ipynb")), ids=lambda path: path.stem
)
def test_notebooks_are_executed_and_import_what_exists(notebook: Path) -> None:
    cells = [
        cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"
    ]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    imports = [
        node
        for node in ast.parse("".join(cells[0]["source"])).body
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    exec(compile(ast.Module(imports, []), notebook.name, "exec"), {})


def test_the_version_is_declared_once() -> None:
    declared = realtor_model.__version__
    assert version("realtor") == declared
    releases = re.findall(r"^## \[(\d[^]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert releases[0] == declared
    chart = yaml.safe_load((ROOT / "deploy/helm/realtor/Chart.yaml").read_text())
    assert chart["appVersion"] == declared
