"""An agent whose model is shown other plans than those it scores: a test of the model's worth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from goalsight.agent.agent import Agent
from goalsight.agent.config import AgentConfig
from goalsight.checkpoint import Checkpoint
from goalsight.errors import UserError
from goalsight.memory import Memory
from goalsight_planners import Cost


class ShuffledAgent(Agent):
    """The same agent; every plan costs what the model says of its blocks in another order.

    The order is drawn once a decision and holds for all plans of all iterations of its search; no
    block keeps its place. What is executed is the plan as the search drew it. An agent that does
    as well like this does not need its model to know when an action happens.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        name: str = "agent",
        config: AgentConfig | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Plan with a loaded checkpoint; arguments and errors are those of `Agent`.

        Raises:
            UserError: if nothing is searched, or only one block ahead.
        """
        super().__init__(checkpoint, name, config, memory)
        check_shuffled(self.config)

    def _scored(self, cost: Cost, streams: Sequence[torch.Generator]) -> Cost:
        blocks = self.config.planner.horizon
        orders = torch.stack([derangement(blocks, stream) for stream in streams])

        def shuffled(plans: Tensor) -> Tensor:
            """Costs (B, N) of plans (B, N, H, K, A), each in its problem's order."""
            index = orders[:, None, :, None, None].expand_as(plans)
            return cost(plans.gather(2, index))

        return shuffled


def check_shuffled(config: AgentConfig) -> None:
    """Refuse settings under which there is nothing to shuffle.

    Raises:
        UserError: if nothing is searched, or only one block ahead.
    """
    if config.mode == "actor" or config.planner.horizon < 2:
        raise UserError(
            "the shuffled row needs a search over at least 2 blocks: leave mode=actor and "
            "planner.horizon=1 out of --settings"
        )


def derangement(count: int, generator: torch.Generator) -> Tensor:
    """(count,) a random order of so many things in which none is in its place.

    Args:
        count: of things, at least 2.
        generator: the random stream; says on which device the order is.

    >>> derangement(2, torch.Generator().manual_seed(0))
    tensor([1, 0])
    """
    places = torch.arange(count, device=generator.device)
    while True:  # 1 in e orders is one, however many things there are
        order = torch.randperm(count, generator=generator, device=generator.device)
        if not bool((order == places).any()):
            return order
