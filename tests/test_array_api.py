"""The array API standard over Tensors, DLPack, and arrays of other libraries that hold Tensors.

The conformance tests of the standard are no part of this suite: ``python -m tests.outside array_api``.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

import tinygrad_nn as tg
from tinygrad_nn import Tensor, array_api


def test_the_namespace_is_found_from_the_array() -> None:
    t = Tensor([1.0, 2.0])
    xp = t.__array_namespace__()
    assert xp is array_api
    assert hasattr(Tensor, "__array_namespace__"), "array_api_compat asks the class"
    assert t.__array_namespace__(api_version="2022.12") is array_api
    with pytest.raises(ValueError, match=r"2024\.12 of the array API and earlier ones; it got '2099\.12'"):
        t.__array_namespace__(api_version="2099.12")
    assert (t.device, t.to_device("cpu") is t, [*xp.__array_namespace_info__().devices()]) == ("cpu", True, ["cpu"])
    with pytest.raises(ValueError, match="the device is 'cpu'; it got 'gpu'"):
        t.to_device("gpu")
    with pytest.raises(ValueError, match="Leave out device="):
        xp.asarray(t, device="gpu")


def test_every_name_is_there_and_gives_tensors() -> None:
    for name in array_api.__all__:
        assert hasattr(array_api, name), name
    x = array_api.asarray([[1.0, 2.0], [3.0, 4.5]])
    made = [
        array_api.arange(3), array_api.zeros(2), array_api.eye(2), array_api.ones_like(x), array_api.equal(x, x),
        array_api.sum(x), array_api.argmax(x), *array_api.unique_all(x), *array_api.linalg.qr(x),
        array_api.fft.fft(x), array_api.fft.fftfreq(3, dtype=array_api.float32), *array_api.meshgrid(x[0], x[1]),
        array_api.full(2, 3), array_api.from_dlpack(np.ones(2)), array_api.clip(x, 2, 3), array_api.sort(x, axis=0),
    ]  # fmt: skip
    assert [type(t) for t in made] == [Tensor] * len(made)
    assert not any(t.requires_grad for t in made)
    assert array_api.fft.rfftfreq(4, dtype=array_api.float32).dtype == np.float32
    assert array_api.linalg.eigh(x).eigenvalues.shape == (2,)


def test_a_program_written_for_the_standard_differentiates() -> None:
    def program(x: Any) -> Any:
        xp = x.__array_namespace__()
        y = xp.sort(x, descending=True)[:2] ** xp.asarray(2.0)
        y = xp.concat([y, xp.clip(x, 0.0, 1.0), xp.astype(xp.linalg.vector_norm(x), xp.float64)[None]])
        mean = xp.mean(xp.take(x, xp.asarray([0, 2])))
        return xp.sum(xp.where(y > 0, xp.log1p(xp.abs(y)), y)) + xp.cumulative_sum(x)[-1] * mean

    x = np.array([0.5, -1.5, 2.5])
    value, slope = tg.value_and_grad(program)(x)
    np.testing.assert_allclose(value, np.log1p([6.25, 0.25, 0.5, 0, 1, np.sqrt(8.75)]).sum() + 1.5 * 1.5)
    h = 1e-6  # error of order h^2, and 1e-16/h
    for i, step in enumerate(np.eye(3) * h):
        up, down = (program(Tensor(x + s, requires_grad=False)).item() for s in (step, -step))
        np.testing.assert_allclose(slope[i], (up - down) / (2 * h), atol=1e-9)


def test_asarray_keeps_the_graph_and_copies_on_request() -> None:
    t = Tensor([1.0, 2.0])
    assert array_api.asarray(t) is t
    assert array_api.asarray(t, dtype=np.float32).requires_grad
    assert array_api.asarray(t, copy=True) is not t
    assert array_api.asarray([t[0], 1.0]).requires_grad
    plain = np.ones(2)
    assert array_api.asarray(plain).data is plain
    with pytest.raises(ValueError, match="copy=False cannot convert a Tensor of float64 to float32"):
        array_api.asarray(t, dtype=np.float32, copy=False)
    assert array_api.astype(t, np.float64, copy=False) is t
    assert array_api.clip(t).tolist() == [1, 2]
    backwards = array_api.argsort(Tensor([2, 1, 2, 0]), descending=True)
    assert backwards.tolist() == [0, 2, 1, 3], "equal ones keep their order"
    assert array_api.result_type(t, np.float32, 1) == np.float64
    assert array_api.can_cast(t, np.float32) is False
    assert (array_api.finfo(t).bits, array_api.iinfo(np.int8).max) == (64, 127)
    assert array_api.isdtype(t.dtype, "integral") is False


def test_operators_on_bits() -> None:
    k, j = Tensor([6, 3]), Tensor([2, 1])
    for op in (operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift):
        for pair in ((k, j), (k, 1), (5, j)):
            found = op(*pair)
            assert type(found) is Tensor
            assert found.tolist() == op(*(x.data if isinstance(x, Tensor) else x for x in pair)).tolist()
    assert (~k).tolist() == [-7, -4]
    assert (~(Tensor([True, False]) & True)).tolist() == [False, True]
    with pytest.raises(TypeError, match="bitwise_and"):
        Tensor([1.0]) & 1


# -- DLPack


def test_arrays_are_handed_over_without_a_copy() -> None:
    t = Tensor([1.0, 2.0], requires_grad=False)
    assert np.shares_memory(np.from_dlpack(t), t.data)
    leaf = Tensor([1.0, 2.0])
    assert np.shares_memory(np.from_dlpack(leaf), leaf.data)
    assert leaf.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match=r"would not know the graph.*t\.detach\(\)"):
        np.from_dlpack(leaf * 2)
    with pytest.raises(BufferError, match="would not know the graph"):
        tg.grad(lambda x: x * np.from_dlpack(x))(2.0)


def test_dlpack_copies_a_read_only_array_for_consumers_without_a_flag_for_it() -> None:
    made = (Tensor([1.0, 2.0]) * 2).detach()
    assert not np.from_dlpack(made).flags.writeable
    assert made.__dlpack__() is not None, "as an older library calls it"
    with pytest.raises(BufferError):
        made.__dlpack__(copy=False)


def test_dlpack_copies_a_writable_array_only_on_request() -> None:
    within = np.zeros(3, [("a", "i1"), ("b", "f8")])["b"]  # nine bytes from entry to entry, which DLPack cannot say
    t = Tensor(within)
    assert np.shares_memory(t.data, within)
    assert t.__dlpack__(copy=True) is not None
    for options in ({}, {"copy": None}, {"copy": False}):
        with pytest.raises(BufferError, match="strides"):
            t.__dlpack__(**options)


# -- Arrays with named axes


class Labelled:
    """An array with names of axes, which holds any array and computes by operators and ufuncs, as xarray's do."""

    dims = ("x",)

    def __init__(self, data: Any) -> None:
        self.data = data

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return Labelled(getattr(ufunc, method)(*(x.data if isinstance(x, Labelled) else x for x in inputs), **kwargs))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise AssertionError("turned into a plain array")

    def __mul__(self, other: Any) -> Any:
        return np.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return np.multiply(other, self)


@pytest.mark.parametrize("way", ["t * a", "a * t", "np.multiply(t, a)", "np.multiply(a, t)"])
def test_a_tensor_defers_to_an_array_with_named_axes(way: str) -> None:
    t, a = Tensor([1.0, 2.0]), Labelled(np.array([3.0, 4.0]))
    made = eval(way, {"t": t, "a": a, "np": np})
    assert type(made) is Labelled
    made.data.sum().backward()
    np.testing.assert_array_equal(t.grad, [3, 4])
    with pytest.raises(TypeError, match="maximum of a Tensor and a Labelled: write it as an operator"):
        tg.primitive.REGISTRY["maximum"](t, a)
