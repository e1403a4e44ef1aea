"""The code location's jobs and sensors in one process, on servers of a test's own."""

import importlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from realtor_assets.pipeline_settings import listing_contract, settings
from realtor_assets.raw.assets import pending_partitions
from realtor_assets.resources import Database
from realtor_assets.schema import migrate
from realtor_local.postgres import EmbeddedPostgres, temporary_postgres
from realtor_model.candidates import CANDIDATES
from tests.servers import mlflow_server

NOWHERE = "http://127.0.0.1:1"

TRAIN = (
    *CANDIDATES, "best_model", "promotion_decision", "production_model", "champion_change",
    "ratio_study", "batch_valuations", "published_history",
)  # fmt: skip
"""The job train up to the bento and the running service, which belong to `tests/e2e`."""

# What asks, what carries on, and what has to look after each run; the service is not here.
SENSORS = ("ask_upstream", "load_landed_batches", "decide_on_batches", "train_as_decided",
           "close_mlflow_runs")  # fmt: skip


def asked(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.transaction() as connection:
        return connection.execute(query).fetchall()


class Lineage:
    """The jobs of the code location, on a Dagster instance of the test's own."""

    def __init__(self, instance: dg.DagsterInstance, postgres: EmbeddedPostgres) -> None:
        # What is read from the environment is read when the module is.
        definitions = importlib.reload(importlib.import_module("realtor_assets.definitions"))
        self.defs: dg.Definitions = definitions.defs
        self.instance = instance
        self.postgres = postgres
        self.resources = dict(self.defs.resources or {})

    def run(
        self,
        job: str,
        *assets: str,
        tags: dict[str, str] | None = None,
        partition: str | None = None,
        **config: Any,
    ) -> dg.ExecuteInProcessResult:
        """Run `assets` of `job`, or all; `config` is by asset or op."""
        return self.defs.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(name) for name in assets] or None,
            run_config={"ops": {name: {"config": values} for name, values in config.items()}},
            tags=tags,
            partition_key=partition,
            raise_on_error=False,
        )

    def ingest(self) -> list[dg.ExecuteInProcessResult]:
        """Land the next batch, and load it."""
        results = [self.run("ingest")]
        waiting = pending_partitions(self.resources["raw_database"])
        return results + [self.run("load", partition=partition) for partition in waiting]

    def tick(
        self, sensor: str, cursor: str | None = None
    ) -> dg.RunRequest | dg.SkipReason | dg.SensorResult:
        """What `sensor` makes of the state of things."""
        definition = self.defs.resolve_sensor_def(sensor)
        needed = {name: self.resources[name] for name in definition.required_resource_keys}
        with dg.build_sensor_context(instance=self.instance, cursor=cursor) as context:
            result = definition(context, **needed)
        assert isinstance(result, dg.RunRequest | dg.SkipReason | dg.SensorResult)
        return result

    def carry_on(
        self, *sensors: str, train: Sequence[str] = TRAIN, **config: Any
    ) -> dict[str, str]:
        """Tick `sensors` one after another, and run what they ask for, until all of them skip.

        Returns why each skips. Of the job train, only the assets `train` are run, with `config`.
        """
        for _ in range(60):
            skipped = {}
            for name in sensors:
                said = self.tick(name)
                requests: list[dg.RunRequest] = []
                if isinstance(said, dg.SkipReason):
                    skipped[name] = str(said.skip_message)
                elif isinstance(said, dg.RunRequest):
                    requests = [said]
                else:
                    requests = list(said.run_requests or [])
                    self.instance.add_dynamic_partitions(
                        "batches", [
                            key for each in said.dynamic_partitions_requests or []
                            for key in each.partition_keys
                        ],
                    )  # fmt: skip
                for request in requests:
                    job = self.defs.resolve_sensor_def(name).job_name
                    assert job is not None
                    assets, values = (train, config) if job == "train" else ((), {})
                    result = self.run(
                        job,
                        *assets,
                        tags=dict(request.tags),
                        partition=request.partition_key,
                        **values,
                    )
                    failures = [event.message for event in result.get_step_failure_events()]
                    assert result.success, failures
            if len(skipped) == len(sensors):
                return skipped
        raise AssertionError(f"it never ends: {skipped}")

    def metadata(self, asset: str) -> dict[str, object]:
        event = self.instance.get_latest_materialization_event(dg.AssetKey(asset))
        assert event is not None
        assert event.asset_materialization is not None
        return {key: item.value for key, item in event.asset_materialization.metadata.items()}


@contextmanager
def lineage_on(
    folder: Path, upstream_url: str = NOWHERE, *, with_mlflow: bool = True, **variables: str
) -> Iterator[Lineage]:
    """A lineage on servers of its own, with its store and its instance in `folder`."""
    with ExitStack() as stack:
        postgres = stack.enter_context(temporary_postgres())
        mlflow_url = NOWHERE
        if with_mlflow:
            backend = postgres.urls["MLFLOW_BACKEND_STORE_URI"]
            mlflow_url = stack.enter_context(mlflow_server(folder, backend)).url
        environment = postgres.urls | {
            "REALTOR_STORAGE_URL": f"file://{folder}/store",
            "MLFLOW_TRACKING_URI": mlflow_url,
            "REALTOR_API_URL": upstream_url,
            # By default it is port 8080, where a platform on this machine may answer.
            "REALTOR_SERVICE_URL": NOWHERE,
            **variables,
        }
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in environment.items():
            patch.setenv(name, value)
        for read_once in (settings, listing_contract):
            read_once.cache_clear()
            stack.callback(read_once.cache_clear)
        migrate(postgres.url("realtor_raw_owner"), "raw", listing_contract())
        migrate(postgres.url("realtor_clean"), "clean")
        instance = stack.enter_context(dg.DagsterInstance.local_temp(str(folder)))
        yield Lineage(instance, postgres)
