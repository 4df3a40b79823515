"""Tensors used while tracing: shapes are known, operations on values are recorded, questions about values raise."""

from __future__ import annotations

import operator
from collections.abc import Callable
from numbers import Number
from types import NoneType
from typing import Any

import numpy as np

from ...backward import walk
from ...common.call_site import calling_line
from ...common.entry_count import EntryCount
from ...node import leaf_node, recording, thread
from ...ops import plain
from ...ops.plain import returns_plain
from ...primitive import METHODS, OVERRIDES, REGISTRY, find_replacement, numpy_name
from ...tensor import Tensor, apply, make_tensor, raw_index, stored_array, wrap
from ...tree import flatten
from ..program.values import VIEWS, Op
from .nodes import LiveNode, StillNode, Untraceable, recorder

# Functions of shape and dtype (STATIC) have the same answer in every call, so they are answered at once. Functions
# whose result has no fixed shape, or is not an array (UNKNOWN), cannot be traced. All other functions are recorded.
STATIC = frozenset({
    np.shape, np.ndim, np.size, np.iscomplexobj, np.isrealobj, np.result_type, np.may_share_memory, np.shares_memory,
    np.can_cast, np.common_type, np.min_scalar_type, np.zeros_like, np.ones_like, np.empty_like,
    np.diag_indices_from, np.tril_indices_from, np.triu_indices_from,
})  # fmt: skip
LIKE = (np.zeros_like, np.ones_like, np.empty_like)
BY_NUMBER = (np.can_cast, np.min_scalar_type)  # given a Python number, these depend on its value
UNKNOWN = frozenset({
    np.nonzero, np.flatnonzero, np.argwhere, np.ix_, np.array2string, np.array_repr, np.array_str, *plain.OF_CONSTANTS,
})  # fmt: skip
# Functions whose number of results depends on the values of an argument such as a mask, an index or a count.
VARYING = frozenset({
    np.compress, np.delete, np.repeat, np.insert, np.extract, np.trim_zeros, np.unique, np.unique_all, np.unique_counts,
    np.unique_inverse, np.intersect1d, np.nonzero, np.bincount, np.histogram, np.histogramdd,
})  # fmt: skip
VARYING_DTYPE = frozenset({np.real_if_close})
GATHERING = frozenset({np.take, np.take_along_axis, np.interp, np.choose})  # may read a plain array at traced indices
OTHER_SHAPE = "the number of entries that {name} returns depends on the values, so it has no fixed shape."
OTHER_DTYPE = "{name} returns real or complex numbers, depending on the values. {way}"
BY_VALUE = "{call} depends on a value, and so does what the function does next. Use np.where, or a static argument."


