"""How an agent plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from goalsight.energies import Aggregate, Energy
from goalsight.memory import SubgoalConfig
from goalsight.models.execution import EXECUTIONS, PRECISIONS, Execution, Precision
from goalsight_planners import CEMConfig, GaussianConfig, SearchConfig

Mode = Literal["search", "actor", "both"]
"""Who decides."""


@dataclass(frozen=True, kw_only=True)
class CostConfig:
    """What a plan costs: energies of its imagined frames, gathered over the horizon, and penalties.

    Energies are in units of the latents' variance (see `goalsight.energies.energy_unit`), so that
    every weight means the same to every encoder.
    """

    energy: Energy = "l2"
    """Distance from an imagined latent to the goal's: l2, l1 or cosine."""
    aggregate: Aggregate = "arrival"
    """What counts of the energies along a plan: arrival (its best moment, the sooner the better),
    final, sum, or prefix (of the blocks that will be executed)."""
    delay: float = 0.02
    """Energy that one block of delay is worth, see `goalsight.energies.arrival_cost`."""
    running: float = 0.02
    """Weight of the mean energy along the plan, see `goalsight.energies.arrival_cost`."""
    latent: float = 1.0
    """Weight of the latent distance; 0 leaves the decoded state alone."""
    decoded: float = 0.0
    """Weight of the decoded state's distance: mean squared difference, in standard deviations of
    the training data, between what the model's `probe` head reads off the imagined latent and off
    the goal's."""
    variables: str = ""
    """What of the decoded state counts, names joined by +, such as `state.cube_pos+proprio.ee_x`;
    empty for all that the probe reads."""
    action: float = 0.0
    """Weight of the actions' mean square, in [0, 1]."""
    smoothness: float = 0.0
    """Weight of the mean square change between control steps, in [0, 4]."""
    disagreement: float = 0.0
    """Weight of the mean disagreement of the model's `ensemble` head along a plan."""

    def __post_init__(self) -> None:
        for name, known in (("energy", Energy), ("aggregate", Aggregate)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(
                    f"{name} must be one of {', '.join(get_args(known))}, got "
                    f"{getattr(self, name)!r}"
                )
        for name in (
            "delay",
            "running",
            "latent",
            "decoded",
            "action",
            "smoothness",
            "disagreement",
        ):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        if not (self.latent or self.decoded):
            raise ValueError("latent and decoded are both 0: no plan would be nearer to the goal")
        if self.variables and not self.decoded:
            raise ValueError(f"variables {self.variables} need a weight: set decoded above 0")

    @property
    def decoded_variables(self) -> tuple[str, ...]:
        """The names in `variables`."""
        return tuple(filter(None, (name.strip() for name in self.variables.split("+"))))


@dataclass(frozen=True, kw_only=True)
class SequenceConfig:
    """When one goal image of several is done and the next one's turn."""

    switch: float = 0.2
    """Next at this share of the energy that the goal had when its turn came; also when the goal is
    no farther than what was seen at the last decision."""
    patience: int = 8
    """Next after this many decisions that came no nearer; 0 waits for ever."""

    def __post_init__(self) -> None:
        if not 0 <= self.switch < 1:
            raise ValueError(f"switch must be in [0, 1), got {self.switch}")
        if self.patience < 0:
            raise ValueError(f"patience must be >= 0, got {self.patience}")


@dataclass(frozen=True, kw_only=True)
class ActorUse:
    """What an agent does with the model's actor, where `AgentConfig.mode` wants one."""

    head: str = "actor"
    """Name of the head that acts, such as `gcbc`."""
    time_to_goal: int = 25
    """Control steps that the actor is told it has when the episode begins, or the next goal's turn;
    they run out."""
    least_time: int = 10
    """It is never told that fewer are left; as much as `time_to_goal`, time stands still."""
    proposals: int = 15
    """Plans drawn from the actor that enter the search, besides its own dominant one."""
    proposal_std: float = 0.3
    """Spread of the search around the actor's plan, which no refit changes, in normalised action
    units; 0 begins with the planner's `init_std` and refits."""
    independent: float = 0.25
    """Share of every iteration's plans that owe the actor nothing."""
    likelihood: float = 0.0
    """Weight in the cost of how unlikely the actor finds a plan, see `Unlikely`."""
    reach: float = 0.0
    """With `both`: energy from here to the goal beyond which the actor acts alone, since a few
    blocks toward a far goal tell a search little about what they are good for; 0 searches
    everywhere. Two pictures that have nothing to do with each other are 2 apart in l2."""
    stall: float = 0.0
    """Share of the energy to the goal: where less has moved since the last decision, the actor does
    a block drawn from what it knows, since its likeliest, or a search around that, would change as
    little again; 0 never does."""
    arrived: float = 0.05
    """Energy to the goal up to which standing still is no stall."""

    def __post_init__(self) -> None:
        for name, least in (("time_to_goal", 1), ("least_time", 1), ("proposals", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("proposal_std", "likelihood", "reach", "stall", "arrived"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        if not 0 <= self.independent < 1:
            raise ValueError(f"independent must be in [0, 1), got {self.independent}")


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """How an agent turns a world model into actions."""

    planner: SearchConfig = field(default_factory=CEMConfig)
    """How far it looks ahead and how hard it searches, and by its class which planner does; `block`
    follows the checkpoint. Adam does not plan here: `act` keeps no gradients."""
    cost: CostConfig = field(default_factory=CostConfig)
    """What it searches for."""
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    """When it goes on to the next of several goal images."""
    mode: Mode = "search"
    """Who decides: the search, the model's `actor` alone, or both: a search around what the actor
    proposes, with the actor's own plan always a candidate."""
    actor: ActorUse = field(default_factory=ActorUse)
    """What the actor is told and how its proposals are used."""
    commitment: float = 0.0
    """The rest of the last plan is kept unless the new one is better by more than this many
    standard deviations of the costs of its elites; 0 always takes the new one."""
    trust: float = 2.0
    """Actions are searched within this many standard deviations of the training data's mean: a
    model knows nothing of actions it never saw. Large values search all of [-1, 1]."""
    replan: int = 1
    """Action blocks executed before the next decision."""
    replan_steps: int = 0
    """Control steps executed before the next decision, in place of `replan`; 0 for whole blocks.
    Models that look back need whole blocks."""
    subgoals: SubgoalConfig = field(default_factory=SubgoalConfig)
    """What an agent with a memory aims at; others aim at the goal itself."""

    deadline_ms: float = 0.0
    """Time a decision may take [ms], from the call of `act` on: the search ends in time for it and
    its best plan so far is taken, of one iteration at least; 0 searches to the end."""
    execution: Execution = "eager"
    """How rollouts are run: `eager`, or `compile`: through `torch.compile`."""
    precision: Precision = "float32"
    """Of the matrix products in rollouts: `float32` or `bfloat16`."""

    @property
    def executed_steps(self) -> int:
        """Control steps from one decision to the next."""
        return self.replan_steps or self.replan * self.planner.block

    @property
    def executed_blocks(self) -> int:
        """Blocks of a plan that are executed, the last one perhaps in part."""
        return -(-self.executed_steps // self.planner.block)

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {self.mode!r}")
        if not 0 <= self.replan_steps <= self.planner.horizon * self.planner.block:
            raise ValueError(
                f"replan_steps must be in [0, {self.planner.horizon * self.planner.block}], the "
                f"steps of a plan, got {self.replan_steps}"
            )
        if not 0 <= self.commitment < float("inf"):
            raise ValueError(f"commitment must be >= 0, got {self.commitment}")
        if self.commitment and self.mode == "actor":
            raise ValueError(
                "commitment compares plans that were searched; mode=actor searches none"
            )
        self._check_room()
        if not 1 <= self.replan <= self.planner.horizon:
            raise ValueError(
                f"replan must be in [1, horizon={self.planner.horizon}], got {self.replan}"
            )
        for name in ("trust", "deadline_ms"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        for name, known in (("execution", EXECUTIONS), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )

    def _check_room(self) -> None:
        """Refuse proposals that would take the place of the plans that owe them nothing."""
        if self.mode != "both":
            return
        samples = self.planner.samples
        gaussian = isinstance(self.planner, GaussianConfig)
        independent = round(self.actor.independent * samples) if gaussian else 0
        if self.actor.proposals + 2 + independent > samples:
            raise ValueError(
                f"{self.actor.proposals} proposals, the actor's own plan and the rest of the last "
                f"one do not fit into {samples} samples, {independent} of them independent: give "
                "fewer proposals or more samples"
            )
