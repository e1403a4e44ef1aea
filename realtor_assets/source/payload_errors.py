"""A payload that cannot be read, and which failures are a payload's own."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from realtor_model.reading.received_batch import SchemaChanged

_log = logging.getLogger(__name__)
# The object store, the machine, and a broken installation: the next try may succeed.
_NOT_THE_PAYLOADS = (OSError, MemoryError, ImportError, NameError)


class PayloadUnreadable(Exception):
    """A landed payload cannot be read; the text says why."""


@contextmanager
def blamed_on_payload(key: str) -> Iterator[None]:
    """Turns every failure of the block into `PayloadUnreadable`, but for those of the machine.

    For reading and checking alone. They depend on nothing but the payload's bytes, so what fails
    once fails for ever: the payload must be refused, or it would hold up all later ones. If the
    fault is ours after all, the log has the traceback, and the payload can be loaded again after an
    upgrade. What writes to a database is never inside such a block.
    """
    try:
        yield
    except (PayloadUnreadable, SchemaChanged):
        raise
    except _NOT_THE_PAYLOADS:
        raise
    except Exception as problem:
        _log.warning("%s is refused", key, exc_info=True)
        raise PayloadUnreadable(
            f"{key} cannot be read: {type(problem).__name__}: {problem}"
        ) from problem
