"""The example notebook in a real kernel and a real browser: all is shown, on light and dark pages, wide and narrow."""

import os
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow

# What a cell that is added to it finds in the kernel after all.
LOADED = "import sys\nprint(*(m for m in ('matplotlib.pyplot', 'ipywidgets', 'rich', 'numba') if m in sys.modules))"
# The policy of the place where Visual Studio Code shows the output of a cell.
CODE = ("default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
        "img-src https: http: data:; font-src https:; connect-src https:; child-src https: data:")  # fmt: skip
SIZES = [("light", 1280), ("light", 390), ("dark", 1280), ("dark", 390)]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example notebook as a kernel executed it, with one more cell."""
    nbformat = pytest.importorskip("nbformat", reason="needs nbconvert and ipykernel: pip install '.[test]'")
    from nbclient import NotebookClient

    found = nbformat.read(ROOT / "examples" / "in_a_notebook.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in found.cells)  # what is in the repository is what is to be run
    found.cells.append(nbformat.v4.new_code_cell(LOADED))
    folder = tmp_path_factory.mktemp("notebook")
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = str(ROOT)
    os.environ["PYTHONWARNINGS"] = "default"
    try:
        NotebookClient(found, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return found


def outputs(notebook: Any, begins: str) -> list[Any]:
    """Return the outputs of the cell that begins so."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.startswith(begins)]
    return list(cell.outputs)


def html_of(notebook: Any, begins: str) -> str:
    (output,) = outputs(notebook, begins)
    return str(output.data["text/html"])


def test_no_cell_warns_and_no_heavy_library_is_loaded(notebook: Any) -> None:
    said = [output for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == "stream"]
    assert [(output.name, output.text.strip()) for output in said] == [("stdout", "")]


def test_a_training_is_one_bar_and_its_history(notebook: Any) -> None:
    bar, history = outputs(notebook, "model =")
    assert '<progress max="20" value="20"' in bar.data["text/html"]
    assert re.fullmatch(r"epoch 20 of 20  loss 0\.\d{4}", bar.data["text/plain"])
    assert history.data["text/html"].count("<svg") == 4
    assert history.data["text/plain"].startswith("History(20 epochs: loss")


def test_plots_appear_whether_they_are_returned_or_not(notebook: Any) -> None:
    shown = outputs(notebook, "ax =")
    assert [output.metadata["image/png"]["alt"] for output in shown] == ["weight", "accuracy by epoch"]


def test_pages_stand_in_frames_out_of_which_nothing_comes(notebook: Any) -> None:
    for begins in ("viz.explore", "%%explore"):
        html = html_of(notebook, begins)
        assert html.startswith("<iframe")
        assert 'sandbox="allow-scripts"' in html
    assert "data:image/gif;base64," in html_of(notebook, "viz.animate")
    assert "image/svg+xml" in outputs(notebook, "viz.draw")[0].data


def test_a_wrong_call_shows_the_error_first_and_is_drawn(notebook: Any) -> None:
    (error,) = outputs(notebook, "hidden =")
    text = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))
    assert text.startswith("ValueError: matmul: ")
    assert len(re.findall(r"^File .*tinygrad_nn", text, flags=re.MULTILINE)) == 1
    assert "----> 2 hidden @ Tensor(np.ones((6, 2))" in text
    assert text.rstrip().endswith("draws what led to it.)")
    html = html_of(notebook, "explain_error")
    assert all(part in html for part in ("ValueError: matmul", "<svg", "3 × 5 and 6 × 2", "#c4161c"))


@pytest.fixture(scope="module")
def pages(notebook: Any) -> dict[str, str]:
    from nbconvert import HTMLExporter

    return {theme: HTMLExporter(theme=theme).from_notebook_node(notebook)[0] for theme in ("light", "dark")}


def walk(inside: Any) -> None:
    """Take a step in the explorer of a frame, whose own script runs."""
    before = inside.locator("body").inner_text()
    inside.locator("#last").click()
    assert inside.locator("body").inner_text() != before


