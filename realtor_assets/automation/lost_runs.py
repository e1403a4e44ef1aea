"""Marks runs as failed that ended with their code server.

    python -m realtor_assets.automation.lost_runs

Call it before the code server starts, in a container whose code server executes the runs. Dagster
does not notice that they are gone, so they would occupy the pools for dagster.yaml's
max_runtime_seconds.
"""

import logging

import dagster as dg

# Not CANCELING: Dagster itself ends those after three minutes.
_LIVE = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]


def fail_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail every run that Dagster believes alive; returns their ids. Retries follow as usual."""
    lost = instance.get_runs(dg.RunsFilter(statuses=_LIVE))
    for run in lost:
        instance.report_run_failed(run, "The code server that ran it has ended.")
    return [run.run_id for run in lost]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    with dg.DagsterInstance.get() as instance:
        for run_id in fail_lost_runs(instance):
            logging.info("run %s was lost with its code server", run_id)
