"""Compiled functions with unusual arguments, call after call: orders of keys, numbers, dtypes."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compile
from tinygrad_nn.compiled import check
from tinygrad_nn.compiled.numba.expressions import kernel_can_do
from tinygrad_nn.compiled.numba.lengths import batch_of
from tinygrad_nn.compiled.program.values import Op, Value

X, Y = np.array([3.0, -1.0, 2.0]), np.array([0.5, 4.0, -2.0])
BACKENDS = ("numpy", "numba")


def in_order(nest: dict[str, Any]) -> list[Any]:
    return [x * (k + 1) for k, x in enumerate(nest.values())]


def by_name(**given: Any) -> list[Any]:
    return in_order(given)


@pytest.mark.parametrize("backend", BACKENDS)
def test_keys_in_another_order_are_another_kind_of_call(backend: str) -> None:
    step, named = compile(in_order, backend=backend), compile(by_name, backend=backend)
    for nest in ({"a": X, "b": Y}, {"b": Y, "a": X}, {"a": Y, "b": X}, {"b": Y, "a": X}):
        for found in (step(dict(nest)), named(**nest)):
            np.testing.assert_array_equal(found, in_order(nest))
    assert (step.traces, named.traces) == (2, 2)


# functions of an array and whole numbers, and numbers of the calls
NUMBERS: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "a power that becomes a fraction": (lambda x, n: x * (n // 2) + 2**n, [(1,), (3,), (-2,), (2,), (-1,)]),
    "a power of two numbers": (lambda x, a, b: x * a + a**b, [(2, 3), (3, -1), (4, -2), (3, 2)]),
    "bits that are moved beyond 64": (lambda x, a, b: x * (a << b) + (a >> b), [(5, 1), (-5, 2), (1, 70), (3, 4)]),
    "bits of a number alone": (lambda x, a: (x, a << 65, 1 << a, a >> 1, 9 >> a), [(1,), (2,), (70,)]),
}


NUMBER = Value(0, "input", (), int)


@pytest.mark.parametrize(
    ("dtype", "number", "fits"),
    [
        ("i4", NUMBER, False), ("i4", 2**31 - 1, True), ("i4", 2**31, False), ("i4", -(2**31), True),
        ("i4", -(2**31) - 1, False), ("i4", Value(0, "input", (), float), True), ("i4", 2.5, True),
        ("u1", NUMBER, False), ("u1", 255, True), ("u1", 256, False), ("u1", -1, False), ("u1", 0, True),
        ("i8", NUMBER, True), ("i8", 2**62, True), ("f4", NUMBER, True), ("f8", 2**40, True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["less", "where"])
def test_a_kernel_takes_a_whole_number_that_its_dtype_holds(kind: str, dtype: str, number: Any, fits: bool) -> None:
    x, mask = Value(1, "input", (3,), np.dtype(dtype)), Value(2, "input", (3,), np.dtype(bool))
    op = {
        "less": lambda: Op("ufunc", "less", np.less, [x, number], ()),
        "where": lambda: Op("where", "where", np.where, [mask, x, number], ()),
    }[kind]()
    op.outs.append(Value(3, "made", (3,), x.dtype if kind == "where" else np.dtype(bool), op))
    assert kernel_can_do(op) is fits


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_power_of_fractions_or_without_kernels_is_no_other_kind_of_call(backend: str) -> None:
    step = compile(lambda x, a, n: np.sin(x) * a**2.0 + x * float(n), backend=backend)
    alone = compile(lambda n: 2**n, backend="numpy")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        for a, n in ((1.5, 2), (-0.5, 3), (3.0, -1)):
            np.testing.assert_allclose(step(X, a, n), np.sin(X) * a**2.0 + X * n, rtol=1e-14)
            assert alone(n) == 2**n


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NUMBERS)
def test_whole_numbers_are_pythons_in_every_call(name: str, backend: str, dtype: str) -> None:
    function, calls = NUMBERS[name]
    step, x = compile(function, backend=backend), X.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # without machine code for it, the function runs as it is
        for given in calls:
            found, wanted = step(x, *given), function(x, *given)
            for a, b in zip(found, wanted, strict=True):
                assert np.asarray(a).dtype == np.asarray(b).dtype
                np.testing.assert_allclose(*np.array([a, b], float), rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dtype_may_be_an_argument(backend: str) -> None:
    step = compile(lambda x, dtype: x.astype(dtype) + 1, backend=backend)
    for dtype in (np.float32, np.float64, np.float32, int):
        found = step(X, dtype)
        assert found.dtype == dtype
        assert step.backend == backend
        np.testing.assert_array_equal(found, X.astype(dtype) + 1)


def test_a_dtype_has_no_batch() -> None:
    assert batch_of([[X], [np.float64], [2.0], []]) == (3, [0])


def made(dtype: str = "f8", *shape: int) -> Value:
    return Value(1, "made", shape, np.dtype(dtype))


def test_an_operation_by_itself_gives_all_its_results_in_their_dtypes() -> None:
    both = Op("call", "both", lambda x: (x, x * 2), [X], outs=[made("f8", 3), made("f4", 3)])
    found = check._run_operation(both, [X])
    assert [(x.dtype, x.tolist()) for x in found] == [("f8", [3, -1, 2]), ("f4", [6, -2, 4])]
    total = Op("reduce", "sum", np.add, [X], ((0,), False, "<f8"), outs=[made("f8")])
    assert check._run_operation(total, [np.array([1e8, 1, 1, 1], "f4")]) == (1e8 + 3,)


@pytest.mark.parametrize(
    ("kind", "given", "result", "terms"),
    [
        ("matmul", [np.ones((2, 3, 5)), np.ones((2, 5, 4))], np.ones((2, 3, 4)), 5),
        ("call", [np.arange(3)], np.array([0.5]), 0),
        ("call", [np.array([3.0, 5.0])], np.array([0.0, 1.0, 5.0]), 0),
        ("call", [np.array([3.0, 5.0]), X], np.array([2.5]), 3),
        ("transpose", [np.ones((2, 3))], np.ones((3, 2)), 0),
    ],
)
def test_sums_round_and_choices_among_entries_do_not(kind: str, given: Any, result: Any, terms: int) -> None:
    assert check._rounded(Op(kind, kind, np.matmul, given, outs=[made()]), given, (result,)) == terms
