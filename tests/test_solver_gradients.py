"""The three roads to a gradient agree: the graph, the equations by hand, and finite differences."""

from collections.abc import Callable
from decimal import Decimal, localcontext
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import pytest
from more_activations import FURTHER, kinks_of

from tinygrad_nn import (
    BackProp,
    FeedForward,
    Layer,
    Regularization,
    Solver,
    Tensor,
    TrainNN,
    graph_loss,
    manual,
    value_and_grad,
)
from tinygrad_nn.nn import FROM_Z, LOSSES, PENALTIES, losses
from tinygrad_nn.solver.julia import DataCache, _differs

Array = Any

ACTIVATIONS = ["sigmoid", "softmax", "tanh", "linear", "relu", "leaky_relu(0.2)"]
SHAPES = [(1, 7), (2, 1), (3, 7), (4, 1), (2, 7)]  # layers, batch
VARIANTS = list(product(PENALTIES, (0.0, 0.4), SHAPES))
STEP, TOLERANCE = 2.0**-11, 1e-7  # as in test_manual, where the tolerance is derived


class Net(NamedTuple):
    """A network with its data and solver, and the cache that holds its dropout masks."""

    model: list[Layer]
    y: Array
    solver: Solver
    cache: DataCache

    def weights(self) -> Array:
        return np.concatenate([p.data.ravel() for layer in self.model for p in (layer.W, layer.b)])

    def parts(self, flat: Array) -> tuple[list[Array], list[Array]]:
        """The W and the b of each layer, from one vector."""
        W, b = [], []
        for layer in self.model:
            for p, found in ((layer.W, W), (layer.b, b)):
                found.append(flat[: p.size].reshape(p.shape))
                flat = flat[p.size :]
        return W, b

    def objective(self, flat: Array) -> float:
        """The loss with other weights, computed forward only."""
        W, b = self.parts(flat)
        names, reg = [layer.activation for layer in self.model], self.solver.regularization
        z, a = manual.forward(W, b, names, self.cache.x, self.cache.masks)
        penalty = {"penalty": reg.method, "lam": reg.lam, "r": reg.r}
        return float(manual.objective(W, names, z, a, self.y, loss=self.solver.loss, **penalty))

    def slope(self, v: Array) -> float:
        """The derivative along v, numerically."""
        w = self.weights()

        def central(h: float) -> float:
            return (self.objective(w + h * v) - self.objective(w - h * v)) / (2 * h)

        return (4 * central(STEP / 2) - central(STEP)) / 3

    def by_graph(self, cotangent: float = 1.0) -> tuple[float, Array]:
        loss = graph_loss(self.model, self.cache.x, self.y, solver=self.solver, masks=self.cache.masks)
        parameters = [p for layer in self.model for p in (layer.W, layer.b)]
        for p in parameters:
            p.grad = None
        loss.backward(cotangent)
        return loss.item(), np.concatenate([p.grad.ravel() for p in parameters])

    def by_hand(self) -> tuple[float, Array]:
        loss, dW, db = BackProp(self.model, self.cache, self.y, solver=self.solver)
        return loss, np.concatenate([g.ravel() for pair in zip(dW, db, strict=True) for g in pair])

    def sides(self, flat: Array) -> list[Array]:
        """On which side of each kink the network lies with these weights."""
        W, b = self.parts(flat)
        z, a = manual.forward(W, b, [layer.activation for layer in self.model], self.cache.x, self.cache.masks)
        kinked = [z_k - kink for z_k, layer in zip(z, self.model, strict=True) for kink in kinks_of(layer.activation)]
        if self.solver.loss == "mae":
            kinked.append(a[-1] - self.y)
        if self.solver.regularization.method in ("l1", "elasticnet"):
            kinked += W
        return [np.sign(values) for values in kinked]

    def smooth_along(self, v: Array) -> bool:
        ends = [self.sides(self.weights() + t * v) for t in (-STEP, STEP)]
        return all(np.array_equal(left, right) for left, right in zip(*ends, strict=True))


