"""Minimizer, the optimizer of a hand-written training loop: parameters, optimizer states and learning rates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.printable import counted
from ..common.spelling import named_options, no_attribute
from ..leaves import Watch, assign_gradient
from ..tensor import Tensor
from .plateau import Plateau, PlateauState
from .quasi_newton import LBFGSRule
from .rule import Optimizer, OptimizerState
from .saved import checked_state, saved_state
from .table import optimizer as by_name
from .update import Memory, Updater

Array = Any
Rule = Optimizer | LBFGSRule
CLEARED_BY = "minimizer.zero_grad(), or step(lambda: loss)."  # advice in a warning
Across = Callable[[float, list[Array]], tuple[float, list[Array]]]  # maps loss and gradients of a rank to those of all


@dataclass(slots=True, eq=False)
class Group:
    """Parameters that share an optimizer and a learning rate.

    Attributes:
        parameters: the Tensors; rule: their optimizer; learning_rate: η before the schedule; it may be assigned.
        states: the optimizer state of each parameter, not shared with other Minimizers; L-BFGS has one for all
            parameters.
    """

    parameters: list[Tensor]
    rule: Rule
    learning_rate: float
    updater: Updater | None = None
    search: OptimizerState = ()

    def __post_init__(self) -> None:
        if isinstance(self.rule, LBFGSRule):
            self.search = self.rule.init(flat([t.data for t in self.parameters]))
        else:
            rules, own = [self.rule] * len(self.parameters), [Memory() for _ in self.parameters]
            self.updater = Updater(self.parameters, rules, [self.learning_rate] * len(own), own)

    @property
    def states(self) -> list[OptimizerState]:
        """The state of each parameter, or a list with the one state of L-BFGS."""
        return [self.search] if self.updater is None else self.updater.begun()

    @states.setter
    def states(self, states: Sequence[OptimizerState]) -> None:
        if self.updater is None:
            (self.search,) = states
        else:
            self.updater.resume(states)

    def change(self, rule: Optimizer) -> None:
        """Use another rule from now on, such as the same with another momentum; states of the same length are kept."""
        if self.updater is None or rule == self.rule:
            return
        memories = [memory for *_, memory in self.updater.entries]
        for t, memory in zip(self.parameters, memories, strict=True):
            known = memory.state is not None and len(memory.state) == len(rule.init(t.data))
            memory.rule, memory.state = (rule, memory.state) if known else (None, None)
        self.rule = rule
        rules = [rule] * len(memories)
        self.updater = Updater(self.parameters, rules, [self.learning_rate] * len(memories), memories, derive=False)


@named_options(dict.fromkeys(
    ["momentum", "nesterov", "betas", "weight_decay", "eps"],
    "Optimizers take it: Minimizer(parameters, optim.sgd(mu=0.9), 0.1).",
))  # fmt: skip
class Minimizer:
    r"""Optimizer, parameters and learning rate of a hand-written training loop.

    .. math:: w \leftarrow w - update(g, state, \eta_t, w)

    Args:
        parameters: Tensors, or groups: dicts with ``'parameters'`` and any of ``'learning_rate'``, ``'optimizer'`` and
            the hyper-parameters of the optimizer that differ in this group.
        optimizer: a name, or the result of `optim.adam` and so on; `optim.lbfgs` needs ``step(closure)``.
        learning_rate: η; by default PyTorch's default for this optimizer.
        schedule: ``f(steps, η)`` returns the η of the next step, `steps` being the number of steps so far. A `Plateau`
            depends on the metrics passed to `observe` instead.

    Attributes:
        groups: a list of `Group`; steps: number of steps so far.

    Raises:
        TypeError, ValueError: something given is not a parameter, is given twice, or is out of range.

    Example:
        >>> w = Tensor([3.0, -2.0])
        >>> minimizer = Minimizer([w], "momentum", 0.1)
        >>> for _ in range(200):
        ...     loss = minimizer.step(lambda: (w * w).sum())
        >>> loss < 1e-6
        True
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        optimizer: str | Rule = "sgd",
        learning_rate: float | None = None,
        schedule: Callable[[Any, float], float] | None = None,
    ) -> None:
        rule = _rule(optimizer)
        self.groups = [_group(given, rule, learning_rate) for given in _parameter_groups(parameters)]
        self.schedule = schedule
        self.plateau: PlateauState | None = schedule.init() if isinstance(schedule, Plateau) else None
        self.steps = 0
        self.over_ranks: Across | None = None
        self._watch = Watch()
        if isinstance(schedule, type):
            raise TypeError(
                f"Minimizer: schedule={schedule.__name__} is a class; create a schedule, such as optim.Cosine(100) or "
                "optim.StepDecay(30)."
            )
        if schedule is not None and not callable(schedule):
            raise TypeError(f"Minimizer: schedule={schedule!r:.60} cannot be called; pass e.g. optim.Cosine(100).")
        if len(self.groups) > 1 and any(isinstance(group.rule, LBFGSRule) for group in self.groups):
            raise ValueError(f"Minimizer: lbfgs takes all parameters as one group; there are {len(self.groups)}.")
        seen: set[int] = set()
        for t in self.parameters:
            if id(t) in seen:
                raise ValueError(
                    f"Minimizer: the parameter {_parameter_text(t)} appears twice; it would be updated twice each step."
                )
            seen.add(id(t))

    def __repr__(self) -> str:
        rates = dict.fromkeys(f"{group.rule!r}, {group.learning_rate:g}" for group in self.groups)
        n = len(self.parameters)
        return f"Minimizer({n} parameter{'s' * (n != 1)}, {'; '.join(rates)})"

    def __getattr__(self, name: str) -> Any:
        raise no_attribute("a Minimizer", name, [*dir(type(self)), "groups", "steps"], {
            "param_groups": "Its groups are minimizer.groups, each with a learning_rate.",
            "backward": "Call backward on the loss: loss.backward(), then minimizer.step().",
            "minimize": "Write minimizer.step(lambda: loss), which clears the gradients and calls backward.",
        })  # fmt: skip

    @property
    def parameters(self) -> list[Tensor]:
        """All parameters, group by group."""
        return [t for group in self.groups for t in group.parameters]

    @property
    def learning_rates(self) -> list[float]:
        """The learning rate that the next step uses, for each group."""
        return [self._rate(group) for group in self.groups]

    def _rate(self, group: Group) -> float:
        if self.schedule is None:
            return group.learning_rate
        return float(self.schedule(self.steps if self.plateau is None else self.plateau, group.learning_rate))

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to ``None``."""
        for group in self.groups:
            for t in group.parameters:
                if (node := t.node) is not None:
                    assign_gradient(node)

    def step(self, gradients: Sequence[Array | None] | Callable[[], Any] | None = None) -> float | None:
        """Update the parameters once, with the gradients that `backward` accumulated.

        Args:
            gradients: used instead: a list with an array or ``None`` per parameter; or a function without arguments
                that returns the loss, a Tensor, whose ``backward`` is called here. L-BFGS calls it many times.

        Returns:
            The loss before the step, if a function was given.

        Raises:
            ValueError, TypeError: gradients that do not fit, or no function for L-BFGS.
        """
        loss = None
        if isinstance(self.groups[0].rule, LBFGSRule):
            loss = self._search(gradients)
        else:
            if callable(gradients):
                loss = self._evaluate(gradients)
                gradients = None
            every = None if gradients is None else iter(self._fitting(gradients))
            found: list[list[Array | None]] = []
            for group in self.groups:
                parameters = group.parameters
                if group.updater is None or len(parameters) != len(group.updater.entries):
                    raise ValueError("step: the parameters of a group have changed; create a new Minimizer for them.")
                if every is None:
                    found.append(self._watch.gradients("step", parameters, CLEARED_BY))
                else:
                    found.append([next(every) for _ in parameters])
            for group, given in zip(self.groups, found, strict=True):
                updater: Any = group.updater
                fixed = self.schedule is None and group.learning_rate == updater.rates[0]
                updater(given, None if fixed else [self._rate(group)] * len(given))
            if gradients is None:
                self._watch.after(self.groups)
        self.steps += 1
        return loss

    def observe(self, metric: float) -> None:
        """Pass the metric of an epoch to the `Plateau`.

        Raises:
            TypeError: the schedule is not a `Plateau`.
        """
        if self.plateau is None:
            raise TypeError("observe: only a Plateau follows a metric; pass schedule=optim.Plateau() to Minimizer.")
        self.plateau = self.schedule.update(self.plateau, metric)  # type: ignore[union-attr]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state from which a later run resumes: dicts, lists, numbers, names and arrays."""
        return saved_state(self)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Load the result of `state_dict`, learning rates included.

        Raises:
            ValueError: parameters, optimizer or schedule differ; the message says which, and nothing is changed.
        """
        states, rates, self.plateau, self.steps = checked_state(self, saved)
        for group, found, rate in zip(self.groups, states, rates, strict=True):
            group.states, group.learning_rate = found, rate

    def _fitting(self, gradients: Sequence[Array | None]) -> list[Array | None]:
        parameters = self.parameters
        check_gradients_given(gradients)
        if len(gradients) != len(parameters):
            raise ValueError(
                f"step: {counted(len(gradients), 'gradient')} for {len(parameters)} parameters; pass one for each, "
                "or None if it has none."
            )
        for k, (t, g) in enumerate(zip(parameters, gradients, strict=True), 1):
            if g is not None and np.shape(g) != t.shape:
                called = repr(t.name) if t.name else f"parameter {k}"
                raise ValueError(
                    f"step: the gradient of {called} has shape {np.shape(g)}; the parameter has {t.shape}."
                )
        return [None if g is None else np.asarray(g, t.dtype) for t, g in zip(parameters, gradients, strict=True)]

    def _evaluate(self, closure: Callable[[], Any]) -> float:
        """Call a closure, then ``backward`` of the loss unless the closure did so, and return the loss."""
        self.zero_grad()
        loss = closure()
        if isinstance(loss, Tensor):
            if loss.node is not None and loss.node.args is not None:
                loss.backward()
            loss = loss.data
        value = loss_as_number(loss)
        if self.over_ranks is None and not any(t.node is not None and t.node.grad is not None for t in self.parameters):
            raise ValueError(
                "step: the loss does not depend on any parameter, so none would change; compute it from them, and "
                "return it as a Tensor rather than as a number."
            )
        return value

    def _search(self, closure: Any) -> float:
        """Take a step of L-BFGS; if the closure raises, the parameters are restored."""
        if not callable(closure):
            raise TypeError("step: lbfgs evaluates the loss at several places; pass a function, step(lambda: loss(x)).")
        (group,) = self.groups
        before = [t.data for t in group.parameters]

        def at(w: Array) -> tuple[float, Array]:
            _assign_flat(group.parameters, w)
            loss = self._evaluate(closure)
            g = flat([np.zeros_like(t.data) if t.grad is None else t.grad for t in group.parameters])
            if self.over_ranks is not None:
                loss, (g,) = self.over_ranks(loss, [g])
            return loss, g

        try:
            w, loss, state = group.rule.minimize(at, flat(before), group.search, self._rate(group))  # type: ignore[union-attr]
        except BaseException:
            for t, old in zip(group.parameters, before, strict=True):
                _assign(t, old)
            raise
        _assign_flat(group.parameters, w)
        group.search = state
        return loss


def check_gradients_given(gradients: Any) -> None:
    """Raise a TypeError if `step` got something that is no list of gradients, such as the loss itself."""
    if isinstance(gradients, Tensor) and not gradients.shape:
        raise TypeError(
            "step: it got a loss, and takes gradients. Write step(lambda: loss(x)), with a function that computes the "
            "loss; or loss.backward() and then step()."
        )
    several = hasattr(type(gradients), "__len__") and not isinstance(gradients, (Mapping, str))
    if not several or (isinstance(gradients, np.ndarray) and not gradients.ndim):
        raise TypeError(
            f"step: it got {gradients!r:.60} of type {type(gradients).__name__}; pass a list with an array or None "
            "for each parameter, a function that returns the loss, or nothing."
        )


def loss_as_number(loss: Any) -> float:
    """Return what the function of a step returned as a float; raise a TypeError if it is not one number."""
    if loss is None or np.size(loss) != 1:
        came = "None" if loss is None else f"an array of shape {np.shape(loss)}"
        raise TypeError(f"step: the function returned {came}; it must return the loss, a number: return loss.")
    return float(np.reshape(loss, ()))


def flat(arrays: Sequence[Array]) -> Array:
    """Return all entries of the arrays as one vector."""
    return np.concatenate([np.ravel(x) for x in arrays])


def _assign_flat(parameters: Sequence[Tensor], w: Array) -> None:
    start = 0
    for t in parameters:
        part, start = w[start : start + t.size], start + t.size
        _assign(t, part.reshape(t.shape).astype(t.dtype))


def _assign(t: Tensor, new: Array) -> None:
    """Give a parameter a new array; an older graph may still use the old one."""
    if t.node is not None:
        t.data = np.asarray(new)  # NumPy returns scalars for 0-d results


def _parameter_text(t: Tensor) -> str:
    return repr(t.name) if t.name else f"of shape {t.shape}"


def _rule(optimizer: Any) -> Rule:
    if isinstance(optimizer, str):
        return LBFGSRule() if optimizer.strip().lower() == "lbfgs" else by_name(optimizer)
    if not isinstance(optimizer, (Optimizer, LBFGSRule)):
        if hasattr(optimizer, "zero_grad"):
            name = getattr(optimizer, "__name__", type(optimizer).__name__)
            raise TypeError(
                f"Minimizer: {name} is an optimizer itself, {name}(parameters, lr=0.01).step(); here write "
                f"{name.lower()!r}."
            )
        raise TypeError(
            f"Minimizer: optimizer={optimizer!r:.60} is of type {type(optimizer).__name__}; it needs a name, e.g. "
            "'adam', or an optimizer, e.g. optim.adam(beta1=0.8)."
        )
    return optimizer


def _parameter_groups(parameters: Any) -> list[dict[str, Any]]:
    """Return the groups that were given, or one group of all parameters."""
    if hasattr(parameters, "parameters"):
        raise TypeError("Minimizer: this is a model; pass its parameters, Minimizer(model.parameters(), 'adam', 0.01).")
    if isinstance(parameters, (Tensor, Mapping)):
        raise TypeError(f"Minimizer: put the {type(parameters).__name__} into a list, Minimizer([it], ...).")
    found = as_list("Minimizer", parameters)
    if not found:
        raise ValueError("Minimizer: there are no parameters; pass a list of Tensors.")
    if not any(isinstance(one, Mapping) for one in found):
        return [{"parameters": found}]
    for one in found:
        if not isinstance(one, Mapping) or "parameters" not in one:
            if isinstance(one, Mapping):
                hint = " Write 'parameters' instead of 'params'." * ("params" in one)
                raise TypeError(f"Minimizer: a group has no 'parameters', only {', '.join(map(repr, one))}.{hint}")
            raise TypeError(f"Minimizer: {one!r:.60} is not a group; each is a dict, e.g. {{'parameters': [w, b]}}.")
    return [dict(one) for one in found]


def as_list(call: str, parameters: Any) -> list[Any]:
    """Return parameters or groups as a list; raise a TypeError for what is not iterable."""
    if not isinstance(parameters, Iterable):
        raise TypeError(
            f"{call}: the parameters are {parameters!r:.60} of type {type(parameters).__name__}; pass "
            "model.parameters() or a list of Tensors."
        )
    return list(parameters)


def parameters_in(params: Any) -> list[Any]:
    """Return the parameters of a group, also from the pairs of ``named_parameters()``."""
    found = [params] if isinstance(params, Tensor) else list(params)
    return [one[1] if isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str) else one for one in found]


def _group(options: dict[str, Any], rule: Rule, learning_rate: float | None) -> Group:
    parameters = options.pop("parameters")
    parameters = parameters_in(parameters)
    for t in parameters:
        if not isinstance(t, Tensor) or t.dtype.kind != "f" or not t.is_leaf:
            raise TypeError(
                f"Minimizer: {t!r:.60} is not a parameter; it needs a Tensor of floats made by Tensor(data)."
            )
    if not parameters:
        raise ValueError("Minimizer: a group has no parameters; leave it out.")
    if "optimizer" in options:
        rule = _rule(options.pop("optimizer"))
    rate = options.pop("learning_rate", learning_rate)
    rate = rule.learning_rate if rate is None else rate
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 <= rate < math.inf:
        raise ValueError(f"Minimizer: learning_rate={rate!r:.60}; it must be a finite number of at least 0, e.g. 0.01.")
    if options and isinstance(rule, LBFGSRule):
        raise TypeError(f"Minimizer: write lbfgs({next(iter(options))}=...) instead of a group with it.")
    return Group(parameters, rule.replace(**options) if options else rule, float(rate))  # type: ignore[union-attr]
