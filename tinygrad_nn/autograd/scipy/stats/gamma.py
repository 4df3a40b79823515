"""The gamma distribution."""

from .... import special
from ....ops.special import gammaln
from .distribution import continuous_functions, scipy_fallback

pdf, logpdf, cdf, logcdf, sf, logsf = continuous_functions(
    "gamma",
    logpdf=lambda y, a: special.xlogy(a - 1, y) - y - gammaln(a),
    cdf=lambda y, a: special.gammainc(a, y),
    sf=lambda y, a: special.gammaincc(a, y),
    support=(0.0, float("inf")),
)
__getattr__ = scipy_fallback("gamma")
