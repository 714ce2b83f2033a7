"""Search over action sequences: pure functions that know bounds, not robots.

`cem` and `random_shooting` share one signature and return a `Plan`; `shift` turns a plan into the
warm start of the next one.
"""

from goalsight_planners.cem import CEMConfig, cem
from goalsight_planners.plan import Cost, IterationStats, Plan, shift
from goalsight_planners.random_shooting import random_shooting

__all__ = ["CEMConfig", "Cost", "IterationStats", "Plan", "cem", "random_shooting", "shift"]
