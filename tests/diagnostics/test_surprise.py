"""Violation of expectation: the scores on clips whose answer is known, and the staged clips."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from goalsight.checkpoint import save_checkpoint
from goalsight.cli.main import main
from goalsight.clip import Clip
from goalsight.diagnostics.surprise import (
    StagedEvent,
    auroc,
    auroc_interval,
    block_surprise,
    draw_surprise,
    surprise,
)
from goalsight.diagnostics.voe_scenes import VIOLATIONS, Stage, Violation, stage
from goalsight.errors import UserError
from goalsight.models import WorldModel, WorldModelConfig

SIZE = 32
scores = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


class Still(WorldModel):
    """Its latent is the brightness of the picture; it believes that nothing changes."""

    def __init__(self, context: int = 1) -> None:
        super().__init__(
            WorldModelConfig(
                image_size=16,
                action_dim=2,
                frameskip=2,
                context=context,
                predictor="residual" if context == 1 else "transformer",
            )
        )

    def encode(self, frames: Tensor) -> Tensor:
        return frames.float().mean((-3, -2, -1))[..., None, None]

    def rollout(
        self,
        context: Tensor,
        plans: Tensor,
        past: Tensor | None = None,
        proprio: Tensor | None = None,
    ) -> Tensor:
        # One block lies between two frames that were seen: where this field's errors live.
        assert (0 if past is None else past.shape[-3]) == context.shape[-3] - 1
        return context[..., None, -1:, :, :].expand(*plans.shape[:-2], 1, 1)


def clip_of(brightness: Tensor) -> Clip:
    """(N, T) brightness as a clip of uniform pictures."""
    count, length = brightness.shape
    frames = brightness.to(torch.uint8)[:, :, None, None, None].expand(-1, -1, 3, 16, 16)
    return Clip(
        frames.contiguous(), torch.zeros(count, length - 1, 2, 2), torch.zeros(count, length, 3)
    )


def event(jump: int, count: int = 20) -> StagedEvent:
    """Uniform pictures that stay as they are, or become brighter at frame 2."""
    calm = 10 * torch.arange(count)[:, None].expand(-1, 4).clone()
    struck = calm.clone()
    struck[:, 2:] += jump
    return StagedEvent(
        violation="brighter",
        event=2,
        possible=clip_of(calm),
        impossible=clip_of(struck),
        groups=np.arange(count),
    )


def test_surprise_is_the_squared_error_of_the_block_that_ends_in_the_event() -> None:
    surprised = block_surprise(Still(), event(3).impossible)
    torch.testing.assert_close(surprised, torch.tensor([0.0, 9.0, 0.0]).expand(20, 3))
    later = block_surprise(Still(context=2), event(3).impossible)
    torch.testing.assert_close(later, torch.tensor([9.0, 0.0]).expand(20, 2))


@pytest.mark.parametrize("context", [1, 2])
def test_what_cannot_happen_is_told_apart_from_what_can(context: int) -> None:
    (report,) = surprise(Still(context), [event(5)]).violations
    assert report.auroc == report.paired == 1.0
    assert report.first == 2 - context
    assert report.paired_interval[0] > 0.8


def test_a_violation_that_shows_nothing_is_at_chance() -> None:
    """Ties: half a point in the AUROC, and no win over the matched control."""
    (report,) = surprise(Still(), [event(0)]).violations
    assert report.auroc == 0.5
    assert report.auroc_interval == (0.5, 0.5)
    assert report.paired == 0.0


def test_who_expects_no_change_is_less_surprised_by_the_frozen_than_by_the_pushed(
    staged: dict[Violation, StagedEvent],
) -> None:
    """Below chance: the score says which way the model's expectation goes."""

    class CopiesPixels(WorldModel):
        """The picture is its own latent, and stays."""

        def encode(self, frames: Tensor) -> Tensor:
            return frames.float().flatten(-3)[..., None, :]

        def rollout(
            self,
            context: Tensor,
            plans: Tensor,
            past: Tensor | None = None,
            proprio: Tensor | None = None,
        ) -> Tensor:
            return context[..., None, -1:, :, :]

    model = CopiesPixels(WorldModelConfig(image_size=SIZE))
    frozen, teleported = surprise(model, [staged["frozen"], staged["teleported"]]).violations
    assert frozen.paired < 0.5
    assert teleported.paired == 1.0


def test_the_report_can_be_drawn_and_written() -> None:
    report = surprise(Still(), [event(5), event(0)])
    assert len(draw_surprise(report).axes) == 6
    values = json.loads(json.dumps(report.to_json()))
    assert values["violations"][0]["surprise"]["impossible"][0] == [0.0, 25.0, 0.0]
    assert "AUROC 1.00" in report.summary()


@given(negative=scores, positive=scores)
def test_auroc_is_the_share_of_couples_in_the_right_order(
    negative: list[float], positive: list[float]
) -> None:
    won = [float(b > a) + 0.5 * float(b == a) for a in negative for b in positive]
    assert auroc(np.array(negative), np.array(positive)) == pytest.approx(np.mean(won))


def test_pairs_of_one_group_count_as_one_in_the_interval() -> None:
    rng = np.random.default_rng(0)
    calm, struck = rng.normal(0, 1, 5).repeat(20), rng.normal(1, 1, 5).repeat(20)
    alone = auroc_interval(calm, struck, np.arange(100), seed=0)
    together = auroc_interval(calm, struck, np.arange(5).repeat(20), seed=0)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])


