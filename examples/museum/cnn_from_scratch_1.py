"""A return that is indented too far."""

import numpy as np

from tinygrad_nn.ops.pooling import max_pool

from .exhibit import Array, Exhibit, normal


def forward(x: Array) -> Array:
    return max_pool(x[None, None], 2)[0, 0]


def backward(x: Array, g: Array) -> Array:
    dx = np.zeros_like(x)
    for h, w in np.ndindex(g.shape):
        patch = x[2 * h : 2 * h + 2, 2 * w : 2 * w + 2]
        dx[2 * h : 2 * h + 2, 2 * w : 2 * w + 2] = (patch == patch.max()) * g[h, w]
        return dx


def right(x: Array, g: Array) -> Array:
    dx = np.zeros_like(x)
    for h, w in np.ndindex(g.shape):
        patch = x[2 * h : 2 * h + 2, 2 * w : 2 * w + 2]
        dx[2 * h : 2 * h + 2, 2 * w : 2 * w + 2] = (patch == patch.max()) * g[h, w]
    return dx


EXHIBIT = Exhibit(
    title="Only the first patch",
    project="riccardoandreoni0/CNN-from-scratch",
    number="issue 1",
    said="Most gradients that the pooling layer passes back are 0: its return is inside the loop, which ends after the "
         "first patch. The model converges nevertheless.",
    fact="The return is indented by one level too much.",
    equation=r"\bar{x}_k = g_i \, [k = \arg\max_i]",
    forward=forward, backward=backward, right=right,
    inputs=normal((6, 6)),
    kinds=("last_step_only", "detached"),
)  # fmt: skip
