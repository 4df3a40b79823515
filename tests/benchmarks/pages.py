"""How fast the pages with the engine behind them answer: `python -m tests.benchmarks.pages [--seconds N]`.

Of the playground: boundaries drawn a second while two moons are trained in batches of 32, at each pace, and seconds
until 97 % of the rows kept for testing are right. Of the explorer: milliseconds from a changed number to the page that
shows all that follows, of a graph of about 500 operations; the first change apart from the others.
"""

from __future__ import annotations

import argparse
import shutil
import time
from typing import Any

import numpy as np

from tinygrad_nn.play import play
from tinygrad_nn.viz import explore

COUNT = """() => {
    window.drawn = window.frames = 0;
    const put = CanvasRenderingContext2D.prototype.putImageData, boundary = document.getElementById("boundary");
    CanvasRenderingContext2D.prototype.putImageData = function (...all) {
        if (this.canvas === boundary) window.drawn++;
        return put.apply(this, all);
    };
    const next = () => { window.frames++; requestAnimationFrame(next); };
    next();
}"""
CHANGE = """async value => {
    const begin = performance.now();
    const answer = await server.ask("/change", {version: touch.live.version, node: 0, index: [0, 0], value});
    const asked = performance.now();
    touch.take(answer);
    document.body.getBoundingClientRect();
    return [asked - begin, performance.now() - asked];
}"""


def main() -> None:
    """Print the figures of both pages."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    asked = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for pace in ("epoch", "full"):
            print(playground(browser, pace, asked.seconds), flush=True)
        print(changes(browser), flush=True)
        browser.close()


def playground(browser: Any, pace: str, seconds: float) -> str:
    """Return frames a second of a training in the playground."""
    with play(open_browser=False) as server:
        tab = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        tab.goto(server.url)
        tab.wait_for_timeout(500)
        tab.evaluate(COUNT)
        tab.select_option("#pace", pace)
        tab.click("#train")
        tab.evaluate("() => { drawn = frames = 0; window.begun = performance.now(); }")
        begin, learned = time.perf_counter(), None
        while time.perf_counter() - begin < seconds:
            tab.wait_for_timeout(100)
            if learned is None and float(tab.inner_text("#test-score").split()[0]) >= 97:
                learned = time.perf_counter() - begin
        boundaries, frames = tab.evaluate("() => [drawn, frames].map(n => n / (performance.now() - begun) * 1000)")
        tab.context.close()
    when = "never" if learned is None else f"{learned:.1f} s"
    return f"play, pace {pace}: {boundaries:.1f} boundaries a second, {frames:.0f} frames a second; 97 % after {when}"


def changes(browser: Any) -> str:
    """Return milliseconds of changes to an input with 500 operations after it."""

    def chain(x: Any) -> Any:
        y = x
        for _ in range(166):
            y = np.sin(y) * x + 0.1
        return y.sum()

    with explore(chain, np.full((3, 4), 0.5), serve=True, open_browser=False) as server:
        tab = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        tab.goto(server.url)
        tab.locator("#last").click()
        times = [tab.evaluate(CHANGE, str(0.1 + k / 20)) for k in range(12)]
        tab.context.close()
    total = [asked + shown for asked, shown in times]
    shown = [shown for _, shown in times[1:]]
    return (
        f"explore, a change before 499 operations: {np.median(total[1:]):.0f} ms, at most {max(total[1:]):.0f} ms "
        f"(of it the page {np.median(shown):.0f} ms); the first {total[0]:.0f} ms"
    )


if __name__ == "__main__":
    main()
