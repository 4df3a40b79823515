"""Training loops in PyTorch's style, run with torch to record the numbers and with this package by the tests.

Each takes a library with `optim`, `parameters` (three float64 leaves), `loss` of them and `clip` (``nn.utils``), and
yields the numbers that must be equal: all weights, and the learning rates if there is a scheduler.
"""

from collections.abc import Callable, Iterator
from typing import Any

STEPS = 50
PROBLEM = {  # small whole fractions, so that both libraries start from the same bits
    "x": [[0.5, -1.0], [1.25, 0.75], [-0.5, 2.0], [1.5, 1.5], [-2.0, 0.25], [0.125, -0.75]],
    "y": [[0.5], [-0.25], [1.0], [0.75], [-1.0], [0.0]],
    "V": [[0.5, -0.375], [-0.75, 0.625], [0.125, 0.875]],
    "U": [[0.75, -0.5, 0.25]],
    "b": [0.125],
}


def plain(lib: Any, make: Callable[..., Any], steps: int = STEPS, **options: Any) -> Iterator[list[float]]:
    optimizer = make(lib.parameters, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        lib.loss().backward()
        optimizer.step()
        yield lib.weights()


def with_closure(lib: Any, make: Callable[..., Any], steps: int = STEPS, **options: Any) -> Iterator[list[float]]:
    optimizer = make(lib.parameters, **options)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = lib.loss()
        loss.backward()
        return loss

    for _ in range(steps):
        loss = optimizer.step(closure)
        yield [loss.item(), *lib.weights()]


def groups(lib: Any) -> Iterator[list[float]]:
    """Parameter groups, one added later, options changed during training, gradients accumulated and zeroed."""
    V, U, b = lib.parameters
    optimizer = lib.optim.SGD([{"params": [V], "weight_decay": 0.01}, {"params": U, "lr": 0.05}], lr=0.1, momentum=0.5)
    for k in range(STEPS):
        if k == 10:
            optimizer.add_param_group({"params": b, "nesterov": True, "momentum": 0.9})
        if k == 20:
            for group in optimizer.param_groups:
                group["lr"] *= 0.5
        if k == 30:
            optimizer.param_groups[0]["momentum"] = 0.8
            optimizer.param_groups[1]["weight_decay"] = 0.1
        optimizer.zero_grad(set_to_none=k % 2 == 0)
        for _ in range(1 + k % 3):
            lib.loss().backward()
        optimizer.step()
        yield lib.weights()


def resumed(lib: Any, name: str, **options: Any) -> Iterator[list[float]]:
    """The state of one optimizer is saved and loaded by another one that was made with other options."""
    make = getattr(lib.optim, name)
    optimizer = make(lib.parameters, **options)
    for k in range(STEPS):
        if k == 25:
            saved = optimizer.state_dict()
            optimizer = make(lib.parameters, lr=7.0)
            optimizer.load_state_dict(saved)
        optimizer.zero_grad()
        lib.loss().backward()
        optimizer.step()
        yield lib.weights()


def clipped(lib: Any, how: str, **options: Any) -> Iterator[list[float]]:
    optimizer = lib.optim.SGD(lib.parameters, lr=0.02, momentum=0.5)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (10 * lib.loss()).backward()
        found = getattr(lib.clip, how)(lib.parameters, **options)
        optimizer.step()
        yield [*lib.weights(), *([float(found)] if found is not None else [])]


def scheduled(
    lib: Any, make: Callable[[Any, Any], Any], optimizer: str = "SGD", **options: Any
) -> Iterator[list[float]]:
    """A scheduler steps after each step; in between, user code changes a learning rate too."""
    V, U, b = lib.parameters
    one = getattr(lib.optim, optimizer)([{"params": [V, U]}, {"params": [b], "lr": 0.02}], lr=0.1, **options)
    scheduler = make(lib.optim.lr_scheduler, one)
    for k in range(STEPS):
        one.zero_grad()
        loss = lib.loss()
        loss.backward()
        one.step()
        rates = [float(group["lr"]) for group in one.param_groups]
        extra = [group.get("momentum", group.get("betas", [0])[0]) for group in one.param_groups]
        yield [*lib.weights(), *rates, *extra]
        if isinstance(scheduler, list):
            for part in scheduler:
                part.step()
        elif type(scheduler).__name__ == "ReduceLROnPlateau":
            scheduler.step([1.0, 0.5, 0.6, 0.4][k % 4])
        else:
            scheduler.step()
        if k == 12 and not isinstance(scheduler, list):
            assert list(scheduler.get_last_lr()) == [group["lr"] for group in one.param_groups]
        if k == 30:  # the user's own change; some schedulers continue from it, some do not
            one.param_groups[0]["lr"] *= 0.5


def _schedules() -> dict[str, Callable[[Any], Iterator[list[float]]]]:
    rows: dict[str, Callable[[Any, Any], Any]] = {
        "StepLR": lambda s, o: s.StepLR(o, 7, gamma=0.5),
        "MultiStepLR": lambda s, o: s.MultiStepLR(o, milestones=[3, 8, 8, 20], gamma=0.5),
        "ConstantLR": lambda s, o: s.ConstantLR(o),
        "LinearLR": lambda s, o: s.LinearLR(o, start_factor=0.25, total_iters=12),
        "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.95),
        "PolynomialLR": lambda s, o: s.PolynomialLR(o, total_iters=40, power=2.0),
        "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, T_max=13, eta_min=0.001),
        "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=0.001),
        "LambdaLR": lambda s, o: s.LambdaLR(o, lr_lambda=[lambda t: 0.9**t, lambda t: 1 / (1 + t)]),
        "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda t: 1 - 0.5 / (t + 1)),
        "ReduceLROnPlateau": lambda s, o: s.ReduceLROnPlateau(o, patience=1, factor=0.5, min_lr=[0.001, 0.003]),
        "OneCycleLR": lambda s, o: s.OneCycleLR(o, max_lr=[0.2, 0.1], epochs=10, steps_per_epoch=5),
        "SequentialLR": lambda s, o: s.SequentialLR(
            o, [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 20), s.ExponentialLR(o, 0.9)], [5, 25]
        ),
        "ChainedScheduler": lambda s, o: s.ChainedScheduler(
            [s.LinearLR(o, 0.1, total_iters=5), s.CosineAnnealingLR(o, 60, 0.001), s.StepLR(o, 10)]
        ),
        "two": lambda s, o: [s.ExponentialLR(o, 0.97), s.MultiStepLR(o, [10, 20], 0.3)],
    }
    found: dict[str, Any] = {name: lambda lib, make=make: scheduled(lib, make) for name, make in rows.items()}
    found["OneCycleLR Adam"] = lambda lib: scheduled(lib, rows["OneCycleLR"], "Adam")
    rows["three"] = lambda s, o: s.OneCycleLR(o, 0.2, 51, three_phase=True, anneal_strategy="linear", base_momentum=0.7)
    found["OneCycleLR three"] = lambda lib: scheduled(lib, rows["three"], momentum=0.5)
    return found


