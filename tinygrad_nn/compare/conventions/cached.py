"""The convention of a forward with a cache: ``out, cache = forward(x, w)`` and ``dx, dw = backward(dout, cache)``.

The cache is the one that the forward returns when it runs on arrays. The parameters of the backward are recognized by
name: a cache, an input, a result (``AL``). The other parameters take the cotangents of the results, in order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...common.printable import counted, printable
from ...gradcheck.numerical import is_float
from ..function.calling import COTANGENTS, Inputs, call_function
from .code import Code, same_draws
from .signatures import describe_value, is_cache, parameters, returned_names

Array = np.ndarray[Any, Any]

MOST = 6  # values that a forward returns, at most, where the names of some are looked for


class ReturnLayout(NamedTuple):
    """How to use what a forward returned: how many results come first, the names of all values, and the slots."""

    results: int
    names: list[str]
    slots: list[tuple[str, str, int]]  # for each parameter of the backward: name, kind of argument, index in that kind

    def split(self, value: Any) -> tuple[list[Any], Any]:
        """Split what the forward returned into the list of results and the cache."""
        passed_results = {k for _, kind, k in self.slots if kind == "result"}
        named = [n for n, kind, _ in self.slots if kind == "cache" and n in self.names]
        rest = [v for k, v in enumerate(value) if k >= self.results and k not in passed_results]
        if named:
            rest = [value[self.names.index(named[0])]]
        return list(value[: self.results]), rest[0] if len(rest) == 1 else tuple(rest)


def read_cached(f: Callable[..., Any], inputs: Inputs, manual: Any) -> Code | None:
    """Return the `Code` of a forward with a cache, or None if the functions follow another convention.

    Raises:
        TypeError: the backward takes a cache, and the results of the forward do not fit its parameters.
    """
    if not callable(manual):
        return None
    names = [p.name for p in parameters(manual)]
    is_other = any(n not in inputs.names for n in names)  # then a cache may be an input and a result as well
    returned = [n for k in range(2, MOST + 1) for n in returned_names(f, k)] if is_other else []
    has_cache = any(is_cache(n) and (n not in inputs.names or n in returned) for n in names)
    if not has_cache and not _takes_results(f, manual, inputs) and not _has_unnamed_cache(manual, inputs):
        return None
    leaves = [inputs.leaves[i] for i in inputs.float_indices]
    with same_draws():
        value = call_function(f, inputs, [np.array(x) for x in leaves])
    if not isinstance(value, (tuple, list)) or len(value) < 2:
        if any(is_cache(n) for n in names):
            raise TypeError(
                f"compare_gradients: manual takes a cache ({', '.join(names)}), but the function returned "
                f"{describe_value(value)}. It must return its result and the cache: `return out, cache`."
            )
        return None
    layout = _find_layout(f, manual, inputs, value)

    def run(now: Inputs, leaves: Sequence[Any]) -> Any:
        with same_draws():
            results, _ = layout.split(call_function(f, now, leaves))
        return results[0] if layout.results == 1 else results

    def back(now: Inputs, leaves: Sequence[Array], g: Any) -> Any:
        with same_draws():
            value = call_function(f, now, leaves)
        _, cache = layout.split(value)
        gs = [g] if layout.results == 1 else list(g)
        named = dict(zip(now.names, now.with_leaves(leaves), strict=True))
        # the cotangent of a Python or NumPy number is passed as a float, not as a 0-d array
        gs = [c if isinstance(out, np.ndarray) else float(c) for c, out in zip(gs, value, strict=False)]
        args: list[Any] = []
        for n, kind, k in layout.slots:
            args.append(named[n] if kind == "input" else value[k] if kind == "result" else cache if kind == "cache" else
                        gs[k])  # fmt: skip
        return manual(*args)

    takes_cotangents = any(kind == "g" for _, kind, _ in layout.slots)
    results_word = "results" if layout.results > 1 else "result"
    note = (f"Treated as a forward that returns its {results_word} and a cache, and a "
            f"backward({', '.join(n for n, _, _ in layout.slots)}).")  # fmt: skip
    return Code(getattr(f, "__name__", "forward"), inputs, run, back, takes_cotangents, f, manual, notes=(note,))


def _takes_results(f: Any, manual: Any, inputs: Inputs) -> bool:
    """Tell whether a backward takes only inputs, and values that the forward returns beside a loss."""
    needed = [p.name for p in parameters(manual) if p.default is p.empty]
    counts = [k for k in range(2, MOST + 1) if any(returned_names(f, k))]
    returned = returned_names(f, counts[0])[1:] if len(counts) == 1 else []
    is_known = all((n in returned or n in inputs.names) and not is_cache(n) for n in needed)
    return is_known and any(n in returned for n in needed)


def _has_unnamed_cache(manual: Any, inputs: Inputs) -> bool:
    """Tell whether a backward has two required parameters, none named as an input, and the first as a gradient."""
    needed = [p.name for p in parameters(manual) if p.default is p.empty]
    if len(needed) != 2 or len(inputs.names) == 1 or any(n in inputs.names for n in needed):
        return False
    return needed[0] in COTANGENTS or needed[0].startswith("d")


def _find_layout(f: Any, manual: Any, inputs: Inputs, value: Sequence[Any]) -> ReturnLayout:
    """Find what each parameter of the backward takes; raise TypeError if the forward's results do not fit."""
    returned = returned_names(f, len(value))
    count = len(value) + _takes_results(f, manual, inputs)  # the last value is a result as well if there is no cache
    slots, cotangent_names = _slots(manual, inputs, returned, count)
    results = len(cotangent_names) or 1
    _check_fit(f, value, slots, cotangent_names, results)
    return ReturnLayout(results, returned, slots)


