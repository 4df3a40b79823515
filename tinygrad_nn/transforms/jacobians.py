"""Jacobians and Hessians, computed in one walk for many directions at once, along a leading axis.

The walk is the ordinary one for a single direction, run inside a vmap (`batching`) whose samples are the directions:
the graph is recorded once, and each operation of the walk is one NumPy call for all directions. If they do not all fit
in memory, they are taken in groups.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from itertools import pairwise
from typing import Any

import numpy as np

from ..backward import ancestors
from ..tensor import Tensor
from ..tree import Tree, flatten
from .batching import Level
from .derivatives import Call, grad, pullback, pushforward, result_of

AT_ONCE = 2**26  # at most so many bytes of tangents or cotangents in one walk with several directions


def jacobian(
    f: Callable[..., Any], argnums: int | str | Sequence[int | str] = 0, *, stack: bool = False
) -> Callable[..., Any]:
    r"""Return the function that computes the Jacobian of f: the derivative of each result entry in each argument entry.

    .. math:: J_{i \ldots j \ldots} = \partial f_{i \ldots} / \partial x_{j \ldots}

    f runs once. Then one walk handles all directions: forward mode from each entry of the arguments if they have fewer
    entries than the results, otherwise reverse mode from each entry of the results.

    Args:
        f: a function returning an array, or containers of arrays.
        argnums: the position or name of the argument to differentiate, or several.
        stack: whether the derivatives with respect to several arguments of the same shape are stacked along the last
            axis of one array instead of returned in a tuple, as SciPy's ``curve_fit(jac=)`` needs them.

    Returns:
        A function of the same arguments returning, for a result of shape ``out`` and an argument of shape ``in``, an
        array of shape ``(*out, *in)``. With containers, it returns those of the result, and inside them, for each
        array, those of the argument. For complex numbers it is the complex derivative of a holomorphic f.

    Raises:
        TypeError, ValueError: as `vjp`.

    Example:
        >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
        array([[2., 0.],
               [0., 4.]])
    """

    def matrix(*args: Any, **kwargs: Any) -> Tree:
        call = Call(f, argnums, args, kwargs)
        outs, rebuild = flatten(call.value)
        outs = [result_of(f, out) for out in outs]
        found = [call.arrange(blocks) for blocks in _by_forward(outs, call.inputs) or _by_reverse(outs, call.inputs)]
        if not stack or call.single:
            return rebuild(found)
        if len(shapes := {t.shape for t in call.inputs}) > 1:
            raise ValueError(
                f"stack=True needs arguments of one shape; they have {' and '.join(map(str, sorted(shapes)))}. Leave "
                "stack out, which gives a tuple of arrays."
            )
        return rebuild([np.stack(blocks, axis=-1) for blocks in found])

    return wraps(f)(matrix)


def _by_forward(outs: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[list[Any]] | None:
    """Return the derivatives for each result and input, computed by forward mode for all entries of the inputs.

    Return None if the results do not have more entries than the inputs (reverse mode is then better), or if any array
    is complex.
    """
    sizes = [t.data.size for t in inputs]
    if not 0 < sum(sizes) < sum(out.data.size for out in outs):
        return None
    if any(t.dtype.kind == "c" for t in (*outs, *inputs)):
        return None
    push, ends = pushforward(outs, inputs), np.cumsum([0, *sizes])

    def moved(unit: Any) -> list[Any]:
        parts = zip(inputs, pairwise(ends), strict=True)
        return push([unit[start:end].reshape(t.shape).astype(t.dtype) for t, (start, end) in parts])

    found = _all_at_once(moved, sum(sizes), np.dtype(float), sum(_memory(outs, inputs)))
    blocks: list[list[Any]] = []
    for out, columns in zip(outs, found, strict=True):
        parts = [columns[start:end] for start, end in pairwise(ends)]
        blocks.append([
            np.moveaxis(part, 0, -1).astype(t.dtype).reshape((*out.shape, *t.shape))
            for part, t in zip(parts, inputs, strict=True)
        ])  # fmt: skip
    return blocks


def _all_at_once(f: Callable[[Any], list[Any]], count: int, dtype: Any, size: int) -> list[Any]:
    """Return the stacked results of a linear function for all unit vectors, in groups that fit into `AT_ONCE` bytes."""
    some = max(1, min(count, AT_ONCE // max(size, 1)))
    found = []
    for start in range(0, count, some):
        units = np.eye(min(some, count - start), count, start, dtype)
        if len(units) == 1:
            found.append([x[None] for x in f(units[0])])
            continue
        with Level(len(units)).entered() as level:
            results = f(level.wrap(units))
        found.append([level.full(x) for x in results])
    return [parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*found, strict=True)]


def _memory(outs: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[int]:
    """Return the size in bytes of the result of each operation between inputs and results."""
    oldest = min((t.node.index for t in inputs if t.node is not None), default=0)
    return [node.out.nbytes for node in ancestors([out.node for out in outs if out.node is not None], oldest)]


def _pulled(out: Tensor, inputs: Sequence[Tensor], unit: Any) -> list[Any]:
    return pullback(out, inputs, unit.reshape(out.shape))


def _by_reverse(outs: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[list[Any]]:
    """Return the derivatives for each result and input, computed by reverse mode for all entries of a result."""
    blocks = []
    for out in outs:
        size = 4 * max(_memory([out], inputs), default=0)  # a walk back holds only a few cotangents at a time
        found = _all_at_once(partial(_pulled, out, inputs), out.size, out.dtype, size)
        found = found or [np.zeros((0, *t.shape), t.dtype) for t in inputs]
        found = [np.conj(b) if b.dtype.kind == "c" else b for b in found]
        blocks.append([b.reshape((*out.shape, *t.shape)) for b, t in zip(found, inputs, strict=True)])
    return blocks


def hessian(f: Callable[..., Any], argnums: int | str | Sequence[int | str] = 0) -> Callable[..., Any]:
    r"""Return the function that computes the Hessian, all second derivatives, of a function returning one number.

    .. math:: H_{jk} = \partial^2 f / \partial x_j \partial x_k

    Args:
        f: returns one number.
        argnums: the position or name of the argument to differentiate, or several.

    Returns:
        A function of the same arguments returning an array of shape ``(*in, *in)``; see `jacobian` for containers.

    Example:
        >>> hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
        array([[ 6.,  0.],
               [ 0., 12.]])
    """
    return jacobian(grad(f, argnums), argnums)
