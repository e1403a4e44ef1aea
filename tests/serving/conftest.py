"""One model and one running service for all tests of a process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from realtor_model.valuation.bundle import save_bundle
from realtor_model.valuation.valuation_model import ValuationModel
from tests.serving.running import Server, make_model, run_service


@pytest.fixture(scope="session")
def model() -> ValuationModel:
    return make_model()


@pytest.fixture(scope="session")
def bundle(model: ValuationModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle"
    save_bundle(model, path)
    return path


@pytest.fixture(scope="session")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service with two workers and the bundle; no registry, no database."""
    folder = tmp_path_factory.mktemp("service")
    with run_service(folder, REALTOR_CHAMPION_BUNDLE=str(bundle)) as server:
        yield server
