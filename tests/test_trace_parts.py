"""Tracing of rare cases: primitives of all kinds, values used in decisions, wrong arguments."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import compile, scan, while_loop
from tinygrad_nn.compiled import check
from tinygrad_nn.compiled.program.values import Program
from tinygrad_nn.compiled.trace.call import canonical
from tinygrad_nn.compiled.trace.nodes import Untraceable
from tinygrad_nn.compiled.trace.side_effects import GeneratorStates
from tinygrad_nn.primitive import Primitive
from tinygrad_nn.tensor import apply, stored_array

X = np.array([3.0, -1.0, 2.0])


@pytest.fixture(autouse=True)
def compiles_or_fails() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


class Options(NamedTuple):
    scale: Any
    more: Any


def plain(x: Any) -> Any:
    """Return an array; a Tensor of a trace refuses, so what asks for it stays one operation."""
    return np.asarray(x)


def primitive(forward: Callable[..., Any], **more: Any) -> Callable[..., Any]:
    made = Primitive("mine", forward, (), "f(x)", **more)
    return lambda x, **given: apply(made, (x,), {key: stored_array(part) for key, part in given.items()})


def with_saved(x: Any) -> Any:
    return plain(x) * 2, {"kind": "no array", "y": x}


def narrower_for_arrays(x: Any) -> Any:
    return x.astype(np.float32) if isinstance(x, np.ndarray) else x * 1.0


# primitive, its metadata, and what it gives
PRIMITIVES: dict[str, tuple[Callable[..., Any], dict[str, Any], Callable[[Any], Any]]] = {
    "metadata by name": (
        primitive(lambda x, options: plain(x) * options["a"] + options["b"][0]),
        {"options": {"a": 2.0, "b": [1.0, None]}},
        lambda x: x * 2 + 1,
    ),
    "a tuple in metadata": (
        primitive(lambda x, options: plain(x) * options[0] + (options[1] is None)),
        {"options": (2.0, None)},
        lambda x: x * 2 + 1,
    ),
    "a named tuple in metadata": (
        primitive(lambda x, options: plain(x) * options.scale - options.more),
        {"options": Options(2.0, np.array([1.0, 2.0, 3.0]))},
        lambda x: x * 2 - np.array([1.0, 2.0, 3.0]),
    ),
    "what it saves is no array": (
        primitive(with_saved, saves={"kind": lambda x: None, "y": lambda x: x}),
        {},
        lambda x: x * 2,
    ),
    "another dtype of arrays": (primitive(narrower_for_arrays), {}, lambda x: x.astype(np.float32)),
}


@pytest.mark.parametrize("name", PRIMITIVES)
def test_an_opaque_primitive_is_one_call(name: str) -> None:
    run, given, wanted = PRIMITIVES[name]
    f = compile(lambda x: run(x, **given), backend="numpy")
    for x in (X, -X, X[::-1] * 3):
        found = f(x)
        assert found.dtype == wanted(x).dtype
        np.testing.assert_array_equal(found, wanted(x))
    assert [op.kind for op in f.plan(X).program.ops] == ["call"]


@pytest.mark.parametrize("kind", [Options, dict, list])
def test_arrays_in_metadata_may_differ_from_call_to_call(kind: Any) -> None:
    run = primitive(lambda x, options: plain(x) * (options["scale"] if kind is dict else options[0]))
    make: Any = {Options: lambda w: Options(w, None), dict: lambda w: {"scale": w}, list: lambda w: [w, 1]}[kind]
    f = compile(lambda x, w: run(x, options=make(stored_array(w))), backend="numpy")
    for w in (np.ones(3), X, -X):
        np.testing.assert_array_equal(f(X, w), X * w)


@pytest.mark.parametrize(
    "name",
    ["alias", "attention", "cast", "copy", "dot", "eig_rows", "getitem", "max", "power", "reshape", "roots", "stack",
     "standardize", "sum", "transpose", "vdot", "where"],
)  # fmt: skip
def test_a_users_function_may_have_the_name_of_an_operation(name: str) -> None:
    def f(x: Any, y: Any, z: Any) -> Any:
        return x * y + z

    f.__name__ = name
    own = tg.custom_vjp(f, lambda g, out, x, y, z: (3 * g, 5 * g, 7 * g))
    for function in (own, tg.grad(lambda *xyz: own(*xyz).sum(), (0, 1, 2))):
        quick = compile(function, backend="numpy")
        np.testing.assert_array_equal(quick(X, X + 1, X - 1), function(X, X + 1, X - 1))
    assert [op.name for op in compile(own, backend="numpy").plan(X, X + 1, X - 1).program.ops] == ["multiply", "add"]


# -- Python numbers


def test_a_number_made_of_numbers_decides_and_they_are_fixed() -> None:
    def f(x: Any, a: Any, b: Any, c: Any) -> Any:
        return x * c if (a + 1) * b > 3 else x - c

    quick = compile(f, backend="numpy")
    for a, b, c in [
        (1.0, 1.0, 2.0),
        (2.0, 1.0, 2.0),
        (2.0, 2.0, 5.0),
        (1.0, 2.0, 0.5),
        (1.0, 2.0, 7.0),
        (2.0, 1.0, 3.0),
    ]:
        np.testing.assert_array_equal(quick(X, a, b, c), f(X, a, b, c))
    assert len(quick.plans) == 4, "one for each pair of what decides; the third number is traced"


ROWS = np.arange(12.0).reshape(3, 4) + 0.5
# how a whole number of the arguments is used, and how often that is traced for three of them
NUMBERED: dict[str, tuple[Callable[[Any, Any], Any], int]] = {
    "index": (lambda x, n: x[n], 1), "index from the end": (lambda x, n: x[-n] * 2, 1),
    "index of what was computed": (lambda x, n: x.sum(axis=1)[n], 1), "column": (lambda x, n: x[:, n] * 2, 1),
    "one of two": (lambda x, n: x[1, n], 1), "both": (lambda x, n: x[n, n] * 2, 1),
    "beside new axes": (lambda x, n: x[None, n, 1:, None] * 2, 1), "before a list": (lambda x, n: x[n, [0, 1]] * 2, 1),
    "gradient": (lambda x, n: tg.grad(lambda x: (x[n] ** 2).sum())(x), 1), "slice": (lambda x, n: x[:n].sum(), 3),
    "truth": (lambda x, n: x[n > 1].sum(), 3), "axis": (lambda x, n: x[None].sum(axis=n), 3),
    "shift": (lambda x, n: np.roll(x, n), 3), "digits": (lambda x, n: np.round(x / 7, n), 3),
    "times": (lambda x, n: np.repeat(x, n + 1), 3), "taken": (lambda x, n: np.take(x, n, axis=0) * 2, 3),
    "set": (lambda x, n: tg.Tensor(x).at[n].set(0.0) * 1.0, 3), "order": (lambda x, n: np.quantile(x, n / 4), 3),
    "padded": (lambda x, n: np.pad(x, n), 3), "index of a constant": (lambda x, n: x * X[n], 3),
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERED)
def test_an_integer_argument_is_not_frozen_in_the_trace(name: str) -> None:
    f, traces = NUMBERED[name]
    quick = compile(f, backend="numpy")
    for n in (2, 1, 0, 2):  # of three rows: a number that is larger than the first is none
        np.testing.assert_array_equal(quick(ROWS, n), getattr(f(ROWS, n), "data", f(ROWS, n)))
    assert quick.traces == traces


def test_a_row_out_of_bounds_raises() -> None:
    quick = compile(lambda x, n: x[n], backend="numpy")
    quick(ROWS, 2)
    for n in (3, -4):
        with pytest.raises(IndexError, match=f"index {n} is out of bounds for axis 0 with size 3"):
            quick(ROWS, n)
    np.testing.assert_array_equal(quick(ROWS, -3), ROWS[0])


@pytest.mark.parametrize("zeros", [(0.0, -0.0), (-0.0, 0.0), (1 - 0j, 1 + 0j), (complex(-2, 0.0), complex(-2, -0.0))])
def test_a_zero_that_decides_is_fixed_with_its_sign(zeros: Any) -> None:
    def f(x: Any, a: Any) -> Any:
        return np.divide(x, a) if isinstance(a, float) and a < 1 else np.sqrt(x * a) if a != 3 else x

    quick = compile(f, backend="numpy")
    for a in (*zeros, *zeros):
        with np.errstate(divide="ignore"):
            np.testing.assert_array_equal(quick(X, a), f(X, a))


@pytest.mark.parametrize("k", [3, 0.5, -2])
def test_a_loop_may_begin_with_a_number_of_the_arguments(k: Any) -> None:
    functions: list[Callable[..., Any]] = [
        lambda k: while_loop(lambda c: c < 100, lambda c: c * 2 + 10, k),
        lambda k: scan(lambda c, _: (c * 0.5, c + 1), k, length=3),
        lambda k: scan(lambda c, x: (c + k, c * x), k * 2, np.arange(3)),
    ]
    for f in functions:
        quick = compile(f, backend="numpy")
        for number in (k, k + 1, k):
            found, wanted = (tg.tree.flatten(g(number))[0] for g in (quick, f))
            for a, b in zip(found, wanted, strict=True):
                a, b = np.asarray(tg.tensor.raw(a)), np.asarray(tg.tensor.raw(b))
                assert a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=1e-15)


# -- Arguments


def test_an_argument_as_a_plan_takes_it() -> None:
    turned = tg.Tensor(np.ones((2, 3), ">f4").T)
    assert canonical(turned, keep=True) is turned
    taken = canonical(turned)
    assert type(taken) is np.ndarray
    assert taken.flags.carray
    assert taken.dtype.isnative
    assert taken.shape == (3, 2)
    assert canonical(2.5) == 2.5
    assert canonical(np.float32(2), keep=True) == 2
    assert canonical(np.float32(2)).shape == ()


def test_a_plan_that_is_found_again_raises_what_the_function_raises() -> None:
    f, i = compile(lambda x, i: x[i] * 2, backend="numpy"), np.array([0, 2])
    for x in (X, np.ones(4)):
        f(x, i)
    with pytest.raises(IndexError, match="index 3 is out of bounds for axis 0 with size 3"):
        f(X, i + 1)
    for x in (X, np.ones(4)):
        np.testing.assert_array_equal(f(x, i), x[i] * 2)
    assert not any(isinstance(plan, str) for plan in f.plans.values())


def test_an_error_in_a_cached_plan_warns() -> None:
    broken = {"now": False}

    def forward(x: Any) -> Any:
        if broken["now"]:
            broken["now"] = False
            raise MemoryError("no room")
        return plain(x) * 2

    run = primitive(forward)
    f = compile(lambda x: run(x), backend="numpy")
    f(X), f(X[:2])
    broken["now"] = True
    with pytest.warns(RuntimeWarning, match=r"compiling with numpy failed \(MemoryError: no room\)\. It runs without"):
        np.testing.assert_array_equal(f(X), X * 2)
    np.testing.assert_array_equal(f(X), X * 2)
    np.testing.assert_array_equal(f(X[:2]), X[:2] * 2)
    assert [isinstance(plan, str) for plan in f.plans.values()] == [True, False]


def test_a_function_that_takes_only_tensors_is_not_blamed_for_its_second_run() -> None:
    def only_of_a_trace(*args: Any) -> Any:
        raise TypeError

    trial = check.Trial(only_of_a_trace, None, Program([], [], [2.0]), lambda leaves: (leaves, {}), GeneratorStates([]))
    trial.judge([2.0], [2.0], lambda: [X])
    with pytest.raises(Untraceable, match="the check of the compiled function gave 1 instead of 2"):
        trial.judge([1.0], [2.0], lambda: [X])
    drifting = iter(range(9))
    trial.function = lambda x: float(next(drifting))
    with pytest.raises(Untraceable, match="its second run gave different numbers"):
        trial.judge([1.0], [2.0], lambda: [X])


SMALL = np.arange(4, dtype=np.int32)
WHOLE: dict[str, Any] = {
    "sums": lambda x, n: (x * n).sum(), "larger": lambda x, n: (x > n) * 1.0, "equal": lambda x, n: (x == n) * 1.0,
    "a choice": lambda x, n: np.where(x < n, 1.0, 0.0) * 2, "of a number": lambda x, n: (x < n * 2) * 1.0,
}  # fmt: skip


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_number_that_an_array_does_not_hold_is_what_numpy_makes_of_it(name: str, backend: str) -> None:
    function = WHOLE[name]
    made = compile(function, backend=backend)
    for n in (3, 2**31 + 5, 2**40, -(2**33), 2, 0):
        try:
            wanted = function(SMALL, n)
        except OverflowError as error:
            with pytest.raises(OverflowError, match=str(error)):
                made(SMALL, n)
        else:
            np.testing.assert_array_equal(made(SMALL, n), wanted)
