"""The differential operators against closed forms, against each other and against finite differences."""

import dataclasses
import math
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import (
    Tensor,
    checkpoint,
    custom_vjp,
    elementwise_grad,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    stop_gradient,
    value_and_grad,
    vjp,
)  # fmt: skip

# function, derivatives of order 1 to 4 in closed form, where
SMOOTH = {
    "exp": (np.exp, [np.exp] * 4, 0.3),
    "log": (np.log, [lambda x: 1 / x, lambda x: -(x**-2), lambda x: 2 * x**-3, lambda x: -6 * x**-4], 0.7),
    "sin": (np.sin, [np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin], 0.4),
    "power": (lambda x: x**5, [lambda x: 5 * x**4, lambda x: 20 * x**3, lambda x: 60 * x**2, lambda x: 120 * x], -1.3),
    "sqrt": (np.sqrt, [lambda x: 0.5 * x**-0.5, lambda x: -0.25 * x**-1.5, lambda x: 0.375 * x**-2.5,
                       lambda x: -0.9375 * x**-3.5], 1.7),
    "reciprocal": (lambda x: 1 / x, [lambda x: -(x**-2), lambda x: 2 * x**-3, lambda x: -6 * x**-4,
                                     lambda x: 24 * x**-5], -0.8),
    "tanh": (np.tanh, [lambda x: 1 - np.tanh(x) ** 2, lambda x: -2 * np.tanh(x) * (1 - np.tanh(x) ** 2),
                       lambda x: (6 * np.tanh(x) ** 2 - 2) * (1 - np.tanh(x) ** 2),
                       lambda x: (16 - 24 * np.tanh(x) ** 2) * np.tanh(x) * (1 - np.tanh(x) ** 2)], 0.6),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_derivatives_of_any_order(name: str, order: int) -> None:
    f, derivatives, x = SMOOTH[name]
    d = f
    for _ in range(order):
        d = grad(d)
    np.testing.assert_allclose(d(x), derivatives[order - 1](x), rtol=1e-13)
    d = f
    for _ in range(order):  # the same by forward mode, and by alternating the two
        d = (lambda inner: lambda x: jvp(inner, (x,), (1.0,))[1])(d)
    np.testing.assert_allclose(d(x), derivatives[order - 1](x), rtol=1e-13)


def network(p: dict[str, Any], x: Any) -> Any:
    return np.tanh(x @ p["W"] + p["b"])


@pytest.fixture
def p(rng: np.random.Generator) -> dict[str, Any]:
    return {"W": rng.normal(size=(3, 4)), "b": rng.normal(size=4)}


def test_jacobian_agrees_with_differences(rng: np.random.Generator, p: dict[str, Any]) -> None:
    x = rng.normal(size=(2, 3))
    J = jacobian(network)(p, x)
    assert J["W"].shape == (2, 4, 3, 4)
    assert J["b"].shape == (2, 4, 4)
    step = 1e-5  # truncation about step^2, rounding about 1e-16 / step: both below 1e-9
    for name in p:
        v = rng.normal(size=p[name].shape)
        moved = [network({**p, name: p[name] + s * step * v}, x) for s in (1, -1)]
        expected = (moved[0] - moved[1]) / (2 * step)
        np.testing.assert_allclose(np.tensordot(J[name], v, v.ndim), expected, rtol=1e-7, atol=1e-9)


def test_vjp_and_jvp_are_transposes(rng: np.random.Generator, p: dict[str, Any]) -> None:
    x = rng.normal(size=(2, 3))
    v = {k: rng.normal(size=w.shape) for k, w in p.items()}, rng.normal(size=x.shape)
    u = rng.normal(size=(2, 4))
    value, pull = vjp(network, p, x)
    same, push = jvp(network, (p, x), v)
    np.testing.assert_array_equal(value, same)
    gp, gx = pull(u)
    pulled = sum((gp[k] * v[0][k]).sum() for k in p) + (gx * v[1]).sum()
    np.testing.assert_allclose((u * push).sum(), pulled, rtol=1e-12)
    np.testing.assert_array_equal(pull(u)[1], gx)  # it can be called again


def test_vjp_of_several_results_in_containers(rng: np.random.Generator) -> None:
    x = rng.normal(size=3)
    value, pull = vjp(lambda x: {"s": np.sin(x), "rest": (x.sum(), [x * x])}, x)
    assert value["rest"][1][0].shape == (3,)
    (g,) = pull({"s": np.ones(3), "rest": (2.0, [x])})
    np.testing.assert_allclose(g, np.cos(x) + 2 + 2 * x * x, rtol=1e-13)
    with pytest.raises(ValueError, match=r"the cotangent of <lambda> needs the shape"):
        pull({"s": np.ones(2), "rest": (2.0, [x])})


def test_hessian_is_symmetric_and_agrees_with_hvp(rng: np.random.Generator) -> None:
    x, v = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))

    def f(x: Any) -> Any:
        return (np.tanh(x @ x.T) * np.exp(x.sum(axis=1))).sum()

    H = hessian(f)(x).reshape(6, 6)
    np.testing.assert_allclose(H, H.T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(hvp(f, (x,), v).ravel(), H @ v.ravel(), rtol=1e-12)
    step = 1e-5
    difference = (grad(f)(x + step * v) - grad(f)(x - step * v)) / (2 * step)
    np.testing.assert_allclose(hvp(f, (x,), v), difference, rtol=1e-6, atol=1e-8)


def test_elementwise_grad() -> None:
    x = np.linspace(-2, 2, 7)
    np.testing.assert_allclose(elementwise_grad(elementwise_grad(np.sin))(x), -np.sin(x), rtol=1e-13)
    np.testing.assert_allclose(elementwise_grad(np.power, 1)(3.0, x), 3.0**x * math.log(3), rtol=1e-13)


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclasses.dataclass
class Config:
    w: Any
    scale: float


def test_a_class_is_no_container_and_its_instances_are() -> None:
    assert tg.tree.flatten([Config, Config(1.0, 2.0)])[0] == [Config, 1.0, 2.0]


@pytest.mark.parametrize("name", ["y", "z"])
def test_an_argument_that_was_not_given_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"was called without an argument '{name}'"):
        tg.grad(lambda x, y=1.0: x * y, name)(2.0)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ((2.0, 3.0), (3.0, 2.0)),
        ([2.0, 3.0], [3.0, 2.0]),
        ({"x": 2.0, "y": 3.0}, {"x": 3.0, "y": 2.0}),
        (Pair(2.0, 3.0), Pair(3.0, 2.0)),
        (Config(2.0, 3.0), Config(3.0, 2.0)),
        ({"deep": [(2.0,), Pair(3.0, 0.0)]}, {"deep": [(3.0,), Pair(2.0, 0.0)]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_containers_come_back_as_they_went_in(argument: Any, expected: Any) -> None:
    def product(tree: Any) -> Any:
        leaves = tg.tree.flatten(tree)[0]
        return leaves[0] * leaves[1]

    found = grad(product)(argument)
    assert type(found) is type(expected)
    assert found == expected


def test_arguments_by_position_name_and_several() -> None:
    def f(x: Any, y: Any, *, z: Any = 1.0) -> Any:
        return x * y * y * z

    assert grad(f, 1)(2.0, 3.0) == 12
    assert grad(f, "y")(2.0, 3.0) == 12
    assert grad(f, "z")(2.0, 3.0, z=1.0) == 18
    assert grad(f, (0, "z"))(2.0, 3.0, z=2.0) == (18, 18)
    assert grad(f, -1)(2.0, 3.0) == 12
    with pytest.raises(ValueError, match="was called with 2 positional"):
        grad(f, 2)(2.0, 3.0)
    with pytest.raises(ValueError, match=r"without an argument 'w'; its parameters are \['x', 'y', 'z'\]"):
        grad(f, "w")(2.0, 3.0)


def test_aux_is_handed_on() -> None:
    gradient, aux = grad(lambda x: (x * x, "note"), has_aux=True)(3.0)
    assert (gradient, aux) == (6, "note")
    (value, aux), gradient = value_and_grad(lambda x: (x * x, {"n": 1}), has_aux=True)(3.0)
    assert (value, aux, gradient) == (9, {"n": 1}, 6)


def test_aux_consists_of_arrays_unless_an_outer_transform_needs_its_graph() -> None:
    def f(x: Any) -> Any:
        return (x * x).sum(), {"input": x, "twice": [2 * x, None], "note": "text"}

    x = np.array([1.0, 2.0])
    gradient, aux = grad(f, has_aux=True)(x)
    assert [type(part) for part in (gradient, aux["input"], aux["twice"][0])] == [np.ndarray] * 3
    assert np.array_equal(aux["twice"][0], 2 * x)
    assert aux["note"] == "text"
    aux["input"][:] = aux["twice"][0][:] = 7.0  # copies, which the caller may change
    assert np.array_equal(x, [1.0, 2.0])
    np.testing.assert_array_equal(grad(lambda x: (grad(f, has_aux=True)(x)[1]["twice"][0] * x).sum())(x), 4 * x)
    each = tg.vmap(lambda x: grad(f, has_aux=True)(x)[1]["twice"][0])(x[:, None])
    np.testing.assert_array_equal(each, 2 * x[:, None])


def test_nested_derivatives_are_not_confused() -> None:
    assert grad(lambda x: x * grad(lambda y: x + y)(2.0))(1.0) == 1  # Siskind & Pearlmutter (2005)
    assert grad(lambda x: x * grad(lambda y: x * y)(2.0))(3.0) == 6
    assert grad(lambda x: vjp(lambda y: y * y * x, 3.0)[1](1.0)[0] * x)(2.0) == 24
    value, slope = jvp(lambda x: jvp(lambda y: y**3 * x, (x,), (1.0,))[1], (2.0,), (1.0,))
    assert (value, slope) == (24, 36)
    assert grad(lambda x: jvp(lambda y: y**3 * x, (x,), (1.0,))[1])(2.0) == 36


def test_mixed_derivative_survives_a_factor_that_is_zero_by_chance() -> None:
    mixed = grad(lambda w: grad(lambda x: w * np.log(x))(2.0))
    assert mixed(0.0) == 0.5
    assert grad(lambda w: grad(lambda x: w * np.sqrt(x))(4.0))(0.0) == 0.25
    assert grad(lambda w: grad(lambda x: w * x**2)(-1.0))(0.0) == -2
    assert grad(lambda w: grad(lambda x: w / x)(2.0))(0.0) == -0.25


def test_closing_over_a_tensor_keeps_the_result_differentiable() -> None:
    w = Tensor(3.0)
    slope = grad(lambda x: x * w * w)(2.0)
    assert isinstance(slope, Tensor)
    slope.backward()
    assert w.grad == 6
    with tg.no_grad():
        assert grad(lambda x: x * x)(2.0) == 4


def test_functions_that_cannot_be_differentiated_raise() -> None:
    with pytest.raises(TypeError, match="dtype int64"):
        grad(lambda x: x * x)(2)
    for f, what in ((lambda x: None, "None"), (lambda x: [x], "a list"), (str, "a str"), (lambda x: {1}, "a set")):
        for transform in (grad, tg.value_and_grad, tg.elementwise_grad):
            with pytest.raises(TypeError, match=f"returned {what}, which has no derivative; return a Tensor"):
                transform(f)(2.0)
    with pytest.raises(ValueError, match=r"shape \(2,\); a gradient needs one number"):
        grad(lambda x: x * x)(np.ones(2))
    with pytest.raises(ValueError, match="the tangents need the shapes"):
        jvp(np.sin, (np.ones(2),), (np.ones(3),))


PAIR = {"a": np.array(2.0), "b": np.array(3.0)}
TURNED = {"b": np.array(10.0), "a": np.array(1.0)}


def product_of_pair(p: Any) -> Any:
    return p["a"] ** 2 * p["b"]


def pair_of_pair(p: Any) -> Any:
    return {"x": p["a"], "y": 2 * p["b"]}


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (lambda: jvp(product_of_pair, (PAIR,), (TURNED,))[1], 52.0),
        (lambda: hvp(product_of_pair, (PAIR,), TURNED), {"a": 46.0, "b": 4.0}),
        (lambda: vjp(pair_of_pair, PAIR)[1]({"y": np.array(1.0), "x": np.array(5.0)})[0], {"a": 5.0, "b": 2.0}),
    ],
)
def test_directions_belong_to_arguments_by_key(call: Callable[[], Any], right: Any) -> None:
    assert call() == right


