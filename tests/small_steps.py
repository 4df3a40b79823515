"""Small programs for `compare_steps`; each passes values and gradients to it in a different way."""

from __future__ import annotations

import linecache
import re
from collections import deque, namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np

Kept = namedtuple("Kept", "x y")


class Box:
    def __init__(self, x: Any, w: Any, y: Any) -> None:
        self.x, self.w, self.y = x, w, y


# The forward and the lines of the backward that most share.
FORWARD = """
def forward(x, w):
    y = x * w
    z = np.sin(y)
    return z.sum()
"""
STEPS = """
    dz = np.ones(3)
    dy = dz * np.cos(y)
    dx = dy * w
    dw = dy * x
"""

# how the backward takes the values, and what it returns
WAYS = {
    "by names": ("def backward(x, w, y):", "return dx, dw"),
    "all": ("def backward(*args, y):\n    x, w = args", "return dx, dw"),
    "keywords": ("def backward(x, w, y, **more):", "return dx, dw"),
    "positions": ("def backward(x, w, y, /):", "return dx, dw"),
    "a default": ("def backward(x, w, y, times=1):", "return dx, dw"),
    "attributes": ("def backward(v):\n    x, w, y = v.x, v.w, v.y", "return dx, dw"),
    "keys": ("def backward(saved):\n    x, w, y = (saved[k] for k in 'xwy')", "return dx, dw"),
    "one parameter": ("def backward(every):\n    x, w, y = every.x, every.w, every.y", "return dx, dw"),
    "returned by name": ("def backward(x, w, y):", "return {'dx': dx, 'w': dw}"),
    "returned alone": ("def backward(x, w, y):", "return {'dw': 2 * dy * x}"),
    "nothing returned": ("def backward(x, w, y):", "pass"),
    "an error": ("def backward(x, w, y):", "dw = dw @ np.ones(4)"),
}  # fmt: skip
# what the forward keeps, and how the backward takes it
CACHES = {
    "a tuple": ("(x, w, y)", "x, w, y = cache"), "a list": ("[x, [w, y]]", "x, (w, y) = cache"),
    "a dict": ("{'x': x, 'w': w, 'y': y}", "x, w, y = cache['x'], cache['w'], cache['y']"),
    "a named tuple": ("(Kept(x, y), w)", "x, y, w = cache[0].x, cache[0].y, cache[1]"),
    "a queue": ("deque([x, w, y])", "x, w, y = cache"),
    "an object": ("Box(x, w, y)", "x, w, y = cache.x, cache.w, cache.y"),
    "locals": ("locals()", "x, w, y = cache['x'], cache['w'], cache['y']"),
}  # fmt: skip
WHOLE: dict[str, str] = {}
WHOLE["a number of the forward"] = """
def forward(x, w):
    n = 2
    y = x * w * n
    return np.sin(y).sum()


def backward(x, w, y, n):
    dy = np.cos(y)
    dx = dy * w * n
    dw = dy * x
    return dx, dw
"""
WHOLE["a result and a cotangent"] = """
def forward(x, w):
    y = x * w
    out = np.sin(y)
    return out, (x, w, y)


def backward(dout, cache):
    x, w, y = cache
    dy = dout * np.cos(y)
    dx = dy * w
    dw = dy * w
    return dx, dw
"""
WHOLE["its output"] = """
def forward(x, w):
    y = x * w
    return np.exp(y)


def backward(g, x, w, out):
    dy = g * out
    dx = dy * w
    dw = dy * x
    return dx, dw
"""
WHOLE["two results"] = """
def forward(x, w):
    y = x * w
    z = x + w
    return y, z


def backward(g, x, w):
    dy, dz = g
    dx = dy * w + dz
    dw = dy * x - dz
    return dx, dw
"""
WHOLE["a dict of results"] = """
def forward(x, w):
    y = x * w
    return {'loss': np.sin(y).sum(), 'y': y}


def backward(x, w, y):
    dy = np.cos(y)
    dx = dy * w
    dw = -dy * x
    return dx, dw
"""
WHOLE["without names"] = """
def forward(x, w):
    y = x * w
    return np.sin(y).sum()


def backward(x, w, y):
    dy = np.cos(y)
    return dy * w, 2 * dy * x
"""
WHOLE["added up"] = """
def forward(x, w):
    y = x * w
    z = np.sin(y) + y
    return z.sum()


def backward(x, w, y):
    dz = np.ones(3)
    dy = np.zeros(3)
    dy += dz * np.cos(y)
    dy += dz
    dx = dy * w
    dw = dy * x
    return dx, dw
"""
WHOLE["added up wrongly"] = """
def forward(x, w):
    y = x * w
    z = np.sin(y) + y
    return z.sum()


def backward(x, w, y):
    dz = np.ones(3)
    dy = dz * np.cos(y)
    dy += 2 * dz
    dx = dy * w
    dw = dy * x
    return dx, dw
"""
WHOLE["one name used on"] = """
def forward(x, w):
    y = x * w
    return np.sin(y).sum()


def backward(x, w, y):
    d = np.ones(3)
    d = d * np.cos(y)
    dx = d * w
    dw = d * x
    return dx, dw
"""
WHOLE["into a buffer"] = """
def forward(x, w):
    y = x * w
    return np.sin(y).sum()


def backward(x, w, y):
    dy = np.empty(3)
    np.cos(y, out=dy)
    dx = np.zeros(3)
    for i in range(3):
        dx[i] = dy[i] * w[i]
    dw = dy * x
    return dx, dw
"""
WHOLE["helpers"] = """
def forward(x, w):
    y = x * w
    return np.sin(y).sum()


def backward(x, w, y):
    dq = 3.0
    dy = np.cos(y)
    return product(dy, w), product(dy, dq * x)


def product(dy, w):
    dx = dy * w
    return dx
"""
WHOLE["layers"] = """
def forward(x, w):
    h = x
    hs = [x]
    for k in range(3):
        h = np.tanh(h * w)
        hs.append(h)
    loss = (h ** 2).sum()
    return loss


def backward(x, w, hs):
    dw = np.zeros(3)
    dh = 2 * hs[3]
    for k in reversed(range(3)):
        da = dh * (1 - hs[k + 1] ** 2)
        dw += da * hs[k]
        dh = da * w
    dx = dh
    return dx, dw
"""
WHOLE["a function each"] = """
def forward(x, w):
    y = mul_forward(x, w)
    return y.sum()


def mul_forward(a, b):
    c = a * b
    return np.sin(c)


def backward(x, w):
    dx, dw = mul_backward(np.ones(3), x, w)
    return dx, dw


def mul_backward(d, a, b):
    dc = d * np.cos(a * b)
    da = dc * b
    db = dc * a
    return da, db
"""
WHOLE["a gradient on each"] = """
def forward(x, w):
    y = x * w
    return np.sin(y).sum()


def backward(x, w, y):
    y.grad = np.cos(y)
    x.grad = y.grad * w
    w.grad = y.grad * w
"""


def text(name: str) -> str:
    """Return the source of a program."""
    if name in WAYS:
        takes, returns = WAYS[name]
        return f"{FORWARD}\n\n{takes}{STEPS}    {returns}\n"
    if name in CACHES:
        kept, taken = CACHES[name]
        keeps = FORWARD.replace("return z.sum()", f"return z.sum(), {kept}")
        return f"{keeps}\n\ndef backward(cache):\n    {taken}{STEPS}    return dx, dw\n"
    return WHOLE[name]


PROGRAMS = [*WAYS, *CACHES, *WHOLE]


def functions(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return forward and backward of a program, compiled under the name of a file that does not exist."""
    source = text(name)
    file = f"<small steps: {re.sub(' ', '-', name)}>"
    linecache.cache[file] = len(source), None, source.splitlines(True), file
    space: dict[str, Any] = {"np": np, "Kept": Kept, "deque": deque, "Box": Box, "__name__": "somebody"}
    exec(compile(source, file, "exec"), space)
    return space["forward"], space["backward"]
