"""The generated code that unpacks the arguments of a call accepts calls of its structure, and no others."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from tinygrad_nn import Tensor
from tinygrad_nn.compiled.program import arguments as nest
from tinygrad_nn.tree import containers, flatten


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass
class Box:
    w: Any
    name: Any = "box"
    made: Any = field(default=None, init=False)


class Dict(dict):
    pass


def taker(args: Any, kwargs: Any, fixed: frozenset[int] = frozenset(), layout: str | None = "") -> Any:
    """Return the generated code as a function: the leaves, or None for calls of another kind."""
    names = nest.Names()
    lines = nest.unpacking_lines((args, kwargs), fixed, names, layout)
    count = len(flatten([args, kwargs])[0])
    text = "\n".join([
        f"def make({', '.join(names.objects)}):", "    def enter(args, kwargs):", "        try:",
        *(f"            {line}" for line in lines), "            pass",
        "        except (KeyError, IndexError, AttributeError, TypeError): return miss",
        f"        return [{', '.join(f'i{k}' for k in range(count))}]", "    return enter",
    ])  # fmt: skip
    scope: dict[str, Any] = {"miss": None, "asarray": np.asarray, "ndarray": np.ndarray}
    exec(text, scope)
    return scope["make"](**names.objects)


X, Y, Z = np.ones(3), np.ones(4), np.ones(3, "f4")
W, D = Tensor(np.ones(3)), Tensor(np.ones(3), requires_grad=False)
RNG = np.random.default_rng(0)
TAKES: list[tuple[Any, list[Any], list[Any]]] = [
    (X, [X + 1, X[::-1]], [Y, Z, X.tolist(), W, 1.0, np.ones((3, 1)), None, np.ones(3, ">f8")]),
    ([X, Y], [[X, Y]], [[X], [X, Y, Y], (X, Y), [Y, X], X, []]),
    ((X,), [(X + 1,)], [(), (X, X), [X], Pair(X, X)]),
    (Pair(X, Y), [Pair(X, Y)], [(X, Y), [X, Y], Pair(Y, X)]),
    ({"a": X, 1: Y}, [{"a": X, 1: Y}], [{"a": X}, {"a": X, 1: Y, 2: Y}, {"a": X, 2: Y}, Dict(a=X)]),
    (OrderedDict(a=X), [OrderedDict(a=X)], [{"a": X}]),
    (Box(X), [Box(X)], [Box(Y), Box(X, "other"), Pair(X, "box"), X]),
    ({"a": [X, (Y, None)]}, [{"a": [X, (Y, None)]}], [{"a": [X, (Y, X)]}, {"a": [X, (Y,)]}, {"a": [X, [Y, None]]}]),
    (None, [None], [X, 0, False]),
    (W, [Tensor(np.zeros(3))], [D, X, Tensor(np.ones(4)), Tensor(np.ones(3, "f4"))]),
    (D, [Tensor(np.zeros(3), requires_grad=False)], [W, X]),
    (2, [3, 0], [2.0, True, "2", np.int64(2), None]),
    (2.5, [3.5, float("nan")], [2, np.float64(2.5), 1j]),
    (1j, [2j], [1.0, 1]),
    (np.float32(2), [np.float32(3)], [2.0, np.float64(2), Z]),
    (RNG, [np.random.default_rng(1)], [X, 1, None]),
    (True, [True], [False, 1, None]),
    ("mean", ["mean", str(b"mean", "ascii")], ["sum", None, 1]),
    (np.sin, [np.sin], [np.cos, None]),
    (Box, [Box], [Pair, Box(X), None]),  # the class itself
    ([], [[]], [[X], ()]),
]


@pytest.mark.parametrize(("given", "taken", "missed"), TAKES, ids=lambda x: type(x).__name__)
def test_code_takes_calls_of_its_kind(given: Any, taken: list[Any], missed: list[Any]) -> None:
    places = [lambda x: ((x,), {}), lambda x: ((7.5, x, X), {}), lambda x: ((), {"k": x}), lambda x: ((X,), {"k": x})]
    for make in places:
        take = taker(*make(given))
        for call in [given, *taken]:
            found = take(*make(call))
            assert found is not None, call
            for a, b in zip(found, flatten(list(make(call)))[0], strict=True):
                np.testing.assert_array_equal(a, b.data if isinstance(b, Tensor) else b)
        for call in missed:
            assert take(*make(call)) is None, call


def test_a_dict_is_taken_apart_by_its_keys() -> None:
    take = taker(({"a": X, 1: Y},), {})
    x, y = take(({"a": X + 1, 1: Y + 2},), {})
    np.testing.assert_array_equal(x, X + 1)
    np.testing.assert_array_equal(y, Y + 2)
    for other in ({1: Y, "a": X}, {"a": X, 2: Y}, {"a": X}, {"a": X, 1: Y, "b": X}):  # a function sees the order, too
        assert take((other,), {}) is None


def test_numbers_of_arguments_and_keywords_count() -> None:
    take = taker((X, X), {})
    assert take((X, X), {}) is not None
    for args, kwargs in [((X,), {}), ((X, X, X), {}), ((X,), {"b": X}), ((X, X), {"b": X}), ((X, X), {"b": None})]:
        assert take(args, kwargs) is None
    named = taker((X,), {"b": X})
    assert named((X,), {"b": X}) is not None
    for args, kwargs in [((X, X), {}), ((X,), {"c": X}), ((X,), {}), ((X,), {"b": X, "c": X})]:
        assert named(args, kwargs) is None


def test_fixed_arguments_are_compared_by_value_and_type() -> None:
    take = taker((2, X, 0.5), {}, frozenset({0, 2}))
    assert take((2, X + 1, 0.5), {}) is not None
    for call in [(3, X, 0.5), (2, X, 0.25), (2.0, X, 0.5), (True, X, 0.5)]:
        assert take(call, {}) is None


ZEROS = [0.0, -0.0, 0, 0j, complex(0.0, -0.0), complex(-0.0, 0.0), complex(1.0, 0.0), complex(1.0, -0.0), False]


@pytest.mark.parametrize("given", ZEROS, ids=repr)
def test_zeros_with_other_signs_are_other_values(given: Any) -> None:
    """One divided by them is another infinity, and roots of them lie on the other side of a cut."""
    take = taker((given,), {}, frozenset({0}))
    assert [take((x,), {}) is not None for x in ZEROS] == [repr(x) == repr(given) for x in ZEROS]
    assert take((type(given)(given),), {}) is not None
    assert [nest.leaf_key(x, True) == nest.leaf_key(given, True) for x in ZEROS] == [
        repr(x) == repr(given) for x in ZEROS
    ]


def test_the_memory_layout_is_checked_only_if_required() -> None:
    strided = np.ones(6)[::2]
    assert taker((X,), {}, layout="carray")((X,), {}) is not None
    assert taker((X,), {}, layout="carray")((strided,), {}) is None
    assert taker((X,), {}, layout="")((strided,), {}) is not None
    assert taker((X,), {}, layout=None)((Y,), {}) is not None, "whoever takes it looks at the shape"
    assert taker((W,), {}, layout=None)((X,), {}) is None


@pytest.mark.parametrize(
    "tree",
    [X, [X], (X,), (), [], {}, (X, Y), {"a": X, 2: [Y, None]}, Pair(X, [Y]), Box(X, "name"), OrderedDict(b=X, a=Y),
     None, [None, (None, X)], [Box, X], {"a": {"b": (X, Pair(Y, Z))}}, Dict(a=X)],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_a_result_is_put_together_as_it_was(tree: Any) -> None:
    names = nest.Names()
    leaves, _ = flatten(tree)
    names.objects |= {f"x{k}": x for k, x in enumerate(leaves)}
    made = eval(nest.packing_expression(tree, [f"x{k}" for k in range(len(leaves))], names), dict(names.objects))
    assert type(made) is type(tree)
    again, _ = flatten(made)
    assert [id(x) for x in again] == [id(x) for x in leaves]
    assert containers(made) == containers(tree)
    assert list(made) == list(tree) if isinstance(tree, dict) else True


def test_calls_with_other_containers_or_leaves_have_different_keys() -> None:
    trees = [X, [X], (X,), [X, X], {"a": X}, {"b": X}, Pair(X, X), (X, X), Box(X), None, [None], Dict(a=X), {1: X},
             [[X]]]  # fmt: skip
    kinds = [containers(tree) for tree in trees]
    assert [k for k, kind in enumerate(kinds) if kinds.index(kind) != k] == []
    leaves = [X, Y, Z, W, D, 1, 1.0, True, "a", "b", RNG, np.float32(1), np.sin, np.ones((3, 1)), None, (1,), object()]
    found = [nest.leaf_key(x) for x in leaves]
    assert [k for k, kind in enumerate(found) if found.index(kind) != k] == []
    assert nest.leaf_key(2) == nest.leaf_key(3) != nest.leaf_key(2, fixed=True) != nest.leaf_key(3, fixed=True)
    assert nest.leaf_key(X) == nest.leaf_key(X + 1)
    assert nest.leaf_key(True) != nest.leaf_key(False)
    assert nest.leaf_key(RNG) == nest.leaf_key(np.random.default_rng(1))
    assert nest.static_key([1]) != nest.static_key([1]), "what cannot be compared is itself alone"
    assert nest.static_key(1) != nest.static_key(1.0)
    names = nest.Names()
    assert (names(X), names(Y), names(X), names(Z, "t")) == ("k0", "k1", "k0", "t2")
