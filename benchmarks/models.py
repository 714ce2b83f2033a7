"""What `benchmarks.deciding` measures: models, trained or not, and decisions made up for them."""

from __future__ import annotations

from typing import Any

import torch

from goalsight.agent import Agent, AgentConfig
from goalsight.checkpoint import IN_A_RUN, Checkpoint, find_checkpoint, load_checkpoint
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.actor import Actor
from goalsight_planners import Plan, streams

MODELS: dict[str, dict[str, Any]] = {
    "tiny": {"size": "tiny"},
    "small": {"size": "small"},
    "base": {"size": "base"},
    "peer": {
        "size": "base",
        "predictor": "transformer",
        "conditioning": "adaln",
        "context": 3,
        "predictor_options": {"width": 192, "depth": 6, "heads": 16, "head": 64, "hidden": 2048},
    },
}
"""What a size is made of; `peer` is the predictor of LeWM (arXiv:2603.19312), one token a frame."""


def make_untrained(size: str, device: str) -> Checkpoint:
    """An untrained model and actor of a size of `MODELS`, in which every layer does something.

    Raises:
        UserError: if there is no such size; lists those that exist.
    """
    if size not in MODELS:
        raise UserError(f"no size {size!r}; there are: {', '.join(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(WorldModelConfig(**MODELS[size]))
        for weight in model.predictor.parameters():
            if not weight.any():  # zero until trained: all plans would cost the same
                torch.nn.init.normal_(weight, std=0.02)
    return _with_actor(Checkpoint(model.to(device).eval(), model.config, {}, sha256=""))


def open_trained(checkpoint: str, device: str) -> tuple[str, Checkpoint]:
    """Name and contents of a checkpoint; one without an actor is lent an untrained one.

    Raises:
        CheckpointError: if there is none or it is damaged.
    """
    folder = find_checkpoint(checkpoint)
    name = folder.resolve().parent.name if folder.name == IN_A_RUN else folder.name
    return name, _with_actor(load_checkpoint(folder, device))


def _with_actor(checkpoint: Checkpoint) -> Checkpoint:
    """An untrained actor decides at the cost of a trained one, though not as well."""
    model = checkpoint.model
    if "actor" not in model.heads:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            actor = Actor(model.config, model.patches, model.latent_dim)
        model.heads["actor"] = actor.to(next(model.parameters()).device).eval()
    return checkpoint


class Decisions:
    """Decisions of B problems with one agent: look at B pictures, all made up, and plan."""

    def __init__(self, checkpoint: Checkpoint, config: AgentConfig, problems: int) -> None:
        """Set pictures, goals and what was seen before."""
        model, made = checkpoint.model, checkpoint.config
        self._agent, self._model = Agent(checkpoint, config=config), model
        self._device = next(model.parameters()).device
        stream = torch.Generator().manual_seed(0)
        shape = (problems, made.context + 1, 3, made.image_size, made.image_size)
        pictures = torch.randint(0, 256, shape, dtype=torch.uint8, generator=stream)
        self._frames = pictures[:, -1:].to(self._device)
        latents = torch.cat(
            [model.encode(one.to(self._device)) for one in torch.split(pictures, 1)]
        )
        self._before, self._goals = latents[:, : made.context - 1], latents[:, made.context - 1]
        blocks = (problems, made.context - 1, made.frameskip, made.action_dim)
        self._past = torch.zeros(blocks, device=self._device) if made.context > 1 else None
        felt = model.proprio_mean.expand(problems, made.context, -1)
        self._proprio = felt if made.proprio_dim else None
        self.evaluations = self._agent.evaluations_per_decision

    def decide(self) -> Plan:
        """One decision for all problems."""
        latents = torch.cat((self._before, self._model.encode(self._frames)), dim=1)
        own = streams(range(len(self._goals)), self._device)
        return self._agent.plan(latents, self._past, self._proprio, goals=self._goals, streams=own)
