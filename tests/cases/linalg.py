"""Products of vectors, matrices and tensors; Einstein sums; norms."""

import numpy as np
from numpy.linalg import matrix_norm, vector_norm

from tinygrad_nn import Tensor
from tinygrad_nn.primitive import REGISTRY

from .case import Case


def _products():
    for name, f, pairs in [
        ("vdot", np.vdot, [((3,), (3,)), ((2, 3), (2, 3)), ((2, 3), (3, 2)), ((), ()), ((0,), (0,))]),
        ("vecdot", np.vecdot, [((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3)), ((2, 0), (2, 0))]),
        ("linalg.vecdot", np.linalg.vecdot, [((2, 3), (2, 3))]),
        ("matvec", np.matvec, [((2, 3), (3,)), ((4, 2, 3), (3,)), ((2, 3), (5, 3)), ((4, 1, 2, 3), (5, 3))]),
        ("vecmat", np.vecmat, [((2,), (2, 3)), ((2,), (4, 2, 3)), ((5, 2), (2, 3)), ((5, 2), (4, 1, 2, 3))]),
        ("inner", np.inner, [((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3)), ((2, 5, 3), (4, 3)), ((), (2, 3))]),
        ("inner", np.inner, [((), ()), ((2, 0), (3, 0))]),
        ("outer", np.outer, [((3,), (2,)), ((2, 2), (3,)), ((), (3,)), ((0,), (3,))]),
        ("linalg.outer", np.linalg.outer, [((3,), (2,))]),
        ("linalg.matmul", np.linalg.matmul, [((2, 3), (3, 4)), ((5, 2, 3), (3, 4))]),
        ("kron", np.kron, [((3,), (2,)), ((2, 3), (2, 2)), ((2,), (3, 2)), ((2, 1, 3), (2, 2)), ((), (3,)), ((), ())]),
        ("cross", np.cross, [((3,), (3,)), ((2, 3), (3,)), ((2, 1, 3), (4, 3))]),
        ("linalg.cross", np.linalg.cross, [((2, 3), (2, 3))]),
    ]:
        linear = name.split(".")[-1] not in ("vdot", "vecdot", "vecmat")  # these conjugate the first argument
        for shapes in pairs:
            yield Case(name, lambda x, y, f=f: f(x, y), shapes, complex=True, analytic=linear)
    yield Case("outer", lambda x: np.outer([1.0, 2.0], x), ((3,),), order=1, note="a list")
    yield Case("dot", lambda x: np.dot(x, x), ((3, 3),), complex=True, note="with itself")
    for axes, shapes in [
        ([(0, 1), (-1, 0), (0, 2)], ((3, 2, 4), (2, 4, 2))), ([(0, 1), (0,), (0,)], ((2, 3, 4), (3,))),
    ]:  # fmt: skip
        yield Case("matmul", lambda x, y, a=axes: np.matmul(x, y, axes=a), shapes, note=f"axes {axes}")
    yield Case("matmul", lambda x, y: np.matmul(x, y), ((2, 3), (3, 2)), note="function")
    yield Case("matmul", lambda x, y: np.matmul(x, y, dtype=np.float64), ((2, 3), (3, 2)), note="dtype")
    yield Case("vecdot", lambda x, y: np.vecdot(x, y, axis=0), ((3, 2), (3, 2)), complex=True, note="axis")
    yield Case("vecdot", lambda x, y: np.vecdot(x, y, axis=0, keepdims=True), ((3, 2), (3, 2)), note="kept")
    yield Case("vecdot", lambda x, y: np.vecdot(x, y, keepdims=True), ((2, 3), (3,)), note="kept, last")
    yield Case("vecdot", lambda x, y: np.vecdot(x, y, axes=[0, 1, ()]), ((3, 2), (2, 3)), note="axes")
    yield Case("linalg.vecdot", lambda x, y: np.linalg.vecdot(x, y, axis=0), ((3, 2), (3, 2)), note="axis")
    yield Case("matvec", lambda x, y: np.matvec(x, y, axes=[(0, 1), 0, 0]), ((2, 3, 4), (3, 4)), note="axes")
    yield Case("vecmat", lambda x, y: np.vecmat(x, y, axes=[0, (0, 1), 0]), ((2, 4), (2, 3, 4)), note="axes")


