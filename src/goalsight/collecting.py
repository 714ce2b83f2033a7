"""`goalsight.collect`: roll policies out in an environment and open the dataset they make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from goalsight.data import Dataset, open_dataset
from goalsight.data.collect import CollectConfig, CollectSummary, PolicyMix, load_mix
from goalsight.data.collect import collect as record
from goalsight.data.collect.config import AGENTS
from goalsight.devices import resolve_device
from goalsight.errors import OutputError, UserError
from goalsight.executor import Stopped
from goalsight.io import read_yaml
from goalsight.policy import AgentPolicy, Policy, PolicyFactory
from goalsight.progress import progress_bar, silent
from goalsight.provenance import cores

if TYPE_CHECKING:
    from goalsight.agent import Agent


def collect(
    env: str,
    *,
    episodes: int,
    out: str | Path,
    policy: str = "play",
    mix: str | Path | PolicyMix | None = None,
    checkpoint: str | Path | None = None,
    settings: str = "",
    memory: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    size: int = 64,
    steps: int | None = None,
    video: Literal["h264", "none"] = "h264",
    cameras: str | Sequence[str] = (),
    factors: str | Path | dict[str, Any] | None = None,
    redraw: bool = False,
    progress: bool = True,
    done: Callable[[CollectSummary], object] | None = None,
) -> Dataset:
    """Roll a policy out and open the dataset that it made.

    Called again it appends until there are as many episodes as asked for; Ctrl-C leaves a whole
    dataset. Episode i depends on `seed` and i alone, whatever the number of workers.

    Args:
        env: Gymnasium id; `module:Name-v0` for an environment of another package.
        episodes: episodes the dataset shall have in the end.
        out: folder of the dataset.
        policy: play, random, expert, agent, correct (expert after agent) or `module:function`.
        mix: several policies instead: a name in `configs/collect`, a YAML file or a `PolicyMix`.
        checkpoint: of the agent: a checkpoint, a training run, or a shipped name.
        settings: of the agent where they differ from the checkpoint's own, `samples=100`.
        memory: of the agent: file of `goalsight memory build` to take sub-goals from.
        device: PyTorch device that the agent plans on; `auto` for a GPU where there is one.
        workers: processes that roll out; one per core if not given. With more than one, a script
            needs `if __name__ == "__main__":` around what it does.
        seed: of everything random.
        size: height and width of the frames [pixels].
        steps: control steps per episode; 100 if not given.
        video: `h264` writes an mp4 per episode; `none` keeps decoded frames only (larger).
        cameras: what is recorded, the main camera first; the environment's own if empty.
        factors: what varies between episodes: a level such as `mild`, a YAML file, or its content.
        redraw: whether looks vary from one control step to the next, too.
        progress: whether there is a bar.
        done: told what the run did, also where it was stopped.

    Returns:
        The dataset, opened.

    Raises:
        UserError: if there is no such environment, policy, mix, level or checkpoint, or a number
            is out of its range.
        OutputError: if `out` holds something else or other settings, or the disk is full.
        KeyboardInterrupt: after Ctrl-C; the same call goes on where it ended.

    >>> collect("Goalsight/Push-v0", episodes=800, out="runs/data")  # doctest: +SKIP
    Dataset(runs/data: 800 episodes, 80,000 frames of 64 px, Goalsight/Push-v0)
    """
    if not env.strip():
        raise UserError("env is empty; give the id of an environment, such as Goalsight/Push-v0")
    if not str(out).strip():
        raise OutputError("out is empty; give the folder of the dataset")
    names = cameras.split(",") if isinstance(cameras, str) else cameras
    given = {} if steps is None else {"steps": steps}
    try:
        config = CollectConfig(
            env=env,
            episodes=episodes,
            out=Path(out),
            policy=policy,
            mix=load_mix(str(mix)) if isinstance(mix, str | Path) else mix,
            workers=cores() if workers is None else workers,
            seed=seed,
            size=size,
            video=video,
            cameras=tuple(name.strip() for name in names if name.strip()),
            factors=read_factors(factors),
            redraw=redraw,
            **given,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    factory = _factory(config, checkpoint, settings, memory, device)
    if progress:
        with progress_bar("Collecting", delay_s=0) as report:
            summary = record(config, report, factory)
    else:
        summary = record(config, silent, factory)
    if done is not None:
        done(summary)
    if summary.interrupted:
        raise Stopped("the same command goes on from here")
    return open_dataset(config.out)


def read_factors(given: str | Path | dict[str, Any] | None) -> str | dict[str, Any] | None:
    """What varies between episodes, however it is given.

    Args:
        given: name of a level, a YAML file, or what such a file holds; empty for nothing.

    Raises:
        UserError: if it is none of these; the message lists the names.
    """
    if given is None or isinstance(given, dict):
        return given
    if not str(given):
        return None
    from goalsight_envs.factors import LEVELS

    if str(given) in LEVELS:
        return str(given)
    path = Path(given)
    if not path.is_file():
        raise UserError(
            f"no factors {str(given)!r}; give a YAML file or one of: {', '.join(LEVELS)}"
        )
    lines = "lines such as `cube.size: [0.025, 0.035]`; `goalsight envs --factors` lists them"
    content = read_yaml(path, f"a file of factors with values or ranges, {lines}")
    if not all(isinstance(name, str) for name in content):
        raise UserError(
            f"{path} must name factors with values or ranges, a line such as `cube.size: "
            "[0.025, 0.035]` each; `goalsight envs --factors` lists them"
        )
    return content


def _factory(
    config: CollectConfig,
    checkpoint: str | Path | None,
    settings: str,
    memory: str | Path | None,
    device: str,
) -> PolicyFactory | None:
    """The agent that acts, if one shall; its arguments make no sense with another policy."""
    if config.policy not in AGENTS:
        if checkpoint or settings or memory:
            raise UserError(f"--policy {config.policy} has no checkpoint; add --policy agent")
        return None
    if not checkpoint:
        raise UserError(
            f"--policy {config.policy} needs --checkpoint, the folder of a training run"
        )
    return agent_factory(
        str(checkpoint),
        size=config.size,
        settings=settings,
        memory=Path(memory) if memory else None,
        device=device,
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
    device: str = "auto",
) -> PolicyFactory:
    """An agent that collects, after a look at whether it can.

    Args:
        checkpoint: as `find_checkpoint` takes it.
        size: height and width of the frames that are collected [pixels].
        settings: of the agent where they differ from the checkpoint's own.
        memory: file of recorded latents to take sub-goals from.
        device: PyTorch device that the agent plans on.

    Raises:
        CheckpointError: if there is no such checkpoint.
        UserError: if its model sees pictures of another size, or a setting is unknown.
    """
    make = AgentMaker(checkpoint, settings, memory, resolve_device(device))
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
