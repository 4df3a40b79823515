"""Names from users and files cannot send control characters to the terminal or reverse the direction of a message."""

import json
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tinygrad_nn as tg
from tinygrad_nn import History, Layer, Settings, Solver, Tensor, fit, io, optim, viz
from tinygrad_nn.cli import main
from tinygrad_nn.common.printable import printable
from tinygrad_nn.data import Scaler, one_hot, read_features, read_table
from tinygrad_nn.files import check_folder, locked_folder, write_folder, write_whole
from tinygrad_nn.files.safetensors import pack, seal
from tinygrad_nn.graph import GraphView
from tinygrad_nn.metrics import format_cm
from tinygrad_nn.nn import Lambda, Linear, Module, Sequential
from tinygrad_nn.solver import EarlyStopping

X, Y = np.ones((4, 3)), np.ones((4, 2))
MANY = {"max_examples": 4, "deadline": None, "suppress_health_check": list(HealthCheck)}

# An escape sequence of a terminal in 7 and 8 bits, a bell, line breaks, marks and turns of direction, rich's markup.
PIECES = ["a", "[red]", "\x1b[2J", "\x1b]0;x\x07", "\x9b31m", "\r", "\n", "\b", "\x7f", "\u202e", "\u2066", "\u200f",
          "\u061c", "\u2028", "\u0085", "\ufeff", "é", ":star:"]  # fmt: skip
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
WORST = "".join(PIECES)


def harmless(text: str, lines: bool = True) -> bool:
    """Whether nothing in a text is a control character or turns the direction, and each line is one of ours."""
    bad = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Cs") and not (lines and c == "\n")]
    return not bad


class Named(Module):
    """A module whose parts have names that no attribute could have."""

    def __init__(self, name: str, part: Any) -> None:
        self.parts = {name: part}

    def forward(self, x: Any) -> Any:
        return next(iter(self.parts.values()))(x)


def file(folder: Path, name: str, content: bytes | str = b"") -> Path:
    """Write a file of this name; what no file is called is left out."""
    path = folder / (name.replace("/", "").replace("\0", "") or "a")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def table(name: str, *rows: str) -> str:
    quoted = name.replace('"', "")
    return "\n".join([f'"{quoted}",kind', *rows]) + "\n"


def saved(folder: Path, name: str) -> Path:
    return io.save_network(
        file(folder, "m"), io.Network([Layer(3, 2, "softmax", rng=0)], features=(name, "b", "c"), classes=(name, "b"),
                                      target=name)
    )  # fmt: skip


def anomaly(name: str) -> None:
    with tg.detect_anomaly():
        np.log(Tensor([0.0], name=name))


def anomaly_in(folder: Path, name: str) -> None:
    path = file(folder, name, "import numpy as np\ndef f(t): return np.log(t)  # \x1b[2J\n")
    space: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), space)
    with tg.detect_anomaly():
        space["f"](Tensor([0.0]))


def trained(model: Any, **more: Any) -> Any:
    return fit(model, X, Y, settings=Settings(1, 4), **{"solver": Solver("mse"), **more})


def edge(p: Any, x: Any, y: Any) -> Any:
    return np.sqrt(next(iter(p.values()))).sum()  # whose slope at 0 is infinite


def of_minimizer(name: str) -> None:
    one, two = Tensor(np.ones(2), name=name), Tensor(np.ones(3), name=name)
    optim.Minimizer([one], "adam").load_state_dict(optim.Minimizer([two], "adam").state_dict())


def function_called(name: str) -> Any:
    def f(x: Any) -> Any:
        return None

    f.__name__ = f.__qualname__ = name
    return f


def squared(name: str) -> Any:
    def f(x: Any) -> Any:
        return x**2

    f.__name__ = f.__qualname__ = name
    return f


def compiled(name: str) -> Any:
    def f(x: Any) -> Any:
        if x.sum() > 0:
            return x
        raise ValueError(name)

    f.__name__ = f.__qualname__ = name
    return tg.compile(f, backend="numpy")(np.ones(3))


