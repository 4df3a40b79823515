"""One-hot encoding of labels, and standardisation of columns."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.display import in_few_lines
from ..common.masked import check_unmasked
from .frames import is_missing_cell

Array = NDArray[Any]


def one_hot(labels: ArrayLike, classes: SupportsIndex | Sequence[Any] | Array | None = None) -> NDArray[np.float64]:
    """Return one-hot rows: 1 in the column of the class and 0 elsewhere.

    Args: `labels` (batch,) or (batch, 1), numbers or texts; `classes` the names in column order, or a count when the
    labels are 0, 1, ..., classes - 1; by default the different labels in sorted order.
    Returns: (batch, classes), float64.
    Raises: ValueError for no labels, NaN, a label that is not among the classes, or rows that are already one-hot.

    >>> one_hot(["cat", "dog", "cat"])
    array([[1., 0.],
           [0., 1.],
           [1., 0.]])
    >>> one_hot([2, 0], classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    check_unmasked("one_hot", labels, "labels", "it")
    values = np.asarray(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ValueError(
            f"one_hot: labels have shape {values.shape}; it needs one label per row, (batch,). If the rows are already "
            "one-hot, use them as they are."
        )
    if len(values) == 0:
        raise ValueError("one_hot: no labels; pass at least one.")
    if values.dtype.kind == "f" and np.isnan(values).any():
        row = int(np.argmax(np.isnan(values)))
        raise ValueError(f"one_hot: the label in row {row} is NaN; drop that row or fill the label in.")
    if values.dtype == object:
        _check_objects(values)
    names = _class_names(values, classes)
    column = {name: k for k, name in enumerate(names)}
    if len(column) < len(names):
        twice = next(name for k, name in enumerate(names) if column[name] != k)
        raise ValueError(f"one_hot: class {twice!r} is named twice in classes={names!r}; name each class once.")
    # classes=["0", "1"] with labels 0, 1 must fail here and not become rows of zeros
    unknown = [(row, label) for row, label in enumerate(values.tolist()) if label not in column]
    if unknown:
        row, label = unknown[0]
        known = ", ".join(map(repr, names[:20])) + (", ..." if len(names) > 20 else "")
        raise ValueError(
            f"one_hot: label {label!r} in row {row} is not among the classes {known}. "
            "Add it to classes, or correct the label."
        )
    encoded = np.zeros((len(values), len(names)))  # (batch, classes)
    encoded[np.arange(len(values)), [column[label] for label in values.tolist()]] = 1.0
    return encoded


def _check_objects(values: Array) -> None:
    """Raise a ValueError for labels that are missing, or that are numbers and texts."""
    for row, label in enumerate(values):
        if is_missing_cell(label):
            raise ValueError(f"one_hot: the label in row {row} is {label!r}; drop that row or fill the label in.")
    texts = [isinstance(label, str) for label in values]
    if any(texts) and not all(texts):
        text, other = values[texts.index(True)], values[texts.index(False)]
        raise ValueError(
            f"one_hot: the labels are texts and others, such as {text!r:.60} and {other!r:.60}. Write all as texts, "
            "[str(label) for label in labels]."
        )


def _class_names(values: Array, classes: SupportsIndex | Sequence[Any] | Array | None) -> list[Any]:
    if classes is None:
        return list(np.unique(values).tolist())
    if not isinstance(classes, SupportsIndex) or isinstance(classes, np.ndarray):
        if isinstance(classes, str):
            raise ValueError(f"one_hot: classes={classes!r} is one string; write a list of names, e.g. [{classes!r}].")
        return list(np.asarray(classes).tolist())
    count = operator.index(classes)
    if count < 1:
        raise ValueError(f"one_hot: classes={count}; there must be at least 1, e.g. classes=3 for the labels 0, 1, 2.")
    if values.dtype.kind not in "iufb":
        raise ValueError(
            f"one_hot: classes={count} is a count, for labels 0 to {count - 1}, but the labels are of type "
            f"{values.dtype}. Pass the class names instead, or leave classes out."
        )
    return list(range(count))


@dataclass(frozen=True, eq=False)
class Scaler:
    """Shift and scale each column to mean 0 and standard deviation 1: z = (x - mean) / scale.

    Args: `mean` and `scale`, (columns,), finite, `scale` > 0; usually made by `Scaler.fit(x_train)`.
    A column that never changes gets the scale 1, so that it becomes 0 and not NaN.

    >>> scaler = Scaler.fit([[1.0, 5.0], [3.0, 5.0]])
    >>> scaler.transform([[1.0, 5.0], [5.0, 6.0]])
    array([[-1.,  0.],
           [ 3.,  1.]])
    >>> scaler.to_dict()
    {'mean': [2.0, 5.0], 'scale': [1.0, 1.0]}
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __post_init__(self) -> None:
        mean, scale = np.array(self.mean, dtype=np.float64), np.array(self.scale, dtype=np.float64)
        if mean.ndim != 1 or mean.shape != scale.shape:
            raise ValueError(
                f"Scaler: mean has shape {mean.shape} and scale {scale.shape}; both need (columns,)."
            )
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError(
                f"Scaler: mean={mean.tolist()}, scale={scale.tolist()}; all must be finite and each scale above 0 "
                "(1 for a column that never changes). Make it with Scaler.fit(x)."
            )
        mean.flags.writeable = scale.flags.writeable = False
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "scale", scale)

    @classmethod
    def fit(cls, x: ArrayLike) -> Scaler:
        """The scaler of these rows, (batch, columns): mean and population standard deviation of each column."""
        check_unmasked("Scaler.fit", x, "x", "a mean")
        rows = np.asarray(x, dtype=np.float64)
        if rows.ndim != 2 or rows.size == 0:
            raise ValueError(
                f"Scaler.fit: x has shape {rows.shape}; it needs (batch, columns) with at least one row and column. "
                "Write a single column as x[:, None]."
            )
        bad = np.argwhere(~np.isfinite(rows))
        if len(bad):
            row, column = bad[0].tolist()
            raise ValueError(
                f"Scaler.fit: x[{row}, {column}] is {rows[row, column]}; a mean needs finite numbers. "
                "Drop that row or fill the value in."
            )
        constant = rows.min(axis=0) == rows.max(axis=0)
        with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond 1e150: refused just below, with a message
            mean, scale = np.where(constant, rows[0], rows.mean(axis=0)), rows.std(axis=0)
        return cls(mean, np.where(constant | (scale == 0), 1.0, scale))

    def transform(self, x: ArrayLike) -> Array:
        """Scale `x` (batch, columns); float32 stays float32."""
        rows = self._rows(x, "transform")
        return np.asarray((rows - self.mean) / self.scale, dtype=rows.dtype)

    def inverse(self, z: ArrayLike) -> Array:
        """Undo `transform`: z * scale + mean, (batch, columns)."""
        rows = self._rows(z, "inverse")
        return np.asarray(rows * self.scale + self.mean, dtype=rows.dtype)

    def __repr__(self) -> str:
        return in_few_lines("Scaler", {"mean": self.mean, "scale": self.scale})

    def to_dict(self) -> dict[str, list[float]]:
        """Plain lists, ready for JSON; `Scaler.from_dict` reads them back exactly."""
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Scaler:
        """The scaler that `to_dict` wrote."""
        missing = [name for name in ("mean", "scale") if name not in fields]
        if missing:
            raise ValueError(
                f"Scaler.from_dict: no {' and no '.join(map(repr, missing))} among the keys {sorted(fields)}; "
                "pass what Scaler.to_dict() returned."
            )
        return cls(fields["mean"], fields["scale"])

    def _rows(self, x: ArrayLike, call: str) -> Array:
        check_unmasked(f"Scaler.{call}", x, "x", "it")
        rows = np.asarray(x)
        rows = rows if rows.dtype.kind == "f" else rows.astype(np.float64)
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise ValueError(
                f"Scaler.{call}: got shape {rows.shape}; it needs (batch, {len(self.mean)}), the columns it was fitted "
                "on. Select the same columns in the same order, and write a single row as x[None, :]."
            )
        return rows
