"""API keys of the service, which knows only their sha256.

    python -m realtor_serving.http.api_keys

prints a new key, and what to put into `REALTOR_SERVICE_API_KEYS`.
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

# What a proxy adds: with one of them, the peer is not who asks.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ApiKeys:
    """The keys that are let in: the sha256, hex, of each. A long random key needs no salt."""

    hashes: frozenset[str]

    @classmethod
    def read(cls, told: str) -> Self:
        """Hashes separated by commas, or @FILE with one a line.

        Raises ValueError for what is no sha256, OSError for a file that cannot be read.
        """
        file = told.removeprefix("@")
        parts = Path(file).read_text().split("\n") if file != told else told.split(",")
        hashes = [part.strip().lower() for part in parts if part.strip() and part[0] != "#"]
        for each in hashes:
            if not _SHA256.fullmatch(each):
                raise ValueError("an API key is given by its sha256, 64 hex digits")
        return cls(frozenset(hashes))

    def allow(self, authorization: str) -> bool:
        """Whether the Authorization header carries one of the keys, as Bearer."""
        scheme, _, key = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return False
        told = _sha256(key.strip())
        return any(hmac.compare_digest(told, each) for each in self.hashes)


def is_local(scope: Mapping[str, Any], headers: Headers) -> bool:
    """Whether the request was made on this machine, and not passed on by a proxy on it.

    Both ends of the connection must be loopback. A proxy that adds no header of its own cannot be
    told from a local program: `REALTOR_SERVICE_TRUST_LOOPBACK` is for machines that have one.
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
