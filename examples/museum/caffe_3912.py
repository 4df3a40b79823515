"""Two equations for batch norm."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)


def backward(x: Array, g: Array) -> Array:
    std = np.sqrt(x.var(axis=0) + 1e-5)
    y = (x - x.mean(axis=0)) / std
    tmp = (g - (g * y).mean(axis=0) * y) / std
    return tmp - tmp.mean(axis=0)


EXHIBIT = Exhibit(
    title="Two forms of one equation",
    project="BVLC/caffe",
    number="issue 3912",
    said="The equation in the code subtracts the mean of the gradient first; it should be subtracted last, as in "
         "mxnet. A week later: the two are equivalent.",
    fact="The part that goes through the variance has mean zero, so the mean may be taken before or after.",
    equation=r"\overline{g - \overline{g y} \, y} = \overline{g}",
    forward=forward, backward=backward,
    inputs=normal((6, 4)),
)  # fmt: skip
