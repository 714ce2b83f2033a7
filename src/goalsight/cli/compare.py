"""`goalsight compare`: several models on one dataset and one training budget, one table."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from goalsight.errors import UserError
from goalsight.executor import Executor, run_alone, stop_requested
from goalsight.io import inside, read_json, read_text, read_yaml, replace_json, replace_text

BLOCKS = 5
"""Action blocks ahead at which drift is shown."""
LOOKS = ("probe", "collapse", "drift", "surprise")
"""Diagnostics that the table shows."""
LABELS = {"end-effector": "state.ee_pos", "object": "state.cube_pos"}
"""What is probed, by the name the table gives it."""


def table(plan: Comparison, out: Path) -> str:
    """Markdown: a line per finished row, then what was measured on what.

    Args:
        plan: the comparison.
        out: its folder.
    """
    heads = ["model"]
    heads += [f"probe R2 {name} (MLP)" for name in LABELS]
    heads += ["effective rank", f"drift, {BLOCKS} blocks", "surprise AUROC"]
    heads += [f"{bench}, {plan.pairs} pairs" for bench in plan.benches]
    heads += ["steps", "training min", "decision p50", "plans"]
    lines = [_line(heads), "|".join(["", *("---" for _ in heads), ""])]
    rows = [(name, plan.folder(out, name)) for name in plan.rows]
    finished = [(name, folder) for name, folder in rows if is_finished(plan, folder)]
    lines += [_line(_cells(plan, name, folder)) for name, folder in finished]
    if finished:
        lines.append(_line(_random(plan, finished[0][1], len(heads))))
        lines += ["", _origin(plan, [folder for _, folder in finished])]
    return "\n".join(lines) + "\n"


def is_finished(plan: Comparison, folder: Path) -> bool:
    """Whether every file that the row's line is made of is there."""
    looks = [folder / "inspect" / f"{look}.json" for look in LOOKS]
    return all(file.is_file() for file in looks) and all(
        (folder / bench / "results.json").is_file() for bench in plan.benches
    )


def write_page(page: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME: -->` and `<!-- /NAME -->`.

    Args:
        page: Markdown file; begun if it is not there, since a measurement is a page of its own.
        name: of the comparison.
        text: its table.

    Raises:
        UserError: if the page has no such part, or there is no folder for it.
    """
    if not page.is_file():
        if not page.parent.is_dir():
            raise UserError(f"no folder {page.parent} for the page {page.name}")
        page.write_text(f"# {page.stem}\n\n<!-- {name}: -->\n<!-- /{name} -->\n", encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    content, replaced = pattern.subn(
        lambda found: f"{found[1]}\n{text.strip()}\n\n{found[2]}", read_text(page)
    )
    if not replaced:
        raise UserError(f"{page} has no part between `<!-- {name}: -->` and `<!-- /{name} -->`")
    replace_text(page, content)


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(plan: Comparison, name: str, folder: Path) -> list[str]:
    probe, collapse, drift, surprise = (
        read_json(folder / "inspect" / f"{look}.json") for look in LOOKS
    )
    results = [read_json(folder / bench / "results.json") for bench in plan.benches]
    agents = [_row(found, "agent") for found in results]
    card = results[0]["checkpoint"]["card"]
    minutes, steps = card["minutes"], f"{card['steps']}"
    before = folder / "encoder" / "checkpoint" / "card.json"
    if before.is_file():
        first = read_json(before)
        minutes, steps = minutes + first["minutes"], f"{first['steps']} + {steps}"
    return [
        name,
        *(_r2(probe, variable) for variable in LABELS.values()),
        f"{collapse['encoded']['effective_rank']:.1f} of {collapse['width']}",
        f"{drift['model'][BLOCKS - 1]:.2f} (copy {drift['copy_last'][BLOCKS - 1]:.2f})",
        " / ".join(f"{violation['auroc']:.2f}" for violation in surprise["violations"]),
        *(_rate(agent["terminal"]) for agent in agents),
        steps,
        f"{minutes:.1f}",
        f"{max(agent['latency_ms']['p50'] for agent in agents):.0f} ms",
        f"{agents[0]['evaluations_per_decision']}",
    ]


def _random(plan: Comparison, folder: Path, width: int) -> list[str]:
    """The line of random actions, the same for every model."""
    results = [read_json(folder / bench / "results.json") for bench in plan.benches]
    rates = [_rate(_row(found, "random")["terminal"]) for found in results]
    cells = ["random actions", *("" for _ in LABELS), "", "", "", *rates]
    return cells + [""] * (width - len(cells))


def _origin(plan: Comparison, folders: list[Path]) -> str:
    results = [read_json(folder / plan.benches[0] / "results.json") for folder in folders]
    commits = dict.fromkeys(f"`{str(found['commit'])[:12]}`" for found in results)
    return (
        f"Terminal success with 95 % Wilson intervals, one training seed a row, "
        f"{plan.minutes:g} minutes of training on one core each, data `goalsight collect "
        f"{plan.collect}`, commit {', '.join(commits)}, {results[0]['hardware']}. Drift: "
        "open-loop error in units of the latents' variance, beside that of not moving at all. "
        "Surprise: `goalsight inspect surprise`, cube teleported / recoloured / frozen."
    )


