"""What plans cost: every term by its formula, on a model whose imagination is given."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from goalsight.agent import Agent, AgentConfig, CostConfig
from goalsight.agent.cost import PlanCost, PlanningProblem
from goalsight.checkpoint import Checkpoint
from goalsight.energies import action_penalty, arrival_cost, goal_energy, smoothness_penalty
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.probe import ProbeHead
from goalsight.models.rollout import Imagination

VARIABLES = {"state.cube_pos": {"width": 2, "unit": "m"}, "proprio.ee_x": {"width": 1, "unit": "m"}}
PLANS = torch.randn(2, 4, 3, 2, 2, generator=torch.Generator().manual_seed(5)).clamp(-1, 1)


class Dreamer(WorldModel):
    """Imagines what it was told to, whatever the plans."""

    def __init__(self, config: WorldModelConfig, dream: Tensor) -> None:
        super().__init__(config)
        self._dream = dream

    def imagine(
        self, context: Tensor, past: Tensor | None = None, proprio: Tensor | None = None
    ) -> Imagination:
        def imagination(plans: Tensor) -> Tensor:
            assert plans.shape[1:3] == self._dream.shape[1:3]
            return self._dream

        return imagination


def dreamer(*, probe: bool = False) -> Dreamer:
    heads = {"probe": {"variables": VARIABLES, "kind": "linear"}} if probe else {}
    config = WorldModelConfig(image_size=32, action_dim=2, frameskip=2, heads=heads)
    dream = torch.randn(2, 4, 3, 1, 64, generator=torch.Generator().manual_seed(0))
    return Dreamer(config, dream).eval()


def cost_of(model: Dreamer, terms: CostConfig, previous: Tensor | None = None) -> Tensor:
    """(2, 4) costs of `PLANS` in a problem whose goals are the first of what is imagined."""
    latents, goal = model._dream[:, :1, 0], goals(model)
    problem = PlanningProblem(latents=latents, goal=goal, previous=previous)
    return PlanCost(model, problem, terms, latent_variance=4.0, executed=2)(PLANS)


def goals(model: Dreamer) -> Tensor:
    return model._dream[:, 0, 0]


def test_the_default_is_to_the_bit_what_it_always_was() -> None:
    model = dreamer()
    before = arrival_cost(goal_energy(model._dream, goals(model)) / 4.0, 0.02, 0.02)
    assert torch.equal(cost_of(model, CostConfig()), before)


def test_distances_and_aggregates_are_those_that_were_chosen() -> None:
    model = dreamer()
    energy = goal_energy(model._dream, goals(model), "l1") / 2.0
    terms = CostConfig(energy="l1", aggregate="final")
    assert torch.equal(cost_of(model, terms), energy[..., -1])
    terms = CostConfig(energy="l1", aggregate="prefix")
    assert torch.equal(cost_of(model, terms), energy[..., :2].sum(-1))
    energy = goal_energy(model._dream, goals(model), "cosine") / 0.5
    terms = CostConfig(energy="cosine", aggregate="sum")
    assert torch.equal(cost_of(model, terms), energy.sum(-1))


def test_penalties_are_added_by_their_weights() -> None:
    model, previous = dreamer(), torch.ones(2, 2)
    plain = cost_of(model, CostConfig())
    terms = CostConfig(action_weight=0.5, smoothness_weight=0.25)
    wanted = plain + 0.5 * action_penalty(PLANS) + 0.25 * smoothness_penalty(PLANS, previous)
    torch.testing.assert_close(cost_of(model, terms, previous=previous), wanted)


@torch.no_grad()
def set_probe(model: Dreamer) -> None:
    """It reads latents 0 and 1 as the cube and latent 2 as the arm, in units of 2."""
    probe = model.heads["probe"]
    assert isinstance(probe, ProbeHead)
    probe.net.get_parameter("weight").zero_()[range(3), range(3)] = 1.0
    probe.net.get_parameter("bias").zero_()
    probe.feature_std.fill_(2.0)


def test_the_decoded_state_counts_by_its_standardised_distance() -> None:
    model = dreamer(probe=True)
    set_probe(model)
    off = (model._dream - goals(model)[:, None, None])[..., 0, :3] / 2.0
    by_axis = off.square()
    last = by_axis[..., -1, :]
    terms = CostConfig(aggregate="final", latent_weight=0.0, decoded_weight=3.0)
    torch.testing.assert_close(cost_of(model, terms), 3.0 * last.mean(-1))
    cube = replace(terms, decoded_variables="state.cube_pos")
    torch.testing.assert_close(cost_of(model, cube), 3.0 * last[..., :2].mean(-1))
    both = replace(cube, latent_weight=0.5)
    energy = goal_energy(model._dream, goals(model))[..., -1] / 4.0
    torch.testing.assert_close(cost_of(model, both), 0.5 * energy + 3.0 * last[..., :2].mean(-1))


def agent_of(model: Dreamer, terms: CostConfig) -> Agent:
    return Agent(Checkpoint(model, model.config, {}, "0" * 64), config=AgentConfig(cost=terms))


@pytest.mark.parametrize(
    ("probe", "terms", "message"),
    [
        (
            False,
            CostConfig(decoded_weight=1.0),
            "needs a checkpoint with a probe head.*goalsight head",
        ),
        (
            True,
            CostConfig(decoded_weight=1.0, decoded_variables="state.drawer"),
            "reads no 'state.drawer'; it reads state.cube_pos, proprio.ee_x",
        ),
    ],
)
def test_a_cost_that_the_model_cannot_give_is_refused_when_the_agent_is_made(
    probe: bool, terms: CostConfig, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        agent_of(dreamer(probe=probe), terms)
