"""How pages of the explorer grow: `python -m tests.benchmarks.explorer [GRAPH ...] [--operations N ...]`.

For each graph and size: seconds to write the page, its bytes an operation with and without its numbers, seconds to
load it in Chromium without a window, milliseconds of a step: the median and the longest, all through the walk, and of
the longest jump, from one twelfth of the walk to the next.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import large_graphs
from tinygrad_nn.graph import GraphView
from tinygrad_nn.viz import explore

SIZES = (2_000, 10_000, 50_000)
GRAPHS: dict[str, Any] = {
    "loop": large_graphs.loop,
    "rnn": lambda n: large_graphs.rnn(n // 7),
    "chain": lambda n: large_graphs.chain(int(n * 0.8)),
    "fan": large_graphs.fan,
    "web": large_graphs.web,
    "resnet": lambda n: large_graphs.resnet(n // 21),
}
STEPS = """count => {
    const last = moments.length - 1, steps = [], jumps = [], part = Math.floor(last / 12);
    const take = (to, times) => {
        const begin = performance.now();
        go(to);
        document.getElementById("graph").getBoundingClientRect();
        times.push(performance.now() - begin);
    };
    for (let k = 0; k < 12; k++) for (let i = 0; i < count; i++) take(Math.min(last, k * part + i), i ? steps : jumps);
    for (let i = 0; i < count; i++) take(last - i, i ? steps : jumps);
    const up = list => list.sort((a, b) => a - b);
    return [up(steps), up(jumps)];
}"""


def main() -> None:
    """Print a line for each graph and size."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("graphs", nargs="*", choices=[*GRAPHS, []], default=["loop", "rnn", "chain"])
    parser.add_argument("--operations", nargs="*", type=int, default=SIZES)
    asked = parser.parse_args()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    print("graph    operations  write s  bytes/op  without numbers  load s  step ms  longest ms  jump ms")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name in asked.graphs:
            for size in asked.operations:
                print(f"{name:8} {measure(browser, GRAPHS[name](size), Path(folder) / 'page.html')}", flush=True)
        browser.close()


def measure(browser: Any, result: Any, path: Path) -> str:
    """Return the figures of one page."""
    count = sum(node.operation is not None for node in GraphView(result))
    begin = time.perf_counter()
    explore(result, path)
    written = time.perf_counter() - begin
    html = path.read_text(encoding="utf-8")
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    numbers = len(json.dumps(json.loads(block[1])["arrays"], separators=(",", ":"))) if block else 0
    tab = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce").new_page()
    begin = time.perf_counter()
    tab.goto(path.as_uri())
    tab.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    loaded = time.perf_counter() - begin
    steps, jumps = tab.evaluate(STEPS, 10)
    tab.context.close()
    size = len(html.encode())
    return (
        f"{count:10,} {written:8.2f} {size / count:9.0f} {(size - numbers) / count:16.0f} {loaded:7.2f} "
        f"{steps[len(steps) // 2]:8.1f} {steps[-1]:11.1f} {jumps[-1]:8.1f}"
    )


if __name__ == "__main__":
    main()
