"""Makes the frozen pairs of the benchmark: `python -m goalsight.benchmark.make_manifests`.

Run once a version of a scene; the result is committed. Making it again on the same MuJoCo gives
the same pairs. Names given after the folder make only those manifests.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.benchmark.manifest import SCHEMA, Manifest, Pair, save_manifest
from goalsight.benchmark.tasks import task_of
from goalsight.environments import Env, make_env
from goalsight.errors import ManifestError
from goalsight.progress import Progress, silent
from goalsight_envs.policies import make_policy

AHEAD = 25
"""Control steps from start to goal in the `near` tier."""
EPISODE_STEPS = 100
"""Control steps of a play episode."""
EPISODES_PER_PAIR = 20
"""Episodes that are looked through for a pair before making a manifest is given up."""
BUDGETS = {"near": 50, "far": 150}
"""Tiers, and the control steps a row has for a pair of each."""

Drawn = tuple[Pair, NDArray[np.float64], NDArray[np.float64]]
"""A pair with the full solver states (S,) of its start and goal."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a manifest is made of."""

    name: str
    env: str
    """Gymnasium id."""
    pairs: int
    seed_base: int
    """Seed of the first episode; no dataset is collected from this range."""
    tier: str = "near"
    frameskip: int = 5
    """K of the models the tier was designed for."""
    level: str = ""
    """Shift level that the factors of each pair are drawn from; empty for nominal ones."""
    steps: int | None = None
    """Control steps a row has for a pair; None: as many as the tier gives."""

    def __post_init__(self) -> None:
        """Raises ValueError for a tier that does not exist."""
        if self.tier not in BUDGETS:
            raise ValueError(f"tier must be one of {', '.join(BUDGETS)}, got {self.tier!r}")

    @property
    def budget(self) -> int:
        """Control steps a row has for a pair."""
        return self.steps or BUDGETS[self.tier]


TASKS = {
    "reach": "Goalsight/Reach-v0",
    "push": "Goalsight/Push-v0",
    "grasp": "Goalsight/Grasp-v0",
    "pick-place": "Goalsight/PickPlace-v0",
    "drawer": "Goalsight/Drawer-v0",
    "stack": "Goalsight/Stack-v0",
    "scene": "Goalsight/Scene-v0",
}
NEAR = ("reach", "push", "grasp", "pick-place", "drawer")
"""Tasks with a `near` tier: 25 control steps are not enough to finish a stack or a tidy scene."""
SEEDS = {("near", ""): 1_000_000, ("near", "-dev"): 2_000_000}
SEEDS |= {("far", ""): 4_000_000, ("far", "-dev"): 5_000_000}
"""First seed by tier and use; the ranges of a task never meet."""
SHIFTED = {task: "near" if task in {"reach", "push"} else "far" for task in TASKS}
"""The tier of each task that the shift levels are shipped for."""
SHIFTED_SEEDS = {
    # The same starts and goals as without the shift: looks alone differ, row by row.
    "ood-visual": 0,
    # Another cube needs other states.
    "ood-physics": 5_000_000,
}
"""What a level adds to the first seed."""


def _recipe(task: str, tier: str, use: str, level: str = "") -> Recipe:
    return Recipe(
        name=f"{task}-{tier}{f'-{level}' if level else ''}{use}",
        env=TASKS[task],
        pairs=100 if use else 200,
        seed_base=SEEDS[tier, use] + (SHIFTED_SEEDS[level] if level else 0),
        tier=tier,
        level=level,
    )


USES = ("", "-dev")
RECIPES = (
    *(_recipe(task, "near", use) for task in NEAR for use in USES),
    *(_recipe(task, "far", use) for task in TASKS for use in USES),
    *(
        _recipe(task, tier, use, level)
        for level in SHIFTED_SEEDS
        for task, tier in SHIFTED.items()
        for use in USES
    ),
)
"""The manifests that are shipped in `configs/bench/`."""


