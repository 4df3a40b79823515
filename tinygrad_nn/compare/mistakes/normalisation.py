"""Mistakes at batch, layer and root-mean-square norms: constant statistics, a wrong axis, gamma forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...ops.reduce import axes_of, count
from ...primitive import sum_to
from ..paths import Traced, args_of
from .mistake import RARE, Mistake, Site, differentiated_arguments, finds


class _Parts(NamedTuple):
    """The parts of the gradient of a norm: h = g γ, x̂, s = 1/sqrt(var + eps), axes, n, var, eps, and x - μ."""

    h: Any
    x_hat: Any
    s: Any
    axes: tuple[int, ...]
    n: int
    var: Any
    eps: float
    centred: Any

    def dx(self, *, mean: bool = True, var: bool = True, h: Any = None, s: Any = None, x_hat: Any = None,
           axes: Any = None, n: Any = None, front: Any = None) -> Any:  # fmt: skip
        """Return dx = s (h - mean h - x̂ mean(h x̂)), with terms left out or replaced."""
        h = self.h if h is None else h
        x_hat = self.x_hat if x_hat is None else x_hat
        axes = self.axes if axes is None else axes
        n = (self.n if axes == self.axes else count(h, axes)) if n is None else n
        made = np.array(h)
        if mean:
            made = made - h.sum(axis=axes, keepdims=True) / n
        if var:
            made = made - (x_hat if front is None else front) * (h * x_hat).sum(axis=axes, keepdims=True) / n
        return made * (self.s if s is None else s)


def _parts(s: Site) -> _Parts:
    x, gamma = s.args[0], s.args[1]
    axes, eps = axes_of(s.meta["axis"], x.ndim), float(s.meta.get("eps", 1e-5))
    if "scale" in s.meta:  # a root-mean-square norm, which subtracts no mean
        var, centred, scale = 1 / s.meta["scale"] ** 2 - eps, x, s.meta["scale"]
    else:
        var, centred = s.meta["var"], x - s.meta["mean"]
        scale = 1 / np.sqrt(var + eps)
    return _Parts(s.g * gamma, centred * scale, scale, axes, max(count(x, axes), 1), var, eps, centred)


def _batchwise(p: _Parts, s: Site) -> Any:
    """Return dx if dvar and dmean are not summed over the batch: h s + 2 (x - μ) dvar / n + dmean / n, elementwise."""
    dvar = -0.5 * p.h * p.centred * p.s**3
    return p.h * p.s + dvar * 2 * p.centred / p.n - p.h * p.s / p.n


DX: list[tuple[str, str, Any]] = [
    ("statistic_as_constant", "The mean is treated as a constant: its dependence on x is ignored.",
     lambda p, s: p.dx(mean=False)),
    ("statistic_as_constant", "The variance is treated as a constant: its dependence on x is ignored.",
     lambda p, s: p.dx(var=False)),
    ("statistic_as_constant", "Mean and variance are treated as constants: their dependence on x is ignored.",
     lambda p, s: p.dx(mean=False, var=False)),
    ("missing_factor", "gamma is missing in the gradient of x.", lambda p, s: p.dx(h=np.broadcast_to(s.g, p.h.shape))),
    ("wrong_derivative", "The gradient is divided by the variance; it should be divided by its root.",
     lambda p, s: p.dx(s=p.s**2)),
    ("missing_factor", "The gradient is not divided by the standard deviation.", lambda p, s: p.dx(s=1.0)),
    ("wrong_derivative", "The gradient is multiplied by the standard deviation; it should be divided by it.",
     lambda p, s: p.dx(s=1 / p.s)),
    ("wrong_epsilon", "epsilon is forgotten in the backward pass.",
     lambda p, s: p.dx(s=1 / np.sqrt(p.var), x_hat=p.centred / np.sqrt(p.var))),
    ("wrong_epsilon", "epsilon is added outside the root; it should be inside.",
     lambda p, s: p.dx(s=1 / (np.sqrt(p.var) + p.eps), x_hat=p.centred / (np.sqrt(p.var) + p.eps))),
    ("wrong_epsilon", "epsilon is forgotten in the factor in front of the gradient of x.",
     lambda p, s: p.dx(s=1 / np.sqrt(p.var))),
    ("wrong_epsilon", "epsilon is added outside the root in the factor in front of the gradient of x.",
     lambda p, s: p.dx(s=1 / (np.sqrt(p.var) + p.eps))),
    ("wrong_value", "x is used instead of its normalised form.", lambda p, s: p.dx(x_hat=s.args[0])),
    ("wrong_value", "x is used instead of its normalised form in front of the sum.",
     lambda p, s: p.dx(front=s.args[0])),
    ("wrong_value", "x is used instead of its normalised form in the sum.",
     lambda p, s: p.dx(front=p.x_hat, x_hat=s.args[0])),
    ("wrong_value", "x - mean is used instead of the normalised form of x in front of the sum.",
     lambda p, s: p.dx(front=p.centred)),
    ("wrong_value", "x - mean is used instead of the normalised form of x in the sum.",
     lambda p, s: p.dx(front=p.x_hat, x_hat=p.centred)),
    ("wrong_value", "x - mean is used instead of the normalised form of x.", lambda p, s: p.dx(x_hat=p.centred)),
    ("wrong_value", "The result is used instead of the normalised form of x.", lambda p, s: p.dx(x_hat=s.out)),
    ("broadcast_not_summed", "The gradients of mean and variance keep the batch; they should be summed over it.",
     _batchwise),
    ("broadcast_not_summed", "The gradient of the variance keeps the batch; it should be summed over it.",
     lambda p, s: (p.h - p.h.sum(axis=p.axes, keepdims=True) / p.n - p.x_hat * p.h * p.x_hat / p.n) * p.s),
    ("broadcast_not_summed", "The gradient of the mean keeps the batch; it should be summed over it.",
     lambda p, s: (p.h - p.h / p.n - p.x_hat * (p.h * p.x_hat).sum(axis=p.axes, keepdims=True) / p.n) * p.s),
    ("scale", "The sums in the gradient are not divided by the number of entries.", lambda p, s: p.dx(n=1)),
    ("wrong_ddof", "The sums in the gradient are divided by n - 1; they should be divided by n.",
     lambda p, s: p.dx(n=max(p.n - 1, 1))),
    ("sign", "The part of the variance is added; it should be subtracted.",
     lambda p, s: 2 * p.dx(var=False) - p.dx()),
    ("sign", "The part of the mean is added; it should be subtracted.", lambda p, s: 2 * p.dx(mean=False) - p.dx()),
]  # fmt: skip


RMS_DX: list[tuple[str, str, Any]] = [
    ("statistic_as_constant", "The root mean square is treated as a constant: its dependence on x is ignored.",
     lambda p, s: p.dx(mean=False, var=False)),
    ("missing_factor", "gamma is missing in the gradient of x.",
     lambda p, s: p.dx(mean=False, h=np.broadcast_to(s.g, p.h.shape))),
    ("wrong_derivative", "The gradient is divided by the mean square; it should be divided by its root.",
     lambda p, s: p.dx(mean=False, s=p.s**2)),
    ("missing_factor", "The gradient is not divided by the root mean square.", lambda p, s: p.dx(mean=False, s=1.0)),
    ("wrong_value", "x is used instead of its normalised form.", lambda p, s: p.dx(mean=False, x_hat=s.args[0])),
    ("scale", "The sum in the gradient is not divided by the number of entries.", lambda p, s: p.dx(mean=False, n=1)),
]  # fmt: skip

# Of the gradient of gamma: what is used instead of the normalised form of x.
GAMMA_X: tuple[str, str, Any] = (
    "wrong_value", "In the gradient of gamma, x is used instead of its normalised form.", lambda s: s.args[0])
GAMMA_MISSING: tuple[str, str, Any] = (
    "missing_factor", "In the gradient of gamma, the normalised form of x is missing.", lambda s: 1.0)
GAMMA: list[tuple[str, str, Any]] = [
    GAMMA_X,
    ("wrong_value", "In the gradient of gamma, x - mean is used instead of the normalised form of x.",
     lambda s: _parts(s).centred),
    ("wrong_value", "In the gradient of gamma, the result is used instead of the normalised form of x.",
     lambda s: s.out),
    GAMMA_MISSING,
    ("wrong_value", "In the gradient of gamma, the gradient of the normalised form is used instead of g.",
     lambda s: _parts(s).x_hat * s.args[1]),
    ("wrong_epsilon", "epsilon is forgotten in the gradient of gamma.",
     lambda s: _parts(s).centred / np.sqrt(s.meta["var"])),
    ("wrong_derivative", "In the gradient of gamma, x is divided by the variance; it should be divided by its root.",
     lambda s: _parts(s).centred * _parts(s).s ** 2),
]  # fmt: skip


@finds("standardize")
def norms(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a batch or layer norm with one term changed."""
    node = graph.operations[place]
    slots = differentiated_arguments(node)
    if 0 in slots:
        for kind, text, dx in DX:
            yield Mistake(kind, text, lambda s, dx=dx: dx(_parts(s), s), 0)
        x = np.asarray(args_of(node)[0])
        for axes in _other_axes(x.ndim, axes_of(node.meta["axis"], x.ndim)):
            text = f"The sums in the gradient run over axes {axes}; they should run over those that are normalised."
            yield Mistake("wrong_axis", text, lambda s, a=axes: _parts(s).dx(axes=a), 0)
            text = (f"The norm in the backward pass is taken over axes {axes}; it should be taken over those of the "
                    "forward pass.")  # fmt: skip
            yield Mistake("wrong_axis", text, lambda s, a=axes: _dx_over_axes(s, a), 0)
    if 1 in slots:
        yield from _gammas(GAMMA, np.shape(args_of(node)[1]))
    for slot in [i for i in slots if i in (1, 2)]:
        yield from _parameter_mistakes(slot, np.shape(args_of(node)[slot]))


