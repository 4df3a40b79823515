"""Edge cases of plans: operations that can be left out and those that cannot, signless numbers, borrowed memory."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compile
from tinygrad_nn.compiled.numpy import replay
from tinygrad_nn.compiled.plan import Plan
from tinygrad_nn.compiled.trace.operations import equal_bits
from tinygrad_nn.primitive import Primitive
from tinygrad_nn.tensor import apply

X = np.array([1.5, -2.0, -0.0])


@pytest.fixture(autouse=True)
def compiles_or_fails() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def own(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that no trace looks into."""
    made = Primitive("mine", forward, (), "f(x)")
    return lambda *args: apply(made, args)


def names(f: Any, *args: Any) -> list[str]:
    return [op.name for op in f.plan(*args).program.ops]


NOTHING: dict[str, Callable[[Any], Any]] = {
    "times a row of ones": lambda a: a * np.ones(3), "times a single one": lambda a: np.ones(1) * a,
    "over one": lambda a: a / np.ones(()), "to the power of one": lambda a: np.power(a, 1.0),
    "less nothing": lambda a: a - np.zeros(3), "plus -0.0": lambda a: a + np.array(-0.0),
    "all rows": lambda a: a[:], "all of it": lambda a: a[...], "all columns": lambda a: a[:, :],
    "all axes": lambda a: a[..., :], "positive": lambda a: +a, "twice negative": lambda a: np.negative(-a),
    "the same axes": lambda a: a.transpose(0, 1), "transposed twice": lambda a: a.T.T,
    "the same dtype": lambda a: a.astype(float), "the same shape": lambda a: a.reshape(2, 3),
    "broadcast to itself": lambda a: np.broadcast_to(a, (2, 3)), "there and back": lambda a: (a.T * 1.0).T,
    "in one row and back": lambda a: (a.reshape(6) / 1.0).reshape(2, 3),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING)
def test_what_changes_nothing_is_no_operation(name: str) -> None:
    a = np.array([[-0.0, np.inf, np.nan], [0.0, -1.5, 5e-324]])
    f = compile(lambda a: np.negative(NOTHING[name](a) * 2.0), backend="numpy")
    assert f(a).tobytes() == np.negative(a * 2.0).tobytes()
    assert names(f, a) == ["multiply", "negative"]


SOMETHING: dict[str, Callable[[Any], Any]] = {
    "to more rows": lambda a: a * np.ones((2, 3)), "to more rows, by a difference": lambda a: a - np.zeros((2, 3)),
    "to more rows, from the left": lambda a: np.ones((2, 1)) * a, "to one more axis": lambda a: a / np.ones((1, 1)),
    "to complex numbers": lambda a: a * np.ones(3, complex), "to another dtype": lambda a: a.astype(np.float32),
    "0.0 of -0.0": lambda a: a + np.zeros(3), "from a number": lambda a: 0.0 - a, "one over it": lambda a: 1.0 / a,
    "no rows": lambda a: a[:0], "backwards": lambda a: a[::-1], "every second": lambda a: a[::2],
    "a row of it": lambda a: a[None], "but the last": lambda a: a[:-1], "but the first": lambda a: a[1:],
}  # fmt: skip


@pytest.mark.parametrize("dtype", [float, np.float32, int])
@pytest.mark.parametrize("name", SOMETHING)
def test_what_changes_shape_dtype_or_sign_is_done(name: str, dtype: Any) -> None:
    with np.errstate(divide="ignore"):
        f, x = compile(SOMETHING[name], backend="numpy"), X.astype(dtype)
        found, wanted = f(x), SOMETHING[name](x)
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        assert found.tobytes() == wanted.tobytes()