# What raises an error, warns, or returns text; `folder` is an empty one.
DOORS: dict[str, Callable[[Path, str], Any]] = {
    # files of weights and networks
    "load_weights, key": lambda d, n: io.load_weights(
        write_whole(d / "w", seal("weights", {n: np.ones(2)}).content), Linear(3, 2)),
    "load_weights, dtype": lambda d, n: io.load_weights(
        write_whole(d / "w", seal("weights", {f"{n}.weight": np.ones((2, 3), bool)}).content), Named(n, Linear(3, 2))),
    "load_weights, shape": lambda d, n: io.load_weights(
        io.save_weights(d / "w", Named(n, Linear(3, 2))), Named(n, Linear(3, 4))),
    "load_weights, kind": lambda d, n: io.load_weights(
        write_whole(d / "w", pack({"w": np.ones(1)}, {"format": f"tinygrad_nn {n}"})), Linear(3, 2)),
    "load_weights, file": lambda d, n: io.load_weights(file(d, n, b"x" * 20), Linear(3, 2)),
    "load_weights, cut": lambda d, n: io.load_weights(file(d, n, seal("weights", {n: X}).content[:-3]), Linear(3, 2)),
    "load_weights, none": lambda d, n: io.load_weights(d / f"{n}.none".replace("/", ""), Linear(3, 2)),
    "load_weights, folder": lambda d, n: io.load_weights(made(d, n), Linear(3, 2)),
    "load_network, version": lambda d, n: io.load_network(
        write_whole(d / "w", pack({"w": np.ones(1)}, {"format": io.FORMAT, "version": n}))),
    "load_network, file": lambda d, n: io.load_network(file(d, n, seal("weights", {n: X}).content)),
    "load_network, dtype": lambda d, n: io.load_network(file(
        d, "w", (lambda h: len(h).to_bytes(8, "little") + h)(
            json.dumps({n: {"dtype": n, "shape": [0], "data_offsets": [0, 0]}}).encode()))),
    "save_weights, kind": lambda d, n: seal("weights", {n: np.array(["x"])}),
    "write_whole, folder": lambda d, n: write_whole(d / "none" / n.replace("/", ""), b""),
    "write_whole, is one": lambda d, n: write_whole(made(d, n), b""),
    "check_folder": lambda d, n: check_folder(file(d, n) / "x"),
    "together": lambda d, n: in_the_way(d, n),
    "alone": lambda d, n: twice(d, n),
    "History.load": lambda d, n: History.load(file(d, n, "[")),
    "History.load, number": lambda d, n: History.load(file(d, "h", json.dumps({"loss": [n], "val_loss": [],
                                                                              "metrics": {}}))),
    "checkpoint": lambda d, n: [trained(Linear(3, 2, rng=0), checkpoint=made(d, n)) for _ in "ab"],
    "checkpoint, other": lambda d, n: [
        trained(Linear(3, 2, rng=0), checkpoint=made(d, n), resume=True, solver=Solver("mse", "sgd", k))
        for k in (1, 2)],
    "checkpoint, part": lambda d, n: [
        trained(Named(name, Linear(3, 2, rng=0)), checkpoint=made(d, n), resume=True) for name in ("a", n + "b")],
    # tables
    "read_table, file": lambda d, n: read_table(file(d, n, ""), "kind"),
    "read_table, column": lambda d, n: read_table(file(d, "t", table(n, "x,1", "2,2", "3,3")), "kind"),
    "read_table, cell": lambda d, n: read_table(file(d, "t", table("a", f'"{n}",1', "2,2")), "kind"),
    "read_table, class": lambda d, n: read_table(file(d, "t", table("a", f'1,"c{n}"', f'2,"c{n}"')), "kind"),
    "read_table, mixed": lambda d, n: read_table(file(d, "t", table("a", f'1,"c{n}"', "2,2")), "kind"),
    "read_table, target": lambda d, n: read_table(file(d, "t", table("a", "1,1", "2,2")), n + "?"),
    "read_table, features": lambda d, n: read_table(file(d, "t", table("a", "1,1", "2,2")), "kind", features=[n + "?"]),
    "read_table, encoding": lambda d, n: read_table(file(d, "t", table("a", "1,1")), "kind", encoding=n),
    "read_table, none": lambda d, n: [file(d, f"{n}.csv"), read_table(d / "none.csv", "kind")],
    "read_table, ragged": lambda d, n: read_table(file(d, "t", table(n, "1,2,3")), "kind"),
    "read_features": lambda d, n: read_features(file(d, "t", table(n, "1,1", "2,2")), [n, "none"]),
    "one_hot": lambda d, n: one_hot([n, "b"], classes=["b", "c"]),
    "Scaler": lambda d, n: Scaler.from_dict({"mean": [n], "scale": [1]}),
    # tensors and modules
    "detect_anomaly": lambda d, n: anomaly(n),
    "detect_anomaly, file": anomaly_in,
    "repr of a Tensor": lambda d, n: repr(Tensor(X, name=n)),
    "repr of a module": lambda d, n: repr(Named(n, Linear(3, 2))),
    "repr of a function": lambda d, n: repr(Lambda(np.tanh, n)),
    "place of an error": lambda d, n: Named(n, Linear(4, 2))(X),
    "place below": lambda d, n: Sequential({"a": Linear(3, 3), n + "b": Linear(4, 2)})(X),
    "load_state_dict": lambda d, n: Linear(3, 2).load_state_dict({n: X}),
    "twice one name": lambda d, n: twins(n).parameters(),
    "summary": lambda d, n: str(viz.summary(Named(n, Linear(3, 2)), X, depth=3)),
    "find": lambda d, n: GraphView(Tensor(X, name=n) * 2).find("none"),
    "grad": lambda d, n: tg.grad(function_called(n))(1.0),
    "argnums": lambda d, n: tg.grad(function_called(n), argnums="none")(1.0),
    "compile": lambda d, n: compiled(n),
    "Minimizer": lambda d, n: of_minimizer(n),
    # training
    "no such group": lambda d, n: trained(Named(n, Linear(3, 2)), solver=Solver("mse", groups={n + "x": {}})),
    "nothing to train": lambda d, n: trained(Lambda(np.tanh, n)),
    "computed": lambda d, n: trained(Named(n, [Tensor(X) * 2])),
    "params": lambda d, n: fit(lambda p, x, y: 0, X, Y, params={n: n}, solver=Solver(), settings=Settings(1)),
    "diverged": lambda d, n: fit(edge, X, Y, params={n: np.zeros(2)}, solver=Solver(), settings=Settings(1, 4)),
    "monitor": lambda d, n: trained(Linear(3, 2), metrics={n: lambda y, p: 1.0}, early_stopping=EarlyStopping(1)),
    "history": lambda d, n: str(trained(Linear(3, 2), metrics={n: lambda y, p: 1.0})),
    "class weight": lambda d, n: fit([Layer(3, 2, "softmax")], X, Y / 2, class_weight={n: 1.0},
                                     solver=Solver("crossentropy"), settings=Settings(1)),
    "function by hand": lambda d, n: trained(function_called(n), params={"a": X}, solver=Solver(), gradients="manual"),
    "part by hand": lambda d, n: trained([Lambda(np.tanh, n), Linear(3, 2)], gradients="manual"),
    "solver": lambda d, n: Solver(n),
    "format_cm": lambda d, n: format_cm([[1, 2], [3, 4]], [n, "b" * 90]),
    # comparison
    "compare_gradients": lambda d, n: str(tg.compare_gradients(
        lambda a: next(iter(a.values())) ** 2, ({n: X},), manual=lambda a, g: {n: next(iter(a.values())) * g})),
    "compare_gradients, function": lambda d, n: str(tg.compare_gradients(squared(n), X, manual=lambda x, g: x)),
    # the command
    "command, model": lambda d, n: command("predict", file(d, n, b"x" * 20), d / "t"),
    "command, table": lambda d, n: command("predict", saved(d, n), file(d, "t", "a,b\n1,2\n")),
    "command, out": lambda d, n: command(
        "predict", saved(d, "a"), file(d, "t", "a,b,c\n1,2,3\n"), "--out", d / f"{n}.csv".replace("/", "")),
    "command, predicts": lambda d, n: command(
        "predict", saved(d, n.replace("\n", "").replace("\r", "").replace('"', "")),
        file(d, "t", f'"{n}",b,c\n1,2,3\n'.replace("\r", "").replace("\n", "", n.count("\n")))),
    "command, data": lambda d, n: command("train", "--data", file(d, n, "a,b\n1,2\n"), "--target", n),
    "command, option": lambda d, n: command("train", f"--{n}"),
    "command, number": lambda d, n: command("train", "--epochs", n),
    "command, name": lambda d, n: command("train", "--loss", n),
    "command, command": lambda d, n: command(n),
    "command, file": lambda d, n: command("graph", f"{file(d, n + '.py', 'x = 1')}:none"),
    "command, theirs": lambda d, n: command("graph", f"{file(d, n + '.py', raising(n))}:f"),
    "command, picture": lambda d, n: command("graph", "--out", d / n.replace("/", "")),
}  # fmt: skip


