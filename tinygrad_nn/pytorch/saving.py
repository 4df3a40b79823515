"""``torch.save`` and ``torch.load`` for states: dicts and lists of arrays, numbers and text, in a safetensors file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..common.printable import printable
from ..files import StrPath, write_whole
from ..files.pytorch import is_pytorch
from ..files.safetensors import parse, seal, unseal
from ..tensor import Tensor, raw

_KIND = "state"


def save(obj: Any, f: StrPath) -> Path:
    """Write a state, such as ``{"model": model.state_dict(), "epoch": 3}``; nothing that is read back is executed.

    Raises:
        TypeError: it contains anything but arrays, numbers, text, None, and dicts and lists of them; or f is no path.

    Example:
        >>> import tempfile
        >>> path = save({"w": np.ones(2), "epoch": 3}, tempfile.mkdtemp() + "/state.pt")
        >>> load(path)
        {'w': array([1., 1.]), 'epoch': 3}
    """
    _check_path("save", f)
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    text = json.dumps({"state": _split_arrays(obj, arrays)})
    return write_whole(f, seal(_KIND, arrays, text).content)


def load(f: StrPath, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Return the state that `save` wrote, with arrays for Tensors and lists for tuples.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or it was changed, or `save` did not write it.
    """
    _check_path("load", f)
    if is_pytorch(f):
        raise ValueError(
            f"load: {printable(f)} was written by PyTorch's torch.save. To load a state_dict into a model, write "
            f"tinygrad_nn.io.load_weights({printable(f)!r}, model), which reads it if PyTorch is installed, too."
        )
    arrays, text, _ = unseal(_KIND, f)
    return _join_arrays(parse(f, text)["state"], arrays)


def _check_path(call: str, f: Any) -> None:
    if not isinstance(f, (str, os.PathLike)):
        given = "state, " * (call == "save")
        raise TypeError(f"{call}: {f!r:.60} is no path. Write torch.{call}({given}'state.pt').")


def _split_arrays(obj: Any, arrays: dict[str, Any]) -> Any:
    """Return a nest in a form that JSON can hold; its arrays are added to `arrays` and replaced by their keys."""
    if isinstance(obj, (Tensor, np.ndarray, np.generic)):
        arrays[str(len(arrays))] = np.asarray(raw(obj))
        return {"array": str(len(arrays) - 1)}
    if isinstance(obj, Mapping):
        return {"dict": [[_split_arrays(key, arrays), _split_arrays(value, arrays)] for key, value in obj.items()]}
    if isinstance(obj, (list, tuple)):
        return [_split_arrays(value, arrays) for value in obj]
    if obj is None or isinstance(obj, (str, int, float)):
        return obj
    raise TypeError(
        f"save: a {type(obj).__name__} cannot be saved; save its state, e.g. model.state_dict(), made of arrays, "
        "numbers, text, dicts and lists."
    )


def _join_arrays(obj: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(obj, list):
        return [_join_arrays(value, arrays) for value in obj]
    if isinstance(obj, dict) and "array" in obj:
        return arrays[obj["array"]]
    if isinstance(obj, dict):
        return {_join_arrays(key, arrays): _join_arrays(value, arrays) for key, value in obj["dict"]}
    return obj
