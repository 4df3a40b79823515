"""The search for mistakes in layers, step by step: the cost of each explanation, its sentence, and the choice."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.wrong_backward import Setting
from tinygrad_nn import Layer, Solver
from tinygrad_nn.compare.experiment import Answer, Experiment
from tinygrad_nn.compare.layers import explain as explain_module
from tinygrad_nn.compare.layers.explain import State, _deltas, _layer, _with_recovered_delta, explain, shows_in_batch
from tinygrad_nn.compare.layers.findings import Finding, Option, computed
from tinygrad_nn.compare.layers.fit import Witness, _multiples, find_wrong_penalty, fit_scale, penalty_alone
from tinygrad_nn.compare.layers.parameter_gradients import (
    _explain_array,
    _kink_of_penalty,
    explain_parameters,
    follows_from_delta,
)
from tinygrad_nn.compare.layers.suspects import output_suspects
from tinygrad_nn.compare.layers.used_delta import recover
from tinygrad_nn.compare.numerical.noise import Noise, bounds

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(8)
LAM = 0.4


def seen_of(
    method: str = "l2", rows: tuple[int, ...] = (4, 6), told: bool = False, given: bool = True,
    widths: tuple[int, ...] = (3, 4, 5), **more: Any
) -> list[Witness]:
    """Experiments with a network 3 - 4 - 5 and copies of the right answers; the first is the user's own batch."""
    found = []
    for k, n in enumerate(rows):
        setting = Setting(widths, ("tanh", "linear"), "mse", n, method, LAM if method != "none" else 0.0, **more)
        model, x, y, solver = setting.build(k)
        masks: Any = [None, None]
        if solver.regularization.dropout:
            p = solver.regularization.dropout
            masks = [(np.random.default_rng(k).random((n, 4)) > p) / (1 - p), None]
        case = Experiment(model, x, y, masks, solver, is_user_batch=given and k == 0)
        right = case.right
        delta = [d.copy() for d in right.delta] if told else None
        case.answer = Answer(float(right.loss), [g.copy() for g in right.dW], [g.copy() for g in right.db], delta)
        found.append(Witness(case, None))
    return found


def deltas_of(seen: list[Witness], k: int) -> list[Array]:
    return [w.case.right.delta[k] for w in seen]


def data_of(w: Witness, k: int) -> Array:
    made: Array = w.case.right.dW[k] - w.case.penalty(k)
    return made


# -- Factors of a delta


def test_a_delta_is_tried_alone_and_with_the_factors_of_db_and_dW() -> None:
    for k in (0, 1):
        seen = seen_of()
        base = deltas_of(seen, k)

        def tried(seen: list[Witness] = seen, k: int = k, base: list[Array] = base) -> list[str]:
            names = []
            for factor, deltas in _deltas(seen, k, base):
                names.append(factor.name)
                times = [{"1": 1.0, "N": w.case.rows, "3": 3.0, "-1": -1.0, "0": 0.0}[factor.name] for w in seen]
                for s, b, d in zip(times, base, deltas, strict=True):
                    np.testing.assert_allclose(d, s * b, rtol=1e-9, atol=1e-15)
            return names

        assert tried() == ["1"]
        for w in seen:
            w.case.answer.db[k] = w.case.rows * w.case.right.db[k]
        assert tried() == ["1", "N"]
        for w in seen:
            w.case.answer.dW[k] = 3 * data_of(w, k) + w.case.penalty(k)
        assert tried() == ["1", "N", "3"]
        for w in seen:
            w.case.answer.db[k] = 3 * w.case.right.db[k]
        assert tried() == ["1", "3"]  # once each
        for w in seen:
            w.case.answer.db[k], w.case.answer.dW[k] = w.case.right.db[k][::-1], w.case.penalty(k)
        assert tried() == ["1", "0"]
        for w in seen:
            w.case.answer.dW[k] = w.case.penalty(k) - data_of(w, k)
        assert tried() == ["1", "-1"]
        for w in seen:
            w.case.answer.dW[k] = -w.case.right.dW[k]
        assert tried() == ["1"]  # the penalty does not have the sign of delta


