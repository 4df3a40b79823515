"""Data-parallel training over MPI: each rank computes on its rows of every batch, and all ranks take the same step.

The loss of a batch is the sum over the ranks of ``w_r L_r``, where ``w_r`` is the share of the rows that rank r has. So
one sum of weighted gradients over the ranks gives the gradient of the whole batch. This package is imported only when
a communicator is passed to `fit`, and mpi4py only by user code that makes a communicator, or by `world`.
"""

from .batch_norm import moments_of_ranks, standardize_of_ranks
from .collectives import in_all_ranks, total
from .communicator import Ranks, launched, world
from .draws import RowDraws, find_row_axes
from .gradients import Sum
from .shard import Shard, current_shard, on_shard
from .versions import rank_environment

__all__ = [
    "Ranks",
    "RowDraws",
    "Shard",
    "Sum",
    "current_shard",
    "in_all_ranks",
    "launched",
    "moments_of_ranks",
    "find_row_axes",
    "on_shard",
    "standardize_of_ranks",
    "rank_environment",
    "total",
    "world",
]
