"""Recurrent layers, forward and backward: each thread does some samples of the batch, so it never waits for another.

The equations are those of the primitives, see `ops.recurrent`. Each function gets two work arrays: `packed` for the
packed weights, of which every part has its own copy, and `s` for the products of one time step with them. The
elementwise work is done by functions of rows that share no memory, so that it is vectorized.
"""

from __future__ import annotations

from typing import Any

from .blocked import suits
from .build import Parted, kernel
from .mathematics import sigmoid, tanh
from .packed import multiply_packed, pack_matrix
from .products import gemm_in


@kernel(no_alias=True)
def _copy(a: Any, out: Any) -> None:
    for j in range(len(out)):
        out[j] = a[j]


@kernel()
def _zero(x: Any) -> None:
    for j in range(len(x)):
        x[j] = 0


@kernel(no_alias=True)
def _add(a: Any, out: Any) -> None:
    for j in range(len(out)):
        out[j] += a[j]


@Parted
def _weights(dz: Any, h: Any, states: Any, dw: Any, db: Any, p: Any, parts: Any) -> None:
    """Write some rows of dw, the sum over times of dz_t^T h_{t-1}, and of db, the sum of dz, unless db is empty."""
    m, n, batch = dz.shape[2], h.shape[1], len(h)
    k = (len(dz) - 1) * batch
    lo, hi = p * m // parts, (p + 1) * m // parts
    d, out, size = dz.reshape(-1)[lo:], dw.reshape(-1)[lo * n :], dw.itemsize
    gemm_in(suits(m, n, batch, size), True, False, hi - lo, n, batch, 1.0, d, m, h.reshape(-1), n, False, out, n)
    if k:  # one product for all times but the first
        before, blocks = states.reshape(-1), suits(m, n, k, size)
        gemm_in(blocks, True, False, hi - lo, n, k, 1.0, d[batch * m :], m, before, n, True, out, n)
    if len(db):
        _zero(db[lo:hi])
        for t in range(len(dz)):
            for row in range(batch):
                _add(dz[t, row, lo:hi], db[lo:hi])


@kernel(no_alias=True)
def _rnn_row(x: Any, a: Any, h: Any, relu: Any) -> None:
    # One step of one sample: x is the product with the last state, a the input's contribution, h the new state.
    zero = h.dtype.type(0)
    if relu:
        for j in range(len(h)):
            y = x[j] + a[j]
            h[j] = zero if y <= zero else y
    else:
        for j in range(len(h)):
            h[j] = tanh(x[j] + a[j])


@Parted
def rnn_states(z: Any, w: Any, h: Any, out: Any, packed: Any, s: Any, relu: Any, p: Any, parts: Any) -> None:
    """Write the states of a plain recurrent network."""
    mine, lo, hi = packed[p], p * len(h) // parts, (p + 1) * len(h) // parts
    pack_matrix(w, True, mine)
    for t in range(len(z)):
        multiply_packed(h if t == 0 else out[t - 1], mine, s, lo, hi)
        for row in range(lo, hi):
            _rnn_row(s[row], z[t, row], out[t, row], relu)


@kernel(no_alias=True)
def _rnn_row_back(g: Any, h: Any, back: Any, delta: Any, relu: Any) -> None:
    zero, one = g.dtype.type(0), g.dtype.type(1)
    if relu:
        for j in range(len(g)):
            delta[j] = (g[j] + back[j]) * (one if h[j] > zero else h[j])  # h is 0 or NaN then
    else:
        for j in range(len(g)):
            delta[j] = (g[j] + back[j]) * (one - h[j] * h[j])


@Parted
def _rnn_back(g: Any, out: Any, w: Any, dz: Any, dh: Any, packed: Any, s: Any, relu: Any, p: Any, parts: Any) -> None:
    # From the last time to the first; `s` holds the gradient that a state gets from the next time.
    mine, lo, hi = packed[p], p * len(dh) // parts, (p + 1) * len(dh) // parts
    pack_matrix(w, False, mine)
    for row in range(lo, hi):
        _zero(s[row])
    for t in range(len(g) - 1, -1, -1):
        for row in range(lo, hi):
            _rnn_row_back(g[t, row], out[t, row], s[row], dz[t, row], relu)
        multiply_packed(dz[t], mine, s, lo, hi)
    for row in range(lo, hi):
        _copy(s[row], dh[row])


def rnn_states_back(
    g: Any, out: Any, w: Any, h: Any, dz: Any, dw: Any, dh: Any, packed: Any, s: Any, relu: Any, parts: Any
) -> None:
    """Write the gradients of the input's contribution z, of the weights and of the first state."""
    _rnn_back(g, out, w, dz, dh, packed, s, relu, parts)
    _weights(dz, h, out, dw, dw[0, :0], parts)