def test_a_returned_delta_determines_its_own_factor() -> None:
    seen = seen_of(told=True)
    for w in seen:
        assert w.case.answer.delta is not None
        w.case.answer.delta[0] = -2 * w.case.right.delta[0]
        w.case.answer.db[0] = 5 * w.case.right.db[0]  # is not asked
    found = list(_deltas(seen, 0, deltas_of(seen, 0)))
    assert [factor.name for factor, _ in found] == ["1", "-2"]
    for d, w in zip(found[1][1], seen, strict=True):
        np.testing.assert_allclose(d, -2 * w.case.right.delta[0], rtol=1e-12)
    assert [factor.name for factor, _ in _deltas(seen, 1, deltas_of(seen, 1))] == ["1"]


def test_what_a_suspect_computes_and_where_it_cannot_be() -> None:
    seen = seen_of()

    def of(compute: Any) -> Any:
        return computed(SimpleNamespace(compute=compute), seen, [np.ones(2), 2 * np.ones(2)])  # type: ignore[arg-type]

    found = of(lambda case, d: d * case.rows)
    assert [v.tolist() for v in found] == [[4.0, 4.0], [12.0, 12.0]]
    assert of(lambda case, d: None) is None
    assert of(lambda case, d: d if case.rows == 4 else None) is None
    assert of(lambda case, d: d if case.rows == 4 else d * np.nan) is None
    assert of(lambda case, d: np.ones(3) + d) is None
    assert of(lambda case, d: d[7]) is None
    assert of(lambda case, d: d * np.array([1.0, np.inf])) is None


@pytest.mark.parametrize(("given", "dtype", "loose"), [
    (True, np.float32, True), (False, np.float32, False), (True, np.float64, False), (False, np.float64, False),
])  # fmt: skip
def test_a_factor_is_looser_in_a_batch_of_float32_that_was_given(given: bool, dtype: Any, loose: bool) -> None:
    def name(factor: float, seen: list[Witness]) -> str | None:
        base = [w.case.right.dW[0] for w in seen]
        fit = fit_scale(seen, [factor * p for p in base], base, [0.0] * len(seen), 0)
        return fit and fit.name

    seen = seen_of("none", given=given, dtype=dtype)
    assert name(2.004, seen) == ("2" if loose else "2.004")
    assert name(2.008, seen) == "2.008"
    assert name(0.9e-3, seen) == ("0" if loose else "0.0009")
    assert name(1.1e-3, seen) == "0.0011"
    assert name(0.9e-7, seen) == "0"
    assert name(1.1e-7, seen) == ("0" if loose else "1.1e-07")
    assert name(2.004, seen[1:]) == "2.004"


# -- dW and db by the delta


def parts_of(seen: list[Witness], k: int, spoil: Any = None, **more: Any) -> Any:
    """The option for layer 1 of a right delta, after the answers were spoiled."""
    for w in seen:
        if spoil is not None:
            spoil(w.case, w.case.answer)
    found = explain_parameters(seen, k, deltas_of(seen, k), False, **more)
    return found if found is None else (round(found.cost, 6), [(f.part, f.kind) for f in found.findings])


def times(part: str, k: int, factor: float) -> Any:
    def spoil(case: Experiment, answer: Answer) -> None:
        arrays = {"W": answer.dW, "b": answer.db, "delta": answer.delta or []}[part]
        arrays[k] = factor * arrays[k]

    return spoil


def both(*spoils: Any) -> Any:
    return lambda case, answer: [spoil(case, answer) for spoil in spoils]


@pytest.mark.parametrize("k", [0, 1])
def test_what_dW_and_db_cost_after_a_delta(k: int) -> None:
    assert parts_of(seen_of(), k) == (0.0, [])
    assert parts_of(seen_of(), k, times("b", k, 3.0)) == (1.1, [("b", "scale")])
    assert parts_of(seen_of(), k, times("W", k, 3.0)) == (1.1, [("W", "scale")])
    assert parts_of(seen_of(), 1 - k, times("W", k, 3.0)) == (0.0, [])
    three = both(times("W", k, 3.0), times("b", k, 3.0))
    assert parts_of(seen_of(), k, three) is None  # that is a mistake in delta
    assert parts_of(seen_of(), k, three, both_may_be_wrong=True) == (1.3, [("W", "scale"), ("b", "scale")])
    other = both(times("W", k, 3.0), times("b", k, 2.0))
    assert parts_of(seen_of(), k, other, both_may_be_wrong=True) == (2.2, [("W", "scale"), ("b", "scale")])
    turned = both(times("W", k, -1.0), times("b", k, 2.0))
    assert parts_of(seen_of(), k, turned, both_may_be_wrong=True) == (2.2, [("W", "sign"), ("b", "scale")])

    def random(case: Experiment, answer: Answer) -> None:
        answer.dW[k], answer.db[k] = RNG.normal(size=answer.dW[k].shape), RNG.normal(size=answer.db[k].shape)

    assert parts_of(seen_of(), k, random, both_may_be_wrong=True) == (8.0, [("W", "unknown"), ("b", "unknown")])


