"""Data: every row lands in one part, batches stay aligned, tables are read exactly, and each error teaches."""

import gzip
import hashlib
import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinygrad_nn.data import (
    Scaler,
    data_loader,
    data_split,
    load_digits,
    load_iris,
    one_hot,
    read_features,
    read_table,
)

FLOATS = st.floats(-1e6, 1e6)


def numbered(rows: int, columns: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Rows that carry their own number, and labels equal to it, so that a misplaced row shows."""
    y = np.arange(rows)
    return np.repeat(y[:, None], columns, axis=1).astype(float), y


# ---- data_split

@given(
    rows=st.integers(10, 300), train=st.integers(1, 9), val=st.integers(0, 8),
    shuffle=st.booleans(), stratify=st.booleans(), seed=st.integers(0, 99),
)
def test_every_row_lands_in_exactly_one_part(
    rows: int, train: int, val: int, shuffle: bool, stratify: bool, seed: int
) -> None:
    val = min(val, 10 - train)
    x, y = numbered(rows)
    split = data_split(x, y, train_size=train / 10, val_size=val / 10, shuffle=shuffle, stratify=stratify, rng=seed)
    assert sorted(np.concatenate([part.y for part in split])) == list(range(rows))
    for part in split:
        assert np.array_equal(part.x[:, 0], part.y)
    assert len(split.y_train) == int(rows * train // 10)
    assert (len(split.y_val) == 0) == (val == 0)
    assert (len(split.y_test) == 0) == (train + val == 10)


def test_the_split_of_iris_has_the_sizes_of_the_julia_project() -> None:
    iris = load_iris()
    (x_train, y_train), (x_test, y_test), (x_val, y_val) = data_split(
        iris.x, iris.targets, train_size=0.7, val_size=0.1, rng=0
    )
    assert [part.shape for part in (x_train, x_test, x_val)] == [(105, 4), (30, 4), (15, 4)]
    assert [part.shape for part in (y_train, y_test, y_val)] == [(105, 3), (30, 3), (15, 3)]


def test_parts_have_names_and_an_order() -> None:
    split = data_split(*numbered(10), train_size=0.5, val_size=0.2, shuffle=False)
    assert split.y_train.tolist() == [0, 1, 2, 3, 4]
    assert split.y_test.tolist() == [5, 6, 7]
    assert split.y_val.tolist() == [8, 9]
    for name in ("train", "test", "val"):
        part = getattr(split, name)
        assert getattr(split, f"x_{name}") is part.x
        assert getattr(split, f"y_{name}") is part.y


def test_unshuffled_parts_are_views_and_shuffled_ones_follow_the_seed() -> None:
    x, y = numbered(50)
    assert np.shares_memory(data_split(x, y, shuffle=False).x_test, x)
    first, again, other = (data_split(x, y, rng=seed).y_train for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    generator = np.random.default_rng(3)
    assert np.array_equal(data_split(x, y, rng=generator).y_train, first)
    assert not np.array_equal(data_split(x, y, rng=generator).y_train, first)


@pytest.mark.parametrize("as_rows", [lambda y: y, lambda y: y[:, None], one_hot, lambda y: np.array(list("abc"))[y]])
def test_stratify_keeps_the_share_of_each_class(as_rows: Callable[[np.ndarray], np.ndarray]) -> None:
    y = np.repeat([0, 1, 2], [100, 50, 10])
    numbers = np.arange(160)
    for shuffle in (True, False):
        split = data_split(numbers, as_rows(y), train_size=0.7, val_size=0.1, stratify=True, shuffle=shuffle, rng=1)
        for part, share in zip(split, (0.7, 0.2, 0.1), strict=True):
            counts = np.bincount(y[part.x], minlength=3)
            assert np.abs(counts - share * np.array([100, 50, 10])).max() <= 1
            assert (np.diff(part.x) > 0).all() == (not shuffle)


def test_shares_that_are_whole_in_tenths_lose_no_row_to_rounding() -> None:
    assert len(data_split(*numbered(100), train_size=0.29).y_train) == 29
    split = data_split(*numbered(100), train_size=0.7, test_size=0.2, val_size=0.1)
    assert [len(part.y) for part in split] == [70, 20, 10]
    assert [len(part.y) for part in data_split(*numbered(7), train_size=1.0)] == [7, 0, 0]


SPLIT_ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"train_size": 1.2}, r"train_size=1.2; a size is a share of the rows, from 0 to 1"),
    ({"val_size": -0.1}, r"val_size=-0.1; a size is a share"),
    ({"test_size": float("nan")}, r"test_size=nan; a size is a share"),
    ({"train_size": 0.8, "val_size": 0.3}, r"= 1.1, but there is only 1 to share. Take 0.1 off, e.g. train_size=0.7"),
    ({"train_size": 0.5, "test_size": 0.2}, r"= 0.7 would leave rows unused.*or say test_size=0.5"),
    ({"train_size": 0.0}, r"the train part would be empty. Raise train_size, or pass more rows"),
    ({"train_size": 0.9, "val_size": 0.05}, r"the test part would be empty. Raise test_size, or pass more rows"),
]


@pytest.mark.parametrize(("options", "message"), SPLIT_ERRORS)
def test_impossible_sizes_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data_split(*numbered(10), **options)


ALIGNMENT_ERRORS = [
    (np.ones((4, 2)), np.ones(3), r"x has 4 rows \(shape \(4, 2\)\) and y has 3 .*Drop the rows that have no partner"),
    (np.ones((4, 2)), np.ones((1, 4)), r"y looks transposed: pass y.T"),
    (np.ones((2, 4)), np.ones(4), r"x looks transposed: pass x.T"),
    (np.ones((0, 2)), np.ones(0), r"no rows \(x has shape \(0, 2\)\)"),
    (np.float64(1), np.ones(1), r"both need a first axis of rows.*x\[None, :\]"),
]


@pytest.mark.parametrize(("x", "y", "message"), ALIGNMENT_ERRORS)
def test_rows_without_partners_are_refused(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=f"data_split: .*{message}"):
        data_split(x, y)
    with pytest.raises(ValueError, match=f"data_loader: .*{message}"):
        data_loader(x, y, 2)


# ---- data_loader

@given(rows=st.integers(1, 60), size=st.integers(1, 70), shuffle=st.booleans(), seed=st.integers(0, 9))
def test_batches_together_are_all_rows_once_and_aligned(rows: int, size: int, shuffle: bool, seed: int) -> None:
    x, y = numbered(rows, 3)
    loader = data_loader(x, y, size, shuffle=shuffle, rng=seed)
    for _ in range(2):
        batches = list(loader)
        assert len(batches) == len(loader)
        assert all(len(b) == size for _, b in batches[:-1])
        assert 0 < len(batches[-1][1]) <= size
        assert all(np.array_equal(a[:, 0], b) for a, b in batches)
        seen = np.concatenate([b for _, b in batches])
        assert np.array_equal(np.sort(seen) if shuffle else seen, y)


def test_each_shuffled_iteration_has_its_own_order_that_the_seed_decides() -> None:
    x, y = numbered(40)
    loader = data_loader(x, y, 8, shuffle=True, rng=5)
    first, second = (np.concatenate([b for _, b in loader]) for _ in range(2))
    assert not np.array_equal(first, second)
    again = data_loader(x, y, 8, shuffle=True, rng=np.random.default_rng(5))
    assert np.array_equal(first, np.concatenate([b for _, b in again]))


def test_unshuffled_batches_are_views_and_repr_counts() -> None:
    x, y = numbered(10)
    loader = data_loader(x, y, np.int64(4))
    assert all(np.shares_memory(a, x) and np.shares_memory(b, y) for a, b in loader)
    assert repr(loader) == "DataLoader(10 rows, 3 batches of 4, shuffle=False)"


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError), ("16", TypeError)])
def test_a_batch_size_is_a_whole_number_from_one(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"batch_size={re.escape(repr(size))}.*e\.g\. batch_size=16"):
        data_loader(*numbered(5), size)


# ---- one_hot

@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_one_hot_marks_one_class_a_row(labels: list[int]) -> None:
    rows = one_hot(labels)
    names = sorted(set(labels))
    assert rows.shape == (len(labels), len(names))
    assert rows.dtype == np.float64
    assert [names[k] for k in rows.argmax(axis=1)] == labels
    assert (rows.sum(axis=1) == 1).all()
    assert ((rows == 0) | (rows == 1)).all()


def test_one_hot_takes_names_counts_columns_and_floats() -> None:
    assert one_hot(["b", "a"], ["b", "a", "c"]).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert one_hot(np.array([[1], [0]]), classes=np.int64(2)).tolist() == [[0, 1], [1, 0]]
    assert one_hot([2.0, 0.0], 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert one_hot([True, False]).tolist() == [[0, 1], [1, 0]]
    assert one_hot([7, 3], np.array([3, 7])).tolist() == [[0, 1], [1, 0]]


ONE_HOT_ERRORS: list[tuple[Any, Any, str]] = [
    (np.eye(3), None, r"shape \(3, 3\).*already one-hot, use them as they are"),
    ([], None, "no labels"),
    ([1.0, float("nan")], None, "label in row 1 is NaN"),
    ([0, 3], 3, r"label 3 in row 1 is not among the classes 0, 1, 2\. Add it to classes"),
    (["a", "x"], ["a", "b"], r"label 'x' in row 1 is not among the classes 'a', 'b'"),
    ([0, 1], ["0", "1"], r"label 0 in row 0 is not among the classes '0', '1'"),
    (["a"], ["a", "a"], "class 'a' is named twice"),
    (["a"], 2, "a count, for labels 0 to 1, but the labels are of type <U1"),
    ([0], 0, "there must be at least 1"),
    (["a"], "a", r"is one string; write a list of names"),
    ([20], 20, r"among the classes 0, 1, .*, 18, 19\. Add"),
    ([21], 21, r"among the classes 0, 1, .*, 18, 19, \.\.\.\. Add"),
]


@pytest.mark.parametrize(("labels", "classes", "message"), ONE_HOT_ERRORS)
def test_one_hot_refuses(labels: Any, classes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"one_hot: .*{message}"):
        one_hot(labels, classes)


# ---- Scaler

@given(arrays(np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=FLOATS))
def test_a_scaler_undoes_itself_and_survives_json(x: np.ndarray) -> None:
    scaler = Scaler.fit(x)
    z = scaler.transform(x)
    assert np.allclose(scaler.inverse(z), x, rtol=1e-9, atol=1e-9)
    again = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict())))
    assert np.array_equal(again.transform(x), z)
    constant = x.min(axis=0) == x.max(axis=0)
    assert (scaler.scale[constant] == 1).all()
    assert (z[:, constant] == 0).all()


def test_scaled_columns_have_mean_zero_and_deviation_one(rng: np.random.Generator) -> None:
    x = rng.normal(5, 3, (200, 3)) * [1, 1e6, 1e-6]
    z = Scaler.fit(x).transform(x)
    assert np.allclose(z.mean(axis=0), 0, atol=1e-12)
    assert np.allclose(z.std(axis=0), 1)


def test_a_scaler_is_frozen_and_keeps_float32() -> None:
    scaler = Scaler.fit(np.arange(6.0).reshape(3, 2))
    narrow = np.ones((2, 2), dtype=np.float32)
    assert scaler.transform(narrow).dtype == scaler.inverse(narrow).dtype == np.float32
    assert scaler.transform([[1, 2]]).dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        scaler.mean[0] = 1
    with pytest.raises(AttributeError):
        scaler.mean = scaler.scale


SCALER_ERRORS: list[tuple[Callable[[], Any], str]] = [
    (lambda: Scaler.fit([1.0, 2.0]), r"x has shape \(2,\); it needs \(batch, columns\).*x\[:, None\]"),
    (lambda: Scaler.fit(np.ones((0, 2))), "at least one row"),
    (lambda: Scaler.fit([[1.0, 2.0], [np.inf, 1.0]]), r"x\[1, 0\] is inf"),
    (lambda: Scaler.fit([[1e308], [-1e308]]), "all must be finite"),
    (lambda: Scaler.fit([[1.0], [2.0]]).transform(np.ones((3, 2))), r"transform: got shape \(3, 2\).*\(batch, 1\)"),
    (lambda: Scaler.fit([[1.0], [2.0]]).inverse(np.ones(3)), r"Scaler.inverse: got shape \(3,\)"),
    (lambda: Scaler(np.zeros(2), np.ones(3)), r"mean has shape \(2,\) and scale \(3,\)"),
    (lambda: Scaler(np.zeros(1), np.zeros(1)), "each scale above 0"),
    (lambda: Scaler.from_dict({"mean": [0.0]}), r"no 'scale' among the keys \['mean'\]"),
]


@pytest.mark.parametrize(("call", "message"), SCALER_ERRORS)
def test_a_scaler_refuses(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# ---- the bundled sets

def test_iris_is_fishers_table() -> None:
    iris = load_iris()
    assert iris.x.shape == (150, 4)
    assert iris.x.dtype == np.float64
    assert np.bincount(iris.y).tolist() == [50, 50, 50]
    assert iris.class_names == ("setosa", "versicolor", "virginica")
    assert iris.feature_names == ("sepal_length", "sepal_width", "petal_length", "petal_width")
    assert np.allclose(iris.x.sum(axis=0), [876.5, 458.6, 563.7, 179.9])
    assert iris.x[[34, 37]].tolist() == [[4.9, 3.1, 1.5, 0.2], [4.9, 3.6, 1.4, 0.1]]  # UCI's copy errs in these two
    assert np.array_equal(iris.targets, np.eye(3)[iris.y])


def test_digits_are_the_uci_test_part() -> None:
    digits = load_digits()
    assert digits.x.shape == (1797, 64)
    assert digits.x.dtype == np.float64
    assert (digits.x.min(), digits.x.max(), digits.x.sum()) == (0, 16, 561718)
    assert np.array_equal(digits.x, np.round(digits.x))
    assert np.bincount(digits.y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.class_names == tuple("0123456789")
    assert digits.feature_names[:2] == ("pixel_0_0", "pixel_0_1")
    assert len(digits.feature_names) == 64


@pytest.mark.parametrize(("name", "digest"), [
    ("iris.csv", "9cc1c345c71bcc9b486b74cbf6063fa66f4bb5e0f603a4b3c3471ec2e5e8e355"),
    ("digits.csv.gz", "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"),
])
def test_bundled_files_are_unchanged(name: str, digest: str) -> None:
    folder = files("tinygrad_nn.data") / "sets"
    content = (folder / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert f"{digest[:8]}…{digest[-6:]}" in readme
    assert "CC BY 4.0" in readme
    if name.endswith(".gz"):
        assert gzip.decompress(content).count(b"\n") == 1797


def test_bundled_sets_name_source_and_licence() -> None:
    for dataset, source in ((load_iris(), "Fisher (1936)"), (load_digits(), "Alpaydin and C. Kaynak (1998)")):
        assert source in dataset.source
        assert dataset.licence.startswith("CC BY 4.0")
        assert dataset.description


# ---- tables

def write(folder: Path, content: str | bytes, name: str = "people.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


GOOD = "height,weight,kind\n1.5,50,b\n1.8,80,a\n1.7,7e1,b\n"


@pytest.mark.parametrize("content", [
    GOOD,
    GOOD.encode("utf-8-sig"),
    GOOD.replace(",", ";"),
    GOOD.replace(",", "\t"),
    GOOD.replace(",", "|"),
    GOOD.replace("\n", "\r\n"),
    GOOD.replace("\n", "\n\n") + "   \n",
    GOOD.replace(",", " , "),
    GOOD.replace("height", '"height"').replace("1.8", '"1.8"'),
    GOOD.rstrip(),
], ids=["plain", "bom", "semicolon", "tab", "bar", "windows", "empty lines", "blanks", "quotes", "no last newline"])
def test_a_table_reads_the_same_in_every_dress(tmp_path: Path, content: str | bytes) -> None:
    table = read_table(write(tmp_path, content), "kind")
    assert table.x.tolist() == [[1.5, 50], [1.8, 80], [1.7, 70]]
    assert table.y.tolist() == ["b", "a", "b"]
    assert (table.kind, table.classes, table.target) == ("classification", ("a", "b"), "kind")
    assert table.feature_names == ("height", "weight")
    assert table.targets.tolist() == [[0, 1], [1, 0], [0, 1]]


def test_numbers_are_a_regression_unless_they_are_said_to_be_classes(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y\n1,10\n2,2\n3,10.0\n")
    table = read_table(path, "y")
    assert (table.kind, table.classes) == ("regression", ())
    assert table.targets.tolist() == [[10], [2], [10]]
    assert table.y.dtype == np.float64
    assert read_table(path, "y", kind="regression").kind == "regression"
    classes = read_table(path, "y", kind="classification")
    assert (classes.kind, classes.classes) == ("classification", ("2", "10"))
    assert classes.targets.tolist() == [[0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "classes", "values"),
    [
        ("x;y\n1;10,5\n2;2,5\n3;10,50\n", ("2,5", "10,5"), ["10,5", "2,5", "10,5"]),
        ('x,y\n1,"1,300"\n2,"200"\n3,1300\n', ("200", "1,300"), ["1,300", "200", "1,300"]),
        ("x,y\n1,10\n2,2.0\n3,1e1\n", ("2", "10"), ["10", "2", "10"]),
    ],
)
def test_equal_numbers_in_other_spellings_are_one_class(
    tmp_path: Path, text: str, classes: tuple[str, ...], values: list[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    table = read_table(path, "y", kind="classification")
    assert (table.classes, list(table.y)) == (classes, values)


def test_mixed_targets_can_be_said_to_be_classes(tmp_path: Path) -> None:
    path = write(tmp_path, "x,y\n1,10\n2,ten\n")
    assert read_table(path, "y", kind="classification").classes == ("10", "ten")


def test_features_can_be_chosen_so_that_a_text_column_stays_out(tmp_path: Path) -> None:
    path = write(tmp_path, "name,a,b,y\nAnn,1,2,3\nBob,4,5,6\n")
    assert read_table(path, "y", features=["b", "a"]).x.tolist() == [[2, 1], [5, 4]]


def test_features_to_predict_from_need_no_target_and_ignore_other_columns(tmp_path: Path) -> None:
    path = write(tmp_path, ",b,note,a\n0,1,hello,2\n1,3,,4\n")
    assert read_features(path, ("a", "b")).tolist() == [[2, 1], [4, 3]]


def test_another_encoding_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, "höhe,y\n1,2\n".encode("utf-16"))
    assert read_table(path, "y", encoding="utf-16").feature_names == ("höhe",)


@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["a", "b, c", 'd"e'])),
                min_size=2, max_size=8).filter(lambda rows: len({label for _, label in rows}) > 1))
def test_a_written_table_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, str]]
) -> None:
    import csv

    path = tmp_path_factory.mktemp("table") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("x", "y"), *((repr(x), y) for x, y in rows)])
    table = read_table(path, "y")
    assert table.x[:, 0].tolist() == [x for x, _ in rows]
    assert table.y.tolist() == [y for _, y in rows]


TABLE_ERRORS: list[tuple[str, str | bytes, str]] = [
    ("empty", "", "the file is empty; it needs a line of column names"),
    ("only blanks", "\n \n", "the file is empty"),
    ("header only", "a,y\n", r"the file has only its first line \(columns: 'a', 'y'\); add one line per sample"),
    ("no target", "a,kindd\n1,b\n", r"no target column 'kind'\. It has 'a', 'kindd'\. Did you mean 'kindd'\?"),
    ("letter case", "a,KIND\n1,b\n", r"Did you mean 'KIND'\?"),
    ("no header", "1,2\n3,4\n", "The first line holds numbers: put a line of column names above it"),
    ("no feature", "kind\na\nb\n", r"no column besides the target 'kind'.*delimiter is , ; \| or tab"),
    ("empty cell", "a,kind\n1,x\n,y\n", r"line 3 \(row 2\), column 'a': the cell is empty.*or delete that line"),
    ("NA", "a,kind\nNA,x\n1,y\n", r"line 2 \(row 1\), column 'a': 'NA' stands for a missing value"),
    ("empty target", "a,kind\n1,x\n2,\n", r"line 3 \(row 2\), column 'kind': the cell is empty, and the target needs"),
    ("nan", "a,kind\n1,x\nnan,y\n", r"line 3 \(row 2\), column 'a': 'nan' stands for a missing value.*missing='mean'"),
    ("inf", "a,kind\n-inf,x\n1,y\n", "'-inf' is not a finite number"),
    ("overflow", "a,kind\n1e999,x\n1,y\n", "'1e999' is not a finite number"),
    ("inf target", "a,kind\n1,2\n2,inf\n", "column 'kind': 'inf' is not a finite number, which the target needs to be"),
    ("short row", "a,b,kind\n1,2,x\n1,y\n", r"line 3: 2 cells, but the first line names 3 \('a', 'b', 'kind'\)"),
    ("long row", "a,kind\n1,x,2\n", r"line 2: 3 cells.*a cell that holds ',' needs quotes"),
    ("same name", "a,a,kind\n1,2,x\n", r"column 'a' appears twice, as columns 1 and 2\. Rename or delete"),
    ("no name", ",a,kind\n1,2,x\n", r"column 1 has no name.*index=False"),
    ("text", "a,kind\n1,x\nred,y\n", r"line 3 \(row 2\), column 'a': a non-numeric feature: 'red' .*features=\["),
    ("currency", 'a,kind\n"$1,200.5",x\n$3,y\n', r"column 'a': '\$1,200.5' and others are .* alone, '1,200.5', or"),
    ("percent", "a;kind\n1;3,5 %\n2;4 %\n", "'3,5 %' and the other targets 'kind' are .* alone, '3,5', or say kind="),
    ("blanks between", "a kind\n1 x\n2 y\n", r"It has 'a kind'\. A line is not split at blanks; separate the cells by"),
    ("underscore", "a,kind\n1_000,x\n1,y\n", "a non-numeric feature: '1_000'"),
    ("two ways", "a,kind\n01/02/2024,x\n03/04/2024,y\n", r"line 2 .*column 'a'.*day or the month first.*2024-05-31"),
    ("many texts", "a,kind\n" + "".join(f"t{k},{'xy'[k % 2]}\n" for k in range(30)),
     r"column 'a': the column holds 30 different texts.*features=\[\.\.\.\].*categories=30"),
    ("NUL", "a,kind\n1,x\n\0,y\n", "line 3: there is a NUL byte"),
    ("gzip", b"\x1f\x8b\x08\x00cut off", "the gzip file is cut off or damaged"),
    ("mixed", "a,kind\n1,3\n2,x\n", r"mixes texts \('x' in line 3\) and numbers \('3' in line 2\).*say kind="),
    ("one class", "a,kind\n1,x\n2,x\n",
     r"every row of the target 'kind' is 'x'; a classifier needs at least two classes"),
    ("bytes", b"a,kind\n1,x\n2,\xe9\n", r"line 3: byte 0xe9 at position 13 is not utf-8.*encoding='latin-1'"),
    ("parquet", b"PAR1\x15\x00\x15\xff", r"is no CSV file. Convert it: pandas.read_parquet\(FILE\).to_csv"),
    ("json", b'[{"a": 1, "kind": 2}]', "is no CSV file. Convert it: pandas.read_json"),
    ("array", b"\x93NUMPY\x01\x00", "np.savetxt"),
    ("spreadsheet", b"PK\x03\x04\xff\xff", "looks like a spreadsheet file: open it and export it as CSV"),
    ("quote", 'a,kind\n1,"x\n2,y\n', "line 2: .* a quote that is never closed"),
    ("text after a quote", 'a,kind\n1,x\n2,"y"z\n', "line 3: the row that begins there is not valid CSV"),
    ("quote in the header", 'a,"kind\n1,x\n', "line 1: .* a quote that is never closed"),
    ("long cell", f"a,kind\n{'9x' * 100_000},x\n1,y\n",
     r"line 2 \(row 1\), column 'a': a non-numeric feature: '9x9x9x.{,99} is"),
]


@pytest.mark.parametrize(("name", "content", "message"), TABLE_ERRORS, ids=[row[0] for row in TABLE_ERRORS])
def test_a_bad_table_is_refused_with_a_lesson(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ValueError, match=f"{re.escape(str(path))}.*{message}"):
        read_table(path, "kind")


def test_a_table_may_be_as_wide_and_a_cell_as_long_as_memory_allows(tmp_path: Path) -> None:
    import csv

    names = [f"gene_{k}" for k in range(15_000)]  # a first line of 160 KB, more than the csv module takes by itself
    rows = [[str(k), *["0.5"] * 14_999] for k in range(2)]
    lines = [[*names, "kind"], *([*row, "ab"[k] * 200_000] for k, row in enumerate(rows))]
    text = "\n".join(",".join(line) for line in lines)
    table = read_table(write(tmp_path, text), "kind")
    assert table.feature_names == tuple(names)
    assert table.x.shape == (2, 15_000)
    assert [len(name) for name in table.classes] == [200_000, 200_000]
    assert csv.field_size_limit() == 131_072, "the limit of others is as it was"


@pytest.mark.parametrize(("options", "message"), [
    ({"kind": "regresion"}, "known kinds are 'auto', 'classification', 'regression'"),
    ({"kind": "regression"}, r"line 2 \(row 1\), column 'kind': 'b' is not a number, which the target of a regression"),
    ({"features": []}, "features=\\[\\]; it needs a list of names"),
    ({"features": ["kind"]}, "'kind' is the target and also among the features.*Take 'kind' out"),
    ({"features": ["height", "height"]}, "column 'height' appears twice, in the features"),
    ({"features": ["size", "age"]}, r"no feature column 'size' \(nor 'age'\)"),
    ({"encoding": "utf-99"}, "encoding='utf-99' is not known to Python"),
])
def test_bad_options_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path, GOOD), "kind", **options)


def test_features_that_are_not_there_are_all_named(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with pytest.raises(ValueError, match=r"no feature column 'wieght' \(nor 'age'\).*Did you mean 'weight'\?"):
        read_features(path, ["height", "wieght", "age"])
    for names in ([], "height"):
        with pytest.raises(ValueError, match="needs a list of names"):
            read_features(path, names)
    with pytest.raises(ValueError, match="column 'kind': a non-numeric feature"):
        read_features(path, ["kind"])


def test_a_file_that_is_not_there_is_searched_for(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    other = tmp_path / "a.csv"
    other.write_text("a\n1\n")
    with pytest.raises(FileNotFoundError, match=r"no such file in .*Did you mean 'people.csv'\?"):
        read_table(tmp_path / "peopel.csv", "kind")
    other.unlink()
    with pytest.raises(FileNotFoundError, match=r"Did you mean 'people.csv'\?"):  # nothing is close: what there is
        read_features(str(tmp_path / "zzz"), ["a"])
    with pytest.raises(FileNotFoundError, match=r"no folder .*The path is relative to"):
        read_table(tmp_path / "nowhere" / "people.csv", "kind")
    with pytest.raises(ValueError, match="is a folder; pass the path of the CSV file"):
        read_table(tmp_path, "kind")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="There is no CSV file in that folder"):
        read_table(path, "kind")


def test_a_size_that_is_a_text_is_refused_in_words() -> None:
    with pytest.raises(TypeError, match=r"data_split: val_size='0\.1' is a string; a size is a number from 0 to 1"):
        data_split(np.ones((5, 1)), np.ones(5), val_size="0.1")


# ---- what came is said


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array(["a", None], object), "the label in row 1 is None; drop that row or fill the label in"),
        (np.array([np.nan, "a"], object), "the label in row 0 is nan; drop that row"),
        (np.array([1, "a"], object), "the labels are texts and others, such as 'a' and 1. Write all as texts"),
    ],
)
def test_labels_that_are_missing_or_of_two_kinds(labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^one_hot: {re.escape(message)}"):
        one_hot(labels)


def test_a_size_of_a_part_is_a_number() -> None:
    with pytest.raises(TypeError, match=r"^data_split: train_size=None is of type NoneType; a size is a number from 0"):
        data_split(np.ones((4, 1)), np.ones(4), train_size=None)


@pytest.mark.parametrize("features", ["ab", "", [], ()])
def test_features_are_a_list_of_names(features: Any, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n1,2,3\n4,5,6\n")
    message = re.escape(f"read_table: features={features!r}; it needs a list of names")
    with pytest.raises(ValueError, match=message):
        read_table(path, "y", features=features)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x, y: one_hot(y), "one_hot: labels is a masked array, and 1 of its entries are masked"),
        (lambda x, y: one_hot(y, 2), "one_hot: labels is a masked array"),
        (lambda x, y: Scaler.fit(x), "Scaler.fit: x is a masked array"),
        (lambda x, y: Scaler.fit(x.data).transform(x), "Scaler.transform: x is a masked array"),
        (lambda x, y: Scaler.fit(x.data).inverse(x), "Scaler.inverse: x is a masked array"),
        (lambda x, y: data_split(x, y.data), "data_split: x is a masked array"),
        (lambda x, y: data_split(x.data, y), "data_split: y is a masked array"),
        (lambda x, y: data_loader(x, y.data, 2), "data_loader: x is a masked array"),
    ],
)
def test_masked_entries_are_refused(call: Any, said: str) -> None:
    x = np.ma.masked_array(np.arange(8.0).reshape(4, 2), mask=np.arange(8).reshape(4, 2) == 3)
    y = np.ma.masked_array([0, 1, 0, 1], mask=[False, False, True, False])
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        call(x, y)
