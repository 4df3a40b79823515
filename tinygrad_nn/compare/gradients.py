"""The two public functions: `compare_gradients`, and `assert_gradients_match`, which raises unless they match."""

from __future__ import annotations

from typing import Any

from ..nn import Module
from ..nn.layer import Layer
from ..solver import BackProp
from .conventions.recognize import is_code
from .function.comparison import compare_function
from .layers.comparison import compare_model
from .report import ComparisonReport


def compare_gradients(
    model: Any, *data: Any, solver: Any = None, manual: Any = None, rng: Any = 0, **named: Any
) -> ComparisonReport:
    r"""Compare a gradient written by hand with the graph's and a numerical one, and explain why they differ.

    .. math:: \nabla_{\text{manual}} \overset{?}{=} \nabla_{\text{graph}} \overset{?}{=} \frac{dE}{d\theta}

    ``compare_gradients(model, x, y, solver=, manual=BackProp)`` for a list of layers, where `manual` is any function
    ``(model, data_cache, data_out, solver=) -> loss, dW, db`` (or with ``delta`` as a fourth);
    ``compare_gradients(f, inputs, manual=)`` for any function, also in the conventions of courses:
    ``compare_gradients(conv_forward, (x, w, b, {"pad": 1}), manual=conv_backward)`` for a forward that returns ``out,
    cache`` and a ``backward(dout, cache)``; ``compare_gradients(softmax_loss, (x, y))`` for a function that returns
    ``loss, dx``; ``compare_gradients(layer, x)`` for an object or class that has both. If a forward cannot run on
    Tensors, only two roads are compared: by hand and numerical.

    Args:
        model: a list of layers, a function, or an object or class with forward and backward.
        *data: the batch x ``(batch, n_in)`` and y ``(batch, n_out)``; or the inputs: an array, a tuple, or a dict.
        solver: loss, penalty and dropout of a model.
        manual: the gradients, by name or position; or a function of the inputs that returns them. It may also have
            parameters named ``g``, for the cotangent, and ``out``, for the result.
        rng: a Generator or a seed, for masks, cotangents, and the choice of entries to differentiate numerically.

    Returns:
        A frozen report: ``ok``, ``rows``, ``diagnoses``, ``first_wrong``; ``print`` shows it as a table.

    Raises:
        TypeError, ValueError: the arguments do not fit each other, or `manual` did not return gradients.

    Example:
        >>> import numpy as np
        >>> report = compare_gradients(lambda x: (x**2).sum(), np.array([1.0, 3.0]), manual=lambda x: x)
        >>> report.ok, report.diagnoses[0].kind, report.diagnoses[0].factor
        (False, 'scale', '1/2')
    """
    is_other = not isinstance(model, (Layer, list, tuple))
    if is_other and (callable(model) or is_code(model)):
        inputs = data[0] if len(data) == 1 else named.pop("inputs", None) if not data else None
        if len(data) > 1 or inputs is None or named or solver is not None:
            whole = "compare_gradients(model, x, y, solver=solver) takes a list of Layers, not a Module. "
            raise TypeError(
                (whole if isinstance(model, Module) else "") + "compare_gradients of a function takes its inputs in "
                "one tuple, dict or array, and manual=: compare_gradients(f, (x, W), manual=backward)."
            )
        return compare_function(model, inputs, manual=manual, rng=rng)
    if is_other and any(hasattr(model, n) for n in ("forward", "compute")):
        raise TypeError(
            f"compare_gradients: {type(model).__name__} has no backward. An object needs forward(x), which returns the "
            "result, and backward(dout), which returns dx and sets self.dW; or give manual=, and model.forward first."
        )
    if is_other:
        raise TypeError(
            f"compare_gradients: {type(model).__name__} has no forward and backward. If its methods have other names, "
            "pass both: compare_gradients(obj.run, x, manual=obj.run_back)."
        )
    pair = (*data, *(named.pop(name) for name in ("x", "y")[len(data) :] if name in named))
    if len(pair) != 2 or named:
        raise TypeError("compare_gradients of a model needs x and y: compare_gradients(model, x, y, solver=solver).")
    return compare_model(model, *pair, solver=solver, manual=BackProp if manual is None else manual, rng=rng)


def assert_gradients_match(*args: Any, **options: Any) -> ComparisonReport:
    """Call `compare_gradients` with the same arguments, and raise unless the gradients match.

    Returns:
        The report.

    Raises:
        AssertionError: a gradient is wrong, or no mistake could show with these inputs; the message is the table.

    Example:
        >>> import numpy as np
        >>> assert_gradients_match(lambda x: (x**2).sum(), np.array([1.0, 3.0]), manual=lambda x: 2 * x).ok
        True
    """
    report = compare_gradients(*args, **options)
    if not report.ok:
        raise AssertionError(f"the gradients do not match.\n{report}")
    return report
