"""Tensor and funnel: each way to call makes the same Node, dtypes and constants stay, no operation is lost silently."""

import copy
import json
import math
import operator
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, grad, vmap
from tinygrad_nn.node import Node, scope
from tinygrad_nn.primitive import REGISTRY, Primitive
from tinygrad_nn.tensor import raw

X = np.array([[0.5, 1.5, 2.5], [3.5, 0.25, 1.25]])
Y = np.array([1.0, 2.0, 0.5])

# The same operation by every road there is: operator, NumPy, method, function.
ROADS: dict[str, list[Callable[[Any, Any], Any]]] = {
    "add": [operator.add, np.add, lambda x, y: x.add(y), REGISTRY["add"]],
    "subtract": [operator.sub, np.subtract, lambda x, y: x.subtract(y)],
    "multiply": [operator.mul, np.multiply, lambda x, y: x.multiply(y)],
    "divide": [operator.truediv, np.divide, np.true_divide, lambda x, y: x.divide(y)],
    "power": [operator.pow, np.power, lambda x, y: x.power(y)],
    "matmul": [operator.matmul, np.matmul, lambda x, y: x.matmul(y)],
    "negative": [lambda x, y: -x, lambda x, y: np.negative(x), lambda x, y: x.negative()],
    "absolute": [lambda x, y: abs(x), lambda x, y: np.abs(x), lambda x, y: np.absolute(x), lambda x, y: x.absolute()],
    "exp": [lambda x, y: np.exp(x), lambda x, y: x.exp(), lambda x, y: REGISTRY["exp"](x)],
    "sum": [
        lambda x, y: np.sum(x, axis=0), lambda x, y: x.sum(axis=0), lambda x, y: x.sum(0), lambda x, y: np.sum(x, 0),
        lambda x, y: REGISTRY["sum"](x, axis=0),
    ],
    "mean": [lambda x, y: np.mean(x, axis=(0, 1)), lambda x, y: x.mean(axis=(0, 1)), lambda x, y: x.mean((0, 1))],
    "max": [lambda x, y: np.max(x, axis=1), lambda x, y: x.max(axis=1), lambda x, y: np.amax(x, 1)],
    "min": [lambda x, y: np.min(x, axis=1), lambda x, y: x.min(axis=1), lambda x, y: np.amin(x, 1)],
    "reshape": [
        lambda x, y: np.reshape(x, (3, 2)), lambda x, y: x.reshape(3, 2), lambda x, y: x.reshape((3, 2)),
        lambda x, y: x.reshape([3, -1]),
    ],
    "transpose": [
        lambda x, y: x.T, lambda x, y: np.transpose(x), lambda x, y: x.transpose(), lambda x, y: x.transpose(1, 0),
        lambda x, y: x.transpose((1, 0)), lambda x, y: np.transpose(x, (1, 0)), lambda x, y: x.transpose(None),
    ],
    "swapaxes": [lambda x, y: np.swapaxes(x, 0, 1), lambda x, y: x.swapaxes(0, 1)],
    "getitem": [lambda x, y: x[0], lambda x, y: next(iter(x)), lambda x, y: tuple(x)[0]],  # noqa: RUF015
    "relu": [lambda x, y: tg.relu(x), lambda x, y: x.relu()],
    "softmax": [lambda x, y: tg.softmax(x), lambda x, y: x.softmax(), lambda x, y: x.softmax(axis=-1)],
}  # fmt: skip


@pytest.mark.parametrize("name", ROADS)
def test_every_road_makes_the_same_node(name: str) -> None:
    roads = ROADS[name]
    x, y = Tensor(X), Tensor(Y)
    results = [road(x, y) for road in roads]
    for result in results:
        assert type(result) is Tensor
        assert result.node.primitive is REGISTRY[name]
        assert result.node.parents[0] is x.node
        assert result.node.out is result.data
        np.testing.assert_array_equal(result.data, results[0].data)
        assert result.dtype == results[0].dtype
    if len(results[0].node.parents) == 2:
        assert all(result.node.parents[1] is y.node for result in results)


@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow])
@pytest.mark.parametrize("other", [2, 2.0, np.float64(2), np.array([2.0]), [2.0, 1.0, 3.0], Y, np.array([1, 2, 3])])
def test_operators_mix_with_numbers_and_arrays_on_either_side(op: Callable[..., Any], other: Any) -> None:
    x = Tensor(X)
    for result, wanted in ((op(x, other), op(X, other)), (op(other, x), op(other, X))):
        assert type(result) is Tensor, "an ndarray on the left must not take a Tensor apart"
        np.testing.assert_array_equal(result.data, wanted)
        assert [p is x.node for p in result.node.parents].count(True) == 1


def test_matmul_with_an_array_on_the_left() -> None:
    result = X @ Tensor(Y)
    assert result.node.primitive is REGISTRY["matmul"]
    np.testing.assert_array_equal(result.data, X @ Y)


COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


@pytest.mark.parametrize("compare", COMPARISONS)
def test_comparisons_give_plain_arrays(compare: Callable[..., Any]) -> None:
    for a, b in ((Tensor(X), Tensor(Y)), (Tensor(X), Y), (Y, Tensor(X)), (Tensor(X), 1.5), (1.5, Tensor(X))):
        result = compare(a, b)
        assert isinstance(result, np.ndarray)
        assert result.dtype == bool
        assert repr(result) == repr(np.array(result))
        bare = [v.data if isinstance(v, Tensor) else v for v in (a, b)]
        np.testing.assert_array_equal(result, compare(*bare))


@pytest.mark.parametrize("question", [np.argmax, np.isnan, np.argsort, np.shape, np.ndim, np.size, np.isfinite, np.any])
def test_questions_get_plain_answers(question: Callable[..., Any]) -> None:
    answer = question(Tensor(X))
    assert not isinstance(answer, Tensor)
    np.testing.assert_array_equal(answer, question(X))


# -- What is constant


@pytest.mark.parametrize("data", [3, [1, 2], True, np.array([True]), np.arange(3), np.uint8(4)])
def test_integers_and_booleans_are_constants(data: Any) -> None:
    t = Tensor(data)
    assert t.node is None
    assert not t.requires_grad
    assert t.dtype == np.asarray(data).dtype
    assert (t + t).node is None
    assert (t * 1.5).node is None


@pytest.mark.parametrize("data", [3.0, [1.0, 2], np.float32(1), 1j, np.zeros(0), np.float16(2)])
def test_floats_and_complex_numbers_are_leaves(data: Any) -> None:
    t = Tensor(data)
    assert t.requires_grad
    assert t.is_leaf
    assert t.node.primitive is None
    assert t.dtype == np.asarray(data).dtype
    assert not Tensor(data, requires_grad=False).requires_grad


def test_results_of_constants_are_constants() -> None:
    t = Tensor(X, requires_grad=False)
    result = np.exp(t) @ Y
    assert isinstance(result, Tensor)
    assert result.node is None
    assert result.is_leaf
    assert (t + Tensor(X)).requires_grad


def test_detach_shares_data_and_stops_gradients() -> None:
    x = Tensor(X)
    y = x.detach()
    assert y.data is x.data
    assert y.node is None
    (x * y).sum().backward()
    np.testing.assert_array_equal(x.grad, X)


def test_data_is_not_copied() -> None:
    assert Tensor(X).data is X


def test_nothing_is_recorded_under_no_grad_also_after_an_error() -> None:
    x = Tensor(X)
    with tg.no_grad():
        assert np.exp(x).node is None
        with tg.no_grad():
            pass
        assert (x + 1).node is None
        assert Tensor(X).requires_grad, "a leaf may be made, for later"
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        raise ZeroDivisionError
    assert np.exp(x).node is not None


# -- Dtypes and 0-d results

