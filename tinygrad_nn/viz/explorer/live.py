"""The live explorer page: a change of a number or operation runs the function again and updates the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

import numpy as np

from ...common.printable import printable
from ...graph import GraphView, short_number
from ...graph.rerun import Change, Place, Rerun, Run, replacement_names
from ...server import Request, Server, Sessions, serve
from ..graph.levels import Levels, find_levels
from ..model.variables import spaces_of, view_in_spaces, view_with_names
from .arrays import MOST_COLUMNS, MOST_NUMBERS, displayed_array
from .columns import pack, plain_number
from .story import Array, Story, heading_of, node_name, tell_story

PREPARED = 2_000  # up to this many original arrays are formatted before the first change
UNSTEADY = (
    "This function gives different numbers each time it runs, so not every difference comes from your change. Give "
    "it a random generator as an argument, or seed its own inside it."
)
ROOM = 150  # least width of a node, for "old → new"
OLD = "another tab of this session has made a change"


@dataclass
class PageState:
    """The state of the page in one session: the graph, the origins of its values, the values, and the last answer.

    The places and numbers of the nodes are followed by those of other arrays, such as integer labels, named `others`.
    """

    version: int
    view: GraphView
    places: list[Place]
    numbers: list[Array]
    operations: list[list[str]]
    answer: dict[str, Any]
    others: list[str]

    def named(self, number: int) -> str:
        """Return the name of a node, or of one of the other arrays after them."""
        return node_name(self.view[number]) if number < len(self.view) else self.others[number - len(self.view)]


@dataclass
class Session:
    """The changes of one session: the active ones and those that were undone."""

    changes: list[Change] = field(default_factory=list)
    undone: list[Change] = field(default_factory=list)
    version: int = 0
    state: PageState | None = None
    lock: Any = field(default_factory=RLock)


class Live:
    """The server side of a live page for a function.

    Args:
        rerun: the function with its arguments.
        data, html: functions that return the data of a story, and the HTML of packed data.
        title: the title of the page.
        gradient: the cotangent of the result.
        names: as in `explore`; the function's local, closure and global variables are added, unless it is ``{}``.
    """

    def __init__(
        self, rerun: Rerun, data: Callable[..., Any], html: Callable[..., str], title: str | None = None,
        gradient: Any = None, names: Any = None,
    ) -> None:  # fmt: skip
        self.rerun, self.data, self.html = rerun, data, html
        self.title, self.gradient, self.names = title, gradient, names
        self._forms: dict[Any, tuple[Levels, list[int]]] = {}  # graph -> its levels and the widths of its nodes
        self._places: dict[Place, int] = {}  # numbers of places, which are cheaper as keys
        self._before: dict[Any, tuple[Any, Any]] = {}
        self._old: dict[Any, Any] = {}  # the same, formatted for the page
        before = self._before
        for _ in range(2):  # the second run shows whether the function is deterministic
            with rerun.running() as run:
                before = self._before
                self._before = {key: (_copy(a), _copy(b)) for key, _, a, b in self._explored(run).numbers()}
        pairs = [(before.get(key, (None, None)), arrays) for key, arrays in self._before.items()]
        self._steady = not any(_has_changed(*both) for old, new in pairs for both in zip(old, new, strict=True))
        if len(self._before) <= PREPARED:  # so that the first change is not slower than later ones
            for key, arrays in self._before.items():
                for part, array in enumerate(arrays):
                    if array is not None:
                        self._shown_before(key, part)
        self.sessions: Sessions[Session] = Sessions(Session)

    def serve(self, port: int = 0, open_browser: bool = True) -> Server:
        """Start a server for the page and its requests."""
        routes = {
            "GET /": lambda request: self.page(self.sessions[request.session]),
            "POST /change": self._change, "POST /undo": self._undo, "POST /redo": self._redo,
            "POST /reset": self._reset, "POST /numbers": self._numbers,
        }  # fmt: skip
        return serve(routes, port=port, open_browser=open_browser)

    def page(self, session: Session) -> str:
        """Return the page with the changes of a session."""
        with session.lock:
            shown = self._current_state(session)
            return self.html(shown.answer, self.title or heading_of(shown.view), served=True)

    def file(self) -> str:
        """Return a static page without changes, for a file."""
        with self.rerun.running() as run:
            story = self._explored(run).story
            return self.html(pack(self.data(story)), self.title or heading_of(story.view))

    # -- Requests of the page

    def _change(self, request: Request) -> Any:
        session, body = self.sessions[request.session], request.body
        with session.lock:
            shown = self._current_state(session)
            if body.get("version") != shown.version:
                return {"stale": OLD}
            change = self._read(shown, body)
            kept = list(session.changes)
            if body.get("more") is True and kept and _change_key(kept[-1]) == _change_key(change):
                kept.pop()  # one drag with the mouse is one change
            return self._try(session, [*kept, change], [])

    def _undo(self, request: Request) -> Any:
        session = self.sessions[request.session]
        with session.lock:
            if not session.changes:
                raise ValueError("there is nothing to undo.")
            return self._try(session, session.changes[:-1], [*session.undone, session.changes[-1]])

    def _redo(self, request: Request) -> Any:
        session = self.sessions[request.session]
        with session.lock:
            if not session.undone:
                raise ValueError("there is nothing to redo.")
            return self._try(session, [*session.changes, session.undone[-1]], session.undone[:-1])

    def _reset(self, request: Request) -> Any:
        session = self.sessions[request.session]
        with session.lock:
            return self._try(session, [], session.changes[::-1])

    def _numbers(self, request: Request) -> Any:
        """Return the numbers of a node with all digits (all or one of them), and the operations that can replace it."""
        session = self.sessions[request.session]
        with session.lock:
            shown = self._current_state(session)
            number = _requested_node(shown, request.body)
            array = shown.numbers[number]
            few = array.size <= MOST_NUMBERS and (array.ndim == 0 or array.shape[-1] <= MOST_COLUMNS)
            found: dict[str, Any] = {
                "version": shown.version, "node": number, "shape": list(array.shape), "kind": array.dtype.kind,
                "operations": shown.operations[number] if number < len(shown.view) else [],
                "operation": shown.view[number].operation if number < len(shown.view) else None,
                "few": few, "name": shown.named(number),
            }  # fmt: skip
            if few:
                found["numbers"] = [_number_text(x) for x in array.ravel().tolist()]
            if array.size:
                index = request.body.get("index", [0] * array.ndim)
                found |= {"index": index, "number": _number_text(array.ravel()[_flat_index(index, array.shape)].item())}
            return found

    # -- Running

    def _try(self, session: Session, changes: list[Change], undone: list[Change]) -> Any:
        """Run the function with new changes, and keep them if the run succeeds."""
        shown = self._compute(changes, undone, session.version + 1)
        session.changes, session.undone = changes, undone
        session.version, session.state = shown.version, shown
        return shown.answer

    def _current_state(self, session: Session) -> PageState:
        if session.state is None:
            session.state = self._compute(session.changes, session.undone, session.version)
        return session.state

    def _compute(self, changes: list[Change], undone: list[Change], version: int) -> PageState:
        with self.rerun.running(changes) as run:
            found = self._explored(run)
            form = f"{hash((tuple(found.keys), found.view.edges, found.view.outputs)):x}"
            levels, widths = self._forms.get(form, (None, None))
            shown = self.data(found.story, levels := levels or find_levels(found.view))
            if widths is None:
                widths = [max(part["width"], 0 if part["small"] else ROOM) for part in shown["nodes"]]
            for part, width in zip(shown["nodes"], widths, strict=True):
                part["width"] = width
            self._forms[form] = levels, widths
            answer = pack(shown)
            was = self._differences(found)
            operations = [replacement_names(part) for part in found.view]
            others = self.rerun.whole_numbers(found.places)
            places = [*found.places, *(place for _, place in others)]
            values = [*found.values, *(np.array(place.array) for _, place in others)]
            names = [printable(name) for name, _ in others]
        answer["live"] = {
            "version": version, "form": form, "undo": len(changes), "redo": len(undone),
            "was": was["node"], "carried": was["edge"],
            "said": [change.description for change in changes],
            "lost": len(run.unapplied), "note": "" if self._steady else UNSTEADY,
            "changed": [number for number, place in enumerate(found.places) if any(c.place == place for c in changes)],
            "others": names,
        }  # fmt: skip
        return PageState(version, found.view, places, values, operations, answer, names)

    def _differences(self, run: _ExploredRun) -> dict[str, dict[str, list[Any]]]:
        """Return the original arrays that have changed, formatted for the page, by their node or edge number."""
        differ: dict[str, dict[str, list[Any]]] = {"node": {}, "edge": {}}
        for key, number, *arrays in run.numbers():
            if key in self._before:
                was = self._before[key]
                pair = [self._shown_before(key, part) if _has_changed(was[part], new) else None
                        for part, new in enumerate(arrays)]  # fmt: skip
                if any(pair):
                    differ["edge" if type(key) is tuple else "node"][str(number)] = pair
        return differ

    def _shown_before(self, key: Any, part: int) -> Any:
        shown = self._old.get((key, part))
        if shown is None:
            shown = self._old[key, part] = plain_number(displayed_array(self._before[key][part]))
        return shown

    def _explored(self, run: Run) -> _ExploredRun:
        function, names = self.rerun.function, self.names
        if names is None and hasattr(function, "named_parameters"):
            names = function
        if names is None or (isinstance(names, Mapping) and names):
            named = view_in_spaces(run.result, [names or {}, run.names, *spaces_of(function)], explicit=True)
        else:
            named = view_with_names(run.result, names)
        view = named.view
        return _ExploredRun(
            view, self.rerun.places(run, view), tell_story(view, self.gradient, named.roles), self._places
        )

    def _read(self, state: PageState, body: Mapping[str, Any]) -> Change:
        """Return the `Change` in the body of a request."""
        number = _requested_node(state, body)
        place, array = state.places[number], state.numbers[number]
        said = state.named(number)
        if "operation" in body and number < len(state.view):
            name = body["operation"]
            if name not in state.operations[number]:
                known = ", ".join(state.operations[number]) or "none"
                raise ValueError(f"{printable(name)} cannot replace {said}; these can: {known}.")
            return Change(place, operation=name, description=f"{said}: {state.view[number].operation} → {name}")
        index = body.get("index", [])
        flat = _flat_index(index, array.shape)
        value = _parse_number(body.get("value"), array.dtype.kind)
        where = f"[{', '.join(map(str, index))}]" if index else ""
        words = f"{said}{where}: {short_number(array.ravel()[flat].item())} → {short_number(value)}"
        return Change(place, flat, value, description=words)


class _ExploredRun:
    """The graph and the story of a run, and a key for each node by which it is found in other runs."""

    def __init__(self, view: GraphView, places: list[Place], story: Story, numbers: dict[Place, int]) -> None:
        self.view, self.places, self.story = view, places, story
        self.values = [np.array(part.array) for part in view]
        occurrences: dict[int, int] = {}
        self.keys = []
        for place in places:
            number = numbers.setdefault(place, len(numbers))
            occurrences[number] = occurrences.get(number, -1) + 1
            self.keys.append(f"{number} {occurrences[number]}")

    def numbers(self) -> Iterator[tuple[Any, int, Array | None, Array | None]]:
        """Yield (key, number, value, gradient) of each node, then (key, number, contribution, total) of each edge.

        The key of an edge is a tuple. The arrays belong to the run and may change when it has ended.
        """
        gradients, edges = self.story.walk.gradients, self.view.edges
        for number, (key, value) in enumerate(zip(self.keys, self.values, strict=True)):
            yield key, number, value, gradients.get(number)
        for step in self.story.walk.steps:
            for c in step.contributions:
                edge = edges[c.edge]
                yield (self.keys[edge.source], self.keys[edge.target], edge.slot), c.edge, c.array, c.total


def _copy(array: Array | None) -> Array | None:
    return None if array is None else np.array(array)


def _has_changed(old: Array | None, new: Array | None) -> bool:
    """Whether an array existed before and is different now."""
    if old is None or new is None or (old.shape == new.shape and old.tobytes() == new.tobytes()):  # NaN is NaN
        return False
    return old.shape != new.shape or not (old == new).all()


def _change_key(change: Change) -> Any:
    return change.place, change.index, change.operation is None


def _requested_node(state: PageState, body: Mapping[str, Any]) -> int:
    number = body.get("node")
    if type(number) is not int or not 0 <= number < len(state.numbers):
        raise ValueError(f"there is no node {printable(number)}; this graph has nodes 0 to {len(state.view) - 1}.")
    return number


def _flat_index(index: Any, shape: tuple[int, ...]) -> int:
    """Return the flat index of a multi-index, after checking it."""
    right = isinstance(index, list) and len(index) == len(shape) and all(type(i) is int for i in index)
    if not right or not all(0 <= i < n for i, n in zip(index, shape, strict=True)):
        needed = ", ".join(f"0 to {n - 1}" for n in shape) or "none"
        raise ValueError(f"the index {printable(index)} is not in an array of shape {shape}; it takes {needed}.")
    return int(np.ravel_multi_index(index, shape)) if shape else 0


def _parse_number(text: Any, kind: str) -> Any:
    """Return the number in the user's text, for an array of this dtype kind."""
    words = {"f": "a number, such as 0.5", "c": "a complex number, such as 1+2j", "b": "0 or 1",
             "i": "a whole number", "u": "a whole number, 0 or more"}  # fmt: skip
    try:
        text = str(text).strip().replace("\u2212", "-")
        if kind == "c":
            return complex(text.replace(" ", "").replace("i", "j"))
        if kind == "f":
            return float(text)
        value = int(text)
        if (kind == "u" and value < 0) or (kind == "b" and value not in (0, 1)):
            raise ValueError
        return bool(value) if kind == "b" else value
    except ValueError:
        raise ValueError(f"{printable(text)!r} does not fit here; write {words.get(kind, 'a number')}.") from None


def _number_text(value: Any) -> str:
    """Return a number as text with all its digits."""
    return str(int(value)) if isinstance(value, bool) else repr(value).strip("()")