def _optimizers() -> dict[str, Callable[[Any], Iterator[list[float]]]]:
    rows: list[tuple[str, dict[str, Any]]] = [
        ("SGD", {}), ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("SGD", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3, "foreach": False}),
        ("Adam", {}), ("Adam", {"lr": 0.1, "weight_decay": 0.1, "betas": (0.8, 0.9)}),
        ("Adam", {"lr": 0.1, "amsgrad": True, "eps": 1e-4, "fused": False}),
        ("Adam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
        ("AdamW", {}), ("AdamW", {"lr": 0.05, "weight_decay": 0.3, "amsgrad": True}),
        ("NAdam", {}), ("NAdam", {"lr": 0.01, "eps": 0.01, "weight_decay": 0.1, "momentum_decay": 0.1}),
        ("RAdam", {}), ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
        ("Adamax", {}), ("Adamax", {"lr": 0.05, "weight_decay": 0.1}),
        ("RMSprop", {}), ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True, "eps": 1e-3, "weight_decay": 0.1}),
        ("Adagrad", {}),
        ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.1, "weight_decay": 0.1}),
        ("Adadelta", {}), ("Adadelta", {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1}),
    ]  # fmt: skip
    found: dict[str, Any] = {
        f"{name} {given}": lambda lib, name=name, given=given: plain(lib, getattr(lib.optim, name), **given)
        for name, given in rows
    }
    saved = [("SGD", {"momentum": 0.9, "dampening": 0.2}), ("Adam", {"amsgrad": True}), ("RMSprop", {"centered": True}),
             ("NAdam", {"eps": 0.01}), ("Adagrad", {}), ("Adadelta", {}), ("RAdam", {}), ("Adamax", {})]  # fmt: skip
    for name, given in saved:
        found[f"resumed {name}"] = lambda lib, name=name, given=given: resumed(lib, name, lr=0.02, **given)
    found["closure Adam"] = lambda lib: with_closure(lib, lib.optim.Adam, lr=0.05)
    found["LBFGS"] = lambda lib: with_closure(lib, lib.optim.LBFGS, 10, lr=0.5, max_iter=2)
    found["LBFGS wolfe"] = lambda lib: with_closure(lib, lib.optim.LBFGS, 5, line_search_fn="strong_wolfe", max_iter=4)
    found["groups"] = groups
    for kind, given in (("2", {}), ("inf", {"norm_type": float("inf")}), ("1", {"norm_type": 1})):
        found[f"clip norm {kind}"] = lambda lib, g=given: clipped(lib, "clip_grad_norm_", max_norm=0.5, **g)
    found["clip norm inf max"] = lambda lib: clipped(lib, "clip_grad_norm_", max_norm=float("inf"))
    found["clip value"] = lambda lib: clipped(lib, "clip_grad_value_", clip_value=0.3)
    return found


LOOPS = {**_optimizers(), **_schedules()}
