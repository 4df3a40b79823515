"""`Code`: the user's forward and backward, whatever their convention, as two functions of the differentiated arrays."""

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
_GLOBAL: Any = np.random  # its type stubs leave out two functions
_BITS, _SEEDED = np.random.MT19937(), random.Random(0).getstate()


@dataclass(frozen=True)
class Code:
    """The user's forward and backward in a uniform form, ready to be compared.

    Attributes:
        name: the name of the function or class.
        inputs: the arguments; the arrays at their `float_indices` are differentiated.
        run: ``run(inputs, leaves)`` runs the forward with arrays or Tensors in place of those arrays, and returns
            its results in their containers, without a cache.
        back: ``back(inputs, leaves, g)`` returns what the user's backward returns for the cotangents g of the results.
        takes_cotangents: whether the backward takes cotangents.
        source: the function whose lines run in the forward; `backward`: the one whose lines run in the backward.
        names: the names of the gradients that the backward returns, if they cannot be read from `backward`.
        notes: sentences for the report that say which convention was recognized.
        early: a sentence if the backward updates a parameter that it uses afterwards, else "".
        allows_missing: whether gradients of some of the inputs are enough.
        pairing: which gradient belongs to which input, once that is known.
    """

    name: str
    inputs: Inputs
    run: Callable[[Inputs, Sequence[Any]], Any]
    back: Callable[[Inputs, Sequence[Array], Any], Any]
    takes_cotangents: bool
    source: Any
    backward: Any = None
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    early: str = ""
    allows_missing: bool = False
    pairing: Pairing | None = None

    def forward(self, leaves: Sequence[Any]) -> Any:
        """Run the forward and return its results in their containers."""
        return self.run(self.inputs, leaves)

    def outs(self, leaves: Sequence[Any]) -> list[Any]:
        """Run the forward and return its floating-point results as a flat list."""
        return results(self.forward(leaves))

    def arrays(self, leaves: Sequence[Any]) -> list[Array]:
        """Run the forward and return its floating-point results as arrays."""
        return [np.asarray(raw(out)) for out in self.outs(leaves)]

    def cast(self, cast_array: Callable[[Any], Any]) -> Code:
        """Return the code with `cast_array` applied to all inputs, to change their precision."""
        return replace(self, inputs=self.inputs._replace(leaves=[cast_array(x) for x in self.inputs.leaves]))

    def with_pairing(self, returned: Any) -> Code:
        """Return the code with its gradients assigned to inputs, and with only those inputs differentiated.

        `returned` is what the backward returned once.
        """
        count = len(returned) if isinstance(returned, (tuple, list)) else 1
        names = self.names or (returned_names(self.backward, count) if callable(self.backward) else ())
        pairing = Pairing(self.inputs, returned, names, self.allows_missing)
        return replace(self, inputs=pairing.inputs, pairing=pairing, notes=(*self.notes, *pairing.notes))

    def gradients_from(self, returned: Any) -> list[Array]:
        """Return the result of the backward as a list with the gradient of each floating-point array."""
        pairing = self.pairing or Pairing(self.inputs, returned)
        return pairing.gradients(returned)

    def gradients(self, leaves: Sequence[Array], g: Any) -> list[Array]:
        """Run the backward on copies of the arrays and return a gradient for each of them."""
        return self.gradients_from(self.back(self.inputs, [x.copy() for x in leaves], g))


def results(value: Any) -> list[Any]:
    """Return the floating-point arrays, numbers and Tensors in what a forward returned, as a flat list."""
    return [out for out in flatten(value)[0] if isinstance(out, Tensor) or is_float(out)]


@contextmanager
def kept_draws() -> Generator[None]:
    """Restore NumPy's and Python's global generators after the block, with the normal number that NumPy keeps back."""
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


@contextmanager
def same_draws() -> Generator[None]:
    """Seed NumPy's and Python's global generators inside the block, so that each run draws the same dropout mask.

    NumPy's is exchanged for another one, which takes a thirtieth of the time of a copy of its state. It forgets a
    normal number that it kept back: `kept_draws` is for that, once around all runs.
    """
    bits, python_state = _GLOBAL.get_bit_generator(), random.getstate()
    _GLOBAL.set_bit_generator(_BITS)
    np.random.seed(0)  # noqa: NPY002
    random.setstate(_SEEDED)
    try:
        yield
    finally:
        _GLOBAL.set_bit_generator(bits)
        random.setstate(python_state)
