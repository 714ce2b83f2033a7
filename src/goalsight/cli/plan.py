"""`goalsight plan`: one goal image or several, one episode, a film of what happened."""

from __future__ import annotations

import json as jsonlib
import re
from dataclasses import asdict, dataclass
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from goalsight.agent import Agent
    from goalsight.benchmark.tasks import Env

PLAN, VIDEO, FILMSTRIP, GOAL = "plan.json", "rollout.mp4", "filmstrip.png", "goal.png"
GOALS = r"goal(-\d+)?\.png"
"""Names of goal images: `goal.png`, or `goal-1.png` and so on where there are several."""


@dataclass
class Record:
    """What happened, step by step."""

    frames: list[NDArray[np.uint8]]
    actions: list[list[float]]
    distance_m: list[float]
    energy: list[float]
    latency_ms: list[float]
    goal_index: list[int]
    """Which goal image each action was for, from 0."""
    weights: dict[int, NDArray[np.float32]]
    """By goal, the (P,) weights of its patches; nothing where all count alike."""
    subgoals: list[dict[str, Any] | None]
    """What each decision aimed at, if the agent has a memory: a segment of it, or None for the
    goal itself."""


def plan(
    *,
    checkpoint: str,
    env: str,
    out: Path,
    seed: int = 0,
    goal: list[Path] | None = None,
    goal_region: str = "",
    steps: int = 50,
    device: str = "cpu",
    settings: str = "",
    memory: Path | None = None,
    json: bool = False,
) -> int:
    """Plan to a goal image, or to several one after the other, and film what happens.

    Writes plan.json (actions, energies, distances, latencies), rollout.mp4, filmstrip.png with
    the goal beside it, and goal.png. Of several goals the next one's turn comes when the one
    before is reached or out of reach (settings switch and patience).

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        env: Gymnasium id of the task, module:Id-v0 for one of another package.
        out: Folder for the results.
        seed: Of the start, of a goal drawn from the task, and of the search.
        goal: Picture of the goal; one is drawn from the task if none is given. Give it again for
            the next of several.
        goal_region: Part of the goal image that counts, x0,y0,x1,y1 in the model's pixels, or
            change for what differs from the first picture; needs a model with a token grid.
        steps: Control steps to act.
        device: Torch device to plan on.
        settings: Of the agent where they differ from the default, such as samples=100,delay=0.05.
        memory: File of `goalsight memory build`: the agent aims at sub-goals on recorded segments.
        json: Print plan.json instead of its summary.

    Returns:
        Exit status 0.

    Example:
        goalsight plan --checkpoint runs/demo/model --env Goalsight/Push-v0 --seed 3 --out runs/plan
    """
    from goalsight.agent import Agent
    from goalsight.agent.settings import agent_config
    from goalsight.benchmark.tasks import as_trained, make_env, task_of
    from goalsight.cli.goals import read_goals, with_region

    check_numbers(steps, seed)
    check_out(out)
    region, config = with_region(goal_region, agent_config(settings))
    agent = Agent.load(checkpoint, config=config, device=device, memory=memory)
    world = make_env(env := as_trained(env, agent.card), size=agent.image_size, observe_pixels=True)
    observation, _ = world.reset(seed=seed)
    check_fit(agent, world)
    pictures = read_goals(goal, agent.image_size) if goal else task_of(world).goal_image()[None]
    agent.reset(pictures, seed, region)
    record = run(agent, world, observation, steps)
    about: dict[str, Any] = {
        "env": env,
        "seed": seed,
        "checkpoint": {"name": agent.name, "sha256": agent.checkpoint_sha256},
        "region": region or config.cost.region,
    }
    result = about | _result(record, world, goal or [])
    write(out, result, record, pictures)
    world.close()
    print(jsonlib.dumps(result) if json else summary(out, result))
    return 0


