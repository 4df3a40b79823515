"""Networks as scikit-learn estimators, for `Pipeline`, `GridSearchCV`, `cross_val_score` and the like.

This needs the extra ``sklearn``: ``pip install 'tinygrad-nn[sklearn]'``.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as problem:
    raise ImportError(
        "tinygrad_nn.sklearn needs scikit-learn; install it with: pip install 'tinygrad-nn[sklearn]'"
    ) from problem

from .data import one_hot
from .nn import Layer, Module
from .nn.losses import cross_entropy
from .ops.neural import softmax
from .solver import EarlyStopping, History, Predict, Regularization, Settings, Solver, TrainNN, fit

Array = np.ndarray[Any, Any]


class _Neural(BaseEstimator):  # type: ignore[misc]
    """Base class of the classifier and the regressor: the network, its training, its outputs."""

    _last = "linear"  # activation of the last layer
    _stratified = False
    _flat: bool
    _columns: int

    def __init__(
        self, hidden: Sequence[int] = (40,), activation: str = "relu", *, loss: Any = None, optimizer: Any = "adam",
        learning_rate: float = 0.01, epochs: int = 200, batch_size: int | str = 32, penalty: str = "none",
        lam: float = 0.0, dropout: float = 0.0, schedule: Any = None, clip_norm: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1, patience: int = 10, min_delta: float = 0.0, warm_start: bool = False,
        compile: bool | str = False, module: Any = None, random_state: Any = None,
    ) -> None:  # fmt: skip
        self.hidden = hidden
        self.activation = activation
        self.loss = loss
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.epochs = epochs
        self.batch_size = batch_size
        self.penalty = penalty
        self.lam = lam
        self.dropout = dropout
        self.schedule = schedule
        self.clip_norm = clip_norm
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.min_delta = min_delta
        self.warm_start = warm_start
        self.compile = compile
        self.module = module
        self.random_state = random_state

    @classmethod
    def from_module(cls, module: Module | Callable[[int, int], Module], **settings: Any) -> Self:
        """Return an estimator whose network is a given module.

        Args:
            module: a `Module`, of which each `fit` trains a copy; or a function ``module(n_in, n_out)`` that makes one.
                It maps arrays ``(batch, n_in)`` to ``(batch, n_out)``; for a classifier these are logits, before the
                softmax.
            settings: the other arguments of the class; `hidden`, `activation` and `dropout` have no effect.

        Example:
            >>> from tinygrad_nn import nn
            >>> from numpy import tanh
            >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]
            >>> def net(n_in, n_out):
            ...     return nn.Sequential(nn.Linear(n_in, 8, rng=0), tanh, nn.Linear(8, n_out, rng=1))
            >>> NeuralClassifier.from_module(net, epochs=200, random_state=0).fit(X, y).predict([[0.5], [2.5]])
            array([0, 1])
        """
        return cls(module=module, **settings)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def _new_model(self, n_in: int, n_out: int, dtype: Any, rng: np.random.Generator) -> Any:
        """Return the untrained network: a copy of `module`, what the function `module` returns, or a list of layers."""
        if self.module is not None:
            if isinstance(self.module, Module):
                return copy.deepcopy(self.module)
            if not callable(self.module):
                raise TypeError(
                    f"{type(self).__name__}: module is of type {type(self.module).__name__}; pass a Module, or a "
                    "function module(n_in, n_out) that makes one."
                )
            return self.module(n_in, n_out)
        hidden = [self.hidden] if np.ndim(self.hidden) == 0 else list(self.hidden)
        ends = zip([n_in, *hidden], [*hidden, n_out], strict=True)
        names = [self.activation] * len(hidden) + [self._last]
        return [Layer(*end, name, rng=rng, dtype=dtype) for end, name in zip(ends, names, strict=True)]

    def _solver(self) -> Solver:
        dropped = self.dropout if self.module is None else 0.0
        return Solver(self._loss(), self.optimizer, self.learning_rate,
                      Regularization(self.penalty, self.lam, dropout=dropped),
                      schedule=self.schedule, clip_norm=self.clip_norm)  # fmt: skip

    def _loss(self) -> Any:
        raise NotImplementedError

    def _train(self, x: Array, y: Array, labels: Array | None, **options: Any) -> Self:
        """Train on rows and on targets in the form of the loss; `labels` stratify a classifier's validation split."""
        solver, rng = self._solver(), self._generator()
        self._check_fraction()
        self._random = rng
        if not self._continues:
            self._make(x, y, rng)
        val: tuple[Array, ...] = ()
        stop = None
        if self.early_stopping:
            stop = EarlyStopping(self.patience, self.min_delta)
            if not 0 < self.validation_fraction < 1:
                raise ValueError(
                    f"{type(self).__name__}: validation_fraction={self.validation_fraction!r}; it must be a share of "
                    "the rows between 0 and 1, e.g. 0.1."
                )
            stratify = labels if self._stratified else None
            x, x_val, y, y_val = train_test_split(
                x, y, test_size=self.validation_fraction, random_state=int(rng.integers(2**31)), stratify=stratify
            )
            val = (x_val, y_val)
        settings = Settings(self.epochs, min(self._rows_per_step(len(x)), len(x)))
        history = fit(self.model_, x, y, *val, solver=solver, settings=settings, rng=rng, early_stopping=stop,
                      compile=self.compile, **options)  # fmt: skip
        for k, loss in enumerate(history.loss):
            self.history_.add(loss, history.val_loss[k] if history.val_loss else None, {})
        self.n_iter_ = len(history)
        return self

    def _rows_per_step(self, count: int) -> int:
        """Return the rows of a batch of `count` rows; "auto" is at most 200, as in scikit-learn."""
        auto = isinstance(self.batch_size, str) and self.batch_size == "auto"
        return Settings(1, min(200, count) if auto else self.batch_size).batch_size  # type: ignore[arg-type]

    def _train_once(self, x: Array, y: Array) -> Self:
        """Train the present network on all rows once; the optimizer continues from its last state."""
        solver, size, losses = self._solver(), self._rows_per_step(len(x)), []
        if not hasattr(self, "model_"):
            self._random = self._generator()
            self._make(x, y, self._random)
            self.n_iter_ = 0
        rng = self._random
        order = rng.permutation(len(x))
        for start in range(0, len(x), size):
            rows = order[start : start + size]
            losses.append((TrainNN(self.model_, x[rows], y[rows], solver=solver, rng=rng).loss, len(rows)))
        self.history_.add(math.fsum(loss * n for loss, n in losses) / len(x), None, {})
        self.n_iter_ += 1
        return self

    def _make(self, x: Array, y: Array, rng: np.random.Generator) -> None:
        """Make the untrained network and an empty history."""
        model = self._new_model(x.shape[1], self._outputs(y), x.dtype, rng)
        if self.module is not None:
            self._check_module(model, x, self._outputs(y))
        self.model_, self.history_ = model, History()

    def _check_module(self, model: Any, x: Array, n_out: int) -> None:
        """Raise unless a module that the user gave has one output for each class or target."""
        shape = np.shape(Predict(model, x[:1]))
        if shape != (1, n_out):
            what = "class" if self._stratified else "target"
            raise ValueError(
                f"{type(self).__name__}: the module gives an output of shape {shape} for one row; it needs one column "
                f"for each {what}, (1, {n_out})."
            )

    @property
    def _continues(self) -> bool:
        """Whether `fit` continues from the present network."""
        return self.warm_start and hasattr(self, "model_")

    def _check_fraction(self) -> None:
        share: Any = self.validation_fraction
        if self.early_stopping and not (isinstance(share, float | int | np.number) and 0 < share < 1):
            raise ValueError(
                f"{type(self).__name__}: validation_fraction={share!r:.60}; it must be above 0 and below 1, e.g. 0.1."
            )

    def _check_partial(self, **edits: str) -> None:
        """Raise if a setting is given that `partial_fit` cannot follow, since each call has other rows."""
        for name, edit in edits.items():
            if getattr(self, name) not in (None, False):
                raise ValueError(f"{type(self).__name__}: partial_fit does not follow {name}=; {edit}")

    def _generator(self) -> np.random.Generator:
        state = self.random_state
        return state if isinstance(state, np.random.Generator) else np.random.default_rng(
            check_random_state(state).randint(2**31))  # fmt: skip

    def _outputs(self, y: Array) -> int:
        return int(y.shape[1])

    def _output(self, X: Any) -> Array:
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=(np.float64, np.float32))
        return np.asarray(Predict(self.model_, x))


