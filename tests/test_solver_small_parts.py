"""Small parts of the solver: names of layers in tables, losses given as functions, and the checks of a checkpoint."""

import functools
import os
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import FeedForward, Layer, Predict, Settings, Solver, Tensor, TrainNN, fit, nn
from tinygrad_nn.solver import Checkpoint, EarlyStopping, checkpoint, graph_loss
from tinygrad_nn.solver.fingerprint import DEEP, _called_methods, blas_threads, differences, in_words, seed
from tinygrad_nn.solver.frames import names_of, remember_names, table_like

X, Y = np.arange(6.0).reshape(2, 3), np.array([[0.5, -1.0], [2.0, 0.25]])


def layers() -> list[Layer]:
    return [Layer(3, 4, "tanh", rng=0), Layer(4, 2, rng=1)]


def squares(prediction: Any, y: Any) -> Any:
    return ((prediction - y) ** 2).mean()


def test_a_module_keeps_its_names_itself_and_a_list_at_its_ends() -> None:
    pd = pytest.importorskip("pandas")
    x, y = pd.DataFrame(X, columns=["a", "b", "c"]), pd.DataFrame(Y, columns=["u", "v"])
    whole, parts = nn.Sequential(*layers()), layers()
    for model in (whole, parts, tuple(layers())):
        remember_names(model, x, y)
        assert names_of(model, "input_names") == ("a", "b", "c")
        assert names_of(model, "output_names") == ("u", "v")
        assert list(table_like(x, model, Y).columns) == ["u", "v"]
    assert vars(whole)["output_names"] == vars(parts[-1])["output_names"] == ("u", "v")
    assert "input_names" not in vars(whole[0])
    assert "output_names" not in vars(parts[0])
    assert names_of([], "input_names") is None
    assert list(table_like(x, whole, X).columns) == ["output 1", "output 2", "output 3"]
    assert list(table_like(x, whole, X[:, 0]).columns) == ["output 1"]


def test_the_loss_of_layers_may_be_a_function() -> None:
    solver = Solver(squares, "sgd", 0.1)
    wanted = squares(Predict(layers(), X), Y)
    np.testing.assert_allclose(graph_loss(layers(), X, Y, solver=solver).data, wanted, rtol=1e-15)
    np.testing.assert_allclose(TrainNN(layers(), X, Y, solver=solver).loss, wanted, rtol=1e-15)


