"""An experiment: one batch through one network, with the right gradients and those that the user's backward returns.

A diagnosis rests on several experiments. The first has the batch that was given. The others have random weights,
numbers of rows and penalty strengths: a factor that is 3 in all of them is a constant, and one that follows the number
of classes is that number.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from .. import manual as by_hand
from ..common.arguments import as_generator
from ..nn.layer import Layer
from ..solver import DataCache, Solver
from ..solver.tasks.layers import LayerLoss, draw_masks

Array = np.ndarray[Any, Any]
Manual = Callable[..., Any]

LARGE = 20_000  # parameters; random copies of a larger network are made small
_RETURNS = (
    "compare_gradients: manual returned {what}; it must return (loss, dW, db), or (loss, dW, db, delta), where dW and "
    "db are lists with one array for each of the {layers} layers."
)


@dataclass(frozen=True)
class Answer:
    """What the user's backward returned: the loss, and for each layer dW, db and, if given, delta.

    `overwritten` names the arrays that it changed; `kept_axes` tells which db came with an extra axis of length 1.
    """

    loss: float
    dW: list[Array]
    db: list[Array]
    delta: list[Array] | None
    overwritten: tuple[str, ...] = ()
    kept_axes: tuple[str, ...] = ()


@dataclass
class Experiment:
    """One batch through one network, all in float64 except the copies that are passed to the user's backward."""

    model: list[Layer]
    x: Array
    y: Array
    masks: list[Array | None]
    solver: Solver
    is_user_batch: bool = False
    W: list[Array] = field(init=False)
    b: list[Array] = field(init=False)
    names: list[str] = field(init=False)
    z: list[Array] = field(init=False)
    a: list[Array] = field(init=False)
    f: list[Array] = field(init=False)
    right: by_hand.Backward = field(init=False)
    answer: Answer = field(init=False)

    def __post_init__(self) -> None:
        self.dtype = self.model[0].dtype
        self.names = [layer.activation for layer in self.model]
        self.W = [layer.W.data.astype(np.float64) for layer in self.model]
        self.b = [layer.b.data.astype(np.float64) for layer in self.model]
        self.x, self.y = self.x.astype(np.float64), self.y.astype(np.float64)
        self.own_masks = self.masks
        self.masks = [None if m is None else m.astype(np.float64) for m in self.masks]
        self.z, self.a = by_hand.forward(self.W, self.b, self.names, self.x, self.masks)
        # the output of each activation before its mask
        self.f = [a if m is None else by_hand.activation(name).f(z)
                  for name, z, a, m in zip(self.names, self.z, self.a, self.masks, strict=True)]
        reg = self.solver.regularization
        self.right = by_hand.backward(
            self.W, self.names, self.x, self.z, self.a, self.y, loss=self.solver.loss, penalty=reg.method, lam=reg.lam,
            r=reg.r, masks=self.masks,
        )

    @property
    def rows(self) -> int:
        """The number N of samples."""
        return len(self.x)

    @property
    def widths(self) -> list[int]:
        """The number of inputs of the network, then the number of units of each layer."""
        return [self.model[0].n_in, *(layer.n_out for layer in self.model)]

    @property
    def is_large(self) -> bool:
        """Whether the experiment is too large to try every possible mistake on it."""
        return bool(sum(layer.W.size for layer in self.model) * max(1, self.rows / 64) > LARGE)

    @property
    def gradient_pairs(self) -> list[tuple[Array, Array]]:
        """The gradient that the user's backward gave for each parameter, with the right one: first of W, then of b."""
        answer, right = self.answer, self.right
        return [*zip(answer.dW, right.dW, strict=True), *zip(answer.db, right.db, strict=True)]

    def into(self, k: int) -> Array:
        """Return the input of layer k, (batch, n_in)."""
        return self.a[k - 1] if k else self.x

    def penalty(self, k: int) -> Array:
        """Return the gradient of the penalty on the weights of layer k."""
        reg = self.solver.regularization
        return by_hand.penalty_pair(reg.method).gradient(self.W[k], reg.lam, reg.r)

    def cache(self) -> DataCache:
        """Return a new data_cache in the dtype of the model."""
        x = self.x.astype(self.dtype)
        W, b = [layer.W.data for layer in self.model], [layer.b.data for layer in self.model]
        z, a = by_hand.forward(W, b, self.names, x, self.own_masks)
        masks = [None if m is None else m.copy() for m in self.own_masks]
        return DataCache(x, z, [np.array(p) for p in a], masks)

    def run_user_backward(self, manual: Manual) -> Answer:
        """Run the user's backward on copies of all arrays, and note which of the copies it wrote into."""
        model, cache, y = copy_layers(self.model), self.cache(), self.y.astype(self.dtype)
        arrays = {"data_cache.x": cache.x, "data_out": y}
        for k, layer in enumerate(model):
            arrays |= {f"layer {k + 1} W": layer.W.data, f"layer {k + 1} b": layer.b.data}
            arrays |= {f"data_cache.z[{k}]": cache.z[k], f"data_cache.a[{k}]": cache.a[k]}
            if cache.masks[k] is not None:
                arrays[f"data_cache.masks[{k}]"] = cache.masks[k]  # type: ignore[assignment]
        before = {name: array.copy() for name, array in arrays.items()}
        answer = users_gradients(manual(model, cache, y, solver=self.solver), self.b)
        changed = tuple(n for n, array in arrays.items() if not np.array_equal(array, before[n], equal_nan=True))
        changed += tuple(
            f"layer {k + 1} {p}" for k, layer in enumerate(model) for p in ("W", "b")
            if getattr(layer, p).data is not arrays[f"layer {k + 1} {p}"]
        )  # fmt: skip
        return replace(answer, overwritten=changed)


