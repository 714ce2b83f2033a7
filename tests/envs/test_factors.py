"""Factors of variation: nothing by default, exactly what they say when asked for, gone after."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goalsight_envs import base
from goalsight_envs.arm import HOME
from goalsight_envs.base import ASSETS, ArmEnv
from goalsight_envs.factors import FACTORS, LEVELS, FactorError, factors_of

TASKS = ("Push", "Drawer", "Stack", "Scene")
"""One task for each scene that differs."""
OTHER: dict[str, Any] = {
    "cube.colour": (0.33, 0.9, 0.8),
    "drawer.colour": (0.8, 0.9, 0.8),
    "table.colour": (0.6, 0.3, 0.4),
    "table.texture": "checker",
    "background.colour": (0.0, 0.3, 0.2),
    "background.texture": "noise",
    "light.brightness": 0.6,
    "light.direction": (0.4, -0.3),
    "camera.shift": (0.02, 0.0, 0.03),
    "camera.turn": (0.03, 0.02, 0.0),
    "distractors.layout": 7,
    "distractors": 3,
    "cube.size": 0.025,
    "cube.mass": 0.2,
    "cube.friction": 0.2,
    "fingers.friction": 0.4,
    "arm.gain": 0.4,
    "arm.damping": 2.0,
    "drawer.friction": 3.0,
    "drawer.damping": 20.0,
}
"""A value of every factor that differs from the nominal one."""


def make(task: str, **settings: Any) -> ArmEnv:
    env = gymnasium.make(
        f"Goalsight/{task}-v0", size=32, disable_env_checker=True, **settings
    ).unwrapped
    assert isinstance(env, ArmEnv)
    return env


@pytest.fixture(scope="module", params=TASKS)
def scene(request: pytest.FixtureRequest) -> Any:
    env = make(request.param)
    yield env
    env.close()


@pytest.fixture(scope="module")
def push() -> Any:
    env = make("Push", observe_pixels=False)
    yield env
    env.close()


def numbers(model: mujoco.MjModel) -> dict[str, np.ndarray]:
    """Every array of a model."""
    found = {name: getattr(model, name) for name in dir(model) if not name.startswith("_")}
    arrays = {name: value.copy() for name, value in found.items() if isinstance(value, np.ndarray)}
    return arrays | {"meaninertia": np.array(model.stat.meaninertia)}


def film(env: ArmEnv, steps: int = 6, **reset: Any) -> list[bytes]:
    """Pictures and states of an episode with fixed actions, the goal first."""
    env.reset(**reset)
    seen = [env.goal_image().tobytes()]
    for action in np.random.default_rng(1).uniform(-1, 1, (steps, 4)).astype(np.float32):
        observation = env.step(action)[0]
        seen += [observation["pixels"].tobytes(), env.solver_state().tobytes()]
    return seen


@pytest.mark.parametrize("task", [*TASKS, "Grasp"])
def test_without_factors_pictures_and_states_are_those_of_a_scene_that_has_none(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frozen pairs and trained models: no bit may change because the scene could vary."""
    bare = Path(shutil.copytree(ASSETS, tmp_path / "assets"))
    (bare / "pieces/variation.xml").write_text("<mujoco><worldbody/></mujoco>")
    arm = bare / "pieces/arm.xml"
    arm.write_text(re.sub(r'<camera name="wrist".*?/>', "", arm.read_text(), flags=re.DOTALL))
    films = []
    for assets in (ASSETS, bare):
        monkeypatch.setattr(base, "ASSETS", assets)
        env = make(task)
        assert env.model.ncam == (3 if assets == ASSETS else 2)
        films.append(film(env, seed=3))
        env.close()
    assert films[0] == films[1]


def test_nominal_values_written_out_are_the_scene_as_it_is(scene: ArmEnv) -> None:
    before = numbers(scene.model)
    values = {name: factor.nominal for name, factor in factors_of(scene.model).items()}
    info = scene.reset(seed=0, options={"factors": values})[1]
    assert info["factors"] == values
    for name, array in numbers(scene.model).items():
        # The blue cube's saturation and value differ a little from the red one's.
        tolerance = 0.05 if name == "geom_rgba" else 2e-3
        np.testing.assert_allclose(array, before[name], 2e-3, tolerance, err_msg=name)


