"""Class weights: the factor of each class in the loss."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ...nn import functional
from ...nn.losses import binary_cross_entropy, binary_cross_entropy_with_logits
from ...nn.module import Module
from ..settings import Solver

Array = np.ndarray[Any, Any]
_OF_ENTRIES = (  # losses whose weight= is for entries instead of classes
    binary_cross_entropy, binary_cross_entropy_with_logits,
    functional.binary_cross_entropy, functional.binary_cross_entropy_with_logits,
)  # fmt: skip
_ON_AXIS_1 = functional.cross_entropy, functional.nll_loss  # losses with the classes on axis 1, as in PyTorch


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
            f"the solver has {_loss_text(solver.loss)}. Weight the classes inside the loss{_example(solver.loss)}."
        )
    if not isinstance(y, np.ndarray) or y.ndim < 2:
        raise ValueError(f"{call}: class_weight needs one-hot targets; encode labels with tinygrad_nn.data.one_hot(y).")
    return _weight_per_class(call, weight, y.reshape(-1, y.shape[-1]).sum(axis=0))


def takes_weight(loss: Any) -> bool:
    """Return whether a loss is a function of labels with an argument ``weight`` for class weights."""
    inner = _without_options(loss)
    if isinstance(inner, Module) or any(inner is known for known in _OF_ENTRIES):
        return False
    if any(inner is known for known in _ON_AXIS_1):
        return True
    try:
        return "weight" in inspect.signature(loss).parameters
    except (TypeError, ValueError):
        return False


def weighted_loss(call: str, weight: Any, labels: Array, loss: Callable[..., Any]) -> Callable[[Any, Any], Any]:
    """Return a loss of labels with class weights; the number of classes is taken from the output."""
    given = _options(loss)
    if given.get("weight") is not None:
        raise ValueError(f"{call}: the loss has weights of the classes, weight=; leave them or class_weight out.")
    axis = given.get("axis", given.get("dim", -1))
    if any(_without_options(loss) is known for known in _ON_AXIS_1):
        axis = 1
    weight_per_class: dict[int, Array] = {}

    def weighed(output: Any, y: Any) -> Any:
        classes = output.shape[axis] if output.ndim > 1 else output.shape[-1]
        if classes not in weight_per_class:
            of_classes = labels[(labels >= 0) & (labels < classes)]  # others are ignored, or the loss raises
            counts = np.bincount(of_classes.astype(np.intp, copy=False), minlength=classes)
            weight_per_class[classes] = _weight_per_class(call, weight, counts)
        return loss(output, y, weight=weight_per_class[classes].astype(output.dtype))

    return weighed


def _options(loss: Any) -> dict[str, Any]:
    """Return the options that ``partial`` gives a loss."""
    return {**_options(loss.func), **loss.keywords} if isinstance(loss, partial) else {}


def _without_options(loss: Any) -> Any:
    """Return the function inside ``partial``s."""
    while isinstance(loss, partial):
        loss = loss.func
    return loss


def _loss_text(loss: Any) -> str:
    return repr(loss) if isinstance(loss, str) else getattr(_without_options(loss), "__name__", f"{loss!r:.60}")


def _example(loss: Any) -> str:
    """Return the options with which a loss weights classes, as an example, or an empty text."""
    inner = _without_options(loss)
    if isinstance(inner, Module) and hasattr(inner, "weight") and not hasattr(inner, "pos_weight"):
        return f", {type(inner).__name__}(weight=[1.0, 2.0])"
    if "pos_weight" in vars(inner) if isinstance(inner, Module) else "with_logits" in getattr(inner, "__name__", ""):
        return ": pos_weight=2.0 counts class 1 twice"
    return ""


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
        try:
            w = np.asarray(weight, dtype=float)
        except (TypeError, ValueError):
            w = np.array(np.nan)
        if w.shape != (classes,) or not (np.isfinite(w) & (w >= 0)).all():
            raise ValueError(
                f"{call}: class_weight={weight!r:.80}; it needs {classes} finite numbers of at least 0, one for each "
                "class."
            )
        if not w.any():
            raise ValueError(f"{call}: class_weight={weight!r:.80} leaves nothing to learn; one must be above 0.")
    return w
