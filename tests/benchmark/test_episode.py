"""What counts as success, what is timed and what is filmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from goalsight.benchmark.manifest import Manifest
from goalsight.benchmark.results import HOLD, Film, Outcome
from goalsight.benchmark.run import check_task, play_pair
from goalsight.environments import Env
from goalsight.errors import CheckpointError, ManifestError
from goalsight.policy import AgentPolicy, Policy

Array = NDArray[Any]
Written = Callable[[Sequence[float]], tuple[Any, Manifest]]
START = 2.0


class Agent:
    """Plans every third step; its action says which goal it was shown and what it sees."""

    name, evaluations_per_decision = "fake", 1000
    last_latency_s: float | None = None

    def __init__(self, action: float = 0.0) -> None:
        self.action = action
        self.resets: list[tuple[int, int]] = []
        self.seen: list[int] = []

    def reset(self, goal: Array, seed: int) -> None:
        self.resets.append((int(goal.max()), seed))
        self.seen = []

    def act(self, pixels: Array, proprio: Array) -> Array:
        assert pixels.max() == proprio[0] == len(self.seen)
        self.last_latency_s = 0.05 if len(self.seen) % 3 == 0 else None
        self.seen.append(int(pixels.max()))
        return np.full(4, self.action, np.float32)


class Still:
    needs_pixels = False
    last_latency_s: float | None = None

    def reset(self, goal: object, seed: int) -> None: ...

    def act(self, observation: object) -> Array:
        return np.zeros(4, np.float32)


def play(
    env: Env, manifest: Manifest, policy: Policy | None = None, *, seed: int = 0, pair: int = 0
) -> tuple[Outcome, Film]:
    return play_pair(env, policy or Still(), manifest, pair, row="row", seed=seed, film_every=3)


def policy_of(agent: Agent) -> AgentPolicy:
    return AgentPolicy(cast("Any", agent))


@given(inside=st.lists(st.booleans(), min_size=8, max_size=8))
def test_terminal_means_held_over_the_last_five_steps_and_anytime_means_once(
    written: Written, inside: list[bool]
) -> None:
    env, manifest = written([START] + [0.5 if good else 1.5 for good in inside])
    outcome, _ = play(env, manifest)
    assert outcome.anytime == any(inside)
    assert outcome.terminal == all(inside[-HOLD:])
    assert not outcome.terminal or outcome.anytime


def test_success_ends_nothing_early_and_every_distance_is_kept(written: Written) -> None:
    distances = [START, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 3.0]
    env, manifest = written(distances)
    outcome, _ = play(env, manifest)
    assert env.steps == manifest.budget
    assert outcome.distance_m == tuple(distances)
    assert (outcome.anytime, outcome.terminal) == (True, False)


def test_the_frozen_states_are_restored(written: Written) -> None:
    env, manifest = written([START] * 9)
    play(env, manifest, pair=1)
    assert env.options["state"].tolist() == [3, 4, 5]
    assert env.options["goal_state"].tolist() == [9, 10, 11]


def test_only_decisions_are_timed(written: Written) -> None:
    """Eight steps, a plan at every third: three decisions."""
    env, manifest = written([START] * 9)
    outcome, _ = play(env, manifest, policy_of(Agent()))
    assert outcome.latency_ms == (50.0, 50.0, 50.0)
    assert outcome.evaluations_per_decision == 1000
    assert play(env, manifest)[0].latency_ms == ()


def test_the_agent_sees_the_goal_image_and_a_stream_of_its_own_for_each_pair(
    written: Written,
) -> None:
    env, manifest = written([START] * 9)
    agent = Agent()
    policy = policy_of(agent)
    for seed, pair in ((0, 0), (0, 1), (1, 0), (0, 0)):
        play(env, manifest, policy, seed=seed, pair=pair)
    goals, seeds = zip(*agent.resets, strict=True)
    assert set(goals) == {255}
    assert len(set(seeds)) == 3
    assert seeds[0] == seeds[3]


def test_films_begin_at_the_start_end_at_the_end_and_render_no_more_than_they_show(
    written: Written,
) -> None:
    env, manifest = written([START] * 9)
    _, film = play(env, manifest)
    assert film.steps.tolist() == [0, 3, 6, 8]
    assert film.frames[:, 0, 0, 0].tolist() == [0, 3, 6, 8]
    assert film.goal.max() == 255
    assert env.renders == 4


def test_what_an_agent_has_seen_is_not_rendered_again(written: Written) -> None:
    env, manifest = written([START] * 9)
    play(env, manifest, policy_of(Agent()))
    assert env.renders == 0


def test_who_watches_is_told_all_that_is_seen_and_done_and_changes_nothing(
    written: Written,
) -> None:
    env, manifest = written([START] + [0.5] * 8)
    told: list[tuple[int, float | None]] = []

    def watch(observation: Any, action: Array | None) -> None:
        told.append((int(observation["observation"][0]), None if action is None else action[0]))

    policy = policy_of(Agent(0.25))
    outcome, _ = play_pair(env, policy, manifest, 0, row="row", film_every=3, watch=watch)
    assert told == [(0, None), *((step, 0.25) for step in range(1, 9))]
    assert outcome == play(env, manifest, policy_of(Agent(0.25)))[0]


def test_actions_that_are_not_numbers_are_the_checkpoints_fault(written: Written) -> None:
    env, manifest = written([START] * 9)
    with pytest.raises(CheckpointError, match="checkpoint fake plans actions that are not numbers"):
        play(env, manifest, policy_of(Agent(np.nan)))


def test_a_manifest_of_another_scene_is_refused(written: Written, manifest: Manifest) -> None:
    """The distance at the start tells: the same states mean something else in a changed scene."""
    env, _ = written([START + 0.01] * 9)
    with pytest.raises(ManifestError, match=r"pair 0 .* 2.0000 m apart, here 2.0100 m; .* another"):
        play(env, manifest)


def test_another_threshold_or_another_state_size_is_refused(
    written: Written, manifest: Manifest
) -> None:
    env, _ = written([START] * 9)
    check_task(manifest, env)
    env.success_threshold = 0.9
    with pytest.raises(ManifestError, match=r"within 1.0 m, Written-v0 within 0.9 m"):
        check_task(manifest, env)
    env.success_threshold = 1.0
    env.solver_state = lambda: np.zeros(4)
    with pytest.raises(ManifestError, match="states of 3 numbers, Written-v0 has 4"):
        check_task(manifest, env)
