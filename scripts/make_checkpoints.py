"""Make the checkpoints that ship with goalsight again, from nothing.

    python -m scripts.make_checkpoints                      # all of them: make checkpoints
    python -m scripts.make_checkpoints arm-tiny --only actor --minutes 10

A recipe in configs/checkpoints is a list of goalsight's own commands. What is finished is kept and
what was stopped goes on: by Ctrl-C, a kill, or `--minutes`, after which this ends with status 75.
The last step copies the model to checkpoints/NAME; its card lists the commands, with the minutes,
the commit and the hardware of each.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from goalsight.checkpoint import find_checkpoint, load_checkpoint, save_checkpoint
from goalsight.cli.demo import is_trained
from goalsight.errors import UserError
from goalsight.io import replace_file
from goalsight.paths import config_dir
from goalsight.provenance import git_commit, hardware

DONE = "done.json"
"""In a recipe's folder: the steps that came to their end."""
GO_ON = 75
"""Exit status where time was up: the same command goes on (EX_TEMPFAIL of sysexits.h)."""
SHIPPED = Path(__file__).resolve().parents[1] / "checkpoints"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of a recipe."""

    name: str
    """For --only."""
    run: str
    """What follows `goalsight`; `{out}` is the recipe's folder."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a checkpoint is made."""

    name: str
    """Of the checkpoint."""
    about: str
    """What it is, in a sentence."""
    ships: str
    """Folder in the recipe's whose checkpoint is the result."""
    steps: tuple[Step, ...]
    """In order."""
    agent: dict[str, Any]
    """How it plans unless told otherwise, see `goalsight.agent.config`."""


@dataclass(kw_only=True)
class Finished:
    """A step that came to its end, or was begun."""

    command: str
    """As typed after `goalsight`, `{out}` for the recipe's folder."""
    minutes: float = 0.0
    """What it took, all its parts together [min]."""
    finished: bool = False
    """Whether it came to its end."""
    commit: str | None = None
    """Of the code that finished it."""
    hardware: str = ""
    """That finished it."""


def load_recipe(name: str) -> Recipe:
    """A recipe by the name of its checkpoint.

    Raises:
        UserError: if there is none; lists those that exist.
    """
    folder = config_dir() / "checkpoints"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise UserError(f"no recipe {name!r}; there are: {', '.join(recipes())}")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    steps = tuple(Step(**step) for step in content.pop("steps"))
    return Recipe(name=name, steps=steps, **content)


def recipes() -> list[str]:
    """Names of all recipes."""
    return sorted(path.stem for path in (config_dir() / "checkpoints").glob("*.yaml"))


def make(recipe: Recipe, out: Path, *, only: str = "", minutes: float = float("inf")) -> bool:
    """Run the steps that are missing, then ship.

    Args:
        recipe: what to make.
        out: folder of all recipes' work.
        only: name of the one step to run; empty for all.
        minutes: after which a step is interrupted, to be gone on with [min].

    Returns:
        Whether everything asked for came to its end.

    Raises:
        UserError: if a step fails, or there is no such step.
    """
    names = [step.name for step in recipe.steps]
    if only and only not in names:
        raise UserError(f"recipe {recipe.name} has no step {only!r}; it has: {', '.join(names)}")
    folder = out / recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(recipe.steps, start=1):
        if only and step.name != only:
            continue
        at = read_done(folder).get(step.name) or Finished(command=step.run)
        if at.finished and at.command == step.run:
            continue
        print(
            f"\n== {recipe.name} {number}/{len(names)} {step.name}: goalsight {step.run}",
            flush=True,
        )
        began = time.monotonic()
        status = _run(step, folder, minutes)
        at.minutes = round(at.minutes + (time.monotonic() - began) / 60, 2)
        at.finished, at.command = status == 0, step.run
        at.commit, at.hardware = git_commit(), hardware()
        # Read again: another step may have come to its end beside this one.
        _write_done(folder, read_done(folder) | {step.name: at})
        if status == GO_ON:
            return False
        if status:
            raise UserError(f"step {step.name} of {recipe.name} ended with status {status}")
    if not only:
        ship(recipe, folder)
    return True


def ship(recipe: Recipe, folder: Path, shipped: Path = SHIPPED) -> None:
    """Copy the result to where goalsight finds it by name, with what made it in the card."""
    loaded = load_checkpoint(find_checkpoint(folder / recipe.ships))
    done = read_done(folder)  # of an earlier recipe, too, which this one may have grown out of
    steps = [{"step": step.name, **asdict(done[step.name])} for step in recipe.steps]
    card = {
        **loaded.card,
        "about": recipe.about,
        "agent": recipe.agent,
        "recipe": steps,
    }
    save_checkpoint(shipped / recipe.name, loaded.model, card)
    total = sum(step["minutes"] for step in steps)
    print(f"{shipped / recipe.name}: {recipe.about} ({total:.0f} minutes in all)")


def read_done(folder: Path) -> dict[str, Finished]:
    """Steps of a recipe's folder by name, in the order they were first run."""
    path = folder / DONE
    if not path.is_file():
        return {}
    content: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return {name: Finished(**step) for name, step in content.items()}


def _write_done(folder: Path, done: dict[str, Finished]) -> None:
    content = {name: asdict(step) for name, step in done.items()}
    replace_file(folder / DONE, (json.dumps(content, indent=1) + "\n").encode())


def _run(step: Step, folder: Path, minutes: float) -> int:
    """Run a command; its status, or GO_ON where it was interrupted in time."""
    arguments = shlex.split(step.run.format(out=shlex.quote(str(folder))))
    if _is_there(arguments):
        return 0
    process = subprocess.Popen([sys.executable, "-m", "goalsight.cli.main", *arguments])
    try:
        return process.wait(None if minutes == float("inf") else 60 * minutes)
    except subprocess.TimeoutExpired:
        print(f"{minutes:g} minutes are up; run the same again to go on", flush=True)
        process.send_signal(signal.SIGINT)
        process.wait()
        return GO_ON
    except KeyboardInterrupt:
        process.wait()  # it was told, too, and saves what it has
        raise


def _is_there(arguments: Sequence[str]) -> bool:
    """Whether a command that would refuse to run again did its work before a kill."""
    out = Path(arguments[arguments.index("--out") + 1]) if "--out" in arguments else None
    if out is None or arguments[0] not in {"data", "train", "pretrain"}:
        return False
    return out.exists() if arguments[0] == "data" else is_trained(out)


def main() -> int:
    """Make what was asked for."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=f"of {', '.join(recipes())}; all by default")
    parser.add_argument("--out", type=Path, default=Path("runs/checkpoints"), help="work folder")
    parser.add_argument("--only", default="", help="run this step alone")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="longest for a step")
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    try:
        for name in given.names or recipes():
            if not make(load_recipe(name), given.out, only=given.only, minutes=given.minutes):
                return GO_ON
    except UserError as error:
        print(f"make_checkpoints: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
