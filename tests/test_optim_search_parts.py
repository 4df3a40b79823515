"""L-BFGS part by part: why a step ends, which lengths its line search tries, where the lowest point of a cubic is."""

from typing import Any

import numpy as np
import pytest

from tinygrad_nn import optim
from tinygrad_nn.optim import quasi_newton
from tinygrad_nn.optim.quasi_newton import _Point


def counted(f: Any) -> tuple[Any, list[Any]]:
    """A function of a vector, and the places where it was evaluated."""
    places: list[Any] = []

    def at(w: Any) -> Any:
        places.append(w)
        return f(w)

    return at, places


def slope(size: float) -> Any:
    return lambda w: (-size * float(w[0]), np.full(1, -size))


def bowl(w: Any) -> Any:
    return float(w @ w) / 2, w


def test_before_its_first_step_an_optimizer_has_no_state() -> None:
    iterations, t, scale, d, g = optim.lbfgs().init(np.ones(3, np.float32))
    assert (iterations, t, scale, d.tolist(), g.tolist()) == (0, 0.0, 1.0, [0.0] * 3, [0.0] * 3)


@pytest.mark.parametrize(
    ("f", "eta", "options", "iterations", "calls", "end"),
    [
        (bowl, 0.5, {"tolerance_grad": 1.0}, 0, 1, 1.0),  # as flat as asked for from the start
        (bowl, 0.5, {"tolerance_grad": 0.5}, 1, 2, 0.5),  # after one direction
        (bowl, 0.5, {"tolerance_grad": 0.49, "max_iter": 2, "max_eval": 9}, 2, 2, 0.25),
        (slope(1.0), 0.5, {"tolerance_change": 0.5}, 1, 2, 1.5),  # the weight moves by no more than that
        (slope(1.0), 0.5, {"tolerance_change": 0.49, "max_iter": 3, "max_eval": 9}, 3, 3, 2.5),
        (slope(4.0), 0.5, {"tolerance_change": 0.2, "max_iter": 2, "max_eval": 9}, 2, 2, 3.5),  # by more
        (slope(0.25), 0.5, {"tolerance_change": 1 / 16}, 1, 2, 1.125),  # the loss changes by less
        (slope(0.25), 1.0, {"tolerance_change": 1 / 16, "max_iter": 3, "max_eval": 9}, 3, 3, 1.75),  # by just as much
        (slope(0.25), 1.0, {"tolerance_change": 0.063}, 1, 1, 1.0),  # the direction is too flat
        (slope(4.0), 0.5, {"max_eval": 1}, 1, 2, 1.5),  # the first direction is no longer than one
        (bowl, 0.0, {}, 0, 1, 1.0),  # nothing is to be done
        (slope(1.0), 0.5, {"max_eval": 1}, 1, 2, 1.5),
        (slope(1.0), 0.5, {"max_eval": 3}, 2, 3, 2.0),
        (slope(1.0), 0.5, {"max_eval": 4}, 3, 4, 2.5),
        (slope(1.0), 0.5, {"max_iter": 4, "max_eval": 99}, 4, 4, 3.0),  # nothing is evaluated after the last
        (slope(1.0), 0.5, {"max_iter": 1}, 1, 1, 1.5),
    ],
)
def test_a_step_ends_for_the_first_reason(
    f: Any, eta: float, options: dict[str, Any], iterations: int, calls: int, end: float
) -> None:
    rule, start = optim.lbfgs(**options), np.ones(1)
    at, places = counted(f)
    w, loss, state = rule.minimize(at, start, rule.init(start), eta)
    assert (state[0], len(places), float(w[0]), loss) == (iterations, calls, end, f(start)[0])


@pytest.mark.parametrize(("options", "calls"), [
    ({"max_iter": 4}, 6), ({"max_iter": 8}, 11), ({"max_iter": 9}, 12), ({"max_eval": 3}, 4), ({"max_eval": 7}, 8),
])  # fmt: skip
def test_a_line_search_uses_at_most_the_remaining_evaluations(options: dict[str, Any], calls: int) -> None:
    """By default there are 5/4 of max_iter; down a slope without end the first search uses all, and one more."""
    rule = optim.lbfgs(**options, line_search="strong_wolfe")
    at, places = counted(slope(1.0))
    _, _, state = rule.minimize(at, np.zeros(1), rule.init(np.zeros(1)), 1.0)
    assert (state[0], len(places)) == (1, calls)