@kernel(no_alias=True)
def _lstm_row(
    to_i: Any, to_f: Any, to_u: Any, to_o: Any, a_i: Any, a_f: Any, a_u: Any, a_o: Any, c: Any,
    i: Any, f: Any, u: Any, o: Any, c_t: Any, of_c: Any, h: Any,
) -> None:  # fmt: skip
    for j in range(len(h)):
        i[j], f[j] = sigmoid(to_i[j] + a_i[j]), sigmoid(to_f[j] + a_f[j])
        u[j], o[j] = tanh(to_u[j] + a_u[j]), sigmoid(to_o[j] + a_o[j])
        c_t[j] = f[j] * c[j] + i[j] * u[j]
        of_c[j] = tanh(c_t[j])
        h[j] = o[j] * of_c[j]


@Parted
def lstm_states(z: Any, w: Any, h: Any, c: Any, out: Any, cells: Any, packed: Any, s: Any, p: Any, parts: Any) -> None:
    """Write the states of a long short-term memory and its last cell, and save what the rule needs in `cells`."""
    mine, lo, hi = packed[p], p * len(h) // parts, (p + 1) * len(h) // parts
    pack_matrix(w, True, mine)
    n = h.shape[1]
    added, gates = z.reshape(len(z), len(h), 4, n), cells.reshape(len(z), len(h), 6, n)
    for t in range(len(z)):
        multiply_packed(h if t == 0 else out[t - 1], mine, s, lo, hi)
        for row in range(lo, hi):
            x, a, k = s[row], added[t, row], gates[t, row]
            before = c[row] if t == 0 else gates[t - 1, row, 4]
            _lstm_row(
                x[:n], x[n : 2 * n], x[2 * n : 3 * n], x[3 * n : 4 * n], a[0], a[1], a[2], a[3], before,
                k[0], k[1], k[2], k[3], k[4], k[5], out[t, row],
            )  # fmt: skip
    for row in range(lo, hi):
        _copy(gates[-1, row, 4], out[-1, row])


@kernel(no_alias=True)
def _lstm_row_back(
    g: Any, of_h: Any, of_c: Any, i: Any, f: Any, u: Any, o: Any, c: Any, tanh_c: Any,
    to_i: Any, to_f: Any, to_u: Any, to_o: Any,
) -> None:  # fmt: skip
    one = g.dtype.type(1)
    for j in range(len(g)):
        h = of_h[j] + g[j]
        cell = of_c[j] + h * (o[j] * (one - tanh_c[j] * tanh_c[j]))
        to_o[j] = h * (tanh_c[j] * o[j] * (one - o[j]))
        to_i[j] = cell * (u[j] * i[j] * (one - i[j]))
        to_u[j] = cell * (i[j] * (one - u[j] * u[j]))
        to_f[j] = cell * (c[j] * f[j] * (one - f[j]))
        of_c[j] = cell * f[j]


@Parted
def _lstm_back(
    g: Any, w: Any, c: Any, cells: Any, dz: Any, dh: Any, dc: Any, packed: Any, s: Any, p: Any, parts: Any
) -> None:
    # From the last time to the first; `s` and `dc` hold the gradients that state and cell get from the next time.
    mine, lo, hi = packed[p], p * len(dh) // parts, (p + 1) * len(dh) // parts
    pack_matrix(w, False, mine)
    batch, n = dh.shape
    gates, deltas = cells.reshape(len(dz), batch, 6, n), dz.reshape(len(dz), batch, 4, n)
    for row in range(lo, hi):
        _zero(s[row])
        _copy(g[-1, row], dc[row])
    for t in range(len(dz) - 1, -1, -1):
        for row in range(lo, hi):
            k, d, x = gates[t, row], deltas[t, row], s[row]
            before = c[row] if t == 0 else gates[t - 1, row, 4]
            _lstm_row_back(
                g[t, row], x[:n], dc[row], k[0], k[1], k[2], k[3], before, k[5], d[0], d[1], d[2], d[3]
            )
        multiply_packed(dz[t], mine, s, lo, hi)
    for row in range(lo, hi):
        _copy(s[row], dh[row])


def lstm_states_back(
    g: Any, out: Any, w: Any, h: Any, c: Any, cells: Any, dz: Any, dw: Any, dh: Any, dc: Any, packed: Any, s: Any,
    parts: Any,
) -> None:  # fmt: skip
    """Write the gradients of the input's contribution z, of the weights, and of the first state and cell."""
    _lstm_back(g, w, c, cells, dz, dh, dc, packed, s, parts)
    _weights(dz, h, out, dw, dw[0, :0], parts)