def test_a_returned_delta_is_compared_directly() -> None:
    seen = seen_of(told=True)
    assert parts_of(seen, 0) == (0.0, [])
    assert parts_of(seen, 0, times("delta", 0, 1 + 0.9e-8)) == (0.0, [])
    assert parts_of(seen_of(told=True), 0, times("delta", 0, 1 + 1.1e-8)) is None
    assert parts_of(seen_of(told=True), 0, times("delta", 0, 2.0), both_may_be_wrong=True) is None
    assert parts_of(seen_of(told=True), 1, times("delta", 0, 2.0)) == (0.0, [])
    one = seen_of(told=True)
    one[1].case.answer.delta[0] *= 2.0  # type: ignore[index]
    assert parts_of(one, 0) is None


FORGOTTEN = "The gradient of the penalty is not added."
ALONE = "dW is the gradient of the penalty alone: the gradient of the loss is missing; the two should be added."
TURNED = "dW is transposed: it is (batch)ᵀ delta instead of deltaᵀ (batch)."
BATCH = "dW has an axis for the samples that was not summed."
ROWS = "db still has a row for each sample: the bias was added to every row, so its gradient is the sum over the rows."
UNITS = "db is summed over the units; it should be summed over the samples."
INPUT = "dW multiplies delta by {}; it should be the input x."
TWICE = "The penalty is added twice, or differentiated without its 1/2."
ADDED = " The penalty is added correctly."


