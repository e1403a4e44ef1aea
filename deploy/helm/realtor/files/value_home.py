"""What `helm test` runs: values the market's example home, and fails when no price comes back.

It needs Python alone, because the image serving has little else. REALTOR_SERVICE_URL is the
service; REALTOR_APP_API_KEY is the key that it sends.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

# A NetworkPolicy takes a while to know a new pod. Until then its connections are refused.
WAIT_SECONDS = float(os.environ.get("REALTOR_TEST_WAIT_SECONDS", "60"))


def ask(url: str, key: str, body: object = None) -> Any:
    """The answer to GET, or to POST with a body. Raises OSError, for an HTTP error too."""
    request = urllib.request.Request(
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def value_home(url: str, key: str) -> Any:
    """The valuation of the example home of the service's market. Raises OSError."""
    inputs = ask(f"{url}/model-info", key)["inputs"]
    home = {name: each["example"] for name, each in inputs.items() if "example" in each}
    return ask(f"{url}/predict", key, home)


def main() -> str:
    """Returns one line about the price. Raises SystemExit: there is none, with the reason."""
    url, key = os.environ["REALTOR_SERVICE_URL"], os.environ["REALTOR_APP_API_KEY"]
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            answer = value_home(url, key)
            break
        except urllib.error.HTTPError as error:
            text = error.read(500).decode(errors="replace")
            raise SystemExit(f"{url} answers {error.code}: {text}") from None
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"{url} does not answer: {error}. The service is ready with its first model;"
                    " train one in Dagster."
                ) from None
            time.sleep(2)
        except ValueError as error:
            raise SystemExit(f"{url} does not answer with JSON: {error}") from None
    price = answer.get("price") if isinstance(answer, dict) else None
    if not isinstance(price, int | float) or isinstance(price, bool) or price <= 0:
        raise SystemExit(f"{url} answers without a price: {json.dumps(answer)[:500]}")
    return f"{url} values its example home at {price:,.0f} {answer.get('currency')}."


if __name__ == "__main__":
    sys.stdout.write(main() + "\n")
