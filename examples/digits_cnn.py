"""A convolutional network on the 8x8 digits, with a fixed split: a quarter of the images, 450, are the test set.

Run it with `python examples/digits_cnn.py`; it takes a few minutes and prints the accuracy on the test images.
"""

import numpy as np

from tinygrad_nn import Predict, Settings, Solver, data_split, fit, load_digits, optim
from tinygrad_nn.nn import BatchNorm2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Sequential, relu
from tinygrad_nn.nn.losses import cross_entropy


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the images, each shifted at random by at most one pixel, with zeros at the border."""
    wide = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    down, right = rng.integers(0, 3, (2, len(images)))
    rows, columns = down[:, None] + np.arange(8), right[:, None] + np.arange(8)
    return wide[np.arange(len(images))[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


class Moving:
    """Batches of training images, shifted anew in each epoch."""

    def __init__(self, x: np.ndarray, y: np.ndarray, size: int, rng: np.random.Generator):
        self.x, self.y, self.size, self.rng = x, y, size, rng

    def __iter__(self):
        order = self.rng.permutation(len(self.x))
        for start in range(0, len(order), self.size):
            rows = order[start : start + self.size]
            yield shifted(self.x[rows], self.rng), self.y[rows]


def network(channels: int, rng: np.random.Generator) -> Sequential:
    """Return three convolutions with norm and pooling, and a linear layer with ten classes."""
    c, f32 = channels, np.float32
    return Sequential(
        Conv2d(1, c, 3, padding=1, rng=rng, dtype=f32), BatchNorm2d(c, dtype=f32), relu,
        Conv2d(c, c, 3, padding=1, rng=rng, dtype=f32), BatchNorm2d(c, dtype=f32), relu, MaxPool2d(2),  # 4x4
        Conv2d(c, 2 * c, 3, padding=1, rng=rng, dtype=f32), BatchNorm2d(2 * c, dtype=f32), relu, MaxPool2d(2),  # 2x2
        Flatten(), Dropout(0.3), Linear(8 * c, 10, rng=rng, dtype=f32),
    )  # fmt: skip


def main(epochs: int = 30, channels: int = 32, rows: int | None = None, seed: int = 0) -> float:
    """Train the network, and return the share of test images that are classified correctly."""
    rng, digits = np.random.default_rng(seed), load_digits()
    x = (digits.x / 16).reshape(-1, 1, 8, 8).astype(np.float32)
    (x_train, y_train), (x_test, y_test), _ = data_split(x, digits.y, train_size=0.75, val_size=0, rng=0)
    x_train, y_train = x_train[:rows], y_train[:rows]
    model = network(channels, rng)
    batches = Moving(x_train, y_train, 64, rng)
    solver = Solver(cross_entropy, "adam", 3e-3, schedule=optim.OneCycle(epochs * -(-len(x_train) // 64)),
                    schedule_by="step")  # fmt: skip
    history = fit(model, batches, x_val=x_test, y_val=y_test, solver=solver, settings=Settings(epochs), rng=rng)
    right = float((Predict(model, x_test).argmax(axis=1) == y_test).mean())
    print(f"loss {history.loss[-1]:.4f}; {right:.4f} of the {len(y_test)} test images are told right")
    return right


if __name__ == "__main__":
    main()
