"""The API of HIPS autograd in `tinygrad_nn.autograd`: gradients against closed forms and finite differences."""

import itertools
import sys
import warnings
from collections import OrderedDict

import numpy as onp
import pytest
import scipy.integrate
import scipy.linalg
import scipy.signal
import scipy.stats
from test_house import loaded_by

import tinygrad_nn
import tinygrad_nn.autograd.numpy as np
from tinygrad_nn import Tensor
from tinygrad_nn import autograd as ag
from tinygrad_nn.autograd import elementwise_grad, grad, hessian, jacobian, value_and_grad
from tinygrad_nn.autograd import scipy as sp
from tinygrad_nn.autograd.builtins import DictBox, isinstance, type
from tinygrad_nn.autograd.core import make_jvp, make_vjp, primitive_vjps
from tinygrad_nn.autograd.extend import (
    Box,
    VSpace,
    def_linear,
    defjvp,
    defjvp_argnum,
    defjvp_argnums,
    defvjp,
    defvjp_argnum,
    defvjp_argnums,
    notrace_primitive,
    primitive,
    vspace,
)
from tinygrad_nn.autograd.misc import const_graph, flatten
from tinygrad_nn.autograd.misc.fixed_points import fixed_point
from tinygrad_nn.autograd.misc.flatten import flatten_func
from tinygrad_nn.autograd.misc.optimizers import adam, rmsprop, sgd
from tinygrad_nn.autograd.numpy.numpy_boxes import ArrayBox
from tinygrad_nn.autograd.numpy.numpy_vjps import unbroadcast, unbroadcast_f
from tinygrad_nn.autograd.scipy import stats
from tinygrad_nn.autograd.test_util import check_grads, combo_check
from tinygrad_nn.autograd.tracer import Node, getval, isbox, trace

X = onp.array([0.7, -1.3, 2.1])
A = onp.array([[2.0, 0.3, -0.4], [0.1, 1.5, 0.2], [0.5, -0.2, 1.8]])
SPD = A @ A.T + onp.eye(3)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    onp.random.seed(0)  # noqa: NPY002 - what vspace(x).randn() draws from


def same(found: object, expected: object, tol: float = 1e-12) -> None:
    onp.testing.assert_allclose(onp.asarray(found), onp.asarray(expected), rtol=tol, atol=tol)


# -- Operators


def test_gradients_have_the_types_that_programs_print_and_compare() -> None:
    assert grad(lambda x: x**2)(3.0) == 6.0
    assert f"{grad(lambda x: x**2)(3.0):.2f}" == "6.00"
    assert type(grad(lambda x: x**2)(3.0)) is onp.float64
    assert grad(lambda x: np.sum(x**2))(X.astype("f")).dtype == onp.float32
    value, gradient = value_and_grad(lambda x: np.sum(x**2))(X)
    assert type(value) is onp.float64
    gradient += 1  # it may be written into


@pytest.mark.parametrize("x", [3, onp.int64(3), onp.array(3), True])
def test_whole_numbers_are_cast(x: object) -> None:
    assert grad(lambda x: x**3)(x) == 3 * float(x) ** 2


def test_arrays_and_containers_of_whole_numbers_are_cast() -> None:
    same(grad(lambda x: np.sum(x**2))(onp.array([1, 2])), [2, 4])
    same(jacobian(lambda x: x**2)(onp.array([1, 2])), onp.diag([2.0, 4.0]))
    same(elementwise_grad(np.sin)(onp.array([1, 2])), onp.cos([1, 2]))
    assert grad(lambda p: p["n"] * p["x"])({"n": 2, "x": 3.0}) == {"n": 3.0, "x": 2.0}


def test_containers_go_in_and_come_out() -> None:
    tree = {"W": A, "b": [X, (2.0, "name", None)]}
    found = grad(lambda t: np.sum(t["W"] @ t["b"][0]) * t["b"][1][0])(tree)
    same(found["W"], 2 * onp.tile(X, (3, 1)))
    same(found["b"][0], 2 * A.sum(axis=0))
    assert found["b"][1][1:] == (None, None)
    same(found["b"][1][0], onp.sum(A @ X))


def test_argnums_by_number_and_in_tuples() -> None:
    f = lambda x, y: np.sum(x * y)
    same(grad(f, 1)(X, 2 * X), X)
    assert isinstance(grad(f, (0, 1))(X, 2 * X), tuple)
    assert isinstance(grad(f, [0, 1])(X, 2 * X), tuple)
    same(ag.grad_named(f, "y")(X, 2 * X), X)
    with pytest.raises(ValueError, match="no argument 'z'; the arguments are x, y"):
        ag.grad_named(f, "z")
    with pytest.raises(TypeError, match="argnum=1, but <lambda> was called with 1"):
        grad(f, 1)(X, y=X)
    with pytest.raises(TypeError, match="argnum must be the number"):
        grad(f, "y")


def test_second_orders_agree_with_closed_forms() -> None:
    f = lambda x: np.sum(x**3) + x[0] * x[1]
    H = onp.diag(6 * X)
    H[0, 1] = H[1, 0] = 1
    same(hessian(f)(X), H)
    same(ag.hessian_vector_product(f)(X, onp.ones(3)), H.sum(axis=1))
    same(ag.hessian_tensor_product(f)(X, onp.ones(3)), H.sum(axis=1))
    product, gradient = ag.make_hvp(f)(X)
    same(product(onp.ones(3)), H.sum(axis=1))
    same(gradient, 3 * X**2 + [X[1], X[0], 0])
    assert hessian(lambda x: x**3)(2.0) == 12.0


