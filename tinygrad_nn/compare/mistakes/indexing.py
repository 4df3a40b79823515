"""Mistakes at indexing, joining and reordering: repeated rows overwritten, parts or axes in a wrong order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...graph.walk import rule_results
from ..paths import Array, Traced, args_of, name_of, parents_of
from .mistake import RARE, Mistake, Site, differentiated_arguments, finds, value_name

REPEATED = ("overwritten_not_accumulated",
            ("Rows that were picked several times are overwritten: `d[i] += g` writes each of them once. They should "
             "be added, as np.add.at does."))  # fmt: skip

FEW = 400  # in a graph of more operations, `of_the_picked` does not search for the users of a value


def _index(s: Site) -> Any:
    return s.args[1] if len(s.args) > 1 else s.meta["index"]


@finds("getitem", "embedding")
def picked(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of indexed entries that are overwritten, averaged, or put at wrong places."""
    node = graph.operations[place]
    args = args_of(node)
    if 0 not in differentiated_arguments(node):
        return
    x = np.asarray(args[0])
    index = args[1] if len(args) > 1 else node.meta.get("index")
    slots: Array = np.arange(x.size).reshape(x.shape)[index]
    if len(np.unique(slots)) < slots.size:
        yield from _repeated()
    yield Mistake("mask_missing", "The gradient of picked entries is spread over all entries.",
                  lambda s: np.broadcast_to(s.g.mean(), s.args[0].shape), 0, cost=RARE)  # fmt: skip
    if slots.ndim and len(slots) > 1:
        yield Mistake("wrong_index", "The gradient of picked rows is put back in reversed order.",
                      lambda s: s.rule(0, s.g[::-1]), 0)  # fmt: skip
    if slots.ndim and slots.shape[0] <= x.shape[0] and slots.shape[1:] == x.shape[1:]:
        yield Mistake("wrong_index", "The gradient of picked rows is put into the first rows, not to where they were "
                      "picked from.", lambda s: _put_at(s, slice(len(s.g))), 0)  # fmt: skip
        yield Mistake("wrong_index", "The gradient of picked rows is put into the last rows, not to where they were "
                      "picked from.",
                      lambda s: _put_at(s, slice(len(s.args[0]) - len(s.g), None)), 0)  # fmt: skip
    if isinstance(index, np.ndarray) and index.dtype.kind in "iu" and slots.shape == x.shape:
        yield Mistake("wrong_index", "The gradient is picked by the index once more (gathered); it should be put back "
                      "to where the rows came from (scattered).",
                      lambda s: s.g[_index(s)], 0)  # fmt: skip
    for axis in range(x.ndim):
        for shift in (1, -1):
            yield Mistake("wrong_index", f"The gradient of picked entries is put {abs(shift)} place too "
                          f"{'far' if shift > 0 else 'early'} along axis {axis}.",
                          lambda s, a=axis, k=shift: np.roll(s.slots[0], k, a), 0, cost=RARE)  # fmt: skip


