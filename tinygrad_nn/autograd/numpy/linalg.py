"""numpy.linalg, with functions that also accept Tensors in lists."""

import numpy.linalg as _linalg

from .numpy_wrapper import wrap_namespace

wrap_namespace(vars(_linalg), globals())
