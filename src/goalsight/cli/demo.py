"""`goalsight demo`: the main job, live, by the commands a user would type."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goalsight.benchmark import Outcome

BENCHES = ("reach-near", "push-near")
ROW = "agent"
"""Of the benchmark: who is shown at the end."""


def demo(
    *,
    out: Path = Path("runs/demo"),
    episodes: int = 800,
    pairs: int = 50,
    workers: int = 2,
    train_time: str = "00:00:05:00",
) -> int:
    """Collect play, train a world model, print its success table, film a pair that it solves.

    About 9 minutes on two CPU cores. Each step prints the command that does it; a second run
    reuses what is there, an interrupted one goes on.

    Args:
        out: Folder for everything: data, model, plan and one folder per benchmark.
        episodes: Play episodes to collect, 100 control steps each.
        pairs: Benchmark pairs per task.
        workers: Processes that collect and play.
        train_time: Longest training time, DD:HH:MM:SS; the learning rate is annealed by then.

    Returns:
        Exit status: that of the first command that failed, else 0.

    Example:
        goalsight demo --out runs/demo
    """
    data, model = out / "data", out / "model"
    began = time.monotonic()
    for command in commands(out, episodes, pairs, workers, train_time):
        if command[0] == "train" and is_trained(model):
            print(f"\n== {model} is trained already")
            continue
        status = step(command)
        if status:
            return status
    shown = pair_to_show(outcomes(out))
    if status := step(plan_command(out, shown)):
        return status
    print(f"shown     {shown}")
    print(f"\ndone in {(time.monotonic() - began) / 60:.1f} minutes: {data}, {model}")
    for bench in BENCHES:
        print(f"report: {out / bench / 'report.html'}")
    return 0


def commands(
    out: Path, episodes: int, pairs: int, workers: int, train_time: str
) -> list[list[str]]:
    """The commands up to the tables, as a user would type them after `goalsight`."""
    data, model = (shlex.quote(str(out / name)) for name in ("data", "model"))
    lines = [
        f"collect --env Goalsight/Push-v0 --episodes {episodes} --out {data} --workers {workers}",
        f"train --config tiny --data {data} --out {model} --trainer.max_time {train_time}",
    ]
    lines += [
        f"bench --checkpoint {model} --manifest {bench} --pairs {pairs}"
        f" --out {shlex.quote(str(out / bench))} --workers {workers}"
        for bench in BENCHES
    ]
    return [shlex.split(line) for line in lines]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A pair of the benchmark, and how many of those like it the agent solved."""

    manifest: str
    pair: int
    solved: int
    """Pairs of the manifest that ended in terminal success."""
    pairs: int
    """Pairs of the manifest that were played."""

    def __str__(self) -> str:
        where = f"pair {self.pair} of {self.manifest}"
        if self.solved:
            return f"{where}, one of the {self.solved} of {self.pairs} that it solved there"
        return f"{where}, of whose {self.pairs} pairs it solved none"


def outcomes(out: Path) -> dict[str, list[Outcome]]:
    """By manifest, what the agent did in the benchmarks of a demo's folder."""
    from goalsight.benchmark import load_results
    from goalsight.benchmark.results import RESULTS

    played = {name: load_results(out / name / RESULTS).pairs for name in BENCHES}
    return {name: [o for o in pairs if o.row == ROW] for name, pairs in played.items()}


def pair_to_show(played: Mapping[str, Sequence[Outcome]]) -> Shown:
    """The first pair that the agent solved, of the last manifest in which it solved any.

    If it solved nothing at all, the first pair of the last manifest: a failure, and said to be one.

    Args:
        played: by manifest, the easiest first, what the agent did.
    """
    found = []
    for name, pairs in reversed(list(played.items())):
        solved = [outcome.pair for outcome in pairs if outcome.terminal]
        pair = solved[0] if solved else pairs[0].pair
        found.append(Shown(manifest=name, pair=pair, solved=len(solved), pairs=len(pairs)))
    return next((shown for shown in found if shown.solved), found[0])


def plan_command(out: Path, shown: Shown) -> list[str]:
    """The command that plays a pair again and films it."""
    return [
        *("plan", "--checkpoint", str(out / "model"), "--manifest", shown.manifest),
        *("--pair", str(shown.pair), "--out", str(out / "plan")),
    ]


def is_trained(run: Path) -> bool:
    """Whether the training run in that folder has come to its end."""
    from goalsight.checkpoint import CARD, IN_A_RUN
    from goalsight.io import read_json

    card = run / IN_A_RUN / CARD
    return card.is_file() and bool(read_json(card).get("finished"))


def step(command: list[str]) -> int:
    """Run one command of the demo in this process and say which.

    Args:
        command: its arguments.

    Returns:
        Its exit status.
    """
    from goalsight.cli.main import main

    print(f"\n== goalsight {shlex.join(command)}", flush=True)
    return main(command)
