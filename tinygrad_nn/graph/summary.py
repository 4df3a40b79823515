"""Short texts for numbers and arrays in drawings and tables; the text is the same on every machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

SMALL = 64  # up to this many entries, sums are exact (math.fsum), so that they are the same on every machine
FEW = 6  # up to this many entries, the numbers are shown; larger arrays show minimum, mean and maximum


def bytes_text(n: float) -> str:
    """Return a number of bytes as a short text.

    Example:
        >>> bytes_text(80), bytes_text(20480), bytes_text(999_999), bytes_text(3211264)
        ('80 B', '20.5 kB', '1 MB', '3.21 MB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= 0.9995 * size:  # which rounds to 1
            return f"{n / size:.3g} {unit}"
    return f"{n:.0f} B"


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as text: ``2 × 3``, or ``scalar``."""
    return " × ".join(map(str, shape)) or "scalar"


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary of an array, with four significant digits.

    Attributes:
        text: the numbers in brackets if there are at most six, else ``min ... mean ... max ...``.
        numbers: the entries in order (complex ones as text) if there are at most six, else ``None``.
        minimum, mean, maximum: over the finite entries (of their absolute values if complex); ``None`` if there are no
            finite entries.
        norm: the Euclidean norm of the finite entries.
        nan, infinite: the numbers of NaN and of infinite entries.
    """

    text: str
    numbers: tuple[float | str, ...] | None
    minimum: float | None
    mean: float | None
    maximum: float | None
    norm: float
    nan: int
    infinite: int

    @property
    def absolute(self) -> bool:
        """Whether minimum, mean and maximum are of absolute values, as the entries are complex."""
        return self.text.startswith("abs ") or any(isinstance(n, str) and n.endswith("j") for n in self.numbers or ())


def _exact(array: Array) -> Summary | None:
    """Return the summary of a small real array without NumPy; ``None`` if an entry or a sum is not finite."""
    numbers = array.ravel().tolist()
    low, high = min(numbers), max(numbers)
    try:
        norm, mean = math.hypot(*numbers), math.fsum(numbers) / len(numbers)
    except (OverflowError, ValueError):  # infinities of both signs
        return None
    if not math.isfinite(norm):
        return None
    mean = 0.0 if abs(mean) <= 1e-15 * max(-low, high) else mean
    low, mean, high = _round(low), _round(mean), _round(high)
    if len(numbers) > FEW:
        text = f"min {short_number(low)} mean {short_number(mean)} max {short_number(high)}"
        return Summary(text, None, low, mean, high, _round(norm), 0, 0)
    return Summary(nested_text(array.tolist()), tuple(map(json_number, numbers)), low, mean, high, _round(norm), 0, 0)


def _mean(x: Array) -> Any:
    """Return the mean, or 0 if it is only rounding error, which differs between machines."""
    mean = x.mean()
    return mean if abs(mean) > 1e-15 * np.abs(x).max() else 0.0


def root_mean_square(array: Array) -> float:
    """Return the root of the mean of the squares of an array, 0 if it is empty.

    Example:
        >>> root_mean_square(np.array([3.0, 4.0])) == 12.5**0.5, root_mean_square(np.full(100, 1e-200))
        (True, 1e-200)
    """
    with np.errstate(all="ignore"):
        x = np.abs(array).astype(np.float64)
        return float(_in_range(x, lambda x: np.sqrt(np.mean(x * x)))) if x.size else 0.0


def _in_range(x: Array, size: Callable[[Array], Any]) -> Any:
    """Return a size of an array that is computed from squares, also if these are too small or too large for a float."""
    found = size(x)
    if 1e-140 < found < math.inf:
        return found
    most = np.abs(x).max(initial=0.0)
    return most * size(x / most) if 0 < most < math.inf else found


def _round(number: Any) -> float:
    return float(f"{number + 0.0:.4g}")


def summarize(array: Array) -> Summary:
    """Return the summary of an array.

    Example:
        >>> summarize(np.array([[1.0, 2.5]])).text, summarize(np.arange(9.0)).text
        ('[[1, 2.5]]', 'min 0 mean 4 max 8')
    """
    size = array.size
    if size == 0:
        return Summary("empty", (), None, None, None, 0.0, 0, 0)
    if size <= SMALL and array.dtype.kind in "fbiu":
        exact = _exact(array)
        if exact is not None:
            return exact
    with np.errstate(all="ignore"):
        x = np.asarray(np.abs(array) if array.dtype.kind == "c" else array, dtype=np.float64).ravel()
        finite = np.isfinite(x)
        nan = infinite = 0
        if not finite.all():
            nan, infinite = int(np.isnan(x).sum()), int(np.isinf(x).sum())
            x = x[finite]
        low, mean, high = (_round(f(x)) for f in (np.min, _mean, np.max)) if x.size else (None, None, None)
        norm = _round(_in_range(x, lambda x: np.sqrt(np.dot(x, x))))
    if size <= FEW:
        numbers = array.ravel().tolist()
        text = nested_text(array.tolist())
        return Summary(text, tuple(json_number(n) for n in numbers), low, mean, high, norm, nan, infinite)
    parts = [f"{word} {short_number(n)}" for word, n in (("min", low), ("mean", mean), ("max", high)) if n is not None]
    parts += [f"{count} {word}" for count, word in ((nan, "nan"), (infinite, "inf")) if count]
    text = " ".join([*(["abs"] if array.dtype.kind == "c" else []), *parts])
    return Summary(text, None, low, mean, high, norm, nan, infinite)


def short_number(number: Any) -> str:
    """Return a number as text with four significant digits, the same on every machine.

    Example:
        >>> short_number(2 / 3), short_number(-0.0), short_number(True), short_number(1e-7), short_number(1 - 2j)
        ('0.6667', '0', 'True', '1e-07', '1-2j')
    """
    if type(number) is float:  # the most frequent case
        return f"{number + 0.0:.4g}"  # + 0.0 turns -0.0 into 0.0
    if isinstance(number, (bool, np.bool_)):
        return str(bool(number))
    if isinstance(number, complex):
        imaginary = short_number(number.imag)
        return f"{short_number(number.real)}{'' if imaginary.startswith('-') else '+'}{imaginary}j"
    if isinstance(number, int) and abs(number) < 10_000:
        return str(number)
    return f"{number + 0.0:.4g}"


def json_number(number: Any) -> float | str:
    """Return a number in a form that JSON can hold: NaN, infinities and complex numbers become text."""
    if isinstance(number, complex) or not math.isfinite(number):
        return short_number(number)
    return number if isinstance(number, int) else _round(number)


def nested_text(value: Any) -> str:
    """Return nested lists of numbers as text; the recursion is as deep as an array has axes."""
    return f"[{', '.join(map(nested_text, value))}]" if isinstance(value, list) else short_number(value)
