"""The functions of the Julia project: FeedForward, BackProp, Predict, TrainNN; all but BackProp also take modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import manual
from ..common.arguments import as_generator
from ..common.display import tuple_in_few_lines
from ..common.masked import check_unmasked
from ..common.spelling import named_options
from ..data import is_frame
from ..nn.containers import is_plain_sequential
from ..nn.layer import Layer, is_plain_layer
from ..nn.module import Module
from ..node import no_grad, scope
from ..tensor import Tensor, raw
from .arguments import as_one_module, can_train_layers, is_layer_list, prepare_training, raise_no_equations
from .batches import as_nested_arrays, check_rows
from .checks import check_inputs, check_manual_loss, check_model, check_solver, check_targets
from .frames import arrays_of, table_like
from .prediction import as_dtype, evaluating, predict_in_chunks
from .settings import OF_PENALTIES, OF_RULES, OF_SETTINGS, OF_SOLVER, Solver
from .tasks.layers import Array, LayerLoss, draw_masks, manual_gradients, objective, predict
from .tasks.module import ModuleTask
from .training_step import TrainingStep, backend_of, reused_step

if TYPE_CHECKING:
    Rng = np.random.Generator | int | None


class DataCache(NamedTuple):
    """The result of `FeedForward`, which `BackProp` needs: lists with one entry per layer.

    `a[k]` is the output of layer k after its dropout mask; the input of the model is not in `a` but in `x`. The
    prediction is ``a[-1]``. `masks[k]` is ``None`` if nothing was dropped, `z[k]` if part k is not a `Layer`.
    """

    x: Array
    z: list[Array]
    a: list[Array]
    masks: list[Array | None]

    def __repr__(self) -> str:
        return tuple_in_few_lines(self)


class Gradients(NamedTuple):
    """The result of `BackProp`: the loss with its penalties, and the gradients of each layer.

    `dW` holds arrays ``(n_out, n_in)`` and `db` arrays ``(n_out,)``, in the order of the layers.
    """

    loss: float
    dW: list[Array]
    db: list[Array]

    def __repr__(self) -> str:
        return tuple_in_few_lines(self)


class Trained(NamedTuple):
    """The result of one update: the batch loss before it, the validation loss after it, and the gradients.

    `loss` includes penalties; `val_loss` does not, and is ``None`` without validation data. `dW` holds arrays
    ``(n_out, n_in)`` and `db` arrays ``(n_out,)``, in the order of the layers. For a model with other modules, both are
    dicts by parameter name: `db` of parameters with at most one axis, `dW` of all others.
    """

    loss: float
    val_loss: float | None
    dW: Any
    db: Any

    def __repr__(self) -> str:
        return tuple_in_few_lines(self)


@named_options()
def FeedForward(model: Sequence[Layer], data_in: Any, *, solver: Solver | None = None, rng: Rng = None) -> DataCache:
    r"""Compute the forward pass of a batch, with the dropout of the solver.

    .. math:: z^k = a^{k-1} (W^k)^T + b^k, \qquad a^k = m^k \odot f^k(z^k)

    Args:
        model: a list of layers, or a `Module`.
        data_in: inputs, ``(batch, n_in)``.
        solver: its regularization has the dropout probability; by default nothing is dropped.
        rng: a Generator or a seed for the dropout masks; ``None`` draws different masks each time.

    Returns:
        The ``data_cache``: lists ``z``, ``a`` and ``masks`` with an array ``(batch, n_out)`` for each layer, and ``x``.

    Raises:
        TypeError, ValueError: the layers do not fit together, or the data does not fit them.

    Example:
        >>> data_cache = FeedForward([Layer(4, 40, "relu", rng=0), Layer(40, 3, "softmax", rng=1)], np.ones((2, 4)))
        >>> data_cache.z[0].shape, data_cache.a[-1].shape
        ((2, 40), (2, 3))
    """
    if not is_layer_list(model):
        return _forward_parts(model, data_in, solver, rng)
    layers = check_model("FeedForward", model)
    x = check_inputs("FeedForward", layers, data_in)
    masks: list[Array | None] = [None] * len(layers)
    if solver is not None and check_solver("FeedForward", solver).regularization.dropout:
        masks = draw_masks(LayerLoss(layers, solver), len(x), as_generator(rng))
    W, b = [layer.W.data for layer in layers], [layer.b.data for layer in layers]
    z, a = manual.forward(W, b, [layer.activation for layer in layers], x, masks)
    return DataCache(x, z, a, masks)


@named_options(solver="solver=Solver('crossentropy', 'sgd', 0.03)")
def BackProp(model: Sequence[Layer], data_cache: DataCache, data_out: Any, *, solver: Solver) -> Gradients:
    r"""Return the loss and its gradients, computed by the equations of backpropagation written by hand.

    .. math:: \delta^k = J_{f^k}^T [m^k \odot \delta^{k+1} W^{k+1}], \quad
              \partial_{W^k} = (\delta^k)^T a^{k-1} + \Omega'(W^k), \quad \partial_{b^k} = \textstyle\sum_n \delta^k_n

    Args:
        model: the layers that were given to `FeedForward`, unchanged since.
        data_cache: the result of `FeedForward`.
        data_out: targets, ``(batch, n_out)``.
        solver: has the loss and the penalty.

    Returns:
        ``(loss, dW, db)``: the loss with its penalties, and lists with one gradient per layer.

    Raises:
        TypeError, ValueError: the cache or the targets do not fit the model, or W or b changed since.
        FloatingPointError: the loss is infinite or NaN.

    Source: Rumelhart, Hinton & Williams, Learning representations by back-propagating errors (1986).

    Example:
        >>> model, solver = [Layer(4, 3, "softmax", rng=0)], Solver("crossentropy")
        >>> loss, dW, db = BackProp(model, FeedForward(model, np.ones((1, 4))), [[1, 0, 0]], solver=solver)
        >>> dW[0].shape, db[0].shape
        ((3, 4), (3,))
    """
    if not is_layer_list(model):
        raise_no_equations("BackProp", list(model) if isinstance(model, (list, tuple)) else [model])
    layers = check_model("BackProp", model)
    check_manual_loss("BackProp", solver)
    if not isinstance(data_cache, DataCache):
        raise TypeError(
            f"BackProp: data_cache is of type {type(data_cache).__name__}; pass what FeedForward(model, data_in) "
            "returned."
        )
    if [z.shape[1] for z in data_cache.z] != [layer.n_out for layer in layers]:
        raise ValueError(
            f"BackProp: data_cache holds layers of widths {[z.shape[1] for z in data_cache.z]}, the model has "
            f"{[layer.n_out for layer in layers]}. Pass what FeedForward returned for this model."
        )
    _check_unchanged(layers, data_cache)
    y = check_targets("BackProp", layers, data_out, len(data_cache.x), solver.loss)
    W = [layer.W.data for layer in layers]
    with np.errstate(all="ignore"):
        return Gradients(*manual_gradients(LayerLoss(layers, solver), W, *data_cache[:3], y, data_cache.masks))


def _check_unchanged(layers: list[Layer], data_cache: DataCache) -> None:
    """Raise if z = a Wᵀ + b no longer holds for a layer, since W or b was changed after `FeedForward`.

    One combination of the rows is compared. Its factors are irregular: inputs of a standardized table add up to 0.
    """
    factors = np.cos(np.arange(len(data_cache.x), dtype=data_cache.x.dtype))
    for k, (layer, a, z) in enumerate(zip(layers, [data_cache.x, *data_cache.a], data_cache.z, strict=False), 1):
        with np.errstate(all="ignore"):
            found = factors.dot(z)
            gap = layer.W.data.dot(factors.dot(a)) + layer.b.data * factors.sum() - found
            few = 4 * np.finfo(z.dtype).eps * np.abs(found).max(initial=0)
            changed = np.abs(gap).max(initial=0) > few and _differs(layer.W.data, layer.b.data, factors, a, z)
        if changed:
            raise ValueError(
                f"BackProp: W or b of layer {k} was changed after FeedForward, so data_cache has the z and a of other "
                "weights, and the gradients would be those of no model. Call FeedForward again, and update the layers "
                "only after BackProp."
            )


def _differs(W: Array, b: Array, factors: Array, a: Array, z: Array) -> bool:
    """Tell whether z differs from a Wᵀ + b by more than its rounding: it is a sum of n_in + 1 terms.

    In double precision the combination itself adds next to nothing to that for float32, and for float64 as many
    roundings as it has terms.
    """
    W, b, c, size = W.astype(float), b.astype(float), factors.astype(float), np.abs(factors).astype(float)
    gap = np.abs(c @ z - (c @ a) @ W.T - c.sum() * b)
    scale = (size @ np.abs(a)) @ np.abs(W).T + size.sum() * np.abs(b) + size @ np.abs(z)
    terms = W.shape[1] + 2 + (len(z) if z.dtype == float else 0)
    return bool((gap > terms * np.finfo(z.dtype).eps * scale).any())


@named_options()
def Predict(model: Any, x: Any) -> Any:
    """Return the network's output for inputs, without dropout.

    Args:
        model: a list of layers, or a `Module`.
        x: inputs, ``(batch, n_in)``, an array or a table of pandas, polars or pyarrow.

    Returns:
        An ndarray ``(batch, n_out)``; for a table, a table of the same kind with the target names from `fit`.

    Raises:
        TypeError, ValueError: the layers do not fit together, the data does not fit them, or a table does not have the
            columns of the training.

    Example:
        >>> Predict([Layer(4, 3, "softmax", rng=0)], np.ones((2, 4))).shape
        (2, 3)
    """
    if is_frame(x):
        return table_like(x, model, Predict(model, *arrays_of("Predict", model, x=x)))
    check_unmasked("Predict", x, "x")
    if not is_layer_list(model) or isinstance(x, np.memmap):
        return _predict(model, x)
    layers = check_model("Predict", model)
    return predict(layers, check_inputs("Predict", layers, x, "x"))[1]


def graph_loss(model: Sequence[Layer], x: Any, y: Any, *, solver: Solver, masks: Any = None) -> Tensor:
    """Return the loss of a batch, with its penalties, as a Tensor with its graph, to draw or to differentiate.

    Args:
        model: a list of layers; ``backward`` puts gradients into their W and b.
        x: inputs, ``(batch, n_in)``.
        y: targets, ``(batch, n_out)``.
        solver: has the loss and the penalty.
        masks: the dropout masks of a ``data_cache``; by default nothing is dropped.

    Returns:
        A Tensor of shape ``()``. Operations have the scope ``layer 1``, ``layer 2``, ..., ``loss`` or ``penalty``.

    Raises:
        TypeError, ValueError: the layers do not fit together, or the data does not fit them.

    Example:
        >>> model, solver = [Layer(4, 3, "softmax", rng=0)], Solver("crossentropy")
        >>> graph_loss(model, np.ones((1, 4)), [[1, 0, 0]], solver=solver).backward()
        >>> model[0].W.grad.shape
        (3, 4)
    """
    if not (is_layer_list(model) and can_train_layers(check_solver("graph_loss", solver))):
        if masks is not None:
            raise ValueError("graph_loss: masks are for lists of Layer; dropout modules draw their own.")
        x, y = as_nested_arrays("graph_loss", x, "x"), as_nested_arrays("graph_loss", y, "y")
        check_rows("graph_loss", x, y, ("x", "y"))
        return ModuleTask("graph_loss", as_one_module("graph_loss", model), solver).objective(x, y)
    layers = check_model("graph_loss", model)
    x = check_inputs("graph_loss", layers, x, "x")
    y = check_targets("graph_loss", layers, y, len(x), solver.loss, ("x", "y"))
    if masks is not None:
        _check_masks(masks, [(len(x), layer.n_out) for layer in layers])
    return objective(LayerLoss(layers, solver, y), x, y, masks)


@named_options(
    {
        **OF_SOLVER, **OF_RULES, **OF_PENALTIES,
        **dict.fromkeys(OF_SETTINGS, "It is one update: call it in a loop, or fit with settings=Settings(20, 16)."),
    },
    solver="solver=Solver('crossentropy', 'sgd', 0.03)",
)  # fmt: skip
def TrainNN(
    model: Sequence[Layer],
    data_in: Any,
    data_out: Any,
    x_val: Any = None,
    y_val: Any = None,
    *,
    solver: Solver,
    gradients: str = "graph",
    compile: bool | str = False,
    rng: Rng = None,
) -> Trained:
    r"""Update the network once on one batch. Only this function and `fit` change the ``W`` and ``b`` of a layer.

    .. math:: W \leftarrow W - \eta\, \text{step}(\partial_W), \qquad b \leftarrow b - \eta\, \text{step}(\partial_b)

    The optimizer's state stays with each layer for the next call. It is reset if the solver has another optimizer or
    other hyper-parameters, or if ``W`` or ``b`` was assigned; a new learning rate does not reset it.

    Args:
        model: a list of layers, or a `Module`.
        data_in, data_out: the batch, ``(batch, n_in)`` and ``(batch, n_out)``.
        x_val, y_val: validation data; both or neither.
        solver: loss, optimizer, learning rate, regularization.
        gradients: ``'graph'``, or ``'manual'`` for the equations written by hand; both give the same gradients.
        compile: whether to run the step as one compiled function, see `tinygrad_nn.compile`; later calls reuse it.
        rng: a Generator or a seed for the dropout masks; ``None`` draws different masks each time.

    Returns:
        ``(loss, val_loss, dW, db)``, see `Trained`.

    Raises:
        TypeError, ValueError: layers, data and solver do not fit together.
        FloatingPointError: the loss became infinite or NaN, or grew by a factor of a million; nothing was updated.

    Example:
        >>> model, solver = [Layer(1, 1, rng=0)], Solver("mse", "sgd", 0.1)
        >>> first = TrainNN(model, [[1.0]], [[2.0]], solver=solver)
        >>> TrainNN(model, [[1.0]], [[2.0]], solver=solver).loss < first.loss
        True
    """
    task, batch, val = prepare_training(
        "TrainNN", model, data_in, data_out, x_val, y_val, solver, 1, None, gradients, single=True
    )
    if isinstance(task, ModuleTask) and task.search is not None:
        raise ValueError("TrainNN: lbfgs computes the loss many times a step; use fit, or optim.Minimizer.")
    x, y = batch.data  # type: ignore[union-attr]
    random: Any = as_generator(rng) if task.draws else None  # creating a generator takes as long as a small step
    backend = backend_of("TrainNN", compile, gradients, solver)
    step = TrainingStep(task, solver, tell=True) if backend is None else reused_step(task, solver, backend)
    with np.errstate(all="ignore"):  # the task reports a loss that is not finite
        with task.training(random):
            loss = step(x, y, random)
        val_loss = None if val is None else task.evaluate(*val.data)[0]  # type: ignore[union-attr]
    return Trained(loss, val_loss, *task.named(step.gradients))


def _check_masks(masks: Any, shapes: list[tuple[int, int]]) -> None:
    """Raise a ValueError unless there is a mask, or None, for each layer."""
    given = [masks] if isinstance(masks, (str, np.ndarray)) else list(masks)
    there = [None if mask is None else np.shape(mask) for mask in given]
    if len(there) != len(shapes) or any(a not in (None, b) for a, b in zip(there, shapes, strict=True)):
        raise ValueError(
            f"graph_loss: the masks have shapes {there!r:.100}; these layers and rows need {shapes!r:.100}, or None. "
            "Pass the masks of FeedForward(model, x, solver=solver)."
        )


def _forward_parts(model: Any, data_in: Any, solver: Solver | None, rng: Rng) -> DataCache:
    """Run a batch through a module, or a list with modules in it, part by part and without a graph."""
    if solver is not None and check_solver("FeedForward", solver).regularization.dropout:
        raise ValueError(
            "FeedForward: Regularization(dropout=...) is for lists of Layer; in an architecture of your own write a "
            "Dropout where it belongs."
        )
    whole = as_one_module("FeedForward", model)
    if rng is not None:
        whole.seed(rng)
    x = a = as_dtype(as_nested_arrays("FeedForward", data_in, "data_in"), _dtype(whole))
    z_all: list[Any] = []
    a_all: list[Any] = []
    with no_grad():
        for k, part in enumerate(whole if is_plain_sequential(whole) else [whole], 1):
            with scope(f"part {k}"):
                z = raw(part.weighted(a)) if is_plain_layer(part) else None
                a = raw(part.act(z) if is_plain_layer(part) else part(a))
            z_all.append(z)
            a_all.append(a)
    return DataCache(x, z_all, a_all, [None] * len(a_all))


def _predict(model: Any, x: Any) -> Any:
    whole = as_one_module("Predict", model)
    dtype, x = _dtype(whole), as_nested_arrays("Predict", x, "x")
    check_rows("Predict", x, None, ("x", "x"))
    with no_grad(), evaluating(whole):
        return predict_in_chunks(whole, x, lambda rows: as_dtype(rows, dtype))


def _dtype(model: Module) -> Any:
    return next((p.dtype for p in model.parameters()), np.dtype(float))
