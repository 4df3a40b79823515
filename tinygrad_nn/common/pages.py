"""HTML pages: a template with its parts filled in, and data that a script of the page reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def fill_template(template: str, parts: Mapping[str, str]) -> str:
    """Return a page with ``{{name}}`` replaced by the part of that name, in one pass: braces in a part stay.

    Example:
        >>> fill_template("<h1>{{title}}</h1><p>{{text}}</p>", {"title": "{{text}}", "text": "two"})
        '<h1>{{text}}</h1><p>two</p>'
    """
    pieces = re.split(rf"{{{{({'|'.join(parts)})}}}}", template)
    return "".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces))


def script_json(value: Any, indent: int | None = None, separators: tuple[str, str] | None = (",", ":")) -> str:
    r"""Return ASCII JSON that is safe inside a ``<script>``, whatever texts it has: ``<`` is written as ``\u003c``."""
    text = json.dumps(value, indent=indent, separators=separators, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