def _result(record: Record, env: Env, goals: list[Path]) -> dict[str, Any]:
    """What happened, as JSON values."""
    from goalsight.benchmark.tasks import task_of

    task, names = task_of(env), [str(path) for path in goals]
    drawn = not names
    return {
        "goal": "drawn from the task" if drawn else names if len(names) > 1 else names[0],
        "goal_index": record.goal_index,
        "control_dt": task.control_dt,
        "actions": record.actions,
        "energy": record.energy,
        "latency_ms": record.latency_ms,
        "subgoals": record.subgoals,
        # Where the goal is known only as a picture, nobody can measure the distance to it.
        "distance_m": record.distance_m if drawn else None,
        "success": record.distance_m[-1] <= task.success_threshold if drawn else None,
    }


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
    distance, energy = float(np.linalg.norm(offset)), agent.energy(frames[0])
    record = Record(frames, [], [distance], [energy], [], [], {}, [])
    with delayed_bar("Acting", "steps") as progress:
        for step in range(steps):
            action = agent.act(observation["pixels"], observation["observation"])
            if agent.last_latency_s is not None:
                record.latency_ms.append(round(1e3 * agent.last_latency_s, 3))
                if agent.guide is not None:
                    segment = agent.guide.segment
                    record.subgoals.append(None if segment is None else asdict(segment))
            record.goal_index.append(agent.goal_index)
            if agent.patch_weights is not None:
                record.weights[agent.goal_index] = agent.patch_weights.cpu().numpy()
            observation, _, _, _, info = task.step(action)
            record.frames.append(observation["pixels"])
            record.actions.append([round(float(value), 6) for value in action])
            record.distance_m.append(round(float(info["distance"]), 6))
            record.energy.append(agent.energy(observation["pixels"]))
            progress(step + 1, steps)
    return record


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


def check_numbers(steps: int, seed: int) -> None:
    """Refuse numbers out of range.

    Raises:
        UserError: naming the flag.
    """
    from goalsight.errors import UserError

    if steps < 1:
        raise UserError(f"--steps must be at least 1, got {steps}")
    if seed < 0:
        raise UserError(f"--seed must be 0 or more, got {seed}")


def check_out(out: Path) -> None:
    """Refuse a folder that holds something a plan did not write.

    Raises:
        OutputError: naming what is there.
    """
    from goalsight.errors import OutputError

    if out.exists() and not out.is_dir():
        raise OutputError(f"--out {out} is a file; give a folder")
    found = {entry.name for entry in out.iterdir()} if out.is_dir() else set[str]()
    ours = {name for name in found if re.fullmatch(GOALS, name)} | {PLAN, VIDEO, FILMSTRIP}
    foreign = sorted(found - ours)
    if foreign:
        raise OutputError(
            f"--out {out} already holds something else ({foreign[0]}); give another folder"
        )


def write(
    out: Path,
    result: dict[str, Any],
    record: Record,
    goals: NDArray[np.uint8],
) -> None:
    """Write the files of a plan; plan.json last, it says that the others are whole."""
    from PIL import Image

    from goalsight.data.files import replace_json
    from goalsight.report.filmstrip import write_filmstrip
    from goalsight.report.video import write_video

    out.mkdir(parents=True, exist_ok=True)
    frames, control_dt = np.stack(record.frames), result["control_dt"]
    for number, goal in enumerate(goals, 1):
        Image.fromarray(goal).save(out / (GOAL if len(goals) == 1 else f"goal-{number}.png"))
    shown = np.stack([_shaded(goal, record.weights.get(i)) for i, goal in enumerate(goals)])
    beside = shown[[*record.goal_index, record.goal_index[-1]]]
    write_video(out / VIDEO, frames, 1.0 / control_dt, goal=beside)
    times = control_dt * np.arange(len(frames))
    write_filmstrip(out / FILMSTRIP, frames, shown, times.tolist())
    replace_json(out / PLAN, result)


def _shaded(goal: NDArray[np.uint8], weights: NDArray[np.float32] | None) -> NDArray[np.uint8]:
    """A goal image with what does not count of it in the dark."""
    from goalsight.report.pixels import shade

    if weights is None:
        return goal
    side = isqrt(len(weights))
    return shade(goal, weights.reshape(side, side))


def summary(out: Path, result: dict[str, Any]) -> str:
    """What happened, in a few lines for a person."""
    energy, latency = result["energy"], np.median(result["latency_ms"])
    lines = [f"energy    {energy[0]:.3f} -> {energy[-1]:.3f}"]
    if result["distance_m"] is not None:
        verdict = "success" if result["success"] else "not there"
        first, last = (100 * result["distance_m"][i] for i in (0, -1))
        lines.append(f"distance  {first:.1f} cm -> {last:.1f} cm ({verdict})")
    if isinstance(result["goal"], list):
        seen = result["goal_index"][-1] + 1
        lines.append(f"goals     at the end after number {seen} of {len(result['goal'])}")
    lines.append(f"decision  {latency:.0f} ms (median)")
    lines += [f"{name:<9} {out / file}" for name, file in (("film", VIDEO), ("strip", FILMSTRIP))]
    return "\n".join(lines)
