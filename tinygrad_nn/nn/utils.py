"""What PyTorch keeps in ``torch.nn.utils``: clipping of the gradients of parameters."""

from ..optim.clipping import clip_grad_norm_, clip_grad_value_
from ..optim.clipping import total_norm as get_total_norm

__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm"]