def _crosses():
    for axes, shapes in [
        ({"axis": 0}, ((3, 2), (3, 2))),
        ({"axisa": 0}, ((3, 2), (2, 3))),
        ({"axisa": 1, "axisb": 0, "axisc": 0}, ((4, 3, 2), (3, 4, 2))),
    ]:
        yield Case("cross", lambda x, y, k=axes: np.cross(x, y, **k), shapes, complex=True, note=str(axes))
    yield Case("linalg.cross", lambda x, y: np.linalg.cross(x, y, axis=0), ((3, 2), (3, 2)), note="axis 0")
    for shapes in (((2,), (2,)), ((4, 2), (2,)), ((2,), (3,)), ((4, 3), (4, 2)), ((2, 2), (2, 3))):
        yield Case("cross", _crossed, shapes, reference=_flat_cross, note="in the plane")


def _crossed(x, y):
    return np.cross(x, y) if isinstance(x, Tensor) or isinstance(y, Tensor) else _flat_cross(x, y)


def _flat_cross(x, y):
    """Return the product of vectors of which some lie in the plane, which NumPy takes until 2.4."""
    if x.shape[-1] == y.shape[-1] == 2:
        return x[..., 0] * y[..., 1] - x[..., 1] * y[..., 0]
    x, y = (np.concatenate([v, np.zeros((*v.shape[:-1], 3 - v.shape[-1]), v.dtype)], axis=-1) for v in (x, y))
    return np.cross(x, y)


def _tensordots():
    for axes, shapes in [
        (0, ((2, 3), (2,))), (1, ((2, 3), (3, 4))), (2, ((2, 3, 4), (3, 4, 5))), (2, ((3, 4), (3, 4))),
        ((0, 0), ((3, 2), (3, 4))), ((-1, 0), ((2, 3), (3, 4))), (([0, 2], [2, 0]), ((3, 2, 4), (4, 5, 3))),
        (((), ()), ((2,), (3,))), (0, ((), (3,))),
    ]:  # fmt: skip
        yield Case(
            "tensordot", lambda x, y, a=axes: np.tensordot(x, y, axes=a), shapes, complex=True, analytic=True,
            note=f"axes {axes}",
        )  # fmt: skip
    yield Case("tensordot", lambda x, y: np.tensordot(x, y), ((2, 3, 4), (3, 4)), note="default")
    yield Case("linalg.tensordot", lambda x, y: np.linalg.tensordot(x, y, axes=1), ((2, 3), (3, 4)))


def _traces():
    for offset in (0, 1, -2):
        note = f"offset {offset}"
        yield Case("trace", lambda x, k=offset: np.trace(x, k), ((3, 4),), complex=True, analytic=True, note=note)
        yield Case("linalg.trace", lambda x, k=offset: np.linalg.trace(x, offset=k), ((2, 3, 4),), note=note)
        yield Case("linalg.diagonal", lambda x, k=offset: np.linalg.diagonal(x, offset=k), ((2, 3, 4),), note=note)
    yield Case("trace", lambda x: np.trace(x, 1, 2, 0), ((3, 2, 4),), note="axes")
    yield Case("trace", lambda x: np.trace(x, axis1=-1, axis2=1), ((3, 2, 4),), note="negative axes")
    yield Case("trace", lambda x: np.trace(x, dtype=np.float64), ((3, 3),), note="dtype")
    yield Case("trace", lambda x: x.trace(offset=1), ((3, 3),), note="method")
    yield Case("linalg.trace", lambda x: np.linalg.trace(x, dtype=np.float64), ((3, 3),), note="dtype")
    yield Case("linalg.matrix_transpose", lambda x: np.linalg.matrix_transpose(x), ((2, 3, 4),), complex=True)


def _powers_and_chains():
    for n in (0, 1, 2, 3, 5, 6):
        yield Case(
            "linalg.matrix_power", lambda x, n=n: np.linalg.matrix_power(x, n), ((2, 3, 3),),
            complex=n > 0, analytic=True, order=min(n, 2), note=f"{n}",
        )  # fmt: skip
    for n in (-1, -3):
        yield Case("linalg.matrix_power", lambda x, n=n: np.linalg.matrix_power(x, n), (REGULAR,), note=f"{n}")
    for shapes in [
        ((2, 3), (3, 4)), ((2, 3), (3, 4), (4, 2)), ((5, 2), (2, 4), (4, 1), (1, 3)), ((3,), (3, 4), (4, 2)),
        ((2, 3), (3, 4), (4,)), ((3,), (3, 4), (4,)), ((3,), (3,)),
    ]:  # fmt: skip
        yield Case("linalg.multi_dot", lambda *a: np.linalg.multi_dot(a), shapes, complex=True, analytic=True)


