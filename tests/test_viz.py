"""Drawings show the graph correctly in every format, and no text can break out of them.

The files in golden/ are what the drawings of a dozen graphs look like as DOT, Mermaid and JSON. When a drawing is
meant to change, `PYTHONPATH=. python tests/test_viz.py` writes them anew; look at the difference before keeping it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tabs import Tabs
from tinygrad_nn import Tensor, affine, relu, softmax_crossentropy
from tinygrad_nn.common.printable import printable
from tinygrad_nn.graph import GraphView
from tinygrad_nn.node import scope
from tinygrad_nn.viz import Drawing, draw, plot_confusion, plot_history, save_figure
from tinygrad_nn.viz.graph import render
from tinygrad_nn.viz.theme import THEMES

GOLDEN = Path(__file__).parent / "golden"
HOSTILE = [
    '"; }',
    "</script><img src=x onerror=alert(1)>",
    "<b>bold</b> &amp; 'q'",
    "back\\slash \\N \\G",
    "line\nbreak\ttab",
    "日本語 Ω ∇ ß",
    "\u202eevil ]]> \x00\ud800",
    "--> end %% `md` #quot;",
    "",
    " ",
    "n0",
    "a" * 500,
]


# -- The graphs


def two_layers(rows: int = 2) -> Tensor:
    x = Tensor(np.linspace(-1, 1, rows * 4).reshape(rows, 4), requires_grad=False, name="x")
    y = Tensor(np.eye(3)[np.arange(rows) % 3], requires_grad=False, name="y")
    W1, b1 = Tensor(np.linspace(-0.5, 0.5, 20).reshape(5, 4), name="W1"), Tensor(np.zeros(5), name="b1")
    W2, b2 = Tensor(np.linspace(0.3, -0.4, 15).reshape(3, 5), name="W2"), Tensor(np.zeros(3), name="b2")
    with scope("layer1"):
        z1 = affine(x, W1, b1)
        a1 = relu(z1)
    with scope("layer2"):
        z2 = affine(a1, W2, b2)
    z1.name, a1.name, z2.name = "z1", "a1", "z2"
    loss = softmax_crossentropy(z2, y)
    loss.name = "loss"
    loss.backward(retain_graph=True, retain_grads=True)
    return loss


def square() -> Tensor:
    x = Tensor(3.0, name="x")
    y = x * x
    y.backward(retain_graph=True, retain_grads=True)
    return y


def expression() -> Tensor:
    x, w = Tensor(3.0, name="x"), Tensor([1.0, -2.0, 0.5], name="w")
    y = (x * x + np.abs(w) * 2.0 - 1.0).sum()
    y.backward(retain_graph=True, retain_grads=True)
    return y


def shared_constant() -> Tensor:
    c = np.arange(8.0)
    return (Tensor(np.ones(8), name="x") * c + c).sum()


def doublings() -> Tensor:
    y = Tensor(1.0, name="y")
    for _ in range(4):
        y = y + y
    return y


def nested() -> Tensor:
    x = Tensor([1.0, -2.0], requires_grad=False, name="x")
    h = Tensor([0.5, 0.5], name="scale") * x
    for i in range(2):
        with scope(f"block{i}"):
            with scope("inner"):
                h = relu(h * Tensor([2.0, 3.0], name=f"w{i}"))
            h = h + 1.0
    return h


def shapes() -> Tensor:
    x = Tensor(np.arange(12.0).reshape(3, 4), name="x")
    return np.stack([x[0], x.sum(axis=0), x.T[1:, 2].reshape(3)[[0, 1, 1, 2]]], axis=1)


def kinds_of_numbers() -> dict[str, Tensor]:
    single = Tensor(np.array([0.5, 1.5], np.float32), name="single")
    complex_ = Tensor(np.array([1 + 2j, -1j]), name="complex")
    bad = Tensor([np.nan, 1.0, -np.inf], name="bad")
    many = Tensor([np.nan, *range(9)], name="many")
    mask = np.array([True, False])
    return {"a": np.where(mask, single, np.float32(0)), "b": complex_ * 2.0, "c": bad * 2.0, "d": many * 1.0}


def hostile() -> Tensor:
    with scope('"; } <b>\\N'):
        return np.stack([Tensor(float(i), name=name) for i, name in enumerate(HOSTILE)])


def blocks(n: int = 4) -> Tensor:
    h = Tensor([[1.0, -2.0]], requires_grad=False, name="x")
    for k in range(n):
        with scope(f"block{k}"):
            h = relu(affine(h, Tensor([[0.5, 0.25], [1.0, -1.0]], name="W"), Tensor([0.5, 0.0], name="b")))
    loss = h.sum()
    loss.backward(retain_graph=True, retain_grads=True)
    return loss


def born() -> Tensor:
    x = Tensor([1.0, 0.0], name="x")
    with np.errstate(all="ignore"):
        y = (np.log(x) * x).sum()
        y.backward(retain_graph=True, retain_grads=True)
    return y


GRAPHS: list[tuple[str, Callable[[], Any], dict[str, Any]]] = [
    ("leaf", lambda: Tensor([1.0, 2.0], name="x"), {}),
    ("constant", lambda: Tensor(2, name="two"), {}),
    ("square", square, {}),
    ("expression", expression, {}),
    ("expression_down", expression, {"direction": "TB", "title": "An expression", "theme": "dark"}),
    ("shared_constant", shared_constant, {}),
    ("doublings", doublings, {"values": False, "shapes": False}),
    ("two_layers", two_layers, {}),
    ("two_layers_folded", two_layers, {"depth": 0, "constants": False, "theme": "dark"}),
    ("nested", nested, {}),
    ("nested_folded", nested, {"depth": 1}),
    ("shapes", shapes, {}),
    ("kinds_of_numbers", kinds_of_numbers, {}),
    ("hostile", hostile, {"title": HOSTILE[0]}),
    ("blocks", blocks, {"repeats": False, "color": "bytes"}),
    ("blocks_folded", blocks, {"repeats": False, "depth": 0, "color": "gradient", "theme": "dark", "title": "Blocks"}),
    ("born", born, {"color": "nan", "direction": "TB"}),
    ("errors", square, {"color": "error", "measures": {"x": 2e-5}}),
]
each_graph = pytest.mark.parametrize(("name", "make", "options"), GRAPHS, ids=[name for name, *_ in GRAPHS])


def texts(drawing: Drawing) -> dict[str, str]:
    return {".dot": drawing.dot, ".mmd": drawing.mermaid, ".json": drawing.view.to_json(indent=1) + "\n"}


@each_graph
def test_text_is_as_in_the_golden_files(name: str, make: Callable[[], Any], options: dict[str, Any]) -> None:
    drawn = texts(draw(make(), **options))
    assert drawn == texts(draw(make(), **options)), "two runs must write the same"
    for suffix, text in drawn.items():
        assert text == (GOLDEN / f"{name}{suffix}").read_text(encoding="utf-8")


def test_there_is_no_golden_file_too_many() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {name for name, *_ in GRAPHS}


# -- SVG


def words(svg: str) -> list[str]:
    """All text that a reader sees in an SVG."""
    return ["".join(found.itertext()) for found in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def titles(svg: str) -> dict[str, str]:
    """The text a reader gets by pointing at each part, by its id."""
    space = "{http://www.w3.org/2000/svg}"
    groups = [group for group in ET.fromstring(svg).iter(f"{space}g") if group.find(f"{space}title") is not None]
    return {group.attrib["id"]: group.findtext(f"{space}title") or "" for group in groups}


@each_graph
def test_svg_holds_every_node_and_edge_with_its_text(
    name: str, make: Callable[[], Any], options: dict[str, Any]
) -> None:
    drawing = draw(make(), **options)
    told = titles(drawing.svg)
    for item in drawing.picture.items:
        assert told[item.key] == item.about
    assert len([key for key in told if re.fullmatch(r"e\d+", key)]) == len(drawing.picture.arrows)
    shown = [word.strip() for word in words(drawing.svg)]
    assert not [item.title for item in drawing.picture.items if item.title.strip() not in shown]


def test_svg_tells_values_gradients_and_equations() -> None:
    loss = two_layers()
    told = titles(draw(loss).svg)
    first = next(text for text in told.values() if text.startswith("z1 = affine"))
    assert "equation z1 = x W1ᵀ + b1 · z̄1 is the gradient of z1 · gradient of W1: z̄1ᵀ x · gradient of b1" in first
    shown = words(draw(loss).svg)
    assert "z1" in shown
    assert "affine" in shown
    assert f"\xa0{loss.item():.4g}" in shown
    hidden = words(draw(loss, values=False, gradients=False).svg)
    assert not {"value", "grad", "min"} & set(hidden)
    assert not any("float64" in word for word in words(draw(loss, shapes=False).svg))


def test_complex_numbers_are_summed_up_by_absolute_values() -> None:
    z = Tensor(np.arange(9) * (3 + 4j), name="z")
    drawing = draw(np.abs(z))
    assert {"|value|", "value"} <= set(words(drawing.svg))
    assert "#124;value#124; 0 / 20 / 40" in drawing.mermaid
    assert "value 0 / 20 / 40" in drawing.mermaid


def test_parameters_of_one_layer_are_told_apart_however_long_their_path_is() -> None:
    ends = ("in_proj_weight", "in_proj_bias", "weight")
    parts = [Tensor(2.0, name=f"encoder.layers.0.self_attention_of_all.{end}") for end in ends]
    shown = {item.title for item in draw(np.stack(parts)).picture.items}
    assert len(shown) == 4
    assert {"encoder.layers.0.sel….in_proj_weight", "encoder.layers.0.self_attent….weight"} <= shown
    assert all(len(title) <= 36 for title in shown)


def test_a_notebook_gets_the_svg_and_a_screen_reader_its_name() -> None:
    drawing = draw(square(), title='x < "2"')
    root = ET.fromstring(drawing._repr_svg_())
    assert (root.attrib["role"], root.attrib["aria-label"]) == ("img", 'x < "2"')
    assert "script" not in drawing.svg
    assert "<!--" not in drawing.svg


def test_a_name_may_be_empty() -> None:
    with scope(""), scope(".inner."):
        out = Tensor(2.0, name="") * Tensor(3.0, name=" ")
    for depth in (None, 0):
        ET.fromstring(draw(out, title="", depth=depth).svg)


def test_foreign_text_is_text_everywhere() -> None:
    drawing = draw(hostile())
    assert "<img" not in drawing.svg + drawing.dot + drawing.mermaid + drawing.view.to_json()
    shown = words(drawing.svg)
    for name in HOSTILE[:4]:
        assert any(word.startswith(name[:30]) for word in shown), name
    assert '"; } <b>\\N' in shown
    assert "line\\nbreak\\ttab" in shown
    assert "\\u202eevil ]]> \\x00\\ud800" in shown
    labels = re.findall(r'"(.*)"', drawing.mermaid)
    assert len(labels) == len(HOSTILE) + 2
    assert not [label for label in labels if re.search(r'["`<>;\\{}%&]', re.sub(r"<br/>|#\d+;", "", label))]


@pytest.mark.parametrize(
    ("name", "want"),
    [
        (r"\nabla", "#92;#8288;nabla"),
        ("fa:fa-car", "fa:#8288;fa-car"),
        ("$$x$$", "#36;#8288;#36;x#36;#8288;#36;"),
        ("a_1", "a#95;1"),
    ],
)
def test_mermaid_shows_a_name_that_it_would_read_as_markup(name: str, want: str) -> None:
    with scope("1."):  # a box in a box without a name, which Mermaid refuses
        drawing = draw(Tensor(2.0, name=name) * 2.0, values=False, shapes=False, title=f'a & "b" {name}')
    assert f'n0["{want}"]' in drawing.mermaid
    assert '[""]' not in drawing.mermaid
    title = drawing.mermaid.splitlines()[1]
    assert title.encode().decode("unicode_escape") == f'title: "a & "b" {name}"', "a string of YAML"


@pytest.mark.parametrize("text", ["plain é 日本", "a\nb", "\x1b[31m", "\u2028", "\ud800", "\\n"])
def test_visible_text_can_be_written_and_read(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text).encode()


# -- What is shown


def keys(drawing: Drawing) -> list[str]:
    return [item.key for item in drawing.picture.items]


def test_operands_are_numbered_where_there_are_several() -> None:
    arrows = draw(square()).picture.arrows
    assert [(arrow.source, arrow.target, arrow.slot) for arrow in arrows] == [("n0", "n1", 0), ("n0", "n1", 1)]
    (arrow,) = draw(np.exp(Tensor(1.0))).picture.arrows
    assert arrow.slot is None


def test_constants_can_be_hidden_but_not_a_result() -> None:
    assert keys(draw(Tensor(1.0) * 2.0, constants=False)) == ["n0", "n2"]
    assert keys(draw(Tensor(2), constants=False)) == ["n0"]


def test_parameters_are_drawn_in_the_box_of_their_layer_and_inputs_outside() -> None:
    boxes = {item.title: item.box for item in draw(two_layers()).picture.items}
    assert {name: box for name, box in boxes.items() if box} == {
        "W1": "layer1", "b1": "layer1", "z1": "layer1", "a1": "layer1", "W2": "layer2", "b2": "layer2", "z2": "layer2",
    }  # fmt: skip
    shared = Tensor(2.0, name="shared")
    with scope("one"):
        y = np.sin(shared)
    with scope("two"):
        y = y * shared
    assert draw(y).picture.items[0].box == ""


@pytest.mark.parametrize(("depth", "folds"), [(0, ["block0", "block1"]), (1, ["inner", "inner"]), (2, []), (None, [])])
def test_scopes_fold_at_a_depth(depth: int | None, folds: list[str]) -> None:
    picture = draw(nested(), depth=depth).picture
    assert [item.title for item in picture.items if item.kind == "fold"] == folds
    known = {item.key for item in picture.items}
    assert {key for arrow in picture.arrows for key in (arrow.source, arrow.target)} <= known


def test_a_fold_counts_its_nodes() -> None:
    fold = next(item for item in draw(two_layers(), depth=0).picture.items if item.title == "layer1")
    assert fold.lines == ("2 operations", "2 leaves, 25 numbers", "→ 2 × 5 float64")


def test_a_drawing_can_be_made_of_a_view_and_changes_nothing() -> None:
    y = square()
    view = GraphView(y)
    before = view.to_json()
    assert draw(view, names={}).view is view
    assert draw(y, names={"out": y}).view.find("out").operation == "multiply"
    assert view.to_json() == GraphView(y).to_json() == before


@pytest.mark.parametrize("color", [None, "gradient", "bytes", "time", "error", "nan"])
def test_a_drawing_changes_neither_graph_nor_values_nor_gradients(color: str | None) -> None:
    loss = blocks()
    before, kept = GraphView(loss).to_json(), [(node.array.tobytes(), node.node) for node in GraphView(loss)]
    measures = {"block0 W": 1e-3} if color == "error" else None
    for options in ({}, {"depth": 0}, {"repeats": False, "names": {"out": loss}}, {"names": [loss]}):
        drawing = draw(loss, color=color, measures=measures, **options)
        assert drawing.dot
        assert drawing.mermaid
        assert drawing.html
    assert GraphView(loss).to_json() == before
    assert [(node.array.tobytes(), node.node) for node in GraphView(loss)] == kept
    loss.backward()


def test_many_paths_through_few_nodes_are_drawn_once() -> None:
    y = Tensor(1.0, name="x")
    for _ in range(16):
        y = np.sin(y)
        y = y * y
    drawing = draw(y)
    assert len(drawing.view) == 33
    assert len(drawing.picture.arrows) == drawing.dot.count(" -> ") == drawing.mermaid.count("-->") == 48


def test_a_long_chain_and_deep_scopes_do_not_recurse() -> None:
    y = Tensor(1.0)
    assert sys.getrecursionlimit() < 5_000
    for _ in range(5_000):
        y = -y
    assert draw(y).dot.count(" -> ") == 5_000
    with scope(".".join(f"s{i}" for i in range(2_000))):
        y = Tensor(1.0) * 2.0
    assert draw(y).dot.count("subgraph") == 2_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "up"}, "it must be 'LR' .* or 'TB'"),
        ({"theme": "pink"}, "one of 'light', 'dark'"),
        ({"depth": -1}, "0 or more"),
        ({"path": "graph.gif"}, r".svg, .png, .pdf, .html, .dot, .json, .mmd, .model-explorer.json; 'graph.gif'"),
        ({"path": "graph"}, "ends in none of these"),
    ],
)
def test_unknown_options_list_the_known(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(square(), **options)


def test_repeated_blocks_are_drawn_once_with_their_number() -> None:
    drawing = draw(blocks(12), repeats=False)
    assert drawing.picture.label("block0") == "block0 … block11 × 12"
    assert [item.title for item in drawing.picture.items] == ["W", "b", "x", "affine", "relu", "sum"]
    joined = {(a.source, a.target) for a in drawing.picture.arrows}
    assert len(joined) == 5, "no arrow leads from one block into itself"
    assert draw(blocks(12), repeats=False, depth=0).picture.items[0].title == "block0 … block11 × 12"
    with scope("block0"):
        y = np.exp(Tensor(1.0))
    with scope("block1"):
        y = np.sin(y)
    assert len(draw(y, repeats=False).picture.items) == 3


def parts(drawing: Drawing) -> list[tuple[str, str]]:
    """What is drawn in which box, by the names a reader sees."""
    return [(".".join(map(drawing.picture.label, boxes_around(i.box))), i.title) for i in drawing.picture.items]


def boxes_around(path: str) -> list[str]:
    names = path.split(".") if path else []
    return [".".join(names[:end]) for end in range(1, len(names) + 1)]


def test_a_scope_that_is_entered_again_is_another_box() -> None:
    h = Tensor(1.0, name="h")
    for _ in range(3):
        with scope("cell"), scope("inner"):
            h = np.sin(h)
        h = h * 2.0
    drawing = draw(h, constants=False, names={})
    assert parts(drawing) == [("cell.inner", "h"), *[("cell.inner", "sin"), ("", "×")] * 3]
    assert len({item.box for item in drawing.picture.items}) == 4
    assert [title for _, title in parts(draw(h, depth=0, constants=False, names={}))] == ["cell", "×"] * 3
    assert len(draw(h, repeats=False).picture.items) == len(drawing.view), "what stands between them goes round them"


def test_equal_cells_in_a_row_are_one_with_their_number() -> None:
    xs, W, h = Tensor(np.ones((4, 2)), name="xs"), Tensor(np.eye(2), name="W"), Tensor(np.zeros(2), name="h")
    for t in range(4):
        row = xs[t]
        with scope("cell"):
            h = np.tanh(h @ W + row)
    drawing = draw(h, repeats=False, depth=0, names={})
    assert [t for _, t in parts(drawing)] == ["xs", "W", "h", "getitem", "cell × 4", "getitem", "getitem", "getitem"]
    assert draw(h, repeats=False).picture.label("cell") == "cell × 4"


def test_the_input_of_the_first_block_is_not_part_of_it() -> None:
    def run(x: Any) -> Tensor:
        for k in range(12):
            with scope(f"block{k}"):
                with scope("inner"):
                    y = relu(affine(x, Tensor(np.eye(2), name="W"), Tensor(np.zeros(2), name="b")))
                x = x + y
        return x

    for x in (Tensor(np.ones((1, 2)), name="x"), np.ones((1, 2))):
        drawing = draw(run(x), repeats=False)
        assert [label for label in drawing.picture.labels.values() if "×" in label] == ["block0 … block11 × 12"]
        assert [box for box, title in parts(drawing) if title in ("x", "constant", "[[1, 1]]")] == [""]


@pytest.mark.parametrize("seed", range(20))
def test_folded_drawings_have_no_cycles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = [Tensor(1.0), Tensor(2.0)]
    for _ in range(60):
        with scope(str(rng.choice(["a", "b", "a.c", "a.c.d", "b.c"]))):
            one, other = (made[max(0, len(made) - 1 - int(rng.integers(5)))] for _ in range(2))
            made.append(one * other if rng.random() < 0.3 else np.sin(one))
        if rng.random() < 0.2:
            made.append(made[-1] + 1.0)
    result = sum(made[-3:], Tensor(0.0))
    for depth in (None, 0, 1, 2):
        for repeats in (True, False):
            picture = draw(result, depth=depth, repeats=repeats).picture
            after = {item.key: {a.target for a in picture.arrows if a.source == item.key} for item in picture.items}
            free = set(after)
            while ends := {key for key in free if not after[key] & free}:
                free -= ends
            assert not free, (depth, repeats)


def test_values_outside_of_the_model_are_drawn_outside_of_its_layers() -> None:
    class Model:
        def __init__(self) -> None:
            self.W = Tensor([2.0], name="W")

    m, x = Model(), Tensor([1.0], name="x")
    with scope("layer"):
        y = m.W * x
    assert {title: box for box, title in parts(draw(y, names=m))} == {"W": "layer", "x": "", "×": "layer"}
    shades = [i.title for i in draw(y, names={"w": m.W}, color="error", measures={"layer W": 1e-3}).picture.items
              if i.shade]  # fmt: skip
    assert shades == ["W"]
    renamed = draw(y, names=[m], color="error", measures={"layer W": 1e-3}).picture.items
    assert [i.title for i in renamed if i.shade] == ["[0].W"], "a node keeps its own name too"


def test_layers_of_a_network_stand_in_one_row_and_their_names_above_the_arrows() -> None:
    x = Tensor(np.ones((2, 3)), requires_grad=False, name="x")
    for k in range(4):
        with scope(f"layer {k}"):
            x = relu(affine(x, Tensor(np.eye(3), name="W"), Tensor(np.zeros(3), name="b")))
    for direction, axis in (("LR", 1), ("TB", 0)):
        svg = draw(x, direction=direction).svg
        outlines = re.findall(r'class="cluster">\s*<title>.*?</title>\s*<path [^>]*d="([^"]+)"', svg)
        spans = [[float(pair.split(",")[axis]) for pair in re.findall(r"[-\d.]+,[-\d.]+", d)] for d in outlines]
        assert len(spans) == 4
        for one, other in pairwise(spans):
            shared = min(max(one), max(other)) - max(min(one), min(other))
            assert shared > 0.4 * (max(one) - min(one)), direction
        assert svg.rindex('class="edge"') < svg.index(">layer 0</text>")


def test_a_notebook_without_a_program_shows_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    assert draw(hostile())._repr_html_() is None
    monkeypatch.setattr(render, "programs", lambda: iter(()))
    drawing = draw(hostile())
    assert drawing._repr_svg_() is None
    shown = drawing._repr_html_()
    assert shown is not None
    assert "pip install graphviz-pure" in shown
    assert "<td>stack</td>" in shown
    assert not re.search("<script|<img", shown)


def test_parameters_are_named_by_the_path_that_leads_to_them() -> None:
    class Model:
        def __init__(self) -> None:
            self.scale = Tensor(2.0, name="own")
            self.layers = [{"W": Tensor([1.0])}, {"W": self.scale, "it's": Tensor([3.0])}]

    m = Model()
    y = m.scale * m.layers[0]["W"] + m.layers[1]["it's"]
    view = draw(y, names=m).view
    assert [node.name for node in view if node.kind == "leaf"] == ["scale", "layers[0].W", """layers[1]["it's"]"""]
    assert m.scale.name == "own"


def test_colours_say_where_a_nan_was_born_and_how_large_gradients_are() -> None:
    shades = {i.title: i.shade.text for i in draw(born(), color="nan").picture.items if i.shade}
    assert shades == {
        "x": "gradient: NaN or infinity born here", "log": "value: NaN or infinity born here",
        "×": "value: carried on", "sum": "value: carried on",
    }  # fmt: skip
    sized = {i.title: i.shade.text for i in draw(square(), color="gradient").picture.items if i.shade}
    assert sized == {"x": "norm of grad 6", "×": "norm of grad 1"}
    timed = [i for i in draw(square(), color="time").picture.items if i.shade]
    assert [i.title for i in timed] == ["×"]
    for color, message in (("gradient", "backward"), ("error", "measures=")):
        with pytest.raises(ValueError, match=message):
            draw(Tensor(1.0) * 2.0, color=color)
    with pytest.raises(ValueError, match="'gradient', 'bytes', 'time', 'error', 'nan'"):
        draw(square(), color="red")


def test_ink_can_be_read_on_every_colour() -> None:
    from tinygrad_nn.viz.graph.colour import BIRTH, BROKEN, DIVERGING, NEUTRAL, RISING, ZERO, shade

    for fill in (*DIVERGING, *RISING, NEUTRAL, ZERO, BROKEN, *(fill for fill, _ in BIRTH)):
        assert contrast(shade(fill, "").ink, fill) >= 4.5


def test_a_page_of_one_node_is_one_of_landmarks_and_prints_the_whole_picture(tabs: Tabs, tmp_path: Path) -> None:
    assert "<h1>Computation graph of 1 node</h1>" in draw(Tensor(1.0, name="x")).html
    with tabs.watched() as opened:
        tab = opened(draw(two_layers()).save(tmp_path / "page.html").as_uri(), 700, 900)
        assert tab.locator("body > :not(header, main)").count() == 0, "every text is in a landmark"
        wide = "document.querySelector('.drawing svg').getBoundingClientRect().width"
        assert tab.evaluate(wide) > 700, "on the screen it scrolls"
        tab.emulate_media(media="print")
        assert 300 < tab.evaluate(wide) < 700


def test_a_page_holds_the_picture_or_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = draw(hostile(), title=HOSTILE[1]).save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<svg" in page
    monkeypatch.setattr(render, "programs", lambda: iter(()))
    bare = draw(hostile(), title=HOSTILE[1]).save(tmp_path / "bare.html").read_text(encoding="utf-8")
    assert "pip install graphviz-pure" in bare
    assert "flowchart LR" in bare
    assert '<pre tabindex="0">' in bare, "a keyboard scrolls the text"
    for text in (page, bare):
        assert "<th></th>" not in re.sub(r"<th [^>]*>", "<th>", text), "a column without a name"
        assert not re.search("<script|<img", text)
        assert "default-src &#x27;none&#x27;" in text or "default-src 'none'" in text


# -- Files and programs


def test_every_format_is_written_whole(tmp_path: Path) -> None:
    drawing = draw(square(), tmp_path / "graph.svg")
    for suffix in ("png", "dot", "json", "mmd"):
        assert drawing.save(tmp_path / f"graph.{suffix}") == tmp_path / f"graph.{suffix}"
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8") == drawing.svg
    assert (tmp_path / "graph.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "graph.json").read_text(encoding="utf-8")) == drawing.view.to_dict()
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".dot", ".json", ".mmd", ".png", ".svg"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "graph.dot"
    target.write_text("old")

    def no_space(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, step, no_space)
    with pytest.raises(OSError, match="no space"):
        draw(square(), target)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"folder '.*nowhere' does not exist"):
        draw(square(), tmp_path / "nowhere" / "graph.dot")


def test_a_drawing_needs_no_activated_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "<svg" in draw(square()).svg


def test_without_a_program_text_is_still_written_and_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "programs", lambda: iter(()))
    drawing = draw(square())
    for suffix in (".dot", ".json", ".mmd"):
        assert drawing.save(tmp_path / f"graph{suffix}").stat().st_size
    for suffix in (".svg", ".png", ".pdf"):
        with pytest.raises(RuntimeError, match=rf"drawing {suffix[1:].upper()} needs .*`pip install graphviz-pure`"):
            drawing.save(tmp_path / f"picture{suffix}")
    assert not list(tmp_path.glob("*picture*"))


def fake_dot(folder: Path, body: str) -> None:
    """Put a program named dot into a folder."""
    program = folder / "dot"
    program.write_text(f"#!{sys.executable}\nimport sys\ntext = sys.stdin.read()\n{body}\n")
    program.chmod(0o755)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for dot is a script with a first line")
def test_the_dot_of_the_system_comes_first_and_writes_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fake_dot(tmp_path, "print('%PDF of', sys.argv[1], len(text))")
    drawing = draw(square(), tmp_path / "graph.pdf")
    assert (tmp_path / "graph.pdf").read_text() == f"%PDF of -Tpdf {len(drawing.dot)}\n"
    fake_dot(tmp_path, "sys.exit('broken plugins')")
    assert "<svg" in draw(square()).svg, "a dot that fails is passed over"
    with pytest.raises(RuntimeError, match="broken plugins"):
        drawing.save(tmp_path / "other.pdf")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for dot is a script with a first line")
def test_a_graph_that_takes_too_long_to_arrange_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(render, "PATIENCE", 0.3)
    fake_dot(tmp_path, "import time; time.sleep(60)")
    with pytest.raises(RuntimeError, match=r"given up after 0.3 seconds. .*depth=0"):
        draw(square()).save(tmp_path / "graph.svg")


def test_pdf_without_graphviz_itself_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RuntimeError, match=r"graphviz-pure writes \.svg and \.png"):
        draw(square(), tmp_path / "graph.pdf")


def test_drawing_loads_no_drawing_library() -> None:
    code = "import tinygrad_nn.viz, sys; print([m for m in ('matplotlib', 'graphviz', 'rich') if m in sys.modules])"
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# -- Colours


def linear(colour: str) -> np.ndarray[Any, Any]:
    """The light of a colour in red, green and blue."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    dark, light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