UNARY = ["exp", "log", "sqrt", "sin", "cos", "tanh", "log1p", "negative", "absolute", "relu", "sigmoid", "sum"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("name", UNARY)
def test_a_dtype_stays_forward_and_back(name: str, dtype: type) -> None:
    x = Tensor(X.astype(dtype))
    y = getattr(x, name)()
    assert y.dtype == dtype
    y.sum().backward()
    assert x.grad.dtype == dtype


@pytest.mark.parametrize("number", [2, 2.0, 0.5, True])
@pytest.mark.parametrize("op", [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow])
def test_python_numbers_are_weak(op: Callable[..., Any], number: Any) -> None:
    x = Tensor(Y.astype(np.float32))
    for y in (op(x, number), op(number, x)):
        assert y.dtype == np.float32
        (y * 1.5).sum().backward()
        assert x.grad.dtype == np.float32


def test_without_a_copy_an_array_of_that_dtype_is_the_same_memory() -> None:
    x = Tensor(X)
    assert np.shares_memory(x.astype(np.float64, copy=False).data, X)
    assert not np.shares_memory(x.astype(np.float64).data, X)
    np.testing.assert_array_equal(grad(lambda t: t.astype(np.float64, copy=False).sum())(X), np.ones_like(X))


def test_mixed_dtypes_promote_like_numpy_and_gradients_come_back_in_their_own() -> None:
    a, b = Tensor(X.astype(np.float32)), Tensor(X)
    y = a * b
    assert y.dtype == np.float64
    y.sum().backward()
    assert a.grad.dtype == np.float32
    assert b.grad.dtype == np.float64
    z = Tensor(X.astype(np.float32)) * np.arange(3)
    assert z.dtype == (X.astype(np.float32) * np.arange(3)).dtype


@pytest.mark.parametrize(
    "make",
    [
        lambda t: t.sum(), lambda t: t[0, 0], lambda t: t.max(), lambda t: t[0] @ t[1], lambda t: np.mean(t),
        lambda t: Tensor(2.0) * 3.0, lambda t: np.exp(Tensor(1.0)), lambda t: -Tensor(1.0),
        lambda t: Tensor(np.float64(2)), lambda t: t.reshape(-1)[0], lambda t: np.dot(t[0], t[1]), lambda t: Tensor(4),
    ],
)  # fmt: skip
def test_results_without_axes_are_arrays_not_scalars(make: Callable[[Tensor], Tensor]) -> None:
    result = make(Tensor(X))
    assert type(result.data) is np.ndarray
    assert result.shape == ()
    assert result.ndim == 0
    assert result.size == 1


# -- Nothing escapes silently


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: np.asarray(t), TypeError, r"would drop its graph. Leave np\.asarray out.*t\.data is the bare array"),
        (lambda t: np.array(t), TypeError, r"would drop its graph. Leave np\.array out: write `t`"),
        (lambda t: np.array([t, t]), TypeError, r"np\.stack\(\[\.\.\.\]\)"),
        (lambda t: np.add(np.zeros(3), [t, t, t]), TypeError, r"np\.stack"),
        (lambda t: float(t[0, 0]), TypeError, r"float\(t\) would drop the graph.*t\.item\(\)"),
        (lambda t: int(t[0, 0]), TypeError, r"int\(t\) would drop the graph"),
        (lambda t: complex(t[0, 0]), TypeError, r"complex\(t\) would drop the graph"),
        (lambda t: math.sin(t[0, 0]), TypeError, r"use np\.sin\(t\) and the like rather than math\.sin\(t\)"),
        (lambda t: [1, 2][t[0, 0]], TypeError, r"an index would drop the graph"),
        (lambda t: np.exp(t, out=np.zeros((2, 3))), TypeError, r"Remove out="),
        (lambda t: np.add(X, Y, out=t), TypeError, r"Remove out="),
        (lambda t: operator.iadd(np.zeros((2, 3)), t), TypeError, r"write `array = array \+ tensor`"),
        (lambda t: operator.imul(np.zeros((2, 3)), t), TypeError, r"write `array = array \+ tensor`"),
        (lambda t: np.add.at(np.zeros(3), [0], t[0, 0]), TypeError, r"instead of np\.add\.at use t\.at\[index\]\.add"),
        (lambda t: operator.setitem(t, 0, 1.0), TypeError, r"t = t\.at\[index\]\.set\(value\)"),
        (lambda t: operator.setitem(np.zeros((2, 3)), 0, t[0]), TypeError, r"would drop its graph"),
        (lambda t: operator.setitem(np.zeros((2, 3)), 0, t[0]), TypeError, r"\.at\[i\]\.set\(t\).*np\.stack"),
        (lambda t: np.zeros((3, 2)).dot(t), TypeError, r"Instead of x\.dot\(t\) of an array x write x @ t"),
        (lambda t: np.copyto(np.zeros((2, 3)), t), TypeError, r"at\[index\]\.set"),
        (lambda t: np.fill_diagonal(t, 0), TypeError, r"at\[index\]\.set"),
        (lambda t: t.fill(0), TypeError, r"at\[index\]\.set"),
        (lambda t: t.sort(), TypeError, r"np\.sort\(t, \.\.\.\) makes a new one"),
        (lambda t: np.histogram(t), TypeError, r"np\.histogram has no derivative rule here.*np\.histogram\(t\.data\)"),
        (lambda t: np.packbits(t), TypeError, r"np\.packbits has no derivative rule here"),
        (lambda t: np.nanpercentil(t), AttributeError, r"nanpercentil"),
        (lambda t: Tensor(t), TypeError, r"would drop its graph. Use t itself, t\.detach\(\)"),
        (lambda t: Tensor(["a"]), TypeError, r"a Tensor holds numbers; this data has dtype <U1.*one_hot"),
        (lambda t: Tensor([t]), TypeError, r"would drop its graph"),
        (lambda t: Tensor(None), TypeError, r"holds numbers; this data has dtype object"),
        (lambda t: t + "a", TypeError, r"."),
        (lambda t: np.multiply(t, [t, t]), TypeError, r"np\.stack"),
        (lambda t: t.sqrd(), AttributeError, r"a Tensor has no attribute 'sqrd'"),
        (lambda t: t.strides, AttributeError, r"no attribute 'strides'.*lies in memory.*use `t\.data\.strides`"),
        (lambda t: t.view(np.float32), TypeError, r"t\.view takes lengths.*write `t\.reshape\(3, 2\)`.*`t\.astype\("),
        (lambda t: t.sum(axes=0), TypeError, r"sum of a Tensor does not take axes=; it takes axis, "),
        (lambda t: REGISTRY["add"](t), TypeError, r"add needs 2 arrays; it got 1"),
        (lambda t: REGISTRY["exp"](t, t, t), TypeError, r"exp takes at most|exp of a Tensor"),
        (lambda t: tg.softmax(t, -1, 2), TypeError, r"softmax takes at most 2 arguments by position; it got 3"),
        (lambda t: bool(t), ValueError, r"truth value"),
        (lambda t: t @ t, ValueError, r"matmul"),
        (lambda t: t[5], IndexError, r"out of bounds"),
        (lambda t: len(Tensor(1.0)), TypeError, r"unsized"),
        (lambda t: iter(Tensor(1.0)), TypeError, r"unsized"),
        (lambda t: t.detach().register_hook(print), ValueError, r"a hook on it would never run"),
        (lambda t: setattr(t.detach(), "grad", X), ValueError, r"is a constant and has no gradient"),
        (lambda t: setattr(t, "grad", Y), ValueError, r"the gradient has shape \(3,\); the Tensor has shape \(2, 3\)"),
    ],
)
def test_what_would_go_wrong_raises_and_names_the_way_out(
    call: Callable[[Tensor], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(Tensor(X))


def test_a_mask_that_is_a_tensor_chooses_among_entries_of_arrays() -> None:
    mask, out = Tensor(np.array([True, False, True])), np.zeros(3)
    assert np.add(Y, 1.0, where=mask, out=out) is out
    assert out.tolist() == [Y[0] + 1, 0, Y[2] + 1]
    assert np.add.reduce(Y, where=mask) == Y[0] + Y[2]
    for out in (Tensor(np.zeros(3)), np.zeros(3)):
        with pytest.raises(TypeError, match="would write a Tensor's values into an array"):
            np.add(Tensor(Y), 1.0, where=mask, out=out)


def test_a_numpy_function_without_a_rule_says_what_to_write() -> None:
    with pytest.raises(TypeError, match=r"np\.sort_complex has no derivative rule here.* Write `np\.sort\(v\)"):
        np.sort_complex(Tensor(X))


@pytest.mark.parametrize(
    "call",
    [
        lambda a: np.sum(a=a), lambda a: np.mean(a=a, axis=0), lambda a: np.var(a=a, ddof=1), lambda a: np.real(val=a),
        lambda a: np.max(a, 0, None, True), lambda a: np.sum(a, 1, None, None, True), lambda a: np.unwrap(p=a),
        lambda a: np.var(a, 0, None, None, 1), lambda a: np.linalg.norm(x=a, ord=2),
        lambda a: np.convolve(a[0], v=a[1]),
        lambda a: np.take(a, []), lambda a: np.repeat(a[0, 0], 2, axis=0), lambda a: np.insert([1.0, 2.0], 1, a[0, 0]),
        lambda a: np.cumulative_sum(a[0, :0], include_initial=True), lambda a: np.convolve(a[0], a[1], "same"),
        lambda a: np.sign(a, dtype=np.float64), lambda a: np.divmod(a, 0.7, dtype=np.float64)[1],
        lambda a: np.float_power.reduce(abs(a), axis=1), lambda a: np.float_power.outer(abs(a[0]), [1, 2]),
        lambda a: np.clip(a, 0, 1, dtype=np.float64), lambda a: np.gradient(a[0].astype(np.float32), [0.0, 0.5]),
        lambda a: np.round(a, 1, None), lambda a: np.ptp(a, 0, None), lambda a: np.dot(a, a.T, None),
        lambda a: np.round(a=a, decimals=1), lambda a: np.quantile(a=a, q=0.3), lambda a: np.clip(a, 0, 1, None),
    ],
)  # fmt: skip
def test_arguments_of_numpy_functions_go_by_numpys_names_and_places(call: Callable[[Any], Any]) -> None:
    a = np.array([[0.3, -1.2], [2.0, 0.7]])
    made = call(Tensor(a))
    assert made.requires_grad
    np.testing.assert_array_equal(made.data, call(a))
    assert made.dtype == call(a).dtype


def test_quantiles_of_integers_are_those_of_numpy() -> None:
    for q in (0.25, 0.5, [0.1, 0.9]):
        assert np.array_equal(np.quantile(Tensor([1, 2, 3, 5]), q).data, np.quantile([1, 2, 3, 5], q))


def test_copies_of_differentiated_values_stay_in_the_graph() -> None:
    x = Tensor(2.0)
    (copy.deepcopy(x * 3) * x).backward()
    assert x.grad == 12.0
    assert grad(lambda d: copy.deepcopy(d)["x"] ** 2)({"x": 3.0})["x"] == 6.0
    assert copy.deepcopy(x).is_leaf
    for made in (x * 2, x[()]):
        with pytest.raises(TypeError, match="a graph cannot be pickled"):
            made.node.__getstate__()
    assert x.node.__getstate__()


def test_arrays_of_objects_cannot_hide_tensors() -> None:
    hidden = np.frompyfunc(lambda n: n * Tensor(1.0), 1, 1)(np.ones(3))
    with pytest.raises(TypeError, match="not an array of numbers"):
        hidden * Tensor([1.0, 2.0, 3.0])
    for dtype in (object, str):
        with pytest.raises(TypeError, match="holds numbers"):
            Tensor(X).astype(dtype)


MASKED: dict[str, Callable[[Any], Any]] = {
    "Tensor": Tensor, "t + m": lambda m: Tensor(Y) + m, "np.multiply": lambda m: np.multiply(Tensor(Y), m),
    "np.stack": lambda m: np.stack([Tensor(Y), m]), "np.clip": lambda m: np.clip(Tensor(Y), 0, m),
    "t.at": lambda m: Tensor(Y).at[:].set(m), "array": lambda m: tg.array([Tensor(Y), m]),
    "grad": lambda m: grad(np.sum)(m), "jacobian": lambda m: tg.jacobian(np.sin)(m),
    "jvp": lambda m: tg.jvp(np.sin, (Y,), (m,)), "vjp": lambda m: tg.vjp(np.sin, Y)[1](m),
    "vmap": lambda m: tg.vmap(np.sin)(m), "vmap of columns": lambda m: tg.vmap(np.sin, in_axes=1)(m[None]),
    "backward": lambda m: (2 * Tensor(Y)).backward(m), "check_gradients": lambda m: tg.check_gradients(np.sin, m),
    "Parameter": tg.nn.Parameter, "Linear": lambda m: tg.nn.Linear(3, 2, rng=0)(m),
    "Embedding": lambda m: tg.nn.Embedding(4, 2, rng=0)(m.astype(int)),
    "F.embedding": lambda m: tg.nn.functional.embedding(m.astype(int), Tensor(X)),
    "from_pretrained": lambda m: tg.nn.Embedding.from_pretrained(m[None]),
    "load_state_dict": lambda m: tg.nn.LayerNorm(3).load_state_dict({"weight": m, "bias": Y}),
    "MSELoss": lambda m: tg.nn.MSELoss()(Tensor(Y), m), "BCELoss": lambda m: tg.nn.BCELoss()(Y / 3, m / 3),
    "CrossEntropyLoss": lambda m: tg.nn.CrossEntropyLoss()(np.eye(3), m.astype(int)),
    "torch.tensor": tg.pytorch.tensor, "torch.as_tensor": tg.pytorch.as_tensor, "from_numpy": tg.pytorch.from_numpy,
}  # fmt: skip


@pytest.mark.parametrize("call", MASKED)
def test_masked_entries_are_refused_rather_than_used(call: str) -> None:
    m = np.ma.masked_array([1.0, 2.0, 0.5], [False, True, False])
    with pytest.raises(TypeError, match=r"1 of the 3 entries of this masked array are masked.*x\.filled\(0\.0\)"):
        MASKED[call](m)


def test_a_masked_array_without_masked_entries_is_an_array() -> None:
    m = np.ma.masked_array([1.0, 2.0, 0.5], False)
    assert type(Tensor(m).data) is np.ndarray
    assert grad(lambda x: (x * m).sum())(m).tolist() == [1, 2, 0.5]


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.einsum("i->", t, dtype=int, casting="unsafe"),
        lambda t: np.stack([t], dtype=int, casting="unsafe"),
        lambda t: np.concatenate([t, t], dtype=int, casting="unsafe"), lambda t: np.trace(t[None] * t, dtype=int),
        lambda t: np.insert(np.array([1, 2]), 0, t), lambda t: np.nansum(t, dtype=int),
        lambda t: np.subtract.reduce(t, dtype=int), lambda t: np.maximum.reduce(t, dtype=int),
    ],
)  # fmt: skip
def test_integers_that_would_cut_off_the_gradient_are_refused(call: Callable[[Tensor], Any]) -> None:
    with pytest.raises(TypeError, match="cuts off the fractions of float64, and with them the gradient"):
        call(Tensor([1.5, 2.5, 0.5]))


