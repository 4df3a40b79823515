"""nn and nn.functional under PyTorch's names: typical calls give PyTorch's numbers and gradients."""

import json
import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference.make_nn_calls import answer, lines

import tinygrad_nn.pytorch as torch
from tinygrad_nn import Tensor, assert_gradients, nn
from tinygrad_nn.nn import functional as F

RECORDED = json.loads((Path(__file__).parent / "reference" / "nn_calls.json").read_text(encoding="utf-8"))
NAMES = {"torch": torch, "nn": nn, "F": F}


def tensor(array: Any, learned: bool) -> Tensor:
    return Tensor(np.array(array), requires_grad=learned)


def close(call: str, found: Any, wanted: Any) -> None:
    """Equal up to the eleven recorded digits; PyTorch stores the 1/6 of hardsigmoid in float32."""
    np.testing.assert_allclose(found, wanted, rtol=6e-8 if "Hardsigmoid" in call else 1e-9, atol=1e-9)


def test_each_call_is_on_record() -> None:
    assert list(RECORDED) == lines()


@pytest.mark.parametrize("call", lines())
def test_a_call_gives_the_numbers_of_pytorch(call: str) -> None:
    found, wanted = answer(NAMES, tensor, call), RECORDED[call]
    assert len(found["values"]) == len(wanted["values"])
    for mine, theirs in zip(found["values"], wanted["values"], strict=True):
        close(call, mine, theirs)
    assert found["gradients"].keys() == wanted["gradients"].keys()
    for name, gradient in wanted["gradients"].items():
        close(call, found["gradients"][name], gradient)


LOG = np.log(np.full((3, 2, 4), 0.25))