def test_products_with_jacobians() -> None:
    f, J = lambda x: np.array([np.sum(x**2), np.prod(x)]), onp.array([2 * X, onp.prod(X) / X])
    same(jacobian(f)(X), J)
    pull, value = ag.make_vjp(f)(X)
    same(value, [onp.sum(X**2), onp.prod(X)])
    same(pull(onp.array([1.0, 2.0])), J.T @ [1, 2])
    same(ag.make_jvp(f)(X)(onp.array([1.0, 0, 0]))[1], J[:, 0])
    same(ag.vector_jacobian_product(f)(X, onp.array([1.0, 2.0])), J.T @ [1, 2])
    same(ag.tensor_jacobian_product(f)(X, onp.array([1.0, 2.0])), J.T @ [1, 2])
    forward = ag.differential_operators.make_jvp_reversemode(f)(X)(onp.array([0, 1.0, 0]))
    assert type(forward) is onp.ndarray  # no graph is left of a trace that has ended
    same(forward, J[:, 1])
    same(ag.make_ggnvp(f)(X)(onp.ones(3)), J.T @ J @ onp.ones(3))
    assert ag.deriv(lambda x: x**2)(3.0) == 6.0


def test_nested_transforms_keep_the_graph_that_is_still_needed() -> None:
    f = lambda x: np.sum(jacobian(lambda y: x * y**2)(x) ** 2)  # Σ 4 x⁴
    same(grad(f)(X), 16 * X**3)
    g = lambda x: np.sum(make_vjp(lambda y: y**2 * x, x)[0](x))  # Σ 2 x³
    same(grad(g)(X), 6 * X**2)
    h = lambda x: make_jvp(lambda y: y**3, x)(x)[1]
    assert grad(h)(2.0) == 9 * 2.0**2


def test_aux_dicts_and_checkpoints() -> None:
    gradient, aux = ag.grad_and_aux(lambda x: (np.sum(x**2), {"twice": 2 * x}))(X)
    same(gradient, 2 * X)
    assert type(aux["twice"]) is onp.ndarray
    assert not onp.shares_memory(make_vjp(lambda x: {"x": 2 * x, "a": A}, X)[1]["a"], A)
    assert not isbox(aux["twice"])
    found = ag.multigrad_dict(lambda x, *more, y=2.0, **named: x * more[0] * y * named["z"])(3.0, 4.0, z=5.0)
    assert found == OrderedDict(x=40.0, more=(30.0,), y=60.0, k={"z": 24.0}) or found["named"] == {"z": 24.0}
    f = ag.checkpoint(lambda x: np.sum(np.sin(x)))
    assert f(X) == onp.sum(onp.sin(X))
    same(grad(f)(X), onp.cos(X))


def test_complex_gradients_are_those_of_autograd() -> None:
    z = 1.0 + 2.0j
    assert ag.holomorphic_grad(lambda z: z**3)(z) == 3 * z**2
    assert grad(lambda z: np.real(z) ** 2 + np.imag(z))(z) == 2 - 1j  # ∂/∂Re - i ∂/∂Im
    pull, _ = make_vjp(lambda z: z**2, z)
    assert pull(1j) == 2j * z
    assert make_jvp(lambda z: z**2, z)(1j)[1] == 2j * z
    check_grads(lambda z: np.abs(z) ** 2)(onp.array([1 + 2j, -0.3j]))
    z = onp.array([1 + 2j, -0.3j])
    same(ag.jacobian(lambda z: np.abs(z) ** 2)(z), onp.diag(2 * onp.conj(z)))  # a row is a gradient of autograd
    same(ag.jacobian(np.exp)(z), onp.diag(onp.exp(z)))
    same(ag.jacobian(lambda x: np.exp(1j * x))(z.real), onp.diag(1j * onp.exp(1j * z.real)))
    with pytest.raises(ValueError, match=r"^the function is not holomorphic"):
        ag.jacobian(np.conj)(z)


def test_functions_without_a_gradient_raise_or_warn() -> None:
    with pytest.raises(TypeError, match=r"Grad only applies to real scalar-output functions; this one gave real num"):
        grad(lambda x: x)(X)
    with pytest.raises(TypeError, match="complex numbers of shape"):
        grad(lambda x: x * 1j)(1.0)
    with pytest.raises(TypeError, match="Elementwise_grad only applies to real-output"):
        elementwise_grad(lambda x: x * 1j)(1.0)
    with pytest.warns(UserWarning, match="Output seems independent of input"):
        same(grad(lambda x: 3.0)(X), 0 * X)


