"""Who plays: the rows of the table, each acting on one environment at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from goalsight.agent.config import agent_config
from goalsight.benchmark.results import RENAMED_ROWS
from goalsight.benchmark.tasks import task_of
from goalsight.checkpoint import find_checkpoint, read_card
from goalsight.environments import Env
from goalsight.errors import CheckpointError, UserError

if TYPE_CHECKING:
    from goalsight.agent import Agent, AgentConfig
    from goalsight.agent.config import Mode
    from goalsight_envs.policies import Policy

Observation = Mapping[str, NDArray[Any]]


class Player(Protocol):
    """One row: plays pair after pair and says what its decisions cost."""

    @property
    def looks(self) -> bool:
        """Whether it needs `pixels` in the observation."""

    @property
    def evaluations_per_decision(self) -> int:
        """Plans that a model (of `oracle`, the simulator) evaluates for one decision; else 0."""

    @property
    def latency_s(self) -> float | None:
        """Seconds the last action took to decide, or None if it was decided earlier."""

    def begin(self, env: Env, stream: np.random.SeedSequence) -> None:
        """Start a pair on an environment that was just reset; all randomness is in `stream`."""

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """(A,) action in [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class PlayerSpec:
    """What the players of a run are made from; crosses process boundaries."""

    checkpoint: Path | None
    """Folder of the agent's checkpoint."""
    device: str
    """Torch device the agent runs on."""
    settings: str = ""
    """Of the agent where they differ from its card's; see `goalsight.agent.config`."""
    tier: str = ""
    """Of the manifest: how far goals are."""
    memory: Path | None = None
    """File of recorded latents that the agent takes sub-goals from."""
    player: str = ""
    """`module:function` that makes somebody else's player, see `goalsight.benchmark.guest`."""


class ScriptedPlayer:
    """A policy of goalsight_envs: it may read the simulator, it never plans."""

    looks = False
    evaluations_per_decision = 0
    latency_s: float | None = None

    def __init__(self, name: str) -> None:
        """Play by the policy of that name."""
        self._name = name
        self._policy: Policy | None = None

    def begin(self, env: Env, stream: np.random.SeedSequence) -> None:
        """Make the policy for this environment."""
        from goalsight_envs.policies import make_policy

        self._policy = make_policy(self._name, env, np.random.default_rng(stream))
        self._policy.reset()

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """(A,) action; the policy looks at the simulator itself."""
        assert self._policy is not None, "begin comes before act"
        return self._policy.act()


class AgentPlayer:
    """A trained agent: it sees pixels, proprio and the goal image."""

    looks = True

    def __init__(self, agent: Agent) -> None:
        """Play with a loaded agent."""
        self._agent = agent

    @property
    def evaluations_per_decision(self) -> int:
        """Plans evaluated for one decision."""
        return self._agent.evaluations_per_decision

    @property
    def latency_s(self) -> float | None:
        """Seconds the last decision took; None where the action came out of the queue."""
        return self._agent.last_latency_s

    def begin(self, env: Env, stream: np.random.SeedSequence) -> None:
        """Show the agent its goal."""
        self._agent.reset(task_of(env).goal_image(), int(stream.generate_state(1)[0]))

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """(A,) action.

        Raises:
            CheckpointError: if the agent answers with something that is not a number.
        """
        action = self._agent.act(observation["pixels"], observation["observation"])
        if not np.isfinite(action).all():
            raise CheckpointError(
                f"checkpoint {self._agent.name} plans actions that are not numbers; "
                "its training diverged or a file is damaged"
            )
        return action


MODES: dict[str, Mode] = {
    "gcbc": "actor", "actor": "actor", "search": "search", "hybrid": "hybrid",
}  # fmt: skip
"""Rows whose name says who decides, and who it is."""


def row_config(row: str, spec: PlayerSpec, card: Mapping[str, Any] | None = None) -> AgentConfig:
    """How the agent of a row plans: as its card and the run's settings say, and the row's name.

    Args:
        row: its name; `actor`, `search` and `hybrid` are modes of the agent, `gcbc` is the head of
            that name alone. A search has no actor, not even to say how likely plans are.
        spec: of the run.
        card: of its checkpoint.

    Raises:
        UserError: if the settings and the row cannot go together.
        CheckpointError: if the card's settings are none.
    """
    if row not in MODES:
        return agent_config(spec.settings, card, tier=spec.tier)
    alone = MODES[row] == "actor"
    # What compares plans has nothing to do where none is searched.
    text = f"{spec.settings},hysteresis=0" if alone else spec.settings
    try:
        config = agent_config(text, card, tier=spec.tier, mode=MODES[row])
    except UserError as error:
        raise UserError(f"row {row} with these settings: {error}") from None
    if row == "gcbc":
        config = replace(config, actor=replace(config.actor, head="gcbc"))
    if MODES[row] != "hybrid":
        config = replace(config, cost=replace(config.cost, actor_nll_weight=0.0))
    return config


def load_agent(spec: PlayerSpec, row: str = "agent") -> Agent:
    """The agent of a checkpoint.

    Args:
        spec: of the run.
        row: that it plays; see `row_config`.

    Raises:
        CheckpointError: if no checkpoint was given, it cannot be loaded, or has not the head that
            the row needs.
        UserError: if the settings and the row cannot go together.
    """
    if spec.checkpoint is None:
        raise CheckpointError(
            "an agent needs a checkpoint: add --checkpoint DIR, or name the rows without one"
        )
    from goalsight.agent import Agent, ShuffledAgent

    config = row_config(row, spec, read_card(find_checkpoint(spec.checkpoint)))
    kind = ShuffledAgent if row == "shuffled" else Agent
    return kind.load(spec.checkpoint, config=config, device=spec.device, memory=spec.memory)


def _scripted(name: str) -> Callable[[PlayerSpec], Player]:
    return lambda _: ScriptedPlayer(name)


def _agent(row: str) -> Callable[[PlayerSpec], Player]:
    return lambda spec: AgentPlayer(load_agent(spec, row))


def _oracle(_: PlayerSpec) -> Player:
    from goalsight.benchmark.rows_oracle import OraclePlayer  # imports PyTorch

    return OraclePlayer()


def _guest(spec: PlayerSpec) -> Player:
    from goalsight.benchmark.guest import load_guest

    return load_guest(spec)


ROWS: dict[str, Callable[[PlayerSpec], Player]] = {
    "random": _scripted("random"),
    "zero": _scripted("hold"),
    "expert": _scripted("expert"),
    "oracle": _oracle,
    **{row: _agent(row) for row in ("gcbc", "agent", "shuffled", "actor", "search", "hybrid")},
    "player": _guest,
}
"""Every row by name, in the order of the table."""
NEEDS_CHECKPOINT = frozenset({"gcbc", "agent", "shuffled", "actor", "search", "hybrid"})
"""Rows that cannot be played without a checkpoint."""
FILMED = frozenset({"expert", "agent", "hybrid", "player"})
"""Rows of which every control step is kept as a picture; of the others, every K-th."""


def default_rows(heads: Collection[str], *, expert: bool = True) -> tuple[str, ...]:
    """Rows of the table if none are named.

    Args:
        heads: of the checkpoint; none without a checkpoint.
        expert: whether the environment has a scripted one.

    >>> default_rows(["actor", "gcbc"])
    ('random', 'zero', 'expert', 'gcbc', 'actor', 'search', 'hybrid')
    >>> default_rows([], expert=False)
    ('random', 'zero', 'agent')
    """
    learnt = ("actor", "search", "hybrid") if "actor" in heads else ("agent",)
    cloned = ("gcbc",) if {"actor", "gcbc"} <= set(heads) else ()
    return ("random", "zero", *(("expert",) if expert else ()), *cloned, *learnt)


def check_players(rows: Collection[str], agent: Agent | None, env: Env, spec: PlayerSpec) -> None:
    """Refuse rows that the checkpoint or the environment cannot play, before any is played.

    Args:
        rows: of the table.
        agent: of the checkpoint.
        env: of the manifest.
        spec: of the run.

    Raises:
        CheckpointError: if the checkpoint has not the head that a row needs; says how to make it.
        UserError: if the settings or the environment do not fit a row.
    """
    for row in rows:
        if agent is not None and row in NEEDS_CHECKPOINT:
            from goalsight.agent.proposals import find_actor
            from goalsight.agent.shuffled import check_shuffled

            config = row_config(row, spec, agent.card)
            find_actor(agent.model, config, agent.name)
            if row == "shuffled":
                check_shuffled(config)
    if "oracle" in rows:
        from goalsight.benchmark.rows_oracle import check_oracle

        check_oracle(env)


def check_rows(rows: tuple[str, ...]) -> None:
    """Refuse unknown, repeated or no rows.

    Raises:
        UserError: naming the rows that exist.
    """
    for row in rows:
        if row in RENAMED_ROWS:
            raise UserError(f"row {row} is called {RENAMED_ROWS[row]} now")
    unknown = [row for row in rows if row not in ROWS]
    if unknown or not rows or len(set(rows)) != len(rows):
        what = f"unknown row {unknown[0]!r}" if unknown else "rows must be named once each"
        raise UserError(f"{what}; there are: {', '.join(ROWS)}")