class Traced(Tensor):
    """A Tensor whose operations are recorded; the traced function gets it in place of an array or a Tensor."""

    __slots__ = ()

    @property
    def data(self) -> Any:
        """The same values without a graph, as a traced Tensor; the engine reads the array by `stored_array`."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        raise Untraceable("t.data = ... changes an argument; return the new value instead.")

    shape = property(lambda self: np.shape(stored_array(self)))
    ndim = property(lambda self: np.ndim(stored_array(self)))
    size = property(lambda self: EntryCount(np.shape(stored_array(self))))
    dtype = property(lambda self: np.asarray(stored_array(self)).dtype)
    itemsize = property(lambda self: stored_array(self).itemsize)
    nbytes = property(lambda self: stored_array(self).nbytes)
    strides = property(lambda self: shape_placeholder(self).strides)
    flags = property(lambda self: shape_placeholder(self).flags)

    @property  # type: ignore[misc]
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through it."""
        return not isinstance(self.node, StillNode)

    @property
    def grad(self) -> Any:
        """The gradient that `backward` accumulated, or None."""
        return None if self.node is None else self.node.grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            raise Untraceable("t.grad = ... changes an argument; return the gradient instead.")
        if self.node is not None:
            self.node.grad = None

    def __init__(self, *_: Any, **__: Any) -> None:
        """Do nothing: ``Tensor(t)`` of a traced Tensor `t` is made by `_rewrap`."""

    def _rewrap(self, requires_grad: bool, name: str | None) -> Tensor:
        record = recorder()
        kind = LiveNode if requires_grad and self.dtype.kind in "fc" else StillNode
        made = make_tensor(stored_array(self), leaf_node(stored_array(self), kind=kind), Traced)
        record.by_node[made.node] = record.find(self)
        made.label = name
        return made

    def _array_for_query(self) -> ShapePlaceholder:
        return shape_placeholder(self)

    def _array_for_index(self) -> Any:
        file, line = calling_line()
        recorder().unused_indices[id(stored_array(self))] = f"{file}:{line}"
        return stored_array(self)

    def _array_for_option(self, call: str) -> Tensor:
        return self

    def detach(self) -> Tensor:
        """Return the same values without a graph."""
        detached: Tensor = recorder().still(recorder().find(self), stored_array(self))
        return detached

    def backward(self, gradient: Any = None, *, retain_graph: bool = False, retain_grads: bool = False) -> None:
        """Accumulate gradients in the leaves, as `Tensor.backward` does, and record how they are computed."""
        if isinstance(self.node, StillNode) or self.node is None:
            raise RuntimeError("backward() on a constant.")
        if gradient is None and self.size != 1:
            raise ValueError(f"backward() of a Tensor of shape {self.shape} needs a gradient of that shape.")
        seed = wrap(np.ones_like(stored_array(self)), None) if gradient is None else gradient
        retained: dict[Any, Any] = {}
        with recording(True):
            seed = seed if isinstance(seed, Tensor) else wrap(np.asarray(seed, self.dtype), None)
            gradients = walk(self.node, seed, differentiable=True, keep=retained.__setitem__ if retain_grads else None)
        for node, g in {**retained, **gradients}.items():
            if not isinstance(node, StillNode):
                g = g.detach() if isinstance(g, Tensor) else wrap(g, None)
                node.grad = g if node.grad is None or node in retained else node.grad + g

    def item(self, *where: int) -> Any:
        """Refuse: the number differs from call to call."""
        raise Untraceable(BY_VALUE.format(call="t.item()"), _slots(self))

    def tolist(self) -> Any:
        """Refuse: the numbers differ from call to call."""
        raise Untraceable(BY_VALUE.format(call="t.tolist()"), _slots(self))

    def __bool__(self) -> bool:
        raise Untraceable(BY_VALUE.format(call="the truth value of a Tensor (if, and, or, while)"), _slots(self))

    def _number(self, call: str) -> Any:
        raise Untraceable(BY_VALUE.format(call=call), _slots(self))

    def __round__(self, ndigits: int | None = None) -> Any:
        if ndigits is None:
            return self._number("round(t)")
        return record_number(round, self, ndigits) if isinstance(self, TracedNumber) else np.round(self, ndigits)

    def __format__(self, spec: str) -> str:
        raise Untraceable(BY_VALUE.format(call="printing a number"))

    def __repr__(self) -> str:
        return f"<traced {self.dtype}{list(self.shape)}>"

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise Untraceable(
            "it is turned into a plain array, whose values would be frozen. To index a constant array by it, pass that "
            "as an argument; an array of its entries is np.stack([...]).", _slots(self)
        )

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        handler = find_replacement(ufunc if method == "__call__" else (ufunc, method))
        if method == "__call__" and not kwargs and (handler is None or returns_plain(handler)):
            return NotImplemented if any(map(_is_batched, inputs)) else recorder().call(ufunc, inputs, {})
        if "out" in kwargs:
            raise Untraceable(f"np.{ufunc.__name__}(..., out=) writes into an array.")
        return super().__array_ufunc__(ufunc, method, *inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        handler = OVERRIDES.get(function)
        if handler is None or returns_plain(handler):
            return NotImplemented if any(map(_is_batched, types)) else _run_plain(function, args, kwargs)
        given = (*args, *kwargs.values())
        if function in VARYING_DTYPE and any(isinstance(x, Tensor) and x.dtype.kind == "c" for x in given):
            raise Untraceable(OTHER_DTYPE.format(name=numpy_name(function), way="Use np.real(z) where it is real."))
        if function in GATHERING:
            args = tuple(recorder().lifted(x) for x in args)
        return super().__array_function__(function, types, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        method = METHODS.get(name) or REGISTRY.get(name)
        function = getattr(np, name, None)
        if method is None and name[0] != "_" and hasattr(np.ndarray, name) and returns_plain(OVERRIDES.get(function)):
            return lambda *args, **kwargs: _run_plain(function, (self, *args), kwargs)
        return super().__getattr__(name)

    @staticmethod
    def _funnel(primitive: Any, args: tuple[Any, ...], meta: dict[str, Any]) -> Tensor:
        if not isinstance(primitive.forward, np.ufunc) and all(map(_is_number, args)):  # no array decides the dtype
            args = tuple([x.entered() if isinstance(x, TracedNumber) else x for x in args])
        return apply(primitive, args, {key: _stored_arrays(x) for key, x in meta.items()} if meta else meta)

    def __getitem__(self, index: Any) -> Tensor:
        return apply(REGISTRY["getitem"], (self,), {"index": _stored_arrays(raw_index(index))})

    def __len__(self) -> int:
        return len(stored_array(self))

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(stored_array(self))))


