"""animate: the walk forward and back as an animated GIF."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import write_whole
from ..graph import GraphView
from .arrange import Arrangement, arrange, place
from .explore import wide
from .picture import shorten
from .story import Moment, Story, brief, shape_text, tell, title
from .theme import THEMES, Theme

if TYPE_CHECKING:
    from PIL import Image, ImageDraw

MOST_FRAMES = 400  # a GIF is for looking at; longer computations are for `explore`
SMALLEST = 1.0  # scale at which numbers can be read; a larger graph moves past instead
CAPTION, RIM, LETTER = 64, 14, 7.4
Spots = dict[str, tuple[float, float, float, float]]


def animate(
    result: Any,
    path: str | os.PathLike[str],
    *,
    seconds: float = 1.2,
    width: int = 1200,
    theme: str = "light",
    gradient: Any = None,
    names: Mapping[str, Any] | None = None,
) -> Path:
    """Write an animated GIF of a computation: every operation forward, then every gradient on its way back.

    Args:
        result: a Tensor, several in a list, tuple or dict, or a `GraphView`; the graph must still be there.
        path: of the picture, ``backprop.gif``.
        seconds: that a step is shown.
        width: in pixels, at least 300; a graph too wide to be read so moves past.
        theme: ``"light"`` or ``"dark"``.
        gradient: to walk back with, as for `explore`.
        names: names for Tensors and arrays that have none of their own, such as ``locals()``.

    Returns:
        The path.

    Raises:
        TypeError: something without a graph.
        ValueError: another suffix, an unknown theme, a width or time that is too small, or too many steps.
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
        raise ValueError(f"theme={theme!r}; it is one of {', '.join(map(repr, THEMES))}.")
    if width < 300 or seconds < 0.02:
        raise ValueError(f"width={width} and seconds={seconds}; they are at least 300 and 0.02.")
    view = result if isinstance(result, GraphView) else GraphView(result, names=names)
    story = tell(view, gradient)
    if len(story.moments) > MOST_FRAMES:
        raise ValueError(
            f"this computation has {len(story.moments)} steps, a GIF at most {MOST_FRAMES}. Animate an earlier result, "
            "or write the page: explore(result, 'page.html')."
        )
    frames = _Film(story, width, THEMES[theme]).frames()
    buffer = io.BytesIO()
    times = [round(1000 * seconds)] * len(frames)
    times[-1] *= 2
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=False)
    return write_whole(path, buffer.getvalue())


