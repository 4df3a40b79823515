"""A Gaussian process whose scales are fitted by Newton's method, with gradient and Hessian by the graph.

The kernel has a length, a height and a noise. Newton's method finds their logarithms, where the derivative of the log
marginal likelihood is zero (Rasmussen & Williams, Gaussian processes for machine learning, 2006, equation 5.8).
Run it with `python examples/newton.py`.
"""

import numpy as np

from tinygrad_nn import Tensor, grad, hessian


def evidence(theta: Tensor, x: np.ndarray, y: np.ndarray) -> Tensor:
    """Return minus the log marginal likelihood, as a function of the logarithms of length, height and noise."""
    length, height, noise = np.exp(theta)
    apart = (x[:, None] - x[None, :]) ** 2
    K = height**2 * np.exp(-apart / (2 * length**2)) + noise**2 * np.eye(len(x))  # (rows, rows)
    L = np.linalg.cholesky(K)
    a = np.linalg.solve(K, y)
    return 0.5 * (y @ a) + np.sum(np.log(np.diagonal(L))) + 0.5 * len(x) * np.log(2 * np.pi)


def main(rows: int = 80, seed: int = 0) -> tuple[np.ndarray, float]:
    """Fit the scales, print each step, and return them with the size of the last gradient."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 10, rows))
    y = np.sin(x) + 0.1 * rng.normal(size=rows)

    def f(theta: Tensor) -> Tensor:
        return evidence(theta, x, y)

    slope, curvature = grad(f), hessian(f)
    theta = np.log([1.0, 1.0, 0.3])
    for step in range(30):
        g, H = np.asarray(slope(theta)), np.asarray(curvature(theta))
        size = float(np.abs(g).max())
        print(f"step {step:2}: evidence {-f(theta).item():9.4f}, largest slope {size:.1e}")
        if size < 1e-8:
            break
        value, frame = np.linalg.eigh(H)
        move = frame @ ((frame.T @ g) / np.maximum(np.abs(value), 1e-3))  # abs: downhill in every direction
        move = move / max(1.0, np.abs(move).max())  # a scale changes by a factor of at most e
        while f(theta - move).item() > f(theta).item():  # a step that increases f is halved
            move = move / 2
        theta = theta - move
    length, height, noise = np.exp(theta)
    print(f"length {length:.3f}, height {height:.3f}, noise {noise:.3f} (the data was made with noise 0.1)")
    return np.exp(theta), size


if __name__ == "__main__":
    main()
