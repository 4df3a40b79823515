"""The first calls of a new user: what works in any form, and what each refusal says: what came, and what to write."""

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import tinygrad_nn as tg
import tinygrad_nn.pytorch as torch
from tinygrad_nn import Tensor, io, nn, optim, viz
from tinygrad_nn.nn import losses
from tinygrad_nn.sklearn import NeuralClassifier

NAMES: dict[str, Any] = {
    "np": np, "tg": tg, "nn": nn, "optim": optim, "Tensor": Tensor, "losses": losses, "viz": viz, "torch": torch,
    "io": io, "NeuralClassifier": NeuralClassifier, "scipy": scipy,
    "hidden": np.ma.masked_array([1.0, 2.0], [True, False]),
}  # fmt: skip
RNG = np.random.default_rng(0)
ROWS, IMAGES = RNG.normal(size=(3, 4)), RNG.normal(size=(2, 4, 4, 6))

LAYERS = [  # layers that need no array of their own: as they have no weights, lists reached NumPy's code unconverted
    (nn.Dropout(0.5), ROWS), (nn.SpatialDropout(0.5), IMAGES), (nn.Flatten(), IMAGES), (nn.Unflatten(1, (2, 2)), ROWS),
    (nn.GLU(), ROWS), (nn.Upsample(scale_factor=2), IMAGES), (nn.PixelShuffle(2), IMAGES), (nn.ZeroPad2d(1), IMAGES),
    (nn.MaxPool2d(2), IMAGES), (nn.Threshold(0.1, 0.0), ROWS),
    *((getattr(nn, name)(), ROWS) for name in (
        "ReLU", "GELU", "CELU", "ELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid",
        "LogSoftmax", "Mish", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Softmin", "Softplus", "Softshrink",
        "Softsign", "Tanh", "Tanhshrink")),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "x"), LAYERS, ids=lambda value: str(value) if isinstance(value, nn.Module) else "")
def test_a_layer_takes_lists_and_tables_as_arrays(layer: nn.Module, x: Any) -> None:
    def called(given: Any) -> Any:
        layer.seed(0)
        return layer(given)

    for given in [x.tolist(), *([pd.DataFrame(x)] if x.ndim == 2 else [])]:
        np.testing.assert_array_equal(called(given), called(x))


@pytest.mark.parametrize("name", ["sigmoid", "softmax", "gelu", "elu", "leaky_relu", "log_softmax", "silu", "glu"])
def test_a_function_takes_a_list_as_an_array(name: str) -> None:
    function = getattr(nn, name)
    np.testing.assert_array_equal(function(ROWS.tolist()), function(ROWS))
    np.testing.assert_array_equal(function(tuple(ROWS[0])), function(ROWS[0]))


def test_a_function_of_layers_takes_lists_as_arrays() -> None:
    F = nn.functional
    weight = RNG.normal(size=(2, 4))
    np.testing.assert_array_equal(F.linear(ROWS.tolist(), weight.tolist()), F.linear(ROWS, weight))
    np.testing.assert_array_equal(F.layer_norm(ROWS.tolist(), 4), F.layer_norm(ROWS, 4))
    np.testing.assert_array_equal(F.max_pool2d(IMAGES.tolist(), 2), F.max_pool2d(IMAGES, 2))
    np.testing.assert_array_equal(F.pad(x=ROWS.tolist(), pad=(1, 1)), F.pad(ROWS, (1, 1)))


def test_upsample_takes_a_size_first_as_pytorch_does() -> None:
    np.testing.assert_array_equal(nn.Upsample((8, 12))(IMAGES), nn.Upsample(scale_factor=2)(IMAGES))
    assert repr(nn.Upsample(8)) == "Upsample(size=8)"


