"""Executed notebooks as pages: the cells, and the outputs that the notebook was committed with."""

import base64
import json
from pathlib import Path
from typing import Any


def page(notebook: Path) -> dict[str, str | bytes]:
    """The page of `notebook` and its pictures, by their paths in the site."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts: list[str] = []
    pictures: dict[str, str | bytes] = {}
    for cell in cells:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{notebook.stem}-{len(pictures)}.png"
                pictures[f"notebooks/{name}"] = base64.b64decode(_text(data["image/png"]))
                parts.append(f"![The output of the cell above]({name})")
            else:
                shown = data.get("text/plain", output.get("text", ""))
                parts.append(f"```text\n{_text(shown).rstrip()}\n```")
    return {f"notebooks/{notebook.stem}.md": "\n\n".join(parts) + "\n", **pictures}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "".join(value)
