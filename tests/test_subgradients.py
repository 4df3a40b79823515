"""Parts of the search in the set spanned by one-sided derivatives, on sets with known answers."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn.compare.numerical.nearest import _affine, nearest
from tinygrad_nn.compare.numerical.subgradients import (
    FlatRow,
    _choices,
    _error_from_means,
    _error_where_smooth,
    _flat_effects,
    _independent_groups,
    _look_from,
)

Array = np.ndarray[Any, Any]


def of(points: Array) -> Any:
    """Return a function that finds the lowest vertex along a direction, or the first one for an empty direction."""

    def lowest(direction: Array) -> tuple[Array, Any]:
        k = int(np.argmin(points @ direction)) if direction.size else 0
        return points[k], k

    return lowest


POLYTOPES: list[tuple[list[list[float]], list[float]]] = [
    ([[3.0, 4.0]], [3.0, 4.0]),
    ([[3.0, 4.0], [3.0, -4.0]], [3.0, 0.0]),  # the middle of a side
    ([[8.0, 1.0], [8.0, 5.0]], [8.0, 1.0]),  # a corner
    ([[4.0, 0.0], [0.0, 8.0]], [3.2, 1.6]),
    ([[6.0, 0.0, 0.0], [0.0, 6.0, 0.0], [0.0, 0.0, 6.0]], [2.0, 2.0, 2.0]),
    ([[9.0, 9.0], [5.0, 1.0], [5.0, -3.0], [9.0, -8.0]], [5.0, 0.0]),
    ([[4.0, 8.0, 2.0], [4.0, -8.0, 2.0], [8.0, 0.0, 9.0], [4.0, 0.0, -6.0]], [4.0, 0.0, 0.0]),
]


@pytest.mark.parametrize(("points", "wanted"), POLYTOPES, ids=str)
def test_the_nearest_point_of_a_polytope(points: list[list[float]], wanted: list[float]) -> None:
    corners = np.array(points)
    point, mean, inside = nearest(of(corners))
    assert not inside
    weights = np.array([w for w, _ in mean])
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-14)
    assert (weights > 0).all()
    np.testing.assert_allclose(point, sum(w * corners[k] for w, k in mean), rtol=0, atol=1e-13)
    # the plane halfway to it has all corners beyond, so that it parts the set from the origin
    assert (corners @ point).min() > 0.5 * (point @ point)
    if np.abs(point - wanted).max() > 1e-12:  # it may stop before the very nearest point
        assert np.linalg.norm(point) >= np.linalg.norm(wanted)


@pytest.mark.parametrize("points", [points for points, _ in POLYTOPES], ids=str)
def test_points_within_the_tolerance_are_inside(points: list[list[float]]) -> None:
    corners = np.array(points)
    middle = corners.mean(axis=0)
    for off in (0.0, 0.5, -0.5):  # each coordinate may be off by one
        assert nearest(of(corners - middle + off))[2]
        assert nearest(of((corners - middle + off) * 7), tolerance=7.0)[2]
    if len(corners) == 1:
        assert nearest(of(corners - middle + 1))[2]
        assert not nearest(of(corners - middle - [1.001, 0]))[2]


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("seed", range(12))
def test_a_random_polytope_is_parted_from_the_origin_or_holds_it(seed: int, size: float) -> None:
    """Compared with the least squares over all weights, found by brute force over faces."""
    rng = np.random.default_rng(seed)
    corners = rng.normal(size=(4, 3)) + rng.normal(size=3)
    point, mean, inside = nearest(of(size * corners), tolerance=1e-9 * size)
    least = min(_faces(corners), key=np.linalg.norm)
    assert inside is bool(np.abs(least).max() <= 1e-9)
    assert sum(w for w, _ in mean) == pytest.approx(1, rel=1e-12)
    if not inside:
        assert (corners @ point).min() > 0
        assert np.linalg.norm(point / size) <= 2 * np.linalg.norm(least)
        assert np.linalg.norm(point / size) >= (1 - 1e-9) * np.linalg.norm(least)


def _faces(corners: Array) -> list[Array]:
    """Return the point nearest to the origin of each face's plane that lies in the face."""
    found = []
    for chosen in range(1, 2 ** len(corners)):
        rows = corners[[k for k in range(len(corners)) if chosen >> k & 1]]
        system = np.block([[rows @ rows.T, np.ones((len(rows), 1))], [np.ones((1, len(rows))), np.zeros((1, 1))]])
        weights = np.linalg.lstsq(system, np.append(np.zeros(len(rows)), 1.0), rcond=1e-13)[0][:-1]
        if (weights >= -1e-12).all():
            found.append(weights @ rows)
    return found


