"""Right backward passes in many styles, for `compare_steps`: each is a program, how it is called, and one mistake.

A mistake is (old text, new text, the gradient that is wrong first), done to the source of the program.
"""

import inspect
import linecache
from collections.abc import Callable
from typing import Any

import numpy as np

R = np.random.default_rng(1)
PROGRAMS: dict[str, tuple[Callable[[], Any], Any, dict[str, Any], tuple[str, str, str]]] = {}


def program(inputs: Any, mistake: tuple[str, str, str], **options: Any) -> Callable[[Any], Any]:
    def declare(f: Any) -> Any:
        PROGRAMS[f.__name__] = f, inputs, options, mistake
        return f

    return declare


def changed(f: Callable[..., Any], old: str, new: str) -> Any:
    """The same function with another text in its source, which a traceback and a report can show."""
    source = inspect.getsource(f)
    source = source[source.index("def ") :]
    assert old in source, old
    source = source.replace(old, new)
    file = f"<{hash((f.__name__, old, new)) & 0xFFFFFFFF:x}>"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    space = dict(f.__globals__)
    exec(compile(source, file, "exec"), space)
    return space[f.__name__]


X = R.normal(size=(10, 4))
Y = R.integers(0, 3, 10)
W1, b1, W2, b2 = R.normal(size=(4, 6)), R.normal(size=6), R.normal(size=(6, 3)), R.normal(size=3)


@program((X, W1, b1, W2, b2), mistake=("dhidden[hidden <= 0] = 0", "dhidden[hidden < 0] = 0", "grads['b1']"))
def two_layer():
    def forward(X, W1, b1, W2, b2):
        hidden = np.maximum(0, X @ W1 + b1)
        scores = hidden @ W2 + b2
        shifted = scores - np.max(scores, axis=1, keepdims=True)
        probs = np.exp(shifted) / np.sum(np.exp(shifted), axis=1, keepdims=True)
        loss = -np.sum(np.log(probs[np.arange(10), Y])) / 10
        loss = loss + 0.5 * 0.1 * np.sum(W1 * W1) + 0.5 * 0.1 * np.sum(W2 * W2)
        return loss

    def backward(X, W1, b1, W2, b2, hidden, probs):
        grads = {}
        dscores = probs
        dscores[np.arange(10), Y] -= 1
        dscores /= 10
        grads["W2"] = hidden.T @ dscores + 0.1 * W2
        grads["b2"] = dscores.sum(0)
        dhidden = dscores @ W2.T
        dhidden[hidden <= 0] = 0
        grads["W1"] = X.T @ dhidden + 0.1 * W1
        grads["b1"] = dhidden.sum(axis=0)
        return grads

    return forward, backward


@program((X, W1, b1, W2, b2), mistake=("dw = x.T @ dout", "dw = 2 * x.T @ dout", "dw"))
def helpers_with_caches():
    def affine_forward(x, w, b):
        out = x @ w + b
        return out, (x, w, b)

    def affine_backward(dout, cache):
        x, w, _ = cache
        dx = dout @ w.T
        dw = x.T @ dout
        db = dout.sum(axis=0)
        return dx, dw, db

    def relu_forward(x):
        out = np.maximum(x, 0)
        return out, x

    def relu_backward(dout, cache):
        x = cache
        dx = dout * (x > 0)
        return dx

    def forward(X, W1, b1, W2, b2):
        a, fc1 = affine_forward(X, W1, b1)
        h, r = relu_forward(a)
        out, fc2 = affine_forward(h, W2, b2)
        return out, (fc1, r, fc2)

    def backward(dout, cache):
        fc1, r, fc2 = cache
        dh, dW2, db2 = affine_backward(dout, fc2)
        da = relu_backward(dh, r)
        dX, dW1, db1 = affine_backward(da, fc1)
        return dX, dW1, db1, dW2, db2

    return forward, backward


T, B, D, H = 5, 3, 4, 6
xs = R.normal(size=(T, B, D))
h0 = R.normal(size=(B, H))
Wx, Wh, bh = R.normal(size=(D, H)) * 0.5, R.normal(size=(H, H)) * 0.5, R.normal(size=H)


