"""A convolution that does not flip its kernel."""

import numpy as np

from tinygrad_nn.ops.convolution import conv

from .exhibit import Array, Exhibit, normal


def forward(x: Array, w: Array) -> Array:
    return conv(x, w)


def backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for n, o, i, j in np.ndindex(g.shape):
        dx[n, :, i : i + 2, j : j + 2] += g[n, o, i, j] * w[o]
        dw[o] += g[n, o, i, j] * x[n, :, i : i + 2, j : j + 2]
    return dx, dw


EXHIBIT = Exhibit(
    title="A kernel that is not flipped",
    project="ddbourgin/numpy-ml",
    number="issue 27",
    said="The backward pass of the convolution does not flip the weights: is something missing?",
    fact="Here each output adds its kernel to the positions that it has read. Flipping the kernel by 180 degrees is "
         "needed only if one gathers for each input instead.",
    equation=r"\bar{x}_{c,\, i + u} \mathrel{+}= w_{ocu} \, g_{oi}",
    forward=forward, backward=backward,
    inputs=normal((2, 2, 4, 4), (3, 2, 2, 2)),
)  # fmt: skip
