"""A convolution whose kernel learns slowly."""

import numpy as np

from tinygrad_nn.ops.convolution import conv

from .exhibit import Array, Exhibit, normal


def forward(x: Array, w: Array) -> Array:
    return conv(x, w)


def products(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    dx, dw, n = np.zeros_like(x), np.zeros_like(w), g.shape[2]
    for k in range(w.shape[2]):
        dx[:, :, k : k + n] += np.einsum("noy,oc->ncy", g, w[:, :, k])
        dw[:, :, k] = np.einsum("noy,ncy->oc", g, x[:, :, k : k + n])
    return dx, dw


def backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    dx, dw = products(x, w, g)
    return dx, dw / (g.shape[0] * g.shape[2])


def right(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    return products(x, w, g)


EXHIBIT = Exhibit(
    title="Divided by the number of uses",
    project="sebgao/cTensor",
    number="issue 3",
    said="Is the factor 1/(B H W) necessary in the gradient of the weights? By the equation the result is the sum of "
         "the products alone. The author: you are right, my fault.",
    fact="A kernel gets the sum over all positions and samples where it was used.",
    equation=r"\bar{w}_{ocu} = \sum_{n, i} g_{noi} \, x_{nc,\, i + u}",
    forward=forward, backward=backward, right=right,
    inputs=normal((2, 2, 7), (3, 2, 3)),
    kinds=("scale",),
)  # fmt: skip
