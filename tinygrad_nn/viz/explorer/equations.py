"""The equations of a page, each only once."""

from __future__ import annotations

from ...graph.equations import Tree, tree


class Equations:
    """Equations as trees that can only become MathML, each only once."""

    def __init__(self) -> None:
        self.trees: list[Tree] = []
        self.known: dict[str, int] = {}

    def add(self, tex: str | None) -> int:
        """Return the number of an equation, -1 for none."""
        if tex is None:
            return -1
        if tex not in self.known:
            self.known[tex] = len(self.trees)
            self.trees.append(tree(tex))
        return self.known[tex]
