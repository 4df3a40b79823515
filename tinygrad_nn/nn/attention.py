"""Multi-head attention: self-attention within a sequence, or cross-attention to another sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.arguments import as_generator
from ..common.printable import counted
from ..ops.attention import attention, join_heads, self_attention, split_heads, weights
from ..ops.neural import affine
from ..tensor import Tensor, raw
from .dropout import dropout_mask
from .keywords import pytorch_names
from .linear import Linear, as_input, check_count, parameter
from .module import Module

if TYPE_CHECKING:
    from .init import Rng

_PYTORCH = {"embed_dim": "n", "num_heads": "heads", "kdim": "n_key", "vdim": "n_value"}
_NO_ROW = "no row is added to keys and values; concatenate one to them"
_FIXED = {"add_bias_kv": (False, _NO_ROW), "add_zero_attn": (False, _NO_ROW)}
_SHAPE = "{layer}: {name} needs shape {need}; it has {got}."
_MASK = (
    "{layer}: {name} must be of booleans, True where a query may not look, or of floats that are added to the "
    "scores; it holds {dtype}."
)


@pytorch_names(_FIXED, "add_bias_kv add_zero_attn kdim vdim batch_first device dtype", **_PYTORCH)
class MultiHeadAttention(Module):
    r"""Scaled dot-product attention in several heads, each with its own projections.

    .. math:: y = [\mathrm{head}_1, \dots, \mathrm{head}_h]\, W_O^T + b_O, \qquad
              \mathrm{head} = \operatorname{softmax}\left(\frac{q k^T}{\sqrt d} + M\right) v

    Args:
        n: number of columns of the queries and of the result.
        heads: number of heads, a divisor of n.
        dropout: the share of the attention weights that is set to zero in training.
        bias: whether the projections have biases.
        n_key, n_value: numbers of columns of keys and values, by default n.
        batch_first: whether sequences are ``(batch, time, n)`` rather than ``(time, batch, n)``, as in PyTorch.
        rng: a Generator or a seed, for initial weights and dropout; ``None`` draws different ones each time.
        dtype: of the parameters, ``float`` or ``np.float32``.

    Attributes:
        in_proj_weight, in_proj_bias: ``(3 n, n)`` and ``(3 n,)``: the rows of queries, keys and values. If n_key or
            n_value is not n, q_proj_weight, k_proj_weight and v_proj_weight replace in_proj_weight.
        out_proj: `Linear` from n to n.

    Raises:
        ValueError: heads does not divide n, or dropout is not at least 0 and below 1; from a call, shapes do not fit.

    Source: Vaswani et al., Attention is all you need (2017), section 3.2.2; names, layout and initial weights of
    PyTorch.

    Example:
        >>> layer = MultiHeadAttention(8, 2, batch_first=True, rng=0)
        >>> out, looks = layer(np.ones((5, 3, 8)), causal=True, need_weights=True)
        >>> out.shape, looks.data[0].round(2).tolist()
        ((5, 3, 8), [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.33, 0.33, 0.33]])
    """

    def __init__(
        self, n: int, heads: int, dropout: float = 0.0, bias: bool = True, *, n_key: int | None = None,
        n_value: int | None = None, batch_first: bool = False, rng: Rng = None, dtype: Any = np.float64,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        self.n, self.heads = check_count(name, "n", n), check_count(name, "heads", heads)
        self.n_key = self.n if n_key is None else check_count(name, "n_key", n_key)
        self.n_value = self.n if n_value is None else check_count(name, "n_value", n_value)
        if self.n % self.heads:
            raise ValueError(
                f"{name}: {counted(self.n, 'column')} cannot be divided into {self.heads} heads of equal size."
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"{name}: dropout={dropout!r}; the dropped share must be at least 0 and below 1.")
        self.dropout, self.batch_first = float(dropout), bool(batch_first)
        self.rng = as_generator(rng)
        self._together = self.n_key == self.n_value == self.n

        def drawn(rows: int, columns: int) -> Tensor:
            limit = (6 / (rows + columns)) ** 0.5  # Xavier's uniform limit
            return parameter(self.rng.uniform(-limit, limit, (rows, columns)), dtype)

        if self._together:
            self.in_proj_weight = drawn(3 * self.n, self.n)
        else:
            self.q_proj_weight, self.k_proj_weight = drawn(self.n, self.n), drawn(self.n, self.n_key)
            self.v_proj_weight = drawn(self.n, self.n_value)
        self.in_proj_bias = parameter(np.zeros(3 * self.n), dtype) if bias else None
        self.out_proj = Linear(self.n, self.n, bias, rng=self.rng, dtype=dtype)
        if self.out_proj.bias is not None:
            self.out_proj.bias.data[:] = 0

    def forward(
        self, query: Any, key: Any = None, value: Any = None, *, key_padding_mask: Any = None, attn_mask: Any = None,
        causal: bool = False, need_weights: bool = False, average_attn_weights: bool = True,
    ) -> Any:  # fmt: skip
        """Return the attention result of each query.

        Args:
            query: ``(queries, batch, n)``, or with batch_first ``(batch, queries, n)``.
            key, value: ``(keys, batch, n_key)`` and ``(keys, batch, n_value)``; key defaults to query, value to key.
            key_padding_mask: ``(batch, keys)``, True for keys that are padding; or floats that are added to the scores.
            attn_mask: ``(queries, keys)`` or ``(batch * heads, queries, keys)``, True where a query must not attend
                to a key; or floats that are added to the scores.
            causal: whether each query attends only to keys at its own position and before.
            need_weights: whether to return the attention weights too, ``(batch, queries, keys)``.
            average_attn_weights: whether these are the mean over heads; otherwise ``(batch, heads, queries, keys)``.

        Returns:
            An array or Tensor of the shape of the query; with need_weights the pair of it and the weights.
        """
        dtype = self.out_proj.weight.dtype
        query = as_input(query, dtype)
        key = query if key is None else as_input(key, dtype)
        value = key if value is None else as_input(value, dtype)
        self._check(query, key, value)
        alone = self._together and key is query and value is query
        (batch, queries), keys = self._lengths(query), self._lengths(key)[1]
        mask = self._mask(key_padding_mask, attn_mask, causal, (batch, self.heads, queries, keys), query.dtype)
        keep: Any = 1.0
        if self.training and self.dropout:
            keep = dropout_mask(self.rng, self.dropout, (batch, self.heads, queries, keys), query)
        looks = None
        if alone and not need_weights:
            b = 0.0 if self.in_proj_bias is None else self.in_proj_bias
            qkv = self._batch_first(affine(query, self.in_proj_weight, b))  # (batch, time, 3 n)
            y = self_attention(qkv, mask, keep, heads=self.heads)
        else:
            pairs = zip((query, key, value), self._projections(), strict=True)
            q, k, v = (self._batch_first(affine(x, *p)) for x, p in pairs)  # (batch, time, n)
            if need_weights:
                looks = weights(split_heads(q, self.heads), split_heads(k, self.heads), mask) * keep
                y = join_heads(looks @ split_heads(v, self.heads))
            else:
                y = attention(q, k, v, mask, keep, heads=self.heads)
        out = self._batch_first(self.out_proj(y))
        if looks is None:
            return out
        return out, looks.mean(axis=1) if average_attn_weights else looks

    def _batch_first(self, x: Any) -> Any:
        """Swap time and batch axes unless batch_first: from the layout of the inputs to batch first, and back."""
        return x if self.batch_first else x.swapaxes(0, 1)

    def _lengths(self, x: Any) -> tuple[int, int]:
        """Return the lengths of the batch axis and the time axis."""
        return (x.shape[0], x.shape[1]) if self.batch_first else (x.shape[1], x.shape[0])

    def _projections(self) -> list[tuple[Any, Any]]:
        """Return the pairs of weight and bias for queries, keys and values."""
        n, b = self.n, self.in_proj_bias
        rows = [slice(i * n, (i + 1) * n) for i in range(3)]
        W = ([self.in_proj_weight[part] for part in rows] if self._together else
             [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight])  # fmt: skip
        return [(W[i], 0.0 if b is None else b[part]) for i, part in enumerate(rows)]

    def _check(self, query: Any, key: Any, value: Any) -> None:
        layout = "(batch, time, {})" if self.batch_first else "(time, batch, {})"
        for name, x, n in (("query", query, self.n), ("key", key, self.n_key), ("value", value, self.n_value)):
            if x.ndim != 3 or x.shape[-1] != n:
                raise ValueError(_SHAPE.format(layer=self._label(), name=name, need=layout.format(n), got=x.shape))
        batch = 0 if self.batch_first else 1
        if key.shape[:2] != value.shape[:2] or key.shape[batch] != query.shape[batch]:
            raise ValueError(
                f"{self._label()}: key and value need the same times, and all three the same batch; query has "
                f"shape {query.shape}, key {key.shape}, value {value.shape}."
            )

    def _mask(self, padding: Any, attn_mask: Any, causal: bool, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return the mask that is added to the scores, broadcastable to (batch, heads, queries, keys); 0.0 for none."""
        batch, heads, queries, keys = shape
        mask: Any = 0.0
        if causal:
            mask = np.where(np.tri(queries, keys, dtype=bool), 0, -np.inf).astype(dtype)
        if attn_mask is not None:
            attn_mask = self._added("attn_mask", attn_mask, dtype)
            if attn_mask.shape == (batch * heads, queries, keys):
                attn_mask = attn_mask.reshape(shape)
            elif attn_mask.shape != (queries, keys):
                need = f"({queries}, {keys}) or ({batch * heads}, {queries}, {keys})"
                raise ValueError(_SHAPE.format(layer=self._label(), name="attn_mask", need=need, got=attn_mask.shape))
            mask = mask + attn_mask
        if padding is not None:
            padding = self._added("key_padding_mask", padding, dtype)
            if padding.shape != (batch, keys):
                raise ValueError(
                    _SHAPE.format(layer=self._label(), name="key_padding_mask", need=(batch, keys), got=padding.shape)
                )
            mask = mask + padding.reshape(batch, 1, 1, keys)
        return mask

    def _added(self, name: str, mask: Any, dtype: Any) -> Any:
        """Return the mask as floats that are added to the scores: True becomes -inf, floats are kept."""
        mask = mask if isinstance(mask, Tensor) else np.asarray(mask)
        if mask.dtype.kind == "b":
            return np.where(mask, -np.inf, 0).astype(dtype)
        if mask.dtype.kind != "f":
            raise TypeError(_MASK.format(layer=self._label(), name=name, dtype=mask.dtype))
        return mask.astype(dtype)

    def _label(self) -> str:
        """Return a one-line name for error messages; the ``repr`` has several lines."""
        return f"{type(self).__name__}({self.about()})"

    def about(self) -> str:
        """Return the sizes, and the options that differ from their defaults."""
        options = (
            f", dropout={self.dropout:g}" * (self.dropout > 0) + ", bias=False" * (self.in_proj_bias is None)
            + f", n_key={self.n_key}" * (self.n_key != self.n) + f", n_value={self.n_value}" * (self.n_value != self.n)
            + ", batch_first=True" * self.batch_first
        )  # fmt: skip
        return f"{self.n}, {self.heads}{options}"


