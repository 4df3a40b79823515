"""Compiles the functions of this package, and shares the cores between numba's threads and BLAS.

numba's threads divide the work, and each calls BLAS for products on its own core. So BLAS is told to use one thread
during a call. Otherwise there would be two pools of threads, which both wait for work in busy loops and take the cores
from each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock, get_ident
from typing import Any

import numba
import numpy as np
import threadpoolctl
from llvmlite.binding import get_host_cpu_name

from ....common.forks import renewed_after_fork
from ..cache import kept_on_disk
from ..forked import Forked
from .spread import spread

SPIN = "3000"  # how often a thread of GNU OpenMP looks for work before it sleeps: for 50 to 150 µs
HALVED = ("znver4",)  # processors that do AVX-512 in two halves: OpenBLAS's kernels for AVX2 are faster on them
MATH = frozenset({"reassoc", "contract", "nsz"})  # NaN and infinity keep their meaning; sums may be reordered


@contextmanager
def _environment(**wanted: str) -> Iterator[None]:
    """Set environment variables that are not set yet, for libraries that are loaded inside the block."""
    ours = {key: value for key, value in wanted.items() if key not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for key in ours:
            del os.environ[key]


with _environment(**({"OPENBLAS_CORETYPE": "Zen"} if get_host_cpu_name() in HALVED else {})):
    import scipy.linalg.cython_blas  # noqa: F401 - numba calls its BLAS
with _environment(**({} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": SPIN})):
    THREADS: int = numba.get_num_threads()


class Cores:
    """A lock that lets one compiled call at a time use all cores, with BLAS limited to one thread."""

    def __init__(self) -> None:
        self.lock = renewed_after_fork(RLock())
        self.depth = 0
        self.forked = False
        found = threadpoolctl.ThreadpoolController().lib_controllers
        self.libraries = [library for library in found if library.user_api == "blas"]
        self.before: list[int] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def take(self) -> None:
        """Wait until the cores are free, take them, and limit BLAS to one thread.

        Raises:
            Forked: this process is a fork, which does not have the threads of its parent.
        """
        self.lock.acquire()
        if self.forked:
            self.lock.release()
            raise Forked(
                "code that was compiled for several threads cannot run in a forked process; one started with "
                "multiprocessing.get_context('spawn') has threads of its own"
            )
        self.depth += 1
        if self.depth == 1:
            self.before = [library.get_num_threads() for library in self.libraries]
            for library in self.libraries:
                library.set_num_threads(1)

    def give(self) -> None:
        """Release the cores, and give BLAS its threads back."""
        self.depth -= 1
        if self.depth == 0:
            for library, threads in zip(self.libraries, self.before, strict=True):
                library.set_num_threads(threads)
        self.lock.release()

    def _forked(self) -> None:
        for library, threads in zip(self.libraries, self.before, strict=True) if self.depth else ():
            library.set_num_threads(threads)
        self.depth, self.forked = 0, True


CORES = Cores()


def kernel(no_alias: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that compiles a function for each combination of argument types, and keeps it on disk.

    With `no_alias` the caller promises that no array which the function writes shares memory with another argument.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        jitted = numba.njit(nogil=True, error_model="numpy", fastmath=set(MATH), **options)(function)
        made = kept_on_disk(jitted, no_alias)
        called = made.get_call_template
        # Compile once for a type, not for each constant; where LLVM inlines the function, it knows the constants.
        made.get_call_template = lambda args, named: called([numba.types.unliteral(x) for x in args], named)
        return made

    return compiled


@kernel()
def _start(address: Any, parts: Any, *args: Any) -> None:
    spread(address, args, parts)


_preparing: set[int] = set()  # identifiers of threads inside `preparing`


@contextmanager
def preparing() -> Iterator[None]:
    """Inside the block, calls of native functions in this thread compile them, but do not run them."""
    _preparing.add(get_ident())
    try:
        yield
    finally:
        _preparing.discard(get_ident())


class Parted:
    """A function ``f(*args, p, parts)`` of which each thread does part p; it is called as ``f(*args, parts)``.

    Its arrays are C-contiguous. Threads call it by its address: compiled into the function that starts the threads, it
    would be optimized three more times, with everything that it calls.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.body = kernel()(function)
        self.addresses: dict[Any, int] = {}

    def __call__(self, *args: Any) -> None:
        """Run all parts, each in a thread; if there is only one part, run it in this thread."""
        if _preparing and get_ident() in _preparing:
            self.prepare(*args)
            return
        parts = args[-1]
        if parts == 1:
            self.body(*args[:-1], 0, 1)
            return
        kinds = tuple([(x.dtype.char, x.ndim) if isinstance(x, np.ndarray) else type(x) for x in args])
        address = self.addresses.get(kinds)
        if address is None:
            address = self.addresses[kinds] = self._address(args)
        _start(address, parts, *args[:-1])

    def prepare(self, *args: Any) -> None:
        """Compile the code that a call with such arguments runs."""
        self._compiled(args)
        if args[-1] != 1:
            _start.compile((numba.types.intp, numba.types.intp, numba.types.Tuple(_types(args[:-1]))))

    def _compiled(self, args: Any) -> Any:
        signature = (*_types(args), numba.types.intp)
        self.body.compile(signature)
        return self.body.overloads[signature]

    def _address(self, args: Any) -> int:
        found = self._compiled(args)
        return int(found.library.get_pointer_to_function(found.fndesc.llvm_func_name))


def _types(args: Any) -> list[Any]:
    return [numba.types.Array(t.dtype, t.ndim, "C") if hasattr(t, "ndim") else t for t in map(numba.typeof, args)]
