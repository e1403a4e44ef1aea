"""Fail the runs that ended with their code server: python -m realtor_assets.automation.lost_runs

For a container whose code server runs the runs itself, before that server starts. Dagster cannot
see that they are gone: they would hold their places in the pools for dagster.yaml's
max_runtime_seconds.
"""

import logging

import dagster as dg

# Those being canceled end by themselves: Dagster waits for them for three minutes.
_LIVE = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def fail_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """The ids of the runs that Dagster believed alive: failed now, and retried as after a crash."""
    lost = instance.get_runs(dg.RunsFilter(statuses=_LIVE))
    for run in lost:
        instance.report_run_failed(run, "The code server that ran it has ended.")
    return [run.run_id for run in lost]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    with dg.DagsterInstance.get() as instance:
        for run_id in fail_lost_runs(instance):
            logging.info("run %s was lost with its code server", run_id)
