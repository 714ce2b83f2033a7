"""What goes into an agent: an environment's observation, any camera, several episodes at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tests.test_agent_batch import LOOKS_BACK, SIZE, A, K, Q, agent_of, picture

import goalsight_envs  # noqa: F401  (registers the tasks)
from goalsight.agent import Agent, AgentConfig, SequenceConfig
from goalsight.errors import CheckpointError
from goalsight.pictures import centre_square, resize

B = 3
BACK: dict[str, Any] = LOOKS_BACK
PUSH = "Goalsight/Push-v0"


def felt(step: int) -> NDArray[np.float32]:
    return np.array([step, -step], np.float32)


def driven(agent: Agent, look: Callable[[int], Any], steps: int = 3 * K) -> NDArray[np.float32]:
    return np.stack([agent.act(look(step)) for step in range(steps)])


def test_an_observation_is_taken_as_the_environment_gives_it() -> None:
    """The same as its parts, whatever else is in it."""
    agent = agent_of({}, **BACK)
    agent.reset(picture(100), seed=1)
    parts = [agent.act(picture(step), felt(step)) for step in range(3 * K)]
    agent.reset(picture(100), seed=1)
    whole = driven(
        agent, lambda step: {"pixels": picture(step), "observation": felt(step), "other": None}
    )
    np.testing.assert_array_equal(whole, parts)
    agent.reset(picture(100), seed=1)
    with pytest.raises(ValueError, match="no pixels, it has: observation; make the environment"):
        agent.act({"observation": felt(0)})


@pytest.mark.parametrize("shape", [(48, 48), (40, 72), (96, 64)])
def test_any_camera_is_fitted_to_the_model_as_training_fits_it(shape: tuple[int, int]) -> None:
    wide = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
    fitted = resize(centre_square(torch.from_numpy(wide)), SIZE).numpy()
    agent, acted = agent_of({}), []
    for goal, seen in (wide, fitted):
        agent.reset(goal, seed=0)
        acted.append(agent.act(seen))
        assert agent.energy(goal) == 0
    np.testing.assert_array_equal(acted[0], acted[1])


def part_of(look: Callable[[int], dict[str, Any]], row: int) -> Callable[[int], dict[str, Any]]:
    """What one of several environments shows."""
    return lambda step: {name: part[row] for name, part in look(step).items()}


@pytest.mark.parametrize(
    ("changes", "model_changes"),
    [
        ({"mode": "search"}, {}),
        ({"mode": "hybrid"}, BACK),
        ({"mode": "search", "hysteresis": 0.5, "replan": 2}, {}),
    ],
    ids=["search", "hybrid-looking-back", "hysteresis"],
)
def test_several_episodes_at_once_are_each_as_alone(
    changes: dict[str, Any], model_changes: dict[str, Any]
) -> None:
    """Bit for bit on a CPU; of B episodes the i-th is that of seed + i."""
    together = agent_of(changes, **model_changes)
    together.reset(np.stack([picture(100 + row) for row in range(B)]), seed=7)

    def look(step: int) -> dict[str, Any]:
        return {
            "pixels": np.stack([picture(50 * row + step) for row in range(B)]),
            "observation": np.stack([felt(row + step) for row in range(B)]),
        }

    actions = driven(together, look)
    assert actions.shape == (3 * K, B, A)
    assert together.last_plan is None or together.last_plan.actions.shape[0] == B
    for row in range(B):
        alone = agent_of(changes, **model_changes)
        alone.reset(picture(100 + row), seed=7 + row)
        own = driven(alone, part_of(look, row))
        np.testing.assert_array_equal(actions[:, row], own)


def test_a_vector_environment_is_driven_as_each_of_its_environments() -> None:
    """`gymnasium.make_vec` gives its observations with the episodes first."""
    vector: Any = gym.make_vec(PUSH, 2, "sync", observe_pixels=True, size=SIZE)
    obs, _ = vector.reset(seed=5)
    goals = np.stack([env.unwrapped.goal_image() for env in vector.envs])
    assert obs["pixels"].shape == goals.shape == (2, SIZE, SIZE, 3)
    agent = agent_of({})
    agent.reset(goals, seed=5)
    actions = agent.act(obs)
    vector.close()
    for row in range(2):
        agent.reset(goals[row], seed=5 + row)
        one = agent.act({name: part[row] for name, part in obs.items()})
        np.testing.assert_array_equal(actions[row], one)


def test_several_goals_in_sequence_are_a_list_and_one_picture_does_for_no_batch() -> None:
    agent = agent_of({"sequence": SequenceConfig(patience=1)})
    goals = [picture(1), picture(2)]
    agent.reset(goals, seed=0)
    assert agent.act(picture(0)).shape == (A,)
    agent.reset(np.stack(goals), seed=0)
    message = r"reset with 2 goals .* needs \(2, H, W, 3\) pictures, got .*sequence|are a list"
    with pytest.raises(ValueError, match=message):
        agent.act(picture(0))
    assert agent.act(np.stack(goals)).shape == (2, A)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_reading_that_is_not_finite_is_refused_by_name(bad: float) -> None:
    agent = agent_of({}, **BACK)
    agent.card["proprio_names"] = ["joint1", "ee_x"]
    agent.reset(picture(0), seed=0)
    for reading, name in ((np.array([0, bad]), "ee_x"), (np.array([bad, 0]), "joint1")):
        with pytest.raises(ValueError, match=f"proprio: {name} is {bad}, not a number"):
            agent.act(picture(0), reading)
    latents = torch.zeros(1, 1, agent.model.patches, agent.model.latent_dim)
    goals, stream = torch.full_like(latents[:, 0], bad), torch.Generator()
    with pytest.raises(ValueError, match="goals hold numbers that are not finite"):
        agent.plan(latents, None, torch.zeros(1, 1, Q), goals=goals, streams=[stream])


class BrokenError(Exception):
    pass


@pytest.mark.parametrize("fails", ["picture", "proprio", "width", "model"])
@pytest.mark.parametrize("mode", ["search", "hybrid"])
def test_a_decision_that_failed_leaves_the_agent_as_it_was(
    fails: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also its random stream: what comes after is as if the failure had never been."""
    agent, acted = agent_of({"mode": mode}, **BACK), []
    for fault in (False, True):
        agent.reset([picture(100), picture(101)], seed=2)
        actions = []
        for step in range(4 * K):
            if fault and step in (0, K, 2 * K):
                before = (agent.last_plan, agent.last_latency_s, agent.goal_index)
                if fails == "model":
                    with monkeypatch.context() as patch:
                        patch.setattr(agent, "_planner", failing)
                        with pytest.raises(BrokenError):
                            agent.act(picture(step), felt(step))
                elif fails == "picture":
                    with pytest.raises(ValueError, match="this agent sees uint8 pictures"):
                        agent.act(picture(step)[..., :2], felt(step))
                elif fails == "width":
                    with pytest.raises(CheckpointError, match="the robot measures 7"):
                        agent.act(picture(step), np.zeros(7, np.float32))
                else:
                    with pytest.raises(ValueError, match="not a number"):
                        agent.act(picture(step), felt(step) * np.nan)
                assert (agent.last_plan, agent.last_latency_s, agent.goal_index) == before
            actions.append(agent.act(picture(step), felt(step)))
        acted.append(np.stack(actions))
    np.testing.assert_array_equal(acted[0], acted[1])


def failing(*given: Any, **_: Any) -> Any:
    """A planner that draws from the streams and then fails."""
    torch.rand(3, generator=given[4][0])
    raise BrokenError


def test_load_is_from_pretrained_and_a_config_is_all_of_the_settings() -> None:
    with pytest.raises(CheckpointError, match="no checkpoint 'nowhere'"):
        Agent.load("nowhere", config=AgentConfig())
    shipped = Agent.load("push-tiny", config=AgentConfig())
    assert shipped.config.mode == "search"
    assert Agent.from_pretrained("push-tiny").config.mode == "hybrid"
