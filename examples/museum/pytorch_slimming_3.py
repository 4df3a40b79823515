"""The sign in a penalty of absolute values."""

import numpy as np

from .exhibit import Array, Exhibit, normal

S = 0.1


def forward(x: Array, w: Array) -> Array:
    return ((x * w) ** 2).sum() + S * np.abs(w).sum()


def backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    dw = (2 * x * x * w * g).sum(axis=0)
    dw += g * S * np.sign(w)
    return 2 * x * w * w * g, dw


EXHIBIT = Exhibit(
    title="The sign of a penalty",
    project="foolwood/pytorch-slimming",
    number="issue 3",
    said="For an L1 penalty torch.abs should be added to the gradient, not torch.sign.",
    fact="abs is the penalty, and sign is its derivative. The code has no loss: it adds the derivative directly.",
    equation=r"\lambda \operatorname{sign} w",
    forward=forward, backward=backward,
    inputs=normal((4, 3), (3,)),
)  # fmt: skip