def test_numbers_leave_a_constant_freely() -> None:
    c = Tensor(2.0, requires_grad=False)
    assert (float(c), int(c), complex(c), math.sqrt(c)) == (2.0, 2, 2 + 0j, math.sqrt(2))
    assert [10, 20, 30][Tensor(2)] == 30
    assert Tensor(2.5).item() == 2.5
    assert Tensor([1.0, 2.0]).tolist() == [1.0, 2.0]
    assert f"{Tensor(2.0):.3f}" == "2.000"


def test_augmented_assignment_rebinds_and_leaves_the_old_tensor_alone() -> None:
    x = y = Tensor(X.copy())
    y += 1
    y *= 2
    y -= 0.5
    y /= 3
    y **= 2
    y @= np.eye(3)
    np.testing.assert_array_equal(x.data, X)
    assert y is not x
    np.testing.assert_allclose(y.data, (((X + 1) * 2 - 0.5) / 3) ** 2)
    y.sum().backward()
    np.testing.assert_allclose(x.grad, 2 * (((X + 1) * 2 - 0.5) / 3) * 2 / 3)


def test_updates_at_an_index_make_a_new_tensor() -> None:
    x, v = Tensor(X), Tensor(Y)
    y = x.at[0].set(v).at[1, ::2].add(10.0)
    assert y.data[0].tolist() == Y.tolist()
    assert y.data[1].tolist() == [13.5, 0.25, 11.25]
    np.testing.assert_array_equal(x.data, X)
    (y * y).sum().backward()
    np.testing.assert_array_equal(x.grad, [[0, 0, 0], [27, 0.5, 22.5]])
    np.testing.assert_array_equal(v.grad, 2 * Y)


