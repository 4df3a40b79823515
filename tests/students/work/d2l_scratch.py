"""From scratch, chapter by chapter: models as functions of their parameters, and each gradient by hand."""

import numpy as np

# ---- linear regression


def linreg_loss(X, w, b, y):
    y_hat = X @ w + b
    return ((y_hat - y.reshape(y_hat.shape)) ** 2 / 2).mean()


def linreg_grad(X, w, b, y):
    y_hat = X @ w + b
    error = y_hat - y.reshape(y_hat.shape)
    dw = X.T @ error / len(X)
    db = error.sum(axis=0) / len(X)
    return dw, db


# ---- softmax regression


def softmax(O):
    e = np.exp(O - O.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_regression_loss(X, W, b, y):
    y_hat = softmax(X @ W + b)
    return -np.log(y_hat[range(len(y_hat)), y]).mean()


def softmax_regression_grad(X, W, b, y):
    y_hat = softmax(X @ W + b)
    one_hot = np.zeros_like(y_hat)
    one_hot[range(len(y)), y] = 1
    dO = (y_hat - one_hot) / len(y)
    dW = X.T @ dO
    db = dO.sum(axis=0)
    return dW, db


# ---- perceptron with one hidden layer, and weight decay


def mlp_loss(X, W1, b1, W2, b2, y, lambd):
    H = np.maximum(X @ W1 + b1, 0)
    O = H @ W2 + b2
    y_hat = softmax(O)
    ce = -np.log(y_hat[range(len(y)), y]).mean()
    return ce + lambd * ((W1**2).sum() / 2 + (W2**2).sum() / 2)


def mlp_grad(X, W1, b1, W2, b2, y, lambd):
    Z = X @ W1 + b1
    H = np.maximum(Z, 0)
    y_hat = softmax(H @ W2 + b2)
    dO = y_hat
    dO[range(len(y)), y] -= 1
    dO = dO / len(y)
    dW2 = H.T @ dO + lambd * W2
    db2 = dO.sum(axis=0)
    dH = dO @ W2.T
    dZ = dH * (Z > 0)
    dW1 = X.T @ dZ + lambd * W1
    db1 = dZ.sum(axis=0)
    return dW1, db1, dW2, db2


# ---- cross-correlation


def corr2d(X, K):
    h, w = K.shape
    Y = np.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


def corr2d_backward(X, K, g):
    h, w = K.shape
    dK = corr2d(X, g)
    padded = np.pad(g, ((h - 1, h - 1), (w - 1, w - 1)))
    dX = corr2d(padded, K[::-1, ::-1])
    return dX, dK


# ---- average pooling


def pool2d_avg(X, p):
    Y = np.zeros((X.shape[0] - p + 1, X.shape[1] - p + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = X[i : i + p, j : j + p].mean()
    return Y


def pool2d_avg_backward(X, p, g):
    dX = np.zeros_like(X)
    for i in range(g.shape[0]):
        for j in range(g.shape[1]):
            dX[i : i + p, j : j + p] += g[i, j] / (p * p)
    return dX


# ---- batch normalisation of images


def batch_norm(X, gamma, beta):
    mean = X.mean(axis=(0, 2, 3), keepdims=True)
    var = ((X - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True)
    X_hat = (X - mean) / np.sqrt(var + 1e-5)
    return gamma * X_hat + beta


def batch_norm_backward(X, gamma, beta, g):
    m = X.shape[0] * X.shape[2] * X.shape[3]
    mean = X.mean(axis=(0, 2, 3), keepdims=True)
    centered = X - mean
    var = (centered**2).mean(axis=(0, 2, 3), keepdims=True)
    inv_std = 1 / np.sqrt(var + 1e-5)
    X_hat = centered * inv_std
    dbeta = g.sum(axis=(0, 2, 3), keepdims=True)
    dgamma = (g * X_hat).sum(axis=(0, 2, 3), keepdims=True)
    dX_hat = g * gamma
    dvar = (dX_hat * centered * -0.5 * inv_std**3).sum(axis=(0, 2, 3), keepdims=True)
    dmean = -(dX_hat * inv_std).sum(axis=(0, 2, 3), keepdims=True)
    dX = dX_hat * inv_std + dvar * 2 * centered / m + dmean / m
    return dX, dgamma, dbeta


# ---- recurrent nets: inputs (steps, batch, features), states by step, back through time by hand


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn(inputs, state, W_xh, W_hh, b_h):
    outputs = []
    for X in inputs:
        state = np.tanh(X @ W_xh + state @ W_hh + b_h)
        outputs.append(state)
    return np.stack(outputs)


def rnn_bptt(inputs, state, W_xh, W_hh, b_h, g):
    states = [state]
    for X in inputs:
        states.append(np.tanh(X @ W_xh + states[-1] @ W_hh + b_h))
    dW_xh, dW_hh, db_h = np.zeros_like(W_xh), np.zeros_like(W_hh), np.zeros_like(b_h)
    dstate = np.zeros_like(state)
    for t in reversed(range(len(inputs))):
        dh = g[t] + dstate
        dz = dh * (1 - states[t + 1] ** 2)
        dW_xh += inputs[t].T @ dz
        dW_hh += states[t].T @ dz
        db_h += dz.sum(axis=0)
        dstate = dz @ W_hh.T
    return dstate, dW_xh, dW_hh, db_h


def gru(inputs, H, W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h):
    outputs = []
    for X in inputs:
        Z = sigmoid(X @ W_xz + H @ W_hz + b_z)
        R = sigmoid(X @ W_xr + H @ W_hr + b_r)
        H_tilde = np.tanh(X @ W_xh + (R * H) @ W_hh + b_h)
        H = Z * H + (1 - Z) * H_tilde
        outputs.append(H)
    return np.stack(outputs)


def gru_bptt(inputs, H, W_xz, W_hz, b_z, W_xr, W_hr, b_r, W_xh, W_hh, b_h, g):
    tape = []
    for X in inputs:
        Z = sigmoid(X @ W_xz + H @ W_hz + b_z)
        R = sigmoid(X @ W_xr + H @ W_hr + b_r)
        H_tilde = np.tanh(X @ W_xh + (R * H) @ W_hh + b_h)
        tape.append((X, H, Z, R, H_tilde))
        H = Z * H + (1 - Z) * H_tilde
    dW_xz, dW_hz, db_z = np.zeros_like(W_xz), np.zeros_like(W_hz), np.zeros_like(b_z)
    dW_xr, dW_hr, db_r = np.zeros_like(W_xr), np.zeros_like(W_hr), np.zeros_like(b_r)
    dW_xh, dW_hh, db_h = np.zeros_like(W_xh), np.zeros_like(W_hh), np.zeros_like(b_h)
    dnext = np.zeros_like(H)
    for t in reversed(range(len(tape))):
        X, H, Z, R, H_tilde = tape[t]
        dH = g[t] + dnext
        dZ = dH * (H - H_tilde)
        dH_tilde = dH * (1 - Z)
        da_h = dH_tilde * (1 - H_tilde**2)
        dRH = da_h @ W_hh.T
        dR = dRH * H
        da_z = dZ * Z * (1 - Z)
        da_r = dR * R * (1 - R)
        dW_xz += X.T @ da_z
        dW_hz += H.T @ da_z
        db_z += da_z.sum(axis=0)
        dW_xr += X.T @ da_r
        dW_hr += H.T @ da_r
        db_r += da_r.sum(axis=0)
        dW_xh += X.T @ da_h
        dW_hh += (R * H).T @ da_h
        db_h += da_h.sum(axis=0)
        dnext = dH * Z + dRH * R + da_z @ W_hz.T + da_r @ W_hr.T
    return {
        "H": dnext, "W_xz": dW_xz, "W_hz": dW_hz, "b_z": db_z, "W_xr": dW_xr, "W_hr": dW_hr, "b_r": db_r,
        "W_xh": dW_xh, "W_hh": dW_hh, "b_h": db_h,
    }


def lstm(inputs, H, C, W_x, W_h, b):
    h = H.shape[1]
    outputs = []
    for X in inputs:
        A = X @ W_x + H @ W_h + b
        I, F, O = sigmoid(A[:, :h]), sigmoid(A[:, h : 2 * h]), sigmoid(A[:, 2 * h : 3 * h])
        C_tilde = np.tanh(A[:, 3 * h :])
        C = F * C + I * C_tilde
        H = O * np.tanh(C)
        outputs.append(H)
    return np.stack(outputs)


def lstm_bptt(inputs, H, C, W_x, W_h, b, g):
    h = H.shape[1]
    tape = []
    for X in inputs:
        A = X @ W_x + H @ W_h + b
        I, F, O = sigmoid(A[:, :h]), sigmoid(A[:, h : 2 * h]), sigmoid(A[:, 2 * h : 3 * h])
        C_tilde = np.tanh(A[:, 3 * h :])
        C_next = F * C + I * C_tilde
        tape.append((X, H, C, I, F, O, C_tilde, C_next))
        C = C_next
        H = O * np.tanh(C)
    dW_x, dW_h, db = np.zeros_like(W_x), np.zeros_like(W_h), np.zeros_like(b)
    dH_next, dC_next = np.zeros_like(H), np.zeros_like(C)
    for t in reversed(range(len(tape))):
        X, H, C, I, F, O, C_tilde, C_new = tape[t]
        dH = g[t] + dH_next
        dO = dH * np.tanh(C_new)
        dC = dC_next + dH * O * (1 - np.tanh(C_new) ** 2)
        dI = dC * C_tilde
        dF = dC * C
        dC_tilde = dC * I
        dA = np.concatenate(
            [dI * I * (1 - I), dF * F * (1 - F), dO * O * (1 - O), dC_tilde * (1 - C_tilde**2)], axis=1
        )
        dW_x += X.T @ dA
        dW_h += H.T @ dA
        db += dA.sum(axis=0)
        dH_next = dA @ W_h.T
        dC_next = dC * F
    return {"H": dH_next, "C": dC_next, "W_x": dW_x, "W_h": dW_h, "b": db}


# ---- attention


def attention(Q, K, V):
    d = Q.shape[1]
    return softmax(Q @ K.T / np.sqrt(d)) @ V


def attention_backward(Q, K, V, g):
    d = Q.shape[1]
    A = softmax(Q @ K.T / np.sqrt(d))
    dV = A.T @ g
    dA = g @ V.T
    dS = A * (dA - (dA * A).sum(axis=1, keepdims=True))
    dQ = dS @ K / np.sqrt(d)
    dK = dS.T @ Q / np.sqrt(d)
    return dQ, dK, dV
