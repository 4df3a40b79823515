"""Kernels as they are written: the loops of small programs, line by line, and over what they may write.

The file kernels.txt holds a program and its loops each. When loops are meant to change, `PYTHONPATH=. python
tests/test_kernels.py` writes them anew; look at the difference before keeping it. That loops compute what NumPy does
is tested by running them: see test_passes and test_native.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from test_passes import name, program

from tinygrad_nn.compiled.numba import fuse, loops
from tinygrad_nn.compiled.numba.expressions import kernel_can_do
from tinygrad_nn.compiled.numba.scalars import Straight
from tinygrad_nn.compiled.program.values import VIEWS, Op

FILE = Path(__file__).with_name("kernels.txt")
LARGE = 24  # what the programs for several threads are worth parting from


def sections() -> dict[str, list[str]]:
    """Return the lines of each program; its first line has the arguments, the number of threads, and the program."""
    parts = FILE.read_text(encoding="utf-8").strip().split("\n\n")
    return {part.split("\n")[0]: part.split("\n")[1:] for part in parts}


def kernels(text: str, given: str) -> list[Op]:
    return [op for op in fuse.fuse(program(text, given)).ops if op.kind not in VIEWS]


def written(head: str) -> list[str]:
    """Return the lines of all kernels of a program, those of a part indented under it."""
    given, _, text = head.partition(": ")
    lines = []
    for op in kernels(text, given):
        if op.kind != "kernel":
            lines.append(f"    call of {op.name}")
            continue
        kernel = op.function
        outs = {v: name(v) if v.number > 0 else f"p{k}" for k, v in enumerate(kernel.outs)}
        threads = given.partition(", ")[2].removesuffix(" threads")
        names = {**{v: name(v) for v in kernel.args}, **outs}
        straight = isinstance(kernel, Straight)
        for part in kernel.code(names).split("\n") if straight else kernel.source(names, int(threads or 1)):
            if isinstance(part, str):
                lines.append(f"    {part}")
                continue
            sums = ", ".join(map(str, part.sums)) or "none"
            lines.append(f"    a part of {part.rows} rows, sums: {sums}")
            lines += [f"        {line}" for line in part.body] + [f"    then {line}" for line in part.after]
        lines.append(f"    ({kernel.length()} lines)")
    return lines


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse, "available", lambda: False)


@pytest.mark.parametrize("given", dict.fromkeys(head.partition(": ")[0] for head in sections()))
def test_kernels_are_written_as_these_loops(given: str, plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    if "threads" in given:
        monkeypatch.setattr(loops, "LARGE", LARGE)
    for head, lines in sections().items():
        if head.partition(": ")[0] == given:
            assert [head, *written(head)] == [head, *lines]


# -- What a kernel can do


@pytest.mark.parametrize(
    ("text", "given", "can"),
    [
        ("a * b", "v v", True), ("a * a", "b", False), ("a + a", "b", False), ("abs(a)", "b", False),
        ("a & a", "b", True), ("a & 3", "i", False), ("~a", "b", True), ("~a", "i", False), ("a**2", "i", True),
        ("a**3", "i", False), ("a**3", "v", True), ("np.exp(a)", "i", True), ("a * 1j", "v", False),
        ("a * 2", "z", False), ("a + 1", "f", True), ("np.arctan2(a, b)", "v v", False), ("a % b", "v v", False),
        ("a > 1", "i", True), ("np.logical_or(a, a)", "b", True), ("np.where(a > 1, a, 1)", "i", True),
        ("np.where(b > 1, a, 1)", "z v", False), ("a.sum()", "v", True), ("a.sum()", "z", False),
        ("a.sum(0)", "i", True), ("a.max(0)", "i", False), ("a.max(0)", "v", True), ("a.min(0)", "v", True),
        ("a.prod(0)", "v", False), ("a.sum(0)", "b", True), ("a @ b.T", "x x", True), ("np.vdot(a, b)", "v v", True),
        ("np.vdot(a, b)", "f v", False), ("a.astype('i4')", "v", True),
        ("a.astype('i2')", "v", False), ("a.astype(complex)", "v", False), ("a * b", "v n", True),
        ("a * (b > 1)", "v n", False),
    ],
)  # fmt: skip
def test_a_kernel_can_do_an_operation(text: str, given: str, can: bool) -> None:
    assert kernel_can_do(program(text, given).ops[-1]) == can


# -- Over what a kernel may write


@pytest.mark.parametrize(
    ("text", "given", "over"),
    [
        ("a * 2 + b", "x x", "ab"),  # each entry is read before it is written
        ("a * 2 + b[0]", "x x", "a"),  # other rows of b are read too
        ("a * 2 + a[0]", "x x", ""),
        ("a.T * 2 + b", "s s", "b"),
        ("np.where(a > b, a, 0.0) + b", "x x", "ab"),
        ("a * 2 + b.sum()", "x x", "ab"),  # the sum comes before
        ("(a * b).sum(1, keepdims=True) * a", "x x", "ab"),
        ("(a * 2).sum(0) * (b * 2).max(0)", "x x", "ab"),
        ("(a * 2 + b) @ b", "s s", ""),  # rows of b are read once more
        ("(a * 2).sum(1)", "x", ""),
    ],
)
def test_a_result_may_overwrite_an_argument_read_before(text: str, given: str, over: str, plain: None) -> None:
    (op,) = kernels(text, given)
    assert "".join(name(x) for x in sorted(op.args, key=lambda v: v.slot) if op.function.over(x, op.outs[0])) == over


def test_a_value_that_is_read_again_is_not_overwritten(plain: None) -> None:
    (op,) = kernels("(lambda t: (t, t.sum(0) * a))(a * b + 1)", "x x")
    a, b = sorted(op.args, key=lambda v: v.slot)
    first, last = (out for out in op.function.outs if out.number > 0)
    assert [op.function.over(x, first) for x in (a, b)] == [False, True]
    assert [op.function.over(x, last) for x in (a, b)] == [True, True]
    assert not op.function.over(a, b), "which is not made here"
    assert not any(op.function.over(a, pool) for pool in op.function.outs if pool.number < 0)


@pytest.mark.parametrize(
    ("text", "names", "order"),
    [
        ("(a * 2, np.abs(b[0]) + 1, b * 3)", {}, "t2 t5 t4"),  # loops over the same rows follow each other
        ("(lambda t: (t, t.sum(0) * a))(a * b + 1)", {}, "t2 t3 t4"),
        ("(b + 1, b * a, b - 1)", {}, "t1 t2 t3"),
        ("(b + 1, b * a, b - 1)", {"t1": "a"}, "t2 t1 t3"),  # what reads a comes before what is written over it
        ("(b + 1, b * a[::-1], b - 1)", {"t2": "a"}, "t3 t2 t4"),
        ("(a + 1, b * 2, b - 1)", {"t1": "a"}, "t1 t2 t3"),
    ],
)
def test_arrays_are_made_in_an_order(text: str, names: dict[str, str], order: str, plain: None) -> None:
    (op,) = kernels(text, "x x")
    kernel = op.function
    called = {v: names.get(name(v), name(v) if v.number > 0 else f"p{k}") for k, v in enumerate(kernel.outs)}
    called |= {v: name(v) for v in kernel.args}
    assert " ".join(map(name, kernel._order(called))) == order


# -- Long kernels


def count(ops: list[Op]) -> list[int]:
    return [len(op.function.ops) if op.kind == "kernel" else 1 for op in ops]


CHAIN = "np.abs(np.abs(np.abs(np.abs(np.abs(np.abs(a * 2) + 1) + 2) + 3) + 4) + 5)"  # 12 operations


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [(13, [12]), (12, [6, 6]), (7, [6, 6]), (6, [3, 3, 3, 3])],
)
def test_long_kernels_are_cut(lines: int, wanted: list[int], plain: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuse, "LINES", lines)
    ops = kernels(CHAIN, "v")
    assert count(ops) == wanted  # of a line each, and the head of the loop
    for op, later in pairwise(ops):
        assert set(later.args) & set(op.outs), "what the next one reads is written"


@pytest.mark.parametrize(("long", "wanted"), [(6, [5]), (5, [5]), (4, [4, 1]), (2, [2, 2, 1])])
def test_many_operations_are_several_kernels(long: int, wanted: list[int], plain: None, monkeypatch: Any) -> None:
    monkeypatch.setattr(fuse, "LONG", long)
    assert count(kernels("(a + 1, a + 2, a + 3, a + 4, a + 5)", "v")) == wanted


@pytest.mark.parametrize(
    ("text", "given", "name", "limit"),
    [("a @ b + 1", "s s", "PRODUCT", 27), ("np.sin(a) + 1", "s", "VECTOR", 9), ("a.T @ b + 1", "x x", "PRODUCT", 48)],
)
def test_a_group_beyond_a_limit_is_split(
    text: str, given: str, name: str, limit: int, plain: None, monkeypatch: Any
) -> None:
    monkeypatch.setattr(fuse, name, limit)
    assert count(kernels(text, given)) in ([2], [3])
    monkeypatch.setattr(fuse, name, limit - 1)
    assert count(kernels(text, given)) == [1, 1]


if __name__ == "__main__":
    fuse.available = lambda: False
    texts = []
    for head in sections():
        loops.LARGE = LARGE if "threads" in head.partition(": ")[0] else 2**20
        texts.append("\n".join([head, *written(head)]))
    FILE.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
