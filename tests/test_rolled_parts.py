"""The parts that loops are found by: runs with a period, and rows of one array, against what is found by trying."""

from typing import Any

import numpy as np
import pytest

from tinygrad_nn.compiled.program import rows
from tinygrad_nn.compiled.program.memory import view_of
from tinygrad_nn.compiled.program.periods import Run, runs
from tinygrad_nn.compiled.program.values import Op, Value
from tinygrad_nn.compiled.trace.operations import frozen

ALL = slice(None)


def named(text: str) -> list[Op]:
    return [Op("ufunc", letter, letter, []) for letter in text]


def longest(text: str, p: int, least: int) -> list[Run]:
    """Return all runs of a period, by trying every start."""
    found, start = [], 0
    while start + p < len(text):
        stop = start
        while stop + p < len(text) and text[stop] == text[stop + p]:
            stop += 1
        if stop - start >= (least - 1) * p:
            found.append(Run(start, stop + p, p))
        start = max(stop, start + 1)
    return found


@pytest.mark.parametrize("least", [3, 4, 8])
def test_runs_are_all_that_repeats_with_their_periods(least: int) -> None:
    rng = np.random.default_rng(least)
    for _ in range(60):
        letters = lambda n: "".join(rng.choice(list("abcdef"), n))
        pattern, times = letters(int(rng.integers(1, 9))), least + int(rng.integers(0, 4))
        text = letters(int(rng.integers(0, 5))) + pattern * times + letters(int(rng.integers(0, 5)))
        found = runs(named(text), least)
        for p in {run.period for run in found}:
            assert [run for run in sorted(found, key=lambda run: run.start) if run.period == p] == longest(
                text, p, least
            )
        shortest = next(p for p in range(1, len(pattern) + 1) if (pattern * 2)[p : p + len(pattern)] == pattern)
        assert shortest in {run.period for run in found}, text
        saved = [(run.stop - run.start - run.period, -run.period) for run in found]
        assert saved == sorted(saved, reverse=True), "what saves most comes first"


def test_nothing_repeats_where_there_is_little() -> None:
    assert runs([], 4) == runs(named("a"), 4) == runs(named("ab"), 4) == []


def test_what_is_alike_is_told_from_what_is_not() -> None:
    x, y = Value(0, "input", (3,), np.dtype(float)), Value(1, "input", (4,), np.dtype(float))

    def op(kind: str = "ufunc", function: Any = np.sin, args: Any = (x,), attrs: Any = (), pure: bool = True) -> Op:
        return Op(kind, "f", function, list(args), attrs, [x], pure)

    sliced = lambda *parts: op("slice", None, attrs=(parts,))
    alike = [
        (op(), op()),
        (op(args=(x, 1.0)), op(args=(x, 2.0))),
        (sliced(1, ("slice", 0, 2, None)), sliced(2, ("slice", 3, 5, None))),
    ]
    apart = [
        (op(), op(function=np.cos)), (op(), op(args=(y,))), (op(args=(x, 1)), op(args=(x, 1.0))), (op(), op("where")),
        (op(attrs=(1,)), op(attrs=(2,))), (op(pure=False), op(pure=False)), (op("draw"), op("draw")),
        (sliced(("slice", 0, 2, None)), sliced(("slice", 0, 3, None))),
        (sliced(("slice", 0, 2, 1)), sliced(("slice", 1, 3, 2))),
        (sliced(("slice", 0, -2, None)), sliced(("slice", 1, -1, None))), (sliced(None), sliced(1)),
    ]  # fmt: skip
    for a, b in alike:
        assert runs([a, b] * 4, 8) == [Run(0, 8, 1)], (a, b)
    for a, b in apart:
        assert runs([a, b] * 4, 8) == [], (a, b)


# rows of an array (4, 5, 6), step by step
TAKEN: dict[str, list[Any]] = {
    "rows": [0, 1, 2, 3],
    "rows back": [3 - t for t in range(4)],
    "rows from the end": [-1 - t for t in range(4)],
    "every other column": [(ALL, 2 * t) for t in range(3)],
    "columns back": [(ALL, 4 - 2 * t) for t in range(3)],
    "of the last axis": [(..., t + 1) for t in range(4)],
    "of one row": [(2, t) for t in range(5)],
    "of one column, in a new axis": [(None, t - 4, 3) for t in range(4)],
    "in a part": [(slice(1, 3), t) for t in range(5)],
    "here and there": [(ALL, t * t % 5) for t in range(5)],
    "windows": [slice(t, t + 2) for t in range(3)],
    "windows in columns": [(1, slice(2 * t, 2 * t + 2), ALL) for t in range(2)] + [(1, slice(1, 3), ALL)],
}


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("name", TAKEN)
def test_rows_that_are_taken_one_by_one_are_taken_together(name: str, back: bool) -> None:
    x = np.arange(120.0).reshape(4, 5, 6)
    base = Value(0, "input", x.shape, x.dtype)
    indices = [frozen(i if isinstance(i, tuple) else (i,)) for i in TAKEN[name]]
    found = rows.Rows.of([base] * len(indices), indices, 1)
    assert found is not None
    assert found.wrong == []
    wanted = np.stack([x[i] for i in TAKEN[name]])
    ops: list[Op] = []
    last = found.array(ops, back)
    known: dict[Value, Any] = {base: x}
    for op in ops:
        known[op.out] = op.function(known[op.args[0]]) if op.kind == "call" else view_of(op, known[op.args[0]])
        assert known[op.out].shape == op.out.shape
    np.testing.assert_array_equal(known[last], wanted[::-1] if back else wanted)
    order = {"rows": 1, "rows back": -1, "rows from the end": -1, "of the last axis": 1, "of one row": 1,
             "of one column, in a new axis": 1, "in a part": 1, "windows": 1}  # fmt: skip
    assert found.order == order.get(name, 0)


def test_steps_that_take_something_else_are_told() -> None:
    base, other = (Value(k, "input", (9, 2), np.dtype(float)) for k in range(2))
    of = lambda bases, parts: rows.Rows.of(bases, [frozen(i if isinstance(i, tuple) else (i,)) for i in parts], 2)
    found = of([other, base, base, base, other], range(5))
    assert found is not None
    assert found.wrong == [0, 4]
    assert found.order == 0
    found = of([base] * 5, [(0, 1), 1, 2, 3, slice(4, 5)])
    assert found is not None
    assert found.wrong == [0, 4]
    assert of([base, other, base, base, base], range(5)) is None, "the steps around the middle are of one array"
    assert of([base, base, base, other, base], range(5)) is None
    assert of([base] * 5, [1] * 5) is None, "they differ"
    assert of([base] * 5, [(t, t % 2) for t in range(5)]) is None, "in one number"
    found = of([base] * 5, [slice(0, t + 1) for t in range(5)])
    assert found is not None
    assert found.wrong == [0, 1, 3, 4], "and windows have one length"


def test_a_view_goes_by_the_name_of_what_it_does() -> None:
    x, ops = Value(0, "input", (4, 5), np.dtype(float)), []
    for kind, attr in (("slice", (1,)), ("reshape", (20,)), ("transpose", (1, 0))):
        rows.view(ops, kind, x, attr)
    assert [(op.name, op.function) for op in ops] == [("getitem", None), ("reshape", None), ("transpose", None)]
