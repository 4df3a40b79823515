"""Mapped, the Tensor inside a vmapped function, and Level, one running vmap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ..node import thread
from ..ops.plain import answered_by
from ..primitive import METHODS, OVERRIDES, Primitive, no_rule
from ..tensor import Tensor, held, hold
from ..tree import flatten

# Questions that have the same answer for every sample; all others are answered for each.
STATIC = frozenset({
    np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.may_share_memory, np.shares_memory,
    np.can_cast, np.common_type, np.min_scalar_type, np.zeros_like, np.ones_like, np.empty_like,
    np.diag_indices_from, np.tril_indices_from, np.triu_indices_from,
})  # fmt: skip
# What only moves entries is asked by operations for the shape that it gives.
MOVING = frozenset({
    np.squeeze, np.expand_dims, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.diagonal, np.diag, np.fliplr, np.flipud,
    np.rot90, np.meshgrid, np.reshape, np.transpose, np.moveaxis, np.rollaxis, np.swapaxes, np.split, np.array_split,
    np.hsplit, np.vsplit, np.dsplit, np.block,
})  # fmt: skip
# An array among their arguments need not be a Tensor, and is indexed by what differs from sample to sample.
GATHERING = frozenset({
    np.take, np.take_along_axis, np.interp, np.choose, np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d,
})  # fmt: skip
TEXT = frozenset({np.array2string, np.array_repr, np.array_str})
OVER = (
    "this Tensor stood for one sample of a vmap call that is over: it was kept in a list, an attribute or a global. "
    "Return it from the vmapped function instead."
)
BY_VALUE = (
    "{call} inside vmap asks for a value that differs from sample to sample, and one run of the function serves all of "
    "them. Instead of `if x > 0: y = a` write y = np.where(x > 0, a, b), with both of them computed; a loop that ends "
    "by a value runs for the most steps, with np.where for what is done."
)
NO_MASK = (
    "an index of true and false selects another number of entries in each sample, which vmap cannot stack. Instead of "
    "x[mask].sum() write np.where(mask, x, 0).sum(), or x.sum(where=mask)."
)
NO_PLAIN = (
    "inside vmap this Tensor stands for one sample of many, so there is no plain array of it. Use np.* functions and "
    "methods of the Tensor; to index a constant array by it write Tensor(array, False)[index]."
)
NO_BACKWARD = (
    "backward() inside vmap: the leaves are outside, and each has one gradient, not one a sample. Gradients of each "
    "sample are vmap(grad(f)); that of their sum is backward() of what vmap returns."
)
NO_HOOK = "a hook inside vmap would see all samples at once. Register it on a Tensor outside."


class Level:
    """One running vmap: how many samples it has, and the vmap that it runs in.

    Attributes:
        n: the number of samples.
        outer: the Level around it, or ``None``.
        depth: how many there are around it.
        open: whether the function is still running.
    """

    __slots__ = ("depth", "n", "open", "outer")

    def __init__(self, n: int) -> None:
        self.n, self.open = n, True
        self.outer: Level | None = thread.mode.level
        self.depth: int = 0 if self.outer is None else self.outer.depth + 1

    @contextmanager
    def entered(self) -> Iterator[Level]:
        """Run the vmapped function inside this block."""
        mode = thread.mode
        mode.level = self
        try:
            yield self
        finally:
            mode.level, self.open = self.outer, False

    @contextmanager
    def again(self) -> Iterator[None]:
        """Run inside this block what belongs inside this vmap, also where that is over or left for now."""
        mode, was = thread.mode, self.open
        before, mode.level, self.open = mode.level, self, True
        try:
            yield
        finally:
            mode.level, self.open = before, was

    @contextmanager
    def left(self) -> Iterator[None]:
        """Compute with all samples inside this block, as one does outside of this vmap."""
        mode = thread.mode
        before, mode.level = mode.level, self.beyond(mode.level)
        try:
            yield
        finally:
            mode.level = before

    def beyond(self, now: Level | None) -> Level | None:
        """Return the vmap that is running where this one is left: the one around it, or one farther out already."""
        return now if now is None or now.depth < self.depth else self.outer

    def wrap(self, full: Any) -> Mapped:
        """Return the Tensor that stands for one sample of an array or Tensor, whose first axis are the samples."""
        if (inner := level_of(full)) is not None and inner.depth > self.depth:  # the innermost is always outside
            return inner.wrap(self.wrap(full.full.swapaxes(0, 1)))
        made: Mapped = object.__new__(Mapped)
        made.full, made.level, made.label = full, self, None
        made.node = full.node if isinstance(full, Tensor) else None
        hold(made, standing(full.shape[1:], full.dtype))
        return made

    def has(self, x: Any) -> bool:
        """Tell whether a value differs from sample to sample here."""
        return isinstance(x, Mapped) and x.level is self

    def full(self, x: Any) -> Any:
        """Return a value for all samples, one that they share once for each."""
        if self.has(x):
            return x.full
        if (inner := level_of(x)) is not None and inner.depth > self.depth:
            return inner.wrap(self.full(x.full).swapaxes(0, 1))
        return np.broadcast_to(x, (self.n, *np.shape(x)))

    def concerns(self, options: dict[str, Any]) -> bool:
        """Tell whether an option differs from sample to sample."""
        return bool(mapped_in(options.values()))

    def apply(self, primitive: Primitive, args: Sequence[Any], options: dict[str, Any]) -> Tensor:
        """Run a row with such an option."""
        return Mapped.run(primitive, args, options)  # type: ignore[no-any-return]

    def outside(self, f: Callable[..., Any], *trees: Any) -> Any:
        """Run a function of lists of arrays on all samples, outside of this vmap, and return what it returns, mapped.

        What the samples share is given to it once for each.
        """
        with self.left():
            found = f(*([self.full(x) for x in tree] for tree in trees))
        return [self.wrap(x) for x in found]


    def one_by_one(self, f: Callable[..., Sequence[Any]], *values: Any) -> list[Any]:
        """Run a function of arrays for each sample, outside of this vmap, and return what it returns, mapped."""
        with self.left():
            full = [self.full(x) for x in values]
            found = [f(*(x[b] for x in full)) for b in range(self.n)]
            return [self.wrap(np.stack(parts)) for parts in zip(*found, strict=True)]


def level_of(*values: Any) -> Level | None:
    """Return the innermost vmap of whose samples one of these values is, or ``None``."""
    found = None
    for x in values:
        if isinstance(x, Mapped) and (found is None or x.level.depth > found.depth):
            found = x.level
    return found


def drawn(draw: Callable[[tuple[int, ...]], Any], shape: tuple[int, ...], x: Any) -> Any:
    """Return random numbers of a shape; where x differs from sample to sample, others for each, as in a loop."""
    level = level_of(x)
    return draw(shape) if level is None else level.wrap(drawn(draw, (level.n, *shape), x.full))


@lru_cache(maxsize=1024)
def standing(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return an array that has this shape without the memory; its entries are the worst: NaN, or no possible index."""
    worst = np.full((), np.nan if dtype.kind in "fc" else np.iinfo(dtype).min if dtype.kind in "iu" else True, dtype)
    return np.ndarray(shape, dtype, worst.tobytes(), 0, (0,) * len(shape))