# -- NumPy


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.array([x[0], 2.0, x[1] * x[2]]),
        lambda x: np.array([[x[0], 1], [0, x[1]]], dtype=float),
        lambda x: np.array(x, ndmin=2),
        lambda x: np.asarray([x, x]),
        lambda x: np.full((2, 3), x),
        lambda x: np.full_like(onp.zeros((2, 3)), x),
        lambda x: np.full(2, x[0]),
        lambda x: np.concatenate([[x[0], 1.0], x, onp.ones(2)]),
        lambda x: np.concatenate(np.array([y, 1.0]) for y in x),
        lambda x: np.stack({"a": x, "b": x}.values()),
        lambda x: np.vstack([[x[0], x[1], 0.0], x]),
        lambda x: np.hstack([x[0], x]),
        lambda x: np.column_stack([x, [x[0], 0.0, 1.0]]),
        lambda x: np.row_stack([x, x]),
        lambda x: np.append(x, [x[0]]),
        lambda x: np.sum([y**2 for y in x]),
        lambda x: np.mean([x[0], x[1] ** 2]),
        lambda x: np.exp([x[0], x[1]]),
        lambda x: np.dot([1.0, x[0], 2.0], x),
        lambda x: np.maximum([x[0], 0.0, 0.0], x),
        lambda x: np.r_[x, x[0], 1:3],
        lambda x: np.c_[x, onp.ones(3)],
        lambda x: np.where(x > 0, x**2, [x[0], x[1], x[0]]),
        lambda x: np.where(x > 0, x=x**2, y=x),
        lambda x: np.select([getval(x) > 1, getval(x) > 0], [x**2, [x[1], x[1], x[1]]], 0.0),
        lambda x: np.linalg.norm([x[0], x[1]]),
        lambda x: np.linalg.solve(np.diag(x), [x[1], x[0], 1.0]),
        lambda x: np.real(np.fft.fft([x[0], x[1], x[2], 1.0])),
        lambda x: np.make_diagonal(x),
        lambda x: np.einsum("i,j->ij", x, [x[0], x[1]]),
        lambda x: x[np.argsort(x)] * onp.arange(3.0)[np.int64(np.floor(np.abs(x)))],
        lambda x: x * onp.arange(5.0)[np.floor(np.abs(x)).astype(int)],
    ],
)
def test_arrays_of_tensors_and_numbers(f: object) -> None:
    check_grads(f)(X)
    assert isinstance(f(X), (onp.ndarray, float))


def test_the_namespace_is_that_of_numpy() -> None:
    missing = [name for name in dir(onp) if name[0] != "_" and not hasattr(np, name)]
    assert not missing
    assert np.random.RandomState(0).randn() == onp.random.RandomState(0).randn()
    assert np.pi == onp.pi
    assert np.float32 is onp.float32
    assert np.isscalar(Tensor(1.0))
    for shape in ((2, 3), (), (0, 2)):
        assert np.full_like(onp.zeros(4), 4.0, shape=shape).shape == shape
    assert np.full_like(onp.zeros(4), 4.0, shape=None).shape == (4,)
    assert np.where(True, 1, 2) == 1
    assert np.array([1, 2]).dtype == onp.array([1, 2]).dtype
    with pytest.raises(np.linalg.LinAlgError):
        np.linalg.inv(onp.zeros((2, 2)))
    with pytest.raises(NotImplementedError, match="make_diagonal supports only offset=0"):
        np.make_diagonal(X, offset=1)
    with pytest.raises(NotImplementedError, match=r"write np\.concatenate"):
        np.r_["0,2", Tensor(X)]


def test_questions_of_type_see_the_plain_value() -> None:
    seen = []

    def f(p: dict[str, object]) -> object:
        x = p["x"]
        seen.append((isinstance(x, onp.ndarray), type(x), isbox(x), type(getval(x)), isinstance(p, DictBox)))
        assert isinstance(x, ArrayBox) is False or True
        return np.sum(x)

    grad(f)({"x": X})
    assert seen == [(True, onp.ndarray, True, onp.ndarray, True)]
    assert getval([Tensor(1.0), {"a": Tensor(2.0)}]) == [1.0, {"a": 2.0}]


# -- User-defined rules


def test_rules_of_each_form_are_differentiated_twice() -> None:
    f = lambda x, y, k=1: k * x**2 * np.sin(y)
    staged, by_number, jointly = primitive(f), primitive(f), primitive(f)
    rules = [lambda ans, x, y, k=1: lambda g: g * k * 2 * x * np.sin(y),
             lambda ans, x, y, k=1: lambda g: g * k * x**2 * np.cos(y)]  # fmt: skip
    defvjp(staged, *rules)
    defvjp_argnum(by_number, lambda n, ans, args, kwargs: rules[n](ans, *args, **kwargs))
    defvjp_argnums(jointly, lambda ns, ans, args, kwargs: lambda g: [rules[n](ans, *args, **kwargs)(g) for n in ns])
    for made in (staged, by_number, jointly):
        check_grads(made, (0, 1))(1.3, 0.4, k=2)
        assert made(1.3, 0.4) == f(1.3, 0.4)
    assert primitive_vjps[jointly]


def test_forward_rules_alone_are_enough() -> None:
    f = lambda x, y: x**2 * y
    rules = [lambda v, ans, x, y: v * 2 * x * y, lambda v, ans, x, y: v * x**2]
    made = [primitive(f) for _ in range(3)]
    defjvp(made[0], rules[0], "same")
    defjvp_argnum(made[1], lambda n, v, ans, args, kwargs: rules[n](v, ans, *args))
    defjvp_argnums(made[2], lambda ns, vs, ans, args, kwargs: sum(rules[n](v, ans, *args) for n, v in zip(ns, vs)))  # noqa: B905
    for each in made:
        check_grads(each, (0, 1))(X, 2 * X)
    product = primitive(lambda x, y, z: x * y**2 * z)
    defjvp(product, "same", lambda v, ans, x, y, z: v * 2 * x * y * z, "same")
    check_grads(product, (0, 1, 2), order=1)(X, 2 * X, 3 * X)
    double = primitive(lambda x: 2 * x)
    def_linear(double)
    assert grad(double)(3.0) == 2.0
    constant = primitive(np.floor)
    defjvp(constant, None)
    assert grad(lambda x: constant(x) + x)(2.5) == 1.0


