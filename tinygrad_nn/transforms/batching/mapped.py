"""`Mapped`, the class of Tensors inside a vmapped function, and `Level`, one running vmap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from ...common.entry_count import EntryCount
from ...common.printable import counted
from ...node import thread
from ...ops.plain import delegate_methods, returns_plain
from ...primitive import METHODS, OVERRIDES, Primitive, no_rule
from ...tensor import Tensor, stored_array
from ...tree import flatten

# Functions of shape and dtype have the same answer for every sample; all others are answered for each sample.
STATIC = frozenset({
    np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.may_share_memory, np.shares_memory,
    np.can_cast, np.common_type, np.min_scalar_type, np.zeros_like, np.ones_like, np.empty_like,
    np.diag_indices_from, np.tril_indices_from, np.triu_indices_from,
})  # fmt: skip
# Functions that only move entries: primitives call them on placeholder arrays to learn the shape of the result.
MOVING = frozenset({
    np.squeeze, np.expand_dims, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.diagonal, np.diag, np.fliplr, np.flipud,
    np.rot90, np.meshgrid, np.reshape, np.transpose, np.moveaxis, np.rollaxis, np.swapaxes, np.split, np.array_split,
    np.hsplit, np.vsplit, np.dsplit, np.block,
})  # fmt: skip
# These may read a plain array at places that differ by sample, so plain arrays among their arguments become Tensors.
GATHERING = frozenset({
    np.take, np.take_along_axis, np.interp, np.choose, np.union1d, np.intersect1d, np.setdiff1d, np.setxor1d,
})  # fmt: skip
TEXT = frozenset({np.array2string, np.array_repr, np.array_str})
OVER = (
    "this Tensor stood for one sample of a vmap call that has ended: it was kept in a list, an attribute or a global. "
    "Return it from the vmapped function instead."
)
BY_VALUE = (
    "{call} inside vmap needs a value that differs from sample to sample, but the function runs once for all of them. "
    "Instead of `if x > 0: y = a` write y = np.where(x > 0, a, b), which computes both; let a loop that stops at a "
    "value run for the most steps, and keep finished samples with np.where."
)
NO_MASK = (
    "a boolean index selects a different number of entries in each sample, which vmap cannot stack. Instead of "
    "x[mask].sum() write np.where(mask, x, 0).sum(), or x.sum(where=mask)."
)
NO_PLAIN = (
    "inside vmap this Tensor stands for one sample of many, so there is no plain array of it. Use np.* functions and "
    "methods of the Tensor; to index a constant array by it write Tensor(array, False)[index]."
)
NO_BACKWARD = (
    "backward() inside vmap: the leaves are outside, and each has one gradient, not one per sample. For the gradient "
    "of each sample write vmap(grad(f)); for that of the sum call backward() on a sum of what vmap returns."
)
NO_HOOK = "a hook inside vmap would see all samples at once. Register it on a Tensor outside."


class Level:
    """One running vmap: its number of samples, and the vmap around it.

    Attributes:
        n: the number of samples.
        outer: the Level around it, or ``None``.
        depth: the number of Levels around it.
        open: whether the vmapped function is still running.
    """

    __slots__ = ("depth", "n", "open", "outer")

    def __init__(self, n: int) -> None:
        self.n, self.open = n, True
        self.outer: Level | None = thread.mode.level
        self.depth: int = 0 if self.outer is None else self.outer.depth + 1

    @contextmanager
    def entered(self) -> Iterator[Level]:
        """Make this the thread's current Level inside the block, in which the vmapped function runs."""
        mode = thread.mode
        mode.level = self
        try:
            yield self
        finally:
            mode.level, self.open = self.outer, False

    @contextmanager
    def reentered(self) -> Iterator[None]:
        """Make this the current Level inside the block, even if this vmap is over, or left for the moment."""
        mode, was = thread.mode, self.open
        before, mode.level, self.open = mode.level, self, True
        try:
            yield
        finally:
            mode.level, self.open = before, was

    @contextmanager
    def outside_level(self) -> Iterator[None]:
        """Leave this Level inside the block, for computations with all samples as plain arrays."""
        mode = thread.mode
        before, mode.level = mode.level, self.beyond(mode.level)
        try:
            yield
        finally:
            mode.level = before

    def beyond(self, now: Level | None) -> Level | None:
        """Return the current Level after this one is left: the one around it, or `now` if that is further out."""
        return now if now is None or now.depth < self.depth else self.outer

    def wrap(self, full: Any) -> Mapped:
        """Return the Mapped Tensor for one sample of an array or Tensor with the samples along its first axis."""
        if (inner := level_of(full)) is not None and inner.depth > self.depth:  # the inner vmap's Mapped is outside
            return inner.wrap(self.wrap(full.full.swapaxes(0, 1)))
        mapped: Mapped = object.__new__(Mapped)
        mapped.full, mapped.level, mapped.label = full, self, None
        mapped.node = full.node if isinstance(full, Tensor) else None
        mapped._array = placeholder(full.shape[1:], full.dtype)
        return mapped

    def has(self, x: Any) -> bool:
        """Tell whether a value differs between the samples of this Level."""
        return isinstance(x, Mapped) and x.level is self

    def full(self, x: Any) -> Any:
        """Return the array of a value for all samples; a value that all samples share is broadcast."""
        if self.has(x):
            return x.full
        if (inner := level_of(x)) is not None and inner.depth > self.depth:
            return inner.wrap(self.full(x.full).swapaxes(0, 1))
        return np.broadcast_to(x, (self.n, *np.shape(x)))

    def concerns(self, options: dict[str, Any]) -> bool:
        """Tell whether an option is, or contains, a Mapped Tensor."""
        return bool(mapped_in(options.values()))

    def apply(self, primitive: Primitive, args: Sequence[Any], options: dict[str, Any]) -> Tensor:
        """Run a primitive with such an option."""
        return Mapped.run(primitive, args, options)  # type: ignore[no-any-return]

    def outside(self, f: Callable[..., Any], *trees: Any) -> Any:
        """Call a function of lists of arrays with all samples, outside of this vmap; return its results as Mapped.

        Values that all samples share are broadcast.
        """
        with self.outside_level():
            found = f(*([self.full(x) for x in tree] for tree in trees))
        return [self.wrap(x) for x in found]


    def one_by_one(self, f: Callable[..., Sequence[Any]], *values: Any) -> list[Any]:
        """Call a function of arrays for each sample, outside of this vmap; return its stacked results as Mapped."""
        with self.outside_level():
            full = [self.full(x) for x in values]
            found = [f(*(x[b] for x in full)) for b in range(self.n)]
            return [self.wrap(np.stack(parts)) for parts in zip(*found, strict=True)]