# -- Options: PyTorch's words and the short ones, one mechanism


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: nn.Linear(in_features=4, units=3), TypeError, "Linear has no option 'units'. Did you mean 'n_out'?"),
        (lambda: nn.Linear(4, 3, use_bias=False), TypeError, "Did you mean 'bias'? It takes n_in, n_out, bias, rng"),
        (lambda: nn.Linear(4, 3, n_in=4), TypeError, "Linear: n_in is given twice."),
        (lambda: nn.Linear(4, 3, in_features=4), TypeError, "Linear: n_in is given twice, once as in_features."),
        (lambda: nn.Linear(4, 3, device="cuda"), NotImplementedError,
         "device='cuda' is not supported; arrays are NumPy's"),
        (lambda: nn.Conv2d(1, 2, 3, padding_mode="circular"), NotImplementedError, "np.pad(x, widths"),
        (lambda: nn.Conv2d(1, 2, kernal_size=3), TypeError, "Did you mean 'kernel_size'?"),
        (lambda: nn.MaxPool2d(2, dilation=2), NotImplementedError, "windows have no holes"),
        (lambda: nn.ConstantPad1d((1, 2, 3), 0.0), TypeError, "or one for each side: (left, right)."),
        (lambda: nn.ReflectionPad3d(1)(np.ones((2, 2))), ValueError, "pads 3 axes after the channels"),
        (lambda: nn.ConvTranspose1d(1, 1, 3, 2)(np.ones((1, 1, 4)), output_size=11), ValueError, "from (9,) to (10,)."),
        (lambda: nn.Bilinear(2, 3, 4)(np.ones((5, 2)), np.ones((6, 3))), ValueError, "it got (5, 2) and (6, 3)."),
        (lambda: F.pixel_unshuffle(np.ones((1, 1, 3, 4)), 2), ValueError, "Write F.pad(x, (0, 0, 0, 1))."),
        (lambda: F.channel_shuffle(np.ones((1, 3, 2)), 2), ValueError, "3 channels cannot be divided into 2 groups"),
        (lambda: F.avg_pool1d(np.ones((1, 1, 4)), 2, divisor_override=0), ValueError, "write what to divide by"),
        (lambda: F.ctc_loss(LOG[:, 0], [0, 1], 3, 2), ValueError, "must be a class number below 4, and not the blank"),
        (lambda: F.ctc_loss(LOG[:, 0], [2, 1], 4, 2), ValueError, "the sequences have 3 times"),
        (lambda: F.ctc_loss(LOG, [[1], [2]], [3, 3], [1]), ValueError, "one for each of the 2 sequences"),
        (lambda: F.ctc_loss(LOG, [1, 2, 3], [3, 3], [1, 1]), ValueError, "or the 2 labels of all sequences one after"),
        (lambda: F.ctc_loss(LOG, [[1.5], [2.0]], [3, 3], [1, 1]), ValueError, "Write target.astype(int)."),
        (lambda: nn.LSTM(3, 4, proj_size=2), NotImplementedError, "put a Linear after the layer"),
        (lambda: nn.LSTM(3, 4, num_layer=2), TypeError, "LSTM has no option 'num_layer'. Did you mean 'num_layers'?"),
        (lambda: nn.RNN(3, 4, num_layer=2), TypeError, "RNN has no option 'num_layer'. Did you mean 'num_layers'?"),
        (lambda: nn.Dropout(rate=0.5), TypeError, "Dropout has no option 'rate'. Did you mean 'p'?"),
        (lambda: nn.ReLU(inplce=True), TypeError, "ReLU has no option 'inplce'. It takes none."),
        (lambda: nn.Softmax(axes=1), TypeError, "Softmax has no option 'axes'. Did you mean 'axis'?"),
        (lambda: nn.CrossEntropyLoss(weights=[1.0]), TypeError, "Did you mean 'weight'?"),
        (lambda: nn.MSELoss(np.ones(2), np.ones(2)), TypeError, "called with arrays: MSELoss()(prediction, target)."),
        (lambda: nn.CrossEntropyLoss(Tensor(np.ones((1, 2))), [0]), TypeError, "CrossEntropyLoss()(prediction, target"),
        (lambda: nn.ReLU(Tensor(1.0)), TypeError,
         "ReLU is created with its options, and called with arrays: ReLU()(x)."),
        (lambda: nn.Sequential(nn.ReLU), TypeError, "a part is the class ReLU itself; create a module with brack"),
        (lambda: nn.Sequential("relu"), TypeError, "An activation by name is nn.activation('relu')."),
        (lambda: nn.Linear(25, 2)(np.ones((4, 5, 5))), ValueError, "Put nn.Flatten() before it, or pass x.reshape(4, "),
        (lambda: nn.Linear(25, 2)(np.ones((3, 4, 5, 5))), ValueError, "Put nn.Flatten(2) before it, or pass x.reshape"),
        (lambda: nn.Linear(4, 2)(np.ones((4, 5))), ValueError, "If samples are its columns, pass x.T."),
        (lambda: nn.Conv2d(3, 4, 3)(np.ones((2, 8, 9, 3))), ValueError, "channels came last: pass x.transpose(0, 3, 1"),
        (lambda: nn.Conv1d(3, 4, 3)(np.ones((2, 8, 3))), ValueError, "channels came last: pass x.transpose(0, 2, 1)"),
        (lambda: nn.Conv2d(3, 4, 3)(np.ones((3, 8, 9))), ValueError, "One image alone is x[None]."),
        (lambda: nn.Conv2d(1, 4, 3)(np.ones((5, 8, 9))), ValueError, "Images without a channel axis are x[:, None]."),
        (lambda: nn.Dropout(50), ValueError, "at least 0 and below 1. 50 % are p=0.5."),
        (lambda: nn.CrossEntropyLoss()(np.array([0, 1]), np.ones((2, 3))), ValueError, "The prediction comes first: l"),
        (lambda: nn.Linear(4, 3).fit(1, 2), AttributeError, "Train with tinygrad_nn.fit(model, x, y, solver=S"),
        (lambda: nn.Linear(4, 3).compile(), AttributeError, "Loss and optimizer are arguments of fit: fit(model, x, y"),
        (lambda: nn.Linear(4, 3).predict, AttributeError, "Write model.eval()(x), or tinygrad_nn.Predict(model, x)"),
        (lambda: nn.Linear(4, 3).trainable_variables, AttributeError, "Write model.parameters(), or model.named_param"),
        (lambda: nn.Linear(4, 3).backward(), AttributeError,
         "Call backward on a loss, not a model: loss = nn.MSELoss()(mode"),
        (lambda: F.dropout(np.ones(2), rate=0.5), TypeError, "dropout has no option 'rate'. Did you mean 'p'? It take"),
        (lambda: F.interpolate(np.ones((1, 1, 2, 2)), (3, 2)), ValueError, "a whole number of times; for (2, 2)"),
        (lambda: F.interpolate(np.ones((1, 1, 2, 2))), ValueError, "either the size or the scale_factor"),
        (lambda: F.interpolate(1, 2, mode="bicubic"), NotImplementedError, "mode='bicubic' is not supported; 'near"),
        (lambda: F.interpolate(np.ones((1, 1, 2, 2)), 4, mode="linear"), ValueError, "Write mode='bilinear'."),
        (lambda: nn.Upsample(2, mode="bicubic"), NotImplementedError, "use 'nearest', followed by a Conv2d."),
        (lambda: nn.Upsample(scale_factor=2, align_corners=False), NotImplementedError,
         "pixels are repeated, not interpolated; leave it out, or write mode='bilinear'."),
        (lambda: F.unfold(np.ones((1, 1, 2, 2)), 3), ValueError, "a window of 3 pixels does not fit into 2"),
        (lambda: F.fold(np.ones((1, 3, 4)), (3, 3), 2), ValueError, "it needs 1 x (a multiple of 4) x 4"),
        (lambda: nn.utils.rnn.pad_sequence([]), ValueError, "it needs a list of at least one"),
        (lambda: nn.utils.rnn.pack_padded_sequence, AttributeError, "mask what it filled"),
        (lambda: nn.PixelShuffle(2)(np.ones((1, 6, 2, 2))), ValueError, "needs a multiple of 4 channels; the input "),
        (lambda: nn.Parameter(Tensor(3)), TypeError, "For the shape (3,) write torch.empty(3)."),
        (lambda: Tensor([1.0]).fill_(2.0), AttributeError, "A constant is torch.full((2, 3), 0.5)."),
        (lambda: Tensor(np.ones((2, 2))).repeat((1, 3)), TypeError, "t.repeat((1, 3),) is np.tile(t, (1, 3))."),
        (lambda: Tensor(1.0).backward(create_graph=True), NotImplementedError, "t.grad is an array, without a graph."),
        (lambda: Tensor(np.ones((2, 2))).repeat(2, 1, 1), TypeError, "t.repeat(2, 1, 1) is np.tile(t, (2, 1, 1))."),
        (lambda: Tensor(np.ones((2, 2))).repeat(1, 3), TypeError, "t.repeat(1, 3) is np.tile(t, (1, 3))."),
        (lambda: nn.LSTMCell(4, 3)(np.ones((2, 5, 4))), ValueError,
         "LSTMCell(4, 3) takes (batch, 4), one time step; x has"),
        (lambda: nn.losses.bce, AttributeError, "did you mean 'binary_cross_entropy'?"),
        (lambda: nn.utils.clip_grad_norm, AttributeError, "did you mean 'clip_grad_norm_'?"),
        (lambda: F.conv2d(1, 2, strides=2), TypeError, "conv2d has no option 'strides'. Did you mean 'stride'?"),
        (lambda: nn.MSELoss(reduction="avg")([1.0], [2.0]), ValueError, "reduction='avg'; known are 'mean', 'sum'"),
        (lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True), NotImplementedError, "no row is added to keys"),
        (lambda: nn.Threshold(0.1)(np.ones(2)), TypeError, "Threshold needs a threshold and a value"),
        (lambda: nn.Parameter([1, 2]), TypeError, "Parameter takes floats; this is of dtype int64. Write data.astype"),
        (lambda: F.swish, AttributeError, "module 'tinygrad_nn.nn.functional' has no attribute 'swish'; did you mean"),
        (lambda: F.bce, AttributeError, "did you mean 'binary_cross_entropy'?"),
        (lambda: nn.init.xavier, AttributeError, "did you mean 'xavier_"),
        (lambda: nn.init.kaiming_normal_(np.ones((2, 2)), nonlinearty=1), TypeError, "Did you mean 'nonlinearity'?"),
        (lambda: nn.Linear(4, 3).wieght, AttributeError, "Linear has no attribute 'wieght'; did you mean 'weight'?"),
        (lambda: nn.Linear(4, 3).named_paramters(), AttributeError, "did you mean 'named_parameters'?"),
        (lambda: nn.Linear(4, 3).cuda(), AttributeError, "Arrays are NumPy's and stay in main memory"),
        (lambda: nn.Linear(4, 3).to("cuda:0"), RuntimeError, "there is no device 'cuda:0': arrays are NumPy's"),
        (lambda: nn.Linear(4, 3).get_submodule("fc"), AttributeError, "Linear has no part 'fc'."),
        (lambda: nn.ModuleList([nn.Tanh()])(1.0), NotImplementedError, "ModuleList only holds modules; call each"),
        (lambda: nn.Linear(4, 3).register_forward_hook(3), TypeError, "a hook is a function; this is 3 of type int"),
        (lambda: F.one_hot([0.5]), TypeError, "class numbers are integers"),
        (lambda: F.one_hot([3], 2), ValueError, "class numbers from 3 to 3 do not fit 2 classes"),
        (lambda: F.layer_norm(np.ones((2, 3)), (4,)), ValueError, "does not end in normalized_shape=(4,)"),
        (lambda: F.embedding([7], np.ones((3, 2))), ValueError, "the table has the words 0 to 2; input holds 7."),
        (lambda: F.embedding([True], np.ones((3, 2))), TypeError, "indices of words; input has dtype bool. Write"),
        (lambda: F.embedding([1.0], np.ones((3, 2))), TypeError, "indices of words; input has dtype float64. Write"),
        (lambda: F.pad(np.ones(2), (1, 1), mode="mirror"), ValueError, "modes are constant, reflect, replicate, circu"),
        (lambda: F.conv1d(np.ones((1, 1, 4)), np.ones((1, 1, 3)), padding="full"), ValueError, "known are 'same'"),
        (lambda: F.dropout(np.ones(2), 1.5), ValueError, "at least 0 and below 1"),
        (lambda: F.group_norm(np.ones((1, 3, 2)), 2), ValueError, "3 channels cannot be divided into 2 groups"),
        (lambda: F.instance_norm(np.ones((1, 3, 2)), np.ones(3)), NotImplementedError, "instance_norm(x, weight=w)"),
        (lambda: F.max_pool2d(np.ones((1, 1, 4, 4)), 2, return_indices=True), NotImplementedError, "are not returned"),
        (lambda: nn.Tanh(True), TypeError, "Tanh is created with its options, and called with arrays: Tanh()(x)."),
        (lambda: nn.GRUCell(4, 3)(np.ones(4)), ValueError, "x has shape (4,). One sample alone is x[None]."),
        (lambda: nn.Linear(4, 3).reset_parameters(), AttributeError, "Create the model, or this part of it, again"),
        (lambda: nn.Linear(4, 3).half(), AttributeError, "Write model.float(), for float32"),
        (lambda: nn.utils.parameters_to_vector, AttributeError, "Write np.concatenate([p.ravel() for p in model.par"),
        (lambda: nn.utils.weight_norm, AttributeError, "Compute the weight in forward"),
        (lambda: nn.MSELoss(size_average=False), NotImplementedError, "write reduction='mean', or reduction='sum' for"),
        (lambda: nn.L1Loss(None, False), NotImplementedError, "reduce=False is not supported; write reduction='none'"),
        (lambda: nn.L1Loss("sum"), NotImplementedError, "size_average='sum' is not supported; write reduction="),
        (lambda: F.mse_loss(X3, X3, weight=X3), NotImplementedError, "and take the weighted mean of the values"),
        (lambda: F.cross_entropy(X3, CLASSES, None, None, -100, False), NotImplementedError, "write reduction='none'"),
        (lambda: nn.InstanceNorm2d(4, 1e-5, 0.1, True, True), NotImplementedError, "track_running_stats=True is not"),
        (lambda: nn.LSTM(4, 3, 1, True, False, 0.0, False, 2), NotImplementedError, "proj_size=2 is not supported; p"),
        (lambda: nn.Embedding(4, 3, None, 1.0), NotImplementedError, "max_norm=1.0 is not supported; scale the weig"),
        (lambda: nn.Embedding(2, 2, _weight=np.eye(2)), NotImplementedError, "write nn.Embedding.from_pretrained(wei"),
        (lambda: F.scaled_dot_product_attention(X3, X3, X3, enable_gqa=True), NotImplementedError, "write np.repeat("),
        (lambda: F.normalize(X3, out=X3), NotImplementedError, "is not supported; write y = F.normalize(x)"),
        (lambda: nn.Upsample(None, 1.5, "bilinear", None, True), NotImplementedError, "give size=, from which the d"),
        (lambda: F.interpolate(X3, 2, antialias=True), NotImplementedError, "smooth the image by F.avg_pool2d before"),
        (lambda: nn.Linear(4, 3, True, "cuda"), NotImplementedError, "device='cuda' is not supported; arrays are Nu"),
        (lambda: nn.Linear(4, 3, True, None, None, 1), TypeError,
         "Linear takes at most 5 arguments by position: n_in, n_out, bias, device, dtype; it got 6."),
        (lambda: nn.GLU(1, 2), TypeError, "GLU takes at most 1 argument by position: axis; it got 2."),
        (lambda: F.softplus(X3, 1.0, 20.0, 3), TypeError, "softplus takes at most 3 arguments by position: input, "),
        (lambda: F.huber_loss(X3, X3, "sum", reduction="mean"), TypeError, "reduction is given twice, by position"),
        (lambda: nn.AvgPool2d(3, 2, 1, False, True, count_include_pad=True), TypeError, "count_include_pad is given t"),
        (lambda: nn.init.uniform_(np.ones(2), 0, 1, None, 2), TypeError, "uniform_ takes at most 4 arguments by posi"),
        (lambda: nn.init.eye_(Tensor(np.ones((2, 2, 1)))), ValueError, "eye_ fills a matrix; the shape is (2, 2, 1)"),
        (lambda: nn.init.uniform_(nn.Parameter(np.ones(2)), 2.0, 1.0), ValueError, "low=2.0 is above high=1.0; swap"),
        (lambda: nn.init.normal_(nn.Parameter(np.ones(2)), std=-1.0), ValueError, "std=-1.0; it must be at least 0."),
    ],
)  # fmt: skip
def test_an_option_that_is_not_there_says_which_is(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert text in str(caught.value)


OF_IMAGES = {  # the layers and functions whose names state how many spatial axes they take
    "MaxPool": (2,), "AvgPool": (2,), "AdaptiveAvgPool": (2,), "AdaptiveMaxPool": (2,), "InstanceNorm": (4,),
    "BatchNorm": (4,), "max_pool": (2,), "avg_pool": (2,), "adaptive_avg_pool": (2,), "adaptive_max_pool": (2,),
    "conv": (np.ones((2, 4, 1)),), "conv_transpose": (np.ones((4, 2, 1)),),
}  # fmt: skip


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("name", OF_IMAGES)
def test_one_image_without_a_batch_axis_is_refused_with_the_index_that_adds_it(name: str, axes: int) -> None:
    given = [option[(..., *[None] * (axes - 1))] if isinstance(option, np.ndarray) else option
             for option in OF_IMAGES[name]]  # fmt: skip
    if name[0].isupper():
        layer = getattr(nn, f"{name}{axes}d")(*given)
        assert repr(layer) == f"{name}{axes}d({given[0]})"
    else:
        layer = lambda x: getattr(F, f"{name}{axes}d")(x, *given)
    batch = np.ones((1, 4, *(4,) * axes))
    assert layer(batch).ndim == batch.ndim
    if (name, axes) != ("BatchNorm", 1):  # it also takes (batch, features)
        with pytest.raises(ValueError, match=rf"{axes}d.* takes .*One (series|image) alone is x\[None\]"):
            layer(batch[0])
    with pytest.raises(ValueError, match=rf"{axes}d.* takes "):
        layer(batch[..., None])


def test_a_number_that_is_called_as_the_size_in_pytorch_says_what_to_write() -> None:
    with pytest.raises(TypeError, match="not callable") as caught:
        nn.Lambda(lambda x: x.reshape(x.size(0), -1))(np.ones((2, 3)))
    assert caught.value.__notes__ == ["If it is x.size(0), write x.shape[0]: the size of an ndarray is a number."]
    assert nn.Lambda(lambda x: x.reshape(x.size(0), -1))(Tensor(np.ones((2, 3, 4)))).shape == (2, 12)


X3, CLASSES = np.cos(np.arange(12.0)).reshape(4, 3), np.array([0, 2, 1, 1])


@pytest.mark.parametrize(
    ("by_position", "by_name"),
    [
        (lambda: F.cross_entropy(X3, CLASSES, [1.0, 2.0, 3.0]),
         lambda: F.cross_entropy(X3, CLASSES, weight=[1.0, 2.0, 3.0])),
        (lambda: F.nll_loss(X3, CLASSES, [1.0, 2.0, 3.0], reduction="sum"),
         lambda: F.nll_loss(X3, CLASSES, weight=[1.0, 2.0, 3.0], reduction="sum")),
        (lambda: F.binary_cross_entropy(X3**2, X3**2, X3**4),
         lambda: F.binary_cross_entropy(X3**2, X3**2, weight=X3**4)),
        (lambda: F.binary_cross_entropy_with_logits(X3, X3**2, X3**4),
         lambda: F.binary_cross_entropy_with_logits(X3, X3**2, weight=X3**4)),
        (lambda: F.huber_loss(X3, 0 * X3, "sum", 0.5), lambda: F.huber_loss(X3, 0 * X3, reduction="sum", delta=0.5)),
        (lambda: F.instance_norm(X3[None], None, None, X3[:, 0], X3[:, 1]),
         lambda: F.instance_norm(X3[None], weight=X3[:, 0], bias=X3[:, 1])),
        (lambda: F.pad(X3, (-1, 2)), lambda: np.pad(X3[:, 1:], [(0, 0), (0, 2)])),
        (lambda: F.pad(X3, (0, 0, 1, -2), value=7.0), lambda: np.pad(X3[:2], [(1, 0), (0, 0)], constant_values=7.0)),
        (lambda: F.max_pool1d(X3[None], 2, ceil_mode=False, dilation=1), lambda: F.max_pool1d(X3[None], 2)),
        (lambda: nn.LeakyReLU(0.2, True)(X3), lambda: nn.LeakyReLU(0.2)(X3)),
        (lambda: nn.ReLU(True)(X3), lambda: nn.ReLU()(X3)),
        (lambda: nn.Hardtanh(-0.5, 0.5, False)(X3), lambda: nn.Hardtanh(-0.5, 0.5)(X3)),
    ],
)  # fmt: skip
def test_options_by_position_are_those_of_pytorch(by_position: Any, by_name: Any) -> None:
    np.testing.assert_array_equal(by_position(), by_name())


def test_functions_take_the_words_of_numpy_too() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_array_equal(F.softmax(x, axis=0), F.softmax(x, dim=0))
    np.testing.assert_array_equal(F.mse_loss(input=x, target=x + 1), F.mse_loss(x, x + 1))
    np.testing.assert_array_equal(F.leaky_relu(x, alpha=0.3), F.leaky_relu(input=x, negative_slope=0.3))


def test_layers_answer_to_the_names_of_pytorch() -> None:
    conv, lstm = nn.Conv2d(3, 8, 5), nn.LSTM(3, 5, num_layers=2, bidirectional=True)
    assert (conv.in_channels, conv.out_channels, conv.kernel_size, conv.c_in) == (3, 8, (5, 5), 3)
    assert (lstm.input_size, lstm.hidden_size, lstm.num_layers, lstm.bidirectional) == (3, 5, 2, True)
    assert nn.Linear(4, 3, device="cpu", dtype=None).out_features == 3
    assert repr(nn.LeakyReLU(0.2)) == "LeakyReLU(negative_slope=0.2)"
    assert repr(nn.Softmax(axis=1)) == repr(nn.Softmax(1)) == "Softmax(dim=1)"
    assert repr(nn.CrossEntropyLoss(reduction="sum")) == "CrossEntropyLoss(reduction='sum')"


# -- Modules


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4, rng=0), nn.Linear(4, 2, rng=1)])
        self.heads = nn.ModuleDict({"a": nn.Linear(2, 1, rng=2)})
        self.scale = nn.Parameter(np.ones(2))
        self.register_buffer("shift", Tensor(np.zeros(2)))
        self.register_buffer("scratch", np.ones(1), persistent=False)
        self.extra = nn.ParameterList([np.ones(1)])

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = F.relu(layer(x))
        return self.heads["a"](x * self.scale + self.shift)


