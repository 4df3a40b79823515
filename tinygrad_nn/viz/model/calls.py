"""Recording of the calls of a model's parts: their shapes, and the Nodes that are created during each call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...tensor import Tensor
from ..graph.picture import shorten
from .names import parameters

Shape = tuple[int, ...] | None


@dataclass(slots=True)
class Call:
    """One call of a part of a model.

    Attributes:
        name: ``2 Linear(4, 3)`` in a list, ``encoder.norm LayerNorm(8)`` by path.
        owned: its parameters, without those of its inner parts that are watched too.
        input, output: the shapes of the first argument and result; ``None`` if there is no array, or no call.
        start, end: Node indices before and after the call; Nodes created in it have indices between these.
        result: the returned value, if results are kept.
    """

    name: str
    owned: list[Tensor]
    input: Shape
    start: int
    end: int = 0
    output: Shape = None
    result: Any = None


class CallRecorder:
    """Runs parts of a model and records their calls, and those of the modules nested in them up to a depth."""

    def __init__(self, results: bool = False) -> None:
        self.calls: list[Call] = []
        self.results = results

    def run(self, part: Any, values: list[Any], number: str, depth: int) -> Any:
        """Call a part and return its result; `number` is its number in a list of layers, or empty."""
        paths = {path: module for path, module in getattr(part, "named_modules", tuple)() if path}
        seen = {path: module for path, module in paths.items()
                if sum(path.startswith(f"{outer}.") for outer in paths) < depth}  # fmt: skip
        names = {path: f"{number}.{path}".strip(".") + f" {_part_text(module)}" for path, module in seen.items()}
        before = [(module, vars(module).get("forward")) for module in seen.values()]
        try:
            for path, module in seen.items():
                module.forward = self._noted(names[path], _own_parameters(path, module, seen), module.forward)
            out = self._noted(f"{number} {_part_text(part)}".strip(), _own_parameters("", part, seen), part)(*values)
            called = {call.name for call in self.calls}
            for path, module in seen.items():
                if names[path] not in called:
                    self.calls.append(
                        Call(names[path], _own_parameters(path, module, seen), None, _current_index(), _current_index())
                    )
            return out
        finally:
            for module, forward in before:
                if forward is None:
                    vars(module).pop("forward", None)
                else:
                    module.forward = forward

    def _noted(self, name: str, owned: list[Tensor], f: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            note = Call(name, owned, _shape([*args, *kwargs.values()]), _current_index())
            self.calls.append(note)
            out = f(*args, **kwargs)
            note.end, note.output = _current_index(), _shape(out)
            note.result = out if self.results else None
            return out

        return call


def _shape(value: Any) -> Shape:
    if isinstance(value, (Tensor, np.ndarray)):
        return tuple(value.shape)
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return next((shape for part in parts if (shape := _shape(part)) is not None), None)


def _own_parameters(path: str, part: Any, modules: Mapping[str, Any]) -> list[Tensor]:
    """Return the parameters of a part without those of the watched parts inside it."""
    prefix = f"{path}." if path else ""
    inner = [module for other, module in modules.items() if other != path and other.startswith(prefix)]
    theirs = {id(tensor) for module in inner for tensor in parameters(module).values()}
    return [tensor for tensor in parameters(part).values() if id(tensor) not in theirs]


def _part_text(part: Any) -> str:
    """Return a short text for a part: its ``repr`` if that is a single line, else its name or type."""
    text = repr(part)
    if "\n" in text or text.startswith("<"):
        text = str(getattr(part, "__name__", type(part).__name__))
    return shorten(text)


def _current_index() -> int:
    """Return a Node index between those of the Nodes created before and after this call."""
    node = Tensor(0.0).node
    return node.index if node else 0
