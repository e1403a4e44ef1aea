"""The ingest and load jobs as Dagster runs them, on databases and a store of a test's own."""

from dataclasses import dataclass

import dagster as dg

from realtor_assets.raw import checks
from realtor_assets.raw.assets import landed_payloads, load_batch, pending_partitions
from realtor_assets.resources import Database, ObjectStore
from realtor_assets.source.assets import api_request_log, listings_api

INGEST = [listings_api, api_request_log]
LOAD = [landed_payloads, load_batch]
CHECKS = [checks.every_row_is_somewhere, checks.no_batch_is_missing]

# One text for all that RAW holds, but for what differs from load to load.
_CONTENT = " UNION ALL ".join(
    f"SELECT '{table}' || md5(string_agg(row, ',' ORDER BY row)) FROM"
    f" (SELECT ({columns})::text AS row FROM {table}) t"
    for table, columns in {
        **dict.fromkeys(
            ("raw_train", "raw_validation", "raw_test"),
            "row_hash, batch_number, status, price, street, city, state, zip_code, house_size",
        ),
        "raw_quarantine": "batch_number, position, column_name, rule, record",
    }.items()
)


@dataclass
class Ingestion:
    """Runs the assets of RAW; `settings()` must name the upstream."""

    store: ObjectStore
    database: Database
    instance: dg.DagsterInstance

    @property
    def resources(self) -> dict[str, object]:
        return {"store": self.store, "raw_database": self.database}

    def ingest(self) -> str | None:
        """Land the next batch; its partition, or None at the end. Raises what fails the run."""
        result = dg.materialize(INGEST, instance=self.instance, resources=self.resources)
        metadata = result.asset_materializations_for_node("api_request_log")[-1].metadata
        if metadata["end_of_data"].value:
            return None
        return str(metadata["landed"].value)

    def load(self, partition: str) -> dg.ExecuteInProcessResult:
        """Load one landed batch; the run may fail."""
        self.instance.add_dynamic_partitions("batches", [partition])
        return dg.materialize(
            [*INGEST, *LOAD, *CHECKS],
            selection=dg.AssetSelection.assets(*LOAD) | dg.AssetSelection.checks(*CHECKS),
            partition_key=partition,
            instance=self.instance,
            resources=self.resources,
            raise_on_error=False,
        )

    def load_pending(self) -> list[dg.ExecuteInProcessResult]:
        return [self.load(partition) for partition in pending_partitions(self.database)]

    def until_the_end(self) -> None:
        """Ingest and load until there is no more data, and nothing waits to be loaded."""
        for _ in range(40):
            landed = self.ingest()
            self.load_pending()
            if landed is None and not pending_partitions(self.database):
                return
        raise AssertionError("the data has no end")

    def content(self) -> list[str]:
        """Checksums of what RAW holds, whatever it took to get there."""
        with self.database.transaction() as connection:
            return sorted(str(text) for (text,) in connection.execute(_CONTENT))

    def outcomes(self) -> list[tuple[str, int | None]]:
        """Outcome and batch number of every call, in order."""
        with self.database.transaction() as connection:
            return connection.execute(
                "SELECT outcome, batch_number FROM api_request_log ORDER BY requested_at"
            ).fetchall()
