"""Bitwise functions of integers and booleans; these are always constants, so no function here has a gradient."""

from __future__ import annotations

import numpy as np

from ..primitive import declare

# fmt: off
bitwise_and = declare(np.bitwise_and, r"x \mathbin{\&} y", None, None)

bitwise_or = declare(np.bitwise_or, r"x \mathbin{|} y", None, None)

bitwise_xor = declare(np.bitwise_xor, r"x \oplus y", None, None)

invert = declare(np.invert, r"\neg x", None)

left_shift = declare(np.left_shift, r"x \cdot 2^y", None, None)

right_shift = declare(np.right_shift, r"\lfloor x / 2^y \rfloor", None, None)

bitwise_count = declare(np.bitwise_count, r"\# \text{ of ones in } x", None)

gcd = declare(np.gcd, r"\gcd(x, y)", None, None)

lcm = declare(np.lcm, r"\operatorname{lcm}(x, y)", None, None)

# fmt: on
