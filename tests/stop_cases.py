"""Right programs of courses and texts, and mistakes in them that raise an error, with the edit that mends each."""

from __future__ import annotations

# conventions: a forward and a backward ("cache", "cache_dict", "plain"), a function that returns its gradients with
# its loss ("grads"), an object or a class ("class")
PROGRAMS: dict[str, str] = {
    "two_layer_cs231n": """\
import numpy as np
def loss_fn(X, y, W1, b1, W2, b2, reg=0.1):
    N = X.shape[0]
    hidden = np.maximum(0, X.dot(W1) + b1)
    scores = hidden.dot(W2) + b2
    shifted = scores - scores.max(axis=1, keepdims=True)
    probs = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    loss = -np.log(probs[np.arange(N), y]).mean() + 0.5 * reg * ((W1 * W1).sum() + (W2 * W2).sum())
    grads = {}
    dscores = probs.copy()
    dscores[np.arange(N), y] -= 1
    dscores /= N
    grads["W2"] = hidden.T.dot(dscores) + reg * W2
    grads["b2"] = dscores.sum(axis=0)
    dhidden = dscores.dot(W2.T)
    dhidden[hidden <= 0] = 0
    grads["W1"] = X.T.dot(dhidden) + reg * W1
    grads["b1"] = dhidden.sum(axis=0)
    return loss, grads
f = loss_fn
rng = np.random.default_rng(0)
inputs = (rng.normal(size=(5, 4)), np.array([0, 2, 1, 1, 0]), rng.normal(size=(4, 6)), rng.normal(size=6),
          rng.normal(size=(6, 3)), rng.normal(size=3))
""",
    "affine_rows": """\
import numpy as np
def forward(x, w, b):
    out = x.reshape(x.shape[0], -1) @ w + b
    cache = (x, w, b)
    return out, cache
def backward(dout, cache):
    x, w, b = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T @ dout
    db = np.sum(dout, axis=0)
    return dx, dw, db
rng = np.random.default_rng(1)
inputs = (rng.normal(size=(4, 2, 3)), rng.normal(size=(6, 5)), rng.normal(size=5))
""",
    "coursera_columns": """\
import numpy as np
def forward(X, W1, b1, W2, b2):
    Z1 = np.dot(W1, X) + b1
    A1 = np.tanh(Z1)
    Z2 = np.dot(W2, A1) + b2
    A2 = 1 / (1 + np.exp(-Z2))
    cache = {"X": X, "W1": W1, "W2": W2, "A1": A1, "A2": A2}
    return A2, cache
def backward(dA2, cache):
    X, W2, A1, A2 = cache["X"], cache["W2"], cache["A1"], cache["A2"]
    dZ2 = dA2 * A2 * (1 - A2)
    dW2 = np.dot(dZ2, A1.T)
    db2 = np.sum(dZ2, axis=1, keepdims=True)
    dA1 = np.dot(W2.T, dZ2)
    dZ1 = dA1 * (1 - np.power(A1, 2))
    dW1 = np.dot(dZ1, X.T)
    db1 = np.sum(dZ1, axis=1, keepdims=True)
    dX = np.dot(cache["W1"].T, dZ1)
    return {"X": dX, "W1": dW1, "b1": db1, "W2": dW2, "b2": db2}
rng = np.random.default_rng(2)
inputs = (rng.normal(size=(4, 7)), rng.normal(size=(5, 4)), rng.normal(size=(5, 1)), rng.normal(size=(2, 5)),
          rng.normal(size=(2, 1)))
""",
    "batchnorm": """\
import numpy as np
def forward(x, gamma, beta):
    mu = x.mean(axis=0)
    xc = x - mu
    var = (xc ** 2).mean(axis=0)
    std = np.sqrt(var + 1e-5)
    xhat = xc / std
    return gamma * xhat + beta, (xc, std, xhat, gamma)
def backward(dout, cache):
    xc, std, xhat, gamma = cache
    N = dout.shape[0]
    dbeta = dout.sum(axis=0)
    dgamma = (dout * xhat).sum(axis=0)
    dxhat = dout * gamma
    dxc = dxhat / std
    dstd = -(dxhat * xc).sum(axis=0) / std ** 2
    dvar = 0.5 * dstd / std
    dxc += 2.0 / N * xc * dvar
    dmu = dxc.sum(axis=0)
    dx = dxc - dmu / N
    return dx, dgamma, dbeta
rng = np.random.default_rng(3)
inputs = (rng.normal(size=(7, 4)) * 2 + 1, rng.normal(size=4), rng.normal(size=4))
""",
    "layernorm_torch": """\
import numpy as np
def forward(x, weight, bias, eps=1e-5):
    mean = x.mean(-1, keepdims=True)
    var = x.var(-1, keepdims=True)
    rstd = (var + eps) ** -0.5
    norm = (x - mean) * rstd
    return norm * weight + bias
def backward(dout, x, weight, bias, eps=1e-5):
    C = x.shape[-1]
    mean = x.mean(-1, keepdims=True)
    rstd = (x.var(-1, keepdims=True) + eps) ** -0.5
    norm = (x - mean) * rstd
    dbias = dout.sum((0, 1))
    dweight = (dout * norm).sum((0, 1))
    dnorm = dout * weight
    dx = dnorm - dnorm.mean(-1, keepdims=True) - norm * (dnorm * norm).mean(-1, keepdims=True)
    dx *= rstd
    return dx, dweight, dbias
rng = np.random.default_rng(4)
inputs = (rng.normal(size=(2, 3, 5)), rng.normal(size=5), rng.normal(size=5))
""",
    "rnn_minchar": """\
import numpy as np
def forward(xs, h0, Wxh, Whh, bh):
    T = xs.shape[1]
    hs = [h0]
    for t in range(T):
        hs.append(np.tanh(xs[:, t] @ Wxh + hs[-1] @ Whh + bh))
    return np.stack(hs[1:], axis=1), (xs, Wxh, Whh, hs)
def backward(dh, cache):
    xs, Wxh, Whh, hs = cache
    dxs = np.zeros_like(xs)
    dWxh, dWhh = np.zeros_like(Wxh), np.zeros_like(Whh)
    dbh = np.zeros(Whh.shape[0])
    dhnext = np.zeros_like(hs[0])
    for t in reversed(range(xs.shape[1])):
        dht = dh[:, t] + dhnext
        draw = (1 - hs[t + 1] ** 2) * dht
        dbh += draw.sum(axis=0)
        dWxh += xs[:, t].T @ draw
        dWhh += hs[t].T @ draw
        dxs[:, t] = draw @ Wxh.T
        dhnext = draw @ Whh.T
    return dxs, dhnext, dWxh, dWhh, dbh
rng = np.random.default_rng(5)
inputs = (rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 5)), rng.normal(size=(3, 5)) * 0.5,
          rng.normal(size=(5, 5)) * 0.5, rng.normal(size=5))
""",
    "nielsen": """\
import numpy as np
def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))
def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))
def forward(x, y, w1, b1, w2, b2):
    a1 = sigmoid(np.dot(w1, x) + b1)
    a2 = sigmoid(np.dot(w2, a1) + b2)
    return 0.5 * np.sum((a2 - y) ** 2)
def backward(x, y, w1, b1, w2, b2):
    z1 = np.dot(w1, x) + b1
    a1 = sigmoid(z1)
    z2 = np.dot(w2, a1) + b2
    a2 = sigmoid(z2)
    delta2 = (a2 - y) * sigmoid_prime(z2)
    delta1 = np.dot(w2.transpose(), delta2) * sigmoid_prime(z1)
    nabla_w2 = np.dot(delta2, a1.transpose())
    nabla_w1 = np.dot(delta1, x.transpose())
    return np.dot(w1.T, delta1), -(a2 - y), nabla_w1, delta1, nabla_w2, delta2
rng = np.random.default_rng(6)
inputs = (rng.normal(size=(4, 1)), rng.normal(size=(2, 1)), rng.normal(size=(3, 4)), rng.normal(size=(3, 1)),
          rng.normal(size=(2, 3)), rng.normal(size=(2, 1)))
""",
    "attention": """\
import numpy as np
def softmax(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)
def forward(Q, K, V):
    scale = 1 / np.sqrt(Q.shape[-1])
    P = softmax(Q @ K.swapaxes(-1, -2) * scale)
    return P @ V, (Q, K, V, P, scale)
def backward(dO, cache):
    Q, K, V, P, scale = cache
    dV = P.swapaxes(-1, -2) @ dO
    dP = dO @ V.swapaxes(-1, -2)
    dS = P * (dP - (dP * P).sum(-1, keepdims=True))
    dQ = dS @ K * scale
    dK = dS.swapaxes(-1, -2) @ Q * scale
    return dQ, dK, dV
rng = np.random.default_rng(7)
inputs = (rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 6)))
""",
    "conv_im2col": """\
import numpy as np
def im2col(x, k):
    N, C, H, W = x.shape
    cols = []
    for i in range(H - k + 1):
        for j in range(W - k + 1):
            cols.append(x[:, :, i:i + k, j:j + k].reshape(N, -1))
    return np.stack(cols, axis=1)
def forward(x, w, b):
    N, C, H, W = x.shape
    F, _, k, _ = w.shape
    cols = im2col(x, k)
    out = cols @ w.reshape(F, -1).T + b
    return out.transpose(0, 2, 1).reshape(N, F, H - k + 1, W - k + 1), (x, w, cols)
def backward(dout, cache):
    x, w, cols = cache
    N, C, H, W = x.shape
    F, _, k, _ = w.shape
    d = dout.reshape(N, F, -1).transpose(0, 2, 1)
    db = d.sum(axis=(0, 1))
    dw = np.einsum("npf,npc->fc", d, cols).reshape(w.shape)
    dcols = d @ w.reshape(F, -1)
    dx = np.zeros_like(x)
    p = 0
    for i in range(H - k + 1):
        for j in range(W - k + 1):
            dx[:, :, i:i + k, j:j + k] += dcols[:, p].reshape(N, C, k, k)
            p += 1
    return dx, dw, db
rng = np.random.default_rng(8)
inputs = (rng.normal(size=(2, 3, 4, 5)), rng.normal(size=(6, 3, 2, 2)), rng.normal(size=6))
""",
    "lstm_step": """\
import numpy as np
def sig(x):
    return 1 / (1 + np.exp(-x))
def forward(x, h, c, Wx, Wh, b):
    H = h.shape[1]
    a = x @ Wx + h @ Wh + b
    i, f, o, g = sig(a[:, :H]), sig(a[:, H:2 * H]), sig(a[:, 2 * H:3 * H]), np.tanh(a[:, 3 * H:])
    c2 = f * c + i * g
    t = np.tanh(c2)
    return o * t, (x, h, c, Wx, Wh, i, f, o, g, t)
def backward(dh2, cache):
    x, h, c, Wx, Wh, i, f, o, g, t = cache
    dc2 = dh2 * o * (1 - t ** 2)
    di = dc2 * g * i * (1 - i)
    df = dc2 * c * f * (1 - f)
    do = dh2 * t * o * (1 - o)
    dg = dc2 * i * (1 - g ** 2)
    da = np.concatenate([di, df, do, dg], axis=1)
    dx = da @ Wx.T
    dh = da @ Wh.T
    dc = dc2 * f
    dWx = x.T @ da
    dWh = h.T @ da
    db = da.sum(axis=0)
    return dx, dh, dc, dWx, dWh, db
rng = np.random.default_rng(9)
inputs = (rng.normal(size=(3, 4)), rng.normal(size=(3, 5)), rng.normal(size=(3, 5)), rng.normal(size=(4, 20)),
          rng.normal(size=(5, 20)), rng.normal(size=20))
""",
    "gru_grads": """\
import numpy as np
def f(params, x, h):
    s = lambda v: 1 / (1 + np.exp(-v))
    z = s(x @ params["Wz"] + h @ params["Uz"])
    r = s(x @ params["Wr"] + h @ params["Ur"])
    n = np.tanh(x @ params["Wn"] + (r * h) @ params["Un"])
    out = (1 - z) * n + z * h
    loss = (out ** 2).sum()
    grads = {}
    dout = 2 * out
    dn = dout * (1 - z) * (1 - n ** 2)
    dz = dout * (h - n) * z * (1 - z)
    grads["Wn"] = x.T @ dn
    grads["Un"] = (r * h).T @ dn
    dr = dn @ params["Un"].T * h * r * (1 - r)
    grads["Wr"] = x.T @ dr
    grads["Ur"] = h.T @ dr
    grads["Wz"] = x.T @ dz
    grads["Uz"] = h.T @ dz
    return loss, grads
rng = np.random.default_rng(10)
inputs = ({k: rng.normal(size=(4 if k[0] == "W" else 5, 5)) for k in ["Wz", "Uz", "Wr", "Ur", "Wn", "Un"]},
          rng.normal(size=(3, 4)), rng.normal(size=(3, 5)))
""",
    "softmax_regression_class": """\
import numpy as np
class Net:
    def __init__(self, W, b):
        self.W, self.b = W, b
    def forward(self, X):
        self.X = X
        s = X @ self.W + self.b
        e = np.exp(s - s.max(axis=1, keepdims=True))
        self.P = e / e.sum(axis=1, keepdims=True)
        return self.P
    def backward(self, dP):
        ds = self.P * (dP - (dP * self.P).sum(axis=1, keepdims=True))
        self.dW = self.X.T @ ds
        self.db = ds.sum(axis=0)
        return ds @ self.W.T
rng = np.random.default_rng(11)
net = Net(rng.normal(size=(4, 3)), rng.normal(size=3))
inputs = (rng.normal(size=(6, 4)),)
""",
    "mlp_class_layers": """\
import numpy as np
class Linear:
    def __init__(self, w, b):
        self.w = w
        self.b = b
    def forward(self, x):
        self.x = x
        return x @ self.w + self.b
    def backward(self, grad):
        self.dw = self.x.T @ grad
        self.db = grad.sum(0)
        return grad @ self.w.T
class ReLU:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask
    def backward(self, grad):
        return grad * self.mask
class Net:
    def __init__(self, layers):
        self.layers = layers
    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x
    def backward(self, grad):
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad
rng = np.random.default_rng(12)
net = Net([Linear(rng.normal(size=(3, 5)), rng.normal(size=5)), ReLU(),
           Linear(rng.normal(size=(5, 2)), rng.normal(size=2))])
inputs = (rng.normal(size=(4, 3)),)
""",
    "embedding_makemore": """\
import numpy as np
def forward(idx, C, W1, b1):
    emb = C[idx]
    embcat = emb.reshape(emb.shape[0], -1)
    h = np.tanh(embcat @ W1 + b1)
    return h, (idx, C, W1, emb, embcat, h)
def backward(dh, cache):
    idx, C, W1, emb, embcat, h = cache
    dhpre = dh * (1.0 - h ** 2)
    dembcat = dhpre @ W1.T
    dW1 = embcat.T @ dhpre
    db1 = dhpre.sum(0)
    demb = dembcat.reshape(emb.shape)
    dC = np.zeros_like(C)
    for k in range(idx.shape[0]):
        for j in range(idx.shape[1]):
            dC[idx[k, j]] += demb[k, j]
    return dC, dW1, db1
rng = np.random.default_rng(13)
inputs = (np.array([[0, 3, 1], [6, 2, 2], [5, 5, 4], [1, 0, 6]]), rng.normal(size=(7, 2)),
          rng.normal(size=(6, 5)), rng.normal(size=5))
""",
    "vae": """\
import numpy as np
def forward(x, eps, We, Ws, Wd):
    mu = x @ We
    logvar = x @ Ws
    z = mu + np.exp(0.5 * logvar) * eps
    xr = z @ Wd
    rec = 0.5 * ((xr - x) ** 2).sum()
    kl = -0.5 * (1 + logvar - mu ** 2 - np.exp(logvar)).sum()
    return rec + kl
def backward(x, eps, We, Ws, Wd):
    mu = x @ We
    logvar = x @ Ws
    std = np.exp(0.5 * logvar)
    z = mu + std * eps
    dxr = z @ Wd - x
    dWd = z.T @ dxr
    dz = dxr @ Wd.T
    dmu = dz + mu
    dlogvar = dz * eps * 0.5 * std + 0.5 * (np.exp(logvar) - 1)
    deps = dz * std
    dWe = x.T @ dmu
    dWs = x.T @ dlogvar
    dx = -dxr + dmu @ We.T + dlogvar @ Ws.T
    return dx, deps, dWe, dWs, dWd
rng = np.random.default_rng(14)
inputs = (rng.normal(size=(3, 5)), rng.normal(size=(3, 2)), rng.normal(size=(5, 2)) * 0.3,
          rng.normal(size=(5, 2)) * 0.3, rng.normal(size=(2, 5)))
""",
    "linreg_1d": """\
import numpy as np
def forward(X, w, b, y):
    r = X @ w + b - y
    return np.mean(r ** 2)
def backward(X, w, b, y):
    n = len(y)
    r = X @ w + b - y
    dr = 2 * r / n
    dX = np.outer(dr, w)
    dw = X.T @ dr
    db = dr.sum()
    dy = -dr
    return dX, dw, db, dy
rng = np.random.default_rng(15)
inputs = (rng.normal(size=(6, 3)), rng.normal(size=3), 0.5, rng.normal(size=6))
""",
    "dropout_default": """\
import numpy as np
def forward(x, w, mask, p=0.5):
    h = np.maximum(x @ w, 0)
    return h * mask / p, (x, w, h, mask, p)
def backward(dout, cache, slope=1.0):
    x, w, h, mask, p = cache
    dh = dout * mask / p * slope
    dh[h <= 0] = 0
    dw = x.T @ dh
    dx = dh @ w.T
    return dx, dw
rng = np.random.default_rng(16)
inputs = (rng.normal(size=(4, 3)), rng.normal(size=(3, 6)),
          np.random.default_rng(0).integers(0, 2, size=(4, 6)))
""",
    "closure_helper": """\
import numpy as np
def make():
    act = lambda a: np.log1p(np.exp(a))
    dact = lambda a: 1 / (1 + np.exp(-a))
    def linear_back(d, x, w):
        dw = x.T @ d
        db = d.sum(axis=0)
        dx = d @ w.T
        return dx, dw, db
    def forward(x, w1, b1, w2, b2):
        return act(x @ w1 + b1) @ w2 + b2
    def backward(dout, x, w1, b1, w2, b2):
        z1 = x @ w1 + b1
        da1, dw2, db2 = linear_back(dout, act(z1), w2)
        dz1 = da1 * dact(z1)
        dx, dw1, db1 = linear_back(dz1, x, w1)
        return dx, dw1, db1, dw2, db2
    return forward, backward
forward, backward = make()
rng = np.random.default_rng(17)
inputs = (rng.normal(size=(4, 3)), rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=(5, 2)),
          rng.normal(size=2))
""",
    "float32_mlp": """\
import numpy as np
def forward(x, W, v):
    z = x @ W
    h = z * (z > 0)
    return h @ v, (x, W, v, z, h)
def backward(dout, cache):
    x, W, v, z, h = cache
    dv = h.T @ dout
    dh = np.outer(dout, v)
    dz = dh * (z > 0)
    return dz @ W.T, x.T @ dz, dv
rng = np.random.default_rng(18)
inputs = tuple(rng.normal(size=s).astype(np.float32) for s in ((5, 4), (4, 3), (3,)))
""",
    "square_mlp": """\
import numpy as np
def forward(x, W1, W2):
    h = np.tanh(x @ W1)
    return h @ W2, (x, W1, W2, h)
def backward(dout, cache):
    x, W1, W2, h = cache
    dW2 = h.T @ dout
    dh = dout @ W2.T
    dz = dh * (1 - h ** 2)
    dW1 = x.T @ dz
    dx = dz @ W1.T
    return dx, dW1, dW2
rng = np.random.default_rng(19)
inputs = tuple(rng.normal(size=(4, 4)) for _ in range(3))
""",
    "conv1d_loops": """\
import numpy as np
def forward(x, w, b):
    N, T = x.shape
    F, K = w.shape
    out = np.zeros((N, F, T - K + 1))
    for n in range(N):
        for f in range(F):
            for t in range(T - K + 1):
                out[n, f, t] = np.sum(x[n, t:t + K] * w[f]) + b[f]
    return out, (x, w, b)
def backward(dout, cache):
    x, w, b = cache
    N, T = x.shape
    F, K = w.shape
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)
    for n in range(N):
        for f in range(F):
            db[f] += dout[n, f].sum()
            for t in range(T - K + 1):
                dw[f] += dout[n, f, t] * x[n, t:t + K]
                dx[n, t:t + K] += dout[n, f, t] * w[f]
    return dx, dw, db
rng = np.random.default_rng(20)
inputs = (rng.normal(size=(2, 6)), rng.normal(size=(4, 3)), rng.normal(size=4))
""",
    "maxpool": """\
import numpy as np
def forward(x):
    N, C, H, W = x.shape
    xr = x.reshape(N, C, H // 2, 2, W // 2, 2)
    out = xr.max(axis=(3, 5))
    return out, (x, xr, out)
def backward(dout, cache):
    x, xr, out = cache
    mask = xr == out[:, :, :, None, :, None]
    dxr = mask * dout[:, :, :, None, :, None]
    return dxr.reshape(x.shape)
rng = np.random.default_rng(21)
inputs = (rng.normal(size=(2, 3, 4, 6)),)
""",
    "batchnorm_methods": """\
import numpy as np
class Net:
    def __init__(self, gamma, beta):
        self.gamma, self.beta = gamma, beta
    def _stats(self, x):
        return x.mean(axis=0, keepdims=True), x.var(axis=0, keepdims=True)
    def forward(self, x):
        mu, var = self._stats(x)
        self.istd = 1 / np.sqrt(var + 1e-5)
        self.xhat = (x - mu) * self.istd
        return self.gamma * self.xhat + self.beta
    def _sum(self, d):
        return d.sum(axis=0, keepdims=True)
    def backward(self, dout):
        m = dout.shape[0]
        self.dbeta = self._sum(dout)
        self.dgamma = self._sum(dout * self.xhat)
        dxhat = dout * self.gamma
        dx = m * dxhat - self._sum(dxhat) - self.xhat * self._sum(dxhat * self.xhat)
        return dx * self.istd / m
rng = np.random.default_rng(22)
net = Net(rng.normal(size=(1, 3)), rng.normal(size=(1, 3)))
inputs = (rng.normal(size=(5, 3)),)
""",
    "multihead_einsum": """\
import numpy as np
def forward(x, Wqkv, Wo, n_head=2):
    B, T, C = x.shape
    qkv = (x @ Wqkv).reshape(B, T, 3, n_head, C // n_head).transpose(2, 0, 3, 1, 4)
    q, k, v = qkv
    s = np.einsum("bhtd,bhsd->bhts", q, k) / np.sqrt(C // n_head)
    e = np.exp(s - s.max(-1, keepdims=True))
    a = e / e.sum(-1, keepdims=True)
    y = (a @ v).transpose(0, 2, 1, 3).reshape(B, T, C)
    return y @ Wo, (x, Wqkv, Wo, q, k, v, a, y, n_head)
def backward(dout, cache):
    x, Wqkv, Wo, q, k, v, a, y, n_head = cache
    B, T, C = x.shape
    dWo = np.einsum("btc,bto->co", y, dout)
    dy = dout @ Wo.T
    dav = dy.reshape(B, T, n_head, C // n_head).transpose(0, 2, 1, 3)
    da = dav @ v.transpose(0, 1, 3, 2)
    dv = a.transpose(0, 1, 3, 2) @ dav
    ds = a * (da - (da * a).sum(-1, keepdims=True)) / np.sqrt(C // n_head)
    dq = ds @ k
    dk = ds.transpose(0, 1, 3, 2) @ q
    dqkv = np.stack([dq, dk, dv]).transpose(1, 3, 0, 2, 4).reshape(B, T, 3 * C)
    dWqkv = np.einsum("btc,bto->co", x, dqkv)
    dx = dqkv @ Wqkv.T
    return dx, dWqkv, dWo
rng = np.random.default_rng(23)
inputs = (rng.normal(size=(2, 3, 8)), rng.normal(size=(8, 24)) * 0.3, rng.normal(size=(8, 5)))
""",
    "micrograd_lambda": """\
import numpy as np
forward = lambda x, w, b: np.tanh(np.dot(x, w) + b)
def backward(g, x, w, b):
    o = np.tanh(np.dot(x, w) + b)
    dn = g * (1 - o ** 2)
    return dn * w, dn * x, dn
rng = np.random.default_rng(24)
inputs = (rng.normal(size=3), rng.normal(size=3), 0.7)
""",
    "svm_hinge": """\
import numpy as np
def f(W, X, y):
    n = X.shape[0]
    s = X @ W
    right = s[np.arange(n), y][:, None]
    m = np.maximum(0, s - right + 1.0)
    loss = (m.sum() - n) / n
    mask = (m > 0).astype(float)
    mask[np.arange(n), y] -= mask.sum(axis=1)
    dW = X.T @ mask / n
    return loss, dW
rng = np.random.default_rng(25)
inputs = (rng.normal(size=(4, 3)), rng.normal(size=(5, 4)), np.array([0, 1, 2, 1, 0]))
""",
    "autograd_function": """\
import numpy as np
class Net:
    @staticmethod
    def forward(ctx, x, weight):
        norm = np.sqrt((x ** 2).mean(-1, keepdims=True) + 1e-6)
        ctx.save_for_backward(x, weight, norm)
        return x / norm * weight
    @staticmethod
    def backward(ctx, grad_output):
        x, weight, norm = ctx.saved_tensors
        n = x.shape[-1]
        xhat = x / norm
        grad_weight = (grad_output * xhat).sum(axis=0)
        g = grad_output * weight
        grad_x = (g - xhat * (g * xhat).sum(-1, keepdims=True) / n) / norm
        return grad_x, grad_weight
rng = np.random.default_rng(30)
net = Net
inputs = (rng.normal(size=(4, 5)), rng.normal(size=5))
""",
    "gcn": """\
import numpy as np
def forward(X, A, W0, W1):
    H1 = A @ X
    Z1 = H1 @ W0
    R = np.maximum(Z1, 0)
    H2 = A @ R
    return H2 @ W1, (X, A, W0, W1, H1, Z1, H2)
def backward(dout, cache):
    X, A, W0, W1, H1, Z1, H2 = cache
    dW1 = H2.T @ dout
    dH2 = dout @ W1.T
    dR = A.T @ dH2
    dA = dH2 @ np.maximum(Z1, 0).T
    dZ1 = dR * (Z1 > 0)
    dW0 = H1.T @ dZ1
    dH1 = dZ1 @ W0.T
    dX = A.T @ dH1
    dA += dH1 @ X.T
    return dX, dA, dW0, dW1
rng = np.random.default_rng(31)
inputs = (rng.normal(size=(5, 3)), rng.normal(size=(5, 5)), rng.normal(size=(3, 4)), rng.normal(size=(4, 2)))
""",
    "low_rank_bilinear": """\
import numpy as np
def forward(a, b, M):
    return np.einsum("ni,ijk,nj->nk", a, M, b)
def backward(dout, a, b, M):
    da = np.einsum("nk,ijk,nj->ni", dout, M, b)
    db = np.einsum("nk,ijk,ni->nj", dout, M, a)
    dM = np.einsum("ni,nj,nk->ijk", a, b, dout)
    return da, db, dM
rng = np.random.default_rng(32)
inputs = (rng.normal(size=(6, 2)), rng.normal(size=(6, 3)), rng.normal(size=(2, 3, 4)))
""",
    "deep_cache_loop": """\
import numpy as np
def forward(x, W1, W2, W3):
    for W in (W1, W2, W3):
        x = np.tanh(x @ W)
    return x.sum()
def backward(x, W1, W2, W3):
    Ws = [W1, W2, W3]
    acts = [x]
    for W in Ws:
        acts.append(np.tanh(acts[-1] @ W))
    grads = [None] * 3
    delta = np.ones_like(acts[-1])
    for l in range(2, -1, -1):
        dz = delta * (1 - acts[l + 1] ** 2)
        grads[l] = acts[l].T @ dz
        delta = dz @ Ws[l].T
    return delta, *grads
rng = np.random.default_rng(33)
inputs = (rng.normal(size=(6, 2)), rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(4, 5)))
""",
}

