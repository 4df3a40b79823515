"""Threads run each part of a loop exactly once, for any number of parts, with exactly the values given to it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
pytest.importorskip("scipy")

import numba
from numba.extending import intrinsic

from tinygrad_nn.compiled.numba.native import build  # noqa: F401 - which starts the threads
from tinygrad_nn.compiled.numba.native.spread import spread, spreading

ROOT = Path(__file__).parents[1]
KINDS = "void(f8[:, ::1], Array(f8, 0, 'C'), i4, f4, i8[::1], i8, i8)"


@numba.njit(KINDS, nogil=True)
def _part(out: Any, one: Any, number: Any, small: Any, ran: Any, p: Any, parts: Any) -> None:
    out[p, 0] = one[()] + number
    out[p, 1] = small
    out[p, 2] = parts
    ran[p] += 1


_parts = spreading(_part)


@numba.njit("void(f8[:, ::1], Array(f8, 0, 'C'), i4, f4, i8[::1], i8)", nogil=True)
def _by_name(out: Any, one: Any, number: Any, small: Any, ran: Any, parts: Any) -> None:
    _parts((out, one, number, small, ran), parts)


@numba.njit("void(f8[:, ::1], Array(f8, 0, 'C'), i4, f4, i8[::1], i8, i8)", nogil=True)
def _by_address(out: Any, one: Any, number: Any, small: Any, ran: Any, parts: Any, address: Any) -> None:
    spread(address, (out, one, number, small, ran), parts)


def _address() -> int:
    (made,) = _part.overloads.values()
    return int(made.library.get_pointer_to_function(made.fndesc.llvm_func_name))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("parts", [0, 1, 2, 3, 7, 64])
def test_each_part_runs_once(parts: int, named: bool) -> None:
    out, ran = np.full((65, 3), -1.0), np.zeros(65, np.int64)
    given = out, np.array(0.25), np.int32(7), np.float32(0.1), ran, parts
    _by_name(*given) if named else _by_address(*given, _address())
    assert ran.tolist() == [1] * parts + [0] * (65 - parts)
    assert out[:parts].tolist() == [[7.25, float(np.float32(0.1)), parts]] * parts
    assert (out[parts:] == -1).all()


def test_a_number_is_given_as_the_type_that_the_function_takes() -> None:
    @numba.njit("void(f8[::1], f8, i8, i8)", nogil=True)
    def part(out: Any, number: Any, p: Any, parts: Any) -> None:
        out[p] = number

    parts = spreading(part)

    @numba.njit("void(f8[::1], i8)", nogil=True)
    def run(out: Any, number: Any) -> None:
        parts((out, number), 2)

    out = np.zeros(2)
    run(out, 3)
    assert out.tolist() == [3, 3]


def test_a_thread_that_is_given_several_parts_at_once_runs_each() -> None:
    code = (
        "import numba\nfrom tests.test_spread import test_each_part_runs_once\n"
        "for parts in (1, 3, 64):\n    test_each_part_runs_once(parts, True)\nprint(numba.threading_layer())"
    )
    env = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "PYTHONPATH": os.pathsep.join(map(str, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout.split() == ["workqueue"], done.stderr


@intrinsic
def _holders(typing: Any, x: Any) -> Any:
    """Return the address of the count of who holds an array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(array.meminfo, context.get_value_type(signature.return_type))

    return numba.types.intp(x), generate


@numba.njit("void(i8[::1], i8, i8)", nogil=True)
def _counted_part(out: Any, p: Any, parts: Any) -> None:
    half = out[p:]
    half[0] = _holders(half)


_counted_parts = spreading(_counted_part)


@numba.njit("i8(i8[::1], i8)", nogil=True)
def _counted(out: Any, parts: Any) -> Any:
    _counted_parts((out,), parts)
    return _holders(out)


def test_threads_do_not_count_who_holds_an_array() -> None:
    out = np.ones(3, np.int64)
    held = sys.getrefcount(out)
    assert _counted(out, 3) != 0
    assert out.tolist() == [0, 0, 0]
    assert sys.getrefcount(out) == held
