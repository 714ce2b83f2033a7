r"""Measure every task and write a record of it: `make tasks`.

    .venv/bin/python -m scripts.tasks_table runs/tasks --page docs/results/DATE-tasks.md \
      [--speed] [--only NAME ...]

plays the expert and random actions on all `far` pairs and the expert on all pairs of the shift
levels, into runs/tasks/NAME; what is already there is kept, so it goes on where it was stopped.
`--speed` measures control steps a second too. Tables appear once everything is played.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from scripts.results_table import replace_block, start_page

from goalsight.benchmark import BenchmarkConfig, load_manifest, run_benchmark
from goalsight.benchmark.make_manifests import SHIFTED, SHIFTED_SEEDS, TASKS
from goalsight.benchmark.store import RESULTS
from goalsight.cli.errors import known_environments
from goalsight.paths import config_dir
from goalsight.progress import progress_bar

FAR = {task: f"{task}-far" for task in TASKS}
ROWS = dict.fromkeys(FAR.values(), ("expert", "random")) | {
    f"{task}-{tier}-{level}": ("expert",)
    for level in SHIFTED_SEEDS
    for task, tier in SHIFTED.items()
}
"""Every manifest that is played, and by whom."""
SPEED = "speed.json"


def play(folder: Path, name: str, workers: int) -> None:
    """Play what is missing of a manifest."""
    manifest = load_manifest(config_dir() / "bench" / f"{name}.json")
    config = BenchmarkConfig(out=folder / name, rows=ROWS[name], workers=workers)
    with progress_bar(f"Playing {name}", "pairs") as progress:
        run_benchmark(manifest, config, progress)


def rates(folder: Path, name: str) -> dict[str, dict[str, Any]]:
    """Terminal success of every row of a manifest."""
    results = json.loads((folder / name / RESULTS).read_text(encoding="utf-8"))
    return {row["row"]: row["terminal"] for row in results["rows"]}


def cell(rate: dict[str, Any]) -> str:
    """Successes, and the 95 % interval in percent."""
    interval = f"[{100 * rate['low']:.0f}, {100 * rate['high']:.0f}]"
    return f"{rate['successes']} {interval}"


def expert_table(folder: Path) -> str:
    """Expert and random actions on the far pairs."""
    lines = ["| task | expert | random |", "|---|---|---|"]
    for task, name in FAR.items():
        found = rates(folder, name)
        lines.append(f"| {task} | {cell(found['expert'])} | {cell(found['random'])} |")
    return "\n".join([*lines, "", source(folder, FAR["push"])])


def shift_table(folder: Path) -> str:
    """The expert on the pairs of the shift levels."""
    lines = [
        f"| task | pairs | {' | '.join(SHIFTED_SEEDS)} |",
        "|---|---|" + "---|" * len(SHIFTED_SEEDS),
    ]
    for task, tier in SHIFTED.items():
        names = [f"{task}-{tier}-{level}" for level in SHIFTED_SEEDS]
        cells = [
            cell(rates(folder, name)["expert"]) if (folder / name / RESULTS).exists() else "not yet"
            for name in names
        ]
        lines.append(f"| {task} | {tier} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", source(folder, f"push-{SHIFTED['push']}-ood-physics")])


def source(folder: Path, name: str) -> str:
    """What printed a table, and where."""
    results = json.loads((folder / name / RESULTS).read_text(encoding="utf-8"))
    return (
        f"`make tasks` at commit `{results['commit'][:12]}` on {results['hardware']}, "
        f"MuJoCo {results['mujoco']}."
    )


def speed_table(folder: Path) -> str:
    """Control steps a second."""
    found = json.loads((folder / SPEED).read_text(encoding="utf-8"))
    heads = ["task", *next(iter(found.values())), "floor"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for task, views in found.items():
        took = [view["milliseconds"] for view in views.values()]
        floor = next(iter(views.values()))
        rates = [f"{1e3 / one:.0f}" for one in (*took, floor["floor_milliseconds"])]
        lines.append(f"| `{task}` | {' | '.join(rates)} |")
    where = f"`python -m benchmarks.tasks`, 64 px, {floor['hardware']}"
    return "\n".join([*lines, "", f"{where}; floor: {floor['floor']} of one camera."])


def main() -> None:
    """Play, then write the tables that everything is there for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--page", type=Path, required=True, help="docs/results/DATE-tasks.md")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=list(ROWS), choices=list(ROWS))
    given = parser.parse_args()
    assert known_environments()  # makes them, before any worker does
    for name in given.only:
        play(given.folder, name, given.workers)
    if given.speed:
        measure_speed(given.folder / SPEED)
    tables = {"experts": expert_table, "shifts": shift_table, "speed": speed_table}
    start_page(given.page, list(tables))
    text = given.page.read_text(encoding="utf-8")
    for name, table in tables.items():
        try:
            text = replace_block(text, name, table(given.folder))
        except FileNotFoundError as missing:
            sys.stderr.write(f"table {name!r} waits for {missing.filename}\n")
    given.page.write_text(text, encoding="utf-8")


def measure_speed(path: Path) -> None:
    """Keep what `python -m benchmarks.tasks` measures."""
    from benchmarks.tasks import measure_tasks

    found = {
        task: {view: one.to_json() for view, one in views.items()}
        for task, views in measure_tasks().items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
