"""ReLU that puts 0 or 1 in place of the gradient."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array, W: Array) -> Array:
    return np.maximum(x @ W, 0)


def backward(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    d = np.where(x @ W > 0, 1.0, 0.0)
    return d @ W.T, x.T @ d


def right(x: Array, W: Array, g: Array) -> tuple[Array, Array]:
    d = np.where(x @ W > 0, g, 0.0)
    return d @ W.T, x.T @ d


EXHIBIT = Exhibit(
    title="ReLU ignores the arriving gradient",
    project="haifengl/smile",
    number="issue 528",
    said="The gradient of the layer above is overwritten with 0 or 1; a * before the = is missing.",
    fact="The slope of relu is multiplied by the arriving gradient; it does not replace it.",
    equation=r"g \, [z > 0]",
    forward=forward, backward=backward, right=right,
    inputs=normal((5, 3), (3, 4)),
    kinds=("cotangent_ignored",),
)  # fmt: skip
