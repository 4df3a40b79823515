"""Find the source of each operation of a graph: its line, its expression, and the variable it is assigned to."""

from __future__ import annotations

import ast
import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, NamedTuple

from ...common.call_site import NUMPY, PACKAGE
from ...node import Node, switched
from ..one_line import on_one_line
from ..paths import Traced, overflow_place

DEEP = 4  # how many calling functions are noted for each operation
LONG = 60  # how many characters of an expression are shown


class Line(NamedTuple):
    """An expression of the source: its file and line, its text, and the variable that it is assigned to, or ""."""

    file: str
    line: int
    text: str
    name: str


@contextmanager
def recording_locations() -> Iterator[None]:
    """Note for each operation of this block the places in the user's source, and their callers, that computed it."""
    with switched("inspect", _record_location):
        yield


def _record_location(node: Node, tensor: Any) -> Any:
    frame: FrameType | None = sys._getframe(1)
    sites: list[tuple[CodeType, int]] = []
    while frame is not None and frame.f_code.co_filename.startswith((PACKAGE, NUMPY)):
        frame = frame.f_back
    while frame is not None and len(sites) < DEEP and not frame.f_code.co_filename.startswith(PACKAGE):
        if not frame.f_code.co_filename.startswith(NUMPY):
            sites.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    node.note(sites=tuple(sites))
    return tensor


def call_sites(graph: Traced) -> dict[int, tuple[Any, ...]]:
    """Return for each operation its call sites: the innermost alone, then with one, two, ... of its callers."""
    sites_by_place = {}
    for place, node in enumerate(graph.operations):
        sites = (node.notes or {}).get("sites", ())
        sites_by_place[place] = tuple(sites[: k + 1] for k in range(len(sites)))
    return sites_by_place


def line_of(node: Node) -> Line | None:
    """Return the source expression that an operation comes from; None if it is not known."""
    sites = (node.notes or {}).get("sites", ())
    if not sites:
        return None
    code, last = sites[0]
    positions = list(code.co_positions())[last // 2]
    start, end, start_column, end_column = positions
    if start is None or end is None or start_column is None or end_column is None:
        return None
    lines = [linecache.getline(code.co_filename, k) for k in range(start, end + 1)]
    if not all(lines):
        return None
    encoded = [line.encode() for line in lines]
    encoded[-1] = encoded[-1][:end_column]
    encoded[0] = encoded[0][start_column:]
    text = on_one_line(b"".join(encoded).decode(errors="replace"))
    name = _target(linecache.getline(code.co_filename, start), start_column, end_column) if start == end else ""
    return Line(code.co_filename, start, text, name)


def _target(line: str, start_column: int, end_column: int) -> str:
    """Return the variable that a line assigns to, if the expression is its whole right side; else ""."""
    before = line.encode()[:start_column].decode(errors="replace").strip()
    after = line.encode()[end_column:].decode(errors="replace").strip()
    if not before.endswith("=") or (after and after[0] not in "#;"):
        return ""
    name = before.rstrip("=").rstrip("+-*/@ ").rpartition(";")[2].strip()
    try:
        ast.parse(name)
    except SyntaxError:
        return ""
    return name


def name_values(graph: Traced) -> None:
    """Name each value that the source assigns to a variable after that variable."""
    lines: dict[Any, Line | None] = {}
    for node in graph.operations:
        site = (node.notes or {}).get("sites", (None,))[0]
        if site is not None and site not in lines:
            lines[site] = line_of(node)
        line = lines.get(site)
        if line is not None and line.name:
            node.note(name=line.name)


def describe_operation(graph: Traced, place: int, times: int = 1, *, run: bool = True) -> str:
    """Return words for an operation: its name, source expression and line; or its number in the order of the run.

    Args:
        graph, place: the operation.
        times: for how many runs of the expression the words stand.
        run: whether to tell which run of the expression it is, if it ran several times.
    """
    node = graph.operations[place]
    name = node.primitive.name if node.primitive else ""
    line = line_of(node)
    if line is None:
        count = len(graph.operations)
        return f"{name}, operation {count - place} of {count}"
    shown_text = f"{line.name} = {line.text}" if line.name else line.text
    if len(shown_text) > LONG:
        shown_text = shown_text[: LONG - 3] + "..."
    run_text = f", in each of {times} runs" if times > 1 else _run_text(graph, place) if run else ""
    return f"{name}{f' in `{shown_text}`' if shown_text else ''}, line {line.line}{run_text}"


def overflow_notes(graph: Traced) -> list[str]:
    """Return the note that `backward` gives NaN where this comparison takes 0 times infinity as 0, or []."""
    place = overflow_place(graph)
    if place is None:
        return []
    operation = describe_operation(graph, place, run=False)
    note = (f"{operation}: the result overflows, so its gradient, 0 times infinity, is NaN in `backward`. The true "
            "derivative is 0 up to rounding there, and this comparison takes it as 0. An equation that does not "
            "overflow has no such NaN: for 1 / (1 + np.exp(-z)), write np.tanh(z / 2) / 2 + 0.5.")  # fmt: skip
    return [note]


def _run_text(graph: Traced, place: int) -> str:
    """Return words for which run of its expression an operation is, or "" if it ran once."""
    node = graph.operations[place]
    site = (node.notes or {})["sites"][0]
    alike = [p for p, n in enumerate(graph.operations)
             if n.primitive is node.primitive and (n.notes or {}).get("sites", (None,))[0] == site]  # fmt: skip
    return f", run {sum(p >= place for p in alike)} of {len(alike)}" if len(alike) > 1 else ""
