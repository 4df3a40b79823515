"""NumPy's namespace, with functions that also accept Tensors in lists and in constructors such as `np.array`."""

from typing import Any

import numpy as _np

from . import fft as fft
from . import linalg as linalg
from . import numpy_boxes as numpy_boxes
from . import numpy_vjps as numpy_vjps
from . import numpy_wrapper
from . import random as random

numpy_wrapper.wrap_namespace(vars(_np), globals())
globals().update(numpy_wrapper.OWN)
__version__ = _np.__version__


def __getattr__(name: str) -> Any:
    """Return from NumPy any name that is not wrapped here, such as np.polynomial."""
    return getattr(_np, name)
