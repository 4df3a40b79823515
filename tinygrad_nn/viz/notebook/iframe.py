"""HTML pages in the output of a notebook cell, in a sandboxed frame whose scripts cannot access the notebook."""

from __future__ import annotations

import base64
import os
from html import escape
from pathlib import Path
from typing import Any

from ...common.printable import html_text, printable
from ...files import write_whole

HEIGHT = 640  # height of a frame in pixels
LARGEST = 24_000_000  # bytes; a larger page is not embedded in the notebook, but opened from its file
PICTURES = {".gif": "image/gif", ".png": "image/png", ".svg": "image/svg+xml"}
_Path: Any = type(Path())


def framed_page(page: str, title: str) -> str:
    """Return an ``<iframe>`` with a page: its scripts run, but cannot read anything outside of the frame."""
    about = html_text(title)
    style = f"box-sizing:border-box;width:100%;height:{HEIGHT}px;border:1px solid #8b949e80;border-radius:6px"
    inside = escape(page, quote=True)
    return f'<iframe title="{about}" sandbox="allow-scripts" style="{style}" srcdoc="{inside}"></iframe>'


class Page:
    """A page that was not written to a file. A notebook displays it; `save` writes it.

    Attributes:
        html: the HTML text.
        title: the title of the page.
    """

    def __init__(self, html: str, title: str) -> None:
        self.html, self.title = html, title

    def _repr_html_(self) -> str:
        return framed_page(self.html, self.title)

    def __repr__(self) -> str:
        return f"<page {printable(self.title)!r}; a notebook shows it, .save('page.html') writes it>"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file, completely or not at all, and return its path.

        Raises:
            ValueError: the path does not end in .html.
            FileNotFoundError: the folder does not exist.
        """
        if Path(path).suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"this is a page; {str(path)!r} should end in .html.")
        return WrittenFile(write_whole(path, self.html.encode()))


class WrittenFile(_Path):  # type: ignore[misc]
    """The path of a written page or picture; a notebook displays the content of the file."""

    def __repr__(self) -> str:
        return repr(Path(self))

    def _repr_html_(self) -> str | None:
        path = Path(self)
        kind = path.suffix.lower()
        if kind not in (".html", ".htm", *PICTURES) or not path.is_file():
            return None
        where = html_text(path)
        if path.stat().st_size > LARGEST:
            return f"<p>{where} has {path.stat().st_size / 1e6:,.0f} MB; open it in a browser.</p>"
        if kind not in PICTURES:
            return framed_page(path.read_text(encoding="utf-8"), path.name)
        data = base64.b64encode(path.read_bytes()).decode()
        return f'<img style="max-width:100%;height:auto" alt="{where}" src="data:{PICTURES[kind]};base64,{data}">'
