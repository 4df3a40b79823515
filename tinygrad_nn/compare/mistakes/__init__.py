"""Known mistakes in handwritten backwards, operation by operation, each as a change of the walk back.

A mistake is a function that returns a wrong gradient in place of that of a rule. For ``y = exp(x)`` the rule returns
``g * y``; the mistake "the gradient is passed through exp without its derivative" returns ``g``. Such a function gets a
`Site`: the operation that the walk back has reached, with its arguments, its result and the gradient ``g`` of the
result. Each module has the mistakes of a family of operations. A function marked ``@finds("exp")`` yields those at the
operations of this name, and one marked ``@finds()`` those at any operation.
"""

from . import attention, elementwise, images, indexing, normalisation, products, recurrent, softmax, sums
from .missing_edges import cut, is_computed_from, kept_alone, uses_of, why_lost
from .mistake import (
    FAR,
    FURTHER,
    RARE,
    USUAL,
    Mistake,
    Site,
    argument_name,
    differentiated_arguments,
    mistakes_at,
    value_name,
)

__all__ = [
    "FAR",
    "FURTHER",
    "RARE",
    "USUAL",
    "Mistake",
    "Site",
    "argument_name",
    "attention",
    "value_name",
    "cut",
    "elementwise",
    "images",
    "indexing",
    "is_computed_from",
    "kept_alone",
    "mistakes_at",
    "differentiated_arguments",
    "normalisation",
    "products",
    "recurrent",
    "softmax",
    "sums",
    "uses_of",
    "why_lost",
]
