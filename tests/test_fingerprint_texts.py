"""The description of everything that decides the results of a training: each kind of value, in a checkpoint."""

import functools
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Layer, Settings, Solver, Tensor, data_loader, fit, nn
from tinygrad_nn.files.safetensors import seal, unseal
from tinygrad_nn.solver import Checkpoint, EarlyStopping
from tinygrad_nn.solver.batches import Batches, Rows
from tinygrad_nn.solver.checkpoint import STATE
from tinygrad_nn.solver.fingerprint import _data, _is_plain, _plain_options, differences, in_words, seed

X, Y = np.arange(6.0).reshape(2, 3), np.array([[0.5, -1.0], [2.0, 0.25]])
CODE = r"\[code [0-9a-f]{12}\]"


class Scaled:
    """An object that can be called."""

    def __init__(self, k: float) -> None:
        self.k, self.array, self.none = k, np.ones(2), None

    def __call__(self, x: Any) -> Any:
        return self.k * x

    def other(self, x: Any) -> Any:
        return x


class Silent:
    """One that cannot."""


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "True"), (3, "3"), (0.1, "0.1"), (1 + 2j, "(1+2j)"), ("a b", "a b"), (b"x", "b'x'"), (None, "None"),
        (np.float32(0.5), "0.5"), (np.int64(3), "3"), (np.bool_(True), "True"), (np.str_("a"), "a"),
        ((1, [2.5, "a"]), "(1, (2.5, a))"), ({"a": 1, 2: (3,)}, "{'a': 1, 2: (3)}"),
        (slice(1, None, 2), "(1, None, 2)"),
        ([], "()"), ({}, "{}"), ([[[[1]]]], "((((1))))"), ([[[[[1]]]]], "((((list))))"),
        ({1: {2: {3: {4: {5: 6}}}}}, "{1: {2: {3: {4: dict}}}}"), ([[[[np.sin]]]], "((((ufunc))))"),
        (Tensor(X), "Tensor"), (nn.Linear(3, 2), "Linear"), (np.sin, "sin"), (nn.losses.huber, "huber"),
        (float, "float"), (Silent, "Silent"), (Silent(), "Silent"),
        (functools.partial(nn.losses.huber, 2, delta=1.0), "huber(2){'delta': 1.0}"),
        (functools.partial(np.sin), "sin(){}"), (nn.Linear(3, 2).forward, "Linear.Linear.forward"),
    ],
)  # fmt: skip
def test_a_value_in_words(value: Any, text: str) -> None:
    assert in_words(value) == text


def test_callables_are_described_by_options_and_code() -> None:
    assert re.fullmatch(rf"Scaled\{{'k': 2\.0\}}Scaled\.__call__ {CODE}", in_words(Scaled(2.0)))
    assert re.fullmatch(
        rf"Scaled\{{'k': 2\.0\}}Scaled\.__call__ {CODE}\.Scaled\.other {CODE}", in_words(Scaled(2.0).other)
    )
    assert re.fullmatch(rf"test_\w+\.<locals>\.<lambda> {CODE}", in_words(lambda x: x))
    assert in_words(Scaled(2.0)) != in_words(Scaled(3.0))


def test_an_array_is_described_by_dtype_shape_and_digest() -> None:
    content = f"\0{X.dtype.str}\0{X.shape}\0".encode() + X.tobytes()
    assert in_words([[[[X]]]]) == f"((((float64 (2, 3) sha256 {hashlib.sha256(content).hexdigest()[:16]}))))"


GLOBAL = 2.0


def made(source: str, **space: Any) -> Any:
    """A function as a person's program makes it."""
    space["__name__"] = "program"
    exec(source, space)
    return space["f"]


def closes(value: Any) -> Callable[[Any], Any]:
    return lambda x: x * value


