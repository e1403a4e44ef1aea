"""`python make_env.py TAG [FILE]`: writes FILE, or .env beside this, with random secrets.

Never over an old one.
"""

import hashlib
import os
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(tag: str, target: Path = HERE / ".env") -> int:
    """Returns 0, and 1 when there is such a file already."""
    known = {"IMAGE_TAG": tag}
    for whose in ("SERVICE", "APP", "PROMETHEUS", "LOAD"):
        key = secrets.token_hex(32)
        known[f"{whose}_API_KEY"] = key
        known[f"{whose}_API_KEY_SHA256"] = hashlib.sha256(key.encode()).hexdigest()
    lines = []
    for line in (HERE / ".env.example").read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not name.startswith("#") and not value:
            # Hexadecimal, so that it stands in a URL as it is.
            line = f"{name}={known.get(name) or secrets.token_hex(24)}"
        lines.append(line)
    try:
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{target} is there already; its secrets are in use.", file=sys.stderr)
        return 1
    with open(file, "w") as text:
        text.write("\n".join(lines) + "\n")
    webhook = HERE / "alert-webhook-url"
    if not webhook.exists():
        webhook.write_text("http://alerts.invalid/\n")
        webhook.chmod(0o644)
        print(f"Alerts go nowhere yet: put the URL to post them to into {webhook}")
    print(f"{target} is written; keep it: its passwords are those of the data.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(Path, sys.argv[2:3])))
