"""Metrics: the same numbers as loops over the definitions, defined at every edge, and each error teaches."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinygrad_nn.metrics import (
    accuracy_score,
    cm,
    f1_score,
    format_cm,
    loss_fct,
    precision_score,
    r2_score,
    recall_score,
)

SHAPES = st.one_of(st.tuples(st.integers(1, 8)), st.tuples(st.integers(1, 8), st.integers(1, 4)))
LABELS = st.integers(1, 30).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 3), min_size=n, max_size=n) for _ in range(2)])
)


def two_arrays(low: float, high: float) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    return SHAPES.flatmap(lambda shape: st.tuples(*[arrays(np.float64, shape, elements=st.floats(low, high))] * 2))


# ---- losses

NAIVE: dict[str, Callable[[list[tuple[float, float]], int], float]] = {
    "mae": lambda pairs, n: math.fsum(abs(y - p) for y, p in pairs) / n,
    "mse": lambda pairs, n: math.fsum((y - p) ** 2 for y, p in pairs) / n,
    "rmse": lambda pairs, n: math.sqrt(math.fsum((y - p) ** 2 for y, p in pairs) / n),
    "binarycrossentropy": lambda pairs, n: (
        -math.fsum(y * math.log(p) + (1 - y) * math.log(1 - p) for y, p in pairs) / n
    ),
    "crossentropy": lambda pairs, n: -math.fsum(y * math.log(p) for y, p in pairs) / n,
}


@pytest.mark.parametrize("loss", NAIVE)
@given(pair=two_arrays(0.01, 0.99))
def test_losses_are_their_definitions(loss: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    y, y_hat = pair
    expected = NAIVE[loss](list(zip(y.ravel().tolist(), y_hat.ravel().tolist(), strict=True)), len(y))
    for name in (loss, loss.upper(), loss.title()):
        result = loss_fct(y, y_hat, name)
        assert type(result) is float
        assert result == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_the_truth_comes_first_and_mse_is_the_default() -> None:
    assert loss_fct([1, 1], [0.5, 0.25], loss="crossentropy") == pytest.approx(-math.log(0.125) / 2)
    assert loss_fct([1.0, 2.0], [3.0, 2.0]) == 2.0


@pytest.mark.parametrize("loss", ["crossentropy", "binarycrossentropy"])
def test_cross_entropies_of_saturated_predictions_are_finite(loss: str) -> None:
    one_hot = [[1.0, 0.0], [0.0, 1.0]]
    assert loss_fct(one_hot, one_hot, loss) == 0
    wrong = loss_fct(one_hot, [[0.0, 1.0], [0.0, 1.0]], loss)
    assert 300 < wrong < 800
    assert loss_fct([1.0], [1e-300], loss) == pytest.approx(300 * math.log(10))
    assert loss_fct([1.0], np.array([1 + 1e-7], dtype=np.float32), loss) == 0


def test_a_column_is_not_broadcast_against_a_vector() -> None:
    y = np.arange(4.0)
    assert loss_fct(y, y[:, None], "mse") == 0
    assert r2_score(y[:, None], y) == 1


LOSS_ERRORS: list[tuple[Any, Any, str, str]] = [
    ([1.0], [1.0], "hinge", "unknown loss 'hinge'; known losses are mae, mse, rmse, binarycrossentropy, crossentropy"),
    ([0, 1], np.ones((2, 3)), "mse", r"y has shape \(2,\) and y_hat \(2, 3\).*one_hot\(y, classes=3\)"),
    (np.ones((2, 2)), np.ones((3, 2)), "mse", r"they must be the same\. Pass the y of that prediction"),
    ([], [], "mse", r"y has shape \(0,\); it needs one row per sample, and at least one"),
    (1.0, 1.0, "mse", r"y has shape \(\)"),
    ([[1.0, math.nan]], [[1.0, 2.0]], "mse", r"y\[0, 1\] is nan; scores need finite numbers\. Drop that row"),
    ([1.0], [math.inf], "mae", r"y_hat\[0\] is inf.*smaller learning rate"),
    (["a"], [1.0], "mse", r"y is of type <U1; it needs numbers\. Encode class names with one_hot\(y\)"),
    ([2.0], [0.5], "crossentropy", r"y holds 2, which is outside \[0, 1\]\. Encode labels with one_hot"),
    ([1.0], [-0.5], "CrossEntropy", r"y_hat holds -0\.5.*after softmax or sigmoid"),
    ([1.0], [1.5], "binarycrossentropy", r"y_hat holds 1\.5"),
]


@pytest.mark.parametrize(("y", "y_hat", "loss", "message"), LOSS_ERRORS)
def test_a_loss_refuses(y: Any, y_hat: Any, loss: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"loss_fct: .*{message}"):
        loss_fct(y, y_hat, loss)


# ---- R²

@given(two_arrays(-100, 100))
def test_r2_is_one_minus_the_unexplained_share(pair: tuple[np.ndarray, np.ndarray]) -> None:
    y, y_hat = (np.round(array, 3) for array in pair)
    columns = []
    for t, p in zip(y.reshape(len(y), -1).T, y_hat.reshape(len(y), -1).T, strict=True):
        total, residual = math.fsum((t - t.mean()) ** 2), math.fsum((t - p) ** 2)
        columns.append(1 - residual / total if len(set(t.tolist())) > 1 else float(residual == 0))
    assert r2_score(y, y_hat) == pytest.approx(sum(columns) / len(columns), rel=1e-9, abs=1e-9)


def test_r2_at_its_landmarks() -> None:
    y = np.array([1.0, 2.0, 6.0])
    assert r2_score(y, y) == 1
    assert r2_score(y, np.full(3, 3.0)) == 0
    assert r2_score(y, y[::-1]) < 0
    assert r2_score([0.1] * 3, [0.1] * 3) == 1
    assert r2_score([0.1] * 3, [0.1, 0.1, 0.2]) == 0
    assert type(r2_score(y, y)) is float
    with pytest.raises(ValueError, match=r"r2_score: y has shape \(3,\) and y_hat \(2,\)"):
        r2_score(y, y[:2])


# ---- the confusion matrix and its scores

@given(LABELS)
def test_scores_are_their_definitions(pair: tuple[list[int], list[int]]) -> None:
    y, y_hat = pair
    names = sorted({*y, *y_hat})
    rows = list(zip(y, y_hat, strict=True))
    matrix = cm(y, y_hat)
    assert matrix.dtype == np.int64
    assert matrix.tolist() == [[rows.count((i, j)) for j in names] for i in names]

    tp = [sum(t == p == c for t, p in rows) for c in names]
    fp = [sum(t != c == p for t, p in rows) for c in names]
    fn = [sum(t == c != p for t, p in rows) for c in names]
    expected = {
        precision_score: [a / (a + b) if a + b else 0.0 for a, b in zip(tp, fp, strict=True)],
        recall_score: [a / (a + b) if a + b else 0.0 for a, b in zip(tp, fn, strict=True)],
        f1_score: [2 * a / (2 * a + b + c) for a, b, c in zip(tp, fp, fn, strict=True)],
    }
    for score, each in expected.items():
        result = score(y, y_hat)
        assert result.each == pytest.approx(each)
        assert result.mean == pytest.approx(sum(each) / len(each))
    accuracy = accuracy_score(y, y_hat)
    assert accuracy.overall == pytest.approx(sum(t == p for t, p in rows) / len(rows))
    assert accuracy.each == pytest.approx([1 - (a + b) / len(rows) for a, b in zip(fp, fn, strict=True)])
    assert accuracy.mean == pytest.approx(accuracy.each.mean())


@given(LABELS)
def test_every_form_of_the_same_labels_gives_the_same_matrix(pair: tuple[list[int], list[int]]) -> None:
    y, y_hat = (np.array(labels) for labels in pair)
    classes = [0, 1, 2, 3]
    expected = cm(y, y_hat, classes)
    letters = np.array(list("abcd"))
    scores = np.eye(4)[y_hat] * 0.7 + 0.05
    forms: list[tuple[Any, Any, Any]] = [
        (np.eye(4)[y], np.eye(4)[y_hat], None),
        (np.eye(4, dtype=int)[y], scores, None),
        (y, scores, None),
        (np.eye(4)[y], y_hat, None),
        (y[:, None], y_hat.astype(float)[:, None], classes),
        (y.tolist(), np.log(scores), classes),
        (letters[y], letters[y_hat], list("abcd")),
        (letters[y], scores, list("abcd")),
        (letters[y], scores.astype(np.float32), letters),
    ]
    for form in forms:
        assert np.array_equal(cm(*form), expected)


def test_one_column_of_fractions_is_the_probability_of_class_one() -> None:
    y = [[1], [0], [1], [0]]
    y_hat = [[0.9], [0.5], [0.2], [0.0]]
    assert cm(y, y_hat).tolist() == [[1, 1], [1, 1]]
    assert cm([1.0, 0.0, 1.0, 0.0], np.ravel(y_hat)).tolist() == [[1, 1], [1, 1]]
    assert cm([True, False], [True, True]).tolist() == [[0, 1], [0, 1]]


def test_rows_are_true_and_columns_predicted() -> None:
    assert cm([0], [1]).tolist() == [[0, 1], [0, 0]]


def test_scores_are_zero_where_a_class_is_never_predicted_or_has_no_rows() -> None:
    y, y_hat = [0, 0, 1], [0, 0, 0]
    assert precision_score(y, y_hat).each.tolist() == [2 / 3, 0]
    assert recall_score(y, y_hat, classes=[0, 1, 2]).each.tolist() == [1, 0, 0]
    assert f1_score(y, y_hat, classes=[0, 1, 2]).each.tolist() == [0.8, 0, 0]
    assert accuracy_score(y, y_hat, classes=[0, 1, 2]).each.tolist() == [2 / 3, 2 / 3, 1]


CM_ERRORS: list[tuple[Any, Any, Any, str]] = [
    ([0, 1], [0], None, r"y has 2 rows \(shape \(2,\)\) and y_hat 1"),
    (np.eye(2), np.eye(3)[:2], None, r"y has 2 columns and y_hat 3.*one_hot\(labels, classes=3\)"),
    ([], [], None, "at least one"),
    ([0.0, math.nan], [0, 0], None, r"y\[1\] is nan"),
    ([0, 0], [[0.0, math.nan], [0.0, 0.0]], None, r"y_hat\[0, 1\] is nan"),
    ([[1, 1], [1, 0]], np.eye(2), None, r"row 0 of y is \[1, 1\], which is not one-hot"),
    ([[1.0, 0.0], [2.0, -1.0]], np.eye(2), None, r"row 1 of y is \[2.0, -1.0\], which is not one-hot"),
    ([2, 0], np.eye(2), None, r"y holds the label 2, which is not among the classes 0, 1"),
    (["a"], ["c"], ["a", "b"], r"y_hat holds the label 'c', which is not among the classes 'a', 'b'"),
    (["a", "b"], np.eye(2), None, r"one of y and y_hat holds class names.*pass classes=\[\.\.\.\]"),
    (["a", "b"], np.eye(2), ["a"], r"classes=\['a'\]; it needs 2 different names"),
    ([0], [0], [0, 0], "it needs each name once"),
    ([1.5, 0.0], [1, 0], None, r"y holds 1\.5, which is not a class.*For a regression use r2_score"),
    (np.zeros((1, 1, 2)), [0], None, r"y has shape \(1, 1, 2\)"),
    ([["a", "b"]], ["a"], None, r"y has shape \(1, 2\) and type <U1"),
    (np.array([None]), [0], None, r"y is of type object; it needs labels"),
]


@pytest.mark.parametrize(("y", "y_hat", "classes", "message"), CM_ERRORS)
def test_a_confusion_matrix_refuses(y: Any, y_hat: Any, classes: Any, message: str) -> None:
    for score in (cm, accuracy_score, precision_score, recall_score, f1_score):
        with pytest.raises(ValueError, match=message):
            score(y, y_hat, classes)


# ---- its text

def test_the_text_has_numbers_without_names() -> None:
    assert format_cm([[10, 0, 0], [0, 8, 1], [0, 0, 11]]).splitlines() == [
        "Confusion matrix (row: actual, column: predicted)",
        "-------------------------",
        "|     | (1) | (2) | (3) |",
        "-------------------------",
        "| (1) |  10 |   0 |   0 |",
        "-------------------------",
        "| (2) |   0 |   8 |   1 |",
        "-------------------------",
        "| (3) |   0 |   0 |  11 |",
        "-------------------------",
    ]


@given(st.integers(1, 10), st.integers(1, 30), st.integers(0, 9_999))
def test_the_text_is_aligned_and_fits_80_columns(classes: int, length: int, largest: int) -> None:
    matrix = np.full((classes, classes), largest)
    names = [f"{k}".ljust(length, "x") for k in range(classes)]
    table = [line for line in format_cm(matrix, names).splitlines() if line[0] in "|-"]
    assert len({len(line) for line in table}) == 1
    assert len(table[0]) <= 80
    assert len(table) == 2 * classes + 3


def test_long_names_are_listed_below() -> None:
    names = [f"a rather long name of class {k}" for k in range(4)]
    text = format_cm(np.eye(4, dtype=int), names)
    assert text.splitlines()[-4:] == [f"({k + 1}) {name}" for k, name in enumerate(names)]
    assert "| (4) |   0 |   0 |   0 |   1 |" in text


@pytest.mark.parametrize(("matrix", "names", "message"), [
    ([[1, 2]], None, "matrix has shape (1, 2); it needs (classes, classes)"),
    (np.zeros((0, 0)), None, "matrix has shape (0, 0)"),
    ([[1]], ["a", "b"], "2 names for a matrix of 1 classes"),
])
def test_the_text_refuses(matrix: Any, names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        format_cm(matrix, names)


HIDDEN = np.ma.masked_array([1.0, 2.0, 99.0], mask=[False, False, True])


@pytest.mark.parametrize("score", [r2_score, loss_fct, cm, accuracy_score, f1_score])
@pytest.mark.parametrize("name", ["y", "y_hat"])
def test_masked_entries_are_refused(score: Any, name: str) -> None:
    given = {"y": [1.0, 2.0, 2.0], "y_hat": [1.0, 2.0, 2.0], name: HIDDEN}
    with pytest.raises(ValueError, match=f"{name} is a masked array, and 1 of its entries are masked; a score"):
        score(**given)
    score(**{**given, name: np.ma.masked_array([1.0, 2.0, 2.0])})  # without masked entries it is an array


def test_texts_of_a_table_are_labels() -> None:
    labels = np.array(["cat", "dog", "cat"], object)
    assert cm(labels, np.array(["cat", "cat", "cat"])).tolist() == [[2, 0], [1, 0]]
    assert accuracy_score(labels, labels).overall == 1.0
    with pytest.raises(ValueError, match="cm: y is of type object; it needs labels that are all numbers or all texts"):
        cm(np.array(["cat", None], object), ["cat", "cat"])
