"""Decides which recurrent layers the functions of `recurrent` do, and with which arguments."""

from __future__ import annotations

from typing import Any

from ...program.values import Arg, Op, Value
from .row import Native

PARALLEL = 2**18  # with at most so many multiplications one core is faster
TILE = 64  # a multiple of the columns of a packed matrix's tiles on any processor
GATES = {"rnn_states": 1, "lstm_states": 4, "gru_states": 3}
Shape = tuple[int, ...]


def _arguments(op: Op) -> list[Arg]:
    """Return the arguments of the primitive; the first two are the input's contribution z, and the weights."""
    if not op.name.endswith("_back"):
        return list(op.args)
    return op.args[2:] if op.name.startswith("rnn") else op.args[2:-1]


def _gates(op: Op) -> int:
    return GATES[op.name.removesuffix("_back")]


def supports(op: Op) -> bool:
    """Tell whether all arguments are arrays of the shapes that the primitive names, and all gradients are needed."""
    if any(not isinstance(x, Value) or x.weak or x.dtype != op.out.dtype for x in op.args):
        return False
    z, w, *more = _arguments(op)
    if len(z.shape) != 3 or len(w.shape) != 2:
        return False
    (_, batch, width), n = z.shape, w.shape[1]
    one = (batch, n)
    shapes = {"rnn": [one], "lstm": [one, one], "gru": [(width,), one]}[op.name.split("_")[0]]
    back = len(op.outs) == len(shapes) + 2 or not op.name.endswith("_back")
    return back and width == w.shape[0] == _gates(op) * n and [x.shape for x in more] == shapes


def threads(op: Op) -> int:
    """Return into how many parts the batch is divided."""
    from .build import THREADS

    z, w = _arguments(op)[:2]
    (times, batch, width), n = z.shape, w.shape[1]
    return min(THREADS, batch) if times * batch * width * n > PARALLEL else 1


def arrays(op: Op) -> list[Arg]:
    """Return the arguments of a primitive, or those arguments of its rule that the function reads."""
    if not op.name.endswith("_back"):
        return list(op.args)
    g, out, _, w, *more = op.args
    return [g, out, w, *(more[1:] if op.name.startswith("gru") else more)]


def memory(op: Op) -> tuple[Shape, ...]:
    """Return the shapes of work arrays: saved gates if these are no result, packed weights, products of one step."""
    z, w = _arguments(op)[:2]
    (times, batch, width), n = z.shape, w.shape[1]
    back, gru = op.name.endswith("_back"), op.name.startswith("gru")
    columns, rows = (n, width) if back else (width, n)
    columns += -columns % TILE
    cells = {"lstm_states": 6 * n, "gru_states": 4 * n}.get(op.name, 0)
    kept = ((times, batch, cells),) if cells and len(op.outs) == 1 else ()
    return (*kept, *((z.shape,) if back and gru else ()), (threads(op), rows, columns), (batch, columns))


def numbers(op: Op) -> tuple[Any, ...]:
    """Return whether the activation is relu, for a plain network only, and the number of parts."""
    choice = (op.call_meta.get("activation") == "relu",) if op.name.startswith("rnn") else ()  # type: ignore[union-attr]
    return (*choice, threads(op))


def work(op: Op) -> int:
    """Return the number of multiplications in the gradient of the weights."""
    z, w = _arguments(op)[:2]
    return z.size * w.shape[1] if op.name.endswith("_back") else 0


NAMES = "rnn_states", "rnn_states_back", "lstm_states", "lstm_states_back", "gru_states", "gru_states_back"
ROWS = {name: Native("recurrent", name, supports, arrays, memory, numbers, work) for name in NAMES}
