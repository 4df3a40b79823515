"""A checkpoint belongs to one training: its parts must belong together, and no other training can resume from it."""

import copy
import functools
import hashlib
import json
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import History, Layer, Regularization, Settings, Solver, Tensor, data_loader, fit, nn, optim
from tinygrad_nn.files import locked_folder, write_whole
from tinygrad_nn.files.safetensors import seal, unseal
from tinygrad_nn.nn import Dropout, Linear, Module, Sequential
from tinygrad_nn.solver import EarlyStopping, checkpoint, fingerprint
from tinygrad_nn.solver.arguments import prepare_training
from tinygrad_nn.solver.state import StateReader
from tinygrad_nn.solver.stopping import Watch

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 3)), RNG.normal(size=(12, 2))
OTHER = X.copy()
OTHER[7, 1] += 1e-9
STATE = "state.safetensors"


class Net(Module):
    def __init__(self, act: Any = np.tanh, scale: float = 1.0) -> None:
        self.first, self.act, self.scale = Linear(3, 2, rng=0), act, scale

    def forward(self, x: Any) -> Any:
        return self.act(self.first(x)) * self.scale


class Other(Net):
    def forward(self, x: Any) -> Any:
        return self.act(self.first(x)) - self.scale


def layers(activation: str = "tanh") -> list[Layer]:
    return [Layer(3, 4, activation, rng=0), Layer(4, 2, rng=1)]


def squares(params: Any, x: Any, y: Any) -> Any:
    """Return the loss."""
    return ((x @ params["W"] - y) ** 2).mean()


def cubes(params: Any, x: Any, y: Any) -> Any:
    """Return the loss."""
    return (abs(x @ params["W"] - y) ** 3).mean()


def bent(power: float) -> Callable[..., Any]:
    return lambda p, y: (abs(p - y) ** power).mean()


def with_code(name: str, expression: str) -> Any:
    """Return a new function with this code, as another process would make it."""
    space: dict[str, Any] = {"np": np}
    exec(f"def {name}(p, y):\n    return {expression}", space)
    return space[name]


def solver(loss: Any = "mse", rule: Any = "adam", rate: float = 0.05, dropout: float = 0.0, **more: Any) -> Solver:
    return Solver(loss, rule, rate, Regularization("l2", 1e-3, dropout=dropout), **more)


def train(folder: Path | None, epochs: int = 2, **change: Any) -> Any:
    given: dict[str, Any] = {
        "model": layers(), "x": X, "y": Y, "solver": solver(), "settings": Settings(epochs, 5), "rng": 0,
    }  # fmt: skip
    given |= change
    if isinstance(given["model"], type) or not isinstance(given["model"], (list, Module)):
        given["model"] = given["model"]()
    function = given.pop("function", None)
    if function is not None:
        given |= {"model": function, "params": given.get("params") or {"W": np.ones((3, 2))}}
    fit(**given, checkpoint=folder, resume=True)
    return given["model"]


