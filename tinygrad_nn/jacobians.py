"""Jacobians and Hessians: every derivative of every entry, from one walk with all directions along a leading axis.

The walk is that of one direction, run on tangents or cotangents that are Mapped, one sample a direction (`batching`):
so the graph is made once, and each operation of the walk is one call for all directions. As many directions go at a
time as fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from itertools import pairwise
from typing import Any

import numpy as np

from .backward import ancestors
from .batching import Level
from .tensor import Tensor
from .transforms import Call, grad, pullback, pushforward, result_of
from .tree import Tree, flatten

AT_ONCE = 2**26  # bytes of tangents or cotangents in one walk with several directions


def jacobian(
    f: Callable[..., Any], argnums: int | str | Sequence[int | str] = 0, *, stack: bool = False
) -> Callable[..., Any]:
    r"""Return the function that computes every derivative of every entry of f.

    .. math:: J_{i \ldots j \ldots} = \partial f_{i \ldots} / \partial x_{j \ldots}

    f runs once, and then one walk takes all directions along a leading axis: forward from every entry of the arguments
    where these are fewer than those of the results, else back from every entry of the results.

    Args:
        f: a function returning an array, or containers of arrays.
        argnums: the position or name of the argument to differentiate, or several.
        stack: whether the derivatives with respect to several arguments, of one shape, stand along a last axis of one
            array instead of in a tuple; so ``curve_fit(jac=)`` of SciPy wants those of the numbers of a model.

    Returns:
        A function of the same arguments returning, for a result of shape ``out`` and an argument of shape ``in``, an
        array of shape ``(*out, *in)``; with containers, those of the result and in each place those of the argument.
        For complex numbers it is the complex derivative of a holomorphic f.

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
        found = [call.arrange(blocks) for blocks in _columns(outs, call.inputs) or _rows(outs, call.inputs)]
        return rebuild([np.stack(blocks, axis=-1) for blocks in found] if stack and not call.single else found)

    return wraps(f)(matrix)


def _columns(outs: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[list[Any]] | None:
    """Return for each result and input their derivatives, of all entries of the inputs in one walk forward.

    None where there are fewer results than inputs, so that walks back are fewer, or where a number is complex.
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
    """Return what a linear function gives for every unit vector, stacked: of as many at a time as memory allows."""
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
    """Return how many bytes each operation between inputs and results made."""
    oldest = min((t.node.index for t in inputs if t.node is not None), default=0)
    return [node.out.nbytes for node in ancestors([out.node for out in outs if out.node is not None], oldest)]


def _pulled(out: Tensor, inputs: Sequence[Tensor], unit: Any) -> list[Any]:
    return pullback(out, inputs, unit.reshape(out.shape))


def _rows(outs: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[list[Any]]:
    """Return for each result and input the derivatives, of all entries of a result in one walk back."""
    blocks = []
    for out in outs:
        size = 4 * max(_memory([out], inputs), default=0)  # what has come back is dropped, but for a few
        found = _all_at_once(partial(_pulled, out, inputs), out.size, out.dtype, size)
        found = found or [np.zeros((0, *t.shape), t.dtype) for t in inputs]
        found = [np.conj(b) if b.dtype.kind == "c" else b for b in found]
        blocks.append([b.reshape((*out.shape, *t.shape)) for b, t in zip(found, inputs, strict=True)])
    return blocks


def hessian(f: Callable[..., Any], argnums: int | str | Sequence[int | str] = 0) -> Callable[..., Any]:
    r"""Return the function that computes the second derivatives of a function returning one number.

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
