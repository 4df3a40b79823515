"""Exhibit, an entry of the museum: a report, and the backward pass that it is about, written again in NumPy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_nn import compare_gradients

Array = Any


@dataclass(frozen=True)
class Exhibit:
    """A backward pass that was reported as wrong.

    Attributes:
        title: one line.
        project, number: where it was reported: owner and name on GitHub; ``issue 288`` or ``pull 1891``.
        said: what the report says.
        fact: what was wrong, or, if `backward` is right, why it is right.
        equation: the right rule, in TeX.
        forward: runs on Tensors and arrays.
        backward: as it was reported, with the cotangent `g` as its last argument.
        right: as it should have been; None if `backward` is right.
        inputs: draws the arguments, by seed.
        kinds: that a diagnosis may give; empty if `backward` is right.
    """

    title: str
    project: str
    number: str
    said: str
    fact: str
    equation: str
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    inputs: Callable[[int], tuple[Array, ...]]
    right: Callable[..., Any] | None = None
    kinds: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        kind, number = self.number.split()
        return f"https://github.com/{self.project}/{'pull' if kind == 'pull' else 'issues'}/{number}"

    def compare(self, seed: int = 0, *, right: bool = False) -> Any:
        """The report of compare_gradients on the reported backward, or on the right one."""
        manual = self.right if right and self.right is not None else self.backward
        return compare_gradients(self.forward, self.inputs(seed), manual=manual, rng=seed)


def normal(*shapes: tuple[int, ...], scale: float = 1.0) -> Callable[[int], tuple[Array, ...]]:
    """Inputs of these shapes from a normal distribution, by seed."""

    def inputs(seed: int) -> tuple[Array, ...]:
        rng = np.random.default_rng(seed)
        return tuple(scale * rng.normal(size=shape) for shape in shapes)

    return inputs


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), of Tensors as well."""
    return 1 / (1 + np.exp(-z))
