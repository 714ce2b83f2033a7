"""`goalsight collect`: the command line of `goalsight.collect`."""

from __future__ import annotations

import json as jsonlib
import statistics
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from goalsight.errors import UserError

if TYPE_CHECKING:
    from goalsight.data.collect import CollectSummary

PICTURES = 20
"""Pictures that are timed."""


def collect(
    *,
    env: str,
    episodes: int,
    out: Path,
    policy: str = "play",
    mix: str | None = None,
    checkpoint: str | None = None,
    settings: str = "",
    memory: Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    size: int = 64,
    steps: int = 100,
    video: Literal["h264", "none"] = "h264",
    cameras: str = "",
    factors: str = "",
    redraw: bool = False,
    fast_render: bool = False,
    json: bool = False,
) -> int:
    r"""Roll a policy out and write a LeRobot v3 dataset.

    Run again it appends; Ctrl-C leaves a whole dataset. Episode i depends on seed and i alone.

    Args:
        env: Gymnasium id; `goalsight envs` lists ours, any other is `module:Id-v0`.
        episodes: Episodes the dataset shall have in the end.
        out: Folder of the dataset.
        policy: play, random, expert, agent, correct (expert after agent) or module:function.
        mix: Several policies instead of one: a name in configs/collect, or a YAML file of yours.
        checkpoint: Of the agent: a checkpoint, a training run, or a shipped name.
        settings: Of the agent where they differ from the checkpoint's own, such as samples=100.
        memory: Of the agent: file of `goalsight memory build` to take sub-goals from.
        device: PyTorch device the agent plans on; auto is a GPU where there is one.
        workers: Processes that roll out; one per core by default.
        seed: Of everything random.
        size: Height and width of the frames [pixels].
        steps: Control steps per episode.
        video: h264 writes an mp4 per episode; none keeps decoded frames only (larger).
        cameras: What is recorded, such as front,wrist, the main camera first.
        factors: What varies: a level such as mild, or a YAML file, see `goalsight envs --factors`.
        redraw: Let looks vary from one control step to the next, so that no model can predict them.
        fast_render: Draw a foreign MuJoCo model without shadows, and say what it saves.
        json: Print the summary as JSON.

    Returns:
        Exit status: 0. After Ctrl-C it is 130.

    Raises:
        UserError: if an argument is out of its range.

    Example:
        goalsight collect --env Goalsight/Push-v0 --episodes 600 --out runs/push-data --workers 2
        goalsight collect --env Goalsight/Push-v0 --episodes 100 --out runs/own \
          --policy agent --checkpoint runs/push
    """
    from goalsight.collecting import collect as run

    run(
        faster(env, size) if fast_render else env,
        episodes=episodes,
        out=out,
        policy=policy,
        mix=mix,
        checkpoint=checkpoint,
        settings=settings,
        memory=memory,
        device=device,
        workers=workers,
        seed=seed,
        size=size,
        steps=steps,
        video=video,
        cameras=cameras,
        factors=factors,
        redraw=redraw,
        done=lambda done: print(jsonlib.dumps(_as_json(done)) if json else _in_words(done)),
    )
    return 0


def _in_words(summary: CollectSummary) -> str:
    """One or two lines for a person."""
    added = summary.episodes - summary.kept
    there = f", {summary.kept} were there before" if summary.kept else ""
    if not summary.episodes:
        return f"no episode was finished; {summary.path} holds no dataset yet"
    line = f"{summary.path}: {summary.episodes} episodes, {summary.frames} frames"
    if not added:
        return f"{line}; all of them were there before"
    rate = f"{summary.steps_per_second:.0f} control steps/s"
    return f"{line} ({added} new{there}; {summary.seconds:.1f} s, {rate})"


def _as_json(summary: CollectSummary) -> dict[str, object]:
    rate = round(summary.steps_per_second, 1)
    return {**asdict(summary), "path": str(summary.path), "steps_per_second": rate}


def faster(env_id: str, size: int) -> str:
    """The id with `fast_render` behind it; says on stderr what that gains.

    Args:
        env_id: of an environment of another package.
        size: height and width of the pictures [pixels].

    Raises:
        UserError: if it is one of goalsight's own, which are drawn fast already.
        WrapError: if it cannot be wrapped.
    """
    from goalsight_envs.foreign import add_setting, is_foreign

    if not is_foreign(env_id):
        raise UserError(f"{env_id} is drawn fast already; leave out --fast-render")
    fast = add_setting(env_id, "fast_render=true")
    slow_ms, fast_ms = (picture_ms(name, size) for name in (env_id, fast))
    print(
        f"goalsight: a picture takes {fast_ms:.1f} ms instead of {slow_ms:.1f} ms "
        f"({slow_ms / fast_ms:.1f} times as fast)",
        file=sys.stderr,
    )
    return fast


def picture_ms(env_id: str, size: int) -> float:
    """Median milliseconds of a picture of an environment, after two to warm up."""
    from goalsight_envs.foreign import wrap

    env = wrap(env_id, size=size, observe_pixels=False, draw_goals=False)
    env.reset(seed=0)
    took = []
    for _ in range(PICTURES + 2):
        began = time.perf_counter()
        env.render()
        took.append(1e3 * (time.perf_counter() - began))
    env.close()
    return statistics.median(took[2:])
