"""Metrics of Dagster: runs, daemons, asset checks."""

from collections.abc import Iterable, Sequence

import dagster as dg
from prometheus_client.metrics_core import Metric

from realtor_assets.exporter.families import counter, gauge

Status = dg.DagsterRunStatus
ENDED = (Status.SUCCESS, Status.FAILURE, Status.CANCELED)
ACTIVE = (Status.QUEUED, Status.NOT_STARTED, Status.STARTING, Status.STARTED, Status.CANCELING)
# What Dagster calls the job of assets that somebody materializes in the UI.
BY_HAND = "__ASSET_JOB"


class Dagster:
    """Reads `instance`: the runs of `jobs`, and the latest evaluation of each of `checks`."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        jobs: Sequence[str],
        checks: Sequence[dg.AssetCheckKey],
    ) -> None:
        self._instance = instance
        self._jobs = jobs
        self._checks = checks

    def __call__(self) -> Iterable[Metric]:
        """The metrics, from about 100 small indexed queries."""
        last = {(job, status): self._last(job, status) for job in self._jobs for status in ENDED}
        yield counter(
            "dagster_runs",
            "Runs that ended, by job and status.",
            ("job", "status"),
            [((job, status.value), self._count(status, job)) for job, status in last],
        )
        yield gauge(
            "dagster_runs_active",
            "Runs that have not ended, by status.",
            ("status",),
            [((status.value,), self._count(status)) for status in ACTIVE],
        )
        yield gauge(
            "dagster_run_last_ended_timestamp_seconds",
            "When the newest run of a job that ended so did; none when there was none.",
            ("job", "status"),
            [
                ((job, status.value), record.end_time)
                for (job, status), record in last.items()
                if record
            ],
        )
        yield gauge(
            "dagster_run_last_duration_seconds",
            "How long the newest successful run of a job took.",
            ("job",),
            [
                ((job,), record.end_time - record.start_time)
                for (job, status), record in last.items()
                if status is Status.SUCCESS and record and record.start_time and record.end_time
            ],
        )
        yield gauge(
            "dagster_daemon_heartbeat_timestamp_seconds",
            "When a daemon that this instance needs was last alive.",
            ("daemon",),
            [
                ((daemon,), status.last_heartbeat.timestamp if status.last_heartbeat else None)
                for daemon, status in self._instance.get_daemon_statuses().items()
            ],
        )
        yield self._latest_checks()

    def _count(self, status: Status, job: str | None = None) -> int:
        return self._instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=[status]))

    def _last(self, job: str, status: Status) -> dg.RunRecord | None:
        filters = dg.RunsFilter(job_name=job, statuses=[status])
        return next(iter(self._instance.get_run_records(filters, limit=1)), None)

    def _latest_checks(self) -> Metric:
        samples = []
        for key in self._checks:
            record = self._instance.get_latest_asset_check_evaluation_record(key)
            evaluation = record.evaluation if record else None
            # A planned evaluation has no outcome yet.
            if isinstance(evaluation, dg.AssetCheckEvaluation):
                labels = (*key.asset_key.path[-1:], key.name, evaluation.severity.value)
                samples.append((labels, evaluation.passed))
        return gauge(
            "dagster_asset_check_passed",
            "1 when the latest evaluation of an asset check passed; a criterion of a duel has the "
            "severity WARN: a challenger that loses is the pipeline at work.",
            ("asset", "check", "severity"),
            samples,
        )
