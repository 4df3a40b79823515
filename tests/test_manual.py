"""The hand-written backpropagation against numerical derivatives, and against exact arithmetic for saturated z."""

import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import pytest
from equations import code, mismatches, page
from more_activations import FURTHER, kinks_of

from tinygrad_nn import manual
from tinygrad_nn.manual import FUSED, LOSSES, PENALTIES, Activation, Loss, Penalty, backward, forward, objective

Array = Any

ACTIVATIONS = ["sigmoid", "softmax", "tanh", "linear", "relu", "leaky_relu(0.2)"]
CROSS_ENTROPIES = ("crossentropy", "binarycrossentropy")
VARIANTS = list(product(PENALTIES, (0.0, 0.4), (1, 2, 3, 4), (1, 7)))  # penalty, dropout, layers, batch

# Central differences with the steps h and h/2, extrapolated. Truncation: h⁴|E⁽⁵⁾|/480, and the worst E⁽⁵⁾ is that of a
# logarithm at ŷ = 0.2, moved by inputs up to 5: 24 (5/0.2)⁵ = 2e8, so 3e-8. Rounding: 3ε|E|/h = 1e-12 |E|.
STEP = 2.0**-11
TOLERANCE = 1e-7


class Case(NamedTuple):
    """A network with its data, and what it is to be trained on."""

    W: list[Array]
    b: list[Array]
    activations: list[str]
    x: Array
    y: Array
    masks: list[Array | None]
    kind: dict[str, Any]  # loss, penalty, lam, r

    def moved(self, t: float, direction: "Direction") -> "Case":
        W = [w + t * dw for w, dw in zip(self.W, direction.W, strict=True)]
        b = [w + t * dw for w, dw in zip(self.b, direction.b, strict=True)]
        return self._replace(W=W, b=b)

    def objective(self) -> float:
        cache = forward(self.W, self.b, self.activations, self.x, self.masks)
        return objective(self.W, self.activations, *cache, self.y, **self.kind)

    def gradients(self, cotangent: float = 1.0) -> "Direction":
        z, a = forward(self.W, self.b, self.activations, self.x, self.masks)
        result = backward(
            self.W, self.activations, self.x, z, a, self.y, **self.kind, masks=self.masks, cotangent=cotangent
        )
        assert result.loss == objective(self.W, self.activations, z, a, self.y, **self.kind)
        return Direction(result.dW, result.db)

    def sides(self) -> list[Array]:
        """The signs of the case's values relative to each kink: on which side of the kink they are."""
        z, a = forward(self.W, self.b, self.activations, self.x, self.masks)
        kinked = [
            z_k - kink
            for z_k, name in zip(z, self.activations, strict=True)
            for kink in kinks_of(name)
        ]
        if self.kind["loss"] == "mae":
            kinked.append(a[-1] - self.y)
        if self.kind["penalty"] in ("l1", "elasticnet"):
            kinked += self.W
        return [np.sign(values) for values in kinked]

    def is_smooth_along(self, direction: "Direction") -> bool:
        """No kink lies within a step."""
        ends = [self.moved(t, direction).sides() for t in (-STEP, STEP)]
        return all(np.array_equal(left, right) for left, right in zip(*ends, strict=True))


class Direction(NamedTuple):
    """A change of all parameters, or a gradient with respect to them."""

    W: list[Array]
    b: list[Array]

    def flat(self) -> Array:
        return np.concatenate([part.ravel() for part in (*self.W, *self.b)])