OTHER: dict[str, tuple[Any, Any]] = {
    "a number": (made("def f(x): return x * 2"), made("def f(x): return x * 3")),
    "an operation": (made("def f(x): return x + 2"), made("def f(x): return x - 2")),
    "a name": (made("def f(x): return x.sum()"), made("def f(x): return x.max()")),
    "a default": (made("def f(x, k=1): return x * k"), made("def f(x, k=2): return x * k")),
    "a default by name": (made("def f(x, *, k=1): return x * k"), made("def f(x, *, k=2): return x * k")),
    "a global number": (made("def f(x): return x * k", k=1), made("def f(x): return x * k", k=2)),
    "a global array": (made("def f(x): return x * k", k=X), made("def f(x): return x * k", k=X + 1)),
    "a global tuple": (made("def f(x): return x * k[0]", k=(1, "a")), made("def f(x): return x * k[0]", k=(2, "a"))),
    "a global function": (made("def f(x): return k(x)", k=np.sin), made("def f(x): return k(x)", k=np.cos)),
    "a global of an inner function": (
        made("def f(x): return (lambda y: y * k)(x)", k=1), made("def f(x): return (lambda y: y * k)(x)", k=2),
    ),
    "a closed over number": (closes(1.0), closes(2.0)),
    "a closed over array": (closes(X), closes(X + 1)),
    "a closed over function": (closes(np.sin), closes(np.cos)),
}  # fmt: skip
ALIKE: dict[str, tuple[Any, Any]] = {
    "the same": (made("def f(x): return x * k", k=(X > 0).all()), made("def f(x): return x * k", k=(X > 0).all())),
    "a docstring": (made("def f(x):\n    'one'\n    return x"), made("def f(x):\n    'two'\n    return x")),
    "a line": (made("def f(x): return x"), made("\n\ndef f(x): return x")),
    "a global that is not read": (made("def f(x): return x", k=1), made("def f(x): return x", k=2)),
    "a list, which changes unseen": (closes([1]), closes([2])),
    "a class": (made("def f(x): return k", k=Silent), made("def f(x): return k", k=Scaled)),
    "a Tensor, which is trained": (closes(Tensor(X)), closes(Tensor(Y))),
}


@pytest.mark.parametrize("what", OTHER)
def test_functions_that_compute_other_numbers_have_other_words(what: str) -> None:
    assert in_words(OTHER[what][0]) != in_words(OTHER[what][1])


@pytest.mark.parametrize("what", ALIKE)
def test_functions_that_compute_the_same_have_the_same_words(what: str) -> None:
    assert in_words(ALIKE[what][0]) == in_words(ALIKE[what][1])


def test_options_are_plain_attributes_in_order() -> None:
    class Part(nn.Module):
        buffer_names = ("seen",)

        def __init__(self) -> None:
            self.z, self.a, self.flag, self.none, self.seen = 1.0, (1, ("x", np.float32(2))), False, None, 5.0
            self.training, self.rng, self._names = True, 3, "names"
            self.act, self.array, self.inner, self.kind, self.table = np.tanh, X, nn.Tanh(), float, {"a": 1}
            self.parts, self.mixed = [1, "a"], [1, X]

    found = _plain_options(Part())
    assert list(found) == ["a", "act", "flag", "parts", "z"]
    assert found == {"a": (1, ("x", np.float32(2))), "act": np.tanh, "flag": False, "parts": [1, "a"], "z": 1.0}
    assert _plain_options(3) == {}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (1, True), (None, True), ("a", True), (b"a", True), (1j, True), (np.float64(1), True), (np.sin, True),
        ([], True), ((1, [2, ("a", np.sin)]), True), ((1, [X]), False), (X, False), (Tensor(X), False),
        (nn.Tanh(), False),
        (float, False), ({}, False), ([nn.Tanh()], False),
    ],
)  # fmt: skip
def test_plain_values(value: Any, plain: bool) -> None:
    assert _is_plain(value) is plain


@pytest.mark.parametrize(
    ("generator", "text"),
    [
        (np.random.default_rng(3), "3"), (np.random.default_rng([1, 2]), "(1, 2)"),
        (np.random.default_rng(), "drawn by the system"), (np.random.default_rng(2**96 - 1), str(2**96 - 1)),
        (np.random.default_rng(2**96), "drawn by the system"), (np.random.default_rng(5).spawn(2)[1], "5 spawned (1,)"),
        (np.random.default_rng(5).spawn(1)[0].spawn(3)[2], "5 spawned (0, 2)"),
        (np.random.Generator(np.random.MT19937(7)), "7"),
    ],
)  # fmt: skip
def test_the_seed_text_of_a_generator_is_independent_of_draws(generator: Any, text: str) -> None:
    assert seed(generator) == text
    generator.random(3)
    assert seed(generator) == text


