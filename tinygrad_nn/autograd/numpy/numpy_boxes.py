"""autograd's name for the class of arrays that are being differentiated: ArrayBox is Tensor."""

from ...tensor import Tensor

ArrayBox = Tensor

__all__ = ["ArrayBox"]