def test_weights_of_the_nearest_point_of_a_plane() -> None:
    np.testing.assert_allclose(_affine(np.array([[3.0, 3.0], [4.0, -4.0]])), [0.5, 0.5], rtol=1e-14)
    np.testing.assert_allclose(_affine(np.array([[2.0, 4.0]])), [2.0, -1.0], rtol=1e-14)  # beyond the first one
    np.testing.assert_allclose(_affine(np.array([[1.0], [2.0]])), [1.0])
    np.testing.assert_allclose(_affine(6 * np.eye(3)), np.ones(3) / 3, rtol=1e-14)
    np.testing.assert_allclose(_affine(np.array([[3.0, 3.0], [1.0, 1.0]])).sum(), 1)  # twice the same


# -- Parts of the search


def test_arrays_in_one_row() -> None:
    real, complex_ = np.array([[1.0, 2.0]]), np.array([3 + 4j, 5 - 6j])
    arrays = [real, complex_]
    np.testing.assert_array_equal(FlatRow([0, 1], arrays).of(arrays), [1, 2, 3, 5, 4, -6])
    np.testing.assert_array_equal(FlatRow([1, 0], arrays[::-1]).of(arrays, np.real), [3, 5, 3, 5, 1, 2])
    np.testing.assert_array_equal(FlatRow([1, 0], [real[0], real]).of(arrays), [3, 5, 1, 2])  # a real input
    assert FlatRow([], []).of(arrays).shape == (0,)
    empty = [*arrays, np.zeros((0, 2))]
    for kept, (i, back) in zip(empty, FlatRow(range(3), empty).arrays(FlatRow(range(3), empty).of(empty)), strict=True):
        np.testing.assert_array_equal(back, empty[i])
        assert kept.shape == back.shape


def test_where_all_sides_agree_there_is_a_derivative() -> None:
    sides = [np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.5, 3.0, 4.1])]
    allowed = np.array([0.1, 0.1, 0.2, 0.1])
    assert _error_where_smooth(sides, np.array([1.19, 9.0, 3.39, 4.19]), allowed) is None
    np.testing.assert_allclose(
        _error_where_smooth(sides, np.array([1.21, 9.0, 3.41, 4.21]), allowed), [2.1, 0, 2.05, 2.1]
    )
    np.testing.assert_allclose(_error_where_smooth(sides, np.array([0.79, -9.0, 3.0, 4.0]), allowed), [-2.1, 0, 0, 0])
    np.testing.assert_allclose(
        _error_where_smooth(sides[::-1], np.array([0.79, -9.0, 3.0, 4.0]), allowed), [-2.1, 0, 0, 0]
    )


def test_among_the_means_of_sides() -> None:
    sides, allowed = [np.array([0.0, 0.0]), np.array([4.0, 0.0])], np.array([0.5, 0.25])
    for wanted in ([2.0, 0.0], [0.0, 0.2], [4.4, -0.2], [-0.4, 0.0]):
        assert _error_from_means(sides, np.array(wanted), allowed) is None
    way = _error_from_means(sides, np.array([1.0, 3.0]), allowed)
    assert way is not None
    assert way[1] == 12
    np.testing.assert_allclose(_error_from_means(sides, np.array([-7.0, 0.0]), allowed), [-14, 0], atol=1e-12)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1], [2, 1], [0]])
def test_places_in_the_flat_row(order: list[int]) -> None:
    """The effect of a slope on each input lies where the row has that input."""
    rng = np.random.default_rng(0)
    likes = [rng.normal(size=(2, 2)), rng.normal(size=3) + 1j, rng.normal(size=2)]
    effects = [rng.normal(size=(2, 2)), rng.normal(size=3) + 1j * rng.normal(size=3), rng.normal(size=2)]
    row = FlatRow(order, [likes[i] for i in order])
    allowed = rng.uniform(1, 2, row.of(likes).size)
    parts = [(i, np.arange(effects[i].size)[1:], effects[i].reshape(-1)[1:]) for i in (2, 1, 0)]
    ((where, values), none) = _flat_effects([parts, []], row, allowed)
    found = np.zeros(len(allowed))
    found[where] = values
    kept = [e.copy() for e in effects]
    for e in kept:
        e.reshape(-1)[0] = 0
    np.testing.assert_allclose(found, row.of(kept) / allowed, rtol=1e-15)
    assert none[0].size == none[1].size == 0