TUPLE, SAME = "with an entry for each argument; it got", "; give the same containers."
KEYS = f"where args has a dict with a, b{SAME}"
JVP, VALUE, REAL = "Write jvp(f, (x,), (v,)).", "where its value has", "take np.real of them."


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: jvp(product_of_pair, (PAIR,), ({"a": 1.0, "c": 1.0},)), ValueError,
         f"tangents has a dict with a, c {KEYS}"),
        (lambda: jvp(product_of_pair, (PAIR,), ({"a": 1.0},)), ValueError, f"tangents has a dict with a {KEYS}"),
        (lambda: jvp(product_of_pair, (PAIR,), (None,)), ValueError, f"tangents has None {KEYS}"),
        (lambda: jvp(np.sin, (1.0,), (1.0, 2.0)), ValueError,
         f"tangents has a list with 0, 1 where args has a list with 0{SAME}"),
        (lambda: jvp(np.sin, np.ones(2), np.ones(2)), TypeError,
         f"jvp needs a tuple for args, {TUPLE} one array. {JVP}"),
        (lambda: jvp(product_of_pair, (PAIR,), PAIR), TypeError,
         f"jvp needs a tuple for tangents, {TUPLE} a dict with a, b. {JVP}"),
        (lambda: hvp(np.sum, np.ones(2), np.ones(2)), TypeError,
         f"hvp needs a tuple for args, {TUPLE} one array. Write hvp(f, (x,), v)."),
        (lambda: hvp(np.sum, (), 1.0), ValueError,
         "hvp takes the Hessian with respect to the first argument; args is empty."),
        (lambda: hvp(product_of_pair, (PAIR,), 1.0), ValueError,
         f"the direction has one float where the first argument has a dict with a, b{SAME}"),
        (lambda: vjp(pair_of_pair, PAIR)[1]((1.0, 2.0)), ValueError,
         f"the cotangent of pair_of_pair has a tuple with 0, 1 {VALUE} a dict with x, y{SAME}"),
        (lambda: vjp(np.sin, 1.0)[1]({}), ValueError,
         f"the cotangent of sin has an empty dict {VALUE} one array{SAME}"),
        (lambda: vjp(np.sin, 1.0)[1](None), ValueError, f"the cotangent of sin has None {VALUE} one array{SAME}"),
        (lambda: vjp(np.sin, 1.0)[1](1j), TypeError,
         f"the cotangent of sin has complex numbers {VALUE} real ones; {REAL}"),
        (lambda: jvp(np.sin, (np.ones(2),), (Tensor([1j, 0]),)), TypeError,
         f"tangents has complex numbers where args has real ones; {REAL}"),
        (lambda: jvp(np.sin, (1.0,), ("1",)), TypeError,
         "tangents has one str where args has numbers; give numbers."),
        (lambda: hvp(np.sum, (1.0,), 1j), TypeError,
         f"the direction has complex numbers where the first argument has real ones; {REAL}"),
    ],
)  # fmt: skip
def test_directions_in_other_containers_are_refused(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


def test_independent_arguments_have_zero_gradients() -> None:
    gx, gy = grad(lambda x, y: (x * x).sum(), (0, 1))(np.ones(2), np.ones((3, 1)))
    np.testing.assert_array_equal(gx, [2, 2])
    np.testing.assert_array_equal(gy, np.zeros((3, 1)))
    assert gx is not gy


CONSTANT = {
    "a number": lambda x: 3.0,
    "an integer": lambda x: 3,
    "a truth": lambda x: True,
    "a NumPy scalar": lambda x: np.float32(3),
    "an array": lambda x: np.array(3.0),
    "a constant Tensor": lambda x: Tensor(3.0, requires_grad=False),
    "a Tensor of integers": lambda x: Tensor(3),
    "another leaf": lambda x: Tensor(3.0),
    "the bare data": lambda x: x.data.sum(),
    "an item": lambda x: x.sum().item(),
    "detached": lambda x: x.detach().sum(),
    "stopped": lambda x: tg.stop_gradient(x).sum(),
    "a comparison": lambda x: (x > 0).all(),
    "a place": np.argmax,
    "a shape": lambda x: x.shape[0] if x.ndim else 1,
    "cast": lambda x: x.astype(int).sum(),
    "sign": lambda x: np.sign(x).sum(),
    "floor": lambda x: np.floor(x).sum(),
    "round": lambda x: np.round(x, 1).sum(),
    "ceil, trunc and rint": lambda x: (np.ceil(x) + np.trunc(x) + np.rint(x)).sum(),
    "floor_divide": lambda x: (x // 0.3).sum(),
    "order 0": lambda x: np.linalg.norm(np.reshape(x, -1), 0),
    "no matter what": lambda x: (0 * x).sum(),
    "another argument": lambda x: np.zeros_like(x).sum(),
}
POINTS = (np.array(1.5), np.array([0.5, -1.5]), np.array([[1.0, 2.0]], dtype=np.float32), np.ones((0, 2)) + 1)


@pytest.mark.parametrize("what", CONSTANT)
@pytest.mark.parametrize("x", POINTS, ids=lambda x: f"{x.dtype}{x.shape}")
def test_what_depends_on_no_argument_has_the_derivative_zero_in_every_transform(what: str, x: np.ndarray) -> None:
    f, n = CONSTANT[what], x.shape
    if x.size == 0 and what == "a place":
        return
    v = np.ones_like(x)
    value = f(x) if what not in ("an item", "detached", "the bare data") else x.sum()

    def zero(found: Any, shape: tuple[int, ...]) -> None:
        assert type(found) in (np.ndarray, np.float32, np.float64), type(found)
        assert (found.shape, found.dtype) == (shape, x.dtype)
        assert not found.any()

    zero(grad(f)(x), n)
    zero(grad(lambda x: np.sum(grad(f)(x)))(x), n)
    zero(grad(lambda x: np.sum(grad(lambda x: np.sum(grad(f)(x)))(x)))(x), n)
    zero(grad(lambda x: grad(f)(x).dot(np.ones((n or (1,))[-1])).sum())(x), n)  # a Tensor inside: it takes any method
    zero(tg.value_and_grad(f)(x)[1], n)
    zero(tg.elementwise_grad(f)(x), n)
    zero(hvp(f, (x,), v), n)
    zero(hessian(f)(x), n + n)
    zero(jacobian(f)(x), np.shape(value) + n)
    zero(tg.vjp(f, x)[1](np.ones(np.shape(value)))[0], n)
    zero(tg.vjp(grad(f), x)[1](v)[0], n)
    zero(jvp(grad(f), (x,), (v,))[1], n)
    derivative = jvp(f, (x,), (v,))[1]
    assert (derivative.shape, not derivative.any()) == (np.shape(value), True)
    assert derivative.dtype.kind == "f"


def test_a_value_that_is_not_used_has_second_derivatives_of_zero() -> None:
    x = np.array([1.0, 2.0])
    H = hessian(lambda p: (p["a"] ** 2).sum())({"a": x, "b": np.float32([3, 4, 5])})
    np.testing.assert_array_equal(H["a"]["a"], 2 * np.eye(2))
    for block, shape, dtype in ((H["a"]["b"], (2, 3), float), (H["b"]["a"], (3, 2), float)):
        np.testing.assert_array_equal(block, np.zeros(shape))
        assert block.dtype == (np.float32 if block is H["a"]["b"] else dtype)
    np.testing.assert_array_equal(H["b"]["b"], np.zeros((3, 3)))
    assert grad(grad(np.sign))(1.0) == 0
    assert grad(grad(lambda x: np.sign(x) * x**3))(2.0) == 12
    assert tg.value_and_grad(lambda x: 3)(1.0) == (3, 0.0)
    product = jacobian(lambda x: [x * 2, 5.0, np.arange(3)])(x)
    assert [block.shape for block in product] == [(2, 2), (2,), (3, 2)]
    with pytest.raises(RuntimeError, match="a constant"):  # backward() is a statement about this very result
        Tensor(3).backward()


def test_results_do_not_share_memory() -> None:
    x = np.ones(3)
    a, b = grad(lambda x, y: (x + y).sum(), (0, 1))(x, x)
    a += 1
    np.testing.assert_array_equal(b, np.ones(3))


def test_stop_gradient() -> None:
    assert grad(lambda x: x * stop_gradient(x))(3.0) == 3
    assert grad(lambda p: stop_gradient(p)["a"] * p["b"])({"a": 2.0, "b": 5.0}) == {"a": 0, "b": 2}


def test_custom_vjp_to_second_order_and_with_several_arguments() -> None:
    double = custom_vjp(lambda x, y, k=1: k * x * y, lambda g, out, x, y, k=1: (k * g * y, k * g * x))
    assert grad(double, (0, 1))(2.0, 3.0) == (3, 2)
    assert grad(lambda x: double(x, x, k=4))(3.0) == 24
    assert grad(grad(lambda x: double(x, x, k=4)))(3.0) == 8
    wrong = custom_vjp(lambda x, y: x * y, lambda g, out, x, y: g)
    with pytest.raises(ValueError, match="returned 1 gradient for 2 arguments"):
        grad(wrong)(2.0, 3.0)
    clipped = custom_vjp(lambda x: x * x, lambda g, out, x: (np.clip(2 * g * x, -1, 1),))
    assert grad(clipped)(3.0) == 1


def test_checkpoint_gives_the_same_gradients_including_captured_tensors(rng: np.random.Generator) -> None:
    W = Tensor(rng.normal(size=(3, 3)), name="W")
    calls = []

    def f(p: Any, scale: float) -> Any:
        calls.append(1)
        return np.tanh(p["x"] @ W * scale) @ W + p["y"]

    p = {"x": rng.normal(size=(2, 3)), "y": rng.normal(size=3)}

    def through(g: Any) -> Any:
        W.grad = None
        x = {k: Tensor(v) for k, v in p.items()}
        (g(x, 0.7) ** 2).sum().backward()
        return x["x"].grad, x["y"].grad, W.grad

    plain = through(f)
    assert len(calls) == 1
    kept = through(checkpoint(f))
    assert len(calls) == 3
    for a, b in zip(plain, kept, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_checkpoint_of_constants_has_gradients_of_closed_over_tensors() -> None:
    w, v = Tensor([1.0, 2.0]), Tensor(3.0)
    for arguments in ((), (2.0,), ([2.0], {"a": np.ones(2)}), (Tensor([1, 2]),), (w.detach(),)):
        w.grad = v.grad = None
        out = checkpoint(lambda *_: np.sin(w * w) * v + w)(*arguments)
        assert [node.primitive for node in tg.backward.ancestors([out.node])][1:] == [None, None]
        out.sum().backward()
        np.testing.assert_allclose(w.grad, 6 * w.data * np.cos(w.data**2) + 1, rtol=1e-14)
        np.testing.assert_allclose(v.grad, np.sin(w.data**2).sum(), rtol=1e-14)
    assert checkpoint(lambda x: x * 2)(Tensor(1.0, requires_grad=False)).node is None


def test_checkpoint_of_a_function_that_returns_an_existing_tensor() -> None:
    for f in (lambda x, w, y: w, lambda x, w, y: x, lambda x, w, y: y, lambda x, w, y: y + 0.0):
        x, w = Tensor(2.0), Tensor(3.0)
        y = w * w
        checkpoint(lambda x: f(x, w, y))(x).backward()  # noqa: B023
        leaves = Tensor(2.0), Tensor(3.0)
        f(*leaves, leaves[1] * leaves[1]).backward()
        assert [t.grad or 0.0 for t in (x, w)] == [t.grad or 0.0 for t in leaves]


def through_matrix(W: Any, x: Any) -> Any:
    return np.abs(W @ (x * x)) ** 2


@pytest.mark.parametrize("imaginary", [0.0, 1.0], ids=["real", "complex"])
@pytest.mark.parametrize(
    "derivative",
    [
        lambda f, W, x: grad(lambda x: f(W, x).sum())(x),
        lambda f, W, x: grad(lambda W: f(W, x).sum())(W),
        lambda f, W, x: vjp(f, W, x)[1](np.array([1.0, 2.0])),
        lambda f, W, x: jvp(f, (W, x), (x * W, 2 * x)),
        lambda f, W, x: grad(lambda x: np.abs(grad(lambda x: f(W, x).sum())(x)).sum())(x),
        lambda f, W, x: grad(lambda a: (f(a * W, x) + a).sum())(0.5),
        lambda f, W, x: tg.vmap(lambda s: value_and_grad(lambda x: f(W, s * x).sum())(x))(np.arange(3.0)),
        lambda f, W, x: grad(lambda x: tg.vmap(lambda s: f(W, s * x))(np.arange(3.0)).sum())(x),
        lambda f, W, x: grad(lambda W: tg.vmap(lambda s: f(W, s * x))(np.arange(3.0)).sum())(W),
        lambda f, W, x: tg.vmap(lambda s: tg.vmap(lambda r: value_and_grad(lambda W: f(W, r * s * x).sum())(W))(x))(x),
        lambda f, W, x: tg.vmap(lambda x: f(W, x), out_axes=1)(np.stack([x, 2 * x])),
        lambda f, W, x: tg.vmap(lambda s: f(W, x), out_axes=None)(x),
        lambda f, W, x: f(W, x),
    ],
)
def test_checkpoint_changes_no_derivative(derivative: Any, imaginary: float, rng: np.random.Generator) -> None:
    W, x = (rng.normal(size=s) + 1j * imaginary * rng.normal(size=s) for s in ((2, 3), 3))
    W, x = (W, x) if imaginary else (W.real, x.real)
    found, right = (tg.tree.flatten(derivative(f, W, x))[0] for f in (checkpoint(through_matrix), through_matrix))
    for a, b in zip(found, right, strict=True):
        assert type(a) is type(b)
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)


def several(p: dict[str, Any], x: Any) -> Any:
    h = np.sin(p["W"] @ x)
    return {"h": h, "rest": [np.argmax(x), (x * p["b"], None), 1j * h[0], 2.0]}


@pytest.mark.parametrize(
    "derivative",
    [
        lambda f, p, x: f(p, x),
        lambda f, p, x: vjp(f, p, x)[1](f(p, x)),
        lambda f, p, x: jvp(f, (p, x), (p, x)),
        lambda f, p, x: jacobian(lambda x: f(p, x)["rest"][1][0])(x),
        lambda f, p, x: grad(lambda x: grad(lambda p: (f(p, x)["h"] ** 2).sum())(p)["W"].sum())(x),
        lambda f, p, x: tg.vmap(f, (None, 0))(p, np.stack([x, 2 * x])),
        lambda f, p, x: tg.vmap(lambda x: jvp(f, (p, x), (p, x)))(np.stack([x, 2 * x])),
        lambda f, p, x: grad(lambda x: tg.scan(lambda c, s: f(p, c * s)["rest"][1][:1] * 2, x, x)[1].sum())(x),
    ],
)
def test_checkpoint_of_several_results(derivative: Any, rng: np.random.Generator) -> None:
    p, x = {"W": rng.normal(size=(3, 3)), "b": rng.normal(size=3)}, rng.normal(size=3)
    found, right = (derivative(f, p, x) for f in (checkpoint(several), several))
    assert tg.tree.containers(found) == tg.tree.containers(right)
    for a, b in zip(*(tg.tree.flatten(tree)[0] for tree in (found, right)), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-14)


def test_checkpoint_with_closed_over_values_that_differ_by_sample() -> None:
    s, x = np.array([1.0, 2.0, 3.0]), Tensor([0.5, 1.5])
    made = tg.vmap(lambda s: checkpoint(lambda x: np.sin(s * x).sum())(x))(s)
    np.testing.assert_array_equal(made.data, np.sin(s[:, None] * x.data).sum(axis=1))
    made.sum().backward()
    np.testing.assert_allclose(x.grad, (s[:, None] * np.cos(s[:, None] * x.data)).sum(axis=0), rtol=1e-14)


def test_checkpoint_of_arrays_and_constants() -> None:
    assert type(checkpoint(np.sin)(np.ones(2))) is np.ndarray
    assert grad(lambda x: x * checkpoint(lambda x: 3.0)(x))(2.0) == 3.0
    assert checkpoint(lambda x: (x, 2**60 + 1, np.array(2**60 + 1)))(Tensor(1.0))[1:] == (2**60 + 1, 2**60 + 1)
    for result, got in (("note", "one str"), ((1.0, "note"), "one str"), (None, "None")):
        with pytest.raises(TypeError, match=f"^checkpoint needs a function returning arrays; lambda returned {got}"):
            checkpoint(lambda x: result)(Tensor(1.0))  # noqa: B023


def test_checkpoint_can_be_differentiated_twice(rng: np.random.Generator) -> None:
    x = rng.normal(size=4)

    def f(x: Any) -> Any:
        return np.exp(np.sin(x)).sum()

    np.testing.assert_allclose(hessian(checkpoint(f))(x), hessian(f)(x), rtol=1e-12)


def test_checkpoint_drops_intermediate_results(rng: np.random.Generator) -> None:
    def deep(x: Any) -> Any:
        for _ in range(50):
            x = np.sin(x)
        return x

    x = Tensor(rng.normal(size=3))
    assert len(tg.backward.ancestors([checkpoint(deep)(x).node])) == 2
    assert len(tg.backward.ancestors([deep(x).node])) == 51


# -- complex numbers: the convention of PyTorch, dL/dRe + i dL/dIm

COMPLEX = {
    "square": (lambda z: (z * z).real.sum(), lambda z: 2 * z.conj()),
    "modulus squared": (lambda z: (z * z.conj()).real.sum(), lambda z: 2 * z),
    "abs": (lambda z: np.abs(z).sum(), lambda z: z / np.abs(z)),
    "imaginary part": (lambda z: z.imag.sum(), lambda z: np.full_like(z, 1j)),
    "exp": (lambda z: np.exp(z).real.sum(), lambda z: np.exp(z).conj()),
    "real argument inside": (lambda z: (np.exp(1j * z.real)).imag.sum(), lambda z: np.cos(z.real) + 0j),
}


@pytest.mark.parametrize("narrow", [np.float32, np.complex64, np.float64])
def test_gradients_have_the_dtype_of_their_argument_among_wider_ones(narrow: Any) -> None:
    data = np.array([1.5 + 2j, -0.5 + 1j])
    x = Tensor(data.astype(narrow) if np.dtype(narrow).kind == "c" else data.real.astype(narrow))
    y = Tensor(np.array([3 - 1j, 2 + 0.5j]))
    (x * y).real.sum().backward()
    assert x.grad.dtype == narrow
    assert y.grad.dtype == np.complex128
    wanted = np.conj(y.data)
    np.testing.assert_allclose(x.grad, wanted if np.dtype(narrow).kind == "c" else wanted.real, rtol=1e-6)
    np.testing.assert_allclose(y.grad, np.conj(x.data), rtol=1e-14)


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_gradients(name: str, rng: np.random.Generator) -> None:
    f, expected = COMPLEX[name]
    z = rng.normal(size=3) + 1j * rng.normal(size=3)
    np.testing.assert_allclose(grad(f)(z), expected(z), rtol=1e-13)
    step = 1e-6
    for i in range(3):  # by differences along the two axes
        e = np.zeros(3, dtype=complex)
        e[i] = step
        slope = complex(*((f(z + d) - f(z - d)) / (2 * step) for d in (e, 1j * e)))
        np.testing.assert_allclose(grad(f)(z)[i], slope, rtol=1e-8, atol=1e-9)


def test_jacobian_of_a_holomorphic_function(rng: np.random.Generator) -> None:
    z = rng.normal(size=3) + 1j * rng.normal(size=3)
    np.testing.assert_allclose(jacobian(lambda z: z * z)(z), np.diag(2 * z), rtol=1e-13)
    push = jvp(lambda z: z * z, (z,), (z,))[1]
    np.testing.assert_allclose(push, 2 * z * z, rtol=1e-13)


def spiral(x: Any) -> Any:
    return np.exp(1j * x) * x[0]


OF_REAL = {
    "few results": lambda x: np.sum(np.exp(1j * x)),
    "as many results": spiral,
    "many results": lambda x: np.stack([spiral(x), x + 0j, spiral(x)[::-1]]),
    "fft": np.fft.fft,
    "a real result inside": lambda x: np.abs(np.fft.rfft(x)) + 1j * x[0],
}


@pytest.mark.parametrize("name", OF_REAL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_complex_results_of_real_arguments_have_a_complex_jacobian(
    name: str, dtype: Any, rng: np.random.Generator
) -> None:
    f, X = OF_REAL[name], rng.normal(size=(2, 3)).astype(dtype)
    x = X[0].astype(float)
    step = 1e-5
    columns = [(f(x + d) - f(x - d)) / (2 * step) for d in step * np.eye(3)]
    near = {"rtol": 1e-5, "atol": 1e-5} if dtype is np.float32 else {"rtol": 1e-8, "atol": 1e-9}
    J = jacobian(f)(X[0])
    assert J.dtype == np.result_type(dtype, np.complex64)
    np.testing.assert_allclose(J, np.stack(columns, axis=-1), **near)
    np.testing.assert_allclose(tg.autograd.jacobian(f)(X[0]), J, **near)
    np.testing.assert_allclose(tg.vmap(jacobian(f))(X), [jacobian(f)(row) for row in X], **near)
    np.testing.assert_allclose(tg.compile(jacobian(f))(X[0]), J, **near)
    curved = jacobian(jacobian(f))(x)
    columns = [(jacobian(f)(x + d) - jacobian(f)(x - d)) / (2 * step) for d in step * np.eye(3)]
    np.testing.assert_allclose(curved, np.stack(columns, axis=-1), rtol=1e-8, atol=1e-8)
    v = rng.normal(size=J.shape) + 1j * rng.normal(size=J.shape)  # the gradient of a function of the Jacobian
    pulled = grad(lambda x: np.real(np.sum(v * jacobian(f)(x))))(x)
    np.testing.assert_allclose(pulled, np.real(np.tensordot(v, curved, v.ndim)), rtol=1e-10)


def test_real_and_complex_arguments_and_results_beside_each_other(rng: np.random.Generator) -> None:
    x, z = rng.normal(size=2), rng.normal(size=2) + 1j * rng.normal(size=2)
    f = lambda p, y: {"c": p["x"] * p["z"] * y, "r": p["x"] * y}
    Jp, Jy = jacobian(f, (0, 1))({"x": x, "z": z}, 2.0)["c"]
    np.testing.assert_allclose(Jp["x"], np.diag(2 * z), rtol=1e-14)
    np.testing.assert_allclose(Jp["z"], np.diag(2 * x), rtol=1e-14)
    np.testing.assert_allclose(Jy, x * z, rtol=1e-14)
    Jp, Jy = jacobian(f, (0, 1))({"x": x, "z": z}, 2.0)["r"]
    assert [a.dtype.kind for a in (Jp["x"], Jp["z"], Jy)] == ["f", "c", "f"]
    np.testing.assert_array_equal(Jp["z"], 0)
    stacked = jacobian(lambda a, b: a * np.exp(1j * b), (0, 1), stack=True)(x, x)
    np.testing.assert_allclose(stacked[..., 1], np.diag(1j * x * np.exp(1j * x)), rtol=1e-14)


def test_an_infinite_imaginary_part_leaves_the_real_part_alone() -> None:
    with np.errstate(divide="ignore"):
        J = jacobian(lambda x: np.stack([1j * np.sqrt(x[0]) + x[1]]))(np.array([0.0, 1.0]))
    np.testing.assert_array_equal(J.real, [[0.0, 1.0]])
    np.testing.assert_array_equal(J.imag, [[np.inf, 0.0]])


NO_COMPLEX_DERIVATIVE = {
    "conj": np.conj,
    "abs": np.abs,
    "real part": np.real,
    "one number": lambda z: np.sum(np.abs(z) ** 4),
    "zero along the real axis": lambda z: z - np.conj(z),
    "tiny": lambda z: 1e-20 * np.conj(z) * z,
    "tiny beside huge": lambda z: np.stack([1e20 * z[0], 1e-10 * np.conj(z[1])]),
    "small beside a holomorphic part": lambda z: np.exp(z) + 2e-3 * np.conj(z),
    "a constant beside it": lambda z: np.concatenate([np.ones(2) * 1e9, np.conj(z)]),
}


@pytest.mark.parametrize("name", NO_COMPLEX_DERIVATIVE)
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_a_function_that_is_not_holomorphic_has_no_complex_jacobian(name: str, dtype: Any) -> None:
    f, z = NO_COMPLEX_DERIVATIVE[name], np.array([[1 + 2j, -0.5 + 0.3j], [0.2 - 1j, 1j]], dtype)
    closed = lambda c: tg.vmap(jacobian(lambda x: f(x) * c))(z)
    for call in (lambda: jacobian(f)(z[0]), lambda: tg.vmap(jacobian(f))(z), lambda: tg.vmap(closed)(np.array([1, 2]))):
        with pytest.raises(ValueError, match=r"is not holomorphic at these complex arguments: .* write jvp\(f, \(z,\)"):
            call()
    big = dtype(1e16)
    with pytest.raises(ValueError, match="is not holomorphic"):
        jacobian(lambda x: f(x / big))(z[0] * big)
    a, b = z[0].real, z[0].imag  # what the message tells to write
    Ja, Jb = jacobian(lambda a, b: f(a + 1j * b), (0, 1))(a, b)
    v = np.array([0.3 - 1j, 2 + 0.5j], dtype)
    near = {"rtol": 1e-4 if dtype is np.complex64 else 1e-12}
    np.testing.assert_allclose(Ja @ v.real + Jb @ v.imag, jvp(f, (z[0],), (v,))[1], **near)


def softmax(z: Any) -> Any:
    return np.exp(z) / np.sum(np.exp(z))


HILBERT = 1 / (np.arange(9)[:, None] + np.arange(9) + 1)


def long_chain(z: Any) -> Any:
    for _ in range(300):
        z = z * np.exp(0.03j * z)
    return z


HOLOMORPHIC = {
    "a long chain": long_chain,
    "an ill-conditioned system": lambda z: np.linalg.solve(HILBERT + 0 * z[0], np.ones(9) * z[1] + z[0]),
    "exp": np.exp,
    "inverse": lambda z: np.linalg.inv(np.outer(z, z) + np.diag(z)),
    "inverse of a matrix near singular": lambda z: np.linalg.inv(np.outer(z, z) + 1e-9 * np.eye(2)),
    "from its parts": lambda z: np.real(z * z) + 1j * np.imag(z * z),
    "a constant": lambda z: np.abs(z) / np.sqrt(np.real(z * np.conj(z))),
    "a constant sum": lambda z: np.sum(softmax(z)),
    "the logarithm of 1": lambda z: np.log(np.sum(softmax(z))),
    "wide": lambda z: np.exp(40 * z),
    "infinite": lambda z: np.sqrt(z - z[0]),
    "nothing": lambda z: z[:0],
    "a large convolution": lambda z: np.convolve(np.exp(z), np.arange(500.0)),
}


@pytest.mark.parametrize("name", HOLOMORPHIC)
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_rounding_makes_no_holomorphic_function_another(name: str, dtype: Any) -> None:
    f, z = HOLOMORPHIC[name], np.array([1 + 2j, -0.5 + 0.3j], dtype)
    with np.errstate(all="ignore"):
        J = jacobian(f)(z)
        assert J.dtype == dtype
        samples = np.stack([z, z * (1 - 0.5j)])
        np.testing.assert_array_equal(tg.vmap(jacobian(f))(samples)[0].shape, J.shape)
        v = np.array([0.3 - 1j, 2 + 0.5j], dtype)
        moved, size = jvp(f, (z,), (v,))[1], np.abs(J) @ np.abs(v)
    if name not in {"inverse of a matrix near singular", "an ill-conditioned system", "infinite"}:
        assert np.all(np.abs(J @ v - moved) <= (1e-3 if dtype is np.complex64 else 1e-9) * (size + 1e-3))


def test_compiled_code_does_not_judge_and_is_right_for_holomorphic_functions() -> None:
    z = np.array([1 + 2j, -0.5 + 0.3j])
    np.testing.assert_allclose(tg.compile(jacobian(np.exp))(z), np.diag(np.exp(z)), rtol=1e-14)
    np.testing.assert_array_equal(tg.compile(jacobian(np.conj))(z), np.eye(2))


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_second_derivatives_of_a_real_loss_of_complex_numbers(dtype: Any, rng: np.random.Generator) -> None:
    z, u = (np.array(rng.normal(size=3) + 1j * rng.normal(size=3), dtype) for _ in range(2))
    square, fourth = (lambda z: np.sum(np.abs(z) ** 2)), (lambda z: np.sum(np.abs(z) ** 4) + np.real(z[0] * z[1]))
    near = {"rtol": 1e-4 if dtype is np.complex64 else 1e-13}
    np.testing.assert_allclose(hessian(square)(z), 2 * np.eye(3), **near)
    with pytest.raises(ValueError, match=r"^grad\(<lambda>\) is not holomorphic .* write jvp\(grad\(f\), \(z,\)"):
        hessian(fourth)(z)
    for f in (square, fourth):
        found = hvp(f, (z,), u)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, jvp(grad(f), (z,), (u,))[1], **near)
        np.testing.assert_allclose(tg.compile(lambda z, u: hvp(f, (z,), u))(z, u), found, **near)  # noqa: B023
        Z, U = np.stack([z, 2 * z]), np.stack([u, u])
        np.testing.assert_allclose(tg.vmap(hvp(f))(Z, U)[1], hvp(f, (2 * z,), u), **near)
    z, u, step = z.astype(complex), u.astype(complex), 1e-5
    moved = (grad(fourth)(z + step * u) - grad(fourth)(z - step * u)) / (2 * step)
    np.testing.assert_allclose(hvp(fourth, (z,), u), moved, rtol=1e-6)
    mixed = lambda p: np.sum(np.abs(p["z"]) ** 4 * p["x"] ** 2)
    p, v = {"z": z, "x": np.arange(1.0, 4.0)}, {"z": u, "x": np.ones(3)}
    found, wanted = hvp(mixed, (p,), v), jvp(grad(mixed), (p,), (v,))[1]
    for name in p:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12)


def test_none_and_the_kinds_of_dicts_stay_in_their_places() -> None:
    x = np.array([1.0, 2.0])
    tree = OrderedDict(a=x, none=None, rest=[None, {}, (2.0 * x,)])
    found = grad(lambda d: (d["a"] ** 2).sum() + d["rest"][2][0].sum())(tree)
    assert type(found) is OrderedDict
    assert found["none"] is None
    assert found["rest"][:2] == [None, {}]
    np.testing.assert_array_equal(found["a"], 2 * x)
    with pytest.raises(TypeError, match="returned None"):
        vjp(lambda x: None, x)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: grad(lambda a: (a * a).sum(), (0, 0))(x), ValueError, "names an argument of <lambda> twice"),
        (lambda x: grad(lambda a: (a * a).sum(), ("a", 0))(x), ValueError, "names an argument of <lambda> twice"),
        (lambda x: hvp(lambda a: (a**3).sum(), (x,), np.ones((2, 2))), ValueError, "the direction needs the shapes"),
        (lambda x: grad(lambda a: (a * 1j).sum())(x), TypeError, "returned a complex number; a gradient needs a real"),
        (lambda x: grad(np.sum, has_aux=True)(x), TypeError,
         r"^with has_aux=True f returns a pair; sum returned one array. Return \(number, aux\), or leave has_aux out"),
        (lambda x: grad(lambda a: (a, 1, 2), has_aux=True)(1.0), TypeError, "<lambda> returned a tuple with 0, 1, 2"),
        (lambda x: grad(np.sum, None)(x), TypeError,
         "^argnums=None; give the position or name of an argument, or a tuple of them.$"),
        (lambda x: jacobian(np.multiply, (0, 1), stack=True)(x, 1.0), ValueError,
         r"^stack=True needs arguments of one shape; they have \(\) and \(2,\). Leave stack out"),
    ],
)  # fmt: skip
def test_what_would_give_a_wrong_gradient_in_silence_is_refused(
    call: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call(np.array([1.0, 2.0]))


def test_jacobian_of_nothing_and_numpy_integers_as_positions() -> None:
    x = np.array([1.0, 2.0])
    assert jacobian(lambda a: a[:0])(x).shape == (0, 2)
    np.testing.assert_array_equal(grad(lambda a, b: (a * b).sum(), np.int64(1))(x, x), x)


def test_the_value_beside_a_constant_gradient_is_differentiated() -> None:
    def outer(x: Any) -> Any:
        value, slope = value_and_grad(lambda y: 3.0 * y)(x * x)  # the gradient is the number 3, with no graph
        return value * slope

    assert grad(outer)(2.0) == 36.0
    assert grad(grad(outer))(2.0) == 18.0


def test_a_gradient_is_that_under_no_grad_too() -> None:
    with tg.no_grad():
        assert grad(lambda x: x * x)(Tensor(2.0)) == grad(lambda x: x * x)(2.0) == 4.0


def test_a_function_of_no_arrays_has_no_derivatives() -> None:
    def constant(nothing: Any) -> Any:
        return Tensor(np.ones(2)) * 3.0

    value, pull = vjp(constant, {})
    assert np.array_equal(value, [3.0, 3.0])
    assert pull(np.ones(2)) in ({}, ({},))
    assert jacobian(constant)({}) == {}
    assert grad(lambda nothing: constant(nothing).sum())({}) == {}
    assert np.array_equal(jvp(constant, ({},), ({},))[1], [0.0, 0.0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_a_result_without_entries_has_a_jacobian_without_rows(dtype: Any) -> None:
    found = jacobian(lambda x: x[:0] * 2)(np.ones(3, dtype))
    assert found.shape == (0, 3)
    assert found.dtype == dtype


def test_derivatives_of_several_arguments_stand_along_a_last_axis() -> None:
    def f(x: Any, a: Any, b: Any) -> Any:
        return np.sin(a * x) + b * x

    x = np.array([0.5, 1.0, 2.0])
    rows = jacobian(f, (1, 2), stack=True)(x, 0.3, 0.7)
    assert np.allclose(rows, np.stack([x * np.cos(0.3 * x), x], axis=-1), rtol=1e-14)
    one = jacobian(f, 1, stack=True)(x, 0.3, 0.7)
    assert np.array_equal(one, rows[:, 0])


def test_containers_of_arrays_alone_come_back_as_they_are() -> None:
    x, y = np.ones(2), np.ones(3)
    for made in (tuple, list):
        found = grad(lambda parts: (parts[0] * 2.0).sum() + (parts[1] * 3.0).sum())(made([x, y]))
        assert type(found) is made
        assert [g.tolist() for g in found] == [[2.0] * 2, [3.0] * 3]
    assert grad(lambda x, nothing: (x * 2.0).sum(), argnums=1)(x, None) is None
    assert grad(lambda x, nothing: (x * 2.0).sum(), argnums=(0, 1))(x, None)[1] is None


W = np.array([0.5, 2.0])


@dataclasses.dataclass
class Setup:
    w: Any
    kind: Any = "linear"


class Two(NamedTuple):
    w: Any
    n: Any


@pytest.mark.parametrize(
    ("argument", "path", "edit"),
    [
        (Setup(W), ".kind of an argument of loss needs floats, but it is text, with dtype <U6", "as another argument"),
        ({"w": W, "f": np.sin}, '["f"] of an argument of loss needs floats, but it is a function', "grad(lambda w: f("),
        ({"w": W, "n": 3}, '["n"] of an argument of loss needs floats, but it has dtype int64', "Write 3.0 rather tha"),
        ([{"w": W}, (W, [1.5, np.arange(3)])], "[1][1][1] of an argument", "convert it with .astype(float)"),
        ({2: W, "o": Setup(W, object())}, '["o"].kind of an argument of loss needs floats, but it is an object', "o"),
        ({"p": Two(W, True)}, '["p"].n of an argument of loss needs floats, but it has dtype bool', "Write 3.0"),
        (3, "with respect to an argument of loss needs floats, but it has dtype int64", "Write 3.0 rather than 3"),
        ({"w": W, "a": np.array(["x"])}, '["a"] of an argument of loss needs floats, but it has dtype <U1', ".astype"),
    ],
)
def test_a_leaf_that_gets_no_gradient_is_named_with_its_path(argument: Any, path: str, edit: str) -> None:
    def loss(w: Any, other: Any = None) -> Any:
        return np.sum(np.zeros(3))

    for call in (lambda: grad(loss)(argument), lambda: grad(loss, (1, 0))(W, argument)):
        with pytest.raises(TypeError, match=re.escape(path)) as caught:
            call()
        assert edit in str(caught.value)


def test_the_edits_of_leaves_without_gradients_work() -> None:
    def loss(w: Any, other: Any) -> Any:
        return (other["f"](w) * other["n"]).sum() if isinstance(other, dict) else (w**2).sum()

    other = {"f": np.sin, "n": 3}
    np.testing.assert_allclose(grad(loss)(W, other), 3 * np.cos(W))
    np.testing.assert_allclose(grad(lambda w: loss(w, other))(W), 3 * np.cos(W))
    assert grad(lambda d: (d["w"] * d["n"]).sum())({"w": W, "n": 3.0})["n"] == W.sum()
