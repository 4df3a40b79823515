"""Kernels take the batch length as an argument: a batch of another length is right without a new compilation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import nn
from tinygrad_nn.compiled.program.values import Op, Program, Value

pytest.importorskip("numba", reason="these are kernels of numba")

from tinygrad_nn.compiled.numba import lengths, machine
from tinygrad_nn.compiled.numba.lengths import Length, Lengths, batch_of, giving_shapes, near_batch_length

Array = Any
RNG = np.random.default_rng(0)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The texts of the kernels that are compiled, or found compiled on disk, from now on."""
    texts: list[str] = []
    load = machine.load_source

    def counting(text: str) -> dict[str, Any]:
        texts.append(text)
        return load(text)

    machine.kernel_function.cache_clear()
    monkeypatch.setattr(machine, "load_source", counting)
    yield texts
    machine.kernel_function.cache_clear()


def dense(p: Any, x: Array, y: Array) -> Any:
    h = np.tanh(x @ p["w"] + p["b"])
    return ((h @ p["v"] - y) ** 2).mean()


def softmax(p: Any, x: Array, y: Array) -> Any:
    z = np.maximum(x @ p["w"] + p["b"], 0) @ p["v"]
    z = z - z.max(axis=1, keepdims=True)
    return (np.log(np.exp(z).sum(axis=1)) - (z * y).sum(axis=1)).sum() / len(x) + 0.01 * (p["w"] ** 2).sum()


def normed(p: Any, x: Array, y: Array) -> Any:
    z = x @ p["w"] + p["b"]
    z = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-5)
    return (((z * z) @ p["v"] - y) ** 2).mean(axis=0).sum()


def times_first(p: Any, x: Array, y: Array) -> Any:
    rows = np.swapaxes(x[:, None] * np.ones((5, 1)), 0, 1)  # (5, batch, features)
    z = np.sin(rows.reshape(-1, x.shape[1]) @ p["w"]).reshape(5, len(x), -1) + p["b"]
    return ((z.sum(axis=0) @ p["v"] - y) ** 2).mean()


def largest(p: Any, x: Array, y: Array) -> Any:
    return ((x @ p["w"] + p["b"]) @ p["v"]).max(axis=0).sum() + (y * y).max()


def neighbours(p: Any, x: Array, y: Array) -> Any:
    z = np.tanh(x @ p["w"] + p["b"]) @ p["v"]
    apart = z[1:] - z[:-1]
    around = np.concatenate([z[-1:], z[::-1][2:], z[:1]])
    return (apart**2).mean() + (around * around).sum() + (z[-1] * z[-2]).sum() + (y * z[::-1]).mean()


LOSSES = [dense, softmax, normed, times_first, largest, neighbours]


def weights(features: int, hidden: int, outputs: int) -> Any:
    return {
        "w": RNG.normal(size=(features, hidden)), "b": RNG.normal(size=hidden), "v": RNG.normal(size=(hidden, outputs)),
    }  # fmt: skip


def batch(rows: int, features: int, outputs: int) -> tuple[Array, Array]:
    return RNG.normal(size=(rows, features)), np.eye(outputs)[RNG.integers(0, outputs, rows)]


def step_of(loss: Callable[..., Any]) -> Callable[..., Any]:
    def step(p: Any, x: Array, y: Array) -> Any:
        value, g = tg.value_and_grad(loss)(p, x, y)
        return value, {k: p[k] - 0.1 * g[k] for k in p}

    return step


