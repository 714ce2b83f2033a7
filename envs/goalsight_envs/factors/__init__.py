"""Factors of variation: what may differ between two episodes of a task, each with its unit.

Off unless asked for. `gymnasium.make(..., factors="ood-visual")` or a mapping of names to values
and ranges draws them at every reset; `reset(options={"factors": {...}})` fixes them. The values an
episode has are in the `info` of its reset.
"""

from goalsight_envs.factors.table import FACTORS, LEVELS
from goalsight_envs.factors.values import Factor, FactorError, Factors, Ranges, Value
from goalsight_envs.factors.variation import Variation, factors_of

__all__ = [
    "FACTORS",
    "LEVELS",
    "Factor",
    "FactorError",
    "Factors",
    "Ranges",
    "Value",
    "Variation",
    "factors_of",
]
