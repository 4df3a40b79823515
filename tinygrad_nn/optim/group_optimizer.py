"""GroupOptimizer, the base of optimizers with PyTorch's interface: param_groups, step, zero_grad, state_dict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..common.arguments import check_flag
from ..common.spelling import near_names, no_attribute, no_option
from ..leaves import Watch
from ..tensor import Tensor, raw
from .minimizer import Group, Minimizer, as_list, parameters_in
from .rule import Optimizer, OptimizerState, check_hyper
from .saved import copied

CHOICES_OF_SPEED = ("capturable", "foreach", "fused")  # options of PyTorch that have no effect here
RENAMED = {  # PyTorch's name -> the rule's name
    "momentum": "mu", "initial_accumulator_value": "initial", "decoupled_weight_decay": "decoupled",
    "adjust_lr_fn": "adjust",
}  # fmt: skip
SCHEDULED = (
    " A learning rate scheduler sets it. Two schedulers of one optimizer may go below 0 if one of them has an eta_min: "
    "use a single one, SequentialLR for one after the other, or eta_min=0."
)


class GroupOptimizer:
    r"""An optimizer with PyTorch's interface: parameters in groups, which are dicts whose values may be changed.

    .. math:: w \leftarrow w - update(g, state, \eta, w)

    Every subclass names the rule that updates the weights, one of those for `Minimizer`. Options that only affect speed
    in PyTorch (``foreach``, ``fused``, ``capturable``) are accepted and have no effect.

    Attributes:
        param_groups: a dict for each group, with ``'params'``, ``'lr'`` and the other hyper-parameters; a changed value
            is used from the next step on.
        defaults: the hyper-parameters of groups that do not have their own.

    Raises:
        TypeError, ValueError: something given is not a parameter, is given twice, or is out of range.
    """

    make: ClassVar[Callable[..., Optimizer]]
    rule_names: ClassVar[tuple[str, ...]] = ()  # the hyper-parameters of the rule, by PyTorch's names
    words: ClassVar[tuple[str, ...]] = ()  # the entries of a parameter's state, by PyTorch's names

    def __init__(self, params: Any, defaults: dict[str, Any], options: Mapping[str, Any]) -> None:
        name = type(self).__name__
        maximize = False
        for key, value in options.items():
            if key == "maximize":
                check_flag(name, key, value)
                maximize = bool(value)
            elif key == "differentiable" and value:
                raise ValueError(
                    f"{name}: differentiable=True is not supported; differentiate an update with optim rules."
                )
            elif key not in (*CHOICES_OF_SPEED, "differentiable"):
                raise no_option(name, key, ("params", *defaults, "maximize"), {})
        self.defaults = {**defaults, "maximize": maximize}
        self.param_groups: list[dict[str, Any]] = []
        self._groups: list[Group] = []
        self._watch = Watch()
        self._settled: list[list[Any]] = []  # for each group, the hyper-parameters of its current rule
        for group in parameter_groups(name, params):
            self.add_param_group(group)

    def add_param_group(self, param_group: Any) -> None:
        """Add a group of parameters: a dict with ``'params'`` and the values that differ from `defaults`.

        Raises:
            TypeError, ValueError: an unknown option, or a parameter that is in another group already.
        """
        name = type(self).__name__
        if isinstance(param_group, Mapping) and "params" not in param_group:
            hint = " Write 'params' instead of 'parameters'." * ("parameters" in param_group)
            raise TypeError(f"{name}: a group has no 'params', only {', '.join(map(repr, param_group))}.{hint}")
        if not isinstance(param_group, Mapping):
            raise TypeError(f"{name}: {param_group!r:.60} is not a group; each is a dict, e.g. {{'params': [w, b]}}.")
        for key in param_group:
            near = near_names(key, ["params", *self.defaults])
            if near and key != near[0]:  # a name that is not similar to any is the user's own entry
                raise no_option(f"a group of {name}", key, ("params", *self.defaults), {})
        given = {**param_group, "params": parameters_in(param_group["params"])}
        given |= {key: value for key, value in self.defaults.items() if key not in given}
        self._check_rate(given)
        (group,) = Minimizer(given["params"], self._rule(given), 0.0).groups
        here = {id(t) for other in self._groups for t in other.parameters}
        if any(id(t) in here for t in group.parameters):
            raise ValueError(f"{name}: a parameter is in two groups; it would be updated twice each step.")
        self._groups.append(group)
        self._settled.append([given[key] for key in self.defaults if key != "lr"])
        self.param_groups.append(given)

    def __getattr__(self, name: str) -> Any:
        raise no_attribute(type(self).__name__, name, (*dir(type(self)), "param_groups", "defaults"), {
            "lr": "Each group has one: optimizer.param_groups[0]['lr'].",
            "learning_rate": "Each group has one: optimizer.param_groups[0]['lr'].",
            "backward": "Call backward on the loss: loss.backward(), then optimizer.step().",
            "minimize": "Write loss.backward(), then optimizer.step().",
            "apply_gradients": "Write loss.backward(), then optimizer.step().",
        })  # fmt: skip

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to ``None``, or to zeros."""
        for group in self._groups:
            for t in group.parameters:
                g = None if t.node is None else t.node.grad
                if g is not None:
                    t.grad = None if set_to_none else np.zeros_like(g)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update the parameters once, with the gradients that `backward` accumulated.

        Args:
            closure: called before the update; it clears the gradients, calls ``backward`` and returns the loss.

        Returns:
            The result of the closure, or ``None``.

        Raises:
            TypeError, ValueError: a number in `param_groups` was set out of range.
        """
        loss = None if closure is None else closure()
        call, groups = f"{type(self).__name__}.step", self._groups
        found = [self._watch.gradients(call, group.parameters, "optimizer.zero_grad().") for group in groups]
        for k, (given, group, gradients) in enumerate(zip(self.param_groups, groups, found, strict=True)):
            hyper = [given[key] for key in self.defaults if key != "lr"]
            if hyper != self._settled[k]:
                group.change(self._rule(given))
                self._settled[k] = hyper
            rate = self._check_rate(given)
            if given["maximize"]:
                gradients = [None if g is None else -g for g in gradients]
            group.updater(gradients, [rate] * len(gradients))  # type: ignore[misc]
        self._watch.after(groups)
        return loss

    @property
    def state(self) -> dict[Tensor, dict[str, Any]]:
        """The state of each parameter that was updated, by PyTorch's names; a copy to read from."""
        return {
            t: dict(zip(self._state_names(given, state), state, strict=True))
            for given, group in zip(self.param_groups, self._groups, strict=True)
            for t, state in zip(group.parameters, group.updater.states(), strict=True)  # type: ignore[union-attr]
            if state is not None
        }

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state in PyTorch's layout: ``'state'`` by parameter number, and ``'param_groups'``."""
        numbers: dict[int, int] = {}
        count, groups = 0, []
        for given, group in zip(self.param_groups, self._groups, strict=True):
            here = range(count, count + len(group.parameters))
            numbers.update(zip(map(id, group.parameters), here, strict=True))
            groups.append({**given, "params": list(here)})
            count += len(here)
        state = {numbers[id(t)]: {key: copied(x) for key, x in found.items()} for t, found in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Any) -> None:
        """Load the result of `state_dict`, from here or from PyTorch: states and hyper-parameters of the groups.

        Raises:
            ValueError: the state is of other parameters; nothing is changed then.
        """
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(f"{name}: load_state_dict takes what state_dict() returned, a dict with 'param_groups'.")
        saved, entries_of = state_dict["param_groups"], state_dict["state"]
        if not isinstance(entries_of, Mapping) or not all(isinstance(one, Mapping) for one in entries_of.values()):
            raise ValueError(f"{name}: 'state' in the saved state is not a dict of dicts; nothing was changed.")
        if not isinstance(saved, list | tuple) or not all(isinstance(g, Mapping) and "params" in g for g in saved):
            raise ValueError(f"{name}: 'param_groups' is not a list of dicts with 'params'; nothing was changed.")
        sizes, others = [len(one["params"]) for one in self.param_groups], [len(one["params"]) for one in saved]
        if sizes != others:
            raise ValueError(
                f"{name}: the groups have {sizes} parameters here and {others} in the saved state. Create the "
                "optimizer as it was when it was saved; nothing was changed."
            )
        made, states = [], []
        for given, group, other in zip(self.param_groups, self._groups, saved, strict=True):
            new = {
                **given,
                **{key: _as_python_number(value) for key, value in other.items()},
                "params": given["params"],
            }
            self._check_rate(new)
            rule = self._rule(new)
            made.append(new)
            found = []
            for t, number in zip(group.parameters, other["params"], strict=True):
                entries = entries_of.get(number)
                found.append(None if entries is None else self._read_state(t, rule.init(t.data), entries, new))
            states.append(found)
        for given, group, new, found in zip(self.param_groups, self._groups, made, states, strict=True):
            given.update(new)  # the next step makes its rule from these
            group.updater.resume(found)  # type: ignore[union-attr]

    def __repr__(self) -> str:
        lines = []
        for given in self.param_groups:
            shown = ", ".join(f"{key}={value!r}" for key, value in given.items() if key != "params")
            count = len(given["params"])
            lines.append(f"{count} parameter{'s' if count > 1 else ''}, {shown}")
        return f"{type(self).__name__}({'; '.join(lines)})"

    def _rule(self, options: Mapping[str, Any]) -> Optimizer:
        """Return the rule with the hyper-parameters of a group."""
        name, hyper = type(self).__name__, {}
        for key in self.rule_names:
            if key == "betas":
                hyper["beta1"], hyper["beta2"] = _check_betas(name, options[key])
            else:
                rule_key = RENAMED.get(key, key)
                hyper[rule_key] = check_hyper(name, key, _as_python_number(raw(options[key])), rule_key)
        return type(self).make(**hyper)

    def _state_names(self, options: Mapping[str, Any], state: OptimizerState) -> tuple[str, ...]:
        """Return PyTorch's name of each entry of a parameter's state."""
        return self.words

    def _read_state(
        self, t: Tensor, first: OptimizerState, saved: Mapping[str, Any], options: Mapping[str, Any]
    ) -> OptimizerState:
        """Return the saved state of a parameter, converted to the types in `first`, the state before the first step."""
        name, found = type(self).__name__, []
        for key, here in zip(self._state_names(options, first), first, strict=True):
            if key not in saved:
                there_is = ", ".join(map(repr, saved)) or "nothing"
                raise ValueError(f"{name}: there is no {key!r} in the saved state; it has {there_is}.")
            there = np.asarray(saved[key])
            if there.shape != np.shape(here):
                raise ValueError(
                    f"{name}: {key!r} has shape {there.shape} in the saved state, and the parameter {t.shape}; "
                    "nothing was changed."
                )
            array = isinstance(here, np.ndarray | np.generic)
            found.append(there.astype(here.dtype) if array else type(here)(there))
        return tuple(found)

    def _check_rate(self, options: Mapping[str, Any]) -> float:
        rate = raw(options["lr"])
        if isinstance(rate, bool | str | None) or np.ndim(rate) or not 0 <= float(rate) < math.inf:
            name = type(self).__name__
            told = f"{name}: lr={rate!r:.60}; it must be a finite number of at least 0, e.g. 0.01."
            raise ValueError(told + SCHEDULED * ("initial_lr" in options))
        return float(rate)


def parameter_groups(name: str, params: Any) -> list[Mapping[str, Any]]:
    """Return the groups that were given, or one group of all parameters."""
    if hasattr(params, "parameters"):
        raise TypeError(f"{name}: this is a model; pass its parameters, optim.{name}(model.parameters(), lr=0.01).")
    if isinstance(params, Tensor | Mapping):
        raise TypeError(f"{name}: put the {type(params).__name__} into a list, optim.{name}([it], lr=0.01).")
    found = as_list(name, params)
    if not found:
        raise ValueError(f"{name}: there are no parameters; pass model.parameters() or a list of Tensors.")
    return found if any(isinstance(one, Mapping) for one in found) else [{"params": found}]


def _check_betas(name: str, betas: Any) -> tuple[Any, Any]:
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise TypeError(f"{name}: betas={betas!r:.60}; it must be a pair, e.g. betas=(0.9, 0.999).")
    return betas[0], betas[1]


def _as_python_number(value: Any) -> Any:
    """Return a 0-d array as a Python number, and anything else unchanged."""
    return value.item() if hasattr(value, "item") and np.ndim(value) == 0 else value