@pytest.fixture(scope="module")
def window(browser: Any) -> Iterator[Any]:
    """A tab for all tests, in which nothing comes from the network, and which keeps what was asked for."""
    context = browser.new_context()
    window = context.new_page()
    window.asked = []
    window.route(re.compile("^http"), lambda route: (window.asked.append(route.request.url), route.abort()))
    yield window
    context.close()


@pytest.fixture
def tab(window: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    theme, width = request.param
    window.set_viewport_size({"width": width, "height": 900})
    window.emulate_media(color_scheme=theme)
    window.asked.clear()
    yield window
    window.goto("about:blank")


@pytest.mark.parametrize(("tab", "theme"), [(size, size[0]) for size in SIZES], indirect=["tab"])
def test_the_page_of_the_notebook_is_whole(tab: Any, theme: str, pages: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "notebook.html"
    path.write_text(pages[theme], encoding="utf-8")
    tab.goto(path.as_uri())
    assert {url.split("/")[2] for url in tab.asked} <= {"cdnjs.cloudflare.com"}  # nbconvert's own two scripts
    tab.locator("details").evaluate_all("all => all.forEach(element => { element.open = true; })")
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    wide = tab.evaluate(
        "[...document.querySelectorAll('.jp-RenderedHTMLCommon :is(iframe, img), .jp-RenderedImage img')]"
        ".map(one => one.getBoundingClientRect().right)"
    )
    assert len(wide) >= 10
    assert max(wide) <= tab.viewport_size["width"]
    small = tab.evaluate(
        "[...document.querySelectorAll('.jp-RenderedHTMLCommon :is(td, th, summary, figcaption, p, span)')]"
        ".filter(one => one.textContent.trim() && parseFloat(getComputedStyle(one).fontSize) < 11).length"
    )
    assert small == 0
    frame = tab.locator("iframe").first
    frame.scroll_into_view_if_needed()
    inside = frame.content_frame
    walk(inside)
    locked = tab.frames[1].evaluate("() => { try { return parent.document.title } catch (e) { return e.name } }")
    assert locked == "SecurityError"


@pytest.mark.parametrize("tab", [("light", 1280), ("dark", 390)], indirect=True)
def test_outputs_have_no_serious_fault_for_a_screen_reader(tab: Any, pages: dict[str, str], tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    theme = "dark" if tab.viewport_size["width"] == 390 else "light"
    path = tmp_path / "notebook.html"
    path.write_text(pages[theme], encoding="utf-8")
    tab.goto(path.as_uri())
    tab.locator("details").evaluate_all("all => all.forEach(element => { element.open = true; })")
    found = axe.Axe().run(tab, context={"include": [[".jp-RenderedHTMLCommon[data-mime-type='text/html']"]]})
    bad = [fault for fault in found.response["violations"] if fault["impact"] in ("serious", "critical")]
    assert not [(fault["id"], fault["nodes"][0]["html"][:200]) for fault in bad]


@pytest.mark.parametrize("tab", [("light", 1280)], indirect=True)
def test_visual_studio_codes_policy_lets_the_page_run(tab: Any, notebook: Any, tmp_path: Path) -> None:
    shown = [output.data["text/html"] for cell in notebook.cells for output in cell.get("outputs", ())
             if "text/html" in output.get("data", {})]  # fmt: skip
    assert len(shown) >= 9
    wrong: list[str] = []
    tab.on("console", lambda message: wrong.append(message.text))
    path = tmp_path / "output.html"
    policy = f'<meta http-equiv="Content-Security-Policy" content="{escape(CODE)}">'
    path.write_text(f"<!doctype html>{policy}<meta charset=utf-8>{''.join(shown)}", encoding="utf-8")
    tab.goto(path.as_uri())
    frame = tab.locator("iframe").first
    frame.scroll_into_view_if_needed()
    inside = frame.content_frame
    walk(inside)
    assert tab.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert not wrong
    assert not tab.asked
