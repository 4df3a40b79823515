"""The fingerprint by which a function is found on disk: it covers everything it computes with, by type and place."""

import importlib
import math
import os
import pkgutil
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn.compiled.numba.fingerprint import Digest, fingerprint


def defined(text: str, **names: Any) -> Any:
    """Return the function f that a text defines."""
    space: dict[str, Any] = {"__name__": "place", **names}
    exec(text, space)
    return space["f"]


def closed(value: Any) -> Any:
    return lambda x: x + value


class Made:
    """Stands for what numba makes of a function."""

    def __init__(self, function: Any, **options: Any) -> None:
        self.py_func, self.targetoptions = function, options


class Intrinsic:
    """Stands for what writes machine code itself."""

    def __init__(self, function: Any) -> None:
        self._defn = function


X = np.arange(4.0)
SHARED = (1, 2)
APART = [
    [1, 1.0, True, 1j, "1", b"1", None, ..., "None", "Ellipsis", 2],
    [(1, 2), (2, 1), [1, 2], (1, 2, 3), ((1, 2),), (1, (2,)), ("12",), ("1", "2"), (), [], ((), ())],
    [{1, 2}, {1, 3}, {1}, set(), (1, 2), {1: 2}],
    [{"a": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": 2}, {}, [("a", 1)]],
    [X, X + 1, X.astype("f4"), X.reshape(2, 2), X.astype(int), X[:3], np.float64(1), np.float32(1), X > 1],
    [np.dtype("f8"), np.dtype("f4"), np.dtype([("a", "f8")]), "f8"],
    [(SHARED, SHARED), (SHARED, [SHARED]), ([1], [1, 2]), (SHARED, (1, 3))],
    [np.sin, np.cos, np.sum, np.cumsum, np.mean, len, abs, math.sin, math, np, float, int],
    [
        defined("def f(x): return x + 1"), defined("def f(x): return x + 2"), defined("def f(x): return x - 1"),
        defined("def f(x): return x + 1.0"), defined("def f(y): return y + 1"), defined("def f(x, y): return x + 1"),
        defined("def f(x, /): return x + 1"), defined("def f(*, x): return x + 1"), defined("def f(*x): return x + 1"),
        defined("def f(x=1): return x + 1"), defined("def f(x=2): return x + 1"),
        defined("def f(*, x=1): return x + 1"),
        defined("def f(*, x=2): return x + 1"), defined("def f(x): return g(x) + 1"),
        defined("def f(x): return g(x) + 1", g=math.sin), defined("def f(x): return g(x) + 1", g=math.cos),
        defined("def f(x): return h(x) + 1", h=math.sin),
        defined("def f(x): return x.a"), defined("def f(x): return x.b"),
        defined("def f(x): return [a for b in x for a in (lambda: c)()]", c=1),
        defined("def f(x): return [a for b in x for a in (lambda: c)()]", c=2),
        defined("def f(x):\n try:\n  return x\n finally:\n  x()"), defined("def f(x):\n return x\n x()"),
        defined("def f(x): return x + 1", __name__="elsewhere"), closed(1), closed(2), closed(1.0), closed(closed(1)),
    ],
    [Made(len), Made(abs), Made(len, fastmath=True), Made(len, fastmath=False), Made(len, a=1, b=2), Intrinsic(len),
     Intrinsic(abs), len],
]  # fmt: skip


@pytest.mark.parametrize("things", APART, ids=lambda things: type(things[-1]).__name__)
def test_different_things_have_different_digests(things: list[Any]) -> None:
    found = [fingerprint(thing) for thing in things]
    assert None not in found
    assert len(set(found)) == len(found), [k for k, x in enumerate(found) if found.index(x) != k]


def test_equal_things_have_one_digest() -> None:
    pairs = [
        (X, X.copy()), ({"a": (1, X)}, {"a": (1, X.copy())}), ({1, "a", 2.5}, {2.5, "a", 1}), (closed(1), closed(1)),
        (defined("def f(x): return x"), defined("def f(x): return x")), (Made(len, a=1, b=2), Made(len, b=2, a=1)),
        ([SHARED, SHARED], [SHARED, SHARED]), (frozenset({1}), {1}), (X[::2], X[::2].copy()),
    ]  # fmt: skip
    assert [pair for pair in pairs if fingerprint(pair[0]) != fingerprint(pair[1])] == []


@pytest.mark.parametrize(
    "thing",
    [object(), [object()], {object()}, {"a": object()}, {object(): 1}, np.array([object()]), np.array(["a"]), os,
     SimpleNamespace(), closed(os), defined("def f(x): return g", g=object()), defined("def f(x=g): return x", g=os),
     defined("def f(*, x=g): return x", g=os), Made(object()), Made(len, a=object()), Intrinsic(object())],
    ids=lambda thing: type(thing).__name__,  # an address would be another in each process
)  # fmt: skip
def test_what_may_change_unseen_has_none(thing: Any) -> None:
    assert fingerprint(thing) is None


def test_fingerprints_of_recursive_functions_and_of_unset_closures() -> None:
    def first(x: Any) -> Any:
        return second(x)

    before = fingerprint(first)

    def second(x: Any) -> Any:
        return first(x)

    assert before is not None
    assert fingerprint(first) not in (None, before)
    assert fingerprint(second) != fingerprint(first)


def test_each_thing_counts_once_and_by_its_place() -> None:
    one, other = [1], [1]
    assert fingerprint((one, other, one)) != fingerprint((one, other, other))
    found = Digest()
    assert found.add(one)
    assert found.add(one)
    assert list(found.seen.values()) == [(0, one)]


def test_fingerprints_of_numba_types_differ() -> None:
    numba = pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")
    found = [fingerprint(kind) for kind in (numba.float64, numba.float32, numba.int64, numba.float64[:])]
    assert None not in found
    assert len(set(found)) == 4


def test_every_compiled_function_of_the_package_has_one_and_is_kept_on_disk() -> None:
    pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")
    from tinygrad_nn.compiled.numba import native

    without, count = [], 0
    for module in pkgutil.iter_modules(native.__path__):
        for name, thing in vars(importlib.import_module(f"{native.__name__}.{module.name}")).items():
            function = getattr(thing, "body", thing)
            if hasattr(function, "py_func"):
                count += 1
                without += [f"{module.name}.{name}"] if fingerprint(function) is None else []
    assert count > 50
    assert not without
