"""Known mistakes in handwritten backwards, operation by operation, each as a change of the walk back.

A mistake replaces the gradient that the rule of an operation returns by the wrong one that people write instead.
"""

from . import attention, elementwise, images, indexing, normalisation, products, recurrent, softmax, sums
from .missing_edges import cut, is_computed_from, kept_alone, uses_of, why_lost
from .mistake import FAR, FURTHER, RARE, USUAL, Mistake, Site, mistakes_at, moving, value_name

__all__ = [
    "FAR", "FURTHER", "RARE", "USUAL", "Mistake", "Site", "attention", "value_name", "cut", "elementwise", "images",
    "indexing", "is_computed_from", "kept_alone", "mistakes_at", "moving", "normalisation", "products", "recurrent",
    "softmax", "sums", "uses_of", "why_lost",
]  # fmt: skip
