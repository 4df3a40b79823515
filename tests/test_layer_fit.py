"""Whether an equation explains what a code returned: up to rounding, a factor, a penalty."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn.compare.layers.fit import (
    EXACT,
    SINGLE,
    Witness,
    _terms,
    find_wrong_penalty,
    fit_scale,
    misfit,
    penalty_alone,
)

Array = Any
LAM, R = 0.3, 0.25


def witness(
    rows: int, method: str = "elasticnet", seed: int = 0, given: bool = False, dtype: Any = np.float64, **more: Any
) -> Witness:
    """An experiment with one layer of 3 inputs and 2 outputs."""
    rng = np.random.default_rng(seed)
    case: Any = SimpleNamespace(
        W=[rng.normal(size=(2, 3))], b=[rng.normal(size=2)], rows=rows, y=np.zeros((rows, 2)), is_user_batch=given,
        dtype=np.dtype(dtype), right=SimpleNamespace(loss=2.0),
        solver=SimpleNamespace(loss=more.get("loss", "mse"), regularization=SimpleNamespace(
            method=method, lam=more.get("lam", LAM if method != "none" else 0.0), r=R, dropout=0.2)),
    )  # fmt: skip
    return Witness(case, None)


def test_the_sizes_of_an_experiment_by_name() -> None:
    assert {k: v for k, v in witness(5).facts.items() if k != "L"} == {"N": 5, "n_out": 2, "p": 0.2, "lambda": LAM}
    assert math.isnan(witness(5).facts["L"])
    assert math.isnan(witness(5, loss="rmse").facts["L"])  # with a penalty in it
    assert witness(5, "none", loss="rmse").facts["L"] == 2.0
    W = witness(5).case.W[0]
    assert witness(5).penalty == pytest.approx(LAM * (R * np.abs(W).sum() + (1 - R) / 2 * (W**2).sum()))
    assert witness(5, "l2").penalty == pytest.approx(LAM / 2 * (W**2).sum())


@pytest.mark.parametrize(
    ("got", "wanted", "more", "found"),
    [
        ([1.0, 2.0], [1.0, 2.0], {}, 0.0), ([1.0, 2 + 2 * EXACT], [1.0, 2.0], {}, 1.0),
        ([1 + EXACT, 2.0], [1.0, 2.0], {}, 0.5),
        ([1.0], [1.0, 2.0], {}, math.inf), ([], [], {}, 0.0), ([1.0, np.nan], [1.0, 2.0], {}, math.inf),
        ([0.0, 0.0], [0.0, 0.0], {}, 0.0), ([0.0, 3e-8], [0.0, 0.0], {}, 1e8),
        ([0.0, 3e-8], [0.0, 0.0], {"floor": 6.0}, 0.5),
        ([0.0, 4.0], [0.0, 4 + 4e-8], {"floor": 1.0}, 1.0), ([4.0, 0.0], [4.0, 2 * EXACT], {}, 0.5),
    ],
)  # fmt: skip
def test_the_error_of_an_explanation_relative_to_its_tolerance(got: Any, wanted: Any, more: Any, found: float) -> None:
    assert misfit(witness(3), np.array(got), np.array(wanted), None, **more) == pytest.approx(found, rel=1e-6)


def test_float32_that_was_given_and_rounding_are_allowed_for() -> None:
    got, wanted = np.array([1 + SINGLE]), np.array([1.0])
    assert misfit(witness(3, given=True, dtype=np.float32), got, wanted) == pytest.approx(1.0, rel=1e-3)
    assert misfit(witness(3, dtype=np.float32), got, wanted) > 1e4
    assert misfit(witness(3, given=True), got, wanted) > 1e4
    eps = float(np.finfo(float).eps)
    bare = misfit(witness(3), np.array([1 + 1e-6]), wanted)
    rounding = np.array([1e-8 / eps])
    assert bare > misfit(witness(3), np.array([1 + 1e-6]), wanted, rounding) > 1e-3
    assert misfit(witness(3), np.array([1 + 1e-6]), wanted, np.ones((1, 1))) == bare


BASES = [np.array([1.0, -2, 0.5]), np.array([3.0, 1, 2])]
PAIR = [witness(4), witness(5, seed=1)]


@pytest.mark.parametrize(
    ("of", "name"),
    [
        (lambda w, p: 2 * p, "2"), (lambda w, p: p / w.case.rows, "1/N"), (lambda w, p: -p, "-1"),
        (lambda w, p: 0 * p, "0"),
        (lambda w, p: p * w.case.W[0].shape[0], "2"), (lambda w, p: p, "1"), (lambda w, p: p[::-1], None),
        (lambda w, p: p * np.nan, None), (lambda w, p: p[:2], None), (lambda w, p: p + 1, None),
        (lambda w, p: p * (1 + (w.case.rows == 5)), None), (lambda w, p: 1e-8 * p, "0"),
    ],
)  # fmt: skip
def test_a_factor_is_found_by_one_name_in_all_experiments(of: Any, name: str | None) -> None:
    fit = fit_scale(PAIR, [of(w, p) for w, p in zip(PAIR, BASES, strict=True)], BASES, [0.0, 0.0], 0)
    assert (fit and fit.name) == name


def test_a_factor_with_an_added_term_or_zeros() -> None:
    extra = [np.array([0.1, 0.2, 0.3]), 0.5]
    got = [3 * p + e for p, e in zip(BASES, extra, strict=True)]
    fit = fit_scale(PAIR, got, BASES, extra, 0)
    assert fit is not None
    assert fit.name == "3"
    assert fit_scale(PAIR, got, BASES, [np.ones(2), 0.5], 0) is None
    assert fit_scale(PAIR, [0 * BASES[0], 2 * BASES[1]], [0 * BASES[0], BASES[1]],
    [0.0, 0.0], 0).name == "2"
    assert fit_scale(PAIR, [BASES[0], 2 * BASES[1]], [0 * BASES[0], BASES[1]], [0.0, 0.0], 0) is None
    none = fit_scale(PAIR, [0 * p for p in BASES], [0 * p for p in BASES], [0.0, 0.0], 0)
    assert none is not None
    assert none.name == "1"
    tiny = [1e-9 * p for p in BASES]  # zero but for rounding, beside what else there is
    assert fit_scale(PAIR, [2 * p for p in tiny], tiny, [0.0, 0.0], 0).name == "2"
    assert fit_scale(PAIR, [2 * p for p in tiny], tiny, [0.0, 0.0], 0, [10.0,
    10.0]).name == "1"
    one = [np.array([1.0])]
    assert fit_scale(PAIR[:1], [1.2345 * one[0]], one, [0.0], 0) is None  # one number is some multiple of any other
    assert fit_scale(PAIR[:1], [3 * one[0]], one, [0.0], 0).name == "3"


def of(a: float, b: float, method: str = "elasticnet", by_rows: Any = None, doubled: bool = False,
part: str = "W") -> Any:
    """The explanation found if a sign(W) + b W is added to the answer, in two experiments of 4 and 5 rows."""
    seen = [witness(4, method), witness(5, method, seed=1)]
    base = [np.full((2, 3), 0.1), np.full((2, 3), -0.2)] if part == "W" else [np.full(2, 0.1), np.full(2, -0.2)]
    values = [getattr(w.case, part)[0] for w in seen]
    got = [p + (by_rows(w.case.rows) if by_rows else 1) * (a * np.sign(v) + b * v)
           for w, p, v in zip(seen, base, values, strict=True)]  # fmt: skip
    found = find_wrong_penalty(seen, got, base, 0, part, doubled)
    return found and (found.kind, found.text)


ANOTHER = "The penalty is that of {}; the solver asks for another."


@pytest.mark.parametrize(
    ("found", "kind", "text"),
    [
        (of(0, 0), "missing_penalty", "The gradient of the penalty is not added."),
        (of(0.15, 0.45), "extra_penalty", "The penalty is added twice, or differentiated without its 1/2."),
        (of(0.15, 0.45, doubled=True), "wrong_penalty",
        "The penalty is twice that of the solver: lambda is used instead of lambda/2."),
        (of(0.075, 0.225, by_rows=lambda n: n), "extra_penalty",
         "The penalty is added once for every sample; it should be added once for the batch."),
        (of(0.0375, 0.1125), "wrong_penalty", "The penalty is half that of the solver."),
        (of(0.075, 0.225, by_rows=lambda n: 1 / n), "wrong_penalty", "The penalty is 1/N of that of the solver."),
        (of(-0.075, -0.225), "sign", "The penalty is minus that of the solver."),
        (of(0.3, 0), "wrong_penalty", ANOTHER.format("l1")), (of(0, 0.3), "wrong_penalty", ANOTHER.format("l2")),
        (of(0.075, 0), "wrong_penalty", ANOTHER.format("only the l1 part of elasticnet")),
        (of(0, 0.225), "wrong_penalty", ANOTHER.format("only the l2 part of elasticnet")),
        (of(0.225, 0.075), "wrong_penalty", ANOTHER.format("elasticnet with r and 1 - r exchanged")),
        (of(0.3, 0.3), "wrong_penalty", ANOTHER.format("l1 and l2 together, each at full strength")),
        (of(0.11, 0.02), "wrong_penalty",
         "The gradient of the penalty is 0.11 sign(W) + 0.02 W; it should be 0.075 sign(W) + 0.225 W."),
        (of(0.5, 0, "l1"), "wrong_penalty", "The gradient of the penalty is 0.5 sign(W); it should be 0.3 sign(W)."),
        (of(0, 0.5, "none"), "extra_penalty", "A penalty is added to dW, but the solver asks for none."),
        (of(0, 0.5, part="b"), "extra_penalty", "A penalty is put on the biases; it belongs on the weights only."),
        (of(0.3, 0, "l1", by_rows=lambda n: 2), "extra_penalty",
         "The penalty is added twice, or differentiated without its 1/2."),
    ],
)  # fmt: skip
def test_a_wrong_penalty_is_named(found: Any, kind: str, text: str) -> None:
    assert found == (kind, text)


def test_arrays_that_are_no_penalty_are_not_called_one() -> None:
    assert of(0, 0, part="b") is None
    seen = [witness(4), witness(5, seed=1)]
    base = [np.zeros((2, 3))] * 2
    assert find_wrong_penalty(seen, [np.cos(w.case.W[0]) for w in seen], base, 0, "W", False) is None
    assert find_wrong_penalty(seen, [np.zeros((3, 2))] * 2, base, 0, "W", False) is None
    for method, l1, l2 in (("l1", 1.0, 0.0), ("elasticnet", R, 1 - R)):
        two = [witness(4, method), witness(5, method, seed=1)]
        got = [LAM * (l1 * np.abs(w.case.W[0]) + l2 * w.case.W[0]) for w in two]
        found = find_wrong_penalty(two, got, base, 0, "W", False)
        assert found is not None
        assert found.text == "The gradient of the penalty |W| is written as |W|; it should be sign(W)."
    flat = [witness(4, "l2"), witness(5, "l2", seed=1)]
    assert find_wrong_penalty(flat, [LAM * np.abs(w.case.W[0]) for w in flat], base, 0, "W", False) is None


def test_a_gradient_that_is_only_a_penalty_is_recognized() -> None:
    seen = [witness(4), witness(5, seed=1)]
    for f, what in ((lambda W: 0.7 * W, "W"), (lambda W: -0.2 * np.sign(W), "sign(W)")):
        text = penalty_alone(seen, [f(w.case.W[0]) for w in seen], 0)
        assert text is not None
        assert text.startswith(f"dW is a multiple of {what}, like the gradient of a penalty alone")
    assert penalty_alone(seen, [np.cos(w.case.W[0]) for w in seen], 0) is None
    assert penalty_alone(seen, [0 * w.case.W[0] for w in seen], 0) is None


@pytest.mark.parametrize(
    ("mine", "other", "text"),
    [
        ((0.5, 0.0), (0.3, 0.0), "0.5 sign(W)"), ((0.0, 0.25), (0.1, 0.2), "0.25 W"), ((0.1, 0.2),
        (0.3, 0.4), "0.1 sign(W) + 0.2 W"),
        ((0.0, 0.0), (0.1, 0.0), "0"), ((1e-9, 0.3), (0.0, 0.2), "0.3 W"), ((0.3000001, 0.0),
        (0.3, 0.0), "0.3 sign(W)"),
        ((0.30001, 0.0), (0.3, 0.0), "0.30001 sign(W)"),
    ],
)  # fmt: skip
def test_multiples_in_words(mine: Any, other: Any, text: str) -> None:
    assert _terms(mine, other) == text
