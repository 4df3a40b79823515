"""Names of files, tensors and columns made safe for messages: control characters that a terminal obeys are escaped."""

from __future__ import annotations


def printable(text: object, keep: str = "") -> str:
    r"""Return a text with control characters, and characters that change the direction of writing, escaped.

    Args:
        text: a text from the user or from a file, such as a path or the name of a tensor.
        keep: characters that stay as they are, such as ``"\n"`` in a text of several lines.

    Example:
        >>> printable("layer\x1b[2J.weight"), printable("größe 1")
        ('layer\\x1b[2J.weight', 'größe 1')
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    Example:
        >>> counted(0, "array"), counted(1, "entry"), counted(1200, "entry"), counted(2, "class")
        ('0 arrays', '1 entry', '1,200 entries', '2 classes')
    """
    if noun.endswith("y") and not noun.endswith("ay"):  # entries, but arrays
        many = f"{noun[:-1]}ies"
    else:
        many = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else many}"


def html_text(text: object, keep: str = "") -> str:
    """Return the text of `printable` with the reserved characters of HTML escaped as well."""
    from html import escape  # loads a table of thousands of names, which `import tinygrad_nn` does not need

    return escape(printable(text, keep))
