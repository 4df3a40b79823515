"""Rendering of DOT text as SVG, PNG or PDF by a program of Graphviz."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html import escape
from importlib import metadata
from pathlib import Path

NO_PROGRAM = (
    "drawing {format} needs a program of Graphviz, and none was found. Install one with `pip install graphviz-pure` "
    "(SVG and PNG) or Graphviz itself (also PDF): `apt install graphviz`, `brew install graphviz` or "
    "https://graphviz.org/download. Without it, .html, .dot, .json and .mmd files can still be written."
)
NO_PDF = (
    "drawing PDF needs the `dot` program of Graphviz itself, which was not found: `apt install graphviz`, "
    "`brew install graphviz` or https://graphviz.org/download. The installed graphviz-pure writes .svg and .png."
)
PATIENCE = 120  # seconds; arranging a graph takes much longer than computing it
TOO_LARGE = (
    "arranging this graph was given up after {seconds} seconds. Draw less of it: fold layers with depth=0, hide "
    "constants with constants=False, or draw an earlier result; .dot, .json and .mmd files can be written at any size."
)
_STACK = "Helvetica,Arial,'Liberation Sans',sans-serif"  # fonts of the same widths, in order of preference


def programs() -> Iterator[str]:
    """Yield the paths of the installed programs: `dot` of the system first, then `graphviz-pure`."""
    system = shutil.which("dot")
    if system:
        yield system
    pure = _pure()
    if pure:
        yield pure


def _pure() -> str | None:
    """Return the path of graphviz-pure, which is found even if the virtual environment is not active."""
    name = "graphviz-pure.exe" if os.name == "nt" else "graphviz-pure"
    try:
        files = metadata.files("graphviz-pure") or []
    except metadata.PackageNotFoundError:
        files = []
    installed = [str(Path(str(file.locate())).resolve().parent) for file in files if file.name == name]
    return next(filter(None, (shutil.which(name, path=folder) for folder in installed)), None) or shutil.which(name)


def render(dot: str, format: str) -> bytes:
    """Return DOT text rendered as ``"svg"``, ``"png"`` or ``"pdf"``.

    Raises:
        RuntimeError: no suitable program is installed, the program failed, or the graph is too large; the message says
            what to do.
    """
    found = list(programs())
    if not found:
        raise RuntimeError(NO_PROGRAM.format(format=format.upper()))
    if format == "pdf":
        found = [program for program in found if "graphviz-pure" not in Path(program).name]
        if not found:
            raise RuntimeError(NO_PDF)
    said = ""
    for program in found:
        command = [program, f"-T{format}", *(["-Gdpi=144"] if format == "png" else [])]
        try:
            done = subprocess.run(command, input=dot.encode(), capture_output=True, check=False, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            raise RuntimeError(TOO_LARGE.format(seconds=PATIENCE)) from None
        if done.returncode == 0 and done.stdout:
            return done.stdout
        said += f"\n{program}: {done.stderr.decode(errors='replace').strip()[:1000]}"
    raise RuntimeError(f"the program that draws graphs failed:{said}\nThe graph can still be written as a .dot file.")


def tidy_svg(svg: str, about: dict[str, str], title: str) -> str:
    """Return Graphviz's SVG without its prolog, with fallback fonts and a tooltip on every part.

    Args:
        svg: the output of Graphviz.
        about: the tooltip of each part, by its id.
        title: the title of the whole picture.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'font-family="Helvetica[^"]*"', f'font-family="{_STACK}"', svg)

    def name(match: re.Match[str]) -> str:
        text = about.get(match[2], title if match[3] == "graph" else "")
        return f"{match[1]}<title>{escape(text)}</title>" if text else match[1]

    svg = re.sub(r'(<g id="(\w+)" class="(\w+)"[^>]*>\s*)<title>.*?</title>', name, svg, flags=re.DOTALL)
    svg = _names_above(svg)
    opening = f'<svg role="img" aria-label="{escape(title)}" style="max-width:100%;height:auto"'
    return svg.replace("<svg", opening, 1).rstrip() + "\n"


def _names_above(svg: str) -> str:
    """Return the SVG with box names drawn last, outlined in the color of the box, so that arrows pass under them."""
    names: list[str] = []

    def take(match: re.Match[str]) -> str:
        rim = f'<text paint-order="stroke" stroke="{match[2]}" stroke-width="4" stroke-linejoin="round" '
        names.append(match[3].replace("<text ", rim, 1))
        return match[1] + match[4]

    box = r'(<g id="b\d+" class="cluster">.*?<\w+ fill="([^"]+)"[^>]*/>\s*)(<text .*?</text>\s*)(</g>)'
    svg = re.sub(box, take, svg, flags=re.DOTALL)
    body, end, rest = svg.rpartition("</g>")
    return body + "".join(names) + end + rest
