"""Success against model evaluations, for every planner an agent can use.

    .venv/bin/python scripts/planner_curves.py --checkpoint runs/demo/model --out runs/curves

Development pairs, the same for every planner; settings are each planner's defaults, scaled to the
budget. What is finished is kept: the same command goes on where it was stopped. OUT/table.md and
OUT/curves.png are made of what is there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks.planners.table import budgeted
from goalsight_planners import PLANNERS

USABLE = tuple(PLANNERS)
HORIZON, BLOCK = 5, 5
"""Of the search: action blocks ahead and control steps in one, as in the shipped models."""


def settings(planner: str, evaluations: int) -> str:
    """The line for `goalsight bench --settings` that spends at most so many evaluations."""
    config = budgeted(planner, evaluations, HORIZON, BLOCK)
    names = {field.name for field in fields(config)}
    numbers = ("samples", "iterations", "elites", "keep_elites")
    chosen = [f"{name}={getattr(config, name)}" for name in numbers if name in names]
    return ",".join([f"planner={planner}", *chosen])


def measure(
    manifest: str, planner: str, evaluations: int, *, checkpoint: Path, pairs: int, out: Path
) -> dict[str, Any]:
    """Benchmark one planner with one budget; the agent's row of its results."""
    folder = out / manifest / f"{planner}-{evaluations}"
    if not (folder / "results.json").is_file():
        command = [
            *(sys.executable, "-m", "goalsight.cli.main", "bench", "--rows", "agent"),
            *("--checkpoint", str(checkpoint), "--manifest", manifest, "--pairs", str(pairs)),
            *("--settings", settings(planner, evaluations), "--out", str(folder)),
        ]
        print("goalsight", *command[3:], flush=True)
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    row: dict[str, Any] = next(row for row in results["rows"] if row["row"] == "agent")
    return row


def render(found: dict[tuple[str, str, int], dict[str, Any]]) -> str:
    """Markdown: a line for each planner and budget, a column for each manifest."""
    manifests = list(dict.fromkeys(manifest for manifest, _, _ in found))
    lines = [
        "| planner | evaluations | " + " | ".join(manifests) + " | decision p50 |",
        "|---" * (len(manifests) + 3) + "|",
    ]
    for planner, budget in dict.fromkeys((planner, budget) for _, planner, budget in found):
        rows = [found[manifest, planner, budget] for manifest in manifests]
        cells = [_percent(row["terminal"]) for row in rows]
        cells.append(f"{max(row['latency_ms']['p50'] for row in rows):.0f} ms")
        lines.append(
            f"| {planner} | {rows[0]['evaluations_per_decision']} | " + " | ".join(cells) + " |"
        )
    return "\n".join(lines) + "\n"


def _percent(rate: dict[str, Any]) -> str:
    low, high = (round(100 * rate[name]) for name in ("low", "high"))
    return f"{100 * rate['rate']:.0f} % [{low}, {high}]"


def draw(found: dict[tuple[str, str, int], dict[str, Any]], path: Path) -> None:
    """A panel for each manifest, a line for each planner, whiskers for the intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    manifests = list(dict.fromkeys(manifest for manifest, _, _ in found))
    figure, axes = plt.subplots(
        1, len(manifests), figsize=(5 * len(manifests), 3.6), sharey=True, squeeze=False
    )
    for axis, manifest in zip(axes[0], manifests, strict=True):
        for shift, planner in enumerate(dict.fromkeys(name for _, name, _ in found)):
            rows = [row for (m, p, _), row in found.items() if (m, p) == (manifest, planner)]
            # Moved apart a little, or the whiskers would lie on each other.
            spent = [row["evaluations_per_decision"] * (1 + 0.03 * shift) for row in rows]
            rates, lows, highs = (
                [100 * row["terminal"][name] for row in rows] for name in ("rate", "low", "high")
            )
            whiskers = [
                [rate - low for rate, low in zip(rates, lows, strict=True)],
                [high - rate for rate, high in zip(rates, highs, strict=True)],
            ]
            axis.errorbar(spent, rates, whiskers, label=planner, marker="o", capsize=2)
        axis.set(xscale="log", xlabel="model evaluations a decision", title=manifest, ylim=(0, 102))
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("terminal success [%]")
    axes[0][-1].legend(frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, then write table and figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="of the agent")
    parser.add_argument("--out", type=Path, default=Path("runs/curves"))
    parser.add_argument("--manifests", nargs="+", default=["reach-near-dev", "push-near-dev"])
    parser.add_argument("--planners", nargs="+", choices=USABLE, default=list(USABLE))
    parser.add_argument("--evaluations", type=int, nargs="+", default=[100, 300, 1000])
    parser.add_argument("--pairs", type=int, default=50)
    chosen = parser.parse_args(arguments)
    found = {
        (manifest, planner, budget): measure(
            *(manifest, planner, budget),
            checkpoint=chosen.checkpoint,
            pairs=chosen.pairs,
            out=chosen.out,
        )
        for planner in chosen.planners
        for budget in chosen.evaluations
        for manifest in chosen.manifests
    }
    text = render(found)
    (chosen.out / "table.md").write_text(text, encoding="utf-8")
    draw(found, chosen.out / "curves.png")
    print(text)


if __name__ == "__main__":
    main()
