"""Leaf Tensors in a training loop: writing in place, sums of gradients, and warnings about frequent mistakes.

The mistakes are two: reading ``grad`` of a Tensor that is no leaf, where it is always None, and never clearing a
gradient, which then grows from step to step. Notes on a leaf's Node remember what is needed to detect the second.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from weakref import ref

import numpy as np

from .node import NO_WRITING, TRANSIENT, Node, born, thread

Array = np.ndarray[Any, Any]
LOST = (
    "this Tensor was made by {made}, so it is not a leaf, and `backward` stores no gradient in it: its grad is None. "
    "A parameter stays a leaf if you change its data: instead of w = w - lr * w.grad write w.data -= lr * w.grad, or "
    "let optim.SGD([w], lr=lr).step() or optim.Minimizer([w], 'sgd', lr).step() do it. backward(retain_grads=True) "
    "keeps the gradients of intermediate values."
)
PILED = (
    "{call}: {name} was updated with its gradient, and the next backward added to that same gradient, so it grows from "
    "step to step. Clear it before each backward: {edit}"
)
LIVE_VALUE = (
    "the value has a graph, which this Tensor cannot hold, since its array is used elsewhere, by a view or in a graph. "
    "Write t = t.at[index].set(value), or collect the parts in a list and join them: torch.stack(parts), "
    "np.stack(parts). Without gradients, write value.detach()."
)
SHARED = (
    "this Tensor cannot be written into, since it shares its memory with a result that a graph needs, or with a "
    "read-only array. Write t = t.clone() first."
)
WRITTEN: dict[int, tuple[ref[Any], int]] = {}  # the ids of arrays that were written into, while they live, and when
holders: Callable[[Any], int] = getattr(sys, "getrefcount", lambda _: 4)  # without it, assume the object is shared
FILLS: dict[str, Callable[..., Any]] = {  # what fills a Tensor -> the values
    "fill_": lambda t, value: value,
    "zero_": lambda t: 0,
    "copy_": lambda t, src, non_blocking=False: src,
    "fill_diagonal_": lambda t, value: np.where(np.eye(*t.shape) > 0, value, t.data),
}
FIRST, OFTEN = 20, 50  # the optimizer steps that are watched: the first 20, then 2 of every 50


class GradientWarning(UserWarning):
    """A loop loses gradients, or adds them up without clearing; the text says which edit fixes it."""


class _Read:
    """A sample of a gradient's entries and of its parameter's entries, taken when user code read ``grad``.

    `gradient` is a weak reference to the array. `moves` counts the reads in a row between which the parameter moved
    along the gradient, at the rate `rate`.
    """

    def __init__(self, gradient: Any, w: Array, g: Array, moves: int, rate: float) -> None:
        self.gradient, self.w, self.g, self.moves, self.rate = gradient, w, g, moves, rate


def warn_user(text: str) -> None:
    """Emit a `GradientWarning` that points at the line of user code which called this package."""
    warnings.warn(text, GradientWarning, stacklevel=_stacklevel())


def is_writable(t: Any) -> bool:
    """Tell whether a Tensor may be written into: a constant, or under no_grad a leaf; not one sample of a vmap."""
    return t._batched is None and (t.node is None or not (thread.mode.grad or t.node.inner))


def assign_data(t: Any, value: Any) -> None:
    """Give a Tensor another array, and its Node too if it is a leaf; of a Tensor take the array."""
    if type(value) is not np.ndarray:
        value = np.asarray(getattr(value, "_array", value))
    t._array, node = value, t.node
    if node is not None and node.primitive is None and not (node.notes and "input" in node.notes):  # not node.inner
        node.out = value


def _is_alone(t: Any) -> bool:
    """Tell whether nothing else holds the array of a constant, or of one that was filled with results.

    Then no view and no graph can miss that the Tensor becomes another one. The counts are those without others: the
    Tensor, its Node, and the argument of the count.
    """
    if t._array.base is not None or t._batched is not None or thread.mode.traces:
        return False
    if t.node is None:
        return t.label is None and holders(t._array) == 2  # a frozen parameter has a label
    return t.node.primitive is not None and t.node.primitive.name == "at_set" and holders(t._array) == 3


def write(t: Any, index: Any, value: Any) -> None:
    """Write into a Tensor, ``t[index] = value``: into the array of a constant, or into a copy of a leaf's array.

    The array of a leaf is replaced, since an older graph may hold it; views of a constant change with it, as in NumPy.
    A constant that nothing else refers to becomes a result if the value has a graph: ``outputs[k] = model(x)``.
    """
    live, mapped = thread.mode.grad and getattr(value, "node", None) is not None, getattr(value, "_batched", None)
    if (live or (t.node is not None and thread.mode.grad)) and mapped is None and _is_alone(t):
        _become(t, index, value)
        return
    if not is_writable(t):
        raise TypeError(NO_WRITING)
    if thread.mode.traces:
        thread.mode.refuse_writing()  # type: ignore[attr-defined]
    if live or mapped is not None:
        raise TypeError(LIVE_VALUE)
    data = t.data if t.node is None else t.data.copy()
    if not data.flags.writeable:
        raise ValueError(SHARED)
    data[index] = value.data if hasattr(value, "node") else value
    t.data = data
    if t.node is None:
        _remember_written(data)


def _become(t: Any, index: Any, value: Any) -> None:
    """Make a Tensor the result of an update of it."""
    new = t.at[index].set(value)
    t._array, t.node = new._array, new.node


def root_array(array: Array) -> Array:
    """Return the array that owns the memory of a view."""
    while type(array.base) is np.ndarray:
        array = array.base
    return array


def _remember_written(array: Array) -> None:
    """Note when the memory of an array changed: a graph that read it before has lost the values that it needs."""
    root = root_array(array)
    key = id(root)
    WRITTEN[key] = ref(root, lambda _: WRITTEN.pop(key, None)), born()


def in_place_method(t: Any, name: str, *tables: Mapping[str, Any]) -> Callable[..., Any] | None:
    """Return PyTorch's ``t.add_``, which writes what ``t.add`` returns into t; ``None`` if t is not writable."""
    if name[0] == "_" or name[-1] != "_" or not (is_writable(t) or _is_alone(t)):
        return None
    found = [FILLS[name]] if name in FILLS else [table[name[:-1]] for table in tables if name[:-1] in table]
    return partial(_write_result, name, found[0]) if found else None


