"""numpy.linalg, for Tensors in lists as well."""

import numpy.linalg as _linalg

from .numpy_wrapper import wrap_namespace

wrap_namespace(vars(_linalg), globals())
