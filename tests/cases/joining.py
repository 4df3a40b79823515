"""Rows for arrays made of several, and several of one."""

import numpy as np

import tinygrad_nn as tg

from .case import Case

LINEAR = {"analytic": True, "complex": True}
PAIR = ((2, 3), (2, 3))


def _join():
    yield Case("concat", lambda x, y: np.concat((x, y), axis=-1), PAIR, **LINEAR)
    yield Case("concatenate", lambda x: np.concatenate(x), ((2, 3, 2),), note="of one Tensor")
    yield Case("concatenate", lambda x, y: np.concatenate((x, y), dtype=complex), PAIR, note="dtype")
    yield Case("concatenate", lambda x: np.concatenate((x, np.ones(2, x.dtype)), axis=None), ((2, 1),), note="an array")
    yield Case("concatenate", lambda x: np.concatenate((2.5, x, [1.0]), axis=None), ((2,),), note="numbers")
    yield Case("concatenate", lambda x: np.concatenate((x, np.arange(3))), ((2,),), note="integers, casting")
    yield Case("stack", lambda x: np.stack(x, axis=1), ((2, 3),), note="of one Tensor")
    yield Case("stack", lambda x, y: np.stack((x, np.ones((2, 3), x.dtype), y), -1), PAIR, note="an array", **LINEAR)
    yield Case("stack", lambda x, y: np.stack((x, y), dtype=complex), PAIR, note="dtype")
    for name in ("vstack", "hstack", "dstack", "column_stack"):
        f = getattr(np, name)
        yield Case(name, lambda x, y, f=f: f((x, y)), PAIR, **LINEAR)
        yield Case(name, lambda x, y, f=f: f([x, np.ones(3, x.dtype), y]), ((3,), (3,)))
    yield Case("vstack", lambda x: np.vstack((x, x), dtype=complex), ((2, 2),), note="dtype")
    yield Case("hstack", lambda x, y: np.hstack((x, y)), ((), ()))
    yield Case("hstack", lambda x, y: np.hstack((x, y)), ((2,), (3,)))
    yield Case("dstack", lambda x: np.dstack(x), ((2, 3),), note="of one Tensor")
    yield Case("column_stack", lambda x, y: np.column_stack((x, y)), ((2,), (2, 3)))
    yield Case("block", lambda x, y: np.block([x, y]), ((2,), (3,)), **LINEAR)
    yield Case("block", lambda x, y: np.block([[x, np.zeros((2, 2), x.dtype)], [np.ones((1, 3), x.dtype), y]]),
               ((2, 3), (1, 2)), note="nested", **LINEAR)  # fmt: skip
    yield Case("block", lambda x, y: np.block([[x, y], [y, x]]), ((), ()), note="0-d")
    yield Case("block", lambda x, y: np.block([[x, 2], [y, x]]), ((), ()), note="numbers")
    yield Case("block", lambda x, y: np.block([[[x], [y]]]), PAIR, note="three deep")
    yield Case("block", lambda x: np.block(x), ((2,),), note="no list")
    yield Case("append", lambda x, y: np.append(x, y), ((2, 3), (2,)), **LINEAR)
    yield Case("append", lambda x, y: np.append(x, y, axis=1), ((2, 3), (2, 1)), note="axis", **LINEAR)
    yield Case("append", lambda y: np.append(np.ones(2, y.dtype), y), ((2,),), note="to an array")
    yield Case("append", lambda x: np.append(x, 2.5 * np.ones(1, x.dtype)), ((2,),), note="a constant")
    for note, (obj, axis, shape) in {
        "flat": (1, None, ()), "axis": (2, 1, (2,)), "scalar": (0, 0, ()), "negative": (-1, -1, (2,)),
        "several": ([0, 2, 2], 1, (2, 3)), "slice": (slice(0, 2), 0, (2, 3)), "row": ([1], 0, (3,)),
        "at the end": (3, 1, ()), "mask": (np.array([True, False, True]), 1, (2, 2)),
        "flat several": ([4, 1], None, (2,)),
    }.items():  # fmt: skip
        yield Case(
            "insert", lambda x, y, o=obj, a=axis: np.insert(x, o, y, axis=a), ((2, 3), shape), complex=True, note=note
        )
    yield Case("insert", lambda x: np.insert(x, 1, 7), ((3,),), note="a number")
    yield Case("insert", lambda y: np.insert(np.ones(3, y.dtype), 1, y), ((2,),), note="in an array")


