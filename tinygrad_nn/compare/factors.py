"""Name a wrong factor from its values in several experiments.

A factor that is 3 in an experiment with 3 outputs and 5 in one with 5 outputs is ``n_out``, not a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .pattern import fraction

Facts = Mapping[str, float]  # the sizes and strengths of one experiment, by name

PLAIN: dict[str, Callable[[Facts], float]] = {
    "2": lambda c: 2.0,
    "1/2": lambda c: 0.5,
    "N": lambda c: c["N"],
    "1/N": lambda c: 1 / c["N"],
    "2N": lambda c: 2 * c["N"],
    "2/N": lambda c: 2 / c["N"],
    "N/2": lambda c: c["N"] / 2,
    "1/(2N)": lambda c: 1 / (2 * c["N"]),
    "n_out": lambda c: c["n_out"],
    "1/n_out": lambda c: 1 / c["n_out"],
    "2/n_out": lambda c: 2 / c["n_out"],
    "n_out/2": lambda c: c["n_out"] / 2,
    "N n_out": lambda c: c["N"] * c["n_out"],
    "N/n_out": lambda c: c["N"] / c["n_out"],
    "n_out/N": lambda c: c["n_out"] / c["N"],
    "1/(N n_out)": lambda c: 1 / (c["N"] * c["n_out"]),
    "2/(N n_out)": lambda c: 2 / (c["N"] * c["n_out"]),
    "1/(1-p)": lambda c: 1 / (1 - c["p"]) if c["p"] else math.nan,
    "1-p": lambda c: 1 - c["p"] if c["p"] else math.nan,
    "p": lambda c: c["p"] or math.nan,
    "1/(1-p)^2": lambda c: 1 / (1 - c["p"]) ** 2 if c["p"] else math.nan,
    "lambda": lambda c: c["lambda"] or math.nan,
    "1/lambda": lambda c: 1 / c["lambda"] if c["lambda"] else math.nan,
    "lambda/2": lambda c: c["lambda"] / 2 or math.nan,
    "N^2": lambda c: c["N"] ** 2,
    "1/N^2": lambda c: 1 / c["N"] ** 2,
    "n_out^2": lambda c: c["n_out"] ** 2,
    "1/n_out^2": lambda c: 1 / c["n_out"] ** 2,
    "sqrt(N)": lambda c: math.sqrt(c["N"]),
    "1/sqrt(N)": lambda c: 1 / math.sqrt(c["N"]),
    "width": lambda c: c.get("width", math.nan),
    "1/width": lambda c: 1 / c["width"] if "width" in c else math.nan,
    "L": lambda c: c.get("L") or math.nan,
    "1/L": lambda c: 1 / c["L"] if c.get("L") else math.nan,
}

CONSTANT = ("2", "1/2")

WORDS = {
    "N": "the number of samples", "1/N": "1 over the number of samples", "n_out": "the number of outputs",
    "1/n_out": "1 over the number of outputs", "1/(1-p)": "the scale of the dropout mask",
    "1-p": "the inverse scale of the dropout mask", "lambda": "the strength of the penalty",
    "width": "the width of the layer", "1/width": "1 over the width of the layer", "L": "the loss itself",
}  # fmt: skip


class Factor(NamedTuple):
    """A factor that fits all experiments: its name, its value in the first one, and other names that fit as well."""

    name: str
    value: float
    others: tuple[str, ...] = ()

    @property
    def is_one(self) -> bool:
        """Whether the factor is 1, so that nothing is wrong."""
        return self.name == "1"

    @property
    def is_sign(self) -> bool:
        """Whether the factor is -1, so that only the sign is wrong."""
        return self.name == "-1"

    @property
    def words(self) -> str:
        """The name, its meaning, and the other names that fit as well, as a phrase."""
        meaning = WORDS.get(self.name.removeprefix("-"))
        if not self.others:
            return f"{self.name} ({meaning})" if meaning else self.name
        text = f"{self.name}, {meaning}," if meaning else self.name
        same = " or ".join(f"{name}, {WORDS[name]}" if name in WORDS else name for name in self.others[:6])
        return f"{text} (here the same as {same})"


def name_factor(values: Sequence[float], facts: Sequence[Facts], tolerance: float = 1e-6) -> Factor | None:
    """Name a factor from its value in each experiment, or return None if no name fits all of them.

    `facts` holds, for each experiment, the sizes and strengths that a factor may be made of.

    Example:
        >>> rest = {"n_out": 3, "p": 0, "lambda": 0}
        >>> name_factor([4.0, 7.0], [{"N": 4, **rest}, {"N": 7, **rest}])
        Factor(name='N', value=4.0, others=())
        >>> name_factor([4.0], [{"N": 4, **rest}]).words
        '4 (here the same as N, the number of samples)'
    """
    if not values or not all(map(math.isfinite, values)):
        return None

    def is_fit(wanted: Sequence[float]) -> bool:
        return all(abs(v - w) <= tolerance * max(abs(v), abs(w)) for v, w in zip(values, wanted, strict=True))

    for one, name in ((1.0, "1"), (-1.0, "-1")):
        if is_fit([one] * len(values)):
            return Factor(name, values[0])
    names = {sign + name: [s * f(c) for c in facts] for sign, s in (("", 1), ("-", -1)) for name, f in PLAIN.items()}
    names = {name: wanted for name, wanted in names.items() if is_fit(wanted)}
    plain = is_fit([values[0]] * len(values)) and bool(values[0])
    if plain:  # the sizes that fit were equal in all experiments, so only the number itself is certain
        sizes = tuple(name for name in names if name.removeprefix("-") not in CONSTANT)
        constant = next((name for name in names if name not in sizes), fraction(values[0], tolerance / 1000))
        return Factor(constant, values[0], sizes)
    fitting = list(names)
    return Factor(fitting[0], values[0], tuple(fitting[1:])) if fitting else None
