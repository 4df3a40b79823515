"""Each part of a saved state: what a training wrote is read back, anything else is refused, naming the part."""

import copy
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tinygrad_nn.solver.fingerprint import PYTHON, environment
from tinygrad_nn.solver.state import StateReader, _is_same_kind

Array = Any
W = np.ones((2, 3), np.float32)
RUN = "0123456789abcdef"
RNG = np.random.default_rng(3)
BITS: Any = RNG.bit_generator.state
HISTORY = {"history/loss": np.array([3.0, 2.0]), "history/val_loss": np.zeros(0), "history/metrics/r2": np.array([0.5])}
M, V, COUNT = {"array": "m"}, {"array": "v"}, {"number": "4", "kind": "int"}
ADAM = [["W", [M, V, COUNT]], ["b", None]]
RIGHT: dict[str, Any] = {
    "python": PYTHON, "surroundings": environment(), "epoch": 2, "updates": 8, "schedule": None, "ended": "",
    "run": RUN, "setup": {}, "metrics": ["r2"], "files": {"weights": {"name": "weights-2.safetensors", "sha256": "ab"}},
    "rngs": [BITS], "stopping": ["0.25", 1, 1], "optimizer": ADAM,
}  # fmt: skip
ARRAYS = {**HISTORY, "m": W, "v": W}


def read(part: str, reader: StateReader) -> Any:
    """What a part of a state is read as."""
    now = [("W", (W, W, 3)), ("b", None)]
    rules = [(SimpleNamespace(name="adam", init=lambda p: (np.zeros_like(p), np.zeros_like(p), 0)), None)] * 2
    task: Any = SimpleNamespace(states=lambda: [s for _, s in now], names=[n for n, _ in now], rules=rules,
                                parameters=[SimpleNamespace(data=W), SimpleNamespace(data=W[0])])  # fmt: skip
    calls = {
        "python": reader.python, "surroundings": reader.surroundings, "history": reader.history,
        "files": lambda: reader.files(2, 0), "best": lambda: reader.files(2, 1),
        "rngs": lambda: reader.generators([np.random.default_rng(0)]), "stopping": lambda: reader.stopping(2),
        "optimizer": lambda: reader.optimizer(task),
    }  # fmt: skip
    return calls.get(part, reader.progress)()


def changed(path: str, value: Any) -> StateReader:
    """A state with one part changed; a path of keys, of an array its key."""
    text, arrays = copy.deepcopy(RIGHT), dict(ARRAYS)
    if path in arrays:
        arrays[path] = value
        return StateReader(Path("state"), text, arrays)
    *way, last = path.split("/")
    place: Any = text
    for key in way:
        place = place[int(key) if isinstance(place, list) else key]
    place[int(last) if isinstance(place, list) else last] = value
    return StateReader(Path("state"), text, arrays)


@pytest.mark.parametrize(
    ("part", "path", "value", "expected"),
    [
        ("python", "python", "3.14", "3.14"),
        ("epoch", "epoch", 0, (0, 8, None, "", RUN)), ("epoch", "epoch", 2**62 - 1, (2**62 - 1, 8, None, "", RUN)),
        ("updates", "updates", 1, (2, 1, None, "", RUN)),
        ("ended", "ended", "early stopping", (2, 8, None, "early stopping", RUN)),
        ("ended", "ended", "a callback", (2, 8, None, "a callback", RUN)),
        ("stopping", "stopping", [None, 0, 0], (None, 0, 0)), ("stopping", "stopping", ["0.25", 2, 2], (0.25, 2, 2)),
        ("stopping", "stopping", ["inf", 1, 0], (math.inf, 1, 0)),
        ("files", "epoch", 2, {"weights": ("weights-2.safetensors", "ab")}),
    ],
)  # fmt: skip
def test_a_part_that_a_training_leaves(part: str, path: str, value: Any, expected: Any) -> None:
    found = read(part, changed(path, value))
    found = (found.epoch, found.updates, found.schedule, found.ended, found.run) if hasattr(found, "ended") else found
    assert found == expected


