"""Check whether the sentences of a diagnosis are true: each one is parsed and computed again from the arrays.

Each call of a student's backward is kept with its arguments and results. Each sentence that the comparison can say has
a row in `CLAIMS`: a pattern, and a condition that must hold for that call. A sentence without a row counts as false.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.wrong_backward import Student, loss_slope, through, value

Array = Any
CLOSE = 2e-5  # numbers are said at six digits


def close(p: Array, q: Array, rel: float = CLOSE) -> bool:
    p, q = np.asarray(p, float), np.asarray(q, float)
    size = max(np.abs(p).max(initial=0), np.abs(q).max(initial=0), 1e-12)
    return p.shape == q.shape and bool((np.abs(p - q) <= rel * size).all())


@dataclass
class Call:
    """One call of a backward: the network and the batch, what it returned, and what was written into."""

    names: list[str]
    W: list[Array]
    b: list[Array]
    x: Array
    y: Array
    z: list[Array]
    a: list[Array]
    masks: list[Array]
    solver: Any
    dW: list[Array]
    db: list[Array]
    delta: dict[int, Array]
    loss: float
    changed: list[str]

    @property
    def N(self) -> int:
        return len(self.x)

    @property
    def student(self) -> Student:
        """The right equations, on the numbers of this call."""
        s = Student()
        s.model, s.y, s.solver, s.K, s.N = self.layers, self.y, self.solver, len(self.W), self.N
        s.x, s.z, s.a, s.masks = self.x, self.z, self.a, self.masks
        return s

    @property
    def layers(self) -> Any:
        holder = type("Held", (), {})
        made = []
        for name, W, b in zip(self.names, self.W, self.b, strict=True):
            layer = holder()
            layer.activation = name
            layer.W, layer.b = holder(), holder()
            layer.W.data, layer.b.data = W, b
            made.append(layer)
        return made

    def into(self, k: int) -> Array:
        return self.a[k - 1] if k else self.x

    def pen(self, k: int) -> Array:
        return self.student.penalty(k) + np.zeros_like(self.W[k])

    def arriving(self, k: int) -> Array:
        if k == len(self.W) - 1:
            return loss_slope(self.solver.loss, self.a[k], self.y)
        return self.student.mask(k, self.delta[k + 1] @ self.W[k + 1])

    def right_delta(self, k: int) -> Array:
        return through(self.names[k], self.arriving(k), self.z[k])

    def f(self, k: int) -> Array:
        return value(self.names[k], self.z[k])

    def got(self, part: str, k: int) -> Array:
        return {"delta": self.delta, "dW": self.dW, "db": self.db}[part][k]

    def wanted(self, part: str, k: int) -> Array:
        if part == "delta":
            return self.right_delta(k)
        return self.delta[k].T @ self.into(k) + self.pen(k) if part == "dW" else self.delta[k].sum(axis=0)

    def size(self, name: str, k: int) -> float:
        """The value of the name of a factor."""
        reg = self.solver.regularization
        facts = {"N": self.N, "n_out": self.y.shape[1], "p": reg.dropout, "lambda": reg.lam, "width": len(self.W[k])}
        sign, name = (-1, name[1:]) if name.startswith("-") else (1, name)
        name = re.sub(r"(\d|N) ?(?=N|n_out)", r"\1*", name).replace("^", "**").replace("lambda", "lam")
        facts["lam"] = facts.pop("lambda")
        if name in ("L", "1/L"):
            facts["L"] = self.loss
        return sign * float(eval(name, {"sqrt": np.sqrt}, facts))  # of our own table of names


class Watched:
    """A backward that keeps its calls."""

    def __init__(self, manual: Any) -> None:
        self.manual, self.calls = manual, []

    def __call__(self, model: Any, data_cache: Any, data_out: Array, *, solver: Any) -> Any:
        x, z, a, masks = data_cache
        arrays = {"data_cache.x": x, "data_out": data_out}
        for k, layer in enumerate(model):
            arrays |= {f"layer {k + 1} W": layer.W.data, f"layer {k + 1} b": layer.b.data}
            arrays |= {f"data_cache.z[{k}]": z[k], f"data_cache.a[{k}]": a[k]}
            if masks[k] is not None:
                arrays[f"data_cache.masks[{k}]"] = masks[k]
        was = {name: array.astype(float) for name, array in arrays.items()}
        found = self.manual(model, data_cache, data_out, solver=solver)
        layers = range(len(model))
        self.calls.append(Call(
            [layer.activation for layer in model], [was[f"layer {k + 1} W"] for k in layers],
            [was[f"layer {k + 1} b"] for k in layers], was["data_cache.x"], was["data_out"],
            [was[f"data_cache.z[{k}]"] for k in layers], [was[f"data_cache.a[{k}]"] for k in layers],
            [was.get(f"data_cache.masks[{k}]") for k in layers], solver, [np.array(g, float) for g in found[1]],
            [np.array(g, float) for g in found[2]], dict(getattr(self.manual, "delta", {})), float(found[0]),
            [name for name, array in arrays.items() if not np.array_equal(array, was[name])],
        ))  # fmt: skip
        return found


@dataclass
class Said:
    """What a sentence says of one array: it is `base`, times `factor`, with its penalty or without."""

    part: str
    base: Array
    factor: float = 1.0
    penalty: str = "with"  # "beside" it is not multiplied, "" there is none

    def holds(self, c: Call, k: int) -> bool:
        got = c.got(self.part, k)
        if self.part != "dW":
            return close(got, self.factor * self.base)
        if not c.pen(k).any():
            return close(got, self.factor * self.base)
        for pen in (c.pen(k), c.pen(k).T):
            if pen.shape == self.base.shape:
                whole = {"with": self.factor * (self.base + pen), "beside": self.factor * self.base + pen,
                         "": self.factor * self.base}[self.penalty]  # fmt: skip
                if close(got, whole):
                    return True
        return pen.ndim != self.base.ndim and close(got, self.factor * self.base)


Claim = Callable[[Call, int, Any], Any]
CLAIMS: list[tuple[re.Pattern[str], Claim]] = []


def claim(pattern: str) -> Callable[[Claim], Claim]:
    """Add a row: the sentence, and what it says: a `Said`, or whether it is true."""

    def add(f: Claim) -> Claim:
        CLAIMS.append((re.compile(pattern), f))
        return f

    return add


NAME = r"[-\w./^() ]+?"
FACTOR = rf"(?P<name>{NAME})(?:, [a-z /0-9]+,)?(?: \((?:here the same as (?P<same>.+?)|[a-z /0-9]+)\))?"
ACT = r"[\w.]+(?:\([\d.]+\))?"


def factor(c: Call, k: int, m: Any) -> float | None:
    """The number of a factor, if all the names of it are the same number."""
    number = c.size(m["name"], k)
    for name in re.sub(r", [a-z /0-9]+?(?= or |$)", "", m["same"] or m["name"]).split(" or "):
        if not np.isclose(c.size(name, k), number, rtol=CLOSE):
            return None
    return number


@claim(rf"(?P<what>delta|dW|db|dW and db|The gradient of the loss in dW) (?:is|are) {FACTOR} times the right ones?\.")
def _times(c: Call, k: int, m: Any) -> bool:
    s = factor(c, k, m)
    if s is None or np.isclose(s, 1):
        return False
    if m["what"].startswith("The"):
        data = c.wanted("dW", k) - c.pen(k)
        return close(c.dW[k], s * data + c.pen(k))
    return all(close(c.got(part, k), s * c.wanted(part, k)) for part in m["what"].split(" and "))


@claim(r"(?P<what>delta|dW|db|The gradient of the loss in dW) has the wrong sign: it is minus the right one\.")
def _minus(c: Call, k: int, m: Any) -> bool:
    part = m["what"] if len(m["what"]) < 6 else "dW"
    shift = c.pen(k) if len(m["what"]) > 6 else 0
    return close(c.got(part, k) - shift, shift - c.wanted(part, k)) and bool(np.any(c.wanted(part, k)))


@claim(r"The penalty is added correctly\.")
def _beside(c: Call, k: int, m: Any) -> bool:
    return bool(np.any(c.pen(k)))  # the sentence before computed it so


@claim(r"(?P<what>delta|dW|db) is zero, and should not be\.")
def _zero(c: Call, k: int, m: Any) -> bool:
    return not np.any(np.abs(c.got(m["what"], k)) > 1e-12) and bool(np.any(c.wanted(m["what"], k)))


@claim(r"dW is the gradient of the penalty alone: the gradient of the loss is missing; the two should be added\.")
def _penalty_alone(c: Call, k: int, m: Any) -> bool:
    return close(c.dW[k], c.pen(k)) and np.any(c.pen(k)) and not close(c.wanted("dW", k), c.pen(k))


@claim(rf"It is also multiplied by {FACTOR}\.(?= |$)(?P<not> The penalty is not\.)?")
def _also(c: Call, k: int, m: Any) -> Any:
    s = factor(c, k, m)
    return None if s is None else lambda said: replace(said, factor=s, penalty="beside" if m["not"] else said.penalty)


@claim(r"And the gradient of the penalty is not added\.")
def _bare(c: Call, k: int, m: Any) -> Any:
    return lambda said: replace(said, penalty="") if np.any(c.pen(k)) else None


# -- delta


def delta_claim(pattern: str, make: Callable[[Call, int, Any], Array]) -> None:
    claim(pattern)(lambda c, k, m: Said("delta", make(c, k, m)))


def formula(name: str, g: Array, v: Array) -> Array:
    """The derivative of an activation in terms of its output, with any value put into it."""
    if name == "softmax":
        return v * (g - (g * v).sum(axis=1, keepdims=True))
    return g * (v * (1 - v) if name == "sigmoid" else 1 - v**2)


delta_claim(rf"The output delta is dL/da; the derivative of {ACT} is missing\.", lambda c, k, m: c.arriving(k))
delta_claim(rf"The upstream gradient is passed on without the derivative of {ACT}\.",
            lambda c, k, m: c.arriving(k))  # fmt: skip
delta_claim(r"Softmax was differentiated as if each output depended only on its own z: p\(1 - p\) is the diagonal of "
            r"its Jacobian, and the other entries, -p_i p_k, are missing\.",
            lambda c, k, m: c.arriving(k) * c.f(k) * (1 - c.f(k)))  # fmt: skip
delta_claim(r"The output delta is that of (?P<loss>\w+), but the loss is \w+\.",
            lambda c, k, m: through(c.names[k], loss_slope(m["loss"], c.a[k], c.y), c.z[k]))  # fmt: skip
delta_claim(r"The output delta is \(a - y\)/N: that is right for crossentropy with softmax and for "
            r"binarycrossentropy with sigmoid, but here the loss is \w+ and the activation \w+\.",
            lambda c, k, m: (c.a[k] - c.y) / c.N)  # fmt: skip
delta_claim(r"The output delta is f'\(z\) times the slope of (?P<loss>\w+), with the diagonal of the Jacobian of "
            r"softmax only\.", lambda c, k, m: loss_slope(m["loss"], c.a[k], c.y) * c.a[k] * (1 - c.a[k]))  # fmt: skip
delta_claim(r"Units that were dropped still receive a gradient\.",
            lambda c, k, m: through(c.names[k], c.delta[k + 1] @ c.W[k + 1], c.z[k]))  # fmt: skip
delta_claim(r"The mask is used (?:as zeros and ones, )?without its scale 1/\(1 - p\)\.", lambda c, k, m: through(
    c.names[k], (c.masks[k] != 0) * (c.delta[k + 1] @ c.W[k + 1]), c.z[k]))  # fmt: skip
delta_claim(r"The mask has the scale (?P<s>[\d.]+); it should be 1/\(1 - p\), which is [\d.]+\.",
            lambda c, k, m: through(c.names[k], float(m["s"]) * (c.masks[k] != 0) * (c.delta[k + 1] @ c.W[k + 1]),
                                    c.z[k]))  # fmt: skip
delta_claim(rf"Units that were dropped receive a gradient, and the derivative of {ACT} is taken at the output after "
            r"the mask; it should be taken before the mask\.",
            lambda c, k, m: formula(c.names[k], c.delta[k + 1] @ c.W[k + 1], c.a[k]))  # fmt: skip
delta_claim(rf"The derivative of {ACT} is taken at a = f\(z\); it should be taken at z\.",
            lambda c, k, m: through(c.names[k], c.arriving(k), c.f(k)))  # fmt: skip
delta_claim(rf"The derivative of {ACT} is written for a = f\(z\), but z was put into it\.",
            lambda c, k, m: formula(c.names[k], c.arriving(k), c.z[k]))  # fmt: skip
delta_claim(rf"The derivative of {ACT} is taken at the output after the dropout mask; it should be "
            r"taken before the mask\.",
            lambda c, k, m: formula(c.names[k], c.arriving(k), c.a[k]))  # fmt: skip
delta_claim(rf"The derivative of {ACT} is taken at the output after the dropout mask, as if it were z\.",
            lambda c, k, m: through(c.names[k], c.arriving(k), c.a[k]))  # fmt: skip
delta_claim(rf"The derivative of {ACT} is taken at the z of layer (?P<j>\d+), not at that of layer \d+\.",
            lambda c, k, m: through(c.names[k], c.arriving(k), c.z[int(m["j"]) - 1]))  # fmt: skip
delta_claim(rf"The derivative of (?P<f>{ACT}) is used, but the activation is {ACT}\.",
            lambda c, k, m: through(m["f"], c.arriving(k), c.z[k]))  # fmt: skip
delta_claim(r"The delta above is multiplied by the transposed weights\.", lambda c, k, m: through(
    c.names[k], c.student.mask(k, c.delta[k + 1] @ c.W[k + 1].T), c.z[k]))  # fmt: skip
delta_claim(r"The delta above is multiplied by the weights of layer (?P<j>\d+) instead of layer \d+\.",
            lambda c, k, m: through(c.names[k], c.student.mask(k, c.delta[k + 1] @ c.W[int(m["j"]) - 1]),
                                    c.z[k]))  # fmt: skip


def softmax_over_the_batch(g: Array, p: Array) -> Array:
    return p * (g - (g * p).sum(axis=0))


delta_claim(r"The sum in the gradient of softmax runs over the batch; it should run over the units\.",
            lambda c, k, m: softmax_over_the_batch(c.arriving(k), c.f(k)))  # fmt: skip
delta_claim(r"The softmax in the backward pass is taken over the batch; it should be taken over the units\.",
            lambda c, k, m: softmax_over_the_batch(c.arriving(k), value("softmax", c.z[k].T).T))  # fmt: skip
delta_claim(r"The softmax in the backward pass is taken over the batch; it should be taken over the classes\.",
            lambda c, k, m: (value("softmax", c.z[k].T).T - c.y) / c.N)  # fmt: skip
delta_claim(rf"delta is the derivative of {ACT} alone: the upstream gradient is missing\.",
            lambda c, k, m: c.f(k) * (1 - c.f(k)) if c.names[k] == "softmax" else
            through(c.names[k], np.ones_like(c.z[k]), c.z[k]))  # fmt: skip


@claim(r"The backward pass uses a dropout mask other than that of the forward pass\.")
def _stale(c: Call, k: int, m: Any) -> bool:
    open_ = through(c.names[k], c.delta[k + 1] @ c.W[k + 1], c.z[k])
    live = np.abs(open_) > 1e-9
    used = c.delta[k][live] / open_[live]
    levels = np.unique(np.round(used, 6))
    return len(levels) <= 2 and bool(((used != 0) != (c.masks[k][live] != 0)).any())


# -- dW and db


def weight_claim(pattern: str, make: Callable[[Call, int, Any], Array], part: str = "dW") -> None:
    claim(pattern)(lambda c, k, m: Said(part, make(c, k, m)))


weight_claim(r"dW is transposed: it is \(batch\)ᵀ delta instead of deltaᵀ \(batch\)\.",
             lambda c, k, m: c.into(k).T @ c.delta[k])  # fmt: skip
weight_claim(r"dW was computed transposed and reshaped, which puts the entries in the wrong order\.",
             lambda c, k, m: (c.into(k).T @ c.delta[k]).reshape(c.W[k].shape))  # fmt: skip
weight_claim(r"dW uses the output of layer \d+ before its dropout mask\.", lambda c, k, m: c.delta[k].T @ c.f(k - 1))
weight_claim(r"dW uses the output of layer \d+ with zeros and ones as its dropout mask\.",
             lambda c, k, m: c.delta[k].T @ (c.f(k - 1) * (c.masks[k - 1] != 0)))  # fmt: skip
BELONGS = r"; it should be (?:the output a of layer \d+|the input x)\."
weight_claim(rf"dW multiplies delta by the z of the layer before instead of its a{BELONGS}",
             lambda c, k, m: c.delta[k].T @ c.z[k - 1])  # fmt: skip
weight_claim(rf"dW multiplies delta by the input x{BELONGS}", lambda c, k, m: c.delta[k].T @ c.x)
weight_claim(rf"dW multiplies delta by its own output{BELONGS}", lambda c, k, m: c.delta[k].T @ c.a[k])
weight_claim(rf"dW multiplies delta by the output of layer (?P<j>\d+){BELONGS}",
             lambda c, k, m: c.delta[k].T @ c.a[int(m["j"]) - 1])  # fmt: skip
weight_claim(rf"dW multiplies delta by the z of layer (?P<j>\d+){BELONGS}",
             lambda c, k, m: c.delta[k].T @ c.z[int(m["j"]) - 1])  # fmt: skip
ROW = {"last": -1, "first": 0}
weight_claim(r"dW holds only the contribution of the (?P<row>last|first) sample: the others were overwritten; "
             r"all should be added\.",
             lambda c, k, m: np.outer(c.delta[k][ROW[m["row"]]], c.into(k)[ROW[m["row"]]]))  # fmt: skip
SOME: dict[str, Callable[[int], slice]] = {
    "the first half of the batch, rounded down": lambda n: slice(n // 2),
    "the first half of the batch, rounded up": lambda n: slice((n + 1) // 2),
    "the last half of the batch, rounded down": lambda n: slice((n + 1) // 2, n),
    "the last half of the batch, rounded up": lambda n: slice(n // 2, n),
    "all samples but the last": lambda n: slice(n - 1), "all samples but the first": lambda n: slice(1, n),
    "every second sample": lambda n: slice(0, n, 2),
}  # fmt: skip
PICKED = rf"(?P<which>{'|'.join(SOME)}); all samples should be added\."
weight_claim(rf"dW holds only the contribution of {PICKED}",
             lambda c, k, m: c.delta[k][SOME[m["which"]](c.N)].T @ c.into(k)[SOME[m["which"]](c.N)])  # fmt: skip
weight_claim(rf"db holds only the contribution of {PICKED}",
             lambda c, k, m: c.delta[k][SOME[m["which"]](c.N)].sum(axis=0), "db")  # fmt: skip
weight_claim(r"delta and the input were each summed over the batch before they were multiplied; the product "
             r"comes first\.",
             lambda c, k, m: np.outer(c.delta[k].sum(0), c.into(k).sum(0)))  # fmt: skip
weight_claim(r"dW has an axis for the samples that was not summed\.",
             lambda c, k, m: c.delta[k][:, :, None] * c.into(k)[:, None, :])  # fmt: skip
claim(r"The penalty is added to each sample\.")(
    lambda c, k, m: lambda said: replace(said, base=said.base + c.pen(k)))  # fmt: skip
weight_claim(r"db still has a row for each sample: the bias was added to every row, so its gradient is the sum over "
             r"the rows\.", lambda c, k, m: c.delta[k], "db")  # fmt: skip
weight_claim(r"db is summed over the units; it should be summed over the samples\.",
             lambda c, k, m: c.delta[k].sum(axis=1), "db")  # fmt: skip
weight_claim(r"db is the sum of all of delta; it should be summed over the samples only\.",
             lambda c, k, m: np.full(c.b[k].shape, c.delta[k].sum()), "db")  # fmt: skip
weight_claim(r"db holds only the delta of the (?P<row>last|first) sample: the others were overwritten; all should be "
             r"added\.", lambda c, k, m: c.delta[k][ROW[m["row"]]], "db")  # fmt: skip


# -- Penalties


def pieces(c: Call, k: int) -> tuple[float, float]:
    """The multiples of sign(W) and of W in the right penalty."""
    reg = c.solver.regularization
    l1, l2 = {"none": (0, 0), "l1": (1, 0), "l2": (0, 1), "elasticnet": (reg.r, 1 - reg.r)}[reg.method]
    return l1 * reg.lam, l2 * reg.lam


def penalty_claim(pattern: str, make: Callable[[Call, tuple[float, float], float], tuple[float, float]]) -> None:
    def check(c: Call, k: int, m: Any) -> bool:
        right = pieces(c, k)
        one, two = make(c, right, c.solver.regularization.lam)
        mine = one * np.sign(c.W[k]) + two * c.W[k]
        return close(c.dW[k], c.wanted("dW", k) - c.pen(k) + mine) and not np.allclose(mine, c.pen(k))

    claim(pattern)(check)


OF = r"The penalty is that of {}; the solver asks for another\."
penalty_claim(r"The gradient of the penalty is not added\.", lambda c, p, lam: (0, 0))
penalty_claim(r"The penalty is (?:added twice(?:, or differentiated without its 1/2)?|twice that of the solver: "
              r"lambda is used instead of lambda/2)\.", lambda c, p, lam: (2 * p[0], 2 * p[1]))  # fmt: skip
penalty_claim(r"The penalty is added once for every sample; it should be added once for the batch\.",
              lambda c, p, lam: (c.N * p[0], c.N * p[1]))  # fmt: skip
penalty_claim(r"The penalty is half that of the solver\.", lambda c, p, lam: (p[0] / 2, p[1] / 2))
penalty_claim(r"The penalty is 1/N of that of the solver\.", lambda c, p, lam: (p[0] / c.N, p[1] / c.N))
penalty_claim(r"The penalty is minus that of the solver\.", lambda c, p, lam: (-p[0], -p[1]))
penalty_claim(OF.format("l1"), lambda c, p, lam: (lam, 0))
penalty_claim(OF.format("l2"), lambda c, p, lam: (0, lam))
penalty_claim(OF.format("only the l1 part of elasticnet"), lambda c, p, lam: (p[0], 0))
penalty_claim(OF.format("only the l2 part of elasticnet"), lambda c, p, lam: (0, p[1]))
penalty_claim(OF.format("elasticnet with r and 1 - r exchanged"), lambda c, p, lam: (p[1], p[0]))
penalty_claim(OF.format("l1 and l2 together, each at full strength"), lambda c, p, lam: (lam, lam))


def _terms(text: str) -> tuple[float, float]:
    found = dict.fromkeys(("sign(W)", "W"), 0.0)
    for part in text.split(" + ") if text != "0" else []:
        number, what = part.split(" ")
        found[what] = float(number)
    return found["sign(W)"], found["W"]


@claim(r"The gradient of the penalty is (?P<mine>[-\d.e+ signW()]+?); it should be (?P<right>[-\d.e+ signW()]+?)\."
       "(?= |$)")  # fmt: skip
def _another(c: Call, k: int, m: Any) -> bool:
    mine, right = _terms(m["mine"]), _terms(m["right"])
    made = mine[0] * np.sign(c.W[k]) + mine[1] * c.W[k]
    wanted = c.wanted("dW", k) - c.pen(k) + made
    return m["mine"] != m["right"] and close(right, pieces(c, k)) and close(c.dW[k], wanted)


@claim(r"The gradient of the penalty \|W\| is written as \|W\|; it should be sign\(W\)\.")
def _absolute(c: Call, k: int, m: Any) -> bool:
    one, two = pieces(c, k)
    made = c.wanted("dW", k) - c.pen(k) + one * np.abs(c.W[k]) + two * c.W[k]
    return bool(one) and close(c.dW[k], made)


@claim(r"dW is a multiple of (?P<what>W|sign\(W\)), like the gradient of a penalty alone: the gradient of the loss is "
       r"missing; the two should be added\.")  # fmt: skip
def _nothing_but_a_penalty(c: Call, k: int, m: Any) -> bool:
    pattern = np.sign(c.W[k]) if "sign" in m["what"] else c.W[k]
    times = float((c.dW[k] * pattern).sum() / (pattern * pattern).sum())
    return bool(times) and close(c.dW[k], times * pattern)


@claim(r"A penalty is put on the biases; it belongs on the weights only\.")
def _on_biases(c: Call, k: int, m: Any) -> bool:
    extra = c.db[k] - c.wanted("db", k)
    columns = np.stack([np.sign(c.b[k]), c.b[k]], axis=1)
    fit = np.linalg.lstsq(columns, extra, rcond=None)[0]
    return bool(np.abs(extra).max() > 1e-9) and close(columns @ fit, extra)


@claim(r"A penalty is added to dW, but the solver asks for none\.")
def _unasked(c: Call, k: int, m: Any) -> bool:
    extra = c.dW[k] - c.wanted("dW", k)
    columns = np.stack([np.sign(c.W[k]).ravel(), c.W[k].ravel()], axis=1)
    fit = np.linalg.lstsq(columns, extra.ravel(), rcond=None)[0]
    return not c.pen(k).any() and close(columns @ fit, extra.ravel())


# -- What no known mistake explains

PART = r"(?P<part>dW|db|delta)"
LIST = r"[\d, \[\]and.()l]+?"


def indices(text: str) -> tuple[list[list[int]], int | None]:
    """The listed indices, and how many there are if not all are listed."""
    whole = re.search(r"\((\d+) in all\)", text)
    text = re.sub(r", \.\.\. \(.*", "", text)
    entries = [[int(n) for n in found.split(", ")] for found in re.findall(r"\[([\d, ]+)\]", text)]
    return entries or [[int(n)] for n in re.findall(r"\d+", text)], int(whole[1]) if whole else None


def wrong(c: Call, part: str, k: int) -> Array:
    got, right = c.got(part, k), c.wanted(part, k)
    return np.abs(got - right) > 1e-10 * np.abs(right).max()


@claim(rf"Every entry of {PART} is wrong\.")
def _every(c: Call, k: int, m: Any) -> bool:
    return bool(wrong(c, m["part"], k).mean() > 0.99)


@claim(rf"{PART} is wrong(?=:|\.)\.?")
def _alone(c: Call, k: int, m: Any) -> bool:
    return c.got(m["part"], k).size == 1 and bool(wrong(c, m["part"], k).all())


@claim(rf"(?P<what>Rows?|Columns?) (?P<list>{LIST}) of {PART} (?:is|are) wrong, the other (?:is|(?P<n>\d+) are) right"
       r"(?:\.|(?=:))")  # fmt: skip
def _lines(c: Call, k: int, m: Any) -> bool:
    bad = wrong(c, m["part"], k)
    hit = bad.any(axis=0 if m["what"].startswith("C") else 1)
    found, whole = indices(m["list"])
    listed = [i for i, in found]
    return (listed == np.flatnonzero(hit).tolist()[: len(listed)] and (whole or len(listed)) == hit.sum()
            and int(m["n"] or 1) == (~hit).sum())  # fmt: skip


@claim(rf"(?P<what>Entry|Entries) (?P<list>{LIST}) of {PART} (?:is|are) wrong, the other (?:is|(?P<n>\d+) are) right"
       r"(?:\.|(?=:))")  # fmt: skip
def _entries(c: Call, k: int, m: Any) -> bool:
    bad = wrong(c, m["part"], k)
    found, whole = indices(m["list"])
    return (found == np.argwhere(bad).tolist()[: len(found)] and (whole or len(found)) == bad.sum()
            and int(m["n"] or 1) == (~bad).sum())  # fmt: skip


@claim(rf"(?P<what>The diagonal|All but the diagonal|The part (?:above|below) the diagonal) of {PART} is wrong, the "
       r"rest is right\.")  # fmt: skip
def _diagonal(c: Call, k: int, m: Any) -> bool:
    bad = wrong(c, m["part"], k)
    eye = np.eye(len(bad), dtype=bool)
    shapes = {"The diagonal": eye, "All but the diagonal": ~eye, "The part above the diagonal": np.triu(~eye),
              "The part below the diagonal": np.tril(~eye)}  # fmt: skip
    return bool((bad == shapes[m["what"]]).all())


RELATIONS: dict[str, Callable[[Array, float], Array]] = {
    r"minus the right one": lambda r, s: -r,
    r"(?P<s>[-\d./e+]+) times the right one": lambda r, s: s * r,
    r"the right one plus (?P<s>[\d.e+-]+)": lambda r, s: r + s,
    r"the right one minus (?P<s>[\d.e+-]+)": lambda r, s: r - s,
    r"(?P<s>[-\d.e+]+) throughout": lambda r, s: np.full_like(r, s),
    r"0": lambda r, s: 0 * r,
    r"the absolute value of the right one": lambda r, s: np.abs(r),
    r"the sign of the right one": lambda r, s: np.sign(r),
    r"the square of the right one": lambda r, s: r * r,
    r"the right one cubed": lambda r, s: r**3,
    r"1 over the right one": lambda r, s: 1 / r,
    r"the right one, cut off at ±(?P<s>[\d.e+-]+)": lambda r, s: np.clip(r, -s, s),
    r"the right one, rounded to (?P<s>\d) digits after the point": lambda r, s: np.round(r, int(s)),
}


def _relation(pattern: str, make: Callable[[Array, float], Array]) -> None:
    @claim(rf"Each (?:wrong )?entry is {pattern}\.(?= |$)")
    def check(c: Call, k: int, m: Any) -> bool:
        s = m.groupdict().get("s") or "0"
        number = float(s.split("/")[0]) / float([*s.split("/"), "1"][1])
        for part in ("dW", "db", "delta"):  # of which of them the sentence before speaks does not matter here
            got, right = c.got(part, k), c.wanted(part, k)
            if got.shape != right.shape:
                continue
            bad = wrong(c, part, k)
            if bad.any() and close(got[bad], make(right, number)[bad]):
                return True
        return False


for _pattern, _make in RELATIONS.items():
    _relation(_pattern, _make)


def _any_part(c: Call, k: int, holds: Callable[[Array, Array], bool]) -> bool:
    return any(holds(c.got(part, k), c.wanted(part, k)) for part in ("dW", "db", "delta")
               if c.got(part, k).shape == c.wanted(part, k).shape)  # fmt: skip


@claim(r"Its (?P<axis>row|column)s are right, but in another order: (?P<list>.+?)\.(?= |$)")
def _order(c: Call, k: int, m: Any) -> bool:
    pairs = re.findall(r"(?:row|column) (\d+) holds what belongs in (?:row|column) (\d+)", m["list"])
    take = (lambda g, i: g[i]) if m["axis"] == "row" else (lambda g, i: g[:, i])
    return _any_part(c, k, lambda g, r: g.ndim == 2 and all(close(take(g, int(i)), take(r, int(j))) for i, j in pairs))


@claim(r"(?:Row|Column) \d+ is (?:the right one plus )?[-\d.e+]+(?: times the right one)?(?:(?:, | and ).+?)?\.(?= |$)")
def _by_line(c: Call, k: int, m: Any) -> bool:
    text = m[0].lower()
    found = re.findall(r"(row|column) (\d+) is (the right one plus )?([-\d.e+]*\d)", text)

    def holds(g: Array, r: Array) -> bool:
        if g.ndim != 2:
            return False
        line = lambda x, axis, i: x[int(i)] if axis == "row" else x[:, int(i)]
        return all(close(line(g, axis, i), line(r, axis, i) + float(v) if plus else float(v) * line(r, axis, i))
                   for axis, i, plus, v in found)  # fmt: skip

    return _any_part(c, k, holds)


@claim(r"(?:The largest difference is at (?P<at>\[[\d, ]*\]))?: it is (?P<g>[-\w.+]+?), and should be (?P<r>[-\w.+]+?)"
       r"(?: \(ratio (?P<t>[-\w.+]+)\))?\.(?= |$)")  # fmt: skip
def _largest(c: Call, k: int, m: Any) -> bool:
    g, r = float(m["g"]), float(m["r"])

    def holds(got: Array, right: Array) -> bool:
        apart = np.abs(got - right)
        listed = bool(m["at"]) and m["at"] != "[]"
        i = tuple(indices(m["at"])[0][0]) if listed else np.unravel_index(apart.argmax(), apart.shape)
        return close(got[i], g) and close(right[i], r) and bool(apart[i] >= apart.max() * (1 - 1e-9))

    times = m["t"] is None or close(float(m["t"]), g / r, 1e-3)
    return g != r and times and _any_part(c, k, holds)


@claim(r"\(The right value here follows from the delta (?:of this layer, with the mistakes above in it|above, "
       r"with the mistakes in it)\.\)")  # fmt: skip
def _inherited(c: Call, k: int, m: Any) -> bool:
    deltas = {len(c.W) - 1: c.right_delta(len(c.W) - 1)}
    for j in range(len(c.W) - 2, -1, -1):
        deltas[j] = replace(c, delta=deltas).right_delta(j)
    return any(not close(c.delta[j], deltas[j]) for j in range(k, len(c.W)))


@claim(r"(?P<part>dW|db|delta) has shape (?P<mine>\([\d, ]+\)), but should have (?P<right>\([\d, ]+\))\.")
def _shape(c: Call, k: int, m: Any) -> bool:
    return str(c.got(m["part"], k).shape) == m["mine"] and str(c.wanted(m["part"], k).shape) == m["right"]


@claim(r"The gradient has shape (?P<mine>\([\d, ]+\)), and the graph's has (?P<right>\([\d, ]+\)); it needs the shape "
       r"of its parameter\.")  # fmt: skip
def _row_shape(c: Call, k: int, m: Any) -> bool:
    return m["mine"] in (str(c.dW[k].shape), str(c.db[k].shape)) and m["mine"] != m["right"]


def untrue(text: str, c: Call, k: int) -> str:
    """Return what is untrue in a text about layer k, or what of it has no row in `CLAIMS`; empty if all is true."""
    said: Said | None = None
    rest = text
    while rest:
        matches = ((pattern.match(rest), check) for pattern, check in CLAIMS)
        m, check = next(((m, check) for m, check in matches if m is not None), (None, None))
        if m is None or check is None:
            return f"nobody knows how to check {rest!r}"
        found = check(c, k, m)
        if callable(found):
            found = None if said is None else found(said)
        if found is None or (isinstance(found, (bool, np.bool_)) and not found):
            return f"{m[0]!r} is not true"
        said = found if isinstance(found, Said) else said
        rest = rest[m.end():].lstrip()
    if said is not None:
        if not said.holds(c, k):
            return f"{text!r} is not true"
        if said.part == "delta" and close(said.factor * said.base, c.wanted("delta", k)):
            return f"{text!r} is no mistake"
    return ""


def _right_throughout(c: Call) -> Call:
    """The same call, as if the delta of each layer had been right."""
    deltas: dict[int, Array] = {}
    for k in reversed(range(len(c.W))):
        deltas[k] = replace(c, delta=deltas).right_delta(k)
    return replace(c, delta=deltas)


TWIN, OTHER = "the same numbers would come from this: ", re.compile(r"In a random batch of (\d+) rows?: ")


def falsehoods(report: Any, calls: list[Call]) -> list[str]:
    """Return what is untrue in the diagnoses of a report about a student's backward, whose first call is the batch."""
    found = []
    for d in report.diagnoses:
        layer = re.match(r"layer (\d+)", d.where)
        if layer is None:
            found.append(f"{d.where}: nobody knows where that is")
            continue
        k, given = int(layer[1]) - 1, calls[:1]
        if any("does not show" in sentence for sentence in d.evidence):
            given = calls[3:]  # those with random numbers
        for text in (d.text, *(e.removeprefix(TWIN) for e in d.evidence if e.startswith(TWIN))):
            other = OTHER.match(text)
            tried = [c for c in calls[3:] if int(other[1]) == c.N] if other else given
            said = text[other.end() :] if other else text
            false = [untrue(said, c, k) and untrue(said, _right_throughout(c), k) for c in tried]
            if not false or all(false):
                found.append(f"{d.where}, {d.kind}: {[*false, text][0]}")
    return found