# -- Python's protocols


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.int64])
def test_in_asks_as_numpy_does_whether_an_entry_is_equal(dtype: Any) -> None:
    x = np.arange(6).reshape(3, 2).astype(dtype)
    for t in (Tensor(x), Tensor(x) * 1, Tensor(x, requires_grad=False)):
        for value in (2.0, 7, 2 + 0j, np.nan, [4, 5], np.array([0, 3]), x, "a", None, Tensor(3.0), Tensor(8.0)):
            wanted = (value.data if isinstance(value, Tensor) else value) in x
            assert (value in t) is wanted
    assert Tensor(2.0) in x
    assert 2.0 in Tensor(2.0)
    assert 2.0 not in Tensor(np.zeros(0))
    with pytest.raises(ValueError, match="could not be broadcast"):
        [1, 2, 3] in Tensor(x)  # noqa: B015
    with pytest.raises(TypeError, match=r"inside vmap needs a value that differs from sample to sample"):
        tg.vmap(lambda row: row * (2 in row))(x)
    with pytest.warns(RuntimeWarning, match="runs without compilation"):
        assert tg.compile(lambda x: x * (2 in x))(x).tolist() == x.tolist()


def test_hash_is_identity_and_equality_is_elementwise() -> None:
    x, y = Tensor(X), Tensor(X)
    assert len({x, y, x}) == 2
    assert (x == y).all()
    assert {x: 1}[x] == 1


