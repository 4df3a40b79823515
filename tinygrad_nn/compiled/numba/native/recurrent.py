"""Recurrent layers: threads part the batch, so that nobody waits for anybody from one time to the next.

The equations are those of the primitives, `ops.recurrent`. Each gets memory for the weights, `packed`, of which every
part has its own, and for the products of one time with them, `s`. A compiler does several entries at once in a loop
over few arrays of one axis, which it checks to be apart; so these are short loops.
"""

from __future__ import annotations

from typing import Any

from .build import Parted, kernel
from .mathematics import sigmoid, tanh
from .packed import pack, times
from .products import gemm


@kernel()
def _copy(a: Any, out: Any) -> None:
    for j in range(len(out)):
        out[j] = a[j]


@kernel()
def _zero(x: Any) -> None:
    for j in range(len(x)):
        x[j] = 0


@kernel()
def _add(a: Any, out: Any) -> None:
    for j in range(len(out)):
        out[j] += a[j]


@kernel()
def _tanh(x: Any, a: Any, out: Any) -> None:
    for j in range(len(out)):
        out[j] = tanh(x[j] + a[j])


@kernel()
def _sigmoid(x: Any, a: Any, out: Any) -> None:
    for j in range(len(out)):
        out[j] = sigmoid(x[j] + a[j])


@Parted
def _weights(dz: Any, h: Any, states: Any, dw: Any, db: Any, p: Any, parts: Any) -> None:
    """Write some rows of the sum over times of dz_t^T h_{t-1}, and entries of the sum of dz, if there is room."""
    m, n, batch = dz.shape[2], h.shape[1], len(h)
    k = (len(dz) - 1) * batch
    lo, hi = p * m // parts, (p + 1) * m // parts
    d, out = dz.reshape(-1)[lo:], dw.reshape(-1)[lo * n :]
    gemm(True, False, hi - lo, n, batch, 1.0, d, m, h.reshape(-1), n, 0.0, out, n)
    if k:  # one product for all times but the first
        gemm(True, False, hi - lo, n, k, 1.0, d[batch * m :], m, states.reshape(-1), n, 1.0, out, n)
    if len(db):
        _zero(db[lo:hi])
        for t in range(len(dz)):
            for row in range(batch):
                _add(dz[t, row, lo:hi], db[lo:hi])


@Parted
def rnn_states(z: Any, w: Any, h: Any, out: Any, packed: Any, s: Any, relu: Any, p: Any, parts: Any) -> None:
    """Write the states of a plain recurrent network."""
    mine, lo, hi = packed[p], p * len(h) // parts, (p + 1) * len(h) // parts
    pack(w, True, mine)
    zero = z.dtype.type(0)
    for t in range(len(z)):
        times(h if t == 0 else out[t - 1], mine, s, lo, hi)
        for row in range(lo, hi):
            x, a, h_t = s[row], z[t, row], out[t, row]
            if relu:
                for j in range(len(h_t)):
                    y = x[j] + a[j]
                    h_t[j] = zero if y <= zero else y
            else:
                _tanh(x, a, h_t)


@Parted
def _rnn_back(g: Any, out: Any, w: Any, dz: Any, dh: Any, packed: Any, s: Any, relu: Any, p: Any, parts: Any) -> None:
    mine, lo, hi = packed[p], p * len(dh) // parts, (p + 1) * len(dh) // parts
    pack(w, False, mine)
    zero, one = g.dtype.type(0), g.dtype.type(1)
    for row in range(lo, hi):
        _zero(s[row])
    for t in range(len(g) - 1, -1, -1):
        for row in range(lo, hi):
            g_t, h_t, delta, back = g[t, row], out[t, row], dz[t, row], s[row]
            if relu:
                for j in range(len(delta)):
                    delta[j] = (g_t[j] + back[j]) * (one if h_t[j] > zero else h_t[j])  # which is 0, or NaN
            else:
                for j in range(len(delta)):
                    delta[j] = (g_t[j] + back[j]) * (one - h_t[j] * h_t[j])
        times(dz[t], mine, s, lo, hi)
    for row in range(lo, hi):
        _copy(s[row], dh[row])


