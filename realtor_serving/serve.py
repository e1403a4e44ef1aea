"""`python -m realtor_serving.serve`: `bentoml serve` without its open control port.

BentoML's process manager (circus) listens for commands, "run this" among them, on an
unauthenticated TCP port of loopback, where every user of the machine can reach it. Here it listens
on sockets in a folder that only its own user may enter.
"""

import atexit
import shutil
import tempfile
from typing import Any

from bentoml._internal.utils import circus
from bentoml_cli.cli import cli


def _private_arbiter(watchers: Any, *, threaded: bool = False, **options: Any) -> Any:
    folder = tempfile.mkdtemp(prefix="realtor-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    kind = circus.ThreadedArbiter if threaded else circus.Arbiter
    return kind(
        watchers,
        endpoint=f"ipc://{folder}/control",
        pubsub_endpoint=f"ipc://{folder}/events",
        check_delay=options.pop("check_delay", 10),
        **options,
    )


if __name__ == "__main__":
    circus.create_standalone_arbiter = _private_arbiter
    cli(prog_name="bentoml")
