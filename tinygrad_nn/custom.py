"""Functions with a derivative of a person's choosing: hand-written, blocked, or computed again instead of kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .backward import ancestors
from .node import Node, recording
from .primitive import Primitive
from .tensor import Tensor, apply, raw, wrap
from .transforms import enter, pullback
from .tree import Tree, flatten


def stop_gradient(tree: Tree) -> Tree:
    """Return the same values as constants: no gradient flows through them.

    Args:
        tree: a Tensor, an array, or containers of them.

    Returns:
        The same containers with every Tensor detached.

    Example:
        >>> from tinygrad_nn import grad
        >>> float(grad(lambda x: x * stop_gradient(x))(3.0))
        3.0
    """
    leaves, rebuild = flatten(tree)
    return rebuild([x.detach() if isinstance(x, Tensor) else x for x in leaves])


def custom_vjp(f: Callable[..., Any], rule: Callable[..., Any]) -> Callable[..., Any]:
    r"""Return f with a hand-written VJP rule in place of the derivative of what it does inside.

    .. math:: (\\bar x, \\bar y, \\dots) = rule(g, out, x, y, \\dots)

    Args:
        f: a function of arrays, by position, and metadata, by keyword, returning an array. It is run on plain arrays.
        rule: ``rule(g, out, *arrays, **metadata)`` returns the gradient of the argument if there is one argument,
            else a tuple with one per argument, ``None`` where there is none. If it is written in NumPy functions and
            operators only, it can itself be differentiated, to any order.

    Returns:
        A function of the same arguments that takes part in graphs as one operation.

    Raises:
        ValueError: (when gradients are taken) the rule returns another number of gradients than there are arguments.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import grad
        >>> round_through = custom_vjp(np.round, lambda g, out, x: g)  # the straight-through estimator
        >>> float(grad(lambda x: round_through(x) * x)(2.6))
        5.6
    """

    def gradients(g: Any, out: Any, *arrays: Any, **metadata: Any) -> Any:
        found = rule(g, out, *arrays, **metadata)
        found = found if isinstance(found, (tuple, list)) else (found,)
        if len(found) != len(arrays):
            raise ValueError(
                f"the rule of {primitive.name} returned {len(found)} gradients for {len(arrays)} arguments; "
                "return a tuple with one per argument, None where there is none."
            )
        return found

    name = getattr(f, "__name__", "custom").strip("<>")
    primitive = Primitive(name, f, (), rf"\operatorname{{{name}}}(x)", jointly=(gradients, "rule(g)"))

    def call(*args: Any, **metadata: Any) -> Any:
        return apply(primitive, args, metadata)

    return wraps(f)(call)


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f with its intermediate results computed again on the way back instead of kept.

    Memory then holds the arguments and the result of f only, for the price of running it once more.

    Args:
        f: a function of Tensors (containers of them, and anything else) returning a Tensor. It must do the same each
            time: random numbers are passed in, not drawn inside. Tensors that it closes over get their gradients too.

    Returns:
        A function of the same arguments.

    Raises:
        TypeError: f returns something other than a Tensor.

    Source:
        A. Griewank and A. Walther, Algorithm 799: revolve, ACM TOMS 26 (2000).

    Example:
        >>> from tinygrad_nn import grad
        >>> float(grad(lambda x: checkpoint(lambda y: (y * y).sum())(x))(3.0))
        6.0
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, rebuild = flatten([list(args), kwargs])
        places = [i for i, x in enumerate(leaves) if isinstance(x, Tensor) and x.node is not None]

        def run(inputs: Any) -> Tensor:
            filled = list(leaves)
            for place, tensor in zip(places, inputs, strict=True):
                filled[place] = tensor
            again, named = rebuild(filled)
            out = f(*again, **named)
            if not isinstance(out, Tensor):
                raise TypeError(f"checkpoint needs a function returning one Tensor; it returned {type(out).__name__}.")
            return out

        inputs = [enter(leaves[i]) for i in places]
        with recording(True):
            out = run(inputs)
        if out.node is None:
            return out
        captured = [wrap(node.out, node) for node in _captured(out.node, inputs)]
        data = out.data
        del out

        def rule(g: Any, out: Any, *arrays: Any) -> list[Any]:
            entered = [enter(x) for x in arrays[: len(places)]]
            with recording(True):
                result = run(entered)
                found = pullback(result, [*entered, *captured], g)
            return found if isinstance(g, Tensor) else [raw(x) for x in found]

        primitive = Primitive("checkpoint", lambda *arrays: data, (), "f(x)", jointly=(rule, "J^T g"))
        return apply(primitive, (*(leaves[i] for i in places), *captured))

    return wraps(f)(call)


def _captured(root: Node, inputs: list[Tensor]) -> list[Node]:
    """Return the Nodes older than the inputs that a result was computed from besides them."""
    given = {t.node for t in inputs}
    oldest = min((t.node.index for t in inputs if t.node), default=root.index + 1)
    found: dict[Node, None] = {}
    for node in ancestors((root,), oldest):
        if node not in given:
            found.update(dict.fromkeys(p for p in node.parents or () if p is not None and p.index < oldest))
    return list(found)