def draw_case(
    rng: np.random.Generator, hidden: str, output: str, loss: str, penalty: str, dropout: float, layers: int, batch: int
) -> Case:
    """A random network whose output, before its activation, lies within 0.5 ± 0.3, so that any output is in (0, 1)."""
    sizes = [*(3, 4, 3, 4)[:layers], 3]
    activations = [hidden] * (layers - 1) + [output]
    W = [rng.normal(size=(n_out, n_in)) / n_in**0.5 for n_in, n_out in pairwise(sizes)]
    b = [rng.normal(size=n) for n in sizes[1:]]
    x = rng.normal(size=(batch, sizes[0]))
    masks = manual.draw_masks(rng, sizes[1:], batch, dropout)
    a = [x, *forward(W, b, activations, x, masks).a][-2]
    W[-1] *= 0.3 / np.abs(a @ W[-1].T).max().clip(1)
    b[-1] = np.full(sizes[-1], 0.5)
    y = rng.uniform(0.05, 0.95, (batch, 3))
    if loss not in CROSS_ENTROPIES:
        y = 2 * y + np.array([-2, 1, 1])  # below the output and above it, so that no sum of signs is zero
    return Case(W, b, activations, x, y, masks, {"loss": loss, "penalty": penalty, "lam": 0.1, "r": 0.3})


def draw_direction(rng: np.random.Generator, case: Case) -> Direction:
    """A random direction of length 1."""
    v = Direction([rng.normal(size=w.shape) for w in case.W], [rng.normal(size=w.shape) for w in case.b])
    length = np.linalg.norm(v.flat())
    return Direction([w / length for w in v.W], [w / length for w in v.b])


def slope(case: Case, direction: Direction) -> float:
    """The derivative of the objective along a direction, numerically."""

    def central(h: float) -> float:
        return (case.moved(h, direction).objective() - case.moved(-h, direction).objective()) / (2 * h)

    return (4 * central(STEP / 2) - central(STEP)) / 3


def error_along(case: Case, direction: Direction, cotangent: float = 1.0) -> float:
    """Difference of the manual and the numerical derivative along a direction, relative to the gradient's length."""
    gradient = case.gradients(cotangent).flat()
    return abs(gradient @ direction.flat() - cotangent * slope(case, direction)) / np.linalg.norm(gradient)


def axes(case: Case) -> list[Direction]:
    """One direction for each parameter."""
    found = []
    for i in range(case.gradients().flat().size):
        v = Direction([np.zeros_like(w) for w in case.W], [np.zeros_like(w) for w in case.b])
        for part in (*v.W, *v.b):
            if 0 <= i < part.size:
                part.flat[i] = 1
            i -= part.size
        found.append(v)
    return found


def draw_smooth(
    rng: np.random.Generator, *kind: Any, directions: Callable[[Case], list[Direction]]
) -> tuple[Case, list[Direction]]:
    """A case and directions in which there is no kink within a step."""
    for _ in range(100):
        case = draw_case(rng, *kind)
        chosen = directions(case)
        if all(case.is_smooth_along(v) for v in chosen):
            return case, chosen
    raise AssertionError(f"no smooth case of {kind}")


# ---- against numerical derivatives


def every_pairing(test: Any) -> Any:
    for name, values in {"loss": LOSSES, "output": ACTIVATIONS, "hidden": ACTIVATIONS}.items():
        test = pytest.mark.parametrize(name, list(values))(test)
    return test


@every_pairing
def test_gradient_along_a_random_direction_is_the_numerical_one(
    hidden: str, output: str, loss: str, rng: np.random.Generator
) -> None:
    for variant in VARIANTS:
        case, (v,) = draw_smooth(
            rng, hidden, output, loss, *variant, directions=lambda case: [draw_direction(rng, case)]
        )
        error = error_along(case, v, cotangent=rng.normal())
        assert error < TOLERANCE, f"error {error:.1e} with penalty, dropout, layers, batch = {variant}"


@every_pairing
def test_each_entry_of_the_gradient_is_the_numerical_one(
    hidden: str, output: str, loss: str, rng: np.random.Generator
) -> None:
    case, each = draw_smooth(rng, hidden, output, loss, "elasticnet", 0.4, 2, 7, directions=axes)
    gradient = case.gradients().flat()
    numerical = [slope(case, v) for v in each]
    np.testing.assert_allclose(gradient, numerical, rtol=0, atol=TOLERANCE * np.linalg.norm(gradient))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", FURTHER)
