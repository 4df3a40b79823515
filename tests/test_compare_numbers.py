"""The numbers of a comparison: each column of a row against its definition, and how tight the rounding bounds are."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.wrong_backward import DEEP, HEAVY, NARROW, PROBABLE, ROOT, YESNO, Setting, student
from tinygrad_nn import BackProp, FeedForward, Layer, Regularization, Solver, compare_gradients, manual
from tinygrad_nn.compare.experiment import Answer, Experiment, _targets
from tinygrad_nn.compare.factors import PLAIN, name_factor
from tinygrad_nn.compare.layers.explain import State, _with_alternatives, explain
from tinygrad_nn.compare.layers.findings import Finding
from tinygrad_nn.compare.layers.fit import Witness
from tinygrad_nn.compare.layers.suspects import _slope_from
from tinygrad_nn.compare.layers.used_delta import recover
from tinygrad_nn.compare.numerical import activations, referee
from tinygrad_nn.compare.numerical.noise import bounds
from tinygrad_nn.compare.pattern import describe, fraction

Array = Any
EPS = float(np.finfo(np.float32).eps)


def columns(mine: Array, right: Array) -> dict[str, float]:
    """The columns of a row, by their definitions."""
    m, g = mine.ravel(), right.ravel()
    apart = np.abs(m - g)
    wrong = apart > 1e-9 * np.abs(g).max()
    with np.errstate(all="ignore"):
        relative = apart / np.maximum(np.abs(m), np.abs(g))
    return {
        "max_abs": apart.max(), "max_rel": relative[wrong].max(), "cosine": m @ g / np.sqrt((m @ m) * (g @ g)),
        "ratio": m @ g / (g @ g), "wrong": wrong.mean(),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_each_column_of_a_row_is_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    model, x, y, solver = DEEP.build(seed)
    right = BackProp(model, FeedForward(model, x), y, solver=solver)
    noisy = [[g + rng.normal(size=g.shape) * np.abs(g).max() * (rng.random(g.shape) < 0.7) for g in part]
             for part in (right.dW, right.db)]  # fmt: skip
    fixed = lambda *_, **__: (right.loss, *noisy)
    report = compare_gradients(model, x, y, solver=solver, manual=fixed)
    W = rng.normal(size=(4, 3))
    target = np.cos(W)
    other = compare_gradients(lambda W: np.sin(W).sum(), W, manual=target * rng.uniform(0.2, 3, W.shape))
    pairs = [(report.rows[2 * k + j], noisy[j][k], (right.dW, right.db)[j][k]) for k in range(3) for j in range(2)]
    mine = other.rows[0]
    assert mine.cosine < 0.999
    for row, got, wanted in pairs:
        for name, number in columns(got, wanted).items():
            assert getattr(row, name) == pytest.approx(number, rel=1e-9), (row.name, name)
        apart = np.abs(got - wanted)
        assert apart[row.worst] > 0.05 * apart.max()  # the worst by what rounding may do to each entry
        assert (row.manual, row.graph) == (pytest.approx(got[row.worst]), pytest.approx(wanted[row.worst]))
        assert row.numerical == pytest.approx(row.graph, rel=1e-9)
        assert 0 < row.checked <= got.size
        heat = row.error
        assert heat is not None
        np.testing.assert_allclose(heat, np.atleast_2d(apart / np.abs(wanted).max()), rtol=1e-9, atol=1e-12)
    text, page = str(report), report.to_html()
    assert f"{report.rows[0].ratio:.4g}" in text
    assert f"<td>{report.rows[0].cosine:.6g}</td>" in page


def test_errors_are_shown_as_they_are_where_the_gradient_is_zero() -> None:
    wrong = np.array([[0.5, 0.0], [-3.0, 1e-3]])
    (row,) = compare_gradients(lambda W: (0.0 * W).sum(), np.ones((2, 2)), manual=wrong).rows
    assert row.error is not None
    np.testing.assert_array_equal(row.error, np.abs(wrong))


def test_the_cosine_of_gradients_that_are_zero() -> None:
    x = np.ones(3)
    zero = compare_gradients(lambda x: np.sin(x).sum(), x, manual=np.zeros(3)).rows[0]
    assert (zero.cosine, zero.ratio, zero.max_rel) == (0.0, 0.0, 1.0)
    both = compare_gradients(lambda x, y: (0 * x + y).sum(), (x, x), manual=(np.zeros(3), np.ones(3))).rows
    assert [(row.cosine, row.ratio) for row in both] == [(1.0, 1.0), (pytest.approx(1), 1.0)]
    minus = compare_gradients(lambda x: np.sin(x).sum(), x, manual=-np.cos(x)).rows[0]
    assert (minus.cosine, minus.ratio) == (pytest.approx(-1), pytest.approx(-1))


# -- Bounds of rounding


def rounded(array: Array, rng: np.random.Generator) -> Array:
    """Return an array in float32, with random errors of up to half of the last digit."""
    return (array * (1 + EPS * rng.uniform(-0.5, 0.5, array.shape))).astype(np.float32)


def shares(setting: Setting, draws: int = 12) -> dict[tuple[str, int], Array]:
    """The largest error of float32 in each entry, divided by its bound."""
    rng = np.random.default_rng(0)
    model, x, y, solver = setting.build(0)
    reg, names = solver.regularization, [layer.activation for layer in model]
    drawn = [(rng.random((len(x), layer.n_out)) > reg.dropout) / (1 - reg.dropout) for layer in model[:-1]]
    masks = [*(drawn if reg.dropout else [None] * len(drawn)), None]
    case = Experiment(model, x, y, masks, solver)
    noise = bounds(case)
    found: dict[tuple[str, int], Array] = {}
    for _ in range(draws):
        W, b = [rounded(layer.W.data, rng) for layer in model], [rounded(layer.b.data, rng) for layer in model]
        own = [None if m is None else m.astype(np.float32) for m in masks]
        z, a = manual.forward(W, b, names, rounded(x, rng), own)
        back = manual.backward(W, names, rounded(x, rng), z, a, rounded(y, rng), loss=solver.loss, penalty=reg.method,
                               lam=reg.lam, r=reg.r, masks=own)  # fmt: skip
        for part, got, right in (("z", z, case.z), ("a", a, case.a), *(
            (part, getattr(back, part), getattr(case.right, part)) for part in ("delta", "dW", "db")
        )):  # fmt: skip
            for k, (g, r, n) in enumerate(zip(got, right, getattr(noise, part), strict=True)):
                with np.errstate(invalid="ignore"):
                    share = np.where(n > 0, np.abs(g - r) / (EPS * n), 0)
                found[part, k] = np.maximum(found.get((part, k), 0), share)
    return found


# of the median entry of each array, the share of the bound that errors reach: as tight as this it has to stay
TIGHT = {"z": 0.1, "a": 0.05, "delta": 0.006, "dW": 0.005, "db": 0.004}
SETTINGS = (
    DEEP, NARROW, YESNO, ROOT, PROBABLE, HEAVY, replace(DEEP, loss="binarycrossentropy"),
    replace(YESNO, loss="crossentropy"), replace(NARROW, names=("gelu", "softplus", "sigmoid"), loss="mae"),
    replace(DEEP, scale=4.0), replace(ROOT, method="elasticnet", lam=5.0),
)  # fmt: skip


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: f"{s.loss}-{s.names[-1]}-{s.method}-{s.scale:g}")
def test_bounds_of_rounding_hold_and_are_tight(setting: Setting) -> None:
    for (part, k), share in shares(setting).items():
        assert share.max() < 2, (part, k)
        assert np.median(share[share > 0]) > TIGHT[part], (part, k)


def test_bounds_of_rounding_are_the_sums_of_absolute_values() -> None:
    """A hidden layer of tanh, a linear one, and the mean of squares, term by term."""
    model, x, y, solver = Setting((3, 4, 2), ("tanh", "linear"), "mse", 5, "l2", 0.3).build(0)
    case = Experiment(model, x, y, [None, None], solver)
    found, (W0, W1), (b0, b1), a, d, N = bounds(case), case.W, case.b, case.a, case.right.delta, 5
    z0 = np.abs(x) @ np.abs(W0).T + np.abs(b0)
    slope = 1 - a[0] ** 2
    a0 = slope * z0 + np.abs(a[0])
    z1 = (np.abs(a[0]) + a0) @ np.abs(W1).T + np.abs(b1)
    a1 = z1 + np.abs(a[1])
    g = 2 * np.abs(a[1] - y) / N
    delta1 = 2 * g + 2 * (a1 + np.abs(a[1]) + np.abs(y)) / N
    g = np.abs(d[1]) @ np.abs(W1)
    delta0 = slope * (delta1 @ np.abs(W1) + g + g * (1 + 2 * z0)) + g
    n0, n1 = delta0 + np.abs(d[0]), delta1 + np.abs(d[1])
    dW = [n0.T @ np.abs(x) + 0.3 * np.abs(W0), n1.T @ np.abs(a[0]) + np.abs(d[1]).T @ a0 + 0.3 * np.abs(W1)]
    wanted = {"z": [z0, z1], "a": [a0, a1], "delta": [delta0, delta1], "dW": dW, "db": [n0.sum(0), n1.sum(0)]}
    for part, arrays in wanted.items():
        for mine, right in zip(getattr(found, part), arrays, strict=True):
            np.testing.assert_allclose(mine, right, rtol=1e-12)


def test_an_error_just_above_the_bound_is_seen_and_one_below_is_not() -> None:
    model, x, y, solver = NARROW.build(0)
    right = BackProp(model, FeedForward(model, x), y, solver=solver)
    case = Experiment(model, x, y, [None] * 3, solver)
    bound = bounds(case).dW[1]
    eps = float(np.finfo(np.float64).eps)
    for factor, ok in ((0.5, True), (1.5, False)):
        dW = [g.copy() for g in right.dW]
        dW[1] = dW[1] + factor * 8 * eps * bound * np.random.default_rng(0).choice([-1, 1], bound.shape)
        found = (right.loss, dW, right.db)
        report = compare_gradients(model, x, y, solver=solver, manual=lambda *_, found=found, **__: found)
        assert report.rows[2].ok is ok


# -- Arrays of different size


@pytest.mark.parametrize("size", [1e-200, 1e-8, 1.0, 1e8, 1e200])
def test_a_mistake_is_named_whatever_the_sizes_of_the_arrays(size: float) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(3, 4)), rng.normal(size=4)

    def f(x: Array, w: Array) -> Array:
        return np.sin(size * (x * w)).sum() if size < 1e3 else (size * (x * w)).sum()

    def gradients(x: Array, w: Array) -> tuple[Array, Array]:
        g = size * (np.cos(size * (x * w)) if size < 1e3 else np.ones_like(x))
        return g * w, (g * x).sum(axis=0)

    report = compare_gradients(f, (x, w), manual=lambda x, w: tuple(5 * g for g in gradients(x, w)))
    assert [d.factor for d in report.diagnoses] == ["5"], str(report)
    (d,) = compare_gradients(f, (x, w), manual=lambda x, w: (gradients(x, w)[0], 5 * gradients(x, w)[1])).diagnoses
    assert (d.where, d.factor) == ("w", "5")


def test_mistakes_are_listed_from_the_loss_backwards() -> None:
    rng = np.random.default_rng(0)
    model = [Layer(3, 4, "tanh", rng=0), Layer(4, 4, "tanh", rng=1), Layer(4, 2, rng=2)]
    x, y, solver = rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), Solver("mse")
    right = BackProp(model, FeedForward(model, x), y, solver=solver)
    for wrong in ({0: 2.0, 2: 3.0}, {0: -1.0, 1: 2.0}, {0: 0.5, 1: 3.0, 2: -1.0}):
        dW = [g * wrong.get(k, 1.0) for k, g in enumerate(right.dW)]
        given = lambda *_, dW=dW, **__: (right.loss, dW, right.db)
        report = compare_gradients(model, x, y, solver=solver, manual=given)
        assert [d.where for d in report.diagnoses] == [f"layer {k + 1} W" for k in sorted(wrong, reverse=True)]


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_a_mistake_of_a_network_is_named_whatever_the_sizes_of_its_layers(size: float) -> None:
    rng = np.random.default_rng(0)
    model = [Layer(3, 4, "tanh", rng=0), Layer(4, 2, "linear", rng=1)]
    model[1].W = model[1].W.data * size
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 2))
    solver = Solver("mse", regularization=Regularization("l2", 0.1))

    def mine(model: Any, data_cache: Any, data_out: Array, *, solver: Solver) -> Any:
        loss, dW, db = BackProp(model, data_cache, data_out, solver=solver)
        return loss, [3 * dW[0], dW[1]], db

    (d,) = compare_gradients(model, x, y, solver=solver, manual=mine).diagnoses
    assert (d.where, d.factor) == ("layer 1 W", "3")


# -- The names of factors


@pytest.mark.parametrize("name", PLAIN)
def test_each_name_of_a_factor_is_found_from_its_values(name: str) -> None:
    rng = np.random.default_rng(0)
    facts = [{"N": 5, "n_out": 3, "p": 0.3, "lambda": 0.17, "width": 7, "L": 1.3},
             {"N": 11, "n_out": 2, "p": 0.45, "lambda": 0.31, "width": 4, "L": 0.7},
             {"N": 2, "n_out": 5, "p": 0.6, "lambda": 0.05, "width": 3, "L": 2.9}]  # fmt: skip
    python = {"lambda": "lam"}
    written = name.replace("lambda", "lam").replace("^", "**").replace("N n_out", "N*n_out").replace("2N", "2*N")
    values = [float(eval(written, {"sqrt": np.sqrt}, {python.get(key, key): v for key, v in c.items()})) for c in facts]
    for sign in ("", "-"):
        signed = [-v if sign else v for v in values]
        factor = name_factor(signed, facts)
        assert factor is not None
        assert name in (factor.name.removeprefix("-"), *(other.removeprefix("-") for other in factor.others))
        assert factor.name.startswith("-") is bool(sign)
    off = [v * (1 + 1e-3 * rng.normal()) for v in values]
    found = name_factor(off, facts)
    assert found is None


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_a_name_of_a_factor_fits_relative_to_its_size(scale: float) -> None:
    facts = [{"N": 5, "n_out": 3, "p": 0, "lambda": 2 * scale}, {"N": 11, "n_out": 2, "p": 0, "lambda": 5 * scale}]
    found = name_factor([2 * scale, 5 * scale], facts)
    assert found is not None
    assert found.name == "lambda"
    for far in (1e-3, 1e-5):
        assert name_factor([2 * scale * (1 + far), 5 * scale], facts) is None


def test_zero_and_nan_name_no_factor() -> None:
    for p, lam in ((0, 0), (0, 0.17), (0.3, 0)):
        facts = [{"N": n, "n_out": 3, "p": p, "lambda": lam, "L": 0.0} for n in (5, 11)]
        assert name_factor([0.0, 0.0], facts) is None
        assert name_factor([math.nan, math.nan], facts) is None


@pytest.mark.parametrize("far", [1e-3, 1e-7, 1e-10, 1e-12])
def test_descriptions_of_wrong_entries_have_enough_digits_and_claim_no_false_factor(far: float) -> None:
    rng = np.random.default_rng(1)
    right, bad = rng.normal(size=6), np.ones(6, bool)
    text = describe("dW", right * (1 + far), right, bad)
    factor = float(text.split("Each entry is ")[1].split(" times")[0])
    assert abs(factor - (1 + far)) <= 1e-3 * far + 4e-16
    random = describe("dW", right + far * rng.normal(size=6), right, bad)
    assert "times the right one" not in random
    assert "plus" not in random
    assert "minus" not in random
    assert "throughout" not in random


@pytest.mark.parametrize("z", [-1 - 5e-5, -1 + 5e-5, 1 - 5e-5, 1 + 5e-5])
def test_no_tolerance_is_made_of_a_kink_near_by(z: float) -> None:
    model = [Layer(1, 1, "hard_tanh", rng=0), Layer(1, 1, "linear", rng=1)]
    model[0].W, model[0].b = np.ones((1, 1)), np.zeros(1)
    near, far = (
        Experiment(model, np.full((1, 1), at), np.zeros((1, 1)), [None, None], Solver("mse"), is_user_batch=True)
        for at in (z, 0.9 * z)
    )
    assert bounds(near).db[0].max() <= 2 * bounds(far).db[0].max()


@pytest.mark.parametrize(
    ("loss", "y", "n", "kind"),
    [
        ("mse", [[0.3, 2.0]], 3, "any"),
        ("mse", [[0.0, 1.0], [1.0, 1.0]], 3, "bits"),
        ("crossentropy", [[0.0, 1.0], [1.0, 0.0]], 3, "one-hot"),
        ("crossentropy", [[0.4, 0.6]], 3, "shares"),
        ("crossentropy", [[0.0, 1.0]], 1, "ones"),
        ("binarycrossentropy", [[0.0, 1.0], [1.0, 0.0]], 3, "one-hot"),
        ("binarycrossentropy", [[0.0, 1.0], [1.0, 1.0]], 3, "bits"),
        ("binarycrossentropy", [[0.0, 0.0], [1.0, 0.0]], 3, "bits"),
        ("binarycrossentropy", [[1.0], [1.0]], 3, "bits"),
        ("binarycrossentropy", [[0.0, 1.0], [1.0, 0.0]], 1, "bits"),
        ("binarycrossentropy", [[0.2, 0.8]], 3, "inside"),
    ],
)
def test_further_experiments_have_targets_of_the_kind_that_was_given(loss: str, y: Array, n: int, kind: str) -> None:
    start: Any = SimpleNamespace(y=np.array(y), solver=SimpleNamespace(loss=loss))
    made = _targets(start, 200, n, np.random.default_rng(0))
    sums = made.sum(axis=1)
    assert made.shape == (200, n)
    known = (
        "any" if made.min() < 0 else "inside" if made.min() > 0 and made.max() < 1 and not np.allclose(sums, 1)
        else "shares" if 0 < made.min() < 1 else "ones" if (made == 1).all()
        else "one-hot" if n > 1 and (sums == 1).all() else "bits"
    )  # fmt: skip
    assert known == kind
    if kind in ("bits", "one-hot", "ones"):
        assert set(np.unique(made)) <= {0.0, 1.0}
    if kind == "bits":  # every combination of them
        assert len(np.unique(made, axis=0)) == 2**n
    if kind == "inside":  # where the logarithms and their slopes are tame
        assert 0.05 <= made.min() < 0.06
        assert 0.94 < made.max() <= 0.95


@pytest.mark.parametrize(
    ("kind", "part", "cost", "apart", "told"),
    [
        ("other", "delta", 1.0, 0.0, True), ("other", "delta", 1.5, 0.0, True), ("other", "delta", 2.0, 0.0, False),
        ("other", "delta", 0.0, 0.0, True), ("other", "delta", 1.0, 1e-9, True), ("other", "delta", 1.0, 1e-5, False),
        ("other", "W", 1.0, 0.0, False), ("mine", "delta", 1.0, 0.0, False), ("unknown", "delta", 1.0, 0.0, False),
        ("kink", "delta", 1.0, 0.0, False),
    ],
)  # fmt: skip
def test_mistakes_with_the_same_numbers_at_similar_cost_are_listed_as_alternatives(
    kind: str, part: str, cost: float, apart: float, told: bool
) -> None:
    before, d = Finding(1, "delta", "above", ""), np.array([[0.5, -2.0]])
    mine = State((d, None, d), (before, Finding(0, "delta", "mine", "")), 1.0)
    other = State((d * (1 + apart), d, None), (before, Finding(0, part, kind, "")), cost)
    right = State((d, d, d), (before,), 0.0)
    after = _with_alternatives([mine, other, right], 1)
    assert after[0].findings == (before, replace(mine.findings[1], alternatives=(kind,) if told else ()))
    assert after[2] == right


@pytest.mark.parametrize("method", ["l1", "l2"])
def test_a_delta_is_read_from_dW_without_its_penalty_and_db(method: Any) -> None:
    model, x, y, solver = Setting((6, 4, 2), ("tanh", "linear"), "mse", 3, method, 0.3).build(0)
    case = Experiment(model, x, y, [None, None], solver)
    right = case.right
    for times in (1.0, -2.5):  # of every delta, also of a wrong one
        dW = [case.penalty(k) + times * (g - case.penalty(k)) for k, g in enumerate(right.dW)]
        case.answer = Answer(0.0, dW, [times * g for g in right.db], None)
        for k in range(2):
            read = recover(Witness(case, None), k)
            assert read is not None
            np.testing.assert_allclose(read, times * right.delta[k], rtol=1e-8, atol=1e-12)
    case.answer = Answer(0.0, [g + case.penalty(k) for k, g in enumerate(right.dW)], list(right.db), None)
    assert recover(Witness(case, None), 0) is None, "a penalty too many leaves no delta"


@pytest.mark.parametrize(("row", "called"), [(0, "first"), (-1, "last")])
def test_the_sample_whose_contribution_is_left_is_named(row: int, called: str) -> None:
    model, x, y, solver = DEEP.build(1)
    alone = student(dW=lambda s, k, d, g: np.outer(d[row], s.into(k)[row]), db=lambda s, k, d, g: d[row])
    report = compare_gradients(model, x, y, solver=solver, manual=alone(1))
    assert report.kinds == ("overwritten_not_accumulated",)
    assert f"only the contribution of the {called} sample:" in report.diagnoses[0].text


@pytest.mark.parametrize("setting", [DEEP, NARROW, HEAVY], ids=["deep", "narrow", "heavy"])
def test_right_gradients_need_no_explanation_and_cost_0(setting: Setting) -> None:
    model, x, y, solver = setting.build(0)
    case = Experiment(model, x, y, [None] * len(model), solver)
    right = case.right
    for delta in (None, list(right.delta)):
        case.answer = Answer(float(right.loss), list(right.dW), list(right.db), delta)
        found = explain([Witness(case, None)])
        assert (found.findings, found.cost) == ((), 0.0)


@pytest.mark.parametrize("part", ["W", "b"])
@pytest.mark.parametrize("layer", [0, 1])
def test_a_parameter_that_is_given_another_array_was_overwritten(layer: int, part: str) -> None:
    model = [Layer(3, 4, "tanh", rng=0), Layer(4, 2, "linear", rng=1)]
    x, y = np.ones((5, 3)), np.zeros((5, 2))

    def replaces(model: Any, cache: Any, y: Any, *, solver: Solver) -> Any:
        found = BackProp(model, cache, y, solver=solver)
        setattr(model[layer], part, getattr(model[layer], part).data - 0.1)
        return found

    before = getattr(model[layer], part).data.copy()
    report = compare_gradients(model, x, y, solver=Solver("mse"), manual=replaces)
    assert [(d.kind, d.where) for d in report.diagnoses] == [("inplace_overwrite", f"layer {layer + 1} {part}")]
    assert np.array_equal(getattr(model[layer], part).data, before)  # it was given a copy


@pytest.mark.parametrize(
    ("name", "slope"),
    [("sigmoid", lambda g, v: g * v * (1 - v)), ("tanh", lambda g, v: g * (1 - v * v)),
     ("softmax", lambda g, v: g @ (np.diag(v[0]) - np.outer(v[0], v[0])))],
)  # fmt: skip
def test_a_derivative_written_in_terms_of_the_output_with_another_value_in_it(name: str, slope: Any) -> None:
    g, value = np.array([[0.5, -0.25, 2.0]]), np.array([[0.1, 0.7, 0.4]])
    np.testing.assert_allclose(_slope_from(name, g, value), slope(g, value), rtol=1e-15)
    assert _slope_from("relu", g, value) is None


def test_a_fraction_has_a_small_denominator() -> None:
    assert [fraction(1 / n) for n in (63, 64, 65)] == ["1/63", "1/64", "0.0153846"]


@pytest.mark.parametrize("name", [
    "relu", "leaky_relu", "leaky_relu(0.2)", "selu", "elu", "elu(1.0)", "elu(2.0)", "elu(0.5)", "celu", "celu(0.5)",
    "softplus", "softplus(2.0)", "hard_tanh", "hard_tanh(-0.5,2.0)", "hard_sigmoid", "hard_swish", "gelu", "gelu(tanh)",
    "silu", "mish", "softsign", "sigmoid", "tanh", "linear",
])  # fmt: skip
def test_kinks_of_an_activation_are_where_its_slopes_of_both_sides_differ(name: str) -> None:
    z, h = np.arange(-8.0, 9.0) / 2, 1e-6
    low, here, high = (referee.activate(name, at) for at in (z - h, z, z + h))
    jumps = np.abs((high - here) - (here - low)) > 1e-3 * h  # a bend makes a millionth of it
    assert z[jumps].tolist() == activations.kinks(name)
