"""Collect, train, plan and benchmark on environments that nobody here wrote, end to end.

    .venv-foreign/bin/python scripts/foreign.py fetch-reach fetch-push    # make test-foreign
    .venv/bin/python scripts/foreign.py ogbench-cube                      # pip install '.[envs]'

What is finished is kept: the same command goes on where it was stopped. The table of everything
that was run is OUT/table.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMANDS = "commands.json"
"""In a task's folder: the commands that came to their end."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is run on one environment."""

    env: str
    """Id, by which every command finds it."""
    collect: str
    """Arguments of `goalsight collect`."""
    train: str
    """Arguments of `goalsight train`."""
    bench: str
    """Arguments of `goalsight bench`."""


TASKS = {
    "fetch-reach": Task(
        env="gymnasium_robotics:FetchReach-v4",
        collect="--episodes 200 --steps 50 --fast-render",
        train="--config tiny",
        bench="--pairs 50 --budget 50 --rows random,zero,expert,agent",
    ),
    "fetch-push": Task(
        env="gymnasium_robotics:FetchPush-v4",
        collect="--episodes 240 --steps 50 --fast-render",
        train="--config tiny",
        bench="--pairs 50 --budget 50 --rows random,zero,agent",
    ),
    "ogbench-cube": Task(
        env="ogbench:cube-single-v0",
        collect="--episodes 60 --steps 100 --fast-render",
        train="--config tiny",
        bench="--pairs 50 --budget 50 --rows random,agent",
    ),
}


def commands(task: Task, folder: Path, minutes: float) -> list[list[str]]:
    """What is run, as it would be typed after `goalsight`.

    Args:
        task: what on.
        folder: where everything goes.
        minutes: training time [min].
    """
    data, model, plan, bench = (
        shlex.quote(str(folder / name)) for name in ("data", "model", "plan", "bench")
    )
    seconds = round(60 * minutes)
    limit = f"00:{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    training = f"--threads 1 --trainer.max-steps -1 --trainer.max-time {limit}"
    lines = [
        f"collect --env {task.env} {task.collect} --workers 1 --out {data}",
        f"train {task.train} --data {data} {training} --out {model}",
        f"plan --checkpoint {model} --env {task.env} --seed 1 --out {plan}",
        f"bench --checkpoint {model} --env {task.env} {task.bench} --workers 1 --out {bench}",
    ]
    return [shlex.split(line) for line in lines]


def run(task: Task, folder: Path, minutes: float) -> bool:
    """Run what is missing; whether everything came to its end."""
    folder.mkdir(parents=True, exist_ok=True)
    done_file = folder / COMMANDS
    done = json.loads(done_file.read_text(encoding="utf-8")) if done_file.is_file() else []
    for command in commands(task, folder, minutes):
        line = shlex.join(command)
        if line in done:
            continue
        print(f"\n== goalsight {line}", flush=True)
        status = subprocess.run(
            [sys.executable, "-m", "goalsight.cli.main", *command],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        ).returncode
        if status:
            return False
        done.append(line)
        done_file.write_text(json.dumps(done, indent=1), encoding="utf-8")
    return True


def table(out: Path) -> str:
    """Markdown of every benchmark under a folder, with what it took."""
    lines = [
        "| environment | row | pairs | terminal | anytime | decision p50 |",
        "|---|---|---|---|---|---|",
    ]
    notes = []
    for path in sorted(out.glob("*/bench/results.json")):
        results = json.loads(path.read_text(encoding="utf-8"))
        lines += [_row(results["manifest"]["env"], row) for row in results["rows"]]
        card, said = (
            results["checkpoint"]["card"],
            json.loads((path.parents[1] / COMMANDS).read_text(encoding="utf-8")),
        )
        notes.append(
            f"{path.parts[-3]}: {card['dataset']['episodes']} episodes of play, "
            f"{card['dataset']['frames']} frames, training {card['steps']} steps in "
            f"{card['minutes']:.1f} minutes, MuJoCo {results['mujoco']}, {results['hardware']}."
        )
        notes += ["", "```bash", *(f"goalsight {line}" for line in said), "```", ""]
    return "\n".join([*lines, "", *notes]) + "\n"


def _row(env: str, row: dict[str, Any]) -> str:
    def rate(value: dict[str, float]) -> str:
        low, high = (round(100 * value[end]) for end in ("low", "high"))
        return f"{round(100 * value['rate'])} % [{low}, {high}]"

    latency = f"{row['latency_ms']['p50']:.0f} ms" if row["latency_ms"] else ""
    rates = f"{rate(row['terminal'])} | {rate(row['anytime'])}"
    return f"| {env.partition('?')[0]} | {row['row']} | {row['pairs']} | {rates} | {latency} |"


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("tasks", nargs="+", choices=sorted(TASKS))
    parser.add_argument("--out", type=Path, default=Path("runs/foreign"))
    parser.add_argument("--minutes", type=float, default=5.0, help="training time of a task")
    given = parser.parse_args()
    finished = [run(TASKS[name], given.out / name, given.minutes) for name in given.tasks]
    text = table(given.out)
    (given.out / "table.md").write_text(text, encoding="utf-8")
    print(text)
    return 0 if all(finished) else 1


if __name__ == "__main__":
    sys.exit(main())
