"""Write down what PyTorch's optimizers, clipping and schedules do: ``python make_optimizers.py`` with PyTorch 2.13.

The tests read `optimizers.json` and `schedules.json` and need no PyTorch. All numbers are float64, also the products in
Muon, which PyTorch rounds to bfloat16.
"""

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import optim
from torch.optim import lr_scheduler
from torch.optim.lbfgs import _strong_wolfe

HERE = Path(__file__).parent
STEPS = 20

torch.set_default_dtype(torch.float64)
torch.Tensor.bfloat16 = torch.Tensor.clone  # Muon then writes into what this returns

# The problem: fit a small network, loss = mean((tanh(x Vᵀ) Uᵀ + b - y)²).
PROBLEM = {
    "x": [[0.3, -1.2], [1.1, 0.4], [-0.7, 0.9], [0.2, 0.5], [-1.3, -0.6]],
    "y": [[0.4], [-0.9], [1.2], [0.1], [0.7]],
    "V": [[0.5, -0.3], [-0.8, 0.6], [0.1, 0.9]],
    "U": [[0.7, -0.4, 0.2]],
    "b": [0.1],
}


def muon(parameters: list[torch.Tensor], **options: Any) -> Iterator[optim.Optimizer]:
    """Muon for the matrices, and AdamW with the same learning rate and decay for the rest, which Muon refuses."""
    first = optim.Muon([w for w in parameters if w.ndim == 2], **options)
    yield first
    same = {key: first.defaults[key] for key in ("lr", "weight_decay")}
    yield optim.AdamW([w for w in parameters if w.ndim != 2], **same)


def alone(make: Callable[..., optim.Optimizer]) -> Callable[..., Iterator[optim.Optimizer]]:
    return lambda parameters, **options: iter([make(parameters, **options)])


