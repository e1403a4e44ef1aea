"""What `helm test` runs: values a home with the service, and fails when no price comes back.

It needs Python alone, because the image serving has little else. REALTOR_SERVICE_URL is the
service; REALTOR_APP_API_KEY is the key that it sends.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request

HOME = {
    "status": "for_sale",
    "bed": 3,
    "bath": 2,
    "acre_lot": 0.2,
    "city": "Hartford",
    "state": "Connecticut",
    "zip_code": "06114",
    "house_size": 1600,
}
# A NetworkPolicy takes a while to know a new pod. Until then its connections are refused.
WAIT_SECONDS = float(os.environ.get("REALTOR_TEST_WAIT_SECONDS", "60"))


def value_home(url: str, key: str) -> dict[str, object]:
    """The service's answer to POST /predict. Raises OSError, for an HTTP error too."""
    request = urllib.request.Request(
        f"{url}/predict",
        data=json.dumps(HOME).encode(),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {key}"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        answer: dict[str, object] = json.load(response)
    return answer


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
    return f"{url} values a home in Hartford at {price:,.0f} dollars."


if __name__ == "__main__":
    sys.stdout.write(main() + "\n")
