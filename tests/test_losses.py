"""The losses with options: values and gradients against PyTorch's and numerical ones, extreme values, and errors."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, grad, value_and_grad
from tinygrad_nn.gradcheck import check_gradients
from tinygrad_nn.nn import losses
from tinygrad_nn.primitive import REGISTRY

Array = Any
REFERENCE = Path(__file__).parent / "reference"

# Both sides are float64 and compute sums of a few dozen terms in other orders, some of which cancel to a tenth of
# their size; 1e-12 leaves room for a thousand roundings.
SAME = {"rtol": 1e-12, "atol": 1e-13}
LOOSE = {
    "softplus": {"rtol": 3e-9, "atol": 1e-13},  # PyTorch drops e^-x above 20: 2e-9
    "hard_sigmoid": {"rtol": 6e-8, "atol": 1e-13},  # PyTorch holds 1/6 in float32
}


def close(found: Array, wanted: Any, rtol: float, atol: float) -> None:
    """Equal where PyTorch has a number; where it has NaN (0 ln 0, a tail of mish) ours must still be one."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(np.where(np.isnan(wanted), np.nan, found), wanted, rtol=rtol, atol=atol)


LOSSES = [name for name in losses.__all__ if "reduction" in getattr(getattr(losses, name), "__annotations__", ())
          and name != "ctc"]  # which has lengths too: see test_ctc.py and nn_calls.json


def records(name: str, key: str) -> list[Any]:
    rows = json.loads((REFERENCE / name).read_text(encoding="utf-8"))
    return [pytest.param(row, id=f"{i}-{row[key]}-{row['options'].get('reduction', '')}") for i, row in enumerate(rows)]


def options_of(row: dict[str, Any]) -> dict[str, Any]:
    return {key: np.array(value) if isinstance(value, list) else value for key, value in row["options"].items()}


# ---- against PyTorch


@pytest.mark.parametrize("row", records("losses.json", "loss"))
def test_values_and_gradients_are_those_of_pytorch(row: dict[str, Any]) -> None:
    loss, arrays = partial(getattr(losses, row["loss"]), **options_of(row)), [np.array(a) for a in row["arrays"]]
    close(loss(*arrays), row["value"], **SAME)
    tensors = [Tensor(a) for a in arrays]
    out = loss(*tensors)
    close(out.data, row["value"], **SAME)
    out.backward(np.array(row["cotangent"]))
    for t, gradient in zip(tensors, row["gradients"], strict=True):
        if gradient is not None:
            close(t.grad, gradient, **SAME)


@pytest.mark.parametrize("row", records("activations.json", "activation"))
def test_activations_are_those_of_pytorch_with_two_derivatives_and_at_kinks(row: dict[str, Any]) -> None:
    f = partial(REGISTRY[row["activation"]], **row["options"])
    tolerance = LOOSE.get(row["activation"], SAME)
    for part in (row.get("smooth"), row.get("kinks")):
        if part is None:
            continue
        x, g = np.array(part["x"]), np.array(part["cotangent"])
        gradient = grad(lambda x, g=g: (f(x) * g).sum())
        close(f(x), part["value"], **tolerance)
        close(gradient(x), part["gradient"], **tolerance)
        if "second" in part:
            v = np.array(part["direction"])
            second = grad(lambda x, v=v, gradient=gradient: (gradient(x) * v).sum())(x)
            close(second, part["second"], **tolerance)


def test_every_loss_with_options_is_in_the_recorded_file() -> None:
    rows = json.loads((REFERENCE / "losses.json").read_text(encoding="utf-8"))
    assert {row["loss"] for row in rows} == set(LOSSES)
    assert len(LOSSES) == 18


# ---- by definition, where PyTorch has none or another


def test_a_mean_over_no_rows_is_zero_and_so_is_its_gradient() -> None:
    z = Tensor(np.ones((2, 3)))
    losses.cross_entropy(z, [-100, -100]).backward()
    assert losses.cross_entropy(z, [-100, -100]).item() == 0
    assert not z.grad.any()
    assert losses.focal(np.ones((2, 3)), [-100, -100]) == 0
    assert losses.mse_loss(np.ones((0, 3)), np.ones((0, 3))) == 0
    assert losses.cross_entropy(np.ones((0, 3)), np.zeros(0, int)) == 0


def test_a_probability_of_zero_costs_100_and_still_learns() -> None:
    p, y = Tensor([0.0, 1.0, 1e-300, 1e-30, 0.0, 1.0]), [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]
    out = losses.binary_cross_entropy(p, y, reduction="none")
    out.sum().backward()
    np.testing.assert_allclose(out.data, [100, 100, 100, 30 * np.log(10), 0, 0], rtol=1e-15, atol=0)
    np.testing.assert_allclose(p.grad, [-1e12, 1e12, -1e12, -1e12, 1, -1], rtol=1e-12)  # the slope at 1e-12
    with pytest.raises(ValueError, match=r"probabilities\[1\] is 1.5; it must be from 0 to 1. Apply sigmoid"):
        losses.binary_cross_entropy([0.5, 1.5], [0.0, 1.0])


