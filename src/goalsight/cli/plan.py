"""`goalsight plan`: one goal image, one episode, a film of what happened."""

from __future__ import annotations

import json as jsonlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from goalsight.agent import Agent
    from goalsight.benchmark.tasks import Env

PLAN, VIDEO, FILMSTRIP, GOAL = "plan.json", "rollout.mp4", "filmstrip.png", "goal.png"


@dataclass
class Record:
    """What happened, step by step."""

    frames: list[NDArray[np.uint8]]
    actions: list[list[float]]
    distance_m: list[float]
    energy: list[float]
    latency_ms: list[float]


def plan(
    *,
    checkpoint: str,
    env: str,
    out: Path,
    seed: int = 0,
    goal: Path | None = None,
    steps: int = 50,
    device: str = "cpu",
    settings: str = "",
    json: bool = False,
) -> int:
    """Plan to one goal image and film what happens.

    Writes plan.json (actions, energies, distances, latencies), rollout.mp4, filmstrip.png with
    the goal beside it, and goal.png.

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        env: Gymnasium id of the task.
        out: Folder for the results.
        seed: Of the start, of a goal drawn from the task, and of the search.
        goal: Picture of the goal; one is drawn from the task if none is given.
        steps: Control steps to act.
        device: Torch device to plan on.
        settings: Of the agent where they differ from the default, such as samples=100,delay=0.05.
        json: Print plan.json instead of its summary.

    Returns:
        Exit status 0.

    Example:
        goalsight plan --checkpoint runs/demo/model --env Goalsight/Push-v0 --seed 3 --out runs/plan
    """
    from goalsight.agent import Agent
    from goalsight.benchmark.settings import agent_config
    from goalsight.benchmark.tasks import make_env, task_of
    from goalsight.errors import UserError

    if steps < 1:
        raise UserError(f"--steps must be at least 1, got {steps}")
    if seed < 0:
        raise UserError(f"--seed must be 0 or more, got {seed}")
    check_out(out)
    agent = Agent.load(checkpoint, config=agent_config(settings), device=device)
    world = make_env(env, size=agent.image_size, observe_pixels=True)
    observation, _ = world.reset(seed=seed)
    task = task_of(world)
    check_fit(agent, world)
    picture = task.goal_image() if goal is None else read_goal(goal, agent.image_size)
    agent.reset(picture, seed)
    record = run(agent, world, observation, steps)
    drawn = goal is None
    result = {
        "env": env,
        "checkpoint": {"name": agent.name, "sha256": agent.checkpoint_sha256},
        "seed": seed,
        "goal": "drawn from the task" if drawn else str(goal),
        "control_dt": task.control_dt,
        "actions": record.actions,
        "energy": record.energy,
        "latency_ms": record.latency_ms,
        # Where the goal is known only as a picture, nobody can measure the distance to it.
        "distance_m": record.distance_m if drawn else None,
        "success": record.distance_m[-1] <= task.success_threshold if drawn else None,
    }
    write(out, result, record, picture, task.control_dt)
    world.close()
    print(jsonlib.dumps(result) if json else summary(out, result))
    return 0


def run(agent: Agent, env: Env, observation: dict[str, NDArray[Any]], steps: int) -> Record:
    """Act for a number of control steps.

    Args:
        agent: with its goal set.
        env: freshly reset.
        observation: what `reset` returned.
        steps: control steps.
    """
    from goalsight.benchmark.tasks import task_of
    from goalsight.data.progress import delayed_bar

    task = task_of(env)
    offset = observation["achieved_goal"] - observation["desired_goal"]
    frames = [observation["pixels"]]
    record = Record(frames, [], [float(np.linalg.norm(offset))], [agent.energy(frames[0])], [])
    with delayed_bar("Acting", "steps") as progress:
        for step in range(steps):
            action = agent.act(observation["pixels"], observation["observation"])
            if agent.last_latency_s is not None:
                record.latency_ms.append(round(1e3 * agent.last_latency_s, 3))
            observation, _, _, _, info = task.step(action)
            record.frames.append(observation["pixels"])
            record.actions.append([round(float(value), 6) for value in action])
            record.distance_m.append(round(float(info["distance"]), 6))
            record.energy.append(agent.energy(observation["pixels"]))
            progress(step + 1, steps)
    return record


