"""A gather whose backward gathers."""

import numpy as np

from .exhibit import Array, Exhibit, normal

INDEX = np.array([2, 0, 3, 2])


def forward(x: Array) -> Array:
    return np.tanh(x[INDEX])


def backward(x: Array, g: Array) -> Array:
    d = g * (1 - np.tanh(x[INDEX]) ** 2)
    return d[INDEX]


def right(x: Array, g: Array) -> Array:
    d = g * (1 - np.tanh(x[INDEX]) ** 2)
    dx = np.zeros_like(x)
    np.add.at(dx, INDEX, d)
    return dx


EXHIBIT = Exhibit(
    title="A gather in place of a scatter",
    project="ooples/AiDotNet.Tensors",
    number="pull 894",
    said="The backward of gather called a helper that is itself a gather. It must scatter, and add the gradients if an "
         "index repeats, which is always so in embeddings.",
    fact="The gradient of output i belongs to input index[i], not the other way round.",
    equation=r"\bar{x}_{\mathrm{index}_i} \mathrel{+}= g_i",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 3)),
    kinds=("wrong_index",),
)  # fmt: skip
