"""Losses and penalties, composed of declared operations: they work on arrays, and are recorded on Tensors.

`LOSSES` are the five that a `Solver` knows by name: sums divided by the number of rows. All others are functions
``loss(prediction, target, *, options, reduction="mean")`` with the definitions of PyTorch. A `Solver` takes these
functions directly, or with options through ``functools.partial``. The definitions are listed in `docs/losses.md`.
"""

from ...common.spelling import no_attribute as _no_attribute
from .classes import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    binary_focal,
    cross_entropy,
    focal,
    hinge,
    multi_margin,
    nll,
    squared_hinge,
)
from .named import (
    FROM_Z,
    LOSSES,
    PENALTIES,
    binarycrossentropy,
    binarycrossentropy_softmax,
    crossentropy,
    crossentropy_sigmoid,
    elasticnet,
    l1,
    l2,
    mae,
    mse,
    rmse,
)
from .reduction import REDUCTIONS
from .sequences import ctc
from .values import (
    cosine_embedding,
    gaussian_nll,
    huber,
    kl_divergence,
    l1_loss,
    mse_loss,
    poisson_nll,
    smooth_l1,
    triplet_margin,
)

__all__ = [
    "FROM_Z",
    "LOSSES",
    "PENALTIES",
    "REDUCTIONS",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "binary_focal",
    "binarycrossentropy",
    "binarycrossentropy_softmax",
    "cosine_embedding",
    "cross_entropy",
    "crossentropy",
    "crossentropy_sigmoid",
    "ctc",
    "elasticnet",
    "focal",
    "gaussian_nll",
    "hinge",
    "huber",
    "kl_divergence",
    "l1",
    "l1_loss",
    "l2",
    "mae",
    "mse",
    "mse_loss",
    "multi_margin",
    "nll",
    "poisson_nll",
    "rmse",
    "smooth_l1",
    "squared_hinge",
    "triplet_margin",
]


def __getattr__(name: str) -> object:
    raise _no_attribute(f"module {__name__!r}", name, __all__)
