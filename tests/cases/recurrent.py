"""Rows for recurrent layers, with references that go from time to time by the definition."""

import numpy as np

from tinygrad_nn.ops.recurrent import gru_states, lstm_states, rnn_states

from .case import Case


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _rnn(z, W, h, f=np.tanh):
    states = []
    for z_t in z:
        h = f(z_t + h @ W.T)
        states.append(h)
    return np.stack(states)


def _lstm(z, W, h, c):
    states = []
    for z_t in z:
        i, f, u, o = np.split(z_t + h @ W.T, 4, axis=-1)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(u)
        h = _sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack([*states, c])


def _gru(z, W, b, h):
    states = []
    for z_t in z:
        (x_r, x_u, x_n), (h_r, h_u, h_n) = np.split(z_t, 3, axis=-1), np.split(h @ W.T + b, 3, axis=-1)
        r, u = _sigmoid(x_r + h_r), _sigmoid(x_u + h_u)
        h = (1 - u) * np.tanh(x_n + r * h_n) + u * h
        states.append(h)
    return np.stack(states)


def _recurrent():
    for time, batch, n in ((3, 2, 2), (1, 1, 3), (4, 1, 1)):
        state = (batch, n)
        yield Case("rnn_states", lambda *a: rnn_states(*a), ((time, batch, n), (n, n), state), reference=_rnn)
        yield Case("lstm_states", lambda *a: lstm_states(*a), ((time, batch, 4 * n), (4 * n, n), state, state),
                   reference=_lstm)  # fmt: skip
        yield Case("gru_states", lambda *a: gru_states(*a), ((time, batch, 3 * n), (3 * n, n), (3 * n,), state),
                   reference=_gru)  # fmt: skip
    yield Case(
        "rnn_states", lambda *a: rnn_states(*a, activation="relu"), ((3, 2, 2), (2, 2), (2, 2)), (0.1, 1.0),
        reference=lambda *a: _rnn(*a, f=lambda x: np.maximum(x, 0)), note="relu",
    )  # fmt: skip


CASES = [*_recurrent()]
