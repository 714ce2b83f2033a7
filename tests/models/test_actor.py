"""The actor: a likelihood that is exact, modes that are not averaged, a time that is used."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from goalsight.models import WorldModel, WorldModelConfig
from goalsight.models.heads.actor import Actor, BlockMixture

CONFIG = WorldModelConfig(image_size=32, action_dim=3, frameskip=2)
K, A, D = 2, 3, 4
SMALL: dict[str, Any] = {"width": 32, "depth": 2}


def mixture(batch: tuple[int, ...] = (5,), gripper: int | None = None) -> BlockMixture:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*batch, *shape, generator=generator)

    free = A if gripper is None else A - 1
    return BlockMixture(
        logits=normal(4).log_softmax(-1),
        mean=normal(4, K, free).tanh(),
        std=0.1 + normal(4, K, free).abs(),
        gripper=gripper,
        closing=None if gripper is None else normal(),
    )


def actor_of(config: WorldModelConfig = CONFIG, **options: Any) -> Actor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Actor(config, 1, D, **{**SMALL, **options})


def train(actor: Actor, blocks: Tensor, time: Tensor, steps: int = 150) -> None:
    """On one scene and goal, with what was done and the time that was left."""
    z = torch.zeros(len(blocks), 1, D)
    optimiser = torch.optim.AdamW(actor.parameters(), lr=3e-3)
    for _ in range(steps):
        loss = -actor.log_prob(z, z + 1, time, blocks).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


def test_one_component_at_its_mean_has_the_density_of_the_formula() -> None:
    """exp(-0)/(sqrt(2 pi) s) for each of six numbers."""
    one = BlockMixture(
        logits=torch.zeros(1), mean=torch.zeros(1, K, A), std=torch.full((1, K, A), 0.5)
    )
    expected = -K * A * math.log(0.5 * math.sqrt(2 * math.pi))
    assert float(one.log_prob(torch.zeros(K, A))) == pytest.approx(expected, rel=1e-6)
    two_off = torch.zeros(K, A)
    two_off[0, 1] = 1.0  # two standard deviations
    assert float(one.log_prob(two_off)) == pytest.approx(expected - 2.0, rel=1e-6)


def test_the_likelihood_is_that_of_torchs_own_mixture() -> None:
    ours = mixture()
    theirs = MixtureSameFamily(
        Categorical(logits=ours.logits), Independent(Normal(ours.mean, ours.std), 2)
    )
    blocks = torch.rand(5, K, A) * 2 - 1
    wanted = theirs.log_prob(blocks)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.log_prob(blocks), wanted)


def test_the_gripper_adds_the_odds_of_its_nearest_value() -> None:
    held = mixture(gripper=1)
    assert held.closing is not None
    free = BlockMixture(logits=held.logits, mean=held.mean, std=held.std)
    blocks = torch.rand(5, K, A) * 2 - 1
    arm = free.log_prob(blocks[..., [0, 2]])
    for value, odds in ((1.0, held.closing), (-1.0, -held.closing)):
        blocks[..., 1] = value
        torch.testing.assert_close(held.log_prob(blocks) - arm, odds.sigmoid().log())


def test_the_dominant_mode_is_the_mean_of_the_likeliest_component() -> None:
    ours = mixture(gripper=1)
    assert ours.closing is not None
    block = ours.dominant()
    for row, best in enumerate(ours.logits.argmax(-1).tolist()):
        assert torch.equal(block[row][:, [0, 2]], ours.mean[row, best])
        assert block[row, :, 1].tolist() == [1.0 if ours.closing[row] > 0 else -1.0] * K


def test_samples_come_as_often_as_the_mixture_says() -> None:
    """A thousand draws: three standard errors of a share of a half are 0.05."""
    one = BlockMixture(
        logits=torch.tensor([0.3, 0.7]).log().expand(1, 1000, 2),
        mean=torch.tensor([-0.5, 0.5])[:, None, None].expand(1, 1000, 2, K, A - 1),
        std=torch.full((1, 1000, 2, K, A - 1), 0.05),
        gripper=2,
        closing=torch.tensor(0.2).logit().expand(1, 1000),
    )
    blocks = one.sample([torch.Generator().manual_seed(0)])
    assert blocks.shape == (1, 1000, K, A)
    assert float((blocks[..., 0, 0] > 0).float().mean()) == pytest.approx(0.7, abs=0.05)
    assert float((blocks[..., 0, 2] > 0).float().mean()) == pytest.approx(0.2, abs=0.05)
    assert set(blocks[..., 2].flatten().tolist()) == {-1.0, 1.0}
    assert torch.equal(blocks[..., 0, 2], blocks[..., 1, 2])  # held for the block
    assert float((blocks[..., 0].abs() - 0.5).std()) == pytest.approx(0.05, rel=0.1)


def test_a_rows_samples_depend_on_its_own_stream_alone() -> None:
    together = mixture((3, 6), gripper=0)
    alone = BlockMixture(
        logits=together.logits[1:2],
        mean=together.mean[1:2],
        std=together.std[1:2],
        gripper=0,
        closing=None if together.closing is None else together.closing[1:2],
    )

    def streams(*seeds: int) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    assert torch.equal(together.sample(streams(4, 5, 6))[1:2], alone.sample(streams(5)))
    with pytest.raises(ValueError, match="one stream a row: got 1 for 3 rows"):
        together.sample(streams(4))


def test_two_ways_to_do_it_are_not_averaged() -> None:
    """Left and right equally often: the mean, straight on, was never done; one Gaussian does it."""
    torch.manual_seed(0)
    side = torch.where(torch.arange(64) % 2 == 0, 0.8, -0.8)
    blocks = (side[:, None, None] + 0.05 * torch.randn(64, K, A)).clamp(-1, 1)
    time = torch.full((64,), 20.0)
    z = torch.zeros(1, 1, D)
    done = {}
    for components in (1, 4):
        actor = actor_of(components=components)
        train(actor, blocks, time)
        done[components] = float(actor.act(z, z + 1, torch.tensor(20.0)).detach().abs().mean())
    assert done[4] == pytest.approx(0.8, abs=0.1)
    assert done[1] < 0.3


def test_the_time_that_is_left_changes_what_is_done() -> None:
    """The less time, the faster: a function of nothing but the time."""
    torch.manual_seed(0)
    time = torch.randint(2, 60, (128,)).float()
    blocks = (1 - time / 60)[:, None, None].expand(128, K, A)
    actor = actor_of(components=2, furthest=60)
    train(actor, blocks, time)
    z = torch.zeros(1, 1, D)
    with torch.no_grad():
        soon, late = (float(actor.act(z, z + 1, torch.tensor(t)).mean()) for t in (6.0, 54.0))
    assert soon == pytest.approx(0.9, abs=0.15)
    assert late == pytest.approx(0.1, abs=0.15)


def test_with_one_component_of_fixed_spread_likelihood_is_least_squares() -> None:
    """The log of exp(-(x - mean)^2 / 2 s^2), but for what no weight changes."""
    actor = actor_of(components=1, std=0.5)
    z, blocks = torch.randn(7, 1, D), torch.rand(7, K, A) * 2 - 1
    done = actor.act(z, z.flip(0), torch.tensor(9.0))
    squares = (blocks - done).square().sum(dim=(-2, -1)) / (2 * 0.5**2)
    constant = K * A * math.log(0.5 * math.sqrt(2 * math.pi))
    found = actor.log_prob(z, z.flip(0), torch.tensor(9.0), blocks)
    torch.testing.assert_close(found, -squares - constant)
    assert actor.out.out_features == 1 + K * A  # no weights for a spread


def test_an_actor_without_a_clock_does_not_notice_the_time() -> None:
    z, soon, late = torch.randn(5, 1, D), torch.tensor(2.0), torch.tensor(50.0)
    told, untold = actor_of(), actor_of(clock=False, gripper=2)
    assert not torch.equal(told.act(z, z.flip(0), soon), told.act(z, z.flip(0), late))
    assert torch.equal(untold.act(z, z.flip(0), soon), untold.act(z, z.flip(0), late))


@pytest.mark.parametrize("tokens", ["flat", "mean"])
def test_a_token_grid_is_seen_whole_or_by_its_mean(tokens: Any) -> None:
    actor = Actor(CONFIG, 4, D, tokens=tokens, gripper=2, **SMALL)
    z = torch.randn(6, 5, 4, D)
    ours = actor.distribution(z, z[:, :1], torch.ones(6, 5))
    assert ours.log_prob(torch.zeros(6, 5, K, A)).shape == (6, 5)
    swapped = actor.act(z[..., [1, 0, 2, 3], :], z[:, :1], torch.ones(6, 5))
    same = torch.allclose(swapped, actor.act(z, z[:, :1], torch.ones(6, 5)), atol=1e-5)
    assert same == (tokens == "mean")


def test_latents_are_standardised_by_what_was_seen_in_training() -> None:
    plain, scaled = actor_of(), actor_of()
    scaled.remember_spread(torch.full((1, D), 2.0), torch.full((1, D), 3.0))
    z, goal, time = torch.randn(2, 1, D), torch.randn(2, 1, D), torch.tensor(9.0)
    same = scaled.act(2 + 3 * z, 2 + 3 * goal, time)
    torch.testing.assert_close(same, plain.act(z, goal, time), atol=1e-5, rtol=1e-4)


def test_an_actor_is_built_again_from_the_models_config() -> None:
    config = WorldModelConfig(
        image_size=32,
        action_dim=A,
        frameskip=K,
        heads={"actor": {**SMALL, "gripper": 2, "values": [-1.0, 0.5], "tokens": "flat"}},
    )
    head = WorldModel(config).heads["actor"]
    assert isinstance(head, Actor)
    assert head.values == (-1.0, 0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gripper": 3}, "gripper axis 3 is not among 3 action axes"),
        ({"components": 0}, "components of an actor must be at least 1, got 0"),
        ({"std": -0.1}, "std of an actor must be >= 0, got -0.1"),
        ({"furthest": 1}, "furthest must be at least one block of 2 control steps"),
        ({"tokens": "some"}, "tokens must be flat or mean, got 'some'"),
        ({"eyes": 2}, "options of a head do not fit"),
    ],
)
def test_what_no_actor_can_be_made_of_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WorldModel(
            WorldModelConfig(image_size=32, action_dim=3, heads={"actor": options}, frameskip=2)
        )
