"""Class weights: the factor of each class in the loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..settings import Solver

Array = np.ndarray[Any, Any]


def class_weights(call: str, weight: Any, y: Any, solver: Solver) -> Any:
    r"""Return one weight per class, with which its rows count in the loss, or ``None`` if none are asked for.

    .. math:: L = -\frac{1}{N} \sum_n \sum_k w_k\, y_{nk} \ln \hat y_{nk}, \qquad
              w_k = \frac{N}{K \sum_n y_{nk}} \text{ (balanced)}
    """
    if weight is None:
        return None
    if solver.loss != "crossentropy":
        raise ValueError(
            f"{call}: class_weight works with the loss 'crossentropy', and with losses of labels that take weight=; "
            f"the solver has {solver.loss!r:.60}. Weight the classes inside the loss."
        )
    if not isinstance(y, np.ndarray) or y.ndim < 2:
        raise ValueError(f"{call}: class_weight needs one-hot targets; encode labels with tinygrad_nn.data.one_hot(y).")
    return _weight_per_class(call, weight, y.reshape(-1, y.shape[-1]).sum(axis=0))


def takes_weight(loss: Any) -> bool:
    """Return whether a loss has an argument ``weight`` for class weights."""
    try:
        return "weight" in inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return False


def weighted_loss(call: str, weight: Any, labels: Array, loss: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """Return a loss of labels with class weights; the number of classes is taken from the output."""
    known: dict[int, Array] = {}

    def weighed(output: Any, y: Any) -> Any:
        classes = output.shape[-1]
        if classes not in known:
            known[classes] = _weight_per_class(call, weight, np.bincount(labels.ravel(), minlength=classes)[:classes])
        return loss(output, y, weight=known[classes].astype(output.dtype))

    return weighed


def _weight_per_class(call: str, weight: Any, counts: Array) -> Array:
    """Return one weight per class; `counts` are the numbers of rows of the classes."""
    classes = len(counts)
    if isinstance(weight, str):
        if weight != "balanced":
            raise ValueError(f"{call}: class_weight={weight!r}; it must be 'balanced', or a number for each class.")
        if (counts == 0).any():
            raise ValueError(
                f"{call}: class {int((counts == 0).argmax())} has no rows, so its balanced weight would be infinite. "
                "Give a number for each class."
            )
        w = np.asarray(counts.sum() / (classes * counts))
    else:
        if isinstance(weight, Mapping):
            unknown = [key for key in weight if key not in range(classes)]
            if unknown:
                raise ValueError(f"{call}: class_weight has {unknown[0]!r}; the classes are 0 to {classes - 1}.")
            weight = [weight.get(k, 1.0) for k in range(classes)]
        w = np.asarray(weight, dtype=float)
        if w.shape != (classes,) or not (np.isfinite(w) & (w >= 0)).all():
            raise ValueError(
                f"{call}: class_weight={weight!r:.80}; it needs {classes} finite numbers of at least 0, one for each "
                "class."
            )
    return w