def _write_result(name: str, function: Callable[..., Any], t: Any, *args: Any, **options: Any) -> Any:
    is_alone = _is_alone(t)  # before the result, whose graph holds the array
    new = function(t, *args, **options)
    data = new.data if hasattr(new, "node") else np.asarray(new)
    if data.shape != t.data.shape and name not in FILLS:
        raise ValueError(f"t.{name}: the result has shape {data.shape}, and t has {t.data.shape}. "
                         f"Write t = t.{name[:-1]}(...).")  # fmt: skip
    if not np.can_cast(data.dtype, t.data.dtype, "same_kind") and name not in FILLS:
        raise TypeError(f"t.{name}: the result has dtype {data.dtype}, and t has {t.data.dtype}. "
                        f"Write t = t.{name[:-1]}(...), or make t of floats.")  # fmt: skip
    if is_alone and thread.mode.grad and getattr(new, "node", None) is not None:
        _become(t, ..., new)
    else:
        write(t, ..., new)
    return t


def updated_in_place(t: Any, new: Any) -> Any:
    """Return the result of ``t -= step``: t itself with the new values if it may be written into, else the new Tensor.

    It may be if the new Tensor has no graph, and the same shape. A constant must have the same dtype, and must hold its
    array alone: a graph may need the old values, as where code for arrays uses ``n`` and then writes ``n += 1``.
    """
    traces, node = thread.mode.traces, t.node
    if new.node is not None or new._batched is not None or not is_writable(t) or t.data.shape != new.data.shape:
        return new
    if node is not None:
        if traces:
            return new
        t.data = np.asarray(new.data, t.data.dtype)  # a new array, since an older graph may hold the old one
    elif t.data.dtype == new.data.dtype and t.data.flags.writeable:
        if traces:
            thread.mode.refuse_writing()  # type: ignore[attr-defined]
        if not _is_alone(t):
            return new
        t.data[...] = new.data
    else:
        return new
    return t


def add_gradient(node: Node, g: Any) -> Array:
    """Return a leaf's gradient plus `g`, and note on the Node whether the old gradient was used or read before.

    The note ``summed`` is (reference to the sum, an optimizer used the old gradient, user code read the old gradient).
    """
    before, notes = node.grad, node.notes or {}
    total: Array = np.asarray(before + g)
    used, seen, last = notes.get("used"), notes.get("read"), notes.get("summed")
    piled = last is not None and last[0]() is before and last[1]
    if used is not None and used[0]() is before and before is not None and before.any():
        piled = piled or float(before.sum()) == used[1]  # the array was not changed (zeroed, say) after the step
    grew = seen is not None and seen.gradient() is before and np.array_equal(_sample(before), seen.g)
    node.note(summed=(ref(total), piled, grew))
    return total


