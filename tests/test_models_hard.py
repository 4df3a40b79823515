"""Hard programs for models, training and files of weights: each row is one that once went wrong."""

import functools
import json
import re
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import (
    FeedForward,
    Layer,
    Predict,
    Settings,
    Solver,
    Tensor,
    TrainNN,
    data_loader,
    fit,
    graph_loss,
    io,
    optim,
)
from tinygrad_nn.files.safetensors import read
from tinygrad_nn.nn import Dropout, Linear, Module, Parallel, Sequential
from tinygrad_nn.solver import EarlyStopping
from tinygrad_nn.solver.fingerprint import in_words

Array = Any
ADAM = Solver("mse", "adam", 0.02)
TWICE = Settings(2, 5)


def table(rows: int = 24) -> tuple[Array, Array]:
    x = np.random.default_rng(7).normal(size=(rows, 3))
    return x, np.sin(x[:, :1])


def one_hot() -> tuple[Array, Array]:
    x, _ = table()
    return x, np.eye(3)[(x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)]


def network() -> Sequential:
    return Sequential(Linear(3, 8, rng=1), np.tanh, Linear(8, 1, rng=2))


def weights(model: Module) -> list[bytes]:
    return [array.tobytes() for array in model.state_dict().values()]


# ---- modules


class Scaled(Sequential):
    """A row of parts with a parameter and a forward of its own."""

    def __init__(self) -> None:
        super().__init__(Layer(3, 3, "softmax", rng=0))
        self.scale = Tensor(np.full(3, 0.5))

    def forward(self, x: Any) -> Any:
        return super().forward(x) * self.scale


class Tripled(Layer):
    def forward(self, x: Any) -> Any:
        return super().forward(x) * 3


class Joined(Module):
    def __init__(self) -> None:
        self.weight = Tensor(np.ones(2))

    def forward(self, parts: Any) -> Any:
        return parts[0] * self.weight + parts[1]


class Named(Module):
    def __init__(self) -> None:
        self.parts = {"a.b": Linear(2, 2, rng=0), "a": {"b": Linear(2, 2, rng=1)}}


class Counting(Module):
    buffer_names = ("calls",)

    def __init__(self) -> None:
        self.calls = 3
        self.weight = Tensor(np.ones(2))


def test_parameters_and_forwards_of_subclasses_are_used() -> None:
    x, y = one_hot()
    assert list(Scaled().state_dict()) == ["scale", "0.W", "0.b"]
    assert next(iter(Parallel(Linear(2, 2), Linear(2, 2), join=Joined()).state_dict())) == "join.weight"
    for model in (Scaled(), [Tripled(3, 3, "softmax", rng=0)]):
        call = model if isinstance(model, Module) else model[0]
        wanted = call(x).data
        assert np.allclose(Predict(model, x), wanted)
        assert np.allclose(FeedForward(model, x).a[-1], wanted)
        expected = -(y * np.log(wanted)).sum() / len(x)
        assert graph_loss(model, x, y, solver=Solver("crossentropy")).item() == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"part 1 of 1, Tripled.* has no equations written by hand"):
        TrainNN([Tripled(3, 3, "softmax", rng=0)], x, y, solver=Solver("crossentropy"), gradients="manual")


def test_a_part_that_refers_back_is_shown_and_visited_once() -> None:
    model = Sequential(Linear(2, 2, rng=0))
    model[0].owner = model
    seen: list[Module] = []
    model.apply(seen.append)
    assert seen == [model[0], model]
    assert "owner: ..." in repr(model)


class Held(Linear):
    """A part that stays in use."""

    def train(self, mode: bool = True) -> Any:
        return super().train(False)


def test_a_part_may_say_itself_what_training_means() -> None:
    model = Sequential(Held(2, 2, rng=0), Dropout(0.5))
    assert [part.training for part in model.train().modules()] == [True, False, True]


class Twice(Module):
    def __init__(self, inner: Module) -> None:
        self.one, self.other = inner, inner