# What is changed, from what to what, and what the message must name.
CHANGES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("activation", {}, {"model": functools.partial(layers, "relu")}, r"architecture was .*tanh.*, and is .*relu.* now"),
    ("slope", {"model": lambda: layers("leaky_relu(0.1)")}, {"model": lambda: layers("leaky_relu(0.2)")},
     "architecture"),
    ("function in a row", {"model": lambda: Sequential(Linear(3, 2, rng=0), np.tanh)},
     {"model": lambda: Sequential(Linear(3, 2, rng=0), np.sin)}, r"architecture was .*tanh.* and is .*sin"),
    ("lambda in a row", {"model": lambda: Sequential(Linear(3, 2, rng=0), lambda x: x * 2)},
     {"model": lambda: Sequential(Linear(3, 2, rng=0), lambda x: x * 3)}, r"architecture was .*lambda.*code"),
    ("attribute", {"model": Net}, {"model": lambda: Net(np.sin)}, r"architecture was .*tanh.* and is .*sin"),
    ("option", {"model": Net}, {"model": lambda: Net(scale=2.0)}, r"architecture was .*scale': 1.0.* and is .*2.0"),
    ("forward", {"model": Net}, {"model": Other}, "architecture was .*Net.* and is .*Other"),
    ("dropout layer", {"model": lambda: Sequential(Linear(3, 2, rng=0), Dropout(0.2))},
     {"model": lambda: Sequential(Linear(3, 2, rng=0), Dropout(0.3))}, "architecture was .*0.2.* and is .*0.3"),
    ("function", {"solver": Solver(), "function": squares}, {"solver": Solver(), "function": cubes}, "architecture"),
    ("constant", {"solver": Solver(), "function": squares, "params": {"W": np.ones((3, 2)), "k": np.arange(2)}},
     {"solver": Solver(), "function": squares, "params": {"W": np.ones((3, 2)), "k": np.arange(1, 3)}}, "architecture"),
    ("a number of x", {}, {"x": OTHER}, r"data was float64 \(12, 3\).*sha256"),
    ("a number of y", {}, {"y": Y * 2}, "data was"),
    ("rows", {}, {"x": X[:-1], "y": Y[:-1]}, r"data was float64 \(12, 3\).*, and is float64 \(11, 3\)"),
    ("dtype", {"model": Net}, {"model": Net, "x": X.astype(np.float32)}, "data was float64.* and is float32"),
    ("validation", {"x_val": X, "y_val": Y}, {"x_val": OTHER, "y_val": Y}, "validation data was"),
    ("no validation", {"x_val": X, "y_val": Y}, {}, "validation data was .*, and is None now"),
    ("loader", {"x": data_loader(X, Y, 4), "y": None}, {"x": data_loader(X, Y, 5), "y": None}, "batches of 4.* of 5"),
    ("loader's rows", {"x": data_loader(X, Y, 4), "y": None}, {"x": data_loader(OTHER, Y, 4), "y": None}, "data was"),
    ("list", {"x": [(X, Y)], "y": None}, {"x": [(OTHER, Y)], "y": None}, "data was list of 1 batches"),
    ("seed", {}, {"rng": 1}, "seed was 0, and is 1 now"),
    ("generator", {"rng": np.random.default_rng(3)}, {"rng": np.random.default_rng(4)}, "seed was 3, and is 4 now"),
    ("spawned", {"rng": np.random.default_rng(3).spawn(2)[0]}, {"rng": np.random.default_rng(3).spawn(2)[1]},
     r"seed was 3 spawned \(0,\), and is 3 spawned \(1,\) now"),
    ("no seed", {}, {"rng": None}, "seed was 0, and is drawn by the system now"),
    ("seed of a loader", {"x": data_loader(X, Y, 4, shuffle=True, rng=1), "y": None},
     {"x": data_loader(X, Y, 4, shuffle=True, rng=2), "y": None}, "seed was 0, 1, and is 0, 2 now"),
    ("dropout", {"solver": solver(dropout=0.2)}, {"solver": solver(dropout=0.3)}, "dropout=0.2.* and is .*dropout=0.3"),
    ("batch size", {}, {"settings": Settings(3, 4)}, "batch_size was 5, and is 4 now"),
    ("accumulate", {}, {"settings": Settings(3, 5, 2)}, "accumulate was 1, and is 2 now"),
    ("loss", {}, {"solver": solver("mae")}, "loss was mse, and is mae now"),
    ("loss of one's own", {"model": Net, "solver": solver(with_code("mine", "((p - y) ** 2).mean()"))},
     {"model": Net, "solver": solver(with_code("mine", "((p - y) ** 4).mean()"))}, r"loss was mine \[code"),
    ("loss with a closure", {"model": Net, "solver": solver(bent(2.0))}, {"model": Net, "solver": solver(bent(3.0))},
     r"loss was bent.*lambda.*code"),
    ("loss with an option", {"model": Net, "solver": solver(functools.partial(nn.losses.huber, delta=1.0))},
     {"model": Net, "solver": solver(functools.partial(nn.losses.huber, delta=2.0))}, "delta': 1.0.* and is .*2.0"),
    ("optimizer", {}, {"solver": solver(rule="sgd")}, "optimizer was adam"),
    ("its options", {}, {"solver": solver(rule=optim.adam(beta1=0.9000001))}, "beta1=0.9,.* and is .*0.9000001"),
    ("rate", {}, {"solver": solver(rate=0.050000001)}, "learning_rate was 0.05, and is 0.050000001 now"),
    ("penalty", {}, {"solver": Solver("mse", "adam", 0.05)}, "regularization was"),
    ("schedule", {"solver": solver(schedule=optim.Cosine(9))}, {"solver": solver(schedule=optim.Cosine(8))},
     "schedule was .*9.*, and is .*8"),
    ("schedule of one's own", {"solver": solver(schedule=lambda t, base: base / (t + 1))},
     {"solver": solver(schedule=lambda t, base: base / (t + 2))}, "schedule was"),
    ("schedule by", {"solver": solver(schedule=optim.Cosine(9))},
     {"solver": solver(schedule=optim.Cosine(9), schedule_by="step")}, "schedule_by was epoch, and is step now"),
    ("clip", {"solver": solver(clip_norm=1.0)}, {"solver": solver(clip_norm=2.0)}, "clip_norm was 1.0, and is 2.0 now"),
    ("groups", {"model": Net, "solver": solver(groups={"first.*": {"learning_rate": 0.1}})},
     {"model": Net, "solver": solver(groups={"first.*": {"learning_rate": 0.2}})}, "groups was .*0.1.* and is .*0.2"),
    ("road", {}, {"gradients": "manual"}, "gradients was graph, and is manual now"),
    ("frozen", {"model": Net}, {"model": lambda: Sequential(Net(), Linear(2, 2, rng=0).freeze())}, "parameters was"),
]  # fmt: skip


