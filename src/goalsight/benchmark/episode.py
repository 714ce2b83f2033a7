"""One pair, one row: the loop that every number of `bench` and `plan` comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goalsight.benchmark.manifest import Manifest
from goalsight.benchmark.results import HOLD, Film, Outcome, stretches
from goalsight.benchmark.rows import Observation, Player
from goalsight.benchmark.tasks import task_of
from goalsight.environments import Env
from goalsight.errors import ManifestError

SAME = 1e-4
"""Largest difference in a pair's distance [m] that rounding between platforms explains."""
Watch = Callable[[Observation, NDArray[np.float32] | None], None]
"""Called with what is seen at the start and after every control step, and with the action (A,) that
led there, None at the start."""


def unwatched(observation: Observation, action: NDArray[np.float32] | None) -> None:
    """Watch nothing."""


def play_pair(
    env: Env,
    player: Player,
    manifest: Manifest,
    row: str,
    pair: int,
    *,
    seed: int,
    film_every: int,
    watch: Watch = unwatched,
) -> tuple[Outcome, Film]:
    """Play one pair to the end of its budget; success does not end it early.

    Args:
        env: an environment of the manifest's task.
        player: who plays.
        manifest: the frozen pairs.
        row: the player's name in the table.
        pair: which pair.
        seed: of the run; with `pair` it sets every random choice of the player.
        film_every: control steps between two pictures.
        watch: told what is seen and done.

    Raises:
        ManifestError: if the pair does not fit this environment.
    """
    start = _restore(env, manifest, pair)
    player.begin(env, np.random.SeedSequence([seed, pair]))
    return play_episode(
        env,
        player,
        start,
        row=row,
        pair=pair,
        budget=manifest.budget,
        film_every=film_every,
        watch=watch,
    )


def play_episode(
    env: Env,
    player: Player,
    start: tuple[Observation, dict[str, Any]],
    *,
    row: str,
    pair: int,
    budget: int,
    film_every: int,
    watch: Watch = unwatched,
) -> tuple[Outcome, Film]:
    """Play an episode that has begun; success does not end it early.

    Args:
        env: at the start, its goal set.
        player: who plays; it knows the goal.
        start: observation and info at the start.
        row: the player's name, for the outcome.
        pair: number of the pair, for the outcome.
        budget: control steps.
        film_every: control steps between two pictures.
        watch: told what is seen and done.
    """
    observation, info = start
    watch(observation, None)
    distances = [float(info["distance"])]
    inside: list[bool] = []
    latencies: list[float] = []
    frames, steps = [_picture(env, player, observation)], [0]
    for step in range(1, budget + 1):
        action = player.act(observation)
        if player.latency_s is not None:
            latencies.append(1e3 * player.latency_s)
        observation, _, _, _, info = env.step(action)
        watch(observation, action)
        distances.append(float(info["distance"]))
        inside.append(bool(info["is_success"]))
        if step % film_every == 0 or step == budget:
            frames.append(_picture(env, player, observation))
            steps.append(step)
    outcome = Outcome(
        row=row,
        pair=pair,
        terminal=all(inside[-HOLD:]),
        anytime=any(inside),
        distance_m=tuple(round(distance, 6) for distance in distances),
        latency_ms=tuple(round(latency, 3) for latency in latencies),
        evaluations_per_decision=player.evaluations_per_decision,
        inside=stretches(inside),
    )
    goal = task_of(env).goal_image()
    return outcome, Film(frames=np.stack(frames), steps=np.array(steps), goal=goal)


def check_task(manifest: Manifest, env: Env) -> None:
    """Refuse a manifest that was made for another version of its task.

    Raises:
        ManifestError: if threshold or solver state differ from the environment's.
    """
    task = task_of(env)
    if task.success_threshold != manifest.threshold:
        raise ManifestError(
            f"manifest {manifest.name} counts success within {manifest.threshold} m, "
            f"{manifest.env} within {task.success_threshold} m; make the manifest again"
        )
    size = task.solver_state().size
    if manifest.start.shape[1] != size:
        raise ManifestError(
            f"manifest {manifest.name} has states of {manifest.start.shape[1]} numbers, "
            f"{manifest.env} has {size}; make the manifest again"
        )


def _restore(env: Env, manifest: Manifest, pair: int) -> tuple[Observation, dict[str, Any]]:
    """Set factors, start and goal; their distance shows whether the scene is the same."""
    states = {"state": manifest.start[pair], "goal_state": manifest.goal[pair]}
    options: dict[str, Any] = dict(states)
    if manifest.pairs[pair].factors:
        options["factors"] = manifest.pairs[pair].factors
    try:
        observation, info = env.reset(seed=0, options=options)
    except ValueError as error:
        raise ManifestError(
            f"pair {pair} of manifest {manifest.name} does not fit {manifest.env}: {error}"
        ) from None
    expected, found = manifest.pairs[pair].displacement, float(info["distance"])
    if abs(expected - found) > SAME:
        raise ManifestError(
            f"pair {pair} of manifest {manifest.name} is {expected:.4f} m apart, here "
            f"{found:.4f} m; it was made for another version of {manifest.env}"
        )
    return observation, info


def _picture(env: Env, player: Player, observation: Observation) -> NDArray[np.uint8]:
    """(H, W, 3) what the camera sees, rendered once."""
    return observation["pixels"] if player.looks else task_of(env).render()
