"""Write layers.json and block.safetensors: layers of PyTorch in float64, for tests that need no PyTorch.

Run it with a Python that has PyTorch and safetensors (2.13 and 0.8 wrote what is here):
``PYTHONPATH=tests python tests/reference/make_layers.py``. Inputs and parameters are not in the file: `numbers` makes
them anew, the same on every machine.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from reference.make_convolution import numbers

FILE = Path(__file__).with_suffix("").with_name("layers.json")
STATE = FILE.with_name("block.safetensors")  # of the layer that BLOCK makes, written by PyTorch
BLOCK = "TransformerBlock(4, 2, 6, 0.0)"

CAUSAL = np.tri(3, dtype=bool) == 0
ADDED = numbers((4, 3, 3), 7)
PADDING = np.array([[False, False, True], [False, False, False]])
WORDS = [[2, 0, 2], [5, 6, 5]]


class Row(NamedTuple):
    """A layer: how we make it, its inputs (a shape, or a list of words), its call; and what differs in PyTorch."""

    ours: str
    inputs: dict[str, Any]
    call: str = "layer(x)"
    theirs: str = ""
    their_call: str = ""


X2, X3, X4 = {"x": (5, 3)}, {"x": (2, 4, 5)}, {"x": (2, 4, 3, 5)}
TIMES = {"x": (3, 2, 3)}
SEQUENCE = {"x": (3, 2, 4)}  # time, batch, n
BATCH_FIRST = {"x": (2, 3, 4)}
CROSS = {"x": (3, 2, 4), "y": (3, 2, 3), "z": (3, 2, 5)}
ROWS = [
    Row("Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2)", X3),
    Row("Conv1d(4, 2, 2, padding='same', bias=False)", X3),
    Row("Conv2d(4, 2, 3, padding=1)", X4),
    Row("Conv2d(4, 4, (3, 2), padding='same', dilation=(1, 3), groups=4)", X4),
    Row("Conv2d(4, 2, 2, 2, padding='valid')", X4),
    Row("ConvTranspose1d(4, 2, 3, 2, 1, 1)", X3),
    Row("ConvTranspose2d(4, 4, (3, 2), 3, 1, (2, 1), 2, True, 2)", X4),
    Row("MaxPool1d(2)", X3),
    Row("MaxPool2d(3, stride=2, padding=1)", X4),
    Row("AvgPool1d(3, 2, 1)", X3),
    Row("AvgPool2d(3, 2, 1, count_include_pad=False)", X4),
    Row("AdaptiveAvgPool2d((2, 3))", X4),
    Row("AdaptiveAvgPool1d(1)", X3),
    Row("AdaptiveMaxPool2d(2)", X4),
    Row("AdaptiveMaxPool1d(3)", X3),
    Row("BatchNorm1d(3)", X2),
    Row("BatchNorm1d(4, eps=1e-3, momentum=0.3)", X3),
    Row("BatchNorm2d(4, momentum=None)", X4),
    Row("BatchNorm2d(4)", X4, "layer.eval()(x)"),
    Row("BatchNorm1d(4, affine=False)", X3),
    Row("BatchNorm1d(4, affine=False)", X3, "layer.eval()(x)"),
    Row("BatchNorm1d(3, track_running_stats=False)", X2, "layer.eval()(x)"),
    Row("LayerNorm(5)", X3),
    Row("LayerNorm((4, 5), eps=1e-2)", X3),
    Row("LayerNorm(5, bias=False)", X3),
    Row("LayerNorm(5, affine=False)", X3, theirs="LayerNorm(5, elementwise_affine=False)"),
    Row("RMSNorm(5)", X3),
    Row("RMSNorm((4, 5), eps=1e-2)", X3),
    Row("RMSNorm(3, affine=False)", X2, theirs="RMSNorm(3, elementwise_affine=False)"),
    Row("GroupNorm(2, 4)", X4),
    Row("GroupNorm(4, 4, eps=1e-3)", X3),
    Row("GroupNorm(1, 3, affine=False)", X2),
    Row("InstanceNorm2d(4)", X4),
    Row("InstanceNorm1d(4, affine=True)", X3),
    Row("PReLU()", X3),
    Row("PReLU(4)", X4),
    Row("GLU()", {"x": (3, 4)}),
    Row("GLU(1)", X3),
    Row("Embedding(7, 3)", {"x": WORDS}),
    Row("Embedding(7, 3, padding_idx=2)", {"x": WORDS}),
    Row("Embedding(7, 3, -2)", {"x": WORDS}),
    Row("RNN(3, 2)", TIMES),
    Row("RNN(3, 2, 2, 'relu', batch_first=True)", TIMES),
    Row("RNN(3, 2, 2, bidirectional=True, bias=False)", {**TIMES, "h": (4, 2, 2)}, "layer(x, h)"),
    Row("LSTM(3, 2)", TIMES),
    Row("LSTM(3, 2, 2, bidirectional=True)", {**TIMES, "h": (4, 2, 2), "c": (4, 2, 2)}, "layer(x, (h, c))"),
    Row("LSTM(3, 2, bias=False, batch_first=True)", TIMES),
    Row("LSTM(2, 3)", {"x": (1, 1, 2)}),
    Row("GRU(3, 2)", TIMES),
    Row("GRU(3, 2, 2, bidirectional=True, batch_first=True)", {**TIMES, "h": (4, 3, 2)}, "layer(x, h)"),
    Row("GRU(3, 2, bias=False)", TIMES),
    Row("MultiHeadAttention(4, 2)", SEQUENCE, "layer(x)", "", "layer(x, x, x, need_weights=False)[0]"),
    Row("MultiHeadAttention(4, 2, bias=False, batch_first=True)", BATCH_FIRST,
        "layer(x, causal=True)", "", "layer(x, x, x, attn_mask=CAUSAL, need_weights=False)[0]"),
    Row("MultiHeadAttention(4, 2)", SEQUENCE,
        "layer(x, attn_mask=ADDED, key_padding_mask=PADDING, need_weights=True)", "",
        "layer(x, x, x, attn_mask=ADDED, key_padding_mask=torch.where(PADDING, -torch.inf, 0.0).double())"),
    Row("MultiHeadAttention(4, 1)", SEQUENCE, "layer(x, key_padding_mask=PADDING, attn_mask=CAUSAL)", "",
        "layer(x, x, x, key_padding_mask=PADDING, attn_mask=CAUSAL, need_weights=False)[0]"),
    Row("MultiHeadAttention(4, 2, n_key=3, n_value=5)", CROSS, "layer(x, y, z)",
        "MultiheadAttention(4, 2, kdim=3, vdim=5)", "layer(x, y, z, need_weights=False)[0]"),
    Row("MultiHeadAttention(4, 2)", {"x": (3, 2, 4), "y": (2, 2, 4)}, "layer(x, y)", "",
        "layer(x, y, y, need_weights=False)[0]"),
    Row("TransformerBlock(4, 2, 6, 0.0)", SEQUENCE),
    Row("TransformerBlock(4, 2, 6, 0.0, 'gelu', 1e-3, norm_first=True, bias=False)", SEQUENCE,
        "layer(x, key_padding_mask=PADDING)", "", "layer(x, src_key_padding_mask=PADDING)"),
    Row("TransformerBlock(4, 2, 6, 0.0, causal=True, batch_first=True)", BATCH_FIRST, "layer(x)",
        "TransformerEncoderLayer(4, 2, 6, 0.0, batch_first=True)", "layer(x, src_mask=CAUSAL)"),
]  # fmt: skip


def values(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Return the parameters and buffers of these names and shapes; variances are positive, counts are zero."""
    state = {name: numbers(shape, 41 + 2 * i) / 2 for i, (name, shape) in enumerate(shapes.items())}
    return {name: abs(x) + 0.5 if name.endswith("running_var") else
            np.zeros((), int) if name.endswith("num_batches_tracked") else x for name, x in state.items()}  # fmt: skip


