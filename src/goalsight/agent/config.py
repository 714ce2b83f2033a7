"""How an agent plans."""

from __future__ import annotations

from dataclasses import dataclass, field

from goalsight_planners import CEMConfig, SearchConfig


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """How an agent turns a world model into actions."""

    planner: SearchConfig = field(default_factory=CEMConfig)
    """How far it looks ahead and how hard it searches, and by its class which planner does; `block`
    follows the checkpoint. Adam does not plan here: `act` keeps no gradients."""
    trust: float = 2.0
    """Actions are searched within this many standard deviations of the training data's mean: a
    model knows nothing of actions it never saw. Large values search all of [-1, 1]."""
    replan: int = 1
    """Action blocks executed before the next decision."""
    delay: float = 0.02
    """Energy that one block of delay is worth, see `goalsight.energies.arrival_cost`; in units of
    the latents' variance, so that it means the same to every encoder."""
    running: float = 0.02
    """Weight of the mean energy along the plan, see `goalsight.energies.arrival_cost`."""

    def __post_init__(self) -> None:
        if not 1 <= self.replan <= self.planner.horizon:
            raise ValueError(
                f"replan must be in [1, horizon={self.planner.horizon}], got {self.replan}"
            )
        for name in ("trust", "delay", "running"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
