"""Test whether an equation explains what the user's code returned, up to rounding, a factor, or a penalty."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..experiment import Experiment
from ..factors import Factor, name_factor
from ..numerical.noise import SAFETY, Noise
from ..numerical.referee import penalty
from ..pattern import distinct_text, number_text

Array = np.ndarray[Any, Any]

EXACT, SINGLE = 1e-8, 3e-4  # relative errors up to which an equation explains an answer in float64, in float32


class Witness(NamedTuple):
    """An experiment with the bounds of its rounding errors, and the names of the sizes in it.

    `noise` is None for an experiment other than the given batch.
    """

    case: Experiment
    noise: Noise | None

    @property
    def facts(self) -> dict[str, float]:
        """The sizes and strengths of the experiment, by name."""
        case, reg = self.case, self.case.solver.regularization
        return {"N": case.rows, "n_out": case.y.shape[1], "p": reg.dropout, "lambda": reg.lam,
                "L": float(case.right.loss) if case.solver.loss == "rmse" and not reg.lam else math.nan}  # fmt: skip

    @property
    def penalty(self) -> float:
        """The penalty as a part of the loss."""
        reg = self.case.solver.regularization
        return float(sum(penalty(reg.method, W, reg.lam, reg.r).sum() for W in self.case.W))


def misfit(
    witness: Witness, got: Array, wanted: Array, rounding: Array | None = None, floor: float = 0.0
) -> float:
    """Return the largest ratio of the error of an explanation to its tolerance: at most 1 if it explains the array."""
    if got.shape != wanted.shape:
        return math.inf
    if not got.size:
        return 0.0
    case = witness.case
    relative = SINGLE if case.is_user_batch and case.dtype.itemsize < 8 else EXACT
    with np.errstate(all="ignore"):
        size = max(float(np.abs(got).max()), float(np.abs(wanted).max()))
        allowed: Any = relative * max(size, floor)
        if rounding is not None and rounding.shape == got.shape:
            allowed = allowed + SAFETY * float(np.finfo(case.dtype).eps) * rounding
        error = np.abs(got - wanted) / np.maximum(allowed, 1e-300)
    worst = float(np.max(error))
    return worst if not math.isnan(worst) else math.inf


def fit_scale(
    witnesses: Sequence[Witness], got: Sequence[Array], base: Sequence[Array], extra: Sequence[Array | float],
    layer: int, floor: Sequence[float] | None = None,
) -> Factor | None:  # fmt: skip
    """Find the factor s, with one name for all experiments, such that ``got = s base + extra``, or return None."""
    values, facts, zeros = [], [], False
    for w, g, p, e, low in zip(witnesses, got, base, extra, floor or [0.0] * len(got), strict=True):
        if g.shape != p.shape or not np.isfinite(g).all() or not np.isfinite(p).all():
            return None
        if np.shape(e) not in ((), p.shape):
            return None
        square = float((p * p).sum())
        if square == 0 or float(np.abs(p).max()) < EXACT * low:  # zero up to rounding, so any factor would fit
            if misfit(w, g, p + e, None, low) > 1:
                return None
            zeros = True
            continue
        s = float(((g - e) * p).sum()) / square
        if misfit(w, g, s * p + e, None, low) > 1:
            return None
        values.append(s)
        facts.append({**w.facts, "width": w.case.W[layer].shape[0]})
    if not values:
        return Factor("1", 1.0) if zeros else None
    loose = any(w.case.is_user_batch and w.case.dtype.itemsize < 8 for w in witnesses)
    if all(abs(v) < (1e-3 if loose else 1e-7) for v in values):
        return Factor("0", 0.0)
    factor = name_factor(values, facts, 3e-3 if loose else 1e-6)
    if factor is None or (len(values) == 1 and base[0].size == 1 and "." in factor.name and not factor.others):
        return None  # any number is a multiple of any other, so one number alone proves nothing
    return factor


class Penalty(NamedTuple):
    """What is wrong with the penalty: a kind and a sentence."""

    kind: str
    text: str


def _terms(mine: tuple[float, float], other: tuple[float, float]) -> str:
    """Return a multiple of sign(W) and one of W in words, with enough digits to differ from the `other` pair."""
    size = max(map(abs, (*mine, *other)))
    said = [f"{distinct_text(a, b) if abs(a - b) > 1e-6 * size else number_text(b or a)} {what}"
            for a, b, what in zip(mine, other, ("sign(W)", "W"), strict=True) if abs(a) > 1e-6 * size]  # fmt: skip
    return " + ".join(said) or "0"


def find_wrong_penalty(
    witnesses: Sequence[Witness], got: Sequence[Array], base: Sequence[Array], k: int, part: str, loss_doubled: bool
) -> Penalty | None:
    """Explain ``got - base`` by a wrong penalty, a multiple of sign(W) plus a multiple of W, or return None."""
    for used in ((1,), (0,), (0, 1)):  # l2, l1, both
        found = _penalty_of(used, witnesses, got, base, k, part, loss_doubled)
        if found is not None:
            return found
    return _sign_forgotten(witnesses, got, base, k) if part == "W" else None


def _sign_forgotten(
    witnesses: Sequence[Witness], got: Sequence[Array], base: Sequence[Array], k: int
) -> Penalty | None:
    """Return the mistake that |W| stands in place of sign(W), if it explains the gradients, else None."""
    for w, g, p in zip(witnesses, got, base, strict=True):
        reg, W = w.case.solver.regularization, w.case.W[k]
        l1, l2 = {"l1": (1.0, 0.0), "elasticnet": (reg.r, 1 - reg.r)}.get(reg.method, (0.0, 0.0))
        if not l1 or g.shape != p.shape or misfit(w, g, p + reg.lam * (l1 * np.abs(W) + l2 * W)) > 1:
            return None
    return Penalty("wrong_penalty", "The gradient of the penalty |W| is written as |W|; it should be sign(W).")


def penalty_alone(witnesses: Sequence[Witness], got: Sequence[Array], k: int) -> str | None:
    """Return the sentence that dW is a penalty's gradient alone, if it is a multiple of W or of sign(W), else None."""
    for used, what in (((1,), "W"), ((0,), "sign(W)")):
        seen = _multiples(used, witnesses, got, [np.zeros_like(g) for g in got], k, "W")
        if seen and all(any(m.found) for m in seen):
            return (f"dW is a multiple of {what}, like the gradient of a penalty alone: the gradient of the loss is "
                    "missing; the two should be added.")  # fmt: skip
    return None