@program((xs, h0, Wx, Wh, bh), mistake=("dh = dz @ Wh.T", "dh = dz @ Wh", "dh"))
def rnn_rebind():
    def forward(x, h0, Wx, Wh, b):
        h = h0
        loss = 0.0
        for t in range(T):
            z = x[t] @ Wx + h @ Wh + b
            h = np.tanh(z)
            loss = loss + (h**2).sum()
        return loss

    def backward(x, h0, Wx, Wh, b):
        hs = [h0]
        for t in range(T):
            hs.append(np.tanh(x[t] @ Wx + hs[-1] @ Wh + b))
        dx = np.zeros_like(x)
        dWx = np.zeros_like(Wx)
        dWh = np.zeros_like(Wh)
        db = np.zeros_like(b)
        dh = np.zeros_like(h0)
        for t in reversed(range(T)):
            dh = dh + 2 * hs[t + 1]
            dz = dh * (1 - hs[t + 1] ** 2)
            dx[t] = dz @ Wx.T
            dWx += x[t].T @ dz
            dWh += hs[t].T @ dz
            db += dz.sum(0)
            dh = dz @ Wh.T
        dh0 = dh
        return dx, dh0, dWx, dWh, db

    return forward, backward


@program((xs, h0, Wx, Wh, bh), mistake=("dh = hs[t] ** 2 + dhnext", "dh = hs[t] ** 2", "dh"))
def rnn_dicts():
    def forward(x, h0, Wx, Wh, b):
        hs, zs = {}, {}
        hs[-1] = h0
        loss = 0
        for t in range(T):
            zs[t] = x[t] @ Wx + hs[t - 1] @ Wh + b
            hs[t] = np.tanh(zs[t])
            loss += np.sum(hs[t] ** 3) / 3
        return loss, (hs, zs)

    def backward(x, Wx, Wh, b, cache):
        hs, _ = cache
        dWx, dWh, db = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(b)
        dhnext = np.zeros_like(hs[0])
        dx = [None] * T
        for t in reversed(range(T)):
            dh = hs[t] ** 2 + dhnext
            dhraw = (1 - hs[t] * hs[t]) * dh
            dWx += x[t].T @ dhraw
            dWh += hs[t - 1].T @ dhraw
            db += dhraw.sum(0)
            dx[t] = dhraw @ Wx.T
            dhnext = dhraw @ Wh.T
        return np.stack(dx), dhnext, dWx, dWh, db

    return forward, backward


Wl, Ul, bl = R.normal(size=(D, 4 * H)) * 0.5, R.normal(size=(H, 4 * H)) * 0.5, R.normal(size=4 * H)
c0 = R.normal(size=(B, H))


@program((xs, h0, c0, Wl, Ul, bl), mistake=("dh = dh + dout[t]", "dh = dout[t]", "dh"))
def lstm():
    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    def step(x, h_prev, c_prev, W, U, b):
        a = x @ W + h_prev @ U + b
        i = sigmoid(a[:, :H])
        f = sigmoid(a[:, H : 2 * H])
        o = sigmoid(a[:, 2 * H : 3 * H])
        g = np.tanh(a[:, 3 * H :])
        c = f * c_prev + i * g
        h = o * np.tanh(c)
        return h, c, (x, h_prev, c_prev, i, f, o, g, c, W, U)

    def step_backward(dh, dc, cache):
        x, h_prev, c_prev, i, f, o, g, c, W, U = cache
        do = dh * np.tanh(c)
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
        di = dc * g
        df = dc * c_prev
        dg = dc * i
        dc_prev = dc * f
        da = np.hstack([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)])
        dx = da @ W.T
        dh_prev = da @ U.T
        dW = x.T @ da
        dU = h_prev.T @ da
        db = da.sum(0)
        return dx, dh_prev, dc_prev, dW, dU, db

    def forward(xs, h0, c0, W, U, b):
        h, c = h0, c0
        caches, hs = [], []
        for t in range(T):
            h, c, cache = step(xs[t], h, c, W, U, b)
            hs.append(h)
            caches.append(cache)
        out = np.stack(hs)
        return out, caches

    def backward(dout, caches):
        dxs = np.zeros_like(xs)
        dh, dc = np.zeros_like(h0), np.zeros_like(c0)
        dW, dU, db = 0, 0, 0
        for t in reversed(range(T)):
            dh = dh + dout[t]
            dx, dh, dc, dW_t, dU_t, db_t = step_backward(dh, dc, caches[t])
            dxs[t] = dx
            dW += dW_t
            dU += dU_t
            db += db_t
        return dxs, dh, dc, dW, dU, db

    return forward, backward


