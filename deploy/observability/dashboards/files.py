"""The dashboards as the files that Grafana reads."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.observability.dashboards.models import models
from deploy.observability.dashboards.pipeline import pipeline
from deploy.observability.dashboards.service import service

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"


def documents() -> dict[str, str]:
    """File name → JSON of every dashboard."""
    made = {"service.json": service(), "models.json": models(), "pipeline.json": pipeline()}
    return {name: _text(each.build()) for name, each in made.items()}


def _text(made: Dashboard) -> str:
    for number, panel in enumerate(made.panels or [], 1):
        panel.id_val = number
    return json.dumps(made, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