def _r2(probe: dict[str, Any], variable: str) -> str:
    """MLP probe on encoded latents."""
    for reading in probe["readings"]:
        if (reading["variable"], reading["probe"], reading["source"]) == (
            variable,
            "mlp",
            "encoded",
        ):
            return "" if reading["r2"] is None else f"{reading['r2']:.2f}"
    return ""


def _row(results: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in results["rows"] if row["row"] == name)
    return found


def _rate(rate: dict[str, float]) -> str:
    return f"{100 * rate['rate']:.0f} % [{100 * rate['low']:.0f}, {100 * rate['high']:.0f}]"


DONE = "done.json"
"""In a row's folder: the commands that have come to their end."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of the table."""

    train: str
    """Arguments of `goalsight train` that make it what it is."""
    pretrain: str | None = None
    """Arguments of `goalsight pretrain`; None for models that are trained in one go."""
    settings: str = ""
    """Of its agent where they differ from the default."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison as its YAML file describes it."""

    collect: str
    """Arguments of `goalsight collect`."""
    minutes: float
    """Training time of a row on one core, pretraining included [min]."""
    pairs: int
    """Benchmark pairs of a task."""
    benches: tuple[str, ...]
    """Names of the manifests."""
    rows: dict[str, Row]
    """By the name that the table shows."""

    def folder(self, out: Path, row: str) -> Path:
        """Where all of a row is, inside of a folder."""
        return inside(out, row.replace(" ", "-"), source="the comparison", field="rows")


def compare(
    *,
    comparison: str = "models",
    out: Path = Path("runs/compare"),
    data: Path | None = None,
    only: str = "",
    jobs: int = 1,
    page: Path | None = None,
) -> int:
    """Train several models on one dataset with one budget, probe and benchmark each, tabulate.

    Every model trains and plans on one processor thread. What is finished is kept: the same
    command goes on where it was stopped. The table is OUT/table.md; each model's training,
    diagnostics and benchmarks, with their reports, are in a folder of its name.

    Args:
        comparison: Name of a shipped comparison or a YAML file.
        out: Folder for everything.
        data: Dataset to train on; collected as the comparison says if none is given.
        only: Rows to make, separated by commas; all if empty.
        jobs: Models in the making at the same time.
        page: Markdown file whose part named like the comparison is replaced by the
            table; begun if it is not there.

    Returns:
        Exit status: 0, or 1 if a command failed; its log is named.

    Example:
        goalsight compare --comparison models --out runs/compare --jobs 2
    """
    from goalsight.cli.compare import table, write_page

    found = find_comparison(comparison)
    plan = read_comparison(found)
    names = [name.strip() for name in only.split(",") if name.strip()] or list(plan.rows)
    if unknown := [name for name in names if name not in plan.rows]:
        raise UserError(f"no row {unknown[0]!r}; there are: {', '.join(plan.rows)}")
    if jobs < 1:
        raise UserError(f"--jobs must be at least 1, got {jobs}")
    out.mkdir(parents=True, exist_ok=True)
    dataset = data or out / "data"
    if data is None and not run(shlex.split(f"collect {plan.collect}"), dataset, out):
        return 1
    with Executor(partial(RowMaker, plan, dataset, out), workers=jobs, patience_s=60.0) as rows:
        finished = [done for _, done in rows.run(names)]
    text = table(plan, out)
    replace_text(out / "table.md", text)
    if page is not None:
        write_page(page, found.stem, text)
    print(text)
    return 0 if all(finished) else 1


