"""History: the losses and metrics of a training, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.columns import pad, text_columns
from ..common.display import picture
from ..common.printable import printable
from ..common.spelling import no_attribute
from ..files import StrPath, write_whole

_FIELDS = ("loss", "val_loss", "metrics")


@dataclass
class History:
    """Losses and metrics at the end of each epoch, over all the data, without dropout and penalties.

    Attributes:
        loss: of the training data, one number per epoch.
        val_loss: of the validation data; empty if there was none.
        metrics: name -> one number per epoch: ``accuracy`` or ``r2``, and ``val_accuracy`` or ``val_r2``.

    Example:
        >>> print(History([0.9, 0.5], [1.0, 0.8], {"accuracy": [0.5, 0.75]}))
        epoch      loss  val_loss  accuracy
            1    0.9000    1.0000    0.5000
            2    0.5000    0.8000    0.7500
    """

    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    metrics: dict[str, list[float]] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """The number of epochs."""
        return len(self.loss)

    def __len__(self) -> int:
        return len(self.loss)

    def add(self, loss: float, val_loss: float | None, metrics: Mapping[str, float]) -> None:
        """Append the losses and metrics of an epoch."""
        self.loss.append(loss)
        if val_loss is not None:
            self.val_loss.append(val_loss)
        for name, value in metrics.items():
            self.metrics.setdefault(name, []).append(value)

    def to_dict(self) -> dict[str, Any]:
        """Return the history as a dict of lists and plain numbers."""
        return {"loss": list(self.loss), "val_loss": list(self.val_loss),
                "metrics": {name: list(values) for name, values in self.metrics.items()}}

    def to_json(self) -> str:
        """Return the history as JSON text; `from_json` reads it back exactly.

        JSON cannot represent infinity and NaN; they become the strings ``"inf"`` and ``"nan"``.
        """
        import json

        def plain(values: list[float]) -> list[float | str]:
            return [value if math.isfinite(value) else str(value) for value in values]

        data = {"loss": plain(self.loss), "val_loss": plain(self.val_loss),
                "metrics": {name: plain(values) for name, values in self.metrics.items()}}
        return json.dumps(data, indent=2, allow_nan=False)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> History:
        """Make a history from the result of `to_dict`.

        Raises:
            ValueError: a part is missing, or not a list of numbers.
        """
        if not isinstance(data, Mapping):
            raise ValueError(f"History: this is of type {type(data).__name__}; a history has {', '.join(_FIELDS)}.")
        missing = [name for name in _FIELDS if name not in data]
        if missing:
            raise ValueError(f"History: {missing[0]!r} is missing; a history has {', '.join(_FIELDS)}.")
        try:
            metrics = {str(name): [float(v) for v in values] for name, values in data["metrics"].items()}
            return cls([float(v) for v in data["loss"]], [float(v) for v in data["val_loss"]], metrics)
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            came = printable(f"{error!s:.100}")
            raise ValueError(f"History: loss, val_loss and each of the metrics are lists of numbers; {came}") from None

    @classmethod
    def from_json(cls, text: str) -> History:
        """Make a history from the result of `to_json`.

        Raises:
            ValueError: the text is not JSON, or not a history.
        """
        import json

        try:
            data = json.loads(text)
        except RecursionError:
            raise ValueError("History: this JSON is nested too deep; a history is a dict of lists.") from None
        return cls.from_dict(data)

    def save(self, path: StrPath) -> Path:
        """Write the history to a JSON file, completely or not at all, and return its path."""
        return write_whole(path, self.to_json().encode())

    @classmethod
    def load(cls, path: StrPath) -> History:
        """Read a history that `save` wrote.

        Raises:
            FileNotFoundError: there is no such file; ValueError: the file is not a history.

        Example:
            >>> from tempfile import TemporaryDirectory
            >>> with TemporaryDirectory() as folder:
            ...     again = History.load(History([0.9, 0.5]).save(Path(folder) / "history.json"))
            >>> again.loss
            [0.9, 0.5]
        """
        try:
            return cls.from_json(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{printable(path)} holds no history: {printable(error)}") from None

    def __getattr__(self, name: str) -> Any:
        raise no_attribute("a History", name, dir(type(self)), {
            **dict.fromkeys(self.metrics if "metrics" in vars(self) else (), f"Write history.metrics[{name!r}]."),
            "history": "It is the history: history.loss, history.val_loss and history.metrics.",
        })  # fmt: skip

    def __repr__(self) -> str:
        if not self.loss:
            return "History(0 epochs)"
        curves = {"loss": self.loss, "val_loss": self.val_loss, **self.metrics}
        ends = [f"{printable(name)} {cell_text(v[0])} to {cell_text(v[-1])}" for name, v in curves.items() if v]
        return f"History({self.epochs} epoch{'s' if self.epochs > 1 else ''}: {', '.join(ends)})"

    def _repr_html_(self) -> str | None:
        return picture(self)

    def __str__(self) -> str:
        columns = {"loss": self.loss, "val_loss": self.val_loss, **self.metrics}
        columns = {printable(name): values for name, values in columns.items() if values}
        widths = {name: max(10, text_columns(name) + 2) for name in columns}
        lines = ["epoch" + "".join(pad(name, widths[name], right=True) for name in columns)]
        shown = range(len(self)) if len(self) <= 20 else [*range(10), *range(len(self) - 10, len(self))]
        before = -1
        for k in shown:
            if k != before + 1:
                lines.append("  ...")
            cells = "".join(
                cell_text(values[k], widths[name] - 1).rjust(widths[name]) for name, values in columns.items()
            )
            lines.append(f"{k + 1:5d}{cells}")
            before = k
        return "\n".join(lines)


def cell_text(value: float, width: int = 9) -> str:
    """Return a number in at most `width` characters: with four decimals or, if it is long or small, with an exponent.

    Example:
        >>> cell_text(0.12345), cell_text(-123.0), cell_text(1234567.0), cell_text(-5.5e120), cell_text(3.21e-6)
        ('0.1235', '-123.0000', '1.235e+06', '-5.5e+120', '3.210e-06')
    """
    small = 0 < abs(value) < 1e-3  # of which four decimals would show no more than one digit
    for form in (".3e", ".2e") if small else (".4f", ".3e", ".2e"):
        if len(text := f"{value:{form}}") <= width:
            return text
    return f"{value:.1e}"
