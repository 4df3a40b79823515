"""`trace`: run a function once with traced arguments, and return the recorded program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ...common.printable import printable
from ...node import thread
from ...tensor import Tensor, stored_array
from ...tree import flatten
from ..program.simplify import live_operations
from ..program.values import Program, Value
from . import tensors as _tensors  # noqa: F401 - gives the Nodes their Tensors
from .draws import Drawing
from .nodes import LiveNode, StillNode, Untraceable
from .recorder import Recorder

NUMBERS = (int, float, complex)


@contextmanager
def tracing(recompute_saved: bool = False) -> Iterator[Recorder]:
    """Make a `Recorder` the mode of this thread inside the block."""
    before = thread.mode
    thread.mode = mode = Recorder(before, recompute_saved)
    try:
        yield mode
    finally:
        thread.mode = before
        mode.inspect = None  # a bound method of `mode`: the cycle would keep all recorded arrays alive


def trace(
    function: Callable[..., Any], leaves: Sequence[Any], rebuild: Callable[[Sequence[Any]], Any],
    static: frozenset[int], recompute_saved: bool = False,
) -> tuple[Program, Any]:  # fmt: skip
    """Run a function once, and return the recorded program and the result with plain arrays.

    Args:
        function: called as ``function(*args, **kwargs)``.
        leaves: the leaves of its arguments; arrays, numbers and generators become inputs, anything else is fixed.
        rebuild: puts leaves into ``(args, kwargs)``.
        static: places of leaves that are fixed although they are numbers.
        recompute_saved: whether arrays saved by forwards are recomputed, so that they can be differentiated.

    Raises:
        Untraceable: the function does something that cannot be recorded.
        SecondOrder: it can be recorded only with `recompute_saved`.
    """
    with tracing(recompute_saved) as record:
        inputs: list[Value] = []
        arguments: list[Any] = []
        objects: dict[int, Any] = {}  # by id; `arguments` and `found` keep the objects alive
        for slot, x in enumerate(leaves):
            if slot in static or not traceable(x):
                arguments.append(x)
                continue
            if isinstance(x, np.random.Generator):
                value = Value(len(record.values), "input", (), np.random.Generator, slot=slot)
                record.values.append(value)
                arguments.append(Drawing.of(x, value))
            else:
                # A copy, so that no other array shares its memory: a read of that memory then depends on this argument.
                data = x if type(x) in NUMBERS else np.array(stored_array(x), order="C")
                value = record.value("input", data, slot=slot)
                alive = isinstance(x, Tensor) and x.node is not None
                record.name(value, data)
                arguments.append(record.tensor(value, data, LiveNode if alive else StillNode))
            inputs.append(value)
            objects[id(arguments[-1])] = value
            if isinstance(x, np.ndarray):
                record.arrays.add(value)
        args, kwargs = rebuild(arguments)
        result = function(*args, **kwargs)
        for place in record.unused_indices.values():
            file, line = place.rsplit(":", 1)
            raise Untraceable("a constant is indexed by a value that differs from call to call.", at=(file, int(line)))
        found, refill = flatten(result)
        outputs = [record.find(x) if isinstance(x, (Tensor, np.ndarray)) else _generator_value(x) for x in found]
        whose = [objects.setdefault(id(x), place) for place, x in enumerate(found)]
        plain = refill([leaves[x.value.slot] if isinstance(x, Drawing) else array_or_scalar(x) for x in found])
    known = {*inputs, *(out for op in record.ops for out in op.outs)}
    live = live_operations(record.ops, outputs)  # others may be left over from an attempt that was given up
    read = [x for x in (*outputs, *(x for op in live for x in op.values)) if isinstance(x, Value)]
    if any(value.kind != "constant" and value not in known for value in read):
        raise Untraceable("a value from inside a loop or a branch is used outside of it. Return it from there.")
    return Program(record.ops, inputs, outputs, whose, record.augmented), plain


def _generator_value(x: Any) -> Any:
    """Return the value of a generator that is an argument; anything else is returned unchanged."""
    return x.value if isinstance(x, Drawing) else x


def traceable(x: Any) -> bool:
    """Tell whether an argument may differ from call to call: arrays, numbers and generators may, flags may not."""
    return isinstance(x, (np.ndarray, np.generic, Tensor, np.random.Generator)) or type(x) in NUMBERS


def plain(x: Any) -> bool:
    """Tell whether an array is only its entries: no mask, no units, and products that are not those of matrices."""
    return not isinstance(x, np.ndarray) or type(x) in (np.ndarray, np.memmap)


def refuse_argument(x: Any) -> None:
    """Raise if an argument is more than its entries, or can be read only once: the function is called twice at first.

    Raises:
        Untraceable: the argument is an array of a subclass, or an iterator.
    """
    name = printable(type(x).__name__)
    if not plain(x):
        raise Untraceable(f"an argument is a {name}, of which a plan would only see the entries. Pass np.asarray(x).")
    if isinstance(x, Iterator):
        raise Untraceable(f"an argument is a {name}, which can be read only once. Pass list(x).")


def array_or_scalar(x: Any) -> Any:
    """Return the array of a Tensor; without axes, as a NumPy scalar. Anything else is returned unchanged."""
    x = stored_array(x)
    return x[()] if isinstance(x, np.ndarray) and x.ndim == 0 else x


def canonical(x: Any, keep: bool = False) -> Any:
    """Return an argument as a plan takes it: C-contiguous, in native byte order; `keep` leaves Tensors and scalars."""
    if isinstance(x, Tensor):
        return x if keep else as_array(x.data, native_dtype(x.dtype))
    if isinstance(x, np.ndarray) or (isinstance(x, np.generic) and not keep):
        return as_array(x, native_dtype(x.dtype))
    return x


def native_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype in native byte order: NumPy's own object for it, since plans compare dtypes with ``is``."""
    return np.dtype(dtype.newbyteorder("=").char) if dtype.kind in "fciub" else dtype


def as_array(x: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """Return the result of a function as a C-contiguous, aligned and writable array."""
    array: np.ndarray[Any, Any] = np.ascontiguousarray(x, dtype) if np.ndim(x) else np.asarray(x, dtype)
    # a read-only array has another type for numba
    return array if array.flags.writeable and array.flags.aligned else array.copy()
