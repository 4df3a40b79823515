"""Modules are drawn, plotted and summarized like lists of layers: after use, by their paths, and unchanged."""

import copy
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Layer, Solver, Tensor, graph_loss
from tinygrad_nn.nn import (
    LSTM,
    BatchNorm1d,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    Linear,
    Module,
    Sequential,
    TransformerBlock,
    relu,
    softmax,
)  # fmt: skip
from tinygrad_nn.viz import (
    GradientFlow,
    LiveReport,
    animate,
    draw,
    draw_network,
    explore,
    plot_activation,
    plot_decision_boundary,
    plot_landscape,
    plot_weights,
    save_figure,
    summary,
)
from tinygrad_nn.viz.model.values import array_of

Array = np.ndarray[Any, Any]
X = np.random.default_rng(0).normal(size=(12, 2))
Y = np.eye(3)[np.arange(12) % 3]


class Net(Module):
    """Has all that is different in training: a dropout and a norm that learns."""

    def __init__(self) -> None:
        self.body = Sequential(Linear(2, 5, rng=0), BatchNorm1d(5), np.tanh, Dropout(0.5, rng=1))
        self.head = Linear(5, 3, rng=2)

    def forward(self, x: Any) -> Any:
        return softmax(self.head(self.body(x)))


class Language(Module):
    def __init__(self, blocks: int) -> None:
        self.embed = Embedding(11, 8, rng=0)
        self.blocks = [TransformerBlock(8, 2, 16, rng=k) for k in range(blocks)]
        self.head = Linear(8, 11, rng=3)

    def forward(self, tokens: Any) -> Any:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def state(model: Module) -> tuple[dict[str, Array], list[bool], Any, list[Any]]:
    rng = [copy.deepcopy(m.rng.bit_generator.state) for m in model.modules() if hasattr(m, "rng")]
    return model.state_dict(), [m.training for m in model.modules()], rng, [p.grad for p in model.parameters()]


def epoch(model: Any, number: int = 1) -> Any:
    return types.SimpleNamespace(number=number, epochs=2, loss=0.5, val_loss=None, metrics={}, model=model)


def loss(model: Any) -> Any:
    return ((model(X) - Y) ** 2).mean()


@pytest.mark.parametrize(
    "look",
    [
        lambda model, folder: summary(model, X, depth=3),
        lambda model, folder: plot_decision_boundary(model, X, Y, resolution=7),
        lambda model, folder: plot_landscape(loss, model, points=3),
        lambda model, folder: plot_weights(model),
        lambda model, folder: GradientFlow(loss)(epoch(model)),
        lambda model, folder: LiveReport(folder / "a.html", confusion=lambda m: Y.T @ m(X).data)(epoch(model)),
        lambda model, folder: draw_network([*model.body, model.head, softmax], X[0]),
    ],
    ids=["summary", "boundary", "landscape", "weights", "flow", "report", "network"],
)
def test_what_looks_at_a_module_leaves_it_as_it_was(look: Any, tmp_path: Path) -> None:
    model = Net()
    loss(model).backward()
    model.head.eval()
    before = state(model)
    look(model, tmp_path)
    np.testing.assert_equal(state(model), before)
    assert not any("forward" in vars(module) for module in model.modules())


def test_modules_are_in_use_while_they_are_looked_at() -> None:
    seen = []

    class Probe(Module):
        def forward(self, x: Any) -> Any:
            seen.append(self.training)
            return x

    model = Sequential(Linear(2, 3, rng=0), Probe())
    summary(model, X)
    plot_decision_boundary([model], X, resolution=3)
    plot_landscape(loss, model, points=3)
    draw_network(model, X[0])
    assert len(seen) == 12
    assert not any(seen)
    with pytest.raises(RuntimeError, match="broken"):
        summary(Sequential(Linear(2, 3, rng=0), _raise), X)
    assert model.training


def _raise(x: Any) -> Any:
    raise RuntimeError("broken")


# -- Summary


