"""The basis of distributed training, tested in one process: rows, random numbers, and the error without mpi4py."""

import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tinygrad_nn import Layer, Settings, Solver, fit, nn
from tinygrad_nn.distributed import Ranks, RowDraws, Shard, find_row_axes, on_shard
from tinygrad_nn.distributed.heartbeat import BEAT, GATHER, PATIENCE
from tinygrad_nn.solver.batches import Rows
from tinygrad_nn.solver.ranks import SharedTraining


class Alone:
    """One rank of several, without a communicator to the others."""

    rows, shard = Ranks.rows, Ranks.shard

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


@pytest.mark.parametrize("total", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("whole", [1, 4])
def test_each_row_has_one_rank(total: int, size: int, whole: int) -> None:
    shards = [Alone(rank, size).shard(total, whole) for rank in range(size)]
    assert [row for s in shards for row in range(s.start, s.stop)] == list(range(total))
    assert sum(s.weight for s in shards) == pytest.approx(1)
    assert all(s.length == (s.stop - s.start or 1) and (s.weight == 0) == s.empty for s in shards)
    assert all(s.start % whole == 0 for s in shards if not s.empty)


class Counting(np.memmap):  # type: ignore[type-arg]
    """A mapped file that remembers which rows were read."""

    read: ClassVar[list[int]] = []

    def __getitem__(self, where: Any) -> Any:
        if isinstance(where, np.ndarray | slice):
            Counting.read += np.arange(len(self))[where].tolist()
        return np.asarray(super().__getitem__(where))


def test_a_rank_reads_only_its_rows_of_mapped_files(tmp_path: Path) -> None:
    x = Counting(tmp_path / "x", float, "w+", shape=(50, 2))
    seen = []
    for rank in range(3):
        shared: Any = object.__new__(SharedTraining)
        shared.ranks, shared.draws = Alone(rank, 3), RowDraws.of(np.random.default_rng(0))
        shared.task, shared.probed = None, True
        Counting.read = []
        given = sum(len(x) for x, _, _ in shared.batches(Rows(x, np.zeros((50, 1)), 8), np.random.default_rng(0)))
        assert len(Counting.read) == given < 20
        seen += Counting.read
    assert set(seen) == set(range(50))
    assert len(seen) == 51  # of the last batch of 2 rows one rank has none, and reads one


DRAWS = {  # a shape for n rows -> the axis of the rows
    "first": (lambda n: (n, 4), 0),
    "time first": (lambda n: (7, n, 4), 1),
    "rows times heads": (lambda n: (n * 3, 4), 0),
    "one mask for all": (lambda n: (1, 4), None),
}


@pytest.mark.parametrize("case", DRAWS)
@pytest.mark.parametrize("name", ["random", "standard_normal", "normal", "integers", "binomial"])
def test_a_rank_keeps_its_part_of_the_common_draws(case: str, name: str) -> None:
    shape, axis = DRAWS[case]
    before = {"normal": (0.0, 2.0), "integers": (0, 9), "binomial": (5, 0.5)}.get(name, ())
    whole = getattr(np.random.default_rng(3), name)(*before, size=shape(6))
    parts = []
    for rank in range(3):
        draws = RowDraws.of(np.random.default_rng(3))
        shard = Alone(rank, 3).shard(6)
        find_row_axes(draws, shard, lambda n, draws=draws: getattr(draws, name)(*before, size=shape(n)))
        draws.begin()
        with on_shard(shard):
            parts.append(getattr(draws, name)(*before, shape(2)))
        assert draws.bit_generator.state["state"] == _after(name, before, shape(6))
    if axis is None:
        assert all((part == whole).all() for part in parts)
    else:
        np.testing.assert_array_equal(np.concatenate(parts, axis), whole)


def _after(name: str, before: Any, shape: Any) -> Any:
    rng = np.random.default_rng(3)
    getattr(rng, name)(*before, size=shape)
    return rng.bit_generator.state["state"]


def test_draws_that_mix_rows_are_refused() -> None:
    draws = RowDraws.of(np.random.default_rng(0))
    assert sorted(draws.permutation(4)) == [0, 1, 2, 3]  # outside of a shared batch
    with on_shard(Shard(Alone(0, 2), 4, 0, 2)), pytest.raises(ValueError, match="mixes the rows of a batch"):
        draws.permutation(4)
    with pytest.raises(ValueError, match="it must draw for all rows at once"):
        find_row_axes(draws, Alone(0, 2).shard(4), lambda n: [draws.random((4,)) for _ in range(n)])
    with pytest.raises(ValueError, match="it must draw the same number for each row"):
        find_row_axes(draws, Alone(0, 2).shard(4), lambda n: draws.random((n * n,)))


@pytest.fixture
def without_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)


def test_without_mpi4py_the_error_says_what_to_install(without_mpi4py: None, monkeypatch: pytest.MonkeyPatch) -> None:
    model = [Layer(1, 1, rng=0)]
    given: Any = {"solver": Solver("mse"), "settings": Settings(1, 1)}
    with pytest.raises(ImportError, match=r"pip install 'tinygrad-nn\[mpi\]'"):
        fit(model, [[1.0]], [[1.0]], comm="world", **given)
    assert len(fit(model, [[1.0]], [[1.0]], **given)) == 1
    from typer.testing import CliRunner

    from tinygrad_nn.cli import app

    monkeypatch.setenv("PMI_SIZE", "4")
    done = CliRunner().invoke(app, ["train"])
    assert done.exit_code == 2
    assert "pip install 'tinygrad-nn[mpi]'" in done.output.replace("\n", " ")


def test_no_rank_is_waited_for_longer_than_half_a_minute() -> None:
    assert PATIENCE + 2 * BEAT + GATHER < 30


def test_an_invalid_communicator_raises() -> None:
    model = nn.Linear(1, 1)
    with pytest.raises(TypeError, match=r"comm=3 is not a communicator; write comm=MPI\.COMM_WORLD"):
        fit(model, [[1.0]], [[1.0]], solver=Solver("mse"), settings=Settings(1, 1), comm=3)
