"""Dashboard of the service: rate, errors, duration, predictions and the model it serves."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.observability.dashboards.parts import (
    HALF,
    Query,
    dashboard,
    graph,
    label_variable,
    number,
    section,
)

_OF = 'endpoint=~"$endpoint"'
_VALUED = "clamp_min(sum(rate(predictions_total[$__rate_interval])), 1e-9)"


def _quantile(q: float, metric: str, labels: str = "") -> str:
    return f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{labels}[$__rate_interval])))"


def _percentiles(metric: str, labels: str = "") -> list[Query]:
    return [Query(_quantile(q / 100, metric, labels), f"P{q}") for q in (50, 95, 99)]


def service() -> Dashboard:
    """Builds the dashboard of the valuation service."""
    board = dashboard(
        "realtor-service",
        "Realtor: service",
        "Is the valuation service up, and does it answer correctly and fast?",
        since="now-3h",
    ).with_variable(label_variable("endpoint", "api_requests_total"))
    section(
        board,
        "Now",
        number(
            "Replicas up",
            'sum(up{job="service"})',
            "Replicas that answer Prometheus.",
            bad_below=1,
        ),
        number(
            "Version served",
            Query(
                "max by (version, candidate) (model_version) == 1", "{{version}} ({{candidate}})"
            ),
            "During a change of version replicas can serve two versions.",
            name=True,
        ),
        number(
            "Requests",
            "sum(rate(api_requests_total[$__rate_interval]))",
            "Requests per second, over all endpoints and replicas.",
            unit="reqps",
        ),
        number(
            "Errors",
            "service:errors:ratio5m",
            "Share of valuations that failed with 5xx in the last five minutes; the objective is "
            "less than 0.5 %.",
            unit="percentunit",
            bad_from=0.005,
        ),
        number(
            "P95 of /predict",
            _quantile(0.95, "api_request_duration_seconds", '{endpoint="/predict"}'),
            "The objective is 99 % of requests within 200 ms.",
            unit="s",
            bad_from=0.2,
        ),
        number(
            "Alerts",
            'count(ALERTS{alertstate="firing"}) or vector(0)',
            "All alerts that fire now. docs/RUNBOOK.md has a chapter for each.",
            bad_from=1,
        ),
    )
    section(
        board,
        "Requests",
        graph(
            "Rate",
            Query(
                f"sum by (endpoint) (rate(api_requests_total{{{_OF}}}[$__rate_interval]))",
                "{{endpoint}}",
            ),
            "Requests per second.",
            unit="reqps",
            stacked=True,
        ),
        graph(
            "Errors",
            Query(
                "sum by (status) (rate(api_requests_total"
                f'{{{_OF},status=~"[45].."}}[$__rate_interval])) or on () vector(0)',
                "{{status}}",
            ),
            "4xx: errors of the client; 429: refused because of load; 5xx: errors of the service.",
            unit="reqps",
            stacked=True,
        ),
        graph(
            "Duration",
            _percentiles("api_request_duration_seconds", f"{{{_OF}}}"),
            "From the header of the request to the last byte of the response.",
            unit="s",
        ),
        graph(
            "P95 by endpoint",
            Query(
                "histogram_quantile(0.95, sum by (le, endpoint) (rate("
                f"api_request_duration_seconds_bucket{{{_OF}}}[$__rate_interval])))",
                "{{endpoint}}",
            ),
            "Single homes, batches and explanations take different times.",
            unit="s",
        ),
        graph(
            "In progress",
            Query("sum by (instance) (api_requests_in_progress)", "{{instance}}"),
            "Requests in progress; beyond REALTOR_SERVICE_MAX_CONCURRENCY the service answers 429.",
        ),
        graph(
            "Burn rate",
            [
                Query("service:errors:ratio1h / 0.005", "errors, 1 h"),
                Query("service:errors:ratio6h / 0.005", "errors, 6 h"),
                Query("service:slow:ratio1h / 0.01", "slow, 1 h"),
                Query("service:slow:ratio6h / 0.01", "slow, 6 h"),
            ],
            "How many times faster than allowed the monthly error budget is spent. A page is sent "
            "from 14.4 (1 h) or 6 (6 h) on.",
            limit=6,
        ),
    )
    section(
        board,
        "Predictions",
        graph(
            "Homes valued per hour",
            Query(
                "sum by (endpoint) (rate(predictions_total[$__rate_interval])) * 3600",
                "{{endpoint}}",
            ),
            "Each home of a batch counts.",
            stacked=True,
        ),
        graph(
            "Prices",
            _percentiles("prediction_price_dollars"),
            "If the level moves without a new model, clients ask for other homes, or something "
            "is wrong.",
            unit="currencyUSD",
        ),
        graph(
            "Interval width",
            _percentiles("prediction_interval_width_ratio"),
            "Width of the range relative to the price. A wide range means low certainty.",
            unit="percentunit",
        ),
        graph(
            "Unknown places",
            Query(
                "sum by (input) (rate(predictions_unknown_category_total[$__rate_interval]))"
                f" / on () group_left () {_VALUED}",
                "{{input}}",
            ),
            "Share of homes whose state, city or zip did not occur in the training data.",
            unit="percentunit",
            span=HALF,
        ),
        graph(
            "By version",
            Query(
                "sum by (version) (rate(predictions_total[$__rate_interval])) * 3600",
                "version {{version}}",
            ),
            "Homes valued per hour, by model version.",
            span=HALF,
            stacked=True,
        ),
    )
    section(
        board,
        "Model and log",
        graph(
            "Reloads",
            Query(
                "sum by (result) (increase(model_reloads_total[$__rate_interval]))", "{{result}}"
            ),
            "Attempts of a worker to change its model: loaded, refused, or registry unavailable.",
        ),
        graph(
            "Inference log",
            Query(
                "sum by (result) (rate(inference_log_rows_total[$__rate_interval]))", "{{result}}"
            ),
            "Rows per second: written; failed and retried; dropped (lost).",
        ),
        graph(
            "Log queue",
            Query("sum by (instance) (inference_log_queue_rows)", "{{instance}}"),
            "Rows waiting to be written. A full queue (100,000 per worker) drops rows.",
        ),
    )
    return board
