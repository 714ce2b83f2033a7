"""`python -m benchmarks.collect`: control steps a second of one collecting process."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import gymnasium
import mujoco

from benchmarks.timing import beside, clocked, in_turns, run, show
from goalsight.data.collect import CollectConfig
from goalsight.data.collect import collect as record
from goalsight.errors import UserError
from goalsight_envs.base import ArmEnv
from goalsight_envs.foreign import is_foreign
from goalsight_envs.placing import substeps

FLOOR = "physics and bare render"


def collect(
    *,
    env: str = "Goalsight/Push-v0",
    size: int = 64,
    video: Literal["h264", "none"] = "h264",
    episodes: int = 20,
    rounds: int = 3,
    json: bool = False,
) -> None:
    """Measure a control step of one collecting process, beside physics and bare render.

    Args:
        env: id of the task.
        size: height and width of the frames [pixels].
        video: how frames are stored.
        episodes: episodes of 100 control steps to collect in a turn.
        rounds: turns.
        json: print JSON for a machine to read.

    Example:
        python -m benchmarks.collect --size 64 --episodes 10
    """
    if is_foreign(env):
        raise UserError(f"the floor of {env} is not known; give one of goalsight's tasks")

    def record_some() -> float:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "data"
            summary = record(
                CollectConfig(env=env, episodes=episodes, out=out, size=size, video=video)
            )
        return summary.seconds / max(summary.steps, 1)

    with bare_step(env, size) as step:
        turns = {"collect": record_some, "floor": clocked(step, 200)}
        found = in_turns(turns, rounds, warm_up=0)
    what = f"one control step of collection: {env}, play, {size} px, {video}"
    show([beside(what, found["collect"], FLOOR, found["floor"])], json=json)


@contextmanager
def bare_step(env_id: str, size: int) -> Iterator[Callable[[], None]]:
    """MuJoCo's own work in one control step: substeps of the physics and one bare picture."""
    env = gymnasium.make(env_id, size=size, disable_env_checker=True)
    env.reset(seed=0)
    inner = env.unwrapped
    assert isinstance(inner, ArmEnv)
    substep = substeps(inner.model)
    with mujoco.Renderer(inner.model, size, size) as renderer:

        def step() -> None:
            mujoco.mj_step(inner.model, inner.data, nstep=substep)
            renderer.update_scene(inner.data, inner.camera)
            renderer.render()

        yield step
    env.close()


if __name__ == "__main__":
    sys.exit(run(collect, sys.argv[1:]))
