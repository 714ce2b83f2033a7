"""`goalsight perf collect`, and what it shares with `goalsight perf plan`: a loop and its floor.

A benchmark, not a test: a number means something beside its floor, on a machine that does nothing
else.
"""

from __future__ import annotations

import json as jsonlib
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from goalsight.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One inner loop and what it cannot be faster than."""

    what: str
    """What was measured, with its settings."""
    milliseconds: float
    """Median time of one turn of the loop."""
    floor: str
    """What the floor consists of."""
    floor_milliseconds: float
    """Median time of the floor's turn."""
    hardware: str
    """Where."""

    @property
    def overhead(self) -> float:
        """How many times the floor the loop takes."""
        return self.milliseconds / self.floor_milliseconds


def collect(
    *,
    env: str = "Goalsight/Push-v0",
    size: int = 64,
    video: Literal["h264", "none"] = "h264",
    episodes: int = 20,
    json: bool = False,
) -> None:
    """Measure control steps a second of one collecting process, beside physics and bare render.

    Args:
        env: id of the task.
        size: height and width of the frames [pixels].
        video: how frames are stored.
        episodes: episodes of 100 control steps to collect.
        json: print JSON for a machine to read.

    Example:
        goalsight perf collect --size 64 --episodes 10
    """
    from goalsight.data.collect import CollectConfig
    from goalsight.data.collect import collect as run
    from goalsight.provenance import hardware
    from goalsight_envs.foreign import is_foreign

    if is_foreign(env):
        raise UserError(f"the floor of {env} is not known; perf collect is for goalsight's tasks")
    with tempfile.TemporaryDirectory() as folder:
        config = CollectConfig(
            env=env, episodes=episodes, out=Path(folder) / "data", size=size, video=video
        )
        summary = run(config)
    measurement = Measurement(
        what=f"one control step of collection: {env}, play, {size} px, {video}",
        milliseconds=1e3 * summary.seconds / max(summary.steps, 1),
        floor="physics and bare render",
        floor_milliseconds=_simulation_floor(env, size),
        hardware=hardware(),
    )
    print_measurement(measurement, json, unit="control steps/s")


def _simulation_floor(env_id: str, size: int, steps: int = 200) -> float:
    """Milliseconds of MuJoCo's own work in one control step: substeps and one bare picture."""
    import gymnasium
    import mujoco

    from goalsight_envs.base import ArmEnv
    from goalsight_envs.placing import substeps

    env = gymnasium.make(env_id, size=size, disable_env_checker=True)
    env.reset(seed=0)
    inner = env.unwrapped
    assert isinstance(inner, ArmEnv)
    nstep = substeps(inner.model)
    with mujoco.Renderer(inner.model, size, size) as renderer:

        def step() -> None:
            mujoco.mj_step(inner.model, inner.data, nstep=nstep)
            renderer.update_scene(inner.data, inner.camera)
            renderer.render()

        milliseconds = median_ms(step, steps, "cpu")
    env.close()
    return milliseconds


def median_ms(turn: Callable[[], None], times: int, device: str) -> float:
    """Median milliseconds of a function, after three turns to warm up."""
    took = []
    for number in range(times + 3):
        began = time.perf_counter()
        turn()
        if device.startswith("cuda"):
            import torch

            torch.cuda.synchronize()
        if number >= 3:
            took.append(time.perf_counter() - began)
    return statistics.median(took) * 1e3


def print_measurement(measurement: Measurement, json: bool, unit: str) -> None:
    """For a machine or for a person."""
    if json:
        print(jsonlib.dumps(asdict(measurement) | {"overhead": measurement.overhead}, indent=2))
        return
    for what, milliseconds in (
        (measurement.what, measurement.milliseconds),
        (f"floor: {measurement.floor}", measurement.floor_milliseconds),
    ):
        print(f"{milliseconds:9.2f} ms  {1e3 / milliseconds:8.0f} {unit}  {what}")
    print(f"{measurement.overhead:9.1f} times the floor; {measurement.hardware}")
