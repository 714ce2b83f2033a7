"""What play is made of: each script yields one move after another until it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from goalsight_envs import cabinet
from goalsight_envs.base import ArmEnv, Array
from goalsight_envs.policies import skills
from goalsight_envs.policies.motion import push_waypoint
from goalsight_envs.policies.skills import Move

Script = Callable[[ArmEnv, np.random.Generator], Iterator[Move]]


def repeat(skill: Callable[[], Move | None], steps: int) -> Iterator[Move]:
    """What a skill says, until it is done or for so many control steps."""
    for _ in range(steps):
        move = skill()
        if move is None:
            return
        yield move


def stay(env: ArmEnv, steps: int, gripper: float = 0.0) -> Iterator[Move]:
    """Hold still for some control steps."""
    there = env.arm.commanded(env.data)
    for _ in range(steps):
        yield Move(there, gripper)


def follow(env: ArmEnv, plan: Callable[[ArmEnv], Move | None], hold: int) -> Iterator[Move]:
    """An expert's plan to its end, then hold what was reached."""
    while (move := plan(env)) is not None:
        yield move
    yield from stay(env, hold)


def somewhere(env: ArmEnv, rng: np.random.Generator, margin: float = 0.03) -> Array:
    """(2,) a place on the table; in a scene with a cabinet, often one in its drawer [m]."""
    low, high = env.arm.low[:2] + margin, env.arm.high[:2] - margin
    if env.drawer:
        if rng.random() < 0.5 and cabinet.opening(env.data) > cabinet.ROOM:
            return cabinet.middle(env.data)[:2] + rng.normal(0.0, 0.01, 2)
        low = np.array([low[0], 0.05])
    return rng.uniform(low, high)


def higher(env: ArmEnv, by: float) -> Array:
    """(3,) a fingertip position straight above the present one, inside the workspace [m]."""
    above = np.add(env.arm.fingertip(env.data), [0.0, 0.0, by])
    return np.asarray(np.minimum(above, env.arm.high))


def some_cube(env: ArmEnv, rng: np.random.Generator) -> str:
    """One of the scene's cubes; of those stacked, the upper."""
    heights = [float(env.data.body(name).xpos[2]) for name in env.cubes]
    if max(heights) > 2 * env.cube_rest:
        return env.cubes[int(np.argmax(heights))]
    return str(rng.choice(env.cubes))


def wander(env: ArmEnv, rng: np.random.Generator) -> Iterator[Move]:
    """A random waypoint; the fingers open, close or stay as they are."""
    target = rng.uniform(env.arm.low, env.arm.high)
    if env.drawer and target[1] < 0.05:
        target[2] = max(target[2], cabinet.OVER)
    gripper = float(rng.choice([-0.7, 0.0, 0.7], p=[0.3, 0.5, 0.2]))
    for _ in range(int(rng.integers(8, 25))):
        yield Move(target, gripper)


def push(env: ArmEnv, rng: np.random.Generator) -> Iterator[Move]:
    """Shove a cube along the table with the closed hand."""
    name, target = some_cube(env, rng), somewhere(env, rng)
    if env.data.body(name).xpos[2] > env.cube_rest + 0.005:  # in the drawer or on the other cube
        return
    for _ in range(40):
        waypoint = push_waypoint(env, target, name=name)
        if waypoint is None:
            return
        yield Move(waypoint, -0.7)


def take(env: ArmEnv, name: str, offset: Array | None = None) -> Iterator[Move]:
    """Grasp a cube, with an error (2,) [m] if one is given."""
    yield from repeat(lambda: skills.grasp(env, name, offset), 45)


def carry(env: ArmEnv, rng: np.random.Generator) -> Iterator[Move]:
    """Take a cube, lift it, carry it somewhere, and drop it, put it down, or keep it."""
    name = some_cube(env, rng)
    yield from take(env, name)
    if not skills.holding(env, name):
        return
    lowest = env.cube_rest + 0.005
    height = rng.uniform(lowest, 0.16)
    target = np.array([*somewhere(env, rng), height])
    yield from repeat(lambda: skills.carry(env, name, target), 30)
    end = rng.choice(["drop", "put down", "keep"], p=[0.25, 0.5, 0.25])
    if end == "keep":
        yield from stay(env, int(rng.integers(5, 15)))
        return
    if end == "put down":
        down = np.array([*target[:2], lowest + (cabinet.FLOOR if env.drawer else 0.0)])
        yield from repeat(lambda: skills.carry(env, name, down), 12)
    yield from repeat(lambda: skills.let_go(env), 8)
    above = higher(env, rng.uniform(0.05, 0.12))
    yield from repeat(lambda: skills.leave(env, above), 8)


