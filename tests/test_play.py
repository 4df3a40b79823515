"""The playground without a browser: what is trained, shown and exported, what is refused, and in which words."""

import json
import os
import re
import runpy
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import enumerate as threads
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import BackProp, FeedForward, Predict, Solver
from tinygrad_nn.data import spirals, two_moons
from tinygrad_nn.io import load_network
from tinygrad_nn.play import Choices, Session, TableFile, Training, script
from tinygrad_nn.play import session as sessions
from tinygrad_nn.play.boundary import CELLS, MAIN, NEURONS, SMALL, Plane, decision, neurons
from tinygrad_nn.play.sample import explorer_page, forward_and_back
from tinygrad_nn.play.training import MOST_POINTS

FLOWERS = "length,colour,kind\n" + "".join(f"{k % 7},{'red' if k % 3 else 'blue'},{'ab'[k % 2]}\n" for k in range(40))
HOUSES = "size,rooms,price\n" + "".join(f"{50 + k},{'' if k == 5 else k % 4},{3 * k + k % 5}\n" for k in range(40))


def table(text: str, name: str = "mine.csv") -> TableFile:
    return TableFile(name, text.encode())


# -- Data that is drawn


@pytest.mark.parametrize(("make", "classes"), [(two_moons, 2), (lambda *a, **k: spirals(*a, 3, **k), 3)])
def test_points_come_in_turn_and_the_seed_decides_them(make: Callable[..., Any], classes: int) -> None:
    points, again, other = make(31, noise=0.1, rng=1), make(31, noise=0.1, rng=1), make(31, noise=0.1, rng=2)
    np.testing.assert_array_equal(points.x, again.x)
    assert points.x.shape == (31, 2)
    assert not np.array_equal(points.x, other.x)
    assert np.ptp(np.bincount(points.y, minlength=classes)) <= 1
    assert points.targets.shape == (31, classes)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: two_moons(1), "rows=1; there must be at least 2"),
    (lambda: two_moons(2.5), "rows=2.5 is not a whole number"),  # type: ignore[arg-type]
    (lambda: two_moons(10, noise=-1), "noise=-1; it must be a standard deviation of at least 0"),
    (lambda: spirals(10, 1), "classes=1; there must be at least 2"),
    (lambda: spirals(2, 3), "rows=2; there must be at least 3"),
])  # fmt: skip
def test_points_that_cannot_be_drawn_are_refused(call: Callable[[], Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        call()


# -- The script makes the same network


def steps(training: Training, count: int) -> None:
    for _ in range(count):
        training.step()


def several(training: Training) -> None:
    """A training whose settings were changed twice, once in the middle of an epoch and once before a step."""
    steps(training, 9)
    training.change(training.choices.changed({"optimizer": "sgd", "learning_rate": 0.2}))
    training.change(training.choices.changed({"batch_size": 7, "regularization": "l2", "dropout": 0.2}))
    steps(training, 20)
    training.change(training.choices.changed({"optimizer": "momentum", "regularization": "elasticnet", "dropout": 0.0}))
    steps(training, 11)


def diverged(training: Training) -> None:
    """A training that diverged in the middle, and went on with a learning rate that is lower."""
    steps(training, 12)
    training.change(training.choices.changed({"optimizer": "sgd", "learning_rate": 1e6}))
    with pytest.raises(FloatingPointError, match="diverged"):
        steps(training, 500)
    training.change(training.choices.changed({"learning_rate": 0.05}))
    steps(training, 8)


MADE: dict[str, tuple[Choices, TableFile | None, Callable[[Training], None]]] = {
    "nothing": (Choices(), None, lambda training: None),
    "moons": (Choices(seed=3, train_size=0.6), None, lambda training: steps(training, 30)),
    "several": (Choices(dataset="spirals", hidden=((6, "relu"), (5, "gelu"))), None, several),
    "diverged": (Choices(hidden=((8, "relu"),)), None, diverged),
    "three spirals": (Choices(dataset="three spirals", optimizer="muon"), None, lambda training: steps(training, 5)),
    "iris": (Choices(dataset="iris", hidden=(), dropout=0.1), None, lambda training: steps(training, 10)),
    "digits": (Choices(dataset="digits", hidden=((6, "leaky_relu(0.2)"),)), None, lambda training: steps(training, 45)),
    "texts": (Choices(dataset="table", target="kind", dropout=0.3), table(FLOWERS), lambda t: steps(t, 6)),
    "left out": (Choices(dataset="table", target="kind", leave_out=("colour",)), table(FLOWERS),
                 lambda training: steps(training, 6)),
    "numbers": (Choices(dataset="table", target="price", missing="mean"), table(HOUSES, "it's \"odd\" ü.csv"),
                lambda training: steps(training, 6)),
    "dropped": (Choices(dataset="table", target="price", missing="drop"), table(HOUSES), lambda t: steps(t, 6)),
}  # fmt: skip


@pytest.mark.parametrize("name", MADE)
def test_the_script_makes_the_same_network_and_losses(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choices, given, train = MADE[name]
    training = Training(choices, given)
    train(training)
    if given is not None:
        (tmp_path / given.name).write_bytes(given.content)
    (tmp_path / "train.py").write_text(script(training), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    made = runpy.run_path("train.py")
    for ours, theirs in zip(training.layers, load_network("model.safetensors").layers, strict=True):
        np.testing.assert_array_equal(ours.W.data, theirs.W.data)
        np.testing.assert_array_equal(ours.b.data, theirs.b.data)
    at = training.evaluate()
    assert made["history"][-1] == [at.loss, at.test_loss]
    assert made["history"][0] == [training.curve[0].loss, training.curve[0].test_loss]
    losses = [list(pair) for pair in made["history"]]
    assert all([point.loss, point.test_loss] in losses for point in training.curve if point.epoch == round(point.epoch))
    assert f"loss {at.loss:.6f}" in capsys.readouterr().out
    (tmp_path / "ours.safetensors").write_bytes(session_of(training).network())
    x = training.data.x[training.numbers[1]] if given is None else training.x[training.numbers[1]]
    np.testing.assert_array_equal(
        load_network("ours.safetensors").predict(x), load_network("model.safetensors").predict(x)
    )


def session_of(training: Training) -> Session:
    session = Session(Choices(rows=20))
    session.training = training
    return session


def test_names_of_a_table_cannot_get_out_of_the_script() -> None:
    text = '"a""""""\n\\x","b\'""",kind\n' + "".join(f"{k},{k % 3},{'ab'[k % 2]}\n" for k in range(20))
    training = Training(Choices(dataset="table"), table(text, '""" + exec("1/0") + """\n.csv'))
    assert 'a"""\n\\x' in training.data.features
    compile(script(training), "train.py", "exec")


# -- Training


def test_the_default_network_learns_two_moons() -> None:
    training = Training(Choices())
    while training.epoch < 120:
        training.step()
    assert training.evaluate().test_score >= 0.97


def test_a_training_that_diverges_is_as_it_was_after_its_last_whole_epoch() -> None:
    training = Training(Choices(hidden=((8, "relu"),)))
    steps(training, 14)
    before = [layer.W.data for layer in training.layers], training.evaluate(), list(training.curve)
    training.change(training.choices.changed({"optimizer": "sgd", "learning_rate": 1e6}))
    with pytest.raises(FloatingPointError) as error:
        steps(training, 500)
    words = str(error.value)
    assert words.startswith("The training diverged at update ")
    assert "Nothing is lost: the network is as it was after update 14. Lower the learning rate (1e+06)" in words
    for layer, W in zip(training.layers, before[0], strict=True):
        np.testing.assert_array_equal(layer.W.data, W)
    assert training.evaluate()[:6] == before[1][:6]
    assert training.curve == before[2]


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    training = Training(Choices(rows=20, hidden=(), batch_size=64))
    steps(training, 3 * MOST_POINTS)
    assert MOST_POINTS / 2 <= len(training.curve) <= MOST_POINTS
    assert training.curve[0].updates == 0
    assert training.curve[-1].updates > 3 * MOST_POINTS - 8
    gaps = np.diff([point.updates for point in training.curve])
    assert gaps.max() <= 2 * gaps[1:-1].min()


# -- What is shown


def unpack(frame: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    size = int.from_bytes(frame[:4], "little")
    head = json.loads(frame[4 : 4 + size])
    body = frame[4 + size :]
    return head, {
        name: np.frombuffer(body, f"<{kind}", int(np.prod(shape)), at).reshape(shape)
        for name, (kind, shape, at) in head["arrays"].items()
    }


@pytest.mark.parametrize("dataset", ["moons", "iris", "digits"])
def test_a_frame_holds_what_the_network_itself_says(dataset: str) -> None:
    session = Session(Choices(dataset=dataset, hidden=((20, "relu"),)))
    for _ in range(12):
        session.do("step")
    head, arrays = unpack(session.frame())
    training = session.training
    output = Predict(training.layers, session.plane.grid(CELLS))
    np.testing.assert_array_equal(arrays["class"], output.argmax(axis=1))
    count = output.shape[1]
    sure = arrays["sure"] / 255 * (1 - 1 / count) + 1 / count
    np.testing.assert_allclose(sure, output.max(axis=1), atol=0.5 / 255 + 1e-12)  # half a step of a byte
    hidden = FeedForward(training.layers, session.plane.grid(SMALL)).a[0][:, :NEURONS].T
    shown = (arrays["neurons 0"].astype(float) - 128) / 127
    np.testing.assert_allclose(shown, hidden / np.abs(hidden).max(axis=1, keepdims=True), atol=0.5 / 127 + 1e-12)
    np.testing.assert_array_equal(arrays["weights 0"], training.layers[0].W.data[:NEURONS, :NEURONS].astype(np.float32))
    point = training.evaluate()
    assert (head["updates"], head["loss"], head["test_loss"]) == (12, point.loss, point.test_loss)
    np.testing.assert_allclose(arrays["points"][-1, :6], point[:6], rtol=1e-6)
    assert set(arrays["batch"]) <= set(training.numbers[0])


def test_frames_send_only_new_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "PATIENCE", 0.01)
    session = Session(Choices(rows=40, hidden=()))
    head, arrays = unpack(session.frame())
    assert session.frame(head["version"]) == b""
    session.do("step")
    known = head["curve"][0], len(arrays["points"])
    later, more = unpack(session.frame(head["version"], known))
    assert later["curve"] == [known[0], 1]
    assert len(more["points"]) == 1
    whole = unpack(session.frame(-1, (99, 5)))
    assert (whole[0]["curve"][1], len(whole[1]["points"])) == (0, 2)


def test_a_plane_is_of_two_features_or_of_the_main_directions() -> None:
    training = Training(Choices(dataset="iris"))
    plane = Plane(training, "sepal_width", "petal_width")
    grid = plane.grid(8)
    mean = training.split.x_train.mean(axis=0)
    np.testing.assert_array_equal(grid[:, [0, 2]], np.broadcast_to(mean[[0, 2]], (64, 2)))
    axis = plane.axes[0]
    scaled = training.inputs[:, 1]
    assert axis.low < scaled.min() < scaled.max() < axis.high
    np.testing.assert_allclose(scaled * axis.factor + axis.offset, training.data.x[:, 1])
    main = Plane(training, *MAIN)
    spread = main.points[training.numbers[0]].std(axis=0)
    alone = training.split.x_train.std(axis=0)
    assert spread[0] >= alone.max()
    with pytest.raises(ValueError, match="no feature 'nothing' in iris"):
        Plane(training, "nothing")


def test_one_feature_and_a_regression_have_a_picture() -> None:
    text = "x,y\n" + "".join(f"{k},{2 * k}\n" for k in range(30))
    training = Training(Choices(dataset="table"), table(text))
    steps(training, 20)
    plane = Plane(training)
    _, sure = decision(training, plane)
    assert len(sure) == CELLS * CELLS
    assert len(np.unique(sure.reshape(CELLS, CELLS), axis=0)) == 1  # nothing changes upwards
    assert [part.shape for part in neurons(training, plane)] == [(8, SMALL * SMALL)] * 2


@pytest.mark.parametrize("name", ["moons", "iris", "digits", "texts", "numbers"])
def test_one_sample_has_the_numbers_of_the_equations_written_by_hand(name: str) -> None:
    choices, given, train = MADE[name]
    training = Training(choices, given)
    train(training)
    row = int(training.numbers[1][0])
    found = forward_and_back(training, row)
    x, y = training.inputs[row : row + 1], training.outputs[row : row + 1]
    solver = Solver(training.loss)
    cache = FeedForward(training.layers, x)
    loss, dW, db = BackProp(training.layers, cache, y, solver=solver)

    def close(got: Any, want: Any) -> None:  # seven digits are told
        np.testing.assert_allclose(np.array(got, float), want.reshape(-1)[:64], rtol=2e-6, atol=1e-12)

    assert found["loss"] == pytest.approx(loss, rel=2e-6)
    assert found["test"] is True
    for k, layer in enumerate(found["layers"]):
        close(layer["z"], cache.z[k])
        close(layer["a"], cache.a[k])
        close(layer["dz"], db[k])  # of a single row ∂L/∂b is ∂L/∂z
        assert layer["dW"] == pytest.approx(float(np.sqrt(np.mean(dW[k] ** 2))), rel=2e-6)
        if layer["da"] is not None:
            close(layer["da"], db[k + 1] @ training.layers[k + 1].W.data)
    close(found["dx"], db[0] @ training.layers[0].W.data)
    assert all(layer.W.grad is None for layer in training.layers)  # looking leaves nothing behind
    assert "<!DOCTYPE html>" in explorer_page(training, row)


# -- A session


BAD: list[tuple[str, Any, str]] = [
    ("choose", {"learning_rate": 0}, "learning rate is 0"),
    ("choose", {"learning_rate": None}, "learning rate is None; it must be a number"),
    ("choose", {"learning_rate": -1}, "learning rate is -1; it must be a number from 0"),
    ("choose", {"batch_size": 2.5}, "batch size is 2.5; it must be a whole number from 1"),
    ("choose", {"batch_size": "32"}, "batch size is '32'"),
    ("choose", {"optimizer": "adan"}, "not a known optimizer.*Did you mean 'adam'"),
    ("choose", {"optimizer": ["adam"]}, "is not a known optimizer"),
    ("choose", {"dataset": "moon"}, "not a known data set.*Did you mean 'moons'"),
    ("choose", {"dataset": "table"}, "There is no table yet"),
    ("choose", {"hidden": [[8, "tnah"]]}, "unknown activation 'tnah'.*Did you mean 'tanh'"),
    ("choose", {"hidden": [[8, "softmax"]]}, "softmax; that is for the output"),
    ("choose", {"hidden": [[0, "tanh"]]}, "width of hidden layer 1 is 0"),
    ("choose", {"hidden": [[8]]}, "Hidden layer 1 is \\[8\\]; it must be a width and an activation"),
    ("choose", {"hidden": [[4, "tanh"]] * 9}, "9 hidden layers; the playground draws up to 8"),
    ("choose", {"hidden": "8"}, "list of pairs"),
    ("choose", {"train_size": 1}, "share of rows to train on is 1"),
    ("choose", {"noise": float("nan")}, "noise is nan"),
    ("choose", {"seed": -1}, "seed is -1"),
    ("choose", {"sed": 1}, "no choice 'sed'.*Did you mean 'seed'"),
    ("choose", {"leave_out": "a"}, "list of their names"),
    ("choose", [1], "JSON object"),
    ("do", "explode", "'explode' is not an action"),
    ("look", {"row": 300}, "no row 300; the rows are 0 to 299"),
    ("look", {"row": True}, "no row True"),
    ("look", {"row": "1"}, "no row '1'"),
    ("look", {"across": "x9"}, "no feature 'x9'"),
    ("look", {"across": 3}, "names of features"),
    ("look", {"moment": -1}, "A moment must be a whole number of at least 0"),
]  # fmt: skip


@pytest.fixture(scope="module")
def used() -> Session:
    session = Session()
    session.do("step")
    return session


@pytest.mark.parametrize(("what", "given", "words"), BAD)
def test_invalid_choices_raise_and_change_nothing(used: Session, what: str, given: Any, words: str) -> None:
    before, weights = used.state(), used.training.layers[0].W.data
    with pytest.raises(ValueError, match=words):
        getattr(used, what)(given)
    assert used.state() == before
    assert used.training.layers[0].W.data is weights


def test_new_settings_keep_the_weights_and_new_layers_restart() -> None:
    session = Session()
    session.do("step")
    weights = session.training.layers[0].W.data
    state = session.choose({"learning_rate": 0.5, "batch_size": 10, "optimizer": "sgd"})
    assert (state["updates"], state["choices"]["learning_rate"]) == (1, 0.5)
    assert session.training.layers[0].W.data is weights
    session.do("step")
    assert len(session.training.batch) == 10
    state = session.choose({"hidden": [[3, "relu"]]})
    assert (state["updates"], [layer["width"] for layer in state["layers"]]) == (0, [3, 2])
    session.do("step")
    begun = Session(session.choices).training.layers[0].W.data
    assert not np.array_equal(session.training.layers[0].W.data, begun)
    session.do("reset")
    np.testing.assert_array_equal(session.training.layers[0].W.data, begun)


CSV: list[tuple[str, str]] = [
    ("", "mine.csv: the file is empty"),
    ("a,b\n", "the file has only its first line"),
    ("a,b\n1,2\n3,4,5\n", "line 3: 3 cells, but the first line names 2"),
    ("a,b\n1,2\nx,4\n3,5\n4,1\n", "a non-numeric feature: 'x' is not a number"),
    ("a,b\n" + "".join(f"text {k},{k}\n" for k in range(30)), "30 different texts.*Leave the column out"),
    ("a,b\n1,2\n,4\n3,1\n2,2\n", "cell is empty.*choose how to fill missing cells"),
    ("a,b\n1,yes\n2,3\n3,no\n4,1\n", "mixes texts.*choose the kind “classification”"),
    ("a,b\n1,yes\n2,yes\n3,yes\n4,yes\n", "a classifier needs at least two classes"),
    (",".join(f"c{k}" for k in range(600)) + "\n" + ("1," * 599 + "1\n") * 5, "has 600 columns.*up to 500"),
    ("a,b\n1,2\n2,3\n", "has 2 rows"),
    ("a\n1\n2\n3\n4\n5\n", "no column besides the target 'a'"),
    ("a,b\n1,2\n\0,3\n", "NUL byte"),
    ('a,b\n1,"2\n3,4\n', "not valid CSV"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words"), CSV)
def test_a_table_that_cannot_be_learnt_from_is_said_in_words_of_the_page(text: str, words: str) -> None:
    session = Session()
    session.do("step")
    weights = session.training.layers[0].W.data
    try:
        message = session.take("mine.csv", text.encode())["message"]
    except ValueError as error:
        message = str(error)
    assert re.search(words, message, re.S), message
    assert "missing=" not in message
    assert "features=" not in message
    assert "categories=" not in message
    assert "table.csv" not in message
    assert session.training.layers[0].W.data is weights
    assert session.state()["updates"] == 1
    session.do("reset")
    assert session.state()["data"]["name"] == "two moons"


def test_a_table_is_taken_and_another_target_of_it_chosen() -> None:
    session = Session()
    state = session.take("houses.csv", HOUSES.encode())
    assert "rooms" in state["message"]
    assert state["data"]["name"] == "two moons"
    assert state["table"] == {"name": "houses.csv", "columns": ["size", "rooms", "price"]}
    state = session.choose({"dataset": "table", "target": "price", "missing": "median"})
    assert (state["data"]["name"], state["data"]["kind"], state["message"]) == ("houses.csv", "regression", "")
    assert "median of a column replaces" in " ".join(state["data"]["notes"])
    state = session.choose({"dataset": "table", "target": "size", "leave_out": ["rooms"], "missing": "refuse"})
    assert (state["data"]["features"], state["data"]["target"]) == (["price"], "size")
    state = session.choose({"dataset": "moons"})
    assert state["data"]["name"] == "two moons"
    assert session.choose({"dataset": "table"})["data"]["name"] == "houses.csv"
    session.do("step")
    assert b"houses.csv" in session.network()


def test_an_offered_table_does_not_replace_the_current_one() -> None:
    session = Session(Choices(dataset="table"), table(FLOWERS, "flowers.csv"))
    session.do("step")
    assert "cell is empty" in session.take("houses.csv", HOUSES.encode())["message"]
    state = session.choose({"learning_rate": 0.5})
    assert (state["data"]["name"], state["updates"], state["message"]) == ("flowers.csv", 1, "")
    state = session.choose({"hidden": [[3, "relu"]]})
    assert (state["data"]["name"], state["updates"]) == ("flowers.csv", 0)
    state = session.choose({"dataset": "table", "target": "price", "missing": "mean"})
    assert state["data"]["name"] == "houses.csv"


def wait(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def workers() -> int:
    return sum(thread.name == "tinygrad-nn playground" for thread in threads())


@pytest.mark.parametrize("pace", ["batch", "epoch", "full"])
def test_it_trains_in_a_thread_until_it_is_paused(pace: str) -> None:
    session = Session()
    session.do("train", pace)
    wait(lambda: session.training.updates > 1)
    for _ in range(3):  # a thread that was paused does not go on beside a new one
        session.do("pause")
        session.do("train")
    wait(lambda: workers() == 1)
    state = session.do("pause")
    assert not state["running"]
    wait(lambda: workers() == 0)
    assert session.training.updates == state["updates"]


def test_a_training_that_diverges_pauses_itself_and_says_so() -> None:
    session = Session(Choices(hidden=((8, "relu"),), optimizer="sgd", learning_rate=1e6))
    session.do("train", "full")
    wait(lambda: not session.running)
    state = session.state()
    assert "The training diverged" in state["message"]
    assert unpack(session.frame())[0]["message"] == state["message"]
    session.choose({"learning_rate": 0.01})
    assert session.do("step")["message"] == ""


def test_a_training_without_an_open_page_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "AWAY", 0.05)
    session = Session()
    session.do("train")
    wait(lambda: not session.running)
    assert session.message == "Paused, since no page was open for five minutes."
    wait(lambda: workers() == 0)


# -- The server and the command


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    pytest.importorskip("uvicorn")
    from tinygrad_nn.play import play

    with play(Choices(rows=40), open_browser=False) as server:
        yield server.url


def ask(url: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    data = None if body is None else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, data, {"Content-Type": "application/json", **named}), timeout=30
        ) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def at(address: str, path: str, session: str = "s", token: bool = True) -> str:
    base, _, shown = address.partition("?token=")
    url = f"{base.rstrip('/')}{path}{'&' if '?' in path else '?'}session={session}"
    return f"{url}&token={shown}" if token else url


def test_a_training_ends_with_its_server() -> None:
    pytest.importorskip("uvicorn")
    from tinygrad_nn.play import play

    before = workers()
    with play(Choices(rows=40), open_browser=False) as server:
        assert ask(at(server.url, "/do"), {"what": "train", "pace": "full"})[0] == 200
        assert workers() == before + 1
    wait(lambda: workers() == before)


PATHS = ["/", "/frame", "/network", "/script", "/explorer"]


@pytest.mark.parametrize("path", PATHS)
def test_each_path_is_refused_without_the_token_and_from_another_origin(address: str, path: str) -> None:
    assert ask(at(address, path))[0] == 200
    assert ask(at(address, path, token=False))[0] == 403
    assert ask(at(address, path) + "x")[0] == 403
    assert ask(at(address, path), Origin="http://evil.example")[0] == 403
    assert ask(at(address, path), Host="evil.example")[0] == 403
    assert ask(at(address, path), Sec_Fetch_Site="cross-site")[0] == 403


OUTSIDE = ["/../pyproject.toml", "/page.js", "/page/page.html", "/%2e%2e/%2e%2e/x", "//x", "/state"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_leads_to_a_file(address: str, path: str) -> None:
    assert ask(at(address, path))[0] in (403, 404, 405)


def test_two_sessions_are_two_playgrounds_and_one_stays(address: str) -> None:
    for _ in range(3):
        ask(at(address, "/do", "one"), {"what": "step"})
    assert json.loads(ask(at(address, "/state", "one"), {})[1])["updates"] == 3
    assert json.loads(ask(at(address, "/state", "two"), {})[1])["updates"] == 0


@pytest.mark.parametrize(("path", "body", "words"), [
    ("/table", {"name": "a.csv", "base64": "%%%"}, "not base64"),
    ("/table", {"name": 3, "base64": ""}, "A table is sent as"),
    ("/table", {"name": "../../evil.csv", "base64": "YQ=="}, "evil.csv: the file has only its first line"),
    ("/do", {"what": 1}, "not an action"),
    ("/choose", {"rows": "many"}, "points is 'many'"),
    ("/frame?known=x", None, "whole numbers"),
])  # fmt: skip
def test_wrong_requests_get_an_error_text(address: str, path: str, body: Any, words: str) -> None:
    status, reply = ask(at(address, path), body)
    assert status == 400
    assert words in json.loads(reply)["error"]


def test_texts_of_a_table_stay_texts_in_the_page(address: str) -> None:
    import base64

    evil = "</script><img src=x onerror=alert(1)>"
    text = f"{evil},b\n" + "".join(f"{k},{evil if k % 2 else 'plain'}\n" for k in range(20))
    body = {"name": f"{evil}.csv", "base64": base64.b64encode(text.encode()).decode()}
    assert ask(at(address, "/table", "evil"), body)[0] == 200
    page = ask(at(address, "/", "evil"))[1].decode()
    assert "<img src=x" not in page
    assert page.count("</script>") == 2
    assert "{{" not in page.partition("<body>")[0]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_the_command_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(FLOWERS)
    command = [sys.executable, "-m", "tinygrad_nn", "play", "--data", "mine.csv", "--no-browser"]
    root = Path(__file__).resolve().parents[1]
    env = {**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.split()[-1]
            assert line.startswith("The playground is at http://127.0.0.1:")
            state = json.loads(ask(at(url, "/state"), {})[1])
            assert (state["data"]["name"], state["data"]["target"]) == ("mine.csv", "kind")
            process.send_signal(signal.SIGINT)
            assert process.wait(30) in (0, 130)
        finally:
            process.kill()


def test_without_the_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tinygrad_nn.cli import main

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for command in (["play"], ["explore", "--serve", "--epochs", "1", "--hidden", "2", "--quiet"]):
        assert main([*command, "--no-browser"]) == 2
        said = capsys.readouterr().err.splitlines()
        assert said == ["tinygrad-nn: error: a live page needs: pip install 'tinygrad-nn[play]'."]


@pytest.mark.parametrize(("arguments", "words"), [
    (["--data", "nowhere.csv"], "nowhere.csv"),
    (["--dataset", "moon"], "Did you mean 'moons'"),
    (["--dataset", "iris", "--data", "x.csv"], "two data sets"),
    (["--target", "y"], "belongs to a table"),
    (["--dataset", "table"], "--data FILE.csv"),
    (["--seed", "-1"], "seed is -1"),
    (["--port", "99999"], "a number from 1 to 65535"),
])  # fmt: skip
def test_wrong_arguments_are_reported(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    from tinygrad_nn.cli import main

    assert main(["play", *arguments]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
