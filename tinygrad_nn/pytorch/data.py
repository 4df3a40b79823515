"""``torch.utils.data``: a Dataset of samples, and a DataLoader that makes batches of them."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..common.printable import counted
from ..common.spelling import no_attribute
from ..tensor import raw
from . import constructors
from .constructors import constant

__all__ = ["DataLoader", "Dataset", "Subset", "TensorDataset", "random_split"]


class Dataset:
    """Samples by index: subclasses write ``__getitem__(index)`` and ``__len__()``."""

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: write def __getitem__(self, index): ... in it.")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__}: write def __len__(self): ... in it.")


class TensorDataset(Dataset):
    """Rows of several Tensors, which stay aligned.

    Raises:
        ValueError: the Tensors have different numbers of rows.

    Example:
        >>> len(TensorDataset(np.ones((5, 3)), np.arange(5)))
        5
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(map(constant, tensors))
        if not tensors or len({len(t) for t in self.tensors}) > 1:
            rows = ", ".join(str(len(t)) for t in self.tensors) or "none"
            raise ValueError(f"TensorDataset: the Tensors have {rows} rows; each needs the same number of them.")

    def __getitem__(self, index: Any) -> Any:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


class Subset(Dataset):
    """Some samples of a dataset, given by their indices."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, list(indices)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)


def random_split(dataset: Any, lengths: Sequence[Any], generator: Any = None) -> list[Subset]:
    """Split a dataset at random into parts of the given lengths; fractions that sum to 1 are accepted too.

    Raises:
        ValueError: the lengths do not sum to the number of samples.
    """
    n = len(dataset)
    if all(isinstance(x, float) for x in lengths) and abs(sum(lengths) - 1) < 1e-9:
        counts = [int(n * x) for x in lengths]
        lengths = [c + (k < n - sum(counts)) for k, c in enumerate(counts)]  # the first parts share the rest
    if sum(lengths) != n:
        raise ValueError(
            f"random_split: lengths {list(lengths)} sum to {sum(lengths)}; the dataset has {counted(n, 'sample')}."
        )
    order = constructors.generator_or_shared(generator).permutation(n)
    return [Subset(dataset, part.tolist()) for part in np.split(order, np.cumsum(lengths)[:-1])]


class DataLoader:
    """Batches of the samples of a dataset, as Tensors; it can be iterated repeatedly.

    Args:
        dataset: has ``__getitem__`` and ``__len__``; its samples are arrays, numbers, or nests of them.
        batch_size: how many samples a batch has; the last may have fewer, or is left out with drop_last.
        shuffle: whether each iteration has a new order, drawn from the generator.
        collate_fn: makes a batch from a list of samples.
        **options: num_workers, pin_memory and similar ones, which have no effect here.

    Raises:
        ValueError: a batch size below 1.

    Example:
        >>> loader = DataLoader(TensorDataset(np.ones((5, 3)), np.arange(5)), batch_size=2)
        >>> [(x.shape, y.tolist()) for x, y in loader]
        [((2, 3), [0, 1]), ((2, 3), [2, 3]), ((1, 3), [4])]
    """

    def __init__(
        self, dataset: Any, batch_size: int = 1, shuffle: bool = False, *, drop_last: bool = False,
        generator: Any = None, collate_fn: Callable[[list[Any]], Any] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        unknown = set(options) - {"num_workers", "pin_memory", "persistent_workers", "prefetch_factor", "timeout"}
        if unknown:
            raise TypeError(f"DataLoader: {', '.join(sorted(unknown))}: not supported; see docs/from_pytorch.md.")
        if batch_size is None:
            raise ValueError("DataLoader: batch_size=None; iterate over the dataset itself for one sample at a time.")
        self.dataset, self.batch_size = dataset, operator.index(batch_size)
        if self.batch_size < 1:
            raise ValueError(f"DataLoader: batch_size={batch_size!r}; it must be at least 1.")
        self.shuffle, self.drop_last, self.generator = shuffle, drop_last, generator
        self.collate_fn = collate_fn

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        order = constructors.generator_or_shared(self.generator).permutation(n) if self.shuffle else np.arange(n)
        for k in range(len(self)):
            rows = order[k * self.batch_size : (k + 1) * self.batch_size]
            if self.collate_fn is None and isinstance(self.dataset, TensorDataset):
                yield list(self.dataset[rows])
            else:
                yield (self.collate_fn or collate)([self.dataset[int(row)] for row in rows])


def collate(samples: list[Any]) -> Any:
    """Return samples as one batch: their arrays are stacked, in the container structure of one sample."""
    first = samples[0]
    if isinstance(first, Mapping):
        return {key: collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        return [collate(list(parts)) for parts in zip(*samples, strict=True)]
    if isinstance(first, str):
        return list(samples)
    arrays = [np.asarray(raw(x)) for x in samples]
    shapes = sorted({x.shape for x in arrays})
    if len(shapes) > 1:
        raise ValueError(
            f"DataLoader: samples of a batch have the shapes {shapes[0]} and {shapes[1]}; each needs the same. Pad "
            "them in the dataset, or give collate_fn=, a function that makes a batch of a list of samples."
        )
    odd = next((x for x, array in zip(samples, arrays, strict=True) if array.dtype.kind not in "fciub"), None)
    if any(array.dtype.kind not in "fciub" for array in arrays):
        raise TypeError(
            f"DataLoader: a sample holds {odd!r:.60} of type {type(odd).__name__}; it needs arrays, numbers, texts, or "
            "dicts, lists and tuples of them. Otherwise give collate_fn=."
        )
    return constant(np.stack(arrays))


_ELSEWHERE = {
    "ConcatDataset":   "Write a Dataset whose __getitem__ looks into one dataset after the other, or join the arrays.",
    "IterableDataset": "Write a Dataset with __getitem__ and __len__, or iterate over your generator itself.",
    **dict.fromkeys(["RandomSampler", "SequentialSampler", "Sampler", "BatchSampler", "WeightedRandomSampler",
                     "SubsetRandomSampler"], "Draw the row numbers with NumPy, and write Subset(dataset, numbers)."),
    "default_collate": "Write collate(samples).",
}  # fmt: skip


def __getattr__(name: str) -> object:
    raise no_attribute("torch.utils.data", name, __all__, _ELSEWHERE)
