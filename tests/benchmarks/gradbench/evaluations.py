"""The twelve evaluations: what their messages hold, which function is meant, and what is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from . import objectives


class Problem(NamedTuple):
    """An objective with the arguments of one message.

    Attributes:
        objective: a function of arrays.
        arguments: its arrays; the first `wanted` are differentiated.
        wanted: how many.
        show: turns its result into what a message holds.
        show_derivative: the same for its derivative.
        number: the function that is differentiated, where it is not the objective.
        rows: of each wanted argument which of its rows the rows of `number` take, where these depend on no others.
        alone: a second function whose entries depend on those of the last wanted argument, entry by entry.
        finish: what is done with the derivative before it is shown, and belongs to its time.
    """

    objective: Callable[..., Any]
    arguments: tuple[Any, ...]
    wanted: int
    show: Callable[[Any], Any]
    show_derivative: Callable[[Any], Any]
    number: Callable[..., Any] | None = None
    rows: tuple[Any, ...] = ()
    alone: Callable[[Any], Any] | None = None
    finish: Callable[[Any], Any] | None = None


class Task(NamedTuple):
    """One function of an evaluation on the input of one message.

    Attributes:
        run: what is timed.
        show: turns its result into what the answer holds.
        compile: what is done once before; it raises a RuntimeError if the function cannot be compiled.
    """

    run: Callable[[], Any]
    show: Callable[[Any], Any]
    compile: Callable[[], Any] | None = None


class Evaluation(NamedTuple):
    """One evaluation.

    Attributes:
        functions: of each function by the protocol's name its kind: `objective`, or how a library differentiates it.
        read: makes a `Problem` of a message's input and the module of the objectives, so that libraries bring theirs.
    """

    functions: dict[str, str]
    read: Callable[[Any, Any], Problem]


def floats(given: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(np.asarray(given[name], dtype=float) for name in names)


def flat(value: Any) -> Any:
    """Return an array's numbers as a list, one number as a number."""
    value = np.asarray(value)
    return float(value) if value.size == 1 and value.ndim == 0 else value.tolist()


def first(values: Any) -> Any:
    return flat(values[0])


def hello(given: Any, on: Any) -> Problem:
    return Problem(on.square, (np.asarray(given, dtype=float),), 1, flat, first)


def lse(given: Mapping[str, Any], on: Any) -> Problem:
    return Problem(on.logsumexp, floats(given, "x"), 1, flat, first)


def llsq(given: Mapping[str, Any], on: Any) -> Problem:
    return Problem(partial(on.least_squares, n=int(given["n"])), floats(given, "x"), 1, flat, first)