def test_a_part_that_2_to_the_60_paths_lead_to_is_found_at_once() -> None:
    model: Module = Linear(2, 2, rng=0)
    for _ in range(60):
        model = Twice(model)
    path = "one." * 60 + "weight"
    assert next(iter(model.state_dict())) == path
    model.eval().load_state_dict(model.state_dict())
    assert len(repr(model.train().freeze())) > 0


def test_a_slice_of_a_sequential_keeps_names_and_is_no_subclass() -> None:
    model = Sequential({"one": Linear(2, 2, rng=0), "two": Linear(2, 2, rng=1)})
    assert list(model[1:].state_dict()) == ["two.weight", "two.bias"]
    assert type(Scaled()[:1]) is Sequential


class Looking(Module):
    """It keeps its result, for whoever wants to look at it."""

    def __init__(self) -> None:
        self.part = Linear(3, 1, rng=0)
        self.fixed = Tensor(np.ones(1), requires_grad=False, name="fixed")

    def forward(self, x: Any) -> Any:
        self.last = self.part(x) * self.fixed
        return self.last


def test_what_forward_leaves_behind_is_no_parameter(tmp_path: Path) -> None:
    x, y = table()
    for _ in range(2):
        model = Looking()
        fit(model, x, y, solver=ADAM, settings=Settings(2, 5), rng=0, checkpoint=tmp_path, resume=True)
        Predict(model, x)
        assert list(model.state_dict()) == ["fixed", "part.weight", "part.bias"]
        assert list(model.freeze().state_dict()) == ["fixed", "part.weight", "part.bias"]


def test_two_parameters_of_one_name_are_refused_rather_than_lost() -> None:
    with pytest.raises(ValueError, match=r"Named: two parameters are called parts\.a\.b\.weight"):
        Named().state_dict()


def test_a_buffer_may_be_a_number() -> None:
    model = Counting()
    model.load_state_dict({"weight": [1.0, 2.0], "calls": 7})
    assert model.calls == 7
    assert Counting().state_dict()["calls"] == 3


def test_a_state_that_is_a_path_is_refused() -> None:
    with pytest.raises(TypeError, match=r"A file is read by tinygrad_nn\.io\.load_weights"):
        network().load_state_dict("weights.safetensors")


class Tied(Module):
    def __init__(self) -> None:
        self.one, self.other = Linear(2, 2, rng=0), Linear(2, 2, rng=1)
        self.other.weight = self.one.weight


def test_a_state_with_two_values_for_a_tied_array_is_refused() -> None:
    model, state = Tied(), Sequential({"one": Linear(2, 2, rng=2), "other": Linear(2, 2, rng=3)}).state_dict()
    before = weights(model)
    with pytest.raises(ValueError, match=r"one\.weight and other\.weight are one array here and differ in the state"):
        model.load_state_dict(state)
    assert weights(model) == before
    model.load_state_dict({**state, "other.weight": state["one.weight"]})
    assert (model.other.weight.data == state["one.weight"]).all()


def test_a_state_of_which_nothing_fits_is_refused_even_if_not_strict() -> None:
    with pytest.raises(ValueError, match=r"no name is in both; here, names are such as 0\.weight"):
        network().load_state_dict({"encoder.weight": np.ones(3)}, strict=False)


def test_new_weights_forget_what_an_optimizer_remembers() -> None:
    x, y = table()
    for model in (network(), [Layer(3, 1, rng=0)]):
        whole = model if isinstance(model, Module) else Sequential(*model)
        start, ends = whole.state_dict(), []
        for _ in range(2):
            whole.load_state_dict(start)
            fit(model, x, y, solver=ADAM, settings=TWICE, rng=0)
            ends.append(weights(whole))
        assert ends[0] == ends[1]


def test_an_error_that_makes_its_text_itself_gets_the_path_as_a_note() -> None:
    model = Sequential(Linear(3, 3, rng=0), lambda x: x.sum(axis=3))
    with pytest.raises(np.exceptions.AxisError) as caught:
        model(table()[0])
    assert caught.value.__notes__ == ["in Sequential.1 Lambda"]