def rnn_states_back(
    g: Any, out: Any, w: Any, h: Any, dz: Any, dw: Any, dh: Any, packed: Any, s: Any, relu: Any, parts: Any
) -> None:
    """Write the gradients of what the input adds, of the weights and of the first state."""
    _rnn_back(g, out, w, dz, dh, packed, s, relu, parts)
    _weights(dz, h, out, dw, dw[0, :0], parts)


@Parted
def lstm_states(z: Any, w: Any, h: Any, c: Any, out: Any, cells: Any, packed: Any, s: Any, p: Any, parts: Any) -> None:
    """Write the states of a long short-term memory, its last cell, and what the rule needs."""
    mine, lo, hi = packed[p], p * len(h) // parts, (p + 1) * len(h) // parts
    pack(w, True, mine)
    n = h.shape[1]
    added, gates = z.reshape(len(z), len(h), 4, n), cells.reshape(len(z), len(h), 6, n)
    for t in range(len(z)):
        times(h if t == 0 else out[t - 1], mine, s, lo, hi)
        for row in range(lo, hi):
            kept, a = gates[t, row], added[t, row]
            for k in range(4):
                x = s[row, k * n : (k + 1) * n]
                if k == 2:
                    _tanh(x, a[k], kept[k])
                else:
                    _sigmoid(x, a[k], kept[k])
            i, f, u, o, c_t, of_c = kept[0], kept[1], kept[2], kept[3], kept[4], kept[5]
            c_0, h_t = c[row] if t == 0 else gates[t - 1, row, 4], out[t, row]
            for j in range(n):
                c_t[j] = f[j] * c_0[j] + i[j] * u[j]
            for j in range(n):
                of_c[j] = tanh(c_t[j])
            for j in range(n):
                h_t[j] = o[j] * of_c[j]
    for row in range(lo, hi):
        _copy(gates[-1, row, 4], out[-1, row])


@Parted
def _lstm_back(
    g: Any, w: Any, c: Any, cells: Any, dz: Any, dh: Any, dc: Any, packed: Any, s: Any, p: Any, parts: Any
) -> None:
    mine, lo, hi = packed[p], p * len(dh) // parts, (p + 1) * len(dh) // parts
    pack(w, False, mine)
    batch, n = dh.shape
    gates, deltas, one = cells.reshape(len(dz), batch, 6, n), dz.reshape(len(dz), batch, 4, n), g.dtype.type(1)
    for row in range(lo, hi):
        _zero(s[row])
        _copy(g[-1, row], dc[row])
    for t in range(len(dz) - 1, -1, -1):
        for row in range(lo, hi):
            kept, delta, of_h, of_c = gates[t, row], deltas[t, row], s[row], dc[row]
            i, f, u, o, tanh_c = kept[0], kept[1], kept[2], kept[3], kept[5]
            to_i, to_f, to_u, to_o = delta[0], delta[1], delta[2], delta[3]
            before = c[row] if t == 0 else gates[t - 1, row, 4]
            _add(g[t, row], of_h[:n])
            for j in range(n):
                of_c[j] += of_h[j] * (o[j] * (one - tanh_c[j] * tanh_c[j]))
            for j in range(n):
                to_o[j] = of_h[j] * (tanh_c[j] * o[j] * (one - o[j]))
            for j in range(n):
                to_i[j] = of_c[j] * (u[j] * i[j] * (one - i[j]))
                to_u[j] = of_c[j] * (i[j] * (one - u[j] * u[j]))
            for j in range(n):
                to_f[j] = of_c[j] * (before[j] * f[j] * (one - f[j]))
            for j in range(n):
                of_c[j] *= f[j]
        times(dz[t], mine, s, lo, hi)
    for row in range(lo, hi):
        _copy(s[row], dh[row])