class _Multiple(NamedTuple):
    """For one experiment: the multiples (of sign(W), of W) found, those of the right penalty, lambda, and the rows."""

    found: tuple[float, float]
    right: tuple[float, float]
    lam: float
    rows: int


def _penalty_of(
    used: tuple[int, ...], witnesses: Sequence[Witness], got: Sequence[Array], base: Sequence[Array], k: int, part: str,
    loss_doubled: bool,
) -> Penalty | None:  # fmt: skip
    """Explain ``got - base`` by multiples of the terms in `used`: 0 is sign(W), 1 is W."""
    seen = _multiples(used, witnesses, got, base, k, part)
    if not seen:
        return None
    size = max(m.lam for m in seen)
    none = all(abs(a) <= 1e-6 * size for m in seen for a in m.found)
    asked = any(any(m.right) for m in seen)
    if part == "b":
        text = "A penalty is put on the biases; it belongs on the weights only."
        return None if none else Penalty("extra_penalty", text)
    if none:
        return Penalty("missing_penalty", "The gradient of the penalty is not added.") if asked else None
    if not asked:
        return Penalty("extra_penalty", f"A penalty is added to d{part}, but the solver asks for none.")
    return _another_multiple(seen, size, loss_doubled) or _another_penalty(seen, size)


def _multiples(
    used: tuple[int, ...], witnesses: Sequence[Witness], got: Sequence[Array], base: Sequence[Array], k: int, part: str
) -> list[_Multiple] | None:
    """Fit the multiples in each experiment that determines them; None if an experiment is not explained by any."""
    seen = []
    for w, g, p in zip(witnesses, got, base, strict=True):
        value = w.case.W[k] if part == "W" else w.case.b[k]
        if g.shape != p.shape or g.shape != value.shape:
            return None
        columns = np.stack([np.sign(value).ravel(), value.ravel()], axis=1)[:, used]
        square = columns.T @ columns
        if value.size <= len(used) or np.linalg.cond(square) > 1e12:  # too few or equal numbers: any multiple would fit
            if not value.any() and misfit(w, g, p) > 1:
                return None
            continue
        fit = np.zeros(2)
        fit[list(used)] = np.linalg.solve(square, columns.T @ (g - p).ravel())
        if misfit(w, g, p + (columns @ fit[list(used)]).reshape(g.shape)) > 1:
            return None
        reg = w.case.solver.regularization
        lam, r = reg.lam, reg.r
        right = {"l1": (lam, 0.0), "l2": (0.0, lam), "elasticnet": (r * lam, (1 - r) * lam)}.get(reg.method, (0.0, 0.0))
        seen.append(_Multiple((float(fit[0]), float(fit[1])), right, lam, w.case.rows))
    return seen


