"""Sources of batches: rows of arrays, in memory or in mapped files, or an iterable of batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np

from ..common.masked import check_unmasked
from ..common.printable import counted
from ..tensor import Tensor
from ..tree import flatten
from .checks import check_probabilities

Array = np.ndarray[Any, Any]
Batch = tuple[Any, Any, int]  # inputs, targets, number of rows


class Rows:
    """Batches made of rows of arrays; if these are mapped files, only the rows of the current batch are read.

    If there are class weights, the columns of y are multiplied by them in training, but not in `still` and `part`.
    """

    def __init__(self, x: Any, y: Any, size: int, weights: Any = None) -> None:
        self.size, self.weights = size, weights
        self.data = (x, y)

    @cached_property
    def leaves(self) -> list[Any]:
        """The arrays as a flat list."""
        return flatten(self.data)[0]

    @cached_property
    def rebuild(self) -> Callable[[list[Any]], Any]:
        """The function that rebuilds the nested structure from a flat list of arrays."""
        return flatten(self.data)[1]

    @cached_property
    def rows(self) -> int:
        """The number of rows of each array."""
        return len(self.leaves[0])

    @cached_property
    def mapped(self) -> bool:
        """Whether some of the arrays are mapped files."""
        return any(isinstance(leaf, np.memmap) for leaf in self.leaves)

    @property
    def count(self) -> int:
        """The number of batches in an epoch."""
        return -(-self.rows // self.size)

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield all batches of an epoch: every row once, in a new random order."""
        for where in self.order(rng):
            yield self.read(where)

    def order(self, rng: np.random.Generator) -> Iterator[Array]:
        """Yield the row indices of each batch of an epoch."""
        order = rng.permutation(self.rows)
        for start in range(0, self.rows, self.size):
            yield order[start : start + self.size]

    def read(self, where: Array) -> Batch:
        """Return the rows at some indices as a training batch."""
        x, y, rows = self.part(where)
        if self.mapped:  # arrays in memory were checked once, at the beginning
            _check_read(flatten((x, y))[0], where)
        return x, y if self.weights is None else self._weighted(y), rows

    def in_order(self, rows: int) -> Iterator[Batch]:
        """Yield every row once, in order, for evaluation: chunks of `rows` rows, or all at once if in memory."""
        step = rows if self.mapped else self.rows
        for start in range(0, self.rows, step):
            yield self.part(slice(start, start + step))

    def _weighted(self, y: Array) -> Array:
        return y * self.weights.astype(y.dtype if y.dtype.kind == "f" else float)  # type: ignore[no-any-return]

    def part(self, where: Any) -> Batch:
        """Return the rows at some indices or a slice, without class weights."""
        parts = [np.asarray(leaf[where]) for leaf in self.leaves]
        x, y = self.rebuild(parts)
        return x, y, len(parts[0])


