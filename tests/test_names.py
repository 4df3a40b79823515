"""Names that optim, viz, the solver and the command do not know: each error names the edit."""

from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import EarlyStopping, Layer, Regularization, Settings, Solver, TrainNN, fit, io, nn, optim, viz
from tinygrad_nn.cli import main
from tinygrad_nn.solver import History

X = np.random.default_rng(0).normal(size=(8, 4))
Y = np.eye(3)[np.arange(8) % 3]
MODEL = [Layer(4, 3, "softmax", rng=0)]
NET = nn.Sequential(nn.Linear(4, 3, rng=0))
S, T = Solver("crossentropy"), Settings(1, 4)
OPTIMIZER = optim.Adam(NET.parameters())


def train(**options: Any) -> Any:
    return fit(MODEL, X, Y, **{"solver": S, "settings": T, **options})


def made(cls: Any, *args: Any, **options: Any) -> Any:
    return lambda: cls(*args, **options)


ATTRIBUTES = [
    (lambda: optim.sdg, "did you mean 'sgd'?"),
    (lambda: optim.SGDD, "did you mean 'SGD'?"),
    (lambda: optim.RMSProp, "did you mean 'RMSprop'?"),
    (lambda: optim.StepLR, "Write optim.lr_scheduler.StepLR."),
    (lambda: optim.lr_scheduler.CosineAnealingLR, "did you mean 'CosineAnnealingLR'?"),
    (lambda: nn.utils.clip_grad_norm, "did you mean 'clip_grad_norm_'?"),
    (lambda: viz.plot_histroy, "did you mean 'plot_history'?"),
    (lambda: viz.plot_loss, "did you mean 'plot_history'?"),
    (lambda: viz.plot_model, "did you mean 'summary'?"),
    (lambda: io.save_model, "did you mean 'save_network'?"),
    (lambda: tg.Sequential, "Write tinygrad_nn.nn.Sequential."),
    (lambda: tg.SGD, "Write tinygrad_nn.optim.SGD."),
    (lambda: tg.plot_history, "Write tinygrad_nn.viz.plot_history."),
    (lambda: OPTIMIZER.zerograd, "did you mean 'zero_grad'?"),
    (lambda: OPTIMIZER.lr, "optimizer.param_groups[0]['lr']"),
    (lambda: OPTIMIZER.minimize, "Write loss.backward(), then optimizer.step()."),
    (lambda: optim.Minimizer([nn.Linear(1, 1).weight]).param_groups, "minimizer.groups"),
    (lambda: S.lr, "did you mean 'learning_rate'?"),
    (lambda: History([1.0], [], {"r2": [0.5]}).history, "history.loss"),
    (lambda: History([1.0], [], {"r2": [0.5]}).r2, "Write history.metrics['r2']."),
    (lambda: NET.add, "Write model.append(nn.Linear(4, 3))."),
    (lambda: NET.compile, "Loss and optimizer are arguments of fit"),
    (lambda: NET.fit, "tinygrad_nn.fit(model, x, y, solver="),
]

OPTIONS = [
    (made(Solver, "mse", lr=0.1), "Solver has no option 'lr'. Did you mean 'learning_rate'? It takes loss, "),
    (made(Solver, criterion="mse"), "Did you mean 'loss'?"),
    (made(Solver, "mse", optim="adam"), "Did you mean 'optimizer'?"),
    (made(Solver, "mse", scheduler=None), "Did you mean 'schedule'?"),
    (made(Solver, "mse", momentum=0.9), "Solver('mse', optim.sgd(mu=0.9))"),
    (made(Solver, "mse", weight_decay=0.1), "regularization=Regularization('l2', lam=0.001"),
    (made(Solver, "mse", epochs=3), "settings=Settings(epochs=20, batch_size=16)"),
    (made(Solver, "mse", optim.Adam), "for fit write its name, 'adam', or its rule, optim.adam()"),
    (made(Solver, "mse", OPTIMIZER), "for fit write its name, 'adam'"),
    (made(Solver, nn.MSELoss), "loss=MSELoss is a class; create an instance, MSELoss()"),
    (made(Settings, epoch=3), "Did you mean 'epochs'?"),
    (made(Settings, 3, batchsize=4), "Did you mean 'batch_size'?"),
    (made(Settings, 3, lr=0.1), "It belongs to solver=Solver("),
    (made(Regularization, "l2", alpha=0.1), "Did you mean 'lam'?"),
    (made(Regularization, "l2", lambda_=0.1), "Did you mean 'lam'?"),
    (made(Layer, in_features=4, out_features=3), "Did you mean 'n_in'?"),
    (made(Layer, 4, units=3), "Did you mean 'n_out'?"),
    (made(EarlyStopping, patient=3), "Did you mean 'patience'?"),
    (made(train, lr=0.1), "fit has no option 'lr'. It belongs to solver=Solver('mse', 'adam', learning_rate=0.01)."),
    (made(train, epochs=3), "It belongs to settings=Settings(epochs=20, batch_size=16)."),
    (made(train, validation_data=(X, Y)), "Write x_val=x_val, y_val=y_val."),
    (made(train, callback=print), "Did you mean 'callbacks'?"),
    (made(train, seed=0), "Did you mean 'rng'?"),
    (made(train, verbose=1), "Did you mean 'progress'?"),
    (made(fit, MODEL, X, Y), "fit needs solver=; write solver=Solver('mse', 'adam', 0.01)."),
    (made(fit, MODEL, X, Y, solver=S), "fit needs settings=; write settings=Settings(epochs=20, batch_size=16)."),
    (made(TrainNN, MODEL, X, Y), "TrainNN needs solver=; write solver=Solver("),
    (made(tg.BackProp, MODEL, None, Y), "BackProp needs solver=; write solver=Solver("),
    (made(tg.FeedForward, MODEL, X, solvr=0), "FeedForward has no option 'solvr'. Did you mean 'solver'? It"),
    (made(tg.Predict, MODEL, data=X), "Predict has no option 'data'. It takes model, x."),
    (made(TrainNN, MODEL, X, Y, solver=S, epochs=3), "call it in a loop, or fit with settings="),
    (made(optim.Minimizer, NET.parameters(), "adam", lr=0.1), "Did you mean 'learning_rate'?"),
    (made(optim.Minimizer, NET.parameters(), optim.Adam), "here write 'adam'"),
    (made(optim.adam, lr=0.1), "Minimizer(parameters, optim.adam(), 0.01)"),
    (made(optim.sgd, momentum=0.9), "Did you mean 'mu'?"),
    (made(optim.adam().replace, beta_1=0.9), "Did you mean 'beta1'?"),
    (made(optim.Cosine, tmax=3), "Did you mean 'T_max'?"),
    (made(optim.Adam, NET.parameters(), weightdecay=0.1), "Did you mean 'weight_decay'?"),
    (made(optim.lr_scheduler.StepLR, OPTIMIZER, stepsize=3), "Did you mean 'step_size'?"),
    (made(tg.data_loader, X, Y, batchsize=4), "Did you mean 'batch_size'?"),
    (made(viz.draw, None, thme="dark"), "Did you mean 'theme'?"),
]

