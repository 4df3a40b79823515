"""Values, dtypes and errors equal NumPy's for every shape, axis and dtype; gradients equal finite differences.

The table of cases has a few shapes for each function. Here every call is made with arrays without axes, without
entries, with one entry and with several, and with valid and invalid axes: NumPy's answer is the right one.
"""

import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, grad

windows = np.lib.stride_tricks.sliding_window_view
SHAPES = [(), (0,), (1,), (5,), (2, 3), (1, 4), (3, 0), (2, 1, 3)]
AXES = ["None", "0", "-1", "1", "(0, -1)", "()"]
# Where NumPy raises, ours may answer: these take no axis to be reduced as no sum, and numbers as vectors of one entry.
ANSWERED = (
    "np.median(x, ()", "np.quantile(x", "np.percentile(x", "np.average(x", "np.polyder(x", "np.polyint(x",
    "np.interp(x", "np.nanquantile(x", "np.cov(x", "np.histogram", "np.linalg.tensorinv(",
)  # fmt: skip
# Other than integers of 64 bits and floats of 32: NumPy chooses other dtypes for them, in which sums may wrap around.
OTHERS = (np.uint8, np.int8, bool, np.float16)
# What NumPy leaves open for them: the order within a part, and sets whose entries are not unique as they should be.
OPEN = ("np.partition(", "np.intersect1d(x, x[::-1], True)")
ROUNDED = ("np.logspace(x, 1.0, 3, False, d", "np.polyfit(x, y, 1, w=[1.0, 2.0, 0.5], cov=True)")  # in float16 at once
# And these refuse what NumPy gives no meaning: coefficients of several axes or of none, products of stacks.
STRICTER = ("np.poly", "np.linalg.multi_dot(", "np.interp(x", "np.piecewise(x, x")
PAIRS = [
    ((), ()), ((3,), ()), ((3,), (3,)), ((2,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 2)),
    ((1, 3), (3, 1)), ((2, 2, 3), (3, 2)), ((2, 3), (2, 3, 2)), ((2, 1, 3), (2, 3, 1)), ((0,), (0,)), ((2, 0), (0, 3)),
    ((0, 3), (3, 2)), ((1,), (1,)), ((2, 2), (2, 2)),
]  # fmt: skip
ONE = """
np.sum(x, axis={axis}); np.sum(x, {axis}, keepdims=True); np.sum(x, {axis}, initial=2.0, where=x > 0)
np.prod(x, axis={axis}); np.prod(x, {axis}, keepdims=True, initial=3.0); np.prod(x, {axis}, where=x > 0)
np.mean(x, {axis}); np.mean(x, {axis}, keepdims=True); np.mean(x, {axis}, where=x > 0); np.mean(x, {axis}, np.float64)
np.var(x, {axis}); np.var(x, {axis}, ddof=1, keepdims=True); np.var(x, {axis}, correction=0.5)
np.var(x, {axis}, where=x > 0); np.std(x, {axis}); np.std(x, {axis}, ddof=1); np.std(x, {axis}, keepdims=True)
np.var(x, {axis}, mean=np.mean(x, {axis}, keepdims=True)); np.std(x, {axis}, mean=np.mean(x, {axis}, keepdims=True))
np.max(x, {axis}); np.max(x, {axis}, keepdims=True); np.max(x, {axis}, initial=0.5); np.min(x, {axis}, initial=-0.5)
np.max(x, {axis}, where=x > 0, initial=-9.0); np.min(x, {axis}); np.min(x, {axis}, keepdims=True); np.ptp(x, {axis})
np.ptp(x, {axis}, keepdims=True); np.median(x, {axis}); np.median(x, {axis}, keepdims=True); np.average(x, {axis})
np.average(x, {axis}, keepdims=True); np.average(x, {axis}, np.abs(x)); np.average(x, {axis}, returned=True)[1]
np.quantile(x, 0.3, {axis}); np.quantile(x, [0.0, 0.75, 1.0], {axis}); np.percentile(x, 60, {axis}, keepdims=True)
np.percentile(x, [[5], [50]], {axis}); np.quantile(x, 0.5, {axis}, method="midpoint"); np.nansum(x, {axis})
np.nanprod(x, {axis}); np.nanmean(x, {axis}); np.nanvar(x, {axis}, ddof=1); np.nanstd(x, {axis}); np.nanmax(x, {axis})
np.nanmin(x, {axis}, keepdims=True); np.nanmedian(x, {axis}); np.nanquantile(x, [0.2, 0.9], {axis}); x.sum({axis})
np.nanpercentile(x, 30, {axis}); np.cumsum(x, {axis}); np.cumprod(x, {axis}); np.nancumsum(x, {axis})
np.nancumprod(x, {axis}); np.cumulative_sum(x, axis={axis}); np.cumulative_sum(x, axis={axis}, include_initial=True)
np.cumulative_prod(x, axis={axis}, include_initial=True); np.sort(x, {axis}); np.flip(x, {axis})
np.roll(x, 2, {axis}); np.roll(x, -1, {axis}); np.roll(x, (1, 2), {axis}); np.repeat(x, 2, {axis})
np.repeat(x, 0, {axis}); np.take(x, [0, 0], {axis}); np.take(x, -1, {axis}); np.take(x, [7, -7], {axis}, mode="clip")
np.take(x, [], {axis}); np.take(x, [[5]], {axis}, mode="wrap"); np.delete(x, 0, {axis}); np.delete(x, [-1], {axis})
np.insert(x, 0, 1.5, {axis}); np.append(x, x, {axis}); np.expand_dims(x, {axis}); np.squeeze(x, {axis})
np.compress([True], x, {axis}); np.linalg.norm(x, axis={axis}); np.linalg.norm(x, 1, {axis})
np.linalg.norm(x, 3, {axis}, keepdims=True); np.linalg.norm(x, np.inf, {axis}); np.linalg.norm(x, -np.inf, {axis})
np.linalg.norm(x, 0.5, {axis}); np.linalg.norm(x, -1, {axis}, keepdims=True); np.linalg.norm(x, 0, {axis})
np.linalg.norm(x, 2, {axis}); np.linalg.norm(x, "fro", {axis}); np.linalg.norm(x, "nuc", {axis}, keepdims=True)
np.linalg.norm(x, -2, {axis}); np.linalg.vector_norm(x, axis={axis}, ord=3)
np.linalg.vector_norm(x, axis={axis}, keepdims=True); np.add.reduce(x, {axis})
np.multiply.reduce(x, {axis}, keepdims=True); np.maximum.reduce(x, {axis}); np.subtract.reduce(x, {axis})
np.hypot.reduce(x, {axis}); np.fmax.reduce(x, {axis}, initial=0.25); np.logaddexp.reduce(x, {axis})
np.logaddexp.reduce(x, {axis}, keepdims=True, initial=0.5); np.logaddexp2.reduce(x, {axis})
np.add.reduce(x, {axis}, where=x > 0, initial=1.0); np.divide.reduce(x, {axis})
np.subtract.reduce(x, {axis}, where=x > 0, initial=1.0, keepdims=True); np.add.accumulate(x, {axis})
np.maximum.accumulate(x, {axis}); np.minimum.accumulate(x, {axis}); np.logaddexp.accumulate(x, {axis})
np.subtract.accumulate(x, {axis}); np.multiply.accumulate(x, {axis}); np.add.reduceat(x, [0, 0], {axis})
np.add.reduceat(x, [1, 0, 2], {axis}); np.multiply.reduceat(x, [0], {axis}); np.subtract.reduceat(x, [2, 0], {axis})
np.diff(x, axis={axis}); np.diff(x, 2, {axis}); np.diff(x, 0, {axis}); np.diff(x, 1, {axis}, prepend=1.0, append=x)
np.gradient(x, axis={axis}); np.gradient(x, 0.5, axis={axis}, edge_order=2); np.trapezoid(x, axis={axis})
np.trapezoid(x, dx=2.0, axis={axis}); np.unwrap(4 * x, axis={axis}); np.moveaxis(x, 0, {axis})
np.rollaxis(x, -1, {axis}); np.swapaxes(x, 0, {axis}); np.fft.fft(x, axis={axis}); np.fft.fft(x, 4, {axis})
np.fft.ifft(x, 2, {axis}, "ortho"); np.fft.rfft(x, axis={axis}); np.fft.rfft(x, 3, {axis}, "forward")
np.fft.irfft(x, axis={axis}); np.fft.irfft(x, 5, {axis}, "ortho"); np.fft.irfft(x, 1, {axis})
np.fft.hfft(x, axis={axis}); np.fft.hfft(x, 4, {axis}); np.fft.ihfft(x, axis={axis})
np.fft.ihfft(x, 4, {axis}, "forward"); np.fft.fftn(x, axes={axis}); np.fft.ifftn(x, axes={axis})
np.fft.rfftn(x, axes={axis}); np.fft.irfftn(x, axes={axis}); np.fft.fftshift(x, {axis}); np.fft.ifftshift(x, {axis})
np.stack([x, x + 1], {axis}); np.concatenate([x, x + 1], {axis}); np.unique(x, axis={axis})
np.array_split(x, 2, {axis})[1]; np.array_split(x, 3, {axis})[0]; np.split(x, [1], {axis})[0]; windows(x, 1, {axis})
windows(x, 2, {axis}); np.linspace(x, x + 1, 3, axis={axis}); np.linspace(x, 2 * x, 1, axis={axis}, endpoint=False)
np.geomspace(np.abs(x) + 1, 9.0, 4, axis={axis}); np.logspace(x, 1.0, 3, axis={axis}); np.partition(x, 0, {axis})
np.apply_along_axis(np.sum, {axis}, x); np.apply_over_axes(np.sum, x, {axis}); np.argmax(x, {axis})
np.take_along_axis(x, np.argsort(x, {axis}), {axis}); np.ravel(x); np.ravel(x, "F"); np.ravel(x, "K"); x.T; x.mT
x.flatten("F"); np.transpose(x); np.reshape(x, -1); np.reshape(x, (-1, 1), order="F"); np.atleast_1d(x)
np.atleast_2d(x); np.atleast_3d(x); np.tile(x, 2); np.tile(x, (2, 1)); np.tile(x, (1, 0, 2)); np.tril(x)
np.triu(x, 1); np.tril(x, -1); np.diag(x); np.diag(x, 1); np.diag(x, -2); np.diagflat(x); np.diagflat(x, -1)
np.diagonal(x); np.diagonal(x, -1); np.diagonal(x, 1, -1, 0); np.trace(x); np.trace(x, 1); np.trace(x, -1, 1, 0)
np.rot90(x); np.rot90(x, 2); np.fliplr(x); np.rot90(x, 3, (0, -1)); np.flipud(x); np.resize(x, (3, 2))
np.resize(x, 0); np.vander(x); np.vander(x, 2, True); np.vander(x, 0); np.vander(x, 1); np.pad(x, 1)
np.pad(x, (0, 2), "edge"); np.pad(x, 2, "wrap"); np.pad(x, 3, "reflect"); np.pad(x, (2, 1), "symmetric")
np.pad(x, 3, "reflect", reflect_type="odd"); np.pad(x, 2, "symmetric", reflect_type="odd")
np.pad(x, (1, 2), "linear_ramp", end_values=0.5); np.pad(x, 1, "mean"); np.pad(x, 2, "median", stat_length=2)
np.pad(x, (1, 0), "maximum", stat_length=1); np.pad(x, 1, "minimum"); np.pad(x, 0, "wrap")
np.pad(x, 1, "empty")[(slice(1, -1),) * x.ndim]
np.pad(x, 1, "constant", constant_values=2.5); np.ediff1d(x); np.ediff1d(x, to_end=1.0, to_begin=x)
np.hsplit(x, [1])[1]; np.vsplit(x, 1)[0]; np.dsplit(x, 1)[0]; np.vstack([x, x]); np.hstack([x, x]); np.dstack([x, x])
np.column_stack([x, x]); np.block([[x], [x]]); np.block([x, x]); np.meshgrid(x, x)[0]
np.meshgrid(x, x, indexing="ij")[0]; np.meshgrid(x, 2 * x, sparse=True)[1]; np.broadcast_to(x, (2, 2, 3))
np.broadcast_to(x, (5,)); np.full_like(x, 2.5); np.nan_to_num(x); np.clip(x, -0.5, 0.5); np.clip(x, None, 0.25)
np.real(x); np.imag(x); np.conj(x); np.abs(x); np.sign(x); np.angle(x); np.angle(x, deg=True); np.real_if_close(x)
np.round(x, 1); np.floor(x); np.modf(x)[0]; np.frexp(x)[0]; np.sinc(x); np.i0(x); np.square(x); np.sqrt(np.abs(x))
np.cbrt(x); np.exp(x); np.expm1(x); np.log1p(np.abs(x)); np.tanh(x); np.heaviside(x, 0.5); np.copysign(x, -1.0)
np.positive(x); np.negative(x); np.reciprocal(x + 3); np.fabs(x); np.trim_zeros(x); np.poly(x); np.roots(x)
np.polyder(x); np.polyder(x, 2); np.polyint(x); np.polyint(x, 2, 1.5); np.polyval(x, 1.5); np.polyval(x, x)
np.polyadd(x, [1.0, 2.0]); np.polysub([1.0], x); np.polymul(x, [1.0, 2.0]); np.polydiv(x, [2.0, 1.0])[0]; np.cov(x)
np.cov(x, rowvar=False); np.cov(x, bias=True); np.corrcoef(x); np.linalg.inv(x); np.linalg.det(x)
np.linalg.slogdet(x)[1]; np.linalg.pinv(x); np.linalg.matrix_power(x, 2); np.linalg.cholesky(x); np.linalg.svdvals(x)
np.linalg.cond(x); np.linalg.matrix_norm(x); np.linalg.matrix_norm(x, keepdims=True, ord=1); np.emath.sqrt(x)
np.emath.log(x); np.kron(x, x); np.outer(x, x); np.inner(x, x); np.dot(x, 2.0); np.add.outer(x, x); np.cross(x, x + 1)
np.union1d(x, x); np.setdiff1d(x, 0.0); np.extract(x > 0, x); np.where(x > 0, x, 2 * x); np.select([x > 0], [x], 0.5)
np.piecewise(x, [x > 0], [1.5, np.negative]); np.interp(x, [-1.0, 0.5, 2.0], [1.0, -1.0, 3.0]); x[()]; x[..., None]
x[:0]; x[::-1]; x[..., -1]; x[[0]]; x[x > 0]; np.histogram([0.5, 1.5], 2, weights=x)[0]
np.bincount([0, 1, 1, 0, 3], x); np.convolve(x, [1.0, 2.0]); np.correlate(x, [1.0, 2.0], "same")
np.einsum("...->...", x); np.einsum("...i->...", x); np.einsum("ij->ji", x); np.fft.fft2(x); np.fft.rfft2(x, (2, 2))
np.fft.irfft2(x); np.matrix_transpose(x)
"""
TWO = """
np.matmul(x, y); np.dot(x, y); np.inner(x, y); np.outer(x, y); np.vdot(x, y); np.kron(x, y); np.tensordot(x, y, 0)
np.tensordot(x, y, 1); np.tensordot(x, y, 2); np.tensordot(x, y, ([0], [-1])); np.tensordot(x, y, (-1, 0))
np.cross(x, y); np.cross(x, y, axis=0); np.cross(x, y, 0, -1); np.linalg.cross(x, y); np.linalg.outer(x, y)
np.linalg.vecdot(x, y); np.vecdot(x, y); np.vecdot(x, y, axis=0); np.vecdot(x, y, keepdims=True); np.matvec(x, y)
np.vecmat(x, y); np.linalg.matmul(x, y); np.linalg.multi_dot([x, y]); np.linalg.multi_dot([x, y, y.T])
np.linalg.solve(x, y); np.linalg.lstsq(x, y)[0]; np.linalg.tensordot(x, y, axes=1); np.convolve(x, y)
np.convolve(x, y, "same"); np.convolve(x, y, "valid"); np.correlate(x, y); np.correlate(x, y, "same")
np.correlate(x, y, "full"); x + y; x * y; x / y; x - y; np.hypot(x, y); np.maximum(x, y); np.fmin(x, y)
np.arctan2(x, y); np.logaddexp(x, y); np.add.outer(x, y); np.subtract.outer(x, y); np.where(x > y, x, y)
np.clip(x, y, y + 1); np.interp(x, np.sort(y), y); np.polyval(x, y); np.polyadd(x, y); np.polysub(x, y)
np.polymul(x, y); np.polydiv(x, y)[0]; np.polydiv(x, y)[1]; np.append(x, y); np.concatenate([x, y])
np.concatenate([x, y], None); np.vstack([x, y]); np.hstack([x, y]); np.dstack([x, y]); np.column_stack([x, y])
np.block([[x, x], [y, y]]); np.broadcast_arrays(x, y)[0]; np.meshgrid(x, y)[1]; np.intersect1d(x, y)
np.setxor1d(x, y); np.union1d(x, y); np.cov(x, y); np.corrcoef(x, y); np.trapezoid(x, y); np.average(x, weights=y)
np.average(x, -1, y); np.einsum("...i,...i", x, y); np.einsum("...i,...j->...ij", x, y); np.einsum("i,i", x, y)
np.einsum("ij,jk", x, y); np.linspace(x, y, 3); np.geomspace(np.abs(x) + 1, np.abs(y) + 1, 3); np.gradient(x, y)
np.full_like(x, y); np.select([x > 0], [y], x); np.choose(np.abs(np.rint(x)).astype(int) % 2, [x, y]); np.ldexp(x, 2)
np.float_power(np.abs(x), y); np.remainder(x, y); np.fmod(x, y); np.insert(x, 0, y, -1); np.insert(x, 1, y)
"""
OPTIONS = """
np.cov(x, y, rowvar=False); np.cov(x, y, bias=True); np.cov(x, y, ddof=0); np.cov(x, ddof=2)
np.cov(x, fweights=[1, 2, 3]); np.cov(x, fweights=[1, 0, 2], ddof=0); np.cov(x, aweights=np.abs(y))
np.cov(x, aweights=np.abs(y), ddof=0); np.cov(x, fweights=[2, 1, 1], aweights=np.abs(y))
np.cov(x, y, fweights=[2, 1, 4], aweights=[0.5, 1.0, 2.0], bias=True); np.cov(x, aweights=[0.5, 2.0], rowvar=False)
np.corrcoef(x, y, rowvar=False); np.corrcoef(x, y, dtype=np.float64); np.histogram(plain(y), 4, weights=x)[0]
np.histogram(plain(y), [-1.0, 0.25, 0.5, 2.0], weights=x)[0]; np.histogram(plain(y), 3, (-1.0, 1.0), weights=x)[0]
np.histogram(plain(y), 3, density=True, weights=x)[0]; np.histogram(plain(y), [-3.0, 0.5, 1.0, 4.0], None, True, x)[0]
np.histogram(plain(y), "auto", weights=np.abs(x))[0]; np.histogram2d(plain(y), plain(y) ** 2, 2, weights=x)[0]
np.histogram2d(plain(y), plain(y), [2, 3], weights=x)[0]
np.histogram2d(plain(y), plain(y), 2, [[-1, 1], [-2, 2]], True, x)[0]; np.histogramdd([plain(y)], 3, weights=x)[0]
np.histogramdd(plain(y), [[-1.0, 0.0, 2.0]] * 3, density=True, weights=x)[0]; np.bincount([1, 0, 3], x, 6)
np.bincount([1, 0, 3], weights=y); np.bincount([1, 0, -3], x); np.bincount([], x); np.bincount([0.5, 1.0, 1.0], x)
np.polyfit(x, y, 1); np.polyfit(x, y, 0); np.polyfit(x, y, 2); np.polyfit(x, y, 1, w=np.abs(x)); np.polyfit(x, y, -1)
np.polyfit(x, y, 1, full=True)[1]; np.polyfit(x, y, 1, cov=True); np.polyfit(x, y, 1, cov="unscaled")
np.polyfit(x, y, 1, w=[1.0, 2.0, 0.5], cov=True)[0]; np.polyfit(x, y, 1, 1e-3)
np.quantile(x, 0.4, method="inverted_cdf", weights=np.abs(plain(y))); np.quantile(x, [0.1, 0.9], -1, weights=plain(y))
np.quantile(x, 0.6, -1, method="inverted_cdf", weights=[1.0, 0.0, 3.0]); np.quantile(x, 0.6, weights=[1.0, 0.0, 3.0])
np.nanquantile(x, 0.6, -1, method="inverted_cdf", weights=[1.0, 0.0, 3.0], keepdims=True)
np.quantile(x, np.abs(y) / 3); np.quantile(x, 0.5, 0, method="inverted_cdf", weights=[0.0, 0.0, 0.0])
np.quantile(x, 1.5); np.quantile(x, np.abs(y) + 1); np.average(x, 0, [1.0, 2.0, 3.0])
np.average(x, -1, [1.0, 2.0, 3.0], keepdims=True); np.average(x, None, [1.0, 2.0, 3.0])
np.average(x, weights=y, returned=True)[1]; np.average(x, weights=np.abs(plain(y)).astype(np.float32), returned=True)
np.quantile(x, np.float64(0.4)); np.nanpercentile(x, np.float64(40), -1)
np.average(x, 0, [0.0, 0.0, 0.0]); np.average(x, (1, 0), np.ones((3, 2)))
np.interp(x, [0.0, 1.0], [2.0, -1.0], left=y[0]); np.interp(x, [0.0, 1.0], [2.0, -1.0], right=9.0)
np.interp(x, [0.0, 0.5, 0.75], [2.0, -1.0, 4.0], period=1.25); np.interp(x, [0.0, 1.0], [2.0, -1.0], period=-0.75)
np.interp(x, [0.5], [2.0]); np.interp(x, [], []); np.interp(x, [0.0, 1.0], [2.0, -1.0], period=0)
np.interp(x, [0.0, 1.0], y); np.interp(x, y, [0.0, 1.0]); np.linalg.pinv(x, 0.3)
np.linalg.pinv(x @ x.T, hermitian=True); np.linalg.lstsq(x, y, 0.6)[0]; np.linalg.lstsq(x.T, y)[1]
np.linalg.solve(x.T, y); np.linalg.svd(x)[1]; np.linalg.svd(x, False)[1]; np.linalg.svd(x @ x.T, hermitian=True)[1]
np.abs(np.linalg.qr(x)[1]); np.abs(np.linalg.qr(x, "r")); np.abs(np.linalg.qr(x.T, "complete")[1])
np.linalg.cholesky(x @ x.T, upper=True); np.linalg.cond(x, 1); np.linalg.cond(x, "fro"); np.linalg.cond(x, -2)
np.linalg.cond(x, "nuc"); np.linalg.cond(x, -np.inf); np.linalg.matrix_power(x, 0); np.linalg.matrix_power(x, 1)
np.linalg.matrix_power(x, 5); np.linalg.matrix_power(x, -3); np.linalg.tensorinv(x, 1); np.linalg.tensorinv(x, 0)
np.trace(x, 1, -1, 0); np.linalg.trace(x, offset=-1); np.linalg.diagonal(x, offset=1)
np.take_along_axis(x, np.zeros((1, 1), int), 0); np.take_along_axis(x, np.zeros((3, 1), int), 1)
np.take_along_axis(x, np.array([1, -1]), None); np.choose([1, 0, 1], [x, y])
np.choose([[2], [0]], [x, y], mode="clip"); np.choose([3, -1, 1], [x, y], mode="wrap"); np.einsum("ij->", x)
np.einsum("ii", x); np.einsum("ij,ij->i", x, x); np.einsum("ij,jk->ki", x, y); np.einsum("...j,j...->...", x, y)
np.einsum("i,j->ij", x, y); np.einsum("ij,k", x, y); np.einsum("ij,jk,ik->j", x, y, x @ y)
np.einsum(x, [0, 1], [1, 0]); np.einsum(x, [0, 1], y, [1, 2]); np.einsum("ij,j->i", x, y, optimize=True)
np.einsum("ij, kj -> ik", x, x); np.einsum("iij->j", np.add.outer(x, y)); np.einsum("i->", x, y)
np.einsum("ij->ijk", x); np.block([[x, x], [y]]); np.linspace(x, y, 4, False, True)[1]
np.linspace(x, y, 3, dtype=int); np.linspace(x, y, 0); np.linspace(x, y, -1); np.geomspace(x, y, 3)
np.geomspace(x, x + 0.5, 4, False); np.geomspace(x, 0.0); np.logspace(x, y, 3, base=2.0, axis=-1)
np.logspace(0.0, x, 3, base=np.abs(y) + 1); np.logspace(x, 1.0, 3, False, dtype=np.float32)
np.full((2,), x[0], like=x); np.pad(x, [[1, 2]], constant_values=[[3.0, 4.0]])
np.pad(x, [[1, 2], [0, 1]], "mean", stat_length=[[1, 2], [2, 1]]); np.pad(x, {-1: (1, 2)}, "edge")
np.pad(x, [[1, 2], [2, 0]], "linear_ramp", end_values=[[1.0, 2.0], [3.0, 4.0]])
np.pad(x, 7, "reflect", reflect_type="odd"); np.pad(x, (2, 0), "symmetric", reflect_type="odd")
np.pad(x, (0, 3), "reflect", reflect_type="odd"); np.pad(x, (0, 1), "symmetric", reflect_type="odd")
np.pad(x, 8, "symmetric", reflect_type="odd"); np.pad(x, 1, "mean", stat_length=0)
np.pad(x, 1, "maximum", stat_length=0); np.unwrap(4 * x, 5.0); np.unwrap(4 * x, 1.0, period=3.0)
np.trim_zeros(np.round(x)); np.trim_zeros(np.trunc(x), "f"); np.trim_zeros(np.trunc(x), "b", -1)
np.trim_zeros(x, "x"); np.roots(np.append(x, 0.0)); np.polyint(x, 2, [1.0, 2.0]); np.polyint(x, 2, [1.0])
np.polyint(x, 3, [1.0, 2.0]); np.polyint(x, 1, y[0]); np.polyder(x, 0); np.polyder(x, 7); np.polyder(x, -1)
np.polyint(x, -1); np.vander(x, 4, increasing=True); np.diff(x, prepend=y); np.diff(x, append=y, axis=0)
np.diff(x, 2, prepend=0.0, append=[1.0]); np.ediff1d(x, y, 1.0); np.gradient(x, [0.0, 1.0, 3.0])
np.gradient(x, [0.0, 1.0, 3.0], axis=0, edge_order=2); np.gradient(x, 2.0, [0.0, 0.5, 2.0])
np.gradient(x, y, edge_order=2); np.trapezoid(x, [0.0, 1.0, 3.0]); np.trapezoid(x, [0.0, 1.0], axis=0)
np.trapezoid(x, dx=[1.0, 2.0]); np.resize(x, (2, 5)); np.unique(np.round(x), return_counts=True)
np.unique(np.round(x), return_inverse=True); np.unique(np.round(x), True)[0]; np.sort(np.unique_values(x))
np.unique_counts(np.round(x))[0]; np.unique_inverse(x); np.unique_all(x)[0]; np.setdiff1d(x, x[:1], True)
np.intersect1d(x, x[::-1], True); np.intersect1d(x, x[:2], return_indices=True); np.setxor1d(x, x[1:], True)
np.clip(x, min=0.5); np.clip(x, max=y); np.clip(x, 1.0, 0.0); np.select([x > 1, x > 0], [2 * x, y], y)
np.piecewise(x, x > 0, [np.square, 1.5]); np.where(x > 0, 1.0, x); x.clip(-1, y); x.round(1); x.swapaxes(0, -1)
x.repeat([2, 0, 1], -1); x.take([[0, 1]], -1); x.trace(); x.reshape(3, -1); x.reshape((-1,)); x.transpose()
x.transpose((-1, 0)); x.squeeze(); x.compress([False, True], 0); x.var(ddof=1); x.ptp()
x.std(0, mean=np.mean(x, 0, keepdims=True)); x.astype(np.float32); x.astype(complex); x.copy("F"); x.diagonal(1)
x.flatten(); np.histogram(constant(x), 3)[0]; np.histogram(constant(x), 2, (-1.0, 1.0), True)[0]
np.histogram(constant(x), 2, None, False, np.abs(plain(y)))[0]
np.histogram(constant(x), [-3.0, 0.0, 3.0], density=True)[0]; np.histogramdd(constant(x), 2)[0]
np.histogramdd(constant(x), 2, [[-1, 1]] * 2, True)[0]
np.histogramdd(constant(x), 3, None, False, np.abs(plain(y[..., 0])))[0]
np.histogram2d(constant(x), constant(y), [2, 3])[0]
np.histogram2d(constant(x), constant(y), 2, [[-1, 1], [-2, 2]], True)[0]
np.histogram2d(constant(x), constant(y), 2, None, False, np.abs(plain(y)))[0]; np.full((2,), 1.5, like=x)
np.full((2, 3), 1.5, np.float32, "F", like=x); np.full_like(x, 2.5, np.float32, "F", shape=(3,))
np.full_like(x, y[..., 0], shape=(2, 2)); np.subtract.reduce(x, (0, -1)); np.hypot.reduce(x, (0, -1))
np.hypot.reduce(x, 0, where=x > 0, initial=0.5); np.hypot.reduce(x, -1, where=y > 0)
np.sum(x, -1, initial=y.ravel()[0]); np.prod(x, 0, initial=y.ravel()[0], where=x > 0)
np.max(x, initial=y.ravel()[0], keepdims=True); np.min(x, 0, initial=y.ravel()[0], where=x > 0)
np.delete(x, slice(None, None, 2), -1); np.insert(x, [0, -1], y[0], 0); np.insert(x, 1, 2.5, 0)
np.append(x, y[:1], 0); np.roll(x, [1, -2], [0, -1]); np.rot90(x, -1, (-1, 0)); np.tril(x, 5); np.triu(x, -7)
np.apply_along_axis(np.cumsum, -1, x); np.apply_along_axis(np.sum, 0, x); np.apply_over_axes(np.sum, x, [0, -1])
np.apply_over_axes(np.max, x, -1); np.block([[x, 1.0 + x], [y, y]]); np.atleast_3d(x, y)
np.broadcast_arrays(x, y, 2.0)[1]; np.array_split(x, 4)[1]; np.array_split(x, [1, 1, 5], -1)[1]
np.tensordot(x, y, ((0, -1), (-1, 0))); np.fft.fftn(x, (3, 2), (0, -1)); np.fft.irfftn(x, (3, 4), (0, -1), "ortho")
np.fft.irfftn(x, (2, None), (0, -1)); np.fft.irfft2(x, (2, None), (0, 0)); np.emath.sqrt(x.astype(np.float16))
np.fft.rfftn(x, (2, 3)); np.fft.ifft2(x, norm="forward"); np.fft.hfft(x, 1); np.fft.ihfft(x, 5, 0)
"""
HOLED = """
np.nansum(x, {axis}); np.nansum(x, {axis}, keepdims=True, initial=2.0); np.nanprod(x, {axis}, where=x != y)
np.nanprod(x, {axis}, keepdims=True); np.nanmean(x, {axis}); np.nanmean(x, {axis}, where=y > 0, keepdims=True)
np.nanvar(x, {axis}); np.nanvar(x, {axis}, ddof=1, keepdims=True); np.nanvar(x, {axis}, where=y > -1)
np.nanvar(x, {axis}, mean=np.nanmean(x, {axis}, keepdims=True)); np.nanstd(x, {axis}, ddof=1); np.nanstd(x, {axis})
np.nanstd(x, {axis}, mean=np.nanmean(x, {axis}, keepdims=True)); np.nanmax(x, {axis})
np.nanmin(x, {axis}, keepdims=True); np.nanmax(x, {axis}, initial=0.25, where=y > 0)
np.nanmin(x, {axis}, initial=-0.25); np.nanmedian(x, {axis}); np.nanmedian(x, {axis}, keepdims=True)
np.nanquantile(x, 0.3, {axis}); np.nanquantile(x, [0.0, 0.6, 1.0], {axis})
np.nanquantile(x, 0.4, {axis}, method="hazen"); np.nanquantile(x, 0.4, {axis}, method="lower", keepdims=True)
np.nanquantile(x, 0.4, {axis}, method="averaged_inverted_cdf"); np.nanpercentile(x, [20, 75], {axis})
np.nanquantile(x, 0.6, {axis}, method="inverted_cdf", weights=np.abs(y)); np.nancumsum(x, {axis})
np.nancumprod(x, {axis}); np.max(x, {axis}); np.min(x, {axis}); np.median(x, {axis}); np.quantile(x, 0.3, {axis})
np.sort(x, {axis}); np.ptp(x, {axis}); np.fmax.reduce(x, {axis}); np.fmin.reduce(x, {axis}, keepdims=True)
np.maximum.accumulate(x, {axis}); np.fmax(x, y); np.fmin(y, x); np.maximum(x, y); np.nan_to_num(x, nan=2.5)
np.nan_to_num(x, copy=False); np.unique(x); np.nanargmax(x, {axis}); np.where(np.isnan(x), y, x)
np.clip(x, -0.5, 0.5); np.sum(x, {axis}, where=~np.isnan(x)); np.mean(x, {axis}, where=x == x)
np.max(x, {axis}, where=x == x, initial=-5.0); np.var(x, {axis}, where=x == x); np.argmax(x, {axis})
np.prod(x, {axis})
"""