def make_manifest(recipe: Recipe, progress: Progress = silent) -> Manifest:
    """Draw one pair from each of many held-out episodes, as the tier says.

    Args:
        recipe: what to make.
        progress: told how many pairs are drawn.

    Raises:
        ManifestError: if most episodes have no pair to offer.
    """
    import mujoco

    env = make_env(
        recipe.env,
        observe_pixels=False,
        draw_goals=recipe.tier == "far",
        factors=recipe.level or None,
    )
    task = task_of(env)
    draw = near_pairs if recipe.tier == "near" else far_pairs
    drawn: list[Drawn] = []
    most = EPISODES_PER_PAIR * (recipe.pairs + 1)
    for pair in islice(draw(env, recipe.seed_base, most), recipe.pairs):
        drawn.append(pair)
        progress(len(drawn), recipe.pairs)
    env.close()
    if len(drawn) < recipe.pairs:
        raise ManifestError(
            f"{recipe.env} gave {len(drawn)} of {recipe.pairs} {recipe.tier} pairs in "
            f"{EPISODES_PER_PAIR} episodes a pair: play seldom moves what is measured by "
            f"{task.min_displacement:g}"
        )
    pairs, starts, goals = zip(*drawn, strict=True)
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


def near_pairs(env: Env, seed_base: int, episodes: int) -> Iterator[Drawn]:
    """A state of a play episode and the one `AHEAD` control steps later, one an episode.

    Chosen at random among those of the episode whose goal shows the task done and which are
    further apart than the task's minimum displacement (so none is solved at its start); an episode
    without any is passed over.

    Args:
        env: the task.
        seed_base: seed of the first episode.
        episodes: how many to look through.
    """
    task = task_of(env)
    least = max(task.min_displacement, task.success_threshold)
    for episode in range(episodes):
        seed = seed_base + episode
        rng = np.random.default_rng([seed, 1])
        states, measured, factors = _play(env, seed, rng)
        apart = task.goal_distance(measured[AHEAD:], measured[:-AHEAD])
        shown = np.array([task.is_goal(goal) for goal in measured[AHEAD:]])
        possible = np.flatnonzero((apart > least) & shown)
        if possible.size == 0:
            continue
        step = int(rng.choice(possible))
        displacement = round(float(apart[step]), 6)
        pair = Pair(
            seed=seed, episode=episode, step=step, displacement=displacement, factors=factors
        )
        yield pair, states[step], states[step + AHEAD]


def far_pairs(env: Env, seed_base: int, episodes: int) -> Iterator[Drawn]:
    """A start and a goal drawn independently, a complete task, one an episode.

    States are rounded to single precision, which halves the file and moves nothing by more than a
    micrometre. A pair that is not further apart than the task's minimum displacement, or whose goal
    does not show the task done, is passed over.

    Args:
        env: the task.
        seed_base: seed of the first episode.
        episodes: how many to look through.
    """
    task = task_of(env)
    least = max(task.min_displacement, task.success_threshold)
    for episode in range(episodes):
        seed = seed_base + episode
        factors = _factors(env.reset(seed=seed)[1])
        start, goal = (
            state.astype(np.float32).astype(np.float64)
            for state in (task.solver_state(), task.goal_state)
        )
        options: dict[str, Any] = {"state": start, "goal_state": goal}
        options |= {"factors": factors} if factors else {}
        observation, info = env.reset(options=options)
        apart = float(info["distance"])
        if apart <= least or info["is_success"] or not task.is_goal(observation["desired_goal"]):
            continue
        pair = Pair(
            seed=seed, episode=episode, step=0, displacement=round(apart, 6), factors=factors
        )
        yield pair, start, goal


def _play(
    env: Env, seed: int, rng: np.random.Generator
) -> tuple[list[NDArray[np.float64]], NDArray[np.float64], dict[str, Any]]:
    """A play episode: full solver states (S,), what the task measures (T, G) [m], its factors."""
    observation, info = env.reset(seed=seed)
    policy = make_policy("play", env, rng)
    policy.reset()
    states, measured = [task_of(env).solver_state()], [observation["achieved_goal"]]
    for _ in range(EPISODE_STEPS):
        observation, *_ = env.step(policy.act())
        states.append(task_of(env).solver_state())
        measured.append(observation["achieved_goal"])
    return states, np.stack(measured), _factors(info)


def _factors(info: dict[str, Any]) -> dict[str, Any]:
    """The factors of an episode as JSON values."""
    values: dict[str, Any] = json.loads(json.dumps(info.get("factors", {})))
    return values


def main(folder: Path, names: tuple[str, ...] = ()) -> None:
    """Write shipped manifests into a folder, all of them unless some are named."""
    for recipe in RECIPES:
        if not names or recipe.name in names:
            path = save_manifest(make_manifest(recipe), folder)
            sys.stderr.write(f"wrote {path}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("configs/bench"), tuple(sys.argv[2:]))
