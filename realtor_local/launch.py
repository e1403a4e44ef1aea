"""What supervisord runs: `python -m realtor_local.launch PROGRAM`.

Reads the program from run/programs.json, so that no path and no password stands in supervisord's
configuration or in an argument list, ends what a killed predecessor has left, drops privileges,
and becomes the program.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from realtor_local.processes import PROGRAM_MARK, STACK_MARK, marked, stop

PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", STACK_MARK, PROGRAM_MARK)


def main(name: str) -> None:
    """Does not return."""
    specification = Path(os.environ["REALTOR_HOME"], "run", "programs.json").read_text()
    program = json.loads(specification)[name]
    if program["sole"]:
        stop(marked(os.environ[STACK_MARK], name), grace=2)
    os.chdir(program["directory"])
    environment = {**os.environ, PROGRAM_MARK: name}
    if program["account"] is not None:
        uid, gid = program["account"]
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        # Other processes of this account can read the environment, so it holds no secret.
        environment = {key: environment[key] for key in PASSED_ON if key in environment}
    os.execvpe(program["command"][0], program["command"], environment)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1])