def test_dropout_scales_whole_numbers_too() -> None:
    assert set(Dropout(0.25, rng=0)(np.ones(50, int))) == {0.0, 1 / 0.75}


def test_predictions_in_many_threads_do_not_switch_each_other(rng: np.random.Generator) -> None:
    x, model = rng.normal(size=(40, 3)), Sequential(Linear(3, 8, rng=1), Dropout(0.5), Linear(8, 1, rng=2))
    wanted = Predict(model, x)
    with ThreadPoolExecutor(4) as pool:
        assert all((found == wanted).all() for found in pool.map(lambda _: Predict(model, x), range(200)))
    assert all(part.training for part in model.modules())


# ---- data of other forms


class Pair(Module):
    """Two inputs in a dict, and a number beside the prediction."""

    def __init__(self) -> None:
        self.a, self.b = Linear(3, 1, rng=0), Linear(2, 1, rng=1)

    def forward(self, x: Any) -> Any:
        z = self.a(x["a"]) + self.b(x["b"])
        return z, (z**2).mean()


@pytest.mark.parametrize("rows", [24, 700])
def test_nests_go_in_and_numbers_without_rows_come_out(rows: int) -> None:
    x, y = table(rows)
    nest, model = {"a": x, "b": x[:, :2]}, Pair()
    solver = Solver(lambda out, y: ((out[0] - y) ** 2).mean() + 0.1 * out[1], "adam", 0.02)
    history = fit(model, nest, y, nest, y, solver=solver, settings=TWICE, rng=0)
    z, square = Predict(model, nest)
    assert z.shape == (rows, 1)
    assert square == pytest.approx((z**2).mean())
    whole = ((z - y) ** 2).mean() + 0.1 * square
    assert history.val_loss[-1] == pytest.approx(whole, rel=1e-9)
    assert graph_loss(model, nest, y, solver=solver).item() == pytest.approx(whole, rel=1e-9)
    assert TrainNN(model, nest, y, solver=solver).loss == pytest.approx(whole, rel=1e-9)


def test_class_weights_of_whole_numbers_are_not_cut_and_metrics_count_every_row_once() -> None:
    x, y = one_hot()

    def trained(y: Array, kind: Any) -> tuple[Any, Array]:
        model = kind([Layer(3, 3, "softmax", rng=1)])
        history = fit(model, x, y, x, y, solver=Solver("crossentropy", "sgd", 0.1), settings=TWICE, rng=0,
                      class_weight=[0.5, 2.0, 1.5])  # fmt: skip
        return history, Predict(model, x)

    for kind in (list, Sequential):
        history, p = trained(y, kind)
        assert (p == trained(y.astype(int), kind)[1]).all()
        assert history.metrics["accuracy"] == history.metrics["val_accuracy"]
        assert history.metrics["accuracy"][-1] == (p.argmax(axis=1) == y.argmax(axis=1)).mean()


def test_a_mapped_table_is_never_copied_whole(tmp_path: Path) -> None:
    rows = 40_000
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (rows, 64))
    x[:] = 0.1
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")  # 10 MB
    for kind in (lambda n: Linear(64, n, rng=0), lambda n: [Layer(64, n, rng=0)]):  # of float64: rows are converted
        tracemalloc.start()
        fit(kind(64), mapped, mapped, solver=Solver("mse", "sgd", 1e-3), settings=Settings(1, 500), rng=0, metrics={})
        Predict(kind(1), mapped)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < mapped.nbytes / 2


@pytest.mark.parametrize("loss", ["mse", "mae", "rmse"])
def test_the_loss_of_rows_that_come_in_pieces_is_that_of_all(loss: str, tmp_path: Path) -> None:
    x, y = table(600)
    np.save(tmp_path / "x.npy", x)
    found = [
        fit(network(), data, y, solver=Solver(loss, "adam", 0.02), settings=Settings(2, 50), rng=0).loss
        for data in (x, np.load(tmp_path / "x.npy", mmap_mode="r"))
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-12)


