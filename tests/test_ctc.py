"""The loss of labels whose places in time are not known, by all paths one by one; nn_calls.json has PyTorch's."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from tinygrad_nn import Tensor, assert_gradients
from tinygrad_nn.nn import losses

rng = np.random.default_rng(0)


def read(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    """What a path reads as: equal neighbours joined, then blanks dropped."""
    joined = [c for k, c in enumerate(path) if not k or c != path[k - 1]]
    return tuple(c for c in joined if c != blank)


def by_paths(log_p: np.ndarray, labels: tuple[int, ...], blank: int) -> float:
    times, classes = log_p.shape
    paths = product(range(classes), repeat=times)
    total = sum(np.exp(log_p[range(times), path].sum()) for path in paths if read(path, blank) == labels)
    with np.errstate(divide="ignore"):
        return -float(np.log(total))


def log_probabilities(*shape: int) -> np.ndarray:
    z = rng.normal(size=shape)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


@pytest.mark.parametrize("labels", [(), (1,), (2, 1), (1, 1), (2, 2, 1), (1, 2, 1), (1, 1, 1)])
@pytest.mark.parametrize("times", [1, 2, 4])
def test_the_loss_is_the_sum_over_all_paths(times: int, labels: tuple[int, ...]) -> None:
    x = log_probabilities(times, 3)
    found = losses.ctc(x, np.array(labels, int), times, len(labels), reduction="none")
    np.testing.assert_allclose(found, by_paths(x, labels, 0), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("blank", [0, 2])
def test_a_batch_of_different_lengths(blank: int) -> None:
    x, ends, counts = log_probabilities(4, 3, 4), [4, 3, 2], [2, 1, 0]
    target = np.array([[1, 1], [3, 0], [3, 3]])
    wanted = [by_paths(x[: ends[k], k], tuple(target[k, : counts[k]]), blank) for k in range(3)]
    for labels in (target, np.array([1, 1, 3])):
        found = losses.ctc(x, labels, ends, counts, blank=blank, reduction="none")
        np.testing.assert_allclose(found, wanted, rtol=1e-13)
    mean = np.mean(np.array(wanted) / [2, 1, 1])
    np.testing.assert_allclose(losses.ctc(x, target, ends, counts, blank=blank), mean, rtol=1e-13)
    total = losses.ctc(x, target, ends, counts, blank=blank, reduction="sum")
    np.testing.assert_allclose(total, sum(wanted), rtol=1e-13)


def test_gradients_of_two_orders() -> None:
    target = np.array([[1, 2], [2, 2]])
    x = log_probabilities(4, 2, 3)
    assert_gradients(lambda x: losses.ctc(x, target, [4, 4], [2, 2], reduction="none"), x, order=2)


def test_a_sequence_that_is_too_short_is_infinite_or_zero() -> None:
    x = Tensor(log_probabilities(2, 2, 3))
    args: Any = (np.array([[1, 1], [1, 2]]), [2, 2], [2, 2])
    assert np.isinf(losses.ctc(x, *args, reduction="none").data).tolist() == [True, False]
    losses.ctc(x, *args, zero_infinity=True).backward()
    assert np.isfinite(x.grad).all()
    assert not x.grad[:, 0].any()
    assert x.grad[:, 1].any()


def test_float32_and_an_unknown_reduction() -> None:
    x = log_probabilities(3, 1, 3).astype(np.float32)
    assert losses.ctc(x, [[1]], [3], [1]).dtype == np.float32
    assert losses.ctc(Tensor(x), [[1]], [3], [1]).dtype == np.float32
    with pytest.raises(ValueError, match="ctc: reduction='avg'"):
        losses.ctc(x, [[1]], [3], [1], reduction="avg")
    with pytest.raises(ValueError, match=r"it needs \(times, batch, classes\)"):
        losses.ctc(x[0, 0], [1], 1, 1)
