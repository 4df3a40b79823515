"""Networks with samples in columns, and typical mistakes in them."""

from typing import Any

import numpy as np

from tests.students.judge import Case, Mistake
from tests.students.ways import two_functions, with_cache

Rng = np.random.Generator


def columns(layers: int, **more: Any) -> Any:
    """Weights (out, in) and biases (out, 1) of layers, X (features, samples), and Y (1, samples)."""

    def draw(rng: Rng) -> dict[str, Any]:
        m, width = int(rng.integers(4, 9)), [int(rng.integers(2, 5)) for _ in range(layers)] + [1]
        found: dict[str, Any] = {}
        for k in range(layers):
            found[f"W{k + 1}"] = rng.normal(size=(width[k + 1], width[k])) * 0.7
            found[f"b{k + 1}"] = rng.normal(size=(width[k + 1], 1))
        X, Y = rng.normal(size=(width[0], m)), rng.integers(0, 2, size=(1, m))
        return found | {"X": X, "Y": Y} | more

    return draw


def logistic(rng: Rng) -> dict[str, Any]:
    n, m = int(rng.integers(2, 6)), int(rng.integers(3, 8))
    return {"w": rng.normal(size=(n, 1)), "b": rng.normal(), "X": rng.normal(size=(n, m)),
            "Y": rng.integers(0, 2, size=(1, m))}


def one_layer(rng: Rng) -> dict[str, Any]:
    n, k, m = int(rng.integers(2, 6)), int(rng.integers(2, 5)), int(rng.integers(3, 8))
    return {"A_prev": rng.normal(size=(n, m)), "W": rng.normal(size=(k, n)), "b": rng.normal(size=(k, 1))}


def whole(rng: Rng) -> dict[str, Any]:
    drawn = columns(2)(rng)
    return {"X": drawn.pop("X"), "Y": drawn.pop("Y")} | drawn


def grads(cost: str, backward: str, draw: Any, given: str, *rows: tuple[Any, ...]) -> Case:
    return Case("coursera", backward, "coursera", backward, two_functions(cost, backward, draw, given),
                tuple(Mistake(*row) for row in rows))  # fmt: skip


def cached(forward: str, backward: str, draw: Any, given: str, *rows: tuple[Any, ...]) -> Case:
    return Case("coursera", backward, "coursera", backward, with_cache(forward, backward, draw, given),
                tuple(Mistake(*row) for row in rows))  # fmt: skip


