"""The bundle inside a bento, and the registered version it was made from."""

import json
from pathlib import Path

from realtor_serving.champion.model_registry import RegisteredVersion

PACKAGED_BUNDLE = "champion_bundle"


def packaged_version(bundle: Path) -> RegisteredVersion:
    """The registered version of a packaged bundle, from the file beside it."""
    try:
        entry = json.loads(bundle.with_name(f"{bundle.name}.json").read_text())
    except FileNotFoundError:
        return RegisteredVersion("packaged", "")
    return RegisteredVersion(entry["version"], entry["run_id"])