def _array():
    plain = lambda *rows: np.array(rows)
    yield Case("array", lambda x, y: tg.array([x, y]), ((3,), (3,)), reference=plain, **LINEAR)
    yield Case(
        "array", lambda x, y: tg.array([[x, y, 1], [0, 2, (x)]]), ((), ()),
        reference=lambda x, y: np.array([[x, y, 1], [0, 2, x]], x.dtype), note="numbers", **LINEAR,
    )  # fmt: skip
    yield Case(
        "array", lambda x: tg.array([x, [1, 2, 3], np.arange(3.0).astype(x.dtype)]), ((3,),),
        reference=lambda x: np.stack([x, np.array([1, 2, 3], x.dtype), np.arange(3.0).astype(x.dtype)]), note="mixed",
    )  # fmt: skip
    yield Case("array", lambda x: tg.array(x), ((2, 3),), reference=np.array, note="one")
    yield Case("array", lambda x: tg.array([x, 1], dtype=complex), ((),), note="dtype",
               reference=lambda x: np.array([x, 1], complex))  # fmt: skip
    yield Case("array", lambda x: np.array([x, x], like=x), ((2,),), note="like", **LINEAR)
    yield Case("array", lambda x: np.array([x, x], ndmin=3, like=x), ((2,),), note="like, ndmin")
    for name in ("asarray", "asanyarray", "ascontiguousarray", "asfortranarray"):
        yield Case(name, lambda x, name=name: getattr(np, name)([x, 2 * x], like=x), ((2,),))


def _split():
    for note, sections in {
        "even": 3, "at": [1, 4], "beyond": (2, 9), "backwards": [4, 2], "array": np.array([5]),
    }.items():  # fmt: skip
        yield Case("split", lambda x, s=sections: np.split(x, s), ((6, 2),), note=note, **LINEAR)
        yield Case("array_split", lambda x, s=sections: np.array_split(x, s, axis=-1), ((2, 6),), note=note, **LINEAR)
        yield Case("hsplit", lambda x, s=sections: np.hsplit(x, s), ((2, 6),), note=note, analytic=True)
        yield Case("vsplit", lambda x, s=sections: np.vsplit(x, s), ((6, 2),), note=note, analytic=True)
        yield Case("dsplit", lambda x, s=sections: np.dsplit(x, s), ((1, 2, 6),), note=note, analytic=True)
    yield Case("array_split", lambda x: np.array_split(x, 4), ((6,),), note="uneven")
    yield Case("array_split", lambda x: np.array_split(x, 4), ((3,),), note="some empty")
    yield Case("hsplit", lambda x: np.hsplit(x, 2), ((4,),))
    if hasattr(np, "unstack"):
        for axis in (0, -1):
            yield Case("unstack", lambda x, a=axis: np.unstack(x, axis=a), ((2, 3),), note=f"{axis}", **LINEAR)
    for note, (f, axis) in {
        "to a number": (lambda r: np.sum(r * r), 0), "to a row": (lambda r: r[::-1] * r, 1),
        "to a matrix": (lambda r: r[:, None] * r, -1),
    }.items():  # fmt: skip
        yield Case("apply_along_axis", lambda x, f=f, a=axis: np.apply_along_axis(f, a, x), ((2, 3, 2),), note=note)
    for note, call in {
        "": lambda x: np.apply_over_axes(np.sum, x, [0, 2]), "one": lambda x: np.apply_over_axes(np.mean, x, -1),
        "running": lambda x: np.apply_over_axes(np.cumsum, x, (0, 1)),
        "kept": lambda x: np.apply_over_axes(lambda a, axis: a.prod(axis=axis, keepdims=True), x, [1]),
    }.items():  # fmt: skip
        yield Case("apply_over_axes", call, ((2, 3, 2),), analytic=True, note=note)
    yield Case(
        "apply_along_axis", lambda x: np.apply_along_axis(lambda r, k, s=0: r[k] * r + s, 0, x, 1, s=2.0), ((3,),),
        note="arguments",
    )  # fmt: skip


