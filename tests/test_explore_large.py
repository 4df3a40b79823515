"""The explorer on graphs of thousands of operations: folded to what can be read, quick, and no line over a node."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import large_graphs
from tests.test_explore import WRONG
from tinygrad_nn.viz import explore


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Write the page of a graph once."""
    made: dict[str, Path] = {}
    folder = tmp_path_factory.mktemp("pages")

    def page(make: Any) -> Path:
        if make.__name__ not in made:
            made[make.__name__] = explore(make(), folder / f"{make.__name__}.html")
        return made[make.__name__]

    return page


@pytest.fixture
def show(browser: Any, pages: Any) -> Iterator[Any]:
    """Open the page of a graph; when the test ends, nothing may have gone wrong."""
    wrong: list[str] = []
    contexts = []

    def opened(make: Any, width: int = 1280, height: int = 800) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda m: wrong.append(m.text))
        tab.on("pageerror", lambda e: wrong.append(str(e)))
        tab.goto(pages(make).as_uri())
        return tab

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
@pytest.mark.parametrize("make", large_graphs.EVERY)
def test_no_line_runs_over_a_node(show: Any, make: Any, size: tuple[int, int]) -> None:
    tab = show(make, *size)
    assert tab.evaluate(WRONG) == []
    last = tab.evaluate("moments.length - 1")
    for step in (1, last // 4, last // 3, last // 2 - 1, last - 2):
        tab.evaluate("step => go(step)", step)
        assert tab.locator(".node.current").count() == 1, step
        assert tab.evaluate(WRONG) == [], step
        assert tab.evaluate("document.querySelectorAll('#graph *').length") < 3000
    for _ in range(2):
        tab.keyboard.press("u")
        assert tab.evaluate(WRONG) == []