def test_a_model_of_another_robot_is_refused() -> None:
    other = WorldModel(WorldModelConfig(image_size=16, action_dim=3, frameskip=2))
    with pytest.raises(UserError, match="surprise needs a model of goalsight's own arm"):
        surprise(other, [event(1)])
    slower = WorldModel(WorldModelConfig(image_size=16, action_dim=2, frameskip=3))
    with pytest.raises(ValueError, match="blocks of 3 control steps, the clips are staged with 2"):
        surprise(slower, [event(1)])


@pytest.fixture(scope="module")
def staged() -> dict[Violation, StagedEvent]:
    return {name: stage(name, pairs=4, size=SIZE, frameskip=5, seed=1) for name in VIOLATIONS}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_pair_is_the_same_until_the_event_and_differs_after(
    staged: dict[Violation, StagedEvent], name: Violation
) -> None:
    event = staged[name]
    possible, impossible = event.possible.frames, event.impossible.frames
    assert possible.shape == (4, 4, 3, SIZE, SIZE)
    assert event.event == 2
    assert torch.equal(possible[:, :2], impossible[:, :2])
    assert (possible[:, 3] != impossible[:, 3]).flatten(1).any(1).all()
    assert torch.equal(event.possible.actions, event.impossible.actions)
    assert torch.equal(event.possible.proprio, event.impossible.proprio)
    assert event.possible.actions.shape == (4, 3, 5, 4)


@pytest.mark.parametrize("name", ["teleported", "recoloured"])
def test_every_picture_is_as_often_possible_as_impossible(
    staged: dict[Violation, StagedEvent], name: Violation
) -> None:
    """Else a single frame could give the answer away."""

    def pictures(clip: Clip, pair: int) -> list[bytes]:
        frames = clip.frames[pair : pair + 2].flatten(0, 1)
        return sorted(frame.numpy().tobytes() for frame in frames)

    for pair in (0, 2):
        assert pictures(staged[name].possible, pair) == pictures(staged[name].impossible, pair)
        assert staged[name].groups[pair] == staged[name].groups[pair + 1]


def red(clip: Clip) -> NDArray[np.float64]:
    """(N, T) share of the picture that shows the red cube."""
    frames = clip.frames.float()
    lit = (frames[:, :, 0] > 90) & (frames[:, :, 1] < 60) & (frames[:, :, 2] < 60)
    share: NDArray[np.float64] = lit.float().mean((-2, -1)).numpy()
    return share


def test_a_recoloured_cube_is_red_on_one_side_of_the_event_only(
    staged: dict[Violation, StagedEvent],
) -> None:
    seen = red(staged["recoloured"].impossible) > 0
    assert seen.tolist()[:2] == [[True, True, False, False], [False, False, True, True]]


def test_a_frozen_cube_stays_while_its_control_is_pushed(
    staged: dict[Violation, StagedEvent],
) -> None:
    def moved(clip: Clip) -> Tensor:
        frames = clip.frames[:, 1:].float()
        lit = ((frames[:, :, 0] > 90) & (frames[:, :, 1] < 60)).float() + 1e-9
        places = torch.arange(SIZE)
        x = (lit.sum(-2) * places).sum(-1) / lit.sum((-2, -1))
        y = (lit.sum(-1) * places).sum(-1) / lit.sum((-2, -1))
        return (x - x[:, :1]).abs().amax(1) + (y - y[:, :1]).abs().amax(1)

    held, pushed = moved(staged["frozen"].impossible), moved(staged["frozen"].possible)
    assert pushed.mean() > 2 * held.mean()  # not 0: the arm hides and bares parts of it
    assert pushed.mean() > 1.0


def test_the_same_seed_stages_the_same_clips_and_another_does_not(
    staged: dict[Violation, StagedEvent],
) -> None:
    again = stage("recoloured", pairs=2, size=SIZE, frameskip=5, seed=1)
    other = stage("recoloured", pairs=2, size=SIZE, frameskip=5, seed=2)
    assert torch.equal(again.possible.frames, staged["recoloured"].possible.frames[:2])
    assert not torch.equal(again.possible.frames, other.possible.frames)


def test_a_changed_cube_leaves_no_trace_in_the_next_picture() -> None:
    set_up = Stage(SIZE, frameskip=5, seen=2)
    state = set_up.take(0, 0).states[0]
    before = set_up.render(state)
    pose = set_up.pose_in(state)
    blue, away = set_up.render(state, colour=(0, 0, 1, 1)), set_up.render(state, pose + 0.1)
    after = set_up.render(state)
    set_up.close()
    assert (before == after).all()
    assert (before != blue).any()
    assert (before != away).any()


def test_blocks_too_long_for_a_take_are_refused() -> None:
    with pytest.raises(UserError, match="fit into 100 control steps"):
        stage("frozen", pairs=2, size=SIZE, frameskip=40)


def test_the_command_writes_numbers_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tmp_path / "model", tmp_path / "out"
    save_checkpoint(model, WorldModel(WorldModelConfig(image_size=SIZE)), {})
    given = ["inspect", "surprise", "--checkpoint", str(model), "--out", str(out)]
    assert main([*given, "--violations", "recoloured", "--pairs", "2"]) == 0
    assert "recoloured" in capsys.readouterr().out
    assert json.loads((out / "surprise.json").read_text())["violations"][0]["pairs"] == 2
    assert (out / "surprise.png").read_bytes().startswith(b"\x89PNG")
    assert main([*given, "--violations", "melted"]) == 2
    assert "teleported, recoloured, frozen; got 'melted'" in capsys.readouterr().err
