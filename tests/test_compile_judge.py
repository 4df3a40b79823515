"""Parts of the check of a new plan: which operations round, the allowed difference, further trials, and proofs."""

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_passes import KERNELS, PLACES, function, program

import tinygrad_nn as tg
from tinygrad_nn.compiled import check
from tinygrad_nn.compiled.code import Code
from tinygrad_nn.compiled.program import verify
from tinygrad_nn.compiled.program.values import Op, Value
from tinygrad_nn.compiled.trace.nodes import Untraceable
from tinygrad_nn.tree import flatten

EPS = np.finfo(float).eps


def run(text: str, given: str, noise: Any = None) -> list[np.ndarray]:
    return [np.asarray(x) for x in check.run_operations(program(text, given), function(text, given)[1], noise)]


TEXTS = [(text, given) for table in (KERNELS, PLACES) for given in table for text in table[given]]


def test_operations_one_by_one_give_what_the_function_gives() -> None:
    for text, given in TEXTS:
        f, arguments = function(text, given)
        with np.errstate(all="ignore"):
            found, wanted = run(text, given), [np.asarray(x) for x in flatten(f(*arguments))[0]]
        for a, b in zip(found, wanted, strict=True):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), text
            np.testing.assert_array_equal(a, b, err_msg=text)


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_operations_are_kept_as_they_were_when_code_is_made_of_them(backend: str) -> None:
    text = "np.vdot(a, b) * 2 + np.matmul(a * b, a.T)[0].sum()"
    made = program(text, "x x")
    before = [(op, op.kind, op.function, list(op.args), list(op.outs)) for op in made.ops]
    changed = Code(made, backend).program.ops
    assert [(op, op.kind, op.function, op.args, op.outs) for op in made.ops] == before
    assert not set(changed) & set(made.ops)
    arguments = function(text, "x x")[1]
    np.testing.assert_array_equal(check.run_operations(made, arguments)[0], function(text, "x x")[0](*arguments))


@pytest.mark.parametrize(
    ("text", "given", "terms"),
    [
        ("a * 2.0", "v", 1), ("np.sin(a)", "v", 1), ("np.sign(a)", "v", 0), ("a + 1", "i", 0), ("-a", "v", 0),
        ("a * 2", "z", 1), ("a.T * 1.0", "x", 0), ("a > 1", "v", 0), ("np.maximum(a, 2)", "v", 0),
        ("a @ b.T", "x x", 4), ("a @ b", "s s", 3), ("np.vdot(a, b)", "x x", 12), ("a.sum()", "x", 12),
        ("a.sum(0)", "x", 3), ("a.prod(1)", "x", 4), ("a.max(0)", "x", 0), ("a.sum(0)", "i", 0),
        ("np.cumsum(a)", "v", 4), ("np.cumsum(a)", "i", 0), ("np.sort(a)", "v", 0), ("np.searchsorted(a, b)", "v v", 0),
        ("np.convolve(a, b)", "v v", 4), ("np.heaviside(a, 0.5)", "v", 0), ("np.cumsum(a[:1]) * b", "v v", 0),
        ("np.where(a > 2, a, b)", "v v", 0), ("a.astype('f4')", "v", 0), ("a * (b + 1)", "v n", 1),
    ],
)  # fmt: skip
def test_an_operation_rounds_as_often_as_it_adds(text: str, given: str, terms: int) -> None:
    made, arguments = program(text, given), function(text, given)[1]
    op = next(op for op in made.ops if op.kind not in ("transpose", "slice") or len(made.ops) == 1)
    known: dict[Value, Any] = {v: arguments[v.slot] for v in made.inputs}
    for other in made.ops:
        values = [known.get(a, getattr(a, "data", None)) if isinstance(a, Value) else a for a in other.args]
        results = check._run_operation(other, values)
        if other is op:
            assert check._rounded(op, values, results) == terms
            return
        known.update(zip(other.outs, results, strict=True))


def test_noise_is_of_the_size_of_each_number() -> None:
    rng = np.random.default_rng(0)
    x = np.array([4.0, -4e8, 0.0, np.inf])
    with np.errstate(invalid="ignore"):
        error = np.array([check._noisy(x, 1, rng) - x for _ in range(200)])[:, :3]
    assert (np.abs(error).max(0) <= 2 * EPS * np.abs(x[:3])).all(), "that, and half a unit of rounding"
    assert (np.abs(error).max(0)[:2] >= 0.5 * EPS * np.abs(x[:2])).all()
    assert (error.min(0)[:2] < 0).all()
    assert (error.max(0)[:2] > 0).all()
    z = check._noisy(np.full(50, 1 + 1j, np.complex64), 1, rng)
    assert z.dtype == np.complex64
    assert 0 < np.abs(z - (1 + 1j)).max() < 4 * np.finfo(np.float32).eps
    for exact in (np.arange(3), np.array([True]), 2.5, 3, 1j, True):
        assert check._noisy(exact, 1, rng) is exact, "whole numbers, and numbers in the code, have no noise"


