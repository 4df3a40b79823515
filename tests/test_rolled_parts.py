"""Parts of loop detection: periodic runs, and rows of one array, against a brute-force search."""

from typing import Any

import numpy as np
import pytest
from test_rolled_loops import program
from test_rolled_loops import run as bits_of

from tinygrad_nn import grad
from tinygrad_nn.compiled.program import rows
from tinygrad_nn.compiled.program.memory import view_of
from tinygrad_nn.compiled.program.periods import Run, find_runs
from tinygrad_nn.compiled.program.rolled import LoopSearch, Rolled, _best_runs, roll_loops
from tinygrad_nn.compiled.program.values import Op, Program, Value
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
        found = find_runs(named(text), least)
        for p in {run.period for run in found}:
            assert [run for run in sorted(found, key=lambda run: run.start) if run.period == p] == longest(
                text, p, least
            )
        shortest = next(p for p in range(1, len(pattern) + 1) if (pattern * 2)[p : p + len(pattern)] == pattern)
        assert shortest in {run.period for run in found}, text
        saved = [(run.stop - run.start - run.period, -run.period) for run in found]
        assert saved == sorted(saved, reverse=True), "what saves most comes first"


@pytest.mark.parametrize("pattern", ["aabaababab", "bbbabbbab", "bbabababba", "aaaaaabaaaaaaabaa"])
def test_a_pattern_whose_parts_repeat_in_it_is_found_by_its_whole_length(pattern: str) -> None:
    assert Run(0, 8 * len(pattern), len(pattern)) in find_runs(named(pattern * 8), 8)