NAMES_OF_NET = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias", "heads.a.weight",
                "heads.a.bias", "scale", "extra.0"]  # fmt: skip


def test_lists_dicts_buffers_and_parameters_are_found() -> None:
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [*NAMES_OF_NET[-2:], *NAMES_OF_NET[:-2]]  # its own first
    assert [name for name, _ in net.named_buffers()] == ["shift"]
    assert sorted(net.state_dict()) == sorted([*NAMES_OF_NET, "shift"])
    assert [name for name, _ in net.named_parameters("net", recurse=False)] == ["net.scale", "net.extra.0"]
    assert net.get_submodule("heads.a") is net.heads["a"]
    assert [type(part).__name__ for part in net.children()] == ["ModuleList", "ModuleDict"]
    other = Net()
    other.load_state_dict({**net.state_dict(), "shift": np.full(2, 3.0)})
    assert isinstance(other.shift, Tensor)
    assert not other.shift.requires_grad
    assert other.shift.tolist() == [3, 3]


def test_a_list_of_modules_is_a_list() -> None:
    parts = nn.ModuleList([nn.Tanh()])
    parts.append(np.exp).extend([nn.ReLU()])
    parts.insert(0, nn.Sigmoid())
    parts[1] = nn.GELU()
    assert repr(list(parts)) == "[Sigmoid(), GELU(), exp, ReLU()]"
    assert repr(parts[1:3]) == "ModuleList(\n  0: GELU()\n  1: exp\n)"
    assert len(parts) == 4
    named = nn.ModuleDict({"a": nn.Tanh()})
    named["b"] = nn.ReLU()
    assert (list(named), list(named.keys()), len(named), "b" in named) == (["a", "b"], ["a", "b"], 2, True)
    assert [name for name, _ in named.items()] == list(named)
    assert isinstance(next(iter(named.values())), nn.Tanh)
    for copy in (named, deepcopy(named), pickle.loads(pickle.dumps(named))):
        assert copy.b is copy["b"]
        copy.b = nn.GELU()
        assert repr([*copy.values()]) == "[Tanh(), GELU()]"
        with pytest.raises(AttributeError, match="ModuleDict has no attribute 'c'"):
            _ = copy.c
    model = nn.Sequential({"fc": nn.Linear(4, 3, rng=0)}).append(nn.ReLU())
    model.add_module("last", nn.Tanh())
    assert isinstance(model.fc, nn.Linear)
    assert list(model.attributes()) == ["fc", "1", "last"]


