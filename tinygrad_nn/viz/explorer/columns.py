"""Compression of a page's data: one column per field instead of one object per node; equal texts are stored once."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

NUMBERS = ("value", "gradient", "width")  # integer fields of a node, which are nearly all different
TEXTS = ("title", "named", "letter", "scope", "metadata", "line")  # stored each by itself; all other fields together
OWN, NUMBER = "\x02", "\x01"  # placeholders in a text for the node's value and for its number


def pack(page_data: Mapping[str, Any]) -> dict[str, Any]:
    r"""Return the result of `explore.data` in the packed form that the page's columns.js unpacks.

    Example:
        >>> nodes = [{"title": "sin", "named": f"sin #{i}", "letter": ["v"], "value": i, "gradient": -1, "width": 60}
        ...          | {"stored": -1, "scope": "", "metadata": "", "line": None, "kind": "operation"} for i in range(3)]
        >>> shown = {"nodes": nodes, "edges": [[0, 1, 0], [1, 2, 0]], "arrays": [{"brief": "1"}] * 3, "levels": []}
        >>> packed = pack(shown)
        >>> packed["nodes"]["kinds"]
        [{'kind': 'operation', 'operands': 0}, {'kind': 'operation', 'operands': 1}]
        >>> packed["nodes"]["columns"]["named"], packed["nodes"]["texts"][2], packed["sources"]
        ([2, 2, 2], 'sin #\x01', [0, 1])
    """
    nodes, edges, arrays = page_data["nodes"], page_data["edges"], page_data["arrays"]
    operands = [0] * len(nodes)
    for _, target, _ in edges:
        operands[target] += 1
    kinds, texts = Interned(), Interned([None])
    columns: dict[str, list[int]] = {name: [] for name in ("kind", *NUMBERS, *TEXTS)}
    for number, node in enumerate(nodes):
        rest = {key: part for key, part in node.items() if key not in columns and key != "stored"}
        columns["kind"].append(kinds.add(rest | {"kind": node["kind"], "operands": operands[number]}))
        for name in NUMBERS:
            columns[name].append(node[name])
        own = arrays[node["value"]]["brief"]
        for name in TEXTS:
            text = node[name]
            if name in ("title", "named"):
                text = OWN if text == own else text.replace(f"#{number}", f"#{NUMBER}")
            columns[name].append(texts.add(text))
    packed_nodes = {
        "kinds": kinds.values,
        "texts": texts.values,
        "columns": columns,
        "stored": [[number, node["stored"]] for number, node in enumerate(nodes) if node["stored"] >= 0],
    }
    words = Interned([""])
    levels = {
        "parents": [level["parent"] for level in page_data["levels"]],
        "kinds": [words.add(level["kind"]) for level in page_data["levels"]],
        "labels": [words.add("" if level["kind"] == "step" else level["label"]) for level in page_data["levels"]],
        "words": words.values,
    }
    kept = {key: part for key, part in page_data.items() if key != "edges"}
    sources, short_arrays = [edge[0] for edge in edges], list(map(plain_number, arrays))
    return kept | {"nodes": packed_nodes, "sources": sources, "arrays": short_arrays, "levels": levels}


def plain_number(array: dict[str, Any]) -> Any:
    """Return only the text if an array is a single number; return other arrays unchanged."""
    text = array["brief"]
    return text if array == plain(text) else array


def plain(text: str) -> dict[str, Any]:
    """Return the displayed form of a single number; `plain` in columns.js does the same."""
    return {"brief": text, "tiny": text, "shape": "scalar", "rows": [[text]]}


class Interned:
    """A list of distinct values, which are referred to by their index."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self.values = list(values)
        self.known: dict[Hashable, int] = {_key(value): i for i, value in enumerate(self.values)}

    def add(self, value: Any) -> int:
        """Return the index of a value, which is appended if no equal value is there."""
        key = _key(value)
        place = self.known.setdefault(key, len(self.values))
        if place == len(self.values):
            self.values.append(value)
        return place


def _key(value: Any) -> Hashable:
    return value if isinstance(value, str) else (type(value), repr(value))
