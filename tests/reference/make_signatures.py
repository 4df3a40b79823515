"""Write signatures.json: the arguments of PyTorch's functions and layers of which there are ones of that name here.

Run it with a Python that has PyTorch (2.13 wrote what is here): ``python tests/reference/make_signatures.py``. Each
name has its overloads, such as ``input, dim, keepdim=, *, dtype=``: ``=`` ends a name with a default.
"""

import ast
import contextlib
import json
import re
import typing
from collections.abc import Iterator
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ELSEWHERE = {"out", "layout", "pin_memory", "device", "memory_format"}  # where a result is stored: of keywords only


def text(call: Signature) -> str:
    """Return the names of the arguments as in the file."""
    parts, bare = [], False
    for p in call.parameters.values():
        if p.name == "self" or p.kind is p.VAR_KEYWORD or (p.kind is p.KEYWORD_ONLY and p.name in ELSEWHERE):
            continue
        if p.kind is p.KEYWORD_ONLY and not bare:
            parts, bare = [*parts, "*"], True
        bare = bare or p.kind is p.VAR_POSITIONAL
        star = "*" * (p.kind is p.VAR_POSITIONAL)
        parts.append(f"{star}{p.name}{'=' * (p.default is not p.empty)}")
    return ", ".join(parts)


def of_definition(line: str) -> Signature:
    """Return the signature in a text such as ``(input, *, dim=None)``."""
    node = ast.parse(f"def f{line}: pass").body[0]
    assert isinstance(node, ast.FunctionDef)
    return _of_node(node)


def _of_node(node: ast.FunctionDef) -> Signature:
    a, found = node.args, []
    before = [*a.posonlyargs, *a.args]
    for k, arg in enumerate(before):
        default = None if k >= len(before) - len(a.defaults) else Parameter.empty
        found.append(Parameter(arg.arg, Parameter.POSITIONAL_OR_KEYWORD, default=default))
    if a.vararg:
        found.append(Parameter(a.vararg.arg, Parameter.VAR_POSITIONAL))
    for arg, value in zip(a.kwonlyargs, a.kw_defaults, strict=True):
        found.append(Parameter(arg.arg, Parameter.KEYWORD_ONLY, default=Parameter.empty if value is None else None))
    return Signature(found)


def of_stubs(path: Path) -> dict[str, list[Signature]]:
    """Return the overloads of each function and method that a stub file declares."""
    found: dict[str, list[Signature]] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, []).append(_of_node(node))
    return found


def overloads(thing: Any, other: Any) -> Iterator[Signature]:
    """Yield the signatures of something, or of a function behind it, from Python or from its documentation."""
    code = thing.__init__ if isinstance(thing, type) else thing
    several = typing.get_overloads(code) if hasattr(code, "__module__") else []
    for each in several or [other or thing]:
        try:
            yield signature(each)
        except (ValueError, TypeError):
            line = re.search(r"\w\((.*?)\) ?->", thing.__doc__ or "", re.DOTALL)
            with contextlib.suppress(SyntaxError):
                if line:
                    yield of_definition(f"({' '.join(line[1].split())})")


def main() -> None:
    import torch

    from tinygrad_nn import Tensor, nn, pytorch
    from tinygrad_nn.primitive import METHODS

    F = torch.nn.functional
    stubs = Path(torch.__file__).parent / "_C"
    functions, methods = of_stubs(stubs / "_VariableFunctions.pyi"), of_stubs(stubs / "__init__.pyi")
    rooms: dict[str, Any] = {
        "F": (nn.functional.__all__, F), "nn": (nn.__all__, torch.nn), "torch": (dir(pytorch), torch),
        "linalg": (vars(pytorch.linalg), torch.linalg), "fft": (vars(pytorch.fft), torch.fft),
        "init": (dir(nn.init), torch.nn.init), "t": ({*METHODS, *dir(Tensor)}, torch.Tensor),
        "func": (vars(pytorch.func), torch.func), "functional": (vars(pytorch.autograd.functional),
                                                                 torch.autograd.functional),
    }  # fmt: skip
    found = {}
    for room, (names, module) in rooms.items():
        known = functions if room == "torch" else methods if room == "t" else {}
        for name in sorted(names):
            thing = getattr(module, name, None)
            if name[0] == "_" or not callable(thing) or (room == "nn" and not name[0].isupper()):
                continue
            behind = getattr(module, f"_{name}", None) if room == "F" else None
            given = known.get(name) or list(overloads(thing, behind))
            texts = list(dict.fromkeys(map(text, given)))
            if texts:
                found[f"{room}.{name}"] = texts
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(texts)}" for name, texts in found.items())
    (HERE / "signatures.json").write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
