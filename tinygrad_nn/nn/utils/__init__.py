"""The contents of ``torch.nn.utils``: clipping of the gradients of parameters, and padding of sequences."""

from ...common.spelling import no_attribute as _no_attribute
from ...optim.clipping import clip_grad_norm_, clip_grad_value_
from ...optim.clipping import total_norm as get_total_norm
from . import rnn

_ABSENT = {
    "parameters_to_vector": "Write np.concatenate([p.ravel() for p in model.parameters()]).",
    "vector_to_parameters": "Give each parameter its part of the vector: p.data = part.reshape(p.shape).",
    **dict.fromkeys(["weight_norm", "spectral_norm", "parametrize", "parametrizations"],
                    "Compute the weight in forward, from parameters of your own Module."),
}  # fmt: skip

__all__ = ["clip_grad_norm_", "clip_grad_value_", "get_total_norm", "rnn"]


def __getattr__(name: str) -> object:
    raise _no_attribute(f"module {__name__!r}", name, __all__, _ABSENT)
