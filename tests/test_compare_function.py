"""`compare` for a user's backward of any function: right ones pass, wrong ones are traced to a graph operation."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import compare_gradients, compare_steps

Array = Any

RNG = np.random.default_rng(0)
X, W, B, Y = RNG.normal(size=(6, 4)), RNG.normal(size=(4, 3)), RNG.normal(size=3), RNG.normal(size=(6, 3))


def f(x: Array, W: Array, b: Array) -> Array:
    return ((np.tanh(x @ W + b) - Y) ** 2).sum() / len(x)


def backward(
    d: Callable[..., Array] = lambda z: 2 * (np.tanh(z) - Y) / 6 * (1 - np.tanh(z) ** 2),
    edit: Callable[..., Any] = lambda dx, dW, db, d: (dx, dW, db),
) -> Callable[..., Any]:
    """The right backward of f with another delta, or other results."""

    def manual(x: Array, W: Array, b: Array) -> Any:
        delta = d(x @ W + b)
        return edit(delta @ W.T, x.T @ delta, delta.sum(axis=0), delta)

    return manual


def softmax_backward(z: Array, g: Array) -> Array:
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    return p * (g - (g * p).sum(axis=1, keepdims=True))


def doubled_in_place(z: Array) -> Array:
    z *= 2
    return np.cos(z / 2)


def one_off(z: Array) -> Array:
    g = np.cos(z)
    g[777] *= 1.001
    return g


BIG = np.random.default_rng(1).normal(size=10_000)

RIGHT = {
    "three inputs": (f, (X, W, B), backward()),
    "by name": (f, {"x": X, "W": W, "b": B}, lambda x, W, b: dict(zip("xWb", backward()(x, W, b), strict=True))),
    "arrays": (f, (X, W, B), backward()(X, W, B)),
    "a cotangent": (lambda z: tg.softmax(z), X, softmax_backward),
    "float32": (lambda z: np.sin(z).sum(), X.astype(np.float32), np.cos),
    "a number": (lambda z: z**2, 3.0, lambda z: 2 * z),
    "an input without effect": (lambda a, b: (a * a).sum(), (X, B), lambda a, b: (2 * a, np.zeros(3))),
    "a dict as one argument": (lambda p: (p["a"] ** 2).sum(), {"a": X}, lambda p: {"a": 2 * p["a"]}),
}  # fmt: skip

WRONG = {
    "missing_activation_derivative": (f, (X, W, B), backward(lambda z: 2 * (np.tanh(z) - Y) / 6)),
    "activation_derivative_at_wrong_value": (
        f, (X, W, B), backward(lambda z: 2 * (np.tanh(z) - Y) / 6 * (1 - np.tanh(np.tanh(z)) ** 2))),
    "scale": (f, (X, W, B), backward(lambda z: 2 * (np.tanh(z) - Y) * (1 - np.tanh(z) ** 2))),
    "sign": (f, (X, W, B), backward(edit=lambda dx, dW, db, d: (dx, -dW, db))),
    "transpose": (f, (X, W, B), backward(edit=lambda dx, dW, db, d: (dx, dW.T, db))),
    "broadcast_not_summed": (f, (X, W, B), backward(edit=lambda dx, dW, db, d: (dx, dW, d))),
    "wrong_axis_sum": (f, (X, W, B), backward(edit=lambda dx, dW, db, d: (dx, dW, d.sum(axis=1)))),
    "overwritten_not_accumulated": (lambda x: (x * x + x).sum(), X, lambda x: 2 * x),
    "missing_penalty": (
        lambda W: ((X @ W - Y) ** 2).sum() + 0.05 * (W * W).sum(), W, lambda W: 2 * X.T @ (X @ W - Y)),
    "softmax_diagonal_only": (lambda z: tg.softmax(z), X, lambda z, g: (lambda p: g * p * (1 - p))(
        np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))),
    "cotangent_ignored": (lambda z: np.sin(z), X, lambda z, g: np.cos(z)),
    "blind_test": (lambda z: tg.softmax(z).sum(), X, np.zeros_like),
    "inplace_overwrite": (lambda z: np.sin(z).sum(), X, doubled_in_place),
    "nondeterministic": (lambda z: np.sin(z).sum(), X, lambda z: np.cos(z) * np.random.default_rng().random()),
    "unknown": (lambda z: np.sin(z).sum(), BIG, one_off),
}  # fmt: skip


def without_source(manual: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, of which no line can be read."""
    hidden: Any = eval("lambda *args, **named: manual(*args, **named)", {"manual": manual})
    hidden.__signature__ = inspect.signature(manual)
    return hidden


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str) -> None:
    function, inputs, manual = RIGHT[name]
    report = compare_gradients(function, inputs, manual=manual)
    assert report.ok, str(report)
    assert not report.diagnoses


