"""Exact McNemar test between two runs of `goalsight bench` on identical pairs.

    .venv/bin/python scripts/mcnemar.py runs/push-near-both runs/push-near-search

counts the pairs that one run won and the other lost, at terminal success, and how likely a split
that uneven is if both were equally good. By default the agent's row of each; another one by
`--rows`, such as `--rows agent gcbc`, and the same folder twice compares two rows of one run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from goalsight.benchmark.results import PairedTest, Results, compare_runs, load_results, verdict
from goalsight.errors import UserError

RESULTS = "results.json"


def line(folders: Sequence[Path], runs: Sequence[Results], test: PairedTest, pairs: int) -> str:
    """What was compared on what, and how it came out."""
    names = [f"{folder} ({row})" for folder, row in zip(folders, test.rows, strict=True)]
    return f"{runs[0].manifest.name}, {pairs} pairs: {names[0]} against {names[1]}: {verdict(test)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line; 2 after a line on stderr if the runs cannot be compared."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument("--rows", nargs=2, default=["agent", "agent"], metavar="ROW")
    parser.add_argument("--pairs", type=int, help="compare the first so many pairs only")
    given = parser.parse_args(arguments)
    try:
        runs = [load_results(folder / RESULTS) for folder in given.runs]
        test = compare_runs(runs[0], runs[1], tuple(given.rows), pairs=given.pairs)
    except UserError as error:
        print(f"mcnemar: {error}", file=sys.stderr)
        return 2
    played = sum(outcome.row == given.rows[0] for outcome in runs[0].pairs)
    print(line(given.runs, runs, test, min(played, given.pairs or played)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
