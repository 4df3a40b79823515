"""Which intermediate of the forward a gradient belongs to, by its name; and which of its versions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

PATTERNS = (
    r"d(?:[lLJEC]|[lL]oss|[cC]ost)_?d_?(?P<x>.+)",  # dL_dX, dLdX
    r"d_?(?P<x>.+)", r"grad_?(?P<x>.+)", r"(?P<x>.+?)_?grad", r"(?P<x>.+)\.grad", r"(?P<x>.+)_bar",
)  # fmt: skip
CONTAINERS = re.compile(r"(d|g|grads?|gradients?|dparams?|derivatives?)")
_PART = re.compile(r"(?P<name>[^\[]+)\[(?P<key>.*)\]")


def stems(name: str) -> Iterator[str]:
    """Yield what a gradient of this name may be the gradient of, the likeliest first.

    Example:
        >>> list(stems("d_logits")), list(stems("W_grad"))
        (['logits'], ['W'])
    """
    for pattern in PATTERNS:
        match = re.fullmatch(pattern, name)
        if match:
            yield match["x"]
    if name.startswith("d_"):
        yield name[1:]


class Names:
    """The names of the intermediates, and the way from the name of a gradient to one of them."""

    def __init__(self, known: Sequence[str], given: Mapping[str, str] | None = None) -> None:
        self.known, self.given = set(known), dict(given or {})
        self.found: dict[str, str | None] = {}
        self.keys: dict[str, str] = {}  # of parts with a text as key: the key
        self.plural: set[str] = set()
        for label in known:
            part = _PART.fullmatch(label)
            if part and part["key"][:1] in "'\"":
                self.keys.setdefault(part["key"][1:-1], label)
            elif part:
                self.plural.add(part["name"])

    def of(self, label: str) -> str | None:
        """Return the label of the intermediate that a gradient belongs to, or None."""
        if label not in self.found:
            self.found[label] = self._of(label)
        return self.found[label]

    def _of(self, label: str) -> str | None:
        if label in self.given:
            return self.given[label]
        part = _PART.fullmatch(label)
        if part is None:
            for stem in stems(label):
                if stem in self.known:
                    return stem
                if stem in self.keys:
                    return self.keys[stem]
                if stem + "s" in self.plural:
                    return f"{stem}s[]"
            return None
        name, key = part["name"], part["key"]
        for stem in stems(name):
            if f"{stem}[{key}]" in self.known:
                return f"{stem}[{key}]"
        if key[:1] in "'\"":
            whole = self._of(key[1:-1])
            if whole is None and CONTAINERS.fullmatch(name):
                whole = key[1:-1] if key[1:-1] in self.known else self.keys.get(key[1:-1])
            return whole
        return None


def aligned(old: int, new: int, fits: Callable[[int, int], float]) -> list[tuple[int, int]]:
    """Pair the versions of a name with those of its gradient, the last with the first, and so on.

    Args:
        old: how many versions there are.
        new: how many gradients.
        fits: how well version i and gradient j fit; of several ways to pair them the best one is taken, of ways that
            fit alike the one that begins with the last version and the first gradient.
    """
    shorter, shift = min(old, new), abs(old - new)

    def pairs(skip: int) -> list[tuple[int, int]]:
        late, early = (skip, 0) if old > new else (0, skip)
        return [(old - 1 - late - k, early + k) for k in range(shorter)]

    return max((pairs(skip) for skip in range(shift + 1)), key=lambda ps: sum(fits(i, j) for i, j in ps))
