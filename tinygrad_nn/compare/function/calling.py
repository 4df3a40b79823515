"""How a person's function and a person's backward are called, and how what they return is taken apart."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...gradcheck.numerical import is_float
from ...printable import printable
from ...tensor import Tensor, raw, wrap
from ...tree import flatten

Array = np.ndarray[Any, Any]

COTANGENTS = ("g", "cotangent", "ct", "v", "dout", "d_out", "grad_out", "grad_output", "upstream", "gradient")
_RESULT = (
    "compare_gradients: manual gave {what}; it needs a gradient for each of {names}: a tuple in that order, or a dict "
    "by those names."
)


class Inputs(NamedTuple):
    """The arguments of a function: their names, their arrays in a flat list, and how to put them together."""

    names: list[str]
    values: list[Any]
    by_name: bool
    leaves: list[Any]
    labels: list[str]
    moving: list[int]
    owner: list[int]

    def with_leaves(self, new: Sequence[Any]) -> list[Any]:
        """Return the arguments with other arrays in them."""
        filled, done = list(self.leaves), []
        for i, x in zip(self.moving, new, strict=True):
            filled[i] = x
        start = 0
        for value in self.values:
            parts, rebuild = flatten(value)
            done.append(rebuild(filled[start : start + len(parts)]))
            start += len(parts)
        return done


def arrange(f: Callable[..., Any], inputs: Any) -> Inputs:
    """Name the inputs of a function: by the keys of a dict, or by its parameters."""
    by_name = False
    if isinstance(inputs, dict) and _binds(f, (), inputs):
        names, values, by_name = list(map(str, inputs)), list(inputs.values()), True
    elif isinstance(inputs, (tuple, list)) and _binds(f, tuple(inputs), {}):
        values = list(inputs)
        names = _parameters(f, len(values))
    else:
        values, names = [inputs], _parameters(f, 1)
    leaves, labels, owner = [], [], []
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        found = _labelled(name, value)
        leaves += [raw(x) for _, x in found]
        labels += [label for label, _ in found]
        owner += [k] * len(found)
    moving = [i for i, x in enumerate(leaves) if is_float(x)]
    if not moving:
        raise TypeError("compare_gradients: no input is made of floats; there is no gradient. Write 3.0 rather than 3.")
    return Inputs(names, values, by_name, [np.array(x) if is_float(x) else x for x in leaves], labels, moving, owner)


def _labelled(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [pair for key, part in value.items() for pair in _labelled(f"{name}[{key!r}]", part)]
    if isinstance(value, (list, tuple)):
        return [pair for k, part in enumerate(value) for pair in _labelled(f"{name}[{k}]", part)]
    parts = flatten(value)[0]
    return [(name if len(parts) == 1 else f"{name}[{k}]", part) for k, part in enumerate(parts)]


def _binds(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        inspect.signature(f).bind(*args, **kwargs)
    except (TypeError, ValueError):
        # of a NumPy function no signature may be known; then the arguments are taken one by one
        return not _has_signature(f) and not kwargs
    return True


def _has_signature(f: Callable[..., Any]) -> bool:
    try:
        inspect.signature(f)
    except (TypeError, ValueError):
        return False
    return True


def _parameters(f: Callable[..., Any], count: int) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        names = [p.name for p in inspect.signature(f).parameters.values() if p.kind in kinds]
    except (TypeError, ValueError):
        names = []
    return names[:count] if len(names) >= count else [f"input {k}" for k in range(count)]


def call_function(f: Callable[..., Any], inputs: Inputs, leaves: Sequence[Any]) -> list[Any]:
    """Run a function on other arrays or Tensors and return its results that are made of floats."""
    values = inputs.with_leaves(leaves)
    value = f(**dict(zip(inputs.names, values, strict=True))) if inputs.by_name else f(*values)
    return [out for out in flatten(value)[0] if isinstance(out, Tensor) or is_float(out)]


def takes_cotangent(manual: Any, inputs: Inputs) -> bool:
    """Tell whether a backward has a parameter for the cotangent."""
    if not callable(manual):
        return False
    try:
        names = list(inspect.signature(manual).parameters)
    except (TypeError, ValueError):
        return False
    return any(name in COTANGENTS and name not in inputs.names for name in names)


def call_manual(manual: Any, inputs: Inputs, leaves: Sequence[Any], out: Any, g: Any) -> list[Array]:
    """Run a person's backward, whose parameters are found by name, and return a gradient for each moving array.

    A parameter `g` (or `cotangent`, `dout`, ...) takes the cotangent, one named `out` the result; the others take the
    inputs, by name where the inputs are a dict, else in their order.
    """
    if not callable(manual):
        return taken_apart(manual, inputs)
    values = inputs.with_leaves(leaves)
    named = dict(zip(inputs.names, values, strict=True))
    queue, args, kwargs = list(values), [], {}
    for p in inspect.signature(manual).parameters.values():
        if p.kind is p.VAR_POSITIONAL:
            args += queue
            queue = []
        elif p.kind is p.VAR_KEYWORD:
            continue
        elif p.name in COTANGENTS and p.name not in named:
            kwargs[p.name] = g
        elif p.name in ("out", "output") and p.name not in named and p.default is p.empty:
            kwargs[p.name] = out
        elif inputs.by_name and p.name in named:
            kwargs[p.name] = named[p.name]
        elif queue:
            kwargs[p.name] = queue.pop(0)
        elif p.default is p.empty:
            shown = printable(", ".join(inputs.names))
            raise TypeError(
                f"compare_gradients: manual has a parameter {p.name!r} and there is no input for it. It is called with "
                f"{shown} in this order, with the cotangent where a parameter is named g, and with "
                "the result where one is named out."
            )
        if p.name in kwargs and p.kind is p.POSITIONAL_ONLY:
            args.append(kwargs.pop(p.name))
    return taken_apart(manual(*args, **kwargs), inputs)


def taken_apart(found: Any, inputs: Inputs) -> list[Array]:
    """Return gradients by name or position as a flat list, one for each moving array."""
    names = inputs.names
    float_owners = list(dict.fromkeys(inputs.owner[i] for i in inputs.moving))
    wanted = ", ".join(names[k] for k in float_owners)
    one_dict = len(names) == 1 and isinstance(inputs.values[0], dict)
    if isinstance(found, dict) and set(found) <= set(names) and not one_dict:
        parts = {k: found.get(names[k]) for k in float_owners}
        lost = [names[k] for k in float_owners if names[k] not in found]
        if lost:
            raise TypeError(_RESULT.format(what=f"no gradient of {', '.join(lost)}", names=wanted))
    elif len(float_owners) == 1 and not (isinstance(found, (tuple, list)) and len(found) == 1 and not isinstance(
            inputs.values[float_owners[0]], (tuple, list))):
        parts = {float_owners[0]: found}
        if isinstance(found, (tuple, list)) and len(found) == len(names) and len(names) > 1:
            parts = {k: found[k] for k in float_owners}
    elif isinstance(found, (tuple, list)) and len(found) == len(float_owners):
        parts = dict(zip(float_owners, found, strict=True))
    elif isinstance(found, (tuple, list)) and len(found) == len(names):
        parts = {k: found[k] for k in float_owners}
    else:
        what = f"{len(found)} gradients" if isinstance(found, (tuple, list, dict)) else f"a {type(found).__name__}"
        raise TypeError(_RESULT.format(what=what, names=wanted))
    flat: list[Array] = []
    for k in float_owners:
        mine = [i for i in inputs.moving if inputs.owner[i] == k]
        value = parts[k]
        arrays = [np.zeros(np.shape(inputs.leaves[i])) for i in mine] if value is None else flatten(value)[0]
        if len(arrays) != len(mine):
            arrays = [value] if len(mine) == 1 else arrays
        if len(arrays) != len(mine):
            raise TypeError(_RESULT.format(what=f"{len(arrays)} arrays for {printable(names[k])}", names=wanted))
        flat += [np.array(raw(x)) for x in arrays]
    if any(x.dtype.kind not in "fciub" for x in flat):
        raise TypeError(_RESULT.format(what="something that is not made of numbers", names=wanted))
    return [x if x.dtype.kind in "fc" else x.astype(np.float64) for x in flat]


def as_tensor(x: Any) -> Tensor:
    """Return a constant Tensor."""
    return wrap(np.asarray(x), None)
