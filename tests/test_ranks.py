"""Training on 1 to 4 ranks gives the losses, weights and history of a training in one process."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.failing_ranks import AT_ONCE, FAULTS
from tests.killed_ranks import kill_and_resume, worst
from tests.ranks import NETWORKS, train
from tinygrad_nn.distributed import communicator, watchdog

pytest.importorskip("mpi4py")
ROOT = Path(__file__).resolve().parents[1]
MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MPIEXEC is None, reason="there is no mpiexec")]
ENDING = sorted(set(FAULTS) - set(AT_ONCE))  # faults that end their program
TO = {"float64": 1e-12, "float32": 2e-5}  # rounding of 53 and 24 bits, with four digits for what steps make of it


def mpiexec(ranks: int, *args: Any, seconds: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python on so many ranks."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, args)]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, env=env)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each network becomes on one process, without a communicator."""
    folder = tmp_path_factory.mktemp("alone")
    return {name: train(name, folder) for name in NETWORKS}


def close(name: str, found: Any, alone: Any, to: float) -> None:
    losses, expected = np.array(found["losses"]), np.array(alone["losses"])
    assert losses.shape == expected.shape, name
    np.testing.assert_allclose(losses, expected, rtol=to, atol=0, err_msg=name)
    for mine, other in zip(found["weights"], alone["weights"], strict=True):
        scale = np.max(np.abs(other))
        np.testing.assert_allclose(mine, other, rtol=0, atol=100 * to * max(scale, 1e-3), err_msg=name)
    for mine, other in zip(columns(found), columns(alone), strict=True):
        np.testing.assert_allclose(mine, other, rtol=10 * to, err_msg=name)