NUMBERS: dict[str, Callable[[Any, int], Any]] = {
    "shifted left": lambda x, n: x * (n << 1), "shifted right": lambda x, n: x * (n >> 1),
    "the other way": lambda x, n: x * (1 << n), "rounded": lambda x, n: x * round(n / 7, 1),
    "all of it": lambda x, n: x * (-n + abs(n) * ~n),
    "a quotient and a rest": lambda x, n: x * (n // 2) + n % 2, "bits": lambda x, n: x * ((n & 6) | (n ^ 1)),
    "squared": lambda x, n: x * (n / 4) ** 2,
}  # fmt: skip


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_are_computed_as_python_does(name: str) -> None:
    f = compile(NUMBERS[name], backend="numpy")
    for n in (5, 4, 9):
        assert f(X, n).tobytes() == NUMBERS[name](X, n).tobytes()
    assert len(f.plans) == 1


KNOWN = np.array([1.0, -3.0, 0.5]).view(type("Own", (np.ndarray,), {}))
SINGLE: dict[str, Callable[[Any], Any]] = {
    "a sum of a sum": lambda x: np.sum(np.sum(x) * 2.0) - 1.0, "a product of one": lambda x: np.prod(np.sum(x) + 1.0),
    "a root": lambda x: np.sqrt(np.sum(x * x)), "a root of a root": lambda x: np.sqrt(np.sqrt(np.sum(x * x))) * 2.0,
    "the larger": lambda x: np.maximum(np.sum(x), np.prod(x)),
    "a quotient": lambda x: np.sum(x) / (np.sum(x * x) + 1.0),
}  # fmt: skip
KEPT: dict[str, Callable[[Any], Any]] = {
    "a choice among what is read later": lambda x: np.where(x > 0, x, x * 2.0) @ (x * 2.0),
    "a choice over what is not": lambda x: np.where(x > 0, x + 1.0, x * 2.0) @ x,
    "a choice of two that stay": lambda x: np.where(x > 0, x + 1.0, x * 2.0) @ ((x + 1.0) @ (x * 2.0)),
    "by columns": lambda x: x.reshape(9, order="F") * 2.0,
    "by columns, of a sum": lambda x: np.reshape(x + x, 9, "F") - 1.0,
    "a product of stacks": lambda x: own(np.vecdot)(x, x * 2.0) + 1.0,
    "known, both": lambda x: np.where(True, x, x * 2.0),
    "rows that are known": lambda x: x[np.array([True, False, True])] * 2.0,
    "an array of a class of its own": lambda x: x * KNOWN, "the same from the left": lambda x: KNOWN - x,
}  # fmt: skip


@pytest.mark.parametrize("name", [*SINGLE, *KEPT])
def test_a_replay_gives_the_eager_numbers(name: str) -> None:
    function = {**SINGLE, **KEPT}[name]
    f, x = compile(function, backend="numpy"), np.array([[1.5, -2.0, 0.25], [3.0, 0.5, -0.125], [2.0, -1.0, 4.0]])
    for k in range(3):
        np.testing.assert_array_equal(f(x + k), function(x + k))
    assert len(f.plans) == 1


@pytest.mark.parametrize(("a", "b", "same"), [
    (np.ones(2), np.ones(2), True), (np.ones(2), np.ones(2, np.float32), False), (np.ones(2), np.ones((1, 2)), False),
    (np.ones(1), np.ones(2), False), (np.array([np.nan, -0.0]), np.array([np.nan, -0.0]), True),
    (np.array([np.nan, 1.0]), np.array([-np.nan, 1.0]), True),  # a NaN with other bits is one, too
    (np.zeros(1), -np.zeros(1), False), (np.array([1 + 2j]), np.array([1 + 2j]), True),
    (np.arange(2), np.arange(2), True),
    (np.array([1 + 2j]), np.array([1 + 3j]), False), (np.array([2 + 2j]), np.array([1 + 2j]), False),
    (np.array([complex(1, 0.0)]), np.array([complex(1, -0.0)]), False), (np.arange(2), np.arange(2, dtype="i2"), False),
])  # fmt: skip
def test_arrays_are_equal_to_the_last_bit_or_not(a: Any, b: Any, same: bool) -> None:
    assert equal_bits(a, b) is same


VIEWS: dict[str, Callable[..., Any]] = {
    "itself": np.asarray, "backwards": lambda x: np.asarray(x)[::-1], "a part": lambda x: np.asarray(x)[:2],
    "one of a copy": lambda x: np.array(x)[1:], "an entry": lambda x: np.asarray(x)[1, ...], "new": lambda x: x + 0.0,
}  # fmt: skip


@pytest.mark.parametrize("donate", [(), (0,)], ids=["kept", "donated"])
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_that_a_function_gives_is_not_written_over(name: str, donate: tuple[int, ...]) -> None:
    view = own(VIEWS[name])

    def f(x: Any) -> Any:
        first, middle = view(x), x * 2.0
        second = view(middle)
        return x - 1.0, first, second, middle + 1.0, np.sin(middle) + 1.0

    def eager(x: Any) -> Any:
        look = VIEWS[name]
        return x - 1.0, look(x), look(x * 2.0), x * 2.0 + 1.0, np.sin(x * 2.0) + 1.0

    made, rows = compile(f, backend="numpy", donate=donate), np.linspace(-3, 3, 1200).reshape(4, 300)
    kept = [(made(rows + k), eager(rows + k)) for k in range(3)]
    for found, wanted in kept:
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_equal_dtype_is_the_same_dtype() -> None:
    x = np.arange(3, dtype=">f8")
    owned = replay.owned_copy("f", (3,), np.dtype(">f8"), np.empty(0, np.uint8), True)
    np.testing.assert_array_equal(owned(x), x)
    for other in (np.arange(3.0, dtype=np.float32), np.arange(4.0)):
        with pytest.raises(replay.Mismatch, match="f gave"):
            owned(other)


KINDS: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "entry by entry": (own(np.sin), ["ufunc"]),
    "along an axis": (lambda x: own(np.vecdot)(x, x), ["call"]),
    "a choice that is known": (lambda x: np.where(True, x, x * 2.0), ["ufunc", "where"]),
    "a choice by a list": (lambda x: np.where([True, False, True], x, x * 2.0), ["ufunc", "where"]),
    "rows that are known": (lambda x: x[np.array([True, False])], ["call"]),
}


@pytest.mark.parametrize("name", KINDS)
def test_an_operation_is_looked_into_where_it_goes_entry_by_entry(name: str) -> None:
    function, kinds = KINDS[name]
    f, x = compile(function, backend="numpy"), np.array([[1.5, -2.0, 0.25], [3.0, 0.5, -0.125]])
    np.testing.assert_array_equal(f(x), function(x))
    assert [op.kind for op in f.plan(x).program.ops] == kinds


class _OfBackend(Plan):
    def __init__(self, backend: str) -> None:
        self.backend = backend


def test_when_one_backend_goes_wrong_the_plans_of_another_stay() -> None:
    made = compile(np.sin, backend="numba")
    made.plans.update({name: _OfBackend(name) for name in ("numpy", "numba")})
    with pytest.warns(RuntimeWarning, match="It runs with NumPy"):
        made._replace("numba", "numba", ValueError("no"))
    assert [*made.plans] == ["numpy"]
