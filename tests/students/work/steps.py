"""Pairs of forward and backward with intermediates of many habits of naming: d_x, grad_x, x_grad, rebound names, loops."""

import numpy as np


def fused_forward(C, W1, W2, b2, bngain, bnbias, Xb, Yb):
    n = Xb.shape[0]
    emb = C[Xb]
    embcat = emb.reshape(n, -1)
    hprebn = embcat @ W1
    bnmean = hprebn.mean(axis=0, keepdims=True)
    bnvar = ((hprebn - bnmean) ** 2).sum(axis=0, keepdims=True) / (n - 1)
    bnvar_inv = (bnvar + 1e-5) ** -0.5
    bnraw = (hprebn - bnmean) * bnvar_inv
    hpreact = bngain * bnraw + bnbias
    h = np.tanh(hpreact)
    logits = h @ W2 + b2
    shifted = logits - logits.max(axis=1, keepdims=True)
    loss = (np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(n), Yb]).mean()
    return loss


def fused_backward(C, W1, W2, bngain, Xb, Yb, emb, embcat, bnvar_inv, bnraw, h, logits):
    n = Xb.shape[0]
    e = np.exp(logits - logits.max(1, keepdims=True))
    dlogits = e / e.sum(1, keepdims=True)
    dlogits[np.arange(n), Yb] -= 1
    dlogits /= n
    dh = dlogits @ W2.T
    dW2 = h.T @ dlogits
    db2 = dlogits.sum(0)
    dhpreact = (1 - h**2) * dh
    dbngain = (bnraw * dhpreact).sum(0, keepdims=True)
    dbnbias = dhpreact.sum(0, keepdims=True)
    dhprebn = bngain * bnvar_inv / n * (n * dhpreact - dhpreact.sum(0) - n / (n - 1) * bnraw * (dhpreact * bnraw).sum(0))
    dembcat = dhprebn @ W1.T
    dW1 = embcat.T @ dhprebn
    demb = dembcat.reshape(emb.shape)
    dC = np.zeros_like(C)
    np.add.at(dC, Xb, demb)
    return dC, dW1, dW2, db2, dbngain, dbnbias


def mlp_forward(X, W1, b1, W2, b2, Y):
    z1 = X @ W1 + b1
    a1 = 1 / (1 + np.exp(-z1))
    z2 = a1 @ W2 + b2
    diff = z2 - Y
    loss = (diff**2).sum() / len(X)
    cache = {"X": X, "a1": a1, "W1": W1, "W2": W2, "diff": diff}
    return loss, cache


def mlp_backward(cache):
    X, a1, W1, W2, diff = cache["X"], cache["a1"], cache["W1"], cache["W2"], cache["diff"]
    grad_diff = 2 * diff / len(X)
    grad_z2 = grad_diff
    grad_W2 = a1.T @ grad_z2
    grad_b2 = grad_z2.sum(axis=0)
    grad_a1 = grad_z2 @ W2.T
    grad_z1 = grad_a1 * a1 * (1 - a1)
    grad_W1 = X.T @ grad_z1
    grad_b1 = grad_z1.sum(axis=0)
    return {"W1": grad_W1, "b1": grad_b1, "W2": grad_W2, "b2": grad_b2}


def rnn_forward(xs, h0, Wx, Wh, Wy, ys):
    h = h0
    hs = [h0]
    outs = []
    loss = 0.0
    for t in range(len(xs)):
        h = np.tanh(xs[t] @ Wx + h @ Wh)
        y = h @ Wy
        loss = loss + ((y - ys[t]) ** 2).sum()
        hs.append(h)
        outs.append(y)
    return loss


def rnn_backward(xs, Wx, Wh, Wy, ys, hs, outs):
    dWx = np.zeros_like(Wx)
    dWh = np.zeros_like(Wh)
    dWy = np.zeros_like(Wy)
    dnext = np.zeros_like(hs[0])
    for t in reversed(range(len(xs))):
        dy = 2 * (outs[t] - ys[t])
        dWy += hs[t + 1].T @ dy
        dh = dy @ Wy.T + dnext
        draw = (1 - hs[t + 1] ** 2) * dh
        dWx += xs[t].T @ draw
        dWh += hs[t].T @ draw
        dnext = draw @ Wh.T
    dh0 = dnext
    return dh0, dWx, dWh, dWy


def attention_forward(X, Wq, Wk, Wv, Y):
    d = Wq.shape[1]
    q = X @ Wq
    k = X @ Wk
    v = X @ Wv
    scores = q @ k.T / np.sqrt(d)
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    o = p @ v
    loss = 0.5 * ((o - Y) ** 2).sum()
    return loss


def attention_backward(X, Wq, Wk, Wv, Y, d, q, k, v, p, o):
    d_o = o - Y
    d_v = p.T @ d_o
    d_p = d_o @ v.T
    d_scores = p * (d_p - (d_p * p).sum(axis=1, keepdims=True))
    d_q = d_scores @ k / np.sqrt(d)
    d_k = d_scores.T @ q / np.sqrt(d)
    d_Wq = X.T @ d_q
    d_Wk = X.T @ d_k
    d_Wv = X.T @ d_v
    d_X = d_q @ Wq.T + d_k @ Wk.T + d_v @ Wv.T
    return d_X, d_Wq, d_Wk, d_Wv


def norm_forward(x, gamma, beta, W, y):
    mu = x.mean(axis=-1, keepdims=True)
    xc = x - mu
    var = (xc**2).mean(axis=-1, keepdims=True)
    std = np.sqrt(var + 1e-5)
    xhat = xc / std
    out = gamma * xhat + beta
    res = out + x
    z = res @ W
    m = z.max(axis=1, keepdims=True)
    logp = z - m - np.log(np.exp(z - m).sum(axis=1, keepdims=True))
    loss = -logp[np.arange(len(y)), y].sum() / len(y)
    return loss


def norm_backward(x, gamma, W, y, xc, var, std, xhat, res, logp):
    N, D = x.shape
    z_grad = np.exp(logp)
    z_grad[np.arange(N), y] -= 1
    z_grad /= N
    W_grad = res.T @ z_grad
    res_grad = z_grad @ W.T
    out_grad = res_grad
    gamma_grad = (out_grad * xhat).sum(axis=0)
    beta_grad = out_grad.sum(axis=0)
    xhat_grad = out_grad * gamma
    std_grad = -(xhat_grad * xc / std**2).sum(axis=-1, keepdims=True)
    var_grad = std_grad / (2 * std)
    xc_grad = xhat_grad / std + 2 * xc / D * var_grad
    mu_grad = -xc_grad.sum(axis=-1, keepdims=True)
    x_grad = res_grad + xc_grad + mu_grad / D
    return x_grad, gamma_grad, beta_grad, W_grad
