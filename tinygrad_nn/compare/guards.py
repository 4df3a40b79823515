"""Constants such as 1e-8 in ``np.log(p + 1e-8)``, seen in a graph: run it again as if they were not there.

Many backward passes are those of the function without such a constant: ``p - y`` for a softmax and its cross-entropy.
Where p is not far above the constant, the derivative of the code as it is written differs from them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from ..node import Node
from .diagnosis import Diagnosis
from .paths import Traced, args_of, copy_node, name_of, parents_of, rerun_nodes
from .tiny_constants import LOGARITHMS, TINY, effect_of_tiny_constant, is_limit, largest_difference

Array = np.ndarray[Any, Any]

CLIPS = frozenset({"maximum", "minimum", "clip"})
GUARDS = CLIPS | {"add", "subtract"}
PASSED_ON = GUARDS | {"alias", "negative", "getitem", "where"}
FACTORS = tuple(4.0**-k for k in (1, 2, 3, 5, 7))  # of inputs that are tried if values have lost their digits
KNOWN, KNOWN_EPS = 1e-6, 1e4  # of the largest entry, and epsilons of it: a larger bound would hide mistakes
LEAST = float(np.finfo(np.float64).tiny)
LARGE = 1000  # times the largest entry: with the guard, the gradient is almost 0
VISIBLE = 1e-4  # of the largest entry: a table shows four digits
NEAR_0 = LEAST / float(np.finfo(np.float64).eps)  # LEAST changes smaller values


class Trial(NamedTuple):
    """What holds without guards, for inputs times a factor: numbers of gradients.

    `right` are right by their own rules, and `right_values` by their values. `known` are known so well that a mistake
    shows; there are none where a value that a guard protects has lost its digits. `of` is what was compared.
    """

    factor: float
    right: set[int]
    known: set[int]
    right_values: Collection[int] = ()
    of: Any = None


class Excused(NamedTuple):
    """What a comparison without guards shows: numbers of gradients.

    `factors` has the wrong gradients that are right without guards, each with the factor of inputs for which it is, and
    `right_values` those that are right by their values. `wrong_in` has the others, each with the trial that shows it.
    """

    factors: dict[int, float]
    right_values: set[int]
    wrong_in: dict[int, Trial]

    def base(self, wrong: Set[int]) -> Any:
        """Return what was compared where all mistakes among the wrong gradients show; None if one is undecided."""
        if not self.wrong_in or not wrong <= self.factors.keys() | self.wrong_in.keys():
            return None
        return min(self.wrong_in.values(), key=attrgetter("factor")).of


def excused_by_guards(wrong: Mapping[int, Array], trials: Iterable[Trial]) -> Excused:
    """Tell which wrong gradients are right without guards.

    `wrong` has them by their numbers. Each is judged by the first trial in which it is right or known: smaller inputs
    might hide a mistake. So at smaller inputs, it must be both. One that is not finite is not excused.
    """
    excused = Excused({}, set(), {})
    undecided = {i for i, gradient in wrong.items() if np.isfinite(gradient).all()}
    for trial in trials:
        right = trial.right if trial.factor == 1 else trial.right & trial.known
        excused.factors.update(dict.fromkeys(undecided & right, trial.factor))
        excused.right_values.update(trial.right_values)
        undecided -= right
        excused.wrong_in.update(dict.fromkeys(undecided & trial.known, trial))
        undecided -= trial.known
        if not undecided:
            break
    return excused


def note_without_guards(guard: float, pairs: Sequence[tuple[Array, Array]]) -> str:
    """Return the note that mistakes are named as those of the function without its guards.

    It is "" if no table shows that: `pairs` has the right gradients without guards, and those with them.
    """
    if largest_difference(pairs) <= VISIBLE:
        return ""
    return (
        "Where a mistake is named, the right gradient is that of the function without a constant such as "
        f"{guard:.0e}, which is there to avoid log(0) or a division by 0: up to the mistake, the backward is that of "
        "this function."
    )


def trace_without_guards(graph: Traced) -> Traced | None:
    """Return a graph without its guards, None if it has none; see `without_guards`."""
    twins = without_guards(graph.operations, graph.inputs)
    outs = [(twins.get(node, node), g) for node, g in graph.outs]
    operations = [twins.get(node, node) for node in graph.operations]
    return Traced(outs, [twins[node] for node in graph.inputs], operations) if twins else None


def without_guards(operations: Sequence[Node], inputs: Sequence[Node]) -> dict[Node, Node]:
    """Run a graph again with the least normal number in place of each constant up to 1e-6.

    Unlike 0, it keeps 0/0 from becoming NaN.

    Args:
        operations: the operations of the graph, from the results to the inputs.
        inputs: its inputs.

    Returns:
        A dict from the old nodes to the new ones; empty if `largest_guard` is 0.
    """
    if not largest_guard(operations):
        return {}
    return rerun_nodes(operations, {x: copy_node(x) for x in inputs}, _without_guard)


def largest_guard(operations: Sequence[Node]) -> float:
    """Return the largest constant up to 1e-6 that keeps a logarithm from log(0) or a denominator from 0.

    It is 0 if there is none, or if another constant up to 1e-6 has another use: a factor, or a part of the function as
    in sqrt(r^2 + c).
    """
    largest = 0.0
    for node in operations:
        guards = [arg for p, arg in zip(parents_of(node), args_of(node), strict=True) if p is None and _is_guard(arg)]
        if guards and not (name_of(node) in GUARDS and _is_protective(node, operations)):
            return 0.0
        largest = max([largest, *(float(min(arg, 1 - arg)) for arg in guards)])
    return largest


def _is_protective(node: Node, operations: Sequence[Node]) -> bool:
    """Tell whether a value is used in logarithms and denominators only."""
    users = [user for user in operations if any(parent is node for parent in parents_of(user))]
    return bool(users) and all(
        name_of(user) in LOGARITHMS
        or (name_of(user) == "divide" and parents_of(user)[0] is not node)
        or (name_of(user) in PASSED_ON and _is_protective(user, operations))
        for user in users
    )


def is_beyond_guard(operations: Sequence[Node]) -> bool:
    """Tell whether a value that a guard protects has lost its digits, or is cut off by the guard.

    Digits are lost if it is near 0, or 1 - a for an a near 1, or 1.
    """
    for node in operations:
        for guard in map(float, filter(_is_guard, args_of(node))):
            for parent, x in zip(parents_of(node), args_of(node), strict=True):
                is_cut = name_of(node) in CLIPS or (parent is not None and name_of(parent) == "subtract")
                is_lost = np.abs(x) < (guard if is_cut else NEAR_0)
                if np.ndim(x) and np.any(is_lost if guard <= TINY else x > guard):
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


def effect_of_guard(label: str, pair: tuple[Array, Array], tiny: float, guard: float, factor: float) -> Diagnosis:
    """Return the diagnosis, which is harmless, of a gradient that is right without a guard.

    Args:
        label: the name of the input.
        pair: the user's gradient, and that of the function as it is written.
        tiny: the largest constant such as 1e-8 in the code.
        guard: the largest such constant that is a guard.
        factor: that of the inputs for which the gradient is right.
    """
    difference = largest_difference([pair])
    return effect_of_tiny_constant(difference, label, tiny) or guard_diagnosis(label, guard, difference, factor)


def guard_diagnosis(where: str, guard: float, difference: float, factor: float = 1.0) -> Diagnosis:
    """Return the diagnosis, which is harmless, of gradients that are right for a function without its guards.

    With a factor below 1, they are so for inputs times that factor, and saturated for the inputs themselves.
    """
    text = (
        f"The gradient is that of the function without a constant such as {guard:.0e}, which is there to avoid log(0) "
        "or a division by 0. Where a value is smaller than the constant, or not far above it, the gradient of the "
        "function with the constant differs. This is not a mistake."
    )
    place = "without the constant, " + ("" if factor == 1 else f"for inputs times {factor:g}, ") + "it is negligible"
    size = f"{difference:.0e} of" if difference < LARGE else f"over {LARGE} times"
    evidence = f"the largest difference is {size} the largest entry of its array; {place}"
    return Diagnosis("convention", where, text, (evidence,))


def _is_guard(arg: Any) -> bool:
    """Tell whether an argument is a constant up to 1e-6, or one as near to 1, such as the limit of a probability."""
    is_number = isinstance(arg, (float, np.floating)) or (isinstance(arg, np.ndarray) and arg.shape == ())
    return is_number and bool(0 < arg <= TINY or is_limit(arg))


def _without_guard(arg: Any) -> Any:
    if not _is_guard(arg):
        return arg
    return LEAST if arg <= TINY else 1.0
