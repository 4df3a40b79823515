"""Optimizers, learning rate schedules and clipping, with the definitions and defaults of ``torch.optim``.

An optimizer is a rule made of two pure functions: ``init(w)`` returns the first state, ``update(g, state, eta, w)`` a
step and the next state. The parameter then becomes ``w - step``. A state belongs to one parameter; it is a tuple of
arrays and numbers that is never modified in place. `Minimizer` keeps parameters and states for a hand-written loop.
`SGD`, `Adam` and so on do this with PyTorch's interface, and `lr_scheduler` has the schedulers for these.
"""

from ..common.spelling import no_attribute
from . import lr_scheduler
from .adaptive import adadelta, adagrad, adam, adamax, adamw, amsgrad, nadam, radam, rmsprop
from .averaged import Averaged, averaged
from .clipping import clip_by_norm, clip_by_value, clip_grad_norm_, clip_grad_value_, total_norm
from .combined import SCHEDULES, Chained, SequentialSchedule, schedule
from .descent import lion, momentum, muon, nesterov, orthogonal, sgd
from .group_optimizer import GroupOptimizer
from .minimizer import Group, Minimizer
from .optimizers import LBFGS, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Lion, Muon, NAdam, RAdam, RMSprop
from .plateau import Plateau, PlateauState
from .quasi_newton import LBFGSRule, lbfgs
from .rule import Optimizer, OptimizerState
from .schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    MultiStep,
    OneCycle,
    Polynomial,
    Schedule,
    StepDecay,
    Warmup,
)
from .table import OPTIMIZERS, optimizer

_RENAMED = {"Sequential": SequentialSchedule, "State": OptimizerState}  # names of earlier versions

__all__ = [
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Averaged",
    "Chained",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "Group",
    "GroupOptimizer",
    "LBFGS",
    "LBFGSRule",
    "Lion",
    "Minimizer",
    "MultiStep",
    "Muon",
    "NAdam",
    "OPTIMIZERS",
    "OneCycle",
    "Optimizer",
    "OptimizerState",
    "Plateau",
    "PlateauState",
    "Polynomial",
    "RAdam",
    "RMSprop",
    "SCHEDULES",
    "SGD",
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
    "averaged",
    "clip_by_norm",
    "clip_by_value",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lbfgs",
    "lion",
    "lr_scheduler",
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
    "total_norm",
]


def __getattr__(name: str) -> object:
    if name in _RENAMED:
        return _RENAMED[name]
    schedulers = {each: f"Write optim.lr_scheduler.{each}." for each in lr_scheduler.__all__}
    raise no_attribute(f"module {__name__!r}", name, __all__, schedulers)