def find_comparison(comparison: str) -> Path:
    """The file of a comparison, by path or by shipped name.

    Raises:
        UserError: if there is none; lists those that are shipped.
    """
    from goalsight.paths import config_dir

    path = Path(comparison)
    if path.is_file():
        return path
    shipped = sorted((config_dir() / "compare").glob("*.yaml"))
    for file in shipped:
        if file.stem == comparison:
            return file
    raise UserError(
        f"no comparison {comparison!r}; there are: {', '.join(f.stem for f in shipped)}"
    )


def read_comparison(path: Path) -> Comparison:
    """A comparison from its YAML file.

    Raises:
        UserError: if the file is not one.
    """
    content = read_yaml(path, "a comparison")
    try:
        rows = {str(name): Row(**row) for name, row in content["rows"].items()}
        plan = Comparison(**{**content, "benches": tuple(content["benches"]), "rows": rows})
    except (TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path} is not a comparison: {error}") from None
    for name in plan.rows:
        inside(path.parent, name.replace(" ", "-"), source=path, field="rows")
    for bench in plan.benches:
        inside(path.parent, bench, source=path, field="benches")
    return plan


def commands(plan: Comparison, name: str, data: Path, folder: Path) -> list[tuple[list[str], Path]]:
    """What makes a row: commands and the folder that each fills."""
    row = plan.rows[name]
    budget = duration(plan.minutes / (2 if row.pretrain else 1))
    limit = f"--trainer.max_steps -1 --trainer.max_time {budget} --threads 1"
    model, where = folder / "model", f"--data {shlex.quote(str(data))}"
    lines: list[tuple[str, Path]] = []
    start = ""
    if row.pretrain:
        lines.append((f"pretrain {row.pretrain} {where} {limit}", folder / "encoder"))
        start = f" --encoder-from {shlex.quote(str(folder / 'encoder'))}"
    lines.append((f"train {row.train} {where} {limit}{start}", model))
    checkpoint = f"--checkpoint {shlex.quote(str(model))}"
    looks = ("probe", "collapse", "drift")
    lines += [(f"inspect {look} {checkpoint} {where}", folder / "inspect") for look in looks]
    lines.append((f"inspect surprise {checkpoint}", folder / "inspect"))
    settings = f" --settings {shlex.quote(row.settings)}" if row.settings else ""
    how = f"--pairs {plan.pairs} --rows random,agent --workers 1{settings}"
    lines += [
        (f"bench {checkpoint} --manifest {bench} {how}", folder / bench) for bench in plan.benches
    ]
    return [(shlex.split(line), path) for line, path in lines]


def duration(minutes: float) -> str:
    """Minutes as Lightning reads them, DD:HH:MM:SS."""
    seconds = round(60 * minutes)
    return f"00:{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


@dataclass(frozen=True)
class RowMaker:
    """Makes rows, one after another, as jobs of an executor."""

    plan: Comparison
    data: Path
    out: Path

    def __call__(self, name: str) -> bool:
        """Bring a row to its end; whether that worked."""
        return make(self.plan, name, self.data, self.out)


def make(plan: Comparison, name: str, data: Path, out: Path) -> bool:
    """Bring a row to its end; whether that worked."""
    folder = plan.folder(out, name)
    folder.mkdir(exist_ok=True)
    done_file = folder / DONE
    done = json.loads(read_text(done_file)) if done_file.is_file() else []
    for command, path in commands(plan, name, data, folder):
        line = shlex.join([*command, str(path)])
        if line in done:
            continue
        if not run(command, path, folder):
            return False
        done.append(line)
        replace_json(done_file, done)
    return True


def run(command: list[str], path: Path, folder: Path) -> bool:
    """Run a command of goalsight in a process of its own, on one thread, with a log."""
    log = folder / f"{'-'.join(word for word in command[:2] if word.isalpha())}-{path.name}.log"
    full = [*command, "--out", str(path)]
    print(f"goalsight {shlex.join(full)}", flush=True)
    status = run_alone(on_one_thread, full, log=log)
    if status and not stop_requested():
        print(f"failed with status {status}: see {log}", file=sys.stderr, flush=True)
    return status == 0


def on_one_thread(command: list[str]) -> int:
    """A command of goalsight in this process, which has not loaded PyTorch yet."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from goalsight.cli.main import main

    return main(command)