def test_parts_of_containers_are_replaced_and_removed() -> None:
    four = [nn.Linear(2, 2, rng=0), nn.ReLU(), nn.Linear(2, 3, rng=1), nn.Tanh()]
    model = nn.Sequential(*four)
    model[-1] = nn.Linear(3, 5, rng=2)
    assert model(np.ones((1, 2))).shape == (1, 5)
    del model[1]
    assert list(model.state_dict()) == [f"{k}.{name}" for k in range(3) for name in ("weight", "bias")]
    del model[1:]
    assert (len(model), model[0]) == (1, four[0])
    named = nn.Sequential({"body": four[0], "act": four[1], "head": four[2]})
    named[1] = np.tanh
    del named[0]
    assert [name for name, _ in named.named_children()] == ["act", "head"]

    layers = nn.ModuleList(four[:2]) + nn.ModuleList([np.tanh])
    layers += four[3:]
    del layers[0]
    assert (layers.pop(), len(layers), layers.pop(0)) == (four[3], 2, four[1])
    heads = nn.ModuleDict({"a": four[0], "b": four[1], "c": four[2]})
    del heads["b"]
    assert (heads.pop("a"), list(heads), list(heads.state_dict())) == (four[0], ["c"], ["c.weight", "c.bias"])


def test_a_state_that_is_loaded_in_part_tells_which_names_are_not_in_both() -> None:
    layer = nn.Linear(4, 3, rng=0)
    found = layer.load_state_dict({"weight": np.ones((3, 4)), "scale": np.ones(1)}, strict=False)
    assert found == (["bias"], ["scale"])
    assert (found.missing_keys, found.unexpected_keys) == (["bias"], ["scale"])
    assert repr(found) == "LoadedKeys(missing_keys=['bias'], unexpected_keys=['scale'])"
    assert repr(layer.load_state_dict(layer.state_dict())) == "<All keys matched successfully>"
    np.testing.assert_array_equal(layer.weight.data, np.ones((3, 4)))
    with pytest.raises(ValueError, match="weight has shape"):
        layer.load_state_dict({"weight": np.ones((4, 4)), "scale": np.ones(1)}, strict=False)