def test_what_differs_between_two_setups() -> None:
    then = {"a": "1", "gone": "x", "b": "f [code 0123456789ab]", "same": "s"}
    now = {"new": "y", "b": "f [code ba9876543210]", "a": "2", "same": "s"}
    assert list(differences(then, now, True)) == [
        ("new", "None", "y"), ("b", then["b"], now["b"]), ("a", "1", "2"), ("gone", "x", "None"),
    ]  # fmt: skip
    assert [key for key, *_ in differences(then, now, False)] == ["new", "a", "gone"]
    assert not list(differences(then, dict(then), True))


def test_data_in_words() -> None:
    def digest(*arrays: Any) -> str:
        content = b"".join(f"\0{a.dtype.str}\0{a.shape}\0".encode() + a.tobytes() for a in arrays)
        return hashlib.sha256(content).hexdigest()[:16]

    class Loader:
        def __init__(self, length: Any) -> None:
            self.length = length

        def __iter__(self) -> Any:
            return iter([(X, Y)])

    class Sized(Loader):
        def __len__(self) -> int:
            if self.length is None:
                raise TypeError("no length")
            return self.length  # type: ignore[no-any-return]

    both = digest(X, Y)
    assert _data(Rows(X, Y, 2), 9) == f"float64 (2, 3), float64 (2, 2), nested (0, 1), sha256 {both}"
    assert _data(Rows({"a": X}, Y, 2), 9).startswith("float64 (2, 3), float64 (2, 2), nested ({'a': 0}, 1), sha256 ")
    loader = data_loader(X, Y, 1, shuffle=True, rng=0)
    assert _data(Batches("fit", loader), 9) == (
        f"float64 (2, 3), float64 (2, 2), batches of 1, shuffle=True, sha256 {both}"
    )
    assert _data(Batches("fit", [(X, Y), (X, 3)]), 9) == f"list of 2 batches, sha256 {digest(X, Y, X, np.asarray(3))}"
    assert _data(Batches("fit", ((X, Y),)), 9) == f"tuple of 1 batches, sha256 {both}"
    name = "test_data_in_words.<locals>."
    assert [_data(Batches("fit", kind), 9) for kind in (Loader(3), Sized(3), Sized(None))] == [
        f"{name}Loader", f"{name}Sized of 3 batches", f"{name}Sized",
    ]  # fmt: skip


# -- The checkpoint of a training


def train(folder: Any, epochs: int, **more: Any) -> Any:
    given: dict[str, Any] = {"solver": Solver("mse", "adam", 0.1), "settings": Settings(epochs, 2), "rng": 0, **more}
    return fit([Layer(3, 2, rng=0)], X, Y, checkpoint=folder, **given)


@pytest.mark.parametrize("every", [0, -1, True, 2.0, "3", None])
def test_a_checkpoint_counts_epochs(every: Any, tmp_path: Path) -> None:
    assert Checkpoint(tmp_path).every == 1
    with pytest.raises(ValueError, match=rf"^Checkpoint: every={every!r}; it counts epochs, at least 1\.$"):
        Checkpoint(tmp_path, every)


def test_it_is_written_at_its_interval_and_at_the_end(tmp_path: Path) -> None:
    def names() -> list[str]:
        return sorted(file.name for file in tmp_path.iterdir() if file.name.startswith("weights"))

    seen = []
    train(Checkpoint(tmp_path, 2), 5, callbacks=[lambda epoch: seen.append(names())])
    two, four, five = ([f"weights-{k}.safetensors"] for k in (2, 4, 5))
    assert [*seen, names()] == [[], [], two, two, four, five]
    more = {"callbacks": [lambda epoch: epoch.number == 7], "resume": True}
    train(Checkpoint(tmp_path, 9), 99, **more)  # a callback ends it
    assert names() == ["weights-7.safetensors"]
    assert len(train(tmp_path, 99, resume=True)) == 7
    stopping = {"early_stopping": EarlyStopping(1, 99.0, "loss"), "resume": True}
    train(Checkpoint(tmp_path / "other", 9), 99, **stopping)
    assert sorted(file.name for file in (tmp_path / "other").iterdir()) == [
        "best-1.safetensors", STATE, "weights-2.safetensors",
    ]  # fmt: skip


