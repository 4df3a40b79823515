"""Two real data sets and a text that come with the package; sources and licences are in `sets/README.md`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinygrad_nn.common.display import FEW, WIDE, brief, picture, tuple_in_few_lines
from tinygrad_nn.common.printable import printable
from tinygrad_nn.data.encode import one_hot


class Dataset(NamedTuple):
    """Samples `x` (batch, n_in), class numbers `y` (batch,), and their names, description, source and licence."""

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    description: str
    source: str
    licence: str

    @property
    def targets(self) -> NDArray[np.float64]:
        """The classes as one-hot rows, (batch, classes)."""
        return one_hot(self.y, len(self.class_names))

    def __repr__(self) -> str:
        """Return a summary of a few lines; the arrays are in `x` and `y`."""
        counts = [int((self.y == k).sum()) for k in range(len(self.class_names))]
        classes = [f"{name} {count}" for name, count in zip(self.class_names, counts, strict=True)]
        lines = [
            f"Dataset(x={brief(self.x)}, y={brief(self.y)})",
            f"  features  {_list_text(self.feature_names)}",
            f"  classes   {_list_text(classes)}",
            f"  {self.description}",
        ]
        return "\n".join(printable(line) for line in lines)

    def _repr_html_(self) -> str | None:
        return picture(self)


def _list_text(names: Sequence[str]) -> str:
    """Return names with commas between them; if there are too many for a line, only the first few and the last."""
    line = ", ".join(names)
    return line if len(line) <= WIDE else f"{', '.join(names[:FEW])}, ..., {names[-1]} ({len(names)} in all)"


def load_iris() -> Dataset:
    """Fisher's iris flowers: 150 flowers, 4 lengths in cm, 3 species of 50 each.

    Source: R. A. Fisher (1936), Annals of Eugenics 7, 179-188; his table, without the two errors of UCI's copy.

    >>> iris = load_iris()
    >>> iris.x.shape, iris.targets.shape, iris.class_names
    ((150, 4), (150, 3), ('setosa', 'versicolor', 'virginica'))
    """
    header, *lines = _read("iris.csv").decode("ascii").split()
    cells = [line.split(",") for line in lines]
    classes = tuple(sorted({row[-1] for row in cells}))
    return Dataset(
        x=np.array([row[:-1] for row in cells], dtype=np.float64),
        y=np.array([classes.index(row[-1]) for row in cells], dtype=np.int64),
        feature_names=tuple(header.split(",")[:-1]),
        class_names=classes,
        description="150 iris flowers: length and width of sepal and petal in cm, and the species. Fisher's table; "
        "UCI's copy differs in rows 35 and 38.",
        source="R. A. Fisher (1936), The use of multiple measurements in taxonomic problems, Annals of Eugenics 7(2), "
        "179-188; UCI Machine Learning Repository, https://doi.org/10.24432/C56C76",
        licence="CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    )


def load_digits() -> Dataset:
    """Handwritten digits: 1,797 images of 8x8 pixels (row by row, 0 to 16), 10 classes.

    Source: E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI.

    >>> digits = load_digits()
    >>> digits.x.shape, digits.targets.shape, digits.x.max()
    ((1797, 64), (1797, 10), np.float64(16.0))
    """
    import gzip

    table: NDArray[Any] = np.array(
        [line.split(",") for line in gzip.decompress(_read("digits.csv.gz")).decode("ascii").split()], dtype=np.int64
    )
    return Dataset(
        x=table[:, :-1].astype(np.float64),
        y=table[:, -1].copy(),
        feature_names=tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8)),
        class_names=tuple("0123456789"),
        description="1,797 handwritten digits by 13 people, 8x8 pixels row by row, ink from 0 to 16: the test part of "
        "the UCI set.",
        source="E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning "
        "Repository, https://doi.org/10.24432/C50P49",
        licence="CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
    )


class Text(NamedTuple):
    """A text and its characters: `codes` (length,) are indices into `alphabet`, which is sorted."""

    text: str
    codes: NDArray[np.int64]
    alphabet: str
    source: str

    def spell(self, codes: Any) -> str:
        """Return the text of a sequence of codes."""
        return "".join(self.alphabet[int(code)] for code in codes)

    def __repr__(self) -> str:
        return tuple_in_few_lines(self)


def load_sonnets() -> Text:
    """Fourteen of Shakespeare's sonnets, 8,642 characters in modern spelling: a text for small language models.

    Source: W. Shakespeare (1609), Sonnets 1, 2, 12, 18, 29, 30, 33, 55, 60, 64, 65, 73, 116 and 130; public domain.

    >>> sonnets = load_sonnets()
    >>> sonnets.spell(sonnets.codes[:40]), len(sonnets.alphabet)
    ('From fairest creatures we desire increas', 57)
    """
    text = _read("sonnets.txt").decode("ascii")
    alphabet = "".join(sorted(set(text)))
    place = {character: k for k, character in enumerate(alphabet)}
    return Text(text, np.array([place[character] for character in text], dtype=np.int64), alphabet,
                "W. Shakespeare (1609), Sonnets, in the public domain")


def _read(name: str) -> bytes:
    from importlib.resources import files

    return files("tinygrad_nn.data").joinpath("sets", name).read_bytes()
