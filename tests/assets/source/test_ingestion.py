"""Ingestion end to end through Dagster, from an upstream that does all that it can do wrong."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from realtor_assets.pipeline_settings import settings
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.schema import SchemaOutdated, migrate
from realtor_assets.source.upstream_client import UpstreamError
from realtor_local.postgres import EmbeddedPostgres
from realtor_local.synthetic_market import generate
from realtor_local.upstream.api import build_app
from realtor_local.upstream.faults import Fault
from tests.assets.ingestion import Ingestion
from tests.conftest import empty_databases
from tests.servers import listening

pytestmark = pytest.mark.integration
Serve = Callable[..., AbstractContextManager[None]]


@pytest.fixture(scope="module")
def listings() -> pd.DataFrame:
    market = generate(3_000, seed=11).listings
    # Complete, so that the upstream serves it, and broken.
    market.loc[market.dropna().index[:3], "house_size"] = 1.0
    return market


def configure(patch: pytest.MonkeyPatch, database: Database, store: ObjectStore, url: str) -> None:
    for name, value in {
        "REALTOR_RAW_DATABASE_URL": database.url,
        "REALTOR_CLEAN_DATABASE_URL": database.url,
        "REALTOR_STORAGE_URL": store.url,
        "REALTOR_API_URL": url,
        "REALTOR_API_ATTEMPTS": "3",
    }.items():
        patch.setenv(name, value)
    settings.cache_clear()


@pytest.fixture
def ingestion(
    store: ObjectStore, raw_database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ingestion]:
    configure(monkeypatch, raw_database, store, "http://127.0.0.1:9")
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Ingestion(store, raw_database, instance)
    settings.cache_clear()


@pytest.fixture
def served(listings: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> Serve:
    @contextmanager
    def serve(*faults: str) -> Iterator[None]:
        parsed = [Fault.parse(text) for text in faults]
        with listening(build_app(lambda: listings, faults=parsed)) as url:
            monkeypatch.setenv("REALTOR_API_URL", url)
            settings.cache_clear()
            yield

    return serve


@pytest.fixture(scope="module")
def undisturbed(
    listings: pd.DataFrame, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> list[str]:
    """What RAW holds after an ingestion in which nothing went wrong."""
    store = ObjectStore(url=f"file://{tmp_path_factory.mktemp('undisturbed')}")
    with (
        empty_databases(postgres) as make,
        pytest.MonkeyPatch.context() as patch,
        listening(build_app(lambda: listings)) as url,
        dg.DagsterInstance.ephemeral() as instance,
    ):
        database = make()
        migrate(database.url, "raw")
        configure(patch, database, store, url)
        ingestion = Ingestion(store, database, instance)
        ingestion.until_the_end()
        assert ingestion.outcomes() == [
            *(("landed", batch) for batch in range(6)),
            ("end of data", None),
        ]
        assert all(content for content in ingestion.content())
        return ingestion.content()


# What each fault leaves in the request log when it happens to batch 2.
LOGGED = {
    "slow@2:0.2": [],
    "http500@2": [("lost", None)],
    "truncated@2": [],
    "aborted@2": [("lost", None)],
    "repeated@2": [("repeated", 2)],
    "renamed@2": [],
    "text@2": [],
    "end404@2": [("end of data", None)],
}


@pytest.mark.parametrize("fault", LOGGED)
def test_no_fault_of_the_upstream_loses_or_doubles_a_row(
    fault: str, ingestion: Ingestion, served: Serve, undisturbed: list[str]
) -> None:
    with served(fault):
        ingestion.until_the_end()
        if fault.startswith("end404"):
            ingestion.until_the_end()

    assert ingestion.content() == undisturbed
    logged = ingestion.outcomes()
    for outcome in LOGGED[fault]:
        assert outcome in logged
    rewound = fault.split("@")[0] in ("truncated", "aborted", "renamed", "text")
    assert (("rewound", None) in logged) == rewound


@pytest.mark.parametrize("fault", ["aborted@5", "truncated@5", "aborted@0"])
def test_the_first_and_last_batch_are_fetched_again_when_lost(
    fault: str, ingestion: Ingestion, served: Serve, undisturbed: list[str]
) -> None:
    with served(fault):
        ingestion.until_the_end()

    assert ingestion.content() == undisturbed


def test_an_answer_that_comes_too_late_is_fetched_again(
    ingestion: Ingestion,
    served: Serve,
    undisturbed: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REALTOR_API_TIMEOUT_SECONDS", "0.4")
    with served("slow@1:0.9"):
        ingestion.until_the_end()
        ingestion.until_the_end()

    assert ingestion.content() == undisturbed


def test_a_restarted_upstream_adds_no_rows(
    ingestion: Ingestion, served: Serve, undisturbed: list[str]
) -> None:
    with served():
        for _ in range(3):
            assert ingestion.ingest()
    with served() as _:
        # It has forgotten its cursors, and has another address.
        ingestion.until_the_end()

    assert ingestion.content() == undisturbed
    assert [batch for outcome, batch in ingestion.outcomes() if outcome == "repeated"] == [0, 1, 2]


def test_a_partition_is_materialized_or_failed_as_its_batch(
    ingestion: Ingestion, served: Serve
) -> None:
    with served("text@0"):
        landed = ingestion.ingest()
    assert landed is not None
    landed_key = dg.AssetKey("landed_payloads")
    assert ingestion.instance.get_materialized_partitions(landed_key) == {landed}
    assert ingestion.instance.get_dynamic_partitions("batches") == [landed]

    result = ingestion.load(landed)

    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "price must be a number: 100% of the rows" in str(failure.step_failure_data.error)
    assert not ingestion.instance.get_materialized_partitions(dg.AssetKey("raw_train"))


def test_a_batch_can_be_materialized_again_without_the_upstream(
    ingestion: Ingestion, served: Serve
) -> None:
    with served():
        landed = ingestion.ingest()
    assert landed is not None
    assert ingestion.load(landed).success
    before = ingestion.content()

    again = ingestion.load(landed)

    assert again.success
    assert ingestion.content() == before
    (materialization,) = [
        event.materialization
        for event in again.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey("raw_train")
    ]
    assert materialization.metadata["dagster/partition_row_count"].value == 0


def test_a_payload_damaged_in_the_store_fails_its_partition(
    ingestion: Ingestion, served: Serve
) -> None:
    with served():
        landed = ingestion.ingest()
    assert landed is not None
    (key,) = ingestion.store.list_keys("payloads")
    path = Path(ingestion.store.url_of(key).removeprefix("file://"))
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 0xFF
    path.write_bytes(body)

    result = ingestion.load(landed)

    assert not result.success
    assert "is not what was received" in str(
        result.get_step_failure_events()[0].step_failure_data.error
    )


def test_a_404_from_a_wrong_address_is_not_the_end_of_data(
    ingestion: Ingestion, served: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served():
        monkeypatch.setenv("REALTOR_API_URL", settings().api_url + "/api/v2")
        settings.cache_clear()
        with pytest.raises(UpstreamError, match=r"answered 404.*Is REALTOR_API_URL right\?"):
            ingestion.ingest()


def test_a_database_without_its_tables_names_the_fix(
    ingestion: Ingestion, databases: Callable[[], Database]
) -> None:
    ingestion.database = databases()

    with pytest.raises(SchemaOutdated, match=r"run `python -m realtor_assets\.schema`"):
        ingestion.ingest()
