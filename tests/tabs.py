"""Tabs of the browser for tests: what goes wrong in one fails the test, and one tab is kept for all tests.

A new tab is a new process, which takes longer than most tests. So `Tabs` loads one page after the other into the tab
that it keeps, and each test begins with an empty page, its own size of the window, and its own preferences.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

PREFERENCES = {"media": "null", "color_scheme": "light", "reduced_motion": "no-preference"}  # those of a new tab


class Tabs:
    """The tabs of a browser."""

    def __init__(self, browser: Any) -> None:
        self.browser = browser
        self.kept: dict[bool, Any] = {}  # by whether the screen can be touched

    @contextmanager
    def watched(self, own: tuple[str, ...] = ("file:", "data:"), excused: str = "\0") -> Iterator[Callable[..., Any]]:
        """Give a function that opens pages. At the end, nothing may have gone wrong or asked for another address.

        `own` are the beginnings of the addresses that may be asked for; messages of the console that hold `excused`
        count for nothing.
        """
        wrong: list[str] = []
        told = {
            "console": lambda m: None if excused in m.text else wrong.append(m.text),
            "pageerror": lambda e: wrong.append(str(e)),
            "dialog": lambda d: wrong.append("a dialog") or d.dismiss(),
            "request": lambda r: None if r.url.startswith(own) else wrong.append(r.url),
        }
        used: list[Any] = []
        contexts: list[Any] = []

        def opened(address: str = "about:blank", width: int = 1280, height: int = 800, *, touch: bool = False,
                   fresh: bool = False, beside: Any = None, **preferences: Any) -> Any:  # fmt: skip
            """Open a page in the tab that is kept, in which the page before is left, and return the tab.

            A `fresh` tab is for what changes more than the page, as the clock does; it may have others `beside` it.
            """
            if beside:
                tab = beside.context.new_page()
            elif fresh or touch not in self.kept:
                context = self.browser.new_context(viewport={"width": width, "height": height}, has_touch=touch)
                tab = context.new_page()
                if fresh:
                    contexts.append(context)
                else:
                    self.kept[touch] = tab
            else:
                tab = self.kept[touch]
                if tab in used:
                    tab.goto("about:blank")
                tab.mouse.move(-1, -1)  # nothing is below the mouse
                tab.set_viewport_size({"width": width, "height": height})
            tab.emulate_media(**{**PREFERENCES, **preferences})
            if tab not in used:
                used.append(tab)
                for event, tell in told.items():
                    tab.on(event, tell)
            if address != "about:blank":
                tab.goto(address)
            return tab

        try:
            yield opened
        finally:
            for context in contexts:
                context.close()
            for touch, tab in list(self.kept.items()):
                if tab in used:
                    self._empty(touch, told)
        assert not wrong

    def _empty(self, touch: bool, told: dict[str, Any]) -> None:
        """Empty the tab that is kept; one that does not answer is kept no longer."""
        tab = self.kept.pop(touch)
        try:
            tab.goto("about:blank")
            for event, tell in told.items():
                tab.remove_listener(event, tell)
            self.kept[touch] = tab
        finally:
            if touch not in self.kept:
                tab.context.close()


def until(tab: Any, condition: str, seconds: float = 60) -> None:
    """Wait until a condition of the page holds. It is evaluated from outside, as pages forbid code from texts."""
    from playwright.sync_api import Error

    end = time.monotonic() + seconds
    met = False
    while not met:
        assert time.monotonic() < end, condition
        try:
            met = tab.evaluate(f"""async () => {{
                for (let k = 0; k < 50; k++) {{
                    if ({condition}) return true;
                    await new Promise(done => setTimeout(done, 20));
                }}
                return false;
            }}""")
        except Error as error:  # while another page is coming
            if "navigation" not in str(error) and "is not defined" not in str(error):
                raise
            tab.wait_for_timeout(20)
