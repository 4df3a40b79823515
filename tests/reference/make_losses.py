"""Write losses.json and activations.json: values and gradients by PyTorch in float64, for tests that need no PyTorch.

Run it with a Python that has PyTorch (2.13 wrote what is here): ``python tests/reference/make_losses.py``.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

HERE = Path(__file__).parent
torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return 2 * torch.randn(shape, generator=generator)


def uniform(*shape: int) -> Tensor:
    return torch.rand(shape, generator=generator)


def labels(classes: int, *shape: int) -> Tensor:
    return torch.randint(classes, shape, generator=generator)


def signs(*shape: int) -> Tensor:
    return 2 * labels(2, *shape) - 1


def listed(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


def focal(z: Tensor, y: Tensor, gamma: float, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """Equation 5 of Lin et al. (2017), over softmax, as it stands there."""
    p = F.softmax(z, -1).gather(-1, y[:, None])[:, 0]
    values = -((1 - p) ** gamma) * p.log() * (1 if weight is None else weight[y])
    return values.mean() if reduction == "mean" else values


def binary_focal(z: Tensor, y: Tensor, gamma: float = 2.0, alpha: float | None = 0.25) -> Tensor:
    """Equation 5 of Lin et al. (2017), over sigmoid, as it stands there."""
    p = torch.sigmoid(z)
    p_t, a_t = p * y + (1 - p) * (1 - y), 1 if alpha is None else alpha * y + (1 - alpha) * (1 - y)
    return (-a_t * (1 - p_t) ** gamma * p_t.log()).mean()


def hinge(x: Tensor, y: Tensor) -> Tensor:
    return (1 - x * y).clamp(min=0).mean()


def squared_hinge(x: Tensor, y: Tensor) -> Tensor:
    return ((1 - x * y).clamp(min=0) ** 2).mean()


# ours, theirs, arrays, options: the same for both, but for the axis of the classes
Row = tuple[str, Callable[..., Tensor], tuple[Tensor, ...], dict[str, Any]]


def rows() -> list[Row]:
    z, y, w = normal(6, 4), labels(4, 6), uniform(4) + 0.1
    holes = y.clone()
    holes[1] = holes[4] = -100
    soft = F.softmax(normal(6, 4), -1)
    images, pixels = normal(2, 4, 3, 2), labels(4, 2, 3, 2)
    found: list[Row] = []

    def add(ours: str, theirs: Callable[..., Tensor], *arrays: Tensor, **options: Any) -> None:
        found.append((ours, theirs, arrays, options))

    for reduction in ("mean", "sum", "none"):
        add("cross_entropy", F.cross_entropy, z, y, reduction=reduction)
        add("cross_entropy", F.cross_entropy, z, holes, weight=w, label_smoothing=0.1, reduction=reduction)
        add("cross_entropy", F.cross_entropy, z, soft, weight=w, label_smoothing=0.2, reduction=reduction)
        add("nll", F.nll_loss, F.log_softmax(z, -1), holes, weight=w, reduction=reduction)
        add("binary_cross_entropy_with_logits", F.binary_cross_entropy_with_logits, z, uniform(6, 4),
            weight=uniform(6, 1), pos_weight=w, reduction=reduction)  # fmt: skip
        add("huber", F.huber_loss, z, normal(6, 4), delta=1.3, reduction=reduction)
        add("smooth_l1", F.smooth_l1_loss, z, normal(6, 4), beta=0.7, reduction=reduction)
        add("l1_loss", F.l1_loss, z, normal(6, 4), reduction=reduction)
        add("mse_loss", F.mse_loss, z, normal(6, 4), reduction=reduction)
        add("kl_divergence", F.kl_div, F.log_softmax(z, -1), soft, reduction=reduction)
        add("gaussian_nll", F.gaussian_nll_loss, z, normal(6, 4), uniform(6, 1) + 0.1, reduction=reduction)
        add("poisson_nll", F.poisson_nll_loss, z, 5 * uniform(6, 4), full=True, reduction=reduction)
        add("multi_margin", F.multi_margin_loss, z, y, p=2, margin=0.8, weight=w, reduction=reduction)
        add("cosine_embedding", F.cosine_embedding_loss, z, normal(6, 4), signs(6), margin=0.2, reduction=reduction)
        add("triplet_margin", F.triplet_margin_loss, z, normal(6, 4), normal(6, 4), reduction=reduction)
    add("cross_entropy", F.cross_entropy, z, y, weight=w)
    add("cross_entropy", F.cross_entropy, z, y, label_smoothing=0.3)
    add("cross_entropy", F.cross_entropy, z, y, ignore_index=2)
    add("cross_entropy", F.cross_entropy, 500 * z, y)
    add("cross_entropy", F.cross_entropy, z[0], y[0])
    add("cross_entropy", F.cross_entropy, images, pixels, axis=1, weight=w)
    add("cross_entropy", F.cross_entropy, images, F.softmax(normal(2, 4, 3, 2), 1), axis=1)
    add("binary_cross_entropy_with_logits", F.binary_cross_entropy_with_logits, 500 * z, uniform(6, 4))
    add("kl_divergence", F.kl_div, F.log_softmax(z, -1), soft, reduction="batchmean")
    add("kl_divergence", F.kl_div, F.log_softmax(z, -1), soft.log(), log_target=True, reduction="batchmean")
    add("kl_divergence", F.kl_div, F.log_softmax(z, -1), F.one_hot(y, 4).double(), reduction="batchmean")
    add("gaussian_nll", F.gaussian_nll_loss, z, normal(6, 4), uniform(6, 4), full=True)
    add("gaussian_nll", F.gaussian_nll_loss, z, normal(6, 4), 1e-3 * uniform(6, 4), eps=5e-4)
    add("poisson_nll", F.poisson_nll_loss, z, 5 * uniform(6, 4))
    add("poisson_nll", F.poisson_nll_loss, uniform(6, 4), 5 * uniform(6, 4), log_input=False, eps=1e-3)
    add("multi_margin", F.multi_margin_loss, z, y)
    add("cosine_embedding", F.cosine_embedding_loss, z, normal(6, 4), signs(6))
    add("triplet_margin", F.triplet_margin_loss, z, normal(6, 4), normal(6, 4), p=1.0, margin=3.0, eps=1e-3)
    add("triplet_margin", F.triplet_margin_loss, z, normal(6, 4), normal(6, 4), p=3.0, margin=2.0, swap=True)
    add("focal", focal, z, y, gamma=2.0)
    add("focal", focal, z, y, gamma=0.5, weight=w, reduction="none")
    add("binary_focal", binary_focal, z, labels(2, 6, 4))
    add("binary_focal", binary_focal, z, labels(2, 6, 4), gamma=1.5, alpha=None)
    add("hinge", hinge, z, signs(6, 4).double())
    add("squared_hinge", squared_hinge, z, signs(6, 4).double())
    p = torch.sigmoid(z)
    for reduction in ("mean", "sum", "none"):
        add("binary_cross_entropy", F.binary_cross_entropy, p, soft, weight=w, reduction=reduction)
    return found


# ours, theirs, options of ours, options of theirs
ACTIVATIONS: list[tuple[str, Callable[..., Tensor], dict[str, Any], dict[str, Any]]] = [
    ("relu", F.relu, {}, {}),
    ("leaky_relu", F.leaky_relu, {"alpha": 0.2}, {"negative_slope": 0.2}),
    ("elu", F.elu, {}, {}),
    ("elu", F.elu, {"alpha": 0.5}, {"alpha": 0.5}),  # numbers that float32 holds exactly: PyTorch keeps some in it
    ("selu", F.selu, {}, {}),
    ("celu", F.celu, {"alpha": 0.5}, {"alpha": 0.5}),
    ("gelu", F.gelu, {}, {}),
    ("gelu", F.gelu, {"approximate": "tanh"}, {"approximate": "tanh"}),
    ("silu", F.silu, {}, {}),
    ("mish", F.mish, {}, {}),
    ("softplus", F.softplus, {}, {}),
    ("softplus", F.softplus, {"beta": 1.7}, {"beta": 1.7}),
    ("softsign", F.softsign, {}, {}),
    ("hard_tanh", F.hardtanh, {}, {}),
    ("hard_tanh", F.hardtanh, {"low": -0.3, "high": 2.5}, {"min_val": -0.3, "max_val": 2.5}),
    ("hard_sigmoid", F.hardsigmoid, {}, {}),
    ("hard_swish", F.hardswish, {}, {}),
    ("sigmoid", torch.sigmoid, {}, {}),
    ("log_sigmoid", F.logsigmoid, {}, {}),
    ("softmax", F.softmax, {}, {"dim": -1}),
    ("log_softmax", F.log_softmax, {}, {"dim": -1}),
    ("glu", F.glu, {}, {}),
]
KINKS = [-3.0, -1.0, 0.0, 1.0, 3.0]
SMOOTH = [-1000.0, -40.0, -8.0, -3.3, -2.1, -0.7, -0.2, 0.1, 0.45, 1.6, 2.9, 7.0, 19.0, 1000.0]


def gradients(out: Tensor, leaves: list[Tensor], cotangent: Tensor, graph: bool = False) -> list[Tensor]:
    return list(torch.autograd.grad(out, leaves, cotangent, create_graph=graph, allow_unused=True))


def loss_record(row: Row) -> dict[str, Any]:
    ours, theirs, arrays, options = row
    leaves = [a.clone().requires_grad_() if a.is_floating_point() else a for a in arrays]
    out = theirs(*leaves, **{key: value for key, value in options.items() if key != "axis"})
    cotangent = torch.ones_like(out) if out.ndim == 0 else normal(*out.shape)
    moving = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(gradients(out, moving, cotangent))
    return {
        "loss": ours,
        "options": {key: listed(value) for key, value in options.items()},
        "arrays": [listed(a) for a in arrays],
        "cotangent": listed(cotangent),
        "value": listed(out),
        "gradients": [listed(next(found)) if leaf.requires_grad else None for leaf in leaves],
    }


def activation_record(row: tuple[str, Callable[..., Tensor], dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    ours, theirs, options, their_options = row
    record: dict[str, Any] = {"activation": ours, "options": options}
    for part, numbers in {"smooth": SMOOTH, "kinks": KINKS}.items():
        if part == "kinks" and ours == "glu":
            continue  # five entries have no halves
        x = torch.tensor(numbers, requires_grad=True)
        out = theirs(x, **their_options)
        g, v = normal(*out.shape), normal(*x.shape)
        (slope,) = gradients(out, [x], g, graph=True)
        record[part] = {"x": numbers, "value": listed(out), "cotangent": listed(g), "gradient": listed(slope)}
        if part == "smooth" and slope.requires_grad and ours != "hard_sigmoid":  # PyTorch has no second one of it
            (bend,) = gradients(slope, [x], v)
            record[part] |= {"direction": listed(v), "second": listed(torch.zeros_like(x) if bend is None else bend)}
    return record


def main() -> None:
    warnings.simplefilter("ignore")  # of kl_div, whose mean is no mean over rows
    for name, records in {
        "losses.json": [loss_record(row) for row in rows()],
        "activations.json": [activation_record(row) for row in ACTIVATIONS],
    }.items():
        lines = ",\n".join(json.dumps(record) for record in records)
        (HERE / name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
