"""Rarely used options of NumPy's functions: the same values as for arrays, gradients against central differences."""

from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor

X = np.array([[-1.3, 0.4, 1.7, -0.6], [0.9, 2.1, -0.2, 1.1], [0.25, -1.6, 0.7, -2.3]])
V = np.array([0.3, -1.2, 2.5, 0.7])
S = X[:, :3] @ X[:, :3].T + 3 * np.eye(3)
CALLS = """
np.pad(a, {0: 1}); np.pad(a, {1: (2, 1)}); np.pad(a, {-1: 2, 0: (0, 1)}, mode="edge"); np.pad(a, {}); np.pad(a, 1)
np.pad(a, (1, 2), constant_values=((1.0, 2.0), (3.0, 4.0))); np.pad(a, ((0, 0), (3, 5)), mode="wrap")
np.pad(a, ((4, 3), (0, 0)), mode="symmetric"); np.pad(a, ((3, 3), (2, 1)), mode="reflect", reflect_type="odd")
np.pad(a, ((2, 3), (1, 2)), mode="linear_ramp", end_values=((1.0, 2.0), (0.0, -1.0))); np.pad(a, 2, mode="mean")
np.pad(a, ((1, 2), (2, 1)), mode="mean", stat_length=((1, 2), (3, 2))); np.pad(a, ((1, 0), (0, 1)), mode="maximum")
np.pad(a, 1, mode="minimum", stat_length=2); np.pad(a, ((5, 7), (0, 0)), mode="reflect")
np.pad(a, ((0, 0), (9, 8)), mode="symmetric", reflect_type="odd"); np.pad(b, (2, 3), mode="linear_ramp")
np.linspace(b[0], b[1], 5); np.linspace(b[0], b[1], 4, endpoint=False); np.linspace(b, b[::-1], 3, axis=-1)
np.linspace(b, 2 * b, 3, axis=1); np.linspace(0.0, b, 4); np.linspace(b[0], b[1], 5, retstep=True)[1]
np.linspace(b[0], b[1], 5, endpoint=False, retstep=True)[1]; np.linspace(b[0], b[1], 1); np.polyval(b, a)
np.polyval(b, b[1]); np.polyval(b[:1], a); np.polyval(b[:2], a[0]); np.convolve(b, a[0], "full")
np.convolve(b, a[0, :2], "same"); np.convolve(a[0, :2], b, "valid"); np.convolve(a[0, :3], b, "same")
np.correlate(b, a[0, :3], "full"); np.correlate(a[0, :2], b, "same"); np.correlate(b, a[1, :3]); np.vander(b)
np.vander(b, 3, increasing=True); np.vander(b, 6); np.repeat(a, 2); np.repeat(a, 3, axis=0)
np.repeat(a, [1, 0, 2], axis=0); np.repeat(a, [2], axis=-1); np.tile(a, 2); np.tile(a, (2, 1, 3)); np.tile(b, (2, 2))
np.tril(a); np.tril(a, 1); np.triu(a, -1); np.triu(a, 2); np.diag(b); np.diag(b, 2); np.diag(a, 1); np.diag(a, -1)
np.diagflat(b, -1); np.trace(a); np.trace(a, 1); np.trace(np.stack([a, 2 * a]), 1, 2, 0)
np.diagonal(np.stack([a, 2 * a]), -1, 0, 2); np.diagonal(a, 2); np.roll(a, 1); np.roll(a, -2, axis=1)
np.roll(a, (1, 2), axis=(0, 1)); np.roll(a, 5, axis=0); np.rot90(a); np.rot90(a, 2); np.rot90(a, 3, axes=(1, 0))
np.rot90(a, -1); np.flip(a); np.flip(a, 1); np.flip(a, (0, -1)); np.fliplr(a); np.flipud(a)
np.moveaxis(np.stack([a, a]), 0, -1); np.moveaxis(np.stack([a, a]), [0, 1], [-1, 0]); np.rollaxis(np.stack([a, a]), 2)
np.rollaxis(np.stack([a, 3 * a]), 0, 2); np.swapaxes(np.stack([a, a]), -1, 0); np.full_like(a, b[0])
np.full_like(a, b); np.diff(a); np.diff(a, 2, 0); np.diff(a, prepend=0.5); np.diff(a, append=b[:3, None], axis=1)
np.diff(a, n=3); np.ediff1d(a); np.ediff1d(b, to_begin=a[0], to_end=2.0); np.gradient(b); np.gradient(b, 2.0)
np.gradient(a, axis=0); np.gradient(a, 0.5, axis=1, edge_order=2); np.gradient(b, np.array([0.0, 1.0, 1.5, 4.0]))
np.gradient(b, np.array([0.0, 1.0, 1.5, 4.0]), edge_order=2); np.gradient(a, 2.0, 3.0)[1]; np.trapezoid(a)
np.trapezoid(a, dx=0.5, axis=0); np.trapezoid(a, [0.0, 1.0, 3.0, 3.5]); np.trapezoid(b, a[0]); np.trapezoid(a, b)
np.cumsum(a); np.cumsum(a, 0); np.cumprod(a, 1); np.cumprod(a); np.average(a, weights=b + 4, axis=1)
np.average(a, axis=0); np.average(a, weights=np.exp(a)); np.average(a, 1, b + 4, returned=True)[1]
np.average(a, 0, np.exp(a), returned=True)[1]; np.average(a, 0, keepdims=True); np.var(a, 1, ddof=1)
np.var(a, (0, 1), keepdims=True); np.std(a, 0, ddof=1); np.std(a, mean=np.mean(a)); np.var(a, 0, correction=1)
np.nanvar(a, 0, ddof=1); np.nanstd(a, 1); np.nanmean(a, 0); np.nansum(a, 1); np.nanprod(a, 0); np.median(a)
np.median(a, 1); np.median(a, 0, keepdims=True); np.percentile(a, 30); np.percentile(a, [10, 80], axis=1)
np.quantile(a, 0.4, axis=0, method="lower"); np.quantile(a, 0.4, axis=0, method="higher")
np.quantile(a, 0.4, axis=0, method="midpoint"); np.quantile(b, [0.0, 1.0]); np.quantile(a, 0.37, method="nearest")
np.quantile(a, 0.3, method="hazen"); np.quantile(a, 0.3, method="weibull", axis=1)
np.quantile(a, 0.3, method="median_unbiased"); np.quantile(a, [[0.2], [0.9]], axis=1, keepdims=True)
np.nanquantile(a, 0.3); np.sort(a); np.sort(a, 0); np.sort(a, None); np.partition(a, 2, axis=1); np.max(a, 0)
np.min(a, 1, keepdims=True); np.max(a, initial=0.5, where=a > 0); np.min(a, (0, 1)); np.ptp(a, 0)
np.sum(a, 0, where=a > 0); np.sum(a, initial=2.0); np.prod(a, 0, where=a > 0); np.prod(a, (0, 1))
np.prod(a, 1, keepdims=True, initial=2.0); np.mean(a, 1, where=a > -1); np.take(a, [2, 0], axis=0)
np.take(a, [[1, 5]], mode="wrap"); np.take(a, [9, -9], mode="clip"); np.take(a, -1, axis=1)
np.take_along_axis(a, np.argsort(a, 1)[:, :2], 1); np.take_along_axis(a, np.array([3, 0, 11]), None)
np.choose([0, 2, 1, 0], a); np.compress([True, False, True], a, axis=0); np.extract(a > 0, a); np.delete(a, 1, axis=0)
np.delete(a, [0, 2], 1); np.delete(a, slice(0, 2), 1); np.insert(a, 1, b, axis=0); np.insert(a, [0, 2], 5.0, axis=1)
np.insert(b, 2, 1.0); np.append(a, b); np.append(a, a[:1], axis=0); np.where(a > 0, a, b)
np.select([a > 1, a > 0], [a * a, b * a], -1.0); np.select([a > 1, a > 0], [a * a, b + a])
np.piecewise(a, [a > 1, a < 0], [lambda t: t * t, lambda t: -t, 2.0]); np.clip(a, b - 1, None); np.clip(a, None, 0.5)
np.clip(a, -0.25, b + 1); np.interp(a, [-1.0, 0.0, 2.0], [0.0, 1.0, 5.0]); np.interp(b, [-1.0, 0.0, 2.0], a[0, :3])
np.interp(b, [-1.0, 0.0, 2.0], a[0, :3], left=1.0, right=2.0); np.interp(b, [0.0, 1.0], [0.0, 1.0], period=1.45)
np.unwrap(3 * a); np.unwrap(3 * a, axis=0, period=2.0); np.unwrap(a, 0.4); np.nan_to_num(a); np.fmax(a, b)
np.fmin(a, 0.2); np.fmod(a, 0.37); np.remainder(a, 0.37); np.heaviside(a, 0.5); np.copysign(a, -1.0); np.hypot(a, b)
np.arctan2(a, b); np.logaddexp(a, b); np.logaddexp2(a, b); np.float_power(np.exp(a), b); np.sinc(a); np.i0(a)
np.angle(a + 1j * b).real; np.deg2rad(a); np.cbrt(a + 3); np.ldexp(a, 2); np.fabs(a); np.exp2(a); np.dot(a, b)
np.dot(b, a.T); np.inner(a, b); np.inner(a, a); np.outer(b, a[0]); np.vdot(a, 2 * a); np.kron(a, b)
np.tensordot(a, a, 2); np.tensordot(a, a, ([1], [1])); np.tensordot(a, b, 1); np.tensordot(a, b, 0)
np.cross(a[:, :3], b[:3]); np.matmul(b, a.T); np.linalg.multi_dot([a, a.T, a, b]); np.einsum("ij,kj->ik", a, a)
np.einsum("ii->i", a[:, :3]); np.einsum("ij->j", a); np.einsum("ij,j", a, b); np.einsum("i,j->ji", b, a[0])
np.einsum(a, [0, 1], b, [1], [0]); np.einsum("...i,i->...", a, b); np.einsum("ij,ij,j->i", a, a, b); np.matvec(a, b)
np.vecmat(a[:, 0], a); np.vecdot(a, b); np.linalg.norm(a); np.linalg.norm(a, 1); np.linalg.norm(a, -1)
np.linalg.norm(a, np.inf); np.linalg.norm(a, 2); np.linalg.norm(a, -2); np.linalg.norm(a, "nuc"); np.linalg.norm(b, 3)
np.linalg.norm(b, 1); np.linalg.norm(b, 0); np.linalg.norm(a, axis=1); np.linalg.norm(a, 3, axis=0, keepdims=True)
np.linalg.norm(a, -np.inf, axis=1); np.linalg.norm(b, -1); np.linalg.vector_norm(a, axis=0, ord=3)
np.linalg.matrix_norm(a, ord=1); np.linalg.matrix_norm(a, keepdims=True); np.linalg.inv(c); np.linalg.det(c)
np.linalg.slogdet(c)[1]; np.linalg.solve(c, b[:3]); np.linalg.solve(c, a); np.linalg.pinv(a); np.linalg.cholesky(c)
np.linalg.matrix_power(c, 3); np.linalg.matrix_power(c, -2); np.linalg.matrix_power(c, 0); np.linalg.eigvalsh(c)
np.linalg.eigh(c)[0]; np.linalg.svd(a)[1]; np.linalg.svd(a, compute_uv=False); np.linalg.svdvals(a)
np.abs(np.linalg.qr(a)[1]); np.abs(np.linalg.qr(a.T, mode="r")); np.linalg.lstsq(a.T, b)[0]; np.linalg.tensorinv(c, 1)
np.linalg.tensorsolve(c, b[:3]); np.linalg.cond(c, 1); np.linalg.eigvalsh(c, "U"); np.linalg.cholesky(c, upper=True)
np.fft.fft(b).real; np.fft.ifft(b, 6).imag; np.fft.rfft(a, axis=0).real; np.fft.irfft(b, 5)
np.fft.fft(b, 3, norm="ortho").imag; np.fft.fft2(a).imag; np.fft.fftshift(a); np.fft.ifftshift(a, 1)
np.fft.hfft(b, 6); np.fft.ihfft(b).real; np.fft.irfft2(a, (3, 5)); np.fft.rfftn(a).imag
np.fft.irfftn(a, norm="backward"); np.fft.fftshift(a, (0, 1)); np.concatenate([a, b[None]])
np.concatenate([a, a], axis=None); np.stack([b, 2 * b], axis=-1); np.vstack([a, b]); np.hstack([b, b])
np.dstack([a, 2 * a]); np.column_stack([b, a.T]); np.block([[a, a[:, :1]], [b, 1.0]]); np.split(a, 2, axis=1)[1]
np.array_split(b, 3)[0]; np.split(b, [1, 3])[1]; np.hsplit(a, 2)[0]; np.vsplit(a, 3)[2]
np.dsplit(np.stack([a, a]), [1])[1]; np.broadcast_arrays(a, b)[1]; np.meshgrid(b, a[0])[0]
np.meshgrid(b, a[0], indexing="ij")[1]; np.apply_along_axis(np.sum, 1, a); a[1]; a[:, ::-2]; a[[0, 0, 2], 1]; a[a > 0]
a[..., None, 1]; a[np.array([[0], [2]]), [1, 3]]; a[1:, [0, 2]]; a[[True, False, True]]; a.at[1].set(b)
a.at[:, 1].add(2.0); a.at[[0, 0]].add(b); a.at[a > 0].multiply(3.0); a.at[0, 1].set(b[2]); a.at[..., 2].set(0.0)
np.fft.fftn(a, (2, 4), (0, 1), norm="forward").real; np.sinc(0 * a + b * 1e-3); np.sinc(0 * b); np.sinc(a + 2)
"""


