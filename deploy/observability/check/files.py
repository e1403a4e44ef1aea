"""Paths of the committed files, and the changes that a run on one machine needs in them."""

from collections.abc import Mapping
from pathlib import Path

import yaml

FOLDER = Path(__file__).parents[1]
DASHBOARDS = FOLDER / "grafana" / "dashboards"
PROMETHEUS = FOLDER / "prometheus"
RULES = PROMETHEUS / "rules"
ALERTMANAGER = FOLDER / "alertmanager" / "alertmanager.yml"


def prometheus_config(targets: Mapping[str, str], service_key: Path) -> str:
    """The committed configuration with other targets and another credentials file.

    Args:
        targets: host:port of each job.
        service_key: file with the API key of the service.

    Raises:
        ValueError: `targets` and the configuration name different jobs.
    """
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["rule_files"] = [str(PROMETHEUS / pattern) for pattern in config["rule_files"]]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    if missing := jobs.keys() ^ targets.keys():
        raise ValueError(f"jobs without a target, or targets without a job: {sorted(missing)}")
    for name, job in jobs.items():
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [targets[name]]}]
    jobs["service"]["authorization"]["credentials_file"] = str(service_key)
    managers = [{"static_configs": [{"targets": [targets["alertmanager"]]}]}]
    config["alerting"]["alertmanagers"] = managers
    return str(yaml.safe_dump(config))


def alertmanager_config(webhook: str) -> str:
    """The committed configuration with the URL `webhook` instead of a file that contains it.

    Debian's Alertmanager does not know `url_file` yet.
    """
    config = yaml.safe_load(ALERTMANAGER.read_text())
    for receiver in config["receivers"]:
        for webhook_config in receiver["webhook_configs"]:
            del webhook_config["url_file"]
            webhook_config["url"] = webhook
    return str(yaml.safe_dump(config))