@pytest.mark.parametrize(("most", "iterations"), [(1, 1), (2, 1), (3, 2), (4, 3), (6, 5), (10, 9)])
def test_later_searches_have_what_the_first_ones_left(most: int, iterations: int) -> None:
    """In this bowl each direction takes one evaluation, and the start another one."""
    rule = optim.lbfgs(max_eval=most, line_search="strong_wolfe", tolerance_change=0.0)
    curved = np.array([1, 3, 10, 30])
    at, places = counted(lambda w: (float(w @ (curved * w)) / 2, curved * w))
    _, _, state = rule.minimize(at, np.ones(4), rule.init(np.ones(4)), 1.0)
    assert (state[0], len(places)) == (iterations, iterations + 1)


def test_parameters_without_entries_are_flat() -> None:
    rule, w = optim.lbfgs(), np.zeros(0)
    state = rule.init(w)
    end, loss, after = rule.minimize(lambda w: (3.0, w), w, state, 1.0)
    assert (end is w, loss, after is state) == (True, 3.0, True)


def test_a_pair_is_the_change_of_the_gradient_and_the_step() -> None:
    """With a line search the gradient, the loss and the length of the step are those of the point that it found."""
    A, start = np.diag([1.0, 3.0, 10.0]), np.array([1.0, -2.0, 0.5])
    rule = optim.lbfgs(max_iter=4, line_search="strong_wolfe", tolerance_change=0.0)
    w, state = start, rule.init(start)
    for k in (1, 2):
        w, _, state = rule.minimize(lambda w: (float(w @ A @ w) / 2, A @ w), w, state, 1.0)
        assert (state[0], len(state)) == (4 * k, 5 + 2 * (4 * k - 1))
        for y, s in zip(state[5::2], state[6::2], strict=True):
            np.testing.assert_allclose(y, A @ s, rtol=1e-9, atol=1e-12)
    assert np.abs(w).max() < 1e-3


# -- The line search, along scripted points: at the start the loss is 10 and the slope -2


class Script:
    """Stands in for a line: losses and slopes come from a list, whatever step length is tried."""

    def __init__(self, points: list[tuple[float, float]], size: float) -> None:
        self.points, self.d = iter(points), np.array([size / 2, -size])
        self.tried: list[float] = []

    def __call__(self, t: float) -> _Point:
        self.tried.append(t)
        loss, slope = next(self.points)
        return _Point(t, loss, self.d, slope)


