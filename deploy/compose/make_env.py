"""`python make_env.py TAG [FILE]` writes FILE (default: .env in this folder) with random secrets.

It never overwrites a file.
"""

import hashlib
import os
import secrets
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(tag: str, target: Path = HERE / ".env") -> int:
    """Returns the exit status: 1 when `target` exists, else 0."""
    values = {"IMAGE_TAG": tag}
    for program in ("SERVICE", "APP", "PROMETHEUS", "LOAD"):
        key = secrets.token_hex(32)
        values[f"{program}_API_KEY"] = key
        values[f"{program}_API_KEY_SHA256"] = hashlib.sha256(key.encode()).hexdigest()
    lines = []
    for line in (HERE / ".env.example").read_text().splitlines():
        name, is_setting, value = line.partition("=")
        if is_setting and not name.startswith("#") and not value:
            # Hexadecimal secrets need no quoting in a URL.
            line = f"{name}={values.get(name) or secrets.token_hex(24)}"
        lines.append(line)
    try:
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{target} already exists, and its secrets are in use.", file=sys.stderr)
        return 1
    with open(file, "w") as text:
        text.write("\n".join(lines) + "\n")
    webhook = HERE / "alert-webhook-url"
    if not webhook.exists():
        webhook.write_text("http://alerts.invalid/\n")
        webhook.chmod(0o644)
        print(f"Alerts are not delivered yet: write the URL of your webhook to {webhook}")
    print(f"Wrote {target}. Keep it: the stored data need its passwords.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(Path, sys.argv[2:3])))
