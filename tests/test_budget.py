"""The time limit of a search: which time counts, and how the option `time_limit` changes the limit."""

import pytest

from tinygrad_nn.compare import budget
from tinygrad_nn.compare.budget import Budget, time_limit


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds of the processor, set by the test."""
    now = [100.0]
    monkeypatch.setattr(budget.time, "thread_time", lambda: now[0])
    return now


@pytest.mark.parametrize("times", [1.0, 4.0])
def test_only_time_inside_the_block_counts(times: float, clock: list[float]) -> None:
    with time_limit(times):
        purse = Budget(10.0)
        for spent in (3.0, 6.0):
            with purse:
                clock[0] += 3.0
                assert purse.spent == spent
                assert purse.remaining == 10.0 - spent / times
            clock[0] += 50.0
            assert purse.spent == spent
        assert not purse.is_over
        with purse:
            clock[0] += 10.0 * times - 6.0
            assert purse.is_over
    assert budget.PATIENCE == 5.0  # that of the tests