def test_labels_one_hot_rows_and_smoothed_rows_agree(rng: np.random.Generator) -> None:
    z, y = rng.normal(size=(5, 4)), rng.integers(4, size=5)
    for smoothing in (0.0, 0.3):
        by_labels = losses.cross_entropy(z, y, label_smoothing=smoothing)
        for rows in (np.eye(4)[y], np.eye(4, dtype=int)[y], np.eye(4)[y].tolist(), Tensor(np.eye(4)[y])):
            by_rows = losses.cross_entropy(z, rows, label_smoothing=smoothing)
            np.testing.assert_allclose(by_labels, getattr(by_rows, "data", by_rows), rtol=1e-14)
    smooth = 0.7 * np.eye(4)[y] + 0.3 / 4
    np.testing.assert_allclose(losses.cross_entropy(z, smooth), losses.cross_entropy(z, y, label_smoothing=0.3))


def test_a_class_axis_in_the_middle_is_one_at_the_end(rng: np.random.Generator) -> None:
    z, y, w = rng.normal(size=(2, 4, 3, 5)), rng.integers(4, size=(2, 3, 5)), rng.uniform(size=4)
    end = np.moveaxis(z, 1, -1)
    for name in ("cross_entropy", "nll", "focal"):
        f = partial(getattr(losses, name), weight=w, ignore_index=3, reduction="none")
        np.testing.assert_array_equal(f(z, y, axis=1), f(end, y))
    soft = np.moveaxis(tg.softmax(z, axis=1), 1, -1)
    by_axis = losses.cross_entropy(z, np.moveaxis(soft, -1, 1), axis=1)
    np.testing.assert_allclose(by_axis, losses.cross_entropy(end, soft), rtol=1e-14)


def test_focal_without_gamma_is_the_cross_entropy(rng: np.random.Generator) -> None:
    z, y, yes = rng.normal(size=(5, 4)), rng.integers(4, size=5), rng.integers(2, size=(5, 4))
    np.testing.assert_allclose(losses.focal(z, y, gamma=0), losses.cross_entropy(z, y), rtol=1e-14)
    binary = losses.binary_focal(z, yes, gamma=0, alpha=None)
    np.testing.assert_allclose(binary, losses.binary_cross_entropy_with_logits(z, yes), rtol=1e-14)


def test_a_masked_class_with_logit_minus_infinity_is_impossible_and_harmless() -> None:
    z = np.array([[1.0, -np.inf, 2.0]])
    for target in ([2], [[0.0, 0.0, 1.0]]):
        value, gradient = value_and_grad(losses.cross_entropy)(z, np.array(target))
        assert value == pytest.approx(np.log(1 + np.exp(-1)))
        np.testing.assert_allclose(gradient[0, [0, 1]], [1 / (1 + np.e), 0])
    assert losses.cross_entropy(z, [1]) == np.inf


def test_options_are_given_once_by_partial() -> None:
    loss = partial(losses.huber, delta=2.0, reduction="sum")
    t = Tensor([1.0, 5.0])
    loss(t, np.zeros(2)).backward()
    assert t.grad.tolist() == [1.0, 2.0]


