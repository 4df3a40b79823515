"""Sentences that say where an array is wrong, and by how much: each is checked on small arrays that show it."""

from typing import Any

import numpy as np
import pytest

from tinygrad_nn.compare.pattern import (
    _entry_text,
    _factor,
    _multiple,
    _order,
    _relations,
    _rest_text,
    _shift,
    _where,
    describe,
    distinct_text,
    fraction,
    list_text,
)

Array = np.ndarray[Any, Any]
NAN, INF = np.nan, np.inf


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-4.0, "-4"), (0.0, "0"), (1.0, "1"), (65.0, "65"), (1234567.0, "1234567"), (1 / 6, "1/6"),
        (-64 / 63, "-64/63"), (64 / 3, "64/3"),
        (1 / 64, "1/64"), (1 / 65, "0.0153846"), (65 / 64, "1.01562"), (65 / 2, "32.5"), (0.1234567, "0.123457"),
        (0.1, "0.1"), (0.05, "0.05"), (0.04, "0.04"), (0.025, "0.025"), (0.02, "0.02"),  # as they are written
        (1 / 9, "1/9"), (1 / 11, "1/11"), (1 / 19, "1/19"), (1 / 21, "1/21"), (1 / 24, "1/24"), (1 / 26, "1/26"),
        (1 / 39, "1/39"), (1 / 41, "1/41"), (1 / 49, "1/49"), (1 / 51, "1/51"),
        (NAN, "nan"), (INF, "inf"), (1 / 3 + 2e-10, "1/3"), (1 / 3 + 4e-10, "0.333333"), (-1 / 3 - 2e-10, "-1/3"),
        (1.0000001, "1.0000001"), (300.0 + 2e-7, "300"), (300.0 + 4e-7, "300"),
    ],
)  # fmt: skip
def test_a_number_is_a_fraction_of_small_numbers_where_it_is_one(value: float, text: str) -> None:
    assert fraction(value) == text


@pytest.mark.parametrize(
    ("value", "other", "text"),
    [
        (0.5, 1.0, "0.5"), (1.0000004, 1.0, "1.0000004"), (1 + 2**-52, 1.0, "1.0000000000000002"),
        (1 / 3, 0.25, "0.333333"), (1 / 3, 0.3333333, "0.33333333"), (1 / 3, 1 / 3, "0.33333333333333331"),
        (0.1 + 0.2, 0.3, "0.30000000000000004"),
    ],
)  # fmt: skip
def test_a_number_does_not_read_like_another(value: float, other: float, text: str) -> None:
    assert distinct_text(value, other) == text


@pytest.mark.parametrize(
    ("got", "right", "text"),
    [
        (3.0, 2.0, "it is 3, and should be 2 (ratio 1.5)"),
        (-2.0, 4.0, "it is -2, and should be 4 (ratio -0.5)"),
        (1.0000001, 1.0, "it is 1.0000001, and should be 1 (ratio 1.0000001)"),
        (1 / 3, 1 / 3 + 1e-9, "it is 0.333333333, and should be 0.333333334 (ratio 0.999999997)"),
        (3.0, 0.0, "it is 3, and should be 0"), (INF, 2.0, "it is inf, and should be 2"),
        (0.0, 2.0, "it is 0, and should be 2 (ratio 0)"),
        (1 + 2j, 3.0, "it is 1+2j, and should be 3"), (3.0, 1 + 2j, "it is 3, and should be 1+2j"),
        (1j, 2j, "it is 0+1j, and should be 0+2j"),
    ],
)  # fmt: skip
def test_the_sentence_about_the_value_of_an_entry(got: complex, right: complex, text: str) -> None:
    with np.errstate(all="raise"):
        assert _entry_text(np.array([0, got]), np.array([0, right]), (1,)) == text


def test_numbers_are_listed_the_first_six_of_them() -> None:
    assert [list_text(range(n)) for n in (1, 2, 3, 6, 7, 9)] == [
        "0", "0 and 1", "0, 1 and 2", "0, 1, 2, 3, 4 and 5", "0, 1, 2, 3, 4, 5, ... (7 in all)",
        "0, 1, 2, 3, 4, 5, ... (9 in all)",
    ]  # fmt: skip
    assert [_rest_text(n) for n in (1, 2)] == ["the other is right", "the other 2 are right"]


def mask(*rows: str) -> Array:
    return np.array([[entry == "x" for entry in row] for row in rows])


