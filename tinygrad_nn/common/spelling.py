"""Suggestions for unknown names in error messages: synonyms from other frameworks first, then similar spelling."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from inspect import signature
from typing import Any, TypeVar

import numpy as np

Called = TypeVar("Called", bound=Callable[..., Any])

# Name in other frameworks -> possible names here; `near_names` keeps those that exist in the place that was asked.
# Case, underscores, hyphens and spaces do not count, so "bce loss", "BCELoss" and "bce_loss" are the same word.
SYNONYMS: dict[str, str] = {
    # activations
    "swish":                    "silu",
    "hardswish":                "hard_swish",
    "logistic":                 "sigmoid",
    "rectifier":                "relu",
    "lrelu":                    "leaky_relu",
    "identity":                 "Identity linear",
    "activation":               "ReLU Lambda",
    # losses
    "bce":                      "binarycrossentropy BCELoss binary_cross_entropy",
    "bceloss":                  "binarycrossentropy",
    "bcewithlogits":            "BCEWithLogitsLoss binary_cross_entropy_with_logits binarycrossentropy",
    "logloss":                  "binarycrossentropy BCELoss cross_entropy",
    "ce":                       "crossentropy CrossEntropyLoss cross_entropy",
    "crossentropy":             "crossentropy CrossEntropyLoss cross_entropy",
    "categoricalcrossentropy":  "crossentropy CrossEntropyLoss cross_entropy",
    "sparsecategoricalcrossentropy": "crossentropy CrossEntropyLoss cross_entropy",
    "softmaxcrossentropy":      "softmax_crossentropy crossentropy CrossEntropyLoss cross_entropy",
    "crossentropyloss":         "crossentropy",
    "negativeloglikelihood":    "nll NLLLoss nll_loss",
    "meansquarederror":         "mse MSELoss mse_loss",
    "l2loss":                   "MSELoss mse mse_loss",
    "mseloss":                  "mse",
    "quadratic":                "mse MSELoss",
    "meanabsoluteerror":        "mae L1Loss l1_loss",
    "maeloss":                  "L1Loss mae l1_loss",
    "l1loss":                   "mae",
    "rootmeansquarederror":     "rmse",
    "kld":                      "KLDivLoss kl_div kl_divergence",
    "kullbackleiblerdivergence": "KLDivLoss kl_div kl_divergence",
    # layers
    "dense":                    "Linear Layer",
    "fc":                       "Linear",
    "fullyconnected":           "Linear Layer",
    "innerproduct":             "Linear",
    "affine":                   "Linear affine",
    "conv":                     "Conv2d",
    "convolution2d":            "Conv2d",
    "convolution1d":            "Conv1d",
    "conv2dtranspose":          "ConvTranspose2d",
    "conv1dtranspose":          "ConvTranspose1d",
    "deconv2d":                 "ConvTranspose2d",
    "maxpooling1d":             "MaxPool1d",
    "maxpooling2d":             "MaxPool2d",
    "averagepooling1d":         "AvgPool1d",
    "averagepooling2d":         "AvgPool2d",
    "meanpool":                 "AvgPool2d",
    "globalaveragepooling1d":   "AdaptiveAvgPool1d",
    "globalaveragepooling2d":   "AdaptiveAvgPool2d",
    "globalmaxpooling1d":       "AdaptiveMaxPool1d",
    "globalmaxpooling2d":       "AdaptiveMaxPool2d",
    "batchnormalization":       "BatchNorm1d BatchNorm",
    "batchnorm3d":              "BatchNorm",
    "layernormalization":       "LayerNorm",
    "groupnormalization":       "GroupNorm",
    "rmsnormalization":         "RMSNorm",
    "spatialdropout1d":         "SpatialDropout Dropout1d",
    "spatialdropout2d":         "SpatialDropout Dropout2d",
    "embed":                    "Embedding",
    "wordembedding":            "Embedding",
    "simplernn":                "RNN",
    "rnnbase":                  "RNN",
    "attention":                "MultiheadAttention MultiHeadAttention",
    "selfattention":            "MultiheadAttention MultiHeadAttention",
    "transformerlayer":         "TransformerBlock",
    "transformerencoderlayer":  "TransformerBlock",
    "reshape":                  "Flatten",
    "concatenate":              "Parallel",
    "concat":                   "Parallel concatenate",
    "model":                    "Module Sequential",
    # optimizers and their schedules
    "gd":                       "sgd SGD",
    "gradientdescent":          "sgd SGD",
    "sgdmomentum":              "momentum",
    "steplr":                   "StepDecay",
    "multisteplr":              "MultiStep",
    "exponentiallr":            "Exponential",
    "cosineannealinglr":        "Cosine",
    "cosineannealing":          "Cosine",
    "cosinedecay":              "Cosine",
    "cosineannealingwarmrestarts": "CosineRestarts",
    "reducelronplateau":        "Plateau",
    "onecyclelr":               "OneCycle",
    "linearwarmup":             "Warmup",
    "sequentiallr":             "SequentialSchedule",
    "clipgradnorm":             "clip_by_norm clip_grad_norm_",
    "clipgradvalue":            "clip_by_value clip_grad_value_",
    "clipbyglobalnorm":         "clip_by_norm",
    # options
    "lr":                       "learning_rate lr",
    "eta":                      "learning_rate",
    "alpha":                    "learning_rate alpha",
    "stepsize":                 "learning_rate step_size",
    "nepochs":                  "epochs",
    "numepochs":                "epochs",
    "nbepoch":                  "epochs",
    "maxepochs":                "epochs",
    "iterations":               "epochs steps",
    "maxiter":                  "epochs steps",
    "niter":                    "epochs steps",
    "bs":                       "batch_size",
    "batch":                    "batch_size",
    "minibatch":                "batch_size",
    "minibatchsize":            "batch_size",
    "optim":                    "optimizer",
    "optimiser":                "optimizer",
    "criterion":                "loss",
    "lossfn":                   "loss",
    "lossfunction":             "loss",
    "objective":                "loss",
    "weightdecay":              "weight_decay regularization",
    "wd":                       "weight_decay regularization",
    "l2reg":                    "regularization weight_decay",
    "regularizer":              "regularization",
    "penalty":                  "regularization method",
    "lambda":                   "lam",
    "scheduler":                "schedule",
    "lrscheduler":              "schedule",
    "lrschedule":               "schedule",
    "maxgradnorm":              "clip_norm max_norm",
    "clipnorm":                 "clip_norm",
    "gradclip":                 "clip_norm",
    "clipnormgrad":             "clip_norm",
    "gradaccumulation":         "accumulate",
    "accumulationsteps":        "accumulate",
    "gradientaccumulationsteps": "accumulate",
    "validationdata":           "x_val",
    "valdata":                  "x_val",
    "evalset":                  "x_val",
    "randomstate":              "rng seed",
    "seed":                     "rng seed",
    "generator":                "rng",
    "patience":                 "early_stopping patience",
    "verbose":                  "progress verbose",
    "callback":                 "callbacks",
    "dropoutrate":              "dropout p",
    "rate":                     "p learning_rate",
    "keepprob":                 "p dropout",
    "units":                    "n_out out_features n_hidden hidden_size",
    "filters":                  "c_out out_channels",
    "nheads":                   "heads num_heads",
    "dim":                      "axis dim",
    "keepdim":                  "keepdims",
    "learningrate":            "lr",
    "beta":                    "betas",
    "beta1":                   "betas",
    "beta2":                   "betas",
    "betas":                   "beta1",
    "mu":                      "momentum",
    "momentum":                "mu optimizer",
    "ridge":                   "l2",
    "lasso":                   "l1",
    "tikhonov":                "l2",
    "elastic":                 "elasticnet",
    "epoch":                   "epochs",
    "initializer":             "distribution",
    "init":                    "distribution",
    "activationfn":            "activation",
    "nonlinearity":            "activation",
    "infeatures":              "n_in",
    "outfeatures":             "n_out",
    "inputdim":                "n_in",
    "inputsize":               "n_in",
    "valacc":                  "val_accuracy",
    "acc":                     "accuracy",
    "zerogradients":           "zero_grad",
    "epsilon":                 "eps",
    "initialaccumulatorvalue": "initial",
    "decoupledweightdecay":    "decoupled",
    "linesearchfn":            "line_search",
    "linesearch":              "line_search_fn",
    "initial":                 "initial_accumulator_value",
    "decoupled":               "decoupled_weight_decay",
    "l2":                      "weight_decay",
    "decay":                   "weight_decay gamma",
    "lrsched":                 "schedule",
    "nhidden":                 "hidden",
    "layers":                  "hidden",
    "input":                   "data",
    "file":                    "data csv",
    "savemodel":                "save_network save_weights",
    "loadmodel":                "load_network load_weights",
    "fit":                     "train",
    "learn":                   "train fit",
    "infer":                   "predict",
    "draw":                    "graph",
    "plot":                    "graph draw",
    "explain":                 "explore compare",
    # pictures, data, and names at the top level of frameworks
    "plotmodel":                "summary draw_network draw",
    "makedot":                  "draw",
    "drawgraph":                "draw",
    "drawdot":                  "draw",
    "graph":                    "draw",
    "plotloss":                 "plot_history",
    "plotlosses":               "plot_history",
    "plottraining":             "plot_history",
    "plotcurves":               "plot_history",
    "confusionmatrix":          "cm plot_confusion",
    "plotconfusionmatrix":      "plot_confusion",
    "decisionboundary":         "plot_decision_boundary",
    "losssurface":              "plot_landscape",
    "losslandscape":            "plot_landscape",
    "traintestsplit":           "data_split",
    "randomsplit":              "data_split",
    "dataset":                  "data_loader",
    "standardscaler":           "Scaler",
    "tocategorical":            "one_hot",
    "accuracy":                 "accuracy_score",
    "f1":                       "f1_score",
    "r2":                       "r2_score",
    "variable":                 "Tensor",
    "parameter":                "Tensor Parameter",
    "gradienttape":             "grad",
    "autograd":                 "grad",
    "valueandgrad":             "value_and_grad",
    "hessianvectorproduct":     "hvp",
    "jac":                      "jacobian",
    "jit":                      "compile",
    "gradcheck":                "check_gradients gradcheck",
    "checkgrads":               "check_gradients",
    "inferencemode":            "no_grad",
    "predict":                  "Predict",
    "train":                    "TrainNN fit",
    # of Tensors
    "cat":                      "concatenate concat",
    "mm":                       "matmul",
    "bmm":                      "matmul",
    "pow":                      "power",
    "mul":                      "multiply",
    "sub":                      "subtract",
    "div":                      "divide",
    "neg":                      "negative",
    "permutedims":              "transpose permute",
    "swapdims":                 "swapaxes",
    "clamp":                    "clip clamp",
    "backwards":                "backward",
    "gradient":                 "grad",
    "stopgradient":             "stop_gradient detach",
    "tonumpy":                  "numpy data",
}  # fmt: skip

_DRAWS = "Draw with NumPy and make a Tensor of it: Tensor(np.random.default_rng(0).{draw})."
_MEMORY = "Arrays are NumPy's and stay in main memory, so there is no device to choose; leave it out."
_NUMPY = "NumPy's functions take Tensors: {code}."
# Names of other frameworks without a counterpart of the same kind here -> what to write instead.
ELSEWHERE: dict[str, str] = {
    "manual_seed":          "Pass randomness in: rng=0 to a layer, to fit and to data_loader, or model.seed(0).",
    "seed":                 "Pass randomness in: rng=0 to a layer, to fit and to data_loader, or model.seed(0).",
    "set_seed":             "Pass randomness in: rng=0 to a layer, to fit and to data_loader, or model.seed(0).",
    **dict.fromkeys(["cuda", "device", "to_device", "is_cuda", "mps", "backends", "set_default_device"], _MEMORY),
    **dict.fromkeys(["DataParallel", "DistributedDataParallel"], "There are no devices; call the model itself."),
    "randn":                _DRAWS.format(draw="normal(size=(2, 3))"),
    "rand":                 _DRAWS.format(draw="random((2, 3))"),
    "randint":              "Draw with NumPy: np.random.default_rng(0).integers(10, size=(2, 3)).",
    "randperm":             "Draw with NumPy: np.random.default_rng(0).permutation(10).",
    "from_numpy":           "Write Tensor(array), which does not copy.",
    "as_tensor":            "Write Tensor(array), which does not copy.",
    "set_default_dtype":    "A layer takes dtype=np.float32, and Tensor(array) has the dtype of the array.",
    "save":                 "Write tinygrad_nn.io.save_weights(path, model).",
    "load":                 "Write tinygrad_nn.io.load_weights(path, model).",
    "cat":                  _NUMPY.format(code="np.concatenate([t, u], axis=0)"),
    "set_grad_enabled":     "Write with tinygrad_nn.no_grad(): around code that should not be recorded.",
    "enable_grad":          "Outside of tinygrad_nn.no_grad() everything is recorded; end the block.",
}  # fmt: skip


_FILLS = "A Tensor in a graph does not change in place; fill a parameter with nn.init.{name}(parameter{more})."
ELSEWHERE |= {
    "fill_":                _FILLS.format(name="constant_", more=", 0.5") + " A constant is torch.full((2, 3), 0.5).",
    "uniform_":             _FILLS.format(name="uniform_", more=", -0.1, 0.1"),
    "normal_":              _FILLS.format(name="normal_", more=", 0.0, 0.01"),
    "zero_":                _FILLS.format(name="zeros_", more="") + " Clear a gradient with t.grad = None.",
    "copy_":                "A Tensor in a graph does not change in place; a leaf gets new numbers by t.data = array.",
    "grad_fn":              "The operation that made it is t.node.primitive, None for a leaf; see t.is_leaf.",
    "is_cuda":              _MEMORY,
    **dict.fromkeys(["indices", "values"], "As in NumPy, t.max(axis=1) and t.sort() return no pairs: write "
                    "t.argmax(axis=1) or np.argsort(t), or torch.max(t, 1) and torch.sort(t)."),
    **dict.fromkeys(["scatter", "scatter_", "scatter_add", "scatter_add_", "index_add", "index_add_", "index_copy_",
                     "index_fill", "index_fill_", "masked_scatter", "masked_fill_", "put_", "set_"],
                    "Write t.at[index].set(values) or t.at[index].add(values), which make a new Tensor."),
    **dict.fromkeys(["TransformerDecoderLayer", "TransformerDecoder", "Transformer"],
                    "Write a Module of nn.MultiheadAttention, nn.LayerNorm and nn.Linear."),
    **dict.fromkeys(["half", "bfloat16"], "Write t.astype(np.float32), or leave it out."),
}  # fmt: skip


def numpy_hint(name: str) -> str:
    """Return a sentence with NumPy's function of this name, which also takes Tensors, or an empty string.

    Example:
        >>> numpy_hint("median"), numpy_hint("svd"), numpy_hint("float64")
        ("NumPy's functions take Tensors: np.median.", "NumPy's functions take Tensors: np.linalg.svd.", '')
    """
    for place, module in (("np", np), ("np.linalg", np.linalg)):
        found = vars(module).get(name)
        if callable(found) and not isinstance(found, type):
            return _NUMPY.format(code=f"{place}.{name}")
    return ""

# Methods and attributes that models have in other frameworks -> what to write here.
OF_MODELS: dict[str, str] = {
    **ELSEWHERE,
    "add":       "Write model.append(nn.Linear(4, 3)).",
    "fit":       "Train with tinygrad_nn.fit(model, x, y, solver=Solver('mse', 'adam'), "
                 "settings=Settings(20, 16)).",
    "compile":   "Loss and optimizer are arguments of fit: fit(model, x, y, solver=Solver('mse', 'adam', 0.01), "
                 "settings=Settings(20, 16)); tinygrad_nn.compile(function) is about speed.",
    "predict":   "Write model.eval()(x), or tinygrad_nn.Predict(model, x) for an array in batches.",
    "evaluate":  "Write loss(model.eval()(x), y), with loss = nn.MSELoss() or another.",
    "score":     "Write tinygrad_nn.accuracy_score(labels, model.eval()(x).data.argmax(axis=1)).",
    "summary":   "Write tinygrad_nn.viz.summary(model, x).",
    "save_weights": "Write tinygrad_nn.io.save_weights(path, model).",
    "load_weights": "Write tinygrad_nn.io.load_weights(path, model).",
    "get_weights":  "Write model.state_dict(), arrays by name, or model.parameters().",
    "set_weights":  "Write model.load_state_dict(arrays_by_name).",
    **dict.fromkeys(["weights", "variables", "trainable_variables", "trainable_weights", "params"],
                    "Write model.parameters(), or model.named_parameters() with their names."),
    "layers":    "Write list(model.children()), or model.named_modules() for parts of parts.",
    **dict.fromkeys(["count_params", "num_parameters", "num_params"],
                    "Write sum(p.size for p in model.parameters())."),
    "backward":  "Call backward on a loss, not a model: loss = nn.MSELoss()(model(x), y), then loss.backward().",
    "half":      "Write model.float(), for float32; float16 has too few digits to train with.",
    "reset_parameters":    "Create the model, or this part of it, again; nn.init fills single parameters.",
    "reset_running_stats": "Create the layer again, or load its statistics from an earlier state_dict().",
    "get_parameter":       "Write dict(model.named_parameters())[path].",
    "get_buffer":          "Write dict(model.named_buffers())[path].",
    "step":      "Use an optimizer: opt = optim.SGD(model.parameters(), lr=0.1); opt.step() after loss.backward().",
    "grad":      "Each parameter has one: for name, p in model.named_parameters(): p.grad.",
    "shape":     "Parameters have shapes: {name: p.shape for name, p in model.named_parameters()}.",
}  # fmt: skip


def near_names(name: str, known: Iterable[str], limit: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return the known names that the user may have meant by an unknown one, the best first.

    Args:
        name: the unknown name.
        known: the names that exist.
        limit: the largest number of names to return.
        cutoff: how similar the spelling must be, from 0 to 1, as for `difflib.get_close_matches`.

    Example:
        >>> near_names("swish", ["relu", "silu"]), near_names("Conv2D", ["Conv1d", "Conv2d"]), near_names("x", ["relu"])
        (['silu'], ['Conv2d'], [])
    """
    return list(_near_names(str(name), tuple(map(str, known)), limit, cutoff))


