"""The macro level: any planner, searching over codes of several action blocks at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from goalsight.agent.heads import required_head
from goalsight.models import WorldModel
from goalsight.models.heads.macro import MacroActions
from goalsight_planners import Bounds, Cost, Plan, Projection, SearchConfig, Stop, planner_for


class MacroPlanner:
    """A planner of the usual signature that searches codes and answers with action blocks."""

    def __init__(self, model: WorldModel, reach: float) -> None:
        """Take a model's macro actions.

        Args:
            model: with a `macro` head.
            reach: codes are searched within this many standard deviations of what was recorded.

        Raises:
            CheckpointError: if the model has no such head.
        """
        need = "macro actions need a checkpoint with a macro head"
        self._head = required_head(model, "macro", MacroActions, need, "macro")
        self._reach = reach

    def __call__(
        self,
        cost: Cost,
        init: Tensor | None,
        bounds: Bounds,
        config: SearchConfig,
        generators: Sequence[torch.Generator],
        *,
        limits: Projection | None = None,
        stop: Stop | None = None,
    ) -> Plan:
        """The cheapest plan whose chunks of blocks are macro actions.

        Args:
            cost: of plans (B, N, H, K, A), as for every planner.
            init: (B, H, K, A) a plan to start from, or None.
            bounds: (A,) or (B, A) lowest and highest action; decoded codes are clipped to them.
            config: of the planner that searches; its horizon counts action blocks as ever, and
                `discrete` axes are part of the codes.
            generators: one random stream a problem.
            limits: a projection that every plan passes through.
            stop: asked between iterations whether to end the search.
        """
        head, horizon = self._head, config.horizon
        steps = -(-horizon // head.blocks)
        low, high = (side[:, None, None, None] if side.ndim > 1 else side for side in bounds)

        def decode(codes: Tensor) -> Tensor:
            blocks = head.decode(codes.squeeze(-2))[..., :horizon, :, :]
            blocks = torch.minimum(torch.maximum(blocks, low), high)
            return blocks if limits is None else limits(blocks)

        edge = torch.full((head.codes,), self._reach, device=head.mean.device)
        inner = replace(config, horizon=steps, block=1, discrete=())
        found = planner_for(inner)(
            lambda codes: cost(decode(codes)),
            None if init is None else self._codes(init, steps, edge),
            (-edge, edge),
            inner,
            generators,
            stop=stop,
        )
        spread = head.spread(found.std.squeeze(-2))[..., :horizon, :, :]
        return replace(
            found,
            actions=decode(found.actions[:, None])[:, 0],
            mean=decode(found.mean[:, None])[:, 0],
            std=spread,
            elites=decode(found.elites),
        )

    def _codes(self, init: Tensor, steps: int, edge: Tensor) -> Tensor:
        """(B, S, 1, C) codes nearest to a plan (B, H, K, A), whose last block fills the rest."""
        missing = steps * self._head.blocks - init.shape[-3]
        rest = init[..., -1:, :, :].expand(*init.shape[:-3], missing, *init.shape[-2:])
        codes = self._head.encode(torch.cat((init, rest), dim=-3))
        return codes.clamp(-edge, edge).unsqueeze(-2)
