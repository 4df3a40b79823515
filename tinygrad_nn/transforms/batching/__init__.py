"""`vmap`: a function written for one sample is run on all samples of a batch at once.

Inside a vmapped function an array is a `Mapped` Tensor. It has the shape of one sample, but holds the values of all
samples, along its first axis. Each operation goes through the engine's funnel as always. If an argument is Mapped, the
funnel passes the operation to `rules`, which runs the same primitive, or a few others, on all samples. For an
elementwise primitive the shapes are aligned; for a reduction the axis is shifted by one; a matrix product becomes one
larger product; for a layer the samples become further rows of its batch. A primitive without such a rule is run once
for each sample, and the results are stacked; so are functions without a derivative, such as np.argsort. The operations
are recorded as usual. So the result of vmap has an ordinary graph of ordinary primitives, and gradients, forward mode,
drawings and compiling need no code for vmap.

A derivative that is taken inside, as in ``vmap(grad(f))``, is computed by a walk through that same graph. Its inputs
get an entry for each sample, even if all samples share one array. Since no sample depends on another, one walk from all
results gives each sample its own gradient. So these walks run on plain arrays and never see a Mapped Tensor.
Conversely, a graph that was made outside may be walked inside with a Mapped cotangent or tangent: ``jacobian`` does so,
in one walk with all directions along the first axis.

A `Level` is one running vmap. Levels nest: an array of the outer vmap may be Mapped in the inner one, and a rule of the
inner vmap runs operations in the outer one.
"""

from . import rules as _rules  # noqa: F401 - sets the functions that Mapped calls
from .function import vmap
from .mapped import Level, Mapped, draw_for_samples, level_of

__all__ = ["Level", "Mapped", "draw_for_samples", "level_of", "vmap"]
