"""Write convolution.json: convolutions and pooling by PyTorch in float64, for tests that need no PyTorch.

Run it with a Python that has PyTorch (2.13 wrote what is here): ``python tests/reference/make_convolution.py``.
Inputs are not in the file: `numbers` makes them anew, the same on every machine.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_suffix("").with_name("convolution.json")


def numbers(shape: tuple[int, ...], step: int) -> np.ndarray:
    """Fractions in (-1, 1) without a pattern, all of them different, exact in float64."""
    return ((np.arange(1, math.prod(shape) + 1) * step % 1021) / 512 - 1021 / 1024).reshape(shape)


# function, shape of x, shape of w, options
CONVOLUTIONS: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("conv", (2, 3, 9), (4, 3, 3), {}),
    ("conv", (2, 4, 9), (6, 2, 2), {"stride": 2, "padding": 2, "dilation": 3, "groups": 2}),
    ("conv", (2, 3, 5, 6), (4, 3, 3, 3), {"padding": 1}),
    ("conv", (2, 2, 7, 6), (3, 2, 3, 2), {"stride": [2, 3], "padding": [1, 0]}),
    ("conv", (1, 4, 6, 7), (4, 1, 3, 3), {"padding": 2, "dilation": 2, "groups": 4}),
    ("conv", (2, 4, 5, 5), (2, 2, 2, 3), {"stride": 2, "groups": 2, "dilation": [2, 1]}),
    ("conv", (2, 3, 4, 4), (5, 3, 1, 1), {"stride": 2}),
    ("conv", (1, 2, 4, 3, 4), (2, 2, 2, 3, 2), {"padding": [0, 1, 1], "stride": [2, 1, 2]}),
    ("conv_transpose", (2, 3, 5), (3, 2, 3), {}),
    ("conv_transpose", (2, 4, 4), (4, 3, 2),
     {"stride": 3, "padding": 2, "output_padding": 1, "dilation": 2, "groups": 2}),
    ("conv_transpose", (2, 3, 3, 4), (3, 4, 3, 3), {"padding": 1}),
    ("conv_transpose", (2, 2, 3, 3), (2, 3, 2, 3), {"stride": [2, 3], "padding": [0, 1], "output_padding": [1, 2]}),
    ("conv_transpose", (1, 4, 3, 3), (4, 1, 3, 2),
     {"stride": 2, "dilation": [1, 3], "output_padding": [1, 2], "groups": 4}),
    ("conv_transpose", (1, 2, 2, 2, 3), (2, 2, 3, 2, 2), {"stride": 2, "padding": [1, 0, 0]}),
]  # fmt: skip

# function, shape of x, kernel or size, options
POOLS: list[tuple[str, tuple[int, ...], Any, dict[str, Any]]] = [
    ("max_pool", (2, 3, 9), 2, {}),
    ("max_pool", (2, 2, 9), 5, {"stride": 3, "padding": 2}),
    ("max_pool", (2, 2, 6, 7), 2, {}),
    ("max_pool", (2, 2, 6, 5), 3, {"stride": 1, "padding": 1}),
    ("max_pool", (1, 2, 7, 6), [3, 2], {"stride": [2, 3], "padding": [1, 0]}),
    ("max_pool", (1, 2, 4, 5, 4), 2, {"stride": 1}),
    ("avg_pool", (2, 3, 9), 2, {}),
    ("avg_pool", (2, 2, 9), 4, {"stride": 3, "padding": 2, "count_include_pad": False}),
    ("avg_pool", (2, 2, 6, 7), 2, {}),
    ("avg_pool", (2, 2, 6, 5), 3, {"stride": 2, "padding": 1}),
    ("avg_pool", (1, 2, 7, 6), [3, 2], {"stride": [2, 3], "padding": [1, 0], "count_include_pad": False}),
    ("adaptive_avg_pool", (2, 3, 7), 3, {}),
    ("adaptive_avg_pool", (2, 2, 6, 5), [3, 2], {}),
    ("adaptive_avg_pool", (1, 2, 3, 4), [5, 1], {}),
    ("adaptive_max_pool", (2, 3, 7), 3, {}),
    ("adaptive_max_pool", (2, 2, 6, 5), [3, 2], {}),
    ("adaptive_max_pool", (1, 2, 3, 4), [5, 1], {}),
]  # fmt: skip


def main() -> None:
    """Write values, gradients under a cotangent, and the gradients of the sum of the squares of those."""
    import torch
    import torch.nn.functional as F

    def leaf(shape: tuple[int, ...], step: int) -> Any:
        return torch.tensor(numbers(shape, step), requires_grad=True)

    rows = []
    for name, shape, second, options in (*CONVOLUTIONS, *POOLS):
        inputs = [leaf(shape, 389)] + ([leaf(second, 571)] if isinstance(second, tuple) else [])
        given = {key: tuple(value) if isinstance(value, list) else value for key, value in options.items()}
        rest = [] if isinstance(second, tuple) else [tuple(second) if isinstance(second, list) else second]
        out = getattr(F, f"{name}{len(shape) - 2}d")(*inputs, *rest, **given)
        g = torch.tensor(numbers(tuple(out.shape), 233), requires_grad=True)
        first = torch.autograd.grad(out, inputs, g, create_graph=True)
        again = torch.autograd.grad(sum((grad**2).sum() for grad in first), [*inputs, g], allow_unused=True)
        rows.append({
            "function": name, "x": shape, "second": second, "options": options, "out": list(out.shape),
            "values": out.flatten().tolist(), "gradients": [grad.flatten().tolist() for grad in first],
            "of squares": [None if grad is None else grad.flatten().tolist() for grad in again],
        })  # fmt: skip
    FILE.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main()
