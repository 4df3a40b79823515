"""The fingerprint of a training: text that describes all that determines its numbers, equal in any two processes."""

from __future__ import annotations

import dis
import functools
import hashlib
import os
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np

from ..common.closures import closed_over
from ..data import DataLoader
from ..nn.module import Module
from ..tensor import Tensor
from ..tree import flatten
from .batches import Batches, Rows
from .settings import Settings, Solver
from .stopping import EarlyStopping
from .tasks.function import FunctionTask
from .tasks.layers import LayerTask
from .tasks.module import ModuleTask
from .tasks.task import Task

Array = np.ndarray[Any, Any]
DEEP = 4  # the depth to which containers, closures and partials are described
ROWS = 1024  # rows of a mapped file in the checksum; the whole file may be too large to read
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"  # each version has its own bytecode
_CODE = re.compile(r" \[code [0-9a-f]{12}\]")
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_THREADS = ("OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")


def fingerprint(
    task: Task, data: Rows | Batches, val: Rows | Batches | None, solver: Solver, settings: Settings,
    stopping: EarlyStopping | None, metrics: Mapping[str, Any] | None, class_weight: Any, gradients: str,
    backend: str | None, seeds: Sequence[str], sample: int = ROWS,
) -> dict[str, str]:  # fmt: skip
    """Return what must be equal when a training is resumed; epochs and callbacks may change.

    `sample` is the number of rows that are read from data in mapped files.
    """
    reg = solver.regularization
    monitored = None if stopping is None or metrics is None else metrics.get(stopping.monitor.removeprefix("val_"))
    return {
        "loss": in_words(solver.loss), "optimizer": _rule(solver.rule), "learning_rate": repr(solver.learning_rate),
        "regularization": repr(reg), "dropout": repr(reg.dropout),
        "schedule": repr(solver.schedule) if hasattr(solver.schedule, "state_dict") else in_words(solver.schedule),
        "schedule_by": solver.schedule_by, "clip_norm": repr(solver.clip_norm), "clip_value": repr(solver.clip_value),
        "groups": in_words({key: dict(value) for key, value in solver.groups.items()}),
        "batch_size": repr(settings.batch_size), "accumulate": repr(settings.accumulate),
        "early_stopping": repr(stopping), "monitored metric": in_words(monitored),
        "class_weight": repr(class_weight) if isinstance(class_weight, str) else in_words(class_weight),
        "parameters": "; ".join(
            f"{name} {p.dtype} {p.shape}" for name, p in zip(task.names, task.parameters, strict=True)
        ),
        "architecture": "; ".join(architecture(task)),
        "gradients": gradients, "compile": repr(backend), "seed": ", ".join(seeds),
        "data": _data(data, sample), "validation data": "None" if val is None else _data(val, sample),
    }  # fmt: skip


def differences(then: Mapping[str, Any], now: Mapping[str, str], same_python: bool) -> Iterator[tuple[str, str, str]]:
    """Yield name, old and new value of each difference; bytecode checksums are compared only if Python is the same."""
    for key in [*now, *(key for key in then if key not in now)]:
        old, new = str(then.get(key)), str(now.get(key))
        if old != new and (same_python or _CODE.sub("", old) != _CODE.sub("", new)):
            yield key, old, new


def seed(generator: np.random.Generator) -> str:
    """Return the seed of a generator as text; it does not change as numbers are drawn."""
    sequence = getattr(generator.bit_generator, "seed_seq", None)
    entropy = getattr(sequence, "entropy", None)
    if entropy is None or (isinstance(entropy, int) and entropy.bit_length() > 96):
        return "drawn by the system"  # rng=None or default_rng(): the checkpoint has its state
    key = tuple(getattr(sequence, "spawn_key", ()))
    return in_words(entropy) + (f" spawned {key}" if key else "")