def test_noise_changes_only_operations_that_round() -> None:
    rng = np.random.default_rng(0)
    rows = [("np.sign(a) + 0", "v", True), ("np.maximum(a, 2.0)", "v", False), ("a * b", "v v", True),
            ("np.sin(a)", "v", True), ("a[::-1]", "v", False), ("a + 1", "i", False)]  # fmt: skip
    for text, given, moves in rows:
        (still,), (noisy,) = run(text, given), run(text, given, rng)
        assert (still != noisy).any() == moves, text
        np.testing.assert_allclose(noisy, still, rtol=64 * EPS, atol=0)


# -- How far two results may be apart


APART: Any = [
    (1.0, 1.0, None, None), ("a", "a", None, None), ("a", "b", None, "'a' instead of 'b'"),
    (None, None, None, None), (1, True, None, "1 instead of True"), (2, 3, None, "2 instead of 3"),
    (np.ones(2), np.ones(3), None, "float64[2] instead of float64[3]"),
    (np.ones(2, "f4"), np.ones(2), None, "float32[2] instead of float64[2]"),
    (np.array([1, 2]), np.array([1, 3]), None, "2 instead of 3 at [1] of int64[2]"),
    (np.array([1.0, np.nan]), np.array([1.0, np.nan]), None, None),
    (np.array([1.0, np.nan]), np.array([1.0, 2.0]), None, "nan instead of 2 at [1] of float64[2]"),
    (np.array([1.0, 2.0]), np.array([1.0, np.nan]), None, "2 instead of nan at [1] of float64[2]"),
    (np.array([np.inf]), np.array([np.inf]), None, None),
    (np.array([np.inf]), np.array([-np.inf]), None, "inf instead of -inf at [0] of float64[1]"),
    (np.array([1e300]), np.array([np.inf]), None, "1e+300 instead of inf at [0] of float64[1]"),
    (np.array([[1.0, 2.0 + 31 * 2 * EPS]]), np.array([[1.0, 2.0]]), None, None),  # 32 roundings of the largest
    (np.array([[1.0, 2.0 + 33 * 2 * EPS]]), np.array([[1.0, 2.0]]), None,
     "2 instead of 2 at [0, 1] of float64[1, 2]"),
    (np.array([1.0 + 62 * EPS, 2.0]), np.array([1.0, 2.0]), None, None),  # also where an entry is smaller
    (np.array([1.0 + 70 * EPS, np.inf]), np.array([1.0, np.inf]), None, "1 instead of 1 at [0] of float64[2]"),
    (np.array([1.0 + 31e-9, 1.0]), np.array([1.0, 1.0]), np.array([1e-9, 0.0]), None),
    (np.array([1.0 + 33e-9, 1.0]), np.array([1.0, 1.0]), np.array([1e-9, 0.0]),
     "1.00000003 instead of 1 at [0] of float64[2]"),
    (np.array([1.0, 1.0 + 31e-9, 1.0]), np.ones(3), np.array([1e-9, 0.0, 1e-9]), None),  # as its neighbours
    (np.array([1.0, 1.0 + 31e-9, 1.0]), np.ones(3), np.array([1e-9, 0.0, 0.0]),
     "1.00000003 instead of 1 at [1] of float64[3]"),
    (np.array([1.0, 9.0]), np.array([1.0, 2.0]), np.array([0.0, np.inf]), None),
    (np.array([9, 2]), np.array([1, 2]), np.array([np.inf, 0.0]), None),
    (np.array([1 + 2j]), np.array([1 + 3j]), None, "1+2j instead of 1+3j at [0] of complex128[1]"),
    (1.5, 2.5, None, "1.5 instead of 2.5 of float64[]"),
    (np.array([2e-20, np.inf]), np.array([1e-20, np.inf]), None, "2e-20 instead of 1e-20 at [0] of float64[2]"),
    (np.array([2.0]), np.array([np.inf]), np.array([0.0]), "2 instead of inf at [0] of float64[1]"),
]  # fmt: skip


