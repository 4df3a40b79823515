"""Functions with user-defined derivatives: VJP and JVP rules, for complex numbers and nests, differentiated again."""

import re
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import custom_jvp, custom_vjp, grad, hessian, jacobian, jvp, vjp
from tinygrad_nn.backward import ancestors
from tinygrad_nn.gradcheck import check_gradients

A = np.array([[1.0 + 2j, -0.5j], [0.3, 2 - 1j], [1j, 0.7]])
X = np.array([0.5 - 1j, 2 + 0.3j])


class Both(NamedTuple):
    total: Any
    parts: Any


# -- Complex numbers: one convention


def test_a_rule_by_the_book_of_complex_numbers_is_right() -> None:
    product = custom_vjp(lambda a, x: a @ x, lambda g, out, a, x: (np.outer(g, x.conj()), a.conj().T @ g))
    for f in (lambda y: np.sum(np.abs(y) ** 2), lambda y: np.real(y).sum(), lambda y: np.imag(y[0] * y[1])):
        own = grad(lambda a, x: f(product(a, x)), argnums=(0, 1))(A, X)  # noqa: B023
        wanted = grad(lambda a, x: f(a @ x), argnums=(0, 1))(A, X)  # noqa: B023
        for a, b in zip(own, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-14)
    pull = vjp(product, A, X)[1]
    for a, b in zip(pull(A @ X), vjp(np.matmul, A, X)[1](A @ X), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)
    assert check_gradients(lambda a, x: np.abs(product(a, x)) ** 2, A, X, order=2).ok


def test_real_arguments_of_complex_results_and_the_other_way_round() -> None:
    turn = custom_vjp(lambda t: np.exp(1j * t), lambda g, out, t: np.real(np.conj(1j * out) * g))
    size = custom_vjp(lambda z: np.abs(z), lambda g, out, z: g * z / out)
    t = np.array([0.3, 1.2])
    f = lambda t: (size(turn(t) + 0.5) ** 3).sum()
    wanted = lambda t: (np.abs(np.exp(1j * t) + 0.5) ** 3).sum()
    np.testing.assert_allclose(grad(f)(t), grad(wanted)(t), rtol=1e-14)
    np.testing.assert_allclose(hessian(f)(t), hessian(wanted)(t), rtol=1e-12, atol=1e-12)


def test_a_jvp_rule_of_complex_numbers() -> None:
    product = custom_jvp(lambda a, x: a @ x, lambda v, out, a, x: v[0] @ x + a @ v[1])
    size = custom_jvp(lambda z: np.abs(z), lambda v, out, z: np.real(np.conj(z) * v) / out)
    own = grad(lambda a, x: (size(product(a, x)) ** 3).sum(), argnums=(0, 1))(A, X)
    wanted = grad(lambda a, x: (np.abs(a @ x) ** 3).sum(), argnums=(0, 1))(A, X)
    for a, b in zip(own, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)
    forward = jvp(product, (A, X), (1j * A, X + 1))[1]
    np.testing.assert_allclose(forward, 1j * A @ X + A @ (X + 1), rtol=1e-14)


# -- Nests of arguments and results


@pytest.mark.parametrize(
    ("nest", "rule"),
    [
        (lambda x: x, lambda g: g), (lambda x: x, lambda g: (g,)), (lambda x: x, lambda g: [g]),
        (lambda x: [x], lambda g: [g]), (lambda x: [x], lambda g: (g,)), (lambda x: [x], lambda g: ([g],)),
        (lambda x: {"a": x}, lambda g: {"a": g}), (lambda x: {"a": x}, lambda g: ({"a": g},)),
        (lambda x: [x, None], lambda g: [g, None]), (lambda x: [x, None], lambda g: ([g, None],)),
        (lambda x: [[x]], lambda g: [[g]]), (lambda x: [[x]], lambda g: ([[g]],)),
        (lambda x: [{"a": x}], lambda g: [{"a": g}]), (lambda x: [{"a": x}], lambda g: ([{"a": g}],)),
    ],
)  # fmt: skip
def test_the_gradient_of_one_argument_is_taken_bare_or_in_a_tuple(nest: Any, rule: Any) -> None:
    leaf = lambda p: p if isinstance(p, (np.ndarray, tg.Tensor)) else leaf(next(iter(p.values())) if isinstance(
        p, dict) else p[0])  # fmt: skip
    f = custom_vjp(lambda p: leaf(p) ** 2, lambda g, out, p: rule(2 * g * leaf(p)))
    found = grad(lambda x: f(nest(x)).sum())(np.arange(3.0))
    assert found.tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("p", "given", "said"),
    [
        ([[2.0]], [2.0], "float for argument 0, a list with 0"),
        ({"a": 2.0}, ({"b": 2.0},), "dict for argument 0, a dict with a"),
        ([2.0, 3.0], [2.0], "float for argument 0, a list with 0, 1"),
    ],
)  # fmt: skip
def test_other_containers_than_the_argument_has_are_refused(p: Any, given: Any, said: str) -> None:
    def own(p: Any) -> Any:
        return np.float64(1.0)

    edit = r"return the same containers, with None for parts without one\."
    with pytest.raises(ValueError, match=f"^the rule of own returned {said}; {edit}$"):
        grad(custom_vjp(own, lambda g, out, p: given))(p)


