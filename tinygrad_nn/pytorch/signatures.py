"""The arguments that PyTorch's functions have where NumPy has the function: their order, their names, and NumPy's.

`NUMPYS`, `LINALG` and `FFT` list them: ``input, dim=, *, dtype=`` has one argument that is needed, an option that may
also be given by position, and one that is given by name only. ``acos=arccos`` is PyTorch's name and NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, Signature
from typing import Any

from .constructors import constant

Function = Callable[..., Any]

NUMPYS = {
    "input": """
        abs absolute acos=arccos acosh=arccosh angle arccos arccosh arcsin arcsinh arctan arctanh argwhere
        asin=arcsin asinh=arcsinh atan=arctan atanh=arctanh bitwise_not=invert ceil conj conj_physical=conj
        corrcoef cos cosh deg2rad exp exp2 expm1 fix fliplr flipud floor imag isfinite isinf isnan isneginf
        isposinf isreal log log10 log1p log2 logical_not neg=negative negative positive rad2deg ravel real
        sgn=sign sign signbit sin sinc sinh sqrt square tan tanh trace trunc""",
    "input, other": """
        arctan2 atan2=arctan2 bitwise_and bitwise_left_shift=left_shift bitwise_or bitwise_right_shift=right_shift
        bitwise_xor copysign eq=equal floor_divide fmax fmin fmod gcd ge=greater_equal greater greater_equal gt=greater
        hypot inner kron lcm ldexp le=less_equal less less_equal logaddexp logaddexp2 logical_and logical_or
        logical_xor lt=less matmul
        maximum minimum mul=multiply multiply ne=not_equal nextafter not_equal remainder vdot""",
    "tensors, dim=": "cat=concatenate concat concatenate stack",
    "tensors": "column_stack dstack hstack row_stack=vstack vstack",
    "input, diagonal=": "diag tril triu",
    "input, dim=, keepdim=": "all any amax=max amin=min argmax argmin count_nonzero",
    "input, dim=, keepdim=, *, dtype=": "mean nanmean nansum prod sum",
    "input, dim, *, dtype=": "cumprod cumsum",
    "input, dim": "unsqueeze=expand_dims",
    "input, dims": "permute=transpose tile",
    "input, dim0, dim1": "swapdims=swapaxes transpose=swapaxes",
    "input, axis0, axis1": "swapaxes",
    "input, source, destination": "movedim=moveaxis moveaxis",
    "input, mat2": "bmm=matmul mm=matmul",
    "input, vec": "mv=matmul",
    "input, vec2": "ger=outer outer",
    "input, tensor": "dot",
    "input, values": "heaviside",
    "input, exponent": "float_power pow=power",
    "input, size": "broadcast_to",
    "input, shape": "reshape",
    "input, shifts, dims=": "roll",
    "input, k=, dims=": "rot90",
    "input, *, decimals=": "round",
    "input, min=, max=": "clip",
    "input, weights=, minlength=": "bincount",
    "input, other, rtol=, atol=, equal_nan=": "isclose",
    "elements, test_elements, *, assume_unique=, invert=": "isin",
    "input, offset=, dim1=, dim2=": "diagonal",
    "input, n=, dim=, prepend=, append=": "diff",
    "input, *, correction=, fweights=, aweights=": "cov",
    "y, x=, *, dx=, dim=": "trapezoid trapz=trapezoid",
    "x, N=, increasing=": "vander",
}
LINALG = {
    "A": "det eig eigvals inv slogdet svdvals",
    "A, p=": "cond",
    "input, other, *, dim=": "cross",
    "x, y, *, dim=": "vecdot",
    "input, other": "matmul",
    "A, ind=": "tensorinv",
    "A, B, dims=": "tensorsolve",
    "A, n": "matrix_power",
    "A, UPLO=": "eigh eigvalsh",
    "A, *, upper=": "cholesky",
    "A, mode=": "qr",
    "A, full_matrices=": "svd",
    "A, rcond=, hermitian=, *, rtol=": "pinv",
    "tensors": "multi_dot",
}
FFT = {"input, n=, dim=, norm=": "fft ifft irfft rfft", "input, s=, dim=, norm=": "fft2 fftn ifft2 ifftn",
       "input, dim=": "fftshift"}  # fmt: skip
_WORDS = {"dim": "axis", "dims": "axis", "keepdim": "keepdims", "diagonal": "k", "dim1": "axis1", "dim2": "axis2",
          "correction": "ddof"}  # fmt: skip
_SEVERAL = {"rot90", "tensorsolve", "fftshift", "fft2", "fftn", "ifft2", "ifftn"}  # where NumPy's word is axes


def as_tensors(out: Any) -> Any:
    """Return arrays as Tensors, also in lists and in tuples, which keep their names; True and False are unchanged."""
    if isinstance(out, (list, tuple)):
        parts = map(as_tensors, out)
        return type(out)(*parts) if hasattr(out, "_fields") else tuple(parts)
    return out if isinstance(out, bool) else constant(out)


def without_out(function: Function, name: str) -> Function:
    """Return the function, which says what to write if it is called with PyTorch's ``out=``."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs and kwargs.pop("out", None) is not None:
            raise TypeError(f"torch.{name}: out= is not supported. Write y = torch.{name}(...).")
        return function(*args, **kwargs)

    return call


def in_torch_form(function: Function, arguments: str, name: str) -> Function:
    """Return a NumPy function that takes PyTorch's arguments, and NumPy's words for them, and returns Tensors."""
    given = _signature(arguments)
    takes = list(given.parameters)
    places = [word for word in takes if given.parameters[word].kind is Parameter.POSITIONAL_OR_KEYWORD]
    needed = [word for word in takes if given.parameters[word].default is Parameter.empty]
    numpys = {word: "axes" if name in _SEVERAL and word[:3] == "dim" else _WORDS.get(word, word) for word in takes}
    theirs = {ours: word for word, ours in numpys.items()} | {"input": takes[0], "tensors": takes[0]}

    @wraps(function, assigned=("__doc__",), updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        if len(args) > len(places):
            raise TypeError(f"torch.{name} takes by position: {', '.join(places)}; it got {len(args)} arguments.")
        named = dict(zip(places, args, strict=False))
        for word, value in kwargs.items():
            word = theirs.get(word, word)
            if word in named:
                raise TypeError(f"torch.{name}: {word} is given twice.")
            named[word] = value
        if missing := [word for word in needed if word not in named]:
            raise TypeError(f"torch.{name} needs {', '.join(missing)}. Its arguments are {given}.")
        first = [named.pop(word) for word in needed]
        options = {numpys.get(word, word): tuple(value) if isinstance(value, list) and word[:3] == "dim" else value
                   for word, value in named.items() if value is not None}  # fmt: skip
        return as_tensors(function(*first, **options))

    call.__name__ = call.__qualname__ = name
    call.__signature__ = given  # type: ignore[attr-defined]
    return without_out(call, name)


def _signature(arguments: str) -> Signature:
    found = []
    kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    for part, kind in zip(arguments.split("*, "), kinds, strict=False):
        found += [Parameter(word.rstrip("="), kind, default=None if word[-1] == "=" else Parameter.empty)
                  for word in part.rstrip(", ").split(", ")]  # fmt: skip
    return Signature(found)


def table(rows: Mapping[str, str], module: Any) -> dict[str, Function]:
    """Return the functions of a table by PyTorch's names; `module` is where NumPy has them."""
    found = {}
    for arguments, names in rows.items():
        for name, _, numpys in (word.partition("=") for word in names.split()):
            found[name] = in_torch_form(getattr(module, numpys or name), arguments, name)
    return found
