"""Random generators in a trace: each draw is recorded as an operation, so every call draws anew, in the same order."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ...tensor import Tensor, stored_array
from ...tree import flatten
from ..program.values import Op, Value
from .nodes import Untraceable, recorder
from .operations import on_arrays
from .recorder import Recorder

OTHERS = frozenset({"shuffle", "spawn", "bytes"})
DRAWS = [name for name in dir(np.random.Generator) if name[0] != "_" and name not in OTHERS]
DRAWS.remove("bit_generator")
# These options decide the shape of a draw, or what is drawn, so that they must not be traced Tensors.
SHAPES = frozenset({"size", "axis", "replace", "shuffle", "endpoint"})


class Drawing(np.random.Generator):
    """A generator that records its draws; it shares the bit generator of the real one."""

    value: Value

    @classmethod
    def of(cls, generator: np.random.Generator, value: Value) -> Drawing:
        """Return a `Drawing` for a generator and its value in the program."""
        drawing = cls(generator.bit_generator)
        drawing.value = value
        return drawing

    def shuffle(self, x: Any, axis: int = 0) -> None:
        """Refuse: ``shuffle`` writes into its argument."""
        raise Untraceable("rng.shuffle writes into an array; use rng.permutation.")

    def spawn(self, n_children: int) -> Any:
        """Refuse: the child generators would be the same in every call."""
        raise Untraceable("rng.spawn inside a compiled call.")


    def bytes(self, length: int) -> Any:
        """Refuse: a bytes object is not an array."""
        raise Untraceable("rng.bytes gives no array. Write rng.integers(0, 256, n, np.uint8).")


def _draw(name: str) -> Any:
    # Make the method of `Drawing` that draws like the method of this name, and records it.
    plain = getattr(np.random.Generator, name)
    parameters = inspect.signature(plain)

    def draw_again(generator: np.random.Generator, *args: Any, **kwargs: Any) -> Any:
        return getattr(generator, name)(*args, **kwargs)  # by name, since a subclass may override the method

    def draw(self: Drawing, *args: Any, **kwargs: Any) -> Tensor:
        record: Recorder = recorder()
        if record.depth:
            raise Untraceable(
                f"rng.{name} inside a loop or a branch, which the backward pass would draw again. Draw the numbers "
                "before it, and pass them as rows of xs or an operand."
            )
        given = parameters.bind(self, *args, **kwargs).arguments
        if given.get("out") is not None:
            raise Untraceable(f"rng.{name}(..., out=) writes into an array.")
        for key in given:
            if key in SHAPES or (name == "permutation" and np.ndim(given[key]) == 0):
                for x in flatten([given[key]])[0]:
                    if isinstance(x, Tensor):
                        x._number(f"{key}= of rng.{name}")
        call = [[self, *args], kwargs]
        leaves, rebuild = flatten(call)
        if any(isinstance(x, Tensor) and x.requires_grad for x in leaves):
            raise Untraceable(f"rng.{name} of a value that gradients flow through. Draw from t.detach().")
        places = [k for k, x in enumerate(leaves) if isinstance(x, (Drawing, Tensor, np.ndarray))]
        values = [x.value if isinstance(x, Drawing) else record.find(x) for x in (leaves[k] for k in places)]
        raw = [np.random.Generator(x.bit_generator) if isinstance(x, Drawing) else stored_array(x) for x in leaves]
        first, named = rebuild(raw)
        drawn = plain(*first, **named)
        out = drawn if type(drawn) in (int, float) else np.asarray(drawn)
        run = on_arrays(draw_again, call, rebuild, [None if k in places else x for k, x in enumerate(leaves)], places)
        op = Op("draw", name, run, values, (("unique", len(record.values)),), pure=False)
        return record.still(record.emit(op, out), out)

    draw.__name__, draw.__doc__ = name, f"Draw as `numpy.random.Generator.{name}` does, and record it."
    return draw


for _name in DRAWS:
    setattr(Drawing, _name, _draw(_name))
