"""Faults that the stand-in upstream can inject."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FaultKind = Literal[
    "slow", "http500", "truncated", "aborted", "repeated", "renamed", "text", "end404"
]
FAULTS: Mapping[FaultKind, str] = {
    "slow": "answers after :seconds",
    "http500": "answers 500; the cursor stays",
    "truncated": "half of the body in a well-formed HTTP answer",
    "aborted": "half of the body, then the connection breaks",
    "repeated": "the cursor stays, so the batch comes again",
    "renamed": "the column price is called amount",
    "text": "prices are texts such as 'about $239,800'",
    "end404": "answers 404 with the end-of-data text, as the API's first description has it",
}


@dataclass(frozen=True)
class Fault:
    """A fault that occurs once, when `batch` is requested."""

    kind: FaultKind
    batch: int
    seconds: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Fault:
        """From 'kind@batch' or 'slow@batch:seconds'. Raises ArgumentTypeError."""
        written = re.fullmatch(r"(\w+)@(\d+)(?::(\d+(?:\.\d+)?))?", text)
        for known in FAULTS:
            if written and written[1] == known:
                return cls(known, int(written[2]), float(written[3] or 0))
        raise argparse.ArgumentTypeError(
            f"{text!r} is not kind@batch[:seconds] with one of {', '.join(FAULTS)}"
        )
