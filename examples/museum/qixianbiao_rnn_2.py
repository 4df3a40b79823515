"""A recurrent network that passes no gradient back in time."""

import numpy as np

from .exhibit import Array, Exhibit, normal


def forward(x: Array, Wx: Array, Wh: Array) -> Array:
    h, out = np.zeros(Wh.shape[0]), []
    for t in range(len(x)):
        h = np.tanh(x[t] @ Wx + h @ Wh)
        out.append(h)
    return np.stack(out)


def states(x: Array, Wx: Array, Wh: Array) -> Array:
    h = np.zeros((len(x) + 1, len(Wh)))
    for t in range(len(x)):
        h[t + 1] = np.tanh(x[t] @ Wx + h[t] @ Wh)
    return h


def backward(x: Array, Wx: Array, Wh: Array, g: Array) -> tuple[Array, ...]:
    h, dx, dWx, dWh = states(x, Wx, Wh), np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    for t in reversed(range(len(x))):
        dz = g[t] * (1 - h[t + 1] ** 2)
        dx[t] = dz @ Wx.T
        dWx += np.outer(x[t], dz)
        dWh += np.outer(h[t], dz)
    return dx, dWx, dWh


def right(x: Array, Wx: Array, Wh: Array, g: Array) -> tuple[Array, ...]:
    h, dx, dWx, dWh = states(x, Wx, Wh), np.zeros_like(x), np.zeros_like(Wx), np.zeros_like(Wh)
    later = np.zeros(len(Wh))
    for t in reversed(range(len(x))):
        dz = (g[t] + later) * (1 - h[t + 1] ** 2)
        dx[t] = dz @ Wx.T
        dWx += np.outer(x[t], dz)
        dWh += np.outer(h[t], dz)
        later = dz @ Wh.T
    return dx, dWx, dWh


EXHIBIT = Exhibit(
    title="No gradient to the previous time",
    project="qixianbiao/RNN",
    number="issue 2",
    said="The backward pass seems wrong: the gradient of the state is not passed to the previous step.",
    fact="A state influences its own output and all later states.",
    equation=r"\bar{h}_t = g_t + \delta_{t+1} W_h^T",
    forward=forward, backward=backward, right=right,
    inputs=normal((5, 2), (2, 3), (3, 3), scale=0.8),
    kinds=("not_carried_back", "detached"),
)  # fmt: skip
