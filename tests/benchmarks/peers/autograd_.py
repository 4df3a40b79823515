"""HIPS autograd. It has no convolution to speak of: this one gathers windows and multiplies, as by hand in NumPy."""

from __future__ import annotations

from typing import Any

from .. import tasks
from ..worker import Program, Step, serve
from .updates import update_of


def perceptron(p: Any, x: Any) -> Any:
    import autograd.numpy as np

    last = len(p) // 2 - 1
    for k in range(last):
        x = np.maximum(np.dot(x, p[f"W{k}"].T) + p[f"b{k}"], 0)
    return np.dot(x, p[f"W{last}"].T) + p[f"b{last}"]


def cnn(p: Any, x: Any) -> Any:
    import autograd.numpy as np

    x = x.transpose(0, 2, 3, 1)  # the channels are last inside
    for name in ("0", "3"):
        n, h, w, _ = x.shape
        W = p[f"{name}.weight"]
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), "constant")
        taps = [padded[:, u : u + h, v : v + w] for u in range(3) for v in range(3)]
        rows = np.reshape(np.concatenate(taps, axis=3), (n * h * w, -1))
        z = np.dot(rows, np.reshape(np.transpose(W, (2, 3, 1, 0)), (-1, len(W)))) + p[f"{name}.bias"]
        x = np.max(np.reshape(np.maximum(z, 0), (n, h // 2, 2, w // 2, 2, -1)), axis=(2, 4))
    return np.dot(np.reshape(np.transpose(x, (0, 3, 1, 2)), (len(x), -1)), p["7.weight"].T) + p["7.bias"]


def lstm(p: Any, x: Any) -> Any:
    import autograd.numpy as np

    def sigmoid(z: Any) -> Any:
        return 1 / (1 + np.exp(-z))

    W_h = p["lstm.weight_hh_l0"].T
    z = np.dot(x, p["lstm.weight_ih_l0"].T) + (p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"])
    h = c = np.zeros((x.shape[1], 128), x.dtype)
    for t in range(len(x)):
        s = z[t] + np.dot(h, W_h)
        i, f, u, o = (s[:, k * 128 : (k + 1) * 128] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(u)
        h = sigmoid(o) * np.tanh(c)
    return np.dot(h, p["head.weight"].T) + p["head.bias"]


def norm(x: Any, w: Any, b: Any) -> Any:
    import autograd.numpy as np

    centred = x - np.mean(x, axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred * centred, axis=-1, keepdims=True) + 1e-5) * w + b


def transformer(p: Any, x: Any) -> Any:
    import autograd.numpy as np

    batch, times, n = x.shape
    qkv = np.dot(x, p["self_attn.in_proj_weight"].T) + p["self_attn.in_proj_bias"]
    parts = np.transpose(np.reshape(qkv, (batch, times, 3, tasks.HEADS, -1)), (2, 0, 3, 1, 4))
    q, k, v = parts[0], parts[1], parts[2]
    a = np.matmul(q, np.swapaxes(k, 2, 3)) * (n // tasks.HEADS) ** -0.5
    a = np.exp(a - np.max(a, axis=-1, keepdims=True))
    a = a / np.sum(a, axis=-1, keepdims=True)
    o = np.reshape(np.swapaxes(np.matmul(a, v), 1, 2), x.shape)
    x = x + np.dot(o, p["self_attn.out_proj.weight"].T) + p["self_attn.out_proj.bias"]
    x = norm(x, p["norm1.weight"], p["norm1.bias"])
    h = np.maximum(np.dot(x, p["linear1.weight"].T) + p["linear1.bias"], 0)
    x = x + np.dot(h, p["linear2.weight"].T) + p["linear2.bias"]
    return norm(x, p["norm2.weight"], p["norm2.bias"])


NETWORKS = {"cnn": cnn, "lstm": lstm, "transformer": transformer}


def make(step: str) -> Step | None:
    import autograd.numpy as np
    from autograd import grad, value_and_grad

    if step == "scalar":
        derivative = grad(lambda x: tasks.scalar(np.sin, x))
        return lambda: derivative(0.5)
    if (length := tasks.chained(step)) is not None:

        def chain(y: Any) -> Any:
            for _ in range(length):
                y = y + 1.0
            return y

        return lambda: grad(chain)(1.0)
    network = NETWORKS.get(step, perceptron)
    p, x, y = tasks.data(step)
    update = update_of(step, p)

    def loss(p: Any) -> Any:
        out = network(p, x)
        if step == "transformer":
            return np.mean((out - y) ** 2)
        shifted = out - np.max(out, axis=1, keepdims=True)
        return -np.sum(y * (shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True)))) / len(y)

    def one() -> float:
        value, g = value_and_grad(loss)(p)
        update(p, g)
        return float(value)

    return one


PROGRAMS = {"HIPS autograd": Program(make, ("autograd",))}

if __name__ == "__main__":
    serve(PROGRAMS)