def test_a_summary_of_a_module_has_a_row_for_each_part_that_is_called() -> None:
    found = summary(Language(2), np.array([[1, 2, 3, 4]]))
    assert [(row.name, row.input, row.output, row.parameters) for row in found.rows] == [
        ("embed Embedding(11, 8)", (1, 4), (1, 4, 8), 88),
        ("blocks.0 TransformerBlock", (1, 4, 8), (1, 4, 8), 600),
        ("blocks.1 TransformerBlock", (1, 4, 8), (1, 4, 8), 600),
        ("head Linear(8, 11)", (1, 4, 8), (1, 4, 11), 99),
    ]
    whole, deep = (summary(Language(2), np.array([[1, 2, 3, 4]]), depth=d) for d in (0, 3))
    assert [row.name for row in whole.rows] == ["Language"]
    assert "blocks.0.self_attn.out_proj Linear(8, 8)" in [row.name for row in deep.rows]
    assert len(deep.rows) == 22
    for depth in (whole, found, deep):
        assert depth.parameters == sum(p.data.size for p in Language(2).parameters())
        assert (depth.operations, depth.bytes) == (whole.operations, whole.bytes)


def test_a_summary_counts_shared_unused_and_own_parameters_once() -> None:
    class Odd(Module):
        def __init__(self) -> None:
            self.first = Linear(3, 3, rng=0)
            self.again = self.first
            self.unused = Linear(2, 2, rng=0)
            self.scale = Tensor(np.ones(3))

        def forward(self, x: Any, y: Any) -> Any:
            return self.again(self.first(x)) * self.scale, y

    found = summary(Odd(), np.ones((2, 3)), np.ones((2, 1)))
    assert [(row.name, row.output, row.parameters, row.operations, row.shared) for row in found.rows] == [
        ("Odd", (2, 3), 3, 1, False),
        ("first Linear(3, 3)", (2, 3), 12, 1, False),
        ("first Linear(3, 3)", (2, 3), 0, 1, True),
        ("unused Linear(2, 2)", None, 6, 0, False),
    ]
    rows = summary([Sequential(Linear(3, 2, rng=0), np.tanh), softmax], np.ones((2, 3)), depth=2).rows
    assert [row.name for row in rows] == ["1.0 Linear(3, 2)", "1.1 tanh", "2 softmax"]
    (row,) = summary(LSTM(3, 4, rng=0), np.ones((2, 5, 3))).rows
    assert (row.input, row.output) == ((2, 5, 3), (2, 5, 4))
    with pytest.raises(ValueError, match="depth=-1"):
        summary(Odd(), np.ones((2, 3)), depth=-1)
    with pytest.raises(TypeError, match="a list cannot be called"):
        summary([], np.ones((2, 3)))


# -- Drawings


def test_a_repeated_block_is_drawn_once_and_counted_whole() -> None:
    model = Language(12)
    out = model(np.array([[1, 2, 3, 4]]))
    folded = draw(out, names=model, depth=1, repeats=False).picture
    assert [item.title for item in folded.items] == ["embed", "blocks[0] … blocks[11] × 12", "head"]
    assert folded.items[1].lines[1] == "12 leaves, 600 numbers"
    (whole,) = draw(out, names=model, depth=0, repeats=False).picture.items
    (plain,) = draw(out, names=model, depth=0).picture.items
    assert whole.lines == plain.lines
    assert whole.lines[1] == f"147 leaves, {sum(p.data.size for p in model.parameters()):,} numbers"


def test_names_come_from_a_model_or_from_the_models_among_the_variables(tmp_path: Path) -> None:
    net = Net()
    out = net(X)
    paths = [name for name, _ in net.named_parameters()]
    assert {part.name for part in draw(out, names=net).view if part.kind == "leaf"} == set(paths)
    named = {part.name for part in draw(out, names={"net": net, "data": X, "kind": Net}).view if part.name}
    assert named == {f"net.{path}" for path in paths} | {"data"}
    layers = [Linear(2, 3, rng=0), np.tanh]
    hidden = layers[1](layers[0](X))
    assert {part.name for part in draw(hidden, names=locals()).view if part.kind == "leaf"} == {
        "layers[0].weight", "layers[0].bias"
    }  # fmt: skip
    page = explore(out, tmp_path / "page.html", names=net).read_text(encoding="utf-8")
    assert all(f'"{path}"' in page for path in paths)
    animate(out, tmp_path / "walk.gif", names=net, seconds=0.05)


# -- The network