def users_gradients(returned: Any, b: Sequence[Array]) -> Answer:
    """Return the result of the user's backward as copied arrays; TypeError if it has another form.

    A db of shape (1, n) or (n, 1) is reshaped to that of its bias in `b`, and noted in `kept_axes`.
    """
    if not isinstance(returned, (tuple, list)) or len(returned) not in (3, 4):
        raise TypeError(_RETURNS.format(what=f"{type(returned).__name__} {returned!r:.60}", layers=len(b)))
    loss, dW, db, delta = (*returned, getattr(returned, "delta", None))[:4]
    dW, db = _arrays("dW", dW, len(b)), _arrays("db", db, len(b))
    kept_axes = []
    for k, (g, b_k) in enumerate(zip(db, b, strict=True)):
        if g.ndim == 2 and 1 in g.shape and g.size == b_k.size:
            db[k] = g.reshape(b_k.shape)
            kept_axes.append(f"layer {k + 1} b has shape {g.shape}")
    return Answer(float(np.asarray(getattr(loss, "data", loss))), dW, db,
                  None if delta is None else _arrays("delta", delta, len(b)), kept_axes=tuple(kept_axes))  # fmt: skip


def _arrays(name: str, part: Any, layers: int) -> list[Array]:
    """Return copies of the arrays that a backward returned under a name, one for each layer; else TypeError."""
    try:
        arrays = [np.array(getattr(g, "data", g) if not isinstance(g, np.ndarray) else g) for g in part]
    except (TypeError, ValueError):
        arrays = []
    if len(arrays) != layers or any(g.dtype.kind not in "fiub" for g in arrays):
        raise TypeError(_RETURNS.format(what=f"{len(arrays)} arrays of numbers as {name}", layers=layers))
    return [g if g.dtype.kind == "f" else g.astype(np.float64) for g in arrays]


def own_generator(rng: Any) -> np.random.Generator:
    """Return a new Generator seeded from `rng`; its numbers differ from those that user code draws with `rng`."""
    return np.random.default_rng(as_generator(rng).integers(2**63, size=4))


def nearby(x: Any, rng: np.random.Generator) -> Array:
    """Return random numbers near those of an array, as an input at which a comparison is repeated.

    Labels and masks stay zeros and ones, with their rows in another order: P - Y is no gradient for other Y.
    """
    if np.ndim(x) and {*np.unique(x)} == {0, 1}:
        return rng.permutation(x)
    return x * rng.uniform(0.8, 1.2, np.shape(x)) + 0.05 * rng.normal(size=np.shape(x))  # type: ignore[no-any-return]


def reordered(x: Any, rng: np.random.Generator) -> Array:
    """Return random numbers near those of an array in another order, so that signs are at other places."""
    if np.ndim(x) and {*np.unique(x)} == {0, 1}:
        return rng.permutation(x)
    return nearby(rng.permutation(np.ravel(x)).reshape(np.shape(x)), rng)


