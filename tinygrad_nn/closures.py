"""The variables that a nested function captured from the functions around it (its closure)."""

from __future__ import annotations

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
