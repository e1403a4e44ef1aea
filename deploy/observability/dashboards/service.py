"""The service: rate, errors, duration, what it predicts, and which model it serves."""

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
    """The valuation service."""
    made = dashboard(
        "realtor-service",
        "Realtor: service",
        "Is the valuation service up, right and quick?",
        since="now-3h",
    ).with_variable(label_variable("endpoint", "api_requests_total"))
    section(
        made,
        "Now",
        number("Replicas up", 'sum(up{job="service"})', "That answer Prometheus.", bad_below=1),
        number(
            "Version served",
            Query(
                "max by (version, candidate) (model_version) == 1", "{{version}} ({{candidate}})"
            ),
            "More than one while replicas change over.",
            name=True,
        ),
        number(
            "Requests",
            "sum(rate(api_requests_total[$__rate_interval]))",
            "Answered in a second, over all endpoints and replicas.",
            unit="reqps",
        ),
        number(
            "Errors",
            "service:errors:ratio5m",
            "Share of the valuations asked for in five minutes that ended in 5xx; objective 0.5 %.",
            unit="percentunit",
            bad_from=0.005,
        ),
        number(
            "P95 of /predict",
            _quantile(0.95, "api_request_duration_seconds", '{endpoint="/predict"}'),
            "Objective: 99 % within 200 ms.",
            unit="s",
            bad_from=0.2,
        ),
        number(
            "Alerts",
            'count(ALERTS{alertstate="firing"}) or vector(0)',
            "That fire now, of all kinds: docs/RUNBOOK.md has a chapter on each.",
            bad_from=1,
        ),
    )
    section(
        made,
        "Requests",
        graph(
            "Rate",
            Query(
                f"sum by (endpoint) (rate(api_requests_total{{{_OF}}}[$__rate_interval]))",
                "{{endpoint}}",
            ),
            "Requests answered in a second.",
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
            "4xx: the client's; 429: turned away; 5xx: ours.",
            unit="reqps",
            stacked=True,
        ),
        graph(
            "Duration",
            _percentiles("api_request_duration_seconds", f"{{{_OF}}}"),
            "From the head of a request to the last byte of its answer.",
            unit="s",
        ),
        graph(
            "P95 by endpoint",
            Query(
                "histogram_quantile(0.95, sum by (le, endpoint) (rate("
                f"api_request_duration_seconds_bucket{{{_OF}}}[$__rate_interval])))",
                "{{endpoint}}",
            ),
            "Single homes, batches and explanations cost differently.",
            unit="s",
        ),
        graph(
            "In progress",
            Query("sum by (instance) (api_requests_in_progress)", "{{instance}}"),
            "Requests being answered; beyond REALTOR_SERVICE_MAX_CONCURRENCY they get a 429.",
        ),
        graph(
            "Burn rate",
            [
                Query("service:errors:ratio1h / 0.005", "errors, 1 h"),
                Query("service:errors:ratio6h / 0.005", "errors, 6 h"),
                Query("service:slow:ratio1h / 0.01", "slow, 1 h"),
                Query("service:slow:ratio6h / 0.01", "slow, 6 h"),
            ],
            "How many times faster than allowed a month's budget goes: a page is sent from 14.4 "
            "(1 h) and 6 (6 h) on.",
            limit=6,
        ),
    )
    section(
        made,
        "Predictions",
        graph(
            "Homes valued in an hour",
            Query(
                "sum by (endpoint) (rate(predictions_total[$__rate_interval])) * 3600",
                "{{endpoint}}",
            ),
            "A batch counts each of its homes.",
            stacked=True,
        ),
        graph(
            "Prices",
            _percentiles("prediction_price_dollars"),
            "A level that moves without a new model means other homes, or an error.",
            unit="currencyUSD",
        ),
        graph(
            "Interval width",
            _percentiles("prediction_interval_width_ratio"),
            "Width of the range relative to the price: how sure the model is.",
            unit="percentunit",
        ),
        graph(
            "Unknown places",
            Query(
                "sum by (input) (rate(predictions_unknown_category_total[$__rate_interval]))"
                f" / on () group_left () {_VALUED}",
                "{{input}}",
            ),
            "Share of the homes whose state, city or zip the model never saw.",
            unit="percentunit",
            span=HALF,
        ),
        graph(
            "By version",
            Query(
                "sum by (version) (rate(predictions_total[$__rate_interval])) * 3600",
                "version {{version}}",
            ),
            "Homes valued in an hour, by the version that valued them.",
            span=HALF,
            stacked=True,
        ),
    )
    section(
        made,
        "Model and log",
        graph(
            "Reloads",
            Query(
                "sum by (result) (increase(model_reloads_total[$__rate_interval]))", "{{result}}"
            ),
            "Changes of the model in a worker: loaded, refused, or the registry was unavailable.",
        ),
        graph(
            "Inference log",
            Query(
                "sum by (result) (rate(inference_log_rows_total[$__rate_interval]))", "{{result}}"
            ),
            "Rows in a second: written; failed, and tried again; dropped for good.",
        ),
        graph(
            "Log queue",
            Query("sum by (instance) (inference_log_queue_rows)", "{{instance}}"),
            "Rows that wait to be written; a full queue (100,000 a worker) drops.",
        ),
    )
    return made
