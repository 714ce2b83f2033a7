"""`goalsight envs`: the tasks that exist, what they take and give, what varies, pictures."""

from __future__ import annotations

import inspect
import json as jsonlib
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goalsight.errors import UserError
from goalsight.io import replacing
from goalsight.progress import Progress, silent

if TYPE_CHECKING:
    from PIL.Image import Image
    from rich.table import Table

SEEDS = 6
"""Columns of a sheet."""
HEADS = ("factor", "what", "may be", "nominal")
"""Columns of the table of factors; each level follows with what it draws."""


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
    from goalsight.progress import progress_bar

    if not 16 <= size <= 1024:
        raise UserError(f"size must be in [16, 1024] pixels, got {size}")
    with progress_bar("Drawing", "tasks") as progress:
        paths = [str(path) for path in write_pictures(folder, tasks, size, progress)]
    print(jsonlib.dumps(paths) if json else "\n".join(paths))


def _print_factors(scenes: dict[str, list[str]], json: bool) -> None:
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


def write_pictures(
    folder: Path, tasks: list[str], size: int, progress: Progress = silent
) -> list[Path]:
    """Write a sheet for each task; one of that name is replaced.

    Args:
        folder: where to.
        tasks: Gymnasium ids.
        size: height and width of each picture [pixels].
        progress: told how many are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, task in enumerate(tasks, start=1):
        path = folder / f"{short_name(task)}.png"
        with replacing(path) as beside:
            task_sheet(task, size).save(beside, format="PNG", optimize=True)
        paths.append(path)
        progress(number, len(tasks))
    return paths


def short_name(task: str) -> str:
    """`pick-place` for `Goalsight/PickPlace-v0`, as manifests are named."""
    name = task.partition("/")[2].partition("-")[0]
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def task_sheet(task: str, size: int) -> Image:
    """Starts and goals of some seeds, and the same seeds at every level of variation."""
    import gymnasium

    from goalsight.report.sheet import sheet
    from goalsight_envs.base import ArmEnv
    from goalsight_envs.cameras import Pixels
    from goalsight_envs.factors import LEVELS

    rows: dict[str, list[Pixels]] = {}
    for level in ("", *LEVELS):
        env = gymnasium.make(
            task,
            size=size,
            cameras=("front", "wrist"),
            factors=level or None,
            disable_env_checker=True,
        )
        inner = env.unwrapped
        assert isinstance(inner, ArmEnv)
        starts, goals, hand = [], [], []
        for seed in range(SEEDS):
            observation, _ = env.reset(seed=seed)
            starts.append(observation["pixels"])
            hand.append(observation["pixels_wrist"])
            goals.append(inner.goal_image())
        env.close()
        rows |= {level: starts} if level else {"start": starts, "goal": goals, "wrist": hand}
    return sheet(rows, [f"seed {seed}" for seed in range(SEEDS)])


def factor_rows(scenes: dict[str, list[str]]) -> list[dict[str, Any]]:
    """The table of factors as JSON values.

    Args:
        scenes: factors that each task has, by id of the task.
    """
    from goalsight_envs.factors import FACTORS, LEVELS

    return [
        {
            "name": name,
            "kind": factor.kind,
            "summary": factor.summary,
            "values": factor.extent(),
            "unit": factor.unit,
            "nominal": factor.nominal,
            "levels": {level: given.get(name) for level, given in LEVELS.items()},
            "tasks": [task for task, names in scenes.items() if name in names],
        }
        for name, factor in FACTORS.items()
    ]


def factor_cells(row: dict[str, Any]) -> list[str]:
    """One row of the table in words."""
    nominal = row["nominal"]
    if isinstance(nominal, tuple):
        nominal = ", ".join(f"{number:.3g}" for number in nominal)
    drawn = [_range_text(given) for given in row["levels"].values()]
    return [row["name"], row["summary"], row["values"], str(nominal), *drawn]


def factor_tables(rows: list[dict[str, Any]]) -> tuple[Table, Table]:
    """For a terminal: what factors there are, and what each level draws."""
    from rich.table import Table

    tables = Table(box=None, pad_edge=False), Table(box=None, pad_edge=False)
    for table, heads in zip(tables, (HEADS, (HEADS[0], *rows[0]["levels"])), strict=True):
        for number, head in enumerate(heads):
            table.add_column(head, no_wrap=number == 0)
    for row in rows:
        cells = factor_cells(row)
        tables[0].add_row(*cells[: len(HEADS)])
        tables[1].add_row(cells[0], *cells[len(HEADS) :])
    return tables


def _range_text(given: Any) -> str:  # noqa: ANN401  (what a level may hold)
    """What a level draws from, for a person."""
    if given is None:
        return ""
    if isinstance(given[0], str):
        return ", ".join(given)
    low, high = (end if isinstance(end, list) else [end] for end in given)
    pairs = list(zip(low, high, strict=True))
    pairs = pairs[:1] if len(set(pairs)) == 1 else pairs
    return "; ".join(f"{a:g} to {b:g}" for a, b in pairs)
