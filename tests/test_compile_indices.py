"""Compiled functions that index, sort and interpolate: indices, orders and quantiles differ from call to call."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.test_control_flow import close
from tinygrad_nn import compile, grad, value_and_grad
from tinygrad_nn.compiled.numba import calls as calls_of_kernels
from tinygrad_nn.compiled.trace.operations import frozen
from tinygrad_nn.nn import functional

RNG = np.random.default_rng(0)
X, V = RNG.normal(size=(6, 5)), RNG.normal(size=7)
XP, FP = np.array([-1.0, 0.0, 0.5, 2.0]), np.array([1.0, -1.0, 3.0, 0.5])
FIXED = np.array([3, 0, 3])


@pytest.fixture(autouse=True)
def compiles_or_fails() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def squares(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: (f(*args) ** 2).sum()


# A function of floats first; its arguments, and others.
FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = {
    "take rows": (lambda x, i: np.take(x, i, axis=0), (X, np.array([1, 1, 5])), (-X, np.array([0, -1, 4]))),
    "take entries": (np.take, (X, np.array([[1, 29], [3, 3]])), (X, np.array([[0, -30], [7, 7]]))),
    "take along the last axis": (
        lambda x, i: np.take(x, i, axis=-1),
        (X, np.array([[4], [4]])),
        (X, np.array([[0], [-2]])),
    ),
    "take one": (lambda x, i: np.take(x, i, axis=0), (X, np.array(2)), (X, np.array(-1))),
    "take with mode clip": (lambda x, i: np.take(x, i, mode="clip"), (X, np.array([-3, 99])), (X, np.array([5, 4]))),
    "take with mode wrap": (
        lambda x, i: np.take(x, i, axis=1, mode="wrap"),
        (X, np.array([-3, 99])),
        (X, np.array([5, 4])),
    ),
    "take at fixed places": (lambda x: np.take(x, FIXED, axis=0), (X,), (-X,)),
    "take of none": (lambda x, i: np.take(x, i, axis=0), (X, np.array([], int)), (-X, np.array([], int))),
    "take along": (
        lambda x, i: np.take_along_axis(x, i, axis=1),
        (X, RNG.integers(0, 5, (6, 3))),
        (X, RNG.integers(-5, 5, (6, 3))),
    ),
    "take along axis 0": (
        lambda x, i: np.take_along_axis(x, i, axis=0),
        (X, RNG.integers(0, 6, (2, 5))),
        (X, RNG.integers(-6, 6, (2, 5))),
    ),
    "take along the whole": (
        lambda x, i: np.take_along_axis(x, i, axis=None),
        (X, np.array([3, 3])),
        (X, np.array([9, 0])),
    ),
    "take along what is sorted": (lambda x: np.take_along_axis(x, np.argsort(x, axis=1), axis=1), (X,), (-X,)),
    "cov": (np.cov, (X,), (X**2,)),
    "cov of two": (lambda x, y: np.cov(x, y, rowvar=False, bias=True), (X, X[::-1] ** 2), (-X, X)),
    "cov with weights": (
        lambda x, w, n: np.cov(x, aweights=w, fweights=n),
        (X, np.arange(1.0, 6), np.array([1, 2, 1, 3, 1])),
        (X, np.arange(6.0, 1, -1), np.array([2, 2, 1, 1, 4])),
    ),
    "corrcoef": (np.corrcoef, (X,), (X**2,)),
    "median": (np.median, (X,), (-X,)),
    "median of columns": (lambda x: np.median(x, axis=0, keepdims=True), (X,), (X[::-1] ** 3,)),
    "percentile": (lambda x: np.percentile(x, [10, 50, 93], axis=1), (X,), (-X,)),
    "percentile of an argument": (
        lambda x, q: np.percentile(x, q, axis=0),
        (X, np.array([10.0, 50])),
        (X, np.array([0.0, 99])),
    ),
    "quantile of an argument": (lambda x, q: np.quantile(x, q, method="hazen"), (X, np.array(0.3)), (X, np.array(0.8))),
    "nearest quantile": (lambda x, q: np.quantile(x, q, method="nearest"), (X, np.array(0.3)), (X, np.array(0.8))),
    "interp": (lambda x, xp, fp: np.interp(x, xp, fp), (V, XP, FP), (V * 2, XP - 0.5, -FP)),
    "interp of a constant table": (lambda x: np.interp(x, XP, FP), (V,), (V * 3,)),
    "interp with ends and a period": (lambda x, fp: np.interp(x, XP, fp, period=4), (V, FP), (V * 3, -FP)),
    "sort": (lambda x: np.sort(x, axis=0) * np.arange(5), (X,), (-X,)),
}


def floats(args: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(k for k, x in enumerate(args) if x.dtype.kind == "f")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_for_other_indices(name: str) -> None:
    f, args, others = FUNCTIONS[name]
    slopes = value_and_grad(squares(f), floats(args))
    quick = compile(slopes, backend="numpy")
    for given in (args, others, args):
        close(quick(*given), slopes(*given))
    assert not any(isinstance(plan, str) for plan in quick.plans.values())


@pytest.mark.parametrize("name", ["take rows", "take along", "median", "percentile of an argument", "interp"])
def test_second_derivatives(name: str) -> None:
    f, args, others = FUNCTIONS[name]
    twice = grad(lambda x, *rest: (grad(squares(f))(x, *rest) ** 3).sum())
    quick = compile(twice, backend="numpy")
    for given in (args, others):
        close(quick(*given), twice(*given))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["take along", "percentile of an argument", "interp", "cov with weights"])
def test_numba_gives_the_same(name: str) -> None:
    pytest.importorskip("numba")
    f, args, others = FUNCTIONS[name]
    slopes = value_and_grad(squares(f), floats(args))
    quick = compile(slopes, backend="numba")
    for given in (args, others):
        close(quick(*given), slopes(*given))
    assert quick.backend == "numba"
    assert not any(isinstance(plan, str) for plan in quick.plans.values())


OUTSIDE = {
    "take": (lambda x, i: np.take(x, i, axis=0), (X, np.array([1])), (X, np.array([9])), IndexError, "out of bounds"),
    "take along": (
        lambda x, i: np.take_along_axis(x, i, axis=1),
        (X, np.zeros((6, 1), int)),
        (X, np.full((6, 1), 5)),
        IndexError,
        "out of bounds",
    ),
    "percentile": (
        lambda x, q: np.percentile(x, q),
        (X, np.array(50.0)),
        (X, np.array(150.0)),
        ValueError,
        "in the range",
    ),
    "quantile": (
        lambda x, q: np.quantile(x, q, method="lower"),
        (X, np.array(0.5)),
        (X, np.array(-0.5)),
        ValueError,
        "in the range",
    ),
    "weights": (
        lambda x, w: np.cov(x, aweights=w),
        (X, np.ones(5)),
        (X, np.array([1.0, 1, -1, 1, 1])),
        ValueError,
        "cannot be negative",
    ),
    "counts": (lambda x, n: np.cov(x, fweights=n), (X, np.ones(5)), (X, np.full(5, 1.5)), TypeError, "must be integer"),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_compiled_indexing_out_of_bounds_raises_the_same_error(name: str) -> None:
    f, args, outside, error, message = OUTSIDE[name]
    quick = compile(f, backend="numpy")
    close(quick(*args), f(*args))
    with pytest.raises(error, match=message), np.errstate(invalid="ignore"):
        quick(*outside)
    close(quick(*args), f(*args))
    assert not any(isinstance(plan, str) for plan in quick.plans.values())


# -- As loops of kernels

F4 = np.float32
IN_KERNELS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[Any, ...]]] = {
    **{name: row for name, row in FUNCTIONS.items() if name.startswith("take") and "none" not in name},
    "rows of float32": (lambda x, i: x[i] * 2, (X.astype(F4), FIXED), (-X.astype(F4), FIXED - 2)),
    "small integers": (lambda x, i: x[i], (X, np.array([5, -6], np.int8)), (X, np.array([-1, 0], np.int8))),
    "unsigned": (lambda x, i: x[i], (X, np.array([5, 1], np.uint8)), (X, np.array([0, 0], np.uint8))),
    "many of few": (
        lambda x, i: x[i],
        (RNG.normal(size=(200, 2)), np.arange(200, dtype=np.uint8)),
        (RNG.normal(size=(200, 2)), np.full(200, 199, np.uint8)),
    ),
    "arrays apart": (lambda x: x.reshape(5, 3, 2)[FIXED, :, [0, 1, -1]] * 2, (X,), (-X,)),
    "arrays side by side": (lambda x: x.reshape(5, 3, 2)[..., [2, -3], [[0], [1]]], (X,), (-X,)),
    "a number and an array": (lambda x: x.reshape(5, 3, 2)[-2, :, FIXED % 2], (X,), (-X,)),
    "arrays apart on later axes": (lambda x: x.reshape(5, 3, 2, 1)[:, [2, 0], :, [0, 0]] * 2, (X,), (-X,)),
    "a slice and an array": (lambda x: x[1:4, FIXED] * 2, (X,), (-X,)),
    "a new axis": (lambda x: x[FIXED, None, 1:3], (X,), (-X,)),
    "a fixed mask": (lambda x: x[:, np.array([True, False, True, True, False])], (X,), (-X,)),
    "slices": (lambda x: x[1:, ::-2] * x[:5, -3:] * x[-2, 1], (X,), (-X,)),
    "what was joined": (lambda x, y: np.concatenate([x, x[:2] * y[:5], x[[0]]]) ** 2, (X, V), (-X, V[::-1])),
    "side by side": (lambda x, y: np.hstack([x, y[:6, None], x * 2]), (X, V), (-X, V[::-1])),
    "stacks": (lambda x: np.stack([np.stack([x, x * x], 1), x[:, None] * FIXED[:2, None]], -1), (X,), (-X,)),
    "two dtypes": (lambda x, y: np.concatenate([x, y]) * 2, (X, X.astype(F4)), (-X, -X.astype(F4))),
    "columns one by one": (lambda x: x[:, 0] * x[:, 1] * x[:, 4] + x[:, 1:3].sum(1) * x[:, -1], (X,), (-X,)),
    "the same part twice": (lambda x: x[1:3].sum(1) * np.sin(x[1:3]).sum(1) * x[-5:-3, 0], (X,), (-X,)),
    "rows one by one": (lambda x: x[0] * x[1] * x[2] * x[3] * x[4] + x[5], (X,), (-X,)),
    "planes in planes": (lambda x: x.reshape(2, 3, 5)[0][1] * x.reshape(2, 3, 5)[1][2] * x[:1, ::2].sum(), (X,), (-X,)),
    "cross": (lambda x, y: np.cross(x[:, :3], y[:3]) + np.cross(x[0, 1:4], x[:, 2:]), (X, V), (-X, V[::-1])),
    "seven axes": (
        lambda x: np.sum(np.multiply.outer(x[:2, :2], x.reshape(1, 2, 3, 5, 1))[:, :, :, :, :, [4, 0, 0]], axis=(0, 4)),
        (X,),
        (-X,),
    ),
}


def plan_of(quick: Any) -> Any:
    (plan,) = quick.plans.values()
    return plan


def calls(quick: Any) -> list[str]:
    return [op.name for op in plan_of(quick).program.ops if op.kind == "call"]


@pytest.mark.parametrize("name", IN_KERNELS)
def test_indexing_is_part_of_kernels(name: str, plain_kernels: None) -> None:
    f, args, others = IN_KERNELS[name]
    slopes = value_and_grad(squares(f), floats(args))
    quick = compile(slopes, backend="numba")
    strided = tuple(np.repeat(x, 2, axis=0)[::2] if np.ndim(x) else x for x in others)
    rtol = 4096 * max(np.finfo(x.dtype).eps for x in args if x.dtype.kind == "f")  # sums are in another order
    for given in (args, others, args, strided, others):
        close(quick(*given), slopes(*given), rtol)
    assert set(calls(quick)) <= {"places", "argsort", "clip", "remainder"}
    inside = [op for kernel in plan_of(quick).program.ops if kernel.kind == "kernel" for op in kernel.function.ops]
    assert all(op.function is None for op in inside if op.kind in ("gather", "scatter", "join")), "which call nothing"


def test_gradients_of_parts_are_written_beside_each_other(plain_kernels: None) -> None:
    f = grad(lambda x: (x[:, 0] * x[:, 1:3].T * x[:, 3:].sum()).sum())
    quick = compile(f, backend="numba")
    signed = np.where(X > 0, 0.0, -0.0)  # of which the signs are told apart
    for x in (X, signed, -signed):
        found, wanted = quick(x), f(x)
        close(found, wanted)
        assert (np.signbit(found) == np.signbit(wanted)).all()
    (plan,) = quick.plans.values()
    (kernel,) = [op.function for op in plan.program.ops if op.kind == "kernel"]
    assert [len(op.args) for op in kernel.ops if op.kind == "join"] == [3]


@pytest.mark.parametrize("wrong", [5, 6, -6, -7])
def test_places_are_counted_from_the_start_and_are_none_beyond_the_ends(wrong: int) -> None:
    assert calls_of_kernels.from_start(5, 1, np.array([[-5, 4], [0, -1]], np.int8)).tolist() == [[0, 4], [0, 4]]
    with pytest.raises(IndexError, match=f"index {wrong} is out of bounds for axis 1 with size 5"):
        calls_of_kernels.from_start(5, 1, np.array([0, wrong]))


@pytest.mark.parametrize("wrong", [5, 6, -6, -7])  # of the five columns, or of the six rows too
def test_an_index_out_of_bounds_is_refused_as_numpy_does(wrong: int, plain_kernels: None) -> None:
    f = lambda x, i: (x[:, i] * 2, np.take(x, i, axis=0).sum())
    quick, right = compile(f, backend="numba"), np.array([1, -1, 4])
    close(quick(X, right), f(X, right))
    with pytest.raises(IndexError) as told:
        quick(X, np.array([0, wrong, 1]))
    with pytest.raises(IndexError) as wanted:
        f(X, np.array([0, wrong, 1]))
    assert str(told.value) == str(wanted.value)
    close(quick(X, right), f(X, right))
    assert calls(quick) == ["places", "places"], "it is as it was"


@pytest.mark.parametrize(
    ("index", "shape", "zeros"),
    [
        ((slice(1, 4), slice(None)), (6, 5), [((0, 1), (0, 5)), ((4, 6), (0, 5))]),
        ((slice(None), slice(3, None)), (6, 5), [((0, 6), (0, 3))]),
        ((slice(0, 6), -1), (6, 5), [((0, 6), (0, 4))]),
        ((None, 2, slice(None)), (6, 5), [((0, 2), (0, 5)), ((3, 6), (0, 5))]),
        ((slice(None, None, 2), slice(None)), (6, 5), [((0, 6), (0, 5))]),  # with others between them: all
        ((slice(None, None, -1), slice(None)), (6, 5), [((0, 6), (0, 5))]),
        ((slice(1, 4), 0), (6, 5), [((0, 6), (0, 5))]),  # parts of both axes: all
    ],
)
def test_zeros_are_written_where_nothing_else_is(index: Any, shape: tuple[int, ...], zeros: list[Any]) -> None:
    assert list(calls_of_kernels._boxes_outside(frozen(index), shape)) == zeros


def test_boxes_are_apart_that_have_no_entry_in_common() -> None:
    """Of slices with a step only the axis is looked at, which may find too much in common and never too little."""
    parts = [slice(a, b, step) for a in (None, 0, 1, -1) for b in (None, 0, 2, -1) for step in (None, 2, -1)]
    shape = 3, 4
    boxes = [(part, *rest) for part in [*parts, 0, 2, -1] for rest in ((slice(None),), (1,), (None, slice(-2, None)))]
    for box in boxes:
        for other in boxes:
            seen = np.zeros(shape, int)
            seen[tuple(p for p in box if p is not None)] += 1
            seen[tuple(p for p in other if p is not None)] += 1
            apart = calls_of_kernels._disjoint(frozen(box), frozen(other), shape)
            plain = all(isinstance(p, slice) <= (getattr(p, "step", None) is None) for p in (*box, *other))
            full = all(np.zeros(shape)[tuple(p for p in one if p is not None)].size for one in (box, other))
            assert not (apart and (seen > 1).any()), (box, other)
            if plain and full:
                assert apart == (seen < 2).all(), (box, other)


@pytest.mark.parametrize(("columns", "zeros"), [(4, True), (5, False)])
def test_of_joined_gradients_what_none_writes_is_zero(columns: int, zeros: bool, plain_kernels: None) -> None:
    f = grad(lambda x: (x[:2] ** 2).sum() + (np.sin(x[2:columns]) * 3).sum())
    quick = compile(f, backend="numba")
    close(quick(V[:5]), f(V[:5]))
    (kernel,) = [op.function for op in next(iter(quick.plans.values())).program.ops if op.kind == "kernel"]
    assert [bool(op.attrs[1]) for op in kernel.ops if op.kind == "join"] == [zeros]


def test_places_of_an_index_that_stays_a_call_are_made_by_the_next(plain_kernels: None) -> None:
    f = lambda x, k, i: k[i] * x[i]
    quick, i = compile(f, backend="numba"), np.array([1, -1, 4])
    for k in (1, -3):
        short = np.arange(30, dtype=np.int16).reshape(6, 5) * np.int16(k)  # of a dtype that no kernel has
        close(quick(X, short, i), f(X, short, i))
    assert sorted(calls(quick)) == ["getitem", "places"]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("padding", [None, 1])
def test_words_are_looked_up_by_an_argument(backend: str, padding: int | None, plain_kernels: None) -> None:
    f = value_and_grad(lambda W, words: (functional.embedding(words, W, padding) ** 2).sum())
    quick = compile(f, backend=backend)
    for words in (np.array([[0, 1], [5, 1]]), np.array([[2, 2], [1, 4]])):
        close(quick(X, words), f(X, words))
    for wrong in (6, -1):
        with pytest.raises(ValueError, match=f"the table has the words 0 to 5; input holds {wrong}"):
            quick(X, np.array([[0, 1], [2, wrong]]))


@pytest.mark.slow
def test_indexing_compiles_to_machine_code() -> None:
    pytest.importorskip("numba")

    def f(x: Any, i: Any) -> Any:
        y = np.concatenate([x[i], np.cross(x[:, :3], x[:, 1:4])[:2].repeat(2, 1)[:, :5], x[::-1] * 2])
        return (y[:, FIXED] * y[:, [1, 1, 0]]).sum() + (x.reshape(1, 2, 3, 1, 5)[..., FIXED] ** 2)[0, 1].sum()

    slopes = value_and_grad(f)
    quick = compile(slopes, backend="numba")
    for i in (np.array([2, -1]), np.array([0, 0]), np.array([-6, 5])):
        close(quick(X, i), slopes(X, i))