def test_integer_targets_keep_float32() -> None:
    x, y = table()
    model = Sequential(Linear(3, 1, rng=0, dtype=np.float32))
    assert graph_loss(model, x, (y > 0).astype(int), solver=Solver("mse")).dtype == np.float32


def test_non_finite_numbers_in_a_mapped_table_are_reported_with_their_row(tmp_path: Path) -> None:
    x, y = table()
    x[13, 2] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(ValueError, match="row 13 of the mapped data holds nan"):
        fit(network(), np.load(tmp_path / "x.npy", mmap_mode="r"), y, solver=ADAM, settings=TWICE, rng=0)


# ---- training


def test_a_function_has_groups_too() -> None:
    x, y = table()
    params = {"w": np.zeros((3, 1)), "b": np.zeros(1)}
    solver = Solver(optimizer="sgd", learning_rate=0.1, groups={"b": {"learning_rate": 1e-12}})
    fit(lambda p, x, y: ((x @ p["w"] + p["b"] - y) ** 2).mean(), x, y, params=params, solver=solver, settings=TWICE)
    assert 0 < abs(params["b"][0]) < 1e-10
    assert abs(params["w"]).max() > 1e-3


@pytest.mark.parametrize(("answer", "epochs"), [(np.ones(3), 4), (1, 4), (False, 4), (True, 1), (np.True_, 1)])
def test_only_true_ends_a_training(answer: Any, epochs: int) -> None:
    x, y = table()
    assert len(fit(network(), x, y, solver=ADAM, settings=Settings(4, 5), callbacks=[lambda e: answer])) == epochs


def test_callbacks_from_a_generator_are_called_in_every_epoch() -> None:
    x, y = table()
    seen: list[int] = []
    fit(network(), x, y, solver=ADAM, settings=TWICE, callbacks=(f for f in [lambda e: seen.append(e.number)]))
    assert seen == [1, 2]


def test_a_metric_that_was_nan_at_first_may_still_become_better() -> None:
    x, y = table()
    values = iter([np.nan, 3.0, 2.0, 1.0, 1.0, 1.0, 1.0])
    history = fit(network(), x, y, solver=ADAM, settings=Settings(7, 5), metrics={"m": lambda y, p: next(values)},
                  early_stopping=EarlyStopping(2, monitor="m", mode="min"))  # fmt: skip
    assert len(history) == 6


class Turned(Module):
    def __init__(self) -> None:
        self.weight = Tensor(np.array([1 + 1j, 2.0, 0.5j]))

    def forward(self, x: Any) -> Any:
        return np.abs(x @ self.weight)[:, None] ** 2


def test_complex_parameters_are_trained_on_real_data() -> None:
    x, y = table()
    history = fit(Turned(), x, abs(y), solver=Solver("mse", "sgd", 0.01), settings=Settings(20, 8), rng=0)
    assert history.loss[-1] < 0.3 * history.loss[0]


class Small(Module):
    def __init__(self) -> None:
        self.parts = [Linear(3, 1, rng=0)]
        self.scale = {"all": 0.1 * Tensor(np.ones(1))}

    def forward(self, x: Any) -> Any:
        return self.parts[0](x) * self.scale["all"]


class Edge(Module):
    """The slope of the root is infinite where it stands."""

    def __init__(self) -> None:
        self.weight = Tensor(np.zeros(3))

    def forward(self, x: Any) -> Any:
        return np.sqrt(abs(self.weight * x)).sum(axis=1, keepdims=True)