def test_after_factors_the_scene_is_as_before_to_the_bit(scene: ArmEnv) -> None:
    untouched = film(scene, seed=5)
    before = numbers(scene.model)
    every = {name: OTHER[name] for name in factors_of(scene.model)}
    assert film(scene, seed=5, options={"factors": every}) != untouched
    scene.reset(seed=5)
    for name, array in numbers(scene.model).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert film(scene, seed=5) == untouched


def test_looks_change_pictures_and_no_motion_and_mechanics_change_motion(scene: ArmEnv) -> None:
    """Each factor alone, against the same episode without it."""
    plain = film(scene, seed=2)
    for name, factor in factors_of(scene.model).items():
        changed = film(scene, seed=2, options={"factors": {name: OTHER[name]}})
        if name == "distractors.layout":  # says where they are, once there are any
            assert changed == plain
        elif factor.kind == "visual":
            assert changed[2::2] == plain[2::2], name
            assert all(a != b for a, b in zip(changed[1::2], plain[1::2], strict=True)), name


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("Grasp", name)
        for name, factor in FACTORS.items()
        if factor.kind == "physics" and factor.part != "handle"
    ]
    + [("Drawer", "drawer.friction"), ("Drawer", "drawer.damping")],
)
def test_mechanics_change_how_the_expert_fares(task: str, name: str) -> None:
    from goalsight_envs.policies import make_policy

    ends = []
    for factors in ({}, {name: OTHER[name]}):
        env = make(task, observe_pixels=False)
        env.reset(seed=4, options={"factors": factors})
        policy = make_policy("expert", env, np.random.default_rng(0))
        policy.reset()
        for _ in range(40):
            env.step(policy.act())
        ends.append(env.solver_state())
        env.close()
    assert not np.array_equal(ends[0], ends[1])


@pytest.mark.parametrize("level", list(LEVELS))
def test_a_level_draws_from_the_seed_and_leaves_starts_alone(level: str) -> None:
    env, plain = make("Stack", factors=level), make("Stack")
    draws = [env.reset(seed=seed)[1]["factors"] for seed in (1, 2, 1)]
    assert draws[0] == draws[2] != draws[1]
    assert set(draws[0]) == {name for name in LEVELS[level] if not name.startswith("drawer")}
    assert env.reset()[1]["factors"] != draws[0]
    if level == "ood-visual":
        env.reset(seed=1)
        plain.reset(seed=1)
        np.testing.assert_array_equal(env.solver_state(), plain.solver_state())
        np.testing.assert_array_equal(env.goal_state, plain.goal_state)
    assert plain.reset(seed=1)[1]["factors"] == {}
    env.close()
    plain.close()


@pytest.mark.parametrize("level", list(LEVELS))
def test_an_episode_is_repeated_from_its_states_and_factors(level: str) -> None:
    """What a manifest freezes is enough: another environment shows and does the same."""
    varied, plain = make("Scene", factors=level), make("Scene")
    info = varied.reset(seed=9)[1]
    options = {"state": varied.solver_state(), "goal_state": varied.goal_state.copy()}
    first = film(varied, options=options | {"factors": info["factors"]})
    assert film(plain, options=options | {"factors": info["factors"]}) == first
    varied.close()
    plain.close()


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(sorted(FACTORS)), seed=st.integers(0, 2**16))
def test_draws_stay_in_their_range_and_are_values_that_can_be(name: str, seed: int) -> None:
    factor = FACTORS[name]
    span: Any = factor.choices or [list(factor.low), list(factor.high)]
    if len(factor.low) == 1:
        span = [factor.low[0], factor.high[0]]
    value = factor.range_of(span).draw(np.random.default_rng(seed))
    assert factor.checked(value) == value
    assert factor.range_of(factor.nominal).draw(np.random.default_rng(seed)) == factor.nominal


def test_fixing_one_factor_leaves_the_draws_of_the_others() -> None:
    env = make("Push", factors="ood-physics", observe_pixels=False)
    drawn = env.reset(seed=3)[1]["factors"]
    fixed = env.reset(seed=3, options={"factors": {"cube.mass": 0.5}})[1]["factors"]
    assert fixed == drawn | {"cube.mass": 0.5}
    env.close()


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ("ood-visul", "no level 'ood-visul'; there are: mild, looks, ood-visual, ood-physics"),
        ({"cube.size": 0.5}, "factor cube.size is 0.02 to 0.037 m, got 0.5"),
        ({"cube.size": (0.03, 0.02)}, "the range (0.03, 0.02) ends below its beginning"),
        ({"cube.colour": (0.1, 0.2)}, "factor cube.colour is 3 numbers, 0 to 1, got (0.1, 0.2)"),
        ({"table.texture": "wood"}, "is one of plain, checker, gradient, noise, got 'wood'"),
        ({"cube.weight": 1}, "there is no factor 'cube.weight'; it has: cube.colour, table.colour"),
        ({"drawer.friction": 1}, "this scene has no part for factor 'drawer.friction'"),
        ({"cube.mass": float("nan")}, "factor cube.mass is 0.005 to 1 kg, got nan"),
    ],
)
def test_factors_that_cannot_be_are_refused_by_name(factors: Any, message: str) -> None:
    with pytest.raises(FactorError, match=re.escape(message)):
        make("Push", factors=factors)


