"""TransformerBlock: attention and a two-layer perceptron, each with a residual connection and a layer norm."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arguments import as_generator
from .activations import activation as named
from .attention import MultiHeadAttention
from .containers import ModuleList
from .dropout import Dropout
from .keywords import pytorch_names
from .linear import Linear, check_count
from .module import Module
from .norm import LayerNorm

if TYPE_CHECKING:
    from .init import Rng


@pytorch_names(None, "device dtype", d_model="n", nhead="heads", dim_feedforward="n_hidden", layer_norm_eps="eps")
class TransformerBlock(Module):
    r"""One layer of a transformer encoder, or with causal=True of a language model.

    .. math:: x \leftarrow \mathrm{norm}_1(x + \mathrm{attention}(x)), \qquad
              x \leftarrow \mathrm{norm}_2(x + W_2 f(W_1 x + b_1) + b_2)

    With norm_first, the norms are applied to the inputs of attention and perceptron, and not to the sums.

    Args:
        n: number of columns of the sequence.
        heads: number of attention heads, a divisor of n.
        n_hidden: number of hidden units of the perceptron.
        dropout: the share set to zero in training: of attention weights, of hidden units, and of both results.
        activation: f, a name such as ``'relu'`` or ``'gelu'``, or a function.
        eps: of the layer norms.
        batch_first: whether sequences are ``(batch, time, n)`` rather than ``(time, batch, n)``, as in PyTorch.
        norm_first: whether norms come before attention and perceptron, see above.
        bias: whether linear layers and norms have biases.
        causal: whether each position attends only to itself and positions before.
        rng: a Generator or a seed, for initial weights and dropout; ``None`` draws different ones each time.
        dtype: of the parameters, ``float`` or ``np.float32``.

    Attributes:
        self_attn, linear1, linear2, norm1, norm2: its submodules, named as in ``torch.nn.TransformerEncoderLayer``.

    Raises:
        ValueError: heads does not divide n; from a call, x has another number of columns.

    Source: Vaswani et al., Attention is all you need (2017), section 3; norm_first: Xiong et al., On layer
    normalization in the transformer architecture (2020).

    Example:
        >>> block = TransformerBlock(8, 2, 32, dropout=0.0, causal=True, rng=0)
        >>> block(np.ones((5, 3, 8))).shape
        (5, 3, 8)
    """

    def __init__(
        self, n: int, heads: int, n_hidden: int = 2048, dropout: float = 0.1,
        activation: str | Callable[..., Any] = "relu", eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, *, causal: bool = False, rng: Rng = None, dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        rng = as_generator(rng)
        self.n_hidden = check_count(type(self).__name__, "n_hidden", n_hidden)
        self.self_attn = MultiHeadAttention(n, heads, dropout, bias, batch_first=batch_first, rng=rng, dtype=dtype)
        self.linear1 = Linear(n, n_hidden, bias, rng=rng, dtype=dtype)
        self.linear2 = Linear(n_hidden, n, bias, rng=rng, dtype=dtype)
        self.norm1 = LayerNorm(n, eps, bias=bias, dtype=dtype)
        self.norm2 = LayerNorm(n, eps, bias=bias, dtype=dtype)
        self.drop = Dropout(dropout, rng=rng)
        self.norm_first, self.causal = bool(norm_first), bool(causal)
        self._act = named(activation) if isinstance(activation, str) else activation

    def forward(self, x: Any, attn_mask: Any = None, key_padding_mask: Any = None) -> Any:
        """Return the sequence after attention and perceptron, of the same shape as x.

        Args:
            x: ``(time, batch, n)``, or with batch_first ``(batch, time, n)``.
            attn_mask, key_padding_mask: see `MultiHeadAttention`.
        """
        masks = {"attn_mask": attn_mask, "key_padding_mask": key_padding_mask, "causal": self.causal}
        if self.norm_first:
            x = x + self.drop(self.self_attn(self.norm1(x), **masks))
            return x + self._perceptron(self.norm2(x))
        x = self.norm1(x + self.drop(self.self_attn(x, **masks)))
        return self.norm2(x + self._perceptron(x))

    def _perceptron(self, x: Any) -> Any:
        return self.drop(self.linear2(self.drop(self._act(self.linear1(x)))))

    def about(self) -> str:
        """Return the options that differ from their defaults; the submodules show the sizes."""
        options = ["norm_first=True"] * self.norm_first + ["causal=True"] * self.causal
        return ", ".join(options)


class TransformerEncoderLayer(TransformerBlock):
    """`TransformerBlock` with PyTorch's call: src, src_mask, src_key_padding_mask, is_causal.

    Example:
        >>> layer = TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16, batch_first=True, rng=0)
        >>> layer(np.ones((5, 3, 8))).shape
        (5, 3, 8)
    """

    def forward(
        self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False
    ) -> Any:
        """Return the sequence after attention and perceptron, of the same shape as src."""
        before, self.causal = self.causal, self.causal or (is_causal and src_mask is None)
        try:
            return super().forward(src, src_mask, src_key_padding_mask)
        finally:
            self.causal = before


class TransformerEncoder(Module):
    """A stack of copies of one layer, applied one after the other.

    Args:
        encoder_layer: the layer to copy; all copies start from its weights, as in PyTorch.
        num_layers: the number of copies.
        norm: a module that is applied last, or ``None``.
        enable_nested_tensor, mask_check: have no effect.

    Example:
        >>> model = TransformerEncoder(TransformerEncoderLayer(8, 2, 16, rng=0), num_layers=2)
        >>> model(np.ones((5, 3, 8))).shape
        (5, 3, 8)
    """

    def __init__(
        self, encoder_layer: Module, num_layers: int, norm: Module | None = None, enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:  # fmt: skip
        count = check_count("TransformerEncoder", "num_layers", num_layers)
        self.layers = ModuleList(deepcopy(encoder_layer) for _ in range(count))
        self.norm = norm

    def forward(self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Any:
        """Return the sequence after all layers, of the same shape as src."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, is_causal)
        return src if self.norm is None else self.norm(src)
