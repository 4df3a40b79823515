"""Drawings use the user's own names for variables, attributes, parameters and inputs, also in the rules."""

import builtins
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.tabs import Tabs
from tinygrad_nn import Layer, Tensor, nn, sigmoid
from tinygrad_nn.graph import GraphView
from tinygrad_nn.graph.equations import replace_letters, unicode_line
from tinygrad_nn.graph.rerun import Rerun
from tinygrad_nn.viz import Drawing, draw, explore
from tinygrad_nn.viz.explorer.explore import page, page_data
from tinygrad_nn.viz.explorer.live import Live
from tinygrad_nn.viz.explorer.story import tell_story
from tinygrad_nn.viz.graph.symbols import node_equation
from tinygrad_nn.viz.model.slices import slice_text, with_parts

X = np.linspace(-1, 1, 12).reshape(4, 3)


def words(drawing: Drawing) -> dict[str, str]:
    roles = drawing.picture.roles
    return {part.name: roles.get(part.number, part.kind) for part in drawing.view if part.name}


# -- Names


def test_values_go_by_the_variables_of_the_caller() -> None:
    W1, b1 = Tensor(np.ones((3, 2))), Tensor(np.zeros(2))
    hidden = np.tanh(X @ W1 + b1)
    loss = (hidden**2).mean()
    told = {part.name for part in draw(loss).view if part.name}
    assert told == {"W1", "b1", "X", "hidden", "loss"}
    assert {part.name for part in draw(GraphView(loss)).view if part.name} == told
    assert {part.name for part in draw(loss, names={}).view if part.name} == set()


def test_a_matrix_and_its_transpose_in_one_memory_are_two_names() -> None:
    square, w = np.ones((2, 2)), Tensor(2.0)
    turned = square.T
    assert set(words(draw(GraphView(w * square + w * turned)))) == {"square", "turned", "w"}


def test_a_name_that_was_given_stays() -> None:
    other = Tensor(np.ones(3), name="given")
    assert set(words(draw((other * 2).sum()))) == {"given"}


def test_attributes_of_models_objects_and_containers_are_names() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.body, self.heads = nn.Linear(3, 2, rng=0), [nn.Linear(2, 1, rng=1)]

        def forward(self, x: Any) -> Any:
            return self.heads[0](np.tanh(self.body(x)))

    class Plain:
        def __init__(self) -> None:
            self.W = Tensor(np.ones((3, 2)))

        def look(self) -> dict[str, str]:
            return words(draw(X @ self.W))

    net, plain, layers = Net(), Plain(), [Layer(3, 2, "tanh", rng=0)]
    params = {"W": Tensor(np.ones((3, 2)))}
    assert words(draw(net(X))) == {
        "net.body.weight": "parameter", "net.body.bias": "parameter", "net.heads.0.weight": "parameter",
        "net.heads.0.bias": "parameter", "X": "input",
    }  # fmt: skip
    assert set(plain.look()) == {"self.W", "X"}
    assert set(words(draw(X @ plain.W))) == {"plain.W", "X"}
    assert set(words(draw(layers[0](X)))) == {"layers[0].W", "layers[0].b", "X"}
    assert set(words(draw(X @ params["W"]))) == {"params.W", "X"}


def test_what_a_loop_left_over_is_called_like_its_neighbours() -> None:
    weights, params = [Tensor(np.ones((3, 3))) for _ in range(2)], [(Tensor(np.ones(3)), Tensor(2.0)) for _ in range(2)]
    layers = [nn.Linear(3, 3, rng=k) for k in range(2)]
    h, losses = X, []
    for weight, (shift, gain), layer in zip(weights, params, layers, strict=True):
        h = layer(np.tanh(h @ weight + shift) * gain)
        losses.append(loss := (h**2).mean())
    assert set(words(draw(loss))) == {
        "X", "h", "loss", *(f"weights[{k}]" for k in range(2)),
        *(f"params[{k}][{i}]" for k in range(2) for i in range(2)),
        *(f"layers[{k}].{part}" for k in range(2) for part in ("weight", "bias")),
    }  # fmt: skip
    x, (first, second) = X, (both := [Tensor(1.0), Tensor(2.0)])
    acts = [x, np.tanh(x * second)]
    assert set(words(draw(acts[-1] * first))) == {"x", "acts[1]", "first", "second"}
    del both


