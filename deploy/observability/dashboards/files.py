"""The dashboards as JSON files for Grafana."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.observability.dashboards.models import models
from deploy.observability.dashboards.pipeline import pipeline
from deploy.observability.dashboards.service import service

FOLDER = Path(__file__).parents[1] / "grafana" / "dashboards"


def documents() -> dict[str, str]:
    """The JSON text of every dashboard, by file name."""
    builders = {"service.json": service(), "models.json": models(), "pipeline.json": pipeline()}
    return {name: _to_json(builder.build()) for name, builder in builders.items()}


def _to_json(dashboard: Dashboard) -> str:
    for panel_id, panel in enumerate(dashboard.panels or [], 1):
        panel.id_val = panel_id
    return json.dumps(dashboard, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"
