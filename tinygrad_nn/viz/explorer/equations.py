"""TeX as MathML, in the form of nested lists that can only become MathML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

KEPT = {"mathvariant", "stretchy", "fence", "form", "displaystyle", "width", "columnalign", "linethickness", "accent"}
OUT = "\ue000"  # what stands for the result in the equations is one name, not a product of three letters


class Equations:
    """The equations of a page, each only once: ``[tag, attributes, *children]`` with texts as children."""

    def __init__(self) -> None:
        self.trees: list[Any] = []
        self.known: dict[str, int] = {}

    def add(self, tex: str | None) -> int:
        """Return the number of an equation, -1 for none."""
        if tex is None:
            return -1
        if tex not in self.known:
            self.known[tex] = len(self.trees)
            self.trees.append(tree(tex))
        return self.known[tex]


def tree(tex: str) -> list[Any]:
    """Return TeX as nested lists; as its own text where the converter does not know it.

    Example:
        >>> tree("g^T x")
        ['mrow', {}, ['msup', {}, ['mi', {}, 'g'], ['mi', {}, 'T']], ['mi', {}, 'x']]
        >>> tree("out^T")
        ['mrow', {}, ['msup', {}, ['mi', {}, 'out'], ['mi', {}, 'T']]]
    """
    from latex2mathml.converter import convert

    try:
        found = _plain(ET.fromstring(convert(re.sub(r"(?<![A-Za-z\\])out(?![A-Za-z])", OUT, tex))))
        return found[2] if len(found) == 3 and isinstance(found[2], list) else ["mrow", {}, *found[2:]]
    except Exception:  # a person's own primitive may have any TeX, and its page is worth more than its equation
        return ["mtext", {}, tex]


def _plain(element: ET.Element) -> list[Any]:
    tag = element.tag.rpartition("}")[2]
    if not (tag.isalpha() and tag.startswith("m")):
        raise ValueError(tag)
    attributes = {name: value for name, value in element.attrib.items() if name in KEPT}
    text = [element.text.replace(OUT, "out")] if element.text and not len(element) else []
    return [tag, attributes, *text, *map(_plain, element)]
