"""What a notebook shows, piece by piece: HTML without scripts, pages in frames, all user text escaped."""

import base64
import io
import re
import types
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import History, Layer, Tensor, load_digits, load_iris, profile, viz
from tinygrad_nn.common.display import PICTURES, picture
from tinygrad_nn.solver import progress_bar
from tinygrad_nn.viz.notebook import heat_map
from tinygrad_nn.viz.notebook.magic import explore_cell
from tinygrad_nn.viz.training import inline

EVIL = "</script></pre><img src=x onerror=alert(1)>\"'&"


def leaf(*shape: int, **how: Any) -> Tensor:
    t = Tensor(np.random.default_rng(0).normal(size=shape), **how)
    (t * t).sum().backward()
    return t


def trained(epochs: int = 30) -> History:
    falling = [1 / (k + 1) for k in range(epochs)]
    return History(falling, [2 * v for v in falling], {"accuracy": falling, "val_accuracy": falling, EVIL: falling})


def live(folder: Path) -> Any:
    report = viz.LiveReport(folder / "live.html", title=EVIL)
    report(types.SimpleNamespace(number=1, epochs=2, loss=0.5, val_loss=None, metrics={EVIL: 1.0}, model=[]))
    return report


def evil_iris(_: Path) -> Any:
    return load_iris()._replace(class_names=(EVIL, "b", "c"), feature_names=(EVIL, "b", "c", "d"))


def loss() -> Tensor:
    x = Tensor([[1.0, 2.0]], name=EVIL)
    return (np.tanh(x) * x).sum()


