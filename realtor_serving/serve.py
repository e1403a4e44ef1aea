"""`python -m realtor_serving.serve`: `bentoml serve` without its open control port.

BentoML's process manager (circus) accepts commands on a TCP port of loopback without
authentication. Every user of the machine can reach that port and run programs through it. Here it
listens on Unix sockets in a folder that only its own user can open.
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
