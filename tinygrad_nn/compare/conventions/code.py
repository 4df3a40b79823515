"""A person's forward and backward, however they are called, as two functions of the arrays that move."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...gradcheck.numerical import is_float
from ...tensor import Tensor, raw
from ...tree import flatten
from ..function.calling import Inputs
from .returned import Pairing
from .signatures import returned_names

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Code:
    """A person's code, ready to be compared.

    Attributes:
        name: of the function or class.
        inputs: what is differentiated, and what is not.
        run: from inputs and arrays, or Tensors, in their place to the results in their containers, without a cache.
        back: from inputs, arrays and the cotangents of the results to what the person's backward returns.
        takes: whether the backward takes cotangents.
        source: the function whose lines run in the forward; `backward`: the one whose lines run in the backward.
        names: of what the backward returns, where they cannot be read from `backward`.
        notes: how the code was taken, where it could be taken in more than one way.
        some: whether gradients of some of the inputs are enough.
        pairing: which gradient belongs to which input, once that is known.
    """

    name: str
    inputs: Inputs
    run: Callable[[Inputs, Sequence[Any]], Any]
    back: Callable[[Inputs, Sequence[Array], Any], Any]
    takes: bool
    source: Any
    backward: Any = None
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    some: bool = False
    pairing: Pairing | None = None

    def forward(self, leaves: Sequence[Any]) -> Any:
        """Run the forward and return its results in their containers."""
        return self.run(self.inputs, leaves)

    def outs(self, leaves: Sequence[Any]) -> list[Any]:
        """Run the forward and return those of its results that are made of floats."""
        return results(self.forward(leaves))

    def arrays(self, leaves: Sequence[Any]) -> list[Array]:
        """Run the forward and return the arrays of its results that are made of floats."""
        return [np.asarray(raw(out)) for out in self.outs(leaves)]

    def cast(self, how: Callable[[Any], Any]) -> Code:
        """Return the code with inputs in another precision, those that do not move as well."""
        return replace(self, inputs=self.inputs._replace(leaves=[how(x) for x in self.inputs.leaves]))

    def paired(self, found: Any) -> Code:
        """Return the code of which it is known whose gradients the backward returns, and moves only these inputs."""
        count = len(found) if isinstance(found, (tuple, list)) else 1
        names = self.names or (returned_names(self.backward, count) if callable(self.backward) else ())
        pairing = Pairing(self.inputs, found, names, self.some)
        return replace(self, inputs=pairing.inputs, pairing=pairing, notes=(*self.notes, *pairing.notes))

    def taken(self, found: Any) -> list[Array]:
        """Return what the backward returned as a gradient for each moving array."""
        pairing = self.pairing or Pairing(self.inputs, found)
        return pairing.gradients(found)

    def gradients(self, leaves: Sequence[Array], g: Any) -> list[Array]:
        """Run the backward on copies of the arrays and return a gradient for each of them."""
        return self.taken(self.back(self.inputs, [x.copy() for x in leaves], g))


def results(value: Any) -> list[Any]:
    """Return the parts of what a forward returned that are made of floats."""
    return [out for out in flatten(value)[0] if isinstance(out, Tensor) or is_float(out)]


@contextmanager
def same_draws() -> Generator[None]:
    """Draw the same numbers from NumPy's and Python's global generators each time, as a dropout mask needs them."""
    kept, plain = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(kept)  # noqa: NPY002
        random.setstate(plain)
