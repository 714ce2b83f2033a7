"""Write what was measured into a page: nobody types a result by hand.

    .venv/bin/python scripts/results_table.py runs/demo [collect.json deciding.json] --page PAGE
    .venv/bin/python scripts/results_table.py --suite runs/core --page PAGE
    .venv/bin/python scripts/results_table.py --matrix PAGE [PAGE ...]

PAGE is a record of your own, docs/results/DATE-NAME.md; it is begun if it is not there. Records are
never rewritten: a new measurement gets a new page. The third writes README's table.

The first reads `results.json` of the benchmarks in a demo's folder and the output of `python -m
benchmarks.collect --json` and `python -m benchmarks.deciding --json`; `make perf` writes both to
runs/perf. The second reads the table that `goalsight bench --suite` wrote, the third makes README's
short table of such records. All replace what stands between the markers; a page with
`<!-- suite-core: -->` takes the table of that suite alone, and with `--place NAME` those of another
run of it go between markers of that name.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
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
TODAY = {"both": "hybrid", "hold": "zero"}
"""Rows as they were called until 0.1, and now."""
LINE = re.compile(
    r"^\| (?P<task>[a-z-]+) \| (?P<row>[a-z-]+) \| (?P<pairs>\d+) \| (?P<terminal>[^|]+) \|", re.M
)
"""A line of a suite's table."""


def matrix(pages: Sequence[Path]) -> str:
    """A line a task, a column a row: terminal success of a suite, from records of its runs.

    Args:
        pages: records in docs/results with the first table of a suite's run each; of a row that
            several have, the one with the most pairs counts.
    """
    rates: dict[str, dict[str, tuple[int, str]]] = {}
    sources = []
    for page in pages:
        text = _read(page)
        begin = re.search(r"<!-- suite[a-z-]*:[^\n]*-->\n(.*?)<!-- /suite", text, re.DOTALL)
        if begin is None:
            sys.exit(f"{page} holds no table of a suite")
        used = False
        for found in LINE.finditer(begin[1]):
            rows, row = rates.setdefault(found["task"], {}), TODAY.get(found["row"], found["row"])
            if int(found["pairs"]) > rows.get(row, (0, ""))[0]:
                rows[row], used = (int(found["pairs"]), found["terminal"].strip()), True
        if used:
            address = page.resolve().relative_to(README.parent)
            sources.append(f"[{page.stem}]({address})")
    names = list(dict.fromkeys(row for rows in rates.values() for row in rows))
    shown = [name for name in names if name not in FLOORS]
    lines = [
        "| " + " | ".join(["", *(f"`{name}`" for name in shown)]) + " |",
        "|" + "---|" * (1 + len(shown)),
    ]
    for task, rows in rates.items():
        cells = [rows[name][1] if name in rows else "" for name in shown]
        lines.append("| " + " | ".join([task, *cells]) + " |")
    floors, counts = [], []
    for name in names:
        cells_of = [rows[name] for rows in rates.values() if name in rows]
        of = sorted({pairs for pairs, _ in cells_of})
        counts.append(f"`{name}` {' or '.join(map(str, of))}")
        if name in FLOORS:
            most = sorted(int(rate.split()[0]) for _, rate in cells_of)
            span = f"{most[0]}" if most[0] == most[-1] else f"{most[0]} to {most[-1]}"
            floors.append(f"`{name}` {span} %")
    told = f"On the same pairs: {', '.join(floors)}. Pairs a task: {', '.join(counts)}."
    return "\n".join([*lines, "", f"{told} Commands, commits and hardware: {', '.join(sources)}."])


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
