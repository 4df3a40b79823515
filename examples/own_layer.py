"""A layer with its own derivative rule: a swish with a trained slope, declared, checked, and used in a network.

Before the training, the rule is checked against finite differences in first and second order. A second rule is wrong on
purpose, and the check finds it. Run it with `python examples/own_layer.py`.
"""

import numpy as np

from tinygrad_nn import Module, Settings, Solver, Tensor, check_primitive, declare, fit, load_iris, sigmoid
from tinygrad_nn.nn import Linear, Sequential
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.primitive import REGISTRY


def forward(x, beta):
    """Return x times the sigmoid of beta x."""
    return x * sigmoid(beta * x)


def slope(g, out, x, beta):
    """The rule of x: g times s + beta x s (1 - s), where s is the sigmoid."""
    s = sigmoid(beta * x)
    return g * (s + beta * x * s * (1 - s))


def by_beta(g, out, x, beta):
    """The rule of beta: g times x squared times s (1 - s)."""
    s = sigmoid(beta * x)
    return g * x * x * s * (1 - s)


class Swish(Module):
    """The primitive as a layer, with beta as its parameter."""

    def __init__(self, swish):
        self.beta = Tensor(np.array(1.0))
        self._swish = swish

    def forward(self, x):
        return self._swish(x, self.beta)


def main(epochs: int = 40, seed: int = 0) -> tuple[bool, bool, float]:
    """Return whether the right rule passes, whether the wrong one does, and the accuracy on iris."""
    rng = np.random.default_rng(seed)
    tex = r"\frac{x}{1 + e^{-\beta x}}"
    swish = declare(forward, tex, (slope, r"g (s + \beta x s (1 - s))"), (by_beta, "g x^2 s (1 - s)"), name="swish")
    wrong = declare(forward, tex, (lambda g, out, x, beta: g * sigmoid(beta * x), "g s"), (by_beta, "g x^2 s (1 - s)"),
                    name="swish_without_a_term")  # fmt: skip
    try:
        good, bad = (check_primitive(rule.name, (3, 4), ()) for rule in (swish, wrong))
        print(good)
        print("\nand the one whose rule lacks a term:\n")
        print(bad)
        iris = load_iris()
        model = Sequential(Linear(4, 16, rng=rng), Swish(swish), Linear(16, 3, rng=rng))
        history = fit(model, iris.x, iris.y, solver=Solver(cross_entropy, "adam", 0.01), settings=Settings(epochs, 16),
                      rng=rng)  # fmt: skip
        accuracy = history.metrics["accuracy"][-1]
        print(f"\naccuracy on iris {accuracy:.3f}, beta became {model[1].beta.item():.2f}")
    finally:  # so that the example can be run twice in one program
        for primitive in (swish, wrong):
            REGISTRY.pop(primitive.name, None)
    return good.ok, bad.ok, accuracy


if __name__ == "__main__":
    main()