def draw(
    rng: np.random.Generator, hidden: str, output: str, loss: str, penalty: str, dropout: float, shape: tuple[int, int]
) -> Net:
    """A random network whose output before its activation is within 0.5 ± 0.3, so that any output is in (0, 1)."""
    layers, batch = shape
    sizes = [*(3, 4, 3, 4)[:layers], 3]
    names = [hidden] * (layers - 1) + [output]
    model = [Layer(n, m, name, "n", rng=rng) for (n, m), name in zip(pairwise(sizes), names, strict=True)]
    for layer in model:
        layer.b = rng.normal(size=layer.n_out)
    solver = Solver(loss, regularization=Regularization(penalty, 0.1, 0.3, dropout))
    x = rng.normal(size=(batch, 3))
    seed = int(rng.integers(2**32))
    before = [x, *FeedForward(model, x, solver=solver, rng=seed).a][-2]
    model[-1].W = model[-1].W.data * 0.3 / np.abs(before @ model[-1].W.data.T).max().clip(1)
    model[-1].b = np.full(3, 0.5)
    y = rng.uniform(0.05, 0.95, (batch, 3))
    if loss == "crossentropy":
        y /= y.sum(axis=1, keepdims=True)
    elif loss != "binarycrossentropy":
        y = 2 * y + np.array([-2, 1, 1])  # below the output and above it, so that no sum of signs is zero
    return Net(model, y, solver, FeedForward(model, x, solver=solver, rng=seed))


def draw_smooth(rng: np.random.Generator, *kind: Any, entries: bool = False) -> tuple[Net, list[Array]]:
    """A network and directions, random or along each weight, in which no kink lies within a step."""
    for _ in range(200):
        net = draw(rng, *kind)
        size = net.weights().size
        v = rng.normal(size=size)
        directions = list(np.eye(size)) if entries else [v / np.linalg.norm(v)]
        if all(net.smooth_along(v) for v in directions):
            return net, directions
    raise AssertionError(f"no smooth network of {kind}")


def errors(net: Net, v: Array, cotangent: float) -> tuple[float, float, float]:
    """The distances of graph and hand, graph and numbers, hand and numbers, relative to the gradient's length."""
    (loss, graph), (hand_loss, hand) = net.by_graph(cotangent), net.by_hand()
    hand = cotangent * hand
    numerical, length = cotangent * net.slope(v), np.linalg.norm(hand)
    apart = max(np.abs(graph - hand).max() / np.abs(hand).max(), abs(loss - hand_loss) / abs(hand_loss))
    return apart, abs(graph @ v - numerical) / length, abs(hand @ v - numerical) / length


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_three_roads_meet(hidden: str, output: str, loss: str, rng: np.random.Generator) -> None:
    for variant in VARIANTS:
        net, (v,) = draw_smooth(rng, hidden, output, loss, *variant)
        apart, graph, hand = errors(net, v, cotangent=rng.normal())
        assert apart < 1e-12, variant
        assert max(graph, hand) < TOLERANCE, variant


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_three_roads_meet_in_every_entry(output: str, loss: str, penalty: str, rng: np.random.Generator) -> None:
    net, each = draw_smooth(rng, "tanh", output, loss, penalty, 0.4, (2, 3), entries=True)
    (_, graph), (_, hand) = net.by_graph(), net.by_hand()
    numerical = np.array([net.slope(v) for v in each])
    np.testing.assert_allclose(graph, numerical, rtol=0, atol=TOLERANCE * np.linalg.norm(hand))
    np.testing.assert_allclose(graph, hand, rtol=1e-11, atol=1e-13 * np.abs(hand).max())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("name", FURTHER)
def test_three_roads_meet_with_one_more_activation(name: str, loss: str, rng: np.random.Generator) -> None:
    for (hidden, output), shape in product(((name, "linear"), ("tanh", name), (name, "sigmoid")), SHAPES[2:4]):
        if (output, loss) == ("softplus", "binarycrossentropy"):
            continue  # a prediction above 1 has no logarithm of 1 - p
        net, (v,) = draw_smooth(rng, hidden, output, loss, "elasticnet", 0.4, shape)
        apart, graph, hand = errors(net, v, cotangent=rng.normal())
        assert apart < 1e-12, (hidden, output)
        assert max(graph, hand) < TOLERANCE, (hidden, output)