def assign_gradient(node: Node, value: Array | None = None) -> None:
    """Set a leaf's gradient to ``None`` or to an assigned array, and drop the notes about the old gradient."""
    node.grad = value
    if node.notes is not None and not TRANSIENT.isdisjoint(node.notes):
        node.notes = {key: note for key, note in node.notes.items() if key not in TRANSIENT} or None


def replace_gradient(node: Node, g: Any) -> None:
    """Set a leaf's gradient to one computed from it, such as a clipped one, and keep the notes about its sum."""
    g = np.asarray(g)  # NumPy makes scalars of 0-d results
    last = (node.notes or {}).get("summed")
    if last is not None and last[0]() is node.grad:
        node.note(summed=(ref(g), *last[1:]))
    node.grad = g


def read_gradient(node: Node, data: Array) -> Array | None:
    """Return the gradient that user code reads; warn if there is none because this is no leaf, or if it only grows."""
    g = node.grad
    if g is None:
        if node.primitive is not None:
            warn_user(LOST.format(made=node.primitive.name))
    elif node.notes is not None and "summed" in node.notes:
        _warn_if_summed(node, g, data, node.notes)
    return g


def _warn_if_summed(node: Node, g: Array, data: Array, notes: dict[str, Any]) -> None:
    """Warn if, twice in a row, a parameter moved along the gradient read before, and the next was added to that one."""
    last, before = notes["summed"], notes.get("read")
    if last[0]() is not g or "used" in notes or (before is not None and before.gradient() is g):
        return
    w, some = _sample(data), _sample(g)
    moves, rate = 0, 0.0
    if last[2] and before is not None and before.w.shape == w.shape:
        rate = _rate(w - before.w, before.g, float(np.abs(w).max(initial=0.0)), g.dtype)
        moves = before.moves + 1 if rate and (not before.moves or abs(rate - before.rate) < 1e-6 * rate) else 0
    if moves == 2:  # two moves along the gradient at the same rate are no coincidence
        name = f"{notes['name']!r}" if "name" in notes else f"a parameter of shape {g.shape}"
        warn_user(PILED.format(call="w.grad", name=name, edit="w.grad = None."))
    node.note(read=_Read(ref(g), w, some, moves if moves < 2 else -(2**62), rate))


class Watch:
    """Watches an optimizer's gradients and warns once if one that a step used was added to instead of cleared."""

    def __init__(self) -> None:
        self.steps, self.said = 0, False

    def gradients(self, call: str, parameters: Sequence[Any], edit: str) -> list[Array | None]:
        """Return the gradients that a step is going to use; warn, once, if one contains a gradient used before."""
        found: list[Array | None] = []
        for t in parameters:
            node: Node | None = t.node
            if node is None:  # a frozen parameter has no Node
                found.append(None)
                continue
            found.append(node.grad)
            last = node.notes.get("summed") if node.notes is not None else None
            if last is not None and last[1] and last[0]() is node.grad and not self.said:
                self.said = True
                name = repr(t.name) if t.name else f"a parameter of shape {t.shape}"
                warn_user(PILED.format(call=call, name=name, edit=edit))
        return found

    def after(self, groups: Sequence[Any]) -> None:
        """Note on every parameter in these groups that a step has used its gradient."""
        if self.steps < FIRST or self.steps % OFTEN < 2:
            for t in [t for group in groups for t in group.parameters]:
                if t.node is not None and isinstance(t.node.grad, np.ndarray):
                    t.node.note(used=(ref(t.node.grad), float(t.node.grad.sum())))
        self.steps += 1


def _sample(x: Any) -> Array:
    """Return a copy of about 32 evenly spaced entries, all of them if there are fewer."""
    flat = np.asarray(x).reshape(-1)
    return np.array(flat[:: max(1, flat.size // 32)], float)


def _rate(d: Array, g: Array, size: float, dtype: Any) -> float:
    """Return c > 0 such that d = -c g up to rounding, else 0; `size` is the parameter's largest absolute entry."""
    square = float(g @ g)
    c = -float(d @ g) / square if square else 0.0
    rounding, far = 4 * float(np.finfo(dtype).eps) * size, float(np.abs(d).max(initial=0.0))
    fits = c > 0 and far > 1000 * rounding and np.abs(d + c * g).max() <= 2 * rounding + 1e-6 * far
    return c if fits else 0.0


def _stacklevel() -> int:
    """Return the ``stacklevel`` with which `warnings.warn` in `warn_user` names the first frame outside the package."""
    frame, level = sys._getframe(1), 1
    package = __name__.rpartition(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