def test_forward_mode_asks_the_forward_rule_and_higher_orders_both() -> None:
    f = primitive(lambda x, y: x**2 * onp.sin(y))
    defvjp(f, lambda ans, x, y: lambda g: g * 2 * x * np.sin(y), lambda ans, x, y: lambda g: g * x**2 * np.cos(y))
    defjvp(f, lambda v, ans, x, y: v * 2 * x * np.sin(y), lambda v, ans, x, y: v * x**2 * np.cos(y))
    check_grads(f, (0, 1))(X, 2 * X)
    same(hessian(lambda x: np.sum(f(x, 1.0)))(X), 2 * onp.sin(1.0) * onp.eye(3))
    scaled = primitive(lambda k, x, y: k * x * onp.sin(y))
    defvjp(scaled, None, lambda ans, k, x, y: lambda g: g * k * np.sin(y))
    defjvp(scaled, None, "same")
    same(make_jvp(lambda x: scaled(3.0, x, 0.5), X)(onp.arange(3.0))[1], 3 * onp.arange(3) * onp.sin(0.5))
    same(make_jvp(lambda k: scaled(k, X, 0.5), 3.0)(2.0)[1], 0 * X)

    @primitive
    def plain(x: object) -> tuple[object, ...]:
        return 2 * x, onp.array([x[0] ** 2]), onp.arange(2)

    defvjp(plain, lambda ans, x: lambda g: onp.asarray(2 * g[0] + onp.eye(3)[0] * 2 * x[0] * g[1]))
    defjvp(plain, lambda v, ans, x: (2 * v, onp.array([2 * x[0] * v[0]]), 0))
    found = make_jvp(lambda x: plain(x)[0] + plain(x)[1], X)(onp.ones(3))[1]
    same(found, 2 + 2 * X[0] * onp.ones(3))  # neither of its rules takes Tensors


def test_containers_go_into_and_out_of_primitives() -> None:
    @primitive
    def ragged(parts: list[object], scale: float) -> dict[str, object]:
        return {"sum": scale * onp.sum(parts[0]), "square": onp.asarray(parts[1]) ** 2, "count": onp.array([2])}

    def rules(argnum: int, ans: object, args: tuple[object, ...], kwargs: object) -> object:
        parts, scale = args
        if argnum == 1:
            return lambda g: g["sum"] * np.sum(parts[0])
        return lambda g: [g["sum"] * scale * np.ones(np.shape(parts[0])), g["square"] * 2 * parts[1]]

    defvjp_argnum(ragged, rules)

    def f(x: object, y: object, scale: object) -> object:
        out = ragged([x, y], scale)
        assert out["count"].data.tolist() == [2]
        return out["sum"] + np.sum(out["square"] ** 2)

    check_grads(f, (0, 1, 2))(X, A, 1.5)


def test_values_that_do_not_move_reach_a_primitive_as_they_are() -> None:
    seen = []

    @primitive
    def f(x: object, k: int, names: list[str], rows: object, data: object) -> object:
        seen.append((type(x), k, names, rows, data))
        return x

    defvjp(f, lambda ans, x, *others: lambda g: g)
    objects = onp.array([None, "a"], dtype=object)
    grad(lambda x: f(x, 3, ["a"], (slice(1), 2), objects))(1.0)
    assert seen[0][1:4] == (3, ["a"], (slice(1), 2))
    assert seen[0][4] is objects
    floor = notrace_primitive(onp.floor)
    assert grad(lambda x: x * floor(x))(2.5) == 2.0


def test_a_wrong_rule_is_named() -> None:
    @primitive
    def tripled(x: object) -> object:
        return 3 * x

    with pytest.raises(NotImplementedError, match=r"VJP of tripled wrt argnums \(0,\) not defined\. Write defvjp"):
        grad(tripled)(1.0)
    defvjp(tripled, lambda ans, x: lambda g: onp.ones((2, 5)))
    with pytest.raises(ValueError, match=r"rule of tripled returned a gradient of shape \(2, 5\) for an arg"):
        grad(lambda x: np.sum(tripled(x)))(X)
    defvjp(tripled, lambda ans, x: lambda g: onp.ones((3, 1)))
    with pytest.raises(ValueError, match=r"gradient of shape \(3, 1\) for an argument of shape \(3,\)"):
        grad(lambda x: np.sum(tripled(x)))(X)
    defvjp(tripled, lambda ans, x: lambda g: "nothing")
    with pytest.raises(ValueError, match="rule of tripled returned a gradient of dtype"):
        grad(lambda x: np.sum(tripled(x)))(X)
    defvjp(tripled, lambda ans, x: lambda g: 3.0)  # a number is broadcast
    same(grad(lambda x: np.sum(tripled(x)))(X), [3, 3, 3])
    defvjp(tripled, argnums=(1,))
    with pytest.raises(NotImplementedError, match="VJP of tripled wrt argnum 0 not defined"):
        grad(tripled)(1.0)
    defvjp(tripled, None)
    assert grad(lambda x: tripled(x) + x)(1.0) == 1.0
    with pytest.raises(TypeError, match="a VJP rule of tripled is 3; give a function"):
        defvjp(tripled, 3)
    odd = primitive(lambda x: object())
    with pytest.raises(TypeError, match="returned a object, and gradients flow only through numbers"):
        grad(odd)(1.0)


