"""Which operations are done by functions of the package `native`, and their arguments: arrays, memory, numbers, parts.

The file native.txt holds an operation and what becomes of it each. When that is meant to change, `PYTHONPATH=. python
tests/test_native_choice.py` writes it anew; look at the difference before keeping it. That the functions compute what
the primitives do is tested in test_native and test_native_attention.
"""

from pathlib import Path
from threading import RLock, Thread
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba: pip install 'tinygrad-nn[jit]'")

import test_native
import test_native_attention
from test_passes import name

from tinygrad_nn import grad
from tinygrad_nn.compiled.numba.forked import Forked
from tinygrad_nn.compiled.numba.native import (
    build,
    choose,
    matrix_products,
    of_attention,
    of_images,
    of_norms,
    of_recurrent,
    of_stacks,
)
from tinygrad_nn.compiled.numba.native.row import contiguous
from tinygrad_nn.compiled.program.simplify import simplify
from tinygrad_nn.compiled.program.values import Op, Program, Value
from tinygrad_nn.compiled.trace.call import trace
from tinygrad_nn.primitive import REGISTRY

FILE = Path(__file__).with_name("native.txt")


def program(f: Any, arrays: list[np.ndarray]) -> Program:
    made, _ = trace(f, arrays, lambda leaves: (leaves, {}), frozenset())
    return choose(simplify(made))


def short(x: Any) -> str:
    """Return the shape of a value, an array in full, or a number."""
    if isinstance(x, Value):
        return f"{x.kind[0]}{list(x.shape)}" if isinstance(x.dtype, np.dtype) else name(x)
    return str(x.tolist()) if isinstance(x, np.ndarray) else repr(x)


def described(op: Op) -> str:
    if op.kind != "native":
        return f"{op.name}: as it is"
    out, extra = ", ".join(map(short, op.outs)), ", ".join(map(short, op.extra))
    return f"{op.name} by {op.function.function}({', '.join(map(short, op.args))}) -> {out} with {extra}"


def primitives() -> dict[str, tuple[Any, list[tuple[int, ...]]]]:
    """Return functions of arrays, and the shapes of these."""
    found: dict[str, tuple[Any, list[tuple[int, ...]]]] = {}
    for row in [*test_native.convolutions(), *test_native.pools()]:
        shapes = list(row.shapes)
        if row.name in ("max_spread", "max_collect"):
            shapes.append(test_native.largest(row, np.ones(shapes[-1])).shape)
        found[str(row)] = (lambda *a, row=row: REGISTRY[row.name](*a, **row.given)), shapes
    for row in test_native.recurrences():
        f = lambda *a, row=row: REGISTRY[row.name](*a, **row.given)
        found[str(row)] = f, list(row.shapes)
        every = tuple(range(len(row.shapes)))
        found[f"rule of {row}"] = grad(lambda *a, f=f: (f(*a) * 2.0).sum(), argnums=every), list(row.shapes)
    for case in [*test_native_attention.ATTENTION, *test_native_attention.NORMS, *test_native_attention.LEFT]:
        shapes = [x for x in case.args if isinstance(x, tuple)]

        def call(*a: Any, case: Any = case) -> Any:
            left = iter(a)
            return case.primitive(*[next(left) if isinstance(x, tuple) else x for x in case.args], **case.given)

        found[str(case)] = call, shapes
        every = tuple(range(len(shapes)))
        found[f"rule of {case}"] = grad(lambda *a, call=call: (call(*a) * 2.0).sum(), argnums=every), shapes
        if shapes[0] == (3, 5, 7):
            found[f"rule of {case} in x"] = grad(lambda *a, call=call: (call(*a) * 2.0).sum()), shapes
    for text, (a, b, function) in test_native_attention.STACKS.items():
        found[f"stack: {text}"] = function, [a, b]
    return found


