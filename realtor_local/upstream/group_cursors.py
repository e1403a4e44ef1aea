"""The cursor of each group, stored so that it survives a restart."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from realtor_local.errors import RealtorError
from realtor_local.private_files import write_private
from realtor_local.upstream.say import say


class StateError(RealtorError):
    """The state file cannot be used; the text says what to do with it."""


class _State(BaseModel):
    source: str
    next_batch: dict[str, int]


class Cursors:
    """The next batch of each group, kept in a file where one is given.

    `source` names the data: cursors of other data are not taken over. Not for concurrent use: the
    server calls it from its event loop only. Raises StateError for a file that cannot be used.
    """

    def __init__(self, source: str, file: Path | None = None) -> None:
        self._source, self._file = source, file
        self._next: dict[str, int] = {}
        if file and not file.parent.is_dir():
            raise StateError(f"{file.parent}, the folder of the state file, does not exist")
        if file and file.exists():
            try:
                state = _State.model_validate_json(file.read_text())
            except (OSError, ValueError) as error:
                raise StateError(
                    f"{file} is not a state file of the stand-in upstream; delete it to start "
                    f"every group at batch 0 ({error})"
                ) from error
            if state.source == source:
                self._next = state.next_batch
            else:
                say(f"{file} belongs to other listings: every group starts at batch 0")

    def position(self, key: str) -> int:
        return self._next.get(key, 0)

    def move(self, key: str, batch: int) -> None:
        """Sets the cursor; it is on the disk when this returns."""
        moved = {**self._next, key: batch}
        if self._file:
            state = _State(source=self._source, next_batch=moved)
            write_private(self._file, state.model_dump_json())
        self._next = moved
