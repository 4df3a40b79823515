"""The gradient of an LSTM cell is assigned where it should be added."""

import numpy as np

from .exhibit import Array, Exhibit, normal, sigmoid


def forward(x: Array, w: Array) -> Array:
    c, out = np.zeros(x.shape[1]), []
    for t in range(len(x)):
        c = sigmoid(x[t] * w[0]) * c + sigmoid(x[t] * w[1]) * x[t]
        out.append(sigmoid(x[t] * w[2]) * np.tanh(c))
    return np.stack(out)


def states(x: Array, w: Array) -> tuple[Array, ...]:
    f, i, o = (sigmoid(x * w[k]) for k in range(3))
    c = np.zeros((len(x) + 1, x.shape[1]))
    for t in range(len(x)):
        c[t + 1] = f[t] * c[t] + i[t] * x[t]
    return f, i, o, c


def backward(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    f, i, o, c = states(x, w)
    dx, dw, dC = np.zeros_like(x), np.zeros_like(w), np.zeros(x.shape[1])
    for t in reversed(range(len(x))):
        dC = g[t] * o[t] * (1 - np.tanh(c[t + 1]) ** 2)
        dz = np.stack([dC * c[t] * f[t] * (1 - f[t]), dC * x[t] * i[t] * (1 - i[t]),
                       g[t] * np.tanh(c[t + 1]) * o[t] * (1 - o[t])])  # fmt: skip
        dx[t] = (dz * w).sum(axis=0) + dC * i[t]
        dw += dz * x[t]
        dC = dC * f[t]
    return dx, dw


def right(x: Array, w: Array, g: Array) -> tuple[Array, Array]:
    f, i, o, c = states(x, w)
    dx, dw, dC = np.zeros_like(x), np.zeros_like(w), np.zeros(x.shape[1])
    for t in reversed(range(len(x))):
        dC += g[t] * o[t] * (1 - np.tanh(c[t + 1]) ** 2)
        dz = np.stack([dC * c[t] * f[t] * (1 - f[t]), dC * x[t] * i[t] * (1 - i[t]),
                       g[t] * np.tanh(c[t + 1]) * o[t] * (1 - o[t])])  # fmt: skip
        dx[t] = (dz * w).sum(axis=0) + dC * i[t]
        dw += dz * x[t]
        dC = dC * f[t]
    return dx, dw


EXHIBIT = Exhibit(
    title="The cell loses a gradient",
    project="apache/mxnet",
    number="issue 4057",
    said="In the LSTM of the Python examples the gradient that comes from the output should be added to dC (+=) "
         "instead of assigned to it (=).",
    fact="The cell influences its own output and the next cell; an assignment loses the gradient of the next cell.",
    equation=r"\bar{c}_t = f_{t+1} \odot \bar{c}_{t+1} + \bar{h}_t \odot o_t (1 - \tanh^2 c_t)",
    forward=forward, backward=backward, right=right,
    inputs=normal((4, 3), (3, 3)),
    kinds=("not_carried_back", "overwritten_not_accumulated", "detached"),
)  # fmt: skip
