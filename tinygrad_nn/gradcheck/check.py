"""Check gradients of functions and primitives against numerical derivatives, to any order, and report the result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..common.arguments import as_generator
from ..common.spelling import near_names
from ..node import recording
from ..primitive import REGISTRY, Primitive
from ..tensor import Tensor, raw, wrap
from ..transforms import new_input, pullback
from ..tree import flatten
from .numerical import EPS, SAFETY, Line, inner_product, is_float, to_double

VISIBLE = 5e-4  # a check that would overlook a relative error above this is blind
UNSTEADY = "not checked: the function returned two different results for the same arguments. Fix its random seed."
BLIND = (
    "a blind test, which any rule would pass: the derivatives compared are zero, or smaller than the error of the "
    "comparison. Choose arguments, or a direction, along which the function changes."
)


@dataclass(frozen=True)
class Check:
    """One comparison of a derivative along a line: by the rules, numerically, and the tolerance of their difference."""

    order: int
    where: str
    analytic: float
    numerical: float
    tolerance: float
    kink: str = ""
    method: str = "differences"

    @property
    def error(self) -> float:
        """The absolute difference of the two derivatives."""
        return abs(self.analytic - self.numerical)

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance (NaN never is)."""
        return self.error <= self.tolerance

    @property
    def blind(self) -> bool:
        """Whether a relative error of a thousandth would go unseen here, for instance because both are zero."""
        return not max(abs(self.analytic), abs(self.numerical)) * VISIBLE > self.tolerance

    @property
    def argument(self) -> str:
        """The name of the argument that moved."""
        return self.where.split(" entry ")[0]

    def __str__(self) -> str:
        kink = f"; {self.kink}, where derivatives are a matter of convention" if self.kink else ""
        return (
            f"order {self.order}, {self.where}: by the rules {self.analytic:.12g}, by {self.method} "
            f"{self.numerical:.12g}, difference {self.error:.3g}, tolerance {self.tolerance:.3g}{kink}"
        )


@dataclass(frozen=True)
class GradientReport:
    """What a check of gradients found.

    Attributes:
        checks: every comparison made.
        steady: whether the function gave the same result twice.
    """

    checks: tuple[Check, ...]
    steady: bool = True
    failures: tuple[Check, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "failures", tuple(check for check in self.checks if not check.agrees))

    @property
    def ok(self) -> bool:
        """Whether every comparison agrees and the check could have seen an error."""
        return self.steady and not self.failures and not self.blind

    @property
    def blind(self) -> bool:
        """Whether for some order no comparison could detect an error, as for a constant function or zero direction."""
        orders = {check.order for check in self.checks}
        return not orders or any(all(c.blind for c in self.checks if c.order == order) for order in orders)

    @property
    def unseen(self) -> tuple[str, ...]:
        """The arguments on which the result does not visibly depend in first order."""
        first = [check for check in self.checks if check.order == 1]
        seen = {check.argument for check in first if not check.blind}
        return tuple(dict.fromkeys(check.argument for check in first if check.argument not in seen))

    @property
    def kinks(self) -> tuple[str, ...]:
        """The kinks that were met, each with the argument and entry that moved."""
        return tuple(f"{check.where}: {check.kink}" for check in self.checks if check.kink)

    @property
    def worst(self) -> Check | None:
        """The comparison that uses up most of its tolerance."""
        return max(self.checks, key=lambda c: _ratio(c.error, c.tolerance), default=None)

    def __str__(self) -> str:
        if not self.steady:
            return UNSTEADY
        if self.failures:
            shown = sorted(self.failures, key=lambda c: -_ratio(c.error, c.tolerance))[:5]
            lines = "\n".join(f"  {check}" for check in shown)
            return f"{len(self.failures)} of {len(self.checks)} comparisons of gradients disagree:\n{lines}"
        if self.blind:
            return BLIND
        notes = "".join(f"\n  note: {kink}" for kink in self.kinks)
        notes += "".join(f"\n  note: the result does not depend on {where}" for where in self.unseen)
        return f"gradients agree in {len(self.checks)} comparisons; the tightest: {self.worst}{notes}"

    __repr__ = __str__  # all of its comparisons are in `checks`


def _ratio(error: float, tolerance: float) -> float:
    return math.inf if not error <= tolerance else error / tolerance if tolerance else 0.0


