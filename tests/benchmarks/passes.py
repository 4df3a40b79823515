"""The benefit of each pass and each kernel of the compiler: `python -m tests.benchmarks.passes [PASS ...]`.

For each pass a table lists the rows that it improves: steps of `tasks`, and gradients of evaluations of GradBench. Such
a step is compiled with and without the pass, in two processes in turns. They are restarted several times, since the
memory addresses of its arrays make a process faster or slower for its whole life. The output is the time without the
pass divided by the time with it, the least of all turns each, or the most bytes that arrays took. A pass is kept if it
makes at least one row 3 % faster or smaller. `--backend numpy` leaves out the passes of machine code.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from . import runner, steps
from .gradbench import programs as of_gradbench
from .ours import compiled
from .worker import Program, serve

STEPS = (*steps.TASKS, "cnn", "lstm", "transformer", "scalar")
SHORT = dict(zip(STEPS, ("4-40-3", "784-..", "1024-..", "CNN", "LSTM", "block", "scalar"), strict=True))
GRADBENCH = "gradbench:"
BYTES = " bytes"
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

    of_stacks.supports = lambda op: False


def _products() -> None:
    from tinygrad_nn.compiled.numba.native import matrix_products

    matrix_products.is_large = lambda op: False


def _blocks() -> None:
    from tinygrad_nn.compiled.numba.native import blocked

    blocked.ready = lambda dtype: None


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


def _kinds(*kinds: str) -> Callable[[], None]:
    def without() -> None:
        from tinygrad_nn.compiled.numba import fuse

        fuse.KINDS -= {*kinds}

    return without


def _straight() -> None:
    from tinygrad_nn.compiled.numba import scalars

    scalars.is_scalar_operation = lambda op: False


def _rolled() -> None:
    from tinygrad_nn.compiled import code

    code.roll_loops = lambda program: program


def _small_products() -> None:
    from tinygrad_nn.compiled.numba import fuse

    fuse.PRODUCT = 0


def _side_by_side() -> None:
    from tinygrad_nn.compiled.numba import loops

    loops.LONG = 1 << 60


def _passing() -> None:
    from tinygrad_nn.compiled.numba.loops import Loops

    Loops._passing = lambda self, blocks: {}


def _apart() -> None:
    from tinygrad_nn.compiled.numba import cache

    kept = cache.kept_on_disk
    cache.kept_on_disk = lambda dispatcher, no_alias=False: kept(dispatcher)


def _threads() -> None:
    from tinygrad_nn.compiled.numba.machine import Machine

    Machine.threads = staticmethod(lambda: 1)


def _one_loop() -> None:
    from tinygrad_nn.compiled.numba.loops import ArrayAccess, Loops

    def written(self: Loops, value: Any) -> list[str]:
        self._write(value, self.producers[value])
        self.known[value] = ArrayAccess(self.reads, self.entries, bool(self.before or self.after))
        return self.lines

    Loops._written = written


def _uncounted() -> None:
    from tinygrad_nn.compiled.numba.native import spread

    spread._lent = lambda context, builder, kind, x: x


SHARED: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "equal operations once": (_simplify("_key", lambda op: object()), ("scalar", "gradbench:ba", "gradbench:ht")),
    "identities": (_simplify("_identity", lambda op: None), ("4-40-3", "transformer")),
    "no broadcast arrays": (_simplify("_unbroadcast", lambda op: list(op.args)), ("gradbench:det", "gradbench:ht")),
    "updates early": (_simplify("early", lambda ops: ops), ("4-40-3", "784-256-128-10", "1024-2048-2048-10")),
    "arguments read late": (_simplify("_late", lambda ops, *_: ops), ("4-40-3", f"4-40-3{BYTES}")),
    "made in the output": (_memory("_aim", lambda self, ops: None), ("4-40-3", "784-256-128-10", "gradbench:gmm")),
    "over a dying value": (_memory("_heir", lambda self, op, out, dead: None), ("784-256-128-10", f"cnn{BYTES}")),
}
MACHINE: dict[str, tuple[Callable[[], None], tuple[str, ...]]] = {
    "moved to the first use": (_sink, ("784-256-128-10", "cnn")),
    "exp of our own": (_exp, ("lstm", "gradbench:gmm", "gradbench:lse")),
    "loops in parts": (_threads, ("784-256-128-10", "cnn", "lstm")),
    "neighbouring axes at once": (_one_loop, ("cnn", "transformer", "gradbench:gmm")),
    "arrays nobody counts": (_uncounted, ("cnn", "lstm", "transformer")),
    "arrays told apart": (_apart, ("lstm", "transformer", "gradbench:ba", "gradbench:gmm", "gradbench:kmeans")),
    "a row at a time": (_passing, ("gradbench:ba", "gradbench:det", "gradbench:kmeans")),
    "indices in kernels": (_kinds("gather", "scatter"), ("gradbench:ba", "gradbench:det", "gradbench:ht")),
    "joins in kernels": (_kinds("join"), ("gradbench:ba", "gradbench:ht")),
    "products in kernels": (_small_products, ("4-40-3", "gradbench:ba", "gradbench:ht")),
    "extrema side by side": (_side_by_side, ("gradbench:gmm", "gradbench:kmeans", "gradbench:lse")),
    "numbers as straight code": (_straight, ("scalar",)),
    "loops found": (_rolled, ("gradbench:lstm",)),
    "products": (_products, ("784-256-128-10", "transformer")),
    "products in blocks": (_blocks, ("784-256-128-10", "1024-2048-2048-10", "lstm", "transformer")),
    "product and update": (_update, ("1024-2048-2048-10", f"1024-2048-2048-10{BYTES}")),
    "stacks of products": (_stacks, ("transformer", "gradbench:gmm", "gradbench:ht")),
    "convolution": (_images("conv", "conv_transpose", "conv_weight"), ("cnn",)),
    "pooling": (_images("max_pool", "max_spread", "max_collect", "avg_pool", "avg_spread"), ("cnn",)),
    "norms": (_native("standardize", "rms_norm"), ("transformer",)),
    "attention": (_native("attention", "self_attention"), ("transformer",)),
    "recurrence": (_native("rnn_states", "lstm_states", "gru_states"), ("lstm",)),
}
PASSES = {"numpy": SHARED, "numba": {**SHARED, **MACHINE}}


def _program(backend: str, without: Callable[[], None] | None) -> Program:
    def make(step: str) -> Any:
        if without is not None:
            without()
        if step.startswith(GRADBENCH):
            mode = {"numpy": "replay", "numba": "numba"}[backend]
            return of_gradbench.make(mode, "gradient", step.removeprefix(GRADBENCH))
        return compiled(backend, True)(step)

    return Program(make, ("tinygrad_nn", "numba") if backend == "numba" else ("tinygrad_nn",))


def programs() -> dict[str, Program]:
    """Return what is measured, by name."""
    found = {}
    for backend, passes in PASSES.items():
        found[backend] = _program(backend, None)
        found |= {f"{backend}, {name}": _program(backend, without) for name, (without, _) in passes.items()}
    return found


def ratio(step: str, pair: tuple[str, str], options: argparse.Namespace) -> str:
    """Return the time of the second program over that of the first, or the most bytes at once."""
    least = [float("inf")] * 2
    if step.endswith(BYTES):
        least = [runner.asked(step.removesuffix(BYTES), name, "--bytes")["bytes"] for name in pair]
    for k in range(0 if step.endswith(BYTES) else options.rounds):
        order = pair if k % 2 else pair[::-1]
        found = runner.in_turns(step, order, options.turns, options.seconds, patience=options.patience)
        for i, name in enumerate(pair):
            sample = found[name].sample
            if sample is None:
                return found[name].problem or "no time"
            least[i] = min(least[i], *sample.seconds)
    return f"{least[1] / least[0]:.2f}{' ' if least[1] < LEAST * least[0] else '*'}"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print a row for each pass."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.passes", description=__doc__)
    parser.add_argument("passes", nargs="*", help="by default all")
    parser.add_argument("--backend", choices=PASSES, default="numba")
    parser.add_argument("--rounds", type=int, default=3, help="how often both programs are started")
    parser.add_argument("--turns", type=int, default=4, help="of a round")
    parser.add_argument("--seconds", type=float, default=0.1, help="how long a turn takes")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds until a program's first answer")
    options = parser.parse_args(arguments)
    runner.WHERE.update(dict.fromkeys(programs(), "passes"))
    print(f"Time, or bytes, without over with; * is {LEAST} and more.", flush=True)
    for name in options.passes or PASSES[options.backend]:
        print(f"{name:26}", end="", flush=True)
        for step in PASSES[options.backend][name][1]:
            found = ratio(step, (options.backend, f"{options.backend}, {name}"), options)
            words = step.removeprefix(GRADBENCH).split(" ")
            print(f"{' '.join([SHORT.get(words[0], words[0]), *words[1:]]):>14} {found}", end="", flush=True)
        print(flush=True)


if __name__ == "__main__":
    import sys

    if len(sys.argv) > 2 and sys.argv[1][0] != "-" and sys.argv[2] in programs():
        serve(programs())
    else:
        main()