def layers(parameters: Any, x: Any) -> Any:
    z = x @ parameters["W"].T + parameters["bias"][0]
    return {"z": z, "norms": (np.sum(z**2), Both(z.sum(axis=0), parameters["W"] * 2))}


def layers_rule(g: Any, out: Any, parameters: Any, x: Any) -> Any:
    one, two = g["norms"]
    gz = g["z"] + 2 * one * out["z"] + two.total
    return {"W": gz.T @ x + 2 * two.parts, "bias": [gz.sum(axis=0)]}, gz @ parameters["W"]


def layers_direction(v: Any, out: Any, parameters: Any, x: Any) -> Any:
    vp, vx = v
    z = vx @ parameters["W"].T + x @ vp["W"].T + vp["bias"][0]
    return {"z": z, "norms": (2 * (out["z"] * z).sum(), Both(z.sum(axis=0), vp["W"] * 2))}


OWN = {"vjp": custom_vjp(layers, layers_rule), "jvp": custom_jvp(layers, layers_direction)}
each_own = pytest.mark.parametrize("own", OWN.values(), ids=OWN)
LOSSES = {
    "all": lambda r: (r["z"] ** 2).sum() * r["norms"][0] + (r["norms"][1].total ** 3).sum() + r["norms"][1].parts.sum(),
    "one array": lambda r: (r["z"] ** 3).sum(),
    "one number": lambda r: r["norms"][0] ** 2,
    "a part of a part": lambda r: (r["norms"][1].parts ** 2).sum(),
}


@each_own
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_nests_and_several_results(own: Any, loss: Any) -> None:
    rng = np.random.default_rng(0)
    parameters = {"W": rng.standard_normal((2, 3)), "bias": [rng.standard_normal(2)]}
    x = rng.standard_normal((4, 3))
    value = own(parameters, x)
    for a, b in zip(*(tg.tree.flatten(r)[0] for r in (value, layers(parameters, x))), strict=True):
        np.testing.assert_array_equal(tg.tensor.raw(a), b)
    found = grad(lambda p, x: loss(own(p, x)), argnums=(0, 1))(parameters, x)
    wanted = grad(lambda p, x: loss(layers(p, x)), argnums=(0, 1))(parameters, x)
    for a, b in zip(tg.tree.flatten(list(found))[0], tg.tree.flatten(list(wanted))[0], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    second = hessian(lambda x: loss(own(parameters, x)))(x)
    np.testing.assert_allclose(second, hessian(lambda x: loss(layers(parameters, x)))(x), rtol=1e-11, atol=1e-11)
    directions = ({"W": parameters["W"] + 1, "bias": [parameters["bias"][0] * 2]}, x * x)
    moved = jvp(lambda p, x: loss(own(p, x)), (parameters, x), directions)[1]
    np.testing.assert_allclose(moved, jvp(lambda p, x: loss(layers(p, x)), (parameters, x), directions)[1], rtol=1e-11)


@each_own
def test_float32_stays_float32(own: Any) -> None:
    p = {"W": np.ones((2, 3), np.float32), "bias": [np.ones(2, np.float32)]}
    found = grad(lambda p: own(p, np.ones((4, 3), np.float32))["z"].sum())(p)
    assert found["W"].dtype == found["bias"][0].dtype == np.float32


def test_whole_numbers_among_results_and_arguments_are_constants() -> None:
    largest = custom_vjp(
        lambda x, k: (np.sort(x)[-k:], np.argsort(x)[-k:]),
        lambda g, out, x, k: (np.eye(len(x))[out[1]].T @ g[0], None),
    )
    x = np.array([3.0, 1.0, 2.0])
    _, places = largest(tg.Tensor(x), 2)
    assert (places.requires_grad, places.dtype, places.tolist()) == (False, np.argsort(x).dtype, [2, 0])
    np.testing.assert_array_equal(grad(lambda x: (largest(x, 2)[0] * [1.0, 10.0]).sum())(x), [10, 0, 1])
    scaled = custom_jvp(lambda x, k: x**k, lambda v, out, x, k: k * x ** (k - 1) * v[0])
    np.testing.assert_allclose(grad(lambda x: scaled(x, 3).sum())(x), 3 * x**2)


def test_a_custom_function_is_one_operation_with_its_own_result() -> None:
    def square(x: Any) -> Any:
        return x**2

    one = custom_vjp(square, lambda g, out, x: 2 * g * x)(tg.Tensor([1.0, 2.0]))
    assert [node.primitive and node.primitive.name for node in ancestors([one.node])] == ["square", None]
    listed = custom_vjp(lambda x: [x**2], lambda g, out, x: 2 * g[0] * x)(tg.Tensor([[1.0, 2.0]]))
    assert (type(listed), len(listed), listed[0].shape) == (list, 1, (1, 2))


def test_one_argument_that_is_a_list_of_one() -> None:
    for rule in (lambda g, out, x: [2 * g * x[0]], lambda g, out, x: ([2 * g * x[0]],)):
        square = custom_vjp(lambda x: x[0] ** 2, rule)
        (found,) = grad(lambda x: square(x).sum())([np.array([1.0, 2.0])])  # noqa: B023
        np.testing.assert_array_equal(found, [2, 4])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: custom_vjp(np.sin), "it got no rule. Write f = custom_vjp(f, rule) with rule(g, out, *arguments), "),
        (lambda: custom_jvp(np.sin), "custom_jvp(f, rule) with rule(v, out, *arguments), instead of @custom_jvp and "),
        (lambda: custom_vjp(np.sin, 2.0), "it got 2.0 of type float as its rule. Write"),
    ],
)
def test_a_rule_that_is_missing_is_named(make: Any, says: str) -> None:
    with pytest.raises(TypeError, match=re.escape(says)):
        make()


