"""Losses as modules, with PyTorch's names and options: options go to the constructor, arrays to the call."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.neural import relu
from ..ops.special import softplus
from . import losses
from .function_arguments import THEN
from .function_layers import FunctionLayer, layer_of
from .losses.reduction import check_pair, check_reduction, plain_values, reduce_values


def class_axis(scores: Any) -> int:
    """Return the axis on which PyTorch has the classes: the second, or the only one."""
    return 1 if np.ndim(scores) > 1 else 0


def cross_entropy(input: Any, target: Any, **options: Any) -> Any:
    """Return `losses.cross_entropy` with the classes on axis 1, as in PyTorch."""
    return losses.cross_entropy(input, target, axis=class_axis(input), **options)


def nll_loss(input: Any, target: Any, **options: Any) -> Any:
    """Return `losses.nll` with the classes on axis 1, as in PyTorch."""
    return losses.nll(input, target, axis=class_axis(input), **options)


def soft_margin_loss(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    """Return ln(1 + exp(-y x)) for targets y of -1 and 1."""
    x, y = check_pair("soft_margin_loss", input, target, ("input", "target"))
    return reduce_values("soft_margin_loss", softplus(-y * x), reduction)


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, *, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """Return max(0, margin - y (x1 - x2)); y is 1 if x1 should be larger, -1 if x2 should be larger."""
    call = "margin_ranking_loss"
    a, b = check_pair(call, input1, input2, ("input1", "input2"))
    a, y = check_pair(call, a, target, ("input1", "target"))
    return reduce_values(call, relu(margin - y * (a - b)), reduction)


def hinge_embedding_loss(input: Any, target: Any, *, margin: float = 1.0, reduction: str = "mean") -> Any:
    """Return x if y is 1, and max(0, margin - x) if y is -1."""
    x, y = check_pair("hinge_embedding_loss", input, target, ("input", "target"))
    return reduce_values("hinge_embedding_loss", np.where(plain_values(y) == 1, x, relu(margin - x)),
                   reduction)  # fmt: skip


class LossLayer(FunctionLayer):
    """A loss as a module; its reduction is checked when it is made."""

    reduction: str

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        more = ("batchmean",) * isinstance(self, KLDivLoss)
        check_reduction(type(self).__name__, self.reduction, (*losses.REDUCTIONS, *more))


def _loss(name: str, function: Any, text: str, /, *options: Any) -> type[FunctionLayer]:
    text += "\n\nThe options and their defaults are PyTorch's; reduction= is 'mean', 'sum' or 'none'."
    called = function.__name__
    order = THEN.get(called) or THEN["kl_div" if name == "KLDivLoss" else f"{called}_loss"]
    return layer_of(name, function, text, *options, module=__name__, called="prediction, target", order=order,
                    base=LossLayer)  # fmt: skip


_REDUCTION = ("reduction", "mean")
_WEIGHT, _IGNORED = ("weight", None), ("ignore_index", -100)
L1Loss = _loss("L1Loss", losses.l1_loss, "The mean of |x - y|.", _REDUCTION)
MSELoss = _loss("MSELoss", losses.mse_loss, "The mean of (x - y)^2 over all entries.", _REDUCTION)
SmoothL1Loss = _loss("SmoothL1Loss", losses.smooth_l1, "Huber's loss divided by beta.", _REDUCTION, ("beta", 1.0))
HuberLoss = _loss("HuberLoss", losses.huber, "Half the squared error up to delta, linear beyond.", _REDUCTION,
                  ("delta", 1.0))  # fmt: skip
CrossEntropyLoss = _loss(
    "CrossEntropyLoss", cross_entropy,
    "The cross-entropy of logits (batch, classes, ...) and class numbers (batch, ...), or probabilities of the logits' "
    "shape.", _WEIGHT, _IGNORED, _REDUCTION, ("label_smoothing", 0.0),
)  # fmt: skip
NLLLoss = _loss("NLLLoss", nll_loss, "The negative log-likelihood of log-probabilities (batch, classes, ...).",
                _WEIGHT, _IGNORED, _REDUCTION)  # fmt: skip
BCELoss = _loss("BCELoss", losses.binary_cross_entropy, "The binary cross-entropy of probabilities, entry by entry.",
                _WEIGHT, _REDUCTION)  # fmt: skip
BCEWithLogitsLoss = _loss("BCEWithLogitsLoss", losses.binary_cross_entropy_with_logits,
                          "The binary cross-entropy of sigmoid(x), finite for all x.", _WEIGHT, _REDUCTION,
                          ("pos_weight", None))  # fmt: skip
KLDivLoss = _loss("KLDivLoss", losses.kl_divergence, "The Kullback-Leibler divergence of log-probabilities from their "
                  "target; reduction='batchmean' is the divergence.", _REDUCTION, ("log_target", False))  # fmt: skip
PoissonNLLLoss = _loss("PoissonNLLLoss", losses.poisson_nll, "The negative log-likelihood of counts.",
                       ("log_input", True), ("full", False), ("eps", 1e-8), _REDUCTION)  # fmt: skip
GaussianNLLLoss = _loss("GaussianNLLLoss", losses.gaussian_nll, "The negative log-likelihood under normal "
                        "distributions: called with (mean, target, variance).", ("full", False), ("eps", 1e-6),
                        _REDUCTION)  # fmt: skip
CosineEmbeddingLoss = _loss("CosineEmbeddingLoss", losses.cosine_embedding, "1 - cos for target 1, max(0, cos - "
                            "margin) for target -1.", ("margin", 0.0), _REDUCTION)  # fmt: skip
TripletMarginLoss = _loss("TripletMarginLoss", losses.triplet_margin, "max(0, d(anchor, positive) - d(anchor, "
                          "negative) + margin).", ("margin", 1.0), ("p", 2.0), ("eps", 1e-6), ("swap", False),
                          _REDUCTION)  # fmt: skip
MultiMarginLoss = _loss("MultiMarginLoss", losses.multi_margin, "Sum over c of max(0, margin - x_y + x_c)^p / C.",
                        ("p", 1), ("margin", 1.0), _WEIGHT, _REDUCTION)  # fmt: skip
SoftMarginLoss = _loss("SoftMarginLoss", soft_margin_loss, "ln(1 + exp(-y x)) for targets -1 and 1.", _REDUCTION)
MarginRankingLoss = _loss("MarginRankingLoss", margin_ranking_loss, "max(0, margin - y (x1 - x2)).", ("margin", 0.0),
                          _REDUCTION)  # fmt: skip
HingeEmbeddingLoss = _loss("HingeEmbeddingLoss", hinge_embedding_loss, "x if y is 1, max(0, margin - x) if y "
                           "is -1.", ("margin", 1.0), _REDUCTION)  # fmt: skip
CTCLoss = _loss("CTCLoss", losses.ctc, "The negative log-probability of labels whose places in time are not known: "
                "called with (log-probabilities, labels, input_lengths, target_lengths).", ("blank", 0), _REDUCTION,
                ("zero_infinity", False))  # fmt: skip
