"""Names of files, tensors and columns as messages show them: no character of theirs commands the terminal."""

from __future__ import annotations


def printable(text: object, keep: str = "") -> str:
    r"""Return a text in which control characters, and those that turn the direction of writing, are escaped.

    Args:
        text: of a person or a file, such as a path or the name of a tensor.
        keep: characters that stay as they are, such as ``"\n"`` in a text of several lines.

    Example:
        >>> printable("layer\x1b[2J.weight"), printable("größe 1")
        ('layer\\x1b[2J.weight', 'größe 1')
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