STEEP, FLAT = -1.81, -1.8  # 0.9 of the first slope is flat enough
BOUND = 10 + 1e-4 * -2  # the largest loss that is low enough at t = 1
HIGH = (11.0, 1.0)
LINE = [1.0, 5.505, (5.505 + 0.01 * 4.505 + 55.05) / 2]  # of a straight line: half of the way between the bounds
SEARCHES: dict[str, tuple[list[tuple[float, float]], dict[str, Any], list[float], list[float]]] = {
    # the points, options and what the cubic says, the lengths that are tried, the length that is returned
    "the first point is low and flat": ([(9.0, FLAT)], {}, [1.0], [1.0]),
    "or flat the other way": ([(9.0, 1.8)], {}, [1.0], [1.0]),
    "just low enough": ([(BOUND, 0.0)], {}, [1.0], [1.0]),
    "low enough for its length": ([(10 + 1e-4 * 4.0 * -2, 0.0)], {"t": 4.0}, [4.0], [4.0]),
    "too high for its length": ([(BOUND, 0.0), (9.0, 0.0)], {"t": 4.0, "cubic": [2.0]}, [4.0, 2.0], [2.0]),
    "too steep, go on": ([(9.0, STEEP), (8.0, 0.0)], {"cubic": [3.0]}, [1.0, 3.0], [3.0]),
    "the second may be above the first": ([(8.0, STEEP), (9.0, 0.0)], {"cubic": [3.0]}, [1.0, 3.0], [3.0]),
    "the third may not": ([(9.0, STEEP), (8.0, STEEP), (8.0, 0.0), (7.0, 0.0)], {"cubic": [3.0, 9.0, 5.0]},
                          [1.0, 3.0, 9.0, 5.0], [5.0]),
    "unless it is lower": ([(9.0, STEEP), (8.0, STEEP), (7.0, 0.0)], {"cubic": [3.0, 9.0]}, [1.0, 3.0, 9.0], [9.0]),
    "too high, close in": ([HIGH, (9.0, 0.0)], {"cubic": [0.5]}, [1.0, 0.5], [0.5]),
    "uphill, close in": ([(9.0, 1.9), (8.0, 0.0)], {"cubic": [0.5]}, [1.0, 0.5], [0.5]),
    "a little uphill, close in": ([(9.0, 0.46), (9.5, 0.0), (8.0, 0.0)], {"slope": -0.5, "cubic": [0.5, 0.75]},
                                  [1.0, 0.5, 0.75], [0.75]),
    "near the right end once": ([HIGH, HIGH, (9.0, 0.0)], {"cubic": [0.95, 0.5]}, [1.0, 0.95, 0.5], [0.5]),
    "near the right end twice": ([HIGH, HIGH, (9.0, 0.0)], {"cubic": [0.9375, 0.9]},
                                 [1.0, 0.9375, 0.9375 - 0.1 * 0.9375], [0.84375]),
    "three times": ([HIGH] * 3 + [(9.0, 0.0)], {"cubic": [0.96875, 0.96, 0.871]},
                    [1.0, 0.96875, 0.96875 - 0.096875, 0.871], [0.871]),
    "not near in between": ([HIGH] * 3 + [(9.0, 0.0)], {"cubic": [0.95, 0.5, 0.48]}, [1.0, 0.95, 0.5, 0.48], [0.48]),
    "at the right end": ([HIGH, (9.0, 0.0)], {"cubic": [1.0]}, [1.0, 0.9], [0.9]),
    "at the left end": ([HIGH, (9.0, 0.0)], {"cubic": [0.0]}, [1.0, 0.1], [0.1]),
    "after it nothing is stuck": ([HIGH, HIGH, (9.0, 0.0)], {"cubic": [1.0, 0.89]}, [1.0, 0.9, 0.89], [0.89]),
    "near the left end twice": ([HIGH, HIGH, (9.0, 0.0)], {"cubic": [0.05, 0.001]}, [1.0, 0.05, 0.005], [0.005]),
    "a tenth is not near": ([HIGH, HIGH, (9.0, 0.0)], {"t": 10.0, "cubic": [1.0, 0.05]}, [10.0, 1.0, 0.05], [0.05]),
    "nor is a tenth on the right": ([HIGH, HIGH, (9.0, 0.0)], {"t": 10.0, "cubic": [9.0, 8.5]},
                                    [10.0, 9.0, 8.5], [8.5]),
    "not near between two lengths": ([(9.0, STEEP), HIGH, HIGH, HIGH, (8.0, 0.0)], {"cubic": [3.0, 2.75, 2.6, 2.0]},
                                     [1.0, 3.0, 2.75, 2.6, 2.0], [2.0]),
    "near the left of two lengths": ([(9.0, STEEP), HIGH, HIGH, (8.0, 0.0)], {"cubic": [3.0, 1.1, 1.005]},
                                     [1.0, 3.0, 1.1, 1 + 0.1 * (1.1 - 1)], [1.01]),
    "as high as the start": ([HIGH, (10.0, -1.9)], {"most": 1, "cubic": [0.5]}, [1.0, 0.5], [0.0]),
    "too high, but lower": ([HIGH, (10 - 1e-5, -1.9), (9.0, 0.0)], {"cubic": [0.5, 0.25]}, [1.0, 0.5, 0.25], [0.25]),
    "as low as the lowest": ([(9.0, 1.9), (9.0, 0.0), (8.0, 0.0)], {"cubic": [0.5, 0.75]}, [1.0, 0.5, 0.75], [0.75]),
    "lower and downhill": ([HIGH, (9.0, -1.9), (8.0, 0.0)], {"cubic": [0.5, 0.75]}, [1.0, 0.5, 0.75], [0.75]),
    "lower and uphill": ([HIGH, (9.0, 1.9), (8.0, 0.0)], {"cubic": [0.5, 0.25]}, [1.0, 0.5, 0.25], [0.25]),
    "lower and a little uphill": ([HIGH, (9.0, 1.9), (8.0, 0.0)], {"t": 0.25, "cubic": [0.125, 0.0625]},
                                  [0.25, 0.125, 0.0625], [0.0625]),
    "from the right, downhill": ([(9.0, 1.9), (8.5, -1.9), (8.0, 0.0)], {"cubic": [0.5, 0.75]},
                                 [1.0, 0.5, 0.75], [0.75]),
    "from the right, uphill": ([(9.0, 1.9), (8.5, 1.9), (8.0, 0.0)], {"cubic": [0.5, 0.25]},
                               [1.0, 0.5, 0.25], [0.25]),
    "short enough": ([HIGH], {"tolerance": 0.5, "size": 0.5}, [1.0], [0.0]),
    "not short enough": ([HIGH, (9.0, 0.0)], {"tolerance": 0.49, "size": 0.5, "cubic": [0.5]}, [1.0, 0.5], [0.5]),
    "not short enough for its direction": ([HIGH, (9.0, 0.0)], {"t": 10.0, "tolerance": 0.5, "size": 0.1, "cubic": [5]},
                                           [10.0, 5.0], [5.0]),
    "short enough between two lengths": ([(9.0, STEEP), HIGH], {"tolerance": 0.3, "size": 0.1, "cubic": [3.0]},
                                         [1.0, 3.0], [1.0]),
    "short enough from the right": ([(9.0, 1.9)], {"tolerance": 0.5, "size": 0.5}, [1.0], [1.0]),
    "no more evaluations": ([HIGH], {"most": 0}, [1.0], [0.0]),
    "one more": ([HIGH, (10 - 1e-5, -1.9)], {"most": 1, "cubic": [0.5]}, [1.0, 0.5], [0.5]),
    "none to go on": ([(9.0, STEEP)], {"most": 0}, [1.0], [1.0]),
    "one to go on": ([(9.0, STEEP), (8.0, STEEP)], {"most": 1, "cubic": [3.0]}, [1.0, 3.0], [3.0]),
    "the last is higher": ([(9.0, STEEP), (10.5, STEEP)], {"most": 1, "cubic": [3.0]}, [1.0, 3.0], [0.0]),
    "the last is as high as the start": ([(9.0, STEEP), (10.0, STEEP)], {"most": 1, "cubic": [3.0]}, [1.0, 3.0], [0.0]),
    "two to go on": ([(9.0, STEEP), (8.0, STEEP), (7.0, STEEP)], {"most": 2, "cubic": [3.0, 9.0]},
                     [1.0, 3.0, 9.0], [9.0]),
    "going on and closing in": ([(9.0, STEEP), HIGH, HIGH], {"most": 2, "cubic": [3.0, 2.0]}, [1.0, 3.0, 2.0], [1.0]),
}  # fmt: skip