def test_gradients_with_one_more_activation_are_the_numerical_ones(
    name: str, loss: str, rng: np.random.Generator
) -> None:
    for hidden, output in (name, "linear"), ("tanh", name):
        if (output, loss) == ("softplus", "binarycrossentropy"):
            continue  # a prediction above 1 has no logarithm of 1 - p
        case, each = draw_smooth(rng, hidden, output, loss, "elasticnet", 0.4, 3, 7, directions=axes)
        gradient = case.gradients().flat()
        numerical = [slope(case, v) for v in each]
        np.testing.assert_allclose(gradient, numerical, rtol=0, atol=TOLERANCE * np.linalg.norm(gradient))


# ---- the checks above must notice an error of 0.1 %

def wrong(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: 1.001 * rule(*args)


def mutants() -> list[Any]:
    """Each rule of each table, made wrong by 0.1 %, with a network that uses it."""
    found = []

    def add(table: dict[Any, Any], key: Any, row: Any, **kind: Any) -> None:
        found.append(pytest.param(table, key, row, kind, id="-".join([type(row).__name__, *np.atleast_1d(key)])))

    for key, (f, vjp) in manual.ACTIVATIONS.items():
        add(manual.ACTIVATIONS, key, Activation(f, wrong(vjp)), hidden=key)
    for key, (value, gradient) in LOSSES.items():
        add(LOSSES, key, Loss(value, wrong(gradient)), loss=key)
    for key, (value, gradient) in FUSED.items():
        add(FUSED, key, Loss(value, wrong(gradient)), loss=key[0], output=key[1])
    for key, (value, gradient) in PENALTIES.items():
        if key != "none":
            add(PENALTIES, key, Penalty(value, wrong(gradient)), penalty=key)
    return found


def draw_named(rng: np.random.Generator, **kind: str) -> tuple[Case, Direction]:
    kind = {"hidden": "sigmoid", "output": "linear", "loss": "mse", "penalty": "none"} | kind
    case, (v,) = draw_smooth(rng, *kind.values(), 0.4, 3, 7, directions=lambda case: [draw_direction(rng, case)])
    return case, v


@pytest.mark.parametrize(("table", "key", "row", "kind"), mutants())
def test_a_rule_that_is_a_thousandth_off_is_rejected(
    table: dict[Any, Any], key: Any, row: Any, kind: dict[str, str], rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    case, v = draw_named(rng, **kind)
    assert error_along(case, v) < TOLERANCE
    monkeypatch.setitem(table, key, row)
    assert error_along(case, v) > TOLERANCE


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("field", ["W", "b"])
def test_a_gradient_that_is_a_thousandth_off_in_one_array_is_rejected(
    field: str, layer: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, v = draw_named(rng)
    gradients = case.gradients()
    getattr(gradients, field)[layer] *= 1.001
    monkeypatch.setattr(Case, "gradients", lambda self, cotangent: gradients)
    assert error_along(case, v) > TOLERANCE


@pytest.mark.parametrize("hidden", ["sigmoid", "softmax", "tanh"])
def test_a_backward_pass_that_forgets_the_mask_is_rejected(
    hidden: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, v = draw_named(rng, hidden=hidden)
    gradients = case._replace(masks=[None, None, None]).gradients()
    monkeypatch.setattr(Case, "gradients", lambda self, cotangent: gradients)
    assert error_along(case, v) > TOLERANCE


# ---- values, by their definitions, sample by sample

BY_DEFINITION: dict[str, Callable[[Array, Array], float]] = {
    "mae": lambda p, y: sum(sum(abs(y - p))) / len(y),
    "mse": lambda p, y: sum(sum((y - p) ** 2)) / len(y),
    "rmse": lambda p, y: (sum(sum((y - p) ** 2)) / len(y)) ** 0.5,
    "binarycrossentropy": lambda p, y: -sum(sum(y * np.log(p) + (1 - y) * np.log(1 - p))) / len(y),
    "crossentropy": lambda p, y: -sum(sum(y * np.log(p))) / len(y),
}
BY_DEFINITION_f: dict[str, Callable[[Array], Array]] = {
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softmax": lambda z: np.exp(z) / sum(np.exp(z)),
    "tanh": lambda z: np.sinh(z) / np.cosh(z),
    "linear": lambda z: z,
    "relu": lambda z: np.array([max(u, 0) for u in z]),
    "leaky_relu(0.2)": lambda z: np.array([u if u > 0 else 0.2 * u for u in z]),
}
BY_DEFINITION_Ω: dict[str, Callable[[Array], float]] = {  # with lam = 0.1, r = 0.3
    "none": lambda w: 0,
    "l1": lambda w: 0.1 * abs(w),
    "l2": lambda w: 0.05 * w**2,
    "elasticnet": lambda w: 0.03 * abs(w) + 0.035 * w**2,
}


@pytest.mark.parametrize("penalty", PENALTIES)
@every_pairing
def test_forward_and_objective_are_what_the_definitions_say(
    hidden: str, output: str, loss: str, penalty: str, rng: np.random.Generator
) -> None:
    case = draw_case(rng, hidden, output, loss, penalty, 0.4, 3, 7)
    rows = []
    for n, a in enumerate(case.x):
        for W, b, name, m in zip(case.W, case.b, case.activations, case.masks, strict=True):
            z = [sum(W[j] * a) + b[j] for j in range(len(b))]
            a = BY_DEFINITION_f[name](np.array(z)) * (1 if m is None else m[n])
        rows.append(a)
    expected = BY_DEFINITION[loss](np.array(rows), case.y)
    expected += sum(BY_DEFINITION_Ω[penalty](w) for W in case.W for w in W.ravel())
    prediction = forward(case.W, case.b, case.activations, case.x, case.masks).a[-1]
    np.testing.assert_allclose(prediction, rows, rtol=1e-13)
    np.testing.assert_allclose(case.objective(), expected, rtol=1e-13)


# ---- saturated values, against sums of positive terms in 400 digits, and exponents that do not end at 1e-308

SATURATED = [
    (0.0, 0.0, 0.0), (3.0, 1.0, 2.0), (-1e-8, 0.0, 1e-8), (40.0, 0.0, -40.0), (-37.0, 2.0, 1.0), (700.0, -700.0, 0.0),
    (1e4, 0.0, -1e4), (1e4, 1e4, -1e4), (1e4, 9999.0, 9900.0), (-1e4, -9999.0, -9950.0),
]  # fmt: skip
TARGETS = [
    (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 1.0, 0.0), (0.0, 0.0, 0.0), (0.25, 0.5, 0.25),
    (0.75, 0.5, 0.25),
]  # fmt: skip
DIGITS = 400
SURE = {"rtol": 1e-12, "atol": 1e-300}


def exact(name: str, z: tuple[float, ...]) -> tuple[list[Decimal], list[Decimal], list[list[Decimal]]]:
    """The output p, 1 - p, and the Jacobian."""
    e = [Decimal(u).exp() for u in z]
    units = range(len(z))
    if name == "softmax":
        p, q = [u / sum(e) for u in e], [sum(e[j] for j in units if j != i) / sum(e) for i in units]
        return p, q, [[p[i] * q[i] if i == k else -p[i] * p[k] for k in units] for i in units]
    if name == "sigmoid":
        p, q = [u / (1 + u) for u in e], [1 / (1 + u) for u in e]
        slopes = [u / (1 + u) ** 2 for u in e]
    else:
        p, q = [(u - 1 / u) / (u + 1 / u) for u in e], [2 / u / (u + 1 / u) for u in e]
        slopes = [4 / (u + 1 / u) ** 2 for u in e]
    return p, q, [[slopes[i] if i == k else Decimal(0) for k in units] for i in units]


def assert_exact_vjp(got: Array, J: list[list[Decimal]], g: list[Decimal]) -> None:
    """Each entry is right to 1e-12 of the terms that make it up, which may cancel."""
    for k, entry in enumerate(got):
        terms = [J[i][k] * g[i] for i in range(len(g))]
        assert abs(entry - float(sum(terms))) <= 1e-12 * float(sum(map(abs, terms))) + 1e-300


@pytest.mark.parametrize("z", SATURATED)
@pytest.mark.parametrize("name", ["sigmoid", "softmax", "tanh"])
def test_saturated_activations_are_exact(name: str, z: tuple[float, ...]) -> None:
    row = np.array([z])
    f, vjp = manual.activation(name)
    with localcontext(prec=DIGITS):
        p, _, J = exact(name, z)
        np.testing.assert_allclose(f(row)[0], [float(u) for u in p], **SURE)
        for g in [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, -2.0, 0.5)]:
            assert_exact_vjp(vjp(np.array([g]), row, f(row))[0], J, [Decimal(u) for u in g])


@pytest.mark.parametrize("y", TARGETS)
@pytest.mark.parametrize("z", SATURATED)
@pytest.mark.parametrize(("loss", "output"), FUSED)
def test_cross_entropies_are_exact_for_any_z(
    loss: str, output: str, z: tuple[float, ...], y: tuple[float, ...]
) -> None:
    row = np.array([z])
    a = manual.activation(output).f(row)
    with localcontext(prec=DIGITS):
        p, q, J = exact(output, z)
        t = [Decimal(u) for u in y]
        w = [1 - u if loss == "binarycrossentropy" else Decimal(0) for u in t]
        value = -sum(t[i] * p[i].ln() + w[i] * q[i].ln() for i in range(3))
        np.testing.assert_allclose(manual.loss_value(loss, output, row, a, [y]), float(value), **SURE)
        delta = manual.output_delta(loss, output, row, a, [y])[0]
        assert_exact_vjp(delta, J, [w[i] / q[i] - t[i] / p[i] for i in range(3)])


# With any other output, 1e4 or 1 exactly would lie outside the domain of a cross-entropy.
DEFINED = [pair for pair in product(LOSSES, ACTIVATIONS) if pair in FUSED or pair[0] not in CROSS_ENTROPIES]


@pytest.mark.parametrize(("loss", "output"), DEFINED)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_gradients_of_a_saturated_network_are_finite(
    hidden: str, output: str, loss: str, rng: np.random.Generator
) -> None:
    case = draw_case(rng, hidden, output, loss, "elasticnet", 0.4, 2, 7)
    case = case._replace(b=[1e4 * np.sign(rng.normal(size=b.shape)) for b in case.b])
    assert np.isfinite(case.objective())
    assert np.isfinite(case.gradients().flat()).all()


# ---- kinks and edges

KINKS = [
    ("relu", [[0.0, 0.0]]),
    ("relu", [[-0.0, 0.0]]),
    ("leaky_relu(0.2)", [[0.2, 0.2]]),
    ("leaky_relu(-1)", [[-1.0, -1.0]]),
    ("elu(0.5)", [[0.5, 0.5]]),
    ("selu", [[1.7580993408473766, 1.7580993408473766]]),
    ("celu(0.5)", [[1.0, 1.0]]),
    ("hard_tanh(0,2)", [[0.0, 0.0]]),
]


@pytest.mark.parametrize(("name", "expected"), KINKS)
def test_slope_at_the_kink_of_an_activation(name: str, expected: list[list[float]]) -> None:
    z = np.zeros((1, 2))
    f, vjp = manual.activation(name)
    assert vjp(np.ones_like(z), z, f(z)).tolist() == expected


@pytest.mark.parametrize("loss", ["mae", "mse", "rmse"])
def test_gradient_of_a_perfect_fit_is_zero(loss: str) -> None:
    y = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert LOSSES[loss].value(y, y) == 0
    assert LOSSES[loss].gradient(y, y).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("penalty", PENALTIES)
def test_penalty_of_a_zero_weight_is_flat(penalty: str) -> None:
    assert PENALTIES[penalty].gradient(np.zeros((2, 3)), 0.1, 0.3).tolist() == [[0, 0, 0], [0, 0, 0]]


EDGES = [  # loss, prediction, target, value, gradient
    ("crossentropy", 0.0, 0.0, 0.0, 0.0),
    ("crossentropy", 0.0, 1.0, np.inf, -np.inf),
    ("crossentropy", -1.0, 0.0, np.nan, 0.0),
    ("crossentropy", np.nan, 0.0, np.nan, np.nan),
    ("binarycrossentropy", 0.0, 0.0, 0.0, 1.0),
    ("binarycrossentropy", 1.0, 1.0, 0.0, -1.0),
    ("binarycrossentropy", 1.0, 0.0, np.inf, np.inf),
    ("binarycrossentropy", 0.0, 1.0, np.inf, -np.inf),
    ("binarycrossentropy", 2.0, 0.0, np.nan, -1.0),
]


@pytest.mark.parametrize(("loss", "yhat", "y", "value", "gradient"), EDGES)
def test_cross_entropy_of_a_prediction_at_the_edge_of_its_domain_or_outside(
    loss: str, yhat: float, y: float, value: float, gradient: float
) -> None:
    row = LOSSES[loss]
    np.testing.assert_array_equal(row.value(np.array([[yhat]]), np.array([[y]])), value)
    np.testing.assert_array_equal(row.gradient(np.array([[yhat]]), np.array([[y]])), [[gradient]])


@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
def test_softmax_of_a_single_class_is_sure_and_has_nothing_to_learn(loss: str) -> None:
    z, one = np.array([[3.0], [-1e4]]), np.ones((2, 1))
    assert manual.loss_value(loss, "softmax", z, one, one) == 0
    assert manual.output_delta(loss, "softmax", z, one, one).tolist() == [[0], [0]]


# ---- dtype, dropout, names, shapes


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("penalty", PENALTIES)
@every_pairing
def test_float32_stays_float32_and_is_close_to_float64(
    hidden: str, output: str, loss: str, penalty: str, dropout: float, rng: np.random.Generator
) -> None:
    case = draw_case(rng, hidden, output, loss, penalty, dropout, 3, 7)
    W, b, masks = ([None if w is None else w.astype(np.float32) for w in ws] for ws in (case.W, case.b, case.masks))
    x = case.x.astype(np.float32)
    kind = case.kind | {"lam": np.float64(0.1), "r": np.float64(0.3)}
    z, a = forward(W, b, case.activations, x, masks)
    result = backward(W, case.activations, x, z, a, case.y, **kind, masks=masks, cotangent=np.float64(2))
    arrays = [result.loss, *z, *a, *result.dW, *result.db, *result.delta]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    expected = case.gradients(2.0).flat()
    error = np.linalg.norm(Direction(result.dW, result.db).flat() - expected) / np.linalg.norm(expected)
    assert error < 1e-4


def test_masks_are_fair_independent_and_scaled(rng: np.random.Generator) -> None:
    first, second, output = manual.draw_masks(rng, [30, 20, 10], batch=1000, p=0.2)
    assert first.shape == (1000, 30)
    assert second.shape == (1000, 20)
    assert output is None
    assert set(np.unique(first)) == {0, 1 / 0.8}
    # Five standard deviations of a mean of n such entries are 5 sqrt(p / (1 - p) / n) = 2.5 / sqrt(n).
    assert abs(first.mean() - 1) < 2.5 / 30_000**0.5
    assert abs(first.mean(axis=0) - 1).max() < 2.5 / 1000**0.5
    assert abs(first.mean(axis=1) - 1).max() < 2.5 / 30**0.5
    assert abs((first[:, :20] * second).mean() - 1) < 5 * (1.25**2 - 1) ** 0.5 / 20_000**0.5


def test_masks_do_not_depend_on_the_dtype() -> None:
    draws = [manual.draw_masks(np.random.default_rng(1), [5, 3], 4, 0.5, dtype)[0] for dtype in (np.float32, float)]
    assert draws[0].dtype == np.float32
    assert np.array_equal(*draws)


def test_no_dropout_draws_nothing() -> None:
    rng = np.random.default_rng(1)
    assert manual.draw_masks(rng, [5, 3], 4, 0.0) == [None, None]
    assert rng.random() == np.random.default_rng(1).random()


@pytest.mark.parametrize("p", [-0.1, 1.0, np.nan])
def test_impossible_dropout_is_refused(p: float, rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match=r"at least 0 and below 1"):
        manual.draw_masks(rng, [5, 3], 4, p)


def test_a_dropped_unit_gets_no_gradient(rng: np.random.Generator) -> None:
    case = draw_case(rng, "sigmoid", "linear", "mse", "none", 0.4, 2, 1)
    mask = np.array([[0, 2, 0, 2]]) / 1.0
    gradient = case._replace(masks=[mask[:, : len(case.b[0])], None]).gradients()
    dropped = mask[0, : len(case.b[0])] == 0
    assert (gradient.b[0] == 0).tolist() == dropped.tolist()
    assert (gradient.W[1] == 0).all(axis=0).tolist() == dropped.tolist()


@pytest.mark.parametrize("name", ["relu", " ReLU ", "Softmax", "leaky_relu", "Leaky_ReLU( 0.2 )", "leaky_relu(1e-2)"])
def test_activation_names(name: str) -> None:
    z = np.array([[-2.0, 1.0]])
    assert manual.activation(name).f(z).shape == z.shape


def test_slope_in_the_name_of_leaky_relu() -> None:
    z = np.array([[-2.0, 1.0]])
    assert manual.activation("leaky_relu").f(z).tolist() == [[-0.02, 1]]
    assert manual.activation("leaky_relu(0.5)").f(z).tolist() == [[-1, 1]]


@pytest.mark.parametrize(
    "name",
    ["", "rleu", "leaky_relu()", "leaky_relu(x)", "leaky_relu(1,2)", "leaky_relu(1e)", "elu(beta=1)", "elu(1",
     "relu(1)", "hard_tanh(1)"],
)
def test_unknown_activation_is_refused_with_the_known_ones(name: str) -> None:
    known = "sigmoid, softmax, tanh, linear, relu, leaky_relu"
    with pytest.raises(ValueError, match=re.escape(f"unknown activation {name!r}: use one of {known}")):
        manual.activation(name)


@pytest.mark.parametrize("names", [{"loss": "hinge"}, {"loss": "mse", "penalty": "l3"}])
def test_unknown_loss_or_penalty_is_refused_with_the_known_ones(
    names: dict[str, str], rng: np.random.Generator
) -> None:
    case = draw_case(rng, "relu", "linear", "mse", "none", 0.0, 2, 1)._replace(kind=names)
    what, name = list(names.items())[-1]
    known = ", ".join(LOSSES if what == "loss" else PENALTIES)
    with pytest.raises(ValueError, match=re.escape(f"unknown {what} {name!r}: use one of {known}")):
        case.gradients()


def test_names_of_losses_and_penalties_in_any_letter_case(rng: np.random.Generator) -> None:
    case = draw_case(rng, "relu", "softmax", "crossentropy", "l2", 0.0, 2, 7)
    shouted = case._replace(
        activations=["RELU", "SoftMax"], kind=case.kind | {"loss": "CrossEntropy", "penalty": "L2"}
    )
    assert shouted.objective() == case.objective()
    assert np.array_equal(shouted.gradients().flat(), case.gradients().flat())


@pytest.mark.parametrize("shape", [(7,), (1, 3), (7, 1), (3, 7)])
def test_targets_of_another_shape_are_refused(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    case = draw_case(rng, "relu", "linear", "mse", "none", 0.0, 2, 7)._replace(y=np.ones(shape))
    with pytest.raises(ValueError, match=re.escape(f"y has shape {shape}, the prediction has (7, 3)")):
        case.gradients()


def test_nothing_given_is_changed(rng: np.random.Generator) -> None:
    case = draw_case(rng, "leaky_relu(0.2)", "softmax", "crossentropy", "elasticnet", 0.4, 3, 7)
    for array in (*case.W, *case.b, case.x, case.y, *case.masks[:-1]):
        array.flags.writeable = False
    assert np.isfinite(case.gradients().flat()).all()


# ---- the numbers of the equations


def test_each_equation_of_the_page_is_one_line_of_the_code_and_the_other_way_round() -> None:
    assert not mismatches("B", page("backprop.md"), code())
