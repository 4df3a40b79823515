"""The line of user code that called this package, found in the frames of the stack."""

from __future__ import annotations

import os
import sys
from os.path import dirname

import numpy as np

# how the names of source files begin
PACKAGE, NUMPY = dirname(dirname(__file__)) + os.sep, dirname(np.__file__) + os.sep


def is_of_library(file: str) -> bool:
    """Tell whether a source file belongs to this package, another installed one, or Python; else it is the user's."""
    return file.startswith((PACKAGE, NUMPY, "<frozen", "<__array")) or any(
        place in file for place in ("site-packages", "dist-packages", "/lib/python"))  # fmt: skip


def calling_line(generated: str = "<") -> tuple[str, int]:
    """Return file and line of the innermost frame outside this package, NumPy and generated code.

    Names of files that begin with `generated` are those of generated code. If there is no other frame, the outermost
    one is returned: code typed at a prompt is in the file ``<stdin>``.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith((PACKAGE, NUMPY, generated)):
        frame = frame.f_back
    return frame.f_code.co_filename, frame.f_lineno


def raising_line(error: BaseException) -> tuple[str, int]:
    """Return file and line of the innermost frame of user code in the traceback of an error."""
    found, step = ("?", 0), error.__traceback__
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith((PACKAGE, NUMPY, "<")):
            found = step.tb_frame.f_code.co_filename, step.tb_lineno
        step = step.tb_next
    return found
