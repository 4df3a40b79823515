"""Compiled functions: arguments that are more than their entries, flags that change in place, and copies of a function.

A compiled call gives what the function itself gives, or says why it runs without compilation.
"""

import copy
import pickle
import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from test_compile import cache, each_backend  # noqa: F401 - the cache of kernels is a fixture

from tinygrad_nn import compile, grad
from tinygrad_nn.compiled import Compiled


@pytest.fixture(autouse=True)
def compiles_or_fails() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


class Metres(np.ndarray):
    """An array with a unit."""


def masked(places: list[int]) -> Any:
    return np.ma.array([1.0, 2.0, 3.0, 4.0], mask=places)


# Two arguments, a function of them, and what the warning says
SUBCLASSES: dict[str, tuple[Callable[[Any], Any], Any, Any, str]] = {
    "masked": (lambda x: x.sum() * 2, masked([0, 1, 0, 0]), masked([0, 0, 0, 1]), "MaskedArray"),
    "matrix": (lambda x: x * x, *(np.array([[1.0, 2], [3, k]]).view(np.matrix) for k in (4, 5)), "matrix"),
    "unit": (lambda x: x * 2, *(np.full(3, k).view(Metres) for k in (1.0, 2.0)), "Metres"),
}  # fmt: skip


@each_backend
@pytest.mark.parametrize("first", ["plain", "subclass"])
@pytest.mark.parametrize("name", SUBCLASSES)
def test_arrays_of_a_subclass_keep_their_meaning(name: str, first: str, backend: str) -> None:
    f, x, y, kind = SUBCLASSES[name]
    quick = compile(f, backend=backend)
    if first == "plain":
        np.testing.assert_array_equal(quick(np.asarray(x)), f(np.asarray(x)))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for argument in (x, y, x):
            found, wanted = quick(argument), f(argument)
            assert type(found) is type(wanted)
            np.testing.assert_array_equal(found, wanted)
    texts = [str(one.message) for one in told if one.category is RuntimeWarning]
    assert [kind in text and "Pass np.asarray(x)" in text for text in texts] == [True]


@each_backend
def test_an_array_of_a_mapped_file_is_a_plain_array(tmp_path: Any, backend: str) -> None:
    x = np.memmap(tmp_path / "x", float, "w+", shape=(4,))
    quick = compile(lambda x: x * 2, backend=backend)
    for k in range(3):
        x[:] = k
        np.testing.assert_array_equal(quick(x), np.full(4, 2.0 * k))
    assert len(quick.plans) == 1


def test_an_iterator_is_read_once() -> None:
    with pytest.warns(RuntimeWarning, match=r"can be read only once\. Pass list\(x\)"):
        found = compile(lambda x, more: x * sum(more), backend="numpy")(np.ones(2), iter([1, 2]))
    np.testing.assert_array_equal(found, [3, 3])


# A flag, the change of it in place, and a number of the function that depends on it
FLAGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], int]]] = {
    "a set": (lambda: {1, 2}, lambda s: s.add(3), len),
    "bytes": (lambda: bytearray(b"\2"), lambda s: s.__setitem__(0, 3), lambda s: int(s[0])),
    "a list": (lambda: ["a"], lambda s: s.append("b"), len),
    "a dict": (lambda: {"a": "b"}, lambda s: s.update(c="d"), len),
}


@each_backend
@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_that_changes_in_place_is_another_flag(name: str, backend: str) -> None:
    make, change, number = FLAGS[name]
    quick, flag = compile(lambda x, flag: x * number(flag), backend=backend), make()
    for _ in range(2):
        for _ in range(2):
            np.testing.assert_array_equal(quick(np.ones(2), flag), np.full(2, number(flag)))
        change(flag)
    assert number(flag) != number(make())
    np.testing.assert_array_equal(quick(np.ones(2), make()), np.full(2, number(make())))
    assert len(quick.plans) == 2


