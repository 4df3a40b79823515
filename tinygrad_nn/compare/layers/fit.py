"""Test whether an equation explains what the user's code returned, up to rounding, a factor, or a penalty."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
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
    def penalty_shares(self) -> tuple[float, float]:
        """The multiples of sign(W) and of W in the gradient of the penalty, for a strength of 1."""
        reg = self.case.solver.regularization
        shares = {"l1": (1.0, 0.0), "l2": (0.0, 1.0), "elasticnet": (reg.r, 1 - reg.r)}
        return shares.get(reg.method, (0.0, 0.0))

    @property
    def penalty(self) -> float:
        """The penalty as a part of the loss."""
        reg = self.case.solver.regularization
        return float(sum(penalty(reg.method, W, reg.lam, reg.r).sum() for W in self.case.W))


def misfit(
    witness: Witness, user_array: Array, expected: Array, rounding: Array | None = None, floor: float = 0.0
) -> float:
    """Return the largest ratio of the error of an explanation to its tolerance: at most 1 if it explains the array."""
    if user_array.shape != expected.shape:
        return math.inf
    if not user_array.size:
        return 0.0
    case = witness.case
    relative = SINGLE if case.is_user_batch and case.dtype.itemsize < 8 else EXACT
    with np.errstate(all="ignore"):
        size = max(float(np.abs(user_array).max()), float(np.abs(expected).max()))
        error, allowed = np.abs(user_array - expected), relative * max(size, floor)
        if rounding is not None and rounding.shape == user_array.shape:
            allowed_each = allowed + SAFETY * float(np.finfo(case.dtype).eps) * rounding
            error, allowed = error / np.maximum(allowed_each, 1e-300), 1.0
        worst = float(error.max()) / max(allowed, 1e-300)
    return worst if not math.isnan(worst) else math.inf


def fit_scale(
    witnesses: Sequence[Witness], user_arrays: Sequence[Array], base: Iterable[Array],
    penalties: Iterable[Array | float], layer: int, floor: Sequence[float] | None = None,
) -> Factor | None:  # fmt: skip
    """Find the factor s, of one name in all experiments, with ``user_arrays = s base + penalties``, or return None."""
    values, facts, sizes, zeros = [], [], [], False
    for w, g, p, e, low in zip(witnesses, user_arrays, base, penalties, floor or [0.0] * len(user_arrays), strict=True):
        if g.shape != p.shape or not np.isfinite(g).all() or not np.isfinite(p).all():
            return None
        if np.shape(e) not in ((), p.shape):
            return None
        sizes.append(p.size)
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
    has_float32 = any(w.case.is_user_batch and w.case.dtype.itemsize < 8 for w in witnesses)
    if all(abs(v) < (1e-3 if has_float32 else 1e-7) for v in values):
        return Factor("0", 0.0)
    factor = name_factor(values, facts, 3e-3 if has_float32 else 1e-6)
    if factor is None or (len(values) == 1 and sizes[0] == 1 and "." in factor.name and not factor.others):
        return None  # any number is a multiple of any other, so one number alone proves nothing
    return factor


class Penalty(NamedTuple):
    """What is wrong with the penalty: a kind and a sentence."""

    kind: str
    text: str


def _terms(multiples: tuple[float, float], other_multiples: tuple[float, float]) -> str:
    """Return a multiple of sign(W) and one of W in words, with enough digits to differ from another pair."""
    size = max(map(abs, (*multiples, *other_multiples)))
    phrases = [
        f"{distinct_text(a, b) if abs(a - b) > 1e-6 * size else number_text(b or a)} {term}"
        for a, b, term in zip(multiples, other_multiples, ("sign(W)", "W"), strict=True)
        if abs(a) > 1e-6 * size
    ]
    return " + ".join(phrases) or "0"


def find_wrong_penalty(
    witnesses: Sequence[Witness], user_gradients: Sequence[Array], base: Sequence[Array], k: int, part: str,
    loss_doubled: bool,
) -> Penalty | None:  # fmt: skip
    """Explain ``user_gradients - base`` by a wrong penalty, multiples of sign(W) and of W, or return None."""
    for used in ((1,), (0,), (0, 1)):  # l2, l1, both
        penalty = _penalty_of(used, witnesses, user_gradients, base, k, part, loss_doubled)
        if penalty is not None:
            return penalty
    return _sign_forgotten(witnesses, user_gradients, base, k) if part == "W" else None


def _sign_forgotten(
    witnesses: Sequence[Witness], user_gradients: Sequence[Array], base: Sequence[Array], k: int
) -> Penalty | None:
    """Return the mistake that |W| stands in place of sign(W), if it explains the gradients, else None."""
    for w, g, p in zip(witnesses, user_gradients, base, strict=True):
        (l1, l2), W = w.penalty_shares, w.case.W[k]
        penalty = w.case.solver.regularization.lam * (l1 * np.abs(W) + l2 * W)
        if not l1 or g.shape != p.shape or misfit(w, g, p + penalty) > 1:
            return None
    return Penalty("wrong_penalty", "The gradient of the penalty |W| is written as |W|; it should be sign(W).")


def penalty_alone(witnesses: Sequence[Witness], user_gradients: Sequence[Array], k: int) -> str | None:
    """Return the sentence that dW is a penalty's gradient alone, if it is a multiple of W or of sign(W), else None."""
    for used, term in (((1,), "W"), ((0,), "sign(W)")):
        multiples = _multiples(used, witnesses, user_gradients, [np.zeros_like(g) for g in user_gradients], k, "W")
        if multiples and all(any(m.user_multiples) for m in multiples):
            return (f"dW is a multiple of {term}, like the gradient of a penalty alone: the gradient of the loss is "
                    "missing; the two should be added.")  # fmt: skip
    return None