def test_tensors_are_iterated_by_rows_inside_the_graph() -> None:
    x = Tensor(X)
    assert len(x) == 2
    first, second = x
    (first * 2 + second).sum().backward()
    np.testing.assert_array_equal(x.grad, [[2, 2, 2], [1, 1, 1]])


def test_truth_of_one_number_is_its_own() -> None:
    assert Tensor(1.0)
    assert not Tensor(0.0)
    assert Tensor([[2.0]])


def test_repr_shows_what_matters() -> None:
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.])"
    assert repr(Tensor([1, 2])) == "Tensor([1, 2])"
    assert repr(Tensor(np.float32(1))) == "Tensor(1., dtype=float32)"
    assert repr(Tensor([1.0], name="W")) == "Tensor([1.], name='W')"
    assert repr(Tensor([1.0], requires_grad=False)) == "Tensor([1.], requires_grad=False)"
    assert repr(np.exp(Tensor(0.0))) == "Tensor(1., by=exp)"
    assert str(Tensor([1.0])) == "Tensor([1.])"
    assert f"{Tensor([1.0])}" == "Tensor([1.])"


def test_primitives_are_in_the_directory() -> None:
    assert {"exp", "softmax", "reshape", "backward", "data", "at"} <= set(dir(Tensor(1.0)))


def test_a_deep_copy_is_a_leaf_of_its_own() -> None:
    x = Tensor(X.copy(), name="W")
    (x * 2).sum().backward()
    models = [{"W": x}, {"c": Tensor(X, requires_grad=False, name="mask")}, {"i": Tensor(3)}]
    for model in models:
        twin = copy.deepcopy(model)
        (old,), (new,) = model.values(), twin.values()
        assert new is not old
        assert not np.shares_memory(new.data, old.data)
        np.testing.assert_array_equal(new.data, old.data)
        assert (new.name, new.requires_grad, new.dtype) == (old.name, old.requires_grad, old.dtype)
        assert new.grad is None
        assert new.is_leaf


def test_a_tensor_and_a_node_carry_no_dictionary() -> None:
    t = np.exp(Tensor(X))
    for thing in (t, t.node):
        assert not hasattr(thing, "__dict__")
    with pytest.raises(AttributeError):
        t.colour = "red"


def test_a_node_has_no_operators_and_its_hash_is_identity() -> None:
    node = Tensor(X).node
    assert Node.__hash__ is object.__hash__
    assert Node.__eq__ is object.__eq__
    with pytest.raises(TypeError):
        node + node
    assert repr(np.exp(Tensor(1.0)).node).startswith("<node ")
    assert repr(np.exp(Tensor(1.0)).node).endswith(" exp>")


