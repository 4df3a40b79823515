"""The steps written by hand in NumPy by an expert: values needed later are kept, and nothing is computed twice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import steps, tasks

Array = np.ndarray
Arrays = dict[str, Array]


def crossentropy(z: Array, y: Array) -> tuple[float, Array]:
    """Return the mean over rows, and its gradient."""
    shifted = z - z.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    return float(-(y * (shifted - np.log(total))).sum() / len(z)), (e / total - y) / len(z)


def windows(x: Array) -> Array:
    """Return the 3x3 windows of images with the channels last, one a row."""
    n, h, w, c = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows = np.empty((n, h, w, 3, 3, c), x.dtype)
    for u in range(3):
        for v in range(3):
            rows[:, :, :, u, v] = padded[:, u : u + h, v : v + w]
    return rows.reshape(n * h * w, 9 * c)


def from_windows(rows: Array, n: int, h: int, w: int) -> Array:
    """Add up the gradients of windows where they lie."""
    rows = rows.reshape(n, h, w, 3, 3, -1)
    padded = np.zeros((n, h + 2, w + 2, rows.shape[-1]), rows.dtype)
    for u in range(3):
        for v in range(3):
            padded[:, u : u + h, v : v + w] += rows[:, :, :, u, v]
    return padded[:, 1:-1, 1:-1]


def cnn(p: Arrays, x: Array, y: Array) -> tuple[float, Arrays]:
    """Return loss and gradients; the channels are last inside."""
    n = len(x)

    def matrix(w: Array) -> Array:
        return w.transpose(2, 3, 1, 0).reshape(-1, len(w))

    def pool(a: Array, size: int) -> tuple[Array, Array]:
        parts = a.reshape(n, size // 2, 2, size // 2, 2, -1)
        most = parts.max(axis=(2, 4), keepdims=True)
        return most[:, :, 0, :, 0], parts == most

    def unpool(g: Array, won: Array, a: Array) -> Array:
        return (won * g[:, :, None, :, None]).reshape(a.shape) * (a > 0)

    W1, W2 = matrix(p["0.weight"]), matrix(p["3.weight"])
    rows1 = windows(x.reshape(n, 28, 28, 1))
    a1 = np.maximum(rows1 @ W1 + p["0.bias"], 0)
    m1, won1 = pool(a1, 28)
    rows2 = windows(m1)
    a2 = np.maximum(rows2 @ W2 + p["3.bias"], 0)
    m2, won2 = pool(a2, 14)
    flat = m2.transpose(0, 3, 1, 2).reshape(n, -1)
    loss, d = crossentropy(flat @ p["7.weight"].T + p["7.bias"], y)

    g = {"7.weight": d.T @ flat, "7.bias": d.sum(axis=0)}
    d = (d @ p["7.weight"]).reshape(n, 32, 7, 7).transpose(0, 2, 3, 1)
    d = unpool(d, won2, a2)
    g |= {"3.weight": (rows2.T @ d).reshape(3, 3, 16, 32).transpose(3, 2, 0, 1), "3.bias": d.sum(axis=0)}
    d = unpool(from_windows(d @ W2.T, n, 14, 14), won1, a1)
    g |= {"0.weight": (rows1.T @ d).reshape(3, 3, 1, 16).transpose(3, 2, 0, 1), "0.bias": d.sum(axis=0)}
    return loss, g


def lstm(p: Arrays, x: Array, y: Array) -> tuple[float, Arrays]:
    """Return loss and gradients; gates in the order i, f, candidate, o."""
    times, batch, _ = x.shape
    W_x, W_h = p["lstm.weight_ih_l0"], p["lstm.weight_hh_l0"]
    n = W_h.shape[1]
    z = x @ W_x.T + (p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"])  # (time, batch, 4 n)
    h, c = np.zeros((2, times + 1, batch, n), x.dtype)
    gates, tanh_c = np.empty_like(z), np.empty_like(h)
    for t in range(times):
        s = gates[t]
        s[:] = z[t] + h[t] @ W_h.T
        u = np.tanh(s[:, 2 * n : 3 * n])
        s[:] = 1 / (1 + np.exp(-s))
        s[:, 2 * n : 3 * n] = u
        c[t + 1] = s[:, n : 2 * n] * c[t] + s[:, :n] * u
        tanh_c[t + 1] = np.tanh(c[t + 1])
        h[t + 1] = s[:, 3 * n :] * tanh_c[t + 1]
    loss, d = crossentropy(h[-1] @ p["head.weight"].T + p["head.bias"], y)

    g = {"head.weight": d.T @ h[-1], "head.bias": d.sum(axis=0)}
    dh, dc = d @ p["head.weight"], np.zeros((batch, n), x.dtype)
    delta = np.empty_like(z)
    for t in reversed(range(times)):
        i, f, u, o = (gates[t][:, k * n : (k + 1) * n] for k in range(4))
        dc = dc + dh * o * (1 - tanh_c[t + 1] ** 2)
        delta[t, :, :n] = dc * u * i * (1 - i)
        delta[t, :, n : 2 * n] = dc * c[t] * f * (1 - f)
        delta[t, :, 2 * n : 3 * n] = dc * i * (1 - u * u)
        delta[t, :, 3 * n :] = dh * tanh_c[t + 1] * o * (1 - o)
        dh, dc = delta[t] @ W_h, dc * f
    rows = delta.reshape(-1, 4 * n)
    g["lstm.weight_ih_l0"] = rows.T @ x.reshape(len(rows), -1)
    g["lstm.weight_hh_l0"] = rows.T @ h[:-1].reshape(len(rows), -1)
    g["lstm.bias_ih_l0"] = g["lstm.bias_hh_l0"] = rows.sum(axis=0)
    return loss, g


def norm(x: Array, w: Array, b: Array) -> tuple[Array, tuple[Array, Array]]:
    centred = x - x.mean(axis=-1, keepdims=True)
    s = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + 1e-5)
    x_hat = centred * s
    return x_hat * w + b, (x_hat, s)


def norm_back(g: Array, w: Array, kept: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    x_hat, s = kept
    d = g * w
    mean = (d * x_hat).mean(axis=-1, keepdims=True)
    return s * (d - d.mean(axis=-1, keepdims=True) - x_hat * mean), (g * x_hat).sum(axis=0), g.sum(axis=0)


def transformer(p: Arrays, x: Array, y: Array) -> tuple[float, Arrays]:
    """Return loss and gradients; all sequences are one matrix but in the attention."""
    batch, times, n = x.shape
    heads, root = tasks.HEADS, (n // tasks.HEADS) ** -0.5
    x, y = x.reshape(-1, n), y.reshape(-1, n)

    def parted(a: Array) -> Array:
        return a.reshape(batch, times, -1, heads, n // heads).transpose(2, 0, 3, 1, 4)

    def joined(a: Array) -> Array:
        return a.transpose(1, 3, 0, 2, 4).reshape(batch * times, -1)

    W_in, W_out = p["self_attn.in_proj_weight"], p["self_attn.out_proj.weight"]
    W1, W2 = p["linear1.weight"], p["linear2.weight"]
    q, k, v = parted(x @ W_in.T + p["self_attn.in_proj_bias"])  # (batch, heads, time, n / heads)
    a = q @ k.swapaxes(2, 3) * root
    a = np.exp(a - a.max(axis=-1, keepdims=True))
    a /= a.sum(axis=-1, keepdims=True)
    o = joined((a @ v)[None])
    r1, kept1 = norm(x + o @ W_out.T + p["self_attn.out_proj.bias"], p["norm1.weight"], p["norm1.bias"])
    h = np.maximum(r1 @ W1.T + p["linear1.bias"], 0)
    r2, kept2 = norm(r1 + h @ W2.T + p["linear2.bias"], p["norm2.weight"], p["norm2.bias"])
    missed = r2 - y
    loss = float((missed * missed).mean())

    g: Arrays = {}
    d, g["norm2.weight"], g["norm2.bias"] = norm_back(missed * (2 / missed.size), p["norm2.weight"], kept2)
    g |= {"linear2.weight": d.T @ h, "linear2.bias": d.sum(axis=0)}
    dh = (d @ W2) * (h > 0)
    g |= {"linear1.weight": dh.T @ r1, "linear1.bias": dh.sum(axis=0)}
    d, g["norm1.weight"], g["norm1.bias"] = norm_back(d + dh @ W1, p["norm1.weight"], kept1)
    g |= {"self_attn.out_proj.weight": d.T @ o, "self_attn.out_proj.bias": d.sum(axis=0)}
    do = parted(d @ W_out)[0]
    da = do @ v.swapaxes(2, 3)
    ds = a * (da - (a * da).sum(axis=-1, keepdims=True)) * root
    dqkv = joined(np.stack([ds @ k, ds.swapaxes(2, 3) @ q, a.swapaxes(2, 3) @ do]))
    g |= {"self_attn.in_proj_weight": dqkv.T @ x, "self_attn.in_proj_bias": dqkv.sum(axis=0)}
    return loss, g


def scalar() -> float:
    """Return the derivative of the 1,000 operations at 0.5, on NumPy's own numbers."""
    x = y = np.float64(0.5)
    inner = []
    for _ in range(tasks.ROUNDS):
        z = 1.01 * y
        inner.append(z)
        y = np.sin(z) + 0.1 * x
    dy, dx = np.float64(1.0), np.float64(0.0)
    for z in reversed(inner):
        dx = dx + 0.1 * dy
        dy = dy * np.cos(z) * 1.01
    return float(dx + dy)


def chain(length: int) -> float:
    """Return the derivative of a chain: an addition a node forward, a product a node back."""
    y = g = np.float64(1.0)
    for _ in range(length):
        y = np.add(y, 1.0)
    for _ in range(length):
        g = np.multiply(g, 1.0)
    return float(g)


NETWORKS = {"cnn": cnn, "lstm": lstm, "transformer": transformer}


def make(step: str) -> Callable[[], float] | None:
    """Return a step by its name."""
    if step in steps.TASKS:
        return steps.by_hand(steps.TASKS[step])
    if step == "scalar":
        return scalar
    if (length := tasks.chained(step)) is not None:
        return lambda: chain(length)
    network = NETWORKS[step]
    p, x, y = tasks.data(step)

    def one() -> float:
        loss, g = network(p, x, y)
        for key in p:
            p[key] -= steps.RATE * g[key]
        return loss

    return one
