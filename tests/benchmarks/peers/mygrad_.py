"""MyGrad, without its guard of memory, which its docs advise for speed."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import tasks
from ..worker import Program, Step, serve
from .updates import update_of


def perceptron(p: Any, x: Any) -> Any:
    import mygrad as mg
    from mygrad.nnet import relu

    last = len(p) // 2 - 1
    for k in range(last):
        x = relu(mg.matmul(x, p[f"W{k}"].T) + p[f"b{k}"])
    return mg.matmul(x, p[f"W{last}"].T) + p[f"b{last}"]


def cnn(p: Any, x: Any) -> Any:
    import mygrad as mg
    from mygrad.nnet import conv_nd, max_pool, relu

    for name in ("0", "3"):
        z = conv_nd(x, p[f"{name}.weight"], stride=1, padding=1) + p[f"{name}.bias"].reshape(1, -1, 1, 1)
        x = max_pool(relu(z), (2, 2), 2)
    return mg.matmul(x.reshape(len(x), -1), p["7.weight"].T) + p["7.bias"]


def lstm(p: Any, x: Any) -> Any:
    import mygrad as mg
    from mygrad.nnet import sigmoid

    W_x, W_h = p["lstm.weight_ih_l0"].T, p["lstm.weight_hh_l0"].T
    z = mg.matmul(x, W_x) + (p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"])
    h = c = np.zeros((x.shape[1], 128), x.dtype)
    for t in range(len(x)):
        s = z[t] + mg.matmul(h, W_h)
        i, f, u, o = (s[:, k * 128 : (k + 1) * 128] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * mg.tanh(u)
        h = sigmoid(o) * mg.tanh(c)
    return mg.matmul(h, p["head.weight"].T) + p["head.bias"]


def norm(x: Any, w: Any, b: Any) -> Any:
    import mygrad as mg

    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / mg.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(1e-5)) * w + b


def transformer(p: Any, x: Any) -> Any:
    import mygrad as mg
    from mygrad.nnet import relu, softmax

    batch, times, n = x.shape
    qkv = mg.matmul(x, p["self_attn.in_proj_weight"].T) + p["self_attn.in_proj_bias"]
    parts = qkv.reshape(batch, times, 3, tasks.HEADS, -1).transpose(2, 0, 3, 1, 4)
    q, k, v = parts[0], parts[1], parts[2]
    a = softmax(mg.matmul(q, k.transpose(0, 1, 3, 2)) * np.float32((n // tasks.HEADS) ** -0.5))
    o = mg.matmul(a, v).transpose(0, 2, 1, 3).reshape(x.shape)
    x = x + mg.matmul(o, p["self_attn.out_proj.weight"].T) + p["self_attn.out_proj.bias"]
    x = norm(x, p["norm1.weight"], p["norm1.bias"])
    h = relu(mg.matmul(x, p["linear1.weight"].T) + p["linear1.bias"])
    x = x + mg.matmul(h, p["linear2.weight"].T) + p["linear2.bias"]
    return norm(x, p["norm2.weight"], p["norm2.bias"])


NETWORKS = {"cnn": cnn, "lstm": lstm, "transformer": transformer}


def make(step: str) -> Step | None:
    import mygrad as mg
    from mygrad.nnet import softmax_crossentropy

    mg.turn_memory_guarding_off()
    if step == "scalar" or step.startswith("chain"):
        length = tasks.chained(step)

        def derivative() -> float:
            x = y = mg.tensor(0.5)
            if length is None:
                y = tasks.scalar(mg.sin, x)
            else:
                for _ in range(length):
                    y = y + 1.0
            y.backward()
            return float(x.grad)

        return derivative
    network = NETWORKS.get(step, perceptron)
    p, x, y = tasks.data(step)
    labels = y.argmax(axis=1) if y.ndim == 2 else y
    update = update_of(step, p)
    tensors = {key: mg.tensor(value, copy=False) for key, value in p.items()}

    def one() -> float:
        out = network(tensors, x)
        loss = ((out - y) ** 2).mean() if step == "transformer" else softmax_crossentropy(out, labels)
        loss.backward()
        update(p, {key: t.grad for key, t in tensors.items()})
        return loss.item()

    return one


PROGRAMS = {"MyGrad": Program(make, ("mygrad",))}

if __name__ == "__main__":
    serve(PROGRAMS)