def test_requires_grad_freezes_one_parameter_and_the_module_still_saves_it() -> None:
    net = Net()
    net.scale.requires_grad = False
    assert not net.scale.requires_grad
    assert "scale" in net.state_dict()
    net(np.ones((3, 4))).sum().backward()
    assert net.scale.grad is None
    net.scale.requires_grad = True
    assert net.scale.is_leaf
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())
    assert all(p.requires_grad for p in net.requires_grad_().parameters())
    assert isinstance(net.scale, nn.Parameter)
    assert not isinstance(2 * net.scale, nn.Parameter)
    assert Tensor([1, 2], dtype=np.float32).requires_grad
    frozen = nn.Parameter(np.ones(2), requires_grad=False)
    assert not frozen.requires_grad
    with pytest.raises(RuntimeError, match="this Tensor was computed, so it is not a leaf; a constant with"):
        (2 * net.scale).requires_grad = False
    with pytest.raises(TypeError, match=r"gradients need floats; this Tensor has dtype int64. Write t.astype\(float\)"):
        Tensor([1, 2]).requires_grad = True


def test_a_model_is_converted_in_place() -> None:
    model = nn.Sequential(nn.Linear(4, 4, rng=0), nn.BatchNorm1d(4), nn.LSTM(4, 3, rng=0))
    assert model.float() is model
    assert {array.dtype for array in model.state_dict().values()} == {np.dtype("float32"), np.dtype("int64")}
    out, _ = model[2](model[1](model[0](np.ones((5, 4), np.float32)))[:, None])
    assert out.dtype == np.float32
    out.sum().backward()
    assert model[0].weight.grad.dtype == np.float32
    assert {p.dtype for p in model.double().parameters()} == {np.dtype(float)}
    assert model.to("cpu", np.float32).cpu()[0].weight.dtype == np.float32


