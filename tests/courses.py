"""Correct layers in the styles of well-known courses: functions of arrays with loops, caches and dicts of options."""

import math
from typing import Any

import numpy as np

Array = Any


# -- Forward with a cache, and backward(dout, cache).


def affine_forward(x: Array, w: Array, b: Array) -> Any:
    out = x.reshape(x.shape[0], -1).dot(w) + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout: Array, cache: Any) -> Any:
    x, w, _ = cache
    dx = dout.dot(w.T).reshape(x.shape)
    dw = x.reshape(x.shape[0], -1).T.dot(dout)
    db = np.sum(dout, axis=0)
    return dx, dw, db


def relu_forward(x: Array) -> Any:
    out = np.maximum(0, x)
    cache = x
    return out, cache


def relu_backward(dout: Array, cache: Array) -> Array:
    dx = dout * (cache > 0)
    return dx


def affine_relu_forward(x: Array, w: Array, b: Array) -> Any:
    a, fc_cache = affine_forward(x, w, b)
    out, relu_cache = relu_forward(a)
    return out, (fc_cache, relu_cache)


def affine_relu_backward(dout: Array, cache: Any) -> Any:
    fc_cache, relu_cache = cache
    da = relu_backward(dout, relu_cache)
    return affine_backward(da, fc_cache)


def batchnorm_forward(x: Array, gamma: Array, beta: Array, bn_param: Any) -> Any:
    mode, eps, momentum = bn_param["mode"], bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    running_mean = bn_param.get("running_mean", np.zeros(x.shape[1]))
    running_var = bn_param.get("running_var", np.zeros(x.shape[1]))
    if mode == "train":
        mu, var = x.mean(axis=0), x.var(axis=0)
        std = np.sqrt(var + eps)
        xhat = (x - mu) / std
        out = gamma * xhat + beta
        bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mu
        bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
        return out, (xhat, gamma, std)
    out = gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta
    return out, ((x - running_mean) / np.sqrt(running_var + eps), gamma, None)


def batchnorm_backward(dout: Array, cache: Any) -> Any:
    xhat, gamma, std = cache
    dgamma = np.sum(dout * xhat, axis=0)
    dbeta = np.sum(dout, axis=0)
    dxhat = dout * gamma
    dx = (dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0)) / std
    return dx, dgamma, dbeta


def layernorm_forward(x: Array, gamma: Array, beta: Array, ln_param: Any) -> Any:
    mu = x.mean(axis=1, keepdims=True)
    std = np.sqrt(x.var(axis=1, keepdims=True) + ln_param.get("eps", 1e-5))
    xhat = (x - mu) / std
    return gamma * xhat + beta, (xhat, gamma, std)


def layernorm_backward(dout: Array, cache: Any) -> Any:
    xhat, gamma, std = cache
    dxhat = dout * gamma
    dx = (dxhat - dxhat.mean(1, keepdims=True) - xhat * (dxhat * xhat).mean(1, keepdims=True)) / std
    return dx, (dout * xhat).sum(0), dout.sum(0)


def dropout_forward(x: Array, dropout_param: Any) -> Any:
    p, mode = dropout_param["p"], dropout_param["mode"]
    mask = None
    if mode == "train":
        mask = (np.random.rand(*x.shape) < p) / p  # noqa: NPY002 - as students write it
        out = x * mask
    else:
        out = x
    return out, (dropout_param, mask)


def dropout_backward(dout: Array, cache: Any) -> Array:
    dropout_param, mask = cache
    return dout * mask if dropout_param["mode"] == "train" else dout


