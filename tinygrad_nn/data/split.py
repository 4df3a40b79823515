"""Splitting of rows into train, test and validation parts, and into minibatches."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any, NamedTuple, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.arguments import as_generator
from ..common.display import tuple_in_few_lines
from ..common.masked import check_unmasked
from ..common.printable import counted
from ..common.spelling import named_options
from .frames import column_labels, frame_array, frame_names, frame_rows, is_frame

Array = NDArray[Any]
Rng: TypeAlias = "np.random.Generator | int | None"  # quoted: NumPy loads np.random only when it is touched


class Part(NamedTuple):
    """Some rows of the data: `x` (rows, n_in) and `y` (rows, n_out) or (rows,)."""

    x: Array
    y: Array

    def __repr__(self) -> str:
        return tuple_in_few_lines(self)


class Split(NamedTuple):
    """Three parts in the order train, test, validation; unpacks as pairs, or read `split.x_train`."""

    train: Part
    test: Part
    val: Part

    def __repr__(self) -> str:
        return "\n".join(["Split(", *(f"  {name}={part!r}," for name, part in self._asdict().items()), ")"])

    @property
    def x_train(self) -> Array:
        """The inputs of the train part."""
        return self.train.x

    @property
    def y_train(self) -> Array:
        """The targets of the train part."""
        return self.train.y

    @property
    def x_test(self) -> Array:
        """The inputs of the test part."""
        return self.test.x

    @property
    def y_test(self) -> Array:
        """The targets of the test part."""
        return self.test.y

    @property
    def x_val(self) -> Array:
        """The inputs of the validation part."""
        return self.val.x

    @property
    def y_val(self) -> Array:
        """The targets of the validation part."""
        return self.val.y


@named_options()
def data_split(
    x: Any,
    y: Any,
    *,
    shuffle: bool = True,
    train_size: float = 0.8,
    val_size: float = 0.0,
    test_size: float | None = None,
    rng: Rng = None,
    stratify: bool = False,
) -> Split:
    """Split the rows into train, test and validation parts; every row lands in exactly one.

    Train and test get ⌊size·rows⌋ rows and validation the remaining ones (test, if `val_size` is 0).

    Args: `x` (rows, ...) and `y` (rows, ...), arrays or tables of pandas, polars or pyarrow, whose parts are tables of
    the same kind; the sizes are shares in [0, 1]; `test_size=None` takes the rest, and three given sizes must sum to
    1; `rng` a Generator or a seed; `stratify` keeps the share of each class (labels, or one-hot rows) in every part.
    Without `shuffle` the rows keep their order, and the parts are views.
    Returns: `Split`. Raises: ValueError for impossible sizes, or a part that was asked for and gets no row.
    Source: `data_split` of "Neural Network From Scratch In Julia".

    >>> (x_train, y_train), (x_test, y_test), (x_val, y_val) = data_split(
    ...     np.arange(20).reshape(10, 2), np.arange(10), train_size=0.7, val_size=0.1, rng=0)
    >>> x_train.shape, x_test.shape, x_val.shape
    ((7, 2), (2, 2), (1, 2))
    """
    x, y = _check_aligned(x, y, "data_split", frames=True)
    rows = len(x)
    n_train, n_test, _ = _part_sizes(rows, train_size, test_size, val_size)
    cuts = [slice(0, n_train), slice(n_train, n_train + n_test), slice(n_train + n_test, rows)]
    if not (shuffle or stratify):
        return Split(*(Part(_take_rows(x, cut), _take_rows(y, cut)) for cut in cuts))
    generator = as_generator(rng)
    order = generator.permutation(rows) if shuffle else np.arange(rows)
    if stratify:
        order = order[_interleave(_class_codes(y)[order])]
    parts = [order[cut] for cut in cuts]
    if stratify:  # interleaved rows cycle through the classes: shuffle (or sort) them again inside each part
        parts = [generator.permutation(part) if shuffle else np.sort(part) for part in parts]
    return Split(*(Part(_take_rows(x, part), _take_rows(y, part)) for part in parts))


class DataLoader:
    """Iterable of minibatches of aligned rows, also repeatedly; `len()` is their number. Made by `data_loader`."""

    def __init__(self, x: ArrayLike, y: ArrayLike, batch_size: SupportsIndex, *, shuffle: bool, rng: Rng) -> None:
        self.x, self.y = _check_aligned(x, y, "data_loader")
        self.batch_size = _batch_size(batch_size)
        self.shuffle = shuffle
        self._generator = as_generator(rng) if shuffle else None

    def __len__(self) -> int:
        return (len(self.x) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        order = None if self._generator is None else self._generator.permutation(len(self.x))
        for start in range(0, len(self.x), self.batch_size):
            part = slice(start, start + self.batch_size)
            rows = part if order is None else order[part]
            yield self.x[rows], self.y[rows]

    def __repr__(self) -> str:
        rows = counted(len(self.x), "row")
        return f"DataLoader({rows}, {len(self)} batches of {self.batch_size}, shuffle={self.shuffle})"


@named_options()
def data_loader(
    x: ArrayLike, y: ArrayLike, batch_size: SupportsIndex, *, shuffle: bool = False, rng: Rng = None
) -> DataLoader:
    """Iterate over minibatches `(x, y)` of `batch_size` rows; the last one may be shorter.

    Args: `x` (rows, ...) and `y` (rows, ...), which stay aligned; `batch_size` ≥ 1; with `shuffle` every iteration
    draws a new order from `rng` (a Generator or a seed), without it the batches are views of `x` and `y`.
    Returns: a `DataLoader`: iterable many times, `len()` is the number of batches.
    Raises: ValueError for no rows, unequal rows or a batch size below 1; TypeError for a batch size not whole.
    Source: `data_loader` of "Neural Network From Scratch In Julia", which takes one array and counts elements.

    >>> [(a.shape, b.tolist()) for a, b in data_loader(np.ones((5, 3)), np.arange(5), 2)]
    [((2, 3), [0, 1]), ((2, 3), [2, 3]), ((1, 3), [4])]
    """
    return DataLoader(x, y, batch_size, shuffle=shuffle, rng=rng)


def _take_rows(x: Any, rows: Any) -> Any:
    """Return rows of an array or table, given by a slice or by their indices."""
    if is_frame(x):
        return frame_rows(x, np.arange(len(x))[rows])
    return x[rows]


def _check_aligned(x: Any, y: Any, call: str, *, frames: bool = False) -> tuple[Any, Any]:
    """Return x and y as arrays (tables stay tables if `frames`), and raise unless both have the same rows."""
    for a, name in ((x, "x"), (y, "y")):
        check_unmasked(call, a, name)
    x, y = (a if frames and is_frame(a) else frame_array(a, call, name) if is_frame(a) else np.asarray(a)
            for a, name in ((x, "x"), (y, "y")))  # fmt: skip
    if is_frame(x) or is_frame(y):
        _check_aligned(np.empty((len(x), 1)), np.empty((len(y), 1)), call)
        return x, y
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError(
            f"{call}: x has shape {x.shape} and y has shape {y.shape}; both need a first axis of rows, one sample "
            "each. Write a single sample as x[None, :]."
        )
    if len(x) != len(y):
        hint = " y looks transposed: pass y.T." if y.ndim == 2 and y.shape[1] == len(x) else ""
        hint = " x looks transposed: pass x.T." if x.ndim == 2 and x.shape[1] == len(y) else hint
        raise ValueError(
            f"{call}: x has {counted(len(x), 'row')} (shape {x.shape}) and y has {len(y)} (shape {y.shape}); each row "
            f"of x needs its row of y.{hint or ' Drop the rows that have no partner.'}"
        )
    if len(x) == 0:
        raise ValueError(f"{call}: no rows (x has shape {x.shape}); pass at least one sample.")
    return x, y


def _part_sizes(rows: int, train: float, test: float | None, val: float) -> tuple[int, int, int]:
    given = {"train_size": train, "val_size": val} | ({} if test is None else {"test_size": test})
    for name, size in given.items():
        if not isinstance(size, int | float | np.integer | np.floating):
            kind = "a string" if isinstance(size, str) else f"of type {type(size).__name__}"
            raise TypeError(
                f"data_split: {name}={size!r:.60} is {kind}; a size is a number from 0 to 1, e.g. {name}=0.2."
            )
        if not 0 <= size <= 1:
            raise ValueError(
                f"data_split: {name}={size!r}; a size is a share of the rows, from 0 to 1, e.g. {name}=0.2."
            )
    total = float(sum(given.values()))
    if total > 1 + 1e-9:
        sizes = " + ".join(f"{name} {size:g}" for name, size in given.items())
        raise ValueError(
            f"data_split: {sizes} = {total:g}, but there is only 1 to share. "
            f"Take {total - 1:g} off, e.g. train_size={max(0.0, train - (total - 1)):g}."
        )
    if test is None:
        test = 1 - total if 1 - total > 1e-9 else 0.0
    elif total < 1 - 1e-9:
        raise ValueError(
            f"data_split: train_size {train:g} + test_size {test:g} + val_size {val:g} = {total:g} would leave rows "
            f"unused; the three must sum to 1. Leave test_size out (it takes the rest), or say "
            f"test_size={1 - train - val:g}."
        )
    # 0.29 * 100 is 28.999999999999996, so without the small term a part would lose a row
    n_train = int(np.floor(rows * train + 1e-9))
    n_test = int(np.floor(rows * test + 1e-9))
    n_val = rows - n_train - n_test
    if val == 0:  # the rows that rounding leaves over go to the last part that was asked for
        n_train, n_test, n_val = (n_train, n_test + n_val, 0) if test > 0 else (rows, 0, 0)
    for part, size, count in (("train", train, n_train), ("test", test, n_test), ("val", val, n_val)):
        if count == 0 and (part == "train" or size > 0):
            raise ValueError(
                f"data_split: {counted(rows, 'row')} with {part}_size={size:g} give {n_train} train, {n_test} test "
                f"and {n_val} val rows; the {part} part would be empty. Raise {part}_size, or pass more rows."
            )
    return n_train, n_test, n_val


def _class_codes(y: Any) -> NDArray[np.intp]:
    """Return the class number of each row, (rows,), from labels (rows,) or (rows, 1), or from one-hot rows."""
    if is_frame(y):
        y = column_labels(y) if len(frame_names(y)) == 1 else frame_array(y, "data_split", "y")
    if y.ndim == 2 and y.shape[1] > 1:
        return np.asarray(np.argmax(y, axis=1), dtype=np.intp)
    return np.asarray(np.unique(y.reshape(len(y), -1)[:, 0], return_inverse=True)[1], dtype=np.intp)


def _interleave(codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return an order in which every range of rows has each class in proportion: sort by (k + 1/2) / class size."""
    position = np.empty(len(codes))
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.argsort(position, kind="stable")


def _batch_size(value: SupportsIndex) -> int:
    try:
        size = operator.index(value)
    except TypeError:
        raise TypeError(
            f"data_loader: batch_size={value!r} is of type {type(value).__name__}; it counts rows, so it needs a whole "
            "number, e.g. batch_size=16."
        ) from None
    if size < 1:
        raise ValueError(f"data_loader: batch_size={size}; a batch needs at least 1 row, e.g. batch_size=16.")
    return size
