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

from ..backward import ancestors, walk
from ..common.printable import printable
from ..node import Node, recording, thread
from ..tensor import Tensor, stored_array, wrap
from ..tree import Tree, flatten
from .batching import Level, level_of
from .derivatives import Call, grad, pullback, pushforward, result_of

AT_ONCE = 2**26  # at most so many bytes of tangents or cotangents in one walk with several directions
NOT_HOLOMORPHIC = (
    "{name} is not holomorphic at these complex arguments: {why}. So it has no complex derivative. For the derivative "
    "along a direction v write jvp({f}, (z,), (v,)); for all of them separate real and imaginary parts: "
    "jacobian(lambda a, b: {f}(a + 1j * b), (0, 1))(z.real, z.imag)."
)
REAL_RESULT = "it returns real numbers that depend on them"
TURNED = "along 1j * v its derivative is not 1j times that along v"


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
        array, those of the argument. Complex results of real arguments have a complex Jacobian. At complex arguments
        it is the complex derivative of a holomorphic f.

    Raises:
        TypeError, ValueError: as `vjp`.
        ValueError: f is not holomorphic at complex arguments. Compiled code, which knows no values, does not check it.

    Example:
        >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
        array([[2., 0.],
               [0., 4.]])
    """

    return matrix_of(f, argnums, stack=stack)


def matrix_of(
    f: Callable[..., Any], argnums: int | str | Sequence[int | str] = 0, *, stack: bool = False, name: str = "{f}",
    real_rows: bool = False,
) -> Callable[..., Any]:  # fmt: skip
    """Return `jacobian` of f, which errors call `name`.

    With `real_rows`, a real result of a complex argument has as its row ∂/∂Re − i ∂/∂Im, as in autograd, instead of
    raising.
    """

    def matrix(*args: Any, **kwargs: Any) -> Tree:
        call = Call(f, argnums, args, kwargs)
        outs, rebuild = flatten(call.value)
        outs = [result_of(f, out) for out in outs]
        rows = _by_forward(outs, call.inputs)
        if rows is None:
            rows = _by_reverse(outs, call.inputs)
            if any(t.dtype.kind == "c" for t in call.inputs) and not thread.mode.traces:
                for out, row in zip(outs, rows, strict=True):
                    if (why := _why_not_holomorphic(out, call.inputs, row, real_rows)) is not None:
                        what = name.format(f=printable(getattr(f, "__name__", type(f).__name__)))
                        raise ValueError(NOT_HOLOMORPHIC.format(name=what, f=name.format(f="f"), why=why))
        found = [call.arrange(blocks) for blocks in rows]
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

    Return None if reverse mode is better, since the results do not have more entries than the inputs (for a complex
    entry it takes two walks), or if an input is complex.
    """
    sizes = [t.data.size for t in inputs]
    if not 0 < sum(sizes) < sum(out.data.size * (1 + (out.dtype.kind == "c")) for out in outs):
        return None
    if any(t.dtype.kind == "c" for t in inputs):
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
            np.moveaxis(part, 0, -1).astype(_dtype(out, t)).reshape((*out.shape, *t.shape))
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


def _dtype(out: Tensor, t: Tensor) -> np.dtype[Any]:
    """Return the dtype of a derivative: that of the argument, made complex if the result is."""
    return np.result_type(t.dtype, np.complex64) if out.dtype.kind == "c" else t.dtype


def _pulled(out: Tensor, inputs: Sequence[Tensor], real: Sequence[Tensor], unit: Any) -> list[Any]:
    """Return the gradients for a cotangent, and for 1j times it those of `real`: the derivatives of Re and Im."""
    unit = unit.reshape(out.shape)
    return pullback(out, inputs, unit) + (pullback(out, real, 1j * unit) if real else [])


def _by_reverse(outs: Sequence[Tensor], inputs: Sequence[Tensor]) -> list[list[Any]]:
    """Return the derivatives for each result and input, computed by reverse mode for all entries of a result."""
    blocks = []
    for out in outs:
        size = 4 * max(_memory([out], inputs), default=0)  # a walk back holds only a few cotangents at a time
        real = [t for t in inputs if t.dtype.kind != "c"] if out.dtype.kind == "c" else []
        found = _all_at_once(partial(_pulled, out, inputs, real), out.size, out.dtype, size)
        found = found or [np.zeros((0, *t.shape), t.dtype) for t in (*inputs, *real)]
        imaginary = iter(found[len(inputs) :])
        row = []
        for t, b in zip(inputs, found[: len(inputs)], strict=True):
            b = np.conj(b) if t.dtype.kind == "c" else _complex(b, next(imaginary)) if real else b
            row.append(b.reshape((*out.shape, *t.shape)))
        blocks.append(row)
    return blocks


