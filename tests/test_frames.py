"""Tables of pandas, polars and pyarrow: into fit, data_split and Predict, and out with their names."""

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tinygrad_nn import Layer, Predict, Settings, Solver, data_loader, data_split, fit, nn, one_hot
from tinygrad_nn.data import frame_array

SOLVER, SETTINGS = Solver("mse", "sgd", 0.005), Settings(3, 2)
NUMBERS = {"größe": [1, 2, 3, 4, 5, 6], "b": [1.5, 0.5, 2.0, 1.0, 0.0, 3.0]}
TARGETS = {"first": [2.5, 2.5, 5.0, 5.0, 5.0, 9.0], "second": [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]}
KINDS: dict[str, Any] = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}


def as_dict(table: Any) -> dict[str, list[Any]]:
    """What a table holds, whatever kind it is."""
    if isinstance(table, pd.DataFrame):
        return table.to_dict(orient="list")
    return table.to_pydict() if isinstance(table, pa.Table) else table.to_dict(as_series=False)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


MODELS = {
    "layers": lambda n: [Layer(2, 3, "tanh", rng=0), Layer(3, n, rng=1)],
    "module": lambda n: nn.Sequential(nn.Linear(2, 3, rng=0), nn.Linear(3, n, rng=1)),
    "list with modules": lambda n: [nn.Linear(2, 3, rng=0), nn.Linear(3, n, rng=1)],
}


@pytest.mark.parametrize("name", MODELS)
def test_a_table_trains_as_its_numbers_do_and_predictions_carry_the_names(name: str, kind: Any) -> None:
    tables, arrays = (MODELS[name](2) for _ in range(2))
    x, y = np.array(list(NUMBERS.values())).T, np.array(list(TARGETS.values())).T
    history = fit(tables, kind(NUMBERS), kind(TARGETS), kind(NUMBERS), kind(TARGETS), solver=SOLVER, settings=SETTINGS,
                  rng=0)  # fmt: skip
    assert history == fit(arrays, x, y, x, y, solver=SOLVER, settings=SETTINGS, rng=0)
    out = Predict(tables, kind(NUMBERS))
    assert type(out) is type(kind(NUMBERS))
    assert list(as_dict(out)) == ["first", "second"]
    np.testing.assert_array_equal(np.array(list(as_dict(out).values())).T, Predict(arrays, x))
    np.testing.assert_array_equal(Predict(tables, x), Predict(arrays, x))


def test_columns_to_validate_are_those_of_the_training_before(kind: Any) -> None:
    model = [Layer(2, 1, rng=0)]
    x, y = np.array(list(NUMBERS.values())).T, TARGETS["first"]
    fit(model, kind(NUMBERS), y, solver=SOLVER, settings=SETTINGS, rng=0)
    fit(model, x, y, kind(NUMBERS), y, solver=SOLVER, settings=SETTINGS, rng=0)
    fit(model, kind(NUMBERS), y, solver=SOLVER, settings=SETTINGS, rng=0)
    other = kind({f"{name}_": column for name, column in NUMBERS.items()})
    with pytest.raises(ValueError, match=r"^fit: x_val "):
        fit(model, x, y, other, y, solver=SOLVER, settings=SETTINGS, rng=0)


def test_the_index_of_pandas_stays() -> None:
    x = pd.DataFrame(NUMBERS, index=list("uvwxyz"))
    model = [Layer(2, 1, rng=0)]
    fit(model, x, pd.Series(TARGETS["first"], name="first", index=x.index), solver=SOLVER, settings=SETTINGS, rng=0)
    out = Predict(model, x.iloc[::-1])
    assert list(out.index) == list("zyxwvu")
    assert list(out.columns) == ["first"]


@pytest.mark.parametrize("y", [
    pd.Series(TARGETS["first"], name="first"), pl.Series("first", TARGETS["first"]), pa.array(TARGETS["first"]),
    pa.table(TARGETS)["first"], np.array(TARGETS["first"]), TARGETS["first"],
])  # fmt: skip
def test_a_column_is_a_target(y: Any, kind: Any) -> None:
    model, other = [Layer(2, 1, rng=0)], [Layer(2, 1, rng=0)]
    fit(model, kind(NUMBERS), y, solver=SOLVER, settings=SETTINGS, rng=0)
    fit(other, np.array(list(NUMBERS.values())).T, TARGETS["first"], solver=SOLVER, settings=SETTINGS, rng=0)
    np.testing.assert_array_equal(model[0].W.data, other[0].W.data)
    named = list(as_dict(Predict(model, kind(NUMBERS))))
    assert named == ["first" if getattr(y, "name", "") == "first" else "output 1"]