@pytest.mark.parametrize(("first", "second", "message"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_another_training_cannot_resume_from_a_checkpoint(
    first: dict[str, Any], second: dict[str, Any], message: str, tmp_path: Path
) -> None:
    train(tmp_path, 1, **copy.copy(first))
    before = (tmp_path / STATE).read_bytes()
    with pytest.raises(ValueError, match=f"(?s){message}") as found:
        train(tmp_path, 2, **copy.copy(second))
    assert "Use the same as before, or name another folder. Nothing was changed." in str(found.value)
    assert (tmp_path / STATE).read_bytes() == before
    train(tmp_path, 2, **{**copy.copy(first), **({"settings": Settings(2, 5)} if "settings" not in first else {})})


def test_the_same_training_resumes_with_new_or_used_objects(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    loader = data_loader(X, Y, 4, shuffle=True, rng=2)
    loss = functools.partial(nn.losses.huber, delta=1.0)
    for epochs in (1, 2, 3):  # as in a notebook: the generators were drawn from in the meantime
        train(tmp_path / "a", epochs, rng=rng)
        train(tmp_path / "b", epochs, x=loader, y=None)
        train(tmp_path / "c", epochs, rng=None, model=Net)
        made = with_code("mine", "((p - y) ** 2).mean()")
        train(tmp_path / "d", epochs, model=lambda: Sequential(Net(), np.tanh), solver=solver(made))
        train(tmp_path / "e", epochs, model=Net, solver=solver(loss), metrics={}, callbacks=[lambda epoch: None])
    for name in "abcde":
        assert (tmp_path / name / "weights-3.safetensors").exists()


def test_fewer_epochs_than_a_training_has_are_refused(tmp_path: Path) -> None:
    trained = train(tmp_path, 3)
    with pytest.raises(ValueError, match=r"a training of 3 epochs, and epochs=2 .*Write epochs=5 for 2 more"):
        train(tmp_path, 2)
    again = train(tmp_path, 3)
    for layer, other in zip(trained, again, strict=True):
        np.testing.assert_array_equal(layer.W.data, other.W.data, "nothing was trained")


def test_what_a_docstring_and_a_line_number_change_decides_no_number() -> None:
    space: dict[str, Any] = {}
    for k, text in enumerate(('"one"', '"two"')):
        exec("\n" * k + f"def f(p, y):\n    {text}\n    return (p - y) ** 2", space)
        space[f"f{k}"] = space["f"]
    assert fingerprint.in_words(space["f0"]) == fingerprint.in_words(space["f1"])
    then, now = {"loss": "f [code 0123456789ab]"}, {"loss": "f [code ba9876543210]"}
    assert not list(fingerprint.differences(then, now, same_python=False)), "another Python writes other code"
    assert len(list(fingerprint.differences(then, now, same_python=True))) == 1


@pytest.mark.parametrize("array", [
    np.array(3.5), np.zeros((0, 3)), np.zeros((3, 0)), np.arange(12.0).reshape(3, 4).T, np.arange(24)[::-2],
    np.arange(30000, dtype=">f4").reshape(100, 300)[:, ::-1], np.broadcast_to(1.0, (5, 6)), np.array(["a", "bc"]),
    np.array(["2020-01-01"], "M8[D]"), np.zeros(3, [("a", "i4"), ("b", "f8")]), np.arange(20001.0), X > 0,
])  # fmt: skip
def test_the_checksum_of_an_array_is_of_type_shape_and_numbers_in_order(array: Any) -> None:
    content = f"\0{array.dtype.str}\0{array.shape}\0".encode() + array.tobytes()
    digest = hashlib.sha256(content).hexdigest()[:16]
    assert fingerprint.in_words(array) == f"{array.dtype} {array.shape} sha256 {digest}"


def test_the_checksum_of_objects_is_of_their_words() -> None:
    arrays = [np.array(parts, dtype=object) for parts in ([1, None], [1, 2], ["1", None], [[1, None]], None, 1)]
    assert len({fingerprint.in_words(array) for array in arrays}) == len(arrays)
    assert fingerprint.in_words(arrays[0][::-1][::-1].copy()) == fingerprint.in_words(arrays[0])


def test_of_a_mapped_file_some_rows_are_looked_at(tmp_path: Path) -> None:
    x = np.memmap(tmp_path / "x", dtype=float, mode="w+", shape=(3000, 3))
    x[:] = np.arange(9000).reshape(3000, 3) / 9000
    y = np.zeros((3000, 2))
    seen: list[str] = []
    for row in (None, 0, 2999):
        if row is not None:
            x[row, 0] += 1
        seen.append(fingerprint._data(fingerprint.Rows(x, y, 9), 1024))
    assert len(set(seen)) == 3
    assert "sha256 of 1024 rows" in seen[0]


class Endless:
    """A loader whose length is not known, although it has one."""

    def __len__(self) -> int:
        raise TypeError("no length")

    def __iter__(self) -> Iterator[Any]:
        return iter([(X, Y)])


def test_batches_that_cannot_be_described_are_trained_on_or_refused_as_without_a_checkpoint(tmp_path: Path) -> None:
    for epochs in (1, 2):
        train(tmp_path / "a", epochs, model=Net, x=Endless(), y=None)
    with pytest.raises(TypeError, match="x of batch 0 is a Tensor"):
        train(tmp_path / "b", 1, model=Net, x=[(Tensor(X) * 1.0, Y)], y=None)


# ---- Parts that belong together


def test_the_weights_of_another_run_or_moment_are_refused(tmp_path: Path) -> None:
    train(tmp_path / "a", 2, early_stopping=EarlyStopping(9, monitor="loss"))
    train(tmp_path / "b", 2, early_stopping=EarlyStopping(9, monitor="loss"))
    for name in ("weights-2.safetensors", "best-2.safetensors"):
        own = (tmp_path / "a" / name).read_bytes()
        (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
        with pytest.raises(ValueError, match=f"{name} belongs to another training than {STATE} beside it"):
            train(tmp_path / "a", 3, early_stopping=EarlyStopping(9, monitor="loss"))
        (tmp_path / "a" / name).write_bytes(own)
    older = (tmp_path / "a" / "weights-2.safetensors").read_bytes()
    state = (tmp_path / "a" / STATE).read_bytes()
    train(tmp_path / "a", 3, early_stopping=EarlyStopping(9, monitor="loss"))
    (tmp_path / "a" / "weights-3.safetensors").write_bytes(older)
    with pytest.raises(ValueError, match=r"weights-3\.safetensors is from another moment of this training"):
        train(tmp_path / "a", 4, early_stopping=EarlyStopping(9, monitor="loss"))
    (tmp_path / "a" / STATE).write_bytes(state)
    with pytest.raises(FileNotFoundError, match=r"weights-2\.safetensors is missing"):
        train(tmp_path / "a", 4, early_stopping=EarlyStopping(9, monitor="loss"))


def test_the_best_weights_are_written_once_and_again_where_they_were_taken_away(tmp_path: Path) -> None:
    best, seen = tmp_path / "best-1.safetensors", []

    def look(epoch: Any) -> None:
        if epoch.number == 2:
            best.write_bytes(b"left as it is")
        if epoch.number == 3:
            seen.append(best.read_bytes())
            best.unlink()
        if epoch.number == 4:
            seen.append(best.read_bytes())

    train(tmp_path, 4, early_stopping=EarlyStopping(9, monitor="loss", min_delta=99.0), callbacks=[look])
    assert seen[0] == b"left as it is"
    train(tmp_path, 5, early_stopping=EarlyStopping(9, monitor="loss", min_delta=99.0))
    assert best.read_bytes() == seen[1]


def test_the_best_weights_of_an_older_training_are_written_over(tmp_path: Path) -> None:
    (tmp_path / "best-1.safetensors").write_bytes(b"of an older training")
    for epochs in (1, 2):
        train(tmp_path, epochs, early_stopping=EarlyStopping(9, monitor="loss", min_delta=99.0))
    best, _, _ = unseal("weights", tmp_path / "best-1.safetensors")
    assert best.keys() == {f"layer {k} {part}" for k in (1, 2) for part in "Wb"}


# ---- Crafted states


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield before
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths(inner, (*before, key))


def with_part(text: Any, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    changed = copy.deepcopy(text)
    change(functools.reduce(lambda nest, key: nest[key], path[:-1], changed), path[-1])
    return changed


@pytest.mark.parametrize("said", [True, False])
def test_the_first_reason_to_end_is_kept(said: bool, tmp_path: Path) -> None:
    """Early stopping and a callback end the training after the same epoch, or the callback alone does."""
    stopping = EarlyStopping(1, monitor="loss", min_delta=1e9) if said else None
    train(tmp_path, 5, early_stopping=stopping, callbacks=[lambda epoch: epoch.number == 2])
    state = json.loads(unseal("training state", tmp_path / STATE)[1])
    assert (state["ended"], state["epoch"]) == (("early stopping", 2) if said else ("a callback", 2))


def test_a_file_in_the_place_of_the_folder_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(NotADirectoryError, match="is a file; a folder is needed there"):
        checkpoint.Checkpoint(tmp_path / "run")


NESTED: Any = functools.reduce(lambda inner, _: [inner], range(400), [])
BAD = [
    None, True, -5, 0, 3, 10**30, 10**400, 0.5, math.nan, math.inf, "", "x", "\x1b[2J", "../../../etc/passwd", "1e999",
    [], [1], {}, {"name": 1}, NESTED,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adam", "lbfgs", "plateau"])
def test_no_crafted_state_raises_anything_but_a_lesson(kind: str, tmp_path: Path) -> None:
    how = solver(rule=optim.lbfgs(max_iter=2) if kind == "lbfgs" else "adam",
                 schedule=optim.Plateau() if kind == "plateau" else None)
    stopping = EarlyStopping(9, monitor="loss")
    given: dict[str, Any] = {"solver": how, "early_stopping": stopping, "model": Net if kind != "adam" else layers}
    train(tmp_path, 2, **given)
    arrays, raw, _ = unseal("training state", tmp_path / STATE)
    text = json.loads(raw)
    task, _, _ = prepare_training("fit", given["model"](), X, Y, None, None, how, 5)

    def load(content: bytes) -> None:
        (tmp_path / STATE).write_bytes(content)
        rng = np.random.default_rng(0)
        before = [p.data.tobytes() for p in task.parameters], rng.bit_generator.state
        raised = None
        try:
            checkpoint.load_checkpoint(tmp_path, task, text["setup"], [rng], Watch(stopping))
        except (ValueError, FileNotFoundError) as error:
            raised = error
        if raised is not None:
            assert str(tmp_path) in str(raised)
            assert str(raised).isprintable()
            assert len(str(raised)) < 900
            assert ([p.data.tobytes() for p in task.parameters], rng.bit_generator.state) == before
            raise raised

    def sealed(changed: Any) -> bytes:
        return seal("training state", arrays, changed if isinstance(changed, str) else json.dumps(changed)).content

    # what may be another number without being seen, since nothing else tells it
    free = {"updates", "schedule", "stopping", "optimizer", "rngs", "ended"}
    load(sealed(text))
    refused = 0
    for k, path in enumerate(list(paths(text))[1:]):
        if path[0] in ("setup", "surroundings") and len(path) > 1:
            continue  # compared with what they must be
        candidates = [with_part(text, path, lambda nest, key: nest.pop(key))]
        for bad in BAD[k % 3 :: 3]:
            old = functools.reduce(lambda nest, key: nest[key], path, text)
            if type(bad) is not type(old) or bad != old:
                candidates.append(with_part(text, path, lambda nest, key, bad=bad: nest.__setitem__(key, bad)))
        for changed in candidates:
            try:
                load(sealed(changed))
                assert path[0] in free, path
            except (ValueError, FileNotFoundError):
                refused += 1
    assert refused > 200
    for broken in ("", "[" * 100_000, '{"a":' * 100_000, "[]", "3", '"x"', "{", "null", "NaN"):
        with pytest.raises(ValueError, match=r"state\.safetensors holds a"):
            load(sealed(broken))
    for number in ("-5", "1" + "0" * 40, "NaN", "2.5", '"2"', "true", "3"):
        with pytest.raises(ValueError, match=r"state\.safetensors holds no state that a training wrote: .*epoch is"):
            load(sealed(raw.replace('"epoch": 2', f'"epoch": {number}')))
    for name, array in list(arrays.items()):
        for other in (None, np.zeros(1), np.zeros(3, np.int8), np.zeros((2, 2, 2)), np.zeros(10_000)):
            if other is not None and (other.shape == array.shape or (other.size == 1 and "metrics" in name)):
                continue  # a metric may have been asked for only in some epochs
            kept = {key: value for key, value in arrays.items() if key != name or other is not None}
            content = seal("training state", kept | ({} if other is None else {name: other}), raw).content
            with pytest.raises(ValueError, match="holds no state that a training wrote"):
                load(content)
    load(sealed(text))


# ---- Two in one folder, and threads


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    def again(epoch: Any) -> None:
        train(tmp_path, 2)

    with pytest.raises(BlockingIOError, match=f"{tmp_path} is in use by process {os.getpid()}: .* name another folder"):
        train(tmp_path, 2, callbacks=[again])
    train(tmp_path, 2)
    assert sorted(file.name for file in tmp_path.iterdir()) == [STATE, "weights-2.safetensors"]


def test_a_lock_is_of_the_process_and_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from tinygrad_nn.files import locked_folder\n"
        "with locked_folder(sys.argv[1]): print('held', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"in use by process {process.pid}"), locked_folder(tmp_path):
            pass
    finally:
        process.kill()
        process.communicate()
    with locked_folder(tmp_path):  # the file that it left behind holds nobody off
        pass
    assert not list(tmp_path.iterdir())


def test_a_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    inside, most, refused = [0], [0], [0]

    def work() -> None:
        for _ in range(50):
            try:
                with locked_folder(tmp_path):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    inside[0] -= 1
            except BlockingIOError:
                refused[0] += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_resuming_with_another_number_of_threads_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "blas_threads", lambda: 7)
    train(tmp_path, 1)
    train(tmp_path, 2)
    monkeypatch.setattr(fingerprint, "blas_threads", lambda: 1)
    message = r"BLAS threads: 7 then, 1 now\).*not bit for bit.*OPENBLAS_NUM_THREADS=7\.$"
    with pytest.warns(UserWarning, match=message) as told:
        train(tmp_path, 3)
    assert told[0].filename == __file__, "the line that called fit"


def test_the_threads_of_the_blas_that_numpy_calls_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    pools = [
        {"user_api": "openmp", "num_threads": 32, "filepath": "numpy.libs/libgomp.so"},
        {"user_api": "blas", "num_threads": 16, "filepath": "scipy.libs/libopenblas.so"},
        {"user_api": "blas", "num_threads": 8, "filepath": "numpy.libs/libopenblas.so"},
    ]
    for count, wanted in ((3, 8), (2, 16), (1, 1)):
        monkeypatch.setitem(sys.modules, "threadpoolctl", SimpleNamespace(threadpool_info=lambda n=count: pools[:n]))
        assert fingerprint.blas_threads() == wanted


def test_what_a_killed_process_left_is_gone_after_the_next_start(tmp_path: Path) -> None:
    train(tmp_path, 2)
    for name in ("weights-1.safetensors", "best-7.safetensors", ".state.safetensors.12ab34cd.part"):
        (tmp_path / name).write_bytes(b"left")
    (tmp_path / "notes.txt").write_text("mine")
    train(tmp_path, 2)  # which has nothing more to do
    assert sorted(file.name for file in tmp_path.iterdir()) == ["notes.txt", STATE, "weights-2.safetensors"]


def test_threads_are_counted_without_threadpoolctl(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fingerprint.blas_threads() >= 1
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    for name in fingerprint._THREADS:
        monkeypatch.delenv(name, raising=False)
    assert fingerprint.blas_threads() == (os.cpu_count() or 1)
    with monkeypatch.context() as unknown:
        unknown.setattr(os, "cpu_count", lambda: None)
        assert fingerprint.blas_threads() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert fingerprint.blas_threads() == 3
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "5")
    assert fingerprint.blas_threads() == 5


def test_a_weights_file_is_refused_as_a_training_state(tmp_path: Path) -> None:
    write_whole(tmp_path / STATE, seal("weights", {"w": np.ones(2)}).content)
    with pytest.raises(ValueError, match="holds no training state of tinygrad_nn"):
        train(tmp_path, 2)


@pytest.mark.parametrize(
    "text",
    ["", "[", "[" * 100_000, "3", "[]", "{}", '{"loss": 1, "val_loss": [], "metrics": {}}',
     '{"loss": [1' + "0" * 400 + '], "val_loss": [], "metrics": {}}', '{"loss": [[]], "val_loss": [], "metrics": {}}',
     '{"loss": [], "val_loss": [], "metrics": []}', '{"loss": ["\\u001b[2J"], "val_loss": [], "metrics": {}}'],
)  # fmt: skip
def test_a_file_that_is_no_history_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "h.json").write_text(text)
    with pytest.raises(ValueError, match=r"h\.json holds no history: ") as found:
        History.load(tmp_path / "h.json")
    assert str(found.value).isprintable()


@pytest.mark.parametrize(
    ("length", "at", "start", "end"),
    [
        (200, 150, 0, 200), (201, 60, 0, 180), (201, 61, 1, 181), (400, 150, 90, 270), (300, 180, 120, 300),
        (300, 179, 119, 299), (300, 299, 239, 300), (301, 180, 120, 300),
    ],
)  # fmt: skip
def test_of_a_long_setting_what_differs_is_shown_with_60_characters_before_it(
    length: int, at: int, start: int, end: int
) -> None:
    text = "".join(chr(ord("a") + k % 26) for k in range(length))
    shown = ("..." if start else "") + text[start:end] + ("..." if end < length else "")
    assert checkpoint._around_difference(text, text[:at] + "#" + text[at + 1 :]) == shown
    assert checkpoint._around_difference(text, text[:at]) == shown  # one ends where the other goes on


@pytest.mark.parametrize(("value", "ok"), [(0, True), (2**62 - 1, True), (2**62, False), (-1, False), (True, False),
                                           (1.0, False), ("1", False), (None, False)])  # fmt: skip
def test_what_a_state_counts_is_a_whole_number_that_a_training_can_reach(value: Any, ok: bool, tmp_path: Path) -> None:
    saved = StateReader(tmp_path, {}, {})
    if ok:
        assert saved.count("epoch", value) == value
    else:
        with pytest.raises(ValueError, match="holds no state that a training wrote: epoch is"):
            saved.count("epoch", value)


@pytest.mark.parametrize("names", [[3], "loss", None, {"a": 1}, ["a", None]], ids=str)
def test_metrics_of_a_state_are_a_list_of_names(names: Any, tmp_path: Path) -> None:
    columns = {"history/loss": np.zeros(1), "history/val_loss": np.zeros(1)}
    saved = StateReader(tmp_path, {"metrics": names, "epoch": 1}, columns)
    with pytest.raises(ValueError, match="holds no state that a training wrote: metrics is"):
        saved.history()


def test_fingerprints_of_functions_differ_by_nested_functions() -> None:
    def made(times: str) -> Any:
        space: dict[str, Any] = {"__name__": __name__}
        exec(f"def f(y, p):\n    def inner(a): return (lambda b: b * {times})(a)\n    return inner(y - p)", space)
        return space["f"]

    assert fingerprint.in_words(made("2")) == fingerprint.in_words(made("2"))
    assert fingerprint.in_words(made("2")) != fingerprint.in_words(made("3")), "two functions deep"


def test_fingerprints_of_functions_differ_by_numbers_in_closures() -> None:
    def made(inner: float) -> Any:
        options = (1.0, (2.0, inner))
        return lambda y, p: (y - p) * options[1][1]

    assert fingerprint.in_words(made(3.0)) == fingerprint.in_words(made(3.0))
    assert fingerprint.in_words(made(3.0)) != fingerprint.in_words(made(4.0))


def test_functions_that_call_each_other_are_described_to_an_end() -> None:
    def made(times: str) -> Any:
        space: dict[str, Any] = {"__name__": __name__}
        exec(f"def f(y, p):\n    return g(y, p)\n\ndef g(y, p):\n    return f(y, p) * {times}", space)
        return space["f"]

    assert fingerprint.in_words(made("2")) == fingerprint.in_words(made("2"))
    assert fingerprint.in_words(made("2")) != fingerprint.in_words(made("3"))


def test_a_state_of_no_training_is_named_with_its_file(tmp_path: Path) -> None:
    train(tmp_path, 1)
    arrays, text, _ = unseal("training state", tmp_path / STATE)
    broken = {**json.loads(text), "epoch": -5}
    write_whole(tmp_path / STATE, seal("training state", arrays, json.dumps(broken)).content)
    message = rf"{re.escape(str(tmp_path / STATE))} holds no state that a training wrote: epoch is "
    with pytest.raises(ValueError, match=message):
        train(tmp_path, 2)