def test_a_folder_with_a_checkpoint_is_not_written_over(tmp_path: Path) -> None:
    train(tmp_path, 1)
    message = (
        f"fit: {tmp_path} holds the checkpoint of a training. Write resume=True to continue it, or name another "
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}folder\\.$"):
        train(tmp_path, 2)


def test_another_environment_warns_with_the_remedy(tmp_path: Path) -> None:
    train(tmp_path, 1)
    arrays, text, _ = unseal("training state", tmp_path / STATE)
    state = json.loads(text)
    here = dict(state["surroundings"])
    edits = {"BLAS threads": "start Python with OPENBLAS_NUM_THREADS=77", "NumPy": "install NumPy 0.9"}
    for changed in ({"BLAS threads": "77"}, {"NumPy": "0.9"}, {"BLAS threads": "77", "NumPy": "0.9"}):
        state["surroundings"] = {**here, **changed}
        (tmp_path / STATE).write_bytes(seal("training state", arrays, json.dumps(state)).content)
        said = "; ".join(f"{key}: {old} then, {here[key]} now" for key, old in changed.items())
        edit = " and ".join(edits[key] for key in changed)
        message = (
            f"fit: {tmp_path} continues in a different environment ({said}): the training is correct, but not bit for "
            f"bit the same as one without interruption. For that {edit}."
        )
        with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
            train(tmp_path, 1, resume=True)


def test_a_checkpoint_of_another_version_is_named(tmp_path: Path) -> None:
    train(tmp_path, 1)
    arrays, text, _ = unseal("training state", tmp_path / STATE)
    state = {**json.loads(text), "layout": 2}
    (tmp_path / STATE).write_bytes(seal("training state", arrays, json.dumps(state)).content)
    message = (f"{tmp_path} was written by another version of tinygrad_nn. Continue with that version, or name "
               "another folder.")  # fmt: skip
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        train(tmp_path, 2, resume=True)


def mae(y: Any, z: Any) -> float:
    return float(abs(y - z).mean())


def twice(y: Any, z: Any) -> float:
    return float(2 * abs(y - z).mean())


VAL = {"x_val": X, "y_val": Y}


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"early_stopping": EarlyStopping(3, monitor="loss")}, {"early_stopping": EarlyStopping(4, monitor="loss")},
         r"its early_stopping was EarlyStopping\(patience=3, .* and is EarlyStopping\(patience=4, "),
        ({}, {"early_stopping": EarlyStopping(4, monitor="loss")}, "its early_stopping was None, and is EarlyStopping"),
        ({"early_stopping": EarlyStopping(9, monitor="mae"), "metrics": {"mae": mae}},
         {"early_stopping": EarlyStopping(9, monitor="mae"), "metrics": {"mae": twice}},
         r"its monitored metric was mae \[code \w{12}\], and is twice \[code \w{12}\] now"),
        ({"early_stopping": EarlyStopping(9, monitor="val_mae"), "metrics": {"mae": mae}, **VAL},
         {"early_stopping": EarlyStopping(9, monitor="val_mae"), "metrics": {"mae": twice}, **VAL},
         r"its monitored metric was mae \[code \w{12}\], and is twice"),
        ({"solver": Solver("mse", clip_value=1.0)}, {"solver": Solver("mse", clip_value=2.0)},
         r"its clip_value was 1\.0, and is 2\.0 now"),
        ({}, {"compile": "numpy"}, "its compile was None, and is 'numpy' now"),
    ],
)  # fmt: skip
def test_what_else_decides_the_numbers_of_a_training(
    first: dict[str, Any], second: dict[str, Any], message: str, tmp_path: Path
) -> None:
    train(tmp_path, 1, **first)
    with pytest.raises(ValueError, match=message):
        train(tmp_path, 2, resume=True, **second)


def test_what_decides_no_number_may_change(tmp_path: Path) -> None:
    stopping = {"early_stopping": EarlyStopping(9, monitor="loss")}
    train(tmp_path, 1, metrics={"mae": mae}, **stopping)
    train(tmp_path, 2, metrics={"mae": twice}, resume=True, callbacks=[lambda epoch: None], **stopping)
    assert (tmp_path / "weights-2.safetensors").exists()
