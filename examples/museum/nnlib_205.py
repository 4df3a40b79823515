"""Max pooling that overwrites where windows overlap."""

import numpy as np

from tinygrad_nn.ops.pooling import max_pool

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return max_pool(x, 2, stride=1)


def backward(x: Array, g: Array) -> Array:
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(g.shape):
        window = x[n, c, i : i + 2, j : j + 2]
        u, v = np.unravel_index(window.argmax(), window.shape)
        dx[n, c, i + u, j + v] = g[n, c, i, j]
    return dx


def right(x: Array, g: Array) -> Array:
    dx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(g.shape):
        window = x[n, c, i : i + 2, j : j + 2]
        u, v = np.unravel_index(window.argmax(), window.shape)
        dx[n, c, i + u, j + v] += g[n, c, i, j]
    return dx


EXHIBIT = Exhibit(
    title="Max pooling: = instead of +=",
    project="FluxML/NNlib.jl",
    number="issue 205",
    said="With a stride smaller than the window the gradient differs from PyTorch's and from finite differences: an "
         "entry that is the maximum of several windows has 1 where it should have 2, 3 or 4. Replacing = by += "
         "corrects it.",
    fact="An entry gets the sum of the gradients of all windows whose maximum it is.",
    equation=r"\bar{x}_k = \sum_{i:\, k = \arg\max_{i}} g_i",
    forward=forward, backward=backward, right=right,
    inputs=normal((1, 2, 5, 5)),
    kinds=("overwritten_not_accumulated",),
)  # fmt: skip
