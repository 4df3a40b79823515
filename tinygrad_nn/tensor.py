"""Tensor, an array that records the operations on it, and `apply`, the one function that runs and records them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .common.arguments import check_flag
from .common.bool_array import BoolArray, as_bools
from .common.device import device
from .common.entry_count import EntryCount
from .common.lost_graph import AGAIN, array_error, number_error, out_error
from .common.masked import unmasked
from .leaves import assign_data, assign_gradient, holders, in_place_method, read_gradient, updated_in_place, write
from .node import BY_NAME, NO_TEXTS, Node, born, leaf_node, thread
from .primitive import (
    ATTRIBUTES,
    METHODS,
    NO_METADATA,
    OVERRIDES,
    REGISTRY,
    NamedAxes,
    Primitive,
    add_shapes,
    as_constant,
    call_function,
    call_ufunc,
    find_replacement,
    no_rule,
)

_new, _ndarray = object.__new__, np.ndarray
_close: Any = np.ndarray.setflags
_PLAIN = frozenset({float, int, bool, complex})  # arguments that need no conversion


def apply(primitive: Primitive, args: tuple[Any, ...], meta: dict[str, Any] = NO_METADATA) -> Tensor:
    """Run a primitive's forward on raw arrays; record a Node if an argument requires gradients."""
    if meta and (level := thread.mode.level) is not None and level.concerns(meta):
        return level.apply(primitive, args, meta)  # type: ignore[no-any-return]
    if meta and thread.mode.traces:
        args, meta = thread.mode.entered(args, meta)  # type: ignore[attr-defined]
    forward, arity = primitive.forward, len(args)
    x: Any  # x is the first argument, y the second, p and q are their Nodes (see the slots of Node)
    p: Any = None
    y = q = names = None
    if arity == 1 and type(x := args[0]) is Tensor:
        x, p = x._array, x.node
    elif arity == 2:
        x, y = args
        if (kind := type(x)) is Tensor:
            if (p := x.node) is None and x.label:
                names = {0: x.label}
            x = x._array
        elif kind is not float and kind not in _PLAIN and (kind is not _ndarray or x.dtype.char == "O"):
            arity = 0
        if (kind := type(y)) is Tensor:
            if (q := y.node) is None and y.label:
                names = {1: y.label}
            y = y._array
        elif kind is not float and kind not in _PLAIN and (kind is not _ndarray or y.dtype.char == "O"):
            arity = 0
    else:
        arity = 0
    if arity == 0:
        bare, parents, live = [], [], False
        y = q = names = None
        for arg in args:
            if (kind := type(arg)) is Tensor:
                bare.append(arg._array)
                parents.append(parent := arg.node)
                if parent is not None:
                    live = True
                elif arg.label:
                    names = {**(names or {}), len(bare) - 1: arg.label}
            elif kind in _PLAIN or (kind is _ndarray and arg.dtype.char != "O"):
                bare.append(arg)
                parents.append(None)
            elif isinstance(arg, Tensor):  # a subclass: a Tensor of a trace or of a vmap
                if arg._batched is not None:
                    return arg._batched(primitive, args, meta)  # type: ignore[no-any-return]
                bare.append(arg._array)
                parents.append(parent := arg.node)
                live = live or parent is not None
            else:
                bare.append(as_constant(arg, primitive))
                parents.append(None)
        x, p = tuple(bare), tuple(parents) if live else None
    made = arity > 0 and primitive.fills  # a ufunc with out=... always makes a new ndarray
    try:
        if made:
            out = forward(x, out=...) if arity == 1 else forward(x, y, out=...)
        elif meta:
            out = forward(*x, **meta) if arity == 0 else forward(x, **meta) if arity == 1 else forward(x, y, **meta)
        else:
            out = forward(*x) if arity == 0 else forward(x) if arity == 1 else forward(x, y)
    except ValueError as error:
        add_shapes(error, primitive, list((x, y)[:arity] if arity else x))
        raise
    if not made:
        if primitive.saves:
            out, saved = out
            meta = {**meta, **saved}
        out = out if type(out) is _ndarray else np.asarray(out)  # NumPy returns scalars in place of 0-d arrays
    tensor: Tensor = _new(Tensor)
    tensor._array = out
    if (p is not None or q is not None) and (mode := thread.mode).grad:
        if not made and holders(out) > 3 and (out is x or out is y or (arity == 0 and any(arg is out for arg in x))):
            tensor._array = out = out.view()  # out may be the user's own array: make only a view of it read-only
        _close(out, False)  # the rules will read the result, so it becomes read-only
        node = mode.spare.pop() if mode.spare else Node()
        node.primitive, node.meta, node.out = primitive, meta, out
        node.arity, node.x, node.y = arity, x, y  # Python assigns up to three names without building a tuple
        node.p, node.q = p, q
        node.index = born()
        node.scope = mode.scope
        node.grad = None
        node.notes = None if names is None else {"constants": names}
        tensor.node = node
        if mode.inspect is not None:
            return mode.inspect(node, tensor)  # type: ignore[no-any-return]
    else:
        tensor.node = tensor.label = None
    return tensor


