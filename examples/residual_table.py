"""A residual network on a table, with the usual parts of a training: scaling, validation, early stopping, a schedule.

The table is Friedman's (1991, Multivariate adaptive regression splines, equation 61): five of ten columns matter, two
of them through their product. A linear model explains three quarters of the variance.
Run it with `python examples/residual_table.py`.
"""

import numpy as np

from tinygrad_nn import EarlyStopping, Predict, Scaler, Settings, Solver, data_split, fit, optim, r2_score
from tinygrad_nn.nn import Dropout, LayerNorm, Linear, Residual, Sequential, silu


def friedman(rows: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return ten columns and a target with noise of standard deviation 1."""
    x = rng.uniform(0, 1, (rows, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return x, (y + rng.normal(0, 1, rows))[:, None]


def main(rows: int = 4000, epochs: int = 80, width: int = 64, seed: int = 0) -> tuple[float, float]:
    """Train the network, and return r2 on the test part, of the network and of a linear model."""
    rng = np.random.default_rng(seed)
    train, test, val = data_split(*friedman(rows, rng), train_size=0.7, val_size=0.15, rng=rng)
    of_x, of_y = Scaler.fit(train.x), Scaler.fit(train.y)

    def block() -> Residual:
        first, second = Linear(width, width, rng=rng), Linear(width, width, rng=rng)
        return Residual(LayerNorm(width), first, silu, Dropout(0.05), second)

    model = Sequential(Linear(10, width, rng=rng), block(), block(), LayerNorm(width), Linear(width, 1, rng=rng))
    history = fit(
        model, of_x.transform(train.x), of_y.transform(train.y), of_x.transform(val.x), of_y.transform(val.y),
        solver=Solver("mse", optim.adamw(weight_decay=0.02), 3e-3, schedule=optim.Cosine(epochs), clip_norm=1.0),
        settings=Settings(epochs, 64), early_stopping=EarlyStopping(patience=15), rng=rng,
    )  # fmt: skip
    r2 = r2_score(test.y, of_y.inverse(Predict(model, of_x.transform(test.x))))
    A = np.hstack([train.x, np.ones((len(train.x), 1))])
    line = np.hstack([test.x, np.ones((len(test.x), 1))]) @ np.linalg.lstsq(A, train.y, rcond=None)[0]
    straight = r2_score(test.y, line)
    print(f"{history.epochs} epochs; r2 of the test part {r2:.4f}, of a straight line {straight:.4f}")
    return r2, straight


if __name__ == "__main__":
    main()
