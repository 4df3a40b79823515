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


def ba(n: int, m: int, p: int) -> dict[str, Any]:
    camera = [0.3, -1.1, 0.8, 1.0, 2.0, 1.5, 400.0, 5.0, -8.0, 0.09, 0.003]
    return {"n": n, "m": m, "p": p, "cam": camera, "x": [7.2, 0.1, 3.0], "w": 0.4, "feat": [270.0, 830.0]}


def ht(vertices: int, triangles: int, points: int, *, inside: bool = True) -> dict[str, Any]:
    """A made-up hand: a wrist, five fingers of four bones each and a forearm, with skin at random."""
    rng = _rng()
    parents = [-1, 0] + [bone - 1 if bone % 4 != 2 else 1 for bone in range(2, 22)]
    turned = np.linalg.qr(rng.normal(size=(22, 3, 3)))[0]
    relatives, inverses = np.tile(np.eye(4), (2, 22, 1, 1))
    relatives[:, :3, :3], relatives[:, :3, 3] = turned, rng.normal(size=(22, 3))
    inverses[:, :3, :3], inverses[:, :3, 3] = turned[::-1], rng.normal(size=(22, 3))
    model = {
        "bone_count": 22, "bone_names": [f"bone {bone}" for bone in range(22)], "parents": parents,
        "base_relatives": relatives.tolist(), "inverse_base_absolutes": inverses.tolist(),
        "base_positions": np.concatenate([rng.normal(size=(vertices, 3)), np.ones((vertices, 1))], axis=1).tolist(),
        "weights": rng.dirichlet(np.ones(22), vertices).tolist(),
        "triangles": rng.integers(0, vertices, (triangles, 3)).tolist(), "is_mirrored": False,
    }  # fmt: skip
    corresponds = rng.integers(0, triangles if inside else vertices, points).tolist()
    data = {"model": model, "correspondences": corresponds, "points": rng.normal(size=(points, 3)).tolist()}
    return {"theta": (0.3 * rng.normal(size=26)).tolist(), "data": data,
            "us": rng.random((points, 2)).tolist() if inside else []}  # fmt: skip


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


SMALL: dict[str, Callable[[], Any]] = {
    "hello": lambda: 3.0,
    "lse": lambda: lse(7),
    "llsq": lambda: llsq(9, 4),
    "gmm": lambda: gmm(6, 3, 2, m=2, gamma=0.7),
    "ba": lambda: ba(3, 5, 12),
    "ht": lambda: ht(9, 7, 5),
    "lstm": lambda: lstm(2, 5, 3),
    "ode": lambda: ode(4, 3),
    "det": lambda: det(4),
    "kmeans": lambda: kmeans(20, 3, 2),
    "particle": lambda: {"w": 0.2071},
    "saddle": lambda: {"start": [0.001, 0.002]},
}
MIDDLE: dict[str, tuple[str, Callable[[], Any]]] = {
    "hello": ("x", lambda: 3.0),
    "lse": ("n 80,000", lambda: lse(80_000)),
    "llsq": ("n 1,024, m 128", lambda: llsq(1024, 128)),
    "gmm": ("n 1,000, d 20, k 25", lambda: gmm(1000, 20, 25)),
    "ba": ("372 cameras, 47,423 points, 204,472 observations", lambda: ba(372, 47_423, 204_472)),
    "ht": ("544 vertices, 1,600 points", lambda: ht(544, 1084, 1600)),
    "lstm": ("2 layers, 1,024 times, 14 bits", lambda: lstm(2, 1024, 14)),
    "ode": ("n 10,000, 10 steps", lambda: ode(10_000, 10)),
    "det": ("8 x 8", lambda: det(8)),
    "kmeans": ("n 10,000, k 100, d 8", lambda: kmeans(10_000, 100, 8)),
    "particle": ("from w = 0", lambda: {"w": 0.0}),
    "saddle": ("from (1, 1)", lambda: {"start": [1.0, 1.0]}),
}