def lstm_states_back(
    g: Any, out: Any, w: Any, h: Any, c: Any, cells: Any, dz: Any, dw: Any, dh: Any, dc: Any, packed: Any, s: Any,
    parts: Any,
) -> None:  # fmt: skip
    """Write the gradients of what the input adds, of the weights, and of the first state and cell."""
    _lstm_back(g, w, c, cells, dz, dh, dc, packed, s, parts)
    _weights(dz, h, out, dw, dw[0, :0], parts)


@Parted
def gru_states(z: Any, w: Any, b: Any, h: Any, out: Any, cells: Any, packed: Any, s: Any, p: Any, parts: Any) -> None:
    """Write the states of a gated recurrent unit, and what the rule needs."""
    mine, lo, hi = packed[p], p * len(h) // parts, (p + 1) * len(h) // parts
    pack(w, True, mine)
    n = h.shape[1]
    added, gates = z.reshape(len(z), len(h), 3, n), cells.reshape(len(z), len(h), 4, n)
    for t in range(len(z)):
        before = h if t == 0 else out[t - 1]
        times(before, mine, s, lo, hi)
        for row in range(lo, hi):
            kept, a, x, h_0, h_t = gates[t, row], added[t, row], s[row], before[row], out[t, row]
            r, u, candidate, q, to_n = kept[0], kept[1], kept[2], kept[3], a[2]
            _add(b, x[: 3 * n])
            _sigmoid(x[:n], a[0], r)
            _sigmoid(x[n : 2 * n], a[1], u)
            _copy(x[2 * n : 3 * n], q)
            for j in range(n):
                candidate[j] = tanh(to_n[j] + r[j] * q[j])
            for j in range(n):
                h_t[j] = candidate[j] + u[j] * (h_0[j] - candidate[j])


@Parted
def _gru_back(
    g: Any, out: Any, w: Any, h: Any, cells: Any, dz: Any, dh: Any, of_h: Any, packed: Any, s: Any, p: Any, parts: Any
) -> None:
    mine, lo, hi = packed[p], p * len(dh) // parts, (p + 1) * len(dh) // parts
    pack(w, False, mine)
    batch, n = dh.shape
    gates, deltas, one = cells.reshape(len(g), batch, 4, n), dz.reshape(len(g), batch, 3, n), g.dtype.type(1)
    products = of_h.reshape(len(g), batch, 3, n)
    for row in range(lo, hi):
        _zero(s[row])
        _zero(dh[row])
    for t in range(len(g) - 1, -1, -1):
        for row in range(lo, hi):
            kept, delta, product, dh_t = gates[t, row], deltas[t, row], products[t, row], dh[row]
            r, u, candidate, q = kept[0], kept[1], kept[2], kept[3]
            to_r, to_u, to_n, of_q = delta[0], delta[1], delta[2], product[2]
            before = h[row] if t == 0 else out[t - 1, row]
            _add(s[row], dh_t)
            _add(g[t, row], dh_t)
            for j in range(n):
                to_u[j] = dh_t[j] * ((before[j] - candidate[j]) * u[j] * (one - u[j]))
            for j in range(n):
                to_n[j] = dh_t[j] * ((one - u[j]) * (one - candidate[j] * candidate[j]))
            for j in range(n):
                to_r[j] = to_n[j] * (q[j] * r[j] * (one - r[j]))
            for j in range(n):
                of_q[j] = to_n[j] * r[j]
            for j in range(n):
                dh_t[j] *= u[j]
            _copy(to_r, product[0])
            _copy(to_u, product[1])
        times(of_h[t], mine, s, lo, hi)
    for row in range(lo, hi):
        _add(s[row], dh[row])


def gru_states_back(
    g: Any, out: Any, w: Any, h: Any, cells: Any, dz: Any, dw: Any, db: Any, dh: Any, of_h: Any, packed: Any, s: Any,
    parts: Any,
) -> None:  # fmt: skip
    """Write the gradients of what the input adds, of the weights, of the bias and of the first state.

    For the gradients of the products with a state, of all times, there is memory, `of_h`.
    """
    _gru_back(g, out, w, h, cells, dz, dh, of_h, packed, s, parts)
    _weights(of_h, h, out, dw, db, parts)