def test_broadcasting_is_undone() -> None:
    f = primitive(lambda x, y: x * y)
    defvjp(f, lambda ans, x, y: unbroadcast_f(x, lambda g: g * y), lambda ans, x, y: unbroadcast_f(y, lambda g: g * x))
    check_grads(f, (0, 1))(X, A)
    assert unbroadcast(onp.ones((4, 3)), (3,)).tolist() == [4.0, 4.0, 4.0]


# -- Vector spaces


class Sparse:
    """A function on the whole numbers that is 0 almost everywhere: a vector space without a fixed size."""

    def __init__(self, entries: dict[int, float]) -> None:
        self.entries = entries

    def __add__(self, other: "Sparse") -> "Sparse":
        return vspace(self).add(self, other)

    def __mul__(self, a: float) -> "Sparse":
        return vspace(self).scalar_mul(self, a)

    @primitive
    def at(self, k: int) -> float:
        return self.entries.get(k, 0.0)


class SparseBox(Box, Sparse):
    pass


class SparseSpace(VSpace):
    def zeros(self) -> Sparse:
        return Sparse({})

    def _add(self, x: Sparse, y: Sparse) -> Sparse:
        return Sparse({k: x.entries.get(k, 0) + y.entries.get(k, 0) for k in x.entries | y.entries})

    def _scalar_mul(self, x: Sparse, a: float) -> Sparse:
        return Sparse({k: a * v for k, v in x.entries.items()})

    def _inner_prod(self, x: Sparse, y: Sparse) -> float:
        return sum(v * y.entries.get(k, 0) for k, v in x.entries.items())


SparseBox.register(Sparse)
SparseSpace.register(Sparse)
defvjp(Sparse.at, lambda ans, f, k: lambda g: Sparse({k: float(g)}), None)


def test_a_users_vector_space() -> None:
    f = Sparse({1: 2.0, 5: -1.0})
    loss = lambda f, t: (f.at(1) * 3.0 * t - 1.0) ** 2 + f.at(7)
    found, by_t = grad(loss, (0, 1))(f, 1.0)
    assert found.entries == {1: 30.0, 7: 1.0}
    assert by_t == 60.0
    assert grad(lambda f: (f * 2.0 + Sparse({1: 1.0})).at(1))(f).entries == {1: 2.0}
    assert grad(lambda f, a: (f * a).at(1), 1)(f, 3.0) == 2.0
    assert grad(lambda p: p["f"].at(1) * p["x"])({"f": f, "x": 2.0})["f"].entries == {1: 2.0}
    with pytest.warns(UserWarning, match="independent"):
        assert grad(lambda f: 1.0)(f).entries == {}
    with pytest.raises(NotImplementedError, match="once"):
        grad(lambda x: grad(lambda f: f.at(1) * x)(f).entries[1] * grad(lambda f: f.at(1) * x)(f).at(1))(2.0)


def test_spaces_of_arrays_and_containers() -> None:
    tree = {"a": A, "b": (1.0, [X])}
    space = vspace(tree)
    assert space.size == 13 == len(list(space.standard_basis()))
    assert space == vspace({"a": 2 * A, "b": (2.0, [X])})
    assert space != vspace({"a": A.T[:2], "b": (1.0, [X])})
    same(space.add(tree, space.ones())["a"], A + 1)
    assert space.inner_prod(tree, tree) == pytest.approx(onp.sum(A**2) + 1 + onp.sum(X**2), rel=1e-14)
    assert vspace(1j).size == 2
    assert len(list(vspace(onp.zeros(2, complex)).standard_basis())) == 4
    assert space.covector(space.scalar_mul(tree, 2.0))["b"][0] == 2.0
    z, w = X + 1j, X[::-1] - 2j * X
    for argnum, other in ((0, w), (1, z)):
        same(grad(vspace(z).inner_prod, argnum)(z, w), onp.conj(other))
    assert vspace(grad(lambda t: np.sum(t["a"]))(tree)) == space
    with pytest.raises(TypeError, match="a str has no vector space"):
        vspace("text")
    with pytest.raises(NotImplementedError, match=r"VSpace has no ones\(\)"):
        VSpace(1).ones()


# -- misc


def test_containers_as_vectors() -> None:
    tree = {"b": 1.0, "a": [A, (X,)]}
    vector, unflatten = flatten(tree)
    same(vector, onp.concatenate([A.ravel(), X, [1.0]]))
    again = unflatten(vector)
    assert list(again) == ["b", "a"]
    same(again["a"][0], A)
    f = lambda v: np.sum(unflatten(v)["a"][0] ** 2) * unflatten(v)["b"]
    same(grad(f)(vector)[:9], 2 * A.ravel())
    same(grad(lambda t: np.sum(flatten(t)[0] ** 2))(tree)["a"][1][0], 2 * X)
    g, _, start = flatten_func(lambda t: {"out": t["b"] * t["a"][1][0]}, tree)
    same(g(start), X)
    assert flatten([])[0].shape == (0,)