@pytest.mark.parametrize("options", [{"rng": 3}, {"shuffle": False}, {"rng": 3, "stratify": True}])
def test_parts_are_tables_with_the_rows_that_arrays_would_have(options: Any, kind: Any) -> None:
    labels = np.array([0, 1, 0, 1, 0, 1])
    sizes = {"train_size": 4 / 6, **options}
    tables = data_split(kind(NUMBERS), kind({"y": labels}), **sizes)
    arrays = data_split(np.array(list(NUMBERS.values())).T, labels, **sizes)
    for part, other in zip(tables, arrays, strict=True):
        assert type(part.x) is type(kind(NUMBERS))
        np.testing.assert_array_equal(np.array(list(as_dict(part.x).values())).T, other.x.reshape(-1, 2))
        assert as_dict(part.y) == {"y": other.y.tolist()}


def test_a_split_keeps_the_share_of_classes_that_are_texts(kind: Any) -> None:
    y = kind({"y": list("aabbcc")})
    split = data_split(kind(NUMBERS), y, train_size=0.5, stratify=True, rng=0)
    assert sorted(as_dict(split.train.y)["y"]) == ["a", "b", "c"]


def test_tables_of_unequal_rows_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match=r"x has 6 rows .* y has 5"):
        data_split(kind(NUMBERS), np.zeros(5))


def test_minibatches_of_a_table_are_arrays(kind: Any) -> None:
    (x, y), *_ = data_loader(kind(NUMBERS), kind({"y": TARGETS["first"]}), 4)
    np.testing.assert_array_equal(x, np.array(list(NUMBERS.values())).T[:4])
    np.testing.assert_array_equal(y[:, 0], TARGETS["first"][:4])


def test_labels_of_a_table_are_encoded(kind: Any) -> None:
    x, y = kind(NUMBERS), np.asarray(list("ababab"))
    model = [Layer(2, 2, "softmax", rng=0)]
    fit(model, x, one_hot(pd.Series(y)), solver=Solver("crossentropy"), settings=SETTINGS, rng=0)
    assert list(as_dict(Predict(model, x))) == ["output 1", "output 2"]


def test_numbers_of_classes_stay_whole_numbers(kind: Any) -> None:
    model = nn.Sequential(nn.Linear(2, 3, rng=0))
    solver = Solver(nn.losses.cross_entropy, "sgd", 0.1)
    fit(model, kind(NUMBERS), kind({"y": [0, 1, 2, 0, 1, 2]})["y"], solver=solver, settings=SETTINGS, rng=0)


def other_columns(kind: Any) -> list[tuple[Any, str]]:
    a, b = NUMBERS.items()
    return [
        (kind(dict([b, a])), "columns in a different order than in training: 'b' where 'größe' was"),
        (kind(dict([a])), "no column 'b', which the network was trained on"),
        (kind({**NUMBERS, "c": a[1]}), "the column 'c', which the network was not trained on. Leave it out"),
        (kind({"größe": a[1], "B": b[1]}), "no column 'b'"),
    ]


def test_other_columns_than_in_training_are_refused(kind: Any) -> None:
    model = [Layer(2, 1, rng=0)]
    fit(model, kind(NUMBERS), TARGETS["first"], solver=SOLVER, settings=SETTINGS)
    for x, said in other_columns(kind):
        with pytest.raises(ValueError, match=rf"{said}.*Pass the columns \['größe', 'b'\] in this order"):
            Predict(model, x)
        with pytest.raises(ValueError, match=said):
            fit(model, kind(NUMBERS), TARGETS["first"], x, TARGETS["first"], solver=SOLVER, settings=SETTINGS)
    fit(model, np.ones((6, 2)), TARGETS["first"], solver=SOLVER, settings=SETTINGS)
    Predict(model, kind({"p": [1.0], "q": [2.0]}))  # trained on an array, it knows no names


