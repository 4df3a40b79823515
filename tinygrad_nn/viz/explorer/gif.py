"""`animate`: write the forward and backward pass of a computation as an animated GIF."""

from __future__ import annotations

import io
import math
import os
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.spelling import named_options
from ...files import write_whole
from ..graph.picture import shorten
from ..model.variables import view_with_names
from ..notebook.iframe import WrittenFile
from ..theme import THEMES
from .equations import step_equations
from .explore import text_width
from .layout import AHEAD, Point, edge_lines, fit_lines
from .order import Arrangement, arrange
from .story import Moment, Story, brief_array, gradient_lengths, node_subtitle, node_title, tell_story

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

MOST_FRAMES = 400  # longer computations are folded; `explore` shows them completely
SMALLEST = 0.7  # smallest readable scale; a graph too large for it scrolls past
TALLEST, CAPTION, RIM, LETTER = 900, 90, 14, 8.0
LIT = {"light": ("#ffd33d", "#ffe9dc", "#1b1f24"), "dark": ("#e3b341", "#3d2215", "#1b1f24")}  # current, back, text
Spot = tuple[float, float, float, float]  # left, top, width, height


@named_options()
def animate(
    result: Any,
    path: str | os.PathLike[str],
    *,
    seconds: float = 1.2,
    width: int = 1200,
    theme: str = "light",
    gradient: Any = None,
    names: Any = None,
) -> Path:
    """Write an animated GIF of a computation: every operation of the forward pass, then every gradient.

    Args:
        result: a Tensor, several in a list, tuple or dict, or a `GraphView`; the graph must not have been freed.
        path: the file of the picture, ``backprop.gif``.
        seconds: the duration of a step.
        width: width in pixels, at least 300; a graph that would be unreadable at this width scrolls past.
        theme: ``"light"`` or ``"dark"``.
        gradient: the cotangent of the result, as in `explore`.
        names: a dict of names for values without a name of their own, or a model, as in `draw`; by default the
            variables of the caller; ``{}`` for none.

    Returns:
        The path; a notebook displays the animation.

    Raises:
        TypeError: the result has no graph.
        ValueError: the suffix is not .gif, the theme is unknown, or the width or time is too small.
        RuntimeError: the graph was freed.

    Example:
        >>> import tempfile
        >>> from tinygrad_nn import Tensor
        >>> x = Tensor(3.0, name="x")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     animate(x * x, f"{folder}/square.gif").name
        'square.gif'
    """
    if Path(path).suffix.lower() != ".gif":
        raise ValueError(f"an animation is a GIF; {str(path)!r} should end in .gif.")
    if theme not in THEMES:
        raise ValueError(f"theme={theme!r}; it must be one of {', '.join(map(repr, THEMES))}.")
    if width < 300 or seconds < 0.02:
        raise ValueError(f"width={width} and seconds={seconds}; they must be at least 300 and 0.02.")
    named = view_with_names(result, names)
    story = tell_story(named.view, gradient, named.roles)
    if len(story.moments) > MOST_FRAMES:
        from .shortened import abridge

        story = abridge(story, MOST_FRAMES)
    frames = _Film(story, width, theme).frames()
    buffer = io.BytesIO()
    times = [round(1000 * seconds)] * len(frames)
    times[-1] *= 2
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=False)
    return WrittenFile(write_whole(path, buffer.getvalue()))


