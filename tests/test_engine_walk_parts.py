"""Parts of the backward walk and the transforms tested separately: hooks, seeds, sums, checks, Nodes, directions."""

import copy
import dataclasses
import pickle
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, backward, grad, jacobian, primitive, vmap
from tinygrad_nn.node import SPARE, Mode, Node, scope, thread
from tinygrad_nn.primitive import Primitive
from tinygrad_nn.tensor import raw
from tinygrad_nn.transforms import derivatives, new_input
from tinygrad_nn.tree import children, containers, flatten, slot

# -- The backward walk


def test_a_hook_is_removed_at_the_end_of_its_block() -> None:
    x, seen = Tensor([1.0, 2.0]), []
    with x.register_hook(lambda g: seen.append(g.tolist())):
        (x * 3.0).sum().backward()
    (x * 3.0).sum().backward()
    assert seen == [[3.0, 3.0]]


def test_a_hook_gives_a_tensor_or_an_array_in_any_walk() -> None:
    for replaced in (lambda g: Tensor(np.asarray(raw(g)) * 2.0), lambda g: raw(g) * 2.0, lambda g: [8.0, 8.0]):
        x = Tensor([1.0, 2.0])
        x.register_hook(replaced)
        (x * 4.0).sum().backward()
        assert x.grad.tolist() == [8.0, 8.0]
        assert type(x.grad) is np.ndarray

        def f(x: Any, replaced: Any = replaced) -> Any:
            y = x * 1.0
            y.register_hook(replaced)
            return (y * y).sum()

        slope = grad(lambda x: grad(f)(x).sum())(np.array([4.0, 4.0]))
        assert slope.shape == (2,)


def test_a_hook_that_is_differentiated_keeps_its_graph() -> None:
    def f(x: Any) -> Any:
        y = x * 1.0
        y.register_hook(lambda g: g * g)
        return y**3

    assert grad(f)(2.0) == 144.0
    assert grad(grad(f))(2.0) == 288.0**2  # of 9 x⁴; its backward walk passes the hook too


@pytest.mark.parametrize(
    ("r", "dtype", "wanted"),
    [
        (np.array(1.5 + 2j), np.float32, np.float32(1.5)), (np.array(1.5), np.float64, np.float64(1.5)),
        (np.array(1.5 + 2j), np.complex64, np.complex64(1.5 + 2j)), (np.array(1.5), np.complex128, 1.5 + 0j),
    ],
)  # fmt: skip
def test_a_gradient_takes_the_dtype_of_its_argument(r: Any, dtype: Any, wanted: Any) -> None:
    found = backward.cast(r, np.dtype(dtype))
    assert (found, found.dtype) == (wanted, dtype)


def test_gradients_share_no_memory() -> None:
    g = np.ones(3)
    nodes = [Tensor(1.0).node for _ in range(4)]
    given = dict(zip(nodes, (g, g, g[:2], np.float64(2)), strict=True))
    owned = list(backward._copy_shared(given, g).values())
    assert [type(x) for x in owned] == [np.ndarray] * 4
    assert [x.tolist() for x in owned] == [[1, 1, 1], [1, 1, 1], [1, 1], 2]
    twice = backward._copy_shared(dict.fromkeys(nodes[:2], owned[0]), g)
    assert not np.shares_memory(*twice.values())
    assert not any(np.shares_memory(a, b) for i, a in enumerate([*owned, g]) for b in [*owned, g][:i])
    alone = np.ones(2)
    assert backward._copy_shared({nodes[0]: alone}, g)[nodes[0]] is alone


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_the_cotangent_of_one_number_is_one(shape: tuple[int, ...]) -> None:
    seed = backward._seed(Tensor(np.full(shape, 5.0, np.float32)), None)
    assert (seed.shape, seed.dtype, seed.sum()) == (shape, np.float32, 1)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_many_gradients_of_one_value_are_added(n: int) -> None:
    x = Tensor([1.0, 2.0])
    y = x * 2.0
    kept = [y * float(k) for k in range(1, n + 1)]
    sum(kept[1:], kept[0]).sum().backward()
    assert x.grad.tolist() == [n * (n + 1)] * 2
    f = lambda x: sum(((x * x) * float(k) for k in range(1, n + 1)), x * 0.0)
    assert grad(grad(grad(lambda x: f(x) * x)))(2.0) == pytest.approx(3 * n * (n + 1))