def same(found: Any, right: Any) -> None:
    for ours, theirs in zip(tg.tree.flatten(found)[0], tg.tree.flatten(right)[0], strict=True):
        # both add up at most some hundred numbers of size 1 to 100, in their own order
        np.testing.assert_allclose(ours, getattr(theirs, "data", theirs), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_another_batch_compiles_nothing(loss: Any, compiled: list[str]) -> None:
    p, step = weights(3, 5, 2), step_of(loss)
    run = tg.compile(step, backend="numba")
    counts = []
    for rows in (40, 39, 33, 17, 12):  # not 11, of which 2/20 is the rate of the step
        x, y = batch(rows, 3, 2)
        same(run(p, x, y), step(p, x, y))
        counts.append(len(compiled))
    assert 0 < counts[0] <= counts[1], "small arrays: one length, and then all"
    assert counts[1:] == counts[1:2] * 4


def test_large_arrays_compile_once(compiled: list[str]) -> None:
    p, step = weights(20, 40, 3), step_of(dense)
    run = tg.compile(step, backend="numba")
    counts = []
    for rows in (128, 120, 100, 111):
        x, y = batch(rows, 20, 3)
        same(run(p, x, y), step(p, x, y))
        counts.append(len(compiled))
    assert counts == counts[:1] * 4
    assert counts[0] > 0


def test_large_arguments_of_a_small_result_compile_once(compiled: list[str]) -> None:
    run = tg.compile(lambda x: x.sum(), backend="numba")
    counts = []
    for rows in (5000, 5100):
        x = RNG.normal(size=rows)
        np.testing.assert_allclose(run(x), x.sum(), rtol=1e-12, atol=1e-10)
        counts.append(len(compiled))
    assert counts == [counts[0]] * 2


@pytest.mark.parametrize("rows", [3, 8, 24])
def test_a_batch_as_long_as_a_layer_is_wide(rows: int) -> None:
    p, step = weights(4, 8, 3), step_of(normed)
    run = tg.compile(step, backend="numba")
    run.varies = True
    for n in (rows, rows + 1):
        x, y = batch(n, 4, 3)
        same(run(p, x, y), step(p, x, y))


def test_shapes_with_other_loops_compile_once_each(compiled: list[str]) -> None:
    p, step = weights(6, 30, 3), step_of(dense)
    run = tg.compile(step, backend="numba")
    run.varies = True
    for rows in (23, 30, 200, 210, 25, 220):  # of 23 and 200 rows the products are other loops
        x, y = batch(rows, 6, 3)
        same(run(p, x, y), step(p, x, y))
        if rows == 210:
            known = len(compiled)
    assert len(compiled) == known


def test_float32_and_one_thread_or_two(compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    single = {k: w.astype(np.float32) for k, w in weights(3, 5, 2).items()}
    for threads in (1, 2):
        monkeypatch.setattr(machine.Machine, "threads", staticmethod(lambda n=threads: n))
        monkeypatch.setattr("tinygrad_nn.compiled.numba.loops.LARGE", 8)  # so that loops are parted
        run, step, before = tg.compile(step_of(softmax), backend="numba"), step_of(softmax), len(compiled)
        run.varies, counts = True, []
        for rows in (40, 23, 50):
            x, y = (a.astype(np.float32) for a in batch(rows, 3, 2))
            found, right = run(single, x, y), step(single, x, y)
            for ours, theirs in zip(tg.tree.flatten(found)[0], tg.tree.flatten(right)[0], strict=True):
                np.testing.assert_allclose(ours, getattr(theirs, "data", theirs), rtol=2e-5, atol=2e-6)
            counts.append(len(compiled))
        assert counts == counts[:1] * 3
        assert counts[0] > before


def test_fit_compiles_nothing_for_the_rest_of_the_data(compiled: list[str]) -> None:
    def fitted(rows: int) -> int:
        before = len(compiled)
        x, y = RNG.normal(size=(rows, 4)), RNG.integers(0, 3, rows)
        model = nn.Sequential(nn.Linear(4, 6, rng=1), nn.Tanh(), nn.Linear(6, 3, rng=2))
        solver, settings = tg.Solver(nn.losses.cross_entropy, "adam", 0.01), tg.Settings(epochs=2, batch_size=32)
        tg.fit(model, x, y, solver=solver, settings=settings, rng=0, compile="numba", progress=False)
        return len(compiled) - before

    whole = fitted(96)
    assert fitted(96 + 17) == 0 < whole


def test_scans_are_right_for_every_batch() -> None:
    def loss(w: Array, x: Array) -> Any:
        _, h = tg.scan(lambda h, row: ((h := np.tanh(row @ w + 0.5 * h)), h), np.zeros((x.shape[1], 3)), x)
        return (h * h).mean()

    w, run = RNG.normal(size=(2, 3)), tg.compile(tg.value_and_grad(loss), backend="numba")
    for rows in (5, 9, 3):
        x = RNG.normal(size=(20, rows, 2))
        same(run(w, x), tg.value_and_grad(loss)(w, x))


# -- Lengths as text


def lengths_of(rows: int) -> list[int]:
    """Lengths and plain numbers, and random products and sums of them."""
    found: list[int] = [Length(rows), Length(3 * rows, 3), 1, 2, 7]
    for _ in range(40):
        a, b = (found[k] for k in RNG.integers(0, len(found), 2))
        found.append(a * b if RNG.integers(2) and max(a, b) < 10**6 else a + b)
    return found


@pytest.mark.parametrize("rows", [2, 3, 17, 128])
def test_the_text_of_a_length_is_its_value(rows: int) -> None:
    for n in lengths_of(rows):
        assert eval(f"2 * {n} + 1", {"rows": rows}) == eval(f"2 * {n!s} + 1", {"rows": rows}) == 2 * int(n) + 1
        assert repr(n) == str(int(n)), "where people read it, it is a number"
        if isinstance(n, Length):
            assert eval(str(n.batch), {"rows": rows}) == rows == n.batch
            assert eval(str(n), {"rows": rows + 1}) == n.times * (rows + 1) + n.offset, "and that of another batch"


def test_lengths_print_as_expressions_of_the_batch_size() -> None:
    n = Length(40)
    assert [str(x) for x in (n, 3 * n, n * 3, 3 * n + 2, 2 + n, 0 * n, n * n, math.prod((2, n, 5)), n // 2, n % 7)] == [
        "rows", "(3 * rows)", "(3 * rows)", "(3 * rows + 2)", "(rows + 2)", "0", "1600", "(10 * rows)", "20", "5",
    ]  # fmt: skip
    assert [str(x) for x in (n - 1, n - n, 3 * n - 2)] == ["(rows + -1)", "0", "(3 * rows + -2)"]
    ends = [
        near_batch_length(38, n),
        near_batch_length(35, n),
        near_batch_length(40, n),
        near_batch_length(41, n),
        near_batch_length(3, 4),
        near_batch_length(4, Length(8)),
        near_batch_length(5, Length(8)),
    ]
    assert [str(x) for x in ends] == ["(rows + -2)", "35", "rows", "41", "3", "4", "(rows + -3)"]
    assert [(n + 2) * 3, n, hash(n)] == [126, 40, hash(40)]
    assert [str((n + 2) * 3), str(n + n), f"{(n, 2)}"] == ["(3 * rows + 6)", "(2 * rows)", "(40, 2)"]


def value(*shape: int, kind: str = "made", slot: int = -1) -> Value:
    return Value(0, kind, shape, np.dtype(float), slot=slot)


def made(kind: str, args: list[Value], attrs: Any, shape: tuple[int, ...]) -> Value:
    out = value(*shape)
    out.op = Op(kind, kind, np.add, [*args], attrs, [out])
    return out


def known(inputs: list[Value], *outs: Value, rows: int = 4) -> list[str]:
    """The known shapes of results, as text."""
    program = Program([out.op for out in outs if out.op is not None], inputs, [outs[-1]])
    found = Lengths(program, (rows, [x.slot for x in inputs if x.slot >= 0]))
    return [" ".join(map(str, found.shapes.get(out, out.shape))) for out in outs]


def test_the_axis_of_the_batch_is_followed() -> None:
    x, w, times = value(4, 3, slot=0), value(3, 4), value(5, 4, 3, slot=1)
    square, several = value(4, 4, slot=2), value(4, 3, 2, slot=3)
    cases: list[tuple[Value, str]] = [
        (made("ufunc", [x, value(3)], (), (4, 3)), "rows 3"),
        (made("ufunc", [x, value(2, 1, 1)], (), (2, 4, 3)), "2 rows 3"),
        (made("where", [value(1, 3), x, value()], (), (4, 3)), "rows 3"),
        (made("matmul", [x, w], (), (4, 4)), "rows 4"),
        (made("matmul", [w, x], (), (3, 3)), "3 3"),
        (made("matmul", [times, value(3, 4)], (), (5, 4, 4)), "5 rows 4"),
        (made("matmul", [value(5, 3), several], (), (4, 5, 2)), "rows 5 2"),
        (made("vdot", [x, x], (), ()), ""),
        (made("transpose", [x], ((1, 0),), (3, 4)), "3 rows"),
        (made("transpose", [square], ((1, 0),), (4, 4)), "4 rows"),
        (made("reduce", [x], ((1,), False, None), (4,)), "rows"),
        (made("reduce", [x], ((1,), True, None), (4, 1)), "rows 1"),
        (made("reduce", [x], ((0,), True, None), (1, 3)), "1 3"),
        (made("reduce", [times], ((0, 2), False, None), (4,)), "rows"),
        (made("broadcast", [value()], ((4, 3),), (4, 3)), "rows 3"),
        (made("broadcast", [value(3)], ((4, 3),), (4, 3)), "rows 3"),
        (made("broadcast", [value(3, 1)], ((3, 4),), (3, 4)), "3 4"),
        (made("broadcast", [x], ((2, 4, 3),), (2, 4, 3)), "2 rows 3"),
        (made("reshape", [x], ((12,),), (12,)), "(3 * rows)"),
        (made("reshape", [x], ((4, 1, 3),), (4, 1, 3)), "rows 1 3"),
        (made("reshape", [times], ((20, 3),), (20, 3)), "(5 * rows) 3"),
        (made("reshape", [times], ((5, 12),), (5, 12)), "5 (3 * rows)"),
        (made("reshape", [times], ((10, 2, 3),), (10, 2, 3)), "10 2 3"),
        (made("slice", [x], ((0,),), (3,)), "3"),
        (made("slice", [x], ((("slice", None, None, None), 1),), (4,)), "rows"),
        (made("slice", [x], ((("slice", 1, None, None),),), (3, 3)), "3 3"),  # of four it may be any three
        (made("slice", [x], ((None, ("slice", None, None, -1)),), (1, 4, 3)), "1 rows 3"),
        (made("slice", [times], ((("slice", 2, 4, None),),), (2, 4, 3)), "2 rows 3"),
        (made("call", [x], (), (4, 7)), "rows 7"),
        (made("call", [x], (), (7, 4)), "7 rows"),
        (made("call", [x], (), (7, 3)), "7 3"),
        (made("cast", [w], (), (3, 4)), "3 4"),
    ]
    for out, text in cases:
        assert known([x, w, times, square, several], out) == [text], out.op


@pytest.mark.parametrize(("part", "left", "text"), [
    ((1, None, None), 39, "(rows + -1)"), ((None, -2, None), 38, "(rows + -2)"), ((2, -2, None), 36, "(rows + -4)"),
    ((None, None, -1), 40, "rows"), ((5, None, None), 35, "35"), ((None, None, 2), 20, "20"),
    ((39, None, -1), 40, "rows"),
])  # fmt: skip
def test_a_part_without_some_rows_at_the_ends(part: Any, left: int, text: str) -> None:
    x = value(40, 3, slot=0)
    assert known([x], made("slice", [x], ((("slice", *part),),), (left, 3)), rows=40) == [f"{text} 3"]


def test_a_merged_batch_axis_is_split_again() -> None:
    x = value(5, 4, 3, slot=0)
    merged = made("reshape", [x], ((20, 3),), (20, 3))
    again = made("reshape", [merged], ((5, 4, 3),), (5, 4, 3))
    assert known([x], merged, again) == ["(5 * rows) 3", "5 rows 3"]


def test_without_a_batch_nothing_is_known() -> None:
    x = value(4, 3, slot=0)
    out = made("ufunc", [x], (), (4, 3))
    for batch_ in ((0, ()), (1, [0]), (4, ())):
        assert not Lengths(Program([out.op], [x], [out]), batch_).shapes  # type: ignore[list-item, arg-type]


def test_numbers_that_count_the_batch() -> None:
    x = value(40, 3, 7, slot=0)
    program = Program([made("reduce", [x], (axes, False, None), shape).op  # type: ignore[misc]
                       for axes, shape in (((0, 2), (3,)), ((1,), (40, 7)))], [x], [])  # fmt: skip
    found = Lengths(program, (40, [0]))
    texts = {
        40.0: "rows", -40.0: "-rows", 1 / 40: "1.0 / rows", -1 / 40: "-1.0 / rows", 2 / 40: "2.0 / rows",
        280: "(7 * rows)", 1 / 280: "1.0 / (7 * rows)", 3 / 40: None, 3: None, 0.0: None, math.inf: None, 40.5: None,
        120: None, math.nan: None, 1e300: None, 1e-300: None,
    }  # fmt: skip
    assert {x: found.number(x) for x in texts} == texts
    for x, text in texts.items():
        assert text is None or eval(text, {"rows": 40}) == x


@pytest.mark.parametrize("rows", [2_810, 123_457, 2**40 + 1])
def test_numbers_that_count_a_large_batch(rows: int) -> None:
    x = value(rows, 3, slot=0)
    program = Program([made("reduce", [x], ((0,), False, None), (3,)).op], [x], [])  # type: ignore[list-item]
    found = Lengths(program, (rows, [0]))
    assert [found.number(x) for x in (rows, 1 / rows, -2 / rows)] == ["rows", "1.0 / rows", "-2.0 / rows"]
    assert found.number(rows + 1) is found.number(float(2**53)) is None


def test_shapes_are_named_only_inside_the_context() -> None:
    x = value(4, 3)
    texts = []

    def look() -> None:
        with giving_shapes({x: (Length(4), 3)}):
            texts.append(str(x.shape[0]))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        look()
    assert [*texts, str(x.shape[0])] == ["rows", "4"]


@pytest.mark.parametrize(("shapes", "rows", "slots"), [
    ([[(3, 5), (5,)], [(40, 3)], [(40,)]], 40, [2, 3]),
    ([[(3, 5)], [()], [(40, 3), (40,)]], 40, [2, 3]),
    ([[(40, 3)], [(40,)], [(3, 5), (5,)]], 40, [0, 1]),
    ([[(3, 5)], [(7, 40, 3)], [(40, 2)]], 40, [1, 2]),
    ([[(3, 5)], [(40, 3)], [()], []], 40, [1]),
    ([[()], []], 0, []),
    ([], 0, []),
    ([[(3, 5), (5,)]], 0, []),
    ([[(6,)]], 6, [0]),
])  # fmt: skip
def test_which_arguments_are_the_batch(shapes: Any, rows: int, slots: list[int]) -> None:
    parts = [[np.zeros(shape) if shape else 1.5 for shape in part] for part in shapes]
    assert batch_of(parts) == (rows, slots)


def test_the_names_of_lengths_do_not_leak() -> None:
    run = tg.compile(step_of(dense), backend="numba")
    p, (x, y) = weights(3, 5, 2), batch(40, 3, 2)
    run(p, x, y)
    plan = run.plan(p, x, y)
    for text in (plan.source, str(plan)):
        assert lengths.NAME not in text
