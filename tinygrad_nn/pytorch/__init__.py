"""tinygrad_nn under PyTorch's names: with ``import tinygrad_nn.pytorch as torch`` many PyTorch scripts run unchanged.

This is a thin layer: constructors make a `Tensor`, functions are NumPy's with ``dim`` instead of ``axis``. Numbers are
float64 unless a dtype is given, and the only device is the CPU. The end of ``docs/from_pytorch.md`` lists what is
missing.

Example:
    >>> import tinygrad_nn.pytorch as torch
    >>> w = torch.ones(2, requires_grad=True)
    >>> loss = torch.cat([w, 3 * w], dim=0).sum()
    >>> loss.backward()
    >>> w.grad
    array([4., 4.])
"""

from sys import modules as _modules
from types import SimpleNamespace as _SimpleNamespace
from typing import Any as _Any

import numpy as _np

from .. import nn, optim
from ..common.spelling import ELSEWHERE, no_attribute, numpy_hint
from ..custom import checkpoint as _checkpoint
from ..node import no_grad, recording, recording_in, thread
from . import autograd, constructors, data, distributions, functions
from .derivatives import func, vmap
from .functions import fft, linalg
from .missing_names import ABSENT
from .saving import load, save
from .special_functions import IN_TORCH
from .special_functions import namespace as special

pi, e, inf, nan, newaxis = _np.pi, _np.e, _np.inf, _np.nan, None


class Tensor(metaclass=constructors.TensorType):
    """PyTorch's type, which every Tensor is an instance of; ``torch.Tensor(data)`` is a constant of float64."""


def _checkpointed(function: _Any, *args: _Any, use_reentrant: _Any = None, **options: _Any) -> _Any:
    """Return ``function(*args)`` without keeping its intermediate results, which `backward` computes again."""
    return _checkpoint(function)(*args)


utils = autograd.Names("torch.utils", data=data, checkpoint=_SimpleNamespace(checkpoint=_checkpointed))


def is_grad_enabled() -> bool:
    """Tell whether operations are recorded here."""
    return bool(thread.mode.grad)


cuda = _SimpleNamespace(
    is_available=lambda: False, device_count=lambda: 0, manual_seed=lambda seed: None, manual_seed_all=lambda seed: None
)
accelerator = _SimpleNamespace(
    is_available=lambda: False, current_accelerator=lambda check_available=False: None, device_count=lambda: 0
)
backends = _SimpleNamespace(
    mps=_SimpleNamespace(is_available=lambda: False, is_built=lambda: False),
    cudnn=_SimpleNamespace(is_available=lambda: False, enabled=False, benchmark=False, deterministic=True),
)


def enable_grad(function: _Any = None) -> _Any:
    """Record operations inside this block, also within `no_grad`; or inside a function, as a decorator."""
    return recording(True) if function is None else recording_in(function, True, "enable_grad")


def inference_mode(mode: _Any = True) -> _Any:
    """Record no operations inside this block if `mode` is true, as `no_grad`; or inside a function, as a decorator."""
    return recording_in(mode, False, "inference_mode") if callable(mode) else recording(not mode)


def set_grad_enabled(mode: bool) -> _Any:
    """Record operations inside this block if `mode` is true, else do not."""
    return recording(mode)


__all__ = [
    "Tensor", "accelerator", "autograd", "backends", "cuda", "data", "distributions", "enable_grad", "fft", "func",
    "inference_mode", "is_grad_enabled", "linalg", "load", "nn", "no_grad", "optim", "save", "set_grad_enabled",
    "special", "utils", "vmap",
]  # fmt: skip

# Namespaces that are no files of this folder, so that their import lines work too: from torch.func import grad.
for _path, _namespace in {
    "autograd.functional": autograd.functional, "fft": fft, "func": func, "linalg": linalg, "nn": nn,
    "nn.functional": nn.functional, "nn.init": nn.init, "nn.utils": nn.utils, "nn.utils.rnn": nn.utils.rnn,
    "optim": optim,
    "optim.lr_scheduler": optim.lr_scheduler, "special": special, "utils": utils, "utils.data": data,
}.items():  # fmt: skip
    _modules[f"{__name__}.{_path}"] = _namespace  # type: ignore[assignment]  # Python imports any object that stands there


def __getattr__(name: str) -> _Any:
    if name in constructors.__all__:
        return getattr(constructors, name)
    if name in functions.FUNCTIONS:
        return functions.FUNCTIONS[name]
    if name in IN_TORCH:
        return getattr(special, IN_TORCH[name])
    hints = {**ELSEWHERE, **ABSENT}
    if name not in hints and (hint := numpy_hint(name)):
        hints[name] = hint
    raise no_attribute(f"module {__name__!r}", name, __dir__(), hints)


def __dir__() -> list[str]:
    names = {*__all__, *constructors.__all__, *functions.FUNCTIONS, *IN_TORCH}
    return sorted(names | {"pi", "e", "inf", "nan", "newaxis"})
