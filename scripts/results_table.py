"""Write what was measured into a page: nobody types a result by hand.

    .venv/bin/python scripts/results_table.py runs/demo [collect.json deciding.json] --page PAGE
    .venv/bin/python scripts/results_table.py --suite runs/core --page PAGE
    .venv/bin/python scripts/results_table.py --matrix runs/core [runs/more-rows ...]

PAGE is a record of your own, docs/results/DATE-NAME.md; it is begun if it is not there. Records are
never rewritten: a new measurement gets a new page. The third writes README's table.

The first reads `results.json` of the benchmarks in a demo's folder and the output of `python -m
benchmarks.collect --json` and `python -m benchmarks.deciding --json`; `make perf` writes both to
runs/perf. The second reads the table that `goalsight bench --suite` wrote, the third makes the
README's short table of it. All replace what stands between the markers; a page with
`<!-- suite-core: -->` takes the table of that suite alone, and with `--place NAME` those of another
run of it go between markers of that name.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
BENCHES = ("reach-near", "push-near")


def results_table(run: Path) -> str:
    """Markdown table of every row of a demo's benchmarks, with commit, command and hardware."""
    lines = [
        "| task | row | pairs | terminal | anytime | decision p50 / p95 |",
        "|---|---|---|---|---|---|",
    ]
    for bench in BENCHES:
        results = json.loads((run / bench / "results.json").read_text(encoding="utf-8"))
        lines += [_row(bench, row) for row in results["rows"]]
    card = results["checkpoint"]["card"]
    training = f"{card['steps']} steps in {card['minutes']:.1f} minutes"
    lines += [
        "",
        (
            f"`make demo` at commit `{results['commit'][:12]}` on {results['hardware']}; renderer "
            f"{results['renderer']}, training {training}, one training seed, labels used: "
            f"{', '.join(results['checkpoint']['labels_used']) or 'none'}."
        ),
    ]
    return "\n".join(lines)


def _row(bench: str, row: dict[str, Any]) -> str:
    latency = row["latency_ms"]
    speed = f"{latency['p50']:.0f} / {latency['p95']:.0f} ms" if latency else ""
    rates = " | ".join(_rate(row[name]) for name in ("terminal", "anytime"))
    return f"| {bench} | {row['row']} | {row['pairs']} | {rates} | {speed} |"


def _rate(rate: dict[str, float]) -> str:
    return f"{100 * rate['rate']:.0f} % [{100 * rate['low']:.0f}, {100 * rate['high']:.0f}]"


def perf_table(files: list[Path]) -> str:
    """Markdown table of measurements, each beside its floor."""
    lines = ["| what | measured | floor | ratio |", "|---|---|---|---|"]
    for file in files:
        found = json.loads(file.read_text(encoding="utf-8"))
        took, least = found["milliseconds"], found["floor_milliseconds"]
        lines.append(
            f"| {found['what']} | {took:.2f} ms ({1e3 / took:.0f} a second) | {least:.2f} ms, "
            f"{found['floor']} | {took / least:.1f} |"
        )
    return "\n".join([*lines, "", f"`make perf` on {found['hardware']}."])


def replace_block(text: str, name: str, content: str) -> str:
    """The page with what stands between `<!-- name: -->` and `<!-- /name -->` replaced."""
    pattern = re.compile(rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}\n{content}\n\n{found[2]}", text)


def start_page(page: Path, names: Sequence[str]) -> None:
    """Begin a record with a place for each table; a page that is there stays as it is."""
    if page.exists():
        return
    places = [f"<!-- {name}: written by a script -->\n<!-- /{name} -->\n" for name in names]
    page.write_text("\n".join([f"# {page.stem}\n", *places]), encoding="utf-8")


def write_suite(run: Path, pages: Sequence[Path], place: str = "") -> list[Path]:
    """Put a suite's table between the markers of the pages that have them; returns those pages.

    Args:
        run: folder of the suite.
        pages: that may have them.
        place: name of the markers; that of the suite, or of any suite, by default.

    Raises:
        SystemExit: if the suite has no table yet, or no page has a place for it.
    """
    name = json.loads(_read(run / "suite.json"))["suite"]
    table, written = _read(run / "suite.md").strip(), []
    for page in pages:
        before = page.read_text(encoding="utf-8") if page.is_file() else ""
        wanted = (place,) if place else ("suite", f"suite-{name}")
        found = [one for one in wanted if f"<!-- {one}:" in before]
        after = before
        for one in found:
            after = replace_block(after, one, table)
        if found:
            page.write_text(after, encoding="utf-8")
            written.append(page)
    if not written:
        names = " or ".join(page.name for page in pages)
        marks = place or "suite"
        sys.exit(f"no place for {name} in {names}: add `<!-- {marks}: -->` and `<!-- /{marks} -->`")
    return written


