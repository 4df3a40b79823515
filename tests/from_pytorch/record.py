"""Record PyTorch's results for scripts and calls: ``python -m tests.from_pytorch.record``, with PyTorch installed."""

import json
import re
import tempfile
from typing import Any

import torch

from . import RECORD, SCRIPTS, run_with_torch
from .calls import FUNCTIONS, METHODS, answer
from .page import HERE, OTHERWISE, result, rows, setup, with_torch


def main() -> None:
    torch.set_num_threads(1)
    losses = {name: run_with_torch(name)["losses"] for name in SCRIPTS}
    torch.set_default_dtype(torch.float64)
    calls = {call: answer(torch, call) for call in (FUNCTIONS + METHODS).split("\n") if call}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for code, _ in rows(HERE) + rows(OTHERWISE):
            names: dict[str, Any] = {"path": f"{folder}/weights"}
            exec(with_torch(setup()[0]), names)
            with torch.enable_grad():
                found[code] = result(code, names)
    record = {
        "torch": torch.__version__, "command": "python -m tests.from_pytorch.record",
        "losses": losses, "calls": calls, "rows": found,
    }  # fmt: skip
    text = json.dumps(record, indent=1)
    text = re.sub(r"\n {3,}|\n {2}(?=[]}])", " ", text)  # a script, or a call, is a line
    RECORD.write_text(text + "\n", encoding="utf-8")
    print(f"torch {torch.__version__}: {len(losses)} scripts, {len(calls)} calls, {len(found)} rows")


if __name__ == "__main__":
    main()
