"""The resource `alerts`: messages to people, in the log and at a webhook.

For another channel, write a subclass of `Alerts` and use it in `definitions.py`.
"""

import logging
from dataclasses import asdict, dataclass

import dagster as dg
import httpx

logger = logging.getLogger(__name__)
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Alert:
    """A message to people.

    Attributes:
        title: what happened, in one line.
        text: the error, or other details.
        url: the page with more.
    """

    title: str
    text: str
    url: str | None = None


class Alerts(dg.ConfigurableResource[None]):
    """Sends alerts. `webhook_url` receives each as JSON: title, text, url."""

    webhook_url: str | None = None

    def send(self, alert: Alert) -> None:
        """Log `alert` and post it to the webhook, if there is one.

        Raises:
            httpx.HTTPError: the webhook does not answer or refuses.
        """
        logger.error("ALERT %s: %s %s", alert.title, alert.text, alert.url or "")
        if self.webhook_url:
            # Most chat programs show only `text`.
            payload = asdict(alert) | {
                "text": f"{alert.title}: {alert.text} {alert.url or ''}".strip()
            }
            httpx.post(self.webhook_url, json=payload, timeout=_TIMEOUT_SECONDS).raise_for_status()
