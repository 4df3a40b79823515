"""The parts of the search for mistakes in layers: factors, penalties, masks, and the sentences made of them."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.compare_parts import SETTINGS, experiment
from tinygrad_nn.compare.experiment import Answer
from tinygrad_nn.compare.factors import Factor
from tinygrad_nn.compare.layers.explain import (
    State,
    _apply_factor,
    _delta_finding,
    _extended,
    _with_alternatives,
    _with_unknown_delta,
    shows_in_batch,
)
from tinygrad_nn.compare.layers.findings import Finding, Option, allowed_suspects, by_factor
from tinygrad_nn.compare.layers.fit import (
    Witness,
    _another_penalty,
    _Multiple,
    _multiples,
    _terms,
    find_wrong_penalty,
    fit_scale,
    misfit,
    penalty_alone,
)
from tinygrad_nn.compare.layers.notes import batch_notes
from tinygrad_nn.compare.layers.parameter_gradients import (
    _cheapest_option,
    _Gradient,
    _kink_of_penalty,
    _penalty,
    follows_from_delta,
)
from tinygrad_nn.compare.layers.used_delta import recover, stale_mask

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(3)
A, P = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))


def case(method: str = "none", lam: float = 0.0, r: float = 0.0, rows: int = 5, **more: Any) -> Any:
    reg = SimpleNamespace(method=method, lam=lam, r=r, dropout=0.0)
    solver = SimpleNamespace(regularization=reg, loss="mse")
    made = {"rows": rows, "y": np.ones((rows, 2)), "is_user_batch": False, "dtype": np.dtype(float), "W": [A, P],
            "b": [A[0], P[0]], "solver": solver, "right": SimpleNamespace(loss=1.5), **more}  # fmt: skip
    return SimpleNamespace(**made)


def witness(*args: Any, **more: Any) -> Any:
    return Witness(case(*args, **more), None)


# -- Misfits and factors


@pytest.mark.parametrize(
    ("got", "wanted", "more", "rounding", "floor", "least", "most"),
    [
        ([1.0, 2.0], [1.0, 2.0], {}, None, 0.0, 0, 0), ([1.0, 2.0], [1.0, 2.0 + 1e-8], {}, None, 0.0, 0.49, 0.51),
        ([1.0, 2.0], [1.0 - 3e-8, 2.0], {}, None, 0.0, 1.49, 1.51),
        ([1.0, 2.0 + 1e-8], [1, 2.0], {}, None, 8.0, 0.12, 0.13),
        ([0.0], [4e-8], {}, None, 1.0, 3.9, 4.1), ([1.0, np.nan], [1.0, 2.0], {}, None, 0.0, np.inf, np.inf),
        ([1.0, 2.0], [[1.0, 2.0]], {}, None, 0.0, np.inf, np.inf), ([], [], {}, None, 0.0, 0, 0),
        ([1.0, 2.0], [1.0, 2.0 + 6e-4], {"is_user_batch": True, "dtype": np.dtype("f4")}, None, 0.0, 0.99, 1.01),
        ([1.0, 2.0], [1.0, 2.0 + 6e-4], {"is_user_batch": False, "dtype": np.dtype("f4")}, None, 0.0, 2e4, 4e4),
        ([1.0, 2.0], [1.0, 2.0 + 6e-4], {"is_user_batch": True}, None, 0.0, 2e4, 4e4),
        ([1.0, 2.0], [1.0, 2.0 + 1e-8], {}, [1.0], 0.0, 0.49, 0.51),  # of another shape
        ([0.0, 0.0], [0.0, 1e-300], {}, None, 0.0, 1, 1e9),
    ],
)  # fmt: skip
def test_how_far_an_explanation_is_off(
    got: Any, wanted: Any, more: Any, rounding: Any, floor: float, least: float, most: float
) -> None:
    w = witness(**more)
    for a, b in ((got, wanted), (wanted, got)):
        found = misfit(w, np.array(a), np.array(b), None if rounding is None else np.array(rounding), floor)
        assert least <= found <= most


def test_rounding_is_allowed_on_top() -> None:
    from tinygrad_nn.compare.numerical.noise import SAFETY

    got, wanted = np.array([1.0, 0.0]), np.array([1.0, 1e-6])
    noise = np.array([0.0, 1e-6 / (SAFETY * np.finfo(float).eps)])
    assert misfit(witness(), got, wanted) == pytest.approx(100)
    assert misfit(witness(), got, wanted, noise) == pytest.approx(1 / 1.01)
    assert misfit(witness(), got, wanted, noise[::-1]) == pytest.approx(100)


def fit(factors: Any, extra: Any = 0.0, base: Any = P, rows: Any = (5, 7), **more: Any) -> str | None:
    seen = [witness(rows=n, **more) for n in rows]
    got = [f * base + extra for f in factors]
    found = fit_scale(seen, got, [base] * len(seen), [extra] * len(seen), 0)
    return found and found.name


def test_the_factor_that_explains_all_experiments() -> None:
    assert fit([1, 1]) == "1"
    assert fit([-1, -1], A) == "-1"
    assert fit([5, 7], A) == "N"
    assert fit([0.2, 1 / 7]) == "1/N"
    assert fit([5, 5]) == "5"
    assert fit([5, 6]) is None
    assert fit([0, 0], A) == "0"
    assert fit([5e-8, 5e-8]) == "0"
    assert fit([2e-7, 2e-7]) == "2e-07"
    assert fit([5e-4, 5e-4], is_user_batch=True, dtype=np.dtype("f4")) == "0"
    assert fit([2e-3, 2e-3], is_user_batch=True, dtype=np.dtype("f4")) != "0"
    assert fit([5, 7], 0.0, np.array([2.0])) == "N"
    assert fit([1.37], 0.0, np.array([2.0]), [5]) is None  # one number is some multiple of any other
    assert fit([1.37], 0.0, np.array([2.0, 1.0]), [5]) == "1.37"
    assert fit([4], 0.0, np.array([2.0]), [5]) == "4"
    assert fit([2.0, 2.0]) == "2"  # the width of the layer as well
    assert fit([1, 1], A[0]) is None  # of another shape
    assert fit([np.nan, 1]) is None
    seen = [witness(rows=n) for n in (5, 7)]
    found = fit_scale(seen, [P, P + 1e-3], [P, P], [0.0, 0.0], 0)
    assert found is None
    found = fit_scale(seen, [5 * P, 7 * P], [P, P], [0.0, 0.0], 0)
    assert found is not None
    assert found.value == pytest.approx(5)
    # where an equation says zero, any factor would do: it tells nothing, if what was returned is zero as well
    found = fit_scale(seen, [0 * P, 7 * P], [0 * P, P], [0.0, 0.0], 0)
    assert found is not None
    assert found.name == "7"
    assert fit_scale(seen, [P, 7 * P], [0 * P, P], [0.0, 0.0], 0) is None
    assert fit_scale(seen, [A, A], [0 * P, 0 * P], [A, A], 0) == Factor("1", 1.0)
    tiny = 1e-10 * P
    assert fit_scale(seen, [5 * tiny, 7 * tiny], [tiny, tiny], [0.0, 0.0], 0, [1.0, 1.0]) == Factor("1", 1.0)
    found = fit_scale(seen, [5 * tiny, 7 * tiny], [tiny, tiny], [0.0, 0.0], 0, [1e-3, 1e-3])
    assert found is not None
    assert found.name == "N"


def test_the_sizes_of_an_experiment() -> None:
    w = witness("l2", 0.25, rows=6)
    w.case.solver.regularization.dropout = 0.1
    facts = w.facts
    assert {k: facts[k] for k in ("N", "n_out", "p", "lambda")} == {"N": 6, "n_out": 2, "p": 0.1, "lambda": 0.25}
    assert np.isnan(facts["L"])
    w.case.solver.loss = "rmse"
    assert np.isnan(w.facts["L"])  # with a penalty the loss is not the root alone
    w.case.solver.regularization.lam = 0.0
    assert w.facts["L"] == 1.5
    assert witness("l2", 0.5).penalty == pytest.approx(0.25 * ((A**2).sum() + (P**2).sum()))
    assert witness("l1", 0.5).penalty == pytest.approx(0.5 * (np.abs(A).sum() + np.abs(P).sum()))


# -- Penalties


SIGNS = np.sign(A)
PENALTIES: list[tuple[str, Any, str, str]] = [
    ("l2", lambda lam, n: 0 * A, "missing_penalty", "is not added"),
    ("l2", lambda lam, n: 2 * lam * A, "extra_penalty", "added twice"),
    ("l2", lambda lam, n: n * lam * A, "extra_penalty", "once for every sample"),
    ("l2", lambda lam, n: lam / 2 * A, "wrong_penalty", "is half that"),
    ("l2", lambda lam, n: lam / n * A, "wrong_penalty", "is 1/N of that"),
    ("l2", lambda lam, n: -lam * A, "sign", "is minus that"),
    ("l2", lambda lam, n: lam * SIGNS, "wrong_penalty", "is that of l1;"),
    ("l1", lambda lam, n: lam * A, "wrong_penalty", "is that of l2;"),
    ("l1", lambda lam, n: lam * np.abs(A), "wrong_penalty", "is written as |W|"),
    ("elasticnet", lambda lam, n: 0.3 * lam * SIGNS, "wrong_penalty", "only the l1 part"),
    ("elasticnet", lambda lam, n: 0.7 * lam * A, "wrong_penalty", "only the l2 part"),
    ("elasticnet", lambda lam, n: lam * (0.7 * SIGNS + 0.3 * A), "wrong_penalty", "r and 1 - r exchanged"),
    ("elasticnet", lambda lam, n: lam * (SIGNS + A), "wrong_penalty", "each at full strength"),
    ("elasticnet", lambda lam, n: 2 * lam * (0.3 * SIGNS + 0.7 * A), "extra_penalty", "added twice"),
    ("elasticnet", lambda lam, n: lam * (0.3 * np.abs(A) + 0.7 * A), "wrong_penalty", "is written as |W|"),
    ("l2", lambda lam, n: 3 * lam * A, "wrong_penalty", "is 0.6 W; it should be 0.2 W"),
    ("none", lambda lam, n: 0.1 * A, "extra_penalty", "solver asks for none"),
]


@pytest.mark.parametrize(("method", "made", "kind", "text"), PENALTIES, ids=[f"{m} {t}" for m, _, _, t in PENALTIES])
def test_wrong_penalties_are_recognized(method: str, made: Any, kind: str, text: str) -> None:
    strengths = ((0.2, 5), (0.5, 8)) if method != "none" else ((0.0, 5), (0.0, 8))
    seen = [witness(method, lam, 0.3, rows) for lam, rows in strengths]
    got = [P + made(w.case.solver.regularization.lam, w.case.rows) for w in seen]
    found = find_wrong_penalty(seen, got, [P, P], 0, "W", False)
    assert found is not None
    assert found.kind == kind
    assert text in found.text
    if "twice" in text:
        found = find_wrong_penalty(seen, got, [P, P], 0, "W", True)
        assert found is not None
        assert found.kind == "wrong_penalty"
        assert "lambda is used instead of lambda/2" in found.text
    assert find_wrong_penalty(seen, [g + 0.01 * RNG.normal(size=g.shape) for g in got], [P, P], 0, "W", False) is None


def test_a_penalty_on_biases_and_one_that_stands_alone() -> None:
    seen = [witness("l2", lam, rows=n) for lam, n in ((0.2, 5), (0.5, 8))]
    found = find_wrong_penalty(seen, [P[0] + 0.3 * A[0]] * 2, [P[0]] * 2, 0, "b", False)
    assert found is not None
    assert found.kind == "extra_penalty"
    assert "on the biases" in found.text
    assert find_wrong_penalty(seen, [P[0]] * 2, [P[0]] * 2, 0, "b", False) is None
    assert "multiple of W," in (penalty_alone(seen, [0.2 * A, 0.4 * A], 0) or "")
    assert "multiple of sign(W)," in (penalty_alone(seen, [0.2 * SIGNS, 0.2 * SIGNS], 0) or "")
    assert penalty_alone(seen, [0.2 * A, 0 * A], 0) is None
    assert penalty_alone(seen, [0.2 * A, P], 0) is None


def test_multiples_of_a_weight_and_its_sign() -> None:
    w = witness("elasticnet", 0.5, 0.2, 9)
    (m,) = _multiples((0, 1), [w], [P + 3 * SIGNS - 2 * A], [P], 0, "W") or [None]
    assert m is not None
    np.testing.assert_allclose(m.user_multiples, (3, -2), rtol=1e-12)
    np.testing.assert_allclose(m.right_multiples, (0.1, 0.4), rtol=1e-12)
    assert (m.lam, m.rows) == (0.5, 9)
    assert [(_multiples((1,), [witness(method, 0.5, 0.2)], [P + A], [P], 0, "W") or [m])[0].right_multiples
            for method in ("l1", "l2", "none")] == [(0.5, 0.0), (0.0, 0.5), (0.0, 0.0)]  # fmt: skip
    assert _multiples((1,), [w], [P + SIGNS], [P], 0, "W") is None
    assert _multiples((1,), [w], [P[0]], [P[0]], 0, "W") is None
    assert _multiples((1,), [w], [P], [P[0]], 0, "W") is None
    one = witness("l2", 0.5, W=[np.array([[2.0]])])  # of one weight any multiple would do
    assert _multiples((1,), [one], [np.array([[5.0]])], [np.array([[1.0]])], 0, "W") == []
    two = witness("l2", 0.5, W=[np.array([[2.0, 2.0]])])
    assert _multiples((0, 1), [two], [np.array([[5.0, 5.0]])], [np.array([[1.0, 1.0]])], 0, "W") == []
    zero = witness("l2", 0.5, W=[np.zeros((2, 3))])
    assert _multiples((1,), [zero], [P], [P], 0, "W") == []
    assert _multiples((1,), [zero], [P + 1], [P], 0, "W") is None


def multiple(found: tuple[float, float], right: tuple[float, float], lam: float = 1.0, rows: int = 5) -> _Multiple:
    return _Multiple(found, right, lam, rows)


def test_a_penalty_is_the_same_in_every_experiment_or_is_none_of_these() -> None:
    both = [multiple((0.0, 2.0), (0.0, 1.0)), multiple((0.0, 4.0), (0.0, 2.0))]
    assert _another_penalty(both, 1.0, False).kind == "extra_penalty"
    assert _another_penalty([both[0], multiple((0.0, 2.0), (0.0, 2.0))], 1.0, False).kind == "wrong_penalty"
    assert _another_penalty([multiple((0.0, 2.0 + 3e-5), (0.0, 1.0))], 1.0, False).kind == "wrong_penalty"
    assert _another_penalty([multiple((3e-5, 2.0), (0.0, 1.0))], 1.0, False).kind == "wrong_penalty"
    assert _another_penalty([multiple((0.0, 2.0 + 1e-5), (0.0, 1.0))], 1.0, False).kind == "extra_penalty"
    found = _another_penalty([multiple((0.25, 0.0), (0.0, 0.5), 0.5)], 0.5, False)
    assert found.text == "The gradient of the penalty is 0.25 sign(W); it should be 0.5 W."
    found = _another_penalty([multiple((0.25, 0.125), (0.1, 0.4), 0.5)], 0.5, False)
    assert found.text == "The gradient of the penalty is 0.25 sign(W) + 0.125 W; it should be 0.1 sign(W) + 0.4 W."


def test_terms_of_a_penalty_in_words() -> None:
    assert _terms((0.25, 0.0), (0.0, 0.5)) == "0.25 sign(W)"
    assert _terms((0.0, 0.5), (0.25, 0.0)) == "0.5 W"
    assert _terms((0.25, -0.5), (0.1, 0.5)) == "0.25 sign(W) + -0.5 W"
    assert _terms((0.0, 0.0), (0.0, 0.5)) == "0"
    assert _terms((1e-9, 0.5), (0.0, 0.25)) == "0.5 W"
    assert _terms((0.0, 1.00001), (0.0, 1.0)) == "1.00001 W"
    assert _terms((0.0, 1.000002), (0.0, 1.0)) == "1.000002 W"
    assert _terms((0.0, 1.0000001), (0.0, 1.0)) == "1 W"  # what rounding may do


# -- Sentences


@pytest.mark.parametrize(
    ("part", "factor", "beside", "kind", "text"),
    [
        ("W", Factor("-1", -1.0), False, "sign", "dW has the wrong sign: it is minus the right one."),
        ("W", Factor("-1", -1.0), True, "sign", ("The gradient of the loss in dW has the wrong sign: it is minus the "
                                                 "right one. The penalty is added correctly.")),
        ("b", Factor("0", 0.0), False, "scale", "db is zero, and should not be."),
        ("W", Factor("0", 0.0), True, "overwritten_not_accumulated", ("dW is the gradient of the penalty alone: the "
                                                                      "gradient of the loss is missing; the two should "
                                                                      "be added.")),
        ("delta", Factor("1-p", 0.8), False, "dropout_scale_missing", "The mask is used without its scale 1/(1 - p)."),
        ("delta", Factor("0.8", 0.8, ("1-p",)), False, "dropout_scale_missing",
         "The mask is used without its scale 1/(1 - p)."),
        ("delta", Factor("1/2", 0.5, ("1-p",)), False, "scale",
         "delta is 1/2 (here the same as 1-p, the inverse scale of the dropout mask) times the right one."),
        ("W", Factor("1-p", 0.8), False, "scale",
         "dW is 1-p (the inverse scale of the dropout mask) times the right one."),
        ("W", Factor("3", 3.0), True, "scale",
         "The gradient of the loss in dW is 3 times the right one. The penalty is added correctly."),
    ],
)  # fmt: skip
def test_a_factor_in_words(part: str, factor: Factor, beside: bool, kind: str, text: str) -> None:
    found = by_factor(2, part, factor, beside)
    assert (found.layer, found.part, found.kind, found.text, found.factor) == (2, part, kind, text, factor)


def suspect(kind: str, text: str = "It is wrong.", cost: float = 1.0) -> Any:
    return SimpleNamespace(kind=kind, text=text, cost=cost)


def test_a_mistake_in_delta_in_words() -> None:
    seen: Any = [witness()]
    seen[0].case.solver.regularization.dropout = 0.2
    one, twice = Factor("1", 1.0), Factor("2", 2.0)
    assert _delta_finding(suspect("right"), one, 1, seen) == ()
    assert _delta_finding(suspect("right"), twice, 1, seen) == (by_factor(1, "delta", twice),)
    assert _delta_finding(suspect("sign"), one, 1, seen) == (Finding(1, "delta", "sign", "It is wrong."),)
    assert _delta_finding(suspect("sign"), twice, 1, seen) == (
        Finding(1, "delta", "sign", "It is wrong. It is also multiplied by 2.", twice),)  # fmt: skip
    (scale,) = _delta_finding(suspect("dropout_scale_missing"), Factor("1.5", 1.5), 1, seen)
    assert scale.text == "The mask has the scale 1.5; it should be 1/(1 - p), which is 1.25."
    (scale,) = _delta_finding(suspect("dropout_scale_missing"), Factor("-2", -2.0), 1, seen)
    assert scale.text == "It is wrong. It is also multiplied by -2."


def test_options_with_equal_numbers_and_cost_are_alternatives() -> None:
    def option(cost: float, kind: str, text: str, factor: Factor | None = None) -> Option:
        return Option(cost, (Finding(0, "W", kind, text, factor),))

    best = option(1.0, "scale", "A.")
    found = _cheapest_option([option(1.6, "sign", "far"),
                      best, option(1.4, "transpose", "B."), option(1.2, "sign", "C."),
                      option(1.1, "scale", "D."), option(1.0, "other", "A."),
                      option(1.1, "transpose", "times", Factor("2", 2.0)),
                      option(1.1, "scale", "E.", Factor("2", 2.0))])  # fmt: skip
    (f,) = found.findings
    assert (found.cost, f.kind, f.text) == (1.0, "scale", "A.")
    assert f.alternatives == ("transpose", "sign")
    assert f.evidence == tuple(f"the same numbers would come from this: {t}" for t in ("B.", "C."))
    (f,) = _cheapest_option([best, option(1.45, "sign", "near")]).findings
    assert f.alternatives == ("sign",)
    (f,) = _cheapest_option([best, option(1.46, "sign", "beyond")]).findings
    assert f.alternatives == ()


def test_mistakes_in_delta_that_compute_the_same_are_twins() -> None:
    def state(cost: float, kind: str, delta: Array | None, part: str = "delta") -> State:
        return State((delta, None), (Finding(2, "W", "scale", ""), Finding(1, part, kind, "")), cost)

    states = [state(1.0, "sign", A), state(1.59, "scale", A), state(1.0, "kink", A), state(1.0, "unknown", A),
              state(1.0, "transpose", P), state(1.0, "other", A, "W"), state(1.7, "far", A),
              State((A, None), (Finding(2, "W", "scale", ""),), 0.5)]  # fmt: skip
    found = _with_alternatives(states, 1)
    assert [s.findings[1].alternatives for s in found if len(s.findings) > 1] == [
        ("scale",), ("far", "sign"), ("scale", "sign"), ("scale", "sign"), (), (), ("scale", "sign")]  # fmt: skip
    assert [(s.cost, s.findings[0]) for s in found] == [(s.cost, s.findings[0]) for s in states]
    assert found[-1] is states[-1]


def test_only_what_another_explanation_names_is_allowed() -> None:
    every = [suspect("right"), suspect("sign", "minus"), suspect("scale", "twice")]
    named = [Finding(1, "W", "sign", "dW: minus, and more"), Finding(0, "W", "scale", "twice")]
    assert list(allowed_suspects(iter(every), 1, None)) == every
    assert list(allowed_suspects(iter(every), 1, named)) == every[:2]
    assert list(allowed_suspects(iter(every), 0, named)) == [every[0], every[2]]
    assert list(allowed_suspects(iter(every), 2, named)) == every[:1]


def test_a_state_is_carried_on() -> None:
    before = State((A, P, A), (Finding(1, "W", "sign", ""),), 1.5, ((P, P, P),))
    mine = Finding(0, "b", "scale", "")
    after = _extended(before, [0, 2], [P, A], [mine], 0.25)
    assert [d is x for d, x in zip(after.delta, (P, None, A), strict=True)] == [True] * 3
    assert (after.findings, after.cost, after.deltas) == ((*before.findings, mine), 1.75, ((P, P, P), (P, None, A)))
    seen: Any = [SimpleNamespace(case=SimpleNamespace(answer=SimpleNamespace(delta=[A, P]),
                                                      right=SimpleNamespace(delta=[P, A])))]  # fmt: skip
    told = _with_unknown_delta(seen, 1, before)
    (f,) = told.findings[1:]
    assert (f.layer, f.part, f.kind, told.cost) == (1, "delta", "unknown", 5.5)
    assert f.user_array is P
    assert f.right_array is A
    assert told.delta == (None, None, None)
    seen[0].case.answer.delta = None
    assert _with_unknown_delta(seen, 1, before).findings[1].user_array is None


# -- Equations on experiments


@pytest.fixture
def seen() -> list[Witness]:
    """Two experiments with a penalty, whose answers are right."""
    found = []
    for setting in ("heavy", "deep"):
        made = experiment(SETTINGS[setting])
        right = made.right
        parts = ([g.copy() for g in part] for part in (right.dW, right.db, right.delta))
        made.answer = Answer(float(right.loss), *parts)
        found.append(Witness(made, None))
    return found


def test_the_right_equation_follows_from_a_delta(seen: list[Witness]) -> None:
    for w in seen:
        c = w.case
        for k in range(len(c.W)):
            d = c.right.delta[k]
            assert follows_from_delta([w], k, "W", [d])
            assert follows_from_delta([w], k, "b", [d])
            assert not follows_from_delta([w], k, "W", [1.001 * d])
            assert not follows_from_delta([w], k, "b", [1.001 * d])
            c.answer.db[k] = c.answer.db[k] + 1e-3
            assert follows_from_delta([w], k, "W", [d])
            assert not follows_from_delta([w], k, "b", [d])


def test_a_finding_is_needed_where_the_right_equation_fails(seen: list[Witness]) -> None:
    w = seen[0]
    right = list(w.case.right.delta)
    last = len(right) - 1
    for k in range(last + 1):
        for part in ("W", "b", "W and b", "delta"):
            assert not shows_in_batch(w, right, Finding(k, part, "scale", ""))
        wrong = [*right[:k], 2 * right[k], *right[k + 1 :]]
        assert shows_in_batch(w, wrong, Finding(k, "delta", "scale", ""))
        assert shows_in_batch(w, wrong, Finding(k, "W", "scale", ""))
        assert shows_in_batch(w, wrong, Finding(k, "b", "scale", ""))
        unknown = [*right[:k], None, *right[k + 1 :]]
        assert shows_in_batch(w, unknown, Finding(k, "delta", "scale", ""))
        if k:
            assert shows_in_batch(w, unknown, Finding(k - 1, "delta", "scale", ""))
            assert not shows_in_batch(w, unknown, Finding(k - 1, "W", "scale", ""))
    w.case.answer.dW[0] = 2 * w.case.answer.dW[0]
    assert shows_in_batch(w, right, Finding(0, "W and b", "scale", ""))
    assert shows_in_batch(w, right, Finding(0, "W", "scale", ""))
    assert not shows_in_batch(w, right, Finding(0, "b", "scale", ""))


def test_below_a_delta_that_is_not_known_a_finding_is_needed_whatever_the_delta() -> None:
    made = experiment(SETTINGS["square"])
    out = made.right.delta[-1]
    made.answer = Answer(0.0, made.right.dW, made.right.db, None)
    below = len(made.W) - 2
    assert made.right.delta[below].shape == out.shape
    deltas = [*made.right.delta[:below], out, None]  # what would be right in the last layer
    assert shows_in_batch(Witness(made, None), deltas, Finding(below, "delta", "scale", ""))


def test_a_delta_is_read_from_what_follows_from_it(seen: list[Witness]) -> None:
    w = seen[0]
    c = w.case
    for k in range(len(c.W)):
        told = recover(w, k)
        assert told is c.answer.delta[k]  # type: ignore[index]
    c.answer.delta[1] = c.answer.delta[1][:1]  # type: ignore[index]
    assert recover(w, 1) is None
    c.answer.delta[0] = c.answer.delta[0] * np.nan  # type: ignore[index]
    assert recover(w, 0) is None


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_a_missing_delta_is_recovered_from_dW_and_db(rows: int) -> None:
    setting = SETTINGS["heavy"]
    made = experiment(setting)
    few = type(made)(made.model, made.x[:rows], made.y[:rows], [m if m is None else m[:rows] for m in made.masks],
                     made.solver, is_user_batch=True)  # fmt: skip
    factor = 1.0 + np.arange(rows)[:, None]
    w = Witness(few, None)
    for k in range(len(few.W)):
        delta = factor * few.right.delta[k]
        dW = [g.copy() for g in few.right.dW]
        db = [g.copy() for g in few.right.db]
        dW[k], db[k] = delta.T @ few.into(k) + few.penalty(k), delta.sum(axis=0)
        few.answer = Answer(0.0, dW, db, None)
        found = recover(w, k)
        if rows > few.into(k).shape[1] + 1:
            assert found is None
            continue
        assert found is not None
        np.testing.assert_allclose(found, delta, rtol=1e-7, atol=1e-9)
        few.answer.db[k] = db[k][:1] if len(db[k]) > 1 else db[k][:0]
        assert recover(w, k) is None
        few.answer.db[k] = db[k]
        few.answer.dW[k] = dW[k] * np.inf
        assert recover(w, k) is None
        few.answer.dW[k] = dW[k] + RNG.normal(size=dW[k].shape)
        if rows < few.into(k).shape[1]:
            assert recover(w, k) is None


def test_another_mask_than_that_of_the_forward_pass() -> None:
    made = experiment(SETTINGS["dropped"])
    k = next(k for k, m in enumerate(made.masks) if m is not None)
    p = made.solver.regularization.dropout
    above = made.right.delta[k + 1]
    from tinygrad_nn import manual as by_hand

    open_ = by_hand.activation(made.names[k]).vjp(above @ made.W[k + 1], made.z[k], made.f[k])
    rng = np.random.default_rng(0)
    other = (rng.random(open_.shape) > p) / (1 - p)
    w = Witness(made, None)
    (delta,) = stale_mask([w], k, [above], [other * open_]) or [None]
    np.testing.assert_allclose(delta, other * open_, rtol=1e-12)
    (bare,) = stale_mask([w], k, [above], [(other > 0) * open_]) or [None]  # without its scale
    np.testing.assert_allclose(bare, (other > 0) * open_, rtol=1e-12)
    own = made.masks[k]
    assert stale_mask([w], k, [above], [own * open_]) is None  # that of the forward pass
    assert stale_mask([w], k, [above], [1.1 * other * open_]) is None
    assert stale_mask([w], k, [above], [other * open_ + 0.3 * open_]) is None
    assert stale_mask([w], k, [None], [other * open_]) is None
    assert stale_mask([w], len(made.W) - 1, [above], [other * open_]) is None  # a layer without a mask
    two = stale_mask([w, w], k, [above, above], [other * open_, None])
    assert two is not None
    assert two[1] is None


def test_a_factor_by_its_name_in_each_experiment() -> None:
    w = witness(rows=6)
    for name, value in (("N", 6), ("-N", -6), ("1/N", 1 / 6), ("width", 2), ("n_out", 2), ("1", 1), ("-1", -1)):
        np.testing.assert_allclose(_apply_factor(w, Factor(name, 99.0), A, 0), value * A, rtol=1e-15)
    np.testing.assert_allclose(_apply_factor(w, Factor("-3.5", -3.5), A, 0), -3.5 * A, rtol=1e-15)
    np.testing.assert_allclose(_apply_factor(w, Factor("3.5", 3.5), A, 0), 3.5 * A, rtol=1e-15)


def test_factors_with_and_without_the_penalty() -> None:
    w = [witness("l2", 0.5, rows=n) for n in (5, 7)]
    extra: list[Any] = [0.5 * A, 0.5 * A]
    base = [P, 2 * P]
    mine = [5 * p + e for p, e in zip(base, extra, strict=True)]
    found = [(f.name, beside) for f, beside in _Gradient(w, 0, "W", mine, []).fitting_factors(base, extra)]
    assert found == [("5", True)]
    mine = [5 * (P + 0.5 * A), 7 * (2 * P + 0.5 * A)]
    found = [(f.name, b) for f, b in _Gradient(w, 0, "W", mine, []).fitting_factors(base, extra)]
    assert found == [("N", False)]
    mine = [P + 0.5 * A, 2 * P + 0.5 * A]
    found = [(f.name, b) for f, b in _Gradient(w, 0, "W", mine, []).fitting_factors(base, extra)]
    assert found == [("1", True), ("1", False)]
    found = [(f.name, b) for f, b in _Gradient(w, 0, "W", [5 * P, 14 * P], []).fitting_factors(base, [0.0, 0.0])]
    assert found == [("N", False)]


def test_the_penalty_of_an_equation_of_another_shape() -> None:
    penalty = np.arange(6.0).reshape(2, 3)
    w: Any = SimpleNamespace(case=SimpleNamespace(penalty=lambda k: penalty + k))
    np.testing.assert_array_equal(_penalty(w, 1, P, "scale"), penalty + 1)
    np.testing.assert_array_equal(_penalty(w, 0, P.T, "transpose"), penalty.T)
    assert _penalty(w, 0, P.T, "scale") == 0.0
    each = np.zeros((4, 2, 3))
    np.testing.assert_array_equal(_penalty(w, 0, each, "broadcast_not_summed"), np.broadcast_to(penalty, (4, 2, 3)))
    assert _penalty(w, 0, each, "scale") == 0.0
    np.testing.assert_array_equal(_penalty(w, 0, P, "transpose"), penalty)


@pytest.mark.parametrize(("method", "strength"), [("l1", 0.5), ("elasticnet", 0.1)])
def test_the_slope_of_a_penalty_where_a_weight_is_0(method: str, strength: float) -> None:
    W = np.array([[0.0, 2.0, -1.0], [3.0, 0.0, 0.5]])
    w = witness(method, 0.5, 0.2, W=[W], into=lambda k: np.ones((5, 3)), penalty=lambda k: 0.25 * np.sign(W))
    delta = RNG.normal(size=(5, 2))
    right = delta.T @ np.ones((5, 3)) + 0.25 * np.sign(W)
    for sign in (1, -1):
        (option,) = _kink_of_penalty([w], 0, "W", [right + sign * strength * (W == 0)], [delta])
        assert option.cost == 0.3
        assert f"takes the slope {sign} there" in option.findings[0].text
        assert (option.findings[0].kind, option.findings[0].layer, option.findings[0].part) == ("kink", 0, "W")
        assert list(_kink_of_penalty([w], 0, "b", [right + sign * strength * (W == 0)], [delta])) == []
        assert list(_kink_of_penalty([w], 0, "W", [right + 2 * sign * strength * (W == 0)], [delta])) == []
    none = witness("l2", 0.5, 0.2, W=[W], into=w.case.into, penalty=w.case.penalty)
    assert list(_kink_of_penalty([none], 0, "W", [right + 0.5 * (W == 0)], [delta])) == []
    some = witness(method, 0.5, 0.2, W=[W + 9], into=w.case.into, penalty=w.case.penalty)
    assert list(_kink_of_penalty([some], 0, "W", [right], [delta])) == []


# -- Notes


def notes(loss: float, others: int = 3, names: tuple[str, ...] = ("tanh",), z: Any = ((1.0, 2.0),), **more: Any) -> str:
    zeros = np.array(z)
    right = SimpleNamespace(loss=2.0, dW=[np.ones((2, 2)), np.zeros((2, 2))], db=[np.zeros(2), np.ones(2)])
    made = case("l2", more.pop("lam", 0.0), names=list(names), z=[zeros] * len(names), right=right, W=[np.ones((1, 1))],
                answer=SimpleNamespace(loss=loss), **more)  # fmt: skip
    rows = [SimpleNamespace(name=f"layer {k} {p}", role="parameter") for k in (1, 2) for p in "Wb"]
    rows.append(SimpleNamespace(name="layer 1 delta", role="input"))
    return " | ".join(batch_notes(Witness(made, None), others, rows))  # type: ignore[arg-type]


def test_notes_on_a_batch() -> None:
    plain = notes(2.0)
    assert "does not depend on layer 1 b in this batch" in plain
    assert "does not depend on layer 2 W in this batch" in plain
    assert plain.count("does not depend") == 2
    assert plain.count("3 random batches were checked as well") == 2
    assert "other sizes" not in plain
    assert "the loss of this batch" not in plain
    assert "random batches" not in notes(2.0, 0)
    assert "could run on no batch of another size" in notes(2.0, 0)
    assert "could run on only one batch of another size" in notes(2.0, 1)
    assert "other sizes" not in notes(2.0, 2)
    assert "exactly 0" not in plain
    text = notes(2.0, 3, ("relu", "tanh", "leaky_relu"), ((0.0, 1.0, 0.0),))
    assert "In layer 1 z is exactly 0 at 2 of 3 places, where relu has a kink." in text
    assert "the graph takes 0, by" in text
    assert "In layer 3 z is exactly 0 at 2 of 3 places, where leaky_relu has a kink." in text
    assert "the graph takes alpha, by" in text
    assert "In layer 2" not in text
    assert "exactly" not in notes(2.0, 3, ("relu",), ((1.0, -1.0),))


@pytest.mark.parametrize(
    ("loss", "lam", "dtype", "told", "without"),
    [
        (2.0, 0.0, "f8", False, False), (2.0 + 1e-8, 0.0, "f8", False, False), (2.0 + 1e-7, 0.0, "f8", True, False),
        (2.0 + 1e-7, 0.0, "f4", False, False), (2.0 + 1e-3, 0.0, "f4", True, False),
        (1.75, 0.5, "f8", True, True), (1.75 + 1e-7, 0.5, "f8", True, True), (1.75 + 1e-5, 0.5, "f8", True, False),
        (1.75, 0.0, "f8", True, False), (2.25, 0.5, "f8", True, False),
    ],
)  # fmt: skip
def test_the_loss_that_was_returned(loss: float, lam: float, dtype: str, told: bool, without: bool) -> None:
    """The penalty of one weight that is 1 is lam/2."""
    text = notes(loss, lam=lam, dtype=np.dtype(dtype))
    assert ("is not the loss of this batch, 2" in text) is told
    printed = re.findall(r"returned, (\S+), is not the loss of this batch, (\S+)\.(?: |$)", text)
    assert [a != b for a, b in printed] == [True] * told  # two numbers that differ do not look alike
    assert ("That is the loss without its penalty." in text) is without


# -- Verdicts


def judged(dW: Array, db: Array, right: Array = A, *, noise: bool = True, penalty: Any = 0.0) -> Any:
    """A verdict on one layer, with the given answer and the right one."""
    ones = SimpleNamespace(dW=[np.ones_like(A)], db=[np.ones(2)])
    made = case(W=[A], penalty=lambda k: penalty + 0 * A, answer=SimpleNamespace(dW=[dW], db=[db]),
                right=SimpleNamespace(dW=[right], db=[B]))  # fmt: skip
    return SimpleNamespace(user_batch=SimpleNamespace(case=made, noise=ones if noise else None))


B = np.array([0.5, -2.0])
EPS = float(np.finfo(float).eps)


def test_a_gradient_that_is_a_multiple_of_the_right_one() -> None:
    from tinygrad_nn.compare.layers.verdict import _is_multiple
    from tinygrad_nn.compare.numerical.noise import SAFETY

    assert _is_multiple(judged(3 * A, 3 * B).user_batch, 3.0)
    assert not _is_multiple(judged(3 * A, 3 * B, noise=False).user_batch, 3.0)
    assert not _is_multiple(judged(3 * A, 2 * B).user_batch, 3.0)
    assert not _is_multiple(judged(2 * A, 3 * B).user_batch, 3.0)
    assert _is_multiple(judged(3 * A + 0.25, 3 * B, A + 0.25, penalty=0.25).user_batch, 3.0)  # the penalty as it is
    assert not _is_multiple(judged(3 * (A + 0.25), 3 * B, A + 0.25, penalty=0.25).user_batch, 3.0)
    allowed = SAFETY * EPS * 4
    assert _is_multiple(judged(3 * A, 3 * B + 0.9 * allowed).user_batch, 3.0)
    assert _is_multiple(judged(3 * A, 3 * B - 0.9 * allowed).user_batch, 3.0)
    assert not _is_multiple(judged(3 * A, 3 * B + 1.2 * allowed).user_batch, 3.0)
    assert _is_multiple(judged(-3 * A, -3 * B + 0.9 * allowed).user_batch, -3.0)


def test_gradients_that_differ_by_rounding_to_float32() -> None:
    from tinygrad_nn.compare.layers.verdict import SINGLE, _is_rounding, _rounding

    rows = [SimpleNamespace(name="layer 1 W", note="", odd="manual", wrong=1.0, max_rel=2e-7),
            SimpleNamespace(name="layer 1 b", note="", odd="", wrong=0.5, max_rel=5e-7)]  # fmt: skip
    single = A.astype("f4").astype(float), B.astype("f4").astype(float)
    right: Any = rows
    verdict = judged(*single)
    assert _is_rounding(right, verdict)
    assert _is_rounding(right[:1], verdict)
    assert not _is_rounding(right[1:], verdict)  # of so few entries nothing can be told
    assert not _is_rounding(right, judged(*single, noise=False))
    assert not _is_rounding(right, judged(A, B))
    assert not _is_rounding(right, judged(single[0], B + 0.1))
    off = single[0].copy()
    off[0, 0] = np.float32(A[0, 0] + 3.5 * SINGLE)
    assert _is_rounding(right, judged(off, single[1]))
    off[0, 0] = np.float32(A[0, 0] + 5.5 * SINGLE)
    assert not _is_rounding(right, judged(off, single[1]))
    for change in ({"note": "has shape"}, {"odd": "graph"}, {"odd": "numerical"}):
        assert not _is_rounding([SimpleNamespace(**{**vars(rows[0]), **change}), rows[1]], verdict)
    few = [SimpleNamespace(**{**vars(row), "wrong": 0.2}) for row in rows]
    assert not _is_rounding(few, verdict)
    text = _rounding(right)
    assert (text.kind, text.where) == ("rounding", "layer 1 W, layer 1 b")
    assert text.evidence[0].startswith("the largest relative difference is 5.0e-07; the machine epsilon of float32 is")


def test_the_experiments_in_which_an_explanation_is_looked_for() -> None:
    from tinygrad_nn.compare.layers.verdict import _experiment_sets

    given: Any = SimpleNamespace(case=SimpleNamespace(is_large=False))
    one, two, three = ([SimpleNamespace(k=k)] for k in range(3))
    every: Any = (one, two, three)
    assert _experiment_sets(given, *every) == [[given, *one], [given, *two], [given, *three], [given]]
    given.case.is_large = True
    assert _experiment_sets(given, *every) == [one]
    assert _experiment_sets(given, [], two, three) == [three]  # type: ignore[arg-type]
