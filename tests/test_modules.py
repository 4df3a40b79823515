"""Modules: parameters are found and named, states come and go whole, a wrong shape says where it is."""

import copy
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Layer, Settings, Solver, Tensor, check_gradients, fit, io, nn
from tinygrad_nn.nn import Dropout, Flatten, Lambda, Linear, Module, Parallel, Residual, Sequential, SpatialDropout
from tinygrad_nn.viz import draw

Array = Any


class Block(Module):
    """A part with a list, a dict, a shared part, a private attribute and a buffer."""

    buffer_names = ("mean",)

    def __init__(self, shared: Module) -> None:
        self.first = [Linear(3, 3, rng=1), Linear(3, 3, bias=False, rng=2)]
        self.by_name = {"up": Linear(3, 4, rng=3), "scale": Tensor(np.ones(4))}
        self.shared = shared
        self._hidden = Linear(9, 9, rng=4)
        self.labels = Tensor(np.array([1, 2]))
        self.mean = np.zeros(3)
        self.note = "a text"

    def forward(self, x: Any) -> Any:
        for layer in self.first:
            x = np.tanh(layer(x))
        return self.by_name["up"](self.shared(x)) * self.by_name["scale"]


class Model(Module):
    def __init__(self) -> None:
        self.shared = Linear(3, 3, rng=0)
        self.block = Block(self.shared)
        self.tied = self.shared.weight
        self.head = Layer(4, 2, "softmax", rng=5)

    def forward(self, x: Any) -> Any:
        return self.head(self.block(x) + 0 * (self.tied.sum()))


NAMES = [
    "tied", "shared.bias", "block.by_name.scale", "block.first.0.weight", "block.first.0.bias",
    "block.first.1.weight", "block.by_name.up.weight", "block.by_name.up.bias", "head.W", "head.b",
]  # fmt: skip


def test_parameters_are_named_by_path_and_a_shared_one_comes_once() -> None:
    model = Model()
    assert [name for name, _ in model.named_parameters()] == NAMES  # a module's own, then those of its parts
    assert len({id(p) for p in model.parameters()}) == len(model.parameters()) == len(NAMES)
    assert [name for name, _ in model.named_buffers()] == ["block.mean"]
    modules = dict(model.named_modules())
    assert modules["block.first.1"] is model.block.first[1]
    assert modules[""] is model
    assert "block.shared" not in modules  # it is `shared`


def test_a_part_that_refers_back_to_its_owner_is_no_trap() -> None:
    model = Sequential(Linear(2, 2, rng=0))
    model[0].owner = model
    model[0].me = [model[0]]
    assert list(model.state_dict()) == ["0.weight", "0.bias"]


def test_the_state_is_copied_out_and_taken_over_whole(rng: np.random.Generator) -> None:
    model, other = Model(), Model()
    for p in other.parameters():
        p.data = p.data + 1
    other.block.mean += 5
    state = other.state_dict()
    x = rng.normal(size=(2, 3))
    view = model(x)  # a graph that holds the old arrays
    before = model.head.W.data.copy()
    model.load_state_dict(state)
    assert all((model.state_dict()[name] == state[name]).all() for name in state)
    assert model.tied is model.shared.weight
    state["head.W"][:] = 99
    assert not (model.head.W.data == 99).any()
    view.sum().backward()
    assert np.isfinite(model.head.W.grad).all()
    assert not (before == model.head.W.data).all()


def test_a_state_under_any_of_the_paths_of_a_shared_parameter_is_taken() -> None:
    model = Model()
    state = model.state_dict()
    state["block.shared.weight"] = state.pop("tied") + 1
    model.load_state_dict(state)
    assert (model.tied.data == state["block.shared.weight"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("head.W"), "missing: head.W"),
        (lambda s: s.update(more=np.ones(1)), "not known here: more"),
        (lambda s: s.update({"head.b": np.ones(3)}), r"head.b has shape \(2,\) here and \(3,\) in the state"),
        (lambda s: s.update({"head.b": np.array(["a", "b"])}), "head.b is float64 here and <U1 in the state"),
        (lambda s: s.update({"head.b": np.ones(2) * 1j}), "head.b is float64 here and complex128 in the state"),
        (lambda s: [s.pop(name) for name in list(s)[:7]], "and 3 more"),
    ],
)
def test_a_state_of_another_architecture_is_refused_and_changes_nothing(change: Any, message: str) -> None:
    model = Model()
    before = model.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises(ValueError, match=message) as caught:
        model.load_state_dict(state)
    assert "Nothing was changed" in str(caught.value)
    assert all((model.state_dict()[name] == before[name]).all() for name in before)


