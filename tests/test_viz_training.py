"""Pictures of networks and trainings show the true numbers, change nothing, and accept any text."""

import copy
import re
import sys
import types
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import (
    BackProp,
    FeedForward,
    Layer,
    Settings,
    Solver,
    Tensor,
    cm,
    fit,
    graph_loss,
    leaky_relu,
    relu,
    sigmoid,
    softmax,
)  # fmt: skip
from tinygrad_nn.node import scope
from tinygrad_nn.viz import (
    GradientFlow,
    LiveReport,
    draw,
    draw_network,
    plot_activation,
    plot_confusion,
    plot_decision_boundary,
    plot_gradient_flow,
    plot_history,
    plot_landscape,
    plot_weights,
    summary,
)
from tinygrad_nn.viz.training.landscape import random_direction
from tinygrad_nn.viz.training.live import chart

EVIL = "</script><img src=x onerror=alert(1)>"
SVG = "{http://www.w3.org/2000/svg}"
SOLVER = Solver("crossentropy", "adam", 0.05)


def network() -> list[Layer]:
    return [Layer(4, 6, "relu", rng=0), Layer(6, 3, "softmax", rng=1)]


def data() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    x = np.random.default_rng(0).normal(size=(12, 4))
    return x, np.eye(3)[np.arange(12) % 3]


def state(model: list[Layer]) -> list[Any]:
    return [(layer.W, layer.W.data, layer.W.data.copy(), layer.W.grad, layer.b.grad) for layer in model]


def unchanged(before: list[Any], after: list[Any]) -> bool:
    return all(
        a[0] is b[0] and a[1] is b[1] and np.array_equal(a[2], b[2]) and a[3] is b[3] and a[4] is b[4]
        for a, b in zip(before, after, strict=True)
    )


# -- The network


def test_a_network_shows_every_weight_and_the_numbers_of_a_sample() -> None:
    model, (x, y) = network(), data()
    before = state(model)
    cache = FeedForward(model, x[:1])
    db = BackProp(model, cache, y[:1], solver=SOLVER).db
    drawing = draw_network(model, x[0], deltas=db, inputs=["a", "b", "c", EVIL], outputs=list("xyz"))
    assert unchanged(before, state(model))
    assert len(drawing.links) == 4 * 6 + 6 * 3
    told = [title.text or "" for title in ET.fromstring(drawing.svg).iter(f"{SVG}title")]
    for i in range(6):
        z, a, d = (float(part[0].ravel()[i]) for part in (cache.z, cache.a, db))
        about = next(text for text in told if text.startswith(f"neuron {i + 1} of layer 1"))
        assert about == f"neuron {i + 1} of layer 1 · bias 0 · z {z + 0.0:.4g} · a {a + 0.0:.4g} · δ {d + 0.0:.4g}"
        dot = drawing.columns[1][i]
        assert (dot.lines, dot.below) == ((f"z {z:.2g}", f"a {a:.2g}"), f"δ {d:.2g}")
    assert drawing.links[5].about == f"weight of layer 1 from neuron 2 to neuron 2: {model[0].W.data[1, 1]:.4g}"
    assert "<img" not in drawing.svg
    assert any(text.startswith("</script><img") for text in ["".join(t.itertext()) for t in ET.fromstring(drawing.svg)])
    assert drawing.svg == draw_network(model, x[0], deltas=db, inputs=["a", "b", "c", EVIL], outputs=list("xyz")).svg


def test_neurons_and_words_do_not_touch() -> None:
    drawing = draw_network(network(), data()[0][0], deltas=[np.ones(6), np.ones(3)])
    for dots in drawing.columns:
        for upper, lower in pairwise(dots):
            assert lower.y - upper.y >= 2 * drawing.radius + 20
    xs = [dots[0].x for dots in drawing.columns]
    assert min(np.diff(xs)) >= 2 * drawing.radius + 60
    assert all(0 < dot.x < drawing.size[0] and 0 < dot.y < drawing.size[1] for dots in drawing.columns for dot in dots)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e9])
def test_numbers_fit_their_circles(size: float) -> None:
    from matplotlib.textpath import TextPath

    drawing = draw_network(network(), size * data()[0][0])
    for dot in (dot for dots in drawing.columns for dot in dots):
        for line in dot.lines:
            assert "e+" not in line
            half = TextPath((0, 0), line, size=11).get_extents().width / 2
            assert half < np.sqrt(drawing.radius**2 - 11.5**2), "two lines of 11 reach 11.5 up"


