"""Read tables of pandas, polars and pyarrow as arrays, and make tables of the same kind, without importing them.

A table is recognized by the Arrow interface that all three implement, ``__arrow_c_stream__``, so tables of other
packages with that interface work too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def is_frame(x: Any) -> TypeGuard[Any]:
    """Tell whether something is a table, or a column of one."""
    return type(x) is not np.ndarray and hasattr(type(x), "__arrow_c_stream__")


def is_column(x: Any) -> bool:
    """Tell whether a table is a single column, such as a Series of pandas or polars."""
    return not hasattr(x, "columns")


def frame_names(x: Any) -> tuple[str, ...]:
    """Return the names of the columns; a column without one is ``''``."""
    if is_column(x):
        return (str(getattr(x, "name", None) or ""),)
    return tuple(map(str, getattr(x, "column_names", x.columns)))


def frame_array(x: Any, call: str, argument: str) -> Array:
    """Return the numbers of a table, ``(rows, columns)``, or those of a column, ``(rows,)``.

    Args:
        x: a table or a column of numbers; the result has NumPy's common dtype of all columns.
        call, argument: the names of the calling function and of its argument, for messages.

    Raises:
        ValueError: a column holds texts or dates, or a cell is missing; both are named.

    Example:
        >>> import pandas
        >>> frame_array(pandas.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}), "fit", "x")
        array([[1. , 0.5],
               [2. , 1.5]])
    """
    names = frame_names(x)
    columns = [_numbers(column, name, call, argument) for column, name in zip(_columns(x), names, strict=True)]
    if is_column(x):
        return columns[0]
    return np.stack(columns, axis=1) if columns else np.empty((len(x), 0))


def column_labels(x: Any) -> Array:
    """Return the cells of a column, or of a table with one column, as an array of numbers or texts."""
    return np.asarray(_columns(x)[0].to_numpy())


def frame_rows(x: Any, rows: Array) -> Any:
    """Return the rows with these indices, in this order, as a table or column of the same kind."""
    if hasattr(x, "iloc"):  # pandas
        return x.iloc[rows]
    return x.take(rows) if hasattr(x, "take") else x[rows]


def frame_like(x: Any, values: Array, names: Sequence[str]) -> Any:
    """Return values ``(rows, columns)`` as a table of the same kind as x, with the index of x if it has one.

    Example:
        >>> import pandas
        >>> frame_like(pandas.DataFrame({"a": [1, 2]}, index=["x", "y"]), np.ones((2, 1)), ["b"])
             b
        x  1.0
        y  1.0
    """
    if hasattr(x, "iloc"):
        kind = x.to_frame()._constructor if is_column(x) else type(x)
        return kind(values, index=x.index, columns=list(names))
    if hasattr(x, "column_names"):  # pyarrow
        return type(x).from_arrays([np.ascontiguousarray(column) for column in values.T], names=list(names))
    return (type(x.to_frame()) if is_column(x) else type(x))(values, schema=list(names))


def _columns(x: Any) -> list[Any]:
    if is_column(x):
        return [x]
    if hasattr(x, "iloc"):
        return [x.iloc[:, k] for k in range(len(x.columns))]
    return [x.column(k) for k in range(len(x.column_names))] if hasattr(x, "column_names") else list(x.get_columns())


def _numbers(column: Any, name: str, call: str, argument: str) -> Array:
    """Return a column as an array of numbers, and raise if it holds anything else or has missing cells."""
    found = np.asarray(column.to_numpy())
    if found.dtype == object:
        found = _objects(found)
    where = f"{call}: column {name!r} of {argument}" if name else f"{call}: {argument}"
    if found.dtype.kind not in "biuf":
        kind, edit = _kind_and_edit(found)
        raise ValueError(f"{where} holds {kind}; a network takes numbers. Leave the column out, or {edit}.")
    bad = np.isnan(found)
    if bad.any():
        raise ValueError(
            f"{where} has {bad.sum():,} missing {'cell' if bad.sum() == 1 else 'cells'}, the first in row "
            f"{int(bad.argmax())}. Drop these rows, or fill them, such as with the mean of the column."
        )
    return found


def _objects(cells: Array) -> Array:
    """Return nullable integers and booleans, and decimal and large numbers, as numbers; other objects unchanged."""
    found = [np.nan if is_missing_cell(cell) else cell for cell in cells]
    if all(isinstance(cell, bool | int | float | np.bool_ | np.integer | np.floating) for cell in found):
        numbers = np.array(found)
        return numbers.astype(float) if numbers.dtype == object else numbers  # object: larger than 64 bits
    exact = all(isinstance(cell, Real | Decimal | np.bool_) for cell in found)
    return np.array([float(cell) for cell in found]) if exact else cells


def _kind_and_edit(cells: Array) -> tuple[str, str]:
    """Return what a column without numbers holds, and what to do about it."""
    first = next((cell for cell in cells if not isinstance(cell, Real) and not is_missing_cell(cell)), None)
    if cells.dtype.kind in "mM" or isinstance(first, date | timedelta):
        return "dates", "count the days since the first"
    if cells.dtype.kind in "US" or isinstance(first, str | bytes):
        return "texts", "encode it with data.one_hot(column)"
    kind = str(cells.dtype) if cells.dtype != object else f"cells of type {type(first).__name__}"
    return kind, "convert it to numbers"


def is_missing_cell(cell: Any) -> bool:
    """Tell whether an object of a column stands for a missing value: None, NaN, or what pandas writes for it."""
    unequal = isinstance(cell, float | np.floating | Decimal) and cell != cell
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or bool(unequal)