@pytest.mark.parametrize(("minimise", "steps", "step"), [(sgd, 300, 0.1), (rmsprop, 300, 0.02), (adam, 600, 0.05)])
def test_optimizers_reach_a_minimum_of_containers(minimise: object, steps: int, step: float) -> None:
    seen = []
    slope = grad(lambda p, i=0: np.sum((p["x"] - X) ** 2) + (p["y"] + 1) ** 2)
    start = {"x": onp.zeros(3), "y": 3.0}
    found = minimise(slope, start, lambda p, i, g: seen.append((i, p["y"])), steps, step)
    same(found["x"], X, 2e-2)
    same(found["y"], -1, 2e-2)
    assert seen[0] == (0, 3.0)
    assert len(seen) == steps


def test_first_steps_of_optimizers_are_those_of_their_equations() -> None:
    g = lambda x, i: onp.array([2.0])
    same(sgd(g, onp.zeros(1), num_iters=2, step_size=0.1, mass=0.9), [-0.1 * (0.2 + 0.38)])
    v1, v2 = 0.9 + 0.4, 0.9 * 1.3 + 0.4
    same(rmsprop(g, onp.zeros(1), num_iters=2, step_size=0.1, eps=1e-14), [-0.2 / v1**0.5 - 0.2 / v2**0.5])
    same(adam(g, onp.zeros(1), num_iters=3, step_size=0.1, eps=1e-14), [-0.3])
    assert grad(lambda a: sgd(lambda x, i: 2 * x, 1.0, num_iters=1, step_size=a, mass=0.0))(0.1) == -2.0


def test_fixed_points_are_differentiated_at_the_answer() -> None:
    newton = lambda a: lambda x: 0.5 * (x + a / x)
    root = lambda a: fixed_point(newton, a, 1.0, lambda x, y: abs(x - y), 1e-12)
    assert grad(root)(2.0) == pytest.approx(0.5 / 2**0.5, rel=1e-8)  # the adjoint iterates to 1e-12
    assert grad(grad(root))(2.0) == pytest.approx(-0.25 / 2**1.5, rel=1e-6)


def test_a_users_graphs() -> None:
    class Line(Node):
        def initialize_root(self) -> None:
            self.text = "x"

        def __init__(self, value: object, fun: object, args: object, kwargs: object, argnums: object, parents: object):
            names = list(map(str, args))
            for n, parent in zip(argnums, parents, strict=True):
                names[n] = parent.text
            self.text = f"{fun.__name__}({', '.join(names)})"

    value, node = trace(Line.new_root(), lambda x: np.sin(x + x) * 2, 1.5)
    assert value == onp.sin(3.0) * 2
    assert node.text == "multiply(sin(add(x, x)), 2)"
    runs = []
    graph = const_graph(lambda x, y: (runs.append(1), np.sin(x) * y)[1], 0.5)
    assert [graph(2.0), graph(3.0), len(runs)] == [onp.sin(0.5) * 2, onp.sin(0.5) * 3, 1]
    with pytest.raises(ValueError, match="independent"):
        const_graph(lambda x: 1.0)(2.0)


# -- SciPy

P, UNIT, POSITIVE = onp.array([0.3, 1.2, 2.5]), onp.array([0.2, 0.5, 0.9]), onp.array([0.5, 1.5, 3.0])
CONTINUOUS = ("pdf", "logpdf", "cdf", "logcdf", "sf", "logsf")
LAWS = [
    *((stats.norm, name, (X, 0.3, 1.7)) for name in CONTINUOUS),
    *((stats.t, name, (X, 3.5, 0.3, 1.7)) for name in CONTINUOUS),
    *((stats.gamma, name, (P, 2.3, -0.1, 1.4)) for name in CONTINUOUS),
    *((stats.chi2, name, (P, 2.3)) for name in CONTINUOUS),
    *((stats.beta, name, (UNIT, 2.3, 1.6)) for name in CONTINUOUS),
    *((stats.poisson, name, (onp.array([0, 1, 4]), POSITIVE)) for name in ("pmf", "logpmf", *CONTINUOUS[2:])),
    *((stats.dirichlet, name, (onp.array([0.2, 0.5, 0.3]), POSITIVE)) for name in ("pdf", "logpdf")),
    *((stats.multivariate_normal, name, (A, X, SPD)) for name in ("pdf", "logpdf")),
    (stats.multivariate_normal, "entropy", (X, SPD)),
]


@pytest.mark.parametrize(("law", "name", "args"), LAWS, ids=lambda v: getattr(v, "__name__", "")[24:] or str(v)[:9])
def test_distributions_have_scipys_values_and_the_gradients_of_differences(law: object, name: str, args: tuple) -> None:
    f = getattr(law, name)
    plain = getattr(getattr(scipy.stats, law.__name__.rpartition(".")[2]), name)(*args)
    same(f(*args), plain)
    same(getval(f(*(Tensor(x) if onp.result_type(x).kind == "f" else x for x in args))), plain, 1e-11)
    argnums = tuple(n for n, x in enumerate(args) if onp.result_type(x).kind == "f")
    if law is stats.multivariate_normal:  # of a covariance that stays symmetric
        f = lambda *given: getattr(law, name)(*given[:-1], 0.5 * (given[-1] + given[-1].T))
    if law is stats.dirichlet:  # of points that stay on the simplex
        f = lambda x, alpha: getattr(law, name)(x / np.sum(x), alpha)
    check_grads(f, argnums, modes=["rev"], order=1)(*args)


