"""Constants such as 1e-8 in ``np.log(p + 1e-8)``, seen in a graph: run it again as if they were not there.

Many backward passes are those of the function without such a constant: ``p - y`` for a softmax and its cross-entropy.
Where p is not far above the constant, the derivative of the code as it is written differs from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..node import Node
from .diagnosis import Diagnosis
from .paths import Traced, args_of, copy_node, name_of, parents_of, rerun_nodes
from .tiny_constants import TINY

GUARDS = frozenset({"add", "subtract", "maximum", "minimum", "clip"})
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


def guard_diagnosis(where: str, guard: float, difference: float) -> Diagnosis:
    """Return the diagnosis, which is harmless, of gradients that are right for a function without its guards."""
    text = (
        f"The gradient is that of the function without a constant such as {guard:.0e}, which is there to avoid log(0) "
        "or a division by 0. Where a value is smaller than the constant, or not far above it, the gradient of the "
        "function with the constant differs. This is not a mistake."
    )
    evidence = f"the largest difference is {difference:.0e} of the largest entry of its array; without the constant, 0"
    return Diagnosis("convention", where, text, (evidence,))


def _is_guard(arg: Any) -> bool:
    """Tell whether an argument is a constant up to 1e-6, or one as near to 1, such as the limit of a probability."""
    is_number = isinstance(arg, (float, np.floating)) or (isinstance(arg, np.ndarray) and arg.shape == ())
    return is_number and bool(0 < arg <= TINY or 0 < 1 - arg <= TINY)


def _without_guard(arg: Any) -> Any:
    if not _is_guard(arg):
        return arg
    return LEAST if arg <= TINY else np.longdouble(1.0)
