"""Structure of the code: imports between rooms, file sizes, public names, what an import loads, forbidden words.

Each check is a function that returns what is wrong; at the end each is shown a bad source, which it must report.
"""

import ast
import fnmatch
import gc
import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Set
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import tinygrad_nn

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tinygrad_nn"

# room -> the rooms it may import; a room may always import itself.
EVERYWHERE = {"common"}  # for all rooms
ENGINE = {"primitive", "node", "leaves", "tensor", "degenerate", "backward", "tree", "transforms", "custom",
          "symmetric", "gradcheck"}
CLIENTS = {"distributed", "nn", "optim", "solver", "compare", "graph", "viz", "io", "compiled"}
ALL = ENGINE | CLIENTS | {"__init__", "ops", "special", "sparse", "implicit", "manual", "data", "metrics", "files",
                         "server", "profiling"}
ARROWS: dict[str, set[str]] = {
    "common":     set(),
    "primitive":  set(),
    "manual":     set(),
    "metrics":    set(),
    "files":      set(),
    "data":       set(),
    "ops":        {"primitive"},
    "special":    {"primitive", "ops"},
    "sparse":     {"primitive", "ops"},
    "node":       {"primitive"},
    "leaves":     {"node"},
    "tensor":     {"primitive", "node", "leaves"},
    "degenerate": {"primitive", "node", "tensor"},
    "backward":   {"primitive", "node", "leaves", "tensor", "degenerate"},
    "tree":       set(),
    "transforms": {"primitive", "node", "tensor", "backward", "tree", "ops"},
    "custom":     {"primitive", "node", "tensor", "backward", "tree", "transforms", "ops"},
    "implicit":   {"node", "tensor", "tree", "transforms", "custom"},
    "symmetric":  {"primitive", "node", "tensor", "ops", "transforms"},
    "gradcheck":  {"primitive", "node", "tensor", "backward", "tree", "transforms"},
    "graph":      {"primitive", "node", "tensor", "ops", "tree"},
    "autograd":   {"primitive", "node", "tensor", "backward", "tree", "transforms", "custom", "ops",
                   "optim", "special"},
    "compiled":   {"primitive", "ops", "node", "tensor", "backward", "tree", "transforms", "custom", "graph", "files"},
    "server":     {"files"},
    "viz":        {"graph", "tensor", "files", "server"},
    "distributed": {"primitive", "tree", "ops"},
    "nn":         {"ops", "node", "tensor", "backward", "transforms", "distributed",
                   "optim"},  # for nn.utils, where PyTorch users look
    "optim":      {"ops", "node", "leaves", "tensor", "backward", "distributed"},
    "solver":     {"nn", "optim", "manual", "metrics", "data", "files", "tree", "node", "tensor", "backward",
                   "transforms", "compiled", "distributed"},
    "pytorch":    {"primitive", "leaves", "nn", "optim", "ops", "node", "tensor", "backward", "transforms", "custom",
                   "gradcheck", "files", "special"},
    "profiling":  {"primitive", "node", "tensor", "backward", "transforms", "tree", "graph", "compiled", "optim",
                   "viz"},
    "onnx":       {"nn", "ops", "node", "tensor", "tree", "compiled", "files"},
    "io":         {"onnx", "tensor", "nn", "optim", "solver", "data", "files"},
    "compare":    ALL - {"viz", "__init__"},
    "__init__":   ALL - {"viz"},
    "array_api":  {"ops", "tensor", "special"},
    "polynomial": {"ops", "primitive"},
    "sklearn":    {"nn", "ops", "solver", "data"},
    "play":       ALL - {"__init__"},
    "cli":        ALL | {"play"},
    "__main__":   {"cli"},
}

# Third-party packages besides NumPy: room -> packages. A lazy one is imported inside a function, where it is used.
LAZY: dict[str, set[str]] = {
    "viz":    {"graphviz", "matplotlib", "latex2mathml", "PIL", "tensorboardX"},
    "compare": {"latex2mathml"},
    "graph":  {"latex2mathml"},
    "files":  {"safetensors", "torch"},
    "compiled": {"numba", "llvmlite", "scipy", "threadpoolctl"},
    "onnx":   {"onnx"},
    "ops":    {"scipy"},
    "implicit": {"scipy"},
    "solver": {"rich", "threadpoolctl"},
    "server": {"starlette", "uvicorn"},
    "cli":    {"rich", "typer"},
    "distributed": {"mpi4py"},
}
EAGER: dict[str, set[str]] = {
    "cli":     {"rich", "typer"},  # nothing imports the command but its own script
    "sklearn": {"sklearn"},        # its classes are made of those
    "autograd": {"scipy"},         # in its folder scipy, which nothing else imports
}
HEAVY = ("scipy", "sklearn", "onnx", "graphviz", "matplotlib", "PIL", "rich", "typer", "latex2mathml", "safetensors",
         "numba", "starlette", "uvicorn", "mpi4py")

PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}

TOP_LEVEL = {"tinygrad_nn", "tests", "examples", "docs", ".ci", ".gitignore", "LICENSE", "README.md", "pyproject.toml"}

# Written so that no pattern matches its own source. `re` looks fast for the letter with which a pattern begins, so what
# must not come before that is told after it.
FORBIDDEN_WORDS = {
    "unfinished work":      r"(?:T(?<!\wT)O(?:DO)|F(?<!\wF)I(?:XME)|X(?<!\wX)(?:XX))\b",
    "an absolute path":     r"/(?<![\w.:/~-]/)(?:home|root|tmp|work|Users|opt|var|mnt)\b",
    "a path of a disk":     r":(?<=\b[A-Z]:)\\\\?[A-Za-z]",
    "how it came to be":    r"(?i:(?:helper|developer)[ ]session)",
    "a host of a registry": r"(?i:pypi[.]org|pythonhosted[.]org|npmjs[.](?:org|com)|(?:deb|security)[.]debian[.]org)",
}


class Import(NamedTuple):
    """One imported module, by its full name.

    `late` says that it is not imported together with the module it stands in, `types` that it is for types only.
    """

    target: str
    line: int
    late: bool
    types: bool


def module_name(path: Path) -> str:
    """The dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """The room of a module of ours: `ops` for tinygrad_nn.ops.linalg, `__init__` for the package itself."""
    return [*module.split("."), "__init__"][1]


@pytest.fixture(scope="module", autouse=True)
def parsed_once() -> Iterator[None]:
    """Keep the syntax trees of the package while these tests run; they take 200 MB."""
    yield
    parsed.cache_clear()
    by_kind.cache_clear()


@cache
def parsed(source: str) -> ast.Module:
    gc.disable()  # it would look through all trees again and again while new ones are made
    try:
        return ast.parse(source)
    finally:
        gc.enable()


def children(node: ast.AST) -> list[ast.AST]:
    """The parts of a node, as by `ast.iter_child_nodes`, which takes several times as long."""
    found: list[ast.AST] = []
    for part in vars(node).values():
        kind = type(part)
        if kind is list:
            found += [item for item in part if isinstance(item, ast.AST)]
        elif kind is not str and kind is not int and isinstance(part, ast.AST):
            found.append(part)
    return found


@cache
def by_kind(source: str) -> dict[type[ast.AST], list[Any]]:
    """All nodes of a source, those of `ast.walk`, by their class."""
    found: dict[type[ast.AST], list[Any]] = {}
    waiting: list[ast.AST] = [parsed(source)]
    for node in waiting:
        found.setdefault(type(node), []).append(node)
        waiting += children(node)
    return found


def nodes(source: str, *kinds: type[ast.AST]) -> list[Any]:
    """The nodes of a source that are of one of these classes."""
    return [node for kind in kinds for node in by_kind(source).get(kind, ())]


def last_name(node: ast.AST) -> str:
    """The last name of a dotted one: `c` of a.b.c."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@cache
def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


