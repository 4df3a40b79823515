"""Mistakes at reductions and broadcasts: sums, means, variances, maxima and minima, norms."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np

from ...ops.reduce import axes_of, count, expand, keep_axes
from ..paths import Array, Traced, args_of
from .mistake import PLAIN, RARE, USUAL, Mistake, Site, Wrong, differentiated_arguments, finds

BROADCASTS = ("add", "subtract", "multiply", "divide", "affine", "maximum", "minimum", "where", "power", "broadcast_to")


@finds(*BROADCASTS)
def broadcasts(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield wrong ways to sum a gradient back to the shape of an argument that was broadcast."""
    node = graph.operations[place]
    out, name = np.shape(node.out), node.primitive.name  # type: ignore[union-attr]
    for slot in differentiated_arguments(node):
        shape = np.shape(args_of(node)[slot])
        small = prod(shape) < prod(out)
        if shape == out or not small or (name == "affine" and slot != 2):
            continue

        def reduced(how: Any, slot: int = slot, shape: tuple[int, ...] = shape) -> Wrong:
            def wrong(s: Site) -> Any:
                r = s.slots[slot]
                if np.shape(r) != np.shape(s.out):
                    r = np.broadcast_to(s.g, np.shape(s.out))
                value = np.asarray(how(np.asarray(r)))
                if value.size == prod(shape):
                    value = value.reshape(shape)
                return value if value.shape == shape else np.full(shape, np.nan)

            return wrong

        axes = [i for i in range(len(out)) if i < len(out) - len(shape) or shape[i - len(out) + len(shape)] != out[i]]
        yield Mistake("broadcast_not_summed", "A value that was broadcast is used in many places, so its gradient is "
                      "the sum over them. That sum is missing.",
                      lambda s, i=slot: s.slots[i], slot, is_unsummed=True)  # fmt: skip
        if prod(shape) == 1 or len(out) < 2:
            yield from _one_row_only(out, slot, reduced)
            continue
        for axis in range(len(out)):
            if [axis] != axes:
                yield Mistake("wrong_axis_sum", f"A broadcast was summed back over axis {axis} only, the wrong one.",
                              reduced(lambda r, axis=axis: r.sum(axis=axis)), slot)  # fmt: skip
        yield Mistake("wrong_axis_sum", "A broadcast was summed back over all axes.",
                      reduced(lambda r, shape=shape: np.full(shape, r.sum())), slot)  # fmt: skip
        yield from _one_row_only(out, slot, reduced)
        over = tuple(axes)
        yield Mistake("scale", "A broadcast was averaged in the backward pass; it should be summed.",
                      reduced(lambda r, over=over: r.mean(axis=over)), slot, cost=PLAIN)  # fmt: skip


def _one_row_only(out: tuple[int, ...], slot: int, reduced: Any) -> Iterator[Mistake]:
    for which, row in (("last", -1), ("first", 0)):
        text = (f"Only the {which} of the rows that a value was broadcast to contributes to the gradient; all rows "
                "should be added.")  # fmt: skip
        yield Mistake("overwritten_not_accumulated", text, reduced(lambda r, row=row: r[row]), slot)


def _options(s: Site) -> tuple[Any, Any]:
    """Return the axis, and the number of entries that are reduced to each result."""
    axis = s.meta.get("axis")
    return axis, count(s.args[0], axis)


def _kept_axes(x: Array, axis: Any) -> tuple[int, ...]:
    """Return the axes that were not reduced."""
    return tuple(i for i in range(x.ndim) if i not in axes_of(axis, x.ndim))