@program((X,), mistake=("delta = np.cos(z)", "delta = np.sin(z)", "delta"), names={"delta": "z"})
def by_hand():
    def forward(X):
        z = X * X
        return np.sin(z).sum()

    def backward(X, z):
        delta = np.cos(z)
        return 2 * X * delta

    return forward, backward


@program({"x": X, "w": W1}, mistake=("2 * p}", "p}", "grads['dp']"))
def dict_returns():
    def forward(x, w):
        s = x @ w
        p = 1 / (1 + np.exp(-s))
        return {"s": s, "p": p, "loss": (p * p).sum()}

    def backward(s, p, x, w):
        grads = {"dp": 2 * p}
        grads["ds"] = grads["dp"] * p * (1 - p)
        return {**grads, "dw": x.T @ grads["ds"], "dx": grads["ds"] @ w.T}

    return forward, backward


@program((X, W1, b1), mistake=("dx = dx * (1 - x3**2)", "dx = dx * (1 - x3)", "dx"))
def rebinding():
    def forward(x, w, b):
        x = x @ w
        x = x + b
        x = np.tanh(x)
        return (x * x).sum()

    def backward(x, w, b):
        x0 = x
        x1 = x0 @ w
        x3 = np.tanh(x1 + b)
        dx = 2 * x3
        dx = dx * (1 - x3**2)
        db = dx.sum(0)
        dw = x0.T @ dx
        dx = dx @ w.T
        return dx, dw, db

    return forward, backward


@program((X, W1, b1, W2, b2), mistake=("dh = dy @ W2.T", "dh = 2 * dy @ W2.T", "dh"))
def reuse_dh():
    def forward(X, W1, b1, W2, b2):
        h = np.tanh(X @ W1 + b1)
        y = h @ W2 + b2
        return (y**2).mean()

    def backward(X, h, y, W2):
        dy = 2 * y / y.size
        dW2 = h.T @ dy
        db2 = dy.sum(0)
        dh = dy @ W2.T
        dh = dh * (1 - h**2)
        dW1 = X.T @ dh
        db1 = dh.sum(0)
        return dh @ W1.T, dW1, db1, dW2, db2

    return forward, backward


@program((X, W1), mistake=("(1 - self.a**2)", "(1 - self.z**2)", "dz"))
def methods():
    class Net:
        def forward(self, x, w):
            self.x, self.w = x, w
            self.z = x @ w
            self.a = np.tanh(self.z)
            return self.a

        def backward(self, dout):
            self.dz = dout * (1 - self.a**2)
            self.dw = self.x.T @ self.dz
            dx = self.dz @ self.w.T
            return dx, self.dw

    net = Net()
    return net.forward, net.backward


@program((X, W1, b1), mistake=("b.grad = z.grad.sum(0)", "b.grad = z.grad.sum(1)", "b.grad"))
def grad_attr():
    def forward(x, w, b):
        z = x @ w + b
        a = np.tanh(z)
        loss = (a * a).sum()
        return loss

    def backward(x, w, b, z, a):
        a.grad = 2 * a
        z.grad = a.grad * (1 - a**2)
        w.grad = x.T @ z.grad
        b.grad = z.grad.sum(0)
        x.grad = z.grad @ w.T

    return forward, backward


