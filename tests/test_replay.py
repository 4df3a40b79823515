"""The code of a plan for NumPy, line by line: which calls it makes, and into which arrays.

The file replay.txt holds a program and its code each. When the code is meant to change, `PYTHONPATH=. python
tests/test_replay.py` writes it anew; look at the difference before keeping it. That the code computes what the function
does is tested wherever functions are compiled.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_passes import program

from tinygrad_nn.compiled.numpy import replay
from tinygrad_nn.compiled.program.arguments import Names

FILE = Path(__file__).with_name("replay.txt")


def shown(name: str, thing: Any) -> str:
    """Return what an object of the code is, in short; what a buffer holds is open."""
    if isinstance(thing, np.ndarray):
        same = name.startswith("c") and thing.size and (thing == thing.flat[0]).all()
        return f"{thing.dtype}{list(thing.shape)}" + (f" of {thing.item(0)}" if same else "")
    if isinstance(getattr(thing, "__self__", None), np.ufunc):
        return f"{thing.__self__.__name__}.{thing.__name__}"
    return getattr(thing, "__name__", None) or (type(thing).__name__ if callable(thing) else repr(thing))


def written(head: str) -> list[str]:
    given, _, text = head.partition(": ")
    donated = frozenset({"a donated": {0}, "a and b donated": {0, 1}}.get(given.partition(", ")[2], set()))
    made, names = replay.scalars(program(text, given)), Names()
    writer = replay.Writer(made, names, donated)
    lines = [*writer.source(), f"return {', '.join(replay.results(made, writer, names))}"]
    used = {name: shown(name, thing) for name, thing in names.objects.items() if not isinstance(thing, replay.Pool)}
    return [f"    {line}" for line in [*lines, f"with {', '.join(f'{k} = {x}' for k, x in used.items())}"]]


def sections() -> dict[str, list[str]]:
    parts = FILE.read_text(encoding="utf-8").strip().split("\n\n")
    return {part.split("\n")[0]: part.split("\n")[1:] for part in parts}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "ROW", 4)
    monkeypatch.setattr(replay, "LARGE", 96)
    monkeypatch.setattr(replay, "SMALL", 72)
    monkeypatch.setattr(replay, "NAMED", 2)  # which depends on the Python


@pytest.mark.parametrize("head", sections())
def test_the_code_of_a_program(head: str, small: None) -> None:
    assert written(head) == sections()[head]


def test_buffers_are_filled_with_nan_on_request(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "POISON", True)
    lines = [line.strip() for line in written("x, : (np.sin(a) * np.cos(a), a.sum(), a[0] * 2)")]
    assert sum(line.endswith(".fill(255)") for line in lines) == 3
    assert lines[0].startswith("whole")


def test_the_pool_reuses_an_array_without_other_references() -> None:
    pool = replay.Pool((3,), np.dtype(float))
    first = pool[0]
    second = pool.fresh()
    assert second is not first
    assert pool[0] is second
    assert len(pool) == 2
    third = pool.fresh()
    assert third is not first
    assert len(pool) == 2, "of what is held elsewhere the pool keeps one"
    kept = id(second)
    del second
    again = pool.fresh()
    assert id(again) == kept
    assert (again.shape, again.dtype) == ((3,), float)


def test_what_a_function_gives_is_made_into_an_array_in_order() -> None:
    whole = np.zeros(24, np.uint8)
    owned = replay.owned_copy("f", (3,), np.dtype(float), whole, True)
    x = np.ones(3)
    assert owned(x) is x
    assert owned(x[:]).base is x
    inside = whole.view(float)
    assert owned(inside) is not inside, "the memory of the plan is written again"
    assert owned(np.ones(6)[::2]).flags.carray
    assert replay.owned_copy("f", (3,), np.dtype(float), whole, False)(x[:]).base is None, (
        "nor may it lie in an argument"
    )
    lent = np.frombuffer(bytearray(48))  # memory that is nobody's array
    assert owned(lent[:3]).base is None
    assert owned(np.frombuffer(bytearray(24))).base is None
    assert replay.owned_copy("f", (), np.dtype(float), whole, True)(2.0).shape == ()
    for wrong in (np.ones(4), np.ones(3, "f4"), np.ones((3, 1))):
        with pytest.raises(replay.Mismatch, match=r"f gave .* and float64\[3\] when it was traced"):
            owned(wrong)


if __name__ == "__main__":
    replay.ROW, replay.LARGE, replay.SMALL, replay.NAMED = 4, 96, 72, 2
    FILE.write_text("\n\n".join("\n".join([head, *written(head)]) for head in sections()) + "\n", encoding="utf-8")
