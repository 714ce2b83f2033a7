"""Collect rollouts into a dataset: several workers, one writer, episodes in order.

Episode i is a function of the seed and of i alone, and the writer appends in order, so neither the
number of workers nor an interruption changes a byte of the dataset.
"""

from goalsight.data.collect.config import CollectConfig, CollectSummary
from goalsight.data.collect.mix import PolicyMix, load_mix
from goalsight.data.collect.run import collect

__all__ = [
    "CollectConfig",
    "CollectSummary",
    "PolicyMix",
    "collect",
    "load_mix",
]
