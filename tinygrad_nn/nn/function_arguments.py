"""The arguments of `nn.functional`: lists become arrays, other keywords are translated, and what is wrong is named."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from inspect import signature
from typing import Any

from .embedding import FIXED as OF_EMBEDDING
from .keywords import OLD_REDUCTION, RECOMPUTED, by_position, scalar_check, translate_options
from .linear import as_array
from .pool import FIXED as OF_POOLING

_WORDS = {"axis": "dim", "dim": "axis", "x": "input", "logits": "input", "prediction": "input", "input1": "x1",
          "input2": "x2", "alpha": "negative_slope", "approximation": "approximate", "W": "weight", "b": "bias",
          "kernel": "kernel_size", "log_probs": "log_prediction", "targets": "target"}  # fmt: skip
_OLD = "size_average reduce reduction"
THEN = {name: words.split() for name, words in {  # the options that PyTorch takes by position after our arguments
    "binary_cross_entropy": f"weight {_OLD}",
    "binary_cross_entropy_with_logits": f"weight {_OLD} pos_weight",
    "cross_entropy": "weight size_average ignore_index reduce reduction label_smoothing",
    "nll_loss": "weight size_average ignore_index reduce reduction",
    **dict.fromkeys(["cosine_embedding_loss", "hinge_embedding_loss", "margin_ranking_loss"], f"margin {_OLD}"),
    "ctc_loss": "blank reduction zero_infinity", "gaussian_nll_loss": "full eps reduction",
    "huber_loss": "reduction delta weight",
    "kl_div": f"{_OLD} log_target", "smooth_l1_loss": f"{_OLD} beta", "soft_margin_loss": _OLD,
    **dict.fromkeys(["l1_loss", "mse_loss"], f"{_OLD} weight"),
    "multi_margin_loss": f"p margin weight {_OLD}", "triplet_margin_loss": f"margin p eps swap {_OLD}",
    "poisson_nll_loss": "log_input full size_average eps reduce reduction",
    **dict.fromkeys(["celu", "elu", "hardsigmoid", "hardswish", "mish", "relu6", "selu", "silu"], "inplace"),
    **dict.fromkeys(["max_pool1d", "max_pool2d"], "dilation ceil_mode return_indices"),
    **dict.fromkeys(["adaptive_max_pool1d", "adaptive_max_pool2d"], "return_indices"),
    "embedding": "max_norm norm_type scale_grad_by_freq sparse", "interpolate": "recompute_scale_factor antialias",
    "normalize": "out", "scaled_dot_product_attention": "enable_gqa",
}.items()}  # fmt: skip
_WEIGHT = {"weight": (None, "write reduction='none', and take the weighted mean of the values")}
_FIXED: dict[str, Mapping[str, tuple[Any, str]]] = {  # options with a single value, see `pytorch_names`
    **{name: OLD_REDUCTION | (_WEIGHT if words[-1] == "weight" else {})
       for name, words in THEN.items() if "reduction" in words},
    "embedding": OF_EMBEDDING,
    "normalize": {"out": (None, "write y = F.normalize(x)")},
    "scaled_dot_product_attention": {"enable_gqa": (False, "write np.repeat(key, groups, axis=-3), and value alike")},
    "interpolate": {**RECOMPUTED, "antialias": (False, "smooth the image by F.avg_pool2d before it is made smaller")},
}  # fmt: skip
_ARRAYS = ("input", "x", "x1", "x2", "weight", "query", "key", "value")  # arguments without a default that are arrays


def checked_function(name: str, function: Any) -> Any:
    """Return the function of this name, which then also takes lists and other keywords, and reports what is wrong."""
    then, one = THEN.get(name, ()), OF_POOLING if "_pool" in name else _FIXED.get(name, {})
    fixed: Mapping[str, tuple[Any, str]] = {"inplace": (..., ""), **one}
    known = list(signature(function).parameters.values())
    words = {"input": known[0].name}  # losses call this argument `prediction` or `logits`
    words |= {ours: theirs for ours, theirs in _WORDS.items() if any(p.name == theirs for p in known)}
    arrays = [(k, p.name) for k, p in enumerate(known) if p.default is p.empty and p.name in _ARRAYS]
    check = scalar_check(known)

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        args, options = by_position(name, args, options, known, then)
        if options:
            options = translate_options(name, options, words, fixed, known, len(args))
        for k, word in arrays:
            if k < len(args) and not hasattr(args[k], "dtype"):
                args = (*args[:k], _as_array(name, word, args[k]), *args[k + 1 :])
            elif word in options and not hasattr(options[word], "dtype"):
                options = {**options, word: _as_array(name, word, options[word])}
        check(name, args, options)
        return function(*args, **options)

    return call


def _as_array(call: str, name: str, value: Any) -> Any:
    try:
        return as_array(value, name)
    except TypeError as error:
        raise TypeError(f"{call}: {error}") from None