def gmm(given: Mapping[str, Any], on: Any) -> Problem:
    names = ("alpha", "mu", "q", "l")
    objective = partial(on.mixture, m=int(given["m"]), gamma=float(given["gamma"]))
    k, d = int(given["k"]), int(given["d"])
    alpha, mu, q, l, x = floats(given, *names, "x")  # noqa: E741 - as GradBench names it
    arguments = (alpha, mu.reshape(k, d), q.reshape(k, d), l.reshape(k, d * (d - 1) // 2), x.reshape(-1, d))
    return Problem(objective, arguments, 4, flat, lambda found: dict(zip(names, map(flat, found), strict=True)))


def ode(given: Mapping[str, Any], on: Any) -> Problem:
    objective = partial(on.runge_kutta, s=int(given["s"]))
    return Problem(objective, floats(given, "x"), 1, flat, first, number=lambda x: objective(x)[-1])


def det(given: Mapping[str, Any], on: Any) -> Problem:
    n = int(given["ell"])
    return Problem(
        on.determinant, (floats(given, "A")[0].reshape(n, n),), 1, flat, lambda found: flat(found[0].ravel())
    )


def lstm(given: Mapping[str, Any], on: Any) -> Problem:
    arguments = floats(given, "main_params", "extra_params", "state", "sequence")
    return Problem(on.recurrent, arguments, 2, flat, lambda found: flat(np.concatenate([x.ravel() for x in found])))


def kmeans(given: Mapping[str, Any], on: Any) -> Problem:
    return Problem(on.clustering, floats(given, "centroids", "points"), 1, flat, first)


def ba(given: Mapping[str, Any], on: Any) -> Problem:
    n, m, p = (int(given[name]) for name in ("n", "m", "p"))
    cam, x, w, feat = floats(given, "cam", "x", "w", "feat")
    arguments = (np.tile(cam, (n, 1)), np.tile(x, (m, 1)), np.full(p, w), np.tile(feat, (p, 1)))
    cam_of, point_of = np.arange(p) % n, np.arange(p) % m

    def objective(cams: Any, x: Any, w: Any, feats: Any) -> Any:
        return on.reprojection(cams[cam_of], x[point_of], w, feats), on.weight_error(w)

    def show(found: Any) -> Any:
        errors, weights = found
        return {
            "reproj_error": {"elements": flat(errors[0]), "repeated": p},
            "w_err": {"element": float(weights[0]), "repeated": p},
        }

    return Problem(
        objective, arguments, 3, show, shortened, number=on.reprojection, rows=(cam_of, point_of, None),
        alone=on.weight_error, finish=partial(rows_of_blocks, n, m, cam_of, point_of),
    )  # fmt: skip


def rows_of_blocks(n: int, m: int, cam_of: Any, point_of: Any, found: Any) -> dict[str, Any]:
    """Return where each row begins, and columns and values of its entries.

    First the rows of all blocks (observations, 2, 11 + 3 + 1), then those of the weights, which have one entry.
    """
    blocks, weights = found
    p = len(weights)
    columns = np.empty(31 * p, dtype=np.int32)
    own = 11 * n + 3 * m + np.arange(p)
    inside = columns[: 30 * p].reshape(p, 2, 15)
    inside[:, :, :11] = (11 * cam_of[:, None] + np.arange(11))[:, None]
    inside[:, :, 11:14] = (11 * n + 3 * point_of[:, None] + np.arange(3))[:, None]
    inside[:, :, 14] = own[:, None]
    columns[30 * p :] = own
    return {
        "rows": np.concatenate([15 * np.arange(2 * p + 1), 30 * p + 1 + np.arange(p)]),
        "cols": columns,
        "vals": np.concatenate([np.ravel(blocks), weights]),
    }


def shortened(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first thirty entries and the last, which is all that the protocol asks for."""
    return {name: [*flat(values[:30]), values[-1].item()] for name, values in found.items()}


def ht(given: Mapping[str, Any], on: Any) -> Problem:
    data = given["data"]
    model = data["model"]
    arrays = floats(model, "base_relatives", "inverse_base_absolutes", "base_positions", "weights")
    arrays = tuple(on.np.array(x) for x in (*arrays, np.asarray(model["triangles"], dtype=int)))
    hand = objectives.Hand(tuple(model["parents"]), *arrays, bool(model["is_mirrored"]))
    theta, us = floats(given, "theta", "us")
    (points,) = floats(data, "points")
    correspondences = np.asarray(data["correspondences"], dtype=int)
    if not us.size:
        return Problem(
            lambda theta, points: on.hand(theta, None, hand, points, correspondences), (theta, points), 1, flat, flat
        )

    def objective(shift: Any, theta: Any, us: Any, points: Any) -> Any:
        """A point depends on its own u alone, so that the derivatives by one shift of all hold those by each."""
        return on.hand(theta, us + shift, hand, points, correspondences)

    return Problem(objective, (np.zeros(2), theta, us.reshape(-1, 2), points), 2, flat, flat)


def particle(given: Mapping[str, Any], on: Any) -> Problem:
    return Problem(on.particle, (np.reshape(floats(given, "w")[0], 1),), 1, first, first)


def saddle(given: Mapping[str, Any], on: Any) -> Problem:
    return Problem(on.saddle, floats(given, "start"), 1, flat, flat)


GRADIENT = {"objective": "objective", "jacobian": "gradient"}
NESTED = {name: name for name in ("ff", "fr", "rf", "rr")}  # the mode of the outer derivative, then of the inner
EVALUATIONS = {
    "hello": Evaluation({"square": "objective", "double": "gradient"}, hello),
    "gmm": Evaluation(GRADIENT, gmm),
    "ba": Evaluation({"objective": "objective", "jacobian": "blocks"}, ba),
    "lstm": Evaluation(GRADIENT, lstm),
    "ht": Evaluation({"objective": "objective", "jacobian": "columns"}, ht),
    "ode": Evaluation({"primal": "objective", "gradient": "gradient"}, ode),
    "lse": Evaluation({"primal": "objective", "gradient": "gradient"}, lse),
    "llsq": Evaluation({"primal": "objective", "gradient": "gradient"}, llsq),
    "det": Evaluation({"primal": "objective", "gradient": "gradient"}, det),
    "kmeans": Evaluation({"cost": "objective", "dir": "direction"}, kmeans),
    "particle": Evaluation(NESTED, particle),
    "saddle": Evaluation(NESTED, saddle),
}