WHERE: list[tuple[Array, str]] = [
    (np.array(True), "A is wrong"), (np.array([True]), "A is wrong"), (np.array([[True]]), "A is wrong"),
    (np.array([True, True]), "Every entry of A is wrong"), (mask("xx", "xx"), "Every entry of A is wrong"),
    (mask("x.", "x."), "Column 0 of A is wrong, the other is right"),
    (mask("..", "xx"), "Row 1 of A is wrong, the other is right"),
    (mask("x", "."), "Row 0 of A is wrong, the other is right"),
    (mask("..x"), "Column 2 of A is wrong, the other 2 are right"),
    (mask("xxx", "...", "xxx", "..."), "Rows 0 and 2 of A are wrong, the other 2 are right"),
    (mask("xx.x", "xx.x"), "Columns 0, 1 and 3 of A are wrong, the other is right"),
    (mask("x.x", "x.x", "..."), "Entries [0, 0], [0, 2], [1, 0] and [1, 2] of A are wrong, the other 5 are right"),
    (mask("x.", ".x"), "The diagonal of A is wrong, the rest is right"),
    (mask(".x", "x."), "All but the diagonal of A is wrong, the rest is right"),
    (mask(".x", ".."), "The part above the diagonal of A is wrong, the rest is right"),
    (mask("..", "x."), "The part below the diagonal of A is wrong, the rest is right"),
    (mask("x..", ".x.", "..x"), "The diagonal of A is wrong, the rest is right"),
    (mask(".xx", "..x", "..."), "The part above the diagonal of A is wrong, the rest is right"),
    (mask("...", "x..", "xx."), "The part below the diagonal of A is wrong, the rest is right"),
    (mask("x..", "xx.", "xxx"),
        "Entries [0, 0], [1, 0], [1, 1], [2, 0], [2, 1], [2, 2] of A are wrong, the other 3 are right"),
    (mask("x..", ".x."), "Entries [0, 0] and [1, 1] of A are wrong, the other 4 are right"),
    (mask("x..", "...", "..."), "Entry [0, 0] of A is wrong, the other 8 are right"),
    (np.array([False, True]), "Entry [1] of A is wrong, the other is right"),
    (np.array([True, False, True]), "Entries [0] and [2] of A are wrong, the other is right"),
    (np.array([[[True, True]], [[False, False]]]), "Index 0 along axis 0 of A is wrong, the rest is right"),
    (np.array([[[True, False, True], [True, False, True]]] * 2),
        "Indices 0 and 2 along axis 2 of A are wrong, the rest is right"),
    (np.array([[[False] * 2, [True] * 2]] * 2), "Index 1 along axis 1 of A is wrong, the rest is right"),
    (np.array([[[True, False], [False, False]], [[False, True], [False, False]]]),
        "Entries [0, 0, 0] and [1, 0, 1] of A are wrong, the other 6 are right"),
    (np.array([[[True, False], [False, True]]]),
        "Entries [0, 0, 0] and [0, 1, 1] of A are wrong, the other 2 are right"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "text"), WHERE, ids=[text[:50] for _, text in WHERE])
def test_where_an_array_is_wrong(bad: Array, text: str) -> None:
    if "[2, 2]" in text:  # six are listed as they are
        text = text.replace("[2, 1], [2, 2]", "[2, 1] and [2, 2]")
    assert _where("A", bad) == text


R3 = [1.0, -2.0, 4.0]
RELATIONS: list[tuple[list[float], list[float], list[str]]] = [
    ([0.0, 0.0], [1.0, -2.0], ["0", "0 times the right one", "0 throughout"]),
    ([0.0], [1.0], ["0"]),
    ([2.0], [1.0], []),  # of one number all would hold
    ([-1.0, 2.0], [1.0, -2.0], ["minus the right one"]),
    ([-1.5, 3.0], [1.0, -2.0], ["-3/2 times the right one"]),
    ([3.0, 0.0], [1.0, -2.0], ["the right one plus 2"]),
    ([-1.0, -4.0], [1.0, -2.0], ["the right one minus 2"]),
    ([7.0, 7.0], [1.0, -2.0], ["7 throughout"]),
    ([1.0, 2.0], [1.0, -2.0], []),  # a relation of two numbers is found too easily
    ([1.0, 2.0, 4.0], R3, ["the absolute value of the right one"]),
    ([1.0, -1.0, 1.0], [2.0, -0.5, 4.0], ["the sign of the right one"]),
    ([1.0, -1.0, 1.0], R3, ["the sign of the right one", "the right one, cut off at ±1"]),
    ([1.0, 4.0, 16.0], R3, ["the square of the right one"]),
    ([1.0, -8.0, 64.0], R3, ["the right one cubed"]),
    ([1.0, -0.5, 0.25], R3, ["1 over the right one"]),
    ([1.0, -1.5, 1.5], R3, ["the right one, cut off at ±1.5"]),
    ([0.0, -3.0, 6.0], [0.4, -2.7, 6.3], ["the right one, rounded to 0 digits after the point"]),
    ([0.1, -3.8], [0.12, -3.79], []),
    ([0.1, -3.8, 5.1], [0.12, -3.79, 5.14], ["the right one, rounded to 1 digits after the point"]),
    ([0.1235, -3.7902, 5.1413], [0.12346, -3.79021, 5.14134],
        ["the right one, rounded to 4 digits after the point"]),
    ([0.12346, -3.79021, 5.14134], [0.123457, -3.790212, 5.141343], []),
    ([1.5, -1.5], [1.0, -2.0], ["the right one plus 0.5"]),
    ([1 + 1e-10, -2 - 2e-10], [1.0, -2.0], ["1.0000000001 times the right one"]),
    ([INF, 2.0, 4.0], R3, []),  # everything would be near enough
    ([NAN, 1.0], [1.0, 2.0], []), ([INF, INF], [1.0, 2.0], []),
]  # fmt: skip


