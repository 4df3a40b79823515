"""Which arrays an operation with several results may overwrite, and repetitions of such operations."""

from typing import Any

import numpy as np
import pytest

from tinygrad_nn import compile
from tinygrad_nn.compiled.program.memory import Memory
from tinygrad_nn.compiled.program.simplify import simplify
from tinygrad_nn.compiled.program.values import Op, Program, Value


class Native:
    """A function that may write over one of its arguments, by its place, or over none."""

    def __init__(self, over: Any) -> None:
        self.over = over


def value(kind: str = "made", number: int = 0) -> Value:
    return Value(number, kind, (4,), np.dtype(float))


def op(kind: str, args: list[Any], outs: int = 1, function: Any = np.sin) -> Op:
    made = Op(kind, "f", function, args, ())
    for number in range(outs):
        made.outs.append(Value(number, "made", (4,), np.dtype(float), made))
    return made


@pytest.mark.parametrize(("over", "given", "wanted"), [
    (0, "xy", True), (0, "yx", False), (1, "yx", True), (-1, "yx", False), (-1, "xx", False), (0, "xx", False),
])  # fmt: skip
def test_a_native_function_writes_over_the_argument_that_it_names(over: int, given: str, wanted: bool) -> None:
    x, y = value("input"), value("input")
    native = op("native", [{"x": x, "y": y}[name] for name in given], function=Native(over))
    assert Memory([native], set(), [])._entrywise(native, x, native.out) is wanted


def test_two_results_of_a_kernel_never_share_the_buffer_of_one_argument() -> None:
    first = op("ufunc", [value("input")])
    kernel = op("kernel", [first.out], 2, Native(lambda x, out: True))
    last = op("matmul", kernel.outs, function=np.matmul)
    memory = Memory([first, kernel, last], {last.out}, [])
    a, b = (memory.place[out] for out in kernel.outs)
    assert a == memory.place[first.out]
    assert b != a


def test_a_value_that_is_read_later_is_not_stored_in_an_output() -> None:
    made = op("ufunc", [value("input")])
    output = op("ufunc", [made.out, 2.0], function=np.multiply)
    later = op("matmul", [made.out, made.out], function=np.matmul)
    memory = Memory([made, output, later], {output.out, later.out}, [])
    assert memory.target == {}
    assert Memory([made, output], {output.out}, []).target == {made.out: output.out}


def test_the_buffers_begin_at_cache_lines_and_lie_apart() -> None:
    first = op("ufunc", [value("input")])
    second = op("matmul", [first.out, first.out], function=np.matmul)
    last = op("matmul", [first.out, second.out], function=np.matmul)
    for _ in range(8):
        memory = Memory([first, second, last], {last.out}, [])
        one, other = memory.allocate()
        assert [one.ctypes.data % 64, other.ctypes.data % 64] == [0, 0]
        assert [one.nbytes, other.nbytes] == memory.slabs
        assert not np.shares_memory(one, other)


def test_of_equal_operations_all_results_are_those_of_the_first() -> None:
    x = value("input")
    f, g = op("ufunc", [x], 2, np.modf), op("ufunc", [x], 2, np.modf)
    made = simplify(Program([f, g], [x], [*f.outs, *g.outs]))
    assert len(made.ops) == 1
    assert made.outputs == [*f.outs, *f.outs]


@pytest.mark.parametrize("f", [
    lambda a: np.sum(a + a, 1), lambda a: np.sum(np.sum(a, 1), 0), lambda a: np.sum(a - 0.0, 1), lambda a: a + -0.0,
    lambda a: a + 0.0, lambda a: 0.0 - a, lambda a: np.sum(-np.sum(a, 1, keepdims=True), 1), lambda a: np.negative(-a),
])  # fmt: skip
def test_a_program_made_smaller_keeps_the_signs_of_zeros(f: Any) -> None:
    made = compile(f, backend="numpy")
    for a in (np.full((1, 1), -0.0), np.zeros((1, 1)), np.ones((1, 1))):
        assert made(a).tobytes() == f(a).tobytes()
