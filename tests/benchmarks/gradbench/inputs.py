"""Inputs of the evaluations: small ones for tests, middle ones for the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def lse(n: int) -> dict[str, Any]:
    return {"x": _rng().random(n).tolist()}


def llsq(n: int, m: int) -> dict[str, Any]:
    return {"x": _rng().random(m).tolist(), "n": n}


def gmm(n: int, d: int, k: int, m: int = 0, gamma: float = 1.0) -> dict[str, Any]:
    rng = _rng()
    return {
        "d": d, "k": k, "n": n, "m": m, "gamma": gamma, "x": rng.normal(size=(n, d)).tolist(),
        "alpha": rng.normal(size=k).tolist(), "mu": rng.random((k, d)).tolist(), "q": rng.normal(size=(k, d)).tolist(),
        "l": rng.normal(size=(k, d * (d - 1) // 2)).tolist(),
    }  # fmt: skip


def lstm(layers: int, times: int, b: int) -> dict[str, Any]:
    rng = _rng()
    shapes = {"main_params": (2 * layers, 4 * b), "extra_params": (3, b), "state": (2 * layers, b)}
    given = {name: rng.random(shape).tolist() for name, shape in shapes.items()}
    return {**given, "sequence": rng.integers(0, 2, (times, b)).astype(float).tolist()}


def ode(n: int, s: int) -> dict[str, Any]:
    return {"x": _rng().random(n).tolist(), "s": s}


def det(n: int) -> dict[str, Any]:
    return {"A": _rng().random(n * n).tolist(), "ell": n}


def kmeans(n: int, k: int, d: int) -> dict[str, Any]:
    points = _rng().random((n, d)).tolist()
    return {"points": points, "centroids": points[-k:]}


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


SMALL: dict[str, Callable[[], Any]] = {
    "hello": lambda: 3.0,
    "lse": lambda: lse(7),
    "llsq": lambda: llsq(9, 4),
    "gmm": lambda: gmm(6, 3, 2, m=2, gamma=0.7),
    "lstm": lambda: lstm(2, 5, 3),
    "ode": lambda: ode(4, 3),
    "det": lambda: det(4),
    "kmeans": lambda: kmeans(20, 3, 2),
}
MIDDLE: dict[str, tuple[str, Callable[[], Any]]] = {
    "hello": ("x", lambda: 3.0),
    "lse": ("n 80,000", lambda: lse(80_000)),
    "llsq": ("n 1,024, m 128", lambda: llsq(1024, 128)),
    "gmm": ("n 1,000, d 20, k 25", lambda: gmm(1000, 20, 25)),
    "lstm": ("2 layers, 1,024 times, 14 bits", lambda: lstm(2, 1024, 14)),
    "ode": ("n 10,000, 10 steps", lambda: ode(10_000, 10)),
    "det": ("8 x 8", lambda: det(8)),
    "kmeans": ("n 10,000, k 100, d 8", lambda: kmeans(10_000, 100, 8)),
}