def test_code_that_is_executed_in_a_dict_has_its_own_names() -> None:
    space: dict[str, Any] = {"__builtins__": vars(builtins), "Tensor": Tensor, "layers": [Layer(3, 2, rng=0)]}
    space["view"] = lambda out: set(words(draw(out)))
    exec("x = Tensor([[1.0, 2.0, 3.0]])\nout = layers[0](x)\nfound = view(out)", space)
    assert space["found"] == {"layers[0].W", "layers[0].b", "x", "out"}


LAYERS = [{"W": Tensor(np.ones((3, 3)))} for _ in range(2)]


def test_loops_over_globals_or_attributes_leave_no_names() -> None:
    class Model:
        def __init__(self) -> None:
            self.parts = {"W": [Tensor(np.ones((3, 3))) for _ in range(2)], "b": [Tensor(np.ones(3)) for _ in range(2)]}

        def look(self, x: Any) -> Drawing:
            for W, b in zip(self.parts["W"], self.parts["b"], strict=True):
                x = np.tanh(x @ W + b)
            for layer in LAYERS:
                x = x @ layer["W"]
            return draw(x.sum())

    own = {f"self.parts.{part}[{k}]" for part in "Wb" for k in range(2)}
    assert set(words(Model().look(X))) == {"X", "x", *own, "LAYERS[0].W", "LAYERS[1].W"}


def test_what_a_module_keeps_of_a_run_is_a_name() -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            self.query, self.mask, self.states = Tensor(np.ones((3, 3))), np.tril(np.ones((4, 3))), []

        def forward(self, x: Any) -> Any:
            self.states = [np.sin(x), np.cos(x)]
            self.weights = nn.functional.softmax(self.states[0] @ self.query * self.mask, axis=-1)
            return self.weights * self.states[1]

    net = nn.Sequential(nn.Linear(3, 3, rng=0), head := Head())
    assert words(draw(net(X).sum())) == {
        "X": "input", "net.0.weight": "parameter", "net.0.bias": "parameter", "net.1.query": "parameter",
        "net.1.mask": "constant", "net.1.states[0]": "operation", "net.1.states[1]": "operation",
        "net.1.weights": "operation",
    }  # fmt: skip
    del net
    assert {"head.query", "head.mask", "head.states[0]", "head.weights"} <= set(words(draw(head(X).sum())))


def test_what_a_class_holds_is_a_name() -> None:
    class Rates:
        slow = Tensor(0.1)

        @classmethod
        def look(cls, x: Any) -> Drawing:
            return draw((x * cls.slow).sum())

    rates = Rates()
    assert set(words(draw((X * rates.slow).sum()))) == {"X", "rates.slow"}
    del rates
    assert set(words(draw((X * Rates.slow).sum()))) == {"X", "Rates.slow"}
    assert set(words(Rates.look(X))) == {"x", "Rates.slow"}


def test_slots_fields_objects_and_private_variables_are_names() -> None:
    class Slots:
        __slots__ = ("gain", "unset")

        def __init__(self) -> None:
            self.gain = Tensor(2.0)

    class Pair(NamedTuple):
        w: Tensor
        b: Tensor

    slots, pair, _own = Slots(), Pair(Tensor(1.0), Tensor(2.0)), Tensor(3.0)
    table = np.empty(2, object)
    table[0] = Tensor(1.0)
    out = slots.gain * pair.w + pair.b * _own * table[0]
    assert set(words(draw(out))) == {"slots.gain", "pair.w", "pair.b", "_own", "table[0]", "out"}


