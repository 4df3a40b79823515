"""Leaves in a training loop: how they move and sum gradients, and what is said, once, of lost and uncleared ones."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any
from weakref import ref

import numpy as np

from .node import TRANSIENT, Node, thread

Array = np.ndarray[Any, Any]
LOST = (
    "this Tensor was made by {made}, so it is no leaf, and `backward` leaves no gradient in it: its grad is None. "
    "A parameter stays a leaf where its data moves: instead of w = w - lr * w.grad write w.data -= lr * w.grad, or let "
    "optim.SGD([w], lr=lr).step() or optim.Minimizer([w], 'sgd', lr).step() do it. The gradient of a value on the way "
    "is kept by backward(retain_grads=True)."
)
PILED = (
    "{call}: {name} was moved by its gradient, and the next backward added to that same gradient, so that it grows "
    "from step to step. Clear it before each backward: {edit}"
)
FIRST, OFTEN = 20, 50  # the steps of an optimizer that are watched: the first, and two of so many later on


class GradientWarning(UserWarning):
    """A loop loses gradients, or piles them up; the text says which edit mends it."""


class _Read:
    """A gradient as a person read it, and the parameter at that time: both by some of their entries."""

    def __init__(self, gradient: Any, w: Array, g: Array, moves: int, rate: float) -> None:
        self.gradient, self.w, self.g, self.moves, self.rate = gradient, w, g, moves, rate


def say(text: str) -> None:
    """Warn at the line of the person who called us."""
    warnings.warn(text, GradientWarning, stacklevel=_outside())


def moved(t: Any, new: Any) -> Any:
    """Give a leaf new data where nothing is recorded, as PyTorch does by ``w -= step``; else return the new Tensor."""
    mode, node = thread.mode, t.node
    if mode.grad or mode.traces or node is None or node.inner or t.data.shape != new.data.shape:
        return new
    t.data = node.out = np.asarray(new.data, t.data.dtype)  # a new array, since an older graph may hold the old one
    return t


def summed(node: Node, g: Any) -> Array:
    """Return the gradient of a leaf with one more contribution, and remember what the sum began with."""
    before, notes = node.grad, node.notes or {}
    total: Array = np.asarray(before + g)
    used, seen, last = notes.get("used"), notes.get("read"), notes.get("summed")
    piled = last is not None and last[0]() is before and last[1]
    if used is not None and used[0]() is before and before is not None and before.any():
        piled = piled or float(before.sum()) == used[1]  # nobody wrote into it after the step
    grew = seen is not None and seen.gradient() is before and np.array_equal(_sample(before), seen.g)
    node.note(summed=(ref(total), piled, grew))
    return total


def cleared(node: Node, value: Array | None = None) -> None:
    """Put ``None``, or what a person assigns, in the place of a gradient, and forget what was remembered of it."""
    node.grad = value
    if node.notes is not None and not TRANSIENT.isdisjoint(node.notes):
        node.notes = {key: note for key, note in node.notes.items() if key not in TRANSIENT} or None


def replaced(node: Node, g: Any) -> None:
    """Put a gradient made of the old one in its place, such as a clipped one: a pile stays a pile."""
    g = np.asarray(g)  # NumPy makes scalars of 0-d results
    last = (node.notes or {}).get("summed")
    if last is not None and last[0]() is node.grad:
        node.note(summed=(ref(g), *last[1:]))
    node.grad = g


def read(node: Node, data: Array) -> Array | None:
    """Return the gradient that a person asks for, and say so where there is none for want of a leaf, or it grows."""
    g = node.grad
    if g is None:
        if node.primitive is not None:
            say(LOST.format(made=node.primitive.name))
    elif node.notes is not None and "summed" in node.notes:
        _look(node, g, data, node.notes)
    return g


def _look(node: Node, g: Array, data: Array, notes: dict[str, Any]) -> None:
    """Compare a sum of gradients that is read with the last that was: has the parameter moved along that one?"""
    last, before = notes["summed"], notes.get("read")
    if last[0]() is not g or "used" in notes or (before is not None and before.gradient() is g):
        return
    w, some = _sample(data), _sample(g)
    moves, rate = 0, 0.0
    if last[2] and before is not None and before.w.shape == w.shape:
        rate = _rate(w - before.w, before.g, float(np.abs(w).max(initial=0.0)), g.dtype)
        moves = before.moves + 1 if rate and (not before.moves or abs(rate - before.rate) < 1e-6 * rate) else 0
    if moves == 2:  # twice by the same share of the same sum: no accident
        name = f"{notes['name']!r}" if "name" in notes else f"a parameter of shape {g.shape}"
        say(PILED.format(call="w.grad", name=name, edit="w.grad = None."))
    node.note(read=_Read(ref(g), w, some, moves if moves < 2 else -(2**62), rate))


class Watch:
    """What an optimizer looks at: whether gradients that it has used come back with more added to them."""

    def __init__(self) -> None:
        self.steps, self.said = 0, False

    def gradients(self, call: str, parameters: Sequence[Any], edit: str) -> list[Array | None]:
        """Return the gradients that a step is going to use, and look whether one of them grows."""
        found: list[Array | None] = []
        for t in parameters:
            node: Node | None = t.node
            if node is None:  # what is frozen has no node
                found.append(None)
                continue
            found.append(node.grad)
            last = node.notes.get("summed") if node.notes is not None else None
            if last is not None and last[1] and last[0]() is node.grad and not self.said:
                self.said = True
                name = repr(t.name) if t.name else f"a parameter of shape {t.shape}"
                say(PILED.format(call=call, name=name, edit=edit))
        return found

    def after(self, groups: Sequence[Any]) -> None:
        """Mark the gradients that a step has used: those of all parameters of these groups."""
        if self.steps < FIRST or self.steps % OFTEN < 2:
            for t in [t for group in groups for t in group.parameters]:
                if t.node is not None and isinstance(t.node.grad, np.ndarray):
                    t.node.note(used=(ref(t.node.grad), float(t.node.grad.sum())))
        self.steps += 1


def _sample(x: Any) -> Array:
    """Return a copy of at most 32 entries."""
    flat = np.asarray(x).reshape(-1)
    return np.array(flat[:: max(1, flat.size // 32)], float)


def _rate(d: Array, g: Array, size: float, dtype: Any) -> float:
    """Return c where d is -cg but for rounding and c is positive, else 0."""
    square = float(g @ g)
    c = -float(d @ g) / square if square else 0.0
    rounding, far = 4 * float(np.finfo(dtype).eps) * size, float(np.abs(d).max(initial=0.0))
    fits = c > 0 and far > 1000 * rounding and np.abs(d + c * g).max() <= 2 * rounding + 1e-6 * far
    return c if fits else 0.0


def _outside() -> int:
    """Return the level of the first frame outside of this package, as `warnings.warn` counts from `say`."""
    import sys

    frame, level = sys._getframe(1), 1
    package = __name__.rpartition(".")[0]
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] == package:
        frame, level = frame.f_back, level + 1
    return level
