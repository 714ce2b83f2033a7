"""The script that writes a suite's table into the pages that have a place for it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "results_table.py"
_spec = importlib.util.spec_from_file_location("results_table", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
results_table = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(results_table)

PAGE = "# A\n\n<!-- suite: by a script -->\n\nold\n\n<!-- /suite -->\n\nafter\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished suite's table."""
    folder = tmp_path / "core"
    folder.mkdir()
    (folder / "suite.json").write_text(json.dumps({"suite": "core"}))
    (folder / "suite.md").write_text("| task |\n|---|\n| push-near |\n")
    return folder


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
