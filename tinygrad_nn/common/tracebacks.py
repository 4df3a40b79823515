"""Short tracebacks: for a wrong call, show the user's own frames and only the last frame of this package.

Only the display is shorter: the exception keeps every frame, for debuggers and logs. An error that was not raised on
purpose is a bug of this package and is shown in full. It works in a terminal and in a notebook.
"""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from .call_site import PACKAGE
from .display import ipython

OPERATIONS = PACKAGE + "ops" + os.sep
SWITCH = "TINYGRAD_NN_TRACEBACK"  # "full" in the environment shows every frame
WRONG = (ValueError, TypeError, IndexError, ArithmeticError)  # what NumPy raises for unsuitable operands


def is_ours(frame: FrameType) -> bool:
    """Whether a frame belongs to this package."""
    return frame.f_code.co_filename.startswith(PACKAGE)


def is_user_code(frame: FrameType) -> bool:
    """Whether a frame is user code: not of this package, nor of Python or an installed library."""
    import sysconfig

    file = frame.f_code.co_filename
    libraries = {sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not is_ours(frame) and not file.startswith((*libraries, "<frozen"))


def entries(trace: TracebackType | None) -> list[TracebackType]:
    """Return the entries of a traceback, the outermost first."""
    found = []
    while trace is not None:
        found.append(trace)
        trace = trace.tb_next
    return found


def is_operation(frame: FrameType) -> bool:
    """Whether a frame is `tensor.apply`, which runs the forward of a primitive on the user's arrays."""
    return is_ours(frame) and frame.f_code.co_name == "apply" and frame.f_code.co_filename == f"{PACKAGE}tensor.py"


def is_call_error(error: BaseException, trace: list[TracebackType]) -> bool:
    """Whether an error is the fault of the call, and not a bug of this package.

    It is if the last frame of this package has a raise statement there, if a function of the user that this package
    called fails, or if an operation on the user's arrays fails.
    """
    last = max((k for k, entry in enumerate(trace) if is_ours(entry.tb_frame)), default=None)
    if last is None:
        return False
    code, at = trace[last].tb_frame.f_code.co_code, trace[last].tb_lasti
    if 0 <= at < len(code) and dis.opname[code[at]] == "RAISE_VARARGS":
        return True
    if any(is_user_code(entry.tb_frame) for entry in trace[last + 1 :]):
        return True
    forward = [k for k, entry in enumerate(trace) if is_operation(entry.tb_frame)]
    inner = trace[forward[-1] + 1 : last + 1] if forward else []
    return bool(forward) and isinstance(error, WRONG) and all(_file(entry).startswith(OPERATIONS) for entry in inner)


def _file(entry: TracebackType) -> str:
    return entry.tb_frame.f_code.co_filename


def short_traceback(error: BaseException) -> tuple[TracebackType | None, int]:
    """Return an error's traceback with only the last of this package's frames, and how many frames are left out."""
    trace = entries(error.__traceback__)
    if os.environ.get(SWITCH) == "full" or not is_call_error(error, trace):
        return error.__traceback__, 0
    ours = [entry for entry in trace if is_ours(entry.tb_frame)]
    kept = [entry for entry in trace if entry is ours[-1] or not is_ours(entry.tb_frame)]
    shortened: TracebackType | None = None
    for entry in reversed(kept):
        shortened = TracebackType(shortened, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return shortened, len(trace) - len(kept)


@contextmanager
def shortening_tracebacks(error: BaseException) -> Iterator[int]:
    """Give an error and its causes short tracebacks inside this block; yields how many frames are left out."""
    before: list[tuple[BaseException, TracebackType | None]] = []
    one: BaseException | None = error
    while one is not None and all(one is not other for other, _ in before):
        before.append((one, one.__traceback__))
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    left_out = 0
    try:
        for one, _ in before:
            trace, count = short_traceback(one)
            left_out += count
            one.__traceback__ = trace
        yield left_out
    finally:
        for one, trace in before:
            one.__traceback__ = trace


def hidden_frames_note(left_out: int, hint: str) -> str:
    """Return the line that says how many frames are not shown, and how to see them."""
    frames = "1 frame of tinygrad_nn is" if left_out == 1 else f"{left_out} frames of tinygrad_nn are"
    return f"({frames} left out; {hint}.)"


def install() -> None:
    """Show short tracebacks from now on, in a terminal and in IPython, unless another hook is installed there."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _in_a_terminal
    shell = ipython()
    if shell is not None and not shell.custom_exceptions:
        shell.set_custom_exc((Exception,), _in_a_cell)


def _in_a_terminal(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    with shortening_tracebacks(error) as left_out:
        sys.__excepthook__(kind, error, error.__traceback__)
    if left_out and sys.stderr is not None:
        sys.stderr.write(f"{hidden_frames_note(left_out, f'{SWITCH}=full shows them')}\n")


def _in_a_cell(shell: Any, kind: Any, error: BaseException, trace: Any, tb_offset: int | None = None) -> None:
    """Show an error as IPython does; for a wrong call show the message first, and then the short traceback."""
    with shortening_tracebacks(error) as left_out:
        if not left_out or shell.call_pdb:
            lines = None
        else:
            whole = shell.InteractiveTB.structured_traceback(kind, error, error.__traceback__, tb_offset=tb_offset)
            lines = list(whole)
    if lines is None:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)
        return
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace  # %tb and %debug read these
    sys.last_exc = error  # type: ignore[attr-defined,unused-ignore]
    drawn = hasattr(error, "module_path") or any(is_operation(entry.tb_frame) for entry in entries(trace))
    more = "; tinygrad_nn.explain_error() draws what led to it" if drawn else ""
    shell._showtraceback(kind, error, [lines[-1], *lines[:-1], hidden_frames_note(left_out, f"%tb shows them{more}")])