def test_names_can_be_given_later_and_reach_constants_too() -> None:
    x, c = Tensor(X), Tensor(Y, requires_grad=False)
    assert x.name is None
    x.name, c.name = "x", "c"
    y = x * c
    y.name = "y"
    assert (x.name, c.name, y.name) == ("x", "c", "y")
    assert y.node.notes["constants"] == {1: "c"}


def test_the_scope_of_a_node_is_the_layer_that_ran() -> None:
    x = Tensor(X)
    with scope("model"), scope("0"):
        y = x * 2
    z = y * 2
    assert (x.node.scope, y.node.scope, z.node.scope) == (None, "model.0", None)


def test_children_are_younger_than_their_parents() -> None:
    x = Tensor(X)
    y = x * 2
    z = x + y
    assert x.node.index < y.node.index < z.node.index


def test_primitives_run_bare_on_arrays() -> None:
    assert type(tg.softmax(X)) is np.ndarray
    assert type(REGISTRY["sum"](X, axis=0)) is np.ndarray
    assert tg.softmax_crossentropy(X, X) == tg.softmax_crossentropy(Tensor(X), X).item()


# -- Constants have no graph to lose


def constants() -> dict[str, Tensor]:
    """Tensors that no gradient flows through, of the numbers 0 to 2."""
    detached = Tensor([0.0, 1.0, 2.0]).detach()
    with tg.no_grad():
        unrecorded = Tensor([0.0, 1.0, 2.0]) * 1
    whole = Tensor([0, 1, 2])
    return {"detached": detached, "unrecorded": unrecorded, "integer": whole, "boolean": Tensor([False, True, True])}


@pytest.mark.parametrize("kind", ["detached", "unrecorded", "integer", "boolean"])
def test_a_constant_turns_into_its_array(kind: str) -> None:
    t = constants()[kind]
    assert np.asarray(t) is t.data
    np.testing.assert_array_equal(np.array([t, t]), [t.data, t.data])
    again = np.array(t)
    assert again is not t.data
    np.testing.assert_array_equal(again, t.data)
    assert np.asarray(t, dtype=np.float32).dtype == np.float32
    assert np.shares_memory(np.array(t, copy=False), t.data)
    with pytest.raises(ValueError, match="avoid copy"):
        np.array(t, dtype=np.complex64, copy=False)
    out = np.zeros(3)
    out[:] = t
    np.testing.assert_array_equal(out, t.data)


def test_an_integer_or_boolean_tensor_indexes_arrays_and_lists() -> None:
    rows = np.arange(12.0).reshape(4, 3)
    pick = Tensor([2, 0])
    np.testing.assert_array_equal(rows[pick], rows[[2, 0]])
    np.testing.assert_array_equal(rows[:, pick], rows[:, [2, 0]])
    np.testing.assert_array_equal(rows[pick, Tensor(1)], rows[[2, 0], 1])
    np.testing.assert_array_equal(rows[Tensor(rows > 4)], rows[rows > 4])
    np.testing.assert_array_equal(rows[Tensor(rows) > 4], rows[rows > 4])
    assert ["a", "b", "c"][Tensor(2)] == "c"
    rows[pick] = 0
    assert not rows[[2, 0]].any()
    with pytest.raises(IndexError, match="integer"):
        rows[constants()["detached"]]
    with pytest.raises(TypeError, match="drop its graph"):
        rows[Tensor([1.0])]


def test_writing_one_live_number_into_an_array_says_what_to_write_instead() -> None:
    out, t = np.zeros(3), Tensor([1.0, 2.0])
    with pytest.raises(ValueError, match="sequence") as caught:  # NumPy's own, for what float() of an entry raised
        out[0] = t[0]
    told = str(caught.value.__cause__)
    assert "`out = Tensor(out)` once, before the loop, and in place of this line `out = out.at[0].set(t[0])`" in told
    assert "np.stack([...])" in told
    np.testing.assert_array_equal(Tensor(out).at[0].set(t[0]).data, [1, 0, 0])


def test_a_constant_can_be_plotted() -> None:
    from matplotlib import pyplot as plt

    t = Tensor(np.linspace(0, 1, 6).reshape(2, 3))
    with pytest.raises(TypeError, match=r"t\.detach\(\) for a plot"):
        plt.plot(t)
    try:
        axes = plt.figure().add_subplot()
        (line,) = axes.plot(t.detach()[0], t.detach()[1])
        np.testing.assert_array_equal(line.get_ydata(), t.data[1])
        axes.scatter(t.detach()[0], t.detach()[1], c=t.detach()[0])
        axes.bar(Tensor([1, 2, 3]), t.detach()[0])
        axes.hist(t.detach().ravel())
        axes.imshow(t.detach())
    finally:
        plt.close("all")


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda a, b: a + b, r"with shapes \(2,3\) \(4,\) \(add of arrays of shapes \(2, 3\) and \(4,\)\)$"),
        (lambda a, b: np.reshape(a, (7, 2)), r"^cannot reshape array of size 6 into shape \(7,2\)$"),
    ],
)  # fmt: skip
def test_errors_name_unsuitable_shapes_once(call: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        call(Tensor(np.ones((2, 3))), np.ones(4))


def test_shapes_in_an_error_are_not_added_again() -> None:
    def forward(x: Any, y: Any) -> Any:
        raise ValueError(f"no {np.shape(x)} with {np.shape(y)}")

    refuse = Primitive("refuse", forward, [None, None], "x")
    with pytest.raises(ValueError, match=r"^no \(2,\) with \(3,\)$"):
        refuse(Tensor([1.0, 2.0]), np.ones(3))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (0, 4)])