def check_gradients(
    f: Callable[..., Any],
    *args: Any,
    order: int = 1,
    rng: np.random.Generator | int = 0,
    directions: int = 2,
    entries: int = 32,
    direction: Any = None,
    complex_step: bool | None = None,
) -> GradientReport:
    r"""Compare the gradients of a function with numerical ones.

    .. math:: \langle J^T c,\ v \rangle = \left.\frac{d}{dt} \langle c,\ f(x + t v) \rangle\right|_{t=0}

    for random cotangents c and directions v, one argument at a time; and for small arguments entry by entry. Order 2
    does the same for the function from x and c to the gradient, and so on upwards. Arguments in float32 are converted
    to float64. The tolerance is ten times the error that the extrapolation estimates for itself, plus
    :math:`\varepsilon^{2/3}` (3.7e-11) times the size of the terms of the product, to allow for rounding errors of the
    rules.

    Args:
        f: takes arrays, or nests of containers of them, and returns an array or a nest; it is run on Tensors.
        *args: the arguments at which to check. Integers, booleans and anything that is no array are passed unchanged.
        order: the highest order of derivatives to check, from 1.
        rng: generator, or seed, of cotangents and directions.
        directions: how many random directions an argument gets.
        entries: arguments of at most so many entries are also checked entry by entry, in first order.
        direction: use this direction instead of random ones, a tuple with the structure and shapes of `args`.
        complex_step: True requires a complex step, False forbids it, None uses it if it agrees with differences.

    Returns:
        A report with `ok`, `blind`, `kinks`, `worst`, `failures`; it prints as a summary.

    Raises:
        TypeError: no argument contains floating-point numbers.

    Example:
        >>> print(check_gradients(lambda x: np.exp(x).sum(), np.array([0.0, 1.0]), order=2).ok)
        True
    """
    rng = as_generator(rng)
    flat, rebuild = flatten(args)
    moving = [i for i, x in enumerate(flat) if is_float(raw(x))]
    leaves = [to_double(raw(flat[i])) for i in moving]
    labels = [label for k, arg in enumerate(args) for label in _labels(k, len(flatten(arg)[0]))]
    names = ["the argument"] if len(moving) == 1 else [labels[i] for i in moving]
    if not moving:
        raise TypeError(f"none of the {len(args)} arguments is made of floats, so there is no gradient to check.")

    def call(*tensors: Any) -> list[Any]:
        new = list(flat)
        for i, t in zip(moving, tensors, strict=True):
            new[i] = t if isinstance(t, Tensor) else wrap(t, None)
        return [out for out in flatten(f(*rebuild(new)))[0] if is_float(raw(out))]

    along = None
    if direction is not None:
        given = flatten(direction)[0]
        along = [np.asarray(given[i], dtype=x.dtype) for i, x in zip(moving, leaves, strict=True)]
    checks: list[Check] = []
    for level in range(1, order + 1):
        first = level == 1
        with np.errstate(all="ignore"):  # values that are not finite are reported as disagreement
            with recording(False):
                line = Line(lambda *xs, call=call: [raw(out) for out in call(*xs)], leaves)
            if not line.steady:
                return GradientReport(tuple(checks), steady=False)
            cotangents = [_random(out, rng) for out in line.outs]
            up = _gradients(call, len(leaves))
            gradients = [np.asarray(raw(g)) for g in up(*leaves, *cotangents)]
            for i, v, where in _directions(leaves, names, along, rng, directions if first else 1, entries * first):
                with recording(False):
                    found = line.along({i: v}, cotangents, complex_step if first else False)
                size = float(np.abs(gradients[i] * v).sum()) + abs(found.value)
                tolerance = SAFETY * found.error + EPS ** (2 / 3) * size
                slope = inner_product(gradients[i], v)
                checks.append(Check(level, where, slope, found.value, tolerance, found.kink, found.method))
        call, leaves, along = up, [*leaves, *cotangents], None
        names = [*names, *(f"a cotangent of order {level}" for _ in cotangents)]
    return GradientReport(tuple(checks))


def _labels(position: int, count: int) -> list[str]:
    return [f"argument {position}" + (f", array {j}" if count > 1 else "") for j in range(count)]


def _random(x: Any, rng: np.random.Generator) -> Any:
    """Draw an array of the shape and kind of another, with absolute values from 0.5 to 1.5 and random signs."""
    def real() -> Any:
        return rng.uniform(0.5, 1.5, np.shape(x)) * rng.choice([-1.0, 1.0], np.shape(x))

    return real() + 1j * real() if np.asarray(x).dtype.kind == "c" else real()