def conv_forward_naive(x: Array, w: Array, b: Array, conv_param: Any) -> Any:
    stride, pad = conv_param["stride"], conv_param["pad"]
    N, _, H, W = x.shape
    F, _, HH, WW = w.shape
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    Ho, Wo = 1 + (H + 2 * pad - HH) // stride, 1 + (W + 2 * pad - WW) // stride
    out = np.zeros((N, F, Ho, Wo))
    for n in range(N):
        for f in range(F):
            for i in range(Ho):
                for j in range(Wo):
                    patch = xp[n, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
                    out[n, f, i, j] = np.sum(patch * w[f]) + b[f]
    cache = (x, w, b, conv_param)
    return out, cache


def conv_backward_naive(dout: Array, cache: Any) -> Any:
    x, w, _, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    H, W = x.shape[2:]
    HH, WW = w.shape[2:]
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dxp, dw = np.zeros_like(xp), np.zeros_like(w)
    for n in range(dout.shape[0]):
        for f in range(dout.shape[1]):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    si, sj = i * stride, j * stride
                    dw[f] += xp[n, :, si : si + HH, sj : sj + WW] * dout[n, f, i, j]
                    dxp[n, :, si : si + HH, sj : sj + WW] += w[f] * dout[n, f, i, j]
    dx = dxp[:, :, pad : pad + H, pad : pad + W]
    db = dout.sum(axis=(0, 2, 3))
    return dx, dw, db


def max_pool_forward_naive(x: Array, pool_param: Any) -> Any:
    h, w, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    N, C, H, W = x.shape
    out = np.zeros((N, C, 1 + (H - h) // s, 1 + (W - w) // s))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = x[:, :, i * s : i * s + h, j * s : j * s + w].max(axis=(2, 3))
    return out, (x, pool_param)


def max_pool_backward_naive(dout: Array, cache: Any) -> Array:
    x, pool_param = cache
    h, w, s = pool_param["pool_height"], pool_param["pool_width"], pool_param["stride"]
    dx = np.zeros_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(dout.shape[2]):
                for j in range(dout.shape[3]):
                    window = x[n, c, i * s : i * s + h, j * s : j * s + w]
                    r, q = np.unravel_index(np.argmax(window), window.shape)
                    dx[n, c, i * s + r, j * s + q] += dout[n, c, i, j]
    return dx


def rnn_step_forward(x: Array, prev_h: Array, Wx: Array, Wh: Array, b: Array) -> Any:
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h: Array, cache: Any) -> Any:
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h**2)
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def rnn_forward(x: Array, h0: Array, Wx: Array, Wh: Array, b: Array) -> Any:
    N, T, _ = x.shape
    h, caches = np.zeros((N, T, h0.shape[1])), []
    prev = h0
    for t in range(T):
        prev, cache_t = rnn_step_forward(x[:, t], prev, Wx, Wh, b)
        h[:, t, :] = prev
        caches.append(cache_t)
    return h, caches


def rnn_backward(dh: Array, cache: Any) -> Any:
    x, prev_h, Wx, Wh, _ = cache[0]
    dx = np.zeros((x.shape[0], len(cache), x.shape[1]))
    dWx, dWh, db, dprev = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros(Wx.shape[1]), np.zeros_like(prev_h)
    for t in reversed(range(len(cache))):
        dx[:, t], dprev, dWx_t, dWh_t, db_t = rnn_step_backward(dh[:, t] + dprev, cache[t])
        dWx += dWx_t
        dWh += dWh_t
        db += db_t
    return dx, dprev, dWx, dWh, db


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def lstm_step_forward(x: Array, prev_h: Array, prev_c: Array, Wx: Array, Wh: Array, b: Array) -> Any:
    H = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i, f, o = sigmoid(a[:, :H]), sigmoid(a[:, H : 2 * H]), sigmoid(a[:, 2 * H : 3 * H])
    g = np.tanh(a[:, 3 * H :])
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return next_h, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)


def lstm_step_backward(dnext_h: Array, dnext_c: Array, cache: Any) -> Any:
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    t = np.tanh(next_c)
    dc = dnext_c + dnext_h * o * (1 - t**2)
    da = np.hstack([dc * g * i * (1 - i), dc * prev_c * f * (1 - f), dnext_h * t * o * (1 - o), dc * i * (1 - g**2)])
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def word_embedding_forward(x: Array, W: Array) -> Any:
    out = W[x]
    return out, (x, W.shape)


def word_embedding_backward(dout: Array, cache: Any) -> Array:
    x, shape = cache
    dW = np.zeros(shape)
    np.add.at(dW, x, dout)
    return dW


# -- The gradient beside the loss.


def svm_loss(x: Array, y: Array) -> Any:
    N = x.shape[0]
    correct = x[np.arange(N), y]
    margins = np.maximum(0, x - correct[:, np.newaxis] + 1.0)
    margins[np.arange(N), y] = 0
    loss = np.sum(margins) / N
    dx = np.zeros_like(x)
    dx[margins > 0] = 1
    dx[np.arange(N), y] -= np.sum(margins > 0, axis=1)
    dx /= N
    return loss, dx


def softmax_loss(x: Array, y: Array) -> Any:
    shifted = x - np.max(x, axis=1, keepdims=True)
    log_probs = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    N = x.shape[0]
    loss = -np.sum(log_probs[np.arange(N), y]) / N
    dx = np.exp(log_probs)
    dx[np.arange(N), y] -= 1
    dx /= N
    return loss, dx


