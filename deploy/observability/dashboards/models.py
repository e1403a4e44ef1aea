"""Dashboard of the models: the production version, drift of the batches, and decisions."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.observability.dashboards.parts import (
    HALF,
    Query,
    bars,
    dashboard,
    graph,
    number,
    rows,
    section,
)

_IN_PRODUCTION = "and on (version) realtor_production_model"
_OF_NEWEST = "and on (batch) topk(1, realtor_batch_loaded_timestamp_seconds)"
# City and zip have thousands of rare categories, so their PSI mostly reflects the sample size.
_DRIFTING = 'realtor_drift_psi{feature!~"city|zip_code"}'


def _test_figure(figure: str) -> str:
    return f'max(realtor_model_test_figure{{figure="{figure}"}} {_IN_PRODUCTION})'


def models() -> Dashboard:
    """Builds the dashboard of model quality, drift and decisions."""
    board = dashboard(
        "realtor-models",
        "Realtor: models and drift",
        "Does the model still fit the incoming batches, and what was decided about them?",
        since="now-7d",
    )
    section(
        board,
        "In production",
        number(
            "Version",
            Query("realtor_production_model", "{{version}}"),
            "The version that has the alias `production`.",
            name=True,
        ),
        number(
            "Age",
            f"max(time() - realtor_model_trained_timestamp_seconds {_IN_PRODUCTION})",
            "Time since the training. From 90 days on every batch starts a training.",
            unit="s",
            bad_from=90 * 86_400,
        ),
        number(
            "Median error",
            _test_figure("mdape"),
            "Median absolute percentage error on the test split, measured at the duel.",
            unit="percentunit",
        ),
        number(
            "Within 20 %",
            _test_figure("within_20"),
            "Share of the test split within 20 % of the price.",
            unit="percentunit",
        ),
        number(
            "Coverage",
            _test_figure("coverage"),
            "Share of test prices inside their range; the target is 80 %.",
            unit="percentunit",
        ),
        number(
            "Trained on", "max(realtor_model_train_rows " + _IN_PRODUCTION + ")", "Number of rows."
        ),
        rows(
            "Versions",
            'realtor_model_test_figure{figure=~"mdape|mape|mae|r2|within_20|coverage|cod|prd"}',
            "Test figures of the newest versions. Each version has its own test split; only the "
            "duel compares two versions on the same homes.",
            columns=["version"],
            across="figure",
        ),
        rows(
            "The newest duel",
            "realtor_duel_criterion_passed",
            "1: the challenger passed the criterion. `realtor history` explains the decision.",
            columns=["version", "criterion"],
        ),
    )
    section(
        board,
        "Drift",
        bars(
            "PSI of the newest batch",
            Query(f"sort_desc(max by (feature) (realtor_drift_psi {_OF_NEWEST}))", "{{feature}}"),
            "PSI against the champion's training data: look into it from 0.10 on, act from 0.25. "
            "City and zip always have a high PSI in small batches.",
            limit=0.25,
        ),
        bars(
            "Worst PSI by batch",
            Query(f"max by (batch) ({_DRIFTING})", "{{batch}}"),
            "Without city and zip. Batches that arrived before the first champion have no PSI.",
            limit=0.25,
        ),
        rows(
            "PSI by batch and input",
            "realtor_drift_psi",
            "PSI of the newest twelve batches.",
            columns=["batch"],
            across="feature",
            span=8,
        ),
        graph(
            "Error on arrival",
            [
                Query("realtor_batch_median_error_ratio", "{{batch}}"),
                Query("max(realtor_batch_expected_error_ratio)", "expected"),
            ],
            "Median error of the champion on a batch before it was trained on it; expected: its "
            "median error on its own test split.",
            unit="percentunit",
        ),
        bars(
            "Unseen places by batch",
            Query(
                'realtor_drift_unseen_ratio{feature=~"state|city|zip_code"}',
                "{{batch}} {{feature}}",
            ),
            "Share of the values (missing ones excluded) that did not occur in the training data.",
            unit="percentunit",
        ),
        bars(
            "Missing values of the newest batch",
            Query(
                f"sort_desc(abs(realtor_drift_null_rate_change_ratio {_OF_NEWEST}))", "{{feature}}"
            ),
            "Absolute change of the share of missing values; the limit is 10 percentage points.",
            unit="percentunit",
            limit=0.1,
        ),
    )
    section(
        board,
        "Decisions",
        rows(
            "Decisions on the newest batches",
            "realtor_batch_decision",
            "Train, skip or hold, and the rule that decided.",
            columns=["batch", "decision", "rule"],
        ),
        rows(
            "Figures of the newest duel",
            "realtor_duel_figure",
            "Figures of challenger and champion on the same homes.",
            columns=["criterion", "figure"],
        ),
        graph(
            "Retrain decisions",
            Query("sum by (decision) (realtor_retrain_decisions_total)", "{{decision}}"),
            "Number of decisions on batches so far.",
        ),
        graph(
            "Promotion decisions",
            Query("sum by (decision) (realtor_promotion_decisions_total)", "{{decision}}"),
            "Number of decisions on challengers so far.",
        ),
        graph(
            "Releases",
            Query("sum by (decision) (realtor_releases_total)", "{{decision}}"),
            "Moves of the alias `production`. found: somebody moved it in MLflow by hand.",
        ),
    )
    section(
        board,
        "In service",
        graph(
            "Interval width",
            Query(
                "histogram_quantile(0.5, sum by (le) (rate("
                "prediction_interval_width_ratio_bucket[$__rate_interval])))",
                "median",
            ),
            "Width of the range relative to the price, over all valuations served.",
            unit="percentunit",
            span=HALF,
        ),
        graph(
            "Unknown zips",
            Query(
                'sum(rate(predictions_unknown_category_total{input="zip_code"}[$__rate_interval]))'
                " / clamp_min(sum(rate(predictions_total[$__rate_interval])), 1e-9)",
                "share",
            ),
            "Share of the homes whose zip did not occur in the training data.",
            unit="percentunit",
            span=HALF,
        ),
    )
    return board