def test_an_infinity_that_was_put_in_on_purpose_is_no_anomaly() -> None:
    with tg.detect_anomaly():
        assert np.isinf((Tensor([1.0]) * np.array([np.inf])).data).all()
        assert np.isnan((Tensor([np.nan]) * 2.0).data).all()  # which came from outside
        (Tensor([1.0]) * 2.0).backward([np.inf])
        wrong = Primitive("wrong", np.multiply, ((lambda g, out, x, y: g * y, "."), (lambda g, *_: g / 0.0, ".")), ".")
        with pytest.raises(FloatingPointError, match=r"^the rule of argument 1 made inf of finite numbers at entry"):
            wrong(Tensor([1.0]), Tensor([2.0])).backward([1.0])
        with pytest.raises(FloatingPointError, match=r"^the constant in argument 1 of multiply\(.*\) holds NaN\.$"):
            Tensor([1.0]) * np.array([np.nan])
        with pytest.raises(FloatingPointError, match=r"^the rule of argument 0 made inf of finite numbers at"):
            np.sqrt(Tensor([0.0])).sum().backward()


def test_an_operation_is_described_by_what_went_in() -> None:
    x = Tensor([1.0, 2.0], name="x")
    assert backward._describe((x * 2.0).node) == "multiply(x float64[2], array float64[])"
    assert backward._describe(x.node) == "leaf()"


def test_the_oldest_ancestor_is_counted() -> None:
    x = Tensor(1.0)
    y = x * 2.0
    z = np.sin(y)
    assert backward.ancestors([z.node], y.node.index) == [z.node, y.node]


def test_a_graph_with_equal_values_is_freed_at_the_end_of_its_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primitive.Ties, "met", True)
    total = np.linalg.eigh(Tensor(np.eye(2)))[0].sum()
    total.backward()
    with pytest.raises(RuntimeError, match="this graph was freed by an earlier backward"):
        total.backward()


# -- What an operation records


ROW = Primitive("row", lambda x, y, z: np.asarray(x + y + z), ((lambda g, *_: g, "g"),) * 3, "x + y + z")


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("count", [2, 3])
def test_arguments_are_kept_with_the_nodes_behind_them(place: int, count: int) -> None:
    if place >= count:
        return
    x, label = Tensor([1.0, 2.0]), Tensor([3, 4], name="label")
    for other in (2.0, np.array([5.0, 6.0]), [7.0, 8.0], np.float64(9), Tensor(3.0, False), label):
        args: list[Any] = [other] * count
        args[place] = x
        node = (ROW if count == 3 else primitive.REGISTRY["add"])(*args).node
        assert list(node.parents) == [x.node if i == place else None for i in range(count)]
        assert all(np.array_equal(a, raw(b)) for a, b in zip(node.args, args, strict=True))
        named = {i: "label" for i in range(count) if i != place and other is label}
        assert node.notes == ({"constants": named} if named else None)
        assert not node.out.flags.writeable
        made = type(other) is list and place == 1  # a list before the Tensor becomes an array first
        quick = count == 2 and (type(other) in (float, np.ndarray, Tensor) or made)
        assert (node.arity, len(node.args)) == (2 if quick else 0, count)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("place", [0, 1])
def test_a_users_array_that_an_operation_returns_stays_writable(count: int, place: int) -> None:
    own = np.array([1.0, 2.0])
    every = lambda g, out, *xs: [g] * count, "g"
    row = Primitive("same", lambda *xs: xs[min(place, count - 1)], (), "x", jointly=every)
    out = row(*[Tensor(own) for _ in range(count)])
    assert np.shares_memory(out.data, own)
    assert own.flags.writeable
    assert not out.data.flags.writeable
    assert Primitive("made", lambda x: x * 1.0, ((lambda g, *_: g, "g"),), "x")(Tensor(own, False)).data.flags.writeable


