"""Counts the Python calls of `POST /predict` for a home that the model knows, and in another zip.

A program, run by `benchmarks.calls`:

    python -P benchmarks/_count_calls.py MODULE:SERVICE < homes.json

It imports the standard library and the service alone, so that it runs in any checkout.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections import Counter
from types import FrameType
from typing import Any

WARM_UP = 30
# An answer is counted and logged two turns of the event loop after it is sent.
TURNS = 5


async def main() -> None:
    """Print {home: [[file, function, calls], …]}, and end the process."""
    module, _, name = sys.argv[1].partition(":")
    app = getattr(importlib.import_module(module), name).to_asgi()
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    await incoming.put({"type": "lifespan.startup"})
    lifespan = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    running = asyncio.create_task(app(lifespan, incoming.get, outgoing.put))
    started = await outgoing.get()
    assert started["type"] == "lifespan.startup.complete", started
    for home in json.load(sys.stdin):
        if not (await ask(app, home))["warnings"]:
            break
    else:
        raise LookupError("each home has a warning")
    warned = home | {"zip_code": "00001"}
    assert len((await ask(app, warned))["warnings"]) == 1
    counts = {"a known home": await count(app, home), "an unknown zip": await count(app, warned)}
    print(json.dumps(counts), flush=True)
    del running
    # The service's threads end with its process.
    os._exit(0)


async def count(app: Any, home: dict[str, Any]) -> list[tuple[str, str, int]]:
    """File, function and number of the calls that `home` takes."""
    for _ in range(WARM_UP):
        await ask(app, home)
    calls: Counter[tuple[str, str]] = Counter()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            calls[frame.f_code.co_filename, frame.f_code.co_qualname] += 1

    sys.setprofile(note)
    await ask(app, home)
    sys.setprofile(None)
    return [(*place, number) for place, number in calls.items()]


async def ask(app: Any, home: dict[str, Any]) -> Any:
    """The answer for `home`, once it is counted and logged as well."""
    body = json.dumps(home).encode()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/predict",
            "raw_path": b"/predict",
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", b"127.0.0.1:8080"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
            ],
            "client": ("127.0.0.1", 50_000),
            "server": ("127.0.0.1", 8080),
            "state": {},
        },
        receive,
        send,
    )
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert sent[0]["status"] == 200, sent
    return json.loads(b"".join(each.get("body", b"") for each in sent))


if __name__ == "__main__":
    asyncio.run(main())
