"""Search over action sequences: pure functions that know bounds, not robots.

Every planner has the signature of `cem` and returns a `Plan`; `PLANNERS` has them by name. `shift`,
`shift_steps` and `shift_elites` turn a plan into the warm start of the next one.
"""

from goalsight_planners.base import (
    Bounds,
    Cost,
    Discrete,
    IterationStats,
    Plan,
    Projection,
    SearchConfig,
    Stop,
    Workspace,
    axes_named,
    shift,
    shift_elites,
    shift_steps,
    stack_plans,
    streams,
)
from goalsight_planners.gaussian import (
    CEMConfig,
    GaussianConfig,
    ICEMConfig,
    MPPIConfig,
    cem,
    icem,
    mppi,
)
from goalsight_planners.random import random_shooting
from goalsight_planners.registry import PLANNERS, Planner, planner_for

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
