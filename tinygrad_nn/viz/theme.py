"""The colors of drawings: the palette of Okabe and Ito, which is safe for color blindness, adjusted for contrast.

Source: Masataka Okabe and Kei Ito, Color Universal Design (2002).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paint:
    """The look of one kind of node: colors of fill, outline and text, and the width of the outline."""

    fill: str
    line: str
    ink: str
    width: float = 1.4


@dataclass(frozen=True, slots=True)
class Theme:
    """The colors of a drawing; `kinds` has a `Paint` for each kind of node, including ``"fold"`` and ``"failed"``."""

    background: str
    text: str
    muted: str
    gradient: str
    edge: str
    box_fill: str
    box_line: str
    kinds: dict[str, Paint]


THEMES = {
    "light": Theme(
        background="#ffffff",
        text="#1b1f24",
        muted="#57606a",
        gradient="#a63a00",
        edge="#6e7781",
        box_fill="#f6f8fa",
        box_line="#c4cbd3",
        kinds={
            "leaf": Paint("#e3f0fa", "#0072b2", "#005a8c"),
            "constant": Paint("#f0f1f3", "#7a828e", "#57606a"),
            "operation": Paint("#fff6de", "#b07700", "#805600"),
            "output": Paint("#dcf4ea", "#00714f", "#00603f", 2.4),
            "fold": Paint("#f9ecf3", "#8c2d6b", "#7a235c", 2.0),
            "failed": Paint("#ffe5e2", "#c4161c", "#a40e14", 3.0),
        },
    ),
    "dark": Theme(
        background="#0d1117",
        text="#e6edf3",
        muted="#a5aeb8",
        gradient="#ffa27a",
        edge="#8b949e",
        box_fill="#161b22",
        box_line="#3d444d",
        kinds={
            "leaf": Paint("#10293d", "#3d9be0", "#5fb2ee"),
            "constant": Paint("#22272e", "#7d8590", "#a5aeb8"),
            "operation": Paint("#332709", "#e69f00", "#e69f00"),
            "output": Paint("#0b3125", "#4be0a0", "#4be0a0", 2.4),
            "fold": Paint("#36202d", "#f7b3dc", "#f7b3dc", 2.0),
            "failed": Paint("#4a1215", "#ff6b6b", "#ffb3ad", 3.0),
        },
    ),
}
