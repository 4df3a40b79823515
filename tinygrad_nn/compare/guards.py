"""Constants such as 1e-8 in ``np.log(p + 1e-8)``, seen in a graph: run it again as if they were not there.

Many backward passes are those of the function without such a constant: ``p - y`` for a softmax and its cross-entropy.
Where p is not far above the constant, the derivative of the code as it is written differs from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..node import Node
from .diagnosis import Diagnosis
from .paths import Traced, args_of, copy_node, name_of, parents_of, rerun_nodes
from .tiny_constants import TINY

Array = np.ndarray[Any, Any]

GUARDS = frozenset({"add", "subtract", "maximum", "minimum", "clip"})
FACTORS = (0.25, 0.0625, 0.015625)  # of inputs that are tried if values are below their guards
KNOWN, KNOWN_EPS = 1e-6, 1e4  # of the largest entry, and epsilons of it: a larger bound would hide mistakes
LEAST = np.finfo(np.longdouble).tiny


def trace_without_guards(graph: Traced) -> Traced | None:
    """Return a graph without its guards, None if it has none; see `without_guards`."""
    twins = without_guards(graph.operations, graph.inputs)
    outs = [(twins.get(node, node), g) for node, g in graph.outs]
    operations = [twins.get(node, node) for node in graph.operations]
    return Traced(outs, [twins[node] for node in graph.inputs], operations) if twins else None


def without_guards(operations: Sequence[Node], inputs: Sequence[Node]) -> dict[Node, Node]:
    """Run a graph again in longdouble with the least normal number in place of each constant up to 1e-6.

    Longdouble has tinier numbers: a probability of exp(-1000) is no longer 0.

    Args:
        operations: the operations of the graph, from the results to the inputs.
        inputs: its inputs.

    Returns:
        A dict from the old nodes to the new ones; empty if there is no such constant, if one is used in another way
        than to be added to a value or to limit it, such as the factor of a penalty, or if an operation takes no
        longdouble.
    """
    if not largest_guard(operations):
        return {}
    wide = {node: copy_node(node, out=node.out.astype(np.result_type(node.out, np.longdouble))) for node in inputs}
    try:
        return rerun_nodes(operations, wide, _without_guard)
    except Exception:  # an operation may take no longdouble
        return {}


def largest_guard(operations: Sequence[Node]) -> float:
    """Return the largest constant up to 1e-6 that is added to a value or limits it; 0 if there are others, or none."""
    largest = 0.0
    for node in operations:
        guards = [arg for p, arg in zip(parents_of(node), args_of(node), strict=True) if p is None and _is_guard(arg)]
        if guards and name_of(node) not in GUARDS:
            return 0.0
        largest = max([largest, *(float(min(arg, 1 - arg)) for arg in guards)])
    return largest


def is_below_guard(operations: Sequence[Node]) -> bool:
    """Tell whether any value is smaller than the constant that is added to it or limits it."""
    for node in operations:
        for guard in (float(arg) for arg in args_of(node) if _is_guard(arg) and arg <= TINY):
            if any(np.any(np.abs(arg) < guard) for arg in args_of(node) if np.ndim(arg)):
                return True
    return False


def smaller_inputs(arrays: Sequence[Array]) -> Iterator[tuple[float, list[Array]]]:
    """Yield factors below 1, and inputs times them, in which fewer units are saturated; zeros and ones stay.

    A value that is 0 or 1 up to rounding cannot be told apart from its limit: log(1 - a) has no gradient there, even if
    the constant is left out.
    """
    for factor in FACTORS:
        yield factor, [x if np.isin(x, (0, 1)).all() else np.asarray(x * factor, x.dtype) for x in arrays]


def are_known(bounds: Sequence[Array], gradients: Sequence[Array], eps: float) -> bool:
    """Tell whether bounds of the errors of gradients are so small, for a machine epsilon, that a mistake shows."""
    limit = max(KNOWN, KNOWN_EPS * eps)
    for bound, g in zip(bounds, gradients, strict=True):
        error, largest = (float(np.abs(x).max(initial=0)) for x in (bound, g))
        if not (math.isfinite(largest) and error <= limit * largest + 1e-200):
            return False
    return True


def guard_diagnosis(where: str, guard: float, difference: float, factor: float = 1.0) -> Diagnosis:
    """Return the diagnosis, which is harmless, of gradients that are right for a function without its guards.

    With a factor below 1, they are so for inputs times that factor, and saturated for the inputs themselves.
    """
    text = (
        f"The gradient is that of the function without a constant such as {guard:.0e}, which is there to avoid log(0) "
        "or a division by 0. Where a value is smaller than the constant, or not far above it, the gradient of the "
        "function with the constant differs. This is not a mistake."
    )
    place = "without the constant, 0" if factor == 1 else f"without the constant, for inputs times {factor:g}, 0"
    evidence = f"the largest difference is {difference:.0e} of the largest entry of its array; {place}"
    return Diagnosis("convention", where, text, (evidence,))


def _is_guard(arg: Any) -> bool:
    """Tell whether an argument is a constant up to 1e-6, or one as near to 1, such as the limit of a probability."""
    is_number = isinstance(arg, (float, np.floating)) or (isinstance(arg, np.ndarray) and arg.shape == ())
    return is_number and bool(0 < arg <= TINY or 0 < 1 - arg <= TINY)


def _without_guard(arg: Any) -> Any:
    if not _is_guard(arg):
        return arg
    return LEAST if arg <= TINY else np.longdouble(1.0)
