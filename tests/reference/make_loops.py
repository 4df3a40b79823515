"""Record what torch gives in the loops of tests/loops.py: ``python tests/reference/make_loops.py``, with torch."""

import json
import sys
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.loops import LOOPS, PROBLEM  # noqa: E402 - after the path is set

torch.set_default_dtype(torch.float64)


class Library:
    """The problem in torch."""

    def __init__(self) -> None:
        self.optim, self.clip = torch.optim, torch.nn.utils
        self.x, self.y, *weights = (torch.tensor(value) for value in PROBLEM.values())
        self.parameters = [w.requires_grad_() for w in weights]

    def loss(self) -> Any:
        V, U, b = self.parameters
        return ((torch.tanh(self.x @ V.T) @ U.T + b - self.y) ** 2).mean()

    def weights(self) -> list[float]:
        return [x for w in self.parameters for x in w.detach().ravel().tolist()]


def main() -> None:
    kept = (0, 1, 9, 19, 29, 34, 49)  # every step depends on all before it
    paths = {}
    for name, loop in LOOPS.items():
        found = list(loop(Library()))
        paths[name] = {"steps": len(found), "path": {str(k): found[k] for k in kept if k < len(found)}}
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in paths.items())
    text = f'{{"torch": {json.dumps(torch.__version__)},\n{rows}}}\n'
    (HERE / "loops.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