def test_operations_on_constants_are_not_recorded() -> None:
    for args in ((1.0, Tensor(2.0, False), 3.0), (Tensor(2), [1.0], np.ones(1))):
        assert not ROW(*args).requires_grad
    with pytest.raises(AttributeError, match="no attribute 'array_equal'"):
        Tensor(1.0).array_equal(1.0)


def test_arguments_without_numbers_are_refused_at_every_position() -> None:
    text = np.array(["a", None], dtype=object)
    for args in ([1.0, text], [text, 1.0], [1.0, text, 1.0], [1.0, 1.0, text]):
        with pytest.raises(TypeError, match=r"got a ndarray that is not an array of numbers"):
            (ROW if len(args) == 3 else primitive.REGISTRY["add"])(*[Tensor(x) if x is not text else x for x in args])


# -- Tensors


def test_gradients_are_wanted_or_not() -> None:
    x = Tensor([1.0, 2.0], name="x")
    node = x.node
    x.requires_grad = True
    assert x.node is node
    x.requires_grad = False
    assert (x.node, x.name) == (None, "x")
    x.requires_grad = False
    assert x.node is None
    x.requires_grad = True
    assert (x.requires_grad, x.name, x.node.out is x.data) == (True, "x", True)
    plain = Tensor([1.0])
    plain.requires_grad = False
    assert plain.label == ""
    whole = Tensor([1, 2])
    whole.requires_grad = False
    assert (whole.node, whole.label) == (None, None)
    with pytest.raises(TypeError, match="gradients need floats; this Tensor has dtype int64"):
        whole.requires_grad = True
    with pytest.raises(RuntimeError, match="this Tensor was computed, so it is not a leaf"):
        (x * 2.0).requires_grad = False


def test_a_gradient_is_given_and_taken_away() -> None:
    x = Tensor(np.ones(2, np.float32))
    x.grad = [1.0, 2.0]
    assert (x.grad.tolist(), x.grad.dtype) == ([1.0, 2.0], np.float32)
    with pytest.raises(ValueError, match=r"^the gradient has shape \(3,\); the Tensor has shape \(2,\)\.$"):
        x.grad = np.ones(3)
    x.grad = None
    assert x.grad is None


def test_protocols_of_python_and_of_arrays() -> None:
    x, three = Tensor([7.0, -7.0], False), np.full(2, 3.0)
    for ours, theirs in ((divmod(x, 3.0), divmod(x.data, 3.0)), (divmod(3.0, x), divmod(3.0, x.data))):
        assert np.array_equal([raw(t) for t in ours], theirs)
    assert np.array_equal([raw(t) for t in divmod(x, three)], divmod(x.data, three))
    assert (~Tensor([0, 5])).data.tolist() == [-1, -6]
    z = Tensor([1.0 + 2j])
    assert (z.real.data.tolist(), z.imag.data.tolist()) == ([1.0], [2.0])
    assert np.asarray(x, dtype=np.float32).dtype == np.float32
    assert np.from_dlpack(x).tolist() == [7.0, -7.0]
    assert x.__dlpack_device__() == (1, 0)
    assert x.__array_namespace__().__name__.startswith("tinygrad_nn")


def test_data_attached_to_a_leaf_is_copied_with_it() -> None:
    x = Tensor([1.0])
    x.node.note(attached=[[2]])
    (kept,) = copy.deepcopy(x).node.notes["attached"]
    assert kept == [2]
    assert kept is not x.node.notes["attached"][0]


# -- Nests


class Pair(NamedTuple):
    one: Any
    other: Any


@dataclasses.dataclass
class Both:
    one: Any
    other: Any
    made: Any = dataclasses.field(init=False, default=None)


