"""Files of ``torch.save``, read by PyTorch's own weights-only reader, which builds tensors and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..printable import printable
from .whole import StrPath

Array = np.ndarray[Any, Any]
_BEFORE = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"  # how they began before PyTorch 1.6; now they are zip archives


def is_pytorch(path: StrPath) -> bool:
    """Whether a file is there and begins as those of ``torch.save`` do."""
    if not Path(path).is_file():
        return False
    with Path(path).open("rb") as file:
        return file.read(len(_BEFORE)).startswith((b"PK\x03\x04", _BEFORE))


def read_pytorch(path: StrPath) -> dict[str, Array]:
    """Return the tensors of a file of ``torch.save`` as arrays; of dicts in dicts the names are joined by dots.

    Args:
        path: of the file; it holds a ``state_dict``, or a dict that has one among other things.

    Raises:
        ImportError: PyTorch is not installed.
        ValueError: it holds what the weights-only reader refuses, or no tensors.
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
    except Exception as error:  # of many kinds, by what is wrong with the file
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
    """Yield the tensors in a nest of dicts by their paths."""
    if isinstance(state, Mapping) and depth < 20:
        for name, value in state.items():
            yield from _tensors(value, f"{path}.{name}" if path else str(name), depth + 1)
    elif hasattr(state, "detach"):
        tensor = state.detach().cpu()
        narrow = str(tensor.dtype) == "torch.bfloat16"  # which NumPy does not have
        yield path, np.asarray((tensor.float() if narrow else tensor).numpy())
