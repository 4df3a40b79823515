"""Training loops in PyTorch's style: the same numbers as torch, step by step, and messages for PyTorch users."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.loops import LOOPS, PROBLEM
from tinygrad_nn import Tensor, nn, optim

RECORDED = json.loads((Path(__file__).parent / "reference" / "loops.json").read_text(encoding="utf-8"))


class Library:
    """The problem of the recorded loops in this package."""

    def __init__(self, dtype: Any = np.float64) -> None:
        self.optim, self.clip = optim, nn.utils
        self.x, self.y, *weights = (np.array(value, dtype) for value in PROBLEM.values())
        self.parameters = [Tensor(w, name=name) for w, name in zip(weights, "VUb", strict=True)]

    def loss(self) -> Tensor:
        V, U, b = self.parameters
        return ((np.tanh(self.x @ V.T) @ U.T + b - self.y) ** 2).mean()

    def weights(self) -> list[float]:
        return [x for w in self.parameters for x in w.data.ravel().tolist()]


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_gives_the_numbers_of_torch(name: str) -> None:
    found = list(LOOPS[name](Library()))
    recorded = RECORDED[name]
    assert len(found) == recorded["steps"]
    for k, right in recorded["path"].items():
        np.testing.assert_allclose(found[int(k)], right, rtol=0, atol=1e-12 * np.abs(right).max())


CLASSES = {name for name, value in vars(optim).items() if isinstance(value, type)
           and issubclass(value, optim.GroupOptimizer)} - {"GroupOptimizer"}  # fmt: skip
ALONE = {"Lion", "Muon"}  # torch has no Lion, and its Muon refuses biases


def test_every_optimizer_and_every_scheduler_has_a_loop() -> None:
    assert {name.split()[0] for name in LOOPS} >= CLASSES - ALONE | {"LBFGS"}
    schedulers = {name for name in vars(optim.lr_scheduler) if name.endswith("LR") or name[:6] == "Reduce"}
    assert schedulers <= set(LOOPS)


@pytest.mark.parametrize("name", sorted(ALONE))
def test_what_torch_has_not_is_the_rule(name: str) -> None:
    here, there = Library(), Library()
    optimizer = getattr(optim, name)(here.parameters, lr=0.05, weight_decay=0.1)
    minimizer = optim.Minimizer(there.parameters, optim.OPTIMIZERS[name.lower()](weight_decay=0.1), 0.05)
    for _ in range(5):
        optimizer.zero_grad()
        here.loss().backward()
        optimizer.step()
        minimizer.step(there.loss)
    assert here.weights() == there.weights()


def test_float32_and_frozen_parameters_stay() -> None:
    library = Library(np.float32)
    V, U, b = library.parameters
    U.node = None
    before = U.data.copy()
    optimizer = optim.Adam(library.parameters, lr=np.float64(0.1))
    library.loss().backward()
    optimizer.step()
    assert [w.dtype for w in library.parameters] == [np.float32] * 3
    np.testing.assert_array_equal(U.data, before)
    assert set(optimizer.state) == {V, b}


def test_the_state_is_that_of_torch_in_its_words() -> None:
    library = Library()
    V, *others = library.parameters
    optimizer = optim.Adam([{"params": [V]}, {"params": others, "lr": 0.5}], amsgrad=True)
    library.loss().backward()
    optimizer.step()
    saved = optimizer.state_dict()
    assert [group["params"] for group in saved["param_groups"]] == [[0], [1, 2]]
    assert list(saved["state"][0]) == ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step"]
    assert saved["state"][2]["step"] == 1
    saved["state"][0]["exp_avg"][:] = 7.0  # a copy
    assert (optimizer.state[library.parameters[0]]["exp_avg"] != 7.0).all()
    twin = copy.deepcopy(optimizer)
    assert twin.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]


def test_the_state_of_muon_is_named_by_what_each_parameter_needs() -> None:
    V, b = Tensor(np.ones((3, 2))), Tensor(np.ones(3))
    optimizer = optim.Muon([V, b])
    (V.sum() + b.sum()).backward()
    optimizer.step()
    words = [list(one) for one in optimizer.state_dict()["state"].values()]
    assert words == [["momentum_buffer"], ["exp_avg", "exp_avg_sq", "step"]]


@pytest.mark.parametrize("rate", [np.array(0.5), np.float32(0.5), 0.5, np.float64(0.5)])
def test_a_rate_that_was_saved_as_an_array_is_a_number_again(rate: Any) -> None:
    t = Tensor(np.ones(3))
    optimizer = optim.SGD([t], lr=0.1)
    saved = optimizer.state_dict()
    saved["param_groups"][0]["lr"] = rate
    optimizer.load_state_dict(saved)
    (found,) = optimizer.param_groups
    assert (type(found["lr"]), found["lr"]) == (float, 0.5)


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    library = Library()
    optimizer = optim.SGD(library.parameters, lr=0.1, momentum=0.9)
    library.loss().backward()
    optimizer.step()
    before = optimizer.state_dict()
    other = optim.SGD([*library.parameters[:2], Tensor(np.ones(4))], lr=3.0, momentum=0.9)
    other.zero_grad()
    (other.param_groups[0]["params"][2] ** 2).sum().backward()
    library.loss().backward()
    other.step()
    for bad, message in [
        (other.state_dict(), "'momentum_buffer' has shape \\(4,\\) in the saved state"),
        ({"state": {}, "param_groups": [{"params": [0]}]}, "the groups have \\[3\\] parameters here and \\[1\\]"),
        ({"state": {0: {}}, "param_groups": [{"params": [0, 1, 2]}]}, "there is no 'momentum_buffer'"),
        ([], "takes what state_dict\\(\\) returned"),
    ]:
        with pytest.raises(ValueError, match=message):
            optimizer.load_state_dict(bad)
    np.testing.assert_equal(optimizer.state_dict(), before)


w = Tensor(np.ones(2))
MODEL = nn.Linear(2, 1, rng=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: optim.SGD([w], learning_rate=0.1), "SGD has no option 'learning_rate'. Did you mean 'lr'"),
        (lambda: optim.SGD([w], mu=0.9), "Did you mean 'momentum'"),
        (lambda: optim.Adam([w], beta1=0.9), "Did you mean 'betas'"),
        (lambda: optim.Adam([w], betas=0.9), r"betas=0.9; it must be a pair, e.g. betas=\(0.9, 0.999\)"),
        (lambda: optim.Adam(MODEL), r"this is a model; pass its parameters, optim.Adam\(model.parameters\(\), lr"),
        (lambda: optim.Adam(w), r"put the Tensor into a list, optim.Adam\(\[it\]"),
        (lambda: optim.Adam([]), "there are no parameters; pass model.parameters"),
        (lambda: optim.SGD([w, w]), "appears twice"),
        (lambda: optim.SGD([{"params": [w]}, {"params": [w]}]), "a parameter is in two groups"),
        (lambda: optim.SGD([{"parameters": [w]}]), "a group has no 'params', only 'parameters'"),
        (lambda: optim.SGD([{"params": [w], "learning_rate": 1.0}]), "a group of SGD has no .* Did you mean 'lr'"),
        (lambda: optim.SGD([w * 2]), "is not a parameter"),
        (lambda: optim.SGD([w], lr=-0.1), "lr=-0.1; it must be a finite number of at least 0"),
        (lambda: optim.SGD([w], lr="0.1"), "lr='0.1'; it must be"),
        (lambda: optim.SGD([w], differentiable=True), "differentiable=True is not supported"),
        (lambda: optim.LBFGS([w]).step(), "step: lbfgs evaluates the loss at several places; pass a function"),
        (lambda: optim.LBFGS(max_iter=3), r"a rule for Minimizer or Solver is optim.lbfgs\("),
        (lambda: optim.LBFGS([w], line_search="strong_wolfe"), "LBFGS has no .* Did you mean 'line_search_fn'"),
        (lambda: optim.lr_scheduler.StepLR(optim.Minimizer([w]), 3), "schedule=optim.StepDecay"),
        (lambda: optim.lr_scheduler.StepLR(optim.SGD([w]), 0), "step_size=0; it must be a whole number"),
        (lambda: optim.lr_scheduler.LambdaLR(optim.SGD([w]), 0.9), "lr_lambda=0.9; it needs a function"),
        (lambda: optim.lr_scheduler.OneCycleLR(optim.SGD([w]), 0.1), "OneCycleLR needs its length: total_steps="),
        (lambda: optim.lr_scheduler.OneCycleLR(optim.Adagrad([w]), 0.1, 9), "Adagrad has no momentum; write cycle_mom"),
        (lambda: optim.lr_scheduler.OneCycleLR(optim.SGD([w]), [0.1] * 2, 9), "2 values for max_lr, 1 groups"),
        (lambda: optim.lr_scheduler.ReduceLROnPlateau(optim.SGD([w])).step(), r"scheduler.step\(val_loss\)"),
        (lambda: optim.lr_scheduler.SequentialLR(optim.SGD([w]), [], []), "at least one scheduler"),
        (lambda: nn.utils.clip_grad_norm_(MODEL, 1.0), r"this is a model; pass model.parameters\(\)"),
        (lambda: nn.utils.clip_grad_norm_([np.ones(2)], 1.0), "pass parameters, .* Arrays are clipped by"),
        (lambda: nn.utils.clip_grad_norm_([w], 0.0), "max_norm=0.0; it must be a positive"),
        (lambda: nn.utils.clip_grad_value_([w], -1.0), "clip_value=-1.0; it must be a positive"),
    ],
)  # fmt: skip
def test_messages(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_a_number_set_out_of_range_is_refused_at_the_step() -> None:
    optimizer = optim.SGD([w])
    optimizer.param_groups[0]["lr"] = float("nan")
    with pytest.raises(ValueError, match="SGD: lr=nan; it must be a finite number"):
        optimizer.step()


def test_schedulers_come_back_from_their_state() -> None:
    def made() -> tuple[Any, Any]:
        optimizer = optim.SGD([Tensor(np.ones(2))], lr=0.5)
        s = optim.lr_scheduler
        return optimizer, s.SequentialLR(optimizer, [s.LinearLR(optimizer), s.CosineAnnealingLR(optimizer, 9)], [4])

    optimizer, scheduler = made()
    for _ in range(7):
        scheduler.step()
    other, twin = made()
    other.load_state_dict(optimizer.state_dict())
    twin.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    for _ in range(5):
        scheduler.step()
        twin.step()
        assert scheduler.get_last_lr() == twin.get_last_lr() == [other.param_groups[0]["lr"]]
    with pytest.raises(ValueError, match="StepLR: the schedule is"):
        optim.lr_scheduler.StepLR(other, 3).load_state_dict(twin.schedulers[0].state_dict())


def test_clipping_raises_on_request_and_measures_with_an_infinite_limit() -> None:
    t = Tensor(np.ones(2))
    t.grad = np.array([3.0, -4.0])
    assert nn.utils.clip_grad_norm_(t, float("inf")) == 5.0
    np.testing.assert_array_equal(t.grad, [3.0, -4.0])
    t.grad = np.array([np.inf, 1.0])
    with pytest.raises(RuntimeError, match="the norm of the gradients is inf"):
        nn.utils.clip_grad_norm_([t], 1.0, error_if_nonfinite=True)
    assert nn.utils.clip_grad_norm_([Tensor(np.ones(2))], 1.0) == 0.0
