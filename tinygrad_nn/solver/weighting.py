"""Class weights: how much the rows of each class count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .settings import Solver

Array = np.ndarray[Any, Any]


def weighted(call: str, weight: Any, y: Any, solver: Solver) -> Any:
    r"""Return one-hot targets whose rows are scaled by the weight of their class.

    .. math:: L = -\frac{1}{N} \sum_n \sum_k w_k\, y_{nk} \ln \hat y_{nk}, \qquad
              w_k = \frac{N}{K \sum_n y_{nk}} \text{ (balanced)}
    """
    if weight is None:
        return y
    if solver.loss != "crossentropy":
        raise ValueError(
            f"{call}: class_weight works with the loss 'crossentropy'; the solver has {solver.loss!r:.60}. Weigh the "
            "classes inside the loss, as in functools.partial(cross_entropy, weight=w)."
        )
    classes = y.shape[-1]
    if isinstance(weight, str):
        if weight != "balanced":
            raise ValueError(f"{call}: class_weight={weight!r}; known is 'balanced', or a number for each class.")
        counts = y.reshape(-1, classes).sum(axis=0)
        if (counts == 0).any():
            raise ValueError(
                f"{call}: class {int((counts == 0).argmax())} has no rows, so its balanced weight would be infinite. "
                "Give a number for each class."
            )
        w = counts.sum() / (classes * counts)
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
    return (y * w).astype(y.dtype)
