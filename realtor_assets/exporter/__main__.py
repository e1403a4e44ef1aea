"""Serve /metrics until SIGTERM or SIGINT."""

import logging
import signal
import threading
from urllib.parse import quote

import dagster as dg
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from realtor_assets.exporter.batch_metrics import Batches
from realtor_assets.exporter.collector import Sources
from realtor_assets.exporter.model_metrics import Models
from realtor_assets.exporter.run_metrics import Dagster
from realtor_assets.pipeline_settings import PipelineSettings, settings
from realtor_assets.resources import Database, ObjectStore

# Sessions are read-only and give up early, so that the exporter disturbs nobody.
STATEMENT_MILLISECONDS = 5_000
_SESSION = (
    "-c default_transaction_read_only=on -c lock_timeout=1000"
    f" -c statement_timeout={STATEMENT_MILLISECONDS} -c application_name=realtor-exporter"
)

logger = logging.getLogger(__name__)


def read_only(url: str) -> Database:
    """The database at `url`, in read-only sessions with short timeouts."""
    return Database(url=f"{url}{'&' if '?' in url else '?'}options={quote(_SESSION)}")


def sources(config: PipelineSettings, instance: dg.DagsterInstance) -> Sources:
    """The sources of all metrics."""
    # The code location, which takes seconds to import, has the names of all jobs and checks.
    from realtor_assets.definitions import defs

    jobs = [job.name for job in defs.resolve_all_job_defs()]
    checks = sorted(defs.resolve_asset_graph().asset_check_keys)
    return Sources(
        {
            "dagster": Dagster(instance, jobs, checks),
            "databases": Batches(
                read_only(config.raw_database_url), read_only(config.clean_database_url), config
            ),
            "history": Models(ObjectStore(url=config.storage_url)),
        }
    )


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = settings()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with dg.DagsterInstance.get() as instance:
        # As in Dagster's own webserver: pooled connections and statement timeouts.
        instance.optimize_for_webserver(
            statement_timeout=STATEMENT_MILLISECONDS, pool_recycle=600, max_overflow=1
        )
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(sources(config, instance))
        server, thread = start_http_server(
            config.metrics_port, config.metrics_host, registry=registry
        )
        logger.info("http://%s:%d/metrics", config.metrics_host, server.server_port)
        stopped.wait()
        server.shutdown()
        thread.join()


if __name__ == "__main__":
    main()