def _slots(
    manual: Any, inputs: Inputs, returned: Sequence[str], count: int
) -> tuple[list[tuple[str, str, int]], list[str]]:
    """Return what each parameter of the backward takes, with its index there, and the names of upstream gradients."""
    cotangent_names: list[str] = []
    slots: list[tuple[str, str, int]] = []
    for p in parameters(manual):
        n = p.name
        if n in inputs.names and n not in COTANGENTS and not (is_cache(n) and n in returned):
            slots.append((n, "input", 0))
        elif n in returned and returned.index(n) < count - 1 and not is_cache(n):
            slots.append((n, "result", returned.index(n)))
        elif is_cache(n):
            slots.append((n, "cache", 0))
        elif p.default is p.empty or n in COTANGENTS:
            slots.append((n, "g", len(cotangent_names)))
            cotangent_names.append(n)
    has_cache = any(kind == "cache" for _, kind, _ in slots)
    if cotangent_names and not has_cache:  # no name says cache, so the last parameter takes it
        place = max(k for k, (_, kind, _) in enumerate(slots) if kind == "g")
        slots[place] = (slots[place][0], "cache", 0)
        cotangent_names.pop()
    return slots, cotangent_names


def _check_fit(
    f: Any, value: Sequence[Any], slots: Sequence[tuple[str, str, int]], cotangent_names: list[str], results: int
) -> None:
    """Raise TypeError if the results of the forward do not fit the parameters of the backward."""
    between = value[results:-1]
    named = any(kind == "result" for _, kind, _ in slots)
    is_container = isinstance(value[-1], (tuple, list, dict))
    if cotangent_names and between and is_container and not named and all(is_float(x) for x in between):
        raise TypeError(
            f"compare_gradients: the forward returned {len(value) - 1} results and a cache, but "
            f"manual({printable(', '.join(n for n, _, _ in slots))}) takes the gradient of {len(cotangent_names)}. It "
            "needs one for each result, in order, and the cache: `def backward(dnext_h, dnext_c, cache)`."
        )
    if results >= len(value):
        raise TypeError(
            f"compare_gradients: manual takes {counted(len(cotangent_names), 'gradient')} "
            f"({printable(', '.join(cotangent_names))}) and a cache, but the forward returned "
            f"{counted(len(value), 'value')} in all. It must return one result for each gradient, and then the "
            "cache: `return out, cache`. A backward that takes a result and labels instead, such as backward(AL, Y, "
            "caches), begins at a loss, so its forward ends there: `return cost, AL, caches`, with Y among the inputs."
        )
    wrong = [k for k in range(results) if not is_float(value[k])]
    if not cotangent_names and not wrong and np.size(value[0]) != 1:
        out = printable(", ".join(n for n, kind, _ in slots if kind == "result")) or "out"
        parameters_text = printable(", ".join(n for n, _, _ in slots))
        name = printable(getattr(f, "__name__", "forward"))
        raise TypeError(
            f"compare_gradients: the forward returned an array of shape {np.shape(value[0])}, and "
            f"manual({parameters_text}) takes no gradient of it, so it belongs to a loss that is computed from it. Put "
            f"both into one function, and compare that: `def loss(...): {out}, cache = {name}(...); "
            f"return cost({out}, Y), {out}, cache`."
        )
    if wrong:
        raise TypeError(
            f"compare_gradients: value {wrong[0]} that the forward returned is {describe_value(value[wrong[0]])}; "
            "it must be an array of floats, followed by the cache: `return out, cache`."
        )
