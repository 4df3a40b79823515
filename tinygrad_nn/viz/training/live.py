"""`LiveReport`: a page about a running training, which updates itself in the browser."""

from __future__ import annotations

import base64
import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...common.printable import html_text
from ...files import POLICY, write_whole
from ...graph import short_number
from ..graph.page import html_page, html_table
from ..model.values import array_of, in_eval_mode
from ..notebook.iframe import framed_page
from .gradient_flow import GradientFlow

INKS = ("var(--first)", "var(--second)", "var(--third)", "var(--fourth)", "var(--ink)", "var(--muted)")
DASHES = ("", "7 4", "2 3", "9 3 2 3", "12 5", "4 2")
MOST_POINTS = 600  # approximate number of points of a curve; the plot has no more pixels
W, H, LEFT, RIGHT, TOP, BOTTOM = 560, 300, 80, 22, 14, 50  # text of 18 units has 11 pixels on a phone
STYLE = """.charts { display: grid; gap: 1.2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
figure { margin: 0; } figcaption { font-weight: 600; margin-bottom: .3rem; }
.charts svg { width: 100%; height: auto; } .charts svg text { fill: var(--ink); font-size: 18px; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .85rem; margin: .2rem 0 .4rem; }
.charts .key svg { width: 30px; height: 10px; margin-right: .35rem; }
progress { width: 100%; accent-color: var(--first); }
"""
# A page opened from disk may not read files, but it may load its own file again in a hidden frame. The copy in the
# frame sends its content, and only changed parts are replaced, so that scroll position, selection and focus stay.
SCRIPT = """"use strict";
const report = document.getElementById("report");
const ended = () => report.querySelector("progress").dataset.ended;
if (location.hash === "#copy") parent.postMessage(report.innerHTML, "*");
else if (!ended()) {
  let frame = null;
  const look = () => {
    if (frame) frame.remove();
    frame = document.createElement("iframe");
    frame.hidden = true;
    frame.setAttribute("sandbox", "allow-scripts");
    const copy = new URL(location.href);
    copy.search = Date.now();
    copy.hash = "copy";
    frame.src = copy;
    document.body.append(frame);
  };
  const timer = setInterval(look, 1000 * REFRESH);
  addEventListener("message", ({ source, data }) => {
    if (!frame || source !== frame.contentWindow) return;
    frame.remove();
    frame = null;
    const fresh = document.createElement("template");
    fresh.innerHTML = data;
    const parts = [...fresh.content.childNodes];
    if (parts.length !== report.childNodes.length) report.replaceChildren(...parts);
    else parts.forEach((part, i) => renew(report.childNodes[i], part));
    if (ended()) clearInterval(timer);
  });
}

// What is read aloud, marked or has the focus keeps its element.
function renew(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const parts = [...fresh.childNodes];
  if (old.nodeName !== fresh.nodeName || old.childNodes.length !== parts.length) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) return old.nodeValue = fresh.nodeValue;
  for (const name of old.getAttributeNames()) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const name of fresh.getAttributeNames()) old.setAttribute(name, fresh.getAttribute(name));
  parts.forEach((part, i) => renew(old.childNodes[i], part));
}
"""