CASES = [
    grads("logistic_cost", "logistic_grads", logistic, "w",
          ("dw = 1 / m * np.dot(X, dZ.T)", "dw = np.dot(X, dZ.T)", "factor"),
          ("dZ = A - Y", "dZ = Y - A", "sign"),
          ("dZ = A - Y", "dZ = (A - Y) * A * (1 - A)", "extra factor", {"wrong_loss_gradient"}),
          ("dw = 1 / m * np.dot(X, dZ.T)", "dw = 1 / m * np.dot(X, dZ.T).T", "transpose"),
          ("dw = 1 / m * np.dot(X, dZ.T)", "dw = 1 / m * np.dot(X, A.T)", "operand"),
          ("dw = 1 / m * np.dot(X, dZ.T)", "dw = 1 / m * np.dot(X, Y.T)", "operand"),
          ("m = X.shape[1]", "m = X.shape[0]", "factor"),
          ("dw = 1 / m * np.dot(X, dZ.T)", "dw = 1 / m * X * dZ", "no sum")),
    cached("linear_forward", "linear_backward", one_layer, "A_prev W b",
           ("db = np.sum(dZ, axis=1, keepdims=True)", "db = np.sum(dZ, axis=1)", "no keepdims"),
           ("db = np.sum(dZ, axis=1, keepdims=True)", "db = np.sum(dZ, axis=0, keepdims=True)", "axis"),
           ("db = np.sum(dZ, axis=1, keepdims=True)", "db = dZ", "no sum"),
           ("dW = np.dot(dZ, A_prev.T)", "dW = np.dot(A_prev, dZ.T)", "transpose"),
           ("dW = np.dot(dZ, A_prev.T)", "dW = np.dot(dZ, A_prev.T) / dZ.shape[1]", "factor"),
           ("dA_prev = np.dot(W.T, dZ)", "dA_prev = np.dot(W.T, dZ) / dZ.shape[1]", "factor"),
           ("db = np.sum(dZ, axis=1, keepdims=True)", "db = np.sum(dZ)", "axis"),
           ("dA_prev = np.dot(W.T, dZ)", "dA_prev = np.dot(W.T, dZ) * A_prev", "extra factor")),
    cached("linear_activation_forward", "linear_activation_backward", one_layer, "A_prev W b",
           ("    dZ[Z <= 0] = 0\n", "", "no derivative"),
           ("dZ[Z <= 0] = 0", "dZ[dA <= 0] = 0", "derivative at"),
           ("dZ[Z <= 0] = 0", "dZ[Z > 0] = 0", "derivative at"),
           ("return dA_prev, dW, db", "return dA_prev, dW / dA.shape[1], db", "factor"),
           ("linear_backward(dZ, linear_cache)", "linear_backward(dA, linear_cache)", "no derivative"),
           ("dZ[Z <= 0] = 0", "dZ[Z <= 0] = 1", "derivative at"),
           ("return dA_prev, dW, db", "return dA_prev, dW, dA.sum(axis=1, keepdims=True)", "no derivative")),
    grads("planar_cost", "planar_grads", columns(2), "W1 b1 W2 b2",
          ("(1 - np.power(A1, 2))", "(1 - A1)", "derivative at"),
          ("np.dot(W2.T, dZ2) * (1 - np.power(A1, 2))", "np.dot(W2.T, dZ2)", "no derivative"),
          ("(1 - np.power(A1, 2))", "A1 * (1 - A1)", "derivative at"),
          ("dW2 = np.dot(dZ2, A1.T) / m", "dW2 = np.dot(dZ2, A1.T)", "factor"),
          ("db1 = np.sum(dZ1, axis=1, keepdims=True) / m", "db1 = np.sum(dZ1, axis=1, keepdims=True)", "factor"),
          ("dZ2 = A2 - Y", "dZ2 = Y - A2", "sign"),
          ("db1 = np.sum(dZ1, axis=1, keepdims=True) / m", "db1 = np.sum(dZ1, axis=0, keepdims=True) / m", "axis"),
          ("dW1 = np.dot(dZ1, X.T) / m", "dW1 = np.dot(X, dZ1.T) / m", "transpose"),
          ("dW2 = np.dot(dZ2, A1.T) / m", "dW2 = np.dot(A2 - 1, A1.T) / m", "operand"),
          ("dZ2 = A2 - Y", "dZ2 = (A2 - Y) * A2 * (1 - A2)", "extra factor", {"wrong_loss_gradient"})),
    grads("deep_cost", "deep_grads", columns(3, lambd=0.7), "W1 b1 W2 b2 W3 b3",
          ("np.dot(dZ3, A2.T) + lambd / m * W3", "np.dot(dZ3, A2.T)", "penalty"),
          ("np.dot(dZ2, A1.T) + lambd / m * W2", "np.dot(dZ2, A1.T) + lambd * W2", "penalty"),
          ("np.dot(dZ1, X.T) + lambd / m * W1", "np.dot(dZ1, X.T) + lambd / m * np.square(W1)", "penalty"),
          ("np.dot(dZ1, X.T) + lambd / m * W1", "np.dot(dZ1, X.T) + lambd / (2 * m) * W1", "penalty"),
          ("np.multiply(dA2, np.int64(A2 > 0))", "dA2", "no derivative"),
          ("np.multiply(dA1, np.int64(A1 > 0))", "np.multiply(dA1, A1)", "derivative at"),
          ("db3 = 1.0 / m * np.sum(dZ3, axis=1, keepdims=True)", "db3 = np.sum(dZ3, axis=1, keepdims=True)", "factor"),
          ("db1 = 1.0 / m * np.sum(dZ1, axis=1, keepdims=True)", "db1 = 4.0 / m * np.sum(dZ1, axis=1, keepdims=True)",
           "factor"),
          ("dW2 = 1.0 / m * np.dot(dZ2, A1.T)", "dW2 = 2.0 / m * np.dot(dZ2, A1.T)", "factor"),
          ("np.multiply(dA1, np.int64(A1 > 0))", "np.multiply(dA1, np.int64(dA1 > 0))", "derivative at")),
    cached("forward_propagation", "backward_propagation", whole, "X W1 b1 W2 b2",
           ("dcost * (A2 - Y) / m", "dcost * (A2 - Y)", "factor"),
           ("dcost * (A2 - Y) / m", "dcost * (Y - A2) / m", "sign"),
           ("dZ1 = dA1 * (Z1 > 0)", "dZ1 = dA1", "no derivative"),
           ("dZ1 = dA1 * (Z1 > 0)", "dZ1 = dA1 * (dA1 > 0)", "derivative at"),
           ("dX = W1.T @ dZ1", "dX = W1.T @ dA1", "no derivative"),
           ("dW2 = dZ2 @ A1.T", "dW2 = dZ2 @ Z1.T", "operand"),
           ("db1 = np.sum(dZ1, axis=1, keepdims=True)", "db1 = np.sum(dZ1, axis=1)", "no keepdims"),
           ("db2 = np.sum(dZ2, axis=1, keepdims=True)", "db2 = np.mean(dZ2, axis=1, keepdims=True)", "factor")),
]  # fmt: skip