def test_losses_take_lists_integers_and_tables() -> None:
    x, y = np.array([[0.5, 0.25], [0.75, 0.5]]), np.array([[1, 0], [0, 1]])
    for name in ("mae", "mse", "rmse", "binarycrossentropy", "crossentropy", "mse_loss", "l1_loss"):
        loss = getattr(losses, name)
        for given in (x.tolist(), y.tolist()), (pd.DataFrame(x), pd.DataFrame(y)), (x, y):
            rounding = 4 * np.finfo(float).eps  # in a table four values are added in another order
            np.testing.assert_allclose(loss(*given), loss(x, y.astype(float)), rtol=rounding, err_msg=name)


def test_complex_and_integer_rows_reach_a_flatten_unchanged() -> None:
    for dtype in (complex, int):
        assert nn.Flatten()(np.ones((2, 3, 4), dtype)).dtype == dtype


class Sums(nn.Linear):
    """A layer of two inputs."""

    def __init__(self) -> None:
        super().__init__(2, 2)

    def forward(self, a: Any, b: Any) -> Any:
        return super().forward(a) + b


def fitted(x: Any, loss: str | None = "mse", model: Any = None, **options: Any) -> Any:
    """Train a model, by default a linear layer, for an epoch."""
    solver, settings = tg.Solver(loss, "sgd", 0.01), tg.Settings(1, 4)
    if isinstance(model, nn.Module):
        model = nn.Sequential(nn.Linear(2, 1), model)
    return tg.fit(model or nn.Linear(2, 1, rng=0), x, x[:, :1], solver=solver, settings=settings, **options)


def test_a_minimizer_takes_named_parameters_and_shows_itself() -> None:
    layer = nn.Linear(2, 1, rng=0)
    minimizer = optim.Minimizer(layer.named_parameters(), "momentum", 0.5)
    before = layer.weight.data
    minimizer.step(lambda: (layer.weight * layer.weight).sum())
    np.testing.assert_array_equal(layer.weight.data, before - 0.5 * (2 * before))
    assert repr(minimizer) == "Minimizer(2 parameters, momentum(mu=0.9), 0.5)"
    groups = [{"parameters": layer.weight, "learning_rate": 0.1}, {"parameters": layer.bias}]
    assert repr(optim.Minimizer(groups, "sgd", 0.2)).count("; sgd(") == 1


@pytest.mark.parametrize("switch", [tg.no_grad, torch.no_grad, torch.inference_mode])
def test_nothing_is_recorded_in_a_function_with_or_without_brackets(switch: Any) -> None:
    def twice(t: Tensor) -> Tensor:
        return 2 * t

    for decorated in (switch(twice), switch()(twice)):
        for _ in range(2):
            assert not decorated(Tensor(1.0)).requires_grad
    assert twice(Tensor(1.0)).requires_grad
    with tg.no_grad():
        assert torch.enable_grad(twice)(Tensor(1.0)).requires_grad
        with torch.inference_mode(False):
            assert twice(Tensor(1.0)).requires_grad


def test_einsum_of_torch_takes_its_operands_in_a_list_too() -> None:
    t = Tensor(ROWS)
    for out in (torch.einsum("ij,kj->ik", t, ROWS), torch.einsum("ij,kj->ik", [t, ROWS])):
        np.testing.assert_allclose(out.data, ROWS @ ROWS.T, rtol=16 * np.finfo(float).eps)  # four products, any order
        assert out.requires_grad


def test_compile_with_options_is_a_decorator() -> None:
    @tg.compile(backend="numpy", donate=("w",))
    def step(w: Any, x: Any) -> Any:
        return w - 0.5 * x

    w = np.ones(3)
    assert step(w, np.ones(3)) is w
    np.testing.assert_array_equal(w, 0.5)


@pytest.mark.parametrize("make", [lambda w: optim.Adam([w], lr=0.1), lambda w: optim.Minimizer([w], "adam", 0.1)])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_an_optimizer_and_its_parameter_are_copied_and_pickled_together(make: Any, copied: Any) -> None:
    w = Tensor([1.0, -2.0])
    optimizer = make(w)

    def stepped(optimizer: Any, w: Tensor) -> Any:
        w.grad = 2 * w.data
        optimizer.step()
        return w.data

    stepped(optimizer, w)
    other = copied((optimizer, w))
    np.testing.assert_array_equal(stepped(*other), stepped(optimizer, w))
    assert other[1] is not w


