"""scipy.special, also for Tensors: its ufuncs dispatch to the rules of `tinygrad_nn.ops`; other functions are here."""

from __future__ import annotations

from typing import Any

import scipy.special as _special

from ... import special as _ours
from ..numpy.numpy_wrapper import wrap_function, wrap_namespace
from ..tracer import notrace_primitive

wrap_namespace(vars(_special), globals())
for _name in ("lambertw", "log_softmax", "logsumexp", "multigammaln", "polygamma", "softmax", "zeta"):
    globals()[_name] = wrap_function(getattr(_ours, _name))
gammasgn: Any = notrace_primitive(_special.gammasgn)  # piecewise constant