@pytest.mark.parametrize(
    "nest", [OrderedDict(b=1.0, a=[2.0]), Pair(1.0, [2.0]), Both(1.0, (2.0,)), {"z": 1.0, "y": (2.0,)}]
)
def test_a_nest_is_filled_with_other_leaves(nest: Any) -> None:
    leaves, rebuild = flatten(nest)
    again = rebuild([10.0, 20.0])
    assert leaves == [1.0, 2.0]
    assert type(again) is type(nest)
    assert flatten(again)[0] == [10.0, 20.0]
    assert containers(again) == containers(nest)
    assert list(children(again)) == list(children(nest))
    assert containers({"a": 1.0, "b": 2.0}) == (dict, (("a", ()), ("b", ())))


def test_what_only_has_fields_is_no_nest() -> None:
    one = type("Fields", (), {"_fields": ("a",)})()
    assert flatten(one)[0] == [one]
    assert children(one) is None


@pytest.mark.parametrize(("argnum", "wanted"), [(0, 0), (1, 1), (-1, 1), (-2, 0), ("a", 0), ("b", 1), ("c", "c")])
def test_an_argument_is_found_in_a_call(argnum: Any, wanted: Any) -> None:
    assert slot(lambda a, b, c: a, argnum, (1.0, 2.0), {"c": 3.0}) == wanted


@pytest.mark.parametrize("argnum", [2, -3, "c", "d"])
def test_an_argnum_that_is_not_in_the_call_raises(argnum: Any) -> None:
    with pytest.raises(ValueError, match=r"positional arguments\. Pass the argument by|was called without an argument"):
        slot(lambda a, b, c=1.0: a, argnum, (1.0, 2.0), {})


# -- Nodes and switches


def test_a_node_is_copied_with_something_else() -> None:
    x = Tensor([1.0, 2.0], name="x")
    y = x * 3.0
    y.node.note(name="y")
    y.node.note(where="here")
    assert y.node.notes == {"name": "y", "where": "here"}
    made = y.node.copied(Node())
    for name in ("primitive", "meta", "out", "index", "scope", "notes", "args", "parents"):
        assert np.all(getattr(made, name) == getattr(y.node, name)), name
    assert made.grad is None
    other = y.node.copied(Node(), args=(1, 2), parents=(None, x.node), scope="there")
    assert (other.args, other.parents, other.scope, other.arity) == ((1, 2), (None, x.node), "there", 0)
    assert other.index == y.node.index


def test_a_leaf_can_be_pickled_and_a_computed_tensor_cannot() -> None:
    x = Tensor([1.0], name="x")
    x.node.note(used=1, attached=[2])
    again = pickle.loads(pickle.dumps(x)).node
    assert again.notes == {"name": "x", "attached": [2]}
    plain = Tensor([1.0])
    plain.node.note(used=1)
    assert pickle.loads(pickle.dumps(plain)).node.notes is None
    assert [t.node.inner for t in (x, plain, Tensor(1.0), new_input(1.0), x * 2.0)] == [False] * 3 + [True] * 2
    for inner in (x * 2.0, new_input(1.0)):
        with pytest.raises(TypeError, match=r"a graph cannot be pickled"):
            pickle.dumps(inner)


def test_a_thread_starts_with_the_default_mode() -> None:
    mode = Mode()
    assert (mode.grad, mode.scope, mode.steps, mode.rows, mode.level) == (True, None, None, None, None)
    assert mode.spare.maxlen == SPARE
    with tg.no_grad():
        assert not (Tensor([1.0]) * 2.0).requires_grad
    with scope("outer"), scope("inner"):
        assert (Tensor([1.0]) * 2.0).node.scope == "outer.inner"
    assert (Tensor([1.0]) * 2.0).node.scope is None


def test_new_leaves_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(thread.mode, "born", seen.append)
    assert [Tensor([1.0]).node] == seen


# -- Transforms


def test_the_hessian_times_a_direction_of_a_function_alone_takes_further_arguments() -> None:
    f = lambda x, a: (a * x**3).sum()
    x, v = np.array([1.0, 2.0]), np.array([1.0, 10.0])
    assert tg.hvp(f)(x, v, 2.0).tolist() == [12.0, 240.0]
    assert tg.hvp(f, (x, 2.0), v).tolist() == [12.0, 240.0]