@lru_cache(maxsize=512)  # so that a loop with hasattr(t, "toarray") does not search each time
def _near_names(name: str, known: tuple[str, ...], limit: int, cutoff: float) -> tuple[str, ...]:
    word = _folded(name)
    if not word:
        return ()
    words: dict[str, list[str]] = {}
    for each in known:
        words.setdefault(_folded(each), []).append(each)
    meant = [word, *map(_folded, SYNONYMS.get(word, "").split())]
    found = [each for one in meant for each in words.get(one, ())]
    if not found:
        from difflib import get_close_matches

        found = [each for one in get_close_matches(word, words, n=limit, cutoff=cutoff) for each in words[one]]
    found.sort(key=lambda each: name[0].isupper() != each[0].isupper())  # suggest classes first for a class name
    return tuple(dict.fromkeys(found))[:limit]


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return " Did you mean 'silu'?" with the nearest of the known names, or an empty string if none is near.

    Example:
        >>> did_you_mean("swish", ["relu", "silu"])
        " Did you mean 'silu'?"
    """
    near = near_names(name, known, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


def no_attribute(
    owner: str, name: str, known: Iterable[str], elsewhere: Mapping[str, str] = ELSEWHERE
) -> AttributeError:
    """Return the error for an attribute that does not exist; it says what to write instead, or the nearest name.

    Args:
        owner: how the message names the module or object, such as ``"module 'tinygrad_nn.nn'"``.
        name: the attribute that was asked for.
        known: the names of the existing attributes.
        elsewhere: names without a counterpart of the same kind here -> what to write instead.

    Example:
        >>> no_attribute("module 'tinygrad_nn.nn'", "Dense", ["Linear", "Dropout"])
        AttributeError("module 'tinygrad_nn.nn' has no attribute 'Dense'; did you mean 'Linear'?")
    """
    text = f"{owner} has no attribute {name!r}"
    if name.startswith("__"):  # Python and NumPy look such names up on every object
        return AttributeError(text)
    known = [each for each in known if each[0] != "_"]
    if name in elsewhere:
        return AttributeError(f"{text}. {elsewhere[name]}")
    if name[-1] == "_" and name[:-1] in known:
        return AttributeError(
            f"{text}. A Tensor in a graph does not change in place: use what {name[:-1]}(...) returns, or change a "
            "leaf inside `with no_grad():`."
        )
    if owner == "a Tensor" and (hint := numpy_hint(name)):
        return AttributeError(f"{text}. {hint}")
    near = near_names(name, known)
    return AttributeError(text + (f"; did you mean {near[0]!r}?" if near else ""))


def named_options(elsewhere: Mapping[str, str] | None = None, /, **needed: str) -> Callable[[Called], Called]:
    """Return a decorator that makes a function or class suggest the right name for an unknown keyword.

    Args:
        elsewhere: options that belong to another function -> a sentence that says where they are given.
        **needed: options that must be given -> an example of how to write them.

    Returns:
        The decorator.

    Raises:
        TypeError: (from a call) an option is not known, or a needed one is missing.

    Example:
        >>> @named_options({"epochs": "Settings(epochs=20) has it."})
        ... def train(model, learning_rate=0.1): ...
        >>> train(None, lr=0.5)
        Traceback (most recent call last):
            ...
        TypeError: train has no option 'lr'. Did you mean 'learning_rate'? It takes model, learning_rate.
    """
    there = elsewhere or {}

    def extend(called: Called) -> Called:
        made = isinstance(called, type)
        function: Any = vars(called)["__init__"] if made else called
        parameters = list(signature(function).parameters.values())[made:]
        takes = [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        known = frozenset(takes)

        @wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            name = type(args[0]).__name__ if made else called.__name__
            if not options.keys() <= known:
                raise no_option(name, next(key for key in options if key not in known), takes, there)
            for key, text in needed.items():
                if key not in options:
                    raise TypeError(f"{name} needs {key}=; write {text}.")
            return function(*args, **options)

        changed: Any = called
        if not made:
            changed = call
        else:
            changed.__init__ = call
        result: Called = changed
        return result

    return extend


def no_option(call: str, name: str, known: Sequence[str], elsewhere: Mapping[str, str]) -> TypeError:
    """Return the error for an option that a call does not have; it says where it belongs, or the nearest name.

    Example:
        >>> no_option("Settings", "lr", ["epochs"], {"learning_rate": "Solver has it."})
        TypeError("Settings has no option 'lr'. Solver has it. It takes epochs.")
    """
    (near,) = near_names(name, [*known, *elsewhere]) or [""]
    hint = f" {elsewhere[near]}" if near in elsewhere else f" Did you mean {near!r}?" if near else ""
    return TypeError(f"{call} has no option {name!r}.{hint} It takes {', '.join(known) or 'none'}.")


def _folded(name: str) -> str:
    return "".join(c for c in name.lower() if c not in "_- ")