def test_the_number_of_entries_is_called_as_in_pytorch(shape: tuple[int, ...]) -> None:
    t = Tensor(np.ones(shape))
    assert (t.size, t.size(), len(t.size()), isinstance(t.size, int)) == (np.prod(shape), shape, len(shape), True)
    for k in range(-len(shape), len(shape)):
        assert t.size(k) == t.shape[k]
    for k in (len(shape), -len(shape) - 1):
        with pytest.raises(IndexError, match=re.escape(f"size({k}): a Tensor of shape {shape} has no axis {k}.")):
            t.size(k)
    for copied in (copy.deepcopy(t.size), pickle.loads(pickle.dumps(t.size)), json.loads(json.dumps(t.size))):
        assert (type(copied), copied) == (int, t.size)
    assert f"{t.size}" == repr(t.size) == str(int(t.size))


SIZES = [
    lambda x, n: x / n, lambda x, n: n * x, lambda x, n: n / x, lambda x, n: x**n, lambda x, n: x - n,
    lambda x, n: np.multiply(x, n), lambda x, n: np.divide(n, x), lambda x, n: np.maximum(x, n),
    lambda x, n: np.where(x > 0, x, n), lambda x, n: x.sum() / n, lambda x, n: x.reshape(n),
    lambda x, n: np.sqrt(n) + x, lambda x, n: np.stack([x.ravel()[0], n]), lambda x, n: np.full_like(x, fill_value=n),
    lambda x, n: np.arctan2(x, n), lambda x, n: np.clip(x, 0, n), lambda x, n: x[:, :n].mean() * n,
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f", SIZES)
def test_the_number_of_entries_is_a_python_number_in_calculations(f: Any, dtype: Any) -> None:
    array = np.linspace(0.5, 2, 6).astype(dtype).reshape(2, 3)
    x = Tensor(array)
    for given in (array, x):
        found, wanted = f(given, x.size), f(given, 6)
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(raw(found), raw(wanted))
    both = [grad(lambda x, n=n: (f(x, x.size if n is None else n) ** 2).sum())(array) for n in (None, 6)]
    assert both[0].dtype == both[1].dtype
    np.testing.assert_array_equal(*both)
    by_number = tg.compile(lambda x, k: x * (k * x.size + x.size), backend="numpy")
    assert {by_number(array, 0.5).dtype for _ in range(2)} == {np.dtype(dtype)}
    compiled = tg.compile(lambda x: f(x, x.size), backend="numpy")
    for _ in range(2):
        result = compiled(array)
        assert result.dtype == f(x, 6).dtype
        np.testing.assert_array_equal(result, raw(f(x, 6)))
    rows = vmap(lambda row: f(row[None], row.size) * row.size(0))(x)
    np.testing.assert_array_equal(raw(rows), np.stack([raw(f(Tensor(row[None]), 3)) * 3 for row in array]))


@pytest.mark.parametrize(("real", "both"), [(np.float64, np.complex128), (np.float32, np.complex64)])
def test_a_view_of_pairs_as_complex_numbers_is_told_with_what_has_a_gradient(real: Any, both: Any) -> None:
    for shape in ((6,), (2, 4)):
        x = np.random.default_rng(0).normal(size=shape).astype(real)
        for array, kind, edit in (
            (x, both, "t[..., 0::2] + 1j * t[..., 1::2]"),
            (x.view(both), real, "np.stack([t.real, t.imag], -1).reshape(*t.shape[:-1], -1)"),
        ):
            with pytest.raises(TypeError, match=re.escape(f"write `{edit}`")):
                Tensor(array).view(kind)
            found = eval(edit, {"np": np, "t": Tensor(array)})
            assert found.dtype == kind
            np.testing.assert_array_equal(found.data, array.view(kind))
            slope = tg.grad(lambda t, edit=edit: (np.abs(eval(edit, {"np": np, "t": t})) ** 2).sum())(array)
            np.testing.assert_allclose(slope, tg.grad(lambda t: (np.abs(t) ** 2).sum())(array), rtol=1e-6)
    with pytest.raises(TypeError, match="for another dtype"):
        Tensor(np.ones(2, np.float32)).view(np.complex128)
