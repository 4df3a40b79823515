"""Errors for code that would turn a Tensor into plain numbers: the edit is read from the user's line.

Only the path of an error comes here. The line is found in the frames of the stack, and is never run.
"""

from __future__ import annotations

import ast
import linecache
import sys
from itertools import islice
from types import FrameType, FunctionType
from typing import Any

import numpy as np

from .call_site import is_of_library

ARRAY = "turning a Tensor into an ndarray would drop its graph. "
BARE = " t.data is the bare array, through which no gradient flows; take t.detach() for a plot."
LOOP = "`out = Tensor(out)` once, before the loop, and in it `out = out.at[i].set(t)`"
GENERAL = (
    "NumPy's functions take the Tensor itself; those of SciPy are in tinygrad_nn.special and in linalg, stats, "
    "special, signal and integrate of tinygrad_nn.autograd.scipy. Instead of out[i] = t write out = Tensor(out) once, "
    "before the loop, and in it out = out.at[i].set(t). For an array of several Tensors write tinygrad_nn.array([...]) "
    "or np.stack([...]): np.array, np.r_ and np.c_ cannot be intercepted, nor can numpy.polynomial: use "
    "tinygrad_nn.polynomial. A list that is an argument of grad stays a list, of Tensors: pass an array, "
    "grad(f)(np.array(x)). Instead of np.full(shape, t) write np.full(shape, t, like=t), of np.vectorize(f)(t) write "
    "tinygrad_nn.vectorize(f)(t)."
)
NUMBER = "{call} would drop the graph of this Tensor. "
ITEM = (
    "Inside a function to be differentiated use np.sin(t) and the like rather than math.sin(t). Instead of out[i] = t, "
    f"which writes into an array, write {LOOP}, or np.stack([...]) of the numbers. The bare number is t.item(), "
    "through which no gradient flows."
)
AGAIN = (
    "Tensor(t) of a Tensor would drop its graph. Use t itself, t.detach() for a constant with the same data, or "
    "Tensor(t.data) for a new leaf. If a loop writes into t, `t = Tensor(t)` belongs before the loop, and in it is "
    "`t = t.at[i].set(value)`."
)
OUT = (
    "np.{name} would write a Tensor's values into an array and lose the graph. Remove out=; instead of `array += "
    "tensor` write `array = array + tensor`, instead of np.add.at use t.at[index].add."
)
SCIPY = {  # the functions of SciPy's modules that take Tensors in tinygrad_nn.autograd.scipy
    "linalg": (
        "block_diag", "cho_factor", "cho_solve", "cholesky", "det", "eigh", "eigvalsh", "expm", "inv", "norm", "pinv",
        "solve", "solve_banded", "solve_sylvester", "solve_triangular", "sqrtm", "svd",
    ),
    "stats": ("beta", "chi2", "dirichlet", "gamma", "multivariate_normal", "norm", "poisson", "t"),
    "special": ("logsumexp",), "signal": ("convolve",), "integrate": ("odeint",),
}  # fmt: skip
METHODS = {ast.Add: "add({})", ast.Sub: "add(-({}))", ast.Mult: "multiply({})", ast.Div: "multiply(1 / ({}))"}
DRAWS = frozenset(name for name in dir(np.random.Generator) if name[0] != "_")


def array_error() -> TypeError:
    """Return the error for a Tensor with a graph that is turned into an ndarray."""
    frame, scipy = _user_frame()
    if scipy is not None:
        return TypeError(ARRAY + _of_scipy(scipy) + BARE)
    code = _code_at(frame)
    if (edit := _of_write(frame, code)) or (isinstance(code, ast.Call) and (edit := _of_call(frame, code))):
        return TypeError(ARRAY + edit + BARE)
    return TypeError(ARRAY + GENERAL + BARE)


def number_error(call: str) -> TypeError:
    """Return the error for a Tensor with a graph that is turned into a number."""
    frame, _ = _user_frame()
    if edit := _of_write(frame, _code_at(frame)):
        return TypeError(NUMBER.format(call=call) + edit)
    return TypeError(NUMBER.format(call=call) + ITEM)


def out_error(name: str) -> TypeError:
    """Return the error for a ufunc that would write into an array: ``array += tensor``, or ``out=``."""
    frame, _ = _user_frame()
    edit = _of_write(frame, _code_at(frame))
    return TypeError(OUT.format(name=name).partition(" Remove")[0] + " " + edit if edit else OUT.format(name=name))


def _user_frame() -> tuple[FrameType, str | None]:
    """Return the innermost frame of user code, and the name of SciPy's function that it called, if any."""
    frame, scipy = sys._getframe(2), None
    while frame.f_back is not None and is_of_library(frame.f_code.co_filename):
        wrapped = frame.f_locals.get("f")  # by SciPy's functions that make functions of stacks of matrices
        owner, name = frame.f_globals.get("__name__", ""), frame.f_code.co_name
        if owner.startswith("scipy._") and isinstance(wrapped, FunctionType):
            owner, name = wrapped.__module__, wrapped.__name__
        if owner.startswith("scipy.") and not owner.startswith("scipy._"):
            of = frame.f_locals.get("self")
            name = type(of).__name__ if name == "__init__" else name
            law = getattr(of, "name", None)  # of a distribution
            scipy = f"{owner.split('.')[1]}.{law if isinstance(law, str) else name}"
        frame = frame.f_back
    return frame, scipy


