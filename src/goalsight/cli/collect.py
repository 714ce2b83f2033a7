"""`goalsight collect`: roll a policy out and write a LeRobot v3 dataset."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from goalsight.cli.factors import read_factors
from goalsight.errors import UserError
from goalsight.policy import AgentPolicy, Policy, PolicyFactory
from goalsight.provenance import cores

if TYPE_CHECKING:
    from goalsight.agent import Agent
    from goalsight.data.collect import CollectConfig, CollectSummary

INTERRUPTED = 130
"""Exit status after Ctrl-C."""


def collect(
    *,
    env: str,
    episodes: int,
    out: Path,
    policy: str = "play",
    mix: str | None = None,
    checkpoint: str = "",
    settings: str = "",
    memory: Path | None = None,
    device: str = "cpu",
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
        device: Torch device the agent plans on.
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
        Exit status: 0, or 130 if it was interrupted.

    Raises:
        UserError: if an argument is out of its range.

    Example:
        goalsight collect --env Goalsight/Push-v0 --episodes 600 --out runs/push-data --workers 2
        goalsight collect --env Goalsight/Push-v0 --episodes 100 --out runs/own \
          --policy agent --checkpoint runs/push
    """
    from goalsight.data.collect import CollectConfig, load_mix

    with _said_in_a_line():
        config = CollectConfig(
            env=_faster(env, size) if fast_render else env, episodes=episodes, out=out, seed=seed,
            policy=policy, workers=cores() if workers is None else workers, steps=steps, size=size,
            mix=load_mix(mix) if mix else None, video=video, cameras=_split(cameras),
            factors=read_factors(factors), redraw=redraw,
        )  # fmt: skip
    factory = _factory(config, checkpoint, settings, memory, device)
    return _run(config, factory, json)


def _run(config: CollectConfig, factory: PolicyFactory | None, json: bool) -> int:
    """Collect and print what was done; the exit status."""
    from goalsight.data.collect import collect as run
    from goalsight.progress import progress_bar

    with progress_bar("Collecting", delay_s=0) as report:
        summary = run(config, report, factory)
    print(jsonlib.dumps(_as_json(summary)) if json else _in_words(summary))
    if summary.interrupted:
        print("goalsight: stopped; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    return 0


@contextmanager
def _said_in_a_line() -> Iterator[None]:
    """What a config refuses is the user's to mend."""
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error


def _split(names: str) -> tuple[str, ...]:
    """Names that commas separate."""
    return tuple(name.strip() for name in names.split(",") if name.strip())


def _faster(env: str, size: int) -> str:
    """The id of an environment that draws faster."""
    from goalsight.cli.fast_render import faster

    return faster(env, size)


def _factory(
    config: CollectConfig, checkpoint: str, settings: str, memory: Path | None, device: str
) -> PolicyFactory | None:
    """The agent that acts, if one shall; its flags make no sense with another policy."""
    from goalsight.data.collect.config import AGENTS

    if config.policy not in AGENTS:
        if checkpoint or settings or memory:
            raise UserError(f"--policy {config.policy} has no checkpoint; add --policy agent")
        return None
    if not checkpoint:
        raise UserError(
            f"--policy {config.policy} needs --checkpoint, the folder of a training run"
        )
    return agent_factory(
        checkpoint, size=config.size, settings=settings, memory=memory, device=device
    )


@dataclass(frozen=True)
class AgentMaker:
    """Makes the agent of one worker; a few strings that any process can load it from."""

    checkpoint: str
    settings: str
    memory: Path | None
    device: str

    def __call__(self) -> Policy:
        """The agent, loaded here and kept to one thread: rounding must not depend on the cores."""
        import torch

        torch.set_num_threads(1)
        return AgentPolicy(self.load())

    def load(self) -> Agent:
        """The agent itself."""
        from goalsight.agent import Agent

        return Agent.load(
            self.checkpoint, settings=self.settings, device=self.device, memory=self.memory
        )


def agent_factory(
    checkpoint: str,
    *,
    size: int,
    settings: str = "",
    memory: Path | None = None,
    device: str = "cpu",
) -> PolicyFactory:
    """An agent that collects, after a look at whether it can.

    Args:
        checkpoint: as `find_checkpoint` takes it.
        size: height and width of the frames that are collected [pixels].
        settings: of the agent where they differ from the checkpoint's own.
        memory: file of recorded latents to take sub-goals from.
        device: torch device the agent plans on.

    Raises:
        CheckpointError: if there is no such checkpoint.
        UserError: if its model sees pictures of another size, or a setting is unknown.
    """
    make = AgentMaker(checkpoint, settings, memory, device)
    agent = make.load()
    if agent.image_size != size:
        raise UserError(
            f"checkpoint {agent.name} sees pictures of {agent.image_size} pixels, --size is "
            f"{size}; collect with --size {agent.image_size}"
        )
    facts = {"name": agent.name, "sha256": agent.checkpoint_sha256, "settings": settings}
    if agent.memory_sha256 is not None:
        facts["memory"] = agent.memory_sha256
    return PolicyFactory(make=make, facts=facts)


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
