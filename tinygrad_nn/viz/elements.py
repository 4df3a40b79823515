"""The JavaScript that all pages of drawings begin with: functions that make elements of HTML and SVG."""

from importlib import resources


def elements() -> str:
    """Return that script; ``el(tag, attributes, ...children)`` makes an element of HTML, ``svg`` one of SVG."""
    return (resources.files(__package__) / "elements.js").read_text(encoding="utf-8")
