"""The normal distribution."""

import numpy as np

from .... import special
from .distribution import continuous_functions, scipy_fallback

pdf, logpdf, cdf, logcdf, sf, logsf = continuous_functions(
    "norm",
    logpdf=lambda y: -0.5 * y**2 - 0.5 * np.log(2 * np.pi),
    cdf=lambda y: special.ndtr(y),
    sf=lambda y: special.ndtr(-y),
    logcdf=lambda y: special.log_ndtr(y),
    logsf=lambda y: special.log_ndtr(-y),
)
__getattr__ = scipy_fallback("norm")
