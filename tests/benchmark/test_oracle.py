"""The oracle: it searches the true simulator, whose episode does not notice."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from goalsight.benchmark.manifest import Manifest
from goalsight.benchmark.oracle import (
    OracleConfig,
    OraclePolicy,
    Push,
    Simulation,
    Take,
    Touch,
    oracle_cost,
)
from goalsight.benchmark.policies import PolicySpec, check_policies
from goalsight.benchmark.run import play_pair
from goalsight.environments import Env, make_env, task_of
from goalsight.errors import UserError
from goalsight_envs.base import ArmEnv
from goalsight_planners import CEMConfig, Discrete, Plan

TASKS = ("Reach", "Push", "Grasp", "PickPlace", "Drawer", "Stack", "Scene")
TINY = OracleConfig(
    search=CEMConfig(
        horizon=2, block=2, samples=8, iterations=2, elites=2, discrete=(Discrete(axis=3),)
    )
)


def env_of(task: str, seed: int = 0) -> Env:
    env = make_env(f"Goalsight/{task}-v0", size=32, observe_pixels=False)
    env.reset(seed=seed)
    return env


def player_of(env: Env, seed: int = 0) -> OraclePolicy:
    player = OraclePolicy(env, TINY)
    player.reset(task_of(env).goal_image(), seed)
    return player


@pytest.mark.parametrize("name", TASKS)
def test_what_the_search_was_promised_is_what_happens_in_every_task(name: str) -> None:
    """The energy after each block, to the digits of the solver's state."""
    env = env_of(name)
    task, player = task_of(env), player_of(env)
    before, energy = task.solver_state(), oracle_cost(task)
    plan = player.plan()
    np.testing.assert_array_equal(task.solver_state(), before)
    promised = Simulation(task).outcomes(plan.actions[0].double().numpy(), energy)
    for block, expected in zip(plan.actions[0].numpy(), promised, strict=True):
        for action in block:
            env.step(action)
        assert energy(task.data) == pytest.approx(expected, abs=1e-9)
    assert np.isfinite(promised).all()


def test_the_same_stream_plans_the_same_and_another_one_does_not() -> None:
    env = env_of("Push")
    one, again, other = (player_of(env, seed).plan().actions for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_it_reaches_what_standing_still_does_not(reach: Manifest) -> None:
    env = make_env(reach.env, size=32, observe_pixels=False)
    outcome, _ = play_pair(env, OraclePolicy(env), reach, 0, film_every=50)
    assert outcome.terminal
    assert outcome.distance_m[0] > 0.06
    assert outcome.evaluations_per_decision == 96
    assert len(outcome.latency_ms) == -(-reach.budget // 4)


def test_where_the_goal_is_reached_it_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search there would jitter, and take its second for nothing."""
    searched: list[None] = []
    plan = OraclePolicy.plan

    def counted(player: OraclePolicy) -> Plan:
        searched.append(None)
        return plan(player)

    monkeypatch.setattr(OraclePolicy, "plan", counted)
    env = env_of("Push")
    task = task_of(env)
    env.reset(seed=0, options={"state": task.goal_state, "goal_state": task.goal_state})
    player = player_of(env)
    decided = []
    for _ in range(TINY.search.block):
        assert not player.act({}).any()
        decided.append(player.last_latency_s is not None)
    assert decided == [True, False]
    assert not searched
    env.reset(seed=0)
    player_of(env).act({})
    assert len(searched) == 1, "elsewhere it searches"


def body_at(**places: Any) -> Any:
    """A simulation of which only positions and the gripper are read."""
    data = SimpleNamespace(tip=np.array(places["tip"]), opening=places.get("opening", 0.08))
    data.body = lambda name: SimpleNamespace(xpos=np.array(places[name]))
    return data


ARM = SimpleNamespace(fingertip=lambda data: data.tip, opening=lambda data: data.opening)
TASK = cast("ArmEnv", SimpleNamespace(arm=ARM))


def cube(data: Any) -> Any:
    return data.body("cube").xpos


def test_taking_something_costs_less_with_every_step_done() -> None:
    """Come near, open, come down, close, carry, put down, let go."""
    at, place = [0.5, 0.0, 0.03], [0.6, 0.0, 0.03]
    energy = Take(task=TASK, thing=cube, target=np.array(place), release=True)
    steps = [
        body_at(tip=[0.4, 0.1, 0.2], cube=at, opening=0.0),
        body_at(tip=[0.5, 0.0, 0.1], cube=at, opening=0.0),
        body_at(tip=[0.5, 0.0, 0.1], cube=at),
        body_at(tip=at, cube=at),
        body_at(tip=at, cube=at, opening=0.06),
        body_at(tip=[0.55, 0.0, 0.03], cube=[0.55, 0.0, 0.03], opening=0.06),
        body_at(tip=place, cube=place, opening=0.06),
        body_at(tip=place, cube=place),
    ]
    costs = [energy(step) for step in steps]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == len(costs)
    assert costs[-1] == 0


def test_a_hand_that_pushes_goes_round_the_cube_not_through_it() -> None:
    """From in front of it, both sides are nearer to being behind it than its other face is."""
    energy = Push(task=TASK, cube=cube, target=np.array([0.6, 0.0, 0.03]))
    at = [0.5, 0.0, 0.03]
    before, beside, behind = (
        energy(body_at(tip=tip, cube=at, opening=0.0))
        for tip in ([0.56, 0.0, 0.025], [0.5, 0.06, 0.025], [0.455, 0.0, 0.025])
    )
    assert before > beside > behind
    done = body_at(tip=[0.4, 0.2, 0.2], cube=[0.6, 0.0, 0.03])
    assert energy(done) == 0  # wherever the hand is


def test_an_arm_alone_is_as_far_as_its_fingertip() -> None:
    energy = Touch(task=TASK, target=np.array([0.5, 0.0, 0.1]))
    assert energy(body_at(tip=[0.5, 0.3, 0.5])) == pytest.approx(0.5)


def test_a_cube_that_is_to_be_put_away_waits_for_the_drawer() -> None:
    """First the drawer is opened wide, then the cube is what counts, then the drawer again."""
    env = env_of("Scene")
    task = task_of(env)
    order = []
    for drawer in (0.0, 0.137):
        task.data.joint("drawer").qpos[0] = drawer
        task.restore(task.solver_state())
        aim = oracle_cost(task)
        assert isinstance(aim, Take)
        order.append((aim.release, round(float(aim.way(task.data)[1]), 3)))
    assert order[0] == (False, 0.137)
    assert order[1][0]
    task.restore(task.goal_state)
    assert cast("Take", oracle_cost(task)).release is False


def test_an_environment_that_cannot_be_restored_is_refused_in_one_line() -> None:
    other = cast("Env", SimpleNamespace(unwrapped=SimpleNamespace()))
    spec = PolicySpec(checkpoint=None, device="cpu")
    with pytest.raises(UserError, match=r"the oracle row needs a task of goalsight's own.*--rows"):
        check_policies(("zero", "oracle"), None, other, spec)
    check_policies(("zero",), None, other, spec)
