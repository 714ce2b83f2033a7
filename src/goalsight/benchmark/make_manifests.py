"""Makes the frozen pairs of the benchmark: `python -m goalsight.benchmark.make_manifests`.

Run once a version of the scene; the result is committed. Making it again on the same MuJoCo gives
the same files.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from goalsight.benchmark.manifest import SCHEMA, Manifest, Pair, save_manifest
from goalsight.benchmark.tasks import Env, make_env, task_of
from goalsight_envs.policies import make_policy

AHEAD = 25
"""Control steps from start to goal in the `near` tier."""
EPISODE_STEPS = 100
"""Control steps of a play episode."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a manifest is made of."""

    name: str
    env: str
    """Gymnasium id."""
    pairs: int
    seed_base: int
    """Seed of the first play episode; no dataset is collected from this range."""
    tier: str = "near"
    budget: int = 50
    """Control steps a row has for a pair."""
    frameskip: int = 5
    """K of the models the tier was designed for."""


BENCH_SEEDS, DEV_SEEDS = 1_000_000, 2_000_000
RECIPES = tuple(
    Recipe(name=name, env=env, pairs=pairs, seed_base=base)
    for env, task in (("Goalsight/Reach-v0", "reach"), ("Goalsight/Push-v0", "push"))
    for name, pairs, base in (
        (f"{task}-near", 200, BENCH_SEEDS),
        (f"{task}-near-dev", 100, DEV_SEEDS),
    )
)
"""The manifests that are shipped in `configs/bench/`."""


def make_manifest(recipe: Recipe) -> Manifest:
    """Draw one pair from each of many held-out play episodes.

    A pair is a state and the one `AHEAD` control steps later, chosen at random among those of its
    episode which are further apart than the task's minimum displacement (so none is solved at its
    start); an episode without any is passed over.

    Args:
        recipe: what to make.
    """
    import mujoco

    env = make_env(recipe.env, observe_pixels=False)
    task = task_of(env)
    least = max(task.min_displacement, task.success_threshold)
    pairs: list[Pair] = []
    starts: list[NDArray[np.float64]] = []
    goals: list[NDArray[np.float64]] = []
    for episode in count():
        seed = recipe.seed_base + episode
        rng = np.random.default_rng([seed, 1])
        states, positions = _play(env, seed, rng)
        apart = np.linalg.norm(positions[AHEAD:] - positions[:-AHEAD], axis=1)
        possible = np.flatnonzero(apart > least)
        if possible.size == 0:
            continue
        step = int(rng.choice(possible))
        displacement = round(float(apart[step]), 6)
        pairs.append(Pair(seed=seed, episode=episode, step=step, displacement=displacement))
        starts.append(states[step])
        goals.append(states[step + AHEAD])
        if len(pairs) == recipe.pairs:
            break
    env.close()
    return Manifest(
        name=recipe.name,
        schema=SCHEMA,
        env=recipe.env,
        tier=recipe.tier,
        budget=recipe.budget,
        frameskip=recipe.frameskip,
        mujoco=mujoco.__version__,
        threshold=task.success_threshold,
        min_displacement=task.min_displacement,
        pairs=tuple(pairs),
        start=np.stack(starts),
        goal=np.stack(goals),
    )


def _play(
    env: Env, seed: int, rng: np.random.Generator
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """A play episode: full solver states (S,), and the positions (T, 3) the task measures [m]."""
    observation, _ = env.reset(seed=seed)
    policy = make_policy("play", env, rng)
    policy.reset()
    states, positions = [task_of(env).solver_state()], [observation["achieved_goal"]]
    for _ in range(EPISODE_STEPS):
        observation, *_ = env.step(policy.act())
        states.append(task_of(env).solver_state())
        positions.append(observation["achieved_goal"])
    return states, np.stack(positions)


def main(folder: Path) -> None:
    """Write every shipped manifest into a folder."""
    for recipe in RECIPES:
        path = save_manifest(make_manifest(recipe), folder)
        sys.stderr.write(f"wrote {path}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("configs/bench"))