@pytest.mark.parametrize(("found", "wanted", "slack", "text"), APART)
def test_two_leaves_differ_by_more_than_rounding(found: Any, wanted: Any, slack: Any, text: str | None) -> None:
    assert check._leaf_difference(found, wanted, slack) == text


@pytest.mark.parametrize(("found", "wanted", "slack", "text"), APART)
def test_two_large_arrays_differ_as_small_ones_do(found: Any, wanted: Any, slack: Any, text: str | None) -> None:
    if isinstance(wanted, np.ndarray) and found.shape == wanted.shape and slack is None:
        large = [np.resize(x, check.TILE + 8) for x in (found, wanted)]
        assert (check._leaf_difference(*large, slack) is None) == (text is None)
        for at in (0, check.TILE // 2, -1):  # one entry among many that are equal
            one = np.array(large[1])
            one[at] = large[0][at]
            assert check._leaf_difference(one, large[1], slack) is None or text is not None
            one[at] = wanted.flat[0] + 1 if wanted.dtype.kind in "fc" else wanted.flat[0] + 2
            same = not np.isfinite(wanted.flat[0]) and one[at] == large[1][at]
            assert (check._leaf_difference(one, large[1], slack) is None) == same


def test_what_noise_was_seen_grows() -> None:
    still = np.array([1.0, 2.0, np.inf, np.nan, 5.0, 6.0])
    again = np.array([1.5, 2.0, np.inf, np.nan, np.nan, np.inf])
    seen = check._largest_distance(None, again, still)
    np.testing.assert_array_equal(seen, [0.5, 0, 0, 0, np.inf, np.inf])
    np.testing.assert_array_equal(check._largest_distance(seen, still + 0.25, still), [0.5, 0.25, 0, 0, np.inf, np.inf])
    assert check._largest_distance(seen, still[:2], still) is seen
    np.testing.assert_array_equal(check._largest_distance(None, np.array([1, 2]), np.array([1, 3])), [0, np.inf])


def test_noise_is_looked_for_only_where_it_counts() -> None:
    runs: list[bool] = []

    def noisy(size: float) -> Any:
        def run(noise: bool) -> list[Any]:
            runs.append(noise)
            return [np.array([1.0 + noise * size]), "word"]

        return run

    result = (np.array([1.0]), "word")
    assert check.difference(result, result, noisy(0)) is None
    assert runs == [], "equal results need no run"
    assert check.difference((np.array([1.0 + 30e-6]), "word"), result, noisy(1e-6)) is None
    assert runs == [False, True], "one is enough"
    runs.clear()
    text = check.difference((np.array([1.0 + 34e-6]), "word"), result, noisy(1e-6))
    assert text is not None
    assert "instead of 1 at [0]" in text
    assert runs == [False] + [True] * check.RUNS
    runs.clear()
    assert check.difference((np.array([1.0]), "other"), result, noisy(1e-6)) == "'other' instead of 'word'"
    assert check.difference([np.ones(1)], result, noisy(1)) == "it returns 1 array instead of 2"
    assert runs == [], "words have no noise"


# -- Other arguments


@pytest.mark.parametrize("attempt", range(check.SAME + 1))
def test_arguments_change_less_and_less(attempt: int) -> None:
    rng = np.random.default_rng(0)
    x = np.arange(1.0, 41).reshape(20, 2)
    new, words = check._other_values(x, attempt, rng), np.array(["a", "b"])
    if attempt == check.SAME:
        assert new is x
    elif attempt == 3:
        np.testing.assert_array_equal(new, np.roll(x, 1, axis=0))
    else:
        assert (np.abs(new) >= x).all()
        assert (np.abs(new) <= 1.1 * x).all()
        assert len(np.unique(np.round(np.abs(new) / x, 6))) > 20, "each entry by itself"
        assert new.flat[0] < 0 if attempt == 0 else (new > 0).all()
        assert 5 < (new < 0).sum() < 35 or attempt
    assert check._other_values(words, attempt, rng) is words
    for dtype in ("f4", "c8", "i4", "u1", "?"):
        y = np.array([1, 0, 1], dtype)
        other = check._other_values(y, attempt, rng)
        assert (other.dtype, other.shape) == (y.dtype, y.shape)
        assert (other != y).any() == (attempt != check.SAME)
    whole = check._other_values(np.array(5), attempt, rng)
    assert whole == (6 if attempt < 2 else 5)
    assert check._other_values(np.array(True), attempt, rng)
    one = check._other_values(np.array(2.0), attempt, rng)
    assert 2 < one <= 2.2 if attempt < 3 else one == 2
    zeros = check._other_values(np.zeros(5), attempt, rng)
    assert ((zeros > 0) & (zeros < 0.1)).all() == (attempt < 3)


@pytest.mark.parametrize("attempt", range(check.SAME + 1))
@pytest.mark.parametrize("dtype", ["f4", "f8", "c16"])
def test_large_arguments_change_as_small_ones_do(dtype: str, attempt: int) -> None:
    x = np.arange(1.0, 400_001).reshape(1000, 400).astype(dtype)
    new = check._other_values(x, attempt, np.random.default_rng(0))
    assert (new.dtype, new.shape) == (x.dtype, x.shape)
    if attempt > 2:
        np.testing.assert_array_equal(new, np.roll(x, 1, axis=0) if attempt == 3 else x)
        return
    factors = new / x
    assert ((np.abs(factors) > 1 - 1e-6) & (np.abs(factors) < 1.1 + 1e-6)).all()
    assert all(len(np.unique(np.round(row.real, 5))) > 300 for row in factors[::100]), "each entry by itself"
    assert not any((row == factors[0]).all() for row in factors[1:]), "no row as another"
    assert (factors.real[0, 0] < 0) == (attempt == 0)
    assert 0.4 < (factors.real < 0).mean() < 0.6 or attempt
    zeros = check._other_values(np.zeros_like(x), attempt, np.random.default_rng(0))
    assert ((zeros.real > 0) & (zeros.real < 0.1)).all()
    assert zeros.dtype == x.dtype


@pytest.mark.parametrize("filled", [0.0, 1.0])
@pytest.mark.parametrize("attempt", range(3))
@pytest.mark.parametrize("period", [check.TILE, check.OTHER_TILE])
def test_no_entry_of_a_large_argument_is_as_a_later_one(period: int, attempt: int, filled: float) -> None:
    x = check._other_values(np.full(3 * period + 5, filled), attempt, np.random.default_rng(0))
    for times in (1, 2, 3):
        assert (x[: -times * period] == x[times * period :]).mean() < 0.01


@pytest.mark.parametrize(("kind", "strides"), [(0, (16, 8)), (1, (32, 16)), (2, (-16, 8)), (3, (8, 24)), (4, (16, 8))])
def test_arguments_lie_elsewhere(kind: int, strides: tuple[int, ...]) -> None:
    x = np.arange(6.0).reshape(3, 2)
    new = check.in_other_layout(x, kind)
    np.testing.assert_array_equal(new, x)
    assert new.strides == strides
    assert (new.base is not None) == (kind % 4 != 3)
    assert not np.shares_memory(new, x)
    single = check.in_other_layout(np.array(3.0), kind)
    assert (single.shape, single[()], single.base.shape) == ((), 3.0, (3,))
    assert check.in_other_layout(np.zeros((0, 2)), kind).shape == (0, 2)


def test_arguments_of_every_kind_have_others() -> None:
    rng = np.random.default_rng(0)
    tensors = [tg.Tensor([1.0, 2.0], name="w"), tg.Tensor([1.0, 2.0], requires_grad=False)]
    leaves = [rng, "word", np.float32(2), *tensors, np.ones((2, 2)), np.ones((2, 2))]
    new = check.other_arguments(leaves, frozenset({5}), frozenset({6}), 1)
    assert new[0] is rng
    assert new[1] == "word"
    assert type(new[2]) is np.float32
    assert (new[3].node is not None, new[4].node is not None, new[3].name) == (True, False, "w")
    assert new[5] is leaves[5], "what the plan depends on stays"
    assert new[6].base is None or new[6].flags.c_contiguous, "what is written into lies in order"
    assert (new[6] != 1).all()
    same = check.other_arguments(leaves, frozenset(), frozenset({5, 6}), check.SAME)
    assert not any(np.shares_memory(same[k], leaves[k]) for k in (5, 6)), "what is written into is no person's array"


def test_two_numbers_change_by_different_factors() -> None:
    """With equal factors, a frozen value that depends only on their quotient would go unnoticed."""
    new = check.other_arguments([2.0, 2.0, 3, 1j, True], frozenset(), frozenset(), 0)
    assert new[0] != new[1]
    assert new[2:] == [4, new[3], True]
    assert 1 < abs(new[3]) <= 1.1


def test_numbers_that_are_not_finite_are_counted() -> None:
    nest = {"a": [np.array([np.inf, 1, np.nan])], "b": (float("nan"), "inf"), "c": np.array([complex(0, np.inf)])}
    assert check._count_non_finite([nest, 3, np.arange(3)]) == 4


# -- The proof that no array is read from memory where it no longer is


def value(number: int, size: int = 8, kind: str = "made") -> Value:
    made = Value(number, kind, (size // 8,), np.dtype(float))
    made.op = Op("ufunc", "f", np.sin, [], outs=[made]) if kind == "made" else None
    return made


def tenants(starts: dict[Value, int], onto: dict[Value, Value] | None = None) -> Any:
    memory = SimpleNamespace(
        target={}, onto=onto or {}, place={v: k for k, v in enumerate(starts)}, starts=list(starts.values()),
        root=lambda v: v, _entrywise=lambda op, x, out: False,
    )  # fmt: skip
    return verify.MemoryContents(SimpleNamespace(memory=memory, standing={}))


@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [((0, 64), (64, 64), True), ((64, 64), (0, 64), True), ((0, 64), (56, 64), False), ((56, 64), (0, 64), False),
     ((0, 64), (0, 64), False), ((0, 64), (16, 8), False), ((16, 8), (0, 64), False)],
)  # fmt: skip
def test_writing_a_value_ends_values_in_the_same_memory(first: Any, second: Any, stays: bool) -> None:
    a, b = value(1, first[1]), value(2, second[1])
    found = tenants({a: first[0], b: second[0]})
    assert not found.holds(a)
    found.write(a)
    assert found.holds(a)
    found.write(b)
    assert found.holds(b)
    assert found.holds(a) == stays
    op = Op("ufunc", "g", np.sin, [a], outs=[b])
    if stays:
        verify._check_overwrite(found, op, b)
        verify._check_read(found, a, "g")
        return
    with pytest.raises(Untraceable, match=r"g would write over what it reads\. .*bug in the compiler"):
        verify._check_overwrite(found, op, b)
    gone = r"g would read float64\[\d\] where it is not, or no longer\. .*bug in the compiler"
    with pytest.raises(Untraceable, match=gone):
        verify._check_read(found, a, "g")


def test_an_argument_is_there_until_it_is_written_over() -> None:
    given, out, other = value(1, kind="input"), value(2), value(3)
    found = tenants({}, {out: given})
    assert found.holds(given)
    assert not found.holds(out)
    assert not found.holds(other), "an output is there when it was made"
    found.write(out)
    assert found.holds(out)
    assert not found.holds(given)
    found.write(other)
    assert found.holds(other)
    with pytest.raises(Untraceable, match="over what it reads"):
        verify._check_overwrite(tenants({}, {out: given}), Op("ufunc", "g", np.sin, [given], outs=[out]), out)
    verify._check_overwrite(tenants({}, {out: given}), Op("ufunc", "g", np.sin, [other], outs=[out]), out)


@pytest.mark.parametrize(("low", "high", "inside"), [(0, 4, True), (1, 3, True), (3, 4, True), (4, 5, False)])
def test_a_view_must_lie_inside_its_base(low: int, high: int, inside: bool) -> None:
    whole = np.zeros(8)
    of, view = value(1, 32), value(2, 8 * (high - low))
    found = tenants({})
    found.memory.root = lambda v: of
    found.standing = {of: whole[:4], view: whole[low:high]}
    assert found.inside(view) == inside
    assert found.inside(of)
    found.standing = {of: whole[2:6], view: whole[:3]}
    assert not found.inside(view)


def test_an_empty_array_is_always_there_and_drives_out_nothing() -> None:
    a, empty = value(1, 64), value(2, 0)
    found = tenants({a: 0, empty: 8})
    assert found.holds(empty)
    found.write(a)
    found.write(empty)
    assert found.holds(a)


def test_a_copied_operation_has_everything_but_its_arguments() -> None:
    names = [field.name for field in dataclasses.fields(Op)]
    whole: Any = Op
    op = whole(*(f"value of {name}" for name in names))
    new = op.copied(["other"])
    assert new.args == ["other"]
    assert all(getattr(new, name) == getattr(op, name) for name in names if name != "args")


def test_a_plan_is_compared_after_its_buffers_were_filled_with_nan() -> None:
    plan = tg.compile(lambda x: (lambda y: np.sin(y) + np.cos(y)[::-1])(x * 2), backend="numpy").plan(np.ones(4))
    seen: list[np.ndarray] = []
    run, plan.enter = plan.run, lambda args, kwargs: seen.extend(x.copy() for x in plan.writer.buffers) or run(*args)
    draws: Any = SimpleNamespace(rewind=lambda: None)
    check.Trial(None, plan, plan.program, lambda leaves: (leaves, {}), draws)._replayed([np.ones(4)])
    assert seen
    assert all(np.isnan(x.view(float)).all() for x in seen)