class _Film:
    """Renderer of the frames of a story."""

    def __init__(self, story: Story, width: int, theme: str) -> None:
        import matplotlib as mpl

        self.story, self.view = story, story.view
        self.theme, self.lit = THEMES[theme], LIT[theme]
        self.letters = gradient_lengths(story)
        self.arrangement: Arrangement = arrange(self.view)
        inner = width - 2 * RIM
        placed = fit_lines(self.arrangement.boxes, self._size, False, frozenset(), (inner, TALLEST), 1.0)
        self.spots = placed.spots
        self.ways = edge_lines(self.view.edges, self.arrangement, placed)
        _, _, whole, high = self.spots["b0"]
        self.scale = min(1.4, max(SMALLEST, min(inner / whole, TALLEST / high)))
        self.width = width
        self.height = round(min(max(high * self.scale, 120), TALLEST)) + CAPTION + 2 * RIM
        self.folder = Path(mpl.get_data_path()) / "fonts" / "ttf"  # the fonts included in Matplotlib
        self.gradients: dict[int, Any] = {}
        self.operands = self.view.operands()

    def _size(self, key: str) -> tuple[float, float]:
        part = self.view[int(key[1:])]
        word = self.story.words[part.number]
        most = self.letters.get(part.number, -2) + 2  # with the sign ∂
        letters = [
            1.15 * text_width(node_title(part, word)),
            text_width(node_subtitle(part, word)),
            len(brief_array(part.array)),
            1.08 * most,
        ]
        return max(letters) * LETTER + 20, 73.0 if most else 58.0

    def frames(self) -> list[Image.Image]:
        reached = {part.number for part in self.view if part.operation is None}
        carried: set[int] = set()
        frames = []
        for place_, moment in enumerate(self.story.moments):
            if moment.phase == "forward":
                reached.add(moment.number)
            if moment.phase == "seed":
                self.gradients[moment.number] = moment.gradient
            for c in moment.contributions:
                self.gradients[self.view.edges[c.edge].source] = c.total
            frames.append(self._frame(moment, place_, reached, carried))
            carried |= {c.edge for c in moment.contributions}
        return frames

    def _font(self, size: float, bold: bool = False) -> Any:
        from PIL import ImageFont

        return ImageFont.truetype(self.folder / f"DejaVuSans{'-Bold' if bold else ''}.ttf", round(size))

    def _frame(self, moment: Moment, at: int, visited: set[int], carried: set[int]) -> Image.Image:
        from PIL import Image, ImageDraw

        theme = self.theme
        image = Image.new("RGB", (self.width, self.height), theme.background)
        pen = ImageDraw.Draw(image)
        left, top = self._camera(moment)

        def spot(key: str) -> tuple[float, float, float, float]:
            x, y, w, h = self.spots[key]
            return x * self.scale + left, y * self.scale + top, w * self.scale, h * self.scale

        for number, box in enumerate(self.arrangement.boxes[1:], 1):
            x, y, w, h = spot(f"b{number}")
            pen.rounded_rectangle((x, y, x + w, y + h), 8, theme.box_fill, theme.box_line)
            if -w < x < self.width and 0 <= y < self.height:
                pen.text((x + 8, y + 4), shorten(box.label), theme.muted, self._font(11 * self.scale, True))
        flowing = {c.edge: c.array for c in moment.contributions}
        labels = []
        for place_, edge in enumerate(self.view.edges):
            points = [(x * self.scale + left, y * self.scale + top) for x, y in self.ways[place_]]
            if place_ in flowing:
                pen.line(points, theme.gradient, 4)
                self._tip(pen, points, theme.gradient)
                labels.append((points, _minus(brief_array(flowing[place_], 11, 2))))
                continue
            lit = moment.phase == "forward" and edge.target == moment.number
            colour = theme.text if lit else theme.gradient if place_ in carried else theme.edge
            pen.line(points, colour, 3 if lit else 1)
            if moment.phase not in ("seed", "backward", "end"):
                self._tip(pen, points[::-1], colour)
            elif edge.source in self.story.walk.gradients:
                self._tip(pen, points, colour)
        for part in self.view:
            self._node(pen, part, spot(f"n{part.number}"), moment, part.number in visited)
        taken = [spot(f"n{part.number}") for part in self.view]
        for points, text in labels:
            x, y, w, h = self._free(points, text, taken)
            taken.append((x, y, w, h))
            pen.rounded_rectangle((x, y, x + w, y + h), 8, theme.background, theme.gradient)
            pen.text((x + w / 2, y + h / 2), text, theme.gradient, self._font(11 * self.scale, True), anchor="mm")
        self._caption(pen, moment, at)
        return image

    def _free(self, points: list[Point], text: str, occupied: list[Spot]) -> Spot:
        """Return a free rectangle for a label on a line: near its source, or further along if that place is taken."""
        w, h = self._font(11 * self.scale, True).getlength(text) + 10, 18 * self.scale
        length = sum(math.dist(a, b) for a, b in pairwise(points))
        places = [AHEAD / 2, AHEAD / 2 + 22, AHEAD / 2 - 22, *range(100, max(100, int(length / self.scale / 2)), 20)]
        for away in places:
            x, y = _point_along(points, min(away * self.scale, length / 2))
            spot = (x - w / 2, y - h / 2, w, h)
            if (
                spot[0] >= RIM
                and spot[0] + w <= self.width - RIM
                and not any(_is_overlapping(spot, other) for other in occupied)
            ):
                return spot
        x, y = _point_along(points, min(AHEAD / 2 * self.scale, length / 2))
        while any(_is_overlapping((x - w / 2, y - h / 2, w, h), other) for other in occupied[len(self.view) :]):
            y += 20 * self.scale  # two edges on the same line, as in x * x: below the other label
        return x - w / 2, y - h / 2, w, h

    def _camera(self, moment: Moment) -> tuple[float, float]:
        """Return the graph's top left corner, such that the graph, or else the operation of the step, is centered."""
        _, _, w, h = (part * self.scale for part in self.spots["b0"])
        room_w, room_h = self.width - 2 * RIM, self.height - CAPTION - 2 * RIM
        number = moment.number if moment.number >= 0 else 0 if moment.phase == "start" else len(self.view) - 1
        x, y, a, b = (part * self.scale for part in self.spots[f"n{number}"])
        left = (room_w - w) / 2 if w <= room_w else min(0, max(room_w - w, room_w / 2 - x - a / 2))
        top = (room_h - h) / 2 if h <= room_h else min(0, max(room_h - h, room_h / 2 - y - b / 2))
        return left + RIM, top + RIM

    def _tip(self, pen: ImageDraw.ImageDraw, line: list[Point], colour: str) -> None:
        """Draw an arrow tip at the start of a line."""
        (x, y), (u, v) = line[0], _point_along(line, 8.0)
        size = max(math.dist((x, y), (u, v)), 1e-9)
        a, b = 8 * (x - u) / size, 8 * (y - v) / size
        pen.polygon([(x, y), (x - a - b / 2, y - b + a / 2), (x - a + b / 2, y - b - a / 2)], colour)

    def _node(self, pen: ImageDraw.ImageDraw, part: Any, spot: Any, moment: Moment, visited: bool) -> None:
        theme, scale = self.theme, self.scale
        x, y, w, h = spot
        if not _is_overlapping(spot, (0, 0, self.width, self.height)):
            return  # outside the frame
        paint = theme.kinds[part.kind]
        current = part.number == moment.number
        back = moment.phase in ("seed", "backward")
        lit, soft, ink = self.lit
        line = (theme.gradient if back else theme.text) if current else paint.line
        fill = (soft if back else lit) if current else paint.fill if visited else theme.background
        radius = 3 if part.operation is None else 12 * scale
        pen.rounded_rectangle((x, y, x + w, y + h), radius, fill, line, 4 if current else round(paint.width))
        text, muted = (ink, ink) if current and not back else (theme.text, theme.muted)
        word = self.story.words[part.number]
        rows = [(node_title(part, word), 14, True, text), (node_subtitle(part, word), 12, False, muted)]
        rows.append((brief_array(part.array) if visited else "", 12, False, text))
        if part.number in self.gradients:
            rows.append(("∂ " + brief_array(self.gradients[part.number]), 12, True, theme.gradient))
        for i, (text, size, bold, colour) in enumerate(rows):
            middle = (x + w / 2, y + (14 + 15 * i) * scale)
            if text:
                pen.text(middle, _minus(text), colour, self._font(size * scale, bold), anchor="mm")

    def _caption(self, pen: ImageDraw.ImageDraw, moment: Moment, at: int) -> None:
        font, top = self._font(13), self.height - CAPTION
        pen.rectangle((0, top, self.width, self.height), self.theme.box_fill)
        done = self.width * at / max(1, len(self.story.moments) - 1)
        pen.rectangle((0, top, done, top + 3), self.theme.gradient if moment.phase == "backward" else self.theme.edge)
        lines = [""]
        for word in _minus(moment.text).split(" "):
            longer = f"{lines[-1]} {word}".strip()
            if font.getlength(longer) > self.width - 2 * RIM and lines[-1]:
                lines.append(word)
            else:
                lines[-1] = longer
        if len(lines) > 2:
            lines[1] += " …"
        for i, line in enumerate(lines[:2]):
            pen.text((RIM, top + 40 + 21 * i), line, self.theme.text, font)
        equation = ",   ".join(step_equations(self.view, moment, self.operands[moment.number]))
        bold = self._font(15, True)
        while equation and bold.getlength(equation) > self.width - 2 * RIM:
            equation = equation.rstrip("…")[:-1] + "…"
        colour = self.theme.gradient if moment.phase == "backward" else self.theme.text
        pen.text((RIM, top + 13), equation, colour, bold)


def _point_along(points: list[Point], distance: float) -> Point:
    """Return the point of a polyline at a distance from its start."""
    for a, b in pairwise(points):
        step = math.dist(a, b)
        if 0 < step >= distance:
            return a[0] + distance / step * (b[0] - a[0]), a[1] + distance / step * (b[1] - a[1])
        distance -= step
    return points[-1]


def _is_overlapping(a: Spot, b: Spot) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def _minus(text: str) -> str:
    return text.replace("-", "\u2212")