def test_forward_hooks_see_and_replace_and_are_removed() -> None:
    layer, seen = nn.Linear(2, 2, rng=0), []
    first = layer.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    second = layer.register_forward_hook(lambda module, args, out: seen.append((module, args[0].copy(), out.shape)))
    x = np.ones((1, 2))
    doubled = layer(x)
    np.testing.assert_array_equal(seen[0][1], 2 * x)
    first.remove()
    with layer.register_forward_hook(lambda module, args, out: out + 100):
        assert layer(x).data.min() > 90
    second()
    second.remove()
    np.testing.assert_array_equal(layer(2 * x).data, doubled.data)
    assert len(seen) == 2


def test_backward_hooks_get_the_gradients_of_inputs_and_outputs() -> None:
    W, x = np.array([[1.0, 2.0], [3.0, 4.0]]), Tensor(np.ones((1, 2)))
    layer, seen = nn.Linear(2, 2, rng=0), []
    layer.load_state_dict({"weight": W, "bias": np.zeros(2)})
    handle = layer.register_full_backward_hook(lambda module, gin, gout: seen.append((gin, gout)))
    (layer(x) * np.array([1.0, 10.0])).sum().backward()
    np.testing.assert_array_equal(seen[0][1][0], [[1.0, 10.0]])
    np.testing.assert_array_equal(seen[0][0][0], [[31.0, 42.0]])
    handle.remove()
    layer.register_full_backward_hook(lambda module, gin, gout: (0 * gin[0],))
    layer(x).sum().backward()
    np.testing.assert_array_equal(x.grad, [[31.0, 42.0]])  # the second was made zero
    seen.clear()
    both = nn.Lambda(lambda a, b: (a * b, a + b))
    both.register_full_backward_hook(lambda module, gin, gout: seen.append((gin, gout)))
    a, b = Tensor(2.0), Tensor(3.0)
    first, second = both(a, b)
    (first + 5 * second).backward()
    assert [[float(g) for g in gs] for gs in seen[0]] == [[8.0, 7.0], [1.0, 5.0]]
    constant = nn.Linear(2, 1, rng=0)
    constant.register_full_backward_hook(lambda module, gin, gout: seen.append((gin, gout)))
    constant(np.ones((1, 2))).sum().backward()
    assert seen[1][0] == (None,)


def test_a_hook_of_a_tensor_is_removed_as_in_pytorch() -> None:
    t = Tensor(2.0)
    handle = t.register_hook(lambda g: 10 * g)
    (3 * t).backward()
    handle.remove()
    (3 * t).backward()
    assert t.grad == 33