class Batches:
    """An iterable of batches ``(x, y)``, iterated once per epoch.

    A checkpoint saves the random generators that are its attributes, such as that of a `data_loader`.
    """

    def __init__(self, call: str, batches: Iterable[Any], loss: Any = None) -> None:
        if iter(batches) is batches:
            raise TypeError(
                f"{call}: {type(batches).__name__} can be iterated over only once, but every epoch goes through all "
                "batches. Pass a list of batches, tinygrad_nn.data_loader(x, y, 32), or an object with __iter__."
            )
        self.call, self.source, self.loss = call, batches, loss
        self.generators = [
            value for value in getattr(batches, "__dict__", {}).values() if isinstance(value, np.random.Generator)
        ]

    @property
    def count(self) -> int | None:
        """The number of batches in an epoch, or None if it is not known."""
        with suppress(TypeError):
            return len(self.source)  # type: ignore[arg-type]
        return None

    def batches(self, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield the batches in the order of the iterable."""
        none = True
        for k, batch in enumerate(self.source):
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                raise TypeError(
                    f"{self.call}: batch {k} is {batch!r:.60} of type {type(batch).__name__}; a batch is a pair (x, y)."
                )
            names = f"x of batch {k}", f"y of batch {k}"
            x, y = (as_nested_arrays(self.call, part, name) for name, part in zip(names, batch, strict=True))
            rows = check_rows(self.call, x, y, names, self.loss)
            none = False
            yield x, y, rows
        if none:
            raise ValueError(f"{self.call}: the iterable yielded no batch; an iterator is exhausted after one pass.")

    def in_order(self, rows: int) -> Iterator[Batch]:
        """Yield the batches, for evaluation."""
        return self.batches(np.random.default_rng())


def batch_source(
    call: str, x: Any, y: Any, size: int, names: tuple[str, str] = ("x", "y"), loss: Any = None
) -> Rows | Batches:
    """Return `Rows` for arrays or nested arrays, or `Batches` for an iterable without y."""
    if y is None and not isinstance(x, (np.ndarray, Tensor, dict)) and hasattr(x, "__iter__"):
        return Batches(call, x, loss)
    x, y = as_nested_arrays(call, x, names[0]), as_nested_arrays(call, y, names[1])
    check_rows(call, x, y, names, loss)
    return Rows(x, y, size)


def check_rows(call: str, x: Any, y: Any, names: tuple[str, str], loss: Any = None) -> int:
    """Return the number of rows; raise if the arrays of a batch differ in it, or have no rows or non-finite numbers.

    For a cross-entropy that a solver names, raise also if the targets are not probabilities.
    """
    leaves, _ = flatten((x, y))
    of_x = len(flatten(x)[0])
    for k, leaf in enumerate(leaves):
        name = names[0] if k < of_x else names[1]
        if leaf.ndim == 0 or len(leaf) == 0:
            raise ValueError(
                f"{call}: {name} has shape {leaf.shape}; it needs one row per sample, and at least one row."
            )
        if len(leaf) != len(leaves[0]):
            raise ValueError(
                f"{call}: {names[0]} has {counted(len(leaves[0]), 'row')} and {name} has {len(leaf)} (shape "
                f"{leaf.shape}); each row of inputs needs its row of targets. Drop the rows that have no partner."
            )
        if leaf.dtype.kind == "f" and not isinstance(leaf, np.memmap) and not np.isfinite(leaf).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(leaf))[0])
            text = ", ".join(map(str, place))
            raise ValueError(f"{call}: {name}[{text}] is {leaf[place]}; training needs finite numbers.")
    named = loss == "binarycrossentropy" or (loss == "crossentropy" and np.ndim(y) > 1)  # one axis: class numbers
    if named and isinstance(y, np.ndarray):
        check_probabilities(call, y, names[1], loss)
    return len(leaves[0])


def _check_read(leaves: list[Array], where: Array) -> None:
    """Raise a ValueError if rows that were read from a file contain infinities or NaN."""
    for leaf in leaves:
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            place = np.argwhere(~np.isfinite(leaf))[0]
            value, row = leaf[tuple(place)], where[place[0]]
            raise ValueError(f"fit: row {row} of the mapped data holds {value}; training needs finite numbers.")


def as_nested_arrays(call: str, data: Any, name: str) -> Any:
    """Return data as an array; tuples and dicts of arrays keep their structure."""
    if data is None:
        raise ValueError(f"{call}: {name} is missing; pass arrays x and y, or an iterable of batches (x, y).")
    make: Callable[[Any], Any] = np.asanyarray
    check_unmasked(call, data, name)
    if isinstance(data, (tuple, dict)):
        leaves, rebuild = flatten(data)
        if not leaves:
            raise ValueError(f"{call}: {name} is an empty {type(data).__name__}; pass an array with a row per sample.")
        if all(isinstance(leaf, (np.ndarray, np.generic)) for leaf in leaves):
            return rebuild([make(leaf) for leaf in leaves])
        if isinstance(data, dict):
            raise TypeError(f"{call}: {name} is a dict of more than arrays; write np.array(...) around its values.")
    if isinstance(data, Tensor):
        raise TypeError(f"{call}: {name} is a Tensor; training takes plain arrays. Pass its numbers, {name}.data.")
    for method in ("toarray", "collect"):  # a sparse matrix of SciPy, a LazyFrame of polars
        if hasattr(type(data), method):
            raise TypeError(f"{call}: {name} is a {type(data).__name__}; pass {name}.{method}().")
    try:
        array = make(data)
    except ValueError:
        raise ValueError(f"{call}: the rows of {name} have different lengths; give each the same shape.") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{call}: {name} is of type {array.dtype}; training takes numbers. Class names become numbers with "
            "tinygrad_nn.data.one_hot."
        )
    return array