def softmax_loss_naive(W: Array, X: Array, y: Array, reg: float) -> Any:
    loss, dW = 0.0, np.zeros_like(W)
    N = X.shape[0]
    for i in range(N):
        scores = X[i].dot(W)
        scores -= np.max(scores)
        p = np.exp(scores) / np.sum(np.exp(scores))
        loss += -np.log(p[y[i]])
        for j in range(W.shape[1]):
            dW[:, j] += (p[j] - (j == y[i])) * X[i]
    loss = loss / N + reg * np.sum(W * W)
    dW = dW / N + 2 * reg * W
    return loss, dW


def temporal_softmax_loss(x: Array, y: Array, mask: Array) -> Any:
    N, T, V = x.shape
    flat, labels, m = x.reshape(N * T, V), y.reshape(N * T), mask.reshape(N * T)
    probs = np.exp(flat - flat.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    loss = -np.sum(m * np.log(probs[np.arange(N * T), labels])) / N
    dflat = probs.copy()
    dflat[np.arange(N * T), labels] -= 1
    dflat = dflat / N * m[:, None]
    return loss, dflat.reshape(N, T, V)


def two_layer_loss(params: Any, X: Array, y: Array) -> Any:
    h = np.maximum(0, X @ params["W1"] + params["b1"])
    loss, dscores = softmax_loss(h @ params["W2"] + params["b2"], y)
    dh = dscores @ params["W2"].T * (h > 0)
    grads = {"W2": h.T @ dscores, "b2": dscores.sum(0), "W1": X.T @ dh, "b1": dh.sum(0)}
    return loss, grads


# -- Samples in columns, with dicts of parameters.


def linear_forward(A: Array, W: Array, b: Array) -> Any:
    Z = np.dot(W, A) + b
    cache = (A, W, b)
    return Z, cache


def linear_backward(dZ: Array, cache: Any) -> Any:
    A_prev, W, _ = cache
    dW = dZ @ A_prev.T
    db = np.sum(dZ, axis=1, keepdims=True)
    dA_prev = W.T @ dZ
    return dA_prev, dW, db


def propagate(w: Array, b: float, X: Array, Y: Array) -> Any:
    m = X.shape[1]
    A = sigmoid(np.dot(w.T, X) + b)
    cost = -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m
    grads = {"dw": np.dot(X, (A - Y).T) / m, "db": np.sum(A - Y) / m}
    return grads, cost


def forward_propagation_n(X: Array, Y: Array, parameters: Any) -> Any:
    W1, b1, W2, b2 = (parameters[k] for k in ("W1", "b1", "W2", "b2"))
    Z1 = np.dot(W1, X) + b1
    A1 = np.maximum(0, Z1)
    A2 = sigmoid(np.dot(W2, A1) + b2)
    cost = np.sum(-np.log(A2) * Y - np.log(1 - A2) * (1 - Y)) / X.shape[1]
    return cost, (Z1, A1, W1, W2, A2)


def backward_propagation_n(X: Array, Y: Array, cache: Any) -> Any:
    Z1, A1, _, W2, A2 = cache
    m = X.shape[1]
    dZ2 = A2 - Y
    dA1 = np.dot(W2.T, dZ2)
    dZ1 = dA1 * (Z1 > 0)
    return {
        "dZ2": dZ2, "dW2": dZ2 @ A1.T / m, "db2": dZ2.sum(axis=1, keepdims=True) / m, "dA1": dA1, "dZ1": dZ1,
        "dW1": dZ1 @ X.T / m, "db1": dZ1.sum(axis=1, keepdims=True) / m,
    }  # fmt: skip


def layers_forward(X: Array, Y: Array, parameters: Any) -> Any:
    A, caches = X, []
    for k in range(1, len(parameters) // 2 + 1):
        Z = parameters[f"W{k}"] @ A + parameters[f"b{k}"]
        caches.append((A, parameters[f"W{k}"], Z))
        A = 1 / (1 + np.exp(-Z))
    AL = A
    cost = -(Y * np.log(AL) + (1 - Y) * np.log(1 - AL)).mean()
    return cost, AL, caches


def layers_backward(AL: Array, Y: Array, caches: Any) -> Any:
    grads = {}
    dA = -(Y / AL - (1 - Y) / (1 - AL)) / Y.shape[1]
    for k in range(len(caches), 0, -1):
        A, W, Z = caches[k - 1]
        s = 1 / (1 + np.exp(-Z))
        dZ = dA * s * (1 - s)
        grads[f"dW{k}"], grads[f"db{k}"] = dZ @ A.T, dZ.sum(axis=1, keepdims=True)
        dA = W.T @ dZ
    return grads


# -- Objects: layers of books, with their gradients beside the parameters.


class Affine:
    def __init__(self, W: Array, b: Array) -> None:
        self.W, self.b = W, b
        self.x: Array = None
        self.dW: Array = None
        self.db: Array = None

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.dot(x, self.W) + self.b

    def backward(self, dout: Array) -> Array:
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return np.dot(dout, self.W.T)


class MatMul:
    def __init__(self, W: Array) -> None:
        self.params, self.grads, self.x = [W], [np.zeros_like(W)], None

    def forward(self, x: Array) -> Array:
        (W,) = self.params
        self.x = x
        return np.dot(x, W)

    def backward(self, dout: Array) -> Array:
        (W,) = self.params
        self.grads[0][...] = np.dot(self.x.T, dout)
        return np.dot(dout, W.T)


class Relu:
    def __init__(self) -> None:
        self.mask: Array = None

    def forward(self, x: Array) -> Array:
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Array) -> Array:
        dout[self.mask] = 0
        return dout


class SoftmaxWithLoss:
    def __init__(self) -> None:
        self.loss = self.y = self.t = None

    def forward(self, x: Array, t: Array) -> Any:
        self.t = t
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        self.loss = -np.sum(t * np.log(self.y)) / len(x)
        return self.loss

    def backward(self, dout: float = 1) -> Array:
        return (self.y - self.t) / len(self.t)


class Sequence:
    """Layers in a row, whose parameters are shared with them."""

    def __init__(self, *layers: Any) -> None:
        self.layers = list(layers)

    def forward(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout: Array) -> Array:
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


class LayerDense:
    """The forward leaves its output, and the backward its gradients, as attributes."""

    def __init__(self, weights: Array, biases: Array) -> None:
        self.weights, self.biases = weights, biases

    def forward(self, inputs: Array) -> None:
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues: Array) -> None:
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)