def columns(found: Any) -> list[list[float]]:
    history = found["history"]
    return [history["loss"], history["val_loss"], *(history["metrics"][key] for key in sorted(history["metrics"]))]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_the_same_training(ranks: int, alone: dict[str, Any], tmp_path: Path) -> None:
    done = mpiexec(ranks, "-m", "tests.ranks", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert not done.stderr, done.stderr
    for name, expected in alone.items():
        found = [json.loads((tmp_path / f"{name}-{ranks}-{rank}.json").read_text()) for rank in range(ranks)]
        close(name, found[0], expected, TO["float32" if name == "mapped" else "float64"])
        assert all(other == found[0] for other in found[1:]), name  # the same bits on every rank


# Ranks have one BLAS thread each, and this process what it was given: the bits are not compared.
@pytest.mark.filterwarnings("ignore:fit. .* continues in a different environment:UserWarning")
@pytest.mark.parametrize("name", ["mlp", "batches"])
def test_any_number_of_ranks_can_resume(name: str, alone: dict[str, Any], tmp_path: Path) -> None:
    """With a plateau and with early stopping; at the end one process without a communicator."""
    settings = NETWORKS[name](tmp_path)[3]["settings"]
    for ranks, epochs in ((3, 2), (2, 4)):
        done = mpiexec(ranks, "-m", "tests.ranks", tmp_path, name, CHECKPOINT="yes", EPOCHS=str(epochs),
                       ROWS=str(settings.batch_size))  # fmt: skip
        assert done.returncode == 0, done.stderr
    found = train(name, tmp_path, checkpoint=tmp_path / "checkpoint", resume=True)
    close(name, {**found, "losses": alone[name]["losses"]}, alone[name], TO["float64"])


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_training_resumes_to_the_same_weights(seed: int, alone: dict[str, Any], tmp_path: Path) -> None:
    done = kill_and_resume(tmp_path, random.Random(seed))
    assert worst(done["weights"], alone["cnn"]["weights"]) < 100 * TO["float64"]


@pytest.fixture(scope="module")
def found_at_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all ranks said of the faults after which a program can go on, in one program."""
    folder = tmp_path_factory.mktemp("at_once")
    mpiexec(3, "-m", "tests.failing_ranks", folder, *AT_ONCE)
    return folder


def check_said(folder: Path, fault: str, ranks: set[int]) -> None:
    said = {}
    for rank in ranks:
        seconds, _, said[rank] = (folder / f"{fault}-{rank}.txt").read_text().partition("\n")
        assert float(seconds) < 30
    assert len(set(said.values())) == 1, said
    text = next(iter(said.values()))
    assert re.search(FAULTS[fault][1], text, re.DOTALL), text


@pytest.mark.parametrize("fault", AT_ONCE)
def test_a_fault_is_named_by_all_ranks(fault: str, found_at_once: Path) -> None:
    check_said(found_at_once, fault, {0, 1, 2})


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """The folder and the exit codes of the faults that end their program.

    Two programs run at the same time, because most of their time they wait for a rank that does not answer.
    """
    folder = tmp_path_factory.mktemp("ended")
    with ThreadPoolExecutor(2) as pool:
        codes = pool.map(lambda fault: mpiexec(3, "-m", "tests.failing_ranks", folder, fault).returncode, ENDING)
        return folder, dict(zip(ENDING, codes, strict=True))


@pytest.mark.parametrize("fault", ENDING)
def test_a_fault_of_one_rank_is_named_by_all(fault: str, ended: tuple[Path, dict[str, int]]) -> None:
    folder, codes = ended
    absent = {"a_rank_that_does_not_come": {1}, "a_rank_that_hangs": {1}, "a_program_that_ends_early": {1}}
    check_said(folder, fault, {0, 1, 2} - absent.get(fault, set()))
    assert codes[fault]


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux: no other system tells when a process ends")
def test_the_witness_says_when_it_watches_and_names_all_that_are_gone() -> None:
    program = Path(communicator.__file__).with_name("watchdog.py")
    waits = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    ranks = [subprocess.Popen(waits, stdin=subprocess.PIPE) for _ in range(3)]
    who = [f"{rank.pid} rank {k}" for k, rank in enumerate(ranks)]
    for living in (who, who[::-1]):
        command = [sys.executable, "-S", "-E", str(program), *living]
        watching = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert watching.stdout is not None
        assert watching.stdout.read(1) == b"."
        ranks[2].kill()
        ranks[2].wait()
        assert watching.communicate(timeout=60)[1].decode().startswith("rank 2 is gone")
    for rank in ranks:
        rank.communicate()
    late = subprocess.run([sys.executable, str(program), *who], stdin=subprocess.PIPE, capture_output=True, timeout=60)
    assert late.stderr.decode().startswith("one of rank 0, rank 1, rank 2 is gone")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux: its /proc shows who has begun to end")
def test_the_witness_sees_who_has_begun_to_end() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as rank:
        assert not watchdog.is_ending(str(rank.pid))
        rank.kill()
        os.waitid(os.P_PID, rank.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays until it is waited for
        assert watchdog.is_ending(str(rank.pid))
    assert watchdog.is_ending(str(rank.pid))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux: no other system tells when a process ends")
def test_the_witness_also_names_who_has_begun_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ranks = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(3)]
    monkeypatch.setattr(watchdog, "is_ending", lambda process: process == str(ranks[2].pid))
    ranks[0].kill()
    os.waitid(os.P_PID, ranks[0].pid, os.WEXITED | os.WNOWAIT)
    text = watchdog.watch_processes([f"{rank.pid} rank {k}" for k, rank in enumerate(ranks)])
    assert text.startswith("one of rank 0, rank 2 is gone")
    for rank in ranks:
        rank.communicate()


def test_a_rank_that_is_killed_is_named(tmp_path: Path) -> None:
    done = mpiexec(3, "-m", "tests.failing_ranks", tmp_path, "a_rank_that_is_killed")
    assert done.returncode
    assert re.search(r"rank 2 of 3 \(process \d+ on .*is gone: it was killed.*All ranks stop", done.stderr), done.stderr


def test_the_command_trains_on_ranks_and_writes_once(tmp_path: Path) -> None:
    command = ["-m", "tinygrad_nn", "train", "--epochs", "3", "--dropout", "0.2", "--out"]
    several = mpiexec(3, *command, tmp_path / "several")
    alone = [sys.executable, *command, tmp_path / "one"]
    one = subprocess.run(alone, cwd=ROOT, capture_output=True, text=True, check=True)
    assert several.returncode == 0, several.stderr
    assert several.stdout.replace("several", "one").splitlines()[-1] == one.stdout.splitlines()[-1]
    assert len(several.stdout.splitlines()) == len(one.stdout.splitlines())
    histories = [json.loads((tmp_path / name / "history.json").read_text()) for name in ("several", "one")]
    np.testing.assert_allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-12)


def test_the_command_fails_where_one_of_its_ranks_does(tmp_path: Path) -> None:
    """One rank has no such table: all say so, and mpiexec hears of it."""
    (tmp_path / "iris.csv").write_text("a,b\n" + "".join(f"{k},{k % 3}\n" for k in range(30)))
    other = f"test $PMI_RANK = 1 && set -- {tmp_path}/irs.csv || set -- {tmp_path}/iris.csv; "
    train = f"exec {sys.executable} -m tinygrad_nn train --target b --out {tmp_path}/run --data $1"
    done = subprocess.run([MPIEXEC, "-n", "3", "sh", "-c", other + train], cwd=ROOT, capture_output=True, text=True,
                          timeout=120)  # fmt: skip
    assert done.returncode
    said = "error: train: rank 1 of 3 stopped by FileNotFoundError: .*irs.csv: no such file"
    assert len(re.findall(said, done.stderr)) == 3, done.stderr
    assert not (tmp_path / "run").exists()


def test_a_users_loop_takes_the_same_steps(tmp_path: Path) -> None:
    done = [mpiexec(ranks, "-m", "tests.own_loop", tmp_path) for ranks in (1, 3)]
    assert all(one.returncode == 0 for one in done), done[1].stderr
    one, three = (json.loads((tmp_path / f"{ranks}.json").read_text()) for ranks in (1, 3))
    for name in one:
        np.testing.assert_allclose(three[name], one[name], rtol=1e-11, atol=1e-13, err_msg=name)
