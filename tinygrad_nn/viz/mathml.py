"""TeX as MathML, in the form of nested lists that can only become MathML."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

KEPT = {"mathvariant", "stretchy", "fence", "form", "displaystyle", "width", "columnalign", "linethickness", "accent"}


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
    """
    from latex2mathml.converter import convert

    try:
        found = _plain(ET.fromstring(convert(tex)))
        return found[2] if len(found) == 3 and isinstance(found[2], list) else ["mrow", {}, *found[2:]]
    except Exception:  # a person's own primitive may have any TeX, and its page is worth more than its equation
        return ["mtext", {}, tex]


def _plain(element: ET.Element) -> list[Any]:
    tag = element.tag.rpartition("}")[2]
    if not (tag.isalpha() and tag.startswith("m")):
        raise ValueError(tag)
    attributes = {name: value for name, value in element.attrib.items() if name in KEPT}
    children: list[Any] = [element.text] if element.text and not len(element) else []
    for child in element:
        children.append(_plain(child))
        if children[-3:] == [["mi", {}, letter] for letter in "out"]:  # one name, not a product of three
            children[-3:] = [["mi", {}, "out"]]
    return [tag, attributes, *children]