@pytest.mark.parametrize(
    ("call", "low", "high", "std"),
    [
        (lambda t: nn.init.uniform_(t, -0.5, 0.5, rng=0), -0.5, 0.5, 12**-0.5),
        (lambda t: nn.init.uniform_(t, a=-0.5, b=0.5, rng=0), -0.5, 0.5, 12**-0.5),
        (lambda t: nn.init.normal_(t, mean=0.0, std=0.02, rng=0), -0.2, 0.2, 0.02),
        (lambda t: nn.init.xavier_uniform_(t, gain=2.0, rng=0), -0.4, 0.4, 2 * (2 / 300) ** 0.5),
        (lambda t: nn.init.xavier_normal_(t, rng=0), -1, 1, (2 / 300) ** 0.5),
        (lambda t: nn.init.kaiming_uniform_(t, nonlinearity="relu", rng=0), -1, 1, (2 / 200) ** 0.5),
        (lambda t: nn.init.kaiming_uniform_(t, a=5**0.5, rng=0), -(200**-0.5), 200**-0.5, (1 / 600) ** 0.5),
        (lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="tanh", rng=0), -1, 1, 5 / 3 / 10),
        (lambda t: nn.init.trunc_normal_(t, std=0.02, a=-0.04, b=0.04, rng=0), -0.04, 0.04, 0.88 * 0.02),
        (lambda t: nn.init.orthogonal_(t, gain=3.0, rng=0), -3, 3, 3 / 200**0.5),
        (lambda t: nn.init.constant_(t, 0.3), 0.3, 0.3, 0),
        (lambda t: nn.init.zeros_(t), 0, 0, 0),
        (lambda t: nn.init.ones_(t), 1, 1, 0),
    ],
)  # fmt: skip
def test_a_parameter_is_filled_in_place(call: Any, low: float, high: float, std: float) -> None:
    for weight in (nn.Linear(200, 100, rng=0).weight, np.ones((100, 200))):
        assert call(weight) is weight
        numbers = np.asarray(getattr(weight, "data", weight))
        assert low <= numbers.min() <= numbers.max() <= high
        assert abs(numbers.std() - std) < 0.03 * max(std, 1e-9)  # six standard errors of 20,000 draws
    assert nn.init.eye_(np.ones((2, 2))).tolist() == [[1, 0], [0, 1]]
    assert nn.init.calculate_gain("leaky_relu", 2.0) == 0.4**0.5
    with pytest.raises(ValueError, match="unknown nonlinearity 'swish'"):
        nn.init.calculate_gain("swish")


def test_dropout_as_a_function_draws_from_its_own_generator() -> None:
    x = np.ones(1000)
    kept = F.dropout(x, 0.25, rng=0)
    assert set(np.unique(kept).round(6)) == {0, 1.333333}
    np.testing.assert_array_equal(kept, F.dropout(x, 0.25, rng=np.random.default_rng(0)))
    assert F.dropout(x, 0.25, training=False) is x
    q = np.random.default_rng(0).normal(size=(2, 4, 3))
    assert not np.array_equal(F.scaled_dot_product_attention(q, q, q, dropout_p=0.5, rng=0),
                              F.scaled_dot_product_attention(q, q, q))  # fmt: skip


def test_batch_norm_as_a_function_moves_the_statistics_in_place() -> None:
    x, mean, var = np.random.default_rng(0).normal(size=(6, 3)), np.zeros(3), np.ones(3)
    F.batch_norm(x, mean, var, training=True, momentum=0.5)
    layer = nn.BatchNorm1d(3, momentum=0.5)
    layer(x)
    np.testing.assert_array_equal(mean, layer.running_mean)
    np.testing.assert_allclose(var, layer.running_var, rtol=1e-15)


@pytest.mark.parametrize(("padding", "row"), [(2, 2), (-1, 4), (-5, 0)])
def test_the_row_of_padding_may_be_counted_from_the_end(padding: int, row: int) -> None:
    for lookup in (lambda W, ids: F.embedding(ids, W, padding_idx=padding), _as_layer(padding)):
        W = Tensor(np.ones((5, 3)))
        lookup(W, np.array([[0, 2], [4, 2]])).sum().backward()
        np.testing.assert_array_equal(W.grad[:, 0], np.where(np.arange(5) == row, 0, [1, 0, 2, 0, 1]))
    with pytest.raises(ValueError, match="embedding: padding_idx=-6; the 5 words are 0 to 4"):
        F.embedding(np.array([0]), W, padding_idx=-6)


def _as_layer(padding: int) -> Any:
    def lookup(W: Tensor, ids: Any) -> Any:
        layer = nn.Embedding(5, 3, padding_idx=padding)
        layer.weight = W
        return layer(ids)

    return lookup


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("shapes", [((3, 4), (1, 4)), ((3, 1), (3, 4)), ((4,), (3, 4)), ((3, 4), (3, 4))])
def test_cosines_of_arrays_of_two_shapes_are_of_the_shape_that_both_get(shapes: Any, dim: int) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=shape) for shape in shapes)
    wide = np.broadcast_arrays(a, b)
    norms = np.prod([np.sqrt((x * x).sum(axis=dim)) for x in wide], axis=0)
    expected = (wide[0] * wide[1]).sum(axis=dim) / norms
    np.testing.assert_allclose(F.cosine_similarity(a, b, dim=dim), expected, rtol=1e-13)  # a dozen roundings of 1e-16
    np.testing.assert_allclose(F.cosine_similarity(Tensor(a), b, dim=dim).data, expected, rtol=1e-13)


IMAGES = np.random.default_rng(1).normal(size=(2, 3, 5, 4))
# The numbers are those of the page of PyTorch about Upsample.
HALVES = [[1, 1.25, 1.75, 2], [1.5, 1.75, 2.25, 2.5], [2.5, 2.75, 3.25, 3.5], [3, 3.25, 3.75, 4]]
CORNERS = (np.arange(4)[:, None] * 2 + np.arange(4) + 3) / 3


@pytest.mark.parametrize("make", [lambda x, **how: F.interpolate(x, scale_factor=2, **how),
                                  lambda x, **how: F.interpolate(x, (4, 4), **how),
                                  lambda x, **how: nn.Upsample(scale_factor=2, **how)(x)])  # fmt: skip
def test_images_are_interpolated_as_in_pytorch(make: Any) -> None:
    x = np.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    np.testing.assert_allclose(make(x, mode="bilinear", align_corners=False)[0, 0], HALVES, rtol=1e-15)
    np.testing.assert_allclose(np.asarray(make(x, mode="bilinear"))[0, 0], HALVES, rtol=1e-15)
    np.testing.assert_allclose(make(x, mode="bilinear", align_corners=True)[0, 0], CORNERS, rtol=1e-15)


