"""`goalsight plan`: one goal image or several, one episode of the benchmark, a film of it."""

from __future__ import annotations

import json as jsonlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from goalsight.environments import Env, task_of
from goalsight.report.pixels import Frames, with_inset

if TYPE_CHECKING:
    from goalsight.agent import Agent
    from goalsight.benchmark import Film, Manifest, Outcome
    from goalsight.environments import Env
    from goalsight.policy import Observation
    from goalsight_envs.cameras import Overview


def read_goals(paths: Sequence[Path], size: int) -> NDArray[np.uint8]:
    """Goal images from files, (G, size, size, 3); each as `read_goal`."""
    return np.stack([read_goal(path, size) for path in paths])


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


def _warn(text: str) -> None:
    print(f"goalsight: warning: {text}", file=sys.stderr)


SIDE = 384
"""Height and width of a picture for people [pixels]."""


class Stage:
    """Draws an episode of the arm scene for people; nothing of it reaches the agent."""

    def __init__(self, world: Env) -> None:
        """Draw this environment; the GL context is made with the first picture."""
        self._task = task_of(world)
        self._overview: Overview | None = None

    def now(self, seen: Frames) -> Frames:
        """(384, 384, 3) the scene as it is, `seen` (H, W, 3) in the corner."""
        return with_inset(self._eye().see(self._task.data), seen)

    def goal(self, shown: Frames) -> Frames:
        """(384, 384, 3) the goal state, the goal image `shown` (H, W, 3) in the corner."""
        return with_inset(self._eye().see(self._task.goal_data), shown)

    def close(self) -> None:
        """Free the GL context."""
        if self._overview is not None:
            self._overview.close()

    def _eye(self) -> Overview:
        from goalsight_envs.cameras import Overview

        if self._overview is None:  # after the reset: textures are uploaded as they are then
            self._overview = Overview(self._task.model, SIDE)
        return self._overview


def stage_of(world: Env) -> Stage | None:
    """The stage of a task of the arm scene; None for an environment of another package."""
    from goalsight_envs.base import ArmEnv

    return Stage(world) if isinstance(world.unwrapped, ArmEnv) else None


PLAN, VIDEO, FILMSTRIP, GOAL = "plan.json", "rollout.mp4", "filmstrip.png", "goal.png"
GOALS = r"goal(-\d+)?\.png"
"""Names of goal images: `goal.png`, or `goal-1.png` and so on where there are several."""
STEPS = 50
"""Control steps to act by default."""


class Recorder:
    """What a plan keeps of an episode besides its outcome and its film, step by step."""

    def __init__(
        self, agent: Agent, progress: Callable[[int], None], stage: Stage | None = None
    ) -> None:
        """Record an agent that is about to be given its goal; progress is told each step."""
        self._agent, self._progress, self._stage = agent, progress, stage
        self.actions: list[list[float]] = []
        self.energy: list[float] = []
        """Of every picture, the start's first."""
        self.goal_index: list[int] = []
        """Which goal image each action was for, from 0."""
        self.shown: list[NDArray[np.uint8]] = []
        """Pictures for people, the start's first; none where the agent's view is all there is."""
        self.subgoals: list[dict[str, Any] | None] = []
        """What each decision aimed at, if the agent has a memory: a segment of it, or None for the
        goal itself."""

    def __call__(self, observation: Observation, action: NDArray[np.float32] | None) -> None:
        """Take down a control step; see `goalsight.benchmark.run.Watch`."""
        agent = self._agent
        if action is not None:
            if agent.last_latency_s is not None and agent.memory_sha256 is not None:
                segment = agent.segment
                self.subgoals.append(None if segment is None else asdict(segment))
            self.goal_index.append(agent.goal_index)
            self.actions.append([round(float(value), 6) for value in action])
            self._progress(len(self.actions))
        self.energy.append(agent.energy(observation["pixels"]))
        if self._stage is not None:
            self.shown.append(self._stage.now(observation["pixels"]))


