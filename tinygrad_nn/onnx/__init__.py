"""Models as ONNX files, out and in, so that other programs run them, and those of other programs are drawn and trained.

A model goes out as what its forward does: it is traced (`rows`), and each operation of the trace becomes operators of
ONNX (`operators`), written down by a `Writer`. A file comes in as a module that runs its operators on Tensors (`read`),
by a table of functions of NumPy (`functions`). This needs the extra ``onnx``: ``pip install 'tinygrad-nn[onnx]'``.
"""

from .export import save_onnx
from .read import OnnxModule, load_onnx

__all__ = ["OnnxModule", "load_onnx", "save_onnx"]