def environment() -> dict[str, str]:
    """Return what determines the last bits: the number of BLAS threads (the order of sums) and the NumPy version."""
    return {"BLAS threads": str(blas_threads()), "NumPy": np.__version__}


def blas_threads() -> int:
    """Return the number of BLAS threads, from threadpoolctl if installed, else from environment variables or CPUs."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        given = next((os.environ[name] for name in _THREADS if os.environ.get(name, "").isdigit()), None)
        return int(given) if given else os.cpu_count() or 1
    found = [pool for pool in threadpool_info() if pool.get("user_api") == "blas"]
    ours = [pool for pool in found if "numpy" in str(pool.get("filepath"))] or found
    return max((int(pool["num_threads"]) for pool in ours), default=1)


def in_words(value: Any, depth: int = DEEP) -> str:
    """Return a value as text: functions by name and bytecode checksum, arrays by checksum, objects by class name."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, _SCALARS):
        return value if isinstance(value, str) else repr(value)
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} sha256 {_checksum([value])}"
    if depth == 0 or isinstance(value, (Tensor, Module)):
        return type(value).__name__
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {in_words(part, depth - 1)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple, slice)):
        parts = (value.start, value.stop, value.step) if isinstance(value, slice) else value
        return "(" + ", ".join(in_words(part, depth - 1) for part in parts) + ")"
    if isinstance(value, functools.partial):
        return (
            f"{in_words(value.func, depth - 1)}{in_words(value.args, depth - 1)}{in_words(value.keywords, depth - 1)}"
        )
    if isinstance(value, types.MethodType):
        return f"{in_words(value.__self__, depth - 1)}.{in_words(value.__func__, depth - 1)}"
    name = str(getattr(value, "__qualname__", None) or getattr(value, "__name__", None) or type(value).__qualname__)
    if isinstance(value, types.FunctionType):
        return name if _is_known(value) else f"{name} [code {_function_checksum(value, depth)}]"
    call = getattr(type(value), "__call__", None)  # noqa: B004 - the function itself is wanted
    if isinstance(call, types.FunctionType) and not _is_known(type(value)):  # an object with __call__
        return f"{name}{in_words(_plain_options(value), depth - 1)}{in_words(call, depth - 1)}"
    return name


def _is_known(value: Any) -> bool:
    """Return whether a function or class is of this package or NumPy; its name then identifies it across versions."""
    return str(getattr(value, "__module__", "")).partition(".")[0] in ("tinygrad_nn", "numpy", "builtins")


