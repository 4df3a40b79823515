"""`serve`: run routes on 127.0.0.1 in a background thread until the user, the terminal or the parent stops them."""

from __future__ import annotations

import builtins
import os
import secrets
import signal
import socket
import sys
import time
import webbrowser
from collections.abc import Callable, Mapping
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import Any

from .access import Access
from .routes import Handler, application

EACH = 0.5  # seconds between two checks whether the parent process still exists
PATIENCE = 30.0  # seconds within which the server must have started


class Server:
    """A running server, created by `serve`.

    Attributes:
        url: the address to open, with the token. Each tab that opens it gets its own session.
        port: the port on which it listens.
        token: the token that every request must send.
    """

    def __init__(
        self, routes: Mapping[str, Handler], port: int = 0, at_end: Callable[[], object] = lambda: None
    ) -> None:
        try:
            import uvicorn
        except ImportError:
            raise ImportError("a live page needs: pip install 'tinygrad-nn[play]'.") from None
        self.token = secrets.token_urlsafe(24)
        app = application(routes, lambda: Access(self.token, self.port), lambda: bool(self._uvicorn.should_exit))
        # IPPROTO_TCP makes asyncio set TCP_NODELAY; else the body would wait 40 ms for the header's acknowledgement.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(("127.0.0.1", port))
        except OSError as problem:
            self._socket.close()
            raise OSError(f"port {port} is not available ({problem.strerror}); port=0 takes a free one.") from None
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/?token={self.token}"
        self._ended, self._at_end = Event(), at_end
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False,
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self._uvicorn = uvicorn.Server(config)
        # In a script the thread keeps the process alive until Ctrl-C; an interpreter or notebook may exit at any time.
        self._thread = Thread(target=self._run, name="tinygrad-nn server", daemon=_is_interactive())
        self._thread.start()
        end = time.monotonic() + PATIENCE
        while not self._uvicorn.started and self._thread.is_alive() and time.monotonic() < end:
            time.sleep(0.005)
        if not self._uvicorn.started:
            self.close()
            raise OSError(f"the server at port {self.port} did not start.")
        Thread(target=self._watch, name="tinygrad-nn server's parent", daemon=True).start()

    def wait(self) -> None:
        """Block until the server has stopped; Ctrl-C stops it."""
        try:
            while not self._ended.wait(EACH):
                pass
        except KeyboardInterrupt:
            self.close()

    def close(self) -> None:
        """Stop the server and wait until its thread has ended."""
        self._uvicorn.should_exit = True
        if current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<stopped server>" if self._ended.is_set() else f"<server at {self.url}>"

    def _repr_html_(self) -> str:
        if self._ended.is_set():
            return "<p>The server has stopped.</p>"
        return f'<p><a href="{self.url}" target="_blank" rel="noopener noreferrer">Open the page</a></p>'

    def _run(self) -> None:
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self._at_end()
            self._ended.set()

    def _watch(self) -> None:
        """Stop the server when the parent of this process has ended."""
        parent = os.getppid()
        while not self._ended.wait(EACH):
            if os.getppid() != parent:
                self._uvicorn.should_exit = True


def serve(
    routes: Mapping[str, Handler], *, port: int = 0, open_browser: bool = True,
    at_end: Callable[[], object] = lambda: None,
) -> Server:  # fmt: skip
    """Serve functions on 127.0.0.1, and open the first page in the browser.

    It returns immediately. In a script the process then stays alive until Ctrl-C, or until its terminal is closed or
    its parent process ends.

    Args:
        routes: ``{"GET /": page, "POST /edit": edit}``: functions of a `Request`, each called in a worker thread. They
            may return a str (sent as an HTML page), a `Download` (a file), an iterator (a stream of events, in which
            None keeps the connection open) or any other value (sent as JSON). An exception is sent as
            ``{"error": text}``; its status is 400 for TypeError, ValueError, LookupError and NotImplementedError, else
            500.
        port: the port to listen on; 0 takes a free one.
        open_browser: whether to open the page.
        at_end: a function that is called once the server has stopped.

    Raises:
        ImportError: the extra ``play`` is not installed.
        OSError: the port is taken.
        ValueError: the name of a route is not of the form ``"GET /path"`` or ``"POST /path"``.

    Example:
        >>> import urllib.request
        >>> with serve({"GET /": lambda request: {"n": 1}}, open_browser=False) as server:
        ...     urllib.request.urlopen(server.url).read()
        b'{"n":1}'
    """
    server = Server(routes, port, at_end)
    if main_thread() is current_thread() and not _is_interactive():
        _stop_at_interrupt(server)
    if open_browser and _has_display():
        webbrowser.open(server.url)
    return server


def _stop_at_interrupt(server: Server) -> None:
    """Make Ctrl-C stop the server even after the script has ended; until then the previous handler runs as well."""
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: FrameType | None) -> Any:
        server._uvicorn.should_exit = True
        if main_thread().is_alive() and callable(before):
            return before(number, frame)
        return None

    signal.signal(signal.SIGINT, stop)


def _is_interactive() -> bool:
    """Whether Python runs interactively, at a prompt or in a notebook."""
    return hasattr(sys, "ps1") or bool(sys.flags.interactive) or hasattr(builtins, "get_ipython")


def _has_display() -> bool:
    """Whether there is a graphical display; without one, `webbrowser` would start a text browser in the terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