def calls() -> list[str]:
    return [text.strip() for line in CALLS.strip().splitlines() for text in line.split("; ")]


def of(text: str, *arrays: Any) -> Any:
    return eval(text, {"np": np}, dict(zip("abc", arrays, strict=True)))


FLAT = ("np.heaviside", "np.linalg.norm(b, 0)", "np.linalg.matrix_power(c, 0)", "np.sinc(0 * b)")  # of slope zero


@pytest.mark.parametrize("text", calls())
def test_an_option_has_the_same_effect_as_for_arrays(text: str) -> None:
    arrays = [X, V, S]
    found = of(text, *map(Tensor, arrays))
    if ".at[" not in text:
        wanted = np.asarray(of(text, *arrays))
        assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(found.data, wanted, rtol=1e-12, atol=1e-12)
    cotangent = np.cos(np.arange(found.size)).reshape(found.shape)
    value = lambda *given: (of(text, *given) * cotangent).sum()
    every = tuple(range(3))
    gradients = tg.grad(value, argnums=every)(*arrays)
    used = [k for k in every if gradients[k].any()]
    assert used or text.startswith(FLAT)
    rng, h = np.random.default_rng(0), 1e-6
    for k in used:
        along = rng.normal(size=arrays[k].shape)
        along = along + along.T if k == 2 else along
        up, down = ([x + step * along if j == k else x for j, x in enumerate(arrays)] for step in (h, -h))
        slope = (value(*map(Tensor, up)).item() - value(*map(Tensor, down)).item()) / (2 * h)
        exact = float((gradients[k] * along).sum())
        assert abs(slope - exact) <= 1e-6 * (1 + abs(exact)), (slope, exact)  # errors of order h^2 and eps / h


