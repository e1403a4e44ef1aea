"""Alerts: what a person has to know of, in the log and, where one is set, at a webhook.

Another way to be told is another subclass of `Alerts`, put into `definitions.py` in its place.
"""

import logging
from dataclasses import asdict, dataclass

import dagster as dg
import httpx

logger = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Alert:
    """What happened, in one line; what is known of it; and where to look."""

    title: str
    text: str
    url: str | None = None


class Alerts(dg.ConfigurableResource[None]):
    """Tells people. `webhook_url` takes the alert as JSON: title, text, url."""

    webhook_url: str | None = None

    def send(self, alert: Alert) -> None:
        """Tell it everywhere. Raises `httpx.HTTPError` when the webhook does not take it."""
        logger.error("ALERT %s: %s %s", alert.title, alert.text, alert.url or "")
        if self.webhook_url:
            # `text` alone is what most chat programs show of a post.
            told = asdict(alert) | {
                "text": f"{alert.title}: {alert.text} {alert.url or ''}".strip()
            }
            httpx.post(self.webhook_url, json=told, timeout=_TIMEOUT_SECONDS).raise_for_status()