PRODUCTS = [
    ("a @ b", [(4, 5), (5, 6)]), ("a.T @ b", [(5, 4), (5, 6)]), ("a @ b.T", [(4, 5), (6, 5)]),
    ("a.T @ b.T", [(5, 4), (6, 5)]), ("a[:, ::2] @ b", [(4, 10), (5, 6)]), ("a[1:] @ b", [(5, 5), (5, 6)]),
    ("a.reshape(4, 5) @ b", [(20,), (5, 6)]), ("a.T.reshape(4, 5) @ b", [(5, 4), (5, 6)]),
    ("(a * 2) @ b", [(4, 5), (5, 6)]), ("(a * 2).T @ b", [(5, 4), (5, 6)]), ("a[:, ::2].T @ b", [(5, 8), (5, 6)]),
    ("a @ b - 1", [(4, 5), (5, 6)]), ("c - 0.5 * (a @ b)", [(4, 5), (5, 6), (4, 6)]),
    ("c - (a @ b) * 0.5", [(4, 5), (5, 6), (4, 6)]), ("c - (a @ b) * 2", [(4, 5), (5, 6), (4, 6)]),
    ("c + 0.5 * (a @ b)", [(4, 5), (5, 6), (4, 6)]), ("c - 0.5 / (a @ b)", [(4, 5), (5, 6), (4, 6)]),
    ("0.5 * (a @ b) - c", [(4, 5), (5, 6), (4, 6)]), ("c - c * (a @ b)", [(4, 5), (5, 6), (4, 6)]),
    ("c - np.sin(0.5 * (a @ b))", [(4, 5), (5, 6), (4, 6)]), ("c - 0.5 * (a @ b).sum()", [(4, 5), (5, 6), (4, 6)]),
    ("c - 0.5 * (a @ b)", [(4, 5), (5, 6), (6,)]), ("c.T - 0.5 * (a @ b)", [(4, 5), (5, 6), (6, 4)]),
    ("(lambda g: c - g * g)(a @ b)", [(4, 5), (5, 6), (4, 6)]),
    ("(lambda g: g - 0.5 * g)(a @ b)", [(4, 5), (5, 6), (4, 6)]),
    ("(lambda g: (c - 0.5 * g, g))(a @ b)", [(4, 5), (5, 6), (4, 6)]),
    ("(lambda g: (c - 0.5 * g, g.sum()))(a @ b)", [(4, 5), (5, 6), (4, 6)]),
    ("(lambda d: (c - d, d))(0.5 * (a @ b))", [(4, 5), (5, 6), (4, 6)]),
    ("(lambda d: (c - d, d + 1))(0.5 * (a @ b))", [(4, 5), (5, 6), (4, 6)]),
    ("(lambda d: d - d)(0.5 * (a @ b))", [(4, 5), (5, 6), (4, 6)]),
    ("c.astype('f4') - 0.5 * (a @ b)", [(4, 5), (5, 6), (4, 6)]),
    ("(c * 2) - 0.5 * (a @ b)", [(4, 5), (5, 6), (4, 6)]), ("a.astype('f4') @ b", [(4, 5), (5, 6)]),
    ("a.astype('f4') @ b.astype('f4')", [(4, 5), (5, 6)]), ("a.astype(int) @ b.astype(int)", [(4, 5), (5, 6)]),
    ("a @ b", [(1, 5), (5, 6)]), ("a[:0] @ b", [(4, 5), (5, 6)]), ("a[0] @ b", [(2, 4, 5), (5, 6)]),
    ("a @ b", [(2, 4, 5), (5, 6)]), ("(a * 2) @ b.swapaxes(1, 2)", [(2, 4, 5), (2, 6, 5)]),
    ("a.astype('f4') @ b", [(2, 4, 5), (5, 6)]), ("a[:, ::2] @ b", [(2, 8, 5), (5, 6)]),
    ("a[:, :, ::2] @ b", [(2, 4, 10), (5, 6)]), ("a.transpose(2, 0, 1).reshape(5, 4, 2) @ b", [(4, 2, 5), (2, 6)]),
    ("a @ b", [(4, 5), (5, 2)]), ("a @ b", [(4, 5), (5, 5)]), ("a @ b", [(2, 2, 2), (2, 5)]),
    ("a @ b", [(2, 2, 2), (2, 6)]), ("a[:, ::-1] @ b", [(4, 5), (5, 6)]), ("a[:, None, 0] @ b", [(4, 5, 5), (5, 6)]),
    ("c - 0.5 * (a.T @ b.T)", [(5, 4), (6, 5), (4, 6)]), ("c - 0.5 * (a @ b)", [(4, 5, 5), (5, 6), (4, 5, 6)]),
]  # fmt: skip


def small(patch: pytest.MonkeyPatch) -> None:
    """Lower the limits, so that some hundred multiplications use three threads, and products of 40 use a call."""
    patch.setattr(build, "THREADS", 3)
    for module in (of_attention, of_norms, of_recurrent):
        patch.setattr(module, "PARALLEL", 50)
    patch.setattr(of_images, "LITTLE", 500)
    patch.setattr(of_images, "BLOCK", 300)
    patch.setattr(of_stacks, "PRODUCT", 40)
    patch.setattr(of_stacks, "PARALLEL", 420)
    patch.setattr(matrix_products, "PRODUCT", 40)
    patch.setattr(matrix_products, "PARALLEL", 100)


def written() -> str:
    """Return what becomes of all operations."""
    parts = []
    for text, (f, shapes) in primitives().items():
        ops = program(f, [np.ones(shape) for shape in shapes]).ops
        lines = [described(op) for op in ops if op.kind in ("native", "call", "matmul")]
        parts.append("\n".join([text, *(f"    {line}" for line in lines)]))
    for text, shapes in PRODUCTS:
        f = eval(f"lambda {', '.join('abc'[: len(shapes)])}: {text}", {"np": np})
        ops = program(f, [np.ones(shape) for shape in shapes]).ops
        parts.append("\n".join([f"{text} of {shapes}", *(f"    {described(op)}" for op in ops)]))
    return "\n\n".join(parts) + "\n"


def test_an_operation_gets_what_its_function_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch)
    found, wanted = written().split("\n\n"), FILE.read_text(encoding="utf-8").split("\n\n")
    assert [part for part in found if part not in wanted] == []
    assert len(found) == len(wanted)


