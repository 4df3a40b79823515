"""Make the pictures of the README: `python docs/make_images.py`. A test checks that they are fresh.

`graph.svg` is what the first Python block of the README draws; `iris.svg` is what `tinygrad-nn train` draws.
"""

import contextlib
import io
import os
import re
import sys
from pathlib import Path

from tinygrad_nn.cli.outputs import draw_graph
from tinygrad_nn.cli.run import Options, prepare

DOCS = Path(__file__).resolve().parent


def make_images(folder: Path) -> None:
    """Write all pictures into a folder."""
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    snippet = re.findall(r"^```python\n(.*?)^```$", readme, flags=re.DOTALL | re.MULTILINE)[0]
    before = Path.cwd()
    os.chdir(folder)  # the block saves its drawing where it runs
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(snippet, "README.md", "exec"), {"__name__": "__main__"})
    finally:
        os.chdir(before)
    draw_graph(prepare(Options()), folder / "iris.svg")


if __name__ == "__main__":
    make_images(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "images")