class Dense:
    """The backward takes a step itself."""

    def __init__(self, weights: Array, bias: Array) -> None:
        self.weights, self.bias = weights, bias

    def forward(self, input: Array) -> Array:
        self.input = input
        return np.dot(self.weights, input) + self.bias

    def backward(self, output_gradient: Array, learning_rate: float) -> Array:
        weights_gradient = np.dot(output_gradient, self.input.T)
        input_gradient = np.dot(self.weights.T, output_gradient)
        self.weights -= learning_rate * weights_gradient
        self.bias -= learning_rate * output_gradient
        return input_gradient


class Parameter:
    def __init__(self, data: Array) -> None:
        self.data, self.grad = data, np.zeros_like(data)


class Linear:
    """Its gradients are added to what is there."""

    def __init__(self, weight: Array, bias: Array) -> None:
        self.weight, self.bias = Parameter(weight), Parameter(bias)

    def forward(self, x: Array) -> Array:
        self.x = x
        return x @ self.weight.data.T + self.bias.data

    def backward(self, grad_output: Array) -> Array:
        self.weight.grad += grad_output.T @ self.x
        self.bias.grad += grad_output.sum(axis=0)
        return grad_output @ self.weight.data


class TwoLayerNet:
    """One method returns the loss and a dict of gradients."""

    def __init__(self, params: Any) -> None:
        self.params = params

    def loss(self, X: Array, y: Array, reg: float = 0.1) -> Any:
        loss, grads = two_layer_loss(self.params, X, y)
        for name in ("W1", "W2"):
            loss += 0.5 * reg * np.sum(self.params[name] ** 2)
            grads[name] = grads[name] + reg * self.params[name]
        return loss, grads


class Net:
    """`loss` and `gradient` are apart, and the parameters in a dict."""

    def __init__(self, W: Array) -> None:
        self.params = {"W": W}

    def loss(self, x: Array, t: Array) -> Any:
        return np.sum((x @ self.params["W"] - t) ** 2) / len(x)

    def gradient(self, x: Array, t: Array) -> Any:
        grads = {}
        grads["W"] = 2 * x.T @ (x @ self.params["W"] - t) / len(x)
        return grads


# -- Operations: a context, or a node.


class Mul:
    @staticmethod
    def forward(ctx: Any, a: float, b: float) -> float:
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx: Any, d_output: float) -> Any:
        a, b = ctx.saved_values
        return d_output * b, d_output * a