@kernel(no_alias=True)
def _gru_row(
    to_r: Any, to_u: Any, to_n: Any, b_r: Any, b_u: Any, b_n: Any, a_r: Any, a_u: Any, a_n: Any, before: Any,
    r: Any, u: Any, candidate: Any, q: Any, h: Any,
) -> None:  # fmt: skip
    for j in range(len(h)):
        r[j], u[j] = sigmoid(to_r[j] + b_r[j] + a_r[j]), sigmoid(to_u[j] + b_u[j] + a_u[j])
        q[j] = to_n[j] + b_n[j]
        candidate[j] = tanh(a_n[j] + r[j] * q[j])
        h[j] = candidate[j] + u[j] * (before[j] - candidate[j])


@Parted
def gru_states(z: Any, w: Any, b: Any, h: Any, out: Any, cells: Any, packed: Any, s: Any, p: Any, parts: Any) -> None:
    """Write the states of a gated recurrent unit, and save what the rule needs in `cells`."""
    mine, lo, hi = packed[p], p * len(h) // parts, (p + 1) * len(h) // parts
    pack_matrix(w, True, mine)
    n = h.shape[1]
    added, gates = z.reshape(len(z), len(h), 3, n), cells.reshape(len(z), len(h), 4, n)
    for t in range(len(z)):
        before = h if t == 0 else out[t - 1]
        multiply_packed(before, mine, s, lo, hi)
        for row in range(lo, hi):
            x, a, k = s[row], added[t, row], gates[t, row]
            _gru_row(
                x[:n], x[n : 2 * n], x[2 * n : 3 * n], b[:n], b[n : 2 * n], b[2 * n :], a[0], a[1], a[2], before[row],
                k[0], k[1], k[2], k[3], out[t, row],
            )  # fmt: skip


@kernel(no_alias=True)
def _gru_row_back(
    g: Any, back: Any, h: Any, r: Any, u: Any, candidate: Any, q: Any, to_r: Any, to_u: Any, to_n: Any,
    of_r: Any, of_u: Any, of_q: Any, dh: Any,
) -> None:  # fmt: skip
    one = g.dtype.type(1)
    for j in range(len(g)):
        d = dh[j] + back[j] + g[j]
        to_u[j] = of_u[j] = d * ((h[j] - candidate[j]) * u[j] * (one - u[j]))
        n = d * ((one - u[j]) * (one - candidate[j] * candidate[j]))
        to_n[j] = n
        to_r[j] = of_r[j] = n * (q[j] * r[j] * (one - r[j]))
        of_q[j] = n * r[j]
        dh[j] = d * u[j]


@Parted
def _gru_back(
    g: Any, out: Any, w: Any, h: Any, cells: Any, dz: Any, dh: Any, of_h: Any, packed: Any, s: Any, p: Any, parts: Any
) -> None:
    # From the last time to the first; the sum of `s` and `dh` is the gradient that a state gets from the next time.
    mine, lo, hi = packed[p], p * len(dh) // parts, (p + 1) * len(dh) // parts
    pack_matrix(w, False, mine)
    batch, n = dh.shape
    gates, deltas = cells.reshape(len(g), batch, 4, n), dz.reshape(len(g), batch, 3, n)
    products = of_h.reshape(len(g), batch, 3, n)
    for row in range(lo, hi):
        _zero(s[row])
        _zero(dh[row])
    for t in range(len(g) - 1, -1, -1):
        for row in range(lo, hi):
            k, d, x, y = gates[t, row], deltas[t, row], products[t, row], s[row]
            before = h[row] if t == 0 else out[t - 1, row]
            _gru_row_back(
                g[t, row], y[:n], before, k[0], k[1], k[2], k[3], d[0], d[1], d[2], x[0], x[1], x[2], dh[row]
            )
        multiply_packed(of_h[t], mine, s, lo, hi)
    for row in range(lo, hi):
        _add(s[row], dh[row])


def gru_states_back(
    g: Any, out: Any, w: Any, h: Any, cells: Any, dz: Any, dw: Any, db: Any, dh: Any, of_h: Any, packed: Any, s: Any,
    parts: Any,
) -> None:  # fmt: skip
    """Write the gradients of the input's contribution z, of the weights, of the bias and of the first state.

    The work array `of_h` is for the gradients of the products with the state, at all times.
    """
    _gru_back(g, out, w, h, cells, dz, dh, of_h, packed, s, parts)
    _weights(of_h, h, out, dw, db, parts)