@finds()
def of_the_picked(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a value that are wrongly set to 0 at the entries that another operation indexed."""
    node = graph.operations[place]
    if len(graph.operations) > FEW:
        return
    users = [user for user in graph.operations[:place] if node in parents_of(user)]
    choices = [user for user in users if name_of(user) == "getitem"]
    for user in choices if len(users) > 1 else ():
        index = args_of(user)[1] if len(args_of(user)) > 1 else user.meta.get("index")
        if not any(isinstance(i, np.ndarray) for i in (index if isinstance(index, tuple) else (index,))):
            continue

        def without(s: Site, index: Any = index) -> Any:
            g = np.array(s.g)
            g[index] = 0
            return rule_results(s.node, g)

        text = f"The gradient of {value_name(node)} is set to 0 at the entries that were picked; it is not 0 there."
        yield Mistake("overwritten_not_accumulated", text, without, None, cost=RARE, key=str(index))


def _put_at(s: Site, part: slice) -> Any:
    made = np.zeros_like(s.args[0])
    made[part] = s.g
    return made


def _repeated() -> Iterator[Mistake]:
    def last(s: Site) -> Any:
        made = np.zeros_like(s.args[0])
        made[_index(s)] = s.g
        return made

    def first(s: Site) -> Any:
        slots = np.arange(s.args[0].size).reshape(s.args[0].shape)[_index(s)].reshape(-1)
        made = np.zeros(s.args[0].size, s.args[0].dtype)
        made[slots[::-1]] = np.asarray(s.g).reshape(-1)[::-1]
        return made.reshape(s.args[0].shape)

    def averaged(s: Site) -> Any:
        times = np.zeros_like(s.args[0])
        np.add.at(times, _index(s), 1.0)
        return s.slots[0] / np.maximum(times, 1)

    yield Mistake(*REPEATED, last, 0)
    yield Mistake(REPEATED[0], "Only the first use of rows that were picked several times contributes to the gradient; "
                  "all uses should be added.", first, 0, cost=RARE)  # fmt: skip
    yield Mistake(REPEATED[0], "The gradients of rows that were picked several times are averaged; they should be "
                  "added.",
                  averaged, 0)  # fmt: skip


@finds("concatenate", "stack")
def joined(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of joined arrays that are split in a wrong order."""
    node = graph.operations[place]
    args, slots = args_of(node), differentiated_arguments(node)
    shapes = [np.shape(a) for a in args]
    text = "The joined parts are taken in the wrong order in the backward pass."
    pairs = [(i, j) for i, j in itertools.combinations(slots, 2) if shapes[i] == shapes[j]]
    for i, j in pairs[:12]:
        yield Mistake("wrong_order", text, lambda s, i=i, j=j: _exchanged(s.slots, i, j))
    if len(args) > 2 and len({*shapes}) == 1:
        yield Mistake("wrong_order", text, lambda s: list(s.slots)[::-1])
    if name_of(node) == "concatenate" and len({*shapes}) > 1:
        yield Mistake("wrong_order", text, _cut_in_reverse)
    for slot in slots:
        for other in range(len(args)):
            if other != slot and shapes[other] == shapes[slot]:
                yield Mistake("wrong_index", "One of the joined parts gets the gradient of another.",
                              lambda s, o=other: s.rule(o), slot)  # fmt: skip


def _exchanged(slots: Any, i: int, j: int) -> list[Any]:
    made = list(slots)
    made[i], made[j] = made[j], made[i]
    return made


def _cut_in_reverse(s: Site) -> list[Any]:
    axis = s.meta["axis"] or 0
    ends = np.cumsum([np.shape(a)[axis] for a in s.args[::-1]])[:-1]
    return np.split(s.g, ends, axis)[::-1]


@finds("transpose", "swapaxes", "reshape")
def reordered(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a reshape in another order, and of a transpose that are reshaped or transposed again."""
    node = graph.operations[place]
    if 0 not in differentiated_arguments(node):
        return
    name: str = node.primitive.name  # type: ignore[union-attr]
    if name == "reshape":
        yield Mistake("wrong_order", "The gradient is reshaped in another order (F) than the value.",
                      lambda s: np.reshape(s.g, s.args[0].shape, order="F"), 0, cost=RARE)  # fmt: skip
        return
    yield Mistake("transpose", f"The gradient is reshaped; to undo {name}, it should be transposed.",
                  lambda s: np.reshape(s.g, s.args[0].shape), 0)  # fmt: skip
    if np.ndim(node.out) > 2 and name == "transpose":
        yield Mistake("transpose", "The axes are permuted a second time in the backward pass; they should be permuted "
                      "back.",
                      lambda s: s.g.transpose(s.meta.get("axes")), 0)  # fmt: skip


@finds("cumsum")
def running(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of a running sum that are summed from the start instead of the end, or not summed."""
    if 0 in differentiated_arguments(graph.operations[place]):
        yield Mistake("wrong_order", "The gradient of a running sum is summed from the start; it should be summed from "
                      "the end.", lambda s: np.cumsum(s.g, s.meta.get("axis")).reshape(s.args[0].shape), 0)  # fmt: skip
        yield Mistake("missing_factor", "The gradient of a running sum is not summed.",
                      lambda s: s.g.reshape(s.args[0].shape), 0)  # fmt: skip


@finds("pad", "put", "at_set", "roll")
def placed(graph: Traced, place: int) -> Iterator[Mistake]:
    """Yield gradients of rolled or overwritten entries that are taken from wrong places."""
    node = graph.operations[place]
    if name_of(node) == "roll":
        yield Mistake("wrong_index", "The gradient of a roll is rolled in the same direction; it should be rolled "
                      "back.",
                      lambda s: np.roll(s.g, s.meta["shift"], s.meta.get("axis")), 0)  # fmt: skip
        yield Mistake("wrong_index", "The gradient of a roll is not rolled back.", lambda s: s.g, 0)
    if name_of(node) == "at_set" and 0 in differentiated_arguments(node):
        yield Mistake("mask_missing", "The gradient also goes to entries that were overwritten; it should be 0 there.",
                      lambda s: s.g, 0)  # fmt: skip