def read_goal(path: Path, size: int) -> NDArray[np.uint8]:
    """A goal image from a file.

    Args:
        path: of a picture in any format Pillow reads.
        size: height and width the model sees [pixels].

    Returns:
        (size, size, 3) uint8; resized and converted to RGB with a warning where needed.

    Raises:
        ImageError: if there is no such file or it is no picture.
    """
    from PIL import Image, UnidentifiedImageError

    from goalsight.errors import ImageError

    try:
        with Image.open(path) as opened:
            image: Image.Image = opened.copy()
    except FileNotFoundError:
        raise ImageError(f"no goal image at {path}; give the path of a picture") from None
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{path} cannot be read as a picture: {error}") from None
    if image.mode != "RGB":
        _warn(f"goal image is {image.mode}, converted to RGB")
        image = image.convert("RGB")
    if image.size != (size, size):
        _warn(f"goal image is {image.width}x{image.height}, resized to {size}x{size}")
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.array(image)  # writable: PyTorch warns of anything else


def check_fit(agent: Agent, env: Env) -> None:
    """Refuse a checkpoint that was trained for another robot.

    Raises:
        CheckpointError: if the widths of the actions differ.
    """
    from goalsight.errors import CheckpointError

    width = int(np.prod(env.action_space.shape or ()))
    if width != agent.action_dim:
        raise CheckpointError(
            f"checkpoint {agent.name} plans actions of {agent.action_dim} numbers, the "
            f"environment takes {width}; train on data of this robot"
        )


def check_out(out: Path) -> None:
    """Refuse a folder that holds something a plan did not write.

    Raises:
        OutputError: naming what is there.
    """
    from goalsight.errors import OutputError

    if out.exists() and not out.is_dir():
        raise OutputError(f"--out {out} is a file; give a folder")
    ours = {PLAN, VIDEO, FILMSTRIP, GOAL}
    foreign = sorted({entry.name for entry in out.iterdir()} - ours) if out.is_dir() else []
    if foreign:
        raise OutputError(
            f"--out {out} already holds something else ({foreign[0]}); give another folder"
        )


def write(
    out: Path,
    result: dict[str, Any],
    record: Record,
    goal: NDArray[np.uint8],
    control_dt: float,
) -> None:
    """Write the four files of a plan; plan.json last, it says that the others are whole."""
    from PIL import Image

    from goalsight.data.files import replace_json
    from goalsight.report.filmstrip import write_filmstrip
    from goalsight.report.video import write_video

    out.mkdir(parents=True, exist_ok=True)
    frames = np.stack(record.frames)
    Image.fromarray(goal).save(out / GOAL)
    write_video(out / VIDEO, frames, 1.0 / control_dt, goal=goal)
    times = control_dt * np.arange(len(frames))
    write_filmstrip(out / FILMSTRIP, frames, goal, times.tolist())
    replace_json(out / PLAN, result)


def summary(out: Path, result: dict[str, Any]) -> str:
    """What happened, in a few lines for a person."""
    energy, latency = result["energy"], np.median(result["latency_ms"])
    lines = [f"energy    {energy[0]:.3f} -> {energy[-1]:.3f}"]
    if result["distance_m"] is not None:
        verdict = "success" if result["success"] else "not there"
        first, last = (100 * result["distance_m"][i] for i in (0, -1))
        lines.append(f"distance  {first:.1f} cm -> {last:.1f} cm ({verdict})")
    lines.append(f"decision  {latency:.0f} ms (median)")
    lines += [f"{name:<9} {out / file}" for name, file in (("film", VIDEO), ("strip", FILMSTRIP))]
    return "\n".join(lines)


def _warn(text: str) -> None:
    print(f"goalsight: warning: {text}", file=sys.stderr)