# Machado, Oliveira and Fernandes (2009), severity 1: what a reader without red, green or blue cones sees.
SIGHT = {
    "all cones": np.eye(3),
    "no red": np.array([[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]]),
    "no green": np.array([[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]]),
    "no blue": np.array([[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]]),
}


def lab(light: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """CIE L*a*b* of linear RGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = to_xyz @ np.clip(light, 0, 1) / [0.9505, 1.0, 1.089]
    x, y, z = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_text_can_be_read_and_lines_be_seen(theme: Any) -> None:
    fills = [paint.fill for paint in theme.kinds.values()]
    for paint in theme.kinds.values():
        assert contrast(paint.ink, paint.fill) >= 4.5
        assert contrast(paint.line, theme.box_fill) >= 3
        assert contrast(paint.line, theme.background) >= 3
    for ink in (theme.text, theme.muted, theme.gradient):
        assert min(contrast(ink, ground) for ground in (*fills, theme.background, theme.box_fill)) >= 4.5
    assert contrast(theme.edge, theme.box_fill) >= 3


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
def test_kinds_have_distinguishable_colours(theme: Any, sight: str) -> None:
    seen = {kind: lab(SIGHT[sight] @ linear(paint.line)) for kind, paint in theme.kinds.items()}
    apart = {(a, b): np.linalg.norm(seen[a] - seen[b]) for a in seen for b in seen if a < b}
    assert min(apart.values()) > 12, min(apart, key=lambda pair: apart[pair])


@pytest.mark.parametrize("sight", SIGHT)
def test_steps_of_a_scale_have_distinguishable_colours(sight: str) -> None:
    from tinygrad_nn.viz.graph.colour import BIRTH, BROKEN, DIVERGING, RISING, ZERO
    from tinygrad_nn.viz.network.marks import MINUS, PLUS

    signs = [(MINUS[name], PLUS[name]) for name in THEMES]
    for fills in ((*DIVERGING, ZERO, BROKEN), RISING, [fill for fill, _ in BIRTH], *signs):
        seen = [lab(SIGHT[sight] @ linear(fill)) for fill in fills]
        assert min(float(np.linalg.norm(a - b)) for a, b in combinations(seen, 2)) > 10


# -- Plots


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("largest", [9, 2_345, 2_345_678])
def test_counts_fit_their_cells_and_names_their_columns(n: int, largest: int, given: bool) -> None:
    from matplotlib.figure import Figure

    if given and largest * n > 20_000:
        return  # in columns of 28 points nothing readable fits
    own = Figure(figsize=(3.6, 3.6)).subplots() if given else None
    ax = plot_confusion(np.full((n, n), largest), [f"class name {k}" for k in range(n)], own)
    canvas: Any = ax.figure.canvas
    canvas.draw()
    (x0, _), (x1, _) = ax.transData.transform([(0, 0), (1, 0)])
    assert max(text.get_window_extent().width for text in ax.texts) < 0.95 * (x1 - x0)
    labels = [label for label in ax.get_xticklabels() if label.get_text()]
    if labels[0].get_rotation() == 0:
        assert max(label.get_window_extent().width for label in labels) < x1 - x0


@pytest.mark.parametrize(("n", "texts"), [(30, 900), (31, 0)])
def test_a_matrix_of_many_classes_is_colours_alone(n: int, texts: int) -> None:
    ax = plot_confusion(np.ones((n, n), int))
    assert len(ax.texts) == texts
    width = ax.figure.get_size_inches()[0]
    assert width < 0.8 * n + 3 if texts else width < 10
    canvas: Any = ax.figure.canvas
    canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels() if label.get_text()]
    assert len(boxes) == n
    assert all(below.y1 < above.y0 + 1 for above, below in pairwise(boxes))


def test_history_shows_both_losses_from_epoch_one() -> None:
    ax = plot_history({"loss": [3.0, 2.0, 1.0], "val_loss": [3.5, None, 2.5]})
    training, validation = ax.get_lines()
    assert np.asarray(training.get_xdata()).tolist() == [1, 2, 3]
    assert np.asarray(training.get_ydata()).tolist() == [3.0, 2.0, 1.0]
    assert np.isnan(validation.get_ydata()[1])
    assert ax.get_legend() is not None


@pytest.mark.parametrize("val", [None, [], [None, None], [np.nan, np.nan]])
def test_history_without_validation_has_one_line_and_no_legend(val: Any) -> None:
    class History:
        loss = (2.0, 1.0)
        val_loss = val

    ax = plot_history(History())
    assert len(ax.get_lines()) == 1
    assert ax.get_legend() is None
    with pytest.raises(ValueError, match="no losses"):
        plot_history({})


def test_names_of_many_classes_do_not_touch() -> None:
    ax = plot_confusion(np.ones((60, 60), int), [f"class {k}" for k in range(60)])
    canvas: Any = ax.figure.canvas
    canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
    assert all(one.x1 < other.x0 for one, other in pairwise(boxes))


def test_confusion_writes_rows_of_true_classes() -> None:
    ax = plot_confusion(np.array([[5, 1], [0, 1200]]), names=["$a", 7])
    assert [(t.get_position(), t.get_text()) for t in ax.texts] == [
        ((0, 0), "5"), ((1, 0), "1"), ((0, 1), "0"), ((1, 1), "1,200"),
    ]  # fmt: skip
    assert [t.get_text() for t in ax.get_yticklabels() if t.get_text()] == ["\\$a", "7"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    for wrong, message in ((np.ones((2, 3)), r"\(2, 3\)"), (np.ones(3), "square"), (np.ones((0, 0)), "square")):
        with pytest.raises(ValueError, match=message):
            plot_confusion(wrong)
    with pytest.raises(ValueError, match="2 classes, but names has 1"):
        plot_confusion(np.eye(2), names=["a"])


def test_plots_draw_on_given_axes_and_open_no_window(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    left, right = Figure().subplots(1, 2)
    assert plot_history({"loss": [1.0]}, ax=left) is left
    assert plot_confusion([[1]], ax=right) is right
    if "matplotlib.pyplot" not in sys.modules:
        assert plot_history({"loss": [1.0]}).figure.canvas.manager is None


def test_figures_are_saved_whole_and_the_same_each_time(tmp_path: Path) -> None:
    for suffix in ("png", "svg", "pdf"):
        path = tmp_path / f"plot.{suffix}"
        first, again = (save_figure(plot_confusion([[3, 1], [1, 3]]), path).read_bytes() for _ in range(2))
        assert first == again
    ax = plot_history({"loss": [1.0]})
    with pytest.raises(ValueError, match=r"saved as one of .*\.png.*'.*plot\.xyz'"):
        save_figure(ax, tmp_path / "plot.xyz")
    with pytest.raises(FileNotFoundError, match="make it before"):
        save_figure(ax, tmp_path / "nowhere" / "plot.png")
    assert len(list(tmp_path.iterdir())) == 3


def test_a_drawing_is_also_a_source_of_the_graphviz_library() -> None:
    drawing = draw(Tensor(2.0, name="x") * 3.0)
    assert drawing.source.source == drawing.dot


if __name__ == "__main__":
    shutil.rmtree(GOLDEN, ignore_errors=True)
    GOLDEN.mkdir()
    for name, make, options in GRAPHS:
        for suffix, text in texts(draw(make(), **options)).items():
            (GOLDEN / f"{name}{suffix}").write_text(text, encoding="utf-8")