def leaf(data: np.ndarray[Any, Any], name: str | None = None) -> Tensor:
    """Make a leaf Tensor, which receives a gradient, from a floating-point array."""
    return make_tensor(data, leaf_node(data, name), Tensor)


def wrap(data: Any, node: Node | None) -> Tensor:
    """Make a Tensor from existing data and an existing Node; a Node of ``None`` makes a constant."""
    data = data if type(data) is np.ndarray else np.asarray(data)
    return make_tensor(data, node, Tensor if node is None else node.tensor)


def make_tensor(data: Any, node: Node | None, kind: type[Tensor]) -> Tensor:
    """Make a Tensor of class `kind` from data, which is not converted, and a Node."""
    tensor: Tensor = _new(kind)
    tensor._array, tensor.node, tensor.label = data, node, None
    return tensor


def _operators(name: str) -> list[Callable[[Any, Any], Tensor]]:
    """Return an operator's three methods: ``t - x``, the reflected ``x - t``, and the in-place ``t -= x``."""

    def forward(self: Any, other: Any) -> Tensor:
        try:
            return apply(REGISTRY[name], (self, other))
        except NamedAxes:
            return NotImplemented  # type: ignore[no-any-return]

    return [
        forward,
        lambda self, other: apply(REGISTRY[name], (other, self)),
        lambda self, other: updated_in_place(self, apply(REGISTRY[name], (self, other))),
    ]