@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: Tensor(v, False), Tensor])
def test_a_direction_is_an_array_or_a_tensor(wrap: Any) -> None:
    x, v = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    f = lambda x: (x * x, 2.0)
    value, (moved, constant) = tg.jvp(f, (x,), (wrap(v),))
    tensors = isinstance(wrap(v), Tensor)
    assert value[0].tolist() == [1.0, 4.0]
    assert raw(moved).tolist() == [6.0, 20.0]
    assert raw(constant).tolist() == 0.0
    assert isinstance(moved, Tensor) == isinstance(constant, Tensor) == tensors
    (pulled,) = tg.vjp(lambda x: x * x, x)[1](wrap(v))
    assert raw(pulled).tolist() == [6.0, 20.0]
    assert isinstance(pulled, Tensor) == tensors


def test_a_vjp_of_several_results_adds_what_comes_from_each() -> None:
    _, pull = tg.vjp(lambda x, y: [x * y, y * 2.0, x * 1.0], 3.0, 5.0)
    assert pull([1.0, 10.0, 100.0]) == (105.0, 23.0)


def test_a_jvp_of_what_samples_do_not_share_is_that_of_each() -> None:
    x, v = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[1.0, 0.0], [2.0, 7.0]])
    f = lambda x: [x * x[0], np.sin(x)]
    value, moved = vmap(lambda x, v: tg.jvp(f, (x,), (v,)))(x, v)
    each = [tg.jvp(f, (a,), (b,)) for a, b in zip(x, v, strict=True)]
    for k in range(2):
        np.testing.assert_allclose(value[k], [one[0][k] for one in each], rtol=1e-15)
        np.testing.assert_allclose(moved[k], [one[1][k] for one in each], rtol=1e-15)


@pytest.mark.parametrize("met", [False, True])
def test_equal_values_are_decided_for_each_direction(met: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([[2.0, 0.0], [0.0, 2.0]]) if met else np.array([[2.0, 0.3], [0.3, 1.0]])
    f = lambda x: np.linalg.eigh(x)[0]
    rows = [tg.vjp(f, x)[1](unit)[0] for unit in np.eye(2)]
    monkeypatch.setattr(primitive.Ties, "met", met)
    np.testing.assert_allclose(jacobian(f)(x), rows, atol=1e-14)
    out = Tensor(x)
    w = f(out)
    assert derivatives._has_ties(w.node, frozenset((out.node,))) is met
    assert derivatives._has_ties(w.node, frozenset()) is met


def test_a_direction_through_a_factorisation_of_several_arguments() -> None:
    x, y, v, w = np.array([[2.0, 0.3], [0.3, 1.0]]), np.eye(2) + 0.5, np.eye(2) * 0.7, np.ones((2, 2))
    f = lambda x, y: np.linalg.eigh(x * y)[0]
    by_x, by_y = jacobian(f, (0, 1))(x, y)
    np.testing.assert_allclose(tg.jvp(f, (x, y), (v, w))[1], np.tensordot(by_x, v) + np.tensordot(by_y, w), rtol=1e-12)
    alone = lambda x, y: np.linalg.eigh(x)[0]
    np.testing.assert_allclose(tg.jvp(alone, (x, y), (v, w))[1], np.tensordot(jacobian(alone)(x, y), v), rtol=1e-12)


def test_a_value_is_a_tensor_where_something_outside_is_differentiated() -> None:
    assert not isinstance(tg.value_and_grad(lambda x: x * x)(2.0)[0], Tensor)
    w = Tensor(3.0)
    value, slope = tg.value_and_grad(lambda x: x * w)(2.0)
    (value * slope).backward()
    assert w.grad == 12.0
    assert grad(lambda x: x * x)(Tensor(2.0, False)) == 4.0
    (same,) = tg.vjp(lambda x: x, np.ones(2))[1](np.array([1, 2]))
    assert same.dtype == float


def test_texts_have_no_derivative() -> None:
    for made, what in ((np.array("a"), "a ndarray"), (np.str_("a"), "a str_")):
        with pytest.raises(TypeError, match=f"returned {what}, which has no derivative"):
            grad(lambda x: made)(1.0)  # noqa: B023


