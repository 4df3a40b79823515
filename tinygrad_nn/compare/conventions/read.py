"""Which convention a person's code follows, told by its signature and by what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..function.calling import Inputs, arrange, call_function, call_manual, parameter_named_out, takes_cotangent
from .beside import read_beside
from .cached import read_cached
from .code import Code, results

Array = np.ndarray[Any, Any]


def read(f: Any, given: Any, manual: Any) -> Code:
    """Tell how a person's code is called, and return it as a `Code`."""
    inputs = arrange(f, given)
    if manual is None:
        return read_beside(f, inputs)
    return read_cached(f, inputs, manual) or _plain(f, inputs, manual)


def _plain(f: Any, inputs: Inputs, manual: Any) -> Code:
    """Return a function of the inputs, with gradients or with a backward that takes the inputs, too."""
    out_too = callable(manual) and parameter_named_out(manual, inputs)

    def back(now: Inputs, leaves: Sequence[Array], g: Any) -> Any:
        outs = results(call_function(f, now, [x.copy() for x in leaves])) if out_too else []
        return call_manual(manual, now, leaves, outs[0] if len(outs) == 1 else outs, g)

    name = getattr(f, "__name__", type(f).__name__)
    return Code(name, inputs, lambda now, leaves: call_function(f, now, leaves), back,
                takes_cotangent(manual, inputs), f, manual)  # fmt: skip
