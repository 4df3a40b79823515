"""Find the value of the forward that a gradient belongs to, by its name, and align repeated bindings of both names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache

from ...common.printable import printable

PATTERNS = (
    r"d(?:[lLJEC]|[lL]oss|[cC]ost)_?d_?(?P<x>.+)",  # dL_dX, dLdX
    r"d_?(?P<x>.+)", r"(?:grad|nabla)_?(?P<x>.+)", r"(?P<x>.+?)_?grad", r"(?P<x>.+)\.grad", r"(?P<x>.+)_bar",
)  # fmt: skip
CONTAINERS = re.compile(r"(d|g|grads?|gradients?|dparams?|derivatives?)")
MOST = 250_000  # largest number of pairs that `pair_in_reverse` compares
_PART = re.compile(r"(?P<name>[^\[]+)\[(?P<key>.*)\]")


def names_for_gradient(name: str) -> Iterator[str]:
    """Yield the names of the values that a gradient of this name may belong to, the likeliest first.

    Example:
        >>> list(names_for_gradient("d_logits")), list(names_for_gradient("W_grad"))
        (['logits', '_logits'], ['W'])
    """
    for pattern in PATTERNS:
        match = re.fullmatch(pattern, name)
        if match:
            yield match["x"]
    if name.startswith("d_"):
        yield name[1:]


class Names:
    """The names of the forward's values, and the lookup from the name of a gradient to one of them."""

    def __init__(self, value_names: Sequence[str], mapping: Mapping[str, str] | None = None) -> None:
        """`mapping` is the user's `names=`; raise ValueError if it names a value that the forward does not have."""
        self.value_names, self.mapping = set(value_names), dict(mapping or {})
        unknown = [f"{k!r}: {v!r}" for k, v in self.mapping.items() if v not in self.value_names]
        if unknown:
            names_text = printable(", ".join(value_names))
            raise ValueError(f"compare_steps: names= holds {', '.join(unknown)}; the forward has no such value. It has "
                             f"{names_text}.")  # fmt: skip
        self.value_labels: dict[str, str | None] = {}
        self.keys: dict[str, str] = {}  # from the string key of a part to its label: x to cache['x']
        self.plural: set[str] = set()  # names of lists of values
        for label in value_names:
            part = _PART.fullmatch(label)
            if part and part["key"][:1] in "'\"":
                self.keys.setdefault(part["key"][1:-1], label)
            elif part:
                self.plural.add(part["name"])
            elif "." in label:  # an attribute of an object
                self.keys.setdefault(label.rpartition(".")[2], label)

    def of(self, label: str) -> str | None:
        """Return the label of the value that a gradient belongs to (``hs[]`` for any element of a list), or None."""
        if label not in self.value_labels:
            self.value_labels[label] = self._of(label)
        return self.value_labels[label]

    def _of(self, label: str) -> str | None:
        if label in self.mapping:
            return self.mapping[label]
        part = _PART.fullmatch(label)
        container, dot, key = label.partition(".")
        if dot and part is None and key.isidentifier() and key != "grad":
            return self._of_key(container, key)
        if part is None:
            for stem in names_for_gradient(label):
                if stem in self.value_names:
                    return stem
                if stem in self.keys:
                    return self.keys[stem]
                if stem + "s" in self.plural:
                    return f"{stem}s[]"
            return None
        name, key = part["name"], part["key"]
        for stem in names_for_gradient(name):
            if f"{stem}[{key}]" in self.value_names:
                return f"{stem}[{key}]"
            lists = [plural for plural in self.plural if plural.startswith(stem)] if len(stem) == 1 else []
            if len(lists) == 1 and f"{lists[0]}[{key}]" in self.value_names:  # nabla_w[0] belongs to weights[0]
                return f"{lists[0]}[{key}]"
        return self._of_key(name, key[1:-1]) if key[:1] in "'\"" else None

    def _of_key(self, container: str, key: str) -> str | None:
        """Return the label of the value whose gradient stands under a key, such as ``dW`` or, in ``grads``, ``W``."""
        value_label = self._of(key)
        if value_label is None and CONTAINERS.fullmatch(container):
            value_label = key if key in self.value_names else self.keys.get(key)
        return value_label


def pair_in_reverse(old: int, new: int, fit_of: Callable[[int, int], float]) -> list[tuple[int, int]]:
    """Pair the versions of a name with the gradients of that name in reverse order: the last with the first, and so on.

    If the counts differ, the order-preserving pairing with the best total fit is taken. Of pairings that fit equally
    well, the one with the last versions and the first gradients is taken.

    Args:
        old: the number of versions.
        new: the number of gradients.
        fit_of: returns how well version i and gradient j fit.

    Returns:
        The pairs (version, gradient), the last version first.
    """
    if old == new:
        return [(old - 1 - j, j) for j in range(new)]
    if old * new > MOST:
        return [(old - 1 - j, j) for j in range(min(old, new))]
    best = [[0.0] * (new + 1) for _ in range(old + 1)]  # best fit of the last k versions with the first j gradients
    fit = cache(lambda k, j: fit_of(old - k, j - 1))
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


def as_mapping(names: Mapping[str, str] | None) -> dict[str, str]:
    """Return the user's `names=` as a dict from gradient to forward value; raise TypeError if it is no mapping."""
    if names is not None and not isinstance(names, Mapping):
        what = type(names).__name__
        raise TypeError(f"compare_steps: names= takes a dict {{'delta': 'z'}}, gradient and value; it got a {what}.")
    return dict(names or {})
