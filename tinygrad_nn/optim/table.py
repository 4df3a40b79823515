"""The table of optimizers by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..common.spelling import did_you_mean
from .adaptive import adadelta, adagrad, adam, adamax, adamw, amsgrad, nadam, radam, rmsprop
from .descent import lion, momentum, muon, nesterov, sgd
from .rule import Optimizer

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": sgd, "momentum": momentum, "nesterov": nesterov,
    "adam": adam, "adamw": adamw, "amsgrad": amsgrad, "nadam": nadam, "radam": radam, "adamax": adamax,
    "rmsprop": rmsprop, "adagrad": adagrad, "adadelta": adadelta, "lion": lion, "muon": muon,
}  # fmt: skip


@cache
def optimizer(name: str) -> Optimizer:
    """Look up an optimizer by its name, in any letter case, with its default hyper-parameters.

    Raises:
        ValueError: there is no such optimizer.

    Example:
        >>> optimizer("Adam")
        adam(beta1=0.9, beta2=0.999, eps=1e-08)
    """
    key = name.strip().lower()
    if key == "lbfgs":
        raise ValueError("lbfgs evaluates the loss itself; use it as Minimizer(parameters, 'lbfgs').step(closure).")
    if key not in OPTIMIZERS:
        near = did_you_mean(key, OPTIMIZERS)
        raise ValueError(f"unknown optimizer {name!r}; known are {', '.join(OPTIMIZERS)}.{near}")
    return OPTIMIZERS[key]()