@pytest.mark.parametrize("nothing", [[], {}, ()])
def test_a_result_without_arrays_is_returned_unchanged(nothing: Any) -> None:
    f = custom_vjp(lambda x: nothing, lambda g, out, x: x * 0)
    assert f(2.0) == f(tg.Tensor(2.0)) == nothing
    both = custom_vjp(lambda x: (nothing, 3 * x), lambda g, out, x: 3 * g[1])
    assert both(2.0)[0] == nothing
    assert grad(lambda x: both(x)[1])(2.0) == 3


def test_what_a_rule_returns_is_checked() -> None:
    p = {"W": np.ones(2), "b": np.ones(2)}
    lost = custom_vjp(lambda p: p["W"] + p["b"], lambda g, out, p: {"W": g})
    with pytest.raises(ValueError, match=r"returned dict for argument 0, a dict with W, b; return the same containers"):
        grad(lambda p: lost(p).sum())(p)
    half = custom_vjp(lambda p: p["W"] + p["b"], lambda g, out, p: {"W": g, "b": None})
    assert grad(lambda p: half(p).sum())(p)["b"].tolist() == [0, 0]
    narrow = custom_jvp(lambda x: np.exp(x), lambda v, out, x: (v * out).sum())
    with pytest.raises(ValueError, match=r"a derivative of shape \(\) for a result of shape \(2,\)"):
        grad(lambda x: narrow(x).sum())(np.ones(2))
    flat = custom_jvp(np.sign, lambda v, out, x: np.zeros_like(out))
    assert grad(lambda x: flat(x).sum())(np.ones(2)).tolist() == [0, 0]


def test_an_imaginary_part_that_would_be_lost_is_refused() -> None:
    x, said = np.array([0.5, -2.0]), r"the rule of \w+ returned a complex gradient, .* np.real of it\.$"

    def double(x: Any) -> Any:
        return x * 2

    wrong = custom_vjp(double, lambda g, out, x: 2j * g)
    nest = custom_vjp(lambda p: p["a"] * 2, lambda g, out, p: {"a": g * (2 + 0.1j), "n": None})
    for dtype in (np.float32, np.float64):
        for call in (
            lambda x: grad(lambda x: np.sum(wrong(x)))(x),
            lambda x: vjp(wrong, x)[1](x),
            lambda x: jacobian(wrong)(x),
            lambda x: hessian(lambda x: np.sum(wrong(x)))(x),
            lambda x: tg.vmap(grad(wrong))(x),
            lambda x: grad(lambda x: np.sum(np.abs(wrong(x) * 1j)))(x),
            lambda x: grad(lambda x: np.sum(nest({"a": x, "n": 1})))(x),
        ):
            with pytest.raises(ValueError, match=said):
                call(x.astype(dtype))


