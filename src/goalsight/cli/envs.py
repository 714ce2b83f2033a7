"""`goalsight envs`: the tasks that exist, what they take and what they give."""

from __future__ import annotations

import inspect
import json as jsonlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from goalsight.errors import UserError


@dataclass(frozen=True, kw_only=True)
class TaskCard:
    """What a reader needs to know of one task."""

    id: str
    """Gymnasium id."""
    summary: str
    """First lines of the environment's docstring."""
    success_threshold: float
    """Largest distance to the goal that counts as success [m]."""
    control_dt: float
    """Seconds per control step."""
    max_episode_steps: int | None
    """Control steps after which an episode is truncated."""
    action: dict[str, list[float]]
    """Name of each action component: its lowest and highest value."""
    proprio: list[str]
    """Name of each component of `observation`."""
    observation: dict[str, str]
    """Key of the observation: shape and dtype."""
    factors: list[str]
    """What may vary between its episodes."""


def envs(
    *, factors: bool = False, pictures: Path | None = None, size: int = 128, json: bool = False
) -> None:
    """List the tasks with their actions, observations and units.

    Args:
        factors: list what may vary between episodes instead, with units and levels.
        pictures: folder to write a sheet of pictures of each task to: starts, goals, the view
            from the wrist, and the same starts at every level of variation.
        size: height and width of each picture on the sheets [pixels].
        json: print JSON for a machine to read.

    Raises:
        UserError: if the size is out of its range.

    Example:
        goalsight envs
        goalsight envs --factors
        goalsight envs --pictures runs/tasks
    """
    cards = task_cards()
    if pictures is not None:
        _write_pictures(pictures, [card.id for card in cards], size, json)
        return
    if factors:
        _print_factors({card.id: card.factors for card in cards}, json)
        return
    if json:
        print(jsonlib.dumps([asdict(card) for card in cards], indent=2))
        return
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.table import Table

    console = Console()
    table = Table("id", "success", "control step", box=None, pad_edge=False)
    for card in cards:
        table.add_row(card.id, card.summary.removeprefix("Success: "), f"{card.control_dt:g} s")
    console.print(table)
    console.print()
    console.print(Markdown(_shared_contract()))


def _write_pictures(folder: Path, tasks: list[str], size: int, json: bool) -> None:
    from goalsight.cli.env_pictures import write_pictures
    from goalsight.progress import progress_bar

    if not 16 <= size <= 1024:
        raise UserError(f"size must be in [16, 1024] pixels, got {size}")
    with progress_bar("Drawing", "tasks") as progress:
        paths = [str(path) for path in write_pictures(folder, tasks, size, progress)]
    print(jsonlib.dumps(paths) if json else "\n".join(paths))


def _print_factors(scenes: dict[str, list[str]], json: bool) -> None:
    from goalsight.cli.factors import factor_rows, factor_tables

    rows = factor_rows(scenes)
    if json:
        print(jsonlib.dumps(rows, indent=2))
        return
    from rich.console import Console

    for table in factor_tables(rows):
        Console().print(table, "")


def task_cards() -> list[TaskCard]:
    """One card for each task that goalsight registers.

    Raises:
        GLError: if nothing renders on this machine.
    """
    from goalsight.cli.errors import known_environments

    return [_card(name) for name in known_environments()]


def _card(name: str) -> TaskCard:
    """Make the environment and read its spaces; nothing is rendered."""
    import gymnasium

    from goalsight_envs.factors import factors_of

    env = gymnasium.make(name, disable_env_checker=True)
    inner: Any = env.unwrapped
    spaces: Any = env.observation_space
    box: Any = env.action_space
    card = TaskCard(
        id=name,
        summary=" ".join((inspect.getdoc(type(inner)) or "").partition("\n\n")[0].split()),
        success_threshold=inner.success_threshold,
        control_dt=inner.control_dt,
        max_episode_steps=env.spec.max_episode_steps if env.spec else None,
        action={
            action: [float(low), float(high)]
            for action, low, high in zip(inner.action_names, box.low, box.high, strict=True)
        },
        proprio=list(inner.proprio_names),
        observation={key: f"{space.shape} {space.dtype}" for key, space in spaces.items()},
        factors=list(factors_of(inner.model)),
    )
    env.close()
    return card


def _shared_contract() -> str:
    """The tables of actions and observations, as the environments' base class documents them."""
    from goalsight_envs.base import ArmEnv

    return inspect.getdoc(ArmEnv) or ""
