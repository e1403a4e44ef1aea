"""The asset ratio_study: the appraiser's ratio study (IAAO) of the Production model."""

import dagster as dg
import pandas as pd

from realtor_assets.clean.clean_build import required_build
from realtor_assets.metadata import OWNERS, plots
from realtor_assets.raw.raw_listings import read_listings
from realtor_assets.resources import Database
from realtor_assets.resources.mlflow_tracking import Tracking
from realtor_model import sampling
from realtor_model.evaluation.metrics import ratio_study as study_ratios
from realtor_model.evaluation.metrics import slices

MIN_SEGMENT = 30


SEGMENTS_SHOWN = 15


@dg.asset(
    group_name="monitor",
    kinds={"pandas"},
    owners=OWNERS,
    deps=["production_model", "raw_test"],
    description="The ratio study (IAAO) of the Production model on the test split: median "
    "ratio, COD, PRD and PRB, overall and by status, state and fifth of the estimate.",
)
def ratio_study(
    raw_database: Database, clean_database: Database, tracking: Tracking
) -> dg.MaterializeResult[None]:
    champion, model = tracking.production_model()
    test = read_listings(raw_database, "test", loads=required_build(clean_database).loads)
    predicted = model.predict(test.columns)
    labels = {
        "status": test.columns["status"],
        "state": test.columns["state"],
        "fifth of the estimate": sampling.quintiles(predicted),
    }
    segments = pd.concat(
        [slices(test.price, predicted, values).assign(by=by) for by, values in labels.items()]
    )
    shown = segments[segments["n"] >= MIN_SEGMENT].sort_values("n", ascending=False)
    study = study_ratios(test.price, predicted)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(champion.version)),
        metadata={
            "model_version": str(champion.version),
            **{name: float(value) for name, value in study.items()},
            "segments": dg.MetadataValue.md(
                shown.head(SEGMENTS_SHOWN).to_markdown(index=False, floatfmt=",.3f")
            ),
            "ratios": plots.in_markdown(plots.ratio_histogram(test.price, predicted), "ratios"),
        },
    )
