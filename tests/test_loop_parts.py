"""Loops and branches of a plan tested separately: steps one by one and at once, tapes, backward, carries.

Bodies are functions of NumPy here, and what is wanted is a loop written out in the test.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn.compiled.program import control
from tinygrad_nn.compiled.program.control import BackwardLoop, Choice, Loop, Tape
from tinygrad_nn.node import switched

FLOAT = np.dtype(float)
ROWS = np.arange(1.0, 11.0).reshape(5, 2)


def body(run: Any, inputs: int, roles: str = "", made: str = "") -> Any:
    """Return a loop body made of a function; if it runs all steps at once, letters give the roles of its arrays.

    The letters are f for fixed, q for a row of the tape, t for a row, c for a carry, for the inputs and the results.
    """

    def steps(n: int, first: int, stride: int, keep: bool, *given: Any) -> None:
        carries = [x for x, role in zip(given, roles, strict=False) if role == "c"]
        for s in range(n):
            now = {"t": first + stride * s, "q": n - 1 - s, "c": s if keep else s % 2}
            then = s + 1 if keep else (s + 1) % 2
            inputs_now = zip(given, roles, strict=False)
            found = run(*[x.reshape(()) if role == "f" else x[now[role]] for x, role in inputs_now])
            left, rows = iter(carries), iter(given[len(roles) :])
            for role, value in zip(made, found, strict=True):
                if role == "c":
                    next(left)[then] = value
                else:
                    next(rows)[now["t"]] = value

    like = SimpleNamespace(shape=(2,), dtype=FLOAT)
    program = SimpleNamespace(inputs=[like] * inputs)
    return SimpleNamespace(run=steps if roles else run, program=program, at_once=bool(roles))


def scan(reverse: bool = False, at_once: bool = False, **more: Any) -> Loop:
    """Return the loop of ``carry = c * carry + x`` that gives ``carry * x`` of each step."""
    step = body(lambda c, h, x: (c * h + x, h * x), 3, *(("fct", "ct") if at_once else ()))
    return Loop(step, None, (1, 0, 1), 5, reverse, [((2,), FLOAT)], **more)


def wanted(order: Any, c: float, h: Any) -> tuple[Any, Any, list[Any]]:
    ys, tape = np.zeros((5, 2)), []
    for t in order:
        tape.append(h)
        ys[t] = h * ROWS[t]
        h = c * h + ROWS[t]
    return h, ys, tape


ORDERS = {(False, None): range(5), (True, None): range(4, -1, -1), (False, 3): range(3), (True, 3): range(4, 1, -1),
          (False, 0): range(0)}  # fmt: skip


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("tapes", [True, False])
@pytest.mark.parametrize(("reverse", "rows"), ORDERS)
def test_a_scan_takes_its_rows_in_order(reverse: bool, rows: int | None, tapes: bool, at_once: bool) -> None:
    loop, start = scan(reverse, at_once), np.array([0.5, -1.0])
    loop.tapes = tapes
    with switched("rows", rows):
        last, ys, tape = loop(np.array(0.25), start, ROWS)
    end, all_ys, carries = wanted(ORDERS[reverse, rows], 0.25, start)
    np.testing.assert_array_equal(last, end)
    np.testing.assert_array_equal(ys, all_ys)
    assert not np.shares_memory(last, start)
    assert tape.shape == ()
    kept = tape.item()
    if at_once:
        assert kept.steps == len(carries)
        if tapes:
            np.testing.assert_array_equal(kept.arrays[0], np.reshape(carries, (-1, 2)))
    else:
        assert [x[0].tolist() for x in kept] == ([x.tolist() for x in carries] if tapes else [])
    np.testing.assert_array_equal(start, [0.5, -1.0])


def test_an_entire_loop_does_all_steps_in_a_check() -> None:
    with switched("rows", 2):
        last, ys, _ = scan(entire=True)(np.array(0.5), np.ones(2), ROWS)
    end, all_ys, _ = wanted(range(5), 0.5, np.ones(2))
    np.testing.assert_array_equal(last, end)
    np.testing.assert_array_equal(ys, all_ys)


def test_a_while_loop_goes_on_as_long_as_its_test_holds() -> None:
    step, test = body(lambda c, h: (h * c,), 2), body(lambda most, h: (h.sum() < most,), 2)
    loop = Loop(step, test, (1, 1, 1), 0, False, [])
    assert loop.bodies == [step, test]
    start = np.asfortranarray(np.ones((2, 2)))
    last, tape = loop(np.array(2.0), np.array(30.0), start)
    np.testing.assert_array_equal(last, np.full((2, 2), 8.0))
    assert [x[0][0, 0] for x in tape.item()] == [1, 2, 4]
    assert all(x[0].flags.c_contiguous for x in tape.item())
    loop.tapes = False
    assert loop(np.array(2.0), np.array(30.0), start)[1].item() == []
    with switched("steps", 3):
        np.testing.assert_array_equal(loop(np.array(2.0), np.array(30.0), start)[0], last)
    with switched("steps", 2), pytest.raises(RuntimeError, match="more steps than allowed"):
        loop(np.array(2.0), np.array(30.0), start)
    stays, _ = loop(np.array(2.0), np.array(4.0), start)
    np.testing.assert_array_equal(stays, start)
    assert not np.shares_memory(stays, start)


# -- The backward loop


def pull(loop: Loop, at_once: bool) -> BackwardLoop:
    """Return the backward loop of `scan`; its sums are the gradient of c, here one for each column."""

    def back(c: Any, h: Any, x: Any, g: Any, gy: Any, total: Any) -> Any:
        return c * g + gy * x, g + gy * h, total + g * h

    step = body(back, 6, *(("fqtctc", "ctc") if at_once else ()))
    return BackwardLoop(step, loop, (1, 1, 1, 1), [((2,), FLOAT)], [((2,), FLOAT)])


@pytest.mark.parametrize("kept_at_once", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize(("reverse", "rows"), ORDERS)
def test_the_way_back_takes_rows_and_tape_from_the_last(
    reverse: bool, rows: int | None, at_once: bool, kept_at_once: bool
) -> None:
    loop, start = scan(reverse, kept_at_once), np.array([0.5, -1.0])
    order = ORDERS[reverse, rows]
    with switched("rows", rows):
        *_, tape = loop(np.array(0.25), start, ROWS)
    g, gys = np.array([1.0, -2.0]), ROWS[::-1] * 0.5
    total, first, found = pull(loop, at_once)(np.array(0.25), ROWS, g, gys, tape)
    _, _, carries = wanted(order, 0.25, start)
    gs, sums, grows = g, np.zeros(2), np.zeros((5, 2))
    for t, h in zip(reversed(order), reversed(carries), strict=True):
        grows[t] = gs + gys[t] * h
        sums, gs = sums + gs * h, 0.25 * gs + gys[t] * ROWS[t]
    for a, b in ((total, sums), (first, gs), (found, grows)):
        np.testing.assert_array_equal(a, b)
    assert not np.shares_memory(first, g)


def test_the_way_back_through_a_while_loop_runs_over_its_tape() -> None:
    step, test = body(lambda c, h: (h * c,), 2), body(lambda h: (h.sum() < 30,), 1)
    loop = Loop(step, test, (1, 0, 1), 0, False, [])
    back = body(lambda c, h, g, total: (c * g, total + (g * h).sum()), 4)
    of_all = BackwardLoop(back, loop, (1, 0, 1, 0), [], [((), FLOAT)])
    _, tape = loop(np.array(2.0), np.ones(4))
    total, first = of_all(np.array(2.0), np.ones(4), tape)
    np.testing.assert_array_equal(first, np.full(4, 8.0))
    assert total == 4 * 3 * 2.0**2


def test_inputs_of_a_body_have_their_parts() -> None:
    step = body(lambda *_: (), 6)
    loop = Loop(step, None, (1, 0, 2), 5, False, [((), FLOAT)])
    assert step.roles == (["fixed", "carry", "carry", "row", "row", "row"], ["carry", "carry", "row"])
    back = body(lambda *_: (), 0)
    BackwardLoop(back, loop, (2, 3, 1, 1), [((), FLOAT)] * 3, [((), FLOAT)] * 2)
    given = ["fixed"] * 2 + ["tape"] * 2 + ["row"] * 3 + ["carry"] + ["row"] + ["carry"] * 2
    assert back.roles == (given, ["carry"] + ["row"] * 3 + ["carry"] * 2)


# -- Branches, and arrays that are handed on


def test_a_branch_gets_its_own_and_what_both_take() -> None:
    choice = Choice([body(lambda a, b, x: (a + b, x), 3), body(lambda c, x: (c * x, x), 2)], (2, 1))
    for chosen, first in ((True, 3.0), (np.array(False), 50.0)):
        found, same = choice(chosen, np.array(1.0), np.array(2.0), np.array(10.0), 5.0)
        assert found == first
        assert (type(same), same.shape, same) == (np.ndarray, (), 5.0)
    one = Choice([body(lambda x: (x,), 1), body(lambda x: (-x,), 1)], (0, 0))
    x = np.ones(2)
    assert one(True, x) is not x
    np.testing.assert_array_equal(one(False, x), [-1, -1])


def test_arrays_for_user_code_are_contiguous_and_writable() -> None:
    x = np.arange(6.0).reshape(2, 3)
    closed = x.copy()
    closed.flags.writeable = False
    assert control.contiguous_array(x) is x
    for other in (x.T, closed, x[:, ::-1], np.asfortranarray(x)):
        found = control.contiguous_array(other)
        assert found.flags.carray
        assert not np.shares_memory(found, other)
        np.testing.assert_array_equal(found, other)
    generator = np.random.default_rng(0)
    assert control.contiguous_array(generator) is generator
    assert control.contiguous_array(2.5) == 2.5
    made = control.as_arrays([x, x.T, 2.5, np.float32(1)])
    assert made[0] is x
    assert [(type(a), a.shape, a.dtype.str, a.flags.carray) for a in made[1:]] == [
        (np.ndarray, (3, 2), "<f8", True), (np.ndarray, (), "<f8", True), (np.ndarray, (), "<f4", True)
    ]  # fmt: skip
    assert [np.shape(control._row_of_one(a)) for a in (2.0, np.array(2.0), np.ones(1), np.ones((2, 1)))] == [
        (1,), (1,), (1,), (2, 1)
    ]  # fmt: skip


def test_results_are_neither_arguments_nor_one_another() -> None:
    x, y, z = np.ones(2), np.zeros(2), np.full(2, 3.0)
    found = control._copy_shared([y, x, y, z], [x])
    assert found[0] is y
    assert found[3] is z
    assert len({id(a) for a in (*found, x)}) == 5
    np.testing.assert_array_equal(found, [y, x, y, z])


def test_a_tape_has_the_given_number_of_steps() -> None:
    tape = Tape([ROWS], 5)
    assert tape.arrays[0] is ROWS
    assert tape.steps == 5
