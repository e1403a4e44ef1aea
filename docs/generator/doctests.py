"""Griffe extension: examples in docstrings are code, without a heading of their own."""

import re
from typing import Any

import griffe

# From a line that starts with >>> to the next blank line.
_EXAMPLE = re.compile(r"^>>> .*(?:\n.*\S.*)*", re.M)


class FencedDoctests(griffe.Extension):  # type: ignore[misc]  # untyped without the group
    """Puts each example into a fence: Markdown reads >>> as quotations and [a](b) as links."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of every module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = _EXAMPLE.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