class NeuralClassifier(ClassifierMixin, _Neural):  # type: ignore[misc]
    """A network for classification, as a scikit-learn estimator.

    Args:
        hidden: widths of the hidden layers; activation: of the hidden layers, a name such as ``'relu'``.
        loss: a function of the logits (the output before the softmax) and the class numbers; default: cross-entropy.
        optimizer, learning_rate, schedule, clip_norm: as in `Solver`.
        epochs, batch_size: as in `Settings`; ``batch_size="auto"`` is the smaller of 200 and the number of rows.
        penalty, lam, dropout: as `method`, `lam` and `dropout` in `Regularization`.
        early_stopping: whether to hold out a `validation_fraction` of the rows and to stop when their loss has not
            improved by `min_delta` for `patience` epochs; the best weights are kept.
        class_weight: ``'balanced'``, or a dict class -> weight; by default all rows count the same.
        warm_start: whether a further `fit` continues from the weights of the previous one.
        compile: ``True``, ``'numpy'`` or ``'numba'`` runs each step as one compiled function.
        module: the network, see `from_module`; random_state: a seed, a ``RandomState`` or a ``Generator``.

    Attributes:
        classes_, n_features_in_, feature_names_in_: as in scikit-learn.
        model_: the trained list of layers or module; history_: a `History`; n_iter_: how many epochs were trained.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> NeuralClassifier((40,), epochs=50, random_state=0).fit(X, y).score(X, y) > 0.95
        True
    """

    _stratified = True
    classes_: Array

    def __init__(
        self, hidden: Sequence[int] = (40,), activation: str = "relu", *, loss: Any = None, optimizer: Any = "adam",
        learning_rate: float = 0.01, epochs: int = 200, batch_size: int | str = 32, penalty: str = "none",
        lam: float = 0.0, dropout: float = 0.0, schedule: Any = None, clip_norm: float | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1, patience: int = 10, min_delta: float = 0.0, class_weight: Any = None,
        warm_start: bool = False, compile: bool | str = False, module: Any = None, random_state: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            hidden, activation, loss=loss, optimizer=optimizer, learning_rate=learning_rate, epochs=epochs,
            batch_size=batch_size, penalty=penalty, lam=lam, dropout=dropout, schedule=schedule, clip_norm=clip_norm,
            early_stopping=early_stopping, validation_fraction=validation_fraction, patience=patience,
            min_delta=min_delta, warm_start=warm_start, compile=compile, module=module, random_state=random_state,
        )  # fmt: skip
        self.class_weight = class_weight

    @property
    def _logits(self) -> bool:
        """Whether the network returns logits, without a softmax: if the user gave the module or the loss."""
        return self.module is not None or self.loss is not None

    @property
    def _last(self) -> str:  # type: ignore[override]
        return "linear" if self._logits else "softmax"

    def _loss(self) -> Any:
        if self.loss is not None and not callable(self.loss):
            raise ValueError(
                f"NeuralClassifier: loss={self.loss!r:.60}; it needs a function of logits and class numbers, such as "
                "nn.losses.focal. Leave it out for the cross-entropy."
            )
        return self.loss or (cross_entropy if self._logits else "crossentropy")

    def _outputs(self, y: Array) -> int:
        return len(self.classes_)

    def _targets(self, y: Array) -> Array:
        """Return the targets for the loss: class numbers if the network returns logits, else one-hot rows."""
        codes = np.searchsorted(self.classes_, y)
        return codes if self._logits else one_hot(codes, len(self.classes_))

    def fit(self, X: Any, y: Any) -> Self:
        """Train on rows ``(batch, n_in)`` and their classes ``(batch,)``, numbers or strings; return the estimator."""
        x, y = self._checked(X, y, reset=not self._continues)
        classes = np.unique(y)
        if len(classes) < 2:
            raise ValueError(
                f"NeuralClassifier: y holds one class, {classes.tolist()[0]!r}; it needs rows of at least two."
            )
        if self._continues and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"NeuralClassifier: warm_start=True continues with the classes {self.classes_.tolist()!r:.60}, and y "
                f"holds {classes.tolist()!r:.60}. Pass rows of the same classes, or leave warm_start out."
            )
        weight = self.class_weight
        if isinstance(weight, dict):
            known = classes.tolist()
            unknown = [c for c in weight if c not in known]
            if unknown and any(c not in weight for c in known):  # else it has all classes, and one that a fold lacks
                raise ValueError(
                    f"NeuralClassifier: class_weight has the classes {unknown!r:.60}, which are not in y; it has "
                    f"{known!r:.60}. Correct them, or leave them out."
                )
            weight = [weight.get(c, 1.0) for c in known]
        self.classes_ = classes
        return self._train(x, self._targets(y), y, class_weight=weight)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Train the present network once on the given rows; return the estimator.

        Args:
            X, y: rows and their classes.
            classes: all classes that can occur in any call; needed in the first call.
        """
        first = not hasattr(self, "model_")
        self._check_partial(
            class_weight="write the weights into the loss, loss=partial(nn.losses.cross_entropy, weight=[1.0, 2.0]).",
            early_stopping="call fit, or stop calling partial_fit yourself.",
            schedule="set learning_rate with set_params between the calls.",
        )
        if first and classes is None:
            raise ValueError(
                "NeuralClassifier: the first partial_fit needs classes=, all classes that will ever occur."
            )
        x, y = self._checked(X, y, reset=first)
        if classes is not None and not first and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"NeuralClassifier: classes={classes!r:.50} are not those before, {self.classes_!r:.50}.")
        if first:
            self.classes_ = np.unique(classes)
        strange = np.setdiff1d(y, self.classes_)
        if len(strange):
            raise ValueError(
                f"NeuralClassifier: y holds the class {strange.tolist()[0]!r}, which is not among classes, "
                f"{self.classes_.tolist()!r:.60}; name all that will ever occur in the first call."
            )
        return self._train_once(x, self._targets(y))

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Array]:
        x, y = validate_data(self, X, y, reset=reset, dtype=(np.float64, np.float32))
        check_classification_targets(y)
        return x, y

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, ``(batch, classes)``, in the order of `classes_`."""
        out = self._output(X)
        return np.asarray(softmax(out)) if self._logits else out

    def predict(self, X: Any) -> Array:
        """Return the most probable class of each row, ``(batch,)``."""
        best = np.argmax(self.predict_proba(X), axis=1)
        found: Array = self.classes_[best]
        return found


