"""Fourier transforms: lengths cut, padded, even and odd; every axis and norm; one, two and more dimensions."""

import numpy as np

from .case import Case

NORMS = (None, "backward", "ortho", "forward")


def _one_axis():
    for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
        f, real = getattr(np.fft, name), name in ("rfft", "ihfft")
        for shape, n in [
            ((6,), None), ((5,), None), ((5,), 8), ((5,), 7), ((6,), 3), ((6,), 4), ((1,), 2), ((2, 3), None),
        ]:  # fmt: skip
            yield Case(
                f"fft.{name}", lambda x, f=f, n=n: f(x, n), (shape,), complex=not real,
                analytic=name in ("fft", "ifft"), note=f"n {n}",
            )  # fmt: skip
        for axis in (0, 1, -2):
            yield Case(
                f"fft.{name}", lambda x, f=f, a=axis: f(x, axis=a), ((3, 4, 2),), complex=not real, note=f"axis {axis}"
            )
            yield Case(f"fft.{name}", lambda x, f=f, a=axis: f(x, 5, a), ((3, 4, 2),), note=f"axis {axis}, padded")
        for norm in NORMS:
            for n in (4, 5):
                yield Case(
                    f"fft.{name}", lambda x, f=f, n=n, norm=norm: f(x, n=n, norm=norm), ((2, 5),), complex=not real,
                    note=f"n {n}, norm {norm}",
                )  # fmt: skip


def _more_axes():
    for name in ("fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"):
        f, complex_ = getattr(np.fft, name), not name.startswith("rfft")
        yield Case(f"fft.{name}", lambda x, f=f: f(x), ((3, 4),), complex=complex_)
        yield Case(f"fft.{name}", lambda x, f=f: f(x), ((2, 3, 5),), complex=complex_)
        for norm in NORMS[1:]:
            yield Case(f"fft.{name}", lambda x, f=f, norm=norm: f(x, norm=norm), ((3, 3),), note=f"norm {norm}")
        for s, axes in [
            ((2, 5), (0, 1)), ((4, 3), (-1, 0)), ((-1, 4), (2, 1)), (None, (1, 2)), (None, (2, 0)), (None, (1,)),
        ]:  # fmt: skip
            yield Case(
                f"fft.{name}", lambda x, f=f, s=s, axes=axes: f(x, s, axes), ((3, 4, 3),), complex=complex_,
                note=f"s {s}, axes {axes}",
            )  # fmt: skip


def _shifts():
    for name in ("fftshift", "ifftshift"):
        f = getattr(np.fft, name)
        for axes in (None, 0, (1,), (0, 1)):
            yield Case(
                f"fft.{name}", lambda x, f=f, axes=axes: f(x, axes), ((4, 5),), complex=True,
                analytic=True, note=f"axes {axes}",
            )  # fmt: skip


CASES = [*_one_axis(), *_more_axes(), *_shifts()]
