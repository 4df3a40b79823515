"""Which intermediate of the forward a gradient belongs to, by its name; and which of its versions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

PATTERNS = (
    r"d(?:[lLJEC]|[lL]oss|[cC]ost)_?d_?(?P<x>.+)",  # dL_dX, dLdX
    r"d_?(?P<x>.+)", r"grad_?(?P<x>.+)", r"(?P<x>.+?)_?grad", r"(?P<x>.+)\.grad", r"(?P<x>.+)_bar",
)  # fmt: skip
CONTAINERS = re.compile(r"(d|g|grads?|gradients?|dparams?|derivatives?)")
MOST = 250_000  # pairs that are looked at
_PART = re.compile(r"(?P<name>[^\[]+)\[(?P<key>.*)\]")


def stems(name: str) -> Iterator[str]:
    """Yield what a gradient of this name may be the gradient of, the likeliest first.

    Example:
        >>> list(stems("d_logits")), list(stems("W_grad"))
        (['logits', '_logits'], ['W'])
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
        fits: how well version i and gradient j fit. Where there are more of one kind some of it are left out: those
            with which the others fit best; of ways that fit alike the versions that came last, and the gradients that
            came first, are paired.
    """
    if old == new:
        return [(old - 1 - j, j) for j in range(new)]
    if old * new > MOST:
        return [(old - 1 - j, j) for j in range(min(old, new))]
    best = [[0.0] * (new + 1) for _ in range(old + 1)]  # of k versions from the end, and j gradients
    fit = cache(lambda k, j: fits(old - k, j - 1))
    for k in range(1, old + 1):
        for j in range(1, new + 1):
            best[k][j] = max(best[k - 1][j - 1] + fit(k, j), best[k - 1][j], best[k][j - 1])
    pairs, k, j = [], old, new
    while k and j:
        if best[k - 1][j] == best[k][j]:
            k -= 1
        elif best[k][j - 1] == best[k][j]:
            j -= 1
        else:
            pairs.append((old - k, j - 1))
            k, j = k - 1, j - 1
    return pairs[::-1]
