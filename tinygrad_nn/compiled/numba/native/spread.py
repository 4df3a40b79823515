"""Runs a function for p = 0, 1, ..., parts - 1 on numba's threads: the parallel loop of this package.

numba's own parallel loops (``prange``) take several tenths of a second each to compile, since numba first analyses what
can run in parallel. Here that is known: the threads get one small function, and a pointer to the values that it reads.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def spread(typing: Any, address: Any, args: Any, parts: Any) -> Any:
    """Call the function at an address, ``f(*args, p, parts)``, for each part p."""
    kinds = tuple(types.unliteral(kind) for kind in (*args.types, types.intp, types.intp))

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place, packed, count = values
        kind = context.call_conv.get_function_type(types.none, kinds).as_pointer()
        _run(context, builder, args, packed, count, kinds, place, lambda inner, place: inner.inttoptr(place, kind))
        return context.get_dummy_value()

    return types.none(address, args, types.intp), generate


def spreading(function: Any) -> Any:
    """Return an intrinsic ``run(args, parts)`` that calls a numba function ``f(*args, p, parts)`` for each part p.

    The function is not an argument of `run`, because code with a function object in it could not be kept on disk.
    """

    def run(typing: Any, args: Any, parts: Any) -> Any:
        (made,) = function.overloads.values()

        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            context.active_code_library.add_linking_library(made.library)
            packed, count = values
            none = ir.IntType(64)(0)
            code = lambda inner, _: context.declare_function(inner.module, made.fndesc)  # noqa: E731
            _run(context, builder, args, packed, count, made.signature.args, none, code)
            return context.get_dummy_value()

        return types.none(args, types.intp), generate

    return intrinsic(run)


def _run(
    context: Any, builder: Any, args: Any, packed: Any, count: Any, kinds: Any, place: Any, code: Any
) -> None:  # fmt: skip
    """Make the threads call the function ``code(builder, place)`` with the arguments in a tuple, cast to `kinds`."""
    given = [builder.extract_value(packed, k) for k in range(len(args.types))]
    given = [context.cast(builder, x, *pair) for x, *pair in zip(given, args.types, kinds, strict=False)]
    given = [_lent(context, builder, kind, x) for kind, x in zip(kinds, given, strict=False)]

    def call(inner: Any, block: list[Any], p: Any) -> None:
        place, failed, *given, count = block
        status, _ = context.call_conv.call_function(
            inner, code(inner, place), types.none, kinds, [*given, p, count]
        )
        with inner.if_then(status.is_error):
            inner.store(ir.IntType(8)(1), failed)

    failed = cgutils.alloca_once_value(builder, ir.IntType(8)(0))
    _start(builder, [place, failed, *given, count], count, call)
    with builder.if_then(builder.trunc(builder.load(failed), ir.IntType(1))):
        context.call_conv.return_user_exc(builder, MemoryError, ("there was no memory for a part of the work",))


def _lent(context: Any, builder: Any, kind: Any, x: Any) -> Any:
    """Return an array without an owner, so that threads do not count references: they would wait for each other."""
    if not isinstance(kind, types.Array):
        return x
    array = context.make_array(kind)(context, builder, x)
    array.meminfo, array.parent = (cgutils.get_null_value(part.type) for part in (array.meminfo, array.parent))
    return array._getvalue()


def _start(builder: Any, values: list[Any], count: Any, call: Any) -> None:
    """Make the threads run ``call(builder, values, p)`` for all p below `count`; each thread takes some of them."""
    word, pointer = ir.IntType(64), ir.IntType(8).as_pointer()
    block = cgutils.alloca_once_value(builder, cgutils.pack_struct(builder, values))
    kind = ir.FunctionType(ir.VoidType(), [pointer.as_pointer(), word.as_pointer(), word.as_pointer(), pointer])
    share = ir.Function(builder.module, kind, builder.module.get_unique_name("share"))
    share.linkage = "internal"
    inner = ir.IRBuilder(share.append_basic_block())
    first, counts, _, data = share.args
    held = inner.load(inner.bitcast(data, block.type))
    with cgutils.for_range(inner, inner.load(counts)) as loop:
        p = inner.add(inner.ptrtoint(inner.load(first), word), loop.index)
        call(inner, [inner.extract_value(held, k) for k in range(len(values))], p)
    inner.ret_void()
    # numba's threads run ufuncs over arrays, so the number of a part is passed as an address in an array of bytes.
    given = [share, *(cgutils.alloca_once_value(builder, x) for x in (pointer(None), count, word(1))), block]
    threads = cgutils.get_or_insert_function(builder.module, ir.FunctionType(word, []), "get_num_threads")
    kind = ir.FunctionType(ir.VoidType(), [*[pointer] * 5, *[word] * 3])
    start = cgutils.get_or_insert_function(builder.module, kind, "numba_parallel_for")
    numbers = word(0), word(1), builder.call(threads, [])  # further axes, arrays, and threads
    builder.call(start, [*[builder.bitcast(x, pointer) for x in given], *numbers])
