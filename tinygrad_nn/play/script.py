"""A Python script that reproduces the training of a playground, with the same numbers."""

from __future__ import annotations

from ..solver import Solver
from .training import Training

LEARN = '''
def losses():
    """Return the losses of the rows to train on and to test on, without penalty and dropout."""
    plain = Solver("{loss}")
    return [graph_loss(model, part.x, part.y, solver=plain).item() for part in (train, test)]


def learn(solver, batch_size, updates):
    """Update the network so many times, on batches of rows in a new order each epoch."""
    while updates > 0:
        order = rng.permutation(len(train.x))
        for start in range(0, len(order), batch_size)[:updates]:
            rows = order[start : start + batch_size]
            TrainNN(model, train.x[rows], train.y[rows], solver=solver, rng=rng)
            updates -= 1
        history.append(losses())


history = [losses()]
'''


def script(training: Training) -> str:
    """Return a script that trains the same network on the same data and saves it to model.safetensors.

    The script repeats every update with the settings that were active when it was made, so that weights and losses are
    the same to the last bit.

    Example:
        >>> from tinygrad_nn.play.choices import Choices
        >>> training = Training(Choices(rows=40, hidden=()))
        >>> training.step() > 0
        True
        >>> [line for line in script(training).splitlines() if line.startswith("learn(")]
        ['learn(Solver("crossentropy", "adam", 0.01), 28, 1)']
    """
    data, choices, network = training.data, training.choices, training.network
    stretches = [part for part in training.stretches if part.updates]
    made = data.code[0].partition("= ")[2].partition("(")[0]
    penalized = any(part.solver.regularization != type(part.solver.regularization)() for part in stretches)
    names = ["Layer", *(["Regularization"] if penalized else []), *(["Scaler"] if network.scaler else []), "Solver",
             "TrainNN", "data_split", "graph_loss", *([made] if made in PUBLIC else [])]  # fmt: skip
    lines = [
        f'"""{_title(training)}"""', "", "import numpy as np", "",
        f"from tinygrad_nn import {', '.join(sorted(names))}",
        *([f"from tinygrad_nn.data import {made}"] if made not in PUBLIC else []),
        "from tinygrad_nn.io import Network, save_network", "",
        f"rng = np.random.default_rng({choices.seed})  # of data, split, weights, order and dropout",
        *data.code, f"train, test, _ = data_split(x, y, train_size={choices.train_size!r}, rng=rng)",
    ]  # fmt: skip
    source = data.code[0].partition(" = ")[0]
    features, classes = OWN.get(source, (repr(data.features), repr(data.classes)))
    options = [f"task={data.kind!r}", f"features={features.format(source)}", f"target={data.target!r}"]
    if data.classes:
        options.append(f"classes={classes.format(source)}")
    if network.columns is not None:
        lines += ["columns = table.columns.fitted(train.x)",
                  "train, test = (part._replace(x=columns.filled(part.x)[0]) for part in (train, test))"]  # fmt: skip
        options.append("columns=columns")
    if network.scaler is not None:
        lines += ["scaler = Scaler.fit(train.x)",
                  "train, test = (part._replace(x=scaler.transform(part.x)) for part in (train, test))"]  # fmt: skip
        options.append("scaler=scaler")
    if network.target_scaler is not None:
        lines += ["target_scaler = Scaler.fit(train.y)",
                  "train, test = (part._replace(y=target_scaler.transform(part.y)) for part in (train, test))"]
        options.append("target_scaler=target_scaler")
    lines += ["", "model = ["]
    lines += [
        f'    Layer({layer.n_in}, {layer.n_out}, "{layer.activation}", "n", rng=rng),' for layer in training.layers
    ]
    lines += ["]", "", *LEARN.format(loss=training.loss).splitlines()]
    lines += [f"learn({_solver(part.solver)}, {part.batch_size}, {part.updates})" for part in stretches]
    lines += [
        'print(f"loss {history[-1][0]:.6f}, of the rows to test on {history[-1][1]:.6f}")', "",
        "network = Network(", "    model,", *(f"    {option}," for option in options), ")",
        'save_network("model.safetensors", network)',
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


OWN = {"iris": ("{}.feature_names", "{}.class_names"), "digits": ("{}.feature_names", "{}.class_names"),
       "table": ("{}.feature_names", "{}.classes")}  # expressions for the names of features and classes in the script
PUBLIC = ("load_iris", "load_digits", "read_table")  # names of `tinygrad_nn` itself


def _title(training: Training) -> str:
    widths = " - ".join(map(str, [training.layers[0].n_in, *(layer.n_out for layer in training.layers)]))
    name = ascii(training.data.name)[1:-1].replace('"', "'").replace("\\", "/")
    return f"A network {widths} learns {name}, as in the playground: {training.updates:,} updates."


def _solver(solver: Solver) -> str:
    penalty = solver.regularization
    given = [f"{name}={getattr(penalty, name)!r}" for name in ("lam", "dropout") if getattr(penalty, name)]
    shown = f', Regularization("{penalty.method}", {", ".join(given)})' if given else ""
    return f'Solver("{solver.loss}", "{solver.optimizer}", {solver.learning_rate!r}{shown})'
