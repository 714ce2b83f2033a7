"""Whoever acts: agents, baselines, experts and policies of your own share one protocol.

Beside its two functions a policy may say more of itself, in attributes of these names:

needs_pixels              whether it looks at `pixels`; it does by default
image_size                height and width of the pictures it sees [pixels]; 64
evaluations_per_decision  plans that its model evaluates for a decision; 0
last_latency_s            seconds the last action took to decide, None if it was decided earlier;
                          by default every `act` is a decision, and is timed
seed_bits                 size of the seeds it takes; 32, which every library takes
checkpoint_sha256         of its weights
labels_used               simulator labels it was trained with; by default nothing is said

What reads the simulator was made for one environment (`ScriptedPolicy`, the oracle); there is no
second protocol for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from goalsight.errors import CheckpointError, UserError

Observation = Mapping[str, NDArray[Any]]
"""As the environment gives it: `pixels` (H, W, 3) uint8, `observation` (Q,) what the robot measures
of itself in SI units, and what else it has."""
SIZE = 64
"""Pictures of a policy that says nothing of them [pixels]."""


class Policy(Protocol):
    """Acts toward the picture of a goal."""

    def reset(self, goal: NDArray[np.uint8], seed: int) -> None:
        """Begin an episode.

        Args:
            goal: (H, W, 3) goal image.
            seed: of all that is random in what follows.
        """

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """The next action (A,) in [-1, 1]."""


@dataclass(frozen=True, kw_only=True)
class PolicyFactory:
    """How each worker makes its policy; crosses process boundaries."""

    make: Callable[[], Policy]
    """Must pickle."""
    facts: Mapping[str, str]
    """What makes its episodes what they are, for the provenance: checkpoint, settings."""


def needs_pixels(policy: Policy) -> bool:
    """Whether a policy looks at `pixels`; for others they need not be drawn."""
    return bool(getattr(policy, "needs_pixels", True))


def image_size(policy: Policy) -> int:
    """Height and width of the pictures that a policy sees [pixels]."""
    return int(getattr(policy, "image_size", SIZE))


def evaluations_per_decision(policy: Policy) -> int:
    """Plans that a model (of the oracle, the simulator) evaluates for one decision; else 0."""
    return int(getattr(policy, "evaluations_per_decision", 0))


def pair_seed(policy: Policy, seed: int, pair: int) -> int:
    """Seed of a policy for a pair of a run: of 32 bits, or both numbers whole where it takes more.

    Args:
        policy: that gets it.
        seed: of the run.
        pair: which pair.

    >>> script = ScriptedPolicy(lambda seed: None)
    >>> seed = pair_seed(script, 7, 3)
    >>> np.random.default_rng(seed).random() == np.random.default_rng([7, 3]).random()
    True
    """
    stream = np.random.SeedSequence([seed, pair])
    if getattr(policy, "seed_bits", 32) <= 32:
        return int(stream.generate_state(1)[0])
    # The same stream as [seed, pair], in one number.
    return seed | pair << 32 * max(1, -(-seed.bit_length() // 32))


class Script(Protocol):
    """Acts on the simulator it was made for, without looking: `goalsight_envs.policies`."""

    def reset(self) -> None:
        """Begin an episode."""

    def act(self) -> NDArray[np.float32]:
        """The next action (A,) in [-1, 1]."""


class ScriptedPolicy:
    """A script as a policy: it reads the simulator and never plans."""

    needs_pixels = False
    evaluations_per_decision = 0
    last_latency_s: float | None = None
    seed_bits = 64

    def __init__(self, make: Callable[[int], Script]) -> None:
        """Act by scripts; `make` makes that of an episode from its seed, for one environment."""
        self._make = make
        self._script: Script | None = None

    def reset(self, goal: NDArray[np.uint8] | None, seed: int) -> None:
        """Make the script of this episode; it knows the goal from the simulator."""
        del goal
        self._script = self._make(seed)
        self._script.reset()

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """(A,) action; the simulator is read, not the observation."""
        del observation
        assert self._script is not None, "reset comes before act"
        return self._script.act()


class AgentPolicy:
    """A trained agent: it sees pixels, proprio and the goal image."""

    def __init__(self, agent: Any) -> None:  # noqa: ANN401  (this module imports no PyTorch)
        """Act by a loaded `goalsight.agent.Agent`."""
        self.agent = agent

    @property
    def image_size(self) -> int:
        """Height and width of the pictures it sees [pixels]."""
        return int(self.agent.image_size)

    @property
    def evaluations_per_decision(self) -> int:
        """Plans evaluated for one decision."""
        return int(self.agent.evaluations_per_decision)

    @property
    def last_latency_s(self) -> float | None:
        """Seconds the last decision took; None where the action came out of the queue."""
        seconds: float | None = self.agent.last_latency_s
        return seconds

    @property
    def checkpoint_sha256(self) -> str:
        """Of its model."""
        return str(self.agent.checkpoint_sha256)

    @property
    def labels_used(self) -> list[str]:
        """Simulator labels that its training used."""
        return list(self.agent.labels_used)

    @property
    def memory_sha256(self) -> str | None:
        """Of the memory that it takes sub-goals from, if it has one."""
        digest: str | None = self.agent.memory_sha256
        return digest

    def reset(self, goal: NDArray[np.uint8], seed: int) -> None:
        """Show the agent its goal."""
        self.agent.reset(goal, seed)

    def act(self, observation: Observation) -> NDArray[np.float32]:
        """(A,) action.

        Raises:
            CheckpointError: if the agent answers with something that is not a number.
        """
        action: NDArray[np.float32] = self.agent.act(
            observation["pixels"], observation["observation"]
        )
        if not np.isfinite(action).all():
            raise CheckpointError(
                f"checkpoint {self.agent.name} plans actions that are not numbers; "
                "its training diverged or a file is damaged"
            )
        return action


def checked_action(answer: object, width: int, who: str) -> NDArray[np.float32]:
    """An answer of `act` as an action (A,) float32.

    Args:
        answer: of the policy.
        width: A of the environment.
        who: gave it, for the message.

    Raises:
        UserError: if it is not an array of so many finite numbers.
    """
    try:
        action = np.asarray(answer, np.float32)
    except (TypeError, ValueError):
        action = np.full(width, np.nan, np.float32)
    if action.shape != (width,) or not np.isfinite(action).all():
        raise UserError(
            f"{who} answers {answer!r}; an action here is an array of {width} finite numbers in "
            "[-1, 1]"
        )
    return action