@pytest.mark.parametrize("kind", WRONG)
def test_wrong(kind: str) -> None:
    function, inputs, manual = WRONG[kind]
    report = compare_gradients(function, inputs, manual=manual)
    assert not report.ok
    assert report.kinds == (kind if kind != "unknown" else "edit",), str(report)
    assert report.first_wrong
    if kind == "unknown":
        assert "remove g[777] *= 1.001" in report.diagnoses[0].text
        assert compare_gradients(function, inputs, manual=without_source(manual)).kinds == ("unknown",)


def test_the_operation_is_named() -> None:
    report = compare_gradients(f, (X, W, B), manual=backward(lambda z: 2 * (np.tanh(z) - Y) / 6))
    assert report.first_wrong == "tanh in `np.tanh(x @ W + b)`, line 20"
    mended = "2 * (np.tanh(z) - Y) / 6 * (1 - np.tanh(z) ** 2) instead of "
    assert f"in a lambda: write {mended}" in report.diagnoses[0].evidence[1]
    assert report.diagnoses[0].equation == r"g \, (1 - out^2)"


def test_harmless_differences() -> None:
    kink = compare_gradients(lambda z: tg.relu(z).sum(), np.array([0.0, 1.0, -1.0]), manual=lambda z: (z >= 0) * 1.0)
    assert kink.ok
    assert kink.kinds == ("kink",)
    single = compare_gradients(lambda z: np.sin(z).sum(), X, manual=lambda z: np.cos(z.astype(np.float32)))
    assert single.ok
    assert single.kinds == ("rounding",)
    kept = compare_gradients(f, (X, W, B), manual=backward(edit=lambda dx, dW, db, d: (dx, dW, db[None])))
    assert kept.ok
    assert kept.kinds == ("convention",)


def test_parts_of_complex_numbers_are_no_functions_of_them() -> None:
    z = X[0] + 1j * X[1]
    report = compare_gradients(lambda z: np.abs(z) + np.real(z) ** 2, z, manual=lambda z, g: 2 * g * z)
    assert not report.ok


@pytest.mark.parametrize("off", [1e-6, 1e-7, 1e-9])
def test_an_error_of_the_size_of_float32_is_no_rounding_in_float64(off: float) -> None:
    report = compare_gradients(lambda z: np.sin(z).sum(), X, manual=lambda z: (1 + off) * np.cos(z))
    assert not report.ok
    assert "rounding" not in report.kinds


def test_a_conjugate_that_is_off_is_no_convention() -> None:
    z = X[0] + 1j * X[1]
    for off, right in ((0.0, True), (1e-9, False)):
        report = compare_gradients(lambda z: np.real(z**3).sum(), z, manual=lambda z, s=3 + 3 * off: s * z * z)
        assert report.ok is right
        assert ("convention" in report.kinds) is right


def test_nan_is_explained() -> None:
    value = compare_gradients(lambda z: np.log(z).sum(), np.array([-1.0, 2.0]), manual=lambda z: 1 / z)
    assert value.kinds == ("blind_test",)
    assert "not finite" in value.diagnoses[0].text
    gradient = compare_gradients(lambda z: np.abs(z).sum(), np.array([0.0, 2.0]), manual=lambda z: z / np.abs(z))
    assert not gradient.ok
    assert "0/0" in gradient.diagnoses[0].text


def test_an_array_without_a_cotangent_is_compared_for_its_sum_and_says_so() -> None:
    report = compare_gradients(lambda z: np.sin(z), X, manual=np.cos)
    assert report.ok
    assert "give the backward a parameter g" in report.notes[0]


