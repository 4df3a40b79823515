"""Layers that mix or compare channels, without parameters."""

from __future__ import annotations

from . import functional as F
from .function_layers import layer_of

ChannelShuffle = layer_of("ChannelShuffle", F.channel_shuffle, "Take channels in turn from each of several groups.",
                          ("groups", None), module=__name__)  # fmt: skip
LocalResponseNorm = layer_of(
    "LocalResponseNorm", F.local_response_norm, "Divide each entry by the squares of `size` neighbouring channels; see "
    "`functional.local_response_norm`.", ("size", None), ("alpha", 1e-4), ("beta", 0.75), ("k", 1.0), module=__name__,
)  # fmt: skip
