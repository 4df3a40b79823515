"""A transposed convolution without its stride in the backward pass."""

import numpy as np

from tinygrad_nn.ops.convolution import conv_transpose

from .exhibit import Array, Exhibit, normal


def forward(x: Array, w: Array) -> Array:
    return conv_transpose(x, w, stride=2)


def backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    n = x.shape[2]
    dx = np.einsum("ncy,oc->noy", g[:, :, :n], w[:, :, 0])
    return dx, np.einsum("noy,ncy->oc", x, g[:, :, ::2])[:, :, None]


def right(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    dx = np.einsum("ncy,oc->noy", g[:, :, ::2], w[:, :, 0])
    return dx, np.einsum("noy,ncy->oc", x, g[:, :, ::2])[:, :, None]


EXHIBIT = Exhibit(
    title="The second position in place of the third",
    project="pytorch/pytorch",
    number="issue 63314",
    said="On the CPU a transposed convolution with stride 2 and a kernel of 1 takes the second entry of the gradient "
         "for the second input, but its output is at the third position. On the GPU the result is right.",
    fact="The stride of the forward pass was left out of the gradient of the input.",
    equation=r"\bar{x}_i = w \, g_{2 i}",
    forward=forward, backward=backward, right=right,
    inputs=normal((2, 2, 4), (2, 3, 1)),
    kinds=("wrong_stride",),
)  # fmt: skip