def test_a_training_whose_gradients_are_infinite_says_so_and_spoils_no_checkpoint(tmp_path: Path) -> None:
    x, y = table()
    with pytest.raises(FloatingPointError, match=r"weight became infinite or NaN in epoch 1.*detect_anomaly"):
        fit(Edge(), x, y, solver=ADAM, settings=Settings(1, 24), rng=0, checkpoint=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, y: fit(network(), x, y, solver=ADAM, settings=TWICE, metrics=["r2"]), "write a dict, metrics="),
        (lambda x, y: fit(network(), x, y, solver=ADAM, settings=TWICE, callbacks=print), "write a list, callbacks="),
        (lambda x, y: fit(network(), [(x, None)], solver=ADAM, settings=TWICE), "y of batch 0 is missing"),
        (lambda x, y: fit(Pair(), {"a": x.tolist(), "b": x}, y, solver=ADAM, settings=TWICE), "x is a dict of more"),
        (lambda x, y: fit(network(), [[1.0], [1.0, 2.0]], y, solver=ADAM, settings=TWICE), "rows of x have different"),
        (lambda x, y: fit(lambda p, x, y: 0, x, y, params={"n": 3}, solver=Solver(), settings=TWICE),
         "put arrays of floats into params"),
        (lambda x, y: fit([Layer(3, 1)], [(x, y)], solver=Solver("crossentropy"), settings=TWICE, class_weight=[1]),
         "needs arrays x and y"),
        (lambda x, y: fit(Sequential(Layer(3, 3, "softmax")), x, y[:, 0], solver=Solver("crossentropy"), settings=TWICE,
                          class_weight="balanced"), "class_weight needs one-hot targets"),
        (lambda x, y: TrainNN(network(), x, y, solver=Solver("mse", "lbfgs")), "lbfgs computes the loss many times"),
        (lambda x, y: TrainNN(network(), x, None, solver=ADAM), "data_out is missing"),
        (lambda x, y: fit(network(), x, y, solver=Solver("mse", "lbfgs"), settings=Settings(1, 5, 2)),
         "lbfgs treats each batch separately"),
        (lambda x, y: Solver("mse", "lbfgs", clip_norm=1.0), "leave clip_norm and clip_value out"),
        (lambda x, y: fit(Linear(3, 1, rng=0), x, abs(y), solver=Solver("binarycrossentropy"), settings=TWICE),
         "write Solver(nn.losses.binary_cross_entropy_with_logits)"),
        (lambda x, y: fit(Sequential(Small()), x, y, solver=ADAM, settings=TWICE),
         "0.scale.all is a Tensor that was computed from others"),
        (lambda x, y: fit(Sequential(Linear(3, 1), lambda z: (z, z)), x, y, solver=ADAM, settings=TWICE),
         "the model returned a tuple"),
        (lambda x, y: fit(network(), x, y[:, 0], solver=ADAM, settings=TWICE), "Pass a column of targets, y[:, None]."),
        (lambda x, y: FeedForward([Linear(3, 4), Linear(5, 1)], x), "in part 2.Linear: Linear(5, 1) takes 5 columns"),
        (lambda x, y: Predict(network(), 3.0), "Predict: x has shape ()"),
    ],
)  # fmt: skip
def test_unsuitable_arguments_raise(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError, FloatingPointError)) as caught:
        call(*table())
    assert message in str(caught.value)


# ---- checkpoints


def run(folder: Path, epochs: int, patience: int = 30) -> None:
    x, y = table()
    fit(network(), x, y, x, y, solver=ADAM, settings=Settings(epochs, 5), rng=0, checkpoint=folder, resume=True,
        early_stopping=EarlyStopping(patience))  # fmt: skip


def test_a_checkpoint_leaves_the_files_of_others_alone_and_trusts_none_of_an_older_training(tmp_path: Path) -> None:
    others = {"best-model.safetensors", "weights-final.safetensors", "notes.txt", ".mine.part"}
    for name in (*others, "best-1.safetensors", ".weights-7.safetensors.12ab34cd.part"):
        (tmp_path / name).write_text("of somebody")
    run(tmp_path, 1)
    assert {f.name for f in tmp_path.iterdir()} == others | {
        "state.safetensors", "weights-1.safetensors", "best-1.safetensors",
    }  # fmt: skip
    run(tmp_path, 2)  # reads best-1, which is the one of this training


