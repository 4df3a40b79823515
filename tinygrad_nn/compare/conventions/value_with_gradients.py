"""The convention of a function that returns its gradients with its value: ``loss, dx = softmax_loss(x, y)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ...gradcheck.numerical import is_float
from ...tensor import Tensor
from ..function.calling import Inputs, call_function
from .code import Code, same_draws
from .signatures import describe_value, returned_names

Array = np.ndarray[Any, Any]

_NEEDS = (
    "compare_gradients of a function needs manual=: your gradients, or a function of the inputs that returns them. "
    "Without manual= the function itself must return its gradients along with its value, `return loss, dx` or `return "
    "loss, grads`; this one returned {what}. To compare the graph with numbers alone: gradcheck.check_gradients(f, x)."
)


def read_value_and_gradients(f: Callable[..., Any], inputs: Inputs) -> Code:
    """Return the `Code` of a function that returns its gradients with its value.

    Raises:
        TypeError: it does not return a single number and something else.
    """
    leaves = [inputs.leaves[i] for i in inputs.float_indices]
    with same_draws():
        value = call_function(f, inputs, [np.array(x) for x in leaves])
    place = value_position(value)

    def run(now: Inputs, leaves: Sequence[Any]) -> Any:
        with same_draws():
            return call_function(f, now, leaves)[place]

    def back(now: Inputs, leaves: Sequence[Array], g: Any) -> Any:
        with same_draws():
            return besides_value(call_function(f, now, leaves), place)

    name = getattr(f, "__name__", type(f).__name__)
    names = [n for k, n in enumerate(returned_names(f, len(value))) if k != place]
    rest = besides_value(value, place)
    if len(names) == 1 and isinstance(rest, (tuple, list)):
        names = returned_names(f, len(rest), 1 - place)
    names_text = f" ({', '.join(n or '?' for n in names)})" if any(names) else ""
    note = f"Treated as a function that returns its gradients{names_text} along with its value."
    return Code(name, inputs, run, back, False, f, names=tuple(names), notes=(note,), allows_missing=True)


def value_position(value: Any) -> int:
    """Return the index of the value in a returned tuple: 0 (before the gradients) or the last (after them)."""
    if not isinstance(value, (tuple, list)) or len(value) < 2:
        raise TypeError(_NEEDS.format(what=describe_value(value)))
    for k in (0, len(value) - 1):
        if _is_number(value[k]) and not _is_number(besides_value(value, k)):
            return k
    if _is_number(value[0]) and len(value) == 2:
        return 0
    raise TypeError(
        _NEEDS.format(
            what=f"({', '.join(map(describe_value, value))}), which do not begin with a loss that is one number"
        )
    )


def besides_value(value: Sequence[Any], place: int) -> Any:
    """Return the other parts of a returned tuple: the part itself if there is only one, else a tuple."""
    rest = [part for k, part in enumerate(value) if k != place]
    return rest[0] if len(rest) == 1 else tuple(rest)


def _is_number(value: Any) -> bool:
    if isinstance(value, (Mapping, tuple, list, str, type(None))):
        return False
    return isinstance(value, Tensor) or (is_float(value) and np.size(value) == 1)
