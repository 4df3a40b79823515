"""Functions of one sample, run on all samples at once: `vmap`.

Inside a vmapped function an array is a `Mapped` Tensor: it has the shape of one sample, and holds the values of all of
them with the samples along its first axis. Every operation ends in the funnel of the engine, as always. The funnel
hands one with a Mapped argument to `rules`, which runs the same row, or a few others, on all samples: entry by entry
with the shapes aligned, along an axis with the axis moved by one, products as one product, layers with the samples
among the rows of the batch. A row that no family knows is run for each sample, and the results are stacked; so is what
has no derivative, such as np.argsort. What is run is recorded as usual, so that the result of vmap has an ordinary
graph of ordinary rows: gradients of it, forward mode, drawings and compiling know nothing of vmap.

A derivative that is taken inside, as in ``vmap(grad(f))``, is taken of that same graph. Its inputs are entered once a
sample, also where all samples share one array; since no sample depends on another, the walk back from all results
carries each sample's own gradient. So the walks run on plain arrays and see no Mapped Tensor. The other way about, a
graph that was made outside may be walked inside with a Mapped cotangent or tangent: ``jacobian`` walks so once with
all directions along the first axis.

`Level` is one running vmap. They nest: what is one array to the outer vmap may be Mapped in the inner one, and a rule
of the inner one runs in the outer one.
"""

from . import rules as _rules  # noqa: F401 - gives Mapped what it runs
from .function import vmap
from .mapped import Level, Mapped, drawn, level_of

__all__ = ["Level", "Mapped", "drawn", "level_of", "vmap"]
