"""The playground: data, a network and its training in a page, each number computed by the engine itself.

`play` serves it. A `Session` is one playground, a `Training` the network in it, which needs no server; `script` is the
Python that makes it again.
"""

from .app import play
from .choices import Choices
from .data import TableFile
from .script import script
from .session import Session
from .training import Training

__all__ = ["Choices", "Session", "TableFile", "Training", "play", "script"]
