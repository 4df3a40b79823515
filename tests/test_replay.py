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


@pytest.mark.parametrize("head", sections())
def test_the_code_of_a_program(head: str, small: None) -> None:
    assert written(head) == sections()[head]


def test_buffers_are_filled_with_nan_where_that_is_asked_for(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "POISON", True)
    lines = [line.strip() for line in written("x, : (np.sin(a) * np.cos(a), a.sum(), a[0] * 2)")]
    assert sum(line.endswith(".fill(255)") for line in lines) == 3
    assert lines[0].startswith("whole")


def test_an_array_is_returned_again_when_nobody_holds_it() -> None:
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
    owned = replay.own("f", (3,), np.dtype(float), whole, True)
    x = np.ones(3)
    assert owned(x) is x
    assert owned(x[:]).base is x
    inside = whole.view(float)
    assert owned(inside) is not inside, "the memory of the plan is written again"
    assert owned(np.ones(6)[::2]).flags.carray
    assert replay.own("f", (3,), np.dtype(float), whole, False)(x[:]).base is None, "nor may it lie in an argument"
    assert replay.own("f", (), np.dtype(float), whole, True)(2.0).shape == ()
    for wrong in (np.ones(4), np.ones(3, "f4"), np.ones((3, 1))):
        with pytest.raises(replay.Varied, match=r"f gave .* and float64\[3\] when it was traced"):
            owned(wrong)


PROGRAMS = {
    "v": "a * 2|a + a[0]|np.sin(a).sum()|(a.sum(), a.max())|a.sum() * 2|a.sum() + a.max()|np.cumsum(a) * 2|np.frexp(a)|"
         "np.maximum(a, 0.5)|np.minimum(2, a)|np.exp(a)[::2]|np.exp(a)[1]|np.exp(a).reshape(2, 2)|a.astype('f4')|"
         "np.where(a > 1, a, 0.0)|np.where(a > 1, 2, np.exp(a))|np.where(np.sin(a) > 0, np.cos(a), np.exp(a))|(a, a)|"
         "np.full(4, np.inf) * a|a * np.nan|a ** 3|np.sum(a, keepdims=True)|np.cumsum(a)|np.sort(a)[::-1]|a[::-1]|"
         "np.power(a, np.arange(4))|(a[1:], a[None])|a * np.inf|a > 2",
    "x": "a * 2|np.maximum(a, 0.5)|np.maximum(a, a[0])|a.sum(0)|a.sum((0, 1))|a.sum(1, keepdims=True)|a.mean(0)|a.T * 2|"
         "np.cumsum(np.exp(a).T.reshape(12))|np.cumsum(a.T.reshape(12))|np.cumsum(np.broadcast_to(a, (2, 3, 4)), 0)|"
         "np.cumsum(a.reshape(4, 3), 0)|a[1, 2] * a|a[..., 0] + a[:, 1]|a.sum(0, dtype='f4')|(a * 2, a * 3)|a.prod(1)|"
         "np.exp(a).T|np.exp(a) * 2 + np.cumsum(a, 1)",
    "x x": "a @ b.T|np.vdot(a, b)|np.vdot(a, b) * a|np.vdot(a, b) * 2|np.vdot(a, b) + np.vdot(b, b)|a.T @ b|(a @ b.T) * 2",
    "s s, a donated": "a - 0.1 * b|a - a @ b|(a * 2, b.T)|a|(a * 2)[1:]|np.cumsum(a[0]) * b",
    "v v, a and b donated": "(a * 2, b * 3)|(a + b, b)|np.cumsum(a) + b",
    "v n": "a * b|a * (b + 1)|(b, a * b)|b * 2 * a|a * -b|a * abs(b)|a * round(b, 1)|(b + 1, a)|a * (b > 1)|a ** b",
    "v r": "a * b.random(4)|b.random(4)|b.normal(0.0, 2.0, 4) + a",
    "i": "a * 2|a.sum()|a / 2|a * 1.5|np.maximum(a, 1)", "z": "a * 2|a.sum()|np.vdot(a, a)|abs(a)",
    "f": "a * 2|a * 1e-3|a.sum()|a.sum(dtype=float)|np.maximum(a, 0)", "b": "a.sum()|a & True",
}  # fmt: skip

if __name__ == "__main__":
    replay.ROW, replay.LARGE, replay.SMALL = 4, 96, 72
    parts = []
    for given, texts in PROGRAMS.items():
        for text in texts.split("|"):
            head = f"{given}: {text}"
            parts.append("\n".join([head, *written(head)]))
    FILE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
