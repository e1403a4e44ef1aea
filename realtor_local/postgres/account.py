"""Who runs the server: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Account:
    """The unprivileged user that runs the server when we are root."""

    name: str
    uid: int
    gid: int

    @property
    def popen(self) -> dict[str, Any]:
        """Arguments of subprocess.Popen that drop to this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def can(self, command: Sequence[str | Path]) -> bool:
        """Whether this user can run `command`."""
        try:
            subprocess.run(  # noqa: S603  # a fixed command
                command, cwd="/", check=True, capture_output=True, **self.popen
            )
        except (PermissionError, subprocess.CalledProcessError):
            return False
        return True


def account_for(existing: Path) -> Account | None:
    """Who runs the server of the cluster `existing`, there or to be made; None: we ourselves."""
    if os.geteuid() != 0:
        return None
    owner = existing.stat().st_uid if existing.exists() else 0
    entry = pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
