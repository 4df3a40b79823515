"""A training that is killed at random moments, many times over, ends with the weights of one that never was."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = '''
import sys
import numpy as np
from tinygrad_nn import Settings, Solver, fit, optim
from tinygrad_nn.nn import Dropout, Linear, Sequential
from tinygrad_nn.solver import EarlyStopping

rng = np.random.default_rng(0)
x = rng.normal(size=(200, 8))
y = np.sin(x @ rng.normal(size=(8, 2)))
model = Sequential(Linear(8, 64, rng=1), np.tanh, Dropout(0.2), Linear(64, 64, rng=2), np.tanh, Linear(64, 2, rng=3))
print("started", flush=True)
fit(
    model, x, y, x[:50], y[:50], solver=Solver("mse", "adamw", 0.01, schedule=optim.Cosine(60), clip_norm=1.0),
    settings=Settings(60, 16), rng=5, checkpoint=sys.argv[1] or None, resume=True,
    early_stopping=EarlyStopping(1000),
)
import hashlib
print(hashlib.sha256(b"".join(p.data.tobytes() for p in model.parameters())).hexdigest(), flush=True)
'''


def started(folder: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", PROGRAM, folder], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_training_killed_at_random_moments_ends_bit_for_bit_the_same(tmp_path: Path) -> None:
    began = time.monotonic()
    wanted = started("").communicate()[0].split()[-1]
    whole = time.monotonic() - began
    draw, kills, folder = random.Random(0), 0, tmp_path / "checkpoint"
    for _ in range(40):
        process = started(str(folder))
        assert process.stdout is not None
        process.stdout.readline()  # killed in the training, not in the import
        time.sleep(draw.uniform(0, 0.15 * whole))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += process.returncode == -signal.SIGKILL
        process.stdout.close()
        if process.returncode == 0:
            break
    assert kills >= 5
    assert started(str(folder)).communicate()[0].split()[-1] == wanted
    assert not list(folder.glob("best-*"))[1:]
    assert len(list(folder.glob("weights-*"))) == 1
