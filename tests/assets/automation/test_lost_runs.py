"""What a code server that ended leaves behind is failed, and tried again."""

from pathlib import Path

import dagster as dg
import yaml

from realtor_assets.automation.lost_runs import fail_lost_runs

ROOT = Path(__file__).parents[3]
RETRIES = yaml.safe_load((ROOT / "dagster.yaml").read_text())["run_retries"]


@dg.job
def work() -> None: ...


def test_only_running_runs_are_failed_and_retried(tmp_path: Path) -> None:
    status = dg.DagsterRunStatus
    with dg.DagsterInstance.local_temp(str(tmp_path), {"run_retries": RETRIES}) as instance:
        runs = {
            each: instance.create_run_for_job(work, status=each).run_id
            for each in (status.NOT_STARTED, status.STARTING, status.STARTED, status.SUCCESS)
        }

        lost = fail_lost_runs(instance)

        assert set(lost) == {runs[status.STARTING], runs[status.STARTED]}
        for run_id in lost:
            run = instance.get_run_by_id(run_id)
            assert run is not None
            assert run.status == status.FAILURE
            assert run.is_complete_and_waiting_to_retry
        for each in (status.NOT_STARTED, status.SUCCESS):
            run = instance.get_run_by_id(runs[each])
            assert run is not None
            assert run.status == each
        assert fail_lost_runs(instance) == []