@pytest.mark.parametrize(("got", "right", "texts"), RELATIONS, ids=[str(got) for got, *_ in RELATIONS])
def test_how_wrong_entries_follow_from_the_right_ones(got: list[float], right: list[float], texts: list[str]) -> None:
    g, r = np.array([*got, 9.0]), np.array([*right, 9.0])
    bad = np.arange(len(g)) < len(got)
    with np.errstate(all="raise"):
        assert list(_relations(g, r, bad, 1e-7)) == texts
    assert list(_relations(g + 0j, r + 0j, bad, 1e-7)) == []  # of complex numbers none is looked for


@pytest.mark.parametrize("entry", [0, 1, 2])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("close", "most"), [(1e-6, 6.25e-6), (1e-4, 6.25e-4), (1e-2, 3.75e-3), (1e-1, 3.75e-3)])
def test_a_relation_holds_within_its_error_and_a_thousandth_of_the_difference(
    entry: int, sign: int, close: float, most: float
) -> None:
    """The largest number is 6.25 and the largest difference 3.75."""
    right = np.array([2.0, 2.5, 1.0])
    for share in (0.9, 1.1):
        got = right * right
        got[entry] += sign * share * most
        found = list(_relations(got, right, np.ones(3, bool), close))
        assert ("the square of the right one" in found) is (share < 1)


def relations(got: Array, right: Array) -> list[str]:
    return list(_relations(got, right, got != right, 1e-7))


MATRIX = np.array([[1.0, 2.0], [-4.0, 3.0], [0.5, 7.0]])
BY_LINE: list[tuple[Array, list[str]]] = [
    (MATRIX * [[2], [3], [-1]],
        ["Row 0 is 2 times the right one, row 1 is 3 times the right one and row 2 is -1 times the right one."]),
    (MATRIX * [2, 3], ["Column 0 is 2 times the right one and column 1 is 3 times the right one."]),
    (MATRIX + np.array([[1], [-1], [2]]),
        ["Row 0 is the right one plus 1, row 1 is the right one plus -1 and row 2 is the right one plus 2."]),
    (MATRIX + np.array([1, 2]), ["Column 0 is the right one plus 1 and column 1 is the right one plus 2."]),
    (MATRIX[[2, 0, 1]],
        [("Its rows are right, but in another order: row 0 holds what belongs in row 2, row 1 holds what belongs in "
          "row 0 and row 2 holds what belongs in row 1.")]),
    (MATRIX[:, ::-1],
        [("Its columns are right, but in another order: column 0 holds what belongs in column 1 and column 1 holds "
          "what belongs in column 0.")]),
    (MATRIX * [[1 + 1e-7], [3], [-1]],
        [("Row 0 is 1.0000001 times the right one, row 1 is 3 times the right one and row 2 is -1 times the right "
        "one.")]),
    (MATRIX + np.array([[1, 2], [3, 5], [7, 1]]), []),
]  # fmt: skip


@pytest.mark.parametrize(("got", "texts"), BY_LINE, ids=[str(texts)[:40] for _, texts in BY_LINE])
def test_each_line_of_a_matrix_may_have_a_relation_of_its_own(got: Array, texts: list[str]) -> None:
    assert relations(got, MATRIX) == texts
    assert relations(got.reshape(3, 2, 1), MATRIX.reshape(3, 2, 1)) == []  # not a matrix


@pytest.mark.parametrize("shape", [(1, 4), (4, 1), (4,)])
def test_one_line_has_no_relations_by_lines(shape: tuple[int, ...]) -> None:
    right = np.array([1.0, 2.0, 3.0, 5.0]).reshape(shape)
    assert relations(right[..., ::-1] if shape != (4, 1) else right[::-1], right) == []


