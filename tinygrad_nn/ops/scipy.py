"""Lookup of the replacements for SciPy's special functions, when a SciPy ufunc is first called with a Tensor.

A ufunc finds its row by its name; the function of that name in `scipy.special` must be the very same ufunc. The rows
are in modules that are imported at the first lookup, so that importing tinygrad_nn stays quick.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from ..common.forks import building
from ..primitive import FINDERS, REGISTRY, RESERVED
from .library import FORWARDS, STAND_INS

ROWS = ("bessel", "entropy", "gamma", "hypergeometric", "incomplete", "integrals", "normal", "sparse", "zeta")


# The names of the rows in these modules; no other row may take one of them before the modules are imported.
RESERVED.update("""
    airy beta beta_slope betainc betaincc betainccinv betaincinv betaln binom cosh_integral cosine_integral dawsn
    ellipe ellipk ellipkm1 entr erfcinv erfcx erfi erfinv exp1 expi expn fresnel_c fresnel_s gamma gamma_slope
    gammainc gammaincc gammainccinv gammaincinv hankel1 hankel2 hyp0f1 hyp1f1 hyp2f1 hyperu i0e i1e inverse_mills iv
    ive j0 j1 jv k0 k0e k1 k1e kelvin kl_div kv kve lambertw log_ndtr loggamma mills_excess modstruve ndtri
    ndtri_exp owens_t poch rel_entr rgamma sine_integral sinh_integral spence spherical_in spherical_jn spherical_kn
    spherical_yn stdtr stdtrit struve wrightomega xlog1py xlogy y0 y1 yv zeta
""".split())  # noqa: SIM905
_loaded: list[str] = []


def load() -> None:
    """Import the modules of rows, which declares their primitives."""
    with building:  # other threads that look for a row wait
        RESERVED.clear()
        for name in ROWS[len(_loaded) :]:
            _loaded.append(name)
            import_module(f"{__package__}.{name}")


@cache
def _with_lists(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f with lists and tuples among its arguments converted to arrays, as ufuncs do."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return f(*(np.asarray(x) if isinstance(x, (list, tuple)) else x for x in args), **kwargs)

    call.__name__ = name
    return call


def replacement_named(name: str) -> Callable[..., Any] | None:
    """Return the replacement for the function of this name in scipy.special, or None if there is none."""
    load()
    return _with_lists(name, STAND_INS[name]) if name in STAND_INS else REGISTRY.get(name)


def names() -> set[str]:
    """Return the names of the functions of scipy.special that have a replacement here."""
    load()
    return {name for name in (*STAND_INS, *FORWARDS) if name[0] != "_"}


def _find(function: Any) -> Callable[..., Any] | None:
    """Return the replacement of a ufunc of SciPy, or the primitive of a given name; None if there is none."""
    if isinstance(function, str):
        load()
        return REGISTRY.get(function)
    name = getattr(function, "__name__", "")
    places = (sys.modules.get(place) for place in ("scipy.special", "scipy.special._ufuncs"))
    known = isinstance(function, np.ufunc) and any(getattr(place, name, None) is function for place in places)
    return replacement_named(name) if known else None


FINDERS.append(_find)