# Our name and hyper-parameters, the learning rate or None for the default, PyTorch's class and arguments.
NO: dict[str, Any] = {}
ROWS: list[tuple[str, dict[str, Any], float | None, Any, dict[str, Any]]] = [
    ("sgd",      NO,                                 None, optim.SGD, NO),
    ("sgd",      {"weight_decay": 0.1},              0.1,  optim.SGD, {"weight_decay": 0.1}),
    ("sgd",      {"mu": 0.8, "dampening": 0.3, "weight_decay": 0.1}, 0.1,
     optim.SGD, {"momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}),
    ("sgd",      {"mu": 0.8, "nesterov": True, "weight_decay": 0.1}, 0.1,
     optim.SGD, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("momentum", NO,                                 0.1,  optim.SGD, {"momentum": 0.9}),
    ("nesterov", {"weight_decay": 0.1},              0.1,  optim.SGD, {"momentum": 0.9, "nesterov": True,
                                                                       "weight_decay": 0.1}),
    ("adam",     NO,                                 None, optim.Adam, NO),
    ("adam",     {"beta1": 0.7, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.1}, 0.1,
     optim.Adam, {"betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("adam",     {"amsgrad": True, "beta2": 0.6},    0.1,  optim.Adam, {"amsgrad": True, "betas": (0.9, 0.6)}),
    ("adamw",    NO,                                 None, optim.AdamW, NO),
    ("adamw",    {"weight_decay": 0.3, "amsgrad": True, "beta2": 0.6}, 0.1,
     optim.AdamW, {"weight_decay": 0.3, "amsgrad": True, "betas": (0.9, 0.6)}),
    ("amsgrad",  {"beta2": 0.6, "weight_decay": 0.1}, 0.1, optim.Adam, {"amsgrad": True, "betas": (0.9, 0.6),
                                                                        "weight_decay": 0.1}),
    ("nadam",    NO,                                 None, optim.NAdam, NO),
    ("nadam",    {"weight_decay": 0.1, "momentum_decay": 0.1}, 0.1,
     optim.NAdam, {"weight_decay": 0.1, "momentum_decay": 0.1}),
    ("nadam",    {"weight_decay": 0.1, "decoupled": True}, 0.1,
     optim.NAdam, {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("radam",    NO,                                 None, optim.RAdam, NO),
    ("radam",    {"beta2": 0.9, "weight_decay": 0.1}, 0.1, optim.RAdam, {"betas": (0.9, 0.9), "weight_decay": 0.1}),
    ("radam",    {"beta2": 0.6},                     0.1,  optim.RAdam, {"betas": (0.9, 0.6)}),
    ("radam",    {"weight_decay": 0.1, "decoupled": True}, 0.1,
     optim.RAdam, {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("adamax",   NO,                                 None, optim.Adamax, NO),
    ("adamax",   {"beta2": 0.7, "eps": 1e-2, "weight_decay": 0.1}, 0.1,
     optim.Adamax, {"betas": (0.9, 0.7), "eps": 1e-2, "weight_decay": 0.1}),
    ("rmsprop",  NO,                                 None, optim.RMSprop, NO),
    ("rmsprop",  {"alpha": 0.8, "centered": True, "eps": 1e-3, "weight_decay": 0.1}, 0.01,
     optim.RMSprop, {"alpha": 0.8, "centered": True, "eps": 1e-3, "weight_decay": 0.1}),
    ("rmsprop",  {"mu": 0.8, "centered": True, "eps": 1e-3}, 0.01,
     optim.RMSprop, {"momentum": 0.8, "centered": True, "eps": 1e-3}),
    ("rmsprop",  {"mu": 0.8},                        0.01, optim.RMSprop, {"momentum": 0.8}),
    ("adagrad",  NO,                                 None, optim.Adagrad, NO),
    ("adagrad",  {"lr_decay": 0.1, "initial": 0.2, "weight_decay": 0.1}, 0.3,
     optim.Adagrad, {"lr_decay": 0.1, "initial_accumulator_value": 0.2, "weight_decay": 0.1}),
    ("adadelta", NO,                                 None, optim.Adadelta, NO),
    ("adadelta", {"rho": 0.6, "eps": 1e-3, "weight_decay": 0.1}, 2.0,
     optim.Adadelta, {"rho": 0.6, "eps": 1e-3, "weight_decay": 0.1}),
    ("muon",     NO,                                 None, muon, NO),
    ("muon",     {"mu": 0.8, "nesterov": False, "weight_decay": 0.3, "adjust": "match_rms_adamw"}, 0.1,
     muon, {"momentum": 0.8, "nesterov": False, "weight_decay": 0.3, "adjust_lr_fn": "match_rms_adamw"}),
    ("lbfgs",    {"max_iter": 1},                    None, optim.LBFGS, {"max_iter": 1}),
    ("lbfgs",    {"max_iter": 3, "history_size": 2}, 0.3,  optim.LBFGS, {"max_iter": 3, "history_size": 2}),
    ("lbfgs",    {"max_iter": 4, "line_search": "strong_wolfe"}, None,
     optim.LBFGS, {"max_iter": 4, "line_search_fn": "strong_wolfe"}),
    ("lbfgs",    {"max_iter": 1, "max_eval": 9, "line_search": "strong_wolfe", "history_size": 3}, 4.0,
     optim.LBFGS, {"max_iter": 1, "max_eval": 9, "line_search_fn": "strong_wolfe", "history_size": 3}),
]  # fmt: skip


def short(numbers: list[float]) -> list[float]:
    """The numbers with the digits that a comparison to 1e-9 needs, and two more."""
    return [float(f"{number:.12g}") for number in numbers]


def path(make: Callable[..., Any], options: dict[str, Any]) -> list[list[float]]:
    """All parameters after each step, as one list."""
    x, y, V, U, b = (torch.tensor(value) for value in PROBLEM.values())
    parameters = [w.requires_grad_() for w in (V, U, b)]
    made = list((make if make is muon else alone(make))(parameters, **options))

    def closure() -> torch.Tensor:
        for one in made:
            one.zero_grad()
        loss = ((torch.tanh(x @ V.T) @ U.T + b - y) ** 2).mean()
        loss.backward()
        return loss

    found = []
    for _ in range(STEPS):
        if isinstance(made[0], optim.LBFGS):
            made[0].step(closure)
        else:
            closure()
            for one in made:
                one.step()
        found.append(short(torch.cat([w.detach().ravel() for w in parameters]).tolist()))
    return found


def optimizers() -> list[dict[str, Any]]:
    rows = []
    for name, hyper, rate, make, options in ROWS:
        found = path(make, options if rate is None else {**options, "lr": rate})
        rows.append({"name": name, "hyper": hyper, "learning_rate": rate, "path": found})
    return rows


def clipping() -> list[dict[str, Any]]:
    rows = []
    for limit in (0.5, 2.0, 100.0):
        w = [torch.zeros(2, 2), torch.zeros(3)]
        gradients = [[[1.0, -2.0], [0.5, 3.0]], [-4.0, 0.25, 1.5]]
        for one, g in zip(w, gradients, strict=True):
            one.grad = torch.tensor(g)
        norm = float(torch.nn.utils.clip_grad_norm_(w, limit))
        by_norm = [one.grad.tolist() for one in w]
        for one, g in zip(w, gradients, strict=True):
            one.grad = torch.tensor(g)
        torch.nn.utils.clip_grad_value_(w, limit)
        rows.append({"limit": limit, "gradients": gradients, "norm": norm, "by_norm": by_norm,
                     "by_value": [one.grad.tolist() for one in w]})  # fmt: skip
    return rows


def searches() -> list[dict[str, Any]]:
    """The line search alone, along x² / 20 + a sin(bx + c) from 0: how far it goes, in how many evaluations."""
    rows, draw = [], torch.Generator().manual_seed(0)
    while len(rows) < 60:
        drawn = torch.rand(5, generator=draw) * torch.tensor([2, 3, 6, 12, 1])
        a, b, c, t, few = (drawn * 100).round().div(100).clamp(min=0.01).tolist()
        most = 25 if few < 0.8 or len(rows) >= 20 else 2

        def f(x: torch.Tensor, t: float, d: torch.Tensor, a: float = a, b: float = b, c: float = c) -> Any:
            y = x + t * d
            return float(y * y / 20 + a * torch.sin(b * y + c)), y / 10 + a * b * torch.cos(b * y + c)

        x = torch.zeros(1)
        loss, g = f(x, 0.0, x)
        _, _, end, evaluations = _strong_wolfe(f, x, t, -g, loss, g, -g @ g, max_ls=most)
        if evaluations > len(rows) // 10:  # short ones first, and then longer and longer ones
            end = short([end])[0]
            rows.append({"surface": [a, b, c], "t": t, "most": most, "end": end, "evaluations": evaluations})
    return rows


BASE = 0.5
METRICS = [5.0, 4.0, 4.5, 3.9999, 3.99, 4.1, 4.2, 4.0, 3.0, 3.1, 3.2]
METRICS += [2.5, 2.6, 2.7, 2.8, 2.9, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5]

# Our name and arguments, PyTorch's class and arguments; in a combination the parts, as such pairs.
SCHEDULES: list[tuple[str, dict[str, Any], Any, dict[str, Any]]] = [
    ("constant", NO, lr_scheduler.ConstantLR, NO),
    ("constant", {"factor": 0.2, "total_iters": 9}, lr_scheduler.ConstantLR, {"factor": 0.2, "total_iters": 9}),
    ("warmup", NO, lr_scheduler.LinearLR, NO),
    ("warmup", {"start_factor": 0.1, "end_factor": 0.9, "total_iters": 12},
     lr_scheduler.LinearLR, {"start_factor": 0.1, "end_factor": 0.9, "total_iters": 12}),
    ("step", {"step_size": 7}, lr_scheduler.StepLR, {"step_size": 7}),
    ("multistep", {"milestones": [3, 8, 8, 20], "gamma": 0.5},
     lr_scheduler.MultiStepLR, {"milestones": [3, 8, 8, 20], "gamma": 0.5}),
    ("exponential", {"gamma": 0.93}, lr_scheduler.ExponentialLR, {"gamma": 0.93}),
    ("polynomial", NO, lr_scheduler.PolynomialLR, NO),
    ("polynomial", {"total_iters": 30, "power": 2.5}, lr_scheduler.PolynomialLR, {"total_iters": 30, "power": 2.5}),
    ("cosine", {"T_max": 13, "eta_min": 0.02}, lr_scheduler.CosineAnnealingLR, {"T_max": 13, "eta_min": 0.02}),
    ("cosine", {"T_max": 50}, lr_scheduler.CosineAnnealingLR, {"T_max": 50}),
    ("cosine_restarts", {"T_0": 6}, lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 6}),
    ("cosine_restarts", {"T_0": 3, "T_mult": 2, "eta_min": 0.01},
     lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 3, "T_mult": 2, "eta_min": 0.01}),
    ("one_cycle", {"total_steps": 40, "max_lr": 0.8}, lr_scheduler.OneCycleLR, {"max_lr": 0.8, "total_steps": 40}),
    ("one_cycle", {"total_steps": 40, "anneal_strategy": "linear", "pct_start": 0.45, "div_factor": 10.0},
     lr_scheduler.OneCycleLR,
     {"max_lr": BASE, "total_steps": 40, "anneal_strategy": "linear", "pct_start": 0.45, "div_factor": 10.0}),
    ("one_cycle", {"total_steps": 40, "three_phase": True, "final_div_factor": 100.0},
     lr_scheduler.OneCycleLR,
     {"max_lr": BASE, "total_steps": 40, "three_phase": True, "final_div_factor": 100.0}),
    ("chained", {"schedules": [{"name": "warmup", "start_factor": 0.1}, {"name": "exponential", "gamma": 0.9},
                               {"name": "step", "step_size": 10}]},
     lr_scheduler.ChainedScheduler, {"schedulers": [(lr_scheduler.LinearLR, {"start_factor": 0.1}),
                                                    (lr_scheduler.ExponentialLR, {"gamma": 0.9}),
                                                    (lr_scheduler.StepLR, {"step_size": 10})]}),
    ("sequential", {"schedules": [{"name": "warmup", "start_factor": 0.1}, {"name": "cosine", "T_max": 12},
                                  {"name": "exponential", "gamma": 0.8}], "milestones": [5, 17]},
     lr_scheduler.SequentialLR, {"schedulers": [(lr_scheduler.LinearLR, {"start_factor": 0.1}),
                                                (lr_scheduler.CosineAnnealingLR, {"T_max": 12}),
                                                (lr_scheduler.ExponentialLR, {"gamma": 0.8})],
                                 "milestones": [5, 17]}),
    ("plateau", {"patience": 1}, lr_scheduler.ReduceLROnPlateau, {"patience": 1}),
    ("plateau", {"patience": 0, "factor": 0.5, "cooldown": 2, "threshold": 0.3, "threshold_mode": "abs",
                 "min_lr": 0.1}, lr_scheduler.ReduceLROnPlateau,
     {"patience": 0, "factor": 0.5, "cooldown": 2, "threshold": 0.3, "threshold_mode": "abs", "min_lr": 0.1}),
    ("plateau", {"mode": "max", "patience": 2, "factor": 0.3, "threshold": 0.1}, lr_scheduler.ReduceLROnPlateau,
     {"mode": "max", "patience": 2, "factor": 0.3, "threshold": 0.1}),
    ("plateau", {"mode": "max", "patience": 2, "threshold_mode": "abs"}, lr_scheduler.ReduceLROnPlateau,
     {"mode": "max", "patience": 2, "threshold_mode": "abs"}),
]  # fmt: skip


def rates(make: Any, options: dict[str, Any]) -> list[float]:
    """The learning rate of each step, or of each epoch after its metric."""
    rule = optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)
    if "schedulers" in options:
        options = {**options, "schedulers": [part(rule, **given) for part, given in options["schedulers"]]}
    if make is lr_scheduler.OneCycleLR:
        options = {**options, "cycle_momentum": False}
    if make is lr_scheduler.ChainedScheduler:
        schedule = make(**options)
    else:
        schedule = make(rule, **options)
    found = []
    for metric in METRICS if make is lr_scheduler.ReduceLROnPlateau else [None] * 40:
        rule.step()
        if metric is None:
            found.append(rule.param_groups[0]["lr"])
            if len(found) < 40:
                schedule.step()
        else:
            schedule.step(metric)
            found.append(rule.param_groups[0]["lr"])
    return short(found)


def schedules() -> list[dict[str, Any]]:
    return [
        {"name": name, "arguments": arguments, "rates": rates(make, options)}
        for name, arguments, make, options in SCHEDULES
    ]


def defaults(*kinds: type) -> dict[str, dict[str, Any]]:
    """The arguments that have a default, by class."""
    found = {}
    for kind in kinds:
        parameters = inspect.signature(kind.__init__).parameters.values()
        found[kind.__name__] = {p.name: p.default for p in parameters if isinstance(p.default, int | float | str)}
    return found


def lines(rows: list[dict[str, Any]]) -> str:
    """A row a line, so that a change of one shows as one."""
    return "[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]"


def write(name: str, **parts: Any) -> None:
    whole = {"torch": torch.__version__, **parts}
    body = ",\n".join(
        f'"{key}": {lines(part) if isinstance(part, list) and isinstance(part[0], dict) else json.dumps(part)}'
        for key, part in whole.items()
    )
    (HERE / name).write_text("{\n" + body + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    wolfe = inspect.signature(_strong_wolfe).parameters
    write("optimizers.json", problem=PROBLEM, optimizers=optimizers(), clippings=clipping(), searches=searches(),
          defaults=defaults(optim.LBFGS), wolfe=[wolfe["c1"].default, wolfe["c2"].default])  # fmt: skip
    write("schedules.json", base=BASE, metrics=METRICS, schedules=schedules(), defaults=defaults(
        lr_scheduler.ConstantLR, lr_scheduler.LinearLR, lr_scheduler.StepLR, lr_scheduler.MultiStepLR,
        lr_scheduler.PolynomialLR, lr_scheduler.CosineAnnealingLR, lr_scheduler.CosineAnnealingWarmRestarts,
        lr_scheduler.OneCycleLR, lr_scheduler.ReduceLROnPlateau,
    ))  # fmt: skip
