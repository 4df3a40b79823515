"""The pictures of the README and the docs are what `docs/make_images.py` makes today, and each is shown somewhere.

Drawings are compared by what is written in them: another version of Graphviz may place it elsewhere. Plots and the GIF
are compared as pictures, and may differ by as much as another version of a font or of Matplotlib makes of them.
"""

import importlib.util
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SIZE = 0.03  # share of the width and height of a plot that another font may change
LIKE = 0.90  # 1 for the same picture; 0.99 where letters are rendered otherwise, 0.86 where a curve differs by a tenth


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("make_images", ROOT / "docs" / "make_images.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder: Path = tmp_path_factory.mktemp("images")
    module.make_images(folder)
    return folder


def texts(picture: Path) -> list[str]:
    """All that is written in a drawing, in sorted order, without errors that are nothing but rounding."""
    found = ET.fromstring(picture.read_text(encoding="utf-8")).itertext()
    return sorted(re.sub(r"error \d\.\de-1[3-9]", "error #", text.strip()) for text in found if text.strip())


def ink(picture: Any) -> np.ndarray[Any, Any]:
    """The distance of each pixel from white, blurred over 6 pixels, so that moving a letter by one changes little."""
    small = picture.convert("RGB").resize((600, 400)).filter(ImageFilter.GaussianBlur(6))
    return 255.0 - np.asarray(small, dtype=float)


def alike(one: Any, other: Any) -> float:
    """The share of ink in the same place: 1 for equal pictures, 0 for pictures without overlap."""
    a, b = ink(one), ink(other)
    return float(np.minimum(a, b).sum() / np.maximum(a, b).sum())


def differences(new: Any, old: Any) -> Iterator[str]:
    if abs(new.width / old.width - 1) > SIZE or abs(new.height / old.height - 1) > SIZE:
        yield f"{new.size} instead of {old.size}"
    elif (found := alike(new, old)) < LIKE:
        yield f"only {found:.2f} alike"


def test_every_picture_is_made_and_shown(made: Path) -> None:
    names = {path.name for path in made.iterdir()}
    assert {path.name for path in IMAGES.iterdir()} == names, "run docs/make_images.py, and remove what is left"
    shown = {Path(target).name for page in PAGES for _, target in pictures(page)}
    assert shown == names


def pictures(page: Path) -> list[tuple[str, str]]:
    return re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_has_a_text_for_those_who_cannot_see_it(page: Path) -> None:
    assert not [target for text, target in pictures(page) if len(text) < 15]


def test_drawings_are_fresh(made: Path) -> None:
    for new in sorted(made.glob("*.svg")):
        assert texts(new) == texts(IMAGES / new.name), f"{new.name}: run docs/make_images.py"


def test_plots_are_fresh(made: Path) -> None:
    found = {}
    for new in sorted(made.glob("*.png")):
        with Image.open(new) as one, Image.open(IMAGES / new.name) as other:
            found[new.name] = list(differences(one, other))
    assert not {name: said for name, said in found.items() if said}, "run docs/make_images.py"


def test_the_animation_is_fresh_and_small(made: Path) -> None:
    with Image.open(made / "backprop.gif") as new, Image.open(IMAGES / "backprop.gif") as old:
        frames: tuple[Any, Any] = (new, old)
        assert frames[0].n_frames == frames[1].n_frames, "run docs/make_images.py"
        for k in range(frames[0].n_frames):
            for film in frames:
                film.seek(k)
            assert not list(differences(*frames)), f"frame {k}: run docs/make_images.py"
    assert (IMAGES / "backprop.gif").stat().st_size < 1_500_000


def test_the_comparison_tells_other_letters_from_other_data(tmp_path: Path) -> None:
    import matplotlib as mpl

    from tinygrad_nn.viz import plot_history, save_figure

    def plot(name: str, noise: float = 0.3, hinting: Any = "force_autohint") -> Any:
        losses = 1 / np.arange(1, 21) + noise * np.random.default_rng(0).random(20)
        with mpl.rc_context({"text.hinting": hinting}):
            return Image.open(save_figure(plot_history({"loss": losses}), tmp_path / name))

    with plot("a.png") as a, plot("b.png", hinting="none") as b, plot("c.png", noise=0.33) as c:
        assert alike(a, a) == 1
        assert 0.95 < alike(a, b) < 1
        assert alike(a, c) < LIKE
