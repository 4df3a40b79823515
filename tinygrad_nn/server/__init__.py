"""The one local server: pages of this machine's user with the engine behind them, and nobody else's.

`serve` listens at 127.0.0.1 alone. The URL that it opens holds a random token, which every request must show; the
names `Host` and `Origin` must be this server's own (`access`), so that neither another page in the same browser nor
another name for this address gets in. What a path does is a function of a `Request` (`routes`); no path is that of a
file. State is kept in this process, by the session in the URL (`Sessions`), so that a reload and many tabs lose
nothing. It stops with Ctrl-C, with its terminal and with the process that started it.

This needs the extra ``play``: ``pip install 'tinygrad-nn[play]'``.
"""

from .local import Server, serve
from .routes import Download, Request, client
from .sessions import Sessions

__all__ = ["Download", "Request", "Server", "Sessions", "client", "serve"]