def _directions(
    leaves: Sequence[Any], names: list[str], given_directions: list[Any] | None, rng: np.random.Generator,
    count: int, entries: int,
) -> list[tuple[int, Any, str]]:
    """Return for each comparison the index of the leaf that moves, the direction, and its name in the report."""
    if given_directions is not None:
        return [(i, v, names[i]) for i, v in enumerate(given_directions)]
    chosen = []
    for i, x in enumerate(leaves):
        if np.size(x) == 0:
            continue
        size = np.maximum(1.0, np.abs(x))
        chosen += [(i, _random(x, rng) / 1.5 * size, names[i]) for _ in range(count)]
        for index in np.ndindex(x.shape) if x.ndim and x.size <= entries else ():
            for unit in (1.0, 1j) if x.dtype.kind == "c" else (1.0,):
                v = np.zeros_like(x)
                v[index] = unit * size[index]
                chosen.append((i, v, f"{names[i]} entry {index}"))
    return chosen


def _gradients(call: Callable[..., list[Any]], n: int) -> Callable[..., list[Any]]:
    """Return the function from n inputs and the cotangents to the gradient of Σ cotangent · result.

    The graph of the last inputs is kept: while only cotangents move, it is walked again.
    """
    kept: tuple[Sequence[Any], list[Any], list[Any]] = [], [], []

    def gradients(*values: Any) -> list[Any]:
        nonlocal kept
        with recording(True):
            if len(kept[0]) != n or any(x is not y for x, y in zip(values, kept[0], strict=False)):
                inputs = [new_input(x) for x in values[:n]]
                kept = values[:n], inputs, call(*inputs)
            _, inputs, outs = kept
            total: list[Any] = [0.0] * n
            for out, c in zip(outs, values[n:], strict=True):
                if isinstance(out, Tensor):
                    total = [a + b for a, b in zip(total, pullback(out, inputs, c), strict=True)]
        return [t if np.shape(t) == x.shape else np.zeros_like(x.data) for t, x in zip(total, inputs, strict=True)]

    return gradients


def check_primitive(
    name: str, *shapes: tuple[int, ...], order: int = 2, rng: np.random.Generator | int = 0, **metadata: Any
) -> GradientReport:
    """Check the rules of a primitive, by name, on arguments drawn from its domain; see `check_gradients`.

    Args:
        name: as in `primitive.REGISTRY`.
        *shapes: the shapes of its arguments; by default (2, 3) for each.
        order: the highest order of derivatives to check.
        rng: generator, or seed.
        **metadata: keyword arguments of the primitive.

    Returns:
        The report.

    Raises:
        ValueError: no primitive has that name.

    Example:
        >>> check_primitive("sqrt").ok, check_primitive("logsumexp", (4, 3), axis=1).ok
        (True, True)
    """
    primitive = REGISTRY.get(name)
    if primitive is None:
        called = getattr(name, "__name__", str(name))  # of a function, which is not a name
        near = ", ".join(near_names(called, REGISTRY, 3, 0.6))
        hint = f"names like it are {near}." if near else "tinygrad_nn.supported() lists the functions."
        raise ValueError(f"no primitive is named {name!r:.60}; {hint}")
    rng = as_generator(rng)
    arguments = draw(primitive, shapes or ((2, 3),) * max(primitive.arity, 1), rng)
    return check_gradients(lambda *xs: primitive(*xs, **metadata), *arguments, order=order, rng=rng)


def draw(primitive: Primitive, shapes: Sequence[tuple[int, ...]], rng: np.random.Generator) -> list[Any]:
    """Draw arguments of given shapes from the domain of a primitive, away from the ends of its intervals."""
    domain = primitive.domain or ((-2.0, 2.0),)
    intervals = [domain[min(i, len(domain) - 1)] for i in range(len(shapes))]
    return [rng.uniform(low + 0.05 * (high - low), high - 0.05 * (high - low), shape)
            for (low, high), shape in zip(intervals, shapes, strict=True)]


def assert_gradients(f: Callable[..., Any], *args: Any, **options: Any) -> GradientReport:
    """Run `check_gradients` with the same arguments, and raise unless the gradients agree.

    Returns:
        The report.

    Raises:
        AssertionError: gradients disagree, the test is blind, or the function returns different results each time.

    Example:
        >>> assert_gradients(np.tanh, 0.5).blind
        False
    """
    report = check_gradients(f, *args, **options)
    if not report.ok:
        raise AssertionError(str(report))
    return report