@finds("mean", "sum")
def sums(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of means and sums that are divided by a wrong number, or spread to wrong entries."""
    node = graph.operations[place]
    name: str = node.primitive.name  # type: ignore[union-attr]
    if node.meta.get("where") is not None:
        return
    x, axis = np.asarray(args_of(node)[0]), node.meta.get("axis")
    if name == "mean":
        yield Mistake("scale", "The gradient of a mean is not divided by the number of its entries.",
                      lambda s: expand(s.g, s.args[0], _options(s)[0]), 0, cost=PLAIN)  # fmt: skip
    else:
        yield Mistake("scale", "The gradient of a sum is divided by the number of its entries, as that of a mean.",
                      lambda s: s.slots[0] / _options(s)[1], 0, cost=PLAIN)  # fmt: skip
    across = _kept_axes(x, axis)
    if name == "mean" and across and count(x, axis) != count(x, across):
        yield Mistake("wrong_axis", "The gradient of a mean is divided by the length of another axis.",
                      lambda s: s.slots[0] * _options(s)[1]
                      / count(s.args[0], _kept_axes(s.args[0], _options(s)[0])), 0)  # fmt: skip
    if x.ndim == 2 and x.shape[0] == x.shape[1] and len(across) == 1:
        yield Mistake("wrong_axis", f"The gradient of a {name} is spread along the wrong axis.",
                      lambda s: np.swapaxes(s.slots[0], 0, 1), 0)  # fmt: skip
    for which, row in (("last", -1), ("first", 0)):
        text = f"Only the {which} of the entries of a {name} gets a gradient."
        yield Mistake("overwritten_not_accumulated", text, lambda s, row=row: _single_row(s, row), 0, cost=RARE)


def _single_row(s: Site, row: int) -> Any:
    axis = axes_of(s.meta.get("axis"), s.args[0].ndim)[0]
    made = np.zeros_like(s.args[0])
    index = (slice(None),) * axis + (row,)
    made[index] = np.asarray(s.slots[0])[index]
    return made


def _centred(s: Site) -> Any:
    axis = s.meta.get("axis")
    mean = s.args[1] if len(s.args) > 1 else s.args[0].mean(axis=axis, keepdims=True)
    return s.args[0] - mean


def _freedom(s: Site) -> float:
    correction = s.meta.get("correction")
    return float(s.meta.get("ddof", 0) if correction is None else correction)


def _var(s: Site, g: Any, centred: Any, n: Any) -> Any:
    return expand(g, s.args[0], s.meta.get("axis")) * 2 / n * centred


@finds("var", "std", "var_about")
def variances(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of variances and standard deviations without the mean, or with a wrong divisor, axis or root."""
    node = graph.operations[place]
    name: str = node.primitive.name  # type: ignore[union-attr]
    if 0 not in differentiated_arguments(node) or node.meta.get("where") is not None:
        return
    what = "standard deviation" if name == "std" else "variance"

    def g(s: Site) -> Any:
        return s.g * 0.5 / s.out if name == "std" else s.g

    def n(s: Site) -> float:
        return float(_options(s)[1] - _freedom(s))

    yield Mistake("wrong_value", f"In the gradient of the {what}, x is used instead of its deviation from the mean.",
                  lambda s: _var(s, g(s), s.args[0], n(s)), 0)  # fmt: skip
    for other, ddof in (("n", 0), ("n - 1", 1)):
        text = f"The gradient of the {what} is divided by {other}; the {what} itself by n - ddof."
        yield Mistake("wrong_ddof", text, lambda s, d=ddof: s.slots[0] * n(s) / max(_options(s)[1] - d, 1), 0)
    yield Mistake("scale", f"The gradient of the {what} is not divided by the number of entries.",
                  lambda s: s.slots[0] * n(s), 0, cost=RARE)  # fmt: skip
    across = _kept_axes(np.asarray(args_of(node)[0]), node.meta.get("axis"))
    if across:
        yield Mistake("wrong_axis", f"The gradient of the {what} is divided by the length of another axis.",
                      lambda s: s.slots[0] * n(s) / count(s.args[0], _kept_axes(s.args[0], s.meta.get("axis"))), 0,
                      cost=RARE)  # fmt: skip
    if name == "std":
        yield Mistake("missing_factor", "The gradient of the standard deviation is not divided by it.",
                      lambda s: _var(s, s.g * 0.5, _centred(s), n(s)), 0)  # fmt: skip
        yield Mistake("wrong_derivative", "The gradient of the standard deviation is divided by the variance.",
                      lambda s: _var(s, s.g * 0.5 / s.out**2, _centred(s), n(s)), 0)  # fmt: skip
        yield Mistake("wrong_derivative", "The gradient of the standard deviation is multiplied by it.",
                      lambda s: _var(s, s.g * 0.5 * s.out, _centred(s), n(s)), 0)  # fmt: skip


@finds("max", "min")
def extremes(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a maximum or minimum that go to other entries than the chosen one."""
    node = graph.operations[place]
    name: str = node.primitive.name  # type: ignore[union-attr]
    if node.meta.get("where") is not None:
        return

    def won(s: Site) -> Any:
        return s.args[0] == keep_axes(s.out, s.args[0], s.meta.get("axis"))

    def spread_gradient(s: Site) -> Any:
        return expand(s.g, s.args[0], s.meta.get("axis"))

    yield Mistake("mask_missing", f"The gradient of {name} goes to all entries; it should go to the chosen one.",
                  spread_gradient, 0)  # fmt: skip
    yield Mistake("mask_missing", f"The gradient of {name} is divided among all entries, as that of a mean.",
                  lambda s: spread_gradient(s) / _options(s)[1], 0)  # fmt: skip
    yield Mistake("ties", "Each of several equal entries gets the whole gradient; they should share it.",
                  lambda s: spread_gradient(s) * won(s), 0)  # fmt: skip
    yield Mistake("wrong_value", f"The gradient of {name} is multiplied by the value.",
                  lambda s: s.slots[0] * s.args[0], 0)  # fmt: skip
    yield Mistake("mask_missing", f"The gradient of {name} goes to all entries but the chosen one.",
                  lambda s: spread_gradient(s) * ~won(s), 0)  # fmt: skip
    yield from _wrongly_placed(name)


def _wrongly_placed(name: str) -> Iterator[Mistake]:
    def at(pick: Any) -> Wrong:
        def wrong(s: Site) -> Any:
            x, axis = s.args[0], s.meta.get("axis")  # type: Any, Any
            if axis is not None and not isinstance(axis, int):
                return np.full(x.shape, np.nan)
            flat = axis is None
            where = pick(x.reshape(-1), 0) if axis is None else np.expand_dims(pick(x, axis), axis)
            made = np.zeros(x.size if flat else x.shape, x.dtype)
            if flat:
                made[where] = np.asarray(s.g).reshape(-1)[0]
                return made.reshape(x.shape)
            np.put_along_axis(made, where, keep_axes(s.g, x, axis), axis)
            return made

        return wrong

    other = np.argmin if name == "max" else np.argmax
    yield Mistake("wrong_index", f"The gradient of {name} goes to the opposite extreme.", at(other), 0)
    yield Mistake("wrong_index", f"The gradient of {name} always goes to the first entry.",
                  at(lambda x, axis: np.zeros(np.delete(x.shape, axis), int) if x.ndim > 1 else 0), 0)  # fmt: skip
    yield Mistake("wrong_index", f"The gradient of {name} goes to the entry of the largest absolute value.",
                  at(lambda x, axis: np.argmax(np.abs(x), axis)), 0)  # fmt: skip
    chosen = np.argmax if name == "max" else np.argmin
    yield Mistake("ties", "The whole gradient goes to the first of several equal entries; it should be shared.",
                  at(chosen), 0, cost=USUAL)  # fmt: skip


@finds("vector_norm")
def norms(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a norm with a wrong power of the norm, or with x missing."""
    node = graph.operations[place]
    if 0 not in differentiated_arguments(node):
        return
    if node.meta.get("ord", 2) not in (2, None):
        yield Mistake("wrong_derivative", "The gradient of the norm is x; it should be the sign of x.",
                      lambda s: expand(s.g, s.args[0], s.meta.get("axis")) * s.args[0], 0)  # fmt: skip
        return

    def over(s: Site, power: float) -> Any:
        x, axis = s.args[0], s.meta.get("axis")
        return expand(s.g, x, axis) * x / keep_axes(s.out, x, axis) ** power

    for text, power in (("not divided by the norm", 0.0), ("divided by the square of the norm", 2.0),
                        ("multiplied by the norm", -1.0)):  # fmt: skip
        yield Mistake("missing_factor" if power == 0 else "wrong_derivative", f"The gradient of a norm is {text}.",
                      lambda s, p=power: over(s, p), 0)  # fmt: skip
    yield Mistake("wrong_derivative", "The gradient of a norm is the sign of x, which is that of the sum of |x|.",
                  lambda s: expand(s.g, s.args[0], s.meta.get("axis")) * np.sign(s.args[0]), 0)  # fmt: skip
    yield Mistake("missing_factor", "The gradient of a norm is passed to all entries; x over the norm is missing.",
                  lambda s: expand(s.g, s.args[0], s.meta.get("axis")), 0)  # fmt: skip
