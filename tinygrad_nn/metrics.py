"""Scores of predictions: losses, R², the confusion matrix, and a classifier's accuracy, precision, recall and F1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .common.columns import pad, text_columns
from .common.masked import check_unmasked
from .common.printable import counted, printable
from .common.spelling import did_you_mean

Array = NDArray[Any]
Floats = NDArray[np.float64]

TINY = float(np.finfo(np.float64).tiny)


class Score(NamedTuple):
    """A score for each class, shape (classes,), and its unweighted mean over the classes."""

    each: Floats
    mean: float


class Accuracy(NamedTuple):
    """Shares of correct answers. `overall`, the share of rows whose class is right, is the usual accuracy.

    `each` (classes,) is for every class the share of rows where "this class or another?" is answered correctly, as in
    the Julia project. `mean` is its average; with 3 or more classes it is above `overall`, unless that is 1.
    """

    each: Floats
    mean: float
    overall: float


def loss_fct(y: ArrayLike, y_hat: ArrayLike, loss: str = "mse") -> float:
    """Return the loss of predictions, summed over outputs and divided by the number of rows N.

    mae Σ|y-ŷ|/N, mse Σ(y-ŷ)²/N, rmse √(Σ(y-ŷ)²/N), binarycrossentropy -Σ(y ln ŷ + (1-y) ln(1-ŷ))/N,
    crossentropy -Σ y ln ŷ/N, with 0 ln 0 = 0. Arguments of logarithms are at least the smallest normal number, so that
    a certain but wrong prediction costs 708 instead of infinity.

    Args: `y` (batch, n_out) the truth and `y_hat` (batch, n_out) the prediction, or both (batch,); `loss` a name in
    any letter case. Returns: a float.
    Raises: ValueError for unequal shapes, no rows, NaN, an unknown loss, or a cross-entropy outside [0, 1].

    >>> loss_fct([1.0, 2.0], [1.0, 4.0], "mse")
    2.0
    >>> round(loss_fct([[1, 0], [0, 1]], [[0.5, 0.5], [0.5, 0.5]], loss="crossentropy"), 4)
    0.6931
    """
    name = str(loss).lower()
    if name not in LOSSES:
        near = did_you_mean(name, LOSSES)
        raise ValueError(f"loss_fct: unknown loss {loss!r:.60}; known losses are {', '.join(LOSSES)}.{near}")
    truth, guess = _pair(y, y_hat, "loss_fct")
    if name.endswith("crossentropy"):
        for word, values in (("y", truth), ("y_hat", guess)):
            if values.min() < 0 or values.max() > 1 + 1e-6:
                worst = values.flat[np.argmax(np.abs(values - 0.5))]
                raise ValueError(
                    f"loss_fct: {name} needs probabilities, and {word} holds {worst:g}, which is outside [0, 1]. "
                    + ("Encode labels with one_hot(y)." if word == "y" else "Pass y_hat after softmax or sigmoid.")
                )
        guess = np.minimum(guess, 1.0)  # a float32 probability may round above 1
    return float(LOSSES[name](truth, guess))


def _log(p: Floats) -> Floats:
    return np.log(np.maximum(p, TINY))


LOSSES: dict[str, Callable[[Floats, Floats], Any]] = {
    "mae":                lambda y, p: np.abs(y - p).sum() / len(y),
    "mse":                lambda y, p: np.square(y - p).sum() / len(y),
    "rmse":               lambda y, p: np.sqrt(np.square(y - p).sum() / len(y)),
    "binarycrossentropy": lambda y, p: -(y * _log(p) + (1 - y) * _log(1 - p)).sum() / len(y),
    "crossentropy":       lambda y, p: -(y * _log(p)).sum() / len(y),
}


def r2_score(y: ArrayLike, y_hat: ArrayLike) -> float:
    """Return the share of the target's variance that the prediction explains: R² = 1 - Σ(y-ŷ)²/Σ(y-ȳ)².

    1 is perfect, 0 is no better than predicting the mean ȳ, below 0 is worse. The scores of several target columns are
    averaged. A constant column has no variance to explain: it scores 1 if predicted exactly and 0 otherwise.

    Args: `y` and `y_hat`, (batch,) or (batch, n_out). Returns: a float.
    Raises: ValueError for unequal shapes, no rows or NaN.

    >>> r2_score([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    truth, guess = _pair(y, y_hat, "r2_score")
    residual = np.square(truth - guess).sum(axis=0)  # (n_out,)
    constant = truth.min(axis=0) == truth.max(axis=0)
    total = np.square(truth - truth.mean(axis=0)).sum(axis=0)
    total = np.where(constant | (total == 0), 0.0, total)
    explained = 1 - np.divide(residual, total, out=(residual > 0).astype(np.float64), where=total > 0)
    return float(explained.mean())


def cm(y: ArrayLike, y_hat: ArrayLike, classes: Sequence[Any] | None = None) -> NDArray[np.int64]:
    """Return the confusion matrix: entry [i, j] counts the rows of true class i that were predicted as class j.

    Args: `y` the truth and `y_hat` the prediction, each as labels (batch,) or (batch, 1), or as a row of scores for
    each sample (batch, classes), where the class of the largest score counts (the first of equal ones). A single column
    of fractions holds probabilities of class 1, which is predicted from 0.5 on. `classes` are the labels in the order
    of the matrix; by default the labels that occur, sorted. All classification scores here take these three arguments.
    Returns: (classes, classes) int64. Raises: ValueError for unequal rows, no rows, NaN, or labels not in `classes`.

    >>> cm([0, 0, 1, 2], [[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.1, 0.7, 0.2], [0.3, 0.3, 0.4]])
    array([[1, 1, 0],
           [0, 1, 0],
           [0, 0, 1]])
    """
    truth, width = _labels(y, "y")
    guess, guessed_width = _labels(y_hat, "y_hat")
    if len(truth) != len(guess):
        raise ValueError(
            f"cm: y has {counted(len(truth), 'row')} (shape {np.shape(y)}) and y_hat {len(guess)} (shape "
            f"{np.shape(y_hat)}); each row needs its prediction. Pass the y of the x that was predicted."
        )
    if width and guessed_width and width != guessed_width:
        raise ValueError(
            f"cm: y has {counted(width, 'column')} and y_hat {guessed_width}; both need one column per class. "
            f"Encode y with one_hot(labels, classes={guessed_width})."
        )
    columns = width or guessed_width
    names = _class_list(truth, guess, columns, classes)
    row = {name: k for k, name in enumerate(names)}
    numbers = [
        values if values_width else np.array([_index(row, name, label) for label in values.tolist()], dtype=np.intp)
        for name, values, values_width in (("y", truth, width), ("y_hat", guess, guessed_width))
    ]
    counts = np.bincount(numbers[0] * len(names) + numbers[1], minlength=len(names) ** 2)
    return counts.reshape(len(names), len(names)).astype(np.int64)  # (classes, classes)


def accuracy_score(y: ArrayLike, y_hat: ArrayLike, classes: Sequence[Any] | None = None) -> Accuracy:
    """Return the share of rows whose class is right, as `.overall`; see `Accuracy` for `.each` and `.mean`.

    >>> accuracy_score([0, 0, 1, 2], [0, 1, 1, 2])
    Accuracy(each=array([0.75, 0.75, 1.  ]), mean=0.8333333333333334, overall=0.75)
    """
    matrix = cm(y, y_hat, classes)
    hit, rows = np.diag(matrix), matrix.sum()
    each = (rows - matrix.sum(axis=0) - matrix.sum(axis=1) + 2 * hit) / rows  # (TP + TN) / N
    return Accuracy(each, float(each.mean()), float(hit.sum() / rows))


def precision_score(y: ArrayLike, y_hat: ArrayLike, classes: Sequence[Any] | None = None) -> Score:
    """Return for each class the share of rows predicted as it that belong to it: TP/(TP+FP); 0 if never predicted.

    >>> precision_score([0, 0, 1, 2], [0, 1, 1, 1])
    Score(each=array([1.        , 0.33333333, 0.        ]), mean=0.4444444444444444)
    """
    matrix = cm(y, y_hat, classes)
    return _score(np.diag(matrix), matrix.sum(axis=0))


def recall_score(y: ArrayLike, y_hat: ArrayLike, classes: Sequence[Any] | None = None) -> Score:
    """Return for each class the share of its rows that were predicted as it: TP/(TP+FN); 0 for a class without rows.

    >>> recall_score([0, 0, 1], [0, 1, 1])
    Score(each=array([0.5, 1. ]), mean=0.75)
    """
    matrix = cm(y, y_hat, classes)
    return _score(np.diag(matrix), matrix.sum(axis=1))


def f1_score(y: ArrayLike, y_hat: ArrayLike, classes: Sequence[Any] | None = None) -> Score:
    """Return for each class the harmonic mean of precision and recall: 2TP/(2TP+FP+FN); 0 if no row was right.

    >>> f1_score([0, 0, 1], [0, 1, 1])
    Score(each=array([0.66666667, 0.66666667]), mean=0.6666666666666666)
    """
    matrix = cm(y, y_hat, classes)
    return _score(2 * np.diag(matrix), matrix.sum(axis=0) + matrix.sum(axis=1))


def format_cm(matrix: ArrayLike, names: Sequence[Any] | None = None) -> str:
    """Return the confusion matrix as a text table, like the one that the Julia project prints.

    Args: `matrix` (classes, classes) counts; `names` of the classes. Without names, or if the table would be wider than
    80 columns, classes are (1), (2), ... and names are listed below. Returns: lines without a final newline.

    >>> print(format_cm([[10, 0], [2, 8]], ["no", "yes"]))
    Confusion matrix (row: actual, column: predicted)
    ------------------
    |     | no | yes |
    ------------------
    | no  | 10 |   0 |
    ------------------
    | yes |  2 |   8 |
    ------------------
    """
    counts = np.asarray(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.size == 0:
        raise ValueError(f"format_cm: matrix has shape {counts.shape}; it needs (classes, classes), the result of cm.")
    if names is not None and len(names) != len(counts):
        raise ValueError(
            f"format_cm: {counted(len(names), 'name')} for a matrix of {len(counts)} classes; pass one name per "
            "class, in its order."
        )
    numbers = [f"({k})" for k in range(1, len(counts) + 1)]
    heads = numbers if names is None else [printable(name) for name in names]
    lines = _table(counts, heads)
    if names is not None and len(lines[0]) > 80:
        lines = [*_table(counts, numbers), *(f"{number} {name}" for number, name in zip(numbers, heads, strict=True))]
    return "\n".join(["Confusion matrix (row: actual, column: predicted)", *lines])


def _table(counts: Array, heads: list[str]) -> list[str]:
    first = max(map(text_columns, heads))
    columns = zip(heads, counts.T, strict=True)
    widths = [max(text_columns(head), *(len(str(n)) for n in column)) for head, column in columns]
    rows = [["", *heads], *([head, *map(str, row)] for head, row in zip(heads, counts.tolist(), strict=True))]
    texts = [
        " | ".join([pad(row[0], first), *(pad(cell, w, right=True) for cell, w in zip(row[1:], widths, strict=True))])
        for row in rows
    ]
    texts = [f"| {text} |" for text in texts]
    rule = "-" * text_columns(texts[0])
    return [rule, *(line for text in texts for line in (text, rule))]


def _score(part: Array, total: Array) -> Score:
    each = np.divide(part, total, out=np.zeros(len(part)), where=total > 0)  # (classes,)
    return Score(each, float(each.mean()))


def _pair(y: ArrayLike, y_hat: ArrayLike, call: str) -> tuple[Floats, Floats]:
    """Return both as float64 matrices of the same shape (batch, n_out); shape (batch,) becomes one column."""
    truth, guess = _numbers(y, "y", call), _numbers(y_hat, "y_hat", call)
    if truth.shape[:1] != guess.shape[:1] or truth[0].size != guess[0].size:
        # shapes are compared because (batch,) - (batch, 1) would silently broadcast to a (batch, batch) matrix
        labels = truth.size == len(guess) and guess[0].size > 1
        fix = f"Encode labels with one_hot(y, classes={guess[0].size})." if labels else "Pass the y of that prediction."
        raise ValueError(f"{call}: y has shape {np.shape(y)} and y_hat {np.shape(y_hat)}; they must be the same. {fix}")
    return truth.reshape(len(truth), -1), guess.reshape(len(guess), -1)


def _numbers(values: ArrayLike, word: str, call: str) -> Floats:
    check_unmasked(call, values, word, "a score")
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise ValueError(
            f"{call}: {word} is of type {array.dtype}; it needs numbers. Encode class names with one_hot({word})."
        )
    _check(array, word, call)
    return array.astype(np.float64)


def _check(array: Array, word: str, call: str) -> None:
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{call}: {word} has shape {array.shape}; it needs one row per sample, and at least one.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise ValueError(
            f"{call}: {word}[{', '.join(map(str, place))}] is {array[place]}; scores need finite numbers. "
            + ("Drop that row." if word == "y" else "Look where the training diverged: try a smaller learning rate.")
        )


def _labels(values: ArrayLike, word: str) -> tuple[Array, int]:
    """Return labels (batch,), and the number of score columns they were read from, or 0 if they were labels already."""
    check_unmasked("cm", values, word, "a score")
    array = np.asarray(values)
    if array.dtype == object and all(isinstance(label, str) for label in array.flat):  # texts of pandas
        array = array.astype(str)
    if array.dtype.kind not in "iufbUS":
        raise ValueError(
            f"cm: {word} is of type {array.dtype}; it needs labels that are all numbers or all texts, or a matrix."
        )
    _check(array, word, "cm")
    if array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind in "iufb":
        sums = array.sum(axis=1)
        if word == "y" and (array.min() < 0 or np.abs(sums - 1).max() > 1e-6):
            row = int(np.argmax((array < 0).any(axis=1) | (np.abs(sums - 1) > 1e-6)))
            raise ValueError(
                f"cm: row {row} of y is {array[row].tolist()}, which is not one-hot (one 1, the rest 0). "
                "Encode labels with one_hot(labels)."
            )
        return np.argmax(array, axis=1), array.shape[1]
    if array.ndim > 2 or (array.ndim == 2 and array.shape[1] > 1):
        raise ValueError(
            f"cm: {word} has shape {array.shape} and type {array.dtype}; it needs labels (batch,) or numbers "
            "(batch, classes)."
        )
    array = array.reshape(-1)
    if array.dtype.kind == "f":
        if (array != np.round(array)).any():
            if array.min() < 0 or array.max() > 1:
                raise ValueError(
                    f"cm: {word} holds {array[array != np.round(array)][0]:g}, which is not a class: one column is "
                    "either labels, or probabilities of class 1 in [0, 1]. For a regression use r2_score."
                )
            array = array >= 0.5
        array = array.astype(np.int64)
    return (array.astype(np.int64) if array.dtype.kind == "b" else array), 0


def _class_list(truth: Array, guess: Array, columns: int, classes: Sequence[Any] | None) -> list[Any]:
    if classes is not None:
        names = np.asarray(classes).tolist()
        if len(set(names)) != len(names) or (columns and len(names) != columns):
            wanted = f"{columns} different names, one per column" if columns else "each name once"
            raise ValueError(f"cm: classes={classes!r}; it needs {wanted}.")
        return list(names)
    kinds = {values.dtype.kind in "US" for values in (truth, guess)}
    if len(kinds) == 2:
        raise ValueError(
            "cm: one of y and y_hat holds class names and the other numbers; pass classes=[...], the names in the "
            "order of the columns, or compare names with names."
        )
    return list(range(columns)) if columns else np.union1d(truth, guess).tolist()


def _index(row: dict[Any, int], word: str, label: Any) -> int:
    if label not in row:
        known = ", ".join(map(repr, list(row)[:20])) + (", ..." if len(row) > 20 else "")
        raise ValueError(
            f"cm: {word} holds the label {label!r}, which is not among the classes {known}. "
            "Correct the label, or name all classes in classes=[...]."
        )
    return row[label]
