"""The cost of making results read-only while a graph holds them: `python -m tests.benchmarks.guard`.

The smallest training step, 4-40-3, with the guard and with the same functions without its lines, in turns in one
process: `layers` is a step of `fit`, `tensors` a loop written by hand with `backward`. Seconds of the processor.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import statistics
import sys
import time
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from tinygrad_nn import tensor

from .eager import PROGRAMS
from .steps import TASKS

CALLS = 50
GUARDED: tuple[tuple[FunctionType, tuple[str, ...]], ...] = (  # functions, and how their guarding statements begin
    (tensor.apply, ("if holders(out)", "_close(out")),
)
SOURCES = {function: inspect.getsource(function) for function, _ in GUARDED}
ANNOTATIONS = __future__.annotations.compiler_flag


class _Without(ast.NodeTransformer):
    """Removes statements from a syntax tree, and counts them."""

    def __init__(self, begin: tuple[str, ...]) -> None:
        self.begin, self.found = begin, 0

    def generic_visit(self, node: ast.AST) -> Any:
        if isinstance(node, ast.stmt) and ast.unparse(node).startswith(self.begin):
            self.found += 1
            return None
        return super().generic_visit(node)


def without(function: FunctionType, begin: tuple[str, ...]) -> CodeType:
    """Return the code of a function without the statements that begin so."""
    tree = ast.parse(SOURCES[function])
    visitor = _Without(begin)
    tree = ast.fix_missing_locations(visitor.visit(tree))
    if visitor.found != len(begin):
        raise ValueError(f"{function.__name__} has {visitor.found} of the {len(begin)} statements of the guard.")
    space: dict[str, Any] = {}
    exec(compile(tree, "without", "exec", dont_inherit=True, flags=ANNOTATIONS), function.__globals__, space)
    code: CodeType = space[function.__name__].__code__
    return code


def measured(program: str, rounds: int, turns: int) -> list[list[float]]:
    """Return the microseconds of a step with the guard, without it, and with it again, for each round.

    A turn is 50 steps, and what counts is the shortest of the turns of a round. Each round compiles the functions
    anew, since where their code lies in memory makes a difference as well: what the two that are equal differ by.
    """
    one: Callable[[], Any] = PROGRAMS[program](TASKS["4-40-3"])
    before = [function.__code__ for function, _ in GUARDED]
    found = []
    try:
        for _ in range(rounds):
            kinds = [[without(f, begin if k == 1 else ()) for f, begin in GUARDED] for k in range(3)]
            best = [float("inf")] * 3
            for turn in range(-1, turns):
                for k, codes in enumerate(kinds):
                    for (function, _), code in zip(GUARDED, codes, strict=True):
                        function.__code__ = code
                    start = time.process_time()
                    for _ in range(CALLS):
                        one()
                    if turn >= 0:  # the first warms up
                        best[k] = min(best[k], (time.process_time() - start) / CALLS * 1e6)
            found.append(best)
    finally:
        for (function, _), code in zip(GUARDED, before, strict=True):
            function.__code__ = code
    return found


def main(arguments: list[str]) -> None:
    """Print a line for each program: medians over the rounds, and quartiles of the ratios."""
    rounds, turns = (int(given) for given in (arguments + ["15", "300"][len(arguments) :])[:2])
    print(f"{'':10}{'µs a step':>12}{'without':>10}{'ratio':>8}  (quartiles)     {'ratio of equals':>16}")
    for program in ("layers", "tensors"):
        found = measured(program, rounds, turns)
        guarded, bare, _ = (statistics.median(column) for column in zip(*found, strict=True))
        ratio, equal = [a / b for a, b, _ in found], [a / b for a, _, b in found]
        low, middle, high = statistics.quantiles(ratio, n=4)
        print(f"{program:10}{guarded:12.2f}{bare:10.2f}{middle:8.3f}  ({low:.3f} to {high:.3f})"
              f"{statistics.median(equal):17.3f}")  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
