"""The beta distribution."""

from .... import special
from .distribution import continuous_functions, scipy_fallback

pdf, logpdf, cdf, logcdf, sf, logsf = continuous_functions(
    "beta",
    logpdf=lambda y, a, b: special.xlogy(a - 1, y) + special.xlog1py(b - 1, -y) - special.betaln(a, b),
    cdf=lambda y, a, b: special.betainc(a, b, y),
    sf=lambda y, a, b: special.betainc(b, a, 1 - y),
    support=(0.0, 1.0),
)
__getattr__ = scipy_fallback("beta")
