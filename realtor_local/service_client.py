"""An HTTP client of the valuation service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from realtor_local.errors import RealtorError
from realtor_local.program_health import http_client


class ServiceError(RealtorError):
    """The service does not answer, or refuses; the text is the reason."""


def example_home(info: Mapping[str, Any]) -> dict[str, object]:
    """The example home of the market that /model-info describes."""
    inputs: Mapping[str, Mapping[str, Any]] = info["inputs"]
    return {name: about["example"] for name, about in inputs.items() if "example" in about}


class ServiceClient:
    """The service at `url`. Every method raises ServiceError."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def model_info(self, timeout: float = 30.0) -> dict[str, Any]:
        return self._ask("GET", "/model-info", timeout=timeout)

    def reload(self) -> dict[str, Any]:
        """POST /reload-model: load the Production model now. Returns before, after and changed."""
        return self._ask("POST", "/reload-model", timeout=120.0)

    def predict(self, listing: Mapping[str, object]) -> dict[str, Any]:
        """The valuation of one property."""
        return self._ask("POST", "/predict", body=listing)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        timeout: float = 30.0,
    ) -> dict[str, Any]:
        try:
            with http_client(timeout) as client:
                answer = client.request(method, f"{self.url}{path}", json=body or {})
        except httpx.HTTPError as error:
            raise ServiceError(
                f"The service at {self.url} does not answer ({error}). Is the platform up?"
                " `realtor status` shows it."
            ) from error
        if answer.is_success:
            return dict(answer.json())
        raise ServiceError(_refusal(answer))


def _refusal(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        body = {}
    if not isinstance(body, dict) or not body:
        return f"The service answers {answer.status_code}: {answer.text[:300]}"
    error, detail = body.get("error") or body.get("status"), body.get("detail")
    # `error` names every field; `detail` is for programs, and is shown where it is text.
    if isinstance(detail, str):
        return f"{error}: {detail}" if error else detail
    return str(error or f"The service answers {answer.status_code}: {answer.text[:300]}")
