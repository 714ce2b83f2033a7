"""What an action does: two centimetres along its axis, inside workspace and joint limits."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goalsight_envs.arm import HOME
from goalsight_envs.base import ArmEnv
from goalsight_envs.one_cube import OneCubeEnv
from goalsight_envs.placing import substeps
from goalsight_envs.state import write_state
from goalsight_envs.stepping import LIMITS_KNOWN, advance

AWAY = np.array([0.40, 0.15, 0.0])
"""A cube that is not in the way of the arm at the centre."""
OVERSHOOT = 0.02
"""Targets are clipped to the workspace; the servos are springs and swing past them for a moment,
and the cube can push back. One control step's way [m] bounds that; 12 mm was the most seen."""
AT_THE_CABINET = 0.04
"""A finger that is pressed on the cabinet's roof at the edge of the workspace clings there and then
slips: by 31 mm in the case below, two control steps' way [m] at most."""

unit = st.floats(-1, 1, width=32)
corners = st.sampled_from([-1.0, 0.0, 1.0])
stretches = st.lists(
    st.tuples(st.one_of(st.tuples(*[unit] * 4), st.tuples(*[corners] * 4)), st.integers(1, 25)),
    min_size=1,
    max_size=6,
)


def act(env: ArmEnv, *values: float) -> np.ndarray:
    """One control step; the fingertip [m]."""
    env.step(np.array(values, np.float32))
    return env.arm.fingertip(env.data)


@pytest.fixture
def centred(arm_env: OneCubeEnv) -> OneCubeEnv:
    """The fingertip at rest in the middle of the workspace, gripper half open."""
    arm_env.reset(seed=0)
    middle = (arm_env.arm.low + arm_env.arm.high) / 2
    arm_env.restore(arm_env.place(arm_env.data, middle, 0.04, AWAY))
    return arm_env


@settings(deadline=None, max_examples=10)  # for each of seven tasks
@given(seed=st.integers(0, 2**16), script=stretches)
@example(
    seed=0, script=[((0.0,) * 4, 3), ((-1.0, -1.0, 1.0, -1.0), 14), ((1.0, -1.0, -1.0, 1.0), 9)]
)
@example(
    seed=0, script=[((0.0,) * 4, 3), ((-1.0, -1.0, 1.0, -1.0), 12), ((1.0, -1.0, -1.0, 1.0), 9)]
)
@example(seed=1, script=[((0.0, -1.0, -1.0, -1.0), 6)])
def test_no_actions_bring_the_arm_out_of_workspace_or_joint_limits(
    blind: ArmEnv, seed: int, script: list[tuple[tuple[float, ...], int]]
) -> None:
    arm, data = blind.arm, blind.data
    blind.reset(seed=seed)
    cabinet = mujoco.mj_name2id(blind.model, mujoco.mjtObj.mjOBJ_GEOM, "cabinet_roof") >= 0
    past, pressed = (AT_THE_CABINET, 3e-3) if cabinet else (OVERSHOOT, 2e-3)
    for values, steps in script:
        for _ in range(steps):
            fingertip = act(blind, *values)
            assert (fingertip > arm.low - past).all()
            assert (fingertip < arm.high + past).all()
            for joints in (data.qpos[arm.qpos], data.ctrl[arm.ctrl]):
                assert (joints >= arm.limits[:, 0]).all()
                assert (joints <= arm.limits[:, 1]).all()
            # Limits are soft: a cube may press a finger over its own for a moment, and more so
            # where it leans on a cabinet, whose roof presses, too.
            assert -pressed < arm.opening(data) < 0.08 + pressed
    assert np.isfinite(blind.solver_state()).all()


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_an_action_moves_the_fingertip_two_centimetres_along_its_axis(
    centred: OneCubeEnv, axis: int, sign: float
) -> None:
    before = centred.arm.fingertip(centred.data)
    action = np.zeros(4)
    action[axis] = sign
    after = act(centred, *action)
    # The servo is nine tenths of the way there after one control step, and there after two.
    assert 0.016 < sign * (after - before)[axis] < 0.021
    wanted = np.zeros(3)
    wanted[axis] = 0.02 * sign
    np.testing.assert_allclose(act(centred, 0, 0, 0, 0) - before, wanted, atol=5e-4)


def test_half_an_action_moves_half_the_way(centred: OneCubeEnv) -> None:
    before = centred.arm.fingertip(centred.data)
    act(centred, 0.5, -0.25, 0, 0)
    moved = act(centred, 0, 0, 0, 0) - before
    np.testing.assert_allclose(moved, [0.01, -0.005, 0.0], atol=5e-4)


def test_the_gripper_opens_and_closes_to_its_ends(centred: OneCubeEnv) -> None:
    openings = []
    for direction in (1.0, -1.0):
        for _ in range(10):
            before = centred.arm.opening(centred.data)
            act(centred, 0, 0, 0, direction)
            # the servo still swings by less than 0.1 mm when it is at its end
            assert direction * (centred.arm.opening(centred.data) - before) > -1e-4
        openings.append(centred.arm.opening(centred.data))
    np.testing.assert_allclose(openings, [0.08, 0.0], atol=5e-4)