def test_strict_false_loads_the_common_entries() -> None:
    model = Model()
    model.load_state_dict({"head.b": [1.0, 2.0], "more": 3}, strict=False)
    assert model.head.b.data.tolist() == [1.0, 2.0]


def test_switches_reach_every_part_and_freezing_keeps_gradients_away(rng: np.random.Generator) -> None:
    model = Sequential(Linear(3, 4, rng=0), Dropout(0.5, rng=0), np.tanh, Linear(4, 2, rng=1))
    assert all(not part.training for part in model.eval().modules())
    assert all(part.training for part in model.train().modules())
    model[0].freeze()
    model(rng.normal(size=(5, 3))).sum().backward()
    assert model[0].weight.grad is None
    assert model[3].weight.grad is not None
    assert len(model.parameters()) == 4
    assert list(model.state_dict()) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    model.unfreeze()
    model.zero_grad()
    model(rng.normal(size=(5, 3))).sum().backward()
    assert model[0].weight.grad is not None
    seen: list[str] = []
    assert model.apply(lambda part: seen.append(type(part).__name__)) is model
    assert seen == ["Linear", "Dropout", "Lambda", "Linear", "Sequential"]


def test_a_copy_is_independent(rng: np.random.Generator) -> None:
    model = Model()
    other = copy.deepcopy(model)
    x = rng.normal(size=(2, 3))
    assert (model(x).data == other(x).data).all()
    other.head.W = other.head.W.data + 1
    assert not (model(x).data == other(x).data).all()


def test_a_repr_is_a_tree() -> None:
    assert repr(Sequential(Linear(4, 8, rng=0), np.tanh, Residual(Linear(8, 8, bias=False, rng=0)))) == (
        "Sequential(\n  0: Linear(4, 8)\n  1: tanh\n  2: Residual(\n    body: Sequential(\n"
        "      0: Linear(8, 8, bias=False)\n    )\n  )\n)"
    )


# ---- where an error is


