r"""Parts of complex numbers, none of which is holomorphic.

A rule takes the cotangent g with :math:`dL = \operatorname{Re}(g \, d\mathrm{out})` to the one of its argument, for a
real L: the transpose, without a conjugate. `backward` conjugates at its two ends, so what a person sees is
:math:`\partial L / \partial \operatorname{Re} x + i \, \partial L / \partial \operatorname{Im} x`, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..primitive import METHODS, OVERRIDES, Array, declare
from .plain import bare


# fmt: off
def _real(x: Array) -> Array:
    return np.asarray(x).real

real = declare(_real, r"\operatorname{Re} x",
    (lambda g, out, x: g,                          r"g"),
    numpy=np.real)


def _imag(x: Array) -> Array:
    return np.asarray(x).imag

imag = declare(_imag, r"\operatorname{Im} x",
    (lambda g, out, x: g * -1j,                    r"-i \, g"),
    numpy=np.imag)

conjugate = declare(np.conjugate, r"\bar x",
    (lambda g, out, x: np.conjugate(g),            r"\bar g"))


# fmt: on


def _angle(z: Array, deg: bool = False) -> Array:
    angle = np.arctan2(imag(z), real(z))
    return np.rad2deg(angle) if deg else angle


def _real_if_close(a: Array, tol: float = 100) -> Array:
    return real(a) if np.isrealobj(np.real_if_close(bare(a), tol=tol)) else a


overrides: dict[Any, Any] = {np.angle: _angle, np.real_if_close: _real_if_close}
OVERRIDES.update(overrides)
METHODS["conj"] = conjugate