def test_of_many_lines_only_the_strong_ones_are_seen() -> None:
    def palest(n: int) -> float:
        drawn = ET.fromstring(draw_network([Layer(n, n, rng=0)], limit=n).svg)
        return min(float(line.attrib["stroke-opacity"]) for line in drawn.iter(f"{SVG}line"))

    assert palest(4) > palest(40)


def test_a_large_layer_is_shortened_with_a_count() -> None:
    drawing = draw_network([Layer(1000, 400, rng=0), Layer(400, 2, rng=0)], limit=9)
    assert [len(dots) for dots in drawing.columns] == [9, 9, 2]
    assert [dot.index for dot in drawing.columns[1]] == [0, 1, 2, 3, None, 396, 397, 398, 399]
    words = ["".join(text.itertext()) for text in ET.fromstring(drawing.svg).iter(f"{SVG}text")]
    assert {"992 more", "392 more", "1,000", "400 linear"} <= set(words)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf", ".html"])
def test_a_network_is_saved(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"network{suffix}"
    draw_network(network(), None, path, title=EVIL)
    start = {".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF", ".html": b"<!doctype html>"}[suffix]
    first = path.read_bytes()
    assert first.startswith(start)
    draw_network(network(), None, path, title=EVIL)
    assert path.read_bytes() == first
    assert b"<img" not in first


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"model": [1]}, TypeError, "list of layers"),
        ({"model": []}, TypeError, "list of layers"),
        ({"model": [Layer(2, 3, rng=0), Layer(4, 1, rng=0)]}, ValueError, "takes 4 columns, but layer 1 gives 3"),
        ({"x": np.ones((2, 4))}, ValueError, r"one sample of 4 numbers; this has shape \(2, 4\)"),
        ({"deltas": [np.ones(6)]}, ValueError, r"of \[6, 3\] numbers"),
        ({"inputs": ["a"]}, ValueError, "inputs needs 4 names; it got 1"),
        ({"limit": 2}, ValueError, "at least 3"),
        ({"theme": "pink"}, ValueError, "'light', 'dark'"),
        ({"path": "net.gif"}, ValueError, "ends in none"),
    ],
)
def test_a_network_that_does_not_fit_is_explained(change: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        draw_network(**{"model": network(), **change})


# -- Plots


def test_history_shows_a_metric_and_the_test_value() -> None:
    history = {"loss": [1.0, 0.5], "test_loss": [1.2, 0.9],
               "metrics": {"accuracy": [0.5, 0.75], "val_accuracy": [0.4, 0.6]}}  # fmt: skip
    assert [line.get_label() for line in plot_history(history).get_lines()] == ["training", "test"]
    ax = plot_history(history, metric="accuracy", test=0.7)
    assert [line.get_label() for line in ax.get_lines()] == ["training", "validation", "test 0.7"]
    assert np.asarray(ax.get_lines()[1].get_ydata()).tolist() == [0.4, 0.6]
    with pytest.raises(ValueError, match="has no 'r2'; it has 'loss', 'accuracy'"):
        plot_history(history, metric="r2")


def test_a_long_name_leaves_room_for_the_plot() -> None:
    names = ["the first of three classes, with a name that goes on and on", "b", "c"]
    drawn = plot_confusion([[1_000_000, 2, 0], [0, 0, 0], [1, 2, 3]], names)
    drawn.figure.draw_without_rendering()
    cell = drawn.get_window_extent().width / 3
    assert all(text.get_window_extent().width < cell for text in drawn.texts)
    assert drawn.get_yticklabels()[0].get_text() == "the first of three classes, with a …"
    plain = plot_gradient_flow({"a": [1.0, 2.0], "b": [1.0, 1.0]})
    longer = plot_gradient_flow({names[0] * 3: [1.0, 2.0], "b": [1.0, 1.0]})
    widths = []
    for ax in (plain, longer):
        ax.figure.draw_without_rendering()
        widths.append(ax.get_window_extent().width)
    assert widths[1] > 0.4 * widths[0]


def test_epochs_are_whole_numbers_and_an_empty_plot_says_why() -> None:
    for ax in (plot_history({"loss": [0.5]}), plot_gradient_flow({"layer 1": [0.1]}), plot_gradient_flow({"a": [0.0]})):
        ax.figure.draw_without_rendering()
        assert [tick for tick in ax.get_xticks() if ax.get_xlim()[0] <= tick <= ax.get_xlim()[1]] == [1]
    assert [text.get_text() for text in ax.texts] == ["every gradient is 0 or not finite"]


def test_what_is_not_finite_has_a_colour_of_its_own(tmp_path: Path) -> None:
    layer = Layer(2, 3, rng=0)
    layer.W.data[:] = [[np.nan, 0.5], [np.inf, -0.25], [0.0, 0.5]]
    image = plot_weights(layer).images[0]
    assert image.get_clim() == (-0.5, 0.5)
    assert np.array_equal(np.ma.getmaskarray(image.get_array()), [[True, False], [True, False], [False, False]])
    assert plot_weights(layer).child_axes[0].get_ylabel() == "weight; violet is not finite"
    drawing = draw_network([layer], theme="dark")
    assert drawing.svg.count('stroke="#f7b3dc"') == 3  # two weights and the legend
    assert "not finite" in drawing.svg
    layer.W.data[:] = 1.0
    assert "not finite" not in draw_network([layer]).svg


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (relu, lambda z: z > 0),
        (leaky_relu, lambda z: np.where(z > 0, 1, 0.01)),
        (sigmoid, lambda z: 1 / (1 + np.exp(-z)) * (1 - 1 / (1 + np.exp(-z)))),
        (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
        (lambda z: z * 0 + 2.0, lambda z: 0 * z),
    ],
)
def test_an_activation_stands_beside_its_derivative(f: Any, slope: Any) -> None:
    value, derivative = plot_activation(f, low=-3, high=3.1).get_lines()[-2:]
    z = np.asarray(value.get_xdata())
    np.testing.assert_allclose(np.asarray(value.get_ydata()), np.asarray(f(z)))
    np.testing.assert_allclose(np.asarray(derivative.get_ydata()), slope(z), atol=1e-12)


