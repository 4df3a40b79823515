"""Distances of vectors as modules, with PyTorch's names and options."""

from __future__ import annotations

from . import functional
from .function_layers import layer_of

CosineSimilarity = layer_of("CosineSimilarity", functional.cosine_similarity,
    "The cosine of the angle between vectors along dim; lengths below eps are replaced by eps.",
    ("dim", 1), ("eps", 1e-8), module=__name__, called="x1, x2")  # fmt: skip
PairwiseDistance = layer_of("PairwiseDistance", functional.pairwise_distance,
    "The p-norm of x1 - x2 + eps along the last axis.",
    ("p", 2.0), ("eps", 1e-6), ("keepdim", False), module=__name__, called="x1, x2")  # fmt: skip