# program, text, text with the mistake, the line that is told, whether `compare_steps` tells the same, convention
CASES: list[tuple[str, str, str, str, bool, str]] = [
    (
        "two_layer_cs231n",
        "hidden.T.dot(dscores)",
        "hidden.dot(dscores)",
        'grads["W2"] = hidden.T.dot(dscores) + reg * W2',
        False,
        "grads",
    ),
    (
        "two_layer_cs231n",
        "hidden.T.dot(dscores)",
        "dscores.T.dot(hidden)",
        'grads["W2"] = dscores.T.dot(hidden).T + reg * W2',
        False,
        "grads",
    ),
    (
        "two_layer_cs231n",
        "dhidden = dscores.dot(W2.T)",
        "dhidden = dscores.dot(W2)",
        "dhidden = dscores.dot(W2.T)",
        False,
        "grads",
    ),
    (
        "two_layer_cs231n",
        "X.T.dot(dhidden) + reg * W1",
        "X.T.dot(dhidden) + reg * W2",
        'grads["W1"] = X.T.dot(dhidden) + reg * W1',
        False,
        "grads",
    ),
    (
        "two_layer_cs231n",
        "dhidden[hidden <= 0] = 0",
        "dhidden[scores <= 0] = 0",
        "dhidden[hidden <= 0] = 0",
        False,
        "grads",
    ),
    (
        "two_layer_cs231n",
        "dscores[np.arange(N), y] -= 1",
        "dscores[np.arange(N), Y] -= 1",
        "dscores[np.arange(N), y] -= 1",
        False,
        "grads",
    ),
    (
        "affine_rows",
        "(dout @ w.T).reshape(x.shape)",
        "(dout @ w).reshape(x.shape)",
        "dx = (dout @ w.T).reshape(x.shape)",
        True,
        "cache",
    ),
    (
        "affine_rows",
        "(dout @ w.T).reshape(x.shape)",
        "(dout @ w.T).reshape(w.shape)",
        "dx = (dout @ w.T).reshape(x.shape)",
        True,
        "cache",
    ),
    (
        "affine_rows",
        "dw = x.reshape(x.shape[0], -1).T @ dout",
        "dw = x.reshape(x.shape[0], -1) @ dout",
        "dw = x.reshape(x.shape[0], -1).T @ dout",
        True,
        "cache",
    ),
    ("affine_rows", "np.sum(dout, axis=0)", "np.sum(dout, axis=2)", "db = np.sum(dout, axis=0)", True, "cache"),
    (
        "coursera_columns",
        "dA1 = np.dot(W2.T, dZ2)",
        "dA1 = np.dot(W2, dZ2)",
        "dA1 = np.dot(W2.T, dZ2)",
        True,
        "cache_dict",
    ),
    (
        "coursera_columns",
        "dW2 = np.dot(dZ2, A1.T)",
        "dW2 = np.dot(dZ2, A1)",
        "dW2 = np.dot(dZ2, A1.T)",
        True,
        "cache_dict",
    ),
    (
        "coursera_columns",
        "dW1 = np.dot(dZ1, X.T)",
        "dW1 = np.dot(X, dZ1)",
        "dW1 = np.dot(dZ1, X.T)",
        True,
        "cache_dict",
    ),
    (
        "coursera_columns",
        'cache["A1"], cache["A2"]\n',
        'cache["a1"], cache["A2"]\n',
        'X, W2, A1, A2 = cache["X"], cache["W2"], cache[\'A1\'], cache["A2"]',
        True,
        "cache_dict",
    ),
    (
        "coursera_columns",
        'np.dot(cache["W1"].T, dZ1)',
        'np.dot(cache["w1"].T, dZ1)',
        "dX = np.dot(cache['W1'].T, dZ1)",
        True,
        "cache_dict",
    ),
    ("batchnorm", "dmu = dxc.sum(axis=0)", "dmu = dxc.sum(axis=1)", "dmu = dxc.sum(axis=0)", False, "cache"),
    (
        "batchnorm",
        "dstd = -(dxhat * xc).sum(axis=0) / std ** 2",
        "dstd = -(dxhat * xc).sum(axis=1) / std ** 2",
        "dstd = -(dxhat * xc).sum(axis=0) / std ** 2",
        True,
        "cache",
    ),
    ("batchnorm", "/ std ** 2", "/ std ^ 2", "dstd = -(dxhat * xc).sum(axis=0) / std ** 2", True, "cache"),
    (
        "batchnorm",
        "(dout * xhat).sum(axis=0)",
        "(dout @ xhat).sum(axis=0)",
        "dgamma = (dout * xhat).sum(axis=0)",
        True,
        "cache",
    ),
    ("batchnorm", "2.0 / N * xc * dvar", "2.0 / N * xc.T * dvar", "dxc += 2.0 / N * xc * dvar", True, "cache"),
    ("batchnorm", "dxhat = dout * gamma", "dxhat = dout @ gamma", "dxhat = dout * gamma", False, "cache"),
    ("batchnorm", "dxc = dxhat / std\n", "dxc = dxhat / sdt\n", "dxc = dxhat / std", True, "cache"),
    (
        "layernorm_torch",
        "dnorm - dnorm.mean(-1, keepdims=True)",
        "dnorm - dnorm.mean(-1)",
        "dx = dnorm - dnorm.mean(-1, keepdims=True) - norm * (dnorm * norm).mean(-1, keepdims=True)",
        True,
        "plain",
    ),
    (
        "layernorm_torch",
        "norm * (dnorm * norm).mean(-1, keepdims=True)",
        "norm * (dnorm * norm).mean(-1)",
        "dx = dnorm - dnorm.mean(-1, keepdims=True) - norm * (dnorm * norm).mean(-1, keepdims=True)",
        True,
        "plain",
    ),
    (
        "layernorm_torch",
        "rstd = (x.var(-1, keepdims=True) + eps) ** -0.5\n    norm = (x - mean) * rstd\n    dbias",
        "rstd = (x.var(-1) + eps) ** -0.5\n    norm = (x - mean) * rstd\n    dbias",
        "rstd = (x.var(-1, keepdims=True) + eps) ** -0.5",
        True,
        "plain",
    ),
    ("layernorm_torch", "dout.sum((0, 1))", "dout.sum((1, 3))", "dbias = dout.sum(axis=(0, 1))", True, "plain"),
    ("layernorm_torch", "dout.sum((0, 1))", "dout.sum(0, 1, 2)", "dbias = dout.sum(axis=(0, 1))", True, "plain"),
    ("layernorm_torch", "dx *= rstd", "dx *= rstd.squeeze()", "dx *= rstd", True, "plain"),
    (
        "layernorm_torch",
        "dnorm = dout * weight",
        "dnorm = dout @ weight.T",
        "dnorm = dout * weight.T",
        False,
        "plain",
    ),
    ("rnn_minchar", "dbh += draw.sum(axis=0)", "dbh += draw", "dbh += draw.sum(axis=0)", True, "cache"),
    (
        "rnn_minchar",
        "dWxh += xs[:, t].T @ draw",
        "dWxh += draw.T @ xs[:, t]",
        "dWxh += (draw.T @ xs[:, t]).T",
        True,
        "cache",
    ),
    ("rnn_minchar", "dWhh += hs[t].T @ draw", "dWhh += hs[t] @ draw", "dWhh += hs[t].T @ draw", True, "cache"),
    ("rnn_minchar", "dxs[:, t] = draw @ Wxh.T", "dxs[:, t] = draw @ Wxh", "dxs[:, t] = draw @ Wxh.T", True, "cache"),
    (
        "rnn_minchar",
        "draw = (1 - hs[t + 1] ** 2) * dht",
        "draw = (1 - hs[t + 2] ** 2) * dht",
        "draw = (1 - hs[t + 1] ** 2) * dht",
        True,
        "cache",
    ),
    ("rnn_minchar", "dht = dh[:, t] + dhnext", "dht = dh[t] + dhnext", "dht = dh[:, t] + dhnext", True, "cache"),
    (
        "nielsen",
        "np.dot(w2.transpose(), delta2)",
        "np.dot(w2, delta2)",
        "delta1 = np.dot(w2.T, delta2) * sigmoid_prime(z1)",
        True,
        "plain",
    ),
    (
        "nielsen",
        "np.dot(delta2, a1.transpose())",
        "np.dot(delta2, a1)",
        "nabla_w2 = np.dot(delta2, a1.T)",
        True,
        "plain",
    ),
    (
        "nielsen",
        "np.dot(delta1, x.transpose())",
        "np.dot(x, delta1)",
        "nabla_w1 = np.dot(delta1, x.T)",
        True,
        "plain",
    ),
    (
        "nielsen",
        "(a2 - y) * sigmoid_prime(z2)",
        "(a2 - y) * sigmoid_prim(z2)",
        "delta2 = (a2 - y) * sigmoid_prime(z2)",
        True,
        "plain",
    ),
    (
        "nielsen",
        "* sigmoid_prime(z1)",
        "* sigmoid_prime(z2)",
        "delta1 = np.dot(w2.transpose(), delta2) * sigmoid_prime(z1)",
        True,
        "plain",
    ),
    (
        "attention",
        "(dP * P).sum(-1, keepdims=True)",
        "(dP * P).sum(-1)",
        "dS = P * (dP - (dP * P).sum(-1, keepdims=True))",
        True,
        "cache",
    ),
    ("attention", "dP = dO @ V.swapaxes(-1, -2)", "dP = dO @ V.T", "dP = dO @ V.swapaxes(-1, -2)", True, "cache"),
    ("attention", "dP = dO @ V.swapaxes(-1, -2)", "dP = dO @ V", "dP = dO @ V.swapaxes(-1, -2)", True, "cache"),
    ("attention", "dV = P.swapaxes(-1, -2) @ dO", "dV = P @ dO", "dV = P.swapaxes(-1, -2) @ dO", True, "cache"),
    (
        "attention",
        "dK = dS.swapaxes(-1, -2) @ Q * scale",
        "dK = dS.T @ Q * scale",
        "dK = dS.swapaxes(-1, -2) @ Q * scale",
        True,
        "cache",
    ),
    (
        "attention",
        "dK = dS.swapaxes(-1, -2) @ Q * scale",
        "dK = dS.swapaxes(-1, -3) @ Q * scale",
        "dK = dS.swapaxes(-1, -2) @ Q * scale",
        True,
        "cache",
    ),
    (
        "conv_im2col",
        "dcols = d @ w.reshape(F, -1)",
        "dcols = d @ w.reshape(F, -1).T",
        "dcols = d @ w.reshape(F, -1)",
        True,
        "cache",
    ),
    (
        "conv_im2col",
        'np.einsum("npf,npc->fc", d, cols).reshape(w.shape)',
        'np.einsum("npf,npc->fc", d, cols).reshape(x.shape)',
        'dw = np.einsum("npf,npc->fc", d, cols).reshape(w.shape)',
        True,
        "cache",
    ),
    (
        "conv_im2col",
        "dcols[:, p].reshape(N, C, k, k)",
        "dcols[p].reshape(N, C, k, k)",
        "dx[:, :, i:i + k, j:j + k] += dcols[:, p].reshape(N, C, k, k)",
        True,
        "cache",
    ),
    (
        "conv_im2col",
        "d = dout.reshape(N, F, -1).transpose(0, 2, 1)",
        "d = dout.reshape(N, F, -1)",
        "d = dout.reshape(N, F, -1).swapaxes(-1, -2)",
        False,
        "cache",
    ),
    ("conv_im2col", "db = d.sum(axis=(0, 1))", "db = d.sum(axis=(0, 3))", "db = d.sum(axis=(0, 1))", True, "cache"),
    (
        "lstm_step",
        "da = np.concatenate([di, df, do, dg], axis=1)",
        "da = np.concatenate([di, df, do, dg], axis=0)",
        "da = np.concatenate([di, df, do, dg], axis=1)",
        False,
        "cache",
    ),
    (
        "lstm_step",
        "da = np.concatenate([di, df, do, dg], axis=1)",
        "da = np.concatenate(di, df, do, dg, axis=1)",
        "da = np.concatenate([di, df, do, dg], axis=1)",
        True,
        "cache",
    ),
    ("lstm_step", "dx = da @ Wx.T", "dx = da @ Wx", "dx = da @ Wx.T", True, "cache"),
    ("lstm_step", "dWh = h.T @ da", "dWh = h @ da", "dWh = h.T @ da", True, "cache"),
    (
        "lstm_step",
        "di = dc2 * g * i * (1 - i)",
        "di = dc2 * g * i(1 - i)",
        "di = dc2 * g * (i * (1 - i))",
        True,
        "cache",
    ),
    ("lstm_step", "(1 - g ** 2)", "(1 - g ^ 2)", "dg = dc2 * i * (1 - g ** 2)", True, "cache"),
    (
        "lstm_step",
        "dc2 = dh2 * o * (1 - t ** 2)",
        "dc2 = dh2 * o * (1 - x ** 2)",
        "dc2 = dh2 * o * (1 - t ** 2)",
        True,
        "cache",
    ),
    ("gru_grads", 'grads["Wn"] = x.T @ dn', 'grads["Wn"] = x @ dn', 'grads["Wn"] = x.T @ dn', False, "grads"),
    ("gru_grads", "(r * h).T @ dn", "(r * x).T @ dn", 'grads["Un"] = (r * h).T @ dn', False, "grads"),
    (
        "gru_grads",
        'dn @ params["Un"].T * h',
        'dn @ params["un"].T * h',
        "dr = dn @ params['Un'].T * h * r * (1 - r)",
        False,
        "grads",
    ),
    ("gru_grads", 'grads["Wz"] = x.T @ dz', 'grads["Wz"] = dz @ x.T', 'grads["Wz"] = x.T @ dz', False, "grads"),
    (
        "gru_grads",
        "dz = dout * (h - n) * z * (1 - z)",
        "dz = dout * (h - n) * z(1 - z)",
        "dz = dout * (h - n) * (z * (1 - z))",
        False,
        "grads",
    ),
    (
        "softmax_regression_class",
        "(dP * self.P).sum(axis=1, keepdims=True)",
        "(dP * self.P).sum(axis=1)",
        "ds = self.P * (dP - (dP * self.P).sum(axis=1, keepdims=True))",
        False,
        "class",
    ),
    (
        "softmax_regression_class",
        "self.dW = self.X.T @ ds",
        "self.dW = self.X @ ds",
        "self.dW = self.X.T @ ds",
        False,
        "class",
    ),
    (
        "softmax_regression_class",
        "self.dW = self.X.T @ ds",
        "self.dW = X.T @ ds",
        "self.dW = self.X.T @ ds",
        False,
        "class",
    ),
    (
        "softmax_regression_class",
        "return ds @ self.W.T",
        "return ds @ self.W",
        "return ds @ self.W.T",
        False,
        "class",
    ),
    (
        "softmax_regression_class",
        "self.dW = self.X.T @ ds",
        "self.dW = self.x.T @ ds",
        "self.dW = self.X.T @ ds",
        False,
        "class",
    ),
    (
        "softmax_regression_class",
        "self.db = ds.sum(axis=0)",
        "self.db = ds.sum(axes=0)",
        "self.db = ds.sum(axis=0)",
        False,
        "class",
    ),
    (
        "mlp_class_layers",
        "self.dw = self.x.T @ grad",
        "self.dw = grad @ self.x.T",
        "self.dw = self.x.T @ grad",
        False,
        "class",
    ),
    ("mlp_class_layers", "return grad @ self.w.T", "return grad @ self.w", "return grad @ self.w.T", False, "class"),
    (
        "mlp_class_layers",
        "self.db = grad.sum(0)",
        "self.db = grad.sum(2)",
        "self.db = grad.sum(axis=0)",
        False,
        "class",
    ),
    (
        "mlp_class_layers",
        "return grad * self.mask",
        "return grad * self.masks",
        "return grad * self.mask",
        False,
        "class",
    ),
    (
        "mlp_class_layers",
        "return grad * self.mask",
        "return grad @ self.mask",
        "return grad * self.mask",
        False,
        "class",
    ),
    (
        "embedding_makemore",
        "demb = dembcat.reshape(emb.shape)",
        "demb = dembcat.reshape(C.shape)",
        "demb = dembcat.reshape(emb.shape)",
        True,
        "cache",
    ),
    (
        "embedding_makemore",
        "dC = np.zeros_like(C)",
        "dC = np.zeros_like(idx)",
        "dC = np.zeros_like(C)",
        True,
        "cache",
    ),
    ("vae", "dz = dxr @ Wd.T", "dz = dxr @ Wd", "dz = dxr @ Wd.T", True, "plain"),
    ("vae", "dWd = z.T @ dxr", "dWd = z @ dxr", "dWd = z.T @ dxr", True, "plain"),
    (
        "vae",
        "dmu @ We.T + dlogvar @ Ws.T",
        "dmu @ We.T + dlogvar @ Ws",
        "dx = -dxr + dmu @ We.T + dlogvar @ Ws.T",
        True,
        "plain",
    ),
    ("vae", "dmu @ We.T + dlogvar", "dmu @ We + dlogvar", "dx = -dxr + dmu @ We.T + dlogvar @ Ws.T", True, "plain"),
    ("vae", "dWs = x.T @ dlogvar", "dWs = x.T @ dlogvars", "dWs = x.T @ dlogvar", True, "plain"),
    (
        "vae",
        "dlogvar = dz * eps * 0.5",
        "dlogvar = dxr * eps * 0.5",
        "dlogvar = dz * eps * 0.5 * std + 0.5 * (np.exp(logvar) - 1)",
        True,
        "plain",
    ),
    ("linreg_1d", "dX = np.outer(dr, w)", "dX = dr @ w", "dX = np.outer(dr, w)", True, "plain"),
    ("linreg_1d", "dX = np.outer(dr, w)", "dX = dr * w", "dX = np.outer(dr, w)", True, "plain"),
    ("linreg_1d", "dX = np.outer(dr, w)", "dX = w * dr", "dX = np.outer(dr, w)", True, "plain"),
    ("linreg_1d", "dw = X.T @ dr", "dw = X @ dr", "dw = dr @ X", True, "plain"),
    ("linreg_1d", "n = len(y)", "n = y.shape[1]", "n = y.shape[0]", True, "plain"),
    ("linreg_1d", "db = dr.sum()", "db = dr.sum(axis=1)", "db = dr.sum()", True, "plain"),
    ("dropout_default", "dh[h <= 0] = 0", "dh[x <= 0] = 0", "dh[h <= 0] = 0", True, "cache"),
    ("dropout_default", "dh[h <= 0] = 0", "dh[dx <= 0] = 0", "dh[h <= 0] = 0", True, "cache"),
    ("dropout_default", "dw = x.T @ dh", "dw = dh.T @ x.T", "dw = x.T @ dh", True, "cache"),
    ("dropout_default", "dx = dh @ w.T", "dx = w.T @ dh", "dx = dh @ w.T", True, "cache"),
    (
        "dropout_default",
        "dout * mask / p * slope",
        "dout * mask.T / p * slope",
        "dh = dout * mask / p * slope",
        True,
        "cache",
    ),
    ("closure_helper", "dw = x.T @ d\n", "dw = x @ d\n", "dw = x.T @ d", True, "plain"),
    ("closure_helper", "dx = d @ w.T", "dx = d @ w", "dx = d @ w.T", True, "plain"),
    (
        "closure_helper",
        "linear_back(dz1, x, w1)",
        "linear_back(dz1, w1, x)",
        "dx, dw1, db1 = linear_back(dz1, x, w1)",
        False,
        "plain",
    ),
    ("closure_helper", "dz1 = da1 * dact(z1)", "dz1 = da1 * dact[z1]", "dz1 = da1 * dact(z1)", False, "plain"),
    ("float32_mlp", "dh = np.outer(dout, v)", "dh = dout * v", "dh = np.outer(dout, v)", True, "cache"),
    ("float32_mlp", "dv = h.T @ dout", "dv = h @ dout", "dv = dout @ h", True, "cache"),
    ("float32_mlp", "x.T @ dz, dv", "x @ dz, dv", "return dz @ W.T, x.T @ dz, dv", True, "cache"),
    ("float32_mlp", "dz = dh * (z > 0)", "dz = dh * (x > 0)", "dz = dh * (z > 0)", True, "cache"),
    ("square_mlp", "(1 - h ** 2)", "(1 - h ^ 2)", "dz = dh * (1 - h ** 2)", True, "cache"),
    ("square_mlp", "dW2 = h.T @ dout", "dW2 = h.T @ Dout", "dW2 = h.T @ dout", True, "cache"),
    ("square_mlp", "dh = dout @ W2.T", "dh = dout @ W2.t", "dh = dout @ W2.T", True, "cache"),
    ("square_mlp", "dW1 = x.T @ dz", "dW1 = x.T(dz)", "dW1 = x.T @ dz", True, "cache"),
    ("square_mlp", "dW1 = x.T @ dz", "dW1 = np.matmul(x.T, dz, axis=1)", "dW1 = x.T @ dz", True, "cache"),
    ("square_mlp", "dx = dz @ W1.T", "dx = dz @ W1.T.reshape(-1)", "dx = dz @ W1.T", True, "cache"),
    (
        "conv1d_loops",
        "dw[f] += dout[n, f, t] * x[n, t:t + K]",
        "dw[f] += dout[n, f, t] * x[n, t:t + K + 1]",
        "dw[f] += dout[n, f, t] * x[n, t:t + K]",
        True,
        "cache",
    ),
    (
        "conv1d_loops",
        "dx[n, t:t + K] += dout[n, f, t] * w[f]",
        "dx[n, t:t + F] += dout[n, f, t] * w[f]",
        "dx[n, t:t + K] += dout[n, f, t] * w[f]",
        True,
        "cache",
    ),
    (
        "conv1d_loops",
        "db[f] += dout[n, f].sum()",
        "db[f] += dout[n, f]",
        "db[f] += dout[n, f].sum(axis=0)",
        True,
        "cache",
    ),
    (
        "conv1d_loops",
        "dw[f] += dout[n, f, t] * x[n, t:t + K]",
        "dw[f] += dout[f, n, t] * x[n, t:t + K]",
        "dw[f] += dout[n, f, t] * x[n, t:t + K]",
        True,
        "cache",
    ),
    (
        "maxpool",
        "mask * dout[:, :, :, None, :, None]",
        "mask * dout[:, :, :, :, None, None]",
        "dxr = mask * dout[:, :, :, None, :, None]",
        True,
        "cache",
    ),
    (
        "maxpool",
        "return dxr.reshape(x.shape)",
        "return dxr.reshape(out.shape)",
        "return dxr.reshape(x.shape)",
        True,
        "cache",
    ),
    (
        "maxpool",
        "mask = xr == out[:, :, :, None, :, None]",
        "mask = x == out[:, :, :, None, :, None]",
        "mask = xr == out[:, :, :, None, :, None]",
        True,
        "cache",
    ),
    (
        "batchnorm_methods",
        "self.dbeta = self._sum(dout)",
        "self.dbeta = _sum(dout)",
        "self.dbeta = self._sum(dout)",
        False,
        "class",
    ),
    (
        "batchnorm_methods",
        "dxhat = dout * self.gamma",
        "dxhat = dout @ self.gamma",
        "dxhat = dout * self.gamma",
        False,
        "class",
    ),
    ("batchnorm_methods", "m = dout.shape[0]", "m = dout.shape[2]", "m = dout.shape[0]", False, "class"),
    (
        "batchnorm_methods",
        "return dx * self.istd / m",
        "return dx * self.std / m",
        "return dx * self.istd / m",
        False,
        "class",
    ),
    (
        "batchnorm_methods",
        "self.xhat * self._sum(dxhat * self.xhat)",
        "self.xhat @ self._sum(dxhat * self.xhat)",
        "dx = m * dxhat - self._sum(dxhat) - self.xhat * self._sum(dxhat * self.xhat)",
        False,
        "class",
    ),
    (
        "multihead_einsum",
        "da = dav @ v.transpose(0, 1, 3, 2)",
        "da = dav @ v.transpose(0, 1, 2, 3)",
        "da = dav @ v.transpose(0, 1, 2, 3).swapaxes(-1, -2)",
        True,
        "cache",
    ),
    (
        "multihead_einsum",
        "da = dav @ v.transpose(0, 1, 3, 2)",
        "da = dav @ v.transpose(0, 2, 1)",
        "da = dav @ v.swapaxes(-1, -2)",
        True,
        "cache",
    ),
    (
        "multihead_einsum",
        "(da * a).sum(-1, keepdims=True)",
        "(da * a).sum(-1)",
        "ds = a * (da - (da * a).sum(-1, keepdims=True)) / np.sqrt(C // n_head)",
        True,
        "cache",
    ),
    (
        "multihead_einsum",
        'dWqkv = np.einsum("btc,bto->co", x, dqkv)',
        'dWqkv = np.einsum("btc,bto->cd", x, dqkv)',
        "dWqkv = np.einsum('btc,btd->cd', x, dqkv)",
        False,
        "cache",
    ),
    ("multihead_einsum", "dy = dout @ Wo.T", "dy = dout @ Wo", "dy = dout @ Wo.T", True, "cache"),
    (
        "multihead_einsum",
        "np.stack([dq, dk, dv])",
        "np.stack(dq, dk, dv)",
        "dqkv = np.stack([dq, dk, dv]).transpose(1, 3, 0, 2, 4).reshape(B, T, 3 * C)",
        True,
        "cache",
    ),
    ("micrograd_lambda", "dn = g * (1 - o ** 2)", "dn = g * (1 - o ^ 2)", "dn = g * (1 - o ** 2)", True, "plain"),
    (
        "micrograd_lambda",
        "return dn * w, dn * x, dn",
        "return dn @ w, dn * x, dn",
        "return dn * w, dn * x, dn",
        True,
        "plain",
    ),
    ("micrograd_lambda", "dn = g * (1 - o ** 2)", "dn = g(1 - o ** 2)", "dn = g * (1 - o ** 2)", True, "plain"),
    ("micrograd_lambda", "dn = g * (1 - o ** 2)", "dn = gout * (1 - o ** 2)", "dn = g * (1 - o ** 2)", True, "plain"),
    (
        "svm_hinge",
        "mask.sum(axis=1)\n",
        "mask.sum(axis=0)\n",
        "mask[np.arange(n), y] -= mask.sum(axis=1)",
        False,
        "grads",
    ),
    ("svm_hinge", "dW = X.T @ mask / n", "dW = X @ mask / n", "dW = X.T @ mask / n", False, "grads"),
    (
        "svm_hinge",
        "mask[np.arange(n), y] -= mask.sum(axis=1)",
        "mask[y, np.arange(n)] -= mask.sum(axis=1)",
        "mask[np.arange(n), y] -= mask.sum(axis=1)",
        False,
        "grads",
    ),
    ("svm_hinge", "dW = X.T @ mask / n", "dW = X.T @ masks / n", "dW = X.T @ mask / n", False, "grads"),
    ("svm_hinge", "dW = X.T @ mask / n", "dW = X.T * mask / n", "dW = X.T @ mask / n", False, "grads"),
    (
        "autograd_function",
        "(g * xhat).sum(-1, keepdims=True)",
        "(g * xhat).sum(-1)",
        "grad_x = (g - xhat * (g * xhat).sum(-1, keepdims=True) / n) / norm",
        False,
        "class",
    ),
    (
        "autograd_function",
        "g = grad_output * weight",
        "g = grad_output @ weight.T",
        "g = grad_output * weight.T",
        False,
        "class",
    ),
    ("autograd_function", "n = x.shape[-1]", "n = x.shape[2]", "n = x.shape[1]", False, "class"),
    ("gcn", "dR = A.T @ dH2", "dR = dH2 @ A.T", "dR = A.T @ dH2", True, "cache"),
    ("gcn", "dA += dH1 @ X.T", "dA += X.T @ dH1", "dA += dH1 @ X.T", True, "cache"),
    ("gcn", "dW0 = H1.T @ dZ1", "dW0 = H1 @ dZ1", "dW0 = H1.T @ dZ1", True, "cache"),
    (
        "gcn",
        "dA = dH2 @ np.maximum(Z1, 0).T",
        "dA = dH2 @ np.maximum(Z1, 0)",
        "dA = dH2 @ np.maximum(Z1, 0).T",
        True,
        "cache",
    ),
    (
        "low_rank_bilinear",
        '"nk,ijk,nj->ni", dout, M, b',
        '"nk,ijk,nj->ni", dout, M, a',
        'da = np.einsum("nk,ijk,nj->ni", dout, M, b)',
        True,
        "plain",
    ),
    (
        "low_rank_bilinear",
        '"nk,ijk,ni->nj"',
        '"nk,ikj,ni->nj"',
        "db = np.einsum('nk,ijk,ni->nj', dout, M, a)",
        True,
        "plain",
    ),
    (
        "deep_cache_loop",
        "dz = delta * (1 - acts[l + 1] ** 2)",
        "dz = delta * (1 - acts[l] ** 2)",
        "dz = delta * (1 - acts[l + 1] ** 2)",
        True,
        "plain",
    ),
    ("deep_cache_loop", "delta = dz @ Ws[l].T", "delta = dz @ Ws[l]", "delta = dz @ Ws[l].T", True, "plain"),
    ("deep_cache_loop", "delta = dz @ Ws[l].T", "delta = dz @ Ws[l + 1].T", "delta = dz @ Ws[l].T", True, "plain"),
    (
        "deep_cache_loop",
        "for l in range(2, -1, -1):",
        "for l in range(3, -1, -1):",
        "for l in range(2, -1, -1):",
        True,
        "plain",
    ),
    (
        "deep_cache_loop",
        "np.ones_like(acts[-1])",
        "np.ones_like(acts[0])",
        "delta = np.ones_like(acts[-1])",
        True,
        "plain",
    ),
]