def copy_layers(model: Sequence[Layer]) -> list[Layer]:
    """Return copies of the layers whose parameters are copied arrays."""
    layers = []
    for layer in model:
        new = copy.copy(layer)
        new.W, new.b = layer.W.data, layer.b.data
        layers.append(new)
    return layers


def user_experiment(model: list[Layer], x: Array, y: Array, solver: Solver, rng: np.random.Generator) -> Experiment:
    """Return the experiment with the batch that was given."""
    masks = draw_masks(LayerLoss(model, solver), len(x), rng)
    return Experiment(model, x, y, masks, solver, is_user_batch=True)


def similar_experiments(start: Experiment, rng: np.random.Generator) -> list[Experiment]:
    """Return experiments with the given sizes and solver, and other random numbers."""
    cases = [_random(start, start.widths, start.rows, rng, start.solver) for _ in range(1 if start.is_large else 2)]
    return [case for case in cases if case is not None]


def varied_experiments(start: Experiment, rng: np.random.Generator, solver: Solver | None = None) -> list[Experiment]:
    """Return experiments with random numbers: some with the widths given, some with others, of 1 to 64 rows.

    The strengths of penalty and dropout are random as well, unless a solver is given.
    """
    widths = start.widths
    small = [min(n, 5 + k) for k, n in enumerate(widths)]
    wider = [min(n, 4 + k) + 1 + k % 2 for k, n in enumerate(widths)]
    narrow = small if start.is_large else widths
    plan = [(narrow, 9 if start.is_large else start.rows), (narrow, 2), (narrow, 3), (wider, 5), (narrow, 1)]
    cases = [_random(start, n, min(rows, 64), rng, solver) for n, rows in plan]
    return [case for case in cases if case is not None]


def _random(
    start: Experiment, widths: list[int], rows: int, rng: np.random.Generator, solver: Solver | None = None
) -> Experiment | None:
    """Return an experiment with random numbers, or None if no attempt gave a finite loss and a delta that is not 0."""
    reg = start.solver.regularization
    if solver is None:
        reg = replace(reg, lam=reg.lam and float(rng.uniform(0.1, 0.6)), r=float(rng.uniform(0.2, 0.8)),
                      dropout=reg.dropout and float(rng.uniform(0.3, 0.6)))  # fmt: skip
        solver = replace(start.solver, regularization=reg)
    for attempt in range(4):
        model = []
        for layer, n_in, n_out in zip(start.model, widths, widths[1:], strict=False):
            new = Layer(n_in, n_out, layer.activation, rng=0)
            new.W = rng.normal(0, 1.2 / np.sqrt(n_in), (n_out, n_in))
            new.b = rng.normal(0, 0.4, n_out)
            model.append(new)
        if attempt > 1:  # some losses take the logarithm of the output, so it must be positive
            model[-1].W = np.abs(model[-1].W.data) * 0.05
            model[-1].b = np.full(widths[-1], 0.4)
        x = rng.normal(0, 1, (rows, widths[0]))
        y = _targets(start, rows, widths[-1], rng)
        masks = draw_masks(LayerLoss(model, solver), rows, rng)
        with np.errstate(all="ignore"):
            case = Experiment(model, x, y, masks, solver)
        numbers = [case.right.loss, *(g for part in (case.right.dW, case.right.db) for g in part)]
        if all(np.isfinite(g).all() for g in numbers) and np.any(case.right.delta[-1]):
            return case
    return None


def _targets(start: Experiment, rows: int, n: int, rng: np.random.Generator) -> Array:
    """Return random targets of the kind that was given: one-hot, 0 or 1, probabilities, or any numbers."""
    y, loss = start.y, start.solver.loss
    if not loss.endswith("crossentropy"):
        return rng.normal(0, 1, (rows, n)) if not np.isin(y, (0, 1)).all() else rng.integers(0, 2, (rows, n)) * 1.0
    is_certain = bool(np.isin(y, (0, 1)).all())
    if loss == "crossentropy" or (is_certain and n > 1 and bool((y.sum(axis=1) == 1).all()) and y.shape[1] > 1):
        if n == 1:
            return np.ones((rows, 1))
        return np.eye(n)[rng.integers(0, n, rows)] if is_certain else rng.dirichlet(np.ones(n), rows)
    return rng.integers(0, 2, (rows, n)) * 1.0 if is_certain else rng.uniform(0.05, 0.95, (rows, n))
