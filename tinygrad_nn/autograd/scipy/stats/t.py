"""Student's t distribution."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import special
from ...core import defvjp, primitive
from .distribution import continuous, others


def _logpdf(y: Any, df: Any) -> Any:
    constant = special.gammaln((df + 1) / 2) - special.gammaln(df / 2) - 0.5 * np.log(df * np.pi)
    return constant - (df + 1) / 2 * np.log1p(y**2 / df)


@primitive
def _cdf(y: Any, df: Any) -> Any:
    return special.stdtr(df, y)


def _of_df(ans: Any, y: Any, df: Any) -> Any:
    r"""By the incomplete beta function: for y > 0 it is :math:`1 - I_z(\nu/2, 1/2) / 2` with z = ν / (ν + y²)."""

    def tail(df: Any) -> Any:
        return special.betainc(df / 2, 0.5, df / (df + y**2)) / 2

    def rule(g: Any) -> Any:
        from ...differential_operators import elementwise_grad

        return -g * np.sign(y) * elementwise_grad(lambda df: tail(df + 0 * y))(df + 0 * y)

    return rule


defvjp(_cdf, lambda ans, y, df: lambda g: g * np.exp(_logpdf(y, df)), _of_df)

pdf, logpdf, cdf, logcdf, sf, logsf = continuous(
    "t", logpdf=_logpdf, cdf=_cdf, sf=lambda y, df: _cdf(-y, df)
)
__getattr__ = others("t")
