"""Execute a notebook in place, against the platform that the environment names.

(set -a; . .realtor/platform.env; .venv/bin/python -m docs.generator.execute NOTEBOOK)
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
CELL_SECONDS = 600
# tqdm warns that it can't draw widgets, with a path of this machine.
_QUIET = "ignore:IProgress not found"


def execute(notebook: Path, environment: Mapping[str, str]) -> nbformat.NotebookNode:
    """The notebook with the outputs of a fresh kernel, whose environment is `environment`.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails; the message has its traceback.
    """
    content: nbformat.NotebookNode = nbformat.read(notebook, as_version=4)
    client = NotebookClient(
        content,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(ROOT)}},
    )
    # Programs that draw set a backend of their own, which tests that run earlier leave behind.
    inline = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    client.execute(env={"PYTHONWARNINGS": _QUIET, **environment, **inline})
    return content


if __name__ == "__main__":
    for name in sys.argv[1:]:
        nbformat.write(execute(Path(name), os.environ), name)
