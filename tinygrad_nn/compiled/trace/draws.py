"""Random generators in a trace: each draw is an operation, drawn again in every call, in the same order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tensor import Tensor
from ..program.values import Op, Value
from .nodes import Untraceable, recorder
from .recorder import Recorder

DRAWS = (
    "random", "standard_normal", "normal", "uniform", "integers", "standard_exponential", "exponential", "gamma",
    "standard_gamma", "beta", "binomial", "poisson", "laplace", "logistic", "gumbel", "lognormal", "geometric",
    "rayleigh", "triangular", "weibull",
    "chisquare", "standard_cauchy", "standard_t", "permutation", "permuted", "choice",
    "multivariate_normal", "dirichlet", "multinomial",
)  # fmt: skip


class Drawing(np.random.Generator):
    """A generator of a trace, over the bits of the real one."""

    value: Value

    @classmethod
    def of(cls, generator: np.random.Generator, value: Value) -> Drawing:
        """Return it for a generator, and the value that stands for it."""
        drawing = cls(generator.bit_generator)
        drawing.value = value
        return drawing

    def shuffle(self, x: Any, axis: int = 0) -> None:
        """Refuse: it writes into its argument."""
        raise Untraceable("rng.shuffle writes into an array; use rng.permutation.")

    def spawn(self, n_children: int) -> Any:
        """Refuse: the children would be the same in every call."""
        raise Untraceable("rng.spawn inside a compiled call.")


def _draw(name: str) -> Any:
    plain = getattr(np.random.Generator, name)

    def draw(self: Drawing, *args: Any, **kwargs: Any) -> Tensor:
        record: Recorder = recorder()
        if record.depth:
            raise Untraceable(
                f"rng.{name} inside a loop or a branch, which the way back would draw again. Draw the numbers before "
                "it, and pass them as rows of xs or an operand."
            )
        if any(isinstance(x, Tensor) for x in (*args, *kwargs.values())):
            raise Untraceable(f"rng.{name} of values that differ from call to call.")
        out = np.asarray(plain(self, *args, **kwargs))

        def run(generator: Any) -> Any:
            return getattr(generator, name)(*args, **kwargs)

        op = Op("draw", name, run, [self.value], (("unique", len(record.values)),), pure=False)
        return record.still(record.emit(op, out), out)

    draw.__name__, draw.__doc__ = name, f"Draw as `numpy.random.Generator.{name}` does, and record it."
    return draw


for _name in DRAWS:
    setattr(Drawing, _name, _draw(_name))