class TracedNumber(Traced):
    """A traced Python number: an argument, or computed from such. As in NumPy, an array's dtype wins over its own."""

    __slots__ = ()

    def _array_for_index(self) -> Any:
        if type(stored_array(self)) is not int:
            return self._number("an index")
        return self.entered()._array_for_index()  # as an array, since its value may differ from call to call

    def _array_for_query(self) -> ShapePlaceholder:
        return self._number("what is asked of a number")  # type: ignore[no-any-return]

    def __round__(self, ndigits: int | None = None) -> Any:
        return record_number(round, self) if ndigits is None else record_number(round, self, ndigits)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Run a NumPy function; a number that no array accompanies becomes an array first, as in NumPy."""
        others = flatten([args[1:], kwargs])[0]
        if function in (np.real, np.imag):
            return getattr(args[0], function.__name__)
        if (
            args
            and type(args[0]) is TracedNumber
            and not any(hasattr(x, "dtype") and type(x) is not TracedNumber for x in others)
        ):
            args = (args[0].entered(), *args[1:])
        return super().__array_function__(function, types, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that arrays have and Python numbers do not, from this number as an array."""
        if not hasattr(stored_array(self), name):
            return getattr(self.entered(), name) if hasattr(np.ndarray, name) else super().__getattr__(name)
        return super().__getattr__(name) if hasattr(np.ndarray, name) else self._number(f"n.{name}")

    def _rewrap(self, requires_grad: bool, name: str | None) -> Tensor:
        return self.entered()._rewrap(requires_grad, name)

    def reshape(self, *shape: Any, **options: Any) -> Tensor:
        """Return an array of one entry with this shape."""
        return self.entered().reshape(*shape, **options)

    def entered(self) -> Traced:
        """Return the number as an array without axes, whose dtype counts like that of any array."""
        record, array = recorder(), np.asarray(stored_array(self))
        op = Op("cast", "array", None, [record.find(self)], (array.dtype.str,))
        return record.still(record.emit(op, array), array)  # type: ignore[no-any-return]

    real = property(lambda self: self._number("n.real") if type(stored_array(self)) is complex else +self)
    imag = property(
        lambda self: self._number("n.imag") if type(stored_array(self)) is complex else stored_array(self).imag
    )
    ndim = property(lambda self: 0)


Number.register(TracedNumber)  # for np.isscalar


