"""NumPy, for Tensors in lists and in what makes arrays as well."""

from typing import Any

import numpy as _np

from . import fft as fft
from . import linalg as linalg
from . import numpy_wrapper
from . import random as random

numpy_wrapper.wrap_namespace(vars(_np), globals())
globals().update(numpy_wrapper.OWN)
__version__ = _np.__version__


def __getattr__(name: str) -> Any:
    """Take what is no function of NumPy's own, such as np.polynomial, from NumPy."""
    return getattr(_np, name)
