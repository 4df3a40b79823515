"""Call the user's function and backward: match the inputs to their parameters, by name or in order."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...common.printable import counted, printable
from ...gradcheck.numerical import is_float
from ...tensor import raw
from ...tree import flatten

COTANGENTS = ("g", "cotangent", "ct", "v", "dout", "d_out", "grad_out", "grad_output", "upstream", "gradient")
OUT = ("out", "output")


class Inputs(NamedTuple):
    """The arguments of a function, and the arrays in them as a flat list.

    `leaves` holds the arrays and `labels` their names; `float_indices` lists the indices of floating-point arrays,
    which get a gradient; `owner` tells for each leaf which argument it belongs to.
    """

    names: list[str]
    values: list[Any]
    by_name: bool
    leaves: list[Any]
    labels: list[str]
    float_indices: list[int]
    owner: list[int]

    def with_leaves(self, new_leaves: Sequence[Any]) -> list[Any]:
        """Return the arguments with the floating-point arrays replaced by others."""
        new = dict(zip(self.float_indices, new_leaves, strict=True))
        filled = [new[i] if i in new else x.copy() if isinstance(x, np.ndarray) else x
                  for i, x in enumerate(self.leaves)]  # fmt: skip
        arguments, start = [], 0
        for value in self.values:
            parts, rebuild = flatten(value)
            arguments.append(rebuild(filled[start : start + len(parts)]))
            start += len(parts)
        return arguments


def arrange(f: Callable[..., Any], inputs: Any) -> Inputs:
    """Return the inputs of a function, named by the keys of a dict or its parameters; TypeError if they do not fit."""
    by_name = False
    if isinstance(inputs, dict) and _binds(f, (), inputs):
        names, values, by_name = list(map(str, inputs)), list(inputs.values()), True
    elif isinstance(inputs, (tuple, list)) and _binds(f, tuple(inputs), {}):
        values = list(inputs)
        names = _parameters(f, len(values))
    else:
        values, names = [inputs], _parameters(f, 1)
        if not _binds(f, (inputs,), {}):
            received = counted(len(inputs), "input") if isinstance(inputs, (tuple, list)) else (
                printable(", ".join(map(str, inputs))) if isinstance(inputs, dict) else "one input")  # fmt: skip
            raise TypeError(
                f"compare_gradients: {printable(getattr(f, '__name__', 'the function'))}{inspect.signature(f)} does "
                f"not take {received}. Give all inputs in one tuple in that order, or in a dict by name."
            )
    bound = make_inputs(names, values, by_name)
    if not bound.float_indices:
        raise TypeError(
            "compare_gradients: no input is made of floats; there is no gradient. Write 3.0 rather than 3."
        )
    return bound


def make_inputs(names: list[str], values: list[Any], by_name: bool = False) -> Inputs:
    """Return the inputs with these names and values, with their arrays found and labelled."""
    leaves, labels, owner = [], [], []
    for k, (name, value) in enumerate(zip(names, values, strict=True)):
        labelled = _labelled(name, value)
        leaves += [raw(x) for _, x in labelled]
        labels += [label for label, _ in labelled]
        owner += [k] * len(labelled)
    moving = [i for i, x in enumerate(leaves) if is_float(x)]
    return Inputs(names, values, by_name, [np.array(x) if is_float(x) else x for x in leaves], labels, moving, owner)


def inputs_in_order(f: Callable[..., Any], inputs: Any, skip: int = 0) -> Inputs:
    """Return the inputs named by the parameters of a function, without its first `skip` parameters."""
    parameters = list(inspect.signature(f).parameters.values())[skip:]
    bind = inspect.Signature(parameters).bind
    try:
        if isinstance(inputs, dict) and set(inputs) <= {p.name for p in parameters}:
            values = list(bind(**inputs).args)
        else:
            values = list(bind(*(inputs if isinstance(inputs, (tuple, list)) else (inputs,))).args)
    except TypeError as error:
        parameter_names = ", ".join(p.name for p in parameters)
        raise TypeError(
            f"compare_gradients: the inputs do not fit {f.__name__}({printable(parameter_names)}): {error}."
        ) from None
    names = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL][: len(values)]
    return make_inputs([*names, *(f"input {k}" for k in range(len(names), len(values)))], values)


def _labelled(name: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        parts = {f"{name}[{key!r}]": part for key, part in value.items()}
    elif isinstance(value, (list, tuple)):
        parts = {f"{name}[{k}]": part for k, part in enumerate(value)}
    else:
        parts = {}
    if parts:
        return [pair for label, part in parts.items() if part is not None for pair in _labelled(label, part)]
    flat = flatten(value)[0]
    return [(name if len(flat) == 1 else f"{name}[{k}]", part) for k, part in enumerate(flat)]


def _signature(f: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of a function; None for what has none, such as some functions of NumPy."""
    try:
        return inspect.signature(f)
    except (TypeError, ValueError):
        return None


