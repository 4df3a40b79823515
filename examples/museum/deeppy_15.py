"""Local response normalisation that returns the gradient unchanged."""

import numpy as np

from .exhibit import Array, Exhibit, normal

K, ALPHA, BETA = 1.0, 0.3, 0.75


def around(a: Array) -> Array:
    """The sum over a channel and its two neighbours."""
    zero = np.zeros((a.shape[0], 1))
    p = np.concatenate([zero, a, zero], axis=1)
    return p[:, :-2] + p[:, 1:-1] + p[:, 2:]


def forward(x: Array) -> Array:
    return x / (K + ALPHA * around(x * x)) ** BETA


def backward(x: Array, g: Array) -> Array:
    return g.copy()


def right(x: Array, g: Array) -> Array:
    s = K + ALPHA * around(x * x)
    return g / s**BETA - 2 * ALPHA * BETA * x * around(g * x / s ** (BETA + 1))


EXHIBIT = Exhibit(
    title="A layer without a backward pass",
    project="andersbll/deeppy",
    number="issue 15",
    said="The backward of local response normalisation returns the arriving gradient unchanged. The author: a silly "
         "mistake.",
    fact="The whole derivative is missing.",
    equation=r"\frac{g_i}{s_i^\beta} - 2 \alpha \beta \, x_i \sum_{j \sim i} \frac{g_j x_j}{s_j^{\beta + 1}}",
    forward=forward, backward=backward, right=right,
    inputs=normal((3, 5)),
    kinds=("missing_activation_derivative", "wrong_derivative", "wrong_value"),
)  # fmt: skip
