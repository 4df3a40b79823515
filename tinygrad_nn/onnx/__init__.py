"""Export models to ONNX files for other programs; load ONNX files of other programs to run, draw and train them here.

`save_onnx` traces the forward of a model (`rows`) and translates each operation of the trace to ONNX operators
(`operators`), which a `Writer` collects. `load_onnx` returns a module that runs the operators of a file on Tensors
(`read`), with one NumPy function per operator (`functions`). This needs the extra ``onnx``:
``pip install 'tinygrad-nn[onnx]'``.
"""

from .export import save_onnx
from .read import OnnxModule, load_onnx

__all__ = ["OnnxModule", "load_onnx", "save_onnx"]
