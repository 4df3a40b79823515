"""The derivative of exp with the output in it."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return np.exp(x)


def backward(x: Array, g: Array) -> Array:
    out = np.exp(x)
    return out * g


EXHIBIT = Exhibit(
    title="The output in place of the input",
    project="karpathy/nn-zero-to-hero",
    number="issue 52",
    said="The backward of exp multiplies by out.data; it should be self.data.",
    fact="exp is its own derivative, and out is exp(x).",
    equation=r"g \, e^{x}",
    forward=forward, backward=backward,
    inputs=normal((5,)),
)  # fmt: skip