FLOORS = ("random", "zero", "expert")
"""Rows of no model: a line below the README's table."""


def matrix(runs: Sequence[Path]) -> str:
    """A line a task, a column a row: terminal success of a suite, played in one run or several.

    Args:
        runs: folders of one suite with one checkpoint; rows of a later one replace those of an
            earlier.
    """
    found = [json.loads(_read(run / "suite.json")) for run in runs]
    rates: dict[str, dict[str, dict[str, Any]]] = {}
    for suite in found:
        for task in suite["tasks"]:
            for row in task["rows"]:
                rates.setdefault(task["manifest"]["name"], {})[row["row"]] = row
    names = list(dict.fromkeys(row for rows in rates.values() for row in rows))
    shown = [name for name in names if name not in FLOORS]
    lines = [
        "| " + " | ".join(["terminal success", *(f"`{name}`" for name in shown)]) + " |",
        "|" + "---|" * (1 + len(shown)),
    ]
    for task, rows in rates.items():
        cells = [_rate(rows[name]["terminal"]) if name in rows else "" for name in shown]
        lines.append("| " + " | ".join([task, *cells]) + " |")
    floors = [
        f"`{name}` {_range(rows[name] for rows in rates.values() if name in rows)}"
        for name in names
        if name in FLOORS
    ]
    pairs = {
        name: sorted({rows[name]["pairs"] for rows in rates.values() if name in rows})
        for name in names
    }
    counts = [f"`{name}` {' or '.join(map(str, count))}" for name, count in pairs.items()]
    model = found[-1]["checkpoint"]
    lines += ["", f"On the same pairs: {', '.join(floors)}. Pairs a task: {', '.join(counts)}."]
    lines += [
        "",
        (
            f"Checkpoint {model['name']} (SHA-256 {model['sha256'][:12]}), taught by "
            f"{model['taught_by']}, one training seed. "
            + "; ".join(
                f"`{suite['command']}` at commit `{(suite['commit'] or '')[:12]}` on "
                f"{suite['hardware']}"
                for suite in found
            )
            + "."
        ),
    ]
    return "\n".join(lines)


def _range(rows: Iterable[dict[str, Any]]) -> str:
    found = sorted(round(100 * row["terminal"]["rate"]) for row in rows)
    return f"{found[0]} %" if found[0] == found[-1] else f"{found[0]} to {found[-1]} %"


def _read(path: Path) -> str:
    if not path.is_file():
        sys.exit(f"{path} is missing: finish `goalsight bench --suite` first")
    return path.read_text(encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Write README's table, or a record of a demo or a suite."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("demo", type=Path, nargs="?", help="folder of a demo")
    parser.add_argument(
        "perf", type=Path, nargs="*", help="output of python -m benchmarks.NAME --json"
    )
    parser.add_argument("--suite", type=Path, help="folder of goalsight bench --suite")
    parser.add_argument(
        "--matrix",
        type=Path,
        nargs="+",
        help="the same, several of one suite: README's short table",
    )
    parser.add_argument("--page", type=Path, help="the record, docs/results/DATE-NAME.md")
    parser.add_argument("--place", default="", help="name of the markers that a suite goes between")
    given = parser.parse_args(arguments)
    if given.matrix:
        page = README.read_text(encoding="utf-8")
        README.write_text(replace_block(page, "matrix", matrix(given.matrix)), encoding="utf-8")
        return
    if (given.demo is None) == (given.suite is None):
        parser.error("give the folder of a demo, or --suite and that of a suite")
    if given.page is None:
        parser.error("give the record that takes the table: --page docs/results/DATE-NAME.md")
    if given.suite is not None:
        start_page(given.page, [given.place or "suite"])
        written = write_suite(given.suite, [given.page], place=given.place)
        print(*(f"written: {page}" for page in written), sep="\n")
        return
    start_page(given.page, ["results", "perf"])
    text = replace_block(
        given.page.read_text(encoding="utf-8"), "results", results_table(given.demo)
    )
    if given.perf:
        text = replace_block(text, "perf", perf_table(given.perf))
    given.page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