class MultiheadAttention(MultiHeadAttention):
    """`MultiHeadAttention` with PyTorch's call: key and value are required, and the result is (output, weights).

    Example:
        >>> x = np.ones((5, 3, 8))
        >>> output, weights = MultiheadAttention(embed_dim=8, num_heads=2, batch_first=True, rng=0)(x, x, x)
        >>> output.shape, weights.shape
        ((5, 3, 8), (5, 3, 3))
    """

    def forward(  # type: ignore[override]
        self, query: Any, key: Any, value: Any, key_padding_mask: Any = None, need_weights: bool = True,
        attn_mask: Any = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Any, Any]:  # fmt: skip
        """Return the attention result of each query and the attention weights, ``None`` with need_weights=False.

        Args:
            query, key, value: ``(time, batch, n)``, or batch first; or a single sequence ``(time, n)``.
            key_padding_mask, attn_mask: see `MultiHeadAttention`.
            need_weights: whether the attention weights are returned, ``(batch, queries, keys)``.
            average_attn_weights: whether these are the mean over heads; otherwise ``(batch, heads, queries, keys)``.
            is_causal: whether each query attends only to keys at its own position and before, if attn_mask is ``None``;
                otherwise it has no effect: as in PyTorch, the attn_mask is the one to use.
        """
        alone = np.ndim(query) == 2
        axis = 0 if self.batch_first else 1
        x, k, v = (np.expand_dims(part, axis) if alone else part for part in (query, key, value))
        k = x if key is query else k
        v = k if value is key else v
        if alone and key_padding_mask is not None:
            key_padding_mask = np.asarray(raw(key_padding_mask))[None]
        result = super().forward(
            x, k, v, key_padding_mask=key_padding_mask, attn_mask=attn_mask, causal=is_causal and attn_mask is None,
            need_weights=need_weights, average_attn_weights=average_attn_weights,
        )  # fmt: skip
        out, looks = result if need_weights else (result, None)
        return (np.squeeze(out, axis), looks if looks is None else looks[0]) if alone else (out, looks)