def _of_scipy(function: str) -> str:
    module, _, name = function.partition(".")
    if name in SCIPY.get(module, ()):
        return (f"scipy.{module} takes plain arrays; {name} for Tensors is in tinygrad_nn.autograd.scipy.{module}: "
                f"write `from tinygrad_nn.autograd.scipy import {module}`.")  # fmt: skip
    return (f"scipy.{function} takes plain arrays, and has no derivative here. tinygrad_nn.special has special "
            "functions, tinygrad_nn.autograd.scipy has linalg, stats, special, signal and integrate; your own rule "
            "for it is tinygrad_nn.custom_vjp.")  # fmt: skip


def _code_at(frame: FrameType) -> Any:
    """Return the syntax tree of the expression or assignment that a frame runs now, or None if it is not known."""
    found = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None), None)
    if found is None or None in found:
        return None
    first, last, start, end = found
    lines = [line.encode() for line in linecache.getlines(frame.f_code.co_filename, frame.f_globals)]
    part = lines[first - 1 : last]  # type: ignore[operator]
    if not part:
        return None
    part[-1] = part[-1][:end]
    part[0] = part[0][start:]
    code = _parsed(b"".join(part))
    if isinstance(code, ast.Subscript):  # of an assignment only the target is known yet
        whole = lines[first - 1][start:]  # type: ignore[operator]
        for line in (b"", *lines[first : first + 8]):  # type: ignore[operator]
            whole += line
            statement = _parsed(whole)
            if isinstance(statement, (ast.Assign, ast.AugAssign)):
                return statement
    return code


def _parsed(text: bytes) -> Any:
    try:
        body = ast.parse(text.decode()).body
    except (SyntaxError, ValueError):
        return None
    one = body[0] if len(body) == 1 else None
    return one.value if isinstance(one, ast.Expr) else one


def _of_write(frame: FrameType, code: Any) -> str | None:
    """Return the edit for an assignment to part of an array, ``out[i] = t`` or ``out[i] += t``."""
    target = code.target if isinstance(code, ast.AugAssign) else code.targets[0] if isinstance(code, ast.Assign) else 0
    if not isinstance(target, ast.Subscript):
        return None
    name, index, value = ast.unparse(target.value), ast.unparse(target.slice), ast.unparse(code.value)
    if isinstance(target.slice, ast.Tuple):
        index = index.removeprefix("(").removesuffix(")")
    if not isinstance(code, ast.AugAssign):
        update = f"set({value})"
    elif type(code.op) in METHODS:
        update = METHODS[type(code.op)].format(value)
    else:
        update = f"set({ast.unparse(ast.BinOp(target, code.op, code.value))})"
    return (f"Write `{name} = Tensor({name})` once, before the loop, and in place of this line "
            f"`{name} = {name}.at[{index}].{update}`; or collect the parts in a list, and join them by "
            "np.stack([...]).")  # fmt: skip


def _value_of(frame: FrameType, code: Any) -> Any:
    """Return the value of a name, or of an attribute of a module, without running anything; else None."""
    if isinstance(code, ast.Name):
        return frame.f_locals.get(code.id, frame.f_globals.get(code.id))
    if isinstance(code, ast.Attribute):
        owner = _value_of(frame, code.value)
        return vars(owner).get(code.attr) if type(owner) is type(np) else None
    return None


def _of_call(frame: FrameType, code: ast.Call) -> str | None:
    """Return the edit for a call, such as ``np.asarray(t)``."""
    function = _value_of(frame, code.func)
    name = ast.unparse(code.func)
    first = code.args[0] if code.args else None
    if function in (np.asarray, np.array, np.asanyarray, np.ascontiguousarray, np.asarray_chkfinite):
        if isinstance(first, (ast.List, ast.Tuple, ast.ListComp)) or isinstance(_value_of(frame, first), (list, tuple)):
            return (f"For an array of several Tensors write tinygrad_nn.array([...]) or np.stack([...]) in place of "
                    f"{name}. A list that is an argument of grad stays a list, of Tensors: pass an array, "
                    "grad(f)(np.array(x)).")  # fmt: skip
        if first is not None:
            several = " For an array of several Tensors write tinygrad_nn.array([...])." * (function is np.array)
            return f"Leave {name} out: write `{ast.unparse(first)}`, which works as an array does.{several}"
    if isinstance(function, np.vectorize):
        return "Instead of np.vectorize(f)(t) write tinygrad_nn.vectorize(f)(t)."
    if isinstance(code.func, ast.Attribute) and first is not None:
        if code.func.attr == "dot":
            edit = f"{ast.unparse(code.func.value)} @ {ast.unparse(first)}"
            return f"Instead of x.dot(t) of an array x write x @ t: `{edit}`."
        owner = _value_of(frame, code.func.value)
        random = owner is np.random or isinstance(owner, (np.random.Generator, np.random.RandomState))
        if code.func.attr in DRAWS and (random or "default_rng(" in name):
            return _of_draw(name, code.func.attr)
    return None


def _of_draw(name: str, law: str) -> str:
    """Return the edit for a draw whose parameters are Tensors."""
    if law == "normal":
        return (f"A draw has no gradient; shift and scale a fixed one: `t + {name}(size=t.shape)`, and for a scale "
                f"`mean + t * {name}(size=t.shape)`.")  # fmt: skip
    if law == "uniform":
        return f"A draw has no gradient; shift and scale a fixed one: `low + (high - low) * {name}(size=t.shape)`."
    return "A draw has no gradient. Shift and scale one of fixed parameters, or draw with t.detach()."
