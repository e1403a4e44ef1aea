"""Where the committed files are, and what a run on one machine changes in them."""

from collections.abc import Mapping
from pathlib import Path

import yaml

FOLDER = Path(__file__).parents[1]
DASHBOARDS = FOLDER / "grafana" / "dashboards"
PROMETHEUS = FOLDER / "prometheus"
RULES = PROMETHEUS / "rules"
ALERTMANAGER = FOLDER / "alertmanager" / "alertmanager.yml"


def prometheus_config(targets: Mapping[str, str], service_key: Path) -> str:
    """The committed configuration with other addresses, job → host:port, and another file with
    the key of the service. All else stays.
    """
    told = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    told["rule_files"] = [str(PROMETHEUS / pattern) for pattern in told["rule_files"]]
    jobs = {job["job_name"]: job for job in told["scrape_configs"]}
    if missing := jobs.keys() ^ targets.keys():
        raise ValueError(f"jobs without an address, or the other way about: {sorted(missing)}")
    for name, job in jobs.items():
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [targets[name]]}]
    jobs["service"]["authorization"]["credentials_file"] = str(service_key)
    managers = [{"static_configs": [{"targets": [targets["alertmanager"]]}]}]
    told["alerting"]["alertmanagers"] = managers
    return str(yaml.safe_dump(told))


def alertmanager_config(webhook: str) -> str:
    """The committed configuration with the webhook's URL in it.

    Debian's Alertmanager is older than `url_file`.
    """
    told = yaml.safe_load(ALERTMANAGER.read_text())
    for receiver in told["receivers"]:
        for each in receiver["webhook_configs"]:
            del each["url_file"]
            each["url"] = webhook
    return str(yaml.safe_dump(told))