def level_of(*values: Any) -> Level | None:
    """Return the innermost Level for which one of these values is Mapped, or ``None``."""
    found = None
    for x in values:
        if isinstance(x, Mapped) and (found is None or x.level.depth > found.depth):
            found = x.level
    return found


def draw_for_samples(draw: Callable[[tuple[int, ...]], Any], shape: tuple[int, ...], x: Any) -> Any:
    """Return random numbers of a shape; if x is Mapped, different numbers for each sample, as in a loop."""
    level = level_of(x)
    return draw(shape) if level is None else level.wrap(draw_for_samples(draw, (level.n, *shape), x.full))


@lru_cache(maxsize=1024)
def placeholder(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return a placeholder array of this shape that takes no memory; its entries are NaN, or an impossible index.

    With such entries, code that reads a value of the placeholder by mistake gives an error or NaN.
    """
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
        elif isinstance(value := mapped_behind(value), Mapped):
            found.append(value)
    return found


class Mapped(Tensor):
    """The Tensor inside a vmapped function: it has the shape of one sample, and holds the values of all samples."""

    __slots__ = ("full", "level")

    full: Any  # an array or Tensor with the samples along its first axis
    level: Level
    run: ClassVar[Any]  # these four are set by `rules`, which imports this module
    answer: ClassVar[Any]
    answer_entrywise: ClassVar[Any]
    attempt: ClassVar[Any]

    shape = property(lambda self: stored_array(self).shape)
    ndim = property(lambda self: stored_array(self).ndim)
    size = property(lambda self: EntryCount(stored_array(self).shape))
    dtype = property(lambda self: stored_array(self).dtype)

    @property
    def data(self) -> Any:
        """The same values without a graph; the engine itself reads the placeholder array with `stored_array`."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        raise TypeError("t.data = ... inside vmap: return the new value instead.")

    @property
    def grad(self) -> Any:
        """Always None: inside vmap gradients are computed by the function `grad`."""
        return None

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            raise TypeError(NO_BACKWARD)

    @property
    def is_leaf(self) -> bool:
        """Always False: it is a part of all samples, not a parameter."""
        return False

    def _batched(self, primitive: Primitive, args: Sequence[Any], meta: dict[str, Any]) -> Tensor:
        """Run a primitive that has a Mapped argument or option."""
        return Mapped.run(primitive, args, meta)  # type: ignore[no-any-return]

    def detach(self) -> Tensor:
        """Return the same values without a graph."""
        return self.level.wrap(self.full.detach()) if isinstance(self.full, Tensor) else self

    def _array_for_query(self) -> SamplePlaceholder:
        found: SamplePlaceholder = stored_array(self).view(SamplePlaceholder)
        found.source = self
        return found

    def _array_for_index(self) -> Any:
        if self.dtype.kind == "b" and self.ndim:
            raise TypeError(NO_MASK)
        return self

    def _array_for_option(self, call: str) -> Any:
        return self if self.node is None else super()._array_for_option(call)

    def _number(self, call: str) -> Any:
        raise TypeError(BY_VALUE.format(call=call))

    def item(self, *where: int) -> Any:
        """Refuse: the number differs from sample to sample."""
        raise TypeError(BY_VALUE.format(call="t.item()"))

    def tolist(self) -> Any:
        """Refuse: the numbers differ from sample to sample."""
        raise TypeError(BY_VALUE.format(call="t.tolist()"))

    def backward(self, *_: Any, **__: Any) -> None:
        """Refuse: inside vmap gradients are computed by the function `grad`."""
        raise TypeError(NO_BACKWARD)

    def register_hook(self, hook: Any) -> Any:
        """Refuse: the graph is that of all samples, so a hook would see all of them."""
        raise TypeError(NO_HOOK)

    def __bool__(self) -> bool:
        raise TypeError(BY_VALUE.format(call="the truth value of a Tensor (if, and, or, while)"))

    def __len__(self) -> int:
        return len(stored_array(self))

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(stored_array(self))))

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"<one of {counted(self.level.n, 'sample')}, {self.dtype}{list(self.shape)}>"

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(NO_PLAIN)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and "out" not in kwargs and returns_plain(OVERRIDES.get(ufunc)):
            return Mapped.answer_entrywise(ufunc, inputs, kwargs)
        return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in STATIC:
            return function(*_placeholder_of(args), **{key: _placeholder_of(x) for key, x in kwargs.items()})
        if function in TEXT:
            return repr(self)
        if (handler := OVERRIDES.get(function)) is None:
            raise no_rule(function)
        if returns_plain(handler):
            return Mapped.answer(function, args, kwargs)
        if function in GATHERING:
            args = tuple(Tensor(x, False) if type(x) is np.ndarray else x for x in args)
        return Mapped.attempt(function, super().__array_function__, (function, types), args, kwargs)

    def __getattr__(self, name: str) -> Any:
        function: Any = getattr(np, name, None)
        if name[0] != "_" and hasattr(np.ndarray, name) and returns_plain(OVERRIDES.get(function)):
            return lambda *args, **kwargs: function(self, *args, **kwargs)
        found = super().__getattr__(name)
        if name not in METHODS:
            return found
        method: Any = METHODS[name]
        return lambda *args, **kwargs: Mapped.attempt(method, None, (), (self, *args), kwargs)


