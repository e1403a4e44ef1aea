"""The bundle that a bento carries, and the release that it was."""

import json
from pathlib import Path

from realtor_serving.champion.model_registry import Release

PACKAGED_BUNDLE = "champion_bundle"


def packaged_release(bundle: Path) -> Release:
    """The release that a packaged bundle was, from the file beside it."""
    try:
        told = json.loads(bundle.with_name(f"{bundle.name}.json").read_text())
    except FileNotFoundError:
        return Release("packaged", "")
    return Release(told["version"], told["run_id"])