def test_a_network_is_drawn_of_modules_in_a_row() -> None:
    hidden, out = Linear(2, 4, rng=0), Linear(4, 3, bias=False, rng=1)
    drawing = draw_network([Flatten(), Sequential(hidden, relu, Dropout(0.5)), out, softmax], X[0])
    assert drawing.heads == (("input", "2"), ("layer 1", "4 relu, Dropout"), ("layer 2", "3 softmax"))
    h = np.maximum(X[:1] @ hidden.weight.data.T + array_of(hidden.bias), 0)
    z = (h @ out.weight.data.T)[0]
    a = np.exp(z) / np.exp(z).sum()
    for dot, zk, ak in zip(drawing.columns[2], z, a, strict=True):
        assert dot.about.split(" · ")[1:] == [f"z {zk:.4g}", f"a {ak:.4g}"]
        assert "bias" in drawing.columns[1][0].about
    mixed = draw_network([Layer(2, 3, "tanh", rng=0), Dropout(0.1), Linear(3, 1, rng=0)], X[0])
    assert [head[1] for head in mixed.heads] == ["2", "3 tanh, Dropout", "1"]
    for odd in (Net(), Conv2d(1, 2, 3, rng=0), [Layer(2, 3, rng=0), LSTM(3, 2, rng=0)]):
        name = type(odd[-1] if isinstance(odd, list) else odd).__name__
        with pytest.raises(TypeError, match=f"this has a {name}. Pass the layers that run one after the other"):
            draw_network(odd)


# -- Plots


def test_weights_of_modules_are_shown_by_their_paths() -> None:
    assert [t.get_text() for t in plot_weights(Net()).get_xticklabels()] == ["body.0\n5 × 2", "head\n3 × 5"]
    many = plot_weights(Language(2))
    assert [t.get_text() for t in many.get_xticklabels()][:2] == ["embed", "blocks.0.self_attn.in_proj_weight"]
    conv = Conv2d(2, 5, 3, rng=0)
    (image,) = plot_weights(conv).get_images()
    assert np.array_equal(image.get_array(), conv.weight.data.reshape(5, 18))
    (image,) = plot_weights({"W": Y}).get_images()
    assert np.array_equal(image.get_array(), Y)
    with pytest.raises(ValueError, match="with at least one array"):
        plot_weights(Dropout(0.5))


@pytest.mark.parametrize("kind", ["module", "list", "dict", "convolution"])
def test_a_landscape_moves_every_weight_of_any_model(kind: str) -> None:
    model: Any = {"module": Net(), "list": [Linear(2, 3, rng=0), np.tanh], "dict": {"W": Y.copy(), "b": np.ones(3)},
                  "convolution": Conv2d(1, 2, 3, rng=0)}[kind]  # fmt: skip
    seen = []

    def height(m: Any) -> float:
        arrays = {"module": lambda: [p.data for p in m.parameters() if p.ndim > 1], "list": lambda: [m[0].weight.data],
                  "dict": lambda: [m["W"]], "convolution": lambda: [m.weight.data]}[kind]()  # fmt: skip
        seen.append([w.copy() for w in arrays])
        return float(sum((w**2).sum() for w in arrays))

    plot_landscape(height, model, points=3)
    middle = seen[4]
    assert all(not np.array_equal(a, b) for moved in seen[:4] + seen[5:] for a, b in zip(moved, middle, strict=True))
    with pytest.raises(ValueError, match="this Dropout has no weights"):
        plot_landscape(height, Dropout(0.5))


def test_numbers_without_measure_are_plotted_or_refused(tmp_path: Path) -> None:
    wild = Linear(3, 2, rng=0)
    wild.weight.data[:] = [[np.nan, np.inf, 1e300], [5e-324, -1.7e308, 0.0]]
    draw_network([wild, np.tanh], [1.0, 2.0, 3.0])
    for model in (wild, [wild, wild]):
        save_figure(plot_weights(model), tmp_path / "weights.png")
    with pytest.raises(ValueError, match="the loss is infinite or NaN everywhere"):
        plot_landscape(lambda m: np.nan, wild, points=3)


def test_a_gradient_flow_walks_back_from_a_loss() -> None:
    model = Net()
    flow = GradientFlow(loss)
    flow(epoch(model))
    model.eval()
    loss(model).backward()
    for name, part in (("body.0", model.body[0]), ("head", model.head)):
        assert flow.norms[name] == [pytest.approx(float(np.sqrt(np.mean(array_of(part.weight.grad) ** 2))))]
    layers = [Layer(2, 3, "softmax", rng=0)]
    flow = GradientFlow(lambda m: graph_loss(m, X, Y, solver=Solver("crossentropy")))
    flow(epoch(layers))
    assert list(flow.norms) == ["layer 1"]


def test_an_activation_without_a_name_goes_by_its_type() -> None:
    from tinygrad_nn.nn import PReLU

    assert plot_activation(PReLU()).get_lines()[-2].get_label() == "PReLU"