class Log:
    """One saved value, without a tuple."""

    @classmethod
    def forward(cls, ctx: Any, a: float) -> float:
        ctx.save_for_backward(a)
        return math.log(a)

    @classmethod
    def backward(cls, ctx: Any, d_output: float) -> float:
        a = ctx.saved_values
        return d_output / a


class LinearFunction:
    @staticmethod
    def forward(ctx: Any, input: Array, weight: Array, bias: Array, scale: float = 0.5) -> Array:
        ctx.save_for_backward(input, weight)
        ctx.scale = scale
        return (input @ weight.T + bias) * scale

    @staticmethod
    def backward(ctx: Any, grad_output: Array) -> Any:
        input, weight = ctx.saved_tensors
        g = grad_output * ctx.scale
        grad_input = g @ weight if ctx.needs_input_grad[0] else None
        return grad_input, g.T @ input, g.sum(0), None


class Exp:
    """Forward without a context, which another method fills."""

    @staticmethod
    def forward(x: Array) -> Array:
        return np.exp(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Array) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, grad: Array) -> Array:
        (out,) = ctx.saved_tensors
        return grad * out


class EWiseMul:
    def compute(self, a: Array, b: Array) -> Array:
        return a * b

    def gradient(self, out_grad: Any, node: Any) -> Any:
        lhs, rhs = node.inputs
        return out_grad * rhs, out_grad * lhs


class ReLU:
    def compute(self, a: Array) -> Array:
        return np.maximum(a, 0)

    def gradient(self, out_grad: Any, node: Any) -> Any:
        a = node.inputs[0].realize_cached_data()
        return out_grad * (a > 0)


class Tanh:
    def compute(self, a: Array) -> Array:
        return np.tanh(a)

    def gradient(self, out_grad: Any, node: Any) -> Any:
        return (out_grad * (1 - node**2),)


# -- Other names and layouts that are in use.


class Steps:
    """Other names of the methods, and an update inside the backward, which leaves the input's gradient as it was."""

    def __init__(self, w: Array, b: Array) -> None:
        self._w, self._b = w, b

    def feed_forward(self, x: Array) -> Array:
        self.x = x
        return x @ self._w + self._b

    def back_prop(self, error: Array, learning_rate: float) -> Array:
        dx = error @ self._w.T
        self._w -= learning_rate * self.x.T @ error
        self._b -= learning_rate * error.sum(axis=0)
        return dx


class UpdatesTooEarly(Steps):
    def back_prop(self, error: Array, learning_rate: float) -> Array:
        self._w -= learning_rate * self.x.T @ error
        self._b -= learning_rate * error.sum(axis=0)
        return error @ self._w.T


class OwnRate(Steps):
    """The rate is the object's own, so the gradients of its parameters are not known."""

    def forward_pass(self, x: Array) -> Array:
        return self.feed_forward(x)

    def backward_pass(self, error: Array) -> Array:
        return self.back_prop(error, 0.1)


class OwnMoments(Steps):
    """Moments change as well; those of an attribute that is named as an optimizer are no parameters."""

    def __init__(self, w: Array, b: Array) -> None:
        super().__init__(w, b)
        self.opt_m, self.adopt = np.zeros_like(w), np.zeros_like(b)

    def forward_pass(self, x: Array) -> Array:
        return self.feed_forward(x) + self.adopt + 0 * self.opt_m.sum()

    def backward_pass(self, error: Array) -> Array:
        self.opt_m += self.x.T @ error
        self.adopt += error.sum(axis=0)
        return error @ self._w.T


class Three:
    """The backward takes the input again, and returns the gradients of the parameters after that of the input."""

    def __init__(self, weights: Array, biases: Array) -> None:
        self.weights, self.biases = weights, biases

    def forward(self, x: Array, keep: float) -> Array:
        return (x @ self.weights + self.biases) * keep

    def backward(self, x: Array, keep: float, grad_output: Array) -> Any:
        grad_x = grad_output @ self.weights.T * keep
        grad_weights = x.T @ grad_output * keep
        grad_biases = grad_output.sum(axis=0) * keep
        return grad_x, grad_weights, grad_biases


