"""Student's t distribution."""

import numpy as np

from .... import special
from ....ops.special import gammaln
from .distribution import continuous_functions, scipy_fallback

pdf, logpdf, cdf, logcdf, sf, logsf = continuous_functions(
    "t",
    logpdf=lambda y, df: gammaln((df + 1) / 2) - gammaln(df / 2) - 0.5 * np.log(df * np.pi)
    - (df + 1) / 2 * np.log1p(y**2 / df),
    cdf=lambda y, df: special.stdtr(df, y),
    sf=lambda y, df: special.stdtr(df, -y),
)
__getattr__ = scipy_fallback("t")
