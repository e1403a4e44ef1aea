"""The models: what is in production, how batches drift, and what was decided and why."""

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
# City and zip have thousands of thin categories, in which PSI measures the size of the sample.
_DRIFTING = 'realtor_drift_psi{feature!~"city|zip_code"}'


def _test(figure: str) -> str:
    return f'max(realtor_model_test_figure{{figure="{figure}"}} {_IN_PRODUCTION})'


def models() -> Dashboard:
    """Model quality, drift and decisions."""
    made = dashboard(
        "realtor-models",
        "Realtor: models and drift",
        "Does the model still fit what arrives, and what was done about it?",
        since="now-7d",
    )
    section(
        made,
        "In production",
        number(
            "Version",
            Query("realtor_production_model", "{{version}}"),
            "As the alias `production` says.",
            name=True,
        ),
        number(
            "Age",
            f"max(time() - realtor_model_trained_timestamp_seconds {_IN_PRODUCTION})",
            "Since it was trained; from 90 days on every batch is a reason to train.",
            unit="s",
            bad_from=90 * 86_400,
        ),
        number(
            "Median error",
            _test("mdape"),
            "Median absolute percentage error on the test split when it was judged.",
            unit="percentunit",
        ),
        number("Within 20 %", _test("within_20"), "Share of the test split.", unit="percentunit"),
        number(
            "Coverage",
            _test("coverage"),
            "Share of the prices inside their range; 80 % are promised.",
            unit="percentunit",
        ),
        number("Trained on", "max(realtor_model_train_rows " + _IN_PRODUCTION + ")", "Rows."),
        rows(
            "Versions",
            'realtor_model_test_figure{figure=~"mdape|mape|mae|r2|within_20|coverage|cod|prd"}',
            "Test figures of the newest versions, each on the test split of its time: who is "
            "better on the same homes, the duel says.",
            columns=["version"],
            across="figure",
        ),
        rows(
            "The newest duel",
            "realtor_duel_criterion_passed",
            "1: the challenger passed the criterion. `realtor history` has the words.",
            columns=["version", "criterion"],
        ),
    )
    section(
        made,
        "Drift",
        bars(
            "PSI of the newest batch",
            Query(f"sort_desc(max by (feature) (realtor_drift_psi {_OF_NEWEST}))", "{{feature}}"),
            "Against what the champion was trained on; .10 is worth a look, .25 worth acting. City "
            "and zip always look drifted in small batches.",
            limit=0.25,
        ),
        bars(
            "Worst PSI by batch",
            Query(f"max by (batch) ({_DRIFTING})", "{{batch}}"),
            "Without city and zip; none of batches that no champion met.",
            limit=0.25,
        ),
        rows(
            "PSI by batch and input",
            "realtor_drift_psi",
            "The newest twelve batches.",
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
            "Median error of the champion on a batch that it had not seen; expected: on its own "
            "test split.",
            unit="percentunit",
        ),
        bars(
            "Unseen places by batch",
            Query(
                'realtor_drift_unseen_ratio{feature=~"state|city|zip_code"}',
                "{{batch}} {{feature}}",
            ),
            "Share of the known values that training never had.",
            unit="percentunit",
        ),
        bars(
            "Missing values of the newest batch",
            Query(
                f"sort_desc(abs(realtor_drift_null_rate_change_ratio {_OF_NEWEST}))", "{{feature}}"
            ),
            "Change of the share of missing values, either way; limit 10 points.",
            unit="percentunit",
            limit=0.1,
        ),
    )
    section(
        made,
        "Decisions",
        rows(
            "What was decided of the newest batches",
            "realtor_batch_decision",
            "Train, skip or hold, and by which rule.",
            columns=["batch", "decision", "rule"],
        ),
        rows(
            "Figures of the newest duel",
            "realtor_duel_figure",
            "Challenger and champion on the same homes.",
            columns=["criterion", "figure"],
        ),
        graph(
            "Retrain decisions",
            Query("sum by (decision) (realtor_retrain_decisions_total)", "{{decision}}"),
            "Of all batches so far.",
        ),
        graph(
            "Promotion decisions",
            Query("sum by (decision) (realtor_promotion_decisions_total)", "{{decision}}"),
            "Of all challengers so far.",
        ),
        graph(
            "Releases",
            Query("sum by (decision) (realtor_releases_total)", "{{decision}}"),
            "Moves of the alias `production`; found: past the platform, in MLflow.",
        ),
    )
    section(
        made,
        "In service",
        graph(
            "Interval width",
            Query(
                "histogram_quantile(0.5, sum by (le) (rate("
                "prediction_interval_width_ratio_bucket[$__rate_interval])))",
                "median",
            ),
            "Of what people ask for, relative to the price.",
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
            "Share of the homes whose zip the model never saw.",
            unit="percentunit",
            span=HALF,
        ),
    )
    return made