def test_a_checkpoint_of_other_class_weights_is_refused(tmp_path: Path) -> None:
    x, y = one_hot()

    def trained(class_weight: Any) -> None:
        fit([Layer(3, 3, "softmax", rng=1)], x, y, solver=Solver("crossentropy"), settings=TWICE, rng=0,
            class_weight=class_weight, checkpoint=tmp_path, resume=True)  # fmt: skip

    trained("balanced")
    with pytest.raises(ValueError, match="its class_weight was 'balanced', and is None now"):
        trained(None)


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tinygrad_nn.solver.state.LAYOUT", 1)
        run(tmp_path, 1)
    with pytest.raises(ValueError, match="was written by another version of tinygrad_nn"):
        run(tmp_path, 2)


def test_a_checkpoint_without_its_best_weights_says_so(tmp_path: Path) -> None:
    run(tmp_path, 2)
    next(tmp_path.glob("best-*")).unlink()
    with pytest.raises(FileNotFoundError, match=r"an incomplete checkpoint: best-2.safetensors is missing"):
        run(tmp_path, 3)


def test_a_loss_with_a_function_in_it_has_the_same_name_in_every_process() -> None:
    assert "0x" not in in_words(functools.partial(lambda inner, p, y: inner(p, y), table, weight=np.ones(2)))