class ShapePlaceholder(np.ndarray[Any, Any]):
    """A placeholder array that a primitive's code gets for a traced Tensor where it reads shape and dtype.

    Functions of shape are answered; functions of values are forwarded to the Tensor `source` and so recorded.
    """

    source: Traced | None = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return getattr(ufunc, method)(*[_tensor_behind(x) for x in inputs], **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function in STATIC or function is np.full_like:
            return function(*_as_plain_arrays(args), **{key: _as_plain_arrays(x) for key, x in kwargs.items()})
        if returns_plain(OVERRIDES.get(function)):
            return function(*_tensors_behind(args), **{key: _tensors_behind(x) for key, x in kwargs.items()})
        if function in VARYING:
            raise Untraceable(OTHER_SHAPE.format(name=numpy_name(function)))
        found, refill = flatten(recorder().call(function, args, kwargs))
        return refill([shape_placeholder(x) if isinstance(x, Tensor) else x for x in found])

    def __getitem__(self, index: Any) -> Any:
        return _tensor_behind(self).detach()[index]

    @property
    def flags(self) -> Any:
        """Refuse: the memory order of an argument may differ from call to call."""
        raise Untraceable("the order of its entries in memory decides what is computed. Use order='C' or order='F'.")

    strides: Any = flags


def shape_placeholder(t: Tensor) -> ShapePlaceholder:
    """Return the placeholder array that stands for this Tensor where only shape and dtype are read."""
    shape: ShapePlaceholder = stored_array(t).view(ShapePlaceholder)
    shape.source = t  # type: ignore[assignment]
    return shape


def _tensor_behind(x: Any) -> Any:
    """Return the Tensor that a `ShapePlaceholder` stands for; anything else unchanged."""
    if isinstance(x, ShapePlaceholder):
        if x.source is None:
            raise Untraceable("a part of its values decides what is computed.")
        return x.source
    return x


plain.delegate_methods(ShapePlaceholder, _tensor_behind)


def _tensors_behind(x: Any) -> Any:
    return type(x)([_tensors_behind(part) for part in x]) if type(x) in (list, tuple) else _tensor_behind(x)


def _as_plain_arrays(x: Any) -> Any:
    if isinstance(x, ShapePlaceholder):
        return x.view(np.ndarray)
    return type(x)([_as_plain_arrays(part) for part in x]) if type(x) in (list, tuple) else x


def _run_plain(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run a NumPy function without a gradient: at once if it depends on shapes only, else recorded."""
    if function in STATIC:
        kinds = _stored_arrays if function in BY_NUMBER else _for_shapes_only
        answer = function(*kinds(args), **{key: kinds(x) for key, x in kwargs.items()})
        if function not in LIKE:
            return answer
        return recorder().still(recorder().value("constant", answer, data=answer), answer)
    if function in (np.array2string, np.array_repr, np.array_str):
        raise Untraceable(BY_VALUE.format(call=f"np.{function.__name__}"))
    if function in UNKNOWN:
        raise Untraceable(OTHER_SHAPE.format(name=numpy_name(function)))
    if function not in OVERRIDES:
        raise Untraceable(f"{numpy_name(function)} has no rule here, so it cannot be traced.")
    return recorder().call(function, args, kwargs)


def _for_shapes_only(x: Any) -> Any:
    """Return arrays and Python numbers in place of traced Tensors, for functions that read shape and dtype only."""
    if isinstance(x, (list, tuple)):
        return type(x)([_for_shapes_only(part) for part in x])
    return stored_array(x) if isinstance(x, TracedNumber) else _stored_arrays(x)


def _stored_arrays(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)([_stored_arrays(part) for part in x])
    if isinstance(x, TracedNumber):
        return x._number("an option")
    return np.asarray(x) if isinstance(x, ShapePlaceholder) else stored_array(x)


def _slots(t: Tensor) -> list[int]:
    """Return the argument leaves that a traced Python number was computed from; none for an array."""
    value = recorder().find(t)
    if not value.weak:
        return []
    stack, slots = [value], []
    while stack:
        value = stack.pop()
        if value.kind == "input":
            slots.append(value.slot)
        elif value.op is not None:
            stack += value.op.values
    return slots


def _is_number(other: Any) -> bool:
    return isinstance(other, TracedNumber) or type(other) in (int, float, complex, bool, EntryCount)


def _is_batched(x: Any) -> bool:
    """Tell whether a value, or a type, is that of Tensors inside vmap, which run a function on all samples."""
    return getattr(x, "_batched", None) is not None


def _operator(function: Callable[..., Any], reflected: bool, primitive: str | None, ufunc: Any) -> Callable[..., Any]:
    """Return the method for a binary operator."""

    def method(self: Traced, other: Any) -> Any:
        recorder()
        pair = (other, self) if reflected else (self, other)
        if isinstance(self, TracedNumber) and _is_number(other):
            return record_number(function, *pair)
        if isinstance(self, TracedNumber) and isinstance(other, (str, bytes, NoneType)):
            return function(stored_array(self), other)  # a comparison gives False, arithmetic raises
        if isinstance(other, (list, tuple)):
            pair = tuple(np.asarray(x) if isinstance(x, (list, tuple)) else x for x in pair)  # type: ignore[assignment]
        if primitive is not None:
            return apply(REGISTRY[primitive], pair)
        if _is_batched(other):
            return NotImplemented
        return recorder().call(ufunc, pair, {})

    return method


def _in_place(symbol: str, operation: Callable[..., Any], ufunc: Any) -> Callable[..., Any]:
    """Return the method for an operator such as ``+=``: in place for an array, a new result for a Tensor or number."""

    def method(self: Traced, other: Any) -> Any:
        out = operation(self, other)
        if not isinstance(self.node, StillNode) or thread.mode.level is not None:
            return out
        record = recorder()
        root = record.find(self)
        while root.op is not None and root.op.kind in VIEWS and not _gives_one_entry(root.op):
            root = root.op.args[0]
        if root in record.arrays:
            raise Untraceable(f"{symbol}= writes into an argument. Write x = x {symbol} y, and return x.")
        if not self.ndim:
            return out
        if not record.lowering:  # written in user code, not inside a primitive
            record.augmented = record.augmented or calling_line()
        alike = out.shape == self.shape
        if not isinstance(out.node, StillNode) or (alike and out.dtype == self.dtype):
            return out
        if alike and np.can_cast(out.dtype, self.dtype, "same_kind"):
            return out.astype(self.dtype)
        like = stored_array(other) if isinstance(other, Tensor) else np.asarray(other)
        return ufunc(here := np.ones(self.shape, self.dtype), np.ones_like(like), out=here)  # raises NumPy's error

    return method


def _gives_one_entry(op: Op) -> bool:
    """Tell whether a slice gives one entry that is no view of the array: x[0] of a vector x, not x[..., 0]."""
    return op.kind == "slice" and op.out.shape == () and Ellipsis not in op.attrs[0]


def record_number(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of Python numbers, and record it as a ``number`` operation."""
    record = recorder()
    out = function(*[stored_array(x) for x in args])
    values = [record.find(x) if isinstance(x, Tensor) else x for x in args]
    op = Op("number", function.__name__, function, values)
    return record.still(record.emit(op, out), out)


OPERATORS = {
    "add": (operator.add, "add", np.add), "sub": (operator.sub, "subtract", np.subtract),
    "mul": (operator.mul, "multiply", np.multiply), "truediv": (operator.truediv, "divide", np.divide),
    "floordiv": (operator.floordiv, "floor_divide", np.floor_divide), "mod": (operator.mod, "remainder", np.remainder),
    "pow": (operator.pow, "power", np.power), "matmul": (operator.matmul, "matmul", np.matmul),
    "and": (operator.and_, None, np.bitwise_and), "or": (operator.or_, None, np.bitwise_or),
    "xor": (operator.xor, None, np.bitwise_xor), "lshift": (operator.lshift, None, np.left_shift),
    "rshift": (operator.rshift, None, np.right_shift),
    "lt": (operator.lt, None, np.less), "le": (operator.le, None, np.less_equal),
    "gt": (operator.gt, None, np.greater), "ge": (operator.ge, None, np.greater_equal),
    "eq": (operator.eq, None, np.equal), "ne": (operator.ne, None, np.not_equal),
}  # fmt: skip
SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "matmul": "@",
    "and": "&", "or": "|", "xor": "^", "lshift": "<<", "rshift": ">>",
}  # fmt: skip
for _name, (_function, _primitive, _ufunc) in OPERATORS.items():
    setattr(Traced, f"__{_name}__", _operator(_function, False, _primitive, _ufunc))
    if _name not in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(Traced, f"__r{_name}__", _operator(_function, True, _primitive, _ufunc))
        setattr(Traced, f"__i{_name}__", _in_place(SYMBOLS[_name], getattr(Traced, f"__{_name}__"), _ufunc))


def _unary(function: Callable[..., Any], ufunc: Any, primitive: str | None) -> Callable[[Traced], Any]:
    def method(self: Traced) -> Any:
        if isinstance(self, TracedNumber):
            return record_number(function, self)
        return apply(REGISTRY[primitive], (self,)) if primitive else recorder().call(ufunc, (self,), {})

    return method


setattr(Traced, "__neg__", _unary(operator.neg, np.negative, "negative"))  # noqa: B010
setattr(Traced, "__pos__", _unary(operator.pos, np.positive, "positive"))  # noqa: B010
setattr(Traced, "__abs__", _unary(abs, np.absolute, "absolute"))  # noqa: B010
setattr(Traced, "__invert__", _unary(operator.invert, np.invert, None))  # noqa: B010
setattr(Traced, "__hash__", Tensor.__hash__)  # noqa: B010 - defining __eq__ removed it
StillNode.tensor = LiveNode.tensor = Traced  # Saved and Stale inherit it
StillNode.weak = LiveNode.weak = TracedNumber