class Deep(Module):
    def __init__(self) -> None:
        self.encoder = Sequential(Linear(4, 8, rng=0), Block(Linear(3, 3, rng=0)))
        self.blocks = [Sequential(Linear(8, 8, rng=1)), Residual(Linear(8, 5, rng=2))]

    def forward(self, x: Any, way: int = 0) -> Any:
        if way == 0:
            return self.encoder(x)
        x = self.encoder[0](x)
        return self.blocks[way](x) @ np.ones((3, 3)) if way == 2 else self.blocks[way - 1 if way == 3 else way](x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m(np.ones((2, 4))),
         "in Deep.encoder.1 Block.first[0]: Linear(3, 3) takes 3 columns; x has shape (2, 8)"),
        (lambda m: m(np.ones((2, 4)), 1),
         "in Deep.blocks[1]: Residual: the body gives shape (2, 5) and the shortcut (2, 8)"),
        (lambda m: m(np.ones((2, 5))), "in Deep.encoder.0 Linear: Linear(4, 8) takes 4 columns; x has shape (2, 5)"),
        (lambda m: m(3.0), "in Deep.encoder.0 Linear: Linear(4, 8) takes 4 columns; x has shape ()"),
    ],
)  # fmt: skip
def test_a_wrong_shape_names_the_path_and_both_shapes(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call(Deep())
    assert str(caught.value).count("in Deep") == 1


def test_an_error_of_numpy_in_a_module_gets_path_and_shapes() -> None:
    model = Sequential(Linear(4, 8, rng=0), Lambda(lambda x: x @ np.ones((3, 3)), "product"))
    with pytest.raises(ValueError, match=r"in Sequential.1 product: matmul.*shapes \(2, 8\) and \(3, 3\)"):
        model(np.ones((2, 4)))
    model = Sequential(Linear(4, 8, rng=0), lambda x: x + Tensor(np.ones((2, 7))))
    with pytest.raises(ValueError, match=r"in Sequential.1 Lambda: .*\(2,8\) \(2,7\)"):
        model(np.ones((2, 4)))


def test_parts_show_up_as_boxes_in_a_drawing() -> None:
    text = draw(Model()(np.ones((2, 3))).sum()).dot
    for name in ("block", "first[0]", "head"):
        assert name in text


# ---- containers


def test_containers_compute_their_documented_functions(rng: np.random.Generator) -> None:
    a, b, x = Linear(3, 3, rng=1), Linear(3, 3, rng=2), rng.normal(size=(4, 3))
    assert (Sequential([a, np.tanh, b])(x).data == b(np.tanh(a(x))).data).all()
    assert (Sequential({"one": a, "two": b})(x).data == b(a(x)).data).all()
    assert (Residual(a, shortcut=b)(x).data == (a(x) + b(x)).data).all()
    assert (Parallel(a)(x).data == a(x).data).all()
    assert (Parallel(a, b)(x).data == np.concatenate([a(x), b(x)], axis=-1).data).all()
    assert (Parallel(a, b, join="add")(x).data == (a(x) + b(x)).data).all()
    assert Parallel(a, b, join="stack", axis=0)(x).shape == (2, 4, 3)
    assert (Parallel({"p": a, "q": b}, join=lambda parts: parts[0] * parts[1])(x).data == (a(x) * b(x)).data).all()
    assert Sequential(a, np.tanh, b)[1:](x).shape == (4, 3)
    assert len(Sequential(a, np.tanh, b)) == 3
    assert Flatten()(rng.normal(size=(2, 3, 4))).shape == (2, 12)
    assert Flatten(2)(rng.normal(size=(2, 3, 4, 5))).shape == (2, 3, 20)
    assert Flatten()(np.ones((0, 3, 4))).shape == (0, 12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Sequential(Linear(2, 2), 3), "Sequential: a part is 3"),
        (lambda: Sequential(Linear), "a part is the class Linear itself"),
        (lambda: Parallel(Linear(2, 2), join="sum"), "join='sum'; known are 'concatenate', 'stack', 'add'"),
        (lambda: Linear(0, 2), "n_in=0; it must be at least 1"),
        (lambda: Linear(2.5, 2), "n_in=2.5 is of type float; it needs a whole number"),
        (lambda: Linear(2, 2, dtype=int), "gradients need floats"),
        (lambda: Dropout(1.0), "p=1.0; the dropped share must be"),
        (lambda: Flatten()(np.ones(3)), r"needs an axis 1; x has shape \(3,\)"),
        (lambda: SpatialDropout(0.5)(np.ones((2, 3))), r"needs \(batch, channels, \*spatial\)"),
        (lambda: Module()(1), "Module has no forward; write def forward"),
        (lambda: Lambda(3), "is not a function"),
    ],
)
def test_bad_arguments_are_refused(call: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=message):
        call()


def test_dropout_keeps_the_mean_and_the_dtype_and_draws_afresh() -> None:
    x = np.ones((200, 200), np.float32)
    layer = Dropout(0.25, rng=0)
    first, second = layer(x), layer(x)
    assert first.dtype == np.float32
    assert not (first == second).all()
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(first.mean() - 1) < 5 * (0.25 / 0.75 / x.size) ** 0.5
    assert (layer.seed(3)(x) == Dropout(0.25, rng=3)(x)).all()
    assert layer.eval()(x) is x
    spatial = SpatialDropout(0.5, rng=0)(np.ones((5, 6, 3, 3)))
    assert (spatial == spatial[:, :, :1, :1]).all()
    assert {0.0, 2.0} == set(np.unique(spatial))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linear_has_the_dtype_and_the_gradients_of_its_definition(dtype: type, rng: np.random.Generator) -> None:
    layer = Linear(3, 2, rng=0, dtype=dtype)
    x = Tensor(rng.normal(size=(4, 5, 3)).astype(dtype))
    g = rng.normal(size=(4, 5, 2)).astype(dtype)
    y = layer(x)
    y.backward(g)
    assert y.dtype == layer.weight.grad.dtype == dtype
    eps = 50 * np.finfo(dtype).eps  # sums of 20 products of numbers of about 1
    assert np.allclose(layer.weight.grad, np.einsum("bto,bti->oi", g, x.data), atol=eps)
    assert np.allclose(layer.bias.grad, g.sum(axis=(0, 1)), atol=eps)
    assert np.allclose(x.grad, g @ layer.weight.data, atol=eps)
    assert layer([1, 2, 3]).dtype == dtype


