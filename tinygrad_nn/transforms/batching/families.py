"""Batching rules for families of primitives: each runs a primitive on all samples, as itself or as a few others.

A rule gets a `Call`, whose mapped arguments have the samples along their first axis, and returns a result of the same
form. It returns NotImplemented for a call that it cannot do, which is then run once for each sample. Words such as rank
and shape refer to one sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple

from ...node import thread
from ...primitive import REGISTRY, Primitive
from ...tensor import Tensor, apply
from .mapped import Level, mapped_behind

Rule = Callable[["Call"], Any]
RULES: dict[str, Rule] = {}
PLAIN = frozenset({float, int, bool, complex})
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


class Call:
    """One application of a primitive (`row`): its arguments, which of them are mapped, and its options."""

    __slots__ = ("args", "level", "mapped", "meta", "n", "row")

    def __init__(
        self, row: Primitive, args: list[Any], mapped: list[bool], meta: dict[str, Any], level: Level
    ) -> None:
        self.row, self.args, self.mapped, self.meta, self.level, self.n = row, args, mapped, meta, level, level.n

    def shape(self, slot: int) -> tuple[int, ...]:
        """Return the shape of an argument in one sample."""
        shape: tuple[int, ...] = np.shape(self.args[slot])
        return shape[1:] if self.mapped[slot] else shape

    def rank(self, slot: int) -> int:
        """Return the number of axes of an argument in one sample."""
        return np.ndim(self.args[slot]) - self.mapped[slot]

    def spread(self, slot: int) -> Any:
        """Return an argument with the samples along its first axis; one that all samples share is broadcast."""
        x = self.args[slot]
        return x if self.mapped[slot] else np.broadcast_to(x, (self.n, *np.shape(x)))

    def run(self, *args: Any, **more: Any) -> Any:
        """Run the primitive itself on these arguments."""
        return run(self.row, args, {**self.meta, **more} if more else self.meta)


def run(row: Primitive | str, args: Sequence[Any], meta: dict[str, Any] | None = None) -> Any:
    """Run a primitive: through the funnel if an argument is a Tensor, else only its forward."""
    primitive = REGISTRY[row] if isinstance(row, str) else row
    for x in args:
        if isinstance(x, Tensor):
            return apply(primitive, tuple(args), meta or {})
    if meta and thread.mode.traces and thread.mode.differ(meta):  # type: ignore[attr-defined]
        return apply(primitive, tuple(args), meta)
    return primitive.evaluate(args, meta or {})


def rule(*names: str, options: bool = False) -> Callable[[Rule], Rule]:
    """Return a decorator that registers a rule for primitives; with `options` it can handle Mapped options."""

    def register(function: Rule) -> Rule:
        function.takes_options = options  # type: ignore[attr-defined]
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def shifted(axis: Any, rank: int) -> tuple[int, ...]:
    """Return axes of one sample as axes of the array of all samples; None means all axes of a sample."""
    if axis is None:
        return tuple(range(1, rank + 1))
    return tuple([a + 1 for a in normalize_axis_tuple(axis, rank)])


def padded(x: Any, rank: int) -> Any:
    """Return a mapped array with at least `rank` axes for each sample; new axes come after that of the samples."""
    missing = rank + 1 - x.ndim
    return x.reshape((x.shape[0], *(1,) * missing, *x.shape[1:])) if missing > 0 else x


def aligned(args: Sequence[Any], mapped: Sequence[bool], min_rank: int = 0) -> list[Any]:
    """Return arguments padded with axes, so that samples are broadcast against samples, and axes as in one sample."""
    if len(args) == 1 and not min_rank:
        return list(args)
    rank = max(min_rank, *[np.ndim(x) - m for x, m in zip(args, mapped, strict=True)])
    return [padded(x, rank) if m else x for x, m in zip(args, mapped, strict=True)]


def _ranks(meta: dict[str, Any]) -> int:
    """Return the largest number of axes of an array among the options."""
    return max([x.ndim for x in meta.values() if isinstance(x, np.ndarray)], default=0)


# -- Entry by entry

def entrywise(call: Call) -> Any:
    """Run an elementwise primitive; its arguments are broadcast, samples against samples."""
    return call.run(*aligned(call.args, call.mapped, _ranks(call.meta) if call.meta else 0))


entrywise.takes_options = False  # type: ignore[attr-defined]
ENTRYWISE = (
    "power", "absolute_power", "erfc", "gammaln", "digamma", "polygamma", "i0", "bessel_i", "sinc", "logit",
    "prelu", "softsign", "hard_tanh", "hard_sigmoid", "hard_swish", "real", "imag", "within_one", "nan_to_num",
    "fraction", "mantissa", "exponent", "round", "jv", "yv", "iv", "kv", "ive", "kve", "j0", "j1", "y0", "y1", "k0",
    "k1", "i0e", "i1e", "k0e", "k1e", "hankel1", "hankel2", "airy", "kelvin", "spherical_jn", "spherical_yn",
    "spherical_in", "spherical_kn", "struve", "modstruve", "xlogy", "xlog1py", "entr", "rel_entr", "kl_div",
    "gamma", "loggamma", "rgamma", "beta", "betaln", "binom", "poch", "hyp0f1", "hyp1f1", "hyp2f1", "hyperu",
    "ellipk", "ellipe", "lambertw", "wrightomega", "ellipkm1", "gamma_slope", "gammainc", "gammaincc",
    "gammaincinv", "gammainccinv", "beta_slope", "betainc", "betaincc", "betaincinv", "betainccinv", "stdtr",
    "stdtrit", "sine_integral", "cosine_integral", "sinh_integral", "cosh_integral", "fresnel_s", "fresnel_c",
    "spence", "owens_t", "expn", "inverse_mills", "mills_excess", "log_ndtr", "ndtri", "ndtri_exp", "erfinv",
    "erfcinv", "erfcx", "erfi", "dawsn", "exp1", "expi", "zeta",
)  # fmt: skip
rule(*ENTRYWISE)(entrywise)


@rule("alias", "cast", "copy")
def _on_all(call: Call) -> Any:
    return call.run(*call.args)


# -- Along axes

@rule("sum", "prod", "mean", "max", "min", "var", "std", "nansum", "nanprod", "nanmean", "nanmax", "nanmin", "nanvar",
      "nanstd", "logsumexp", "vector_norm")  # fmt: skip
def reduction(call: Call) -> Any:
    """Reduce the same axes of all samples."""
    (x,), meta = call.args, call.meta
    if x.ndim == 1:  # each sample is a number, and is treated as an array of one entry
        if meta.get("where") is not None:
            return NotImplemented
        axis = meta.get("axis")
        shifted(axis, axis in (0, -1))  # raises for any other axis: NumPy accepts these two for a number
        return call.run(x.reshape(call.n, 1), axis=1, keepdims=False)
    axes = shifted(meta.get("axis"), x.ndim - 1)
    return call.run(x, axis=axes[0] if len(axes) == 1 else axes)


@rule("softmax", "log_softmax")
def _softmaxes(call: Call) -> Any:
    (x,) = call.args
    if x.ndim == 1:
        return call.run(x.reshape(call.n, 1), axis=1).reshape(call.n)
    axes = shifted(call.meta.get("axis", -1), x.ndim - 1)
    return call.run(x, axis=axes[0] if len(axes) == 1 else axes)


_LINES = {"cumsum": None, "cumprod": None, "cummax": 0, "cummin": 0, "logcumsumexp": 0, "sorted": -1, "partitioned": -1,
          "diff": -1, "fft": -1, "ifft": -1, "rfft": -1, "irfft": -1, "glu": -1, "unwrap": -1}  # fmt: skip


@rule(*_LINES)
def _along_axis(call: Call) -> Any:
    (x,), axis = call.args, call.meta.get("axis", _LINES[call.row.name])
    if axis is None:
        return call.run(x.reshape(call.n, math.prod(call.shape(0))), axis=1)
    if x.ndim == 1:
        return NotImplemented
    return call.run(x, axis=1 + normalize_axis_index(axis, x.ndim - 1))


@rule("ranked")
def _of_lines(call: Call) -> Any:
    return NotImplemented if call.args[0].ndim == 1 else call.run(call.args[0])


@rule("window", "overlap_add")
def _windows(call: Call) -> Any:
    (x,), axis = call.args, call.meta["axis"]
    return call.run(x, axis=1 + normalize_axis_index(axis, x.ndim - 1))


# -- Shapes

@rule("reshape")
def _reshape(call: Call) -> Any:
    (x,), meta = call.args, call.meta
    if meta.get("order", "C") != "C":
        return NotImplemented
    shape = np.broadcast_to(0, call.shape(0)).reshape(meta["shape"]).shape
    return call.run(x, shape=(call.n, *shape))


@rule("transpose")
def _transpose(call: Call) -> Any:
    (x,), axes = call.args, call.meta.get("axes")
    rank = x.ndim - 1
    order = tuple(range(rank))[::-1] if axes is None else normalize_axis_tuple(tuple(np.atleast_1d(axes)), rank)
    if len(order) != rank:
        return NotImplemented  # the run for one sample raises a clear error
    return call.run(x, axes=(0, *(a + 1 for a in order)))


@rule("swapaxes")
def _swapaxes(call: Call) -> Any:
    rank = call.rank(0)
    first, second = (1 + normalize_axis_index(call.meta[name], rank) for name in ("axis1", "axis2"))
    return call.run(call.args[0], axis1=first, axis2=second)


@rule("trace")
def _trace(call: Call) -> Any:
    rank = call.rank(0)
    axes = {name: 1 + normalize_axis_index(call.meta.get(name, a), rank) for a, name in enumerate(("axis1", "axis2"))}
    return call.run(call.args[0], **axes)


@rule("broadcast_to")
def _broadcast_to(call: Call) -> Any:
    shape = tuple(np.atleast_1d(call.meta["shape"]).tolist())
    return call.run(padded(call.args[0], len(shape)), shape=(call.n, *shape))


@rule("roll")
def _roll(call: Call) -> Any:
    (x,), axis = call.args, call.meta.get("axis")
    if axis is None:
        rows = x.reshape(call.n, math.prod(call.shape(0)))
        return call.run(rows, axis=1).reshape(x.shape)
    axes = tuple(1 + normalize_axis_index(a, x.ndim - 1) for a in np.atleast_1d(axis))
    return call.run(x, axis=axes if np.ndim(axis) else axes[0])


@rule("concatenate", "stack")
def _join(call: Call) -> Any:
    arrays, axis = [call.spread(i) for i in range(len(call.args))], call.meta.get("axis", 0)
    if axis is None:
        return call.run(*(x.reshape(call.n, math.prod(x.shape[1:])) for x in arrays), axis=1)
    rank = call.rank(0) + (call.row.name == "stack")
    return call.run(*arrays, axis=1 + normalize_axis_index(axis, rank))


# -- Products

def product(call: Call) -> Any:
    """Multiply matrices or vectors of all samples, as one product if one of the two is shared."""
    (a, b), (over_a, over_b) = call.args, call.mapped
    rank_a, rank_b = call.rank(0), call.rank(1)
    if 0 in (rank_a, rank_b):
        return NotImplemented  # the run for one sample raises a clear error
    if not over_b and rank_b < 3:
        rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
        return run("dot", (rows, b)).reshape((*a.shape[:-1], *b.shape[1:]))
    if not over_a and rank_a == 2 and rank_b == 1:
        return run("dot", (b, a.T))
    a = a[..., None, :] if rank_a == 1 else a
    b = b[..., None] if rank_b == 1 else b
    out = run("matmul", aligned((a, b), call.mapped))
    out = out[..., 0] if rank_b == 1 else out
    return (out[..., 0] if rank_b == 1 else out[..., 0, :]) if rank_a == 1 else out


rule("matmul")(product)


@rule("distances")
def _distances(call: Call) -> Any:
    return call.run(*aligned(call.args, call.mapped))


@rule("dot")
def _dot(call: Call) -> Any:
    rank_a, rank_b = call.rank(0), call.rank(1)
    if 0 in (rank_a, rank_b):
        return run("multiply", aligned(call.args, call.mapped))
    if rank_b < 3:
        return product(call)
    if call.shape(0)[-1] != call.shape(1)[-2]:
        return NotImplemented  # einsum would broadcast an axis of length 1
    a, b = LETTERS[:rank_a], LETTERS[rank_a : rank_a + rank_b]
    b = b[:-2] + a[-1] + b[-1]
    return _einsum(call, f"{a},{b}->{a[:-1]}{b[:-2]}{b[-1]}")


def _einsum(call: Call, subscripts: str, meta: dict[str, Any] | None = None) -> Any:
    terms, _, output = subscripts.partition("->")
    new = next((letter for letter in LETTERS if letter not in subscripts), None)
    if new is None:
        return NotImplemented
    each = [new + term if m else term for term, m in zip(terms.split(","), call.mapped, strict=True)]
    return run("einsum", call.args, {**(meta or {}), "subscripts": f"{','.join(each)}->{new}{output}"})


@rule("einsum")
def _run_einsum(call: Call) -> Any:
    return _einsum(call, call.meta["subscripts"], call.meta)


@rule("vdot")
def _vdot(call: Call) -> Any:
    if math.prod(call.shape(0)) != math.prod(call.shape(1)):
        return NotImplemented
    rows = [np.reshape(x, (call.n, -1) if m else -1) for x, m in zip(call.args, call.mapped, strict=True)]
    return run("vecdot", rows)


@rule("vecdot", "cross")
def _vectors(call: Call) -> Any:
    if 0 in (call.rank(0), call.rank(1)):
        return NotImplemented
    return call.run(*aligned(call.args, call.mapped))


# -- Matrices: NumPy's functions take stacks of them

rule("cholesky", "qr_rows", "eigh_rows", "svd_rows", "inv", "pinv", "det", "cofactor", "slogdet_rows")(_on_all)


@rule("solve")
def _solve(call: Call) -> Any:
    (a, b), rank = call.args, call.rank(1)
    if rank == 1:
        b = b[..., None]
    out = call.run(*aligned((a, b), call.mapped))
    return out[..., 0] if rank == 1 else out


# -- Indices

class _IndexParts:
    """An index of one sample, split into parts.

    Attributes:
        parts: a part for each axis of the array, or None for a new axis; no Ellipsis.
        arrays: the places of index arrays, and of numbers if there are index arrays.
        apart: whether a slice or None lies between these, so that NumPy moves their axes to the front.
        plain: whether there are only numbers, slices, None, and arrays of integers or booleans.
    """

    def __init__(self, index: Any, rank: int) -> None:
        parts = list(index) if isinstance(index, tuple) else [index]
        self.parts = parts = [np.asarray(p) if isinstance(p, (list, bool)) else mapped_behind(p) for p in parts]
        taken = sum(p.ndim if _is_mask(p) else p is not None and p is not Ellipsis for p in parts)
        fill = [slice(None)] * (rank - taken)
        if any(p is Ellipsis for p in parts):
            dots = next(i for i, p in enumerate(parts) if p is Ellipsis)
            parts[dots : dots + 1] = fill
        # If there are index arrays, NumPy treats a number like one of them.
        arrays = [i for i, p in enumerate(parts) if np.ndim(p)]
        self.arrays = [i for i, p in enumerate(parts) if p is not None and not isinstance(p, slice)] if arrays else []
        self.apart = bool(self.arrays) and self.arrays != list(range(self.arrays[0], self.arrays[-1] + 1))
        self.plain = all(isinstance(p, (int, np.integer, slice, type(None))) or _is_index_array(p) for p in parts)


def _is_mask(p: Any) -> bool:
    return isinstance(p, np.ndarray) and p.dtype == np.bool_


def _is_index_array(p: Any) -> bool:
    return hasattr(p, "dtype") and (p.dtype.kind in "iu" or (_is_mask(p) and p.ndim > 0))


@rule("getitem", options=True)
def _getitem(call: Call) -> Any:
    (x,), index = call.args, call.meta["index"]
    place = _IndexParts(index, call.rank(0))
    if not place.plain:
        return NotImplemented
    moving = [call.level.has(p) for p in place.parts]
    if any(moving):
        return _gather(call, place, moving)
    out = call.run(x, index=(slice(None), *place.parts))
    if place.apart:  # NumPy puts the axes of the index arrays first, before that of the samples
        count = np.broadcast(*(_as_broadcast(place.parts[i]) for i in place.arrays)).ndim
        return np.moveaxis(out, count, 0)
    return out


def _as_broadcast(p: Any) -> Any:
    """Return an array with the shape that an index array has when index arrays are broadcast."""
    return np.nonzero(p)[0] if _is_mask(p) else p


def _gather(call: Call, place: _IndexParts, varies: list[bool]) -> Any:
    """Read an array at indices that differ from sample to sample."""
    x, parts = call.args[0], list(place.parts)
    numbers = [i for i, p in enumerate(parts) if p is not None and not isinstance(p, slice)]
    if any(_is_mask(parts[i]) for i in numbers):
        return NotImplemented
    rank = max(np.ndim(parts[i]) for i in numbers)
    apart = numbers != list(range(numbers[0], numbers[-1] + 1))
    before = 0 if apart else sum(1 for p in parts[: numbers[0]])
    for i in numbers:
        if varies[i]:
            full = padded(parts[i].full, rank)
            parts[i] = full._array_for_index() if isinstance(full, Tensor) else full
    if call.mapped[0]:
        own = np.arange(call.n).reshape(call.n, *(1,) * rank)
        parts = [own, *parts]
        out = call.run(x, index=tuple(parts))  # NumPy puts the arrays' axes first, as `own` is the first index
        return np.moveaxis(out, range(1, rank + 1), range(1 + before, 1 + before + rank)) if before else out
    out = run(call.row, (x if isinstance(x, Tensor) else np.asarray(x),), {"index": tuple(parts)})
    return np.moveaxis(out, before, 0) if before else out


def _index_for_all(call: Call) -> Any:
    """Return the index for all samples of an update at an index of one sample, or None if the rule cannot do it."""
    place = _IndexParts(call.meta["index"], call.rank(0) if call.row.name != "put" else len(call.meta["shape"]))
    moving = [call.level.has(p) for p in place.parts]
    if not place.plain or place.apart:
        return None
    if not any(moving):
        return (slice(None), *place.parts)
    numbers = [i for i, p in enumerate(place.parts) if not isinstance(p, slice)]
    if any(p is None or _is_mask(p) for p in place.parts) or numbers != list(range(len(numbers))):
        return None
    rank = max(np.ndim(place.parts[i]) for i in numbers)
    found = [padded(p.full, rank) if m else p for p, m in zip(place.parts, moving, strict=True)]
    found = [p._array_for_index() if isinstance(p, Tensor) else p for p in found]
    return (np.arange(call.n).reshape(call.n, *(1,) * rank), *found)


@rule("put", options=True)
def _put(call: Call) -> Any:
    index = _index_for_all(call)
    if index is None:
        return NotImplemented
    return run("put", (call.spread(0),), {"index": index, "shape": (call.n, *call.meta["shape"])})


@rule("at_set", "at_add", "at_multiply", "at_min", "at_max", options=True)
def _update(call: Call) -> Any:
    index = _index_for_all(call)
    if index is None:
        return NotImplemented
    x, y = call.spread(0), call.args[1]
    if call.mapped[1]:
        place = np.broadcast_to(np.False_, x.shape)[index]
        if y.ndim > place.ndim:
            return NotImplemented
        y = padded(y, place.ndim - 1)
    return run(call.row, (x, y), {"index": index})