@pytest.mark.parametrize(("points", "options", "tried", "found"), SEARCHES.values(), ids=SEARCHES)
def test_a_search_tries_these_lengths(
    points: Any, options: dict[str, Any], tried: list[float], found: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    cubic = iter(options.get("cubic", []))
    monkeypatch.setattr(quasi_newton, "_cubic_minimum", lambda *_: next(cubic))
    along, start = Script(points, options.get("size", 1.0)), _Point(0.0, 10.0, None, options.get("slope", -2.0))
    end = quasi_newton._strong_wolfe(
        along, options.get("t", 1.0), start, options.get("tolerance", 1e-9), options.get("most", 20)
    )  # fmt: skip
    assert along.tried == pytest.approx(tried, rel=1e-15)
    assert end.t == pytest.approx(found[0], rel=1e-15)
    assert not [*along.points, *cubic]


def test_the_cubic_is_bounded_by_a_hundredth_and_ten_times_or_by_the_two_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    answers = iter([3.0, 2.0, 1.5, 1.25])

    def lowest(a: _Point, b: _Point, least: float, most: float) -> float:
        asked.append((a.t, b.t, least, most))
        return next(answers)

    monkeypatch.setattr(quasi_newton, "_cubic_minimum", lowest)
    points = [(9.0, STEEP), HIGH, (8.0, 1.9), (8.5, 0.0), (8.25, 0.0)]
    quasi_newton._strong_wolfe(Script(points, 1.0), 1.0, _Point(0.0, 10.0, None, -2.0), 1e-9, 4)
    assert asked == [(0.0, 1.0, 1.01, 10.0), (1.0, 3.0, 1.0, 3.0), (2.0, 1.0, 1.0, 2.0), (2.0, 1.5, 1.5, 2.0)]


def test_down_a_slope_without_end_the_lengths_are_in_the_middle_of_the_bounds() -> None:
    along = quasi_newton._Line(slope(1.0), np.zeros(1), np.ones(1))
    at, places = counted(along.f)
    along.f = at
    end = quasi_newton._strong_wolfe(along, 1.0, _Point(0.0, 0.0, np.array([-1.0]), -1.0), 1e-9, 2)
    assert [float(w[0]) for w in places] == pytest.approx(LINE, rel=1e-14)
    assert (end.t, end.loss, end.slope, along.evaluations) == (float(places[2][0]), -end.t, -1.0, 3)


# -- The lowest point of a cubic


def cubic(low: float, inflection: float, size: float, t: float) -> _Point:
    """The point at t on the cubic that is 0 at 0 and has the slope size (t - low) (t - 2 inflection + low)."""
    high = 2 * inflection - low
    loss = size * (t**3 / 3 - (low + high) * t**2 / 2 + low * high * t)
    return _Point(t, loss, None, size * (t - low) * (t - high))


@pytest.mark.parametrize(("low", "inflection", "size"), [(1.5, 0.5, 2.0), (0.75, 3.0, -1.0), (2.5, -1.0, 0.5)])
@pytest.mark.parametrize(("left", "right"), [(0.0, 1.0), (0.5, 2.0), (1.0, 3.0)])
def test_the_lowest_point_of_a_cubic_is_found_from_two_of_its_points(
    low: float, inflection: float, size: float, left: float, right: float
) -> None:
    a, b = cubic(low, inflection, size, left), cubic(low, inflection, size, right)
    for pair in ((a, b), (b, a)):
        assert quasi_newton._cubic_minimum(*pair, -9.0, 9.0) == pytest.approx(low, rel=1e-12)
        assert quasi_newton._cubic_minimum(*pair, low + 0.25, 9.0) == low + 0.25
        assert quasi_newton._cubic_minimum(*pair, -9.0, low - 0.25) == low - 0.25


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0.0, 7.0, -4.0), (3.0, 0.0, -1.0), 6.0),  # flat at one point, but nowhere uphill
        ((0.0, 0.0, -1.0), (1.0, -1.0, -1.0), 4.0),  # a straight line
        ((0.0, 0.0, -4.0), (1.0, -2.0, -1.0), 4.0),  # no lowest point
        ((0.0, 0.0, -1.0), (1.0, float("inf"), 1.0), 4.0),
        ((0.0, 0.0, -1.0), (1.0, float("nan"), 1.0), 4.0),
    ],
)
def test_where_no_point_is_lowest_the_middle_of_the_bounds_is_taken(a: Any, b: Any, expected: float) -> None:
    one, two = _Point(a[0], a[1], None, a[2]), _Point(b[0], b[1], None, b[2])
    assert quasi_newton._cubic_minimum(one, two, 0.0, 8.0) == expected