def test_both_sides_may_be_tensors(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    soft = tg.softmax(y, axis=-1)
    for loss, args in ((losses.cross_entropy, (x, soft)), (losses.kl_divergence, (tg.log_softmax(x), soft))):
        report = check_gradients(loss, *args, order=2, rng=rng)
        assert report.ok, str(report)


# ---- far out

FAR = np.array([[1e3, -1e3, 0.0], [-1e3, 1e3, 1e3]])
FAR_CALLS: dict[str, Callable[..., Any]] = {
    "cross_entropy": lambda z: losses.cross_entropy(z, [1, 0]),
    "cross_entropy, smoothed": lambda z: losses.cross_entropy(z, [1, 0], label_smoothing=0.1),
    "cross_entropy, rows": lambda z: losses.cross_entropy(z, np.eye(3)[[1, 0]]),
    "binary": lambda z: losses.binary_cross_entropy_with_logits(z, np.eye(3)[[1, 0]], pos_weight=[1.0, 2.0, 3.0]),
    "focal": lambda z: losses.focal(z, [1, 0]),
    "focal, right": lambda z: losses.focal(z, [0, 1], gamma=0.5),
    "binary_focal": lambda z: losses.binary_focal(z, np.eye(3)[[1, 0]], gamma=0.5),
    "huber": lambda z: losses.huber(z, np.zeros((2, 3))),
    "smooth_l1": lambda z: losses.smooth_l1(z, np.zeros((2, 3)), beta=1e-3),
    "hinge": lambda z: losses.hinge(z, np.ones((2, 3))),
    "squared_hinge": lambda z: losses.squared_hinge(z, -np.ones((2, 3))),
    "multi_margin": lambda z: losses.multi_margin(z, [1, 0], p=2),
    "gaussian_nll": lambda z: losses.gaussian_nll(z, np.zeros((2, 3)), np.zeros((2, 3))),
    "cosine_embedding": lambda z: losses.cosine_embedding(z, -z, [1, -1]),
    "triplet_margin": lambda z: losses.triplet_margin(z, -z, z),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", FAR_CALLS)
def test_values_and_two_derivatives_are_finite_and_quiet_far_out(name: str, dtype: type) -> None:
    f, z = FAR_CALLS[name], FAR.astype(dtype)
    value, slope = value_and_grad(f)(z)
    bend = grad(lambda z: (grad(f)(z) * np.linspace(-1, 1, 6).reshape(2, 3).astype(dtype)).sum())(z)
    assert np.asarray(value).dtype == slope.dtype == bend.dtype == dtype
    assert all(np.isfinite(x).all() for x in (value, slope, bend))


def test_the_cross_entropy_far_out_is_exact() -> None:
    value, slope = value_and_grad(losses.cross_entropy)(np.array([[1e3, -1e3, 0.0]]), np.array([1]))
    assert value == 2e3
    np.testing.assert_array_equal(slope, [[1, -1, 0]])
    sure = losses.binary_cross_entropy_with_logits(np.array([40.0]), np.array([1.0]))
    assert sure == pytest.approx(np.exp(-40.0), rel=1e-15)
    value, slope = value_and_grad(lambda z: losses.focal(z, [0]))(np.array([[40.0, 0.0]]))
    assert value == pytest.approx(np.exp(-120.0), rel=1e-13)  # (1 - p)^2 and -ln p are e^-80 and e^-40
    assert slope[0, 1] == pytest.approx(3 * np.exp(-120.0), rel=1e-13)


@pytest.mark.parametrize(
    ("call", "slope"),
    [
        (lambda x: losses.hinge(x, np.ones(1)), 0.0),
        (lambda x: losses.l1_loss(x, np.ones(1)), 0.0),
        (lambda x: losses.huber(x, np.zeros(1)), 1.0),
        (lambda x: losses.multi_margin(np.stack([x, 0 * x], axis=-1), [0]), 0.0),
        (lambda x: losses.triplet_margin(x, 0 * x, np.array([2.0]) + 0 * x, margin=0.0, eps=0.0), 0.0),
    ],
)
def test_at_a_margin_that_is_just_kept_the_slope_is_zero(call: Callable[..., Any], slope: float) -> None:
    assert grad(lambda x: call(x).sum())(np.ones(1)).tolist() == [slope]


# ---- errors

z43 = np.zeros((4, 3))
ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: losses.cross_entropy(z43, [0, 1, 3, 0]), ValueError,
     r"cross_entropy: target\[2\] is 3; with 3 classes it must be from 0 to 2, or ignore_index=-100. Widen"),
    (lambda: losses.nll(z43, [0, -1, 3, 0]), ValueError, r"nll: target\[1\] is -1; with 3 classes"),
    (lambda: losses.multi_margin(z43, [0, -100, 3, 0]), ValueError, r"target\[1\] is -100; .* from 0 to 2. Widen"),
    (lambda: losses.cross_entropy(z43, [[0], [1], [2], [0]]), ValueError,
     r"on axis 1 of shape \(4, 3\), class numbers need the shape \(4,\); target has \(4, 1\). Write target.reshape\(4"),
    (lambda: losses.cross_entropy(z43, [0, 1]), ValueError, r"target has \(2,\). Give one class number for each row"),
    (lambda: losses.focal(z43, z43), ValueError, r"target has \(4, 3\). One-hot rows become .* target.argmax\(-1\)"),
    (lambda: losses.cross_entropy(z43, [0.0, 1.0, 2.0, 0.0]), TypeError,
     r"class numbers are integers; target is of dtype float64. Write target.astype\(int\)"),
    (lambda: losses.cross_entropy(z43, [0] * 4, weight=[1.0, 2.0]), ValueError, r"weight has shape \(2,\); for 3"),
    (lambda: losses.cross_entropy(z43, [0] * 4, label_smoothing=2), ValueError,
     "label_smoothing=2; it must be a share"),
    (lambda: losses.cross_entropy(z43, [0] * 4, reduction="avg"), ValueError,
     "cross_entropy: reduction='avg'; known are 'mean', 'sum', 'none'"),
    (lambda: losses.huber(z43, z43, reduction="batchmean"), ValueError, "huber: reduction='batchmean'"),
    (lambda: losses.kl_divergence(z43, z43, reduction="x"), ValueError, "'none', 'batchmean'"),
    (lambda: losses.mse_loss(z43[:, :1], z43[:, 0]), ValueError,
     (r"mse_loss needs two arrays of the same shape; prediction has \(4, 1\), target has \(4,\). Write "
      r"target.reshape\(4, 1")),
    (lambda: losses.mse_loss(z43[:, 0], z43[:, :1]), ValueError, r"Write prediction.reshape\(4, 1\)"),
    (lambda: losses.mse_loss(z43, z43[:2]), ValueError, "one target for each entry"),
    (lambda: losses.mse_loss(z43, np.array(["a"])), TypeError, "target is of dtype <U1; a loss needs real numbers"),
    (lambda: losses.binary_cross_entropy_with_logits(z43, z43, pos_weight=np.ones(4)), ValueError,
     r"pos_weight of shape \(4,\) does not broadcast to the logits, \(4, 3\)"),
    (lambda: losses.binary_cross_entropy_with_logits(z43, z43, weight=np.ones((2, 4, 3))), ValueError, "weight of"),
    (lambda: losses.huber(z43, z43, delta=0), ValueError, "delta=0; it must be positive"),
    (lambda: losses.smooth_l1(z43, z43, beta=-1), ValueError, "beta=-1; it must be at least 0"),
    (lambda: losses.gaussian_nll(z43, z43, np.ones(4)), ValueError, r"\(4, 3\). Write var\[..., None\]"),
    (lambda: losses.gaussian_nll(z43, z43, -np.ones((4, 1))), ValueError, r"var\[0, 0\] is -1.0; a variance is at"),
    (lambda: losses.hinge(z43, z43), ValueError,
     r"hinge: target\[0, 0\] is 0.0; it must be -1 or 1. For 0 and 1 write"),
    (lambda: losses.multi_margin(z43, [0] * 4, p=3), ValueError, "p=3; it must be 1 or 2"),
    (lambda: losses.focal(z43, [0] * 4, gamma=-1), ValueError, "gamma=-1; it must be at least 0"),
    (lambda: losses.cosine_embedding(z43, z43, [1, 1]), ValueError, r"need one target each, \(4,\); target has \(2,\)"),
    (lambda: losses.cosine_embedding(z43, z43, [1, 0, 1, 1]), ValueError, r"target\[1\] is 0; it must be 1"),
    (lambda: losses.triplet_margin(z43, z43, z43[:2]), ValueError, r"anchor has \(4, 3\), negative has \(2, 3\)"),
    (lambda: losses.triplet_margin(z43, z43, z43, p=0), ValueError, "p=0; a norm needs a positive p"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=range(len(ERRORS)))
def test_arguments_that_do_not_fit_raise(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_refuses_an_unknown_reduction_and_keeps_float32(name: str) -> None:
    rows = json.loads((REFERENCE / "losses.json").read_text(encoding="utf-8"))
    row = next(row for row in rows if row["loss"] == name)
    arrays = [np.array(a, np.float32) if np.array(a).dtype.kind == "f" else np.array(a) for a in row["arrays"]]
    loss = partial(getattr(losses, name), **{k: v for k, v in options_of(row).items() if k != "reduction"})
    assert loss(*arrays).dtype == np.float32
    out = loss(Tensor(arrays[0]), *(np.array(a) for a in row["arrays"][1:]))  # float64 targets do not widen it
    assert out.dtype == np.float32
    with pytest.raises(ValueError, match=f"{name}: reduction='avg'"):
        loss(*arrays, reduction="avg")


@pytest.mark.parametrize(
    ("shape", "rows"), [((), 1), ((0,), 1), ((3,), 1), ((2, 3), 2), ((1, 3), 1), ((2, 4, 3), 8), ((2, 0), 2)]
)
def test_a_crossentropy_from_logits_is_a_mean_over_rows(shape: tuple[int, ...], rows: int) -> None:
    """Where a logit is 0 the loss is ln 2 and its slope 1/2 for the target 0; an array of one axis is a row."""
    z, y = Tensor(np.zeros(shape), requires_grad=True), Tensor(np.zeros(shape), requires_grad=True)
    out = REGISTRY["sigmoid_crossentropy"](z, y)
    np.testing.assert_allclose(out.data, np.zeros(shape).size * np.log(2) / rows)
    out.backward()
    np.testing.assert_array_equal(z.grad, np.full(shape, 0.5 / rows))
    np.testing.assert_array_equal(y.grad, np.zeros(shape))
