"""The local web server behind the live explorer and the playground, accessible only to the user of this machine.

`serve` listens on 127.0.0.1 only. The URL that it opens contains a random token, which every request must send. The
headers `Host` and `Origin` must be this server's own (`access`), so that neither another page in the same browser nor
another host name for this address is accepted. Each path is handled by a function of a `Request` (`routes`); no path
reads a file that the request names. State is kept in this process by the session in the URL (`Sessions`), so that
reloading or opening further tabs loses nothing. The server stops with Ctrl-C, with its terminal, or with its parent
process.

The server needs the extra ``play``: ``pip install 'tinygrad-nn[play]'``.
"""

from .local import Server, serve
from .routes import Download, Request, client, policy_hash
from .sessions import Sessions

__all__ = ["Download", "Request", "Server", "Sessions", "client", "policy_hash", "serve"]