def test_distributions_at_their_ends_and_by_keyword() -> None:
    x = Tensor(onp.array([-1.0, 0.5, 2.0]))
    same(getval(stats.beta.logpdf(x, 2.0, 3.0)), scipy.stats.beta.logpdf(x.data, 2, 3))
    same(getval(stats.beta.cdf(x, 2.0, 3.0)), scipy.stats.beta.cdf(x.data, 2, 3))
    same(getval(stats.gamma.sf(x, a=2.0, scale=3.0)), scipy.stats.gamma.sf(x.data, a=2, scale=3))
    same(getval(stats.norm.logpdf(x, scale=2.0, loc=1.0)), scipy.stats.norm.logpdf(x.data, 1, 2))
    same(getval(stats.norm.logsf(Tensor(40.0))), scipy.stats.norm.logsf(40.0), 1e-11)
    for name in CONTINUOUS:
        with onp.errstate(divide="ignore"):
            for law, given, shapes in ((scipy.stats.beta, [0.0, 1.0], (1.0, 1.0)), (scipy.stats.gamma, [0.0], (1.0,))):
                found = getattr(getattr(stats, law.name), name)(Tensor(onp.array(given)), *shapes)
                same(getval(found), getattr(law, name)(given, *shapes))
    same(getval(stats.poisson.logpmf([-1, 0.5, 2], Tensor(2.0))), [-onp.inf, -onp.inf, onp.log(2) - 2])
    assert onp.isfinite(grad(lambda x: np.sum(np.exp(stats.beta.logpdf(x, 2.0, 3.0))))(x.data)).all()
    assert stats.norm.ppf(0.5) == 0.0
    with pytest.raises(TypeError, match=r"norm\.logpdf of a Tensor: .*'foo'; it takes \(x, loc=0, scale=1\)"):
        stats.norm.logpdf(x, foo=1)


def test_densities_of_vectors_in_each_form() -> None:
    law = stats.multivariate_normal
    for args in [(X,), (X, X + 1), (X, X + 1, 2.0), (A, onp.zeros(3), onp.array([1.0, 2.0, 3.0])), (X, 0.5, 2.0)]:
        plain = scipy.stats.multivariate_normal.logpdf(*args)
        same(getval(law.logpdf(Tensor(args[0]), *args[1:])), plain)
    flat = onp.diag([1.0, 2.0, 0.0])
    plain = scipy.stats.multivariate_normal.logpdf(onp.array([1.0, 2.0, 0.0]), onp.zeros(3), flat, True)
    same(getval(law.logpdf(Tensor([1.0, 2.0, 0.0]), onp.zeros(3), flat, True)), plain)
    with pytest.raises(onp.linalg.LinAlgError, match="not positive definite"):
        law.logpdf(Tensor(X), onp.zeros(3), flat)
    with pytest.raises(NotImplementedError, match="singular"):
        law.logpdf(X, onp.zeros(3), Tensor(flat), True)


def test_special_functions() -> None:
    combo_check(sp.special.logsumexp, [0])([A], axis=[0, None, (0, 1)], b=[1.0, onp.abs(A)], keepdims=[True, False])
    for f, args in [("gammaln", (P,)), ("psi", (P,)), ("expit", (X,)), ("erf", (X,)), ("erfinv", (UNIT,)),
                    ("j1", (X,)), ("beta", (P, POSITIVE)), ("gammainc", (P, POSITIVE)),
                    ("betainc", (P, POSITIVE, UNIT))]:  # fmt: skip
        check_grads(getattr(sp.special, f), tuple(range(len(args))), modes=["rev"], order=1)(*args)
    check_grads(lambda x: sp.special.polygamma(1, x))(P)
    check_grads(lambda x: sp.special.multigammaln(x + 2, 3))(P)
    check_grads(lambda x: sp.special.softmax(x, axis=0))(A)
    check_grads(lambda x: x * sp.special.gammasgn(x))(X)
    same(getval(sp.special.logsumexp([Tensor(1.0), 2.0])), onp.logaddexp(1, 2))


@pytest.mark.parametrize(
    ("name", "args", "options"),
    [
        ("solve_triangular", (A, X), {}),
        ("solve_triangular", (A, A), {"lower": True}),
        ("solve_triangular", (A, X), {"trans": 1}),
        ("solve_triangular", (A, X), {"trans": "T", "lower": True, "unit_diagonal": True}),
        ("solve_triangular", (A + 1j * A.T, X), {"trans": 2}),
        ("solve_sylvester", (A, SPD, A.T), {}),
        ("sqrtm", (SPD,), {}),
        ("expm", (A,), {}),
        ("inv", (A,), {}),
        ("det", (A,), {}),
        ("norm", (A,), {}),
        ("block_diag", (A, X), {}),
    ],
)
def test_linear_algebra(name: str, args: tuple, options: dict) -> None:
    f = getattr(sp.linalg, name)
    same(f(*args, **options), getattr(scipy.linalg, name)(*args, **options))
    same(getval(f(*map(Tensor, args), **options)), getattr(scipy.linalg, name)(*args, **options))
    check_grads(lambda *args: f(*args, **options), tuple(range(len(args))), modes=["rev"])(*args)


