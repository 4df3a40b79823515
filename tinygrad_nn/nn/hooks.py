"""Hooks of a module: user functions that see, or replace, its inputs, its outputs and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backward import Handle, ancestors
from ..tensor import Tensor

Hook = Callable[..., Any]


class Hooks:
    """The hooks of one module: `before` and `after` its forward, and `back` for gradients."""

    def __init__(self) -> None:
        self.before: list[Hook] = []
        self.after: list[Hook] = []
        self.back: list[Hook] = []

    def add(self, when: str, hook: Hook) -> Handle:
        """Add a hook and return the handle that removes it."""
        if not callable(hook):
            raise TypeError(f"a hook is a function; this is {hook!r:.60} of type {type(hook).__name__}.")
        hooks: list[Hook] = getattr(self, when)
        hooks.append(hook)
        return Handle(hooks, hook)

    def run(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the module's forward with its hooks before, after and in backward."""
        for hook in list(self.before):
            given = hook(module, args)
            if given is not None:
                args = given if isinstance(given, tuple) else (given,)
        back = _CallGradients(self.back, module) if self.back else None
        if back is not None:
            args = tuple(back.watched(i, x) for i, x in enumerate(args))
        out = module.forward(*args, **kwargs)
        for hook in list(self.after):
            given = hook(module, args, out)
            out = out if given is None else given
        return out if back is None else back.answered(out)


class _CallGradients:
    """The gradients of one call: hooks run once the gradients of all outputs and inputs have arrived."""

    def __init__(self, hooks: list[Hook], module: Any) -> None:
        self.hooks, self.module = hooks, module
        self.inputs: dict[int, Tensor] = {}
        self.into: list[Any] = []
        self.outer: list[Any] = []

    def watched(self, i: int, x: Any) -> Any:
        """Return a copy of input i whose gradient is observed; the input itself may be used elsewhere too."""
        self.into.append(None)
        if not isinstance(x, Tensor) or not x.requires_grad:
            return x
        self.inputs[i] = x.copy()
        return self.inputs[i]

    def answered(self, out: Any) -> Any:
        """Return the output with its gradient observed, and register hooks on the inputs that it depends on."""
        parts = [p.copy() if isinstance(p, Tensor) and p.requires_grad else p
                 for p in (out if isinstance(out, tuple) else (out,))]  # fmt: skip
        self.outer = [None] * len(parts)
        live = {i: p for i, p in enumerate(parts) if isinstance(p, Tensor) and p.node is not None}
        above = set(ancestors([p.node for p in live.values() if p.node is not None]))
        waiting = {i for i, x in self.inputs.items() if x.node in above}
        for i in waiting:
            self.inputs[i].register_hook(lambda g, i=i: self._store_input_gradient(i, g, waiting))
        for i, part in live.items():
            part.register_hook(lambda g, i=i: self._store_output_gradient(i, g, not waiting))
        return tuple(parts) if isinstance(out, tuple) else parts[0]

    def _store_output_gradient(self, i: int, g: Any, last: bool) -> None:
        self.outer[i] = g
        if last:
            self._run()

    def _store_input_gradient(self, i: int, g: Any, waiting: set[int]) -> Any:
        self.into[i] = g
        if any(self.into[j] is None for j in waiting):
            return None
        changed = self._run()
        if changed is None:
            return None
        if len(waiting) > 1:
            raise TypeError(
                "a backward hook that returns gradients needs a module with one input that has any. Put "
                "Tensor.register_hook on the inputs instead."
            )
        return np.asarray(changed[i])

    def _run(self) -> Any:
        changed = None
        for hook in list(self.hooks):
            given = hook(self.module, tuple(self.into), tuple(self.outer))
            if given is not None:
                changed = given if isinstance(given, tuple) else (given,)
                self.into = list(changed)
        return changed