def given(row: Row) -> dict[str, np.ndarray]:
    """Return the inputs of a row."""
    return {name: np.array(shape) if isinstance(shape, list) else 3 * numbers(shape, 29 + 2 * i)
            for i, (name, shape) in enumerate(row.inputs.items())}  # fmt: skip


def flat(out: Any) -> list[Any]:
    """Return the arrays of a result, in order."""
    return [x for part in out for x in flat(part)] if isinstance(out, (tuple, list)) else [out]


def main() -> None:
    """Write, for each row, the shapes of the state, the results, gradients under a cotangent, and the buffers after."""
    import torch
    from safetensors.torch import save_file

    torch.set_default_dtype(torch.float64)
    constants = {name: torch.tensor(globals()[name]) for name in ("CAUSAL", "ADDED", "PADDING")}
    rows = []
    for row in ROWS:
        theirs = row.theirs or row.ours.replace("MultiHeadAttention", "MultiheadAttention").replace(
            "TransformerBlock", "TransformerEncoderLayer"
        )
        layer = eval(f"torch.nn.{theirs}", {"torch": torch})
        shapes = {name: tuple(x.shape) for name, x in layer.state_dict().items()}
        layer.load_state_dict({name: torch.tensor(x) for name, x in values(shapes).items()})
        if row.ours == BLOCK:
            save_file(layer.state_dict(), STATE)
        inputs = {name: torch.tensor(x, requires_grad=x.dtype.kind == "f") for name, x in given(row).items()}
        outs = flat(eval(row.their_call or row.call, {"layer": layer, "torch": torch, **constants, **inputs}))
        sum((out * torch.tensor(numbers(out.shape, 101 + i))).sum() for i, out in enumerate(outs)).backward()
        leaves = {**{name: x for name, x in inputs.items() if x.requires_grad}, **dict(layer.named_parameters())}
        rows.append({
            "row": f"{row.ours} {row.call}", "shapes": shapes, "out": [out.flatten().tolist() for out in outs],
            "gradients": {name: x.grad.flatten().tolist() for name, x in leaves.items()},
            "buffers": {name: x.flatten().tolist() for name, x in layer.named_buffers()},
        })  # fmt: skip
    FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