def _gammas(rows: Sequence[tuple[str, str, Any]], shape: tuple[int, ...]) -> Iterator[Mistake]:
    for kind, text, value in rows:
        yield Mistake(kind, text, lambda s, v=value: sum_to(s.g * v(s), shape), 1)


def _parameter_mistakes(slot: int, shape: tuple[int, ...]) -> Iterator[Mistake]:
    what = "gamma" if slot == 1 else "beta"
    for which, row in (("last", -1), ("first", 0)):
        yield Mistake("overwritten_not_accumulated", f"Only the {which} sample contributes to the gradient of {what}.",
                      lambda s, row=row: np.reshape((s.g * (_parts(s).x_hat if slot == 1 else 1))[row], shape), slot,
                      cost=RARE)  # fmt: skip
    yield Mistake("scale", f"The gradient of {what} is averaged over the batch; it should be summed.",
                  lambda s: s.slots[slot] * np.prod(shape, dtype=int) / s.g.size, slot, cost=RARE)  # fmt: skip


def _other_axes(ndim: int, axes: tuple[int, ...]) -> list[tuple[int, ...]]:
    rest = tuple(i for i in range(ndim) if i not in axes)
    singles = [(i,) for i in range(ndim)]
    return [a for a in dict.fromkeys([rest, *singles, tuple(range(ndim))]) if a and a != axes]


def _dx_over_axes(s: Site, axes: tuple[int, ...]) -> Any:
    """Return dx as if the norm were taken over other axes."""
    x, p = s.args[0], _parts(s)
    scale = 1 / np.sqrt(x.var(axis=axes, keepdims=True) + p.eps)
    return p.dx(axes=axes, s=scale, x_hat=(x - x.mean(axis=axes, keepdims=True)) * scale)


@finds("rms_norm")
def root_mean_squares(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of the root-mean-square norm with one term changed."""
    node = graph.operations[place]
    slots = differentiated_arguments(node)
    for kind, text, dx in RMS_DX if 0 in slots else ():
        yield Mistake(kind, text, lambda s, dx=dx: dx(_parts(s), s), 0)
    if 1 in slots:
        yield from _gammas((GAMMA_X, GAMMA_MISSING), np.shape(args_of(node)[1]))
