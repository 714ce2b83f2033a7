"""`python -m benchmarks.tasks`: control steps a second of every task on one core."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import gymnasium
import numpy as np

from benchmarks.collect import FLOOR, bare_step
from benchmarks.timing import Measurement, beside, clocked, in_turns, run, show
from goalsight.cli.errors import known_environments
from goalsight.errors import UserError

VIEWS: dict[str, dict[str, Any]] = {
    "no pictures": {"observe_pixels": False},
    "front camera": {},
    "front and wrist": {"cameras": ("front", "wrist")},
}
"""What an environment shows, and its settings for that."""


def tasks(*, size: int = 64, steps: int = 100, rounds: int = 5, json: bool = False) -> None:
    """Measure a control step of every task on one core, random actions, by what it shows.

    Args:
        size: height and width of the pictures [pixels].
        steps: control steps of a turn.
        rounds: turns of each, and of the floor: physics and a bare render of one camera.
        json: print JSON for a machine to read.

    Example:
        python -m benchmarks.tasks
    """
    found = measure_tasks(size=size, steps=steps, rounds=rounds)
    show([one for views in found.values() for one in views.values()], json=json)


def measure_tasks(
    *, size: int = 64, steps: int = 100, rounds: int = 5
) -> dict[str, dict[str, Measurement]]:
    """A control step of every task by its id and by `VIEWS`; arguments as those of `tasks`.

    Raises:
        UserError: if an argument is out of its range.
    """
    if steps < 1 or not 16 <= size <= 1024:
        raise UserError(f"steps must be at least 1 and size in [16, 1024], got {steps} and {size}")
    measured = {}
    for name in known_environments():
        with ExitStack() as opened:
            turns = {FLOOR: clocked(opened.enter_context(bare_step(name, size)), steps)}
            for view, settings in VIEWS.items():
                env = gymnasium.make(
                    name, size=size, max_episode_steps=-1, disable_env_checker=True, **settings
                )
                opened.callback(env.close)
                turns[view] = clocked(stepping(env), steps)
            found = in_turns(turns, rounds, what=f"Measuring {name}")
        least = found.pop(FLOOR)
        measured[name] = {
            view: beside(f"one control step: {name}, {view}, {size} px", timing, FLOOR, least)
            for view, timing in found.items()
        }
    return measured


def stepping(env: gymnasium.Env[Any, Any]) -> Callable[[], None]:
    """Takes one control step with a random action."""
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    low, high = env.action_space.low, env.action_space.high  # type: ignore[attr-defined]

    def step() -> None:
        env.step(rng.uniform(low, high).astype(np.float32))

    return step


if __name__ == "__main__":
    sys.exit(run(tasks, sys.argv[1:]))
