"""Where this code is, and where what it writes goes unless REALTOR_HOME says so."""

from pathlib import Path

from platformdirs import user_data_path

ROOT = Path(__file__).resolve().parents[1]
"""The folder of our packages: a checkout's top, or `site-packages`."""


def checkout() -> Path | None:
    """The checkout of the repository that this code runs in; None if it was installed."""
    return ROOT if (ROOT / "workspace.yaml").is_file() else None


def default_home() -> Path:
    """REALTOR_HOME if it is unset: `.realtor` in a checkout, else the user's data folder.

    The data folder is `~/.local/share/realtor` on Linux (XDG_DATA_HOME moves it) and
    `~/Library/Application Support/realtor` on macOS.
    """
    folder = checkout()
    return user_data_path("realtor") if folder is None else folder / ".realtor"