@pytest.mark.parametrize(
    ("part", "of", "cost", "kind", "text"),
    [
        ("W", lambda d, x, p: d.T @ x, 1.0, "missing_penalty", FORGOTTEN),
        ("W", lambda d, x, p: d.T @ x + 2 * p, 1.0, "extra_penalty", TWICE),
        ("W", lambda d, x, p: 3 * d.T @ x + p, 1.1, "scale",
         f"The gradient of the loss in dW is 3 times the right one.{ADDED}"),
        ("W", lambda d, x, p: 3 * (d.T @ x + p), 1.1, "scale", "dW is 3 times the right one."),
        ("W", lambda d, x, p: -(d.T @ x + p), 1.1, "sign", "dW has the wrong sign: it is minus the right one."),
        ("W", lambda d, x, p: p - d.T @ x, 1.1, "sign",
         f"The gradient of the loss in dW has the wrong sign: it is minus the right one.{ADDED}"),
        ("W", lambda d, x, p: p, 1.1, "overwritten_not_accumulated", ALONE),
        ("W", lambda d, x, p: 0 * p, 1.1, "scale", "dW is zero, and should not be."),
        ("W", lambda d, x, p: x.T @ d + p.T, 1.0, "transpose", TURNED),
        ("W", lambda d, x, p: 2 * x.T @ d + p.T, 1.5, "transpose",
         f"{TURNED} It is also multiplied by 2. The penalty is not."),
        ("W", lambda d, x, p: 2 * (x.T @ d + p.T), 1.5, "transpose", f"{TURNED} It is also multiplied by 2."),
        ("W", lambda d, x, p: x.T @ d, 1.5, "transpose", f"{TURNED} And the gradient of the penalty is not added."),
        ("W", lambda d, x, p: 2 * x.T @ d, 1.5, "transpose",
         f"{TURNED} It is also multiplied by 2. And the gradient of the penalty is not added."),
        ("W", lambda d, x, p: d[:, :, None] * x[:, None] + p, 1.0, "broadcast_not_summed",
         f"{BATCH} The penalty is added to each sample."),
        ("W", lambda d, x, p: d[:, :, None] * x[:, None], 1.5, "broadcast_not_summed",
         f"{BATCH} And the gradient of the penalty is not added."),
        ("W", lambda d, x, p: np.outer(d[-1], x[-1]) + p, 1.0, "overwritten_not_accumulated",
         "dW holds only the contribution of the last sample: the others were overwritten; all should be added."),
        ("W", lambda d, x, p: d[1:].T @ x[1:] + p, 1.1, "overwritten_not_accumulated",
         "dW holds only the contribution of all samples but the first; all samples should be added."),
        ("W", lambda d, x, p: np.outer(d.sum(0), x.sum(0)) + p, 1.0, "wrong_axis_sum",
         "delta and the input were each summed over the batch before they were multiplied; the product comes first."),
        ("W", lambda d, x, p: np.cos(p), 4.0, "unknown", "dW is wrong, and no known mistake explains it."),
        ("b", lambda d, x, p: d, 1.0, "broadcast_not_summed", ROWS),
        ("b", lambda d, x, p: 2 * d, 1.5, "broadcast_not_summed", f"{ROWS} It is also multiplied by 2."),
        ("b", lambda d, x, p: d.sum(axis=1), 1.0, "wrong_axis_sum", UNITS),
        ("b", lambda d, x, p: d.mean(axis=0), 1.1, "scale",
         "db is 1/N (1 over the number of samples) times the right one."),
        ("b", lambda d, x, p: -d.sum(axis=0), 1.1, "sign", "db has the wrong sign: it is minus the right one."),
        ("b", lambda d, x, p: d[0], 1.0, "overwritten_not_accumulated",
         "db holds only the delta of the first sample: the others were overwritten; all should be added."),
        ("b", lambda d, x, p: d[::2].sum(axis=0), 1.1, "overwritten_not_accumulated",
         "db holds only the contribution of every second sample; all samples should be added."),
        ("b", lambda d, x, p: np.cos(d.sum(axis=0)), 4.0, "unknown",
         "db is wrong, and no known mistake explains it."),
    ],
)  # fmt: skip
def test_the_cheapest_explanation_of_an_array(part: str, of: Any, cost: float, kind: str, text: str) -> None:
    seen = seen_of()
    for w in seen:
        made = of(w.case.right.delta[0], w.case.x, w.case.penalty(0))
        (w.case.answer.dW if part == "W" else w.case.answer.db)[0] = made
    found = _explain_array(seen, 0, part, deltas_of(seen, 0), False)
    (f,) = found.findings
    assert (found.cost, f.layer, f.part, f.kind, f.text) == (pytest.approx(cost), 0, part, kind, text)
    if kind == "unknown":
        case = seen[0].case
        np.testing.assert_array_equal(f.user_array, (case.answer.dW if part == "W" else case.answer.db)[0])  # type: ignore[arg-type]
        np.testing.assert_allclose(f.right_array, (case.right.dW if part == "W" else case.right.db)[0])  # type: ignore[arg-type]
        other = _explain_array(seen[1:], 0, part, deltas_of(seen[1:], 0), False)
        (g,) = other.findings
        assert (other.cost, g.layer, g.part, g.kind, g.text, g.user_array, g.right_array) == (
            4.0,
            0,
            part,
            kind,
            text,
            None,
            None,
        )


def test_of_a_square_matrix_the_penalty_may_be_transposed_or_not() -> None:
    for turn in (False, True):
        seen = seen_of(widths=(4, 4, 5))
        for w in seen:
            penalty = w.case.penalty(0)
            w.case.answer.dW[0] = w.case.x.T @ w.case.right.delta[0] + (penalty.T if turn else penalty)
        found = _explain_array(seen, 0, "W", deltas_of(seen, 0), False)
        assert (found.cost, found.findings[0].kind, found.findings[0].text) == (1.0, "transpose", TURNED)


def test_the_factor_of_a_mistake_is_named_only_if_it_is_not_1() -> None:
    seen = seen_of()
    for w in seen:
        w.case.answer.dW[0] = 2 * w.case.x.T @ w.case.right.delta[0] + w.case.penalty(0).T
    (f,) = _explain_array(seen, 0, "W", deltas_of(seen, 0), False).findings
    assert f.factor is not None
    assert f.factor.name == "2"
    for w in seen:
        w.case.answer.dW[0] = w.case.x.T @ w.case.right.delta[0]
    (f,) = _explain_array(seen, 0, "W", deltas_of(seen, 0), False).findings
    assert f.factor is None


def test_without_a_penalty_none_is_reported() -> None:
    seen = seen_of("none")
    right = [w.case.right.dW[0] for w in seen]
    assert find_wrong_penalty(seen, right, right, 0, "W", False) is None
    right = [w.case.right.db[0] for w in seen]
    assert find_wrong_penalty(seen, right, right, 0, "b", False) is None


