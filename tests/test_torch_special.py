"""``torch.special`` and the functions that return two results at once, by SciPy and by NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special as scipys

import tinygrad_nn.pytorch as torch
from tinygrad_nn import assert_gradients

X = np.array([0.3, 0.7, 1.2, 2.5, 0.9])
Y = np.array([1.5, 0.4, 2.2, 3.3, 1.1])
SHARES = X / (1 + X)
M = np.random.default_rng(0).normal(size=(3, 4))

OF_ONE: dict[str, Callable[[Any], Any]] = {
    "airy_ai": lambda x: scipys.airy(x)[0], "bessel_j0": scipys.j0, "bessel_j1": scipys.j1, "bessel_y0": scipys.y0,
    "bessel_y1": scipys.y1, "digamma": scipys.psi, "entr": scipys.entr, "erf": scipys.erf, "erfc": scipys.erfc,
    "erfcx": scipys.erfcx, "exp2": np.exp2, "expit": scipys.expit, "expm1": np.expm1, "gammaln": scipys.gammaln,
    "i0": scipys.i0, "i0e": scipys.i0e, "i1": scipys.i1, "i1e": scipys.i1e, "log1p": np.log1p,
    "log_ndtr": scipys.log_ndtr, "modified_bessel_i0": scipys.i0, "modified_bessel_i1": scipys.i1,
    "modified_bessel_k0": scipys.k0, "modified_bessel_k1": scipys.k1, "ndtr": scipys.ndtr, "psi": scipys.psi,
    "scaled_modified_bessel_k0": scipys.k0e, "scaled_modified_bessel_k1": scipys.k1e, "sinc": np.sinc,
    "spherical_bessel_j0": lambda x: scipys.spherical_jn(0, x),
}  # fmt: skip
OF_SHARES = {"erfinv": scipys.erfinv, "ndtri": scipys.ndtri, "logit": scipys.logit}
OF_TWO = {"xlogy": scipys.xlogy, "xlog1py": scipys.xlog1py, "gammainc": scipys.gammainc, "gammaincc": scipys.gammaincc}
TABLE: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Any]] = {
    **{name: (getattr(torch.special, name), (X,), wanted(X)) for name, wanted in OF_ONE.items()},
    **{name: (getattr(torch.special, name), (SHARES,), wanted(SHARES)) for name, wanted in OF_SHARES.items()},
    **{name: (getattr(torch.special, name), (X, Y), wanted(X, Y)) for name, wanted in OF_TWO.items()},
    "zeta": (torch.special.zeta, (X + 1.5, Y), scipys.zeta(X + 1.5, Y)),
    "multigammaln": (lambda x: torch.special.multigammaln(x, 2), (X + 1,), [scipys.multigammaln(x + 1, 2) for x in X]),
    "polygamma": (lambda x: torch.special.polygamma(2, x), (X,), scipys.polygamma(2, X)),
    "round": (torch.special.round, (X,), np.round(X)),
    "softmax": (lambda x: torch.special.softmax(x, 0), (X,), scipys.softmax(X)),
    "log_softmax": (lambda x: torch.special.log_softmax(x, dim=0), (X,), scipys.log_softmax(X)),
    "logsumexp": (lambda x: torch.special.logsumexp(x, 0, keepdim=True), (X,), [scipys.logsumexp(X)]),
    "torch.erfinv": (torch.erfinv, (SHARES,), scipys.erfinv(SHARES)),
    "torch.i0": (torch.i0, (X,), scipys.i0(X)),
    "torch.igamma": (torch.igamma, (X, Y), scipys.gammainc(X, Y)),
    "torch.igammac": (torch.igammac, (X, Y), scipys.gammaincc(X, Y)),
    "torch.mvlgamma": (lambda x: torch.mvlgamma(x, p=1), (X,), scipys.gammaln(X)),
    "torch.polygamma": (lambda x: torch.polygamma(1, x), (X,), scipys.polygamma(1, X)),
    "torch.xlogy": (lambda x: torch.xlogy(2.0, x), (X,), 2 * np.log(X)),
    "std_mean": (lambda x: torch.stack(torch.std_mean(x, 1)), (M,), [M.std(1, ddof=1), M.mean(1)]),
    "std_mean of axes": (lambda x: torch.stack(torch.std_mean(x, dim=(0, 1), correction=0, keepdim=True)), (M,),
                         [[[M.std()]], [[M.mean()]]]),
    "var_mean": (lambda x: torch.stack(torch.var_mean(x)), (M,), [M.var(ddof=1), M.mean()]),
    "var_mean, biased": (lambda x: torch.stack(torch.var_mean(x, False)), (M,), [M.var(), M.mean()]),
    "var_mean of rows, biased": (lambda x: torch.stack(torch.var_mean(x, 0, unbiased=False)), (M,),
                                 [M.var(0), M.mean(0)]),
    "aminmax": (lambda x: torch.stack(torch.aminmax(x)), (M,), [M.min(), M.max()]),
    "aminmax of rows": (lambda x: torch.aminmax(x, dim=1).max, (M,), M.max(1)),
    "aminmax, axis kept": (lambda x: torch.aminmax(x, dim=0, keepdim=True).min, (M,), M.min(0, keepdims=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_values_and_gradients(name: str) -> None:
    f, args, wanted = TABLE[name]
    found = f(*(torch.tensor(a, dtype=torch.float64) for a in args))
    assert isinstance(found, torch.Tensor)
    # Each result is SciPy's or a formula of a few operations; 64 roundings are the room of `assert_allclose`.
    np.testing.assert_allclose(found.data, wanted, rtol=64 * np.finfo(float).eps, atol=1e-15)
    if name != "round":  # its derivative is 0, which `assert_gradients` calls a blind test
        assert_gradients(f, *args)


def test_every_name_of_the_namespace_is_in_the_table() -> None:
    assert {name for name in vars(torch.special) if name[0] != "_"} <= set(TABLE)


def test_an_import_line_and_words() -> None:
    from tinygrad_nn.pytorch.special import expit  # type: ignore[import-not-found]  # a namespace, not a file

    np.testing.assert_array_equal(expit(input=X).data, torch.sigmoid(torch.tensor(X)).data)
    with pytest.raises(TypeError, match=r"torch\.special\.xlogy needs other"):
        torch.special.xlogy(X)
    with pytest.raises(TypeError, match="out= is not supported"):
        torch.special.expit(X, out=X)
    with pytest.raises(AttributeError, match=r"torch\.special.*'erfcc'.*did you mean"):
        torch.special.erfcc  # noqa: B018
