"""A network in thirty lines that uses only `Tensor` and classifies two moons (python examples/thirty_lines.py)."""

import numpy as np

from tinygrad_nn import Tensor


def main(steps: int = 500, seed: int = 0) -> float:
    rng = np.random.default_rng(seed)
    angle, y = rng.uniform(0, np.pi, (400, 1)), np.arange(400)[:, None] % 2.0  # y is 1 for the lower moon
    upper = np.hstack([np.cos(angle), np.sin(angle)])
    x = np.where(y == 0, upper, [1.0, 0.5] - upper) + rng.normal(0, 0.1, (400, 2))
    W1, b1 = Tensor(rng.normal(0, 1, (2, 16))), Tensor(np.zeros(16))
    W2, b2 = Tensor(rng.normal(0, 0.25, (16, 1))), Tensor(np.zeros(1))
    for step in range(steps):
        z = np.tanh(x @ W1 + b1) @ W2 + b2  # (400, 1)
        loss = (np.logaddexp(0, z) - y * z).mean()  # the binary cross-entropy of sigmoid(z)
        loss.backward()
        for p in (W1, b1, W2, b2):
            p.data -= 1.0 * p.grad
            p.grad = None
        if step % 100 == 0:
            print(f"step {step:3}: loss {loss.item():.4f}")
    right = float(((z.data > 0) == y).mean())
    print(f"{right:.1%} of the points are on the right side")
    return right


if __name__ == "__main__":
    main()
