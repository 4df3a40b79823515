"""numpy.fft, for Tensors in lists as well."""

import numpy.fft as _fft

from .numpy_wrapper import wrap_namespace

wrap_namespace(vars(_fft), globals())
