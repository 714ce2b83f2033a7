"""Search over action sequences: pure functions that know bounds, not robots.

Every planner has the signature of `cem` and returns a `Plan`; `PLANNERS` has them by name. `shift`,
`shift_steps` and `shift_elites` turn a plan into the warm start of the next one.
"""

from goalsight_planners.cem import CEMConfig, cem
from goalsight_planners.config import Discrete, GaussianConfig, SearchConfig, axes_named
from goalsight_planners.icem import ICEMConfig, icem
from goalsight_planners.limits import Projection, Workspace
from goalsight_planners.mppi import MPPIConfig, mppi
from goalsight_planners.noise import streams
from goalsight_planners.plan import (
    Cost,
    IterationStats,
    Plan,
    Stop,
    shift,
    shift_elites,
    shift_steps,
    stack_plans,
)
from goalsight_planners.random_shooting import random_shooting
from goalsight_planners.registry import PLANNERS, Planner, planner_for
from goalsight_planners.space import Bounds

__all__ = [
    "PLANNERS",
    "Bounds",
    "CEMConfig",
    "Cost",
    "Discrete",
    "GaussianConfig",
    "ICEMConfig",
    "IterationStats",
    "MPPIConfig",
    "Plan",
    "Planner",
    "Projection",
    "SearchConfig",
    "Stop",
    "Workspace",
    "axes_named",
    "cem",
    "icem",
    "mppi",
    "planner_for",
    "random_shooting",
    "shift",
    "shift_elites",
    "shift_steps",
    "stack_plans",
    "streams",
]
