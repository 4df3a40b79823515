"""The update that all kinds of training share: each gradient updates its parameter and the optimizer's state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..tensor import Tensor
from .rule import Optimizer, OptimizerState, is_reusable

Array = Any
SMALL = 2**14  # bytes; a new array up to this size costs less than the check whether an old one may be reused


class Memory:
    """The rule and the optimizer state of one parameter, both ``None`` before the first step, and its first losses."""

    __slots__ = ("rule", "start", "state")

    def __init__(self) -> None:
        self.rule: Any = None
        self.state: Any = None
        self.start: tuple[str, int, float] | None = None

    def forget(self) -> None:
        """Drop the state, since the parameter was given new data."""
        self.rule = self.state = self.start = None


def attached_memory(parameter: Tensor) -> Memory:
    """Return the memory that is stored with a parameter for its next training; a copy of a model has a copy of it."""
    node: Any = parameter.node
    memory: Memory | None = (node.notes or {}).get("attached")
    if memory is None:
        memory = Memory()
        node.note(attached=memory)
    return memory


class Updater:
    r"""Updates parameters with gradients, each by its own rule.

    .. math:: w \leftarrow w - update(g, state, \eta, w)

    Args:
        parameters: the Tensors.
        rules: the optimizer of each parameter.
        rates: the learning rate of each parameter, before the schedule.
        memories: where the state of each parameter is stored; by default in the memory `attached` to it.
        derive: whether to derive the in-place forms of the rules, which takes as long as many small steps.
    """

    __slots__ = ("derive", "entries", "fixed", "rates")

    def __init__(
        self,
        parameters: Sequence[Tensor],
        rules: Sequence[Optimizer],
        rates: Sequence[float],
        memories: Sequence[Memory] | None = None,
        derive: bool = True,
    ) -> None:
        self.entries = []
        self.rates, self.derive = rates, derive
        self.fixed: list[Any] = []  # learning rates in the type with which each rule multiplies fastest
        scalars: dict[tuple[float, Any], Any] = {}
        for k, (t, rule, rate) in enumerate(zip(parameters, rules, rates, strict=True)):
            into = rule.into if derive and t.data.ndim and t.data.dtype.kind == "f" else None  # `into` has no checks
            memory = attached_memory(t) if memories is None else memories[k]
            self.entries.append((t, rule, into or (rule.move if derive else rule.plain), memory))
            if not getattr(into, "scales", False):
                self.fixed.append(rate)
                continue
            dtype = t.data.dtype
            eta = scalars.get((rate, dtype))
            if eta is None:
                eta = scalars[rate, dtype] = np.asarray(rate, dtype)
            self.fixed.append(eta)

    def __reduce__(self) -> Any:
        """Copy and pickle by the parameters, rules and memories: the functions that a rule makes cannot be pickled."""
        columns = list(zip(*((t, rule, memory) for t, rule, _, memory in self.entries), strict=True)) or [(), (), ()]
        parameters, rules, memories = map(list, columns)
        return Updater, (parameters, rules, self.rates, memories, self.derive)

    def __call__(
        self, gradients: list[Array | None], etas: Sequence[float] | None = None, spend: bool = False
    ) -> None:
        """Update the parameters once; each gets a new array, since an older graph may still use the old one.

        Args:
            gradients: for each parameter an array of its shape and dtype, or ``None`` to leave it unchanged.
            etas: the learning rates in this step; by default `rates`.
            spend: whether the gradients may be overwritten. A large gradient without other references then becomes the
                memory of the new parameter, and is replaced by ``None`` in the list.
        """
        used: Sequence[Any] = self.fixed if etas is None else etas
        k = -1
        for t, rule, move, memory in self.entries:
            k += 1
            g, node = gradients[k], t.node
            if g is None or node is None:  # a frozen parameter has no node
                continue
            if memory.rule is not rule and memory.rule != rule:
                memory.rule, memory.state = rule, rule.init(t.data)
            states = [memory.state]
            memory.state = spare = None  # in-place rules free old state arrays, unless referenced elsewhere
            if spend and g.nbytes > SMALL:
                gradients[k] = None
                spare = g if is_reusable(g, t.data) else None
            w, state = move(g, states.pop(), used[k], t.data, spare)
            t.data = w
            memory.state = state

    def states(self) -> list[OptimizerState | None]:
        """Return the state of each parameter; ``None`` before its first step with this rule."""
        return [memory.state if memory.rule == rule else None for _, rule, _, memory in self.entries]

    def begun(self) -> list[OptimizerState]:
        """Return the state of each parameter; before its first step, the initial state."""
        pairs = zip(self.states(), self.entries, strict=True)
        return [rule.init(t.data) if state is None else state for state, (t, rule, _, _) in pairs]

    def resume(self, states: Sequence[OptimizerState | None]) -> None:
        """Restore the states that `states` returned."""
        for state, (_, rule, _, memory) in zip(states, self.entries, strict=True):
            memory.rule, memory.state = (None, None) if state is None else (rule, state)
