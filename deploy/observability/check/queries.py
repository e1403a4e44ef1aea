"""Every query that the dashboards and the rules ask, and whether Prometheus has data for it."""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import yaml

from deploy.observability.check.files import DASHBOARDS, RULES

# What Grafana puts in: for a scrape interval of 15 seconds, and for "All".
_SUBSTITUTES = {"$__rate_interval": "1m", "$endpoint": ".+"}
_LABEL_VALUES = re.compile(r"label_values\((?P<metric>\w+), (?P<label>\w+)\)")


@dataclass(frozen=True)
class Asked:
    """A query, and where it stands."""

    where: str
    expr: str


def of_dashboards() -> Iterator[Asked]:
    """Every panel's queries, and those of the variables, as Prometheus is asked them."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        told = json.loads(path.read_text())
        for panel in told["panels"]:
            for target in panel.get("targets", []):
                yield Asked(f"{path.stem}: {panel['title']}", substituted(target["expr"]))
        for variable in told.get("templating", {}).get("list", []):
            found = _LABEL_VALUES.fullmatch(variable["query"])
            if found is None:
                raise ValueError(f"{path.stem}: ${variable['name']} is no label_values(…)")
            yield Asked(
                f"{path.stem}: ${variable['name']}",
                f"count by ({found['label']}) ({found['metric']})",
            )


def rules() -> list[dict[str, Any]]:
    """Every rule of the committed files."""
    groups = [
        group
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
    ]
    return [rule for group in groups for rule in group["rules"]]


def of_recordings() -> Iterator[Asked]:
    """What each recording rule records."""
    for rule in rules():
        if "record" in rule:
            yield Asked("recording rule", rule["record"])


def substituted(expr: str) -> str:
    """`expr` with Grafana's variables filled in. Raises ValueError for one that is not known."""
    for name, value in _SUBSTITUTES.items():
        expr = expr.replace(name, value)
    if "$" in expr:
        raise ValueError(f"a variable of Grafana's is left: {expr}")
    return expr


def problem(prometheus: str, asked: Asked) -> str | None:
    """Why `asked` shows nothing; None when it shows something."""
    answer = httpx.post(f"{prometheus}/api/v1/query", data={"query": asked.expr}, timeout=30)
    told = answer.json()
    if told["status"] != "success":
        return f"{asked.where}: {told['error']}: {asked.expr}"
    values = [float(series["value"][1]) for series in told["data"]["result"]]
    if any(not math.isnan(value) for value in values):
        return None
    return f"{asked.where}: {'NaN only' if values else 'no series'}: {asked.expr}"