# ---- files


def test_weights_are_saved_and_loaded_and_damaged_files_are_refused(tmp_path: Path) -> None:
    model, other = Model(), Model()
    for p in model.parameters():
        p.data = p.data + 0.5
    path = io.save_weights(tmp_path / "w.safetensors", model)
    io.load_weights(path, other)
    assert all((a.data == b.data).all() for a, b in zip(model.parameters(), other.parameters(), strict=True))
    whole = path.read_bytes()
    before = other.state_dict()
    model.parameters()[0].data += 1
    for k in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:k])
        with pytest.raises(ValueError, match=r"cut off|empty|not a safetensors|changed"):
            io.load_weights(path, other)
    for k in range(0, len(whole), 97):
        path.write_bytes(whole[:k] + bytes([whole[k] ^ 1]) + whole[k + 1 :])
        with pytest.raises(ValueError, match=r"w\.safetensors"):
            io.load_weights(path, other)
    path.write_bytes(whole)
    message = r"w\.safetensors: this state belongs to a different architecture than Linear; missing"
    with pytest.raises(ValueError, match=message):
        io.load_weights(path, Linear(3, 3, rng=0))
    assert all((other.state_dict()[name] == before[name]).all() for name in before)


def test_a_file_without_our_checksum_is_read_too(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    arrays = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(2, np.float32)}
    save_file(arrays, tmp_path / "torch.safetensors")
    layer = Linear(3, 2, rng=0)
    io.load_weights(tmp_path / "torch.safetensors", layer)
    assert (layer.weight.data == arrays["weight"]).all()
    assert layer.weight.dtype == np.float64


# -- An array in place of a parameter


def _bare_model() -> Sequential:
    return Sequential(Linear(2, 3, rng=0), Linear(3, 1, rng=1))


@pytest.mark.parametrize("ask", [
    lambda m: m.parameters(), lambda m: m.state_dict(), lambda m: m.zero_grad(), lambda m: m.freeze(),
    lambda m: m.load_state_dict(_bare_model().state_dict()), lambda m: list(m.named_parameters()),
    lambda m: fit(m, np.ones((4, 2)), np.ones((4, 1)), solver=Solver(), settings=Settings(1, 2, 2)),
])  # fmt: skip
@pytest.mark.parametrize("value", [
    np.ones((3, 2)), Tensor(np.ones((3, 2)), requires_grad=False), Tensor(np.ones((3, 2))).detach(),
    np.ones((3, 2)).tolist(), 1.0,
], ids=["array", "constant", "detached", "list", "number"])  # fmt: skip
def test_an_array_in_place_of_a_parameter_is_told_when_the_parameters_are_asked_for(value: Any, ask: Any) -> None:
    model = _bare_model()
    model[0].weight = value
    edit = re.escape("m.weight.data = np.asarray(value, m.weight.dtype)")
    with pytest.raises(TypeError, match=f"^Sequential: 0.weight was a parameter, and what was assigned.*{edit}"):
        ask(model)


def test_what_may_replace_a_parameter() -> None:
    layer = Linear(2, 3, rng=0)
    weight, x = layer.weight, np.ones((4, 2))
    layer.weight = np.ones((3, 2))
    layer.weight = weight  # the parameter again
    assert len(layer.parameters()) == 2
    layer.weight.data = np.asarray([[1, 2]] * 3, layer.weight.dtype)
    assert layer.parameters()[0] is weight
    layer.weight = nn.Parameter(np.ones((3, 2)), requires_grad=False)
    assert len(layer.parameters()) == 2
    layer.weight = None
    layer.weight = np.ones((3, 2))  # a constant on purpose
    assert len(layer.parameters()) == 1
    layer.bias = np.ones(3)
    layer.register_buffer("bias", np.ones(3))
    del layer.weight
    assert [layer.parameters(), list(layer.state_dict())] == [[], ["bias"]]

    def f(w: Any) -> Any:
        other.weight = w
        return (other(x) ** 2).sum()

    other = Linear(2, 3, rng=0)
    assert check_gradients(f, other.weight.data).ok  # it assigns Tensors and arrays
    with pytest.raises(TypeError, match=r"^Linear: weight was a parameter"):
        other.parameters()