@pytest.mark.parametrize("key", FROM_Z, ids="-".join)
def test_a_loss_from_z_that_is_a_thousandth_off_is_noticed(
    key: tuple[str, str], rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = FROM_Z[key]
    monkeypatch.setitem(FROM_Z, key, lambda z, y: right(z * 1.001, y))
    net, (v,) = draw_smooth(rng, "tanh", key[1], key[0], "none", 0.0, (2, 7))
    apart, graph, hand = errors(net, v, 1.0)
    assert apart > 1e-12
    assert hand < TOLERANCE < graph


@pytest.mark.parametrize("loss", LOSSES)
def test_both_roads_use_the_same_masks_and_dropping_them_is_noticed(loss: str, rng: np.random.Generator) -> None:
    net = draw(rng, "tanh", "sigmoid", loss, "l2", 0.5, (3, 7))
    assert any((m == 0).any() for m in net.cache.masks[:-1])
    without = net._replace(cache=net.cache._replace(masks=[None] * 3))
    assert np.abs(without.by_graph()[1] - net.by_hand()[1]).max() > 1e-6


# ---- conventions at kinks and edges, the same on both roads


def flat_net(activation: str, loss: str, W: Array, x: Array, y: Array) -> Net:
    layer = Layer(len(W[0]), len(W), activation)
    layer.W = W
    solver = Solver(loss)
    return Net([layer], np.array(y, float), solver, FeedForward([layer], x, solver=solver))


@pytest.mark.parametrize(
    ("activation", "loss", "x", "y"),
    [
        ("relu", "mse", [[0.0, 0.0]], [[1.0, 2.0]]),
        ("leaky_relu(0.2)", "mse", [[0.0, 0.0]], [[1.0, 2.0]]),
        ("linear", "mae", [[1.0, 2.0]], [[1.0, 3.0]]),
        ("linear", "rmse", [[1.0, 2.0]], [[1.0, 2.0]]),
        ("relu", "crossentropy", [[0.0, 1.0]], [[0.0, 1.0]]),
        ("linear", "binarycrossentropy", [[0.0, 1.0]], [[0.0, 1.0]]),
        ("sigmoid", "binarycrossentropy", [[0.0, 0.0]], [[0.0, 1.0]]),
        ("softmax", "crossentropy", [[3.0, 3.0]], [[0.0, 1.0]]),
    ],
)
def test_kinks_and_edges_are_the_same_on_both_roads(activation: str, loss: str, x: Array, y: Array) -> None:
    net = flat_net(activation, loss, np.eye(2), np.array(x), y)
    (loss_graph, graph), (loss_hand, hand) = net.by_graph(), net.by_hand()
    assert np.isfinite(graph).all()
    assert loss_graph == pytest.approx(loss_hand, rel=1e-15)
    np.testing.assert_allclose(graph, hand, rtol=1e-15)


def test_the_slope_of_relu_and_of_mae_at_their_kinks_is_zero() -> None:
    assert not flat_net("relu", "mse", np.eye(2), np.zeros((1, 2)), [[1, 1]]).by_graph()[1].any()
    assert not flat_net("linear", "mae", np.eye(2), np.ones((1, 2)), [[1, 1]]).by_graph()[1].any()


# ---- saturation, against exact arithmetic

EXTREME = [
    [[1e4, -1e4, 0.0], [1e4, 1e4, 1e4], [-1e4, -9e3, -1e4]],
    [[40.0, 0.0, -40.0], [800.0, 0.0, 1.0], [0.0, -745.0, 745.0]],
    [[0.1, -0.2, 0.3], [5.0, 4.0, 3.0], [36.0, 37.0, -1.0]],
]


def exact(loss: str, output: str, z: Array, y: Array) -> tuple[Decimal, list[list[Decimal]]]:
    """Loss and gradient in 60 digits, from the definitions; 1 - p is never a difference of floats."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, -10**8, 10**8
        n, total, gradient = len(z), Decimal(0), []
        for z_row, y_row in zip(z.tolist(), y.tolist(), strict=True):
            z_row, y_row = [Decimal(v) for v in z_row], [Decimal(v) for v in y_row]
            exps = [v.exp() for v in z_row]
            if output == "softmax":
                p = [e / sum(exps) for e in exps]
                q = [sum(e for k, e in enumerate(exps) if k != j) / sum(exps) for j in range(len(exps))]
            else:
                p = [e / (1 + e) for e in exps]
                q = [1 / (1 + e) for e in exps]
            binary = loss == "binarycrossentropy"
            total -= sum(t * a.ln() + ((1 - t) * b.ln() if binary else 0) for t, a, b in zip(y_row, p, q, strict=True))
            # the loss's slope in ln p is -y, and in ln q it is y - 1
            row = []
            for i in range(len(p)):
                g = Decimal(0)
                for j, t in enumerate(y_row):
                    if output == "sigmoid":
                        ln_p, ln_q = (q[i], -p[i]) if i == j else (Decimal(0), Decimal(0))
                    elif i == j:
                        ln_p, ln_q = q[i], -p[i]
                    else:
                        ln_p, ln_q = -p[i], p[i] * p[j] / q[j]
                    g -= t * ln_p + ((1 - t) * ln_q if binary else 0)
                row.append(g / n)
            gradient.append(row)
        return total / n, gradient


@pytest.mark.parametrize("rows", EXTREME, ids=["1e4", "saturated", "mild"])
@pytest.mark.parametrize("targets", ["first", "last", "soft"])
@pytest.mark.parametrize(("loss", "output"), list(FROM_Z))
def test_losses_from_z_are_exact_for_any_z(loss: str, output: str, targets: str, rows: Array) -> None:
    z = np.array(rows)
    soft = np.tile([0.25, 0.5, 0.25], (3, 1))
    y = {"first": np.eye(3)[[0, 0, 0]], "last": np.eye(3)[[2, 1, 0]], "soft": soft}[targets]
    value, gradient = value_and_grad(lambda t: FROM_Z[loss, output](t, y))(z)
    true, slopes = exact(loss, output, z, y)
    assert np.isfinite(value)
    assert abs(value - float(true)) <= 4e-16 * max(float(true), np.abs(z).max() * 2**-52)
    assert np.isfinite(gradient).all()
    # a unit of rounding of 1/N, the size of an unsaturated gradient
    np.testing.assert_allclose(gradient, np.array(slopes, dtype=float), rtol=2e-15, atol=2e-16)
    hand = manual.output_delta(loss, output, z, manual.activation(output).f(z), y)
    np.testing.assert_allclose(gradient, hand, rtol=1e-12, atol=2e-16)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax", "tanh"])
@pytest.mark.parametrize("loss", LOSSES)
def test_saturated_layers_give_finite_gradients_on_both_roads(activation: str, loss: str) -> None:
    rng = np.random.default_rng(3)
    model = [Layer(3, 4, activation, rng=rng), Layer(4, 3, "softmax", rng=rng)]
    x = rng.normal(size=(7, 3))
    model[0].W = model[0].W.data * (1e4 / np.abs(x @ model[0].W.data.T).max())
    model[1].W = model[1].W.data * 1e4
    y, solver = np.eye(3)[rng.integers(0, 3, 7)], Solver(loss)
    net = Net(model, y, solver, FeedForward(model, x, solver=solver))
    (value, graph), (hand_value, hand) = net.by_graph(), net.by_hand()
    assert np.isfinite(value)
    assert np.isfinite(graph).all()
    assert value == pytest.approx(hand_value, rel=1e-12)
    np.testing.assert_allclose(graph, hand, rtol=1e-12, atol=1e-12 * max(np.abs(hand).max(), 1 / len(x)))


# ---- values of the composed losses, and dtypes

BY_DEFINITION: dict[str, Callable[[Array, Array], float]] = {
    "mae": lambda p, y: sum(sum(abs(y - p))) / len(y),
    "mse": lambda p, y: sum(sum((y - p) ** 2)) / len(y),
    "rmse": lambda p, y: (sum(sum((y - p) ** 2)) / len(y)) ** 0.5,
    "binarycrossentropy": lambda p, y: -sum(sum(y * np.log(p) + (1 - y) * np.log(1 - p))) / len(y),
    "crossentropy": lambda p, y: -sum(sum(y * np.log(p))) / len(y),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_values_are_those_of_the_definitions(loss: str, rng: np.random.Generator) -> None:
    p, y = rng.uniform(0.1, 0.9, (5, 3)), rng.uniform(0.1, 0.9, (5, 3))
    right = BY_DEFINITION[loss](p, y)
    assert float(LOSSES[loss](p, y)) == pytest.approx(right, rel=1e-14)
    assert LOSSES[loss](Tensor(p), y).item() == pytest.approx(right, rel=1e-14)


def test_penalties_are_those_of_the_definitions() -> None:
    W = np.array([[1.0, -2.0], [0.0, 3.0]])
    assert losses.l1(W, 0.5, 0.3) == 3.0
    assert losses.l2(W, 0.5, 0.3) == 3.5
    assert losses.elasticnet(W, 0.5, 0.3) == pytest.approx(0.3 * 3.0 + 0.7 * 3.5)


@pytest.mark.parametrize(("loss", "output"), list(product(LOSSES, ACTIVATIONS)))
def test_float32_stays_float32(loss: str, output: str, rng: np.random.Generator) -> None:
    model = [Layer(3, 4, "tanh", rng=rng, dtype=np.float32), Layer(4, 3, output, rng=rng, dtype=np.float32)]
    model[1].W, model[1].b = model[1].W.data * 0.1, np.full(3, 0.5)
    solver = Solver(loss, regularization=Regularization("elasticnet", 0.1, dropout=0.5))
    x, y = rng.normal(size=(5, 3)), np.eye(3)[[0, 1, 2, 0, 1]]
    cache = FeedForward(model, x, solver=solver, rng=0)
    total = graph_loss(model, x, y, solver=solver, masks=cache.masks)
    total.backward()
    _, dW, db = BackProp(model, cache, y, solver=solver)
    arrays = [total, *cache.z, *cache.a, *cache.masks[:-1], *dW, *db, *(layer.W.grad for layer in model)]
    assert {array.dtype for array in arrays} == {np.dtype(np.float32)}
    for layer, g in zip(model, dW, strict=True):
        np.testing.assert_allclose(layer.W.grad, g, rtol=1e-3, atol=1e-5)


# -- A data_cache of other weights


def _change_one(layer: Layer) -> None:
    layer.W.data[-1, -1] *= 1.001


@pytest.mark.parametrize("dtype", [np.float32, float])
@pytest.mark.parametrize(("change", "k"), [
    (lambda model: _change_one(model[0]), 1), (lambda model: _change_one(model[1]), 2),
    (lambda model: setattr(model[1], "b", model[1].b.data + 0.001), 2),
    (lambda model: setattr(model[0], "W", 1.01 * model[0].W.data), 1),
    (lambda model: TrainNN(model, np.ones((1, 4)), [[1, 0, 0]], solver=Solver("crossentropy", "sgd", 0.1)), 1),
])  # fmt: skip
def test_weights_that_changed_after_feedforward_are_told(change: Any, k: int, dtype: Any) -> None:
    solver = Solver("crossentropy")
    model = [Layer(4, 6, "tanh", rng=0, dtype=dtype), Layer(6, 3, "softmax", rng=1, dtype=dtype)]
    x = np.random.default_rng(2).standard_normal((20, 4))
    x -= x.mean(axis=0)  # a standardized table: its sums say nothing
    y = np.eye(3)[np.arange(20) % 3]
    cache = FeedForward(model, x, solver=solver)
    BackProp(model, cache, y, solver=solver)
    change(model)
    with pytest.raises(ValueError, match=f"W or b of layer {k} was changed after FeedForward.*Call FeedForward again"):
        BackProp(model, cache, y, solver=solver)
    BackProp(model, FeedForward(model, x), y, solver=solver)


@pytest.mark.parametrize("dtype", [np.float32, float])
@pytest.mark.parametrize("rows", [1, 7, 3000])
@pytest.mark.parametrize("kind", ["plain", "shifted", "large", "small", "sparse", "zero", "mixed"])
def test_rounding_is_not_taken_for_a_change_of_weights(kind: str, rows: int, dtype: Any) -> None:
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, 50))
    x = {"plain": x, "shifted": x + 1e6, "large": x * 1e30, "small": x * 1e-30, "sparse": x * (x > 2), "zero": 0 * x,
         "mixed": x * 10.0 ** rng.integers(-8, 8, x.shape)}[kind]  # fmt: skip
    model = [Layer(50, 30, "sigmoid", rng=0, dtype=dtype), Layer(30, 2, "sigmoid", rng=1, dtype=dtype)]
    model[1].W = model[1].W.data * 1e3
    model[1].b = -(FeedForward(model, x).z[1].mean(axis=0))  # sums that nearly cancel
    solver = Solver("mse", regularization=Regularization(dropout=0.4))
    for _ in range(3):
        BackProp(model, FeedForward(model, x, solver=solver, rng=rng), np.ones((rows, 2)), solver=solver)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_sum_that_was_rounded_term_by_term_is_not_taken_for_other_weights(dtype: Any) -> None:
    a, W, b = np.full((3, 5000), 0.1, dtype), np.ones((2, 5000), dtype), np.zeros(2, dtype)
    z = np.cumsum(a[:, None] * W, axis=2)[..., -1] + b
    factors, terms, eps = np.cos(np.arange(3, dtype=dtype)), 5001, np.finfo(dtype).eps
    assert np.abs(z - 500).max() > 20 * eps * 500  # it is rounded by more than a few roundings
    assert not _differs(W, b, factors, a, z)
    assert _differs(W * (1 + 4 * terms * eps), b, factors, a, z)
