"""The methods of ufuncs of two arguments: reduce, accumulate, outer.

Those of add, multiply, maximum, minimum and logaddexp are primitives. Others are composed of the ufunc itself, entry
after entry along the axis, which is what NumPy does. reduceat has no rule, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from ..primitive import OVERRIDES, Array, Primitive
from . import reduce
from .neural import logsumexp
from .plain import is_tensor
from .sequence import along, cummax, cummin, cumprod, cumsum, logcumsumexp


def _reduction(primitive: Primitive) -> Callable[..., Array]:
    def reduce_all(x: Array, axis: Any = 0, dtype: Any = None, **options: Any) -> Array:
        if options.get("where", False) is True:
            del options["where"]
        return primitive(x, axis=axis, **options, **({} if dtype is None else {"dtype": dtype}))

    return reduce_all


def _running(primitive: Primitive) -> Callable[..., Array]:
    return lambda x, axis=0, dtype=None: primitive(x, axis=axis, dtype=dtype)


def _logaddexp_reduce(
    x: Array, axis: Any = 0, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Array:
    """Return np.logaddexp.reduce of a Tensor."""
    x = x if where is True else np.where(where, x, -np.inf)
    x = x if dtype is None else x.astype(dtype)
    out = logsumexp(x, axis=axis, keepdims=keepdims)
    return out if initial is None else np.logaddexp(out, initial)


def _steps(ufunc: Any, x: Array, axis: int, initial: Any = None) -> list[Array]:
    """Return what the ufunc has made of the first entry, of the first two, and so on."""
    entries = [x[along(axis, i)] for i in range(x.shape[axis])]
    made = [entries.pop(0) if initial is None else initial]
    for entry in entries:
        made.append(ufunc(made[-1], entry))
    return made


def _reduce_by_steps(ufunc: Any) -> Callable[..., Array]:
    def reduce_by_steps(
        x: Array, axis: Any = 0, dtype: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Array:
        if where is not True:
            raise TypeError(f"np.{ufunc.__name__}.reduce of a Tensor does not take where=; choose entries by an index.")
        x = x if dtype is None else x.astype(dtype)
        axes = reduce.axes_of(axis, x.ndim)
        if len(axes) != 1:
            raise ValueError(f"np.{ufunc.__name__}.reduce of a Tensor takes one axis, not {len(axes)}.")
        axis = normalize_axis_index(axes[0] if axis is None else (axis[0] if isinstance(axis, tuple) else axis), x.ndim)
        if x.shape[axis]:
            out = _steps(ufunc, x, axis, initial)[-1]
        elif initial is None and ufunc.identity is None:
            raise ValueError(f"zero-size array to reduction operation {ufunc.__name__} which has no identity")
        else:
            out = x.sum(axis=axis) + (ufunc.identity if initial is None else initial)  # the sum of nothing is 0
        return out[along(axis, None)] if keepdims else out

    return reduce_by_steps


def _accumulate_by_steps(ufunc: Any) -> Callable[..., Array]:
    def accumulate_by_steps(x: Array, axis: int = 0, dtype: Any = None) -> Array:
        axis = normalize_axis_index(axis, x.ndim)
        x = x if dtype is None else x.astype(dtype)
        return np.stack(_steps(ufunc, x, axis), axis=axis) if x.shape[axis] else x

    return accumulate_by_steps


def _outer(ufunc: Any) -> Callable[..., Array]:
    def outer(x: Any, y: Any, **options: Any) -> Array:
        x, y = (a if is_tensor(a) else np.asarray(a) for a in (x, y))
        return ufunc(x.reshape(x.shape + (1,) * y.ndim), y, **options)

    return outer


OVERRIDES.update({
    (np.add, "reduce"): _reduction(reduce.sum),
    (np.multiply, "reduce"): _reduction(reduce.prod),
    (np.maximum, "reduce"): _reduction(reduce.max),
    (np.minimum, "reduce"): _reduction(reduce.min),
    (np.logaddexp, "reduce"): _logaddexp_reduce,
    (np.add, "accumulate"): _running(cumsum),
    (np.multiply, "accumulate"): _running(cumprod),
    (np.maximum, "accumulate"): _running(cummax),
    (np.minimum, "accumulate"): _running(cummin),
    (np.logaddexp, "accumulate"): _running(logcumsumexp),
})
for ufunc, primitive in list(OVERRIDES.items()):
    if isinstance(ufunc, np.ufunc) and isinstance(primitive, Primitive) and ufunc.nin == 2 and ufunc.signature is None:
        for method, make in (("reduce", _reduce_by_steps), ("accumulate", _accumulate_by_steps), ("outer", _outer)):
            OVERRIDES.setdefault((ufunc, method), make(ufunc))