def test_softmax_is_no_function_of_one_number() -> None:
    with pytest.raises(ValueError, match="mixes the entries"):
        plot_activation(softmax)


def test_a_landscape_has_the_loss_in_its_middle_and_leaves_the_model_alone() -> None:
    model, (x, y) = network(), data()
    model[0].W.grad = np.ones((6, 4))
    before, seen = state(model), []

    def loss(m: Any) -> Any:
        found = graph_loss(m, x, y, solver=SOLVER)
        seen.append(found.item())
        return found

    plot_landscape(loss, model, points=5)
    assert unchanged(before, state(model))
    assert len(seen) == 25
    assert seen[12] == pytest.approx(graph_loss(model, x, y, solver=SOLVER).item(), rel=1e-12)
    assert len(set(seen)) == 25
    with pytest.raises(ValueError, match="shapes of the weights"):
        plot_landscape(loss, model, directions=([np.ones(2)], [np.ones(2)]))
    with pytest.raises(ValueError, match="at least 3 points"):
        plot_landscape(loss, model, points=2)


def test_a_direction_is_as_long_as_the_weights_row_by_row() -> None:
    W = [np.random.default_rng(1).normal(size=(5, 3)) * np.arange(5)[:, None]]
    (d,) = random_direction(W, np.random.default_rng(2))
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), np.linalg.norm(W[0], axis=1))


def test_a_boundary_is_where_the_classes_change() -> None:
    model, (x, y) = network(), data()
    before = state(model)
    ax = plot_decision_boundary(model, x, y, columns=(1, 3), names=["$a", "b", "c"], resolution=40)
    assert unchanged(before, state(model))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["\\$a", "b", "c"]
    ax = plot_decision_boundary(lambda rows: 1.0 * (rows[:, 0] > 0.25), [[-1, 0], [1, 1.0]], resolution=101)
    lines = [path.vertices for c in ax.collections for path in c.get_paths() if len(path.vertices)]
    assert np.concatenate(lines)[:, 0] == pytest.approx(0.25, abs=0.03)
    with pytest.raises(ValueError, match="columns 0 and 5"):
        plot_decision_boundary(model, x, columns=(0, 5))


