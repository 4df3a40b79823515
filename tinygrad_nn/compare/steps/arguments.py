"""Choose the arguments of a backward among the values of the forward, by the names of its parameters."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from types import CodeType
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.printable import printable
from ..conventions.signatures import is_gradient_name, parameters
from ..function.calling import COTANGENTS, Inputs
from ..user_function import code_of
from .forward_values import Saved, as_arrays
from .names import names_for_gradient
from .tracing import Value

if TYPE_CHECKING:
    from .running import Forward

WHOLE = ("cache", "caches", "saved", "ctx", "context", "ns", "namespace", "values", "v", "state", "intermediates",
         "locals", "forward", "tape", "memory")  # fmt: skip


def cotangent_parameters(backward: Callable[..., Any], inputs: Inputs) -> list[str]:
    """Return the parameters of a backward that are named as gradients, for a forward with several results."""
    return [p.name for p in parameters(backward)
            if p.name not in inputs.names and (p.name in COTANGENTS or is_gradient_name(p.name))]  # fmt: skip


def results_of_cotangents(cotangents: Sequence[str], results: Sequence[str]) -> dict[str, int]:
    """Return for each cotangent the position of its result: by name, or the results without a name in their order.

    `results` has the names of the results, "" for those without one. Return {} if there are fewer than two cotangents,
    or not every one has a result of its own.
    """
    places: dict[str, int] = {}
    for name in cotangents:
        stems = [*names_for_gradient(name)]
        found = [k for k, result in enumerate(results) if result in stems and k not in places.values()]
        if found:
            places[name] = found[0]
    rest = [name for name in cotangents if name not in places]
    unnamed = [k for k, result in enumerate(results) if not result]
    places |= zip(rest, unnamed, strict=True) if len(rest) == len(unnamed) else ()
    return {name: places[name] for name in cotangents} if 1 < len(cotangents) == len(places) else {}


def arguments(
    backward: Callable[..., Any], inputs: Inputs, forward: Forward, g: Any, copies: dict[Any, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and keyword arguments for a backward, chosen by the names of its parameters.

    Raises:
        TypeError: a parameter has no default and its name fits nothing.
    """
    choice = _ArgumentChoice(backward, inputs, forward, g, copies)
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for p in choice.parameters:
        if p.kind is p.VAR_POSITIONAL:
            args += [choice.as_arrays(v) for v in choice.inputs.values()] if not args and not kwargs else []
        elif p.kind is not p.VAR_KEYWORD:
            value = choice.of(p)
            if value is p.empty:
                continue
            if p.kind is p.POSITIONAL_ONLY:
                args.append(value)
            else:
                kwargs[p.name] = value
    return args, kwargs


