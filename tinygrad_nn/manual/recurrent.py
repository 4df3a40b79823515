r"""A tanh RNN and an LSTM over time by hand, with backpropagation through time.

Sequences are `(batch, time, n_in)`, states `(batch, n_hidden)`. The only loop is over time; everything that does not
depend on the previous time is one matrix product for all times. Equations are numbered as in
`docs/backprop_layers.md`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .activations import sigmoid, sigmoid_vjp, tanh, tanh_vjp

Array = NDArray[np.floating[Any]]

_SEQUENCES = "x has shape {x}: sequences need the three axes (batch, time, n_in), and at least one time"
_SHAPE = "{name} has shape {got}; with x of shape {x} and W_h of shape {W_h} it needs {need}"


class Rnn(NamedTuple):
    """The result of the forward pass, for each time: weighted input `z` and state `h`, `(batch, time, n_hidden)`."""

    z: Array
    h: Array


class RnnGradients(NamedTuple):
    """Gradients of the arguments, each of its shape, and `delta`, the gradient of `z`, `(batch, time, n_hidden)`."""

    dx: Array
    dh0: Array
    dW_x: Array
    dW_h: Array
    db: Array
    delta: Array


class Lstm(NamedTuple):
    """The result of the forward pass, for each time.

    `z` and `gates` (the sigmoid or tanh of `z`) are `(batch, time, 4 n_hidden)`, in the order input, forget, candidate,
    output; the cell `c` and the state `h` are `(batch, time, n_hidden)`.
    """

    z: Array
    gates: Array
    c: Array
    h: Array


class LstmGradients(NamedTuple):
    """Gradients of the arguments, each of its shape, and `delta`, the gradient of `z`, `(batch, time, 4 n_hidden)`."""

    dx: Array
    dh0: Array
    dc0: Array
    dW_x: Array
    dW_h: Array
    db: Array
    delta: Array


def _check(gates: int, x: Array, W_h: Array, **others: Array) -> None:
    """Raise if an array has a wrong shape: broadcasting would accept a state or cotangent of another batch size."""
    if x.ndim != 3 or x.shape[1] == 0:
        raise ValueError(_SEQUENCES.format(x=x.shape))
    batch, time, n_in = x.shape
    n = W_h.shape[-1]
    shapes = {
        "W_h": (gates * n, n), "W_x": (gates * n, n_in), "b": (gates * n,), "g": (batch, time, n),
        "h0": (batch, n), "c0": (batch, n), "g_c": (batch, n),
    }  # fmt: skip
    for name, array in {"W_h": W_h, **others}.items():
        if array.shape != shapes[name]:
            raise ValueError(
                _SHAPE.format(name=name, got=array.shape, x=x.shape, W_h=W_h.shape, need=shapes[name])
            )


def _weighted_input(x: Array, W_x: Array, b: Array) -> Array:
    return x @ W_x.T + b  # (R1)


def _argument_gradients(
    δ: Array, x: Array, h: Array, h0: Array, W_x: Array, W_h: Array
) -> tuple[Array, Array, Array, Array, Array]:
    """Return the gradients of x, h0, W_x, W_h and b, from those of z at all times."""
    before = np.concatenate([h0[:, None], h[:, :-1]], axis=1)  # the state that each time started from
    dx = δ @ W_x  # (R6)
    dh0 = δ[:, 0] @ W_h  # (R7)
    dW_x = np.tensordot(δ, x, axes=((0, 1), (0, 1)))  # (R8)
    dW_h = np.tensordot(δ, before, axes=((0, 1), (0, 1)))  # (R9)
    db = δ.sum(axis=(0, 1))  # (R10)
    return dx, dh0, dW_x, dW_h, db


def rnn(x: Array, h0: Array, W_x: Array, W_h: Array, b: Array) -> Rnn:
    r"""Run a recurrent network over sequences.

    .. math:: z_t = x_t W_x^T + b + h_{t-1} W_h^T, \qquad h_t = \tanh z_t

    Args:
        x: sequences, `(batch, time, n_in)`, of at least one time.
        h0: the state before the first time, `(batch, n_hidden)`.
        W_x: weights of the input, `(n_hidden, n_in)`.
        W_h: weights of the state, `(n_hidden, n_hidden)`.
        b: biases, `(n_hidden,)`; PyTorch has two, of which this is the sum.

    Returns:
        `z` and `h`, `(batch, time, n_hidden)`; `h[:, -1]` is the last state.

    Raises:
        ValueError: shapes do not fit.

    Source: Elman, Finding structure in time (1990).

    Example:
        >>> one = np.ones((1, 1))
        >>> rnn(np.array([[[1.0], [0.0]]]), np.zeros((1, 1)), one, one, np.zeros(1)).h.round(3).tolist()
        [[[0.762], [0.642]]]
    """
    _check(1, x, W_h, W_x=W_x, b=b, h0=h0)
    z = _weighted_input(x, W_x, b)  # (batch, time, n_hidden)
    h = np.empty_like(z)
    before = h0
    for t in range(z.shape[1]):
        z[:, t] += before @ W_h.T  # (R2)
        before = h[:, t] = tanh(z[:, t])  # (R3)
    return Rnn(z, h)


def rnn_backward(g: Array, x: Array, h0: Array, W_x: Array, W_h: Array, z: Array, h: Array) -> RnnGradients:
    r"""Return the gradients of an RNN by backpropagation through time.

    .. math:: \delta_t = (g_t + \delta_{t+1} W_h) \odot \tanh'(z_t), \quad
              \partial_{W_x} = \sum_t \delta_t^T x_t, \quad \partial_{W_h} = \sum_t \delta_t^T h_{t-1}

    Args:
        g: gradient of the loss in each state `h`, `(batch, time, n_hidden)`; 0 if the loss does not use the state.
        x, h0, W_x, W_h: as given to `rnn`.
        z, h: as returned by it.

    Returns:
        `dx`, `dh0`, `dW_x`, `dW_h`, `db`, and `delta`.

    Raises:
        ValueError: shapes do not fit.

    Source: Werbos, Backpropagation through time: what it does and how to do it (1990).

    Example:
        >>> x, h0, one = np.array([[[1.0], [0.0]]]), np.zeros((1, 1)), np.ones((1, 1))
        >>> z, h = rnn(x, h0, one, one, np.zeros(1))
        >>> rnn_backward(np.array([[[0.0], [1.0]]]), x, h0, one, one, z, h).dW_x.round(3).tolist()
        [[0.247]]
    """
    _check(1, x, W_h, W_x=W_x, h0=h0, g=g)
    delta = np.empty_like(z)
    δ = np.zeros_like(h0)
    for t in reversed(range(z.shape[1])):
        dh = g[:, t] + δ @ W_h  # (R4)
        δ = delta[:, t] = tanh_vjp(dh, z[:, t], h[:, t])  # (R5)
    return RnnGradients(*_argument_gradients(delta, x, h, h0, W_x, W_h), delta)


def lstm(x: Array, h0: Array, c0: Array, W_x: Array, W_h: Array, b: Array) -> Lstm:
    r"""Run a long short-term memory over sequences.

    .. math:: c_t = f_t \odot c_{t-1} + i_t \odot \tilde c_t, \qquad h_t = o_t \odot \tanh c_t

    Args:
        x: sequences, `(batch, time, n_in)`, of at least one time.
        h0, c0: state and cell before the first time, `(batch, n_hidden)`.
        W_x: weights of the input, `(4 n_hidden, n_in)`: the rows of the input gate i, the forget gate f, the
            candidate (PyTorch's g) and the output gate o, in this order.
        W_h: weights of the state, `(4 n_hidden, n_hidden)`, likewise.
        b: biases, `(4 n_hidden,)`, likewise; PyTorch has two, of which this is the sum.

    Returns:
        `z` and `gates`, `(batch, time, 4 n_hidden)`, and `c` and `h`, `(batch, time, n_hidden)`.

    Raises:
        ValueError: shapes do not fit.

    Source: Hochreiter & Schmidhuber, Long short-term memory (1997); Gers, Schmidhuber & Cummins (2000), forget gate.

    Example:
        >>> state, W = np.zeros((1, 1)), np.ones((4, 1))
        >>> lstm(np.array([[[1.0], [0.0]]]), state, state, W, W, np.zeros(4)).h.round(3).tolist()
        [[[0.37], [0.291]]]
    """
    _check(4, x, W_h, W_x=W_x, b=b, h0=h0, c0=c0)
    n = W_h.shape[-1]
    z = _weighted_input(x, W_x, b)  # (batch, time, 4 n_hidden)
    gates, h, c = np.empty_like(z), np.empty_like(z[..., :n]), np.empty_like(z[..., :n])
    h_t, c_t = h0, c0
    for t in range(z.shape[1]):
        z[:, t] += h_t @ W_h.T  # (R11)
        z_i, z_f, z_u, z_o = np.split(z[:, t], 4, axis=1)  # (batch, n_hidden) each
        i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o)  # (R12)
        u = tanh(z_u)  # (R13)
        c_t = c[:, t] = f * c_t + i * u  # (R14)
        h_t = h[:, t] = o * tanh(c_t)  # (R15)
        gates[:, t] = np.concatenate([i, f, u, o], axis=1)
    return Lstm(z, gates, c, h)


def lstm_backward(
    g: Array, x: Array, h0: Array, c0: Array, W_x: Array, W_h: Array, z: Array, gates: Array, c: Array, h: Array, *,
    g_c: Array | None = None,
) -> LstmGradients:  # fmt: skip
    r"""Return the gradients of an LSTM by backpropagation through time, along states and cells.

    .. math:: \partial_{h_t} = g_t + \delta_{t+1} W_h, \qquad
              \partial_{c_t} = \partial_{c_{t+1}} \odot f_{t+1} + \partial_{h_t} \odot o_t \odot \tanh'(c_t)

    Args:
        g: gradient of the loss in each state `h`, `(batch, time, n_hidden)`; 0 if the loss does not use the state.
        x, h0, c0, W_x, W_h: as given to `lstm`.
        z, gates, c, h: as returned by it.
        g_c: gradient of the loss in the last cell, `(batch, n_hidden)`; by default 0.

    Returns:
        `dx`, `dh0`, `dc0`, `dW_x`, `dW_h`, `db`, and `delta`.

    Raises:
        ValueError: shapes do not fit.

    Source: Gers, Schmidhuber & Cummins (2000); Graves & Schmidhuber, Framewise phoneme classification (2005), appendix.

    Example:
        >>> x, state, W = np.array([[[1.0], [0.0]]]), np.zeros((1, 1)), np.ones((4, 1))
        >>> cache = lstm(x, state, state, W, W, np.zeros(4))
        >>> lstm_backward(np.array([[[0.0], [1.0]]]), x, state, state, W, W, *cache).dc0.round(3).tolist()
        [[0.373]]
    """
    g_c = np.zeros_like(c0) if g_c is None else g_c
    _check(4, x, W_h, W_x=W_x, h0=h0, c0=c0, g=g, g_c=g_c)
    delta = np.empty_like(z)
    δ = np.zeros_like(z[:, 0])
    dc = g_c
    for t in reversed(range(z.shape[1])):
        z_i, z_f, z_u, z_o = np.split(z[:, t], 4, axis=1)
        i, f, u, o = np.split(gates[:, t], 4, axis=1)
        c_before: Array = c[:, t - 1] if t else c0
        tanh_c = tanh(c[:, t])
        dh = g[:, t] + δ @ W_h  # (R16)
        dc = dc + tanh_vjp(dh * o, c[:, t], tanh_c)  # (R17)
        δ_i = sigmoid_vjp(dc * u, z_i, i)  # (R18)
        δ_f = sigmoid_vjp(dc * c_before, z_f, f)  # (R19)
        δ_u = tanh_vjp(dc * i, z_u, u)  # (R20)
        δ_o = sigmoid_vjp(dh * tanh_c, z_o, o)  # (R21)
        delta[:, t] = np.concatenate([δ_i, δ_f, δ_u, δ_o], axis=1)
        δ = delta[:, t]
        dc = f * dc  # (R22)
    dx, dh0, dW_x, dW_h, db = _argument_gradients(delta, x, h, h0, W_x, W_h)
    return LstmGradients(dx, dh0, dc, dW_x, dW_h, db, delta)
