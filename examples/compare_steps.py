"""Every line of a hand-written backward is compared with the graph: which one is wrong, and why.

Run it with `python examples/compare_steps.py`. The backward has two mistakes. Right lines that only inherit their wrong
numbers are not blamed.
"""

import numpy as np

from tinygrad_nn import compare_steps


def forward(x, W1, b1, W2, y):
    z = x @ W1 + b1
    h = np.tanh(z)
    logits = h @ W2
    shifted = logits - logits.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -(y * logp).sum() / len(x)
    return loss


def backward(x, W1, b1, W2, y, h, logp):
    n = len(x)
    dlogits = np.exp(logp) - y  # the first mistake: not divided by the number of samples
    dW2 = h.T @ dlogits
    dh = dlogits @ W2.T
    dz = dh * (1 - h**2)
    dW1 = x.T @ dz
    db1 = dz.sum(axis=1)[:n]  # the second: summed over the units
    dx = dz @ W1.T
    return dx, dW1, db1, dW2


rng = np.random.default_rng(0)
inputs = {
    "x": rng.normal(size=(8, 4)), "W1": rng.normal(size=(4, 5)), "b1": np.zeros(5), "W2": rng.normal(size=(5, 3)),
    "y": np.eye(3, dtype=int)[rng.integers(0, 3, 8)],
}  # fmt: skip
report = compare_steps(forward, backward, inputs)
print(report)
