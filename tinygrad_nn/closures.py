"""What a function took along of the variables around it."""

from __future__ import annotations

from typing import Any


def closed_over(function: Any) -> dict[str, Any]:
    """Return the variables that a function closes over, by name; those without a value yet are left out.

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