def test_a_loss_with_the_penalty_twice_makes_twice_its_gradient_that_of_another_lambda() -> None:
    seen = seen_of()
    for w in seen:
        w.case.answer.dW[0] = w.case.right.dW[0] + w.case.penalty(0)
    found = _explain_array(seen, 0, "W", deltas_of(seen, 0), True)
    assert (found.cost, found.findings[0].kind) == (1.0, "wrong_penalty")


# -- How far an equation may be off

NEAR, OFF = 0.9e-8, 1.15e-8  # of the largest entry: an equation explains up to 1e-8


@pytest.mark.parametrize("k", [0, 1])
def test_what_follows_from_a_delta_and_when_a_finding_is_needed(k: int) -> None:
    (w,) = seen_of(rows=(4,))
    right = list(w.case.right.delta)
    d = right[k]
    huge = Noise(*([np.full_like(x, 1e-3 / 8 / 2.0**-52) for x in part] for part in bounds(w.case)))
    for part, arrays in (("W", w.case.answer.dW), ("b", w.case.answer.db)):
        before = arrays[k]
        for far, follows in ((NEAR, True), (-NEAR, True), (OFF, False), (-OFF, False), (np.nan, False)):
            arrays[k] = before * (1 + far)
            assert follows_from_delta([w], k, part, [d]) is follows
            assert shows_in_batch(w, right, Finding(k, part, "scale", "")) is not follows
            assert shows_in_batch(w, right, Finding(k, "W and b", "scale", "")) is not follows
            assert follows_from_delta([w, w], k, part, [d, d]) is follows
        size = float(np.abs(before).max())
        for far, follows in ((0.98e-3, True), (1.03e-3 + 1e-8 * size, False)):
            arrays[k] = before + far
            mine = {"W": "dW", "b": "db"}[part]
            only = bounds(w.case)._replace(**{mine: getattr(huge, mine)})
            assert follows_from_delta([Witness(w.case, only)], k, part, [d]) is follows
            large = Witness(w.case, huge._replace(**{mine: getattr(bounds(w.case), mine)}))
            assert not follows_from_delta([large], k, part, [d])
        arrays[k] = before
    for far, fits in ((NEAR, True), (OFF, False)):
        mine = [*right[:k], d * (1 + far), *right[k + 1 :]]
        assert shows_in_batch(w, mine, Finding(k, "delta", "scale", "")) is not fits  # type: ignore[arg-type]
    moved = [*right[:k], d + 0.9e-3, *right[k + 1 :]]
    assert shows_in_batch(w, moved, Finding(k, "delta", "scale", ""))  # type: ignore[arg-type]
    assert not shows_in_batch(Witness(w.case, huge), moved, Finding(k, "delta", "scale", ""))  # type: ignore[arg-type]


def across(x: Array, *others: Array) -> Array:
    """Return the part of x that is orthogonal to the others, scaled so that its largest entry is 1."""
    basis = np.linalg.qr(np.stack([o.ravel() for o in others], axis=1))[0]
    left = x.ravel() - basis @ (basis.T @ x.ravel())
    made: Array = (left / np.abs(left).max()).reshape(x.shape)
    return made


@pytest.mark.parametrize(("far", "fits"), [(NEAR, True), (-NEAR, True), (OFF, False), (-OFF, False)])
def test_the_tolerance_for_multiples_of_penalty_terms(far: float, fits: bool) -> None:
    for method in ("l2", "l1"):
        (w,) = seen_of(method, rows=(4,))
        W, base = w.case.W[0], data_of(w, 0)
        got = base + 0.2 * np.sign(W) + 0.3 * W
        size = float(np.abs(got).max())
        off = far * size * across(RNG.normal(size=W.shape), np.sign(W), W, base)
        assert (_multiples((0, 1), [w], [got + off], [base], 0, "W") is not None) is fits
        alone = 0.3 * W
        off = off / size * float(np.abs(alone).max())
        assert (penalty_alone([w], [alone + off], 0) is not None) is fits
    (w,) = seen_of("l1", rows=(4,))
    got = data_of(w, 0) + LAM * np.abs(w.case.W[0])
    off = far * float(np.abs(got).max()) * across(RNG.normal(size=got.shape), np.sign(w.case.W[0]), w.case.W[0])
    found = find_wrong_penalty([w], [got + off], [data_of(w, 0)], 0, "W", False)
    assert (found is not None) is fits
    w.case.W[0][0, 0] = 0.0
    right = w.case.right.delta[0].T @ w.case.x + w.case.penalty(0)
    got = right + LAM * (w.case.W[0] == 0)
    got = got + far * float(np.abs(got).max()) * np.eye(*got.shape, k=1)
    assert len(list(_kink_of_penalty([w], 0, "W", [got], [w.case.right.delta[0]]))) == fits