class NeuralRegressor(RegressorMixin, MultiOutputMixin, _Neural):  # type: ignore[misc]
    """A network for regression, as a scikit-learn estimator.

    Inputs and targets are not scaled: put a ``StandardScaler`` before it in a `Pipeline`, and wrap it in a
    ``TransformedTargetRegressor`` if the targets are large or small.

    Args:
        loss: ``'mse'`` (the default), ``'mae'``, ``'rmse'``, or a function of prediction and targets; all other
            arguments as in `NeuralClassifier`, except class_weight.

    Attributes:
        n_features_in_, feature_names_in_, model_, history_, n_iter_: as in `NeuralClassifier`.

    Example:
        >>> import numpy as np
        >>> X = np.linspace(-1, 1, 50)[:, None]
        >>> y = np.sin(3 * X[:, 0])
        >>> NeuralRegressor((20,), "tanh", random_state=0).fit(X, y).score(X, y) > 0.95
        True
    """

    def _loss(self) -> Any:
        return "mse" if self.loss is None else self.loss

    def _checked(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Array]:
        x, y = validate_data(self, X, y, reset=reset, dtype=(np.float64, np.float32), multi_output=True, y_numeric=True)
        try:
            flat, y = np.ndim(y) == 1, np.asarray(y, x.dtype).reshape(len(x), -1)
        except ValueError as error:
            raise ValueError(f"NeuralRegressor: y needs numbers; {error}. For classes use NeuralClassifier.") from None
        if not reset and y.shape[1] != self._columns:
            raise ValueError(
                f"NeuralRegressor: y is of shape {y.shape}, and the network was trained on (batch, {self._columns}). "
                "Pass as many columns, or make another estimator."
            )
        self._flat, self._columns = flat, y.shape[1]
        return x, y

    def fit(self, X: Any, y: Any) -> Self:
        """Train on rows ``(batch, n_in)`` and targets ``(batch,)`` or ``(batch, n_out)``; return the estimator."""
        return self._train(*self._checked(X, y, reset=not self._continues), None)

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Train the present network once on the given rows; return the estimator."""
        self._check_partial(
            early_stopping="call fit, or stop calling partial_fit yourself.",
            schedule="set learning_rate with set_params between the calls.",
        )
        return self._train_once(*self._checked(X, y, reset=not hasattr(self, "model_")))

    def predict(self, X: Any) -> Array:
        """Return the predictions, ``(batch,)`` or ``(batch, n_out)`` like the targets in training."""
        out = self._output(X)
        return out[:, 0] if self._flat else out


__all__ = ["NeuralClassifier", "NeuralRegressor"]