class _Film:
    """The frames of a story."""

    def __init__(self, story: Story, width: int, theme: Theme) -> None:
        import matplotlib as mpl

        self.story, self.view, self.theme = story, story.view, theme
        self.arrangement: Arrangement = arrange(self.view)
        self.spots: Spots = place(self.arrangement.boxes, self._size)
        _, _, whole, high = self.spots["b0"]
        self.scale = min(1.4, max(SMALLEST, (width - 2 * RIM) / whole))
        self.width = width
        self.height = round(min(max(high * self.scale, 120), 900)) + CAPTION + 2 * RIM
        self.folder = Path(mpl.get_data_path()) / "fonts" / "ttf"  # the fonts that Matplotlib brings
        self.gradients: dict[int, Any] = {}
        self.arity: dict[int, int] = {}
        for edge in self.view.edges:
            self.arity[edge.target] = max(self.arity.get(edge.target, 0), edge.slot + 1)

    def _size(self, key: str) -> tuple[float, float]:
        part = self.view[int(key[1:])]
        has_gradient = part.number in self.story.walk.gradients
        words = [1.15 * wide(title(part)), 0.95 * wide(self._under(part))]
        letters = [*words, len(brief(part.array)), 19.0 * has_gradient]
        return max(letters) * LETTER + 20, 58.0 + 15 * has_gradient

    def _under(self, part: Any) -> str:
        return " · ".join([*([shorten(part.operation)] if part.operation else []), shape_text(part)])

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

    def _frame(self, moment: Moment, at: int, reached: set[int], carried: set[int]) -> Image.Image:
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
            pen.text((x + 8, y + 4), shorten(box.label), theme.muted, self._font(11 * self.scale, True))
        flowing = {c.edge: c.array for c in moment.contributions}
        labels = []
        for place_, edge in enumerate(self.view.edges):
            points = self._line(place_, spot)
            if place_ in flowing:
                pen.line(points, theme.gradient, 4)
                self._tip(pen, points[0], points[min(6, len(points) - 1)], theme.gradient)
                away = next((p for p in points if p[0] - points[0][0] >= 54 * self.scale), points[len(points) // 2])
                labels.append((away, brief(flowing[place_], 11)))
                continue
            lit = moment.phase == "forward" and edge.target == moment.number
            colour = theme.text if lit else theme.gradient if place_ in carried else theme.edge
            pen.line(points, colour, 3 if lit else 1)
            self._tip(pen, points[-1], points[-7 if len(points) > 7 else 0], colour)
        for part in self.view:
            self._node(pen, part, spot(f"n{part.number}"), moment, part.number in reached)
        for (x, y), text in labels:
            font = self._font(11 * self.scale, True)
            half = font.getlength(text) / 2 + 5
            pen.rounded_rectangle((x - half, y - 9, x + half, y + 9), 8, theme.background, theme.gradient)
            pen.text((x, y), text, theme.gradient, font, anchor="mm")
        self._caption(pen, moment, at)
        return image

    def _camera(self, moment: Moment) -> tuple[float, float]:
        """Return where the corner of the graph stands: in the middle, or so that the operation of the step is."""
        _, _, w, h = (part * self.scale for part in self.spots["b0"])
        room_w, room_h = self.width - 2 * RIM, self.height - CAPTION - 2 * RIM
        number = moment.number if moment.number >= 0 else 0 if moment.phase == "start" else len(self.view) - 1
        x, y, a, b = (part * self.scale for part in self.spots[f"n{number}"])
        left = (room_w - w) / 2 if w <= room_w else min(0, max(room_w - w, room_w / 2 - x - a / 2))
        top = (room_h - h) / 2 if h <= room_h else min(0, max(room_h - h, room_h / 2 - y - b / 2))
        return left + RIM, top + RIM

    def _line(self, place_: int, spot: Any) -> list[tuple[float, float]]:
        edge = self.view.edges[place_]
        x, y, w, h = spot(f"n{edge.source}")
        u, v, _, b = spot(f"n{edge.target}")
        corners = [(x + w, y + h / 2)]
        for key in self.arrangement.routes.get(place_, ()):
            p, q, r, s = spot(key)
            corners += [(p, q + s / 2), (p + r, q + s / 2)]
        corners.append((u, v + b * (edge.slot + 1) / (self.arity[edge.target] + 1)))
        points = [corners[0]]
        for (p, q), (r, s) in pairwise(corners):
            bend = max(24 * self.scale, abs(r - p) / 2)
            for i in range(1, 25):
                t = i / 24
                a, b3, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                points.append((a * p + b3 * (p + bend) + c * (r - bend) + d * r, (a + b3) * q + (c + d) * s))
        return points

    def _tip(self, pen: ImageDraw.ImageDraw, at: tuple[float, float], tail: tuple[float, float], colour: str) -> None:
        x, y = at[0] - tail[0], at[1] - tail[1]
        size = max((x * x + y * y) ** 0.5, 1e-9)
        x, y = 8 * x / size, 8 * y / size
        pen.polygon([at, (at[0] - x - y / 2, at[1] - y + x / 2), (at[0] - x + y / 2, at[1] - y - x / 2)], colour)

    def _node(self, pen: ImageDraw.ImageDraw, part: Any, spot: Any, moment: Moment, reached: bool) -> None:
        theme, scale = self.theme, self.scale
        x, y, w, h = spot
        paint = theme.kinds[part.kind]
        current = part.number == moment.number
        back = moment.phase in ("seed", "backward")
        line = (theme.gradient if back else theme.text) if current else paint.line
        fill = paint.fill if reached else theme.background
        radius = 3 if part.operation is None else 12 * scale
        pen.rounded_rectangle((x, y, x + w, y + h), radius, fill, line, 4 if current else round(paint.width))
        rows = [(title(part), 13, True, theme.text), (self._under(part), 10, False, theme.muted)]
        rows.append((brief(part.array) if reached else "", 10, False, theme.text))
        if part.number in self.gradients:
            rows.append(("∂ " + brief(self.gradients[part.number]), 10, True, theme.gradient))
        for i, (text, size, bold, colour) in enumerate(rows):
            middle = (x + w / 2, y + (14 + 15 * i) * scale)
            pen.text(middle, text, colour, self._font(size * scale, bold), anchor="mm")

    def _caption(self, pen: ImageDraw.ImageDraw, moment: Moment, at: int) -> None:
        font, top = self._font(13), self.height - CAPTION
        pen.rectangle((0, top, self.width, self.height), self.theme.box_fill)
        done = self.width * at / max(1, len(self.story.moments) - 1)
        pen.rectangle((0, top, done, top + 3), self.theme.gradient if moment.phase == "backward" else self.theme.edge)
        lines = [""]
        for word in moment.text.split(" "):
            longer = f"{lines[-1]} {word}".strip()
            if font.getlength(longer) > self.width - 2 * RIM and lines[-1]:
                lines.append(word)
            else:
                lines[-1] = longer
        if len(lines) > 2:
            lines[1] += " …"
        for i, line in enumerate(lines[:2]):
            pen.text((RIM, top + 14 + 21 * i), line, self.theme.text, font)