NAMES = [
    (made(optim.optimizer, "adamm"), "Did you mean 'adam'?"),
    (made(optim.schedule, "cosine_annealing"), "Did you mean 'cosine'?"),
    (made(optim.schedule, "cosine", tmax=3), "Did you mean 'T_max'?"),
    (made(Solver, "bce"), "Did you mean 'binarycrossentropy'?"),
    (made(Solver, "mse", "sdg"), "Did you mean 'sgd'?"),
    (made(Regularization, "ridge"), "Did you mean 'l2'?"),
    (made(Layer, 4, 3, "swish"), "Did you mean 'silu'?"),
    (made(train, gradients="grpah"), "Did you mean 'graph'?"),
    (made(tg.loss_fct, Y, Y, loss="bce"), "Did you mean 'binarycrossentropy'?"),
    (made(train, early_stopping=EarlyStopping(monitor="acc")), "Did you mean 'accuracy'?"),
]


@pytest.mark.parametrize(
    ("ask", "error", "text"),
    [
        *((ask, AttributeError, text) for ask, text in ATTRIBUTES),
        *((ask, TypeError, text) for ask, text in OPTIONS),
        *((ask, (ValueError, TypeError), text) for ask, text in NAMES),
    ],
)
def test_the_error_names_the_edit(ask: Any, error: Any, text: str) -> None:
    with pytest.raises(error) as caught:
        ask()
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("train --lr 3", "No such option: --lr. Did you mean --learning-rate? See "),
        ("train --n-epochs 3", "Did you mean --epochs?"),
        ("train --batchsize 3", "Did you mean --batch-size?"),
        ("train --act relu", "Did you mean --activation?"),
        ("train --optim adam", "Did you mean --optimizer?"),
        ("train --zebra 1", "No such option: --zebra. See "),
        ("train --dataset irs", "Did you mean 'iris'?"),
        ("train --dtype float23", "Did you mean 'float32'?"),
        ("train --activation swish", "Did you mean 'silu'?"),
        ("trian",
         ("No such command 'trian'; the commands are train, predict, evaluate, compare, graph, explore, network, "
          "play. Did you mean 'train'")),
        ("fit", "Did you mean 'train'?"),
        ("zebra", "explore, network, play. See "),
    ],
)  # fmt: skip
def test_the_command_names_the_edit(line: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert text in said
    assert said.count("\n") == 1


def test_decorated_functions_keep_their_signature_and_objects_copy() -> None:
    import copy
    import dataclasses
    import inspect
    import pickle

    assert list(inspect.signature(Settings).parameters) == ["epochs", "batch_size", "accumulate"]
    assert list(inspect.signature(fit).parameters)[:3] == ["model", "x", "y"]
    solver = Solver("mse", optim.adam(beta1=0.8))
    assert copy.deepcopy(solver) == pickle.loads(pickle.dumps(solver)) == dataclasses.replace(solver) == solver
    optimizer = copy.deepcopy(optim.SGD([tg.Tensor([1.0])], lr=0.5))
    assert optimizer.param_groups[0]["lr"] == 0.5
