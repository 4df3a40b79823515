"""The chi-squared distribution."""

import numpy as np

from .... import special
from ....ops.special import gammaln
from .distribution import continuous_functions, scipy_fallback

pdf, logpdf, cdf, logcdf, sf, logsf = continuous_functions(
    "chi2",
    logpdf=lambda y, df: special.xlogy(df / 2 - 1, y) - y / 2 - gammaln(df / 2) - df / 2 * np.log(2),
    cdf=lambda y, df: special.gammainc(df / 2, y / 2),
    sf=lambda y, df: special.gammaincc(df / 2, y / 2),
    support=(0.0, float("inf")),
)
__getattr__ = scipy_fallback("chi2")
