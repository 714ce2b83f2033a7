"""The table of a comparison, read from what its commands left on disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goalsight.errors import UserError
from goalsight.io import read_json, read_text, replace_text

if TYPE_CHECKING:
    from goalsight.cli.compare import Comparison

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
