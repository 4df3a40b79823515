"""The playground: a web page to choose data, build a network and watch it train, computed by this package.

`play` serves the page. A `Session` is the state of one playground, and a `Training` is the network in it, which needs
no server. `script` returns a Python script that trains the same network again.
"""

from .app import play
from .choices import Choices
from .data import TableFile
from .script import script
from .session import Session
from .training import Training

__all__ = ["Choices", "Session", "TableFile", "Training", "play", "script"]
