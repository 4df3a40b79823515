"""Tables of pandas, polars and pyarrow in training and prediction: values become arrays, column names are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data import frame_array, frame_like, frame_names, is_frame
from ..nn.module import Module


def arrays_of(call: str, model: Any, **data: Any) -> list[Any]:
    """Return the data with tables converted to arrays; raise if the input columns differ from those of the training."""
    before: tuple[str, ...] | None = names_of(model, "input_names")
    found = []
    for name, part in data.items():
        if not is_frame(part):
            if hasattr(type(part), "collect_schema"):  # of polars
                kind = type(part).__name__
                raise TypeError(f"{call}: {name} is a {kind}, which has not read its cells; pass {name}.collect().")
            found.append(part)
            continue
        if name.startswith("x"):
            expected = before if call == "Predict" or name == "x_val" else None
            if name == "x_val" and is_frame(data["x"]):
                expected = frame_names(data["x"])
            if expected is not None:
                _check_names(call, name, frame_names(part), expected)
        found.append(frame_array(part, call, name))
    return found


def remember_names(model: Any, x: Any, y: Any) -> None:
    """Store the column names of the training tables on the model; None if the data was not a table."""
    for data, place, part in ((x, "input_names", 0), (y, "output_names", -1)):
        owner = _owner(model, part)
        if isinstance(owner, Module):
            vars(owner)[place] = frame_names(data) if is_frame(data) else None


def names_of(model: Any, place: str) -> tuple[str, ...] | None:
    """Return the names that `remember_names` stored, ``'input_names'`` or ``'output_names'``; else None."""
    owner = _owner(model, 0 if place == "input_names" else -1)
    return vars(owner).get(place) if isinstance(owner, Module) else None


def table_like(x: Any, model: Any, output: Any) -> Any:
    """Return a prediction as a table of the kind of x, with the target names of the training as column names."""
    rows = output[:, None] if output.ndim == 1 else output
    if rows.ndim != 2:
        return output
    names = names_of(model, "output_names")
    if names is None or len(names) != rows.shape[1] or "" in names:
        names = tuple(f"output {k + 1}" for k in range(rows.shape[1]))
    return frame_like(x, rows, names)


def _owner(model: Any, part: int) -> Any:
    return model[part] if isinstance(model, (list, tuple)) and model else model


def _check_names(call: str, argument: str, names: Sequence[str], expected: Sequence[str]) -> None:
    if list(names) == list(expected):
        return
    missing, more = [n for n in expected if n not in names], [n for n in names if n not in expected]
    if missing:
        said = f"has no column {missing[0]!r}, which the network was trained on."
    elif more:
        said = f"has the column {more[0]!r}, which the network was not trained on. Leave it out."
    else:
        k = next(k for k, (a, b) in enumerate(zip(names, expected, strict=True)) if a != b)
        said = f"has its columns in a different order than in training: {names[k]!r} where {expected[k]!r} was."
    raise ValueError(f"{call}: {argument} {said} Pass the columns {list(expected)!r:.200} in this order.")
