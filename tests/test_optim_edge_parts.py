"""Warnings and errors of `Minimizer`: gradients that pile up, invalid rates and counts, limits of L-BFGS."""

import warnings
from typing import Any

import numpy as np
import pytest

from tests.thread_ranks import ThreadRanks, on_ranks
from tinygrad_nn import Tensor, optim
from tinygrad_nn.distributed import Ranks
from tinygrad_nn.leaves import GradientWarning


@pytest.mark.parametrize("cleared", [True, False])
def test_a_minimizer_tells_of_gradients_that_pile_up(cleared: bool) -> None:
    w = Tensor(np.ones(2))
    minimizer = optim.Minimizer([w], "sgd", 0.125)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for _ in range(3):
            if cleared:
                minimizer.zero_grad()
            (w * w).sum().backward()
            minimizer.step()
    found = [str(one.message) for one in told if issubclass(one.category, GradientWarning)]
    assert len(found) == (0 if cleared else 1)
    assert all("step" in text and "minimizer.zero_grad()" in text for text in found)


@pytest.mark.parametrize("rate", [np.inf, np.nan, -0.1, True, "0.1"])
@pytest.mark.parametrize("of_group", [True, False])
def test_a_learning_rate_is_a_finite_number(rate: Any, of_group: bool) -> None:
    group = {"parameters": [Tensor(np.ones(2))], **({"learning_rate": rate} if of_group else {})}
    with pytest.raises(ValueError, match="it must be a finite number of at least 0"):
        optim.Minimizer([group], "sgd", 0.5 if of_group else rate)


@pytest.mark.parametrize("key", ["max_iter", "max_eval", "history_size"])
@pytest.mark.parametrize("count", [True, 0, -1, 2.0, "2"])
def test_a_count_of_lbfgs_is_a_whole_number_of_at_least_1(key: str, count: Any) -> None:
    with pytest.raises(ValueError, match=f"lbfgs: {key}=.*a whole number of at least 1"):
        optim.lbfgs(**{key: count})


@pytest.mark.parametrize("limits", [{"clip_norm": 1.0}, {"clip_value": 1.0}, {"clip_norm": 1.0, "clip_value": 1.0}])
def test_lbfgs_on_ranks_takes_no_limits_of_gradients(
    limits: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ranks, "of", classmethod(lambda cls, call, comm, private=False: comm))

    def work(comm: ThreadRanks) -> None:
        w = Tensor(np.array([3.0, -2.0]))
        minimizer = optim.averaged(optim.Minimizer([w], "lbfgs"), comm)
        with pytest.raises(ValueError, match="leave clip_norm and clip_value out"):
            minimizer.step(lambda: (w * w).sum(), **limits)
        assert w.data.tolist() == [3.0, -2.0]
        assert minimizer.step(lambda: (w * w).sum()) == 13.0

    on_ranks(1, work)


def test_lbfgs_takes_a_rank_without_rows_whose_loss_depends_on_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranks, "of", classmethod(lambda cls, call, comm, private=False: comm))

    def work(comm: ThreadRanks) -> Any:
        w = Tensor(np.array([3.0, -2.0]))
        minimizer = optim.averaged(optim.Minimizer([w], "lbfgs"), comm)
        return minimizer.step(lambda: 0.0 if comm.rank else (w * w).sum(), rows=0 if comm.rank else 2), w.data.tolist()

    (loss, w), other = on_ranks(2, work)
    assert loss == 13.0
    assert w != [3.0, -2.0]
    assert other == (loss, w)
