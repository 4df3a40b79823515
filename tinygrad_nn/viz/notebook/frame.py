"""Pages in the output of a cell: in a frame of their own, out of which no script reaches the notebook."""

from __future__ import annotations

import base64
import os
from html import escape
from pathlib import Path
from typing import Any

from ...files import write_whole
from ...printable import printable

HEIGHT = 640  # of a frame, in pixels
LARGEST = 24_000_000  # bytes of a page that goes into a notebook; a larger one is opened from its file
PICTURES = {".gif": "image/gif", ".png": "image/png", ".svg": "image/svg+xml"}
_Path: Any = type(Path())


def framed(page: str, title: str, height: int = HEIGHT) -> str:
    """Return a whole page as a frame of HTML: its scripts run, and can read nothing of what is around it."""
    about = escape(printable(title), quote=True)
    style = f"box-sizing:border-box;width:100%;height:{height}px;border:1px solid #8b949e80;border-radius:6px"
    inside = escape(page, quote=True)
    return f'<iframe title="{about}" sandbox="allow-scripts" style="{style}" srcdoc="{inside}"></iframe>'


class Page:
    """A page that was not written to a file. A notebook shows it by itself; `save` writes it.

    Attributes:
        html: the page.
        title: what it is.
    """

    def __init__(self, html: str, title: str) -> None:
        self.html, self.title = html, title

    def _repr_html_(self) -> str:
        return framed(self.html, self.title)

    def __repr__(self) -> str:
        return f"<page {printable(self.title)!r}; a notebook shows it, .save('page.html') writes it>"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page, whole or not at all, and return its path.

        Raises:
            ValueError: a path that does not end in .html.
            FileNotFoundError: the folder does not exist.
        """
        if Path(path).suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"this is a page; {str(path)!r} should end in .html.")
        return Written(write_whole(path, self.html.encode()))


class Written(_Path):  # type: ignore[misc]
    """The path of a page or a picture that was written; a notebook shows what is in the file."""

    def __repr__(self) -> str:
        return repr(Path(self))

    def _repr_html_(self) -> str | None:
        path = Path(self)
        kind = path.suffix.lower()
        if kind not in (".html", ".htm", *PICTURES) or not path.is_file():
            return None
        where = escape(printable(path), quote=True)
        if path.stat().st_size > LARGEST:
            return f"<p>{where} has {path.stat().st_size / 1e6:,.0f} MB; open it in a browser.</p>"
        if kind not in PICTURES:
            return framed(path.read_text(encoding="utf-8"), path.name)
        data = base64.b64encode(path.read_bytes()).decode()
        return f'<img style="max-width:100%;height:auto" alt="{where}" src="data:{PICTURES[kind]};base64,{data}">'
