"""`goalsight demo`: the main job, live, by the commands a user would type."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

BENCHES = ("reach-near", "push-near")


def demo(
    *,
    out: Path = Path("runs/demo"),
    episodes: int = 800,
    pairs: int = 50,
    workers: int = 2,
    train_time: str = "00:00:05:00",
) -> int:
    """Collect play, train a world model, plan to goal images, print the success table.

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
    print(f"\ndone in {(time.monotonic() - began) / 60:.1f} minutes: {data}, {model}")
    for bench in BENCHES:
        print(f"report: {out / bench / 'report.html'}")
    return 0


def commands(
    out: Path, episodes: int, pairs: int, workers: int, train_time: str
) -> list[list[str]]:
    """The commands of the demo, as a user would type them after `goalsight`."""
    data, model, plan = (shlex.quote(str(out / name)) for name in ("data", "model", "plan"))
    lines = [
        f"collect --env Goalsight/Push-v0 --episodes {episodes} --out {data} --workers {workers}",
        f"train --config tiny --data {data} --out {model} --trainer.max_time {train_time}",
    ]
    lines += [
        f"bench --checkpoint {model} --manifest {bench} --pairs {pairs}"
        f" --out {shlex.quote(str(out / bench))} --workers {workers}"
        for bench in BENCHES
    ]
    lines.append(f"plan --checkpoint {model} --env Goalsight/Reach-v0 --seed 0 --out {plan}")
    return [shlex.split(line) for line in lines]


def is_trained(run: Path) -> bool:
    """Whether the training run in that folder has come to its end."""
    from goalsight.checkpoint import CARD, IN_A_RUN

    card = run / IN_A_RUN / CARD
    return card.is_file() and bool(json.loads(card.read_text(encoding="utf-8")).get("finished"))


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