@pytest.mark.parametrize("size", [3, 9, (2, 7), (1, 1)])
@pytest.mark.parametrize("corners", [False, True])
def test_interpolated_pixels_by_definition(size: Any, corners: bool) -> None:
    expected = IMAGES
    for axis, m in zip((2, 3), (size, size) if isinstance(size, int) else size, strict=True):
        n = expected.shape[axis]
        at = np.arange(m) * (n - 1) / max(m - 1, 1) if corners else (np.arange(m) + 0.5) * n / m - 0.5
        expected = np.apply_along_axis(lambda row: np.interp(at, np.arange(n), row), axis, expected)  # noqa: B023
    found = F.interpolate(IMAGES, size, mode="bilinear", align_corners=corners)
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_a_factor_that_is_no_whole_number_is_the_distance_of_the_pixels() -> None:
    x = np.array([[[0.0, 1.0, 2.0, 3.0, 4.0]]])
    found = F.interpolate(x, scale_factor=1.5, mode="linear")  # 7 pixels, 1 / 1.5 apart, not 5 / 7
    np.testing.assert_allclose(found[0, 0], np.clip((np.arange(7) + 0.5) / 1.5 - 0.5, 0, 4), rtol=1e-14)


WINDOWS = [{"kernel_size": 2}, {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)},
           {"kernel_size": 2, "dilation": (2, 1), "padding": 1, "stride": 2}]  # fmt: skip


@pytest.mark.parametrize("how", WINDOWS)
def test_a_convolution_is_a_product_with_the_windows(how: Any) -> None:
    kernel = how["kernel_size"] if isinstance(how["kernel_size"], tuple) else (how["kernel_size"],) * 2
    w = np.random.default_rng(2).normal(size=(4, 3, *kernel))
    columns = F.unfold(IMAGES, **how)
    expected = F.conv2d(IMAGES, w, **{name: value for name, value in how.items() if name != "kernel_size"})
    np.testing.assert_allclose((w.reshape(4, -1) @ columns).reshape(expected.shape), expected, rtol=1e-12, atol=1e-13)
    y = np.random.default_rng(3).normal(size=columns.shape)
    back = F.fold(y, IMAGES.shape[2:], **how)
    np.testing.assert_allclose((back.data * IMAGES).sum(), (y * columns).sum(), rtol=1e-12)  # fold is its transpose


ROWS = np.random.default_rng(4).normal(size=(3, 4))
SMOOTH: dict[str, tuple[Any, np.ndarray]] = {
    "interpolate": (lambda x: F.interpolate(x, (7, 3), mode="bilinear") ** 2, IMAGES),
    "unfold": (lambda x: F.unfold(x, (3, 2), padding=1, stride=2) ** 2, IMAGES),
    "fold": (lambda x: F.fold(x, (3, 3), 2) ** 2, np.random.default_rng(5).normal(size=(1, 8, 4))),
    "pairwise_distance": (lambda x: F.pairwise_distance(x, 2 * x[:1], keepdim=True), ROWS),
    "pairwise_distance, p=3": (lambda x: F.pairwise_distance(x, x[0] ** 2, p=3.0), ROWS),
    "gumbel_softmax": (lambda x: F.gumbel_softmax(x, tau=0.7, rng=0), ROWS),
    "pad_sequence": (lambda x: nn.utils.rnn.pad_sequence([x[0], x[1, :2], x[2, 1:]], padding_value=0.5) ** 2, ROWS),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_functions_of_images_and_sequences_have_two_orders_of_derivatives(name: str) -> None:
    assert_gradients(*SMOOTH[name], order=2)


def test_distances_of_pairs() -> None:
    expected = np.sqrt(((ROWS - ROWS[0] + 1e-6) ** 2).sum(axis=1))
    np.testing.assert_allclose(F.pairwise_distance(ROWS, ROWS[0]), expected, rtol=1e-14)


def test_classes_are_sampled_with_their_probabilities_and_the_gradient_of_the_soft_ones() -> None:
    logits = np.log([0.2, 0.5, 0.3])
    exponential = np.random.default_rng(0).exponential(size=ROWS.shape)
    for tau in (0.5, 2.0):  # the noise is that of the generator, and tau divides it too
        powers = (np.exp(ROWS) / exponential) ** (1 / tau)
        found = F.gumbel_softmax(ROWS, tau, rng=0)
        np.testing.assert_allclose(found, powers / powers.sum(axis=-1, keepdims=True), rtol=1e-12)
    hard = F.gumbel_softmax(np.tile(logits, (40_000, 1)), hard=True, rng=1)
    assert set(np.unique(hard)) == {0.0, 1.0}
    np.testing.assert_allclose(hard.mean(axis=0), [0.2, 0.5, 0.3], atol=0.01)  # four standard deviations
    gradients = []
    for option in (True, False):
        x = Tensor(ROWS.T)
        (F.gumbel_softmax(x, 0.5, hard=option, dim=0, rng=2) * ROWS.T).sum().backward()
        gradients.append(x.grad)
    np.testing.assert_allclose(*gradients, rtol=1e-14)


def test_sequences_are_filled_up_at_their_ends() -> None:
    parts = [torch.ones(2, 3), 2 * torch.ones(4, 3), 3 * torch.ones(1, 3)]
    found = nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=-1.0)
    assert found.shape == (3, 4, 3)
    np.testing.assert_array_equal(found.data[:, :, 0], [[1, 1, -1, -1], [2, 2, 2, 2], [3, -1, -1, -1]])
    last = nn.utils.rnn.pad_sequence(parts).data[:, :, 2]
    np.testing.assert_array_equal(last, [[1, 2, 3], [1, 2, 0], [0, 2, 0], [0, 2, 0]])