def calls(table: str) -> list[str]:
    return [text.strip() for line in table.strip().splitlines() for text in line.split("; ")]


def arrays(shapes: tuple[tuple[int, ...], ...], dtype: Any) -> list[np.ndarray]:
    rng, kind = np.random.default_rng(len(str(shapes))), np.dtype(dtype)
    if dtype in OTHERS and kind.kind in "iu":  # all of their numbers, so that sums and differences would wrap around
        least, greatest = np.iinfo(kind).min, np.iinfo(kind).max
        return [rng.integers(least, greatest, shape, kind, endpoint=True)[()] for shape in shapes]
    made = [rng.uniform(0.2, 2.0, shape) * rng.choice([-1, 1], shape) for shape in shapes]
    if kind.kind == "b":
        return [np.asarray(x > 0) for x in made]
    if kind.kind == "c":
        made = [x + 1j * rng.uniform(0.2, 2.0, x.shape) for x in made]
    return [np.asarray(3 * x if kind.kind == "i" else x).astype(dtype) for x in made]


def plain(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def constant(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def result(text: str, given: list[Any]) -> Any:
    made = eval(
        text, {"np": np, "windows": windows, "plain": plain, "constant": constant}, dict(zip("xy", given, strict=False))
    )
    return made[-1] if isinstance(made, (list, tuple)) else made


def attempt(text: str, given: list[Any]) -> Any:
    """The result as an array, or the class of the error."""
    try:
        made = result(text, given)
    except Exception as error:
        return type(error)
    return np.asarray(getattr(made, "data", made) if isinstance(made, Tensor) else made)


def differences(text: str, given: list[np.ndarray]) -> Iterator[str]:
    """What is other for Tensors than for arrays."""
    wanted, found = attempt(text, given), attempt(text, [Tensor(x) for x in given])
    if isinstance(wanted, type) or isinstance(found, type):
        refused = isinstance(found, type)
        if refused is not isinstance(wanted, type) and not text.startswith(STRICTER if refused else ANSWERED):
            yield f"{found} in place of {wanted}"
        return
    if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
        yield f"{found.shape} {found.dtype} in place of {wanted.shape} {wanted.dtype}"
    elif wanted.dtype.kind in "fc":
        size = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0)  # a few roundings of the sums
        if not np.allclose(found, wanted, 0, 100 * size * np.finfo(wanted.dtype).eps, equal_nan=True):
            yield f"{found} in place of {wanted}"
    elif not np.array_equal(found, wanted):
        yield f"{found} in place of {wanted}"
    if wanted.dtype == float == given[0].dtype and wanted.size and np.isfinite(wanted).all():
        try:
            yield from slopes(text, given, wanted)
        except Exception as error:
            yield f"in place of a gradient {error!r}"


def slopes(text: str, given: list[np.ndarray], value: np.ndarray) -> Iterator[str]:
    """Yield the differences between gradients and central differences, whose errors are of order h² and eps / h."""
    made = result(text, [Tensor(x) for x in given])
    if not isinstance(made, Tensor) or made.node is None:
        return
    cotangent = np.cos(np.arange(value.size) + 0.3).reshape(value.shape)
    numbers = tuple(range(len(given)))
    found = grad(lambda *xs: (result(text, [*xs]) * cotangent).sum(), numbers)(*given)
    rng, h = np.random.default_rng(1), 1e-6
    for k, g in enumerate(found[:1] if "plain(" in text else found):
        along = rng.normal(size=given[k].shape)
        ends = [result(text, [x + s * along if j == k else x for j, x in enumerate(given)]) for s in (h, -h)]
        if np.shape(ends[0]) != np.shape(ends[1]):
            continue
        slope = ((ends[0] - ends[1]) * cotangent).sum() / (2 * h)
        exact = (g * along).sum()
        if not abs(slope - exact) <= 1e-6 * (1 + abs(exact) + np.abs(value).max()) * max(1.0, np.abs(g).max(initial=0)):
            yield f"slope {exact} in place of {slope}"


def compared(text: str, shapes: Any, dtypes: Any) -> list[str]:
    wrong = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for shape, dtype in itertools.product(shapes, dtypes):
            given = arrays(shape, dtype)
            wrong += [f"{text} of {shape} {np.dtype(dtype)}: {line}" for line in differences(text, given)]
    return wrong


def kinds_for(text: str) -> list[Any]:
    kinds = () if text.startswith(OPEN) else (int, *OTHERS)
    return [kind for kind in kinds if kind is not np.float16 or not text.startswith(ROUNDED)]


@pytest.mark.parametrize("text", calls(ONE))
def test_of_one_array(text: str) -> None:
    wrong = []
    for axis in AXES if "{axis}" in text else [""]:
        whole = text.replace("{axis}", axis)
        wrong += compared(whole, [(s,) for s in SHAPES], [float])
        wrong += compared(whole, [((),), ((5,),), ((2, 3),)], [np.float32, complex])
        wrong += compared(whole, [((5,),), ((2, 3),)], kinds_for(text))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("text", calls(TWO + OPTIONS))
def test_of_two_arrays(text: str) -> None:
    pairs, others = PAIRS, [((3,), (3,)), ((2, 3), (3, 2))]
    if text.startswith("np.cross") and np.lib.NumpyVersion(np.__version__) >= "2.5.0":
        # which takes no vectors of the plane any more; that ours does is tested with the other operations
        pairs, others = ([pair for pair in which if 2 not in pair[0] + pair[1]] for which in (pairs, others))
    wrong = compared(text, pairs, [float]) + compared(text, others, [np.float32, complex, *kinds_for(text)])
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("text", calls(HOLED))
def test_of_arrays_with_holes(text: str) -> None:
    wrong = []
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for axis, shape in itertools.product(AXES, [(1,), (5,), (4, 2, 3)]):
            for holes in (slice(1), slice(1, None, 2), slice(None)):
                given = arrays((shape, shape), float)
                given[0].reshape(-1)[holes] = np.nan
                whole = text.replace("{axis}", axis)
                wrong += [f"{whole} of {shape}, {holes}: {line}" for line in differences(whole, given)]
    assert not wrong, "\n".join(wrong)