@pytest.mark.parametrize(("x", "y", "message"), [
    (X[:, :2], Y, "graph_loss: layer 1 of 2 (Layer(3, 4, tanh)) takes 3 columns; x has shape (2, 2)."),
    (X, Y[:, :1], "columns; y has shape (2, 1)."),
    (X, Y[:1], "graph_loss: x has 2 rows and y 1 (shape (1, 2));"),
])  # fmt: skip
def test_graph_loss_with_unsuitable_shapes_raises(x: Any, y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        graph_loss(layers(), x, y, solver=Solver("mse"))


def test_a_part_that_fails_is_named_by_its_number() -> None:
    with pytest.raises(ValueError, match="part 2"):
        FeedForward(nn.Sequential(nn.Linear(3, 4, rng=0), nn.Linear(5, 2, rng=1)), X)


class Scale:
    """An object that can be called, with options of all kinds."""

    buffer_names = ("seen",)

    def __init__(self, factor: Any = 2.0) -> None:
        self.factor, self.steps, self.nothing, self.inner = factor, (1, 2), None, nn.Linear(1, 1, rng=0)
        self.seen, self.training, self.rng, self.weight = 3, True, 4, Tensor(1.0)

    def __call__(self, x: Any) -> Any:
        return x

    def method(self, x: Any) -> Any:
        return x + 1


CODE = r" \[code [0-9a-f]{12}\]"
SCALE = r"Scale{'factor': 2.0, 'steps': \(1, 2\)}Scale.__call__" + CODE


@pytest.mark.parametrize(("value", "text"), [
    ("text", "text"), (b"a", "b'a'"), (None, "None"), (True, "True"), (2.5, "2.5"), (np.float32(1.5), "1.5"),
    (np.zeros(2), r"float64 \(2,\) sha256 58fa9c9f160c641e"), (Tensor(2.0), "Tensor"),
    (nn.Linear(2, 3, rng=0), "Linear"),
    ({"a": [1, (2.5, None)]}, r"{'a': \(1, \(2.5, None\)\)}"), (slice(1, None, 2), r"\(1, None, 2\)"),
    ([[[[[1]]]]], r"\(\(\(\(list\)\)\)\)"), ({1: {2: {3: {4: {5: 6}}}}}, "{1: {2: {3: {4: dict}}}}"),
    (functools.partial(np.sum, 1, axis=[[[[2]]]]), r"sum\(1\){'axis': \(\(list\)\)}"),
    (functools.partial(functools.partial, functools.partial(squares)), r"partial\(squares.*\(\){}\){}"),
    (len, "len"), (np.tanh, "tanh"), (squares, "squares" + CODE), (Scale, "Scale"), (Scale(), SCALE),
    (Scale().method, SCALE + r"\.Scale\.method" + CODE), (Scale([[[1]]]).method, r"Scale{'factor': \(list\).*"),
], ids=lambda value: "" if isinstance(value, str) else type(value).__name__)  # fmt: skip
def test_values_in_words(value: Any, text: str) -> None:
    assert re.fullmatch(text, in_words(value)), in_words(value)
    assert DEEP == 4


@pytest.mark.parametrize(("given", "text"), [
    (3, "3"), ([1, 2], "(1, 2)"), (np.random.SeedSequence(5).spawn(2)[1], "5 spawned (1,)"), (2**95, str(2**95)),
    (2**96 - 1, str(2**96 - 1)), (2**96, "drawn by the system"), (None, "drawn by the system"),
])  # fmt: skip
def test_the_seed_text_names_given_seeds_only(given: Any, text: str) -> None:
    generator = np.random.default_rng(given)
    generator.random(3)
    assert seed(generator) == text


def test_a_generator_without_a_seed_was_drawn_by_the_system() -> None:
    unknown: Any = SimpleNamespace(bit_generator=SimpleNamespace())
    assert seed(unknown) == "drawn by the system"


def test_the_code_of_functions_counts_within_one_python_only() -> None:
    then = {"loss": "f [code 0123456789ab] of g", "data": "a", "gone": "b", "same": "c"}
    now = {"loss": "f [code ba9876543210] of g", "data": "d", "same": "c", "new": "e"}
    others = [("data", "a", "d"), ("new", "None", "e"), ("gone", "b", "None")]
    assert list(differences(then, now, False)) == others
    assert list(differences(then, now, True)) == [("loss", then["loss"], now["loss"]), *others]
    other_name = {**now, "loss": "h [code ba9876543210] of g"}
    assert [key for key, *_ in differences(then, other_name, False)] == ["loss", "data", "new", "gone"]


def _pool(threads: int, path: Any = "libopenblas", api: str = "blas") -> dict[str, Any]:
    return {"user_api": api, "filepath": path, "num_threads": threads}


@pytest.mark.parametrize(("pools", "threads"), [
    ([], 1), ([_pool(8, api="openmp")], 1), ([_pool(3)], 3), ([_pool(3), _pool(4, None)], 4),
    ([_pool(2, "site/numpy.libs/libopenblas"), _pool(9, "site/scipy.libs/libopenblas")], 2),
])  # fmt: skip
def test_threads_are_those_of_the_blas_of_numpy(monkeypatch: Any, pools: Any, threads: int) -> None:
    module: Any = ModuleType("threadpoolctl")
    module.threadpool_info = lambda: pools
    monkeypatch.setitem(sys.modules, "threadpoolctl", module)
    assert blas_threads() == threads


@pytest.mark.parametrize(("given", "count", "threads"), [
    ({}, 6, 6), ({}, None, 1), ({"OMP_NUM_THREADS": "3"}, 6, 3), ({"OMP_NUM_THREADS": "many"}, 6, 6),
    ({"OMP_NUM_THREADS": "3", "OPENBLAS_NUM_THREADS": "2"}, 6, 2), ({"MKL_NUM_THREADS": "5"}, 6, 5),
])  # fmt: skip
def test_without_threadpoolctl_the_environment_tells_the_threads(
    monkeypatch: Any, given: Any, count: Any, threads: int
) -> None:
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for kind in ("OPENBLAS", "GOTO", "MKL", "BLIS", "OMP"):
        monkeypatch.delenv(f"{kind}_NUM_THREADS", raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert blas_threads() == threads

def _made(source: str, **around: Any) -> Any:
    exec(source, around)
    return around["f"]


ADDS = "def f(x, y=1, *, z=2):\n    return x + a"


@pytest.mark.parametrize(("one", "other", "same"), [
    (_made(ADDS, a=1), _made(ADDS, a=1), True), (_made(ADDS, a=1), _made(ADDS, a=2), False),
    (_made(ADDS, a=1), _made(ADDS.replace("+", "-"), a=1), False), (_made(ADDS, a=1), _made(ADDS, a=1, b=3), True),
    (_made(ADDS, a=1), _made(ADDS.replace("y=1", "y=3"), a=1), False),
    (_made(ADDS, a=1), _made(ADDS.replace("z=2", "z=3"), a=1), False),
    (_made(ADDS, a=np.ones(2)), _made(ADDS, a=np.zeros(2)), False), (_made(ADDS, a=[1]), _made(ADDS, a=[2]), True),
    (_made(ADDS, a=(1,)), _made(ADDS, a=(2,)), False), (_made(ADDS, a=Tensor(1.0)), _made(ADDS, a=Tensor(2.0)), True),
    (_made("def f(x): return x * 2"), _made("def f(x): return x * 3"), False),
    (_made("def f(x):\n    'a'\n    return x"), _made("def f(x):\n    'b'\n    return x"), True),
    (_made("f = (lambda k: lambda x: x + k)(1)"), _made("f = (lambda k: lambda x: x + k)(2)"), False),
    (_made("def f(x): return (lambda y: y * 2)(x)"), _made("def f(x): return (lambda y: y * 3)(x)"), False),
    (_made("def f(x): return f(x)"), _made("def f(x): return f(x)"), True),
    (_made("def f(x): return g(x)", g=np.tanh), _made("def f(x): return g(x)", g=np.sin), False),
    (_made("def f(x): return x.sum()"), _made("def f(x): return x.max()"), False),
])  # fmt: skip
def test_descriptions_of_functions_differ_by_their_computation(one: Any, other: Any, same: bool) -> None:
    assert (in_words(one) == in_words(other)) is same


class Model(nn.Module):
    def forward(self, x: Any) -> Any:
        return self.twice(self.parameters and x)

    def twice(self, x: Any) -> Any:
        return self.once(self.once(x))

    def once(self, x: Any) -> Any:
        return self.forward and x


def test_the_users_methods_that_a_forward_calls_count_once() -> None:
    assert _called_methods(Model) == [Model.forward, Model.twice, Model.once]


# -- Checkpoints


@pytest.mark.parametrize("every", [0, -1, True, 1.0, "1"])
def test_a_checkpoint_counts_epochs(tmp_path: Path, every: Any) -> None:
    with pytest.raises(ValueError, match=re.escape(f"Checkpoint: every={every!r}; it counts epochs, at least 1.")):
        Checkpoint(tmp_path, every)
    assert Checkpoint(tmp_path, 1).every == 1
    assert repr(Checkpoint(tmp_path, np.int64(2)).every) == "2"


def test_only_files_of_earlier_epochs_are_deleted(tmp_path: Path) -> None:
    ours = ["weights-3.safetensors", "best-12.safetensors", ".weights-3.safetensors.0af1.part",
            ".state.safetensors.0af1.part"]
    others = ["weights-4.safetensors", "state.safetensors", "weights-x.safetensors", "weights-3.safetensors.old",
              ".state.safetensors.xyz.part", "my-weights-3.safetensors"]
    for name in ours + others:
        (tmp_path / name).touch()
    checkpoint._tidy(tmp_path, ["weights-4.safetensors"])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)


@pytest.mark.parametrize(("value", "other", "text"), [
    ("a" * 200, "b", "a" * 200),
    ("a" * 201, "b", "a" * 180 + "..."),
    ("a" * 60 + "b" * 141, "a" * 201, "a" * 60 + "b" * 120 + "..."),
    ("c" + "a" * 60 + "b" * 140, "c" + "a" * 200, "..." + "a" * 60 + "b" * 120 + "..."),
    ("c" * 21 + "a" * 60 + "b" * 120, "c" * 21 + "a" * 60, "..." + "a" * 60 + "b" * 120),
    ("c" * 20 + "a" * 60 + "b" * 121, "c" * 20 + "a" * 60, "..." + "a" * 60 + "b" * 120 + "..."),
], ids=["short", "long", "at the start", "inside", "to the end", "one more"])  # fmt: skip
def test_of_a_long_text_the_place_that_differs_is_shown(value: str, other: str, text: str) -> None:
    assert checkpoint._around_difference(value, other) == text


def train(folder: Any, epochs: int = 2, rate: float = 0.1, **options: Any) -> Any:
    return fit(layers(), X, Y, solver=Solver("mse", "sgd", rate), settings=Settings(epochs, 1), rng=0,
               checkpoint=folder, **options)


def test_a_checkpoint_makes_its_folder_and_refuses_other_settings(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert not checkpoint.checkpoint_exists(folder)
    first = train(folder)
    assert checkpoint.checkpoint_exists(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["state.safetensors", "weights-2.safetensors"]
    assert train(folder, 3, resume=True).loss[:2] == first.loss
    with pytest.raises(ValueError, match=r"its learning_rate was 0\.1, and is 0\.2 now\. Use the same as before"):
        train(folder, 4, rate=0.2, resume=True)
    other = tmp_path / "c"
    train(other, 3, rate=0.3)
    weights = folder / "weights-3.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes((other / "weights-3.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"belongs to another training than state\.safetensors beside it\."):
        train(folder, 4, resume=True)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"an incomplete checkpoint: weights-3\.safetensors is missing\."):
        train(folder, 4, resume=True)
    weights.write_bytes(whole)
    assert len(train(folder, 4, resume=True).loss) == 4
    weights.write_bytes(whole)
    (folder / "weights-4.safetensors").write_bytes(whole)
    message = r"is from another moment of this training than state\.safetensors beside it\."
    with pytest.raises(ValueError, match=message):
        train(folder, 5, resume=True)


def test_resuming_in_another_environment_warns_at_the_calling_line(tmp_path: Path, monkeypatch: Any) -> None:
    train(tmp_path, 1)
    monkeypatch.setattr(checkpoint, "environment", lambda: {"BLAS threads": "77", "NumPy": "0.1"})
    with pytest.warns(UserWarning, match="continues in a different environment") as told:
        train(tmp_path, 2, resume=True)
    assert told[0].filename == __file__
    assert re.search(
        rf"\(BLAS threads: \d+ then, 77 now; NumPy: {re.escape(np.__version__)} then, 0\.1 now\): the training is "
        r"correct, .* For that start Python with OPENBLAS_NUM_THREADS=\d+ and "
        rf"install NumPy {re.escape(np.__version__)}\.$",
        str(told[0].message),
    )


def test_a_resumed_training_ends_as_if_never_interrupted(tmp_path: Path) -> None:
    def weights(epochs: int, folder: Path | None) -> tuple[Any, list[Any]]:
        model, stopping = layers(), EarlyStopping(9, monitor="loss", mode="max")
        history = fit(model, X, Y, solver=Solver("mse", "adam", 0.1), settings=Settings(epochs, 1), rng=0,
                      early_stopping=stopping, checkpoint=folder, resume=folder is not None)  # fmt: skip
        return history.loss, [part.copy() for layer in model for part in (layer.W.data, layer.b.data)]

    loss, straight = weights(5, None)
    folder = tmp_path / "a"
    for epochs in (1, 3, 4, 5):
        found, again = weights(epochs, folder)
        (best,) = folder.glob("best-*")
        assert best.name == f"best-{1 + int(np.argmax(loss[:epochs]))}.safetensors"
    assert found == loss
    for one, two in zip(again, straight, strict=True):
        np.testing.assert_array_equal(one, two)
    stale = folder / "weights-1.safetensors"
    stale.touch()
    weights(5, folder)
    assert not stale.exists()
    best.unlink()
    with pytest.raises(FileNotFoundError, match="best-"):
        weights(6, folder)


def test_the_folder_of_a_checkpoint_may_not_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        Checkpoint(tmp_path / "file")
