"""Texts in the columns of a terminal: a Chinese letter or an emoji takes two, an accent that is its own letter none."""

from __future__ import annotations


def text_columns(text: str) -> int:
    r"""Return how many columns of a terminal a text takes.

    Example:
        >>> text_columns("größe"), text_columns("重み"), text_columns("🚀"), text_columns("e\u0301")
        (5, 4, 2, 1)
    """
    if text.isascii():
        return len(text)
    import unicodedata  # here, as `import tinygrad_nn` does not need it

    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return a text filled with spaces to so many columns, on its left if it is to be aligned right.

    Example:
        >>> pad("重み", 6), pad("重み", 6, right=True)
        ('重み  ', '  重み')
    """
    spaces = " " * (width - text_columns(text))
    return spaces + text if right else text + spaces


def truncate(text: str, width: int, dots: str = "…") -> str:
    """Return a text of at most so many columns; dots stand for what is left out.

    Example:
        >>> truncate("a long name", 7), truncate("重みの名前", 7), truncate("short", 7)
        ('a long…', '重みの…', 'short')
    """
    if text_columns(text) <= width:
        return text
    kept = text[: width - len(dots)]
    while text_columns(kept) > width - len(dots):
        kept = kept[:-1]
    return kept + dots