@pytest.mark.parametrize(("far", "fits"), [(NEAR, True), (-NEAR, True), (OFF, False), (-OFF, False)])
def test_how_far_a_multiple_of_an_equation_may_be_off(far: float, fits: bool) -> None:
    (w,) = seen_of(rows=(4,))
    p = RNG.normal(size=(3, 4))
    extra = 0.5 * across(RNG.normal(size=p.shape), p)
    got = 3 * p + extra
    size = float(np.abs(got).max())
    off = size * across(RNG.normal(size=p.shape), p)
    assert (fit_scale([w], [got + far * off], [p], [extra], 0) is not None) is fits
    assert (fit_scale([w], [got + 7 * far * off], [p], [extra], 0, [7 * size]) is not None) is fits
    zero = 0 * p  # what is zero has any factor, and still needs what is added
    size = float(np.abs(extra).max())
    assert (fit_scale([w], [extra + far * size * across(p, extra)], [zero], [extra], 0) is not None) is fits
    got = extra + 7 * far * size * across(p, extra)
    assert (fit_scale([w], [got], [zero], [extra], 0, [7 * size]) is not None) is fits


def test_an_equation_is_zero_where_it_is_less_than_rounding_of_what_else_there_is() -> None:
    (w,) = seen_of(rows=(4,))
    p = np.array([1.0, -2.0])
    for low, name in ((1.9e8, "2"), (2.1e8, "1")):
        fit = fit_scale([w], [2 * p], [p], [0.0], 0, [low])
        assert fit is not None
        assert fit.name == name


@pytest.mark.parametrize(("far", "fits"), [(NEAR, True), (OFF, False)])
def test_a_delta_is_read_where_dW_and_db_follow_from_it_and_nowhere_else(far: float, fits: bool) -> None:
    (w,) = seen_of(rows=(2,))
    case = w.case
    rows = np.hstack([case.x, np.ones((2, 1))])
    off = across(np.array([1.0, -0.3, 0.7, 0.2]), *rows)  # no delta makes any of this
    off = far * float(np.abs(case.answer.dW[0]).max()) * off / np.abs(off[:3]).max()
    case.answer.dW[0] = case.answer.dW[0] + off[:3]
    case.answer.db[0] = case.answer.db[0] + off[3]
    read = recover(w, 0)
    assert (read is not None) is fits
    if read is not None:
        np.testing.assert_allclose(read, case.right.delta[0], rtol=1e-6, atol=1e-9)


def test_a_delta_that_hardly_shows_in_dW_and_db_is_not_read() -> None:
    for apart, known in ((3e-5, True), (1e-7, False)):
        (w,) = seen_of(rows=(2,))
        case = w.case
        case.x[1] = case.x[0] + apart * np.array([1.0, -1.0, 0.5])
        d = case.right.delta[0]
        case.answer.dW[0], case.answer.db[0] = d.T @ case.x + case.penalty(0), d.sum(axis=0)
        assert (recover(w, 0) is not None) is known


# -- A layer after those above it


def layer_of(seen: list[Witness], k: int, above: Any = None) -> list[tuple[float, list[tuple[str, str]]]]:
    """The cost and the findings of each way to explain a layer, the cheapest first."""
    state = State(tuple(None if above is None else w.case.right.delta[k + 1] for w in seen), (), 0.5)
    states = sorted(_layer(seen, k, state, False), key=lambda s: s.cost)
    return [(round(s.cost - 0.5, 6), [(f.part, f.kind) for f in s.findings]) for s in states]


def spoiled(of: Any, k: int = 0, rows: tuple[int, ...] = (4, 6), **more: Any) -> list[Witness]:
    """Experiments in which dW and db of a layer are computed from another delta."""
    seen = seen_of(rows=rows, **more)
    for w in seen:
        d = of(w.case, w.case.right.delta[k])
        w.case.answer.dW[k], w.case.answer.db[k] = d.T @ w.case.into(k) + w.case.penalty(k), d.sum(axis=0)
    return seen


