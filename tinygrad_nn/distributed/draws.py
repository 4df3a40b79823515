"""Random numbers for a batch that is shared among ranks: every rank draws those of all rows and keeps its own rows'.

So the numbers are the same as on one rank, and the generators of all ranks stay in the same state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .shard import Shard, current_shard, on_shard

Shape = tuple[int, ...]
SIZES = {  # the position of the argument `size` in each method
    "random": 0, "standard_normal": 0, "standard_exponential": 0, "normal": 2, "uniform": 2, "integers": 2,
    "binomial": 2, "exponential": 1, "poisson": 1, "laplace": 2, "gumbel": 2, "logistic": 2, "lognormal": 2,
    "gamma": 2, "beta": 2, "standard_gamma": 1, "geometric": 1,
}  # fmt: skip
OTHERS = ("bytes", "choice", "permutation", "permuted", "shuffle", "multivariate_normal", "dirichlet", "multinomial")
PROBES = 2, 3  # numbers of rows of the two passes that find out which axis of a draw is that of the rows


class RowDraws(np.random.Generator):
    """The random generator of a model whose batches are shared, over the bit generator of the training.

    Attributes:
        axes: for each draw of a step the axis of the rows, ``None`` if all rows share the drawn numbers; axis: the
            axis of the rows for all draws that `find_row_axes` did not see.
        seen: during `find_row_axes`, the shapes that were requested; else ``None``.
    """

    axes: list[int | None]
    axis = 0
    seen: list[Shape] | None
    count: int

    @classmethod
    def of(cls, generator: np.random.Generator, axis: int = 0) -> RowDraws:
        """Return a RowDraws over the bits of a generator."""
        made = cls(generator.bit_generator)
        made.axes, made.axis, made.seen, made.count = [], axis, None, 0
        return made

    def begin(self) -> None:
        """Begin a step: restart the count of draws."""
        self.count = 0

    def _of_batch(self, shape: Shape, shard: Shard) -> tuple[Shape, int | None]:
        """Return the shape for the whole batch, and the axis of the rows."""
        axis = self.axes[self.count] if self.count < len(self.axes) else self.axis
        self.count += 1
        if axis is None:
            return shape, None
        each, rest = divmod(shape[axis], shard.length) if shape[axis] else (1, 0)  # no rows, in the user's own loop
        if rest or not each:
            raise ValueError(
                f"random numbers of shape {shape} cannot be divided among the {shard.length} rows of this rank; with "
                "comm= a model must draw the same number for each row of a batch."
            )
        return (*shape[:axis], each * shard.total, *shape[axis + 1 :]), axis


def _row_draw(name: str, place: int) -> Callable[..., Any]:
    plain = getattr(np.random.Generator, name)

    def draw(self: RowDraws, *args: Any, **kwargs: Any) -> Any:
        size = kwargs.get("size", args[place] if len(args) > place else None)
        shard = current_shard()
        if size is None or shard is None:
            return plain(self, *args, **kwargs)
        shape = (int(size),) if isinstance(size, int | np.integer) else tuple(int(n) for n in size)
        if self.seen is not None:
            self.seen.append(shape)
        if shard.skip_sums or (shard.length == shard.total and 0 not in shape):
            return plain(self, *args, **kwargs)
        whole, axis = self._of_batch(shape, shard)
        if "size" in kwargs:
            kwargs["size"] = whole
        else:
            args = (*args[:place], whole, *args[place + 1 :])
        drawn = plain(self, *args, **kwargs)
        if axis is None:
            return drawn
        each = shape[axis] // shard.length
        rows = slice(shard.rows.start * each, shard.rows.stop * each if each else 0)
        return np.ascontiguousarray(drawn[(*(slice(None),) * axis, rows)])

    draw.__name__, draw.__doc__ = name, f"Draw as `numpy.random.Generator.{name}` does, for the whole batch."
    return draw


def _refusal(name: str) -> Callable[..., Any]:
    plain = getattr(np.random.Generator, name)

    def refuse(self: RowDraws, *args: Any, **kwargs: Any) -> Any:
        shard = current_shard()
        if shard is None:
            return plain(self, *args, **kwargs)
        raise ValueError(
            f"rng.{name} inside a model mixes the rows of a batch, which with comm= are on several ranks. Draw numbers "
            "for each row, such as rng.random(shape), or prepare the batches before fit."
        )

    refuse.__name__, refuse.__doc__ = name, "Refuse: it mixes the rows of a batch."
    return refuse


for _name, _place in SIZES.items():
    setattr(RowDraws, _name, _row_draw(_name, _place))
for _name in OTHERS:
    setattr(RowDraws, _name, _refusal(_name))


def find_row_axes(draws: RowDraws, shard: Shard, forward: Callable[[int], Any]) -> list[Any]:
    """Find out which axis of each draw is that of the rows, by two passes with different numbers of rows.

    Args:
        draws: the generator of the model; its state is restored.
        shard: any shard of the batch; forward: runs the model on the given number of rows.

    Returns:
        The results of both passes.

    Raises:
        ValueError: the number or the shapes of the draws do not follow the number of rows.
    """
    bits, seen, found = draws.bit_generator.state, [], []
    for rows in PROBES:
        draws.seen = []
        with on_shard(Shard(shard.ranks, rows, 0, rows, skip_sums=True)):
            found.append(forward(rows))
        seen.append(draws.seen)
    draws.seen, draws.bit_generator.state = None, bits
    if len(seen[0]) != len(seen[1]):
        raise ValueError(
            f"the model draws {len(seen[0])} times for {PROBES[0]} rows and {len(seen[1])} times for {PROBES[1]}; with "
            "comm= it must draw for all rows at once, since each rank has only some of them."
        )
    draws.axes = [_axis(*pair) for pair in zip(*seen, strict=True)]
    return found


def _axis(small: Shape, large: Shape) -> int | None:
    """Return the axis along which two shapes differ in proportion to the rows, or None if they are equal."""
    if small == large:
        return None
    differ = [k for k, (a, b) in enumerate(zip(small, large, strict=False)) if a != b]
    if len(small) != len(large) or len(differ) != 1 or small[differ[0]] * PROBES[1] != large[differ[0]] * PROBES[0]:
        raise ValueError(
            f"the model draws random numbers of shape {small} for {PROBES[0]} rows and {large} for {PROBES[1]}; with "
            "comm= it must draw the same number for each row."
        )
    return differ[0]