def mapped_in(values: Iterable[Any]) -> list[Mapped]:
    """Return the Mapped Tensors among the leaves of arguments or options."""
    found = []
    for value in values:
        if isinstance(value, (tuple, list)):
            found += mapped_in(value)
        elif isinstance(value, dict):
            found += mapped_in(value.values())
        elif isinstance(value, slice):
            found += mapped_in((value.start, value.stop, value.step))
        elif isinstance(value := source(value), Mapped):
            found.append(value)
    return found


class Mapped(Tensor):
    """A Tensor that stands for one sample, and holds the values of all of them."""

    __slots__ = ("full", "level")

    full: Any  # an array or a Tensor, whose first axis are the samples
    level: Level
    run: ClassVar[Any]  # these four are given by `rules`, which stand on it
    answer: ClassVar[Any]
    answer_entrywise: ClassVar[Any]
    attempt: ClassVar[Any]

    shape = property(lambda self: held(self).shape)
    ndim = property(lambda self: held(self).ndim)
    size = property(lambda self: held(self).size)
    dtype = property(lambda self: held(self).dtype)

    @property
    def data(self) -> Any:
        """The same values without a graph; the engine takes the array that stands for its shape by `held`."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        raise TypeError("t.data = ... inside vmap: return the new value instead.")

    @property
    def grad(self) -> Any:
        """None: gradients inside vmap are taken by `grad`."""
        return None

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            raise TypeError(NO_BACKWARD)

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by a person: no parameter is."""
        return False

    def _batched(self, primitive: Primitive, args: Sequence[Any], meta: dict[str, Any]) -> Tensor:
        """Run a row one of whose arguments is Mapped, or has a Mapped option."""
        return Mapped.run(primitive, args, meta)  # type: ignore[no-any-return]

    def detach(self) -> Tensor:
        """Return the same values without a graph."""
        return self.level.wrap(self.full.detach()) if isinstance(self.full, Tensor) else self

    def _asked(self) -> Sample:
        found: Sample = held(self).view(Sample)
        found.source = self
        return found

    def _index(self) -> Any:
        if self.dtype.kind == "b" and self.ndim:
            raise TypeError(NO_MASK)
        return self

    def _option(self, call: str) -> Any:
        return self if self.node is None else super()._option(call)

    def _number(self, call: str) -> Any:
        raise TypeError(BY_VALUE.format(call=call))

    def item(self, *where: int) -> Any:
        """Refuse: the number differs from sample to sample."""
        raise TypeError(BY_VALUE.format(call="t.item()"))

    def tolist(self) -> Any:
        """Refuse: the numbers differ from sample to sample."""
        raise TypeError(BY_VALUE.format(call="t.tolist()"))

    def backward(self, *_: Any, **__: Any) -> None:
        """Refuse: gradients inside vmap are taken by `grad`."""
        raise TypeError(NO_BACKWARD)

    def register_hook(self, hook: Any) -> Any:
        """Refuse: the graph is that of all samples."""
        raise TypeError(NO_HOOK)

    def __bool__(self) -> bool:
        raise TypeError(BY_VALUE.format(call="the truth of a value (if, and, or, while)"))

    def __len__(self) -> int:
        return len(held(self))

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(held(self))))

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"<one of {self.level.n} samples, {self.dtype}{list(self.shape)}>"

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(NO_PLAIN)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and "out" not in kwargs and _plain(OVERRIDES.get(ufunc)):
            return Mapped.answer_entrywise(ufunc, inputs, kwargs)
        return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in STATIC:
            return function(*_stand(args), **{key: _stand(x) for key, x in kwargs.items()})
        if function in TEXT:
            return repr(self)
        if (handler := OVERRIDES.get(function)) is None:
            raise no_rule(function)
        if _plain(handler):
            return Mapped.answer(function, args, kwargs)
        if function in GATHERING:
            args = tuple(Tensor(x, False) if type(x) is np.ndarray else x for x in args)
        return Mapped.attempt(function, super().__array_function__, (function, types), args, kwargs)

    def __getattr__(self, name: str) -> Any:
        function: Any = getattr(np, name, None)
        if name[0] != "_" and hasattr(np.ndarray, name) and _plain(OVERRIDES.get(function)):
            return lambda *args, **kwargs: function(self, *args, **kwargs)
        found = super().__getattr__(name)
        if name not in METHODS:
            return found
        method: Any = METHODS[name]
        return lambda *args, **kwargs: Mapped.attempt(method, None, (), (self, *args), kwargs)


