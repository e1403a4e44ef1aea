"""`realtor`, and `python -m realtor_local` where our code is copied and not installed: in images.

The command comes with every installation, its packages with the extra `local` alone.
"""

from __future__ import annotations

import sys

from realtor_local.errors import INSTALL
from realtor_model import __version__


def main() -> None:
    """The entry point. A package that is not installed is named in one line, with the fix."""
    try:
        from realtor_local.cli import main as run

        run()
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        if not package or package.startswith("realtor_"):
            raise
        sys.exit(
            f"realtor {__version__}: this command needs {package}, which is not installed here."
            f" {INSTALL} brings it."
        )


if __name__ == "__main__":
    main()