def test_the_price_of_a_mistake_in_delta() -> None:
    arriving = lambda c: c.right.delta[1] @ c.W[1]
    assert layer_of(spoiled(lambda c, d: d), 0, "known") == [(0.0, [])]
    assert layer_of(spoiled(lambda c, d: 3 * d), 0, "known")[0] == (1.0, [("delta", "scale")])
    missing = ("delta", "missing_activation_derivative")
    assert layer_of(spoiled(lambda c, d: arriving(c)), 0, "known")[0] == (1.0, [missing])
    assert layer_of(spoiled(lambda c, d: 3 * arriving(c)), 0, "known")[0] == (1.5, [missing])
    sigmoid = lambda c, d: arriving(c) / (2 + 2 * np.cosh(c.z[0]))
    assert layer_of(spoiled(sigmoid), 0, "known")[0] == (2.0, [("delta", "unknown")])
    assert layer_of(spoiled(lambda c, d: 3 * sigmoid(c, d)), 0, "known")[0] == (2.5, [("delta", "unknown")])
    zero = layer_of(spoiled(lambda c, d: 0 * d), 0, "known")
    assert zero[0] == (1.0, [("delta", "scale")])
    assert zero[1][0] > 1.0
    assert not any(kind == "missing_activation_derivative" for _, found in zero for _, kind in found)
    also = spoiled(lambda c, d: arriving(c))
    for w in also:
        w.case.answer.db[0] = -w.case.answer.db[0]
    assert layer_of(also, 0, "known")[0] == (2.1, [missing, ("b", "sign")])
    alone = spoiled(lambda c, d: d)
    for w in alone:
        w.case.answer.dW[0] = 3 * data_of(w, 0) + w.case.penalty(0)
    found = layer_of(alone, 0, "known")
    assert found[0] == (1.1, [("W", "scale")])
    assert (2.1, [("delta", "scale"), ("b", "scale")]) in found  # the same numbers, of a delta that is wrong


def test_below_an_unknown_delta_no_mistake_is_reported() -> None:
    seen = seen_of()
    above = State((None, None), (), 0.5, ((None, None),))
    assert _layer(seen, 0, above, False) == [State((None, None), (), 0.5, ((None, None), (None, None)))]


def test_an_experiment_whose_delta_is_not_known_is_left_out() -> None:
    seen = spoiled(lambda c, d: 3 * d)
    seen[1].case.answer.dW[0] = np.cos(seen[1].case.answer.dW[0])
    state = State((seen[0].case.right.delta[1], None), (), 0.5)
    best = min(_layer(seen, 0, state, False), key=lambda s: s.cost)
    assert (best.cost, [f.kind for f in best.findings]) == (1.5, ["scale"])
    np.testing.assert_allclose(best.delta[0], 3 * seen[0].case.right.delta[0], rtol=1e-9)  # type: ignore[arg-type]
    assert best.delta[1] is None


@pytest.mark.parametrize(("rows", "known", "given"), [((4, 3), 2, True), ((4, 6), 1, True), ((1, 6), 1, False),
                                                      ((3, 6), 1, False), ((3, 2), 2, False)])  # fmt: skip
def test_a_delta_that_nothing_explains_is_read_from_the_answers(rows: Any, known: int, given: bool) -> None:
    strange = [np.random.default_rng(9).normal(size=(n, 4)) for n in rows]
    seen = seen_of(rows=rows, given=given)
    for w, d in zip(seen, strange, strict=True):
        w.case.answer.dW[0], w.case.answer.db[0] = d.T @ w.case.x + w.case.penalty(0), d.sum(axis=0)
    above = [w.case.right.delta[1] for w in seen]
    before = State(tuple(above), (Finding(1, "W", "sign", ""),), 0.25)
    (state,) = _with_recovered_delta(seen, 0, above, before, [0, 1], False)
    assert state.cost == 5.25
    _, f = state.findings
    where = "" if given else f"In a random batch of {rows[0]} row{'s' if rows[0] > 1 else ''}: "
    assert (f.layer, f.part, f.kind) == (0, "delta", "unknown")
    assert f.text == where + "delta is wrong, and no known mistake explains it."
    assert f.evidence == (f"read from dW and db in {known} of 2 experiments",)
    np.testing.assert_allclose(f.user_array, strange[0], rtol=1e-7, atol=1e-9)  # type: ignore[arg-type]
    np.testing.assert_allclose(f.right_array, seen[0].case.right.delta[0], rtol=1e-12)  # type: ignore[arg-type]
    for k, d in enumerate(state.delta):
        assert (d is None) == (rows[k] > 4)
        if d is not None:
            np.testing.assert_allclose(d, strange[k], rtol=1e-7, atol=1e-9)