def plan(
    *,
    checkpoint: str,
    out: Path,
    env: str | None = None,
    manifest: str | None = None,
    pair: int | None = None,
    seed: int = 0,
    goal: list[Path] | None = None,
    steps: int | None = None,
    device: str = "auto",
    settings: str = "",
    memory: Path | None = None,
    json: bool = False,
) -> int:
    """Plan to a goal image, or to several one after the other, and film what happens.

    It plays one pair as `goalsight bench` does, with the same verdicts: of a task, drawn from the
    seed, or with --manifest and --pair the frozen one, as the row agent. Writes plan.json
    (actions, energies, distances, latencies; success is the terminal one, held for the last 5
    control steps), rollout.mp4 and filmstrip.png, drawn for people with the agent's own view in the
    corner and the goal beside it, and goal.png. Of several goals the next one's turn comes when the
    one before is reached or out of reach (settings sequence.switch and sequence.patience).

    Args:
        checkpoint: Folder of a checkpoint or of a training run, or the name of a shipped one.
        env: Gymnasium id of the task, module:Id-v0 for one of another package.
        manifest: Instead of a task: name of a shipped manifest such as push-near, or a manifest's
            JSON file.
        pair: Which pair of the manifest, from 0.
        out: Folder for the results.
        seed: Of the start, of a goal drawn from the task, and of the search.
        goal: Picture of the goal; one is drawn from the task if none is given. Give it again for
            the next of several.
        steps: Control steps to act, 50 by default; of a pair, its budget.
        device: PyTorch device to plan on; auto is a GPU where there is one.
        settings: Of the agent where they differ from the checkpoint's own, such as mode=actor.
        memory: File of `goalsight memory build`: the agent aims at sub-goals on recorded segments.
        json: Print plan.json instead of its summary.

    Returns:
        Exit status 0.

    Example:
        goalsight plan --checkpoint runs/demo/model --env Goalsight/Push-v0 --seed 3 --out runs/plan
    """
    from goalsight.agent import Agent
    from goalsight.agent.config import agent_config
    from goalsight.checkpoint import find_checkpoint, read_card
    from goalsight.cli.plan import stage_of
    from goalsight.environments import as_trained, make_env
    from goalsight.progress import progress_bar

    check_numbers(steps, seed)
    check_what(env, manifest, pair, of_env=bool(goal or steps))
    check_out(out)
    frozen = None if manifest is None else read_pair(manifest, pair or 0)
    # A goal of a task, or somebody's picture, is a whole task away.
    tier, card = "far" if frozen is None else frozen.tier, read_card(find_checkpoint(checkpoint))
    config = agent_config(settings, card, tier=tier)
    agent = Agent.load(checkpoint, config=config, device=device, memory=memory)
    env = as_trained(str(env), agent.card) if frozen is None else frozen.env
    world = make_env(env, size=agent.image_size, observe_pixels=True)
    check_fit(agent, world)
    budget = (steps or STEPS) if frozen is None else frozen.budget
    with progress_bar("Acting", "steps") as progress:
        stage = stage_of(world)
        record = Recorder(agent, lambda done: progress(done, budget), stage)
        if frozen is None:
            outcome, film, pictures = play_drawn(
                world, agent, record, goal or [], seed=seed, budget=budget
            )
        else:
            outcome, film = play_frozen(world, agent, record, frozen, pair or 0, seed=seed)
            pictures = film.goal[None]
    where = None
    if frozen is not None:
        where = {"name": frozen.name, "sha256": frozen.hash, "pair": outcome.pair}
    about: dict[str, Any] = {
        "env": env,
        "seed": seed,
        "manifest": where,
        "checkpoint": {"name": agent.name, "sha256": agent.checkpoint_sha256},
    }
    result = about | _result(record, outcome, world, env, goal or [])
    if frozen is not None:
        result["goal"] = "of the pair"
    write(out, result, record, film.frames, pictures, stage=None if goal else stage)
    if stage is not None:
        stage.close()
    world.close()
    print(jsonlib.dumps(result) if json else summary(out, result))
    return 0


def play_drawn(
    world: Env,
    agent: Agent,
    record: Recorder,
    goals: list[Path],
    *,
    seed: int,
    budget: int,
) -> tuple[Outcome, Film, NDArray[np.uint8]]:
    """Play from a start drawn with the seed to goals from files, or to one drawn with it.

    Returns:
        Outcome, film and the (G, H, W, 3) goal images.
    """
    from goalsight.benchmark.run import play_episode
    from goalsight.cli.plan import read_goals
    from goalsight.environments import task_of
    from goalsight.policy import AgentPolicy

    start = world.reset(seed=seed)
    pictures = read_goals(goals, agent.image_size) if goals else task_of(world).goal_image()[None]
    agent.reset(list(pictures), seed)
    outcome, film = play_episode(
        world,
        AgentPolicy(agent),
        start,
        row="agent",
        pair=0,
        budget=budget,
        film_every=1,
        watch=record,
    )
    return outcome, film, pictures


def play_frozen(
    world: Env, agent: Agent, record: Recorder, manifest: Manifest, pair: int, *, seed: int
) -> tuple[Outcome, Film]:
    """Play a pair of a manifest, in all that counts as a benchmark with this seed does."""
    from goalsight.benchmark.run import check_task, one_thread, play_pair
    from goalsight.policy import AgentPolicy

    check_task(manifest, world)
    with one_thread():
        return play_pair(
            world, AgentPolicy(agent), manifest, pair, row="agent", seed=seed, watch=record
        )


def read_pair(name: str, pair: int) -> Manifest:
    """The manifest of that name or file, which has that pair.

    Raises:
        ManifestError: if there is no such manifest.
        UserError: if it has no such pair.
    """
    from goalsight.benchmark import find_manifest, load_manifest
    from goalsight.cli.bench import warn_of_another_simulator
    from goalsight.errors import UserError

    manifest = load_manifest(find_manifest(name))
    if not 0 <= pair < len(manifest.pairs):
        raise UserError(
            f"--pair must be in 0 to {len(manifest.pairs) - 1}, the pairs of {manifest.name}, "
            f"got {pair}"
        )
    warn_of_another_simulator(manifest)
    return manifest


