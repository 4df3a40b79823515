"""Functions that rearrange, repeat or broadcast entries: reshape, transpose, flip, tile, linspace, diag and others.

Many call NumPy's function on a plain array of the same shape and read off its result where each entry goes. So every
argument means what it means in NumPy, and errors are NumPy's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import METHODS, OVERRIDES, REGISTRY, Array, declare
from .plain import as_arrays, as_operand, is_tensor, override, whole_as_float64


# fmt: off
def _reshape(a: Array, shape: Any, order: Any = "C", copy: bool | None = None) -> Array:
    options = {} if copy is None else {"copy": copy}
    return a.reshape(shape, order=order, **options)


def _read_order(x: Array, order: Any) -> Any:
    """Return "C" or "F" for an order of "A" or "K", depending on the memory layout of x."""
    if order not in ("A", "K"):
        return order
    flags = as_arrays(x).flags
    return "F" if flags.f_contiguous and not flags.c_contiguous else "C"


def _reshape_vjp(g: Array, out: Array, x: Array, shape: Any, order: Any = "C", copy: bool | None = None) -> Array:
    return g.reshape(x.shape, order=order)

reshape = declare(_reshape, r"\operatorname{reshape}(x)",
    (_reshape_vjp,                                                        r"\operatorname{reshape}(g)"),
    numpy=np.reshape, linear=(0,))


def _transpose(a: Array, axes: Any = None) -> Array:
    return a.transpose(axes)


def _inverse(axes: Any, ndim: int) -> Any:
    """Return the permutation that undoes a transposition."""
    return None if axes is None else tuple(int(a) for a in np.argsort([a % ndim for a in np.atleast_1d(axes)]))

transpose = declare(_transpose, r"x^T",
    (lambda g, out, x, axes=None: g.transpose(_inverse(axes, g.ndim)),    r"g^T"),
    numpy=(np.transpose, np.permute_dims), linear=(0,))


def _swapaxes(a: Array, axis1: int, axis2: int) -> Array:
    return a.swapaxes(axis1, axis2)

swapaxes = declare(_swapaxes, r"x^{T_{ij}}",
    (lambda g, out, x, axis1, axis2: g.swapaxes(axis1, axis2),            r"g^{T_{ij}}"),
    numpy=np.swapaxes, linear=(0,))


def _broadcast_to(array: Array, shape: Any, subok: bool = False) -> Array:
    return np.broadcast_to(array, shape)

broadcast_to = declare(_broadcast_to, r"x \, \mathbf 1",
    (lambda g, out, x, shape, subok=False: g,                             r"\sum g"),
    numpy=np.broadcast_to, linear=(0,))


def _roll(a: Array, shift: Any, axis: Any = None) -> Array:
    return np.roll(a, shift, axis)


def _opposite_shift(shift: Any) -> Any:
    """Return the opposite shift, or a tuple of opposite shifts."""
    return tuple(-s for s in shift) if isinstance(shift, (tuple, list)) else -shift

roll = declare(_roll, r"x_{i - s}",
    (lambda g, out, x, shift, axis=None: np.roll(g, _opposite_shift(shift), axis),  r"g_{i + s}"),
    numpy=np.roll, linear=(0,))


def _copy(a: Array, order: Any = "K", subok: bool = False) -> Array:
    return a.copy(order)

copy = declare(_copy, r"x",
    (lambda g, out, x, order="K", subok=False: g,                         r"g"),
    numpy=np.copy, linear=(0,))


def _astype(x: Array, dtype: Any, casting: Any = "unsafe", copy: bool = True) -> Array:
    return x.astype(dtype, casting=casting, copy=copy)

cast = declare(_astype, r"x",
    (lambda g, out, x, dtype, casting="unsafe", copy=True: g,             r"g"),
    name="cast", linear=(0,))


# fmt: on


# -- the same entries in another shape

@override("astype")
def astype(
    x: Array, dtype: Any, order: Any = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True,
    *, device: Any = None,
) -> Array:  # fmt: skip
    """Return x converted to another dtype; an integer or boolean result is a constant."""
    if np.dtype(dtype).kind not in "fciub":
        raise TypeError(f"a Tensor holds numbers, not {np.dtype(dtype)}; for a plain array write t.data.astype(...).")
    differentiable = np.dtype(dtype).kind in "fc"
    return cast(x if differentiable else x.detach(), dtype=dtype, casting=casting, copy=copy)


@override("reshape")
def _to_shape(a: Array, shape: Any, order: Any = "C", **options: Any) -> Array:
    """Return x in another shape; order "A" is replaced here, since a tangent may lie otherwise in memory than x."""
    return reshape(a, shape=shape, order=_read_order(a, order), **options)


@override("ravel")
def ravel(a: Array, order: Any = "C") -> Array:
    """Return x flattened to one axis; order "K" reads the entries as they lie in memory."""
    if order == "K":
        strides = as_arrays(a).strides
        return a.transpose(sorted(range(a.ndim), key=lambda axis: -abs(strides[axis]))).reshape(-1)
    return a.reshape(-1, order=_read_order(a, order))


def _override_reshape(name: str) -> None:
    """Override a NumPy function that only changes shapes: call it on plain arrays, reshape Tensors to its results."""
    function = getattr(np, name)

    def answer(*args: Any, **kwargs: Any) -> Any:
        arrays = list(args) if name.startswith("atleast") else [args[0] if args else kwargs["a"]]
        views = function(*as_arrays(args), **{key: as_arrays(value) for key, value in kwargs.items()})
        views = views if isinstance(views, tuple) else (views,)
        shaped = tuple(np.reshape(x, v.shape) if is_tensor(x) else v for x, v in zip(arrays, views, strict=True))
        return shaped if len(shaped) > 1 else shaped[0]

    override(name)(answer)


for _name in ("expand_dims", "squeeze", "atleast_1d", "atleast_2d", "atleast_3d"):
    _override_reshape(_name)


# -- the axes in another order

def _override_permute(name: str) -> None:
    """Override a NumPy function that only permutes axes: call it on an array of shape (0, 1, 2, ...) to see how."""
    function = getattr(np, name)

    def answer(*args: Any, **kwargs: Any) -> Any:
        if not args:
            args = (kwargs.pop("x" if name == "matrix_transpose" else "a"),)
        return args[0].transpose(function(np.empty(range(args[0].ndim)), *args[1:], **kwargs).shape)

    override(name)(answer)


for _name in ("moveaxis", "rollaxis", "matrix_transpose"):
    _override_permute(_name)


@override("flip")
def flip(m: Array, axis: Any = None) -> Array:
    """Return the entries in reverse order along the axes, by default all."""
    axes = range(m.ndim) if axis is None else np.lib.array_utils.normalize_axis_tuple(axis, m.ndim)
    return m[tuple(slice(None, None, -1 if a in axes else None) for a in range(m.ndim))]


@override("fliplr")
def fliplr(m: Array) -> Array:
    """Return the columns in reverse order."""
    np.fliplr(as_arrays(m))  # raises if there are too few axes
    return m[:, ::-1]


@override("flipud")
def flipud(m: Array) -> Array:
    """Return the rows in reverse order."""
    np.flipud(as_arrays(m))
    return m[::-1]


@override("rot90")
def rot90(m: Array, k: int = 1, axes: Any = (0, 1)) -> Array:
    """Return m rotated k times by 90 degrees in the plane of two axes, from the first towards the second."""
    np.rot90(as_arrays(m), k, axes)
    first, second = axes
    m = m[:] if k % 4 == 0 else m
    for _ in range(k % 4):
        m = np.flip(m, second).swapaxes(first, second)
    return m


# -- more entries, and fewer

@override("broadcast_arrays")
def broadcast_arrays(*args: Array, subok: bool = False) -> tuple[Array, ...]:
    """Return the arrays broadcast against each other."""
    shape = np.broadcast_shapes(*(np.shape(x) for x in args))
    return tuple(np.broadcast_to(x, shape) for x in args)


@override("meshgrid")
def meshgrid(*xi: Array, copy: bool = True, sparse: bool = False, indexing: Any = "xy") -> tuple[Array, ...]:
    """Return the coordinate arrays of the grid spanned by coordinate vectors."""
    shapes = [x.shape for x in np.meshgrid(*as_arrays(xi), sparse=True, copy=False, indexing=indexing)]
    grids = tuple(np.reshape(x, shape) for x, shape in zip(xi, shapes, strict=True))
    return grids if sparse else tuple(np.broadcast_arrays(*grids))


@override("tile")
def tile(A: Array, reps: Any) -> Array:
    """Return A repeated as a whole `reps` times along each axis."""
    counts = tuple(reps) if np.ndim(reps) else (reps,)
    lengths = (1,) * (len(counts) - A.ndim) + A.shape
    counts = (1,) * (A.ndim - len(counts)) + counts
    blocks = A.reshape([n for length in lengths for n in (1, length)])
    spread = np.broadcast_to(blocks, [n for pair in zip(counts, lengths, strict=True) for n in pair])
    return spread.reshape([n * length for n, length in zip(counts, lengths, strict=True)])


@override("repeat")
def repeat(a: Array, repeats: Any, axis: Any = None) -> Array:
    """Return a with each entry, or each slice along an axis, repeated."""
    x = a.reshape(-1) if axis is None or a.ndim == 0 else a
    axis = np.lib.array_utils.normalize_axis_index(0 if axis is None else axis, x.ndim)
    counts = as_arrays(repeats)
    source = np.repeat(np.arange(x.shape[axis]), counts.tolist() if hasattr(counts, "tolist") else counts)
    if np.size(repeats) > 1 or len(source) == 0:
        return x[(slice(None),) * axis + (source,)]
    before, n, after = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    each = np.broadcast_to(x.reshape(*before, n, 1, *after), (*before, n, len(source) // n, *after))
    return each.reshape(*before, len(source), *after)


@override("full_like")
def full_like(
    a: Array, fill_value: Array, dtype: Any = None, order: Any = "K", subok: bool = True, shape: Any = None,
    *, device: Any = None,
) -> Array:  # fmt: skip
    """Return an array with the shape and dtype of a, filled with one value, to which the gradient flows."""
    if not is_tensor(fill_value):
        return np.full_like(as_arrays(a), fill_value, dtype, order, subok, shape)
    filled = np.broadcast_to(fill_value, np.shape(a) if shape is None else shape)
    return filled.astype(as_arrays(a).dtype if dtype is None else dtype)


@override("full")
def full(shape: Any, fill_value: Array, dtype: Any = None, order: Any = "C", *, device: Any = None) -> Array:
    """Return an array filled with one value; NumPy calls this only if ``like=`` is a Tensor."""
    if not is_tensor(fill_value):
        return np.full(shape, fill_value, dtype, order)
    filled = np.broadcast_to(fill_value, shape)
    return filled if dtype is None else filled.astype(dtype)


@override("linspace")
def linspace(
    start: Array, stop: Array, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None,
    axis: int = 0, *, device: Any = None,
) -> Array:  # fmt: skip
    """Return evenly spaced numbers from start to stop; both ends are met exactly."""
    none = np.linspace(as_arrays(start), as_arrays(stop), 0)
    weights = np.linspace(0, 1, num, endpoint=endpoint).astype(none.dtype).reshape(-1, *(1,) * (none.ndim - 1))
    samples = np.moveaxis(start * (1 - weights) + stop * weights, 0, axis)
    if dtype is not None:
        whole = np.issubdtype(dtype, np.integer)
        samples = np.floor(as_arrays(samples)).astype(dtype) if whole else samples.astype(dtype)
    if not retstep:
        return samples
    intervals = num - 1 if endpoint else num
    width = whole_as_float64(as_operand(stop)) - whole_as_float64(as_operand(start))
    return samples, width / intervals if intervals > 0 else np.nan


@override("logspace")
def logspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0, dtype: Any = None, axis: int = 0
) -> Array:
    """Return powers of a base with evenly spaced exponents from start to stop."""
    if np.ndim(base):
        ndim = max(np.ndim(start), np.ndim(stop), np.ndim(base))
        start, stop, base = (np.reshape(a, (1,) * (ndim - np.ndim(a)) + np.shape(a)) for a in (start, stop, base))
        base = np.expand_dims(base, axis)
    made = np.power(base, np.linspace(start, stop, num, endpoint, axis=axis))
    return made if dtype is None else made.astype(dtype)


@override("geomspace")
def geomspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Array:
    """Return numbers from start to stop in a constant ratio; both ends are met exactly."""
    start, stop = (a if is_tensor(a) else np.asarray(a) for a in (start, stop))
    if np.any(np.equal(start, 0)) or np.any(np.equal(stop, 0)):
        numbers = f"{as_arrays(start)} and {as_arrays(stop)}"
        raise ValueError(f"np.geomspace needs numbers other than 0 as its ends; it got {numbers}.")
    kind = np.result_type(start.dtype, stop.dtype, float(num), np.zeros((), dtype))
    start, stop = np.broadcast_arrays(start.astype(kind), stop.astype(kind))
    turn = np.sign(start)  # for complex numbers the phase, which has a derivative
    low, high = np.log10(start / turn), np.log10(stop / turn)
    made = turn * np.power(np.array(10, kind), np.linspace(low, high, num, endpoint))
    ends = [start[None]] * (num > 0) + [made[1:-1] if endpoint else made[1:]] + [stop[None]] * (num > 1 and endpoint)
    made = np.moveaxis(np.concatenate(ends), 0, axis)
    return made if dtype is None else made.astype(dtype)


# -- triangles and diagonals

def _lower_triangle_mask(m: Array, k: int) -> Any:
    return np.tri(m.shape[-2:][0], m.shape[-1], k, bool)


@override("tril")
def tril(m: Array, k: int = 0) -> Array:
    """Return the lower triangle of m, with zeros above."""
    return np.where(_lower_triangle_mask(m, k), m, np.zeros(1, m.dtype))


@override("triu")
def triu(m: Array, k: int = 0) -> Array:
    """Return the upper triangle of m, with zeros below."""
    return np.where(_lower_triangle_mask(m, k - 1), np.zeros(1, m.dtype), m)


@override("diagonal")
def diagonal(a: Array, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Array:
    """Return the entries on a diagonal of two axes, as the last axis of the result."""
    length = np.diagonal(as_arrays(a), offset, axis1, axis2).shape[-1]
    i = np.arange(length)
    return np.moveaxis(a, (axis1, axis2), (-2, -1))[..., i + max(-offset, 0), i + max(offset, 0)]


@override("diag")
def diag(v: Array, k: int = 0) -> Array:
    """Return the diagonal of a matrix, or the matrix that has a vector on its diagonal."""
    if v.ndim != 1:
        np.diag(as_arrays(v))  # raises unless v has one or two axes
        return np.diagonal(v, k)
    n = v.shape[0] + abs(k)
    i = np.arange(v.shape[0])
    return REGISTRY["put"](v, index=(i + max(-k, 0), i + max(k, 0)), shape=(n, n))


@override("diagflat")
def diagflat(v: Array, k: int = 0) -> Array:
    """Return the matrix that has all entries on its diagonal."""
    return np.diag(np.ravel(v), k)


def _transposed(x: Array, *axes: Any, dim0: int | None = None, dim1: int | None = None) -> Array:
    """Return x with its axes permuted, by default reversed, as ndarray.transpose does.

    If x has more than two axes and just two are given, which is an error in NumPy, they are swapped, as in PyTorch.
    """
    if dim0 is not None and dim1 is not None:
        return np.swapaxes(x, dim0, dim1)
    if len(axes) == 2 < x.ndim:
        return np.swapaxes(x, *axes)
    order = axes[0] if len(axes) == 1 and (axes[0] is None or np.ndim(axes[0])) else axes or None
    return transpose(x) if order is None else transpose(x, axes=tuple(order))


METHODS["copy"] = lambda x, order="C": copy(x, order=order)

METHODS.update(transpose=_transposed, astype=astype, flatten=ravel, mT=OVERRIDES[np.matrix_transpose])