class LiveReport:
    """A callback of `fit` that writes a page after each epoch, with losses, metrics, gradients and a confusion matrix.

    Open the file in a browser: the page updates itself, without a server, until the training has ended, and keeps the
    reader's scroll position.

    Args:
        path: the file of the page, ending in .html; it is replaced atomically, so a browser never reads half of it.
        flow: a `GradientFlow` whose norms are shown; the report calls it, so it need not be a callback itself.
        confusion: a function of the model that returns counts, (classes, classes); modules are in evaluation mode
            during the call.
        names: the names of the classes.
        title: the title of the page.
        refresh: seconds between two updates in the browser, at least 1.

    Raises:
        ValueError: the suffix is not .html, or refresh is below 1.
        FileNotFoundError: the folder does not exist (at the first epoch).

    Example:
        >>> import tempfile, types
        >>> folder = tempfile.TemporaryDirectory()
        >>> report = LiveReport(Path(folder.name) / "training.html")
        >>> report(types.SimpleNamespace(number=1, epochs=2, loss=0.5, val_loss=None, metrics={}, model=[]))
        >>> "Epoch 1 of 2" in report.path.read_text(encoding="utf-8")
        True
        >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        flow: GradientFlow | None = None,
        confusion: Callable[[Any], Any] | None = None,
        names: Sequence[Any] | None = None,
        title: str = "Training",
        refresh: int = 2,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"the report is a page; {str(path)!r} should end in .html.")
        if refresh < 1:
            raise ValueError(f"refresh={refresh!r}; it must be at least 1, in seconds.")
        self.flow, self.confusion, self.names, self.title, self.refresh = flow, confusion, names, title, int(refresh)
        self.curves: dict[str, list[float]] = {}
        self._matrix: Any = None
        self._done, self._all = 0, 0

    def __call__(self, epoch: Any) -> None:
        """Record an epoch and write the page."""
        before = epoch.number - 1
        if not before:
            self.curves = {}
        elif not self.curves:  # the training was resumed
            past = {"loss": epoch.history.loss, "val_loss": epoch.history.val_loss, **epoch.history.metrics}
            self.curves = {name: values[:before] for name, values in past.items() if values}
        numbers = {"loss": epoch.loss, "val_loss": epoch.val_loss, **epoch.metrics}
        for name, value in numbers.items():
            if value is not None:
                self.curves.setdefault(name, []).append(float(value))
        if self.flow is not None:
            self.flow(epoch)
        if self.confusion is not None:
            with in_eval_mode(epoch.model):
                self._matrix = array_of(self.confusion(epoch.model))
        self._done, self._all = epoch.number, epoch.epochs
        self._write(epoch.number >= epoch.epochs)

    def finish(self) -> None:
        """Write the page a last time as ended, so that it stops updating; needed if the training stopped early."""
        self._write(True)

    def _repr_html_(self) -> str | None:
        if not self._done:
            return None
        return framed_page(
            html_page(self.title, f'<main id="report">{self._body(True)}</main>', style=STYLE), self.title
        )

    def __repr__(self) -> str:
        return f"LiveReport({str(self.path)!r}, epoch {self._done} of {self._all})"

    def __enter__(self) -> LiveReport:
        return self

    def __exit__(self, *error: object) -> None:
        if self._done:
            self.finish()

    def _write(self, ended: bool) -> None:
        script = SCRIPT.replace("REFRESH", str(self.refresh))
        allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy = f"{POLICY}; script-src 'sha256-{allowed}'; frame-src 'self' file:"
        again = "" if ended else f'<noscript><meta http-equiv="refresh" content="{self.refresh}"></noscript>\n'
        body = f'<main id="report">\n{self._body(ended)}\n</main>\n<script>{script}</script>'
        write_whole(self.path, html_page(self.title, body, head=again, style=STYLE, policy=policy).encode())

    def _body(self, ended: bool) -> str:
        state = "ended" if ended else "is running; this page updates itself"
        over = ' data-ended="1"' if ended else ""
        parts = [
            f'<p role="status">Epoch {self._done} of {self._all}: the training {state}.</p>',
            f'<progress max="{self._all}" value="{self._done}" aria-label="epochs done"{over}></progress>',
            '<div class="charts">',
        ]
        metrics = [name for name in self.curves if name != "loss" and not name.startswith("val_")]
        for name in ("loss", *metrics):
            found = {name: self.curves.get(name, []), f"val_{name}": self.curves.get(f"val_{name}", [])}
            words = {name: "training", f"val_{name}": "validation"}
            parts.append(chart(name, {words[key]: values for key, values in found.items() if values}))
        if self.flow is not None:
            parts.append(chart("gradients, root mean square", self.flow.norms, log=True))
        parts.append("</div>")
        if self._matrix is not None:
            parts += ["<h2>Confusion matrix</h2>", self._confusion()]
        heads = ["epoch", *self.curves]
        latest = range(self._done, max(self._done - 10, 0), -1)
        curves = self.curves.values()
        shown = [[str(n), *(short_number(v[n - 1]) if n <= len(v) else "" for v in curves)] for n in latest]
        parts += ["<h2>The latest epochs</h2>", html_table(heads, shown, frozenset(range(len(heads))))]
        return "\n".join(parts)

    def _confusion(self) -> str:
        n = len(self._matrix)
        names = [str(name) for name in (self.names if self.names is not None else range(n))]
        counts = self._matrix.tolist()
        rows = [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, counts, strict=True)]
        return html_table(["true \\ predicted", *names], rows, frozenset(range(1, n + 1)))


def chart(title: str, curves: Mapping[str, Sequence[float]], log: bool = False) -> str:
    """Return curves over the epochs as an HTML figure with a legend; each curve has its own color and dashes."""
    known = {name: np.array(values, dtype=float) for name, values in curves.items()}
    if log:
        known = {name: np.where(v > 0, v, np.nan) for name, v in known.items()}
    good = np.concatenate([v[np.isfinite(v)] for v in known.values()] or [np.zeros(0)])
    if not good.size:
        return f"<figure><figcaption>{html_text(title)}</figcaption><p>nothing finite yet</p></figure>"
    ticks = _powers(good.min(), good.max()) if log else _ticks(float(good.min()), float(good.max()))
    level = math.log10 if log else float
    low, high = level(ticks[0]), level(ticks[-1])
    epochs = max(v.size for v in known.values())

    def at(n: float, value: float) -> tuple[float, float]:
        x = LEFT + (W - LEFT - RIGHT) * ((n - 1) / (epochs - 1) if epochs > 1 else 0.5)
        return x, H - BOTTOM - (H - TOP - BOTTOM) * (level(value) - low) / (high - low)

    out = [f'<svg viewBox="0 0 {W} {H}" role="img" aria-label="{html_text(title)} by epoch">']
    for tick in ticks:
        y = at(1, tick)[1]
        out.append(f'<line x1="{LEFT}" x2="{W - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--line)"/>')
        out.append(f'<text x="{LEFT - 8}" y="{y + 6:.1f}" text-anchor="end">{short_number(tick)}</text>')
    numbers = sorted({1, *(round(t) for t in _ticks(1, epochs) if 1 <= t <= epochs and t == round(t))})
    below = H - 28
    out += [f'<text x="{at(n, ticks[0])[0]:.1f}" y="{below}" text-anchor="middle">{n}</text>' for n in numbers]
    out.append(f'<text x="{(LEFT + W - RIGHT) / 2}" y="{H - 4}" text-anchor="middle">epoch</text>')
    keys = []
    for k, (name, values) in enumerate(known.items()):
        look = f'fill="none" stroke="{INKS[k % 6]}" stroke-width="2" stroke-dasharray="{DASHES[k % 6]}"'
        for piece in _finite_runs(values):
            points = " ".join("{:.1f},{:.1f}".format(*at(n, value)) for n, value in piece)
            out.append(f'<polyline points="{points}" {look}/>')
        if values.size and np.isfinite(values[-1]):
            x, y = at(values.size, values[-1])
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{INKS[k % 6]}"/>')
        line = f'<svg viewBox="0 0 30 10" aria-hidden="true"><line x1="0" x2="30" y1="5" y2="5" {look}/></svg>'
        keys.append(f"<span>{line}{html_text(name)}</span>")
    out.append("</svg>")
    key = f'<div class="key">{"".join(keys)}</div>'
    return f"<figure><figcaption>{html_text(title)}</figcaption>{key}{''.join(out)}</figure>"


def _finite_runs(values: np.ndarray[Any, Any]) -> list[list[tuple[int, float]]]:
    """Return the runs of finite values as (epoch, value); a long curve is reduced to minima and maxima of blocks."""
    few = max(1, values.size // MOST_POINTS)
    shown: list[int] = []
    for start in range(0, values.size, few):
        finite = np.where(np.isfinite(values[start : start + few]), values[start : start + few], np.nan)
        if few == 1 or np.isnan(finite).all():
            shown.append(start)
        else:
            shown += sorted({start + int(np.nanargmin(finite)), start + int(np.nanargmax(finite))})
    if shown and shown[-1] != values.size - 1:
        shown.append(values.size - 1)
    pieces: list[list[tuple[int, float]]] = [[]]
    for n, value in ((place + 1, float(values[place])) for place in shown):
        if math.isfinite(value):
            pieces[-1].append((n, value))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _ticks(low: float, high: float) -> list[float]:
    """Return four to seven round numbers around a range."""
    span = (high - low) or abs(high) or 1.0
    raw = span / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [k * step for k in range(first, max(last, first + 1) + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Return about seven powers of ten, at most, around a range."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    step = math.ceil((last - first) / 6)
    return [10.0 ** k for k in range(first, last + step, step)]
