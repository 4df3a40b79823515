"""What each pass and each kernel of the compiler is for: `python -m tests.benchmarks.passes [STEP ...]`.

A step is compiled as it is and without one pass after the other, each in a process of its own, in turns. What is
printed is the time without the pass over the time with it, the least of the turns each: a pass stays if it makes at
least one row 3 % faster. `--backend numpy` leaves out the passes of machine code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from . import runner, steps
from .ours import compiled
from .tables import grid
from .worker import Program, serve

STEPS = (*steps.TASKS, "cnn", "lstm", "transformer", "scalar")
SHORT = dict(zip(STEPS, ("4-40-3", "784-..", "1024-..", "CNN", "LSTM", "block", "scalar"), strict=True))
LEAST = 1.03


def _simplify(name: str, instead: Callable[..., Any]) -> Callable[[], None]:
    def without() -> None:
        from tinygrad_nn.compiled.program import simplify

        setattr(simplify, name, instead)

    return without


def _memory(name: str, instead: Callable[..., Any]) -> Callable[[], None]:
    def without() -> None:
        from tinygrad_nn.compiled.program.memory import Memory

        setattr(Memory, name, instead)

    return without


def _native(*names: str) -> Callable[[], None]:
    def without() -> None:
        from tinygrad_nn.compiled.numba.native import TABLE

        for name in names:
            del TABLE[name], TABLE[f"{name}_back"]

    return without


def _images(*names: str) -> Callable[[], None]:
    def without() -> None:
        from tinygrad_nn.compiled.numba.native import TABLE

        for name in names:
            del TABLE[name]

    return without


def _stacks() -> None:
    from tinygrad_nn.compiled.numba.native import of_stacks

    of_stacks.fits = lambda op: False


def _products() -> None:
    from tinygrad_nn.compiled.numba.native import matrix_products

    matrix_products.large = lambda op: False


def _update() -> None:
    from tinygrad_nn.compiled.numba.native import matrix_products

    matrix_products._update = lambda *_: None


def _sink() -> None:
    from tinygrad_nn.compiled.numba import fuse

    fuse._sink = lambda *_: None


def _exp() -> None:
    import numpy as np

    from tinygrad_nn.compiled.numba import expressions

    expressions.SCALAR[np.exp] = "np.exp({0})"


def _threads() -> None:
    from tinygrad_nn.compiled.numba.machine import Machine

    Machine.threads = staticmethod(lambda: 1)


SHARED: dict[str, Callable[[], None]] = {
    "equal operations once": _simplify("_key", lambda op: object()),
    "identities": _simplify("_identity", lambda op: None),
    "no broadcast arrays": _simplify("_unbroadcast", lambda op: list(op.args)),
    "updates early": _simplify("early", lambda ops: ops),
    "arguments read late": _simplify("_late", lambda ops, *_: ops),
    "made in the output": _memory("_aim", lambda self, ops: None),
    "over a dying value": _memory("_heir", lambda self, op, out, dead: None),
}
MACHINE: dict[str, Callable[[], None]] = {
    "moved to the first use": _sink,
    "exp of our own": _exp,
    "loops in parts": _threads,
    "products": _products,
    "product and update": _update,
    "stacks of products": _stacks,
    "convolution": _images("conv", "conv_transpose", "conv_weight"),
    "pooling": _images("max_pool", "max_spread", "max_collect", "avg_pool", "avg_spread"),
    "norms": _native("standardize", "rms_norm"),
    "attention": _native("attention", "self_attention"),
    "recurrence": _native("rnn_states", "lstm_states", "gru_states"),
}


def _program(backend: str, without: Callable[[], None] | None) -> Program:
    def make(step: str) -> Any:
        if without is not None:
            without()
        return compiled(backend, True)(step)

    return Program(make, ("tinygrad_nn", "numba") if backend == "numba" else ("tinygrad_nn",))


def programs() -> dict[str, Program]:
    """Return what is measured, by name."""
    found = {}
    for backend, passes in (("numpy", SHARED), ("numba", {**SHARED, **MACHINE})):
        found[backend] = _program(backend, None)
        found |= {f"{backend}, {name}": _program(backend, without) for name, without in passes.items()}
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a row for each pass."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.passes", description=__doc__)
    parser.add_argument("steps", nargs="*", default=STEPS)
    parser.add_argument("--backend", choices=("numpy", "numba"), default="numba")
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.1, help="how long a turn takes")
    options = parser.parse_args(arguments)
    names = [name for name in programs() if name.split(",")[0] == options.backend]
    runner.WHERE.update(dict.fromkeys(names, "passes"))
    rows: dict[str, dict[str, str]] = {name: {} for name in names[1:]}
    for step in options.steps:
        found = runner.in_turns(step, names, options.turns, options.seconds)
        base = found[options.backend].sample
        for name, row in rows.items():
            sample = found[name].sample
            if base is None or sample is None:
                print(f"{step}, {name}: {found[name].problem}", flush=True)
                continue
            ratio = min(sample.seconds) / min(base.seconds)
            row[SHORT[step]] = f"{ratio:.2f}{' ' if ratio < LEAST else '*'}"
        print(f"{step}: {1e6 * min(base.seconds) if base else float('nan'):.1f} microseconds", flush=True)
    print(f"\nTime without over time with; * is {LEAST} and more.")
    print(grid({f"{name.partition(', ')[2]:26}": row for name, row in rows.items()}, [SHORT[s] for s in options.steps]))


if __name__ == "__main__":
    import sys

    if len(sys.argv) > 2 and sys.argv[2] in programs():
        serve(programs())
    else:
        main()
