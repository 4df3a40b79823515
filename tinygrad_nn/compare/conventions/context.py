"""The conventions of operation classes.

``forward(ctx, a)`` with ``backward(ctx, d)`` is that of PyTorch's autograd.Function and minitorch's Function;
``compute(a)`` with ``gradient(g, node)`` is that of needle's operations.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...gradcheck.numerical import is_float
from ..function.calling import Inputs, call_function, inputs_in_order
from .code import Code, same_draws
from .signatures import describe_value, instance_of, parameters

Array = np.ndarray[Any, Any]


class Context:
    """The `ctx` object that a forward and its backward share: saved values, and any attributes that are set on it."""

    no_grad = False

    def __init__(self, needs_grad: Sequence[bool] = (), unwrap_single: bool = False) -> None:
        """`needs_grad`: which arguments need a gradient; `unwrap_single`: one saved value comes without a tuple."""
        self.needs_input_grad, self._unwrap_single = tuple(needs_grad), unwrap_single
        self._saved: tuple[Any, ...] = ()

    def save_for_backward(self, *values: Any) -> None:
        """Keep values for the backward."""
        self._saved = values

    @property
    def saved_values(self) -> Any:
        """The values that `save_for_backward` kept: a tuple, or the value itself if `bare` and there is only one."""
        return self._saved[0] if self._unwrap_single and len(self._saved) == 1 else self._saved

    saved_tensors = saved_values

    def mark_non_differentiable(self, *values: Any) -> None:
        """Do nothing, like the other declarations of PyTorch's context below."""

    mark_dirty = mark_non_differentiable
    set_materialize_grads = mark_non_differentiable


class NodeArray(np.ndarray[Any, Any]):
    """An array with the attributes of a needle node: its inputs, its operation and its data."""

    inputs: Sequence[Any] = ()
    op: Any = None

    def realize_cached_data(self) -> Array:
        """Return the data as a plain ndarray."""
        return self.view(np.ndarray)

    numpy = detach = realize_cached_data
    cached_data = property(realize_cached_data)


def is_operation(f: Any) -> bool:
    """Tell whether a class or an object has the methods ``compute`` and ``gradient``."""
    return callable(getattr(f, "compute", None)) and callable(getattr(f, "gradient", None))


def is_function_class(f: Any) -> bool:
    """Tell whether a class has forward and backward as static or class methods, or with a first parameter `ctx`."""
    cls = f if isinstance(f, type) else type(f)
    for name in ("forward", "backward"):
        if not callable(getattr(cls, name, None)):
            return False
        if not isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod)):
            first = next(iter(parameters(getattr(cls, name))), None)
            if first is None or first.name not in ("ctx", "context"):
                return False
    return True


def read_operation(f: Any, user_inputs: Any) -> Code:
    """Return the `Code` of an operation with ``compute`` and ``gradient``."""
    op = instance_of(f) if isinstance(f, type) else f
    inputs = inputs_in_order(op.compute, user_inputs)

    def run(now: Inputs, leaves: Sequence[Any]) -> Any:
        return call_function(op.compute, now, _to_numpy_scalars(leaves))

    def back(now: Inputs, leaves: Sequence[Array], g: Any) -> Any:
        values = now.with_leaves(leaves)
        out = np.asarray(op.compute(*values)).view(NodeArray)
        out.inputs = [np.asarray(x).view(NodeArray) if isinstance(x, np.ndarray) or is_float(x) else x for x in values]
        out.op = op
        return _checked_gradients(op.gradient(np.asarray(g).view(NodeArray), out), now, "gradient")

    note = "Treated as an operation with compute and gradient(out_grad, node)."
    return Code(type(op).__name__, inputs, run, back, True, op.compute, op.gradient, notes=(note,), allows_missing=True)


def read_function_class(f: Any, user_inputs: Any) -> Code:
    """Return the `Code` of a class with ``forward(ctx, ...)`` and ``backward(ctx, d)``."""
    cls: Any = f if isinstance(f, type) else type(f)
    has_setup = callable(getattr(cls, "setup_context", None)) and len(parameters(cls.setup_context)) == 3

    def forward(ctx: Context, *values: Any) -> Any:
        if not has_setup:
            return cls.forward(ctx, *values)
        out = cls.forward(*values)
        cls.setup_context(ctx, values, out)
        return out

    inputs = inputs_in_order(cls.forward, user_inputs, 0 if has_setup else 1)
    needs_grad = [
        any(i in inputs.float_indices for i, k in enumerate(inputs.owner) if k == n) for n in range(len(inputs.names))
    ]

    def run(now: Inputs, leaves: Sequence[Any]) -> Any:
        with same_draws():
            return forward(Context(needs_grad), *now.with_leaves(_to_numpy_scalars(leaves)))

    def back(now: Inputs, leaves: Sequence[Array], g: Any, unwrap_single: bool = False) -> Any:
        ctx = Context(needs_grad, unwrap_single)
        values = now.with_leaves(_to_numpy_scalars(leaves))
        with same_draws():
            out = forward(ctx, *values)
        outs = list(out) if isinstance(out, (tuple, list)) else [out]
        cotangents = [np.ones(np.shape(o)) for o in outs] if g is None else list(g) if len(outs) > 1 else [g]
        gs = [c if np.ndim(o) else float(c) for o, c in zip(outs, cotangents, strict=True)]
        return _checked_gradients(cls.backward(ctx, *gs), now, "backward")

    bare = _saves_bare(back, inputs)
    note = f"Treated as a class with forward(ctx, {', '.join(inputs.names)}) and backward(ctx, ...)."
    if bare:
        note += " One saved value is given back without a tuple around it."
    return Code(
        cls.__name__, inputs, run, lambda now, leaves, g: back(now, leaves, g, bare), True, cls.forward,
        cls.backward, notes=(note,), allows_missing=True,
    )  # fmt: skip


def _checked_gradients(returned: Any, inputs: Inputs, name: str) -> Any:
    """Return `returned`; raise TypeError unless it has one entry per argument, or one per floating-point argument.

    As in PyTorch, further entries may follow if they are None, for arguments that keep their default value.
    """
    if isinstance(returned, (tuple, list)) and all(x is None for x in returned[len(inputs.names) :]):
        returned = returned[: len(inputs.names)]
    floats = len({inputs.owner[i] for i, x in enumerate(inputs.leaves) if is_float(x)})
    count = len(returned) if isinstance(returned, (tuple, list)) else 1
    if count not in (len(inputs.names), floats):
        raise TypeError(
            f"compare_gradients: {name} returned {describe_value(returned)}; it must return a gradient for each of "
            f"{', '.join(inputs.names)}, in one tuple, None for those that have none."
        )
    return returned


def _saves_bare(back: Callable[..., Any], inputs: Inputs) -> bool:
    """Tell whether a backward expects its single saved value without a tuple, as in early minitorch."""
    leaves = [np.array(inputs.leaves[i]) for i in inputs.float_indices]
    shapes = [x.shape for x in leaves]

    def fits(bare: bool) -> bool:
        try:
            found = back(inputs, leaves, None, bare)
        except Exception:  # a tuple in place of a number can raise any error
            return False
        parts = found if isinstance(found, (tuple, list)) else [found]
        return any(np.shape(p) in shapes for p in parts if p is not None and not isinstance(p, (tuple, list)))

    return not fits(False) and fits(True)


def _to_numpy_scalars(leaves: Sequence[Any]) -> list[Any]:
    """Return the arrays, 0-d ones as NumPy scalars, since user code declares such arguments as ``float``."""
    return [x[()] if isinstance(x, np.ndarray) and not x.ndim else x for x in leaves]