BESIDE = 4
"""A layout that puts a box at the place nearest to the workspace."""
unit = st.floats(0, 1)


@settings(deadline=None, max_examples=50)
@given(
    share=st.tuples(unit, unit, unit),
    layout=st.integers(0, 9999),
    size=st.floats(0.02, 0.037),
    yaw=st.floats(0, 1.6),
)
@example(share=(0.0, 1.0, 0.0), layout=BESIDE, size=0.037, yaw=0.9)
@example(share=(0.0, 0.0, 0.0), layout=1, size=0.037, yaw=0.9)
def test_no_distractor_lies_where_the_arm_goes_or_a_cube_in_the_workspace(
    push: ArmEnv, share: tuple[float, float, float], layout: int, size: float, yaw: float
) -> None:
    model, arm, data = push.model, push.arm, mujoco.MjData(push.model)
    push.reset(
        options={"factors": {"distractors.layout": layout, "distractors": 4, "cube.size": size}}
    )
    swing = 0.02  # servos swing past the edge of the workspace by less
    tip = (arm.low - swing) + np.array(share) * (arm.high - arm.low + 2 * swing)
    data.qpos[arm.qpos] = arm.solve(tip, HOME, 40)
    data.qpos[arm.finger_qpos] = 0.04
    cube = arm.low + np.array(share) * (arm.high - arm.low)
    data.joint("cube").qpos[:] = [*cube[:2], size, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
    mujoco.mj_kinematics(model, data)
    apart = [
        mujoco.mj_geomDistance(model, data, part, model.geom(f"distractor{number}").id, 1.0, None)
        for part in np.flatnonzero(model.geom_bodyid)
        for number in range(4)
    ]
    assert min(apart) > 0.02


def test_a_larger_heavier_cube_is_what_the_compiler_would_have_made(
    tmp_path: Path, blind_task: Callable[[str], ArmEnv]
) -> None:
    """Sizes, bounds, inertia and what the solver derives from masses, against the XML itself."""
    env = blind_task("Stack")
    env.reset(seed=0, options={"factors": {"cube.size": 0.035, "cube.mass": 0.15}})
    assets = Path(shutil.copytree(ASSETS, tmp_path / "assets"))
    for piece in ("cube", "blue_cube"):
        path = assets / f"pieces/{piece}.xml"
        text = path.read_text().replace(
            'size="0.03 0.03 0.03" mass="0.06"', 'size="0.035 0.035 0.035" mass="0.15"'
        )
        path.write_text(text)
    compiled = mujoco.MjModel.from_xml_path(str(assets / "stack.xml"))
    wanted = numbers(compiled)
    for name, array in numbers(env.model).items():
        np.testing.assert_allclose(array, wanted[name], rtol=1e-6, atol=1e-9, err_msg=name)
    assert env.truth()["cube_pos"][2] == pytest.approx(0.035, abs=1e-3)


def test_a_redraw_changes_looks_within_an_episode_but_neither_motion_nor_mechanics() -> None:
    varied = {"cube.mass": (0.02, 0.2), "cube.colour": LEVELS["looks"]["cube.colour"]}
    still, restless = (make("Push", factors=varied, redraw=redraw) for redraw in (False, True))
    for env in (still, restless):
        env.reset(seed=4)
    masses, colours = [], []
    for action in np.random.default_rng(1).uniform(-1, 1, (6, 4)).astype(np.float32):
        for env in (still, restless):
            env.step(action)
        np.testing.assert_array_equal(still.solver_state(), restless.solver_state())
        masses.append(float(restless.model.body("cube").mass[0]))
        colours.append(tuple(restless.model.geom("cube").rgba))
    assert len(set(masses)) == 1
    assert len(set(colours)) == 6
    restless.close()
    still.close()