def _function_checksum(function: types.FunctionType, depth: int) -> str:
    """Return a checksum of a function: its bytecode, defaults, and the global and closure variables that it reads."""
    digest = hashlib.sha256()
    names = set()
    for code in _codes(function):
        constants = [c for c in code.co_consts if not isinstance(c, types.CodeType) and c != function.__doc__]
        digest.update(code.co_code + repr((constants, code.co_names)).encode())
        names |= {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    read: dict[str, Any] = {name: function.__globals__[name] for name in sorted(names) if name in function.__globals__}
    read |= {f"closure {name}": value for name, value in closed_over(function).items()}
    told = {
        key: in_words(part, depth // 2) for key, part in read.items()
        if part is not function and (isinstance(part, np.ndarray) or _is_plain(part)) and not isinstance(part, list)
    }  # fmt: skip
    told["defaults"] = in_words((function.__defaults__, function.__kwdefaults__), depth // 2)
    digest.update(repr(sorted(told.items())).encode())
    return digest.hexdigest()[:12]


def _plain_options(owner: Any) -> dict[str, Any]:
    """Return the options of an object: its attributes that are numbers, strings, functions, or tuples of these."""
    skipped = {"training", "rng", "_names", *getattr(owner, "buffer_names", ())}
    return {
        name: value for name, value in sorted(getattr(owner, "__dict__", {}).items())
        if name not in skipped and value is not None and _is_plain(value)
    }  # fmt: skip


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, (Module, Tensor, type)):
        return False
    return isinstance(value, (*_SCALARS, np.generic)) or callable(value)


def _rule(rule: Any) -> str:
    return f"{rule.name}({', '.join(f'{key}={value!r}' for key, value in rule.hyper)})"


def architecture(task: Task) -> Iterator[str]:
    """Yield a text for each submodule of a model with its options, or for a function and its constants."""
    if isinstance(task, LayerTask):
        yield from map(repr, task.layers)
        return
    if not isinstance(task, ModuleTask):
        return
    if isinstance(task, FunctionTask):
        yield in_words(task.nest.function)
        yield in_words(task.nest.constants())
        return
    for path, part in task.module.named_modules():
        kind = type(part)
        code = "" if _is_known(kind) else ", ".join(map(in_words, _called_methods(kind)))
        yield f"{path or 'model'}: {kind.__qualname__}({part.about()}) {in_words(_plain_options(part))} {code}".rstrip()


def _called_methods(kind: type) -> list[Any]:
    """Return the forward of a class, and the methods of the class that are called from it, directly or not."""
    found = [kind.forward]  # type: ignore[attr-defined]
    for method in found:
        names = [name for code in _codes(method) for name in code.co_names]
        others = [getattr(kind, name, None) for name in names]
        own = [other for other in others if isinstance(other, types.FunctionType) and not _is_known(other)]
        found += dict.fromkeys(other for other in own if other not in found)
    return found


def _codes(function: Any) -> list[types.CodeType]:
    """Return the code object of a function, and those of functions defined inside it."""
    found = [function.__code__] if isinstance(function, types.FunctionType) else []
    for code in found:
        found += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return found


def _data(source: Rows | Batches, sample: int) -> str:
    """Return shapes and a checksum of the data; for an unknown iterable only its class and length."""
    if isinstance(source, Rows):
        shown = ", ".join(f"{leaf.dtype} {leaf.shape}" for leaf in source.leaves)
        nested = repr(source.rebuild(list(range(len(source.leaves)))))
        what = f" of {sample} rows" if source.mapped else ""
        return f"{shown}, nested {nested}, sha256{what} {_checksum(source.leaves, sample if source.mapped else None)}"
    batches = source.source
    if isinstance(batches, DataLoader):
        shown = ", ".join(f"{leaf.dtype} {leaf.shape}" for leaf in (batches.x, batches.y))
        how = f"batches of {batches.batch_size}, shuffle={batches.shuffle}"
        return f"{shown}, {how}, sha256 {_checksum([batches.x, batches.y])}"
    kind = type(batches).__qualname__
    if isinstance(batches, (list, tuple)):
        leaves = [leaf for leaf in flatten(list(batches))[0] if isinstance(leaf, (np.ndarray, np.generic, int, float))]
        return f"{kind} of {len(batches)} batches, sha256 {_checksum([np.asarray(leaf) for leaf in leaves])}"
    try:
        return f"{kind} of {len(batches)} batches" if isinstance(batches, Sized) else kind
    except TypeError:  # some loaders have a __len__ that raises
        return kind


def _checksum(leaves: Sequence[Array], sample: int | None = None) -> str:
    """Return a checksum of dtype, shape and values of arrays; of longer arrays only `sample` rows, if it is given."""
    digest = hashlib.sha256()
    for leaf in leaves:
        digest.update(f"\0{leaf.dtype.str}\0{leaf.shape}\0".encode())
        if sample is not None and len(leaf) > sample:
            leaf = np.asarray(leaf[np.linspace(0, len(leaf) - 1, sample).astype(int)])
        parts: Any = np.nditer(leaf, ["external_loop", "buffered", "refs_ok", "zerosize_ok"], order="C")
        for part in parts:
            digest.update(repr(part.tolist()).encode() if leaf.dtype.kind == "O" else part.tobytes())
    return digest.hexdigest()[:16]