class Lists:
    """Parameters and gradients in lists of other names; the backward also returns them."""

    def __init__(self, w: list[Array], b: Array) -> None:
        self.w, self.b = w, b

    def forward(self, data: Array) -> Array:
        self.hidden = np.tanh(data @ self.w[0])
        return ((self.hidden @ self.w[1] + self.b) ** 2).sum()

    def backward(self, data: Array) -> Any:
        d = 2 * (self.hidden @ self.w[1] + self.b)
        self.dw = [data.T @ ((d @ self.w[1].T) * (1 - self.hidden**2)), self.hidden.T @ d]
        self.db = d.sum(axis=0)
        return self.dw, self.db


class SquareLoss:
    def loss(self, y: Array, y_pred: Array) -> Array:
        return 0.5 * (y - y_pred) ** 2

    def gradient(self, y: Array, y_pred: Array) -> Array:
        return y_pred - y


class SoftPlus:
    def __call__(self, x: Array) -> Array:
        return np.log(1 + np.exp(x))

    def gradient(self, x: Array) -> Array:
        return 1 / (1 + np.exp(-x))


def running_forward(x: Array, gamma: Array, cache: Any) -> Any:
    """A forward whose cache is an input and a result, with a running mean after it."""
    mean = x.mean(axis=0)
    running_mean = 0.9 * cache[0] + 0.1 * mean
    cache = (x - mean, gamma)
    return gamma * (x - mean), cache, running_mean


def running_backward(dout: Array, cache: Any) -> Any:
    centred, gamma = cache
    dx = gamma * dout
    dgamma = (dout * centred).sum(axis=0)
    return dx - dx.mean(axis=0), dgamma


def recurrent(Wx: Array, Wh: Array, x: Array, hprev: Array) -> Any:
    """The last state is returned after the gradients."""
    hs = {-1: hprev}
    loss = 0.0
    for t in range(len(x)):
        hs[t] = np.tanh(x[t] @ Wx + hs[t - 1] @ Wh)
        loss += (hs[t] ** 2).sum()
    dWx, dWh, dnext = np.zeros_like(Wx), np.zeros_like(Wh), np.zeros_like(hprev)
    for t in reversed(range(len(x))):
        draw = (2 * hs[t] + dnext) * (1 - hs[t] ** 2)
        dWx += x[t].T @ draw
        dWh += hs[t - 1].T @ draw
        dnext = draw @ Wh.T
    return loss, dWx, dWh, hs[len(x) - 1]


def recurrent_again(Wx: Array, Wh: Array, x: Array, hprev: Array) -> Any:
    return recurrent(Wx, Wh, x, hprev)


def list_loss(params: list[Array], x: Array) -> Any:
    """The gradients of a list of parameters, in a list."""
    W, b = params
    out = x @ W + b
    return (out**2).sum(), [2 * x.T @ out, 2 * out.sum(axis=0)]


def logistic_forward(X: Array, W: Array, b: Array, Y: Array) -> Any:
    """A loss, and beside it a value that the backward takes by its name."""
    P = 1 / (1 + np.exp(-(X @ W + b)))
    loss = -np.mean(Y * np.log(P + 1e-12) + (1 - Y) * np.log(1 - P + 1e-12))
    return loss, P


def logistic_gradients(X: Array, Y: Array, P: Array) -> Any:
    dZ = (P - Y) / len(X)
    dW = X.T @ dZ
    db = dZ.sum(axis=0)
    return dW, db


def logistic(X: Array, W: Array, b: Array, Y: Array) -> Any:
    loss, P = logistic_forward(X, W, b, Y)
    return loss, logistic_gradients(X, Y, P)


def scores_forward(q: Array, k: Array, b: Array) -> Any:
    """Attention weights, which do not depend on the bias of the keys, so that its gradient is rounding only."""
    s = q @ (k + b).T
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p, (q, k + b, p)


def scores_backward(dp: Array, cache: Any) -> Any:
    q, k, p = cache
    ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True))
    dk = ds.T @ q
    return ds @ k, dk, dk.sum(axis=0)


class Attention:
    """The forward returns a second result, whose gradient the backward does not take."""

    def __init__(self, w: Array) -> None:
        self.w = w

    def forward(self, x: Array) -> Any:
        self.x = x
        return x @ self.w, np.tanh(x).sum(axis=0)

    def backward(self, error: Array) -> Array:
        self.w_diff = self.x.T @ error
        return error @ self.w.T


def float32_loss(logits: Array, y: Array) -> Any:
    """The loss is computed in float32, and returned as a number of Python."""
    z = logits.astype(np.float32)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    loss = float(-np.mean(np.log(p[np.arange(len(y)), y])))
    dlogits = p.copy()
    dlogits[np.arange(len(y)), y] -= 1
    return loss, dlogits / len(y)