def _comparison(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return the method of a comparison operator; its result is not recorded in the graph."""
    return lambda self, other: as_bools(compare(self.data, raw(other)))


class Tensor:
    """An array that records the operations done on it, so that gradients can be taken.

    It works in operators, ``np.*`` functions and methods like an ndarray. Plain arrays and numbers in the same
    expression are constants. Integer and boolean data is always constant.

    Args:
        data: an array or nested list of numbers, of any shape; an ndarray is not copied.
        requires_grad: whether gradients are wanted with respect to it (floats and complex numbers only).
        name: shown in drawings and error messages.
        dtype: of the entries, by default that of the data; a conversion copies the data.

    Attributes:
        data: the ndarray; what is assigned to it is converted, and a Tensor loses its graph.
        grad: the gradient left by `backward`, an ndarray of the same shape and dtype, or ``None``.
        node: the record of how it was made (a `Node`), or ``None`` for a constant.

    Raises:
        TypeError: data that is not made of numbers, or a masked array with masked entries.

    Example:
        >>> x = Tensor([1.0, 2.0, 3.0])
        >>> (x * x).sum().backward()
        >>> print(x.grad)
        [2. 4. 6.]
    """

    __slots__ = ("__weakref__", "_array", "label", "node")

    _array: np.ndarray[Any, Any]
    node: Node | None
    label: str | None
    _batched: ClassVar[Any] = None  # inside vmap: the function that runs a primitive on the mapped Tensors

    def __new__(cls, data: Any, requires_grad: bool = True, name: str | None = None, dtype: Any = None) -> Any:
        """Return a new Tensor; if `data` is itself a Tensor, return what its `_rewrap` returns (usually an error)."""
        return data._rewrap(requires_grad, name) if isinstance(data, Tensor) else _new(cls)

    def __getnewargs__(self) -> tuple[Any]:
        return (None,)  # pickle calls __new__ with it and fills in the slots afterwards

    def __init__(self, data: Any, requires_grad: bool = True, name: str | None = None, dtype: Any = None) -> None:
        array = data if type(data) is _ndarray and dtype is None else np.asarray(unmasked(data), dtype)
        if array.dtype.kind not in "fciub":
            raise TypeError(NO_TEXTS.format(array.dtype))
        if requires_grad is not True and requires_grad is not False:
            check_flag("Tensor", "requires_grad", requires_grad, BY_NAME, numbers=array.ndim > 0)  # Tensor(5, 1)
        self._array, self.label = array, name
        self.node = leaf_node(array, name) if requires_grad and array.dtype.kind in "fc" else None

    if TYPE_CHECKING:

        @property
        def data(self) -> np.ndarray[Any, Any]: ...  # noqa: D102 - it is below

        @data.setter
        def data(self, value: Any) -> None: ...
    else:  # a getter in C and a setter of one call: each step of a training reads and assigns all parameters
        data = property(operator.attrgetter("_array"), assign_data, None,
                        "The ndarray with the values; a Tensor that is assigned loses its graph.")  # fmt: skip

    @property
    def name(self) -> str | None:
        """The name shown in drawings and messages."""
        return self.label if self.node is None else (self.node.notes or {}).get("name")

    @name.setter
    def name(self, name: str | None) -> None:
        if self.node is None:
            self.label = name
        else:
            self.node.note(name=name)

    @property
    def grad(self) -> np.ndarray[Any, Any] | None:
        """The gradient that `backward` accumulated, or ``None``; assign ``None`` to start afresh."""
        return None if self.node is None else read_gradient(self.node, self.data)

    @grad.setter
    def grad(self, value: Any) -> None:
        if self.node is None:
            raise ValueError("this Tensor is a constant and has no gradient; make it with Tensor(data) of floats.")
        if value is not None and (value := np.asarray(value, dtype=self.data.dtype)).shape != self.data.shape:
            raise ValueError(f"the gradient has shape {value.shape}; the Tensor has shape {self.data.shape}.")
        assign_gradient(self.node, value)

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through this Tensor."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if not self.is_leaf:
            raise RuntimeError("this Tensor was computed, so it is not a leaf; a constant with its data is t.detach().")
        if wanted and self.data.dtype.kind not in "fc":
            raise TypeError(f"gradients need floats; this Tensor has dtype {self.data.dtype}. Write t.astype(float).")
        if wanted and self.node is None:
            self.node = leaf_node(self.data, self.label)
        elif not wanted and self.node is not None:
            self.label, self.node = self.name or "", None  # a module still finds a parameter that has a label

    @property
    def is_leaf(self) -> bool:
        """Whether it was made directly rather than computed by an operation; constants count as leaves."""
        return self.node is None or self.node.primitive is None

    shape = property(lambda self: self.data.shape, doc="The lengths of the axes.")
    ndim = property(lambda self: self.data.ndim, doc="The number of axes.")
    size = property(lambda self: EntryCount(self.data.shape), doc="The number of entries; ``size(0)`` is a length.")
    dtype = property(lambda self: self.data.dtype, doc="The type of the entries.")
    device = property(lambda self: device(), doc="Where the array lies: ``'cpu'``.")

    T = property(lambda self: apply(REGISTRY["transpose"], (self,)), doc="The axes in reverse order.")
    mT = property(lambda self: METHODS["mT"](self), doc="The last two axes swapped.")
    real = property(lambda self: apply(REGISTRY["real"], (self,)), doc="The real parts.")
    imag = property(lambda self: apply(REGISTRY["imag"], (self,)), doc="The imaginary parts.")
    at = property(lambda self: METHODS["at"](self), doc="Updates that make a new Tensor: ``t.at[index].set(value)``.")

    def detach(self) -> Tensor:
        """Return a constant Tensor with the same data: no gradient flows through it."""
        return wrap(self.data, None)

    def item(self, *where: int) -> Any:
        """Return the only entry, or the one at an index, as a Python number; it is not recorded in the graph."""
        return self.data.item(*where)

    def tolist(self) -> Any:
        """Return the data as nested lists of Python numbers; they are not recorded in the graph."""
        return self.data.tolist()

    def reshape(self, *shape: Any, **more: Any) -> Tensor:
        """Return the entries in another shape, as ndarray.reshape does; one length may be -1."""
        to: Any = shape[0] if len(shape) == 1 else shape
        return OVERRIDES[np.reshape](self, to, **more) if more else apply(REGISTRY["reshape"], (self,), {"shape": to})

    # -- Python's protocols. Each operator names its primitive. A result in a graph is not written into.

    __add__, __radd__, __iadd__ = _operators("add")
    __sub__, __rsub__, __isub__ = _operators("subtract")
    __mul__, __rmul__, __imul__ = _operators("multiply")
    __truediv__, __rtruediv__, __itruediv__ = _operators("divide")
    __floordiv__, __rfloordiv__, __ifloordiv__ = _operators("floor_divide")
    __mod__, __rmod__, __imod__ = _operators("remainder")
    __pow__, __rpow__, __ipow__ = _operators("power")
    __matmul__, __rmatmul__, __imatmul__ = _operators("matmul")
    __and__, __rand__ = _operators("bitwise_and")[:2]
    __or__, __ror__ = _operators("bitwise_or")[:2]
    __xor__, __rxor__ = _operators("bitwise_xor")[:2]
    __lshift__, __rlshift__ = _operators("left_shift")[:2]
    __rshift__, __rrshift__ = _operators("right_shift")[:2]
    __lt__ = _comparison(operator.lt)
    __le__ = _comparison(operator.le)
    __gt__ = _comparison(operator.gt)
    __ge__ = _comparison(operator.ge)
    __eq__ = _comparison(operator.eq)
    __ne__ = _comparison(operator.ne)
    __hash__ = object.__hash__

    def __neg__(self) -> Tensor:
        return apply(REGISTRY["negative"], (self,))

    def __divmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Tensor, Tensor]:
        return other // self, other % self

    def __abs__(self) -> Tensor:
        return apply(REGISTRY["absolute"], (self,))

    def __invert__(self) -> Tensor:
        return apply(REGISTRY["invert"], (self,))

    def __pos__(self) -> Tensor:
        return self

    def __getitem__(self, index: Any) -> Tensor:
        return apply(REGISTRY["getitem"], (self,), {"index": raw_index(index)})

    def __setitem__(self, index: Any, value: Any) -> None:
        write(self, raw_index(index), value)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self.data)))

    def __contains__(self, value: Any) -> bool:
        return bool(np.any(self.data == value))

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self._number("float(t)"))

    def __int__(self) -> int:
        return int(self._number("int(t)"))

    def __index__(self) -> int:
        return self._number("an index").__index__()  # type: ignore[no-any-return]

    def __complex__(self) -> complex:
        return complex(self._number("complex(t)"))

    def _number(self, call: str) -> Any:
        if self.node is not None:
            raise number_error(call)
        return self.data.item()

    # -- Methods that the Tensors of a trace override, see `Mode`.

    def _array_for_query(self) -> Any:
        """Return the array that NumPy functions without a gradient, such as np.argmax, read values from."""
        return self.data

    def _array_for_index(self) -> Any:
        """Return the array to use when this Tensor is part of an index."""
        return self.data

    def _rewrap(self, requires_grad: bool, name: str | None) -> Any:
        """Return the result of ``Tensor(self)``: here an error; allowed in a trace, where arrays are Tensors too."""
        raise TypeError(AGAIN)

    def _array_for_option(self, call: str) -> Any:
        """Return the array to use when this Tensor is an option, such as a mask; raise if it has a graph."""
        if self.node is not None:
            raise TypeError(f"{call} has no derivative, and this Tensor has a graph that would be lost. Pass "
                            "t.detach(), which has none.")  # fmt: skip
        return self.data

    def __format__(self, spec: str) -> str:
        return format(self.data.item(), spec) if spec else repr(self)

    def __repr__(self) -> str:
        body = np.array2string(self.data, separator=", ", prefix="Tensor(")
        dtype = "" if self.data.dtype in (np.float64, np.int64, np.bool_) else f", dtype={self.data.dtype}"
        name = f", name={self.name!r}" if self.name else ""
        constant = "" if self.node is not None or self.data.dtype.kind not in "fc" else ", requires_grad=False"
        made = f", by={self.node.primitive.name}" if self.node is not None and self.node.primitive else ""
        return f"Tensor({body}{dtype}{name}{constant}{made})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self.node is not None and self.node.inner:  # the copy of a computed Tensor stays in its graph
            return apply(REGISTRY["copy"], (self,))
        twin = Tensor(self.data.copy(), requires_grad=self.requires_grad, name=self.name)
        if self.node and "attached" in (notes := self.node.notes or {}):  # objects that other modules attached to it
            twin.node.note(attached=deepcopy(notes["attached"], memo))  # type: ignore[union-attr]
        return twin

    def __getattr__(self, name: str) -> Any:
        """Look up a method: any primitive (``t.exp()`` is ``np.exp(t)``), or an ndarray method that NumPy overrides."""
        method = METHODS.get(name) or REGISTRY.get(name) or in_place_method(self, name, METHODS, REGISTRY)
        if method is None and hasattr(np.ndarray, name) and name[0] != "_":
            method = OVERRIDES.get(getattr(np, name, None))
        if method is None:
            if name in ATTRIBUTES:
                raise AttributeError(f"a Tensor has no attribute {name!r}. {ATTRIBUTES[name]}")
            from .common.spelling import no_attribute

            raise no_attribute("a Tensor", name, () if name[0] == "_" else dir(self))
        return partial(method, self)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *REGISTRY, *METHODS})

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__":
            handler = OVERRIDES.get(ufunc)
            if not kwargs and type(handler) is Primitive:
                try:
                    return apply(handler, inputs)
                except NamedAxes:
                    return NotImplemented
        else:
            handler = OVERRIDES.get((ufunc, method))
        mask = kwargs.get("where")
        if isinstance(mask, Tensor) and (bare := mask._array_for_option(f"{ufunc.__name__}(..., where=)")) is not mask:
            kwargs["where"] = bare
            if not any(isinstance(x, Tensor) for x in (*inputs, *kwargs.get("out", ()))):
                return getattr(ufunc, method)(*inputs, **kwargs)
        if "out" in kwargs or method == "at":
            raise out_error(ufunc.__name__)
        if handler is None:
            function = ufunc if method == "__call__" else (ufunc, method)
            if (handler := find_replacement(function)) is None:
                raise no_rule(function)
        return call_ufunc(handler, inputs, kwargs) if method == "__call__" else handler(*inputs, **kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if (handler := OVERRIDES.get(function)) is None:
            raise no_rule(function)
        return call_function(function, handler, args, kwargs)

    __dlpack__ = property(lambda self: partial(METHODS["__dlpack__"], self))
    __dlpack_device__ = property(lambda self: partial(METHODS["__dlpack_device__"], self))
    __array_namespace__ = property(lambda self: partial(METHODS["__array_namespace__"], self))

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray[Any, Any]:
        """Return the data of a constant as an ndarray; raise if there is a graph, which an ndarray would lose."""
        if self.node is None:
            return np.array(self.data, dtype=dtype, copy=copy)
        raise array_error()

    _funnel: Any = staticmethod(apply)  # a primitive that is called with a Tensor passes the call on to this


def raw(value: Any) -> Any:
    """Return the bare array of a Tensor; return anything else unchanged."""
    return value.data if isinstance(value, Tensor) else value


def raw_index(index: Any) -> Any:
    """Return an index with every Tensor in it replaced by its bare array."""
    if isinstance(index, Tensor):
        return index._array_for_index()
    return type(index)([raw_index(part) for part in index]) if isinstance(index, (tuple, list)) else index


BoolArray.constant = Tensor


def stored_array(value: Any) -> Any:
    """Return the array stored in a Tensor, even in a trace, where `data` is a Tensor; return other values unchanged."""
    return value._array if isinstance(value, Tensor) else value
