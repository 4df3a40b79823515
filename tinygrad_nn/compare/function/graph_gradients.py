"""The gradients of the graph of a user's function, bounds of their rounding, and the same without its guards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...node import recording
from ...tensor import Tensor, raw
from ...transforms import new_input
from .. import guards
from ..conventions.code import Code
from ..numerical.precision import WIDE, measured_rounding, shaken_rounding
from ..numerical.sides import Run, Sides
from ..paths import gradients, traced
from ..tiny_constants import largest_difference, smaller_constants
from .inputs_and_results import ComparisonInput
from .locations import name_values, recording_locations

Array = np.ndarray[Any, Any]

EPS = float(np.finfo(np.float64).eps)
AROUND = 3  # how many sides of the point each gradient is computed on
SMALLER = 256.0  # longdouble has 11 more bits than float64: errors that are this many times smaller in it were rounding
SAME = 0.1  # of the largest entry: a guard such as 1e-8 changes the right gradient by less


def run_graph(code: Code, leaves: Sequence[Array], cotangents: Sequence[Array], with_guards: bool = True) -> Run:
    """Run a function on Tensors and walk back from its results; `with_guards` is that of `graph_gradients`."""
    with recording(True):
        tensors = [new_input(x) for x in leaves]
        for i, t in zip(code.inputs.float_indices, tensors, strict=True):
            t.name = code.inputs.labels[i]
        results = code.outs(tensors)
    connected = [(out.node, np.asarray(c, out.data.dtype)) for out, c in zip(results, cotangents, strict=False)
                 if isinstance(out, Tensor) and out.node is not None]  # fmt: skip
    trace = traced(connected, [t.node for t in tensors])  # type: ignore[misc]
    if not with_guards:
        trace = guards.trace_without_guards(trace) or trace
    return Run([np.asarray(raw(out)) for out in results], trace, gradients(trace))


class GraphGradients(NamedTuple):
    """The gradients of a graph, on several sides of the point, and bounds of the rounding of the user's right ones."""

    at_point: Run
    sides: Sides
    rounding: list[Array]
    with_guards: bool = True

    def are_within(self, user_gradients: Sequence[Array]) -> bool:
        """Tell whether the user's gradients are those of the graph."""
        return _are_within(user_gradients, self.at_point.grads, self.rounding)


def graph_gradients(
    comparison: ComparisonInput, at_point: Run | None = None, with_guards: bool = True
) -> GraphGradients:
    """Return the gradients of the graph of a user's function.

    The rounding of terms that cancel is looked at only if the user's gradients are not within the other bounds.

    Args:
        comparison: the function, its inputs and the user's gradients.
        at_point: the run of the graph there, if it is known.
        with_guards: False for the function without constants such as 1e-8.
    """
    code, inputs, eps = comparison.code, comparison.float64_inputs, machine_epsilon(comparison)

    def run(leaves: Sequence[Array], code: Code = code) -> Run:
        return run_graph(code, leaves, comparison.cotangents, with_guards)

    if at_point is None:
        with recording_locations():
            at_point = run(inputs)
        name_values(at_point.trace)
    sides = Sides(run, inputs, at_point, eps)
    sides.look_around(comparison.rng, AROUND)
    rounding = sides.rounding()
    if eps == EPS:
        measured = measured_rounding(
            lambda cast: run([cast(x) for x in inputs], code.cast(cast)).grads, at_point.grads
        )
        rounding = [a + b for a, b in zip(rounding, measured, strict=True)]
    if not _are_within(comparison.user_gradients, at_point.grads, rounding):
        shaken = shaken_rounding(at_point.trace, at_point.grads, eps, comparison.rng)
        rounding = [np.maximum(a, b) for a, b in zip(rounding, shaken, strict=True)]
    return GraphGradients(at_point, sides, rounding, with_guards)


