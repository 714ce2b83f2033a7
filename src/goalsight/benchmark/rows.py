"""Who plays: the rows of the table, each acting on one environment at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from goalsight.benchmark.settings import agent_config
from goalsight.benchmark.tasks import Env, task_of
from goalsight.errors import CheckpointError, UserError

if TYPE_CHECKING:
    from goalsight.agent import Agent
    from goalsight_envs.policies import Policy

Observation = Mapping[str, NDArray[Any]]


class Player(Protocol):
    """One row: plays pair after pair and says what its decisions cost."""

    @property
    def looks(self) -> bool:
        """Whether it needs `pixels` in the observation."""

    @property
    def evaluations_per_decision(self) -> int:
        """Plans the world model evaluates for one decision; 0 without a model."""

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
    """Of the agent where they differ from the default; see `settings.agent_config`."""
    memory: Path | None = None
    """File of recorded latents that the agent takes sub-goals from."""


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


def load_agent(spec: PlayerSpec) -> Agent:
    """The agent of a checkpoint.

    Raises:
        CheckpointError: if no checkpoint was given or it cannot be loaded.
    """
    if spec.checkpoint is None:
        raise CheckpointError(
            "the agent row needs a checkpoint: add --checkpoint DIR, or name the rows without it"
        )
    from goalsight.agent import Agent

    config = agent_config(spec.settings)
    return Agent.load(spec.checkpoint, config=config, device=spec.device, memory=spec.memory)


def _scripted(name: str) -> Callable[[PlayerSpec], Player]:
    return lambda _: ScriptedPlayer(name)


ROWS: dict[str, Callable[[PlayerSpec], Player]] = {
    "random": _scripted("random"),
    "hold": _scripted("hold"),
    "expert": _scripted("expert"),
    "agent": lambda spec: AgentPlayer(load_agent(spec)),
}
"""Every row by name, in the order of the table."""
NEEDS_CHECKPOINT = frozenset({"agent"})
"""Rows that cannot be played without a checkpoint."""
FILMED = frozenset({"expert", "agent"})
"""Rows of which every control step is kept as a picture; of the others, every K-th."""


def check_rows(rows: tuple[str, ...]) -> None:
    """Refuse unknown, repeated or no rows.

    Raises:
        UserError: naming the rows that exist.
    """
    unknown = [row for row in rows if row not in ROWS]
    if unknown or not rows or len(set(rows)) != len(rows):
        what = f"unknown row {unknown[0]!r}" if unknown else "rows must be named once each"
        raise UserError(f"{what}; there are: {', '.join(ROWS)}")
