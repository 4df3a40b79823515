"""The class of arrays that are being differentiated."""

from ...tensor import Tensor

ArrayBox = Tensor

__all__ = ["ArrayBox"]
