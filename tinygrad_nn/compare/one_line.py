"""Source text of several lines as one line, for sentences that quote it."""

from __future__ import annotations

import io
import tokenize
from functools import lru_cache


@lru_cache(maxsize=512)  # the statements of a search are quoted in each of its edits
def on_one_line(text: str) -> str:
    r"""Return source text on one line, without comments and without backslashes at the ends of lines.

    Args:
        text: a statement, the head of one, or an expression; text that has no tokens is joined as it is.

    Example:
        >>> on_one_line("dz = (dy  # what arrives\n      * (1 - h**2))")
        'dz = (dy * (1 - h**2))'
        >>> on_one_line("dz = dy \\\n    * h")
        'dz = dy * h'
    """
    try:  # in brackets, where an expression may go on in the next line
        found = list(tokenize.generate_tokens(io.StringIO(f"({text}\n)").readline))
    except (tokenize.TokenError, SyntaxError):
        return " ".join(text.split())
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER)
    tokens = [token for token in found[1:] if token.type not in nothing][:-1]
    line = "".join(_gap(*pair) + pair[1].string for pair in zip([found[0], *tokens], tokens, strict=False))
    return line.replace("\n", "\\n").strip()  # the ends of lines that are left are in strings


def _gap(before: tokenize.TokenInfo, after: tokenize.TokenInfo) -> str:
    if before.end[0] == after.start[0]:
        return " " * (before.end[1] < after.start[1])
    joined = before.string in ("(", "[", "{") or after.string in (")", "]", "}")
    return "" if joined or (after.string == "." and before.type != tokenize.NUMBER) else " "