class Sample(np.ndarray[Any, Any]):
    """What the operations see of a Mapped Tensor when they ask about its shape; of its values each sample is asked."""

    source: Mapped | None = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return seen(Mapped.answer(getattr(ufunc, method), inputs, kwargs))
        return getattr(ufunc, method)(*[source(x) for x in inputs], **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in STATIC or function in MOVING or function is np.full_like:
            return function(*_stand(args), **{key: _stand(x) for key, x in kwargs.items()})
        return seen(Mapped.answer(function, args, kwargs))

    def __getitem__(self, index: Any) -> Any:
        return _known(self).detach()[index]


def seen(tree: Any) -> Any:
    """Return answers as the operations see them."""
    found, refill = flatten(tree)
    return refill([x._asked() if isinstance(x, Mapped) else x for x in found])


def source(x: Any) -> Any:
    """Return the Mapped Tensor that operations see as this array; anything else as it is."""
    return _known(x) if isinstance(x, Sample) else x


def _known(x: Sample) -> Mapped:
    if x.source is None:
        raise TypeError(NO_PLAIN)
    return x.source


def _stand(x: Any) -> Any:
    """Return what has the shape of a value, without the samples."""
    if isinstance(x, (list, tuple)):
        return type(x)([_stand(part) for part in x])
    return x.view(np.ndarray) if isinstance(x, Sample) else held(x)


def _plain(handler: Any) -> bool:
    """Tell whether what stands in for a NumPy function answers with plain arrays."""
    return getattr(handler, "__qualname__", "").startswith(("_plain.", "_of_constants."))


def _compared(ufunc: np.ufunc) -> Any:
    return lambda self, other: ufunc(self, other)


for _name, _ufunc in (
    ("lt", np.less), ("le", np.less_equal), ("gt", np.greater), ("ge", np.greater_equal), ("eq", np.equal),
    ("ne", np.not_equal),
):  # fmt: skip
    setattr(Mapped, f"__{_name}__", _compared(_ufunc))
setattr(Mapped, "__hash__", Tensor.__hash__)  # noqa: B010 - __eq__ took it away


answered_by(Sample, _known)
