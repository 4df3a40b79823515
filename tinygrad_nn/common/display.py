"""Short text for objects (``__repr__``) and shapes that do not fit, and pictures of objects in a notebook.

The modules above this one draw the pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from .printable import printable

FEW, WIDE, LONG = 6, 100, 60  # at most: entries that are shown, characters of a line, characters of a string
ELEMENTWISE = frozenset({"add", "subtract", "multiply", "divide", "power", "maximum", "minimum", "where"})
PICTURES: list[Callable[[Any], str | None]] = []  # holds the function that draws, once the package is imported


def picture(thing: Any) -> str | None:
    """Return the HTML that a notebook shows in place of an object's text; ``None`` if there is none."""
    return PICTURES[0](thing) if PICTURES else None


def ipython() -> Any:
    """Return the IPython shell that runs this code, else ``None``; IPython itself is not imported."""
    find = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return find() if find is not None else None


def notebook() -> Any:
    """Return the IPython shell of the notebook that runs this code, else ``None``."""
    shell = ipython()
    return shell if getattr(shell, "kernel", None) is not None else None


def brief(value: Any, inner: bool = False) -> str:
    """Return a short one-line text of a value: an array's dtype and shape, or the beginning of a long string.

    A vector of at most six numbers is written out, unless it stands inside a container (`inner`).

    Example:
        >>> brief(np.zeros((150, 4))), brief([np.ones(9, np.float32)] * 2), brief(np.array([0.5, 2.0]))
        ('float64[150, 4]', '[float32[9], float32[9]]', '[0.5, 2. ]')
    """
    if isinstance(value, np.ndarray):
        if not inner and value.size <= FEW and value.ndim == 1 and value.dtype.kind in "fiub":
            return np.array2string(value, precision=4, separator=", ")
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    if isinstance(value, (list, tuple)) and type(value).__repr__ in (list.__repr__, tuple.__repr__):
        shown = [brief(part, True) for part in value[:FEW]] + [f"... {len(value)} in all"] * (len(value) > FEW)
        left, right = "[]" if isinstance(value, list) else ("(", ",)" if len(value) == 1 else ")")
        return f"{left}{', '.join(shown)}{right}"
    if isinstance(value, dict):
        pairs = [f"{key!r}: {brief(part, True)}" for key, part in list(value.items())[:FEW]]
        return f"{{{', '.join(pairs + [f'... {len(value)} in all'] * (len(value) > FEW))}}}"
    text = repr(value)
    if isinstance(value, str):
        return text if len(text) <= LONG else f"{text[: LONG - 3]}...{text[0]}"
    first, *rest = text.splitlines() or [""]
    short = printable(first if len(first) <= WIDE else f"{first[: WIDE - 3]}...")
    return f"{short} ..." if rest else short


def in_few_lines(name: str, parts: dict[str, Any]) -> str:
    """Return ``name(key=value, ...)`` in one line if it fits, else with one part per line.

    Example:
        >>> print(in_few_lines("Part", {"x": np.zeros((105, 4)), "y": np.zeros(105, int)}))
        Part(x=float64[105, 4], y=int64[105])
    """
    shown = [f"{key}={brief(value)}" for key, value in parts.items()]
    line = f"{name}({', '.join(shown)})"
    return line if len(line) <= WIDE and "\n" not in line else "\n".join([f"{name}(", *(f"  {p}," for p in shown), ")"])


def tuple_in_few_lines(value: Any) -> str:
    """Return the text of a named tuple with arrays as dtype and shape; classes use it as their ``__repr__``."""
    return in_few_lines(type(value).__name__, value._asdict())


def with_what_differs(value: Any) -> str:
    """Return a dataclass as the call that makes it, without default values; classes use it as their ``__repr__``."""
    from dataclasses import MISSING, fields

    shown = []
    for part in fields(value):
        given = getattr(value, part.name)
        usual = part.default_factory() if part.default_factory is not MISSING else part.default
        if usual is MISSING or (given is not usual and given != usual):
            shown.append(f"{part.name}={brief(given)}")
    return f"{type(value).__name__}({', '.join(shown)})"


def shape_hint(name: str, shapes: list[tuple[int, ...]]) -> str:
    """Return a hint for two shapes that would fit if one array were transposed or got a new axis; else ''."""
    if len(shapes) != 2 or not all(shapes):
        return ""
    a, b = shapes
    if name in ("matmul", "dot"):
        if any(m != n and 1 not in (m, n) for m, n in zip(a[-3::-1], b[-3::-1], strict=False)):
            return ""  # the leading (batch) axes do not broadcast
        inner = b[-2] if len(b) > 1 else b[0]
        if a[-1] == b[-1] != inner:
            return ". The second fits transposed: x @ w.T" if len(b) == 2 else ". The second fits transposed: x @ w.mT"
        if len(a) > 1 and a[-2] == inner != a[-1]:
            return ". The first fits transposed: x.T @ w" if len(a) == 2 else ". The first fits transposed: x.mT @ w"
        return ""
    if len(b) == 1 < len(a) and b[0] == a[0] and name in ELEMENTWISE:
        return f". One number for each row of the first is y[:{', None' * (len(a) - 1)}]"
    if len(a) == 1 < len(b) and a[0] == b[0] and name in ELEMENTWISE:
        return f". One number for each row of the second is x[:{', None' * (len(b) - 1)}]"
    return ""