def test_names_are_read_from_functions_and_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make() -> Any:
        slope = Tensor(2.0)
        return lambda x: x * slope

    class Model:
        def __init__(self) -> None:
            self.rate = Tensor(0.5)

        def step(self, x: Any) -> Any:
            return x * self.rate

    f, step = make(), Model().step
    assert set(words(draw(f(X).sum()))) == {"slope", "X"}
    assert set(words(draw(step(X).sum()))) == {"self.rate", "X"}
    text = "from tinygrad_nn import Tensor\nW = Tensor(2.0)\ndef f(x): return x * W\n"
    (tmp_path / "of_a_person.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("of_a_person")
    assert set(words(draw(mine.f(X)))) == {"of_a_person.W", "X"}


def test_pieces_of_arrays_go_by_their_index() -> None:
    batch, W = np.zeros((4, 5, 3)), Tensor(np.ones((3, 2)))
    table = np.asfortranarray(np.zeros((6, 4)))
    x, y = table[:, :3], table[:, 3]
    pieces = lambda: [batch[:, 2] @ W, batch[1:3, 0] @ W, batch[3].T * W[0, 0], x[2:4] @ W, y[::2] * W[0, 0],
                      batch.reshape(20, 3) @ W, batch[0, ::-1] @ W]  # fmt: skip
    assert set(words(draw(pieces()))) == {
        "W", "batch[:, 2]", "batch[1:3, 0]", "batch[3].T", "x[2:4]", "y[::2]", "batch.reshape(20, 3)", "batch[…]",
    }  # fmt: skip
    assert words(draw(batch[:, 2] @ W))["batch[:, 2]"] == "input"


ROWS, COLUMNS = np.zeros((5, 3)), np.asfortranarray(np.zeros((6, 4)))


@pytest.mark.parametrize(
    ("piece", "whole", "said"),
    [
        (COLUMNS[1:3, 2:], COLUMNS, "[1:3, 2:]"),
        (COLUMNS[4, 1:], COLUMNS, "[4, 1:]"),
        (ROWS[::2], ROWS, "[::2]"),  # a step further there is no row
        (ROWS[1::2, 2], ROWS, "[1::2, 2]"),
        (ROWS[:3:2], ROWS, "[:3:2]"),
        (ROWS[:4:2], ROWS, "[:3:2]"),
        (ROWS[2], ROWS[:2], None),
        (ROWS[0], ROWS[1:], None),
        (ROWS[1:3], ROWS[:2], None),
    ],
)
def test_what_cuts_a_piece_out(piece: Any, whole: Any, said: str | None) -> None:
    assert slice_text(piece, whole) == said


def test_of_several_names_for_a_piece_one_that_says_where_it_is_comes_first() -> None:
    names = {"up": ROWS[::-1], "of_a_person": ROWS}
    (part,) = [part for part in with_parts(GraphView(Tensor(2.0) * ROWS[1:3]), names) if part.name]
    assert part.name == "of_a_person[1:3]"


def test_names_of_a_function_that_is_run_come_before_those_around_it() -> None:
    scale = [Tensor(2.0), Tensor(3.0)]
    h = Tensor(5.0)

    def loss(x: Any) -> Any:
        h = x * scale[0]
        return h * scale[1]

    shown = Live(Rerun(loss, 0.5), page_data, page)
    with shown.rerun.running() as run:
        assert {part.name for part in shown._explored(run).view if part.name} == {"x", "h", "scale[0]", "scale[1]"}
    del h


def test_variables_that_have_nothing_to_do_with_it_do_no_harm() -> None:
    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __len__(self) -> int:
            raise RuntimeError("no length")

    circle: list[Any] = []
    circle.append(circle)
    odd, huge, x = Odd(), [0.0] * 100_000, Tensor(2.0)
    assert words(draw(x * x)) == {"x": "input"}
    del circle, odd, huge


def test_leaves_are_parameters_or_inputs() -> None:
    x, W, layer = Tensor(X), Tensor(np.ones((3, 2))), nn.Linear(3, 2, rng=0)
    owned = {"layer.weight": "parameter", "layer.bias": "parameter"}
    assert words(draw((x * x).sum())) == {"x": "input"}
    assert words(draw((X @ W).sum())) == {"W": "parameter", "X": "input"}
    scale = np.array(0.5)
    assert words(draw((x * scale).sum())) == {"x": "input", "scale": "constant"}, "one number is no data"
    assert words(draw((layer(x) * (x @ W)).sum())) == owned | {"x": "input", "W": "input"}
    assert words(draw((layer(X) * (X @ W)).sum())) == owned | {"X": "input", "W": "input"}
    assert words(draw(layer(x), names=layer)) == {"weight": "parameter", "bias": "parameter"}
    assert words(draw(layer(x), names={"layer": layer, "x": x})) == owned | {"x": "input"}


def test_stories_and_tooltips_say_parameter_and_input() -> None:
    W = Tensor(np.ones((3, 2)))
    out = (X @ W).sum()
    drawing = draw(out)
    about = {item.title: item.about for item in drawing.picture.items}
    assert " · parameter · " in about["W"]
    assert " · input · " in about["X"]
    story = tell_story(drawing.view, None, dict(drawing.picture.roles))
    assert story.moments[0].text == "Start: 1 input, 1 parameter, 2 operations."
    assert story.moments[-1].text == "Done: 1 parameter has its gradient."
    assert tell_story(GraphView(out)).called(0) == "input #0"


# -- Rules in these letters


def rule(result: Any, slot: int, **letters: str) -> str:
    view = GraphView(result)
    part, operands = view[len(view) - 1], sum(edge.target == len(view) - 1 for edge in view.edges)
    equation, rules, symbols = node_equation(part, operands)
    names = {old: ["mi", {}, new] for old, new in zip(symbols, letters["of"].split(), strict=True)}
    names |= {"out": ["mi", {}, "r"], "g": ["mi", {}, "q"]}
    return unicode_line(replace_letters(equation if slot < 0 else rules[slot], names))  # type: ignore[arg-type]


A, B = Tensor(np.ones((2, 2))), Tensor(np.ones((2, 2)))


@pytest.mark.parametrize(
    ("result", "slot", "of", "said"),
    [
        (np.tanh(A), 0, "h", "q (1 − r²)"),
        (sigmoid(A), 0, "h", "q r (1 − r)"),
        (A @ B, 0, "h W", "q Wᵀ"),
        (nn.functional.softmax(A, axis=-1), 0, "h", "r ⊙ (q − Σⱼ qⱼ rⱼ)"),
        (np.concatenate([A, B]), -1, "h W", "[h, W]"),
        (np.concatenate([A, B]), 1, "h W", "q[2]"),
        (np.concatenate([A] * 8), 7, "a b c d e f g h", "q[8]"),  # of more it is said once for all
        (np.einsum("ij,jk->ik", A, B), 1, "h W", "Σ q h"),
        (nn.functional.layer_norm(A, (2,), Tensor(np.ones(2)), Tensor(np.ones(2))), 2, "h s t", "Σ q"),
    ],
)
def test_rules_are_in_the_letters_of_their_operands(result: Any, slot: int, of: str, said: str) -> None:
    assert rule(result, slot, of=of) == said


@pytest.fixture
def opened(tabs: Tabs) -> Iterator[Any]:
    with tabs.watched() as open_page:
        yield lambda path, **options: open_page(path.as_uri(), reduced_motion="reduce", **options)


def test_the_page_explains_a_bar_and_speaks_in_own_letters(opened: Any, tmp_path: Path) -> None:
    W, L = Tensor(np.ones((3, 2))), Tensor(1.0)
    a = np.tanh(X @ W)
    y = (a * L).sum()
    tab = opened(explore(y, tmp_path / "page.html"))
    step = """([operation, phase]) => go(moments.findIndex(
        m => m.node >= 0 && nodes[m.node].operation === operation && m.phase === phase))"""
    formulas = lambda: ["".join(t.split()) for t in tab.locator("#detail .formula math").all_text_contents()]
    tab.evaluate("go(moments.findIndex(m => m.phase === 'seed'))")
    assert "A bar marks a gradient: y¯=∂ℒ∂y" in " ".join(tab.locator("#detail .where").first.text_content().split())
    tab.evaluate(step, ["tanh", "backward"])
    number = tab.evaluate("nodes.findIndex(node => node.operation === 'matmul')")
    assert formulas()[0] == f"z¯{number}=a¯(1−a2)"
    assert f"z{number} is matmul #{number}" in tab.locator("#detail .where").last.text_content()
    assert "∂ℒ" in tab.locator("#detail .to").first.text_content()
    tab.evaluate(step, ["matmul", "backward"])
    assert formulas()[0] == f"W¯=XTz¯{number}"
    tab.evaluate("choose(nodes.findIndex(node => node.named === 'W'))")
    assert tab.locator("#detail .phase").inner_text() == "parameter"
    label = tab.locator(".node").filter(has_text="parameter").first.get_attribute("aria-label")
    assert label.startswith("W, parameter, 3 × 2")
    backwards = """() => [...document.querySelectorAll('.edge:not(.still)')].map(edge => {
        const { markerStart, markerEnd } = getComputedStyle(edge);
        return markerStart !== 'none' && markerEnd === 'none';
    })"""
    assert all(tab.evaluate(backwards))
    tab.keyboard.press("Home")
    assert not any(tab.evaluate(backwards))
