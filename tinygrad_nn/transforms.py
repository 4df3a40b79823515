"""Differential operators on functions: each takes a function of arrays and returns another.

An argument may be an array, a number, or nested dicts, lists, tuples, named tuples and dataclasses of them. Plain
arrays in, plain arrays out; where an argument, or something the function closes over, is itself being differentiated,
the result is a Tensor with a graph, so that operators nest to any order.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from .backward import ancestors, walk
from .node import Node, recording, thread
from .primitive import declare
from .tensor import Tensor, apply, leaf, wrap

Tree = Any
alias = declare(lambda x: x, "x", (lambda g, out, x: g, "g"), name="alias")


def flatten(tree: Tree) -> tuple[list[Any], Callable[[Sequence[Any]], Tree]]:
    """Part a nest of containers into its leaves, in order, and the function that puts others in their place.

    Example:
        >>> leaves, rebuild = flatten({"W": 1.0, "layers": [2.0, (3.0,)]})
        >>> leaves, rebuild([10, 20, 30])
        ([1.0, 2.0, 3.0], {'W': 10, 'layers': [20, (30,)]})
    """
    make: Callable[[Any], Tree]
    if isinstance(tree, dict):
        parts, make = list(tree.values()), lambda new: dict(zip(tree, new, strict=True))
    elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
        parts, make = list(tree), lambda new: type(tree)(*new)
    elif isinstance(tree, (list, tuple)):
        parts, make = list(tree), type(tree)
    elif dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        names = [field.name for field in dataclasses.fields(tree) if field.init]
        parts = [getattr(tree, name) for name in names]
        make = lambda new: dataclasses.replace(tree, **dict(zip(names, new, strict=True)))  # noqa: E731
    else:
        return [tree], lambda new: new[0]
    flat = [flatten(part) for part in parts]
    leaves = [x for found, _ in flat for x in found]

    def rebuild(new: Sequence[Any]) -> Tree:
        queue = iter(new)
        return make([again([next(queue) for _ in found]) for found, again in flat])

    return leaves, rebuild


def enter(value: Any, what: str = "the argument") -> Tensor:
    """Return an array or Tensor as the fresh input of a function to be differentiated."""
    if isinstance(value, Tensor):
        return apply(alias, (value,)) if value.node is not None else _leaf(value.data, what)
    return _leaf(np.asarray(value), what)


def _leaf(data: np.ndarray[Any, Any], what: str) -> Tensor:
    if data.dtype.kind not in "fc":
        raise TypeError(
            f"a gradient with respect to {what} needs floats, but it has dtype {data.dtype}. "
            "Write 3.0 rather than 3, or convert it with .astype(float)."
        )
    return leaf(data)


def _outside(root: Node, inputs: frozenset[Node]) -> bool:
    """Tell whether a result, or its inputs, depend on anything that is being differentiated outside."""
    if any(node.parents for node in inputs):
        return True
    oldest = min((node.index for node in inputs), default=0)
    return any(
        parent is not None and parent.index < oldest
        for node in ancestors((root,), oldest)
        for parent in node.parents or ()
    )


def pullback(out: Tensor, inputs: Sequence[Tensor], cotangent: Any) -> list[Any]:
    """Return the gradients of a result with respect to the inputs; zeros where it does not depend on them.

    They are Tensors if the cotangent is one, or if anything outside is being differentiated; else ndarrays.
    """
    nodes = frozenset(t.node for t in inputs if t.node is not None)
    arrived: dict[Node, Any] = {}
    if out.node is not None and not isinstance(cotangent, Tensor) and not _outside(out.node, nodes):
        found = walk(out.node, np.asarray(cotangent, dtype=out.data.dtype), wanted=nodes)
        arrived = {node: np.array(g) for node, g in found.items()}
    elif out.node is not None:
        seed = cotangent if isinstance(cotangent, Tensor) else wrap(np.asarray(cotangent, out.data.dtype), None)
        with recording(True):
            arrived = walk(out.node, seed, wanted=nodes, differentiable=True)
    return [arrived[t.node] if t.node in arrived else np.zeros_like(t.data) for t in inputs]


def _result(f: Callable[..., Any], value: Any) -> Tensor:
    """Return what a function returned if gradients can be taken of it."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{_name(f)} returned a {type(value).__name__}, which has no graph, so its gradient would silently be "
            "zero. Compute with the Tensors it is given, without .data or .item(); a true constant is Tensor(value)."
        )
    return value