def test_a_plateau_a_history_generators_and_an_optimizer() -> None:
    for best in (None, 1, 0.5, -2.5):
        reader = changed("schedule", [best, 0, 2, 1])
        reader.text["setup"] = {"schedule": "Plateau(3)"}
        assert reader.progress().schedule == [best, 0, 2, 1]
    history = changed("epoch", 2).history()
    assert (history.loss, history.val_loss, history.metrics) == ([3.0, 2.0], [], {"r2": [0.5]})
    assert changed("history/val_loss", np.array([1.0, 4.0])).history().val_loss == [1.0, 4.0]
    assert read("rngs", changed("epoch", 2)) == [BITS]
    (m, v, count), none = read("optimizer", changed("epoch", 2))
    assert (m is W, v is W, count, none) == (True, True, 4, None)
    two = {"weights": {"name": "weights-2.safetensors", "sha256": "ab"},
           "best": {"name": "best-1.safetensors", "sha256": "cd"}}  # fmt: skip
    assert read("best", changed("files", two)) == {
        "weights": ("weights-2.safetensors", "ab"), "best": ("best-1.safetensors", "cd"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found", "alike"),
    [
        (W, W + 1, True), (W, W[0], False), (W, W.astype(float), False), (W, 0.0, False), (0.0, W, False),
        (W, None, False), (None, W, False), (None, None, True), (None, 0.0, False), (0.0, None, False),
        (None, 0, False), (0, None, False), (0.0, -1.5, True), (0.0, math.inf, False), (0.0, math.nan, False),
        (0, 0, True), (0, -1, False), (0, 2**62 - 1, True), (0, 2**62, False), (np.int64(0), -1, False),
        (np.float32(0), -1.0, True), (0.0, np.float64(2.0), True),
    ],
)  # fmt: skip
def test_states_of_an_optimizer_of_the_same_kind(wanted: Any, found: Any, alike: bool) -> None:
    assert _is_same_kind(wanted, found) is alike


@pytest.mark.parametrize("kind", ["int", "float", "bool", "NoneType"])
def test_numbers_come_back_as_they_were(kind: str) -> None:
    number = {"int": 7, "float": 0.1, "bool": True, "NoneType": None}[kind]
    reader = changed("epoch", 2)
    first, second = reader.together("W", [{"number": repr(number), "kind": kind}, {"array": "m"}])
    assert (type(first), first, second is W) == (type(number), number, True)
    assert reader.together("W", None) is None
    assert reader.together("W", [{"number": "False", "kind": "bool"}]) == (False,)
    assert reader.together("W", [{"number": "0.25".ljust(39, "0"), "kind": "float"}]) == (0.25,)
    with pytest.raises(ValueError, match="optimizer of W is "):
        reader.together("W", [{"number": "0.25".ljust(40, "0"), "kind": "float"}])


@pytest.mark.parametrize(
    ("part", "path", "value", "called"),
    [
        ("python", "python", 3, "python"), ("python", "python", "3", "python"), ("python", "python", "3.1x", "python"),
        ("surroundings", "surroundings", [], "surroundings"),
        ("surroundings", "surroundings", {"x": "y"}, "surroundings"),
        ("surroundings", f"surroundings/{next(iter(environment()))}", 3, "surroundings"),
        *[(part, part, bad, part) for part in ("epoch", "updates") for bad in (-1, 2**62, 1.0, True, None, "2")],
        ("ended", "ended", "x", "ended"), ("ended", "ended", None, "ended"),
        ("ended", "ended", [""], "ended"),
        ("run", "run", RUN[1:], "run"), ("run", "run", RUN + "0", "run"), ("run", "run", 3, "run"),
        ("run", "run", RUN.upper(), "run"),
        ("schedule", "schedule", [1, 0, 0, 0], "schedule"),
        ("setup", "setup", [], "setup"), ("setup", "setup", {"schedule": "Plateau("}, "schedule"),
        ("history", "metrics", "r2", "metrics"), ("history", "metrics", [3], "metrics"),
        ("history", "metrics", [], "metrics"), ("history", "metrics", ["r2", "x"], "history of metrics/x"),
        ("history", "history/loss", np.zeros(3), "history of loss"), ("history", "history/loss", np.zeros(1), "epoch"),
        ("history", "history/loss", np.zeros(2, np.float32), "history of loss"),
        ("history", "history/loss", np.zeros((2, 1)), "history of loss"),
        ("history", "history/val_loss", np.zeros(1), "history of val_loss"),
        *[("files", "files", bad, "files") for bad in
          ([], {}, {"weights": "x"}, {"weights": {"name": "weights-1.safetensors", "sha256": "ab"}},
           {"weights": {"name": "weights-2.safetensors", "sha256": 3}}, {"weights": {"name": "weights-2.safetensors"}},
           {"weights": {"name": "weights-2.safetensors", "sha256": "ab", "x": 1}},
           {"weights": {"name": "weights-2.safetensors", "sha256": "ab"}, "x": {"name": "y", "sha256": "ab"}})],
        ("best", "epoch", 2, "files"),
        ("rngs", "rngs", {}, "rngs"), ("rngs", "rngs", [3], "rngs"), ("rngs", "rngs/0/bit_generator", 3, "rngs"),
        ("rngs", "rngs/0/state", 3, "rngs"), ("rngs", "rngs/0/has_uint32", "x", "rngs"),
        ("rngs", "rngs/0/has_uint32", 2.5, "rngs"), ("rngs", "rngs/0/state/state", -1, "rngs"),
        *[("stopping", "stopping", bad, "stopping") for bad in
          ("x", 3, [None, 0], [None, 0, 0, 0], ["x", 1, 0], ["nan", 1, 0], [0.25, 1, 0], [None, 1, 0], ["0.25", 0, 0],
           ["0.25", 3, 0], ["0.25", 1, 3], ["0.25", -1, 0], ["0.25", 1, -1])],
        *[("optimizer", "optimizer", bad, "optimizer") for bad in ({}, [3], [["W"]], [["W", None, None]])],
        *[("optimizer", "optimizer/0/1", bad, "optimizer of W") for bad in
          (3, [3], [{}], [{"array": "x"}], [{"number": "4", "kind": "x"}], [{"number": "x", "kind": "int"}],
           [{"number": 4, "kind": "int"}], [{"number": "4" * 41, "kind": "int"}], [M, V],
           [M, V, COUNT, COUNT], [COUNT, V, COUNT], [M, V, {"number": "-1", "kind": "int"}],
           [M, V, {"number": "inf", "kind": "float"}],
           [M, V, {"number": str(2**62), "kind": "int"}],
           [M, V, {"number": "None", "kind": "NoneType"}])],
        ("optimizer", "m", np.ones((2, 3)), "optimizer of W"), ("optimizer", "v", W[:1], "optimizer of W"),
    ],
)  # fmt: skip
def test_a_part_that_no_training_leaves_is_named(part: str, path: str, value: Any, called: str) -> None:
    with pytest.raises(ValueError, match=rf"^state holds no state that a training wrote: {called} is "):
        read(part, changed(path, value))


@pytest.mark.parametrize(
    "bad",
    ["x", 3, None, dict.fromkeys("abcd", 1), [1, 0, 0], [1, 0, 0, 0, 0], [math.inf, 0, 0, 0], [math.nan, 0, 0, 0],
     ["x", 0, 0, 0], [True, 0, 0, 0], [1, -1, 0, 0], [1, 0, -1, 0], [1, 0, 0, 0.5], [1, 0, 0, None]],
)  # fmt: skip
def test_what_no_plateau_remembers_is_named(bad: Any) -> None:
    reader = changed("schedule", bad)
    reader.text["setup"] = {"schedule": "Plateau(3)"}
    with pytest.raises(ValueError, match=r"^state holds no state that a training wrote: schedule is "):
        reader.progress()


@pytest.mark.parametrize("name", RIGHT)
def test_a_part_that_is_missing_is_named(name: str) -> None:
    reader = changed("epoch", 2)
    del reader.text[name]
    parts = {name: name, "updates": "epoch", "schedule": "epoch", "ended": "epoch", "run": "epoch", "setup": "epoch",
             "metrics": "history"}  # fmt: skip
    with pytest.raises(ValueError, match=f"it has no {name}"):
        read(parts[name], reader)


def test_other_generators_and_other_parameters_are_named() -> None:
    with pytest.raises(ValueError, match=r"come from PCG64, and rng= and the batches give PCG64, MT19937\. Pass"):
        changed("epoch", 2).generators([RNG, np.random.Generator(np.random.MT19937(0))])
    with pytest.raises(ValueError, match="states of other parameters"):
        read("optimizer", changed("optimizer", [ADAM[1], ADAM[0]]))
