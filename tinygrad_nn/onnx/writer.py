"""`Writer` builds the graph of an ONNX file: values of a trace become names, operations become nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..compiled.program.values import Op, Value, argument_shape
from .rows import Depends, Free, merged

Array = np.ndarray[Any, Any]
Given = tuple[Any, ...]  # an argument of an operation, one from each trace


SMALL = 16  # a constant with at most so many entries is written again at each use


class Writer:
    """Collects the nodes and initializers of an ONNX graph.

    Args:
        onnx: the package.
        dtype: the dtype of all floats in the file; ``None`` keeps their dtypes.
        axis: the axis of the inputs whose length is free; ``None`` if none is.
    """

    def __init__(self, onnx: Any, dtype: Any, axis: int | None) -> None:
        self.onnx, self.axis = onnx, axis
        self.dtype: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []  # Constant nodes; only trained parameters are initializers
        self.initializers: dict[str, Any] = {}
        self.names: dict[Value, str] = {}
        self.scope = ""
        self._constants: dict[Any, str] = {}
        self._rows: str | None = None
        self._source = ""
        self._count = 0
        self._taken: set[str] = set()

    # -- names and dtypes

    def name(self, wanted: str) -> str:
        """Return the wanted name, with a number appended if it is already taken."""
        found = wanted
        while found in self._taken:
            self._count += 1
            found = f"{wanted}_{self._count}"
        self._taken.add(found)
        return found

    def float_of(self, dtype: Any) -> np.dtype[Any]:
        """Return the dtype in the file for values of the given dtype."""
        kind: np.dtype[Any] = np.dtype({int: np.int64, float: np.float64, bool: np.bool_}.get(dtype, dtype))
        if kind.kind == "f" and self.dtype is not None:
            return self.dtype
        return kind

    def element(self, dtype: Any) -> int:
        """Return ONNX's code number of a dtype."""
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(self.float_of(dtype)))

    # -- nodes

    def op(self, kind: str, *inputs: str, outs: int = 0, **attrs: Any) -> Any:
        """Append a node; return the name of its result, or a list of `outs` names if `outs` is not 0."""
        made = [self.name(f"{self.scope}{kind}") for _ in range(max(1, outs))]
        node = self.onnx.helper.make_node(kind, list(inputs), made, name=made[0], **attrs)
        self.nodes.append(node)
        return made if outs else made[0]

    def initializer(self, name: str, array: Array) -> str:
        """Add a parameter under its name."""
        name = self.name(name)
        array = np.asarray(array, self.float_of(array.dtype), order="C")
        self.initializers[name] = self.onnx.numpy_helper.from_array(array, name)
        return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Return the name of a constant; large equal ones are shared, small ones repeated for each use."""
        array = np.asarray(value, None if dtype is None else self.float_of(dtype))
        array = np.ascontiguousarray(array.astype(self.float_of(array.dtype), copy=False)).reshape(array.shape)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants or array.size <= SMALL:
            name = self._constants[key] = self.name("constant")
            tensor = self.onnx.numpy_helper.from_array(array, name)
            self.constants.append(self.onnx.helper.make_node("Constant", [], [name], name=name, value=tensor))
        return self._constants[key]

    def ints(self, values: Sequence[Any]) -> str:
        """Return the name of a vector of integers, some of which may be `Free`."""
        if not any(isinstance(v, Free) for v in values):
            return self.constant(np.array(values, np.int64).reshape(len(values)))
        parts = [self.free(v) if isinstance(v, Free) else self.constant(np.array([v], np.int64)) for v in values]
        return parts[0] if len(parts) == 1 else str(self.op("Concat", *parts, axis=0))

    def free(self, value: Free) -> str:
        """Return the name of a vector of one integer, computed from the number of rows."""
        if value.slope is None:
            raise Depends("a length grows with the rows, but not by the same number with each row")
        if self._rows is None:
            scope, self.scope = self.scope, ""
            self._rows = self.op("Shape", self._source, start=self.axis, end=(self.axis or 0) + 1)
            self.scope = scope
        name = self._rows
        if value.slope != 1:
            name = self.op("Mul", name, self.constant(np.array([value.slope], np.int64)))
        return name if not value.start else str(self.op("Add", name, self.constant(np.array([value.start], np.int64))))

    def rows_of(self, name: str) -> None:
        """Set the input from whose shape the number of rows is read; the first call counts."""
        self._source = self._source or name

    # -- arguments

    def arg(self, given: Given, dtype: Any = None) -> str:
        """Return the name of an argument of an operation, cast to a dtype if one is given."""
        a, *others = given
        if not isinstance(a, Value):
            if all(a == b or (a != a and b != b) for b in others):
                return self.constant(a, dtype)
            if all(type(b) is int for b in given):
                name = self.integer(merged(*given))
                return name if dtype is None or np.dtype(dtype) == np.int64 else self.cast(name, dtype)
            raise Depends(f"the number {a!r} becomes {others[0]!r} with one more row")
        if a.kind == "constant":
            name = self._constant_of(given)
        elif a in self.names:
            name = self.names[a]
        else:
            raise KeyError(a)
        if dtype is not None and self.float_of(a.dtype) != self.float_of(dtype):
            return self.cast(name, dtype)
        return name

    def integer(self, value: Any) -> str:
        """Return the name of one integer, which may be `Free`."""
        if not isinstance(value, Free):
            return self.constant(np.int64(value))
        return str(self.op("Squeeze", self.free(value), self.constant(np.array([0], np.int64))))

    def cast(self, name: str, dtype: Any) -> str:
        """Write a cast of a value to another dtype, and return its name."""
        return str(self.op("Cast", name, to=self.element(dtype)))

    def _constant_of(self, given: Given) -> str:
        arrays = [np.asarray(value.data) for value in given]
        one = arrays[0]
        if all(x.shape == one.shape for x in arrays):
            if not all(np.array_equal(one, x, equal_nan=one.dtype.kind == "f") for x in arrays):
                raise Depends("a constant has different numbers with one more row")
            return self.constant(one)
        shape = merged(*(x.shape for x in arrays))
        free = [k for k, n in enumerate(shape) if isinstance(n, Free)]
        row = one[tuple(slice(0, 1) if k in free else slice(None) for k in range(one.ndim))]
        if all(np.array_equal(np.broadcast_to(row, x.shape), x) for x in arrays):
            return str(self.op("Expand", self.constant(row), self.ints(shape)))
        if len(free) == 1 and all(np.array_equal(x.ravel(), np.arange(x.shape[free[0]])) for x in arrays):
            name = self._range(shape[free[0]])
            name = self.cast(name, one.dtype) if one.dtype != np.int64 else name
            length = [-1 if k in free else 1 for k in range(one.ndim)]
            return str(name if one.ndim == 1 else self.op("Reshape", name, self.ints(length)))
        if len(free) == 2 and one.ndim == 2 and shape[0] == shape[1]:
            for k in (0, -1):  # a causal mask, with the diagonal among the entries below it or above it
                below, above = one[-1, 0], one[0, -1]
                if all(np.array_equal(np.where(np.tri(len(x), k=k, dtype=bool), below, above), x) for x in arrays):
                    places = self._range(shape[0])
                    rows = self.op("Unsqueeze", places, self.ints([1]))
                    lower = self.op("LessOrEqual" if k == 0 else "Less", places, rows)
                    if one.dtype == np.bool_:
                        return str(lower if below else self.op("Not", lower))
                    return str(self.op("Where", lower, self.constant(below), self.constant(above)))
        raise Depends("a constant has different numbers with one more row")

    def _range(self, length: Free) -> str:
        return str(self.op("Range", self.integer(0), self.integer(length), self.integer(1)))

    # -- a graph inside an operator

    def inside(self, body: Any, names: Sequence[str], dtype: Any) -> Any:
        """Return the graph of a loop body: ``body(writer, *names)`` writes it and returns the names of its results."""
        inner = Writer(self.onnx, self.dtype, None)
        inner._taken, inner.scope = self._taken, self.scope
        given = [self.name(name) for name in names]
        results = body(inner, *given)
        helper, kind = self.onnx.helper, self.element(dtype)
        return helper.make_graph(
            inner.constants + inner.nodes, "step", [helper.make_tensor_value_info(n, kind, None) for n in given],
            [helper.make_tensor_value_info(n, kind, None) for n in results],
        )  # fmt: skip


def arguments(ops: tuple[Op, ...]) -> list[Given]:
    """Return the arguments of an operation, each from all traces."""
    return list(zip(*(op.args for op in ops), strict=True))


def call_arguments(ops: tuple[Op, ...]) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional arguments and the metadata of a call, each from all traces."""
    nests = [op.nest for op in ops]
    given = list(zip(*(nest[0] for nest in nests), strict=True))
    return given, {key: tuple(nest[1][key] for nest in nests) for key in nests[0][1]}