@program((X, W1, b1), mistake=("grad_z = dL_da * (1 - a**2)", "grad_z = dL_da", "grad_z"))
def other_names():
    def forward(x, w, b):
        z = x @ w + b
        a = np.tanh(z)
        loss = (a * a).sum()
        return loss

    def backward(x, w, b, z, a):
        dL_da = 2 * a
        grad_z = dL_da * (1 - a**2)
        w_grad = x.T @ grad_z
        d_b = grad_z.sum(0)
        grad_x = grad_z @ w.T
        return grad_x, w_grad, d_b

    return forward, backward


Q, K, V = R.normal(size=(5, 4)), R.normal(size=(5, 4)), R.normal(size=(5, 4))


@program(
    (Q, K, V),
    mistake=("(dweights * weights).sum(-1, keepdims=True)", "(dweights * weights).sum(0, keepdims=True)", "dscores"),
)
def attention():
    def softmax(s):
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def forward(q, k, v):
        scores = q @ k.T / np.sqrt(q.shape[-1])
        weights = softmax(scores)
        out = weights @ v
        return out

    def backward(dout, q, k, v, weights):
        dv = weights.T @ dout
        dweights = dout @ v.T
        dscores = weights * (dweights - (dweights * weights).sum(-1, keepdims=True))
        dscores /= np.sqrt(q.shape[-1])
        dq = dscores @ k
        dk = dscores.T @ q
        return dq, dk, dv

    return forward, backward


@program((X, W1, b1), mistake=("dw = x.T @ dz", "dw = x.T @ da", "dw"))
def closure():
    vals = {}

    def forward(x, w, b):
        z = x @ w + b
        a = np.tanh(z)
        vals.update(x=x, w=w, a=a)
        return (a * a).sum()

    def backward():
        x, w, a = vals["x"].data, vals["w"].data, vals["a"].data
        da = 2 * a
        dz = da * (1 - a * a)
        dw = x.T @ dz
        return {"dw": dw, "dx": dz @ w.T, "db": dz.sum(0)}

    return forward, backward


@program((X, W1, W2), mistake=("dz = da * (1 - acts[k + 1] ** 2)", "dz = da * (1 - zs[k] ** 2)", "dz"))
def lists_and_numbers_of_the_forward():
    def forward(x, w, v):
        mode = "train"
        depth, keep = 2, np.array([1.0, 0.0, 2.0])
        acts, zs = [x], []
        for k in range(depth):
            z = acts[k] @ (w, v)[k]
            zs.append(z)
            acts.append(np.tanh(z))
        y = acts[depth] * keep if mode == "train" else acts[depth]
        return (y * y).sum()

    def backward(w, v, zs, acts, depth, mode, keep, y):
        dy = 2 * y
        da = dy * keep if mode == "train" else dy
        grads = {}
        for k in reversed(range(depth)):
            dz = da * (1 - acts[k + 1] ** 2)
            grads["wv"[k]] = acts[k].T @ dz
            da = dz @ (w, v)[k].T
        return {"w": grads["w"], "v": grads["v"], "x": da}

    return forward, backward


@program((xs, h0, R.normal(size=(D, H)), R.normal(size=(H, H))), mistake=("hs[t - 1].T", "hs[t].T", "dWhh"))
def a_dict_by_time():
    def forward(xs, h0, Wxh, Whh):
        hs = {-1: h0}
        for t in range(len(xs)):
            hs[t] = np.tanh(xs[t] @ Wxh + hs[t - 1] @ Whh)
        return (hs[t] ** 2).sum()

    def backward(xs, Wxh, Whh, hs):
        dWxh, dWhh = np.zeros_like(Wxh), np.zeros_like(Whh)
        dh = 2 * hs[len(xs) - 1]
        for t in reversed(range(len(xs))):
            raw = dh * (1 - hs[t] ** 2)
            dWxh += xs[t].T @ raw
            dWhh += hs[t - 1].T @ raw
            dh = raw @ Whh.T
        return {"Wxh": dWxh, "Whh": dWhh, "h0": dh}

    return forward, backward