class _ArgumentChoice:
    """Chooses the argument for each parameter of a backward among the values of the forward."""

    def __init__(
        self, backward: Callable[..., Any], inputs: Inputs, forward: Forward, g: Any, copies: dict[Any, Any]
    ) -> None:
        returned = WHOLE if forward.cache is not None else ()  # these names mean the returned cache, not a local
        self.values = {k: v for k, v in forward.others.items() if k not in returned}
        self.values |= {k: v for k, v in forward.values.items() if "[" not in k}
        self.inputs = dict(zip(inputs.names, inputs.with_leaves(forward.tensors), strict=True))
        self.parameters = list(inspect.signature(backward).parameters.values())
        self._backward, self._forward, self._cotangent, self._copies = backward, forward, g, copies
        places = results_of_cotangents(cotangent_parameters(backward, inputs), forward.out_names)
        self._cotangents = {name: g[k] if isinstance(g, tuple) else g for name, k in places.items()}
        self._only_unknown = self._find_only_unknown()
        code = code_of(backward)
        self._kind = Value if code is not None and "grad" in code.co_names else np.ndarray

    def _find_only_unknown(self) -> str | None:
        """Return the one parameter with the name of a gradient that fits nothing: ``dO`` of a result without a name."""
        names = [p.name for p in self.parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
        if any(n not in self.inputs and (n in COTANGENTS or self._is_named_cotangent(n)) for n in names):
            return None
        known = {*self.inputs, *self.values, *WHOLE}
        known |= {*self._forward.value} if isinstance(self._forward.value, dict) else set()
        unknown = [n for n in names if n not in known and is_gradient_name(n)]
        return unknown[0] if len(unknown) == 1 else None

    def as_arrays(self, value: Any) -> Any:
        """Return a value with arrays in place of Tensors."""
        return as_arrays(value, self._copies, self._kind)

    def of(self, p: inspect.Parameter) -> Any:
        """Return the argument for a parameter, or `p.empty` to use its default."""
        forward, is_last = self._forward, p is self.parameters[-1]
        if not (is_last and _holds(self._backward, p.name, forward.values)):
            if p.name in self.inputs:
                return self.as_arrays(self.inputs[p.name])
            if p.name in self.values:
                return self.as_arrays(self.values[p.name])
        if p.name in self._cotangents:
            return self._cotangents[p.name]
        if self._is_cotangent(p.name):
            return self._cotangent
        if isinstance(forward.value, dict) and p.name in forward.value:
            return self.as_arrays(forward.value[p.name])
        if p.default is not p.empty:
            return p.empty
        if p.name in ("out", "output", "result"):
            return self.as_arrays(forward.outs[0])
        if forward.cache is not None and (p.name in WHOLE or is_last):
            return self.as_arrays(forward.cache)
        if p.name in WHOLE or len(self.parameters) == 1:
            return Saved(self.as_arrays({**self.values, **self.inputs}))
        names_text = printable(", ".join(dict.fromkeys([*self.inputs, *self.values])))
        raise TypeError(
            f"compare_steps: backward has a parameter {p.name!r}, and the forward has no value of that name. Name "
            f"it as a value of the forward ({names_text}), as the cotangent (dout), or as all of them (cache)."
        )

    def _is_cotangent(self, name: str) -> bool:
        """Tell whether a parameter is named after the gradient of a result, or as an upstream gradient usually is."""
        if self._is_named_cotangent(name) or name == self._only_unknown:
            return True
        return name in COTANGENTS and not (name in WHOLE and _reads(self._backward, self._forward.values))

    def _is_named_cotangent(self, name: str) -> bool:
        """Tell whether a parameter is named after the gradient of a result."""
        results = {t.node for t in self._forward.outs}
        for stem in names_for_gradient(name):
            if stem in self._forward.out_names:
                return True
            if stem in self.values and getattr(self.values[stem], "node", None) in results:
                return True
        return False


def _reads(backward: Any, values: Mapping[str, Any]) -> bool:
    """Tell whether a function reads forward values as attributes or keys, as in ``v.probs``."""
    inside = [code for code in (code_of(backward),) if code is not None]
    for code in inside:  # comprehensions and inner functions as well
        inside += [part for part in code.co_consts if isinstance(part, CodeType)]
    return any({*code.co_names, *code.co_consts} & set(values) for code in inside)


def _holds(backward: Any, parameter: str, values: Mapping[str, Any]) -> bool:
    """Tell whether forward values are read from a parameter, ``s.probs`` or ``s['probs']``, so that it is no array."""
    code = code_of(backward)
    if code is None or not {*code.co_names, *code.co_consts} & set(values):
        return False
    steps = dis.get_instructions(code)
    return any(
        one.opname.startswith("LOAD_") and one.argval == parameter and after.argval in values
        and (after.opname == "LOAD_CONST" or not hasattr(np.ndarray, after.argval))
        for one, after in pairwise(steps)
        if after.opname in ("LOAD_CONST", "LOAD_ATTR", "LOAD_METHOD") and isinstance(after.argval, str)
    )


def takes_cotangent(backward: Callable[..., Any], inputs: Inputs, forward: Forward) -> bool:
    """Tell whether a backward has a parameter for the gradient of the result."""
    g = object()
    args, kwargs = arguments(backward, inputs, forward, g, {})
    return any(value is g for value in (*args, *kwargs.values()))
