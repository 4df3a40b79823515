"""Rows for normalisation, over the axes of each of its layers, with references straight from the definitions."""

import numpy as np

from tinygrad_nn.ops.normalisation import rms_norm, standardize

from .case import Case


def _standardized(x, weight, bias, axis, eps):
    mean = x.mean(axis=axis, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(axis=axis, keepdims=True) + eps) * weight + bias


def _rms(x, weight, axis, eps):
    return x / np.sqrt((x * x).mean(axis=axis, keepdims=True) + eps) * weight


def _normalisation():
    for note, axis, shapes in (
        ("layer", (-1,), ((3, 4), (4,), (4,))),
        ("layer of a sequence", (-1,), ((2, 3, 4), (4,), (4,))),
        ("layer over two axes", (-2, -1), ((2, 3, 4), (3, 4), (3, 4))),
        ("one layer", (0,), ((5,), (5,), (5,))),
        ("batch", (0,), ((5, 3), (3,), (3,))),
        ("batch of images", (0, 2, 3), ((3, 2, 2, 3), (2, 1, 1), (2, 1, 1))),
        ("group", (2, 3), ((2, 2, 2, 3), (2, 2, 1), (2, 2, 1))),
        ("instance", (2,), ((2, 3, 4), (3, 1), (3, 1))),
        ("one weight", (-1,), ((3, 4), (), ())),
    ):
        yield Case(
            "standardize", lambda x, w, b, a=axis: standardize(x, w, b, axis=a, eps=1e-2), shapes,
            reference=lambda x, w, b, a=axis: _standardized(x, w, b, a, 1e-2), note=note,
        )  # fmt: skip
        yield Case(
            "rms_norm", lambda x, w, a=axis: rms_norm(x, w, axis=a, eps=1e-2), shapes[:2],
            reference=lambda x, w, a=axis: _rms(x, w, a, 1e-2), note=note,
        )  # fmt: skip
    for note, axis, shape in (("layer", (-1,), (3, 4)), ("batch", (0, 2), (2, 3, 2))):
        yield Case(
            "standardize", lambda x, a=axis: standardize(x, 1.0, 0.0, axis=a, eps=1e-2), (shape,),
            reference=lambda x, a=axis: _standardized(x, 1.0, 0.0, a, 1e-2), note=f"{note}, no weight",
        )  # fmt: skip
        yield Case(
            "rms_norm", lambda x, a=axis: rms_norm(x, 1.0, axis=a, eps=1e-2), (shape,),
            reference=lambda x, a=axis: _rms(x, 1.0, a, 1e-2), note=f"{note}, no weight",
        )  # fmt: skip
    yield Case(
        "standardize", lambda x, w, b: standardize(x, w, b, axis=(-1,)), ((0, 4), (4,), (4,)),
        reference=lambda x, w, b: x * w + b, note="no rows",
    )  # fmt: skip


CASES = [*_normalisation()]