REGULAR = np.array([[[3.0, 0.4, -0.7], [0.2, 2.0, 0.5], [-0.3, 0.9, 2.5]], [[2.0, 1, 0], [-1, 2, 0.3], [0.1, 0, 3]]])


def _einsums():
    for subscripts, *shapes in [
        ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij,jk->ki", (2, 3), (3, 4)),
        ("ij->ji", (2, 3)), ("ba", (2, 3)), ("ij->", (2, 3)), ("ij->j", (2, 3)), ("i->i", (3,)), (",->", (), ()),
        ("i,i", (3,), (3,)), ("i,j->ij", (2,), (3,)), (" i j , j -> i ", (2, 3), (3,)), ("i,->i", (3,), ()),
        ("ii", (3, 3)), ("ii->i", (3, 3)), ("iij->j", (3, 3, 2)), ("iji->ji", (3, 2, 3)), ("iii->i", (2, 2, 2)),
        ("ijij->ij", (2, 3, 2, 3)), ("ii,ij->j", (3, 3), (3, 2)), ("ii,jj->", (2, 2), (3, 3)),
        ("ij,kl->", (2, 3), (3, 2)), ("ijk,jil->kl", (3, 4, 2), (4, 3, 2)), ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
        ("...ij,...jk->...ik", (5, 2, 3), (3, 4)), ("...ij,...jk", (4, 1, 2, 3), (5, 3, 2)), ("i...->...", (3, 2)),
        ("...i,...i->...", (2, 3), (3,)), ("...", (2, 3)), ("i...j->j...i", (2, 4, 3)), ("...ii->...i", (2, 3, 3)),
        ("...,...", (2, 3), (3,)), ("k...,jk", (3, 2), (4, 3)),
        ("ij,ij->ij", (1, 3), (2, 3)), ("ij,ij->", (2, 1), (1, 3)), ("ij,jk->ik", (2, 1), (3, 4)),
        ("ij,kj->i", (2, 3), (4, 1)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
        ("a,ab,bc,cd->d", (2,), (2, 3), (3, 2), (2, 3)),
        ("i,i,i->i", (3,), (3,), (3,)), ("ij,i,j->", (2, 3), (2,), (3,)), ("ij,jk->ik", (2, 0), (0, 3)),
    ]:  # fmt: skip
        yield Case(
            "einsum", lambda *a, s=subscripts: np.einsum(s, *a), tuple(shapes), complex=True, analytic=True,
            note=subscripts,
        )  # fmt: skip
    three = ((2, 3), (3, 4), (4, 2))
    for optimize in (True, "greedy", "optimal", ["einsum_path", (0, 1), (0, 1)]):
        yield Case(
            "einsum", lambda *a, o=optimize: np.einsum("ij,jk,kl->il", *a, optimize=o), three, note=f"{optimize}"
        )
        yield Case(
            "einsum", lambda *a, o=optimize: np.einsum("ij,jk->i", *a, optimize=o[:2] if isinstance(o, list) else o),
            three[:2], note=f"two, {optimize}",
        )  # fmt: skip
    yield Case("einsum", lambda x, y: np.einsum(x, [0, 1], y, [1, 2], [2, 0]), ((2, 3), (3, 4)), note="integers")
    yield Case("einsum", lambda x, y: np.einsum(x, [5, 1], y, [1, 2]), ((2, 3), (3, 4)), note="integers, implicit")
    yield Case("einsum", lambda x, y: np.einsum(x, [..., 0], y, [0, 27], [..., 27]), ((5, 2, 3), (3, 4)), note="dots")
    yield Case("einsum", lambda x: np.einsum("ij->i", x, dtype=np.float64), ((2, 3),), note="dtype")
    yield Case("einsum", lambda x: np.einsum("ij,ij->i", x, x), ((2, 3),), complex=True, note="with itself")
    yield Case("einsum", lambda x: np.einsum("ij,jk->ik", [[1, 2, 3], [4, 5, 6]], x), ((3, 2),), note="constant")
    yield Case("einsum_path", lambda x: x * len(np.einsum_path("ij,jk->ik", x, x)[0]), ((3, 3),))


def _norms():
    orders = (None, 1, 2, 3, 0.5, -1, -2, np.inf, -np.inf)
    for p in orders:
        sharp = {"distinct": True, "note": f"p {p}"}
        yield Case("linalg.norm", lambda x, p=p: np.linalg.norm(x, p), ((4,),), complex=True, **sharp)
        yield Case("linalg.norm", lambda x, p=p: np.linalg.norm(x, p, axis=1), ((2, 4),), **sharp)
        yield Case("linalg.norm", lambda x, p=p: np.linalg.norm(x, p, -2, True), ((3, 2),), **sharp)
        if p is not None:
            yield Case("linalg.vector_norm", lambda x, p=p: vector_norm(x, ord=p), ((2, 3),), complex=True, **sharp)
            yield Case(
                "linalg.vector_norm", lambda x, p=p: vector_norm(x, axis=(0, -1), keepdims=True, ord=p), ((2, 3, 2),),
                **sharp,
            )  # fmt: skip
    for p in (None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        sharp = {"distinct": True, "note": f"p {p}"}
        yield Case("linalg.norm", lambda x, p=p: np.linalg.norm(x, p), ((3, 2),), complex=True, **sharp)
        yield Case("linalg.norm", lambda x, p=p: np.linalg.norm(x, p, axis=(2, 0)), ((2, 4, 3),), **sharp)
        yield Case("linalg.norm", lambda x, p=p: np.linalg.norm(x, p, (0, -1), True), ((2, 4, 3),), **sharp)
        if p is not None:
            yield Case("linalg.matrix_norm", lambda x, p=p: matrix_norm(x, ord=p), ((2, 2, 3),), **sharp)
            yield Case("linalg.matrix_norm", lambda x, p=p: matrix_norm(x, ord=p, keepdims=True), ((2, 3),), **sharp)
    for shape in ((), (2, 3, 2), (0,), (2, 0)):
        yield Case("linalg.norm", lambda x: np.linalg.norm(x), (shape,), distinct=True)
    yield Case("linalg.norm", lambda x: np.linalg.norm(x, keepdims=True), ((2, 3),), note="kept")
    yield Case("linalg.norm", lambda x: np.linalg.norm(x, 0), ((3,),), order=0, note="p 0")
    yield Case("linalg.norm", lambda x: np.linalg.norm(x), (np.zeros((2, 2)),), order=0, note="at zero")
    yield Case("linalg.norm", lambda x: np.linalg.norm(x, 3), (np.zeros(3),), order=0, note="p 3 at zero")
    yield Case("linalg.norm", lambda x: np.linalg.norm(x, "nuc"), (np.zeros((2, 2)),), order=0, note="nuc at zero")
    for exponent in (3, 2, 1, 0.5, -1.5):
        for odd in (False, True):
            yield Case(
                "absolute_power", lambda x, a=exponent, n=odd: REGISTRY["absolute_power"](x, exponent=a, odd=n),
                ((2, 3),), distinct=True, note=f"{exponent}{', odd' * odd}",
                reference=lambda x, a=exponent, n=odd: np.sign(x) ** n * np.abs(x) ** a,
            )  # fmt: skip
    yield Case("vector_norm", lambda x: vector_norm(x, axis=0), (np.array([[0.0, 1], [0, 2]]),), order=1, note="a zero")
    for x, y in (((3, 2), (4, 2)), ((2, 3, 2), (1, 2, 2)), ((3, 2), (2, 1, 2))):
        yield Case(
            "distances", REGISTRY["distances"], (x, y),
            reference=lambda x, y: np.sqrt(((x[..., :, None, :] - y[..., None, :, :]) ** 2).sum(-1)),
        )  # fmt: skip
    for p in (None, 2, -2, "fro", "nuc", 1, -1, np.inf, -np.inf):
        yield Case(
            "linalg.cond", lambda x, p=p: np.linalg.cond(x, p), (REGULAR,), order=1 + (p != -2), complex=True,
            note=f"p {p}",
        )  # fmt: skip
    yield Case("linalg.cond", lambda x: np.linalg.cond(x), ((2, 3),), note="rectangular")
    singular = np.stack([REGULAR[0], np.ones((3, 3))])
    yield Case("linalg.matrix_rank", lambda x: x * np.linalg.matrix_rank(x), (singular[0],))


CASES = [
    *_products(), *_crosses(), *_tensordots(), *_traces(), *_powers_and_chains(), *_einsums(), *_norms(),
]  # fmt: skip