def machine_epsilon(comparison: ComparisonInput) -> float:
    """Return the machine epsilon of float32 if any input is less precise than float64, else that of float64."""
    has_float32 = any(x.dtype.itemsize // (1 + (x.dtype.kind == "c")) < 8 for x in comparison.input_arrays)
    return float(np.finfo(np.float32).eps) if has_float32 else EPS


def _are_within(user_gradients: Sequence[Array], grads: Sequence[Array], bounds: Sequence[Array]) -> bool:
    """Tell whether the user's gradients are the graph's, within some bounds."""
    return all(m.shape == g.shape and bool((np.abs(m - g) <= bound).all())
               for m, g, bound in zip(user_gradients, grads, bounds, strict=True))  # fmt: skip


def wider_dtype_in_which_it_is_right(comparison: ComparisonInput, graph: GraphGradients) -> str:
    """Return "float64" or "longdouble" if the user's gradients are right when the inputs are passed in it, else ""."""
    arrays, first, right = comparison.input_arrays, comparison.user_gradients, graph.at_point.grads
    if any(m.shape != g.shape or not np.isfinite(m - g).all() for m, g in zip(first, right, strict=True)):
        return ""
    for wider in ("float64", *(["longdouble"] if WIDE else [])):
        inputs = [x.astype(np.result_type(x.dtype, wider)) for x in arrays]
        if [x.dtype for x in inputs] == [x.dtype for x in arrays]:
            continue
        try:
            user_gradients = comparison.code.gradients(inputs, comparison.g)
        except Exception:  # user code may raise anything, and np.linalg refuses longdouble
            return ""
        if wider == "float64":
            rng = np.random.default_rng(0)
            again = comparison._replace(input_arrays=inputs, user_gradients=user_gradients, rng=rng)
            bounds = graph_gradients(again, graph.at_point).rounding
        else:  # 1 - r for an r near 1 loses digits in longdouble too, but SMALLER times less
            errors = [np.abs(m - g) for m, g in zip(first, right, strict=True)]
            bounds = [np.maximum(bound, np.maximum(e / SMALLER, e.max(initial=0.0) / SMALLER**2))
                      for bound, e in zip(graph.rounding, errors, strict=True)]  # fmt: skip
        return wider if _are_within(user_gradients, right, bounds) else ""
    return ""


def trials_without_guards(comparison: ComparisonInput) -> Iterator[guards.Trial]:
    """Yield which gradients are right without constants such as 1e-8, also for smaller inputs."""
    try:
        yield _trial(comparison, 1.0)
        for factor, inputs in guards.smaller_inputs(comparison.input_arrays):
            yield _trial(comparison.moved(inputs), factor)
    except Exception:  # user code may raise anything for inputs that it was not made for
        return


def _trial(comparison: ComparisonInput, factor: float) -> guards.Trial:
    """Tell which gradients are those of the function without constants such as 1e-8, and not all 0."""
    comparison = comparison._replace(rng=np.random.default_rng(0))
    plain = graph_gradients(comparison, with_guards=False)
    grads, bounds = plain.at_point.grads, plain.rounding
    eps, m = machine_epsilon(comparison), comparison.user_gradients
    known = {i for i, (g, bound) in enumerate(zip(grads, bounds, strict=True))
             if guards.are_known([bound], [g], eps) and np.any(g)}  # fmt: skip
    right = {i for i in known if _are_within(m[i : i + 1], grads[i : i + 1], bounds[i : i + 1])}
    guarded = run_graph(comparison.code, comparison.float64_inputs, comparison.cotangents)
    is_beyond = guards.is_beyond_guard(guarded.trace.operations)
    return guards.Trial(factor, right, set() if is_beyond else known, (), (comparison, plain))


def is_right_with_smaller_constants(comparison: ComparisonInput, right_gradients: Sequence[Array]) -> bool:
    """Tell whether all gradients are right if constants such as 1e-8 are smaller in both passes.

    The right ones must stay what they are: if they become 0 or very different, the constant was no guard.
    """
    code = comparison.code
    try:
        dtype = np.result_type(*comparison.input_arrays)
        with smaller_constants(dtype, code.source, code.backward):
            user_gradients = code.gradients(comparison.input_arrays, comparison.g)
            comparison = comparison._replace(rng=np.random.default_rng(0), user_gradients=user_gradients)
            graph = graph_gradients(comparison)
    except Exception:  # user code may raise anything, such as a division of floats by 0
        return False
    is_same = largest_difference([*zip(graph.at_point.grads, right_gradients, strict=True)]) < SAME
    return is_same and graph.are_within(user_gradients)