@pytest.mark.parametrize("made", [Counter, OrderedDict], ids=lambda made: made.__name__)
def test_arguments_may_be_counted(made: Any) -> None:
    def f(counts: Any) -> Any:
        return counts["a"] ** 2 * counts["b"]

    counts = made(a=3.0, b=2.0)
    assert compile(f, backend="numpy")(counts) == 18
    assert grad(f)(counts) == made(a=12.0, b=9.0)


@each_backend
def test_a_generator_may_be_returned(backend: str) -> None:
    def f(x: Any, state: dict[str, Any]) -> Any:
        return x + state["rng"].normal(size=2), state

    quick, ours, theirs = compile(f, backend=backend), np.random.default_rng(0), np.random.default_rng(0)
    state: dict[str, Any] = {"rng": ours, "x": np.ones(2)}
    for _ in range(3):
        found, state = quick(np.ones(2), state)
        np.testing.assert_array_equal(found, np.ones(2) + theirs.normal(size=2))
        assert state["rng"] is ours


@each_backend
@pytest.mark.parametrize("dtype", ["u1", "i1", "u8"])
def test_integers_are_compared_with_numbers_that_their_dtype_cannot_hold(dtype: str, backend: str) -> None:
    def f(x: Any) -> Any:
        return (x == -300) * 1.0, x < 2**70, x >= -(2**63), x != 300, np.where(x > 10**6, 1, x)

    x, quick = np.arange(4).astype(dtype), compile(f, backend=backend)
    for k in range(2):
        for found, wanted in zip(quick(x + k), f(x + k), strict=True):
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)


def test_a_read_only_array_cannot_be_donated() -> None:
    quick = compile(lambda w, g: w - g, backend="numpy", donate=(0,))
    quick(np.ones(2), np.ones(2))
    w = np.ones(2)
    w.flags.writeable = False
    with pytest.raises(ValueError, match=r"is read-only\. Pass a copy of it, or leave it out of `donate`"):
        quick(w, np.ones(2))
    np.testing.assert_array_equal(w, np.ones(2))


def test_writing_an_element_into_an_array_warns_with_the_replacement() -> None:
    def f(x: Any) -> Any:
        out = np.zeros(2)
        out[0] = x[1]
        return out

    with pytest.warns(RuntimeWarning, match=r"out = out\.at\[i\]\.set\(t\)`; or np\.stack"):
        np.testing.assert_array_equal(compile(f, backend="numpy")(np.array([1.0, 2.0])), [2, 0])


# -- Copies


def doubled(x: Any) -> Any:
    return 2 * x


@compile
def tripled(x: Any) -> Any:
    return 3 * x


class Scaled:
    """An object that keeps a compiled method of its own."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.quick = compile(self.times, backend="numpy", donate=(0,), maxsize=3)

    def times(self, x: Any) -> Any:
        return self.factor * x


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda x: pickle.loads(pickle.dumps(x)),
}  # fmt: skip


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_compiles_for_itself(how: str) -> None:
    quick = compile(doubled, backend="numpy", donate=(0,), maxsize=3)
    quick(np.ones(2))
    other: Compiled = COPIES[how](quick)
    np.testing.assert_array_equal(other(np.ones(3)), 2 * np.ones(3))
    assert (other.function, other.backend, other.donate, other.maxsize) == (doubled, "numpy", (0,), 3)
    assert (len(quick.plans), len(other.plans)) == (1, 1)


@pytest.mark.parametrize("how", COPIES)
def test_a_decorated_function_is_copied_like_a_function(how: str) -> None:
    assert COPIES[how](tripled) is tripled


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_the_copy_of_an_object_compiles_its_own_method(how: str) -> None:
    one = Scaled(2.0)
    one.quick(np.ones(2))
    other = COPIES[how](one)
    other.factor = 5.0
    np.testing.assert_array_equal(other.quick(np.ones(2)), [5, 5])
    np.testing.assert_array_equal(one.quick(np.ones(2)), [2, 2])