class Drawn:
    """Batches in an order of their own."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __iter__(self) -> Any:
        x, y = table()
        order = self.rng.permutation(len(x))
        return iter([(x[rows], y[rows]) for rows in (order[:11], order[11:])])


@pytest.mark.parametrize(
    "batches",
    [Drawn, lambda rng: Drawn(np.random.default_rng(8)), lambda rng: data_loader(*table(), 9, shuffle=True, rng=1)],
)
def test_the_order_of_batches_resumes(batches: Any, tmp_path: Path) -> None:
    def trained(folder: Path | None, epochs: int) -> list[bytes]:
        rng = np.random.default_rng(3)
        model = Sequential(Linear(3, 8, rng=rng), Dropout(0.2), Linear(8, 1, rng=rng))
        data = batches(rng)
        fit(model, data, x_val=data, solver=ADAM, settings=Settings(epochs), rng=rng, checkpoint=folder, resume=True)
        return weights(model)

    trained(tmp_path / "c", 2)
    assert trained(tmp_path / "c", 5) == trained(None, 5)


@pytest.mark.parametrize("name", sorted(optim.OPTIMIZERS))
def test_every_optimizer_resumes_bit_for_bit(name: str, tmp_path: Path) -> None:
    x, y = table()

    def trained(folder: Path | None, epochs: int) -> list[bytes]:
        model = network()
        solver = Solver("mse", name, 0.01, groups={"0.*": {"learning_rate": 0.001}}, schedule=optim.Cosine(15),
                        schedule_by="step")  # fmt: skip
        fit(model, x, y, solver=solver, settings=Settings(epochs, 5, accumulate=2), rng=0, checkpoint=folder,
            resume=True)  # fmt: skip
        return weights(model)

    trained(tmp_path / "c", 2)
    assert trained(tmp_path / "c", 4) == trained(None, 4)


# ---- files of weights


def test_every_changed_bit_of_a_small_checkpoint_is_refused(tmp_path: Path) -> None:
    x = np.ones((2, 1))

    def again() -> None:
        fit(Linear(1, 1, rng=0), x, x, solver=Solver("mse"), settings=Settings(1), rng=0, checkpoint=tmp_path,
            resume=True)  # fmt: skip

    again()
    for file in sorted(tmp_path.iterdir()):
        whole = file.read_bytes()
        for k in range(len(whole)):
            file.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
            with pytest.raises(ValueError, match="safetensors"):
                again()
        file.write_bytes(whole)
    again()


def written(path: Path, kind: str, shape: list[int], content: bytes) -> Path:
    head = json.dumps({"weight": {"dtype": kind, "shape": shape, "data_offsets": [0, len(content)]}}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + content)
    return path


def test_halves_of_either_kind_are_read_and_smaller_numbers_refused(tmp_path: Path) -> None:
    values = np.array([[1.5, -2.0, 0.25]], np.float32)  # exact in bfloat16, the upper two bytes of a float32
    upper = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    layer = Linear(3, 1, bias=False, rng=0)
    for kind, content in (("BF16", upper), ("F16", values.astype(np.float16).tobytes())):
        io.load_weights(written(tmp_path / "w", kind, [1, 3], content), layer)
        assert layer.weight.data.tolist() == values.tolist()
    assert read(written(tmp_path / "w", "BF16", [], upper[:2]))[0]["weight"] == 1.5
    with pytest.raises(ValueError, match=r"type F8_E4M3, which NumPy does not have"):
        io.load_weights(written(tmp_path / "w", "F8_E4M3", [1, 3], b"123"), layer)


def test_a_folder_is_no_file_to_write(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="is a folder; name a file in it"):
        io.save_weights(tmp_path, network())
    assert not list(tmp_path.iterdir())


# ---- data that every kind of model refuses


def _hidden(x: Array) -> Any:
    return np.ma.masked_array(x, mask=x > 1)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x, y: TrainNN(network(), _hidden(x), y, solver=ADAM), "data_in"),
        (lambda x, y: TrainNN(network(), x, _hidden(y), solver=ADAM), "data_out"),
        (lambda x, y: graph_loss(network(), _hidden(x), y, solver=ADAM), "x"),
        (lambda x, y: FeedForward(network(), _hidden(x)), "data_in"),
        (lambda x, y: fit(network(), [(_hidden(x), y)], solver=ADAM, settings=TWICE), "x of batch 0"),
        (lambda x, y: fit(network(), {"x": _hidden(x)}, y, solver=ADAM, settings=TWICE), "an array of x"),
        (lambda x, y: fit(network(), (x, _hidden(x)), y, solver=ADAM, settings=TWICE), "an array of x"),
    ],
)
def test_masked_entries_are_refused_whatever_the_model(call: Any, name: str) -> None:
    x, y = table()
    y[3] = 2.0
    with pytest.raises(ValueError, match=rf"{name} is a masked array, and \d+ of its entries are masked") as caught:
        call(x, y)
    edit = name if name.isidentifier() else "array"
    assert f"{edit}.filled(0.0)" in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("binarycrossentropy", [[1.0], [-1.0]], "needs targets that are probabilities, and {}[1, 0] is -1, which is "),
        ("binarycrossentropy", [0.0, 2.0], "needs targets that are probabilities, and {}[1] is 2, which is outside"),
        ("crossentropy", [[0.5, 0.5], [1.0, 1.0]], "needs one-hot targets, or rows of probabilities that sum to 1"),
        ("crossentropy", np.full((2, 2, 2), 1.5), "needs targets that are probabilities, and {}[0, 0, 0] is 1.5, "),
    ],
)  # fmt: skip
def test_targets_of_a_cross_entropy_are_probabilities_whatever_the_model(loss: str, y: Any, message: str) -> None:
    x, y, solver = np.ones((2, 3)), np.array(y), Solver(loss, "sgd", 0.01)
    half = np.full_like(y, 0.5)
    for name, call in {
        "y": lambda: fit(network(), x, y, solver=solver, settings=TWICE),
        "y_val": lambda: fit(network(), x, half, x, y, solver=solver, settings=TWICE),
        "data_out": lambda: TrainNN(network(), x, y, solver=solver),
        "y of batch 0": lambda: fit(network(), [(x, y)], solver=solver, settings=TWICE),
    }.items():
        with pytest.raises(ValueError, match=re.escape(f"{loss} {message.format(name)}")):
            call()


def test_a_metric_is_not_called_like_that_of_the_validation_data() -> None:
    x, y = table()
    metrics = {"err": lambda y, yhat: 0.0, "val_err": lambda y, yhat: 1.0}
    with pytest.raises(ValueError, match="the metric 'err' of the validation data is called 'val_err', which is the"):
        fit(network(), x, y, x, y, solver=ADAM, settings=TWICE, metrics=metrics)
    assert set(fit(network(), x, y, solver=ADAM, settings=TWICE, metrics=metrics).metrics) == set(metrics)
