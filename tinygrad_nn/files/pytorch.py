"""Read files of ``torch.save`` with PyTorch's own weights-only reader, which builds tensors and runs no code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..common.printable import printable
from .atomic import StrPath

Array = np.ndarray[Any, Any]
_BEFORE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # first bytes before PyTorch 1.6; now they are zip files


def is_pytorch(path: StrPath) -> bool:
    """Return whether a file exists and begins like the files of ``torch.save``."""
    if not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        return file.read(len(_BEFORE)).startswith((b"PK\x03\x04", _BEFORE))


def read_pytorch(path: StrPath) -> dict[str, Array]:
    """Return the tensors of a file of ``torch.save`` as arrays; names in nested dicts are joined by dots.

    Args:
        path: the file; it contains a ``state_dict``, or a dict that contains one among other things.

    Raises:
        ImportError: PyTorch is not installed.
        ValueError: the weights-only reader refuses the file, or it contains no tensors.
    """
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"{printable(path)} is a file of torch.save, which only PyTorch reads: pip install torch. Or write it "
            "there with safetensors.torch.save_file(model.state_dict(), 'weights.safetensors')."
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the kind depends on what is wrong with the file
        first = printable(f"{error!s:.200}".partition("\n")[0].partition(". ")[0])
        raise ValueError(
            f"{printable(path)}: PyTorch's weights-only reader refuses it ({first}). Save model.state_dict() there, "
            "not the model itself."
        ) from None
    arrays = dict(_tensors(state, "", 0))
    if not arrays:
        raise ValueError(f"{printable(path)} holds no tensors by name; save model.state_dict() there.")
    return arrays


def _tensors(state: Any, path: str, depth: int) -> Iterator[tuple[str, Array]]:
    """Yield the tensors in a nest of dicts with their paths, as arrays."""
    if isinstance(state, Mapping) and depth < 20:
        for name, value in state.items():
            yield from _tensors(value, f"{path}.{name}" if path else str(name), depth + 1)
    elif hasattr(state, "detach"):
        tensor = state.detach().cpu()
        narrow = str(tensor.dtype) == "torch.bfloat16"  # which NumPy does not have
        yield path, np.asarray((tensor.float() if narrow else tensor).numpy())
