"""A training that is killed many times at random moments ends with the weights of an uninterrupted training."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# It says when an epoch is over and waits for a word before it is written, so that no process is done before its time.
PROGRAM = '''
import sys
import numpy as np
from tinygrad_nn import Settings, Solver, fit, optim
from tinygrad_nn.nn import Dropout, Linear, Sequential
from tinygrad_nn.solver import EarlyStopping

def say_and_wait(epoch):
    print("epoch", flush=True)
    sys.stdin.readline()

rng = np.random.default_rng(0)
x = rng.normal(size=(200, 8))
y = np.sin(x @ rng.normal(size=(8, 2)))
model = Sequential(Linear(8, 64, rng=1), np.tanh, Dropout(0.2), Linear(64, 64, rng=2), np.tanh, Linear(64, 2, rng=3))
fit(
    model, x, y, x[:50], y[:50], solver=Solver("mse", "adamw", 0.01, schedule=optim.Cosine(40), clip_norm=1.0),
    settings=Settings(40, 16), rng=5, checkpoint=sys.argv[1] or None, resume=True,
    early_stopping=EarlyStopping(1000), callbacks=[say_and_wait],
)
import hashlib
print(hashlib.sha256(b"".join(p.data.tobytes() for p in model.parameters())).hexdigest(), flush=True)
'''


def run(folder: str, epochs: int, pause: float = 0.0) -> tuple[str, bool]:
    """Let a training go on for so many epochs and then kill it; return its last line, and whether it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    line = ""
    for _ in range(epochs):
        line = process.stdout.readline()
        if line != "epoch\n":
            break
        process.stdin.write("\n")
        process.stdin.flush()
    else:
        time.sleep(pause)  # into the writing of this epoch, or the next epoch, at whose end it waits
        process.send_signal(signal.SIGKILL)
    process.stdin.close()
    process.stdout.close()
    return line.strip(), process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_training_killed_at_random_moments_ends_bit_for_bit_the_same(tmp_path: Path) -> None:
    wanted, killed = run("", 1000)
    assert not killed
    assert len(wanted) == 64
    draw, kills, folder = random.Random(0), 0, tmp_path / "checkpoint"
    found, killed = "", True
    while killed:
        pause = draw.choice([0.0, 0.002, 0.02]) * draw.random()
        found, killed = run(str(folder), draw.randint(2, 4), pause)
        kills += killed
    assert found == wanted
    assert kills >= 9  # a process that is killed did at least one of the 40 epochs, and at most four
    assert not list(folder.glob("best-*"))[1:]
    assert len(list(folder.glob("weights-*"))) == 1
