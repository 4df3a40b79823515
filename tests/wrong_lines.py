"""Typical backward passes, and wrong versions of single lines of them, for the search for the wrong line.

Each right function is source text, because a mistake replaces one of its lines. `make` returns random arguments for a
batch of n rows; the result of the right function is the expected one.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Array = Any
Make = Callable[[np.random.Generator, int], tuple[Any, ...]]


class Right(NamedTuple):
    """A right backward, as a text, and arguments for it."""

    text: str
    make: Make


def _softmax(r: np.random.Generator, n: int) -> Array:
    e = np.exp(r.normal(size=(n, 5)))
    return e / e.sum(axis=1, keepdims=True)


def _bn(r: np.random.Generator, n: int) -> tuple[Any, ...]:
    x = r.normal(size=(n, 4)) * 2 + 1
    mu, var = x.mean(axis=0), x.var(axis=0)
    std = np.sqrt(var + 1e-5)
    return r.normal(size=(n, 4)), {"x": x, "mu": mu, "std": std, "xhat": (x - mu) / std, "gamma": r.normal(size=4)}


def _lstm(r: np.random.Generator, n: int) -> tuple[Any, ...]:
    d, h = 3, 4
    x, prev_h, prev_c = r.normal(size=(n, d)), r.normal(size=(n, h)), r.normal(size=(n, h))
    i, f, o = (1 / (1 + np.exp(-r.normal(size=(n, h)))) for _ in range(3))
    g, c = np.tanh(r.normal(size=(n, h))), r.normal(size=(n, h))
    cache = (x, prev_h, prev_c, r.normal(size=(d, 4 * h)), r.normal(size=(h, 4 * h)), i, f, o, g, c)
    return r.normal(size=(n, h)), r.normal(size=(n, h)), cache


RIGHT = {
    "affine": Right(
        """
        def backward(dout, cache):
            x, w, b = cache
            N = x.shape[0]
            flat = x.reshape(N, -1)
            dx = np.dot(dout, w.T).reshape(x.shape)
            dw = np.dot(flat.T, dout)
            db = np.sum(dout, axis=0)
            return dx, dw, db
        """,
        lambda r, n: (r.normal(size=(n, 3)), (r.normal(size=(n, 2, 2)), r.normal(size=(4, 3)), r.normal(size=3))),
    ),
    "relu": Right(
        """
        def backward(dout, x):
            dx = dout * (x > 0)
            return dx
        """,
        lambda r, n: (r.normal(size=(n, 4)), r.normal(size=(n, 4))),
    ),
    "two layers": Right(
        """
        def backward(x, W1, b1, W2, b2, y):
            N = x.shape[0]
            h = np.tanh(x @ W1 + b1)
            scores = h @ W2 + b2
            dscores = 2 * (scores - y) / N
            dW2 = h.T @ dscores
            db2 = dscores.sum(axis=0)
            dh = dscores @ W2.T
            dz = dh * (1 - h**2)
            dW1 = x.T @ dz
            db1 = dz.sum(axis=0)
            return dW1, db1, dW2, db2
        """,
        lambda r, n: (r.normal(size=(n, 4)), r.normal(size=(4, 5)), r.normal(size=5), r.normal(size=(5, 3)),
                      r.normal(size=3), r.normal(size=(n, 3))),
    ),
    "batch norm": Right(
        """
        def backward(dout, cache):
            x, mu, std, xhat = cache["x"], cache["mu"], cache["std"], cache["xhat"]
            N = dout.shape[0]
            dbeta = dout.sum(axis=0)
            dgamma = (dout * xhat).sum(axis=0)
            dxhat = dout * cache["gamma"]
            dvar = np.sum(dxhat * (x - mu) * -0.5 * std**-3, axis=0)
            dmu = np.sum(-dxhat / std, axis=0) + dvar * np.mean(-2 * (x - mu), axis=0)
            dx = dxhat / std + dvar * 2 * (x - mu) / N + dmu / N
            return dx, dgamma, dbeta
        """, _bn,
    ),
    "layer norm": Right(
        """
        def backward(dout, x, gamma):
            mu = x.mean(axis=1, keepdims=True)
            std = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
            xn = (x - mu) / std
            dxn = dout * gamma
            first = np.mean(dxn, axis=1, keepdims=True)
            second = np.mean(dxn * xn, axis=1, keepdims=True)
            dx = (dxn - first - xn * second) / std
            return dx, np.sum(dout * xn, axis=0), np.sum(dout, axis=0)
        """,
        lambda r, n: (r.normal(size=(n, 6)), r.normal(size=(n, 6)), r.normal(size=6)),
    ),
    "softmax loss": Right(
        """
        def backward(X, W, y, reg):
            scores = X.dot(W)
            scores -= scores.max(axis=1, keepdims=True)
            probs = np.exp(scores) / np.sum(np.exp(scores), axis=1, keepdims=True)
            dscores = probs.copy()
            dscores[np.arange(len(y)), y] -= 1
            dscores /= len(y)
            dW = X.T.dot(dscores)
            dW += 2 * reg * W
            return dW
        """,
        lambda r, n: (r.normal(size=(n, 4)), r.normal(size=(4, 5)), r.integers(0, 5, n), 0.3),
    ),
    "softmax": Right(
        """
        def backward(g, p):
            inner = (g * p).sum(axis=1, keepdims=True)
            return p * (g - inner)
        """,
        lambda r, n: (r.normal(size=(n, 5)), _softmax(r, n)),
    ),
    "convolution": Right(
        """
        def backward(dout, x, w, stride, pad):
            N, C, H, W = x.shape
            F, _, HH, WW = w.shape
            xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
            dxp = np.zeros_like(xp)
            dw = np.zeros_like(w)
            for n in range(N):
                for f in range(F):
                    for i in range(dout.shape[2]):
                        for j in range(dout.shape[3]):
                            a, b = i * stride, j * stride
                            dw[f] += xp[n, :, a:a+HH, b:b+WW] * dout[n, f, i, j]
                            dxp[n, :, a:a+HH, b:b+WW] += w[f] * dout[n, f, i, j]
            dx = dxp[:, :, pad:pad+H, pad:pad+W]
            db = dout.sum(axis=(0, 2, 3))
            return dx, dw, db
        """,
        lambda r, n: (r.normal(size=(2, 2, 3, 3)), r.normal(size=(2, 1, 5, 5)), r.normal(size=(2, 1, 3, 3)), 2, 1),
    ),
    "pooling": Right(
        """
        def backward(dout, x, size):
            dx = np.zeros(x.shape)
            for i in range(dout.shape[1]):
                for j in range(dout.shape[2]):
                    part = x[:, i*size:(i+1)*size, j*size:(j+1)*size]
                    mask = part == part.max(axis=(1, 2), keepdims=True)
                    dx[:, i*size:(i+1)*size, j*size:(j+1)*size] += mask * dout[:, i, j][:, None, None]
            return dx
        """,
        lambda r, n: (r.normal(size=(n, 2, 3)), r.normal(size=(n, 4, 6)), 2),
    ),
    "rnn": Right(
        """
        def backward(dh, cache):
            xs, hs, Wx, Wh = cache
            T = len(xs)
            dWx, dWh = np.zeros_like(Wx), np.zeros_like(Wh)
            db = np.zeros(Wh.shape[0])
            dnext = np.zeros_like(dh[0])
            for t in reversed(range(T)):
                dht = dh[t] + dnext
                draw = dht * (1 - hs[t + 1]**2)
                dWx += xs[t].T @ draw
                dWh += hs[t].T @ draw
                db += draw.sum(axis=0)
                dnext = draw @ Wh.T
            return dWx, dWh, db, dnext
        """,
        lambda r, n: (r.normal(size=(4, n, 3)), (r.normal(size=(4, n, 2)), np.tanh(r.normal(size=(5, n, 3))),
                                                 r.normal(size=(2, 3)), r.normal(size=(3, 3)))),
    ),
    "lstm step": Right(
        """
        def backward(dh, dc, cache):
            x, prev_h, prev_c, Wx, Wh, i, f, o, g, c = cache
            tc = np.tanh(c)
            do = dh * tc
            dct = dc + dh * o * (1 - tc**2)
            df = dct * prev_c
            di = dct * g
            dg = dct * i
            dprev_c = dct * f
            dai = di * i * (1 - i)
            daf = df * f * (1 - f)
            dao = do * o * (1 - o)
            dag = dg * (1 - g**2)
            da = np.hstack((dai, daf, dao, dag))
            dx = da @ Wx.T
            dprev_h = da @ Wh.T
            dWx = x.T @ da
            dWh = prev_h.T @ da
            db = da.sum(axis=0)
            return dx, dprev_h, dprev_c, dWx, dWh, db
        """, _lstm,
    ),
    "embedding": Right(
        """
        def backward(dout, x, V):
            dW = np.zeros((V, dout.shape[-1]))
            np.add.at(dW, x, dout)
            return dW
        """,
        lambda r, n: (r.normal(size=(n, 3, 2)), r.integers(0, 4, (n, 3)), 4),
    ),
    "attention": Right(
        """
        def backward(g, q, k, v):
            d = q.shape[-1]
            s = q @ k.T / np.sqrt(d)
            e = np.exp(s - s.max(axis=-1, keepdims=True))
            a = e / e.sum(axis=-1, keepdims=True)
            dv = a.T @ g
            da = g @ v.T
            ds = a * (da - (da * a).sum(axis=-1, keepdims=True))
            dq = ds @ k / np.sqrt(d)
            dk = ds.T @ q / np.sqrt(d)
            return dq, dk, dv
        """,
        lambda r, n: (r.normal(size=(n, 2)), r.normal(size=(n, 3)), r.normal(size=(5, 3)), r.normal(size=(5, 2))),
    ),
    "projections": Right(
        """
        def backward(dq, dk, dv, x, Wq, Wk, Wv):
            d = Wq.shape[1]
            dq = dq.copy()
            dq /= np.sqrt(d)
            dWq = x.T @ dq
            dWk = x.T @ dk
            dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
            return dx, dWq, dWk
        """,
        lambda r, n: (*(r.normal(size=(n, 3)) for _ in "qkv"), r.normal(size=(n, 4)),
                      *(r.normal(size=(4, 3)) for _ in "qkv")),
    ),
    "norm": Right(
        """
        def backward(g, x):
            norm = np.sqrt((x**2).sum(axis=1, keepdims=True))
            u = x / norm
            return (g - u * (g * u).sum(axis=1, keepdims=True)) / norm
        """,
        lambda r, n: (r.normal(size=(n, 3)), r.normal(size=(n, 3))),
    ),
    "quotient": Right(
        """
        def backward(g, a, b):
            da = g / b
            db = -g * a / b**2
            return {"a": da, "b": db}
        """,
        lambda r, n: (r.normal(size=(n, 3)), r.normal(size=(n, 3)), r.normal(size=(n, 3)) + 3),
    ),
    "dropout and sigmoid": Right(
        """
        def backward(g, z, mask, W):
            s = 1 / (1 + np.exp(-z))
            ds = g * mask
            dz = ds * s * (1 - s)
            dW = z.T @ dz
            dx = dz @ W.T
            return dx, dW
        """,
        lambda r, n: (r.normal(size=(n, 3)), r.normal(size=(n, 3)), (r.random((n, 3)) < 0.6) / 0.6,
                      r.normal(size=(4, 3))),
    ),
    "einsum": Right(
        """
        def backward(g, x, w):
            dx = np.einsum("nk,dk->nd", g, w)
            dw = np.einsum("nd,nk->dk", x, g)
            return dx, dw
        """,
        lambda r, n: (r.normal(size=(n, 3)), r.normal(size=(n, 4)), r.normal(size=(4, 3))),
    ),
    "join": Right(
        """
        def backward(dout, a, b, W):
            both = np.concatenate([a, b], axis=1)
            dW = both.T @ dout
            dboth = dout @ W.T
            da = dboth[:, :a.shape[1]]
            db = dboth[:, a.shape[1]:]
            return da, db, dW
        """,
        lambda r, n: (r.normal(size=(n, 2)), r.normal(size=(n, 3)), r.normal(size=(n, 3)), r.normal(size=(6, 2))),
    ),
    "svm": Right(
        """
        def backward(X, W, y):
            N = X.shape[0]
            scores = X @ W
            margins = np.maximum(0, scores - scores[np.arange(N), y][:, None] + 1)
            margins[np.arange(N), y] = 0
            hit = (margins > 0).astype(float)
            hit[np.arange(N), y] = -hit.sum(axis=1)
            return X.T @ hit / N
        """,
        lambda r, n: (r.normal(size=(n, 4)), r.normal(size=(4, 5)), r.integers(0, 5, n)),
    ),
}

# (function, the right line, the wrong line)
WRONG: list[tuple[str, str, str]] = [
    ("affine", "dx = np.dot(dout, w.T).reshape(x.shape)", "dx = np.dot(dout, w.T).reshape(x.shape) / N"),
    ("affine", "dw = np.dot(flat.T, dout)", "dw = np.dot(flat.T, dout) / N"),
    ("affine", "dw = np.dot(flat.T, dout)", "dw = np.dot(dout.T, flat)"),
    ("affine", "db = np.sum(dout, axis=0)", "db = np.mean(dout, axis=0)"),
    ("affine", "db = np.sum(dout, axis=0)", "db = np.sum(dout, axis=1)"),
    ("affine", "db = np.sum(dout, axis=0)", "db = dout"),
    ("affine", "return dx, dw, db", "return dx, dw.T, db"),
    ("relu", "dx = dout * (x > 0)", "dx = dout * (dout > 0)"),
    ("relu", "dx = dout * (x > 0)", "dx = dout * (x < 0)"),
    ("relu", "dx = dout * (x > 0)", "dx = x * (x > 0)"),
    ("relu", "dx = dout * (x > 0)", "dx = dout"),
    ("two layers", "dscores = 2 * (scores - y) / N", "dscores = 2 * (scores - y)"),
    ("two layers", "dscores = 2 * (scores - y) / N", "dscores = 2 * (y - scores) / N"),
    ("two layers", "dscores = 2 * (scores - y) / N", "dscores = (scores - y) / N"),
    ("two layers", "dz = dh * (1 - h**2)", "dz = dh * (1 - h)"),
    ("two layers", "dz = dh * (1 - h**2)", "dz = dh"),
    ("two layers", "dz = dh * (1 - h**2)", "dz = dh * (1 - np.tanh(h)**2)"),
    ("two layers", "dW1 = x.T @ dz", "dW1 = x.T @ dh"),
    ("two layers", "db1 = dz.sum(axis=0)", "db1 = dz.sum()"),
    ("two layers", "dW2 = h.T @ dscores", "dW2 = h.T @ scores"),
    ("batch norm", "dvar = np.sum(dxhat * (x - mu) * -0.5 * std**-3, axis=0)",
     "dvar = dxhat * (x - mu) * -0.5 * std**-3"),
    ("batch norm", "dvar = np.sum(dxhat * (x - mu) * -0.5 * std**-3, axis=0)",
     "dvar = np.sum(dxhat * (x - mu) * -0.5 * std**-2, axis=0)"),
    ("batch norm", "dxhat = dout * cache[\"gamma\"]", "dxhat = dout"),
    ("batch norm", "dgamma = (dout * xhat).sum(axis=0)", "dgamma = (dout * x).sum(axis=0)"),
    ("batch norm", "dx = dxhat / std + dvar * 2 * (x - mu) / N + dmu / N",
     "dx = dxhat / std + dvar * 2 * (x - mu) / N + dmu"),
    ("batch norm", "dx = dxhat / std + dvar * 2 * (x - mu) / N + dmu / N",
     "dx = dxhat / std + dvar * 2 * (x - mu) / N"),
    ("batch norm", "dbeta = dout.sum(axis=0)", "dbeta = dout.sum(axis=1)"),
    ("layer norm", "first = np.mean(dxn, axis=1, keepdims=True)", "first = np.mean(dxn, axis=0, keepdims=True)"),
    ("layer norm", "second = np.mean(dxn * xn, axis=1, keepdims=True)",
     "second = np.mean(dxn * xn, axis=0, keepdims=True)"),
    ("layer norm", "dxn = dout * gamma", "dxn = dout"),
    ("layer norm", "dx = (dxn - first - xn * second) / std", "dx = (dxn - first - x * second) / std"),
    ("layer norm", "dx = (dxn - first - xn * second) / std", "dx = (dxn - xn * second) / std"),
    ("layer norm", "dx = (dxn - first - xn * second) / std", "dx = (dxn - first - xn * second) * std"),
    ("softmax loss", "dscores[np.arange(len(y)), y] -= 1", "dscores[np.arange(len(y)), y] += 1"),
    ("softmax loss", "dscores /= len(y)", "dscores /= 1"),
    ("softmax loss", "dW += 2 * reg * W", "dW += reg * W"),
    ("softmax loss", "dW += 2 * reg * W", "dW = 2 * reg * W"),
    ("softmax loss", "probs = np.exp(scores) / np.sum(np.exp(scores), axis=1, keepdims=True)",
     "probs = np.exp(scores) / np.sum(np.exp(scores), axis=0, keepdims=True)"),
    ("softmax", "return p * (g - inner)", "return p * g"),
    ("softmax", "inner = (g * p).sum(axis=1, keepdims=True)", "inner = (g * p).sum(axis=0, keepdims=True)"),
    ("softmax", "inner = (g * p).sum(axis=1, keepdims=True)", "inner = g.sum(axis=1, keepdims=True)"),
    ("convolution", "dw[f] += xp[n, :, a:a+HH, b:b+WW] * dout[n, f, i, j]",
     "dw[f] = xp[n, :, a:a+HH, b:b+WW] * dout[n, f, i, j]"),
    ("convolution", "dxp[n, :, a:a+HH, b:b+WW] += w[f] * dout[n, f, i, j]",
     "dxp[n, :, a:a+HH, b:b+WW] += w[f, :, ::-1, ::-1] * dout[n, f, i, j]"),
    ("convolution", "dx = dxp[:, :, pad:pad+H, pad:pad+W]", "dx = dxp[:, :, :H, :W]"),
    ("convolution", "a, b = i * stride, j * stride", "a, b = i, j"),
    ("convolution", "db = dout.sum(axis=(0, 2, 3))", "db = dout.sum(axis=(2, 3))"),
    ("pooling", "mask = part == part.max(axis=(1, 2), keepdims=True)", "mask = part == part.max()"),
    ("pooling", "dx[:, i*size:(i+1)*size, j*size:(j+1)*size] += mask * dout[:, i, j][:, None, None]",
     "dx[:, i*size:(i+1)*size, j*size:(j+1)*size] += dout[:, i, j][:, None, None]"),
    ("rnn", "dht = dh[t] + dnext", "dht = dh[t]"),
    ("rnn", "draw = dht * (1 - hs[t + 1]**2)", "draw = dht * (1 - hs[t]**2)"),
    ("rnn", "dWh += hs[t].T @ draw", "dWh += hs[t + 1].T @ draw"),
    ("rnn", "dWx += xs[t].T @ draw", "dWx = xs[t].T @ draw"),
    ("rnn", "dnext = draw @ Wh.T", "dnext = draw @ Wh"),
    ("lstm step", "df = dct * prev_c", "df = dct * c"),
    ("lstm step", "dct = dc + dh * o * (1 - tc**2)", "dct = dc + dh * o * (1 - c**2)"),
    ("lstm step", "dct = dc + dh * o * (1 - tc**2)", "dct = dh * o * (1 - tc**2)"),
    ("lstm step", "dag = dg * (1 - g**2)", "dag = dg * g * (1 - g)"),
    ("lstm step", "da = np.hstack((dai, daf, dao, dag))", "da = np.hstack((dai, dao, daf, dag))"),
    ("lstm step", "dprev_c = dct * f", "dprev_c = dct"),
    ("embedding", "np.add.at(dW, x, dout)", "dW[x] += dout"),
    ("embedding", "np.add.at(dW, x, dout)", "dW[x] = dout"),
    ("attention", "ds = a * (da - (da * a).sum(axis=-1, keepdims=True))",
     "ds = a * (da - (da * a).sum(axis=0, keepdims=True))"),
    ("attention", "ds = a * (da - (da * a).sum(axis=-1, keepdims=True))", "ds = a * da"),
    ("attention", "dk = ds.T @ q / np.sqrt(d)", "dk = ds.T @ q"),
    ("attention", "dv = a.T @ g", "dv = s.T @ g"),
    ("projections", "dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T", "dx = dq @ Wq.T + dk @ Wk.T"),
    ("projections", "dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T", "dx = dq @ Wq.T + dk @ Wk.T + dk @ Wk.T"),
    ("projections", "dq /= np.sqrt(d)", "dq /= d"),
    ("norm", "norm = np.sqrt((x**2).sum(axis=1, keepdims=True))", "norm = (x**2).sum(axis=1, keepdims=True)"),
    ("norm", "return (g - u * (g * u).sum(axis=1, keepdims=True)) / norm",
     "return (g - u * (g * u).sum(axis=1, keepdims=True))"),
    ("quotient", "db = -g * a / b**2", "db = -g * a / b"),
    ("quotient", "db = -g * a / b**2", "db = g * a / b**2"),
    ("quotient", "da = g / b", "da = g * b"),
    ("dropout and sigmoid", "ds = g * mask", "ds = g"),
    ("dropout and sigmoid", "dz = ds * s * (1 - s)", "dz = ds * z * (1 - z)"),
    ("dropout and sigmoid", "dz = ds * s * (1 - s)", "dz = ds * (1 - s)"),
    ("einsum", "dw = np.einsum(\"nd,nk->dk\", x, g)", "dw = np.einsum(\"nd,nk->kd\", x, g)"),
    ("einsum", "dx = np.einsum(\"nk,dk->nd\", g, w)", "dx = np.einsum(\"nk,dj->nd\", g, w)"),
    ("join", "da = dboth[:, :a.shape[1]]", "da = dboth[:, a.shape[1]:]"),
    ("join", "both = np.concatenate([a, b], axis=1)", "both = np.concatenate([b, a], axis=1)"),
    ("svm", "hit[np.arange(N), y] = -hit.sum(axis=1)", "hit[np.arange(N), y] = hit.sum(axis=1)"),
    ("svm", "hit = (margins > 0).astype(float)", "hit = margins"),
    ("svm", "return X.T @ hit / N", "return X.T @ hit"),
]


def text_of(name: str, right: str = "", wrong: str = "") -> tuple[str, int]:
    """Return the text of a function with one line by another, and the number of that line, 0 of the right one."""
    text = textwrap.dedent(RIGHT[name].text).strip() + "\n"
    if not right:
        return text, 0
    rows = text.split("\n")
    (at,) = [k for k, row in enumerate(rows) if row.strip() == right]
    rows[at] = rows[at].replace(right, wrong)
    return "\n".join(rows), at + 1