SHOWN: dict[str, Callable[[Path], Any]] = {
    "a leaf with its gradient": lambda _: leaf(3, 4, name=EVIL),
    "a kernel":                 lambda _: leaf(16, 3, 5, 5),
    "a large array":            lambda _: leaf(300, 400),
    "a vector":                 lambda _: leaf(7),
    "complex numbers":          lambda _: Tensor(np.array([[1 + 2j, np.nan]])),
    "what is not finite":       lambda _: Tensor([[np.nan, np.inf, -1.0, 0.0]]),
    "whole numbers":            lambda _: Tensor(np.arange(12).reshape(3, 4)),
    "a scalar":                 lambda _: Tensor(2.0, name=EVIL),
    "nothing":                  lambda _: Tensor(np.zeros((0, 3))),
    "a history":                lambda _: trained(),
    "a data set":               evil_iris,
    "digits":                   lambda _: load_digits(),
    "a page":                   lambda _: viz.explore(loss(), title=EVIL),
    "a page on disk":           lambda folder: viz.explore(loss(), folder / "page.html"),
    "an animation":             lambda folder: viz.animate(loss(), folder / "walk.gif", width=400),
    "a drawing's page":         lambda folder: viz.draw(loss()).save(folder / "graph.html"),
    "a network's page":         lambda folder: viz.draw_network([Layer(2, 2, rng=0)]).save(folder / "net.html"),
    "a live report":            live,
    "a profile":                lambda _: profile(loss, repeats=1, compile=False),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
def test_notebook_output_is_html_without_scripts(name: str, tmp_path: Path) -> None:
    html = SHOWN[name](tmp_path)._repr_html_()
    root = ET.fromstring(f"<div>{re.sub(r'<(br|img|meta)([^>]*[^>/])?>', r'<br/>', html)}</div>")  # well-formed
    tags = {element.tag for element in root.iter()}
    assert not tags & {"script", "link", "object", "embed", "base", "style"}
    assert "onerror=alert" not in re.sub(r'"[^"]*"', "", re.sub(r"&lt;img src=x.*?&gt;", "", html))
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!data:)", re.sub(r'srcdoc="[^"]*"', "", html))
    for part in root.iter():
        wide = part.tag == "pre" or any(inner.tag.endswith(("table", "svg")) for inner in part.iter())
        if "overflow-x:auto" in part.get("style", "") and wide:  # a picture is not wider than its place
            assert part.get("tabindex") == "0", "a keyboard scrolls what is too wide"
    for frame in root.iter("iframe"):
        assert frame.attrib["sandbox"] == "allow-scripts"  # and so no name, cookie or frame of the notebook
        assert frame.attrib["title"]
        assert "<!doctype html>" in frame.attrib["srcdoc"].lower()
    assert len(html) < 400_000


def test_a_tensor_is_its_text_and_on_a_click_every_slice_of_value_and_gradient() -> None:
    html = leaf(16, 3, 5, 5)._repr_html_()
    assert html.startswith("<pre")
    assert "Heat map of 16 × 3 × 5 × 5 float64 and its gradient" in html
    assert len(re.findall(r"<img", html)) == 2 * 16 * 3
    assert "value [15, 2]" in html
    assert "gradient [0, 0]" in html
    assert html.split("<details>")[0].count("\n") < 25
    many = leaf(200, 2, 3)._repr_html_()
    assert many.count("<figure") == 2 * heat_map.MOST
    assert f"{200 - heat_map.MOST} more are not shown" in many
    assert "<details>" not in Tensor(2.0)._repr_html_()
    assert "gradient" not in Tensor([1.0, 2.0])._repr_html_()


def test_cells_of_a_small_map_say_index_and_number() -> None:
    t = Tensor([[1.0, -2.0], [0.0, np.nan]])
    html = t._repr_html_()
    cells = re.findall(r'<td style="background:(#\w+);color:(#\w+)[^>]*title="(.*?)">(.*?)</td>', html)
    assert [(where, number) for _, _, where, number in cells] == [
        ("[0, 0]", "1"), ("[0, 1]", "-2"), ("[1, 0]", "0"), ("[1, 1]", "nan")]  # fmt: skip
    assert [fill for fill, *_ in cells][1:] == ["#7a3300", "#f7f7f7", "#8c2d6b"]
    assert "orange down to -2" in html
    assert "violet is not finite" in html


@pytest.mark.parametrize("array", [np.arange(12.0).reshape(3, 4) - 5, np.eye(7)[:, :5]])
def test_a_picture_of_an_array_has_its_signs(array: np.ndarray[Any, Any]) -> None:
    from PIL import Image

    _, html = heat_map._heat_map(array, heat_map.largest_value(array), "x", (), numbers=False)
    data = re.search(r"base64,([^\"]+)", html)
    assert data is not None
    rgb = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1])))).astype(int)
    assert rgb.shape == (*array.shape, 3)
    blueness = rgb[..., 2] - rgb[..., 0]
    assert np.array_equal(np.sign(blueness), np.sign(array))


def test_means_over_blocks_are_those_of_the_entries() -> None:
    x = np.arange(35.0).reshape(5, 7)
    found = heat_map.block_means(x, (2, 3))
    wanted = [[x[i : i + 2, j : j + 3].mean() for j in range(0, 7, 3)] for i in range(0, 5, 2)]
    np.testing.assert_allclose(found, wanted, rtol=1e-14)  # sums of six numbers


def test_a_history_is_its_curves_and_its_table() -> None:
    html = trained(500)._repr_html_()
    assert html.count("<svg") >= 3
    assert "<summary" in html
    assert html.count("<tr>") == 1 + 10 + 1 + 10
    assert "All epochs" in trained(12)._repr_html_()
    assert History()._repr_html_() is None


def test_a_tensor_has_its_picture_by_its_class() -> None:
    assert "_repr_html_" in vars(Tensor)  # marimo asks no instance


