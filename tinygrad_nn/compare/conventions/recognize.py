"""Recognize the calling convention of user code, from its signatures and from what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..function.calling import COTANGENTS, OUT, Inputs, arrange, call_function, call_manual, takes_any
from .cached import read_cached
from .code import Code, results
from .context import is_function_class, is_operation, read_function_class, read_operation
from .objects import has_parameters, methods, read_object
from .value_with_gradients import read_value_and_gradients

Array = np.ndarray[Any, Any]


def recognize_code(f: Any, user_inputs: Any, manual: Any) -> Code:
    """Recognize the convention of the user's code, and return it as a `Code`.

    Args:
        f: the forward: a function, a method, a class or an object.
        user_inputs: its inputs.
        manual: the gradients or the backward; None if `f` has them itself.
    """
    if inspect.ismethod(f) and inspect.ismethod(manual) and f.__self__ is manual.__self__:
        return read_object(f, user_inputs, manual.__name__)
    if manual is not None and is_code(f):
        own_methods = [getattr(f, name, None) for pair in (("gradient",), methods(f) or ()) for name in pair]
        manual = None if any(manual == m for m in own_methods) else manual
        f = f if manual is None or callable(f) else f.forward
    if manual is None and is_operation(f):
        return read_operation(f, user_inputs)
    if manual is None and methods(f) is not None and is_function_class(f):
        return read_function_class(f, user_inputs)
    if manual is None and methods(f) is not None and (not inspect.ismethod(f) or has_parameters(f, user_inputs)):
        return read_object(f, user_inputs)
    inputs = arrange(f, user_inputs)
    if manual is None:
        return read_value_and_gradients(f, inputs)
    return read_cached(f, inputs, manual) or _read_plain(f, inputs, manual)


def is_code(f: Any) -> bool:
    """Tell whether `f` is a class or an object with both a forward and a backward."""
    return is_operation(f) or (methods(f) is not None and not inspect.ismethod(f))


def _read_plain(f: Any, inputs: Inputs, manual: Any) -> Code:
    """Return the `Code` of a plain function whose gradients are given, or whose backward takes the same inputs."""
    takes_out = takes_any(manual, OUT, inputs)

    def back(now: Inputs, leaves: Sequence[Array], g: Any) -> Any:
        outs = results(call_function(f, now, [x.copy() for x in leaves])) if takes_out else []
        return call_manual(manual, now, leaves, outs[0] if len(outs) == 1 else outs, g)

    name = getattr(f, "__name__", type(f).__name__)
    return Code(name, inputs, lambda now, leaves: call_function(f, now, leaves), back,
                takes_any(manual, COTANGENTS, inputs), f, manual)  # fmt: skip