def made(folder: Path, name: str) -> Path:
    path = folder / (name.replace("/", "") or "a")
    path.mkdir(exist_ok=True)
    return path


def raising(name: str) -> str:
    return f"def f():\n    raise ValueError({name!r})\n"


def in_the_way(folder: Path, name: str) -> None:
    taken = made(folder, name).name
    with write_folder(folder) as staging:
        (staging / taken).write_text("x")


def twice(folder: Path, name: str) -> None:
    with locked_folder(made(folder, name)), locked_folder(made(folder, name)):
        pass


def twins(name: str) -> Module:
    module = Named(name, Linear(3, 2))
    module.__dict__[f"parts.{name}"] = Linear(3, 2)
    return module


def command(*arguments: Any) -> None:
    if main([*map(str, arguments)]) == 0:
        return


@pytest.mark.parametrize("door", DOORS)
def test_no_name_commands_the_terminal(
    door: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = iter(range(1000))
    monkeypatch.chdir(tmp_path)

    @settings(**MANY)
    @example(WORST)
    @given(NAMES)
    def check(name: str) -> None:
        folder = tmp_path / str(next(count))
        folder.mkdir()
        said: list[str] = []
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                found = DOORS[door](folder, name)
                said += [found] if isinstance(found, str) else []
            except Exception as error:
                said += [str(error), *getattr(error, "__notes__", [])]
        printed = capsys.readouterr()
        said += [printed.out, printed.err, *(str(w.message) for w in warned)]
        assert any(said), "this door says nothing"
        for text in said:
            assert harmless(text), repr(text)
        if name == WORST:
            assert any("2J" in text for text in said), said

    check()


def test_printable_characters_stay_unchanged() -> None:
    assert printable("größe, 数 (π) [a]") == "größe, 数 (π) [a]"
    assert printable(WORST) == (
        r"a[red]\x1b[2J\x1b]0;x\x07\x9b31m\r\n\x08\x7f\u202e\u2066\u200f\u061c\u2028\x85\ufeffé:star:"
    )
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert harmless(printable("\ud800\U000e0001"))
