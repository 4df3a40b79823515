"""The objectives, in plain NumPy: functions of arrays that know nothing of derivatives."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

Gradient = Callable[[Callable[[Any], Any]], Callable[[Any], Any]]


class Hand(NamedTuple):
    """A hand at rest: bones (each after its parent) and the skin on them."""

    parents: tuple[int, ...]
    relatives: Any  # (bones, 4, 4)
    inverses: Any  # of their absolute transforms, (bones, 4, 4)
    positions: Any  # (vertices, 4)
    weights: Any  # (vertices, bones)
    triangles: Any  # (triangles, 3)
    mirrored: bool


def square(x: Any) -> Any:
    return x * x


def logsumexp(x: Any, axis: int | None = None) -> Any:
    r"""log Σ exp x, with the largest entry taken out so that nothing overflows."""
    top = np.max(x, axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.sum(np.exp(x - top), axis=axis))


def least_squares(x: Any, n: int) -> Any:
    r"""½ Σᵢ (sign tᵢ − Σⱼ xⱼ tᵢʲ)², with n points t between −1 and 1."""
    t = np.linspace(-1, 1, n)
    powers = np.vander(t, len(x), increasing=True)  # (n, m)
    return 0.5 * np.sum((np.sign(t) - powers @ x) ** 2)


def mixture(alpha: Any, mu: Any, q: Any, l: Any, x: Any, m: int, gamma: float) -> Any:  # noqa: E741 - as GradBench names it
    r"""The log posterior of a mixture of Gaussians with a Wishart prior on their precisions QᵀQ.

    Args:
        alpha: logarithms of the weights, (K,).
        mu: means, (K, D).
        q: logarithms of the diagonals of Q, (K, D).
        l: what stands below the diagonals of Q, column by column, (K, D(D−1)/2).
        x: observations, (N, D).
        m, gamma: degrees of freedom and precision of the prior.
    """
    N, D = x.shape
    K, df = len(alpha), D + m + 1
    i, j = np.indices((D, D))
    below = 1 + D + j * (2 * D - j - 1) // 2 + i - j - 1
    place = np.where(i == j, 1 + i, np.where(i > j, below, 0))  # of each entry of Q among 0, exp(q), l
    diagonal = np.exp(q)
    Q = np.concatenate([np.zeros((K, 1)), diagonal, l], axis=1)[:, place]  # (K, D, D)
    z = (x - mu[:, None, :]) @ np.swapaxes(Q, 1, 2)  # (K, N, D)
    beta = alpha[:, None] - 0.5 * np.sum(z**2, axis=2) + np.sum(q, axis=1)[:, None]  # (K, N)
    likelihood = np.sum(logsumexp(beta, axis=0)) - N * (0.5 * D * math.log(2 * math.pi) + logsumexp(alpha))
    gammas = D * (D - 1) / 4 * math.log(math.pi) + sum(math.lgamma(0.5 * (df - j)) for j in range(D))
    constant = K * (df * D * math.log(gamma / math.sqrt(2)) - gammas)
    return likelihood + constant - 0.5 * gamma**2 * (np.sum(diagonal**2) + np.sum(l**2)) + m * np.sum(q)


def rotated(r: Any, x: Any) -> Any:
    """Rotate points about axes r by angles |r| (Rodrigues), both (..., 3)."""
    squared = np.sum(r**2, axis=-1, keepdims=True)
    still = squared == 0
    angle = np.sqrt(np.where(still, 1.0, squared))
    axis = r / angle
    cos, sin = np.cos(angle), np.sin(angle)
    turned = x * cos + np.cross(axis, x) * sin + axis * (np.sum(axis * x, axis=-1, keepdims=True) * (1 - cos))
    return np.where(still, x + np.cross(r, x), turned)


def reprojection(cam: Any, x: Any, w: Any, feat: Any) -> Any:
    """Weighted errors of observations.

    Args:
        cam: of each observation its camera's rotation, centre, focal length, principal point and distortion, (P, 11).
        x: of each observation its point, (P, 3).
        w: weights, (P,).
        feat: where the points were seen, (P, 2).
    """
    seen = rotated(cam[:, :3], x - cam[:, 3:6])
    flat = seen[:, :2] / seen[:, 2:]  # (P, 2)
    r2 = np.sum(flat**2, axis=1, keepdims=True)
    distorted = flat * (1 + cam[:, 9:10] * r2 + cam[:, 10:11] * r2**2)
    return w[:, None] * (distorted * cam[:, 6:7] + cam[:, 7:9] - feat)


def weight_error(w: Any) -> Any:
    return 1 - w**2


def recurrent(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
    """The loss of an LSTM with diagonal weights that predicts the next row of a sequence.

    Args:
        main: of each layer the weights and the biases of its four gates, (2 layers, 4 b).
        extra: weights of the input, weights and biases of the output, (3, b).
        state: of each layer its first hidden and cell state, (2 layers, b).
        sequence: (time, b).
    """
    layers, b = len(main) // 2, extra.shape[1]
    weights = np.reshape(main, (layers, 2, 4, b))
    hidden, cell = [state[2 * k] for k in range(layers)], [state[2 * k + 1] for k in range(layers)]
    total = 0.0
    for now, then in pairwise(sequence):
        x = now * extra[0]
        for k in range(layers):
            w, bias = weights[k, 0], weights[k, 1]
            forget = sigmoid(x * w[0] + bias[0])
            ingate = sigmoid(hidden[k] * w[1] + bias[1])
            outgate = sigmoid(x * w[2] + bias[2])
            change = np.tanh(hidden[k] * w[3] + bias[3])
            cell[k] = cell[k] * forget + ingate * change
            hidden[k] = x = outgate * np.tanh(cell[k])
        y = x * extra[1] + extra[2]
        total = total + np.sum(then * (y - np.log(2 + np.sum(np.exp(y)))))
    return -total / ((len(sequence) - 1) * b)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def runge_kutta(x: Any, s: int) -> Any:
    """Solve y₀′ = x₀, yᵢ′ = xᵢ yᵢ₋₁ from y = 0 at time 0 to time 2 in s steps of fourth order."""

    def slope(y: Any) -> Any:
        return x * np.concatenate([np.ones(1), y[:-1]])

    h, y = 2 / s, np.zeros(len(x))
    for _ in range(s):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def determinant(A: Any) -> Any:
    """The determinants of matrices (..., n, n), expanded along their first rows."""
    n = A.shape[-1]
    if n == 1:
        return A[..., 0, 0]
    others = np.array([[k for k in range(n) if k != j] for j in range(n)])
    minors = np.moveaxis(A[..., 1:, others], -2, -3)  # (..., n, n - 1, n - 1)
    signs = (-1.0) ** np.arange(n)
    return np.sum(signs * A[..., 0, :] * determinant(minors), axis=-1)


def clustering(centroids: Any, points: Any) -> Any:
    """The sum over points (n, d) of the squared distance to the nearest of the centroids (k, d)."""
    squares = np.sum(points**2, axis=1)[:, None] - 2 * points @ centroids.T + np.sum(centroids**2, axis=1)  # (n, k)
    return np.sum(np.min(squares, axis=1))


def descent(f: Callable[[Any], Any], start: Any, gradient: Gradient) -> Any:
    """Minimise f: the rate is doubled after ten steps that help and halved after one that does not."""
    slope, rate, steps = gradient(f), 1e-5, 0
    x, value, g = start, f(start), slope(start)
    while norm(g) > 1e-5:
        if steps == 10:
            rate, steps = 2 * rate, 0
            continue
        moved = x - rate * g
        if norm(moved - x) <= 1e-5:
            break
        new = f(moved)
        if new < value:
            x, value, g, steps = moved, new, slope(moved), steps + 1
        else:
            rate, steps = rate / 2, 0
    return x


def norm(x: Any) -> Any:
    return np.sqrt(np.sum(x * x))


def landing(w: Any, gradient: Gradient) -> Any:
    """The squared place at which a particle between two charges crosses the axis, by Euler's steps of a tenth.

    The charges stand at (10, 10 − w) and (10, 0).
    """
    charges = np.array([[10.0, 10.0], [10.0, 0.0]]) - w * np.array([[0.0, 1.0], [0.0, 0.0]])
    dt, x, v = 0.1, np.array([0.0, 8.0]), np.array([0.75, 0.0])
    force = gradient(lambda x: np.sum(1 / np.sqrt(np.sum((x - charges) ** 2, axis=1))))
    while True:
        moved = x + dt * v
        if moved[1] <= 0:
            return (x - x[1] / v[1] * v)[0] ** 2
        x, v = moved, v - dt * force(x)


def particle(w: Any, outer: Gradient, inner: Gradient) -> Any:
    """The control at which the particle meets the origin."""
    return descent(lambda w: landing(w, inner), w, outer)


def height(x: Any, y: Any) -> Any:
    return np.sum(x * x) - np.sum(y * y)


def saddle(start: Any, outer: Gradient, inner: Gradient) -> Any:
    """The point of the least maximum of `height`, and where that maximum is."""

    def worst(x: Any) -> Any:
        return height(x, descent(lambda y: -height(x, y), start, inner))

    x = descent(worst, start, outer)
    y = descent(lambda y: -height(x, y), start, outer)
    return np.concatenate([x, y])


def hand(theta: Any, u: Any, model: Hand, points: Any, correspondences: Any) -> Any:
    """Differences between points and where a posed hand has them, 3 a point.

    Args:
        theta: rotation and translation of the whole, and four angles of each of five fingers, (26,).
        u: places inside triangles, (points, 2), or None where each point corresponds to a vertex.
        model: the hand at rest.
        points: (points, 3).
        correspondences: of each point its triangle, or its vertex, (points,).
    """
    absolutes: list[Any] = []
    for parent, relative in zip(model.parents, model.relatives @ turns(theta, len(model.parents)), strict=True):
        absolutes.append(relative if parent < 0 else absolutes[parent] @ relative)
    transforms = np.stack(absolutes) @ model.inverses  # (bones, 4, 4)
    moved = model.positions @ np.swapaxes(transforms[:, :3], 1, 2)  # (bones, vertices, 3)
    vertices = np.sum(model.weights.T[:, :, None] * moved, axis=0)
    if model.mirrored:
        vertices = vertices * np.array([-1.0, 1.0, 1.0])
    vertices = rotated(theta[None, :3], vertices) + theta[3:6]
    if u is None:
        return np.reshape(points - vertices[correspondences], -1)
    corners = vertices[model.triangles[correspondences]]  # (points, 3, 3)
    inside = np.concatenate([u, 1 - u[:, :1] - u[:, 1:]], axis=1)
    return np.reshape(points - np.sum(inside[:, :, None] * corners, axis=1), -1)


def turns(theta: Any, bones: int) -> Any:
    """The rotations of bones about their first and last axes, (bones, 4, 4)."""
    about_x, about_z = [26] * bones, [26] * bones  # 26 is the place of a zero
    for finger in range(5):
        for joint in range(3):
            about_x[2 + 4 * finger + joint] = 6 + 4 * finger + (joint + 1 if joint else 0)
        about_z[2 + 4 * finger] = 7 + 4 * finger
    angles = np.concatenate([theta, np.zeros(1)])
    x, z = angles[np.array(about_x)], angles[np.array(about_z)]
    zero, one = np.zeros(bones), np.ones(bones)
    cx, sx, cz, sz = np.cos(x), np.sin(x), np.cos(z), np.sin(z)
    rows = [[cz, -sz * cx, sz * sx, zero], [sz, cz * cx, -cz * sx, zero], [zero, sx, cx, zero], [zero, zero, zero, one]]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)
