"""The asset bento: the Production model packaged with the service."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import dagster as dg

from realtor_assets.metadata import OWNERS
from realtor_assets.publish.withdrawal import withdraw
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import BUNDLE_ARTIFACT, Tracking
from realtor_assets.resources.registered_models import unreadable_failure
from realtor_model.valuation.bundle import BrokenBundle, UnreadableBundle, save_bundle


@dg.asset(
    group_name="publish",
    kinds={"bentoml"},
    owners=OWNERS,
    deps=["production_model"],
    pool="pipeline",
    description="The Production model packaged with the service. The bento needs no registry, "
    "database or network. A version with a damaged bundle is rolled back; one of another release "
    "is not.",
)
def bento(clean_database: Database, tracking: Tracking) -> dg.MaterializeResult[None]:
    champion = tracking.production()
    version = str(champion.version)
    try:
        model = tracking.load_bundle(champion)
    except UnreadableBundle as problem:
        # An earlier version would be of another release, too: Production stays.
        raise unreadable_failure(version, problem) from problem
    except BrokenBundle as problem:
        reason = f"The bundle of version {version} is damaged: {problem}"
        raise withdraw(clean_database, tracking, version, reason) from problem
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / BUNDLE_ARTIFACT
        save_bundle(model, bundle)
        # In a subprocess: packaging belongs to realtor_serving, which assets do not import.
        packaged = subprocess.run(  # noqa: S603
            [
                sys.executable, "-m", "realtor_serving.packaging.bento_packager", str(bundle),
                "--version", version, "--run-id", champion.run_id or "",
            ],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
    if packaged.returncode != 0:
        raise dg.Failure(f"the bento could not be built:\n{packaged.stderr[-4000:]}")
    built = json.loads(packaged.stdout.splitlines()[-1])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "tag": str(built["tag"]),
            "path": dg.MetadataValue.path(str(built["path"])),
            "model_version": version,
        },
    )