def test_a_boundary_lies_between_the_points_of_integer_columns_too() -> None:
    ax = plot_decision_boundary(lambda rows: 1.0 * (rows[:, 0] > 0.5), np.array([[0, 0], [1, 1]]), resolution=101)
    lines = [path.vertices for c in ax.collections for path in c.get_paths() if len(path.vertices)]
    assert np.concatenate(lines)[:, 0] == pytest.approx(0.5, abs=0.03)


def test_weights_are_a_map_of_one_layer_or_a_distribution_of_several() -> None:
    model = network()
    (image,) = plot_weights(model[0]).get_images()
    assert np.array_equal(image.get_array(), model[0].W.data)
    ax = plot_weights(model)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["layer 1\n6 × 4", "layer 2\n3 × 6"]
    ax = plot_weights(model * 6)
    ax.figure.canvas.draw()
    ends = [(box.x0, box.x1) for label in ax.get_xticklabels() if (box := label.get_window_extent()).width]
    assert all(left[1] < right[0] for left, right in pairwise(sorted(ends))), "names of layers do not touch"
    with pytest.raises(ValueError, match="with at least one array"):
        plot_weights(np.ones(3))


def test_every_plot_draws_on_given_axes() -> None:
    from matplotlib.figure import Figure

    model, (x, y) = network(), data()
    axes = Figure().subplots(1, 6)
    assert plot_activation(relu, axes[0]) is axes[0]
    assert plot_weights(model, axes[1]) is axes[1]
    assert plot_weights(model[0], axes[2]) is axes[2]
    assert plot_decision_boundary(model, x, y, axes[3], resolution=5) is axes[3]
    assert plot_gradient_flow({"a": [1.0]}, axes[4]) is axes[4]
    assert plot_landscape(lambda m: 1.0, model, axes[5], points=3) is axes[5]


# -- While it trains


def test_gradient_flow_keeps_what_backprop_gives_and_changes_no_training() -> None:
    x, y = data()
    first, second = network(), network()
    flow = GradientFlow(lambda m: BackProp(m, FeedForward(m, x), y, solver=SOLVER))
    settings = Settings(3, 4)
    told = fit(first, x, y, solver=SOLVER, settings=settings, rng=0, callbacks=[flow])
    assert told.loss == fit(second, x, y, solver=SOLVER, settings=settings, rng=0).loss
    dW = BackProp(first, FeedForward(first, x), y, solver=SOLVER).dW
    assert [values[-1] for values in flow.norms.values()] == [pytest.approx(np.sqrt((g**2).mean())) for g in dW]
    ax = plot_gradient_flow(flow)
    assert [len(np.asarray(line.get_ydata())) for line in ax.get_lines()] == [3, 3]
    assert np.isnan(plot_gradient_flow({"a": [0.0, 1.0]}).get_lines()[0].get_ydata()[0])
    for empty in (GradientFlow(), {}):
        with pytest.raises(ValueError, match="no gradients were kept"):
            plot_gradient_flow(empty)
    with pytest.raises(TypeError, match="a function of the model"):
        GradientFlow()(types.SimpleNamespace(model=first))


def test_a_live_report_is_whole_at_every_epoch_and_stops_at_the_end(tmp_path: Path) -> None:
    x, y = data()
    path, pages = tmp_path / "live.html", []
    flow = GradientFlow(lambda m: BackProp(m, FeedForward(m, x), y, solver=SOLVER))
    report = LiveReport(
        path, flow=flow, confusion=lambda m: cm(y, FeedForward(m, x).a[-1]), names=[EVIL, "b", "c"], title=EVIL
    )

    def look(epoch: Any) -> None:
        pages.append(path.read_text(encoding="utf-8"))

    model = network()
    history = fit(model, x, y, x, y, solver=SOLVER, settings=Settings(4, 6), rng=0, callbacks=[report, look])
    assert ['http-equiv="refresh" content="2"' in page for page in pages] == [True, True, True, False]
    assert [path.name for path in tmp_path.iterdir()] == ["live.html"]
    for page in pages:
        assert page.endswith("</html>\n")
        assert page.count("<script") == 1  # its own, and the policy of the page allows no other
        assert not re.search(r"<img|https?://(?!www\.w3\.org)", page)
    assert report.curves["loss"] == history.loss
    assert f"<td class=\"number\">{history.loss[-1]:.4g}</td>" in pages[-1]
    assert pages[-1].count("<polyline") == 6
    assert "Epoch 4 of 4: the training ended" in pages[-1]
    for row in cm(y, FeedForward(model, x).a[-1]):
        assert "".join(f'<td class="number">{count}</td>' for count in row) in pages[-1]


