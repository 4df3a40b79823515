"""Primitives of recurrent layers (RNN, LSTM, GRU): a whole sequence is one operation with one VJP rule.

The contribution of the input, z, is computed by the caller for all times in one matrix product; only the part that
depends on the previous state is here. Arrays are ``(time, batch, ...)``, so that each time step is one block of memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import Array, declare
from .neural import sigmoid


def _rows(x: Array) -> Array:
    """Return (time, batch, n) as (time * batch, n)."""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


def _previous_states(states: Array, first: Array) -> Array:
    """Return the state before each time step."""
    return np.concatenate([first[None], states[:-1]])


# fmt: off
def _rnn(*arrays: Array, activation: str = "tanh") -> Array:
    r"""Return the states of a plain recurrent network at all times.

    .. math:: h_t = \tanh(z_t + h_{t-1} W^T)

    Args:
        z: the contribution of the input, (time, batch, n).
        W: the recurrent weights, (n, n).
        h: the state before the first time step, (batch, n).
        activation: ``'tanh'`` or ``'relu'``.

    Returns:
        (time, batch, n).

    Source: Elman (1990), Finding structure in time.

    Example:
        >>> one = np.ones((1, 1))
        >>> rnn_states(np.array([[[1.0]], [[0.0]]]), one, 0 * one).round(3).tolist()
        [[[0.762]], [[0.642]]]
    """
    z, W, h = arrays
    out, W = np.empty(z.shape, np.result_type(*arrays)), W.T.copy()  # contiguous, so BLAS need not copy it each time
    for z_t, h_t in zip(z, out, strict=True):
        np.matmul(h, W, out=h_t)
        h_t += z_t
        h = np.tanh(h_t, out=h_t) if activation == "tanh" else np.maximum(h_t, 0, out=h_t)
    return out


def _rnn_vjp(g: Array, out: Array, *arrays: Array, activation: str = "tanh") -> Any:
    z, W, h = arrays
    slope = 1 - out * out if activation == "tanh" else np.sign(out)
    back, deltas = 0, []
    for t in reversed(range(z.shape[0])):
        delta = (g[t] + back) * slope[t]
        back = delta @ W
        deltas.append(delta)
    dz = np.stack(deltas[::-1])  # (time, batch, n)
    return dz, _rows(dz).T @ _rows(_previous_states(out, h)), back

rnn_states = declare(_rnn, r"h_t = \tanh(z_t + h_{t-1} W^T)",
    jointly=(_rnn_vjp,
     r"\delta_t = (g_t + \delta_{t+1} W) \odot \tanh',\ \textstyle\sum_t \delta_t^T h_{t-1},\ \delta_1 W"),
    name="rnn_states", kinks="with relu the slope at 0 is 0")


def _split_gates(cells: Array, n: int) -> list[Array]:
    """Return the parts of n entries into which the last axis is cut."""
    return [cells[..., start : start + n] for start in range(0, cells.shape[-1], n)]


def _lstm(*arrays: Array) -> Any:
    r"""Return the states of a long short-term memory (LSTM) at all times, followed by its last cell state.

    .. math:: c_t = f_t \odot c_{t-1} + i_t \odot u_t, \qquad h_t = o_t \odot \tanh c_t

    Args:
        z: the contribution of the input, (time, batch, 4 n): to the gates i and f, the candidate u and the gate o.
        W: the recurrent weights, (4 n, n), in the same order.
        h, c: state and cell before the first time step, (batch, n).

    Returns:
        (time + 1, batch, n).

    Source: Gers, Schmidhuber & Cummins (2000), Learning to forget.

    Example:
        >>> zero, W = np.zeros((1, 1)), np.ones((4, 1))
        >>> lstm_states(np.ones((1, 1, 4)), W, zero, zero).round(3).ravel().tolist()
        [0.37, 0.557]
    """
    z, W, h, c = arrays
    n, dtype = W.shape[1], np.result_type(*arrays)
    out = np.empty((z.shape[0] + 1, z.shape[1], n), dtype)
    cells = np.empty((*z.shape[:2], 6 * n), dtype)  # i, f, u, o, then c and tanh c
    half = np.repeat(np.array([0.5, 0.5, 1, 0.5], dtype), n)  # σ(x) = (1 + tanh(x / 2)) / 2: one tanh for all four
    W, gates, s = W.T * half, cells[..., : 4 * n], np.empty((z.shape[1], 4 * n), dtype)
    W = np.ascontiguousarray(W)
    np.multiply(z, half, out=gates)
    for t in range(z.shape[0]):
        a, (i, f, u, o, c_t, tanh_c) = gates[t], _split_gates(cells[t], n)
        a += np.matmul(h, W, out=s)
        np.tanh(a, out=a)
        for gate in (a[:, : 2 * n], o):
            gate += 1
            gate *= 0.5
        np.multiply(f, c, out=c_t)
        c_t += i * u
        h, c = np.multiply(o, np.tanh(c_t, out=tanh_c), out=out[t]), c_t
    out[-1] = c
    return out, {"cells": cells}


def _lstm_cells(*arrays: Array) -> Array:
    z, W, h, c = arrays
    cells = []
    for t in range(z.shape[0]):
        i, f, u, o = _split_gates(z[t] + h @ W.T, W.shape[1])
        i, f, u, o = sigmoid(i), sigmoid(f), np.tanh(u), sigmoid(o)
        c = f * c + i * u
        tanh_c = np.tanh(c)
        h = o * tanh_c
        cells.append(np.concatenate([i, f, u, o, c, tanh_c], axis=-1))
    return np.stack(cells)


def _lstm_vjp(g: Array, out: Array, *arrays: Array, cells: Array) -> Any:
    z, W, h, first = arrays
    n = W.shape[1]
    i, f, u, o, c, tanh_c = _split_gates(cells, n)
    c_before = _previous_states(c, first)
    to_c = np.concatenate([u * i * (1 - i), c_before * f * (1 - f), i * (1 - u * u)], axis=-1)
    to_c = to_c.reshape(*z.shape[:2], 3, n)
    to_o, through = tanh_c * o * (1 - o), o * (1 - tanh_c * tanh_c)
    back, dc, deltas = 0, g[-1], []
    for t in reversed(range(z.shape[0])):
        dh = g[t] + back
        dc = dc + dh * through[t]
        of_c = (dc[:, None] * to_c[t]).reshape(z.shape[1], 3 * n)
        delta = np.concatenate([of_c, dh * to_o[t]], axis=-1)
        back, dc = delta @ W, dc * f[t]
        deltas.append(delta)
    dz = np.stack(deltas[::-1])  # (time, batch, 4 n)
    return dz, _rows(dz).T @ _rows(_previous_states(out[:-1], h)), back, dc

lstm_states = declare(_lstm, r"h_t = o_t \odot \tanh c_t,\ c_t = f_t \odot c_{t-1} + i_t \odot u_t",
    jointly=(_lstm_vjp, (
     r"\delta_t = (\bar c_t u_t i'_t, \bar c_t c_{t-1} f'_t, \bar c_t i_t u'_t, \bar h_t \tanh(c_t) o'_t),\ "
     r"\textstyle\sum_t \delta_t^T h_{t-1},\ \delta_1 W,\ \bar c_1 f_1")),
    name="lstm_states", saves={"cells": _lstm_cells})


def _gru(*arrays: Array) -> Any:
    r"""Return the states of a gated recurrent unit (GRU) at all times.

    .. math:: h_t = (1 - u_t) \odot n_t + u_t \odot h_{t-1}, \qquad n_t = \tanh(z_t + r_t \odot q_t)

    Args:
        z: the contribution of the input, (time, batch, 3 n): to the gates r and u and the candidate.
        W, b: recurrent weights (3 n, n) and biases (3 n,), in the same order; q_t is h_{t-1} Wᵀ + b of the candidate.
        h: the state before the first time step, (batch, n).

    Returns:
        (time, batch, n).

    Source: Cho et al. (2014), Learning phrase representations using RNN encoder-decoder; the reset gate acts after the
    matrix product, as in PyTorch.

    Example:
        >>> zero, W = np.zeros((1, 1)), np.ones((3, 1))
        >>> gru_states(np.ones((1, 1, 3)), W, np.zeros(3), zero).round(3).ravel().tolist()
        [0.205]
    """
    z, W, b, h = arrays
    n, dtype = W.shape[1], np.result_type(*arrays)
    out = np.empty((*z.shape[:2], n), dtype)
    cells = np.empty((*z.shape[:2], 4 * n), dtype)  # r, u, the candidate, q
    s, W = np.empty((z.shape[1], 3 * n), dtype), W.T.copy()
    for t in range(z.shape[0]):
        a, (r, u, candidate, q) = cells[t, :, : 2 * n], _split_gates(cells[t], n)
        np.matmul(h, W, out=s)
        s += b
        np.add(s[:, : 2 * n], z[t, :, : 2 * n], out=a)
        a *= 0.5
        np.tanh(a, out=a)  # σ(x) = (1 + tanh(x / 2)) / 2
        a += 1
        a *= 0.5
        q[...] = s[:, 2 * n :]
        np.multiply(r, q, out=candidate)
        candidate += z[t, :, 2 * n :]
        np.tanh(candidate, out=candidate)
        h_t = np.subtract(h, candidate, out=out[t])
        h_t *= u
        h_t += candidate
        h = h_t
    return out, {"cells": cells}


def _gru_cells(*arrays: Array) -> Array:
    z, W, b, h = arrays
    n, cells = W.shape[1], []
    for t in range(z.shape[0]):
        of_h = h @ W.T + b
        r, u = sigmoid(z[t, :, :n] + of_h[:, :n]), sigmoid(z[t, :, n : 2 * n] + of_h[:, n : 2 * n])
        q = of_h[:, 2 * n :]
        candidate = np.tanh(z[t, :, 2 * n :] + r * q)
        h = candidate + u * (h - candidate)
        cells.append(np.concatenate([r, u, candidate, q], axis=-1))
    return np.stack(cells)


def _gru_vjp(g: Array, out: Array, *arrays: Array, cells: Array) -> Any:
    z, W, _, first = arrays
    n = W.shape[1]
    r, u, candidate, q = _split_gates(cells, n)
    before = _previous_states(out, first)
    to_n, to_u = (1 - u) * (1 - candidate * candidate), (before - candidate) * u * (1 - u)
    to_r = to_n * q * r * (1 - r)
    to_h = np.concatenate([to_r, to_u, to_n * r], axis=-1).reshape(*z.shape[:2], 3, n)
    back, states, deltas = 0, [], []
    for t in reversed(range(z.shape[0])):
        dh = g[t] + back
        delta = (dh[:, None] * to_h[t]).reshape(z.shape[1], 3 * n)
        back = dh * u[t] + delta @ W
        states.append(dh)
        deltas.append(delta)
    dh, of_h = np.stack(states[::-1]), _rows(np.stack(deltas[::-1]))  # (time, batch, n), (time * batch, 3 n)
    dz = np.concatenate([dh * to_r, dh * to_u, dh * to_n], axis=-1)
    return dz, of_h.T @ _rows(before), of_h.sum(axis=0), back

gru_states = declare(_gru, r"h_t = (1 - u_t) \odot n_t + u_t \odot h_{t-1}",
    jointly=(_gru_vjp, (
     r"\delta_t = (\bar n_t q_t r'_t, \bar h_t (h_{t-1} - n_t) u'_t, \bar n_t),\ "
     r"\textstyle\sum_t \bar q_t^T h_{t-1},\ \sum_t \bar q_t,\ \bar h_0")),
    name="gru_states", saves={"cells": _gru_cells})
# fmt: on
