"""The variables that a nested function captured from the functions around it (its closure), and its own."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def closed_over(function: Any) -> dict[str, Any]:
    """Return a dict from name to value of the variables a function closes over, without those not assigned yet.

    Example:
        >>> def outer(a):
        ...     def inner():
        ...         return a + b
        ...     return inner
        ...     b = 1
        >>> closed_over(outer(2)), closed_over(abs)
        ({'a': 2}, {})
    """
    found = {}
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


@contextmanager
def noting_variables(function: Any) -> Iterator[dict[str, Any]]:
    """Collect the local variables of a function, by name, as they are when it returns inside the ``with``.

    Only a profile function can see them; the one that was set before is set again afterwards.

    Example:
        >>> def area(r):
        ...     square = r * r
        ...     return 3.0 * square
        >>> with noting_variables(area) as found:
        ...     area(2.0)
        12.0
        >>> found
        {'r': 2.0, 'square': 4.0}
    """
    names: dict[str, Any] = {}
    code = getattr(inspect.unwrap(function), "__code__", None)

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            names.update(frame.f_locals)

    before = sys.getprofile()
    if code is not None:
        sys.setprofile(note)
    try:
        yield names
    finally:
        sys.setprofile(before)