def test_a_resumed_training_is_shown_from_its_first_epoch(tmp_path: Path) -> None:
    x, y = data()
    for epochs in (3, 5):
        report = LiveReport(tmp_path / "live.html")
        history = fit(network(), x, y, x, y, solver=SOLVER, settings=Settings(epochs, 6), rng=0, callbacks=[report],
                      checkpoint=tmp_path / "c", resume=True)  # fmt: skip
    assert report.curves == {"loss": history.loss, "val_loss": history.val_loss, **history.metrics}
    assert len(report.curves["loss"]) == 5


def test_a_training_that_ends_early_is_finished(tmp_path: Path) -> None:
    x, y = data()

    def early(epoch: Any) -> bool:
        return bool(epoch.number == 2)

    with LiveReport(tmp_path / "live.html", refresh=5) as report:
        fit(network(), x, y, solver=SOLVER, settings=Settings(9, 6), callbacks=[report, early])
        assert 'content="5"' in report.path.read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' not in report.path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"the report is a page; .*should end in \.html"):
        LiveReport("live.txt")
    with pytest.raises(ValueError, match="at least 1"):
        LiveReport("live.html", refresh=0)


@pytest.mark.parametrize("values", [[], [np.nan], [1.0], [2.0, 2.0], [1.0, np.inf, 3.0], [1e-30, 1e30], [-5.0, 0.0]])
@pytest.mark.parametrize("log", [False, True])
def test_a_chart_takes_any_numbers(values: list[float], log: bool) -> None:
    drawn = chart(EVIL, {EVIL: values}, log=log)
    ET.fromstring(drawn)
    assert "nan" not in drawn.lower().replace("finance", "")
    assert "<img" not in drawn


# -- Summary


def test_a_summary_counts_shared_parameters_once() -> None:
    shared = Layer(4, 4, "relu", rng=0)
    found = summary([shared, shared, Layer(4, 2, rng=0)], np.ones((3, 4)))
    assert [(row.parameters, row.shared) for row in found.rows] == [(20, False), (0, True), (10, False)]
    assert [(row.input, row.output) for row in found.rows] == [((3, 4), (3, 4)), ((3, 4), (3, 4)), ((3, 4), (3, 2))]
    assert [row.operations for row in found.rows] == [2, 2, 1]
    assert found.rows[0].bytes == 8 * (20 + 2 * 12)
    assert found.parameters == 30
    lines = str(found).splitlines()
    assert lines[0].split() == ["layer", "input", "output", "parameters", "operations", "bytes"]
    assert lines[-1].split() == ["total", "30", "5", "672", "B"]
    assert "<td>2 Layer(4, 4, relu)</td>" in found._repr_html_()


def test_a_summary_of_a_function_is_by_its_outermost_scopes() -> None:
    W = Tensor(np.ones((4, 4)), name="W")

    def model(x: Any) -> Any:
        for k in range(2):
            with scope(f"block{k}"), scope("inner"):
                x = relu(x @ W)
        return x.sum()

    found = summary(model, np.ones((2, 4)))
    assert [(row.name, row.parameters, row.operations) for row in found.rows] == [
        ("block0", 16, 2), ("block1", 0, 2), ("outside all layers", 0, 1),
    ]  # fmt: skip
    with pytest.raises(TypeError, match="list of layers or a function"):
        summary(3, np.ones(2))


def test_nothing_here_opens_a_window_or_changes_a_model() -> None:
    model = network()
    before = copy.deepcopy([layer.W.data for layer in model])
    summary(model, data()[0])
    draw_network(model)
    draw(graph_loss(model, *data(), solver=SOLVER), names=model, color="time")
    assert all(np.array_equal(layer.W.data, w) for layer, w in zip(model, before, strict=True))
    assert all(layer.W.grad is None for layer in model)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