def test_objects_without_a_picture_are_shown_as_text() -> None:
    assert picture(object()) is None
    assert picture(Layer(2, 2)) is None
    assert len(PICTURES) == 1


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Stand in for the shell of a notebook, which keeps what is published."""
    told: list[dict[str, Any]] = []
    callbacks: dict[str, list[Any]] = {"post_run_cell": []}
    events = types.SimpleNamespace(callbacks=callbacks, register=lambda name, f: callbacks[name].append(f))
    publisher = types.SimpleNamespace(publish=lambda **message: told.append(message))
    found = types.SimpleNamespace(events=events, display_pub=publisher, told=told)
    for module in (inline, progress_bar):
        monkeypatch.setattr(module, "notebook", lambda: found)
    yield found
    inline._waiting.clear()


def test_a_plot_is_a_picture_where_it_is_returned_and_else_as_its_cell_ends(
    shell: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    ax = viz.plot_history({"loss": [0.5, 0.25]})
    data, about = ax._repr_mimebundle_()
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert about["image/png"]["alt"] == "loss by epoch"
    assert 500 < about["image/png"]["width"] < 700
    (ends,) = shell.events.callbacks["post_run_cell"]
    ends(types.SimpleNamespace(success=True))
    assert not shell.told  # it was shown already
    viz.plot_history({"loss": [0.5, 0.25]})
    viz.plot_weights(np.eye(3))
    ends(types.SimpleNamespace(success=True))
    assert [message["metadata"]["image/png"]["alt"] for message in shell.told] == [
        "loss by epoch", "to neuron by from neuron"]  # fmt: skip
    viz.plot_weights(np.eye(3))
    ends(types.SimpleNamespace(success=False))  # a cell that failed shows its error alone
    assert len(shell.told) == 2
    assert shell.events.callbacks["post_run_cell"] == [ends]


def test_a_figure_that_pyplot_shows_is_not_shown_twice(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    ax = viz.plot_history({"loss": [0.5, 0.25]})
    assert ax.figure.number in pyplot.get_fignums()
    assert "image/png" in ax._repr_mimebundle_()[0]  # nothing else shows it
    monkeypatch.setattr(pyplot, "get_backend", lambda: "module://matplotlib_inline.backend_inline")
    assert "image/png" not in ax._repr_mimebundle_()[0]
    assert not inline._waiting
    assert repr(ax).startswith("<Axes:")


def test_the_bar_of_a_notebook_changes_one_output(shell: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0.0, 1000.0, 0.2).tolist())
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: next(clock))
    with progress_bar.showing_progress(3, 0) as shown:
        for k in range(3):
            list(shown.batches(iter([1, 2]), 2))
            shown.epoch(types.SimpleNamespace(loss=1.0 / (k + 1), val_loss=0.5))  # type: ignore[arg-type]
    assert [message["update"] for message in shell.told] == [False] + [True] * (len(shell.told) - 1)
    assert len({message["transient"]["display_id"] for message in shell.told}) == 1
    last = shell.told[-1]["data"]
    assert last["text/plain"] == "epoch 3 of 3  loss 0.3333  val_loss 0.5000"
    assert '<progress max="3" value="3" aria-label="epochs done">' in last["text/html"]
    assert "left" in shell.told[1]["data"]["text/plain"]


def test_pages_without_a_file_are_saved_as_pages(tmp_path: Path) -> None:
    page = viz.explore(loss(), title="walk")
    assert repr(page) == "<page 'walk'; a notebook shows it, .save('page.html') writes it>"
    path = page.save(tmp_path / "a.html")
    assert path.read_text(encoding="utf-8") == page.html
    assert repr(path) == repr(Path(path))
    assert (path.parent)._repr_html_() is None
    with pytest.raises(ValueError, match=r"should end in \.html"):
        page.save(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("cell", "title"),
    [("y = x * 2\n(\n y.sum()\n + 1\n)", "y.sum() + 1"), ("a, b = x.sum(), x.mean()", "(a, b)"), ("x = x * 2", "x"),
     ("_own = x * 3", "_own"), ("x.sum();", "x.sum()")],
)  # fmt: skip
def test_the_magic_shows_what_a_cell_ends_with(cell: str, title: str) -> None:
    space: dict[str, Any] = {"x": Tensor([1.0, 2.0]), "Out": {3: Tensor(1.0)}, "_3": Tensor(1.0)}
    cache = types.SimpleNamespace(cache=lambda code, number: "<cell>")
    shell = types.SimpleNamespace(user_ns=space, transform_cell=lambda text: text, compile=cache)
    text = str(explore_cell(shell, "", cell))
    assert f"<page '{title}';" in text
