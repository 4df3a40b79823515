"""``torch.special``: SciPy's special functions under PyTorch's names and with its arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import special
from .autograd import Names
from .functions import FUNCTIONS
from .signatures import Function, in_torch_form

ROWS = {
    "input": """
        airy_ai bessel_j0=j0 bessel_j1=j1 bessel_y0=y0 bessel_y1=y1 digamma entr erf erfc erfcx erfinv exp2 expit
        expm1 gammaln i0 i0e i1 i1e log1p log_ndtr modified_bessel_i0=i0 modified_bessel_i1=i1 modified_bessel_k0=k0
        modified_bessel_k1=k1 ndtr ndtri psi scaled_modified_bessel_k0=k0e scaled_modified_bessel_k1=k1e sinc
        spherical_bessel_j0""",
    "input, other": "gammainc gammaincc xlog1py xlogy zeta",
    "input, p": "multigammaln",
    "n, input": "polygamma",
}
ALIKE = "log_softmax logit logsumexp round softmax"  # these are in torch under the same names
IN_TORCH = {"erfinv": "erfinv", "i0": "i0", "igamma": "gammainc", "igammac": "gammaincc", "mvlgamma": "multigammaln",
            "polygamma": "polygamma", "xlogy": "xlogy"}  # fmt: skip


_DERIVED: dict[str, Function] = {
    "airy_ai": lambda x: special.airy(x)[0],  # Ai, of Ai, Ai', Bi and Bi'
    "spherical_bessel_j0": lambda x: special.sinc(np.divide(x, np.pi)),
}


def _scipys(name: str) -> Function:
    """Return SciPy's function of this name, which is looked up when it is called, as SciPy need not be there."""
    return _DERIVED.get(name) or (lambda *args: getattr(special, name)(*args))


def _in_table() -> dict[str, Any]:
    found: dict[str, Any] = {name: FUNCTIONS[name] for name in ALIKE.split()}
    for arguments, words in ROWS.items():
        for name, _, scipys in (word.partition("=") for word in words.split()):
            found[name] = in_torch_form(_scipys(scipys or name), arguments, f"special.{name}")
    return found


namespace = Names("torch.special", **_in_table())
