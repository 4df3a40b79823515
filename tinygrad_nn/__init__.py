"""Reverse-mode automatic differentiation in plain NumPy: a graph that can be seen, gradients that are checked."""

import typing as _typing
from importlib import import_module as _import_module

from . import ops as _ops  # noqa: F401 - declares all primitives
from .backward import detect_anomaly
from .common.display import PICTURES as _PICTURES
from .common.display import picture as _picture
from .common.forks import building as _building
from .common.tracebacks import install as _short_tracebacks
from .custom import checkpoint, custom_jvp, custom_vjp, stop_gradient
from .leaves import GradientWarning
from .node import no_grad
from .ops.activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    mish,
    prelu,
    selu,
    silu,
    softsign,
)
from .ops.joining import array, vectorize
from .ops.neural import (
    affine,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    sigmoid_crossentropy,
    softmax,
    softmax_crossentropy,
)
from .ops.special import digamma, erf, erfc, expit, gammaln, log_sigmoid, logit, polygamma, softplus
from .primitive import METHODS as _METHODS
from .primitive import declare
from .symmetric import symmetric_exp, symmetric_function, symmetric_log, symmetric_sqrt
from .tensor import Tensor
from .transforms import (
    cond,
    elementwise_grad,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    scan,
    value_and_grad,
    vjp,
    vmap,
    while_loop,
)

if _typing.TYPE_CHECKING:
    from .compare import ComparisonReport, assert_gradients_match, compare_gradients, compare_steps
    from .compiled import compile
    from .data import (
        Scaler,
        data_loader,
        data_split,
        load_digits,
        load_iris,
        load_sonnets,
        one_hot,
        read_features,
        read_table,
    )
    from .gradcheck import GradientReport, assert_gradients, check_gradients, check_primitive, numerical_gradient
    from .graph import supported
    from .metrics import accuracy_score, cm, f1_score, format_cm, loss_fct, precision_score, r2_score, recall_score
    from .nn import Layer, Module
    from .profiling import profile
    from .solver import (
        BackProp,
        Checkpoint,
        EarlyStopping,
        Epoch,
        FeedForward,
        History,
        Predict,
        Regularization,
        Settings,
        Solver,
        TrainNN,
        fit,
        graph_loss,
    )

# Modules built on the engine are imported when they are first used, so that `import tinygrad_nn` stays quick.
_LATER = {
    "data": "Scaler data_loader data_split load_digits load_iris load_sonnets one_hot read_features read_table",
    "gradcheck": "GradientReport assert_gradients check_gradients check_primitive numerical_gradient",
    "metrics": "accuracy_score cm f1_score format_cm loss_fct precision_score r2_score recall_score",
    "nn": "Layer Module",
    "solver": "BackProp Checkpoint EarlyStopping Epoch FeedForward History Predict Regularization Settings Solver "
              "TrainNN fit graph_loss",
    "compiled": "compile",
    "compare": "ComparisonReport assert_gradients_match compare_gradients compare_steps",
    "graph": "supported",
    "profiling": "profile",
    "array_api": "",
    "polynomial": "",
    "implicit": "",
    "io": "",
    "manual": "",
    "optim": "",
    "sparse": "",
    "special": "",
    "autograd": "",
    "pytorch": "",
    "viz": "explain_error",
}
_HOME = {name: room for room, names in _LATER.items() for name in names.split()}


def __getattr__(name: str) -> _typing.Any:
    if name in _HOME:
        with _building:
            value = getattr(_import_module(f".{_HOME[name]}", __name__), name)
    elif name in _LATER:
        with _building:
            value = _import_module(f".{name}", __name__)
    else:
        from .common.spelling import ELSEWHERE, no_attribute

        rooms = ("nn", "optim", "viz") if name[0] != "_" else ()
        there = [room for room in rooms if name in _import_module(f".{room}", __name__).__all__]
        elsewhere = {**ELSEWHERE, name: f"Write tinygrad_nn.{there[0]}.{name}."} if there else ELSEWHERE
        raise no_attribute(f"module {__name__!r}", name, [*__all__, *_LATER], elsewhere)
    globals()[name] = value
    return value


# The array namespace imports the Tensor, so it can only be imported later, when it is first used.
_METHODS["__array_namespace__"] = lambda t, *, api_version=None: __getattr__("array_api").namespace(api_version)


_short_tracebacks()

# The code that draws imports what it draws, so it is imported when a notebook first asks for a picture.
_PICTURES.append(lambda thing: _import_module(".viz.notebook.pictures", __name__).picture(thing))
Tensor._repr_html_ = _picture  # type: ignore[attr-defined]  # on the class, where marimo looks for it


def load_ipython_extension(shell: _typing.Any) -> None:
    """Define the notebook magic ``%%explore``; ``%load_ext tinygrad_nn`` calls this function.

    Args:
        shell: the IPython shell.
    """
    _import_module(".viz.notebook.magic", __name__).load_magic(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_LATER})


__all__ = [
    "BackProp",
    "Checkpoint",
    "ComparisonReport",
    "EarlyStopping",
    "Epoch",
    "FeedForward",
    "GradientReport",
    "GradientWarning",
    "History",
    "Layer",
    "Module",
    "Predict",
    "Regularization",
    "Scaler",
    "Settings",
    "Solver",
    "Tensor",
    "TrainNN",
    "accuracy_score",
    "affine",
    "array",
    "assert_gradients",
    "assert_gradients_match",
    "celu",
    "check_gradients",
    "check_primitive",
    "checkpoint",
    "cm",
    "compare_gradients",
    "compare_steps",
    "compile",
    "cond",
    "custom_jvp",
    "custom_vjp",
    "data_loader",
    "data_split",
    "declare",
    "detect_anomaly",
    "digamma",
    "elementwise_grad",
    "elu",
    "erf",
    "erfc",
    "expit",
    "explain_error",
    "f1_score",
    "fit",
    "format_cm",
    "gammaln",
    "gelu",
    "glu",
    "grad",
    "graph_loss",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "leaky_relu",
    "load_digits",
    "load_ipython_extension",
    "load_iris",
    "load_sonnets",
    "log_sigmoid",
    "log_softmax",
    "logit",
    "logsumexp",
    "loss_fct",
    "mish",
    "no_grad",
    "numerical_gradient",
    "one_hot",
    "polygamma",
    "precision_score",
    "prelu",
    "profile",
    "r2_score",
    "read_features",
    "read_table",
    "recall_score",
    "relu",
    "scan",
    "selu",
    "sigmoid",
    "sigmoid_crossentropy",
    "silu",
    "softmax",
    "softmax_crossentropy",
    "softplus",
    "softsign",
    "stop_gradient",
    "supported",
    "symmetric_exp",
    "symmetric_function",
    "symmetric_log",
    "symmetric_sqrt",
    "value_and_grad",
    "vectorize",
    "vjp",
    "vmap",
    "while_loop",
]