def common_dtype(*args: Any) -> Any:
    """Return the dtype in which NumPy computes an operation of these arguments."""
    arrays = [a.dtype for a in args if isinstance(a, Value) and not a.weak]
    numbers = [a.dtype(0) if isinstance(a, Value) else a for a in args if not isinstance(a, Value) or a.weak]
    return np.result_type(*arrays, *numbers)


def shape_of(given: Given) -> tuple[Any, ...]:
    """Return the shape of an argument or result, with `Free` for lengths that grow with rows."""
    shape: tuple[Any, ...] = merged(*map(argument_shape, given))
    return shape


def result_shape(ops: tuple[Op, ...]) -> tuple[Any, ...]:
    """Return the shape of the result of an operation, with `Free` for lengths that grow with rows."""
    return shape_of(tuple(op.out for op in ops))


def scalar_constant(w: Writer, number: float, dtype: Any) -> str:
    """Return the name of a constant with one number of the given dtype."""
    return w.constant(np.asarray(number, dtype))


def reshape(w: Writer, x: str, shape: tuple[Any, ...]) -> str:
    """Write a reshape and return its name; a single free length becomes -1."""
    if sum(isinstance(n, Free) for n in shape) == 1 and 0 not in shape:
        shape = tuple(-1 if isinstance(n, Free) else n for n in shape)
    return str(w.op("Reshape", x, w.ints(shape)))