def test_arguments_are_checked() -> None:
    with pytest.raises(TypeError, match="needs manual="):
        compare_gradients(f, (X, W, B))
    with pytest.raises(TypeError, match="in one tuple, dict or array"):
        compare_gradients(f, X, W, manual=backward())
    with pytest.raises(TypeError, match="2 gradients; it needs a gradient for each of x, W, b"):
        compare_gradients(f, (X, W, B), manual=lambda x, W, b: (x, W))
    with pytest.raises(TypeError, match=r"a list of arrays for one array.* such as self\.dweights for self\.weights"):
        compare_gradients(f, (X, W, B), manual=lambda x, W, b: (x, [W, b], b))
    with pytest.raises(TypeError, match="no input is made of floats"):
        compare_gradients(lambda n: n, 3, manual=lambda n: n)
    with pytest.raises(TypeError, match="'other' and there is no input for it"):
        compare_gradients(f, (X, W, B), manual=lambda x, W, b, other: 0)


@pytest.mark.parametrize(
    ("added", "kind"),
    [
        (lambda W: 0.3 * np.sum(W * W), "missing_penalty"),
        (lambda W: 0.3 * np.sum(np.abs(W)), "missing_penalty"),
        (lambda W: np.sum(np.exp(W)), "overwritten_not_accumulated"),
        (lambda W: np.sum(W * np.abs(W)), "overwritten_not_accumulated"),
    ],
)
def test_only_a_multiple_of_the_weights_or_of_their_signs_is_called_a_penalty(added: Any, kind: str) -> None:
    W, X = np.random.default_rng(0).normal(size=(2, 3, 4))
    manual = lambda W, g: g * (1 - np.tanh(W) ** 2) * X
    report = compare_gradients(lambda W: np.sum(np.tanh(W) * X) + added(W), (W,), manual=manual)
    assert [d.kind for d in report.diagnoses] == [kind]


def kl(mu: Any, logvar: Any) -> Any:
    return -0.5 * (1 + logvar - mu**2 - np.exp(logvar)).sum()


def unrolled(h: Any, W: Any, b: Any) -> Any:
    for _ in range(5):
        h = np.tanh(h @ W + b)
    return h


def unrolled_backward(h: Any, W: Any, b: Any, g: Any) -> Any:
    states = [h]
    for _ in range(5):
        states.append(np.tanh(states[-1] @ W + b))
    dh, dW, db = g, np.zeros_like(W), np.zeros_like(b)
    for t in reversed(range(5)):
        da = dh * (1 - states[t + 1] ** 2)
        dW, db, dh = dW + states[t].T @ da, db + da.sum(axis=0), da @ W.T
    return dh, dW, db


