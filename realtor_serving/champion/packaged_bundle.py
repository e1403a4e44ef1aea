"""The bundle inside a bento and its registered version."""

import json
from pathlib import Path

from realtor_serving.champion.model_registry import RegisteredVersion

PACKAGED_BUNDLE = "champion_bundle"


def packaged_version(bundle: Path) -> RegisteredVersion:
    """The registered version of a packaged bundle, read from the JSON file beside it.

    Without that file, the version is "packaged".
    """
    try:
        entry = json.loads(bundle.with_name(f"{bundle.name}.json").read_text())
    except FileNotFoundError:
        return RegisteredVersion("packaged", "")
    return RegisteredVersion(entry["version"], entry["run_id"])
