"""Passing arrays to other libraries by DLPack, without a copy."""

from __future__ import annotations

from typing import Any

from ..primitive import METHODS


def _dlpack(
    t: Any, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
) -> Any:
    """Return the DLPack capsule of a leaf or a constant; memory is shared, so neither side may write into it.

    Raises:
        BufferError: the Tensor is part of a graph.
    """
    if t.node is not None and t.node.inner:
        raise BufferError("another library would not know the graph of this Tensor. Pass t.detach() for its values.")
    options = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
    try:
        return t.data.__dlpack__(**options)
    except BufferError:  # the older protocol cannot export a read-only array, so export a copy
        if t.data.flags.writeable or copy is False:
            raise
        return t.data.copy().__dlpack__(**options)


def _to_device(t: Any, device: Any, /, *, stream: Any = None) -> Any:
    """Return the Tensor itself; raise ValueError for any device but "cpu"."""
    if device != "cpu":
        raise ValueError(f"Tensors are NumPy arrays in main memory, so the device is 'cpu'; it got {device!r}.")
    return t


METHODS.update(__dlpack__=_dlpack, __dlpack_device__=lambda t: t.data.__dlpack_device__(), to_device=_to_device)
