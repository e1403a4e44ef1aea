"""The running service, for the app to talk to."""

from collections.abc import Iterator

import pytest

from tests.serving.running import Server, make_model, run_service


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service with one worker and a small model."""
    folder = tmp_path_factory.mktemp("ui")
    make_model().save(folder / "bundle")
    with run_service(
        folder, REALTOR_CHAMPION_BUNDLE=str(folder / "bundle"), REALTOR_SERVICE_WORKERS="1"
    ) as server:
        yield server
