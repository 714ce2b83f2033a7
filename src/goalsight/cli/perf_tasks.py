"""`goalsight perf tasks`: control steps a second of every task on one core."""

from __future__ import annotations

import json as jsonlib
import time
from dataclasses import asdict, dataclass
from typing import Any

from goalsight.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TaskSpeed:
    """How fast one task steps."""

    env: str
    """Gymnasium id."""
    blind: float
    """Control steps a second without pictures."""
    seen: float
    """With a picture of the front camera a step."""
    both: float
    """With one of the front and one of the wrist camera."""


def tasks(*, size: int = 64, steps: int = 300, json: bool = False) -> None:
    """Measure control steps a second of every task on one core, random actions.

    Args:
        size: height and width of the pictures [pixels].
        steps: control steps to time for each number.
        json: print JSON for a machine to read.

    Raises:
        UserError: if an argument is out of its range.

    Example:
        goalsight perf tasks
    """
    from goalsight.cli.errors import known_environments
    from goalsight.data.progress import delayed_bar
    from goalsight.provenance import hardware

    if steps < 1 or not 16 <= size <= 1024:
        raise UserError(f"steps must be at least 1 and size in [16, 1024], got {steps} and {size}")
    names, found = known_environments(), []
    with delayed_bar("Measuring", "tasks") as progress:
        for number, name in enumerate(names, start=1):
            found.append(
                TaskSpeed(
                    env=name,
                    blind=_rate(name, size, steps, observe_pixels=False),
                    seen=_rate(name, size, steps),
                    both=_rate(name, size, steps, cameras=("front", "wrist")),
                )
            )
            progress(number, len(names))
    if json:
        speeds = [asdict(speed) for speed in found]
        print(jsonlib.dumps({"hardware": hardware(), "size": size, "tasks": speeds}, indent=2))
        return
    print(f"control steps/s on one core, {size} px, random actions; {hardware()}")
    print(f"{'':24}{'no pictures':>12}{'front':>8}{'+ wrist':>9}")
    for speed in found:
        print(f"{speed.env:24}{speed.blind:12.0f}{speed.seen:8.0f}{speed.both:9.0f}")


def _rate(name: str, size: int, steps: int, **settings: Any) -> float:  # noqa: ANN401 (of the env)
    """Control steps a second, resets left out."""
    import gymnasium
    import numpy as np

    env = gymnasium.make(
        name, size=size, max_episode_steps=-1, disable_env_checker=True, **settings
    )
    rng, took = np.random.default_rng(0), 0.0
    for step in range(steps + 10):
        if step % 100 == 0:
            env.reset(seed=step)
        action = rng.uniform(-1.0, 1.0, 4).astype(np.float32)
        began = time.perf_counter()
        env.step(action)
        if step >= 10:  # the first ones also set things up
            took += time.perf_counter() - began
    env.close()
    return steps / took