def test_an_unexplained_last_layer_is_compared_with_the_gradient_of_the_loss() -> None:
    seen = spoiled(lambda c, d: np.cos(np.arange(d.size)).reshape(d.shape), 1, (4, 5))
    (state,) = _with_recovered_delta(seen, 1, [None, None], State((None, None), (), 0.0), [0, 1], False)
    np.testing.assert_allclose(state.findings[0].right_array, seen[0].case.right.delta[1])  # type: ignore[arg-type]


def test_a_delta_read_from_the_answers_explains_both_arrays_or_is_none() -> None:
    seen = spoiled(lambda c, d: np.cos(np.arange(d.size)).reshape(d.shape), 0, (2, 3))
    for w in seen:
        w.case.answer.db[0] = w.case.answer.db[0] + 1.0
    above = [w.case.right.delta[1] for w in seen]
    found = list(_with_recovered_delta(seen, 0, above, State(tuple(above), (), 0.0), [0, 1], False))
    assert all(state.findings[0].kind == "unknown" and len(state.findings) == 1 for state in found)


def test_a_stale_mask_costs_less_than_an_unexplained_delta() -> None:
    stale = lambda c, d: (np.random.default_rng(5).random(d.shape) > 0.5) / 0.5 * (
        c.right.delta[1] @ c.W[1] * (1 - c.f[0] ** 2))  # fmt: skip
    seen = spoiled(stale, 0, (3, 4), dropout=0.5)
    above = [w.case.right.delta[1] for w in seen]
    one, two = _with_recovered_delta(seen, 0, above, State(tuple(above), (), 0.25), [0, 1], False)
    assert (one.cost, two.cost) == (1.75, 5.25)
    assert [f.kind for f in (*one.findings, *two.findings)] == ["dropout_mask_stale", "unknown"]
    assert one.findings[0].evidence == ("read from dW and db in 2 of 2 experiments",)
    assert one.findings[0].text == (
        "The backward pass uses a dropout mask other than that of the forward pass."
    )
    for s in (one, two):
        for w, d in zip(seen, s.delta, strict=True):
            np.testing.assert_allclose(d, stale(w.case, w.case.right.delta[0]), rtol=1e-6, atol=1e-9)  # type: ignore[arg-type]


def test_the_best_explanation_of_all_layers_is_the_sum_of_its_parts() -> None:
    seen = seen_of()
    for w in seen:
        w.case.answer.dW[1] = 3 * data_of(w, 1) + w.case.penalty(1)
        w.case.answer.db[0] = -w.case.right.db[0]
    state = explain(seen)
    assert state.cost == pytest.approx(2.2)
    assert [(f.layer, f.part, f.kind) for f in state.findings] == [(1, "W", "scale"), (0, "b", "sign")]
    assert not state.has_unknown
    assert len(state.deltas) == 2
    layers: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        layer = explain_module._layer
        patch.setattr(explain_module, "_layer", lambda *args: layers.append(args[1]) or layer(*args))
        assert explain(seen).findings == state.findings
    assert layers.count(0) < 6  # the dearer ones of the six states of the layer above cannot win
    only = explain(seen, False, [f for f in state.findings if f.layer == 1])
    assert [(f.layer, f.part, f.kind) for f in only.findings] == [
        (1, "W", "scale"),
        (0, "b", "sign"),
    ]  # of the right one
    for w in seen:
        w.case.answer.db[0] = np.cos(w.case.right.db[0])
    assert explain(seen).has_unknown
    assert isinstance(explain_parameters(seen, 0, deltas_of(seen, 0), False), Option)


def test_the_slope_at_a_perfect_fit_is_the_only_one_that_is_a_convention() -> None:
    model = [Layer(2, 2, "linear", rng=0)]
    model[0].W, model[0].b = np.eye(2), np.zeros(2)
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0, 5.0], [3.0, 1.0]])
    case = Experiment(model, x, y, [None], Solver("mae"), is_user_batch=True)
    found = [s.compute(case, None) for s in output_suspects(case) if ("Where the fit is "
                                                                      "perfect") in s.text]  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, [[[s / 2, -0.5], [s / 2, 0.5]] for s in (1, -1)])
