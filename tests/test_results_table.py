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


def suite(folder: Path, rows: dict[str, tuple[int, int]]) -> Path:
    """A finished suite of one task; successes and pairs by row."""
    folder.mkdir()
    found = []
    for name, (won, pairs) in rows.items():
        low, high = won / pairs - 0.1, won / pairs + 0.1
        rate = {"rate": won / pairs, "low": low, "high": high}
        found.append({"row": name, "pairs": pairs, "terminal": rate})
    model = {"name": "small", "sha256": "ab" * 32, "taught_by": "play"}
    content = {
        "suite": "core", "command": f"goalsight bench {folder.name}", "commit": "c" * 40,
        "hardware": "a processor", "checkpoint": model,
        "tasks": [{"manifest": {"name": "push-far"}, "rows": found}],
    }  # fmt: skip
    (folder / "suite.json").write_text(json.dumps(content))
    return folder


def test_the_short_table_has_a_column_a_row_and_what_taught_the_model(tmp_path: Path) -> None:
    first = suite(tmp_path / "first", {"random": (1, 50), "zero": (0, 50), "hybrid": (40, 50)})
    more = suite(tmp_path / "more", {"search": (60, 200), "hybrid": (190, 200)})
    lines = results_table.matrix([first, more]).splitlines()
    assert lines[0] == "| terminal success | `hybrid` | `search` |"
    assert lines[2] == "| push-far | 95 % [85, 105] | 30 % [20, 40] |"
    told = "\n".join(lines[3:])
    assert "`random` 2 %, `zero` 0 %" in told
    assert "`hybrid` 200, `search` 200" in told
    assert "small (SHA-256 abababababab), taught by play" in told
    assert "`goalsight bench first`" in told
    assert "`goalsight bench more`" in told
