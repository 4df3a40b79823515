"""What compiling a function would save: by compiling it, or, where that cannot be, by an estimate that says so."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from time import perf_counter
from typing import Any

from ..compiled.function import Compiled, compile
from ..graph.reachable import Kept
from ..printable import printable
from ..tensor import Tensor
from ..transforms import value_and_grad
from ..tree import flatten
from .result import SUMS, Compiling, Profile

MOST = {"numpy": 2000, "numba": 200}  # operations that are compiled without being asked
LONGEST = 400  # letters of a reason


def compiled_times(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], found: Profile, wanted: bool | None,
    run: Callable[[], Any], walks: bool,
) -> tuple[Compiling, ...]:  # fmt: skip
    """Return what a call takes compiled, by each backend that there is.

    Args:
        function, args, kwargs: the step.
        found: its profile.
        wanted: whether to compile it; ``None`` where that is quick.
        run: calls it as it is.
        walks: whether the walk back from the result is part of the step.
    """
    if wanted is False or not found.operations:
        return ()
    step: Any = function.function if isinstance(function, Compiled) else function
    if walks:
        places: list[int | str] = [k for k, x in enumerate(args) if _learned(x)]
        places += [k for k, x in kwargs.items() if _learned(x)]
        if not places:
            return (_estimate(found, "the Tensors that it differentiates by are no arguments of it"),)
        step = value_and_grad(_summed(step), places)
    times: list[Compiling] = []
    for backend in ("numpy", *(["numba"] if find_spec("numba") else [])):
        if wanted is None and len(found.operations) > MOST[backend]:
            why = f"{len(found.operations):,} operations and rules take {backend} long to compile; compile=True does it"
            return tuple(times) or (_estimate(found, why),)
        kept = Kept(function, args, kwargs)
        try:
            times.append(_measured(step, backend, _bare(list(args)), _bare(kwargs), run, found.runs))
        except Exception as error:  # whatever a function does in a trace that it does not do on arrays
            why = " ".join(printable(str(error).removeprefix("there is no plan: ")).split())[:LONGEST]
            return (*times, _estimate(found, why or type(error).__name__))
        finally:
            kept.restore()
    return tuple(times)


def _learned(argument: Any) -> bool:
    """Return whether an argument holds a Tensor that gradients arrive at."""
    return any(isinstance(x, Tensor) and x.requires_grad for x in flatten(argument)[0])


def _bare(argument: Any) -> Any:
    """Return an argument with plain arrays for its Tensors, as compiled functions take them."""
    leaves, rebuild = flatten(argument)
    return rebuild([x.data if isinstance(x, Tensor) else x for x in leaves])


def _summed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with the sum of its first result, which is what is walked back from."""

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
        RuntimeError: it cannot be traced.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = perf_counter()
        compiled = compile(step, backend=backend)
        plan = compiled.plan(*args, **kwargs)
        first = perf_counter() - start
        if plan.backend != backend:
            raise RuntimeError(f"with {backend} it went wrong; {plan.backend} runs it")
        times, before = [], []
        for _ in range(repeats + 1):
            start = perf_counter()
            compiled(*args, **kwargs)
            middle = perf_counter()
            run()
            times.append(middle - start)
            before.append(perf_counter() - middle)
    return Compiling(backend, min(times[1:]), min(before[1:]), first)


def _estimate(found: Profile, why: str) -> Compiling:
    """Return what the operations take without Python between them."""
    left = sum(one.seconds for one in found.operations) + found.parts.get(SUMS, 0.0)
    return Compiling("numpy", left, found.seconds, None, True, why)
