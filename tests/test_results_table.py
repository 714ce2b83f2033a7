"""The script that writes a suite's table into the pages that have a place for it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from benchmarks.timing import Measurement

SCRIPT = Path(__file__).parents[1] / "scripts" / "results_table.py"
_spec = importlib.util.spec_from_file_location("results_table", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
results_table = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(results_table)

PERF = Measurement(
    what="one decision",
    milliseconds=40.0,
    least=35.0,
    floor="products",
    floor_milliseconds=25.0,
    floor_least=24.0,
    turns=9,
    hardware="a processor",
)
PAGE = "# A\n\n<!-- suite: by a script -->\n\nold\n\n<!-- /suite -->\n\nafter\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished suite's table."""
    folder = tmp_path / "core"
    folder.mkdir()
    (folder / "suite.json").write_text(json.dumps({"suite": "core"}))
    (folder / "suite.md").write_text("| task |\n|---|\n| push-near |\n")
    return folder


def test_what_a_benchmark_printed_becomes_a_line_beside_its_floor(tmp_path: Path) -> None:
    (tmp_path / "deciding.json").write_text(json.dumps(PERF.to_json()))
    text = results_table.perf_table([tmp_path / "deciding.json"])
    assert "| one decision | 40.00 ms (25 a second) | 25.00 ms, products | 1.6 |" in text
    assert text.endswith("`make perf` on a processor.")


def test_the_table_replaces_what_stands_between_the_markers(run: Path, tmp_path: Path) -> None:
    page, without = tmp_path / "README.md", tmp_path / "other.md"
    page.write_text(PAGE)
    without.write_text("# B\n")
    pages = [page, without, tmp_path / "absent.md"]
    for _ in range(2):
        assert results_table.write_suite(run, pages) == [page]
    assert page.read_text() == PAGE.replace("old", "| task |\n|---|\n| push-near |")
    assert without.read_text() == "# B\n"


def test_markers_of_one_suite_take_no_other(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("<!-- suite-core: -->\n<!-- /suite-core -->\n<!-- suite-ood: -->\nold\n")
    results_table.write_suite(run, [page])
    assert "| push-near |\n\n<!-- /suite-core -->\n<!-- suite-ood: -->\nold" in page.read_text()


def test_a_place_of_its_own_is_for_another_run_of_the_suite(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text(
        "<!-- suite-core: -->\nold\n<!-- /suite-core -->\n<!-- mine: -->\n<!-- /mine -->\n"
    )
    results_table.write_suite(run, [page], place="mine")
    assert "<!-- suite-core: -->\nold" in page.read_text()
    assert "| push-near |\n\n<!-- /mine -->" in page.read_text()
    with pytest.raises(SystemExit, match="add `<!-- theirs: -->`"):
        results_table.write_suite(run, [page], place="theirs")


def test_without_markers_or_a_finished_suite_it_says_so(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "README.md"
    page.write_text("# A\n")
    with pytest.raises(SystemExit, match=r"no place for core in README\.md: add `<!-- suite: -->`"):
        results_table.write_suite(run, [page])
    (run / "suite.json").unlink()
    with pytest.raises(SystemExit, match="finish `goalsight bench --suite` first"):
        results_table.write_suite(run, [page])


RECORD = """# A record

<!-- suite-core: by a script -->

| task | row | pairs | terminal | anytime | decision p50 / p95 |
|---|---|---|---|---|---|
{rows}
<!-- /suite-core -->

| push-far | other | 900 | 1 % [0, 2] | | |
"""


def test_the_short_table_has_a_column_a_row_and_the_most_pairs_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {
        "old": "random 200 2, hold 200 0, both 200 95",
        "new": "zero 50 0, search 50 30, hybrid 50 90",
    }
    for name, rows in lines.items():
        parts = (row.split() for row in rows.split(", "))
        table = "".join(f"| push-far | {r} | {n} | {p} % [0, 99] | | |\n" for r, n, p in parts)
        (tmp_path / f"{name}.md").write_text(RECORD.format(rows=table))
    monkeypatch.setattr(results_table, "README", tmp_path / "README.md")
    table = results_table.matrix([tmp_path / "old.md", tmp_path / "new.md"])
    first, _, second, *rest = table.splitlines()
    assert first == "|  | `hybrid` | `search` |"
    assert second == "| push-far | 95 % [0, 99] | 30 % [0, 99] |"
    assert "On the same pairs: `random` 2 %, `zero` 0 %." in rest[-1]
    assert "`hybrid` 200, `search` 50." in rest[-1]
    assert "[old](old.md), [new](new.md)" in rest[-1]
    (tmp_path / "none.md").write_text("# nothing")
    with pytest.raises(SystemExit, match="holds no table of a suite"):
        results_table.matrix([tmp_path / "none.md"])
