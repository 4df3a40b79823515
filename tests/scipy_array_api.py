"""SciPy's functions that follow the array API, on Tensors: the gradients of each against differences.

``SCIPY_ARRAY_API=1 python -m tests.scipy_array_api`` prints the names of those that are wrong, or `ok`.
The variable must be set before SciPy is imported, so the suite runs this in a process of its own.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_nn import Tensor

PAGE = Path(__file__).resolve().parents[1] / "docs" / "scipy.md"
TITLE = "## Functions that take arrays of any library"
STEP = 1e-6  # central differences: an error of order 1e-12, and 1e-16 / 1e-6 of rounding, both times the function
SLACK = 1e-5
Call = tuple[Callable[..., Any], tuple[np.ndarray, ...]]


def calls() -> Iterator[tuple[str, Call]]:
    """Each function by its name below scipy, with a call of it and arguments."""
    from scipy import constants, fft, integrate, optimize, signal, special, stats
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(0)
    x, y, p = rng.normal(size=8), rng.normal(size=8), rng.uniform(0.1, 0.9, 8)
    q, M = rng.uniform(0.1, 0.9, 8), rng.normal(size=(4, 3))

    for name in ("kurtosis", "skew", "sem", "circmean", "circvar", "circstd", "tmin", "tmax", "differential_entropy"):
        yield f"stats.{name}", (getattr(stats, name), (x,))
    for name in ("gmean", "hmean", "entropy"):
        yield f"stats.{name}", (getattr(stats, name), (p,))
    for name in ("chisquare", "power_divergence", "jarque_bera", "combine_pvalues"):
        yield f"stats.{name}", (lambda a, f=getattr(stats, name): f(a).statistic, (p,))
    for name in ("ttest_ind", "ttest_rel"):
        yield f"stats.{name}", (lambda a, b, f=getattr(stats, name): f(a, b).statistic, (x, y))
    yield "stats.ttest_1samp", (lambda a: stats.ttest_1samp(a, 0.3).pvalue, (x,))
    of_means = stats.ttest_ind_from_stats
    yield "stats.ttest_ind_from_stats", (lambda a, b: of_means(a, 1.0, 8, b, 2.0, 9).statistic, (x, y))
    yield "stats.pmean", (lambda a: stats.pmean(a, 2.0), (p,))
    yield "stats.moment", (lambda a: stats.moment(a, 3), (x,))
    yield "stats.trim_mean", (lambda a: stats.trim_mean(a, 0.2), (x,))
    yield "stats.sigmaclip", (lambda a: stats.sigmaclip(a)[0], (x,))
    yield "stats.describe", (lambda a: stats.describe(a).variance, (x,))
    yield "stats.directional_stats", (lambda a: stats.directional_stats(a).mean_direction, (M,))
    yield "stats.zmap", (stats.zmap, (x, y))
    for name in ("kstat", "kstatvar"):
        yield f"stats.{name}", (getattr(stats, name), (x,))

    for name in ("softmax", "entr", "ndtr", "ndtri", "log_ndtr", "expit", "logit", "gammaln", "erf", "erfc", "i0",
                 "i0e", "i1", "i1e", "digamma"):  # fmt: skip
        yield f"special.{name}", (getattr(special, name), (p,))
    for name in ("xlogy", "xlog1py", "rel_entr", "kl_div", "betaln", "gammainc", "gammaincc", "stdtr", "poch", "chdtr",
                 "chdtrc"):  # fmt: skip
        yield f"special.{name}", (getattr(special, name), (p, q))
    yield "special.betainc", (lambda a: special.betainc(2.0, 3.0, a), (p,))
    yield "special.multigammaln", (lambda a: special.multigammaln(a[0] + 5, 2), (p,))

    for name in ("trapezoid", "cumulative_trapezoid"):
        yield f"integrate.{name}", (getattr(integrate, name), (x, np.sort(y)))
    yield "integrate.romb", (lambda a: integrate.romb(a[:5]), (x,))
    cubature = integrate.cubature
    yield "integrate.cubature", (lambda a: cubature(lambda t: t[:, 0] ** 2, a[:1], a[:1] + 1.0).estimate, (p,))

    for name in ("fft", "ifft", "rfft", "ihfft", "hfft", "fftn", "ifftn", "rfftn", "ihfftn", "hfftn", "fftshift",
                 "ifftshift"):  # fmt: skip
        yield f"fft.{name}", (lambda a, f=getattr(fft, name): f(a).real, (x,))
    for name in ("fft2", "ifft2", "rfft2", "ihfft2"):
        yield f"fft.{name}", (lambda a, f=getattr(fft, name): f(a).real, (M,))
    for name in ("irfft", "irfft2", "irfftn", "hfft2"):
        yield f"fft.{name}", (lambda a, f=getattr(fft, name): f(a + 0j), (M,))
    for name in ("fht", "ifht"):
        yield f"fft.{name}", (lambda a, f=getattr(fft, name): f(a, 0.1, 0.5), (x,))

    yield "signal.fftconvolve", (signal.fftconvolve, (x, y))
    yield "signal.oaconvolve", (signal.oaconvolve, (x, y))
    for name in ("convolve", "correlate"):
        f = getattr(signal, name)
        yield f'signal.{name} with method="fft"', (lambda a, b, f=f: f(a, b, method="fft"), (x, y))
    yield "signal.freqz", (lambda a: abs(signal.freqz(a[:2], a[2:5], worN=4)[1]), (p,))
    yield "signal.freqz_zpk", (lambda a: abs(signal.freqz_zpk(a[:2], a[2:4], a[4], worN=4)[1]), (p,))
    yield "signal.normalize", (lambda a: signal.normalize(a[:2], a[2:4])[0], (p,))
    yield "signal.lp2lp", (lambda a: signal.lp2lp(a[:2], a[2:4], 2.0)[0], (p,))
    for name in ("lp2lp_zpk", "lp2hp_zpk", "lp2bp_zpk", "lp2bs_zpk", "bilinear_zpk"):
        yield f"signal.{name}", (lambda a, f=getattr(signal, name): f(a[:2], a[2:4], 1.0, 2.0)[0].real, (p,))
    yield "signal.firwin", (lambda a: signal.firwin(5, a[0]), (p,))
    yield "signal.gausspulse", (lambda a: signal.gausspulse(a, 2.0), (x,))
    yield "signal.gauss_spline", (lambda a: signal.gauss_spline(a, 3), (x,))
    yield "signal.vectorstrength", (lambda a: signal.vectorstrength(a, 1.3)[0], (x,))

    yield "constants.convert_temperature", (lambda a: constants.convert_temperature(a, "F", "K"), (x,))
    yield "constants.lambda2nu", (lambda a: constants.lambda2nu(a) * 1e-9, (p,))
    yield "constants.nu2lambda", (lambda a: constants.nu2lambda(a * 1e9), (p,))
    yield "optimize.rosen", (optimize.rosen, (x,))

    for name, call in {
        "as_matrix": lambda r: r.as_matrix(), "as_quat": lambda r: r.as_quat(), "as_rotvec": lambda r: r.as_rotvec(),
        "as_mrp": lambda r: r.as_mrp(), "magnitude": lambda r: r.magnitude(), "product": lambda r: (r * r).as_matrix(),
        "power": lambda r: (r**0.5).as_matrix(), "apply": lambda r: r.apply([1.0, 2.0, 3.0]),
    }.items():  # fmt: skip
        yield f"Rotation: {name}", (lambda a, f=call: f(Rotation.from_quat(a[:4])), (x,))
    yield "Rotation: mean", (lambda a: Rotation.from_quat(a).mean().as_matrix(), (rng.normal(size=(3, 4)),))
    yield "Rotation: from_rotvec", (lambda a: Rotation.from_rotvec(a[:3]).as_matrix(), (x,))
    yield "Rotation: from_mrp", (lambda a: Rotation.from_mrp(a[:3]).as_matrix(), (x,))


def wrong(call: Callable[..., Any], args: tuple[np.ndarray, ...]) -> str | None:
    """Tell what is wrong with the gradients of a call along random directions, under a random cotangent."""
    tensors = [Tensor(a) for a in args]
    out = call(*tensors)
    if not isinstance(out, Tensor) or not out.requires_grad:
        return f"no graph: {type(out).__name__}"
    rng = np.random.default_rng(1)
    cotangent = rng.normal(size=out.shape)
    (out * cotangent).sum().backward()

    def value(*moved: np.ndarray) -> float:
        found: Any = call(*(Tensor(a, requires_grad=False) for a in moved))
        return float((found.data * cotangent).sum())

    seen = 0.0
    for i, a in enumerate(args):
        d = rng.normal(size=a.shape)
        up, down = (value(*(b + sign * STEP * d if j == i else b for j, b in enumerate(args))) for sign in (1, -1))
        slope, by_rule = (up - down) / (2 * STEP), float((tensors[i].grad * d).sum())
        seen = max(seen, abs(slope))
        if not abs(slope - by_rule) <= SLACK * (1 + abs(slope)):
            return f"argument {i}: {by_rule} by the rules, {slope} by differences"
    return None if seen > SLACK else "the derivative is 0"


def listed() -> set[str]:
    """Return the names that docs/scipy.md lists."""
    section = PAGE.read_text("utf-8").split(TITLE)[1].split("\n## ")[0]
    names = set()
    for row in section.splitlines():
        cells = [cell.strip() for cell in row.strip("| ").split(" | ")]
        if len(cells) == 2 and cells[0].startswith("`"):
            room = cells[0].strip("`")
            names |= {f"{room}{': ' if room == 'Rotation' else '.'}{name.strip()}" for name in cells[1].split(",")}
    return names


def main() -> int:
    """Print what is wrong."""
    if os.environ.get("SCIPY_ARRAY_API") != "1":
        sys.exit("set SCIPY_ARRAY_API=1 first")
    warnings.simplefilter("ignore")
    found = {name: wrong(*call) for name, call in calls()}
    problems = [f"{name}: {text}" for name, text in found.items() if text]
    problems += [f"{name} is not in docs/scipy.md" for name in sorted(set(found) - listed())]
    problems += [f"{name} of docs/scipy.md has no call here" for name in sorted(listed() - set(found))]
    sys.stdout.write("\n".join(problems or [f"ok: {len(found)} functions"]) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