def of(*shape: int, dtype: Any = "f8") -> Value:
    return Value(1, "input", shape, dtype if isinstance(dtype, type) else np.dtype(dtype))


STATE, GATES = of(2, 3), of(3, 3)
RNN, LSTM = [of(5, 2, 3), GATES, STATE], [of(5, 2, 12), of(12, 3), STATE, STATE]
GRU, OUT = [of(5, 2, 9), of(9, 3), of(9), STATE], of(5, 2, 3)


@pytest.mark.parametrize(
    ("name", "args", "results", "fits"),
    [
        ("rnn_states", RNN, 1, True), ("lstm_states", LSTM, 1, True), ("gru_states", GRU, 1, True),
        ("rnn_states", [*RNN[:2], 0.5], 1, False), ("rnn_states", [*RNN[:2], of(dtype=float)], 1, False),
        ("rnn_states", [*RNN[:2], of(2, 3, dtype="f4")], 1, False), ("rnn_states", [*RNN[:2], of(3)], 1, False),
        ("rnn_states", [of(5, 3), GATES, STATE], 1, False), ("rnn_states", [RNN[0], of(3), STATE], 1, False),
        ("rnn_states", [RNN[0], of(1, 3, 3), STATE], 1, False),
        ("rnn_states", [of(1, 5, 2, 3), GATES, STATE], 1, False),
        ("rnn_states", [of(5, 2, 6), of(6, 3), STATE], 1, False),
        ("rnn_states", [of(5, 2, 3), of(6, 3), STATE], 1, False),
        ("lstm_states", LSTM[:3], 1, False), ("lstm_states", [*LSTM[:3], of(1, 3)], 1, False),
        ("lstm_states", GRU, 1, False), ("gru_states", [*GRU[:2], of(3), STATE], 1, False),
        ("gru_states", LSTM, 1, False), ("rnn_states_back", [OUT, OUT, *RNN], 3, True),
        ("rnn_states_back", [OUT, OUT, *RNN], 2, False), ("lstm_states_back", [OUT, OUT, *LSTM, of(5, 2, 18)], 4, True),
        ("lstm_states_back", [OUT, OUT, *LSTM, of(5, 2, 18)], 3, False),
        ("gru_states_back", [OUT, OUT, *GRU, of(5, 2, 12)], 4, True),
        ("gru_states_back", [OUT, OUT, *GRU, of(5, 2, 12)], 1, False),
    ],
)  # fmt: skip
def test_a_recurrent_layer_has_the_shapes_that_its_primitive_names(
    name: str, args: list[Any], results: int, fits: bool
) -> None:
    assert of_recurrent.supports(Op("call", name, None, args, outs=[OUT] * results)) == fits


def test_results_and_reshapes_are_contiguous_and_other_views_are_not() -> None:
    def seen(kind: str, x: Any) -> Value:
        out = of(3)
        out.op = Op(kind, kind, None, [x], outs=[out])
        return out

    x = of(3)
    assert [contiguous(a) for a in (x, 2.0, None)] == [True, False, False]
    kinds = ["ufunc", "call", "reshape", "transpose", "broadcast", "slice"]
    assert [contiguous(seen(kind, x)) for kind in kinds] == [True, True, True, False, False, False]
    assert contiguous(seen("reshape", seen("reshape", x)))
    assert not contiguous(seen("reshape", seen("slice", x)))


class Library:
    """Stands in for a BLAS that uses several threads."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def get_num_threads(self) -> int:
        return self.threads

    def set_num_threads(self, threads: int) -> None:
        self.threads = threads


def test_the_cores_are_handed_to_one_call_at_a_time_and_not_to_a_fork() -> None:
    cores, libraries = build.Cores.__new__(build.Cores), [Library(4), Library(2)]
    cores.lock, cores.depth, cores.forked, cores.libraries, cores.before = RLock(), 0, False, libraries, []
    seen = lambda: [library.threads for library in libraries]

    def free() -> bool:
        """Whether another thread could take the lock of the cores."""
        found: list[bool] = []
        other = Thread(target=lambda: found.append(cores.lock.acquire(blocking=False) and not cores.lock.release()))
        other.start()
        other.join()
        return found[0]

    cores.take()
    cores.take()
    assert (seen(), free()) == ([1, 1], False)
    cores.give()
    assert (seen(), free()) == ([1, 1], False)
    cores.give()
    assert (seen(), free()) == ([4, 2], True)
    libraries[0].threads = 3
    cores._forked()
    assert seen() == [3, 2], "nobody had them"
    with pytest.raises(Forked, match=r"cannot run in a forked process; .*get_context\('spawn'\)"):
        cores.take()
    assert free()
    cores.forked = False
    cores.take()
    cores._forked()
    assert (seen(), cores.depth, cores.forked) == ([3, 2], 0, True)


if __name__ == "__main__":
    small(pytest.MonkeyPatch())
    FILE.write_text(written(), encoding="utf-8")
