"""The queries of dashboards and recording rules, and a check that Prometheus has data for them."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from deploy.observability.check.files import DASHBOARDS, RULES

# The values that Grafana inserts for a scrape interval of 15 seconds and for "All".
_SUBSTITUTES = {"$__rate_interval": "1m", "$endpoint": ".+"}
_LABEL_VALUES = re.compile(r"label_values\((?P<metric>\w+), (?P<label>\w+)\)")


@dataclass(frozen=True)
class LocatedQuery:
    """A query and the panel, variable or rule that contains it."""

    where: str
    expr: str


def dashboard_queries() -> Iterator[LocatedQuery]:
    """The queries of every panel and variable, as Grafana sends them to Prometheus."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        dashboard = json.loads(path.read_text())
        for panel in dashboard["panels"]:
            for target in panel.get("targets", []):
                yield LocatedQuery(f"{path.stem}: {panel['title']}", substituted(target["expr"]))
        for variable in dashboard.get("templating", {}).get("list", []):
            match = _LABEL_VALUES.fullmatch(variable["query"])
            if match is None:
                raise ValueError(f"{path.stem}: ${variable['name']} is not a label_values(…) query")
            yield LocatedQuery(
                f"{path.stem}: ${variable['name']}",
                f"count by ({match['label']}) ({match['metric']})",
            )


def rules() -> list[dict[str, Any]]:
    """All recording and alerting rules of the committed files."""
    groups = [
        group
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    return [rule for group in groups for rule in group["rules"]]


def recording_rule_queries() -> Iterator[LocatedQuery]:
    """A query for the series that each recording rule records."""
    for rule in rules():
        if "record" in rule:
            yield LocatedQuery("recording rule", rule["record"])


def substituted(expr: str) -> str:
    """`expr` with values for Grafana's variables. Raises ValueError for an unknown variable."""
    for name, value in _SUBSTITUTES.items():
        expr = expr.replace(name, value)
    if "$" in expr:
        raise ValueError(f"unknown Grafana variable: {expr}")
    return expr


def problem(prometheus: str, query: LocatedQuery) -> str | None:
    """The reason why `query` returns no data; None when it returns data."""
    response = httpx.post(f"{prometheus}/api/v1/query", data={"query": query.expr}, timeout=30)
    answer = response.json()
    if answer["status"] != "success":
        return f"{query.where}: {answer['error']}: {query.expr}"
    values = [float(series["value"][1]) for series in answer["data"]["result"]]
    if any(not math.isnan(value) for value in values):
        return None
    return f"{query.where}: {'NaN only' if values else 'no series'}: {query.expr}"
