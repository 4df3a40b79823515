"""A convolution that writes to the index of the output."""

import numpy as np

from tinygrad_nn.ops.convolution import conv

from .exhibit import Array, Exhibit, normal


def forward(x: Array, w: Array) -> Array:
    return conv(x, w)


def backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for d in range(x.shape[2]):
        for m in range(g.shape[2]):
            if 0 <= d - m < w.shape[2]:
                dx[:, :, m] += g[:, :, m] @ w[:, :, d - m]
                dw[:, :, d - m] += g[:, :, m].T @ x[:, :, d]
    return dx, dw


def right(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for d in range(x.shape[2]):
        for m in range(g.shape[2]):
            if 0 <= d - m < w.shape[2]:
                dx[:, :, d] += g[:, :, m] @ w[:, :, d - m]
                dw[:, :, d - m] += g[:, :, m].T @ x[:, :, d]
    return dx, dw


EXHIBIT = Exhibit(
    title="The index of the output in place of the input's",
    project="NervanaSystems/neon",
    number="issue 111",
    said="In the backward pass of the convolution the gradient of the input is written at depth m, the index of "
         "the output; it should be d.",
    fact="Depth d of the input gets the gradients of all outputs m that use it.",
    equation=r"\bar{x}_{c,d} = \sum_{o, m} w_{o,c,d-m} \, g_{o,m}",
    forward=forward, backward=backward, right=right,
    inputs=normal((2, 2, 7), (3, 2, 3)),
    kinds=("wrong_index",),
)  # fmt: skip
