"""numpy.fft, with functions that also accept Tensors in lists."""

import numpy.fft as _fft

from .numpy_wrapper import wrap_namespace

wrap_namespace(vars(_fft), globals())