class _Multiple(NamedTuple):
    """For one experiment: the multiples (of sign(W), of W) found, those of the right penalty, lambda, and the rows."""

    user_multiples: tuple[float, float]
    right_multiples: tuple[float, float]
    lam: float
    rows: int

    def times(self, s: float) -> tuple[float, float]:
        """Return the multiples of s times the right penalty."""
        return s * self.right_multiples[0], s * self.right_multiples[1]


def _penalty_of(
    used: tuple[int, ...], witnesses: Sequence[Witness], user_gradients: Sequence[Array], base: Sequence[Array], k: int,
    part: str, loss_doubled: bool,
) -> Penalty | None:  # fmt: skip
    """Explain ``user_gradients - base`` by multiples of the terms in `used`: 0 is sign(W), 1 is W."""
    multiples = _multiples(used, witnesses, user_gradients, base, k, part)
    if not multiples:
        return None
    size = max(m.lam for m in multiples)
    has_none = all(abs(a) <= 1e-6 * size for m in multiples for a in m.user_multiples)
    has_right_penalty = any(any(m.right_multiples) for m in multiples)
    if part == "b":
        text = "A penalty is put on the biases; it belongs on the weights only."
        return None if has_none else Penalty("extra_penalty", text)
    if has_none:
        return Penalty("missing_penalty", "The gradient of the penalty is not added.") if has_right_penalty else None
    if not has_right_penalty:
        return Penalty("extra_penalty", f"A penalty is added to d{part}, but the solver asks for none.")
    return _another_penalty(multiples, size, loss_doubled)


def _multiples(
    used: tuple[int, ...], witnesses: Sequence[Witness], user_gradients: Sequence[Array], base: Sequence[Array], k: int,
    part: str,
) -> list[_Multiple] | None:  # fmt: skip
    """Fit the multiples in each experiment that determines them; None if an experiment is not explained by any."""
    multiples = []
    for w, g, p in zip(witnesses, user_gradients, base, strict=True):
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
        (l1, l2), lam = w.penalty_shares, w.case.solver.regularization.lam
        multiples.append(_Multiple((float(fit[0]), float(fit[1])), (l1 * lam, l2 * lam), lam, w.case.rows))
    return multiples


TWICE = "The penalty is added twice, or differentiated without its 1/2."
WRONG_PENALTIES: tuple[tuple[str, str, Callable[[_Multiple], tuple[float, float]]], ...] = (
    ("extra_penalty", TWICE, lambda m: m.times(2)),
    ("extra_penalty", "The penalty is added once for every sample; it should be added once for the batch.",
     lambda m: m.times(m.rows)),
    ("wrong_penalty", "The penalty is half that of the solver.", lambda m: m.times(0.5)),
    ("wrong_penalty", "The penalty is 1/N of that of the solver.", lambda m: m.times(1 / m.rows)),
    ("sign", "The penalty is minus that of the solver.", lambda m: m.times(-1)),
    *(("wrong_penalty", f"The penalty is that of {name}; the solver asks for another.", multiples)
      for name, multiples in {
        "l1": lambda m: (m.lam, 0.0),
        "l2": lambda m: (0.0, m.lam),
        "only the l1 part of elasticnet": lambda m: (m.right_multiples[0], 0.0),
        "only the l2 part of elasticnet": lambda m: (0.0, m.right_multiples[1]),
        "elasticnet with r and 1 - r exchanged": lambda m: m.right_multiples[::-1],
        "l1 and l2 together, each at full strength": lambda m: (m.lam, m.lam),
      }.items()),
)  # fmt: skip


def _another_penalty(multiples: Sequence[_Multiple], size: float, loss_doubled: bool) -> Penalty:
    """Return the known mistake that gives these multiples in every experiment, or else one that tells them."""
    for kind, text, expected in WRONG_PENALTIES:
        if all(abs(a - x) + abs(b - y) <= 1e-5 * (abs(x) + abs(y) + size * 1e-3)
               for (a, b), (x, y) in ((m.user_multiples, expected(m)) for m in multiples)):  # fmt: skip
            if text == TWICE and loss_doubled:
                return Penalty("wrong_penalty", "The penalty is twice that of the solver: lambda is used instead of "
                               "lambda/2.")
            return Penalty(kind, text)
    user_multiples, right_multiples = multiples[0].user_multiples, multiples[0].right_multiples
    return Penalty(
        "wrong_penalty",
        f"The gradient of the penalty is {_terms(user_multiples, right_multiples)}; it should be "
        f"{_terms(right_multiples, user_multiples)}.",
    )