def _result(
    record: Recorder, outcome: Outcome, world: Env, env: str, goals: list[Path]
) -> dict[str, Any]:
    """What happened, as JSON values."""
    from goalsight.environments import task_of
    from goalsight_envs.foreign import is_foreign

    task, names = task_of(world), [str(path) for path in goals]
    drawn = not names
    return {
        "goal": "drawn from the task" if drawn else names if len(names) > 1 else names[0],
        "goal_index": record.goal_index,
        "control_dt": task.control_dt,
        "actions": record.actions,
        "energy": record.energy,
        "latency_ms": list(outcome.latency_ms),
        "subgoals": record.subgoals,
        # Where the goal is known only as a picture, nobody can measure the distance to it.
        "distance_m": list(outcome.distance_m) if drawn else None,
        "distance_unit": "the environment's" if is_foreign(env) else "m",
        "success_threshold": task.success_threshold if drawn else None,
        "success": outcome.terminal if drawn else None,
        "anytime": outcome.anytime if drawn else None,
    }


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


def check_numbers(steps: int | None, seed: int) -> None:
    """Refuse numbers out of range.

    Raises:
        UserError: naming the flag.
    """
    from goalsight.errors import UserError

    if steps is not None and steps < 1:
        raise UserError(f"--steps must be at least 1, got {steps}")
    if seed < 0:
        raise UserError(f"--seed must be 0 or more, got {seed}")


def check_what(env: str | None, manifest: str | None, pair: int | None, *, of_env: bool) -> None:
    """Refuse none or both of what can be played, and settings of the other one.

    Raises:
        UserError: naming the flags.
    """
    from goalsight.errors import UserError

    if (env is None) == (manifest is None):
        raise UserError("give one of --env ID, or --manifest NAME with --pair N")
    if pair is not None and manifest is None:
        raise UserError("--pair is one of a manifest's: give --manifest NAME in place of --env")
    if manifest is not None and of_env:
        raise UserError(
            "a pair of a manifest has its own goal and budget: leave out --goal and --steps, or "
            "give --env in place of --manifest"
        )


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
    record: Recorder,
    frames: NDArray[np.uint8],
    goals: NDArray[np.uint8],
    *,
    stage: Stage | None = None,
) -> None:
    """Write the files of a plan; plan.json last, it says that the others are whole.

    Args:
        out: folder to write.
        result: content of plan.json.
        record: of the episode.
        frames: (T, H, W, 3) what the agent saw.
        goals: (G, H, W, 3) goal images.
        stage: draws the goal state for people; None where the goal is known as a picture alone.
    """
    from PIL import Image

    from goalsight.io import replace_json
    from goalsight.report.filmstrip import write_filmstrip
    from goalsight.report.pixels import enlarge
    from goalsight.report.video import write_video

    out.mkdir(parents=True, exist_ok=True)
    control_dt = result["control_dt"]
    for number, goal in enumerate(goals, 1):
        Image.fromarray(goal).save(out / (GOAL if len(goals) == 1 else f"goal-{number}.png"))
    shown = goals
    if record.shown:
        frames = np.stack(record.shown)
        side = frames.shape[1]
        shown = np.stack(
            [enlarge(goal, side) if stage is None else stage.goal(goal) for goal in goals]
        )
    beside = shown[[*record.goal_index, record.goal_index[-1]]]
    write_video(out / VIDEO, frames, 1.0 / control_dt, goal=beside)
    times = control_dt * np.arange(len(frames))
    write_filmstrip(out / FILMSTRIP, frames, shown, times.tolist())
    replace_json(out / PLAN, result)


def summary(out: Path, result: dict[str, Any]) -> str:
    """What happened, in a few lines for a person."""
    energy, latency = result["energy"], np.median(result["latency_ms"])
    lines = [f"energy    {energy[0]:.3f} -> {energy[-1]:.3f}"]
    if result["distance_m"] is not None:
        lines += _verdict(result)
    if isinstance(result["goal"], list):
        seen = result["goal_index"][-1] + 1
        lines.append(f"goals     at the end after number {seen} of {len(result['goal'])}")
    lines.append(f"decision  {latency:.0f} ms (median)")
    lines += [f"{name:<9} {out / file}" for name, file in (("film", VIDEO), ("strip", FILMSTRIP))]
    return "\n".join(lines)


def _verdict(result: dict[str, Any]) -> list[str]:
    """Distance with its unit, and both verdicts of the protocol."""
    from goalsight.benchmark.results import HOLD

    first, last = (result["distance_m"][i] for i in (0, -1))
    threshold, steps = result["success_threshold"], min(HOLD, len(result["actions"]))
    if result["distance_unit"] == "m":
        way = f"{100 * first:.1f} cm -> {100 * last:.1f} cm (success asks for {100 * threshold:g}"
        way += " cm or less)"
    else:
        way = f"{first:.4g} -> {last:.4g} (success asks for {threshold:g} or less, in the unit of"
        way += " the environment)"
    terminal, anytime = ("success" if result[key] else "failure" for key in ("success", "anytime"))
    return [
        f"distance  {way}",
        (
            f"verdict   terminal {terminal} (at each of the last {steps} control steps), anytime "
            f"{anytime} (at one or more)"
        ),
    ]
