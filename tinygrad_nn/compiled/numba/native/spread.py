"""A loop of which each thread of numba runs some parts.

Numba's own parallel loops take its compiler several tenths of a second each, since it first looks for what could be run
side by side. Here that is known: the threads get one small function, and a pointer to the values that it reads.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic  # type: ignore[untyped-decorator]
def spread(typing: Any, function: Any, args: Any, parts: Any) -> Any:
    """Call ``function(*args, p, parts)`` for each part p; the function is one of numba's, or an address."""
    named = isinstance(function, types.Dispatcher)

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place, packed, count = values
        kinds = tuple(types.unliteral(kind) for kind in (*args.types, types.intp, types.intp))
        if named:
            (made,) = function.dispatcher.overloads.values()
            context.active_code_library.add_linking_library(made.library)
            kinds = made.signature.args
        given = [builder.extract_value(packed, k) for k in range(len(args.types))]
        given = [context.cast(builder, x, *pair) for x, *pair in zip(given, args.types, kinds, strict=False)]

        def call(builder: Any, block: list[Any], p: Any) -> None:
            place, *given, count = block
            kind = context.call_conv.get_function_type(types.none, kinds)
            code = (context.declare_function(builder.module, made.fndesc) if named else
                    builder.inttoptr(place, kind.as_pointer()))  # fmt: skip
            context.call_conv.call_function(builder, code, types.none, kinds, [*given, p, count])

        _start(builder, [place, *given, count], count, call)
        return context.get_dummy_value()

    return types.none(function, args, types.intp), generate


def _start(builder: Any, values: list[Any], count: Any, call: Any) -> None:
    """Have the threads run ``call(builder, values, p)``: each takes some numbers p below a count."""
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
    # As for a ufunc: the number of a part goes by as the address of one byte of an array.
    given = [share, *(cgutils.alloca_once_value(builder, x) for x in (pointer(None), count, word(1))), block]
    threads = cgutils.get_or_insert_function(builder.module, ir.FunctionType(word, []), "get_num_threads")
    kind = ir.FunctionType(ir.VoidType(), [*[pointer] * 5, *[word] * 3])
    start = cgutils.get_or_insert_function(builder.module, kind, "numba_parallel_for")
    numbers = word(0), word(1), builder.call(threads, [])  # axes besides the first, arrays, threads
    builder.call(start, [*[builder.bitcast(x, pointer) for x in given], *numbers])
