"""`explain_error`: why a forward pass failed, with the operands of the failing operation and the graph before it."""

from __future__ import annotations

from functools import cached_property
from html import escape

from ..common.columns import pad, text_columns
from ..common.printable import html_text, printable
from .failure import failure_of, last_error
from .graph.drawing import Drawing, draw
from .graph.page import html_table


class Explanation:
    """An explanation of an error: the operation that failed, its operands, and the graph computed before it.

    A notebook displays it as HTML with a drawing; ``print`` shows text.

    Attributes:
        error: the exception.
        failure: the failing operation with its operands.
        drawing: the graph computed before the failure, with the failing operation in red.
    """

    def __init__(self, error: BaseException) -> None:
        self.failure = failure_of(error)
        self.error = self.failure.error

    @cached_property
    def drawing(self) -> Drawing:
        """The graph computed before the failure, with the failing operation in red."""
        return draw(self.error)

    @property
    def message(self) -> str:
        """Type and text of the exception."""
        return printable(f"{type(self.error).__name__}: {self.error}", "\n")

    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [(o.name, o.shape, str(getattr(o.value, "dtype", "")), o.origin) for o in self.failure.operands]

    def __str__(self) -> str:
        failure = self.failure
        lines = [self.message]
        if failure.line:
            file, number, text = failure.line
            lines.append(f"in line {number} of {printable(_file(file))}: {printable(text)}")
        where = f" in {printable(failure.scope)}" if failure.scope else ""
        lines.append(f"{printable(failure.operation)}{where} could not be computed with")
        rows = [tuple(map(printable, row)) for row in self._rows()]
        widths = [max(map(text_columns, column)) for column in zip(*rows, strict=True)]
        lines += ["  " + "  ".join(pad(c, w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        failure = self.failure
        parts = [f'<p style="border-left:4px solid #d1242f;padding-left:.6em"><b>{escape(self.message)}</b></p>']
        if failure.line:
            file, number, text = failure.line
            where = html_text(_file(file))
            parts.append(f"<p>Line {number} of {where}: <code>{html_text(text)}</code></p>")
        parts.append(f"<p>{html_text(failure.operation)} could not be computed with</p>")
        parts.append(html_table(("operand", "shape", "dtype", "which is"), self._rows()))
        shown = self.drawing._repr_svg_() or self.drawing._repr_html_() or ""
        shown = shown[shown.find("<svg") :] if "<svg" in shown[:600] else shown
        return "".join(parts) + f'<div style="overflow-x:auto" tabindex="0">{shown}</div>'


def explain_error(error: BaseException | None = None) -> Explanation:
    """Explain an error in a forward pass: the operation that failed, its operands, and the graph that led to it.

    Args:
        error: the exception; by default the one being handled, or the last uncaught one, such as that of the previous
            notebook cell.

    Returns:
        An `Explanation`, which a notebook displays with the graph, the failing operation in red.

    Raises:
        RuntimeError: there was no error.
        ValueError: the error was not raised by an operation on Tensors or arrays.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import Tensor
        >>> try:
        ...     Tensor(np.ones((2, 3)), name="x") @ Tensor(np.ones((2, 4)), name="W")
        ... except ValueError as error:
        ...     print(str(explain_error(error)).split("could not be ")[1])
        computed with
          x  2 × 3  float64  leaf
          W  2 × 4  float64  leaf
    """
    if error is not None and not isinstance(error, BaseException):
        raise TypeError(
            f"explain_error takes an exception, as of except ValueError as error; it got {error!r:.60} of type "
            f"{type(error).__name__}. Without an argument it explains the last error."
        )
    return Explanation(last_error() if error is None else error)


def _file(path: str) -> str:
    """Return the name of the user's file, or "the cell" for a notebook cell, whose file name is only a number."""
    name = path.replace("\\", "/").rpartition("/")[2]
    return "the cell" if "ipykernel_" in path or name.startswith("<ipython") else name