def test_a_step_begins_where_least_is_carried_to_the_next() -> None:
    rng = np.random.default_rng(5)
    for turn in range(600):
        p, start, steps = int(rng.integers(1, 7)), int(rng.integers(0, 9)), int(rng.integers(9, 13))
        sizes = rng.integers(0, 3, p) * 8 if turn % 2 else rng.integers(0, 40, p)  # 8 entries weigh as much as a value
        reads: list[list[int]] = [[] for _ in range(p)]
        for made in range(p):
            later = int(rng.integers(made == p - 1, 4))  # so many steps later it is read, by one operation or two
            for reader in rng.integers(0 if later else made + 1, p, 2):
                reads[reader].append(int(later * p + reader - made))
        ops: list[Op] = []
        for i in range(start + p * steps):
            args = [ops[i - back].out for back in reads[(i - start) % p] if back <= i]  # before it, other numbers
            ops.append(Op("ufunc", "f", "f", args))
            ops[-1].outs.append(Value(i, "made", (int(sizes[(i - start) % p]),), np.dtype(float), ops[-1]))
        carried = []
        for cut in range(start + p * (steps // 2), start + p * (steps // 2 + 1)):
            crossing = {x for op in ops[cut:] for x in op.values if start <= x.number < cut}
            carried.append(sum(64 + 8 * x.size for x in crossing))
        found = Rolled(LoopSearch(ops, []), Run(start, len(ops), p))
        assert found.start == start + carried.index(min(carried))
        assert found.steps == (len(ops) - found.start) // p


def test_nothing_repeats_where_there_is_little() -> None:
    assert find_runs([], 4) == find_runs(named("a"), 4) == find_runs(named("ab"), 4) == []


def test_runs_that_touch_lie_apart_and_those_that_overlap_are_tried_where_the_first_is_no_loop() -> None:
    first, second, third = Run(0, 16, 2), Run(16, 32, 2), Run(40, 48, 1)
    inside, over_two = Run(4, 12, 4), Run(8, 24, 2)
    assert _best_runs([second, third, first, inside, over_two]) == [[first, inside], [second], [third]]


def test_a_program_without_operations_is_unchanged() -> None:
    for made in (Program([], [], []), program(lambda x: x.T, [np.ones((2, 3))])):
        assert roll_loops(made) is made


def test_operations_that_can_be_steps_of_one_loop() -> None:
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
        assert find_runs([a, b] * 4, 8) == [Run(0, 8, 1)], (a, b)
    for a, b in apart:
        assert find_runs([a, b] * 4, 8) == [], (a, b)


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


def test_steps_with_other_operands_are_listed() -> None:
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
    for first in (0, None):
        found = of([base] * 5, [first, *(slice(t, t + 1) for t in range(1, 5))])
        assert found is not None
        assert found.wrong == [0], "a row or a new axis is no window"
    assert of([base] * 5, [slice(t, None) for t in range(5)]) is None, "and each window has an end"


@pytest.mark.parametrize(("other", "wrong"), [(0, [0]), (1, None), (2, None), (3, None), (4, [4])])
def test_constants_that_differ_are_those_around_the_middle(other: int, wrong: Any) -> None:
    base = Value(0, "input", (9, 2), np.dtype(float))
    of = [Value(0, "constant", (2,), base.dtype, data=np.full(2, t)) for t in range(5)]
    of[other] = rows.append_view([], "slice", base, (other,))
    found = rows.Rows.over(of, 2)
    assert (found and found.wrong) == wrong


def test_views_are_named_after_their_operation() -> None:
    x, ops = Value(0, "input", (4, 5), np.dtype(float)), []
    for kind, attr in (("slice", (1,)), ("reshape", (20,)), ("transpose", (1, 0))):
        rows.append_view(ops, kind, x, attr)
    assert [(op.name, op.function) for op in ops] == [("getitem", None), ("reshape", None), ("transpose", None)]


# -- Stacks of rows, and sums of rows in zeros: what they become, and the same bits

A, B = np.random.default_rng(2).normal(size=(2, 20, 3))


def shown(op: Op) -> str:
    """Return what an operation takes of what shape, and the shape that it gives."""
    colons = lambda part: ":".join("" if x is None else str(x) for x in part[1:]) if isinstance(part, tuple) else part
    how = f"[{', '.join(str(colons(part)) for part in op.attrs[0])}]" if op.kind == "slice" else f" {op.name}"
    given = " ".join(str(list(x.shape)) if isinstance(x, Value) else str(x) for x in op.args)
    return f"{given}{how} -> {list(op.out.shape)}"


def new(before: list[Op], after: list[Op]) -> list[str]:
    return [shown(op) for op in after if op not in before]


A_TO_8 = "[20, 3][0:8:1] -> [8, 3]"
STACKED: dict[str, tuple[Any, list[str]]] = {
    "eight rows": (lambda a, b: np.stack([a[t] for t in range(8)]), [A_TO_8, "[8, 3][::] -> [8, 3]"]),
    "seven rows": (lambda a, b: np.stack([a[t] for t in range(7)]), []),
    "all rows": (lambda a, b: np.stack([a[t] for t in range(20)]), ["[20, 3][::] -> [20, 3]"]),
    "the first axis, from the end": (
        lambda a, b: np.stack([a[t] for t in range(8)], -2), [A_TO_8, "[8, 3][::] -> [8, 3]"]
    ),
    "another axis": (
        lambda a, b: np.stack([a[t] for t in range(8)], 1),
        [A_TO_8, "[8, 3] concatenate -> [8, 3]", "[8, 3] in_order -> [3, 8]"],
    ),
    "every other row": (
        lambda a, b: np.stack([a[2 * t + 1] for t in range(8)]),
        ["[20, 3][1:16:2] -> [8, 3]", "[8, 3] in_order -> [8, 3]"],
    ),
    "back": (
        lambda a, b: np.stack([a[9 - t] for t in range(8)]), ["[20, 3][9:1:-1] -> [8, 3]", "[8, 3] in_order -> [8, 3]"]
    ),
    "here and there": (
        lambda a, b: np.stack([a[t * t % 9] for t in range(8)]), ["[20, 3] rows -> [8, 3]", "[8, 3][::] -> [8, 3]"]
    ),
    "of what was computed": (
        lambda a, b: np.stack([np.sin(a)[t] for t in range(8)]), [A_TO_8, "[8, 3][::] -> [8, 3]"]
    ),
    "of another view": (
        lambda a, b: np.stack([a.T.reshape(12, 5)[t] for t in range(8)]),
        ["[12, 5][0:8:1] -> [8, 5]", "[8, 5] in_order -> [8, 5]"],
    ),
    "all of another view": (
        lambda a, b: np.stack([a.reshape(12, 5)[t] for t in range(12)]), ["[12, 5] in_order -> [12, 5]"]
    ),
    "single numbers": (
        lambda a, b: np.stack([np.exp(a[0].sum() * b.reshape(60))[t] for t in range(8)]),
        ["[60][0:8:1] -> [8]", "[8][::] -> [8]"],
    ),
    "six others": (
        lambda a, b: np.stack([a[t] for t in range(8)] + [b[t] for t in range(6)]),
        [A_TO_8, *["[3][None] -> [1, 3]"] * 6, f"[8, 3] {' '.join(['[1, 3]'] * 6)} concatenate -> [14, 3]"],
    ),
    "seven others": (lambda a, b: np.stack([a[t] for t in range(8)] + [b[t] for t in range(7)]), []),
    "rows of two": (
        lambda a, b: np.stack([*(a[t] for t in range(8)), *(b[t] for t in range(1, 10))], -1),
        [A_TO_8, "[20, 3][1:10:1] -> [9, 3]", "[8, 3] [9, 3] concatenate -> [17, 3]", "[17, 3] in_order -> [3, 17]"],
    ),
    "parts of rows": (lambda a, b: np.stack([a[t, :2] for t in range(8)]), []),
    "columns": (lambda a, b: np.stack([a.reshape(3, 20)[:, t] for t in range(8)]), []),
    "windows": (lambda a, b: np.stack([a[t : t + 1] for t in range(8)]), []),
    "whole arrays": (lambda a, b: np.stack([a, b] * 4), []),
    "no stack": (lambda a, b: np.concatenate([a[t] for t in range(8)]), []),
}  # fmt: skip


@pytest.mark.parametrize("name", STACKED)
def test_a_stack_of_rows_is_made_of_parts_of_their_array(name: str) -> None:
    f, wanted = STACKED[name]
    made = program(f, [A, B])
    before, bits = list(made.ops), bits_of(made, [A, B])
    after = rows.stack_rows(made.ops)
    assert new(before, after) == wanted
    assert len(after) == len(before) + len(wanted) - bool(wanted)
    assert bits_of(Program(after, made.inputs, made.outputs), [A, B]) == bits
    np.testing.assert_array_equal(np.frombuffer(bits[0][:-3]), f(A, B).ravel())


def terms(places: Any, f: Any = np.sin, index: Any = lambda t: t) -> Any:
    """Return the gradient of a sum of a function of some rows."""
    return grad(lambda a: sum((f(a[index(t)]) * (k + 1)).sum() for k, t in enumerate(places)))


SPREAD: dict[str, tuple[Any, list[str]]] = {
    "all rows": (terms(range(20)), ["stack of 20", "[20, 3] 0.0 add -> [20, 3]"]),
    "eight rows": (terms(range(8)), ["stack of 8", "[8, 3] 0.0 add -> [8, 3]", "[8, 3] fill -> [20, 3]"]),
    "seven rows": (terms(range(7)), []),
    "the last rows": (terms(range(11, 20)), ["stack of 9", "[9, 3] 0.0 add -> [9, 3]", "[9, 3] fill -> [20, 3]"]),
    "rows from the end": (
        terms(range(-8, 0)), ["stack of 8", "[8, 3] 0.0 add -> [8, 3]", "[8, 3] fill -> [20, 3]"]
    ),
    "every other row": (terms(range(0, 20, 2)), []),
    "one row twice": (
        terms([*range(9), 4]),
        ["[3] [3] add -> [3]", "stack of 9", "[9, 3] 0.0 add -> [9, 3]", "[9, 3] fill -> [20, 3]"],
    ),
    "one row thrice": (
        terms([5, *range(9), 5]),
        [*["[3] [3] add -> [3]"] * 2, "stack of 9", "[9, 3] 0.0 add -> [9, 3]", "[9, 3] fill -> [20, 3]"],
    ),
    "columns": (
        grad(lambda a: (lambda b: sum((np.sin(b[:, t]) * (t + 1)).sum() for t in range(12)))(a.reshape(5, 12))),
        ["stack of 12", "[12, 5] 0.0 add -> [12, 5]", "[12, 5] in_order -> [5, 12]"],
    ),
    "some columns": (
        grad(lambda a: (lambda b: sum((np.sin(b[:, t]) * (t + 1)).sum() for t in range(3, 12)))(a.reshape(5, 12))),
        ["stack of 9", "[9, 5] 0.0 add -> [9, 5]", "[9, 5] fill -> [12, 5]", "[12, 5] in_order -> [5, 12]"],
    ),
    "rows and a column": (
        grad(lambda a: sum((np.sin(a[t]) * (t + 1)).sum() for t in range(9)) + np.cos(a[:, 1]).sum()), []
    ),
    "windows": (terms(range(9), index=lambda t: slice(t, t + 1)), []),
    "single numbers": (terms(range(9), index=lambda t: (t, 1)), []),
    "a chosen row": (terms(range(9), index=lambda t: [t]), []),
    "a difference": (lambda a: terms(range(7))(a) - terms([7], np.cos)(a), []),
    "a product": (lambda a: terms(range(7))(a) * terms([7], np.cos)(a), []),
    "a sum that is read twice": (
        lambda a: (lambda g: (g + terms([9], np.cos)(a)) * g)(terms(range(8))(a)),
        ["stack of 8", "[8, 3] 0.0 add -> [8, 3]", "[8, 3] fill -> [20, 3]"],
    ),
    "beside a number": (
        lambda a: terms(range(8))(a) + 1.0, ["stack of 8", "[8, 3] 0.0 add -> [8, 3]", "[8, 3] fill -> [20, 3]"]
    ),
    "two sums of rows": (
        grad(lambda a: (lambda b: sum((np.sin(a[t]) + np.cos(b[t])).sum() for t in range(9)))(np.exp(a))),
        ["stack of 9", "[9, 3] 0.0 add -> [9, 3]", "[9, 3] fill -> [20, 3]"] * 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPREAD)
def test_a_sum_of_rows_in_zeros_is_a_stack(name: str) -> None:
    f, wanted = SPREAD[name]
    made = program(f, [A])
    before, bits = list(made.ops), bits_of(made, [A])
    after = rows.stack_row_gradients(made.ops, made.outputs)
    found = [f"stack of {len(op.args)}" if op.name == "stack" else shown(op) for op in after if op not in before]
    assert found == wanted
    assert bits_of(Program(after, made.inputs, made.outputs), [A]) == bits
    np.testing.assert_array_equal(np.frombuffer(bits[0][:-3]), np.asarray(f(A)).ravel())