def test_the_real_part_of_a_complex_gradient_counts_if_the_cotangent_or_an_argument_is_complex() -> None:
    x, c = np.array([0.5, -2.0]), np.array([1 - 2j, 0.3j])
    turned = custom_vjp(lambda x: x * c, lambda g, out, x: g * np.conj(c))
    beside = custom_vjp(
        lambda x, z: np.real(x * z), lambda g, out, x, z: (g * np.conj(z), g * x)
    )
    filtered = custom_vjp(  # the imaginary part is rounding
        lambda x: np.real(np.fft.ifft(np.fft.fft(x) * 3)), lambda g, out, x: np.fft.ifft(np.fft.fft(g) * 3)
    )
    weight = np.array([0.2 + 1j, -0.7j])
    found = grad(lambda x: np.real(np.sum(weight * turned(x))))(x)
    np.testing.assert_allclose(found, np.real(weight * c), rtol=1e-14)
    np.testing.assert_allclose(grad(lambda x: np.sum(beside(x, c)))(x), c.real, rtol=1e-14)
    np.testing.assert_allclose(grad(lambda x: np.sum(filtered(x) * x))(x), 6 * x, rtol=1e-14)
    np.testing.assert_allclose(jacobian(turned)(x), np.diag(c), rtol=1e-14)
    none = custom_vjp(lambda x: x * 2, lambda g, out, x: np.full_like(g, np.nan) + 0j)
    assert np.isnan(grad(lambda x: np.sum(none(x)))(x)).all()


# -- Together with the rest


def test_a_jvp_rule_in_every_mode_and_order() -> None:
    soft = custom_jvp(lambda x: np.log(1 + np.exp(x)), lambda v, out, x: v * (1 - np.exp(-out)))
    x = np.array([-1.0, 0.0, 2.0])
    s = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(tg.tensor.raw(soft(x)), np.logaddexp(0, x), rtol=1e-14)
    np.testing.assert_allclose(grad(lambda x: soft(x).sum())(x), s, rtol=1e-14)
    np.testing.assert_allclose(jacobian(grad(lambda x: soft(x).sum()))(x), np.diag(s * (1 - s)), atol=1e-14)
    np.testing.assert_allclose(jvp(soft, (x,), (x + 1,))[1], s * (x + 1), rtol=1e-14)
    third = grad(grad(grad(soft)))(0.5)
    np.testing.assert_allclose(third, grad(grad(grad(lambda x: np.logaddexp(0, x))))(0.5), rtol=1e-12)