REFUSED = """
nn.Linear(4, 3, "relu") | TypeError | bias='relu' is of type str; it needs True or False | nn.ReLU()
nn.Linear(4, 3, np.tanh) | TypeError | bias=tanh is of type ufunc | nn.ReLU()
nn.Conv2d(4, 3, 3, bias="no") | TypeError | Conv2d: bias='no' is of type str; it needs True or False
nn.Linear(2, 3)(None) | TypeError | in Linear: x is None | return
nn.Linear(2, 3)("a") | TypeError | x is of type str; a layer takes numbers | np.asarray(x, dtype=float)
nn.Linear(2, 3)(np.array([["a", "b"]])) | TypeError | x is of dtype <U1 | np.asarray(x, dtype=float)
nn.Linear(2, 3)(x for x in [1.0, 2.0]) | TypeError | x is of type generator | an array, a Tensor, or a list of rows
nn.Linear(2, 3)({"a": 1.0}) | TypeError | x is of type dict
nn.ReLU()("a") | TypeError | in ReLU: x is of type str
nn.Sequential(nn.LSTM(2, 3), nn.Linear(3, 2))(np.ones((1, 1, 2))) | TypeError | 1 Linear: x is a tuple of 2 | pair[0]
nn.AdaptiveAvgPool2d((2, 2, 2))(np.ones((1, 1, 5, 5))) | ValueError | for each spatial axis | Give 2 numbers, or one
nn.AdaptiveMaxPool((2, 2, 2))(np.ones((1, 1, 5, 5))) | ValueError | (2, 2, 2) has a number for | Give 2 numbers
nn.MaxPool([2])(np.ones((1, 1, 5, 5))) | ValueError | [2] has a number for each spatial axis | Give 2 numbers
nn.AvgPool2d((2, 2, 2))(np.ones((1, 4, 5, 5))) | ValueError | for each spatial axis | Give 2 numbers, or one
nn.Dropout("0.5") | TypeError | p='0.5' is of type str; it needs a number, e.g. p=0.5
nn.Dropout(None) | TypeError | p=None is of type NoneType
nn.Upsample() | ValueError | either the size or the scale_factor | Upsample(scale_factor=2)
nn.Upsample(scale_factor=2, align_corners=True) | NotImplementedError | pixels are repeated, not interpolated
nn.Flatten(2, 1)(np.ones((2, 3, 4))) | ValueError | joins the axes from 2 to 1, which are none | first axis first
nn.LSTM(3, 5)(np.ones((2, 4, 3)), np.zeros((1, 4, 5))) | ValueError | (h_0, c_0); it got an array of shape (1, 4, 5)
nn.LSTMCell(3, 5)(np.ones((2, 3)), np.ones((2, 5))) | ValueError | LSTMCell: LSTMCell(3, 5) starts from a pair (h, c)
nn.LSTMCell(3, 5)(np.ones((2, 3)), (1, 2, 3)) | ValueError | it got a tuple of 3
losses.mse(np.ones((2, 1)), np.ones(2)) | ValueError | prediction has (2, 1), target has (2,) | target.reshape(2, 1)
losses.mse(np.ones(2), np.ones((2, 1))) | ValueError | prediction has (2,), target has (2, 1) | reshape(2, 1)
losses.mae(Tensor(np.ones((2, 3))), np.ones(3)) | ValueError | mae needs two arrays of the same shape
losses.rmse(Tensor(np.ones((2, 1))), np.ones(2)) | ValueError | rmse needs two arrays of the same shape
losses.mse(Tensor(1.0), 2) | ValueError | mse divides by the number of rows | Pass arrays: [x] and [y]
losses.binarycrossentropy(np.ones((2, 1)) / 2, np.ones(2)) | ValueError | target.reshape(2, 1)
losses.crossentropy(np.ones((2, 3)) / 3, np.array([0, 2])) | ValueError | target has (2,) | one_hot(target, 3)
losses.cross_entropy(np.ones((2, 3)), None) | TypeError | target is None | a class number for each row
losses.cross_entropy(np.ones((2, 3)), [0, 1], weight="balanced") | TypeError | weight is of dtype <U8 | real numbers
losses.cross_entropy(np.ones(3), [0]) | ValueError | target has (1,) | target.reshape(())
losses.mse_loss(np.ones(2), None) | TypeError | target is None | return
losses.mse_loss(np.ones(2), ["a", "b"]) | TypeError | target is of dtype <U1; a loss needs real numbers
losses.triplet_margin(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 2))) | ValueError | one negative for each entry
nn.init.he_normal(3, 2) | TypeError | the shape is 3 | (n_out, n_in)
nn.init.normal(3) | TypeError | the shape is 3
nn.init.he_normal((3, 2), dtype=int) | TypeError | dtype=int64; weights need floats | dtype=np.float64
nn.init.orthogonal((3, 2), dtype=int) | TypeError | weights need floats
nn.init.truncated_normal((3, 2), dtype=bool) | TypeError | dtype=bool; weights need floats
nn.init.xavier_uniform((3, 2), gain="relu") | TypeError | gain='relu' is a text | nn.init.calculate_gain('relu')
optim.Minimizer([w], "sgd", 0.1, optim.Cosine) | TypeError | schedule=Cosine is a class | optim.Cosine(100)
optim.Minimizer(nn.Linear(2, 2), "sgd", 0.1) | TypeError | this is a model | Minimizer(model.parameters(), 'adam', 0.01)
optim.Minimizer([{"params": [w]}], "sgd", 0.1) | TypeError | a group has no 'parameters', only 'params' | instead of
optim.SGD([{"parameters": [w]}], lr=0.1) | TypeError | a group has no 'params', only 'parameters' | Write 'params'
optim.Minimizer([{"parameters": [w], "lr": 0.1}], "sgd") | TypeError | no hyper-parameter 'lr' | Write 'learning_rate'
optim.Minimizer([w]).step((w * w).sum()) | TypeError | it got a loss, and takes gradients | step(lambda: loss(x))
optim.Minimizer([w]).step(3) | TypeError | it got 3 of type int | a list with an array or None for each parameter
optim.Minimizer([w]).step({"w": np.ones(2)}) | TypeError | of type dict; pass a list
optim.Minimizer([w]).step(lambda: None) | TypeError | the function returned None | return loss
optim.Minimizer([w]).step(lambda: 3.0) | ValueError | does not depend on any parameter | return it as a Tensor
optim.Minimizer([w]).step(lambda: np.ones(2)) | TypeError | returned an array of shape (2,); it must return the loss
optim.Minimizer([w], "lbfgs").step(lambda: None) | TypeError | the function returned None
optim.LBFGS([w]).step(lambda: None) | TypeError | the function returned None | return loss
optim.MultiStep(5, 0.5) | ValueError | milestones=5; it must be a list of steps, e.g. (30, 80)
optim.SequentialSchedule([optim.Cosine(3), optim.Cosine(3)], 5) | ValueError | milestones=5; it must be a list of steps
optim.lr_scheduler.MultiStepLR(optim.Adam([w]), 3) | ValueError | milestones=3; it must be a list of steps
optim.Plateau()(0.1, 3) | TypeError | it got 0.1; the rate depends on metrics | minimizer.observe(metric)
optim.Minimizer([w], "sgd", 0.1, optim.Plateau()).observe("a") | TypeError | the metric is 'a'; it needs one number
optim.orthogonal(np.ones(3)) | ValueError | takes a matrix; G has shape (3,) | G.reshape(len(G), -1)
fit(x, checkpoint=3) | TypeError | checkpoint=3 is of type int; it needs a folder
fit(x, resume="run") | TypeError | resume='run' is of type str; it needs True or False | checkpoint='run', resume=True
fit(x, metrics={"mae": "mae"}) | TypeError | the metric 'mae' is 'mae' | lambda y, prediction
fit(x, loss="binarycrossentropy") | ValueError | for a regression use 'mse'
viz.draw(w * w, depth="0") | ValueError | depth='0'; it must be the number of nested scopes to show
viz.draw(w * w, names=["a"]) | TypeError | names=['a']; it needs a dict of the values by name | names={'x': x}
viz.draw(w * w, names="loss") | TypeError | names='loss'; it needs a dict
viz.plot_activation("tanh") | TypeError | takes a function, such as np.tanh; it got 'tanh' | nn.activation('tanh')
viz.plot_activation(np.tanh, 5) | TypeError | ax=5 is of type int; it needs Matplotlib axes | plt.subplots()
viz.save_figure(3, "h.png") | TypeError | it got 3 of type int | save_figure(plot_history(history), 'history.png')
viz.plot_decision_boundary(lambda r: r[:, 0], x, ["a"] * 8) | TypeError | y is of dtype <U1 | tinygrad_nn.one_hot(y)
viz.plot_landscape(lambda m: x, nn.Linear(2, 1)) | TypeError | returns its loss, one number | shape (8, 2)
viz.plot_landscape(lambda m: None, nn.Linear(2, 1)) | TypeError | returns its loss, one number; it returned None
viz.explain_error(3) | TypeError | takes an exception | it got 3 of type int
viz.explore(lambda t: t * t, 3.0, "page.html") | TypeError | comes before the arguments | explore(f, 'page.html'
viz.Record("log").add(3) | TypeError | 3 of type int has no parameters | record.add(model, loss)
tg.grad(w)(1.0) | TypeError | a derivative is taken of a function; this is one array | loss.backward()
tg.grad(3.0)(1.0) | TypeError | this is one float | grad(lambda w: loss(w))(w)
tg.jacobian(None)(1.0) | TypeError | a derivative is taken of a function; this is None
tg.grad(lambda a, b: a * b)(a=1.0, b=2.0) | ValueError | called with 0 positional arguments | argnums='a'
tg.grad(np.sin, 1)(1.0) | ValueError | called with 1 positional argument. Pass the argument by position.
tg.vmap(3)(x) | TypeError | vmap takes a function of one sample; it got 3 of type int
tg.compile(3) | TypeError | compile takes a function; it got 3 of type int | compile(step)(w, x)
tg.compile(lambda a, b: a, donate=0) | TypeError | donate=0; it needs a tuple of positions or names, donate=(0,)
tg.compile(lambda a, b: a, donate="a") | TypeError | donate=('a',)
tg.compile(lambda a, b: a, donate=(5,)) | ValueError | 5 is no argument of the function; it has a, b
tg.compile(lambda a, b: a, donate=(-1,)) | ValueError | positions counted from 0
tg.compile(lambda a, b: a, donate=("c",)) | ValueError | 'c' is no argument of the function; it has a, b
tg.supported(np.sin) | TypeError | takes the name of a function | supported('np.sin')
tg.no_grad(3) | TypeError | no_grad takes a function or nothing; it got 3 | with no_grad()
torch.cat(w, w) | TypeError | takes the Tensors in a list | torch.cat([x, y])
torch.stack(w, w) | TypeError | takes the Tensors in a list | torch.stack([x, y])
torch.topk(w, 9) | ValueError | k=9; axis -1 of shape (2,) has 2 entries
torch.tensor([1, 2], requires_grad=True) | TypeError | needs floats; these numbers are of dtype int64
torch.zeros(2, dtype=torch.long, requires_grad=True) | TypeError | requires_grad=True needs floats
torch.nn.functional.pad(w, (1,)) | ValueError | pad=(1,) | two numbers per axis
Tensor(x).sum(1, True) | TypeError | dtype=True; it needs a dtype | keepdims=True
Tensor(x).mean(1, True) | TypeError | keepdims=True
io.save_weights(nn.Linear(2, 1), "w.safetensors") | TypeError | The path comes first: save_weights(path, model)
io.save_weights("w.safetensors", [tg.Layer(2, 1)]) | TypeError | a str and a list | nn.Sequential(*layers)
io.load_weights(nn.Linear(2, 1), "w.safetensors") | TypeError | The path comes first: load_weights(path, model)
io.load_weights("w.safetensors", None) | TypeError | a str and a NoneType. Write load_weights(path, model)
io.load_weights("w.safetensors", nn.Linear(2, 1), rename="ges") | ValueError | rename='ges'; it must be 'guess'
io.save_onnx(nn.Linear(2, 1), np.ones((1, 2)), dtype="int") | TypeError | dtype=int64; it needs a dtype of floats
io.save_onnx(nn.Linear(2, 1), (1, 2)) | ValueError | A tuple contains an array for each argument
io.load_onnx("none.onnx") | FileNotFoundError | none.onnx: no such file in | Correct the path
NeuralClassifier(class_weight={"a": 2}).fit(x, x[:, 0] > 0) | ValueError | ['a'], which are not in y; it has
NeuralClassifier(early_stopping=True, validation_fraction=2).fit(x, x[:, 0] > 0) | ValueError | validation_fraction=2
tg.polygamma(1, np.ones(2)) | ValueError | The argument comes first here | special.polygamma(order, x)
tg.affine(Tensor(1.0), Tensor([[1.0]]), 0.0) | ValueError | x has shape (), W has shape (1, 1)
tg.affine(np.array([["a"]]), Tensor([[1.0]]), 0.0) | TypeError | affine takes numbers; it got an array of dtype <U1
tg.implicit.root(lambda x, a: x - a, lambda a: None)(1.0) | TypeError | the solver returned None; it must return
tg.implicit.root(lambda x, a: x - a, lambda a: "a")(1.0) | TypeError | the solver returned 'a'
tg.sparse.solve([2.0, 4.0], ([0, 1], [0, 1]), 2, [1, 1]) | ValueError | shape=2; it needs the numbers of rows and
tg.sparse.matmul([2.0, 4.0], ([0, 1], [0, 1]), 2, [1, 1]) | ValueError | sparse.matmul: shape=2
tg.sparse.solve([2.0, 4.0], 3, (2, 2), [1, 1]) | ValueError | the positions as a pair, (rows, cols); it got 3
tg.check_primitive("sinn") | ValueError | no primitive is named 'sinn'; names like it are sin
tg.check_primitive(np.sin) | ValueError | names like it are sin
tg.compare_gradients(nn.Linear(2, 1), x, x, solver=tg.Solver("mse")) | TypeError | takes a list of Layers, not a Module
fit(x, model=nn.Lambda(lambda x: None)) | TypeError | the model returned None; write return at the end
fit(x, model=lambda p, x, y: None, loss=None, params={"W": np.zeros(2)}) | TypeError | returned None; write return loss
w.register_hook(3) | TypeError | takes a function of the gradient; it got 3 of type int
tg.grad(np.sum)([1.0, 2.0]) | TypeError | A list that is an argument of grad stays a list | grad(f)(np.array(x))
optim.averaged(optim.Minimizer([w]), "world").step((w * w).sum(), rows=2) | TypeError | it got a loss
optim.averaged(optim.Minimizer([w]), "world").step(lambda: None, rows=2) | TypeError | the function returned None
optim.averaged(optim.Minimizer([w]), "world").step(lambda: (w * w).sum(), rows=-1) | ValueError | rows=-1; it needs
Tensor(x, "x") | TypeError | Tensor: requires_grad='x' is of type str | Tensor(data, name='x', dtype=float)
Tensor(x, float) | TypeError | requires_grad=float is of type type; it needs True or False | dtype=float
Tensor(2, 3) | TypeError | requires_grad=3 is of type int; it needs True or False. | of a shape are np.zeros((2, 3))
Tensor([hidden]) | TypeError | 1 of the 2 entries of this masked array are masked
Tensor([[1.0], (np.ma.masked,)]) | TypeError | 1 of the 1 entries of this masked array are masked
w + [np.ma.masked_array(1.0, True), 1.0] | TypeError | entries of this masked array are masked
np.concatenate(w, w) | TypeError | takes the arrays in a list, not one by one. Write np.concatenate([x, y])
np.stack(w, np.ones(2)) | TypeError | takes the arrays in a list, not one by one. Write np.stack([x, y])
nn.Linear(3, 2, rng="a") | TypeError | rng='a' is of type str; it needs a seed, rng=0, or a generator | default_rng(0)
nn.functional.dropout(w, 0.5, rng=1.5) | TypeError | rng=1.5 is of type float; it needs a seed
nn.LeakyReLU("a") | TypeError | LeakyReLU: negative_slope='a' is of type str; it needs a number, e.g. negative_slope
nn.Flatten("a") | TypeError | Flatten: start='a' is of type str; it needs a whole number, e.g. start=1
nn.RMSNorm(4, eps="a") | TypeError | RMSNorm: eps='a' is of type str; it needs a number, or None
nn.Embedding(3, 4, padding_idx="a") | TypeError | padding_idx='a' is of type str; it needs a whole number, or None
nn.Unflatten("a", (2, 3)) | TypeError | dim='a' and unflattened_size=(2, 3); it needs an axis | nn.Unflatten(1, (3
nn.Unflatten(1, "a") | TypeError | dim=1 and unflattened_size='a'; it needs an axis and the lengths of the new axes
nn.ZeroPad2d("a") | TypeError | ZeroPad2d: padding='a'; it needs a whole number, or one for each side: (left, right
nn.ReflectionPad2d((1, 2)) | TypeError | ReflectionPad2d: padding=(1, 2); it needs a whole number
nn.MSELoss(reduction="a") | ValueError | MSELoss: reduction='a'; known are 'mean', 'sum', 'none'.
nn.KLDivLoss(reduction=None) | ValueError | KLDivLoss: reduction=None; known are 'mean', 'sum', 'none', 'batchmean'
tg.Predict(nn.Linear(2, 1), {}) | ValueError | Predict: x is an empty dict; pass an array with a row per sample
nn.MaxPool2d("a") | ValueError | MaxPool2d: kernel='a' must be a whole number of at least 1, or a tuple of 2
nn.AvgPool1d(2, padding=-1) | ValueError | AvgPool1d: padding=-1 must be a whole number of at least 0
nn.AdaptiveMaxPool2d((2, 0)) | ValueError | size=(2, 0) must be a whole number of at least 1
optim.SGD([w], momentum="a") | TypeError | SGD: momentum='a' is of type str; it must be a number
optim.SGD([w], maximize="a") | TypeError | SGD: maximize='a' is of type str; it needs True or False
optim.Adam([w], decoupled_weight_decay="a") | TypeError | Adam: decoupled_weight_decay='a' is of type str
optim.Adagrad([w], initial_accumulator_value=-1) | ValueError | Adagrad: initial_accumulator_value=-1; it must be
nn.Dropout(0.5, rng=True) | TypeError | rng=True is of type bool; it needs a seed
fit(scipy.sparse.csr_array(x)) | TypeError | fit: x is a csr_array; pass x.toarray().
tg.Predict(nn.Linear(2, 1), scipy.sparse.eye_array(2)) | TypeError | Predict: x is a dia_array; pass x.toarray().
fit(x, rng=-1) | ValueError | rng=-1; a seed is an integer of at least 0
tg.Predict(Sums(), (x, x)) | TypeError | The inputs came as one tuple: def forward(self, x): a, b = x
Sums()({"a": x, "b": x}) | TypeError | The inputs came as one dict: def forward(self, x): a, b = x['a'], x['b']
tg.Predict(nn.Linear(2, 1), [hidden]) | ValueError | an array of x is a masked array, and 1 of its
nn.functional.batch_norm(x, None, None) | ValueError | needs running_mean and running_var | Write training=True
optim.SGD([{"params": w, "lr": -1, "initial_lr": 1}]) | ValueError | lr=-1; | A learning rate scheduler sets it
nn.functional.layer_norm(None, 2) | TypeError | layer_norm: input is None; a layer takes numbers
nn.functional.linear(x, None) | TypeError | linear: weight is None
nn.functional.linear(x, weight="a") | TypeError | linear: weight is of type str
nn.functional.scaled_dot_product_attention(x, {}, x) | TypeError | scaled_dot_product_attention: key is of type dict
nn.functional.dropout(x, True) | TypeError | dropout: p=True is of type bool; it needs a number, e.g. p=0.5
nn.functional.dropout(x, 30) | ValueError | dropout: p=30; the dropped share must be at least 0 and | 30 % are p=0.3.
nn.functional.dropout(x, 0.5, "eval") | TypeError | dropout: training='eval' is of type str; it needs True or False
nn.functional.leaky_relu(x, None) | TypeError | leaky_relu: negative_slope=None is of type NoneType; it needs a number
nn.functional.layer_norm(x, 2, eps="1e-5") | TypeError | layer_norm: eps='1e-5' is of type str | e.g. eps=1e-05
nn.functional.huber_loss(x, x, delta=None) | TypeError | huber_loss: delta=None is of type NoneType; it needs a number
nn.LSTM(2, 3, batch_first="yes") | TypeError | LSTM: batch_first='yes' is of type str; it needs True or False
nn.LayerNorm(2, "1e-5") | TypeError | LayerNorm: eps='1e-5' is of type str; it needs a number, e.g. eps=1e-05
nn.BatchNorm1d(2, momentum="0.1") | TypeError | momentum='0.1' is of type str; it needs a number
nn.relu(None) | TypeError | relu got a NoneType that is not an array of numbers: None.
nn.sigmoid({"a": 1}) | TypeError | sigmoid got a dict that is not an array of numbers
w + "a" | TypeError | add got a str that is not an array of numbers: 'a'.
w * None | TypeError | multiply got a NoneType that is not an array of numbers: None.
optim.SGD([w], lr=None) | ValueError | SGD: lr=None; it must be a finite number of at least 0
optim.Adam(None) | TypeError | Adam: the parameters are None of type NoneType; pass model.parameters()
optim.Minimizer(0.5) | TypeError | Minimizer: the parameters are 0.5 of type float; pass model.parameters()
tg.array([hidden, hidden]) | TypeError | 1 of the 2 entries of this masked array are masked
tg.array([[w, w], [hidden, hidden]]) | TypeError | 1 of the 2 entries of this masked array are masked
nn.BatchNorm1d(3)(np.ones(3)) | ValueError | takes (batch, 3) or (batch, 3, *spatial); x has shape (3,)
"""


@pytest.mark.parametrize("line", REFUSED.strip().splitlines(), ids=lambda line: line.split(" | ")[0])
def test_a_refusal_says_what_came_and_what_to_write(line: str) -> None:
    code, kind, *parts = line.split(" | ")
    with pytest.raises((TypeError, ValueError, NotImplementedError, FloatingPointError, OSError)) as caught:
        exec(code, NAMES | {"w": Tensor([1.0, 2.0]), "x": RNG.normal(size=(8, 2)), "fit": fitted, "Sums": Sums})
    assert type(caught.value).__name__ == kind, caught.value
    for part in parts:
        assert part in str(caught.value), (part, str(caught.value))
