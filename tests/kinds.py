"""Backward passes of functions that users often write by hand, each one right and with one mistake, in families.

Each family is a forward in plain NumPy, or of an operation of the package, and its backward as a student would write
it, with the place where each mistake is made. A row names the mistake, the kind that it should be given, and a part of
the line, or the name of the operation, that the report should point to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygrad_nn as tg
from tinygrad_nn.primitive import REGISTRY

Array = Any
Rng = np.random.Generator


class Family(NamedTuple):
    """A function, its inputs, its backward with a mistake by name, and the mistakes: name, kinds, where."""

    forward: Callable[..., Array]
    inputs: Callable[[Rng], tuple[Array, ...]]
    backward: Callable[..., Any]
    mistakes: list[tuple[str, str, str]]


# -- Norms


def batchnorm(x: Array, gamma: Array, beta: Array) -> Array:
    mean = np.mean(x, axis=0)
    var = np.var(x, axis=0)
    x_hat = (x - mean) / np.sqrt(var + 1e-5)
    return gamma * x_hat + beta


def batchnorm_backward(x: Array, gamma: Array, beta: Array, g: Array, bug: str = "") -> Any:
    n = len(x)
    mean, var = x.mean(axis=0), x.var(axis=0)
    std = np.sqrt(var + 1e-5)
    x_hat = (x - mean) / std
    dx_hat = g * (1 if bug == "no gamma" else gamma)
    dvar = (dx_hat * (x - mean) * -0.5 * std**-3).sum(axis=0)
    dmean = -(dx_hat / std).sum(axis=0)
    if bug == "batch kept":
        dvar, dmean = dx_hat * (x - mean) * -0.5 * std**-3, -(dx_hat / std)
    if bug == "var kept":
        dvar = dx_hat * (x - mean) * -0.5 * std**-3
    dx = dx_hat / (var + 1e-5 if bug == "1/var" else std)
    if bug != "var forgotten":
        dx = dx + dvar * 2 * (x if bug == "x in dvar" else x - mean) / (n - 1 if bug == "ddof" else n)
    if bug != "mean forgotten":
        dx = dx + dmean / n
    dgamma = (g * (x if bug == "x in dgamma" else x_hat)).sum(axis=0)
    dbeta = g.sum(axis=0)
    if bug == "dbeta mean":
        dbeta = g.mean(axis=0)
    return dx, dgamma, dbeta


def layernorm(x: Array, gamma: Array, beta: Array) -> Array:
    centred = x - x.mean(axis=1, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    return centred / std * gamma + beta


def layernorm_backward(x: Array, gamma: Array, beta: Array, g: Array, bug: str = "") -> Any:
    centred = x - x.mean(axis=1, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    x_hat = centred / std
    h = g if bug == "no gamma" else g * gamma
    inner = (h * x_hat).mean(axis=1, keepdims=True)
    outer = h.mean(axis=1, keepdims=True)
    if bug == "axis":
        inner, outer = (h * x_hat).mean(axis=0), h.mean(axis=0)
    if bug == "std constant":
        inner = 0
    if bug == "mean constant":
        outer = 0
    dx = (h - outer - x_hat * inner) / std
    return dx, (g * x_hat).sum(axis=0), g.sum(axis=0)


def fused_norm(x: Array, gamma: Array, beta: Array) -> Array:
    return REGISTRY["standardize"](x, gamma, beta, axis=(0,), eps=1e-2)


def fused_norm_backward(x: Array, gamma: Array, beta: Array, g: Array, bug: str = "") -> Any:
    n, var = len(x), x.var(axis=0)
    eps = 0.0 if bug == "no eps" else 1e-2
    std = np.sqrt(var) + eps if bug == "eps outside" else np.sqrt(var + eps)
    x_hat = (x - x.mean(axis=0)) / std
    h = g if bug == "no gamma" else g * gamma
    a, b = h.sum(axis=0) / n, (h * x_hat).sum(axis=0) / n
    if bug == "mean forgotten":
        a = 0
    if bug == "var forgotten":
        b = 0
    if bug == "ddof":
        a, b = a * n / (n - 1), b * n / (n - 1)
    dx = (h - a - (x if bug == "x for x_hat" else x_hat) * b) / (std**2 if bug == "1/var" else std)
    x_hat = (x - x.mean(axis=0)) / np.sqrt(var + 1e-2)
    return dx, (g * x_hat).sum(axis=0), g.sum(axis=0)


# -- Softmax and losses


def softmax_np(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(z: Array, g: Array, bug: str = "") -> Any:
    p = softmax_np(z)
    if bug == "diagonal":
        return g * p * (1 - p)
    if bug == "batch":
        return p * (g - (g * p).sum(axis=0, keepdims=True))
    if bug == "sum constant":
        return p * g
    if bug == "sum of g":
        return p * (g - g.sum(axis=1, keepdims=True))
    return p * (g - (g * p).sum(axis=1, keepdims=True))


def crossentropy(z: Array, W: Array) -> Array:
    logits = z @ W
    shifted = logits - logits.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -logp[np.arange(len(z)), np.arange(len(z)) % 3].mean()


def crossentropy_backward(z: Array, W: Array, bug: str = "") -> Any:
    n = len(z)
    d = softmax_np(z @ W)
    y = np.arange(n) % 3
    if bug == "sign of y":
        d[np.arange(n), y] += 1
    elif bug != "no targets":
        d[np.arange(n), y] -= 1
    if bug != "no 1/N":
        d = d / n
    if bug == "by classes":
        d = d * n / 3
    return d @ W.T, z.T @ d


def fused_loss(z: Array) -> Array:
    return tg.softmax_crossentropy(z, np.eye(4)[[0, 1, 2, 3, 0]])


def fused_loss_backward(z: Array, bug: str = "") -> Any:
    y = np.eye(4)[[0, 1, 2, 3, 0]]
    p = softmax_np(z.T).T if bug == "batch" else softmax_np(z)
    if bug == "no targets":
        return p / 5
    if bug == "twice":
        return (p - y) * p * (1 - p) / 5
    return (p - y) / 5


# -- Recurrent nets


def rnn(xs: Array, Wx: Array, Wh: Array, b: Array) -> Array:
    h = np.zeros((xs.shape[1], Wh.shape[0]))
    total = 0.0
    for t in range(len(xs)):
        h = np.tanh(xs[t] @ Wx + h @ Wh + b)
        total = total + (h * h).sum()
    return total


def rnn_backward(xs: Array, Wx: Array, Wh: Array, b: Array, bug: str = "") -> Any:
    hs = [np.zeros((xs.shape[1], Wh.shape[0]))]
    for x in xs:
        hs.append(np.tanh(x @ Wx + hs[-1] @ Wh + b))
    dxs, dWx, dWh, db = np.zeros_like(xs), np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
    back = 0.0
    for t in reversed(range(len(xs))):
        h = hs[t + 1]
        dh = 2 * h + back
        dz = dh if bug == "no tanh" else dh * (1 - h if bug == "1 - h" else 1 - h * h)
        dxs[t] = dz @ Wx.T
        if bug == "dWh last":
            dWh = hs[t].T @ dz if t == len(xs) - 1 else dWh
        else:
            dWh = dWh + (h if bug == "h after" else hs[t]).T @ dz
        if bug == "dWx overwritten":
            dWx = xs[t].T @ dz
        else:
            dWx = dWx + xs[t].T @ dz
        db = db + dz.sum(axis=0)
        back = dz @ (Wh if bug == "Wh transposed" else Wh.T)
        if bug == "not carried":
            back = 0.0
    return dxs, dWx, dWh, db


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def lstm(xs: Array, W: Array, b: Array) -> Array:
    n = W.shape[1] // 4
    h, c = np.zeros((xs.shape[1], n)), np.zeros((xs.shape[1], n))
    for t in range(len(xs)):
        z = np.concatenate([xs[t], h], axis=1) @ W + b
        i, f, o = sigmoid(z[:, :n]), sigmoid(z[:, n : 2 * n]), sigmoid(z[:, 2 * n : 3 * n])
        u = np.tanh(z[:, 3 * n :])
        c = f * c + i * u
        h = o * np.tanh(c)
    return h


def lstm_backward(xs: Array, W: Array, b: Array, g: Array, bug: str = "") -> Any:
    n, d = W.shape[1] // 4, xs.shape[2]
    h, c = np.zeros((xs.shape[1], n)), np.zeros((xs.shape[1], n))
    kept = []
    for x in xs:
        joined = np.concatenate([x, h], axis=1)
        z = joined @ W + b
        i, f, o, u = sigmoid(z[:, :n]), sigmoid(z[:, n : 2 * n]), sigmoid(z[:, 2 * n : 3 * n]), np.tanh(z[:, 3 * n :])
        before, c = c, f * c + i * u
        h = o * np.tanh(c)
        kept.append((joined, i, f, o, u, before, c))
    dxs, dW, db = np.zeros_like(xs), np.zeros_like(W), np.zeros_like(b)
    dh, dc = g, np.zeros_like(c)
    for t in reversed(range(len(xs))):
        joined, i, f, o, u, before, c = kept[t]
        do = dh * np.tanh(c)
        dc = dc + dh * o * (1 if bug == "no tanh of c" else 1 - np.tanh(c) ** 2)
        di, df, du = dc * u, dc * before, dc * i
        if bug == "gates":
            di, df = df, di
        slope = (lambda s: 1) if bug == "no sigmoid" else (lambda s: s * (1 - s))
        dz = np.concatenate([di * slope(i), df * slope(f), do * slope(o), du * (1 - u * u)], axis=1)
        dW, db = dW + joined.T @ dz, db + dz.sum(axis=0)
        back = dz @ W.T
        dxs[t], dh = back[:, :d], back[:, d:]
        if bug == "order":
            dxs[t], dh = back[:, -d:], back[:, :n]
        if bug == "h not carried":
            dh = np.zeros_like(dh)
        dc = dc * (i if bug == "cell by i" else f)
        if bug == "c not carried":
            dc = np.zeros_like(dc)
    return dxs, dW, db


# -- Images


def fused_conv(x: Array, w: Array) -> Array:
    return REGISTRY["conv"](x, w, stride=(2, 2), padding=(1, 1), dilation=(1, 1), groups=1)


def conv_backward(x: Array, w: Array, g: Array, bug: str = "") -> Any:
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    dwide, dw = np.zeros_like(wide), np.zeros_like(w)
    k = w[:, :, ::-1, ::-1] if bug == "flipped" else w
    step = 1 if bug == "stride" else 2
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            part = slice(step * i, step * i + 3), slice(step * j, step * j + 3)
            here = g[:, :, i, j]
            window = wide[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            if bug == "dw of last":
                dw += np.einsum("no,ncij->ocij", here[-1:], window[-1:])
            else:
                dw += np.einsum("no,ncij->ocij", here, window)
            if bug == "overwritten":
                dwide[(slice(None), slice(None), *part)] = np.einsum("no,ocij->ncij", here, k)
            else:
                dwide[(slice(None), slice(None), *part)] += np.einsum("no,ocij->ncij", here, k)
    if bug == "dw flipped":
        dw = dw[:, :, ::-1, ::-1]
    return dwide[:, :, : x.shape[2], : x.shape[3]] if bug == "padding" else dwide[:, :, 1:-1, 1:-1], dw


def fused_pool(x: Array) -> Array:
    return REGISTRY["max_pool"](x, kernel=(2, 2), stride=(2, 2), padding=(0, 0))


def pool_backward(x: Array, g: Array, bug: str = "") -> Any:
    dx = np.zeros_like(x)
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            part = (slice(None), slice(None), slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2))
            window = x[part]
            best = window.max(axis=(2, 3), keepdims=True)
            mask = window == best
            if bug == "all":
                mask = np.ones_like(window)
            if bug == "mean":
                mask = np.full_like(window, 0.25)
            if bug == "smallest":
                mask = window == window.min(axis=(2, 3), keepdims=True)
            if bug == "value":
                mask = mask * best
            dx[part] += mask * g[:, :, i, j][:, :, None, None]
    return dx


# -- Indexing, joining, masks

IDS = np.array([1, 3, 1, 0, 3, 3])


def embedded(C: Array, W: Array) -> Array:
    emb = C[IDS]
    return emb.reshape(3, -1) @ W


def embedded_backward(C: Array, W: Array, g: Array, bug: str = "") -> Any:
    dflat = g @ W.T
    demb = dflat.reshape(6, -1)
    dC = np.zeros_like(C)
    if bug == "+=":
        dC[IDS] += demb
    elif bug == "reversed":
        np.add.at(dC, IDS, demb[::-1])
    else:
        np.add.at(dC, IDS, demb)
    return dC, C[IDS].reshape(3, -1).T @ g


MASK = (np.arange(20).reshape(4, 5) % 3 > 0) / 0.6


def dropped(x: Array, W: Array) -> Array:
    h = np.maximum(x @ W, 0)
    return h * MASK


def dropped_backward(x: Array, W: Array, g: Array, bug: str = "") -> Any:
    z = x @ W
    dh = g if bug == "no mask" else g * (MASK > 0) if bug == "no scale" else g * MASK
    dz = dh * ((dh > 0) if bug == "g > 0" else (z > 0))
    if bug == "no relu":
        dz = dh
    return dz @ W.T, x.T @ dz


def joined(a: Array, b: Array, c: Array) -> Array:
    return np.sin(np.concatenate([a, b, c], axis=1)) * 2


def joined_backward(a: Array, b: Array, c: Array, g: Array, bug: str = "") -> Any:
    d = 2 * g * np.cos(np.concatenate([a, b, c], axis=1))
    da, db, dc = np.split(d, 3, axis=1)
    return (db, da, dc) if bug == "order" else (dc, db, da) if bug == "reversed" else (da, db, dc)


def clipped(x: Array) -> Array:
    return np.clip(np.exp(x), 0.5, 1.5) ** 2


def clipped_backward(x: Array, g: Array, bug: str = "") -> Any:
    e = np.exp(x)
    d = 2 * np.clip(e, 0.5, 1.5) * g
    inside = (e > 0.5) & (e < 1.5)
    if bug == "no mask":
        inside = np.ones_like(x)
    if bug == "upper":
        inside = e > 0.5
    return d * inside * e


# -- Small functions


def residual(x: Array, W: Array, V: Array) -> Array:
    h = np.tanh(x @ W)
    return x + h @ V


def residual_backward(x: Array, W: Array, V: Array, g: Array, bug: str = "") -> Any:
    h = np.tanh(x @ W)
    dz = (g @ V.T) * (1 - h * h)
    dx = dz @ W.T
    return dx if bug == "no skip" else dx + g, x.T @ dz, h.T @ g


MIX = np.array([[0.5, 0.5, 0.0, 0.0], [0.0, 0.3, 0.7, 0.0], [0.2, 0.0, 0.3, 0.5], [0.0, 0.4, 0.0, 0.6]])


def gated(x: Array, W: Array) -> Array:
    u = MIX @ x @ W
    s = 1 / (1 + np.exp(-u))
    return u * s


def gated_backward(x: Array, W: Array, g: Array, bug: str = "") -> Any:
    u = MIX @ x @ W
    s = 1 / (1 + np.exp(-u))
    du = g * s * (1 - s) if bug == "sigmoid only" else g * (s + u * s * (1 - s))
    dx = du @ W.T
    return dx if bug == "no mix" else MIX.T @ dx, (MIX @ x).T @ du


def quotient(a: Array, b: Array) -> Array:
    return np.sin(a) / (b * b + 1)


def quotient_backward(a: Array, b: Array, g: Array, bug: str = "") -> Any:
    low = b * b + 1
    da = g / low * np.cos(a)
    dlow = -g * np.sin(a) / (low if bug == "no square" else low**2)
    if bug == "sign":
        dlow = -dlow
    return da, dlow * (b if bug == "half" else 2 * b)


def normalised(x: Array) -> Array:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def normalised_backward(x: Array, g: Array, bug: str = "") -> Any:
    n = np.linalg.norm(x, axis=1, keepdims=True)
    if bug == "norm constant":
        return g / n
    if bug == "no norm":
        return g / n - x * (g * x).sum(axis=1, keepdims=True) / n**2
    return g / n - x * (g * x).sum(axis=1, keepdims=True) / n**3


def standardised(x: Array) -> Array:
    return (x - x.mean()) / x.std(ddof=1)


def standardised_backward(x: Array, g: Array, bug: str = "") -> Any:
    s, c, n = x.std(ddof=1), x - x.mean(), x.size
    dstd = -(g * c).sum() / s**2
    dx = g / s + dstd * c / s / (n if bug == "ddof" else n - 1)
    if bug == "no std":
        dx = g / s + dstd * c / (n - 1)
    if bug == "var constant":
        dx = g / s
    return dx if bug == "mean constant" else dx - g.sum() / s / n


def attention(q: Array, k: Array, v: Array) -> Array:
    scores = q @ k.T / np.sqrt(q.shape[1])
    return tg.softmax(scores) @ v


def attention_backward(q: Array, k: Array, v: Array, g: Array, bug: str = "") -> Any:
    scale = 1 if bug == "no scale" else 1 / np.sqrt(q.shape[1])
    a = softmax_np(q @ k.T / np.sqrt(q.shape[1]))
    da = g @ v.T
    ds = a * (da - (da * a).sum(axis=0 if bug == "queries" else 1, keepdims=True))
    if bug == "diagonal":
        ds = da * a * (1 - a)
    if bug == "no softmax":
        ds = da
    return ds @ k * scale, ds.T @ q * scale, a.T @ g


def fused_attention(q: Array, k: Array, v: Array) -> Array:
    return REGISTRY["attention"](q, k, v, 0.0, 1.0, heads=2)


def fused_attention_backward(q: Array, k: Array, v: Array, g: Array, bug: str = "") -> Any:
    parts = [attention_backward(*(x[:, i : i + 3] for x in (q, k, v, g)), bug=bug) for i in (0, 3)]
    return tuple(np.concatenate(both, axis=1) for both in zip(*parts, strict=True))


def fused_lstm(z: Array, W: Array, h: Array, c: Array) -> Array:
    return REGISTRY["lstm_states"](z, W, h, c)


def fused_lstm_backward(z: Array, W: Array, h: Array, c: Array, g: Array, bug: str = "") -> Any:
    n, kept = W.shape[1], []
    first, cell = h, c
    for t in range(len(z)):
        a = z[t] + h @ W.T
        i, f, u, o = sigmoid(a[:, :n]), sigmoid(a[:, n : 2 * n]), np.tanh(a[:, 2 * n : 3 * n]), sigmoid(a[:, 3 * n :])
        kept.append((h, c, i, f, u, o))
        c = f * c + i * u
        h = o * np.tanh(c)
        kept[-1] += (np.tanh(c),)
    dz, dW, dh, dc = np.zeros_like(z), np.zeros_like(W), np.zeros_like(first), g[-1]
    for t in reversed(range(len(z))):
        before, cell, i, f, u, o, tanh = kept[t]
        dh = dh + g[t]
        dc = dc + dh * o * (1 - tanh**2)
        di, df, du, do = dc * u * i * (1 - i), dc * cell * f * (1 - f), dc * i * (1 - u**2), dh * tanh * o * (1 - o)
        if bug == "gates":
            di, df = dc * cell * f * (1 - f), dc * u * i * (1 - i)
        if bug == "no forget":
            dc = dc / f
        dz[t] = np.concatenate([di, df, du, do], axis=1)
        if bug != "last step" or t == len(z) - 1:
            dW += dz[t].T @ before
        dh, dc = dz[t] @ W, dc * f
        if bug == "cell lost":
            dc = np.zeros_like(dc)
    return dz, dW, dh, dc


def shared(x: Array, W: Array) -> Array:
    return np.tanh(np.tanh(x @ W) @ W)


def shared_backward(x: Array, W: Array, g: Array, bug: str = "") -> Any:
    a = np.tanh(x @ W)
    dz2 = g * (1 - np.tanh(a @ W) ** 2)
    dz1 = dz2 @ W.T * (1 - a * a)
    dW = a.T @ dz2
    return dz1 @ W.T, dW if bug == "once" else dW + x.T @ dz1


def drawn(*shapes: tuple[int, ...]) -> Callable[[Rng], tuple[Array, ...]]:
    return lambda rng: tuple(rng.normal(size=shape) for shape in shapes)


FAMILIES = {
    "batch norm": Family(batchnorm, drawn((6, 4), (4,), (4,)), batchnorm_backward, [
        ("no gamma", "missing_factor", "gamma"), ("batch kept", "broadcast_not_summed", "standardize|divide"),
        ("var kept", "broadcast_not_summed", "standardize|divide"), ("1/var", "wrong_derivative", "x - mean"),
        ("var forgotten", "statistic_as_constant", "var"), ("x in dvar", "wrong_value", "var"),
        ("ddof", "wrong_ddof", "var"), ("mean forgotten", "statistic_as_constant", "mean"),
        ("x in dgamma", "wrong_value", "gamma"), ("dbeta mean", "scale", "beta"),
    ]),
    "layer norm": Family(layernorm, drawn((6, 4), (4,), (4,)), layernorm_backward, [
        ("no gamma", "missing_factor", "gamma"), ("axis", "wrong_axis", ""),
        ("std constant", "statistic_as_constant", ""), ("mean constant", "statistic_as_constant", "mean"),
    ]),
    "fused norm": Family(fused_norm, drawn((6, 4), (4,), (4,)), fused_norm_backward, [
        ("no gamma", "missing_factor", "standardize"), ("no eps", "wrong_epsilon", "standardize"),
        ("eps outside", "wrong_epsilon", "standardize"), ("mean forgotten", "statistic_as_constant", "standardize"),
        ("var forgotten", "statistic_as_constant", "standardize"), ("ddof", "wrong_ddof", "standardize"),
        ("x for x_hat", "wrong_value", "standardize"), ("1/var", "wrong_derivative", "standardize"),
    ]),
    "softmax": Family(softmax_np, drawn((5, 4)), softmax_backward, [
        ("diagonal", "softmax_diagonal_only", ""), ("batch", "wrong_axis", ""),
        ("sum constant", "statistic_as_constant softmax_diagonal_only", ""), ("sum of g", "wrong_derivative", ""),
    ]),
    "cross-entropy": Family(crossentropy, drawn((6, 5), (5, 3)), crossentropy_backward, [
        ("sign of y", "wrong_loss_gradient", "logp"), ("no targets", "wrong_loss_gradient", "logp"),
        ("no 1/N", "scale", ""), ("by classes", "scale wrong_axis", ""),
    ]),
    "fused loss": Family(fused_loss, drawn((5, 4)), fused_loss_backward, [
        ("batch", "wrong_axis", "softmax_crossentropy"), ("no targets", "wrong_loss_gradient", "softmax_crossentropy"),
        ("twice", "softmax_diagonal_only", "softmax_crossentropy"),
    ]),
    "rnn": Family(rnn, drawn((5, 3, 2), (2, 4), (4, 4), (4,)), rnn_backward, [
        ("no tanh", "missing_activation_derivative", "tanh"), ("1 - h", "wrong_derivative", "tanh"),
        ("dWh last", "last_step_only", "h @ Wh"), ("h after", "wrong_value", "h @ Wh"),
        ("dWx overwritten", "last_step_only", "@ Wx"), ("Wh transposed", "transpose", "h @ Wh"),
        ("not carried", "not_carried_back", "h @ Wh"),
    ]),
    "lstm": Family(lstm, drawn((4, 3, 2), (5, 12), (12,)), lstm_backward, [
        ("no tanh of c", "missing_activation_derivative", "np.tanh(c)"), ("gates", "wrong_gate", "f * c|i * u"),
        ("cell by i", "wrong_value", "f * c"),
        ("no sigmoid", "missing_activation_derivative", ""), ("order", "wrong_order", "concatenate"),
        ("h not carried", "not_carried_back", "concatenate"),
        ("c not carried", "not_carried_back", "f * c"),
    ]),
    "convolution": Family(fused_conv, drawn((2, 2, 5, 5), (3, 2, 3, 3)), conv_backward, [
        ("flipped", "flipped_kernel", "conv"), ("stride", "wrong_stride", "conv"), ("padding", "wrong_padding", "conv"),
        ("dw of last", "overwritten_not_accumulated", "conv"), ("overwritten", "overwritten_not_accumulated", "conv"),
        ("dw flipped", "flipped_kernel", "conv"),
    ]),
    "max pooling": Family(fused_pool, drawn((2, 2, 4, 4)), pool_backward, [
        ("all", "mask_missing", "max_pool"), ("mean", "mask_missing", "max_pool"),
        ("smallest", "wrong_index", "max_pool"), ("value", "wrong_value", "max_pool"),
    ]),
    "embedding": Family(embedded, drawn((5, 2), (4, 3)), embedded_backward, [
        ("+=", "overwritten_not_accumulated", "C[IDS]"), ("reversed", "wrong_index", "C[IDS]"),
    ]),
    "dropout": Family(dropped, drawn((4, 3), (3, 5)), dropped_backward, [
        ("no mask", "dropout_mask_missing", "h * MASK"), ("no scale", "dropout_scale_missing scale", ""),
        ("g > 0", "activation_derivative_at_wrong_value", "maximum"),
        ("no relu", "missing_activation_derivative", "maximum"),
    ]),
    "concatenate": Family(joined, drawn((3, 2), (3, 2), (3, 2)), joined_backward, [
        ("order", "wrong_order", "concatenate"), ("reversed", "wrong_order", "concatenate"),
    ]),
    "clip": Family(clipped, drawn((4, 6)), clipped_backward, [
        ("no mask", "mask_missing", "clip"), ("upper", "mask_missing", "clip"),
    ]),
    "residual": Family(residual, drawn((4, 3), (3, 5), (5, 3)), residual_backward, [
        ("no skip", "residual_forgotten", "x + h @ V"),
    ]),
    "gated": Family(gated, drawn((4, 3), (3, 5)), gated_backward, [
        ("sigmoid only", "wrong_derivative", "u * s"), ("no mix", "missing_factor", "MIX @ x"),
    ]),
    "quotient": Family(quotient, drawn((3, 4), (3, 4)), quotient_backward, [
        ("no square", "wrong_derivative", "np.sin(a) /"), ("sign", "sign", ""),
        ("half", "product_rule_half", "b * b"),
    ]),
    "unit length": Family(normalised, drawn((3, 4)), normalised_backward, [
        ("norm constant", "statistic_as_constant", "norm"), ("no norm", "missing_factor wrong_derivative", ""),
    ]),
    "standard score": Family(standardised, drawn((9,)), standardised_backward, [
        ("ddof", "wrong_ddof", "std"), ("no std", "missing_factor wrong_derivative", "std"),
        ("var constant", "statistic_as_constant", "std"), ("mean constant", "statistic_as_constant", "mean"),
    ]),
    "attention": Family(attention, drawn((4, 3), (4, 3), (4, 3)), attention_backward, [
        ("no scale", "scale missing_factor", ""), ("queries", "wrong_axis", "softmax"),
        ("diagonal", "softmax_diagonal_only", "softmax"), ("no softmax", "missing_activation_derivative", "softmax"),
    ]),
    "fused attention": Family(fused_attention, drawn((4, 6), (4, 6), (4, 6)), fused_attention_backward, [
        ("no scale", "missing_factor", "attention"), ("queries", "wrong_axis", "attention"),
        ("diagonal", "softmax_diagonal_only", "attention"),
        ("no softmax", "missing_activation_derivative", "attention"),
    ]),
    "fused lstm": Family(fused_lstm, drawn((4, 2, 12), (12, 3), (2, 3), (2, 3)), fused_lstm_backward, [
        ("gates", "wrong_gate", "lstm_states"), ("no forget", "missing_factor", "lstm_states"),
        ("last step", "last_step_only", "lstm_states"), ("cell lost", "not_carried_back", "lstm_states"),
    ]),
    "shared weights": Family(shared, drawn((4, 3), (3, 3)), shared_backward, [
        ("once", "overwritten_not_accumulated last_step_only", ""),
    ]),
}  # fmt: skip