@pytest.mark.parametrize("scale", [1e-3, 1.0, 5.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_work_whose_terms_cancel_raises_no_alarm(scale: float, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    half = dtype(0.5)
    right = lambda mu, logvar: (mu, half * (np.exp(logvar) - 1))
    wrong = lambda mu, logvar: (mu, half * np.exp(logvar))
    for _ in range(4):
        mu, logvar, h, b = (rng.normal(size=n).astype(dtype) for n in ((3, 4), (3, 4), (3, 6), 6))
        W = (scale * rng.normal(size=(6, 6))).astype(dtype)
        logvar *= dtype(scale)
        for report in (
            compare_gradients(kl, (mu, logvar), manual=right),
            compare_gradients(unrolled, (h, W, b), manual=unrolled_backward),
        ):
            assert report.ok, str(report)
            assert {*report.kinds} <= ({"rounding"} if dtype == np.float32 else set()), str(report)
        if scale < 5:  # exp(13) is so large that 1 is rounding beside it in float32
            rows = compare_gradients(kl, (mu, logvar), manual=wrong).rows
            assert [row.name for row in rows if not row.ok] == ["logvar"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("margin", [0.5, 5.0, 10.0, 20.0])
def test_a_stable_softmax_that_is_sure_raises_no_alarm(margin: float, dtype: Any) -> None:
    def loss(z: Array, y: Array) -> Array:
        e = np.exp(z - np.max(z, axis=1, keepdims=True))
        return -np.sum(y * np.log(e / e.sum(axis=1, keepdims=True))) / len(z)

    def right(z: Array, y: Array, factor: float = 1.0) -> Any:
        e = np.exp(z - np.max(z, axis=1, keepdims=True))
        return factor * (e / e.sum(axis=1, keepdims=True) - y) / len(z), None

    for seed in range(4):
        rng = np.random.default_rng(seed)
        y = np.eye(3)[rng.integers(0, 3, 6)]
        inputs = tuple(a.astype(dtype) for a in (margin * y + 0.3 * rng.normal(size=(6, 3)), y))
        report = compare_gradients(loss, inputs, manual=right)
        assert report.ok, str(report)
        assert {*report.kinds} <= ({"rounding"} if dtype == np.float32 else set()), str(report)
        assert not compare_gradients(loss, inputs, manual=lambda z, y: right(z, y, 1.01)).ok


@pytest.mark.parametrize("size", [1.0, 100.0, 300.0])
def test_one_percent_is_wrong_in_float32_also_where_terms_cancel(size: float) -> None:
    x = (size + np.random.default_rng(0).normal(size=100)).astype(np.float32)

    def off(x: Array) -> Array:
        return 2 * (x - x.mean()) / (len(x) - 1) / x.var()

    assert not compare_gradients(lambda x: np.log(np.mean(x * x) - np.mean(x) ** 2), (x,), manual=off).ok


def layers_of(weights: Any, biases: Any) -> list[Any]:
    activations = [np.ones((2, 1))]
    for w, b in zip(weights, biases, strict=True):
        activations.append(1 / (1 + np.exp(-(w @ activations[-1] + b))))
    return activations


@pytest.mark.parametrize(
    ("derivative", "kinds"), [(lambda a: a * (1 - a), ()), (lambda a: 1, ("missing_activation_derivative",))]
)
def test_a_mistake_in_the_loop_over_the_hidden_layers_is_one_mistake(derivative: Any, kinds: tuple[str, ...]) -> None:
    """The output layer has the same function, and its derivative, outside the loop, is right."""

    def back(weights: Any, biases: Any) -> Any:
        activations = layers_of(weights, biases)
        delta = 2 * activations[-1] ** 2 * (1 - activations[-1])
        dw, db = [delta @ activations[-2].T], [delta]
        for k in (2, 3):
            delta = weights[1 - k].T @ delta * derivative(activations[-k])
            dw.insert(0, delta @ activations[-k - 1].T)
            db.insert(0, delta)
        return dw, db

    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in ((3, 2), (4, 3), (2, 4))]
    biases = [rng.normal(size=(n, 1)) for n in (3, 4, 2)]
    report = compare_gradients(lambda weights, biases: (layers_of(weights, biases)[-1] ** 2).sum(),
                               (weights, biases), manual=back)  # fmt: skip
    assert report.kinds == kinds


def naive_sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def stable_sigmoid(z: Any) -> Any:
    return np.where(z >= 0, 1 / (1 + np.exp(-z)), np.exp(z) / (1 + np.exp(z)))


@pytest.mark.parametrize("largest", [1.0, 30.0, 800.0, 1e5])
@pytest.mark.parametrize("sigmoid", [naive_sigmoid, stable_sigmoid])
@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_units_that_overflow_or_saturate(sigmoid: Callable[[Any], Any], largest: float, factor: float) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(20, 3)), rng.normal(size=(3, 4))
    w *= largest / np.abs(x @ w).max()
    x = np.concatenate([x, -x, x / largest])

    def f(x: Any, w: Any) -> Any:
        return sigmoid(x @ w)

    def backward(x: Any, w: Any, g: Any) -> Any:
        a = 1 / (1 + np.exp(-(x @ w)))
        dz = factor * g * a * (1 - a)
        return dz @ w.T, x.T @ dz

    report = compare_gradients(f, (x, w), manual=backward)
    assert report.ok == (factor == 1), str(report)
    overflows = largest > 709
    assert ("the result overflows" in str(report)) == overflows
    if overflows:
        note = next(n for n in report.notes if "overflows" in n)
        assert note.startswith("exp in `np.exp(")

    def forward(x: Any, w: Any) -> Any:
        z = x @ w
        a = sigmoid(z)
        loss = np.sum(a * a)
        return loss, (x, w, a)

    def steps(cache: Any) -> Any:
        x, w, a = cache
        da = 2 * a
        dz = factor * da * a * (1 - a)
        dw = x.T @ dz
        dx = dz @ w.T
        return dx, dw

    report = compare_steps(forward, steps, (x, w))
    assert report.ok == (factor == 1), str(report)
    assert ("overflows" in str(report)) == overflows


@pytest.mark.parametrize("factor", [1.0, 1 + 1e-6])
def test_digits_that_a_backward_loses_in_float64_are_rounding_if_longdouble_has_them(factor: float) -> None:
    x, w = np.random.default_rng(3).uniform(0.9, 1.1, size=(6, 4)), np.array([0.5, -1.0, 20.0, 34.0])

    def backward(x: Any, w: Any, g: Any) -> Any:
        a = naive_sigmoid(x * w)
        dz = factor * g * a * (1 - a)  # 1 - a has lost most of its digits
        return dz * w, (dz * x).sum(axis=0)

    report = compare_gradients(lambda x, w: naive_sigmoid(x * w), (x, w), manual=backward)
    assert report.ok == (factor == 1), str(report)
    if factor == 1:
        assert report.kinds == ("rounding",)
        assert "computed in float64 and differs only by rounding" in " ".join(str(report).split())
        assert "of the same numbers in longdouble, it is right" in str(report)


def in_three_orders() -> list[Callable[..., Any]]:
    def first(h: Any, w: Any, b: Any, g: Any) -> Any:
        dw, db, g = walk(h, w, b, g)
        return g, dw, db

    def last(h: Any, w: Any, b: Any, g: Any) -> Any:
        dw, db, g = walk(h, w, b, g)
        return dw, db, g

    def by_name(h: Any, w: Any, b: Any, g: Any) -> Any:
        dw, db, g = walk(h, w, b, g)
        return {"dw": dw, "g": g, "db": db}

    def walk(h: Any, w: Any, b: Any, g: Any) -> Any:
        hs = [h]
        for _ in range(3):
            hs.append(np.tanh(hs[-1] @ w + b))
        dw, db = np.zeros_like(w), np.zeros_like(b)
        for t in (2, 1, 0):
            g = g * (1 - hs[t + 1] ** 2)
            dw, db, g = dw + hs[t].T @ g, db + g.sum(axis=0), g @ w.T
        return dw, db, g

    return [first, last, by_name]


@pytest.mark.parametrize("backward", in_three_orders())
def test_the_upstream_gradient_that_a_loop_passed_on_belongs_to_the_input_that_is_left(backward: Any) -> None:
    def rnn(h: Any, w: Any, b: Any) -> Any:
        for _ in range(3):
            h = np.tanh(h @ w + b)
        return h

    rng = np.random.default_rng(0)
    inputs = tuple(rng.normal(size=shape) for shape in ((4, 3), (3, 3), 3))
    assert compare_gradients(rnn, inputs, manual=backward).ok


def test_an_input_with_the_name_of_a_cotangent_is_explained() -> None:
    with pytest.raises(TypeError, match="g is an input here: name the cotangent dout"):
        compare_gradients(lambda x, g: x * g, (np.ones(2), np.ones(2)), manual=lambda x, w, g: (w * g, x * g))


def test_mistakes_that_only_large_inputs_show_are_no_effect_of_a_guard() -> None:
    rng = np.random.default_rng(0)
    x, w, y = rng.normal(size=(5, 3)) * 20, rng.normal(size=(3, 4)), np.eye(4)[[0, 1, 2, 3, 0]]

    def softmax(z: Any) -> Any:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def f(x: Any, w: Any) -> Any:
        return -np.sum(y * np.log(softmax(np.minimum(np.maximum(x, 0), 15.0) @ w) + 1e-8))

    def backward(x: Any, w: Any) -> Any:
        h = np.minimum(np.maximum(x, 0), 15.0)
        dz = softmax(h @ w) - y
        return (dz @ w.T) * (x > 0), h.T @ dz  # without (x < 15)

    assert not compare_gradients(f, (x, w), manual=backward).ok


def test_one_entry_that_is_rounded_excuses_no_other() -> None:
    sizes, x = np.array([1e18, 1, 1, 1]), np.array([30, 0.5, 0.2, 0.1])
    for factors in (np.ones(4), np.array([1, 1.5, 1, 1])):

        def backward(x: Any, factors: Any = factors) -> Any:
            a = naive_sigmoid(x)
            return sizes * a * (1 - a) * factors

        report = compare_gradients(lambda x: np.sum(sizes * naive_sigmoid(x)), (x,), manual=backward)
        assert report.ok == (factors.max() == 1), str(report)


@pytest.mark.parametrize("z", [20.0, 40.0, 100.0])
def test_the_upper_limit_of_a_probability_is_a_guard(z: float) -> None:
    x, w, y = np.array([[z, 1.0], [3.0, -2.0]]), np.array([1.0, 0.5]), np.array([0.0, 1.0])

    def f(x: Any, w: Any) -> Any:
        a = np.clip(naive_sigmoid(x @ w), 1e-8, 1 - 1e-8)
        return -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a))

    def backward(x: Any, w: Any) -> Any:
        d = naive_sigmoid(x @ w) - y
        return d[:, None] * w, x.T @ d

    report = compare_gradients(f, (x, w), manual=backward)
    assert report.kinds == ("convention",)
    assert ("for inputs times" in str(report)) == (z > 20)  # at 20, 1 - a still has digits


