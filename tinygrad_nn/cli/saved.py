"""A network that `train` saved, loaded as a prepared run that the drawing commands can use without training."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..common.printable import counted
from ..io import Network, load_network
from ..solver import Settings, Solver
from .predictions import read_for_network, read_targets
from .problem import DATASETS, Problem, read_problem
from .run import FEW, Options, PreparedRun

ABOUT_DATA = ("dataset", "data", "encoding", "target", "loss", "seed")  # options that apply to a saved network


def saved_run(model: str, options: Options) -> PreparedRun:
    """Return the run of a saved network: its layers, and rows of the table that the options select.

    The loss is ``options.loss``, by default the one that the network was trained with, without a penalty.

    Raises:
        ValueError, OSError: one of the files is invalid, or an option is for training a network.
    """
    odd = [name.replace("_", "-") for name in options.changed() if name not in ABOUT_DATA]
    if odd:
        raise ValueError(f"--{odd[0]} sets how a network is trained, but {model} is already trained; leave it out.")
    network = load_network(model)
    problem = _problem(network, options, model)
    solver = Solver(options.loss or network.about.get("loss") or _LOSSES[network.task])
    x, y = problem.x[:FEW], problem.targets[:FEW]
    first = (x if network.scaler is None else network.scaler.transform(x),
             y if network.target_scaler is None else network.target_scaler.transform(y))  # fmt: skip
    rng = np.random.default_rng(options.seed)
    return PreparedRun(options, problem, {"train": first}, network, solver, Settings(options.epochs), rng)


_LOSSES = {"classification": "crossentropy", "regression": "mse"}


def _problem(network: Network, options: Options, model: str) -> Problem:
    """Return the table whose rows the saved network is applied to."""
    if options.target not in (None, network.target):
        raise ValueError(f"target={options.target}, and {model} predicts {network.target!r}; leave it out.")
    if options.data is None:
        known = str(network.about.get("data"))
        name = known if options.dataset == "iris" and known in DATASETS else options.dataset
        problem = read_problem(Options(dataset=name))
        if problem.x.shape[1] != network.layers[0].n_in or (network.features or problem.features) != problem.features:
            shown = ", ".join(network.features[:4]) or counted(network.layers[0].n_in, "column")
            raise ValueError(
                f"{model} learned from other columns ({shown}, ...) than those of {name}; add the table: data=FILE.csv."
            )
        return problem
    x, rows, texts = read_for_network(network, options.data, options.encoding, [network.target])
    targets = read_targets(network, options.data, texts[network.target], rows)
    task: Literal["classification", "regression"] = "regression" if network.task == "regression" else "classification"
    return Problem(options.data, x, targets, task, network.features, network.target, network.classes, network.columns)
