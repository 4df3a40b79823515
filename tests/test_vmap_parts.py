"""vmap: branches on values, np.piecewise, axes of arguments and results, and the placeholder for one sample."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from test_vmap import close

from tinygrad_nn import Tensor, grad, vmap
from tinygrad_nn.backward import ancestors
from tinygrad_nn.primitive import REGISTRY
from tinygrad_nn.tensor import raw
from tinygrad_nn.transforms.batching import draw_for_samples, rules
from tinygrad_nn.transforms.batching.mapped import Level, placeholder

N = 4
X = np.arange(3.0)


def samples(*shapes: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    """Numbers of which some are equal, for each shape of one sample."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-2, 3, (N, *shape)).astype(float) for shape in shapes]


def of_each(f: Callable[..., Any], *arrays: Any) -> Any:
    return np.stack([np.asarray(f(*one)) for one in zip(*arrays, strict=True)])


QUESTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "argmax of a later argument": lambda x, y: np.argmax(a=x, axis=1),
    "argmax at a place": lambda x, y: np.argmax(x, 0),
    "argmin of all": lambda x, y: np.argmin(x, None),
    "argsort at a place": lambda x, y: np.argsort(x, 0),
    "argsort of a kind": lambda x, y: np.argsort(x, 0, "stable"),
    "argsort of a named kind": lambda x, y: np.argsort(x, kind="stable", axis=0),
    "any, kept": lambda x, y: np.any(x > 0, axis=None, keepdims=True),
    "any at two axes": lambda x, y: np.any(x > 1, (0, 1)),
    "any where": lambda x, y: np.any(x > 0, axis=1, where=np.array([True, False, True])),
    "any of all where": lambda x, y: np.any(x > 0, where=np.array([True, False, True])),
    "any where each sample says": lambda x, y: np.any(x > 0, axis=1, where=y > 0),
    "count": lambda x, y: np.count_nonzero(x),
    "count, kept": lambda x, y: np.count_nonzero(x, 1, keepdims=True),
    "array_equal": lambda x, y: np.array_equal(x, y),
    "array_equal of itself": lambda x, y: np.array_equal(x, x * 1),
    "allclose": lambda x, y: np.allclose(y, x, atol=3),
    "isclose": lambda x, y: np.isclose(x, y),
    "searchsorted of what all share": lambda x, y: np.searchsorted(np.array([-1.0, 0.0, 1.0]), x),
    "searchsorted of each": lambda x, y: np.searchsorted(np.sort(x[0]), y[0]),
    "searchsorted on a side": lambda x, y: np.searchsorted(np.sort(x[0]), np.array([0.0, 1.0]), side="right"),
    "digitize": lambda x, y: np.digitize(x, np.array([-1.0, 1.0])),
    "floor": lambda x, y: x // 2, "signs": lambda x, y: np.signbit(x), "finite": lambda x, y: np.isfinite(x / y[0, 0]),
    "less": lambda x, y: x < y, "less, of a number": lambda x, y: x < 1, "a number less": lambda x, y: np.less(1, x),
    "at most": lambda x, y: x <= 1, "more": lambda x, y: x > y[0], "at least": lambda x, y: np.ones((2, 1)) >= x,
    "equal": lambda x, y: x == y, "other": lambda x, y: x != 0, "logical": lambda x, y: np.logical_and(x > 0, y > 0),
    "not": lambda x, y: ~(x > 0), "or": lambda x, y: (x > 0) | (y[0] > 0),
    "a method": lambda x, y: x.argmax(), "an axis": lambda x, y: x.argmin(0),
    "a method of truth": lambda x, y: (x > 1).any(axis=1), "all of a method": lambda x, y: (x > -2).all(),
    "argsort of a method": lambda x, y: x.argsort(axis=0), "length": lambda x, y: len(x),
    "size": lambda x, y: np.size(x, 1),
    "type": lambda x, y: np.zeros(2, np.result_type(x, np.float32)), "zeros": lambda x, y: np.zeros_like(x),
    "full": lambda x, y: np.full_like(x, 7), "shape": lambda x, y: x * 0 + np.shape(x)[1],
    "rows": lambda x, y: np.stack([row * k for k, row in enumerate(x)]), "unpacked": lambda x, y: np.stack([*x][::-1]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_answered_for_each_sample(name: str) -> None:
    ask, (x, y) = QUESTIONS[name], samples((2, 3), (2, 3))
    wanted = of_each(ask, x, y)
    for found in (vmap(ask)(x, y), vmap(lambda x, y: 1 * np.asarray(raw(0)) + ask(x, y))(x, y)):
        assert np.array_equal(np.asarray(found), wanted, equal_nan=True)
    same = vmap(ask, (None, 0))(x[0], y)
    assert np.array_equal(np.asarray(same), of_each(lambda y: ask(x[0], y), y), equal_nan=True)
    nested = vmap(vmap(ask, (None, 0)), (0, None))(x, y)
    assert np.array_equal(np.asarray(nested), [of_each(lambda y: ask(one, y), y) for one in x], equal_nan=True)  # noqa: B023
    other = vmap(vmap(ask, (0, None)), (None, 0))(x, y)
    assert np.array_equal(np.asarray(other), [of_each(lambda x: ask(x, one), x) for one in y], equal_nan=True)  # noqa: B023


@pytest.mark.parametrize("ask", [np.argmax, np.any, np.count_nonzero, lambda x: np.argmin(x, axis=1)])
def test_a_question_of_no_samples_has_no_answers(ask: Any) -> None:
    assert vmap(ask)(np.ones((0, 2, 3))).shape[0] == 0


def test_a_question_of_one_sample_has_one_answer() -> None:
    x, y = np.ones((1, 3)), np.array([[1.0, 1.0, 2.0]])
    close(vmap(np.array_equal)(x, y), np.array([False]))
    with pytest.raises(ValueError, match=r"^f inside vmap gives arrays of different shapes in different samples, \("):
        rules.stack_samples("f", [np.ones(1), np.ones(2)])


def test_a_stable_sort_by_positional_argument_is_stable() -> None:
    x = np.random.default_rng(0).integers(0, 3, (N, 100)).astype(float)  # a short row is sorted in order anyway
    close(vmap(lambda x: np.argsort(x, 0, "stable"))(x), np.argsort(x, 1, "stable"))


@pytest.mark.filterwarnings("ignore:'where' used")
def test_the_where_argument_may_differ_per_sample() -> None:
    (x,), where = samples((3,)), np.arange(N * 3).reshape(N, 3) % 2 == 0
    found = vmap(lambda x, where: np.where(where, np.less(x, 1, where=where), False))(x, where)
    close(found, where & (x < 1))


def test_queries_of_a_sample_run_on_all_samples() -> None:
    (x,) = samples((2, 3))
    with Level(N).entered() as level:
        seen = level.wrap(x)._array_for_query()
        for found, wanted in (
            (np.argmax(seen, axis=0), x.argmax(axis=1)), (np.argsort(seen), x.argsort()), (np.add(seen, 1), x + 1),
            (np.logical_or.reduce(seen, axis=1), (x != 0).any(axis=2)),
            (np.any(seen, keepdims=True), (x != 0).any(axis=(1, 2), keepdims=True)),
        ):  # fmt: skip
            close(getattr(found, "source", found).full, wanted)
        assert np.shape(seen) == np.zeros_like(seen).shape == np.full_like(seen, 1).shape == (2, 3)
        assert np.transpose(seen).shape == (3, 2)
        assert type(np.transpose(seen)) is type(np.full_like(seen, 1)) is np.ndarray
        assert not level.wrap(x).is_leaf


def test_a_function_of_rows_runs_once_for_all_samples() -> None:
    lengths = [len(ancestors([vmap(np.trapezoid)(Tensor(np.ones((n, 4)))).node])) for n in (2, 5)]
    assert lengths[0] == lengths[1]


def test_one_sample_is_run_alone_and_no_sample_raises() -> None:
    f = lambda x: REGISTRY["reshape"](x, shape=(2, 3), order="F")
    x = np.arange(6.0)
    close(vmap(f)(Tensor(x[None])), x.reshape(1, 2, 3, order="A").reshape(3, 2).T[None])
    with pytest.raises(ValueError, match=r"^reshape inside vmap over no samples: the shape of its result is only"):
        vmap(f)(Tensor(np.ones((0, 6))))


def test_constants_that_are_looked_up_have_no_gradient() -> None:
    table, places = np.arange(6.0).reshape(3, 2), np.array([[[0, 1]], [[2, 0]]])
    found = vmap(lambda i: np.take_along_axis(table, i, 0))(places)
    assert type(found) is np.ndarray
    close(found, np.stack([np.take_along_axis(table, i, 0) for i in places]))


def test_one_truth_value_of_each_sample_is_an_index() -> None:
    x = np.arange(6.0).reshape(2, 3)
    close(vmap(lambda x, m: x[m])(Tensor(x), np.array([True, True])), x[:, None])


def test_a_question_writes_into_no_array_and_has_the_names_of_ndarrays() -> None:
    x, out = np.ones((2, 3)), np.zeros(3, bool)
    with pytest.raises(TypeError, match=r"^np\.less would write a Tensor's values into an array"):
        vmap(lambda x: np.less(x, 2, out=out))(x)
    assert not out.any()
    for asked in (np.less.outer, np.logical_or.outer):
        with pytest.raises(TypeError, match=r"outer has no derivative rule here"):
            vmap(lambda x: asked(x, x))(x)  # noqa: B023
    with pytest.raises(AttributeError, match="no attribute 'array_equal'"):
        vmap(lambda x: x.array_equal(1))(x)


def test_queries_with_unsuitable_shapes_raise() -> None:
    x = np.ones((N, 2, 3))
    with pytest.raises(ValueError, match=r"^np\.greater of arrays of shapes \[\(2, 3\), \(4,\)\]$"):
        vmap(lambda x: x > np.ones(4))(x)


def test_results_of_another_number_in_each_sample_cannot_be_stacked() -> None:
    def asked(x: Any) -> Any:
        return rules._call_each_sample(rules.level_of(x), lambda t: [t] * (1 + int(t > 0)), (x,), {})

    with pytest.raises(ValueError, match=r"inside vmap gives arrays of different shapes in different samples, and"):
        vmap(asked)(np.array([-1.0, 1.0]))


PIECES: dict[str, Callable[[Any, Any], Any]] = {
    "two of two": lambda x, y: np.piecewise(x, [x < 0, x > 0], [lambda t: t * y, lambda t: t + y]),
    "a default": lambda x, y: np.piecewise(x, [x < 0], [lambda t: -t * y, lambda t: t * y * 2]),
    "two and a default": lambda x, y: np.piecewise(x, [x < 0, x > 1], [lambda t: t * y, 3.0, lambda t: t - y]),
    "one condition": lambda x, y: np.piecewise(x, x > 0, [lambda t: t * y, -1.0]),
    "a list of one": lambda x, y: np.piecewise(x, [x > 0], [lambda t: t * y]),
    "the later of two that hold": lambda x, y: np.piecewise(x, [x > 0, x > 1], [lambda t: t * y, lambda t: -t * y]),
    "with arguments": lambda x, y: np.piecewise(x, [x > 0, x < 0], [lambda t, k: t * y * k, lambda t, k: k * y], 5.0),
    "conditions in one array": lambda x, y: np.piecewise(x, np.stack([x < 0, x > 1]), [lambda t: t * y, np.negative]),
    "lists of truth values": lambda x, y: np.piecewise(x, [[True] * x.size, x > 1], [lambda t: t * y, lambda t: t]),
    "no use of it": lambda x, y: np.piecewise(x, [x > 0], [lambda t: t * t, lambda t: t * 2]),
}


@pytest.mark.parametrize("name", PIECES)
def test_pieces_whose_functions_use_what_differs(name: str) -> None:
    f = PIECES[name]
    x, y = samples((5,), (), seed=1)
    one = lambda x, y: raw(f(Tensor(x, False), y))
    close(vmap(f)(x, y), of_each(one, x, y))
    close(vmap(grad(lambda x, y: f(x, y).sum()))(x, y), of_each(grad(lambda x, y: f(x, y).sum()), x, y))
    numbers = samples((), seed=2)[0]
    if name == "lists of truth values":
        return
    if name == "one condition":  # NumPy takes a bare condition of a number, not one of an array without axes
        one = lambda x, y: raw(np.piecewise(x, np.bool_(x > 0), [lambda t: t * y, -1.0]))
    close(vmap(f)(numbers, y), of_each(one, numbers, y))


@pytest.mark.parametrize("shape", [(2, 2), (2, 3)])
def test_a_condition_on_rows_is_one_on_their_entries(shape: tuple[int, ...]) -> None:
    x, y = samples(shape, (), seed=4)
    for f in (
        lambda x, y: np.piecewise(x, [x[:, 0] > 0], [lambda t: t * y, lambda t: -t * y]),
        lambda x, y: np.piecewise(x, [x[:, 0] > 0, x[:, 1] > 1], [lambda t: t * y, lambda t: -t * y]),
        lambda x, y: np.piecewise(x, [x > 0], [lambda t: t * y, lambda t: -t * y]),
    ):
        close(vmap(f)(x, y), of_each(lambda x, y, f=f: raw(f(Tensor(x, False), y)), x, y))
    wrong = vmap(lambda x, y: np.piecewise(x, [np.append(x[0], y) > 0], [lambda t: t * y]))
    with pytest.raises(IndexError, match=r"^np\.piecewise needs conditions of the shape of x, \(2, .\); one has \("):
        wrong(x, y)


def test_a_list_of_truth_values_is_one_condition_but_for_a_number() -> None:
    x, y = samples((3,), (), seed=3)
    f = lambda x, y: np.piecewise(x, [True, False, True], [lambda t: t * y, -1.0])
    close(vmap(f)(x, y), np.stack([[a[0] * b, -1, a[2] * b] for a, b in zip(x, y, strict=True)]))
    g = lambda x, y: np.piecewise(x, [True, False], [lambda t: t * y, lambda t: t])
    close(vmap(g)(y, y), y * y)


@pytest.mark.parametrize(
    ("x", "conditions"),
    [
        (X, [True, False, True]), (X, [[True, False, True]]), (X, X > 1), (X, [X > 1]), (X, [X > 1, X < 1]),
        (X, np.stack([X > 1, X < 1])), (X[0], [True, False]), (X[0], np.bool_(True)), (X[None] * 1, [X[None] > 1]),
        (np.arange(3), [X > 1]),
    ],
)  # fmt: skip
def test_pieces_are_those_of_numpy_where_all_functions_run(x: Any, conditions: Any) -> None:
    for functions in ([lambda t: t * 10, -1.0], [lambda t: t * 10, lambda t: t * 7, -1.0], [lambda t: t * 10]):
        try:
            wanted = np.piecewise(x, conditions, functions)
        except ValueError:
            with pytest.raises(ValueError, match=r"^np\.piecewise got [123] functions for [123] conditions\.$"):
                rules._piecewise(x, conditions, functions)
            continue
        close(rules._piecewise(x, conditions, functions), wanted)


# -- Axes of arguments and results


def test_arguments_lie_along_any_axis_and_are_shared_or_not() -> None:
    a, b = np.arange(24.0).reshape(2, 3, 4), np.arange(8.0).reshape(4, 2)
    f = lambda p, q, k: p["x"] * p["n"] + q.sum() * k
    wanted = np.stack([a[:, :, i] * 3 + b[i].sum() * 2 for i in range(4)])
    for axes in (({"x": 2, "n": None}, 0, None), [{"x": -1, "n": None}, -2, None]):
        close(vmap(f, axes)({"x": a, "n": 3}, b, 2), wanted)
        close(vmap(f, axes, out_axes=1)({"x": a, "n": 3.0}, b, np.float64(2)), wanted.swapaxes(0, 1))
        close(vmap(f, axes, out_axes=-1)({"x": a, "n": 3.0}, b, 2.0), np.moveaxis(wanted, 0, -1))
    close(vmap(lambda x, y: x * y[0], (1, 1))(b.T, a[0]), (b.T * a[0][0]).T)
    close(vmap(lambda x, y: x * y[0], 1)(b.T, a[0]), (b.T * a[0][0]).T)
    close(vmap(lambda x, *, w: x @ w)(b, w=np.ones((4, 2, 5))), b.sum(axis=1)[:, None] * np.ones(5))
    close(vmap(lambda i, x: Tensor(x, False)[i], (0, None))(np.array([1, 0, 1]), b), b[[1, 0, 1]])


def test_results_independent_of_samples_are_repeated_or_returned_unchanged() -> None:
    x, b = np.arange(3.0), np.arange(2)
    found = vmap(lambda x: (b, True, 2, 1.5, 2j, np.float32(1), None, [x]))(x)
    close(found[0], np.stack([b] * 3))
    assert found[6] is None
    for value, wanted in zip(found[1:6], (True, 2, 1.5, 2j, np.float32(1)), strict=True):
        assert isinstance(value, np.ndarray)
        assert np.array_equal(value, [wanted] * 3)
    found[0][0, 0] = 9
    assert b[0] == 0
    assert vmap(lambda x: (b, x), out_axes=(None, 0))(x)[0] is b
    close(vmap(lambda x: b * 1.0, out_axes=1)(x), np.stack([b * 1.0] * 3, axis=1))
    table = np.arange(6.0).reshape(3, 2)
    for view in (lambda x: x, lambda x: x[0], lambda x: x[::-1]):
        assert not np.may_share_memory(vmap(view)(table), table)


def test_tensors_come_back_where_tensors_were_given_or_a_graph_is() -> None:
    x = np.arange(3.0)
    assert type(vmap(np.sin)(x)) is np.ndarray
    assert type(vmap(np.sin)(Tensor(x, False))) is type(vmap(lambda x: 1.0)(Tensor(x))) is Tensor
    w = Tensor(np.array(2.0))
    made = vmap(lambda x: x * w)(x)
    assert type(made) is Tensor
    made.sum().backward()
    assert w.grad == 3.0
    assert type(vmap(lambda x: (x > 1) * 1)(Tensor(x))) is Tensor


SHARED = "give one for each, None for an argument that all samples share."
FOUND = "vmap of add needs the same number of samples in all mapped arguments; it found"
NUMBER = ". in_axes gives the axis of the samples in each argument, None if it is not mapped."
NESTS = "; give one integer or None for all of it, or the same containers."


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda x: vmap(lambda x, y: x, (0,))(x, x),
         f"in_axes=(0,) has 1 entry, and <lambda> was called with 2 arguments by position; {SHARED}"),
        (lambda x: vmap(np.sin, [0, 0])(x),
         f"in_axes=[0, 0] has 2 entries, and sin was called with 1 argument by position; {SHARED}"),
        (lambda x: vmap(np.add)(x, x[:2]),
         f"{FOUND} 3 along axis 0 of shape (3,) and 2 along axis 0 of shape (2,){NUMBER}"),
        (lambda x: vmap(np.add, None)(x, x), f"{FOUND} none, with in_axes=None{NUMBER}"),
        (lambda x: vmap(lambda d: d, ({"a": 0},))([x]),
         f"in_axes of vmap(<lambda>) has a dict with a where there is a list with 0{NESTS}"),
        (lambda x: vmap(lambda d: d["a"], ({"a": 0},))({"a": x, "b": x}),
         f"in_axes of vmap(<lambda>) has a dict with a where there is a dict with a, b{NESTS}"),
        (lambda x: vmap(np.sin, 1)(x), "in_axes of vmap(sin): axis 1 is out of bounds for array of dimension 1"),
        (lambda x: vmap(np.sin, 0, -2)(x), "out_axes of vmap(sin): axis -2 is out of bounds for array of dimension 1"),
        (lambda x: vmap(np.sin, "0")(x), f"in_axes of vmap(sin) has one str where there is one array{NESTS}"),
    ],
)  # fmt: skip
def test_invalid_axes_raise(call: Any, text: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^{re.escape(text)}$"):
        call(np.arange(3.0))


# -- What stands for a sample


def test_the_placeholder_of_a_sample_is_filled_with_the_worst_values() -> None:
    for dtype, worst in ((np.float32, np.nan), (np.float64, np.nan), (np.complex128, complex(np.nan, 0)),
                         (np.int8, -128), (np.int64, -(2**63)), (np.uint8, 0), (np.bool_, True)):  # fmt: skip
        for shape in ((), (3,), (2, 3)):
            found = placeholder.__wrapped__(shape, np.dtype(dtype))
            assert (found.shape, found.dtype) == (shape, np.dtype(dtype))
            assert np.array_equal(found, np.full(shape, worst, dtype), equal_nan=found.dtype.kind in "fc")


def test_levels_nest_three_deep() -> None:
    depths: list[int] = []
    A, B, C = np.arange(2.0), np.arange(3.0) + 0.5, np.arange(4.0) - 0.5

    def inner(a: Any, b: Any, c: Any) -> Any:
        depths.extend(x.level.depth for x in (a, b, c))
        rows = np.stack([a * b, b * c, c * a])  # of all three
        return np.sin(rows) @ rows + np.convolve(rows, rows)[1] + np.where(c > 0, a, b)

    found = vmap(lambda a: vmap(lambda b: vmap(lambda c: inner(a, b, c))(C))(B))(A)
    assert depths == [0, 1, 2]

    def plain(a: Any, b: Any, c: Any) -> Any:
        rows = np.array([a * b, b * c, c * a])
        return np.sin(rows) @ rows + np.convolve(rows, rows)[1] + np.where(c > 0, a, b)

    close(found, np.array([[[plain(a, b, c) for c in C] for b in B] for a in A]))
    slopes = vmap(lambda a: vmap(lambda b: vmap(lambda c: grad(inner)(a, b, c))(C))(B))(A)
    h = 1e-6  # of a central difference: errors of h² times a third derivative below 100, and of 1e-15 / h
    wanted = [[[(plain(a + h, b, c) - plain(a - h, b, c)) / (2 * h) for c in C] for b in B] for a in A]
    np.testing.assert_allclose(slopes, wanted, atol=1e-8, rtol=1e-8)


def test_all_samples_of_values_of_two_levels() -> None:
    with Level(2).entered() as outer:
        a = outer.wrap(np.arange(6.0).reshape(2, 3))
        with Level(4).entered() as inner:
            b = inner.wrap(np.arange(12.0).reshape(4, 3))
            both = a * b  # of the inner level, whose samples are those of the outer
            assert (both.level, both.full.level, both.shape) == (inner, outer, (3,))
            assert np.array_equal(both.full.full, np.arange(6.0).reshape(2, 1, 3) * np.arange(12.0).reshape(4, 3))
            of_outer = outer.full(both)
            assert of_outer.level is inner
            assert np.array_equal(of_outer.full.transpose(1, 0, 2), both.full.full)
            assert np.array_equal(outer.full(np.ones(3)), np.ones((2, 3)))
            assert inner.full(b) is b.full
            again = outer.wrap(of_outer)
            assert (again.level, again.shape) == (inner, (3,))
            assert np.array_equal(again.full.full, both.full.full)
            assert [inner.beyond(x) for x in (inner, outer, None)] == [outer, outer, None]
            assert [outer.beyond(x) for x in (inner, outer, None)] == [None, None, None]
            shape = draw_for_samples(np.ones, (5,), both)
            assert (shape.level, shape.full.level, shape.full.full.shape) == (inner, outer, (2, 4, 5))
        assert (outer.open, inner.open) == (True, False)