def test_relations_of_lines() -> None:
    r = np.array([3.0, 4.0])
    assert _multiple(2 * r, r) == 2
    assert _multiple(np.array([4.0, -3.0]), r) == 0  # at a right angle
    assert _multiple(np.array([5.0, 0.0]), r) == pytest.approx(15 / 25, rel=1e-15)
    assert _multiple(r, 0 * r) == 0
    assert _multiple(1e-200 * r, 2e-200 * r) == 0.5  # whose squares would be zero
    assert _factor(2 * r + [0, 0.5], r, 1.0) == pytest.approx(2.08, rel=1e-15)
    assert _factor(2 * r + [0, 0.5], r, 0.1) is None
    assert _factor(np.array([0.0, 2.0]), np.array([0.0, 1.0]), 0.0) == 2
    assert _shift(r + 1.5, r, 0.0) == 1.5
    assert _shift(r - [1, 2], r, 0.5) == -1.5
    assert _shift(r - [1, 2], r, 0.49) is None
    assert _shift(r - [-2, -1], r, 0.49) is None


def test_the_order_of_lines() -> None:
    right = np.arange(6.0).reshape(3, 2)
    assert _order(right, right, 0.0) == [0, 1, 2]
    assert _order(right[[1, 2, 0]], right, 0.0) == [1, 2, 0]
    assert _order(right[[1, 1, 0]], right, 0.0) is None  # each is used once
    assert _order(right[[1, 2, 0]] + 0.25, right, 0.25) == [1, 2, 0]
    assert _order(right[[1, 2, 0]] + 0.25, right, 0.2) is None
    assert _order(right[[1, 2, 0]] - 0.25, right, 0.2) is None
    assert _order(np.array([[7.0], [7.0]]), np.array([[7.0], [7.0]]), 0.0) == [0, 1]
    many = np.arange(65.0)[:, None]
    assert _order(many[:64][::-1], many[:64], 0.0) == list(range(63, -1, -1))
    assert _order(many[::-1], many, 0.0) is None


DESCRIBED: list[tuple[list[Any], list[Any], list[Any] | None, str, str]] = [
    ([1.0, 3.0], [1.0, 2.0], None, "dW",
        "Entry [1] of dW is wrong, the other is right: it is 3, and should be 2 (ratio 1.5)."),
    ([2.0, 4.0], [1.0, 2.0], None, "dW", "Every entry of dW is wrong. Each entry is 2 times the right one."),
    ([2.0, 4.0, 1.0], [1.0, 2.0, 1.0], None, "dW",
        "Entries [0] and [1] of dW are wrong, the other is right. Each wrong entry is 2 times the right one."),
    ([3.0], [2.0], None, "the gradient of b", "The gradient of b is wrong: it is 3, and should be 2 (ratio 1.5)."),
    ([3.0], [2.0], None, "db", "db is wrong: it is 3, and should be 2 (ratio 1.5)."),
    ([1.0, 2.5, 3.0], [1.0, 2.0, 3.5], [0, 0, 0], "x",
        ("Entries [1] and [2] of x are wrong, the other is right. The largest difference is at [1]: it is 2.5, and "
         "should be 2 (ratio 1.25).")),  # the largest differences, where none is beyond what is allowed
    ([1.0, 2.5, 1.0], [1.5, 1.0, 9.0], [1, 1, 0], "x",
        ("Entries [0] and [1] of x are wrong, the other is right. The largest difference is at [1]: it is 2.5, and "
         "should be 1 (ratio 2.5).")),  # the largest difference of those that are wrong
    ([INF, 1.0], [INF, 2.0], [0, 1], "x",
        "Entry [1] of x is wrong, the other is right: it is 1, and should be 2 (ratio 0.5)."),
    ([INF, 1.0, 5.0], [INF, 2.0, 9.0], [0, 1, 1], "x",
        ("Entries [1] and [2] of x are wrong, the other is right. The largest difference is at [2]: it is 5, and "
         "should be 9 (ratio 0.555556).")),
    ([-1.0, NAN, 3.0], [-2.0, 1.0, 7.0], [1, 0, 1], "x",
        ("Entries [0] and [2] of x are wrong, the other is right. The largest difference is at [2]: it is 3, and "
         "should be 7 (ratio 0.428571).")),
    ([[1.0, 4.0], [4.0, 3.0]], [[1.0, 2.0], [-4.0, 3.0]], None, "x",
        ("All but the diagonal of x is wrong, the rest is right. Each wrong entry is 4 throughout.")),
    (MATRIX[:, ::-1].tolist(), MATRIX.tolist(), None, "x",
        ("Every entry of x is wrong. Its columns are right, but in another order: column 0 holds what belongs in "
         "column 1 and column 1 holds what belongs in column 0.")),
]  # fmt: skip


@pytest.mark.parametrize(("got", "right", "bad", "name", "text"), DESCRIBED, ids=[text[:30] for *_, text in DESCRIBED])
def test_the_whole_sentence(got: list[Any], right: list[Any], bad: list[Any] | None, name: str, text: str) -> None:
    g, r = np.array(got), np.array(right)
    with np.errstate(all="raise"):
        assert describe(name, g, r, g != r if bad is None else np.array(bad, bool)) == text
