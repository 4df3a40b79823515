"""The first calls of a new user: what works in any form, and what each refusal says: what came, and what to write."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, nn, optim
from tinygrad_nn.nn import losses

NAMES: dict[str, Any] = {"np": np, "tg": tg, "nn": nn, "optim": optim, "Tensor": Tensor, "losses": losses}
RNG = np.random.default_rng(0)
ROWS, IMAGES = RNG.normal(size=(3, 4)), RNG.normal(size=(2, 4, 4, 6))

LAYERS = [  # layers that need no array of their own: as they have no weights, lists reached NumPy's code unconverted
    (nn.Dropout(0.5), ROWS), (nn.SpatialDropout(0.5), IMAGES), (nn.Flatten(), IMAGES), (nn.Unflatten(1, (2, 2)), ROWS),
    (nn.GLU(), ROWS), (nn.Upsample(scale_factor=2), IMAGES), (nn.ZeroPad2d(1), IMAGES), (nn.MaxPool2d(2), IMAGES),
    (nn.Threshold(0.1, 0.0), ROWS),
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
losses.mse_loss(np.ones(2), None) | TypeError | target is of dtype object | real numbers
losses.triplet_margin(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 2))) | ValueError | one negative for each entry
nn.init.he_normal(3, 2) | TypeError | the shape is 3 | (n_out, n_in)
nn.init.normal(3) | TypeError | the shape is 3
nn.init.he_normal((3, 2), dtype=int) | TypeError | dtype=int64; weights need floats | dtype=np.float64
nn.init.orthogonal((3, 2), dtype=int) | TypeError | weights need floats
nn.init.truncated_normal((3, 2), dtype=bool) | TypeError | dtype=bool; weights need floats
nn.init.xavier_uniform((3, 2), gain="relu") | TypeError | gain='relu' is a text | nn.init.calculate_gain('relu')
nn.BatchNorm1d(3)(np.ones(3)) | ValueError | takes (batch, 3) or (batch, 3, *spatial); x has shape (3,)
"""


@pytest.mark.parametrize("line", REFUSED.strip().splitlines(), ids=lambda line: line.split(" | ")[0])
def test_a_refusal_says_what_came_and_what_to_write(line: str) -> None:
    code, kind, *parts = line.split(" | ")
    with pytest.raises((TypeError, ValueError, NotImplementedError)) as caught:
        exec(code, dict(NAMES))
    assert type(caught.value).__name__ == kind, caught.value
    for part in parts:
        assert part in str(caught.value), (part, str(caught.value))
