"""An agent as a policy that collects: what `goalsight collect --policy agent` hands to collect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.data.collect import Seeker, Seeking
from goalsight.errors import UserError


@dataclass(frozen=True)
class AgentSeeker:
    """Makes the seeker of one worker; a few strings that any process can load an agent from."""

    checkpoint: str
    settings: str
    memory: Path | None
    device: str

    def __call__(self) -> Seeker:
        """The agent, loaded here and kept to one thread: rounding must not depend on the cores."""
        import torch

        from goalsight.agent import Agent

        torch.set_num_threads(1)
        agent = Agent.load(
            self.checkpoint, settings=self.settings, device=self.device, memory=self.memory
        )
        return _Seeker(agent)


class _Seeker:
    """Passes what is seen on to an agent."""

    def __init__(self, agent: Any) -> None:  # noqa: ANN401  (PyTorch is imported by workers only)
        self.agent = agent

    def begin(self, goal: NDArray[np.uint8], seed: int) -> None:
        """Show the agent its goal."""
        self.agent.reset(goal, seed)

    def act(self, observation: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """(A,) the agent's action."""
        action: NDArray[np.float32] = self.agent.act(
            observation["pixels"], observation["observation"]
        )
        return action


def seeking_agent(
    checkpoint: str, *, size: int, settings: str = "", memory: Path | None = None,
    device: str = "cpu",
) -> Seeking:  # fmt: skip
    """An agent that collects, after a look at whether it can.

    Args:
        checkpoint: as `find_checkpoint` takes it.
        size: height and width of the frames that are collected [pixels].
        settings: of the agent where they differ from the checkpoint's own.
        memory: file of recorded latents to take sub-goals from.
        device: torch device the agent plans on.

    Raises:
        CheckpointError: if there is no such checkpoint.
        UserError: if its model sees pictures of another size, or a setting is unknown.
    """
    make = AgentSeeker(checkpoint, settings, memory, device)
    seeker = make()
    assert isinstance(seeker, _Seeker), "made here"
    agent = seeker.agent
    if agent.image_size != size:
        raise UserError(
            f"checkpoint {agent.name} sees pictures of {agent.image_size} pixels, --size is "
            f"{size}; collect with --size {agent.image_size}"
        )
    facts = {"name": agent.name, "sha256": agent.checkpoint_sha256, "settings": settings}
    if agent.memory_sha256 is not None:
        facts["memory"] = agent.memory_sha256
    return Seeking(make=make, facts=facts)