def test_the_gripper_leaves_the_fingertip_where_it_is(centred: OneCubeEnv) -> None:
    before = centred.arm.fingertip(centred.data)
    for _ in range(4):
        after = act(centred, 0, 0, 0, -1)
    np.testing.assert_allclose(after, before, atol=1e-3)


def test_the_zero_action_holds_still(blind: ArmEnv) -> None:
    """Over a whole benchmark budget: a third of the tightest threshold at most, the objects not."""
    for seed in range(3):
        blind.reset(seed=seed)
        fingertip, before = blind.arm.fingertip(blind.data), blind.truth()
        for _ in range(50):
            after = act(blind, 0, 0, 0, 0)
        assert np.linalg.norm(after - fingertip) < 0.01
        for name in before.keys() - {"ee_pos"}:
            np.testing.assert_allclose(blind.truth()[name], before[name], atol=2e-4, err_msg=name)


def test_the_tool_points_down_wherever_it_goes(centred: OneCubeEnv) -> None:
    for action in ([1, 1, 1, 0], [-1, -1, -1, 0], [1, -1, 0, 0]):
        for _ in range(20):
            act(centred, *action)
            tool = centred.data.site("fingertip").xmat.reshape(3, 3)[:, 2]
            assert tool @ [0, 0, -1] > np.cos(np.radians(5))


def test_the_command_never_runs_far_ahead_of_a_blocked_arm(centred: OneCubeEnv) -> None:
    """Pressing the open gripper on the cube: forces stay bounded because the target waits."""
    over_cube = np.array([0.5, 0.0, 0.10])
    state = centred.place(centred.data, over_cube, 0.0, np.array([0.5, 0.0, 0.0]))
    centred.restore(state)
    lead = centred.arm.config.lead + centred.arm.config.step
    for _ in range(20):
        real = act(centred, 0, 0, -1, 0)
        assert (np.abs(centred.arm.commanded(centred.data) - real) < lead).all()
    assert real[2] > 0.05  # the cube is still under it
    assert np.linalg.norm(centred.truth()["cube_pos"][:2] - [0.5, 0.0]) < 0.03


@settings(deadline=None, max_examples=30)
@given(share=st.tuples(*[st.floats(0, 1)] * 3))
def test_inverse_kinematics_puts_the_fingertip_where_it_was_asked(
    arm_env: OneCubeEnv, share: tuple[float, float, float]
) -> None:
    arm = arm_env.arm
    target = arm.low + np.array(share) * (arm.high - arm.low)
    state = arm_env.place(arm_env.data, target, 0.0, np.array([-3.0, 0.0, 0.0]))
    np.testing.assert_allclose(arm.commanded(arm_env.data), target, atol=5e-4)
    np.testing.assert_allclose(arm.fingertip(arm_env.data), target, atol=1e-3)
    joints = arm.solve(target, HOME, 40)
    assert ((arm.limits[:, 0] < joints) & (joints < arm.limits[:, 1])).all()
    assert np.isfinite(state).all()


def test_applying_an_action_writes_targets_and_nothing_else(centred: OneCubeEnv) -> None:
    before = centred.solver_state()
    centred.arm.apply(centred.data, np.array([1.0, 0.5, -0.5, 1.0]))
    changed = before != centred.solver_state()
    written = [name for name, part in centred.state_layout.items() if changed[part].any()]
    assert written == ["ctrl"]


@pytest.mark.skipif(not LIMITS_KNOWN, reason="this MuJoCo does not do it by itself")
@pytest.mark.parametrize("gain", [0.4, 1.0])
def test_the_way_of_older_mujocos_gives_the_states_of_newer_ones(
    blind: ArmEnv, gain: float
) -> None:
    """Before 3.5 the integrator did not know which servos are at their limit; `advance` does."""
    blind.reset(seed=1, options={"factors": {"arm.gain": gain}})
    servos, at_limit = blind.model.actuator_biasprm.copy(), 0
    most = blind.model.actuator_forcerange[:, 1]
    other = mujoco.MjData(blind.model)
    write_state(blind.model, other, blind.solver_state())
    for action in np.random.default_rng(0).choice([-1.0, 1.0], (8, 4)):
        blind.step(action.astype(np.float32))
        other.ctrl[:] = blind.data.ctrl
        for _ in range(substeps(blind.model)):
            advance(blind.model, other, 1, limits_known=False)
            at_limit += int((np.abs(other.actuator_force) >= most).sum())
        np.testing.assert_allclose(other.qpos, blind.data.qpos, rtol=0, atol=1e-9)
    assert at_limit > 10
    np.testing.assert_array_equal(blind.model.actuator_biasprm, servos)
    blind.reset(seed=0)  # nominal again