def effect(*places: list[int]) -> list[tuple[Array, Array]]:
    return [(np.array(p, dtype=int), np.ones(len(p))) for p in places]


@pytest.mark.parametrize(
    ("effects", "wanted"),
    [
        ([effect([0, 1]), effect([2])], [([0], [0, 1]), ([1], [2])]),
        ([effect([0, 1]), effect([2]), effect([1, 2])], [([0, 1, 2], [0, 1, 2])]),
        ([effect([0]), effect([1]), effect([2]), effect([0], [2])], [([0, 2, 3], [0, 2]), ([1], [1])]),
        ([effect([3]), effect([]), effect([3, 4])], [([0, 2], [3, 4]), ([1], [])]),
        ([effect([0]), effect([0, 1]), effect([1, 2]), effect([2, 3]), effect([5])], [([0, 1, 2, 3], [0, 1, 2, 3]),
         ([4], [5])]),
        ([effect([0], [5]), effect([5])], [([0, 1], [0, 5])]),
        ([], []),
    ],
    ids=str,
)  # fmt: skip
def test_kinks_that_meet_in_no_entry_are_apart(effects: Any, wanted: Any) -> None:
    found = sorted(_independent_groups(effects, 6), key=lambda part: part[0])
    assert [(members, entries.tolist()) for members, entries in found] == wanted


def test_slopes_that_kinks_have_together() -> None:
    kinks = [SimpleNamespace(slopes=[0, 1, 2], pattern=[0, 1, 0, 2, -1]),
             SimpleNamespace(slopes=[0, 1], pattern=[1, 1, 1, -1, 0]),
             SimpleNamespace(slopes=[0, 1], pattern=[0, 0, 1, 1, 1])]  # fmt: skip
    graph: Any = SimpleNamespace(kinks=kinks, have_equal_slopes=lambda group, choice: sum(choice) > 1)
    assert _choices(graph, [0], False) == [(0,), (1,), (2,)]
    assert _choices(graph, [1], True) == [(0,), (1,)]
    assert _choices(graph, [0, 1], False) == [(0, 1), (1, 1)]
    assert _choices(graph, [0, 1], True) == [(1, 1)]
    assert _choices(graph, [0, 1, 2], False) == [(0, 1, 0), (1, 1, 0), (0, 1, 1)]
    assert _choices(graph, [1, 2], True) == [(1, 1)]
    graph.have_equal_slopes = lambda group, choice: False
    assert _choices(graph, [0, 1], True) == [(0, 1), (1, 1)]


def test_it_looks_from_the_side_to_which_a_gradient_lies_outside() -> None:
    leaves = [np.zeros((2, 1)), np.zeros(2, complex), np.zeros(2), np.zeros(1)]
    scales = [np.full((2, 1), 2.0), np.ones(2), np.array([1.0, 4.0]), np.array([10.0])]
    looks: list[list[Array]] = []
    sides: Any = SimpleNamespace(leaves=leaves, scales=scales, add_side=looks.append)
    grads = [np.zeros(2, complex), np.zeros(2)]
    away = np.array([1.0, 0.0, -3.0, 0.0, 0.5, 8.0])  # the real parts of input 1, its imaginary ones, input 2
    assert _look_from(sides, away, FlatRow([1, 2], grads), np.random.default_rng(0))
    size = np.abs(1 - 3j)  # of what is moved most for its scale
    for look, sign in zip(looks, (1, -1), strict=True):
        np.testing.assert_allclose(look[1][0], sign * (1 - 3j) / size, rtol=1e-14)
        np.testing.assert_allclose(look[2], sign * np.array([0.5, 8.0]) / size, rtol=1e-14)
        for rest, scale in ((look[0], scales[0]), (look[1][1:], scales[1][1:]), (look[3], scales[3])):
            assert (np.abs(rest) <= 1e-8 * scale).all()
            assert np.abs(rest).max() > 1e-10 * scale.max()
    far = away.copy()
    far[5] = 40.0  # 10 for its scale
    looks.clear()
    assert _look_from(sides, far, FlatRow([1, 2], grads), np.random.default_rng(0))
    np.testing.assert_allclose(looks[0][2], [0.05, 4.0], rtol=1e-14)
    for bad in (0 * away, np.where(away == 8, np.inf, away)):
        looks.clear()
        assert not _look_from(sides, bad, FlatRow([1, 2], grads), np.random.default_rng(0))
        assert looks == []
