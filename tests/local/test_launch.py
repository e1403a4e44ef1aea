"""What supervisord runs: the program of run/programs.json, in its folder, with its account."""

import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from realtor_local.processes import PROGRAM_MARK, STACK_MARK

SHOW = """
import json, os
print(json.dumps({"cwd": os.getcwd(), "uid": os.getuid(), "environment": dict(os.environ)}))
"""


def launched(home: Path, **program: Any) -> dict[str, Any]:
    """What a program that `realtor_local.launch` becomes sees of its process."""
    specification = {
        "command": [sys.executable, "-c", SHOW],
        "directory": str(home),
        "account": None,
        "sole": True,
    }
    (home / "run").mkdir()
    (home / "run" / "programs.json").write_text(json.dumps({"show": specification | program}))
    done = subprocess.run(
        [sys.executable, "-m", "realtor_local.launch", "show"],
        env=os.environ | {"REALTOR_HOME": str(home), STACK_MARK: str(home), "SECRET": "a password"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def test_a_program_runs_in_its_folder_under_its_mark(tmp_path: Path) -> None:
    seen = launched(tmp_path)

    assert seen["cwd"] == str(tmp_path)
    assert seen["environment"][PROGRAM_MARK] == "show"
    assert seen["environment"]["SECRET"] == "a password"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another account")
def test_a_program_of_another_account_sees_no_secret(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")

    seen = launched(
        tmp_path,
        command=["/bin/sh", "-c", 'echo "{\\"uid\\": $(id -u), \\"environment\\": \\"$(env)\\"}"'
                 " | tr '\\n' ' '"],
        directory="/",
        account=[nobody.pw_uid, nobody.pw_gid],
    )  # fmt: skip

    assert seen["uid"] == nobody.pw_uid
    assert "password" not in seen["environment"]
    assert f"{PROGRAM_MARK}=show" in seen["environment"]