def miss(env: ArmEnv, rng: np.random.Generator) -> Iterator[Move]:
    """Grasp beside the cube, lift what is not there, then mostly try again without the error."""
    name = some_cube(env, rng)
    offset = rng.normal(0.0, 0.025, 2)
    yield from repeat(lambda: skills.grasp(env, name, offset), 25)
    up = higher(env, 0.08)
    for _ in range(5):
        yield Move(up, -1.0)
    if rng.random() < 0.7:
        yield from take(env, name)


def recover(env: ArmEnv, rng: np.random.Generator) -> Iterator[Move]:
    """Go to where a policy that fails stands still, near a cube and not quite on it; then grasp."""
    name = some_cube(env, rng)
    cube = np.array(env.data.body(name).xpos)
    offset = np.array([*rng.normal(0.0, 0.02, 2), rng.uniform(0.035, 0.09)])
    stuck = np.clip(cube + offset, env.arm.low, env.arm.high)
    gripper = float(rng.choice([-1.0, 1.0], p=[0.3, 0.7]))
    height = skills.cruise(env)
    for _ in range(25):
        if np.abs(env.arm.fingertip(env.data) - stuck).max() < 0.012:
            break
        yield Move(skills.over(env, stuck, height), gripper)
    yield from stay(env, int(rng.integers(0, 6)))
    yield from take(env, name)
    up = higher(env, rng.uniform(0.04, 0.1))
    for _ in range(6):
        yield Move(up, -1.0)


def drawer(env: ArmEnv, rng: np.random.Generator) -> Iterator[Move]:
    """Take the handle and pull or push it somewhere, or shove it with the closed hand."""
    if rng.random() < 0.6:
        for opening in rng.uniform(0.0, cabinet.TRAVEL, int(rng.integers(1, 5))):
            yield from repeat(partial(skills.set_drawer, env, float(opening)), 30)
        yield from repeat(lambda: skills.let_go(env), int(rng.integers(0, 8)))
        return
    side = (
        1.0 if rng.random() < 0.6 else -1.0
    )  # from outside, to shut it, or from behind the handle
    beside = np.add(cabinet.handle(env.data), [rng.normal(0.0, 0.012), 0.05 * side, 0.0])
    beside[2] = cabinet.GRIP
    yield from repeat(lambda: _reach(env, beside), 25)
    through = np.subtract(beside, [0.0, rng.uniform(0.05, 0.18) * side, 0.0])
    for _ in range(15):
        yield Move(through, -0.7)


def stack(env: ArmEnv, rng: np.random.Generator) -> Iterator[Move]:
    """Put one cube on another; sometimes so far off that it falls."""
    upper = some_cube(env, rng)
    lower = next(name for name in env.cubes if name != upper)
    yield from take(env, upper)
    if not skills.holding(env, upper):
        return
    error = rng.normal(0.0, 0.01, 2) * (1.0 if rng.random() < 0.7 else 2.5)
    top = np.add(env.data.body(lower).xpos, [*error, 2 * env.cube_rest + 0.004])
    yield from repeat(lambda: skills.carry(env, upper, top), 35)
    yield from repeat(lambda: skills.let_go(env), 8)
    above = higher(env, 0.08)
    yield from repeat(lambda: skills.leave(env, above), 8)


def _reach(env: ArmEnv, target: Array) -> Move | None:
    if np.abs(env.arm.fingertip(env.data) - target).max() < 0.012:
        return None
    return Move(skills.over(env, target, cabinet.OVER), -0.7)


SCRIPTS: dict[str, Script] = {
    "wander": wander,
    "push": push,
    "carry": carry,
    "miss": miss,
    "recover": recover,
    "drawer": drawer,
    "stack": stack,
}
"""Every script by its name in `Mix`; `expert` is the task's own, see `follow`."""


def for_scene(env: ArmEnv) -> list[str]:
    """Names of the scripts that the scene has the objects for, in a fixed order."""
    names = ["wander", "expert"]
    names += ["push", "carry", "miss", "recover"] if env.cubes else []
    names += ["drawer"] if env.drawer else []
    names += ["stack"] if len(env.cubes) > 1 else []
    return names
