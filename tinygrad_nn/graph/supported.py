"""The table of all functions that take Tensors, with the equations of their rules and what the tests check."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from textwrap import fill
from typing import Any

import numpy as np

from ..common.printable import printable
from ..common.spelling import near_names
from ..ops.library import FORWARDS, STAND_INS
from ..ops.plain import QUESTIONS
from ..ops.scipy import load
from ..primitive import OVERRIDES, REGISTRY, Primitive, no_rule, numpy_name
from .equations import unicode_math


@dataclass(frozen=True, slots=True)
class Support:
    """One function of the table.

    Attributes:
        function: its name, such as ``"np.linalg.norm"`` or ``"tinygrad_nn.softmax"``.
        kind: ``"primitive"`` (it has rules of its own), ``"composition"`` (made of primitives) or ``"plain"`` (it
            returns a plain array, and no gradient flows).
        primitives: the names in the registry that its graph consists of.
        orders: ``"any"``, as all rules can be differentiated again, with the order up to which the tests check the
            derivatives numerically; ``"zero"`` if the gradient is zero by definition; ``"-"`` for a plain function.
        modes: the modes of differentiation: reverse, forward, nested.
        dtypes: the dtypes for which the derivatives are checked.
        conventions: the value taken at points where the derivative does not exist; empty for a smooth function.
        tex: the equation of a primitive.
        rules: the equations of its VJP rules, one per array argument, ``None`` where there is no gradient.
        forms: the number of argument forms of the function in the tests' table of cases.
    """

    function: str
    kind: str
    primitives: tuple[str, ...]
    orders: str
    modes: str
    dtypes: str
    conventions: str
    tex: str
    rules: tuple[str | None, ...]
    forms: int

    def __str__(self) -> str:
        equation = unicode_math(self.tex) if self.tex else f"made of {', '.join(self.primitives)}"
        lines = [f"{self.function}: {equation if self.kind != 'plain' else 'a plain array, without a graph'}"]
        lines += [f"  gradient: {'none' if rule is None else unicode_math(rule)}" for rule in self.rules]
        if self.kind != "plain":
            lines.append(f"  orders: {self.orders}; {self.modes}; {self.dtypes}")
        if self.conventions:
            lines.append(f"  {self.conventions}")
        return "\n".join(fill(line, 80, subsequent_indent="    ") for line in lines)


class SupportTable(tuple[Support, ...]):
    """A tuple of `Support` rows whose repr tells how many there are."""

    __slots__ = ()

    def __repr__(self) -> str:
        if len(self) <= 3:
            return "\n".join(map(str, self))
        first = ", ".join(row.function for row in self[:3])
        return f"<{len(self)} functions that take Tensors: {first}, ...; supported('np.sin') is one of them>"


def supported(name: str | None = None) -> tuple[Support, ...]:
    r"""Return the table of functions that take Tensors.

    Args:
        name: only the functions of this name, with or without ``np.``; by default all.

    Returns:
        A `Support` per function, in alphabetical order. docs/rules.md shows the same table.

    Raises:
        ValueError: the function takes no Tensors (the message says what to write instead), or no function has this
            name (the message names the nearest ones).

    Example:
        >>> row = supported("np.sin")[0]
        >>> row.kind, row.tex, row.rules, row.dtypes
        ('primitive', '\\sin x', ('g \\cos x',), 'float32 float64 complex64 complex128')
        >>> print(row)
        np.sin: sin x
          gradient: g cos x
          orders: any, checked to 4; reverse, forward, nested; float32 float64 complex64
            complex128
    """
    table = _table()
    if name is None:
        return table
    if not isinstance(name, str):
        called = numpy_name(name) if callable(name) and name in OVERRIDES else getattr(name, "__name__", "np.sin")
        raise TypeError(
            f"supported takes the name of a function; it got {name!r:.60} of type {type(name).__name__}. Write "
            f"supported({printable(called)!r})."
        )
    names = {name, f"np.{name}", f"tinygrad_nn.{name}", f"scipy.special.{name}", f"Tensor.{name}", _resolve(name)}
    found = SupportTable(row for row in table if row.function in names)
    if not found:
        function = _numpy_function(name)
        if callable(function):
            raise ValueError(str(no_rule(function)))
        near = near_names(name, [row.function for row in table], 3, 0.4)
        raise ValueError(f"{name!r} does not take Tensors; similar names are {', '.join(near) or 'none'}.")
    return found


def _resolve(name: str) -> str | None:
    """Return the table's name of a NumPy function that has several: ``np.abs`` is ``np.absolute``."""
    function = _numpy_function(name)
    return numpy_name(function) if function in OVERRIDES else None


def _numpy_function(name: str) -> Any:
    function: Any = np
    for part in name.removeprefix("np.").split("."):
        function = getattr(function, part, None)
    return function


def own_name(name: str) -> str:
    """Return the public name of a primitive outside NumPy: a function of this package or of SciPy, or a method."""
    if name in sys.modules[__package__.partition(".")[0]].__all__:
        return f"tinygrad_nn.{name}"
    return f"scipy.special.{name}" if name in FORWARDS or name in STAND_INS else f"Tensor.{name}"


@cache
def _table() -> tuple[Support, ...]:
    import json
    from importlib.resources import files

    load()
    checked = json.loads(files("tinygrad_nn.ops").joinpath("checked.json").read_text("utf-8"))
    rows = {}
    for function, handler in OVERRIDES.items():
        name = numpy_name(function)
        rows[name] = _row(name, handler, checked.get(name, {}), plain=function in QUESTIONS)
    named = {row.primitives[0] for row in rows.values() if row.kind == "primitive"}
    for primitive in REGISTRY.values():
        if primitive.name not in named:
            name = own_name(primitive.name)
            rows[name] = _row(name, primitive, checked.get(name, {}))
    for name in map(own_name, STAND_INS):
        if name.startswith("scipy.special.") and "._" not in name and name not in rows:
            rows[name] = _row(name, None, checked.get(name, {}))
    return SupportTable(rows[name] for name in sorted(rows, key=str.lower))


def _row(name: str, handler: Any, checked: dict[str, Any], plain: bool = False) -> Support:
    primitive = handler if isinstance(handler, Primitive) else None
    names = (primitive.name,) if primitive else tuple(checked.get("primitives", ()))
    named = REGISTRY.get(name.rpartition(".")[2])
    if primitive is None and named is not None and named.name in names:
        primitive = named  # the handler only prepares the arguments of this primitive
    kinks = dict.fromkeys(REGISTRY[n].kinks or "" for n in names if n in REGISTRY)
    zero = primitive is not None and not primitive.jointly and not any(primitive.vjps)
    order = checked.get("order", 0)
    return Support(
        function=name,
        kind="plain" if plain else "primitive" if primitive else "composition",
        primitives=(primitive.name,) if primitive else names,
        orders="-" if plain else "zero" if zero else f"any, checked to {order}" if order else "any",
        modes="-" if plain else "reverse, forward, nested",
        dtypes="-" if plain else "float32 float64" + (" complex64 complex128" if checked.get("complex") else ""),
        conventions="; ".join(filter(None, kinks)),
        tex=primitive.tex if primitive else "",
        rules=primitive.rule_tex if primitive else (),
        forms=checked.get("forms", 0),
    )
