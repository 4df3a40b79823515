"""The contents of ``torch.nn.utils``: clipping of the gradients of parameters."""

from ..optim.clipping import clip_grad_norm_, clip_grad_value_
from ..optim.clipping import total_norm as get_total_norm
from ..spelling import no_attribute as _no_attribute

__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm"]


def __getattr__(name: str) -> object:
    raise _no_attribute(f"module {__name__!r}", name, __all__)