class SamplePlaceholder(np.ndarray[Any, Any]):
    """A placeholder array that a primitive's code gets for a Mapped Tensor where it reads shape and dtype.

    Functions of shape are answered by the placeholder; functions of values are run for each sample.
    """

    source: Mapped | None = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return as_operations_see(Mapped.answer(getattr(ufunc, method), inputs, kwargs))
        return getattr(ufunc, method)(*[mapped_behind(x) for x in inputs], **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in STATIC or function in MOVING or function is np.full_like:
            return function(*_placeholder_of(args), **{key: _placeholder_of(x) for key, x in kwargs.items()})
        return as_operations_see(Mapped.answer(function, args, kwargs))

    def __getitem__(self, index: Any) -> Any:
        return _require_source(self).detach()[index]


def as_operations_see(tree: Any) -> Any:
    """Return a nest with its Mapped Tensors replaced by placeholder arrays."""
    found, refill = flatten(tree)
    return refill([x._array_for_query() if isinstance(x, Mapped) else x for x in found])


def mapped_behind(x: Any) -> Any:
    """Return the Mapped Tensor of a placeholder array; anything else unchanged."""
    return _require_source(x) if isinstance(x, SamplePlaceholder) else x


def _require_source(x: SamplePlaceholder) -> Mapped:
    if x.source is None:
        raise TypeError(NO_PLAIN)
    return x.source


def _placeholder_of(x: Any) -> Any:
    """Return a plain array with the shape that a value has in one sample."""
    if isinstance(x, (list, tuple)):
        return type(x)([_placeholder_of(part) for part in x])
    return x.view(np.ndarray) if isinstance(x, SamplePlaceholder) else stored_array(x)


def _compared(ufunc: np.ufunc) -> Any:
    return lambda self, other: ufunc(self, other)


for _name, _ufunc in (
    ("lt", np.less), ("le", np.less_equal), ("gt", np.greater), ("ge", np.greater_equal), ("eq", np.equal),
    ("ne", np.not_equal),
):  # fmt: skip
    setattr(Mapped, f"__{_name}__", _compared(_ufunc))
setattr(Mapped, "__hash__", Tensor.__hash__)  # noqa: B010 - defining __eq__ removed it


delegate_methods(SamplePlaceholder, _require_source)
