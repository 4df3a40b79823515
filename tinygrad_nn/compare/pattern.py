"""Describe in words which part of a gradient is wrong, and how the wrong entries differ from the right ones.

The part may be rows, columns, or entries; the difference may be a factor, an added number, or another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

FEW = 6  # how many numbers a list shows; of a longer one, the first ones
NOTHING = 1e-12  # a number below this share of another one is taken for rounding
CLOSE = 1e-7  # relative error up to which a relation between two arrays is taken to hold


def describe(name: str, got: Array, right: Array, bad: Array, close: float = CLOSE) -> str:
    """Return sentences that say which part of an array is wrong, and how it differs from the right one.

    Args:
        name: the name of the array, ``dW``.
        got, right: the wrong array and the right one, of one shape.
        bad: a boolean mask of the entries that differ by more than rounding.
        close: the relative error up to which a relation between the two is taken to hold.

    Example:
        >>> right = np.array([[1.0, 2.0], [3.0, 5.0]])
        >>> describe("dW", right * [[1], [-2]], right, np.array([[False, False], [True, True]]))
        'Row 1 of dW is wrong, the other is right. Each wrong entry is -2 times the right one.'
    """
    if not bad.any():  # all differences are below the tolerance of an explanation, and still no rounding errors
        bad = np.abs(got - right) == np.abs(got - right).max()
    where = _where(name, bad)
    where = where[0].upper() + where[1:] if " " in name else where
    if int(bad.sum()) == 1:
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        return f"{where}: {_entry_text(got, right, index)}."
    how = next(_relations(got, right, bad, close), "")
    if how:
        each = "Each entry" if bad.all() else "Each wrong entry"
        return f"{where}. {how if how.endswith('.') else f'{each} is {how}.'}"
    with np.errstate(invalid="ignore"):
        apart = np.where(bad, np.abs(got - right), -1)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(apart)), bad.shape))
    return f"{where}. The largest difference is at {list(index)}: {_entry_text(got, right, index)}."


def number_text(value: Any) -> str:
    """Return a number with six digits; for a complex number, both parts."""
    return f"{value:.6g}"


def fraction(value: float, tolerance: float = 1e-9) -> str:
    """Return a number as text, as a fraction with small numerator and denominator if it is one.

    Example:
        >>> fraction(-4.0), fraction(1 / 6), fraction(0.1234567)
        ('-4', '1/6', '0.123457')
    """
    if not np.isfinite(value):
        return str(value)
    found = Fraction(value).limit_denominator(64)
    small = found.denominator == 1 or (abs(found.numerator) <= 64 and found.denominator not in (10, 20, 25, 40, 50))
    return str(found) if small and abs(float(found) - value) <= tolerance * abs(value) else distinct_text(value, 1.0)


def distinct_text(value: float, other: float) -> str:
    """Return a number with at least six digits, and with as many as it takes to look different from `other`."""
    return next((text for n in range(6, 18) if (text := f"{value:.{n}g}") != f"{other:.{n}g}"), f"{value:.17g}")


def _factor_text(s: float) -> str:
    """Return a factor other than 1 as text that does not read ``1``."""
    text = fraction(s)
    return distinct_text(s, 1.0) if text == "1" else text


def _entry_text(got: Array, right: Array, index: tuple[int, ...]) -> str:
    g, r = got[index], right[index]
    if np.isnan(r):
        return f"it is {number_text(g)}, and the right one could not be computed: it came out as nan"
    if np.iscomplexobj(g) or np.iscomplexobj(r):
        return f"it is {number_text(g)}, and should be {number_text(r)}"
    known = abs(r) > NOTHING * np.abs(g)  # if the right entry is 0 up to rounding, the factor means nothing
    times = f" (ratio {distinct_text(g / r, 1.0)})" if known and np.isfinite(g / r) else ""
    return f"it is {distinct_text(g, r)}, and should be {distinct_text(r, g)}{times}"


def list_text(numbers: Sequence[Any]) -> str:
    """Return numbers as a list in words; of a long list, the first ones and how many there are."""
    texts = [str(n) for n in numbers]
    if len(texts) > FEW:
        return f"{', '.join(texts[:FEW])}, ... ({len(texts)} in all)"
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def _rest_text(count: int) -> str:
    return "the other is right" if count == 1 else f"the other {count} are right"


def _where(name: str, bad: Array) -> str:
    """Return the sentence that says which entries are wrong."""
    wrong, size = int(bad.sum()), bad.size
    if size == 1:
        return f"{name} is wrong"
    if wrong == size:
        return f"Every entry of {name} is wrong"
    places = np.argwhere(bad)
    for axis, called in enumerate(("row", "column") if bad.ndim == 2 else ()):
        hit: Array = np.asarray(bad.any(axis=1 - axis))
        if (bad == np.expand_dims(hit, 1 - axis)).all():
            lines, one = np.flatnonzero(hit).tolist(), int(hit.sum()) == 1
            what = called.capitalize() + ("" if one else "s")
            verb = "is" if one else "are"
            return f"{what} {list_text(lines)} of {name} {verb} wrong, {_rest_text(len(hit) - len(lines))}"
    if bad.ndim == 2 and bad.shape[0] == bad.shape[1]:
        eye = np.eye(len(bad), dtype=bool)
        for shape, called in ((eye, "The diagonal"), (~eye, "All but the diagonal"),
                              (np.triu(~eye), "The part above the diagonal"),
                              (np.tril(~eye), "The part below the diagonal")):  # fmt: skip
            if (bad == shape).all():
                return f"{called} of {name} is wrong, the rest is right"
    for axis in range(bad.ndim if bad.ndim != 1 else 0):
        others = tuple(a for a in range(bad.ndim) if a != axis)
        hit = np.asarray(bad.any(axis=others))
        if (bad == np.expand_dims(hit, others)).all():
            lines = np.flatnonzero(hit).tolist()
            one = len(lines) == 1
            return (f"{'Index' if one else 'Indices'} {list_text(lines)} along axis {axis} of {name} "
                    f"{'is' if one else 'are'} wrong, the rest is right")  # fmt: skip
    if wrong == 1:
        return f"Entry {[int(i) for i in places[0]]} of {name} is wrong, {_rest_text(size - 1)}"
    text = list_text([[int(i) for i in place] for place in places])
    return f"Entries {text} of {name} are wrong, {_rest_text(size - wrong)}"


def _relations(got: Array, right: Array, bad: Array, close: float) -> Iterator[str]:
    """Yield the relations between the wrong entries and the right ones that hold, the simplest first."""
    g, r = got[bad], right[bad]
    if g.dtype.kind == "c" or not np.isfinite(g).all():
        return
    with np.errstate(all="ignore"):
        size = max(float(np.abs(g).max()), float(np.abs(r).max()))
        # the error that a relation leaves must be much smaller than the difference that it explains
        allowed = min(close * size, 1e-3 * float(np.abs(g - r).max()))

        def holds(wanted: Any) -> bool:
            return bool((np.abs(g - wanted) <= allowed).all())

        if not g.any():
            yield "0"
        if len(g) > 1:
            s = _multiple(g, r)
            if holds(s * r):
                yield "minus the right one" if abs(s + 1) < close else f"{_factor_text(s)} times the right one"
            c = float(np.mean(g - r))
            if holds(r + c):
                yield f"the right one plus {number_text(c)}" if c > 0 else f"the right one minus {number_text(-c)}"
            if holds(float(g[0])):
                yield f"{number_text(g[0])} throughout"
        if len(g) > 2:
            top = float(np.abs(g).max())
            for text, wanted in (
                ("the absolute value of the right one", np.abs(r)), ("the sign of the right one", np.sign(r)),
                ("the square of the right one", r * r), ("the right one cubed", r**3), ("1 over the right one", 1 / r),
                (f"the right one, cut off at ±{number_text(top)}", np.clip(r, -top, top)),
            ):  # fmt: skip
                if holds(wanted):
                    yield text
            for digits in range(5):
                if (g == np.round(r, digits)).all():
                    yield f"the right one, rounded to {digits} digits after the point"
        yield from _by_line(got, right, bad, allowed)


def _by_line(got: Array, right: Array, bad: Array, allowed: float) -> Iterator[str]:
    """Yield relations of a matrix that differ from row to row or column to column, and permutations of these."""
    if got.ndim != 2 or min(got.shape) < 2:
        return
    for axis, called in enumerate(("row", "column")):
        g, r, b = (np.moveaxis(x, axis, 0) for x in (got, right, bad))
        lines = np.flatnonzero(b.any(axis=1))
        for find, text in ((_factor, "{} is {} times the right one"), (_shift, "{} is the right one plus {}")):
            values = [find(g[i], r[i], allowed) for i in lines]
            said = [text.format(f"{called} {i}", distinct_text(v, 1.0)) for i, v in zip(lines, values, strict=True)
                    if v is not None]  # fmt: skip
            if len(said) == len(lines):
                yield f"{list_text(said).capitalize()}."
        order = _order(g, r, allowed)
        if order is not None:
            said = [f"{called} {i} holds what belongs in {called} {j}" for i, j in enumerate(order) if i != j]
            yield f"Its {called}s are right, but in another order: {list_text(said)}."


def _multiple(g: Array, r: Array) -> float:
    """Return the factor s that minimizes the distance between s r and g."""
    size = float(np.abs(r).max()) or 1.0
    return float((g / size) @ (r / size)) / (float((r / size) @ (r / size)) or 1.0)


def _factor(g: Array, r: Array, allowed: float) -> float | None:
    s = _multiple(g, r)
    return s if (np.abs(g - s * r) <= allowed).all() else None


def _shift(g: Array, r: Array, allowed: float) -> float | None:
    c = float(np.mean(g - r))
    return c if (np.abs(g - r - c) <= allowed).all() else None


def _order(g: Array, r: Array, allowed: float) -> list[int] | None:
    """Return for each line of `g` the index of the equal line of `r`, each used once, or None if there is no match."""
    if len(g) > 64:
        return None
    order = []
    for line in g:
        found = [j for j, other in enumerate(r) if j not in order and (np.abs(line - other) <= allowed).all()]
        if not found:
            return None
        order.append(found[0])
    return order
