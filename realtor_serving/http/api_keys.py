"""API keys of the service. The service stores only their sha256.

    python -m realtor_serving.http.api_keys

prints a new key and its entry for `REALTOR_SERVICE_API_KEYS`.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from starlette.datastructures import Headers

# Headers that a proxy adds. A request with one of them does not come from the peer itself.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ApiKeys:
    """The accepted keys, as hex sha256. No salt: the keys are long and random."""

    hashes: frozenset[str]

    @classmethod
    def read(cls, setting: str) -> Self:
        """The keys in the setting `REALTOR_SERVICE_API_KEYS`.

        Args:
            setting: hashes separated by commas, or @FILE with one hash per line.

        Raises:
            ValueError: an entry is not a sha256.
            OSError: the file cannot be read.
        """
        file = setting.removeprefix("@")
        parts = Path(file).read_text().split("\n") if file != setting else setting.split(",")
        hashes = [part.strip().lower() for part in parts if part.strip() and part[0] != "#"]
        for sha256 in hashes:
            if not _SHA256.fullmatch(sha256):
                raise ValueError("an API key is given by its sha256, 64 hex digits")
        return cls(frozenset(hashes))

    def allow(self, authorization: str) -> bool:
        """Whether the Authorization header holds a Bearer token that is one of the keys."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return False
        sha256 = _sha256(key.strip())
        return any(hmac.compare_digest(sha256, accepted) for accepted in self.hashes)


def is_local(scope: Mapping[str, Any], headers: Headers) -> bool:
    """Whether the request was made on this machine and did not pass through a proxy.

    Both ends of the connection must be loopback. A proxy on this machine that adds no header looks
    like a local program; set `REALTOR_SERVICE_TRUST_LOOPBACK` to false on such machines.
    """
    ends = (scope.get("client"), scope.get("server"))
    return all(end is not None and _is_loopback(end[0]) for end in ends) and not any(
        name in headers for name in _FORWARDED
    )


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def main() -> None:
    """Print a new key and its hash."""
    key = secrets.token_urlsafe(32)
    print(f"key (for the client: Authorization: Bearer …)  {key}")
    print(f"REALTOR_SERVICE_API_KEYS={_sha256(key)}")


if __name__ == "__main__":
    main()