def _name(f: Callable[..., Any]) -> str:
    return getattr(f, "__name__", type(f).__name__)


def _slot(f: Callable[..., Any], argnum: int | str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | str:
    """Return where an argument, given by position or name, stands in this call."""
    if isinstance(argnum, int):
        if not -len(args) <= argnum < len(args):
            raise ValueError(f"argnums={argnum}, but {_name(f)} was called with {len(args)} positional arguments.")
        return argnum % len(args)
    if argnum in kwargs:
        return argnum
    names = list(inspect.signature(f).parameters)
    if argnum not in names or names.index(argnum) >= len(args):
        raise ValueError(f"{_name(f)} was called without an argument {argnum!r}; its parameters are {names}.")
    return names.index(argnum)


class _Call:
    """One call of a function, with the arguments to be differentiated replaced by fresh inputs."""

    def __init__(self, f: Callable[..., Any], argnums: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.single = isinstance(argnums, (int, str))
        slots = [_slot(f, argnum, args, kwargs) for argnum in ([argnums] if self.single else argnums)]
        call: dict[int | str, Any] = dict(enumerate(args))
        call.update(kwargs)
        leaves, self.rebuild = flatten([call[slot] for slot in slots])
        with recording(thread.mode.grad):
            self.inputs = [enter(x, f"an argument of {_name(f)}") for x in leaves]
        call.update(zip(slots, self.rebuild(self.inputs), strict=True))
        with recording(True):
            self.value = f(*(call[i] for i in range(len(args))), **{k: call[k] for k in kwargs})

    def arrange(self, gradients: list[Any]) -> Tree:
        """Return gradients of the inputs in the containers of the arguments."""
        trees = self.rebuild(gradients)
        return trees[0] if self.single else tuple(trees)


def value_and_grad(
    f: Callable[..., Any], argnums: int | str | Sequence[int | str] = 0, *, has_aux: bool = False
) -> Callable[..., Any]:
    r"""Return the function that computes f and its gradient together.

    .. math:: x \mapsto \left(f(x),\ \nabla f(x)\right)

    Args:
        f: returns one number (a Tensor of size 1), or with `has_aux` a pair of it and anything else.
        argnums: the position or name of the argument to differentiate, or several.
        has_aux: whether f returns such a pair.

    Returns:
        A function of the same arguments returning ``(value, gradient)``, or ``((value, aux), gradient)``; the gradient
        has the containers, shapes and dtypes of the argument, and is a tuple if `argnums` has several.

    Raises:
        TypeError: an argument is not made of floats, or f returns something without a graph.
        ValueError: f returns more than one number, or there is no such argument.

    Example:
        >>> value, gradient = value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
        >>> print(value, gradient)
        5.0 [2. 4.]
    """

    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        call = _Call(f, argnums, args, kwargs)
        value, aux = call.value if has_aux else (call.value, None)
        out = _result(f, value)
        if out.data.size != 1:
            raise ValueError(
                f"{_name(f)} returned an array of shape {out.shape}; a gradient needs one number. Take its sum or "
                "mean, or use jacobian, or elementwise_grad where an entry depends on its own input only."
            )
        gradients = pullback(out, call.inputs, np.ones_like(out.data))
        outside = any(isinstance(g, Tensor) for g in gradients) or any(t.node and t.node.parents for t in call.inputs)
        shown = out if outside else out.data[()]
        return ((shown, aux) if has_aux else shown), call.arrange(gradients)

    return wraps(f)(value_and_gradient)


def grad(f: Callable[..., Any], argnums: int | str | Sequence[int | str] = 0, *, has_aux: bool = False) -> Any:
    r"""Return the function that computes the gradient of f.

    .. math:: x \mapsto \nabla f(x)

    Args:
        f: returns one number (a Tensor of size 1), or with `has_aux` a pair of it and anything else.
        argnums: the position or name of the argument to differentiate, or several.
        has_aux: whether f returns such a pair; the result is then ``(gradient, aux)``.

    Returns:
        A function of the same arguments; see `value_and_grad`, whose errors it shares.

    Example:
        >>> cube = lambda x: x**3
        >>> float(grad(cube)(2.0)), float(grad(grad(cube))(2.0)), float(grad(grad(grad(cube)))(2.0))
        (12.0, 12.0, 6.0)
    """
    both = value_and_grad(f, argnums, has_aux=has_aux)

    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, gradients = both(*args, **kwargs)
        return (gradients, value[1]) if has_aux else gradients

    return wraps(f)(gradient)