def _all_are(seen: Sequence[_Multiple], size: float, wanted: Callable[[_Multiple], tuple[float, float]]) -> bool:
    """Tell whether the multiples found equal the `wanted` ones in every experiment."""
    return all(
        abs(a - x) + abs(b - y) <= 1e-5 * (abs(x) + abs(y) + size * 1e-3)
        for (a, b), (x, y) in ((m.found, wanted(m)) for m in seen)
    )


def _another_multiple(seen: Sequence[_Multiple], size: float, loss_doubled: bool) -> Penalty | None:
    """Return the mistake that the penalty is a simple factor times the right one, or None."""

    def times(factor: Callable[[int], float]) -> bool:
        return _all_are(seen, size, lambda m: (factor(m.rows) * m.right[0], factor(m.rows) * m.right[1]))

    if times(lambda n: 2):
        if loss_doubled:
            return Penalty("wrong_penalty", "The penalty is twice that of the solver: lambda is used instead of "
                           "lambda/2.")
        return Penalty("extra_penalty", "The penalty is added twice, or differentiated without its 1/2.")
    if times(lambda n: n):
        return Penalty("extra_penalty", "The penalty is added once for every sample; it should be added once for the "
                       "batch.")
    for text, factor in (("half", lambda n: 0.5), ("1/N of", lambda n: 1 / n), ("minus", lambda n: -1)):
        if times(factor):
            return Penalty("sign" if text == "minus" else "wrong_penalty", f"The penalty is {text} that of the solver.")
    return None


OTHER_PENALTIES: dict[str, Callable[[_Multiple], tuple[float, float]]] = {
    "l1": lambda m: (m.lam, 0.0),
    "l2": lambda m: (0.0, m.lam),
    "only the l1 part of elasticnet": lambda m: (m.right[0], 0.0),
    "only the l2 part of elasticnet": lambda m: (0.0, m.right[1]),
    "elasticnet with r and 1 - r exchanged": lambda m: (m.right[1], m.right[0]),
    "l1 and l2 together, each at full strength": lambda m: (m.lam, m.lam),
}


def _another_penalty(seen: Sequence[_Multiple], size: float) -> Penalty:
    """Return the mistake that another known penalty stands in place of the right one, or else one with its numbers."""
    for text, wanted in OTHER_PENALTIES.items():
        if _all_are(seen, size, wanted):
            return Penalty("wrong_penalty", f"The penalty is that of {text}; the solver asks for another.")
    mine, right = seen[0].found, seen[0].right
    return Penalty("wrong_penalty", f"The gradient of the penalty is {_terms(mine, right)}; it should be "
                   f"{_terms(right, mine)}.")  # fmt: skip
