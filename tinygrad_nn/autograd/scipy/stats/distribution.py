"""Build pdf, cdf and similar functions for Tensors from formulas of the standard distribution (loc 0, scale 1)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
import scipy.stats as _stats

from ...numpy.numpy_wrapper import as_one_tensor, tensors_in

Formula = Callable[..., Any]


def with_tensor_formula(law: str, method: str, formula: Formula) -> Formula:
    """Return a function that calls SciPy's method for plain numbers, and `formula` if an argument has a Tensor.

    Args:
        law: the name of the distribution in scipy.stats.
        method: the name of the method, such as ``logpdf``.
        formula: a function with SciPy's arguments.
    """
    plain = getattr(getattr(_stats, law), method)
    signature = inspect.signature(formula)

    @wraps(formula)
    def call(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = tuple(map(as_one_tensor, args)), {name: as_one_tensor(x) for name, x in kwargs.items()}
        if not tensors_in([*args, *kwargs.values()]):
            return plain(*args, **kwargs)
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{law}.{method} of a Tensor: {error}; it takes {signature}.") from None
        return formula(*args, **kwargs)

    call.__name__ = method
    call.__doc__ = f"Return scipy.stats.{law}.{method}, differentiable in its arguments."
    return call


def continuous_functions(
    law: str, logpdf: Formula, cdf: Formula, sf: Formula | None = None, logcdf: Formula | None = None,
    logsf: Formula | None = None, support: tuple[float, float] = (-np.inf, np.inf),
) -> tuple[Formula, ...]:  # fmt: skip
    """Return ``pdf, logpdf, cdf, logcdf, sf, logsf`` with `loc` and `scale`, from those of the standard distribution.

    Args:
        law: the name of the distribution in scipy.stats.
        logpdf, cdf, sf, logcdf, logsf: functions of ``(y, *shapes)``; missing ones are computed from the others.
        support: the interval outside which the density is 0.
    """
    sf = sf or (lambda y, *shapes: 1 - cdf(y, *shapes))
    logcdf = logcdf or (lambda y, *shapes: np.log(cdf(y, *shapes)))
    logsf = logsf or (lambda y, *shapes: np.log(sf(y, *shapes)))
    low, high = support
    shapes = len(inspect.signature(logpdf).parameters) - 1
    inner = 1.0 if high == np.inf else 0.5 * (low + high)

    def standard(formula: Formula, below: float, above: float, density: bool = False) -> Formula:
        def value(x: Any, *parameters: Any, loc: Any = 0.0, scale: Any = 1.0) -> Any:
            given, rest = parameters[:shapes], parameters[shapes:]
            loc, scale = (*rest, *(loc, scale)[len(rest) :])
            y = (x - loc) / scale
            plain = y.data if tensors_in(y) else y
            under, over = plain < low, plain > high
            out = formula(np.where(under | over, inner, y) if low > -np.inf else y, *given)
            out = out - np.log(scale) if density else out
            return np.where(under, below, np.where(over, above, out)) if low > -np.inf else out

        return value

    density = standard(logpdf, -np.inf, -np.inf, True)
    formulas = {
        "pdf": lambda x, *parameters, **named: np.exp(density(x, *parameters, **named)),
        "logpdf": density,
        "cdf": standard(cdf, 0.0, 1.0), "logcdf": standard(logcdf, -np.inf, 0.0),
        "sf": standard(sf, 1.0, 0.0), "logsf": standard(logsf, 0.0, -np.inf),
    }  # fmt: skip
    names = list(inspect.signature(logpdf).parameters)[1:]
    return tuple(
        with_tensor_formula(law, method, _with_keywords(formula, names)) for method, formula in formulas.items()
    )


def _with_keywords(formula: Formula, names: list[str]) -> Formula:
    """Return a formula whose shape parameters may also be passed by keyword."""

    def call(x: Any, *parameters: Any, **named: Any) -> Any:
        shapes = [named.pop(name) for name in names[len(parameters) :] if name in named]
        return formula(x, *parameters, *shapes, **named)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    given = [inspect.Parameter(name, kind) for name in ("x", *names)]
    usual = [inspect.Parameter(name, kind, default=value) for name, value in (("loc", 0), ("scale", 1))]
    call.__signature__ = inspect.Signature([*given, *usual])  # type: ignore[attr-defined]
    return call


def scipy_fallback(law: str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` that finds missing names in scipy.stats: methods for plain numbers only."""

    def find(name: str) -> Any:
        if name[0] == "_":
            raise AttributeError(name)
        return getattr(getattr(_stats, law), name)

    return find
