"""How an agent plans: the settings, their text form, and how a checkpoint's card says them.

A setting's name is the way to its field: `cost.time_penalty`, `planner.samples`, or `mode` for a
field of `AgentConfig` itself. A line of text sets some, `mode=hybrid,planner.samples=100`; a card
holds those that its model was measured with, as mappings of the same names under `agent`:

    settings: {mode: hybrid, planner: {samples: 64}}
    modes: {search: {planner: {samples: 200}}}
    tiers: {near: {actor: {time_to_goal: 25}}, far: {actor: {time_to_goal: 110}}}

`modes` holds what differs for an agent that is told to decide otherwise, `tiers` what differs by
how far goals are. So a model plans as it was measured wherever it is loaded, and a line of text
says what is to be different.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, Literal, get_args

from goalsight.energies import Aggregate, Energy
from goalsight.errors import CheckpointError, UserError
from goalsight.memory import SubgoalConfig
from goalsight.models.rollout import PRECISIONS, Precision
from goalsight_planners import PLANNERS, CEMConfig, GaussianConfig, SearchConfig

Mode = Literal["search", "actor", "hybrid"]
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
    time_penalty: float = 0.02
    """Energy that one block of delay is worth, see `goalsight.energies.arrival_cost`."""
    path_weight: float = 0.02
    """Weight of the mean energy along the plan, see `goalsight.energies.arrival_cost`."""
    latent_weight: float = 1.0
    """Weight of the latent distance; 0 leaves the decoded state alone."""
    decoded_weight: float = 0.0
    """Weight of the decoded state's distance: mean squared difference, in standard deviations of
    the training data, between what the model's `probe` head reads off the imagined latent and off
    the goal's."""
    decoded_variables: str = ""
    """What of the decoded state counts, names joined by +, such as `state.cube_pos+proprio.ee_x`;
    empty for all that the probe reads."""
    actor_nll_weight: float = 0.0
    """Weight of how unlikely the model's actor finds a plan, see `agent.cost.ActorNLL`."""
    disagreement_weight: float = 0.0
    """Weight of the mean disagreement of the model's `ensemble` head along a plan."""
    action_weight: float = 0.0
    """Weight of the actions' mean square, in [0, 1]."""
    smoothness_weight: float = 0.0
    """Weight of the mean square change between control steps, in [0, 4]."""

    def __post_init__(self) -> None:
        _check_one_of(self, energy=get_args(Energy), aggregate=get_args(Aggregate))
        _check_not_negative(
            self,
            "time_penalty",
            "path_weight",
            "latent_weight",
            "decoded_weight",
            "actor_nll_weight",
            "disagreement_weight",
            "action_weight",
            "smoothness_weight",
        )
        if not (self.latent_weight or self.decoded_weight):
            raise ValueError(
                "latent_weight and decoded_weight are both 0: no plan would be nearer to the goal"
            )
        if self.decoded_variables and not self.decoded_weight:
            raise ValueError(
                f"decoded_variables {self.decoded_variables} need a weight: set decoded_weight "
                "above 0"
            )

    @property
    def decoded_names(self) -> tuple[str, ...]:
        """The names in `decoded_variables`."""
        return tuple(filter(None, (name.strip() for name in self.decoded_variables.split("+"))))


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
    prior_fraction: float = 0.25
    """Fraction of every iteration's samples drawn from the prior instead of around the actor's
    plan."""
    handover_distance: float = 0.0
    """With `hybrid`: energy from here to the goal beyond which the actor acts alone, since a few
    blocks toward a far goal tell a search little about what they are good for; 0 searches
    everywhere. Two pictures that have nothing to do with each other are 2 apart in l2."""
    stuck_ratio: float = 0.0
    """Share of the energy to the goal: where less has moved since the last decision, the actor does
    a block drawn from what it knows, since its likeliest, or a search around that, would change as
    little again; 0 never does."""
    goal_tolerance: float = 0.05
    """Energy to the goal up to which the agent has arrived: standing still is not being stuck."""

    def __post_init__(self) -> None:
        for name, least in (("time_to_goal", 1), ("least_time", 1), ("proposals", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        _check_not_negative(
            self, "proposal_std", "handover_distance", "stuck_ratio", "goal_tolerance"
        )
        if not 0 <= self.prior_fraction < 1:
            raise ValueError(f"prior_fraction must be in [0, 1), got {self.prior_fraction}")


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """How an agent turns a world model into actions."""

    planner: SearchConfig = field(default_factory=CEMConfig)
    """How far it looks ahead and how hard it searches, and by its class (as text: `planner.kind`)
    which planner does; `block` follows the checkpoint."""
    cost: CostConfig = field(default_factory=CostConfig)
    """What it searches for."""
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    """When it goes on to the next of several goal images."""
    mode: Mode = "search"
    """Who decides: the search, the model's `actor` alone, or `hybrid`: a search around what the
    actor proposes, with the actor's own plan always a candidate."""
    actor: ActorUse = field(default_factory=ActorUse)
    """What the actor is told and how its proposals are used."""
    hysteresis: float = 0.0
    """The rest of the last plan is kept unless the new one is better by more than this many
    standard deviations of the costs of its elites; 0 always takes the new one."""
    action_bound_sigmas: float = 2.0
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
    compile: bool = False
    """Whether rollouts run through `torch.compile`; the first decision then takes a minute or
    more."""
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
        _check_one_of(self, mode=get_args(Mode), precision=PRECISIONS)
        _check_not_negative(self, "hysteresis", "action_bound_sigmas", "deadline_ms")
        most = self.planner.horizon * self.planner.block
        if not 0 <= self.replan_steps <= most:
            raise ValueError(
                f"replan_steps must be in [0, {most}], the steps of a plan, got {self.replan_steps}"
            )
        if not 1 <= self.replan <= self.planner.horizon:
            raise ValueError(
                f"replan must be in [1, horizon={self.planner.horizon}], got {self.replan}"
            )
        if self.hysteresis and self.mode == "actor":
            raise ValueError(
                "hysteresis compares plans that were searched; mode=actor searches none"
            )
        if self.mode == "hybrid":
            self._check_room()

    def _check_room(self) -> None:
        """Refuse proposals that would take the place of the samples from the prior."""
        samples = self.planner.samples
        gaussian = isinstance(self.planner, GaussianConfig)
        prior = round(self.actor.prior_fraction * samples) if gaussian else 0
        if self.actor.proposals + 2 + prior > samples:
            raise ValueError(
                f"{self.actor.proposals} proposals, the actor's own plan and the rest of the last "
                f"one do not fit into {samples} samples, {prior} of them from the prior: give "
                "fewer proposals or more samples"
            )


def _check_one_of(config: object, **known: tuple[str, ...]) -> None:
    for name, values in known.items():
        if getattr(config, name) not in values:
            raise ValueError(
                f"{name} must be one of {', '.join(values)}, got {getattr(config, name)!r}"
            )


def _check_not_negative(config: object, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < float("inf"):
            raise ValueError(f"{name} must be >= 0, got {getattr(config, name)}")


# -- as a line of text and as a checkpoint's card says it --------------------------------------

KIND = "planner.kind"
"""Which planner searches, a name of `goalsight_planners.PLANNERS`; the class of the config."""
NOT_TEXT = {"block", "discrete"}
"""Fields that follow from the checkpoint or have no text form."""
REFERENCES = {"adam", "cma_es"}
"""Planners that went to the repository's folder `benchmarks`."""
SWITCHES = {"true": True, "false": False}
"""How a yes or no is written."""
TIERS: dict[str, dict[str, Any]] = {"far": {"actor": {"time_to_goal": 110}}}
"""By how far goals are, what an agent is told whose card says nothing of it: a far goal is a whole
task away."""
RENAMED = {
    "action": "cost.action_weight",
    "arrived": "actor.goal_tolerance",
    "commitment": "hysteresis",
    "decoded": "cost.decoded_weight",
    "delay": "cost.time_penalty",
    "disagreement": "cost.disagreement_weight",
    "execution": "compile",
    "fresh": "planner.prior_fraction",
    "independent": "actor.prior_fraction",
    "latent": "cost.latent_weight",
    "likelihood": "cost.actor_nll_weight",
    "near": "subgoals.match_radius",
    "pace": "subgoals.step_cost",
    "planner": KIND,
    "reach": "actor.handover_distance",
    "running": "cost.path_weight",
    "smoothness": "cost.smoothness_weight",
    "stall": "actor.stuck_ratio",
    "stay": "subgoals.switch_margin",
    "trust": "action_bound_sigmas",
    "variables": "cost.decoded_variables",
}
"""Names of version 0.1 whose last part is another one now."""
RETIRED = ("distance", "macro", "region")
"""Settings of version 0.1 that are gone, see docs/results/2026-12-01-what-left.md."""


@dataclass(frozen=True)
class Setting:
    """A field of the agent's config, or of a config inside it."""

    path: tuple[str, ...]
    """Names from the agent's config to the field."""
    default: Any
    """Its value where nothing is said."""

    @property
    def name(self) -> str:
        """As it is written: `cost.time_penalty`."""
        return ".".join(self.path)


def agent_config(
    text: str, card: Mapping[str, Any] | None = None, *, tier: str = "", mode: Mode | None = None
) -> AgentConfig:
    """The settings of an agent: the defaults, what the card says instead, what the text says.

    Args:
        text: `name=value` pairs separated by commas, such as
            `planner.kind=mppi,planner.samples=100,cost.time_penalty=0.05`. Where it names a
            planner, that one begins at its own defaults, not at what the card says of another.
        card: of the agent's checkpoint; None for defaults alone.
        tier: how far goals are, `near` or `far` (docs/protocol.md); empty if nobody knows.
        mode: who decides, whatever card and text say; None leaves it to them.

    Raises:
        UserError: if a name is unknown, says the one that was meant; or if a value does not fit.
        CheckpointError: if the card's settings are none.

    >>> agent_config("planner.samples=100,cost.time_penalty=0.05").planner.samples
    100
    >>> card = {"agent": {"settings": {"mode": "actor"}, "tiers": {}}}
    >>> agent_config("actor.time_to_goal=50", card).mode
    'actor'
    """
    given = _pairs(text)
    if mode is not None:
        given["mode"] = mode
    measured = _measured(card or {}, given.get("mode"), tier)
    if KIND in given:
        measured = {n: value for n, value in measured.items() if not n.startswith("planner.")}
    if "planner.samples" in given:
        measured.pop("planner.elites", None)
    given = measured | given
    agent = AgentConfig(planner=_search(given.pop(KIND, "cem")))
    known = {setting.name: setting for setting in settable(agent)}
    values = {}
    for name, value in given.items():
        if name not in known:
            raise UserError(_unknown(name, value, [*known, KIND]))
        values[known[name].path] = _parse(name, value, known[name].default)
    if "planner.samples" in given and "planner.elites" not in given:
        values["planner", "elites"] = max(2, values["planner", "samples"] // 10)
    try:
        changed: AgentConfig = _changed(agent, values)
    except ValueError as error:
        raise UserError(f"agent settings: {error}") from None
    return changed


def settable(config: Any, inside: tuple[str, ...] = ()) -> Iterator[Setting]:  # noqa: ANN401
    """Every field that has a text form, of a config dataclass and of those inside it."""
    for one in fields(config):
        value, path = getattr(config, one.name), (*inside, one.name)
        if one.name in NOT_TEXT:
            continue
        if is_dataclass(value):
            yield from settable(value, path)
        else:
            yield Setting(path, value)


def _measured(card: Mapping[str, Any], mode: str | None, tier: str) -> dict[str, str]:
    """Settings that the card says its model was measured with, as text by name."""
    said = card.get("agent", {})
    try:
        base = dict(_flat(said.get("settings", {})))
        mode = mode or base.get("mode", "search")
        modes = {_now("mode", name): value for name, value in said.get("modes", {}).items()}
        special = modes.get(mode, {}), said.get("tiers", TIERS).get(tier, {})
        return base | {name: value for part in special for name, value in _flat(part)}
    except (AttributeError, TypeError, ValueError):
        raise CheckpointError(
            "the checkpoint's card has agent settings that are none: mappings of names and values "
            "in `settings`, and in each of `modes` and `tiers`"
        ) from None


def _flat(settings: Mapping[str, Any], inside: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of nested mappings; those of a card of version 0.1 by their new names."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{inside}{name}.")
        else:
            now = f"{inside}{name}" if inside else _qualified(name) or name
            yield now, _now(now, str(value))


def _qualified(name: str) -> str | None:
    """What a bare name of version 0.1 is called now; None if it was none."""
    if name in RENAMED:
        return RENAMED[name]
    planners = (_search(kind) for kind in PLANNERS)
    for config in (AgentConfig(), *(AgentConfig(planner=planner) for planner in planners)):
        for setting in settable(config):
            if setting.path[-1] == name and len(setting.path) > 1:
                return setting.name
    return None


def _now(name: str, value: str) -> str:
    """A value of version 0.1 as it is written now; others as they are."""
    if name == "mode":
        return {"both": "hybrid"}.get(value, value)
    if name == "compile":
        return {"eager": "false", "compile": "true"}.get(value, value)
    return value


def _pairs(text: str) -> dict[str, str]:
    """Names and values as they were written."""
    parts = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    pairs = {name.strip(): value.strip() for name, _, value in parts}
    for name, value in pairs.items():
        if name == "mode" and (now := _now(name, value)) != value:
            raise UserError(f"mode={value} is called mode={now} now")
    return pairs


def _unknown(name: str, value: str, known: list[str]) -> str:
    """What to say of a name that is no setting."""
    if name in RETIRED:
        return f"agent setting {name} is gone: nobody could show what it gains; leave it out"
    now = _qualified(name)
    if now is not None and (now in known or now == KIND):
        return f"agent setting {name}={value} is written {now}={_now(now, value)} now"
    close = get_close_matches(name, known, n=1)
    by_part = {one.rpartition(".")[2]: one for one in known}
    if not close and (parts := get_close_matches(name.rpartition(".")[2], by_part, n=1)):
        close = [by_part[parts[0]]]
    if close:
        return f"no agent setting {name!r}; did you mean {close[0]}?"
    return f"no agent setting {name!r}; there are: {', '.join(sorted(known))}"


def _search(name: str) -> SearchConfig:
    """The default config of a planner."""
    if name not in PLANNERS:
        known = f"there are: {', '.join(PLANNERS)}"
        if name in REFERENCES:
            raise UserError(f"planner {name} is a benchmark now, see benchmarks/README.md; {known}")
        raise UserError(f"no planner {name!r}; {known}")
    return PLANNERS[name].config()


def _changed(config: Any, values: Mapping[tuple[str, ...], Any]) -> Any:  # noqa: ANN401
    """A config with values put in by their paths, each config inside it built once."""
    own = {path[0]: value for path, value in values.items() if len(path) == 1}
    for name in {path[0] for path in values if len(path) > 1}:
        deeper = {path[1:]: value for path, value in values.items() if path[0] == name}
        own[name] = _changed(getattr(config, name), deeper)
    return replace(config, **own)


def _parse(name: str, value: str, default: Any) -> Any:  # noqa: ANN401
    """The value as the type that the default has."""
    kind = type(default)
    if kind is bool:
        if value.lower() not in SWITCHES:
            raise UserError(f"agent setting {name} takes true or false, got {value!r}")
        return SWITCHES[value.lower()]
    try:
        return kind(value)
    except ValueError:
        raise UserError(f"agent setting {name} takes {kind.__name__}, got {value!r}") from None