REFUSED = """
np.partition(a, 1, kind="x"); np.sort(a, kind="x"); np.argsort(a, kind="x"); np.partition(a, 9, 1); np.pad(a, -1)
np.pad(a, 0.5); np.pad(a, 1, mode="x"); np.pad(a, 1, mode="mean", constant_values=1); np.quantile(a, 2.0)
np.quantile(a, 0.5, method="x"); np.percentile(a, -1); np.take(a, [99]); np.roll(a, 1, axis=5)
np.average(a, weights=b[:2], axis=1); np.average(a, weights=b); np.average(a, 1, 0 * b); np.diff(a, -1); np.diff(b[0])
np.gradient(b[:1]); np.gradient(b, 1.0, 2.0); np.gradient(b, edge_order=3)
np.gradient(a, edge_order=2, axis=0, foo=1); np.trace(b); np.diagonal(a, 0, 1, 1); np.swapaxes(a, 0, 7)
np.moveaxis(a, 0, 7); np.rot90(b); np.flip(a, 4); np.tril(a, k="x"); np.concatenate([a, b]); np.stack([a, b])
np.split(b, 3); np.hsplit(b[0], 1); np.dsplit(a, 1); np.vsplit(b, 1); np.reshape(a, 7); np.linalg.inv(a)
np.linalg.det(b); np.linalg.solve(a, b); np.linalg.norm(a, "x"); np.linalg.norm(np.stack([a, a]), 1)
np.linalg.norm(a, 5); np.linalg.norm(b, "fro"); np.linalg.cholesky(-c); np.linalg.matrix_power(a, 2)
np.linalg.matrix_power(c, 0.5); np.dot(a, a); np.inner(a, b[:2]); np.tensordot(a, b, 2); np.einsum("ij->k", a)
np.einsum("ij,jk", a, a); np.cross(a, b); np.choose([9, 9, 9, 9], a); np.select([a > 1], [a, b])
np.interp(b, [1.0, 2.0], [1.0]); np.max(a[:0]); np.fft.fft(b, 0); np.repeat(a, [1, 2], axis=0); np.repeat(a, -1)
np.broadcast_to(a, (2, 2)); np.squeeze(a, 0); np.expand_dims(a, 9); np.insert(a, 99, b)
"""