@cache
def imports(source: str, module: str, is_package: bool = False) -> tuple[Import, ...]:
    """Every import of a source: at the top, in functions, for type checking only, and through importlib."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    found: list[Import] = []
    at_run_time = "import_module" in source or "__import__" in source  # else no expression imports
    waiting: list[tuple[ast.AST, bool, bool]] = [(parsed(source), False, False)]
    while waiting:
        node, late, types = waiting.pop()
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, late, types) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                ours = origin.split(".")[0] == "tinygrad_nn"
                found.append(Import(inner if ours and is_module(inner) else origin, node.lineno, late, types))
        elif isinstance(node, ast.Call) and last_name(node.func) in ("import_module", "__import__"):
            name = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else "."
            if node.args and ast.unparse(node.args[0]).startswith(("f'{__name__}.", "f'{__package__}.")):
                name = module  # some module of this very package
            found.append(Import("a name made at run time" if name.startswith(".") else name, node.lineno, late, types))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            late = True
        typing = node.body if isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING" else []
        waiting += [
            (child, late or child in typing, types or child in typing)
            for child in children(node)
            if at_run_time or not isinstance(child, ast.expr)
        ]
    return tuple(sorted(found, key=lambda item: item.line))


def deferred(module: str) -> bool:
    """Whether a module is compiled by numba or writes code for it; others import such modules only where needed."""
    package, _, name = module.rpartition(".")
    native = package == "tinygrad_nn.compiled.numba.native"
    native = native and name not in ("matrix_products", "row") and not name.startswith("of_")
    return native or module == "tinygrad_nn.compiled.numba.assembly"


def wrong_arrows(source: str, module: str, is_package: bool = False) -> list[str]:
    """Imports that the table of rooms does not allow."""
    room = room_of(module)
    if room not in ARROWS:
        return [f"{module}: the room {room!r} has no row in ARROWS"]
    wrong = []
    for target, line, late, _ in imports(source, module, is_package):
        top = target.split(".")[0]
        late = late or deferred(module)
        if top == "tinygrad_nn":
            allowed = room_of(target) in ARROWS[room] | EVERYWHERE | {room} and (late or not deferred(target))
        else:
            third_party = EAGER.get(room, set()) | (LAZY.get(room, set()) if late else set())
            allowed = top in sys.stdlib_module_names or top in {"numpy"} | third_party
        if not allowed:
            when = "" if late else " when it is itself imported"
            wrong.append(f"{module}:{line}: the room {room!r} must not import {target}{when}")
    return wrong


def too_long(source: str, module: str) -> list[str]:
    lines = len(source.splitlines())
    return [f"{module} has {lines} lines; a module stays under 500"] if lines >= 500 else []


def long_decisions(source: str, module: str) -> list[str]:
    """Return the functions with more than MOST branches, besides the two through which every operation goes."""
    found = []
    if len(nodes(source, *BRANCHES)) + sum(len(node.values) - 1 for node in nodes(source, ast.BoolOp)) <= MOST:
        return []  # the module has no more
    for function in nodes(source, ast.FunctionDef, ast.AsyncFunctionDef):
        count, waiting = 0, children(function)
        while waiting:
            node = waiting.pop()
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
                count += isinstance(node, BRANCHES)
                count += len(node.values) - 1 if isinstance(node, ast.BoolOp) else 0
                waiting += children(node)
        if count > MOST and (module, function.name) not in HOT:
            found.append(f"{module}: {function.name} has {count} branches; {MOST} are the most")
    return found


def forbidden_code(source: str, module: str) -> list[str]:
    """Pickle in any form, print outside the command, assert."""
    wrong = [
        f"{module}:{line}: {target} loads code from data; save arrays with safetensors"
        for target, line, *_ in imports(source, module, False)
        if target.split(".")[0] in PICKLES
    ]
    wrong += [
        f"{module}:{node.lineno}: assert vanishes under -O; raise an error that teaches"
        for node in nodes(source, ast.Assert)
    ]
    wrong += [
        f"{module}:{node.value.lineno}: allow_pickle"
        for node in nodes(source, ast.keyword)
        if node.arg == "allow_pickle" and ast.unparse(node.value) != "False"
    ]
    wrong += [
        f"{module}:{node.lineno}: print; library code returns, its caller prints"
        for node in nodes(source, ast.Name)
        if node.id == "print" and module != "tinygrad_nn.cli"
    ]
    return wrong


def undocumented(source: str, module: str) -> list[str]:
    """Public functions and classes at the top of a module that have no docstring."""
    return [
        f"{module}:{node.lineno}: {node.name} has no docstring"
        for node in parsed(source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and not any(last_name(mark) == "overload" for mark in node.decorator_list)
    ]


def strange_arguments(source: str, module: str) -> list[str]:
    """Return the names in the ``Args:`` of docstrings that are no parameters; functions with ``*args`` are left out."""
    strange = []
    for node in nodes(source, ast.FunctionDef, ast.ClassDef):
        text = ast.get_docstring(node)
        if not text:
            continue
        inner = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        makers = [part for part in inner if part.name in ("__init__", "__new__")]
        functions = [node] if isinstance(node, ast.FunctionDef) else makers
        names = {arg.arg for f in functions for arg in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs)}
        if names and not any(f.args.vararg or f.args.kwarg for f in functions):
            block = re.search(r"^Args:\n((?:    .*\n?|\n)+)", text, re.MULTILINE)
            told = re.findall(r"^    (\w+(?:, \w+)*):", block[1] if block else "", re.MULTILINE)
            strange += [f"{module}:{node.lineno}: {node.name} has no parameter {name}"
                        for part in told for name in part.split(", ") if name not in names]  # fmt: skip
    return strange


def wrong_exports(module: ModuleType) -> list[str]:
    """Where `__all__` and the public names differ. Submodules are public only where `__all__` says so."""
    listed = list(getattr(module, "__all__", ()))
    public = {name for name in dir(module) if not name.startswith("_")}
    values = {name: getattr(module, name, None) for name in public}
    for name, value in values.items():
        if name not in listed and (inspect.ismodule(value) or type(value).__module__ == "__future__"):
            public.remove(name)
    wrong = [f"{name} is public but not in __all__" for name in sorted(public - set(listed))]
    wrong += [f"{name} is in __all__ but not there" for name in sorted(set(listed) - public)]
    wrong += [f"__all__ is not sorted, or names one thing twice: {listed}"] if listed != sorted(set(listed)) else []
    named = {name: values[name] for name in listed if name in public}
    return wrong + [
        f"{name} has no docstring"
        for name, value in named.items()
        if (inspect.isclass(value) or inspect.isroutine(value)) and not inspect.getdoc(value)
    ]


def forbidden_words(text: str, name: str) -> list[str]:
    return [
        f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {what}: {found[0]!r}"
        for what, pattern in FORBIDDEN_WORDS.items()
        for found in re.finditer(pattern, text)
    ]


def strangers(names: set[str]) -> list[str]:
    return [f"{name} does not belong at the top level" for name in sorted(names - TOP_LEVEL)]


def loaded_by(statement: str, names: tuple[str, ...]) -> list[str]:
    """Which of the named packages a fresh Python has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*(name for name in {names!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def project_files() -> list[Path]:
    """The project's files: those git knows or would add; outside a checkout, all that .gitignore lets through."""
    if (ROOT / ".git").exists():
        listing = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
        return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").split("\n") if (ROOT / ".gitignore").exists() else []
    ignored = [line.strip("/") for line in lines if line and not line.startswith("#")] + [".git", "PKG-INFO"]
    return [
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file()
        and not any(fnmatch.fnmatch(part, name) for part in path.relative_to(ROOT).parts for name in ignored)
    ]


def circles(sources: dict[str, tuple[str, bool]]) -> list[str]:
    """Modules that import each other in a circle, lazily or not: name -> source, and whether it is a package."""
    graph: dict[str, set[str]] = {}
    for module, (source, is_package) in sources.items():
        found = {item.target for item in imports(source, module, is_package) if not item.types}
        graph[module] = {name for target in found for name in (target, target.rpartition(".")[0]) if name in sources}
        graph[module] -= {module} | {name for name in graph[module] if module.startswith(f"{name}.")}  # its own door
    wrong: list[str] = []
    left = dict(graph)
    while left:  # whatever imports nothing that is left is in no circle
        free = {name for name, targets in left.items() if not targets & left.keys()}
        if not free:
            inner = {name for name in left if any(name in targets for targets in left.values())}
            if inner == left.keys():
                return [f"circle among {', '.join(sorted(left))}"]
            free = left.keys() - inner  # nobody in a circle imports it
        left = {name: targets for name, targets in left.items() if name not in free}
    return wrong


def strange_private_names(source: str, module: str, is_package: bool = False) -> list[str]:
    """Names that begin with _ and are imported from another room, or read from a module or class of another room."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    wrong = []
    imported: dict[str, str] = {}  # what other rooms gave: its name here -> its room
    for node in nodes(source, ast.ImportFrom):
        base = package[: len(package) - node.level + 1] if node.level else []
        origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
        if not origin.startswith("tinygrad_nn"):
            continue
        for alias in node.names:
            inner = f"{origin}.{alias.name}"
            room = room_of(inner if is_module(inner) else origin)
            if room != room_of(module):
                imported[alias.asname or alias.name] = room
                if private(alias.name):
                    wrong.append(f"{module}:{node.lineno}: {alias.name} is private to {room}")
    for node in nodes(source, ast.Attribute):
        if not private(node.attr) or not isinstance(node.value, ast.Name):
            continue
        if node.value.id in imported:
            wrong.append(f"{module}:{node.lineno}: {ast.unparse(node)} is private to {imported[node.value.id]}")
    return wrong


def private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name != "_repr_html_"


MOST = 30  # branches in a function
BRANCHES = (ast.If, ast.IfExp, ast.For, ast.While, ast.ExceptHandler, ast.comprehension, ast.match_case)
HOT = {("tinygrad_nn.tensor", "apply"), ("tinygrad_nn.backward", "walk")}  # each call would cost time
NEAR = 15  # lines between what a row names and the row


def hidden_names(source: str, siblings: set[str]) -> list[str]:
    """Return names that a package takes from elsewhere and that one of its own modules takes over when it is loaded."""
    return [
        f"{alias.name} of {node.module} is hidden by the module {alias.name}"
        for node in parsed(source).body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
        if (alias.asname or alias.name) in siblings - {node.module}
    ]


def scattered_rows(source: str, module: str) -> list[str]:
    """Rows that are far from their forward or one of their rules. Functions shared by two rows are above the first."""
    body = ast.parse(source).body
    parts: dict[str, ast.stmt] = {}  # functions, classes and constants, but no rows
    rows = []
    for node in body:
        calls = [c for c in ast.walk(node) if isinstance(c, ast.Call) and isinstance(c.func, ast.Name)]
        if any(c.func.id == "declare" for c in calls if isinstance(c.func, ast.Name)) and not _is_def(node):
            rows.append(node)
        elif _is_def(node):
            parts[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            parts[node.targets[0].id] = node
    uses = {id(node): {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} & parts.keys() for node in body}

    def needed(names: set[str]) -> set[str]:
        found, new = set(names), set(names)
        while new:
            new = {name for part in new for name in uses[id(parts[part])]} - found
            found |= new
        return found

    every = [needed(uses[id(row)]) for row in rows]
    wrong = []
    for row, mine in zip(rows, every, strict=True):
        own = {name for name in mine if sum(name in other for other in every) == 1}
        lines = {line for name in own for line in range(_start(parts[name]), parts[name].end_lineno or 0)}
        for name in own & uses[id(row)]:
            end = parts[name].end_lineno or 0
            between = [line for line in range(end, row.lineno - 1) if line not in lines]
            if _is_def(parts[name]) and (len(between) > NEAR or end > row.lineno):
                wrong.append(f"{module}:{row.lineno}: {name} stands {row.lineno - end} lines from its row")
    return wrong


def is_row(node: ast.stmt) -> bool:
    return any(isinstance(c, ast.Call) and last_name(c.func).endswith("declare") for c in ast.walk(node))


def _is_def(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def _start(node: ast.stmt) -> int:
    return min([node.lineno, *(mark.lineno for mark in getattr(node, "decorator_list", []))]) - 1


def unused(sources: dict[str, str], public: Set[str] = frozenset()) -> list[str]:
    """Names at the top of a module that are used nowhere; public ones, rows and what a decorator registers aside.

    A use is a read in the module itself, an import, an attribute of that name, or a string with nothing else in it.
    """
    elsewhere, left = {*public}, []
    for module, source in sources.items():
        own = {n.id for n in nodes(source, ast.Name) if isinstance(n.ctx, ast.Load)}
        elsewhere |= {alias.name for n in nodes(source, ast.ImportFrom) for alias in n.names}
        elsewhere |= {n.attr for n in nodes(source, ast.Attribute)}
        elsewhere |= {n.value for n in nodes(source, ast.Constant) if isinstance(n.value, str)}
        for node in parsed(source).body:
            names: list[str] = []
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.decorator_list:
                names = [node.name]
            elif isinstance(node, ast.Assign | ast.AnnAssign) and not is_row(node):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            left += [(module, name) for name in names if name not in own and not name.startswith("__")]
    return [f"{module}: {name} is used nowhere" for module, name in left if name not in elsewhere]


def drawn_house(page: str) -> tuple[set[str], dict[str, str]]:
    """What docs/architecture.md shows: the modules at the root and all folders, and the table of arrows."""
    tree = page.split("```text\n")[1].split("```")[0].splitlines()[1:]
    found, folder = set(), ""
    for line in tree:
        name = line.split()[0]
        if len(line) - len(line.lstrip()) == 2:
            folder = name
            found.add(name)
        else:
            found.add(folder + name)
    table = page.split("| room | may import |\n|---|---|\n")[1].splitlines()
    rows = [line.strip("| ").split(" | ") for line in table if line.startswith("|")]
    return found, {room.strip("`"): text for room, text in rows}


def wrong_places(page: str) -> list[str]:
    """Files that the page of the architecture names and that are not there, and names that are not in their files."""
    parts = page.split("## Where things happen")[1].split("## Who may import whom")[0]
    wrong = [f"{name} does not exist" for name in re.findall(r"`([\w/]+(?:/|\.py))`", parts) if not _place(name)]
    for name, file in re.findall(r"`([\w.]+)` (?:in|of) `([\w/]+\.py)`", parts):
        path = _place(file)
        if path and not re.search(rf"\b{name.split('.')[-1]}\b", path.read_text(encoding="utf-8")):
            wrong.append(f"{name} is not in {file}")
    return wrong


def _place(name: str) -> Path | None:
    return next((path for path in (PACKAGE / name, ROOT / name) if path.exists()), None)


MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
SOURCES = {module_name(path): (path.read_text(encoding="utf-8"), path.name == "__init__.py") for path in MODULES}
each_module = pytest.mark.parametrize("path", MODULES, ids=module_name)


@each_module
def test_imports_follow_the_arrows(path: Path) -> None:
    assert not wrong_arrows(path.read_text(encoding="utf-8"), module_name(path), path.name == "__init__.py")


@each_module
def test_module_is_short_documented_and_free_of_forbidden_code(path: Path) -> None:
    source, module = path.read_text(encoding="utf-8"), module_name(path)
    wrong = too_long(source, module) + undocumented(source, module) + forbidden_code(source, module)
    assert not wrong + long_decisions(source, module) + strange_arguments(source, module)


def test_files_and_folders_are_named_after_what_a_reader_looks_for() -> None:
    vague = {"brief", "choice", "further", "guard", "kept", "nest", "own", "paper", "place", "source", "stale", "use"}
    assert not [path for path in PACKAGE.rglob("*") if path.stem in vague]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert not circles(SOURCES)


def test_no_name_is_used_nowhere() -> None:
    docs = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    public = {*tinygrad_nn.__all__, *re.findall(r"`(\w+)`", docs)}
    assert not unused({module: source for module, (source, _) in SOURCES.items()}, public)


def test_no_room_uses_private_names_of_another() -> None:
    wrong = []
    for module, (source, is_package) in SOURCES.items():
        wrong += strange_private_names(source, module, is_package)
    assert not wrong


def test_no_module_takes_over_a_name_of_its_package() -> None:
    for path in MODULES:
        if path.name == "__init__.py":
            siblings = {other.stem for other in path.parent.iterdir()}
            assert not hidden_names(path.read_text(encoding="utf-8"), siblings), path


def test_a_row_stands_beside_its_forward_and_its_rules() -> None:
    rows = {module: source for module, (source, _) in SOURCES.items() if module.startswith("tinygrad_nn.ops.")}
    assert not [line for module, source in rows.items() for line in scattered_rows(source, module)]


def test_the_page_of_the_architecture_shows_the_house_that_is_there() -> None:
    shown, arrows = drawn_house((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    there = {path.name for path in PACKAGE.glob("*.py") if path.name != "__init__.py"}
    there |= {
        f"{path.relative_to(PACKAGE).as_posix()}/" for path in PACKAGE.rglob("*")
        if path.is_dir() and any(path.glob("*.py"))
    } | {"data/sets/"}  # fmt: skip
    assert shown == there
    everything = ALL | {"cli"}
    for room, allowed in ARROWS.items():
        text = arrows.pop(room)
        if text.startswith("everything"):
            assert set(re.findall(r"`(\w+)`", text)) == (everything - allowed if room != "cli" else set())
        else:
            assert set(re.findall(r"`(\w+)`", text)) == allowed
    assert not arrows


def test_the_page_of_the_architecture_names_files_and_functions_that_exist() -> None:
    assert not wrong_places((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))


def test_all_equals_the_public_names() -> None:
    assert Path(inspect.getfile(tinygrad_nn)).parent == PACKAGE, "the tests must see the checkout, not another copy"
    assert not wrong_exports(tinygrad_nn)


@pytest.mark.parametrize("room", ["", ".data", ".manual", ".nn", ".optim", ".viz", ".metrics", ".gradcheck", ".io"])
def test_help_shows_signatures_that_a_person_can_read(room: str) -> None:
    module = importlib.import_module(f"tinygrad_nn{room}")
    functions = [value for _, value in inspect.getmembers(module, inspect.isroutine)]
    assert not [f for f in functions if re.search(r"_Supports|_Nested|dtype\[|typing\.", str(inspect.signature(f)))]


def test_import_loads_numpy_and_nothing_else_of_the_dependencies() -> None:
    assert loaded_by("import tinygrad_nn", ("numpy", *HEAVY)) == ["numpy"]


def test_import_leaves_the_words_of_errors_for_later() -> None:
    names = ("tinygrad_nn.tensor", "tinygrad_nn.common.spelling")
    assert loaded_by("import tinygrad_nn", names) == ["tinygrad_nn.tensor"]


def test_no_file_holds_forbidden_words() -> None:
    wrong = []
    for path in project_files():
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            wrong += forbidden_words(data.decode("utf-8", errors="replace"), str(path.relative_to(ROOT)))
    assert not wrong


def test_top_level_holds_only_what_the_design_names() -> None:
    assert not strangers({path.relative_to(ROOT).parts[0] for path in project_files()})


# The checks above, checked on sources that are bad.


@pytest.mark.parametrize(
    ("module", "source", "allowed"),
    [
        ("tinygrad_nn.tensor", "from .primitive import REGISTRY", True),
        ("tinygrad_nn.tensor", "from .ops import elementwise", False),
        ("tinygrad_nn.tensor", "def f():\n    from tinygrad_nn.ops.elementwise import exp", False),
        ("tinygrad_nn.tensor", "import typing\nif typing.TYPE_CHECKING:\n    import tinygrad_nn.graph", False),
        ("tinygrad_nn.tensor", "import importlib\nimportlib.import_module('tinygrad_nn.ops')", False),
        ("tinygrad_nn.tensor", "import importlib\nimportlib.import_module('tinygrad' + '_nn.ops')", False),
        ("tinygrad_nn.tensor", "import tinygrad_nn", False),
        ("tinygrad_nn.backward", "from .tensor import Tensor", True),
        ("tinygrad_nn.backward", "from . import transforms", False),
        ("tinygrad_nn.ops.reduce", "from ..primitive import declare\nfrom .elementwise import exp", True),
        ("tinygrad_nn.ops.reduce", "from ..tensor import Tensor", False),
        ("tinygrad_nn.manual.network", "import numpy as np\nfrom .losses import mse", True),
        ("tinygrad_nn.manual.network", "from ..tensor import Tensor", False),
        ("tinygrad_nn.solver.training", "from ..viz import plots", False),
        ("tinygrad_nn.compare.report", "from ..manual import network\nfrom ..solver import fit", True),
        ("tinygrad_nn.compare.report", "from ..cli import main", False),
        ("tinygrad_nn.attic", "import os", False),
        ("tinygrad_nn.tensor", "import scipy", False),
        ("tinygrad_nn.viz.graph.dot", "def draw():\n    import graphviz", True),
        ("tinygrad_nn.viz.graph.dot", "import graphviz", False),
        ("tinygrad_nn.viz.graph.dot", "class Dot:\n    import graphviz", False),
        ("tinygrad_nn.viz.graph.dot", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import graphviz", True),
        ("tinygrad_nn.viz.graph.dot", "def draw():\n    import scipy", False),
        ("tinygrad_nn.viz.graph.dot", "def draw():\n    return __import__('scipy')", False),
        ("tinygrad_nn.viz.graph.dot", "def draw():\n    return importlib.import_module('scipy')", False),
        ("tinygrad_nn.files.safetensors", "def save():\n    from safetensors.numpy import save_file", True),
        ("tinygrad_nn.files.safetensors", "from safetensors.numpy import save_file", False),
        ("tinygrad_nn.cli", "import typer", True),
        ("tinygrad_nn.compiled.numba.native.products", "from numba import prange\nfrom .build import kernel", True),
        ("tinygrad_nn.compiled.numba.native.matrix_products", "from numba import prange", False),
        ("tinygrad_nn.compiled.numba.native.matrix_products", "def f():\n    from .build import THREADS", True),
        ("tinygrad_nn.compiled.numba.native.of_norms", "from .build import THREADS", False),
        ("tinygrad_nn.compiled.plan", "from .numba.native import products", False),
    ],
)
def test_arrow_check_tells_good_from_bad(module: str, source: str, allowed: bool) -> None:
    assert (wrong_arrows(source, module) == []) is allowed


def test_circle_check_reports_lazy_imports_and_lets_types_pass() -> None:
    lazy = {"tinygrad_nn.a": ("def f():\n    from .b import g", False), "tinygrad_nn.b": ("from .a import f", False)}
    assert circles(lazy) == ["circle among tinygrad_nn.a, tinygrad_nn.b"]
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import g"
    typed = {**lazy, "tinygrad_nn.a": (types, False)}
    assert not circles(typed)
    assert not circles({"tinygrad_nn.c": ("from . import a", False), **typed})


def test_private_name_check_reports_other_rooms_only() -> None:
    assert not strange_private_names("from .layer import _width", "tinygrad_nn.nn.linear")
    assert strange_private_names("from ..nn.layer import _width", "tinygrad_nn.solver.julia")
    assert strange_private_names("from ..nn import layer as l\nl._width(3)", "tinygrad_nn.solver.julia")
    assert not strange_private_names("from . import layer as l\nl._width(3)", "tinygrad_nn.nn.linear")


def test_hidden_name_check_reports_what_another_module_defines() -> None:
    assert hidden_names("from .choice import products", {"choice", "products"})
    assert not hidden_names("from .products import products\nfrom . import choice", {"choice", "products"})


def test_row_check_reports_a_forward_that_stands_far_away() -> None:
    forward, row = "def _f(x):\n    return x\n", "f = declare(_f, 'x', (lambda g, out, x: g, 'g'))\n"
    assert not scattered_rows(forward + "\n" * NEAR + row, "m")
    assert scattered_rows(forward + "\n" * (NEAR + 1) + row, "m")
    assert scattered_rows(row + forward, "m")
    assert not scattered_rows(forward + row + "\n" * 20 + row.replace("f =", "h ="), "m")  # shared: above the first


def test_unused_check_reports_what_no_module_names() -> None:
    used, dead = "def f():\n    pass\nx = f()", "def g():\n    pass"
    assert unused({"a": used, "b": dead}) == ["a: x is used nowhere", "b: g is used nowhere"]
    assert unused({"a": "N = 1\nprint(N)", "b": "N: int = 2"}) == ["b: N is used nowhere"]
    assert not unused({"a": "def f():\n    pass\nrow = declare(f)"})
    assert not unused({"a": "N = 1", "b": "from a import N", "c": "M = 1", "d": "import c\nc.M", "e": "K = 1\n'K'"})


def test_place_check_reports_missing_files_and_names() -> None:
    page = "## Where things happen\n`apply` in `tensor.py`, `f` of `gone.py`, `nn/gone/`, `gone` in `tree.py`\n"
    expected = ["gone.py does not exist", "nn/gone/ does not exist", "gone is not in tree.py"]
    assert wrong_places(page + "## Who may import whom\n`no.py`") == expected


def test_size_check_reports_500_lines() -> None:
    assert [bool(too_long("x = 1\n" * lines, "m")) for lines in (499, 500)] == [False, True]


@pytest.mark.parametrize("branch", ["if x: pass", "x = 1 if x else 2", "x = [k for k in x]", "x = x and x",
                                    "for x in x: pass", "while x: pass", "match x:\n  case 1: pass",
                                    "try: pass\nexcept OSError: pass"])  # fmt: skip
def test_branch_check_reports_a_function_with_more_than_30(branch: str) -> None:
    body = "".join(f"\n {line}" for line in branch.split("\n"))
    for name, count in (("f", 30), ("f", 31), ("apply", 31)):
        source = f"def {name}(x):{body * count}\n def inner():{body.replace(chr(10), chr(10) + ' ') * count}"
        assert len(long_decisions(source, "tinygrad_nn.tensor")) == (0 if count == 30 else 2 - (name == "apply"))


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "np.load(path, allow_pickle=True)",
        "print(1)",
        "show = print",
        "assert x > 0, 'x must be positive'",
    ],
)
def test_code_check_reports(source: str) -> None:
    assert len(forbidden_code(source, "tinygrad_nn.metrics")) == 1


def test_code_check_lets_the_command_print() -> None:
    assert not forbidden_code("print(1)", "tinygrad_nn.cli")


def test_docstring_check_reports_public_names_only() -> None:
    bad = "def f(): pass\nclass C: pass\ndef _g(): pass\ndef h():\n    '''Documented.'''\n@overload\ndef k(): ...\n"
    assert [text.split()[1] for text in undocumented(bad, "m")] == ["f", "C"]


def test_argument_check_reports_what_is_no_parameter() -> None:
    doc = '"""Do it.\n\n    Args:\n        x, y: one, with z: two\n            and w: three.\n        z: last.\n    """'
    made = f"class Some(A):\n    {doc}\n    def __init__(self, x, y): ...\n"
    bad = f"def f(x, *, z):\n    {doc}\ndef g(*x):\n    {doc}\n{made}"
    assert [text.split()[-1] for text in strange_arguments(bad, "m")] == ["y", "z"]
    assert [text.split()[1] for text in strange_arguments(bad, "m")] == ["f", "Some"]


def test_export_check_reports_each_kind() -> None:
    module = ModuleType("bad")
    code = "import os\ndef f(): pass\ndef g(): 'Doc.'\n_x = 1\nhidden = 2\n__all__ = ['g', 'f', 'gone']"
    exec(code, vars(module))
    assert [text.split(maxsplit=1)[0] for text in wrong_exports(module)] == ["hidden", "gone", "__all__", "f"]


def test_load_check_reports_loaded_packages() -> None:
    assert loaded_by("import json", ("json", "numpy")) == ["json"]


@pytest.mark.parametrize(
    "text",
    [
        "# TO" + "DO: later",
        "# FI" + "XME",
        "open('/ho" + "me/ada/data.csv')",
        "see /wo" + "rk/notes.md",
        "C:" + "\\Users\\ada",
        "a helper" + " session wrote this",
        "from https://py" + "pi.org/simple",
    ],
)
def test_word_check_reports(text: str) -> None:
    assert forbidden_words(text, "page")


def test_word_check_accepts_harmless_text() -> None:
    assert not forbidden_words("its open TODOs; docs/tmp/x; #!/usr/bin/env bash; 2>/dev/null; y/root", "page")


def test_top_level_check_reports_a_stranger() -> None:
    assert strangers({"docs", "notes.txt"}) == ["notes.txt does not belong at the top level"]


SKIPS = """
import pytest

@pytest.mark.skip(reason="not today")
def test_mark(): pass

def test_call(): pytest.skip("not here")

@pytest.mark.xfail(strict=True)
def test_xfail(): raise ValueError
"""


@pytest.mark.parametrize(("ci", "line"), [("true", "1 failed, 1 xfailed, 2 errors"), ("", "3 skipped, 1 xfailed")])
def test_a_skip_fails_in_ci_only(ci: str, line: str, tmp_path: Path) -> None:
    for name in ("conftest.py", "seconds.txt"):
        (tmp_path / name).write_bytes((ROOT / "tests" / name).read_bytes())
    (tmp_path / "test_one.py").write_text(SKIPS)
    (tmp_path / "test_two.py").write_text("import pytest\npytest.skip('never', allow_module_level=True)\n")
    command = [sys.executable, "-m", "pytest", "--continue-on-collection-errors", "--rootdir=.", "."]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "CI": ci}, capture_output=True, text=True)
    assert line in done.stdout.splitlines()[-1], done.stdout
    assert bool(done.returncode) is bool(ci)


FIXTURES = """
import pytest

@pytest.fixture
def before(): raise ValueError("before the test")

@pytest.fixture
def after():
    yield
    raise ValueError("after the test")

def test_before(before): pass

def test_after(after): pass

@pytest.mark.skip(reason="not today")
def test_mark(): pass
"""


@pytest.mark.parametrize(("ci", "line"), [("true", "1 passed, 3 errors"), ("", "1 passed, 1 skipped, 2 errors")])
def test_processes_that_share_the_tests_report_what_fails_around_a_test(ci: str, line: str, tmp_path: Path) -> None:
    for name in ("conftest.py", "seconds.txt"):
        (tmp_path / name).write_bytes((ROOT / "tests" / name).read_bytes())
    (tmp_path / "test_one.py").write_text(FIXTURES)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--rootdir=.", "."]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "CI": ci}, capture_output=True, text=True)
    assert line in done.stdout.splitlines()[-1], done.stdout
    assert "before the test" in done.stdout
    assert "after the test" in done.stdout
    assert done.returncode == 1
