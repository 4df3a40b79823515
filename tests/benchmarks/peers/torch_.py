"""PyTorch, eager and by torch.compile."""

from __future__ import annotations

from typing import Any

from .. import steps, tasks
from ..worker import Program, Step, serve


def model(step: str) -> Any:
    """Return the network; the names of its parameters are those of `tasks.data`."""
    import torch
    from torch import nn

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(64, 128), nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.lstm(x)[0][-1])

    if step == "cnn":
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
        )  # fmt: skip
    if step == "lstm":
        return Reader()
    if step == "transformer":
        return nn.TransformerEncoderLayer(128, tasks.HEADS, 512, dropout=0.0, batch_first=True)
    task, parts = steps.TASKS[step], []
    for n_in, n_out in zip(task.sizes, task.sizes[1:], strict=False):
        parts += [nn.Linear(n_in, n_out, dtype=getattr(torch, task.dtype)), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def make(compiled: bool) -> Any:
    """Return what makes the steps."""

    def made(step: str) -> Step | None:
        import torch

        if step == "scalar":
            def value(x: Any) -> Any:
                return tasks.scalar(torch.sin, x)

            run = torch.compile(value) if compiled else value
            number = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
            return lambda: torch.autograd.grad(run(number), number)[0]
        if (length := tasks.chained(step)) is not None:
            return None if compiled else lambda: chain(length)

        p, x, y = tasks.data(step)
        network = model(step)
        if step in steps.TASKS:
            p = {f"{2 * int(key[1:])}.{'weight' if key[0] == 'W' else 'bias'}": value for key, value in p.items()}
        network.load_state_dict({key: torch.from_numpy(value) for key, value in p.items()})
        x, y = torch.from_numpy(x), torch.from_numpy(y)
        if step != "transformer":
            y = y.argmax(dim=1)
        adam = step in steps.TASKS and steps.TASKS[step].rule == "adam"
        optimizer = (torch.optim.Adam if adam else torch.optim.SGD)(network.parameters(), steps.RATE)

        def loss() -> Any:
            out = network(x)
            return ((out - y) ** 2).mean() if step == "transformer" else torch.nn.functional.cross_entropy(out, y)

        def move() -> None:
            optimizer.step()

        if compiled:
            loss, move = torch.compile(loss), torch.compile(move)

        def one() -> Any:
            optimizer.zero_grad()
            value = loss()
            value.backward()
            move()
            return value.item()

        return one

    return made


def chain(length: int) -> float:
    """Return the derivative of a chain."""
    import torch

    x = y = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    for _ in range(length):
        y = y + 1.0
    y.backward()
    return float(x.grad)


PROGRAMS = {"torch": Program(make(False), ("torch",)), "torch.compile": Program(make(True), ("torch",))}

if __name__ == "__main__":
    serve(PROGRAMS)
