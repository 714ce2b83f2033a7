"""`goalsight demo`: the main job, live, by the commands a user would type."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

BENCHES = ("reach-near", "push-near")


def demo(
    *,
    out: Path = Path("runs/demo"),
    episodes: int = 600,
    pairs: int = 50,
    workers: int = 2,
    train_time: str = "00:00:05:00",
) -> int:
    """Collect play, train a world model, plan to goal images, print the success table.

    About 8 minutes on two CPU cores. Each step prints the command that does it; a second run
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
    from goalsight.checkpoint import CARD, IN_A_RUN

    data, model = out / "data", out / "model"
    began = time.monotonic()
    for command in commands(out, episodes, pairs, workers, train_time):
        name = command[0]
        if name == "train" and (model / IN_A_RUN / CARD).is_file() and is_finished(model):
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
    from goalsight.paths import config_dir

    data, model, config = out / "data", out / "model", config_dir() / "train" / "tiny.yaml"
    push = "Goalsight/Push-v0"
    lines = [
        f"collect --env {push} --episodes {episodes} --out {data} --workers {workers}",
        f"train --config {config} --data {data} --out {model} --trainer.max_time {train_time}",
    ]
    lines += [
        f"bench --checkpoint {model} --manifest {bench} --pairs {pairs} --out {out / bench}"
        f" --workers {workers}"
        for bench in BENCHES
    ]
    lines.append(f"plan --checkpoint {model} --env {push} --seed 0 --out {out / 'plan'}")
    return [shlex.split(line) for line in lines]


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
