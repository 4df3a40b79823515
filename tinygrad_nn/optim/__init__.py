"""Optimizers, learning rate schedules and clipping, with the definitions and defaults of ``torch.optim``.

An optimizer is a pair of pure functions: ``init(w)`` gives the first state, ``update(g, state, eta, w)`` a step and the
next state. The parameter then becomes ``w - step``. A state belongs to one parameter and is a tuple of arrays and
numbers that is never written into. `Minimizer` holds the states for a loop written by hand.
"""

from .adaptive import adadelta, adagrad, adam, adamax, adamw, amsgrad, nadam, radam, rmsprop
from .clipping import clip_by_norm, clip_by_value
from .combined import SCHEDULES, Chained, SequentialSchedule, schedule
from .descent import lion, momentum, muon, nesterov, orthogonal, sgd
from .minimizer import Group, Minimizer
from .plateau import Plateau, PlateauState
from .quasi_newton import LBFGS, lbfgs
from .rule import Optimizer, OptimizerState
from .schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    MultiStep,
    OneCycle,
    Schedule,
    StepDecay,
    Warmup,
)
from .table import OPTIMIZERS, optimizer

_RENAMED = {"Sequential": SequentialSchedule, "State": OptimizerState}  # names of earlier versions

__all__ = [
    "Chained",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "Group",
    "LBFGS",
    "Minimizer",
    "MultiStep",
    "OPTIMIZERS",
    "OneCycle",
    "Optimizer",
    "OptimizerState",
    "Plateau",
    "PlateauState",
    "SCHEDULES",
    "Schedule",
    "SequentialSchedule",
    "StepDecay",
    "Warmup",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "amsgrad",
    "clip_by_norm",
    "clip_by_value",
    "lbfgs",
    "lion",
    "momentum",
    "muon",
    "nadam",
    "nesterov",
    "optimizer",
    "orthogonal",
    "radam",
    "rmsprop",
    "schedule",
    "sgd",
]


def __getattr__(name: str) -> object:
    if name in _RENAMED:
        return _RENAMED[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
