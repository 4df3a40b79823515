"""CppAD and ADOL-C, where their headers are installed, on the same objectives in C++."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from . import by_hand, objectives
from .evaluations import EVALUATIONS, Problem, Task

OPTIONS = {"CppAD": ("-lcppad_lib",), "ADOL-C": ("-DADOLC", "-ladolc")}
SIZES: dict[str, Callable[[Any, Problem], tuple[Any, ...]]] = {  # what a tape is made of besides the variables
    "gmm": lambda given, problem: (
        *problem.arguments[4].shape, len(problem.arguments[0]), float(given["m"]), float(given["gamma"]),
        problem.arguments[4],
    ),
    "lstm": lambda given, problem: (
        len(problem.arguments[0]) // 2, *problem.arguments[3].shape, *problem.arguments[2:],
    ),
    "lse": lambda given, problem: (),
    "llsq": lambda given, problem: (int(given["n"]),),
    "ode": lambda given, problem: (int(given["s"]),),
    "det": lambda given, problem: (len(problem.arguments[0]),),
}  # fmt: skip


def task(library: str, evaluation: str, function: str, given: Any) -> Task:
    """Return one function of an evaluation on the input of a message; the tape is written here."""
    known = EVALUATIONS[evaluation]
    problem = known.read(given, objectives)
    variables = np.concatenate([x.ravel() for x in problem.arguments[: problem.wanted]])
    arguments = (variables, *SIZES[evaluation](given, problem))
    built = by_hand.library("taped", *OPTIONS[library])
    record = getattr(built, evaluation)
    record.restype = ctypes.c_void_p
    tape = ctypes.c_void_p(record(ctypes.c_size_t(variables.size), *map(by_hand.number, arguments)))
    gradient, x = np.empty_like(variables), by_hand.number(variables)
    value, into = built.value, by_hand.number(gradient)
    value.restype = ctypes.c_double
    if known.functions[function] == "objective":
        return Task(lambda keep=arguments: value(tape, x), problem.show)

    def run(keep: Any = arguments) -> Any:
        built.gradient_of(tape, x, into)
        return (gradient,)

    return Task(run, problem.show_derivative)