def _pad():
    for note, width in {
        "number": 1, "pair": (2, 1), "one pair": ((0, 2),), "pairs": ((1, 0), (2, 3)),
        "array": np.array([[1, 1], [0, 0]]), "long": 7, "nothing": 0,
    }.items():  # fmt: skip
        for mode in (
            "constant", "edge", "reflect", "symmetric", "wrap", "linear_ramp", "mean", "median", "maximum", "minimum",
        ):  # fmt: skip
            if note in ("number", "pairs", "long") or mode == "constant":
                ordered = mode in ("median", "maximum", "minimum")
                yield Case(
                    "pad", lambda x, w=width, m=mode: np.pad(x, w, mode=m), ((3, 2),), distinct=ordered,
                    analytic=not ordered, complex=note == "pairs" and not ordered, note=f"{mode} {note}",
                )  # fmt: skip
    pairs = ((1, 2), (0, 3))
    for mode in ("reflect", "symmetric"):
        for width in (1, pairs, 7):
            yield Case(
                "pad", lambda x, w=width, m=mode: np.pad(x, w, mode=m, reflect_type="odd"), ((3, 4),),
                note=f"{mode} odd {width}", **LINEAR,
            )  # fmt: skip
        yield Case("pad", lambda x, m=mode: np.pad(x, 2, m, reflect_type="odd"), ((3, 1),), note=f"{mode} one entry")
    for v in (2.0, (1.0, 2.0), ((1, 2), (3, 4)), np.array([[1.5], [2]])):
        yield Case("pad", lambda x, v=v: np.pad(x, pairs, constant_values=v), ((3, 4),), note=f"constant {v}")
        yield Case("pad", lambda x, v=v: np.pad(x, pairs, "linear_ramp", end_values=v), ((3, 4),), note=f"ramp to {v}")
    for length in (2, (1, 3), ((1, 2), (3, 9)), None):
        for mode in ("mean", "median", "maximum", "minimum"):
            yield Case(
                "pad", lambda x, n=length, m=mode: np.pad(x, pairs, m, stat_length=n), ((3, 4),),
                distinct=mode != "mean", note=f"{mode} {length}",
            )  # fmt: skip
    yield Case(
        "pad", lambda x, y: np.pad(x, ((1, 2), (0, 0)), constant_values=y), ((2, 2), ()), note="constant Tensor",
        reference=lambda x, y: np.pad(x, ((1, 2), (0, 0)), constant_values=y),
    )  # fmt: skip
    yield Case("pad", lambda x, y: np.pad(x, 1, constant_values=y), ((2, 2), (2, 2)), note="constant Tensors")
    yield Case("pad", lambda x, y: np.pad(x, 2, "linear_ramp", end_values=y), ((3,), (2,)), note="ramp to Tensors")
    yield Case("pad", lambda x: np.pad(x, 1), ((0, 2),), note="empty")
    yield Case(
        "pad", lambda x: np.pad(x, {1: (0, 2), -2: 1}), ((2, 3),), reference=lambda x: np.pad(x, ((1, 1), (0, 2))),
        note="dict",
    )  # fmt: skip


CASES = [*_join(), *_array(), *_split(), *_pad()]