@each_own
def test_compiled(own: Any) -> None:
    rng = np.random.default_rng(1)

    def total(w: Any, b: Any, x: Any) -> Any:
        return LOSSES["all"](own({"W": w, "bias": [b]}, x))

    slopes = grad(total, argnums=(0, 1, 2))
    fast = tg.compile(slopes, backend="numpy")
    for _ in range(3):
        args = rng.standard_normal((2, 3)), rng.standard_normal(2), rng.standard_normal((4, 3))
        for a, b in zip(fast(*args), slopes(*args), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_given_arrays_own_rules_return_arrays() -> None:
    x = np.array([1.0, 2.0])
    for make in (custom_vjp, custom_jvp):
        own = make(np.sin, lambda g, out, x: g * np.cos(x))
        assert type(own(x)) is np.ndarray
        assert type(own(tg.Tensor(x))) is type(own(tg.Tensor(x, requires_grad=False))) is tg.Tensor
    several = custom_vjp(lambda d: {"a": d["b"], "n": 3 * d["n"]}, lambda g, out, d: {"b": g["a"], "n": None})
    found = several({"b": x, "n": 2})
    assert {key: type(part) for key, part in found.items()} == {"a": np.ndarray, "n": np.ndarray}
    assert found["n"] == 6


LOST = "is called with plain arrays and returned a Tensor, so it closes over one, whose gradient would be lost. Make "


@pytest.mark.parametrize("outside", [
    lambda f: grad(f)(3.0), lambda f: f(tg.Tensor(3.0)), lambda f: tg.vmap(f)(np.ones(2)),
    lambda f: tg.vmap(grad(f))(np.ones(2)),
])  # fmt: skip
@pytest.mark.parametrize(("inside", "what"), [
    (lambda w: custom_vjp(lambda x: x * w, lambda g, out, x: g)(2.0), "the function lambda"),
    (lambda w: custom_vjp(lambda x: [x, x * w], lambda g, out, x: g)(w)[0], "the function lambda"),
    (lambda w: custom_jvp(lambda x: x * w, lambda v, out, x: v)(2.0), "the function lambda"),
    (lambda w: grad(custom_vjp(lambda x: x * 1, lambda g, out, x: g * w))(2.0), "the rule of lambda"),
])  # fmt: skip
def test_closing_over_a_tensor_is_refused(outside: Any, inside: Any, what: str) -> None:
    with pytest.raises(TypeError, match=f"^{what} {LOST}that Tensor an argument, or close over its array, t.data.$"):
        outside(inside)
    fixed = tg.Tensor(2.0, requires_grad=False)
    assert grad(custom_vjp(lambda x: x * fixed, lambda g, out, x: g * fixed))(3.0) == 2.0


# -- Rules for directions that are not linear in them


@pytest.mark.parametrize("take", [
    lambda f, x: grad(lambda x: f(x).sum())(x), lambda f, x: jvp(f, (x,), (x + 1,)), lambda f, x: jacobian(f)(x),
    lambda f, x: tg.compile(grad(lambda x: f(x).sum()))(x), lambda f, x: tg.vmap(grad(f))(x),
])  # fmt: skip
@pytest.mark.parametrize("rule", [
    lambda v, out, x: v * v, lambda v, out, x: v + 1, lambda v, out, x: np.cos(x), lambda v, out, x: np.sin(v),
    lambda v, out, x: np.abs(v), lambda v, out, x: np.where(v > 0, v * np.cos(x), 0),
    lambda v, out, x: np.cos(x) * v + v**2, lambda v, out, x: np.maximum(v, 0),
])  # fmt: skip
def test_a_jvp_rule_that_is_not_linear_raises(rule: Any, take: Any) -> None:
    with pytest.raises(ValueError, match=r"the rule of sin is not linear in its direction v.*as in v \* np.cos\(x\)"):
        take(custom_jvp(np.sin, rule), np.array([0.3, 1.2]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, complex])
@pytest.mark.parametrize(("rule", "slope"), [
    (lambda v, out, x: v * np.cos(x), np.cos), (lambda v, out, x: 0 * v, np.zeros_like),
    (lambda v, out, x: None, np.zeros_like),
    (lambda v, out, x: (np.sin(x + 0.01 * v) - np.sin(x - 0.01 * v)) / 0.02, np.cos),
])  # fmt: skip
def test_a_jvp_rule_that_is_linear_or_a_difference_quotient_is_taken(rule: Any, slope: Any, dtype: Any) -> None:
    x = np.linspace(0, 1, 5).astype(dtype)
    f = custom_jvp(np.sin, rule)
    for _ in range(2):
        found = grad(lambda x: np.real(f(x)).sum())(x)
        np.testing.assert_allclose(found, np.conj(slope(x)), rtol=8 * np.finfo(dtype).eps, atol=0)


def test_linearity_is_judged_with_the_first_gradient_that_is_not_zero() -> None:
    calls = []

    def rule(v: Any, out: Any, x: Any) -> Any:
        calls.append(type(v))
        return v * np.cos(x)

    f = custom_jvp(np.sin, rule)
    for weight, count in ((0.0, 3), (2.0, 3), (2.0, 1)):
        grad(lambda x: f(x) * weight)(0.5)  # noqa: B023
        assert len(calls) == count
        calls.clear()


# -- Integers beside floats


@pytest.mark.parametrize("kind", [np.float32, np.float64, complex, np.uint64])
@pytest.mark.parametrize("number", [
    np.array([2**53 + 1, -(2**53) - 1, -1]), np.array([-(2**63), 2**63 - 1]), np.uint64(2**64 - 1), np.int64(7),
    np.array([[3, -4]], np.int32), np.array([True, False]),
])  # fmt: skip
def test_integers_beside_floats_keep_all_their_digits(number: Any, kind: Any) -> None:
    f = custom_vjp(lambda x, y: {"y": y, "n": number, "x": x * x}, lambda g, out, x, y: (2 * x * g["x"], None))
    x, y = np.array([1.0, 2.0]), np.ones(3, kind)
    runs = [f(x, y), f(tg.Tensor(x), y), tg.vmap(f, in_axes=(0, None))(x[None], y)]
    runs += [tg.compile(f, backend=backend)(x, y) for backend in ("numpy", "numba")]
    for found in runs:
        n = np.asarray(found["n"])
        assert n.dtype == number.dtype
        assert n.tolist() in (number.tolist(), [number.tolist()])
    assert grad(lambda x: f(x, y)["x"].sum())(x).tolist() == [2, 4]
    assert jvp(lambda x: f(x, y)["x"], (x,), (x,))[1].tolist() == [2, 8]
