"""Measure what compiling a profiled function saves; if it cannot be compiled, give an estimate, and the reason."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from time import perf_counter
from typing import Any

import numpy as np

from ..backward import ancestors
from ..common.printable import counted, printable
from ..compiled.function import Compiled, compile
from ..graph.reachable import Snapshot
from ..node import Node
from ..tensor import Tensor, apply
from ..transforms import value_and_grad
from ..tree import flatten
from .result import AROUND, GRADIENTS, SUMS, Compiling, Operation, Profile

MOST = {"numpy": 2000, "numba": 200}  # a larger number of operations is compiled only if asked for
LONGEST = 400  # characters of a reason


def compiled_times(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], profile: Profile,
    wanted: bool | str | None, run: Callable[[], Any], walks: bool, graph: Graph | None,
) -> tuple[Compiling, ...]:  # fmt: skip
    """Return the time of a compiled call, measured with each installed backend or estimated.

    Args:
        function, args, kwargs: the step.
        profile: its profile.
        wanted: whether to compile it, or with which backend; ``None`` compiles it if that is quick.
        run: a function that makes one call of the step that is not compiled.
        walks: whether the backward walk from the result is part of the step.
        graph: the graph of the first backward walk, which is compiled if the function itself cannot be.
    """
    if wanted is False or not profile.operations:
        return ()
    backends = [wanted] if isinstance(wanted, str) else [one for one in _installed() if one not in profile.untried]
    if not backends:
        operations = counted(len(profile.operations), "operation")
        why = f"its {operations} and rules take long to compile; compile=True does it"
        return (_estimate(profile, why),)
    step: Any = function.function if isinstance(function, Compiled) else function
    places: list[int | str] = [k for k, x in enumerate(args) if _requires_gradients(x)]
    places += [k for k, x in kwargs.items() if _requires_gradients(x)]
    why = "the Tensors that it takes gradients for are not among its arguments"
    if places or not walks:
        kept = Snapshot(function, args, kwargs)
        try:
            pure = value_and_grad(_summed(step), places) if walks else step
            plain = _as_plain_arrays(list(args)), _as_plain_arrays(kwargs)
            return tuple(_measured(pure, one, *plain, run, profile.runs) for one in backends)
        except Exception as error:  # tracing can raise any error that the function does not raise on arrays
            why = _reason(error)
        finally:
            kept.restore()
    if graph is not None:
        pure = value_and_grad(graph.run)
        given = [graph.learned, graph.data]
        try:
            times = [_measured(pure, one, given, {}, partial(pure, *given), profile.runs) for one in backends]
            now = profile.seconds - profile.parts[AROUND]  # Graph.run calls from a list, which is slower
            return tuple(replace(one, before=min(one.before, now), part=GRADIENTS, why=why) for one in times)
        except Exception as error:
            why = _reason(error) if walks and not places else why
    return (_estimate(profile, why),)


def untried(operations: Sequence[Operation], wanted: bool | str | None) -> tuple[str, ...]:
    """Return the installed backends that would take long to compile these operations, unless compiling is asked for."""
    if wanted is not None:
        return ()
    return tuple(one for one in _installed() if len(operations) > MOST[one])


def _installed() -> list[str]:
    return ["numpy", *(["numba"] if find_spec("numba") else [])]


def _reason(error: Exception) -> str:
    """Return as short text why something was not compiled."""
    text = printable(str(error).removeprefix("there is no plan: "))
    return " ".join(text.split())[:LONGEST] or type(error).__name__


class Graph:
    """The recorded operations behind a result, as a function of the leaves and of the constant arrays.

    Attributes:
        learned, data: the arrays of the leaves, and the constant arrays.
    """

    def __init__(self, root: Node) -> None:
        self.learned: list[Any] = []
        self.data: list[Any] = []
        self._steps: list[tuple[Any, dict[str, Any], list[tuple[str, Any]]]] = []
        places: dict[Node, tuple[str, Any]] = {}
        data_places: dict[int, int] = {}
        for node in reversed(ancestors((root,))):
            if node.primitive is None:
                places[node] = "learned", len(self.learned)
                self.learned.append(node.out)
                continue
            arguments: list[tuple[str, Any]] = []
            for arg, parent in zip(node.args or (), node.parents or (), strict=True):
                if parent is not None:
                    arguments.append(places[parent])
                elif isinstance(arg, np.ndarray):
                    place = data_places.setdefault(id(arg), len(self.data))
                    self.data += [arg] if place == len(self.data) else []
                    arguments.append(("data", place))
                else:
                    arguments.append(("number", arg))
            places[node] = "made", len(self._steps)
            self._steps.append((node.primitive, node.primitive.call_meta(node.meta), arguments))

    def run(self, learned: Sequence[Any], data: Sequence[Any]) -> Any:
        """Run the operations on the given arrays, and return the sum of the result."""
        results: list[Any] = []
        of = {"learned": learned, "data": data, "made": results}
        for primitive, meta, arguments in self._steps:
            args = tuple(x if kind == "number" else of[kind][x] for kind, x in arguments)
            results.append(apply(primitive, args, meta))
        return results[-1] if results[-1].ndim == 0 else results[-1].sum()


def _requires_gradients(argument: Any) -> bool:
    """Return whether an argument contains a Tensor that requires gradients."""
    return any(isinstance(x, Tensor) and x.requires_grad for x in flatten(argument)[0])


def _as_plain_arrays(argument: Any) -> Any:
    """Return an argument with its Tensors replaced by plain arrays, as compiled functions take them."""
    leaves, rebuild = flatten(argument)
    return rebuild([x.data if isinstance(x, Tensor) else x for x in leaves])


def _summed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes the sum of the first result, the number to differentiate."""

    def summed(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        first = result[0] if isinstance(result, (tuple, list)) else result
        return first if first.ndim == 0 else first.sum()

    return summed


def _measured(
    step: Callable[..., Any], backend: str, args: Sequence[Any], kwargs: dict[str, Any], run: Callable[[], Any],
    repeats: int,
) -> Compiling:  # fmt: skip
    """Compile a function and time its fastest call, which other work on the machine disturbs least.

    Raises:
        RuntimeError: it cannot be traced, or this backend cannot run it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = perf_counter()
        compiled = compile(step, backend=backend)
        plan = compiled.plan(*args, **kwargs)
        first = perf_counter() - start
        if plan.backend != backend:
            raise RuntimeError(f"compiling with {backend} failed; {plan.backend} runs it")
        times, before = [], []
        for _ in range(repeats + 1):
            start = perf_counter()
            compiled(*args, **kwargs)
            middle = perf_counter()
            run()
            times.append(middle - start)
            before.append(perf_counter() - middle)
    return Compiling(backend, min(times[1:]), min(before[1:]), first)


def _estimate(profile: Profile, reason: str) -> Compiling:
    """Return an estimate: the time of the operations without the Python between them."""
    left = sum(one.seconds for one in profile.operations) + profile.parts.get(SUMS, 0.0)
    return Compiling("numpy", left, profile.seconds, estimated=True, why=reason)