def test_banded_systems_and_factors() -> None:
    band = onp.array([[0, 0.5, -0.3, 0.2], [3.0, 2.5, 4.0, 3.5], [0.7, 0.2, -0.4, 0], [0.1, 0.3, 0, 0]])
    b = onp.array([1.0, 2.0, -1.0, 0.5])
    solve = lambda ab, b: sp.linalg.solve_banded((2, 1), ab, b)
    same(getval(solve(Tensor(band), b)), scipy.linalg.solve_banded((2, 1), band, b))
    check_grads(lambda ab, b: solve(ab * (band != 0), b), (0, 1), modes=["rev"])(band, b)
    symmetric = lambda S: 0.5 * (S + np.conj(S.T))
    for lower, definite in itertools.product((False, True), (SPD, SPD + 0.5j * (A - A.T))):
        factor = lambda S, lower=lower: sp.linalg.cholesky(symmetric(S), lower=lower)
        same(getval(factor(Tensor(definite))), scipy.linalg.cholesky(definite, lower=lower))
        check_grads(factor, modes=["rev"])(definite)
        f = lambda S, b, lower=lower: sp.linalg.cho_solve(sp.linalg.cho_factor(symmetric(S), lower), b)
        same(getval(f(Tensor(definite), X)), onp.linalg.solve(definite, X))
        check_grads(f, (0, 1), modes=["rev"], order=1)(definite, X)


@pytest.mark.parametrize("mode", ["full", "valid", "same"])
def test_convolutions(mode: str) -> None:
    short, long, matrix = onp.array([1.0, -2.0, 0.5]), onp.arange(6.0) ** 2, onp.arange(20.0).reshape(4, 5) % 7
    convolve = sp.signal.convolve
    for a, b in [(short, long), (long, short), (matrix, A), (A, matrix)]:
        same(convolve(a, b, mode=mode), scipy.signal.convolve(a, b, mode), 1e-11)
        check_grads(lambda a, b: convolve(a, b, mode=mode), (0, 1), modes=["rev"], order=1)(a, b)
    images, filters = onp.random.randn(2, 3, 5), onp.random.randn(3, 4, 5 if mode == "valid" else 2)  # noqa: NPY002
    found = convolve(images, filters, axes=([2], [2]), dot_axes=([1], [0]), mode=mode)
    expected = sum(scipy.signal.convolve(images[1, c], filters[c, 2], mode) for c in range(3))
    same(found[1, 2], expected)
    check_grads(lambda a, b: convolve(a, b, ([2], [2]), ([1], [0]), mode), (0, 1), modes=["rev"])(images, filters)


def test_convolutions_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="it must be 'full', 'valid' or 'same'"):
        sp.signal.convolve(X, X, mode="half")
    with pytest.raises(ValueError, match="pass the pairs of axes"):
        sp.signal.convolve(X, A)
    with pytest.raises(ValueError, match="as large as the other along every convolved axis"):
        sp.signal.convolve(onp.ones((2, 5)), onp.ones((5, 2)), mode="valid")


def test_differential_equations() -> None:
    times = onp.linspace(0.1, 0.5, 4)
    f = lambda y, t, a, b: -np.sin(t) - a * y * y + b
    args = (onp.array([0.5, 0.2]), 0.3)
    y0 = onp.array([1.0, -0.4])
    same(sp.integrate.odeint(f, y0, times, args), scipy.integrate.odeint(f, y0, times, args))
    solve = lambda y0, t, args: sp.integrate.odeint(f, y0, t, args, rtol=1e-10, atol=1e-10)
    check_grads(solve, (0, 1, 2), modes=["rev"], order=1)(y0, times, args)
    decay = lambda y0, k: sp.integrate.odeint(lambda y, t, k: -k * y, y0, onp.array([0.0, 1.0]), (k,), rtol=1e-10)[1, 0]
    same(grad(decay, 1)(onp.array([2.0]), 0.7), -2 * onp.exp(-0.7), 1e-6)  # of an ODE solved to 1e-10, by another


# -- The door itself


def test_the_door_is_found_by_each_spelling() -> None:
    from tinygrad_nn.autograd import numpy as anp
    from tinygrad_nn.autograd.numpy import exp
    from tinygrad_nn.autograd.numpy.linalg import inv
    from tinygrad_nn.autograd.scipy.stats import norm

    assert anp is np
    assert tinygrad_nn.autograd.numpy is np
    assert grad(exp)(0.0) == 1.0
    assert norm.cdf(0.0) == 0.5
    same(inv(2 * onp.eye(2)), onp.eye(2) / 2)


def test_scipy_is_loaded_by_its_own_folder_alone() -> None:
    assert loaded_by("import tinygrad_nn.autograd.numpy, tinygrad_nn.autograd.misc.optimizers", ("scipy",)) == []
    assert "scipy" in sys.modules


def test_the_check_rejects_a_wrong_rule() -> None:
    wrong = primitive(lambda x: x**2)
    defvjp(wrong, lambda ans, x: lambda g: g * 2.002 * x)
    with pytest.raises(AssertionError, match=r"Derivative \(VJP\) check of"):
        check_grads(wrong, modes=["rev"])(X)
    second = primitive(lambda g: g)
    defvjp(second, lambda ans, g: lambda c: c * 1.001)
    right_once = primitive(lambda x: 2 * x)
    defvjp(right_once, lambda ans, x: lambda g: 2 * second(g))
    check_grads(right_once, modes=["rev"], order=1)(X)
    with pytest.raises(AssertionError, match="check of vjp_"):
        check_grads(right_once, modes=["rev"])(X)
    with pytest.raises(ValueError, match="modes are 'fwd' and 'rev'"):
        check_grads(right_once, modes=["back"])(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_grads(lambda x: 1.0 * onp.ones(2))(X)
