"""At a kink or a tie a gradient is right where the slopes on its sides span it, and nowhere else."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tests.compare_sweep import function_case, layers_case, sweep
from tests.wrong_backward import DROPPED, HEAVY, Student
from tinygrad_nn import compare_gradients
from tinygrad_nn.compare.numerical import kinks
from tinygrad_nn.compare.numerical.nearest import nearest
from tinygrad_nn.compare.numerical.sides import Run, Side, Sides, _random, _scale, jumps
from tinygrad_nn.manual import draw_masks

Array = Any

RNG = np.random.default_rng(1)
EPS = float(np.finfo(float).eps)
X, ROW = RNG.normal(size=(6, 4)), RNG.normal(size=4)
EQUAL = np.stack([ROW, ROW, RNG.normal(size=4) * 0.1 - 1])  # so two columns of X @ W.T are equal


def shared(share: float, times: float = 1.0) -> Callable[..., Array]:
    """The gradient of a maximum over columns; the first of two equal columns gets this share of it."""

    def manual(W: Array) -> Array:
        S = X @ W.T
        h = np.equal(S, S.max(axis=1, keepdims=True)) * 1.0
        h[h.sum(axis=1) == 2] = [share, 1 - share, 0]
        return times * h.T @ X

    return manual


@pytest.mark.parametrize(
    ("manual", "ok"),
    [
        (shared(0.5), True), (shared(1.0), True), (shared(0.3), True), (shared(1.05), False),
        (shared(0.5, -0.5), False),
        (shared(0.5, 2.0), False), (shared(0.5, 1.01), False), (lambda W: 2 * shared(0.5)(W) + 0 * W, False),
    ],
)  # fmt: skip
def test_equal_columns(manual: Any, ok: bool) -> None:
    for seed in range(4):
        assert compare_gradients(lambda W: np.max(X @ W.T, axis=1), (EQUAL,), manual=manual, rng=seed).ok is ok


def pool_backward(how: str) -> Callable[..., Array]:
    def manual(x: Array, g: Array) -> Array:
        d = np.zeros_like(x)
        for i in range(2):
            for j in range(2):
                window = x[0, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
                h = np.equal(window, window.max()) * 1.0
                if how == "first":
                    h = np.eye(4)[window.argmax()].reshape(2, 2)
                elif how == "shared":
                    h /= h.sum()
                d[0, 0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = h * g[0, 0, i, j]
        return d

    return manual


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("how", "times", "ok"), [
    ("first", 1, True), ("shared", 1, True), ("whole", 1, False), ("whole", 0.5, False), ("first", 1.01, False),
    ("shared", -1, False),
])  # fmt: skip
def test_pooling_of_equal_cells(how: str, times: float, ok: bool, dtype: Any) -> None:
    x = RNG.normal(size=(1, 1, 4, 4)).astype(dtype)
    x[..., :2, :2] = 1.0
    x[..., 2, 2:] = 3.0
    report = compare_gradients(tg.nn.MaxPool(2), x, manual=lambda x, g: dtype(times) * pool_backward(how)(x, g))
    assert report.ok is ok
    assert "kink" in report.kinds or how != "first" or not ok


@pytest.mark.parametrize(
    ("slope", "ok"), [(0.0, True), (0.4, True), (1.0, True), (-1e6, False), (1.05, False), (-0.05, False)]
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_relu_at_zero(slope: float, ok: bool, dtype: Any) -> None:
    def manual(x: Array, g: Array) -> Array:
        return g * np.where(x == 0, x.dtype.type(slope), (x > 0).astype(x.dtype))

    assert compare_gradients(tg.relu, np.array([0, 1, -1, 1e6], dtype), manual=manual).ok is ok


def test_many_kinks_are_as_many_choices() -> None:
    share = RNG.random(200)
    x = np.zeros(200)

    def manual(x: Array, g: Array) -> Array:
        return g * np.where(x == 0, share, x > 0)

    assert compare_gradients(tg.relu, x, manual=manual).kinds == ("kink",)
    share[50] = 1.05
    assert not compare_gradients(tg.relu, x, manual=manual).ok


def test_a_rule_that_is_0_over_0_at_many_kinks_does_not_spoil_what_is_around() -> None:
    rng = np.random.default_rng(0)
    share, A, x = rng.uniform(-1, 1, 40), rng.normal(size=(40, 40)), np.zeros(40)
    absolute = tg.custom_vjp(np.abs, lambda g, out, x: g * x / out)

    def f(x: Any) -> Any:
        return absolute(A @ x).sum()

    assert compare_gradients(f, [x], manual=lambda x: A.T @ share).kinds == ("kink",)
    assert not compare_gradients(f, [x], manual=lambda x: A.T @ (1.5 * share)).ok


@pytest.mark.parametrize(
    ("x", "says"),
    [
        ([0.0, 1.0, -0.5], "it is 0, and the right one could not be computed: it came out as nan."),
        ([0.0, 0.0, 2.0], "Each wrong entry is 0."),
    ],
)
def test_infinite_slopes_behind_a_kink_are_reported(x: list[float], says: str) -> None:
    def manual(x: Array) -> Array:
        return np.sign(x) / (2 * np.sqrt(np.where(x == 0, 1.0, np.abs(x))))

    report = compare_gradients(lambda x: np.sort(np.sqrt(np.abs(x))).sum(), [np.array(x)], manual=manual)
    assert not report.ok  # at 0 the slopes are infinite
    assert "graph nan" in str(report)
    assert says in report.diagnoses[0].text


@pytest.mark.parametrize(
    ("f", "x", "slopes", "wrong"),
    [
        (lambda x: 2 * tg.relu(x) - tg.relu(-x), 0.0, (1.0, 1.5, 2.0), (0.9, 2.1)),  # two kinks of one number
        (lambda x: np.linalg.norm(np.stack([x, 2 * x])), 0.0, (0.0, 5**0.5, -1.0), (2.3,)),
        (lambda x: np.sqrt(x * x), 0.0, (0.0, 1.0, -0.5), (1.1, np.nan)),  # the graph has 0/0
        (lambda x: np.clip(x, 0, 1), 1.0, (0.0, 1.0, 0.5), (-0.1, 1.1)),
        (np.sqrt, 0.0, (np.inf,), (0.0, 1e9, -np.inf)),
        (lambda x: np.floor(x) * x, 1.0, (1.0,), (0.0, 0.5, 2.0)),  # from below it jumps, and has no slope
        (lambda x: np.sin(x) if x > 0 else 3 * x, 0.0, (1.0, 3.0, 2.0), (0.9, 3.1)),
        (lambda x: np.maximum(x, 1e6) + tg.relu(x), 1e6, (1.0, 1.5, 2.0), (0.9, 2.1)),
        (lambda x: tg.relu(x) + 1e6 * np.sin(x), 1e-6, (1e6 * np.cos(1e-6) + 1,), (1e6 * np.cos(1e-6) + 0.5,)),
    ],
)  # fmt: skip
def test_slopes_at_a_point(f: Any, x: float, slopes: tuple[float, ...], wrong: tuple[float, ...]) -> None:
    for slope in (*slopes, *wrong):
        report = compare_gradients(f, np.array(x), manual=lambda x, slope=slope: np.array(slope))
        assert report.ok is (slope in slopes), (slope, str(report))


def test_kinks_of_complex_numbers() -> None:
    z = np.array([0, 1 + 2j, -1j])
    for at_zero, ok in ((0, True), (0.6 + 0.7j, True), (-1j, True), (0.8 + 0.8j, False)):

        def manual(z: Array, g: Array, at_zero: complex = at_zero) -> Array:
            return g * np.where(z == 0, at_zero, z / np.where(z == 0, 1, np.abs(z)))

        assert compare_gradients(np.abs, z, manual=manual).ok is ok


def test_the_nearest_point_of_a_polytope() -> None:
    square = np.array([[1.0, 1], [1, 3], [3, 1], [3, 3]])

    def lowest(moved: Array) -> Callable[[Array], Any]:
        return lambda d: min(((p, i) for i, p in enumerate(moved)), key=lambda v: v[0] @ d if d.size else v[1])

    point, mean, inside = nearest(lowest(square), 1e-9)
    np.testing.assert_allclose(point, [1, 1])
    assert not inside
    point, mean, inside = nearest(lowest(square - [1.5, 2.75]), 1e-9)
    assert inside
    np.testing.assert_allclose(sum(w * square[i] for w, i in mean), [1.5, 2.75])
    assert not nearest(lowest(square * np.nan), 1e-9)[2]
    assert not nearest(lowest(square * np.inf), 1e-9)[2]
    for k, vertex in ((0, [np.inf, 1]), (1, [-np.inf, 3])):  # the first point, and one that is found from it
        moved = square - [0.0 if k else 2.0, 0.0]
        moved[k] = vertex
        assert not nearest(lowest(moved), 1e-9)[2]


@pytest.mark.parametrize("rng", [0, 7])
def test_masks_drawn_with_the_same_seed_are_not_those_of_the_forward_pass(rng: int) -> None:
    class Redrawn(Student):
        """Draws its masks anew, as the comparison might."""

        def __call__(self, model: Any, data_cache: Any, data_out: Array, *, solver: Any) -> Any:
            p = solver.regularization.dropout
            masks = draw_masks(np.random.default_rng(rng), [k.n_out for k in model], len(data_out), p, np.float64)
            return super().__call__(model, data_cache._replace(masks=masks), data_out, solver=solver)

    for setting in (DROPPED, HEAVY):
        model, x, y, solver = setting.build(0)
        report = compare_gradients(model, x, y, solver=solver, manual=Redrawn(), rng=rng)
        assert not report.ok
        assert f"that rng={rng} starts" in " ".join(report.notes)
        again = compare_gradients(model, x, y, solver=solver, manual=Redrawn(), rng=rng)
        assert repr(report) == repr(again), "as text: NaN is not equal to itself"


@pytest.mark.slow
def test_a_part_of_the_sweep() -> None:
    passed, alarms, count = sweep(60, 40, seed=0)
    assert not passed, passed
    assert not alarms, alarms
    assert sum(count.values()) == 100


@pytest.mark.parametrize(("case", "seed", "why"), [
    (layers_case, 3000320, "kinks of one unit choose alike in all rows"),
    (layers_case, 3000120, "the mean slope of an absolute value is 0, and hides the kinks behind it"),
    (layers_case, 3000216, "the side that shows the kink is narrow"),
    (layers_case, 3000332, "masks part the rows of a unit"),
    (function_case, 3000457, "the gradient is 0 on the sides that were seen first"),
    (function_case, 3000211, "of kinks behind kinks only some combinations exist"),
    (function_case, 3000403, "the slope at the point is that of no side"),
])  # fmt: skip
def test_right_behind_kinks(case: Any, seed: int, why: str) -> None:
    name, ok, report = case(seed, False)
    assert ok, f"{why}: {name}\n{report}"


@pytest.mark.parametrize("scale", [2.0**-40, 2.0**40])
def test_sides_do_not_depend_on_the_scale_of_a_function(scale: float) -> None:
    def seen(times: float) -> Side | None:
        def run(moved: Any) -> Run:
            (x,) = moved
            far = x - leaf
            turn = {0: 0.0, 1: 1.0, 2: -1.0, 4: 0.5}[round(float(far.max()) / (64 * EPS * 0.7))]
            # from rounding to what has no limit
            g = np.array([1.0, 2.0, 3.0, 0.5, -1.0]) + turn * np.array([0.0, 1e-14, 1e-5, 1e-2, 1.0])
            return Run([times * np.atleast_1d(x.sum())], trace, [times * g])

        return Sides(run, [leaf], run([leaf]), EPS).add_side([np.full(5, 0.7)])

    trace: Any = None
    leaf = np.array([1.0, 1.1, 1.2, 1.3, 1.4])
    one, other = seen(1.0), seen(scale)
    assert one is not None
    assert other is not None
    assert not one.finite
    assert (one.spread[0] > 0).tolist() == [False, True, True, False, False], "what settles is rounding, and no more"
    assert (other.limits[0] == scale * one.limits[0]).all()
    assert (other.spread[0] == scale * one.spread[0]).all()
    assert (other.finite, other.continuous) == (one.finite, one.continuous)


# ---- A gradient from several sides

ONE, EPS4 = np.array([1.0]), float(np.finfo(np.float32).eps)


@pytest.mark.parametrize(
    ("here", "near", "far", "found"),
    [
        (0 * ONE, ONE, ONE, [True]), (ONE, ONE, ONE, [False]), (0 * ONE, ONE, ONE * (1 + 1 / 63), [False]),
        (0 * ONE, ONE, ONE * (1 + 1 / 65), [True]), (0 * ONE, -ONE, -2 * ONE, [False]),
        (0 * ONE, ONE, 0 * ONE, [False]),
        (ONE, ONE + 1000 * EPS, ONE + 1000 * EPS, [False]), (ONE, ONE + 1100 * EPS, ONE + 1100 * EPS, [True]),
        (np.array([1.0, -8]), np.array([1 + 7000 * EPS, -8]), np.array([1 + 7000 * EPS, -8]), [False, False]),
        (np.array([1.0, -8]), np.array([1 + 9000 * EPS, -8]), np.array([1 + 9000 * EPS, -8]), [True, False]),
        (ONE.astype(np.float32), np.float32([1 + 1000 * EPS4]), np.float32([1 + 1000 * EPS4]), [False]),
        (ONE.astype(np.float32), np.float32([1 + 1100 * EPS4]), np.float32([1 + 1100 * EPS4]), [True]),
        (1j * ONE, ONE + 0j, ONE + 0j, [True]),
        (np.array([0, np.nan]), np.array([1, np.nan]), np.ones(2), [True, False]),
        (np.array([0]), np.array([1]), np.array([1]), [False]), (np.ones(2), ONE, ONE, [False]),
        (ONE, ONE + 1, np.ones(2), [False]), (np.array(0.0), np.array(1.0), np.array(1.0), True),
    ],
)  # fmt: skip
def test_values_jump_where_the_first_step_changes_them_and_the_second_hardly(
    here: Array, near: Array, far: Array, found: Any
) -> None:
    assert jumps(here, near, far).tolist() == found


@pytest.mark.parametrize(
    ("x", "scale"),
    [([2.0, 0, -4, 0], [2, 1, 4, 1]), ([0.25, 0, 0.5], [0.25, 0.375, 0.5]), ([0.0, 0], [1, 1]), ([3j, 0], [3, 1]),
     (0.0, 1), (-7.0, 7), ([[0.5, 0]], [[0.5, 0.5]])],
)  # fmt: skip
def test_by_what_each_entry_is_moved(x: Any, scale: Any) -> None:
    assert _scale(np.array(x)).tolist() == scale


def test_each_entry_is_moved_to_a_random_side_by_half_to_one_and_a_half_of_its_scale() -> None:
    scale = np.repeat([1.0, 8.0], 500)
    u = _random(np.zeros(1000), scale, np.random.default_rng(0)) / scale
    assert 0.5 <= np.abs(u).min() < 0.52
    assert 1.48 < np.abs(u).max() <= 1.5
    assert 400 < (u > 0).sum() < 600
    z = _random(np.zeros(1000, complex), scale, np.random.default_rng(0)) / scale
    assert 0.5 <= np.abs(z).min() < np.abs(z).max() <= 1.5
    assert all(150 < ((z.real > 0) == a)[(z.imag > 0) == b].sum() < 350 for a in (True, False) for b in (True, False))


def of_one(f: Callable[[Array], Any], slope: Callable[[Array], Any], x: Any, eps: float = EPS) -> Sides:
    """`Sides` of a function of one array, evaluated on two opposite sides."""
    nothing: Any = None

    def run(leaves: list[Array]) -> Run:
        return Run([np.asarray(f(leaves[0]))], nothing, [np.asarray(slope(leaves[0]))])

    leaf = np.asarray(x, float)
    sides = Sides(run, [leaf], run([leaf]), eps)
    sides.look_around(np.random.default_rng(0), 2)
    return sides


def unsettled(x: Array) -> Array:
    """Noise that depends on the distance of x from 1, in steps, and does not grow in proportion."""
    steps = round(abs(float(x[0]) - 1) / (64 * EPS))
    return np.array([0.0 if not steps else 1.0 if steps == 1 else 0.9 if steps == 2 else 0.85])


@pytest.mark.parametrize(
    ("f", "slope", "x", "limits", "continuous", "finite", "parted", "folds"),
    [
        (lambda x: x**2, lambda x: 2 * x, [1.0, -3], [[2, -6]] * 2, True, True, [False] * 2, [False] * 2),
        (np.abs, np.sign, [0.0, 2], None, True, True, [True, False], [True, False]),
        (lambda x: x * (x > 0), lambda x: 1.0 * (x > 0), [0.0], None, True, True, [True], [True]),
        (lambda x: 1.0 * (x != 0), lambda x: 0 * x, [0.0], [[0]] * 2, False, True, [False], [False]),
        (lambda x: x, lambda x: 5.0 * (x == 0) + 1, [0.0, 2], [[1, 1]] * 2, True, True, [False] * 2, [True, False]),
        (np.sqrt, lambda x: 0.5 / np.sqrt(x), [1.0], [[0.5]] * 2, True, True, [False], [False]),
        (lambda x: x * np.nan, lambda x: x, [1.0], [[1]] * 2, False, False, [False], [False]),
        (lambda x: x, unsettled, [1.0], None, True, False, [False], [False]),
    ],
)  # fmt: skip
def test_limits_on_two_sides_of_a_point(
    f: Any, slope: Any, x: Any, limits: Any, continuous: bool, finite: bool, parted: Any, folds: Any
) -> None:
    sides = of_one(f, slope, x)
    assert len(sides.explored) == 2
    assert [(s.continuous, s.finite) for s in sides.explored] == [(continuous, finite)] * 2
    if limits is not None:
        np.testing.assert_allclose([s.limits[0] for s in sides.explored], limits, rtol=1e-12)
    moves = [s.one_step for s in sides.explored]
    assert len({float(np.sum(run.outs[0])) for run in moves} | {0.5}) > 1
    bounds = sides.rounding()
    assert sides.differs_between_sides(bounds)[0].tolist() == parted
    assert sides.differs_from_value(bounds)[0].tolist() == folds
    assert len(sides.limits()) == 2 * (continuous and finite)


def test_the_limits_of_a_gradient_that_grows_with_the_step_are_those_at_the_point() -> None:
    (one, two) = of_one(lambda x: 1e6 * x**3, lambda x: 3e6 * x**2, [1.0, 2.0]).explored
    for side in (one, two):  # a step of 64 eps moves it by more than the rounding of the limit
        np.testing.assert_allclose(side.limits[0], [3e6, 12e6], rtol=8 * EPS)
        np.testing.assert_allclose(side.two_steps.outs[0] - 1e6 * np.array([1, 8.0]),
                                   2 * (side.one_step.outs[0] - 1e6 * np.array([1, 8.0])), rtol=0.05)  # fmt: skip
        assert (np.abs(side.one_step.outs[0] - [1e6, 8e6]) > 64 * EPS * np.array([0.5 * 3e6, 0.5 * 24e6]) * 0.99).all()


def test_the_bound_of_rounding_of_a_side() -> None:
    exact = of_one(lambda x: x**2, lambda x: 2 * x, [1.0, 8.0])
    plain = 64 * EPS * (np.array([2.0, 16]) + 0.25 * 16)
    np.testing.assert_allclose(exact.rounding(spread=False)[0], plain, rtol=1e-9)
    noisy = of_one(lambda x: x**2, lambda x: 2 * x + 1e-6 * np.sin(1e20 * x), [1.0, 8.0])
    assert (noisy.rounding()[0] > noisy.rounding(spread=False)[0] + 1e-8).all()
    assert (noisy.rounding()[0] < 1e-4).all()
    single = of_one(lambda x: x**2, lambda x: 2 * x, [1.0, 8.0], EPS4)
    np.testing.assert_allclose(single.rounding(spread=False)[0], plain * (EPS4 / EPS), rtol=1e-2)
    with np.errstate(invalid="ignore"):
        infinite = of_one(lambda x: x, lambda x: np.array([np.inf, 1.0]), [1.0, 8.0])
    np.testing.assert_allclose(infinite.rounding(spread=False)[0], 64 * EPS * np.array([0.25, 1.25]), rtol=1e-9)


def test_a_side_on_which_a_function_fails_or_has_another_shape_is_not_seen() -> None:
    def fails(x: Array) -> Array:
        if x[0] > 1:
            raise ValueError
        return x

    assert len(of_one(fails, lambda x: x, [1.0]).explored) == 1
    assert len(of_one(lambda x: x[x <= 1], lambda x: x, [1.0]).explored) == 1


@pytest.mark.parametrize(
    ("outs", "names"), [
        ((np.ones(3), np.ones(2), np.ones(3)), "f"), ((np.ones(3), np.ones(3), np.ones((3, 1))), "f"),
        ((np.arange(3), np.arange(3), np.arange(3)), "f"), ((np.ones(3), np.ones(3), np.ones(3)), "g"),
    ],
)  # fmt: skip
def test_a_graph_with_other_operations_on_a_side_is_not_folded(outs: Any, names: str) -> None:
    traces = [SimpleNamespace(signature=["f"], operations=[SimpleNamespace(out=out)]) for out in outs]
    traces[2].signature = [names]
    side: Any = SimpleNamespace(one_step=SimpleNamespace(trace=traces[1]), two_steps=SimpleNamespace(trace=traces[2]))
    base: Any = traces[0]
    assert kinks.KinkedGraph(base, EPS).add(side) is False


def test_an_operation_of_one_number_is_diagonal_where_no_gradient_has_another_shape() -> None:
    x = tg.Tensor([2.0])
    for one in (x * 3.0, np.where(np.array([True]), x, 0.0), x**2, x[np.array([0])]):
        assert kinks._is_elementwise(one.node) is True
    assert kinks._is_elementwise(tg.softmax_crossentropy(tg.Tensor([[1.0]]), np.ones((1, 1))).node) is False


def test_uneven_sides_move_some_inputs_by_much_less() -> None:
    nothing: Any = None
    run = lambda leaves: Run(list(leaves), nothing, list(leaves))
    leaves = [np.zeros(40), np.ones(40)]
    for uneven in (False, True):
        least: list[tuple[float, float]] = []
        for seed in range(30):
            sides = Sides(run, leaves, run(leaves), EPS)
            sides.look_around(np.random.default_rng(seed), 2, uneven)
            one, two = (s.one_step.grads for s in sides.explored)
            np.testing.assert_array_equal(one[0], -two[0])
            zeros, others = np.abs(one[0]) / (64 * EPS), np.abs(one[1] - 1) / (64 * EPS)
            assert max(zeros.max(), others.max()) < 1.55
            least.append((float(zeros.min()), float(others.min())))
        low, high = np.min(least, axis=0), np.max(least, axis=0)
        if uneven:  # by 2 ** -(0 to 16), and 2 ** -(0 to 6)
            assert 2**-17 < low[0] < 2**-11
            assert 2**-7.5 < low[1] < 2**-5
            assert high.min() > 0.1
        else:
            assert low.min() > 0.45


def test_an_operation_of_more_results_than_can_be_looked_at_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    y: Any = np.sort(tg.Tensor([3.0, 1.0, 2.0]))
    looked = kinks._slopes_by_output(y.node, y.node, y.node, np.ones(3, bool), 1e-6)
    assert looked is not None
    assert looked.bent_outputs == set()
    monkeypatch.setattr(kinks, "OUTPUTS", 3)
    assert kinks._slopes_by_output(y.node, y.node, y.node, np.ones(3, bool), 1e-6) is not None
    monkeypatch.setattr(kinks, "OUTPUTS", 2)
    assert kinks._slopes_by_output(y.node, y.node, y.node, np.ones(3, bool), 1e-6) is None


@pytest.mark.parametrize("seed", [301, 481, 648, 817, 2008, 2225, 2602, 2642, 3437, 4044, 4228, 4323])
def test_sides_that_move_two_equal_entries_alike_are_not_all_that_is_looked_from(seed: int) -> None:
    def mean(x: Any, g: Any) -> Any:
        return np.array([g[3], 0.9 * g[1] + 0.1 * g[2], g[0], 0.1 * g[1] + 0.9 * g[2]])

    x = np.array([2.0, 0.5, -1.0, 0.5])
    assert compare_gradients(lambda x: np.sort(x), (x,), manual=mean, rng=seed).ok
    wrong = lambda x, g: mean(x, g) + np.array([0.0, 0.3, 0.0, 0.0])
    assert not compare_gradients(lambda x: np.sort(x), (x,), manual=wrong, rng=seed).ok