def test_a_constant_under_a_root_is_part_of_the_function() -> None:
    r = np.array([1e-4, 2e-4, 1.0])
    assert not compare_gradients(lambda r: np.sum(1 / np.sqrt(r**2 + 1e-7)), (r,), manual=lambda r: -1 / r**2).ok


def test_numbers_that_overflow_in_a_graph_are_compared() -> None:
    f = lambda w: 1 / (1 + np.exp(np.sum(w)) ** 2) + np.sum(w**2)
    report = compare_gradients(f, (np.array([400.0, 400.0]),), manual=lambda w: 2 * w)
    assert report.ok
    assert "Numerical only" not in str(report)


@pytest.mark.parametrize(("seed", "sizes", "scale"), [*((k, (9, 11, 21, 3), 1.0) for k in range(8)), *(
    (k, (9, 16, 33, 5), 3.0) for k in range(8))])  # fmt: skip
def test_steps_of_saturated_sigmoids_are_right_up_to_the_rounding_of_what_comes_in(
    seed: int, sizes: tuple[int, ...], scale: float
) -> None:
    def forward(X: Any, Y: Any, W1: Any, b1: Any, W2: Any, b2: Any) -> Any:
        Z1 = X @ W1 + b1
        A1 = naive_sigmoid(Z1)
        Z2 = A1 @ W2 + b2
        A2 = naive_sigmoid(Z2)
        loss = np.mean((A2 - Y) ** 2)
        return loss, (X, Y, W2, A1, A2)

    def backward(cache: Any) -> Any:
        X, Y, W2, A1, A2 = cache
        dA2 = 2 * (A2 - Y) / A2.size
        dZ2 = dA2 * A2 * (1 - A2)
        dW2 = A1.T @ dZ2
        db2 = dZ2.sum(axis=0)
        dA1 = dZ2 @ W2.T
        dZ1 = dA1 * A1 * (1 - A1)
        dW1 = X.T @ dZ1
        db1 = dZ1.sum(axis=0)
        return dW1, db1, dW2, db2

    rng, (n, d, h, o) = np.random.default_rng(seed), sizes
    X, Y = rng.normal(size=(n, d)) * 255, np.eye(o)[rng.integers(0, o, n)]
    X = np.abs(X).clip(0, 255).round()
    weights = (scale * rng.normal(size=shape) for shape in ((d, h), h, (h, o), o))
    report = compare_steps(forward, backward, (X, Y, *weights))
    assert report.ok, str(report)
