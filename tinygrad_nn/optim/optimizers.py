"""Optimizers with PyTorch's interface, ``SGD(model.parameters(), lr=0.1)`` and so on, over the rules of this package.

Arguments, defaults and meaning are those of ``torch.optim``; the steps are those of `Minimizer` with the same rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..common.spelling import no_option
from .adaptive import adadelta, adagrad, adam, adamax, adamw, nadam, radam, rmsprop
from .descent import lion, muon, sgd
from .group_optimizer import GroupOptimizer, parameter_groups
from .minimizer import Minimizer, parameters_in
from .quasi_newton import LBFGSRule
from .rule import Optimizer, OptimizerState, check_hyper

BETAS = 0.9, 0.999


class SGD(GroupOptimizer):
    r"""Stochastic gradient descent, `sgd`.

    .. math:: v \leftarrow \mu v + (1 - d) g, \qquad w \leftarrow w - \eta v

    Args:
        params: Tensors such as ``model.parameters()``, or groups: dicts with ``'params'`` and the values that differ.
        lr: η; momentum: μ; dampening: d; weight_decay: λ; λw is added to the gradient.
        nesterov: whether to use Nesterov momentum; options: ``maximize=True`` increases the objective.

    Source: as ``torch.optim.SGD``.

    Example:
        >>> import numpy as np
        >>> from tinygrad_nn import Tensor
        >>> w = Tensor(np.array([3.0, -2.0]))
        >>> optimizer = SGD([w], lr=0.1, momentum=0.5)
        >>> for _ in range(60):
        ...     optimizer.zero_grad()
        ...     (w * w).sum().backward()
        ...     optimizer.step()
        >>> bool(abs(w.data).max() < 1e-6)
        True
    """

    make = staticmethod(sgd)
    rule_names = "momentum", "dampening", "nesterov", "weight_decay"

    def __init__(
        self, params: Any, lr: float = 1e-3, momentum: float = 0, dampening: float = 0, weight_decay: float = 0,
        nesterov: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "nesterov": nesterov}, options)

    def _state_names(self, options: Mapping[str, Any], state: OptimizerState) -> tuple[str, ...]:
        return ("momentum_buffer", "share")[: len(state)]

    def _read_state(
        self, t: Any, first: OptimizerState, saved: Mapping[str, Any], options: Mapping[str, Any]
    ) -> OptimizerState:
        saved = {"share": 1 - options["dampening"], **saved}  # PyTorch does not save it
        return super()._read_state(t, first, saved, options)


class Adam(GroupOptimizer):
    r"""Adam, `adam`; its ``weight_decay`` adds λw to the gradient.

    .. math:: w \leftarrow w - \eta \frac{\hat m}{\sqrt{\hat v} + \epsilon}

    Args:
        params: Tensors, or groups of them; lr: η; betas: the decay rates of the two moving averages; eps: ε.
        weight_decay: λ; amsgrad: whether the largest v so far is used in place of v.
        decoupled_weight_decay: whether weight decay is that of `AdamW`; options: as in `SGD`.

    Source: as ``torch.optim.Adam``.
    """

    make = staticmethod(adam)
    rule_names = "betas", "eps", "weight_decay", "amsgrad"

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = BETAS, eps: float = 1e-8,
        weight_decay: float = 0, amsgrad: bool = False, *, decoupled_weight_decay: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, {**defaults, "decoupled_weight_decay": decoupled_weight_decay}, options)

    def _rule(self, options: Mapping[str, Any]) -> Optimizer:
        rule = super()._rule(options)
        hyper: dict[str, Any] = dict(rule.hyper)
        decoupled = check_hyper(type(self).__name__, key := "decoupled_weight_decay", options[key], "decoupled")
        return adamw(**hyper) if decoupled else rule

    def _state_names(self, options: Mapping[str, Any], state: OptimizerState) -> tuple[str, ...]:
        return "exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * (len(state) - 3), "step"


class AdamW(Adam):
    r"""AdamW, `adamw`: Adam with decoupled weight decay, which shrinks the weight directly.

    .. math:: w \leftarrow (1 - \eta \lambda) w - \eta \frac{\hat m}{\sqrt{\hat v} + \epsilon}

    Args:
        params, lr, betas, eps, weight_decay, amsgrad, options: as in `Adam`.

    Source: as ``torch.optim.AdamW``.
    """

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = BETAS, eps: float = 1e-8,
        weight_decay: float = 0.01, amsgrad: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, decoupled_weight_decay=True, **options)


class NAdam(GroupOptimizer):
    """NAdam, `nadam`: Adam with Nesterov momentum.

    Args:
        params, lr, betas, eps, weight_decay, options: as in `Adam`.
        momentum_decay: ψ; decoupled_weight_decay: whether weight decay is that of `AdamW`.

    Source: as ``torch.optim.NAdam``.
    """

    make = staticmethod(nadam)
    rule_names = "betas", "eps", "weight_decay", "momentum_decay", "decoupled_weight_decay"
    words = "exp_avg", "exp_avg_sq", "mu_product", "step"

    def __init__(
        self, params: Any, lr: float = 2e-3, betas: tuple[float, float] = BETAS, eps: float = 1e-8,
        weight_decay: float = 0, momentum_decay: float = 4e-3, decoupled_weight_decay: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        more = {"momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, {**defaults, **more}, options)


class RAdam(GroupOptimizer):
    """RAdam, `radam`: Adam with a rectified variance.

    Args:
        params, lr, betas, eps, weight_decay, options: as in `Adam`.
        decoupled_weight_decay: whether weight decay is that of `AdamW`.

    Source: as ``torch.optim.RAdam``.
    """

    make = staticmethod(radam)
    rule_names = "betas", "eps", "weight_decay", "decoupled_weight_decay"
    words = "exp_avg", "exp_avg_sq", "step"

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: tuple[float, float] = BETAS, eps: float = 1e-8,
        weight_decay: float = 0, decoupled_weight_decay: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "decoupled_weight_decay": decoupled_weight_decay}, options)


class Adamax(GroupOptimizer):
    """AdaMax, `adamax`: Adam with a decaying maximum in place of the mean square.

    Args:
        params, lr, betas, eps, weight_decay, options: as in `Adam`.

    Source: as ``torch.optim.Adamax``.
    """

    make = staticmethod(adamax)
    rule_names = "betas", "eps", "weight_decay"
    words = "exp_avg", "exp_inf", "step"

    def __init__(
        self, params: Any, lr: float = 2e-3, betas: tuple[float, float] = BETAS, eps: float = 1e-8,
        weight_decay: float = 0, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}, options)


class RMSprop(GroupOptimizer):
    """RMSprop, `rmsprop`.

    Args:
        params, lr, eps, weight_decay, options: as in `Adam`; alpha: the decay rate of the mean square.
        momentum: applied to the quotient; centered: whether to subtract the squared mean of the gradients.

    Source: as ``torch.optim.RMSprop``.
    """

    make = staticmethod(rmsprop)
    rule_names = "alpha", "eps", "weight_decay", "momentum", "centered"

    def __init__(
        self, params: Any, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0,
        momentum: float = 0, centered: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**defaults, "momentum": momentum, "centered": centered}, options)

    def _state_names(self, options: Mapping[str, Any], state: OptimizerState) -> tuple[str, ...]:
        more = ["grad_avg"] * bool(options["centered"]) + ["momentum_buffer"] * bool(options["momentum"])
        return "square_avg", *more


class Adagrad(GroupOptimizer):
    """Adagrad, `adagrad`.

    Args:
        params, lr, weight_decay, eps, options: as in `Adam`; lr_decay: δ, the decay of the learning rate.
        initial_accumulator_value: the sum of squares before the first step.

    Source: as ``torch.optim.Adagrad``.
    """

    make = staticmethod(adagrad)
    rule_names = "eps", "lr_decay", "initial_accumulator_value", "weight_decay"
    words = "sum", "step"

    def __init__(
        self, params: Any, lr: float = 1e-2, lr_decay: float = 0, weight_decay: float = 0,
        initial_accumulator_value: float = 0, eps: float = 1e-10, **options: Any,
    ) -> None:  # fmt: skip
        defaults = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, {**defaults, "initial_accumulator_value": initial_accumulator_value}, options)


class Adadelta(GroupOptimizer):
    """Adadelta, `adadelta`.

    Args:
        params, lr, eps, weight_decay, options: as in `Adam`; rho: the decay rate of the moving averages.

    Source: as ``torch.optim.Adadelta``.
    """

    make = staticmethod(adadelta)
    rule_names = "rho", "eps", "weight_decay"
    words = "square_avg", "acc_delta"

    def __init__(
        self, params: Any, lr: float = 1.0, rho: float = 0.9, eps: float = 1e-6, weight_decay: float = 0,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}, options)


class Lion(GroupOptimizer):
    """Lion, `lion`, which ``torch.optim`` does not have; the arguments are those of its authors' code.

    Args:
        params, options: as in `Adam`; lr: η, a tenth of Adam's; betas: the decay rates for the step and for the mean.
        weight_decay: λ, decoupled.
    """

    make = staticmethod(lion)
    rule_names = "betas", "weight_decay"
    words = ("exp_avg",)

    def __init__(
        self, params: Any, lr: float = 1e-4, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay}, options)


class Muon(GroupOptimizer):
    """Muon, `muon`: orthogonal steps for matrices, AdamW for all other parameters.

    Args:
        params, lr, options: as in `Adam`; weight_decay: λ, decoupled; momentum, nesterov, eps: for the matrices.
        adjust_lr_fn: ``'original'`` or ``'match_rms_adamw'``.

    Source: as ``torch.optim.Muon``, which rejects parameters that are not matrices.
    """

    make = staticmethod(muon)
    rule_names = "weight_decay", "momentum", "nesterov", "eps", "adjust_lr_fn"

    def __init__(
        self, params: Any, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95, nesterov: bool = True,
        eps: float = 1e-7, adjust_lr_fn: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov, "eps": eps}
        super().__init__(params, {**defaults, "adjust_lr_fn": adjust_lr_fn or "original"}, options)

    def _state_names(self, options: Mapping[str, Any], state: OptimizerState) -> tuple[str, ...]:
        return ("momentum_buffer",) if len(state) == 1 else ("exp_avg", "exp_avg_sq", "step")


class LBFGS:
    """L-BFGS, `lbfgs`: all parameters as one vector, and a closure that is called many times per step.

    Args:
        params: Tensors; lr: the length of a step, or the first length that the line search tries.
        max_iter, max_eval, tolerance_grad, tolerance_change, history_size: as in `LBFGSRule`.
        line_search_fn: ``'strong_wolfe'`` or ``None``.

    Source: as ``torch.optim.LBFGS``.

    Example:
        >>> from tinygrad_nn import Tensor
        >>> w = Tensor([3.0, -2.0])
        >>> optimizer = LBFGS([w], line_search_fn="strong_wolfe")
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = ((w - 1) ** 2).sum()
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure).item(), bool(abs(w.data - 1).max() < 1e-9)
        (13.0, True)
    """

    def __init__(
        self, params: Any = None, lr: float = 1, max_iter: int = 20, max_eval: int | None = None,
        tolerance_grad: float = 1e-7, tolerance_change: float = 1e-9, history_size: int = 100,
        line_search_fn: str | None = None, **options: Any,
    ) -> None:  # fmt: skip
        if params is None:
            raise TypeError("LBFGS: there are no parameters; a rule for Minimizer or Solver is optim.lbfgs(...).")
        self.defaults = {
            "lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change, "history_size": history_size, "line_search_fn": line_search_fn,
        }  # fmt: skip
        for key in options:
            raise no_option("LBFGS", key, ("params", *self.defaults), {})
        rule = LBFGSRule(max_iter, max_eval, tolerance_grad, tolerance_change, history_size, line_search_fn)
        groups = parameter_groups("LBFGS", params)
        if len(groups) > 1:
            raise ValueError(f"LBFGS takes all parameters as one group; there are {len(groups)}.")
        self._minimizer = Minimizer(parameters_in(groups[0]["params"]), rule, lr)
        self.param_groups: list[dict[str, Any]] = [{"params": self._minimizer.parameters, **self.defaults}]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set the gradients of all parameters to ``None``; set_to_none has no effect."""
        self._minimizer.zero_grad()

    def step(self, closure: Any = None) -> Any:
        """Take one step, of up to ``max_iter`` directions.

        Args:
            closure: clears the gradients, calls ``backward`` on the loss and returns the loss.

        Returns:
            The result of the first call of the closure, which is the loss before the step.
        """
        losses: list[Any] = []

        def first() -> Any:
            loss = closure()
            if not losses:
                losses.append(loss)
            return loss

        self._minimizer.groups[0].learning_rate = self.param_groups[0]["lr"]
        self._minimizer.step(first if callable(closure) else closure)
        return losses[0]

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state from which a later run resumes, as `Minimizer.state_dict` does."""
        self._minimizer.groups[0].learning_rate = self.param_groups[0]["lr"]
        return self._minimizer.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load the result of `state_dict`.

        Raises:
            ValueError: parameters or options differ; nothing is changed then.
        """
        self._minimizer.load_state_dict(state_dict)
        self.param_groups[0]["lr"] = self._minimizer.groups[0].learning_rate