@pytest.mark.parametrize(("column", "said"), [
    (pd.Series(["u", "v"]), "column 'b' of x holds texts; .*one_hot"),
    (pd.Series(["u", None], dtype=object), "holds texts"),
    (pd.Categorical(["u", "v"]), "holds texts"),
    (pd.to_datetime(["2020-01-01", "2021-01-01"]), "holds dates; .* count the days"),
    (pd.array([1, None], dtype="Int64"), "column 'b' of x has 1 missing cell, the first in row 1"),
    (pd.array([None, None], dtype="Float64"), "2 missing cells, the first in row 0"),
    (pd.array([None, True], dtype="boolean"), "1 missing cell, the first in row 0"),
    (pl.Series(["u", None]), "holds texts"),
    (pl.Series([1, None]), "1 missing cell, the first in row 1. Drop these rows, or fill"),
    (pa.array([None, 1]), "1 missing cell, the first in row 0"),
    (pa.array(["u", None]), "holds texts"),
])  # fmt: skip
def test_columns_without_numbers_are_refused_by_name(column: Any, said: str) -> None:
    make = pl.DataFrame if isinstance(column, pl.Series) else pa.table if isinstance(column, pa.Array) else pd.DataFrame
    with pytest.raises(ValueError, match=said):
        fit([Layer(2, 1, rng=0)], make({"a": [1.0, 2.0], "b": column}), [1.0, 2.0], solver=SOLVER, settings=SETTINGS)


@pytest.mark.parametrize("column", [
    pd.array([1, 2], dtype="Int64"), pd.array([True, False], dtype="boolean"), pd.Series([1, 2], dtype="int8"),
    pd.Series([1.5, 2.0], dtype="float32"),
])  # fmt: skip
def test_numbers_of_every_kind_are_taken(column: Any) -> None:
    x = pd.DataFrame({"a": [1.0, 2.0], "b": column})
    model, other = [Layer(2, 1, rng=0)], [Layer(2, 1, rng=0)]
    fit(model, x, [1.0, 2.0], solver=SOLVER, settings=SETTINGS, rng=0)
    fit(other, x.astype(float).to_numpy(), [1.0, 2.0], solver=SOLVER, settings=SETTINGS, rng=0)
    np.testing.assert_array_equal(model[0].W.data, other[0].W.data)


DAY = datetime.date(2024, 5, 31)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (pd.array([1, 2, None, 4, 5, 6], "Int64"), "has 1 missing cell, the first in row 2"),
        (np.array([1, pd.NaT, 2, 3, 4, 5], object), "has 1 missing cell, the first in row 1"),
        (pd.date_range("2024-05-31", periods=6, tz="UTC"), "holds dates; .* count the days since the first"),
        ([DAY] * 6, "holds dates"),
        (np.array([None, DAY, DAY, DAY, DAY, DAY], object), "holds dates"),
        (pd.to_timedelta(range(6), "D"), "holds dates"),
        (np.array([1, "2", 3, 4, 5, 6], object), "holds texts; .* encode it with data.one_hot"),
        ([[1.0, 2.0]] * 6, "holds cells of type list; .* convert it to numbers"),
        (pd.period_range("2024", periods=6, freq="D"), "holds cells of type Period"),
        ([1j] * 6, "holds complex128; .* convert it to numbers"),
    ],
)
def test_a_column_that_holds_no_numbers_is_said_to_hold_what_it_holds(cells: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"fit: column 'a' of x {said}"):
        fit([Layer(2, 1)], pd.DataFrame({"a": cells, "b": NUMBERS["b"]}), TARGETS["first"], solver=SOLVER,
            settings=SETTINGS)  # fmt: skip


@pytest.mark.parametrize("made", [
    lambda: pd.DataFrame({"a": [Decimal("1.5"), 2, Decimal("-0.25"), True, np.float32(4), np.int8(5)]}),
    lambda: pl.DataFrame({"a": [Decimal(text) for text in ("1.5", "2", "-0.25", "1", "4", "5")]}),
    lambda: pa.table({"a": [Decimal(text) for text in ("1.5", "2", "-0.25", "1", "4", "5")]}),
])  # fmt: skip
def test_decimal_and_large_numbers_are_numbers(made: Any) -> None:
    assert frame_array(made(), "fit", "x").tolist() == [[1.5], [2.0], [-0.25], [1.0], [4.0], [5.0]]
    large = frame_array(pd.DataFrame({"a": np.array([2**70, 1], object)}), "fit", "x")
    assert large.tolist() == [[2.0**70], [1.0]]
    for table in (pl.DataFrame({"a": [[1.0, 2.0]]}), pa.table({"a": [[1.0, 2.0]]})):
        with pytest.raises(ValueError, match="column 'a' of x holds cells of type"):
            frame_array(table, "fit", "x")


def test_a_table_that_was_not_read_yet_is_to_be_collected() -> None:
    with pytest.raises(TypeError, match=r"^fit: x is a LazyFrame, which has not read its cells; pass x.collect\(\)\.$"):
        fit([Layer(2, 1)], pl.DataFrame(NUMBERS).lazy(), TARGETS["first"], solver=SOLVER, settings=SETTINGS)