def _binds(f: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    signature = _signature(f)
    if signature is None:
        return not kwargs  # any positional arguments are accepted
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _parameters(f: Callable[..., Any], count: int) -> list[str]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    signature = _signature(f)
    names = [] if signature is None else [p.name for p in signature.parameters.values() if p.kind in kinds]
    return names[:count] if len(names) >= count else [f"input {k}" for k in range(count)]


def call_function(f: Callable[..., Any], inputs: Inputs, leaves: Sequence[Any]) -> Any:
    """Call a function with other arrays or Tensors in its inputs, and return its result."""
    values = inputs.with_leaves(leaves)
    return f(**dict(zip(inputs.names, values, strict=True))) if inputs.by_name else f(*values)


def takes_any(manual: Any, names: Sequence[str], inputs: Inputs) -> bool:
    """Tell whether a backward has a parameter with one of these names, such as `COTANGENTS`, that is no input."""
    signature = _signature(manual) if callable(manual) else None
    return signature is not None and any(n in names and n not in inputs.names for n in signature.parameters)


def call_manual(manual: Any, inputs: Inputs, leaves: Sequence[Any], out: Any, g: Any) -> Any:
    """Call the user's backward and return its result; if `manual` is not callable, return it.

    A parameter `g` (or `cotangent`, `dout`, ...) is given the cotangent, one named `out` the result; the others are
    given the inputs: by name if the inputs are a dict, or if it takes only some of them, else in their order.
    """
    if not callable(manual):
        return manual
    values = inputs.with_leaves(leaves)
    named = dict(zip(inputs.names, values, strict=True))
    found = inspect.signature(manual).parameters
    own = {p.name for p in found.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)} - {*COTANGENTS, *OUT}
    by_name = named.keys() & found.keys() if inputs.by_name or own < named.keys() else set()
    queue, args, kwargs = [value for name, value in named.items() if name not in by_name], [], {}
    for p in found.values():
        if p.kind is p.VAR_POSITIONAL:
            args += queue
            queue = []
        elif p.kind is p.VAR_KEYWORD:
            continue
        elif p.name in COTANGENTS and p.name not in named:
            kwargs[p.name] = g
        elif p.name in OUT and p.name not in named and p.default is p.empty:
            kwargs[p.name] = out
        elif p.name in by_name:
            kwargs[p.name] = named[p.name]
        elif queue:
            kwargs[p.name] = queue.pop(0)
        elif p.default is p.empty:
            input_names = printable(", ".join(inputs.names))
            like_cotangents = [name for name in COTANGENTS if name in named and name in found]
            advice = "".join(f" {name} is an input here: name the cotangent dout." for name in like_cotangents)
            raise TypeError(
                f"compare_gradients: manual has a parameter {p.name!r} and there is no input for it. It is called with "
                f"{input_names} in this order, with the cotangent where a parameter is named g, and with "
                f"the result where one is named out.{advice}"
            )
        if p.name in kwargs and p.kind is p.POSITIONAL_ONLY:
            args.append(kwargs.pop(p.name))
    try:
        return manual(*args, **kwargs)
    except Exception as error:
        unlike = [n for n, p in found.items() if p.default is p.empty and n not in (*named, *COTANGENTS, *OUT)]
        if unlike:
            error.add_note(
                f"compare_gradients: manual({printable(', '.join(found))}) was called with the inputs "
                f"{printable(', '.join(named))}. If {printable(', '.join(unlike))} are values of the forward, return "
                f"them there beside the loss: `return loss, {printable(', '.join(unlike))}`."
            )
        raise
