"""Joining several arrays into one, inserting into one, splitting one, and functions applied to slices or entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..common.masked import unmasked
from ..primitive import Array, declare
from .indexing import part_along
from .plain import as_arrays, checked_dtype, is_tensor, override, refuse_out, tensors


# fmt: off
def _concatenate(*arrays: Array, axis: Any = 0, dtype: Any = None, casting: Any = "same_kind") -> Array:
    return np.concatenate(arrays, axis=axis, dtype=dtype, casting=casting)


def _concatenate_vjp(
    g: Array, out: Array, *arrays: Array, axis: Any = 0, dtype: Any = None, casting: Any = "same_kind"
) -> Any:
    if axis is None:
        ends = np.cumsum([np.size(x) for x in arrays])
        return [g[end - np.size(x) : end].reshape(np.shape(x)) for x, end in zip(arrays, ends, strict=True)]
    before = (slice(None),) * (axis % g.ndim)
    ends = np.cumsum([x.shape[axis] for x in arrays])
    return [g[(*before, slice(end - x.shape[axis], end))] for x, end in zip(arrays, ends, strict=True)]

concatenate = declare(_concatenate, r"[x_1, \dots, x_n]", jointly=(_concatenate_vjp, r"g_{[1]}, \dots, g_{[n]}"),
    linear="together")


def _stack(*arrays: Array, axis: int = 0, dtype: Any = None, casting: Any = "same_kind") -> Array:
    return np.stack(arrays, axis=axis, dtype=dtype, casting=casting)


def _stack_vjp(g: Array, out: Array, *arrays: Array, axis: int = 0, **how: Any) -> Any:
    before = (slice(None),) * (axis % g.ndim)
    return [g[(*before, i)] for i in range(len(arrays))]

stack = declare(_stack, r"[x_1, \dots, x_n]", jointly=(_stack_vjp, r"g_{[1]}, \dots, g_{[n]}"), linear="together")


# fmt: on


# -- joining

def _non_default(arrays: Any, dtype: Any, casting: Any) -> dict[str, Any]:
    """Return dtype and casting as metadata, or nothing if both have their defaults, since drawings show metadata."""
    if dtype is not None:
        checked_dtype(dtype, *(t.dtype for t in tensors(arrays) if t.node is not None))
    return {} if dtype is None and casting == "same_kind" else {"dtype": dtype, "casting": casting}


def _check_axis(name: str, axis: Any) -> None:
    """Raise a TypeError if the axis is an array: then the arrays were not put into a list."""
    if not isinstance(axis, int) and np.ndim(axis):
        raise TypeError(f"np.{name} takes the arrays in a list, not one by one. Write np.{name}([x, y]).")


@override("concatenate", "concat")
def _join(arrays: Any, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = "same_kind") -> Array:
    _check_axis("concatenate", axis)
    refuse_out("concatenate", out)
    return concatenate(*arrays, axis=axis, **_non_default(arrays, dtype, casting))


@override("stack")
def _pile(arrays: Any, axis: int = 0, out: Any = None, *, dtype: Any = None, casting: Any = "same_kind") -> Array:
    _check_axis("stack", axis)
    refuse_out("stack", out)
    return stack(*arrays, axis=axis, **_non_default(arrays, dtype, casting))


def _at_least(ndim: int, arrays: Any) -> list[Array]:
    """Return arrays with at least `ndim` axes."""
    widen = {1: np.atleast_1d, 2: np.atleast_2d, 3: np.atleast_3d}[ndim]
    return [widen(x) for x in arrays]


@override("vstack")
def vstack(tup: Any, *, dtype: Any = None, casting: Any = "same_kind") -> Array:
    """Return the arrays stacked one below the other."""
    return concatenate(*_at_least(2, tup), axis=0, **_non_default(tup, dtype, casting))


@override("hstack")
def hstack(tup: Any, *, dtype: Any = None, casting: Any = "same_kind") -> Array:
    """Return the arrays stacked side by side."""
    arrays = _at_least(1, tup)
    axis = 0 if arrays and arrays[0].ndim == 1 else 1
    return concatenate(*arrays, axis=axis, **_non_default(arrays, dtype, casting))


@override("dstack")
def dstack(tup: Any) -> Array:
    """Return the arrays stacked along the third axis."""
    return concatenate(*_at_least(3, tup), axis=2)


@override("column_stack")
def column_stack(tup: Any) -> Array:
    """Return a matrix with the arrays as its columns."""
    columns = [x if np.ndim(x) > 1 else np.reshape(x, (-1, 1)) for x in tup]
    return concatenate(*columns, axis=1)


@override("block")
def block(arrays: Any) -> Array:
    """Return the array that nested lists of blocks form."""
    ndim = np.block(as_arrays(arrays)).ndim  # also raises if the lists have different depths
    depth = _depth(arrays)

    def build(part: Any, level: int) -> Array:
        if level < depth:
            return concatenate(*(build(p, level + 1) for p in part), axis=level - depth)
        return np.reshape(part, (1,) * (ndim - np.ndim(part)) + np.shape(part))

    return build(arrays, 0)


def _depth(nest: Any) -> int:
    return 1 + _depth(nest[0]) if isinstance(nest, list) else 0


@override("append")
def append(arr: Array, values: Array, axis: Any = None) -> Array:
    """Return arr with values appended along an axis, or both flattened and joined if axis is None."""
    if axis is None:
        arr, values, axis = np.ravel(arr), np.ravel(values), 0
    return np.concatenate((arr, values), axis=axis)


@override("insert")
def insert(arr: Array, obj: Any, values: Array, axis: Any = None) -> Array:
    """Return arr with values, cast to its dtype, inserted before the given indices."""
    n, m = np.size(arr), np.size(values)
    places, others = np.arange(n).reshape(np.shape(arr)), np.arange(n, n + m).reshape(np.shape(values))
    source = np.insert(places, as_arrays(obj), others, axis)  # where each entry of the result comes from
    dtype = np.result_type(arr if is_tensor(arr) else np.asarray(arr))  # result_type would read a list as a dtype
    return np.concatenate((np.ravel(arr), np.ravel(values)), dtype=dtype, casting="unsafe")[source]


def array(value: Any, dtype: Any = None) -> Array:
    r"""Return nested lists of Tensors and numbers as one Tensor; np.array cannot, since NumPy lets nobody override it.

    .. math:: out = [x_1, \dots, x_n]

    Args:
        value: a number, an array, a Tensor, or lists and tuples of them; the parts of each list have the same shape.
        dtype: of the result; by default NumPy's promotion of the parts, in which Python numbers adapt to arrays.

    Returns:
        A Tensor through which gradients flow to every Tensor inside; an ndarray if there is none.

    Raises:
        ValueError: the parts of a list have different shapes.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> x = Tensor(2.0)
        >>> y = array([[x, 1], [0, x * x]]); y.sum().backward()
        >>> print(y.data.tolist(), x.grad)
        [[2.0, 1.0], [0.0, 4.0]] 5.0
    """
    if not tensors(value):
        return np.array(unmasked(value), dtype=dtype)
    if dtype is None:
        dtype = np.result_type(*_dtypes(value))
    return _build(value, dtype).astype(dtype)


def _build(value: Any, dtype: Any) -> Array:
    if not isinstance(value, (list, tuple)):
        return value
    if not tensors(value):
        return np.array(unmasked(value), dtype=dtype)
    parts = [_build(part, dtype) for part in value]
    shapes = [np.shape(part) for part in parts]
    if len(set(shapes)) > 1:
        other = next(i for i, shape in enumerate(shapes) if shape != shapes[0])
        raise ValueError(
            f"tinygrad_nn.array needs parts of one shape in each list; part 0 has shape {shapes[0]}, part {other} has "
            f"{shapes[other]}. Parts of different lengths join with np.concatenate([...])."
        )
    return stack(*parts, dtype=dtype, casting="unsafe")


def _dtypes(value: Any) -> Iterator[Any]:
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _dtypes(part)
    else:
        yield value if isinstance(value, (bool, int, float, complex)) else np.result_type(value)


@override("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray")
def _array_like(value: Any, dtype: Any = None, *, ndmin: int = 0, **layout: Any) -> Array:
    """Return ``np.array(..., like=t)`` of a Tensor t, and likewise for np.asarray and its variants."""
    made = array(value, dtype)
    return np.reshape(made, (1,) * (ndmin - made.ndim) + made.shape)


# -- splitting

def _override_split(name: str, axis_of: Callable[[int], int] | None) -> None:
    """Override a NumPy function that splits arrays: it splits the positions along the axis, which tell where to cut."""
    function = getattr(np, name)
    cut = np.array_split if name == "array_split" else np.split

    def answer(ary: Array, indices_or_sections: Any, axis: int = 0) -> list[Array]:
        if axis_of is not None:
            function(as_arrays(ary), indices_or_sections)  # raises if there are too few axes
            axis = axis_of(ary.ndim)
        pieces = cut(np.arange(ary.shape[axis]), indices_or_sections)
        return [part_along(ary, axis, slice(p[0], p[-1] + 1) if len(p) else slice(0)) for p in pieces]

    answer.__name__ = name
    override(name)(answer)


_override_split("array_split", None)
_override_split("split", None)
_override_split("hsplit", lambda ndim: 0 if ndim == 1 else 1)
_override_split("vsplit", lambda ndim: 0)
_override_split("dsplit", lambda ndim: 2)


@override("unstack")
def unstack(x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """Return the slices along an axis as a tuple, each without that axis."""
    return tuple(part_along(x, axis, i) for i in range(x.shape[axis]))


@override("apply_along_axis")
def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Array, *args: Any, **kwargs: Any) -> Array:
    """Return the results of a function for each one-dimensional slice along an axis; it is called with Tensors."""
    axis = np.lib.array_utils.normalize_axis_index(axis, arr.ndim)
    slices = np.moveaxis(arr, axis, -1)
    others = slices.shape[:-1]
    if 0 in others:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    results = [array(func1d(slices[i], *args, **kwargs)) for i in np.ndindex(*others)]
    inner = results[0].shape
    joined = np.stack(results).reshape(*others, *inner)
    return np.moveaxis(joined, range(len(others), joined.ndim), range(axis, axis + len(inner)))


@override("apply_over_axes")
def apply_over_axes(func: Callable[..., Any], a: Array, axes: Any) -> Array:
    """Return the result of applying ``func(array, axis)`` for one axis after another; the axes stay with length 1."""
    out = a
    for axis in np.ravel(as_arrays(axes)).tolist():
        axis = axis + a.ndim if axis < 0 else axis
        found = func(out, axis)
        if found.ndim != out.ndim:
            found = np.expand_dims(found, axis)
        if found.ndim != out.ndim:
            raise ValueError(
                f"np.apply_over_axes needs a function that keeps the axes or removes one; from shape {out.shape} it "
                f"made {found.shape}."
            )
        out = found
    return out


def vectorize(function: Callable[..., Any], excluded: Any = ()) -> Callable[..., Any]:
    r"""Return a function of arrays that calls a function of numbers at each entry, as np.vectorize does.

    .. math:: out_i = f(x_i, y_i, \dots)

    np.vectorize itself converts its arguments to plain arrays, and NumPy lets nobody override it. The function is
    called with Tensors without axes, so it may branch on their values.

    Args:
        function: takes numbers and returns one number or a tuple of numbers.
        excluded: positions and names of arguments that are passed on unchanged.

    Returns:
        A function of arrays that broadcast against each other; for Tensors it returns Tensors.

    Raises:
        ValueError: there is no array among the arguments, or it has no entries.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> x = Tensor([-1.0, 2.0])
        >>> y = vectorize(lambda x: x * x if x > 0 else 0.0)(x); y.sum().backward()
        >>> print(y.data, x.grad)
        [0. 4.] [0. 4.]
    """

    def over_entries(*args: Any, **kwargs: Any) -> Any:
        arguments: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        moving = [key for key in arguments if key not in excluded]
        arrays = np.broadcast_arrays(*[array(arguments[key]) for key in moving])
        if not arrays or arrays[0].size == 0:
            shapes = [np.shape(arguments[key]) for key in moving]
            raise ValueError(f"vectorize needs arrays with entries; it got shapes {shapes}.")
        results = []
        for place in np.ndindex(arrays[0].shape):
            entries = {**arguments, **{key: a[place] for key, a in zip(moving, arrays, strict=True)}}
            positional = [entries.pop(i) for i in range(len(args))]
            results.append(function(*positional, **entries))
        if not isinstance(results[0], tuple):
            return array(results).reshape(arrays[0].shape)
        return tuple(array([*part]).reshape(arrays[0].shape) for part in zip(*results, strict=True))

    return over_entries