def _complex(re: Any, im: Any) -> Any:
    if isinstance(re, Tensor) or isinstance(im, Tensor):
        return re + 1j * im
    both = np.empty(re.shape, np.result_type(re.dtype, np.complex64))
    both.real, both.imag = re, im  # 1j * inf would have a real part of NaN
    return both


def _gradients_and_size(out: Tensor, cotangent: Any, inputs: Sequence[Tensor]) -> tuple[list[Any], float]:
    """Return gradients without a graph, and the largest product of a cotangent and a value on the way.

    The terms of a gradient are as large, so its rounding error is in proportion to that, even where they cancel.
    """
    largest = 0.0

    def keep(node: Node, g: Any) -> None:
        nonlocal largest
        size = float(np.max(np.abs(g) * np.abs(node.out), initial=0))
        largest = max(largest, size) if np.isfinite(size) else largest

    gradient_of: dict[Node, Any] = {}
    if out.node is not None:
        nodes = frozenset(t.node for t in inputs if t.node is not None)
        with recording(False):
            gradient_of = walk(out.node, cotangent.astype(out.dtype), wanted=nodes, keep=keep)
    found = [None if t.node is None else gradient_of.get(t.node) for t in inputs]
    return [np.zeros(t.shape) if g is None else g for t, g in zip(inputs, found, strict=True)], largest


def _why_not_holomorphic(
    out: Tensor, inputs: Sequence[Tensor], row: Sequence[Any], real_rows: bool, samples: int = 0
) -> str | None:
    """Tell why a result is not holomorphic in its complex inputs, by the Cauchy-Riemann equations; None if it is.

    If the result changes by A dz + B conj(dz), its gradient for the cotangent c is conj(A) c + B conj(c). So the rows
    have A + conj(B), and are 0 for a real result only if it is constant. For a complex result, the gradient for one
    irregular imaginary c shows whether B is 0: one more walk, whatever the number of entries.

    Args:
        samples: how many leading axes of all arrays are samples of a vmap.
    """
    if (level := level_of(*inputs)) is not None:
        with level.outside_level():
            value, *given = (x if isinstance(x := level.full(t), Tensor) else wrap(x, None) for t in (out, *inputs))
            return _why_not_holomorphic(value, given, [level.full(x) for x in row], real_rows, samples + 1)
    if not out.data.size or (real_rows and out.dtype.kind != "c"):
        return None
    n = int(np.prod(out.shape[samples:], dtype=int))
    moving = [(t, stored_array(x)) for t, x in zip(inputs, row, strict=True) if t.dtype.kind == "c" and t.data.size]
    rows = [M.reshape((-1, n, int(np.prod(t.shape[samples:], dtype=int)))) for t, M in moving]  # (samples, out, in)
    if not rows:
        return None
    eps = max(np.finfo(x.dtype).eps for x in (*rows, stored_array(out)) if x.dtype.kind in "fc")
    with np.errstate(all="ignore"):
        # The size of a derivative: its own, or that of the value by that of the argument, in whose rounding it is lost.
        largest = max([1.0, *(float(np.max(np.abs(stored_array(t)))) for t, _ in moving)])
        size = np.abs(stored_array(out)).reshape(-1, n) / largest
        size = np.max([np.broadcast_to(size, rows[0].shape[:2]), *(np.abs(M).max(axis=2) for M in rows)], axis=0)
        if out.dtype.kind != "c":
            off = any(np.any(np.abs(M) > 64 * eps * size[:, :, None]) for M in rows)
            return REAL_RESULT if off else None
        size[size == 0] = 1
        weights = np.random.default_rng(0).uniform(0.5, 1.5, n) / size
        found, passed = _gradients_and_size(out, (1j * weights).reshape(out.shape), [t for t, _ in moving])
        for M, g in zip(rows, found, strict=True):
            expected = np.einsum("bi,bij->bj", 1j * weights, np.conj(M))
            limit = np.sqrt(eps) * np.einsum("bi,bij->bj", weights, np.abs(M)) + 64 * eps * max(n, passed / largest)
            if np.any(np.abs(g.reshape(expected.shape) - expected) > limit):  # not so where it is NaN
                return TURNED
    return None


def hessian(f: Callable[..., Any], argnums: int | str | Sequence[int | str] = 0) -> Callable[..., Any]:
    r"""Return the function that computes the Hessian, all second derivatives, of a function returning one number.

    .. math:: H_{jk} = \partial^2 f / \partial x_j \partial x_k

    Args:
        f: returns one number.
        argnums: the position or name of the argument to differentiate, or several.

    Returns:
        A function of the same arguments returning an array of shape ``(*in, *in)``; see `jacobian` for containers and
        for complex arguments, at which the gradient must be holomorphic.

    Example:
        >>> hessian(lambda x: (x**3).sum())(np.array([1.0, 2.0]))
        array([[ 6.,  0.],
               [ 0., 12.]])
    """
    return matrix_of(grad(f, argnums), argnums, name="grad({f})")