@pytest.mark.parametrize("text", [t.strip() for line in REFUSED.strip().splitlines() for t in line.split("; ")])
def test_what_numpy_refuses_is_refused(text: str) -> None:
    arrays = [X, V, S]
    with np.errstate(all="ignore"):
        try:
            of(text, *arrays)
        except Exception as error:
            kinds = tuple({ValueError, TypeError, IndexError, np.linalg.LinAlgError} & set(type(error).__mro__))
        else:
            return  # another NumPy takes it
        with pytest.raises(kinds or Exception):
            of(text, *map(Tensor, arrays))


WEIGHTS = np.arange(9.0).reshape(3, 3) + 1


def through_eigh(x: Any) -> Any:
    w, V = np.linalg.eigh(x)
    return (((V * np.exp(w)[..., None, :]) @ np.swapaxes(V, -1, -2)) * WEIGHTS).sum()


def through_svd(x: Any) -> Any:
    U, s, V = np.linalg.svd(x)
    return (((U * s[..., None, :] ** 2) @ V) * WEIGHTS).sum()


@pytest.mark.parametrize("function", [through_eigh, through_svd])
def test_matrices_of_a_stack_have_the_gradients_that_each_has_alone(function: Any) -> None:
    stack = np.stack([np.eye(3), np.diag([1.0, 1.0, 2.0]), 1e-3 * np.eye(3), np.diag([5.0, 3.0, 3.0])])
    for some in (stack, stack[:2], stack[:1]):
        alone = np.stack([tg.grad(function)(x) for x in some])
        np.testing.assert_allclose(tg.grad(function)(some), alone, rtol=1e-12, atol=1e-12)
    nested = stack.reshape(2, 2, 3, 3)
    np.testing.assert_allclose(tg.grad(function)(nested).reshape(stack.shape), tg.grad(function)(stack), rtol=1e-12)
