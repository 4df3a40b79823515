"""Make the pictures of the README and the docs: `python docs/make_images.py`. A test compares them.

The first Python block of the README draws `graph.svg`, `tinygrad-nn train` draws `iris.svg`, and the blocks of
`drawings.md` draw the others.
"""

import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from tinygrad_nn.cli.pictures import draw_graph
from tinygrad_nn.cli.run import Options, prepare

DOCS = Path(__file__).resolve().parent


def blocks(page: Path) -> list[str]:
    """Return the Python blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def run(code: list[str], name: str, folder: Path) -> None:
    """Run blocks one after the other in the folder of their pictures."""
    before, namespace = Path.cwd(), {"__name__": "__main__"}
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            for block in code:
                exec(compile(block, name, "exec"), namespace)
    finally:
        os.chdir(before)


def make_images(folder: Path) -> None:
    """Write all pictures into a folder."""
    run(blocks(DOCS.parent / "README.md")[:1], "README.md", folder)
    run(blocks(DOCS / "drawings.md"), "drawings.md", folder)
    draw_graph(prepare(Options()), folder / "iris.svg")
    for other in folder.iterdir():  # remove what else the blocks write
        if other.is_dir():
            shutil.rmtree(other)
        elif other.suffix not in (".gif", ".png", ".svg"):
            other.unlink()


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "images"
    with tempfile.TemporaryDirectory() as made:
        make_images(Path(made))
        target.mkdir(parents=True, exist_ok=True)
        for picture in sorted(Path(made).iterdir()):
            (target / picture.name).write_bytes(picture.read_bytes())
            print(f"{picture.stat().st_size:>9,} bytes  {target / picture.name}")
