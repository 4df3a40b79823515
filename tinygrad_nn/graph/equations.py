"""Rendering of the rule table's TeX: as MathML trees, as lines of Unicode, and with the user's own variable names."""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

Tree = list[Any]  # [tag, attributes, *children], with texts as children

KEPT = {"mathvariant", "stretchy", "fence", "form", "displaystyle", "width", "columnalign", "linethickness", "accent"}
OUT = "\ue000"  # placeholder for `out`, so that the converter reads it as one name, not as o times u times t
MACRON, HAT, OVERLINE = "\u0304", "\u0302", "\u0305"
UP = dict(zip("0123456789+−-=()abcdefghijklmnoprstuvwxyzABDEGHIJKLMNOPRTUVWαβγδ*′",
              "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᴬᴮᴰᴱᴳᴴᴵᴶᴷᴸᴹᴺᴼᴾᴿᵀᵁⱽᵂᵅᵝᵞᵟ*′", strict=True))  # fmt: skip
DOWN = dict(zip("0123456789+−-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True))
SPACED = set("=+−-±×⊙<>≤≥≠∈→≔:∨∧⊕∗*·∘≡∣&")  # spaces are put around these when they stand between two operands
MARKS = set(":;⌊⌋⌈⌉")  # the converter marks these operators as identifiers (<mi>)
PREFIX = set("−-+±¬#∂∇")
SAME = str.maketrans("-∗≔", "−*≔")


def equation_tree(tex: str) -> Tree:
    """Return TeX as a MathML tree of nested lists; TeX that the converter cannot parse becomes a single text element.

    Example:
        >>> equation_tree("g^T x")
        ['mrow', {}, ['msup', {}, ['mi', {}, 'g'], ['mi', {}, 'T']], ['mi', {}, 'x']]
        >>> equation_tree("out^T")
        ['mrow', {}, ['msup', {}, ['mi', {}, 'out'], ['mi', {}, 'T']]]
    """
    from latex2mathml.converter import convert

    try:
        found = _element_tree(ET.fromstring(convert(re.sub(r"(?<![A-Za-z\\])out(?![A-Za-z])", OUT, tex))))
        return found[2] if len(found) == 3 and isinstance(found[2], list) else ["mrow", {}, *found[2:]]
    except Exception:  # a user's primitive may have any TeX; a drawing must not fail because of it
        return ["mtext", {}, tex]


@lru_cache(maxsize=1024)
def unicode_math(tex: str) -> str:
    r"""Return TeX as a line of Unicode, for a terminal; TeX that the converter cannot parse is returned unchanged.

    Example:
        >>> print(unicode_math(r"\frac{\partial L}{\partial x} = g \, (1 - out^2)"))
        ∂L/∂x = g (1 − out²)
        >>> print(unicode_math(r"\bar W = \textstyle\sum_n g_n x_n^T"))
        W̄ = Σₙ gₙ xₙᵀ
    """
    return unicode_line(equation_tree(tex))


def unicode_line(part: Tree) -> str:
    """Return a MathML tree as a line of Unicode."""
    if part[0] in ("mi", "mn") and len(part) == 3 and part[2].isascii() and part[2].isalnum():
        return str(part[2])  # as the lines below would, of most parts
    text = re.sub(r"[ \xa0]{2,}|\xa0", " ", _text(part).replace("∑", "Σ")).strip()
    return unicodedata.normalize("NFC", re.sub(r" ?([:+×]) = ", r" \1= ", text))


def replace_letters(part: Tree, letters: Mapping[str, Tree]) -> Tree:
    """Return a copy of a MathML tree in which single letters are replaced by other trees.

    Example:
        >>> letters = {"g": ["mi", {}, "da"], "x": ["mi", {}, "h"]}
        >>> unicode_line(replace_letters(equation_tree("g^T x"), letters))
        'daᵀ h'
    """
    tag, attributes, *children = part
    if tag == "mi" and children and children[0] in letters and "mathvariant" not in attributes:
        return letters[children[0]]
    return [tag, attributes, *(c if isinstance(c, str) else replace_letters(c, letters) for c in children)]


def result_letter(tex: str, symbols: tuple[str, ...]) -> str:
    r"""Return the letter on the left side of an equation, or an empty string if it has only a right side.

    Example:
        >>> result_letter(r"y_i = \max_{j \le i} x_j", ("x",)), result_letter(r"x^y", ("x", "y"))
        ('y', '')
    """
    found = re.match(r"([A-Za-z])(?:_(?:\{[^{}]*\}|\w))? *=", tex)
    return found[1] if found and found[1] not in symbols else ""


def _element_tree(element: ET.Element) -> Tree:
    tag = element.tag.rpartition("}")[2]
    if not (tag.isalpha() and tag.startswith("m")):
        raise ValueError(tag)
    attributes = {name: value for name, value in element.attrib.items() if name in KEPT}
    text = [element.text.replace(OUT, "out")] if element.text and not len(element) else []
    if tag == "mi" and text and text[0] in MARKS:
        tag = "mo"
    parts = list(map(_element_tree, element))
    if tag == "mrow" and len(parts) > 1 and all(part[1].get("mathvariant") == "normal" for part in parts):
        return ["mi", {"mathvariant": "normal"}, "".join(part[2] for part in parts)]  # an upright word
    return [tag, attributes, *text, *parts]


def _text(part: Tree) -> str:
    tag, attributes, *children = part
    if not children:
        return " " if tag == "mspace" else ""
    if isinstance(children[0], str):
        return children[0].translate(SAME) if tag in ("mo", "mtext") else children[0]
    if tag == "mfrac":
        over, under = children
        if attributes.get("linethickness") == "0":
            return f"{unicode_line(over)} choose {unicode_line(under)}"
        return f"{_numerator(over)}/{unicode_line(under) if _is_single(under) else f'({unicode_line(under)})'}"
    if tag == "msup":
        return _base_text(children[0]) + _superscript(unicode_line(children[1]))
    if tag in ("msub", "munder"):
        return _base_text(children[0]) + _subscript(unicode_line(children[1]))
    if tag in ("msubsup", "munderover"):
        return _base_text(children[0]) + _subscript(unicode_line(children[1])) + _superscript(unicode_line(children[2]))
    if tag == "mover":
        return _accented(unicode_line(children[0]), unicode_line(children[1]))
    if tag == "msqrt":
        inside = ["mrow", {}, *children]
        return f"√{unicode_line(inside)}" if _is_single(inside) else f"√({unicode_line(inside)})"
    if tag == "mroot":
        base, index = map(unicode_line, children)
        return f"{_superscript(index)}√{base if _is_single(children[0]) else f'({base})'}"
    if tag == "mtable":
        return "; ".join(" ".join(map(unicode_line, row[2:])) for row in children)
    return _row(children)


def _is_single(part: Tree) -> bool:
    """Whether a tree needs no parentheses as an operand: a letter, a derivative, or a function with its argument."""
    tag, _, *children = part
    if tag in ("mrow", "mstyle"):
        shown = [child for child in children if unicode_line(child)]
        texts = [unicode_line(child) for child in shown]
        if len(shown) == 1:
            return _is_single(shown[0])
        if texts[:1] == ["∂"] or (texts[:1] == ["d"] and len(texts) == 2):
            return "/" not in texts and len([child for child in shown if child[0] not in ("mo", "mspace")]) <= 2
        function = shown and shown[0][0] != "mfrac" and not re.match(r"[a-z](?![a-z])", texts[0])
        return _is_parenthesized(texts) or bool(function and _is_parenthesized(texts[1:]))
    return tag in ("mi", "mn", "mo", "mtext", "msup", "msub", "msubsup", "mover", "msqrt", "mroot")


def _is_parenthesized(texts: list[str]) -> bool:
    """Whether the first text opens a parenthesis that is closed by the last one, and not earlier."""
    depth = 0
    if texts[:1] == ["|"]:
        return texts.count("|") == 2 and texts[-1] == "|"
    for place, text in enumerate(texts):
        depth += (text in "([{") - (text[0] in ")]}")
        if depth <= 0:
            return bool(place) and place == len(texts) - 1
    return False


def _numerator(part: Tree) -> str:
    inner = [child for child in part[2:] if not isinstance(child, str)] if part[0] in ("mrow", "mstyle") else [part]
    signs = [
        k for k, child in enumerate(inner) if k and child[0] in ("mo", "mi") and unicode_line(child) in SPACED | {"/"}
    ]
    loose = signs or any(child[0] == "mfrac" for child in inner)
    return f"({unicode_line(part)})" if loose and not _is_single(part) else unicode_line(part)


def _row(children: list[Tree]) -> str:
    """Join the parts of a row, with spaces around binary operators and around names of several letters."""
    text = ""
    for place, child in enumerate(children):
        piece = _text(child)
        sign, before = piece.strip(), text.rstrip()
        if child[0] == "mo" and sign in SPACED:
            word = place and sign in PREFIX and children[place - 1][0] == "mtext" and before[-1:].isalpha()
            between = before and before[-1] not in "([{,=<>≤≥∣⟨" and not word and place + 1 < len(children)
            text = f"{before} {sign} " if between or sign not in PREFIX else text + sign
        elif child[0] == "mo" and sign in {",", ";"}:
            text = f"{before}{sign} "
        else:
            apart = before and piece and text[-1:] != " " and _needs_space(children[place - 1], before, piece, child)
            text += f" {piece}" if apart else piece
    return text


def _needs_space(previous: Tree, before: str, piece: str, child: Tree) -> bool:
    """Whether two neighbours need a space between them: names of several letters, a sum and its terms, a fraction."""
    if _inner_tag(previous) == "mfrac" and (piece[0].isalnum() or piece[0] in "([Σ∑∏∫"):
        return True
    if child[0] == "mo" and not piece.isalpha():
        return False
    if before[-1] in "([{⟨|√∂Δ∇−+¬#/⌊⌈" or piece[0] in ",;'′)]}⟩|⌋⌉":
        return False
    if "mfrac" in (_inner_tag(previous), _inner_tag(child)) or _innermost_text(previous) in "∑∏∫":
        return True
    last, first = re.split(r"[ (\[{]", before)[-1], re.split(r"[ )(\]\[]", piece)[0]
    return piece[0] not in "([{" and (sum(map(str.isalpha, last)) > 1 or sum(map(str.isalpha, first)) > 1)


def _inner_tag(part: Tree) -> str:
    """Return the tag of a tree, or of its only child if it is a row with a single child."""
    shown = [child for child in part[2:] if not isinstance(child, str)]
    return _inner_tag(shown[0]) if part[0] in ("mrow", "mstyle") and len(shown) == 1 else str(part[0])


def _innermost_text(part: Tree) -> str:
    inner = part[2] if len(part) > 2 else " "
    return inner if isinstance(inner, str) else _innermost_text(inner)


def _base_text(part: Tree) -> str:
    text = unicode_line(part)
    if text == "∑":
        return "Σ"
    alone = _is_parenthesized(list(text)) or (_is_single(part) and " " not in text and "/" not in text)
    return text if alone or not text else f"({text})"


def _superscript(text: str) -> str:
    if text in {"′", "'", "*"}:
        return "′" if text != "*" else "*"
    tight = text.replace(" ", "")
    if tight and all(letter in UP for letter in tight):
        return "".join(UP[letter] for letter in tight)
    return f"^{tight}" if len(tight) == 1 else f"^({text})"


def _subscript(text: str) -> str:
    tight = text.replace(" ", "")
    if tight[:1] == "[" and tight[-1:] == "]":
        return tight
    if tight and all(letter in DOWN for letter in tight):
        return "".join(DOWN[letter] for letter in tight)
    short = re.sub(r"(?<=\w) (?=\w)", "", text)
    return f"_{tight}" if len(tight) == 1 else f"_({short})"


def _accented(text: str, sign: str) -> str:
    mark = HAT if sign in {"^", "ˆ", "̂"} else MACRON
    if len(text) == 1:
        return text + mark
    if mark == MACRON and re.fullmatch(r"\w\d*", text):
        return text[0] + mark + text[1:]
    if re.fullmatch(r"[\w.\[\]'\"]+", text) and sum(c.isalpha() for c in text) > 1:
        return f"∂L/∂{text}"
    return re.sub(r"\S[\u0300-\u036f]*", lambda found: found[0] + (HAT if mark == HAT else OVERLINE), text)
