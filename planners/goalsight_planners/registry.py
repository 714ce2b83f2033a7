"""Every planner by name, with the config it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from goalsight_planners.base import Bounds, Cost, Plan, Projection, SearchConfig, Stop
from goalsight_planners.gaussian import CEMConfig, ICEMConfig, MPPIConfig, cem, icem, mppi
from goalsight_planners.random import random_shooting


class Planner(Protocol):
    """The one signature; `cem` documents it. Each planner takes its own config class."""

    def __call__(
        self,
        cost: Cost,
        init: Tensor | None,
        bounds: Bounds,
        config: Any,  # noqa: ANN401 (a planner takes its own class, a registry holds them all)
        generators: Sequence[torch.Generator],
        *,
        limits: Projection | None = None,
        stop: Stop | None = None,
    ) -> Plan:
        """Search B independent problems at once."""


class Entry(NamedTuple):
    """A planner and the class of its config."""

    function: Planner
    config: type[SearchConfig]


PLANNERS: dict[str, Entry] = {
    "cem": Entry(cem, CEMConfig),
    "icem": Entry(icem, ICEMConfig),
    "mppi": Entry(mppi, MPPIConfig),
    "random_shooting": Entry(random_shooting, SearchConfig),
}
"""Planners by name: `PLANNERS["icem"].function(cost, init, bounds, config, generators)`."""


def planner_for(config: SearchConfig) -> Planner:
    """The planner that a config is for, by the config's class.

    Raises:
        KeyError: if no planner takes a config of just this class.
    """
    for entry in PLANNERS.values():
        if type(config) is entry.config:
            return entry.function
    known = ", ".join(entry.config.__name__ for entry in PLANNERS.values())
    raise KeyError(f"no planner takes a {type(config).__name__}; there are: {known}")
